"""Choosing the treatment of a column, as a careful analyst would, and saying why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _dates, _notations
from ._cells import HOURS, MISSING, is_date, is_number, loses_digits, notation, oddity, unit
from ._columns import Column, Days, Numbers, Table, Texts
from ._faults import Faults, quote
from ._treatments import (
    Category,
    Date,
    LeftOut,
    Number,
    Treatment,
    Words,
    as_days,
    as_numbers,
    as_texts,
    words_of,
)

# What to do about a column, in the words of the command line and of Python.
LEAVE_OUT = "leave the column out (--ignore, in Python ignore=)"
# More levels than this count as those of a category only if they have two rows each on average,
# and more than the second number are never all kept.
MAX_RARE_LEVELS = 20
MAX_LEVELS = 256
# Of a text with more levels, so many of the commonest levels or words become inputs.
_MAX_KEPT = 64
_LEAST_ROWS = 5
_LEAST_SHARE = 0.01
# What the kept levels of a category must cover, and when they do better than words.
_LEAST_COVER = 0.1
_MOST_COVER = 0.5
# A column is of a kind if so many of its cells are, or so many where the others are few texts.
_NEARLY_ALL = 0.9
_MOST = 0.5
_FEW_OTHERS = 3
# A column that numbers the rows has at least so many.
_ROWS_OF_INDEX = 20
_NAME_OF_INDEX = re.compile(
    r"(?:.*[\W_])?(?:id|idx|uuid|guid|rownames?|row|rownum|caseid)|(?:row[\W_])?index"
)
_CAMEL_INDEX = re.compile(r".*[a-z0-9](?:Id|ID)")

REFUSABLE = ("missing", "date", "notation", "odd", "many")


@dataclass(frozen=True)
class Rules:
    """What the reader of a table decides.

    Attributes
    ----------
    missing : frozenset of str
        What stands for a missing cell, in lower case.
    refuse : frozenset of str
        What is refused instead of treated: of ``missing`` (missing values among the inputs),
        ``date`` (dates), ``notation`` (numbers that are written as people do, such as 12 % or
        $1,234), ``odd`` (texts in a column of numbers or dates) and ``many`` (texts that are no
        category: names, identifiers, free text).
    """

    missing: frozenset[str] = MISSING
    refuse: frozenset[str] = field(default_factory=frozenset)


class Choice(NamedTuple):
    """The treatment of a column, and why in words."""

    treatment: Treatment
    why: str


class Chooser:
    """Chooses treatments for the columns of a table.

    Parameters
    ----------
    table : Table
        The table, read.
    rows : ndarray of bool, shape (N,)
        Which rows to learn from.
    rules : Rules
    faults : Faults
        Takes what is refused.
    """

    def __init__(self, table: Table, rows: NDArray[np.bool_], rules: Rules, faults: Faults) -> None:
        self._table = table
        self._rows = rows
        self._rules = rules
        self._faults = faults
        self._missing: dict[str, int] = {}
        self._first_missing: dict[str, int] = {}

    def choose(self, name: str, categorical: bool, unnamed: bool = False) -> Choice:
        """Return the treatment of a column; what is refused goes to the faults.

        A column without a name, as an index has none, is left out if its values number or name the
        rows.
        """
        column = self._table.columns[name]
        lost = column.missing
        learnt = lost[self._rows]
        if learnt.all():
            return Choice(LeftOut("it is empty"), "")
        if unnamed and isinstance(column, Numbers) and _all_different(column.values):
            return Choice(LeftOut("it numbers the rows"), "")
        if unnamed and isinstance(column, Texts) and len(column.levels) == len(column):
            return Choice(LeftOut("it names the rows"), "")
        if categorical:
            choice = self._category(as_texts(column), bool(learnt.any()), "as asked")
        elif isinstance(column, Days):
            choice = self._refused_date(name, column)
        elif isinstance(column, Numbers):
            choice = self._number(name, column)
        else:
            choice = self._text(name, column)
        if not isinstance(choice.treatment, LeftOut) and lost.any():
            self._missing[name] = int(lost.sum())
            self._first_missing[name] = int(np.argmax(lost))
        return choice

    def refuse_missing(self) -> None:
        """Add the missing values of the columns in use to the faults, if they are refused."""
        if "missing" not in self._rules.refuse or not self._missing:
            return
        name = min(self._missing, key=lambda name: self._first_missing[name])
        first = [f"{count:,} in {quote(each)}" for each, count in list(self._missing.items())[:8]]
        which = ", ".join(first) + (", ..." if len(self._missing) > 8 else "")
        self._faults.add(
            self._table.lines[self._first_missing[name]],
            name,
            f"missing value; of {self._table.n_rows:,} rows miss one: {which}; fill them in, "
            f"delete the rows, or {LEAVE_OUT}",
        )

    def _fault(self, name: str, column: Texts, level: int, what: str) -> None:
        """Add a fault at the first cell with a level."""
        row = int(np.argmax(column.codes == level))
        self._faults.add(self._table.lines[row], name, what)

    def _number(self, name: str, column: Numbers) -> Choice:
        """Treat a column of which every cell is a number or missing."""
        values, infinite = as_numbers(column, ".")
        if infinite.any() and "odd" in self._rules.refuse:
            line = self._table.lines[int(np.argmax(infinite))]
            self._faults.add(line, name, "the number is not finite")
        known = values[self._rows]
        known = known[~np.isnan(known)]
        if _numbers_rows(name, values):
            return Choice(LeftOut("it numbers the rows: integers, all different, by its name"), "")
        is_open = _notations.has_open_points(self._table, name)
        return self._from_values(values, known, f"numbers{_notations.OPEN if is_open else ''}")

    def _from_values(
        self,
        values: NDArray[np.float64],
        known: NDArray[np.float64],
        why: str,
        decimal: str = ".",
        unit: str = "",
        odd: str = "",
    ) -> Choice:
        """Return the treatment of numbers, given those to learn from.

        What is said of cells of another kind, which are missing, too, is `odd`.
        """
        if not known.size:
            return Choice(LeftOut("it has no finite number"), "")
        lost = int(np.isnan(values[self._rows]).sum())
        if known.min() == known.max() and not lost:
            return Choice(LeftOut(f"it is constant, {known[0]:g}"), "")
        fill = float(np.median(known))
        if lost:
            why += f"; {lost:,} missing{odd}, replaced by the median {fill:g} and marked"
        return Choice(Number(fill, lost > 0, decimal, unit), why)

    def _text(self, name: str, column: Texts) -> Choice:
        """Treat a column of texts."""
        counts = column.counts()
        shares = _Shares(column, counts)
        few = int(np.count_nonzero(column.counts(self._rows))) <= MAX_RARE_LEVELS
        dates = _is_of_kind(shares.dates, few) and not shares.durations
        numbers = _is_of_kind(shares.numbers, few) or (
            shares.unit is not None and len(column.levels) > MAX_RARE_LEVELS
        )
        if dates and not column.coded:
            return self._refused_date(name, column)
        if numbers and not column.coded:
            return self._written_number(name, column, shares)
        return self._no_number(name, column, counts, shares, dates or numbers)

    def _no_number(
        self, name: str, column: Texts, counts: NDArray[np.int64], shares: _Shares, coded: bool
    ) -> Choice:
        """Treat a column of texts that are neither numbers nor dates, but maybe codes like them."""
        learnt = column.counts(self._rows)
        present = np.flatnonzero(learnt)
        missing = bool(column.missing[self._rows].any())
        if len(present) == 1 and not missing:
            return Choice(LeftOut(f"it is constant, {quote(column.levels[present[0]])}"), "")
        if coded:
            return self._category(column, missing, "a category by its type")
        if len(present) <= MAX_RARE_LEVELS or (
            len(present) <= MAX_LEVELS and 2 * len(present) <= int(learnt.sum())
        ):
            return self._category(column, missing, f"texts{shares.said()}")
        if "many" in self._rules.refuse:
            what = (
                f"{len(column.levels):,} different texts in {int(counts.sum()):,} rows are no "
                f"category; {LEAVE_OUT}"
            )
            self._fault(name, column, 0, what)
        return self._many(column, learnt, missing, shares.said())

    def _category(self, column: Texts, missing: bool, why: str) -> Choice:
        """Return a category of all levels, or of the commonest where they are too many."""
        learnt = column.counts(self._rows)
        present = np.flatnonzero(learnt)
        other = len(present) > MAX_LEVELS
        if other:
            present = present[np.argsort(-learnt[present], kind="stable")[:MAX_LEVELS]]
            why += f"; the {MAX_LEVELS} commonest of {len(column.levels):,} levels, others together"
        levels = tuple(sorted(column.levels[at] for at in present))
        if missing:
            count = int(column.missing[self._rows].sum())
            why += f"; {count:,} missing, as a level of their own"
        return Choice(Category(levels, missing, other), why)

    def _many(self, column: Texts, learnt: NDArray[np.int64], missing: bool, kinds: str) -> Choice:
        """Treat texts with so many levels that most would be learnt by heart."""
        rows = int(learnt.sum())
        least = max(_LEAST_ROWS, round(_LEAST_SHARE * rows))
        order = np.argsort(-learnt, kind="stable")[:_MAX_KEPT]
        kept = [int(at) for at in order if learnt[at] >= least]
        cover = int(learnt[kept].sum()) / rows
        found: Counter[str] = Counter()
        for level, count in zip(column.levels, learnt.tolist(), strict=True):
            for word in words_of(level) if count else ():
                found[word] += count
        words = [
            word
            for word, count in found.most_common(_MAX_KEPT)
            if least <= count <= (1 - _LEAST_SHARE) * rows
        ]
        distinct = int(np.count_nonzero(learnt))
        said = f"{distinct:,} different texts{kinds}"
        if cover < _MOST_COVER and words:
            why = f"{said}; whether they have {_words(len(words))} found in 1 % of rows or more"
            return Choice(Words(tuple(sorted(words))), why)
        if cover >= _LEAST_COVER:
            why = f"{said}; the {len(kept)} commonest, others together"
            levels = tuple(sorted(column.levels[at] for at in kept))
            return Choice(Category(levels, missing, True), why)
        return Choice(LeftOut(f"it identifies rows: {said} in {rows:,} rows"), "")

    def _refused_date(self, name: str, column: Column) -> Choice:
        if "date" in self._rules.refuse:
            texts = as_texts(column)
            at = next((at for at, level in enumerate(texts.levels) if is_date(level)), 0)
            what = (
                f"{quote(texts.levels[at])} is a date or time, which is no input by itself; make "
                f"numbers of it, such as year, weekday or days since, or {LEAVE_OUT}; if the texts "
                "are names, say so (--categorical)"
            )
            self._fault(name, texts, at, what)
        return self._date(name, column, "dates")

    def _date(self, name: str, column: Column, why: str) -> Choice:
        """Choose the parts of dates that vary."""
        day_first: bool | None = None
        if isinstance(column, Texts):
            day_first = _dates.day_comes_first(column.levels)
            if day_first is None and any("/" in level[:3] for level in column.levels):
                why += " (of 3/4/2023 the month is taken to come first)"
        days, bad = as_days(column, bool(day_first))
        odd = self._no_dates(name, column, bad) if isinstance(column, Texts) else ""
        known = days[self._rows]
        lost = int(np.isnan(known).sum())
        known = known[~np.isnan(known)]
        if not known.size:
            return Choice(LeftOut("it has no date that exists"), "")
        parts = _varying_parts(known)
        if not parts:
            return Choice(LeftOut("it is constant, one date"), "")
        if lost:
            why += f"; {lost:,} missing{odd}, replaced by the median and marked"
        why += f"; as {', '.join(_PART_NAMES[part] for part in parts)}"
        return Choice(Date(parts, float(np.median(known)), lost > 0, bool(day_first)), why)

    def _no_dates(self, name: str, column: Texts, bad: NDArray[np.bool_]) -> str:
        """Say how many cells of a column of dates are none; refuse them, if they are refused."""
        if bad.any() and "odd" in self._rules.refuse:
            at = int(column.codes[int(np.argmax(bad))])
            self._fault(name, column, at, f"{quote(column.levels[at])} is not a date")
        return self._as_missing(column, bad, "no date")

    def _as_missing(self, column: Texts, bad: NDArray[np.bool_], what: str) -> str:
        """Say how many of the missing cells to learn from are of another kind than their column."""
        learnt = bad & self._rows
        if not learnt.any():
            return ""
        first = column.levels[int(column.codes[int(np.argmax(learnt))])]
        return f" ({int(learnt.sum()):,} of them {what}, such as {quote(first)})"

    def _written_number(self, name: str, column: Texts, shares: _Shares) -> Choice:
        """Treat numbers in other notations, with texts among them, or with too many digits."""
        long = [level for level in column.levels if loses_digits(level)]
        if long:
            return self._long_integers(name, column, long)
        decimal, is_open = _notations.decimal_of(column.levels, self._table.decimal_comma)
        counts = column.counts().tolist()
        name_of_unit = _notations.common_unit(column.levels, counts)
        values, bad = as_numbers(column, decimal, name_of_unit)
        kinds = list(shares.kinds)
        why = "numbers" if not kinds else _notations.KINDS[kinds[0]]
        if shares.unit is not None:
            why = f"numbers with the unit {shares.unit!r}"
            why = "durations, in hours" if shares.unit == HOURS else why
        why += _notations.without_unit(column.levels, counts, name_of_unit)
        if decimal == ",":
            why += ", the comma is decimal"
        if is_open:
            why += _notations.OPEN
        if (kinds or shares.unit is not None) and "notation" in self._rules.refuse:
            self._refuse_notation(name, column)
        if bad.any():
            at = int(column.codes[int(np.argmax(bad))])
            if "odd" in self._rules.refuse:
                self._fault(name, column, at, f"{quote(column.levels[at])} is not a number")
        known = values[self._rows]
        known = known[~np.isnan(known)]
        odd = self._as_missing(column, bad, "no number")
        return self._from_values(values, known, why, decimal, name_of_unit, odd)

    def _refuse_notation(self, name: str, column: Texts) -> None:
        """Add the first number in another notation to the faults."""
        odd = (at for at, level in enumerate(column.levels) if notation(level) is not None)
        at = next(odd, 0)
        level = column.levels[at]
        what = oddity(level) or "has a unit; write the number alone"
        names = "if the texts are names, say so (--categorical)"
        self._fault(name, column, at, f"{quote(level)} {what}; {names}")

    def _long_integers(self, name: str, column: Texts, long: Sequence[str]) -> Choice:
        """Treat integers with more digits than a float64 holds: names, or rounded numbers."""
        learnt = column.counts(self._rows)
        distinct, rows = int(np.count_nonzero(learnt)), int(learnt.sum())
        what = f"{quote(long[0])} has more digits than a float64 holds"
        if "odd" in self._rules.refuse:
            advice = f"round it, or treat it as a category (--categorical) or {LEAVE_OUT}"
            self._fault(name, column, column.levels.index(long[0]), f"{what}; {advice}")
        if 2 * distinct > rows and rows >= _ROWS_OF_INDEX:
            return Choice(LeftOut(f"it identifies rows: {distinct:,} integers, {what}"), "")
        if distinct <= MAX_RARE_LEVELS or (distinct <= MAX_LEVELS and 2 * distinct <= rows):
            missing = bool(column.missing[self._rows].any())
            return self._category(column, missing, f"integers as names, {what}")
        values, _ = as_numbers(column, ".")
        known = values[self._rows]
        return self._from_values(values, known[~np.isnan(known)], f"numbers, rounded: {what}")


class _Share(NamedTuple):
    """How many of the cells that are not missing are of a kind, and how many texts are not."""

    share: float
    others: int


def _is_of_kind(kind: _Share, few: bool) -> bool:
    """Tell whether a column is of a kind of which it has cells, given if it has few levels."""
    if kind.share >= _NEARLY_ALL:
        return True
    return kind.share >= _MOST and kind.others <= _FEW_OTHERS and not few


class _Shares:
    """What shares of the cells of a column that are not missing are dates and numbers."""

    def __init__(self, column: Texts, counts: NDArray[np.int64]) -> None:
        total = max(int(counts.sum()), 1)

        def share(hits: Sequence[bool]) -> _Share:
            of_all = float(counts[np.array(hits, dtype=np.bool_)].sum()) / total
            return _Share(of_all, len(hits) - sum(hits))

        self.dates = share([is_date(level) for level in column.levels])
        kinds = [notation(level) for level in column.levels]
        numbers = [
            kind is not None or is_number(level)
            for level, kind in zip(column.levels, kinds, strict=True)
        ]
        self.numbers = share(numbers)
        found: Counter[str] = Counter()
        for kind, count in zip(kinds, counts.tolist(), strict=True):
            if kind is not None:
                found[kind] += count
        self.kinds = dict(found.most_common())
        self.unit: str | None = None
        self.durations = False
        if self.numbers.share < _MOST:
            units = [unit(level) for level in column.levels]
            names = {each[1] for each in units if each is not None}
            known = share([each is not None for each in units])
            if len(names) == 1 and known.share > _MOST and _is_of_kind(known, few=False):
                self.unit = names.pop()
                # A time of day could be a duration, but not the other way round.
                self.durations = self.unit == HOURS and known.others < self.dates.others

    def said(self) -> str:
        """Say which share of texts are dates or numbers, if most are."""
        for kind, what in ((self.dates, "dates"), (self.numbers, "numbers")):
            if kind.share >= _MOST:
                return f", {int(100 * kind.share)} % of them {what}"
        return ""


def _words(count: int) -> str:
    return "the one word" if count == 1 else f"each of the {count} words"


_PART_NAMES = {
    "day": "day number",
    "month": "time of the year",
    "weekday": "weekday",
    "hour": "time of day",
}


def _varying_parts(days: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the parts of dates in which they differ beyond what their day says."""
    whole = np.unique(np.floor(days))
    parts = []
    dates = whole.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    if days.min() < days.max():
        parts.append("day")
    if len(np.unique(months.astype(np.int64) % 12)) > 1:
        parts.append("month")
    # All on the first of a month: a weekday is chance then.
    monthly = bool((dates == months.astype("datetime64[D]")).all())
    if not monthly and len(np.unique((whole + 3) % 7)) > 1:
        parts.append("weekday")
    if len(np.unique(days % 1.0)) > 1:
        parts.append("hour")
    return tuple(parts)


def _numbers_rows(name: str, values: NDArray[np.float64]) -> bool:
    """Tell whether a column is an index, by its name and by its integers, which all differ."""
    if not (_NAME_OF_INDEX.fullmatch(name.lower()) or _CAMEL_INDEX.fullmatch(name)):
        return False
    return len(values) >= _ROWS_OF_INDEX and _all_different(values)


def _all_different(values: NDArray[np.float64]) -> bool:
    """Tell whether all values are integers, each of which occurs once."""
    # Most columns that are no index show it in their first rows.
    return all(
        bool((part == np.floor(part)).all()) and len(np.unique(part)) == len(part)
        for part in (values[:1000], values)
    )
