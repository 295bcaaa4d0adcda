"""What a column of a table becomes: numbers, 0/1 inputs of its levels, parts of its dates, words.

A treatment is learnt from the rows to train on, is saved with the model, and turns the column of
any other table into the same inputs. Nothing that a cell holds makes it fail: what it does not know
becomes a missing value, and is counted in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _dates, _notations
from ._cells import integer, is_integer, is_number
from ._columns import MISSING_CODE, Array, Column, Days, Numbers, Texts
from ._faults import quote

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WORD = re.compile(r"\w{2,}")
# The parts of a date, and whether each is a number to be scaled.
PARTS = ("day", "month", "weekday", "hour")


class Values(NamedTuple):
    """An input, or several beside each other, from one on: their values in every row.

    A single input is NaN where the treatment's `fill` stands for a cell.
    """

    start: int
    values: NDArray[Any]


class Ones(NamedTuple):
    """Inputs from one on of which at most one is 1 in each row: which one, -1 for none."""

    start: int
    codes: NDArray[np.int32]


Piece: TypeAlias = Values | Ones


class Notes:
    """Collects what happened to cells that a model did not know, in words."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, count: int, what: str, name: str, then: str) -> None:
        """Note that so many cells of a column were of some kind, and what became of them."""
        if count:
            self.texts.append(f"column {quote(name)}: {count:,} {what}{_s(count)} {then}")


def _s(count: int) -> str:
    return "" if count == 1 else "s"


@dataclass(frozen=True)
class Number:
    """A number as it is; a missing one is replaced by `fill`.

    Attributes
    ----------
    fill : float or None
        The median of the rows to train on. None in models saved before missing values were taken:
        a missing one is then refused.
    indicator : bool
        Whether a second input tells which values were missing.
    decimal : {".", ","}
        What comes before the fraction of numbers in other notations than Python's.
    unit : str
        The unit, currency or percent sign that may stand beside the numbers; "" for none.
    """

    kind: ClassVar[str] = "number"
    fill: float | None = None
    indicator: bool = False
    decimal: str = "."
    unit: str = ""

    def feature_names(self, name: str) -> list[str]:
        """Names of the inputs."""
        return [name, f"{name}=(missing)"] if self.indicator else [name]

    def scaled(self) -> list[bool]:
        """Tell which inputs are numbers to be standardised."""
        return [True, False] if self.indicator else [True]

    def pieces(self, name: str, column: Column, notes: Notes) -> list[Piece]:
        """Return the inputs that a column becomes."""
        values, bad = as_numbers(column, self.decimal, self.unit)
        lost = np.isnan(values)
        odd = bad.sum() if isinstance(bad, np.ndarray) else 0
        if lost.any():
            n_odd = int(odd)
            n_missing = int(lost.sum()) - n_odd
            value = "" if self.fill is None else f" replaced by {self.fill:g}"
            if n_odd:
                notes.add(n_odd, "cell", name, f"{_no_number(column, bad)}, {_was(n_odd)}{value}")
            notes.add(n_missing, "missing cell", name, f"{_was(n_missing)}{value}")
        found: list[Piece] = [Values(0, values)]
        if self.indicator:
            found.append(_mark(1, lost))
        return found

    @property
    def alike(self) -> Hashable:
        """What the pieces depend on besides the column: all but `fill`."""
        return self.kind, self.fill is None, self.indicator, self.decimal, self.unit


def _mark(start: int, lost: NDArray[np.bool_]) -> Ones:
    """Return the input that is 1 where a cell is missing."""
    return Ones(start, np.where(lost, 0, MISSING_CODE).astype(np.int32))


def _no_number(column: Column, bad: Array) -> str:
    """Say what the first cell that is no number holds."""
    first = int(np.argmax(bad))
    text = column.levels[column.codes[first]] if isinstance(column, Texts) else "inf"
    return f"with no finite number, such as {quote(text)}"


def as_numbers(
    column: Column, decimal: str, unit: str = ""
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the numbers of a column, NaN where there is none, and which cells hold something else.

    What is infinite, or in another unit, counts as something else.
    """
    if isinstance(column, Numbers):
        infinite = np.isinf(column.values)
        values = np.where(infinite, np.nan, column.values) if infinite.any() else column.values
        return values, infinite
    parsed = [_notations.parse(level, decimal, unit) for level in column.levels]
    of_levels = np.array([np.nan if value is None else value for value in parsed], dtype=np.float64)
    of_levels[~np.isfinite(of_levels)] = np.nan
    values = column.per_row(of_levels, np.nan)
    return values, np.isnan(values) & ~column.missing


@dataclass(frozen=True)
class Category:
    """One 0/1 input for each level; a level that is not known makes all of them 0.

    Attributes
    ----------
    levels : tuple of str
        The texts, in the order of the inputs.
    missing : bool
        Whether an input of its own tells that the cell is missing.
    other : bool
        Whether an input of its own stands for all other levels.
    """

    kind: ClassVar[str] = "category"
    levels: tuple[str, ...]
    missing: bool = False
    other: bool = False

    def feature_names(self, name: str) -> list[str]:
        """Names of the inputs."""
        names = [f"{name}={level}" for level in self.levels]
        names += [f"{name}=(other)"] if self.other else []
        return names + ([f"{name}=(missing)"] if self.missing else [])

    def scaled(self) -> list[bool]:
        """Tell which inputs are numbers to be standardised."""
        return [False] * (len(self.levels) + self.other + self.missing)

    def pieces(self, name: str, column: Column, notes: Notes) -> list[Piece]:
        """Return the inputs that a column becomes."""
        texts = as_texts(column)
        unseen = len(self.levels) if self.other else MISSING_CODE
        of_levels = np.array(self._codes(texts.levels), dtype=np.int32)
        missing = len(self.levels) + self.other if self.missing else MISSING_CODE
        codes = texts.per_row(of_levels, missing)
        new = codes == -2
        if new.any():
            count = int(new.sum())
            codes[new] = unseen
            if not self.other:
                first = texts.levels[texts.codes[int(np.argmax(new))]]
                then = f"with a level that is not known, such as {quote(first)}"
                notes.add(count, "cell", name, f"{then}, {_counts_as(count)} none of the levels")
            elif count == int((codes != missing).sum()):
                then = "with any of the levels that are known; all count as others"
                notes.texts.append(f"column {quote(name)}: no cell {then}")
        if not self.missing:
            count = int(texts.missing.sum())
            notes.add(count, "missing cell", name, f"{_counts_as(count)} none of the levels")
        return [Ones(0, codes)]

    @property
    def alike(self) -> Hashable:
        """What the pieces depend on besides the column: all of it."""
        return self

    def _codes(self, texts: Sequence[str]) -> list[int]:
        """Return the code of each text, -2 for unknown ones.

        If all levels are numbers, or all are true or false, another spelling is known too.
        """
        known = {level: code for code, level in enumerate(self.levels)}
        alike: dict[str, int] = {}
        if all(map(is_number, known)) or {level.lower() for level in known} <= {"true", "false"}:
            for level, code in known.items():
                alike.setdefault(_plainest(level), code)
        return [known.get(text, alike.get(_plainest(text), -2)) for text in texts]


def _plainest(level: str) -> str:
    """Return another spelling of a number or a truth value, by which 1.0 is 1 and True true."""
    if is_integer(level):
        return str(integer(level))
    if is_number(level):
        return repr(float(level))
    return level.lower() if level.lower() in ("true", "false") else level


def _counts_as(count: int) -> str:
    return "counts as" if count == 1 else "count as"


def as_texts(column: Column) -> Texts:
    """Return a column as texts; a number without fraction is written without one.

    Dates that are stored as such are written 2023-01-31, with 12:30:00 if they have a time.
    """
    if isinstance(column, Texts):
        return column
    values, inverse = np.unique(column.values, return_inverse=True)
    known = int((~np.isnan(values)).sum())
    text = _iso if isinstance(column, Days) else plain
    texts = [text(value) for value in values[:known].tolist()]
    # Times of one second are one text.
    places = {level: at for at, level in enumerate(dict.fromkeys(texts))}
    of_values = [places[level] for level in texts] + [MISSING_CODE] * (len(values) - known)
    codes = np.array(of_values, dtype=np.int32)[inverse.reshape(-1)]
    return Texts(list(places), codes)


def _iso(day: float) -> str:
    """Return the text of a day since 1970-01-01 and its time, to the second."""
    moment = np.datetime64(round(day * 86400), "s")
    whole = moment.astype("datetime64[D]")
    return str(whole) if whole == moment else str(moment).replace("T", " ")


def plain(value: float) -> str:
    """Return the shortest text of a number, without fraction if it has none."""
    return str(int(value)) if value.is_integer() and abs(value) < 2.0**63 else repr(value)


@dataclass(frozen=True)
class Date:
    """The parts of dates: the day as a number, and what recurs every year, week and day.

    Attributes
    ----------
    parts : tuple of str
        Of ``day`` (days since 1970-01-01, with the time of day as its fraction), ``month`` (sine
        and cosine of the time of the year), ``weekday`` (one 0/1 input for each) and ``hour``
        (sine and cosine of the time of day).
    fill : float
        The median day of the rows to train on, which stands for a missing date.
    indicator : bool
        Whether an input tells which dates were missing.
    day_first : bool
        Whether 3/4/2023 is the third of April.
    """

    kind: ClassVar[str] = "date"
    parts: tuple[str, ...]
    fill: float
    indicator: bool = False
    day_first: bool = False

    def feature_names(self, name: str) -> list[str]:
        """Names of the inputs."""
        names = []
        for part in self.parts:
            if part == "day":
                names.append(f"{name} (day)")
            elif part == "weekday":
                names += [f"{name}={day}" for day in _WEEKDAYS]
            else:
                names += [f"{name} (sine of {part})", f"{name} (cosine of {part})"]
        return names + ([f"{name}=(missing)"] if self.indicator else [])

    def scaled(self) -> list[bool]:
        """Tell which inputs are numbers to be standardised."""
        return [name.endswith(" (day)") for name in self.feature_names("")]

    def pieces(self, name: str, column: Column, notes: Notes) -> list[Piece]:
        """Return the inputs that a column becomes."""
        known, bad = as_days(column, self.day_first)
        lost = np.isnan(known)
        if lost.any():
            odd = int(bad.sum())
            then = "replaced by the median day"
            notes.add(odd, "cell", name, f"with no date {_was(odd)} {then}")
            count = int(lost.sum()) - odd
            notes.add(count, "missing cell", name, f"{_was(count)} {then}")
        days = np.where(lost, self.fill, known)
        found: list[Piece] = []
        start = 0
        for part in self.parts:
            if part == "day":
                found.append(Values(start, known))
                start += 1
            elif part == "weekday":
                # 1970-01-01 was a Thursday.
                codes = (np.floor(days).astype(np.int64) + 3) % 7
                codes[lost] = MISSING_CODE
                found.append(Ones(start, codes.astype(np.int32)))
                start += 7
            else:
                angle = 2 * np.pi * (_of_year(days) if part == "month" else days % 1.0)
                waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
                found.append(Values(start, np.where(lost[:, None], 0.0, waves)))
                start += 2
        if self.indicator:
            found.append(_mark(start, lost))
        return found

    @property
    def alike(self) -> Hashable:
        """What the pieces depend on besides the column: all but `fill`."""
        return self.kind, self.parts, self.indicator, self.day_first


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _of_year(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of its year that has passed before each day."""
    whole = np.floor(days).astype("datetime64[D]")
    first = whole.astype("datetime64[Y]").astype("datetime64[D]")
    passed: NDArray[np.float64] = (whole - first).astype(np.float64) / 366.0
    return passed


def as_days(column: Column, day_first: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the dates of a column as days, NaN where none is, and which cells hold others."""
    if isinstance(column, Days):
        return column.values, np.zeros(len(column), dtype=np.bool_)
    texts = as_texts(column)
    parsed = [_dates.parse(level, day_first) for level in texts.levels]
    of_levels = np.array([np.nan if day is None else day for day in parsed], dtype=np.float64)
    days = texts.per_row(of_levels, np.nan)
    return days, np.isnan(days) & ~texts.missing


@dataclass(frozen=True)
class Words:
    """One 0/1 input for each of some words: whether a text has it."""

    kind: ClassVar[str] = "words"
    words: tuple[str, ...]

    def feature_names(self, name: str) -> list[str]:
        """Names of the inputs."""
        return [f"{name} has {word!r}" for word in self.words]

    def scaled(self) -> list[bool]:
        """Tell which inputs are numbers to be standardised."""
        return [False] * len(self.words)

    def pieces(self, name: str, column: Column, notes: Notes) -> list[Piece]:
        """Return the inputs that a column becomes."""
        texts = as_texts(column)
        places = {word: at for at, word in enumerate(self.words)}
        has = np.zeros((len(texts.levels) + 1, len(self.words)), dtype=np.uint8)
        for row, level in enumerate(texts.levels):
            for word in words_of(level):
                at = places.get(word)
                if at is not None:
                    has[row, at] = 1
        if len(texts.levels) and not has.any():
            notes.texts.append(f"column {quote(name)}: no cell has any of the words that are known")
        return [Values(0, has[texts.codes])]

    @property
    def alike(self) -> Hashable:
        """What the pieces depend on besides the column: all of it."""
        return self


def words_of(text: str) -> set[str]:
    """Return the different words of a text, of at least two characters, in lower case."""
    return {word for word in _WORD.findall(text.lower()) if not word.isdecimal()}


@dataclass(frozen=True)
class LeftOut:
    """A column that is not used, and why."""

    kind: ClassVar[str] = "left out"
    why: str

    def feature_names(self, name: str) -> list[str]:
        """Names of the inputs: none."""
        return []

    def scaled(self) -> list[bool]:
        """Tell which inputs are numbers to be standardised: there are none."""
        return []

    def pieces(self, name: str, column: Column, notes: Notes) -> list[Piece]:
        """Return the inputs that a column becomes: none."""
        return []

    @property
    def alike(self) -> Hashable:
        """What the pieces depend on besides the column: nothing."""
        return self.kind


Treatment: TypeAlias = Number | Category | Date | Words | LeftOut
TREATMENTS: dict[str, Any] = {each.kind: each for each in (Number, Category, Date, Words, LeftOut)}
