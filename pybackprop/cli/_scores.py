"""How good predictions are, and whether training worked at all."""

from __future__ import annotations

import re
from typing import Any

# Dropout and a few noisy steps may raise the cost a little; nothing that learns doubles it.
_DIVERGED = 2.0


def accuracy(outputs: Any, y: Any) -> float:
    """Return the share of rows whose largest output is that of their class.

    Parameters
    ----------
    outputs : ndarray, shape (N, k)
        An output for each class.
    y : ndarray of int, shape (N,)
        Indices of the classes.
    """
    return float((outputs.argmax(axis=1) == y).mean())


def r_squared(outputs: Any, y: Any) -> float:
    """Return the coefficient of determination: the mean over the targets of 1 - SSE / SST.

    SSE is the sum of squared errors, SST that of the squares about the mean. A target that does
    not vary counts 1 if it is met exactly, else 0.

    Parameters
    ----------
    outputs : ndarray, shape (N, k)
        Predicted numbers.
    y : ndarray, shape (N,) or (N, k)
        The targets.
    """
    import numpy as np

    y = y.reshape(outputs.shape)
    residual = ((outputs - y) ** 2).sum(axis=0)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 0.0
    scores = np.where(varies, 1.0 - residual / np.where(varies, total, 1.0), residual == 0.0)
    return float(scores.mean())


def not_finite(error: FloatingPointError) -> str:
    """Return what `fit` says of a cost that is not finite, with advice that suits the options."""
    from ..nonfinite import TRAINING

    # Advice about Python code is of no use on a command line.
    text = re.sub(r"Try `[^`]*`\. ", "", str(error))
    return text.replace(TRAINING, "A lower --lr may help")


def judged(figures: dict[str, Any], untrained: float, commonest: float) -> dict[str, Any]:
    """Return whether training diverged, and what to say if it did not work.

    Parameters
    ----------
    figures : dict
        Of the training part under "train": cost, and accuracy or r_squared.
    untrained : float
        The cost of the same part before the first step.
    commonest : float
        Share of the examples that are of the commonest class.

    Returns
    -------
    dict
        "untrained" with the cost; "diverged"; "warning", a text or None.
    """
    train = figures["train"]
    diverged = not train["cost"] <= _DIVERGED * untrained
    warning = None
    if diverged:
        warning = (
            f"training diverged: the cost rose from {untrained:.4g} of the untrained network to "
            f"{train['cost']:.4g}; try a lower --lr"
        )
    elif "r_squared" in train and not train["r_squared"] >= 0.0:
        warning = (
            "training did not work: the network predicts its own training examples worse than "
            "their mean would (R² below 0); try more --epochs or another --lr"
        )
    elif "accuracy" in train and not train["accuracy"] >= commonest:
        warning = (
            "training did not work: the network is right on its own training examples less often "
            f"than the commonest class alone would be ({commonest:.2%}); try more --epochs or "
            "another --lr"
        )
    elif not train["cost"] < untrained:
        warning = (
            f"training did not work: the cost has not fallen from {untrained:.4g} of the untrained "
            "network; try another --lr"
        )
    return {"untrained": {"cost": untrained}, "diverged": diverged, "warning": warning}
