"""Model files: what they hold, that resuming equals not stopping, and that no file can harm."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pybackprop as bp
from pybackprop.datasets import Encoding
from pybackprop.exchange import npz
from pybackprop.tables import Column, Number

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 4))
Y = RNG.normal(size=(50, 2))

OPTIMIZERS = [
    bp.SGD(lr=0.05, momentum=0.9, nesterov=True),
    bp.SGD(lr=bp.schedules.OneCycle(0.1, 80), clip_norm=0.5),
    bp.Adam(lr=bp.schedules.Cosine(0.02, 60, warmup=10)),
    bp.AdamW(lr=0.01),
    bp.RMSprop(momentum=0.5, centered=True),
    bp.Adagrad(lr_decay=0.01),
]

RESUME = """
import sys
import numpy as np
import pybackprop as bp
data, *paths = sys.argv[1:]
x, y = np.load(data)["x"], np.load(data)["y"]
for path in paths:
    network, optimizer = bp.Network.load(path), bp.Optimizer.load(path)
    network.fit(x, y, epochs=6, batch_size=7, optimizer=optimizer)
    network.save(path, optimizer)
"""


def network(dtype: str = "float32") -> bp.Network:
    net = bp.Network([4, 6, 5, 2], seed=9, dtype=dtype, dropout=[0.2, 0.4], l2=0.01, l1=0.001)
    net.set_scaling(X.mean(0), 1 / X.std(0))
    net.metadata = {"classes": ["eins", "zwei"], "x": 0.1}
    return net


def test_resuming_in_a_new_process_equals_not_stopping(tmp_path: Path) -> None:
    """Every optimizer and dtype, with dropout, shuffling, penalties and scaling."""
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    running = []
    for number, start in enumerate(OPTIMIZERS):
        for dtype in ("float32", "float64"):
            whole, optimizer = network(dtype), pickle_copy(start)
            whole.fit(X, Y, epochs=10, batch_size=7, optimizer=optimizer)
            part, half = network(dtype), pickle_copy(start)
            part.fit(X, Y, epochs=4, batch_size=7, optimizer=half)
            path = tmp_path / f"{number}-{dtype}.npz"
            part.save(path, half)
            running.append((path, whole, optimizer))
    paths = [str(path) for path, _, _ in running]
    subprocess.run([sys.executable, "-c", RESUME, tmp_path / "data.npz", *paths], check=True)
    for path, whole, optimizer in running:
        resumed, state = bp.Network.load(path), bp.Optimizer.load(path)
        np.testing.assert_array_equal(resumed.parameters, whole.parameters)
        assert state.steps == optimizer.steps == 80
        assert resumed._net.get_counters() == whole._net.get_counters() == (80, 10)
        vectors = state.state_dict()["state"]
        for name, vector in optimizer.state_dict()["state"].items():
            np.testing.assert_array_equal(vectors[name], vector)


def pickle_copy(optimizer: bp.Optimizer) -> bp.Optimizer:
    fresh = type(optimizer)()
    fresh.load_state_dict(optimizer.state_dict())
    return fresh


def test_everything_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "model"
    net = bp.Network(
        [3, 4, 5, 2],
        activation=["gelu", "elu"],
        output="softmax",
        loss="cross_entropy",
        init="orthogonal",
        seed=2**64 - 1,
    )
    net.metadata = {"note": "naïve", "list": [1, 2.5, None, True]}
    net.save(path)
    assert os.listdir(tmp_path) == ["model"]
    other = bp.Network.load(path)
    assert repr(other) == repr(net)
    assert other._settings() == net._settings()
    assert other.metadata == net.metadata
    np.testing.assert_array_equal(other.parameters, net.parameters)
    with np.load(path) as file:
        assert sorted(file.files) == ["header", "parameters"]
        assert json.loads(file["header"].tobytes())["pybackprop"] == bp.__version__
    with pytest.raises(ValueError, match="holds no optimizer"):
        bp.Optimizer.load(path)
    with pytest.raises(FileNotFoundError):
        bp.Network.load(tmp_path / "nothing")


def test_what_no_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    net = bp.Network([4, 2], loss=lambda a, y: (a.sum(1), a))
    with pytest.raises(ValueError, match="loss is a function cannot be saved"):
        net.save(path)
    with pytest.raises(ValueError, match="lr is a function cannot be saved"):
        network().save(path, bp.SGD(lr=lambda step: 0.1))
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, got 'adam'"):
        network().save(path, "adam")  # type: ignore[arg-type]
    net = network()
    net.metadata["bad"] = {1, 2}
    with pytest.raises(ValueError, match="metadata must hold what JSON can"):
        net.save(path)
    assert os.listdir(tmp_path) == []


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "model.npz"
    net = network()
    net.save(path)
    before = path.read_bytes()

    def fail(*arguments: Any, **named: Any) -> None:
        arguments[0].write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    net.fit(X, Y)
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
def test_order_of_writing_mode_and_links(tmp_path: Path, monkeypatch: Any) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def wrapped(*arguments: Any, name: str = name, real: Any = real) -> Any:
            if name == "fsync":
                folder = stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
                calls.append("fsync folder" if folder else "fsync file")
            else:
                calls.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, wrapped)
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "model.npz", tmp_path / "link.npz"
    link.symlink_to(target)
    old = os.umask(0o027)
    try:
        network().save(link)
    finally:
        os.umask(old)
    assert calls == ["fsync file", "replace", "fsync folder"]
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


SAVING = """
import sys, numpy as np, pybackprop as bp
network = bp.Network([60, 60, 10], init="zeros")
for step in range(10**9):
    network.parameters = np.full(network.n_parameters, step % 1000)
    network.metadata = {"step": step % 1000}
    network.save(sys.argv[1])
    if step == 0:
        print("ready", flush=True)
"""


def test_a_killed_save_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    for number in range(4):
        process = subprocess.Popen([sys.executable, "-c", SAVING, path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01 + 0.0137 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        net = bp.Network.load(path)
        assert (net.parameters == net.metadata["step"]).all()


# ---- malformed files ----


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    net, optimizer = network(), bp.Adam()
    net.step(X, Y, optimizer)
    path = tmp_path_factory.mktemp("valid") / "model.npz"
    net.save(path, optimizer)
    return path.read_bytes()


def load_both(path: Path, data: bytes) -> None:
    """Load changed bytes: they must be a valid file or raise ValueError, and nothing else."""
    path.write_bytes(data)
    for load in (bp.Network.load, bp.Optimizer.load):
        with contextlib.suppress(ValueError):
            load(path)


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
def test_changed_bytes(valid: bytes, tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(valid)
    for position, value in changes:
        data[position % len(data)] = value
    load_both(tmp_path / "model.npz", bytes(data))


def test_truncation(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    for length in range(0, len(valid), 23):
        path.write_bytes(valid[:length])
        with pytest.raises(ValueError, match="is not a valid model file"):
            bp.Network.load(path)
    load_both(path, valid + b"more")


def rewritten(valid: bytes, change: Any) -> bytes:
    """Return the file with its header and arrays changed in place by a function."""
    with np.load(io.BytesIO(valid)) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays.pop("header").tobytes())
    change(header, arrays)
    buffer = io.BytesIO()
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    np.savez(buffer, header=np.frombuffer(text, np.uint8), **arrays)
    return buffer.getvalue()


def put(place: str, value: Any) -> Any:
    def change(header: dict[str, Any], arrays: dict[str, Any]) -> None:
        *outer, last = place.split(".")
        for name in outer:
            header = header[name]
        header[last] = value

    return change


def array(name: str, function: Any) -> Any:
    def change(header: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] = function(arrays[name])

    return change


MALFORMED = {
    "other format": put("format", "something"),
    "newer version": put("format_version", 2),
    "no settings": put("settings", None),
    "settings of another kind": put("settings.depth", 3),
    "widths of a lie": put("settings.widths", [2**30, 2**30, 2]),
    "widths that overflow": put("settings.widths", [4194305, 2**40, 2**50]),
    "negative width": put("settings.widths", [4, -6, 5, 2]),
    "widths as text": put("settings.widths", "4652"),
    "no widths": put("settings.widths", []),
    "wrong activation": put("settings.activation", ["relu", "relu2"]),
    "loss without its output": put("settings.loss", "cross_entropy"),
    "loss of no name": put("settings.loss", None),
    "dropout of 1": put("settings.dropout", [0.2, 1.0]),
    "infinite penalty": put("settings.l2", float("inf")),
    "wrong dtype": put("settings.dtype", "float64"),
    "object dtype": put("settings.dtype", "O"),
    "no dtype": put("settings.dtype", None),
    "wrong init": put("settings.init", "wrong"),
    "negative seed": put("settings.seed", -1),
    "negative steps": put("steps", -1),
    "steps that would overflow": put("steps", 2**63 - 1),
    "more steps than there can be": put("steps", 2**53 + 1),
    "epochs that would overflow": put("epochs", 2**63 - 1),
    "fractional epochs": put("epochs", 0.5),
    "metadata as a list": put("metadata", []),
    "too short": array("parameters", lambda a: a[:-1]),
    "two dimensions": array("parameters", lambda a: a[None]),
    "complex": array("parameters", lambda a: a.astype(complex)),
    "no shift": lambda header, arrays: arrays.pop("shift"),
    "infinite scale": array("scale", lambda a: a * np.inf),
    "long shift": array("shift", lambda a: np.append(a, 0.0)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_model(valid: bytes, tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(rewritten(valid, MALFORMED[name]))
    with pytest.raises(ValueError, match="is not a valid model file"):
        bp.Network.load(path)


MALFORMED_OPTIMIZER = {
    "as text": put("optimizer", "adam"),
    "other name": put("optimizer.name", "newton"),
    "name of another kind": put("optimizer.name", ["adam"]),
    "other settings": put("optimizer.settings", {}),
    "bad setting": put("optimizer.settings.eps", "x"),
    "bad schedule": put("optimizer.settings.lr", {"name": "constant", "lr": -1}),
    "negative step": put("optimizer.step", -3),
    "step that would overflow": put("optimizer.step", 2**63 - 1),
    "unknown vector": put("optimizer.state", ["exp_avg", "wrong"]),
    "short vector": array("optimizer.exp_avg", lambda a: a[1:]),
    "vector of another type": array("optimizer.exp_avg", lambda a: a.astype(float)),
}


@pytest.mark.parametrize("name", MALFORMED_OPTIMIZER)
def test_malformed_optimizer(valid: bytes, tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(rewritten(valid, MALFORMED_OPTIMIZER[name]))
    with pytest.raises(ValueError, match="model"):
        bp.Optimizer.load(path)


@pytest.mark.parametrize("kind", [bp.Adam, bp.Adagrad])
def test_training_goes_on_from_the_largest_counts(
    valid: bytes, tmp_path: Path, kind: type[bp.Optimizer]
) -> None:
    largest = 2**53

    def change(header: dict[str, Any], arrays: dict[str, Any]) -> None:
        header.update(steps=largest, epochs=largest)

    path = tmp_path / "model.npz"
    path.write_bytes(rewritten(valid, change))
    net, optimizer = bp.Network.load(path), kind()
    net.step(X, Y, optimizer)
    state = {**optimizer.state_dict(), "step": largest}
    optimizer.load_state_dict(state)
    net.fit(X, Y, optimizer=optimizer, batch_size=len(X))
    assert optimizer.steps == largest + 1
    assert net._net.get_counters() == (largest + 2, largest + 1)
    with pytest.raises(ValueError, match=r"state: step must be in \[0, 9007199254740992\]"):
        optimizer.load_state_dict({**state, "step": 2**63 - 1})
    for counters in ((2**63 - 1, 0), (0, 2**63 - 1)):
        with pytest.raises(ValueError, match="range"):
            net._net.set_counters(*counters)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_no_pickle_no_bomb_no_lie(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(io.BytesIO(valid)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    objects = io.BytesIO()
    np.save(objects, np.array([print], object), allow_pickle=True)
    lie = entries["parameters.npy"].replace(b"(77,)", b"(99999999999,)", 1)
    for name, data in [
        ("parameters.npy", objects.getvalue()),
        ("header.npy", objects.getvalue()),
        ("parameters.npy", lie),
        ("parameters.npy", b""),
        ("parameters.npy", bytes(2 * 10**7)),
        ("header.npy", entries["header.npy"] + bytes(2 * 10**7)),
        ("header.npy", b"\x93NUMPY\x01\x00" + b"\xff\xff" + b"(" * 65535),
    ]:
        changed = zipped({**entries, name: data}, zipfile.ZIP_DEFLATED)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="is not a valid model file"):
            bp.Network.load(path)
    deep = io.BytesIO()
    np.save(deep, np.frombuffer(b"[" * 100_000, np.uint8))
    path.write_bytes(zipped({**entries, "header.npy": deep.getvalue()}))
    with pytest.raises(ValueError, match="is not a valid model file"):
        bp.Network.load(path)
    path.write_bytes(zipped(entries, zipfile.ZIP_DEFLATED))
    assert bp.Network.load(path).n_parameters == 77


def test_files_are_read_whatever_their_byte_order(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(rewritten(valid, array("parameters", lambda a: a.astype(">f4"))))
    swapped = bp.Network.load(path).parameters
    path.write_bytes(valid)
    np.testing.assert_array_equal(swapped, bp.Network.load(path).parameters)


def test_a_save_in_every_thread(tmp_path: Path) -> None:
    """Saves to one path at once: the file is always that of one of them."""
    path = tmp_path / "model.npz"
    nets = [bp.Network([3, 2], seed=seed) for seed in range(4)]
    threads = [
        threading.Thread(target=lambda n=net: [n.save(path) for _ in range(10)]) for net in nets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = bp.Network.load(path)
    np.testing.assert_array_equal(loaded.parameters, nets[loaded.seed].parameters)
    assert os.listdir(tmp_path) == ["model.npz"]
    assert npz.load(path).counters == (0, 0)


def wide_metadata(columns: int) -> dict[str, Any]:
    """What `pybackprop train` keeps of a table of so many columns."""
    names = tuple(f"a column, of {at}" for at in range(columns))
    features = tuple(
        Column(name, Number(0.5 + at), "numbers") for at, name in enumerate(names[:-1])
    )
    encoding = Encoding(features, names[-1], ("0", "1"), names, True)
    return {"feature_names": list(names[:-1]), "encoding": encoding.to_json()}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_widest_table_can_be_saved(tmp_path: Path, suffix: str) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    net = bp.Network([2, 1], seed=1)
    net.metadata = wide_metadata(1 << 16)
    net.save(tmp_path / f"wide{suffix}")
    other = bp.Network.load(tmp_path / f"wide{suffix}")
    assert other.metadata == net.metadata


def test_commas_in_texts_are_no_values(tmp_path: Path) -> None:
    net = bp.Network([2, 1], seed=1)
    net.metadata = {"note": '\\",:[{' * 300_000}
    net.save(tmp_path / "net.npz")
    assert bp.Network.load(tmp_path / "net.npz").metadata == net.metadata


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([0] * 600_000, "more than 600000 values"),
        ("a" * (8 << 20), "characters of JSON, more than 8388608"),
        (json.loads("[" * 63 + "]" * 63), "nested too deeply"),
        (10**30, "an integer of 31 digits"),
    ],
    ids=["values", "characters", "depth", "digits"],
)
def test_metadata_beyond_bounds_fail_when_they_are_set(
    tmp_path: Path, value: Any, what: str
) -> None:
    net = bp.Network([2, 1], seed=1)
    with pytest.raises(ValueError, match=f"metadata .*{what}"):
        net.metadata = {"a": value}
    assert net.metadata == {}
    net.metadata["a"] = value
    path = tmp_path / "net.npz"
    with pytest.raises(ValueError, match=rf"net\.npz: metadata .*{what}"):
        net.save(path)
    with pytest.raises(ValueError, match=f"metadata .*{what}"):
        net.fit(np.zeros((2, 2)), np.zeros((2, 1)), epochs=1, checkpoint=path)
    assert not path.exists()
    net.metadata["a"] = value = json.loads("[" * 62 + "]" * 62)
    net.save(path)
    assert bp.Network.load(path).metadata == {"a": value}
