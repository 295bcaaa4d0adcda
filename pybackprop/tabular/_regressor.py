"""The regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import assert_all_finite

from .. import scores
from .._core import Array
from ..recipes import Recipe, constant_of
from ._base import BaseTabular
from ._folds import count_missing

# The squares of targets, or of their differences, must not overflow or vanish.
_MOST, _LEAST = 1e140, 1e-140


def _as_numbers(values: Array) -> Array:
    """Return texts or objects as float64; integers that it cannot hold are infinite."""
    numbers = np.empty(len(values))
    for at, value in enumerate(values.tolist()):
        try:
            if isinstance(value, (np.datetime64, np.timedelta64)):  # float() would take them
                raise TypeError
            numbers[at] = float(value)
        except OverflowError:
            numbers[at] = np.inf if value > 0 else -np.inf
        except (TypeError, ValueError):
            raise ValueError(
                f"y must hold numbers, but holds {value!r}; classes are for TabularClassifier"
            ) from None
    return numbers


def _check_missing(missing: int, rows: int) -> None:
    """Refuse targets some of which are missing."""
    if missing:
        raise ValueError(
            f"y must hold a number for each row, but {missing} of {rows} are missing; leave these "
            "rows out"
        )


class _Units(NamedTuple):
    """Mean, deviation and range of the targets that a network was trained on."""

    mean: float
    std: float
    low: float
    high: float


class TabularRegressor(RegressorMixin, BaseTabular):  # type: ignore[misc]
    """Predicts a number from a table as it comes, by one network for each fold of its rows.

    As `TabularClassifier`, with these differences: targets are standardised by the rows that a
    network is trained on, its outputs are clipped to the range of their targets, and the members'
    predictions are averaged.

    Parameters
    ----------
    recipe, n_folds, refit, time_limit, categorical, ignore, random_state
        As for `TabularClassifier`.
    metric : {"rmse", "mae"}, default="rmse"
        The score that decides which epoch is the best. Both recipes minimise squared errors.
    hidden_layer_sizes, activation, lr, epochs, batch_size, patience, dropout
        Constants in place of the recipe's, where they are not None.

    Attributes
    ----------
    folds_ : list of pairs of ndarray
        As for `TabularClassifier`.
    networks_ : list of Network
        The members, which take what their `encodings_` give and predict standardised targets.
    encodings_ : list of pybackprop.datasets.Encoding
        What each member does with the columns.
    oof_prediction_ : ndarray, (N,)
        The prediction of each row from the member that was not trained on it; NaN where there is
        none.
    report_ : dict
        As for `TabularClassifier`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from pybackprop.tabular import TabularRegressor
    >>> X = np.linspace(-3, 3, 120)[:, None]
    >>> model = TabularRegressor(n_folds=3, epochs=40, random_state=0).fit(X, 100 + np.sin(X[:, 0]))
    >>> bool(np.abs(model.predict([[0.0], [1.5]]) - [100, 101]).max() < 0.2)
    True
    """

    _of_classes = False
    _metrics = ("rmse", "mae")
    oof_prediction_: Array

    def __init__(
        self,
        recipe: str = "realmlp-s",
        *,
        n_folds: int = 5,
        metric: str = "rmse",
        refit: bool = False,
        time_limit: float | None = None,
        categorical: str | Sequence[str] = (),
        ignore: str | Sequence[str] = (),
        hidden_layer_sizes: Any = None,
        activation: str | None = None,
        lr: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        patience: int | None = None,
        dropout: float | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            recipe,
            n_folds=n_folds,
            metric=metric,
            refit=refit,
            time_limit=time_limit,
            categorical=categorical,
            ignore=ignore,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            lr=lr,
            epochs=epochs,
            batch_size=batch_size,
            patience=patience,
            dropout=dropout,
            random_state=random_state,
        )

    def fit(self, X: Any, y: Any, *, groups: Any = None, time: Any = None) -> TabularRegressor:
        """Train a network for each fold.

        Parameters
        ----------
        X, groups, time
            As for `TabularClassifier.fit`.
        y : array_like, (N,)
            Numbers.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        """
        with self._unchanged_on_failure():
            inputs = self._inputs(X, reset=True)
            self._fit(X, inputs, self._numbers(X, y), 1, groups, time)
        return self

    def _numbers(self, X: Any, y: Any) -> Array:
        """Return the targets, float64, whose squares can be added up."""
        given = self._checked_y(X, y)
        kind = given.dtype.kind
        if kind in "mM":
            raise ValueError(f"y must hold numbers, got {given.dtype}; make numbers of the times")
        if kind in "fc":
            assert_all_finite(given, input_name="y")
        elif kind == "O":
            _check_missing(count_missing(given), len(given))
        targets: Array = given.astype(np.float64) if kind in "fiub" else _as_numbers(given)
        _check_missing(int(np.isnan(targets).sum()), len(targets))
        low, high = float(targets.min()), float(targets.max())
        if max(-low, high) > _MOST or low < high <= low + _LEAST:
            raise ValueError(
                f"y must hold numbers within {_MOST:g} of 0 that differ by more than {_LEAST:g}, "
                f"got {low:g} to {high:g}; multiply them by a power of ten"
            )
        return targets

    def predict(self, X: Any) -> Array:
        """Return the mean of the members' predictions, (N,)."""
        return self._outputs(X)[:, 0]

    # ---- what the common part asks for ----

    def _learnt(self, y: Array) -> _Units:
        varies = np.ptp(y) > _LEAST
        return _Units(
            float(y.mean()), float(y.std()) if varies else 1.0, float(y.min()), float(y.max())
        )

    def _targets(self, y: Array, rows: Array) -> Array:
        units = self._learnt(y[rows])
        scaled: Array = (y - units.mean) / units.std
        return scaled

    def _constant(self, targets: Array, recipe: Recipe) -> Array:
        return constant_of(targets, None)

    def _in_units(self, outputs: Array, learnt: Any) -> Array:
        raw = outputs.astype(np.float64) * learnt.std + learnt.mean
        clipped: Array = np.clip(raw, learnt.low, learnt.high)
        return clipped

    def _score_of(self, metric: str, predicted: Array, y: Array) -> float:
        return -scores.scores_of_numbers(predicted, y)[metric]

    def _set_out_of_fold(self, outputs: Array) -> None:
        self.oof_prediction_ = outputs[:, 0]
