"""Lessons 9 to 12: gradient descent, L2 regularisation, slopes of activations, depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import datasets, graph
from ..kernels import activation, activation_derivative
from ..network import Network
from ..optimizers import SGD
from ..view import Screens
from ._question import Content, Lesson, Question, Slip, number, silent, yes


def _booth(v: Any) -> Any:
    return (v[0] + 2 * v[1] - 7) ** 2 + (2 * v[0] + v[1] - 5) ** 2


def _gradient_descent() -> Content:
    start, lowest = np.zeros(2), np.array([1.0, 3.0])
    slope = graph.grad(_booth)(start)
    path = graph.minimize(_booth, start, lr=0.1, steps=1)
    low, high = np.linalg.eigvalsh(graph.jacobian(graph.grad(_booth))(lowest))

    def distance(lr: float) -> float:
        return float(np.linalg.norm(graph.minimize(_booth, start, lr=lr, steps=200)[-1] - lowest))

    far = distance(0.112)
    text = (
        "Booth's function f = (x + 2 y - 7)**2 + (2 x + y - 5)**2 has its minimum at (1, 3).\n\n"
        f"  gradient at (0, 0): ({slope[0]:g}, {slope[1]:g})\n"
        f"  eigenvalues of the matrix of second derivatives: {low:g} and {high:g}\n"
        f"  200 steps with lr = 0.11 from (0, 0): {distance(0.11):.3g} from the minimum"
    )
    return Content(
        text,
        (
            Question(
                "Where does the first step of gradient descent from (0, 0) lead, with lr = 0.1?",
                number(path[1]),
                "x - lr * gradient.",
                (Slip(number(-slope), "The rate lr is missing."),),
                see="tab=descent",
            ),
            Question(
                "Below which rate does gradient descent converge?",
                number(2 / high),
                "2 over the largest eigenvalue: then 1 - lr * eigenvalue lies within -1 and 1.",
                (
                    Slip(number(1 / high), "That is half of it: 1 - lr * eigenvalue may be -1."),
                    Slip(number(2 / low), "The largest eigenvalue decides, and not the smallest."),
                ),
                see="tab=descent",
            ),
            Question(
                "Does it converge with lr = 0.112?",
                yes(far < np.linalg.norm(start - lowest)),
                f"after 200 steps it is {far:.3g} from the minimum.",
                choices=("yes", "no"),
                see="tab=descent",
            ),
        ),
        _descents(start),
    )


def _descents(start: Any) -> Screens:
    """Return paths down Booth's function on both sides of its limit, and a network that learns."""
    data = datasets.moons(200, seed=0)
    net = Network([2, 8, 2], activation="tanh", output="softmax", loss="cross_entropy", seed=0)
    rules = {"sgd": [0.02, 0.1, 0.11, 0.112], "adam": 0.3}
    options = {"rules": rules, "steps": 20, "title": "Booth's function"}
    return Screens(
        "Descent has paths on both sides of the limit; play them step by step. On Train a network "
        "learns at the rate that you choose. Put two side by side, and find the rate at which the "
        "cost no longer falls.",
        network=net,
        x=data.x,
        y=data.y,
        descent=(_booth, start, options),
        opens="tab=descent",
    )


def _penalised(l2: float) -> Network:
    """Return the network of lesson 10."""
    net = Network([2, 1], loss="squared_error", dtype="float64", init="zeros", l2=l2)
    net.set_layer(0, [[1, 4]], [-1.5])
    return net


def _regularisation() -> Content:
    X, Y = [[1.0, 1.0]], [[3.0]]
    plain, net = _penalised(0.0), _penalised(0.5)
    without, penalised = plain.backprop(X, Y), net.backprop(X, Y)
    penalty = net.cost(X, Y) - plain.cost(X, Y)
    w = float(net.weights[0][0, 1])
    found = silent(net.explain, X, Y, 0, 0, 0)
    changed = not np.array_equal(without.biases[0], penalised.biases[0])
    decayed = _penalised(0.5)
    decayed.step([[0.0, 0.0]], [[-1.5]], SGD(lr=0.1))
    text = (
        "L2 adds l2/2 * sum of W**2 to the cost. Here W = (1, 4), b = -1.5 and l2 = 0.5.\n"
        f"The derivative in the first weight has a path past the neuron:\n\n{found}\n\n"
        "An example whose loss has no slope: one step with lr = 0.1 turns the weight 4 into "
        f"{decayed.weights[0][0, 1]:g}."
    )
    return Content(
        text,
        (
            Question(
                "How much does the penalty add to the cost?",
                number(penalty),
                "0.5/2 times 1 + 16.",
                (
                    Slip(number(2 * penalty), "The half is missing: l2/2 multiplies the sum."),
                    Slip(number(4 * penalty), "The factor l2/2 is missing."),
                ),
                see="tab=graph",
            ),
            Question(
                "What is the derivative of the cost in the second weight, 4?",
                number(penalised.weights[0][0, 1]),
                "the loss gives 1, and the penalty l2 * W = 0.5 * 4.",
                (
                    Slip(number(without.weights[0][0, 1]), "The penalty's part l2 * W is missing."),
                    Slip(number(0.5 * w), "That is the penalty alone; the loss is missing."),
                    Slip(number(1 + w), "The factor l2 is missing."),
                ),
                weight=(0, 0, 1),
            ),
            Question(
                "Does the penalty change the derivative in the bias?",
                yes(changed),
                "only weights are penalised.",
                choices=("yes", "no"),
                see="tab=walk&step=3&neuron=1.0",
            ),
        ),
        Screens(
            "Graph has the path past the neuron. On Train choose another l2: the larger it is, the "
            "smaller the weights, and the larger the loss that is left. Descent draws the sum of "
            "loss and penalty.",
            graphs=(("the cost with its penalty, as arrays", net.graph(X, Y).cost),),
            network=net,
            x=X,
            y=Y,
            opens="tab=walk&step=2&weight=1.0.1",
        ),
    )


def _activations() -> Content:
    z = np.array([[-4.0, -1.0, 0.0, 1.0, 4.0]])
    rows = [
        f"  {name:<8}" + "".join(f"{slope:>8.3f}" for slope in activation_derivative(name, z)[0])
        for name in ("sigmoid", "tanh", "relu")
    ]
    net = Network([8, *6 * [8], 8], activation="tanh", output="tanh", dtype="float64", seed=0)
    x = np.linspace(-1, 1, 8)[None]
    norms = [float(np.linalg.norm(J[0], 2)) for J in net.layer_jacobians(x)]
    whole = float(np.linalg.norm(net.jacobian(x)[0], 2))
    text = (
        "Slopes at z = -4, -1, 0, 1 and 4:\n\n" + "\n".join(rows) + "\n\n"
        "Seven layers of tanh: the norm of the product of their Jacobians is "
        f"{whole:.3g},\nand the product of their norms, which bounds it, is {np.prod(norms):.3g}."
    )
    zero = np.zeros((1, 1))
    steepest = float(activation_derivative("sigmoid", zero)[0, 0])
    at = np.array([[np.arctanh(0.8)]])
    slope = float(activation_derivative("tanh", at)[0, 0])
    dead = Network([1, 1, 1], activation="relu", loss="squared_error", dtype="float64")
    dead.set_layer(0, [[1.0]], [-5.0])
    dead.set_layer(1, [[2.0]], [0.0])
    gradient = dead.backprop([[1.0]], [[3.0]]).weights[0]
    as_if_on = 2 * (dead.predict([[1.0]]) - 3.0) * dead.weights[1]
    return Content(
        text,
        (
            Question(
                "What is the largest slope of a sigmoid?",
                number(steepest),
                "a (1 - a) is largest at z = 0, where a is a half.",
                (
                    Slip(number(activation("sigmoid", zero)), "That is its value at 0."),
                    Slip((1.0,), "That is the largest slope of tanh."),
                ),
            ),
            Question(
                "A tanh neuron has the output 0.8. What is its slope?",
                number(slope),
                "1 - a**2.",
                (
                    Slip((1 - 0.8,), "The square is missing: it is 1 - a**2."),
                    Slip((0.8 * (1 - 0.8),), "That is the slope of a sigmoid with this output."),
                    Slip((0.8**2,), "That is a**2; the slope is 1 - a**2."),
                ),
            ),
            Question(
                "A ReLU neuron has w = 1, b = -5, and the input 1. The weight above it is 2, the "
                "target 3. What is dC/dw?",
                number(gradient),
                "z = -4 is below 0, so the slope is 0, and with it every product.",
                (Slip(number(as_if_on), "The slope of the neuron is missing: its z is -4."),),
            ),
        ),
        _deep(net),
    )


def _deep(net: Network) -> Screens:
    """Return the deep network with examples to learn from; it comes up at the first gradient."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, net.widths[0]))
    y = np.tanh(x @ rng.standard_normal((net.widths[0], net.widths[-1])) / 2)
    return Screens(
        "Walk back through the layers, and compare the norms of delta. On Train put two networks "
        "side by side, one of tanh and one of sigmoid, and compare |delta| of their first layers.",
        network=net,
        x=x,
        y=y,
        opens=f"tab=walk&step={2 * len(net.weights) + 1}",
    )


def _tents(k: int) -> Network:
    """Return the tent map composed k times: two ReLU a layer."""
    net = Network([1, *k * [2], 1], activation="relu", dtype="float64", init="zeros")
    net.set_layer(0, [[1], [1]], [0, -0.5])
    for layer in range(1, k):
        net.set_layer(layer, [[2, -4], [2, -4]], [0, -0.5])
    net.set_layer(k, [[2, -4]], [0])
    return net


def _pieces(net: Network) -> int:
    """Count the straight pieces of a function on [0, 1], by the changes of its slope."""
    slopes = net.jacobian((np.arange(4096)[:, None] + 0.5) / 4096).ravel()
    return 1 + int((slopes[1:] != slopes[:-1]).sum())


def _depth() -> Content:
    counts = {k: _pieces(_tents(k)) for k in (1, 2, 3, 5)}
    linear = Network([1, 4, 4, 1], activation="identity", dtype="float64", seed=0)
    bends = bool(np.ptp(linear.jacobian(np.linspace(-1, 1, 50)[:, None])) > 1e-9)
    lines = [f"  {k} layer{'s'[: k > 1]} of 2 ReLU: {counts[k]} straight pieces" for k in (1, 2, 3)]
    text = (
        "The tent map t(x) = 2 relu(x) - 4 relu(x - 1/2) goes up from 0 to 1 and down again on\n"
        "[0, 1]. Each further layer of two ReLU applies it once more:\n\n" + "\n".join(lines)
    )
    return Content(
        text,
        (
            Question(
                "How many straight pieces has it with 5 layers?",
                number(counts[5]),
                "each layer doubles them.",
                (
                    Slip((10.0,), "That is the number of neurons; the pieces double each time."),
                    Slip((6.0,), "Each layer does not add a piece: it doubles them."),
                    Slip((25.0,), "They grow as 2**k, and not as k**2."),
                ),
            ),
            Question(
                "One hidden layer of n ReLU has at most n + 1 pieces. How many ReLU does it need "
                "for as many pieces as 5 layers of 2?",
                number(counts[5] - 1),
                f"n + 1 = {counts[5]}; the deep network has 10.",
                (
                    Slip((10.0,), "That is what the deep network has."),
                    Slip(number(counts[5]), "One less is enough: n ReLU give n + 1 pieces."),
                ),
            ),
            Question(
                "Does a network of three layers with identity activations bend anywhere?",
                yes(bends),
                "a product of matrices is one matrix: one layer would do.",
                choices=("yes", "no"),
            ),
        ),
        _stripes(3),
    )


def _stripes(k: int) -> Screens:
    """Return the tents over the first of two inputs, so that a map shows the pieces as stripes."""
    net, flat = (
        Network([2, *k * [2], 1], activation="relu", dtype="float64", init="zeros"),
        _tents(k),
    )
    net.set_layer(0, np.hstack([flat.weights[0], np.zeros((2, 1))]), flat.biases[0])
    for layer in range(1, k + 1):
        net.set_layer(layer, flat.weights[layer], flat.biases[layer])
    x = np.random.default_rng(0).uniform(size=(128, 2))
    return Screens(
        "Train shows the network of three layers as it is given, over two inputs of which the "
        "second does not count: across the map the output goes up and down in 8 pieces. Choose "
        "another start, and see whether training finds them.",
        network=net,
        x=x,
        y=flat.predict(x[:, :1]),
        train={"init": "given"},
        opens="tab=train",
    )


LESSONS = (
    Lesson("Gradient descent and its rate", "09-descent.md", _gradient_descent),
    Lesson("L2 regularisation", "10-regularisation.md", _regularisation),
    Lesson("Slopes of activations: vanishing and dead", "11-activations.md", _activations),
    Lesson("Why depth", "12-depth.md", _depth),
)
