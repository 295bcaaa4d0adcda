"""The bytes of a text table, in UTF-8 whatever the file's encoding, from a file or from memory."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from typing import IO, Any

from ..files.read import FREE_DATA, open_plain_or_gzip, open_regular, size_of, unpacks_too_far

_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_FIRST = 1 << 10
_PIECE = 1 << 16
_UNPACKERS: tuple[tuple[bytes, Any], ...] = (
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)


class Source:
    """A text table in a file, or as bytes, that can be read from its beginning again.

    Attributes
    ----------
    name : str
        For messages.
    encoding : str
        What the bytes are decoded by; `retreat` changes it.
    """

    def __init__(self, path: str | os.PathLike[str] | bytes) -> None:
        self.name = "standard input" if isinstance(path, bytes) else os.fspath(path)
        self._path = None if isinstance(path, bytes) else self.name
        self._content = path if isinstance(path, bytes) else None
        self._checked = False
        self.encoding = "utf-8"
        self.plain = False
        with self._open() as file:
            self.encoding = _encoding_of(_read_first(file))

    @property
    def path(self) -> str | None:
        """The path, if the table is a file that is neither compressed nor in another encoding."""
        return self._path if self.plain and self.encoding == "utf-8" else None

    def retreat(self) -> None:
        """Take the file for Windows' or ISO's extension of ASCII, since it is not UTF-8."""
        self.encoding = "cp1252"

    def open(self) -> IO[bytes]:
        """Return the table's bytes in UTF-8."""
        file = self._open()
        if self.encoding == "utf-8":
            return file
        with file:
            return io.BytesIO(_decode(file.read(), self.encoding, self.name).encode())

    def _open(self) -> IO[bytes]:
        """Open what is stored, unpacked."""
        if self._content is not None:
            return io.BytesIO(self._content)
        path = self.name
        try:
            # Once is enough to find out damage and bombs before the data are looked at.
            file, packed = open_plain_or_gzip(path, check=not self._checked)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip data: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
        self._checked = True
        begin = file.peek(6)[:6]
        unpacker = next((each for magic, each in _UNPACKERS if begin.startswith(magic)), None)
        if unpacker is None:
            self.plain = not packed
            return file
        file.close()
        return io.BytesIO(_unpack(path, unpacker))


def _unpack(path: str, unpacker: Any) -> bytes:
    """Return what a file unpacks to, within the bounds of all compressed data."""
    with open_regular(path) as stored:
        size = size_of(stored)
        pieces, total = [], 0
        try:
            with unpacker(stored) as file:
                while piece := file.read(_PIECE):
                    pieces.append(piece)
                    total += len(piece)
                    if unpacks_too_far(total, size):
                        raise ValueError(
                            f"{path}: the file unpacks to more than {FREE_DATA} bytes and 100 "
                            f"times its {size}; if that is right, store it uncompressed"
                        )
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise ValueError(f"{path}: damaged compressed data: {error}") from None
    return b"".join(pieces)


def _read_first(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file."""
    return file.read(_FIRST)


def _encoding_of(begin: bytes) -> str:
    """Tell the encoding from the first bytes: UTF-16 by its mark or its zeros, else UTF-8."""
    for mark, name in _BOMS:
        if begin.startswith(mark):
            return name
    for name, zeros, others in (
        ("utf-16-le", begin[1::2], begin[::2]),
        ("utf-16-be", begin[::2], begin[1::2]),
    ):
        # Latin text in UTF-16 has a zero in every second byte.
        if len(zeros) >= 4 and 10 * zeros.count(0) >= 9 * len(zeros) and 0 not in others:
            return name
    return "utf-8"


def _decode(data: bytes, encoding: str, name: str) -> str:
    """Return the text of bytes in an encoding other than UTF-8."""
    if encoding == "cp1252":
        # Five bytes are unused there, and stand for themselves in ISO 8859-1.
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-16 text: {error.reason}") from None
