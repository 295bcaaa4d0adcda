"""The columns of a table before anything is decided about them, and the table itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# The code of a missing cell.
MISSING_CODE = -1


@dataclass(eq=False)
class Numbers:
    """A column of numbers.

    Attributes
    ----------
    values : ndarray of shape (N,), float64
        NaN where a cell is missing.
    """

    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which cells are missing."""
        return np.isnan(self.values)

    def take(self, rows: NDArray[np.bool_]) -> Numbers:
        """Return a column of the same kind of some rows."""
        return type(self)(self.values[rows])


@dataclass(eq=False)
class Days(Numbers):
    """A column of dates that is stored as such: days since 1970-01-01, NaN where one is missing."""


@dataclass(eq=False)
class Texts:
    """A column of texts, each different text stored once.

    Attributes
    ----------
    levels : list of str
        The different texts, without blanks around them, in the order in which they first occur.
        None of them stands for a missing cell.
    codes : ndarray of shape (N,), int32
        Which level each row has, -1 where the cell is missing.
    coded : bool
        Whether the column's type says that it is a category, whatever its levels look like.
    """

    levels: list[str]
    codes: NDArray[np.int32]
    coded: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which cells are missing."""
        found: NDArray[np.bool_] = self.codes == MISSING_CODE
        return found

    def take(self, rows: NDArray[np.bool_]) -> Texts:
        """Return the column of some rows, without the levels that only others have."""
        used, first, codes = np.unique(self.codes[rows], return_index=True, return_inverse=True)
        # The levels of a column stand in the order in which they first occur.
        order = [at for at in np.argsort(first, kind="stable") if used[at] != MISSING_CODE]
        place = np.full(len(used), MISSING_CODE, dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        levels = [self.levels[used[at]] for at in order]
        return Texts(levels, place[codes.reshape(-1)], self.coded)

    def counts(self, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return how many rows have each level, of all rows or of those of a mask."""
        codes = self.codes if rows is None else self.codes[rows]
        found: NDArray[np.int64] = np.bincount(codes + 1, minlength=len(self.levels) + 1)[1:]
        return found

    def per_row(self, of_levels: Array, missing: Any) -> Array:
        """Return for each row what `of_levels` holds for its level."""
        table = np.append(of_levels, np.asarray([missing], dtype=of_levels.dtype))
        taken: Array = table[self.codes]
        return taken


Column: TypeAlias = Numbers | Texts


@dataclass(eq=False)
class Table:
    """A table as it was read.

    Attributes
    ----------
    name : str
        Where it comes from, for messages: a path, or what a frame is called.
    names : tuple of str
        Names of its columns.
    columns : dict of str to Column
        Those that were asked for.
    n_rows : int
    header : bool
        Whether the names were part of it.
    first_line : int
        The line of the file on which the names (or the first row) are; 0 for a frame.
    lines : sequence of int
        The line of each row.
    notes : list of str
        What was done to read it that its owner may not expect.
    texts : callable
        Returns a column as `Texts`, whatever it was read as; None where that is impossible.
    """

    name: str
    names: tuple[str, ...]
    columns: dict[str, Column]
    n_rows: int
    header: bool
    first_line: int
    lines: Sequence[int]
    notes: list[str] = field(default_factory=list)
    texts: Callable[[str], Texts] | None = None
    decimal_comma: bool = False


def without(values: NDArray[np.float64], missing: Iterable[str]) -> NDArray[np.float64]:
    """Return numbers with NaN for those that stand for a missing cell, such as -999."""
    numbers = []
    for text in missing:
        try:
            numbers.append(float(text))
        except ValueError:
            continue
    for number in numbers:
        hit = values == number
        if hit.any():
            values = np.where(hit, np.nan, values)
    return values


def factorize(values: Iterable[Any], is_missing: Callable[[str], bool]) -> Texts:
    """Return a column of texts from a text for each row; None is a missing one."""
    index: dict[str, int] = {}
    cells = [None if value is None else str(value).strip() for value in values]
    for cell in dict.fromkeys(cells):
        if cell is not None and not is_missing(cell):
            index[cell] = len(index)
    codes = [MISSING_CODE if cell is None else index.get(cell, MISSING_CODE) for cell in cells]
    return Texts(list(index), np.array(codes, dtype=np.int32))
