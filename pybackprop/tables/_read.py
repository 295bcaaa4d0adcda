"""Reading the columns of a text table, without any other package than NumPy."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from ._above import with_name_of_index
from ._cells import EXACT_INTEGERS, MISSING, is_missing, is_number, is_plain
from ._columns import MISSING_CODE, Column, Numbers, Table, Texts, without
from ._engines import read_columns
from ._faults import Faults, fault
from ._rows import MAX_COLUMNS, Piece, RowReader, Widths
from ._source import Source

HEAD_ROWS = 200
# Fewer rows are looked at if they are so wide that they would fill the memory.
_HEAD_CELLS = 100_000
_HEAD_CHARACTERS = 1 << 22
# Different texts take a hundred bytes each, in all columns together.
_MAX_LEVELS = 1 << 22

Row = tuple[int, list[str]]
Progress = Callable[[int], None]
T = TypeVar("T")


class TextFile:
    """A text table that has been opened and whose first rows are known.

    Parameters
    ----------
    path : path or bytes
        The file, or its content.
    missing : frozenset of str
        What stands for a missing cell, in lower case.
    progress : callable, optional
        Called now and then with the number of rows read.

    Attributes
    ----------
    name : str
    head : list of (int, list of str)
        The first rows, without blanks around their cells, with the numbers of their lines.
    """

    def __init__(
        self, path: Any, missing: frozenset[str] = MISSING, progress: Progress | None = None
    ) -> None:
        self._source = Source(path)
        self.name = self._source.name
        self._missing = missing
        self._progress = progress
        self.reader = RowReader(self._source)
        self.head = self._decoded(self._read_head)
        line, first = self.head[0]
        if len(first) > MAX_COLUMNS:
            raise fault(self.name, line, None, f"more than {MAX_COLUMNS} columns")

    def _decoded(self, read: Callable[[], T]) -> T:
        """Read as UTF-8, or in Windows' encoding what is not UTF-8."""
        try:
            return read()
        except UnicodeDecodeError:
            self._source.retreat()
            return read()

    def _read_head(self) -> list[Row]:
        """Take the rows that decide the kinds of columns: a header, and the rows below it."""
        head: list[Row] = []
        cells = characters = 0
        for lines, rows in self.reader.pieces():
            for line, row in zip(lines, rows, strict=True):
                head.append((line, [cell.strip() for cell in row]))
                cells += len(row)
                characters += sum(map(len, row))
                if len(head) > HEAD_ROWS or cells > _HEAD_CELLS or characters > _HEAD_CHARACTERS:
                    return with_name_of_index(head)
        if not head:
            raise ValueError(f"{self.name}: the file is empty")
        return with_name_of_index(head)

    def looks_numeric(self, at: int, header: bool) -> bool:
        """Tell whether all cells of a column in the first rows are plain numbers or missing."""
        return all(
            is_number(cells[at]) or is_missing(cells[at], self._missing)
            for _, cells in self.head[header:]
            if at < len(cells)
        )

    def table(
        self,
        names: Sequence[str],
        header: bool,
        wanted: Iterable[str] | None = None,
        as_text: Iterable[str] = (),
    ) -> Table:
        """Read columns.

        Parameters
        ----------
        names : sequence of str
            The names of all columns.
        header : bool
            Whether the first row holds them.
        wanted : iterable of str, optional
            The columns to read, by default all.
        as_text : iterable of str
            Those of them whose numbers are names.

        Raises
        ------
        ValueError
            If rows have another number of cells than there are names; one message tells all.
        """
        wanted = list(names if wanted is None else wanted)
        texts = set(as_text)
        places = {name: at for at, name in enumerate(names)}
        numeric = [
            name
            for name in wanted
            if name not in texts and self.looks_numeric(places[name], header)
        ]
        known = set(numeric)
        others = [name for name in wanted if name not in known]

        def read() -> tuple[dict[str, Column], int, Sequence[int]]:
            return self._columns(names, header, places, numeric, others)

        columns, n_rows, lines = self._decoded(read)
        first_line = self.head[0][0]
        notes = []
        if self._source.encoding != "utf-8":
            notes.append(f"read as {_ENCODINGS[self._source.encoding]}, since it is not UTF-8")
        return Table(
            self.name,
            tuple(names),
            {name: columns[name] for name in wanted},
            n_rows,
            header,
            first_line,
            lines,
            notes,
            lambda name: self._texts(names, header, name),
            self.reader.delimiter == ";",
        )

    def _texts(self, names: Sequence[str], header: bool, name: str) -> Texts:
        """Read a column once more, as texts."""
        places = {each: at for at, each in enumerate(names)}
        columns, _, _ = self._columns(names, header, places, [], [name])
        found = columns[name]
        assert isinstance(found, Texts)
        return found

    def _columns(
        self,
        names: Sequence[str],
        header: bool,
        places: dict[str, int],
        numeric: list[str],
        others: list[str],
    ) -> tuple[dict[str, Column], int, Sequence[int]]:
        """Read columns; those that turn out to hold other than numbers are read as texts."""
        columns = None
        if not self.reader.names_delimiter:
            columns = read_columns(
                self._source, self.reader.delimiter, names, header, numeric, others, self._missing
            )
        if columns is not None:
            n_rows = len(next(iter(columns.values()))) if columns else 0
            first = self.head[header][0] if len(self.head) > header else 0
            lines: Sequence[int] = range(first, first + n_rows)
        else:
            columns, lines = self._pass(names, header, places, numeric, others)
            n_rows = len(lines)
        failed = [name for name in numeric if name not in columns or _is_large(columns[name])]
        if failed:
            again, _ = self._pass(names, header, places, [], failed)
            columns |= again
        return columns, n_rows, lines

    def _pass(
        self,
        names: Sequence[str],
        header: bool,
        places: dict[str, int],
        numeric: list[str],
        others: list[str],
    ) -> tuple[dict[str, Column], Sequence[int]]:
        """Go through the file once; number columns in which a text stands are left out."""
        # The usual forms of what stands for a missing cell.
        blanks = self._missing | {each.upper() for each in self._missing}
        numbers = {name: _NumberCells(self._missing, blanks) for name in numeric}
        levels = {name: _TextCells(self._missing) for name in others}
        widths = Widths(self.name, names)
        lines = Lines()
        for piece in self._body(header):
            ends, rows = widths.sort_out(piece)
            if not rows:
                continue
            lines.add(ends)
            cells = list(zip(*rows, strict=True))
            for name, number in numbers.items():
                number.extend(cells[places[name]], self.reader.usual)
            total = 0
            for name, level in levels.items():
                level.extend(cells[places[name]])
                total += len(level.index)
            if total > _MAX_LEVELS:
                raise fault(self.name, ends[-1], None, f"more than {_MAX_LEVELS:,} different texts")
            if self._progress is not None:
                self._progress(len(lines))
        faults = Faults(self.name)
        widths.report(faults)
        faults.check()
        columns: dict[str, Column] = {
            name: number.column() for name, number in numbers.items() if not number.failed
        }
        columns |= {name: level.column() for name, level in levels.items()}
        return columns, lines

    def _body(self, header: bool) -> Iterator[Piece]:
        """Yield the rows below the header."""
        first = header
        for lines, rows in self.reader.pieces():
            if first:
                first = False
                lines, rows = lines[1:], rows[1:]
            if rows:
                yield lines, rows


_ENCODINGS = {
    "cp1252": "Windows-1252 (Latin-1)",
    **dict.fromkeys(("utf-16", "utf-16-le", "utf-16-be"), "UTF-16"),
}


class Lines(Sequence[int]):
    """The line of each row, of pieces of consecutive rows."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._pieces: list[Sequence[int]] = []
        self._total = 0

    def add(self, lines: Sequence[int]) -> None:
        """Append the lines of a piece."""
        self._starts.append(self._total)
        self._pieces.append(lines)
        self._total += len(lines)

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, row: Any) -> Any:
        at = bisect_right(self._starts, row) - 1
        return self._pieces[at][row - self._starts[at]]


class _NumberCells:
    """Collects the numbers of a column, until a cell is neither a number nor missing."""

    def __init__(self, missing: frozenset[str], blanks: frozenset[str]) -> None:
        self.failed = False
        self._values = array("d")
        self._missing = missing
        self._blanks = blanks

    def extend(self, cells: Sequence[str], usual: bool) -> None:
        """Take the cells of a piece of rows."""
        if self.failed:
            return
        if usual or is_plain("".join(cells)):
            try:
                self._values.extend(list(map(float, cells)))
                return
            except ValueError:
                pass
            blanks = self._blanks
            try:
                self._values.extend([math.nan if c in blanks else float(c) for c in cells])
                return
            except ValueError:
                pass
        values = []
        for cell in map(str.strip, cells):
            if is_missing(cell, self._missing):
                values.append(math.nan)
            elif is_number(cell):
                values.append(float(cell))
            else:
                self.failed = True
                self._values = array("d")
                return
        self._values.extend(values)

    def column(self) -> Numbers:
        """Return the column."""
        values = np.frombuffer(self._values) if self._values else np.empty(0)
        return Numbers(without(values, self._missing))


class _Codes(dict[str, int]):
    """The code of each text; a new one gets the next, or that of the same one among blanks."""

    def __init__(self, missing: frozenset[str]) -> None:
        super().__init__()
        self.levels: dict[str, int] = {}
        self._missing = missing

    def __missing__(self, cell: str) -> int:
        text, levels = cell.strip(), self.levels
        is_blank = is_missing(text, self._missing)
        code = self[cell] = MISSING_CODE if is_blank else levels.setdefault(text, len(levels))
        return code


class _TextCells:
    """Collects the texts of a column."""

    def __init__(self, missing: frozenset[str]) -> None:
        self.index = _Codes(missing)
        self._codes = array("i")

    def extend(self, cells: Sequence[str]) -> None:
        """Take the cells of a piece of rows."""
        self._codes.extend(map(self.index.__getitem__, cells))

    def column(self) -> Texts:
        """Return the column."""
        codes = np.frombuffer(self._codes, dtype=np.int32) if self._codes else np.empty(0, np.int32)
        return Texts(list(self.index.levels), codes)


def _is_large(column: Column) -> bool:
    """Tell whether a column has numbers that may have lost digits."""
    if not isinstance(column, Numbers) or not len(column):
        return False
    with np.errstate(invalid="ignore"):
        size = np.abs(column.values)
        return bool(((size >= EXACT_INTEGERS) & (size < np.inf)).any())
