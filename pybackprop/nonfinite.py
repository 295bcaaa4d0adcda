"""Why a cost is not finite: the data, or else the training."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._core import Array, Data

# Rows are looked at in pieces of about this many bytes: the data may be larger than memory.
_PIECE_BYTES = 2**20

# What to do unless the data are to blame.
TRAINING = "A lower learning rate, clip_norm or scaled inputs may help"


def advise(data: Data, dtype: np.dtype[Any], rows: Array | None = None) -> str:
    """Return a sentence on why the cost is not finite for these data.

    Sample weights are not checked: they are always finite here.

    Parameters
    ----------
    data : Data
        What was trained on.
    dtype : dtype
        The network's type, to which inputs and targets are converted.
    rows : ndarray of int, optional
        The caller's number of each row, where these are some of the caller's rows.
    """
    for name, array in zip(("X", "y"), data.arrays, strict=False):
        found = None if array is None else _describe(array, name, dtype, rows)
        if found is not None:
            return found
    return TRAINING


def require_finite(array: Array, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse an array, (N, n), that is not finite in a type."""
    found = _describe(array, name, dtype, None)
    if found is not None:
        raise ValueError(found)


def _describe(array: Array, name: str, dtype: np.dtype[Any], rows: Array | None) -> str | None:
    """Return a sentence on the first value that is not finite in a type, if there is one."""
    place = find(array, dtype)
    if place is None:
        return None
    row, column = place
    value = array[row, column]
    number = row if rows is None else int(rows[row])
    why = f", which {dtype} cannot hold" if np.isfinite(value) else ""
    return (
        f"{name} holds {value:g} in row {number}, column {column} (counted from 0){why}; "
        "replace or remove such values first"
    )


def find(array: Array, dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return row and column of the first value that is not finite in a type."""
    if array.dtype.kind != "f":
        return None
    step = max(1, _PIECE_BYTES // max(1, array[:1].nbytes))
    for begin in range(0, len(array), step):
        with np.errstate(over="ignore"):
            piece = array[begin : begin + step].astype(dtype, copy=False)
        bad = ~np.isfinite(piece)
        if bad.any():
            row, column = divmod(int(bad.argmax()), bad.shape[1])
            return begin + row, column
    return None
