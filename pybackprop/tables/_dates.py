"""Dates and times in their usual written forms, as numbers of days."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from ._cells import MONTHS, is_date

# The days from 0001-01-01 to 1970-01-01, from which days are counted.
_EPOCH = date(1970, 1, 1).toordinal()

_NUMERIC = re.compile(r"(\d{1,4})([-/.])(\d{1,2})(?:\2(\d{1,4}))?(?=$|[T ,])")
_TIME = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?(?: ?([AaPp])[Mm])?"
    r"(?: ?(?:Z|GMT|UTC|([+-])(\d{2}):?(\d{2})))?$"
)
_WORD = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d+")
# Two-digit years below this are of the 21st century, as in POSIX.
_CENTURY = 69


def day_comes_first(texts: Iterable[str]) -> bool | None:
    """Tell the order of dates such as 3/4/2023: whether the day comes first, None if open.

    A number above 12 is no month. Between dots the day comes first.
    """
    first = second = dotted = 0
    for text in texts:
        found = _NUMERIC.match(text)
        if found is None or found[4] is None or len(found[1]) == 4:
            continue
        first += int(found[1]) > 12
        second += int(found[3]) > 12
        dotted += found[2] == "."
    if first != second:
        return first > second
    return True if dotted else None


def parse(text: str, day_first: bool) -> float | None:
    """Return the days from 1970-01-01 to a date with or without a time, None if it is none.

    A time alone is a part of a day, of that day also if its zone is another one. A time zone is
    taken into account.
    """
    if not is_date(text):
        return None
    time = _TIME.search(text)
    fraction = 0.0 if time is None else _part_of_day(time)
    day_text = text if time is None else text[: time.start()]
    if not day_text.strip(" ,T"):
        return fraction % 1.0
    numbers = _from_numbers(day_text, day_first) or _from_words(day_text)
    if numbers is None:
        return None
    year, month, day = numbers
    if year < 100:
        year += 2000 if year < _CENTURY else 1900
    try:
        return date(year, month, day).toordinal() - _EPOCH + fraction
    except ValueError:
        return None


def _part_of_day(time: re.Match[str]) -> float:
    """Return the time as a part of a day, in UTC if it names its zone."""
    hour, minute = int(time[1]), int(time[2])
    if time[4] is not None:
        hour = hour % 12 + 12 * (time[4] in "pP")
    seconds = 3600 * hour + 60 * minute + float((time[3] or "0").replace(",", "."))
    if time[5] is not None:
        offset = 3600 * int(time[6]) + 60 * int(time[7])
        seconds += offset if time[5] == "-" else -offset
    return seconds / 86400


def _from_numbers(text: str, day_first: bool) -> tuple[int, int, int] | None:
    """Return year, month and day of a date such as 2023-01-04, 4.1.2023 or 1/4/23."""
    found = _NUMERIC.match(text)
    if found is None:
        return None
    if found[4] is None:
        return (int(found[1]), int(found[3]), 1) if len(found[1]) == 4 else None
    one, two, three = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) == 4:
        return one, two, three
    return (three, two, one) if day_first else (three, one, two)


def _from_words(text: str) -> tuple[int, int, int] | None:
    """Return year, month and day of a date whose month is a name, in any order."""
    months = [MONTHS.get(word[:3].lower()) for word in _WORD.findall(text)]
    known = [month for month in months if month is not None]
    digits = _DIGITS.findall(text)
    if len(digits) == 1 and known:
        return int(digits[0]), known[-1], 1
    if len(digits) != 2 or not known:
        return None
    year_first = len(digits[0]) == 4
    day, year = (digits[1], digits[0]) if year_first else (digits[0], digits[1])
    # The name of a weekday, such as Mar. for martes, comes before that of the month.
    return int(year), known[-1], int(day)
