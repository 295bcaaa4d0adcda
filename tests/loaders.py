"""Every loader of files behind one call, with a small valid file for each, for hostile tests.

`attempt` loads a file and holds the loader to its promise: the file is sound, or the error is a
ValueError or OSError that names it. Nothing else may come out.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import importlib.util
import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop import datasets
from pybackprop.tables import Category, Column, Number

X = np.linspace(-1.0, 1.0, 24).reshape(12, 2)
Y = X[:, :1] * X[:, 1:]


def check_network(net: bp.Network) -> None:
    """A network that came out of a file is one that can be used."""
    assert net.parameters.shape == (net.n_parameters,)
    x = np.zeros((2, net.widths[0]))
    assert net.predict(x).shape == (2, net.widths[-1])
    copy = net.copy()
    assert repr(copy) == repr(net)
    assert copy.metadata == net.metadata


def load_model(path: Path) -> None:
    """As network and, if that goes well, as optimizer, which need not be there."""
    load_network(path)
    try:
        load_optimizer(path)
    except ValueError as error:
        check_message(path, error)


def load_checkpoint(path: Path) -> None:
    """As what a run goes on from, and else as network."""
    try:
        resume(path)
    except ValueError as error:
        check_message(path, error)
        load_network(path)


def load_network(path: Path) -> None:
    check_network(bp.Network.load(path))


def load_networks(path: Path) -> None:
    nets = bp.Networks.load(path)
    assert nets.parameters.shape == (len(nets), nets.n_parameters)
    for net in nets:
        check_network(net)
    assert repr(nets.copy()) == repr(nets)


def load_optimizer(path: Path) -> None:
    optimizer = bp.Optimizer.load(path)
    assert optimizer.steps >= 0
    assert repr(optimizer)


def run(path: Path, **options: Any) -> bp.Network:
    """A run of three epochs, of which a checkpoint may be resumed."""
    net = bp.Network([2, 1], seed=1)
    net.fit(X, Y, epochs=2, batch_size=8, optimizer=bp.SGD(momentum=0.5), **options)
    return net


def resume(path: Path) -> None:
    with contextlib.suppress(FloatingPointError):  # the parameters may not be finite
        check_network(run(path, resume=path))


def load_onnx(path: Path) -> None:
    check_network(bp.Network.from_onnx(path))


def check_dataset(data: datasets.Dataset) -> None:
    assert data.x.shape == (len(data.y), len(data.feature_names))
    assert np.isfinite(data.x).all()
    shift, scale = data.scaling()
    assert shift.shape == scale.shape == (data.n_features,)
    if data.class_names is not None:
        assert data.y.max() < len(data.class_names)


ENCODING = datasets.Encoding(
    (Column("a", Number(1.0)), Column("b", Category(("u", "v")))),
    "c",
    ("0", "1"),
    ("a", "b", "c"),
    True,
)


def load_csv(path: Path) -> None:
    check_dataset(datasets.load_csv(path))


def encode_csv(path: Path) -> None:
    x, y = ENCODING.encode(path)
    assert x.shape[1] == 3
    assert y is None or y.shape == (len(x),)


def load_arrays(path: Path) -> None:
    check_dataset(datasets.load(path))


def load_array(path: Path) -> None:
    x = datasets.load_inputs(path)
    assert x is not None
    assert x.ndim == 2


def load_folder(path: Path) -> None:
    """The file as the images of a folder, whose labels are sound."""
    labels = path.parent / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.arange(4, dtype=np.uint8) % 2))
    check_dataset(datasets.load_idx(path.parent))


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def written(write: Callable[[Path], None], suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        write(path)
        return path.read_bytes()


def _network(**settings: Any) -> bp.Network:
    net = bp.Network([2, 1], seed=1, **settings)
    net.metadata = {"a": [1]}
    net.set_scaling([1.0, 2.0], [3.0, 4.0])
    return net


def _trained() -> tuple[bp.Network, bp.Optimizer]:
    net, optimizer = bp.Network([2, 1], seed=1), bp.Adam(lr=bp.schedules.Cosine(0.1, 9))
    net.step(X, Y, optimizer)
    return net, optimizer


def _networks() -> bp.Networks:
    nets = bp.Networks([2, 1], n=2, seed=1, l2=[0.0, 0.5])
    nets[1] = _network(l2=0.5)
    return nets


def _archive(path: Path) -> None:
    np.savez_compressed(path, x=np.arange(8.0).reshape(4, 2), y=np.array([0, 1, 0, 1]))


IMAGES = idx(np.arange(24, dtype=np.uint8).reshape(4, 2, 3))
TABLE = b"a,b,c\n1,u,0\n2.5,v,1\n-3e4,u,0\n"

# What a file is for: the name it must have, its loader, and what makes a valid one.
KINDS: dict[str, tuple[str, Callable[[Path], None], Callable[[], bytes]]] = {
    "npz": (
        "model.npz",
        load_model,
        lambda: written(lambda path: _network().save(path), ".npz"),
    ),
    "npz-optimizer": (
        "model.npz",
        load_model,
        lambda: written(lambda path: _trained()[0].save(path, _trained()[1]), ".npz"),
    ),
    "checkpoint": (
        "model.npz",
        load_checkpoint,
        lambda: written(lambda path: run(path, checkpoint=path) and None, ".npz"),
    ),
    "safetensors": (
        "model.safetensors",
        load_model,
        lambda: written(lambda path: _network().save(path), ".safetensors"),
    ),
    "networks.npz": (
        "networks.npz",
        load_networks,
        lambda: written(lambda path: _networks().save(path), ".npz"),
    ),
    "networks.safetensors": (
        "networks.safetensors",
        load_networks,
        lambda: written(lambda path: _networks().save(path), ".safetensors"),
    ),
    "onnx": ("model.onnx", load_onnx, lambda: written(_network().to_onnx, ".onnx")),
    "csv": ("table.csv", load_csv, lambda: TABLE),
    "csv.gz": ("table.csv.gz", load_csv, lambda: gzip.compress(TABLE, mtime=0)),
    "encoding": ("table.csv", encode_csv, lambda: TABLE),
    "data.npz": ("data.npz", load_arrays, lambda: written(_archive, ".npz")),
    "npy": ("x.npy", load_array, lambda: npy(np.arange(6.0).reshape(3, 2))),
    "idx": ("x-ubyte", load_array, lambda: IMAGES),
    "idx.gz": ("x-ubyte.gz", load_array, lambda: gzip.compress(IMAGES, mtime=0)),
    "folder": ("train-images-idx3-ubyte", load_folder, lambda: IMAGES),
}


@functools.cache
def valid(kind: str) -> bytes:
    """A small valid file."""
    return KINDS[kind][2]()


_NEEDS = {
    "safetensors": "safetensors",
    "networks.safetensors": "safetensors",
    "onnx": "onnx",
}


def missing(kind: str) -> str | None:
    """The package that a kind needs and that is not installed, if there is one."""
    package = _NEEDS.get(kind)
    return package if package and importlib.util.find_spec(package) is None else None


def available() -> list[str]:
    """The kinds for which all packages are installed."""
    return [kind for kind in KINDS if missing(kind) is None]


def status(name: str) -> int:
    """A figure of /proc/self/status, which Linux has, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise KeyError(name)


def reset_peak() -> int:
    """Let VmHWM, the peak of resident memory, begin anew; return what is resident, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def check_message(path: Path, error: Exception) -> None:
    message = str(error)
    assert str(path) in message or str(path.parent) in message, f"{message!r} names no file"
    assert len(message) < 1000, f"a message of {len(message)} characters"


def attempt(kind: str, path: Path) -> str | None:
    """Load a file; return why it is refused, or None if it is sound."""
    try:
        KINDS[kind][1](path)
    except (ValueError, OSError) as error:
        check_message(path, error)
        return str(error)
    return None


def attempt_bytes(kind: str, data: bytes, folder: Path) -> str | None:
    """As `attempt`, of what a file may hold."""
    path = folder / KINDS[kind][0]
    # Some file systems wait for the disk where a file is overwritten, but not for a new one.
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return attempt(kind, path)
