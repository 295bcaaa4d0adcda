"""The lessons in the terminal: right, wrong and unreadable answers, and where answers end."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.cli import main
from pybackprop.lessons import LESSONS, Question
from pybackprop.lessons._question import TOLERANCE, agree, read_numbers

NUMBERS = range(1, 13)
COURSE = Path(__file__).parent.parent / "docs" / "course"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def learn(monkeypatch, capsys):
    """Return a function that runs the command on lines of answers, and returns what it prints."""

    def run(*arguments, answers=(), stdin=io.StringIO):
        monkeypatch.setattr(sys, "stdin", stdin("".join(f"{answer}\n" for answer in answers)))
        code = main(["learn", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return out

    return run


def questions(number: int) -> tuple[Question, ...]:
    return LESSONS[number - 1].build().questions


def wrong(question: Question) -> str:
    if isinstance(question.answer, str):
        return next(choice for choice in question.choices if choice != question.answer)
    return " ".join(f"{value + 1234.5}" for value in question.answer)


# ---- every lesson ----


def test_the_list_names_twelve_lessons_and_their_pages(learn) -> None:
    out = learn()
    assert [int(at) for at in re.findall(r"^ +(\d+)  ", out, re.M)] == list(NUMBERS)
    for lesson in LESSONS:
        assert lesson.title in out
        if COURSE.is_dir():
            assert (COURSE / lesson.page).is_file()


@pytest.mark.parametrize("number", NUMBERS)
def test_right_answers(learn, number) -> None:
    asked = questions(number)
    assert 2 <= len(asked) <= 3
    out = learn(number, answers=[question.answer_text for question in asked])
    assert out.startswith(f"Lesson {number}: {LESSONS[number - 1].title}\n===")
    assert out.count("Right: ") == len(asked)
    assert f"{len(asked)} of {len(asked)} right." in out
    assert "The answer is" not in out


@pytest.mark.parametrize("number", NUMBERS)
def test_wrong_answers_are_told_and_shown_after_three(learn, number) -> None:
    asked = questions(number)
    out = learn(number, answers=[wrong(question) for question in asked for _ in range(3)])
    assert "Right: " not in out
    assert out.count("The answer is ") == len(asked)
    for question in asked:
        assert f"The answer is {question.answer_text}: " in out
    assert f"0 of {len(asked)} right." in out


@pytest.mark.parametrize("number", NUMBERS)
def test_nonsense_is_not_counted(learn, number) -> None:
    asked = questions(number)
    nonsense = ["what?", "1 2 3 4 5", "nan", "1/0", "--", "?" * 10_000]
    answers = [line for question in asked for line in (*nonsense, question.answer_text)]
    out = learn(number, answers=answers)
    assert out.count("Please type ") == len(nonsense) * len(asked)
    assert f"{len(asked)} of {len(asked)} right." in out


@pytest.mark.parametrize("number", NUMBERS)
def test_answers_are_shown_without_asking(learn, number) -> None:
    out = learn(number, "--answers", stdin=lambda text: None)
    assert "> " not in out.partition("Question 1")[2].replace(" -> ", "")
    for question in questions(number):
        assert f"  {question.answer_text}: {question.because}" in out


@pytest.mark.parametrize("number", NUMBERS)
def test_slips_are_recognised_and_differ_from_the_answer(number) -> None:
    for question in questions(number):
        if isinstance(question.answer, str):
            assert question.answer in question.choices
            assert not question.slips
            continue
        for slip in question.slips:
            typed = " ".join(map(repr, slip.values))
            assert question.check(typed).kind == "wrong", slip
            assert question.check(typed).text == slip.text
        if any(question.answer):
            turned = question.check(" ".join(repr(-value) for value in question.answer))
            assert turned.kind == "wrong"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_is_computed_anew_with_the_same_numbers(number) -> None:
    build = LESSONS[number - 1].build
    assert build() == build()
    assert max(map(len, build().text.splitlines())) <= 120


# ---- what is missing ----


def lecture() -> tuple[bp.Network, list[float]]:
    """The network of lesson 8, and the factors of dL/dw11 by hand."""
    net = bp.Network([2, 2, 1], activation="tanh", output="tanh", loss="squared_error", seed=0)
    net.set_layer(0, [[0.3, -0.2], [0.5, 0.7]], [0, 0])
    net.set_layer(1, [[2, 0.6]], [0])
    trace = net.trace([[1.5, -0.5]])
    a1, a2 = float(trace.a[1][0, 0]), float(trace.a[2][0, 0])
    return net, [2 * (a2 - 1), 1 - a2**2, 2.0, 1 - a1**2, 1.5]


@pytest.mark.parametrize(
    ("left_out", "text"),
    [
        (0, "The derivative of the loss dC/da2[0] = 2*(a2[0] - y[0])"),
        (1, "The slope da2[0]/dz2[0] = 1 - a2[0]**2"),
        (2, "The weight dz2[0]/da1[0] = W2[0, 0] = 2 is missing."),
        (3, "The slope da1[0]/dz1[0] = 1 - a1[0]**2"),
        (4, "The input dz1[0]/dW1[0, 0] = x[0] = 1.5 is missing."),
    ],
)
def test_a_missing_factor_is_named(left_out: int, text: str) -> None:
    question = questions(8)[0]
    _, factors = lecture()
    product = np.prod(factors)
    assert question.check(f"{product:.3g}").kind == "right"
    reply = question.check(f"{product / factors[left_out]:.4g}")
    assert reply.kind == "wrong"
    assert reply.text.startswith(text)
    turned = question.check(f"{-product / factors[left_out]:.4g}")
    assert turned.text == f"{reply.text} And the sign is wrong."


def test_sign_slope_and_transpose_are_named() -> None:
    first, second, third = questions(8)
    net, factors = lecture()
    product = np.prod(factors)
    assert first.check(f"{-product:.4g}").text == "The sign is wrong, and nothing else."
    z2 = float(net.trace([[1.5, -0.5]]).z[1][0, 0])
    squared = first.check(f"{product / factors[1] * (1 - z2**2):.4g}")
    assert "1 - a2**2, and not 1 - z2**2" in squared.text
    dW = net.backprop([[1.5, -0.5]], [[1.0]]).weights[0]
    assert second.check(f"{dW[0, 1]:.4g}").kind == "right"
    assert "That is the transpose" in second.check(f"{dW[1, 0]:.4g}").text
    W, delta = np.array([[1, 2], [3, 4]]), np.array([1, -2])
    assert third.check(f"{W.T @ delta}").kind == "right"
    assert "takes the transpose" in third.check(f"{W @ delta}").text


# ---- reading ----


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3", (3,)),
        (" -0.39 ", (-0.39,)),
        ("\N{MINUS SIGN}2", (-2,)),
        ("[1, 2.5]", (1, 2.5)),
        ("(1; 2)", (1, 2)),
        ("3/4 1e-3", (0.75, 0.001)),
        ("", None),
        ("inf", None),
        ("nan", None),
        ("1/0", None),
        ("1e999", None),
        ("0x10", None),
        ("two", None),
    ],
)
def test_numbers_are_read(text: str, numbers: tuple[float, ...] | None) -> None:
    assert read_numbers(text) == numbers


def test_two_digits_are_enough_and_one_of_another_number_is_not() -> None:
    assert agree((0.2,), (0.1966,))
    assert not agree((0.19,), (0.1966,))
    assert not agree((0.1966,), (0.0,))
    assert agree((0.0,), (0.0,))
    assert TOLERANCE < 0.03


def test_words_may_be_shortened() -> None:
    question = questions(9)[2]
    assert (question.check("N").kind, question.check("no ").kind) == ("right", "right")
    assert (question.check("y").kind, question.check("").kind) == ("wrong", "unclear")
    assert questions(1)[2].check("t").kind == "right"


# ---- where answers end ----


def test_the_end_of_input_ends_politely(learn) -> None:
    out = learn(8, answers=[])
    assert out.endswith("That is all for now: 0 of 3 right.\n")
    out = learn(8, answers=[questions(8)[0].answer_text])
    assert out.endswith("That is all for now: 1 of 3 right.\n")


def test_q_ends_and_an_empty_line_shows_the_answer(learn) -> None:
    out = learn(2, answers=["", "q", "3 6 9"])
    assert "The answer is 3 6 9: " in out
    assert "That is all for now: 0 of 3 right." in out


def test_answers_are_shown_only_where_they_are_not_typed(learn) -> None:
    assert "> 77\n" in learn(2, answers=["77"])
    assert "> 77" not in learn(2, answers=["77"], stdin=Terminal)


def test_without_standard_input(learn) -> None:
    assert learn(1, stdin=lambda text: None).endswith("0 of 3 right.\n")


def test_the_last_lesson_has_no_next(learn) -> None:
    assert "Next:" not in learn(12, answers=[q.answer_text for q in questions(12)])
    assert "Next: pybackprop learn 2" in learn(1, answers=[q.answer_text for q in questions(1)])


@pytest.mark.parametrize("number", ["0", "13", "x", "1.5"])
def test_other_lessons_are_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", number]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "expected an integer" in err


def test_answers_need_a_lesson(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "--answers"]) == 2
    assert "--answers needs the number of a lesson" in capsys.readouterr().err


def test_as_a_program_on_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pybackprop", "learn", "2"],
        input="3 6 9\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("That is all for now: 1 of 3 right.\n")
