"""Numbers as people write them: 12 %, $1,234.50, 72,4, (1.2), 5 kg."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ._cells import hours, is_number, notation, unit, with_ascii_digits
from ._columns import Column, Numbers, Table, Texts

_GROUP = re.compile(r"[\s'\u2019_\u00a0\u2009\u202f]")
_BODY = re.compile(r"[\d.,\s'\u2019_\u00a0\u2009\u202f]*\d[\d.,]*(?:[eE][+-]?\d+)?|[.,]\d+")
_MINUS = "-\u2212\u2013"
# Digits that may be groups. After a zero, as in 0,125, stands the fraction.
_GROUPED = re.compile(r"(?!0)\d{1,3}(?:,\d{3})+|(?!0)\d{1,3}(?:\.\d{3})+")
_ONE_GROUP = re.compile(r"[-+]?[1-9]\d{0,2}\.\d{3}")
_SIGN_OR_CODE = re.compile(r"[%\u2030$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba\u20aa]|[A-Z]{3}")
_SIGNS_OF_CODES = {
    "EUR": "\u20ac",
    "USD": "$",
    "GBP": "\u00a3",
    "JPY": "\u00a5",
    "INR": "\u20b9",
}

# What is said of a column whose cells leave open what separates the fraction.
OPEN = " (1,234 and 1.234 could be either)"
# What a column in each notation holds, for the report.
KINDS = {
    "percentage": "percentages",
    "money": "amounts of money",
    "dash": "numbers with a dash for a minus sign",
    "decimal comma": "numbers with a decimal comma",
    "comma": "numbers with a comma",
    "groups": "numbers with their digits in groups",
    "digits": "numbers in other digits than 0 to 9",
    "unit": "numbers with a unit",
}


class Separators(NamedTuple):
    """What the cells of a column tell of the separator of the fraction.

    Attributes
    ----------
    commas, points : int
        How many cells can only have a decimal comma, and how many only a decimal point.
    open_comma, open_point : str
        The first cell such as 1,234 and such as 1.234, which could be either; "" for none.
    """

    commas: int
    points: int
    open_comma: str
    open_point: str

    def told(self) -> str | None:
        """Return the decimal separator, None if the cells leave it open."""
        if self.commas == self.points:
            return None
        return "," if self.commas > self.points else "."


def separators(cells: Iterable[str]) -> Separators:
    """Return what the different cells of a column tell of their decimal separator."""
    commas = points = 0
    open_comma = open_point = ""
    for cell in cells:
        if "," not in cell and "." not in cell:
            continue
        body = _BODY.search(cell)
        if body is None or not _is_numeric(cell):
            continue
        text = body[0].strip()
        comma, point = text.rfind(","), text.rfind(".")
        if comma >= 0 and point >= 0:
            commas += comma > point
            points += point > comma
        elif text.count(",") > 1:
            points += 1
        elif text.count(".") > 1:
            commas += 1
        elif _GROUPED.fullmatch(text) is None:
            commas += comma >= 0
            points += point >= 0
        elif comma >= 0:
            open_comma = open_comma or cell
        else:
            open_point = open_point or cell
    return Separators(commas, points, open_comma, open_point)


def _is_numeric(cell: str) -> bool:
    """Tell whether a cell is a number in any notation, a unit beside it included."""
    return is_number(cell) or notation(cell) is not None or unit(cell) is not None


def decimal_of(cells: Iterable[str], comma_is_likely: bool) -> tuple[str, bool]:
    """Return the decimal separator of numbers, and whether the cells leave that open.

    Parameters
    ----------
    cells : iterable of str
        Different cells of one column.
    comma_is_likely : bool
        What to take a comma for where the cells leave it open, as in 1,234: a decimal comma, as
        where semicolons separate the cells, or a separator of thousands.
    """
    found = separators(cells)
    if found.commas == found.points == 0 and found.open_comma:
        return ("," if comma_is_likely else "."), True
    return found.told() or ".", False


def has_open_points(table: Table, name: str) -> bool:
    """Tell whether all numbers of a column look like 9.842, where semicolons separate the cells.

    Such a number may be 9842 then; it is read as it is.
    """
    column: Column = table.columns[name]
    if not table.decimal_comma or table.texts is None:
        return False
    if isinstance(column, Numbers):
        known = column.values[~np.isnan(column.values)]
        # Most columns show at once that they cannot look so.
        if not known.size or not (np.abs(known[:1000]) < 1000).all():
            return False
        column = table.texts(name)
    levels = column.levels if isinstance(column, Texts) else []
    return bool(levels) and all(map(_ONE_GROUP.fullmatch, levels))


def unit_of(cell: str) -> str:
    """Return the unit, currency or percent sign beside the number of a cell, '' if it has none."""
    if is_number(cell):
        return ""
    kind = notation(cell)
    if kind is None:
        found = unit(cell)
        return "" if found is None else found[1]
    sign = _SIGN_OR_CODE.search(cell) if kind in ("percentage", "money") else None
    return "" if sign is None else _SIGNS_OF_CODES.get(sign[0], sign[0])


def common_unit(cells: Sequence[str], counts: Sequence[int]) -> str:
    """Return the unit in which the numbers of a column are, '' for none.

    It is the commonest one. A currency may stand in a few cells only; a percent sign or any other
    unit must stand in most of them, since a number without it would be on another scale.

    Parameters
    ----------
    cells : sequence of str
        Different cells of one column.
    counts : sequence of int
        How often each occurs.
    """
    found: Counter[str] = Counter()
    currencies = set()
    for cell, count in zip(cells, counts, strict=True):
        name = unit_of(cell)
        found[name] += count
        if notation(cell) == "money":
            currencies.add(name)
    total = found.total()
    likely = [
        name for name, count in found.items() if name and (name in currencies or 2 * count > total)
    ]
    return max(likely, key=lambda name: found[name], default="")


def without_unit(cells: Sequence[str], counts: Sequence[int], unit: str) -> str:
    """Say how many numbers lack the unit of their column, '' if none does."""
    bare = sum(
        count
        for cell, count in zip(cells, counts, strict=True)
        if unit and not unit_of(cell) and parse(cell, ".") is not None
    )
    return f", {bare:,} of them without {unit!r}" if bare else ""


def parse(cell: str, decimal: str, unit: str = "") -> float | None:
    """Return the number of a cell, None if it is none in any notation.

    The unit, currency or percent sign is left out, and what separates groups of digits, too; an
    amount in parentheses is negative. A number in another unit is none: 1.2M is not 1.2. Durations
    such as 31:05, whose unit is h:mm, are hours.

    Parameters
    ----------
    cell : str
        The text without blanks around it.
    decimal : {".", ","}
        What comes before the fraction where the cell leaves it open, as 1,234 does. In 3,5 and
        1.234,5 it can only be the comma, whatever the column has.
    unit : str, optional
        The unit that may stand beside the number, as of `common_unit`.
    """
    plain = is_number(cell)
    if plain and not (decimal == "," and _GROUPED.fullmatch(cell.lstrip("+-"))):
        return float(cell)
    if not plain and unit_of(cell) not in ("", unit):
        return None
    if not plain and notation(cell) is None and not unit_of(cell):
        return None
    duration = hours(cell)
    if duration is not None:
        return duration
    body = _BODY.search(cell)
    if body is None:
        return None
    text = _GROUP.sub("", body[0])
    digits = _digits(with_ascii_digits(text), decimal)
    if digits is None:
        return None
    before = cell[: body.start()]
    negative = any(sign in before for sign in _MINUS) or (
        cell.startswith("(") and cell.endswith(")")
    )
    try:
        value = float(digits)
    except ValueError:
        return None
    return -value if negative else value


def _digits(text: str, decimal: str) -> str | None:
    """Return a number without groups and with a decimal point, None if its separators misfit."""
    last = max(text.rfind(","), text.rfind("."))
    if last < 0:
        return text
    if _GROUPED.fullmatch(text):
        mark = text[last]
        if text.count(mark) > 1 or mark != decimal:
            return text.replace(mark, "")
    whole, fraction = text[:last], text[last + 1 :]
    if "," in whole or "." in whole:
        if text[last] in whole or _GROUPED.fullmatch(whole) is None:
            return None
        whole = whole.replace(",", "").replace(".", "")
    return f"{whole}.{fraction}"
