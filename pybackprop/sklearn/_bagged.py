"""Bagging: estimators fitted on resampled rows, all in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._core import Array
from ..inputs import as_count, as_flag, as_weights
from ._base import BaseMLP, _limited
from ._classifier import MLPClassifier
from ._regressor import MLPRegressor
from ._together import Together


class _BaggedMLP(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """The common part of the bagged estimators; not for direct use."""

    _kind: type[BaseMLP]
    estimators_: list[BaseMLP]
    oob_score_: float

    def __init__(
        self,
        estimator: Any = None,
        n_members: int = 10,
        *,
        bootstrap: bool = True,
        oob_score: bool = False,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.random_state = random_state

    def _pattern(self) -> BaseMLP:
        """Return the estimator that the members are clones of."""
        pattern = self._kind() if self.estimator is None else self.estimator
        if not isinstance(pattern, self._kind):
            raise TypeError(f"estimator must be an {self._kind.__name__}, got {pattern!r}")
        return pattern

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Array:
        """Fit all members; return how often each row was drawn for each, (n_members, N)."""
        n = as_count(self.n_members, "n_members", low=1)
        draws = as_flag(self.bootstrap, "bootstrap")
        if as_flag(self.oob_score, "oob_score") and not draws:
            raise ValueError("oob_score needs bootstrap=True")
        if sample_weight is not None and not np.any(np.asarray(sample_weight)):
            raise ValueError("sample_weight must have an entry above 0, but all are zero")
        given = as_weights(sample_weight, len(X))
        random = check_random_state(self.random_state)
        seeds = random.randint(2**31 - 1, size=n)
        members = [clone(self._pattern()).set_params(random_state=int(seed)) for seed in seeds]
        share = np.full(len(X), 1.0) if given is None else (given > 0).astype(float)
        counts = np.ones((n, len(X)), np.int64)
        for seed, own in zip(seeds if draws else (), counts, strict=draws):
            own[:] = np.random.RandomState(seed).multinomial(len(X), share / share.sum())
        weights = counts if given is None else counts * given
        with _limited(members[0].threads):
            fit = Together(members, X, y, [None] * n, list(weights.astype(np.float64)))
            fit.train(max(member.max_iter for member in members))
            fit.end()
        for error in fit.errors.values():
            raise error
        self.estimators_ = members
        return counts

    def _outputs(self, X: Any) -> Array:
        """Return what each member predicts, (n_members, N, …)."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype="numeric", reset=False)
        return np.stack([self._of_member(member, x) for member in self.estimators_])

    def _of_member(self, member: Any, x: Array) -> Array:
        raise NotImplementedError

    def _out_of_bag(
        self, X: Array, counts: Array, sample_weight: Any
    ) -> tuple[Array, Array, Array | None]:
        """Return the mean prediction of the members that have not drawn a row.

        Also return which rows are scored, and their weights: those that some member has not drawn,
        but none of weight 0, which no member could draw.
        """
        weights = as_weights(sample_weight, len(X))
        some = (counts == 0).any(axis=0)
        if weights is not None:
            some &= weights > 0
        if not some.any():
            raise ValueError(
                "oob_score needs a row out of bag, but every row was drawn by every "
                "member; use more members"
            )
        outputs = np.stack([self._of_member(member, X) for member in self.estimators_])
        out = counts == 0
        seen = out.reshape(out.shape + (1,) * (outputs.ndim - 2))
        n = seen.sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = (outputs * seen).sum(axis=0, dtype=np.float64) / n
        return mean, some, None if weights is None else weights[some]


class BaggedMLPClassifier(ClassifierMixin, _BaggedMLP):  # type: ignore[misc]
    """Several `MLPClassifier` on resampled rows, trained side by side; averages probabilities.

    Parameters
    ----------
    estimator : MLPClassifier, optional
        The pattern; each member is a clone of it with a random state of its own.
    n_members : int
        How many.
    bootstrap : bool
        Whether each member is trained on N rows drawn with replacement; otherwise on all rows, so
        that members differ by their initial weights and the order of rows (a deep ensemble).
    oob_score : bool
        Whether the accuracy on the rows that members have not drawn is estimated.
    random_state : int, RandomState or None
        Seeds members and draws.

    Attributes
    ----------
    estimators_ : list of MLPClassifier
        The members.
    classes_ : ndarray
        The class labels.
    oob_score_ : float
        Accuracy of `oob_decision_function_`, weighted by sample_weight, with oob_score=True.
    oob_decision_function_ : ndarray, (N, n_classes)
        Mean probabilities from the members that have not drawn the row; NaN where there is none.
    """

    _kind = MLPClassifier

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BaggedMLPClassifier:
        """Fit all members.

        Parameters
        ----------
        X : array_like, (N, n_features)
            Inputs.
        y : array_like, (N,)
            Class labels.
        sample_weight : array_like, (N,), optional
            Weights >= 0 of the rows.
        """
        X, y = validate_data(self, X, y, dtype="numeric")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        counts = self._fit(X, y, sample_weight)
        if self.oob_score:
            self.oob_decision_function_, some, weights = self._out_of_bag(X, counts, sample_weight)
            best = self.oob_decision_function_[some].argmax(axis=1)
            self.oob_score_ = float(accuracy_score(codes[some], best, sample_weight=weights))
        return self

    def _of_member(self, member: Any, x: Array) -> Array:
        """Return probabilities of all classes; a member may not have drawn some of them."""
        found = np.zeros((len(x), len(self.classes_)))
        own = np.searchsorted(self.classes_, member.classes_)
        found[:, own] = member.predict_proba(x) if len(own) > 1 else 1.0
        return found

    def predict_proba(self, X: Any) -> Array:
        """Return the mean of the members' probabilities, (N, n_classes)."""
        mean: Array = self._outputs(X).mean(axis=0)
        return mean

    def predict(self, X: Any) -> Array:
        """Return the class labels, (N,)."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels


class BaggedMLPRegressor(RegressorMixin, _BaggedMLP):  # type: ignore[misc]
    """Several `MLPRegressor` on resampled rows, trained side by side; their predictions averaged.

    Parameters
    ----------
    estimator : MLPRegressor, optional
        The pattern; each member is a clone of it with a random state of its own.
    n_members, bootstrap, random_state
        As for `BaggedMLPClassifier`.
    oob_score : bool
        Whether R² on the rows that members have not drawn is estimated.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
        The members.
    oob_score_ : float
        R² of `oob_prediction_`, weighted by sample_weight, with oob_score=True.
    oob_prediction_ : ndarray, (N,) or (N, n_outputs)
        Mean prediction of the members that have not drawn the row; NaN where there is none.
    """

    _kind = MLPRegressor

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BaggedMLPRegressor:
        """Fit all members.

        Parameters
        ----------
        X : array_like, (N, n_features)
            Inputs.
        y : array_like, (N,) or (N, n_outputs)
            Targets.
        sample_weight : array_like, (N,), optional
            Weights >= 0 of the rows.
        """
        X, y = validate_data(self, X, y, dtype="numeric", multi_output=True, y_numeric=True)
        counts = self._fit(X, y, sample_weight)
        if self.oob_score:
            self.oob_prediction_, some, weights = self._out_of_bag(X, counts, sample_weight)
            outputs = self.oob_prediction_[some]
            self.oob_score_ = float(r2_score(y[some], outputs, sample_weight=weights))
        return self

    def _of_member(self, member: Any, x: Array) -> Array:
        found: Array = member.predict(x)
        return found

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean of the members' predictions.

        Parameters
        ----------
        X : array_like, (N, n_features)
            Inputs.
        return_std : bool
            Whether to return their standard deviation too, with n_members - 1 in the denominator.

        Returns
        -------
        ndarray, (N,) or (N, n_outputs); or a pair of them
        """
        outputs = self._outputs(X)
        if not return_std:
            return outputs.mean(axis=0)
        std = outputs.std(axis=0, ddof=1) if len(outputs) > 1 else np.zeros(outputs.shape[1:])
        return outputs.mean(axis=0), std
