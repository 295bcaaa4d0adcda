"""The lessons as web pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.write import write_atomically
from ..inputs import as_count
from ..view import make_lesson
from ._list import LESSONS
from ._question import Content, Question

__all__ = ["make_lesson_page", "write_course", "write_lesson_page"]


def make_lesson_page(number: int) -> str:
    """Return a lesson as one self-contained web page, on which its questions are asked.

    Parameters
    ----------
    number : int
        1 to 12.

    Returns
    -------
    str
        HTML, which refers to nothing outside itself.

    Raises
    ------
    TypeError, ValueError
        `number` is not the number of a lesson.

    Examples
    --------
    >>> make_lesson_page(8).startswith("<!DOCTYPE html>")
    True
    """
    return _page(_as_number(number), {})


def write_lesson_page(number: int, path: Any) -> None:
    """Write the page of `make_lesson_page` to a file; an existing one is replaced atomically."""
    _write(make_lesson_page(number), path)


def write_course(folder: Any) -> list[Path]:
    """Write the pages of all lessons, each with links to the one before and the one after.

    Parameters
    ----------
    folder : path-like
        Where to write ``lesson-01.html`` to ``lesson-12.html``; it is made if it is missing.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        The folder or a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, len(LESSONS) + 1):
        paths.append(folder / _name(number))
        _write(_page(number, _links(number)), paths[-1])
    return paths


def _write(page: str, path: Any) -> None:
    write_atomically(path, lambda file: file.write(page.encode()))


def _as_number(value: Any) -> int:
    number = as_count(value, "number", low=1)
    if number > len(LESSONS):
        raise ValueError(f"number must be at most {len(LESSONS)}, got {value!r}")
    return number


def _name(number: int) -> str:
    return f"lesson-{number:02}.html"


def _links(number: int) -> dict[str, str]:
    """Return the pages beside that of a lesson."""
    links = {}
    if number > 1:
        links[f"\u2190 {LESSONS[number - 2].title}"] = _name(number - 1)
    if number < len(LESSONS):
        links[f"{LESSONS[number].title} \u2192"] = _name(number + 1)
    return links


def _page(number: int, links: dict[str, str]) -> str:
    lesson = LESSONS[number - 1]
    content = lesson.build()
    return make_lesson(
        lesson.title,
        content.text,
        [_asked(question, content) for question in content.questions],
        content.screens,
        place=(number, len(LESSONS)),
        links=links,
    )


def _asked(question: Question, content: Content) -> dict[str, Any]:
    """Return a question as the page's script takes it."""
    answer = question.answer
    return {
        "text": question.text,
        "answer": answer if isinstance(answer, str) else list(answer),
        "because": question.because,
        "slips": [{"values": list(slip.values), "text": slip.text} for slip in question.slips],
        "choices": list(question.choices),
        "see": question.see or _end_of(question.weight, content),
        # Layers are counted from 1 on the page.
        "weight": None
        if question.weight is None
        else [question.weight[0] + 1, *question.weight[1:]],
    }


def _end_of(weight: tuple[int, int, int] | None, content: Content) -> str:
    """Return the place on Walk where the derivative in a weight has come up."""
    net = content.screens.network
    if weight is None or net is None:
        return ""
    layer, row, column = weight
    step = 2 * len(net.weights) + 1 - layer
    return f"tab=walk&step={step}&weight={layer + 1}.{row}.{column}"
