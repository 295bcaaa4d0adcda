"""A dense network and its cost as a computational graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..losses import smoothed
from ._arrays import index, sum
from ._elementwise import abs
from ._formulas import ACTIVATIONS, LOSSES
from ._gate import Array, Gate, apply, to_float64
from ._variable import Variable, constant


@dataclass(frozen=True)
class NetworkGraph:
    """The graph of a network's cost, on which `backward` has run.

    Attributes
    ----------
    cost : Variable
        The cost, penalties included, as one number.
    inputs : Variable
        X (N, n_0); its `grad` is dC/dX.
    weights, biases : tuple of Variable
        W (n_l, n_{l-1}) and b (n_l,) of each layer; their `grad` is dC/dW and dC/db.
    z, a : tuple of Variable
        ``z[i]`` (N, n_l) is the input of the activation of layer i + 1; ``a[0]`` is X, scaled if
        the network scales its inputs, and ``a[i + 1]`` the output of layer i + 1, as in
        `Network.trace`.
    losses : Variable
        The loss of each example (N,).
    """

    cost: Variable
    inputs: Variable
    weights: tuple[Variable, ...]
    biases: tuple[Variable, ...]
    z: tuple[Variable, ...]
    a: tuple[Variable, ...]
    losses: Variable

    @property
    def delta(self) -> tuple[Any, ...]:
        """dC/dz of each layer, (N, n_l)."""
        return tuple(z.grad for z in self.z)

    def flat_gradient(self) -> Array:
        """Return the gradient as one vector, in the order W_1, b_1, W_2, b_2, … of the network."""
        pairs = zip(self.weights, self.biases, strict=True)
        return np.concatenate([np.ravel(p.grad) for pair in pairs for p in pair])


def from_network(
    net: Any, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> NetworkGraph:
    """Build the cost of a network on a batch as a graph, and run the backward pass.

    The graph is computed in float64 whatever the type of the network. Dropout is not applied. The
    derivative returned by a user's own loss function is treated as plain numbers, so second
    derivatives do not go through it.

    Parameters
    ----------
    net : pybackprop.Network
        The network.
    x : array_like, shape (N, n_0) or (n_0,)
        The inputs.
    y : array_like
        The targets, as for `Network.cost`: (N, n_L), or (N,) for a single output or labels.
    sample_weight : array_like, shape (N,), optional
        The weight of each example in the mean.

    Returns
    -------
    NetworkGraph
        The cost and the nodes below it.

    Raises
    ------
    ValueError
        If `x`, `y` or `sample_weight` does not fit the network, or the network uses an
        activation or a loss that is not known here.
    """
    n_in, n_out = net.widths[0], net.widths[-1]
    batch = np.atleast_2d(np.asarray(to_float64(x, "x")))
    if batch.ndim != 2 or batch.shape[1] != n_in or len(batch) == 0:
        raise ValueError(f"x must have shape (N, {n_in}), got {np.shape(x)}")
    weights = tuple(Variable(W, f"W{i}") for i, W in enumerate(net.weights, 1))
    biases = tuple(Variable(b, f"b{i}") for i, b in enumerate(net.biases, 1))
    z: list[Variable] = []
    inputs = Variable(batch, "x")
    a = [_scaled(inputs, net.scaling)]
    for i, (W, b, name) in enumerate(zip(weights, biases, net.activations, strict=True), 1):
        if name not in ACTIVATIONS:
            raise ValueError(f"net must use known activations {sorted(ACTIVATIONS)}, got {name!r}")
        z.append((a[-1] @ W.T + b).named(f"z{i}"))
        a.append(ACTIVATIONS[name].value(z[-1]).named(f"a{i}"))
    targets = smoothed(_targets(y, len(batch), n_out, net.loss), net.label_smoothing)
    losses = _per_example(net.loss, a[-1], z[-1], constant(targets, "y")).named("losses")
    cost = _weighted_mean(losses, sample_weight)
    cost = _with_penalties(cost, weights, net.l1, net.l2).named("C")
    cost.backward()
    return NetworkGraph(cost, inputs, weights, biases, tuple(z), tuple(a), losses)


def _scaled(x: Variable, scaling: tuple[Array, Array] | None) -> Variable:
    """Return the inputs as the first layer sees them."""
    if scaling is None:
        return x
    shift, scale = scaling
    return ((x - constant(shift, "shift")) * constant(scale, "scale")).named("a0")


def _targets(y: ArrayLike, n: int, n_out: int, loss: Any) -> Array:
    """Return the targets as an array (n, n_out), labels as rows of the identity."""
    given = np.asarray(y)
    targets = np.asarray(to_float64(given, "y"))
    by_row = given.ndim == 2 and given.shape[1] == n_out
    if loss == "cross_entropy" and given.dtype.kind in "iub" and not by_row:
        if given.shape not in ((n,), (n, 1)) or not np.isin(given, np.arange(n_out)).all():
            raise ValueError(f"y must hold {n} labels from 0 to {n_out - 1}, got {given}")
        rows: Array = np.eye(n_out)[given.ravel().astype(np.intp)]
        return rows
    if given.ndim == 1 and n_out == 1:
        targets = targets[:, None]
    if targets.shape != (n, n_out):
        raise ValueError(f"y must have one row per row of x, ({n}, {n_out}), got {given.shape}")
    return targets


def _per_example(loss: Any, a: Variable, z: Variable, y: Variable) -> Any:
    """Return the loss of each example, (N,)."""
    if callable(loss):
        return _user_loss(loss, a, y.value)
    if loss not in LOSSES:
        raise ValueError(f"net must use a known loss {sorted(LOSSES)}, got {loss!r}")
    return LOSSES[loss].of_examples(a, z, y)


def _user_loss(loss: Callable[[Array, Array], tuple[Any, Any]], a: Variable, y: Array) -> Any:
    """Return a gate around a function that gives its own derivative, as numbers."""
    values, derivative = loss(a.value, y)
    gate = Gate(
        name="loss",
        symbol="loss",
        text="loss({0})",
        value=lambda a: np.asarray(values, dtype=np.float64),
        vjps=(lambda g, out, a: index(g, (slice(None), None)) * derivative,),
        derivatives=("dloss/d{0}",),
    )
    return apply(gate, a)


def _weighted_mean(losses: Variable, sample_weight: ArrayLike | None) -> Variable:
    if sample_weight is None:
        return losses.mean()
    weight = np.asarray(to_float64(sample_weight, "sample_weight"))
    if weight.shape != losses.shape:
        raise ValueError(f"sample_weight must have shape {losses.shape}, got {weight.shape}")
    return (losses * constant(weight, "sample_weight")).sum() / float(np.sum(weight))


def _with_penalties(cost: Variable, weights: tuple[Variable, ...], l1: float, l2: float) -> Any:
    """Add ``l1 Σ|W| + l2/2 ΣW²`` over all weights."""
    for W in weights:
        if l1:
            cost = cost + float(l1) * sum(abs(W))
        if l2:
            cost = cost + 0.5 * float(l2) * sum(W**2)
    return cost
