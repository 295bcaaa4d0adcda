"""The page worked with mouse, finger and keys, at the widths of a telephone and of screens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
import pytest
from chromium import (
    MINUS,
    WIDTHS,
    Chromium,
    address_of,
    needs_browser,
    open_page,
    opened,
    press_at,
    text_of,
    touches,
)

from pybackprop import Network

pytestmark = needs_browser

NET = Network([64, 12, 12, 10], activation="tanh", dtype="float64", l2=0.05, seed=1)
RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((10, 64)), RNG.standard_normal((10, 10))
GRADIENTS = [NET.backprop(X[:1], Y[:1]).weights[layer] for layer in range(3)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    NET.show(X, Y, path, examples=10)
    return path.as_uri()


@pytest.fixture(params=WIDTHS)
def browser(chromium: Chromium, page: str, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """The page as it comes up, in a window of one of the widths."""
    yield from opened(chromium, page, request.param)


def title(browser: Chromium) -> str:
    return text_of(browser, "#detail h2")


def middle(browser: Chromium, element: str) -> tuple[float, float]:
    """Return the middle of an element, in the window."""
    x, y = browser.evaluate(
        "(box => [box.x + box.width / 2, box.y + box.height / 2])"
        f"({element}.getBoundingClientRect())"
    )
    return x, y


def on_edge(browser: Chromium, layer: int, k: int, j: int, part: float) -> tuple[float, float]:
    """Return a point of an edge, a part of the way from its left end to its right end."""
    browser.evaluate(
        f"edges[{layer}][{k}][{j}].scrollIntoView({{block: 'center', inline: 'center'}})"
    )
    x, y = browser.evaluate(
        "(({x1, y1, x2, y2}, box, scale) => ["
        f"box.x + scale * (x1 + {part} * (x2 - x1)), box.y + scale * (y1 + {part} * (y2 - y1))])"
        f"(edgeEnds({layer}, {k}, {j}), picture.getBoundingClientRect(),"
        " picture.getBoundingClientRect().width / WIDTH)"
    )
    return x, y


def test_a_press_on_a_neuron_moves_nothing_and_shows_it(browser: Chromium) -> None:
    browser.evaluate("walk(2)")
    for layer, at in [(1, 1), (2, 3), (2, 11), (1, 0), (3, 2)]:
        element = f"neurons[{layer}][{at}].shape"
        browser.evaluate(f"{element}.scrollIntoView({{block: 'center', inline: 'center'}})")
        place = middle(browser, element)
        scrolled = browser.evaluate("picture.parentElement.scrollLeft")
        press_at(browser, *place)
        assert title(browser) == (f"Layer {layer}, neuron {at}" if layer < 3 else f"Output {at}")
        assert middle(browser, element) == place
        assert browser.evaluate("picture.parentElement.scrollLeft") == scrolled


def test_every_step_brings_its_layer_into_view(browser: Chromium) -> None:
    frame = "picture.parentElement.getBoundingClientRect()"
    for step in range(9):
        browser.evaluate(f"walk({step})")
        left, right = browser.evaluate(f"[{frame}.left, {frame}.right]")
        x, _ = middle(browser, "neurons[step().layer][0].shape")
        assert left < x < right


def test_a_picture_is_whole_in_a_column(chromium: Chromium, page: str) -> None:
    for width in (800, 1280, 1440, 1920):
        open_page(chromium, page, width)
        chromium.evaluate("walk(4)")
        assert chromium.evaluate(
            "picture.parentElement.scrollWidth <= picture.parentElement.clientWidth"
        )


def test_a_key_counts_for_more_than_a_mouse_that_rests(browser: Chromium) -> None:
    browser.evaluate("walk(3)")
    browser.evaluate("neurons[1][1].shape.scrollIntoView({block: 'center', inline: 'center'})")
    press_at(browser, *middle(browser, "neurons[1][1].shape"))
    browser.press("ArrowDown")
    assert browser.evaluate("document.activeElement.id") == "n1-2"
    assert title(browser) == "Layer 1, neuron 2"
    browser.press("ArrowRight", shift=True)
    assert title(browser) == "Layer 2, neuron 2"
    browser.press("ArrowRight")
    assert text_of(browser, "#step h2") == "The cost"
    assert title(browser).startswith("Output ")


@pytest.mark.parametrize("browser", [width for width in WIDTHS if width >= 1000], indirect=True)
def test_a_mouse_that_moves_shows_what_it_is_over(browser: Chromium) -> None:
    browser.evaluate("walk(3); choose({ layer: 2, at: 0 })")
    browser.move(*middle(browser, "neurons[1][4].shape"))
    assert title(browser) == "Layer 1, neuron 4"
    browser.move(*on_edge(browser, 2, 3, 5, 0.06))
    assert title(browser) == "Weight from 5 to 3, layer 2"
    # What moves under the mouse is not pointed at.
    browser.evaluate("document.body.style.marginTop = '40px'")
    browser.evaluate("new Promise(requestAnimationFrame)")
    assert title(browser) == "Weight from 5 to 3, layer 2"
    browser.move(1, 1)
    assert title(browser) == "Layer 2, neuron 0"


def shown_gradient(browser: Chromium) -> float:
    found = re.search(rf"∂C/∂w([{MINUS}\d.e]+)", text_of(browser, "#detail dl"))
    assert found is not None
    return float(found[1].replace(MINUS, "-"))


def test_a_press_pins_a_weight_until_it_is_let_go(browser: Chromium) -> None:
    browser.evaluate("walk(6)")
    place = on_edge(browser, 2, 3, 5, 0.09)
    press_at(browser, *place)
    assert title(browser) == "Weight from 5 to 3, layer 2"
    assert address_of(browser).endswith("weight=2.3.5")
    assert shown_gradient(browser) == pytest.approx(GRADIENTS[1][3, 5], rel=5e-6)
    # The numbers of the formula give the derivative, with the penalty.
    chain = browser.evaluate("[...document.querySelectorAll('.chain')].at(-1).textContent")
    parts = chain.replace(MINUS, "-").split(" = ")
    factors = parts[2].replace("·", "*")
    assert eval(factors) == pytest.approx(GRADIENTS[1][3, 5], rel=1e-5)
    assert float(parts[3]) == pytest.approx(GRADIENTS[1][3, 5], rel=5e-6)
    # It stays while one walks, and while the mouse moves over others.
    browser.press("ArrowLeft")
    assert title(browser) == "Weight from 5 to 3, layer 2"
    assert "comes with the backward pass" in text_of(browser, "#detail")
    browser.press("ArrowRight")
    if not touches(browser):
        browser.move(*middle(browser, "neurons[1][4].shape"))
        assert title(browser) == "Weight from 5 to 3, layer 2"
    browser.evaluate("byId('release').scrollIntoView({block: 'center'})")
    press_at(browser, *middle(browser, "byId('release')"))
    assert browser.evaluate("state.pinned") is None
    assert "weight" not in address_of(browser)
    # Once more, and let go by a second press on it, by one beside it, and by Escape.
    for way in ("again", "beside", "Escape"):
        press_at(browser, *on_edge(browser, 2, 3, 5, 0.09))
        assert title(browser) == "Weight from 5 to 3, layer 2"
        if way == "Escape":
            browser.press("Escape")
        elif way == "again":
            press_at(browser, *on_edge(browser, 2, 3, 5, 0.09))
        else:
            x, y = middle(browser, "heads[2]")
            press_at(browser, x, y - 8)
        assert browser.evaluate("state.pinned") is None


def test_keys_reach_every_weight_of_a_neuron(browser: Chromium) -> None:
    browser.evaluate("walk(6); neurons[2][3].group.focus()")
    browser.press("Enter")
    seen = [title(browser)]
    for _ in range(12):
        browser.press("ArrowDown")
        seen.append(title(browser))
    wanted = [f"Weight from {j} to 3, layer 2" for j in range(12)]
    assert seen == [*wanted, wanted[-1]]
    assert shown_gradient(browser) == pytest.approx(GRADIENTS[1][3, 11], rel=5e-6)
    label = browser.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label.startswith("Weight from 11 to 3, layer 2: w = ")
    assert "∂C/∂w" in label
    browser.press("ArrowUp")
    assert title(browser) == wanted[10]
    browser.press("ArrowRight")
    assert title(browser) == wanted[10], "the weight stays from step to step"
    browser.press("ArrowLeft", shift=True)
    assert title(browser) == "Layer 1, neuron 10"
    browser.press("Enter")
    browser.press("Escape")
    assert title(browser) == "Layer 1, neuron 10"
    browser.evaluate("neurons[0][4].group.focus()")
    browser.press("Enter")
    assert title(browser) == f"Weight from {browser.evaluate('naming(0, 4)')} to 0, layer 1"
    assert browser.evaluate("state.step") == 7


def test_keys_work_on_a_neuron_after_a_step(browser: Chromium) -> None:
    for key, wanted in [
        ("ArrowDown", "Layer 1, neuron 4"),
        ("ArrowUp", "Layer 1, neuron 2"),
        ("Enter", "Weight from 0 to 3, layer 1"),
        (" ", "Weight from 0 to 3, layer 1"),
    ]:
        browser.evaluate("walk(2); neurons[1][3].group.focus()")
        browser.press("ArrowRight")
        assert browser.evaluate("state.step") == 3
        browser.press(key)
        found = title(browser)
        if found.startswith("Weight"):
            wanted = wanted.replace("from 0", f"from {browser.evaluate('naming(0, 0)')}")
        assert found == wanted


def test_enter_and_space_let_go_of_a_weight_and_pin_it(browser: Chromium) -> None:
    for key in ("Enter", " "):
        browser.evaluate("walk(6); focusEdge(2, 3, 5)")
        assert browser.evaluate("state.pinned") is not None
        browser.press(key)
        assert browser.evaluate("state.pinned") is None
        assert browser.evaluate("document.activeElement.id") == "n2-3"
        # A link may let go of a weight that keeps the focus.
        browser.evaluate("focusEdge(2, 3, 5); state.pinned = null; render()")
        browser.press(key)
        assert title(browser) == "Weight from 5 to 3, layer 2"


def test_a_link_to_a_weight_opens_it(browser: Chromium) -> None:
    browser.evaluate("location.hash = 'step=6&weight=2.3.5'")
    browser.evaluate("new Promise(done => setTimeout(done, 50))")
    assert title(browser) == "Weight from 5 to 3, layer 2"
    browser.evaluate("location.hash = 'step=6&weight=2.99.5'")
    browser.evaluate("new Promise(done => setTimeout(done, 50))")
    assert browser.evaluate("state.pinned") is None


def test_labels_of_steps_do_not_touch(browser: Chromium) -> None:
    boxes = browser.evaluate(
        "[...byId('ticks').children].filter(tick => tick.textContent).map(tick => {"
        " const range = document.createRange(); range.selectNodeContents(tick);"
        " const box = range.getBoundingClientRect(); return [box.left, box.right]; })"
    )
    assert len(boxes) >= 3
    assert all(left[1] + 3 < right[0] for left, right in itertools.pairwise(boxes))
    assert all(box[0] >= 0 and box[1] <= browser.evaluate("innerWidth") for box in boxes)


def test_formula_and_picture_are_close_and_examples_take_two_rows(browser: Chromium) -> None:
    browser.evaluate("walk(6)")
    top, bottom, left, right = browser.evaluate(
        "(box => [box.top, box.bottom, box.left, box.right])(byId('step').getBoundingClientRect())"
    )
    picture = "picture.parentElement.getBoundingClientRect()"
    x, y, end = browser.evaluate(f"[{picture}.right, {picture}.top, {picture}.bottom]")
    beside, above = x <= left and top < end, bottom <= y <= bottom + 60
    assert beside or above
    rows = browser.evaluate("[...byId('examples').children].map(each => each.offsetTop)")
    assert len(set(rows)) <= 2
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert right <= browser.evaluate("innerWidth")


def test_caption_names_the_penalty_that_the_numbers_hold(browser: Chromium) -> None:
    browser.evaluate("walk(6); choose({ layer: 2, at: 3 })")
    captions = browser.evaluate(
        "[...document.querySelectorAll('#detail caption')].map(each => each.textContent)"
    )
    assert any(each.endswith("∂C/∂w = δ a + 0.05 w") for each in captions)
