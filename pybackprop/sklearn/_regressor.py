"""The regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from .._core import Array
from ..inputs import as_choice, as_real
from ._base import BaseMLP
from ._objectives import REGRESSION, Objective, regression


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multilayer perceptron for regression, with scikit-learn's interface.

    Takes the place of `sklearn.neural_network.MLPRegressor`, with the differences that
    `MLPClassifier` lists, and two more:

    - loss_ is what is minimised, a sum over outputs. scikit-learn's loss_ averages the squared
      error over outputs, but its gradient does not.
    - loss="poisson" refuses negative targets, for which the Poisson deviance is undefined;
      scikit-learn takes them.

    Parameters
    ----------
    loss : str or callable, default="squared_error"
        Loss of an example, summed over outputs, with target y and prediction p:

        - squared_error, (p - y)² / 2;
        - poisson, half the Poisson deviance y log(y / p) - y + p, where p = exp(output) and
          y >= 0;
        - absolute_error (or mae), |p - y|, which predicts medians;
        - huber, (p - y)² / 2 up to an error of 1, |p - y| - 1 / 2 above;
        - quantile, max(q (y - p), (q - 1) (y - p)), which predicts q-quantiles;
        - a function, as `pybackprop.Network` takes it.
    hidden_layer_sizes, activation, …, max_fun
        As for `MLPClassifier`.
    quantile : float, default=0.5
        q of the quantile loss, in (0, 1).
    dropout, dtype, precision, callbacks, threads
        As for `MLPClassifier`.

    Attributes
    ----------
    validation_scores_, best_validation_score_
        R², the coefficient of determination, averaged over outputs.
    coefs_, intercepts_, loss_, …, network_
        As for `MLPClassifier`; there is no classes_.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from pybackprop.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = MLPRegressor(hidden_layer_sizes=10, solver="lbfgs", alpha=10, random_state=0)
    >>> make_pipeline(StandardScaler(), net).fit(X, y).score(X, y) > 0.5
    True
    """

    _y_numeric = True
    loss: Any
    quantile: Any

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        quantile: float = 0.5,
        dropout: Any = 0.0,
        dtype: Any = "auto",
        precision: str = "float32",
        callbacks: Any = (),
        threads: int | None = None,
    ) -> None:
        self._keep(locals())

    # ---- targets ----

    def _check_targets(self, y: Any, incremental: bool) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return self._encode(y)

    def _encode(self, y: Any) -> Array:
        targets: Array = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if self.loss == "poisson" and targets.min() < 0:
            raise ValueError(f"y must be >= 0 for loss='poisson', got {targets.min()}")
        return targets

    def _count_outputs(self, targets: Array) -> int:
        return int(targets.shape[1])

    def _objective(self) -> Objective:
        if not callable(self.loss):
            as_choice(self.loss, "loss", REGRESSION)
        quantile = as_real(self.quantile, "quantile", 0.0, 1.0, open_high=True)
        if quantile == 0:
            raise ValueError("quantile must be in (0, 1), got 0")
        return regression(self.loss, quantile, self.n_outputs_)

    def _predictions(self, outputs: Array) -> Array:
        """Return predictions from the network's outputs."""
        return np.exp(outputs) if self.loss == "poisson" else outputs

    def _score_outputs(self, outputs: Array, targets: Array, sample_weight: Array | None) -> float:
        predictions = self._predictions(outputs).astype(np.float64)
        mean = np.average(targets, axis=0, weights=sample_weight)
        weights = np.ones(len(targets)) if sample_weight is None else sample_weight
        left = weights @ (targets - predictions) ** 2
        total = weights @ (targets - mean) ** 2
        # As in scikit-learn's r2_score, constant targets score 1 if they are met, else 0.
        score = np.where(left > 0, 0.0, 1.0)
        np.divide(left, total, out=left, where=total > 0)
        return float(np.where(total > 0, 1.0 - left, score).mean())

    # ---- the interface ----

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """Train on minibatches, or by L-BFGS.

        Parameters
        ----------
        X : array_like or sparse matrix, (N, n_features)
            Inputs.
        y : array_like, (N,) or (N, n_outputs)
            Targets.
        sample_weight : array_like, (N,), optional
            Weights >= 0 of the examples.
        X_val, y_val, sample_weight_val : array_like, optional
            Validation data for sgd and adam. With early stopping they replace the held-out part;
            without it, the score and the loss on them are recorded. In a Pipeline,
            `transform_input=["X_val"]` makes X_val arrive here transformed.

        Returns
        -------
        MLPRegressor
            This estimator.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=False)
        return self

    @available_if(lambda self: self._check_solver())  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """Train for one epoch over the given rows, for solver sgd or adam.

        With early stopping, the score on X_val, or else on validation_fraction of the rows of each
        call, is recorded. `converged_` says when it has stopped improving; the best weights are
        restored at that point.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As for `fit`.

        Returns
        -------
        MLPRegressor
            This estimator.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Return the predictions.

        Parameters
        ----------
        X : array_like or sparse matrix, (N, n_features)
            Inputs.

        Returns
        -------
        ndarray, (N,) or (N, n_outputs)
            The predictions, of the network's type.
        """
        predictions = self._predictions(self._outputs(X))
        return predictions.ravel() if self.n_outputs_ == 1 else predictions
