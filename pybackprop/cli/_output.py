"""The standard streams of a command: they take every character, and their reader may go away."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def any_character() -> Iterator[None]:
    r"""Let the standard streams print what they cannot encode as an escape, such as \xb2.

    The encoding is the user's choice. A file name or the name of a class must not end a command
    that has hours of work behind it.
    """
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            changed.append((stream, stream.errors))
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):  # it flushes, or has been closed
                stream.reconfigure(errors=errors)


def can_print(text: str) -> bool:
    """Return whether standard output can encode a text as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str) -> None:
    """Print a line that a command can do without: it continues if the reader has gone."""
    try:
        print(text)
    except BrokenPipeError:
        mute(sys.stdout)


def tell(text: str) -> None:
    """Print a line on standard error, if that can be written to."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        mute(sys.stderr)


def flush() -> None:
    """Write what the standard streams still hold; only standard output may fail."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        mute(sys.stderr)
    if sys.stdout is not None:
        sys.stdout.flush()


def mute(stream: Any) -> None:
    """Drop what a stream holds and is given, so that Python's flush at exit cannot fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
