"""What activations and losses compute, on Variables, and their derivatives in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._arrays import logsumexp, mean, softmax, sum
from ._elementwise import abs, erf, expm1, relu, sigmoid, softplus, tanh, where
from ._gate import plain

# Klambauer et al., "Self-normalizing neural networks", 2017.
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def _elu(z: Any) -> Any:
    # The exponential of a positive z is not used and is kept from overflowing.
    positive = plain(z) > 0
    return where(positive, z, expm1(where(positive, 0.0, z)))


def _selu(z: Any) -> Any:
    positive = plain(z) > 0
    return SELU_SCALE * where(positive, z, SELU_ALPHA * expm1(where(positive, 0.0, z)))


class Activation(NamedTuple):
    """An activation: its value, and its derivative in words over its input z and output a."""

    value: Callable[[Any], Any]
    slope: str


ACTIVATIONS = {
    "identity": Activation(lambda z: +z, "1"),
    "sigmoid": Activation(sigmoid, "{a}*(1 - {a})"),
    "tanh": Activation(tanh, "1 - {a}**2"),
    "relu": Activation(relu, "[{z} > 0]"),
    "leaky_relu": Activation(
        lambda z: where(plain(z) > 0, z, 0.01 * z), "[{z} > 0] + 0.01*[{z} <= 0]"
    ),
    "elu": Activation(_elu, "[{z} > 0] + ({a} + 1)*[{z} <= 0]"),
    "selu": Activation(_selu, "1.05070*[{z} > 0] + ({a} + 1.75810)*[{z} <= 0]"),
    "softplus": Activation(softplus, "sigmoid({z})"),
    "gelu": Activation(
        lambda z: z * (0.5 * (1 + erf(z / math.sqrt(2)))), "Phi({z}) + {z}*phi({z})"
    ),
    "silu": Activation(lambda z: z * sigmoid(z), "sigmoid({z}) + {a}*(1 - sigmoid({z}))"),
    "mish": Activation(
        lambda z: z * tanh(softplus(z)),
        "tanh(softplus({z})) + {z}*sigmoid({z})*(1 - tanh(softplus({z}))**2)",
    ),
    # Its derivative is a matrix, which no path goes through.
    "softmax": Activation(lambda z: softmax(z, axis=-1), ""),
}


def _huber(difference: Any) -> Any:
    size = abs(difference)
    return where(plain(size) <= 1, 0.5 * difference**2, size - 0.5)


def _cross_entropy(a: Any, z: Any, y: Any) -> Any:
    # -Σ y log softmax(z) = Σ y · logsumexp(z) - Σ y z, where Σ y is 1 for labels.
    totals = np.sum(plain(y), axis=1)
    log_normaliser = logsumexp(z, axis=1)
    weighted = log_normaliser if np.all(totals == 1) else totals * log_normaliser
    return weighted - sum(y * z, axis=1)


class Loss(NamedTuple):
    """A loss: of each example, and in words."""

    of_examples: Callable[[Any, Any, Any], Any]
    """Of the output a, the output's input z, and the targets y, all (N, n_L); (N,)."""
    one_output: str
    outputs: str
    slope: str
    """In an output or, where the loss is formed from the output's input, in that."""


LOSSES = {
    "mse": Loss(
        lambda a, z, y: mean((a - y) ** 2, axis=1),
        "({a} - {y})**2",
        "mean(({A} - {Y})**2)",
        "2*({a} - {y}){over_n}",
    ),
    "squared_error": Loss(
        lambda a, z, y: sum((a - y) ** 2, axis=1),
        "({a} - {y})**2",
        "sum(({A} - {Y})**2)",
        "2*({a} - {y})",
    ),
    "mae": Loss(
        lambda a, z, y: mean(abs(a - y), axis=1),
        "abs({a} - {y})",
        "mean(abs({A} - {Y}))",
        "sign({a} - {y}){over_n}",
    ),
    "huber": Loss(
        lambda a, z, y: mean(_huber(a - y), axis=1),
        "huber({a} - {y})",
        "mean(huber({A} - {Y}))",
        "clip({a} - {y}, -1, 1){over_n}",
    ),
    "cross_entropy": Loss(
        _cross_entropy, "-{y}*log({a})", "-sum({Y}*log({A}))", "{total}{a} - {y}"
    ),
    "binary_cross_entropy": Loss(
        # With s the sigmoid, -y log s(z) - (1 - y) log s(-z) = softplus(z) - y z.
        lambda a, z, y: mean(softplus(z) - y * z, axis=1),
        "-{y}*log({a}) - (1 - {y})*log(1 - {a})",
        "-mean({Y}*log({A}) + (1 - {Y})*log(1 - {A}))",
        "{difference}{over_n}",
    ),
}
