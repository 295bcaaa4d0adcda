"""Reading a large text table through polars, pyarrow or pandas, whichever is installed.

Only files in which all readers see the same cells are read in this way: UTF-8, without quotes and
without blank lines, each row with its number of cells. The numbers are the same to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from ._cells import is_missing
from ._columns import MISSING_CODE, Array, Column, Numbers, Texts, without
from ._source import Source

# Smaller files are read before another package could be imported.
LEAST_BYTES = 4 << 20
_COUNT_BYTES = 1 << 20
# Other packages take longer for a column than for its cells where columns are this many.
_MOST_COLUMNS = 2_000


class _Request(NamedTuple):
    """What to read: the columns at `numbers` as float64, those at `texts` as texts."""

    path: str
    delimiter: str
    skip: int
    width: int
    numbers: list[int]
    texts: list[int]
    blanks: list[str]


def read_columns(
    source: Source,
    delimiter: str,
    names: Sequence[str],
    header: bool,
    numeric: Sequence[str],
    others: Sequence[str],
    missing: frozenset[str],
) -> dict[str, Column] | None:
    """Read columns of a large plain file; None if that cannot be done, or not safely."""
    path = source.path
    if path is None or os.path.getsize(path) < LEAST_BYTES or len(names) > _MOST_COLUMNS:
        return None
    engine = next((read for name, read in _ENGINES.items() if find_spec(name) is not None), None)
    if engine is None or not _is_simple(path, delimiter, len(names)):
        return None
    places = {name: at for at, name in enumerate(names)}
    blanks = sorted({form(each) for each in missing for form in (str, str.upper, str.title)})
    request = _Request(
        path,
        delimiter,
        int(header),
        len(names),
        [places[name] for name in numeric],
        [places[name] for name in others],
        [*blanks, "NaN"],
    )
    try:
        columns = engine(request)
    except Exception:
        # Whatever the reason is, the reader of this package finds it and names the line.
        return None
    found: dict[str, Column] = {}
    for name, values in zip([*numeric, *others], columns, strict=True):
        if isinstance(values, tuple):
            levels, codes = values
            found[name] = _tidy(levels, codes, missing)
        else:
            numbers = np.ascontiguousarray(values, dtype=np.float64)
            found[name] = Numbers(without(numbers, missing))
    return found


def _is_simple(path: str, delimiter: str, width: int) -> bool:
    """Tell whether no reader can see other cells in a file than another one."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    # The mark of UTF-8, and blank lines before the first, need a closer look.
    if data[0] in b"\xef\n\r \t":
        return False
    separators = lines = returns = 0
    last = 0
    for begin in range(0, len(data), _COUNT_BYTES):
        piece = data[begin : begin + _COUNT_BYTES]
        if (piece == ord('"')).any() or (piece == 0).any():
            return False
        ends = piece == ord("\n")
        blank = bool((ends[1:] & ends[:-1]).any()) or (bool(ends[0]) and last == ord("\n"))
        found = int(np.count_nonzero(piece == ord("\r")))
        # With CR before LF, a blank line has two of each; that is rare enough to be left to others.
        if blank or (found and b"\n\r\n" in piece.tobytes()):
            return False
        separators += int(np.count_nonzero(piece == ord(delimiter)))
        lines += int(np.count_nonzero(ends))
        returns += found
        last = int(piece[-1])
    lines += last != ord("\n")
    return width > 1 and separators == lines * (width - 1) and returns in (0, lines, lines - 1)


def _tidy(levels: Sequence[Any], codes: Array, missing: frozenset[str]) -> Texts:
    """Return a column of texts without blanks around them and without those of missing cells."""
    index: dict[str, int] = {}
    new = np.empty(len(levels) + 1, dtype=np.int32)
    new[MISSING_CODE] = MISSING_CODE
    for at, level in enumerate(levels):
        text = str(level).strip()
        new[at] = MISSING_CODE if is_missing(text, missing) else index.setdefault(text, len(index))
    return Texts(list(index), new[codes])


def _polars(request: _Request) -> list[Any]:
    """Read by polars."""
    import polars

    names = [f"column_{at + 1}" for at in range(request.width)]
    kinds: dict[str, Any] = dict.fromkeys(names, polars.String)
    kinds |= {names[at]: polars.Float64 for at in request.numbers}
    frame = polars.read_csv(
        request.path,
        has_header=False,
        skip_rows=request.skip,
        separator=request.delimiter,
        quote_char=None,
        columns=[names[at] for at in sorted([*request.numbers, *request.texts])],
        schema=kinds,
        null_values=request.blanks,
    )
    columns: list[Any] = [
        frame[names[at]].fill_null(float("nan")).to_numpy() for at in request.numbers
    ]
    for at in request.texts:
        column = frame[names[at]]
        levels = column.drop_nulls().unique(maintain_order=True)
        codes = column.cast(polars.Enum(levels)).to_physical().cast(polars.Int32)
        columns.append((levels.to_list(), codes.fill_null(MISSING_CODE).to_numpy()))
    return columns


def _pyarrow(request: _Request) -> list[Any]:
    """Read by pyarrow."""
    import pyarrow
    from pyarrow import csv

    names = [str(at) for at in range(request.width)]
    wanted = [*request.numbers, *request.texts]
    kinds = {str(at): pyarrow.float64() for at in request.numbers}
    kinds |= {str(at): pyarrow.string() for at in request.texts}
    table = csv.read_csv(
        request.path,
        read_options=csv.ReadOptions(column_names=names, skip_rows=request.skip),
        parse_options=csv.ParseOptions(delimiter=request.delimiter, quote_char=False),
        convert_options=csv.ConvertOptions(
            column_types=kinds,
            null_values=request.blanks,
            strings_can_be_null=True,
            include_columns=[str(at) for at in wanted],
        ),
    )
    columns: list[Any] = [
        table[str(at)].fill_null(float("nan")).to_numpy() for at in request.numbers
    ]
    for at in request.texts:
        coded = table[str(at)].combine_chunks().dictionary_encode()
        if isinstance(coded, pyarrow.ChunkedArray):
            coded = coded.combine_chunks()
        codes = coded.indices.fill_null(MISSING_CODE).to_numpy(zero_copy_only=False)
        columns.append((coded.dictionary.to_pylist(), codes))
    return columns


def _pandas(request: _Request) -> list[Any]:
    """Read by pandas."""
    import pandas

    # Before version 3, its default loses the last digit.
    exact: Any = (
        {} if int(pandas.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
    )
    kinds: dict[int, Any] = dict.fromkeys(request.numbers, np.float64)
    kinds |= dict.fromkeys(request.texts, str)
    frame = pandas.read_csv(
        request.path,
        sep=request.delimiter,
        header=None,
        skiprows=request.skip,
        names=range(request.width),
        usecols=sorted([*request.numbers, *request.texts]),
        dtype=kinds,
        na_values=request.blanks,
        keep_default_na=False,
        quoting=3,
        index_col=False,
        encoding="utf-8",
        **exact,
    )
    columns: list[Any] = [frame[at].to_numpy() for at in request.numbers]
    for at in request.texts:
        codes, levels = pandas.factorize(frame[at])
        columns.append((list(levels), codes))
    return columns


_ENGINES: dict[str, Callable[[_Request], list[Any]]] = {
    "polars": _polars,
    "pyarrow": _pyarrow,
    "pandas": _pandas,
}
