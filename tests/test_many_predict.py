"""Outputs of many networks in one call: the bits of each network's own, whatever the threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from training_runs import absolute, thread_limit

import pybackprop as bp
from pybackprop import _core
from pybackprop.many import _networks

RNG = np.random.default_rng(5)
X = RNG.normal(size=(700, 5))


@pytest.fixture(autouse=True, params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with thread_limit(request.param):
        yield request.param


def random_networks(rng: np.random.Generator) -> bp.Networks:
    """Return networks that differ in seeds, dropout and, some of them, scaling."""
    hidden = [int(width) for width in rng.integers(1, 70, size=rng.integers(0, 4))]
    dtype = str(rng.choice(["float32", "float64"]))
    output, loss = [
        ("softmax", "cross_entropy"),
        ("sigmoid", "binary_cross_entropy"),
        ("identity", absolute),
        ("tanh", "mse"),
    ][int(rng.integers(4))]
    n = int(rng.choice([1, 2, 3, 17]))
    nets = bp.Networks(
        [5, *hidden, int(rng.integers(1, 5)) + (output == "softmax")],
        n=n,
        activation=[str(rng.choice(["relu", "tanh", "gelu", "selu"])) for _ in hidden],
        output=output,
        loss=loss,
        dtype=dtype,
        precision="float32" if dtype == "float64" else str(rng.choice(["float32", "bf16x2"])),
        dropout=rng.random((n, len(hidden))) * (rng.random((n, len(hidden))) < 0.5),
        seed=int(rng.integers(2**62)),
    )
    if rng.random() < 0.3:
        nets.set_scaling(rng.normal(size=(n, 5)), rng.random((n, 5)))
    return nets


def each(nets: bp.Networks, x: Any) -> Any:
    return np.stack([net.predict(x) for net in nets])


@pytest.mark.parametrize("number", range(40))
def test_bits_are_those_of_single_networks(number: int) -> None:
    rng = np.random.default_rng(number)
    nets = random_networks(rng)
    for rows in (0, 1, 2, 5, 33, 64, 300, 700):
        x = X[:rows].astype(rng.choice(["float32", "float64"]))
        x = [x, x[::-1], np.asfortranarray(x), (100 * np.abs(x)).astype(np.uint8)][rows % 4]
        assert np.array_equal(nets.predict(x), each(nets, x)), rows
        out = np.empty((len(nets), rows, nets.widths[-1]), nets.dtype)
        assert nets.predict(x, out) is out
        assert np.array_equal(out, each(nets, x)), rows


def test_networks_follow_training_and_replacement() -> None:
    nets = bp.Networks([5, 30, 2], n=4, seed=0, activation="tanh")
    y = X[:, :2]
    nets.predict(X)
    nets.fit(X, y)
    assert np.array_equal(nets.predict(X), each(nets, X))
    nets[2] = bp.Network([5, 30, 2], seed=9, activation="tanh")
    assert np.array_equal(nets.predict(X), each(nets, X))
    assert np.array_equal(nets.copy().predict(X), nets.predict(X))


@pytest.mark.parametrize(
    ("widths", "n", "rows"),
    [
        ([5, 30_000, 20, 2], 2, 3),  # few rows of networks that are worth more than one thread
        ([5, 30_000, 20, 2], 7, 3),
        ([5, 2000, 2200, 2], 2, 3),  # too large for a packed copy
    ],
)
def test_large_networks(widths: list[int], n: int, rows: int) -> None:
    nets = bp.Networks(widths, n=n, init="zeros", seed=0)
    net = bp.Network(widths, seed=1)
    for at in range(n):
        nets[at] = net
    wanted = net.predict(X[:rows])
    assert all(np.array_equal(outputs, wanted) for outputs in nets.predict(X[:rows]))


@pytest.mark.parametrize("call_rows", [1, 300, 2000])
def test_work_is_cut_into_short_calls(call_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = bp.Networks([5, 8, 2], n=5, seed=0)
    wanted = each(nets, X)
    calls = []
    own = _core.Stack._predict

    def count(self: Any, data: Any, out: Any, begin: int, members: range) -> None:
        calls.append((begin, members))
        own(self, data, out, begin, members)

    monkeypatch.setattr(_core.Stack, "_predict", count)
    nets._members[0]._net.call_rows = call_rows
    assert np.array_equal(nets.predict(X), wanted)
    # At least 256 rows of one network each, in the order of the rows.
    blocks = {1: 3, 300: 3, 2000: 2}[call_rows]
    groups = {1: 5, 300: 5, 2000: 1}[call_rows]
    assert len(calls) == blocks * groups
    assert sorted(calls, key=lambda call: call[0]) == calls


def test_networks_of_two_shapes_are_refused() -> None:
    nets = [bp.Network([5, 8, 2], seed=0), bp.Network([5, 9, 2], seed=0)]
    out = np.empty((2, 3, 2), np.float32)
    with pytest.raises(ValueError, match="argument"):
        _core.Stack([net._net for net in nets]).predict(X[:3], out)
    with pytest.raises(ValueError, match=r"out must have shape \(1, 3, 2\)"):
        _core.Stack([nets[0]._net]).predict(X[:3], out)


def test_a_network_in_use_is_named_and_the_others_are_free_again() -> None:
    net = bp.Network([5, 8, 2], seed=0)
    other = net.copy()
    out = np.empty((3, 3, 2), np.float32)
    with pytest.raises(RuntimeError, match=r"networks\[2\]: this network is in use"):
        _core.Stack([other._net, net._net, net._net]).predict(X[:3], out)
    assert np.array_equal(net.predict(X), other.predict(X))


def test_a_fit_in_another_thread_is_not_disturbed() -> None:
    nets = bp.Networks([5, 8, 2], n=3, seed=0)
    refused = []

    def ask() -> None:
        try:
            nets.predict(X)
        except RuntimeError as error:
            refused.append(str(error))

    def call_from_thread(end: bp.EpochsEnd) -> None:
        assert nets.predict(X).shape == (3, 700, 2)  # the fit's own thread may
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    nets.fit(X, X[:, :2], callbacks=call_from_thread)
    assert len(refused) == 1
    assert "in use" in refused[0]


# ---- means ----


def in_order(values: Any) -> Any:
    """Return the sum over members in float64, added one by one."""
    total = np.zeros(values.shape[1:])
    for each in values:
        total = total + each
    return total


@pytest.mark.parametrize("rows", [1, 2, 50, 700])
@pytest.mark.parametrize(
    ("output", "loss"), [("identity", "mse"), ("softmax", "cross_entropy"), ("sigmoid", "mse")]
)
def test_sums_are_in_the_order_of_the_members(
    rows: int, output: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do they depend on how many rows are looked at together."""
    width = 2 if output == "softmax" else 1
    nets = bp.Networks([5, 12, width], n=40, seed=0, output=output, loss=loss)
    outputs = each(nets, X[:rows]).astype(np.float64)
    mean = in_order(outputs) / 40
    spread = in_order((outputs - mean) ** 2) / 39
    found = nets.uncertainty(X[:rows])
    assert np.array_equal(found.mean, mean)
    assert np.array_equal(found.std, np.sqrt(spread))
    weights = np.arange(40.0)
    shares = (weights / weights.sum())[:, None, None]
    wanted = in_order(outputs * shares).astype(np.float32)
    assert np.array_equal(nets.mean(X[:rows], weights), wanted)
    monkeypatch.setattr(_networks, "_BLOCK", 40 * 3 * width)  # 3 rows at a time
    again = nets.uncertainty(X[:rows])
    for name in ("mean", "std", "entropy", "data_entropy", "mutual_information"):
        one, other = getattr(again, name), getattr(found, name)
        assert (one is None and other is None) or np.array_equal(one, other)
    assert np.array_equal(nets.mean(X[:rows], weights), wanted)


def test_a_member_without_weight_may_have_any_outputs() -> None:
    nets = bp.Networks([5, 8, 2], n=2, seed=0)
    broken = nets[1]
    broken.parameters = np.full(broken.n_parameters, np.nan)
    nets[1] = broken
    assert np.array_equal(nets.mean(X, [1, 0]), nets[0].predict(X))
    assert np.isnan(nets.mean(X)).all()
