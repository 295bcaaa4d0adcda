"""The Jacobian of each layer of a network."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from ._core import Array
from .inputs import as_inputs
from .kernels import activation_derivative
from .model import Model

__all__ = ["layer_jacobians"]

# What the arrays may take together. The system commits memory only when it is written, so without a
# limit a process that asks for too much would be killed half-way.
_MOST_BYTES = 2**31


def layer_jacobians(net: Model, X: Any) -> list[Array]:
    """Return d a_l / d a_(l-1) of every layer, (N, n_l, n_(l-1)), as `Network.layer_jacobians`."""
    x = as_inputs(X, net.widths[0], net.dtype)
    row = sum(math.prod(pair) for pair in pairwise(net.widths)) * net.dtype.itemsize
    if row * len(x) > _MOST_BYTES:
        raise ValueError(
            f"X must have at most {max(_MOST_BYTES // row, 1):,} rows for this network, whose "
            f"Jacobians take {row:,} bytes a row, got {len(x):,} rows: pass them in parts"
        )
    trace = net.trace(x)
    jacobians = [
        _jacobian(name, z, a, w)
        for name, z, a, w in zip(net.activations, trace.z, trace.a[1:], net.weights, strict=True)
    ]
    if net.scaling is not None:
        jacobians[0] = jacobians[0] * net.scaling[1].astype(net.dtype)
    return jacobians


def _jacobian(name: str, z: Array, a: Array, w: Array) -> Array:
    """Return diag(act'(z)) W of each row; for softmax, (diag(a) - a a^T) W."""
    if name == "softmax":
        product: Array = a[:, :, None] * (w - (a @ w)[:, None, :])
        return product
    slope: Array = activation_derivative(name, np.ascontiguousarray(z))
    return slope[:, :, None] * w
