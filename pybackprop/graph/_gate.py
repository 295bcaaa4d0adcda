"""What an operation of a computational graph is: its value and its local derivatives, no more.

A gate computes ``out = f(x, y, …)``. Its local derivatives are given as vector-Jacobian products:
the `i`-th one takes the gradient ``g = dJ/dout`` and returns ``g · dout/dx_i``. They are written
with the functions of this package, which take plain arrays as well as Variables, so that the same
lines give gradients as arrays and, where a second derivative is wanted, as graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
    wanted = f"{argument} must be a real number or an array of them"
    if isinstance(value, list | tuple) and any(isinstance(x, Operand) for x in value):
        name = type(value).__name__
        raise TypeError(f"{wanted}, got a {name} of Variables, which stack() makes into one")
    array: Any = np.float64(value) if type(value) is float else np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{wanted}, got {type(value).__name__} of dtype {array.dtype}")
    result: Array = array.astype(np.float64)[()]
    return result


def apply(gate: Gate, *inputs: Any, **parameters: Any) -> Any:
    """Apply `gate`: to a graph node if any input is a Variable, else to the plain arrays."""
    for x in inputs:
        if isinstance(x, Operand):
            return x.record(gate, inputs, parameters)
    # Use a list: CPython 3.11 leaks the parameters of a call whose argument iterator raises.
    return gate.value(*[_as_float64(x) for x in inputs], **parameters)


def _as_float64(x: Any) -> Array:
    # Conversion by to_float64 refuses a list of Variables, whose gradients would be lost.
    return x if getattr(x, "dtype", None) == np.float64 else to_float64(x, "operand")


def plain(x: Any) -> Array:
    """Return the numbers of a Variable or an array."""
    value: Array = x.value if isinstance(x, Operand) else x
    return value
