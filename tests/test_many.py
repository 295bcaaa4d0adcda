"""Training many networks in one call: bits of single fits, whatever the threads and slices."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from training_runs import absolute, thread_limit

import pybackprop as bp

RNG = np.random.default_rng(3)
N = 140
X = RNG.normal(size=(N, 5))
Y = np.tanh(X[:, :3] * X[:, 1:4])
LABELS = np.abs(X).argmax(axis=1) % 3
BITS = (Y > 0).astype(float)


@pytest.fixture(autouse=True, params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with thread_limit(request.param):
        yield request.param


# ---- random configurations ----


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def random_network(rng: np.random.Generator, loss: str) -> bp.Network:
    hidden = [int(width) for width in rng.integers(1, 40, size=rng.integers(0, 4))]
    names = ("relu", "tanh", "gelu", "sigmoid", "selu", "mish")
    dtype = pick(rng, "float32", "float64")
    output = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(loss, "identity")
    return bp.Network(
        [5, *hidden, 3],
        activation=[pick(rng, *names) for _ in hidden],
        output=output,
        loss=absolute if loss == "own" else loss,
        dropout=[pick(rng, 0.0, 0.3) for _ in hidden],
        l1=pick(rng, 0.0, 1e-3),
        l2=pick(rng, 0.0, 1e-2),
        dtype=dtype,
        precision="float32" if dtype == "float64" else pick(rng, "float32", "bf16", "bf16x3"),
        seed=int(rng.integers(2**63)),
    )


def random_optimizer(rng: np.random.Generator) -> bp.Optimizer:
    lr = pick(rng, 0.01, 0.003, bp.schedules.Cosine(0.01, 20), lambda step: 0.01 / (1 + step))
    clip = pick(rng, None, 0.5)
    return pick(
        rng,
        lambda: bp.SGD(lr, momentum=0.9, nesterov=True, clip_norm=clip),
        lambda: bp.Adam(lr, betas=(0.8, 0.99), clip_norm=clip),
        lambda: bp.AdamW(lr, weight_decay=0.1),
        lambda: bp.RMSprop(lr, momentum=0.5, centered=True),
        lambda: bp.Adagrad(lr, initial_accumulator_value=0.1),
    )()


def random_case(number: int) -> tuple[list[bp.Network], list[bp.Optimizer], Any, dict[str, Any]]:
    """Return networks, optimizers, targets, and the arguments of each single fit."""
    rng = np.random.default_rng(number)
    loss = pick(rng, "mse", "cross_entropy", "binary_cross_entropy", "huber", "mixed")
    y = {"cross_entropy": LABELS, "binary_cross_entropy": BITS}.get(loss, Y)
    n = int(pick(rng, 1, 2, 3, 7, 16))
    losses = [pick(rng, "mse", "mae", "own") if loss == "mixed" else loss for _ in range(n)]
    networks = [random_network(rng, each) for each in losses]
    if rng.random() < 0.5:
        networks[0].set_scaling(X.mean(0), 1 / X.std(0))
    if rng.random() < 0.4:  # networks of one shape, which lend each other workspaces
        networks = [networks[0], *(networks[0].copy() for _ in networks[1:])]
    validation = pick(rng, None, 0.3, (X[:50], y[:50]))
    arguments = {
        "epochs": [int(each) for each in rng.integers(1, 5, n)],
        "batch_size": [int(each) for each in rng.integers(3, 70, n)],
        "rows": [
            pick(rng, None, np.sort(rng.choice(N, 90)), rng.random(N) < 0.7) for _ in networks
        ],
        "sample_weight": pick(rng, None, rng.random(N), rng.poisson(1.0, (n, N)) + 1.0),
        "validation": validation,
        "patience": None if validation is None else pick(rng, None, 1, 2),
        "shuffle": pick(rng, True, False),
    }
    return networks, [random_optimizer(rng) for _ in networks], y, arguments


def single_arguments(arguments: dict[str, Any], at: int) -> dict[str, Any]:
    """Return the arguments of the fit of one member on a copy of its rows."""
    own = {name: value[at] for name, value in arguments.items() if name in ("epochs", "batch_size")}
    return {**{k: v for k, v in arguments.items() if k not in ("rows", "sample_weight")}, **own}


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
        **single_arguments(arguments, at),
    )


def state(net: Any, optimizer: bp.Optimizer) -> list[Any]:
    vectors = [each.tobytes() for each in optimizer.state_dict()["state"].values()]
    return [net.parameters.tobytes(), net._net.get_counters(), optimizer.steps, vectors]


@pytest.mark.parametrize("slice_ns", [1, 50_000_000])
@pytest.mark.parametrize("number", range(40))
def test_bits_are_those_of_single_fits(number: int, slice_ns: int, threads: int) -> None:
    networks, optimizers, y, arguments = random_case(number)
    alone, own = [net.copy() for net in networks], copy.deepcopy(optimizers)
    history = bp.fit_many(networks, X, y, optimizers=optimizers, _slice_ns=slice_ns, **arguments)
    for at, (net, optimizer) in enumerate(zip(alone, own, strict=True)):
        wanted = fit_alone(net, optimizer, y, arguments, at)
        assert state(networks[at], optimizers[at]) == state(net, optimizer), at
        found = history[at]
        assert (found.cost, found.val_cost) == (wanted.cost, wanted.val_cost)
        assert found.best_epoch == wanted.best_epoch
        assert found.stopped_early == wanted.stopped_early
        assert len(found.seconds) == len(found.cost)
        assert all(each >= 0 for each in found.seconds)


@pytest.mark.parametrize("n", [1, 2, 100])
def test_networks_are_networks(n: int) -> None:
    rates = np.logspace(-3, -1, n)
    dropout = np.linspace([0, 0.1], [0.5, 0.2], n)
    nets = bp.Networks([5, 12, 8, 3], n=n, activation="tanh", seed=4, dropout=dropout, l2=rates)
    history = nets.fit(X, Y, epochs=3, batch_size=20, optimizer=bp.Adam.each(lr=rates))
    for at in {0, n // 2, n - 1}:
        settings = {"dropout": dropout[at], "l2": rates[at]}
        net = bp.Network([5, 12, 8, 3], activation="tanh", seed=4 + at, **settings)
        wanted = net.fit(X, Y, epochs=3, batch_size=20, optimizer=bp.Adam(rates[at]))
        assert np.array_equal(nets.parameters[at], net.parameters)
        assert history[at].cost == wanted.cost
        assert np.array_equal(nets.predict(X)[at], net.predict(X))
        assert np.array_equal(nets.predict(X, member=at), net.predict(X))
        assert nets.cost(X, Y)[at] == net.cost(X, Y)
        assert np.array_equal(nets[at].parameters, net.parameters)
        assert nets[at]._settings() == net._settings()
    assert history.status.tolist() == ["done"] * n


def test_a_shared_order_is_that_of_the_first_seed() -> None:
    nets = bp.Networks([5, 9, 3], n=3, seed=[8, 1, 8], dtype="float64")
    first = nets[0].parameters.copy()
    for at in range(3):
        own = nets[at]
        own.parameters = first
        nets[at] = own
    nets.fit(X, Y, epochs=2, shuffle="shared", optimizer=bp.SGD(0.1))
    assert np.array_equal(nets.parameters[0], nets.parameters[1])


def test_many_more_models_than_threads() -> None:
    nets = bp.Networks([2, 4, 1], n=3000, activation="tanh", seed=0)
    x, y = X[:4, :2], Y[:4, :1]
    nets.fit(x, y, batch_size=4, optimizer=bp.SGD(0.1, momentum=0.9))
    for at in (0, 1234, 2999):
        net = bp.Network([2, 4, 1], activation="tanh", seed=at)
        net.fit(x, y, batch_size=4, optimizer=bp.SGD(0.1, momentum=0.9))
        assert np.array_equal(nets.parameters[at], net.parameters)


def test_validation_rows_are_other_rows_of_the_same_data() -> None:
    folds = [np.arange(N) % 4 == number for number in range(4)]
    nets = bp.Networks([5, 9, 3], n=4, seed=0)
    history = nets.fit(X, Y, epochs=3, rows=[~fold for fold in folds], validation_rows=folds)
    for at, fold in enumerate(folds):
        net = bp.Network([5, 9, 3], seed=at)
        wanted = net.fit(X[~fold], Y[~fold], epochs=3, validation=(X[fold], Y[fold]))
        assert history[at].val_cost == wanted.val_cost
        assert np.array_equal(nets.parameters[at], net.parameters)


def test_large_validation_data_are_cut_as_for_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one call would take too long, the cost is the mean of pieces."""
    nets = [bp.Network([5, 9, 3], seed=at) for at in range(3)]
    alone = [net.copy() for net in nets]
    for net in (*nets, *alone):
        net._net.call_rows = 30
    weights = RNG.random(N)
    weights[100:] = 0
    history = bp.fit_many(nets, X, Y, epochs=2, validation=0.6, sample_weight=weights)
    for at, net in enumerate(alone):
        wanted = net.fit(X, Y, epochs=2, validation=0.6, sample_weight=weights)
        assert history[at].val_cost == wanted.val_cost


def test_optimizers_keep_their_state_from_call_to_call() -> None:
    optimizers = bp.Adam.each(lr=[0.01, 0.02])
    nets = bp.Networks([5, 9, 3], n=2, seed=0)
    for _ in range(2):
        nets.fit(X, Y, epochs=2, optimizer=optimizers)
    net, optimizer = bp.Network([5, 9, 3], seed=1), bp.Adam(0.02)
    net.fit(X, Y, epochs=4, optimizer=optimizer)
    assert np.array_equal(nets.parameters[1], net.parameters)
    assert optimizers[1].steps == optimizer.steps


# ---- callbacks ----


def test_callbacks_get_arrays_and_retire_members() -> None:
    seen: list[bp.EpochsEnd] = []

    def retire(end: bp.EpochsEnd) -> Any:
        seen.append(end)
        return np.array([end.epoch == 1, False, False])

    nets = bp.Networks([5, 9, 3], n=3, seed=0)
    history = nets.fit(X, Y, epochs=[5, 3, 4], validation=0.2, callbacks=retire)
    assert history.status.tolist() == ["stopped", "done", "done"]
    assert history.epochs.tolist() == [2, 3, 4]
    assert [end.epoch for end in seen] == [0, 1, 2, 3]
    assert seen[0].networks is nets
    assert len(seen[0].optimizers) == 3
    assert [end.active.tolist() for end in seen] == [
        [True, True, True],
        [True, True, True],
        [False, False, True],
        [False, False, False],
    ]
    for end in seen:
        trained = history.epochs > end.epoch
        assert np.array_equal(np.isfinite(end.cost), trained)
        assert end.val_cost is not None
        assert np.array_equal(np.isfinite(end.val_cost), trained)
        assert np.array_equal(end.cost[trained], history.cost[trained, end.epoch])
    assert np.isnan(history.cost[0, 2:]).all()


def test_one_epoch_of_one_member_is_no_epochs() -> None:
    history = bp.Networks([5, 9, 3], n=1, seed=0).fit(X, Y)
    assert repr(history) == "ManyHistory(1 member, 1 epoch: 1 done)"
    assert repr(history[0]).startswith("History(1 epoch, cost=")


def test_a_callback_ends_the_fit() -> None:
    nets = bp.Networks([5, 9, 3], n=3, seed=0)
    history = nets.fit(X, Y, epochs=9, callbacks=lambda end: end.epoch == 2)
    assert history.epochs.tolist() == [3, 3, 3]
    assert history.status.tolist() == ["stopped"] * 3


def test_a_callback_changes_optimizers_and_evaluates_networks() -> None:
    def change(end: bp.EpochsEnd) -> None:
        end.optimizers[0].lr = bp.schedules.Cosine(0.05, 40)
        end.optimizers[1].reset()
        assert np.isfinite(end.networks.cost(X, Y)).all()

    def change_one(end: bp.EpochEnd) -> None:
        end.optimizer.lr = bp.schedules.Cosine(0.05, 40)

    nets = bp.Networks([5, 9, 3], n=2, seed=0)
    nets.fit(X, Y, epochs=3, callbacks=change)
    net = bp.Network([5, 9, 3], seed=0)
    net.fit(X, Y, epochs=3, callbacks=change_one)
    assert np.array_equal(nets.parameters[0], net.parameters)


def test_a_callback_must_return_one_truth_value_for_each_member() -> None:
    nets = bp.Networks([5, 9, 3], n=2, seed=0)
    with pytest.raises(ValueError, match=r"boolean array, \(2,\)"):
        nets.fit(X, Y, callbacks=lambda end: np.array([True]))


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    bp.Networks([5, 9, 3], n=4, seed=0).fit(X, Y, epochs=2, progress=True)
    assert "epoch 2/2" in capsys.readouterr().err


# ---- the object ----


def test_members_are_copies_and_can_be_replaced() -> None:
    nets = bp.Networks([5, 9, 3], n=3, seed=0, dropout=[0.0, 0.1, 0.2])
    nets.set_scaling(np.arange(15.0).reshape(3, 5), np.ones(5))
    one = nets[1]
    one.fit(X, Y)
    assert not np.array_equal(one.parameters, nets.parameters[1])
    nets[2] = one
    assert np.array_equal(nets.parameters[2], one.parameters)
    assert nets[2]._settings() == one._settings()
    assert nets[-1].scaling[0].tolist() == [5, 6, 7, 8, 9]
    assert nets[2]._net.get_counters() == one._net.get_counters()
    with pytest.raises(ValueError, match="read-only"):
        nets.parameters[0, 0] = 1
    with pytest.raises(ValueError, match="a member must have widths"):
        nets[0] = bp.Network([5, 3], seed=0)
    with pytest.raises(TypeError, match="a member must be a network"):
        nets[0] = nets  # type: ignore[assignment]
    with pytest.raises(IndexError):
        nets[3]
    with pytest.raises(
        TypeError, match=r"must be an integer, got slice\(0, 2, None\); take copies"
    ):
        nets[0:2]  # type: ignore[index]


@pytest.mark.parametrize("make", [bp.Networks.copy, copy.deepcopy, copy.copy, "pickle", "take"])
def test_copies_train_on_alike(make: Any) -> None:
    nets = bp.Networks([5, 9, 3], n=3, seed=0, l1=[0, 1e-3, 1e-2])
    nets.set_scaling(X.mean(0), 1 / X.std(0))
    nets.fit(X, Y)
    if make == "pickle":
        other = pickle.loads(pickle.dumps(nets))
    else:
        other = nets.take([0, 1, 2]) if make == "take" else make(nets)
    assert len(other) == 3
    other.fit(X, Y)
    nets.fit(X, Y)
    assert np.array_equal(other.parameters, nets.parameters)
    assert repr(other) == repr(nets)


def test_best_is_the_member_of_the_lowest_validation_cost() -> None:
    nets = bp.Networks([5, 9, 3], n=4, seed=0)
    with pytest.raises(ValueError, match="best needs a fit"):
        _ = nets.best
    rates = bp.Adam.each(lr=[0, 0.1, 0, 0])
    history = nets.fit(X, Y, epochs=4, validation=(X[:50], Y[:50]), optimizer=rates)
    assert history.val_cost is not None
    assert nets.best == int(nets.cost(X[:50], Y[:50]).argmin()) == 1
    assert nets.history is history


@pytest.mark.parametrize("patience", [None, 9])
def test_best_goes_by_the_parameters_that_members_ended_with(patience: int | None) -> None:
    """The first member is the best one until its last epoch, whose rate is far too high."""
    steps = 9 * 5  # batches in the epochs before
    optimizers = [bp.SGD(lambda step: 0.3 if step < steps else 3.0), bp.SGD(1e-3)]
    nets = bp.Networks([5, 9, 3], n=2, seed=[0, 0])
    validation = X[:50], Y[:50]
    history = nets.fit(
        X, Y, epochs=10, optimizer=optimizers, validation=validation, patience=patience
    )
    assert history.val_cost is not None
    assert history.val_cost[0].min() < history.val_cost[1].min()
    assert history.val_cost[0, -1] > history.val_cost[1, -1]
    assert nets.best == int(nets.cost(*validation).argmin()) == (1 if patience is None else 0)


def test_best_is_no_member_that_diverged() -> None:
    optimizers = [bp.SGD(lambda step: 0.3 if step < 9 * 5 else 1e30), bp.SGD(1e-3)]
    nets = bp.Networks([5, 9, 3], n=2, seed=[0, 0])
    history = nets.fit(X, Y, epochs=10, optimizer=optimizers, validation=(X[:50], Y[:50]))
    assert history.status.tolist() == ["diverged", "done"]
    assert history.best_cost[0] < history.best_cost[1]
    assert nets.best == 1
