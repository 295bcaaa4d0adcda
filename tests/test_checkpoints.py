"""Checkpoints: a run that goes on in another process equals one that was not stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_runs
from training_runs import N_BATCHES, RUNS, WEIGHTS, X, Y, figures, make, state, train

import pybackprop as bp
from pybackprop.training import checkpoints, loop, stream

PROGRAM = str(Path(training_runs.__file__))


class Stopped(Exception):
    """In place of the end of a process."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets the next run die after so many checkpoints."""

    def stop(count: int) -> None:
        written = 0

        def write(self: Any, position: Any) -> None:
            nonlocal written
            real(self, position)
            written += 1
            if written == count:
                raise Stopped

        monkeypatch.setattr(checkpoints.Checkpoints, "write", write)

    real = checkpoints.Checkpoints.write
    return stop


def resumed_elsewhere(paths: list[Path]) -> list[dict[str, Any]]:
    """Go on from all of these in a new process; return what became of them."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "resume", *map(str, paths)], stdout=subprocess.PIPE, check=True
    )
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def test_resuming_in_a_new_process_equals_not_stopping(tmp_path: Path, stop_after: Any) -> None:
    """Every optimizer, dtype and precision, with everything on, stopped at a step of its own."""
    for number, run in enumerate(RUNS):
        stop_after(1)
        with pytest.raises(Stopped):
            train(run, checkpoint=tmp_path / run, checkpoint_every=f"{1 + 11 * number % 47} steps")
    for run, result in zip(RUNS, resumed_elsewhere([tmp_path / run for run in RUNS]), strict=True):
        assert result == train(run), run


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_resuming_at_every_step(tmp_path: Path, monkeypatch: Any, run: str) -> None:
    """Every position in an epoch, and every epoch."""
    paths: list[Path] = []
    real = checkpoints.Checkpoints.write

    def write(self: Any, position: Any) -> None:
        real(self, position)
        paths.append(Path(shutil.copy(tmp_path / "now", tmp_path / f"{run}-{len(paths)}")))

    monkeypatch.setattr(checkpoints.Checkpoints, "write", write)
    whole = train(run, checkpoint=tmp_path / "now", checkpoint_every="1 step")
    monkeypatch.undo()
    assert len(paths) >= 2 * N_BATCHES
    for path, result in zip(paths, resumed_elsewhere(paths), strict=True):
        assert result == whole, path


def test_any_number_of_threads_may_go_on(tmp_path: Path, stop_after: Any) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(700, 150)), rng.normal(size=(700, 40))

    def run(threads: int, **arguments: Any) -> dict[str, Any]:
        bp.set_threads(threads)
        net, optimizer = bp.Network([150, 300, 40], seed=1, dropout=0.2), bp.Adam()
        net.fit(x, y, epochs=3, batch_size=256, optimizer=optimizer, **arguments)
        return state(net, optimizer)

    before = bp.get_threads()
    try:
        whole = run(1)
        for first, second in [(2, 1), (1, 3)]:
            path = tmp_path / f"{first}.npz"
            stop_after(1)
            with pytest.raises(Stopped):
                run(first, checkpoint=path, checkpoint_every="4 steps")
            assert run(second, resume=path) == whole
    finally:
        bp.set_threads(before)


@pytest.mark.parametrize("every", ["1 step", "5 steps", "2 epochs", "0.001 s"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_chain_of_short_lives(tmp_path: Path, stop_after: Any, every: str, shuffle: bool) -> None:
    """Each life writes two checkpoints, of which the second is its end."""
    path = tmp_path / "run.npz"
    more = {"shuffle": shuffle, "sample_weight": None, "validation": None, "patience": None}
    whole = stopping_run(epochs=7, **more)
    for _ in range(60):
        stop_after(2)
        try:
            result = stopping_run(
                epochs=7, checkpoint=path, checkpoint_every=every, resume=True, **more
            )
            break
        except Stopped:
            continue
    assert result == whole
    assert os.listdir(tmp_path) == ["run.npz"]


def stopping_run(**arguments: Any) -> dict[str, Any]:
    net, optimizer = make("cosine-float32-float32")
    history = net.fit(X[:40], Y[:40], optimizer=optimizer, batch_size=16, **arguments)
    return {**state(net, optimizer), **figures(history)}


def test_how_often(tmp_path: Path, monkeypatch: Any) -> None:
    """40 rows in batches of 16: three steps an epoch."""
    places: list[tuple[int, int]] = []
    monkeypatch.setattr(
        checkpoints.Checkpoints, "write",
        lambda self, position: places.append((position.epoch, position.batch)),
    )  # fmt: skip
    for every, expected in {
        1: [(1, 0), (2, 0), (3, 0), (3, 0)],
        2: [(2, 0), (3, 0)],
        "2 epochs": [(2, 0), (3, 0)],
        "2": [(2, 0), (3, 0)],
        " 2 Epochs ": [(2, 0), (3, 0)],
        "4 STEPS": [(1, 1), (2, 2), (3, 0)],
        "2 steps": [(0, 2), (1, 1), (2, 0), (2, 2), (3, 0)],
        "4steps": [(1, 1), (2, 2), (3, 0)],
        "1 h": [(3, 0)],
        "2.5 min": [(3, 0)],
    }.items():
        places.clear()
        stopping_run(epochs=3, checkpoint=tmp_path / "run.npz", checkpoint_every=every)
        assert places == expected, every


def test_seconds(tmp_path: Path, monkeypatch: Any) -> None:
    """Checkpoints come in time though a slice or an epoch could be much longer."""
    path = tmp_path / "run.npz"
    net, times = bp.Network([4, 2]), []
    real = checkpoints.Checkpoints.write

    def write(self: Any, position: Any) -> None:
        real(self, position)
        times.append(time.monotonic())
        if len(times) == 4:
            raise Stopped

    monkeypatch.setattr(checkpoints.Checkpoints, "write", write)
    monkeypatch.setattr(loop, "_SLICE_NS", 10**12)
    with pytest.raises(Stopped):
        net.fit(X, Y, epochs=10**9, batch_size=1, checkpoint=path, checkpoint_every="0.05 s")
    assert np.diff(times).min() >= 0.05


def test_the_end_of_a_run_is_kept(tmp_path: Path) -> None:
    """A finished run gives its result again; with more epochs it goes on."""
    path = tmp_path / "run.npz"
    run = "adamw-float32-float32"
    whole = train(run, epochs=4, checkpoint=path)
    before = path.read_bytes()
    assert train(run, epochs=4, resume=path) == whole
    assert train(run, epochs=6, resume=path) == train(run, epochs=6)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"epochs must be at least .* 4 epochs, got 3"):
        train(run, epochs=3, resume=path)


def test_patience_goes_on_where_it_was(tmp_path: Path, stop_after: Any) -> None:
    path = tmp_path / "run.npz"
    run = "nesterov-float64-float32"
    whole = train(run, epochs=60, batch_size=3)
    assert whole["stopped"]
    for count in (1, 3, len(whole["cost"]) - 1, len(whole["cost"])):
        stop_after(count)
        with pytest.raises(Stopped):
            train(run, epochs=60, batch_size=3, checkpoint=path)
        assert train(run, epochs=60, batch_size=3, resume=path) == whole
    assert train(run, epochs=len(whole["cost"]), batch_size=3, resume=path)["stopped"] is False


@pytest.mark.parametrize("more", [{}, {"validation": (X, Y), "patience": 4}])
def test_a_callback_ends_only_its_own_call(tmp_path: Path, more: dict[str, Any]) -> None:
    path = tmp_path / "run.npz"
    whole = stopping_run(epochs=5, **more)
    keep = {"epochs": 5, "checkpoint": path, "resume": True, **more}
    first = stopping_run(callbacks=lambda end: end.epoch == 1, **keep)
    assert (len(first["cost"]), first["stopped"]) == (2, True)
    assert len(stopping_run(callbacks=lambda end: True, **keep)["cost"]) == 3
    assert stopping_run(**keep) == whole
    assert whole["stopped"] is False


def test_network_and_optimizer_can_be_loaded(tmp_path: Path, stop_after: Any) -> None:
    path = tmp_path / "run.npz"
    run = "rmsprop-float64-float32"
    stop_after(13)
    with pytest.raises(Stopped):
        train(run, checkpoint=path, checkpoint_every="1 step")
    net, optimizer = bp.Network.load(path), bp.Optimizer.load(path)
    assert optimizer.steps == 13
    assert net._net.get_counters() == (13, 1)
    assert net.metadata == {"run": run}
    history = net.fit(
        X, Y, optimizer=optimizer, sample_weight=WEIGHTS, epochs=6, batch_size=9, patience=2,
        validation=0.25, callbacks=training_runs.slow_down(optimizer), resume=path,
    )  # fmt: skip
    assert {**state(net, optimizer), **figures(history)} == train(run)


def test_a_function_as_loss(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    train("function-float32-float32", checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint of a network whose loss is a function"):
        bp.Network.load(path)


def test_the_last_finite_epoch_survives(tmp_path: Path, stop_after: Any) -> None:
    """A cost that stops being finite after a resume takes the run back as without one."""
    path = tmp_path / "run.npz"
    x = X.copy()
    x[70] = np.inf
    results = []
    for resume in (None, path):
        net, optimizer = bp.Network([4, 8, 2], seed=1, dropout=0.3), bp.Adam()
        net.fit(X, Y, batch_size=10, shuffle=False, optimizer=optimizer)
        if resume is not None:
            stop_after(3)
            with pytest.raises(Stopped):
                net.fit(
                    x, Y, batch_size=10, shuffle=False, optimizer=optimizer,
                    checkpoint=path, checkpoint_every="1 step",
                )  # fmt: skip
            net, optimizer = bp.Network([4, 8, 2], seed=1, dropout=0.3), bp.Adam()
        with pytest.raises(FloatingPointError, match="in epoch 0, batch 7 "):
            net.fit(x, Y, batch_size=10, shuffle=False, optimizer=optimizer, resume=resume)
        results.append(state(net, optimizer))
    assert results[0] == results[1]


# ---- streams ----


def pieces(size: int = 7) -> Iterator[tuple[np.ndarray, ...]]:
    for begin in range(0, 40, size):
        rows = slice(begin, begin + size)
        yield X[rows], Y[rows], WEIGHTS[rows]


def endless() -> Iterator[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(3)
    while True:
        rows = rng.integers(0, len(X), 5)
        yield X[rows], Y[rows], None


def train_stream(run: str, batches: Any, **arguments: Any) -> dict[str, Any]:
    net, optimizer = make(run)
    rates: list[float] = []
    history = net.fit_stream(
        batches, optimizer=optimizer, epochs=4, validation=(X[40:], Y[40:]),
        callbacks=[training_runs.slow_down(optimizer), lambda end: rates.append(end.lr)],
        **arguments,
    )  # fmt: skip
    return {**state(net, optimizer), **figures(history), "last rate": rates[-1:]}


@pytest.mark.parametrize("run", ["adam-float32-float32", "nesterov-float64-float32"])
@pytest.mark.parametrize("kind", ["list", "function", "iterator"])
def test_streams(tmp_path: Path, stop_after: Any, run: str, kind: str) -> None:
    path = tmp_path / "run.npz"
    more = {"steps": 5} if kind == "iterator" else {}

    def batches() -> Any:
        return {"list": list(pieces()), "function": pieces, "iterator": endless()}[kind]

    whole = train_stream(run, batches(), **more)
    for count in (1, 4, 5, 6, 7, 13):
        stop_after(1)
        with pytest.raises(Stopped):
            train_stream(run, batches(), checkpoint=path, checkpoint_every=f"{count} steps", **more)
        result = train_stream(run, batches(), checkpoint=path, resume=True, **more)
        assert result == whole
        assert train_stream(run, batches(), resume=path, **more) == {**whole, "last rate": []}


@pytest.mark.parametrize("steps", [None, 3])
def test_how_often_in_streams(tmp_path: Path, monkeypatch: Any, steps: int | None) -> None:
    """At the end of an epoch once, after validation and callbacks."""
    seen: list[Any] = []

    def write(self: Any, position: Any) -> None:
        seen.append((position.epoch, position.batch, len(position.history.val_cost)))
        self._last = position.epoch, position.batch

    monkeypatch.setattr(checkpoints.Checkpoints, "write", write)
    net = bp.Network([4, 2])
    for every, expected in {
        "1 step": [(0, 1, 0), (0, 2, 0), 0, (1, 0, 1), (1, 1, 1), (1, 2, 1), 1, (2, 0, 2)],
        "0.000001 s": [(0, 1, 0), (0, 2, 0), 0, (1, 0, 1), (1, 1, 1), (1, 2, 1), 1, (2, 0, 2)],
        "2 steps": [(0, 2, 0), 0, (1, 1, 1), 1, (2, 0, 2)],
        "1 epoch": [0, (1, 0, 1), 1, (2, 0, 2)],
    }.items():
        seen.clear()
        net.fit_stream(
            list(pieces(16)) * (1 if steps is None else 2), epochs=2, steps=steps,
            validation=(X, Y), callbacks=lambda end: seen.append(end.epoch),
            checkpoint=tmp_path / "run.npz", checkpoint_every=every,
        )  # fmt: skip
        assert seen == expected, every


def test_a_callback_ends_only_its_own_call_of_streams(tmp_path: Path) -> None:
    results = []
    for stop_at in (None, 1):
        net, optimizer = make("adam-float32-float32")
        keep = {"epochs": 4, "checkpoint": tmp_path / f"{stop_at}.npz", "resume": True}
        if stop_at is not None:
            history = net.fit_stream(
                pieces, optimizer=optimizer, callbacks=lambda end: end.epoch == 1, **keep
            )
            assert (len(history), history.stopped_early) == (2, True)
            net, optimizer = make("adam-float32-float32")
        history = net.fit_stream(pieces, optimizer=optimizer, **keep)
        results.append({**state(net, optimizer), **figures(history)})
    assert results[0] == results[1]


def other_value(batch: int, array: int) -> Any:
    """The stream of `pieces` with one value changed in its last bit."""

    def changed() -> Any:
        for number, arrays in enumerate(pieces()):
            copies = [each.copy() for each in arrays]
            if number == batch:
                value = copies[array].reshape(-1)[-1:]
                value[...] = np.nextafter(value, np.inf)
            yield tuple(copies)

    return changed


@pytest.mark.parametrize("array", [0, 1, 2], ids=["X", "y", "sample_weight"])
def test_a_stream_with_another_value_is_another_stream(tmp_path: Path, array: int) -> None:
    path = tmp_path / "run.npz"
    run = "adam-float32-float32"
    train_stream(run, pieces, checkpoint=path)
    count = len(list(pieces()))
    for batch in (0, count - 1):
        with pytest.raises(ValueError, match="are not those that the checkpoint"):
            train_stream(run, other_value(batch, array), resume=path)
    train_stream(run, other_value(count, array), resume=path)
    for order in ([1, 0, *range(2, count)], [*range(count - 2), count - 1, count - 2]):
        batches = list(pieces())
        with pytest.raises(ValueError, match="are not those that the checkpoint"):
            train_stream(run, [batches[at] for at in order], resume=path)


def test_streams_that_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    run = "adam-float32-float32"
    train_stream(run, pieces, checkpoint=path)
    with pytest.raises(ValueError, match="batches: the first 24 are not those that the checkpoint"):
        train_stream(run, lambda: pieces(8), resume=path)
    with pytest.raises(ValueError, match="steps is 6 here, not given in the checkpoint"):
        train_stream(run, pieces, steps=6, resume=path)
    assert stream.math.isfinite(train_stream(run, pieces, resume=path)["cost"][-1])
