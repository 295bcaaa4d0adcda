"""The lessons as pages: their questions in a real browser, checked as the terminal checks them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import MINUS, WIDTHS, Chromium, needs_browser, open_page, press, text_of

from pybackprop.cli import main
from pybackprop.lessons import LESSONS, Content, Question, make_lesson_page, write_course

NUMBERS = range(1, 13)
# Those with a network to walk through.
WITH_NETWORK = [number for number in NUMBERS if LESSONS[number - 1].build().screens.network]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    write_course(folder)
    return folder


def content(number: int) -> Content:
    return LESSONS[number - 1].build()


def open_lesson(browser: Chromium, course: Path, number: int, width: int = 1440) -> str:
    url = (course / f"lesson-{number:02}.html").as_uri()
    open_page(browser, url, width)
    return url


def box(at: int, selector: str = "") -> str:
    return f"lesson.boxes[{at}].box" + (f".querySelector({selector!r})" if selector else "")


def reply(browser: Chromium, at: int) -> str:
    return str(browser.evaluate(f"{box(at, '.reply')}.textContent"))


def type_answer(browser: Chromium, at: int, answer: str) -> str:
    press(browser, box(at, "input"))
    browser.evaluate(f"{box(at, 'input')}.select()")
    for letter in answer:
        browser.press(letter)
    browser.press("Enter")
    return reply(browser, at)


# ---- the pages ----


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("number", NUMBERS)
def test_every_screen_of_every_lesson_fits(chromium, course, number, width) -> None:
    url = open_lesson(chromium, course, number, width)
    assert text_of(chromium, "h1") == LESSONS[number - 1].title
    for tab in chromium.evaluate("tabNames()"):
        press(chromium, f"byId('tab-{tab}')")
        assert chromium.evaluate("tabs.current") == tab
        assert chromium.evaluate(f"byId({tab!r}).clientHeight") > 100
        chromium.evaluate("new Promise(requestAnimationFrame)")
        assert chromium.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
    assert chromium.complaints() == []
    assert [each for each in chromium.requests() if each != "about:blank"] == [url]


@needs_browser
@pytest.mark.parametrize("number", WITH_NETWORK)
def test_tables_on_a_telephone_are_not_cut(chromium, course, number) -> None:
    open_lesson(chromium, course, number, 375)
    press(chromium, "byId('tab-walk')")
    for step in range(chromium.evaluate("steps.length")):
        chromium.evaluate(f"walk({step})")
        assert chromium.evaluate("byId('detail').scrollWidth <= byId('detail').clientWidth"), step


@needs_browser
def test_links_lead_through_the_course(chromium, course) -> None:
    open_lesson(chromium, course, 1)
    for number in range(2, 13):
        address = chromium.evaluate("[...document.querySelectorAll('.course a')].at(-1).href")
        assert address == (course / f"lesson-{number:02}.html").as_uri()
        chromium.open(address)
        assert LESSONS[number - 2].title in text_of(chromium, ".course a")
    assert chromium.evaluate("document.querySelectorAll('.course a').length") == 1


# ---- the questions ----


def answers_to(question: Question) -> list[str]:
    """Right, wrong and unreadable answers, among them every slip that is known."""
    answers = ["", "what?", "1 2 3 4 5", "nan", "1/0", "inf", "1e999", "--", "0x10"]
    if isinstance(question.answer, str):
        return [*answers, *question.choices, question.answer[:1], question.answer.upper()]
    known = [question.answer, *(slip.values for slip in question.slips)]
    for values in known:
        for sign in (1, -1):
            words = [repr(sign * value) for value in values]
            answers += [" ".join(words), f"[{', '.join(words)}]", "; ".join(words)]
    rounded = [f"{value:.3g}/2" for value in np.multiply(question.answer, 2)]
    return [*answers, " ".join(rounded), question.answer_text.replace("-", "\N{MINUS SIGN}")]


@needs_browser
@pytest.mark.parametrize("number", NUMBERS)
def test_the_page_says_what_the_terminal_says(chromium, course, number) -> None:
    open_lesson(chromium, course, number)
    for at, question in enumerate(content(number).questions):
        answers = answers_to(question)
        said = chromium.evaluate(
            f"{json.dumps(answers)}.map(each => checkAnswer(lesson.boxes[{at}].question, each))"
        )
        for answer, found in zip(answers, said, strict=True):
            wanted = question.check(answer)
            assert (found["kind"], found["text"]) == (wanted.kind, wanted.text), answer


@needs_browser
@pytest.mark.parametrize("number", NUMBERS)
def test_right_answers_are_counted_and_can_be_seen(chromium, course, number) -> None:
    open_lesson(chromium, course, number)
    questions = content(number).questions
    for at, question in enumerate(questions):
        assert question.text == chromium.evaluate(f"{box(at, '.asked')}.textContent")
        if isinstance(question.answer, str):
            press(chromium, box(at, f"[value={question.answer}]"))
        else:
            type_answer(chromium, at, question.answer_text)
        assert reply(chromium, at) == f"✓ Right: {question.because}"
        place = chromium.evaluate(f"lesson.boxes[{at}].question.see")
        assert chromium.evaluate(f"{box(at, '.see')}.hidden") == (not place)
        if place:
            press(chromium, box(at, ".see"))
            assert f"tab={chromium.evaluate('tabs.current')}" == place.split("&")[0]
    assert text_of(chromium, "#result") == f"{len(questions)} of {len(questions)} right."
    assert chromium.complaints() == []


@needs_browser
@pytest.mark.parametrize("width", [375, 1440])
def test_a_wrong_answer_is_told_what_is_missing_and_shown_in_the_end(
    chromium, course, width
) -> None:
    open_lesson(chromium, course, 8, width)
    net = content(8).screens.network
    assert net is not None
    gradient = net.backprop([[1.5, -0.5]], [[1.0]]).weights[0][0, 0]
    a1 = net.trace([[1.5, -0.5]]).a[1][0, 0]
    told = type_answer(chromium, 0, f"{-gradient:.4g}")
    assert told == "✗ The sign is wrong, and nothing else."
    assert "Please type a number" in type_answer(chromium, 0, "[one]")
    told = type_answer(chromium, 0, f"{gradient / (1 - a1**2):.4g}")
    assert told.startswith("✗ The slope da1[0]/dz1[0] = 1 - a1[0]**2")
    assert chromium.evaluate("byId('result').textContent") == ""
    told = type_answer(chromium, 0, "1000")
    answer = content(8).questions[0].answer_text.replace("-", MINUS)
    assert told.startswith(f"No. The answer is {answer}: ")
    assert chromium.evaluate(f"{box(0, 'input')}.disabled")
    # What was typed moved nothing on Walk: [ is a key of its own there.
    assert chromium.evaluate("[state.example, state.step]") == [0, 4]
    press(chromium, box(1, ".give-up"))
    press(chromium, box(2, ".give-up"))
    assert text_of(chromium, "#result") == "0 of 3 right."


@needs_browser
def test_the_answer_about_a_weight_is_the_page_s_own(chromium, course) -> None:
    asked = 0
    for number in WITH_NETWORK:
        open_lesson(chromium, course, number)
        for at, question in enumerate(content(number).questions):
            if question.weight is not None:
                asked += 1
                # Wherever the page is changed beforehand, so is its answer.
                [found] = chromium.evaluate(f"lesson.boxes[{at}].question.answer")
                assert isinstance(question.answer, tuple)
                assert found == pytest.approx(question.answer[0], rel=1e-8)
                layer, row, column = question.weight
                code = f"askedOfWeight({{ weight: [{layer + 1}, {row}, {column}], slips: [] }})"
                chromium.evaluate(f"changeWeight({{layer: 1, k: 0, j: 0}}, 3); {code}")
                assert chromium.evaluate(f"{code}.answer[0]") != pytest.approx(found, rel=1e-3)
                chromium.evaluate("putBack()")
    assert asked >= 4


# ---- practice ----


def ask(browser: Chromium, layer: int, k: int, j: int, example: int = 0) -> str:
    browser.evaluate(
        f"globalThis.asked = practise({{layer: {layer}, k: {k}, j: {j}}}, {example}); 0"
    )
    return str(browser.evaluate("asked.question.text"))


def told(browser: Chromium, answer: float) -> str:
    return str(browser.evaluate(f"checkAnswer(asked.question, '{answer!r}').text"))


@needs_browser
@pytest.mark.parametrize("number", WITH_NETWORK)
def test_practice_knows_the_derivative_in_every_weight(chromium, course, number) -> None:
    open_lesson(chromium, course, number)
    shown = content(number).screens
    net, x, y = shown.network, np.asarray(shown.x), np.asarray(shown.y)
    assert net is not None
    for example in range(min(2, len(x))):
        gradients = net.backprop(x[[example]], y[[example]]).weights
        for layer, weights in enumerate(gradients, 1):
            assert f"of layer {layer}" in ask(chromium, layer, 0, 0, example)
            # Walk shows the weight, but not yet its derivative.
            assert "comes with the backward pass" in text_of(chromium, "#detail")
            places = [{"layer": layer, "k": k, "j": j} for k, j in np.ndindex(*weights.shape)]
            asked = chromium.evaluate(f"{json.dumps(places)}.map(questionOfWeight)")
            found = [each["answer"][0] for each in asked]
            np.testing.assert_allclose(found, weights.ravel(), rtol=1e-7, atol=1e-9)
    assert chromium.complaints() == []


def factors() -> Iterator[tuple[str, float]]:
    """Of dC/dw11 in the 2-2-1 network of tanh: what is left out, and what then comes out."""
    shown = content(8).screens
    assert shown.network is not None
    trace = shown.network.trace(shown.x, shown.y)
    assert trace.delta is not None
    x, a1, a2 = shown.x[0][0], float(trace.a[1][0, 0]), float(trace.a[2][0, 0])
    z1 = float(trace.z[0][0, 0])
    w, delta2 = float(shown.network.weights[1][0, 0]), float(trace.delta[1][0, 0])
    whole = delta2 * w * (1 - a1**2) * x
    yield "The input a = 1.5 beside the weight is missing.", whole / x
    yield "The slope tanh\N{PRIME}(z) = ", whole / (1 - a1**2)
    yield "The weights of the layer above are missing.", whole / w
    yield "The δ of the layer above is missing.", whole / delta2
    yield "The slope tanh\N{PRIME}(z) of the layer above is missing.", whole / (1 - a2**2)
    text = f"The slope of tanh is 1 {MINUS} a², and not 1 {MINUS} z²."
    yield text, whole / (1 - a1**2) * (1 - z1**2)


@needs_browser
def test_practice_names_the_factor_that_is_missing(chromium, course) -> None:
    open_lesson(chromium, course, 8)
    ask(chromium, 1, 0, 0)
    for text, value in factors():
        assert told(chromium, value).startswith(text)
        assert told(chromium, -value).endswith("And the sign is wrong.")
    shown = content(8).screens
    assert shown.network is not None
    dW = shown.network.backprop(shown.x, shown.y).weights[0]
    ask(chromium, 1, 0, 1)
    assert told(chromium, float(dW[1, 0])).startswith("That is the transpose")


@needs_browser
def test_practice_tells_a_matrix_from_its_transpose_and_the_penalty(chromium, course) -> None:
    open_lesson(chromium, course, 11)
    shown = content(11).screens
    net, x, y = shown.network, shown.x[:1], shown.y[:1]
    assert net is not None
    trace = net.trace(x, y)
    assert trace.delta is not None
    ask(chromium, 3, 2, 5)
    slope = 1 - trace.a[3][0, 2] ** 2
    turned = slope * trace.a[2][0, 5] * (net.weights[3] @ trace.delta[3][0])[2]
    assert "takes the transpose" in told(chromium, float(turned))
    open_lesson(chromium, course, 10)
    ask(chromium, 1, 0, 1)
    assert told(chromium, 1.0) == "The penalty's part is missing."
    assert told(chromium, 2.0) == "That is the penalty's part alone; δ a is missing."


@needs_browser
@pytest.mark.parametrize("width", [375, 1440])
def test_practice_by_hand(chromium, course, width) -> None:
    open_lesson(chromium, course, 8, width)
    press(chromium, "byId('another')")
    place = chromium.evaluate("state.pinned")
    shown = content(8).screens
    assert shown.network is not None
    wanted = shown.network.backprop(shown.x, shown.y).weights[place["layer"] - 1]
    press(chromium, "document.querySelector('#asked input')")
    for letter in f"{wanted[place['k'], place['j']]:.3g}":
        chromium.press(letter)
    chromium.press("Enter")
    assert text_of(chromium, "#asked .reply").startswith("✓ Right")
    press(chromium, "document.querySelector('#asked .see')")
    assert "Check: (C(w + h)" in text_of(chromium, "#detail")


# ---- writing them ----


def test_the_command_writes_a_page_or_all(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["learn", "8", "--save", "eight.html"]) == 0
    assert (tmp_path / "eight.html").read_text("utf-8") == make_lesson_page(8)
    assert main(["learn", "--save", "course"]) == 0
    names = sorted(path.name for path in (tmp_path / "course").iterdir())
    assert names == [f"lesson-{number:02}.html" for number in NUMBERS]
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "saved as eight.html"
    assert err == ""


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["8", "--save", "eight.txt"], "--save must end with .html, got eight.txt"),
        (["--save", "all.html"], "--save must name a folder for all lessons, got all.html"),
        (["8", "--save", "a.html", "--answers"], "not allowed with"),
    ],
)
def test_the_command_refuses(tmp_path: Path, monkeypatch: Any, capsys: Any, words, wrong) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["learn", *words]) == 2
    assert wrong in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "error"), [(0, ValueError), (13, ValueError), (1.5, TypeError), ("8", TypeError)]
)
def test_other_numbers_are_refused(number: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="number must be"):
        make_lesson_page(number)


def test_pages_refer_to_nothing_outside_and_are_small(course: Path) -> None:
    for path in sorted(course.iterdir()):
        page = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in page
        assert "https" not in page
        assert "<script src" not in page
        assert "default-src 'none'" in page
        assert len(page.encode()) <= 500_000
