"""Ranks that are processes, over MPI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpi_launch import NAMES, find_library, run, started
from rank_runs import MATRIX, THREADS, digest, train_on_windows
from test_shards import train

from pybackprop import Network

pytestmark = pytest.mark.usefixtures("mpi")

PROGRAM = str(Path(__file__).parent / "rank_runs.py")


@pytest.fixture(scope="module")
def mpi() -> None:
    find_library()


# Those that differ most in what is sent.
SAMPLE = ("sgd-small", "adam-large", "double", "rounded", "fewer-rows-than-shards")


@cache
def bits_of_one_process(name: str) -> str:
    return digest(train(**MATRIX[name]))


def check_bits(library: str, ranks: int, names: Iterable[str], seconds: float) -> None:
    expected = [
        f"{name} {threads} {bits_of_one_process(name)}" for name in names for threads in THREADS
    ]
    found = run(ranks, PROGRAM, "matrix", *names, library=library, seconds=seconds)
    assert found == sorted(expected * ranks)


# Ranks of MPICH do not yield while they wait: no more of them than most machines have cores.
@pytest.mark.parametrize(("library", "ranks"), [("Open MPI", 2), ("Open MPI", 3), ("MPICH", 2)])
def test_ranks_have_the_bits_of_one_process(library: str, ranks: int) -> None:
    check_bits(library, ranks, SAMPLE, 180.0)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("library", NAMES)
def test_ranks_have_the_bits_of_one_process_in_220_configurations(library: str, ranks: int) -> None:
    check_bits(library, ranks, MATRIX, 600.0)


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
    with started(2, *command, "--save", str(tmp_path / "missing" / "model.npz")) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "rank 1 ends: rank 0: --save" in out + err


def test_no_rank_is_left_when_a_test_waits_no_longer(tmp_path: Path) -> None:
    program = "import os, sys, time; open(os.path.join(sys.argv[1], str(os.getpid())), 'x'); "
    with started(2, "-c", program + "time.sleep(600)", str(tmp_path)) as process:
        _wait_until(lambda: len(os.listdir(tmp_path)) == 2)
    assert process.returncode is not None
    for pid in os.listdir(tmp_path):
        _wait_until(lambda pid=pid: not _is_alive(int(pid)))


def _wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60.0
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
