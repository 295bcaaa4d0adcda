"""The mean loss without penalties, and its bounds, from plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array
from ..losses import LossFunction


def as_matrix(targets: Array, n_out: int) -> Array:
    """Return targets as (N, n_L) float64; labels become rows of 0 and 1."""
    if targets.dtype.kind in "iu" and targets.shape[1] != n_out:
        return np.eye(n_out)[targets[:, 0]]
    return targets.astype(np.float64)


def mean_loss(
    loss: str | LossFunction, z: Array, a: Array, y: Array, weights: Array | None = None
) -> float:
    """Return the mean over the examples of the loss, weighted where weights are given.

    Parameters
    ----------
    loss : str or callable
        As of `Network`.
    z, a, y : ndarray, (N, n_L)
        Pre-activations and activations of the output layer, and targets, in float64.
    weights : ndarray, (N,), optional
        Of the examples.
    """
    return float(np.average(_each(loss, z, a, y), weights=weights))


def _each(loss: str | LossFunction, z: Array, a: Array, y: Array) -> Any:
    """Return the loss of each example; the cross entropies from z, which loses no digits."""
    if not isinstance(loss, str):
        return np.asarray(loss(a.copy(), y.copy())[0], np.float64)
    if loss == "cross_entropy":
        shifted = z - z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        return y.sum(axis=1) * log_sum - np.where(y == 0.0, 0.0, y * shifted).sum(axis=1)
    if loss == "binary_cross_entropy":
        return (np.maximum(z, 0.0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    far = np.abs(a - y)
    if loss == "mae":
        return far.mean(axis=1)
    if loss == "huber":
        return np.where(far <= 1.0, 0.5 * far**2, far - 0.5).mean(axis=1)
    return (far**2).sum(axis=1) if loss == "squared_error" else (far**2).mean(axis=1)


def constant_loss(loss: str | LossFunction, y: Array, weights: Array | None = None) -> float:
    """Return the mean loss of outputs that do not depend on the inputs, as good as they can be.

    They are the means of the targets, for the absolute error the medians, and for Huber's the
    better of the two; for a function of the user, the means.
    """
    shares = np.average(y, axis=0, weights=weights)
    rows = np.broadcast_to(shares, y.shape)
    if loss in ("cross_entropy", "binary_cross_entropy"):
        # log p and log(p / (1 - p)), bounded where a class does not occur.
        tiny = 1e-300
        z = np.log(np.clip(rows, tiny, None))
        if loss == "binary_cross_entropy":
            z -= np.log(np.clip(1.0 - rows, tiny, None))
        return mean_loss(loss, z, rows, y, weights)
    found = [mean_loss(loss, rows, rows, y, weights)]
    if loss in ("mae", "huber"):
        middle = np.broadcast_to(np.median(y, axis=0), y.shape)
        found.append(mean_loss(loss, middle, middle, y, weights))
    return min(found)


def least_loss(loss: str | LossFunction, y: Array) -> float:
    """Return the mean cross entropy of outputs that are the targets, which none can go below.

    It is the entropy of the targets, and above 0 for soft or smoothed ones; of other losses, 0.
    """
    if loss != "cross_entropy":
        return 0.0
    share = y / np.maximum(y.sum(axis=1, keepdims=True), 1e-300)
    return float(-(y * np.log(np.where(share > 0.0, share, 1.0))).sum(axis=1).mean())
