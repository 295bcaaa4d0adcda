"""Derivatives by function transformations, which torch.func and JAX offer under the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .workloads import Array, Derivative


class Data(NamedTuple):
    """What a derivative is taken at and multiplied by, in a library's arrays.

    Attributes
    ----------
    x, y : arrays
        Inputs (batch, n_0) and targets (batch, n_L).
    v : array, or arrays in the structure of the parameters
        The vector of `derivative_data`.
    axes : list of arrays
        For each input a direction (batch, n_0) along it.
    """

    x: Any
    y: Any
    v: Any
    axes: Any


@dataclass(frozen=True)
class Tools:
    """What the transformations need of a library.

    Attributes
    ----------
    func : module
        Has grad, jacfwd, jacrev, jvp, vjp and vmap.
    array : module
        Has einsum, sqrt and stack.
    net : callable
        Returns the outputs of a batch from parameters and inputs.
    leaves : callable
        Returns the arrays of parameters as a list.
    """

    func: Any
    array: Any
    net: Callable[[Any, Any], Any]
    leaves: Callable[[Any], list[Any]]

    def row(self, p: Any, x: Any) -> Any:
        """Return the outputs of one example."""
        return self.net(p, x[None])[0]


Way = Callable[[Tools, Any, Data], Any]


def axes(workload: Derivative) -> list[Array]:
    """Return the directions along the inputs, each repeated for all rows."""
    eye = np.eye(workload.widths[0], dtype=np.float32)
    return [np.tile(axis, (workload.batch, 1)) for axis in eye]


def as_array(
    workload: Derivative, found: Any, parameters: Callable[[Any], Sequence[Array]]
) -> Array:
    """Return what a way found in the layout of pybackprop.

    Parameters
    ----------
    workload : Derivative
        What was asked for.
    found : arrays
        What the way returned.
    parameters : callable
        Returns arrays that have the structure of the parameters in pybackprop's order, weights
        with outputs before inputs.
    """
    function = workload.function
    if function in ("per_sample_gradients", "hvp", "gauss_newton_product"):
        lead = (workload.batch,) if function == "per_sample_gradients" else ()
        return np.concatenate([each.reshape(*lead, -1) for each in parameters(found)], axis=-1)
    if function == "jvp":
        return np.hstack([np.asarray(each) for each in found])
    return np.asarray(found)


def _per_sample_gradients(t: Tools, p: Any, d: Data) -> Any:
    def loss(p: Any, x: Any, y: Any) -> Any:
        return ((t.row(p, x) - y) ** 2).mean()

    return t.func.vmap(t.func.grad(loss), (None, 0, 0))(p, d.x, d.y)


def _per_sample_norms(t: Tools, p: Any, d: Data) -> Any:
    gradients = t.leaves(_per_sample_gradients(t, p, d))
    return t.array.sqrt(sum((each**2).reshape(len(d.x), -1).sum(1) for each in gradients))


def _jacrev(t: Tools, p: Any, d: Data) -> Any:
    return t.func.vmap(t.func.jacrev(lambda x: t.row(p, x)))(d.x)


def _jacfwd(t: Tools, p: Any, d: Data) -> Any:
    return t.func.vmap(t.func.jacfwd(lambda x: t.row(p, x)))(d.x)


def _input_gradient(t: Tools, p: Any) -> Callable[[Any], Any]:
    """Return what gives the gradients of a single output in the inputs, rows being independent."""
    gradient: Callable[[Any], Any] = t.func.grad(lambda x: t.net(p, x).sum())
    return gradient


def _grad_of_sum(t: Tools, p: Any, d: Data) -> Any:
    return _input_gradient(t, p)(d.x)


def _vjp(t: Tools, p: Any, d: Data) -> Any:
    return t.func.vjp(lambda x: t.net(p, x), d.x)[1](d.v)[0]


def _jvp(t: Tools, p: Any, d: Data) -> Any:
    return t.func.jvp(lambda x: t.net(p, x), (d.x,), (d.v,))


def _cost_gradient(t: Tools, d: Data) -> Callable[[Any], Any]:
    gradient: Callable[[Any], Any] = t.func.grad(lambda p: ((t.net(p, d.x) - d.y) ** 2).mean())
    return gradient


def _hvp_forward(t: Tools, p: Any, d: Data) -> Any:
    return t.func.jvp(_cost_gradient(t, d), (p,), (d.v,))[1]


def _hvp_reverse(t: Tools, p: Any, d: Data) -> Any:
    return t.func.vjp(_cost_gradient(t, d), p)[1](d.v)[0]


def _gauss_newton(t: Tools, p: Any, d: Data) -> Any:
    def net(p: Any) -> Any:
        return t.net(p, d.x)

    change = t.func.jvp(net, (p,), (d.v,))[1]
    rows, columns = d.y.shape
    return t.func.vjp(net, p)[1](change * (2.0 / (rows * columns)))[0]


def _hessians(t: Tools, p: Any, d: Data) -> Any:
    return t.func.vmap(t.func.jacfwd(t.func.jacrev(lambda x: t.row(p, x))))(d.x)


def _diagonal(t: Tools, p: Any, d: Data) -> Any:
    return t.array.einsum("nkjj->nkj", _hessians(t, p, d))


def _trace(t: Tools, p: Any, d: Data) -> Any:
    return t.array.einsum("nkjj->nk", _hessians(t, p, d))


def _forward_over_reverse(t: Tools, p: Any, d: Data) -> list[Any]:
    """Return d²a/dx_j² of a single output for each j."""
    gradient = _input_gradient(t, p)
    return [t.func.jvp(gradient, (d.x,), (axis,))[1][:, j : j + 1] for j, axis in enumerate(d.axes)]


def _forward_over_forward(t: Tools, p: Any, d: Data) -> list[Any]:
    """Return d²a/dx_j² for each j."""

    def first(x: Any, axis: Any) -> Any:
        return t.func.jvp(lambda x: t.net(p, x), (x,), (axis,))[1]

    return [t.func.jvp(lambda x, axis=axis: first(x, axis), (d.x,), (axis,))[1] for axis in d.axes]


# The ways to a derivative; grad of sum and jvp(grad) are right where there is one output.
WAYS: dict[str, dict[str, Way]] = {
    "per_sample_gradients": {"vmap(grad)": _per_sample_gradients},
    "per_sample_gradient_norms": {"norm(vmap(grad))": _per_sample_norms},
    "jacobian": {
        "vmap(jacrev)": _jacrev,
        "vmap(jacfwd)": _jacfwd,
        "grad of sum": _grad_of_sum,
    },
    "hvp": {"jvp(grad)": _hvp_forward, "vjp(grad)": _hvp_reverse},
    "gauss_newton_product": {"vjp(jvp)": _gauss_newton},
    "vjp": {"vjp": _vjp},
    "jvp": {"jvp": _jvp},
    "laplacian": {
        "vmap(trace(hessian))": _trace,
        "jvp(grad)": lambda t, p, d: sum(_forward_over_reverse(t, p, d)),
        "jvp(jvp)": lambda t, p, d: sum(_forward_over_forward(t, p, d)),
    },
    "hessian_diagonal": {
        "vmap(diagonal(hessian))": _diagonal,
        "jvp(grad)": lambda t, p, d: t.array.stack(_forward_over_reverse(t, p, d), -1),
        "jvp(jvp)": lambda t, p, d: t.array.stack(_forward_over_forward(t, p, d), -1),
    },
}
