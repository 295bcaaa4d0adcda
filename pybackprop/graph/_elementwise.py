"""The gates that work element by element: arithmetic and functions of one variable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._gate import Array, Gate, apply, plain

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
    """Return `x` as a separate node."""
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
