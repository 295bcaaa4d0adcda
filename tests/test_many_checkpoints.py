"""Checkpoints of training many networks: going on gives the bits of not having stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import absolute, thread_limit

import pybackprop as bp
from pybackprop.many import _checkpoints

RNG = np.random.default_rng(8)
X = RNG.normal(size=(90, 4))
Y = np.sin(X[:, :2])
VALIDATION = X[:30], Y[:30]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with thread_limit(2):
        yield


def make() -> tuple[list[bp.Network], list[bp.Optimizer]]:
    networks = [
        bp.Network([4, 9, 2], seed=0, dropout=0.2),
        bp.Network([4, 9, 2], seed=1, dropout=0.2),
        bp.Network([4, 6, 5, 2], seed=2, dtype="float64", activation="tanh", loss=absolute),
        bp.Network([4, 2], seed=3, l2=0.01),
        bp.Network([4, 9, 2], seed=4),
    ]
    networks[3].set_scaling(X.mean(0), 1 / X.std(0))
    optimizers: list[bp.Optimizer] = [
        bp.Adam(bp.schedules.Cosine(0.02, 60)),
        bp.SGD(0.1, momentum=0.9),
        bp.SGD(lambda step: 0.1 / (1 + step)),
        bp.RMSprop(momentum=0.5, centered=True),
        bp.SGD(bp.schedules.Exponential(0.1, 8)),  # diverges
    ]
    return networks, optimizers


def fit(networks: Any, optimizers: Any, **arguments: Any) -> bp.ManyHistory:
    given = {
        "epochs": [5, 3, 4, 6, 6],
        "batch_size": [20, 31, 9, 90, 20],
        "rows": [None, X[:, 0] < 1, None, np.arange(70), None],
        **arguments,
    }
    return bp.fit_many(networks, X, Y, optimizers=optimizers, **given)


def outcome(networks: Any, optimizers: Any, history: bp.ManyHistory) -> list[Any]:
    """Return everything that a run must end with, but for times."""
    states = [each.state_dict()["state"].values() for each in optimizers]
    val_cost = None if history.val_cost is None else history.val_cost.tobytes()
    return [
        [net.parameters.tobytes() for net in networks],
        [net._net.get_counters() for net in networks],
        [optimizer.steps for optimizer in optimizers],
        [[vector.tobytes() for vector in vectors] for vectors in states],
        history.cost.tobytes(),
        val_cost,
        history.best_epoch.tolist(),
        history.epochs.tolist(),
        history.status.tolist(),
        np.isnan(history.seconds).tolist(),
    ]


def keep_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Keep a copy of every checkpoint that is written from now on."""
    kept: list[Path] = []
    write = _checkpoints.ManyCheckpoints.write

    def write_and_keep(self: Any, run: Any) -> None:
        write(self, run)
        kept.append(folder / f"{len(kept)}.npz")
        shutil.copy(self.path, kept[-1])

    monkeypatch.setattr(_checkpoints.ManyCheckpoints, "write", write_and_keep)
    return kept


@pytest.mark.parametrize("every", [1, 2, "0.000001 s"])
@pytest.mark.parametrize("more", [{}, {"validation": VALIDATION, "patience": 1}])
def test_going_on_equals_not_having_stopped(
    every: Any, more: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, optimizers = make()
    wanted = outcome(networks, optimizers, fit(networks, optimizers, **more))
    assert wanted[8][4] == ("stopped" if more else "diverged")
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        kept = keep_all(tmp_path, patch)
        networks, optimizers = make()
        arguments = {**more, "checkpoint": path, "checkpoint_every": every, "_slice_ns": 1}
        history = fit(networks, optimizers, **arguments)
    assert outcome(networks, optimizers, history) == wanted
    assert len(kept) > (20 if isinstance(every, str) else 2)
    for file in kept[:: max(1, len(kept) // 25)]:
        networks, optimizers = make()
        history = fit(networks, optimizers, **more, resume=file)
        assert outcome(networks, optimizers, history) == wanted, file


def test_a_resumed_run_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before every member that was in the middle of an epoch has been trained again."""
    networks, optimizers = make()
    wanted = outcome(networks, optimizers, fit(networks, optimizers))
    path = tmp_path / "run.npz"
    arguments = {"checkpoint": path, "checkpoint_every": "0.000001 s", "_slice_ns": 1}
    write = _checkpoints.ManyCheckpoints.write

    def write_and_stop(self: Any, run: Any) -> None:
        write(self, run)
        if self.standing.active.any():
            raise KeyboardInterrupt

    stops = 0
    while True:
        networks, optimizers = make()
        with monkeypatch.context() as patch:
            patch.setattr(_checkpoints.ManyCheckpoints, "write", write_and_stop)
            try:
                history = fit(networks, optimizers, resume=True, **arguments)
                break
            except KeyboardInterrupt:
                stops += 1
    assert stops > 20
    assert outcome(networks, optimizers, history) == wanted


def test_more_epochs_than_at_first(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    networks, optimizers = make()
    fit(networks, optimizers, epochs=[2, 4, 1, 3, 1], checkpoint=path, validation=VALIDATION)
    networks, optimizers = make()
    history = fit(networks, optimizers, epochs=5, resume=path, validation=VALIDATION)
    others = make()
    wanted = fit(*others, epochs=5, validation=VALIDATION)
    assert outcome(networks, optimizers, history) == outcome(*others, wanted)
    networks, optimizers = make()
    with pytest.raises(ValueError, match="epochs must be at least what the checkpoint has done"):
        fit(networks, optimizers, epochs=1, resume=path, validation=VALIDATION)


def test_networks_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"

    def nets() -> bp.Networks:
        return bp.Networks([4, 9, 2], n=6, seed=0)

    whole = nets()
    whole.fit(X, Y, epochs=4)
    first = nets()
    first.fit(X, Y, epochs=2, checkpoint=path)
    second = nets()
    history = second.fit(X, Y, epochs=4, checkpoint=path, resume=True)
    assert np.array_equal(second.parameters, whole.parameters)
    assert history.epochs.tolist() == [4] * 6


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch_size": 7}, "a network, its rows or its settings are others"),
        ({"rows": None}, "a network, its rows or its settings are others"),
        ({"sample_weight": np.arange(1.0, 91)}, "data sample_weight is given here, not given"),
        ({"shuffle": False}, "shuffle is False here, True in the checkpoint"),
        ({"validation": VALIDATION}, "validation X is given here, not given in the checkpoint"),
    ],
)
def test_another_run_is_refused(change: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    fit(*make(), checkpoint=path)
    networks, optimizers = make()
    before = [net.parameters.copy() for net in networks]
    with pytest.raises(ValueError, match=f"is a checkpoint of another fit: {text}"):
        fit(networks, optimizers, resume=path, **change)
    for net, parameters in zip(networks, before, strict=True):
        assert np.array_equal(net.parameters, parameters)


def test_other_networks_and_optimizers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    fit(*make(), checkpoint=path)
    networks, optimizers = make()
    networks[1] = bp.Network([4, 9, 2], seed=7, dropout=0.2)
    with pytest.raises(ValueError, match="a network, its rows or its settings are others"):
        fit(networks, optimizers, resume=path)
    for optimizer, text in (
        (bp.SGD(0.2, momentum=0.9), r"optimizers\[1\] lr is 0\.2 here, 0\.1 in the checkpoint"),
        (bp.SGD(lambda step: 0.1, momentum=0.9), r"optimizers\[1\] lr is a function here, 0"),
        (bp.Adam(0.02), r"optimizers\[1\] is 'adam' here, 'sgd' in the checkpoint"),
    ):
        networks, optimizers = make()
        optimizers[1] = optimizer
        with pytest.raises(ValueError, match=f"is a checkpoint of another fit: {text}"):
            fit(networks, optimizers, resume=path)
    with pytest.raises(ValueError, match="networks is 4 here, 5 in the checkpoint"):
        fit(networks[:4], optimizers[:4], resume=path, epochs=9, batch_size=9, rows=None)


def test_paths_and_times_that_make_no_sense(tmp_path: Path) -> None:
    networks, optimizers = make()
    for arguments, text in (
        ({"checkpoint_every": 2}, "checkpoint_every needs checkpoint"),
        ({"resume": True}, "resume=True needs checkpoint"),
        ({"checkpoint": "a.npz", "checkpoint_every": "9 steps"}, "a number of epochs or a time"),
        ({"checkpoint": "a.safetensors"}, "checkpoint must be an .npz file"),
    ):
        with pytest.raises(ValueError, match=text):
            fit(networks, optimizers, **arguments)
    with pytest.raises(FileNotFoundError):
        fit(networks, optimizers, resume=tmp_path / "none.npz")


def test_a_schedule_that_becomes_a_function_is_refused(tmp_path: Path) -> None:
    def change(end: bp.EpochsEnd) -> None:
        end.optimizers[1].lr = lambda step: 0.1

    with pytest.raises(ValueError, match=r"lr of optimizers\[1\] has become a function"):
        fit(*make(), checkpoint=tmp_path / "run.npz", callbacks=change)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Every byte that matters is looked at: whatever is cut or changed, nothing is trained."""
    path, other = tmp_path / "run.npz", tmp_path / "other.npz"
    networks, optimizers = make()
    fit(networks, optimizers, checkpoint=path, epochs=1)
    whole = path.read_bytes()
    single = tmp_path / "one.npz"
    bp.Network([4, 9, 2], seed=0).fit(X, Y, checkpoint=single)
    for content in (b"", b"PK", whole[: len(whole) // 2], single.read_bytes(), RNG.bytes(999)):
        other.write_bytes(content)
        with pytest.raises(ValueError, match="is not a valid checkpoint of many networks"):
            fit(*make(), resume=other)
    for at in RNG.integers(0, len(whole), 60):
        other.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        fresh = make()
        try:
            fit(*fresh, resume=other)
        except ValueError:
            assert all(optimizer.steps == 0 for optimizer in fresh[1])


def tampered(path: Path, **arrays: Any) -> None:
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **{**content, **arrays})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", np.full(5, -1)),
        ("epoch", np.full(5, 99)),
        ("batch", np.full(5, 99)),
        ("steps", np.full(5, -3)),
        ("optimizer_step", np.full(5, 2**60)),
        ("status", np.full(5, 9, np.uint8)),
        ("slots", np.full(5, 255, np.uint8)),
        ("best_epoch", np.full(5, 7)),
        ("sums", np.zeros((5, 3))),
        ("cost", np.zeros((5, 9))),
        ("parameters.float32", np.zeros(3, np.float32)),
        ("state.float32", np.zeros(3, np.float32)),
        ("epoch", np.zeros(4, np.int64)),
    ],
)
def test_figures_that_no_run_has_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    fit(*make(), checkpoint=path)
    tampered(path, **{name: value})
    with pytest.raises(ValueError, match="is not a valid checkpoint of many networks"):
        fit(*make(), resume=path)
