"""The gradient-flow doctor: how derivatives grow or shrink from layer to layer, and why."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import Array
from .inputs import as_count, as_inputs, as_real, as_targets
from .kernels import activation_derivative
from .optimizers import Optimizer, as_optimizer
from .results import EpochEnd, Trace

if TYPE_CHECKING:
    from .network import Network

__all__ = ["FlowReport", "GradientFlow", "LayerFlow", "gradient_flow"]

# A layer's delta a hundred times smaller or larger than the output's is no accident of the first
# weights. With He's, ln of the norm of delta varies by about sqrt(5 d / n) / 2 over d layers of
# n ReLU units (Hanin, "Which neural net architectures give rise to exploding and vanishing
# gradients?", 2018, bounds its growth by exp(O(d / n))): 0.9 for 20 layers of 32, and ln 100 is
# 4.6. A sigmoid, whose slope is at most 1/4, loses as much in four layers.
VANISHING = 1e-2
EXPLODING = 1e2

# A slope below a twentieth of the activation's largest counts as flat: a sigmoid beyond |z| = 4.4.
FLAT = 0.05

# No update brings back a unit whose slope is below this for every example.
DEAD_SLOPE = 1e-6

# Random units that tell how many dead ones chance makes, and how far beyond it is too many.
_PROBES = 256
_DEVIATIONS = 4.0

_BOUNDED = frozenset({"sigmoid", "tanh", "softmax"})

# The largest |act'|; that of gelu, silu and mish is a little above 1, where 1 serves as well.
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
        slope of the activation; for ReLU that is the share of zeros, about a half where all is
        well. NaN for softmax.
    dead : int
        Units whose slope is below 1e-6 for every example: ReLUs that are always zero.
    dead_by_chance : float
        The dead units to be expected of random weights without bias on these activations.
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


@dataclass(frozen=True)
class FlowReport:
    """What `gradient_flow` found; printable.

    Attributes
    ----------
    layers : tuple of LayerFlow
        Layers 1 … L.
    product_norm : float
        Mean over the sample of the spectral norm of J_L … J_1 = da_L/da_0.
    norm_product : float
        Mean over the sample of the product of the layers' spectral norms, which bounds it.
    diagnosis : {"healthy", "vanishing", "exploding", "dead"}
        In one word.
    verdict : str
        In a sentence, with the layer it starts from.
    advice : tuple of str
        What to change.
    """

    layers: tuple[LayerFlow, ...]
    product_norm: float
    norm_product: float
    diagnosis: str
    verdict: str
    advice: tuple[str, ...]

    def __str__(self) -> str:
        """Return the table, one line a layer, and the verdict."""
        heads = ("|delta|", "|dW|", "update/|W|", "saturated", "dead", "|J|", "median |J|")
        lines = [f"{'layer':<22}" + "".join(f"{head:>12}" for head in heads)]
        for each in self.layers:
            flat = "-" if math.isnan(each.saturated) else f"{each.saturated:.0%}"
            name = f"{each.layer}: {each.width} {each.activation}"
            lines.append(
                f"{name:<22}{each.delta_norm:>12.3g}{each.gradient_norm:>12.3g}"
                f"{each.update_ratio:>12.2g}{flat:>12}{each.dead:>12}"
                f"{each.jacobian_norm:>12.3g}{each.jacobian_norm_median:>12.3g}"
            )
        lines.append(
            f"norm of the product of Jacobians {self.product_norm:.3g} <= "
            f"product of their norms {self.norm_product:.3g}"
        )
        lines.append(f"verdict: {self.verdict}")
        return "\n".join(lines + [f"  - {each}" for each in self.advice])

    def plot(self) -> Any:
        """Draw norms, shares and Jacobians by layer; needs matplotlib (the extra `plot`).

        Returns
        -------
        ndarray of matplotlib.axes.Axes, (3,)
        """
        from .plot import plot_flow

        return plot_flow(self)


def gradient_flow(
    net: Network,
    X: Any,
    y: Any,
    *,
    optimizer: str | Optimizer | None = None,
    lr: float = 0.01,
    sample: int = 8,
    verbose: bool = True,
) -> FlowReport:
    """Measure how gradients flow through a network, print it, and say what is wrong.

    Parameters
    ----------
    net : Network
        The network; it is not changed.
    X : array_like, (N, n_0)
        Inputs; a batch or two, as they are trained on.
    y : array_like
        Targets, as for `Network.cost`.
    optimizer : str or Optimizer, optional
        Whose next update is compared with the weights; its state is used and left alone. By
        default it is that of plain gradient descent, lr * dC/dW.
    lr : float
        Its learning rate, without `optimizer`.
    sample : int
        Examples, evenly spaced, of which Jacobians are formed.
    verbose : bool
        Whether to print the report.

    Returns
    -------
    FlowReport
        With `str()` the printed table, and with `plot()` a picture.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    """
    count = as_count(sample, "sample", low=1)
    rate = as_real(lr, "lr", low=0.0)
    chosen = None if optimizer is None else as_optimizer(optimizer)
    x = as_inputs(X, net.widths[0], net.dtype)
    targets = as_targets(y, len(x), net.widths[-1], net.loss, net.dtype)
    # Numbers that overflow are what is looked for, and no reason to warn.
    with np.errstate(all="ignore"):
        report = _measure(net, x, targets, chosen, rate, count)
    if verbose:
        print(report)
    return report


class GradientFlow:
    """A callback of `Network.fit` that takes a report after every so many epochs.

    Parameters
    ----------
    X, y : array_like
        The examples to look at, as for `gradient_flow`.
    every : int
        Epochs from one report to the next; the first comes after the first epoch.
    optimizer : Optimizer, optional
        The one that trains, for the ratio of update to weight; by default lr * dC/dW with the
        learning rate of the epoch.
    sample : int
        As for `gradient_flow`.

    Attributes
    ----------
    epochs : list of int
        The epochs reported on, counted from 0 over all fits that used this object.
    reports : list of FlowReport
        Their reports.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        every: int = 1,
        optimizer: Optimizer | None = None,
        sample: int = 8,
    ) -> None:
        self.X, self.y = X, y
        self.every = as_count(every, "every", low=1)
        self.sample = as_count(sample, "sample", low=1)
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be the Optimizer that trains, got {optimizer!r}")
        self.optimizer = optimizer
        self.epochs: list[int] = []
        self.reports: list[FlowReport] = []
        self._seen = 0

    def __call__(self, figures: EpochEnd) -> None:
        """Take a report if it is time for one."""
        epoch = self._seen
        self._seen += 1
        if epoch % self.every == 0:
            report = gradient_flow(
                figures.network,
                self.X,
                self.y,
                optimizer=self.optimizer,
                lr=figures.lr,
                sample=self.sample,
                verbose=False,
            )
            self.epochs.append(epoch)
            self.reports.append(report)

    def plot(self) -> Any:
        """Draw the norms of every layer over the epochs; return the Axes, (2,)."""
        from .plot import plot_flow_history

        return plot_flow_history(self)


# Measuring --------------------------------------------------------------------------------------


def _measure(
    net: Network, x: Array, y: Array, optimizer: Optimizer | None, lr: float, sample: int
) -> FlowReport:
    """Compute the report from checked arguments."""
    trace, gradients = net.trace(x, y), net.backprop(x, y)
    assert trace.delta is not None
    updates = _updates(net, gradients.flat, optimizer, lr)
    rows = np.unique(np.linspace(0, len(x) - 1, min(sample, len(x))).round().astype(np.intp))
    norms, product = _jacobians(net, trace, rows)
    layers = []
    for at, (name, weights) in enumerate(zip(net.activations, net.weights, strict=True)):
        saturated, dead = _flat_units(name, trace.z[at])
        layers.append(
            LayerFlow(
                layer=at + 1,
                width=net.widths[at + 1],
                activation=name,
                activation_norm=_norm(trace.a[at + 1]) / math.sqrt(len(x)),
                # The deltas of a trace are of the mean cost, so N times too small.
                delta_norm=_norm(trace.delta[at]) * math.sqrt(len(x)),
                weight_norm=_norm(weights),
                gradient_norm=_norm(gradients.weights[at]),
                update_ratio=_ratio(_norm(updates[at]), _norm(weights)),
                saturated=saturated,
                dead=dead,
                dead_by_chance=_dead_by_chance(name, trace.a[at], net.widths[at + 1]),
                jacobian_norm=float(np.mean(norms[at])),
                jacobian_norm_median=float(np.median(norms[at])),
            )
        )
    bound = float(np.mean(np.prod(norms, axis=0)))
    diagnosis, verdict, advice = _diagnose(layers)
    return FlowReport(
        tuple(layers), float(np.mean(product)), bound, diagnosis, verdict, tuple(advice)
    )


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0.0 else math.inf if above > 0.0 else 0.0


def _updates(net: Network, gradient: Array, optimizer: Optimizer | None, lr: float) -> list[Array]:
    """Return the change of every layer's weights that the next step would make."""
    if optimizer is None:
        change = lr * gradient.astype(np.float64)
    else:
        after = net.parameters.copy()
        copy.deepcopy(optimizer).update(after, gradient)
        change = after.astype(np.float64) - net.parameters
    return list(net._split(change)[0])


def _flat_units(name: str, z: Array) -> tuple[float, int]:
    """Return the share of saturated pairs of example and unit, and the number of dead units."""
    if name == "softmax":
        return math.nan, 0
    slope = np.abs(activation_derivative(name, z))
    flat = slope < FLAT * _STEEPEST.get(name, 1.0)
    dead = (slope < DEAD_SLOPE).all(axis=0)
    return float(flat.mean()), int(dead.sum())


def _dead_by_chance(name: str, inputs: Array, width: int) -> float:
    """Return how many of a layer's units random weights would make dead.

    The deeper a ReLU network, the more alike the activations of different examples, and the
    likelier that a random direction has all of them on its dark side: at most every second one.
    Laplace's rule of succession keeps the estimate off 0 and 1.
    """
    if name != "relu":
        return 0.0
    rng = np.random.default_rng(0)
    probes = rng.standard_normal((inputs.shape[1], _PROBES)).astype(inputs.dtype)
    dark = int((inputs @ probes <= 0.0).all(axis=0).sum())
    return width * (dark + 1) / (_PROBES + 2)


def _jacobians(net: Network, trace: Trace, rows: Array) -> tuple[Array, Array]:
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


def _layer_jacobian(net: Network, trace: Trace, at: int, row: int) -> Array:
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


# Judging ----------------------------------------------------------------------------------------


def _diagnose(layers: list[LayerFlow]) -> tuple[str, str, list[str]]:
    """Return the diagnosis, the verdict and the advice.

    What stops a gradient for good comes first: numbers that are not finite, then dead units, which
    make deltas vanish below them; then the growth of delta from the output down.
    """
    top = layers[-1].delta_norm
    numbers = [(each.activation_norm, each.delta_norm, each.gradient_norm) for each in layers]
    for at, row in enumerate(numbers):
        if not np.isfinite(row).all():
            return "exploding", f"exploding from layer {at + 1}: numbers overflow", _calm(layers)
    dying = [each for each in layers if _too_many_dead(each)]
    if dying:
        return "dead", _dead_verdict(layers, dying), _revive()
    if top == 0.0:
        return "healthy", "healthy, with nothing to learn: every delta is 0", []
    ratios = [each.delta_norm / top for each in layers]
    large = [at for at, ratio in enumerate(ratios, 1) if ratio > EXPLODING]
    if large:
        verdict = (
            f"exploding from layer {large[-1]} down: delta grows from {top:.3g} at the output "
            f"to {layers[0].delta_norm:.3g} at layer 1"
        )
        return "exploding", verdict, _calm(layers)
    small = [at for at, ratio in enumerate(ratios, 1) if ratio < VANISHING]
    if small:
        verdict = (
            f"vanishing from layer {small[-1]} down: delta shrinks from {top:.3g} at the output "
            f"to {layers[0].delta_norm:.3g} at layer 1"
        )
        return "vanishing", verdict, _strengthen(layers)
    dead = sum(each.dead for each in layers)
    note = f"; {dead} dead units, no more than chance makes" if dead else ""
    low, high = min(ratios), max(ratios)
    verdict = f"healthy: delta stays within {low:.2g} to {high:.2g} of the output's{note}"
    return "healthy", verdict, []


def _too_many_dead(layer: LayerFlow) -> bool:
    """Tell whether a layer has more dead units than random weights explain."""
    expected = layer.dead_by_chance
    spread = math.sqrt(expected * (1.0 - expected / layer.width))
    return layer.dead == layer.width or layer.dead > expected + _DEVIATIONS * spread


def _dead_verdict(layers: list[LayerFlow], dying: list[LayerFlow]) -> str:
    """Name the layers with dead units, up to the first that has no other."""
    closed = next((each.layer for each in dying if each.dead == each.width), len(layers))
    counted = [each for each in dying if each.layer <= closed]
    places = ", ".join(f"{each.dead} of {each.width} in layer {each.layer}" for each in counted)
    dead = sum(each.dead for each in counted)
    verdict = f"{dead} dead units: {places}, whose slope is 0 for every example"
    if layers[closed - 1].dead == layers[closed - 1].width:
        verdict += f"; no gradient comes back through layer {closed}"
    return verdict


def _revive() -> list[str]:
    return [
        "start the biases at 0 and the weights with init='he' or 'auto'",
        "lower the learning rate, or set clip_norm: large steps push units below 0 for good",
        "use leaky_relu, elu or gelu, whose slope below 0 is not 0",
        "standardise the inputs (set_scaling)",
    ]


def _calm(layers: list[LayerFlow]) -> list[str]:
    steep = max(layers, key=lambda each: each.jacobian_norm)
    return [
        f"make the weights smaller, with init='auto' (layer {steep.layer} stretches most, "
        f"|J| = {steep.jacobian_norm:.3g})",
        "set clip_norm in the optimizer, and lower the learning rate",
        "standardise inputs and targets",
        "add an l2 penalty",
    ]


def _strengthen(layers: list[LayerFlow]) -> list[str]:
    advice = []
    bounded = sorted({each.activation for each in layers[:-1]} & _BOUNDED)
    if any(each.saturated > 0.5 and each.activation in _BOUNDED for each in layers):
        advice.append("units are saturated: standardise the inputs, make the weights smaller")
    if bounded:
        names = " and ".join(bounded)
        advice.append(f"replace {names} in the hidden layers by relu, gelu or selu")
    advice.append("draw the first weights with init='auto', which fits the activation")
    advice.append("use fewer layers, or train with adam, which rescales every gradient")
    return advice
