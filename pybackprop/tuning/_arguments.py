"""What a search is given for its networks and batches, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._core import Array
from ..inputs import as_count, as_reals
from ._distributions import Distribution

# What all candidates may share: arguments of `Network`, of whose widths these are the hidden ones.
_OF_NETWORK = (
    "widths",
    "activation",
    "output",
    "loss",
    "label_smoothing",
    "init",
    "dropout",
    "dropout_schedule",
    "l1",
    "l2",
    "dtype",
    "precision",
)


def as_fixed(value: Any) -> dict[str, Any]:
    """Return the arguments of `Network` that all candidates share."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"network must be a dict of arguments of Network, got {value!r}")
    if "seed" in value:
        raise ValueError(
            "network must not hold seed: the networks of the folds get the seed of the search, "
            "seed + 1, …; pass that"
        )
    for name in value:
        if name not in _OF_NETWORK:
            known = ", ".join(_OF_NETWORK)
            raise ValueError(f"network has no argument {name!r} to share; known: {known}")
    return dict(value)


def as_hidden(value: Any) -> list[int]:
    """Return the widths of the hidden layers."""
    widths = [value] if np.ndim(value) == 0 else value
    return [as_count(width, "widths", low=1) for width in widths]


def as_batch_size(value: Any) -> int:
    """Return the rows of an update."""
    return as_count(value, "batch_size", low=1)


def check_batch_sizes(source: Any) -> None:
    """Refuse a source of batch sizes that are no integers; those of SciPy are seen when drawn."""
    if isinstance(source, Distribution):
        if source.kind != "integers":
            raise TypeError(
                f"space['batch_size'] must give integers, got {source!r}; use tuning.integers"
            )
        as_count(source.low, "space['batch_size']", low=1)
    elif source is not None and not hasattr(source, "rvs"):
        for at, each in enumerate(source):
            as_count(each, f"space['batch_size'][{at}]", low=1)


def as_table(X: Any, y: Array) -> Array:
    """Return inputs, (N, n_0), that go with targets."""
    x = as_reals(X, "X")
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"X must have shape (N, n_0), got {x.shape}")
    if not len(x):
        raise ValueError(f"X must have at least one row, got shape {x.shape}")
    if not y.ndim or len(y) != len(x):
        raise ValueError(f"y must have {len(x)} rows to match X, got shape {y.shape}")
    return x
