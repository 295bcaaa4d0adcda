"""Reading a table, and dividing its rows: the same for every model."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..contenders import load
from .sources import Source

Rows = NDArray[np.int64]

# Of five parts, one is predicted in the end, and one says when to stop.
_PARTS = 5


@dataclass(frozen=True)
class Table:
    """A table as examples.

    Attributes
    ----------
    x : DataFrame of pandas
        Columns of float64, and of texts; missing cells are NaN.
    y : ndarray of shape (N,)
        float64, or int64 indices of the classes.
    n_classes : int
        0 for numbers.
    time : ndarray of int64, shape (N,), or None
        The place of each row's time among the different ones, never falling; None for rows in no
        order.
    """

    x: Any
    y: NDArray[Any]
    n_classes: int
    time: Rows | None

    @property
    def title(self) -> str:
        """Rows, inputs and classes in words."""
        what = f"{self.n_classes} classes" if self.n_classes else "numbers"
        size = f"{len(self.y):,} x {self.x.shape[1]}, {what}"
        return f"{size}, by time" if self.time is not None else size


class Split(NamedTuple):
    """The rows to learn from, those that say when to stop, and those that are predicted."""

    train: Rows
    valid: Rows
    test: Rows


def read(source: Source) -> Table:
    """Read a table of an installed package.

    Parameters
    ----------
    source : Source

    Raises
    ------
    ValueError
        The package has no such file, or the file has not the columns that were expected.
    """
    frame = _frame(source)
    target = source.target or frame.columns[-1]
    for name in (target, *source.drop, *source.categorical, *filter(None, [source.time])):
        if name not in frame.columns:
            columns = ", ".join(map(str, frame.columns[:8]))
            raise ValueError(
                f"{source.package}: {source.file}: expected a column {name}, found {columns}, ...; "
                f"pip install --upgrade {source.package}"
            )
    frame = frame[frame[target].notna()]
    if source.time:
        frame = frame.sort_values(source.time, kind="stable")
    frame = frame.reset_index(drop=True)
    time = load("pandas").factorize(frame[source.time])[0] if source.time else None
    x = frame.drop(columns=[target, *source.drop, *filter(None, [source.time])])
    x = x.assign(**{name: _column(x[name], name in source.categorical) for name in x.columns})
    if source.task == "regression":
        return Table(x, frame[target].to_numpy(np.float64), 0, time)
    classes, y = np.unique(frame[target].astype(str), return_inverse=True)
    return Table(x, y.astype(np.int64), len(classes), time)


def _frame(source: Source) -> Any:
    """Return the table as its package has it."""
    pandas = load("pandas")
    if source.module == "sklearn":
        return getattr(load("sklearn.datasets"), source.file)(as_frame=True).frame
    spec = find_spec(source.module)
    folder = (spec.submodule_search_locations or [""])[0] if spec is not None else ""
    path = Path(folder, source.file)
    if not path.is_file():
        raise ValueError(
            f"{source.package} has no file {source.file}; pip install --upgrade {source.package}"
        )
    if path.suffix == ".compress":
        return pandas.read_pickle(path, compression="xz")
    if path.suffix == ".csv":
        return pandas.read_csv(path)
    frame = pandas.read_csv(path, header=None, skipinitialspace=True)
    return frame.rename(columns=lambda at: f"x{at}")


def _column(series: Any, is_code: bool) -> Any:
    """Return a column as float64, or as texts with NaN for missing cells."""
    pandas = load("pandas")
    if not is_code and pandas.api.types.is_numeric_dtype(series.dtype):
        return series.astype(np.float64)
    return series.astype(str).astype(object).where(series.notna().to_numpy(), np.nan)


def divide(table: Table, number: int) -> Split:
    """Return three fifths of the rows to learn from, one to stop by, and one to predict.

    Every part has its share of each class. Of rows in the order of time, the last are predicted and
    those before them say when to stop, whatever the number; rows of one time are in one part.

    Parameters
    ----------
    table : Table
    number : int
        Which division: each number gives another one.

    Raises
    ------
    ValueError
        A time has so many rows that a part is left with none.
    """
    if table.time is not None:
        cuts = [len(table.y) * part // _PARTS for part in (_PARTS - 2, _PARTS - 1)]
        first, second = np.searchsorted(table.time, table.time[np.subtract(cuts, 1)], side="right")
        if not first < second < len(table.y):
            raise ValueError("the rows are of too few times to be divided")
        rows = np.arange(len(table.y), dtype=np.int64)
        return Split(rows[:first], rows[first:second], rows[second:])
    part = _deal(table.y, table.n_classes, _PARTS, number)
    return Split(*(np.flatnonzero(each) for each in (part > 1, part == 1, part == 0)))


def limit(table: Table, split: Split, most: int, number: int) -> Split:
    """Return a division with fewer rows, drawn at random so that all classes keep their shares.

    Parameters
    ----------
    table : Table
    split : Split
    most : int
        How many rows to learn from and to stop by, together, and how many to predict.
    number : int
        Which division; seeds the draws.
    """
    of_valid = most // (_PARTS - 1)
    counts = (most - of_valid, of_valid, most)
    return Split(
        *(
            _draw(rows, table.y[rows], table.n_classes, count, number)
            for rows, count in zip(split, counts, strict=True)
        )
    )


def _draw(rows: Rows, y: NDArray[Any], n_classes: int, count: int, seed: int) -> Rows:
    """Return at most so many of some rows, in their order."""
    if len(rows) <= count:
        return rows
    # Rows at equal distances in the order of the classes have their shares.
    order = _shuffled(y, n_classes, seed)
    return np.sort(rows[order[np.arange(count) * len(rows) // count]])


def folds(table: Table, split: Split, n: int, number: int) -> list[tuple[Rows, Rows]]:
    """Divide all rows but those to be predicted into n parts.

    Returns
    -------
    list of (train, valid)
        For each part the rows of the others, and its own.
    """
    rows = np.sort(np.concatenate([split.train, split.valid]))
    part = _deal(table.y[rows], table.n_classes, n, number)
    return [(rows[part != at], rows[part == at]) for at in range(n)]


def _deal(y: NDArray[Any], n_classes: int, n: int, seed: int) -> Rows:
    """Return for every row one of n parts, drawn so that all have the same shares of classes."""
    part = np.empty(len(y), dtype=np.int64)
    part[_shuffled(y, n_classes, seed)] = np.arange(len(y)) % n
    return part


def _shuffled(y: NDArray[Any], n_classes: int, seed: int) -> Rows:
    """Return an order of rows: those of a class together, otherwise at random."""
    order = np.random.default_rng(seed).permutation(len(y))
    return order[np.argsort(y[order], kind="stable")] if n_classes else order


def digest(table: Table, parts: list[tuple[Rows, Rows]], test: Rows) -> str:
    """Return a text that differs if rows, their cells or targets do."""
    found = blake2b(digest_size=8)
    cells = load("pandas").util.hash_pandas_object(table.x, index=False).to_numpy()
    for rows in (*(each for pair in parts for each in pair), test):
        found.update(np.ascontiguousarray(rows).tobytes())
        found.update(np.ascontiguousarray(table.y[rows]).tobytes())
        found.update(np.ascontiguousarray(cells[rows]).tobytes())
    return found.hexdigest()
