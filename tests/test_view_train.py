"""The tab on which networks learn: as the package trains them, and worked with mouse and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import WIDTHS, Chromium, address_of, needs_browser, open_page, opened, press, text_of

import pybackprop as bp
from pybackprop import datasets
from pybackprop.doctor import EXPLODING, VANISHING
from pybackprop.view import make_page
from pybackprop.view._learning import _pack, rows_to_learn

pytestmark = needs_browser

SPIRALS = datasets.spirals(100, seed=1)
SETTINGS: dict[str, Any] = {
    "activation": "tanh",
    "output": "softmax",
    "loss": "cross_entropy",
    "dtype": "float64",
    "l2": 1e-3,
    "seed": 0,
}
NET = bp.Network([2, 8, 6, 2], **SETTINGS)
NET.set_scaling([0.1, -0.1], [2.0, 3.0])
RUN = "school.columns[0].run"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    NET.show(SPIRALS.x, SPIRALS.y, path)
    return f"{path.as_uri()}#tab=train"


@pytest.fixture(params=WIDTHS)
def browser(chromium: Chromium, page: str, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    """The tab as a link opens it, in a window of one of the widths."""
    yield from opened(chromium, page, request.param)


def open_train(browser: Chromium, path: Path) -> None:
    open_page(browser, f"{path.as_uri()}#tab=train")


def choose(browser: Chromium, element: str, value: Any) -> None:
    browser.evaluate(
        f"{element}.value = {value!r}; {element}.dispatchEvent(new Event('change')); 0"
    )


def parameters(browser: Chromium, column: int = 0) -> Any:
    return np.array(browser.evaluate(f"[...school.columns[{column}].run.engine.parameters]"))


def wait_for(browser: Chromium, condition: str) -> None:
    look = f"const look = () => {condition} ? done(true) : setTimeout(look, 20); look();"
    assert browser.evaluate(f"new Promise(done => {{ {look} }})")


RULES = [
    ("sgd", bp.SGD(0.1)),
    ("momentum", bp.SGD(0.1, momentum=0.9)),
    ("nesterov", bp.SGD(0.1, momentum=0.9, nesterov=True)),
    ("adam", bp.Adam(0.1)),
    ("adamw", bp.AdamW(0.1, weight_decay=0.01)),
    ("rmsprop", bp.RMSprop(0.001)),  # its first steps are ten times the rate
    ("adagrad", bp.Adagrad(0.1)),
]


@pytest.mark.parametrize(("rule", "optimizer"), RULES)
def test_a_run_is_that_of_fit(chromium, page, rule, optimizer) -> None:
    """The same start, batches, updates and costs, from the rows of the page."""
    open_page(chromium, page)
    choose(chromium, "byId('rule')", rule)
    choose(chromium, "document.querySelector('[data-own=lr]')", optimizer.lr)
    x, y = chromium.evaluate("[[...school.rows.learnt.x], [...school.rows.learnt.y]]")
    x, y = np.reshape(x, (-1, 2)), np.reshape(y, (-1, 2))
    assert len(x) == 75
    net = bp.Network([2, 8, 6, 2], **SETTINGS)
    np.testing.assert_array_equal(parameters(chromium), net.parameters)
    assert chromium.evaluate(f"{RUN}.cost") == pytest.approx(net.cost(x, y), rel=1e-13)
    net.fit(x, y, epochs=4, batch_size=16, optimizer=optimizer)
    chromium.evaluate("for (let i = 0; i < 4 * 5; i++) stepAll(1)")
    np.testing.assert_allclose(parameters(chromium), net.parameters, rtol=1e-11, atol=1e-13)
    assert chromium.evaluate(f"{RUN}.epoch") == 4
    assert chromium.evaluate(f"{RUN}.cost") == pytest.approx(net.cost(x, y), rel=1e-12)


def test_buttons_play_step_and_rewind(browser: Chromium) -> None:
    start = parameters(browser)
    press(browser, "byId('one')")
    assert text_of(browser, ".figures").startswith("step 1, epoch 0")
    first = parameters(browser)
    assert not np.array_equal(first, start)
    press(browser, "byId('play')")
    assert "pause" in text_of(browser, "#play")
    wait_for(browser, f"{RUN}.steps > 50")
    press(browser, "byId('play')")
    steps = browser.evaluate(f"{RUN}.steps")
    assert browser.evaluate(f"{RUN}.curve.length") > 2
    browser.evaluate("new Promise(done => setTimeout(done, 60))")
    assert browser.evaluate(f"{RUN}.steps") == steps
    press(browser, "byId('rewind')")
    np.testing.assert_array_equal(parameters(browser), start)
    browser.evaluate("document.activeElement.blur()")
    browser.press("s")
    np.testing.assert_array_equal(parameters(browser), first)
    browser.press("r")
    np.testing.assert_array_equal(parameters(browser), start)
    browser.press("p")
    wait_for(browser, f"{RUN}.steps > 5")
    press(browser, "byId('tab-walk')")
    assert browser.evaluate("school.playing") is False


def test_two_networks_see_the_same_batches(browser: Chromium) -> None:
    press(browser, "byId('compare')")
    second = "school.columns[1].box"
    assert browser.evaluate(f"{second}.querySelector('[data-own=activation]').value") == "sigmoid"
    choose(browser, f"{second}.querySelector('[data-own=activation]')", "given")
    browser.evaluate("for (let i = 0; i < 7; i++) stepAll(1)")
    np.testing.assert_array_equal(parameters(browser, 0), parameters(browser, 1))
    choose(browser, f"{second}.querySelector('[data-own=lr]')", 0.3)
    browser.evaluate("stepAll(1)")
    assert not np.array_equal(parameters(browser, 0), parameters(browser, 1))
    choose(browser, f"{second}.querySelector('[data-own=init]')", "he")
    assert browser.evaluate("school.columns.map(({ run }) => run.steps)") == [0, 0]
    he = bp.Network([2, 8, 6, 2], init="he", **SETTINGS)
    np.testing.assert_allclose(parameters(browser, 1), he.parameters, rtol=1e-15)
    boxes = browser.evaluate(
        "school.columns.map(({ box }) => box.getBoundingClientRect()).map(b => [b.left, b.top])"
    )
    beside = boxes[0][1] == boxes[1][1]
    assert beside == (browser.evaluate("innerWidth") > 1000)
    press(browser, "byId('compare')")
    assert browser.evaluate("byId('columns').children.length") == 1


def test_bars_show_delta_and_updates_with_their_limits(browser: Chromium) -> None:
    choose(browser, "byId('batch')", 256)
    before = parameters(browser)
    browser.evaluate("stepAll(1); paintTrain()")
    x, y = browser.evaluate("[[...school.rows.learnt.x], [...school.rows.learnt.y]]")
    net = bp.Network([2, 8, 6, 2], **SETTINGS)
    net.parameters = before
    old = [w.copy() for w in net.weights]
    trace = net.trace(np.reshape(x, (-1, 2)), np.reshape(y, (-1, 2)))
    assert trace.delta is not None
    norms = np.array([np.linalg.norm(delta) for delta in trace.delta])
    net.parameters = parameters(browser)
    updates = [
        np.linalg.norm(w - v) / np.linalg.norm(v) for w, v in zip(net.weights, old, strict=True)
    ]
    got = browser.evaluate(f"['delta', 'update'].map(name => {RUN}.layers.map(l => l[name]))")
    assert np.divide(got[0], got[0][-1]) == pytest.approx(norms / norms[-1], rel=1e-9)
    assert got[1] == pytest.approx(updates, rel=1e-9)
    limits = browser.evaluate(
        "[...document.querySelectorAll('[data-bars=delta] .tick')].map(e => e.textContent)"
    )[:2]
    assert [float(each) for each in limits] == [VANISHING, EXPLODING]
    assert browser.evaluate("document.querySelectorAll('.layer-bar').length") == 6
    assert browser.evaluate("document.querySelectorAll('.layer-bar.wrong').length") == 0
    choose(browser, "document.querySelector('[data-own=lr]')", 10)
    browser.evaluate("stepAll(1); paintTrain()")
    assert "✗" in text_of(browser, "[data-bars=update]")


def test_letters_of_charts_keep_their_size_and_do_not_touch(browser: Chromium) -> None:
    press(browser, "byId('compare')")
    browser.evaluate("for (let i = 0; i < 50; i++) stepAll(1); paintTrain()")
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.column svg')].map(chart =>"
        " [...chart.querySelectorAll('text')].map(each => each.getBoundingClientRect())"
        " .map(box => [box.left, box.right, box.top, box.bottom]))"
    )
    assert len(boxes) == 6
    for chart in boxes:
        for at, (left, right, top, bottom) in enumerate(chart):
            assert bottom - top > 9
            for other in chart[at + 1 :]:
                apart = right <= other[0] or other[1] <= left
                assert apart or bottom <= other[2] + 2 or other[3] <= top + 2


def test_a_cost_that_is_not_finite_stops_the_run(browser: Chromium) -> None:
    browser.evaluate(f"{RUN}.engine.parameters.fill(1e200)")
    press(browser, "byId('play')")
    wait_for(browser, "!school.playing")
    assert "not finite after" in text_of(browser, ".figures")
    press(browser, "byId('rewind')")
    assert "not finite" not in text_of(browser, ".figures")


def test_the_map_shows_what_the_network_answers(browser: Chromium) -> None:
    browser.evaluate(f"for (let i = 0; i < 200; i++) {RUN}.step(); {RUN}.rows.learnt.rows = 0")
    browser.evaluate("school.columns[0].paint(curveRange([school.columns[0].run]))")
    net = bp.Network([2, 8, 6, 2], **SETTINGS)
    net.parameters = parameters(browser)
    cells = np.reshape(browser.evaluate("[...school.columns[0].grid.cells]"), (56, 56, 2))
    pixels = browser.evaluate(
        "[...document.querySelector('.map').getContext('2d').getImageData(0, 0, 320, 320).data]"
    )
    pixels = np.reshape(pixels, (320, 320, 4)).astype(int)
    inside = np.arange(4, 52, 6)
    for row in inside:
        for column in inside:
            p = net.predict(cells[row, column][None])[0]
            if abs(p[0] - 0.5) < 0.1:
                continue
            at = [int((each + 0.5) * 320 / 56) for each in (row, column)]
            red, _, blue, _ = pixels[at[0], at[1]]
            assert (blue > red) == (p[0] > p[1])


def quartic(a: Any, y: Any) -> tuple[Any, Any]:
    return ((a - y) ** 4).sum(axis=1), 4 * (a - y) ** 3


def test_what_cannot_learn_in_the_page_says_why(chromium, tmp_path) -> None:
    broken = bp.Network([3, 4, 2], seed=0)
    broken.set_layer(0, np.full((4, 3), np.nan), np.zeros(4))
    for net, word in [
        (bp.Network([3, 4, 2], loss=quartic, seed=0), "Python function"),
        (bp.Network([3, 200, 100, 2], seed=0), "20,000 parameters"),
        (broken, "not finite"),
    ]:
        net.show(np.ones((4, 3)), np.ones((4, 2)), tmp_path / "page.html")
        open_train(chromium, tmp_path / "page.html")
        assert word in text_of(chromium, "#train")
        press(chromium, "byId('tab-walk')")
        chromium.evaluate("walk(5); pin({ layer: 1, k: 0, j: 0 })")
        assert chromium.evaluate("byId('tune').checkVisibility()") is False
        assert chromium.complaints() == []


def test_regression_learns_from_few_rows_without_holding_any_out(chromium, tmp_path) -> None:
    rng = np.random.default_rng(0)
    factors = [[1.0, 0.5], [1.0, 2.0]]
    net = bp.Network([3, 6, 2], activation="gelu", dropout=0.2, lr_factors=factors, seed=2)
    net.show(rng.standard_normal((12, 3)), rng.standard_normal((12, 2)), tmp_path / "page.html")
    open_train(chromium, tmp_path / "page.html")
    assert "12 examples to learn from, in float64" in text_of(chromium, "#train .note")
    assert "Dropout is left out" in text_of(chromium, "#train .note")
    assert "The layers' factors of rates are left out" in text_of(chromium, "#train .note")
    cost = chromium.evaluate(f"{RUN}.cost")
    chromium.evaluate("for (let i = 0; i < 100; i++) stepAll(1); paintTrain()")
    assert chromium.evaluate(f"{RUN}.cost") < 0.5 * cost
    assert chromium.evaluate("document.querySelector('.map')") is None
    choose(chromium, "document.querySelector('[data-own=init]')", "given")
    np.testing.assert_array_equal(parameters(chromium), net.parameters)
    assert chromium.complaints() == []


def test_keys_move_between_tabs(browser: Chromium) -> None:
    browser.evaluate("byId('tab-train').focus()")
    browser.press("ArrowLeft")
    assert browser.evaluate("document.activeElement.id") == "tab-walk"
    assert browser.evaluate("byId('walk').checkVisibility()")
    assert "tab=" not in address_of(browser)
    browser.press("ArrowRight")
    assert "tab=" in address_of(browser)
    assert browser.evaluate("byId('walk').checkVisibility()") is False


def test_rows_are_spread_over_all_and_kept_exactly() -> None:
    """Of many rows the first ones and an even choice of the others, in the smallest exact type."""
    net = bp.Network([4, 2], seed=0)
    y = np.zeros((10_000, 2))
    rows = rows_to_learn(net, np.zeros((10_000, 4)), y, 8)
    assert len(rows) == len(set(rows)) == 256
    assert rows[:8].tolist() == list(range(8))
    assert rows[-1] == 9_999
    assert rows_to_learn(net, np.zeros((5, 4)), y[:5], 5).tolist() == list(range(5))
    for values, name in [([0, 3, 255], "uint8"), ([0.5, -1.0], "float32"), ([0.1], "float64")]:
        assert _pack(np.array(values))["type"] == name


@pytest.mark.parametrize(
    ("widths", "dtype", "x"),
    [
        ([784, 25, 10], "float32", np.arange(1000 * 784).reshape(1000, 784).astype(np.uint8)),
        ([100, 100, 80, 10], "float64", np.random.default_rng(0).standard_normal((1000, 100))),
    ],
)
def test_pages_have_at_most_half_a_megabyte(widths, dtype, x) -> None:
    """The largest that learn, with pictures of the examples and with nothing that packs well."""
    net = bp.Network(widths, dtype=dtype, seed=0)
    shape = (28, 28) if widths[0] == 784 else None
    page = make_page(
        net, x, np.random.default_rng(1).standard_normal((1000, 10)), image_shape=shape
    )
    assert '"parameters":{' in page
    assert len(page.encode()) <= 500_000
