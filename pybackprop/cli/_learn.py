"""``pybackprop learn``: twelve lessons with questions, in the terminal or as web pages."""

from __future__ import annotations

import argparse
import sys
from textwrap import fill
from typing import TYPE_CHECKING

from ._parser import Commands, command, count

if TYPE_CHECKING:
    from ..lessons import Lesson, Question

_EPILOG = """\
A lesson shows an example with its numbers and asks two or three questions. Every answer is checked
by computing it; if it is wrong, the lesson says what is missing when it can tell. Two digits are
enough. An empty line shows the answer, q quits. Answers may also come from a file or a pipe, one
per line. The lessons are those of docs/course.

With --save the lesson becomes a web page, which loads nothing: the example and the questions stand
above the screens on which they can be seen, networks to walk through, change and train, graphs and
descents. Without a number, all lessons are written into a folder.

examples:
  pybackprop learn                       list the lessons
  pybackprop learn 8                     run lesson 8
  pybackprop learn 8 --answers           show it with the answers, and ask nothing
  pybackprop learn 8 --save lesson.html  write it as a page
  pybackprop learn --save course         write all pages into the folder course
"""

_LESSONS = 12
# How often a question is asked before the answer is shown.
_TRIES = 3


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Learn backpropagation in twelve lessons with questions."
    parser = command(commands, "learn", run, summary, _EPILOG)
    parser.add_argument(
        "lesson", metavar="N", type=count(1, _LESSONS), nargs="?", help="the lesson, 1 to 12"
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--answers", action="store_true", help="show the answers, and ask nothing")
    either.add_argument(
        "--save", metavar="PATH", help="write the page of the lesson, or a folder with all pages"
    )


def run(args: argparse.Namespace) -> int:
    """List the lessons, or run one."""
    from ..lessons import LESSONS

    if args.save is not None:
        _save(args.lesson, args.save)
        return 0
    if args.lesson is None:
        if args.answers:
            raise ValueError("--answers needs the number of a lesson, as in learn 8 --answers")
        print("Backpropagation in twelve lessons; `pybackprop learn N` runs one.\n")
        for number, lesson in enumerate(LESSONS, 1):
            print(f"{number:>4}  {lesson.title}")
        return 0
    _run_lesson(args.lesson, LESSONS[args.lesson - 1], args.answers)
    return 0


def _save(lesson: int | None, path: str) -> None:
    """Write the page of a lesson, or all pages."""
    from ..lessons import write_course, write_lesson_page

    is_page = path.lower().endswith((".html", ".htm"))
    if lesson is None:
        if is_page:
            raise ValueError(f"--save must name a folder for all lessons, got {path}")
        print(f"saved as {write_course(path)[0]} and {_LESSONS - 1} pages beside it")
        return
    if not is_page:
        raise ValueError(f"--save must end with .html, got {path}")
    write_lesson_page(lesson, path)
    print(f"saved as {path}")


def _run_lesson(number: int, lesson: Lesson, answers: bool) -> None:
    """Show a lesson and ask its questions."""
    content = lesson.build()
    title = f"Lesson {number}: {lesson.title}"
    print(f"{title}\n{'=' * len(title)}\n\n{content.text}")
    right = 0
    total = len(content.questions)
    for at, question in enumerate(content.questions, 1):
        print("\n" + fill(f"Question {at} of {total}. {question.text}", 88))
        if answers:
            print(f"  {question.answer_text}: {question.because}")
            continue
        outcome = _ask(question)
        if outcome is None:
            print(f"\nThat is all for now: {right} of {total} right.")
            return
        right += outcome
    if not answers:
        print(f"\n{right} of {total} right.")
        if number < _LESSONS:
            print(f"Next: pybackprop learn {number + 1}")
    print(f"The whole lesson: docs/course/{lesson.page}")


def _ask(question: Question) -> bool | None:
    """Ask until the answer is right or the tries are used up; None if the answers end."""
    tries = 0
    while tries < _TRIES:
        given = _read()
        if given is None or given.lower() in ("q", "quit", "exit"):
            return None
        if not given:
            break
        reply = question.check(given)
        print(f"  {reply.text}")
        if reply.kind == "right":
            return True
        tries += reply.kind == "wrong"
    print(f"  The answer is {question.answer_text}: {question.because}")
    return False


def _read() -> str | None:
    """Read a line, and show it if it was not typed; None at the end."""
    print("> ", end="", flush=True)
    stream = sys.stdin
    line = "" if stream is None or stream.closed else stream.readline()
    if not line:
        print()
        return None
    given = line.strip()
    if not stream.isatty():
        print(given)
    return given
