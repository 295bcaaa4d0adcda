"""Lessons 1 to 4: the derivative, gates, the chain rule, Jacobians."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import graph
from ..graph import Variable, explain
from ..network import Network
from ..view import Screens
from ._question import Content, Lesson, Question, Slip, number, silent


def _cube(x: Any) -> Any:
    return x**3


def _square(x: Any) -> Any:
    return x**2


def _derivative() -> Content:
    lines = [
        "f(x) = x**3 at x = 1. The quotient (f(x + h) - f(x)) / h for smaller and smaller h:",
        "",
    ]
    errors = {}
    for h in (1.0, 0.1, 0.01, 0.001):
        one = (_cube(1 + h) - _cube(1)) / h
        two = (_cube(1 + h) - _cube(1 - h)) / (2 * h)
        exact = float(graph.grad(_cube)(1.0))
        errors[h] = abs(one - exact), abs(two - exact)
        lines.append(f"  h = {h:<6g} one-sided {one:.6f}   two-sided {two:.6f}")
    lines += ["", f"The limit is the derivative. The rules of calculus, 3 x**2, give {exact:g}."]
    quotient = (_square(3.5) - _square(3.0)) / 0.5
    slope = graph.grad(_square)(3.0)
    better = "two-sided" if errors[0.01][1] < errors[0.01][0] else "one-sided"
    return Content(
        "\n".join(lines),
        (
            Question(
                "What is the derivative of x**3 at x = 2?",
                number(graph.grad(_cube)(2.0)),
                "3 x**2 at x = 2.",
                (
                    Slip(number(_cube(2.0)), "That is f(2) itself, and not its slope."),
                    Slip(number(_square(2.0)), "The factor 3, the exponent, is missing."),
                ),
                see="tab=graph",
            ),
            Question(
                "What is the one-sided quotient of x**2 at x = 3 with h = 0.5?",
                number(quotient),
                "(3.5**2 - 3**2) / 0.5; the limit is smaller.",
                (
                    Slip(number(slope), "That is the limit for h -> 0; h is 0.5 here."),
                    Slip(number(quotient * 0.5), "The change of f is still to be divided by h."),
                ),
                see=_AT_THE_SQUARE,
            ),
            Question(
                "For h = 0.01, which quotient is closer to the derivative: one-sided or two-sided?",
                better,
                f"it is off by {errors[0.01][1]:.1e}, the other by {errors[0.01][0]:.1e}.",
                choices=("one-sided", "two-sided"),
                see=_AT_THE_SQUARE,
            ),
        ),
        _cube_and_square(),
    )


# The end of the backward pass, with the only weight of `_cube_and_square` pinned.
_AT_THE_SQUARE = "tab=walk&step=3&weight=1.0.0"


def _cube_and_square() -> Screens:
    """Return x**3 as a graph, and w**2 as the cost of a neuron whose input is 1 and target 0."""
    net = Network([1, 1], loss="squared_error", dtype="float64", init="zeros")
    net.set_layer(0, [[3]], [0])
    f = _cube(Variable(2, "x")).named("f")
    return Screens(
        "On Walk the cost is w**2, since the input is 1 and the target 0. Move the slider of w and "
        "watch the cost C. A step further, the panel has (C(w + h) - C(w - h)) / 2h beside the "
        "derivative. Graph has x**3.",
        graphs=(("f = x**3 at x = 2", f),),
        network=net,
        x=[[1.0]],
        y=[[0.0]],
        uses=("walk",),
        opens="tab=walk&step=2&weight=1.0.0",
    )


def _gates() -> Content:
    a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    J = (3 * (a + (b * c).named("u")).named("v")).named("J")
    found = silent(explain, J, b)
    J.backward()
    text = f"J = 3 (a + b c) at a = 5, b = 3, c = 2, and its derivative in b:\n\n{found}"
    x, y, z = Variable(-2, "x"), Variable(5, "y"), Variable(-4, "z")
    f = ((x + y).named("q") * z).named("f")
    f.backward()
    tie, larger = _tie()
    local = (1.0, float(c.value), float(b.value))
    return Content(
        text,
        (
            Question(
                "What are the derivatives of J in a, b and c? (Three numbers.)",
                number([a.grad, b.grad, c.grad]),
                "add hands on the 3, and multiply swaps: 3, then 3 c and 3 b.",
                (
                    Slip(local, "The 3 that comes down from the last gate is missing."),
                    Slip(number([a.grad, c.grad, b.grad]), "A multiply gate swaps its inputs."),
                ),
                see="tab=graph",
            ),
            Question(
                "f = (x + y) z at x = -2, y = 5, z = -4. Its derivatives in x, y and z?",
                number([x.grad, y.grad, z.grad]),
                "add hands z to both, and z gets x + y.",
                (
                    Slip(
                        number([y.value * z.value, x.value * z.value, z.grad]),
                        "Of x + y, each derivative is 1: only z multiplies.",
                    ),
                    Slip(
                        number([x.grad, y.grad, z.value]),
                        "The derivative in z is the other factor, x + y.",
                    ),
                ),
                see="tab=graph",
            ),
            tie,
        ),
        Screens(
            "Each graph stands before its first gate. Say the next value, and later the next "
            "gradient, before a step shows it. A click on an input shows its paths.",
            graphs=(
                ("J = 3 (a + b c)", J),
                ("f = (x + y) z", f),
                ("m = max(x, y), a tie", larger),
            ),
        ),
    )


def _tie() -> tuple[Question, Variable]:
    """Ask for the gradients of a maximum of equal numbers."""
    x, y = Variable(3, "x"), Variable(3, "y")
    larger = graph.maximum(x, y).named("m")
    larger.backward()
    question = Question(
        "max(x, y) at x = y = 3: which two gradients does pybackprop give?",
        number([x.grad, y.grad]),
        "together they are the derivative of max(x, x) = x, which is 1.",
        (
            Slip((1.0, 1.0), "That counts the change twice: max(x, x) = x has slope 1."),
            Slip((1.0, 0.0), "That is a fair choice, but here both share equally."),
            Slip((0.0, 1.0), "That is a fair choice, but here both share equally."),
        ),
        see="tab=graph",
    )
    return question, larger


def _chain_rule() -> Content:
    s = Variable(2, "s")
    z = ((s**2).named("g") * (3 * s).named("h")).named("z")
    found = silent(explain, z, s)
    through_g, through_h = (path.product for path in found.paths)
    first = found.paths[0].factors
    doubling, doubled = _doubling()
    t = Variable(1, "t")
    g, h = (4 * t).named("g"), (t**3).named("h")
    product = (g * h).named("z")
    other = silent(explain, product, t)
    return Content(
        f"z = g h with g = s**2 and h = 3 s, at s = 2. Two paths lead from z to s:\n\n{found}",
        (
            Question(
                "z = g h with g = 4 t and h = t**3, at t = 1. What does the path through h give?",
                number(other.paths[1].product),
                "dz/dh = g = 4 times dh/dt = 3 t**2 = 3.",
                (
                    Slip(number(other.gradient), "That is the sum over both paths."),
                    Slip(
                        number(other.paths[1].factors[0].value),
                        "That is dz/dh alone; dh/dt is missing.",
                    ),
                    Slip(
                        number(other.paths[1].factors[1].value),
                        "That is dh/dt alone; dz/dh is missing.",
                    ),
                ),
                see="tab=graph",
            ),
            Question(
                "Above, what would dz/ds be if h were held still?",
                number(through_g),
                "then only the path through g remains.",
                (
                    Slip(number(through_h), "That is the path through h."),
                    Slip(number(found.gradient), "That is the sum over both paths."),
                    Slip(number(first[0].value), "That is dz/dg alone; dg/ds is missing."),
                ),
                see="tab=graph",
            ),
            doubling,
        ),
        Screens(
            "Say the gradient of each edge before a step shows it. A click on s or t shows the "
            "paths, and a click on a path shows it alone.",
            graphs=(
                ("z = g h with g = s**2 and h = 3 s", z),
                ("z = g h with g = 4 t and h = t**3", product),
                ("five gates that double", doubled),
            ),
        ),
    )


def _doubling() -> tuple[Question, Variable]:
    """Ask for the paths through gates that add their input to itself."""
    doubled = x = Variable(1, "x")
    for _ in range(5):
        doubled = doubled + doubled
    question = Question(
        "Five gates, each of which adds its input to itself. How many paths lead through?",
        number(silent(explain, doubled, x, max_paths=0).n_paths),
        "each gate doubles them. The backward pass visits each edge once all the same.",
        (Slip((10.0,), "Each gate does not add two paths: it doubles those so far."),),
        see="tab=graph",
    )
    return question, doubled


def _jacobians() -> Content:
    def g(x: Any) -> Any:
        return graph.stack([x[0] * x[1], x[1] + x[2]])

    at = np.array([2.0, 3.0, 4.0])
    J = graph.jacobian(g)(at)
    v = np.array([1.0, 2.0])
    net = Network([2, 2], output="relu", dtype="float64", init="zeros")
    net.set_layer(0, [[1, 2], [3, 4]], [0, 0])
    [layer] = net.layer_jacobians([[-1.0, 1.0]])
    x0, x1, x2 = (Variable(value, f"x{i}") for i, value in enumerate(at))
    y0, y1 = (x0 * x1).named("y0"), (x1 + x2).named("y1")
    weighted = (y0 + (v[1] * y1).named("u")).named("s")
    text = (
        "y = (x0 x1, x1 + x2) at x = (2, 3, 4). Row i of the Jacobian J holds the derivatives of"
        f" yi:\n\n{J}\n\nGradients go back through its transpose: grad_x = J.T grad_y."
    )
    return Content(
        text,
        (
            Question(
                "A function takes 3 numbers and returns 2. How many rows and columns has J?",
                number(J.shape),
                "a row for each output, a column for each input.",
                (Slip(number(J.T.shape), "That is the transpose."),),
            ),
            Question(
                "If grad_y = (1, 2), what is grad_x? (Three numbers.)",
                number(J.T @ v),
                "1 times the first row plus 2 times the second.",
                (
                    Slip(number(J[0]), "That is the first row; y1 depends on x too."),
                    Slip(number(J.sum(axis=0)), "The second row counts twice: grad_y is (1, 2)."),
                ),
                see="tab=graph",
            ),
            Question(
                "A ReLU layer has W = [[1, 2], [3, 4]] and b = 0. At x = (-1, 1), what is the "
                "derivative of the second output in the first input?",
                number(layer[0, 1, 0]),
                "both neurons are on, so J = W, and row 2, column 1 is asked for.",
                (
                    Slip(number(layer[0, 0, 1]), "That is the transpose: rows are the outputs."),
                    Slip((0.0,), "The slope of this neuron is 1: its z = -3 + 4 is positive."),
                ),
                see="tab=walk&step=1&neuron=1.1",
            ),
        ),
        Screens(
            "Graph has a number whose derivatives are J.T grad_y. Walk has the ReLU layer: W is "
            "one of its matrices, and going back, edges may show the terms of W.T delta.",
            graphs=(("s = y0 + 2 y1, whose derivatives are J.T (1, 2)", weighted),),
            network=net,
            x=[[-1.0, 1.0]],
            y=[[0.0, 0.0]],
            uses=("walk",),
        ),
    )


LESSONS = (
    Lesson("The derivative as a limit", "01-derivative.md", _derivative),
    Lesson("Gates and local derivatives", "02-gates.md", _gates),
    Lesson("The chain rule, on one path and on many", "03-chain-rule.md", _chain_rule),
    Lesson("Jacobians: derivatives as matrices", "04-jacobians.md", _jacobians),
)
