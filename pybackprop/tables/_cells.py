"""What one cell of a table holds: a number, a date, nothing, or what only a person reads as one."""

from __future__ import annotations

import math
import re

# In lower case.
MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "<na>", "nat", "#n/a"})

# From here on, not every integer can be represented as a float64.
EXACT_INTEGERS = 2.0**53

# Longer texts are not looked at.
_MAX_ODD = 64

# How the names of months begin in European languages. Any other word between two numbers is not a
# month, as in 12 Monkeys 1995 and 10-RED-22.
MONTHS = {
    begin: month
    for month, begins in enumerate(
        (
            "jan jän ene gen sty янв",
            "feb fév fev lut фев",
            "mar mär mrz maa mrt мар",
            "apr avr abr kwi апр",
            "may mai mag mei maj мая май",
            "jun giu cze июн",
            "jul lug lip июл",
            "aug aoû aou ago sie авг",
            "sep set wrz сен",
            "oct okt ott out paź окт",
            "nov lis ноя",
            "dec dez déc dic des gru дек",
        ),
        1,
    )
    for begin in begins.split()
}
# 4 Jan 2023, 04-Jan-23, 2023-Jan-04, Wed, 4 Jan 2023, Jan 4, 2023.
_NAME = rf"(?i:{'|'.join(MONTHS)})[^\W\d_]{{0,7}}"
_MONTH = rf"(?:de )?{_NAME}\.?(?: de)?"
_YEAR = r"[12]\d{3}"
_DAY = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}([-/.])\d{1,2}\1\d{4}|\d{1,2}/\d{1,2}/\d{2}"
    rf"|\d{{2}}\.\d{{2}}\.\d{{2}}|\d{{1,2}}-{_NAME}-\d{{2}}"
    rf"|(?:[^\W\d_]{{2,10}}\.?, )?\d{{1,2}}(?:\.|st|nd|rd|th)?[- ]{_MONTH},?[- ]{_YEAR}"
    rf"|(?:[^\W\d_]{{2,10}}\.?, )?{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}"
    rf"|{_YEAR}[- ]{_MONTH}[- ]\d{{1,2}}|{_YEAR}-(?:0[1-9]|1[0-2])|{_MONTH} {_YEAR})"
)
_PAST_HOUR = r"[0-5]\d(?::(?:[0-5]\d|60)(?:[.,]\d+)?)?"
_TIME = (
    rf"(?:[01]?\d|2[0-3]):{_PAST_HOUR}(?: ?[AaPp][Mm])?(?: ?(?:Z|GMT|UTC|[+-]\d{{2}}:?\d{{2}}))?"
)
_DATE = re.compile(rf"{_DAY}(?:(?:T|,? )\s*{_TIME})?|{_TIME}")

_BLANKS = " \u00a0\u2009\u202f"
_SIGN = "[-+\u2212\u2013]? ?"
_MONEY = (
    "(?:[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba\u20aa]"
    "|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN)"
)
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|\d?\d)"
# All groups of a number are separated alike. Four groups of up to 255 with dots are an address,
# as 192.168.100.200 is.
_GROUPS = "|".join(rf"(?:[{separator}]\d{{3}})+" for separator in f",.'\u2019_{_BLANKS}")
_GROUPED = rf"(?!{_BYTE}(?:\.{_BYTE}){{3}}\Z)\d{{1,3}}(?:{_GROUPS})(?:[.,]\d+)?"
_PHONE = rf"\+\d{{1,3}}(?:[{_BLANKS}]\d{{3}})+\Z"
_AMOUNT = rf"(?:{_GROUPED}|\d+(?:[.,]\d*)?|[.,]\d+)"
_EXPONENT = r"(?:[eE][+-]?\d+)?"

# Notations of numbers that Python does not accept, or not reliably; the first match counts.
_NOTATIONS = tuple(
    (re.compile(pattern, re.ASCII), kind)
    for pattern, kind in (
        (rf"{_SIGN}{_AMOUNT} ?[%\u2030]|% ?{_AMOUNT}", "percentage"),
        (
            rf"{_SIGN}{_MONEY} ?{_SIGN}{_AMOUNT}|{_SIGN}{_AMOUNT} ?{_MONEY}"
            rf"|\((?:{_MONEY} ?)?{_AMOUNT}\)",
            "money",
        ),
        (rf"[\u2212\u2013] ?{_AMOUNT}{_EXPONENT}", "dash"),
        (rf"{_SIGN}(?:\d*,(?:\d{{1,2}}|\d{{4,}})|0*,\d+){_EXPONENT}", "decimal comma"),
        (rf"{_SIGN}\d+,\d{{3}}{_EXPONENT}", "comma"),
        (
            rf"(?!{_PHONE}){_SIGN}(?:{_GROUPED}|\d+(?:_\d+)+(?:\.\d*)?{_EXPONENT})",
            "groups",
        ),
    )
)
# What keeps numbers in such a notation from being read as they are, and how to write them.
_ODDITIES = {
    "percentage": "is a percentage; write the number alone",
    "money": "is an amount of money; write the number alone",
    "dash": "has a dash for a minus sign; write the hyphen-minus '-'",
    "decimal comma": "has a decimal comma; write numbers with a decimal point",
    "comma": "has a comma, which may be decimal or between thousands; write numbers with a decimal "
    "point and their digits in one piece",
    "groups": "has its digits in groups; write them in one piece, with a decimal point",
    "digits": "has other digits than 0 to 9; write it with those",
}
_UNIT = re.compile(
    rf"{_SIGN}({_AMOUNT}{_EXPONENT}) ?([^\W\d_]+[23\u00b2\u00b3]?(?:/\w+)?|\u00b0[CFK]?)"
)
# Hours, minutes and seconds that have passed, such as 31:05; also a time of day.
_DURATION = re.compile(rf"(\d{{1,4}}):({_PAST_HOUR})", re.ASCII)
# The unit of such cells.
HOURS = "h:mm"


def is_missing(cell: str, missing: frozenset[str] = MISSING) -> bool:
    """Tell whether a stripped cell stands for a missing value."""
    return cell.lower() in missing


def is_number(cell: str) -> bool:
    """Tell whether a stripped cell is a number in ASCII (1_000 and other digits are not)."""
    try:
        value = float(cell)
    except ValueError:
        return False
    return not math.isnan(value) and is_plain(cell)


def is_plain(text: str) -> bool:
    """Tell whether `float` can be trusted with a text, or with several joined."""
    return text.isascii() and "_" not in text


def is_integer(cell: str) -> bool:
    """Tell whether a stripped cell is a number without fractional part."""
    return is_number(cell) and float(cell).is_integer()


def integer(cell: str) -> int:
    """Return the value of a cell that `is_integer`, with all its digits."""
    try:
        return int(cell)
    except ValueError:
        return int(float(cell))


def loses_digits(cell: str) -> bool:
    """Tell whether a stripped cell is an integer that no float64 is equal to."""
    digits = cell.lstrip("+-").lstrip("0")
    if not is_number(cell) or not digits.isdigit():
        return False
    return EXACT_INTEGERS <= float(digits) < math.inf and int(digits) != float(digits)


def is_date(cell: str) -> bool:
    """Tell whether a stripped cell is a date, a time or both, in a usual notation."""
    return _DATE.fullmatch(cell) is not None


def notation(cell: str) -> str | None:
    """Return the notation of a stripped cell that is a number only for people, else None.

    It is one of percentage, money, dash, decimal comma, comma (which may be decimal or between
    thousands), groups and digits.
    """
    if len(cell) > _MAX_ODD or is_number(cell):
        return None
    for pattern, kind in _NOTATIONS:
        if pattern.fullmatch(cell):
            return kind
    if not cell.isascii() and is_number(with_ascii_digits(cell)):
        return "digits"
    return None


def oddity(cell: str) -> str | None:
    """Return what is wrong with a number in such a notation and how to write it, or None."""
    kind = notation(cell)
    return None if kind is None else _ODDITIES[kind]


def unit(cell: str) -> tuple[str, str] | None:
    """Return the number and the unit of a cell such as 72.4 kg, else None.

    That of a duration such as 31:05 is `HOURS`.
    """
    if _DURATION.fullmatch(cell):
        return cell, HOURS
    found = None if len(cell) > _MAX_ODD else _UNIT.fullmatch(cell)
    return None if found is None else (found[1], found[2])


def hours(cell: str) -> float | None:
    """Return the hours of a duration such as 31:05 or 31:05:30, else None."""
    found = _DURATION.fullmatch(cell)
    if found is None:
        return None
    minutes, _, seconds = found[2].partition(":")
    return int(found[1]) + int(minutes) / 60 + float((seconds or "0").replace(",", ".")) / 3600


def with_ascii_digits(cell: str) -> str:
    """Return a text with all decimal digits as those from 0 to 9."""
    return "".join(str(int(c)) if c.isdecimal() else c for c in cell)
