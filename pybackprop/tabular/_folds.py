"""Which rows each member is trained on, and which validate it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array, random_permutation

# Keys of the permutations that divide rows, apart from those of epochs.
_KEY, _KEY_OF_GROUPS = 2**62 - 3, 2**62 - 4
# What is held out of one fold, and the last part by time.
_SHARE = 0.2


class Fold(NamedTuple):
    """The rows to train on and those to validate on: sorted row numbers."""

    rows: Array
    held: Array


def folds_of(
    n_rows: int, labels: Array | None, groups: Array | None, n_folds: int, seed: int
) -> list[Fold]:
    """Divide rows into folds.

    Parameters
    ----------
    n_rows : int
    labels : ndarray of int, (n_rows,), or None
        Each fold has about the same share of each class.
    groups : ndarray of int, (n_rows,), or None
        Rows of a group stay together; labels are not looked at then.
    n_folds : int
        1 holds out a fifth of the rows once.
    seed : int

    Raises
    ------
    ValueError
        If there are fewer rows or groups than folds.
    """
    parts = n_folds if n_folds > 1 else round(1 / _SHARE)
    what, count = "rows", n_rows
    if groups is not None:
        what, count = "groups", int(groups.max()) + 1
    if count < max(n_folds, 2):
        hint = " 1 sample is not enough." if n_rows == 1 else ""
        raise ValueError(
            f"n_folds={n_folds} needs at least {max(n_folds, 2)} {what}, got {count}.{hint}"
        )
    number = np.empty(n_rows, np.int64)
    if groups is None:
        order = random_permutation(seed, _KEY, n_rows)
        if labels is not None:
            order = order[np.argsort(labels[order], kind="stable")]
        # Dealing the rows out one by one gives each fold its share of every class.
        number[order] = np.arange(n_rows) % parts
    else:
        number = _deal_groups(groups, count, parts, seed)[groups]
    # With fewer rows than parts, the last parts are empty.
    made = (Fold(np.flatnonzero(number != at), np.flatnonzero(number == at)) for at in range(parts))
    return [fold for fold in made if len(fold.rows) and len(fold.held)][:n_folds]


def _deal_groups(groups: Array, count: int, parts: int, seed: int) -> Array:
    """Return the fold of each group: the largest first, each into the fold with fewest rows."""
    order = random_permutation(seed, _KEY_OF_GROUPS, count)
    sizes = np.bincount(groups, minlength=count)
    filled = np.zeros(parts, np.int64)
    fold = np.empty(count, np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold[group] = np.argmin(filled)
        filled[fold[group]] += sizes[group]
    return fold


def codes_of(value: Any, n_rows: int, name: str) -> Array:
    """Return the rank of each row's value among the different ones, int64, (n_rows,).

    Raises
    ------
    ValueError
        If there is not a value for each row, or one is missing.
    """
    values = np.asarray(value)
    if values.shape != (n_rows,):
        raise ValueError(f"{name} must hold a value for each of {n_rows} rows, got {values.shape}")
    if count_missing(values):
        raise ValueError(f"{name} must hold a value for each row, but some are missing")
    try:
        _, codes = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise TypeError(f"{name} must hold values that can be sorted: {error}") from None
    return codes.reshape(-1)


def count_missing(values: Array) -> int:
    """Return how many entries are None, NaN, or the NA of pandas."""

    def is_missing(value: Any) -> bool:
        try:
            return value is None or bool(value != value)
        except TypeError:  # whether NA differs is NA
            return True

    return sum(map(is_missing, values.tolist()))


def latest(time: Array) -> Fold:
    """Return the fold whose last rows by time validate, a fifth of them.

    Rows of one time stay together.

    Parameters
    ----------
    time : ndarray, (N,)

    Raises
    ------
    ValueError
        If all rows have one time, or most have the last one.
    """
    ordered = np.sort(time)
    first = ordered[int((1.0 - _SHARE) * len(time))]
    held = time >= first
    if held.all():
        raise ValueError(
            "time must differ between the rows to train on and those to validate on, but at least "
            "a fifth of the rows have the last time or all before are of one"
        )
    return Fold(np.flatnonzero(~held), np.flatnonzero(held))
