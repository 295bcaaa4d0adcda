"""The kernels of the C core one by one, for tests and microbenchmarks.

All arrays of a call are float32 or all are float64. Shapes: x (batch, n_in), w (n_out, n_in),
b (n_out,), z, y and dy (batch, n_out).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from ._core import FLOAT32, FLOAT64, Array
from .inputs import as_choice, as_count, as_flag, as_reals

__all__ = [
    "activation",
    "activation_derivative",
    "bandwidth",
    "dense_backward",
    "dense_forward",
    "matmul",
    "matmul_plan",
    "peak_flops",
]


_LARGEST = 1 << 40  # side of a product, or bytes, beyond which no machine can be meant


def _as_dtype(array: Array, name: str) -> np.dtype[Any]:
    for dtype in (FLOAT32, FLOAT64):
        if array.dtype == dtype:
            return dtype
    raise TypeError(f"{name} must be float32 or float64, got {array.dtype}")


def _as_array(
    value: Any, name: str, dtype: np.dtype[Any] | None, shape: tuple[int, ...] | None = None
) -> Array:
    """Return a C-contiguous array; it must have this type and shape, or be 2-D."""
    array = as_reals(value, name)
    found = _as_dtype(array, name)
    if dtype is not None and found is not dtype:
        raise TypeError(f"{name} must be {dtype} like the other arrays, got {array.dtype}")
    if array.shape != shape if shape is not None else array.ndim != 2:
        expected = f"shape {shape}" if shape is not None else "two dimensions"
        raise ValueError(f"{name} must have {expected}, got shape {array.shape}")
    return np.require(array, found, ["C", "A"])


def _as_rows(value: Any, name: str) -> Array:
    """Return a 2-D array whose rows are contiguous, copied only if they are not."""
    array = as_reals(value, name)
    dtype = _as_dtype(array, name)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {array.shape}")
    if _rows_are_contiguous(array):
        return array.view(dtype) if array.dtype is not dtype else array
    return np.require(array, dtype, ["C", "A"])


def _as_factor(value: Any, name: str, transpose: bool) -> tuple[Array, bool]:
    """Return a factor and whether to transpose it: x.T goes in as x, without a copy."""
    array = as_reals(value, name)
    # A single row of x.T is copied: its numbers may be far apart.
    if (
        array.ndim == 2
        and len(array) > 1
        and not _rows_are_contiguous(array)
        and _rows_are_contiguous(array.T)
    ):
        array, transpose = array.T, not transpose
    return _as_rows(array, name), transpose


def _rows_are_contiguous(array: Array) -> bool:
    rows, cols = array.shape
    size = array.itemsize
    return (
        array.flags.aligned
        and (cols <= 1 or array.strides[1] == size)
        and (rows <= 1 or (array.strides[0] >= cols * size and array.strides[0] % size == 0))
    )


def matmul(
    a: Any,
    b: Any,
    out: Array | None = None,
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: str = "float32",
) -> Array:
    """Return op(a) op(b), where op transposes if asked.

    Parameters
    ----------
    a : array_like, (m, k), or (k, m) if transpose_a
        Left factor. Neither factor is copied by NumPy first if its rows or its columns are
        contiguous, as in `x.T`.
    b : array_like, (k, n), or (n, k) if transpose_b
        Right factor.
    out : ndarray, (m, n), optional
        Where to write. Its rows must be contiguous, and it must not share memory with a or b.
    precision : str
        How products of float32 arrays are formed. `float32` uses a and b as they are. `bf16` rounds
        them to bfloat16 and sums in float32. `bf16x2` and `bf16x3` split them into two or three
        bfloat16 parts, which gives about 16 bits and the accuracy of float32, respectively.

    Returns
    -------
    ndarray, (m, n)
        The product; `out`, if it was given.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described, shapes do not fit together, or a precision other than
        `float32` is requested for float64 arrays.
    """
    left, transpose_a = _as_factor(a, "a", as_flag(transpose_a, "transpose_a"))
    right, transpose_b = _as_factor(b, "b", as_flag(transpose_b, "transpose_b"))
    if left.dtype is not right.dtype:
        raise TypeError(f"a and b must have one dtype, got {left.dtype} and {right.dtype}")
    as_choice(precision, "precision", _core.PRECISIONS)
    if precision != "float32" and left.dtype != FLOAT32:
        raise ValueError(f"precision must be float32 for arrays of float64, got {precision!r}")
    m, k = left.shape[::-1] if transpose_a else left.shape
    k_b, n = right.shape[::-1] if transpose_b else right.shape
    if k != k_b:
        raise ValueError(f"a and b must agree in their inner size, got {k} and {k_b}")
    if out is None:
        out = np.empty((m, n), left.dtype)
    elif not isinstance(out, np.ndarray) or out.dtype != left.dtype:
        raise TypeError(f"out must be an array of {left.dtype}")
    elif out.shape != (m, n) or not out.flags.writeable or not _rows_are_contiguous(out):
        raise ValueError(f"out must be writable, with contiguous rows, of shape {(m, n)}")
    elif np.may_share_memory(out, left) or np.may_share_memory(out, right):
        raise ValueError("out must not share memory with a or b")
    if m and n:
        _core.matmul(left, right, out, transpose_a, transpose_b, precision)
    return out


def matmul_plan(
    m: int,
    k: int,
    n: int,
    dtype: str = "float32",
    transpose_a: bool = False,
    transpose_b: bool = False,
    b_offset: int = 0,
) -> dict[str, Any]:
    """Return how `matmul` would form a product with one thread.

    The plan depends on the arguments, on the instruction set and on the geometry of the caches
    (`cpu_info`). The rows of the factors are taken to be contiguous. The plan does not affect the
    bits of the product. Products in bf16, bf16x2 and bf16x3 are formed in another way.

    Parameters
    ----------
    m, k, n : int
        op(a) is (m, k), op(b) is (k, n); at least 1.
    dtype : str
        `float32` or `float64`.
    transpose_a, transpose_b : bool
        As in `matmul`.
    b_offset : int
        Bytes from the beginning of a cache line to that of b, at most 63. NumPy's arrays often
        begin at 16; b is then packed more often.

    Returns
    -------
    dict
        `tile` (rows and columns of the result that the largest micro-kernel keeps in registers),
        `block` (rows, sums and columns that are worked on together), `packs_a` and `packs_b`
        (whether a factor is first copied into the order in which tiles read it), and `narrow`
        (whether the result has so few columns that its transpose is formed instead, in pieces; the
        block is then all zeros).

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Examples
    --------
    >>> plan = matmul_plan(1024, 1024, 1024)
    >>> sorted(plan)
    ['block', 'narrow', 'packs_a', 'packs_b', 'tile']
    >>> matmul_plan(1024, 1024, 1)["narrow"]
    True
    """
    rows, sums, cols = (
        as_count(value, name, 1, _LARGEST) for name, value in (("m", m), ("k", k), ("n", n))
    )
    as_choice(dtype, "dtype", ("float32", "float64"))
    flip_a, flip_b = as_flag(transpose_a, "transpose_a"), as_flag(transpose_b, "transpose_b")
    offset = as_count(b_offset, "b_offset", 0, 63)
    return _core.plan_matmul(np.dtype(dtype), rows, cols, sums, flip_a, flip_b, offset)


def dense_forward(
    x: Any, w: Any, b: Any = None, activation: str = "identity"
) -> tuple[Array, Array]:
    """Return z = x w^T + b and y = act(z), both (batch, n_out); b may be None.

    Parameters
    ----------
    x : array_like, (batch, n_in)
        Inputs.
    w : array_like, (n_out, n_in)
        Weights.
    b : array_like, (n_out,), optional
        Biases.
    activation : str
        Any of the names that `Network` takes.
    """
    x = _as_array(x, "x", None)
    w = _as_array(w, "w", x.dtype)
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"w must have shape (n_out, {x.shape[1]}) to match x, got {w.shape}")
    if b is not None:
        b = _as_array(b, "b", x.dtype, w.shape[:1])
    as_choice(activation, "activation", _core.ACTIVATIONS)
    z, y = (np.empty((len(x), len(w)), x.dtype) for _ in range(2))
    _core.dense_forward(activation, x, w, b, z, y)
    return z, y


def dense_backward(
    x: Any, w: Any, z: Any, dy: Any, activation: str = "identity"
) -> tuple[Array, Array, Array]:
    """Return dx (batch, n_in), dw (n_out, n_in) and db (n_out,) of a layer.

    With delta = dy * act'(z): dx = delta w, dw = delta^T x, db = column sums of delta.

    Parameters
    ----------
    x : array_like, (batch, n_in)
        The layer's inputs.
    w : array_like, (n_out, n_in)
        Its weights.
    z : array_like, (batch, n_out)
        Its pre-activations.
    dy : array_like, (batch, n_out)
        The derivative with respect to its outputs.
    activation : str
        Its activation.
    """
    x = _as_array(x, "x", None)
    w = _as_array(w, "w", x.dtype)
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"w must have shape (n_out, {x.shape[1]}) to match x, got {w.shape}")
    shape = len(x), len(w)
    z, dy = _as_array(z, "z", x.dtype, shape), _as_array(dy, "dy", x.dtype, shape)
    as_choice(activation, "activation", _core.ACTIVATIONS)
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty(len(w), x.dtype)
    _core.dense_backward(activation, x, w, z, dy, dx, dw, db)
    return dx, dw, db


def activation(name: str, z: Any) -> Array:
    """Return act(z), of the shape of z; softmax runs over the last axis."""
    as_choice(name, "name", _core.ACTIVATIONS)
    return _elementwise(name, z, derivative=False)


def activation_derivative(name: str, z: Any) -> Array:
    """Return act'(z), of the shape of z; softmax, whose derivative is a matrix, is refused."""
    as_choice(name, "name", [each for each in _core.ACTIVATIONS if each != "softmax"])
    return _elementwise(name, z, derivative=True)


def _elementwise(name: str, z: Any, derivative: bool) -> Array:
    array = as_reals(z, "z")
    dtype, flags = _as_dtype(array, "z"), array.flags
    if array.dtype is not dtype or not (flags.c_contiguous and flags.aligned):
        array = np.require(array, dtype, ["C", "A"])  # takes 1 us where it does nothing
    out = np.empty_like(array)
    if array.size:
        _core.activation(name, array, out, derivative)
    return out


def _as_threads(value: int | None) -> int:
    """Return a number of threads, by default the limit in force."""
    return _core.get_threads() if value is None else as_count(value, "threads", low=1, high=4096)


def bandwidth(size: int, threads: int | None = None) -> float:
    """Return the rate at which an update reads and writes memory, in bytes per second.

    The update is that of SGD with momentum in float32: it reads parameters, gradient and momentum,
    and writes parameters and momentum. Every thread updates vectors of its own, again and again.

    Parameters
    ----------
    size : int
        Bytes that all vectors of all threads take together: in which cache they stay. At least
        3 KiB a thread are taken.
    threads : int, optional
        How many threads to run at once; by default as many as `get_threads()`.

    Returns
    -------
    float
        Of all threads together.

    Raises
    ------
    TypeError, ValueError
        An argument is not such a number.
    MemoryError
        There is no room for the vectors.
    """
    count = as_count(size, "size", high=_LARGEST)
    return _core.bandwidth(count, _as_threads(threads), 0.05)


def peak_flops(precision: str = "float32", threads: int | None = None) -> float:
    """Return the rate of multiply-adds in registers, in floating point operations per second.

    Parameters
    ----------
    precision : str
        `float32`, `float64`, `bf16`, `bf16x2` or `bf16x3`. The last two give a third and a sixth of
        the rate of `bf16`, since each of their products takes three or six of its products.
    threads : int, optional
        How many threads to run at once; by default as many as `get_threads()`.
    """
    as_choice(precision, "precision", (*_core.PRECISIONS, "float64"))
    count = _as_threads(threads)
    dtype = FLOAT64 if precision == "float64" else FLOAT32
    return _core.peak_flops(dtype, "float32" if dtype is FLOAT64 else precision, count, 0.1)
