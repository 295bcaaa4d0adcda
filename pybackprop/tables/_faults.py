"""What is wrong with a table, said in one message."""

from __future__ import annotations

from collections.abc import Sequence

from ..files.read import shorten

_MAX_IN_MESSAGE = 80
# How many faults a message lists.
_MAX_FAULTS = 12


def place(line: int, column: str | None) -> str:
    """Return the words for a place in a file; line 0 is that of a frame, which has none."""
    words = [] if line == 0 else [f"line {line}"]
    if column is not None:
        words.append(f"column {shorten(repr(column), _MAX_IN_MESSAGE)}")
    return ", ".join(words)


def fault(path: str, line: int, column: str | None, what: str) -> ValueError:
    """Return the error for one place in a file."""
    where = place(line, column)
    return ValueError(f"{path}: {where}: {what}" if where else f"{path}: {what}")


def quote(cell: str) -> str:
    """Return the repr of a cell, cut to a length fit for a message."""
    return shorten(repr(cell), _MAX_IN_MESSAGE)


def listing(names: Sequence[str]) -> str:
    """Return the first names of a list, fit for a message."""
    return ", ".join(map(quote, names[:8])) + (", ..." if len(names) > 8 else "")


class Faults:
    """Collects faults, so that one message can tell all of them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: list[tuple[str, str]] = []

    def add(self, line: int, column: str | None, what: str) -> None:
        """Note one fault."""
        self._found.append((place(line, column), what))

    def check(self) -> None:
        """Raise a ValueError that names all faults, if there are any."""
        if not self._found:
            return
        texts = [f"{where}: {what}" if where else what for where, what in self._found]
        if len(texts) == 1:
            raise ValueError(f"{self._path}: {texts[0]}")
        shown = "; ".join(f"({at}) {text}" for at, text in enumerate(texts[:_MAX_FAULTS], 1))
        more = f"; and {len(texts) - _MAX_FAULTS:,} more" if len(texts) > _MAX_FAULTS else ""
        raise ValueError(f"{self._path}: {len(texts):,} faults: {shown}{more}")
