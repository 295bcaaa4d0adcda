"""The mathematics of dense networks in pure Python: the oracle the C core is held to.

Matrices are lists of rows and vectors are lists; layer l is entry l - 1 of every list of layers:

    Z_l = A_{l-1} W_l^T + b_l        A_l = act_l(Z_l)       A_0 = X
    delta_L = act_L'(Z_L) * dC/dA_L  delta_l = act_l'(Z_l) * (delta_{l+1} W_{l+1})
    dW_l = delta_l^T A_{l-1}         db_l = column sums of delta_l        dX = delta_1 W_1

The forward pass and the cost also run on complex numbers, so that their derivatives can be had
to full precision from the imaginary part of f(x + ih) with a tiny h (the complex step); branches
look at the real part only.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, NamedTuple

Scalar = Any  # float, or complex while differentiating by complex step
Vector = list[Scalar]
Matrix = list[Vector]

# ---------------------------------------------------------------- elementary functions


def exp(x: Scalar) -> Scalar:
    return cmath.exp(x) if isinstance(x, complex) else math.exp(x)


def expm1(x: Scalar) -> Scalar:
    return cmath.exp(x) - 1 if isinstance(x, complex) else math.expm1(x)


def log(x: Scalar) -> Scalar:
    return cmath.log(x) if isinstance(x, complex) else math.log(x)


def log1p(x: Scalar) -> Scalar:
    return cmath.log(1 + x) if isinstance(x, complex) else math.log1p(x)


def tanh(x: Scalar) -> Scalar:
    return cmath.tanh(x) if isinstance(x, complex) else math.tanh(x)


def normal_cdf(x: Scalar) -> Scalar:
    """Return Phi(x) = (1 + erf(x / sqrt 2)) / 2; complex x by the series of DLMF 7.6.2."""
    if not isinstance(x, complex):
        return math.erfc(-x / math.sqrt(2)) / 2
    term, total, n = x, x, 1
    while abs(term) > 1e-18 * abs(total):
        n += 2
        term = term * x * x / n
        total += term
    return 0.5 + cmath.exp(-x * x / 2) / math.sqrt(2 * math.pi) * total


def normal_pdf(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def absolute(x: Scalar) -> Scalar:
    return -x if x.real < 0 else x


def sign(x: float) -> float:
    return float((x > 0) - (x < 0))


# ---------------------------------------------------------------- activations

SLOPE = 0.01  # of leaky_relu
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def sigmoid(x: Scalar) -> Scalar:
    return 1 / (1 + exp(-x)) if x.real >= 0 else exp(x) / (1 + exp(x))


def softplus(x: Scalar) -> Scalar:
    return x + log1p(exp(-x)) if x.real >= 0 else log1p(exp(x))


def d_tanh(x: float) -> Scalar:
    return (1 - tanh(x)) * (1 + tanh(x))


def d_sigmoid(x: float) -> Scalar:
    return sigmoid(x) * sigmoid(-x)


def d_mish(x: float) -> Scalar:
    return tanh(softplus(x)) + x * d_tanh(softplus(x)) * sigmoid(x)


# name: (the activation, its derivative with respect to z)
ACTIVATIONS: dict[str, tuple[Callable[[Scalar], Scalar], Callable[[float], float]]] = {
    "identity": (lambda z: z, lambda z: 1.0),
    "sigmoid": (sigmoid, d_sigmoid),
    "tanh": (tanh, d_tanh),
    "relu": (lambda z: z if z.real > 0 else 0 * z, lambda z: 1.0 if z > 0 else 0.0),
    "leaky_relu": (lambda z: z if z.real > 0 else SLOPE * z, lambda z: 1.0 if z > 0 else SLOPE),
    "elu": (lambda z: z if z.real > 0 else expm1(z), lambda z: 1.0 if z > 0 else exp(z)),
    "selu": (
        lambda z: SELU_SCALE * (z if z.real > 0 else SELU_ALPHA * expm1(z)),
        lambda z: SELU_SCALE * (1.0 if z > 0 else SELU_ALPHA * exp(z)),
    ),
    "softplus": (softplus, sigmoid),
    "gelu": (lambda z: z * normal_cdf(z), lambda z: normal_cdf(z) + z * normal_pdf(z)),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) + z * d_sigmoid(z)),
    "mish": (lambda z: z * tanh(softplus(z)), d_mish),
}


def log_softmax(z: Vector) -> Vector:
    top = max(v.real for v in z)
    log_sum = top + log(sum(exp(v - top) for v in z))
    return [v - log_sum for v in z]


def activate(name: str, z: Vector) -> Vector:
    if name == "softmax":
        return [exp(v) for v in log_softmax(z)]
    return [ACTIVATIONS[name][0](v) for v in z]


def backward_activation(name: str, z: Vector, grad: Vector) -> Vector:
    """Return dC/dz of one row from grad = dC/da."""
    if name == "softmax":
        a = activate(name, z)
        mean = dot(a, grad)
        return [p * (g - mean) for p, g in zip(a, grad, strict=True)]
    return [ACTIVATIONS[name][1](v) * g for v, g in zip(z, grad, strict=True)]


# ---------------------------------------------------------------- losses of one example


def huber(d: Scalar) -> Scalar:
    return d * d / 2 if abs(d.real) <= 1 else absolute(d) - 0.5


# name: (loss of the difference d = a - y of one output, its derivative, mean over outputs?)
DIFFERENCE_LOSSES: dict[str, tuple[Callable[[Scalar], Scalar], Callable[[float], float], bool]] = {
    "mse": (lambda d: d * d, lambda d: 2 * d, True),
    "squared_error": (lambda d: d * d, lambda d: 2 * d, False),
    "mae": (absolute, sign, True),
    "huber": (huber, lambda d: max(-1.0, min(1.0, d)), True),
}


def example_loss(loss: str, z: Vector, a: Vector, y: Vector) -> Scalar:
    if loss == "cross_entropy":
        return -dot(y, log_softmax(z))
    if loss == "binary_cross_entropy":
        return sum(softplus(v) - v * t for v, t in zip(z, y, strict=True)) / len(z)
    value, _, mean = DIFFERENCE_LOSSES[loss]
    return sum(value(u - t) for u, t in zip(a, y, strict=True)) / (len(a) if mean else 1)


def output_delta(loss: str, output: str, z: Vector, a: Vector, y: Vector) -> Vector:
    """Return d loss / dz of one example at the last layer."""
    if loss == "cross_entropy":
        return [u - t for u, t in zip(a, y, strict=True)]
    if loss == "binary_cross_entropy":
        return [(u - t) / len(a) for u, t in zip(a, y, strict=True)]
    _, derivative, mean = DIFFERENCE_LOSSES[loss]
    scale = len(a) if mean else 1
    return backward_activation(
        output, z, [derivative(u - t) / scale for u, t in zip(a, y, strict=True)]
    )


def as_rows(y: Sequence[Any], n_out: int) -> Matrix:
    """Targets as a matrix: labels become one-hot rows, scalars rows of one."""
    if not isinstance(y[0], (int, float, complex)):
        return [list(row) for row in y]
    if n_out == 1:
        return [[t] for t in y]
    return [[float(j == t) for j in range(n_out)] for t in y]


# ---------------------------------------------------------------- the network


def dot(u: Vector, v: Vector) -> Scalar:
    return sum(map(mul, u, v))


def transpose(a: Matrix) -> Matrix:
    return [list(column) for column in zip(*a, strict=True)]


def matmul_nt(a: Matrix, b: Matrix) -> Matrix:
    """Return a b^T."""
    return [[dot(row, other) for other in b] for row in a]


class Gradient(NamedTuple):
    cost: float
    weights: list[Matrix]
    biases: list[Vector]
    inputs: Matrix
    deltas: list[Matrix]

    @property
    def flat(self) -> Vector:
        return flatten(self.weights, self.biases)


def flatten(weights: list[Matrix], biases: list[Vector]) -> Vector:
    """W_1, b_1, W_2, b_2, ... as one vector."""
    flat: Vector = []
    for w, b in zip(weights, biases, strict=True):
        flat += [v for row in w for v in row] + b
    return flat


@dataclass
class Reference:
    """A network: weights[i] is (n_{i+1}, n_i), activations has one name for each layer."""

    weights: list[Matrix]
    biases: list[Vector]
    activations: list[str]
    loss: str = "mse"
    l1: float = 0.0
    l2: float = 0.0
    dropout: float | Sequence[float] = 0.0  # one rate for all hidden layers, or one each

    def forward(
        self, x: Matrix, masks: list[Matrix] | None = None
    ) -> tuple[list[Matrix], list[Matrix]]:
        """Return Z_1 ... Z_L and A_0 ... A_L; masks[i] says which units of layer i + 1 are kept."""
        zs, activated = [], [x]
        layers = zip(self.weights, self.biases, self.activations, strict=True)
        for i, (w, b, name) in enumerate(layers):
            products = matmul_nt(activated[-1], w)
            z = [[s + c for s, c in zip(row, b, strict=True)] for row in products]
            a = [activate(name, row) for row in z]
            if masks and i < len(masks):
                a = self.drop(i, a, masks[i])
            zs.append(z)
            activated.append(a)
        return zs, activated

    def drop(self, i: int, a: Matrix, mask: Matrix) -> Matrix:
        """Inverted dropout: zero the units not kept, scale the others by 1 / (1 - p)."""
        keep = 1 - (self.dropout[i] if isinstance(self.dropout, Sequence) else self.dropout)
        return [
            [v / keep if m else 0 * v for v, m in zip(row, kept, strict=True)]
            for row, kept in zip(a, mask, strict=True)
        ]

    def penalty(self) -> Scalar:
        entries = [v for w in self.weights for row in w for v in row]
        return self.l2 / 2 * dot(entries, entries) + self.l1 * sum(map(absolute, entries))

    def cost(
        self,
        x: Matrix,
        y: Sequence[Any],
        sample_weight: Vector | None = None,
        masks: list[Matrix] | None = None,
    ) -> Scalar:
        """Weighted mean over the batch of the loss of each example, plus penalties."""
        zs, activated = self.forward(x, masks)
        rows = zip(zs[-1], activated[-1], as_rows(y, len(zs[-1][0])), strict=True)
        losses = [example_loss(self.loss, *row) for row in rows]
        u = sample_weight or [1.0] * len(x)
        return dot(u, losses) / sum(u) + self.penalty()

    def backprop(
        self,
        x: Matrix,
        y: Sequence[Any],
        sample_weight: Vector | None = None,
        masks: list[Matrix] | None = None,
    ) -> Gradient:
        zs, activated = self.forward(x, masks)
        u = sample_weight or [1.0] * len(x)
        rows = zip(zs[-1], activated[-1], as_rows(y, len(zs[-1][0])), strict=True)
        losses = [output_delta(self.loss, self.activations[-1], *row) for row in rows]
        delta = [[v * s / sum(u) for v in row] for row, s in zip(losses, u, strict=True)]
        deltas = [delta]
        for i in reversed(range(1, len(self.weights))):
            back = matmul_nt(delta, transpose(self.weights[i]))
            if masks:
                back = self.drop(i - 1, back, masks[i - 1])
            name = self.activations[i - 1]
            rows_back = zip(zs[i - 1], back, strict=True)
            delta = [backward_activation(name, z, grad) for z, grad in rows_back]
            deltas.insert(0, delta)
        return Gradient(
            cost=self.cost(x, y, sample_weight, masks),
            weights=[
                self.add_penalty(matmul_nt(transpose(d), transpose(a)), w)
                for d, a, w in zip(deltas, activated[:-1], self.weights, strict=True)
            ],
            biases=[[sum(column) for column in transpose(d)] for d in deltas],
            inputs=matmul_nt(deltas[0], transpose(self.weights[0])),
            deltas=deltas,
        )

    def add_penalty(self, dw: Matrix, w: Matrix) -> Matrix:
        return [
            [g + self.l2 * v + self.l1 * sign(v) for g, v in zip(drow, row, strict=True)]
            for drow, row in zip(dw, w, strict=True)
        ]


# ---------------------------------------------------------------- optimizers, as PyTorch documents


def clip(g: Vector, clip_norm: float | None) -> Vector:
    """torch.nn.utils.clip_grad_norm_ over the whole gradient."""
    if clip_norm is None:
        return g
    factor = min(1.0, clip_norm / (math.sqrt(dot(g, g)) + 1e-6))
    return [factor * v for v in g]


@dataclass
class Rule:
    """One update rule for one parameter; `t` counts the steps from 1."""

    t: int = 0

    def update(self, theta: float, g: float, lr: float) -> float:
        raise NotImplementedError


@dataclass
class SGD(Rule):
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    b: float = 0.0

    def update(self, theta: float, g: float, lr: float) -> float:
        self.t += 1
        g += self.weight_decay * theta
        if self.momentum:
            self.b = g if self.t == 1 else self.momentum * self.b + g
            g = g + self.momentum * self.b if self.nesterov else self.b
        return theta - lr * g


@dataclass
class Adam(Rule):
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    m: float = 0.0
    v: float = 0.0

    def update(self, theta: float, g: float, lr: float) -> float:
        return theta - lr * self.direction(g + self.weight_decay * theta)

    def direction(self, g: float) -> float:
        self.t += 1
        beta1, beta2 = self.betas
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g * g
        m_hat = self.m / (1 - beta1**self.t)
        v_hat = self.v / (1 - beta2**self.t)
        return m_hat / (math.sqrt(v_hat) + self.eps)


@dataclass
class AdamW(Adam):
    weight_decay: float = 0.01

    def update(self, theta: float, g: float, lr: float) -> float:
        theta -= lr * self.weight_decay * theta
        return theta - lr * self.direction(g)


@dataclass
class RMSprop(Rule):
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False
    v: float = 0.0
    mean: float = 0.0
    b: float = 0.0

    def update(self, theta: float, g: float, lr: float) -> float:
        g += self.weight_decay * theta
        self.v = self.alpha * self.v + (1 - self.alpha) * g * g
        v = self.v
        if self.centered:
            self.mean = self.alpha * self.mean + (1 - self.alpha) * g
            v -= self.mean**2
        self.b = self.momentum * self.b + g / (math.sqrt(v) + self.eps)
        return theta - lr * self.b


@dataclass
class Adagrad(Rule):
    lr_decay: float = 0.0
    eps: float = 1e-10
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    squares: float = 0.0

    def update(self, theta: float, g: float, lr: float) -> float:
        self.t += 1
        g += self.weight_decay * theta
        self.squares += g * g
        total = self.initial_accumulator_value + self.squares
        return theta - lr / (1 + (self.t - 1) * self.lr_decay) * g / (math.sqrt(total) + self.eps)


@dataclass
class Optimizer:
    """A rule for each entry of a flat parameter vector, after an optional clip of the gradient."""

    rules: list[Rule]
    clip_norm: float | None = None

    def step(self, theta: Vector, g: Vector, lr: float) -> Vector:
        clipped = clip(g, self.clip_norm)
        moves = zip(self.rules, theta, clipped, strict=True)
        return [rule.update(p, d, lr) for rule, p, d in moves]
