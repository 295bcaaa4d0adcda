"""Data that all workers of a machine read, in memory once."""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
import shutil
import socket
import tempfile
import threading
from functools import cached_property
from typing import Any

import numpy as np

from .._core import Array

# Arrays below this many bytes go with the work, not into the file.
_LEAST = 4096
# Arrays begin at multiples of this many bytes in the file.
_LINE = 64
# A file system in memory, if there is one.
_MEMORY = "/dev/shm"


def in_one_block(array: Array) -> Array:
    """Return an array whose memory can be shared: one block, and of no subclass."""
    array = np.asarray(array)
    flags = array.flags
    return array if flags.c_contiguous or flags.f_contiguous else np.ascontiguousarray(array)


class Shared:
    """An object whose arrays lie in a file that other processes map read-only.

    The file is written when the object is first sent to another process, and removed by `close`; it
    is named by a SHA-256 of the values. Here, `open` returns the object itself.
    """

    def __init__(self, value: Any, folder: str | None = None) -> None:
        self._value, self._parent = value, folder
        self._folder: str | None = None
        self._lock = threading.Lock()

    @cached_property
    def _parts(self) -> tuple[bytes, list[pickle.PickleBuffer], list[tuple[int, int]]]:
        """The pickle without the arrays, their memory, and where each lies in the file."""
        buffers: list[pickle.PickleBuffer] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            small = buffer.raw().nbytes < _LEAST
            if not small:
                buffers.append(buffer)
            return small

        head = pickle.dumps(self._value, protocol=5, buffer_callback=keep)
        spans, end = [], 0
        for each in buffers:
            begin = -(-end // _LINE) * _LINE
            end = begin + each.raw().nbytes
            spans.append((begin, end))
        return head, buffers, spans

    @cached_property
    def digest(self) -> str:
        """A SHA-256 of the values, wherever they are in memory."""
        return _digest(self._value, {}).hex()

    def open(self) -> Any:
        """Return the object."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        head, _, spans = self._parts
        return Mapped, (head, self._write() if spans else None, spans)

    def _write(self) -> str:
        """Write the file, unless it has been, and return its path."""
        with self._lock:
            _, buffers, spans = self._parts
            if self._folder is None:
                self._folder = tempfile.mkdtemp(prefix="pybackprop-", dir=self._place(spans[-1][1]))
                with open(os.path.join(self._folder, self.digest), "xb") as file:
                    for buffer, (begin, _) in zip(buffers, spans, strict=True):
                        file.seek(begin)
                        file.write(buffer.raw())
            return os.path.join(self._folder, self.digest)

    def _place(self, size: int) -> str:
        """Return the folder to write in: in memory, where there is twice the room."""
        if self._parent is not None:
            return self._parent
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2 * size:
            return _MEMORY
        return tempfile.gettempdir()

    def close(self) -> None:
        """Remove the file. Processes that have mapped it keep what they have."""
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _digest(value: Any, known: dict[int, bytes]) -> bytes:
    """Return a hash of arrays within tuples, lists and dicts; what occurs again is known."""
    if id(value) not in known:
        digest = hashlib.sha256(type(value).__name__.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif isinstance(value, (tuple, list, dict)):
            digest.update(repr(list(value) if isinstance(value, dict) else len(value)).encode())
            for each in value.values() if isinstance(value, dict) else value:
                digest.update(_digest(each, known))
        else:
            digest.update(repr(value).encode())
        known[id(value)] = digest.digest()
    return known[id(value)]


class Mapped:
    """What arrives in another process of an object that is shared."""

    def __init__(self, head: bytes, path: str | None, spans: list[tuple[int, int]]) -> None:
        self._arguments = head, path, spans

    def open(self) -> Any:
        """Return the object, whose arrays are views of the mapped file.

        Raises
        ------
        FileNotFoundError
            The file is not on this machine.
        """
        head, path, spans = self._arguments
        if path is None:
            return pickle.loads(head)
        try:
            with open(path, "rb") as file:
                memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"the data, {path}, are not on {socket.gethostname()}; give over() a folder that "
                "all workers see: over(..., folder=path)"
            ) from error
        return pickle.loads(head, buffers=[memory[begin:end] for begin, end in spans])

    def __reduce__(self) -> tuple[Any, ...]:
        return Mapped, self._arguments
