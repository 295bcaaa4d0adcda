"""What several networks say together: means, uncertainty, selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.many import _networks

RNG = np.random.default_rng(9)
X = RNG.normal(size=(90, 4))
LABELS = np.abs(X).argmax(axis=1) % 3
Y = np.sin(X[:, :2])


def classifiers(n: int = 5, **settings: Any) -> bp.Networks:
    nets = bp.Networks([4, 12, 3], n=n, output="softmax", loss="cross_entropy", seed=0, **settings)
    nets.fit(X, LABELS, epochs=15, optimizer=bp.Adam(0.01))
    return nets


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(-1)


def test_entropies_of_classes() -> None:
    nets = classifiers()
    p = nets.predict(X).astype(np.float64)
    found = nets.uncertainty(X)
    np.testing.assert_allclose(found.mean, p.mean(0))
    np.testing.assert_allclose(found.std, p.std(0, ddof=1))
    np.testing.assert_allclose(found.entropy, entropy(p.mean(0)))
    np.testing.assert_allclose(found.data_entropy, entropy(p).mean(0))
    assert found.mutual_information is not None
    assert (found.mutual_information > 0).all()
    np.testing.assert_allclose(
        found.mutual_information, entropy(p.mean(0)) - entropy(p).mean(0), atol=1e-12
    )


def test_equal_members_know_nothing_of_each_other() -> None:
    nets = classifiers(4).take([2, 2, 2])
    found = nets.uncertainty(X)
    assert found.mutual_information is not None
    assert np.abs(found.mutual_information).max() < 1e-12
    assert np.abs(found.std).max() < 1e-12
    one = nets.take([0]).uncertainty(X)
    assert not one.std.any()


def test_certain_probabilities_have_no_entropy() -> None:
    nets = classifiers(2)
    for at in range(2):
        one = nets[at]
        one.set_layer(1, np.zeros((3, 12)), [1e4, 0, 0])
        nets[at] = one
    found = nets.uncertainty(X)
    assert found.entropy is not None
    assert not found.entropy.any()


def test_binary_outputs_have_entropies_of_their_own() -> None:
    nets = bp.Networks([4, 3], n=3, output="sigmoid", loss="binary_cross_entropy", seed=0)
    p = nets.predict(X).astype(np.float64)
    found = nets.uncertainty(X)
    both = np.stack([p.mean(0), 1 - p.mean(0)], -1)
    assert found.entropy is not None
    assert found.entropy.shape == (90, 3)
    np.testing.assert_allclose(found.entropy, entropy(both))


def test_numbers_have_a_mean_and_a_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = bp.Networks([4, 9, 2], n=6, seed=0)
    monkeypatch.setattr(_networks, "_BLOCK", 100)  # several blocks of rows
    p = nets.predict(X).astype(np.float64)
    found = nets.uncertainty(X)
    np.testing.assert_allclose(found.mean, p.mean(0))
    np.testing.assert_allclose(found.std, p.std(0, ddof=1))
    assert found.entropy is None
    np.testing.assert_allclose(nets.mean(X), p.mean(0), rtol=1e-6)
    assert nets.mean(X).dtype == np.float32
    weights = [0, 1, 0, 3, 0, 0]
    np.testing.assert_allclose(nets.mean(X, weights), 0.25 * p[1] + 0.75 * p[3], rtol=1e-5)


def test_wrong_weights_and_outputs_are_refused() -> None:
    nets = bp.Networks([4, 2], n=2, seed=0)
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="weights must"):
            nets.mean(X, weights)
    with pytest.raises(TypeError, match="out must be an array of float32"):
        nets.predict(X, np.empty((2, 90, 2)))
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        nets.predict(X, np.empty((2, 90, 3), np.float32))
    out = np.empty((2, 90, 2), np.float32)
    assert nets.predict(X, out) is out
    assert nets(X[:0]).shape == (2, 0, 2)
    with pytest.raises(ValueError, match="members must name at least one"):
        nets.take([])


@pytest.mark.parametrize("loss", ["mse", "squared_error", "mae", "huber", "own"])
def test_selection_lowers_the_cost_of_numbers(loss: str) -> None:
    def own(a: Any, y: Any) -> Any:
        return ((a - y) ** 2).mean(1), 2 * (a - y) / a.shape[1]

    nets = bp.Networks([4, 9, 2], n=6, seed=0, loss=own if loss == "own" else loss)
    nets.fit(X, Y, epochs=10, optimizer=bp.Adam.each(lr=[0.02, 0.02, 0, 0, 0.01, 0.02]))
    check_selection(nets, Y)


def test_selection_lowers_the_cost_of_classes() -> None:
    check_selection(classifiers(), LABELS)
    nets = classifiers()
    one_hot = np.eye(3)[LABELS]
    assert np.array_equal(nets.select(X, one_hot), nets.select(X, LABELS))
    binary = bp.Networks([4, 9, 3], n=4, output="sigmoid", loss="binary_cross_entropy", seed=0)
    binary.fit(X, one_hot, epochs=10)
    check_selection(binary, one_hot)


def check_selection(nets: bp.Networks, y: Any) -> None:
    """The first member that is added is the best, and more members are no worse."""
    first = nets.select(X, y, steps=1)
    assert first.sum() == 1
    assert first.argmax() == nets.cost(X, y).argmin()
    weights = nets.select(X, y, steps=25)
    assert weights.sum() == pytest.approx(1)
    target = np.eye(3)[y] if np.ndim(y) == 1 else y
    best = nets.predict(X, member=int(first.argmax()))
    assert ((nets.mean(X, weights) - target) ** 2).mean() < 1.05 * ((best - target) ** 2).mean()
