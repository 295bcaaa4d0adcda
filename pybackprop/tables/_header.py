"""Whether the first row of a text table holds the names of its columns."""

from __future__ import annotations

from collections.abc import Sequence

from ._cells import MISSING, is_date, is_missing, is_number, oddity
from ._read import Row

# The name that pandas gives to a column read without a name.
_UNNAMED = "Unnamed: 0"


def is_header(head: Sequence[Row], missing: frozenset[str] = MISSING) -> bool:
    """Tell by the rule of `pybackprop.datasets.load_csv` whether the first row holds names."""
    first, below = head[0][1], head[1:]
    has_number = any(is_number(cell) for cell in first)
    if not below:
        return not has_number and not all(oddity(cell) for cell in first)
    columns = range(min(len(cells) for _, cells in head))
    numeric = {at for at in columns if is_numeric(below, at, missing)}
    # A column with only missing values has no numbers that a name could stand above.
    if any(
        _is_name(first[at]) and any(is_number(cells[at]) for _, cells in below) for at in numeric
    ):
        return True
    if has_number:
        return False
    # A name such as 50% stands above numbers, not above more of its kind.
    if any(oddity(first[at]) for at in columns if at not in numeric):
        return False
    if numeric:
        return True
    # Above a column of dates, or of numbers as people write them, stands only its name.
    if any(
        _is_name(first[at]) and all(is_date(cells[at]) or oddity(cells[at]) for _, cells in below)
        for at in columns
    ):
        return True
    differ = len(set(first)) == len(first) and not any(is_missing(cell) for cell in first)
    return differ and not any(cells[at] == first[at] for _, cells in below for at in columns)


def number_among_texts(first: Sequence[str]) -> str | None:
    """Return the first number of a row that also holds texts, None if there is none."""
    numbers = [cell for cell in first if is_number(cell)]
    return numbers[0] if numbers and any(map(_is_name, first)) else None


def is_value(cell: str) -> bool:
    """Tell whether a cell cannot be in a header: a number, in any notation, or a missing value."""
    return is_number(cell) or is_missing(cell) or oddity(cell) is not None


def is_numeric(rows: Sequence[Row], at: int, missing: frozenset[str] = MISSING) -> bool:
    """Tell whether at least half of the cells of a column that are not missing are numbers."""
    cells = [cells[at] for _, cells in rows if not is_missing(cells[at], missing)]
    return 2 * sum(map(is_number, cells)) >= len(cells)


def unnamed_index(names: Sequence[str]) -> Sequence[str]:
    """Return the first column if it has no name, as an index that was saved with a table."""
    return [name for name in names[:1] if name in ("", _UNNAMED)]


def _is_name(cell: str) -> bool:
    """Tell whether a text is something other than a number, in any notation, or a date."""
    return not (is_number(cell) or is_missing(cell) or is_date(cell) or oddity(cell))
