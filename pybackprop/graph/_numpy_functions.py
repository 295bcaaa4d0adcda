"""What NumPy's functions do to Variables: call the gate of that name, or refuse and name a gate.

NumPy asks an operand before it touches it (NEP 13 for ufuncs, NEP 18 for all other functions). A
function without a gate is refused, because its result would have no derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _arrays as arrays
from . import _elementwise as el
from ._arrays import stack
from ._gate import Gate, apply, plain

_GATES: dict[Any, Gate] = {
    getattr(np, gate.name): gate
    for gate in (
        *(el.ADD, el.SUBTRACT, el.MULTIPLY, el.DIVIDE, el.POWER, el.NEGATIVE, el.POSITIVE),
        *(el.MAXIMUM, el.MINIMUM, el.ABS, el.EXP, el.EXPM1, el.LOG, el.SQRT),
        *(el.SIN, el.COS, el.TANH, arrays.MATMUL),
    )
}

# Questions about the values; their answers are not numbers that could be differentiated.
_QUESTIONS = frozenset(
    {np.greater, np.greater_equal, np.less, np.less_equal, np.isnan, np.isfinite, np.isinf}
)

_ADVICE = "use one of the functions of pybackprop.graph, or .value for the plain numbers"


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: Any) -> Any:
    """Handle NumPy's call of a ufunc that has a Variable as an input or the output."""
    if method != "__call__":
        raise TypeError(f"np.{ufunc.__name__}.{method} has no derivative here; {_ADVICE}")
    if options:
        if "out" in options:
            raise TypeError(
                f"np.{ufunc.__name__} does not support out for Variables: a node cannot be written "
                "to, so write x = x + y in place of x += y"
            )
        _refuse(ufunc.__name__, **options)
    if ufunc in _QUESTIONS:
        return ufunc(*map(plain, inputs))
    gate = _GATES.get(ufunc)
    if gate is None:
        raise TypeError(f"np.{ufunc.__name__} has no derivative here; {_ADVICE}")
    return apply(gate, *inputs)


def apply_function(function: Callable[..., Any], args: Sequence[Any], options: Any) -> Any:
    """Handle NumPy's call of any other function that was given a Variable."""
    own = _FUNCTIONS.get(function)
    if own is None:
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
        raise TypeError(f"{name} has no derivative here; {_ADVICE}")
    return own(*args, **options)


def _refuse(name: str, **options: Any) -> None:
    """Refuse what NumPy's function takes and the gate does not, such as `out`."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise TypeError(f"np.{name} does not support {', '.join(given)} for Variables; {_ADVICE}")


def _reduction(name: str, gate: Callable[..., Any]) -> Callable[..., Any]:
    """Return the replacement for a NumPy function that reduces an array."""

    def reduce(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        **rest: Any,
    ) -> Any:
        _refuse(name, dtype=dtype, out=out, **rest)
        return gate(a, axis, keepdims)

    def reduce_untyped(
        a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, **rest: Any
    ) -> Any:
        return reduce(a, axis, None, out, keepdims, **rest)

    return reduce if name in ("sum", "mean") else reduce_untyped


def _where(condition: Any, *choices: Any) -> Any:
    if len(choices) != 2:
        raise TypeError("np.where(condition) needs plain numbers: pass condition.value")
    if plain(condition) is not condition:
        raise TypeError(
            "np.where needs a condition of plain numbers: pass a comparison, such as x > 0, or "
            "condition.value"
        )
    return el.where(condition, *choices)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **rest: Any) -> Any:
    low, high = rest.pop("min", a_min), rest.pop("max", a_max)
    _refuse("clip", out=out, **rest)
    clipped = a if low is None else el.maximum(a, low)
    return clipped if high is None else el.minimum(clipped, high)


def _reshape(
    a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, **rest: Any
) -> Any:
    _refuse("reshape", order=None if order == "C" else order, **rest)
    # NumPy called the shape newshape before 2.1.
    return arrays.reshape(a, newshape if shape is None else shape)


def _transpose(a: Any, axes: Any = None) -> Any:
    return arrays.transpose(a, axes)


def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    _refuse("broadcast_to", subok=subok or None)
    return arrays.broadcast_to(array, shape)


# NumPy takes the arrays of these by position only.
def _concatenate(arrays_: Sequence[Any], /, axis: Any = 0, out: Any = None, **rest: Any) -> Any:
    _refuse("concatenate", out=out, **rest)
    if axis is None:
        raise TypeError(
            "np.concatenate does not support axis=None for Variables; reshape the arrays to one "
            "axis first, with reshape(-1)"
        )
    return arrays.concatenate(arrays_, axis)


def _stack(arrays: Sequence[Any], axis: int = 0, out: Any = None, **rest: Any) -> Any:
    _refuse("stack", out=out, **rest)
    if axis != 0:
        raise TypeError(f"np.stack supports only axis=0 for Variables, got axis={axis}")
    return stack(arrays)


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    _refuse("dot", out=out)
    ndims = [np.ndim(plain(x)) for x in (a, b)]
    if 0 in ndims:
        return el.multiply(a, b)
    if max(ndims) > 2:
        raise TypeError("np.dot of more than two axes has no derivative here; use graph.matmul")
    return arrays.matmul(a, b)


_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.sum: _reduction("sum", arrays.sum),
    np.mean: _reduction("mean", arrays.mean),
    **dict.fromkeys((np.max, np.amax), _reduction("max", arrays.max)),
    **dict.fromkeys((np.min, np.amin), _reduction("min", arrays.min)),
    np.where: _where,
    np.clip: _clip,
    np.reshape: _reshape,
    np.transpose: _transpose,
    np.broadcast_to: _broadcast_to,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.dot: _dot,
    np.shape: lambda a: np.shape(plain(a)),
    np.ndim: lambda a: np.ndim(plain(a)),
    np.size: lambda a, axis=None: np.size(plain(a), axis),
}
