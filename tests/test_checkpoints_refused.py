"""What checkpoints are refused, what arguments, and what is left as it was then."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_runs
from training_runs import WEIGHTS, X, Y, state

import pybackprop as bp
from pybackprop.exchange import npz
from pybackprop.training import checkpoints, loop


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
    "network loss is a function here, 'mse' in": {"loss": training_runs.absolute},
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
    "optimizer lr is a function here, 0.001": {"optimizer": bp.Adam(lr=lambda step: 0.001)},
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


def test_another_seed(tmp_path: Path) -> None:
    """It divides the data in another way, but that is not what is named."""
    path = tmp_path / "run.npz"
    run_small(checkpoint=path, validation=0.2)
    with pytest.raises(ValueError, match=r"network seed is 2 here.* begin with Network\.load"):
        run_small(resume=path, validation=0.2, seed=2)


def test_metadata_are_those_of_the_file(small: Path) -> None:
    net = bp.Network([4, 6, 2], seed=1)
    net.metadata["new"] = 1
    net.fit(X, Y, epochs=2, resume=small)
    assert net.metadata == {}


def test_a_function_as_learning_rate(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    run_small(checkpoint=path, optimizer=bp.Adam(lr=lambda step: 0.1))
    with pytest.raises(
        ValueError, match=r"run.npz' is a checkpoint of an optimizer whose lr is a f"
    ):
        bp.Optimizer.load(path)
    with pytest.raises(ValueError, match=r"lr is 0.001 here, a function in the checkpoint"):
        run_small(resume=path)
    run_small(resume=path, optimizer=bp.Adam(lr=lambda step: 0.1), epochs=3)


def test_a_learning_rate_that_becomes_a_function(tmp_path: Path) -> None:
    """The same program could not go on as this run would have."""
    path = tmp_path / "run.npz"
    optimizer = bp.Adam()

    def callback(end: bp.EpochEnd) -> None:
        if end.epoch == 1:
            optimizer.lr = lambda step: 0.1

    with pytest.raises(ValueError, match="lr has become a function"):
        bp.Network([4, 2]).fit(
            X, Y, epochs=4, optimizer=optimizer, callbacks=callback, checkpoint=path
        )
    assert npz.load(path).training.header["epochs"] == 1


def test_relative_paths_stay_where_they_were(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for epochs in (2, 3):
        monkeypatch.chdir(tmp_path)
        run_small(
            checkpoint="run.npz", resume=True, epochs=epochs,
            callbacks=lambda end: os.chdir(tmp_path / "elsewhere"),
        )  # fmt: skip
    assert os.listdir("../elsewhere") == []
    assert npz.load(tmp_path / "run.npz").training.header["epochs"] == 3


def test_large_data_are_sampled(monkeypatch: Any, small: Path) -> None:
    run_small(resume=small)
    monkeypatch.setattr(checkpoints, "_SAMPLE_BYTES", 1000)
    one, two = (checkpoints.describe_data(loop.Split(net, X, Y, None, None).training)
                for net in (bp.Network([4, 2]), bp.Network([4, 3, 2])))  # fmt: skip
    assert one == two
    assert one["X"]["checksum"] == checkpoints.checksum(X[::3])


def test_arguments(tmp_path: Path, small: Path) -> None:
    path = tmp_path / "run.npz"
    for error, message, arguments in [
        (TypeError, "checkpoint must be a path, got 5", {"checkpoint": 5}),
        (ValueError, "checkpoint must be a path, got ''", {"checkpoint": ""}),
        (ValueError, "resume must be a path, got b''", {"resume": b""}),
        (TypeError, "resume must be a path, got 2.5", {"resume": 2.5}),
        (ValueError, "resume=True needs checkpoint", {"resume": True}),
        (ValueError, "checkpoint_every needs checkpoint", {"checkpoint_every": 5}),
        (ValueError, "checkpoint_every must be >= 1, got 0", {"checkpoint_every": 0}),
        (TypeError, "'100 steps' or '30 s', got 0.5", {"checkpoint_every": 0.5}),
        (TypeError, "'100 steps' or '30 s', got None", {"checkpoint_every": None}),
        *(
            (ValueError, f"such as '100 steps' or '30 s', got '{text}'", {"checkpoint_every": text})
            for text in (
                "",
                "0",
                "1.5",
                "0 s",
                "-1 steps",
                "1.5 steps",
                "nan s",
                "1e5 s",
                "3 weeks",
            )
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


def test_more_batches_than_steps(tmp_path: Path) -> None:
    """Nothing may be changed before that is found."""
    path = tmp_path / "run.npz"

    def end_here(end: bp.EpochEnd) -> None:
        raise RuntimeError("the file is of the epoch's second batch")

    with pytest.raises(RuntimeError):
        run_small(checkpoint=path, checkpoint_every="2 steps", callbacks=end_here)
    with np.load(path) as file:
        arrays = dict(file)
    header = {**json.loads(arrays.pop("header").tobytes()), "steps": 1}
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    with pytest.raises(ValueError, match=r"run.npz' is not a valid .*2 batches .* but 1 steps"):
        run_small(resume=path)


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
