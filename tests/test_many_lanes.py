"""Small networks that are trained side by side in the lanes of vectors: bits of single fits."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from training_runs import absolute, thread_limit

import pybackprop as bp
from pybackprop import _core

RNG = np.random.default_rng(8)
N = 75
X = RNG.normal(size=(N, 3))
Y = np.tanh(X[:, :2] * X[:, 1:])
LABELS = np.abs(X).argmax(axis=1) % 2
BITS = (Y > 0).astype(float)

LANES = {"portable": 1, "neon": 4, "avx2": 8}.get(bp.cpu_info()["isa"], 16)  # of float32


@pytest.fixture(autouse=True, params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with thread_limit(request.param):
        yield request.param


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What the core says after each call: how many networks were trained with each."""
    seen: list[list[int]] = []
    run = _core.ManyFit.run

    def watch(self: _core.ManyFit, max_ns: int) -> None:
        run(self, max_ns)
        seen.append(self.table["lanes"].tolist())

    monkeypatch.setattr(_core.ManyFit, "run", watch)
    return seen


def lanes_of(dtype: str) -> int:
    return LANES if dtype == "float32" else max(LANES // 2, 1)


def expected(n: int, lanes: int, threads: int) -> list[int]:
    """Return the sizes of the groups of n networks of one kind, largest first."""
    if lanes == 1 or 2 * n < lanes * threads:
        return [1] * n
    rest = n % lanes
    return [lanes] * (n // lanes) + ([rest] if 2 * rest >= lanes else [1] * rest)


def state(net: Any, optimizer: bp.Optimizer) -> list[Any]:
    vectors = [each.tobytes() for each in optimizer.state_dict()["state"].values()]
    return [net.parameters.tobytes(), net._net.get_counters(), optimizer.steps, vectors]


# ---- random configurations ----


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def random_networks(rng: np.random.Generator, n: int) -> tuple[list[bp.Network], Any]:
    """Return networks of one shape, with their targets."""
    loss, output, y = pick(
        rng,
        ("mse", "identity", Y),
        ("mse", "tanh", Y[:, :1]),
        ("mae", "gelu", Y),
        ("huber", "softmax", Y),
        ("squared_error", "sigmoid", Y),
        ("cross_entropy", "softmax", LABELS),
        ("cross_entropy", "softmax", BITS),
        ("binary_cross_entropy", "sigmoid", BITS),
    )
    names = ("relu", "tanh", "gelu", "sigmoid", "selu", "mish", "identity", "leaky_relu")
    hidden = [int(width) for width in rng.integers(1, 9, size=rng.integers(0, 3))]
    settings = {
        "activation": [pick(rng, *names) for _ in hidden],
        "output": output,
        "loss": loss,
        "dtype": pick(rng, "float32", "float64"),
    }
    outputs = 2 if y.ndim == 1 else y.shape[1]
    nets = [bp.Network([3, *hidden, outputs], seed=at, **settings) for at in range(n)]
    for net in nets[:: pick(rng, 1, 2, n)]:
        if rng.random() < 0.5:
            net.set_scaling(X.mean(0), 1 / X.std(0))
    return nets, y


def random_optimizers(rng: np.random.Generator, n: int) -> list[bp.Optimizer]:
    """Return optimizers of one kind, each with scalars of its own."""
    rates = [float(each) for each in rng.uniform(1e-3, 2e-2, n)]
    decays = [float(each) for each in rng.uniform(0.1, 0.9, n)]
    kind = pick(rng, "sgd", "momentum", "adam", "amsless", "adamw", "rmsprop", "adagrad")
    make = {
        "sgd": lambda lr, _: bp.SGD(lr),
        "momentum": lambda lr, decay: bp.SGD(lr, momentum=decay, nesterov=True),
        "adam": lambda lr, decay: bp.Adam(lr, betas=(decay, 0.99), weight_decay=0.01 * decay),
        "amsless": lambda lr, _: bp.Adam(bp.schedules.Cosine(lr, 20)),
        "adamw": lambda lr, decay: bp.AdamW(lr, weight_decay=decay),
        "rmsprop": lambda lr, decay: bp.RMSprop(lr, momentum=decay, centered=True),
        "adagrad": lambda lr, decay: bp.Adagrad(lr, lr_decay=decay),
    }[kind]
    return [make(lr, decay) for lr, decay in zip(rates, decays, strict=True)]


def random_rows(rng: np.random.Generator, n: int) -> list[Any]:
    """Return rows for each network, as many for all."""
    count = int(rng.integers(20, 60))
    one = np.sort(rng.choice(N, count, replace=False))
    return pick(rng, [None] * n, [one] * n, [rng.choice(N, count) for _ in range(n)])


def fit_alone(
    net: bp.Network, optimizer: bp.Optimizer, y: Any, arguments: dict[str, Any], at: int
) -> bp.History:
    rows, weights = arguments["rows"][at], arguments["sample_weight"]
    rows = np.arange(N) if rows is None else rows
    weights = weights[at] if np.ndim(weights) == 2 else weights
    return net.fit(
        X[rows],
        y[rows],
        optimizer=optimizer,
        sample_weight=None if weights is None else weights[rows],
        epochs=arguments["epochs"][at],
        batch_size=arguments["batch_size"],
        shuffle=arguments["shuffle"],
    )


@pytest.mark.parametrize("slice_ns", [1, 50_000_000])
@pytest.mark.parametrize("number", range(50))
def test_bits_are_those_of_single_fits(number: int, slice_ns: int) -> None:
    rng = np.random.default_rng(number)
    n = int(pick(rng, 1, 2, LANES - 1, LANES, LANES + 1, 2 * LANES, 3 * LANES - 1)) or 1
    nets, y = random_networks(rng, n)
    optimizers = random_optimizers(rng, n)
    arguments = {
        "epochs": pick(rng, [3] * n, [int(each) for each in rng.integers(1, 5, n)]),
        "batch_size": int(pick(rng, *range(1, 13), 20, 48, 64)),
        "rows": random_rows(rng, n),
        "sample_weight": pick(rng, None, None, rng.random(N), rng.poisson(1.0, (n, N)) + 1.0),
        "shuffle": pick(rng, True, False),
    }
    alone, own = [net.copy() for net in nets], copy.deepcopy(optimizers)
    history = bp.fit_many(nets, X, y, optimizers=optimizers, _slice_ns=slice_ns, **arguments)
    for at, (net, optimizer) in enumerate(zip(alone, own, strict=True)):
        wanted = fit_alone(net, optimizer, y, arguments, at)
        assert history[at].cost == wanted.cost, at
        assert state(nets[at], optimizers[at]) == state(net, optimizer), at


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extra", [-1, 0, 1, "many"])
def test_bits_around_whole_vectors(
    extra: Any, dtype: str, threads: int, lanes: list[list[int]]
) -> None:
    width = lanes_of(dtype)
    n = 100 if extra == "many" else max(2 * width + extra, 1)
    rates = np.logspace(-3, -1, n)
    nets = bp.Networks([3, 8, 2], n=n, activation="tanh", dtype=dtype, seed=0)
    history = nets.fit(X, Y, epochs=3, batch_size=8, optimizer=bp.SGD.each(lr=rates, momentum=0.9))
    for at in range(n):
        net = bp.Network([3, 8, 2], activation="tanh", dtype=dtype, seed=at)
        wanted = net.fit(X, Y, epochs=3, batch_size=8, optimizer=bp.SGD(rates[at], momentum=0.9))
        assert np.array_equal(nets.parameters[at], net.parameters)
        assert history[at].cost == wanted.cost
    found = sorted(lanes[0], reverse=True)
    sizes = expected(n, width, threads)
    assert found == sorted(np.repeat(sizes, sizes).tolist(), reverse=True)


@pytest.mark.parametrize("batch_size", [2, 7, 8, 17, 40, 48, 64])
@pytest.mark.parametrize("shuffle", [True, "shared", False])
def test_bits_for_every_size_of_batch(batch_size: int, shuffle: Any) -> None:
    nets = bp.Networks([3, 5, 1], n=2 * LANES, seed=0)
    alone = nets.copy()
    history = nets.fit(X, Y[:, :1], epochs=2, batch_size=batch_size, shuffle=shuffle)
    for at in (0, LANES, 2 * LANES - 1):
        net = alone[at]
        if shuffle == "shared":
            bp.fit_many([alone[0], net], X, Y[:, :1], epochs=2, shuffle="shared",
                        batch_size=batch_size)  # fmt: skip
        else:
            wanted = net.fit(X, Y[:, :1], epochs=2, batch_size=batch_size, shuffle=shuffle)
            assert history[at].cost == wanted.cost
        assert np.array_equal(nets.parameters[at], net.parameters)


@pytest.mark.parametrize("make", [bp.Adam, lambda: bp.SGD(0.01, momentum=0.9)])
def test_optimizers_of_different_ages_share_a_vector(make: Any, lanes: list[list[int]]) -> None:
    n = 2 * LANES
    nets = [bp.Network([3, 4, 2], seed=at) for at in range(n)]
    optimizers = [make() for _ in nets]
    for at in range(0, n, 3):
        nets[at].fit(X, Y, batch_size=8, optimizer=optimizers[at])
    alone, own = [net.copy() for net in nets], copy.deepcopy(optimizers)
    bp.fit_many(nets, X, Y, batch_size=8, optimizers=optimizers)
    assert lanes[0] == [LANES] * n
    for at, (net, optimizer) in enumerate(zip(alone, own, strict=True)):
        net.fit(X, Y, batch_size=8, optimizer=optimizer)
        assert state(nets[at], optimizers[at]) == state(net, optimizer)


# ---- which networks ----


@pytest.mark.parametrize(
    ("settings", "fit", "widths"),
    [
        ({"dropout": 0.1}, {}, [3, 8, 2]),
        ({"l2": 1e-3}, {}, [3, 8, 2]),
        ({"l1": 1e-3}, {}, [3, 8, 2]),
        ({"loss": absolute}, {}, [3, 8, 2]),
        ({"precision": "bf16"}, {}, [3, 8, 2]),
        ({}, {"optimizer": bp.Adam(clip_norm=1.0)}, [3, 8, 2]),
        ({}, {"batch_size": 1}, [3, 8, 2]),
        ({}, {"batch_size": 37}, [3, 8, 2]),  # 75 rows: the last batch has one
        ({}, {"batch_size": 65}, [3, 2]),
        ({}, {"batch_size": 64}, [3, 14, 2]),
        ({}, {"batch_size": 2}, [3, 171, 2]),
    ],
)
def test_other_networks_are_trained_one_by_one(
    settings: Any, fit: Any, widths: list[int], lanes: list[list[int]]
) -> None:
    n = 2 * LANES
    nets = [bp.Network(widths, seed=at, **settings) for at in range(n)]
    arguments = {"epochs": 1, "batch_size": 8, **fit}
    optimizer = arguments.pop("optimizer", bp.SGD(0.1))
    bp.fit_many(nets, X, Y, optimizers=optimizer, **arguments)
    assert lanes[0] == [1] * n


@pytest.mark.skipif(LANES < 8, reason="the limits are for vectors of 8 or 16")
@pytest.mark.parametrize(
    ("batch_size", "widths"),
    [(4 * LANES, [3, 10, 2]), (LANES // 4, [3, 170, 2]), (38, [3, 8, 2])],
)
def test_the_largest_networks_in_lanes(
    batch_size: int, widths: list[int], lanes: list[list[int]]
) -> None:
    nets = bp.Networks(widths, n=2 * LANES, seed=0)
    nets.fit(X[:74], Y[:74], batch_size=batch_size)
    assert lanes[0] == [LANES] * 2 * LANES


@pytest.mark.skipif(LANES == 1, reason="no vectors")
def test_only_networks_with_the_same_work_share_a_vector(lanes: list[list[int]]) -> None:
    """Networks of two kinds, mixed; each kind makes vectors of its own."""
    kinds = ([3, 4, 2], [3, 5, 2])
    nets = [bp.Network(kinds[at % 2], seed=at) for at in range(4 * LANES)]
    optimizers = [bp.SGD(0.1) if at < 2 * LANES else bp.Adam() for at in range(4 * LANES)]
    alone, own = [net.copy() for net in nets], copy.deepcopy(optimizers)
    with thread_limit(1):
        bp.fit_many(nets, X, Y, optimizers=optimizers, batch_size=8)
    assert lanes[0] == [LANES] * 4 * LANES
    for at, (net, optimizer) in enumerate(zip(alone, own, strict=True)):
        net.fit(X, Y, optimizer=optimizer, batch_size=8)
        assert state(nets[at], optimizers[at]) == state(net, optimizer)


@pytest.mark.parametrize("ages", [False, True])
def test_networks_of_which_some_have_a_schedule_stay_together(
    ages: bool, lanes: list[list[int]]
) -> None:
    """The rates that the core is given at a time are fewer than the steps of this fit."""
    n = 2 * LANES
    fit: dict[str, Any] = {"epochs": 600, "batch_size": 8}
    schedule = bp.schedules.Cosine(0.01, 6000)
    nets = [bp.Network([3, 2], seed=at) for at in range(n)]
    optimizers = [bp.SGD(0.01 if at % 2 else schedule) for at in range(n)]
    for at in range(0, n, LANES):  # one in each vector
        if ages:
            nets[at].fit(X, Y, epochs=3, batch_size=8, optimizer=optimizers[at])
    alone, own = [net.copy() for net in nets], copy.deepcopy(optimizers)
    bp.fit_many(nets, X, Y, optimizers=optimizers, _slice_ns=10**12, **fit)
    assert lanes == [[LANES] * n] * (3 if ages and LANES > 1 else 2)
    for at, (net, optimizer) in enumerate(zip(alone, own, strict=True)):
        net.fit(X, Y, optimizer=optimizer, **fit)
        assert state(nets[at], optimizers[at]) == state(net, optimizer)


# ---- networks that end ----


def test_one_lane_diverges_and_the_others_go_on(lanes: list[list[int]]) -> None:
    n = 2 * LANES
    bad = [0, n - 1]  # in the third epoch of 10 batches
    fit = {"epochs": 4, "batch_size": 8}

    def optimizer(at: int) -> bp.Optimizer:
        rate = (lambda step: 0.01 if step < 23 else 1e30) if at in bad else 0.01
        return bp.SGD(rate, momentum=0.9)

    nets = bp.Networks([3, 6, 2], n=n, seed=0)
    alone = nets.copy()
    history = nets.fit(X, Y, optimizer=[optimizer(at) for at in range(n)], **fit)
    assert np.flatnonzero(history.status == "diverged").tolist() == bad
    assert lanes[0] == [LANES] * n
    for at in range(n):
        net = alone[at]
        if at in bad:
            with pytest.raises(FloatingPointError):
                net.fit(X, Y, optimizer=optimizer(at), **fit)
            assert history.epochs[at] == 2
        else:
            assert history[at].cost == net.fit(X, Y, optimizer=optimizer(at), **fit).cost
        assert np.array_equal(nets.parameters[at], net.parameters)
        assert nets[at]._net.get_counters() == net._net.get_counters()


def test_parameters_that_break_in_the_last_update_of_an_epoch_are_found() -> None:
    n = 2 * LANES
    nets = bp.Networks([3, 4, 2], n=n, activation="tanh", seed=0)
    before = nets.parameters.copy()
    rates = [1e38 if at == n - 1 else 0.01 for at in range(n)]
    x, y = 1e3 * X[:8], 1e6 * Y[:8]
    history = nets.fit(x, y, batch_size=8, epochs=1, optimizer=bp.SGD.each(lr=rates))
    assert history.status.tolist() == ["done"] * (n - 1) + ["diverged"]
    assert np.array_equal(nets.parameters[n - 1], before[n - 1])


def test_networks_end_after_epochs_of_their_own() -> None:
    n = 2 * LANES
    epochs = [1 + at % 5 for at in range(n)]
    nets = bp.Networks([3, 6, 2], n=n, seed=0)
    alone = nets.copy()
    history = nets.fit(X, Y, epochs=epochs, batch_size=8)
    assert history.epochs.tolist() == epochs
    for at in range(n):
        net = alone[at]
        assert history[at].cost == net.fit(X, Y, epochs=epochs[at], batch_size=8).cost
        assert np.array_equal(nets.parameters[at], net.parameters)


def test_a_run_goes_on_from_the_middle_of_an_epoch(tmp_path: Any) -> None:
    """Checkpoints hold the parameters at the start of the epoch."""
    n = 2 * LANES
    whole = bp.Networks([3, 6, 2], n=n, seed=0)
    parts = whole.copy()
    whole.fit(X, Y, epochs=4, batch_size=8)
    file = tmp_path / "many.npz"
    parts.fit(X, Y, epochs=2, batch_size=8, checkpoint=file)
    again = bp.Networks([3, 6, 2], n=n, seed=0)
    again.fit(X, Y, epochs=4, batch_size=8, resume=file)
    assert np.array_equal(again.parameters, whole.parameters)
