"""Lessons 5 to 8: a neuron and a layer, the cost, and the backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import graph
from ..graph import Variable
from ..network import Network
from ..view import Screens
from ._question import Content, Lesson, Question, Slip, missing_factors, number, silent


def _neuron() -> Content:
    w0, x0 = Variable(2, "w0"), Variable(-1, "x0")
    w1, x1 = Variable(-3, "w1"), Variable(-2, "x1")
    w2 = Variable(-3, "w2")
    z = (w0 * x0 + w1 * x1 + w2).named("z")
    a = graph.sigmoid(z).named("a")
    a.backward()
    slope = float(z.grad)
    text = (
        "A sigmoid neuron: z = w0 x0 + w1 x1 + w2 and a = 1 / (1 + exp(-z)), with\n"
        "w0 = 2, x0 = -1, w1 = -3, x1 = -2, w2 = -3.\n\n"
        f"  z = -2 + 6 - 3 = {float(z.value):g}\n"
        f"  slope da/dz = a (1 - a) = {slope:.4f}\n"
        f"  da/dw2 = slope * 1 = {float(w2.grad):.4f}"
    )
    return Content(
        text,
        (
            Question(
                "What is the output a?",
                number(a.value),
                "1 / (1 + exp(-1)).",
                (
                    Slip(number(z.value), "That is z; the sigmoid is still to be applied."),
                    Slip(number(1 - a.value), "That is 1 / (1 + exp(z)): the sign of z."),
                ),
                see="tab=walk&step=1&neuron=1.0",
            ),
            Question(
                "What are da/dw0 and da/dx0?",
                number([w0.grad, x0.grad]),
                "the slope times what stands beside each: x0 and w0.",
                (
                    Slip(number([x0.value, w0.value]), "The slope a (1 - a) is missing."),
                    Slip(number([x0.grad, w0.grad]), "A multiply gate swaps its inputs."),
                ),
                see="tab=graph",
            ),
            Question(
                "What is da/dw1?",
                number(w1.grad),
                "the slope times x1 = -2.",
                (
                    Slip(number(x1.value), "The slope a (1 - a) is missing."),
                    Slip(number(x1.grad), "That is da/dx1; beside w1 stands x1."),
                ),
                see="tab=graph",
            ),
        ),
        Screens(
            "Graph and Walk have the same neuron. On Walk, w0 and w1 are its weights, and w2 is "
            "its bias. A slider changes a weight or an input, and everything is computed anew.",
            graphs=(("a = sigmoid(w0 x0 + w1 x1 + w2)", a),),
            network=_sigmoid_neuron(),
            x=[[float(x0.value), float(x1.value)]],
            y=[[1.0]],
            uses=("walk", "descent"),
        ),
    )


def _sigmoid_neuron() -> Network:
    """Return the neuron of lesson 5."""
    net = Network([2, 1], output="sigmoid", loss="squared_error", dtype="float64", init="zeros")
    net.set_layer(0, [[2, -3]], [-3])
    net.metadata = {"feature_names": ["x0", "x1"]}
    return net


def _cost() -> Content:
    net = Network([2, 1], loss="squared_error", dtype="float64", init="zeros")
    net.set_layer(0, [[1, 2]], [0])
    X, Y = np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[1.0], [1.0]])
    built = net.graph(X, Y)
    cost, error = net.cost(X, Y), net.predict(X) - Y
    guess = Network([2, 10], output="softmax", loss="cross_entropy", dtype="float64", init="zeros")
    chance = guess.cost(X[:1], [0])
    text = (
        "A linear neuron with w = (1, 2), two examples, and the loss (a - y)**2 of each:\n\n"
        + "\n".join(
            f"  x = {x}   a = {a[0]:g}   y = {y[0]:g}   loss {loss:g}"
            for x, a, y, loss in zip(X, net.predict(X), Y, built.losses.value, strict=True)
        )
        + "\n\nThe cost C is the mean of the losses."
    )
    return Content(
        text,
        (
            Question(
                "What is the cost?",
                number(cost),
                "the mean of both losses.",
                (Slip(number(2 * cost), "That is the sum; the cost is the mean."),),
                see="tab=graph",
            ),
            Question(
                "What is the derivative of C in the output a of the first example?",
                number(built.a[-1].grad[0, 0]),
                "1/2 of the mean, times 2 (a - y).",
                (
                    Slip(number(2 * error[0]), "The factor 1/2 of the mean is missing."),
                    Slip(number(error[0] / 2), "The factor 2 of the square is missing."),
                ),
                see="tab=graph",
            ),
            Question(
                "A network that guesses gives each of 10 classes the same probability. What is its "
                "cross-entropy?",
                number(chance),
                "-log(1/10), with the natural logarithm.",
                (Slip((1.0,), "The logarithm is the natural one."),),
            ),
        ),
        Screens(
            "Walk has one example at a time, each with its own loss. Graph has both, and their "
            "mean. Descent draws the cost over the two weights.",
            graphs=(("the cost of both examples, as arrays", built.cost),),
            network=net,
            x=X,
            y=Y,
            opens="tab=walk&step=2",
        ),
    )


def _output_layer() -> Content:
    net = Network([2, 1], output="tanh", loss="squared_error", dtype="float64", init="zeros")
    net.set_layer(0, [[0.5, 0.15]], [0])
    X, Y = [[1.0, 2.0]], [[0.25]]
    found = silent(net.explain, X, Y, 0, 0, 0)
    trace = net.trace(X, Y)
    assert trace.delta is not None
    z, a, delta = trace.z[0][0, 0], trace.a[1][0, 0], trace.delta[0][0, 0]
    loss = 2 * (a - 0.25)
    second = silent(net.explain, X, Y, 0, 0, 1)
    text = (
        "A tanh neuron with w = (0.5, 0.15), x = (1, 2), y = 0.25, and the loss (a - y)**2.\n"
        f"The derivative in w11, its first weight:\n\n{found}"
    )
    return Content(
        text,
        (
            Question(
                "What is delta = dC/dz?",
                number(delta),
                "2 (a - y) times the slope 1 - a**2.",
                (
                    Slip(number(loss), "The slope of tanh, 1 - a**2, is missing."),
                    Slip(number(loss * (1 - z**2)), "The slope is 1 - a**2, and not 1 - z**2."),
                    Slip(number(delta / 2), "The factor 2 of the square is missing."),
                ),
                see="tab=walk&step=3&neuron=1.0",
            ),
            Question(
                "What is the derivative of C in the second weight?",
                number(second.gradient),
                "delta times the second input, 2.",
                missing_factors(second),
                weight=(0, 0, 1),
            ),
            _softmax(),
        ),
        Screens(
            "Walk stands before the backward pass. Answer first. Then step on: the panel has the "
            "chain rule of the pinned weight with its numbers, and a difference quotient to check "
            "it.",
            graphs=(("the cost, as arrays", net.graph(X, Y).cost),),
            network=net,
            x=X,
            y=Y,
            uses=("walk", "descent"),
            opens="tab=walk&step=2&weight=1.0.1",
        ),
    )


def _softmax() -> Question:
    """Ask for delta of a softmax with cross-entropy."""
    net = Network([1, 3], output="softmax", loss="cross_entropy", dtype="float64", init="zeros")
    net.set_layer(0, [[0.0], [1.0], [2.0]], [0, 0, 0])
    trace = net.trace([[1.0]], [1])
    assert trace.delta is not None
    p = trace.a[1][0]
    return Question(
        f"Softmax gives {p[0]:.3f}, {p[1]:.3f}, {p[2]:.3f}, and class 2 of 3 is right. "
        "With cross-entropy, what is delta of class 2?",
        number(trace.delta[0][0, 1]),
        "p - y, with y = 1 for the right class.",
        (
            Slip(number(p[1]), "y = 1 is still to be subtracted."),
            Slip(number(p[2]), "That is another class, for which y = 0."),
        ),
    )


def _two_two_one() -> Network:
    """Return the network of lesson 8."""
    net = Network(
        [2, 2, 1],
        activation="tanh",
        output="tanh",
        loss="squared_error",
        dtype="float64",
        init="zeros",
    )
    net.set_layer(0, [[0.3, -0.2], [0.5, 0.7]], [0, 0])
    net.set_layer(1, [[2, 0.6]], [0])
    return net


def _hidden_layers() -> Content:
    net, X, Y = _two_two_one(), [[1.5, -0.5]], [[1.0]]
    example = silent(net.explain, X, Y, 0, 1, 1)
    trace = net.trace(X, Y)
    text = (
        "A 2-2-1 network of tanh, W1 = [[0.3, -0.2], [0.5, 0.7]], W2 = [[2, 0.6]], no biases,\n"
        "x = (1.5, -0.5), y = 1. The derivative in w22, from the second input to the second neuron:"
        f"\n\n{example}\n\n"
        f"Besides: z1[0] = {trace.z[0][0, 0]:.4f}, a1[0] = {trace.a[1][0, 0]:.4f}."
    )
    screens = Screens(
        "Walk stands before layer 1 goes back, and w11 is pinned. Answer first. Then step on: its "
        "path to the cost lights up, and the panel has every factor.",
        graphs=(("the cost, as arrays", net.graph(X, Y).cost),),
        network=net,
        x=X,
        y=Y,
        opens="tab=walk&step=4&weight=1.0.0",
    )
    questions = (_first_weight(net, X, Y), _other_weight(net, X, Y), _transposed())
    return Content(text, questions, screens)


def _first_weight(net: Network, X: Any, Y: Any) -> Question:
    """Ask for dL/dw11, of which every missing factor is recognised."""
    found = silent(net.explain, X, Y, 0, 0, 0)
    values = [number(factor.value)[0] for factor in found.paths[0].factors]
    product = float(found.gradient)
    trace, W2 = net.trace(X), net.weights[1]
    z1, z2 = trace.z[0][0, 0], trace.z[1][0, 0]
    return Question(
        "What is dL/dw11, from the first input to the first hidden neuron?",
        number(product),
        " * ".join(f"{value:.4g}" for value in values) + ".",
        (
            *missing_factors(found),
            Slip(
                number(product / values[1] * (1 - z2**2)),
                "The slope of the output is 1 - a2**2, and not 1 - z2**2.",
            ),
            Slip(
                number(product / values[3] * (1 - z1**2)),
                "The slope of the hidden neuron is 1 - a1**2, and not 1 - z1**2.",
            ),
            Slip(
                number(product * W2[0, 1] / W2[0, 0]),
                "The weight is that of the other hidden neuron: it must be W2[0, 0].",
            ),
            Slip(
                number(net.backprop(X, Y).weights[0][1, 1]),
                "That is dL/dw22, which stands above.",
            ),
        ),
        weight=(0, 0, 0),
    )


def _other_weight(net: Network, X: Any, Y: Any) -> Question:
    """Ask for dL/dw12, of which the transpose is recognised."""
    dW = net.backprop(X, Y).weights[0]
    deltas = net.trace(X, Y).delta
    assert deltas is not None
    return Question(
        "What is dL/dw12, from the second input to the first hidden neuron?",
        number(dW[0, 1]),
        "delta of the first hidden neuron times the second input, -0.5.",
        (
            Slip(
                number(dW[1, 0]),
                "That is the transpose: in delta x^T, the row is the neuron above.",
            ),
            Slip(number(dW[0, 0]), "That is dL/dw11; the second input is -0.5."),
            Slip(number(deltas[0][0, 0]), "The input beside the weight is missing."),
        ),
        weight=(0, 0, 1),
    )


def _transposed() -> Question:
    """Ask for delta of a linear layer, of which W in the place of W^T is recognised."""
    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    net = Network([2, 2, 2], activation="identity", loss="squared_error", dtype="float64")
    net.set_layer(0, np.eye(2), [0, 0])
    net.set_layer(1, W, [0, 0])
    deltas = net.trace([[1.0, 1.0]], [[2.5, 8.0]]).delta
    assert deltas is not None
    above = deltas[1][0]
    return Question(
        f"W2 = [[1, 2], [3, 4]] and delta2 = ({above[0]:g}, {above[1]:g}). The hidden neurons are "
        "linear. What is delta1? (Two numbers.)",
        number(deltas[0]),
        "W2^T delta2: column by column.",
        (Slip(number(W @ above), "That is W delta; going back takes the transpose."),),
    )


LESSONS = (
    Lesson("A neuron and a layer", "05-neuron.md", _neuron),
    Lesson("The cost", "06-cost.md", _cost),
    Lesson("Backward: the output layer", "07-output-layer.md", _output_layer),
    Lesson("Backward: hidden layers", "08-hidden-layers.md", _hidden_layers),
)
