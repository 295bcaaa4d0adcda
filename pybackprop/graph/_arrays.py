"""The gates that work on whole arrays: reductions, changes of shape and the matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ._elementwise import negative
from ._gate import Array, Gate, apply, plain

Axis = int | tuple[int, ...] | None


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an input of that shape was broadcast."""
    g_shape = np.shape(plain(g))
    if g_shape == shape:
        return g
    added = len(g_shape) - len(shape)
    stretched = (i for i, n in enumerate(shape) if n == 1 and g_shape[added + i] != 1)
    axes = (*range(added), *(added + i for i in stretched))
    return reshape(sum(g, axis=axes), shape)


# Reductions ---------------------------------------------------------------------------------------


def _kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """Return `shape` with the reduced axes at length 1."""
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    reduced = {a % len(shape) for a in axes} if shape else set()
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def _spread(g: Any, x: Any, axis: Axis) -> Any:
    """Return `g`, the gradient of a reduction of `x`, at every element that went into it."""
    shape = np.shape(plain(x))
    return broadcast_to(reshape(g, _kept_shape(shape, axis)), shape)


def _mean_vjp(g: Any, out: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    shape = np.shape(plain(x))
    count = math.prod(shape) // math.prod(_kept_shape(shape, axis))
    return _spread(g / count, x, axis)


def _max_vjp(g: Any, out: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    values = plain(x)
    largest = values == np.max(values, axis=axis, keepdims=True)
    return _spread(g, x, axis) * (largest / np.sum(largest, axis=axis, keepdims=True))


def _logsumexp_value(x: Array, axis: Axis, keepdims: bool) -> Any:
    largest = np.max(x, axis=axis, keepdims=True)
    # An infinite maximum cannot be subtracted, as inf - inf is not a number.
    shift = np.where(np.isfinite(largest), largest, 0.0)
    total = np.sum(np.exp(x - shift), axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        result = np.log(total) + shift
    return result if keepdims else np.squeeze(result, axis=axis)[()]


def _softmax_value(x: Array, axis: Axis) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def _logsumexp_vjp(g: Any, out: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    return _spread(g, x, axis) * softmax(x, axis=axis)


def _softmax_vjp(g: Any, out: Any, x: Any, axis: Axis) -> Any:
    return out * (g - sum(g * out, axis=axis, keepdims=True))


SUM = Gate(
    "sum", "Σ", "sum({0}{options})", np.sum,
    (lambda g, out, x, axis, keepdims: _spread(g, x, axis),),
    ("g to every term",),
)  # fmt: skip
MEAN = Gate(
    "mean", "mean", "mean({0}{options})", np.mean, (_mean_vjp,), ("g/n to every term",)
)  # fmt: skip
MAX = Gate(
    "max", "max", "max({0}{options})", np.max, (_max_vjp,), ("g to the largest",)
)  # fmt: skip
LOGSUMEXP = Gate(
    "logsumexp", "lse", "logsumexp({0}{options})", _logsumexp_value,
    (_logsumexp_vjp,), ("g*softmax({0})",),
)  # fmt: skip
SOFTMAX = Gate(
    "softmax", "softmax", "softmax({0}{options})", _softmax_value,
    (_softmax_vjp,), ("{out}*(g - sum(g*{out}))",),
)  # fmt: skip


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sum of `x` over `axis`, or over all elements."""
    return apply(SUM, x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the mean of `x` over `axis`, or over all elements."""
    return apply(MEAN, x, axis=axis, keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the largest element over `axis`, or of all; equal ones share the gradient."""
    return apply(MAX, x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the smallest element over `axis`, or of all; equal ones share the gradient."""
    return negative(max(negative(x), axis=axis, keepdims=keepdims))


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return ``log(sum(exp(x)))`` over `axis`, or over all elements, without overflow."""
    return apply(LOGSUMEXP, x, axis=axis, keepdims=keepdims)


def softmax(x: Any, axis: Axis = -1) -> Any:
    """Return ``exp(x) / sum(exp(x))`` along `axis`, without overflow."""
    return apply(SOFTMAX, x, axis=axis)


# Shapes -------------------------------------------------------------------------------------------


def _transpose_vjp(g: Any, out: Any, x: Any, axes: tuple[int, ...] | None) -> Any:
    if axes is None:
        return transpose(g)
    n = len(axes)
    return transpose(g, tuple(int(i) for i in np.argsort([a % n for a in axes])))


def _scatter_value(g: Array, index: Any, shape: tuple[int, ...]) -> Any:
    result = np.zeros(shape)
    # An index array may name an element twice; add.at counts it twice, += would not.
    np.add.at(result, index, g)
    return result


def _index_vjp(g: Any, out: Any, x: Any, index: Any) -> Any:
    return apply(SCATTER, g, index=index, shape=np.shape(plain(x)))


RESHAPE = Gate(
    "reshape", "reshape", "reshape({0}{options})", lambda x, shape: np.reshape(x, shape)[()],
    (lambda g, out, x, shape: reshape(g, np.shape(plain(x))),), ("g reshaped",),
)  # fmt: skip
TRANSPOSE = Gate(
    "transpose", "T", "transpose({0}{options})", np.transpose,
    (_transpose_vjp,), ("g transposed",),
)  # fmt: skip
BROADCAST_TO = Gate(
    "broadcast_to", "bcast", "broadcast_to({0}{options})",
    lambda x, shape: np.broadcast_to(x, shape)[()],
    (lambda g, out, x, shape: sum_to(g, np.shape(plain(x))),), ("sum of g",),
)  # fmt: skip
INDEX = Gate(
    "index", "[ ]", "{0}[{index}]", lambda x, index: x[index],
    (_index_vjp,), ("g at [{index}], else 0",),
)  # fmt: skip
SCATTER = Gate(
    "scatter", "scatter", "scatter({0}, [{index}])", _scatter_value,
    (lambda g, out, x, index, shape: apply(INDEX, g, index=index),), ("g[{index}]",),
)  # fmt: skip


def reshape(x: Any, shape: int | tuple[int, ...]) -> Any:
    """Return `x` with another shape and the same elements in the same order."""
    return apply(RESHAPE, x, shape=shape)


def transpose(x: Any, axes: tuple[int, ...] | None = None) -> Any:
    """Return `x` with its axes reversed, or in the order `axes`."""
    return apply(TRANSPOSE, x, axes=axes)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Return `x` repeated to `shape` by NumPy's broadcasting rule."""
    return apply(BROADCAST_TO, x, shape=shape)


def index(x: Any, index: Any) -> Any:
    """Return ``x[index]`` for any index that NumPy takes."""
    return apply(INDEX, x, index=index)


def _concatenate_vjp(
    g: Any, out: Any, *inputs: Any, position: int, axis: int, starts: Sequence[int]
) -> Any:
    part = [slice(None)] * np.ndim(plain(g))
    part[axis] = slice(starts[position], starts[position + 1])
    return index(g, tuple(part))


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Return `arrays` joined along an axis that they already have."""
    shapes = [np.shape(plain(x)) for x in arrays]
    if not shapes or any(not shape for shape in shapes):
        raise ValueError(f"arrays must be a sequence of arrays of 1 or more axes, got {shapes}")
    starts = [0, *np.cumsum([shape[axis] for shape in shapes]).tolist()]
    places = range(len(arrays))
    gate = Gate(
        name="concatenate",
        symbol="concat",
        text=f"concatenate({', '.join(f'{{{i}}}' for i in places)})",
        value=lambda *x: np.concatenate(x, axis=axis),
        vjps=tuple(partial(_concatenate_vjp, position=i, axis=axis, starts=starts) for i in places),
        derivatives=tuple(f"g[{starts[i]}:{starts[i + 1]}]" for i in places),
    )
    return apply(gate, *arrays)


def stack(arrays: Sequence[Any]) -> Any:
    """Return `arrays`, scalars too, joined along a new first axis."""
    return concatenate([reshape(x, (1, *np.shape(plain(x)))) for x in arrays])


# Matrix product -----------------------------------------------------------------------------------


def _matrices(g: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return gradient and factors of ``x @ y`` with the axes that 1-D factors lack."""
    g_shape, x_shape, y_shape = (np.shape(plain(v)) for v in (g, x, y))
    if len(x_shape) == 1:
        x = reshape(x, (1, *x_shape))
        g_shape = (*g_shape[:-1], 1, *g_shape[-1:]) if len(y_shape) > 1 else (1,)
    if len(y_shape) == 1:
        y = reshape(y, (*y_shape, 1))
        g_shape = (*g_shape, 1)
    return reshape(g, g_shape), x, y


def _swap_last(x: Any) -> Any:
    axes = list(range(np.ndim(plain(x))))
    axes[-2:] = axes[:-3:-1]
    return transpose(x, tuple(axes))


def _matmul_left(g: Any, out: Any, x: Any, y: Any) -> Any:
    shape = np.shape(plain(x))
    g, x, y = _matrices(g, x, y)
    return reshape(sum_to(g @ _swap_last(y), np.shape(plain(x))), shape)


def _matmul_right(g: Any, out: Any, x: Any, y: Any) -> Any:
    shape = np.shape(plain(y))
    g, x, y = _matrices(g, x, y)
    return reshape(sum_to(_swap_last(x) @ g, np.shape(plain(y))), shape)


MATMUL = Gate(
    "matmul", "@", "{0} @ {1}", np.matmul,
    (_matmul_left, _matmul_right), ("g @ {1}.T", "{0}.T @ g"),
)  # fmt: skip


def matmul(x: Any, y: Any) -> Any:
    """Return the matrix product ``x @ y``, of vectors, matrices and stacks of matrices."""
    return apply(MATMUL, x, y)
