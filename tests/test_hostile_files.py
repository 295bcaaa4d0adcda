"""Files made to do harm: each is refused by an error that names it, quickly and at little cost.

The promise: a ValueError (or an OSError, where the system cannot read) in under a second and with
less than 100 MB of memory, and nothing in the file is executed.
"""

from __future__ import annotations

import functools
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import attacks_data
import attacks_models
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loaders import KINDS, attempt, attempt_bytes, available, resume, valid

import pybackprop as bp
from pybackprop import datasets

AVAILABLE = available()
ATTACKS = {**attacks_models.ATTACKS, **attacks_data.ATTACKS}
CORPUS = Path(__file__).parent / "fuzz" / "corpus"
SECONDS, BYTES = 1.0, 100_000_000

# What takes memory or time if it is believed; each is loaded in a process with limits.
BOMBS = [
    ("npz", "zip bomb"),
    ("npz", "zip bomb that claims little"),
    ("npz", "zip bomb in the header"),
    ("npz", "zip bomb in the header that claims little"),
    ("npz", "bzip2 bomb"),
    ("npz", "a million entries"),
    ("npz", "twenty thousand entries"),
    ("npz", "size of 2^64"),
    ("npz", "state of one vector 60,000 times"),
    ("npz", "parameters: overflowing shape"),
    ("npz", "a million layers"),
    ("npz", "width of 2^63"),
    ("npz", "JSON: empty lists"),
    ("npz", "JSON: small objects"),
    ("npz", "JSON: wide characters"),
    ("npz", "JSON: keys just within"),
    ("npz", "JSON: small objects just within"),
    ("npz", "JSON: one wide character just within"),
    ("safetensors", "JSON: one wide character just within"),
    ("safetensors", "own JSON: keys just within"),
    ("safetensors", "own JSON: one wide character just within"),
    ("npz", "JSON: nested objects"),
    ("npz", "JSON: integer of a million digits"),
    ("safetensors", "a million tensors"),
    ("safetensors", "sixty thousand tensors"),
    ("safetensors", "long shape"),
    ("safetensors", "header of 100 MB"),
    ("onnx", "layers of one weight"),
    ("onnx", "five million empty nodes"),
    ("onnx", "empty attributes just within"),
    ("onnx", "a chain of activations"),
    ("onnx", "slow first weights"),
    ("onnx", "data without end"),
    ("csv", "a line without end"),
    ("csv", "columns just within, of one name"),
    ("csv", "wide and torn"),
    ("csv", "quotes over lines"),
    ("csv", "blank lines after a row"),
    ("csv", "many categories"),
    ("csv.gz", "line of 50 MB"),
    ("csv.gz", "400 MB of lines"),
    ("csv.gz", "lines in small members"),
    ("csv.gz", "wide lines"),
    ("csv.gz", "empty members"),
    ("csv.gz", "members of a byte"),
    ("data.npz", "zip bomb"),
    ("data.npz", "zip bomb that claims little"),
    ("data.npz", "millions of columns"),
    ("data.npz", "millions of classes"),
    ("idx.gz", "1 GB promised"),
    ("idx.gz", "100 MB after a small image"),
    ("idx.gz", "members of a byte"),
]


@pytest.mark.parametrize("kind", AVAILABLE)
def test_the_file_that_all_others_are_made_from_is_sound(kind: str, tmp_path: Path) -> None:
    assert attempt_bytes(kind, valid(kind), tmp_path) is None


# ---- crafted files ----

# These are valid, though no one would want them, or harm only what `load_model` does not insist on.
SOUND = {
    ("npz", "a schedule without bound"),
    ("onnx", "a long chain"),
    ("onnx", "no number as alpha"),
    ("onnx", "slow first weights"),
    ("onnx", "names without end"),
    ("onnx", "JSON: keys"),
    ("csv", "number with groups"),
    ("csv", "wide characters"),
    ("onnx", "JSON: keys just within"),
    ("csv.gz", "long name"),
    ("csv.gz", "empty members"),
    ("idx.gz", "long name"),
    ("idx.gz", "empty members"),
    ("data.npz", "millions of targets"),
    ("data.npz", "small integers"),
    ("data.npz", "surrogates"),
    ("data.npz", "long classes"),
    ("npy", "a million columns and more"),
    ("idx.gz", "images of a million columns and more"),
    ("safetensors", "training as a list"),
    ("safetensors", "training of nothing"),
}


def is_large(name: str) -> bool:
    return any(word in name for word in ("MB", "GB", "million", "bomb", "bytes", "without end"))


@pytest.mark.parametrize("kind", [kind for kind in ATTACKS if kind in AVAILABLE])
def test_crafted_files_are_refused(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    """The small ones, in this process; checkpoints are still good for their networks."""
    monkeypatch.chdir(tmp_path)
    for name, make in ATTACKS[kind].items():
        if is_large(name) or (kind, name) in BOMBS:
            continue
        refusal = attempt_bytes(kind, make(), tmp_path)
        assert (refusal is None) <= ((kind, name) in SOUND or kind == "checkpoint"), name
    assert not (tmp_path / "executed").exists()


def test_checkpoints_of_no_run_are_refused(tmp_path: Path) -> None:
    """Where a checkpoint is malformed its network may be sound, but no run goes on from it."""
    path = tmp_path / "model.npz"
    for name, make in ATTACKS["checkpoint"].items():
        path.write_bytes(make())
        try:
            resume(path)
        except ValueError as error:
            assert str(path) in str(error), name  # noqa: PT017
        else:
            assert name in ("figures twice", "more of texts"), name


class Child:
    """A process that loads files in processes of its own with limits, and tells what they took."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("hostile_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def load(self, kind: str, path: Path) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind}\t{path}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("memory is measured by Linux")
    process = Child()
    yield process
    process.close()


def check_cost(child: Child, kind: str, name: str, folder: Path) -> None:
    path = folder / KINDS[kind][0]
    path.write_bytes(ATTACKS[kind][name]())
    found = child.load(kind, path)
    assert found["fault"] is None, found
    if kind != "checkpoint":
        assert (found["refusal"] is None) <= ((kind, name) in SOUND), name
    assert found["seconds"] < SECONDS, found
    assert found["bytes"] < BYTES, found


@pytest.mark.timing
@pytest.mark.parametrize(("kind", "name"), BOMBS)
def test_bombs_cost_little(child: Child, kind: str, name: str, tmp_path: Path) -> None:
    if kind not in AVAILABLE:
        pytest.skip(f"needs the package for {kind}")
    check_cost(child, kind, name, tmp_path)


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("kind", [kind for kind in ATTACKS if kind in AVAILABLE])
def test_all_crafted_files_cost_little(child: Child, kind: str, tmp_path: Path) -> None:
    for name in ATTACKS[kind]:
        check_cost(child, kind, name, tmp_path)


# ---- damage ----


def damage(kind: str, changed: Iterator[bytes], folder: Path) -> tuple[int, int]:
    """Load many variants; return how many there were and how many were refused."""
    count = refused = 0
    for data in changed:
        count += 1
        refused += attempt_bytes(kind, data, folder) is not None
    return count, refused


def flips(data: bytes, bits: int) -> Iterator[bytes]:
    """The file with one bit flipped: each, or some of every byte."""
    for at in range(len(data)):
        for bit in range(8) if bits == 8 else ((at * 5 + turn * 3) % 8 for turn in range(bits)):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def step(whole: bytes) -> int:
    """How much of the damage is tried at every run; all of it by the slow tests."""
    return 1 if len(whole) < 1500 else 4


@pytest.mark.parametrize("kind", AVAILABLE)
def test_truncation(kind: str, tmp_path: Path) -> None:
    check_cuts(kind, step(valid(kind)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", AVAILABLE)
def test_truncation_at_every_byte(kind: str, tmp_path: Path) -> None:
    check_cuts(kind, 1, tmp_path)


def check_cuts(kind: str, each: int, folder: Path) -> None:
    whole = valid(kind)
    cuts = (whole[:length] for length in range(0, len(whole), each))
    count, refused = damage(kind, cuts, folder)
    assert count == -(-len(whole) // each)
    # A table may lack its last rows, and a graph the properties that follow it.
    assert refused == count or (kind in ("csv", "encoding", "onnx") and refused > count / 4)


@pytest.mark.parametrize("kind", AVAILABLE)
def test_flipped_bits(kind: str, tmp_path: Path) -> None:
    """A bit of every byte, and of the larger files of every fourth."""
    whole = valid(kind)
    count, refused = damage(kind, islice(flips(whole, 1), 0, None, step(whole)), tmp_path)
    assert count >= len(whole) // 4
    assert refused > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", AVAILABLE)
def test_every_flipped_bit(kind: str, tmp_path: Path) -> None:
    whole = valid(kind)
    count, refused = damage(kind, flips(whole, 8), tmp_path)
    assert count == 8 * len(whole)
    assert refused > 0


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "repeat"]),
        st.integers(0, 10_000),
        st.integers(0, 40),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=5,
)


def apply(data: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    for what, place, length, new in changes:
        at = place % (len(data) + 1)
        if what == "set":
            data = data[:at] + new + data[at + len(new) :]
        elif what == "insert":
            data = data[:at] + new + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + length :]
        else:
            data = data[:at] + 2 * data[at : at + length] + data[at + length :]
    return data


@pytest.mark.parametrize("kind", AVAILABLE)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_random_damage(kind: str, tmp_path: Path, changes: Any) -> None:
    attempt_bytes(kind, apply(valid(kind), changes), tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything within a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


@functools.cache
def header(kind: str) -> str:
    return np.load(io.BytesIO(attacks_models.members(kind)["header.npy"])).tobytes().decode()


@pytest.mark.parametrize("kind", ["npz", "npz-optimizer", "checkpoint"])
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_headers(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    """Any value in any place of the JSON header of a file that is valid otherwise."""
    whole = json.loads(header(kind))
    *way, last = data.draw(st.sampled_from(list(places(whole))[1:]))
    inner = whole
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(VALUES)
    text = json.dumps(whole).encode()
    attempt_bytes(kind, attacks_models.with_header(text, kind), tmp_path)


# ---- inputs that a fuzzer found ----


def corpus() -> list[tuple[str, Path]]:
    return [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*")) if path.is_file()]


def test_corpus_of_the_fuzzer(tmp_path: Path) -> None:
    assert len(corpus()) > 200
    for target, path in corpus():
        kind = target.removesuffix("+header")
        data = path.read_bytes()
        if kind in AVAILABLE:
            whole = attacks_models.with_header(data, kind) if kind != target else data
            attempt_bytes(kind, whole, tmp_path)


# ---- paths that are no files ----


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
@pytest.mark.parametrize("kind", AVAILABLE)
def test_paths_that_are_no_files(kind: str, tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, a device without end, a socket, a loop of links."""
    path = tmp_path / KINDS[kind][0]
    begin = time.monotonic()
    makers = {
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a device": lambda: path.symlink_to("/dev/zero"),
        "a loop": lambda: path.symlink_to(path),
        "nothing": lambda: path.symlink_to(tmp_path / "nothing"),
    }
    for name, make in makers.items():
        make()
        assert attempt(kind, path) is not None, name
        path.rmdir() if path.is_dir() else path.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))
        assert attempt(kind, path) is not None
    assert time.monotonic() - begin < 10


def test_a_path_is_no_descriptor() -> None:
    """An integer would be read as an open file, such as standard input."""
    loads = [bp.Network.load, bp.Optimizer.load, datasets.load_csv, datasets.load_npz]
    if "onnx" in AVAILABLE:
        loads.append(bp.Network.from_onnx)
    for load in (*loads, datasets.load_npy, datasets.load_idx, datasets.load_inputs):
        for path in (0, None):
            with pytest.raises(TypeError):
                load(path)
