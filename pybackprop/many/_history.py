"""What training many networks returns, and what it tells its callbacks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..optimizers import Optimizer
from ..training.history import History
from ..words import counted

STATUSES = ("running", "done", "stopped", "diverged")


class ManyHistory:
    """The figures of training many networks, the members.

    Row k of every array is about member k; the columns are epochs. Entries of epochs that a member
    was not trained for are NaN.

    Attributes
    ----------
    cost : ndarray, (n, epochs)
        Mean cost of the epoch's batches, as in `History`.
    val_cost : ndarray, (n, epochs), or None
        Cost on the validation data after the epoch; None without validation.
    seconds : ndarray, (n, epochs)
        Time that a thread spent training the member in the epoch.
    epochs : ndarray of int, (n,)
        Epochs that each member has been trained for.
    best_epoch : ndarray of int, (n,)
        Index of the lowest validation cost; -1 where there is none.
    status : ndarray of str, (n,)
        done: trained for all its epochs. stopped: ended before, by patience or a callback.
        diverged: its cost stopped being finite. running: the fit has not ended.

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> X = np.linspace(-1, 1, 8)[:, None]
    >>> nets = bp.Networks([1, 4, 1], n=3, seed=0)
    >>> history = nets.fit(X, X**2, epochs=5)
    >>> history
    ManyHistory(3 members, 5 epochs: 3 done)
    >>> len(history[2].cost)
    5
    """

    def __init__(self, n: int, has_validation: bool, keeps_best: bool = False) -> None:
        self._keeps_best = keeps_best  # whether members end with the parameters of best_epoch
        # There may be room for more epochs than there have been.
        self._cost, self._seconds = np.empty((n, 0)), np.empty((n, 0))
        self._val_cost = np.empty((n, 0)) if has_validation else None
        self.epochs = np.zeros(n, np.int64)
        self.best_epoch = np.full(n, -1, np.int64)
        self.status = np.full(n, "running", "<U8")

    @property
    def cost(self) -> Array:
        """Mean cost of the epoch's batches, (n, epochs)."""
        return self._cost[:, : self._longest]

    @property
    def seconds(self) -> Array:
        """Time that a thread spent training the member in the epoch, (n, epochs)."""
        return self._seconds[:, : self._longest]

    @property
    def val_cost(self) -> Array | None:
        """Cost on the validation data after the epoch, (n, epochs), or None."""
        return None if self._val_cost is None else self._val_cost[:, : self._longest]

    def _make_room(self, epochs: int) -> None:
        """Make room for so many epochs."""
        n, room = self._cost.shape
        if epochs <= room:
            return
        more = np.full((n, max(epochs, 2 * room) - room), np.nan)
        self._cost = np.concatenate([self._cost, more], axis=1)
        self._seconds = np.concatenate([self._seconds, more], axis=1)
        if self._val_cost is not None:
            self._val_cost = np.concatenate([self._val_cost, more], axis=1)

    @property
    def _longest(self) -> int:
        return int(self.epochs.max())

    @property
    def best_cost(self) -> Array:
        """The lowest validation cost of each member, or its last cost if there is no validation.

        An array, (n,); NaN where there is none.
        """
        return self._costs_at(self.epochs - 1 if self._val_cost is None else self.best_epoch)

    @property
    def _end_cost(self) -> Array:
        """The cost, by validation if there is any, of the parameters that each member ended with.

        An array, (n,); NaN for members that diverged.
        """
        found = self._costs_at(self.best_epoch if self._keeps_best else self.epochs - 1)
        found[self.status == "diverged"] = np.nan
        return found

    def _costs_at(self, epochs: Array) -> Array:
        """Return each member's cost of an epoch, by validation if there is any; NaN for -1."""
        values = self._cost if self._val_cost is None else self._val_cost
        found = np.full(len(epochs), np.nan)
        some = np.flatnonzero(epochs >= 0)
        found[some] = values[some, epochs[some]]
        return found

    def __len__(self) -> int:
        return len(self.epochs)

    def __getitem__(self, member: int) -> History:
        """Return the history of one member."""
        at = range(len(self))[member]
        count = int(self.epochs[at])
        history = History()
        history.cost = self._cost[at, :count].tolist()
        history.seconds = self._seconds[at, :count].tolist()
        if self._val_cost is not None:
            history.val_cost = self._val_cost[at, :count].tolist()
        history.best_epoch = int(self.best_epoch[at]) if self.best_epoch[at] >= 0 else None
        history.stopped_early = bool(self.status[at] == "stopped")
        return history

    def __repr__(self) -> str:
        counts = [(name, int((self.status == name).sum())) for name in STATUSES]
        said = ", ".join(f"{count} {name}" for name, count in counts if count)
        size = f"{counted(len(self), 'member')}, {counted(self._longest, 'epoch')}"
        return f"ManyHistory({size}: {said})"


class EpochsEnd(NamedTuple):
    """What a callback of training many networks is given after each epoch.

    A callback that returns True ends the fit after this epoch; one that returns a boolean array,
    (n,), ends it for the members where the array is True.

    Attributes
    ----------
    epoch : int
        Index of the epoch in this fit, from 0.
    cost : ndarray, (n,)
        Mean cost of the epoch's batches of each member; NaN where it was not trained.
    val_cost : ndarray, (n,), or None
        Cost on the validation data; None without validation.
    seconds : ndarray, (n,)
        Time that a thread spent training the member in this epoch.
    active : ndarray of bool, (n,)
        Which members will be trained in the next epoch.
    networks : tuple of Network, or Networks
        The members.
    optimizers : tuple of Optimizer
        Their optimizers.
    """

    epoch: int
    cost: Array
    val_cost: Array | None
    seconds: Array
    active: Array
    networks: Any  # whose class stands above this one
    optimizers: tuple[Optimizer, ...]
