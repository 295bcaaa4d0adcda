"""Runs whose ranks are killed, and which others finish: with the bits of a run that never stopped.

    PYBACKPROP_KILLS=50 python -m pytest -m slow -s tests/test_mpi_kills.py

kills so often, and says what it does. Without the variable there are only a few kills.
"""

from __future__ import annotations

import os
import random
import signal
import time
from functools import cache
from pathlib import Path

import pytest
from mpi_launch import libraries, run, started
from rank_runs import KILLED, digest
from test_shards import train

KILLS = int(os.environ.get("PYBACKPROP_KILLS", "6"))
RANKS = (1, 2, 3, 4, 5, 8)
PROGRAM = str(Path(__file__).parent / "rank_runs.py")


@cache
def expected(name: str) -> str:
    return f"train {digest(train(**KILLED[name]))}"


def kill(ranks: int, command: list[str], library: str, moment: float, victim: int) -> list[str]:
    """Start ranks, and kill one after a time; return what they print after their numbers."""
    with started(ranks, *command, library=library) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline().split()[2]) for _ in range(ranks)]
        time.sleep(moment)
        if process.poll() is None:
            os.kill(pids[victim], signal.SIGKILL)
        out, _ = process.communicate(timeout=120)
    said = [line for line in out.splitlines() if line.startswith("train")]
    assert said or process.returncode != 0
    return said


@pytest.mark.slow
def test_killed_runs_end_with_the_bits_of_one_that_never_stopped(tmp_path: Path) -> None:
    known = libraries()
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        name = rng.choice(list(KILLED))
        command = [PROGRAM, "train", name, str(tmp_path / f"{runs}.npz")]
        numbers = list(RANKS)
        said: list[str] = []
        # Each kill is followed by another number of ranks, until one is not hit in time.
        while not said:
            ranks, library = numbers.pop(rng.randrange(len(numbers))), rng.choice(known)
            what = f"seed {seed}, {name}, {ranks} ranks of {library}"
            if kills < KILLS and numbers:
                moment, victim = rng.uniform(0.0, 1.0), rng.randrange(ranks)
                said = kill(ranks, command, library, moment, victim)
                kills += not said
                done = "too late" if said else f"kill {kills}"
                print(f"{what}: {done}, rank {victim} after {moment:.2f} s")
            else:
                lines = run(ranks, *command, library=library)
                said = [line for line in lines if line.startswith("train")]
                print(f"{what}: finished")
        assert said == [expected(name)] * ranks, what
