"""The page of a lesson: its example and questions above the screens that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from ..graph import Section, Variable, draw_section
from ..pages.shell import fill, make
from ._descent import SCRIPTS as DESCENT_SCRIPTS
from ._descent import STYLES as DESCENT_STYLES
from ._descent import descent_data
from ._page import SCRIPTS, STYLES, network_data, walk
from ._screens import FIRST_SCRIPTS, LAST_SCRIPT, TABS_STYLE, screens

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["Screens", "make_lesson"]

_QUESTIONS = ("view/lesson/check.js", "view/lesson/question.js")
_LESSON_STYLE = "view/lesson/lesson.css"
# A graph is drawn across for a wide window, and downwards for a narrow one.
_DIRECTIONS: tuple[Literal["right", "down"], ...] = ("right", "down")


@dataclass(frozen=True)
class Screens:
    """What a lesson is looked at with.

    Attributes
    ----------
    guide : str
        What to do there.
    graphs : tuple of (str, Variable)
        Computational graphs, each with its heading.
    network : Network or None
        The network of Walk, Train and Descent, with examples `x` and `y`.
    uses : tuple of str
        Which of these three are worth a look.
    descent : (callable, array_like, dict) or None
        The function, the start and the options of a descent, as for `make_descent`.
    train : dict
        How the first network of Train starts: its ``init``, ``activation``, ``lr`` and ``seed``.
    opens : str
        The place where the page comes up, such as ``"tab=walk&step=3"``.
    """

    guide: str
    graphs: tuple[tuple[str, Variable], ...] = ()
    network: Model | None = None
    x: Any = None
    y: Any = None
    uses: tuple[str, ...] = ("walk", "train", "descent")
    descent: tuple[Callable[[Variable], Any], Any, Mapping[str, Any]] | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    opens: str = ""


def make_lesson(
    title: str,
    text: str,
    questions: Sequence[Mapping[str, Any]],
    shown: Screens,
    *,
    place: tuple[int, int],
    links: Mapping[str, str],
) -> str:
    """Return one self-contained page.

    Parameters
    ----------
    title, text : str
        The heading, and the example as it stands in a terminal.
    questions : sequence of mapping
        Each with ``text``, ``answer``, ``because``, ``slips`` and ``choices``; with ``see``, the
        place where the answer can be seen, or ""; and with ``weight``, None or the layer, row and
        column of a weight, from whose derivative the page takes the answer and further slips.
    shown : Screens
        What is below.
    place : (int, int)
        Which lesson it is, and of how many.
    links : mapping of str to str
        Addresses of other pages by their names.
    """
    contents: dict[str, str] = {}
    data: dict[str, Any] = {"lesson": {"questions": list(questions)}, "opens": shown.opens}
    styles = [TABS_STYLE]
    scripts = [*FIRST_SCRIPTS, *_QUESTIONS]
    if shown.graphs:
        sections = [
            draw_section(root, direction) for _, root in shown.graphs for direction in _DIRECTIONS
        ]
        contents["graph"] = _stacked([heading for heading, _ in shown.graphs], sections)
        data["graphs"] = [section.data for section in sections]
        styles += sections[0].styles
        scripts += [*sections[0].scripts, "view/lesson/graphs.js"]
    if shown.network is not None:
        contents |= {name: walk() if name == "walk" else "" for name in shown.uses}
        data |= network_data(shown.network, shown.x, shown.y) | {"train": dict(shown.train)}
        styles += STYLES
        scripts += [*SCRIPTS, "view/lesson/practice.js"]
    if shown.descent is not None:
        contents["descent"] = ""
        function, start, options = shown.descent
        data["descent"] = descent_data(function, start, **options)
        styles += [each for each in DESCENT_STYLES if each not in styles]
        scripts += [each for each in DESCENT_SCRIPTS if each not in scripts]
        scripts.append("view/descent/tab.js")
    number, count = place
    body = fill(
        "view/lesson/lesson.html",
        number=str(number),
        count=str(count),
        links=_links(links),
        title=escape(title),
        text=_paragraphs(text),
        guide=escape(shown.guide),
    )
    head = f"Lesson {number}: {title}"
    styles.append(_LESSON_STYLE)
    scripts += ["view/lesson/lesson.js", LAST_SCRIPT]
    return make(head, body + screens(contents), styles, scripts, data)


def _stacked(headings: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the pictures one below the other, each with its heading and in both directions."""
    parts = zip(headings, sections[::2], sections[1::2], strict=True)
    return "\n".join(
        f'<h2>{escape(heading)}</h2>\n<div class="on-wide">{wide.html}</div>\n'
        f'<div class="on-narrow">{narrow.html}</div>'
        for heading, wide, narrow in parts
    )


def _links(links: Mapping[str, str]) -> str:
    return "".join(
        f'<a href="{escape(address, quote=True)}">{escape(name)}</a>'
        for name, address in links.items()
    )


def _paragraphs(text: str) -> str:
    """Return what ends as a sentence as paragraphs, and the rest as it stands in a terminal."""
    parts = []
    for block in text.split("\n\n"):
        is_prose = block.rstrip().endswith((".", ":"))
        tag = "p" if is_prose else "pre"
        parts.append((tag, " ".join(block.split()) if is_prose else block.rstrip()))
    return "\n".join(f"<{tag}>{escape(block)}</{tag}>" for tag, block in _joined(parts))


def _joined(parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return blocks of the terminal that follow each other as one."""
    joined: list[tuple[str, str]] = []
    for tag, block in parts:
        if joined and tag == joined[-1][0] == "pre":
            joined[-1] = (tag, f"{joined[-1][1]}\n\n{block}")
        else:
            joined.append((tag, block))
    return joined
