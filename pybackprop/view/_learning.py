"""What the page needs to compute by itself: all parameters, and rows to learn from, exactly."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from ..doctor import EXPLODING, VANISHING

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["learning", "rows_to_learn"]

# More could neither be looked at nor be trained between two frames.
MOST_PARAMETERS = 20_000
MOST_ROWS = 256
# Limit for the packed parameters and rows, so that the page has at most half a megabyte.
MOST_BYTES = 225_000

# An update of this share of the weights usually learns; far above it a network forgets what it has
# learnt, far below it stands still.
USUAL_UPDATE, LARGE_UPDATE, SMALL_UPDATE = 1e-3, 0.3, 1e-6


def rows_to_learn(net: Model, x: Array, y: Array, first: int) -> Array:
    """Return indices of the rows that the page takes along: the first ones, then spread evenly."""
    size = sum(_packed_type(part).itemsize * part.shape[1] for part in (x, y))
    room = MOST_BYTES - net.n_parameters * net.dtype.itemsize
    most = min(max(min(MOST_ROWS, room // size), first), len(x))
    rest = np.linspace(first, len(x) - 1, most - first).round().astype(np.intp)
    return np.concatenate([np.arange(first), rest])


def learning(net: Model, x: Array, y: Array) -> dict[str, Any]:
    """Return what lets the page compute and learn, or the reason why it cannot."""
    if not isinstance(net.loss, str):
        return {"reason": "its loss is a Python function, which the page cannot call"}
    if net.n_parameters > MOST_PARAMETERS:
        return {"reason": f"it has more than {MOST_PARAMETERS:,} parameters"}
    flat = net.parameters.astype(np.float64)
    if not np.isfinite(flat).all():
        return {"reason": "some of its parameters are not finite"}
    scaling = net.scaling
    return {
        "parameters": _pack(flat),
        "x": _pack(x),
        "y": _pack(y),
        "labels": y.dtype.kind == "i",
        "rows": len(x),
        "shift": None if scaling is None else [float(v) for v in scaling[0]],
        "scale": None if scaling is None else [float(v) for v in scaling[1]],
        "limits": {
            "delta": [VANISHING, EXPLODING],
            "update": [SMALL_UPDATE, USUAL_UPDATE, LARGE_UPDATE],
        },
    }


def _packed_type(values: Array) -> np.dtype[Any]:
    """Return the smallest type that holds all of the numbers as they are."""
    for dtype in (np.uint8, np.float32):
        with np.errstate(over="ignore", invalid="ignore"):
            if (values.astype(dtype) == values).all():
                return np.dtype(dtype)
    return np.dtype(np.float64)


def _pack(values: Array) -> dict[str, str]:
    """Return numbers as their bytes in base64, little-endian, with the name of their type."""
    dtype = _packed_type(values)
    data = values.astype(dtype.newbyteorder("<")).tobytes()
    return {"type": dtype.name, "bytes": base64.b64encode(data).decode()}
