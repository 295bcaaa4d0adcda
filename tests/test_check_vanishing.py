"""The gradient check where gradients vanish: no false alarm, and nothing wrong passes for right."""

import json

import numpy as np
import pytest

from pybackprop import Network, check_gradients
from pybackprop.cli import main

# Three networks whose gradients in the first layers are lost in the rounding of the cost.
DEEP = {
    "docs": [20, *[32] * 10, 1],
    "wide": [8, *[16] * 8, 4],
    "narrow": [5, *[5] * 13, 1],
}


def deep(name, **settings):
    net = Network(DEEP[name], activation="sigmoid", dtype="float64", seed=0, **settings)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, net.widths[0]))
    return net, x, rng.standard_normal((4, net.widths[-1]))


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("fitted", [False, True])
def test_right_gradients_that_vanish_agree(name, fitted):
    net, x, y = deep(name)
    if fitted:
        # Close to its targets, a network has a tiny cost, whose third derivative is not tiny.
        y = net.predict(x) + 1e-7 * y
    result = check_gradients(net, x, y, entries=5)
    assert result, str(result)
    for array in result.arrays:
        assert array.checked + array.unresolved == min(array.size, 5)
    # The upper half is checked entry by entry.
    upper = result.arrays[len(result.arrays) // 2 : -1]
    assert all(array.unresolved == 0 for array in upper), str(result)


@pytest.mark.parametrize("name", DEEP)
def test_command_gives_no_false_alarm(name, capsys):
    widths = "-".join(map(str, DEEP[name]))
    options = ["--activation", "sigmoid", "--batch", "4", "--entries", "4"]
    assert main(["check", widths, *options]) == 0
    assert "gradients agree" in capsys.readouterr().out
    assert main(["check", widths, *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert sum(array["unresolved"] for array in report["arrays"]) == sum(
        entry["error"] is None for array in report["arrays"] for entry in array["entries"]
    )


def wrong(monkeypatch, net, change):
    """Let `net.backprop` return gradients changed by `change`."""
    right = net.backprop

    def backprop(*args):
        gradients = right(*args)
        change(gradients)
        return gradients

    monkeypatch.setattr(net, "backprop", backprop)


CHANGES = {
    "twice": lambda block: np.multiply(block, 2.0, out=block),
    "sign": lambda block: np.negative(block, out=block),
    "by the batch": lambda block: np.divide(block, 4.0, out=block),
    "zero": lambda block: block.fill(0.0),
    "columns zero": lambda block: block[:, ::2].fill(0.0),
    "rows zero": lambda block: block[::2].fill(0.0),
    "1e-5 too large": lambda block: np.multiply(block, 1.00001, out=block),
    "not a number": lambda block: block[::3].fill(np.nan),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("name", "layer"), [("docs", 0), ("docs", 4), ("wide", -1)])
def test_wrong_gradient_of_one_layer_does_not_pass(monkeypatch, name, layer, change):
    net, x, y = deep(name)
    wrong(monkeypatch, net, lambda gradients: CHANGES[change](gradients.weights[layer]))
    result = check_gradients(net, x, y, entries=8)
    checked = {array.name: array for array in result.arrays}
    array = checked[f"W{layer % len(net.weights) + 1}"]
    if (name, layer, change) == ("docs", 0, "1e-5 too large"):
        # Ten layers from the output, the fifth digit is about the last that a difference has.
        assert array.checked == 0 or array.error > result.tolerance
    else:
        assert not array.error <= result.tolerance
        assert not result, str(result)
    assert all(each.error <= result.tolerance for each in result.arrays if each is not array)


def test_what_no_difference_can_see_is_reported_and_never_right(monkeypatch, capsys):
    net = Network([5, *[5] * 40, 1], activation="sigmoid", dtype="float64", seed=0)
    x, y = np.ones((2, 5)), np.ones((2, 1))
    wrong(monkeypatch, net, lambda gradients: gradients.weights[0].fill(0.0))
    result = check_gradients(net, x, y, entries=2)
    first = result.arrays[0]
    assert (first.checked, first.unresolved, first.index) == (0, 2, None)
    *_, verdict, left = str(result).splitlines()
    assert verdict.startswith("gradients agree")
    assert left.startswith("not checked: ")
    assert "W1" in left
    entry = first.entries[0]
    assert entry.difference is not None
    assert entry.uncertainty is not None
    assert abs(entry.difference) <= entry.uncertainty
    assert result.table("W1", rows=1).splitlines()[1].endswith("unresolved")


def test_a_perfect_fit_is_no_false_alarm():
    """Where the cost is 0 its rounding is that of the costs beside it."""
    net = Network([2, 5, 1], activation="tanh", dtype="float64", seed=0)
    x = np.ones((2, 2))
    result = check_gradients(net, x, net.predict(x))
    assert result.error == 0.0
    assert sum(array.unresolved for array in result.arrays) > 0


def loss_cases():
    """Wrong derivatives of the squared error, as a user may write them."""

    def case(derivative):
        return lambda a, y: (((a - y) ** 2).sum(axis=1), derivative(a, y))

    def without_column(a, y):
        d = 2 * (a - y)
        d[:, 1] = 0.0
        return d

    def without_row(a, y):
        d = 2 * (a - y)
        d[0] = 0.0
        return d

    def one_entry_twice(a, y):
        d = 2 * (a - y)
        d[0, 0] *= 2
        return d

    calls = []

    def with_state(a, y):
        calls.append(None)
        return (2 + 1e-3 * len(calls)) * (a - y)

    return {
        "factor 2": case(lambda a, y: a - y),
        "sign": case(lambda a, y: 2 * (y - a)),
        "by N": case(lambda a, y: 2 * (a - y) / len(a)),
        "1e-5 too large": case(lambda a, y: 2.00002 * (a - y)),
        "column": case(without_column),
        "row": case(without_row),
        "zero": case(lambda a, y: 0 * a),
        "across the batch": case(lambda a, y: 2 * (a - y) + a.mean(axis=0)),
        "not a number": case(lambda a, y: np.where(a > a.mean(), np.nan, 2 * (a - y))),
        "a constant more": case(lambda a, y: 2 * (a - y) + 1e-3),
        "the target left out": case(lambda a, y: 2 * a),
        "squared": case(lambda a, y: (a - y) ** 2),
        "that of the absolute error": case(lambda a, y: np.sign(a - y)),
        "clipped": case(lambda a, y: np.clip(2 * (a - y), -0.5, 0.5)),
        "rounded to two digits": case(lambda a, y: np.round(2 * (a - y), 2)),
        "rows in another order": case(lambda a, y: 2 * (a - y)[::-1]),
        "columns in another order": case(lambda a, y: 2 * (a - y)[:, ::-1]),
        "one entry twice": case(one_entry_twice),
        "state": case(with_state),
    }


def test_there_are_19_wrong_derivatives():
    assert len(loss_cases()) == 19


@pytest.mark.parametrize("name", loss_cases())
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("depth", [1, 6])
def test_wrong_derivatives_of_losses_are_found(name, activation, depth):
    net = Network(
        [6, *[12] * depth, 3],
        activation=activation,
        loss=loss_cases()[name],
        dtype="float64",
        seed=1,
    )
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((5, 6)), rng.standard_normal((5, 3))
    assert not check_gradients(net, x, y, entries=12)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_gradient_wrongly_zero_is_found_at_any_scale_of_the_cost(monkeypatch, scale):
    net = Network([3, 4, 2], activation="tanh", dtype="float64", seed=1)
    net.set_layer(1, scale * net.weights[1], scale * np.ones(2))
    x, y = np.eye(3), scale * np.eye(3, 2)
    assert check_gradients(net, x, y), str(check_gradients(net, x, y))
    wrong(monkeypatch, net, lambda gradients: gradients.weights[0].fill(0.0))
    assert not check_gradients(net, x, y)


def test_weights_of_examples_count_in_the_uncertainty():
    net, x, y = deep("wide")
    even = check_gradients(net, x, y, np.ones(4), entries=2)
    alone = check_gradients(net, x, y, [4.0, 0.0, 0.0, 0.0], entries=2)
    single = check_gradients(net, x[:1], y[:1], entries=2)
    # With all weight on one example the noise is nearly that of the example alone.
    a, b, c = (check.arrays[-2].entries[0].uncertainty for check in (even, alone, single))
    assert a != b
    assert b == pytest.approx(c, rel=0.5)


@pytest.mark.parametrize(("name", "examples"), [("docs", 1), ("wide", 8), ("narrow", 500)])
def test_differences_are_no_further_off_than_their_uncertainty(name, examples):
    """Backpropagation is exact to a few units in the last place here, so it is the reference."""
    net, *_ = deep(name)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((examples, net.widths[0]))
    y = 3.0 + rng.standard_normal((examples, net.widths[-1]))
    for array in check_gradients(net, x, y, entries=3).arrays[:6]:
        for entry in array.entries:
            assert abs(entry.gradient - entry.difference) <= entry.uncertainty
