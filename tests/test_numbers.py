"""What rounding, scaling, order and extreme shapes may do to numbers, and what they may not.

Bounds are derived, in shadow.py or beside the test, never measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shadow import ACTIVATIONS, Shadow, assert_within

import pybackprop as bp

Array = NDArray[Any]

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
# a(2^k z) = 2^k a(z).
HOMOGENEOUS = ["identity", "relu", "leaky_relu"]


def random_parameters(net: bp.Network, rng: np.random.Generator) -> None:
    for i, (n_in, n_out) in enumerate(pairwise(net.widths)):
        net.set_layer(i, rng.normal(size=(n_out, n_in)) / np.sqrt(n_in), rng.normal(size=n_out))


# ---------------------------------------------------------------- powers of two


class Scaled:
    """A network, and one whose layer l puts out 2^k[l] times as much; the inputs are k[0].

    W_l is scaled by 2^(k[l] - k[l-1]) and b_l by 2^k[l], and so are the targets by 2^k[L]. Products
    and sums of numbers scaled by powers of two are scaled alike, and rounded alike as long as
    nothing over- or underflows: every quantity of the second network is, bit for bit, a power of
    two times that of the first. Where an activation is not homogeneous, k[l] = 0.
    """

    def __init__(self, widths: list[int], k: list[int], batch: int, seed: int, **options: Any):
        rng = np.random.default_rng(seed)
        self.plain, self.scaled = (bp.Network(widths, seed=0, **options) for _ in range(2))
        random_parameters(self.plain, rng)
        dtype = self.plain.dtype
        for i, (w, b) in enumerate(zip(self.plain.weights, self.plain.biases, strict=True)):
            self.scaled.set_layer(i, w * 2.0 ** (k[i + 1] - k[i]), b * 2.0 ** k[i + 1])
        self.k = k
        self.x = rng.normal(size=(batch, widths[0])).astype(dtype)
        self.y = rng.normal(size=(batch, widths[-1])).astype(dtype)
        self.scaled_x, self.scaled_y = self.x * 2.0 ** k[0], self.y * 2.0 ** k[-1]

    def in_parameters(self, k_cost: int) -> Array:
        """Return the factor of dC/dparameters, where the cost's is 2^k_cost."""
        parts = [
            np.full(size, 2.0 ** (k_cost - k))
            for i, (w, b) in enumerate(zip(self.plain.weights, self.plain.biases, strict=True))
            for size, k in ((w.size, self.k[i + 1] - self.k[i]), (b.size, self.k[i + 1]))
        ]
        return np.concatenate(parts)


def same(got: Any, want: Any, what: str) -> None:
    np.testing.assert_array_equal(got, want, err_msg=what)


@st.composite
def scaled_networks(draw: st.DrawFn) -> Scaled:
    """Draw networks whose numbers stay far from the ends of float32's range."""
    widths = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    hidden = draw(
        st.lists(
            st.sampled_from(list(ACTIVATIONS)), min_size=len(widths) - 2, max_size=len(widths) - 2
        )
    )
    output = draw(st.sampled_from(HOMOGENEOUS))
    shifts = st.integers(-6, 6)
    k = [draw(shifts)]
    k += [draw(shifts) if name in HOMOGENEOUS else 0 for name in [*hidden, output]]
    return Scaled(
        widths,
        k,
        batch=draw(st.integers(1, 70)),
        seed=draw(st.integers(0, 2**32 - 1)),
        activation=hidden,
        output=output,
        loss=draw(st.sampled_from(["mse", "squared_error", "mae"])),
        dtype=draw(st.sampled_from(["float32", "float64"])),
    )


def assert_scaled(pair: Scaled) -> None:
    """Outputs, costs, gradients and derivatives are the other's times powers of two, exactly."""
    plain, scaled, k = pair.plain, pair.scaled, pair.k
    k_cost = k[-1] if plain.loss == "mae" else 2 * k[-1]
    same(scaled.predict(pair.scaled_x), plain.predict(pair.x) * 2.0 ** k[-1], "predict")
    one, two = plain.trace(pair.x, pair.y), scaled.trace(pair.scaled_x, pair.scaled_y)
    for i in range(len(one.z)):
        same(two.z[i], one.z[i] * 2.0 ** k[i + 1], f"z[{i}]")
        same((two.delta or [])[i], (one.delta or [])[i] * 2.0 ** (k_cost - k[i + 1]), f"delta[{i}]")
    weight = np.linspace(0.5, 2, len(pair.x))
    first = plain.backprop(pair.x, pair.y, weight)
    # The sample weights' own scale cancels.
    second = scaled.backprop(pair.scaled_x, pair.scaled_y, weight * 0.125)
    factor = pair.in_parameters(k_cost)
    assert second.cost == first.cost * 2.0**k_cost
    got = scaled.cost(pair.scaled_x, pair.scaled_y, weight)
    assert got == plain.cost(pair.x, pair.y, weight) * 2.0**k_cost
    same(second.flat, (first.flat * factor).astype(plain.dtype), "gradient")
    same(second.inputs, first.inputs * 2.0 ** (k_cost - k[0]), "inputs")
    each = plain.per_sample_gradients(pair.x, pair.y)
    got = scaled.per_sample_gradients(pair.scaled_x, pair.scaled_y)
    same(got, (each * factor).astype(plain.dtype), "per_sample_gradients")
    slopes, bends = plain.jacobian(pair.x), plain.hessian_diagonal(pair.x)
    same(scaled.jacobian(pair.scaled_x), slopes * 2.0 ** (k[-1] - k[0]), "jacobian")
    got = scaled.hessian_diagonal(pair.scaled_x)
    same(got, bends * 2.0 ** (k[-1] - 2 * k[0]), "hessian_diagonal")
    v = np.random.default_rng(1).normal(size=plain.n_parameters).astype(plain.dtype)
    product = plain.hvp(pair.x, pair.y, v)
    got = scaled.hvp(pair.scaled_x, pair.scaled_y, v / pair.in_parameters(0))
    same(got, (product * factor).astype(plain.dtype), "hvp")


# Derandomized, since no drawing excludes underflow for certain.
@settings(deadline=None, max_examples=60, derandomize=True)
@given(scaled_networks())
def test_powers_of_two_scale_everything_exactly(pair: Scaled) -> None:
    assert_scaled(pair)


@dtypes
def test_powers_of_two_scale_a_blocked_network_exactly(dtype: str) -> None:
    widths = [90, 300, 270, 5]
    for activation, k in (("relu", [3, -2, 5, 1]), ("tanh", [4, 0, 0, -6])):
        assert_scaled(Scaled(widths, k, 140, seed=2, activation=activation, dtype=dtype))


@pytest.mark.parametrize(
    ("make", "by"),
    [
        # A step of the parameters, 2^k times larger: of which settings it takes what power.
        (lambda lr, eps: bp.SGD(lr=lr, momentum=0.9, nesterov=True, weight_decay=0.01), (0, 0)),
        (lambda lr, eps: bp.Adam(lr=lr, eps=eps), (1, 1)),
        (lambda lr, eps: bp.AdamW(lr=lr, eps=eps, weight_decay=0), (1, 1)),
        (lambda lr, eps: bp.RMSprop(lr=lr, eps=eps, momentum=0.5, centered=True), (1, 1)),
        (lambda lr, eps: bp.Adagrad(lr=lr, eps=eps), (1, 1)),
    ],
    ids=["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"],
)
@dtypes
def test_training_of_a_linear_model_scales_exactly(
    make: Any, by: tuple[int, int], dtype: str
) -> None:
    """With targets and parameters 2^k times larger so is the gradient, and every step."""
    for k in (-5, 4):
        pair = Scaled([6, 3], [0, k], 40, seed=k + 9, dtype=dtype)
        pair.plain.fit(pair.x, pair.y, epochs=5, batch_size=7, optimizer=make(2.0**-6, 2.0**-20))
        lr, eps = 2.0 ** (-6 + k * by[0]), 2.0 ** (-20 + k * by[1])
        pair.scaled.fit(pair.x, pair.scaled_y, epochs=5, batch_size=7, optimizer=make(lr, eps))
        same(pair.scaled.parameters, pair.plain.parameters * 2.0**k, "parameters")


# ---------------------------------------------------------------- order


LOSSES = [
    ("mse", "identity"),
    ("huber", "tanh"),
    ("mae", "selu"),
    ("cross_entropy", "softmax"),
    ("binary_cross_entropy", "sigmoid"),
]


def problem(
    widths: list[int], rows: int, end: tuple[str, str], dtype: str, activation: str, seed: int
) -> tuple[bp.Network, Array, Array]:
    loss, output = end
    net = bp.Network(
        widths, activation=activation, output=output, loss=loss, dtype=dtype, seed=0, l2=0.01
    )
    rng = np.random.default_rng(seed)
    random_parameters(net, rng)
    y = rng.uniform(0.1, 0.9, (rows, widths[-1]))
    if loss == "cross_entropy":
        y /= y.sum(axis=1, keepdims=True)
    return net, rng.normal(size=(rows, widths[0])).astype(dtype), y.astype(dtype)


problems = st.builds(
    problem,
    st.lists(st.integers(1, 30), min_size=2, max_size=4),
    st.integers(2, 600),
    st.sampled_from(LOSSES),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(list(ACTIVATIONS)),
    st.integers(0, 2**32 - 1),
)


@settings(deadline=None, max_examples=60)
@given(problems, st.integers(0, 2**32 - 1))
def test_permuted_batch(drawn: tuple[bp.Network, Array, Array], seed: int) -> None:
    """Rows keep their bits; sums over them change by their rounding alone.

    The cost is a sum of n equal terms in another order, formed in float64: twice gamma(n) of the
    sum of their sizes, and the penalty once more. The gradient is a sum of n products, in the
    network's type, in up to eight parts.
    """
    net, x, y = drawn
    order, n = np.random.default_rng(seed).permutation(len(x)), len(x)
    same(net.predict(x[order]), net.predict(x)[order], "outputs")
    one, two = net.backprop(x, y), net.backprop(x[order], y[order])
    same(two.inputs, one.inputs[order], "inputs")
    u = 2.0**-53
    assert abs(two.cost - one.cost) <= 2 * (n + 9) * u / (1 - (n + 9) * u) * abs(one.cost)
    trace, shadow = net.trace(x, y), Shadow.of(net)
    for i, delta in enumerate(trace.delta or []):
        d, a = (np.abs(v.astype(np.float64)) for v in (delta, trace.a[i]))
        bound = 2 * shadow.gamma(n + 9) * (d.T @ a) + 4 * shadow.u * np.abs(one.weights[i])
        assert (np.abs(two.weights[i] - one.weights[i].astype(np.float64)) <= bound).all()
        bound = 2 * shadow.gamma(n + 9) * d.sum(axis=0)
        assert (np.abs(two.biases[i] - one.biases[i].astype(np.float64)) <= bound).all()


@settings(deadline=None, max_examples=60)
@given(problems, st.data())
def test_split_batch(drawn: tuple[bp.Network, Array, Array], data: st.DataObject) -> None:
    """The mean of the parts' gradients, by their rows, is the whole's, within both's bounds."""
    net, x, y = drawn
    n, shadow = len(x), Shadow.of(net)
    cuts = data.draw(st.sets(st.integers(1, n - 1), min_size=1, max_size=4))
    whole = net.backprop(x, y)
    bound = shadow.backprop(x, y)
    cost, flat = 0.0, np.zeros(net.n_parameters)
    cost_error, flat_error = bound.cost.error, bound.flat.error
    for begin, end in pairwise([0, *sorted(cuts), n]):
        rows, share = slice(begin, end), (end - begin) / n
        part, part_bound = net.backprop(x[rows], y[rows]), shadow.backprop(x[rows], y[rows])
        cost += share * part.cost
        flat += share * part.flat.astype(np.float64)
        cost_error = cost_error + share * part_bound.cost.error
        flat_error = flat_error + share * part_bound.flat.error
    assert abs(whole.cost - cost) <= cost_error
    assert (np.abs(whole.flat - flat) <= flat_error).all()


# ---------------------------------------------------------------- extreme shapes


def assert_like_shadow(net: bp.Network, x: Array, y: Array) -> None:
    got, want = net.backprop(x, y), Shadow.of(net).backprop(x, y)
    assert_within(net.predict(x), want.a[-1], "outputs")
    assert_within(got.cost, want.cost, "cost")
    assert_within(got.flat, want.flat, "gradient")
    assert_within(got.inputs, want.inputs, "inputs")


@dtypes
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_one_unit_and_one_example(activation: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for widths in ([1, 1], [1, 1, 1], [1] * 12, [1, 7, 1], [7, 1, 7]):
        for rows in (1, 2, 500):
            net = bp.Network(widths, activation=activation, seed=1, dtype=dtype)
            random_parameters(net, rng)
            x, y = (rng.normal(size=(rows, n)).astype(dtype) for n in (widths[0], widths[-1]))
            assert_like_shadow(net, x, y)


@dtypes
@pytest.mark.parametrize("widths", [[10_000, 1], [1, 10_000], [3, 10_000, 2], [10_000, 8, 10_000]])
def test_ten_thousand_wide(widths: list[int], dtype: str) -> None:
    rng = np.random.default_rng(4)
    net = bp.Network(widths, activation="silu", seed=1, dtype=dtype)
    x, y = (rng.normal(size=(5, n)).astype(dtype) for n in (widths[0], widths[-1]))
    assert_like_shadow(net, x, y)
    before = net.cost(x, y)
    net.fit(x, y, epochs=2, batch_size=2, optimizer=bp.Adam(lr=2e-5))
    assert net.cost(x, y) < before


@dtypes
def test_a_thousand_layers(dtype: str) -> None:
    """Each layer from the one before it: no bound on all of them together would be worth much."""
    rng = np.random.default_rng(5)
    net = bp.Network([4] * 1001, activation="tanh", init="orthogonal", seed=1, dtype=dtype)
    x, y = rng.normal(size=(6, 4)).astype(dtype), rng.normal(size=(6, 4)).astype(dtype)
    trace, gradients = net.trace(x, y), net.backprop(x, y)
    same(net.predict(x), trace.a[-1], "outputs")
    shadow = Shadow.of(net)
    for i in range(1000):
        layer = Shadow([shadow.weights[i]], [shadow.biases[i]], [net.activations[i]], "mse")
        layer.dtype = net.dtype
        layer.__post_init__()
        assert_within(trace.a[i + 1], layer.predict(trace.a[i]), f"a[{i + 1}]")
        delta, a = ((trace.delta or [])[i].astype(np.float64), trace.a[i].astype(np.float64))
        bound = shadow.gamma(14) * (np.abs(delta).T @ np.abs(a)) + shadow.tiny
        assert (np.abs(gradients.weights[i] - delta.T @ a) <= bound).all()
    history = net.fit(x, y, epochs=3, batch_size=2, optimizer=bp.SGD(lr=1e-3))
    assert np.isfinite(history.cost).all()
    np.testing.assert_array_equal(net.copy().predict(x), net.predict(x))


# What no machine holds: each must be refused, at once and without taking the memory first.
TOO_LARGE = {
    "widths": "bp.Network([2**31, 1])",
    "product of widths": "bp.Network([2**31 - 1, 2**31 - 1])",
    "bytes of parameters": "bp.Network([2**20, 2**20])",
    "many layers": "bp.Network([2**14] * 2000)",
    "a row too many": "net.predict(np.broadcast_to(row, (2**60, 2)))",
    "outputs": "net.predict(np.broadcast_to(row, (2**40, 2)))",
    "gradient in the inputs": "net.backprop(np.broadcast_to(row, (2**40, 2)), many)",
    "jacobian": "net.jacobian(np.broadcast_to(row, (2**40, 2)))",
    "per-sample gradients": "net.per_sample_gradients(np.broadcast_to(row, (2**40, 2)), many)",
    "shuffled rows": "net.fit(np.broadcast_to(row, (2**40, 2)), many)",
    "trace": "net.trace(np.broadcast_to(row, (2**40, 2)))",
    "dropout masks": "net.dropout_masks(2**60)",
    "product": "bp.kernels.matmul(np.ones((2**20, 1), 'f'), np.ones((1, 2**20), 'f'))",
}

REFUSE = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
import numpy as np, pybackprop as bp
net = bp.Network([2, 3, 1], seed=0)
row = np.ones((1, 2), np.float32)
many = np.broadcast_to(np.ones((1, 1), np.float32), (2**40, 1))
for name, code in {cases!r}.items():
    begin = time.perf_counter()
    try:
        eval(code)
    except (MemoryError, ValueError) as error:
        seconds = time.perf_counter() - begin
        print(f"{{name}}: {{type(error).__name__}}: {{error}}")
        assert str(error), name
        assert seconds < 5, (name, seconds)
    else:
        sys.exit(f"{{name}} was not refused")
    assert np.isfinite(net.predict(row)).all()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_sizes_that_overflow_or_do_not_fit_are_refused() -> None:
    if "LD_PRELOAD" in os.environ:
        pytest.skip("a sanitizer reserves more addresses than the limit")
    code = REFUSE.format(cases=TOO_LARGE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(TOO_LARGE), done.stdout
    assert "documented range" not in done.stdout, done.stdout
    assert "X must have fewer than 2^32 rows to be shuffled" in done.stdout


@pytest.mark.slow
@pytest.mark.exhaustive
def test_more_rows_than_2_to_the_31() -> None:
    """Of one byte each; only the last ones, beyond what 32 bits can count, are not zero."""
    rows = 2**31 + 1000
    x, y = np.zeros((rows, 1), np.uint8), np.broadcast_to(np.uint8(1), (rows, 1))
    x[-500:] = 200
    net = bp.Network([1, 1], dtype="float64", loss="squared_error", seed=0)
    net.set_layer(0, [[0.5]], [0.25])
    expected = ((rows - 500) * 0.75**2 + 500 * 99.25**2) / rows
    assert net.cost(x, y) == pytest.approx(expected, rel=1e-9)
    net.fit(x, y, batch_size=rows, shuffle=False, optimizer=bp.SGD(lr=1.0))
    db = ((rows - 500) * -1.5 + 500 * 198.5) / rows
    dw = 500 * 198.5 * 200 / rows
    assert net.biases[0][0] == pytest.approx(0.25 - db, rel=1e-9)
    assert net.weights[0][0, 0] == pytest.approx(0.5 - dw, rel=1e-9)


@pytest.mark.slow
def test_ten_thousand_squared() -> None:
    """A layer of 10^8 weights, each row of whose gradient is checked from delta and a."""
    rng = np.random.default_rng(6)
    net = bp.Network([10_000, 10_000], seed=1)
    x = rng.normal(size=(3, 10_000)).astype(np.float32)
    y = rng.normal(size=(3, 10_000)).astype(np.float32)
    trace, gradients = net.trace(x, y), net.backprop(x, y)
    picked = list(accumulate(rng.integers(1, 999, 15)))
    for i in picked:
        want = x.astype(np.float64) @ net.weights[0][i]
        size = np.abs(x.astype(np.float64)) @ np.abs(net.weights[0][i])
        gamma = 10_004 * 2.0**-24 / (1 - 10_004 * 2.0**-24)
        assert (np.abs(trace.z[0][:, i] - want) <= gamma * size).all()
        want = (trace.delta or [])[0][:, i].astype(np.float64) @ x
        size = np.abs((trace.delta or [])[0][:, i].astype(np.float64)) @ np.abs(x)
        assert (np.abs(gradients.weights[0][i] - want) <= 1e-6 * size).all()
