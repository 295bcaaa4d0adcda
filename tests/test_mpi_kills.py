"""Runs whose ranks are killed, and which others finish: with the bits of a run that never stopped.

    PYBACKPROP_KILLS=50 python -m pytest -m slow -s tests/test_mpi_kills.py

kills so often, and says what it does. Without the variable there are only a few kills.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
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


def kill(
    ranks: int, command: list[str], library: str, moment: float, victim: int, folder: Path
) -> list[str]:
    """Start ranks, and kill one after a time; return what they print at the end, if they get there.

    They may get there without a kill, but they may not fail without one.
    """
    printed, errors = folder / "printed.txt", folder / "errors.txt"
    was_hit = False
    with (
        printed.open("w") as out,
        errors.open("w") as err,
        started(ranks, *command, library=library, stdout=out, stderr=err) as process,
    ):
        pids = wait_for_pids(ranks, process, printed, errors)
        time.sleep(moment)
        if process.poll() is None:
            with suppress(ProcessLookupError):  # that rank has ended already
                os.kill(pids[victim], signal.SIGKILL)
                was_hit = True
        process.wait(timeout=120.0)
    said = [line for line in printed.read_text().splitlines() if line.startswith("train")]
    assert was_hit or process.returncode == 0, errors.read_text()
    assert said or process.returncode != 0, errors.read_text()
    return said


def wait_for_pids(
    ranks: int, process: subprocess.Popen[str], printed: Path, errors: Path
) -> list[int]:
    """Return the numbers of the processes, which the ranks print first."""
    until = time.monotonic() + 60.0
    is_running = True
    while is_running and time.monotonic() < until:
        is_running = process.poll() is None  # a run that resumes at its end may be over already
        found = re.findall(r"^pid \d+ (\d+)\n", printed.read_text(), re.MULTILINE)
        if len(found) == ranks:
            return list(map(int, found))
        time.sleep(0.01)
    pytest.fail(f"{ranks} ranks have not begun: {errors.read_text()}")


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
                said = kill(ranks, command, library, moment, victim, tmp_path)
                kills += not said
                done = "too late" if said else f"kill {kills}"
                print(f"{what}: {done}, rank {victim} after {moment:.2f} s")
            else:
                lines = run(ranks, *command, library=library)
                said = [line for line in lines if line.startswith("train")]
                print(f"{what}: finished")
        assert said == [expected(name)] * ranks, what
