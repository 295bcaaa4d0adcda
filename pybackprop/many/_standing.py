"""Where a fit of many networks stands."""

from __future__ import annotations

import numpy as np

from .._core import Array
from ._history import ManyHistory
from ._members import Members


class Standing:
    """What a fit of many networks keeps from one call into the core to the next.

    Attributes
    ----------
    members : Members
        Who is trained, and on what.
    patience : int or None
        Epochs to wait for a better validation cost.
    wanted, n_batches : ndarray of int, (n,)
        Epochs of each member, and batches of its epochs.
    history : ManyHistory
        The figures so far.
    active : ndarray of bool, (n,)
        Which members are still trained.
    best : list of ndarray or None
        The parameters of each member's best epoch, if these are kept.
    best_cost : ndarray, (n,)
        Lowest validation cost, or infinity.
    carried : ndarray, (n,)
        Seconds already spent in the current epoch.
    epoch : int
        The epoch whose end comes next, if anything is decided there.
    """

    def __init__(self, members: Members, patience: int | None) -> None:
        n = members.n
        self.members, self.patience = members, patience
        self.wanted = np.array([each.epochs for each in members])
        self.n_batches = np.array([each.n_batches for each in members])
        self.history = ManyHistory(n, members.has_validation, patience is not None)
        self.active = np.ones(n, np.bool_)
        self.best: list[Array | None] = [None] * n
        self.best_cost = np.full(n, np.inf)
        self.carried = np.zeros(n)
        self.epoch = 0
