"""Reading files that may be damaged, or made to do harm.

What a file claims is checked against its size before memory is allocated, and nothing in it is ever
executed. A refusal is a ValueError that says what is wrong; the caller adds the file's name.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any, cast

import numpy as np

from .._core import Array

# Compressed data may unpack to this much, or to this many times what is stored if that is more.
# Parameters are hardly compressed at all, but one-hot columns, sparse counts and sorted labels
# reach 500 to 1, half of what deflate can, so that only their size tells them from a bomb.
FREE_UNPACKED = 8 << 20
FREE_DATA = 256_000_000
MAX_RATIO = 100
# A JSON value takes up to 130 bytes of memory. The metadata of a table have at most nine values for
# each of its 65,536 columns; a header has those of 10,000 layers too.
MAX_METADATA = 8 << 20
MAX_METADATA_VALUES = 600_000
MAX_JSON = 9 << 20
MAX_JSON_VALUES = 640_000
MAX_JSON_DEPTH = 64
# A single non-ASCII character can make a whole text take four bytes per character.
_MAX_WIDE = 1 << 20
# What begins or follows a value, for bytes.translate.
_MARKS = bytes(code in b",:[{" for code in range(256))
# The directory of an archive: about twenty thousand entries.
_MAX_DIRECTORY = 1 << 20
_MAX_NPY_HEADER = 10_000
_MAX_DIMENSIONS = 32
_MAX_TEXT = 300
_CHUNK = 1 << 16
_FIRST = 1 << 8
_BLOCK = 1 << 20

# Exceptions that damaged files cause. OSError and MemoryError are left out: they concern the
# system.
DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ArithmeticError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def shorten(text: str, length: int = _MAX_TEXT) -> str:
    """Return a text that may come from a file cut to a length fit for a message."""
    return text if len(text) <= length else text[: length - 3] + "..."


def explain(error: BaseException) -> str:
    """Return what an error says, on one line and not too long."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    what = " ".join(shorten(str(text), 4 * _MAX_TEXT).split())
    if isinstance(error, KeyError) and " " not in what:
        what = f"{what!r} is missing"
    return shorten(what or type(error).__name__)


# ---- files ----


def _open_without_waiting(path: Any, flags: int) -> int:
    # Opening a pipe that nobody writes to would wait for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def open_regular(path: Any) -> io.BufferedReader:
    """Open a file for reading; a pipe or a device, which may never end, is a ValueError."""
    name = os.fsdecode(path)
    file = open(name, "rb", opener=_open_without_waiting)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{name}: is not a regular file")
    return file


def size_of(file: IO[bytes]) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def unpacks_too_far(size: int, stored: int, free: int = FREE_DATA) -> bool:
    """Tell whether compressed data claim to unpack to more than useful data ever do."""
    return size > max(free, MAX_RATIO * stored)


def _check_ratio(size: int, stored: int, what: str, free: int) -> None:
    if unpacks_too_far(size, stored, free):
        raise ValueError(
            f"{what} unpacks to more than {free} bytes and {MAX_RATIO} times its {stored}; "
            "if that is right, store it uncompressed"
        )


def open_plain_or_gzip(path: Any, *, check: bool = False) -> tuple[io.BufferedReader, bool]:
    """Open a file for reading its content, decompressed if its first bytes are gzip's.

    Parameters
    ----------
    path : path
        The file.
    check : bool
        Go through gzip data once beforehand, so that damage and bombs are found before the unpacked
        data are looked at, which may take a thousand times longer.

    Returns
    -------
    file : binary file
        Reading it raises ValueError, EOFError or zlib.error where gzip data are damaged.
    compressed : bool
    """
    file = open_regular(path)
    if file.peek(2)[:2] != b"\x1f\x8b":
        return file, False
    content = _Gunzip(file)
    if check:
        buffer = bytearray(_BLOCK)
        try:
            while content.readinto(buffer):
                pass
        except BaseException:
            content.close()
            raise
        content.rewind()
    return io.BufferedReader(content, _CHUNK), True


class _Gunzip(io.RawIOBase):
    """The content of a gzip file.

    Like gzip.GzipFile, but with a single loop around zlib, so that long headers cost nothing and
    many small members cost no more than their bytes, and with a bound on the unpacked size.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._stored = size_of(file)
        self.rewind()

    def rewind(self) -> None:
        """Go back to the beginning."""
        self._file.seek(0)
        self._member: Any = None
        self._input = b""
        self._at = 0
        self._piece = _FIRST
        self._begun = False
        self._total = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def _begin_member(self) -> bool:
        """Begin the next member, if there is one after the zeros that may follow the last."""
        while self._fill():
            padding = self._input[self._at : self._at + _FIRST] if self._begun else b""
            self._at += len(padding) - len(padding.lstrip(b"\0"))
            if self._at < len(self._input) and (self._input[self._at] or not self._begun):
                self._begun = True
                self._piece = _FIRST
                self._member = zlib.decompressobj(wbits=31)
                return True
        return False

    def _fill(self) -> bool:
        """Read more if everything read so far has been used; tell whether there is anything."""
        if self._at == len(self._input):
            self._input = self._file.read(_CHUNK)
            self._at = 0
        return bool(self._input)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while len(view) and (self._member is not None or self._begin_member()):
            self._fill()
            # What follows a member is copied, so that a short one is given little at once.
            piece = self._input[self._at : self._at + self._piece]
            self._piece = min(2 * self._piece, _CHUNK)
            data = self._member.decompress(piece, len(view))
            self._at += len(piece)
            if self._member.eof:
                self._at -= len(self._member.unused_data)
                self._member = None
            else:
                self._at -= len(self._member.unconsumed_tail)
                if not piece and not data:
                    raise EOFError("it ends within a member")
            if data:
                self._total += len(data)
                _check_ratio(self._total, self._stored, "the file", FREE_DATA)
                view[: len(data)] = data
                return len(data)
        return 0


# ---- JSON ----


def parse_json(text: str, most: int = MAX_JSON, values: int = MAX_JSON_VALUES) -> Any:
    """Parse JSON as in RFC 8259: no NaN, no duplicate keys, and no unbounded numbers.

    `most` limits the characters, `values` the values; lists, objects and keys count as values.
    """
    if len(text) > most:
        raise ValueError(f"it has {len(text)} characters of JSON, more than {most}")
    if len(text) > _MAX_WIDE and not text.isascii():
        raise ValueError(f"it has more than {_MAX_WIDE} characters of JSON beyond ASCII")
    # Counting all marks is quick, and is enough unless many of them are inside texts.
    if sum(map(text.count, ",:[{")) > values and _count_values(text) > values:
        raise ValueError(f"it has more than {values} values in JSON")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError("its JSON is nested too deeply")


def _count_values(text: str) -> int:
    """Return how often a value begins, or one more is to follow, outside the texts of JSON."""
    # Without escapes every quote begins or ends a text.
    plain = text.replace("\\\\", "").replace('\\"', "").encode("utf-8", "replace")
    # Use bytes: in NumPy 1.24.0, accumulate is wrong for Booleans with either xor.
    quotes = (np.frombuffer(plain, np.uint8) == ord('"')).view(np.uint8)
    within = np.bitwise_xor.accumulate(quotes).view(np.bool_)
    marks = np.frombuffer(plain.translate(_MARKS), np.bool_)
    return int(np.count_nonzero(marks & ~within))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"{shorten(repr(key), 60)} occurs twice in its JSON")
        made[key] = value
    return made


def _parse_int(text: str) -> int:
    if len(text) > 21:
        raise ValueError(f"it has an integer of {len(text)} digits")
    return int(text)


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shorten(text, 60)} is not a finite number")
    return number


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


# ---- arrays ----

_QUOTE = "['\"]"
_NPY_HEADER = re.compile(
    rf"\{{(?:\s*(?:{_QUOTE}descr{_QUOTE}\s*:\s*{_QUOTE}"
    rf"(?P<descr>[<>|=]?(?:[biufcSUVO]\d{{0,9}}|\?)){_QUOTE}"
    rf"|{_QUOTE}fortran_order{_QUOTE}\s*:\s*(?P<order>True|False)"
    rf"|{_QUOTE}shape{_QUOTE}\s*:\s*\((?P<shape>\s*|(?:\s*\d{{1,19}}\s*,)+\s*(?:\d{{1,19}}\s*)?)\))"
    r"\s*(?:,|(?=\})))*\s*\}\s*",
)


def read_npy(stream: IO[bytes], size: int) -> Array:
    """Read one array in .npy format, which must take up all `size` bytes of a stream.

    The header is matched, not evaluated as Python as NumPy does, and only plain dtypes are
    accepted. Memory is allocated once the header has been found to agree with `size`.
    """
    magic = _read_bytes(stream, 8)
    if magic[:6] != b"\x93NUMPY":
        raise ValueError("does not begin as an array of NumPy")
    version = tuple(magic[6:])
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version} is not supported")
    wide = 4 if version == (2, 0) else 2
    length = int.from_bytes(_read_bytes(stream, wide), "little")
    if length > min(_MAX_NPY_HEADER, size):
        raise ValueError(f"has a header of {length} bytes")
    shape, fortran, dtype = _parse_npy_header(_read_bytes(stream, length).decode("latin-1"))
    follow = size - 8 - wide - length
    data = math.prod(shape) * dtype.itemsize
    if data != follow:
        raise ValueError(f"the header says {shape} {dtype}, {data} bytes, but {follow} follow")
    flat = _read_values(stream, data).view(dtype)
    if (
        dtype.kind == "U"
        and (flat.view(np.dtype("u4").newbyteorder(dtype.byteorder)) > 0x10FFFF).any()
    ):
        raise ValueError("holds texts of characters that do not exist")
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _parse_npy_header(text: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and dtype from the header of an .npy file."""
    found = _NPY_HEADER.fullmatch(text)
    if found is None or None in found.groups():
        raise ValueError(f"its header is not that of a plain array: {shorten(repr(text), 100)}")
    try:
        dtype = np.dtype(found["descr"])
        if dtype.itemsize < 0:  # NumPy 1 wraps around at 2 GiB
            raise OverflowError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"its dtype {found['descr']!r} is unknown") from None
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not loaded")
    shape = tuple(int(length) for length in found["shape"].split(",") if length.strip())
    if len(shape) > _MAX_DIMENSIONS or not dtype.itemsize:
        raise ValueError(f"is of {len(shape)} dimensions and {dtype.itemsize} bytes an entry")
    return shape, found["order"] == "True", dtype


def _read_bytes(stream: IO[bytes], size: int) -> bytes:
    """Read a few bytes, all of them."""
    data = stream.read(size)
    if len(data) < size:
        raise ValueError("ends within its header")
    return data


def _read_values(stream: IO[bytes], size: int) -> Array:
    """Read so many bytes as uint8, in pieces, so that a stream that ends early costs little."""
    values = np.empty(size, dtype=np.uint8)
    view = values.data
    at = 0
    while at < size:
        piece = stream.read(min(_BLOCK, size - at))
        if not piece:
            raise ValueError(f"the header says {size} bytes of data, but {at} follow")
        view[at : at + len(piece)] = piece
        at += len(piece)
    return values


# ---- archives ----


class _Metered:
    """A file with a limit on how many bytes can be read, until the limit is lifted."""

    def __init__(self, file: IO[bytes], most: float) -> None:
        self.most = most
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        most = min(self.most + 1, math.inf if size < 0 else size)
        data = self._file.read(-1 if math.isinf(most) else int(most))
        self.most -= len(data)
        if self.most < 0:
            raise ValueError("the directory of the archive is too long")
        return data


class Archive:
    """The arrays in an .npz file: a zip archive, of which only what NumPy writes is read.

    Parameters
    ----------
    file : binary file
        An open regular file.

    Raises
    ------
    ValueError, or one of `DAMAGE`
        It is not an archive, an entry occurs twice, or entries overlap or lie beyond its end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        metered = _Metered(file, _MAX_DIRECTORY)
        try:
            self._zip = zipfile.ZipFile(cast("IO[bytes]", metered))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError("the directory of the archive lies outside") from None
        metered.most = math.inf
        self._free = FREE_DATA
        entries = sorted(self._zip.infolist(), key=lambda entry: entry.header_offset)
        if not entries:
            raise ValueError("the archive is empty")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("an entry occurs twice")
        starts = [entry.header_offset for entry in entries]
        for entry, end in zip(entries, [*starts[1:], size_of(file)], strict=True):
            # The fixed part of an entry's header has 30 bytes.
            if entry.header_offset < 0 or entry.header_offset + 30 + entry.compress_size > end:
                raise ValueError(f"the entry {shorten(repr(entry.filename), 60)} lies outside")

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        """Names of the arrays, in the order of the archive."""
        return [entry.filename.removesuffix(".npy") for entry in self._zip.infolist()]

    def read(self, name: str, most: float = math.inf) -> Array:
        """Read one array of a model, which may have `most` bytes with its header."""
        return self._read(name, most, FREE_UNPACKED)

    def read_data(self, name: str, sizes: Callable[[Array], int]) -> Array:
        """Read one array of a data set.

        All arrays that are compressed further than `MAX_RATIO` may together take `FREE_DATA` bytes,
        both as unpacked and as they will be used; `sizes` gives the latter.
        """
        array = self._read(name, math.inf, self._free)
        entry = self._zip.getinfo(f"{name}.npy")
        if entry.file_size > MAX_RATIO * entry.compress_size:
            used = max(entry.file_size, sizes(array))
            if used > self._free:
                raise ValueError(
                    f"{name} takes {used} bytes of memory for {entry.compress_size} stored, and "
                    f"{self._free} are left to such; if that is right, store it uncompressed"
                )
            self._free -= used
        return array

    def _read(self, name: str, most: float, free: int) -> Array:
        try:
            entry = self._zip.getinfo(f"{name}.npy")
        except KeyError:
            raise ValueError(f"there is no array {name}") from None
        if entry.flag_bits & 1:
            raise ValueError(f"{name} is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed by method {entry.compress_type}")
        if entry.file_size > most:
            raise ValueError(f"{name} is longer than it should be")
        _check_ratio(entry.file_size, entry.compress_size, name, free)
        with self._zip.open(entry) as stream:
            return read_npy(stream, entry.file_size)
