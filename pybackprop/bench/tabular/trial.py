"""A trial: one model learns one division of one table. Runs in the process of the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...scores import log_loss
from ..contenders import load
from .inputs import PREPARE, categories
from .models import Model
from .scores import error_rate, relative_rmse
from .sources import Source
from .table import Rows, Table, digest, divide, folds, limit, read

Predict = Callable[[Any], NDArray[np.float64]]

# How many rows are predicted for the time that it takes, and how often; the median counts.
_TIMED_ROWS, _TIMES = 1000, 3
_read = lru_cache(maxsize=1)(read)


def run(
    source: dict[str, Any],
    model: dict[str, Any],
    number: int,
    n_folds: int | None,
    threads: int | None,
    rows: int | None = None,
) -> dict[str, Any]:
    """Learn the rows of a division, and predict those held out.

    Parameters
    ----------
    source, model : dict
        A `Source` and a `Model`, as JSON has them.
    number : int
        The division; also seeds the model.
    n_folds : int or None
        How many estimators are averaged; None for as many as the model says.
    threads : int or None
        How many threads the model may use; None for all.
    rows : int or None
        How many rows to learn from, and how many to predict, at most; None for all.

    Returns
    -------
    dict
        `title` of the table; `error`, and for classes `log_loss`; `train_seconds`,
        `predict_seconds` (of 1,000 rows); and `digest`, which is the same for all models that had
        the same rows.
    """
    table, how = _read(_source(source)), Model(**model)
    if how.threads:
        how.both[how.threads] = -1 if threads is None else threads
    split = divide(table, number)
    if rows is not None:
        split = limit(table, split, rows, number)
    n = how.folds if n_folds is None else n_folds
    common = [(split.train, split.valid)]
    parts = common if n == 1 else folds(table, split, n, number)
    begin = time.perf_counter()
    members = [fit(how, table, *part, number + at) for at, part in enumerate(parts)]
    train_seconds = time.perf_counter() - begin

    def predict(rows: Rows) -> NDArray[np.float64]:
        x = table.x.iloc[rows]
        mean: NDArray[np.float64] = np.stack([member(x) for member in members]).mean(axis=0)
        return mean

    outputs, y = predict(split.test), table.y[split.test]
    if not np.isfinite(outputs).all():
        raise ValueError("predictions are not finite")
    found = {
        "title": table.title,
        "train_seconds": train_seconds,
        "predict_seconds": _time(predict, split.test),
        "digest": digest(table, common, split.test),
    }
    if not table.n_classes:
        return {**found, "error": relative_rmse(outputs, y)}
    return {**found, "error": error_rate(outputs, y), "log_loss": log_loss(outputs, y)}


def _source(found: dict[str, Any]) -> Source:
    """Return a source from JSON, where tuples have become lists."""
    fields: dict[str, Any] = {
        key: tuple(each) if isinstance(each, list) else each for key, each in found.items()
    }
    return Source(**fields)


def _time(predict: Callable[[Rows], Any], rows: Rows) -> float:
    """Return the seconds of predicting 1,000 rows; fewer rows are repeated."""
    some = np.resize(rows, _TIMED_ROWS)
    seconds = []
    for _ in range(_TIMES):
        begin = time.perf_counter()
        predict(some)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def fit(model: Model, table: Table, train: Rows, valid: Rows, seed: int) -> Predict:
    """Return a fitted estimator as a function from columns to probabilities or numbers.

    Parameters
    ----------
    model : Model
    table : Table
    train, valid : ndarray of int64
        The rows to learn from, and those that say when to stop.
    seed : int
    """
    if model.stopping == "joined":
        train, valid = np.sort(np.concatenate([train, valid])), valid[:0]
    x, y, n_classes = table.x.iloc[train], table.y[train], table.n_classes
    prepare = PREPARE[model.inputs](x, y, n_classes)
    estimator = _estimator(model, table, seed)
    if n_classes:
        # Some libraries want the classes to be 0, 1, …, but not all of them need to be here.
        classes, codes = np.unique(y, return_inverse=True)
        valid = valid[np.isin(table.y[valid], classes)]
        targets = np.searchsorted(classes, table.y[valid])
        estimator.fit(prepare(x), codes, **_validation(model, prepare, table.x, valid, targets))
        return lambda rows: _probabilities(estimator, prepare(rows), classes, n_classes)
    shift, scale = (y.mean(), y.std() or 1.0) if model.scales_target else (0.0, 1.0)
    targets = (table.y[valid] - shift) / scale
    known = _validation(model, prepare, table.x, valid, targets)
    estimator.fit(prepare(x), (y - shift) / scale, **known)
    return lambda rows: shift + scale * np.asarray(estimator.predict(prepare(rows)), np.float64)


def _estimator(model: Model, table: Table, seed: int) -> Any:
    """Return the estimator, not fitted."""
    kind = "Classifier" if table.n_classes else "Regressor"
    parameters = {**model.both, **(model.classes if table.n_classes else model.numbers)}
    if model.inputs == "texts":
        parameters |= categories(table.x)
    return getattr(load(model.module), f"{model.estimator}{kind}")(random_state=seed, **parameters)


def _validation(
    model: Model, prepare: Any, x: Any, valid: Rows, targets: NDArray[Any]
) -> dict[str, Any]:
    """Return the arguments by which `fit` gets the rows that say when to stop."""
    if model.stopping == "X_val":
        return {"X_val": prepare(x.iloc[valid]), "y_val": targets}
    if model.stopping == "eval_set":
        return {"eval_set": [(prepare(x.iloc[valid]), targets)]}
    return {}


def _probabilities(
    estimator: Any, x: Any, classes: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Return the probabilities of all classes, 0 for those that were not learnt."""
    found = np.zeros((len(x), n_classes))
    found[:, classes[np.asarray(estimator.classes_, np.int64)]] = estimator.predict_proba(x)
    return found
