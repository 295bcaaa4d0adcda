"""Initial weights of a layer, drawn in float64 from Philox keyed by (seed, layer, position).

`fan_in` and `fan_out` are the layer's numbers of inputs and outputs. Biases start at zero.

| name | distribution | variance |
|---|---|---|
| `he` | uniform | 2 / fan_in (He et al., Delving deep into rectifiers, 2015) |
| `glorot` | uniform | 2 / (fan_in + fan_out) (Glorot and Bengio, 2010) |
| `lecun` | uniform | 1 / fan_in (LeCun et al., Efficient BackProp, 1998) |
| `orthogonal` | orthonormal rows or columns (Saxe et al., 2013) | 1 / max(fan_in, fan_out) |
| `zeros` | all zero | 0 |

`auto` is `he` for the relu family (relu, leaky_relu, elu, softplus, gelu, silu, mish), `lecun` for
selu and `glorot` for the others.
"""

from __future__ import annotations

import math

import numpy as np

from ._core import Array, random_uniform

NAMES = ("auto", "he", "glorot", "lecun", "orthogonal", "zeros")
_RELU_FAMILY = ("relu", "leaky_relu", "elu", "softplus", "gelu", "silu", "mish")


def _scheme(activation: str) -> str:
    """Return the name that `auto` stands for."""
    if activation in _RELU_FAMILY:
        return "he"
    return "lecun" if activation == "selu" else "glorot"


def normals(seed: int, layer: int, count: int) -> Array:
    """Return standard normal numbers (Box and Muller, 1958)."""
    u = random_uniform(seed, layer, 2 * count)
    return np.sqrt(-2.0 * np.log1p(-u[:count])) * np.cos(2.0 * math.pi * u[count:])


def _orthogonal(seed: int, layer: int, n_out: int, n_in: int) -> Array:
    """Orthonormal rows (n_out <= n_in) or columns, uniform over such matrices."""
    tall = normals(seed, layer, n_out * n_in).reshape(max(n_out, n_in), min(n_out, n_in))
    q, r = np.linalg.qr(tall)
    # The signs of R's diagonal are the factorisation's choice; without them Q is uniform.
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if n_out >= n_in else q.T


def initial_weights(
    init: str, activation: str, seed: int, layer: int, n_out: int, n_in: int
) -> Array:
    """Return the initial weights of layer `layer` (from 0), (n_out, n_in), in float64."""
    name = _scheme(activation) if init == "auto" else init
    if name == "zeros":
        return np.zeros((n_out, n_in))
    if name == "orthogonal":
        return _orthogonal(seed, layer, n_out, n_in)
    variance = {"he": 2.0 / n_in, "glorot": 2.0 / (n_in + n_out), "lecun": 1.0 / n_in}[name]
    bound = math.sqrt(3.0 * variance)
    u = random_uniform(seed, layer, n_out * n_in).reshape(n_out, n_in)
    return (2.0 * u - 1.0) * bound
