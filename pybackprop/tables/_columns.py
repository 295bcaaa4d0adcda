"""The columns of a table before anything is decided about them, and the table itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ._cells import EXACT_INTEGERS

Array = NDArray[Any]

# The code of a missing cell.
MISSING_CODE = -1

# The types of cells that need not be looked at one by one.
_TEXTS = frozenset({str, type(None)})
_NUMBERS = frozenset({int, float, type(None)})


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


@lru_cache
def _numbers_of(missing: frozenset[str]) -> tuple[float, ...]:
    """Return the numbers among the texts that stand for a missing cell."""
    numbers = []
    for text in missing:
        try:
            numbers.append(float(text))
        except ValueError:
            continue
    return tuple(number for number in numbers if number == number)


def without(values: NDArray[np.float64], missing: frozenset[str]) -> NDArray[np.float64]:
    """Return numbers with NaN for those that stand for a missing cell, such as -999."""
    for number in _numbers_of(missing):
        hit = values == number
        if hit.any():
            values = np.where(hit, np.nan, values)
    return values


def are_texts(cells: Iterable[Any]) -> bool:
    """Tell whether all cells are texts or None."""
    return _TEXTS.issuperset(map(type, cells))


def factorize(values: Iterable[Any], is_missing: Callable[[str], bool]) -> Texts:
    """Return a column of texts from a text for each row; None is a missing one."""
    cells = list(values)
    if not are_texts(cells):
        cells = [None if value is None else str(value) for value in cells]
    levels: dict[str, int] = {}
    codes: dict[str | None, int] = {None: MISSING_CODE}
    for cell in dict.fromkeys(cells):
        if cell is not None:
            text = cell.strip()
            codes[cell] = MISSING_CODE if is_missing(text) else levels.setdefault(text, len(levels))
    # Nothing is done for each row in Python, but to look its text up.
    of_rows = np.fromiter(map(codes.__getitem__, cells), np.int32, len(cells))
    return Texts(list(levels), of_rows)


def numbers_of_objects(values: list[Any], missing: frozenset[str]) -> Numbers | None:
    """Return a column of Python's numbers, None if it is none or its texts must be looked at.

    None is a missing number. The texts must be looked at if there are large integers, whose digits
    a float64 may not hold, or if some numbers stand for a missing cell.
    """
    if not _NUMBERS.issuperset(map(type, values)) or _numbers_of(missing):
        return None
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    largest = np.abs(numbers[~np.isnan(numbers)]).max(initial=-1.0)
    return Numbers(numbers) if 0.0 <= largest < EXACT_INTEGERS else None
