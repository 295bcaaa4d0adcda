"""Makes one self-contained page of its parts: a body, styles, scripts and data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["fill", "make"]

# Every page starts with these.
_STYLE, _SCRIPT = "pages/base.css", "pages/common.js"


def make(
    title: str, body: str, styles: Sequence[str], scripts: Sequence[str], data: Mapping[str, Any]
) -> str:
    """Return a page that refers to nothing outside itself.

    Parameters
    ----------
    title : str
        What the browser calls it.
    body : str
        HTML.
    styles, scripts : sequence of str
        Files, named from the folder of the package, in the order in which they are joined.
    data : mapping
        What the scripts find as `data`.
    """
    # Inside a script element, only "<" could end it.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return fill(
        "pages/shell.html",
        title=escape(title),
        body=body,
        style="\n".join(map(_read, (_STYLE, *styles))),
        script="\n".join(map(_read, (_SCRIPT, *scripts))),
        data=text,
    )


def fill(template: str, **parts: str) -> str:
    """Return a file of the package, the marks {{name}} in it replaced by the parts."""
    # Replace all marks in one pass, so that nothing in a part is taken for a mark.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _read(template))


def _read(name: str) -> str:
    """Return a file, named from the folder of the package."""
    path = files(__package__.rpartition(".")[0])
    for part in name.split("/"):
        path /= part
    return path.read_text("utf-8")
