"""What one cell of a table holds: a number, a date, nothing, or what only a person reads as one."""

from __future__ import annotations

import math
import re

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})

# From here on, not every integer can be represented as a float64.
EXACT_INTEGERS = 2.0**53

# Longer texts are not looked at.
_MAX_ODD = 64

# How the names of months begin in European languages. Any other word between two numbers is not a
# month, as in 12 Monkeys 1995 and 10-RED-22.
_MONTHS = (
    *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    *("jän", "mär", "mrz", "mai", "okt", "dez", "fév", "fev", "avr", "aoû", "aou", "déc"),
    *("ene", "abr", "ago", "set", "dic", "gen", "mag", "giu", "lug", "ott", "out", "maa", "mrt"),
    *("mei", "maj", "des", "sty", "lut", "kwi", "cze", "lip", "sie", "wrz", "paź", "lis", "gru"),
    *("янв", "фев", "мар", "апр", "мая", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"),
)
# 4 Jan 2023, 04-Jan-23, 2023-Jan-04, Wed, 4 Jan 2023, Jan 4, 2023.
_NAME = rf"(?i:{'|'.join(_MONTHS)})[^\W\d_]{{0,7}}"
_MONTH = rf"(?:de )?{_NAME}\.?(?: de)?"
_YEAR = r"[12]\d{3}"
_DAY = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}([-/.])\d{1,2}\1\d{4}|\d{1,2}/\d{1,2}/\d{2}"
    rf"|\d{{2}}\.\d{{2}}\.\d{{2}}|\d{{1,2}}-{_NAME}-\d{{2}}"
    rf"|(?:[^\W\d_]{{2,10}}\.?, )?\d{{1,2}}(?:\.|st|nd|rd|th)?[- ]{_MONTH},?[- ]{_YEAR}"
    rf"|(?:[^\W\d_]{{2,10}}\.?, )?{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}"
    rf"|{_YEAR}[- ]{_MONTH}[- ]\d{{1,2}})"
)
_TIME = (
    r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|GMT|UTC|[+-]\d{2}:?\d{2}))?"
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
_ODD = tuple(
    (re.compile(pattern, re.ASCII), what)
    for pattern, what in (
        (rf"{_SIGN}{_AMOUNT} ?[%\u2030]|% ?{_AMOUNT}", "is a percentage; write the number alone"),
        (
            rf"{_SIGN}{_MONEY} ?{_SIGN}{_AMOUNT}|{_SIGN}{_AMOUNT} ?{_MONEY}"
            rf"|\((?:{_MONEY} ?)?{_AMOUNT}\)",
            "is an amount of money as accounts show it; write the number alone",
        ),
        (
            rf"[\u2212\u2013] ?{_AMOUNT}{_EXPONENT}",
            "has a dash for a minus sign; write the hyphen-minus '-'",
        ),
        (
            rf"{_SIGN}(?:\d*,(?:\d{{1,2}}|\d{{4,}})|0*,\d+){_EXPONENT}",
            "has a decimal comma; write numbers with a decimal point",
        ),
        (
            rf"{_SIGN}\d+,\d{{3}}{_EXPONENT}",
            "has a comma, which may be decimal or between thousands; write numbers with a decimal "
            "point and their digits in one piece",
        ),
        (
            rf"(?!{_PHONE}){_SIGN}(?:{_GROUPED}|\d+(?:_\d+)+(?:\.\d*)?{_EXPONENT})",
            "has its digits in groups; write them in one piece, with a decimal point",
        ),
    )
)
_UNIT = re.compile(
    rf"{_SIGN}({_AMOUNT}{_EXPONENT}) ?([^\W\d_]+[23\u00b2\u00b3]?(?:/\w+)?|\u00b0[CFK]?)"
)


def is_missing(cell: str) -> bool:
    """Tell whether a stripped cell stands for a missing value."""
    return cell.lower() in MISSING


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


def oddity(cell: str) -> str | None:
    """Return what is wrong with a number in an unsupported notation and how to fix it, or None."""
    if len(cell) > _MAX_ODD or is_number(cell):
        return None
    for pattern, what in _ODD:
        if pattern.fullmatch(cell):
            return what
    if not cell.isascii() and is_number(_with_ascii_digits(cell)):
        return "has other digits than 0 to 9; write it with those"
    return None


def unit(cell: str) -> tuple[str, str] | None:
    """Return the number and the unit of a cell such as 72.4 kg, else None."""
    found = None if len(cell) > _MAX_ODD else _UNIT.fullmatch(cell)
    return None if found is None else (found[1], found[2])


def _with_ascii_digits(cell: str) -> str:
    """Return a text with all decimal digits as those from 0 to 9."""
    return "".join(str(int(c)) if c.isdecimal() else c for c in cell)
