"""Descents as pictures: contours, paths of rules and rates, and the limit 2/λ of the rate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import WIDTHS, Chromium, needs_browser, open_page, opened, press, texts_of

from pybackprop import Adagrad, Adam, Network, RMSprop
from pybackprop.graph import exp, minimize
from pybackprop.view import make_descent, write_descent

NET = Network([3, 5, 4, 2], activation="tanh", dtype="float64", l2=0.01, seed=1)
RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 2))


def booth(p: Any) -> Any:
    """The lecture's example: lowest at (1, 3), with the eigenvalues 18 and 2."""
    return (p[0] + 2 * p[1] - 7) ** 2 + (2 * p[0] + p[1] - 5) ** 2


BOOTH = {"sgd": [0.02, 0.11, 0.112], "momentum": 0.02, "nesterov": [0.02], "adam": 0.3}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    write_descent(booth, [-6, 6], folder / "booth.html", rules=BOOTH, title="Booth <&> function")
    NET.show(X, Y, folder / "net.html")
    return (folder / "booth.html").as_uri(), f"{(folder / 'net.html').as_uri()}#tab=descent"


@pytest.fixture(params=WIDTHS)
def function_page(
    chromium: Chromium, pages: tuple[str, str], request: pytest.FixtureRequest
) -> Iterator[Chromium]:
    yield from opened(chromium, pages[0], request.param)


@pytest.fixture(params=WIDTHS)
def network_page(
    chromium: Chromium, pages: tuple[str, str], request: pytest.FixtureRequest
) -> Iterator[Chromium]:
    yield from opened(chromium, pages[1], request.param)


@needs_browser
def test_booth_converges_below_two_by_lambda_only(function_page: Chromium) -> None:
    assert texts_of(function_page, "h1") == ["Booth <&> function"]
    verdicts = texts_of(function_page, ".runs td:nth-child(3)")
    assert verdicts == ["converges", "converges", "diverges", *["converges"] * 3]
    limit = texts_of(function_page, ".limit")[0]
    assert "the eigenvalues 18 and 2" in limit
    assert "2/λ = 0.1111" in limit
    line, good, bad = function_page.evaluate(
        "['.two-by-lambda', '.good', '.bad'].map(name => [...document.querySelectorAll(name)]"
        ".map(each => each.getBoundingClientRect()).map(box => box.x + box.width / 2))"
    )
    assert len(good) == 2
    assert max(good) < line[0] < bad[0]


@needs_browser
def test_paths_are_those_of_minimize(function_page: Chromium) -> None:
    runs = function_page.evaluate("data.runs")
    assert [(run["rule"], run["rate"]) for run in runs][:3] == [("sgd", r) for r in BOOTH["sgd"]]
    np.testing.assert_allclose(
        runs[1]["path"], minimize(booth, [-6, 6], lr=0.11, steps=60), rtol=1e-5, atol=1e-5
    )
    adam = minimize(booth, [-6, 6], optimizer=Adam(0.3), steps=60)
    np.testing.assert_allclose(runs[5]["path"], adam, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(runs[5]["values"], [booth(p) for p in adam], rtol=1e-4, atol=1e-4)


@needs_browser
def test_every_rule_has_its_path_and_its_name(chromium: Chromium, tmp_path: Path) -> None:
    rules = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adam": 0.3}
    rules |= {"rmsprop": 0.1, "adagrad": 2.0}
    write_descent(booth, [-6, 6], tmp_path / "rules.html", rules=rules)
    for browser in opened(chromium, (tmp_path / "rules.html").as_uri(), 1280):
        runs = browser.evaluate("data.runs")
        assert [run["rule"] for run in runs] == list(rules)
        for run, rule in zip(runs[4:], (RMSprop(0.1), Adagrad(2.0)), strict=True):
            path = minimize(booth, [-6, 6], optimizer=rule, steps=60)
            np.testing.assert_allclose(run["path"], path, rtol=1e-5, atol=1e-5)
        shown = " ".join(texts_of(browser, ".runs tr"))
        for name in ("gradient descent", "momentum", "Nesterov", "Adam", "RMSprop", "Adagrad"):
            assert name in shown


@needs_browser
def test_slider_play_and_boxes(function_page: Chromium) -> None:
    browser = function_page
    function_page.evaluate("document.querySelector('[type=range]').focus()")
    assert texts_of(browser, "output") == ["step 60 of 60"]
    browser.press("ArrowLeft")
    assert texts_of(browser, "output") == ["step 59 of 60"]
    press(browser, "document.querySelector('[type=range]')", 0.01)
    assert texts_of(browser, "output") == ["step 0 of 60"]
    assert set(texts_of(browser, ".value")) == {"122"}
    assert browser.evaluate("document.querySelectorAll('.path-of-run').length") == 6
    press(browser, "document.querySelector('[data-run=\"2\"]')")
    assert browser.evaluate("document.querySelectorAll('.path-of-run').length") == 5
    press(browser, "document.querySelector('.play')")
    look = "document.querySelector('output').textContent.startsWith('step 3 ')"
    browser.evaluate(
        f"new Promise(done => {{ const look = () => {look} ? done() : setTimeout(look, 10);"
        " look(); })"
    )
    press(browser, "document.querySelector('.play')")
    now = texts_of(browser, "output")
    browser.evaluate("new Promise(done => setTimeout(done, 150))")
    assert texts_of(browser, "output") == now


@needs_browser
def test_contours_lie_where_the_function_has_their_value(function_page: Chromium) -> None:
    """On a plane, and on Booth's function to the error of a cell."""
    code = "contourPath([0, 1, 2, 0, 1, 2, 0, 1, 2], 3, 0.25, (x, y) => `${x} ${y}`)"
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", function_page.evaluate(code))
    assert {x for x, _ in points} == {"0.25"}
    assert {float(y) for _, y in points} >= {0.0, 1.0, 2.0}
    level, path, window = function_page.evaluate(
        "(level => [level, contourPath(data.values, 61, level, (x, y) => `${x} ${y}`), data.range])"
        "(contourLevels(data.values, 14)[6])"
    )
    places = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", path), float)
    assert len(places) > 60
    low, high = np.array(window).T
    found = [booth(low + place / 60 * (high - low)) for place in places]
    np.testing.assert_allclose(found, level, rtol=0.05)


def cost_of(weights: Any, rows: Any, targets: Any, places: Any) -> tuple[float, Any]:
    """Return the cost and its gradient in two weights of the last layer, set to `weights`."""
    net = NET.copy()
    w = net.weights[2].copy()
    for value, place in zip(weights, places, strict=True):
        w[place["k"], place["j"]] = value
    net.set_layer(2, w, net.biases[2])
    found = net.backprop(rows, targets)
    return found.cost, np.array([found.weights[2][p["k"], p["j"]] for p in places])


@needs_browser
def test_two_weights_of_a_network_descend_as_they_should(network_page: Chromium) -> None:
    browser = network_page
    places, x, y, rows = browser.evaluate(
        "[hill.places, [...hill.rows.x], [...hill.rows.y], hill.rows.rows]"
    )
    assert rows == 30
    assert [place["layer"] for place in places] == [3, 3]
    x, y = np.reshape(x, (-1, 3)), np.reshape(y, (-1, 2))
    count, values, window = browser.evaluate("[hill.grid.count, hill.grid.values, hill.range]")
    for at in (0, 40, count * count - 1):
        part = np.array([at % count, at // count]) / (count - 1)
        point = np.array(window)[:, 0] + part * np.diff(window)[:, 0]
        assert values[at] == pytest.approx(cost_of(point, x, y, places)[0], rel=1e-12)
    run = browser.evaluate("hill.picture.surface.runs[1]")
    point = np.array(run["path"][0])
    for seen, value in zip(run["path"], run["values"], strict=True):
        np.testing.assert_allclose(seen, point, rtol=1e-9)
        cost, gradient = cost_of(point, x, y, places)
        assert value == pytest.approx(cost, rel=1e-9)
        point = point - run["rate"] * gradient
    # The network itself is as it was.
    np.testing.assert_array_equal(browser.evaluate("[...live.engine.parameters]"), NET.parameters)


@needs_browser
def test_a_press_on_the_plane_starts_there(network_page: Chromium) -> None:
    press(network_page, "document.querySelector('.plane')", 0.7, 0.3)
    start, window = network_page.evaluate("[hill.start, hill.range]")
    part = (np.array(start) - np.array(window)[:, 0]) / np.diff(window)[:, 0]
    assert part == pytest.approx([0.7, 0.28], abs=0.07)
    first = network_page.evaluate("hill.picture.surface.runs.map(run => run.path[0])")
    assert first == [start] * 5
    network_page.evaluate(
        "(e => { e.value = 3; e.dispatchEvent(new Event('change')) })(byId('descent-rate'))"
    )
    rates = network_page.evaluate("hill.picture.surface.runs.map(run => run.rate)")
    assert rates == [1, 3, 9, 3, 3]


@needs_browser
def test_axes_are_chosen_and_never_the_same_weight(network_page: Chromium) -> None:
    select = "document.querySelector('[data-axis=\"0\"][data-key={}]')"
    for key, value in [("layer", 1), ("j", 2), ("k", 4)]:
        element = select.format(key)
        network_page.evaluate(
            f"{element}.value = {value}; {element}.dispatchEvent(new Event('change'))"
        )
    assert network_page.evaluate("hill.places[0]") == {"layer": 1, "k": 4, "j": 2}
    other = network_page.evaluate("(changeAxis(1, 'layer', 1), hill.places[1])")
    assert other == {"layer": 1, "k": 0, "j": 0}
    network_page.evaluate("changeAxis(1, 'k', 4); changeAxis(1, 'j', 2)")
    first, second = network_page.evaluate("hill.places")
    assert first != second


@needs_browser
def test_what_was_changed_on_the_walk_counts(network_page: Chromium) -> None:
    network_page.evaluate("walk(5); pin({ layer: 2, k: 1, j: 3 }); changeWeight(state.pinned, 2.5)")
    press(network_page, "byId('tab-walk')")
    press(network_page, "byId('tab-descent')")
    assert network_page.evaluate("hill.places[0]") == {"layer": 2, "k": 1, "j": 3}
    assert network_page.evaluate("hill.given[0]") == 2.5


@needs_browser
@pytest.mark.parametrize("width", [375, 1440])
def test_any_function_is_drawn(chromium: Chromium, tmp_path, width) -> None:
    path = tmp_path / "page.html"

    def runs_away(p: Any) -> Any:
        return exp(300 * p[0]) + p[1] ** 2

    for f, options in [
        (runs_away, {"rules": {"sgd": [1.0, 1e-3]}, "bounds": ((-1, 4), (-1, 1))}),
        (lambda p: p[0] + p[1], {}),
        (lambda p: -(p[0] ** 2) - p[1] ** 2, {"steps": 3}),
        (lambda p: p[0] * 0 + 1.0, {"names": ("a long name", "another long name")}),
    ]:
        write_descent(f, [0.5, 0.5], path, **options)
        for _ in opened(chromium, path.as_uri(), width):
            assert chromium.evaluate("document.querySelectorAll('.contour').length") == 14


def test_rates_are_chosen_around_the_limit() -> None:
    found = re.findall(r'"rule":"(\w+)","rate":([\d.]+)', make_descent(booth, [0, 0]))
    assert found == [
        *(("sgd", rate) for rate in ("0.0278", "0.11", "0.112")),
        ("momentum", "0.0278"),
        ("nesterov", "0.0278"),
        ("adam", "0.3"),
    ]


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"start": [1, 2, 3]}, ValueError, "start must be two finite numbers"),
        ({"start": [1, np.nan]}, ValueError, "start must be two finite numbers"),
        ({"rules": {"newton": 1}}, ValueError, "rules must name some of sgd, momentum"),
        ({"rules": {"sgd": [0.0]}}, ValueError, r"rules\['sgd'\] must be above 0"),
        ({"rules": {"sgd": ["a"]}}, TypeError, r"rules\['sgd'\] must be a number"),
        ({"rules": {"sgd": []}}, ValueError, "at least one rate"),
        ({"rules": 0.1}, TypeError, "rules must be a mapping"),
        ({"steps": 0}, ValueError, "steps"),
        ({"bounds": ((0, 0), (1, 2))}, ValueError, "bounds must be"),
        ({"names": "xy"}, TypeError, "names must be a pair"),
        ({"title": 3}, TypeError, "title must be a string"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(tmp_path, options, error, word) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(error, match=word):
        write_descent(booth, options.pop("start", [0, 0]), path, **options)
    assert not path.exists()


def test_rates_may_be_an_array_and_the_start_a_point_without_curvature() -> None:
    assert make_descent(booth, [1, 1], rules={"sgd": np.array([0.02, 0.05])})
    assert make_descent(lambda p: (p[0] ** 2 + p[1] ** 2) ** 0.5, [0, 0])


@needs_browser
@pytest.mark.parametrize("widths", [[1, 1], [2, 1, 1], [1, 1, 1]])
def test_networks_of_few_weights_descend_too(chromium: Chromium, tmp_path, widths) -> None:
    net = Network(widths, dtype="float64", seed=1)
    net.show(X[:, : widths[0]], Y[:, :1], tmp_path / "net.html")
    open_page(chromium, f"{(tmp_path / 'net.html').as_uri()}#weight=1.0.0")
    chromium.evaluate("openTab('descent')")
    if widths == [1, 1]:
        assert "one weight" in chromium.evaluate("byId('descent').textContent")
    else:
        chromium.evaluate("changeAxis(0, 'layer', last); changeAxis(1, 'layer', last)")
        assert chromium.evaluate("!isSame(...hill.places)")
    assert chromium.complaints() == []
