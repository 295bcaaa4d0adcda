"""Names of files: text, bytes and paths, suffixes in capitals, and those of other formats."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.cli import main
from pybackprop.files.write import write_atomically

X, Y = np.zeros((6, 3), np.float32), np.zeros((6, 2), np.float32)


def network() -> bp.Network:
    return bp.Network([3, 4, 2], seed=1)


WAYS: dict[str, Callable[[Path], Any]] = {"str": str, "bytes": os.fsencode, "path": Path}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".NPZ", ".SafeTensors", ""])
def test_a_network_comes_back_from_any_kind_of_path(tmp_path: Path, way: str, suffix: str) -> None:
    if suffix.lower() == ".safetensors":
        pytest.importorskip("safetensors")
    path = WAYS[way](tmp_path / f"ü{suffix}")
    net, optimizer = network(), bp.Adam()
    net.step(X, Y, optimizer)
    net.save(path, optimizer)
    assert np.array_equal(bp.Network.load(path).parameters, net.parameters)
    assert bp.Optimizer.load(path).steps == 1
    zipped = zipfile.is_zipfile(tmp_path / f"ü{suffix}")
    assert zipped == (suffix.lower() != ".safetensors")


@pytest.mark.parametrize("way", WAYS)
def test_every_writer_takes_any_kind_of_path(tmp_path: Path, way: str) -> None:
    writers = {
        "ü.c": network().to_c,
        "ü.html": lambda path: network().show(X, Y, path),
        "ü.npz": lambda path: network().fit(X, Y, checkpoint=path),
    }
    for name, write in writers.items():
        write(WAYS[way](tmp_path / name))
    assert sorted(os.listdir(tmp_path)) == sorted(writers)
    network().fit(X, Y, resume=WAYS[way](tmp_path / "ü.npz"))


@pytest.mark.parametrize("path", [3, None, ["model.npz"], 1.5])
def test_what_is_no_path_is_refused_by_name(path: Any) -> None:
    for function in (network().save, bp.Network.load, bp.Optimizer.load, network().to_c):
        with pytest.raises(TypeError, match="path must be a path, got"):
            function(path)
    with pytest.raises(ValueError, match="path must be a path, got ''"):
        network().save("")


OTHERS = {
    "model.onnx": "to_onnx",
    "MODEL.ONNX": "to_onnx",
    "model.c": "to_c",
    "model.pt": "to_torch",
    "model.pth": "to_torch",
    "page.html": "show",
    "model.json": "PyTorch",
    "model.npy": "NumPy",
    "model.npz.tmp": "NumPy",
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_suffix_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"what was there")
    with pytest.raises(ValueError, match=f"must end in .npz or .safetensors.*{OTHERS[name]}"):
        network().save(path)
    assert path.read_bytes() == b"what was there"
    assert os.listdir(tmp_path) == [name]


def test_a_number_is_no_suffix(tmp_path: Path) -> None:
    network().save(tmp_path / "run_0.001")
    assert zipfile.is_zipfile(tmp_path / "run_0.001")


@pytest.mark.parametrize("name", ["a.onnx", "a.SafeTensors", "a.pt"])
def test_a_checkpoint_is_an_npz_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"checkpoint must be an \.npz file"):
        network().fit(X, Y, checkpoint=tmp_path / name)
    assert not os.listdir(tmp_path)


def test_train_refuses_where_to_save_before_it_trains(tmp_path: Path, capsys: Any) -> None:
    assert main(["train", "iris", "--save", str(tmp_path / "m.onnx")]) == 2
    out, err = capsys.readouterr()
    assert "--save must end in .npz or .safetensors" in err
    assert "pybackprop export --to onnx" in err
    assert not out
    assert not os.listdir(tmp_path)


def test_train_asks_for_a_package_before_it_trains(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    assert main(["train", "iris", "--save", str(tmp_path / "m.safetensors")]) == 2
    out, err = capsys.readouterr()
    assert "safetensors" in err
    assert not out


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_a_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    seen = []

    def write(file: IO[bytes]) -> None:
        file.write(b"secret")
        file.flush()
        written = [each for each in tmp_path.iterdir() if each.name.endswith(".tmp")]
        seen.extend(stat.S_IMODE(each.stat().st_mode) for each in written)

    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "new", write)
        (tmp_path / "new").chmod(0o600)
        write_atomically(tmp_path / "new", write)
        os.umask(0o077)
        write_atomically(tmp_path / "other", write)
    finally:
        os.umask(before)
    assert seen == [0o644, 0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
