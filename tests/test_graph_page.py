"""The page of a graph in a real browser: steps, zoom and the paths of an input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import WIDTHS, Chromium, needs_browser, open_page, opened, press

from pybackprop import Network
from pybackprop import graph as G
from pybackprop.graph import Variable, explain

pytestmark = needs_browser


def lecture_example() -> Variable:
    """The lecture's J = 3 (a + b c), with b used twice."""
    a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    u = (b * c).named("u")
    v = (a + u).named("v")
    return (b * v).named("J")


def written(folder: Path, root: Variable, **options: Any) -> str:
    path = folder / "graph.html"
    root.to_html(path, layout="layers", **options)
    return path.as_uri()


@pytest.fixture(params=WIDTHS)
def browser(
    chromium: Chromium, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Chromium]:
    """The example's page as it comes up, in a window of one of the widths."""
    yield from opened(chromium, written(tmp_path, lecture_example()), request.param)


def shown(browser: Chromium, style: str) -> list[str]:
    """Return the numbers of a style that can be seen, in the order of the cards."""
    found = browser.evaluate(
        f"[...document.querySelectorAll('.pg-card .{style}')]"
        ".filter(each => getComputedStyle(each).visibility === 'visible')"
        ".map(each => each.textContent)"
    )
    return list(found)


def words(browser: Chromium) -> str:
    return str(browser.evaluate("document.querySelector('.words').textContent"))


def test_values_come_node_by_node_then_gradients_edge_by_edge(browser: Chromium) -> None:
    everything = shown(browser, "pg-value"), shown(browser, "pg-grad")
    press(browser, go("first"))
    assert "a = 5" in words(browser)
    assert sorted(shown(browser, "pg-value")) == ["2", "3", "3", "5"]
    assert shown(browser, "pg-grad") == []
    seen = [words(browser)]
    for _ in range(browser.evaluate("graph.steps.length - 1")):
        before = len(shown(browser, "pg-value")), len(shown(browser, "pg-grad"))
        press(browser, go("on"))
        after = len(shown(browser, "pg-value")), len(shown(browser, "pg-grad"))
        # A step shows one number more, and where it is the last use of a node, the sum as well.
        assert sum(after) - sum(before) in (1, 2)
        seen.append(words(browser))
    assert (shown(browser, "pg-value"), shown(browser, "pg-grad")) == everything
    assert seen[1:5] == [
        "Forward: u = b * c = 6",
        "Forward: v = a + u = 11",
        "Forward: J = b * v = 33",
        "Backward: the gradient starts as dJ/dJ = 1",
    ]
    assert "Backward: dJ/dv = b = 3; along this edge dJ/dJ = 1 becomes 3" in seen
    assert "Backward: du/db = c = 2; along this edge dJ/du = 3 becomes 6" in seen
    assert len(seen) == 1 + 3 + 1 + 6
    assert browser.evaluate(f"{go('on')}.disabled")


def test_keys_and_slider_step(browser: Chromium) -> None:
    browser.press("Home")
    assert words(browser).startswith("Given")
    browser.press("ArrowRight")
    assert words(browser) == "Forward: u = b * c = 6"
    browser.press("ArrowLeft")
    browser.press("End")
    assert browser.evaluate("graph.slider.value") == "10"
    browser.evaluate("graph.slider.focus()")
    browser.press("ArrowLeft")
    assert browser.evaluate("graph.step") == 9


def go(name: str) -> str:
    return f"document.querySelector('[data-go={name}]')"


def card(name: str) -> str:
    return f"graph.cards[data.nodes.find(node => node.name === '{name}').card]"


def test_a_press_on_an_input_shows_its_paths(browser: Chromium, capsys: Any) -> None:
    root = lecture_example()
    b = next(node for node in root.inputs if node.name == "b")
    wanted = explain(root, b)
    capsys.readouterr()
    press(browser, f"{card('b')}.querySelector('rect')")
    heading = browser.evaluate("document.querySelector('.explained h2').textContent")
    assert heading == "dJ/db = 17: 2 paths"
    rows = browser.evaluate("[...document.querySelectorAll('.path')].map(e => e.textContent)")
    assert [row.split(":")[0].split(" → ") for row in rows] == [list(p.nodes) for p in wanted.paths]
    assert rows[1].endswith("3 * 1 * 2 = 6")
    away = "[...document.querySelectorAll('g.away')].map(e => e.textContent).join('')"
    assert "a" in browser.evaluate(away)
    assert browser.evaluate(f"{card('u')}.matches('.away')") is False
    # One path alone: J depends on b directly, without v and u.
    press(browser, "document.querySelectorAll('.path')[0]")
    assert [browser.evaluate(f"{card(name)}.matches('.away')") for name in "bvuJ"] == [
        False,
        True,
        True,
        False,
    ]
    browser.press("Escape")
    assert browser.evaluate("document.querySelectorAll('.away').length") == 0
    browser.evaluate(f"{card('c')}.focus()")
    browser.press("Enter")
    heading = browser.evaluate("document.querySelector('.explained h2').textContent")
    assert heading == "dJ/dc = 9: 1 path"


def test_a_wide_graph_is_fitted_and_zoomed(chromium: Chromium, tmp_path: Path) -> None:
    net = Network([3, 4, 1], activation="tanh", dtype="float64", seed=0)
    root = G.from_network(net, np.ones((1, 3)), np.ones((1, 1))).cost
    for width in WIDTHS:
        open_page(chromium, written(tmp_path, root), width)
        inside = "graph.picture.scrollWidth <= graph.picture.clientWidth"
        press(chromium, go("fit"))
        assert chromium.evaluate(inside)
        scale = chromium.evaluate("graph.scale")
        press(chromium, go("larger"))
        assert chromium.evaluate("graph.scale") == pytest.approx(1.25 * scale)
        chromium.press("+")
        chromium.press("-")
        chromium.press("0")
        assert chromium.evaluate("graph.scale") == pytest.approx(scale)
        # Wherever a step is, it is in the frame.
        chromium.evaluate("graph.zoom(2)")
        for step in range(chromium.evaluate("graph.steps.length")):
            chromium.evaluate(f"graph.walk({step})")
            places = chromium.evaluate(
                "[...graph.currentCards().map(at => graph.cards[at]), graph.picture]"
                ".map(each => each.getBoundingClientRect()).map(box => [box.left, box.right])"
            )
            for left, right in places[:-1]:
                assert left < places[-1][1]
                assert right > places[-1][0]
        assert chromium.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert chromium.complaints() == []


def test_any_graph_can_be_stepped_through(chromium: Chromium, tmp_path: Path) -> None:
    x = Variable([1.0, 2.0], "x")
    deep: Variable = Variable(1.0, "{{data}}</script>")
    for number in range(200):
        deep = deep * 0.99 + (0.1 if number % 2 else deep)
    for root in (x**2, (x**2).sum(), Variable(2.0, "alone"), deep):
        for direction in ("right", "down"):
            open_page(chromium, written(tmp_path, root, direction=direction))
            count = chromium.evaluate("graph.steps.length")
            for step in range(0, count, max(1, count // 20)):
                chromium.evaluate(f"graph.walk({step})")
                assert words(chromium)
            for node in range(chromium.evaluate("Math.min(8, data.nodes.length)")):
                chromium.evaluate(f"graph.choose({node})")
            assert chromium.complaints() == []
