"""What the operators of ONNX compute, elementwise, and which of them compute an activation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..kernels import activation as evaluate

_SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}


class Step(NamedTuple):
    """A node to be written. Operands: "z", earlier results by number of their step, constants."""

    kind: str
    inputs: tuple[str | int | float, ...] = ("z",)
    attributes: Mapping[str, Any] = MappingProxyType({})


# Our name: the nodes that compute it.
NODES: dict[str, list[Step]] = {
    "identity": [],
    "sigmoid": [Step("Sigmoid")],
    "tanh": [Step("Tanh")],
    "relu": [Step("Relu")],
    "leaky_relu": [Step("LeakyRelu", attributes={"alpha": 0.01})],
    "elu": [Step("Elu", attributes={"alpha": 1.0})],
    "selu": [Step("Selu", attributes=_SELU)],
    "softplus": [Step("Softplus")],
    "gelu": [Step("Gelu")],
    "silu": [Step("Sigmoid"), Step("Mul", ("z", 0))],
    "mish": [Step("Mish")],
    "softmax": [Step("Softmax", attributes={"axis": 1})],
}
# Steps 0 … 4: e^min(z, 0) - 1, by operators that take float64 everywhere.
_EXPM1 = [Step("Neg"), Step("Relu", (0,)), Step("Neg", (1,)), Step("Exp", (2,))]
_EXPM1 += [Step("Sub", (3, 1.0))]
# Steps 0 … 5: max(z, 0) + log(1 + e^-|z|).
_SOFTPLUS = [Step("Abs"), Step("Neg", (0,)), Step("Exp", (1,)), Step("Add", (2, 1.0))]
_SOFTPLUS += [Step("Log", (3,)), Step("Relu"), Step("Add", (5, 4))]
# ONNX Runtime has these in float32 only; in float64 it has what they are made of.
DOUBLE_NODES: dict[str, list[Step]] = {
    **NODES,
    "leaky_relu": [
        Step("Relu"),
        Step("Neg"),
        Step("Relu", (1,)),
        Step("Mul", (2, 0.01)),
        Step("Sub", (0, 3)),
    ],
    "elu": [*_EXPM1, Step("Relu"), Step("Add", (5, 4))],
    "selu": [
        *_EXPM1,
        Step("Mul", (4, _SELU["alpha"])),
        Step("Relu"),
        Step("Add", (6, 5)),
        Step("Mul", (7, _SELU["gamma"])),
    ],
    "softplus": _SOFTPLUS,
    "mish": [*_SOFTPLUS, Step("Tanh", (6,)), Step("Mul", ("z", 7))],
}
OPSETS = {"Gelu": 20, "Mish": 18}
LEAST_OPSET = 13

# Where activations are told apart, and how much of a difference counts.
_FAR = np.geomspace(1e-6, 80.0, 61)
POINTS = np.concatenate([np.linspace(-6.0, 6.0, 49), _FAR, -_FAR])
_TOLERANCE = 1e-6

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu(z: Array, approximate: bytes = b"none") -> Array:
    if approximate != b"none":
        return 0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))
    erf: Array = _erf(z / math.sqrt(2.0))
    return 0.5 * z * (1.0 + erf)


def _softplus(z: Array) -> Array:
    return np.logaddexp(0.0, z)


def _elu(z: Array, alpha: float = 1.0, gamma: float = 1.0) -> Array:
    return gamma * np.where(z > 0.0, z, alpha * np.expm1(np.minimum(z, 0.0)))


def _selu(z: Array, alpha: float = _SELU["alpha"], gamma: float = _SELU["gamma"]) -> Array:
    return _elu(z, alpha, gamma)


def _leaky_relu(z: Array, alpha: float = 0.01) -> Array:
    return np.where(z > 0.0, z, alpha * z)


# What a node between two products does to its operands; attributes are keyword arguments.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "Tanh": np.tanh,
    "Relu": lambda z: np.maximum(z, 0.0),
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Selu": _selu,
    "Softplus": _softplus,
    "Gelu": _gelu,
    "Mish": lambda z: z * np.tanh(_softplus(z)),
    "Swish": lambda z, alpha=1.0: z / (1.0 + np.exp(-alpha * z)),
    "Erf": _erf,
    "Exp": np.exp,
    "Log": np.log,
    "Abs": np.abs,
    "Neg": np.negative,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


def recognise(values: Array) -> str | None:
    """Return the activation that has these values at POINTS, or None."""
    for name in NODES:
        if name != "softmax":
            expected = evaluate(name, POINTS)
            if (np.abs(values - expected) <= _TOLERANCE * np.maximum(1.0, np.abs(expected))).all():
                return name
    return None
