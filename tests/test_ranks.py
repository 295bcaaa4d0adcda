"""Ranks of a run: what they agree on, and how they fail together. Threads stand for processes."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ranks import FakeComm, run_ranks
from test_shards import WEIGHTS, X, Y, train

import pybackprop as bp
from pybackprop.distributed import _channel, _shards
from pybackprop.exchange import npz


class Boom(Exception):
    """Of this file alone."""


def fit(comm: Any, net: bp.Network | None = None, **given: Any) -> bp.History:
    net = bp.Network([12, 8, 3], seed=3) if net is None else net
    given = {"X": X, "y": Y, "epochs": 4, "batch_size": 40, "timeout": 30.0, **given}
    return net.fit(comm=comm, **given)


def check_failure(outcomes: list[Any], failed: int, error: type[BaseException], text: str) -> None:
    """One rank raised its own exception, and the others a RuntimeError that tells of it."""
    for rank, outcome in enumerate(outcomes):
        if rank == failed:
            assert type(outcome) is error
        else:
            assert type(outcome) is RuntimeError, outcome
            assert f"rank {failed} of {len(outcomes)} failed: {text}" in str(outcome)


# ---- what has to be alike ----


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("batch_size is 40 on ranks? 0.*, 41 on rank 1", {"batch_size": 41}),
        ("epochs is", {"epochs": 5}),
        ("shards is 8 on ranks? 0.*, 4 on rank 1", {"shards": 4}),
        ("shuffle is", {"shuffle": False}),
        ("data X checksum is", {"X": X + 1e-9}),
        ("data y checksum is", {"y": Y[::-1]}),
        ("data X dtype is", {"X": X.astype(np.float32)}),
        ("data sample_weight is null on ranks? 0.*, {", {"sample_weight": WEIGHTS}),
        ("validation X is", {"validation": (X, Y)}),
        ("optimizer lr is 0.001", {"optimizer": bp.Adam(lr=0.1)}),
        ("optimizer name is", {"optimizer": "sgd"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ranks_with_other_arguments(ranks: int, words: str, change: dict[str, Any]) -> None:
    nets = [bp.Network([12, 8, 3], seed=3) for _ in range(ranks)]
    before = nets[0].parameters.copy()

    def work(comm: Any) -> Any:
        return fit(comm, nets[comm.Get_rank()], **(change if comm.Get_rank() == 1 else {}))

    outcomes = run_ranks(ranks, work)
    assert {type(each) for each in outcomes} == {ValueError}
    assert len(set(map(str, outcomes))) == 1
    with pytest.raises(ValueError, match=f"all ranks must be alike, but not these:.*{words}"):
        raise outcomes[0]
    for net in nets:
        np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("network seed is 3 on rank 0, 4 on rank 1", {"seed": 4}),
        (r"network widths is \[12, 8, 3\] on rank 0, \[12, 9, 3\]", {"widths": [12, 9, 3]}),
        ("network l2 is", {"l2": 0.1}),
        ("network dtype is", {"dtype": "float64"}),
        ("network precision is", {"precision": "bf16"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_ranks_with_other_networks(words: str, change: dict[str, Any]) -> None:
    def work(comm: Any) -> Any:
        settings = {"widths": [12, 8, 3], "seed": 3, **(change if comm.Get_rank() else {})}
        return fit(comm, bp.Network(**settings))

    for outcome in run_ranks(2, work):
        with pytest.raises(ValueError, match=words):
            raise outcome  # type: ignore[misc]


def test_ranks_with_other_parameters_scalings_or_states() -> None:
    def work(comm: Any, change: Any) -> Any:
        net, optimizer = bp.Network([12, 8, 3], seed=3), bp.Adam()
        if comm.Get_rank():
            change(net, optimizer)
        return fit(comm, net, optimizer=optimizer)

    changes = {
        "network parameters is": lambda net, _: net.set_layer(0, net.weights[0] + 1, net.biases[0]),
        "network scaling is null": lambda net, _: net.set_scaling(np.zeros(12), np.ones(12)),
        "optimizer steps is 0 on rank 0, 1 on rank 1": lambda net, optimizer: net.step(
            X, Y, optimizer
        ),
    }
    for words, change in changes.items():
        for outcome in run_ranks(2, lambda comm, change=change: work(comm, change)):
            with pytest.raises(ValueError, match=words):
                raise outcome  # type: ignore[misc]


def test_ranks_with_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    own = bp.cpu_info()

    def info() -> dict[str, Any]:
        return {**own, "isa": threading.current_thread().name}

    monkeypatch.setattr(_shards, "cpu_info", info)

    def work(comm: Any) -> Any:
        threading.current_thread().name = ["avx2", "avx512"][comm.Get_rank()]
        return fit(comm)

    for outcome in run_ranks(2, work):
        assert 'isa is "avx2" on rank 0, "avx512" on rank 1' in str(outcome)


# ---- failures ----


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_a_rank_with_a_bad_argument(ranks: int) -> None:
    outcomes = run_ranks(ranks, lambda comm: fit(comm, epochs=int(comm.Get_rank() != 1)))
    check_failure(outcomes, 1, ValueError, "ValueError: epochs must be >= 1, got 0")


def test_more_ranks_than_shards() -> None:
    for outcome in run_ranks(3, lambda comm: fit(comm, shards=2)):
        assert type(outcome) is ValueError
        assert "shards must be at least the number of ranks, 3, got 2" in str(outcome)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_a_callback_that_fails_on_one_rank(ranks: int) -> None:
    nets = [bp.Network([12, 8, 3], seed=3) for _ in range(ranks)]

    def work(comm: Any) -> Any:
        def callback(end: bp.EpochEnd) -> None:
            if comm.Get_rank() == 1 and end.epoch == 2:
                raise Boom("of the callback")

        return fit(comm, nets[comm.Get_rank()], callbacks=callback)

    check_failure(run_ranks(ranks, work), 1, Boom, "Boom: of the callback")
    whole = bp.Network([12, 8, 3], seed=3)
    fit(None, whole, shards=8, epochs=3)
    for net in nets:
        np.testing.assert_array_equal(net.parameters, whole.parameters)
        fit(None, net)  # it can be used again


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_loss_that_fails_on_one_rank_in_the_middle_of_an_epoch(ranks: int) -> None:
    nets = []
    last = threading.Lock()

    def work(comm: Any) -> Any:
        calls = 0

        def loss(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            nonlocal calls
            calls += 1
            if comm.Get_rank() == ranks - 1 and calls == 20:
                raise Boom("of the loss")
            return ((a - y) ** 2).sum(1), 2 * (a - y)

        net = bp.Network([12, 8, 3], seed=3, loss=loss)
        with last:
            nets.append(net)
        return fit(comm, net)

    check_failure(run_ranks(ranks, work), ranks - 1, Boom, "Boom: of the loss")
    for net in nets:
        np.testing.assert_array_equal(net.parameters, nets[0].parameters)
        assert net._net.get_counters()[0] > 0


def test_a_cost_that_is_not_finite_ends_all_alike() -> None:
    targets = Y.copy()
    targets[120] = 1e38
    for outcome in run_ranks(3, lambda comm: fit(comm, y=targets, shuffle=False)):
        assert type(outcome) is FloatingPointError
        assert "epoch 0, batch 3" in str(outcome)


def test_a_rank_that_does_not_come() -> None:
    def work(comm: Any) -> Any:
        return fit(comm, timeout=0.2) if comm.Get_rank() < 2 else None

    outcomes = run_ranks(3, work)
    for outcome in outcomes[:2]:
        assert type(outcome) is TimeoutError
        assert "has waited 0.2 s for rank" in str(outcome)


def test_a_rank_that_stays_behind() -> None:
    def work(comm: Any) -> Any:
        go_on = threading.Event()
        wait = (lambda _: go_on.wait(1.0)) if comm.Get_rank() == 0 else ()
        return fit(comm, timeout=0.3, callbacks=wait)

    outcomes = run_ranks(2, work)
    assert type(outcomes[1]) is TimeoutError
    assert isinstance(outcomes[0], (TimeoutError, RuntimeError))


def test_ranks_that_are_not_in_step() -> None:
    def work(comm: Any) -> Any:
        with _channel.Channel(comm, 30.0) as channel:
            channel.meet(_channel.EPOCH if comm.Get_rank() else _channel.STEP)

    for outcome in run_ranks(2, work):
        assert type(outcome) is RuntimeError
        assert "rank 0 at a batch, rank 1 at the end of an epoch" in str(outcome)


def test_parameters_that_a_callback_changes_on_one_rank() -> None:
    def work(comm: Any) -> Any:
        def callback(end: bp.EpochEnd) -> None:
            if comm.Get_rank() == 1 and end.epoch == 1:
                end.network.set_layer(0, end.network.weights[0] * 2, end.network.biases[0])

        return fit(comm, callbacks=callback)

    for outcome in run_ranks(2, work):
        assert "the ranks have different parameters after epoch 1" in str(outcome)


def test_one_rank_that_wants_to_stop_stops_all() -> None:
    def work(comm: Any) -> Any:
        history = fit(comm, callbacks=lambda end: comm.Get_rank() == 1 and end.epoch == 1)
        return len(history), history.stopped_early

    assert run_ranks(3, work) == [(2, True)] * 3


def test_an_interrupt_on_one_rank_ends_all_after_the_same_batch() -> None:
    nets = [bp.Network([12, 8, 3], seed=3) for _ in range(2)]
    boxes = FakeComm(0, 2).boxes
    other: list[Any] = []
    before = signal.getsignal(signal.SIGINT)

    def be_rank_1() -> None:
        try:
            fit(FakeComm(1, 2, boxes), nets[1], epochs=10_000)
        except BaseException as error:
            other.append(error)

    thread = threading.Thread(target=be_rank_1)
    thread.start()
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(FakeComm(0, 2, boxes), nets[0], epochs=10_000)
    thread.join(60.0)
    check_failure([None, *other], 0, type(None), "KeyboardInterrupt")
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_at_the_very_end_is_nobody_else_s_business() -> None:
    comms = [FakeComm(0, 2)]
    comms.append(FakeComm(1, 2, comms[0].boxes))
    other: list[Any] = []

    def be_rank_1() -> None:
        with _channel.Channel(comms[1], 30.0) as channel:
            other.append(channel.finish())

    def be_rank_0() -> None:
        with _channel.Channel(comms[0], 1.0) as channel, channel.quiet():
            signal.raise_signal(signal.SIGINT)
            channel.finish()

    thread = threading.Thread(target=be_rank_1)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        be_rank_0()
    thread.join(60.0)
    assert other == [None]
    assert not any(comms[0].boxes.values())


def test_a_second_interrupt_does_not_wait_for_other_ranks() -> None:
    timers = [threading.Timer(0.1 * i, signal.raise_signal, [signal.SIGINT]) for i in (2, 4)]
    for timer in timers:
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(FakeComm(0, 2), timeout=100.0)


# ---- checkpoints, progress ----


@pytest.mark.parametrize("every", [1, "3 steps"])
@pytest.mark.parametrize("ranks", [(3, 2), (2, 5), (4, 1)])
def test_another_number_of_ranks_resumes(
    tmp_path: Path, ranks: tuple[int, int], every: int | str
) -> None:
    path = tmp_path / "run.npz"
    calls = [0] * 8

    def interrupted(comm: Any) -> Any:
        def loss(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            calls[comm.Get_rank()] += 1
            if comm.Get_rank() == 0 and calls[0] > 9 * (8 // ranks[0]):
                raise Boom
            return ((a - y) ** 2).sum(1), 2 * (a - y)

        return train(comm, loss=loss, checkpoint=path, checkpoint_every=every)

    def squared(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ((a - y) ** 2).sum(1), 2 * (a - y)

    outcomes = run_ranks(ranks[0], interrupted)
    assert type(outcomes[0]) is Boom
    assert path.exists()
    expected = train(loss=squared)
    kept = path.read_bytes()
    for outcome in run_ranks(
        ranks[1], lambda comm: train(comm, loss=squared, checkpoint=path, resume=True)
    ):
        assert outcome == expected
    path.write_bytes(kept)
    assert train(loss=squared, resume=path) == expected
    with pytest.raises(ValueError, match=r"shards is 4 here, 8 in the checkpoint"):
        train(loss=squared, resume=path, shards=4)
    with pytest.raises(ValueError, match=r"shards is not given here, 8 in the checkpoint"):
        train(loss=squared, resume=path, shards=None)


def test_rank_0_alone_writes_and_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[str] = []
    save = npz.save

    def noted(path: Any, contents: Any) -> None:
        writers.append(threading.current_thread().name)
        save(path, contents)

    monkeypatch.setattr(npz, "save", noted)

    def work(comm: Any) -> Any:
        threading.current_thread().name = str(comm.Get_rank())
        folder = tmp_path if comm.Get_rank() == 0 else tmp_path / "not-there"
        return fit(comm, checkpoint=folder / "run.npz", progress=True, epochs=3).cost

    outcomes = run_ranks(3, work)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert writers == ["0"] * 3
    shown = capsys.readouterr().err
    assert shown.count("epoch 3/3") == 1 or shown.count("3/3") >= 1, shown


def test_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    outcomes = run_ranks(2, lambda comm: fit(comm, checkpoint=tmp_path / "none" / "run.npz"))
    assert isinstance(outcomes[0], OSError)
    assert "rank 0 of 2 failed: FileNotFoundError" in str(outcomes[1])


def test_a_checkpoint_that_one_rank_does_not_see(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    fit(None, shards=8, epochs=1, checkpoint=path)

    def work(comm: Any) -> Any:
        folder = tmp_path if comm.Get_rank() == 0 else tmp_path / "not-there"
        return fit(comm, checkpoint=folder / "run.npz", resume=True)

    for outcome in run_ranks(2, work):
        assert type(outcome) is ValueError
        assert "checkpoint is" in str(outcome)
