"""The whole core as a C program: on other processors, under memory checkers, in many threads.

tests/c/tour.c calls every function of the interface; tests/c/core_stress.c calls them in many
threads and in the children of forks.
"""

from __future__ import annotations

import platform
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cbuild import (
    AARCH64,
    ASAN,
    HASWELL,
    NATIVE,
    NEHALEM,
    TSAN,
    Toolchain,
    build,
    clean_environment,
    run,
)

pytestmark = pytest.mark.native

# Widths of the hidden layers: of networks that are trained in parts, and in shared passes, without
# derivatives.
WIDTHS = ["21", "243"]
QUICK_AND_SLOW = [WIDTHS[0], pytest.param(WIDTHS[1], marks=pytest.mark.slow)]
# Of numbers that are sums over all entries of a result, relative to the sum of their magnitudes.
# A rounding that falls another way in bfloat16 is felt in all that follows.
TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "bf16": 2e-2, "bf16x3": 2e-5}

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 processor")

Results = list[tuple[str, float, float]]


def tour(
    width: str, toolchain: Toolchain = NATIVE, isa: str = "", timeout: float = 300
) -> tuple[str, Results]:
    """Return the instruction set that ran, and name, number and size of every result."""
    out = run(
        "tour.c", width, toolchain=toolchain, environment={"PYBACKPROP_ISA": isa}, timeout=timeout
    )
    used = re.search(r"^isa (\w+)$", out, re.MULTILINE)
    assert used
    found = re.findall(r"^(\w+ .+) (\S+) (\S+)$", out, re.MULTILINE)
    assert len(found) > 500
    return used[1], [(name, float(number), float(size)) for name, number, size in found]


def compare(found: Results, wanted: Results) -> None:
    assert [name for name, *_ in found] == [name for name, *_ in wanted]
    for (name, number, size), (_, right, right_size) in zip(found, wanted, strict=True):
        near = TOLERANCES[name.partition(" ")[0]] * max(right_size, 1e-30)
        assert abs(number - right) <= near, (name, number, right)
        assert abs(size - right_size) <= near, (name, size, right_size)


@pytest.mark.parametrize("width", QUICK_AND_SLOW)
def test_instruction_sets_agree(width: str) -> None:
    _, wanted = tour(width, isa="portable")
    for isa in ("avx2", "avx512", "neon"):
        compare(tour(width, isa=isa)[1], wanted)


@x86
def test_the_emulated_processor_without_avx_has_none(tmp_path: Path) -> None:
    """Otherwise the next test would say nothing. The same program runs on a later processor."""
    for toolchain, status in [(HASWELL, 0), (NEHALEM, -signal.SIGILL)]:
        program = build("avx_instruction.c", sources=(), toolchain=toolchain)
        command = [*toolchain.runner, str(program)]
        # The emulator may leave an image of what it ended where it was started.
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
        assert done.returncode == status, done


@x86
@pytest.mark.parametrize("width", QUICK_AND_SLOW)
def test_a_processor_without_avx_runs_everything(width: str) -> None:
    """An instruction that it does not have would end the program."""
    isa, found = tour(width, NEHALEM)
    assert isa == "portable"
    compare(found, tour(width, isa="portable")[1])


@pytest.mark.slow
def test_arm_runs_everything() -> None:
    isa, found = tour(WIDTHS[0], AARCH64)
    assert isa == "neon"
    compare(found, tour(WIDTHS[0], isa="portable")[1])


# Debian's valgrind knows no AVX-512, and shows a processor without it.
MEMCHECK = replace(
    NATIVE, runner=("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full")
)


@pytest.mark.parametrize("checker", [ASAN, MEMCHECK], ids=["sanitizer", "valgrind"])
def test_the_checkers_notice_a_leak(checker: Toolchain) -> None:
    """Otherwise the next tests would say nothing of leaks."""
    program = str(build("leak.c", sources=("system/mem.c",), toolchain=checker))
    environment = {**clean_environment(), "ASAN_OPTIONS": "", "LSAN_OPTIONS": ""}
    for arguments, leaks in (([], False), (["leak"], True)):
        command = [*checker.runner, program, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == leaks, done
        assert ("128 byte" in done.stderr) == leaks, done.stderr  # in whole lines of the cache


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_memory_checker_finds_nothing(isa: str) -> None:
    used, found = tour(WIDTHS[0], MEMCHECK, isa)
    assert used == tour(WIDTHS[0], isa=isa)[0]
    compare(found, tour(WIDTHS[0], isa="portable")[1])


@pytest.mark.slow
def test_address_sanitizer_finds_nothing() -> None:
    for width in WIDTHS:
        tour(width, ASAN)


# ---- threads ----

PARTS = ["nets", "many", "busy", "updates", "fork"]
# By default the sanitizer forbids the child of a busy fork to start threads, and ends slowly.
OPTIONS = {"TSAN_OPTIONS": "halt_on_error=1 die_after_fork=0 atexit_sleep_ms=0"}


@pytest.mark.parametrize("part", PARTS)
def test_threads(part: str) -> None:
    out = run("core_stress.c", "0.4", part)
    print(out)
    assert f"{part} ok\n" in out


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["", "avx2", "portable"])
@pytest.mark.parametrize("part", PARTS)
def test_thread_sanitizer_finds_nothing(part: str, isa: str) -> None:
    environment = {**OPTIONS, "PYBACKPROP_ISA": isa}
    out = run("core_stress.c", "10", part, toolchain=TSAN, environment=environment)
    print(out)
    assert f"{part} ok\n" in out
