"""Files that are replaced in one move: a crash leaves the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import IO, Any, cast

from ..inputs import as_path

if sys.platform != "win32":
    import fcntl

# Only this much of a long name goes into the temporary file's name, which must not be too long.
_NAME_LIMIT = 50

# How long to wait, on Windows, for others to close the file.
_PATIENCE_SECONDS = 2.0


class _Sink(io.BufferedIOBase):
    """An output file that keeps its first error instead of raising it.

    Code that writes archives would raise or warn of further errors while it cleans up after the
    first.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def _try(self, function: Callable[..., Any], *arguments: Any) -> int:
        if self.error is None and not self._file.closed:
            try:
                return int(function(*arguments) or 0)
            except OSError as error:
                self.error = error
        return 0

    def close(self) -> None:
        """Leave closing the file to the code that opened it."""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._try(self._file.write, data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._try(self._file.flush)

    def tell(self) -> int:
        return self._try(self._file.tell)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(self._file.seek, offset, whence)


def write_atomically(path: Any, write: Callable[[IO[bytes]], Any]) -> None:
    """Let write(file) fill a temporary file beside path, then rename it to path.

    A crash at any time, even of the machine, leaves either the old file or the new one, intact. The
    new file gets the mode and, if that is allowed, the owner of the old one; until then only its
    owner can read it. If a writer was killed, the next writer to the same path removes what it left
    (not on Windows).

    Raises
    ------
    OSError
        The file cannot be written; the error names the path. The old file is unchanged, unless the
        only failure was that the folder could not be flushed to disk.
    """
    name = as_path(path)
    target = os.path.realpath(name)
    try:
        _replace(target, write)
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        # Some errors name no file, such as that of a full disk; others name the temporary file.
        error.filename = name
        del error.filename2  # None would be printed
        raise


def _replace(target: str, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a temporary file and rename it to the target."""
    folder, name = os.path.split(target)
    old = _status(target)
    _remove_leftovers(folder, name[:_NAME_LIMIT])
    # What takes the place of a private file is private from its first byte on.
    mode = 0o666 if old is None else 0o600
    done = False
    while not done:
        unique = f"{os.getpid()}.{os.urandom(6).hex()}"
        temporary = os.path.join(folder, f".{name[:_NAME_LIMIT]}.{unique}.tmp")
        try:
            with open(temporary, "x+b", opener=partial(os.open, mode=mode)) as file:
                if not _claim(file, temporary):
                    continue
                _fill(file, write, old)
                if sys.platform != "win32":
                    os.replace(temporary, target)  # while the lock is held
            if sys.platform == "win32":
                _replace_patiently(temporary, target)  # which needs a closed file
            done = True
        finally:
            if not done:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)


def _replace_patiently(temporary: str, target: str) -> None:
    """Rename a file that programs which look into new files, such as virus scanners, hold open."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = 0.01
    while True:
        try:
            os.replace(temporary, target)
            return
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(pause)
        pause = min(2.0 * pause, 0.2)


def _status(target: str) -> os.stat_result | None:
    """Return what is known of the old file; only a regular one can be replaced."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        raise OSError(number, f"not a regular file: {os.strerror(number)}")
    return status


def _fill(file: IO[bytes], write: Callable[[IO[bytes]], Any], old: os.stat_result | None) -> None:
    """Write the contents, flush them to disk, and take over the rights of the old file."""
    sink = _Sink(file)
    write(cast("IO[bytes]", sink))
    if sink.error is not None:
        raise sink.error
    file.flush()
    if sys.platform != "win32" and old is not None:
        new = os.fstat(file.fileno())
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with contextlib.suppress(OSError):
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        if (old.st_mode ^ new.st_mode) & 0o777:
            os.fchmod(file.fileno(), old.st_mode & 0o777)
    os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Flush the new name to disk, on systems where a folder can be opened for that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not support it
            raise
    finally:
        os.close(descriptor)


# ---- what killed writers leave: a temporary file is alive while it is locked ----


def _claim(file: IO[bytes], temporary: str) -> bool:
    """Lock a new temporary file; return False if it was taken for a leftover before that."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # a file system without locks, where none are removed
            fcntl.flock(file, fcntl.LOCK_EX)
    return os.path.lexists(temporary)


def _remove_leftovers(folder: str, name: str) -> None:
    """Remove the temporary files of writers that no longer exist."""
    if sys.platform == "win32":
        return
    pattern = re.compile(re.escape(f".{name}.") + r"\d+\.[0-9a-f]{12}\.tmp")
    with contextlib.suppress(OSError):
        for entry in filter(pattern.fullmatch, os.listdir(folder)):
            _remove_dead(os.path.join(folder, entry))


def _remove_dead(path: str) -> None:
    """Remove a temporary file unless a living writer has locked it."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return
            with open(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
