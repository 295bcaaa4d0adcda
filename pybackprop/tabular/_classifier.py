"""The classifier."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets

from .. import scores
from .._core import Array
from ..inputs import as_real
from ..recipes import Recipe, constant_of
from ._base import BaseTabular
from ._folds import Fold, count_missing

_OF_PROBABILITIES = {"log_loss": scores.log_loss, "auc": scores.auc, "brier": scores.brier}
_OF_LABELS = {
    "accuracy": scores.accuracy,
    "balanced_accuracy": scores.balanced_accuracy,
    "f1": scores.f1,
}


class TabularClassifier(ClassifierMixin, BaseTabular):  # type: ignore[misc]
    """Predicts classes from a table as it comes, by one network for each fold of its rows.

    A fold's network is trained on the other folds and validated on its own after every epoch; the
    parameters of the best epoch are kept. The probabilities of all networks are averaged.
    What a column becomes, and its scale, is learnt from the rows that the network is trained on.
    The networks are trained side by side, in turn only where their inputs take more than 512 MiB.

    Parameters
    ----------
    recipe : {"realmlp-s", "plain"}, default="realmlp-s"
        The constants of the network and its training: see docs/tables.md.
    n_folds : int, default=5
        Folds, each of which has about the same share of every class. With 1, a fifth of the rows
        is held out once.
    metric : str, default="log_loss"
        The score that decides which epoch is the best: log_loss, accuracy, auc, brier,
        balanced_accuracy or f1. For accuracy, `realmlp-s` smooths labels by 0.1,
        for the others by 0.01.
    refit : bool, default=False
        Whether the networks that predict are trained anew on all rows, for the number of epochs
        that was the best for all folds together. They differ by their seeds.
    time_limit : float or None, default=None
        Seconds after which training ends with the epoch, and the best epoch so far is kept. The
        learning rate does not fall earlier because of it: to train for less, give `epochs`. A
        refit that does not come to its end is left out.
    categorical, ignore : str or sequence of str, default=()
        Names of columns whose numbers or dates stand for categories, and of those to leave out.
    hidden_layer_sizes, activation, lr, epochs, batch_size, patience, dropout, label_smoothing
        Constants in place of the recipe's, where they are not None; `lr` is the highest learning
        rate.
    random_state : int, RandomState or None, default=None
        Keys the folds, the initial weights, the order of rows and dropout. The results are the same
        for any number of threads.

    Attributes
    ----------
    classes_ : ndarray
        The class labels.
    folds_ : list of pairs of ndarray
        The numbers of the rows that each member is trained on, and of those that validate it.
    networks_ : list of Network
        The members, which take what their `encodings_` give.
    encodings_ : list of pybackprop.datasets.Encoding
        What each member does with the columns.
    oof_proba_ : ndarray, (N, n_classes)
        Probabilities of each row from the member that was not trained on it; NaN where there is
        none.
    report_ : dict
        recipe, metric, score (the mean over the members on their validation rows), columns (name,
        kind, inputs and why, of the first member), members (rows, validation_rows, inputs, epochs,
        best_epoch, score, scores, status), refit_epochs. The first of the scores is that of the
        best constant, which the network is at first, and the others follow each epoch.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from pybackprop.tabular import TabularClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = np.array([rng.normal(size=90), ["sea", ""] * 45], dtype=object).T
    >>> y = np.where((X[:, 0] > 0) == (X[:, 1] == "sea"), "dear", "cheap")
    >>> clf = TabularClassifier(n_folds=3, epochs=20, random_state=0).fit(X, y)
    >>> [(each["kind"], each["inputs"]) for each in clf.report_["columns"]]
    [('number', 1), ('category', 2)]
    >>> clf.oof_proba_.shape, bool((clf.predict(X) == y).mean() > 0.9)
    ((90, 2), True)
    """

    _of_classes = True
    _metrics = (*_OF_PROBABILITIES, *_OF_LABELS)
    classes_: Array
    oof_proba_: Array

    def __init__(
        self,
        recipe: str = "realmlp-s",
        *,
        n_folds: int = 5,
        metric: str = "log_loss",
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
        label_smoothing: float | None = None,
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
        self.label_smoothing = label_smoothing

    def fit(self, X: Any, y: Any, *, groups: Any = None, time: Any = None) -> TabularClassifier:
        """Train a network for each fold.

        Parameters
        ----------
        X : DataFrame, Table or array_like, (N, n_features)
            Of pandas, polars, Arrow or NumPy. NaN, None and texts such as ``NA`` are missing.
        y : array_like, (N,)
            Class labels.
        groups : str or array_like, (N,), optional
            A column of X, or values: rows with one value stay in one fold. A column remains an
            input unless it is ignored.
        time : str or array_like, (N,), optional
            A column of X, or values that can be sorted: all members are validated on the last
            fifth of the rows by time and trained on those before, and differ by their seeds. A
            column remains an input unless it is ignored.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        """
        with self._unchanged_on_failure():
            inputs = self._inputs(X, reset=True)
            self.classes_, codes = np.unique(self._labels(X, y), return_inverse=True)
            n_classes = len(self.classes_)
            if n_classes < 2:
                raise ValueError(
                    f"y must have two classes at least, got one class: {str(self.classes_[0])!r}"
                )
            self._fit(X, inputs, codes.reshape(-1).astype(np.int64), n_classes, groups, time)
        return self

    def _labels(self, X: Any, y: Any) -> Array:
        labels: Array = self._checked_y(X, y)
        if labels.dtype.kind in "fc":
            assert_all_finite(labels, input_name="y")
        elif labels.dtype.kind == "O":
            missing = count_missing(labels)
            if missing:
                raise ValueError(
                    f"y must hold a class for each row, but {missing} of {len(labels)} are "
                    "missing; leave these rows out"
                )
        check_classification_targets(labels)
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return the mean of the members' probabilities, (N, n_classes)."""
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """Return the likeliest class labels, (N,)."""
        best = self._outputs(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    # ---- what the common part asks for ----

    def _more_constants(self) -> dict[str, Any]:
        if self.label_smoothing is None:
            return {}
        share = as_real(self.label_smoothing, "label_smoothing", 0.0, 1.0)
        return {"label_smoothing": share}

    def _targets(self, y: Array, rows: Array) -> Array:
        return y

    def _constant(self, targets: Array, recipe: Recipe) -> Array:
        return constant_of(targets, len(self.classes_), recipe.label_smoothing)

    def _in_units(self, outputs: Array, learnt: Any) -> Array:
        found: Array = scores.probabilities(outputs)
        return found

    def _score_of(self, metric: str, predicted: Array, y: Array) -> float:
        score: Any = (_OF_PROBABILITIES | _OF_LABELS)[metric]
        value = float(score(predicted, y))
        return -value if metric in scores.FALLING else value

    def _check_folds(self, metric: str, y: Array, folds: Sequence[Fold]) -> None:
        for at, fold in enumerate(folds):
            if metric == "auc" and len(np.unique(y[fold.held])) == 1:
                raise ValueError(
                    f"metric='auc' is not defined on fold {at}: its {len(fold.held)} validation "
                    f"rows are all of class {str(self.classes_[y[fold.held[0]]])!r}; use "
                    "metric='log_loss' or fewer folds"
                )
        n = len(self.classes_)
        counts = np.bincount(y, minlength=n)
        seen = np.all([np.bincount(y[fold.rows], minlength=n) > 0 for fold in folds], axis=0)
        if not seen.all():
            rare = int(np.where(seen, len(y), counts).argmin())
            warnings.warn(
                "the networks of some folds are trained on no row of class "
                f"{str(self.classes_[rare])!r}, of which there are {counts[rare]}",
                UserWarning,
                stacklevel=4,
            )

    def _set_out_of_fold(self, outputs: Array) -> None:
        self.oof_proba_ = outputs
