"""The page of a network as an object, which notebooks show in place."""

from __future__ import annotations

from typing import Any

from ..files.write import write_atomically
from ..markup import frame

__all__ = ["Page"]

_HEIGHT = 760


class Page:
    """A self-contained web page; a notebook shows it, and `save` writes it to a file.

    Attributes
    ----------
    html : str
        The page, which loads nothing else.
    """

    def __init__(self, html: str, what: str) -> None:
        self.html = html
        self._what = what

    def __repr__(self) -> str:
        return f"Page({self._what}; {len(self.html.encode()) / 1024:.0f} KiB, save(path) writes it)"

    def _repr_html_(self) -> str:
        return frame(self.html, _HEIGHT)

    def save(self, path: Any) -> None:
        """Write the page to a file; an existing one is replaced atomically.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_atomically(path, lambda file: file.write(self.html.encode()))
