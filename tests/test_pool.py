"""The thread pool, alone: a C program that stresses it, plain and under ThreadSanitizer; and what
decides how many threads work, and where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from cbuild import NATIVE, POOL, TSAN, Toolchain, run

pytestmark = pytest.mark.native

PARTS = [
    "counts",
    "shared",
    "awake",
    "limits",
    "callers",
    "nested",
    "mode",
    "fork_idle",
    "fork_busy",
    "fork_inside",
    "places",
]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("toolchain", [NATIVE, TSAN], ids=["plain", "tsan"])
def test_stress(part: str, toolchain: Toolchain) -> None:
    # By default the sanitizer forbids the child of a busy fork to start threads, and ends slowly.
    options = {"TSAN_OPTIONS": "halt_on_error=1 die_after_fork=0 atexit_sleep_ms=0"}
    out = run("pool_stress.c", "0.3", part, sources=POOL, toolchain=toolchain, environment=options)
    assert out.endswith(f"{part} ok\n")


def test_fewer_threads_than_wanted() -> None:
    assert run("pool_stress.c", "0", "scarce", sources=POOL) == "scarce ok\n"


def test_where_threads_run_and_how_many() -> None:
    sources = ("system/job.c", "threads/place.c", "threads/trial.c")
    assert run("check_threads.c", sources=sources).endswith("alone ok\n")


def count_calls(part: str) -> tuple[int, int]:
    """Return how many calls a part of the program counted, and of how many."""
    out = run("pool_stress.c", "0", part, sources=POOL)
    print(out)
    found = re.match(r"(\d+) of (\d+) calls on (one|two) threads?\n", out)
    assert found
    return int(found[1]), int(found[2])


def shares(part: str, times: int = 3) -> Iterator[float]:
    """Yield the share of calls that are counted, run by run: others may take a CPU in some."""
    for _ in range(times):
        counted, calls = count_calls(part)
        yield counted / calls


@pytest.mark.timing
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPUs")
def test_a_smaller_team_finds_its_helper_awake() -> None:
    assert any(together > 0.7 for together in shares("smaller"))


@pytest.mark.timing
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPUs")
def test_calls_that_are_slow_alone_find_their_helper_awake() -> None:
    """After each pause some three of 50 calls are alone; more where others take the CPUs."""
    assert any(alone < 0.2 for alone in shares("slow"))


@pytest.mark.timing
def test_latency() -> None:
    """A dispatch never costs more than a few sleeps, even where other processes want the CPUs."""
    out = run("pool_stress.c", "0", "latency", sources=POOL)
    found = re.search(r"one barrier, 2 threads: (\d+) ns", out)
    assert found
    print(out)
    assert int(found[1]) < 200_000
