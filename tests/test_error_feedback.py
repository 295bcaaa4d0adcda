"""Sums of shards in bfloat16, whose rounding errors are added to the next ones."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ranks import FakeComm, run_ranks
from test_ranks import check_failure, fit
from test_shards import OPTIMIZERS, WIDTHS, Y, check_ranks, train

import pybackprop as bp
from pybackprop import _core, datasets
from pybackprop.distributed import _channel, _rounding, _shards, _tree
from pybackprop.exchange import npz

RNG = np.random.default_rng(12)


def squared(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ((a - y) ** 2).sum(1), 2 * (a - y)


class Boom(Exception):
    """Of this file alone."""


# ---- the definition ----


def nearest(x: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 numbers, to even where two are as near, as float32."""
    bits = x.astype(np.float32).view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def add_errors(x: np.ndarray, errors: np.ndarray) -> np.ndarray:
    exact = x + errors
    rounded = nearest(exact)
    errors[:] = nearest(exact - rounded)
    return rounded


def tree(node: int, vectors: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The sum below a node: of its halves, or a vector, rounded with the errors of the node."""
    if node >= len(vectors):
        return add_errors(vectors[node - len(vectors)], errors[node])
    halves = (tree(2 * node + side, vectors, errors) for side in (0, 1))
    return add_errors(next(halves) + next(halves), errors[node])


def test_the_core_rounds_as_the_definition() -> None:
    x = RNG.normal(size=10_000).astype(np.float32) * 10.0 ** RNG.uniform(-20, 20, 10_000)
    x = np.concatenate([x.astype(np.float32), np.float32([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8])])
    errors = nearest(x / np.float32(700))
    expected, left = x.copy(), errors.copy()
    expected = add_errors(expected, left)
    bits = (errors.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    _core.round_bf16(x, bits)
    assert x.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(bits, left.view(np.uint32) >> np.uint32(16))


def test_what_is_not_finite_stays_so() -> None:
    names = np.array([0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF], np.uint32)
    x = names.view(np.float32)
    _core.round_bf16(x, np.zeros(len(x), np.uint16))
    assert np.array_equal(x, [np.inf, -np.inf, np.nan, np.nan, np.inf], equal_nan=True)


@pytest.mark.parametrize("size", [1, 40, 9_001])
@pytest.mark.parametrize("shards", [2, 8, 16])
def test_every_number_of_ranks_adds_as_the_definition(size: int, shards: int) -> None:
    rounds = RNG.normal(size=(3, shards, size)) * 10.0 ** RNG.uniform(-6, 6, (3, shards, 1))
    rounds = rounds.astype(np.float32)
    left = np.zeros((2 * shards, size), np.float32)
    expected = [tree(1, vectors, left).tobytes() for vectors in rounds]
    bits = (left[1:].view(np.uint32) >> np.uint32(16)).astype(np.uint16).tobytes()

    def work(comm: Any) -> list[bytes]:
        rounding = _rounding.Rounding(shards, size)
        known = np.zeros((2 * shards, size), np.float32)
        found = []
        with _channel.Channel(comm, 30.0) as channel:
            first, end = _tree.shards_of(channel.rank, channel.size, shards)
            sizes = _tree.blocks_between(first, end, shards)
            starts = list(pairwise(np.cumsum([first, *sizes]).tolist()))
            for vectors in rounds:
                nodes = [(shards + begin) // (stop - begin) for begin, stop in starts]
                sums = np.array([tree(node, vectors, known) for node in nodes])
                rounding.add_up(channel, sums)
                found.append(sums[0].tobytes())
            for node in range(1, 2 * shards):  # those below the blocks are the core's business
                if known[node].any():
                    rounding.errors[node] = known[node].view(np.uint32) >> np.uint32(16)
            rounding.gather(channel)
        if channel.rank == 0:
            assert rounding.errors[1:].tobytes() == bits
        return found

    for ranks in range(2, shards + 1):
        check_ranks(expected, ranks, work)


# ---- training ----

CASES: list[dict[str, Any]] = [
    *({"optimizer": name, "size": size} for name in OPTIMIZERS for size in WIDTHS),
    {"shards": 2},
    {"shards": 32, "size": "large"},
    {"batch_size": 6, "epochs": 1},
    {"precision": "bf16"},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_ranks_threads_and_slices_change_no_bit(case: dict[str, Any]) -> None:
    case = {**case, "exchange": "bf16"}
    expected = train(**case)
    assert expected != train(**{**case, "exchange": None})
    assert train(**case, threads=1) == expected
    assert train(**case, _slice_ns=1) == expected
    for ranks in (1, 2, 3, 4, 5, 8):
        if ranks <= case.get("shards", 8):
            check_ranks(expected, ranks, lambda comm: train(comm, **case))


def test_a_gradient_has_the_digits_of_bfloat16() -> None:
    x, y = RNG.normal(size=(64, 5)), RNG.normal(size=(64, 2))
    for exchange in ("bf16", None):
        net = bp.Network([5, 2], init="zeros", seed=0)
        net.fit(x, y, batch_size=64, shards=4, optimizer=bp.SGD(lr=1.0), exchange=exchange)
        assert np.array_equal(nearest(net.parameters), net.parameters) == (exchange == "bf16")


def test_what_rounding_leaves_out_is_made_up_for() -> None:
    """A gradient between two bfloat16 numbers: rounding alone would lose as much in each step."""
    step, steps = 1 + 0.45 / 128, 200

    def loss(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return step * a[:, 0], np.full_like(a, step)

    net = bp.Network([1, 1], init="zeros", loss=loss, seed=0)
    x = np.ones((64 * steps, 1))
    net.fit(x, x, batch_size=64, shards=4, optimizer=bp.SGD(lr=1.0), exchange="bf16")
    lost = abs(net.parameters[0] + step * steps)
    assert lost < 0.02 < 0.5 < (step - 1) * steps


def test_what_is_left_out_at_the_end_of_a_call_is_dropped() -> None:
    def parameters(exchange: str | None, calls: int) -> bytes:
        net, optimizer = bp.Network([12, 8, 3], seed=3), bp.Adam()
        for _ in range(calls):
            fit(None, net, epochs=2 // calls, shards=8, optimizer=optimizer, exchange=exchange)
        return net.parameters.tobytes()

    assert parameters(None, 2) == parameters(None, 1)
    assert parameters("bf16", 2) != parameters("bf16", 1)


def test_digits_are_learnt_as_well() -> None:
    data = datasets.load("digits").split(0.3, seed=0)

    def cost(exchange: str | None) -> tuple[float, float]:
        net = bp.Network([64, 32, 10], output="softmax", loss="cross_entropy", seed=0)
        history = net.fit(data.x, data.y, epochs=20, batch_size=128, shards=8, exchange=exchange)
        return history.cost[-1], net.cost(data.x_test, data.y_test)

    assert cost("bf16") == pytest.approx(cost(None), rel=0.02)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_half_as_many_bytes_are_sent(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    send = FakeComm.Isend

    def counted(self: FakeComm, array: np.ndarray, dest: int) -> Any:
        if array.itemsize < 8 and array.nbytes > 1000:  # neither costs nor texts of meetings
            sent.append(array.nbytes)
        return send(self, array, dest)

    monkeypatch.setattr(FakeComm, "Isend", counted)
    totals = []
    for exchange in ("bf16", None):
        sent.clear()
        expected = train(size="large", exchange=exchange)
        check_ranks(expected, ranks, lambda comm, e=exchange: train(comm, size="large", exchange=e))
        totals.append(sum(sent))
    assert totals[0] * 2 == pytest.approx(totals[1], rel=0.01)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_cost_that_is_not_finite_leaves_nothing_for_the_next_fit(ranks: int) -> None:
    targets = Y.copy()
    targets[120] = 1e38

    def work(comm: Any) -> tuple[list[float], bytes]:
        net, optimizer = bp.Network([12, 8, 3], seed=3), bp.Adam()
        given = {"shuffle": False, "shards": 8, "optimizer": optimizer, "exchange": "bf16"}
        with pytest.raises(FloatingPointError, match="epoch 0, batch 3"):
            fit(comm, net, y=targets, **given)
        return fit(comm, net, **given).cost, net.parameters.tobytes()

    fresh = bp.Network([12, 8, 3], seed=3)
    cost = fit(None, fresh, shuffle=False, shards=8, exchange="bf16").cost
    check_ranks((cost, fresh.parameters.tobytes()), ranks, work)


# ---- checkpoints ----


@pytest.mark.parametrize("every", [1, "3 steps", "0.0001 s"])
@pytest.mark.parametrize("ranks", [(3, 2), (2, 5), (4, 1), (1, 3)])
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
            return squared(a, y)

        return train(comm, loss=loss, checkpoint=path, checkpoint_every=every, exchange="bf16")

    assert type(run_ranks(ranks[0], interrupted)[0]) is Boom
    kept = path.read_bytes()
    expected = train(loss=squared, exchange="bf16")
    again = {"loss": squared, "checkpoint": path, "checkpoint_every": every, "resume": True}
    check_ranks(expected, ranks[1], lambda comm: train(comm, exchange="bf16", **again))
    path.write_bytes(kept)
    assert train(loss=squared, resume=path, exchange="bf16") == expected


def test_a_checkpoint_tells_how_gradients_were_sent(tmp_path: Path) -> None:
    rounded, whole = tmp_path / "rounded.npz", tmp_path / "whole.npz"
    train(checkpoint=rounded, exchange="bf16")
    train(checkpoint=whole)
    with pytest.raises(ValueError, match="exchange is not given here, 'bf16' in the checkpoint"):
        train(resume=rounded)
    with pytest.raises(ValueError, match="exchange is 'bf16' here, not given in the checkpoint"):
        train(resume=whole, exchange="bf16")
    size = bp.Network(WIDTHS["small"]).n_parameters
    with np.load(rounded) as arrays:
        assert arrays["training.errors"].shape == (16, size)


def test_a_network_is_loaded_without_the_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, read, names = bp.Network([12, 8, 3], seed=3), npz.Archive.read, []
    fit(None, net, shards=8, exchange="bf16", checkpoint=tmp_path / "run.npz")

    def noted(archive: npz.Archive, name: str, size: int) -> np.ndarray:
        names.append(name)
        return read(archive, name, size)

    monkeypatch.setattr(npz.Archive, "read", noted)
    loaded = bp.Network.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(loaded.parameters, net.parameters)
    assert "parameters" in names
    assert "training.errors" not in names


@pytest.mark.parametrize("ranks", [1, 3])
def test_no_rank_keeps_the_errors_of_all(
    ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"exchange": "bf16", "checkpoint": tmp_path / "run.npz"}
    fit(None, shards=8, epochs=1, **given)
    kept: list[Any] = []

    def noted(self: _shards.ShardedTrainer, fit: Any) -> None:
        go_on(self, fit)
        assert self.position is not None
        assert self.rounding is not None
        kept.append((self.position.errors, int(self.rounding.errors[8:].any(1).sum())))

    go_on = _shards.ShardedTrainer._go_on
    monkeypatch.setattr(_shards.ShardedTrainer, "_go_on", noted)
    run_ranks(ranks, lambda comm: fit(comm, resume=True, **given))
    assert {errors for errors, _ in kept} == {None}
    assert sorted(rows for _, rows in kept) == ([8] if ranks == 1 else [2, 3, 3])


def test_a_network_with_scales_of_its_inputs_resumes(tmp_path: Path) -> None:
    def scaled() -> bp.Network:
        return bp.Network([12, 8, 3], seed=3, input_scales=True)

    given = {"shards": 8, "exchange": "bf16"}
    whole, begun, resumed = scaled(), scaled(), scaled()
    fit(None, whole, epochs=3, **given)
    fit(None, begun, epochs=1, checkpoint=tmp_path / "run.npz", **given)
    fit(None, resumed, epochs=3, resume=tmp_path / "run.npz", **given)
    np.testing.assert_array_equal(resumed.parameters, whole.parameters)
    loaded = bp.Network.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(loaded.parameters, begun.parameters)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (8, "the errors do not go with the shards"),
        (200, r"errors of the run must be in \[1, 128\]"),
    ],
)
def test_errors_of_other_shards(tmp_path: Path, rows: int, words: str) -> None:
    path = tmp_path / "run.npz"
    train(checkpoint=path, exchange="bf16")
    with np.load(path) as file:
        arrays = dict(file)
    header = bytes(arrays["header"])
    changed = header.replace(b'"errors": 16', f'"errors": {rows}'.encode())
    assert changed != header
    arrays["header"] = np.frombuffer(changed, np.uint8)
    arrays["training.errors"] = np.resize(arrays["training.errors"], (rows, 623))
    assert arrays["training.errors"].shape[1] == bp.Network(WIDTHS["small"]).n_parameters
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=words):
        train(resume=path, exchange="bf16")


def test_ranks_differ_in_what_concerns_the_exchange(tmp_path: Path) -> None:
    for outcome in run_ranks(2, lambda comm: fit(comm, exchange=["bf16", None][comm.Get_rank()])):
        assert 'exchange is "bf16" on rank 0, null on rank 1' in str(outcome)
    for outcome in run_ranks(
        2,
        lambda comm: fit(
            comm,
            exchange="bf16",
            checkpoint=tmp_path / "run.npz",
            checkpoint_every=1 + comm.Get_rank(),
        ),
    ):
        assert re.search(r"checkpoint_every is \[.*\] on rank 0, \[.*\] on rank 1", str(outcome))


@pytest.mark.parametrize(
    ("every", "times"), [(1, 4), (3, 2), ("7 steps", 4), ("8 steps", 3), (9, 1)]
)
def test_errors_are_gathered_once_for_each_file(
    every: Any, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Any] = []
    gathered: list[int] = []
    gather, save = _rounding.Rounding.gather, npz.save

    def noted(self: _rounding.Rounding, channel: _channel.Channel) -> None:
        gathered.append(channel.rank)
        gather(self, channel)

    def written(path: Any, model: npz.Contents) -> None:
        files.append(path)
        save(path, model)

    monkeypatch.setattr(_rounding.Rounding, "gather", noted)
    monkeypatch.setattr(npz, "save", written)
    given = {"exchange": "bf16", "checkpoint": tmp_path / "run.npz", "checkpoint_every": every}
    run_ranks(2, lambda comm: fit(comm, **given))
    assert sorted(gathered) == [0] * times + [1] * times
    assert len(files) == times


@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupt_while_ranks_agree_to_write(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint's parts are sent all the same, so the other rank learns what has happened."""
    meet = _channel.Channel._meet

    def interrupted(channel: Any, purpose: int, numbers: Any, text: bytes) -> Any:
        found = meet(channel, purpose, numbers, text)
        if channel.rank == rank and purpose == _channel.KEEP:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(_channel.Channel, "_meet", interrupted)
    boxes: dict[Any, Any] = {}
    other: list[Any] = []

    def be(rank: int) -> None:
        fit(FakeComm(rank, 2, boxes), exchange="bf16", checkpoint=tmp_path / "run.npz")

    def be_the_other() -> None:
        try:
            be(1 - rank)
        except BaseException as error:
            other.append(error)

    thread = threading.Thread(target=be_the_other)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        be(rank)
    thread.join(60.0)
    check_failure([None, *other] if rank == 0 else [*other, None], rank, type(None), "Keyboard")
    assert not any(boxes.values())


# ---- arguments ----


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"exchange": "fp16", "shards": 4}, "exchange must be 'bf16', or None .*, got 'fp16'"),
        ({"exchange": 16, "shards": 4}, "exchange must be 'bf16', or None .*, got 16"),
        ({"exchange": "bf16"}, "exchange='bf16' needs shards of at least 2, got 1"),
        (
            {"exchange": "bf16", "shards": 4, "dtype": "float64"},
            "a network of float32, got float64",
        ),
    ],
)
def test_wrong_arguments(given: dict[str, Any], words: str) -> None:
    net = bp.Network([12, 3], seed=1, dtype=given.pop("dtype", "float32"))
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=words):
        fit(None, net, **given)
    np.testing.assert_array_equal(net.parameters, before)


def test_the_command_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pybackprop",
        "train",
        "iris",
        "--epochs",
        "2",
        "--shards",
        "4",
    ]
    found = []
    for name, options in (("whole.npz", []), ("rounded.npz", ["--exchange", "bf16"])):
        path = tmp_path / name
        subprocess.run([*command, *options, "--save", str(path)], check=True, timeout=60)
        found.append(bp.Network.load(path).parameters)
    assert not np.array_equal(*found)
    np.testing.assert_allclose(*found, atol=0.01)
