"""Derivatives of functions: gradients, Jacobians, central differences, and descent along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import reshape, stack
from ._elementwise import positive
from ._gate import Array, plain, to_float64
from ._variable import Variable, propagate, topological_order


class InPlaceOptimizer(Protocol):
    """An optimizer object, such as those of pybackprop: it updates a flat array in place."""

    def update(self, parameters: Array, gradient: Array) -> None:
        """Update `parameters` (P,) by their `gradient` (P,)."""


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that computes the gradient of a scalar function.

    Parameters
    ----------
    f : callable
        Takes arrays or numbers, each of which reaches it as a Variable, and returns one number.
    argnums : int or sequence of int
        The arguments to differentiate by.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns the gradient, of the shape of the argument; a tuple
        of them if `argnums` is a sequence. It is an array, or a Variable where it depends on
        Variables from outside, so that ``grad(grad(f))`` is the second derivative.

    Raises
    ------
    ValueError
        When called, if `f` returns more than one number.
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def gradient(*args: Any) -> Any:
        inputs, out = _evaluate(f, args)
        if out.size != 1:
            raise ValueError(f"f must return one number for grad, got shape {out.shape}")
        wanted = [inputs[i] for i in positions]
        results = _pull_back(out, np.ones(out.shape)[()], wanted, _is_nested(out, inputs))
        return results[0] if isinstance(argnums, int) else tuple(results)

    return gradient


def jacobian(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function that computes all derivatives of an array function.

    Parameters
    ----------
    f : callable
        Takes one array, which reaches it as a Variable, and returns an array, or a list of
        Variables of one shape.

    Returns
    -------
    callable
        Takes x and returns ``df/dx``, of shape ``f(x).shape + x.shape``. ``jacobian(grad(f))``
        is the Hessian of a scalar function.
    """

    def derivative(x: Any) -> Any:
        inputs, out = _evaluate(f, (x,))
        nested = _is_nested(out, inputs)
        basis = np.eye(out.size).reshape(out.size, *out.shape)
        rows = [_pull_back(out, seed[()], inputs, nested)[0] for seed in basis]
        stacked = stack(rows) if nested else np.array(rows)
        return reshape(stacked, (*out.shape, *inputs[0].shape))

    return derivative


def _evaluate(f: Callable[..., Any], args: Sequence[Any]) -> tuple[list[Variable], Variable]:
    """Return fresh nodes for the arguments and the value of `f` at them."""
    # A Variable is passed on as a new node, so that only this use of it is differentiated.
    inputs = [positive(x) if isinstance(x, Variable) else Variable(x) for x in args]
    out = f(*inputs)
    if isinstance(out, list | tuple):
        out = stack(out)
    return inputs, out if isinstance(out, Variable) else Variable(out)


def _is_nested(out: Variable, inputs: Sequence[Variable]) -> bool:
    """Return whether `out` depends on Variables other than `inputs`."""
    own = set(inputs)
    leaves = (node for node in topological_order(out) if node.gate is None and not node.is_constant)
    return any(node not in own and node is not out for node in leaves)


def _pull_back(
    out: Variable, seed: Array, inputs: Sequence[Variable], create_graph: bool
) -> list[Any]:
    """Return the gradients of `inputs`, zeros for those that `out` does not depend on."""
    gradients = propagate(out, seed, create_graph=create_graph)
    zeros = (np.zeros(x.shape)[()] for x in inputs)
    return [gradients.get(x, zero) for x, zero in zip(inputs, zeros, strict=True)]


def numerical_gradient(f: Callable[[Array], Any], x: ArrayLike, h: float | None = None) -> Any:
    """Return the derivatives of `f` at `x` by central differences.

    Each is ``(f(x + h e_i) - f(x - h e_i)) / 2h``, whose error is O(h²) plus rounding / h.

    Parameters
    ----------
    f : callable
        Takes an array of the shape of `x` and returns a number or an array; a Variable will do.
    x : array_like
        Where to differentiate.
    h : float, optional
        The step; by default the cube root of the float64 epsilon, times |x_i| where that is
        above 1, which balances the two errors.

    Returns
    -------
    ndarray
        Of shape ``f(x).shape + x.shape``: the gradient, if `f` returns one number.

    Raises
    ------
    ValueError
        If `h` is not a positive number.
    """
    centre = np.asarray(to_float64(x, "x"))
    if h is not None and not (np.isfinite(h) and h > 0):
        raise ValueError(f"h must be a positive number, got {h!r}")
    columns = []
    for i in np.ndindex(centre.shape):
        step = h or np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(centre[i]))
        above, below = centre.copy(), centre.copy()
        above[i] += step
        below[i] -= step
        # The step that was taken differs from the one asked for by the rounding of x ± h.
        taken = above[i] - below[i]
        columns.append(_values(f, above) / taken - _values(f, below) / taken)
    if not columns:
        return np.zeros((*np.shape(_values(f, centre)), *centre.shape))
    derivatives = np.stack(columns, axis=-1)
    return derivatives.reshape((*derivatives.shape[:-1], *centre.shape))[()]


def _values(f: Callable[[Array], Any], x: Array) -> Array:
    result: Array = np.asarray(to_float64(plain(f(x[()])), "f(x)"))
    return result


def minimize(
    f: Callable[[Variable], Any],
    x0: ArrayLike,
    *,
    lr: float | None = None,
    optimizer: Callable[[Array, Array], ArrayLike] | InPlaceOptimizer | None = None,
    steps: int = 100,
) -> Array:
    """Go down the gradient of `f` from `x0`.

    Parameters
    ----------
    f : callable
        Takes one Variable and returns one number.
    x0 : array_like
        Where to start.
    lr : float, optional
        The learning rate of gradient descent ``x - lr * gradient``; 0.1 if no `optimizer` is
        given.
    optimizer : callable or object with an `update` method, optional
        Instead of `lr`: a function ``optimizer(x, gradient)`` that returns the next x; or an
        object such as ``pybackprop.Adam(lr=0.1)``, whose ``update(parameters, gradient)``
        changes a flat float64 array in place and returns None.
    steps : int
        How many updates to make.

    Returns
    -------
    ndarray, shape (steps + 1, *x0.shape)
        The path, from `x0` to where the last step led.

    Raises
    ------
    TypeError
        If `optimizer` is neither callable nor has `update`, `lr` is not a number, or `steps` is
        not an integer.
    ValueError
        If both `lr` and `optimizer` are given, `lr` is not positive, `steps` is negative, or
        `optimizer` changes the shape.
    """
    if not isinstance(steps, int | np.integer):
        raise TypeError(f"steps must be an integer, got {type(steps).__name__}")
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, got {steps}")
    step = _step_function(lr, optimizer)
    gradient = grad(f)
    path = [np.asarray(to_float64(x0, "x0"))]
    for _ in range(steps):
        x = path[-1]
        moved = np.asarray(step(x.copy(), np.array(plain(gradient(x)))), dtype=np.float64)
        if moved.shape != x.shape:
            raise ValueError(f"optimizer must keep the shape {x.shape}, got {moved.shape}")
        path.append(moved)
    return np.stack(path)


def _step_function(lr: float | None, optimizer: Any) -> Callable[[Array, Array], ArrayLike]:
    """Return the update ``x, gradient -> next x``."""
    if optimizer is None:
        rate = 0.1 if lr is None else lr
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating):
            raise TypeError(f"lr must be a positive number, got {lr!r}")
        if not rate > 0:
            raise ValueError(f"lr must be a positive number, got {lr!r}")
        return lambda x, gradient: x - rate * gradient
    if lr is not None:
        raise ValueError(f"lr must be left out where an optimizer is given, got lr={lr!r}")
    update = getattr(optimizer, "update", None)
    if update is None:
        if not callable(optimizer):
            got = type(optimizer).__name__
            raise TypeError(f"optimizer must be callable or have an update method, got {got}")
        function: Callable[[Array, Array], ArrayLike] = optimizer
        return function

    def in_place(x: Array, gradient: Array) -> Array:
        parameters = np.ascontiguousarray(x).reshape(-1)
        update(parameters, np.ascontiguousarray(gradient).reshape(-1))
        return parameters.reshape(x.shape)

    return in_place
