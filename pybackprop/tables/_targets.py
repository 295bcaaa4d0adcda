"""The target of a table: numbers or classes, and whether classes can be learnt from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _notations
from ._cells import integer, is_date, is_integer, is_number, loses_digits, notation
from ._cells import unit as unit_of_cell
from ._columns import MISSING_CODE, Array, Column, Days, Numbers, Table, Texts
from ._faults import Faults, listing, quote
from ._treatments import as_numbers, as_texts, plain

MAX_INTEGER_CLASSES = 20
MIN_ROWS_PER_CLASS = 5
# The share of rows that may be the only ones of their class where most classes have but one.
_FEW_ROWS = 0.1
# A unit must stand behind more different numbers than these for them to be no names.
_MAX_NAMES = 20


class Target(NamedTuple):
    """What a target column holds.

    Attributes
    ----------
    y : ndarray of shape (N,)
        float64 numbers, or int64 indices of classes; of no meaning where a row has no target.
    present : ndarray of bool, shape (N,)
        Which rows have one.
    classes : tuple of str or None
        Names of the classes; None for numbers.
    decimal : {".", ","}
        What comes before the fraction of its numbers.
    unit : str
        The unit that may stand beside them; "" for none.
    why : str
        How its numbers are read, if not as they are.
    """

    y: Array
    present: NDArray[np.bool_]
    classes: tuple[str, ...] | None
    decimal: str = "."
    unit: str = ""
    why: str = ""


def learn_target(table: Table, name: str, task: str | None, faults: Faults) -> Target:
    """Return the targets of a table; what makes them unfit goes to the faults.

    Parameters
    ----------
    table : Table
    name : str
        The target column.
    task : {"classification", "regression"} or None
        What the targets are, None to tell by the rule of `pybackprop.datasets.load_csv`.
    faults : Faults
    """
    column = table.columns[name]
    present = ~column.missing
    nothing = Target(np.zeros(table.n_rows), present, None)
    if not present.any():
        what = "the target column is empty; choose another target (--target)"
        faults.add(_line(table, present), name, what)
        return nothing
    if task is None and isinstance(column, Texts) and column.coded:
        task = "classification"
    if task != "classification" and _is_of_dates(column):
        first = as_texts(column).levels[0]
        what = (
            f"{quote(first)} is a date or time; choose another target (--target); if the texts are "
            "names, say so (--task classification)"
        )
        faults.add(_line(table, present), name, what)
        return nothing
    if task == "regression" or (task is None and _is_numeric(column)):
        decimal, unit, why = ".", "", ""
        if isinstance(column, Texts):
            unit = _notations.common_unit(column.levels, column.counts().tolist())
            decimal, is_open = _notations.decimal_of(column.levels, table.decimal_comma)
            why = _how_read(column, decimal, unit, is_open)
        elif _notations.has_open_points(table, name):
            why = f"numbers{_notations.OPEN}"
        advice = "round it, or use --task classification"
        y = target_numbers(table, name, decimal, unit, advice, faults)
        if task == "regression" or not _are_classes(y[present]):
            return Target(y, present, None, decimal, unit, why)
    return _learn_classes(table, name, present, faults)


def _how_read(column: Texts, decimal: str, unit: str, is_open: bool) -> str:
    """Say how texts are read as numbers."""
    counts = column.counts().tolist()
    why = f"numbers with the unit {unit!r}" if unit else "numbers"
    why += _notations.without_unit(column.levels, counts, unit)
    why += ", the comma is decimal" if decimal == "," else ""
    why += _notations.OPEN if is_open else ""
    return "" if why == "numbers" else why


def _learn_classes(table: Table, name: str, present: NDArray[np.bool_], faults: Faults) -> Target:
    """Return the targets as classes, in the order of their values or names."""
    column = table.columns[name]
    if isinstance(column, Numbers) and not _all_integers(column) and table.texts is not None:
        column = table.texts(name)
    texts = as_texts(column)
    if all(map(is_integer, texts.levels)):
        values = sorted({integer(level) for level in texts.levels})
        classes = tuple(str(value) for value in values)
    else:
        classes = tuple(sorted(texts.levels))
    y = _codes(texts, classes)
    what = class_fault(classes, np.bincount(y[present], minlength=len(classes)).tolist())
    if what is not None:
        what += "; choose another target (--target)"
        if len(classes) > 1 and all(map(is_number, classes)):
            what += ", or predict the number (--task regression)"
        faults.add(_line(table, ~present), name, what)
    return Target(y, present, classes)


def class_fault(classes: Sequence[str], counts: Iterable[int]) -> str | None:
    """Say why classes with so many rows each cannot be learnt, None if they can.

    Most classes may have a single row only if these are few of all rows. With two classes one row
    each is enough; holding out a part reports if there are too few.
    """
    if len(classes) == 1:
        return f"all rows are of the one class {quote(classes[0])}"
    counts = list(counts)
    single = sum(count == 1 for count in counts)
    if len(classes) == 2 or 2 * single <= len(classes) or single <= _FEW_ROWS * sum(counts):
        return None
    return (
        f"{len(classes):,} different values in {sum(counts):,} rows, {single:,} of them in one "
        "row only, cannot be learnt as classes"
    )


def target_numbers(
    table: Table, name: str, decimal: str, unit: str, advice: str, faults: Faults
) -> NDArray[np.float64]:
    """Return the targets as numbers, shape (N,), NaN where missing; others go to the faults.

    The advice is what to do about an integer with more digits than a float64 holds.
    """
    column = table.columns[name]
    values, bad = as_numbers(column, decimal, unit)
    if bad.any():
        at = int(np.argmax(bad))
        cell = _text_at(column, at)
        what = f"{quote(cell)} is not a finite number" if is_number(cell) else ""
        what = what or f"{quote(cell)} is not a number"
        count = int(bad.sum())
        what += f"; {count:,} rows have no number as their target" if count > 1 else ""
        faults.add(table.lines[at], name, what)
    if isinstance(column, Texts):
        for code, level in enumerate(column.levels):
            if loses_digits(level):
                at = int(np.argmax(column.codes == code))
                what = f"{quote(level)} has more digits than a float64 holds; {advice}"
                faults.add(table.lines[at], name, what)
                break
    return values


def target_classes(
    table: Table, name: str, classes: Sequence[str], faults: Faults
) -> NDArray[np.int64]:
    """Return the targets as indices of classes, shape (N,), -1 where missing.

    Classes that are integers are found by value, so that 3, 3.0 and 03 are one class.
    """
    column = table.columns[name]
    by_value = all(map(is_integer, classes))
    if isinstance(column, Numbers) and not by_value and table.texts is not None:
        column = table.texts(name)
    texts = as_texts(column)
    y = _codes(texts, classes)
    unknown = (y == MISSING_CODE) & ~texts.missing
    if unknown.any():
        at = int(np.argmax(unknown))
        cell = texts.levels[texts.codes[at]]
        count = int(unknown.sum())
        what = f"{quote(cell)} is none of the classes {listing(classes)}"
        what += f"; {count:,} rows have none of them as their target" if count > 1 else ""
        faults.add(table.lines[at], name, what)
    return y


def _codes(texts: Texts, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each row's class, -1 for none of them."""
    index = {name: code for code, name in enumerate(classes)}
    by_value = all(map(is_integer, classes))

    def code(level: str) -> int:
        key = str(integer(level)) if by_value and is_integer(level) else level
        return index.get(key, MISSING_CODE)

    of_levels = np.array([code(level) for level in texts.levels], dtype=np.int64)
    return texts.per_row(of_levels, MISSING_CODE)


def _text_at(column: Column, row: int) -> str:
    """Return the text of one cell."""
    if isinstance(column, Texts):
        return column.levels[int(column.codes[row])]
    return plain(float(column.values[row]))


def _line(table: Table, lost: NDArray[np.bool_]) -> int:
    """Return the line of the first row outside a mask, else of the first."""
    row = int(np.argmin(lost))
    return table.lines[row]


def _is_of_dates(column: Column) -> bool:
    """Tell whether all targets are dates."""
    if isinstance(column, Texts):
        return all(map(is_date, column.levels))
    return isinstance(column, Days)


def _is_numeric(column: Column) -> bool:
    """Tell whether at least half of the targets are numbers, in whatever notation."""
    if not isinstance(column, Texts):
        return True
    counts = column.counts()
    hits = np.array([is_number(each) or notation(each) is not None for each in column.levels])
    if 2 * int(counts[hits].sum()) >= int(counts.sum()):
        return True
    units: set[Any] = {unit_of_cell(level) for level in column.levels}
    if None in units or len(column.levels) <= _MAX_NAMES:
        return False
    return len({name for _, name in units}) == 1


def _all_integers(column: Numbers) -> bool:
    """Tell whether all numbers of a column are whole."""
    values = column.values[~np.isnan(column.values)]
    return bool((np.isfinite(values) & (values == np.floor(values))).all())


def _are_classes(y: NDArray[np.float64]) -> bool:
    """Tell by `load_csv`'s rule whether numbers are codes of classes."""
    if not np.isfinite(y).all():
        return False
    # Most targets that are no classes show it in their first rows.
    for part in (y[:1000], y):
        values = np.unique(part)
        if len(values) > MAX_INTEGER_CLASSES or (values != np.floor(values)).any():
            return False
    return len(values) == 2 or len(y) >= MIN_ROWS_PER_CLASS * len(values)
