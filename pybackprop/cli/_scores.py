"""How good predictions are."""

from __future__ import annotations

from typing import Any


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
