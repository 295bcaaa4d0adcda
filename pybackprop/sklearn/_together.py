"""Several estimators fitted on rows of the same data, their networks side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._core import Array
from ..many import EpochsEnd, fit_many
from ..training.history import EpochEnd
from ._base import BaseMLP
from ._data import Rows
from ._solvers import Stochastic


class Together:
    """Fits of several estimators, each on some rows of X, that can be trained bit by bit.

    An estimator that cannot be trained beside others (lbfgs, or a fold without one of the classes)
    is fitted at once, by itself.

    Parameters
    ----------
    estimators : sequence of MLPClassifier or MLPRegressor
        Unfitted; all of one class.
    X, y : ndarray
        Dense inputs, and what `fit` takes as targets.
    rows : sequence of ndarray of int, or None
        The rows of each; None for all.
    weights : sequence of ndarray, (N,), or None
        Weights of all rows for each.

    Attributes
    ----------
    errors : dict of int to Exception
        Of the estimators whose fit failed.
    """

    def __init__(
        self,
        estimators: Sequence[BaseMLP],
        X: Array,
        y: Any,
        rows: Sequence[Array | None],
        weights: Sequence[Array | None],
    ) -> None:
        self.estimators = list(estimators)
        self.errors: dict[int, Exception] = {}
        self._x = X
        self._fits: dict[int, Stochastic] = {}
        self._rows: dict[int, Array | None] = {}
        self._weights: dict[int, Array | None] = {}
        self._targets: Array | None = None
        self._ended: set[int] = set()
        for at, (estimator, index, weight) in enumerate(
            zip(self.estimators, rows, weights, strict=True)
        ):
            try:
                self._begin(at, estimator, y, index, weight)
            except Exception as error:
                self.errors[at] = error

    def _begin(
        self, at: int, estimator: BaseMLP, y: Any, rows: Array | None, weight: Array | None
    ) -> None:
        """Make the network of one estimator, and note what it is trained on."""
        chosen = slice(None) if rows is None else rows
        index = np.arange(len(self._x)) if rows is None else rows
        own = None if weight is None else weight[chosen]
        fit = estimator._begin(self._x[chosen], y[chosen], own, (None, None, None), False)
        if not isinstance(fit, Stochastic) or not self._shares_targets(estimator, y, fit, index):
            fit.run()
            return
        fit.begin()
        training = fit.training
        assert training.numbers is not None
        # Fits on the same rows share one array of their numbers: a copy for each could take more
        # memory than X. None stands for weights of 1.
        every = len(training.numbers) == len(index)
        self._rows[at] = rows if every else index[training.numbers]
        self._weights[at] = None
        if training.weights is not None:
            self._weights[at] = weights = np.ones(len(self._x))
            weights[index[training.numbers]] = training.weights
        # Nothing of the rows is needed from here on.
        fit.training = Rows(None, np.empty(0))
        self._fits[at] = fit

    def _shares_targets(self, estimator: BaseMLP, y: Any, fit: Stochastic, index: Array) -> bool:
        """Return whether the targets for this network are those of the others."""
        if self._targets is None:
            try:
                whole = estimator._encode(y)
            except ValueError:  # a class that this estimator has not seen
                return False
            self._targets = whole
        rows = index[fit.training.numbers]
        part = self._targets[rows]
        return part.shape == fit.training.y.shape and bool((part == fit.training.y).all())

    def train(self, epochs: int, chosen: Sequence[int] | None = None) -> None:
        """Train estimators, all or some, for at most so many more epochs."""
        wanted = range(len(self.estimators)) if chosen is None else chosen
        going = [at for at in wanted if at in self._fits and at not in self._ended]
        for shuffle in (True, False):
            some = [at for at in going if self._fits[at].arguments.shuffle == shuffle]
            if some:
                self._train(some, epochs, shuffle)

    def _train(self, going: Sequence[int], epochs: int, shuffle: bool) -> None:
        """Train estimators that all shuffle rows, or all do not."""
        fits = [self._fits[at] for at in going]
        last = [fit.arguments.max_iter - fit.estimator.n_iter_ for fit in fits]
        limits = [min(epochs, left) for left in last]
        y = self._targets
        assert y is not None

        def end_epoch(end: EpochsEnd) -> Array:
            stop = np.zeros(len(fits), np.bool_)
            for at in np.flatnonzero(np.isfinite(end.cost)).tolist():
                fit = fits[at]
                rate = fit.optimizer._rate()
                figures = EpochEnd(
                    fit.estimator.n_iter_,
                    float(end.cost[at]),
                    None,
                    float(end.seconds[at]),
                    rate,
                    fit.network,
                    fit.optimizer,
                )
                stop[at] = fit.end_epoch(figures)
                if stop[at]:  # in the last epoch too, after which it counts as done
                    self._ended.add(going[at])
            return stop

        history = fit_many(
            [fit.network for fit in fits],
            self._x,
            y,
            optimizers=[fit.optimizer for fit in fits],
            epochs=limits,
            batch_size=[fit.batch_size for fit in fits],
            rows=[self._rows[at] for at in going],
            sample_weight=self._weights_of(going),
            shuffle=shuffle,
            callbacks=end_epoch,
        )
        for at, fit, status, done in zip(going, fits, history.status, history.epochs, strict=True):
            if status == "diverged":
                self._diverge(at, fit)
            if status != "done" or fit.estimator.n_iter_ >= fit.arguments.max_iter or not done:
                self._ended.add(at)

    def _weights_of(self, going: Sequence[int]) -> Array | None:
        """Return the weights of all rows for some fits, (n, N); None if no fit has any."""
        weights = [self._weights[at] for at in going]
        if all(each is None for each in weights):
            return None
        ones = np.ones(len(self._x))
        return np.stack([ones if each is None else each for each in weights])

    def _diverge(self, at: int, fit: Stochastic) -> None:
        try:
            fit.diverge(FloatingPointError("the cost is not finite"))
        except ValueError as error:
            self.errors[at] = error

    def end(self, warn: bool = True) -> None:
        """Put the best weights back where they are kept; say if some have not converged."""
        unfinished = 0
        for at, fit in self._fits.items():
            if at not in self.errors:
                fit.end()
                unfinished += fit.is_unfinished(fit.arguments.max_iter)
        if unfinished and warn:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations reached by {unfinished} of "
                f"{len(self.estimators)} networks, whose optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )
