"""What both estimators have in common."""

from __future__ import annotations

import os
import time as clock
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .._core import ACTIVATIONS, Array
from ..inputs import as_choice, as_count, as_flag, as_real, as_texts
from ..network import Network
from ..recipes import Recipe, check_recipe, recipe_of
from ..scores import FALLING
from ..tables import Encoding, Inputs, is_frame
from ._folds import Fold, codes_of, folds_of, latest
from ._members import Member, best_together, train

_HIDDEN = tuple(name for name in ACTIVATIONS if name != "softmax")


class BaseTabular(BaseEstimator):  # type: ignore[misc]
    """The common part of `TabularClassifier` and `TabularRegressor`; not for direct use."""

    _metrics: tuple[str, ...]
    recipe: Any
    n_folds: Any
    metric: Any
    random_state: Any
    n_features_in_: int
    folds_: list[tuple[Array, ...]]
    networks_: list[Network]
    encodings_: list[Encoding]
    report_: dict[str, Any]

    def __init__(
        self,
        recipe: str = "realmlp-s",
        *,
        n_folds: int = 5,
        metric: Any = None,
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
        self.recipe = recipe
        self.n_folds = n_folds
        self.metric = metric
        self.refit = refit
        self.time_limit = time_limit
        self.categorical = categorical
        self.ignore = ignore
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.dropout = dropout
        self.random_state = random_state

    # ---- what a subclass adds ----

    _of_classes: bool

    def _targets(self, y: Array, rows: Array) -> Array:
        """Return the targets of all rows as the loss takes them, given those to learn from."""
        raise NotImplementedError

    def _constant(self, targets: Array, recipe: Recipe) -> Array:
        """Return the biases of the last layer to begin with."""
        raise NotImplementedError

    def _learnt(self, y: Array) -> Any:
        """Return what predicting needs of the targets that a network was trained on."""
        return None

    def _in_units(self, outputs: Array, learnt: Any) -> Array:
        """Return outputs of a network in the units of the targets, (N, n_outputs) float64."""
        raise NotImplementedError

    def _set_out_of_fold(self, outputs: Array) -> None:
        """Set the attribute with the predictions of the validation rows."""
        raise NotImplementedError

    def _score_of(self, metric: str, predicted: Array, y: Array) -> float:
        """Return a score, the larger the better."""
        raise NotImplementedError

    # ---- what it is ----

    def __sklearn_is_fitted__(self) -> bool:
        return "networks_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    # ---- checking ----

    def _inputs(self, X: Any, reset: bool) -> Inputs:
        """Return the columns of X, checked."""
        if hasattr(X, "collect") and not hasattr(X, "__len__"):
            raise TypeError(
                f"X must be a table in memory, got a {type(X).__name__}; pass X.collect()"
            )
        if not is_frame(X):
            _check_kind(X)
            # The texts of an array are read as those of a table.
            texts = not issparse(X) and np.asarray(X).dtype.kind in "OUS"
            finite = False if texts else "allow-nan"
            dtype = object if texts else "numeric"
            X = check_array(X, dtype=dtype, ensure_all_finite=finite, estimator=self)
        validate_data(self, X, reset=reset, skip_check_array=True)
        # An array has the columns of the table that the estimator was fitted to.
        inputs = Inputs(X, None if reset else self.encodings_[0].names)
        if not inputs.n_rows:
            raise ValueError("X must have a row at least, got a table of 0")
        return inputs

    def _checked_y(self, X: Any, y: Any) -> Array:
        """Return targets, one for each row."""
        if isinstance(y, str):
            raise TypeError(
                f"y must hold a value for each row, got the text {y!r}; if it names a column, pass "
                "that column, and X without it"
            )
        _, y = validate_data(self, X, y, reset=False, skip_check_array=True)
        targets: Array = column_or_1d(y, warn=True)
        check_consistent_length(X, targets)
        return targets

    def _metric(self) -> str:
        return (
            self._metrics[0]
            if self.metric is None
            else as_choice(self.metric, "metric", self._metrics)
        )

    def _recipe_for(self, rows: int, metric: str) -> Recipe:
        """Return the constants for so many rows to train on, those of the caller included."""
        given: dict[str, Any] = {}
        if self.hidden_layer_sizes is not None:
            sizes = np.ravel(self.hidden_layer_sizes).tolist()
            given["hidden"] = tuple(as_count(each, "hidden_layer_sizes", low=1) for each in sizes)
        if self.activation is not None:
            given["activation"] = as_choice(self.activation, "activation", _HIDDEN)
        if self.lr is not None:
            given["lr"] = as_real(self.lr, "lr", low=0.0)
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) is not None:
                given[name] = as_count(getattr(self, name), name, low=1)
        if self.dropout is not None:
            given["dropout"] = as_real(self.dropout, "dropout", 0.0, 1.0, open_high=True)
        given.update(self._more_constants())
        return replace(recipe_of(self.recipe, rows, self._of_classes, metric), **given)

    def _more_constants(self) -> dict[str, Any]:
        """Return further constants that the caller gave."""
        return {}

    def _deadline(self) -> float | None:
        if self.time_limit is None:
            return None
        return clock.monotonic() + as_real(self.time_limit, "time_limit", low=0.0)

    def _divide(
        self, X: Any, n_rows: int, labels: Array | None, groups: Any, time: Any, seed: int
    ) -> list[Fold]:
        """Return a fold for each member."""
        n_folds = as_count(self.n_folds, "n_folds", low=1)
        if time is None:
            values = _column_of(X, groups, "groups") if isinstance(groups, str) else groups
            codes = None if values is None else codes_of(values, n_rows, "groups")
            return folds_of(n_rows, labels, codes, n_folds, seed)
        if groups is not None:
            raise ValueError("groups and time must not both be given")
        values = _column_of(X, time, "time") if isinstance(time, str) else time
        return [latest(codes_of(values, n_rows, "time"))] * n_folds

    # ---- fitting ----

    @contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Give the estimator back the attributes that it had if fitting fails."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(
        self, X: Any, inputs: Inputs, y: Array, n_outputs: int, groups: Any, time: Any
    ) -> None:
        """Train the members on all folds, and if asked on all rows."""
        check_recipe(self.recipe)
        metric, deadline = self._metric(), self._deadline()
        refits = as_flag(self.refit, "refit")
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        labels = y if self._of_classes else None
        folds = self._divide(X, inputs.n_rows, labels, groups, time, seed)
        seeds = random.randint(2**31 - 1, size=len(folds)).tolist()
        members = self._members(inputs, y, folds, seeds, metric)
        self._check_folds(metric, y, folds)

        learnt = [self._learnt(y[fold.rows]) for fold in folds]

        def score(at: int, outputs: Array) -> float:
            predicted = self._in_units(outputs, learnt[at])
            return self._score_of(metric, predicted, y[folds[at].held])

        train(inputs, members, n_outputs, score, deadline)
        self._out_of_fold(inputs, members, y, n_outputs)
        final = members
        if refits and (deadline is None or clock.monotonic() < deadline):
            final = self._refitted(inputs, y, members, metric)
            train(inputs, final, n_outputs, None, deadline)
            if any(member.status == "diverged" for member in final):
                warnings.warn(
                    "the cost stopped being finite as the networks were trained anew on all rows; "
                    "those of the folds predict instead; a lower lr may help",
                    RuntimeWarning,
                    stacklevel=3,
                )
            # In the middle of a schedule, a network is worse than those of the folds.
            if any(member.status != "done" for member in final):
                final = members
        self._keep(members, final, y, metric)

    def _check_folds(self, metric: str, y: Array, folds: Sequence[Fold]) -> None:
        """Refuse validation rows for which the metric is not defined."""

    def _members(
        self,
        inputs: Inputs,
        y: Array,
        folds: Sequence[Fold],
        seeds: Sequence[int],
        metric: str,
    ) -> list[Member]:
        """Return a member for each fold, with what it learns from the fold's rows alone."""
        made: list[Member] = []
        for at, (fold, seed) in enumerate(zip(folds, seeds, strict=True)):
            recipe = self._recipe_for(len(fold.rows), metric)
            # Members of one fold, as those by time, share what is learnt from it.
            twin = made[-1] if made and made[-1].fold is fold else None
            encoding = (
                self._encoding(inputs, at, fold, recipe.robust) if twin is None else twin.encoding
            )
            targets = self._targets(y, fold.rows)
            constant = self._constant(targets[fold.rows], recipe)
            member = Member(fold, seed, recipe, encoding, targets, constant, recipe.epochs)
            made.append(member)
        return made

    def _encoding(self, inputs: Inputs, at: int, fold: Fold, robust: bool) -> Encoding:
        """Return what a fold's rows to train on say of the columns."""
        mask = np.zeros(inputs.n_rows, dtype=np.bool_)
        mask[fold.rows] = True
        columns = as_texts(self.categorical, "categorical"), as_texts(self.ignore, "ignore")
        try:
            return inputs.learn(mask, *columns, robust)
        except ValueError as error:
            # What is wrong with all rows is told of all.
            inputs.learn(np.ones_like(mask), *columns, robust)
            raise ValueError(
                f"the {len(fold.rows)} rows that fold {at} is trained on do not suffice: {error}; "
                "use other folds"
            ) from error

    def _refitted(
        self, inputs: Inputs, y: Array, members: Sequence[Member], metric: str
    ) -> list[Member]:
        """Return members for all rows, for the epochs that were the best for all folds together."""
        epochs = best_together(members)
        every = np.arange(inputs.n_rows)
        fold = Fold(every, every[:0])
        seeds = [member.seed for member in members]
        made = self._members(inputs, y, [fold] * len(members), seeds, metric)
        for new, old in zip(made, members, strict=True):
            # Of more rows, a recipe may have fewer epochs: the rate would fall too early.
            new.recipe = replace(
                new.recipe, epochs=old.recipe.epochs, batch_size=old.recipe.batch_size
            )
            new.epochs = epochs
        return made

    def _out_of_fold(
        self, inputs: Inputs, members: Sequence[Member], y: Array, n_outputs: int
    ) -> None:
        """Predict the validation rows; those of no member stay NaN."""
        total = np.zeros((inputs.n_rows, n_outputs))
        count = np.zeros((inputs.n_rows, 1))
        for member in members:
            assert member.network is not None
            held = member.fold.held
            outputs = member.network.predict(inputs.encode(member.encoding)[held])
            total[held] += self._in_units(outputs, self._learnt(y[member.fold.rows]))
            count[held] += 1
        with np.errstate(invalid="ignore"):
            self._set_out_of_fold(total / count)

    def _keep(
        self, members: Sequence[Member], final: Sequence[Member], y: Array, metric: str
    ) -> None:
        """Set the attributes of a fitted estimator."""
        self.networks_ = [member.network for member in final if member.network is not None]
        self.folds_ = [tuple(member.fold) for member in members]
        self.encodings_ = [member.encoding for member in final]
        self._learnt_from = [self._learnt(y[member.fold.rows]) for member in final]
        diverged = [at for at, member in enumerate(members) if member.status == "diverged"]
        if diverged:
            warnings.warn(
                f"the cost of {len(diverged)} of {len(members)} members stopped being finite; they "
                "keep their best epoch before; a lower lr may help",
                RuntimeWarning,
                stacklevel=4,
            )
        sign = -1.0 if metric in FALLING else 1.0
        keys = ("name", "kind", "inputs", "why")
        self.report_ = {
            "recipe": final[0].recipe.name,
            "metric": metric,
            "score": float(np.mean([sign * member.scores[member.best] for member in members])),
            "columns": [dict(zip(keys, row, strict=True)) for row in final[0].encoding.report()],
            "members": [
                {
                    "rows": len(member.fold.rows),
                    "validation_rows": len(member.fold.held),
                    "inputs": member.n_in,
                    "epochs": len(member.scores) - 1,
                    "best_epoch": member.best,
                    "score": sign * member.scores[member.best],
                    "scores": [sign * score for score in member.scores],
                    "status": member.status,
                }
                for member in members
            ],
            "refit_epochs": final[0].best if final is not members else None,
        }

    # ---- predicting ----

    def _outputs(self, X: Any) -> Array:
        """Return the mean of what the members predict, (N, n_outputs) float64."""
        check_is_fitted(self)
        inputs = self._inputs(X, reset=False)
        total = np.zeros((inputs.n_rows, self.networks_[0].widths[-1]))
        last: tuple[Encoding, Array] | None = None
        for network, encoding, learnt in zip(
            self.networks_, self.encodings_, self._learnt_from, strict=True
        ):
            if last is None or last[0] is not encoding:
                last = encoding, inputs.encode(encoding)
            total += self._in_units(network.predict(last[1]), learnt)
        return total / len(self.networks_)


def _check_kind(X: Any) -> None:
    """Refuse what holds a table but is none."""
    first = X[0] if isinstance(X, (list, tuple)) and X else X
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(
            f"X must be a table in memory, got {X!r}; read the file first, such as by "
            "pandas.read_csv"
        )
    # Some sparse matrices are mappings too, which scikit-learn refuses as what they are.
    if isinstance(first, Mapping) and not issparse(X):
        raise TypeError(
            f"X must be a table of pandas, polars or Arrow, or an array, got a {type(X).__name__}"
            f"{'' if first is X else ' of ' + type(first).__name__}; pandas.DataFrame(X) makes one"
        )


def _column_of(X: Any, name: str, argument: str) -> Any:
    """Return a column of a table by name, for NumPy; the name was given as some argument."""
    of_arrow = hasattr(X, "column_names")
    names = [str(each) for each in (X.column_names if of_arrow else getattr(X, "columns", ()))]
    if name not in names:
        known = f"the columns are {', '.join(names)}" if names else "X is no table with names"
        raise ValueError(f"{argument}: there is no column {name!r}; {known}")
    if of_arrow:
        return X.column(name)
    # Of pandas, a column may be called by a number, for which `name` is its text.
    return X.iloc[:, names.index(name)] if hasattr(X, "iloc") else X[name]
