"""What programs write above the rows of a text table: a separator, titles, and too few names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..words import counted
from ._cells import is_number
from ._faults import fault

DELIMITERS = ",;\t|"
QUOTED = re.compile(r'"[^"]*"')
WITH_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")
# The first line of some files for Excel.
_SEPARATOR = re.compile(r'"?(?i:sep)=([^\w"\r\n])"?\r?\n?')
# Of fewer lines, the width of a table cannot be told.
_LEAST_LINES = 2


def separator_of(line: str) -> str | None:
    """Return the separator that a line such as sep=; names, None if it is no such line."""
    found = _SEPARATOR.fullmatch(line)
    return None if found is None else found[1]


def check_titles(path: str, lines: Sequence[tuple[int, str]]) -> None:
    """Refuse a title or a comment above the names of the columns.

    Parameters
    ----------
    path : str
        The file, for the message.
    lines : sequence of (int, str)
        The first lines that are not blank, with their numbers.
    """
    bare = [QUOTED.sub("", line) for _, line in lines]
    # A table that some separator cuts alike from its first line on has nothing above it.
    cuts = ([line.count(each) for line in bare] for each in DELIMITERS)
    if any(min(counts) == max(counts) > 0 for counts in cuts):
        return
    delimiter = max(DELIMITERS, key=bare[-1].count)
    widths = [line.count(delimiter) + 1 for line in bare]
    others = [at for at, width in enumerate(widths) if width != widths[-1]]
    begin = others[-1] + 1 if others else 0
    if begin == 0 or len(lines) - begin < _LEAST_LINES:
        return
    # A name with a quote that is still open goes on in the next line.
    if any('"' in line for line in bare[:begin]):
        return
    is_title = not any(each in bare[0] for each in DELIMITERS) or bare[0].startswith("#")
    if is_title and not all(map(WITH_DECIMAL_COMMA.fullmatch, bare[begin:])):
        cells = counted(widths[0], "cell")
        raise fault(
            path,
            lines[0][0],
            None,
            f"{cells} here, but {widths[-1]} in each line from line {lines[begin][0]} on; delete "
            "the lines above the names of the columns",
        )


def with_name_of_index(head: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return the first rows of a table with an empty name above the names of the rows.

    R writes none there. That the rows have one cell more is no slip if their first cells all differ
    and their last ones are not all empty, as those behind a separator at the end of lines are.
    """
    (line, names), below = head[0], head[1:]
    width = len(names) + 1
    if len(names) < 2 or len(below) < _LEAST_LINES or any(map(is_number, names)):
        return head
    if any(len(cells) != width for _, cells in below):
        return head
    different = len({cells[0] for _, cells in below}) == len(below)
    if different and any(cells[-1] for _, cells in below):
        return [(line, ["", *names]), *below]
    return head
