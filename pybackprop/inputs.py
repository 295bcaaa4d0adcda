"""The rules for arguments: what is accepted, what is converted, what is refused and how.

A refusal is a TypeError if the type is wrong and a ValueError if the value is wrong; it names the
argument, what was expected and what was given.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ._core import FLOAT32, FLOAT64, INT64, UINT8, Array
from .frames import array_of, columns_of, is_real

_PASSED_AS_THEY_ARE = (FLOAT32, FLOAT64, UINT8)
_MAX_COUNTER = 2**53


def as_real(
    value: Any, name: str, low: float = -math.inf, high: float = math.inf, open_high: bool = False
) -> float:
    """Return a finite float within [low, high], or [low, high) where open_high is set."""
    if isinstance(value, (bool, str, bytes, complex)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a number, got {value!r}") from error
    if math.isfinite(number) and low <= number <= high and not (open_high and number == high):
        return number
    limits = f"[{low:g}, {high:g}{')' if open_high else ']'}"
    if math.isinf(high):
        limits = "a finite number" if math.isinf(low) else f"a finite number >= {low:g}"
    raise ValueError(f"{name} must be {'in ' if limits[0] == '[' else ''}{limits}, got {value!r}")


def as_count(value: Any, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
    """Return an integer within [low, high]."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {value!r}") from error
    if not low <= number <= high:
        limits = f">= {low}" if high == 2**63 - 1 else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {limits}, got {number}")
    return number


def as_counter(value: Any, name: str) -> int:
    """Return a count of steps or epochs, up to 2^53, where float64 is still exact."""
    return as_count(value, name, high=_MAX_COUNTER)


def per_member(value: Any, n: int, name: str, check: Callable[[Any, str], Any]) -> list[Any]:
    """Return one value for each member from a single one or a sequence of n."""
    if not hasattr(value, "__len__") or isinstance(value, (str, bytes)) or np.ndim(value) == 0:
        return [check(value, name)] * n
    shape = getattr(value, "shape", (len(value),))
    if shape != (n,):
        got = len(value) if len(shape) == 1 else f"shape {shape}"
        raise ValueError(f"{name} must be one value or one for each of {n} members, got {got}")
    return [check(each, f"{name}[{at}]") for at, each in enumerate(value)]


def as_path(value: Any, name: str = "path") -> str:
    """Return the path of a file, given as str, bytes or os.PathLike, as text."""
    try:
        path = os.fsdecode(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a path, got {value!r}") from error
    if not path:
        raise ValueError(f"{name} must be a path, got {value!r}")
    return path


def as_flag(value: Any, name: str) -> bool:
    """Return a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def as_choice(value: Any, name: str, choices: Any) -> str:
    """Return one of some strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
    return value


def as_texts(value: Any, name: str) -> tuple[str, ...]:
    """Return a sequence of texts, or a single text, as a tuple."""
    try:
        texts = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        raise TypeError(f"{name} must be a sequence of texts, got {value!r}") from None
    for each in texts:
        if not isinstance(each, str):
            raise TypeError(f"{name} must be a sequence of texts, but one of them is {each!r}")
    return texts


def as_dtype(value: Any) -> np.dtype[Any]:
    """Return the type of a network: float32 or float64."""
    try:
        dtype = np.dtype(value)
    except TypeError as error:
        raise TypeError(f"dtype must be 'float32' or 'float64', got {value!r}") from error
    for known in (FLOAT32, FLOAT64):
        if value is not None and dtype == known:
            return known
    raise ValueError(f"dtype must be 'float32' or 'float64', got {value!r}")


def as_reals(value: Any, name: str) -> Array:
    """Return real numbers as an array of any shape and of any real dtype."""
    try:
        table = None if type(value) is np.ndarray else array_of(value)  # the latter takes 0.5 us
        array = np.asarray(value) if table is None else table
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got {_describe_type(value, array)}")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} must not have masked entries; fill or drop them first")
    return array


def _describe_type(value: Any, array: Array) -> str:
    """Describe the dtype that is not real."""
    for name, dtype in columns_of(value) if array.ndim == 2 else ():
        if not is_real(dtype):
            return (
                f"dtype {dtype} in column {name!r}; a network takes numbers, which "
                "pybackprop.datasets.from_frame makes of texts and dates"
            )
    return f"dtype {array.dtype}"


def _native(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array that the core reads as it is; `dtype` is for what has to be converted.

    float32, float64 and uint8 pass uncopied with any strides. A byte-swapped float keeps its
    precision; an array whose entries are not aligned in memory is copied.
    """
    for known in _PASSED_AS_THEY_ARE:
        if array.dtype == known:
            return array if array.flags.aligned else array.copy()
        if array.dtype.kind == "f" and array.dtype.newbyteorder("=") == known:
            return array.astype(known)
    if array.dtype.kind == "f" and array.dtype.itemsize > FLOAT64.itemsize:
        return array.astype(FLOAT64)
    return array.astype(dtype)


def as_inputs(value: Any, n_in: int, dtype: np.dtype[Any], *, empty: bool = False) -> Array:
    """Return inputs X of shape (N, n_in) for the core."""
    array = as_reals(value, "X")
    if array.ndim != 2 or array.shape[1] != n_in:
        hint = ""
        if array.shape == (n_in,):
            hint = "; a single example needs two dimensions, as in X[None, :]"
        raise ValueError(f"X must have shape (N, {n_in}), got {array.shape}{hint}")
    if not len(array) and not empty:
        raise ValueError(f"X must have at least one row, got shape {array.shape}")
    return _native(array, dtype)


def as_labels(array: Array, rows: int, n_out: int) -> Array:
    """Return class labels as (rows, 1) int64, each in 0 … n_out - 1."""
    if array.shape not in ((rows,), (rows, 1)):
        raise ValueError(
            f"y must have shape ({rows},) for labels or ({rows}, {n_out}) for probabilities "
            f"to match X, got {array.shape}"
        )
    array = array.reshape(rows, 1)
    low, high = array.min(), array.max()
    if low < 0 or high >= n_out:
        raise ValueError(f"y must hold labels in 0 ... {n_out - 1}, got {low if low < 0 else high}")
    labels = array.astype(INT64, copy=False)
    return labels if labels.flags.aligned else labels.copy()


def _check_probabilities(array: Array) -> None:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"y must hold values in [0, 1] for this loss, got {low} to {high}")


def as_targets(value: Any, rows: int, n_out: int, loss: Any, dtype: np.dtype[Any]) -> Array:
    """Return targets y for the core: (rows, n_out) reals or (rows, 1) int64 labels."""
    array = as_reals(value, "y")
    if loss == "cross_entropy":
        if array.dtype.kind in "iub" and (array.ndim < 2 or array.shape[1] != n_out):
            return as_labels(array, rows, n_out)
        if array.shape in ((rows,), (rows, 1)) and n_out != 1:
            raise TypeError(
                f"y must hold integer labels, got dtype {array.dtype}; "
                "convert it with y.astype(int) if its values are whole numbers"
            )
    if array.ndim == 1 and n_out == 1:
        array = array[:, None]
    if array.shape != (rows, n_out):
        one = f" or ({rows},)" if n_out == 1 else ""
        raise ValueError(
            f"y must have shape ({rows}, {n_out}){one} to match X, got {np.shape(value)}"
        )
    if loss in ("cross_entropy", "binary_cross_entropy"):
        _check_probabilities(array)
    return _native(array, dtype)


def flat_labels(targets: Array) -> Array:
    """Return targets of `as_targets` so that it takes them again: labels in one dimension."""
    return targets.reshape(-1) if targets.dtype == INT64 else targets


def as_weights(value: Any, rows: int) -> Array | None:
    """Return sample weights as C-contiguous float64, or None."""
    if value is None:
        return None
    array = as_reals(value, "sample_weight")
    if array.shape != (rows,):
        raise ValueError(f"sample_weight must have shape ({rows},) to match X, got {array.shape}")
    weights = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0:
        bad = weights[~np.isfinite(weights) | (weights < 0)][0]
        raise ValueError(f"sample_weight must hold finite numbers >= 0, got {bad}")
    if not np.finfo(np.float64).tiny <= (total := weights.sum()) < np.inf:
        raise ValueError(
            f"sample_weight must have a sum above 0 that float64 can hold, got {total}"
        )
    return weights if weights.flags.aligned else weights.copy()


def as_vector(value: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return real numbers of an exact shape, C-contiguous, of a network's type."""
    array = as_reals(value, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    converted = np.ascontiguousarray(array, dtype=dtype)
    return converted if converted.flags.aligned else converted.copy()
