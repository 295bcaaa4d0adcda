"""Reading a text table: rows with their line numbers, and their cells collected by column."""

from __future__ import annotations

import csv
import math
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.read import open_plain_or_gzip, shorten
from ._cells import EXACT_INTEGERS, is_missing, is_number, is_plain, loses_digits, oddity

MAX_LEVELS = 256
# Limits the columns of a table, and the levels of all its categories together.
MAX_COLUMNS = 1 << 16
# What to do about a column, in the words of the command line and of Python.
LEAVE_OUT = "leave the column out (--ignore, in Python ignore=)"
_MISSING = -1
_MAX_ROW = 1 << 22
_MAX_BLANK = 100_000
_MAX_IN_MESSAGE = 80
_DELIMITERS = ",;\t"

_QUOTED = re.compile(r'"[^"]*"')
_WITH_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")

Row = tuple[int, list[str]]


def fault(path: str, line: int, column: str | None, what: str) -> ValueError:
    """Return the error for one place in a file."""
    place = f"line {line}"
    if column is not None:
        place += f", column {shorten(repr(column), _MAX_IN_MESSAGE)}"
    return ValueError(f"{path}: {place}: {what}")


def quote(cell: str) -> str:
    """Return the repr of a cell, cut to a length fit for a message."""
    return shorten(repr(cell), _MAX_IN_MESSAGE)


def listing(names: Sequence[str]) -> str:
    """Return the first names of a list, fit for a message."""
    return ", ".join(map(quote, names[:8])) + (", ..." if len(names) > 8 else "")


class _Lines:
    """The lines of a UTF-8 text file, with a limit on the length of each row of the table.

    A quoted cell may span any number of lines; `begin_row` says that a row has ended.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file, _ = open_plain_or_gzip(path, check=True)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip data: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
        self.number = 0
        self.delimiter: str | None = None
        self.begin_row()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number += 1
        raw = self._file.readline(self._room)
        if not raw:
            raise StopIteration
        self._room -= len(raw)
        if self._room <= 0:
            raise self._fault(f"not a text table: a row of more than {_MAX_ROW} bytes")
        if b"\0" in raw:
            what = "a zero byte, as UTF-16 text and programs' own files have; save as CSV in UTF-8"
            raise self._fault(f"not a text table: it has {what}")
        try:
            line = raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            what = f"not UTF-8 text: {error.reason}; save the file with the encoding UTF-8"
            raise self._fault(what) from None
        if self.delimiter is not None:
            self._count(line)
        return line

    def begin_row(self) -> None:
        """Restore the full allowance of a row."""
        self._room = _MAX_ROW
        self._cells = 1

    def push(self, line: str, delimiter: str) -> Iterator[str]:
        """Return an iterator over a line that has been read and those that follow it."""
        self.delimiter = delimiter
        self._count(line)
        yield line
        yield from self

    def _count(self, line: str) -> None:
        self._cells += line.count(self.delimiter or "")
        if self._cells > MAX_COLUMNS:
            raise self._fault(f"more than {MAX_COLUMNS} columns")

    def _fault(self, what: str) -> ValueError:
        return fault(self._path, self.number, None, what)


def read_rows(path: str) -> Iterator[Row]:
    """Yield the rows of a comma-, semicolon- or tab-separated file with their line numbers.

    The separator is taken from the first line that is not blank. Blank lines are skipped; cells may
    still have blanks at their ends.
    """
    with _Lines(path) as lines:
        line = _first_line(path, lines)
        before = lines.number - 1
        delimiter = _delimiter(line)
        source = lines.push(line, delimiter)
        reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
        empty = True
        blank = 0
        while True:
            begin = before + reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                what = _explain(error, begin)
                raise fault(path, before + reader.line_num, None, what) from None
            if row is None:
                break
            lines.begin_row()
            if len(row) > 1 or (row and row[0].strip()):
                empty, blank = False, 0
                yield before + reader.line_num, row
                continue
            blank += 1
            _check_blank(path, before + reader.line_num, blank)
    if empty:
        raise ValueError(f"{path}: the file is empty")


def _delimiter(line: str) -> str:
    """Return the most frequent separator of a line, not counting quoted cells.

    If every comma stands inside a number between semicolons or tabs, commas are decimal commas.
    """
    bare = _QUOTED.sub("", line)
    for delimiter in ";\t":
        cells = bare.split(delimiter)
        commas = [cell for cell in cells if "," in cell]
        if len(cells) > 1 and commas and all(map(_WITH_DECIMAL_COMMA.fullmatch, commas)):
            return delimiter
    return max(_DELIMITERS, key=bare.count)


def _explain(error: csv.Error, begin: int) -> str:
    """Return what is wrong with the row that begins at a line, in words that help."""
    text = str(error)
    if "unexpected end" in text:
        return f'{text}: a quote (") that the row from line {begin} on opens is never closed'
    if "new-line" in text:
        return "a line ends with CR alone; save the file with LF or CR LF at the end of lines"
    return text


def _first_line(path: str, lines: _Lines) -> str:
    """Return the first line that is not blank."""
    for line in lines:
        if line.strip():
            return line
        lines.begin_row()
        _check_blank(path, lines.number, lines.number)
    raise ValueError(f"{path}: the file is empty")


def _check_blank(path: str, line: int, blank: int) -> None:
    """Refuse a file of endless blank lines."""
    if blank > _MAX_BLANK:
        raise fault(path, line, None, f"not a text table: more than {_MAX_BLANK} blank lines")


def strip(row: Row) -> Row:
    """Return a row without the blanks around its cells."""
    return row[0], [cell.strip() for cell in row[1]]


def header_names(first: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns from a header; an empty name becomes x and position."""
    return tuple(cell or f"x{at}" for at, cell in enumerate(first))


def number_fault(cell: str, advice: str) -> str | None:
    """Say what keeps a stripped cell from being read as a number, None if nothing does.

    The advice is what to do about an integer with too many digits.
    """
    if not is_number(cell):
        odd = oddity(cell)
        return f"{quote(cell)} is not a number" if odd is None else f"{quote(cell)} {odd}"
    if loses_digits(cell):
        return f"{quote(cell)} has more digits than a float64 holds; {advice}"
    return None


def _are_usual(texts: Sequence[str], values: Sequence[float]) -> bool:
    """Tell whether what `float` made of texts is right without a closer look."""
    if not values:
        return True
    exact = min(values) > -EXACT_INTEGERS and max(values) < EXACT_INTEGERS
    return exact and is_plain("".join(texts))


def check_different(path: str, line: int, names: Sequence[str]) -> None:
    """Refuse a column that occurs twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise fault(path, line, name, "the column occurs twice")
        seen.add(name)


def check_width(path: str, line: int, cells: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a row with more or fewer cells than the table has columns."""
    if len(cells) < len(names):
        what = f"no value here, the row has {len(cells)} of {len(names)}"
        raise fault(path, line, names[len(cells)], what)
    if len(cells) > len(names):
        what = f"the row has {len(cells)} values, and this is the last of {len(names)} columns"
        if len(cells) == 2 * len(names) and all(map(is_number, map(str.strip, cells))):
            what += "; if its commas are decimal, write numbers with a decimal point"
        raise fault(path, line, names[-1], what)


class Cells:
    """Collects the cells of a table: numbers, levels of categories, and the target's texts.

    Parameters
    ----------
    path : str
        The file, for messages.
    names : sequence of str
        Names of the table's columns.
    numeric : sequence of int
        Positions of the columns that hold numbers.
    categories : dict of int to sequence of str, or None
        Positions of the columns that hold a category, with its levels; None: to be learnt.
    target : int or None
        Position of the target, whose cells are kept as texts.
    advice : str
        What to do about an integer among the inputs that has more digits than a float64 holds.
    """

    def __init__(
        self,
        path: str,
        names: Sequence[str],
        numeric: Sequence[int],
        categories: dict[int, Sequence[str] | None],
        target: int | None,
        advice: str,
    ) -> None:
        self.path = path
        self.names = names
        self.numeric = numeric
        self.target = target
        self._advice = advice
        self.lines = array("q")
        self.targets: list[str] = []
        self._values = array("d")
        self._known = {at: levels is not None for at, levels in categories.items()}
        self._index = {
            at: {level: code for code, level in enumerate(levels or ())}
            for at, levels in categories.items()
        }
        self._codes = {at: array("q") for at in categories}
        self._levels = 0

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Take one row, or raise a ValueError that names line and column."""
        check_width(self.path, line, cells, self.names)
        texts = [cells[at] for at in self.numeric]
        try:
            values = list(map(float, texts))
        except ValueError:
            values = self._with_care(line, texts)
        else:
            if not _are_usual(texts, values):
                values = self._with_care(line, texts)
        self._values.extend(values)
        for at, index in self._index.items():
            cell = cells[at].strip()
            code = index.get(cell)
            self._codes[at].append(self._new_level(line, at, cell) if code is None else code)
        if self.target is not None:
            self.targets.append(cells[self.target].strip())
        self.lines.append(line)

    def _with_care(self, line: int, texts: Sequence[str]) -> list[float]:
        """Return the numbers of a row, NaN if missing; refuse the first cell that is no number."""
        values = []
        for at, text in zip(self.numeric, texts, strict=True):
            cell = text.strip()
            if is_missing(cell):
                values.append(math.nan)
                continue
            what = number_fault(cell, self._advice)
            if what is not None:
                raise fault(self.path, line, self.names[at], what)
            values.append(float(cell))
        return values

    def _new_level(self, line: int, at: int, cell: str) -> int:
        """Return the code of a level seen for the first time."""
        if is_missing(cell):
            return _MISSING
        index = self._index[at]
        if self._known[at]:
            what = f"{quote(cell)} is none of the known levels {listing(tuple(index))}"
            raise fault(self.path, line, self.names[at], what)
        if len(index) == MAX_LEVELS:
            what = f"more than {MAX_LEVELS} different texts, so not a category; {LEAVE_OUT}"
            raise fault(self.path, line, self.names[at], what)
        self._levels += 1
        if self._levels > MAX_COLUMNS:
            raise fault(self.path, line, self.names[at], f"more than {MAX_COLUMNS} levels in all")
        return index.setdefault(cell, len(index))

    def check_complete(self, advice: str) -> None:
        """Refuse missing values, all of them in one message."""
        values = self._matrix()
        found: dict[int, NDArray[np.intp]] = {}
        for column in np.flatnonzero(np.isnan(values).any(axis=0)).tolist():
            found[self.numeric[column]] = np.flatnonzero(np.isnan(values[:, column]))
        for at, codes in self._codes.items():
            rows = np.flatnonzero(np.frombuffer(codes, dtype=np.int64) == _MISSING)
            if rows.size:
                found[at] = rows
        found = dict(sorted(found.items()))
        if not found:
            return
        at = min(found, key=lambda at: (int(found[at][0]), at))
        first = [f"{found[at].size:,} in {quote(self.names[at])}" for at in list(found)[:8]]
        which = ", ".join(first) + (", ..." if len(found) > 8 else "")
        what = f"missing value; of {len(self.lines):,} rows miss one: {which}; {advice}"
        raise fault(self.path, self.lines[int(found[at][0])], self.names[at], what)

    def numbers(self) -> NDArray[np.float64]:
        """Return the numeric columns, shape (N, number of them), all finite."""
        values = self._matrix()
        finite = np.isfinite(values)
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            name = self.names[self.numeric[column]]
            raise fault(self.path, self.lines[row], name, "the number is not finite")
        return values

    def _matrix(self) -> NDArray[np.float64]:
        return np.frombuffer(self._values).reshape(len(self.lines), len(self.numeric))

    def n_levels(self, at: int) -> int:
        """Return how many levels a category has."""
        return len(self._index[at])

    def category(self, at: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the levels of a category, sorted if they were learnt, and the rows' codes."""
        seen = tuple(self._index[at])
        codes: NDArray[Any] = np.frombuffer(self._codes[at], dtype=np.int64)
        if self._known[at]:
            return seen, codes
        order = sorted(range(len(seen)), key=seen.__getitem__)
        return tuple(seen[code] for code in order), np.argsort(order)[codes]
