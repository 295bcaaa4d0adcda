"""Files made to do harm: each is refused by an error that names it, quickly and at little cost.

The promise: a ValueError (or an OSError, where the system cannot read) in about a second and with
less than 100 MB of memory, and nothing in the file is executed. Since machines differ, time is
counted in steps of a Python loop. Each test prints how many files it loaded and what the worst of
them took, which `pytest -rP` shows.
"""

from __future__ import annotations

import ctypes
import functools
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import attacks_data
import attacks_models
import numpy as np
import pytest
from attacks_reasons import SOUND, superfluous, why
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loaders import KINDS, attempt, attempt_bytes, missing, reset_peak, resume, status, valid

import pybackprop as bp
from pybackprop import datasets

ATTACKS = {**attacks_models.ATTACKS, **attacks_data.ATTACKS}
CORPUS = Path(__file__).parent / "fuzz" / "corpus"
MILLION_STEPS, BYTES = 30, 100_000_000
# A sanitizer keeps this much of what was freed from being used again.
KEPT = 256 << 20 if "LD_PRELOAD" in os.environ else 0
MEASURED = os.path.exists("/proc/self/clear_refs")
COUNTS: Counter[str] = Counter()

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
    ("networks.npz", "a million members"),
    ("networks.npz", "members just within"),
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
    ("onnx", "slow initial weights"),
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


def case(kind: str, *values: Any, **names: Any) -> Any:
    """A case that is skipped, and seen to be, where the package for its kind is missing."""
    package = missing(kind)
    skip = pytest.mark.skipif(package is not None, reason=f"needs {package}")
    return pytest.param(kind, *values, marks=skip, **names)


every_kind = pytest.mark.parametrize("kind", [case(kind) for kind in KINDS])
every_attacked_kind = pytest.mark.parametrize("kind", [case(kind) for kind in ATTACKS])


def count(request: pytest.FixtureRequest, files: int) -> str:
    """What a test has loaded in all its cases so far, so that the last one tells the whole."""
    name = request.node.originalname
    COUNTS[name] += files
    return f"{COUNTS[name]:,} files in all cases so far"


@functools.cache
def longest() -> float:
    """Return the processor time that a file may take here, in seconds: 1 to 3 on most machines."""

    def loop() -> float:
        begin, total = time.process_time(), 0
        for i in range(1_000_000):
            total += i * i
        return time.process_time() - begin

    return MILLION_STEPS * min(loop() for _ in range(3))


class Cost:
    """What loads in this process cost: the longest, and the one that raises memory most.

    Memory is measured load by load: between them hypothesis works, and the system may take back
    pages of files that are read again later.
    """

    def __init__(self) -> None:
        self.files = self.refused = 0
        self.seconds = 0.0
        self.bytes = 0
        # What other tests freed, if it is still resident, would hide what is taken here.
        if MEASURED and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
            trim(0)

    def load(self, kind: str, data: bytes, folder: Path) -> None:
        before = reset_peak() if MEASURED else 0
        begin = time.process_time()
        refusal = attempt_bytes(kind, data, folder)
        seconds = time.process_time() - begin
        growth = status("VmHWM") - before if MEASURED else 0
        self.files += 1
        self.refused += refusal is not None
        self.seconds = max(self.seconds, seconds)
        self.bytes = max(self.bytes, growth)
        assert seconds < longest(), f"{seconds:.1f} s for {data[:2000]!r}"
        assert growth < BYTES + KEPT, f"{growth / 1e6:.0f} MB for {data[:2000]!r}"

    def __str__(self) -> str:
        return (
            f"{self.files:,} files, {self.refused:,} refused; at most {1e3 * self.seconds:.1f} ms "
            f"of processor time and {self.bytes / 1e6:.1f} MB for one"
        )


@pytest.fixture
def cost(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cost]:
    """Counts the loads of a test, bounds each, and prints what they took."""
    # What the first load imports is not the cost of a file.
    assert attempt_bytes(kind, valid(kind), tmp_path) is None
    spent = Cost()
    yield spent
    print(f"{kind}: {spent}; {count(request, spent.files)}")


@every_kind
def test_the_file_that_all_others_are_made_from_is_sound(kind: str, tmp_path: Path) -> None:
    assert attempt_bytes(kind, valid(kind), tmp_path) is None


# ---- crafted files ----


def check_refusal(kind: str, name: str, refusal: str | None) -> None:
    """Hold a refusal to the reason that the attack was made for; None is a file that was loaded."""
    reason = why(kind, name)
    if reason == SOUND:
        assert refusal is None, f"{kind}, {name}: {refusal}"
    else:
        assert refusal is not None, f"{kind}, {name} was loaded"
        assert re.search(reason, refusal), f"{kind}, {name}: {refusal!r} is not {reason!r}"


def test_every_attack_has_a_reason() -> None:
    for kind, attacks in ATTACKS.items():
        for name in attacks:
            assert re.compile(why(kind, name)) is not None
    assert not superfluous(ATTACKS)


def is_large(name: str) -> bool:
    return any(word in name for word in ("MB", "GB", "million", "bomb", "without end"))


@every_attacked_kind
def test_crafted_files_are_refused(
    kind: str, tmp_path: Path, monkeypatch: Any, request: pytest.FixtureRequest
) -> None:
    """The small ones, in this process; checkpoints are still good for their networks."""
    monkeypatch.chdir(tmp_path)
    small = [n for n in ATTACKS[kind] if not is_large(n) and (kind, n) not in BOMBS]
    for name in small:
        check_refusal(kind, name, attempt_bytes(kind, ATTACKS[kind][name](), tmp_path))
    assert not (tmp_path / "executed").exists()
    print(f"{kind}: {len(small)} crafted files; {count(request, len(small))}")


def test_checkpoints_of_no_run_are_refused(tmp_path: Path) -> None:
    """Where a checkpoint is malformed its network may be sound, but no run goes on from it."""
    path = tmp_path / "model.npz"
    for name, make in ATTACKS["checkpoint"].items():
        path.write_bytes(make())
        with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
            resume(path)
        check_refusal("resume", name, str(caught.value))


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
    if not MEASURED:
        pytest.skip("memory is measured by Linux")
    process = Child()
    yield process
    process.close()


def check_cost(child: Child, kind: str, name: str, folder: Path) -> tuple[float, int]:
    """Load a crafted file within limits; return what it took, in seconds and in bytes."""
    path = folder / KINDS[kind][0]
    path.write_bytes(ATTACKS[kind][name]())
    found = child.load(kind, path)
    assert found["fault"] is None, found
    check_refusal(kind, name, found["refusal"])
    assert found["seconds"] < longest(), found
    assert found["bytes"] < BYTES, found
    return found["seconds"], found["bytes"]


@pytest.mark.timing
@pytest.mark.parametrize(("kind", "name"), [case(*bomb) for bomb in BOMBS])
def test_bombs_cost_little(
    child: Child, kind: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seconds, grown = check_cost(child, kind, name, tmp_path)
    print(f"{kind}, {name}: {seconds:.2f} s, {grown / 1e6:.1f} MB; {count(request, 1)}")


@pytest.mark.slow
@pytest.mark.timing
@every_attacked_kind
def test_all_crafted_files_cost_little(
    child: Child, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    costs = [check_cost(child, kind, name, tmp_path) for name in ATTACKS[kind]]
    seconds, grown = map(max, zip(*costs, strict=True))
    print(
        f"{kind}: {len(costs)} crafted files, at most {seconds:.2f} s and {grown / 1e6:.1f} MB "
        f"for one; {count(request, len(costs))}"
    )


# ---- damage ----


def flips(data: bytes, bits: int) -> Iterator[bytes]:
    """The file with one bit flipped: each, or some of every byte."""
    for at in range(len(data)):
        for bit in range(8) if bits == 8 else ((at * 5 + turn * 3) % 8 for turn in range(bits)):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def step(whole: bytes) -> int:
    """How much of the damage is tried at every run; all of it by the slow tests."""
    return 1 if len(whole) < 1500 else 4


@every_kind
def test_truncation(kind: str, tmp_path: Path, cost: Cost) -> None:
    check_cuts(kind, step(valid(kind)), tmp_path, cost)


@pytest.mark.slow
@every_kind
def test_truncation_at_every_byte(kind: str, tmp_path: Path, cost: Cost) -> None:
    check_cuts(kind, 1, tmp_path, cost)


def check_cuts(kind: str, each: int, folder: Path, cost: Cost) -> None:
    whole = valid(kind)
    for length in range(0, len(whole), each):
        cost.load(kind, whole[:length], folder)
    assert cost.files == -(-len(whole) // each)
    # A table may lack its last rows, and a graph the properties that follow it.
    torn = kind in ("csv", "encoding", "onnx") and cost.refused > cost.files / 4
    assert cost.refused == cost.files or torn


@every_kind
def test_flipped_bits(kind: str, tmp_path: Path, cost: Cost) -> None:
    """A bit of every byte, and of the larger files of every fourth."""
    whole = valid(kind)
    for data in islice(flips(whole, 1), 0, None, step(whole)):
        cost.load(kind, data, tmp_path)
    assert cost.files >= len(whole) // 4
    assert cost.refused > 0


@pytest.mark.slow
@every_kind
def test_every_flipped_bit(kind: str, tmp_path: Path, cost: Cost) -> None:
    whole = valid(kind)
    for data in flips(whole, 8):
        cost.load(kind, data, tmp_path)
    assert cost.files == 8 * len(whole)
    assert cost.refused > 0


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


@every_kind
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_random_damage(kind: str, tmp_path: Path, cost: Cost, changes: Any) -> None:
    cost.load(kind, apply(valid(kind), changes), tmp_path)


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


@pytest.mark.parametrize("kind", ["npz", "npz-optimizer", "checkpoint", "networks.npz"])
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_headers(kind: str, tmp_path: Path, cost: Cost, data: st.DataObject) -> None:
    """Any value in any place of the JSON header of a file that is valid otherwise."""
    whole = json.loads(header(kind))
    *way, last = data.draw(st.sampled_from(list(places(whole))[1:]))
    inner = whole
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(VALUES)
    text = json.dumps(whole).encode()
    cost.load(kind, attacks_models.with_header(text, kind), tmp_path)


# ---- inputs that a fuzzer found ----


TARGETS = [*KINDS, "npz+header", "npz-optimizer+header", "checkpoint+header"]


@pytest.mark.parametrize(
    ("kind", "target"), [case(name.removesuffix("+header"), name, id=name) for name in TARGETS]
)
def test_corpus_of_the_fuzzer(kind: str, target: str, tmp_path: Path, cost: Cost) -> None:
    for path in sorted((CORPUS / target).iterdir()):
        data = path.read_bytes()
        whole = attacks_models.with_header(data, kind) if kind != target else data
        cost.load(kind, whole, tmp_path)
    assert cost.files > 5


# ---- paths that are no files ----


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
@every_kind
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


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        case("npz", bp.Network.load),
        case("npz", bp.Optimizer.load),
        case("onnx", bp.Network.from_onnx),
        case("csv", datasets.load_csv),
        case("data.npz", datasets.load_npz),
        case("npy", datasets.load_npy),
        case("folder", datasets.load_idx),
        case("npy", datasets.load_inputs),
    ],
)
def test_a_path_is_no_descriptor(kind: str, load: Any) -> None:
    """An integer would be read as an open file, such as standard input."""
    for path in (0, None):
        with pytest.raises(TypeError):
            load(path)
