"""Pictures of training and of gradient flow, with matplotlib, which is imported when drawing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from ._optional import optional

__all__ = [
    "plot_activations",
    "plot_flow",
    "plot_flow_histograms",
    "plot_flow_history",
    "plot_history",
    "plot_search",
]

# Blue, orange, green and purple of Okabe and Ito, told apart with any colour vision; markers and
# dashes tell them apart without colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499")

# Characters that fit above three pictures.
_TITLE = 130

# How many layers fit beside each other.
_MOST_LAYERS = 6


def _subplots(columns: int, width: float) -> Any:
    """Return the axes of a new figure, (columns,)."""
    return _grid(1, columns, (width, 3.8))[0]


def _grid(rows: int, columns: int, size: tuple[float, float], **options: Any) -> Any:
    """Return the axes of a new figure, (rows, columns)."""
    with optional("matplotlib", "plotting"):
        from matplotlib import pyplot
    _, axes = pyplot.subplots(
        rows, columns, squeeze=False, figsize=size, layout="constrained", **options
    )
    for axis in axes.flat:
        axis.grid(True, alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return axes


def _only_whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _log_if_positive(axis: Any, *series: Any) -> None:
    """Use a logarithmic scale where there is something above 0 to show on it."""
    values = [value for each in series for value in each]
    if any(0.0 < value < float("inf") for value in values):
        axis.set_yscale("log", nonpositive="mask")


def plot_history(
    cost: Sequence[float], val_cost: Sequence[float], best_epoch: int | None, ax: Any
) -> Any:
    """Draw the costs over the epochs; see `History.plot`."""
    axis = _subplots(1, 6.4)[0] if ax is None else ax
    epochs = range(1, len(cost) + 1)
    axis.plot(epochs, cost, "-", color=_COLOURS[0], label="training cost")
    if val_cost:
        axis.plot(epochs, val_cost, "--", color=_COLOURS[1], label="validation cost")
    if best_epoch is not None:
        label = f"best, epoch {best_epoch + 1}"
        axis.plot(best_epoch + 1, val_cost[best_epoch], "o", color=_COLOURS[1], label=label)
    _log_if_positive(axis, cost, val_cost)
    _only_whole_numbers(axis)
    axis.set_xlabel("epoch")
    axis.set_ylabel("cost")
    axis.legend(frameon=False)
    return axis


def plot_search(
    curves: Sequence[Sequence[tuple[int, float]]], best: Sequence[tuple[int, float]], ax: Any
) -> Any:
    """Draw the score of every candidate over the epochs; see `tuning.SearchResult.plot`."""
    axis = _subplots(1, 6.4)[0] if ax is None else ax
    for curve in curves:
        epochs, scores = zip(*curve, strict=True)
        axis.plot(epochs, scores, "o-", color=_COLOURS[0], alpha=0.35, markersize=3, linewidth=1)
    epochs, scores = zip(*best, strict=True)
    axis.plot(epochs, scores, "s-", color=_COLOURS[1], label="best candidate")
    _log_if_positive(axis, *([score for _, score in curve] for curve in curves))
    axis.set_xscale("log")
    axis.set(xlabel="epochs", ylabel="validation cost", title="candidates of the search")
    axis.legend()
    return axis


def plot_flow(flows: Sequence[Any], verdict: str) -> Any:
    """Draw what flows through each layer, of LayerFlow; see `FlowReport.plot`."""
    axes = _subplots(3, 12.5)
    norms, jacobians, shares = axes
    layers = [each.layer for each in flows]

    def curve(axis: Any, values: list[float], style: str, colour: int, label: str) -> None:
        axis.plot(layers, values, style, color=_COLOURS[colour], label=label)

    delta = [each.delta_norm for each in flows]
    gradient = [each.gradient_norm for each in flows]
    ratio = [each.update_ratio for each in flows]
    curve(norms, delta, "o-", 0, "|delta|")
    curve(norms, gradient, "s--", 1, "|dW|")
    curve(norms, ratio, "^:", 2, "update / |W|")
    _log_if_positive(norms, delta, gradient, ratio)
    norms.set_title("gradients")
    stretch = [each.jacobian_norm for each in flows]
    curve(jacobians, stretch, "o-", 0, "|J| of the layer, mean")
    middle = [each.jacobian_norm_median for each in flows]
    curve(jacobians, middle, "s--", 1, "median")
    jacobians.axhline(1.0, color="0.5", linewidth=1)
    _log_if_positive(jacobians, stretch, middle)
    jacobians.set_title("spectral norms of Jacobians")
    width = 0.38
    left = [layer - width / 2 for layer in layers]
    right = [layer + width / 2 for layer in layers]
    saturated = [each.saturated for each in flows]
    dead = [each.dead / each.width for each in flows]
    shares.bar(left, saturated, width, color=_COLOURS[0], label="saturated")
    shares.bar(right, dead, width, color=_COLOURS[1], hatch="//", label="dead units")
    shares.set_ylim(0.0, 1.0)
    shares.set_title("shares")
    for axis in (norms, jacobians, shares):
        _only_whole_numbers(axis)
        axis.set_xlabel("layer")
        axis.legend(frameon=False)
    norms.figure.suptitle(textwrap.fill(verdict, _TITLE), fontsize=11)
    return axes


def plot_flow_history(numbers: Sequence[int], reports: Sequence[Any]) -> Any:
    """Draw the layers' norms of FlowReports over the epochs; see `GradientFlow.plot`."""
    axes = _subplots(2, 10.5)
    epochs = [epoch + 1 for epoch in numbers]
    count = len(reports[0].layers) if reports else 0
    titles = {"delta_norm": "|delta|", "update_ratio": "update / |W|"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        curves = [[getattr(each.layers[at], name) for each in reports] for at in range(count)]
        for at, values in enumerate(curves):
            # From the first layer in dark to the last in light, and each by its dashes too.
            shade = 0.05 + 0.6 * at / max(count - 1, 1)
            style = ("-", "--", "-.", ":")[at % 4]
            colour = (shade, 0.35 + shade / 2, 0.7)
            axis.plot(epochs, values, style, marker=".", color=colour, label=f"layer {at + 1}")
        _log_if_positive(axis, *curves)
        _only_whole_numbers(axis)
        axis.set_xlabel("epoch")
        axis.set_title(title)
    if count:
        axes[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def plot_flow_histograms(numbers: Sequence[int], reports: Sequence[Any]) -> Any:
    """Draw LayerHistograms over the epochs; see `GradientFlow.plot`."""
    import numpy as np

    count = len(reports[0]) if reports else 1
    layers = np.unique(np.linspace(0, count - 1, min(count, _MOST_LAYERS)).round().astype(int))
    axes = _grid(3, len(layers), (1.5 + 2.6 * len(layers), 7.5), sharex=True)
    epochs = np.array(numbers) + 1.0
    # A strip reaches half-way to its neighbours; a single one has the width of an epoch.
    between = (epochs[1:] + epochs[:-1]) / 2 if len(epochs) > 1 else np.array([])
    first = between[0] - epochs[0] if len(between) else 0.5
    last = epochs[-1] - between[-1] if len(between) else 0.5
    for row, kind in enumerate(("weights", "activations", "gradients")):
        for column, layer in enumerate(layers):
            axis = axes[row, column]
            axis.grid(False)
            for at, report in enumerate(reports):
                left = between[at - 1] if at else epochs[0] - first
                right = between[at] if at < len(between) else epochs[-1] + last
                shown = getattr(report[layer], kind)
                share = shown.counts / max(shown.counts.max(), 1)
                axis.pcolormesh(
                    [left, right], shown.edges, share[:, None], cmap="Blues", vmin=0.0, vmax=1.0
                )
            if row == 0:
                axis.set_title(f"layer {layer + 1}")
            if column == 0:
                axis.set_ylabel(kind)
            if row == 2:
                axis.set_xlabel("epoch")
                _only_whole_numbers(axis)
    return axes


def plot_activations(*names: str) -> Any:
    """Draw activations and their derivatives; needs matplotlib.

    Parameters
    ----------
    *names : str
        Names of activations, as of `Network`; by default all that work on single numbers.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        One for each name, in rows of four.

    Raises
    ------
    ValueError
        There is no such activation.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from pybackprop.plot import plot_activations
    >>> [axis.get_title() for axis in plot_activations("relu", "gelu")]
    ['relu', 'gelu']
    """
    import numpy as np

    from ._core import ACTIVATIONS
    from .inputs import as_choice
    from .kernels import activation, activation_derivative

    known = [name for name in ACTIVATIONS if name != "softmax"]
    shown = [as_choice(name, "names", known) for name in names] or known
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    axes = _grid(rows, columns, (3.1 * columns, 2.8 * rows), sharex=True).ravel()
    # An even number of points, so that none is at the corner of relu.
    x = np.linspace(-5.0, 5.0, 1000)
    for axis, name in zip(axes, shown, strict=False):
        axis.plot(x, activation(name, x), "-", color=_COLOURS[0], label="a(z)")
        axis.plot(x, activation_derivative(name, x), "--", color=_COLOURS[1], label="a'(z)")
        axis.axhline(0.0, color="0.5", linewidth=0.8)
        axis.axvline(0.0, color="0.5", linewidth=0.8)
        axis.set_ylim(-1.75, 2.5)
        axis.set_title(name)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[max(len(shown) - columns, 0) : len(shown)]:
        axis.set_xlabel("z")
        axis.tick_params(labelbottom=True)
    axes[0].legend(frameon=False, loc="upper left")
    return axes[: len(shown)]
