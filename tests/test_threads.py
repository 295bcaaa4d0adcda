"""Threads of the user's: one network in many, many networks at once, machines that are busy."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from training_runs import helpers_started, thread_limit

import pybackprop as bp

RNG = np.random.default_rng(23)
THREADS = 8
X, Y = RNG.standard_normal((600, 20)), RNG.standard_normal((600, 3))
X32, Y32 = X.astype(np.float32), Y.astype(np.float32)


def network(seed: int = 0, **settings: Any) -> bp.Network:
    return bp.Network([20, 40, 30, 3], seed=seed, **{"dropout": 0.1, **settings})


def hammer(calls: dict[str, Callable[[], bool]], seconds: float) -> Counter[str]:
    """Let eight threads make the calls in turn; count those admitted, refused and wrong.

    Each call returns whether its result was right. Anything raised but RuntimeError is raised here.
    """
    counts: Counter[str] = Counter()
    lock, stop = threading.Lock(), time.perf_counter() + seconds
    ready = threading.Barrier(THREADS)

    def work(number: int) -> None:
        mine: Counter[str] = Counter()
        names = list(calls)
        ready.wait(30)
        turn = number
        while time.perf_counter() < stop:
            name = names[turn % len(names)]
            turn += 1
            try:
                mine["right" if calls[name]() else f"wrong {name}"] += 1
            except RuntimeError as error:
                known = "in use in another call" in str(error)
                mine["refused" if known else f"{name}: {error}"] += 1
        with lock:
            counts.update(mine)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, number) for number in range(THREADS)]:
            done.result()
    return counts


def same(a: Any, b: Any) -> bool:
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def reading_calls(net: bp.Network) -> dict[str, Callable[[], bool]]:
    """Every call that does not change the network, with what it must return."""
    cost, gradients, trace = net.cost(X, Y), net.backprop(X, Y).flat, net.trace(X).a[-1]
    masks, counters = net.dropout_masks(50)[0], net._net.get_counters()
    out = {name: getattr(net, name)(X[:9]) for name in ("jacobian", "laplacian")}
    outputs, outputs32 = net.predict(X), net.predict(X32)
    product = net.hvp(X, Y, np.ones(net.n_parameters))
    parameters = net.parameters.copy()
    return {
        "predict": lambda: same(net.predict(X), outputs),
        "predict without conversion": lambda: same(net.predict(X32), outputs32),
        "cost": lambda: net.cost(X, Y) == cost,
        "backprop": lambda: same(net.backprop(X, Y).flat, gradients),
        "trace": lambda: same(net.trace(X).a[-1], trace),
        "dropout_masks": lambda: same(net.dropout_masks(50)[0], masks),
        "counters": lambda: net._net.get_counters() == counters,
        "jacobian": lambda: same(net.jacobian(X[:9]), out["jacobian"]),
        "laplacian": lambda: same(net.laplacian(X[:9]), out["laplacian"]),
        "hvp": lambda: same(net.hvp(X, Y, np.ones(net.n_parameters)), product),
        "copy": lambda: same(net.copy().parameters, parameters),
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_eight_threads_in_one_network_are_right_or_refused(threads: int) -> None:
    net = network()
    net.fit(X, Y)
    with thread_limit(threads):
        counts = hammer(reading_calls(net), 0.7)
    print(dict(counts))
    assert counts.keys() <= {"right", "refused"}
    assert counts["right"] > 0
    assert counts["refused"] > 0


def test_training_in_eight_threads_counts_every_admitted_step() -> None:
    """Steps that were admitted are those that were done, one after another."""
    net, optimizer = network(), bp.SGD(lr=0.0)
    counts = hammer({"step": lambda: np.isfinite(net.step(X32, Y32, optimizer))}, 0.4)
    assert set(counts) <= {"right", "refused"}
    assert optimizer.steps == net._net.get_counters()[0] == counts["right"]
    net.fit(X, Y)


def test_copies_are_of_one_moment() -> None:
    """All parameters are equal after every write: a copy of two moments would tell."""
    net = bp.Network([300, 300, 1], seed=0)
    stop = threading.Event()
    values = [np.full(net.n_parameters, float(value)) for value in range(2)]
    net.parameters = values[0]

    def write() -> None:
        while not stop.is_set():
            for value in values:
                try:
                    net.parameters = value
                except RuntimeError:
                    time.sleep(0)

    thread = threading.Thread(target=write)
    thread.start()
    taken = 0
    try:
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            for take in (net.copy, lambda: copy.deepcopy(net), lambda: pickle.dumps(net)):
                try:
                    made = take()
                except RuntimeError:
                    continue
                twin = made if isinstance(made, bp.Network) else pickle.loads(made)
                assert np.ptp(twin.parameters) == 0
                taken += 1
    finally:
        stop.set()
        thread.join()
    assert taken > 0


# ---- many networks ----


def train(seed: int) -> bytes:
    net = network(seed, precision="float32")
    net.fit(X, Y, epochs=3, batch_size=64)
    return net.parameters.tobytes() + net.predict(X).tobytes()


def train_in_parts(seed: int) -> bytes:
    """Halves of a batch are so much work that two threads take one each."""
    net = bp.Network([20, 200, 200, 3], seed=seed, dropout=0.1)
    net.fit(X, Y, epochs=1, batch_size=64)
    return net.parameters.tobytes() + net.predict(X).tobytes()


def larger(seed: int) -> bytes:
    """A network whose steps are shared among threads."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((512, 70)), rng.standard_normal((512, 3))
    net = bp.Network([70, 260, 260, 3], seed=seed)
    net.fit(x, y, epochs=2, batch_size=128)
    return net.parameters.tobytes() + net.predict(x).tobytes()


Training = Callable[[int], bytes]
TEAMS = [train_in_parts, larger]


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs the threads of /proc")
@pytest.mark.parametrize("train", TEAMS)
def test_two_threads_train_the_larger_networks(train: Training) -> None:
    assert helpers_started(lambda: train(0)) == 1


@pytest.mark.parametrize("train", [train, *TEAMS])
@pytest.mark.parametrize("threads", [1, 2])
def test_eight_networks_in_eight_threads_give_the_bits_of_one(
    threads: int, train: Training
) -> None:
    with thread_limit(1):
        wanted = [train(seed) for seed in range(THREADS)]
    with thread_limit(threads), ThreadPoolExecutor(THREADS) as pool:
        for _ in range(3):
            assert list(pool.map(train, range(THREADS))) == wanted


KINDS = [("float64", "float32"), *(("float32", each) for each in ("float32", "bf16", "bf16x3"))]


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
def test_layers_updated_in_tiles_are_right_to_the_bit(dtype: str, precision: str) -> None:
    """Layers whose gradient is formed tile by tile, by any number of threads."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((256 + 33, 2100)).astype(dtype)  # two tiles in most types
    y = rng.standard_normal((len(x), 700)).astype(dtype)
    many_x, many_y = np.tile(x, (5, 1)), np.tile(y, (5, 1))  # tiles of bfloat16 depend on the rows
    settings: dict[str, Any] = {"dtype": dtype, "precision": precision, "seed": 1}

    def train(threads: list[int]) -> np.ndarray[Any, Any]:
        net = bp.Network(
            [2100, 300, 130, 700], activation=["tanh", "gelu"], dropout=0.1, **settings
        )
        rule = bp.SGD(lr=0.1, momentum=0.5)
        for count in threads:
            with thread_limit(count):
                net.fit(x, y, epochs=1, batch_size=128, optimizer=rule)
                net.step(x[:40], y[:40], rule)
                net.step(many_x, many_y, rule)
                net.backprop(x[:7], y[:7])
        return np.array(net.parameters)

    wanted = train([1, 1, 1, 1])
    for threads in ([2, 2, 2, 2], [3, 1, 8, 2], [8, 2, 1, 3]):
        np.testing.assert_array_equal(train(threads), wanted)

    # The update is that of a gradient which is formed whole.
    for rows in (x, y), (many_x, many_y):
        net = bp.Network([2100, 300, 130, 700], **settings)
        before, gradient = np.array(net.parameters), net.backprop(*rows).flat
        net.step(*rows, bp.SGD(lr=0.1))
        np.testing.assert_allclose(net.parameters, before - 0.1 * gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
@pytest.mark.parametrize(("n_in", "rows"), [(1056, 512), (2080, 256), (2112, 1100), (3201, 1100)])
def test_tiles_with_padded_rows_are_updated_in_their_own_columns(
    dtype: str, precision: str, n_in: int, rows: int
) -> None:
    """Widths that are also the padded stride of a narrower tile; tiles that differ in width."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((rows, n_in)).astype(dtype)
    y = rng.standard_normal((rows, 260)).astype(dtype)
    net = bp.Network([n_in, 260, 260], dtype=dtype, precision=precision, seed=1)
    before, gradient = np.array(net.parameters), net.backprop(x, y).flat
    net.step(x, y, bp.SGD(lr=0.1))
    np.testing.assert_allclose(net.parameters, before - 0.1 * gradient, rtol=1e-5, atol=1e-7)


def test_threads_that_multiply_at_once_have_scratch_of_their_own() -> None:
    """Products of growing and shrinking sizes, some beyond what is kept between calls."""
    rng = np.random.default_rng(6)
    sizes = [(64, 64), (700, 700), (300, 300), (64, 300_000), (128, 128)]
    factors = [rng.standard_normal(size).astype(np.float32) for size in sizes]
    cases = [(a, a.T, precision) for a in factors for precision in ("float32", "bf16")]
    wanted = [bp.kernels.matmul(a, b, precision=precision) for a, b, precision in cases]

    def multiply(first: int) -> bool:
        order = [(first + i) % len(cases) for i in range(2 * len(cases))]
        made = (bp.kernels.matmul(a, b, precision=p) for a, b, p in (cases[i] for i in order))
        return all(np.array_equal(c, wanted[i]) for c, i in zip(made, order, strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(multiply, range(4)))


def test_trials_of_other_numbers_of_threads_change_no_bit() -> None:
    """Long enough for training to try one thread in between, with a short batch in each epoch."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4 * 256 + 40, 64)).astype(np.float32)
    y = rng.integers(0, 7, len(x))

    def train(threads: int) -> list[np.ndarray[Any, Any]]:
        net = bp.Network([64, 160, 160, 7], output="softmax", loss="cross_entropy", seed=0)
        rate = bp.schedules.Cosine(1e-3, 6000)
        with thread_limit(threads):
            net.fit(x, y, epochs=1200, batch_size=256, optimizer=bp.Adam(rate), shuffle=True)
        return [*net.weights, *net.biases]

    assert all(map(np.array_equal, train(2), train(1)))


@pytest.mark.parametrize("train", [train, *TEAMS])
def test_thread_limit_changed_during_training_changes_no_bit(train: Training) -> None:
    with thread_limit(1):
        wanted = [train(seed) for seed in range(3)]
    stop = threading.Event()

    def change() -> None:
        limit = 1
        while not stop.wait(1e-3):
            limit = limit % 4 + 1
            bp.set_threads(limit)

    with thread_limit(2), ThreadPoolExecutor(4) as pool:
        changing = pool.submit(change)
        try:
            for _ in range(5):
                assert list(pool.map(train, range(3))) == wanted
        finally:
            stop.set()
        changing.result()


# ---- a busy machine ----


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Other processes that want every CPU."""
    code = "print(1, flush=True)\nwhile True: pass"
    burning = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    try:
        for process in burning:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in burning:
            process.kill()
            process.communicate()


def repeat_under_load(times: int) -> None:
    with thread_limit(1):
        wanted = [larger(seed) for seed in range(3)]
    with thread_limit(2), load(2):
        for _ in range(times):
            assert [larger(seed) for seed in range(3)] == wanted


def test_load_changes_no_bit() -> None:
    repeat_under_load(2)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_load_changes_no_bit_in_many_runs() -> None:
    repeat_under_load(100)
