"""Dividing rows into folds."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, random_permutation
from ..inputs import as_count, as_flag, as_reals

# Losses whose integer targets in one dimension are labels.
_OF_CLASSES = ("cross_entropy", "binary_cross_entropy")

# Keys of the permutations that divide rows, apart from those of epochs and held-out parts.
_KEY = 2**62 - 2


def labels_of(y: Any, stratify: Any, loss: Any) -> Array | None:
    """Return the labels by which rows are to be stratified, or None.

    Labels are the caller's targets: 0 and 1 are numbers by the time that a network gets them.
    """
    by_class = None if stratify is None else as_flag(stratify, "stratify")
    targets = as_reals(y, "y")
    rows = len(targets) if targets.ndim else 0
    if targets.dtype.kind in "iub" and targets.shape in ((rows,), (rows, 1)):
        wanted = loss in _OF_CLASSES if by_class is None else by_class
        return targets.reshape(rows) if wanted else None
    if by_class:
        raise ValueError(
            "stratify needs integer labels as targets, in one dimension; got "
            f"{targets.dtype} of shape {targets.shape}"
        )
    return None


def make_folds(
    rows: int, labels: Array | None, folds: Any, repeats: Any, seed: int
) -> list[tuple[Array, Array]]:
    """Return the rows to train on and to validate on, sorted, of each fold of each repeat.

    Every row is validated on once in each repeat. With labels, each fold has about the same share
    of each class.
    """
    count = as_count(folds, "folds", low=2)
    if count > rows:
        raise ValueError(f"folds must be at most the number of rows, {rows}, got {count}")
    made = []
    for repeat in range(as_count(repeats, "repeats", low=1)):
        order = random_permutation(seed, _KEY - repeat, rows)
        if labels is not None:
            order = order[np.argsort(labels[order], kind="stable")]
        # Dealing the rows out one by one gives each fold its share of every class.
        number = np.empty(rows, np.int64)
        number[order] = np.arange(rows) % count
        for fold in range(count):
            made.append((np.flatnonzero(number != fold), np.flatnonzero(number == fold)))
    return made


def scaling_of(x: Array, rows: Array) -> tuple[Array, Array]:
    """Return shift and scale that give these rows mean 0 and deviation 1 in every column."""
    part = x[rows].astype(np.float64)
    mean, std = part.mean(axis=0), part.std(axis=0)
    return mean, 1.0 / np.where(np.ptp(part, axis=0) > 0, std, 1.0)
