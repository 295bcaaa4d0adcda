"""How good predictions are, against the best constant, and whether training worked at all."""

from __future__ import annotations

import re
from typing import Any

# Dropout and a few noisy steps may raise the cost a little; nothing that learns doubles it.
_DIVERGED = 2.0
# How far below 0 rounding may take the R² of a network that predicts the mean.
_ROUNDING_OF_MEAN = 1e-6

# Titles of the scores, and how each is printed.
TITLES = {
    "cost": ("cost", ".4g"),
    "accuracy": ("accuracy", ".2%"),
    "log_loss": ("log loss", ".4f"),
    "weighted_log_loss": ("weighted log loss", ".4f"),
    "smoothed_log_loss": ("smoothed log loss", ".4f"),
    "auc": ("AUC", ".4f"),
    "balanced_accuracy": ("balanced accuracy", ".2%"),
    "f1": ("F1 (macro)", ".4f"),
    "r_squared": ("R²", ".4f"),
    "rmse": ("RMSE", ".5g"),
    "mae": ("MAE", ".5g"),
}


def constant_outputs(
    y_train: Any, n_outputs: int, of_classes: bool, rows: int, weights: Any = None
) -> Any:
    """Return what the best constant predicts: the share of each class, or the mean of numbers.

    With the weights of the classes, the shares are those of the sums of weights.
    """
    import numpy as np

    if of_classes:
        constant = np.bincount(y_train, minlength=n_outputs) / len(y_train)
        if weights is not None:
            constant = constant * weights / (constant * weights).sum()
    else:
        constant = y_train.reshape(len(y_train), -1).mean(axis=0)
    return np.broadcast_to(constant, (rows, n_outputs))


def not_finite(error: FloatingPointError) -> str:
    """Return what `fit` says of a cost that is not finite, with advice that suits the options."""
    from ..nonfinite import TRAINING

    # Advice about Python code is of no use on a command line.
    text = re.sub(r"Try `[^`]*`\. ", "", str(error))
    return text.replace(TRAINING, "A lower --lr may help")


def judged(
    figures: dict[str, Any],
    untrained: float,
    reached: float,
    commonest: float,
    constant: float = 0.0,
) -> dict[str, Any]:
    """Return whether training diverged, and what to say if it did not work.

    Parameters
    ----------
    figures : dict
        Of the training part under "train": the log loss and accuracy, or r_squared. Under
        "held_out" and "baseline" the scores on the held-out part of the network and of the best
        constant.
    untrained, reached : float
        The cost of the training part that training lowers, with the weights of the classes: before
        the first step and in the end.
    commonest : float
        Share of the examples that are of the commonest class.
    constant : float
        The log loss of the best constant on the training part, of the kind by which the two are
        compared. A network below it has learnt, even if the commonest class is the likeliest for
        all examples.

    Returns
    -------
    dict
        "untrained" with the cost; "diverged"; "warning", a text or None.
    """
    train = figures["train"]
    diverged = not reached <= _DIVERGED * untrained
    warning = None
    if diverged:
        warning = (
            f"training diverged: the cost rose from {untrained:.4g} of the untrained network to "
            f"{reached:.4g}; try a lower --lr"
        )
    elif figures.get("kept_constant"):
        warning = against_constant(figures)
    elif "r_squared" in train and not train["r_squared"] >= -_ROUNDING_OF_MEAN:
        warning = (
            "training did not work: the network predicts its own training examples worse than "
            "their mean would (R² below 0); try more --epochs or another --lr"
        )
    elif (
        "accuracy" in train
        and not train["accuracy"] >= commonest
        and not train[compared_by(train)] < constant
    ):
        warning = (
            "training did not work: the network is right on its own training examples less often "
            f"than the commonest class alone would be ({commonest:.2%}); try more --epochs or "
            "another --lr"
        )
    elif not reached < untrained:
        warning = (
            f"training did not work: the cost has not fallen from {untrained:.4g} of the untrained "
            "network; try another --lr"
        )
    else:
        warning = against_constant(figures)
    return {"untrained": {"cost": untrained}, "diverged": diverged, "warning": warning}


def shown(name: str, value: float) -> str:
    """Return a score as it is printed; large numbers have no exponents."""
    form = TITLES[name][1]
    return f"{value:,.0f}" if form == ".5g" and 1e5 <= abs(value) < 1e12 else f"{value:{form}}"


def compared_by(scores: dict[str, float]) -> str:
    """Return the score by which a network is compared with the best constant."""
    kinds = ("smoothed_log_loss", "weighted_log_loss", "log_loss", "rmse")
    return next(name for name in kinds if name in scores)


def against_constant(figures: dict[str, Any]) -> str | None:
    """Return a warning if the best constant does as well on held-out rows as the network."""
    if figures.get("kept_constant"):
        return (
            "the inputs tell nothing about the target: no epoch was better than the best constant "
            "on the rows that decide when to stop, so the model predicts that constant"
        )
    held, baseline = figures["held_out"], figures["baseline"]
    name = compared_by(held)
    if held[name] < baseline[name]:
        return None
    title = TITLES[name][0]
    return (
        f"the model does not beat the best constant on held-out rows: {title} "
        f"{shown(name, held[name])}, that of the constant is {shown(name, baseline[name])}"
    )
