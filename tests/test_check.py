"""The gradient check: it agrees with right gradients, finds wrong ones and sets kinks apart."""

import numpy as np
import pytest

from pybackprop import Network, check_gradients

RNG = np.random.default_rng(0)
SMOOTH = ["identity", "sigmoid", "tanh", "softplus", "gelu", "silu", "mish"]
KINKED = ["relu", "leaky_relu", "elu", "selu"]


def examples(n_in=5, n_out=3, batch=7):
    return RNG.standard_normal((batch, n_in)), RNG.standard_normal((batch, n_out))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", SMOOTH + KINKED)
def test_right_gradients_agree(activation, dtype):
    net = Network([5, 9, 6, 3], activation=activation, l2=0.1, dtype=dtype, seed=1)
    result = check_gradients(net, *examples(), entries=None)
    assert result, str(result)
    assert [array.name for array in result.arrays] == ["W1", "b1", "W2", "b2", "W3", "b3", "X"]
    assert [array.size for array in result.arrays] == [45, 9, 54, 6, 18, 3, 35]
    assert all(array.checked + array.kinks == array.size for array in result.arrays)
    assert result.error < (1e-7 if dtype == "float64" else 2e-5)


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("mse", "tanh"),
        ("squared_error", "identity"),
        ("mae", "identity"),
        ("huber", "identity"),
        ("cross_entropy", "softmax"),
        ("binary_cross_entropy", "sigmoid"),
    ],
)
def test_right_gradients_of_every_loss_agree(loss, output):
    net = Network([5, 8, 3], activation="tanh", loss=loss, output=output, dtype="float64", seed=1)
    x, y = examples()
    if loss == "cross_entropy":
        y = np.array([0, 1, 2, 0, 1, 2, 0])
    elif loss == "binary_cross_entropy":
        y = (y > 0).astype(float)
    weight = RNG.uniform(0.5, 2.0, len(x))
    result = check_gradients(net, x, y, weight)
    assert result, str(result)


def test_custom_loss_and_raw_inputs():
    def quartic(a, y):
        return ((a - y) ** 4).sum(axis=1), 4 * (a - y) ** 3

    net = Network([5, 8, 3], activation="tanh", loss=quartic, dtype="float64", seed=1)
    net.set_scaling(np.full(5, 100.0), np.full(5, 0.1))
    x, y = examples()
    result = check_gradients(net, 100.0 + 10.0 * x, y)
    assert result, str(result)


@pytest.mark.parametrize(("array", "entry"), [("W1", 3), ("b1", 2), ("W2", 8), ("b2", 1)])
def test_one_wrong_entry_is_found(monkeypatch, array, entry):
    net = Network([4, 5, 2], activation="tanh", dtype="float64", seed=2)
    x, y = examples(4, 2)
    right = net.backprop

    def wrong(*args):
        gradients = right(*args)
        block = (gradients.weights if array[0] == "W" else gradients.biases)[int(array[1]) - 1]
        block.reshape(-1)[entry] += 1e-4 * np.abs(block).max()
        return gradients

    monkeypatch.setattr(net, "backprop", wrong)
    result = check_gradients(net, x, y, entries=None)
    assert not result
    bad = [check for check in result.arrays if check.error > result.tolerance]
    assert [check.name for check in bad] == [array]
    shape = {"W1": (5, 4), "b1": (5,), "W2": (2, 5), "b2": (2,)}[array]
    assert np.ravel_multi_index(bad[0].index, shape) == entry
    assert bad[0].error == pytest.approx(1e-4, rel=1e-3)
    assert "DISAGREE" in str(result)


def test_gradients_that_are_not_numbers_disagree(monkeypatch):
    net = Network([4, 5, 2], dtype="float64", seed=2)
    x, y = examples(4, 2)
    gradients = net.backprop(x, y)
    gradients.biases[0][1] = np.nan
    monkeypatch.setattr(net, "backprop", lambda *args: gradients)
    result = check_gradients(net, x, y)
    assert not result
    assert np.isnan(result.error)


@pytest.mark.parametrize("activation", KINKED)
def test_entries_at_a_kink_are_counted_apart(activation):
    net = Network([2, 3, 1], activation=activation, dtype="float64", seed=3)
    # The second unit of the hidden layer sits on the corner for every example.
    w = net.weights[0].copy()
    w[1] = 0.0
    net.set_layer(0, w, np.array([0.3, 0.0, -0.2]))
    result = check_gradients(net, RNG.uniform(0.5, 1.0, (4, 2)), RNG.standard_normal((4, 1)))
    counts = {array.name: array.kinks for array in result.arrays}
    assert counts == {"W1": 2, "b1": 1, "W2": 0, "b2": 0, "X": 0}
    assert result, str(result)


@pytest.mark.parametrize(("loss", "offset"), [("mae", 0.0), ("huber", 1.0), ("huber", -1.0)])
def test_corners_of_losses_are_counted_apart(loss, offset):
    net = Network([2, 1], loss=loss, dtype="float64", seed=3)
    x = RNG.uniform(0.5, 1.0, (4, 2))
    y = net.predict(x) - offset
    y[1:] += 10.0
    result = check_gradients(net, x, y)
    counts = {array.name: array.kinks for array in result.arrays}
    assert counts == {"W1": 2, "b1": 1, "X": 2}
    assert not any(array.checked for array in result.arrays[:2])


def test_zero_weights_under_an_l1_penalty_are_counted_apart():
    net = Network([2, 3, 1], activation="tanh", l1=0.1, dtype="float64", seed=3)
    w = net.weights[0].copy()
    w[2, 1] = 0.0
    net.set_layer(0, w, np.zeros(3))
    result = check_gradients(net, *examples(2, 1))
    assert [array.kinks for array in result.arrays] == [1, 0, 0, 0, 0]
    assert result, str(result)


def test_nothing_compared_is_not_agreement():
    net = Network([1, 1], loss="mae", dtype="float64", seed=3)
    x = np.array([[1.0]])
    result = check_gradients(net, x, net.predict(x))
    assert not any(array.checked for array in result.arrays)
    assert not result
    assert "NOTHING COMPARED" in str(result)


def test_entries_are_drawn_from_the_seed_and_the_net_is_left_alone():
    net = Network([20, 30, 4], seed=3)
    before = net.parameters.tobytes()
    x, y = examples(20, 4)
    one, again = (check_gradients(net, x, y, entries=11, seed=5) for _ in range(2))
    assert one == again
    assert [array.checked + array.kinks for array in one.arrays] == [11, 11, 11, 4, 11]
    assert net.parameters.tobytes() == before


def test_table_lists_both_derivatives_and_marks_kinks():
    net = Network([2, 3, 1], dtype="float64", seed=3)
    w = net.weights[0].copy()
    w[1] = 0.0
    net.set_layer(0, w, np.array([0.3, 0.0, -0.2]))
    x, y = RNG.uniform(0.5, 1.0, (4, 2)), RNG.standard_normal((4, 1))
    result = check_gradients(net, x, y)
    lines = result.table("W1", rows=None).splitlines()
    assert lines[0].split() == ["entry", "backpropagation", "difference", "error"]
    assert [line.split("]")[0] for line in lines[1:]] == [
        f"W1[{i}, {j}" for i in range(3) for j in range(2)
    ]
    gradient = net.backprop(x, y).weights[0].ravel()
    for at, line in enumerate(lines[1:]):
        numbers = line.split("]")[1].split()
        assert float(numbers[0]) == pytest.approx(gradient[at], rel=1e-8)
        if at in (2, 3):
            assert numbers[1:] == ["at", "a", "kink"]
        else:
            assert float(numbers[1]) == pytest.approx(gradient[at], rel=1e-6, abs=1e-9)
            assert float(numbers[2]) < 1e-6
    assert result.table(rows=2).splitlines()[3] == "W1: 4 more"
    with pytest.raises(ValueError, match="name must be one of W1, b1, W2, b2, X"):
        result.table("W3")
    with pytest.raises(ValueError, match="rows"):
        result.table(rows=0)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"entries": 0}, ValueError, "entries"),
        ({"entries": 1.5}, TypeError, "entries"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_arguments_are_named(options, error, word):
    net = Network([5, 3], seed=0)
    with pytest.raises(error, match=word):
        check_gradients(net, *examples(), **options)
    with pytest.raises(ValueError, match="X must have shape"):
        check_gradients(net, *examples(4))
