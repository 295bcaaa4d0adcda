"""What flows through each layer: norms, shares of flat slopes, Jacobians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._core import Array
from ..kernels import activation_derivative
from ..optimizers import SGD
from ._patient import Patient, evenly, norm
from ._updates import Updates

if TYPE_CHECKING:
    from ..model import Model, Trace
    from ..optimizers import Optimizer

# A slope below a twentieth of the activation's largest counts as flat: a sigmoid beyond |z| = 4.4.
FLAT = 0.05

# No update can revive a unit whose slope is below this for every example.
DEAD_SLOPE = 1e-6

# How many random units are drawn to estimate how many are dead by chance.
_PROBES = 256

BOUNDED = frozenset({"sigmoid", "tanh", "softmax"})

# The largest |act'|; that of gelu, silu and mish is a little above 1, and 1 is close enough.
_STEEPEST = {"sigmoid": 0.25, "selu": 1.7580993408473766}


@dataclass(frozen=True)
class LayerFlow:
    """What flows through one layer.

    Attributes
    ----------
    layer : int
        1 … L.
    width : int
        n_l.
    activation : str
        Its activation.
    activation_norm, delta_norm : float
        Root mean square over the examples of the 2-norm of a_l, and of delta_l = dC/dz_l for the
        cost of the example alone, so that they do not depend on the number of examples.
    weight_norm, gradient_norm : float
        Frobenius norms of W_l and of dC/dW_l.
    update_ratio : float
        Norm of the next update of W_l over the norm of W_l.
    saturated : float
        Share of the pairs of example and unit with |act'(z)| below a twentieth of the largest
        slope of the activation; for ReLU that is the share of zeros, about a half in a healthy
        network. NaN for softmax.
    dead : int
        Units whose slope is below 1e-6 for every example: ReLUs that are always zero.
    dead_by_chance : float
        Number of dead units to expect from random weights without bias on these activations.
    jacobian_norm, jacobian_norm_median : float
        Mean and median over the sample of the spectral norm of diag(act'(z_l)) W_l.
    """

    layer: int
    width: int
    activation: str
    activation_norm: float
    delta_norm: float
    weight_norm: float
    gradient_norm: float
    update_ratio: float
    saturated: float
    dead: int
    dead_by_chance: float
    jacobian_norm: float
    jacobian_norm_median: float


def measure(
    patient: Patient, optimizer: Optimizer | None, lr: float, sample: int
) -> tuple[tuple[LayerFlow, ...], float, float]:
    """Measure all layers.

    Parameters
    ----------
    patient : Patient
        The network and the examples.
    optimizer : Optimizer or None
        Whose next update is compared with the weights; None for that of `SGD(lr)`.
    lr : float
        Its learning rate, without an optimizer.
    sample : int
        How many evenly spaced examples to compute Jacobians for.

    Returns
    -------
    layers : tuple of LayerFlow
        Layers 1 … L.
    product_norm : float
        Mean over the sample of the spectral norm of J_L … J_1.
    norm_product : float
        Mean over the sample of the product of the layers' spectral norms.
    """
    net, trace, gradients = patient.net, patient.trace, patient.gradients
    assert trace.delta is not None
    updates = _updates(net, gradients.flat, optimizer, lr)
    n = len(patient.x)
    norms, product = _jacobians(net, trace, evenly(n, sample))
    layers = []
    for at, (name, weights) in enumerate(zip(net.activations, net.weights, strict=True)):
        saturated, dead = _flat_units(name, trace.z[at])
        layers.append(
            LayerFlow(
                layer=at + 1,
                width=net.widths[at + 1],
                activation=name,
                activation_norm=norm(trace.a[at + 1]) / math.sqrt(n),
                # The deltas of a trace are of the mean cost, so N times too small.
                delta_norm=norm(trace.delta[at]) * math.sqrt(n),
                weight_norm=norm(weights),
                gradient_norm=norm(gradients.weights[at]),
                update_ratio=_ratio(norm(updates[at]), norm(weights)),
                saturated=saturated,
                dead=dead,
                dead_by_chance=_dead_by_chance(name, trace.a[at], net.widths[at + 1]),
                jacobian_norm=float(np.mean(norms[at])),
                jacobian_norm_median=float(np.median(norms[at])),
            )
        )
    bound = float(np.mean(np.prod(norms, axis=0)))
    return tuple(layers), float(np.mean(product)), bound


def steepest(name: str) -> float:
    """Return the largest |act'|, to a tenth."""
    return _STEEPEST.get(name, 1.0)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0.0 else math.inf if above > 0.0 else 0.0


def _updates(net: Model, gradient: Array, optimizer: Optimizer | None, lr: float) -> list[Array]:
    """Return the change of every layer's weights that the next step would make."""
    before = net.parameters
    if optimizer is None:
        # Which has no state of the network's type: nothing of a short step need be rounded away.
        optimizer, before = SGD(lr), before.astype(np.float64)
    after = before.copy()
    Updates(net, optimizer)(after, gradient.astype(before.dtype, copy=False))
    return list(net._split(after.astype(np.float64) - before)[0])


def _flat_units(name: str, z: Array) -> tuple[float, int]:
    """Return the share of saturated pairs of example and unit, and the number of dead units."""
    if name == "softmax":
        return math.nan, 0
    slope = np.abs(activation_derivative(name, z))
    flat = slope < FLAT * steepest(name)
    dead = (slope < DEAD_SLOPE).all(axis=0)
    return float(flat.mean()), int(dead.sum())


def _dead_by_chance(name: str, inputs: Array, width: int) -> float:
    """Return how many of a layer's units random weights would make dead.

    The deeper a ReLU network, the more alike the activations of different examples, and the
    likelier that all of them lie on the zero side of a random direction; that happens for at most
    every second direction. Laplace's rule of succession keeps the estimate off 0 and 1.
    """
    if name != "relu":
        return 0.0
    rng = np.random.default_rng(0)
    probes = rng.standard_normal((inputs.shape[1], _PROBES)).astype(inputs.dtype)
    dark = int((inputs @ probes <= 0.0).all(axis=0).sum())
    return width * (dark + 1) / (_PROBES + 2)


def _jacobians(net: Model, trace: Trace, rows: Array) -> tuple[Array, Array]:
    """Return the spectral norms of all layers' Jacobians, (L, S), and of their product, (S,)."""
    norms = np.empty((len(net.weights), len(rows)))
    products = np.empty(len(rows))
    for column, row in enumerate(rows):
        product: Array | None = None
        # From the outputs down, where the product has the fewest rows.
        for at in reversed(range(len(net.weights))):
            jacobian = _layer_jacobian(net, trace, at, row)
            norms[at, column] = _spectral_norm(jacobian)
            product = jacobian if product is None else product @ jacobian
        assert product is not None
        products[column] = _spectral_norm(product)
    return norms, products


def _layer_jacobian(net: Model, trace: Trace, at: int, row: int) -> Array:
    """Return da_l/da_(l-1) of one example in float64: diag(act'(z)) W, for softmax with its own."""
    weights = net.weights[at].astype(np.float64)
    if net.activations[at] == "softmax":
        p = trace.a[at + 1][row].astype(np.float64)
        return np.asarray(p[:, None] * (weights - p @ weights))
    z = trace.z[at][row].astype(np.float64)
    return np.asarray(activation_derivative(net.activations[at], z)[:, None] * weights)


def _spectral_norm(matrix: Array) -> float:
    """Return the largest singular value; infinite if entries are not finite."""
    largest = float(np.abs(matrix).max())
    if largest == 0.0 or not math.isfinite(largest):
        return 0.0 if largest == 0.0 else math.inf
    # The Gram matrix of the shorter side costs a fraction of a singular value decomposition and
    # has its largest eigenvalue as accurately; scaling keeps the squares in range.
    scaled = matrix / largest
    gram = scaled @ scaled.T if scaled.shape[0] <= scaled.shape[1] else scaled.T @ scaled
    return largest * math.sqrt(max(float(np.linalg.eigvalsh(gram)[-1]), 0.0))
