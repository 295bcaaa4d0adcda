"""Pictures of training and of gradient flow, with matplotlib, which is imported when drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .flow import FlowReport, GradientFlow
    from .results import History

__all__ = ["plot_flow", "plot_flow_history", "plot_history"]

# Blue, orange, green and purple of Okabe and Ito, told apart with any colour vision; markers and
# dashes tell them apart without colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499")


def _subplots(columns: int, width: float) -> Any:
    """Return the axes of a new figure, (columns,)."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('plotting needs matplotlib: pip install "pybackprop[plot]"') from error
    size = (width, 3.8)
    _, axes = pyplot.subplots(1, columns, squeeze=False, figsize=size, layout="constrained")
    for axis in axes[0]:
        axis.grid(True, alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return axes[0]


def _only_whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _log_if_positive(axis: Any, *series: Any) -> None:
    """Use a logarithmic scale where there is something above 0 to show on it."""
    values = [value for each in series for value in each]
    if any(0.0 < value < float("inf") for value in values):
        axis.set_yscale("log", nonpositive="mask")


def plot_history(history: History, ax: Any = None) -> Any:
    """Draw the costs over the epochs; see `History.plot`."""
    axis = _subplots(1, 6.4)[0] if ax is None else ax
    epochs = range(1, len(history.cost) + 1)
    axis.plot(epochs, history.cost, "-", color=_COLOURS[0], label="training cost")
    if history.val_cost:
        axis.plot(epochs, history.val_cost, "--", color=_COLOURS[1], label="validation cost")
    if history.best_epoch is not None:
        best = history.best_epoch
        label = f"best, epoch {best + 1}"
        axis.plot(best + 1, history.val_cost[best], "o", color=_COLOURS[1], label=label)
    _log_if_positive(axis, history.cost, history.val_cost)
    _only_whole_numbers(axis)
    axis.set_xlabel("epoch")
    axis.set_ylabel("cost")
    axis.legend(frameon=False)
    return axis


def plot_flow(report: FlowReport) -> Any:
    """Draw a report by layer; see `FlowReport.plot`."""
    axes = _subplots(3, 12.5)
    norms, jacobians, shares = axes
    layers = [each.layer for each in report.layers]

    def curve(axis: Any, values: list[float], style: str, colour: int, label: str) -> None:
        axis.plot(layers, values, style, color=_COLOURS[colour], label=label)

    delta = [each.delta_norm for each in report.layers]
    gradient = [each.gradient_norm for each in report.layers]
    ratio = [each.update_ratio for each in report.layers]
    curve(norms, delta, "o-", 0, "|delta|")
    curve(norms, gradient, "s--", 1, "|dW|")
    curve(norms, ratio, "^:", 2, "update / |W|")
    _log_if_positive(norms, delta, gradient, ratio)
    norms.set_title("gradients")
    stretch = [each.jacobian_norm for each in report.layers]
    curve(jacobians, stretch, "o-", 0, "|J| of the layer, mean")
    middle = [each.jacobian_norm_median for each in report.layers]
    curve(jacobians, middle, "s--", 1, "median")
    jacobians.axhline(1.0, color="0.5", linewidth=1)
    _log_if_positive(jacobians, stretch, middle)
    jacobians.set_title("spectral norms of Jacobians")
    width = 0.38
    left = [layer - width / 2 for layer in layers]
    right = [layer + width / 2 for layer in layers]
    saturated = [each.saturated for each in report.layers]
    dead = [each.dead / each.width for each in report.layers]
    shares.bar(left, saturated, width, color=_COLOURS[0], label="saturated")
    shares.bar(right, dead, width, color=_COLOURS[1], hatch="//", label="dead units")
    shares.set_ylim(0.0, 1.0)
    shares.set_title("shares")
    for axis in (norms, jacobians, shares):
        _only_whole_numbers(axis)
        axis.set_xlabel("layer")
        axis.legend(frameon=False)
    norms.figure.suptitle(report.verdict, fontsize=11)
    return axes


def plot_flow_history(flow: GradientFlow) -> Any:
    """Draw the layers' norms over the epochs; see `GradientFlow.plot`."""
    axes = _subplots(2, 10.5)
    epochs = [epoch + 1 for epoch in flow.epochs]
    count = len(flow.reports[0].layers) if flow.reports else 0
    titles = {"delta_norm": "|delta|", "update_ratio": "update / |W|"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        curves = [[getattr(each.layers[at], name) for each in flow.reports] for at in range(count)]
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
