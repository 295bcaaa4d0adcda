"""Sick networks: 41 set-ups that do not learn, or learn badly, and what is wrong with each.

512 examples of 20 inputs with a smooth target, or with classes made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import pybackprop as bp

Array = np.ndarray[Any, np.dtype[Any]]
N, N_IN = 512, 20


@dataclass
class Case:
    """A network that is sick, what it is trained on, and how."""

    net: bp.Network
    X: Array
    y: Array
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SetUp:
    """How a case is made, and what may be said of it."""

    name: str
    make: Callable[[int], Case]
    causes: tuple[str, ...]  # that may be named first; none for what cannot be seen
    cure: bool = True  # whether a change of the network, the data or the step can cure it


def smooth(seed: int) -> tuple[Array, Array]:
    """Inputs and a smooth target, both of mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, N_IN))
    u, v = rng.standard_normal((2, N_IN)) / np.sqrt(N_IN)
    y = np.sin(2.0 * x @ u) + 0.5 * x @ v
    return x, ((y - y.mean()) / y.std())[:, None]


def labels(y: Array, share: float = 0.5) -> Array:
    """The classes of a target: 1 for the largest ones."""
    cut = np.sort(y[:, 0])[round((1.0 - share) * len(y))]
    return (y[:, 0] >= cut).astype(np.int64)


def network(seed: int, hidden: list[int] | None = None, **settings: Any) -> bp.Network:
    return bp.Network(
        [N_IN, *(hidden or [64, 64]), settings.pop("n_out", 1)], seed=seed, **settings
    )


def scaled(net: bp.Network, factor: float, layers: Any = None) -> bp.Network:
    """Multiply the weights of some layers, by default of all."""
    for at in range(len(net.weights)) if layers is None else layers:
        net.set_layer(at, factor * net.weights[at], net.biases[at])
    return net


def biased(net: bp.Network, value: float) -> bp.Network:
    """Set all biases of the hidden layers."""
    for at in range(len(net.weights) - 1):
        net.set_layer(at, net.weights[at], np.full(len(net.biases[at]), value))
    return net


def moved(net: bp.Network, x: Array, side: int) -> bp.Network:
    """Choose the biases of the hidden layers so that every z is on one side of 0."""
    for at in range(len(net.weights) - 1):
        z = net.trace(x).z[at]
        nearest = z.min(axis=0) if side > 0 else z.max(axis=0)
        net.set_layer(at, net.weights[at], side - nearest)
    return net


def adam() -> dict[str, Any]:
    """What `fit` trains with by default."""
    return {"optimizer": bp.Adam()}


# ---- weights ----


def deep(activation: str, depth: int, factor: float = 1.0, width: int = 64) -> Any:
    def make(seed: int) -> Case:
        net = scaled(network(seed, [width] * depth, activation=activation), factor)
        return Case(net, *smooth(seed), adam())

    return make


def softmax_too_large(seed: int) -> Case:
    x, y = smooth(seed)
    net = network(seed, n_out=2, output="softmax", loss="cross_entropy")
    return Case(scaled(net, 100.0), x, labels(y), adam())


def shallow(factor: float = 1.0, bias: float | None = None, **settings: Any) -> Any:
    """Two hidden layers with changed weights or biases."""

    def make(seed: int) -> Case:
        net = scaled(network(seed, **settings), factor)
        if bias is not None:
            biased(net, bias)
        return Case(net, *smooth(seed), adam())

    return make


def first_layer_saturated(seed: int) -> Case:
    net = scaled(network(seed, activation="tanh"), 50.0, [0])
    return Case(net, *smooth(seed), adam())


def duplicated_neurons(seed: int) -> Case:
    net = network(seed, activation="tanh")
    for at, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        rows = np.repeat(w[:1], len(w), axis=0)
        net.set_layer(at, np.repeat(rows[:, :1], w.shape[1], axis=1) if at else rows, b)
    return Case(net, *smooth(seed), adam())


def confidently_wrong(seed: int) -> Case:
    x, y = smooth(seed)
    net = network(seed, output="sigmoid", loss="mse")
    net.set_layer(2, net.weights[2], [-30.0])
    return Case(net, x, labels(y, 0.7)[:, None].astype(float), {"optimizer": bp.SGD(lr=0.1)})


def one_sided(activation: str, side: int) -> Any:
    def make(seed: int) -> Case:
        x, y = smooth(seed)
        return Case(moved(network(seed, activation=activation), x, side), x, y, adam())

    return make


# ---- data ----


def changed(change: Callable[[Array, Array], tuple[Array, Array]], **settings: Any) -> Any:
    """A healthy network with data that are not."""

    def make(seed: int) -> Case:
        x, y = change(*smooth(seed))
        return Case(network(seed, **settings), x, y, adam())

    return make


def put(value: float, into: str) -> Any:
    def change(x: Array, y: Array) -> tuple[Array, Array]:
        (x if into == "X" else y)[37, 0] = value
        return x, y

    return change


def half_constant(x: Array, y: Array) -> tuple[Array, Array]:
    x[:, ::2] = 0.7
    return x, y


def classes(share: float) -> Any:
    def make(seed: int) -> Case:
        x, y = smooth(seed)
        net = network(seed, n_out=2, output="softmax", loss="cross_entropy")
        return Case(net, x, labels(y, share) if share else np.zeros(N, np.int64), adam())

    return make


def label_noise(x: Array, y: Array) -> tuple[Array, Array]:
    return x, np.random.default_rng(5).permutation(y)


# ---- step ----


def before(lr: float) -> Any:
    def make(seed: int) -> Case:
        return Case(network(seed), *smooth(seed), {"lr": lr})

    return make


def after_failing(lr: float) -> Any:
    def make(seed: int) -> Case:
        net, (x, y) = network(seed), smooth(seed)
        try:
            net.fit(x, y, epochs=3, optimizer=bp.SGD(lr=lr))
        except FloatingPointError:
            return Case(net, x, y, {"lr": lr})
        raise AssertionError(f"lr={lr} did not make the cost infinite")

    return make


def after_large_adam(seed: int) -> Case:
    net, (x, y), adam = network(seed), smooth(seed), bp.Adam(lr=3.0)
    net.fit(x, y, epochs=3, optimizer=adam)
    return Case(net, x, y, {"optimizer": adam})


DATA = ("inputs_scale", "inputs_offset")
ZERO = ("symmetric_units",)
WEIGHTS = ("exploding", "saturated_units")

SET_UPS = [
    SetUp("sigmoid x10", deep("sigmoid", 10, width=32), ("vanishing",)),
    SetUp("linear x10, W x3", deep("identity", 10, 3.0), ("exploding",)),
    SetUp("relu x10, W x2", deep("relu", 10, 2.0), ("exploding",)),
    SetUp("tanh x6, W x20", deep("tanh", 6, 20.0), WEIGHTS),
    SetUp("softmax, W x100", softmax_too_large, ("exploding",)),
    SetUp("biases -50", shallow(bias=-50.0), ("dead",)),
    SetUp("Adam lr=3, after 3 epochs", after_large_adam, ("step_too_large",)),
    SetUp("relu, zeros", shallow(init="zeros"), ZERO),
    SetUp("sigmoid x50", deep("sigmoid", 50, width=32), ("vanishing",)),
    SetUp("relu x10, W x0.3", deep("relu", 10, 0.3), ("vanishing",)),
    SetUp("inputs x1000, tanh", changed(lambda x, y: (1e3 * x, y), activation="tanh"), DATA[:1]),
    SetUp("inputs zero", changed(lambda x, y: (0.0 * x, y)), ("inputs_constant",), cure=False),
    SetUp("tanh, zeros", shallow(init="zeros", activation="tanh"), ZERO),
    SetUp("sigmoid, zeros", shallow(init="zeros", activation="sigmoid"), ZERO),
    SetUp("sigmoid output with mse, confidently wrong", confidently_wrong, ("saturated_outputs",)),
    SetUp("sigmoid, W x20", shallow(20.0, activation="sigmoid"), WEIGHTS),
    SetUp("NaN in X", changed(put(np.nan, "X")), ("inputs_not_finite",)),
    SetUp("NaN in y", changed(put(np.nan, "y")), ("targets_not_finite",)),
    SetUp("infinity in X", changed(put(np.inf, "X")), ("inputs_not_finite",)),
    SetUp("tanh, W x20", shallow(20.0, activation="tanh"), WEIGHTS),
    SetUp("inputs x1000, relu", changed(lambda x, y: (1e3 * x, y)), DATA[:1]),
    SetUp("columns 1e-4 to 1e4", changed(lambda x, y: (x * np.logspace(-4, 4, N_IN), y)), DATA[:1]),
    SetUp("inputs +1000", changed(lambda x, y: (x + 1000.0, y)), DATA[1:]),
    SetUp("lr=10, before", before(10.0), ("step_too_large",)),
    SetUp("lr=10, after a fit", after_failing(10.0), ("step_too_large",)),
    SetUp("lr=2, after a fit", after_failing(2.0), ("step_too_large",)),
    SetUp("lr=1e-9", before(1e-9), ("step_too_small",)),
    SetUp(
        "inputs constant", changed(lambda x, y: (x * 0 + 1, y)), ("inputs_constant",), cure=False
    ),
    # What is left of the inputs is learned as before.
    SetUp("half of the inputs constant", changed(half_constant), ("inputs_constant",), cure=False),
    # One batch does not tell noise from what is hard to learn.
    SetUp("label noise", changed(label_noise), (), cure=False),
    SetUp("duplicated neurons", duplicated_neurons, ZERO),
    SetUp("classes 99:1", classes(0.01), ("classes_unbalanced",)),
    SetUp("one class", classes(0.0), ("targets_constant",), cure=False),
    SetUp("relu x50", deep("relu", 50), ("too_deep",)),
    SetUp("tanh x50", deep("tanh", 50), ("too_deep",)),
    SetUp("targets x1e6", changed(lambda x, y: (x, 1e6 * y)), ("targets_scale",)),
    SetUp("targets +1000", changed(lambda x, y: (x, y + 1000.0)), ("targets_offset",)),
    SetUp("l2=100", shallow(l2=100.0), ("penalty_dominates",)),
    SetUp("first layer saturated", first_layer_saturated, ("saturated_units",)),
    SetUp("leaky relu below 0", one_sided("leaky_relu", -1), ("linear_units",)),
    SetUp("relu above 0", one_sided("relu", 1), ("linear_units",)),
]
