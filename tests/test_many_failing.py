"""Training many networks when something fails: costs, signals, callbacks, arguments."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from training_runs import thread_limit

import pybackprop as bp
from pybackprop import _core

RNG = np.random.default_rng(5)
X = RNG.normal(size=(120, 4))
Y = np.sin(X[:, :2])
BATCH = 16
N_BATCHES = 8


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with thread_limit(2):
        yield


def make(n: int = 5, **settings: Any) -> list[bp.Network]:
    return [bp.Network([4, 10, 2], seed=at, **settings) for at in range(n)]


def fit(networks: Any, **arguments: Any) -> bp.ManyHistory:
    return bp.fit_many(networks, X, Y, **{"batch_size": BATCH, "epochs": 6, **arguments})


# ---- costs that are not finite ----


def diverging(step: int) -> Any:
    """A rate that becomes far too large in some step."""
    return lambda at: 1e30 if at >= step else 1e-3


@pytest.mark.parametrize("slice_ns", [1, 50_000_000])
@pytest.mark.parametrize("step", [0, 5, N_BATCHES - 1, N_BATCHES, 3 * N_BATCHES + 4])
@pytest.mark.parametrize("validation", [None, 0.2])
def test_one_member_diverges_and_the_others_do_not_notice(
    step: int, slice_ns: int, validation: Any
) -> None:
    networks, others = make(), make()
    rates = [0.01, 0.01, diverging(step), 0.01, 0.02]
    optimizers = bp.SGD.each(lr=rates)
    history = fit(
        networks, optimizers=optimizers, validation=validation, epochs=40, _slice_ns=slice_ns
    )
    assert history.status.tolist() == ["done", "done", "diverged", "done", "done"]
    for at, net in enumerate(others):
        optimizer = bp.SGD(rates[at])
        arguments = {"validation": validation, "batch_size": BATCH, "epochs": 40}
        if at == 2:
            with pytest.raises(FloatingPointError):
                net.fit(X, Y, optimizer=optimizer, **arguments)
            assert optimizers[2].steps == 0
        else:
            wanted = net.fit(X, Y, optimizer=optimizer, **arguments)
            assert history[at].cost == wanted.cost
        assert np.array_equal(networks[at].parameters, net.parameters)
        assert networks[at]._net.get_counters() == net._net.get_counters()
    assert np.isnan(history.cost[2, history.epochs[2] :]).all()


def test_divergence_can_be_an_error() -> None:
    networks = make()
    optimizers = bp.SGD.each(lr=[0.01, 0.01, 0.01, diverging(3), 0.01])
    with pytest.raises(FloatingPointError, match=r"networks\[3\]: the cost is not finite in epoch"):
        fit(networks, optimizers=optimizers, on_divergence="raise", epochs=40)
    fit(networks)


def test_data_that_are_not_finite_are_named() -> None:
    x = X.copy()
    x[40, 3] = np.nan
    rows = [np.arange(30), np.arange(30, 120)]
    with pytest.raises(FloatingPointError, match=r"networks\[1\].*row 40, column 3"):
        bp.fit_many(make(2), x, Y, rows=rows, on_divergence="raise")
    assert bp.fit_many(make(2), x, Y, rows=rows).status.tolist() == ["done", "diverged"]


def test_best_of_members_that_all_diverged() -> None:
    nets = bp.Networks([4, 10, 2], n=2, seed=0)
    nets.fit(X, Y, optimizer=bp.SGD(1e30))
    assert nets.history is not None
    assert nets.history.cost.shape == (2, 0)
    with pytest.raises(ValueError, match="no member has a finite cost"):
        _ = nets.best


def test_all_members_may_diverge_with_validation() -> None:
    for x, lr in ((X, 1e30), (X * np.nan, 1e-3)):
        nets = bp.Networks([4, 10, 2], n=2, seed=0)
        history = nets.fit(x, Y, optimizer=bp.SGD(lr), validation=0.2, patience=1)
        assert history.status.tolist() == ["diverged", "diverged"]
        assert history.best_epoch.tolist() == [-1, -1]


def test_a_view_of_the_parameters_of_a_member_keeps_their_memory() -> None:
    nets = bp.Networks([4, 10, 2], n=2, seed=0)
    view, row = nets._members[1].parameters, weakref.ref(nets._members[1]._row)
    wanted = view.copy()
    del nets
    gc.collect()
    assert row() is not None
    assert np.array_equal(view, wanted)


# ---- what ends a fit from within and without ----


def whole_steps(net: bp.Network, optimizer: bp.Optimizer, at: int) -> None:
    """Check that a member is as after some complete batch of its fit."""
    steps = net._net.get_counters()[0]
    assert optimizer.steps == steps
    alone, own = make()[at], bp.Adam()
    if steps:
        full, rest = divmod(steps, N_BATCHES)
        if full:
            alone.fit(X, Y, batch_size=BATCH, optimizer=own, epochs=full)
        if rest:
            order = _order(alone)
            for batch in range(rest):
                rows = order[batch * BATCH : (batch + 1) * BATCH]
                alone.step(X[rows], Y[rows], own)
    assert np.array_equal(net.parameters, alone.parameters)


def _order(net: bp.Network) -> np.ndarray:
    return _core.random_permutation(net.seed, net._net.get_counters()[1], len(X))


def interrupt_after(delay: float) -> tuple[list[bp.Network], list[bp.Optimizer]]:
    """Interrupt a fit that would go on for long; return what it trained."""
    networks: list[bp.Network] = make()
    optimizers: list[bp.Optimizer] = [bp.Adam() for _ in networks]
    timer = threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(networks, optimizers=optimizers, epochs=10**5)
    timer.join()
    return networks, optimizers


@pytest.mark.parametrize("delay", [0.06, 0.11, 0.2])
def test_ctrl_c_leaves_every_network_after_a_complete_batch(delay: float) -> None:
    networks, optimizers = interrupt_after(delay)
    if not any(net._net.get_counters()[0] for net in networks):
        networks, optimizers = interrupt_after(20 * delay)  # a busy system had not begun to train
    for net, optimizer in zip(networks, optimizers, strict=True):
        assert net._net.fit is None
        assert optimizer._state.fit is None
    counts = [net._net.get_counters()[0] for net in networks]
    assert sum(counts) > 0
    short = int(np.argmin(counts))
    if counts[short] < 50_000:
        whole_steps(networks[short], optimizers[short], short)
    fit(networks, optimizers=optimizers)


def test_an_exception_in_a_callback_ends_the_fit() -> None:
    networks, others = make(), make()

    def fail(end: bp.EpochsEnd) -> None:
        if end.epoch == 1:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        fit(networks, callbacks=fail)
    fit(others, epochs=2)
    for net, other in zip(networks, others, strict=True):
        assert np.array_equal(net.parameters, other.parameters)
        net.step(X, Y, bp.SGD())


@pytest.mark.parametrize("answer", [True, np.True_, np.array([True, False])])
def test_a_callback_ends_the_fit_of_members(answer: Any) -> None:
    history = fit(make(2), epochs=3, callbacks=lambda end: answer)
    assert history.epochs.tolist() == ([1, 3] if np.ndim(answer) else [1, 1])
    if not np.ndim(answer):
        one = make(1)[0].fit(X, Y, epochs=3, callbacks=lambda end: answer)
        assert len(one) == 1


@pytest.mark.parametrize("answer", [None, False, np.False_, np.zeros(2, np.bool_)])
def test_a_callback_lets_members_go_on(answer: Any) -> None:
    assert fit(make(2), epochs=3, callbacks=lambda end: answer).epochs.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([True, False], TypeError),
        (1, TypeError),
        (np.array([1, 0]), ValueError),
        (np.array([True]), ValueError),
    ],
)
def test_other_answers_of_a_callback_are_refused(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"must return None, a bool, or a boolean array, \(2,\), got"):
        fit(make(2), callbacks=lambda end: answer)


def test_an_exception_in_a_loss_ends_the_fit() -> None:
    calls = []

    def loss(a: Any, y: Any) -> Any:
        calls.append(threading.get_ident())
        if len(calls) > 20:
            raise LookupError("a loss")
        return ((a - y) ** 2).mean(1), (a - y) * 2 / a.shape[1]

    networks = [*make(2), *make(2, loss=loss)]
    with pytest.raises(LookupError, match="a loss"):
        fit(networks)
    assert set(calls) == {threading.get_ident()}
    calls.clear()
    for net in networks:
        net.step(X, Y, bp.SGD())


def test_a_member_that_diverged_is_reset_if_another_fails_in_the_same_call() -> None:
    calls = []

    def loss(a: Any, y: Any) -> Any:
        calls.append(a)
        if len(calls) > 200:
            raise LookupError("a loss")
        return ((a - y) ** 2).mean(1), (a - y) * 2 / a.shape[1]

    networks, optimizers = [*make(1), *make(1, loss=loss)], bp.SGD.each(lr=[diverging(5), 0.01])
    with pytest.raises(LookupError, match="a loss"):
        fit(networks, optimizers=optimizers, epochs=100, _slice_ns=10**11)
    assert optimizers[0].steps == 0
    assert optimizers[1].steps > 0


def test_a_loss_may_use_neither_networks_nor_optimizers() -> None:
    optimizers = [bp.Adam() for _ in range(3)]
    refused = []

    def loss(a: Any, y: Any) -> Any:
        for call in (
            lambda: networks[0].predict(X),
            lambda: networks[2].cost(X, Y),
            optimizers[1].reset,
            lambda: setattr(optimizers[0], "lr", 0.5),
        ):
            with pytest.raises(RuntimeError, match="in use"):
                call()
            refused.append(call)
        return ((a - y) ** 2).mean(1), (a - y) * 2 / a.shape[1]

    networks = make(3, loss=loss)
    fit(networks, optimizers=optimizers, epochs=1)
    assert refused
    assert optimizers[0].lr == 1e-3


# ---- other calls at the same time ----


def test_other_threads_are_refused() -> None:
    networks, optimizers = make(), [bp.Adam() for _ in range(5)]
    found: list[str] = []

    def intrude(end: bp.EpochsEnd) -> None:
        def use(call: Any) -> None:
            try:
                call()
            except RuntimeError as error:
                found.append(str(error))

        for call in (
            lambda: networks[3].predict(X),
            lambda: networks[3].step(X, Y, bp.SGD()),
            lambda: fit(networks[2:4]),
            optimizers[1].reset,
        ):
            thread = threading.Thread(target=use, args=(call,))
            thread.start()
            thread.join()

    fit(networks, optimizers=optimizers, epochs=2, callbacks=intrude)
    assert len(found) == 8
    assert all("in use" in each for each in found)
    assert found[2].startswith("networks[0]: ")


def test_a_busy_network_is_named_and_nothing_is_trained() -> None:
    networks = make()
    before = [net.parameters.copy() for net in networks]

    def nested(end: bp.EpochEnd) -> None:
        with pytest.raises(RuntimeError, match=r"networks\[4\]: this network is in use"):
            fit(networks)

    networks[4].fit(X, Y, epochs=1, optimizer=bp.SGD(0.0), callbacks=nested)
    for net, parameters in zip(networks, before, strict=True):
        assert np.array_equal(net.parameters, parameters)
        assert net._net.fit is None


def test_a_busy_optimizer_is_named() -> None:
    networks, optimizer = make(2), bp.Adam()

    def nested(end: bp.EpochEnd) -> None:
        with pytest.raises(RuntimeError, match=r"networks\[1\]: this optimizer is in use"):
            fit(networks, optimizers=[bp.Adam(), optimizer])

    bp.Network([4, 10, 2], seed=9).fit(X, Y, optimizer=optimizer, callbacks=nested)
    fit(networks, optimizers=[bp.Adam(), optimizer])


FORK = """
import os, zlib
import numpy as np
import pybackprop as bp
bp.set_threads(2)
x = np.random.default_rng(0).normal(size=(60, 3))
nets = bp.Networks([3, 8, 3], n=6, seed=0)
nets.fit(x, x)
pipe = os.pipe()
child = os.fork()
nets.fit(x, x)
digest = zlib.crc32(nets.parameters.tobytes())
if child == 0:
    os.write(pipe[1], str(digest).encode())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert int(os.read(pipe[0], 99)) == digest
def forks(end):
    child = os.fork()
    if child == 0:
        try:
            end.networks.predict(x)
        finally:
            os._exit(7)
    assert os.waitpid(child, 0)[1] == 7 << 8
nets.fit(x, x, callbacks=forks)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_trains_on() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=60, check=False)
    assert done.returncode == 0


# ---- arguments ----


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"optimizers": [bp.Adam()]}, ValueError, "one for each of 2 networks, got 1"),
        ({"optimizers": [bp.Adam(), 3]}, TypeError, "got 3 at index 1"),
        ({"optimizers": 3}, TypeError, "optimizers must be a name"),
        ({"epochs": 0}, ValueError, "epochs must be >= 1"),
        ({"epochs": [1, 2, 3]}, ValueError, "one for each of 2 members, got 3"),
        ({"batch_size": [1, 0]}, ValueError, r"batch_size\[1\] must be >= 1"),
        ({"rows": [None]}, ValueError, "one set of rows for each of 2 members"),
        ({"rows": 3}, TypeError, "rows must be a sequence"),
        ({"rows": [[0], []]}, ValueError, r"rows\[1\] must name at least one row"),
        ({"rows": [[0], [120]]}, ValueError, r"rows\[1\] must hold row numbers in 0 ... 119"),
        ({"rows": [[0], [-1]]}, ValueError, r"rows\[1\] must hold row numbers"),
        ({"rows": [[0], [0.5]]}, TypeError, r"rows\[1\] must hold row numbers or be a mask"),
        ({"rows": [[0], [True]]}, ValueError, r"rows\[1\] must have shape \(120,\) as a mask"),
        ({"sample_weight": np.ones((3, 120))}, ValueError, r"\(120,\) or \(2, 120\)"),
        ({"sample_weight": -np.ones((2, 120))}, ValueError, "finite numbers >= 0"),
        ({"validation": 1.0}, ValueError, "validation must leave rows"),
        ({"validation": (X,)}, ValueError, "a fraction or a pair"),
        ({"validation": 0.5, "validation_rows": [[0], [1]]}, ValueError, "must not both"),
        ({"patience": 2}, ValueError, "patience needs validation"),
        ({"shuffle": "all"}, ValueError, "shuffle must be True, False, 'own' or 'shared'"),
        ({"on_divergence": "ignore"}, ValueError, "on_divergence must be one of"),
        ({"callbacks": 3}, TypeError, "callbacks must be functions"),
        ({"progress": 3}, TypeError, "progress must be True or False"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, error: type[Exception], text: str) -> None:
    networks = make(2)
    before = [net.parameters.copy() for net in networks]
    with pytest.raises(error, match=text):
        fit(networks, **arguments)
    for net, parameters in zip(networks, before, strict=True):
        assert np.array_equal(net.parameters, parameters)


def test_wrong_networks_are_named() -> None:
    one = make(1)[0]
    for networks, error, text in (
        ([], ValueError, "at least one network"),
        (one, TypeError, "a sequence of networks"),
        (bp.Networks([4, 2], n=2), TypeError, r"use the method fit of Networks\(2 x"),
        ([one, 3], TypeError, "got 3 at index 1"),
        ([one, *make(2), one], ValueError, r"networks\[0\] and networks\[3\] are the same"),
        ([one, bp.Network([3, 2], seed=0)], ValueError, r"number of inputs, got \[3, 4\]"),
    ):
        with pytest.raises(error, match=text):
            fit(networks)
    shared = bp.Adam()
    with pytest.raises(ValueError, match=r"optimizers\[0\] and optimizers\[1\] are the same"):
        fit(make(2), optimizers=[shared, shared])


def test_a_used_optimizer_is_no_pattern() -> None:
    optimizer = bp.Adam()
    make(1)[0].step(X, Y, optimizer)
    with pytest.raises(ValueError, match="must be unused, but it has done 1 updates"):
        fit(make(2), optimizers=optimizer)
    other = bp.Adam()
    bp.Network([4, 3, 2], seed=0).step(X, Y, other)
    with pytest.raises(ValueError, match=r"optimizers\[1\]: this optimizer holds the state of"):
        fit(make(2), optimizers=[bp.Adam(), other])


def test_weights_that_are_zero_on_all_rows_of_a_member_are_refused() -> None:
    weights = np.ones(120)
    weights[:40] = 0
    with pytest.raises(ValueError, match=r"above 0 in some of rows\[1\]"):
        fit(make(2), rows=[None, np.arange(40)], sample_weight=weights)
    fit(make(2), rows=[None, np.arange(41)], sample_weight=weights)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"n": 0}, ValueError, "n must be >= 1"),
        ({"l2": [1, 2]}, ValueError, "l2 must be one value or one for each of 3 members, got 2"),
        ({"l2": np.ones((3, 1))}, ValueError, r"one for each of 3 members, got shape \(3, 1\)"),
        ({"l2": [1, 2, -1]}, ValueError, r"l2\[2\] must be a finite number >= 0"),
        ({"l1": [1, 2, "a"]}, TypeError, r"l1\[2\] must be a number"),
        ({"dropout": [0.1, 0.2]}, ValueError, "dropout must be a rate or have shape"),
        ({"seed": [1, 2]}, ValueError, "seed must be one value or one for each of 3 members"),
        ({"seed": [1, 2, 3.0]}, TypeError, r"seed\[2\] must be an integer"),
        ({"seed": 2**64 - 1}, ValueError, "seed must be in"),
        ({"widths": [3]}, ValueError, "widths"),
    ],
)
def test_wrong_settings_of_networks(settings: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        bp.Networks(**{"widths": [4, 10, 2], "n": 3, **settings})


@pytest.mark.parametrize(
    ("members", "error", "text"),
    [
        ([True, False], ValueError, r"members must have shape \(3,\) as a mask, got \(2,\)"),
        ([0.5, 1.0], TypeError, "members must hold indices or be a mask, got dtype float64"),
        ([], ValueError, "at least one member"),
        ([False] * 3, ValueError, "at least one member"),
        (1, ValueError, "in one dimension"),
    ],
)
def test_wrong_members_to_take(members: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        bp.Networks([4, 2], n=3, seed=0).take(members)


def test_each_needs_lists_of_one_length() -> None:
    assert [each.lr for each in bp.Adam.each(lr=[0.1, 0.2], eps=1e-7)] == [0.1, 0.2]
    pairs = bp.Adam.each(betas=[(0.8, 0.9), (0.7, 0.99)])
    assert [each.betas for each in pairs] == [(0.8, 0.9), (0.7, 0.99)]
    assert [each.betas for each in bp.Adam.each(lr=(0.1, 0.2), betas=(0.5, 0.6))] == 2 * [
        (0.5, 0.6)
    ]
    for settings in ({}, {"lr": 0.1}, {"lr": [0.1, 0.2], "eps": [1e-8]}):
        with pytest.raises(ValueError, match="each needs at least one setting with a value"):
            bp.Adam.each(**settings)


def test_costs_name_the_network_not_its_place() -> None:
    first, net = make(2)
    first._net.call_rows = net._net.call_rows = 60
    weights = np.ones(120)
    weights[:60] = 0  # no row of the first piece counts for the first network
    light, heavy = _core.Data(X, Y, weights), _core.Data(X, Y)
    rows = [_core.Rows(light, None), _core.Rows(heavy, None), _core.Rows(heavy, None)]
    nets = [first._net, net._net, net._net]
    with pytest.raises(RuntimeError, match=r"networks\[2\]: this network is in use"):
        _core.costs(nets, rows)
    with pytest.raises(RuntimeError, match=r"networks\[8\]: this network is in use"):
        _core.costs(nets, rows, [3, 5, 8])
    assert np.isfinite(_core.costs(nets[:2], rows[:2])).all()
