"""How good predictions are: scores of probabilities of classes, and of predicted numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

# The smallest probability whose logarithm counts, as in scikit-learn.
_LEAST = 2.220446049250313e-16
# How far from 1 the sum of probabilities may be by rounding.
_ROUNDING = 1e-4

OF_CLASSES = ("log_loss", "accuracy", "auc", "balanced_accuracy", "f1")
OF_NUMBERS = ("rmse", "mae", "r_squared")
# The scores of which less is better.
FALLING = ("log_loss", "brier", "rmse", "mae", "cost")


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
    y = y.reshape(outputs.shape)
    residual = ((outputs - y) ** 2).sum(axis=0)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 0.0
    scores = np.where(varies, 1.0 - residual / np.where(varies, total, 1.0), residual == 0.0)
    return float(scores.mean())


def probabilities(outputs: Any) -> Any:
    """Return outputs for classes as probabilities, whose sum in every row is 1."""
    p = outputs.astype(np.float64)
    total = p.sum(axis=1, keepdims=True)
    # To divide by what is 1 but for rounding would make equal probabilities differ.
    if np.abs(total - 1.0).max() < _ROUNDING:
        return p
    return np.where(total > 0.0, p / np.where(total > 0.0, total, 1.0), 1.0 / p.shape[1])


def log_loss(p: Any, y: Any, weights: Any = None, *, label_smoothing: float = 0.0) -> float:
    """Return the mean of -log of the probability of each row's class, weighted if asked.

    With label smoothing, a share of it is the mean of -log of the probabilities of all classes.

    Parameters
    ----------
    p : ndarray, shape (N, k)
        Probabilities.
    y : ndarray of int, shape (N,)
        Indices of the classes.
    weights : ndarray, shape (N,), optional
    label_smoothing : float, optional
        The share, at least 0 and below 1.
    """
    losses = -np.log(np.maximum(p[np.arange(len(y)), y], _LEAST))
    if label_smoothing:
        of_all = -np.log(np.maximum(p, _LEAST)).mean(axis=1)
        losses = (1.0 - label_smoothing) * losses + label_smoothing * of_all
    return float(np.average(losses, weights=weights))


def auc(p: Any, y: Any) -> float:
    """Return the area under the ROC curve; of three or more classes, the mean of each against all.

    It is the probability that a row of the class gets a higher value than another one, ties
    counting half (Mann and Whitney 1947). NaN if `y` holds a single class.
    """
    k = p.shape[1]
    areas = []
    for label in (1,) if k == 2 else range(k):
        of_class = y == label
        hits, others = int(of_class.sum()), int((~of_class).sum())
        if not hits or not others:
            continue
        _, inverse, counts = np.unique(p[:, label], return_inverse=True, return_counts=True)
        ranks = np.cumsum(counts) - (counts - 1) / 2.0
        total = float(ranks[inverse.reshape(-1)][of_class].sum())
        areas.append((total - hits * (hits + 1) / 2.0) / (hits * others))
    return float(np.mean(areas)) if areas else float("nan")


def brier(p: Any, y: Any) -> float:
    """Return the mean of the squared errors of probabilities.

    Of two classes it is (p - 1)² with the probability p of each row's class, of more the sum over
    the classes of the squared difference from 1 for the row's class and from 0 for the others.
    """
    errors = ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1)
    return float(errors.mean() / (2.0 if p.shape[1] == 2 else 1.0))


def balanced_accuracy(outputs: Any, y: Any) -> float:
    """Return the mean over the classes in `y` of the share of their rows that is recognised."""
    hit = outputs.argmax(axis=1) == y
    rows = np.bincount(y)
    recalls = np.bincount(y, weights=hit)[rows > 0] / rows[rows > 0]
    return float(recalls.mean())


def f1(outputs: Any, y: Any) -> float:
    """Return the mean over the classes of 2 TP / (2 TP + FP + FN); classes in neither are left out.

    TP are the rows of a class that are recognised, FP those of others taken for it, and FN its own
    that are taken for others.
    """
    k = outputs.shape[1]
    found = outputs.argmax(axis=1)
    right = np.bincount(y[found == y], minlength=k)
    total = np.bincount(y, minlength=k) + np.bincount(found, minlength=k)
    present = total > 0
    return float((2.0 * right[present] / total[present]).mean())


def scores_of_classes(outputs: Any, y: Any) -> dict[str, float]:
    """Return all scores of outputs for classes, by the names of `OF_CLASSES`."""
    p = probabilities(outputs)
    return {
        "accuracy": accuracy(outputs, y),
        "log_loss": log_loss(p, y),
        "auc": auc(p, y),
        "balanced_accuracy": balanced_accuracy(outputs, y),
        "f1": f1(outputs, y),
    }


def scores_of_numbers(outputs: Any, y: Any) -> dict[str, float]:
    """Return all scores of predicted numbers, by the names of `OF_NUMBERS`, in raw units."""
    y = y.reshape(outputs.shape)
    error = outputs.astype(np.float64) - y
    return {
        "r_squared": r_squared(outputs, y),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
    }
