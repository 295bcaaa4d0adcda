"""What the walk computes in the page: paths of a weight, numbers changed by hand, matrices."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

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
    press,
    text_of,
)

from pybackprop import Network

pytestmark = needs_browser

TIMES = "\N{MULTIPLICATION SIGN}"
NET = Network([20, 6, 5, 4, 3], activation="tanh", dtype="float64", l2=0.05, seed=1)
NAMES = [f"measurement of {each}" for each in "abcdefghijklmnopqrst"]
NET.metadata = {"feature_names": NAMES, "target_names": ["one", "two", "three"]}
NET.set_scaling(np.full(20, 0.1), np.full(20, 1.5))
RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((10, 20)), RNG.standard_normal((10, 3))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    NET.show(X, Y, path, neurons=20)
    return path.as_uri()


@pytest.fixture(params=WIDTHS)
def browser(chromium: Chromium, page: str, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """The page as it comes up, in a window of one of the widths."""
    yield from opened(chromium, page, request.param)


def number(text: str) -> float:
    return float(text.replace(MINUS, "-"))


def set_weight(net: Network, layer: int, k: int, j: int, value: float) -> None:
    w = net.weights[layer].copy()
    w[k, j] = value
    net.set_layer(layer, w, net.biases[layer])


CASES: list[tuple[dict[str, Any], str]] = [
    ({"activation": "gelu", "loss": "huber"}, "real"),
    ({"activation": "relu", "output": "softmax", "loss": "mse", "l1": 0.01}, "real"),
    ({"output": "softmax", "loss": "cross_entropy"}, "label"),
    ({"activation": "selu", "output": "sigmoid", "loss": "binary_cross_entropy"}, "zero or one"),
]


@pytest.mark.parametrize(("settings", "kind"), CASES)
def test_the_page_computes_what_python_wrote(chromium, tmp_path, settings, kind) -> None:
    net = Network([4, 6, 5, 3], dtype="float64", seed=1, **settings)
    net.set_scaling(np.full(4, 0.5), np.full(4, 2.0))
    y: Any = RNG.standard_normal((3, 3))
    y = {"real": y, "label": np.array([2, 0, 1]), "zero or one": (y > 0) * 1.0}[kind]
    net.show(RNG.standard_normal((3, 4)), y, tmp_path / "page.html")
    open_page(chromium, (tmp_path / "page.html").as_uri())
    found = chromium.evaluate("data.examples.map((_, at) => (pick(at), computeExample()))")
    for given, got in zip(chromium.evaluate("data.examples"), found, strict=True):
        assert sorted(got) == sorted(given)
        for name in ("a", "z", "delta", "pulled", "slope"):
            for wanted, seen in zip(given[name], got[name], strict=True):
                values = list(seen.values()) if isinstance(seen, dict) else seen
                assert values == (wanted and pytest.approx(wanted, rel=1e-8, abs=1e-14))
        assert got["cost"] == pytest.approx(given["cost"], rel=1e-12)
        assert got["best"] == given["best"]
        for part in ("whole", "wholeDelta"):
            for wanted, seen in zip(given[part], got[part], strict=True):
                assert seen == pytest.approx(wanted, rel=1e-8, abs=1e-14)


def test_paths_of_a_weight_add_up_to_its_derivative(browser: Chromium) -> None:
    browser.evaluate("walk(9); pin({ layer: 1, k: 2, j: 7 })")
    trace = NET.trace(X[:1], Y[:1])
    a, z, delta = ([each[0] for each in part] for part in (trace.a, trace.z, trace.delta))
    products = []
    for units in itertools.product(range(5), range(4), range(3)):
        product, below = a[0][7] * (1 - np.tanh(z[0][2]) ** 2), 2
        for layer, at in enumerate(units, 1):
            product *= NET.weights[layer][at, below]
            product *= 1 - np.tanh(z[layer][at]) ** 2 if layer < 3 else delta[3][at]
            below = at
        products.append(product)
    assert np.sum(products) == pytest.approx(a[0][7] * delta[0][2])
    heading = text_of(browser, "#detail h3")
    assert "60" in heading
    assert number(heading.split()[-1]) == pytest.approx(np.sum(products), rel=1e-5)
    rows = browser.evaluate("[...document.querySelectorAll('.product')].map(e => e.textContent)")
    largest = sorted(products, key=abs, reverse=True)[:8]
    for row, wanted in zip(rows, largest, strict=True):
        factors, value = row.split(" = ")
        assert number(value) == pytest.approx(wanted, rel=1e-5)
        factors = factors.replace(MINUS, "-").replace("·", "*")
        assert eval(factors) == pytest.approx(wanted, rel=0.02), "of three digits each"
    rest = re.search(rf"together ([{MINUS}\d.e]+)\.$", text_of(browser, "#detail .note:last-child"))
    assert rest is not None
    assert number(rest[1]) == pytest.approx(sum(products) - sum(largest), rel=1e-4, abs=1e-6)


def test_a_press_on_a_path_shows_it_alone(browser: Chromium) -> None:
    browser.evaluate("walk(9); pin({ layer: 1, k: 2, j: 7 })")
    count = "document.querySelectorAll('.edge.on-path').length"
    assert browser.evaluate(count) == 5 + 5 * 4 + 4 * 3
    press(browser, "document.querySelectorAll('.path')[3]")
    assert browser.evaluate(count) == 3
    assert browser.evaluate("document.querySelectorAll('.neuron.on-path').length") == 4
    units = browser.evaluate("pathsFrom(1, 2)[3].units")
    lit = browser.evaluate("[...document.querySelectorAll('.edge.on-path')].map(e => e.id)")
    assert lit == [f"e{layer + 1}-{units[layer]}-{units[layer - 1]}" for layer in (1, 2, 3)]
    press(browser, "document.querySelectorAll('.path')[3]")
    assert browser.evaluate(count) == 37
    browser.evaluate("walk(2)")
    assert browser.evaluate(count) == 0, "forward there is no derivative yet"


def test_the_check_knows_nothing_of_the_chain_rule(browser: Chromium) -> None:
    browser.evaluate("walk(8); pin({ layer: 2, k: 3, j: 5 })")
    numbers = re.findall(rf"= ([{MINUS}\d.e]+)", text_of(browser, ".check"))
    wanted = NET.backprop(X[:1], Y[:1]).weights[1][3, 5]
    assert [number(each) for each in numbers] == pytest.approx([wanted, wanted], rel=1e-5)
    assert browser.evaluate("centralDifference(state.pinned)") == pytest.approx(wanted, rel=1e-7)


def test_a_slider_changes_the_weight_and_everything_above(browser: Chromium) -> None:
    browser.evaluate("walk(8); pin({ layer: 2, k: 3, j: 5 })")
    press(browser, "byId('tune-slider')", 0.8)
    changed = NET.copy()
    value = browser.evaluate("Number(byId('tune-slider').value)")
    assert abs(value - NET.weights[1][3, 5]) > 0.1
    set_weight(changed, 1, 3, 5, value)
    assert browser.evaluate("example().cost") == pytest.approx(changed.cost(X[:1], Y[:1]))
    trace, gradients = changed.trace(X[:1], Y[:1]), changed.backprop(X[:1], Y[:1])
    assert browser.evaluate("example().a[4]") == pytest.approx(trace.a[4][0])
    assert browser.evaluate("gradient(1, 2, 7)") == pytest.approx(gradients.weights[0][2, 7])
    assert "1 number changed" in text_of(browser, "#tune-result")
    # Keys on the slider move it, and nothing else.
    browser.evaluate("byId('tune-slider').focus()")
    browser.press("ArrowRight")
    moved = browser.evaluate("Number(byId('tune-slider').value)")
    assert moved > value
    assert browser.evaluate("state.step") == 8
    set_weight(changed, 1, 3, 5, moved)
    # It holds for the other examples too.
    browser.evaluate("pick(4)")
    assert browser.evaluate("example().cost") == pytest.approx(changed.cost(X[4:5], Y[4:5]))
    press(browser, "byId('put-back')")
    assert browser.evaluate("example().cost") == pytest.approx(NET.cost(X[4:5], Y[4:5]))
    assert browser.evaluate("byId('put-back').disabled")


def test_a_slider_changes_an_input_of_the_example(browser: Chromium) -> None:
    browser.evaluate("walk(0); choose({ layer: 0, at: 4 })")
    press(browser, "byId('tune-slider')", 0.2)
    value = browser.evaluate("Number(byId('tune-slider').value)")
    x = X[:1].copy()
    x[0, 4] = 0.1 + value / 1.5
    assert browser.evaluate("example().cost") == pytest.approx(NET.cost(x, Y[:1]))
    browser.evaluate("pick(1)")
    assert browser.evaluate("live.changed") == 0


def test_edges_going_back_show_gradients_or_signals(browser: Chromium) -> None:
    trace, gradients = NET.trace(X[:1], Y[:1]), NET.backprop(X[:1], Y[:1])
    assert trace.delta is not None
    signal = NET.weights[2] * trace.delta[2][0][:, None]
    # The edges of what is chosen are drawn thicker: here others.
    browser.evaluate("walk(7); choose({ layer: 0, at: 0 })")
    for choice, wanted in [("signal", signal), ("gradient", gradients.weights[2])]:
        press(browser, f"document.querySelector('[name=edges][value={choice}]')")
        widths = browser.evaluate("edges[3].map(row => row.map(e => Number(e.style.strokeWidth)))")
        assert np.argmax(widths) == np.argmax(np.abs(wanted))
        signs = browser.evaluate("edges[3].map(row => row.map(e => e.classList.contains('minus')))")
        assert signs == (wanted < 0).tolist()
        assert ("edges=signal" in address_of(browser)) == (choice == "signal")


def test_a_press_on_a_matrix_pins_the_weight(browser: Chromium) -> None:
    browser.evaluate("walk(8)")
    captions = browser.evaluate(
        "[...document.querySelectorAll('#matrices figcaption')].map(each => each.textContent)"
    )
    assert captions == [f"{each}: 5 {TIMES} 6" for each in ("W2", "∂C/∂W2")]
    press(browser, "byId('matrix-g')", 0.4)
    assert text_of(browser, "#detail h2") == "Weight from 2 to 2, layer 2"
    browser.evaluate("walk(1)")
    assert browser.evaluate("byId('matrix-g').checkVisibility()") is False
    sampled = "(data.layers[1].shown.pop(), sizesText(2))"
    assert browser.evaluate(sampled) == f"5 {TIMES} 5 of 5 {TIMES} 6"
    browser.evaluate("data.layers[1].shown.push(5)")


def test_long_names_stay_apart_and_the_cost_is_not_cut(browser: Chromium) -> None:
    labels = browser.evaluate("neurons[0].map(each => each.group.lastChild.textContent)")
    assert len(set(labels)) == 20
    assert all(len(label) <= 12 for label in labels)
    assert browser.evaluate("cutApart(['aaaaaaaaaaaaaa', 'aaaaaaaaaaaaab'], 8)") == [
        "aaaa…aaa",
        "aaaa…aab",
    ]
    browser.evaluate("walk(5)")
    frame, box = browser.evaluate(
        "[picture.parentElement, costBox].map(each => each.getBoundingClientRect())"
        ".map(box => [box.left, box.right, box.top, box.bottom])"
    )
    assert frame[0] <= box[0]
    assert box[1] <= frame[1]
    assert frame[2] <= box[2]
    assert box[3] <= frame[3]
    text, edge = browser.evaluate(
        "['text', 'rect'].map(name => costBox.querySelector(name).getBBox().width)"
    )
    assert text < edge


def test_a_link_to_another_example_shows_that_example(browser: Chromium) -> None:
    browser.evaluate("pin({ layer: 1, k: 0, j: 0 })")
    browser.evaluate("changeWeight({ layer: 1, k: 0, j: 0 }, 0.5)")
    browser.evaluate("location.hash = 'step=3&example=2'")
    browser.evaluate("new Promise(done => setTimeout(done, 50))")
    assert browser.evaluate("state.example") == 2
    x = browser.evaluate("example().a[0][0]")
    np.testing.assert_allclose(x, NET.trace(X[2:3]).a[0][0, 0], rtol=1e-3)
