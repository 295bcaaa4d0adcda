"""Files of any size to train on: .npy, memory-mapped arrays, and Parquet, read in windows."""

from __future__ import annotations

import os
import threading
import tokenize
from collections import Counter
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from .._optional import optional
from ..inputs import as_count, as_path, as_reals
from ..tables import listing, stored_by_pandas
from ..training.windows import Rows
from ._dataset import Array

# If there are more bytes, evenly spaced blocks of about so many stand for all in a comparison.
_SAMPLE_BYTES = 1 << 26

# Arrays have no blocks of their own: a window is made of so many.
_BLOCKS_OF_A_WINDOW = 16


class Windows(Rows):
    """Inputs and targets that may be larger than memory, for `Network.fit(Windows(...))`.

    `fit` reads a window of rows at a time, while it trains on the one before. With shuffle=True,
    each epoch takes the blocks of the file in another order, cuts what follows one another into
    windows, and shuffles the rows of each. The order depends on the network's seed, the epoch, the
    rows of a window and of a batch, and the blocks of the file; not on threads or MPI ranks.

    Parameters
    ----------
    x : path or array_like, (N, n_0)
        An .npy or a .parquet file, or an array, such as an np.memmap.
    y : path, array_like, str or sequence of str
        Targets as for `Network.fit`: an .npy file or an array. For a .parquet file, the name of the
        column of targets, or the names of several, in a list, an array or an Index of pandas; all
        other columns are inputs, except an index of pandas.
    rows : int
        How many rows a window has. It is rounded down to whole batches, at least one. Two windows
        and a block are in memory at a time, and a third window for a moment where it has to be
        converted to the network's type. The more rows, the better they are mixed.

    Attributes
    ----------
    n_rows, n_in : int
        Rows, and columns of the inputs.
    window : int
        The argument rows.
    sizes : ndarray of int64
        Rows of each block: a row group of a Parquet file; otherwise a sixteenth of a window.

    Raises
    ------
    TypeError, ValueError
        A file or an array does not hold such numbers, or their shapes do not go together.
    OSError
        A file cannot be read, or an .npy file has changed since it was named here.
    ModuleNotFoundError
        A .parquet file is given, but pyarrow is not installed.

    Notes
    -----
    If all rows are in one window, training has the bits of training on the arrays in memory. What a
    network does not accept, such as a wrong label, is found when its window is read: the updates
    before it remain. Inputs of a Parquet file are float32 if that holds all of their types, and
    otherwise float64; no value may be missing.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(1000, 4)), rng.normal(size=1000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.npy")
    ...     np.save(path, x)
    ...     data = bp.datasets.Windows(path, y, rows=256)
    ...     net = bp.Network([4, 8, 1], seed=0)
    ...     history = net.fit(data, epochs=2)
    >>> data.n_rows, data.n_in, len(data.sizes), len(history)
    (1000, 4, 63, 2)
    """

    def __init__(self, x: Any, y: Any, *, rows: int = 65536) -> None:
        self.window = as_count(rows, "rows", low=1, high=2**32 - 1)
        if _suffix(x) == ".parquet":
            source: _Arrays | _Parquet = _Parquet(as_path(x, "x"), y)
        else:
            source = _Arrays(x, y, max(self.window // _BLOCKS_OF_A_WINDOW, 1))
        self._source = source
        self.sizes, self.n_in = source.sizes, source.n_in
        if not self.n_rows:
            raise ValueError("x must have at least one row, got none")

    def __repr__(self) -> str:
        return f"Windows({self.n_rows} rows of {self.n_in}, {self.window} in a window)"

    def read(self, block: int, start: int, stop: int) -> tuple[Array, Array]:
        """Return inputs and targets of the rows start <= row < stop of a block."""
        return self._source.read(block, start, stop)

    def describe(self) -> dict[str, Any]:
        """Return what distinguishes these rows from others: shapes, types, checksums."""
        from ..training.checkpoints import checksum

        filled = np.flatnonzero(self.sizes)
        parts = self.read(int(filled[0]), 0, 1)
        bytes_in_all = self.n_rows * sum(part.nbytes for part in parts)
        sums = [0, 0]
        for block in filled[:: -(-bytes_in_all // _SAMPLE_BYTES)].tolist():
            parts = self.read(block, 0, int(self.sizes[block]))
            sums = [checksum(part, before) for part, before in zip(parts, sums, strict=True)]
        described = {
            name: {
                "shape": [self.n_rows, *part.shape[1:]],
                "dtype": str(part.dtype),
                "checksum": total,
            }
            for name, part, total in zip(("X", "y"), parts, sums, strict=True)
        }
        blocks = {"window": self.window, "blocks": {"checksum": checksum(self.sizes)}}
        return {**blocks, **described, "sample_weight": None}


def _suffix(value: Any) -> str:
    """Return the suffix of a path; nothing of an array."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        return ""
    return os.path.splitext(os.fsdecode(value))[1].lower()


# ---- arrays ----


class _Arrays:
    """Two arrays, in files or in memory, in blocks of so many rows."""

    def __init__(self, x: Any, y: Any, rows: int) -> None:
        self._x, self._y = _Array(x, "x"), _Array(y, "y")
        shape, targets = self._x.array.shape, self._y.array.shape
        if len(shape) != 2:
            raise ValueError(f"x must have shape (N, n), got {shape}")
        if len(targets) not in (1, 2) or targets[0] != shape[0]:
            raise ValueError(f"y must have shape ({shape[0]},) or (N, k) to match x, got {targets}")
        self._rows, self.n_in = rows, shape[1]
        begins = np.arange(0, shape[0], rows)
        self.sizes = np.minimum(rows, shape[0] - begins)

    def read(self, block: int, start: int, stop: int) -> tuple[Array, Array]:
        first = block * self._rows
        return self._x.read(first + start, first + stop), self._y.read(first + start, first + stop)


class _Array:
    """An array, or an .npy file."""

    def __init__(self, value: Any, name: str) -> None:
        self._path: str | None = None
        if value is None:
            raise TypeError(f"{name} must be an array or a path, got None")
        if isinstance(value, (str, bytes, os.PathLike)):
            path = as_path(value, name)
            if _suffix(path) != ".npy":
                raise ValueError(
                    f"{name} must be an array or a path that ends in .npy (or x in .parquet), "
                    f"got {path!r}"
                )
            path = os.path.abspath(path)  # the current folder may become another one
            with open(path, "rb") as file:
                self._version = _version(file)
            try:
                value = np.lib.format.open_memmap(path, mode="r")
            except (ValueError, SyntaxError, tokenize.TokenError) as error:  # the header is Python
                raise ValueError(f"{name}: {path}: {error}") from error
            # Read by calls, pages do not count as memory of the process, as mapped ones do.
            if value.flags.c_contiguous and value.ndim:
                self._path, self._offset = path, value.offset
        self.array = as_reals(value, name)

    def read(self, start: int, stop: int) -> Array:
        """Return rows."""
        array = self.array
        if self._path is None:
            return np.asarray(array[start:stop])
        width = int(np.prod(array.shape[1:]))
        count = (stop - start) * width
        with open(self._path, "rb") as file:
            file.seek(self._offset + start * width * array.itemsize)
            read = np.fromfile(file, array.dtype, count)
            if _version(file) != self._version or len(read) < count:
                raise OSError(
                    f"{self._path}: the file has changed since Windows() read its header; leave "
                    "files as they are during a fit, or make Windows of the new file"
                )
        return read.reshape(-1, *array.shape[1:])


def _version(file: BinaryIO) -> tuple[int, ...]:
    """Return what changes if an open file is written, or if another one has taken its name."""
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


# ---- Parquet ----


class _Parquet:
    """Columns of a Parquet file, whose row groups are the blocks."""

    def __init__(self, path: str, targets: Any) -> None:
        with optional("pyarrow", "a Parquet file"):
            import pyarrow
            from pyarrow import parquet
        try:
            self._file = parquet.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"x: {path}: {error}") from error
        self._path = path
        self._lock = threading.Lock()
        self._last: tuple[int, tuple[Array, Array]] | None = None
        schema = self._file.schema_arrow
        self._is_one = isinstance(targets, str)
        self._targets = _as_targets(targets, schema.names, path)
        stored = stored_by_pandas((schema.metadata or {}).get(b"pandas"))
        left_out = {*self._targets, *stored.index_among(schema.names)}
        self._inputs = [name for name in schema.names if name not in left_out]
        if not self._inputs:
            raise ValueError(
                f"{path}: no column is left as input, besides targets and an index of pandas "
                f"({', '.join(schema.names)})"
            )
        for name in (*self._inputs, *self._targets):
            self._check_type(name, schema.field(name).type)
        self.n_in = len(self._inputs)
        metadata = self._file.metadata
        groups = range(metadata.num_row_groups)
        self.sizes = np.array([metadata.row_group(at).num_rows for at in groups], np.int64)

    def _check_type(self, name: str, kind: Any) -> None:
        from pyarrow import types

        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise TypeError(
                f"x must hold real numbers, got {kind} in column {name!r} of {self._path}; "
                "write numbers, such as pybackprop.datasets.from_frame makes of texts and dates"
            )

    def read(self, block: int, start: int, stop: int) -> tuple[Array, Array]:
        with self._lock:
            if self._last is None or self._last[0] != block:
                self._last = None  # before the next one takes memory
                self._last = block, self._read_group(block)
            return tuple(part[start:stop] for part in self._last[1])  # type: ignore[return-value]

    def _read_group(self, block: int) -> tuple[Array, Array]:
        table = self._file.read_row_group(block, [*self._inputs, *self._targets])
        targets = [self._column(table, name, block) for name in self._targets]
        y = targets[0] if self._is_one else np.column_stack(targets)
        schema = self._file.schema_arrow
        kinds = [np.dtype(schema.field(name).type.to_pandas_dtype()) for name in self._inputs]
        dtype = np.result_type(np.float32, *kinds)
        x: Array = np.empty((table.num_rows, self.n_in), dtype)
        for at, name in enumerate(self._inputs):
            x[:, at] = self._column(table, name, block)
        return x, y

    def _column(self, table: Any, name: str, block: int) -> Array:
        column = table.column(name)
        if column.null_count:
            raise ValueError(
                f"{self._path}: column {name!r} has {column.null_count} missing values in row "
                f"group {block}; fill or drop them first"
            )
        values: Array = column.to_numpy()
        return values


def _as_targets(value: Any, columns: list[str], path: str) -> list[str]:
    """Return the names of the columns of targets in a Parquet file that has these columns."""
    is_sequence = isinstance(value, (list, tuple)) or len(getattr(value, "shape", ())) == 1
    # These may be the targets themselves: no list is made of them.
    each = value if is_sequence else (value,)
    wrong = next((type(name).__name__ for name in each if not isinstance(name, str)), None)
    if wrong is not None:
        got = f"{type(value).__name__} of {wrong}" if is_sequence else wrong
        raise TypeError(
            f"y must name columns of {path}, which has the targets too: a str or a sequence of "
            f"str, got {got}"
        )
    names = list(each)
    twice = _repeated(columns)
    if twice:
        raise ValueError(f"{path}: columns must have different names; twice there: {twice}")
    twice = _repeated(names)
    if twice:
        raise ValueError(f"y must name columns once, twice there: {twice}")
    missing = [name for name in names if name not in columns]
    if missing or not names:
        raise ValueError(
            f"y must name columns of {path}, which has {listing(columns)}; "
            f"got {listing(missing) or 'none'}"
        )
    return [str(name) for name in names]


def _repeated(names: Sequence[str]) -> str:
    """Return in words which names come more than once."""
    return listing([name for name, count in Counter(names).items() if count > 1])
