"""The gates of a computational graph: each knows its value and its local derivatives, no more.

A gate computes ``out = f(x, y, …)``. Its local derivatives are given as vector-Jacobian products:
the `i`-th one takes the gradient ``g = dJ/dout`` and returns ``g · dout/dx_i``. They are written
with the functions of this module, which take plain arrays as well as Variables, so that the same
lines give gradients as arrays and, where a second derivative is wanted, as graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Axis = int | tuple[int, ...] | None


@dataclass(frozen=True)
class Gate:
    """One operation: its value, its local derivatives, and how both are written for a reader.

    Attributes
    ----------
    name : str
        The operation's name, as in NumPy.
    symbol : str
        What is drawn inside the gate.
    text : str
        The expression, a format string over the names of the inputs (`{0}`, `{1}`) and of the
        parameters (`{options}` stands for those that are not at their default).
    value : callable
        ``value(x, y, …, **parameters)`` on arrays.
    vjps : tuple of callables
        ``vjps[i](g, out, x, y, …, **parameters)``, the gradient that reaches input `i`.
    derivatives : tuple of str
        The local derivatives in words, over the names of the inputs and `{out}`. For a gate that
        is not elementwise it says what becomes of the gradient `g`.
    elementwise : bool
        Whether each output depends on the inputs at its own place only. Such a gate broadcasts.
    """

    name: str
    symbol: str
    text: str
    value: Callable[..., Any]
    vjps: tuple[Callable[..., Any], ...]
    derivatives: tuple[str, ...]
    elementwise: bool = False


class Operand:
    """What a gate can be applied to besides plain arrays: it records the application."""

    __slots__ = ()
    value: Array

    def record(self, gate: Gate, inputs: Sequence[Any], parameters: dict[str, Any]) -> Operand:
        """Apply `gate` to `inputs` and return the result as a node that remembers both."""
        raise NotImplementedError


def to_float64(value: Any, argument: str = "value") -> Array:
    """Return a float64 copy of `value`, a scalar as ``np.float64``.

    Raises
    ------
    TypeError
        If `value` is not made of real numbers.
    """
    array: Any = np.float64(value) if type(value) is float else np.asarray(value)
    if array.dtype.kind not in "fiub":
        got = f"{type(value).__name__} of dtype {array.dtype}"
        raise TypeError(f"{argument} must be a real number or an array of them, got {got}")
    result: Array = array.astype(np.float64)[()]
    return result


def apply(gate: Gate, *inputs: Any, **parameters: Any) -> Any:
    """Apply `gate`: to a graph node if any input is a Variable, else to the plain arrays."""
    for x in inputs:
        if isinstance(x, Operand):
            return x.record(gate, inputs, parameters)
    return gate.value(*(np.asarray(x, dtype=np.float64) for x in inputs), **parameters)


def plain(x: Any) -> Array:
    """Return the numbers of a Variable or an array."""
    value: Array = x.value if isinstance(x, Operand) else x
    return value


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an input of that shape was broadcast."""
    g_shape = np.shape(plain(g))
    if g_shape == shape:
        return g
    added = len(g_shape) - len(shape)
    stretched = (i for i, n in enumerate(shape) if n == 1 and g_shape[added + i] != 1)
    axes = (*range(added), *(added + i for i in stretched))
    return reshape(sum(g, axis=axes), shape)


# Arithmetic ---------------------------------------------------------------------------------------


def _power_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    # Where y is 0 the exponent y - 1 is not used, because 0 · 0^-1 is not 0 in floating point.
    lowered = where(plain(y) == 0, 0.0, y - 1)
    return g * y * x**lowered


def _power_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    # At x = 0 the derivative x^y log x is taken as its limit for y > 0, which is 0.
    return g * out * log(where((plain(x) == 0) & (plain(y) >= 0), 1.0, x))


def _larger(x: Any, y: Any) -> Any:
    """Return 1 where x > y, 0 where x < y and a half at a tie, which is a subgradient."""
    x, y = plain(x), plain(y)
    return (x > y) + 0.5 * (x == y)


def _where_value(x: Array, y: Array, condition: NDArray[np.bool_]) -> Any:
    chosen: Any = np.where(condition, x, y)
    return chosen[()]


ADD = Gate(
    "add", "+", "{0} + {1}", np.add,
    (lambda g, out, x, y: g, lambda g, out, x, y: g),
    ("1", "1"), elementwise=True,
)  # fmt: skip
SUBTRACT = Gate(
    "subtract", "-", "{0} - {1}", np.subtract,
    (lambda g, out, x, y: g, lambda g, out, x, y: -g),
    ("1", "-1"), elementwise=True,
)  # fmt: skip
MULTIPLY = Gate(
    "multiply", "\N{MULTIPLICATION SIGN}", "{0} * {1}", np.multiply,
    (lambda g, out, x, y: g * y, lambda g, out, x, y: g * x),
    ("{1}", "{0}"), elementwise=True,
)  # fmt: skip
DIVIDE = Gate(
    "divide", "÷", "{0} / {1}", np.true_divide,
    (lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y),
    ("1/{1}", "-{out}/{1}"), elementwise=True,
)  # fmt: skip
POWER = Gate(
    "power", "^", "{0}**{1}", np.power,
    (_power_base, _power_exponent),
    ("{1}*{0}**({1}-1)", "{out}*log({0})"), elementwise=True,
)  # fmt: skip
NEGATIVE = Gate(
    "negative", "-", "-{0}", np.negative,
    (lambda g, out, x: -g,),
    ("-1",), elementwise=True,
)  # fmt: skip
POSITIVE = Gate(
    "positive", "=", "{0}", np.positive,
    (lambda g, out, x: g,),
    ("1",), elementwise=True,
)  # fmt: skip
MAXIMUM = Gate(
    "maximum", "max", "maximum({0}, {1})", np.maximum,
    (lambda g, out, x, y: g * _larger(x, y), lambda g, out, x, y: g * _larger(y, x)),
    ("[{0} > {1}]", "[{1} > {0}]"), elementwise=True,
)  # fmt: skip
MINIMUM = Gate(
    "minimum", "min", "minimum({0}, {1})", np.minimum,
    (lambda g, out, x, y: g * _larger(y, x), lambda g, out, x, y: g * _larger(x, y)),
    ("[{0} < {1}]", "[{1} < {0}]"), elementwise=True,
)  # fmt: skip
WHERE = Gate(
    "where", "where", "where(…, {0}, {1})",
    _where_value,
    (
        lambda g, out, x, y, condition: g * condition,
        lambda g, out, x, y, condition: g * ~condition,
    ),
    ("[condition]", "[not condition]"), elementwise=True,
)  # fmt: skip


def add(x: Any, y: Any) -> Any:
    """Return ``x + y``, broadcasting."""
    return apply(ADD, x, y)


def subtract(x: Any, y: Any) -> Any:
    """Return ``x - y``, broadcasting."""
    return apply(SUBTRACT, x, y)


def multiply(x: Any, y: Any) -> Any:
    """Return ``x * y`` element by element, broadcasting."""
    return apply(MULTIPLY, x, y)


def divide(x: Any, y: Any) -> Any:
    """Return ``x / y``, broadcasting."""
    return apply(DIVIDE, x, y)


def power(x: Any, y: Any) -> Any:
    """Return ``x ** y``, broadcasting; the derivative by `y` needs ``x >= 0``."""
    return apply(POWER, x, y)


def negative(x: Any) -> Any:
    """Return ``-x``."""
    return apply(NEGATIVE, x)


def positive(x: Any) -> Any:
    """Return `x` as a node of its own."""
    return apply(POSITIVE, x)


def maximum(x: Any, y: Any) -> Any:
    """Return the larger of `x` and `y` at each place; at a tie each gets half the gradient."""
    return apply(MAXIMUM, x, y)


def minimum(x: Any, y: Any) -> Any:
    """Return the smaller of `x` and `y` at each place; at a tie each gets half the gradient."""
    return apply(MINIMUM, x, y)


def where(condition: ArrayLike, x: Any, y: Any) -> Any:
    """Return `x` where the boolean array `condition` is true and `y` elsewhere."""
    return apply(WHERE, x, y, condition=np.asarray(condition, dtype=bool))


# Functions of one variable ------------------------------------------------------------------------


def _sigmoid_value(x: Array) -> Any:
    # With e = exp(-|x|) nothing overflows on either side.
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e)[()] / (1.0 + e)


_erf_value = np.vectorize(math.erf, otypes=[np.float64])

ABS = Gate(
    "abs", "|·|", "abs({0})", np.abs,
    (lambda g, out, x: g * np.sign(plain(x)),),
    ("sign({0})",), elementwise=True,
)  # fmt: skip
EXP = Gate(
    "exp", "exp", "exp({0})", np.exp,
    (lambda g, out, x: g * out,),
    ("{out}",), elementwise=True,
)  # fmt: skip
EXPM1 = Gate(
    "expm1", "expm1", "expm1({0})", np.expm1,
    (lambda g, out, x: g * exp(x),),
    ("exp({0})",), elementwise=True,
)  # fmt: skip
LOG = Gate(
    "log", "log", "log({0})", np.log,
    (lambda g, out, x: g / x,),
    ("1/{0}",), elementwise=True,
)  # fmt: skip
SQRT = Gate(
    "sqrt", "√", "sqrt({0})", np.sqrt,
    (lambda g, out, x: 0.5 * g / out,),
    ("1/(2*{out})",), elementwise=True,
)  # fmt: skip
SIN = Gate(
    "sin", "sin", "sin({0})", np.sin,
    (lambda g, out, x: g * cos(x),),
    ("cos({0})",), elementwise=True,
)  # fmt: skip
COS = Gate(
    "cos", "cos", "cos({0})", np.cos,
    (lambda g, out, x: -g * sin(x),),
    ("-sin({0})",), elementwise=True,
)  # fmt: skip
TANH = Gate(
    "tanh", "tanh", "tanh({0})", np.tanh,
    (lambda g, out, x: g * ((1 - out) * (1 + out)),),
    ("1 - {out}**2",), elementwise=True,
)  # fmt: skip
SIGMOID = Gate(
    "sigmoid", "sigmoid", "sigmoid({0})", _sigmoid_value,
    (lambda g, out, x: g * (out * sigmoid(-x)),),
    ("{out}*(1 - {out})",), elementwise=True,
)  # fmt: skip
SOFTPLUS = Gate(
    "softplus", "softplus", "softplus({0})", lambda x: np.logaddexp(0.0, x),
    (lambda g, out, x: g * sigmoid(x),),
    ("sigmoid({0})",), elementwise=True,
)  # fmt: skip
RELU = Gate(
    "relu", "relu", "relu({0})", lambda x: np.maximum(0.0, x),
    (lambda g, out, x: g * (plain(x) > 0),),
    ("[{0} > 0]",), elementwise=True,
)  # fmt: skip
ERF = Gate(
    "erf", "erf", "erf({0})", lambda x: _erf_value(x)[()],
    (lambda g, out, x: g * (2 / math.sqrt(math.pi) * exp(-x * x)),),
    ("2/sqrt(pi)*exp(-{0}**2)",), elementwise=True,
)  # fmt: skip


def abs(x: Any) -> Any:
    """Return ``|x|``; its derivative at 0 is taken as 0."""
    return apply(ABS, x)


def exp(x: Any) -> Any:
    """Return ``e**x``."""
    return apply(EXP, x)


def expm1(x: Any) -> Any:
    """Return ``e**x - 1``, exact for small `x`."""
    return apply(EXPM1, x)


def log(x: Any) -> Any:
    """Return the natural logarithm of `x`."""
    return apply(LOG, x)


def sqrt(x: Any) -> Any:
    """Return the square root of `x`."""
    return apply(SQRT, x)


def sin(x: Any) -> Any:
    """Return the sine of `x`, in radians."""
    return apply(SIN, x)


def cos(x: Any) -> Any:
    """Return the cosine of `x`, in radians."""
    return apply(COS, x)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent of `x`."""
    return apply(TANH, x)


def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``, without overflow."""
    return apply(SIGMOID, x)


def softplus(x: Any) -> Any:
    """Return ``log(1 + exp(x))``, without overflow."""
    return apply(SOFTPLUS, x)


def relu(x: Any) -> Any:
    """Return ``max(x, 0)``; its derivative at 0 is 0."""
    return apply(RELU, x)


def erf(x: Any) -> Any:
    """Return the error function of `x`."""
    return apply(ERF, x)


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


# NumPy's own functions of the same name, so that np.exp(x) works on a Variable x.
UFUNCS: dict[np.ufunc, Gate] = {
    np.add: ADD, np.subtract: SUBTRACT, np.multiply: MULTIPLY, np.true_divide: DIVIDE,
    np.power: POWER, np.negative: NEGATIVE, np.positive: POSITIVE, np.maximum: MAXIMUM,
    np.minimum: MINIMUM, np.absolute: ABS, np.exp: EXP, np.expm1: EXPM1, np.log: LOG,
    np.sqrt: SQRT, np.sin: SIN, np.cos: COS, np.tanh: TANH, np.matmul: MATMUL,
}  # fmt: skip
