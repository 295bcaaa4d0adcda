"""Training on data larger than memory: mapped files, and batches that come one by one."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(50, 4)), RNG.normal(size=(50, 2))


def network(**settings: Any) -> bp.Network:
    return bp.Network(**{"widths": [4, 6, 2], "activation": "tanh", "seed": 3, **settings})


def pieces(size: int = 7) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for begin in range(0, len(X), size):
        yield X[begin : begin + size], Y[begin : begin + size]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stream_gives_the_bits_of_a_fit_in_order(dtype: str) -> None:
    settings = {"dtype": dtype, "dropout": 0.2, "l2": 0.1}
    whole = network(**settings)
    history = whole.fit(X, Y, epochs=3, batch_size=7, shuffle=False, validation=(X, Y))
    for batches in (pieces, list(pieces())):
        net = network(**settings)
        streamed = net.fit_stream(batches, epochs=3, validation=(X, Y))
        np.testing.assert_array_equal(net.parameters, whole.parameters)
        np.testing.assert_allclose(streamed.cost, history.cost, rtol=1e-6)
        assert streamed.val_cost == history.val_cost
        assert len(streamed.seconds) == 3
    net = network(**settings)
    net.fit_stream(itertools.chain(pieces(), pieces(), pieces()))
    np.testing.assert_array_equal(net.parameters, whole.parameters)


def test_epochs_of_an_endless_stream() -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield from pieces()

    optimizer = bp.Adam(bp.schedules.Cosine(0.1, 20))
    seen: list[Any] = []
    history = network().fit_stream(
        endless(), optimizer=optimizer, epochs=4, steps=5, callbacks=seen.append
    )
    assert (len(history), optimizer.steps, len(seen)) == (4, 20, 4)
    assert [figures.cost for figures in seen] == history.cost
    stopped = network().fit_stream(endless(), epochs=4, steps=5, callbacks=lambda _: True)
    assert (len(stopped), stopped.stopped_early) == (1, True)
    ended = network().fit_stream(pieces(), epochs=4, steps=5)
    assert len(ended) == 2


def test_weights_travel_with_batches() -> None:
    weights = RNG.uniform(1, 2, 50)
    whole, net = network(), network()
    whole.step(X, Y, bp.SGD(0.1), weights)
    net.fit_stream([(X, Y, weights)], optimizer=bp.SGD(0.1))
    np.testing.assert_array_equal(net.parameters, whole.parameters)


def test_cost_of_an_epoch_is_weighted_like_its_batches() -> None:
    """A batch counts by the sum of its weights, or by its rows where it has none."""
    weights = RNG.uniform(0.1, 9, 50)
    batches = [(X[:20], Y[:20], weights[:20]), (X[20:23], Y[20:23]), (X[23:], Y[23:], weights[23:])]
    together = np.concatenate([weights[:20], np.ones(3), weights[23:]])
    net = network(dtype="float64")
    wanted = net.cost(X, Y, together)
    history = net.fit_stream(batches, optimizer=bp.SGD(lr=0.0), epochs=2)
    assert history.cost == pytest.approx([wanted, wanted], rel=1e-12)
    assert abs(np.mean([net.cost(*batch) for batch in batches]) - wanted) > 1e-3


def test_bad_batches_are_named_and_what_was_before_remains() -> None:
    good = (X[:7], Y[:7])
    once = network()
    once.fit_stream([good], optimizer=bp.SGD(0.1))
    for bad, error, match in (
        (X, TypeError, "epoch 0, batch 1: batches must be pairs"),
        ((X, Y[:3]), ValueError, r"epoch 0, batch 1: y must have shape \(50, 2\)"),
        ((X[:, :2], Y), ValueError, r"epoch 0, batch 1: X must have shape"),
        ((X * np.nan, Y), FloatingPointError, "not finite in epoch 0, batch 1"),
    ):
        net = network()
        with pytest.raises(error, match=match):
            net.fit_stream([good, bad], optimizer=bp.SGD(0.1))
        np.testing.assert_array_equal(net.parameters, once.parameters)


def test_arguments() -> None:
    net = network()
    for options, error, match in (
        ({"batches": 3}, TypeError, "batches must be an iterable"),
        ({"batches": []}, ValueError, "at least one batch"),
        ({"batches": pieces(), "epochs": 2}, ValueError, "not an iterator"),
        ({"batches": pieces, "steps": 0}, ValueError, "steps must be >= 1"),
        ({"batches": pieces, "validation": 0.2}, TypeError, "validation must be a pair"),
        ({"batches": pieces, "optimizer": 1}, TypeError, "optimizer must be"),
    ):
        with pytest.raises(error, match=match):
            net.fit_stream(**options)


# The data limit of the process is set so that a copy of the 200 MB would be refused.
BOUNDED = """
import resource, sys
import numpy as np
import pybackprop as bp

def status(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024

kind, path, dtype = sys.argv[1:]
bp.set_threads(1)
x = np.memmap(path, dtype, "r", shape=(200_000_000 // 1000 // np.dtype(dtype).itemsize, 1000))
net = bp.Network([1000, 8, 1], seed=0)
y = np.zeros((len(x), 1), np.float32)
net.fit(x[:512], y[:512], batch_size=256)
before = status("RssAnon")
limit = status("VmData") + 48 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
peak = 0

def batches():
    global peak
    for begin in range(0, len(x), 256):
        yield x[begin : begin + 256], y[begin : begin + 256]
        if begin % 8192 == 0:
            peak = max(peak, status("RssAnon"))

def generated():
    for number in range(200):
        yield np.random.default_rng(number).random((256, 1000), np.float32), y[:256]

if kind == "memmap":
    net.fit(x, y, batch_size=256)
elif kind == "slices":
    net.fit_stream(batches)
else:
    net.fit_stream(generated())
try:
    np.ones(200_000_000, np.uint8)
except MemoryError:
    print((max(peak, status("RssAnon")) - before) / 2**20)
"""


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("memmap", "float32"), ("memmap", "uint8"), ("slices", "float32"), ("generator", "float32")],
)
def test_memory_is_bounded_by_the_batch(kind: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with open(path, "wb") as file:
        file.truncate(200_000_000)
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, kind, str(path), dtype],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    # Besides a batch of 1 MB: the order of the rows, and what the allocator keeps.
    assert float(done.stdout) < 24


def test_an_error_of_a_loss_function_stays_what_it_is() -> None:
    """Also one that is not made from a text alone."""

    def loss(a: np.ndarray, y: np.ndarray) -> Any:
        return b"\xff".decode()

    with pytest.raises(UnicodeDecodeError):
        network(loss=loss).fit_stream([(X, Y)])
