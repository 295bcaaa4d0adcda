"""The network explained: a weight's derivative by paths, its graph, its layers' Jacobians."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import _core

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 2))
HIDDEN = [name for name in _core.ACTIVATIONS if name != "softmax"]
ONE, TARGET = [[1.0, 2.0]], [[1.0]]


def network(widths: Any = (2, 3, 2, 2), **settings: Any) -> bp.Network:
    defaults = {"activation": "tanh", "dtype": "float64", "seed": 1}
    net = bp.Network(list(widths), **{**defaults, **settings})
    net.parameters = np.random.default_rng(4).normal(size=net.n_parameters)
    return net


def lecture() -> bp.Network:
    """Two inputs, two tanh neurons, one tanh output."""
    net = network([2, 2, 1], output="tanh", loss="squared_error")
    net.set_layer(0, [[0.1, 0.3], [-0.2, 0.4]], [0.0, 0.0])
    net.set_layer(1, [[0.5, -0.6]], [0.0])
    return net


def every_parameter(net: bp.Network) -> list[tuple[int, int, int | None]]:
    found: list[tuple[int, int, int | None]] = []
    for layer, W in enumerate(net.weights):
        for i in range(W.shape[0]):
            found += [(layer, i, j) for j in (*range(W.shape[1]), None)]
    return found


def assert_paths_add_up(net: bp.Network, y: Any, weight: Any = None) -> None:
    """The sum over all paths, and the gradient, are what backpropagation gives."""
    gradients = net.backprop(X, y, weight)
    for layer, i, j in every_parameter(net):
        found = net.explain(X, y, layer, i, j, sample_weight=weight, max_paths=1000)
        assert len(found.paths) == found.n_paths
        total = sum(float(path.product) for path in found.paths)
        expected = gradients.biases[layer][i] if j is None else gradients.weights[layer][i, j]
        np.testing.assert_allclose([total, float(found.gradient)], expected, rtol=1e-9, atol=1e-13)


def test_a_weight_of_the_lecture_factor_by_factor(capsys: pytest.CaptureFixture[str]) -> None:
    net = lecture()
    found = net.explain(ONE, TARGET, 0, 0, 0)
    [path] = found.paths
    assert path.nodes == ("C", "a2[0]", "z2[0]", "a1[0]", "z1[0]", "W1[0, 0]")
    trace = net.trace(ONE, TARGET)
    a2, a1 = trace.a[2][0, 0], trace.a[1][0, 0]
    assert [(factor.name, factor.formula) for factor in path.factors] == [
        ("dC/da2[0]", "2*(a2[0] - y[0])"),
        ("da2[0]/dz2[0]", "1 - a2[0]**2"),
        ("dz2[0]/da1[0]", "W2[0, 0]"),
        ("da1[0]/dz1[0]", "1 - a1[0]**2"),
        ("dz1[0]/dW1[0, 0]", "x[0]"),
    ]
    values = [2 * (a2 - 1), 1 - a2**2, 0.5, 1 - a1**2, 1.0]
    np.testing.assert_allclose([float(f.value) for f in path.factors], values, rtol=1e-14)
    np.testing.assert_allclose(path.product, np.prod(values), rtol=1e-14)
    assert capsys.readouterr().out == f"{found}\n"


@pytest.mark.parametrize("name", HIDDEN)
def test_paths_add_up_for_every_activation(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_paths_add_up(network(activation=name, output=name), RNG.normal(size=(3, 2)))


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        *((loss, "identity") for loss in ("mse", "squared_error", "mae", "huber")),
        ("binary_cross_entropy", "sigmoid"),
        ("cross_entropy", "softmax"),
        ("mse", "softmax"),
    ],
)
def test_paths_add_up_for_every_loss(
    loss: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    net = network(loss=loss, output=output, l1=0.1, l2=0.3)
    net.set_scaling([0.5, -1.0], [2.0, 3.0])
    assert_paths_add_up(net, [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [1.0, 0.0, 2.5])


def test_labels_and_losses_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    net = network(loss="cross_entropy", output="softmax")
    assert_paths_add_up(net, [1, 0, 1])
    own = network(loss=lambda a, y: (((a - y) ** 4).sum(1), 4 * (a - y) ** 3))
    assert_paths_add_up(own, RNG.normal(size=(3, 2)))
    assert "loss[0] = loss(a, y) = " in capsys.readouterr().out


def test_a_loss_that_has_no_hash() -> None:
    @dataclass
    class Fourth:
        factor: float

        def __call__(self, a: Any, y: Any) -> tuple[Any, Any]:
            return self.factor * ((a - y) ** 4).sum(1), 4 * self.factor * (a - y) ** 3

    assert_paths_add_up(network(loss=Fourth(2.0)), RNG.normal(size=(3, 2)))


def test_targets_that_do_not_add_up_to_one(capsys: pytest.CaptureFixture[str]) -> None:
    net = network(loss="cross_entropy", output="softmax")
    y = RNG.uniform(0.1, 0.4, size=(3, 2))
    assert_paths_add_up(net, y)
    slope = r"sum\(y\[0\]\)\*a\d\[0, 0\] - y\[0, 0\]"
    assert re.search(slope, capsys.readouterr().out)


def test_slopes_in_words_are_the_slopes() -> None:
    from math import erf

    from pybackprop.graph._formulas import ACTIVATIONS

    def softplus(z: float) -> float:
        return float(np.log1p(np.exp(z)))

    words = {
        "tanh": np.tanh,
        "softplus": softplus,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "Phi": lambda z: 0.5 * (1 + erf(z / np.sqrt(2))),
        "phi": lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
    }
    for name in HIDDEN:
        for z in (-1.5, 0.7):
            point = np.array([[z]])
            a = bp.kernels.activation(name, point)[0, 0]
            # A condition in brackets is 1 or 0.
            text = ACTIVATIONS[name].slope.format(a="a", z="z")
            text = text.replace("[", "(").replace("]", ")")
            got = float(eval(text, {**words, "a": a, "z": z}))
            want = bp.kernels.activation_derivative(name, point)[0, 0]
            assert abs(got - want) < 1e-4, name


def test_one_output_and_several_are_written_as_in_a_lecture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for loss, output, text in (
        ("mse", "identity", "C = (a1[0] - y[0])**2 = "),
        ("mae", "identity", "C = abs(a1[0] - y[0]) = "),
        ("binary_cross_entropy", "sigmoid", "dC/dz1[0] = a1[0] - y[0] = "),
    ):
        net = network([2, 1], loss=loss, output=output)
        assert text in str(net.explain(ONE, TARGET, 0, 0, 1))
    net = network([6, 2], loss="mse")
    text = str(net.explain(np.ones((2, 6)), np.ones((2, 2)), 0, 1))
    assert "z1[0, 1] = W1[1] @ x[0] + b1[1] = " in text
    assert "dloss[1]/da1[1, 1] = 2*(a1[1, 1] - y[1, 1])/2 = " in text
    assert "C = mean(loss) = " in text


def test_penalty_is_a_path_of_weights_alone(capsys: pytest.CaptureFixture[str]) -> None:
    net = network([2, 1], l1=0.5, l2=0.25)
    first = net.explain(ONE, TARGET, 0, 0, 1).paths[0]
    assert first.nodes == ("C", "penalty", "W1[0, 1]")
    w = net.weights[0][0, 1]
    assert first.factors[1].formula == "0.5*sign(W1[0, 1]) + 0.25*W1[0, 1]"
    assert float(first.product) == 0.5 * np.sign(w) + 0.25 * w
    assert net.explain(ONE, TARGET, 0, 0).n_paths == 1


def test_float32_networks_are_explained_in_float64(capsys: pytest.CaptureFixture[str]) -> None:
    net = bp.Network([2, 3, 1], seed=0)
    found = net.explain(ONE, TARGET, 0, 1, 1)
    assert np.asarray(found.gradient).dtype == np.float64
    np.testing.assert_allclose(
        found.gradient, net.backprop(ONE, TARGET).weights[0][1, 1], rtol=1e-5
    )


def test_big_networks_are_counted_and_not_walked(capsys: pytest.CaptureFixture[str]) -> None:
    net = bp.Network([30, *7 * [200], 1], activation="tanh", seed=0)
    x, y = RNG.normal(size=(4, 30)), RNG.normal(size=(4, 1))
    found = net.explain(x, y, 0, 7, 3, max_paths=2)
    assert (found.n_paths, len(found.paths)) == (4 * 200**6, 2)
    np.testing.assert_allclose(
        found.gradient, net.backprop(x, y).weights[0][7, 3], rtol=1e-3, atol=1e-9
    )
    deeper = bp.Network([3, *9 * [200], 1], activation="tanh", seed=0)
    assert deeper.explain(x[:, :3], y, 0, 0, 0, max_paths=0).n_paths == 10**15
    assert "1000000000000000 or more paths" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2, 0, 0), ValueError, r"layer must be in \[0, 1\], got 2"),
        ((-1, 0, 0), ValueError, r"layer must be in \[0, 1\], got -1"),
        ((0, 2, 0), ValueError, r"i must be in \[0, 1\], got 2"),
        ((0, 0, 2), ValueError, r"j must be in \[0, 1\], got 2"),
        ((0.0, 0, 0), TypeError, "layer must be an integer, got 0.0"),
        ((0, True, 0), TypeError, "i must be an integer, got True"),
    ],
)
def test_explain_refuses_what_is_not_there(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        lecture().explain(ONE, TARGET, *arguments)


def test_explain_refuses_too_many_paths_and_wrong_data() -> None:
    net = lecture()
    with pytest.raises(ValueError, match=r"max_paths must be in \[0, 10000\], got 10001"):
        net.explain(ONE, TARGET, 0, 0, 0, max_paths=10_001)
    with pytest.raises(ValueError, match=r"X must have shape \(N, 2\), got \(1, 3\)"):
        net.explain([[1.0, 2.0, 3.0]], TARGET, 0, 0, 0)
    with pytest.raises(ValueError, match="y must"):
        net.graph(ONE, [[1.0, 2.0]])
    with pytest.raises(ValueError, match="sample_weight must"):
        net.graph(ONE, TARGET, [-1.0])


def test_graph_is_that_of_the_cost() -> None:
    net = network(l2=0.1)
    y, weight = RNG.normal(size=(3, 2)), [1.0, 2.0, 0.5]
    built, gradients = net.graph(X, y, weight), net.backprop(X, y, weight)
    np.testing.assert_allclose(built.cost.value, gradients.cost, rtol=1e-13)
    np.testing.assert_allclose(built.flat_gradient(), gradients.flat, rtol=1e-12)
    assert built.losses.shape == (3,)
    assert "<svg" in built.cost.to_svg(layout="layers")


# ---- Jacobians of the layers ----


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_product_of_layers_is_the_jacobian(output: str, dtype: str) -> None:
    net = network([2, 5, 4, 3], activation=["gelu", "relu"], output=output, dtype=dtype)
    net.set_scaling([0.1, -0.2], [3.0, 0.5])
    factors = net.layer_jacobians(X)
    assert [J.shape for J in factors] == [(3, 5, 2), (3, 4, 5), (3, 3, 4)]
    assert {str(J.dtype) for J in factors} == {dtype}
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(
        reduce(np.matmul, reversed(factors)), net.jacobian(X), rtol=tolerance, atol=tolerance / 100
    )


def test_a_layer_is_the_slopes_times_the_weights() -> None:
    net = network([2, 3], output="tanh")
    [J] = net.layer_jacobians(X)
    slope = 1 - net.predict(X) ** 2
    for k in range(3):
        np.testing.assert_allclose(J[k], np.diag(slope[k]) @ net.weights[0], rtol=1e-12)


def test_jacobians_have_a_limit_that_is_named() -> None:
    net = bp.Network([1000, 1000, 1000], init="zeros")
    with pytest.raises(ValueError, match=r"X must have at most 268 rows .* got 300 rows: pass"):
        net.layer_jacobians(np.zeros((300, 1000), np.float32))
    with pytest.raises(ValueError, match="X must"):
        net.layer_jacobians(np.zeros((0, 1000), np.float32))
