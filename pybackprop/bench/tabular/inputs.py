"""What the columns of a table become for a model, learnt from the rows that it learns from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contenders import load

Transform = Callable[[Any], Any]

_TARGET = "(target)"
# For CatBoost, which takes no missing category.
_MISSING = "(missing)"


def _texts(x: Any) -> list[str]:
    """Return the names of the columns of texts."""
    return [name for name, dtype in zip(x.columns, x.dtypes, strict=True) if dtype.kind == "O"]


def _own(x: Any, y: NDArray[Any], n_classes: int) -> Transform:
    """Treat the columns as `pybackprop train` does."""
    from ...datasets import from_frame

    # With leading zeros, the order of the texts is that of the classes.
    target = [f"{label:06}" for label in y] if n_classes else y
    frame = x.assign(**{_TARGET: target})
    data = from_frame(frame, _TARGET, task="classification" if n_classes else "regression")
    encoding, (shift, scale) = data.encoding, data.scaling()
    assert encoding is not None
    return lambda rows: ((encoding.read(rows).x - shift) * scale).astype(np.float32)


def _native(x: Any, y: NDArray[Any], n_classes: int, most: int | None = None) -> Transform:
    """Make texts categories of pandas; a text that is not known is missing.

    So are the rarest, where a column has more different texts than a library takes.

    Columns get other names, since some libraries refuse brackets in them.
    """
    pandas = load("pandas")
    kinds = {
        name: pandas.CategoricalDtype(sorted(x[name].value_counts().index[:most]))
        for name in _texts(x)
    }

    def transform(frame: Any) -> Any:
        columns = {
            name: frame[name].where(frame[name].isin(kind.categories)).astype(kind)
            for name, kind in kinds.items()
        }
        return frame.assign(**columns).set_axis([f"c{at}" for at in range(x.shape[1])], axis=1)

    return transform


def _as_texts(x: Any, y: NDArray[Any], n_classes: int) -> Transform:
    """Leave texts as they are, with a text for missing ones."""
    filled = dict.fromkeys(_texts(x), _MISSING)
    return lambda frame: frame.fillna(filled)


def _one_hot(x: Any, y: NDArray[Any], n_classes: int) -> Transform:
    """Make each level of the texts an input, and leave numbers as they are."""
    return _fitted(x, "passthrough")


def _scaled(x: Any, y: NDArray[Any], n_classes: int) -> Transform:
    """Make each level an input, fill in missing numbers by their median, and standardise them."""
    pipeline, impute = load("sklearn.pipeline"), load("sklearn.impute")
    scale = load("sklearn.preprocessing").StandardScaler()
    fill = impute.SimpleImputer(strategy="median", keep_empty_features=True)
    return _fitted(x, pipeline.make_pipeline(fill, scale))


def _fitted(x: Any, numbers: Any) -> Transform:
    """Return a fitted transform of scikit-learn's with one-hot inputs for texts."""
    one_hot = load("sklearn.preprocessing").OneHotEncoder(
        handle_unknown="ignore", sparse_output=False
    )
    texts = _texts(x)
    parts = [(numbers, [name for name in x.columns if name not in texts]), (one_hot, texts)]
    columns = load("sklearn.compose").make_column_transformer(*parts).fit(x)
    transform: Transform = columns.transform
    return transform


# Each takes rows, their targets and the number of classes (0 for numbers), and returns a function
# that makes inputs of rows.
PREPARE: dict[str, Callable[[Any, NDArray[Any], int], Transform]] = {
    "own": _own,
    "native": _native,
    # As many levels as HistGradientBoosting takes.
    "native-255": partial(_native, most=255),
    "texts": _as_texts,
    "one-hot": _one_hot,
    "scaled": _scaled,
}


def categories(x: Any) -> dict[str, Any]:
    """Return what CatBoost is told of the columns of texts."""
    return {"cat_features": _texts(x)}
