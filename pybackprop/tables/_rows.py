"""Reading a text table in pieces of rows: separators, line numbers, and rows of another width."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from ._above import DELIMITERS, QUOTED, WITH_DECIMAL_COMMA, check_titles, separator_of
from ._cells import is_number
from ._faults import Faults, fault
from ._source import Source

# Limits the columns of a table.
MAX_COLUMNS = 1 << 16
_MAX_ROW = 1 << 22
_MAX_BLANK = 100_000
# A piece of rows that stays in the processor's cache is handled twice as fast as a large one.
_BLOCK = 1 << 15
_PIECE_CELLS = 1 << 12
# So many lines must be cut alike for blanks to count as separators.
_BLANK_LINES = 20

# The numbers of the lines on which rows end, and the rows.
Piece = tuple[Sequence[int], list[list[str]]]


class _Lines:
    """The lines of a file from one on, with a limit on the length of each row of the table.

    A quoted cell may span any number of lines; `begin_row` says that a row has ended.
    """

    def __init__(self, path: str, file: IO[bytes], number: int, delimiter: str) -> None:
        self._path = path
        self._file = file
        self.number = number
        self._delimiter = delimiter
        self.begin_row()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number += 1
        raw = self._file.readline(self._room)
        if not raw:
            raise StopIteration
        self._room -= len(raw)
        if self._room <= 0:
            raise _too_long(self._path, self.number)
        line = _text(raw, self._path, self.number)
        self._cells += line.count(self._delimiter)
        if self._cells > MAX_COLUMNS:
            raise fault(self._path, self.number, None, f"more than {MAX_COLUMNS} columns")
        return line

    def begin_row(self) -> None:
        """Restore the full allowance of a row."""
        self._room = _MAX_ROW
        self._cells = 1


class _Chain(io.RawIOBase):
    """Bytes that have been read already, followed by the rest of their file."""

    def __init__(self, begin: bytes, file: IO[bytes]) -> None:
        self._begin = memoryview(begin)
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer).cast("B")
        if not self._begin:
            data = self._file.read(len(room))
            room[: len(data)] = data
            return len(data)
        size = min(len(room), len(self._begin))
        room[:size] = self._begin[:size]
        self._begin = self._begin[size:]
        return size


class RowReader:
    """Reads the rows of a text table; the separator is taken from its first lines.

    Blank lines are skipped; cells may still have blanks at their ends.

    Attributes
    ----------
    delimiter : str
        What separates cells.
    names_delimiter : bool
        Whether a line of its own, such as sep=;, says so.
    usual : bool
        Whether the latest piece is in ASCII and without underscores, so that `float` can be trusted
        with its cells.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._path = source.name
        self.delimiter = ","
        self.names_delimiter = False
        self.usual = True
        self._blank = 0

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows of the table, from its first, with the numbers of their lines.

        Raises
        ------
        UnicodeDecodeError
            If the text is not UTF-8.
        ValueError
            If the file is no table; the message names the line.
        """
        number, begun, rest = 0, False, b""
        self._blank = 0
        with self._source.open() as file:
            while True:
                data = file.read(_BLOCK)
                block, rest = _whole_lines(rest + data, at_end=not data)
                if not block:
                    if not data:
                        break
                    if len(rest) > _MAX_ROW:
                        raise _too_long(self._path, number + 1)
                    continue
                if not begun:
                    block = block.removeprefix(b"\xef\xbb\xbf")
                    begun, block = self._begin(block)
                if b'"' in block and begun:
                    remaining = io.BufferedReader(_Chain(block + rest, file))
                    yield from self._with_quotes(remaining, number)
                    return
                rows = self._parse(block, number)
                lines = range(number + 1, number + 1 + len(rows))
                number += len(rows)
                yield from self._without_blanks(lines, rows)
        if not begun:
            raise ValueError(f"{self._path}: the file is empty")

    def _begin(self, block: bytes) -> tuple[bool, bytes]:
        """Take the separator from the first lines, if there is one that is not blank.

        Returns whether there is, and the lines, without the one that only names the separator.
        """
        text = _text(block, self._path, 1)
        every = enumerate(io.StringIO(text, newline="\n"), 1)
        lines = [(number, line) for number, line in every if line.strip()][:_BLANK_LINES]
        if not lines:
            return False, block
        named = separator_of(lines[0][1])
        if named is not None:
            self.delimiter = named
            self.names_delimiter = True
            # A blank line keeps the numbers of the others.
            return True, block.replace(lines[0][1].rstrip("\r\n").encode(), b"", 1)
        self.delimiter = _delimiter([line for _, line in lines])
        if self.delimiter != " ":
            check_titles(self._path, lines)
        return True, block

    def _reader(self, lines: Any) -> Any:
        skip = self.delimiter != " "
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=skip, strict=True)

    def _cut(self, rows: Iterable[list[str]]) -> list[list[str]]:
        """Return rows; of those cut at blanks, without the cells between two blanks."""
        if self.delimiter != " ":
            return list(rows)
        return [[cell for cell in row if cell] for row in rows]

    def _parse(self, block: bytes, number: int) -> list[list[str]]:
        """Return the rows of whole lines without quotes, one for each line."""
        self.usual = b"_" not in block and block.isascii()
        reader = self._reader(io.StringIO(_text(block, self._path, number + 1), newline="\n"))
        try:
            return self._cut(reader)
        except csv.Error as error:
            line = number + reader.line_num
            raise fault(self._path, line, None, _explain(error, line)) from None

    def _without_blanks(self, lines: Sequence[int], rows: list[list[str]]) -> Iterator[Piece]:
        """Leave out blank lines, of which there must not be too many in a row."""
        if min(map(len, rows), default=0) > 1:
            self._blank = 0
            yield lines, rows
            return
        kept_lines, kept = [], []
        for line, row in zip(lines, rows, strict=True):
            if _is_blank(row):
                self._blank += 1
                if self._blank > _MAX_BLANK:
                    what = f"not a text table: more than {_MAX_BLANK} blank lines"
                    raise fault(self._path, line, None, what)
                continue
            self._blank = 0
            kept_lines.append(line)
            kept.append(row)
        if kept:
            yield kept_lines, kept

    def _with_quotes(self, file: IO[bytes], number: int) -> Iterator[Piece]:
        """Yield rows whose quoted cells may span lines."""
        self.usual = False
        lines = _Lines(self._path, file, number, self.delimiter)
        reader = self._reader(lines)
        ends: list[int] = []
        rows: list[list[str]] = []
        cells = 0
        while True:
            begin = number + reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                what = _explain(error, begin)
                raise fault(self._path, number + reader.line_num, None, what) from None
            if row is None:
                break
            lines.begin_row()
            ends.append(number + reader.line_num)
            rows += self._cut([row])
            cells += len(row) + 1
            if cells > _PIECE_CELLS:
                yield from self._without_blanks(ends, rows)
                ends, rows, cells = [], [], 0
        if rows:
            yield from self._without_blanks(ends, rows)


def _whole_lines(data: bytes, at_end: bool) -> tuple[bytes, bytes]:
    """Cut bytes after their last line end, or nowhere at the end of the file."""
    cut = len(data) if at_end else data.rfind(b"\n") + 1
    return data[:cut], data[cut:]


def _text(data: bytes, path: str, line: int) -> str:
    """Decode lines, the first of which has a number; a zero byte is refused."""
    if b"\0" in data:
        line += data[: data.index(b"\0")].count(b"\n")
        what = "it has a zero byte, as programs' own files have; save as CSV in UTF-8"
        raise fault(path, line, None, f"not a text table: {what}")
    return data.decode("utf-8")


def _too_long(path: str, line: int) -> ValueError:
    return fault(path, line, None, f"not a text table: a row of more than {_MAX_ROW} bytes")


def _is_blank(row: list[str]) -> bool:
    """Tell whether a line holds nothing."""
    return not row or (len(row) == 1 and not row[0].strip())


def _delimiter(lines: Sequence[str]) -> str:
    """Return the most frequent separator of the first line, not counting quoted cells.

    If every comma stands inside a number between semicolons, tabs or bars, commas are decimal
    commas. Blanks separate if nothing else does and they cut all lines alike; the first may have
    one cell less, as R writes it.
    """
    bare = QUOTED.sub("", lines[0])
    for delimiter in ";\t|":
        cells = bare.split(delimiter)
        commas = [cell for cell in cells if "," in cell]
        if len(cells) > 1 and commas and all(map(WITH_DECIMAL_COMMA.fullmatch, commas)):
            return delimiter
    best = max(DELIMITERS, key=bare.count)
    if best not in bare and len(lines) > 1:
        first, *others = (len(QUOTED.sub("q", line).split()) for line in lines)
        if len(set(others)) == 1 and first > 1 and first in (others[0], others[0] - 1):
            return " "
    return best


def _explain(error: csv.Error, begin: int) -> str:
    """Return what is wrong with the row that begins at a line, in words that help."""
    text = str(error)
    if "unexpected end" in text:
        return f'{text}: a quote (") that the row from line {begin} on opens is never closed'
    if "new-line" in text:
        return "a line ends with CR alone; save the file with LF or CR LF at the end of lines"
    return text


def header_names(first: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns from a header; an empty name becomes x and position."""
    return tuple(cell or f"x{at}" for at, cell in enumerate(first))


def check_different(path: str, line: int, names: Sequence[str]) -> None:
    """Refuse columns that occur twice, all of them in one message."""
    seen: set[str] = set()
    twice = []
    for name in names:
        if name in seen:
            twice.append(name)
        seen.add(name)
    faults = Faults(path)
    for name in dict.fromkeys(twice):
        faults.add(line, name, "the column occurs twice")
    faults.check()


class Widths:
    """Finds the rows with more or fewer cells than the table has columns."""

    def __init__(self, path: str, names: Sequence[str]) -> None:
        self._path = path
        self._names = names
        self._first: tuple[int, list[str]] | None = None
        self._count = 0

    def sort_out(self, piece: Piece) -> Piece:
        """Return a piece without the rows of another width."""
        lines, rows = piece
        width = len(self._names)
        if set(map(len, rows)) == {width}:
            return piece
        kept = [(line, row) for line, row in zip(lines, rows, strict=True) if len(row) == width]
        others = [(line, row) for line, row in zip(lines, rows, strict=True) if len(row) != width]
        self._count += len(others)
        if self._first is None:
            self._first = others[0]
        return [line for line, _ in kept], [row for _, row in kept]

    def report(self, faults: Faults) -> None:
        """Add what was found to the faults of the table."""
        if self._first is None:
            return
        line, cells = self._first
        names = self._names
        if len(cells) < len(names):
            what = f"no value here, the row has {len(cells)} of {len(names)}"
            at = len(cells)
        else:
            what = f"the row has {len(cells)} values, and this is the last of {len(names)} columns"
            if len(cells) == 2 * len(names) and all(map(is_number, map(str.strip, cells))):
                what += "; if its commas are decimal, write numbers with a decimal point"
            at = len(names) - 1
        if self._count > 1:
            what += f"; {self._count:,} rows have another number of values than there are columns"
        faults.add(line, names[at], what)


def check_width(path: str, line: int, cells: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a row with more or fewer cells than the table has columns."""
    widths = Widths(path, names)
    widths.sort_out(([line], [list(cells)]))
    faults = Faults(path)
    widths.report(faults)
    faults.check()
