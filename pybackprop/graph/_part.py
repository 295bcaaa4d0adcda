"""A graph as a part of a web page that holds other things too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ._variable import Variable

__all__ = ["Section", "draw_section"]


@dataclass(frozen=True)
class Section:
    """A part of a web page that steps through a graph; the class GraphView takes `html` and `data`.

    Attributes
    ----------
    html : str
        The picture and its controls.
    data : dict
        The numbers that the script needs.
    styles, scripts : tuple of str
        The files that the page needs, named from the folder of the package.
    """

    html: str
    data: dict[str, Any]
    styles: tuple[str, ...]
    scripts: tuple[str, ...]


def draw_section(root: Variable, direction: Literal["right", "down"] = "right") -> Section:
    """Return the picture of a graph as a part of a web page.

    Parameters
    ----------
    root : Variable
        The result.
    direction : {"right", "down"}
        As for `Variable.to_svg`.

    Returns
    -------
    Section
        What the page must hold.

    Raises
    ------
    ValueError
        `direction` is neither of the two.
    """
    from ._draw import SCRIPTS, STYLES, draw_part

    html, data = draw_part(root, direction)
    return Section(html, data, STYLES, SCRIPTS)
