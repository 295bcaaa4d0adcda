"""Checkpoints: a run that goes on in another process equals one that was not stopped."""

from __future__ import annotations

import json
import os
import re
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
from pybackprop import checkpoints, streaming, training

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
    monkeypatch.setattr(training, "_SLICE_NS", 10**12)
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


# ---- runs that do not match ----


def run_small(**arguments: Any) -> None:
    settings: dict[str, Any] = {"seed": 1, "widths": [4, 6, 2]}
    data = {"x": X, "y": Y, "optimizer": bp.Adam(), "epochs": 2}
    scaling = arguments.pop("scaling", None)
    for name in list(arguments):
        if name in ("seed", "widths", "dropout", "dtype", "l2", "loss"):
            settings[name] = arguments.pop(name)
    data.update(arguments)
    net = bp.Network(**settings)
    if scaling is not None:
        net.set_scaling(*scaling)
    before = state(net, data["optimizer"])
    try:
        net.fit(data.pop("x"), data.pop("y"), **data)
    except ValueError:
        assert state(net, data["optimizer"]) == before
        raise


OTHERS = {
    "network seed is 2 here, 1 in the checkpoint": {"seed": 2},
    "network widths is [4, 7, 2] here, [4, 6, 2]": {"widths": [4, 7, 2]},
    "network dropout is [0.5] here, [0.0] in": {"dropout": 0.5},
    "network dtype is 'float64' here": {"dtype": "float64"},
    "network l2 is 0.1 here": {"l2": 0.1},
    "network loss is not given here, 'mse' in": {"loss": training_runs.absolute},
    "scaling is given here, not given in": {"scaling": (np.zeros(4), np.ones(4))},
    "data X shape is [80, 4] here, [90, 4] in": {"x": X[:80], "y": Y[:80]},
    "data X has other values": {"x": X + 1e-9},
    "data X dtype is 'float32' here": {"x": X.astype(np.float32)},
    "data y has other values": {"y": Y[::-1]},
    "data sample_weight is given here": {"sample_weight": WEIGHTS},
    "validation X is given here": {"validation": (X, Y)},
    "data X shape is [72, 4] here": {"validation": 0.2},
    "batch_size is 16 here, 32 in": {"batch_size": 16},
    "shuffle is False here, True in": {"shuffle": False},
    "patience is 3 here": {"patience": 3, "validation": (X, Y)},
    "optimizer name is 'sgd' here, 'adam'": {"optimizer": bp.SGD()},
    "optimizer lr is 0.01 here, 0.001 in": {"optimizer": bp.Adam(lr=0.01)},
    "optimizer lr is given here": {"optimizer": bp.Adam(lr=bp.schedules.Cosine(0.1, 5))},
    "optimizer betas is [0.5, 0.999] here": {"optimizer": bp.Adam(betas=(0.5, 0.999))},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "run.npz"
    run_small(checkpoint=path)
    return path


@pytest.mark.parametrize("message", OTHERS)
def test_another_run(small: Path, message: str) -> None:
    expected = re.escape(message)
    with pytest.raises(ValueError, match=f"checkpoint of another run: .*{expected}"):
        run_small(**OTHERS[message], resume=small)


def test_large_data_are_sampled(monkeypatch: Any, small: Path) -> None:
    run_small(resume=small)
    monkeypatch.setattr(checkpoints, "_SAMPLE_BYTES", 1000)
    one, two = (checkpoints.describe_data(training.Split(net, X, Y, None, None).training)
                for net in (bp.Network([4, 2]), bp.Network([4, 3, 2])))  # fmt: skip
    assert one == two
    assert one["X"]["checksum"] == checkpoints.checksum(X[::3])


def test_arguments(tmp_path: Path, small: Path) -> None:
    path = tmp_path / "run.npz"
    for error, message, arguments in [
        (TypeError, "checkpoint must be a path, got 5", {"checkpoint": 5}),
        (TypeError, "resume must be a path, got 2.5", {"resume": 2.5}),
        (ValueError, "resume=True needs checkpoint", {"resume": True}),
        (ValueError, "checkpoint_every needs checkpoint", {"checkpoint_every": 5}),
        (ValueError, "checkpoint_every must be >= 1, got 0", {"checkpoint_every": 0}),
        (TypeError, "'100 steps' or '30 s', got 0.5", {"checkpoint_every": 0.5}),
        (TypeError, "'100 steps' or '30 s', got None", {"checkpoint_every": None}),
        *(
            (ValueError, f"such as '100 steps' or '30 s', got '{text}'", {"checkpoint_every": text})
            for text in ("", "5", "0 s", "-1 steps", "1.5 steps", "nan s", "1e5 s", "3 weeks")
        ),
        (FileNotFoundError, "nowhere", {"checkpoint": tmp_path / "nowhere" / "run.npz"}),
        (IsADirectoryError, re.escape(str(tmp_path)), {"checkpoint": tmp_path}),
        (ValueError, "must be an .npz file", {"checkpoint": tmp_path / "run.safetensors"}),
        (FileNotFoundError, "run.npz", {"resume": path}),
    ]:
        with pytest.raises(error, match=message):
            run_small(**arguments)
        assert os.listdir(tmp_path) == []
    run_small(checkpoint=path, resume=True)
    assert path.exists()
    bp.Network([4, 2]).save(path)
    with pytest.raises(ValueError, match=r"run.npz' is not a checkpoint: it holds no training run"):
        run_small(resume=path)
    net = bp.Network([4, 2])
    net.metadata["bad"] = {1}
    with pytest.raises(ValueError, match="metadata must hold what JSON can"):
        net.fit(X, Y, checkpoint=path)
    with pytest.raises(ValueError, match="kind is 'fit_stream' here, 'fit' in the checkpoint"):
        bp.Network([4, 6, 2], seed=1).fit_stream([(X, Y)], resume=small)


def change(data: Path, path: Path, function: Any) -> Path:
    """Write the file with its header and arrays changed in place by a function."""
    with np.load(data) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays.pop("header").tobytes())
    function(header["training"], arrays)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, header=text, **arrays)
    return path


@pytest.mark.parametrize(
    "function",
    [
        lambda header, arrays: header.update(version=2),
        lambda header, arrays: header.update(epochs=-1),
        lambda header, arrays: header.update(epochs=3),
        lambda header, arrays: header.update(epochs=1.5),
        lambda header, arrays: header.update(batch=-1),
        lambda header, arrays: header.update(batch=10**6),
        lambda header, arrays: header.update(batch=1),
        lambda header, arrays: header.update(best_epoch=0),
        lambda header, arrays: header.update(best_epoch="x"),
        lambda header, arrays: header.update(run=None),
        lambda header, arrays: header.update(run=[]),
        lambda header, arrays: header["run"].update(optimizer="adam"),
        lambda header, arrays: header.update(more=[1]),
        lambda header, arrays: header.update(more={"steps": -1}),
        lambda header, arrays: header.update(vectors=["start"]),
        lambda header, arrays: header.update(vectors=["other"]),
        lambda header, arrays: header.update(figures=["cost", "seconds"]),
        lambda header, arrays: header.update(figures=["cost"] * 5),
        lambda header, arrays: header.update(figures=None),
        lambda header, arrays: header.clear(),
        lambda header, arrays: arrays.pop("training.running"),
        lambda header, arrays: arrays.update({"training.running": np.zeros(2)}),
        lambda header, arrays: arrays.update({"training.cost": np.zeros(3)}),
        lambda header, arrays: arrays.update({"training.cost": np.zeros(2, np.float32)}),
        lambda header, arrays: (
            header["figures"].append("val_cost"),
            arrays.update({"training.val_cost": np.zeros(2)}),
        ),
    ],
)  # fmt: skip
def test_malformed(small: Path, tmp_path: Path, function: Any) -> None:
    with pytest.raises(ValueError, match=r"not a valid (model file|checkpoint)|malformed"):
        run_small(resume=change(small, tmp_path / "run.npz", function))


def test_damaged(small: Path, tmp_path: Path) -> None:
    """Cut short or with bytes changed: refused, or not of any consequence."""
    path, data = tmp_path / "run.npz", small.read_bytes()
    rng = np.random.default_rng(1)
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="not a valid model file"):
            run_small(resume=path)
    refused = 0
    for _ in range(150):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            run_small(resume=path)
        except ValueError:
            refused += 1
    assert refused > 100


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


def test_streams_that_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    run = "adam-float32-float32"
    train_stream(run, pieces, checkpoint=path)
    with pytest.raises(ValueError, match="batches: the first 24 are not those that the checkpoint"):
        train_stream(run, lambda: pieces(8), resume=path)
    with pytest.raises(ValueError, match="steps is 6 here, not given in the checkpoint"):
        train_stream(run, pieces, steps=6, resume=path)
    assert streaming.math.isfinite(train_stream(run, pieces, resume=path)["cost"][-1])
