"""The factors of a network's dropout rates in the coming steps of a fit."""

from __future__ import annotations

import numpy as np

from ..losses import Array
from .net import Net


def _steps(net: Net) -> int:
    """Return the training steps done."""
    # Do not use `Net._alone`: it would refuse the fit while another thread is being refused.
    with net._lock:
        return net._counters()[0]


def check_dropout(net: Net, count: int, first: int | None = None) -> None:
    """Raise a ValueError if one of so many steps, by default the coming ones, has no factor."""
    if net.dropout_factors is not None and count > 0:
        net.dropout_factors.check(_steps(net) if first is None else int(first), count)


def coming_dropout(net: Net, limit: int) -> Array | None:
    """Return the factors of the coming steps, at most limit; None for 1."""
    if net.dropout_factors is None:
        return None
    return np.asarray(net.dropout_factors.ahead(_steps(net), limit))
