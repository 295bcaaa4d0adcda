"""The page of a network in a real browser: it walks, and its numbers are those of the trace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from chromium import PROGRAM, Chromium

from pybackprop import Network
from pybackprop.cli import main
from pybackprop.view import make_page

RNG = np.random.default_rng(3)
MINUS = "\N{MINUS SIGN}"
NUMBER = rf"([{MINUS}\d.e]+)"

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def text_of(browser: Chromium, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({selector!r}).textContent"))


def numbers(text: str) -> dict[str, float]:
    """Read "name = number" from a label."""
    found = re.findall(rf"([^ ,:]+) = {NUMBER}", text)
    return {name: float(number.replace(MINUS, "-")) for name, number in found}


def read_neurons(browser: Chromium, layer: int) -> list[dict[str, float]]:
    code = (
        f"[...document.querySelectorAll('.neuron[id^=\"n{layer}-\"]')]"
        ".map(group => group.getAttribute('aria-label'))"
    )
    return [numbers(label) for label in browser.evaluate(code)]


def read_table(browser: Chromium) -> list[list[str]]:
    code = (
        "[...document.querySelectorAll('#detail tbody tr')]"
        ".map(row => [...row.children].map(cell => cell.textContent))"
    )
    return [[cell.replace(MINUS, "-") for cell in row] for row in browser.evaluate(code)]


def open_page(
    browser: Chromium, tmp_path: Any, net: Network, x: Any, y: Any, **options: Any
) -> str:
    path = tmp_path / "page.html"
    net.show(x, y, path, **options)
    browser.open(path.as_uri())
    return str(path.as_uri())


def close(got: Any, wanted: Any) -> None:
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-12)


CASES = [
    ({"activation": "tanh", "l2": 0.1, "l1": 0.01}, "real"),
    ({"activation": "gelu", "loss": "huber", "dtype": "float64"}, "real"),
    ({"output": "softmax", "loss": "cross_entropy", "dtype": "float64"}, "label"),
    ({"activation": "selu", "output": "sigmoid", "loss": "binary_cross_entropy"}, "zero or one"),
]


def make_case(settings: dict[str, Any], kind: str) -> tuple[Network, Any, Any]:
    net = Network([4, 6, 5, 3], seed=1, **settings)
    net.set_scaling(np.full(4, 0.5), np.full(4, 2.0))
    y: Any = RNG.standard_normal((3, 3))
    if kind == "label":
        y = np.array([2, 0, 1])
    elif kind == "zero or one":
        y = (y > 0).astype(float)
    return net, RNG.standard_normal((3, 4)), y


@needs_browser
@pytest.mark.parametrize(("settings", "kind"), CASES)
def test_numbers_of_every_step_are_those_of_the_trace(browser, tmp_path, settings, kind) -> None:
    net, x, y = make_case(settings, kind)
    url = open_page(browser, tmp_path, net, x, y)
    for row in range(3):
        one = slice(row, row + 1)
        trace, gradients = net.trace(x[one], y[one]), net.backprop(x[one], y[one])
        assert trace.delta is not None
        for layer in range(1, 4):
            browser.evaluate(
                f"location.hash = 'step={layer}&example={row}'; readAddress(); render()"
            )
            seen = read_neurons(browser, layer)
            close([each["z"] for each in seen], trace.z[layer - 1][0])
            close([each["a"] for each in seen], trace.a[layer][0])
            assert all(list(each) == ["z", "a"] for each in seen)
            # Going back, layer l is at the step 2 L + 2 - l.
            browser.evaluate(f"walk({8 - layer})")
            seen = read_neurons(browser, layer)
            close([each["δ"] for each in seen], trace.delta[layer - 1][0])
            check_gradients_of_neuron(browser, layer, gradients)
        browser.evaluate("walk(4)")
        close(float(text_of(browser, "#cost")), net.cost(x[one], y[one]))
        browser.evaluate("walk(8)")
        pulled = [each["∂C/∂a"] for each in read_neurons(browser, 0)]
        close(np.multiply(pulled, 2.0), gradients.inputs[0])
    assert browser.complaints() == []
    assert browser.requests() == [url]


def check_gradients_of_neuron(browser: Chromium, layer: int, gradients: Any) -> None:
    """Compare the panel of a layer's last neuron with dC/dW and dC/db."""
    at = len(gradients.biases[layer - 1]) - 1
    browser.evaluate(f"choose({{ layer: {layer}, at: {at} }})")
    rows = [row for row in read_table(browser) if len(row) == 5]
    *weights, bias, _ = [row[-1] for row in rows]
    close(list(map(float, weights)), gradients.weights[layer - 1][at])
    close(float(bias), gradients.biases[layer - 1][at])


@needs_browser
def test_sums_in_the_panel_add_up(browser, tmp_path) -> None:
    """Of a sampled layer too: what is not drawn is one term of the sum."""
    net = Network([30, 40, 20], activation="tanh", dtype="float64", seed=2)
    x, y = RNG.standard_normal((1, 30)), RNG.standard_normal((1, 20))
    open_page(browser, tmp_path, net, x, y, neurons=7)
    trace = net.trace(x, y)
    assert trace.delta is not None
    browser.evaluate("walk(5); choose({ layer: 1, at: 6 })")
    assert text_of(browser, "#detail h2") == "Layer 1, neuron 39"
    back = [row for row in read_table(browser) if len(row) == 4]
    assert [row[0] for row in back[-2:]] == ["13 others", "∂C/∂a"]
    check_sum([float(row[-1]) for row in back])
    close(float(back[-1][-1]), (net.weights[1].T @ trace.delta[1][0])[39])
    forward = [row for row in read_table(browser) if len(row) == 5]
    assert [row[0] for row in forward[-3:]] == ["23 others", "bias", "z"]
    check_sum([float(row[3]) for row in forward])
    assert "7 of 40 neurons drawn" in text_of(browser, "#step")


def check_sum(column: list[float]) -> None:
    """Compare the last number with the sum of those above it, all of which have six digits."""
    *terms, total = column
    assert abs(sum(terms) - total) <= 5e-6 * sum(map(abs, column))


@needs_browser
def test_keys_and_slider_walk(browser, tmp_path) -> None:
    net = Network([3, 4, 2], activation="tanh", seed=1)
    open_page(browser, tmp_path, net, RNG.standard_normal((3, 3)), RNG.standard_normal((3, 2)))
    heading = "#step h2"
    wanted = ["The inputs", "Forward, layer 1 of 2", "Forward, layer 2 of 2", "The cost"]
    wanted += ["Backward, layer 2 of 2", "Backward, layer 1 of 2", "Back at the inputs"]
    seen = [text_of(browser, heading)]
    for _ in range(6):
        browser.press("ArrowRight")
        seen.append(text_of(browser, heading))
    assert seen == wanted
    browser.press("ArrowRight")
    browser.press("ArrowLeft")
    assert text_of(browser, heading) == wanted[-2]
    browser.press("]")
    assert browser.evaluate("location.hash") == "#step=5&example=1"
    browser.evaluate("document.querySelector('#n1-1').focus()")
    browser.press("ArrowDown")
    assert text_of(browser, "#detail h2") == "Layer 1, neuron 2"
    browser.press("ArrowRight", shift=True)
    assert text_of(browser, "#detail h2") == "Output 1"
    browser.evaluate("slider.value = 2; slider.dispatchEvent(new Event('input'))")
    assert text_of(browser, heading) == wanted[2]
    browser.evaluate("slider.focus()")
    browser.press("ArrowLeft")
    assert text_of(browser, heading) == wanted[1]
    assert browser.complaints() == []


@needs_browser
def test_pointing_shows_the_numbers_of_a_neuron_and_of_an_edge(browser, tmp_path) -> None:
    net = Network([3, 4, 2], activation="tanh", dtype="float64", seed=1)
    x, y = RNG.standard_normal((1, 3)), RNG.standard_normal((1, 2))
    open_page(browser, tmp_path, net, x, y)
    browser.evaluate("walk(5)")
    point(browser, "neurons[1][2].shape", 0.5)
    assert text_of(browser, "#detail h2") == "Layer 1, neuron 2"
    # A tenth of the way along the lowest edge, no other lies over it.
    point(browser, "edges[1][3][2]", 0.1)
    assert text_of(browser, "#detail h2") == "Weight from 2 to 3, layer 1"
    found = re.search(rf"∂C/∂w{NUMBER}", text_of(browser, "#detail"))
    assert found is not None
    close(float(found[1].replace(MINUS, "-")), net.backprop(x, y).weights[0][3, 2])


def point(browser: Chromium, element: str, part: float) -> None:
    """Move the mouse to a point of an element, on the diagonal of its box."""
    x, y = browser.evaluate(
        f"(box => [box.x + {part} * box.width, box.y + {part} * box.height])"
        f"({element}.getBoundingClientRect())"
    )
    browser.move(x, y)


@needs_browser
def test_sign_shows_without_colour(browser, tmp_path) -> None:
    """Below 0, a neuron is square and an edge is dashed."""
    net = Network([4, 6, 3], activation="tanh", dtype="float64", seed=4)
    x = RNG.standard_normal((1, 4))
    open_page(browser, tmp_path, net, x, np.zeros((1, 3)))
    browser.evaluate("walk(2)")
    trace = net.trace(x)
    radii = browser.evaluate("neurons[1].map(each => Number(each.shape.getAttribute('rx')))")
    assert [radius < 5 for radius in radii] == (trace.a[1][0] < 0).tolist()
    dashes = browser.evaluate(
        "edges[2].map(row => row.map(edge => getComputedStyle(edge).strokeDasharray !== 'none'))"
    )
    assert dashes == (net.weights[1] < 0).tolist()


@needs_browser
def test_large_network_draws_within_two_seconds(browser, tmp_path) -> None:
    net = Network([784, 512, 512, 10], output="softmax", loss="cross_entropy", seed=0)
    x, y = RNG.uniform(size=(64, 784)), RNG.integers(0, 10, 64)
    open_page(browser, tmp_path, net, x, y, image_shape=(28, 28))
    # The clock of the page starts with its navigation.
    drawn = browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0.0 < drawn < 2000.0
    assert browser.evaluate("document.querySelectorAll('.neuron').length") == 3 * 12 + 10
    assert "12 of 784 neurons drawn" in text_of(browser, "#step")
    assert browser.complaints() == []


def quartic(a: Any, y: Any) -> tuple[Any, Any]:
    return ((a - y) ** 4).sum(axis=1), 4 * (a - y) ** 3


@needs_browser
def test_any_loss_and_any_numbers_can_be_walked_through(browser, tmp_path) -> None:
    deep = Network([3, *[4] * 12, 2], activation="tanh", loss=quartic, dtype="float64", seed=1)
    broken = Network([3, 4, 2], output="softmax", loss="squared_error", seed=1)
    broken.set_layer(0, np.full((4, 3), [np.nan, np.inf, -1.0]), np.zeros(4))
    for net, title in [
        (deep, "3 → 12 \N{MULTIPLICATION SIGN} 4 tanh → 2 identity"),
        (broken, "3 → 4 relu → 2 softmax"),
    ]:
        open_page(browser, tmp_path, net, RNG.standard_normal((1, 3)), np.zeros((1, 2)))
        assert text_of(browser, "#title") == title
        for step in range(2 * len(net.weights) + 3):
            browser.evaluate(f"walk({step})")
            assert text_of(browser, "#detail h2")
        assert browser.complaints() == []


@needs_browser
def test_command_shows_a_data_set_and_a_saved_model(browser, tmp_path, capsys) -> None:
    page, model = tmp_path / "page.html", tmp_path / "iris.npz"
    assert main(["show", "digits", "--save", str(page)]) == 0
    browser.open(page.as_uri())
    assert text_of(browser, "#title") == "digits: 64 → 12 relu → 12 relu → 10 softmax"
    assert browser.evaluate("document.title").startswith("digits: Network(64")
    assert browser.evaluate("data.learning.rows") == 256
    assert page.stat().st_size <= 500_000
    labels = browser.evaluate(
        "[...document.querySelectorAll('#examples b')].map(b => b.textContent)"
    )
    assert labels == [str(digit) for digit in range(10)]
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert main(["train", "iris", "--epochs", "5", "--save", str(model)]) == 0
    assert main(["show", str(model), "--data", "iris", "--save", str(page)]) == 0
    browser.open(page.as_uri())
    assert "setosa" in text_of(browser, "#examples")
    capsys.readouterr()


def test_command_takes_the_network_that_is_asked_for(tmp_path, capsys) -> None:
    page = tmp_path / "page.html"
    layers = ["--hidden", "5", "4", "3", "--activation", "mish", "--init", "glorot"]
    start = ["--seed", "3", "--epochs", "0"]
    assert main(["show", "iris", *layers, *start, "--save", str(page)]) == 0
    text = page.read_text("utf-8")
    net = Network([4, 5, 4, 3, 3], activation="mish", init="glorot", output="softmax", seed=3)
    assert "iris: Network(4 -&gt; 5 mish -&gt; 4 mish -&gt; 3 mish -&gt; 3 softmax" in text
    data = json.loads(re.findall(r"^const data = (.*);$", text, re.MULTILINE)[0])
    for got, wanted in zip(data["weights"], net.weights, strict=True):
        close(got["W"], wanted)
    assert main(["show", "iris", "--hidden", "--save", str(page)]) == 0
    assert "Network(4 -&gt; 3 softmax" in page.read_text("utf-8")
    capsys.readouterr()


def test_command_refuses_in_one_line(tmp_path, capsys) -> None:
    page, model = str(tmp_path / "page.html"), str(tmp_path / "net.npz")
    Network([3, 2], seed=0).save(model)
    for argv, word in [
        ([model, "--save", page], "--data"),
        ([model, "--data", "iris", "--save", page], "4 inputs"),
        (["nowhere.csv", "--save", page], "nowhere.csv"),
        ([str(tmp_path / "no.npz"), "--save", page], "no.npz"),
        (["iris"], "--save"),
        (["iris", "--epochs", "-1", "--save", page], "--epochs"),
        (["iris", "--hidden", "0", "--save", page], "--hidden"),
        ([model, "--data", "iris", "--hidden", "3", "--save", page], "--hidden does not apply"),
        ([model, "--data", "iris", "--epochs", "0", "--save", page], "--epochs does not apply"),
        (["iris", "--save", str(tmp_path / "no" / "page.html")], "page.html"),
    ]:
        assert main(["show", *argv]) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1


def test_names_cannot_leave_the_script() -> None:
    net = Network([2, 1], seed=0)
    name = "</script><script>alert(1)</script>"
    net.metadata = {"feature_names": [name, "{{script}}"]}
    page = make_page(net, np.zeros((1, 2)), np.zeros(1))
    assert name not in page
    assert page.count("</script>") == 1
    assert "\\u003c/script>" in page
    assert re.findall(r"https?://(?!www\.w3\.org)", page) == []


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"examples": 0}, ValueError, "examples"),
        ({"neurons": 1}, ValueError, "neurons"),
        ({"neurons": 2.5}, TypeError, "neurons"),
        ({"image_shape": (2, 3)}, ValueError, "image_shape"),
        ({"image_shape": 4}, TypeError, "image_shape"),
        ({"title": 4}, TypeError, "title must be a string"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(tmp_path, options, error, word) -> None:
    net = Network([4, 2], seed=0)
    path = tmp_path / "page.html"
    with pytest.raises(error, match=word):
        net.show(np.zeros((1, 4)), np.zeros((1, 2)), path, **options)
    with pytest.raises(ValueError, match="X must have shape"):
        net.show(np.zeros((1, 3)), np.zeros((1, 2)), path)
    assert not path.exists()
