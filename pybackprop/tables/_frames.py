"""Tables of pandas, polars and Arrow, and files that these packages read.

A frame is read as the CSV file that would be written of it: booleans are the texts True and False,
so that a model trained on the one predicts from the other. Only what its types say goes beyond
that: a category is one, even of numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._optional import optional
from ._cells import EXACT_INTEGERS, is_missing, is_plain
from ._columns import (
    MISSING_CODE,
    Array,
    Column,
    Days,
    Numbers,
    Table,
    Texts,
    are_texts,
    factorize,
    numbers_of_objects,
    without,
)
from ._excel import read_sheets, table_of
from ._faults import fault, listing
from ._rows import MAX_COLUMNS, check_different
from ._stored import stored_by_pandas, told_by_parquet
from ._treatments import as_texts, plain

# Suffixes of files that hold a frame, and the packages that read them, the first of which is
# named if none is installed.
FRAME_FILES = {
    ".parquet": ("pyarrow", "polars", "pandas"),
    ".feather": ("pyarrow", "polars", "pandas"),
    ".arrow": ("pyarrow", "polars", "pandas"),
    ".xlsx": ("pandas", "polars"),
    ".xls": ("pandas",),
    ".ods": ("pandas",),
}
# What pandas reads spreadsheets by: the name of the package, and of its module.
_ENGINES = {
    ".xlsx": ("openpyxl", "openpyxl"),
    ".xls": ("xlrd", "xlrd"),
    ".ods": ("odfpy", "odf"),
}
# Of a table of no more cells than these, the columns of numbers are copied to be read together.
_MOST_TOGETHER = 1 << 20
_READERS = {".parquet": "read_parquet", ".feather": "read_feather", ".arrow": "read_feather"}


def is_frame(value: Any) -> bool:
    """Tell whether an object is a table of pandas, polars or Arrow."""
    return _library(value) is not None


def _library(value: Any) -> str | None:
    """Return which package's table an object is."""
    name = type(value).__module__.partition(".")[0]
    # That of a frame that is yet to be collected warns if it is asked for.
    if name in ("pandas", "polars") and hasattr(type(value), "columns"):
        return name
    if name == "pyarrow" and hasattr(value, "column_names"):
        return name
    return None


class Frame:
    """A table in memory, to be read like a file.

    Parameters
    ----------
    value : DataFrame or Table
        Of pandas, polars or Arrow.
    name : str
        What it is called in messages.
    missing : frozenset of str
        The texts that stand for a missing cell, in lower case.
    notes : sequence of str
        What was done to read it.
    kept : iterable of str
        Columns that are read even if they are the index of a table of pandas.
    told : bytes, str or None
        What its file tells of pandas, if the table itself does not.
    """

    def __init__(
        self,
        value: Any,
        name: str,
        missing: frozenset[str],
        notes: Sequence[str] = (),
        kept: Iterable[str] = (),
        told: Any = None,
    ) -> None:
        self.name = name
        self._missing = missing
        self._library = _library(value)
        if hasattr(value, "collect") and self._library == "polars":
            value = value.collect()
        self._value = value
        columns = value.column_names if self._library == "pyarrow" else value.columns
        if self._library == "pyarrow":
            told = (value.schema.metadata or {}).get(b"pandas")
        stored = stored_by_pandas(told)
        self._categories = stored.categories
        names = [str(each) for each in columns]
        self._places = {each: at for at, each in enumerate(names)}
        index = stored.index_among(names) - set(kept)
        self.names = tuple(each for each in names if each not in index)
        self._notes = list(notes)
        if len(self.names) < len(names):
            left_out = listing([each for each in names if each in index])
            self._notes.append(f"the index of pandas is left out: {left_out}")
        if not self.names:
            raise fault(name, 0, None, "the table has no columns")
        if len(self.names) > MAX_COLUMNS:
            raise fault(name, 0, None, f"more than {MAX_COLUMNS} columns")
        check_different(name, 0, self.names)

    def table(
        self,
        names: Sequence[str],
        header: bool,
        wanted: Iterable[str] | None = None,
        as_text: Iterable[str] = (),
    ) -> Table:
        """Read columns; see `TextFile.table`."""
        texts = set(as_text)
        places = self._places
        columns: dict[str, Column] = {}
        chosen = list(self.names if wanted is None else wanted)
        together = self._numbers([places[name] for name in chosen])
        for name in chosen:
            place = places[name]
            column = together[place] if place in together else self._column(place)
            if name in self._categories:
                column = replace(as_texts(column), coded=True)
            columns[name] = as_texts(column) if name in texts else column
        return Table(
            self.name,
            self.names,
            columns,
            len(self._value),
            True,
            0,
            _NoLines(),
            list(self._notes),
            lambda name: as_texts(self._column(places[name])),
        )

    @cached_property
    def _cells(self) -> list[Any]:
        """The columns as their package has them."""
        if self._library == "pandas":
            return [series for _, series in self._value.items()]
        found = self._value.get_columns() if self._library == "polars" else self._value.columns
        return list(found)

    def _numbers(self, places: Sequence[int]) -> dict[int, Column]:
        """Return those columns of a small table of pandas that can be read together, by place.

        They are of NumPy's types of numbers.
        """
        if self._library != "pandas" or len(self._value) * len(places) > _MOST_TOGETHER:
            return {}
        dtypes = self._value.dtypes.tolist()
        kinds = [each.kind if isinstance(each, np.dtype) else "O" for each in dtypes]
        chosen = [at for at in places if kinds[at] in "iuf"]
        if len(chosen) < 2:
            return {}
        values = self._value.iloc[:, chosen].to_numpy(dtype=np.float64)
        return {
            at: Numbers(without(column, self._missing))
            for at, column in zip(chosen, values.T, strict=True)
            if not _loses(column, kinds[at])
        }

    def _column(self, at: int) -> Column:
        """Return a column as numbers, days or texts."""
        kind, values = _TAKE[self._library or ""](self._cells[at])
        if kind == "days":
            return Days(values)
        if kind == "numbers":
            return Numbers(without(values, self._missing))
        if kind == "coded":
            levels, codes = values
            return _coded([_level(level) for level in levels], codes, self._is_missing)
        if kind == "names":
            texts = values if are_texts(values) else map(_level, values)
            return replace(factorize(texts, self._is_missing), coded=True)
        return of_objects(values, self._missing)

    def _is_missing(self, text: str) -> bool:
        return is_missing(text, self._missing)


def no_lines() -> Sequence[int]:
    """Return the lines of the rows of a table that is in no file."""
    return _NoLines()


class _NoLines(Sequence[int]):
    """The lines of the rows of a frame, which has none."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, row: Any) -> Any:
        return 0


def _level(level: Any) -> str | None:
    """Return the text of a level of a category, as if it were a cell."""
    if level is None:
        return None
    if isinstance(level, float):
        return plain(level)
    if isinstance(level, datetime):
        return level.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")
    return str(level)


def _coded(levels: list[str | None], codes: Array, missing: Callable[[str], bool]) -> Texts:
    """Return a column of categories, leaving out what stands for a missing cell."""
    column = factorize(levels, missing)
    codes = np.append(column.codes, np.int32(MISSING_CODE))[codes]
    used = np.unique(codes[codes >= 0])
    place = np.full(len(column.levels) + 1, MISSING_CODE, dtype=np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return Texts([column.levels[at] for at in used], place[codes], coded=True)


def of_objects(values: list[Any], missing: frozenset[str]) -> Column:
    """Return a column of Python objects: numbers if all are, else texts."""
    found = numbers_of_objects(values, missing)
    if found is not None:
        return found
    if not are_texts(values):
        values = [None if value is None or value != value else value for value in values]
    column = factorize(values, lambda text: is_missing(text, missing))
    try:
        numbers = np.array([float(level) for level in column.levels])
    except ValueError:
        return column
    if not column.levels or not is_plain("".join(column.levels)):
        return column
    if np.abs(numbers).max() >= EXACT_INTEGERS:
        return column
    return Numbers(column.per_row(numbers, np.nan))


Taken = tuple[str, Any]


def _from_pandas(series: Any) -> Taken:
    """Take a Series of pandas."""
    import pandas

    if isinstance(series.dtype, pandas.CategoricalDtype):
        return "coded", (series.cat.categories.tolist(), series.cat.codes.to_numpy())
    kind = getattr(series.dtype, "kind", "O")
    if kind == "M":
        utc = (
            series.dt.tz_convert("UTC").dt.tz_localize(None) if series.dt.tz is not None else series
        )
        return "days", days_of(utc.to_numpy().astype("datetime64[us]"))
    if kind == "m":
        return "numbers", days_of(series.to_numpy().astype("timedelta64[us]"))
    if kind in "iuf":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return ("objects", _objects(series)) if _loses(values, kind) else ("numbers", values)
    return "objects", _objects(series)


def _objects(series: Any) -> list[Any]:
    """Return the cells of a Series of pandas, None where one is missing."""
    import pandas

    cells = series.to_numpy(dtype=object)
    lost = pandas.isna(cells)
    if lost.any():
        cells = np.where(lost, None, cells)
    found: list[Any] = cells.tolist()
    return found


def _from_polars(series: Any) -> Taken:
    """Take a Series of polars."""
    import polars

    dtype = series.dtype
    if dtype.is_numeric() and not dtype.is_decimal():
        numbers = series.cast(polars.Float64)
        values = (numbers.fill_null(float("nan")) if numbers.null_count() else numbers).to_numpy()
        kind = "f" if dtype.is_float() else "i"
        return ("objects", series.to_list()) if _loses(values, kind) else ("numbers", values)
    if dtype in (polars.Date, polars.Datetime):
        stamps = series.cast(polars.Datetime("us")).to_numpy()
        return "days", days_of(stamps)
    if dtype == polars.Duration:
        return "numbers", days_of(series.cast(polars.Duration("us")).to_numpy())
    if dtype in (polars.Categorical, polars.Enum):
        return "names", series.to_list()
    return "objects", series.to_list()


def _from_arrow(column: Any) -> Taken:
    """Take a column of a Table of Arrow."""
    import pyarrow

    types = pyarrow.types
    dtype = column.type
    if types.is_integer(dtype) or types.is_floating(dtype):
        values = column.cast(pyarrow.float64(), safe=False).fill_null(float("nan")).to_numpy()
        kind = "f" if types.is_floating(dtype) else "i"
        return ("objects", column.to_pylist()) if _loses(values, kind) else ("numbers", values)
    if types.is_date(dtype) or types.is_timestamp(dtype):
        # With a missing date, to_numpy() of a column of a record batch fails: it may not copy.
        stamps = np.asarray(column.cast(pyarrow.timestamp("us"), safe=False))
        return "days", days_of(stamps)
    return "names" if types.is_dictionary(dtype) else "objects", column.to_pylist()


_TAKE: dict[str, Callable[[Any], Taken]] = {
    "pandas": _from_pandas,
    "polars": _from_polars,
    "pyarrow": _from_arrow,
}


def _loses(values: Array, kind: str) -> bool:
    """Tell whether integers may have lost digits on their way to float64."""
    if kind == "f" or not len(values):
        return False
    return bool(np.nanmax(np.abs(values), initial=0.0) >= EXACT_INTEGERS)


def days_of(stamps: Array) -> NDArray[np.float64]:
    """Return days of stamps since 1970, or of durations, NaN where there is none."""
    lost = np.isnat(stamps)
    days = stamps.astype(f"{stamps.dtype.kind}8[us]").astype(np.int64) / 86_400_000_000
    days[lost] = np.nan
    return days


class FrameFile(NamedTuple):
    """A frame that was read from a file, what is to be noted, and what the file tells of pandas."""

    frame: Any
    notes: list[str]
    told: Any


def read_frame(path: str, wanted: Iterable[str] = ()) -> FrameFile:
    """Read a file of one of `FRAME_FILES` through the first of its packages that is installed.

    Of a spreadsheet, it is the first sheet that has the wanted columns.
    """
    suffix = os.path.splitext(path)[1].lower()
    packages = FRAME_FILES[suffix]
    package = next((name for name in packages if find_spec(name) is not None), packages[0])
    read = _reader(package, suffix)
    told = None
    try:
        found = read(path)
        if package == "polars" and suffix == ".parquet":
            told = told_by_parquet(path)
    except ImportError as error:
        raise ModuleNotFoundError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(f"{path}: cannot be read by {package}: {text}") from error
    if read is read_sheets:
        found, notes = table_of(path, found, wanted)
        return FrameFile(found, notes, None)
    return FrameFile(found, [], told)


def _reader(package: str, suffix: str) -> Callable[[str], Any]:
    """Return a package's function for a kind of file; say what has to be installed for it."""
    purpose = f"a file {suffix}"
    read: Callable[[str], Any]
    if package == "pandas" and suffix in _ENGINES:
        engine, module = _ENGINES[suffix]
        lacking = [name for name in ("pandas", module) if find_spec(name) is None]
        if lacking:
            names = [engine if name == module else name for name in lacking]
            raise ModuleNotFoundError(
                f"{purpose} needs {' and '.join(names)}: pip install {' '.join(names)}",
                name=lacking[0],
            )
        return read_sheets
    with optional(package, purpose):
        if package == "pyarrow":
            from pyarrow import feather, parquet

            read = parquet.read_table if suffix == ".parquet" else feather.read_table
        elif package == "polars":
            import polars

            readers = {".parquet": "read_parquet", ".xlsx": "read_excel"}
            read = getattr(polars, readers.get(suffix, "read_ipc"))
        else:
            import pandas

            read = getattr(pandas, _READERS[suffix])
    return read
