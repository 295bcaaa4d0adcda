"""Minibatch training: figures, validation, patience, callbacks, interruption and determinism."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import _core
from pybackprop.training import progress

RNG = np.random.default_rng(8)
X = RNG.normal(size=(90, 4))
Y = np.sin(X[:, :2]) + 0.1 * RNG.normal(size=(90, 2))


def network(**settings: Any) -> bp.Network:
    return bp.Network(**{"widths": [4, 16, 2], "activation": "tanh", "seed": 4, **settings})


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return a classification problem as uint8."""
    labels = np.arange(600) % 5
    x = RNG.integers(0, 120, size=(600, 12)) + 100 * (np.arange(12) % 5 == labels[:, None])
    return x.astype(np.uint8), labels


# ---- what training does ----


def test_learns_from_uint8() -> None:
    x, labels = digits()
    net = bp.Network([12, 24, 5], output="softmax", loss="cross_entropy", seed=0)
    net.set_scaling(x.mean(0), 1 / x.std(0))
    history = net.fit(x[:500], labels[:500], epochs=30, optimizer=bp.Adam(lr=0.01))
    assert history.cost[-1] < 0.1 * history.cost[0]
    assert (net.predict(x[500:]).argmax(1) == labels[500:]).mean() > 0.95


def test_epoch_is_the_steps_over_its_permutation() -> None:
    for batch_size in (1, 7, 32, 90, 1000):
        fitted, stepped = network(dtype="float64"), network(dtype="float64")
        one, two = bp.Adam(lr=0.01), bp.Adam(lr=0.01)
        history = fitted.fit(X, Y, epochs=3, batch_size=batch_size, optimizer=one)
        for epoch in range(3):
            order = _core.random_permutation(4, epoch, 90)
            costs, rows = [], []
            for begin in range(0, 90, batch_size):
                batch = order[begin : begin + batch_size]
                costs.append(stepped.step(X[batch], Y[batch], two))
                rows.append(len(batch))
            assert history.cost[epoch] == pytest.approx(np.average(costs, weights=rows), rel=1e-13)
        np.testing.assert_array_equal(fitted.parameters, stepped.parameters)
        assert one.steps == two.steps == 3 * -(-90 // batch_size)


def test_without_shuffling_rows_come_in_order() -> None:
    fitted, stepped = network(), network()
    fitted.fit(X, Y, batch_size=40, shuffle=False, optimizer="sgd")
    optimizer = bp.SGD()
    for begin in (0, 40, 80):
        stepped.step(X[begin : begin + 40], Y[begin : begin + 40], optimizer)
    np.testing.assert_array_equal(fitted.parameters, stepped.parameters)


def test_sample_weights_stay_with_their_rows() -> None:
    weights = np.arange(90) % 3.0
    kept = weights > 0
    one, two = (network(dtype="float64") for _ in range(2))
    one.fit(X, Y, batch_size=90, sample_weight=weights, epochs=5)
    two.fit(X[kept], Y[kept], batch_size=90, sample_weight=weights[kept], epochs=5)
    np.testing.assert_allclose(one.parameters, two.parameters, rtol=1e-9)


def test_weights_of_a_shuffled_batch_are_those_of_its_rows() -> None:
    """In the updates, in the mean of a batch, and in the cost of the epoch."""
    weights = np.arange(90) % 7 + 0.5
    one, two = (network(dtype="float64") for _ in range(2))
    history = one.fit(X, Y, batch_size=20, epochs=2, optimizer=bp.SGD(0.1), sample_weight=weights)
    optimizer = bp.SGD(0.1)
    for epoch in range(2):
        order, total = _core.random_permutation(4, epoch, 90), 0.0
        for rows in (order[begin : begin + 20] for begin in range(0, 90, 20)):
            cost = two.step(X[rows], Y[rows], optimizer, weights[rows])
            total += cost * weights[rows].sum()
        assert history.cost[epoch] == pytest.approx(total / weights.sum(), rel=1e-12)
    np.testing.assert_allclose(one.parameters, two.parameters, rtol=1e-12)


CUTS = {
    "1 ms": {"_slice_ns": 1_000_000},
    "1 s": {"_slice_ns": 1_000_000_000},
    "a batch": {"_slice_ns": 0},
    "callback": {"callbacks": [lambda end: None]},
    "validation": {"validation": (X, Y)},
    "list": {"callbacks": []},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer",
    [bp.Adam(lr=bp.schedules.Cosine(0.01, 200, warmup=9)), bp.SGD(lr=0.1, momentum=0.9)],
    ids=repr,
)
def test_same_bits_however_training_is_cut(optimizer: bp.Optimizer, dtype: str) -> None:
    results = []
    threads = bp.get_threads()
    try:
        for n, cut in [(1, "1 s"), (2, "1 s"), *((1, cut) for cut in CUTS)]:
            bp.set_threads(n)
            net, state = network(dtype=dtype, dropout=0.2), copy.copy(optimizer)
            history = net.fit(X, Y, epochs=40, batch_size=16, optimizer=state, **CUTS[cut])
            results.append((net.parameters.tobytes(), history.cost))
            assert len(history.seconds) == len(history.cost) == 40
        single = network(dtype=dtype, dropout=0.2)
        state = copy.copy(optimizer)
        costs = [
            cost
            for _ in range(40)
            for cost in single.fit(X, Y, batch_size=16, optimizer=state).cost
        ]
        results.append((single.parameters.tobytes(), costs))
    finally:
        bp.set_threads(threads)
    assert all(result == results[0] for result in results)


def test_threads_do_not_change_the_bits_of_a_larger_net() -> None:
    x = RNG.normal(size=(600, 90)).astype(np.float32)
    y = RNG.normal(size=(600, 7)).astype(np.float32)
    results = set()
    threads = bp.get_threads()
    try:
        for n in (1, 2, 3):
            bp.set_threads(n)
            net = bp.Network([90, 200, 130, 7], seed=1, dropout=0.1)
            net.fit(x, y, epochs=2, batch_size=128)
            results.add((net.parameters.tobytes(), net.cost(x, y), net.predict(x).tobytes()))
    finally:
        bp.set_threads(threads)
    assert len(results) == 1


def test_outputs_have_the_same_bits_however_rows_and_threads_share_them() -> None:
    net = bp.Network([23, 200, 130, 7], seed=1)
    x = RNG.normal(size=(1100, 23)).astype(np.float32)
    threads = bp.get_threads()
    try:
        bp.set_threads(1)
        expected = np.vstack([net.predict(row) for row in x[:, np.newaxis]])
        for n in (1, 2, 3, 7):
            bp.set_threads(n)
            for rows in (31, 32, 33, 64, 65, 200, 257, 511, 1100):
                np.testing.assert_array_equal(net.predict(x[:rows]), expected[:rows])
    finally:
        bp.set_threads(threads)


# ---- figures ----


@pytest.mark.timing
def test_seconds_add_up_to_the_time_spent() -> None:
    net = network()
    begin = time.perf_counter()
    history = net.fit(X, Y, epochs=10_000, _slice_ns=2_000_000)
    elapsed = time.perf_counter() - begin
    assert len(history.seconds) == 10_000
    assert min(history.seconds) > 0
    assert 0.3 * elapsed < sum(history.seconds) <= elapsed
    assert (len(history), history.val_cost, history.best_epoch) == (10_000, [], None)
    assert repr(history).startswith("History(10,000 epochs, cost=0.")


def test_validation_pair_and_fraction() -> None:
    net = network()
    costs: list[float] = []
    history = net.fit(
        X, Y, epochs=3, validation=(X[:20], Y[:20]),
        callbacks=lambda end: costs.append(net.cost(X[:20], Y[:20])),
    )  # fmt: skip
    assert history.val_cost == costs
    assert history.best_epoch == int(np.argmin(costs))

    order = _core.random_permutation(4, 2**62 - 1, 90)
    train, held = order[:72], order[72:]
    one, two = network(), network()
    weights = np.arange(1.0, 91.0)
    first = one.fit(X, Y, epochs=3, validation=0.2, sample_weight=weights)
    second = two.fit(
        X[train], Y[train], epochs=3, validation=(X[held], Y[held]), sample_weight=weights[train]
    )
    np.testing.assert_array_equal(one.parameters, two.parameters)
    assert first.cost == second.cost
    assert first.val_cost[-1] == one.cost(X[held], Y[held], weights[held])


def test_patience_stops_and_puts_the_best_back() -> None:
    net = network(widths=[4, 60, 2])
    kept: list[np.ndarray] = []
    history = net.fit(
        X[:20], RNG.normal(size=(20, 2)), epochs=500, optimizer=bp.Adam(lr=0.05),
        validation=(X[60:], Y[60:]), patience=4,
        callbacks=lambda end: kept.append(end.network.parameters.copy()),
    )  # fmt: skip
    best = history.best_epoch
    assert history.stopped_early
    assert best == int(np.argmin(history.val_cost)) == len(history) - 5
    np.testing.assert_array_equal(net.parameters, kept[best])
    assert net.cost(X[60:], Y[60:]) == history.val_cost[best]


def test_patience_that_is_not_used_up() -> None:
    """The best parameters are put back however a fit ends."""
    targets = RNG.normal(size=(20, 2))
    for end_at in (29, 20):  # the last of all epochs, and one at which a callback ends the fit
        net, kept = network(widths=[4, 60, 2]), []

        def keep(end: Any, kept: Any = kept, end_at: int = end_at) -> bool:
            kept.append(end.network.parameters.copy())
            return bool(end.epoch == end_at)

        history = net.fit(
            X[:20], targets, epochs=30, optimizer=bp.Adam(lr=0.05),
            validation=(X[60:], Y[60:]), patience=500, callbacks=keep,
        )  # fmt: skip
        best = history.best_epoch
        assert len(history) == end_at + 1
        assert history.stopped_early == (end_at < 29)
        assert best == int(np.argmin(history.val_cost)) < end_at
        np.testing.assert_array_equal(net.parameters, kept[best])
        assert net.cost(X[60:], Y[60:]) == history.val_cost[best]


def test_of_equal_validation_costs_the_first_is_the_best() -> None:
    """The weight of x[1] is trained, the rest is not, and the validation example has x[1] = 0."""
    net = bp.Network([2, 1], seed=1, dtype="float64")
    net.set_layer(0, [[0.5, 0.25]], [0.0])
    x, y = np.array([[0.0, 1], [0, -1]]), np.array([3.0, -3])
    valid, kept = (np.array([[1.0, 0]]), np.array([2.0])), []
    history = net.fit(
        x, y, epochs=9, batch_size=2, optimizer=bp.SGD(lr=0.1), validation=valid, patience=4,
        callbacks=lambda end: kept.append(end.network.parameters.copy()),
    )  # fmt: skip
    assert len(set(history.val_cost)) == 1
    assert len({each.tobytes() for each in kept}) == len(kept), "the parameters do not change"
    assert (history.best_epoch, len(history), history.stopped_early) == (0, 5, True)
    np.testing.assert_array_equal(net.parameters, kept[0])
    streamed = net.fit_stream([(x, y)] * 3, epochs=3, optimizer=bp.SGD(lr=0.1), validation=valid)
    assert len(set(streamed.val_cost)) == 1
    assert streamed.best_epoch == 0


# ---- callbacks and progress ----


def test_callback_is_told_the_figures_and_may_stop() -> None:
    net, optimizer = network(), bp.SGD(lr=bp.schedules.Step(0.1, 3))
    ends: list[bp.EpochEnd] = []

    def note(end: bp.EpochEnd) -> bool:
        ends.append(end)
        return end.epoch == 2

    history = net.fit(X, Y, epochs=9, batch_size=30, optimizer=optimizer, callbacks=(note, id))
    assert history.stopped_early
    assert [end.epoch for end in ends] == [0, 1, 2]
    assert [end.cost for end in ends] == history.cost
    assert [end.seconds for end in ends] == history.seconds
    assert [end.lr for end in ends] == pytest.approx([0.1, 0.01, 0.001])
    assert all(end.val_cost is None and end.network is net for end in ends)


def test_exception_of_a_callback_leaves_a_usable_network() -> None:
    net = network()
    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, epochs=5, callbacks=lambda end: 1 / 0)
    twin = network()
    twin.fit(X, Y)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    net.fit(X, Y)


def test_callback_may_assign_parameters() -> None:
    net = network(dtype="float64")

    def halve(end: bp.EpochEnd) -> None:
        end.network.parameters = end.network.parameters / 2

    net.fit(X, Y, epochs=2, callbacks=halve, optimizer=bp.SGD())
    twin, optimizer = network(dtype="float64"), bp.SGD()
    for _ in range(2):
        twin.fit(X, Y, optimizer=optimizer)
        twin.parameters = twin.parameters / 2
    np.testing.assert_array_equal(net.parameters, twin.parameters)


def test_progress_in_plain_lines(monkeypatch: Any, capsys: Any) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    network().fit(X, Y, epochs=2, validation=0.2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "cost" in err
    assert "val_cost" in err


def test_progress_bar(capsys: Any) -> None:
    pytest.importorskip("tqdm")
    network().fit(X, Y, epochs=2, progress=True)
    err = capsys.readouterr().err
    assert "epoch 2/2" in err
    assert "6/6" in err


# ---- what goes wrong ----


def test_cost_that_stops_being_finite() -> None:
    x = X.copy()
    x[50] = np.nan
    for options in ({}, {"callbacks": [id]}):
        net, optimizer = network(), bp.Adam()
        net.fit(X, Y, shuffle=False, optimizer=optimizer)
        before = net.parameters.copy()
        with pytest.raises(FloatingPointError, match=r"in epoch 0, batch 5 .* 3 epochs of 9"):
            net.fit(x, Y, batch_size=10, epochs=3, shuffle=False, optimizer=optimizer, **options)
        np.testing.assert_array_equal(net.parameters, before)
        assert optimizer.steps == 0
        assert net.fit(X, Y, optimizer=optimizer).cost[0] < 10


@pytest.mark.parametrize("options", [{}, {"callbacks": [id]}])
def test_divergence_leaves_the_last_finite_epoch(options: dict[str, Any]) -> None:
    """Here the update that ends the first epoch overflows, and no cost follows in it."""
    for epochs in (1, 2, 50):
        net, optimizer = network(), bp.SGD(lr=1e39, momentum=0.9)
        before = net.parameters.copy()
        with pytest.raises(FloatingPointError, match=f"of {epochs} epochs of 1 batches"):
            net.fit(X, Y, epochs=epochs, batch_size=90, optimizer=optimizer, **options)
        np.testing.assert_array_equal(net.parameters, before)
        assert optimizer.steps == 0


@pytest.mark.parametrize(
    "optimizer",
    [bp.SGD(lr=1e8, momentum=0.9), bp.Adam(lr=1e30), bp.RMSprop(1e15, momentum=0.9, centered=True)],
    ids=repr,
)
def test_training_goes_on_from_the_last_finite_epoch(optimizer: bp.Optimizer) -> None:
    """Parameters and all counters are as if the epoch had not begun; the optimizer is new."""
    rate, optimizer = optimizer.lr, copy.copy(optimizer)
    net = network(activation="identity", dropout=0.1)
    optimizer.lr = 1e-3
    net.fit(X, Y, epochs=2, optimizer=optimizer)
    twin, other = net.copy(), copy.copy(optimizer)
    other.reset()
    optimizer.lr = rate
    with pytest.raises(FloatingPointError):
        net.fit(X, Y, epochs=50, batch_size=5, optimizer=optimizer)
    optimizer.lr = 1e-3
    net.fit(X, Y, epochs=2, optimizer=optimizer)
    twin.fit(X, Y, epochs=2, optimizer=other)
    np.testing.assert_array_equal(net.parameters, twin.parameters)


def interrupted_fit(net: bp.Network, optimizer: bp.Optimizer, x: Any, y: Any) -> float:
    """Interrupt a fit in this process; return how long it took to notice."""
    sent: list[float] = []

    def interrupt() -> None:
        time.sleep(0.15)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, epochs=10**6, batch_size=50, optimizer=optimizer)
    noticed = time.perf_counter()
    thread.join()
    return noticed - sent[0]


@pytest.mark.timing
@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_interrupt_ends_at_a_whole_batch() -> None:
    x, y = RNG.normal(size=(2000, 30)), RNG.normal(size=(2000, 3))
    net, optimizer = bp.Network([30, 40, 3], seed=1, dropout=0.1), bp.Adam()
    assert interrupted_fit(net, optimizer, x, y) < 0.2
    epochs, batches = divmod(optimizer.steps, 40)
    assert optimizer.steps > 10
    twin, other = bp.Network([30, 40, 3], seed=1, dropout=0.1), bp.Adam()
    if epochs:
        twin.fit(x, y, epochs=epochs, batch_size=50, optimizer=other)
    order = _core.random_permutation(1, epochs, 2000)
    for batch in range(batches):
        rows = order[50 * batch : 50 * batch + 50]
        twin.step(x[rows], y[rows], other)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    net.fit(x, y, optimizer=optimizer)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_interrupts_at_any_instruction_leave_no_lock_behind() -> None:
    x, y = X[:4].astype(np.float32), Y[:4].astype(np.float32)
    net, optimizer = network(), bp.Adam()

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for trial in range(200):
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come anywhere
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + 1e-6 * (trial % 37))
                while True:
                    net.step(x, y, optimizer)
                    net.predict(x)
                    net.fit(x, y, optimizer=optimizer)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert np.isfinite(net.step(x, y, optimizer))
    net.fit(x, y, optimizer=optimizer)
    bp.Network([4, 16, 2]).fit(x, y, optimizer=optimizer)


def test_children_of_a_fork_can_train() -> None:
    code = (
        "import os, sys, numpy as np, pybackprop as bp\n"
        "x, y = np.random.default_rng(0).normal(size=(2, 3000, 64))\n"
        "net = bp.Network([64, 256, 64], seed=0)\n"
        "net.fit(x, y, batch_size=512)\n"
        "pid = os.fork()\n"
        "net.fit(x, y, batch_size=512)\n"
        "out = net.parameters.tobytes()\n"
        "import hashlib; os.write(1, hashlib.sha256(out).hexdigest().encode() + b'\\n')\n"
        "sys.exit(0 if not pid else os.waitpid(pid, 0)[1])\n"
    )
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    digests = done.stdout.split()
    assert len(digests) == 2
    assert len(set(digests)) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_update_fused_with_the_backward_pass(threads: int) -> None:
    """A wide network updates layer by layer, unless clipping needs the whole gradient first."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((96, 70)), rng.standard_normal((96, 3))
    before = bp.get_threads()
    bp.set_threads(threads)
    try:
        nets = []
        for clip_norm in (None, 1e30):
            net = bp.Network([70, 260, 260, 3], seed=1, l1=1e-4, l2=1e-3, dropout=0.2)
            optimizer = bp.Adam(clip_norm=clip_norm)
            net.fit(x, y, epochs=3, batch_size=40, optimizer=optimizer)
            net.step(x, y, optimizer)
            nets.append(net)
    finally:
        bp.set_threads(before)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("settings", [{}, {"l1": 0.01}, {"l2": 0.1}], ids=str)
@pytest.mark.parametrize("hidden", [[9], [150, 150], [600, 70]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_after_an_update_the_new_weights_are_used(
    hidden: list[int], settings: dict[str, float], clip_norm: float | None, dtype: str
) -> None:
    """Also where the core keeps copies of them in another order: a new network has those anew."""
    net = bp.Network([4, *hidden, 2], activation="tanh", dtype=dtype, seed=1, **settings)
    optimizer, before = bp.SGD(0.1, clip_norm=clip_norm), net.predict(X)
    for rows in (1, 90):
        net.step(X[:rows], Y[:rows], optimizer)
        np.testing.assert_array_equal(net.predict(X), net.copy().predict(X))
        net.fit(X, Y, batch_size=rows, epochs=1, optimizer=optimizer)
        np.testing.assert_array_equal(net.predict(X), net.copy().predict(X))
    assert (net.predict(X) != before).all()


def test_a_step_of_several_blocks_is_the_update_by_the_whole_gradient() -> None:
    """The update may be fused with the backward pass only where one block has all rows."""
    x, y = RNG.normal(size=(5000, 9)), RNG.normal(size=(5000, 2))
    net = bp.Network([9, 300, 300, 2], activation="tanh", dtype="float64", seed=1)
    before, gradient = net.parameters.copy(), net.backprop(x, y).flat
    net.step(x, y, bp.SGD(lr=0.1))
    np.testing.assert_allclose(net.parameters, before - 0.1 * gradient, rtol=1e-12, atol=1e-14)


def test_step_with_a_cost_that_is_not_finite_updates_nothing() -> None:
    for widths in ([4, 3, 2], [4, 300, 300, 2]):
        net, optimizer = bp.Network(widths, seed=0), bp.SGD(lr=0.1, momentum=0.9)
        before = net.parameters.copy()
        assert np.isnan(net.step(np.full((5, 4), np.nan), np.zeros((5, 2)), optimizer))
        np.testing.assert_array_equal(net.parameters, before)
        assert optimizer.steps == 0


@pytest.mark.parametrize("batch_size", [1, 4, 7, 8, 32, 48, 64, 100, 149, 150])
def test_fit_equals_steps_on_the_same_batches(batch_size: int) -> None:
    """Also on the short batch at the end, which is cut into fewer parts, however short it is."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((150, 20)), rng.standard_normal((150, 3))
    fitted, stepped = bp.Network([20, 32, 3], seed=1), bp.Network([20, 32, 3], seed=1)
    fitted.fit(x, y, batch_size=batch_size, shuffle=False, optimizer=bp.SGD(lr=0.01))
    optimizer = bp.SGD(lr=0.01)
    for begin in range(0, 150, batch_size):
        rows = slice(begin, begin + batch_size)
        stepped.step(x[rows], y[rows], optimizer)
    np.testing.assert_array_equal(fitted.parameters, stepped.parameters)


@pytest.mark.parametrize("label", [10**9, 3, -1, -(2**63)])
def test_labels_that_change_during_a_fit(label: int) -> None:
    x, labels = RNG.normal(size=(60, 4)), np.zeros(60, np.int64)
    net = bp.Network([4, 8, 3], output="softmax", loss="cross_entropy", seed=0)
    after_first: list[np.ndarray[Any, Any]] = []

    def spoil(_: Any) -> None:
        after_first.append(net.parameters.copy())
        labels[:] = label

    with pytest.raises(FloatingPointError, match="in epoch 1, batch 0"):
        net.fit(x, labels, epochs=3, callbacks=[spoil])
    np.testing.assert_array_equal(net.parameters, after_first[0])


def test_nan_in_an_example_without_weight() -> None:
    """Zero times NaN is NaN: the cost says so, and nothing is updated."""
    x, weight = X.copy(), np.ones(len(X))
    x[7], weight[7] = np.nan, 0.0
    net, optimizer = network(), bp.SGD(lr=0.1)
    before = net.parameters.copy()
    assert np.isnan(net.step(x, Y, optimizer, sample_weight=weight))
    np.testing.assert_array_equal(net.parameters, before)


def test_cost_of_an_epoch_is_weighted_like_its_batches() -> None:
    weight = np.zeros(len(X))
    weight[:10] = 1.0
    net, optimizer = network(), bp.SGD(lr=0.0)
    history = net.fit(X, Y, batch_size=10, shuffle=False, optimizer=optimizer, sample_weight=weight)
    assert history.cost[0] == pytest.approx(net.cost(X, Y, weight), rel=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_loss_that_forks() -> None:
    """The child has one thread of a team: it must not go on as if it were all of it."""
    parent = os.getpid()
    children: list[int] = []

    def loss(a: Any, y: Any) -> tuple[Any, Any]:
        if os.getpid() == parent:
            children.append(os.fork())
        return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]

    rng = np.random.default_rng(3)
    net = bp.Network([20, 300, 300, 3], loss=loss, seed=0)
    try:
        net.backprop(rng.standard_normal((64, 20)), np.zeros((64, 3)))
        code = 0
    except RuntimeError:
        code = 3
    except BaseException:
        code = 4
    if os.getpid() != parent:
        os._exit(code)
    assert code == 0
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 3
