"""The page of a network in a real browser: it walks, and its numbers are those of the trace."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from chromium import MINUS, Chromium, address_of, needs_browser, open_page, text_of

from pybackprop import Network
from pybackprop.cli import main
from pybackprop.view import make_page
from pybackprop.view._page import network_data

RNG = np.random.default_rng(3)
NUMBER = rf"([{MINUS}\d.e]+)"


def numbers(text: str) -> dict[str, float]:
    """Read "name = number" from a label."""
    found = re.findall(rf"([^ ,:]+) = {NUMBER}", text)
    return {name: float(number.replace(MINUS, "-")) for name, number in found}


def read_neurons(chromium: Chromium, layer: int) -> list[dict[str, float]]:
    code = (
        f"[...document.querySelectorAll('.neuron[id^=\"n{layer}-\"]')]"
        ".map(group => group.getAttribute('aria-label'))"
    )
    return [numbers(label) for label in chromium.evaluate(code)]


def read_table(chromium: Chromium) -> list[list[str]]:
    code = (
        "[...document.querySelectorAll('#detail tbody tr')]"
        ".map(row => [...row.children].map(cell => cell.textContent))"
    )
    return [[cell.replace(MINUS, "-") for cell in row] for row in chromium.evaluate(code)]


def show(chromium: Chromium, tmp_path: Any, net: Network, x: Any, y: Any, **options: Any) -> str:
    path = tmp_path / "page.html"
    net.show(x, y, path, **options)
    open_page(chromium, path.as_uri(), 1440)
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
def test_numbers_of_every_step_are_those_of_the_trace(chromium, tmp_path, settings, kind) -> None:
    net, x, y = make_case(settings, kind)
    url = show(chromium, tmp_path, net, x, y)
    for row in range(3):
        one = slice(row, row + 1)
        trace, gradients = net.trace(x[one], y[one]), net.backprop(x[one], y[one])
        assert trace.delta is not None
        for layer in range(1, 4):
            chromium.evaluate(
                f"location.hash = 'step={layer}&example={row}'; readAddress(); render()"
            )
            seen = read_neurons(chromium, layer)
            close([each["z"] for each in seen], trace.z[layer - 1][0])
            close([each["a"] for each in seen], trace.a[layer][0])
            assert all(list(each) == ["z", "a"] for each in seen)
            # Going back, layer l is at the step 2 L + 2 - l.
            chromium.evaluate(f"walk({8 - layer})")
            seen = read_neurons(chromium, layer)
            close([each["δ"] for each in seen], trace.delta[layer - 1][0])
            check_gradients_of_neuron(chromium, layer, gradients)
        chromium.evaluate("walk(4)")
        close(float(text_of(chromium, "#cost")), net.cost(x[one], y[one]))
        chromium.evaluate("walk(8)")
        pulled = [each["∂C/∂a"] for each in read_neurons(chromium, 0)]
        close(np.multiply(pulled, 2.0), gradients.inputs[0])
    assert chromium.complaints() == []
    assert chromium.requests() == [url]


def check_gradients_of_neuron(chromium: Chromium, layer: int, gradients: Any) -> None:
    """Compare the panel of a layer's last neuron with dC/dW and dC/db."""
    at = len(gradients.biases[layer - 1]) - 1
    chromium.evaluate(f"choose({{ layer: {layer}, at: {at} }})")
    rows = [row for row in read_table(chromium) if len(row) == 5]
    *weights, bias, _ = [row[-1] for row in rows]
    close(list(map(float, weights)), gradients.weights[layer - 1][at])
    close(float(bias), gradients.biases[layer - 1][at])


@needs_browser
def test_sums_in_the_panel_add_up(chromium, tmp_path) -> None:
    """Of a sampled layer too: what is not drawn is one term of the sum."""
    net = Network([30, 40, 20], activation="tanh", dtype="float64", seed=2)
    x, y = RNG.standard_normal((1, 30)), RNG.standard_normal((1, 20))
    show(chromium, tmp_path, net, x, y, neurons=7)
    trace = net.trace(x, y)
    assert trace.delta is not None
    chromium.evaluate("walk(5); choose({ layer: 1, at: 6 })")
    assert text_of(chromium, "#detail h2") == "Layer 1, neuron 39"
    back = [row for row in read_table(chromium) if len(row) == 4]
    assert [row[0] for row in back[-2:]] == ["13 others", "∂C/∂a"]
    check_sum([float(row[-1]) for row in back])
    close(float(back[-1][-1]), (net.weights[1].T @ trace.delta[1][0])[39])
    forward = [row for row in read_table(chromium) if len(row) == 5]
    assert [row[0] for row in forward[-3:]] == ["23 others", "bias", "z"]
    check_sum([float(row[3]) for row in forward])
    assert "7 of 40 neurons drawn" in text_of(chromium, "#step")


def check_sum(column: list[float]) -> None:
    """Compare the last number with the sum of those above it, all of which have six digits."""
    *terms, total = column
    assert abs(sum(terms) - total) <= 5e-6 * sum(map(abs, column))


@needs_browser
def test_keys_and_slider_walk(chromium, tmp_path) -> None:
    net = Network([3, 4, 2], activation="tanh", seed=1)
    show(chromium, tmp_path, net, RNG.standard_normal((3, 3)), RNG.standard_normal((3, 2)))
    heading = "#step h2"
    wanted = ["The inputs", "Forward, layer 1 of 2", "Forward, layer 2 of 2", "The cost"]
    wanted += ["Backward, layer 2 of 2", "Backward, layer 1 of 2", "Back at the inputs"]
    seen = [text_of(chromium, heading)]
    for _ in range(6):
        chromium.press("ArrowRight")
        seen.append(text_of(chromium, heading))
    assert seen == wanted
    chromium.press("ArrowRight")
    chromium.press("ArrowLeft")
    assert text_of(chromium, heading) == wanted[-2]
    chromium.press("]")
    assert address_of(chromium) == "#step=5&example=1"
    chromium.evaluate("document.querySelector('#n1-1').focus()")
    chromium.press("ArrowDown")
    assert text_of(chromium, "#detail h2") == "Layer 1, neuron 2"
    chromium.press("ArrowRight", shift=True)
    assert text_of(chromium, "#detail h2") == "Output 1"
    chromium.evaluate("slider.value = 2; slider.dispatchEvent(new Event('input'))")
    assert text_of(chromium, heading) == wanted[2]
    chromium.evaluate("slider.focus()")
    chromium.press("ArrowLeft")
    assert text_of(chromium, heading) == wanted[1]
    assert chromium.complaints() == []


@needs_browser
def test_pointing_shows_the_numbers_of_a_neuron_and_of_an_edge(chromium, tmp_path) -> None:
    net = Network([3, 4, 2], activation="tanh", dtype="float64", seed=1)
    x, y = RNG.standard_normal((1, 3)), RNG.standard_normal((1, 2))
    show(chromium, tmp_path, net, x, y)
    chromium.evaluate("walk(5)")
    point(chromium, "neurons[1][2].shape", 0.5)
    assert text_of(chromium, "#detail h2") == "Layer 1, neuron 2"
    # A tenth of the way along the lowest edge, no other lies over it.
    point(chromium, "edges[1][3][2]", 0.1)
    assert text_of(chromium, "#detail h2") == "Weight from 2 to 3, layer 1"
    found = re.search(rf"∂C/∂w{NUMBER}", text_of(chromium, "#detail"))
    assert found is not None
    close(float(found[1].replace(MINUS, "-")), net.backprop(x, y).weights[0][3, 2])


def point(chromium: Chromium, element: str, part: float) -> None:
    """Move the mouse to a point of an element, on the diagonal of its box."""
    x, y = chromium.evaluate(
        f"(box => [box.x + {part} * box.width, box.y + {part} * box.height])"
        f"({element}.getBoundingClientRect())"
    )
    chromium.move(x, y)


@needs_browser
def test_sign_shows_without_colour(chromium, tmp_path) -> None:
    """Below 0, a neuron is square and an edge is dashed."""
    net = Network([4, 6, 3], activation="tanh", dtype="float64", seed=4)
    x = RNG.standard_normal((1, 4))
    show(chromium, tmp_path, net, x, np.zeros((1, 3)))
    chromium.evaluate("walk(2)")
    trace = net.trace(x)
    radii = chromium.evaluate("neurons[1].map(each => Number(each.shape.getAttribute('rx')))")
    assert [radius < 5 for radius in radii] == (trace.a[1][0] < 0).tolist()
    dashes = chromium.evaluate(
        "edges[2].map(row => row.map(edge => getComputedStyle(edge).strokeDasharray !== 'none'))"
    )
    assert dashes == (net.weights[1] < 0).tolist()


@needs_browser
def test_large_network_draws_within_two_seconds(chromium, tmp_path) -> None:
    net = Network([784, 512, 512, 10], output="softmax", loss="cross_entropy", seed=0)
    x, y = RNG.uniform(size=(64, 784)), RNG.integers(0, 10, 64)
    show(chromium, tmp_path, net, x, y, image_shape=(28, 28))
    # The clock of the page starts with its navigation.
    drawn = chromium.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0.0 < drawn < 2000.0
    assert chromium.evaluate("document.querySelectorAll('.neuron').length") == 3 * 12 + 10
    assert "12 of 784 neurons drawn" in text_of(chromium, "#step")
    assert chromium.complaints() == []


def quartic(a: Any, y: Any) -> tuple[Any, Any]:
    return ((a - y) ** 4).sum(axis=1), 4 * (a - y) ** 3


@needs_browser
def test_any_loss_and_any_numbers_can_be_walked_through(chromium, tmp_path) -> None:
    deep = Network([3, *[4] * 12, 2], activation="tanh", loss=quartic, dtype="float64", seed=1)
    broken = Network([3, 4, 2], output="softmax", loss="squared_error", seed=1)
    broken.set_layer(0, np.full((4, 3), [np.nan, np.inf, -1.0]), np.zeros(4))
    for net, title in [
        (deep, "3 → 12 \N{MULTIPLICATION SIGN} 4 tanh → 2 identity"),
        (broken, "3 → 4 relu → 2 softmax"),
    ]:
        show(chromium, tmp_path, net, RNG.standard_normal((1, 3)), np.zeros((1, 2)))
        assert text_of(chromium, "#title") == title
        for step in range(2 * len(net.weights) + 3):
            chromium.evaluate(f"walk({step})")
            assert text_of(chromium, "#detail h2")
        assert chromium.complaints() == []


@needs_browser
def test_command_shows_a_data_set_and_a_saved_model(chromium, tmp_path, capsys) -> None:
    page, model = tmp_path / "page.html", tmp_path / "iris.npz"
    assert main(["show", "digits", "--save", str(page)]) == 0
    chromium.open(page.as_uri())
    assert text_of(chromium, "#title") == "digits: 64 → 12 relu → 12 relu → 10 softmax"
    assert chromium.evaluate("document.title").startswith("digits: Network(64")
    assert chromium.evaluate("data.learning.rows") == 256
    assert page.stat().st_size <= 500_000
    labels = chromium.evaluate(
        "[...document.querySelectorAll('#examples b')].map(b => b.textContent)"
    )
    assert labels == [str(digit) for digit in range(10)]
    assert chromium.complaints() == []
    assert chromium.requests() == [page.as_uri()]
    assert main(["train", "iris", "--epochs", "5", "--save", str(model)]) == 0
    assert main(["show", str(model), "--data", "iris", "--save", str(page)]) == 0
    chromium.open(page.as_uri())
    assert "setosa" in text_of(chromium, "#examples")
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
    packed = data["learning"]["parameters"]
    got = np.frombuffer(
        base64.b64decode(packed["bytes"]), np.dtype(packed["type"]).newbyteorder("<")
    )
    np.testing.assert_array_equal(got, net.parameters)
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


OTHER_RATES = [[1.0, 0.5], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("settings", "rates", "scales"),
    [
        ({}, False, False),
        ({"lr_factors": OTHER_RATES}, True, False),
        ({"eps_factors": OTHER_RATES}, True, False),
        ({"input_scales": True}, False, True),
        ({"input_scales": True, "input_scale_factors": (6, 1, 1)}, False, True),
        ({"input_scales": True, "lr_factors": OTHER_RATES}, True, True),
    ],
    ids=str,
)
def test_the_page_knows_what_training_has_that_it_leaves_out(
    settings: Any, rates: bool, scales: bool
) -> None:
    net = Network([3, 6, 2], **settings, seed=2)
    data = network_data(net, np.ones((4, 3)), np.ones((4, 2)))
    assert data["rates"] is rates
    assert data["scales"] is scales
