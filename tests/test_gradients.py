"""The gradients of the C core, held to the pure-Python reference and to central differences.

A bound is relative to the largest entry of each tensor of the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray
from reference import Gradient, Reference

import pybackprop as bp

BOUNDS = {"float64": 1e-12, "float32": 2e-5}
Array = NDArray[Any]

dtypes = pytest.mark.parametrize("dtype", list(BOUNDS))


@dataclass
class Case:
    """A network, its twin in the reference, and a batch."""

    net: bp.Network
    twin: Reference
    x: Array
    y: Array
    sample_weight: Array | None = None

    @property
    def bound(self) -> float:
        return BOUNDS[str(self.x.dtype)]

    def expected(self, masks: list[Any] | None = None) -> Gradient:
        weight = None if self.sample_weight is None else self.sample_weight.tolist()
        return self.twin.backprop(self.x.tolist(), self.y.tolist(), weight, masks)


def twin_of(net: bp.Network, **options: Any) -> Reference:
    return Reference(
        weights=[w.tolist() for w in net.weights],
        biases=[b.tolist() for b in net.biases],
        activations=list(net.activations),
        **options,
    )


def targets(rng: np.random.Generator, kind: str, batch: int, n_out: int, dtype: str) -> Array:
    """Reals, integer labels, or rows of probabilities."""
    if kind == "labels":
        return np.asarray(rng.integers(0, n_out, batch))
    if kind == "probabilities":
        rows: Array = rng.uniform(0.05, 1, (batch, n_out))
        rows /= rows.sum(axis=1, keepdims=True)
        return rows.astype(dtype)
    return rng.normal(size=(batch, n_out)).astype(dtype)


def near_a_kink(case: Case) -> bool:
    """Whether rounding could choose the other side of a jump in a derivative."""
    margin = 1e-5 if case.x.dtype == np.float32 else 1e-10
    zs, activated = case.twin.forward(case.x.tolist())
    jumps = {"relu", "leaky_relu", "selu"}
    near = min(
        (np.abs(z).min() for z, f in zip(zs, case.twin.activations, strict=True) if f in jumps),
        default=1.0,
    )
    if case.twin.loss == "mae":
        near = min(near, np.abs(np.array(activated[-1]) - case.y).min())
    return bool(near < margin)


def make_case(
    widths: list[int],
    batch: int,
    dtype: str,
    *,
    activation: str | list[str] = "tanh",
    output: str = "identity",
    loss: str = "mse",
    kind: str = "reals",
    weighted: bool = False,
    seed: int = 0,
    **options: Any,
) -> Case:
    """Random parameters, biases included, and a random batch, clear of every kink."""
    net = bp.Network(
        widths, activation=activation, output=output, loss=loss, dtype=dtype, seed=seed, **options
    )
    for attempt in range(20):
        rng = np.random.default_rng([seed, attempt])
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            w = rng.normal(size=(n_out, n_in)) * (1.5 / np.sqrt(n_in))
            net.set_layer(i, w.astype(dtype), rng.normal(size=n_out).astype(dtype) * 0.5)
        case = Case(
            net=net,
            twin=twin_of(net, loss=loss, **options),
            x=rng.normal(size=(batch, widths[0])).astype(dtype),
            y=targets(rng, kind, batch, widths[-1], dtype),
            sample_weight=rng.uniform(0.2, 3, batch) if weighted else None,
        )
        if not near_a_kink(case):
            return case
    raise AssertionError("no draw stays clear of the kinks")


def assert_close(got: Any, want: Any, bound: float, what: str) -> None:
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape, what
    error, largest = np.abs(got - want).max(), np.abs(want).max()
    assert error <= bound * largest, f"{what}: {error:.3g}, largest entry {largest:.3g}"


def assert_gradients(case: Case) -> None:
    got = case.net.backprop(case.x, case.y, case.sample_weight)
    want = case.expected()
    assert got.cost == pytest.approx(want.cost, rel=case.bound, abs=0)
    assert got.cost == pytest.approx(
        case.net.cost(case.x, case.y, case.sample_weight), rel=case.bound, abs=0
    )
    for i in range(len(want.weights)):
        assert_close(got.weights[i], want.weights[i], case.bound, f"weights[{i}]")
        assert_close(got.biases[i], want.biases[i], case.bound, f"biases[{i}]")
    assert_close(got.inputs, want.inputs, case.bound, "inputs")
    parts = [v.ravel() for pair in zip(got.weights, got.biases, strict=True) for v in pair]
    np.testing.assert_array_equal(got.flat, np.concatenate(parts))
    assert {v.dtype for v in [got.flat, got.inputs, *parts]} == {case.x.dtype}


def assert_dropped_gradient(case: Case) -> None:
    """One step of plain descent shows the gradient; a large rate keeps its rounding small."""
    lr, batch = 1024.0, len(case.x)
    masks = case.net.dropout_masks(batch)
    assert [m.shape for m in masks] == [(batch, n) for n in case.net.widths[1:-1]]
    assert {m.dtype for m in masks} == {np.dtype(bool)}
    want = case.expected([m.tolist() for m in masks])
    before = np.array(case.net.parameters, dtype=np.float64)
    cost = case.net.step(case.x, case.y, bp.SGD(lr=lr), case.sample_weight)
    assert cost == pytest.approx(want.cost, rel=case.bound, abs=0)
    moved = case.net.copy()
    moved.parameters = (before - case.net.parameters) / lr
    for i in range(len(want.weights)):
        assert_close(moved.weights[i], want.weights[i], case.bound, f"weights[{i}]")
        assert_close(moved.biases[i], want.biases[i], case.bound, f"biases[{i}]")
    again = case.net.dropout_masks(batch)
    assert any((m != n).any() for m, n in zip(masks, again, strict=True))


# ---------------------------------------------------------------- against the reference


@dtypes
@pytest.mark.parametrize("activation", list(ref.ACTIVATIONS))
def test_every_activation_in_hidden_layers(activation: str, dtype: str) -> None:
    assert_gradients(make_case([5, 17, 9, 3], 11, dtype, activation=activation))


@dtypes
@pytest.mark.parametrize("output", [*ref.ACTIVATIONS, "softmax"])
@pytest.mark.parametrize("loss", list(ref.DIFFERENCE_LOSSES))
def test_every_output_with_every_loss_of_differences(output: str, loss: str, dtype: str) -> None:
    assert_gradients(make_case([4, 6, 5], 9, dtype, output=output, loss=loss))


@dtypes
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("n_out", [2, 10, 37])
def test_cross_entropy(n_out: int, kind: str, dtype: str) -> None:
    assert_gradients(
        make_case([6, 8, n_out], 13, dtype, output="softmax", loss="cross_entropy", kind=kind)
    )


@dtypes
@pytest.mark.parametrize("n_out", [1, 2, 19])
def test_binary_cross_entropy(n_out: int, dtype: str) -> None:
    case = make_case(
        [6, 8, n_out],
        13,
        dtype,
        output="sigmoid",
        loss="binary_cross_entropy",
        kind="probabilities" if n_out > 1 else "labels",
    )
    if n_out == 1:
        case.y = (np.arange(13) % 3 == 0).astype(dtype)
    assert_gradients(case)


@dtypes
def test_one_output_takes_a_vector_of_targets(dtype: str) -> None:
    case = make_case([3, 4, 1], 6, dtype)
    case.y = case.y[:, 0]
    assert_gradients(case)


@dtypes
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_to_five_layers(depth: int, weighted: bool, dtype: str) -> None:
    names = ["relu", "tanh", "gelu", "elu"][: depth - 1]
    widths = [7, 12, 5, 16, 9, 4][: depth + 1]
    assert_gradients(
        make_case(widths, 10, dtype, activation=names, weighted=weighted, l1=0.01, l2=0.1)
    )


@dtypes
@pytest.mark.parametrize("n", range(1, 71))
def test_widths_and_batches_from_1_to_70(n: int, dtype: str) -> None:
    """Every width as inputs, as hidden units and as outputs, and every batch, once each."""
    widths = [n, 71 - n, 13 * n % 71]
    activation = list(ref.ACTIVATIONS)[n % 11]
    assert_gradients(make_case(widths, 29 * n % 71, dtype, activation=activation, seed=n))


@dtypes
@pytest.mark.parametrize("size", [1, 64, 70])
def test_equal_widths_and_batch(size: int, dtype: str) -> None:
    assert_gradients(make_case([size] * 4, size, dtype, activation="relu", seed=2))


@dtypes
@pytest.mark.parametrize(("widths", "batch"), [([9, 24, 7], 1000), ([300, 260, 40], 12)])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_batches_that_are_cut_and_shared(
    widths: list[int], batch: int, rate: float, dtype: str
) -> None:
    """Many rows go through in blocks and parts; wide layers are shared among threads."""
    case = make_case(widths, batch, dtype, weighted=True, dropout=rate, seed=6)
    if rate == 0:
        assert_gradients(case)
        return
    assert_dropped_gradient(case)


@dtypes
@pytest.mark.parametrize("widths", [[5, 16, 3], [300, 260, 40]])
def test_a_long_batch_is_the_mean_of_its_pieces(widths: list[int], dtype: str) -> None:
    """Longer than a pure-Python reference could go: past the last block of rows of a pass."""
    case = make_case(widths, 4, dtype)
    rng = np.random.default_rng(8)
    x = rng.normal(size=(4200, widths[0])).astype(dtype)
    y = rng.normal(size=(4200, widths[-1])).astype(dtype)
    whole = case.net.backprop(x, y)
    pieces = [case.net.backprop(x[i : i + 100], y[i : i + 100]) for i in range(0, 4200, 100)]
    mean = np.mean([piece.flat.astype(np.float64) for piece in pieces], axis=0)
    assert_close(whole.flat, mean, case.bound, "gradient")
    assert whole.cost == pytest.approx(np.mean([p.cost for p in pieces]), rel=case.bound)
    inputs = np.concatenate([piece.inputs for piece in pieces]) / 42
    assert_close(whole.inputs, inputs, case.bound, "inputs")


@dtypes
@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.3), (0.05, 0.2)])
def test_penalties(l1: float, l2: float, dtype: str) -> None:
    case = make_case([5, 8, 3], 7, dtype, l1=l1, l2=l2)
    w = np.array(case.net.weights[0])
    w[::2] = 0
    case.net.set_layer(0, w, np.array(case.net.biases[0]))
    case.twin.weights[0] = w.tolist()
    assert_gradients(case)


@dtypes
@pytest.mark.parametrize(
    ("output", "loss", "kind"),
    [
        ("softmax", "cross_entropy", "labels"),
        ("softmax", "cross_entropy", "probabilities"),
        ("sigmoid", "binary_cross_entropy", "probabilities"),
        ("identity", "mae", "reals"),
        ("softmax", "huber", "reals"),
    ],
)
def test_sample_weights(output: str, loss: str, kind: str, dtype: str) -> None:
    case = make_case(
        [6, 9, 4], 12, dtype, output=output, loss=loss, kind=kind, weighted=True, l2=0.1
    )
    assert case.sample_weight is not None
    case.sample_weight[3] = 0
    assert_gradients(case)


@dtypes
def test_trace_shows_every_value_of_the_passes(dtype: str) -> None:
    case = make_case(
        [5, 8, 6, 3],
        7,
        dtype,
        output="softmax",
        loss="cross_entropy",
        kind="labels",
        activation=["silu", "tanh"],
    )
    trace = case.net.trace(case.x, case.y)
    assert trace.delta is not None
    zs, activated = case.twin.forward(case.x.tolist())
    for got, want in [
        (trace.z, zs),
        (trace.a, activated),
        (trace.delta, case.expected().deltas),
    ]:
        assert len(got) == len(want)
        for i, (mine, theirs) in enumerate(zip(got, want, strict=True)):
            assert_close(mine, theirs, case.bound, f"layer {i}")
    assert_close(case.net.predict(case.x), activated[-1], case.bound, "prediction")


@dtypes
@pytest.mark.parametrize("output", ["identity", "tanh", "softmax"])
def test_a_callable_loss(output: str, dtype: str) -> None:
    """The quartic (a - y)^4, against central differences and its own formula."""

    def quartic(a: Array, y: Array) -> tuple[Array, Array]:
        return ((a - y) ** 4).sum(axis=1), 4 * (a - y) ** 3

    case = make_case([4, 6, 3], 5, dtype, output=output, weighted=True)
    own = bp.Network([4, 6, 3], activation="tanh", output=output, loss=quartic, dtype=dtype)
    own.parameters = case.net.parameters
    _, activated = case.twin.forward(case.x.tolist())
    assert case.sample_weight is not None
    share = case.sample_weight / case.sample_weight.sum()
    error: Array = np.array(activated[-1]) - case.y
    got = own.backprop(case.x, case.y, case.sample_weight)
    assert got.cost == pytest.approx(share @ (error**4).sum(axis=1), rel=case.bound)
    da = 4 * error**3 * share[:, None]
    zs, _ = case.twin.forward(case.x.tolist())
    delta = [ref.backward_activation(output, *row) for row in zip(zs[-1], da, strict=True)]
    assert_close(got.biases[-1], np.sum(delta, axis=0), case.bound, "biases[-1]")
    assert_close(
        got.weights[-1], np.transpose(delta) @ np.array(activated[-2]), case.bound, "weights[-1]"
    )


# ---------------------------------------------------------------- dropout


@dtypes
@pytest.mark.parametrize(
    ("widths", "rate"),
    [
        ([6, 20, 3], 0.1),
        ([6, 20, 3], 0.9),
        ([5, 33, 16, 2], 0.5),
        ([5, 33, 16, 2], [0.2, 0.7]),
        ([5, 33, 16, 2], [0.0, 0.4]),
    ],
)
@pytest.mark.parametrize("batch", [1, 3, 9])
def test_dropout_with_its_mask(widths: list[int], rate: Any, batch: int, dtype: str) -> None:
    case = make_case(widths, batch, dtype, weighted=True, dropout=rate, l2=0.1, seed=5)
    assert_dropped_gradient(case)


@dtypes
def test_dropout_keeps_the_share_it_should(dtype: str) -> None:
    net = bp.Network([2, 300, 200, 2], dropout=0.3, dtype=dtype, seed=1)
    for mask in net.dropout_masks(100):
        n = mask.size
        assert abs(mask.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / n)
        assert np.ptp(mask.mean(axis=0)) < 0.5
        assert np.ptp(mask.mean(axis=1)) < 0.5


@dtypes
def test_dropout_acts_in_training_only(dtype: str) -> None:
    plain = make_case([4, 9, 2], 6, dtype)
    dropped = make_case([4, 9, 2], 6, dtype, dropout=0.5)
    np.testing.assert_array_equal(plain.net.predict(plain.x), dropped.net.predict(plain.x))
    assert_gradients(dropped)


# ---------------------------------------------------------------- against central differences


def slope(case: Case, i: int, h: float = 1e-5) -> float:
    """(C(theta + h) - C(theta - h)) / 2h in parameter i, through the core's own cost."""
    theta = np.array(case.net.parameters)
    costs = []
    for move in (h, -h):
        shifted = theta.copy()
        shifted[i] += move
        case.net.parameters = shifted
        costs.append(case.net.cost(case.x, case.y, case.sample_weight))
    case.net.parameters = theta
    return (costs[0] - costs[1]) / (2 * h)


@pytest.mark.parametrize("activation", list(ref.ACTIVATIONS))
@pytest.mark.parametrize(
    ("output", "loss", "kind"),
    [
        ("identity", "squared_error", "reals"),
        ("identity", "huber", "reals"),
        ("softmax", "cross_entropy", "labels"),
        ("sigmoid", "binary_cross_entropy", "probabilities"),
    ],
)
def test_central_differences(activation: str, output: str, loss: str, kind: str) -> None:
    case = make_case(
        [3, 6, 5, 3], 8, "float64", activation=activation, output=output, loss=loss, kind=kind,
        weighted=True, l1=0.01, l2=0.1, seed=1,
    )  # fmt: skip
    got = case.net.backprop(case.x, case.y, case.sample_weight).flat
    want = [slope(case, i) for i in range(case.net.n_parameters)]
    assert_close(got, want, 1e-8, "gradient")


def test_central_differences_of_the_inputs() -> None:
    case = make_case([4, 9, 3], 5, "float64", activation="gelu")
    got, h = case.net.backprop(case.x, case.y).inputs, 1e-5
    want = np.empty_like(case.x)
    for i in np.ndindex(*case.x.shape):
        move = np.zeros_like(case.x)
        move[i] = h
        above, below = (case.net.cost(case.x + s * move, case.y) for s in (1, -1))
        want[i] = (above - below) / (2 * h)
    assert_close(got, want, 1e-8, "inputs")


# ---------------------------------------------------------------- exact and extreme values


@dtypes
def test_hand_worked_network(dtype: str) -> None:
    """The network of test_reference.py; every number is exact in float32."""
    net = bp.Network([2, 2, 1], activation="relu", dtype=dtype)
    net.set_layer(0, np.array([[1, -1], [0.5, 2]], dtype), np.array([0, -1], dtype))
    net.set_layer(1, np.array([[2, -1]], dtype), np.array([0.5], dtype))
    x, y = np.array([[1, 2], [3, 1]], dtype), np.array([1, 4], dtype)
    got = net.backprop(x, y)
    assert got.cost == 10
    assert got.flat.tolist() == [-12, -4, 10, 10, -4, 6, -4, -19, -6]
    assert got.inputs.tolist() == [[2, 8], [-3, 8]]
    deltas = net.trace(x, y).delta
    assert deltas is not None
    assert [d.tolist() for d in deltas] == [[[0, 4], [-4, 2]], [[-4], [-2]]]


@dtypes
def test_derivatives_at_the_kinks_are_zero(dtype: str) -> None:
    net = bp.Network([1, 1, 1], activation="relu", loss="mae", l1=1.0, dtype=dtype, init="zeros")
    got = net.backprop(np.zeros((1, 1), dtype), np.zeros((1, 1), dtype))
    assert got.cost == 0
    assert not got.flat.any()
    net.set_layer(1, np.array([[1]], dtype), np.array([1], dtype))
    got = net.backprop(np.ones((1, 1), dtype), np.zeros((1, 1), dtype))
    assert got.weights[0].tolist() == [[0]]
    assert got.biases[0].tolist() == [0]


@dtypes
@pytest.mark.parametrize("size", [50.0, 1000.0])
@pytest.mark.parametrize(
    ("output", "loss", "kind"),
    [
        ("softmax", "cross_entropy", "labels"),
        ("sigmoid", "binary_cross_entropy", "probabilities"),
    ],
)
def test_entropies_stay_exact_far_from_zero(
    output: str, loss: str, kind: str, size: float, dtype: str
) -> None:
    case = make_case([3, 4], 6, dtype, output=output, loss=loss, kind=kind)
    case.x = (case.x * size).astype(dtype)
    assert_gradients(case)
