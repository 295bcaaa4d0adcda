"""NaN and infinity, put into one place: whether they reach exactly what they should.

Run by test_nonfinite.py once for each instruction set: `python nonfinite.py` checks the one in use
and prints how many passes it looked at. With `all`, every activation meets every shape. With
`positions`, one small network for each type and precision meets a bad value in each place of its
inputs, targets, weights and biases in turn; with `positions all`, every kind of value.

What they should reach follows from the formulas by IEEE 754 arithmetic: a sum with a NaN, with
infinities of both signs or with 0 times infinity is NaN, and so on. Each operation of the core is
checked with what it was given, by `Network.trace`: Z_l from A_(l-1), A_l from Z_l, delta_l from
delta_(l+1), gradients from both. And rows are independent: in rows without the bad value no bit
changes.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from shadow import ACTIVATIONS, DIFFERENCE_LOSSES, FUNCTION, OPERANDS, Shadow

import pybackprop as bp

Array = NDArray[Any]

KINDS = (np.nan, np.inf, -np.inf)
# Losses with the output activations that they are tried with.
ENDS = [
    ("mse", "identity"),
    ("squared_error", "sigmoid"),
    ("mae", "relu"),
    ("huber", "tanh"),
    ("mse", "softmax"),
    ("cross_entropy", "softmax"),
    ("binary_cross_entropy", "sigmoid"),
]


# ---------------------------------------------------------------- IEEE 754


def product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a b by the rules of IEEE 754, in any order of summation, and the sums of |a| |b|."""
    finite_a, finite_b = (np.where(np.isfinite(m), m, 0) for m in (a, b))
    at, size = finite_a @ finite_b, np.abs(finite_a) @ np.abs(finite_b)
    if np.isfinite(a).all() and np.isfinite(b).all():
        return at, size

    def count(left: Array, right: Array) -> Array | np.bool_:
        if not (left.any() and right.any()):
            return np.False_
        return left.astype(np.float64) @ right.astype(np.float64) > 0

    every_a, every_b = np.ones_like(a), np.ones_like(b)
    nan = count(np.isnan(a), every_b) | count(every_a, np.isnan(b))
    nan |= count(np.isinf(a), b == 0) | count(a == 0, np.isinf(b))
    up = count(a == np.inf, b > 0) | count(a == -np.inf, b < 0)
    up |= count(a > 0, b == np.inf) | count(a < 0, b == -np.inf)
    down = count(a == np.inf, b < 0) | count(a == -np.inf, b > 0)
    down |= count(a < 0, b == np.inf) | count(a > 0, b == -np.inf)
    at = np.where(up, np.inf, np.where(down, -np.inf, at))
    return np.where(nan | (up & down), np.nan, at), size


def assert_alike(got: Array, want: Array, error: Any, what: str, unsure: Any = False) -> None:
    """Fail unless NaN and infinities are where they are wanted, and all else is near."""
    got, want = got.astype(np.float64), np.asarray(want)
    assert got.shape == want.shape, what
    same = np.where(np.isfinite(want), np.abs(got - want) <= error, got == want)
    bad = ~(same | (np.isnan(got) & np.isnan(want)) | unsure)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(f"{what}{list(where)}: {got[where]!r}, wanted {want[where]!r}")


def assert_same_bits(got: Array, want: Array, what: str) -> None:
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    assert same.all(), f"{what}{np.argwhere(~same)[0].tolist()} has changed"


# ---------------------------------------------------------------- one pass


def output_derivative(loss: str, output: str, z: Array, a: Array, y: Array) -> Array:
    """Return the derivative of the loss of each example in z_L, by the documented formulas."""
    n_out = y.shape[1]
    if loss == "cross_entropy":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e * (y.sum(axis=1, keepdims=True) / e.sum(axis=1, keepdims=True)) - y
    if loss == "binary_cross_entropy":
        p, rest = ACTIVATIONS["sigmoid"].value(z), ACTIVATIONS["sigmoid"].value(-z)
        return ((1 - y) * p - y * rest) / n_out
    grad = DIFFERENCE_LOSSES[loss].slope(a - y) / (1 if loss == "squared_error" else n_out)
    if output == "softmax":
        return a * (grad - (a * grad).sum(axis=1, keepdims=True))
    return grad if output == "identity" else grad * ACTIVATIONS[output].slope(z)


def example_losses(loss: str, z: Array, a: Array, y: Array) -> Array:
    if loss == "cross_entropy":
        top = z.max(axis=1, keepdims=True)
        terms = np.where(y == 0, 0, y * (top - z))
        return terms.sum(axis=1) + y.sum(axis=1) * np.log(np.exp(z - top).sum(axis=1))
    if loss == "binary_cross_entropy":
        return (np.maximum(0, z) - z * y + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    terms = DIFFERENCE_LOSSES[loss].value(a - y)
    return terms.sum(axis=1) if loss == "squared_error" else terms.mean(axis=1)


@dataclass
class Pass:
    """A network and a batch, and what the core makes of them."""

    net: bp.Network
    x: Array
    y: Array

    def __post_init__(self) -> None:
        self.shadow = shadow = Shadow.of(self.net)
        self.gamma, self.u, self.tiny = shadow.gamma, shadow.u, shadow.tiny
        self.trace = self.net.trace(self.x, self.y)
        self.gradients = self.net.backprop(self.x, self.y)
        assert self.trace.delta is not None
        self.z, self.a, self.delta = (
            [each.astype(np.float64) for each in list_]
            for list_ in (self.trace.z, self.trace.a, self.trace.delta)
        )
        self.targets = shadow.targets(self.y, self.z[-1].shape[1])

    def check(self) -> None:
        with np.errstate(all="ignore"):
            self.check_forward()
            self.check_backward()

    def assert_product(self, got: Array, a: Array, b: Array, what: str) -> None:
        at, size = product(a, b)
        assert_alike(got, at, self.product_error(a.shape[1] + 12, size), what)

    def product_error(self, n: float, size: Array) -> Array:
        """Return what a sum of n products may be off by, rounding of operands included."""
        own = OPERANDS[self.shadow.precision]
        return (own + self.gamma(n) * (1.1 if own else 1)) * size + n * self.tiny

    def check_forward(self) -> None:
        net, z, a = self.net, self.z, self.a
        for i, name in enumerate(net.activations):
            # A bias is one more term of the sum.
            inputs = np.hstack([a[i], np.ones((len(a[i]), 1))])
            parameters = np.vstack([net.weights[i].T, net.biases[i]]).astype(np.float64)
            self.assert_product(z[i], inputs, parameters, f"z[{i}]")
            if name == "softmax":
                e = np.exp(z[i] - z[i].max(axis=1, keepdims=True))
                want = e / e.sum(axis=1, keepdims=True)
                error = self.gamma(len(e[0]) + FUNCTION) * (1 + np.abs(z[i]))
            else:
                want = ACTIVATIONS[name].value(z[i])
                error = self.shadow.own_error(name, z[i], want)
            assert_alike(a[i + 1], want, error, f"{name} a[{i}]")
        assert_same_bits(net.predict(self.x), self.trace.a[-1], "predict")

    def check_backward(self) -> None:
        net, z, a, delta = self.net, self.z, self.a, self.delta
        loss, output = str(net.loss), net.activations[-1]
        want = output_derivative(loss, output, z[-1], a[-1], self.targets) / len(a[-1])
        scale = np.abs(np.where(np.isfinite(want), want, 0)).max()
        error = self.gamma(z[-1].shape[1] + 2 * FUNCTION) * (np.abs(want) + scale + 1)
        assert_alike(delta[-1], want, error, f"{loss} after {output}: delta")
        self.check_cost(example_losses(loss, z[-1], a[-1], self.targets))
        for i in range(len(delta)):
            ones = np.ones((len(delta[i]), 1))
            for what, got, right in [
                ("weights", self.gradients.weights[i], a[i]),
                ("biases", self.gradients.biases[i][:, None], ones),
            ]:
                self.assert_product(got, delta[i].T, right, f"{what}[{i}]")
            back, size = product(delta[i], net.weights[i].astype(np.float64))
            n = delta[i].shape[1] + FUNCTION
            error = self.product_error(n, size)
            if i == 0:
                assert_alike(self.gradients.inputs, back, error, "inputs")
                continue
            name = net.activations[i - 1]
            slope = ACTIVATIONS[name].slope(z[i - 1])
            # A slope that is lost in the activation's rounding may count as 0.
            unsure = ~np.isfinite(back) & np.isfinite(z[i - 1]) & (np.abs(slope) < 8 * self.u)
            error = (error + self.gamma(n) * np.abs(back)) * (1 + np.abs(slope))
            want = back if name == "identity" else back * slope
            assert_alike(delta[i - 1], want, error, f"{name} delta[{i - 1}]", unsure)

    def check_cost(self, losses: Array) -> None:
        total = losses.sum() / len(losses)
        error = self.gamma(len(self.z[-1][0]) + FUNCTION) * (1 + abs(total)) * 8
        for got in (self.gradients.cost, self.net.cost(self.x, self.y)):
            assert_alike(np.array([got]), np.array([total]), error, "cost")

    def pass_rows(self) -> dict[str, Array]:
        """Return what both passes compute for each row by itself."""
        return {
            **{f"z[{i}]": z for i, z in enumerate(self.trace.z)},
            **{f"a[{i}]": a for i, a in enumerate(self.trace.a)},
            **{f"delta[{i}]": d for i, d in enumerate(self.trace.delta or [])},
            "inputs": self.gradients.inputs,
        }

    def rows(self) -> dict[str, Array]:
        """Return everything that the core computes for each row by itself."""
        net, x = self.net, self.x
        ones = np.ones_like(x)
        values = {
            **self.pass_rows(),
            "predict": net.predict(x),
            "vjp": net.vjp(x, np.ones_like(self.trace.a[-1])),
            "jvp": net.jvp(x, ones)[1],
            "laplacian": net.laplacian(x),
            "norms": net.per_sample_gradient_norms(x, self.y),
        }
        if net.n_parameters * len(x) < 1_000_000:
            values["jacobian"] = net.jacobian(x)
            values["hessian_diagonal"] = net.hessian_diagonal(x)
            values["per_sample_gradients"] = net.per_sample_gradients(x, self.y)
        return values

    def check_rows(self, clean: dict[str, Array], bad_row: int, from_x: bool) -> None:
        """Fail if another row than the bad one has changed, or the bad one hides it."""
        self.compare_rows(self.rows(), clean, bad_row, from_x)

    def compare_rows(
        self, got: dict[str, Array], clean: dict[str, Array], bad_row: int, from_x: bool
    ) -> None:
        for what, values in got.items():
            others = np.arange(len(values)) != bad_row
            assert_same_bits(values[others], clean[what][others], f"{what} of other rows")
            if from_x and np.isnan(self.x[bad_row]).any() and what[0] in "azpi":
                assert np.isnan(values[bad_row]).any(), f"{what} hides a NaN"


# ---------------------------------------------------------------- where it is put


def make_targets(rng: np.random.Generator, loss: str, batch: int, n_out: int, dtype: str) -> Array:
    if loss == "cross_entropy" and n_out > 1 and batch % 2:
        return np.asarray(rng.integers(0, n_out, batch))
    y = rng.uniform(0.1, 0.9, (batch, n_out))
    return (y / y.sum(axis=1, keepdims=True) if loss == "cross_entropy" else y).astype(dtype)


def make(
    widths: list[int],
    batch: int,
    dtype: str,
    activation: str,
    end: tuple[str, str],
    seed: int,
    precision: str = "float32",
) -> Pass:
    loss, output = end
    net = bp.Network(
        widths,
        activation=activation,
        output=output,
        loss=loss,
        dtype=dtype,
        precision=precision,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    for i, b in enumerate(net.biases):
        net.set_layer(i, net.weights[i], rng.normal(size=b.shape))
    x = rng.normal(size=(batch, widths[0])).astype(dtype)
    return Pass(net, x, make_targets(rng, loss, batch, widths[-1], dtype))


def refused(net: bp.Network, x: Array, y: Array, **weights: Array) -> bool:
    """Return whether a step refuses its targets or weights, by name, and changes nothing."""
    before = net.parameters.copy()
    message = ""
    try:
        net.step(x, y, bp.SGD(), **weights)
    except ValueError as error:
        message = str(error)
    assert_same_bits(net.parameters, before, "parameters")
    return message.startswith("sample_weight" if weights else "y ")


def place(shape: tuple[int, ...], rng: np.random.Generator, last: bool) -> tuple[int, ...]:
    """Return the last entry, which is in every tail, or any."""
    return tuple(n - 1 if last else int(rng.integers(n)) for n in shape)


def check_case(clean: Pass, seed: int) -> int:
    """Put each kind of value into each tensor; return the passes checked."""
    clean.check()
    rng = np.random.default_rng(seed)
    net, x, y = clean.net, clean.x, clean.y
    rows, start, passes = clean.rows(), net.parameters.copy(), 1
    for number, kind in enumerate(KINDS):
        last = (number + seed) % 2 == 0
        bad = x.copy()
        where = place(x.shape, rng, last)
        bad[where] = kind
        spoilt = Pass(net, bad, y)
        spoilt.check()
        spoilt.check_rows(rows, where[0], from_x=True)
        passes += 1
        if y.dtype.kind == "f":
            bad = y.copy()
            where = place(y.shape, rng, last)
            bad[where] = kind
            if net.loss in ("cross_entropy", "binary_cross_entropy"):
                assert refused(net, x, bad)
            else:
                spoilt = Pass(net, x, bad)
                spoilt.check()
                spoilt.check_rows(rows, where[0], from_x=False)
                passes += 1
        weight = np.ones(len(x))
        weight[place(weight.shape, rng, last)] = kind
        assert refused(net, x, y, sample_weight=weight)
        offset = 0
        for size in (
            each.size for pair in zip(net.weights, net.biases, strict=True) for each in pair
        ):
            values = start.copy()
            values[offset + place((size,), rng, last)[0]] = kind
            offset += size
            net.parameters = values
            Pass(net, x, y).check()
            passes += 1
        net.parameters = start
    again = Pass(net, x, y)
    again.check_rows(rows, -1, from_x=False)
    return passes


# Widths and rows: tails of every vector, one unit and one row, several blocks of rows.
SMALL = [([3, 5, 4, 2], 4), ([17, 33, 9], 37), ([1, 1, 1], 1), ([5, 3], 600)]
# Products that are blocked and shared by threads, and weights too large to be kept packed.
LARGE = ([70, 300, 260, 3], 96)
HUGE = ([2050, 2100, 2], 3)


# ---------------------------------------------------------------- every place


class Everywhere(NamedTuple):
    """A network of WIDTHS, and rows, that meets a bad value in every place."""

    dtype: str
    precision: str
    activation: str
    end: tuple[str, str]


# Tails of the vectors of every instruction set, in rows and columns.
WIDTHS, ROWS = [17, 33, 9], 37
EVERYWHERE = [
    Everywhere("float32", "float32", "relu", ("mse", "identity")),
    Everywhere("float64", "float32", "tanh", ("mse", "identity")),
    Everywhere("float32", "bf16", "tanh", ("huber", "tanh")),
    Everywhere("float32", "bf16x3", "relu", ("mse", "identity")),
]


def check_positions(clean: Pass, kinds: list[float]) -> int:
    """Put a value into every place in turn, one of the kinds after the other; return the passes."""
    clean.check()
    net, x, y = clean.net, clean.x, clean.y
    rows, start, number = clean.pass_rows(), net.parameters.copy(), 0
    for tensor in (x, y):
        for where in np.ndindex(tensor.shape):
            kept = tensor[where]
            tensor[where] = kinds[number % len(kinds)]
            spoilt = Pass(net, x, y)
            spoilt.check()
            spoilt.compare_rows(spoilt.pass_rows(), rows, where[0], from_x=tensor is x)
            tensor[where] = kept
            number += 1
    for place_of in range(len(start)):
        values = start.copy()
        values[place_of] = kinds[number % len(kinds)]
        net.parameters = values
        Pass(net, x, y).check()
        number += 1
    net.parameters = start
    again = Pass(net, x, y)
    again.compare_rows(again.pass_rows(), rows, -1, from_x=False)
    return number


def check_everywhere(thorough: bool) -> int:
    """Check every place; each kind of value comes to each in one of the types, or in all."""
    passes = 0
    for number, case in enumerate(EVERYWHERE):
        clean = make(
            WIDTHS, ROWS, case.dtype, case.activation, case.end, number, precision=case.precision
        )
        for turn in range(len(KINDS) if thorough else 1):
            kinds = [KINDS[(i + number + turn) % len(KINDS)] for i in range(len(KINDS))]
            passes += check_positions(clean, kinds)
    return passes


def main() -> None:
    if sys.argv[1:2] == ["positions"]:
        print(f"{bp.cpu_info()['isa']}: {check_everywhere(sys.argv[2:] == ['all'])} passes")
        return
    passes, thorough = 0, sys.argv[1:] == ["all"]
    for number, (activation, dtype) in enumerate(
        itertools.product(ACTIVATIONS, ("float32", "float64"))
    ):
        end = ENDS[number % len(ENDS)]
        # Each activation meets all shapes in two of the types.
        shapes = SMALL if thorough else SMALL[number % 2 :: 2]
        for widths, batch in shapes:
            passes += check_case(make(widths, batch, dtype, activation, end, number), number)
        if thorough or number % 8 == 6:
            passes += check_case(make(*LARGE, dtype, activation, end, number), number)
    for end in ENDS:
        passes += check_case(make([3, 5, 4], 5, "float32", "relu", end, 7), 7)
    if thorough:
        passes += check_case(make(*HUGE, "float32", "relu", ("mse", "identity"), 1), 1)
    print(f"{bp.cpu_info()['isa']}: {passes} passes")


if __name__ == "__main__":
    main()
