"""The mathematics of dense networks in NumPy, float64, with a bound on what rounding may do.

Every value comes with an error: how far the core's may be from it. The errors follow the
operations (running error analysis: Higham, "Accuracy and Stability of Numerical Algorithms", 2002,
section 3.3) with u the unit roundoff of the network's type:

- a chain of n multiply-adds of a and b adds at most gamma(n) |a| |b|, gamma(n) = n u / (1 - n u);
- a function adds its Lipschitz constant times the error of its argument, and its own error, which
  docs/numerics.md promises in units of the last place;
- where the error of an argument reaches across a kink or a jump, the jump is added.

`reference.py` is the oracle that is checked by itself; this one is held to it (test_soak.py), and
is fast enough to follow thousands of operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[[Array], Array]

SLOPE = 0.01  # of leaky_relu
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946

# Roundings of one activation, derivative or loss term, in u: a few units of the last place (two u
# each) of the function itself, and the products around it.
FUNCTION = 24.0
# What rounding and splitting of operands may add to a product, in |a| |b| (docs/numerics.md).
OPERANDS = {"float32": 0.0, "bf16": 2**-7 + 2**-16, "bf16x2": 1.01 * 2**-15, "bf16x3": 2**-23}
# Roundings by which a constant, such as 1 / N, may have been formed.
CONSTANT = 6.0


# ---------------------------------------------------------------- functions


def erfc(x: Array) -> Array:
    return np.array([math.erfc(v) for v in x.ravel()]).reshape(x.shape)


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1.0) / (1.0 + e)


def softplus(z: Array) -> Array:
    return np.maximum(0, z) + np.log1p(np.exp(-np.abs(z)))


def normal_cdf(z: Array) -> Array:
    return erfc(-z / np.sqrt(2)) / 2


def d_gelu(z: Array) -> Array:
    return normal_cdf(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def d_tanh(z: Array) -> Array:
    t = np.tanh(z)
    return (1 - t) * (1 + t)


def d_sigmoid(z: Array) -> Array:
    return sigmoid(z) * sigmoid(-z)


def step(z: Array, high: Any, low: Any) -> Array:
    """high where z > 0, low where z <= 0, NaN where z is."""
    return np.where(np.isnan(z), z, np.where(z > 0, high, low))


def expm1_below(z: Array) -> Array:
    """e^z - 1 where z < 0; z may be large elsewhere."""
    return np.expm1(np.minimum(z, 0))


class Activation(NamedTuple):
    """An activation with bounds on its first and second derivatives.

    jump is how far the derivative jumps at 0.
    """

    value: Function
    slope: Function
    steepest: float
    bend: float
    jump: float = 0.0


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda z: z, lambda z: np.ones_like(z), 1, 0),
    "sigmoid": Activation(sigmoid, d_sigmoid, 0.25, 0.1),
    "tanh": Activation(np.tanh, d_tanh, 1, 0.77),
    "relu": Activation(lambda z: np.maximum(0, z), lambda z: step(z, 1.0, 0.0), 1, 0, 1),
    "leaky_relu": Activation(
        lambda z: np.where(z > 0, z, SLOPE * z), lambda z: step(z, 1.0, SLOPE), 1, 0, 1 - SLOPE
    ),
    "elu": Activation(
        lambda z: np.where(z < 0, expm1_below(z), z),
        lambda z: step(z, 1.0, expm1_below(z) + 1),
        1,
        1,
    ),
    "selu": Activation(
        lambda z: SELU_SCALE * np.where(z < 0, SELU_ALPHA * expm1_below(z), z),
        lambda z: SELU_SCALE * step(z, 1.0, SELU_ALPHA * (expm1_below(z) + 1)),
        SELU_SCALE * SELU_ALPHA,
        SELU_SCALE * SELU_ALPHA,
        SELU_SCALE * (SELU_ALPHA - 1),
    ),
    "softplus": Activation(softplus, sigmoid, 1, 0.25),
    "gelu": Activation(lambda z: z * normal_cdf(z), d_gelu, 1.13, 0.8),
    "silu": Activation(lambda z: z * sigmoid(z), lambda z: sigmoid(z) + z * d_sigmoid(z), 1.1, 0.5),
    "mish": Activation(
        lambda z: z * np.tanh(softplus(z)),
        lambda z: np.tanh(softplus(z)) + z * d_tanh(softplus(z)) * sigmoid(z),
        1.09,
        0.7,
    ),
}


class Loss(NamedTuple):
    """A loss of the difference d = a - y of one output, and its derivative.

    steepest(|d|) and bend bound the first and second derivatives; jump is that at 0.
    """

    value: Function
    slope: Function
    steepest: Function
    bend: float
    jump: float = 0.0


DIFFERENCE_LOSSES: dict[str, Loss] = {
    "mse": Loss(lambda d: d * d, lambda d: 2 * d, lambda d: 2 * d, 2),
    "squared_error": Loss(lambda d: d * d, lambda d: 2 * d, lambda d: 2 * d, 2),
    "mae": Loss(np.abs, np.sign, np.ones_like, 0, 2),
    "huber": Loss(
        lambda d: np.where(np.abs(d) <= 1, d * d / 2, np.abs(d) - 0.5),
        lambda d: np.clip(d, -1, 1),
        np.ones_like,
        1,
    ),
}


class Value(NamedTuple):
    """Numbers, and how far the core's may be from them."""

    at: Array
    error: Array

    def widened(self, error: Array) -> Value:
        """Return the same numbers with a larger error."""
        return Value(self.at, self.error + error)


def exact(values: Any) -> Value:
    at = np.asarray(values, dtype=np.float64)
    return Value(at, np.zeros_like(at))


# ---------------------------------------------------------------- the network


@dataclass
class Result:
    """What a pass gave: cost, dW_1, db_1, …, and dC/dX."""

    cost: Value
    weights: list[Value]
    biases: list[Value]
    inputs: Value
    z: list[Value] = field(default_factory=list)
    a: list[Value] = field(default_factory=list)
    delta: list[Value] = field(default_factory=list)

    @property
    def flat(self) -> Value:
        pairs = [v for pair in zip(self.weights, self.biases, strict=True) for v in pair]
        return Value(*(np.concatenate([v[i].ravel() for v in pairs]) for i in range(2)))


@dataclass
class Shadow:
    """A network in float64, whose parameters are taken from one of the core."""

    weights: list[Array]
    biases: list[Array]
    activations: Sequence[str]
    loss: str
    l1: float = 0.0
    l2: float = 0.0
    dropout: Sequence[float] = ()
    scaling: tuple[Array, Array] | None = None
    dtype: Any = np.float32
    precision: str = "float32"

    @classmethod
    def of(cls, net: Any, loss: str | None = None) -> Shadow:
        """Return the shadow of a network as it is now; `loss` names that of a loss function."""
        return cls(
            weights=[w.astype(np.float64) for w in net.weights],
            biases=[b.astype(np.float64) for b in net.biases],
            activations=net.activations,
            loss=loss or net.loss,
            l1=net.l1,
            l2=net.l2,
            dropout=net.dropout,
            scaling=net.scaling,
            dtype=net.dtype,
            precision=net.precision,
        )

    def __post_init__(self) -> None:
        info = np.finfo(self.dtype)
        # The shadow rounds too, to float64, and no more often than the core does.
        self.u = float(info.eps) / 2 + float(np.finfo(np.float64).eps) / 2
        self.tiny = float(info.tiny)

    def gamma(self, n: float) -> float:
        return n * self.u / (1 - n * self.u)

    # ---- the parts of a pass ----

    def product(self, a: Value, b: Value) -> Value:
        """Return a b."""
        n = a.at.shape[1] + 4
        size_a, size_b = np.abs(a.at) + a.error, np.abs(b.at) + b.error
        error = a.error @ size_b + np.abs(a.at) @ b.error
        own = OPERANDS[self.precision] + self.gamma(n) * (1 if self.precision == "float32" else 1.1)
        # Subnormal products and sums are flushed, and so are subnormal parts of operands.
        lost = n * self.tiny * (1 + size_a.max(initial=0) + size_b.max(initial=0))
        error += own * (size_a @ size_b) + lost
        return Value(a.at @ b.at, error)

    def times(self, a: Value, b: Value) -> Value:
        """Return a b, entry by entry."""
        size_a, size_b = np.abs(a.at) + a.error, np.abs(b.at) + b.error
        error = a.error * size_b + np.abs(a.at) * b.error + 2 * self.u * size_a * size_b
        return Value(a.at * b.at, error + self.tiny)

    def load(self, x: Array) -> Value:
        """Return the inputs as layer 1 sees them."""
        at = np.asarray(x).astype(self.dtype).astype(np.float64)
        if self.scaling is None:
            return exact(at)
        shift, scale = self.scaling
        size = np.abs(at) + np.abs(shift)
        return Value((at - shift) * scale, CONSTANT * self.u * size * np.abs(scale) + self.tiny)

    def activate(self, name: str, z: Value) -> Value:
        if name == "softmax":
            return self.softmax(z)
        rule = ACTIVATIONS[name]
        at = rule.value(z.at)
        return Value(at, rule.steepest * z.error + self.own_error(name, z.at, at))

    def own_error(self, name: str, z: Array, at: Array) -> Array:
        """Return what the function itself may be off by, here and in the core."""
        error = FUNCTION * (self.u * np.abs(at) + self.tiny * np.maximum(1, np.abs(z)))
        # The argument of erfc here, z / sqrt(2), is rounded: z^2 times as much of its tail.
        return error + (z * z * self.u * np.abs(at) if name == "gelu" else 0)

    def softmax(self, z: Value) -> Value:
        shifted = z.at - z.at.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        p /= p.sum(axis=1, keepdims=True)
        # Subtracting the maximum rounds, which e^z turns into a relative error.
        each = (z.error + self.u * np.abs(shifted)).max(axis=1, keepdims=True)
        spread = np.expm1(2 * np.minimum(each, 30))
        n = p.shape[1] + FUNCTION
        error = p * (spread + self.gamma(n)) + n * self.tiny
        # No two probabilities are farther apart than 1; e^z of a vague z may be anything.
        return Value(p, np.where(each < 30, np.minimum(error, 1), 1))

    def slope(self, name: str, z: Value) -> Value:
        rule = ACTIVATIONS[name]
        at = rule.slope(z.at)
        # It may be formed from the activation, whose error is one of the slope where a is near 1.
        error = rule.bend * z.error + FUNCTION * self.u * (1 + np.abs(at)) * rule.steepest
        if name == "identity":
            error = np.zeros_like(at)
        elif rule.bend == 0:
            error = CONSTANT * self.u * np.abs(at)
        if rule.jump:
            error = error + np.where(np.abs(z.at) <= z.error, rule.jump, 0)
        return Value(at, error)

    def through(self, name: str, z: Value, a: Value, grad: Value) -> Value:
        """Return dC/dz from grad = dC/da."""
        if name != "softmax":
            return grad if name == "identity" else self.times(self.slope(name, z), grad)
        terms = self.times(a, grad)
        mean = Value(
            terms.at.sum(axis=1, keepdims=True),
            (terms.error + self.gamma(a.at.shape[1]) * np.abs(terms.at)).sum(1, keepdims=True),
        )
        size = np.abs(grad.at) + np.abs(mean.at)
        rest = Value(grad.at - mean.at, grad.error + mean.error + 2 * self.u * size)
        return self.times(a, rest)

    # ---- the loss ----

    def targets(self, y: Array, n_out: int) -> Array:
        """Return (N, n_out) targets; labels become rows of zeros and a one."""
        y = np.asarray(y)
        if self.loss == "cross_entropy" and (y.ndim < 2 or y.shape[1] != n_out):
            return np.eye(n_out)[y.ravel()]
        if y.dtype.kind not in "iub":
            y = y.astype(self.dtype)
        return y.astype(np.float64).reshape(len(y), n_out)

    def losses(self, z: Value, a: Value, y: Array) -> tuple[Value, Value]:
        """Return the loss of each example, and its derivative in z_L."""
        if self.loss == "cross_entropy":
            return self.cross_entropy(z, a, y)
        n_out = y.shape[1]
        if self.loss == "binary_cross_entropy":
            at = np.maximum(0, z.at) - z.at * y + np.log1p(np.exp(-np.abs(z.at)))
            size = 1 + np.abs(z.at) * (1 + np.abs(y))
            own = Value(at, 2 * z.error + FUNCTION * self.u * size)
            size = np.abs(a.at) + np.abs(y)
            delta = Value((a.at - y) / n_out, (a.error + FUNCTION * self.u * size) / n_out)
            return self.mean(own), delta
        rule = DIFFERENCE_LOSSES[self.loss]
        d = Value(a.at - y, a.error + self.u * np.abs(a.at - y))
        size = np.abs(d.at) + d.error
        at = rule.value(d.at)
        own = Value(at, rule.steepest(size) * d.error + CONSTANT * self.u * (np.abs(at) + size))
        at = rule.slope(d.at)
        error = rule.bend * d.error + CONSTANT * self.u * np.abs(at)
        error = error + np.where(np.abs(d.at) <= d.error, rule.jump, 0)
        share = 1.0 if self.loss == "squared_error" else n_out
        grad = Value(at / share, error / share)
        delta = self.through(self.activations[-1], z, a, grad)
        return self.mean(own, share), delta

    def cross_entropy(self, z: Value, p: Value, y: Array) -> tuple[Value, Value]:
        top = z.at.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(z.at - top).sum(axis=1, keepdims=True))
        mass = y.sum(axis=1, keepdims=True)
        at = (y * (top - z.at)).sum(axis=1) + (mass * log_sum)[:, 0]
        n = y.shape[1] + FUNCTION
        size = (np.abs(y) * (top - z.at)).sum(axis=1) + mass[:, 0] * (1 + log_sum[:, 0])
        worst = z.error.max(axis=1)
        error = 2 * np.abs(y).sum(axis=1) * worst + mass[:, 0] * worst + self.gamma(n) * size
        # The core forms the share of each class from the same e^z as `p`, and subtracts y.
        size = mass * p.at + np.abs(y)
        delta = Value(mass * p.at - y, mass * p.error + self.gamma(n) * size)
        return Value(at, error), delta

    def mean(self, terms: Value, share: float | None = None) -> Value:
        """Return the sum over the outputs, divided by share (the outputs, if not given)."""
        share = terms.at.shape[1] if share is None else share
        rounding = self.gamma(terms.at.shape[1] + CONSTANT) * np.abs(terms.at)
        return Value(terms.at.sum(axis=1) / share, (terms.error + rounding).sum(axis=1) / share)

    def penalty(self) -> Value:
        squares = sum(float((w * w).sum()) for w in self.weights)
        sizes = sum(float(np.abs(w).sum()) for w in self.weights)
        at = self.l2 / 2 * squares + self.l1 * sizes
        # Squares and sums of the weights are formed in float64.
        n = sum(w.size for w in self.weights)
        return Value(np.array(at), np.array(at * (n + 8) * 2.3e-16 + CONSTANT * self.u * at))

    # ---- whole passes ----

    def forward(
        self, x: Array, masks: Sequence[Array] = ()
    ) -> tuple[list[Value], list[Value], list[Value]]:
        """Return z and a of every layer (a[0] the inputs), and what is passed on after dropout."""
        zs: list[Value] = []
        activated = [self.load(x)]
        passed = [activated[0]]
        for i, (w, b, name) in enumerate(
            zip(self.weights, self.biases, self.activations, strict=True)
        ):
            z = self.product(passed[-1], exact(w.T))
            # The bias is added last, by a rounding of its own.
            z = Value(z.at + b, z.error + 2 * self.u * (np.abs(z.at) + np.abs(b)))
            zs.append(z)
            activated.append(self.activate(name, z))
            passed.append(self.drop(i, activated[-1], masks) if masks else activated[-1])
        return zs, activated, passed

    def drop(self, i: int, a: Value, masks: Sequence[Array]) -> Value:
        """Inverted dropout: zero the units not kept, scale the others by 1 / (1 - rate)."""
        if i >= len(masks) or not self.dropout[i]:
            return a
        kept = 1 / (1 - self.dropout[i])
        error = kept * (a.error + CONSTANT * self.u * np.abs(a.at))
        return Value(np.where(masks[i], a.at * kept, 0), np.where(masks[i], error, 0))

    def predict(self, x: Array) -> Value:
        return self.forward(x)[1][-1]

    def vjp(self, x: Array, v: Array) -> Value:
        """Return the products of the rows of v and the outputs' Jacobians in the inputs."""
        if self.precision != "float32":  # which is for training and predictions alone
            return replace(self, precision="float32").vjp(x, v)
        zs, activated, _ = self.forward(x)
        delta = exact(np.asarray(v).astype(self.dtype))
        for i in reversed(range(len(self.weights))):
            delta = self.through(self.activations[i], zs[i], activated[i + 1], delta)
            delta = self.product(delta, exact(self.weights[i]))
        return self.unscaled(delta)

    def row_scales(self, n: int, sample_weight: Array | None) -> Value:
        weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
        at = weight / weight.sum()
        return Value(at, (CONSTANT * self.u + n * 2.3e-16) * at + self.tiny)

    def backprop(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None = None,
        masks: Sequence[Array] = (),
    ) -> Result:
        """Return cost and gradients, penalties included."""
        zs, activated, passed = self.forward(x, masks)
        targets = self.targets(y, activated[-1].at.shape[1])
        losses, delta = self.losses(zs[-1], activated[-1], targets)
        scales = self.row_scales(len(targets), sample_weight)
        cost = self.times(scales, losses)
        penalty = self.penalty()
        total = Value(
            cost.at.sum() + penalty.at,
            cost.error.sum()
            + penalty.error
            + (len(targets) + 8) * 2.3e-16 * (np.abs(cost.at).sum() + penalty.at),
        )
        delta = self.times(delta, Value(scales.at[:, None], scales.error[:, None]))
        result = Result(total, [], [], delta, zs, activated)
        for i in reversed(range(len(self.weights))):
            result.delta.insert(0, delta)
            result.weights.insert(0, self.penalised(self.summed(delta, passed[i]), i))
            result.biases.insert(0, self.column_sums(delta))
            back = self.product(delta, exact(self.weights[i]))
            if i == 0:
                result.inputs = self.unscaled(back)
                break
            if masks:
                back = self.drop(i - 1, back, masks)
            delta = self.through(self.activations[i - 1], zs[i - 1], activated[i], back)
        return result

    def summed(self, delta: Value, a: Value) -> Value:
        """Return delta^T a; up to eight parts of a batch are summed apart, then as a tree."""
        dw = self.product(Value(delta.at.T, delta.error.T), a)
        size = (np.abs(delta.at) + delta.error).T @ (np.abs(a.at) + a.error)
        return Value(dw.at, dw.error + self.gamma(8) * size)

    def column_sums(self, delta: Value) -> Value:
        size = (np.abs(delta.at) + delta.error).sum(axis=0)
        return Value(
            delta.at.sum(axis=0),
            delta.error.sum(axis=0) + self.gamma(len(delta.at) + 8) * size,
        )

    def penalised(self, dw: Value, i: int) -> Value:
        if not (self.l1 or self.l2):
            return dw
        w = self.weights[i]
        more = self.l2 * w + self.l1 * np.sign(w)
        size = np.abs(dw.at) + self.l2 * np.abs(w) + self.l1
        return Value(dw.at + more, dw.error + CONSTANT * self.u * size)

    def unscaled(self, dx: Value) -> Value:
        """Return the derivative in x as it is given, before any scaling."""
        if self.scaling is None:
            return dx
        return self.times(dx, Value(self.scaling[1], CONSTANT * self.u * np.abs(self.scaling[1])))


# ---------------------------------------------------------------- comparing


def assert_within(got: Any, want: Value, what: str) -> None:
    """Fail unless every number is finite, and as near as it must be."""
    values = np.asarray(got, dtype=np.float64)
    assert values.shape == np.shape(want.at), f"{what}: shape {values.shape}, not {want.at.shape}"
    bad = ~(np.abs(values - want.at) <= want.error)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0]) if values.ndim else ()
        raise AssertionError(
            f"{what}{list(where)}: {values[where]!r}, not within {want.error[where]:.3g} of "
            f"{want.at[where]!r} ({int(bad.sum())} of {values.size} entries are off)"
        )
