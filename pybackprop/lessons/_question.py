"""A lesson's questions: how an answer is read, and what is said to a wrong one."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from ..graph import Explanation
from ..view import Screens

Result = TypeVar("Result")

# Two digits are enough: 0.2 for 0.1966. Every slip is further off than that.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Reply:
    """What is said to an answer.

    Attributes
    ----------
    kind : {"right", "wrong", "unclear"}
        Whether it is right, or could not be read.
    text : str
        What to tell.
    """

    kind: Literal["right", "wrong", "unclear"]
    text: str


@dataclass(frozen=True)
class Slip:
    """A wrong answer that is known, as numbers, and what is missing in it."""

    values: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class Question:
    """A question, its answer and the slips that are recognised.

    Attributes
    ----------
    text : str
        The question.
    answer : tuple of float or str
        Numbers, or one of `choices`.
    because : str
        How the answer comes about.
    slips : tuple of Slip
        Wrong answers that are recognised.
    choices : tuple of str
        The words to choose from; () if the answer is numbers.
    see : str
        Where the lesson's page shows the answer, such as ``"tab=walk&step=3"``; "" if nowhere.
    weight : (int, int, int) or None
        The layer, row and column, counted from 0, of the weight of the lesson's network whose
        derivative is the answer. The page then computes the answer and further slips itself.
    """

    text: str
    answer: tuple[float, ...] | str
    because: str
    slips: tuple[Slip, ...] = ()
    choices: tuple[str, ...] = ()
    see: str = ""
    weight: tuple[int, int, int] | None = None

    @property
    def answer_text(self) -> str:
        """The answer as it may be typed."""
        if isinstance(self.answer, str):
            return self.answer
        return " ".join(f"{value + 0.0:.4g}" for value in self.answer)

    def check(self, given: str) -> Reply:
        """Compare an answer with the right one, and say what is wrong with it.

        Parameters
        ----------
        given : str
            What was typed: numbers such as -0.39, 1e-3 or 3/4, with blanks or commas between
            them, or the beginning of one of the choices.

        Returns
        -------
        Reply
        """
        if isinstance(self.answer, str):
            return self._check_word(given.strip().lower())
        numbers = read_numbers(given)
        wanted = "a number" if len(self.answer) == 1 else f"{len(self.answer)} numbers"
        if numbers is None or len(numbers) != len(self.answer):
            return Reply("unclear", f"Please type {wanted}, such as {_example(len(self.answer))}.")
        if agree(numbers, self.answer):
            return Reply("right", f"Right: {self.because}")
        return Reply("wrong", self._missing(numbers, self.answer))

    def _missing(self, numbers: tuple[float, ...], answer: tuple[float, ...]) -> str:
        """Say what is wrong with numbers, as far as that can be seen."""
        turned = tuple(-each for each in numbers)
        for slip in self.slips:
            if agree(numbers, slip.values):
                return slip.text
        if agree(turned, answer):
            return "The sign is wrong, and nothing else."
        for slip in self.slips:
            if agree(turned, slip.values):
                return f"{slip.text} And the sign is wrong."
        return "No."

    def _check_word(self, given: str) -> Reply:
        found = [choice for choice in self.choices if given and choice.startswith(given)]
        if len(found) != 1:
            return Reply("unclear", f"Please type {' or '.join(self.choices)}.")
        if found[0] == self.answer:
            return Reply("right", f"Right: {self.because}")
        return Reply("wrong", "No.")


@dataclass(frozen=True)
class Content:
    """What a lesson shows and asks; all its numbers have been computed.

    Attributes
    ----------
    text : str
        The example, with its numbers.
    questions : tuple of Question
        Two or three.
    screens : Screens
        What its page is made of.
    """

    text: str
    questions: tuple[Question, ...]
    screens: Screens = field(compare=False)


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes
    ----------
    title : str
        What it is about.
    page : str
        Its page in ``docs/course``.
    build : callable
        Computes the example and the questions, and returns them as `Content`.
    """

    title: str
    page: str
    build: Callable[[], Content]


# ---- reading answers ----


def read_numbers(text: str) -> tuple[float, ...] | None:
    """Return the finite numbers of an answer, or None if something else is in it."""
    words = re.split(r"[\s,;]+", text.strip().strip("()[]").strip().replace("\u2212", "-"))
    numbers = []
    for word in words:
        above, slash, below = word.partition("/")
        try:
            value = float(above) / (float(below) if slash else 1.0)
        except (ValueError, ZeroDivisionError):
            return None
        if not math.isfinite(value):
            return None
        numbers.append(value)
    return tuple(numbers)


def agree(given: Iterable[float], wanted: Iterable[float]) -> bool:
    """Tell whether numbers are the wanted ones, to two digits."""
    pairs = list(zip(given, wanted, strict=False))
    return all(abs(a - b) <= TOLERANCE * abs(b) + 1e-12 for a, b in pairs)


def _example(count: int) -> str:
    return " ".join(("-0.39", "3/4", "1e-3")[:count])


# ---- making questions ----


def number(value: Any) -> tuple[float, ...]:
    """Return what was computed as the numbers of an answer."""
    return tuple(np.asarray(value, dtype=np.float64).ravel().tolist())


def yes(value: Any) -> str:
    """Return the word for a condition that was computed."""
    return "yes" if value else "no"


def silent(call: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """Return the result of a function that prints as well."""
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*arguments, **named)


def missing_factors(found: Explanation) -> tuple[Slip, ...]:
    """Return the slips of leaving out one factor of the only path of a derivative."""
    [path] = found.paths
    slips = []
    for factor in path.factors:
        value = float(np.asarray(factor.value))
        if abs(abs(value) - 1.0) > 2.0 * TOLERANCE:
            text = f"{_kind(factor.name)} {factor} is missing."
            slips.append(Slip(number(path.product / value), text))
    return tuple(slips)


def _kind(name: str) -> str:
    """Say in a word what a factor is, from the names of its two nodes."""
    above, _, below = name.partition("/")
    if above.startswith("dz"):
        return "The weight" if below.startswith("da") else "The input"
    return "The slope" if above.startswith("da") else "The derivative of the loss"
