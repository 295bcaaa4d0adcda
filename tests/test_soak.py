"""The soak's model held to the oracle, a short soak, and proof that it notices differences."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import soak
from footprint import Sample, assert_flat
from reference import ACTIVATIONS, Reference
from shadow import Shadow, assert_within, exact
from shadow_updates import Rule
from soak_subjects import random_optimizer

import pybackprop as bp

RNG = np.random.default_rng(3)

ENDS = [
    *((loss, output) for loss in ("mse", "squared_error") for output in ("identity", "softmax")),
    ("mae", "tanh"),
    ("huber", "softplus"),
    ("cross_entropy", "softmax"),
    ("binary_cross_entropy", "sigmoid"),
]


def assert_close(got: Any, want: Any, what: str) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14, err_msg=what)


@pytest.mark.parametrize(("loss", "output"), ENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_model_is_the_reference(activation: str, loss: str, output: str) -> None:
    widths, batch = [3, 4, 5, 2], 6
    options: dict[str, Any] = {"l1": 0.01, "l2": 0.1, "dropout": [0.25, 0.5]}
    weights = [RNG.normal(size=(n_out, n_in)) for n_in, n_out in pairwise(widths)]
    biases = [RNG.normal(size=n) for n in widths[1:]]
    activations = [activation, activation, output]
    model = Shadow(weights, biases, activations, loss, **options, dtype=np.float64)
    oracle = Reference(
        [w.tolist() for w in weights], [b.tolist() for b in biases], activations, loss, **options
    )
    x, weight = RNG.normal(size=(batch, 3)), RNG.uniform(0.1, 2, batch)
    y = RNG.uniform(0.1, 1, (batch, 2))
    y /= y.sum(axis=1, keepdims=True)
    masks = [RNG.random((batch, n)) < 0.7 for n in widths[1:-1]]
    got = model.backprop(x, y, weight, masks)
    lists = [m.tolist() for m in masks]
    want = oracle.backprop(x.tolist(), y.tolist(), weight.tolist(), lists)
    assert_close(got.cost.at, want.cost, "cost")
    assert_close(got.flat.at, want.flat, "gradient")
    assert_close(got.inputs.at, want.inputs, "inputs")
    for values in (got.cost, got.flat, got.inputs):
        # A bound of the size of rounding, not of the result.
        assert 0 <= values.error.max() < 1e-9 * (1 + np.abs(values.at).max())


def test_bounds_notice_small_differences() -> None:
    """A thousandth of a weight is seen; rounding is not."""
    net = bp.Network([5, 8, 3], activation="tanh", seed=1)
    x, y = RNG.normal(size=(20, 5)), RNG.normal(size=(20, 3))
    want = Shadow.of(net).backprop(x, y)
    got = net.backprop(x, y)
    assert_within(got.flat, want.flat, "gradient")
    assert_within(net.predict(x), want.a[-1], "outputs")
    values = net.parameters.copy()
    values[3] *= 1.001
    net.parameters = values
    with pytest.raises(AssertionError, match="gradient"):
        assert_within(net.backprop(x, y).flat, want.flat, "gradient")
    with pytest.raises(AssertionError, match="nothing"):
        assert_within(np.array([np.nan]), exact([0.0]), "nothing")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_updates_are_those_of_the_optimizers(dtype: str) -> None:
    for kind in range(60):
        rng = np.random.default_rng(kind)
        optimizer = random_optimizer(rng)
        theta = rng.normal(size=50).astype(dtype)
        for _ in range(4):
            before, rate = optimizer.state_dict(), optimizer._rate()
            gradient = (rng.normal(size=50) * 10.0 ** rng.integers(-4, 1, 50)).astype(dtype)
            rule = Rule(before, rate, theta.dtype)
            want = rule.step(theta, gradient)
            optimizer.update(theta, gradient)
            assert_within(theta, want, repr(optimizer))
            state = optimizer.state_dict()["state"]
            assert rule.after.keys() <= state.keys()
            for key, value in rule.after.items():
                assert_within(state[key], value, f"{optimizer!r}: {key}")
            # The bound is one of rounding, not of the size of a step.
            assert np.median(want.error) < 1e-2 * rate


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and interval timers")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_short_soak(capsys: pytest.CaptureFixture[str]) -> None:
    threads = bp.get_threads()
    try:
        world = soak.soak(seed=4, seconds=60, operations=120)
    finally:
        bp.set_threads(threads)
    assert world.steps > 50
    assert len(world.counts) > 12
    assert "0 differences" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and interval timers")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_soak_tells_how_to_see_a_difference_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, calls = bp.Network.step, 0

    def step(self: bp.Network, *arguments: Any) -> float:
        nonlocal calls
        calls += 1
        cost = original(self, *arguments)
        if calls >= 40:
            values = self.parameters.copy()
            values[-1] += 1e-4
            self.parameters = values
        return cost

    monkeypatch.setattr(bp.Network, "step", step)
    threads = bp.get_threads()
    try:
        with pytest.raises(AssertionError, match=r"step|fit|epoch|trained on"):
            soak.soak(seed=4, seconds=60, operations=400)
    finally:
        bp.set_threads(threads)
    out = capsys.readouterr().out
    assert "seed 4; the last operations" in out
    assert "again: python tests/soak.py --seed 4 --operations" in out


def test_growing_memory_fails() -> None:
    flat = [Sample(50 << 20, 5, 2) for i in range(40)]
    assert "memory 50.0 MB" in assert_flat(flat)
    growing = [Sample((50 + i) << 20, 5, 2) for i in range(40)]
    with pytest.raises(AssertionError, match="memory grows"):
        assert_flat(growing)
    leaking = [Sample(50 << 20, i, 2) for i in range(40)]
    with pytest.raises(AssertionError, match="open files"):
        assert_flat(leaking)
