"""A search over the parameters of an estimator, whose fits are trained side by side."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV, check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_X_y, indexable

from .._core import Array
from ..inputs import as_choice, as_count
from ..tuning import METHODS, make_brackets
from ._base import BaseMLP, _limited
from ._together import Together

# How many candidates are tried unless it is said, as by RandomizedSearchCV.
_CANDIDATES = 10


class MLPSearchCV(RandomizedSearchCV):  # type: ignore[misc]
    """Random search, successive halving or Hyperband for an `MLPClassifier` or `MLPRegressor`.

    Takes the place of scikit-learn's RandomizedSearchCV. All candidates and folds are trained in
    one process, side by side on all cores, and X is in memory once. With "random", every fit is
    what the estimator alone would do. With the other methods, max_iter is what a candidate may use
    at most, and candidates that stay in the search are trained on from where they are.

    Differences from RandomizedSearchCV:

    - The estimator is an `MLPClassifier` or `MLPRegressor`, not a Pipeline around one. X is dense.
    - `n_candidates` is the name of n_iter. There is no n_jobs: all cores are used, or as many as
      the estimator's `threads`. There are no pre_dispatch, verbose and return_train_score.
    - There is one score: `scoring` is no list or dict. An error in it ends the search.
    - `fit` takes X, y and groups, but no sample_weight.
    - If no candidate has a finite score, that is an error.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        The pattern.
    param_distributions : dict
        For each parameter, a list, or a distribution with a method ``rvs``. max_iter may be one of
        them with "random" only: the other methods choose it.
    n_candidates : int, optional
        How many are tried with "random" and "halving", by default 10; "hyperband" finds its own
        numbers.
    cv : int, splitter or iterable, optional
        As for RandomizedSearchCV.
    method : str
        random, halving or hyperband; see `pybackprop.search`.
    eta : int
        One candidate in eta is kept after each rung.
    scoring : str or callable, optional
        One score, by default that of the estimator.
    refit : bool or callable
        Whether an estimator with the best parameters is fitted on all rows. A function gets
        `cv_results_` and returns the index of the candidate to take as the best.
    random_state : int, RandomState or None
        Draws the candidates.
    error_score : float or "raise"
        The score of a fit that fails, by diverging for example; a FitFailedWarning tells of it. If
        all fits fail, or no candidate has a finite score, that is a ValueError.

    Attributes
    ----------
    cv_results_ : dict
        As for RandomizedSearchCV; with `n_iter`, the epochs that each candidate was allowed. With
        "halving" and "hyperband", ranks go by these first. Candidates without a finite score come
        last. Times are shares of the training of all.
    best_estimator_, best_score_, best_params_, best_index_, n_splits_, scorer_
        As for RandomizedSearchCV.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from pybackprop.sklearn import MLPClassifier, MLPSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> net = MLPClassifier(hidden_layer_sizes=(32,), max_iter=9, random_state=0)
    >>> space = {"learning_rate_init": [1e-5, 1e-2], "alpha": [1e-4, 1e-2]}
    >>> search = MLPSearchCV(net, space, n_candidates=4, cv=3, random_state=0)
    >>> search.set_params(method="halving").fit(X / 16, y).best_params_["learning_rate_init"]
    0.01
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_candidates: int | None = None,
        cv: Any = None,
        method: str = "random",
        eta: int = 3,
        scoring: Any = None,
        refit: Any = True,
        random_state: Any = None,
        error_score: Any = np.nan,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_candidates,
            cv=cv,
            scoring=scoring,
            refit=refit,
            random_state=random_state,
            error_score=error_score,
        )
        self.method, self.eta = method, eta

    @property
    def n_iter(self) -> int | None:
        """The name of n_candidates in RandomizedSearchCV."""
        return self.n_candidates

    @n_iter.setter
    def n_iter(self, value: int | None) -> None:
        self.n_candidates = value

    def fit(self, X: Any, y: Any = None, *, groups: Any = None, **params: Any) -> MLPSearchCV:
        """Search.

        Parameters
        ----------
        X : array_like, (N, n_features)
            Dense inputs.
        y : array_like
            Targets.
        groups : array_like, (N,), optional
            What a splitter such as GroupKFold divides by.
        """
        if params:
            raise TypeError(f"fit takes X, y and groups only, got {', '.join(params)}")
        if not isinstance(self.estimator, BaseMLP):
            raise TypeError(
                f"estimator must be an MLPClassifier or MLPRegressor, got {self.estimator!r}"
            )
        as_choice(self.method, "method", METHODS)
        given = self.param_distributions
        if self.method != "random" and any(
            "max_iter" in each for each in ([given] if isinstance(given, Mapping) else given)
        ):
            raise ValueError(
                f"param_distributions must not hold max_iter with method={self.method!r}, which "
                "chooses it; set that of the estimator, the most that a candidate may use"
            )
        self._check_choice()
        self.scorer_ = check_scoring(self.estimator, self.scoring)
        self.multimetric_ = False
        X, y, groups = indexable(X, y, groups)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(splitter.split(X, y, groups))
        self.n_splits_ = len(splits)
        names = getattr(X, "columns", None)
        x, targets = check_X_y(X, y, dtype="numeric", multi_output=True)
        random = check_random_state(self.random_state)
        most = as_count(self.estimator.max_iter, "max_iter", low=1)
        candidates: list[dict[str, Any]] = []
        figures: list[Any] = []
        errors: list[Exception] = []
        for rungs in make_brackets(self.method, self._count(), most, self.eta):
            drawn = ParameterSampler(self.param_distributions, rungs[0][0], random_state=random)
            chosen = list(drawn)
            candidates += chosen
            some, failed = self._run(chosen, rungs, x, targets, splits)
            figures, errors = figures + some, errors + failed
        _tell_of_failures(errors, len(candidates) * len(splits), self.error_score)
        results = _results(candidates, figures, self.method != "random")
        _check_finite(results["mean_test_score"])
        self.cv_results_ = results
        self.best_index_ = self._choose(results)
        self.best_score_ = self.cv_results_["mean_test_score"][self.best_index_]
        self.best_params_ = candidates[self.best_index_]
        if self.refit:
            began = time.perf_counter()
            self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_).fit(X, y)
            self.refit_time_ = time.perf_counter() - began
            if names is not None and hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _check_choice(self) -> None:
        """Refuse what candidates cannot be chosen by."""
        if not (self.scoring is None or isinstance(self.scoring, str) or callable(self.scoring)):
            raise TypeError(
                f"scoring must be one name or function, got {self.scoring!r}; MLPSearchCV goes by "
                "a single score"
            )
        if not (isinstance(self.refit, (bool, np.bool_)) or callable(self.refit)):
            raise TypeError(
                f"refit must be True, False or a function of cv_results_, got {self.refit!r}"
            )

    def _choose(self, results: dict[str, Any]) -> int:
        """Return the index of the best candidate, by rank or by `refit`."""
        if not callable(self.refit):
            return int(results["rank_test_score"].argmin())
        index = self.refit(results)
        if not isinstance(index, Integral):
            raise TypeError(f"refit must return the index of a candidate, got {index!r}")
        best, last = int(index), len(results["params"]) - 1
        if not 0 <= best <= last:
            raise IndexError(f"refit must return an index in 0 ... {last}, got {best}")
        return best

    def _count(self) -> int | None:
        """Return how many candidates are tried; None where the method finds its own numbers."""
        n = self.n_candidates
        if self.method != "hyperband":
            return _CANDIDATES if n is None else as_count(n, "n_candidates", low=1)
        if n is not None:
            raise ValueError(
                "n_candidates must be None with method='hyperband', which finds its own numbers, "
                f"got {n!r}"
            )
        return None

    def _run(
        self, chosen: list[dict[str, Any]], rungs: Any, x: Array, y: Array, splits: list[Any]
    ) -> tuple[list[Any], list[Exception]]:
        """Train candidates rung by rung; return epochs, scores and times of each, and errors."""
        n = len(splits)
        estimators = [
            clone(self.estimator).set_params(**params) for params in chosen for _ in splits
        ]
        # One array for each fold, which the candidates share.
        rows = [np.arange(len(x))[train] for train, _ in splits] * len(chosen)
        began = time.perf_counter()
        scores = np.full((len(chosen), n), np.nan)
        reached = np.zeros(len(chosen), np.int64)
        seconds = 0.0
        with _limited(estimators[0].threads):
            group = Together(estimators, x, y, rows, [None] * len(rows))
            alive, done = list(range(len(chosen))), 0
            limits = [
                each.max_iter if isinstance(each.max_iter, Integral) else 0
                for each in estimators[::n]
            ]
            if self.method == "random":
                rungs = [(len(chosen), max(limits))]
            for count, epochs in rungs:
                if done:
                    order = np.nan_to_num(scores.mean(axis=1), nan=-np.inf)
                    alive = sorted(alive, key=lambda at: -order[at])[:count]
                group.train(epochs - done, [at * n + fold for at in alive for fold in range(n)])
                done = epochs
                if epochs == rungs[-1][1]:
                    group.end(warn=False)
                mark = time.perf_counter()
                for at in alive:
                    scores[at] = self._scores(group, at, x, y, splits)
                    reached[at] = min(epochs, limits[at])
                seconds += time.perf_counter() - mark
        spent = (time.perf_counter() - began - seconds) / max(int(reached.sum()) * n, 1)
        each = seconds / (len(chosen) * n)
        figures = [
            (int(most), own, np.full(n, spent * most), np.full(n, each))
            for most, own in zip(reached, scores, strict=True)
        ]
        return figures, list(group.errors.values())

    def _scores(self, group: Together, at: int, x: Array, y: Array, splits: list[Any]) -> Array:
        """Return the score of a candidate on each fold."""
        found = np.full(len(splits), np.nan)
        for fold, (_, test) in enumerate(splits):
            number = at * len(splits) + fold
            error = group.errors.get(number)
            if error is not None and self.error_score == "raise":
                raise error
            if error is not None:
                found[fold] = self.error_score
            else:
                score = self.scorer_(group.estimators[number], x[test], y[test])
                try:
                    found[fold] = float(score)
                except (TypeError, ValueError) as why:
                    raise ValueError(f"scoring must return a number, got {score!r}") from why
        return found


def _tell_of_failures(errors: list[Exception], fits: int, error_score: Any) -> None:
    """Warn that fits have failed, or raise if all have, as scikit-learn does."""
    if not errors:
        return
    counts = Counter(f"{type(error).__name__}: {error}" for error in errors)
    why = "\n".join(f"{count} failed with {text}" for text, count in counts.items())
    if len(errors) == fits:
        raise ValueError(f"All the {fits} fits failed:\n{why}")
    warnings.warn(
        f"{len(errors)} of {fits} fits failed; their score is set to {error_score}. With "
        f"error_score='raise' the first one is raised.\n{why}",
        FitFailedWarning,
        stacklevel=3,
    )


def _check_finite(scores: Array) -> None:
    """Warn of mean scores that are not finite; refuse to choose if none is finite."""
    finite = np.isfinite(scores)
    if not finite.any():
        raise ValueError(f"no candidate has a finite score: the mean test scores are {scores}")
    if not finite.all():
        warnings.warn(
            f"One or more of the test scores are non-finite: {scores}", UserWarning, stacklevel=3
        )


def _results(
    candidates: list[dict[str, Any]], figures: list[Any], by_epochs: bool
) -> dict[str, Any]:
    """Return scikit-learn's table of results."""
    epochs = np.array([each[0] for each in figures])
    scores = np.array([each[1] for each in figures])
    results: dict[str, Any] = {}
    for name, column in (("fit_time", 2), ("score_time", 3)):
        times = np.array([each[column] for each in figures])
        results[f"mean_{name}"], results[f"std_{name}"] = times.mean(axis=1), times.std(axis=1)
    for name in sorted({name for params in candidates for name in params}):
        values = np.ma.MaskedArray(np.empty(len(candidates), object), mask=True)
        for at, params in enumerate(candidates):
            if name in params:
                values[at] = params[name]
        results[f"param_{name}"] = values
    results["params"] = candidates
    for fold in range(scores.shape[1]):
        results[f"split{fold}_test_score"] = scores[:, fold]
    results["mean_test_score"] = scores.mean(axis=1)
    results["std_test_score"] = scores.std(axis=1)
    results["rank_test_score"] = _rank(scores.mean(axis=1), epochs * by_epochs)
    results["n_iter"] = epochs
    return results


def _rank(scores: Array, epochs: Array) -> Array:
    """Return ranks from 1: any finite score is better than none, then more epochs count."""
    keys = [
        (not np.isfinite(score), -most, -score if np.isfinite(score) else 0.0)
        for score, most in zip(scores, epochs, strict=True)
    ]
    places = {key: at for at, key in enumerate(sorted(set(keys)))}
    ranks: Array = rankdata([places[key] for key in keys], "min").astype(np.int32)
    return ranks
