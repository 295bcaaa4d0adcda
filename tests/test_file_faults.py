"""Files under full disks, in read-only folders, of killed writers: the old or the new, whole."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_runs
from training_runs import X, Y, helpers_started, state, train

import pybackprop as bp
from pybackprop.exchange import npz
from pybackprop.files import write
from pybackprop.files.write import write_atomically
from pybackprop.graph import Variable
from pybackprop.training import checkpoints

resource = pytest.importorskip("resource", reason="needs POSIX signals and limits")

Writer = Callable[[Path], Any]


def network(seed: int = 1) -> bp.Network:
    return bp.Network([4, 30, 2], seed=seed)


def save_checkpoint(path: Path) -> None:
    network().fit(X, Y, checkpoint=path)


WRITERS: dict[str, Writer] = {
    "npz": lambda path: network().save(path, bp.Adam()),
    "safetensors": lambda path: network().save(path),
    "onnx": lambda path: network().to_onnx(path),
    "c": lambda path: network().to_c(path),
    "html": lambda path: network().show(X[:2], Y[:2], path),
    "svg": lambda path: (Variable(1.0) * 2.0).to_svg(path, layout="layers"),
    "checkpoint": save_checkpoint,
}


@pytest.fixture(params=WRITERS)
def writer(request: Any) -> Writer:
    if request.param in ("safetensors", "onnx"):
        pytest.importorskip(request.param)
    return WRITERS[request.param]


def target(folder: Path, writer: Writer) -> Path:
    kind = next(name for name, each in WRITERS.items() if each is writer)
    return folder / f"model.{kind}"


def refuses(writer: Writer, path: Path, number: int) -> None:
    """The writer raises an OSError that names the file, and changes nothing."""
    before = {each: (folder_entry(path.parent / each)) for each in os.listdir(path.parent)}
    with pytest.raises(OSError, match=re.escape(str(path))) as caught:
        writer(path)
    assert caught.value.errno == number
    assert caught.value.filename == str(path)
    assert str(caught.value) == f"[Errno {number}] {caught.value.strerror}: {str(path)!r}"
    assert {each: folder_entry(path.parent / each) for each in os.listdir(path.parent)} == before


def folder_entry(path: Path) -> tuple[bytes, int, int]:
    status = path.stat()
    return path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_ino


# ---- full disks ----


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_at_any_byte(tmp_path: Path, writer: Writer) -> None:
    path = target(tmp_path, writer)
    with largest_file(0):
        refuses(writer, path, errno.EFBIG)
    writer(path)
    size = path.stat().st_size
    for limit in {*range(0, size, size // 12 + 1), 1, size - 100, size - 22, size - 1}:
        with largest_file(limit):
            refuses(writer, path, errno.EFBIG)
    with largest_file(size + 1000):
        writer(path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_disks_that_fail_late(tmp_path: Path, writer: Writer, monkeypatch: Any, call: str) -> None:
    """Some file systems only notice when a file is brought to the disk, or named."""
    path = target(tmp_path, writer)
    writer(path)

    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    refuses(writer, path, errno.ENOSPC)


def test_files_that_others_hold_open(tmp_path: Path, monkeypatch: Any) -> None:
    """On Windows, virus scanners do for a while; what is said here of Windows is simulated."""
    path = tmp_path / "model.npz"
    refusals: list[Any] = []
    real = os.replace

    def replace(source: str, destination: str) -> None:
        if refusals:
            raise refusals.pop()
        real(source, destination)

    def refuse(times: int) -> None:
        refusals[:] = [PermissionError(errno.EACCES, "in use", "one", None, "other")] * times

    monkeypatch.setattr(os, "replace", replace)
    refuse(1)
    refuses(lambda path: network().save(path), path, errno.EACCES)
    monkeypatch.setattr(sys, "platform", "win32")
    refuse(4)
    network().save(path)
    assert not refusals
    monkeypatch.setattr(write, "_PATIENCE_SECONDS", 0.05)
    refuse(1000)
    refuses(lambda path: network(seed=2).save(path), path, errno.EACCES)
    assert 900 < len(refusals) < 1000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(small_disk: Path, writer: Writer) -> None:
    """A real one, with less and less room."""
    path = target(small_disk, writer)
    writer(path)
    pages = -(-path.stat().st_size // 4096)
    with open(small_disk / "ballast", "wb", buffering=0) as ballast:
        with contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        for free in range(pages):
            ballast.truncate(ballast.tell() - 4096 * free)
            refuses(writer, path, errno.ENOSPC)
    (small_disk / "ballast").unlink()
    writer(path)


# ---- folders and files ----


def obey_modes() -> None:
    """Let the modes of files hold for this process, which they do not for root."""
    effective_permitted_inheritable = ctypes.c_uint32 * 6  # the lower 32 of each, then the upper
    version, override = 0x20080522, 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(version, 0), effective_permitted_inheritable()
    failed = libc.capget(header, sets)
    for lower in (0, 1):
        sets[lower] &= ~override & 0xFFFFFFFF
    if failed or libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capabilities")


def in_child(function: Callable[[], None]) -> None:
    """Call a function in a fork; its failure is ours."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            function()
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode()
    os.waitpid(pid, 0)
    assert not message, message


def test_read_only_folder(tmp_path: Path, writer: Writer) -> None:
    path = target(tmp_path, writer)
    writer(path)

    def is_refused() -> None:
        if os.getuid() == 0:
            obey_modes()
        refuses(writer, path, errno.EACCES)

    tmp_path.chmod(0o555)
    try:
        in_child(is_refused)
    finally:
        tmp_path.chmod(0o755)


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, number in [("folder", errno.EISDIR), ("pipe", errno.EINVAL)]:
        with pytest.raises(OSError, match=name) as caught:
            network().save(tmp_path / name)
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        network().save(tmp_path / "nowhere" / "model.npz")
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_rights_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    network().save(path)
    for mode in (0o600, 0o640, 0o606, 0o444):
        path.chmod(mode)
        network().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    if os.getuid() == 0:
        os.chown(path, 1234, 2345)
        network().save(path)
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_long_names(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127):
        network().save(tmp_path / name)
    assert len(os.listdir(tmp_path)) == 2


# ---- killed writers ----


def test_leftovers_are_removed_but_no_living_file(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    living, killed = (start_slow_save(path) for _ in range(2))
    os.kill(killed[0], signal.SIGKILL)
    os.waitpid(killed[0], 0)
    others = [".model.npz.tmp", ".model.npz.12.tmp", ".other.npz.1.0123456789ab.tmp"]
    for name in others:
        (tmp_path / name).touch()
    assert len(os.listdir(tmp_path)) == 5
    network(seed=7).save(path)
    assert len(os.listdir(tmp_path)) == 5  # the file, three that are not ours, one in the making
    os.write(living[1], b"go")
    os.waitpid(living[0], 0)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "model.npz"])
    assert path.read_bytes() == b"slow"
    for _, pipe in (living, killed):
        os.close(pipe)


def start_slow_save(path: Path) -> tuple[int, int]:
    """Return the id of a process that is writing the file, and a pipe that lets it end."""
    (go_read, go_write), (read, write) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:

        def fill(file: Any) -> None:
            file.write(b"slow")
            os.write(write, b"writing")
            os.read(go_read, 1)

        with contextlib.suppress(BaseException):
            write_atomically(path, fill)
        os._exit(0)
    os.read(read, 1)
    for descriptor in (go_read, read, write):
        os.close(descriptor)
    return pid, go_write


RUN = "adam-float32-float32"
RUN_OF_A_TEAM = f"{RUN}-team"

Start = Callable[[Path, str], int]


def start_forked(path: Path, run: str) -> int:
    pid = os.fork()
    if not pid:
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            training_runs.main("train", str(path), run)
        os._exit(1)
    return pid


def start_anew(path: Path, run: str) -> int:
    process = subprocess.Popen(
        [sys.executable, training_runs.__file__, "train", path, run], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.returncode = 0  # it is waited for below
    return process.pid


def signature(model: npz.Contents, net: bp.Network, optimizer: bp.Optimizer) -> dict[str, Any]:
    """Return all that a checkpoint says but times."""
    training = model.training
    assert training is not None
    position = {name: training.header[name] for name in ("epochs", "batch", "best_epoch")}
    numbers = {name: training.figures[name].tolist() for name in training.figures}
    numbers["running"] = numbers["running"][:2]
    del numbers["seconds"]
    vectors = {name: zlib.crc32(vector) for name, vector in training.vectors.items()}
    return {**state(net, optimizer), **position, **numbers, **vectors}


def as_if_loaded(keeper: Any, position: Any) -> dict[str, Any]:
    """Return what a file would say that a run is about to write."""
    training = keeper._describe(position)
    model = npz.Contents({}, (0, 0), {}, np.empty(0), None, None, training)
    return signature(model, keeper.network, keeper.optimizer)


class Reached(Exception):
    """The reference run has gone far enough."""


def compare_with_steps(seen: dict[int, dict[str, Any]], run: str, monkeypatch: Any) -> None:
    """Each state that was seen is that of a run that nobody stopped, after as many steps."""
    last = max(seen)

    def write(self: Any, position: Any) -> None:
        steps = self.optimizer.steps
        if steps in seen:
            assert as_if_loaded(self, position) == seen[steps], steps
        if steps == last:
            raise Reached

    monkeypatch.setattr(checkpoints.Checkpoints, "write", write)
    with pytest.raises(Reached):
        train(run, epochs=10**6, patience=None, checkpoint="unused", checkpoint_every="1 step")


def kill_again_and_again(path: Path, run: str, times: int, start: Start, monkeypatch: Any) -> int:
    """Kill a run that writes a checkpoint at every step, each life going on from the last file.

    Return how many kills left an unfinished file, so came while one was written.
    """
    rng = random.Random(times)
    seen: dict[int, dict[str, Any]] = {}
    unfinished, longest, in_vain = 0, 0.2, 0
    for _ in range(times):
        if in_vain == 3:  # lives are too short, as where others have the CPUs
            longest, in_vain = 2 * longest, 0
        pid = start(path, run)
        time.sleep(rng.uniform(0.0, longest))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the run ended by itself"
        left = [name for name in os.listdir(path.parent) if name.startswith(f".{path.name}.{pid}.")]
        assert len(left) <= 1
        unfinished += len(left)
        if not path.exists():
            assert not seen
            in_vain += 1
            continue
        net, optimizer = bp.Network.load(path), bp.Optimizer.load(path)
        assert not seen or optimizer.steps >= max(seen)
        in_vain = in_vain + 1 if optimizer.steps in seen else 0
        seen[optimizer.steps] = signature(npz.load(path), net, optimizer)
    print(f"{run}: {times} kills, {unfinished} inside a write, files of {len(seen)} steps")
    assert len(seen) > times / 10
    compare_with_steps(seen, run, monkeypatch)
    network().save(path)
    assert os.listdir(path.parent) == [path.name]
    return unfinished


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs the threads of /proc")
def test_two_threads_train_in_the_run_of_a_team() -> None:
    assert helpers_started(lambda: train(RUN_OF_A_TEAM)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("run", [RUN, RUN_OF_A_TEAM])
def test_killed_at_random(tmp_path: Path, monkeypatch: Any, run: str) -> None:
    kill_again_and_again(tmp_path / "run.npz", run, 10, start_forked, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("run", [RUN, RUN_OF_A_TEAM])
@pytest.mark.parametrize(
    "start", [start_forked, pytest.param(start_anew, marks=pytest.mark.exhaustive)]
)
def test_killed_at_random_200_times(
    tmp_path: Path, monkeypatch: Any, start: Start, run: str
) -> None:
    assert kill_again_and_again(tmp_path / "run.npz", run, 200, start, monkeypatch) > 0
