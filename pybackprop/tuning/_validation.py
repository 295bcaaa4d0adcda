"""Cross-validation: the cost on data that a network has not been trained on, with its spread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Array
from ..inputs import as_count, as_flag, as_inputs, as_real, as_targets, flat_labels
from ..many import ManyHistory, Networks
from ..model import Model
from ..nonfinite import require_finite
from ._folds import labels_of, make_folds, scaling_of

# Differences of this many predictions and residuals are held at a time.
_BLOCK = 1 << 22


class CrossValidation:
    """What `cross_validate` returns.

    Attributes
    ----------
    networks : Networks
        One for each fold of each repeat, trained on the rows outside the fold.
    folds : list of ndarray of int
        The rows of each fold.
    history : ManyHistory
        The figures of the training; validation costs are those of the folds.
    costs : ndarray, (folds * repeats,)
        Cost on each fold after the training, without penalties, weighted by sample_weight;
        infinite where the training diverged.
    outputs : ndarray, (N, n_L)
        For each row, the mean output of the networks that were not trained on it. Those that
        diverged have the parameters of their last finite epoch.
    """

    def __init__(
        self,
        networks: Networks,
        folds: list[Array],
        history: ManyHistory,
        x: Array,
        y: Array,
        weights: Array | None,
    ) -> None:
        self.networks, self.folds, self.history = networks, folds, history
        self._y = y
        self._repeats = sum(len(fold) for fold in folds) // len(x)
        total = np.zeros((len(x), networks.widths[-1]))
        for at, fold in enumerate(folds):
            total[fold] += networks.predict(x[fold], member=at)
        self.outputs: Array = total / self._repeats
        self.costs: Array = np.full(len(folds), np.inf)
        for at in np.flatnonzero(history.status != "diverged").tolist():
            fold = folds[at]
            share = None if weights is None else weights[at, fold]
            self.costs[at] = fold_cost(networks._members[at], x[fold], y[fold], share)

    @property
    def mean(self) -> float:
        """Mean of the costs."""
        return float(self.costs.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the costs over the folds, with one less in the denominator.

        NaN if a fold diverged.
        """
        return float(self.costs.std(ddof=1)) if np.isfinite(self.costs).all() else math.nan

    def __repr__(self) -> str:
        diverged = int((self.history.status == "diverged").sum())
        note = f", {diverged} diverged" if diverged else ""
        cost = f"cost {self.mean:.4g} ± {self.std:.2g}"
        return f"CrossValidation({len(self.folds)} folds{note}: {cost})"

    def interval(self, X: Any, alpha: float = 0.1) -> tuple[Array, Array]:
        """Return intervals for the targets of new rows, by CV+.

        If the rows of the data and the new ones are exchangeable, an interval misses its target
        with a probability of at most 2 alpha, and in practice of about alpha (Barber et al.,
        Predictive inference with the jackknife+, 2021).

        Parameters
        ----------
        X : array_like, (M, n_0)
            New inputs.
        alpha : float
            In (0, 1).

        Returns
        -------
        low, high : ndarray, (M, n_L)
            Ends of the intervals, for each output by itself; infinite where alpha is too small for
            the number of rows.

        Raises
        ------
        ValueError
            An argument is not as described, the targets are labels, or there are several repeats.
        """
        share = as_real(alpha, "alpha", 0.0, 1.0, open_high=True)
        if share == 0:
            raise ValueError("alpha must be above 0")
        if self._y.dtype.kind in "iu" or self._repeats > 1:
            raise ValueError("interval needs targets that are numbers, and repeats=1")
        x = as_inputs(X, self.networks.widths[0], self.networks.dtype)
        residuals = np.abs(self._y - self.outputs)
        rows = max(1, _BLOCK // residuals.size)
        parts = [self._ends(x[at : at + rows], residuals, share) for at in range(0, len(x), rows)]
        low, high = (np.concatenate(each) for each in zip(*parts, strict=True))
        return low, high

    def _ends(self, x: Array, residuals: Array, alpha: float) -> tuple[Array, Array]:
        """Return the ends of the intervals of some rows."""
        n = len(residuals)
        low, high = math.floor(alpha * (n + 1)), math.ceil((1 - alpha) * (n + 1))
        centres = np.empty((len(x), *residuals.shape))
        for at, fold in enumerate(self.folds):
            centres[:, fold] = self.networks.predict(x, member=at)[:, None]
        ends = np.full((2, len(x), residuals.shape[1]), np.inf)
        ends[0] *= -1
        if low >= 1:
            ends[0] = np.partition(centres - residuals, low - 1, axis=1)[:, low - 1]
        if high <= n:
            ends[1] = np.partition(centres + residuals, high - 1, axis=1)[:, high - 1]
        return ends[0], ends[1]


def fold_cost(network: Model, x: Array, y: Array, sample_weight: Array | None) -> float:
    """Return the cost on some rows without the penalties on weights."""
    return network.cost(x, flat_labels(y), sample_weight) - penalties(network)


def penalties(network: Model) -> float:
    """Return what l1 and l2 add to the cost."""
    total = 0.0
    for w in network.weights if network.l1 or network.l2 else ():
        values = w.astype(np.float64)
        total += network.l2 / 2 * float((values**2).sum())
        total += network.l1 * float(np.abs(values).sum())
    return total


def cross_validate(
    network: Model,
    X: Any,
    y: Any,
    *,
    folds: int = 5,
    repeats: int = 1,
    stratify: bool | None = None,
    standardize: bool = True,
    seed: int = 0,
    epochs: int = 1,
    **training: Any,
) -> CrossValidation:
    """Train a network on all folds but one, for each fold, and evaluate it on that fold.

    All networks are trained in one call, side by side, as by `Networks.fit`. Nothing of X is
    copied for the training.

    Parameters
    ----------
    network : Network
        The pattern: its arguments make the networks, its parameters are not used. The seeds of the
        networks are its seed, its seed + 1, ….
    X, y
        As for `Network.fit`.
    folds : int
        Into how many parts the rows are divided, at least 2.
    repeats : int
        How often, in different ways.
    stratify : bool, optional
        Whether each fold has the same share of each class, which needs integers or booleans in one
        dimension as y. By default it has if y is such and the loss is a cross entropy.
    standardize : bool
        Whether inputs are scaled to mean 0 and standard deviation 1 of the rows that each network
        is trained on; otherwise the scaling is that of the pattern.
    seed : int
        What the division is keyed by.
    epochs : int
        Passes over the rows.
    **training
        Other arguments of `Networks.fit`: batch_size, optimizer, patience, shuffle, sample_weight,
        callbacks, progress, executor. Patience looks at the fold, whose cost is then too good.

    Returns
    -------
    CrossValidation
        Costs of the folds with their spread, the networks, and intervals for new rows.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> x = np.linspace(0, 3, 60)[:, None]
    >>> net = bp.Network([1, 8, 1], activation="tanh", seed=0)
    >>> cv = bp.cross_validate(net, x, np.sin(x), folds=5, epochs=200, optimizer=bp.Adam(0.02))
    >>> len(cv.costs), bool(cv.mean < 0.01)
    (5, True)
    >>> low, high = cv.interval(x, alpha=0.1)
    >>> bool(np.mean((low <= np.sin(x)) & (np.sin(x) <= high)) >= 0.8)
    True
    """
    if not isinstance(network, Model):
        raise TypeError(f"network must be a Network, got {network!r}")
    x = as_inputs(X, network.widths[0], network.dtype)
    targets = as_targets(y, len(x), network.widths[-1], network.loss, network.dtype)
    labels = labels_of(y, stratify, network.loss)
    key = as_count(seed, "seed", high=2**64 - 1)
    parts = make_folds(len(x), labels, folds, repeats, key)
    networks = _networks_like(network, len(parts))
    if as_flag(standardize, "standardize"):
        require_finite(x, "X", network.dtype)
        shifts, scales = zip(*(scaling_of(x, train) for train, _ in parts), strict=True)
        networks.set_scaling(np.stack(shifts), np.stack(scales))
    elif network.scaling is not None:
        networks.set_scaling(*network.scaling)
    train, test = ([part[side] for part in parts] for side in (0, 1))
    refused = sorted(training.keys() & {"rows", "validation_rows", "validation", "checkpoint"})
    if refused:
        raise ValueError(f"{refused[0]} is not an argument of cross_validate")
    flat = flat_labels(targets)
    history = networks.fit(x, flat, epochs=epochs, rows=train, validation_rows=test, **training)
    given = training.get("sample_weight")  # (N,), or a row for each network
    weights = None if given is None else np.broadcast_to(given, (len(parts), len(x)))
    return CrossValidation(networks, test, history, x, targets, weights)


def _networks_like(network: Model, n: int) -> Networks:
    """Return n untrained networks with the arguments of a pattern and consecutive seeds."""
    seeds = [(network.seed + at) % 2**64 for at in range(n)]
    rates = [list(network.dropout)] * n if network.dropout else 0.0
    own = {"n": n, "seed": seeds, "dropout": rates, "dropout_schedule": network.dropout_schedule}
    return Networks(**{**network._settings(), **own})
