"""Dropout rates by schedule: every training step of a network has its own."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import philox
import pytest
import reference as ref
from numpy.typing import NDArray
from training_runs import thread_limit

import pybackprop as bp
from pybackprop import schedules

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 2))
BATCH = 16
RATES = [0.5, 0.3]


class Own(schedules.Constant):
    """A user's kind, which files would describe as the one that it is made from."""


# Reaches 0 before the last step of most tests.
FLAT = schedules.FlatCos(1.0, 8)
GROWING = schedules.Constant(0.9, warmup=6)


def network(schedule: Any = FLAT, widths: Any = (5, 8, 7, 2), **settings: Any) -> bp.Network:
    given = {"activation": "tanh", "dropout": RATES, "seed": 1, **settings}
    return bp.Network(widths, dropout_schedule=schedule, **given)


def batches(x: Array, y: Array, size: int = BATCH) -> list[tuple[Array, Array]]:
    return [(x[at : at + size], y[at : at + size]) for at in range(0, len(x), size)]


def at_rates(net: bp.Network, rates: Any) -> bp.Network:
    """Return the network as it is, with other rates and no schedule."""
    settings, *rest = net._state()
    del settings["dropout_schedule"]
    return bp.Network._from_state({**settings, "dropout": rates}, *rest)


@pytest.mark.parametrize("schedule", [FLAT, GROWING], ids=repr)
@pytest.mark.parametrize("rows", [1, 24])
def test_steps_against_the_reference(schedule: Any, rows: int) -> None:
    """The masks are those of the rates of each step, and so are gradients, in pure Python."""
    net, optimizer = network(schedule, dtype="float64"), bp.SGD(0.1)
    for step in range(10):
        rates = [float(schedule(step)) * rate for rate in RATES]
        masks = [
            philox.kept(1, step, layer, rates[layer], rows * width).reshape(rows, width)
            for layer, width in enumerate((8, 7))
        ]
        for mask, own in zip(net.dropout_masks(rows), masks, strict=True):
            np.testing.assert_array_equal(mask, own)
        weights, biases = ([each.tolist() for each in part] for part in (net.weights, net.biases))
        twin = ref.Reference(weights, biases, ["tanh", "tanh", "identity"], dropout=rates)
        x, y = X[step : step + rows], Y[step : step + rows]
        kept = [mask.astype(float).tolist() for mask in masks]
        expected = twin.backprop(x.tolist(), y.tolist(), masks=kept)
        before = net.parameters.copy()
        cost = net.step(x, y, optimizer)
        assert cost == pytest.approx(expected.cost, rel=1e-12)
        change = (before - net.parameters) / 0.1
        np.testing.assert_allclose(change, expected.flat, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("widths", "rows", "size", "settings"),
    [
        ((5, 8, 7, 2), 40, 16, {"l2": 0.1}),
        ((5, 8, 7, 2), 12, 1, {"dtype": "float64"}),
        ((5, 70, 70, 2), 12, 1, {}),
        ((64, 40, 40, 2), 400, 160, {}),
        ((64, 512, 600, 2), 100, 40, {}),
        ((5, 300, 280, 2), 40, 16, {"precision": "bf16"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 3])
def test_all_ways_to_train_agree(
    widths: Any, rows: int, size: int, settings: dict[str, Any], threads: int
) -> None:
    """They have the bits of networks that are made anew with the rates of each step."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((rows, widths[0])), rng.standard_normal((rows, 2))
    fitted, stepped, streamed, member = (network(FLAT, widths, **settings) for _ in range(4))
    expected = network(None, widths, **settings)
    one, two, three, four, five = (bp.Adam(bp.schedules.Cosine(0.01, 20)) for _ in range(5))
    epochs = 3 if size > 1 else 1
    with thread_limit(threads):
        for step, (a, b) in enumerate(batches(x, y, size) * epochs):
            rates = [FLAT(step) * rate for rate in RATES]
            counters = expected._net.get_counters()
            other = at_rates(network(FLAT, widths, **settings), rates)
            other.parameters = expected.parameters
            other._net.set_counters(*counters)
            expected = other
            expected.step(a, b, five)
            stepped.step(a, b, two)
        fitted.fit(x, y, epochs=epochs, batch_size=size, shuffle=False, optimizer=one)
        streamed.fit_stream(batches(x, y, size), epochs=epochs, optimizer=three)
        arguments: dict[str, Any] = {"epochs": epochs, "batch_size": size, "shuffle": False}
        bp.fit_many([member], x, y, optimizers=[four], **arguments)
    for each in (fitted, stepped, streamed, member):
        np.testing.assert_array_equal(each.parameters, expected.parameters)


@pytest.mark.parametrize("factor", [0.0, 1.0, 0.5])
def test_a_constant_factor_is_another_rate(factor: float) -> None:
    scheduled = network(schedules.Constant(factor))
    plain = at_rates(network(), [factor * rate for rate in RATES])
    none = network(None, dropout=0.0)
    for net in (scheduled, plain, none):
        net.fit(X, Y, epochs=3, batch_size=BATCH, optimizer=bp.Adam(0.01))
    np.testing.assert_array_equal(scheduled.parameters, plain.parameters)
    assert (scheduled.parameters == none.parameters).all() == (factor == 0.0)


@pytest.mark.parametrize("threads", [1, 3])
def test_shards_have_it(threads: int) -> None:
    """Their rows have the masks of the whole batch."""
    one, other = (network(dtype="float64") for _ in range(2))
    arguments: dict[str, Any] = {"epochs": 4, "batch_size": BATCH}
    with thread_limit(threads):
        one.fit(X, Y, optimizer=bp.Adam(0.01), **arguments)
        other.fit(X, Y, optimizer=bp.Adam(0.01), shards=4, **arguments)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=1e-9, atol=1e-12)


def test_networks_side_by_side() -> None:
    schedule = [FLAT, None, GROWING]
    nets = [network(schedule[at % 3], (5, 4, 2), dropout=0.5, seed=at) for at in range(20)]
    alone = [net.copy() for net in nets]
    optimizers = [bp.Adam(0.01) for _ in nets]
    bp.fit_many(nets, X, Y, epochs=5, batch_size=BATCH, optimizers=optimizers)
    for net, other in zip(nets, alone, strict=True):
        other.fit(X, Y, epochs=5, batch_size=BATCH, optimizer=bp.Adam(0.01))
        np.testing.assert_array_equal(net.parameters, other.parameters)


def test_members_of_networks_have_it(tmp_path: Path) -> None:
    settings = {"activation": "tanh", "dropout": 0.5, "dropout_schedule": FLAT}
    nets = bp.Networks([5, 8, 2], n=3, **settings, seed=1)
    nets.save(tmp_path / "nets.npz")
    loaded = bp.Networks.load(tmp_path / "nets.npz")
    for each in (nets, loaded):
        each.fit(X, Y, epochs=3)
    for at, (member, other) in enumerate(zip(nets, loaded, strict=True)):
        alone = network(widths=(5, 8, 2), dropout=0.5, seed=1 + at)
        alone.fit(X, Y, epochs=3)
        assert member.dropout_schedule == other.dropout_schedule == FLAT
        np.testing.assert_array_equal(member.parameters, alone.parameters)
        np.testing.assert_array_equal(other.parameters, alone.parameters)


def test_the_steps_are_those_of_the_network() -> None:
    """Whatever the optimizer has done, in one fit or in several, and after it is replaced."""
    whole, parts = network(), network()
    optimizer, other = bp.SGD(0.01, momentum=0.0), bp.SGD(0.01)
    other.update(np.zeros(3), np.zeros(3))
    other.reset()

    def rewind(end: bp.EpochEnd) -> None:
        optimizer.load_state_dict({**optimizer.state_dict(), "step": 1})

    rewound = network()
    whole.fit(X, Y, epochs=4, batch_size=BATCH, optimizer=other)
    for _ in range(4):
        parts.fit(X, Y, batch_size=BATCH, optimizer=bp.SGD(0.01))
    rewound.fit(X, Y, epochs=4, batch_size=BATCH, optimizer=optimizer, callbacks=rewind)
    np.testing.assert_array_equal(parts.parameters, whole.parameters)
    np.testing.assert_array_equal(rewound.parameters, whole.parameters)


@pytest.mark.parametrize("every", ["2 steps", 1])
def test_a_resumed_run_goes_on_with_it(tmp_path: Path, every: Any) -> None:
    path = tmp_path / "run.npz"
    whole, halves, again = network(), network(), network()
    whole.fit(X, Y, epochs=4, batch_size=BATCH)
    arguments: dict[str, Any] = {"epochs": 4, "batch_size": BATCH, "checkpoint": path}
    arguments["checkpoint_every"] = every
    halves.fit(X, Y, callbacks=lambda end: end.epoch == 1, **arguments)
    again.fit(X, Y, resume=True, **arguments)
    np.testing.assert_array_equal(again.parameters, whole.parameters)
    for schedule in (None, schedules.FlatCos(1.0, 9)):
        with pytest.raises(ValueError, match="network dropout_schedule"):
            network(schedule).fit(X, Y, resume=path, **arguments)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_and_copies_keep_it(tmp_path: Path, suffix: str) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    net = network()
    net.fit(X, Y, batch_size=BATCH)
    path = tmp_path / f"net{suffix}"
    net.save(path)
    found = [bp.Network.load(path), net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    expected = [mask.copy() for mask in net.dropout_masks(9)]
    for other in found:
        assert other.dropout_schedule == FLAT
        for mask, own in zip(other.dropout_masks(9), expected, strict=True):
            np.testing.assert_array_equal(mask, own)
    assert "dropout_schedule" not in network(None)._settings()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0.5, TypeError, "dropout_schedule must be a Schedule or None, got 0.5"),
        (lambda step: 0.5, TypeError, "dropout_schedule must be a Schedule"),
        (FLAT.to_dict(), TypeError, "dropout_schedule must be a Schedule or None, got {'name'"),
        (Own(0.5), TypeError, "dropout_schedule must be a Schedule.*of pybackprop.schedules"),
        (schedules.FlatCos(1.5, 9), ValueError, "factors from 0 to 1, got 1.5 at step 0"),
    ],
)
def test_what_gives_no_factors_is_refused(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        network(value)


def test_a_late_factor_that_is_none_changes_nothing() -> None:
    net = network(schedules.Exponential(0.5, 1.001))  # above 1 from step 694 on
    before = net.parameters.copy()
    calls: list[tuple[int, Any]] = [
        (693, lambda: net.fit(X, Y)),  # two steps
        (694, lambda: net.step(X, Y, bp.SGD())),
        (694, lambda: net.dropout_masks(3)),
    ]
    for first, call in calls:
        net._net.set_counters(first, 0)
        with pytest.raises(ValueError, match=r"factors from 0 to 1, got 1\.00\S* at step 694"):
            call()
        np.testing.assert_array_equal(net.parameters, before)
        assert net._net.get_counters() == (first, 0)


@pytest.mark.parametrize("slice_ns", [1, 50_000_000])
def test_only_steps_that_are_taken_count(slice_ns: int) -> None:
    """Factors that are none from step 70 on are not looked at before."""
    fitted, streamed, member = (network(schedules.Exponential(0.5, 1.01)) for _ in range(3))
    arguments: dict[str, Any] = {"epochs": 7, "batch_size": 4, "shuffle": False}
    fitted.fit(X, Y, optimizer="sgd", _slice_ns=slice_ns, **arguments)
    streamed.fit_stream(batches(X, Y, 4), epochs=7, optimizer="sgd")
    bp.fit_many([member], X, Y, optimizers="sgd", _slice_ns=slice_ns, **arguments)
    for net in (fitted, streamed, member):
        assert net._net.get_counters()[0] == 70
        np.testing.assert_array_equal(net.parameters, fitted.parameters)
    for net, train in (
        (fitted, lambda: fitted.fit(X[:4], Y[:4])),
        (streamed, lambda: streamed.fit_stream(batches(X, Y, 4))),
        (member, lambda: bp.fit_many([member], X[:4], Y[:4], optimizers="sgd")),
    ):
        with pytest.raises(ValueError, match=r"got 1.00338.* at step 70$"):
            train()
        np.testing.assert_array_equal(net.parameters, streamed.parameters)


# Each is first above 1 far from both ends of the blocks in which a fit computes its rates.
LATE = [
    schedules.Exponential(0.5, 1.0001),
    schedules.Step(0.6, 6000, 2.0),
    schedules.Cosine(0.5, 9000, 1.5),
    schedules.OneCycle(1.5, 9000),  # ends below 1
    schedules.Exponential(1.5, 0.9999, warmup=8000),  # the same
]


@pytest.mark.parametrize("schedule", LATE, ids=repr)
def test_a_fit_that_would_come_to_no_factor_does_not_begin(schedule: Any) -> None:
    net, other = network(schedule), network(FLAT)
    before = [each.parameters.copy() for each in (net, other)]
    arguments: dict[str, Any] = {"epochs": 12000, "batch_size": len(X)}
    with pytest.raises(ValueError, match=r"^dropout_schedule must give factors from 0"):
        net.fit(X, Y, **arguments)
    with pytest.raises(ValueError, match=r"^networks\[1\]: dropout_schedule must give factors"):
        bp.fit_many([other, net], X, Y, optimizers=[bp.Adam(), bp.Adam()], **arguments)
    for each, parameters in zip((net, other), before, strict=True):
        np.testing.assert_array_equal(each.parameters, parameters)
    net.fit(X, Y, epochs=2, batch_size=len(X))
    assert net._net.get_counters() == (2, 2)


@pytest.mark.parametrize("many", [False, True])
def test_a_resumed_run_that_would_come_to_no_factor_changes_nothing(
    tmp_path: Path, many: bool
) -> None:
    """The steps are those of the file, whatever the network has done before."""
    schedule = schedules.Exponential(0.5, 1.001)  # above 1 from step 694 on

    def fit(net: bp.Network, epochs: int, **keep: Any) -> None:
        arguments = {"epochs": epochs, "batch_size": len(X), "checkpoint": tmp_path / "run", **keep}
        if many:
            bp.fit_many([net], X, Y, optimizers="sgd", **arguments)
        else:
            net.fit(X, Y, optimizer="sgd", **arguments)

    fit(network(schedule), 300)
    net = network(schedule)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"got 1\.0\S* at step 699"):
        fit(net, 700, resume=True)
    np.testing.assert_array_equal(net.parameters, before)
    net._net.set_counters(300, 0)
    fit(net, 500, resume=True)
    assert net._net.get_counters() == (500, 500)


@pytest.mark.parametrize("many", [False, True])
def test_a_network_that_has_been_stopped_takes_no_more_steps(tmp_path: Path, many: bool) -> None:
    """So nothing is wrong with a factor that is none at steps after its last one."""
    schedule = schedules.Exponential(0.9, 1.01)  # above 1 from step 11 on
    other, stopped = network(), network(schedule)

    def fit(epochs: int, **more: Any) -> Any:
        arguments = {"epochs": epochs, "batch_size": len(X), "checkpoint": tmp_path / "run", **more}
        if many:
            arguments["callbacks"] = lambda end: np.array([False, end.epoch == 2])
            return bp.fit_many([other, stopped], X, Y, optimizers="sgd", **arguments)
        still = bp.SGD(0.0)  # so the validation cost stays, and patience ends after one epoch
        return stopped.fit(X, Y, optimizer=still, validation=(X, Y), patience=1, **arguments)

    fit(5)
    done = stopped._net.get_counters()
    history = fit(30, resume=True)
    assert stopped._net.get_counters() == done
    if many:
        assert history.status.tolist() == ["done", "stopped"]
        with pytest.raises(ValueError, match=r"^networks\[1\]: .* at step 32"):
            bp.fit_many([other, stopped], X, Y, optimizers="sgd", epochs=30, batch_size=len(X))


def test_the_network_keeps_a_copy() -> None:
    schedule = schedules.Constant(0.5)
    net = network(schedule)
    schedule.lr = 7.0
    assert net.dropout_schedule == schedules.Constant(0.5)
    net.fit(X, Y)


def test_another_one_can_be_assigned_between_fits() -> None:
    """And counts the steps of the network, as one that it has been made with."""
    net, expected = network(None), network(GROWING)
    for each in (net, expected):
        each._net.set_counters(3, 1)
    net.dropout_schedule = GROWING
    for each in (net, expected):
        each.fit(X, Y, epochs=2, batch_size=BATCH)
    np.testing.assert_array_equal(net.parameters, expected.parameters)
    assert net.copy().dropout_schedule == GROWING
    for wrong in (schedules.Constant(2.0), Own(0.5)):
        with pytest.raises((TypeError, ValueError), match="dropout_schedule must"):
            net.dropout_schedule = wrong
    assert net.dropout_schedule == GROWING

    def assign(end: bp.EpochEnd) -> None:
        net.dropout_schedule = None

    with pytest.raises(RuntimeError, match="a fit of it is in progress"):
        net.fit(X, Y, callbacks=assign)
    net.dropout_schedule = None
    assert net.dropout_schedule is None
    assert "dropout_schedule" not in net._settings()


def test_members_and_searches_take_it() -> None:
    """What makes networks from settings that were kept, or shared, keeps the schedule."""
    nets = bp.Networks([5, 8, 2], n=2, dropout=0.5, dropout_schedule=FLAT, seed=1)
    nets[0] = nets[1]
    copies = [nets[0], pickle.loads(pickle.dumps(nets))[1], nets.copy()[1]]
    assert all(each.dropout_schedule == FLAT for each in copies)
    net = network(widths=(5, 8, 2), dropout=0.5)
    found = bp.tuning.cross_validate(net, X, Y, epochs=1, folds=2, optimizer="sgd")
    assert found.networks[0].dropout_schedule == FLAT
    result = bp.tuning.search(
        X,
        Y,
        {"lr": [0.1], "dropout": [0.5]},
        max_epochs=3,
        folds=2,
        network={"widths": 8, "dropout_schedule": FLAT},
    )
    assert result.network is not None
    assert result.network.dropout_schedule == FLAT
