"""Makes one self-contained page of a template, its style, its scripts and its data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["fill"]


def _read(name: str) -> str:
    """Return a file of the package, named from its folder."""
    path = files(__package__)
    for part in name.split("/"):
        path /= part
    return path.read_text("utf-8")


def fill(
    template: str, title: str, styles: Sequence[str], scripts: Sequence[str], data: dict[str, Any]
) -> str:
    """Return a template with its marks filled; the page refers to nothing outside itself."""
    # Inside a script element, only "<" could end it.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "title": escape(title),
        "style": "\n".join(map(_read, styles)),
        "script": "\n".join(map(_read, scripts)),
        "data": text,
    }
    # Replace all marks in one pass, so that nothing in a part is taken for a mark.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _read(template))
