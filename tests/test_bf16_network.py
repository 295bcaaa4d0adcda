"""Networks whose matrix products take bfloat16 operands.

What is exact about them is the operands: float32 numbers rounded to bfloat16, or split into parts.
So every product of a trace and its gradients is compared with a float64 product of the same parts,
within the bound of summing in float32; what lies between the products is float32, and tested
elsewhere.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import datasets

Array = np.ndarray
LOW = ("bf16", "bf16x2", "bf16x3")
PARTS = {"bf16": 1, "bf16x2": 2, "bf16x3": 3}
UNIT = 2.0**-24


def rounded(x: Array) -> Array:
    """Float32 numbers as the nearest bfloat16 ones, ties to even; for finite ones."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def parts(x: Array, count: int) -> list[Array]:
    """A float32 array as a sum of bfloat16 ones, each the rest of those before it."""
    found, rest = [], np.asarray(x, np.float32)
    for _ in range(count):
        found.append(rounded(rest))
        rest = rest - found[-1]
    return [part.astype(np.float64) for part in found]


def product(a: Array, b: Array, precision: str) -> Array:
    """The sum of the products of parts whose ranks add up to less than there are parts."""
    count = PARTS[precision]
    left, right = parts(a, count), parts(b, count)
    return sum(left[i] @ right[j] for i in range(count) for j in range(count - i))


def bound(a: Array, b: Array, precision: str) -> Array:
    """What summing the products of the parts of a and b in float32 may change."""
    additions = a.shape[1] + (0 if precision == "bf16" else 8)
    a, b = np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64))
    return 1.02 * additions * UNIT * (a @ b) + 1e-30


def assert_product(got: Array, a: Array, b: Array, precision: str, more: Any = 0.0) -> None:
    """Got is the product plus `more`, which float32 adds with one rounding."""
    want = product(a, b, precision) + more
    error = np.abs(got.astype(np.float64) - want)
    allowed = bound(a, b, precision) + UNIT * np.abs(want)
    worst = float((error / allowed).max())
    assert worst <= 1.0, f"{precision}: {worst:.3g} of what is allowed"


def slope(activation: str, a: Array, z: Array) -> Array:
    """The derivative of an activation, in float64."""
    a, z = a.astype(np.float64), z.astype(np.float64)
    if activation == "relu":
        return (z > 0).astype(np.float64)
    if activation == "tanh":
        return 1.0 - a * a
    if activation == "sigmoid":
        return a * (1.0 - a)
    assert activation == "silu"
    s = 1.0 / (1.0 + np.exp(-z))
    return s * (1.0 + z * (1.0 - s))


def network(widths: list[int], precision: str, **options: Any) -> bp.Network:
    options = {"seed": 3, **options}
    return bp.Network(widths, precision=precision, **options)


def data(widths: list[int], rows: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, widths[0])).astype(np.float32)
    return x, rng.standard_normal((rows, widths[-1])).astype(np.float32)


SHAPES = [
    ([3, 5, 2], 1),
    ([1, 1, 1], 7),
    ([17, 64, 64, 6], 64),
    ([33, 31, 65, 32], 37),
    ([70, 129, 34, 1], 129),
    ([96, 300, 257, 10], 203),
]


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize(("widths", "rows"), SHAPES)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_every_product_is_that_of_the_rounded_operands(
    widths: list[int], rows: int, activation: str, precision: str
) -> None:
    net = network(widths, precision, activation=activation, output="tanh")
    x, y = data(widths, rows)
    trace, gradients = net.trace(x, y), net.backprop(x, y)
    layers = len(widths) - 1
    for layer in range(layers):
        w, b = net.weights[layer], net.biases[layer]
        assert_product(trace.z[layer], trace.a[layer], w.T, precision, b.astype(np.float64))
        delta, a = trace.delta[layer], trace.a[layer]
        assert_product(gradients.weights[layer], delta.T, a, precision)
        np.testing.assert_allclose(
            gradients.biases[layer], delta.sum(0, np.float64), rtol=1e-4, atol=1e-6
        )
        if layer == 0:
            assert_product(gradients.inputs, delta, w, precision)
            continue
        through = slope(activation, trace.a[layer], trace.z[layer - 1])
        before = product(delta, w, precision)
        # The derivative of an activation is of order 1, and good to some units of that.
        allowed = bound(delta, w, precision) * np.abs(through) + 8.0 * UNIT * np.abs(before)
        assert (np.abs(trace.delta[layer - 1] - before * through) <= allowed).all()


@pytest.mark.parametrize("rows", [1, 200, 5000])
@pytest.mark.parametrize("precision", LOW)
def test_predict_has_the_bits_of_the_trace(precision: str, rows: int) -> None:
    net = network(
        [20, 70, 40, 5], precision, activation="gelu", output="softmax", loss="cross_entropy"
    )
    x, _ = data([20, 5], rows)
    assert np.array_equal(net.predict(x), net.trace(x).a[-1])
    assert np.array_equal(net.predict(x[:1]), net.predict(x)[:1])


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("bf16x3", 5e-7), ("bf16x2", 3e-5), ("bf16", 1.5e-2)]
)
def test_gradients_come_near_float64(precision: str, tolerance: float) -> None:
    widths = [40, 90, 60, 7]
    x, y = data(widths, 150)
    net = network(widths, precision, activation="tanh", l2=1e-3)
    exact = bp.Network(widths, activation="tanh", l2=1e-3, dtype="float64")
    exact.parameters = net.parameters
    got, want = net.backprop(x, y), exact.backprop(x, y)
    scale = np.linalg.norm(want.flat)
    assert np.linalg.norm(got.flat - want.flat) <= tolerance * scale
    assert abs(got.cost - want.cost) <= tolerance * want.cost
    assert np.linalg.norm(got.inputs - want.inputs) <= tolerance * np.linalg.norm(want.inputs)


@pytest.mark.parametrize("precision", LOW)
def test_check_gradients_passes(precision: str) -> None:
    net = network([6, 20, 4], precision, activation="tanh")
    x, y = data([6, 4], 10)
    result = bp.check_gradients(net, x, y, entries=40)
    assert result.ok, str(result)


def bits_of_training(precision: str, widths: list[int], batch: int, pieces: int) -> Array:
    """Train for four epochs, in so many calls of fit, and return the parameters."""
    x, _ = data(widths, 3 * batch + 5)
    y = np.arange(len(x)) % widths[-1]
    net = network(widths, precision, output="softmax", loss="cross_entropy", dropout=0.2, l2=1e-4)
    optimizer = bp.Adam(lr=1e-3)
    for _ in range(pieces):
        net.fit(x, y, epochs=4 // pieces, batch_size=batch, optimizer=optimizer)
    return net.parameters.copy()


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize(("widths", "batch"), [([20, 64, 10], 64), ([100, 300, 260, 10], 150)])
def test_same_bits_for_any_threads_and_slices(
    widths: list[int], batch: int, precision: str
) -> None:
    before = bp.get_threads()
    try:
        bp.set_threads(1)
        want = bits_of_training(precision, widths, batch, 1)
        for threads, pieces in [(2, 1), (3, 4), (5, 2)]:
            bp.set_threads(threads)
            assert np.array_equal(want, bits_of_training(precision, widths, batch, pieces))
    finally:
        bp.set_threads(before)


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_weights_are_packed_again_after_every_change(
    precision: str, clip_norm: float | None
) -> None:
    """A network that was trained or assigned to equals a fresh one with its parameters."""
    widths = [90, 300, 250, 12]
    x, y = data(widths, 100)
    net = network(widths, precision)
    fresh = network(widths, precision)

    def compare() -> None:
        fresh.parameters = net.parameters
        assert np.array_equal(net.predict(x), fresh.predict(x))
        assert np.array_equal(net.backprop(x, y).flat, fresh.backprop(x, y).flat)
        assert np.array_equal(net.backprop(x, y).inputs, fresh.backprop(x, y).inputs)

    net.predict(x)
    optimizer = bp.SGD(lr=0.01, momentum=0.9, clip_norm=clip_norm)
    for _ in range(2):
        net.step(x, y, optimizer)
        compare()
    net.set_layer(1, np.zeros((250, 300)), np.ones(250))
    compare()
    net.fit(x, y, epochs=2, batch_size=33, optimizer=optimizer)
    compare()


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("widths", [[20, 40, 3], [70, 300, 260, 3]])
def test_long_batches_are_summed_block_by_block(widths: list[int], precision: str) -> None:
    x, y = data(widths, 4500)
    net = network(widths, precision, activation="tanh")
    exact = bp.Network(widths, activation="tanh", dtype="float64")
    exact.parameters = net.parameters
    got, want = net.backprop(x, y), exact.backprop(x, y)
    limit = {"bf16": 2e-2, "bf16x2": 3e-5, "bf16x3": 1e-6}[precision]
    assert np.linalg.norm(got.flat - want.flat) <= limit * np.linalg.norm(want.flat)
    assert np.linalg.norm(got.inputs - want.inputs) <= limit * np.linalg.norm(want.inputs)


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("widths", [[20, 40, 3], [70, 300, 260, 3]])
def test_nothing_is_left_of_a_longer_batch(widths: list[int], precision: str) -> None:
    x, y = data(widths, 200)
    used, fresh = network(widths, precision), network(widths, precision)
    used.backprop(x, y)
    for rows in (5, 64, 1):
        got, want = used.backprop(x[:rows], y[:rows]), fresh.backprop(x[:rows], y[:rows])
        assert np.array_equal(got.flat, want.flat)
        assert np.array_equal(got.inputs, want.inputs)
        fresh = network(widths, precision)


@pytest.mark.parametrize("precision", LOW)
def test_step_is_the_update_by_the_gradient(precision: str) -> None:
    widths = [12, 40, 3]
    x, y = data(widths, 70)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(x))
    net = network(widths, precision)
    before, gradients = net.parameters.copy(), net.backprop(x, y, weights)
    cost = net.step(x, y, bp.SGD(lr=0.5), sample_weight=weights)
    assert cost == gradients.cost == pytest.approx(net_cost(before, precision, x, y, weights))
    np.testing.assert_allclose(
        net.parameters, before - np.float32(0.5) * gradients.flat, rtol=1e-6, atol=1e-7
    )


def net_cost(parameters: Array, precision: str, x: Array, y: Array, weights: Array) -> float:
    net = network([12, 40, 3], precision)
    net.parameters = parameters
    return net.cost(x, y, weights)


@pytest.mark.parametrize("precision", LOW)
def test_inputs_of_every_kind(precision: str) -> None:
    """Rows that are converted, scaled, strided or gathered give what float32 rows give."""
    rng = np.random.default_rng(5)
    raw = rng.integers(0, 256, (70, 45), np.uint8)
    y = rng.standard_normal((70, 4)).astype(np.float32)
    net = network([45, 33, 4], precision)
    plain = raw.astype(np.float32)
    want = net.backprop(plain, y)
    wide = np.zeros((140, 90), np.float32)
    wide[::2, ::2] = plain
    for x in (raw, plain.astype(np.float64), wide[::2, ::2], np.asfortranarray(plain)):
        got = net.backprop(x, y)
        assert np.array_equal(got.flat, want.flat)
        assert np.array_equal(got.inputs, want.inputs)
    scaled, shift, scale = net.copy(), rng.uniform(0, 9, 45), rng.uniform(0.5, 2, 45)
    scaled.set_scaling(shift, scale)
    reals = (plain - shift.astype(np.float32)) * scale.astype(np.float32)
    assert np.array_equal(scaled.backprop(raw, y).flat, net.backprop(reals, y).flat)


@pytest.mark.parametrize("precision", LOW)
def test_dropout_is_the_mask_times_what_is_passed_on(precision: str) -> None:
    """A step with dropout on one hidden layer, against its mask and formulas."""
    widths = [30, 50, 3]
    x, y = data(widths, 40)
    net = network(widths, precision, activation="tanh", dropout=0.5)
    trace, before = net.trace(x, y), net.parameters.copy()
    w_1, w_2 = (w.copy() for w in net.weights)
    mask = net.dropout_masks(40)[0].astype(np.float32) * np.float32(2.0)
    passed = trace.a[1] * mask
    outputs = product(passed, w_2.T, precision)
    delta_2 = (2.0 * (outputs - y) / y.size).astype(np.float32)
    delta_1 = (product(delta_2, w_2, precision) * mask * (1.0 - trace.a[1] ** 2.0)).astype(
        np.float32
    )
    net.step(x, y, bp.SGD(lr=1.0))
    got = (before - net.parameters).astype(np.float64)
    want = np.concatenate(
        [
            product(delta_1.T, x, precision).ravel(),
            delta_1.sum(0, np.float64),
            product(delta_2.T, passed, precision).ravel(),
            delta_2.sum(0, np.float64),
        ]
    )
    # A delta whose last bit differs may round to another bfloat16 number.
    assert np.linalg.norm(got - want) <= (2e-3 if precision == "bf16" else 2e-5) * np.linalg.norm(
        want
    )
    assert w_1.shape == (50, 30)


@pytest.mark.parametrize("precision", LOW)
def test_user_loss(precision: str) -> None:
    def loss(a: Array, y: Array) -> tuple[Array, Array]:
        return ((a - y) ** 2).mean(axis=1), 2.0 * (a - y) / a.shape[1]

    widths = [9, 40, 35, 2]
    x, y = data(widths, 300)
    own, named = network(widths, precision, loss=loss), network(widths, precision)
    a, b = own.backprop(x, y), named.backprop(x, y)
    assert a.cost == pytest.approx(b.cost, rel=1e-6)
    limit = 1e-3 if precision == "bf16" else 1e-5
    assert np.linalg.norm(a.flat - b.flat) <= limit * np.linalg.norm(b.flat)
    assert own.cost(x, y) == pytest.approx(named.cost(x, y), rel=1e-6)
    own.fit(x, y, epochs=1, batch_size=64)


def test_stream_trains_like_fit() -> None:
    widths = [12, 48, 4]
    x, y = data(widths, 96)
    one, other = (network(widths, "bf16") for _ in range(2))
    one.fit(x, y, epochs=1, batch_size=32, shuffle=False, optimizer=bp.SGD(lr=0.1))
    pieces = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 96, 32)]
    other.fit_stream(pieces, optimizer=bp.SGD(lr=0.1))
    assert np.array_equal(one.parameters, other.parameters)


@pytest.mark.parametrize("precision", LOW)
def test_precision_travels(precision: str, tmp_path: Path) -> None:
    net = network([10, 40, 3], precision)
    x, y = data([10, 3], 50)
    net.fit(x, y, epochs=1)
    net.save(tmp_path / "net.npz")
    loaded = bp.Network.load(tmp_path / "net.npz")
    for twin in (loaded, net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.precision == precision
        assert np.array_equal(twin.predict(x), net.predict(x))
    assert f"precision={precision}" in repr(net)


@pytest.mark.parametrize("precision", LOW)
def test_precision_travels_in_safetensors(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    net = network([10, 40, 3], precision)
    net.save(tmp_path / "net.safetensors")
    loaded = bp.Network.load(tmp_path / "net.safetensors")
    x = data([10, 3], 50)[0]
    assert loaded.precision == precision
    assert np.array_equal(loaded.predict(x), net.predict(x))


@pytest.mark.parametrize("precision", LOW)
def test_float64_networks_refuse(precision: str) -> None:
    with pytest.raises(ValueError, match=f"precision '{precision}' is for float32 networks"):
        bp.Network([2, 3, 1], dtype="float64", precision=precision)


def test_precisions_differ() -> None:
    x, y = data([50, 8], 60)
    costs = {p: network([50, 80, 8], p).cost(x, y) for p in ("float32", *LOW)}
    assert abs(costs["bf16"] - costs["float32"]) > 1e-6 * costs["float32"]
    assert len({costs["bf16"], costs["bf16x2"], costs["bf16x3"]}) == 3


@pytest.mark.parametrize("precision", LOW)
def test_derivatives_are_those_of_float32(precision: str) -> None:
    widths = [6, 20, 15, 3]
    x, y = data(widths, 20)
    net, plain = (
        network(widths, precision, activation="tanh"),
        network(widths, "float32", activation="tanh"),
    )
    v = np.random.default_rng(2).standard_normal(net.n_parameters).astype(np.float32)
    np.testing.assert_allclose(net.jacobian(x), plain.jacobian(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.hvp(x, y, v), plain.hvp(x, y, v), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        net.per_sample_gradients(x, y), plain.per_sample_gradients(x, y), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("precision", LOW)
def test_values_that_are_not_finite_propagate(precision: str) -> None:
    net = network([40, 50, 3], precision, activation="identity")
    x, _ = data([40, 3], 33)
    clean = net.predict(x)
    for value, expected in [(np.nan, np.isnan), (np.inf, lambda a: ~np.isfinite(a))]:
        spoilt = x.copy()
        spoilt[7, 39] = value
        got = net.predict(spoilt)
        assert expected(got[7]).all()
        assert np.array_equal(np.delete(got, 7, 0), np.delete(clean, 7, 0))


def digits_accuracy(precision: str, seed: int) -> float:
    split = datasets.digits().split(0.2, seed=0)
    shift, scale = split.scaling()
    x, held_out = (split.x - shift) * scale, (split.x_test - shift) * scale
    net = network([64, 128, 128, 10], precision, output="softmax", loss="cross_entropy", seed=seed)
    net.fit(x, split.y, epochs=15, batch_size=32, optimizer=bp.Adam(lr=1e-3))
    return float((net.predict(held_out).argmax(1) == split.y_test).mean())


def test_digits_are_learnt_as_well_as_in_float32() -> None:
    accuracies = {
        precision: np.mean([digits_accuracy(precision, seed) for seed in range(3)])
        for precision in ("float32", *LOW)
    }
    assert accuracies["float32"] > 0.96
    for precision in LOW:
        assert accuracies[precision] > accuracies["float32"] - 0.01, accuracies
