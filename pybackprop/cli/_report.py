"""What `train` reports: figures on training and held-out rows beside those of the best constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..losses import smoothed
from ..scores import log_loss, probabilities, scores_of_classes, scores_of_numbers
from ._fitting import Trained, cost_of, in_raw_units, targets_of
from ._scores import TITLES, against_constant, constant_outputs, judged, shown

if TYPE_CHECKING:
    from .. import Network
    from ..datasets import Dataset


def figures_of(data: Dataset, trained: Trained, weights: Any = None) -> dict[str, Any]:
    """Return the scores on both parts of the data, and what the training took.

    With weights of the classes or label smoothing, the network is compared by the log loss that has
    them with the constant that is best by it; with weights, not with the commonest class.
    """
    net = trained.net
    raw = in_raw_units(net, data)
    outputs = {"train": raw.predict(data.x), "held_out": raw.predict(data.x_test)}
    figures: dict[str, Any] = {
        "train": _scores(data, net, data.x, data.y, outputs["train"]),
        "held_out": _scores(data, net, data.x_test, data.y_test, outputs["held_out"]),
        "baseline": baseline_of(data, data.y_test),
        "epochs": len(trained.history.cost),
        "best_epoch": trained.epochs,
        "kept_constant": trained.kept_constant,
        "seconds": sum(trained.history.seconds),
        "examples_per_second": trained.rate,
    }
    constant = baseline_of(data, data.y).get("log_loss", 0.0)
    if weights is not None or net.label_smoothing:
        constant = _add_trained_loss(figures, data, net, weights, outputs)
    commonest = 0.0 if weights is not None else share_of_commonest(data)
    reached = figures["train"]["cost"] if weights is None else cost_of(net, data, weights)
    figures.update(judged(figures, trained.untrained, reached, commonest, constant))
    return figures


def _scores(data: Dataset, net: Network, x: Any, y: Any, outputs: Any) -> dict[str, float]:
    """Return cost and scores of a network on some rows, for which it has such outputs."""
    of_outputs = scores_of_numbers if data.class_names is None else scores_of_classes
    return {"cost": net.cost(x, targets_of(data, net, y)), **of_outputs(outputs, y)}


def _add_trained_loss(
    figures: dict[str, Any], data: Dataset, net: Network, weights: Any, outputs: dict[str, Any]
) -> float:
    """Add the log loss by which the network was trained, and that of the best constant.

    It has the weights and the smoothing of the training; `outputs` are those of the network on both
    parts of the data. Returns the constant's on the training rows.
    """
    name = "smoothed_log_loss" if net.label_smoothing else "weighted_log_loss"

    def add(part: dict[str, float], outputs: Any, y: Any) -> None:
        given = None if weights is None else weights[y]
        if given is None or given.any():
            smoothing = net.label_smoothing
            part[name] = log_loss(probabilities(outputs), y, given, label_smoothing=smoothing)

    def constant(y: Any) -> Any:
        shares = constant_outputs(data.y, data.n_outputs, True, len(y), weights)
        return smoothed(shares, net.label_smoothing)

    of_constant: dict[str, float] = {}
    add(figures["train"], outputs["train"], data.y)
    add(figures["held_out"], outputs["held_out"], data.y_test)
    add(figures["baseline"], constant(data.y_test), data.y_test)
    add(of_constant, constant(data.y), data.y)
    return of_constant[name]


def baseline_of(data: Dataset, y: Any) -> dict[str, float]:
    """Return the scores of the constant that is best on the training rows."""
    of_classes = data.class_names is not None
    outputs = constant_outputs(data.y, data.n_outputs, of_classes, len(y))
    return scores_of_classes(outputs, y) if of_classes else scores_of_numbers(outputs, y)


def share_of_commonest(data: Dataset) -> float:
    """Return the share of the training examples that are of the commonest class; 0 without any."""
    import numpy as np

    if data.class_names is None:
        return 0.0
    return float(np.bincount(data.y).max() / len(data.y))


def summary_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of the figures of several parts held out in turn, and their spread."""
    import numpy as np

    means: dict[str, Any] = {
        part: {
            key: _mean([each[part][key] for each in found])
            for key in found[0][part]
            if all(key in each[part] for each in found)
        }
        for part in ("train", "held_out", "baseline")
    }
    means["spread"] = {
        key: _spread([each["held_out"][key] for each in found]) for key in means["held_out"]
    }
    means["epochs"] = round(float(np.mean([each["epochs"] for each in found])))
    means["best_epoch"] = round(float(np.median([each["best_epoch"] for each in found])))
    means["kept_constant"] = all(each["kept_constant"] for each in found)
    means["diverged"] = any(each["diverged"] for each in found)
    means["seconds"] = sum(each["seconds"] for each in found)
    means["examples_per_second"] = float(np.mean([each["examples_per_second"] for each in found]))
    first = next((each["warning"] for each in found if each["diverged"]), None)
    means["warning"] = first or against_constant(means)
    means["folds"] = [{part: each[part] for part in ("train", "held_out")} for each in found]
    return means


def _mean(values: list[float]) -> float:
    """Return the mean of the scores that are defined; AUC is not where a part has one class."""
    import numpy as np

    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _spread(values: list[float]) -> float:
    """Return the standard deviation of the scores that are defined."""
    import numpy as np

    known = [value for value in values if not np.isnan(value)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def table_of(figures: dict[str, Any], parts: tuple[str, ...] = ("train", "held_out")) -> str:
    """Return the closing table."""
    heads = {"train": "train", "held_out": "held out", "spread": "+-", "baseline": "constant"}
    columns = [*parts, "baseline"]
    rows = [("", [heads[name] for name in columns])]
    for key, (title, _) in TITLES.items():
        if key in figures[parts[0]]:
            cells = [figures[name].get(key) for name in columns]
            rows.append((title, ["" if cell is None else shown(key, cell) for cell in cells]))
    width = max(10, *(len(text) + 2 for _, texts in rows for text in texts))
    lines = [
        (f"{title:<22}" + "".join(f"{text:>{width}}" for text in texts)).rstrip()
        for title, texts in rows
    ]
    lines.append(f"{'epochs':<22}{figures['epochs']:>{width}}")
    if figures["best_epoch"] != figures["epochs"]:
        lines.append(f"{'best after':<22}{figures['best_epoch']:>{width}}")
    lines.append(f"{'seconds':<22}{figures['seconds']:>{width}.2f}")
    lines.append(f"{'examples per second':<22}{figures['examples_per_second']:>{width},.0f}")
    if figures["warning"] is not None:
        lines += ["", f"warning: {figures['warning']}"]
    return "\n".join(lines)
