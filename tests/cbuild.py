"""Compile C test programs (tests/c) with the sources of the core, and run them.

    run("core_stress.c")                       with every source, here
    run("pool_stress.c", sources=POOL)         with some
    run("core_stress.c", toolchain=AARCH64)    for another processor, under an emulator

Objects are kept for the session, so that programs with the same toolchain share them. A test whose
toolchain is not installed is skipped.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
PROGRAMS = Path(__file__).parent / "c"

# What the package is built with (pybackprop/_build_ffi.py), with assertions and warnings as errors.
FLAGS = (
    "-std=c11",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
)


@dataclass(frozen=True)
class Toolchain:
    """A compiler with its flags, how its programs end, and the emulator that runs them."""

    compiler: str = "cc"
    flags: tuple[str, ...] = FLAGS
    link: tuple[str, ...] = ("-lpthread", "-lm")
    runner: tuple[str, ...] = ()
    suffix: str = ""

    def with_flags(self, *flags: str) -> Toolchain:
        return replace(self, flags=self.flags + flags)

    def require(self) -> None:
        """Skip the calling test where a part of the toolchain is missing."""
        if not CSRC.is_dir():
            pytest.skip("the sources of the core are not beside the tests")
        for tool in (self.compiler, *self.runner[:1]):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")


NATIVE = Toolchain()
# Distributions name it with its version too, and only so where that is all that is installed.
CLANG = Toolchain(compiler="clang" if shutil.which("clang") else "clang-14")
TSAN = Toolchain().with_flags("-g", "-fsanitize=thread")
ASAN = Toolchain().with_flags("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STATIC = ("-static", *NATIVE.link)
# Windows, by Wine. Its ABI aligns the stack to 16 bytes, for which gcc makes up only where the
# assembler helps (gcc bug 54412). Debian has wine64 outside the PATH.
MINGW = Toolchain(
    "x86_64-w64-mingw32-gcc",
    link=("-static", "-lsynchronization", "-lpthread"),
    runner=(shutil.which("wine64") or "/usr/lib/wine/wine64",),
    suffix=".exe",
).with_flags("-Wa,-muse-unaligned-vector-move")
AARCH64 = Toolchain("aarch64-linux-gnu-gcc", link=STATIC, runner=("qemu-aarch64-static",))
# A processor without AVX: an instruction that the baseline does not have is fatal.
NEHALEM = Toolchain(link=STATIC, runner=("qemu-x86_64-static", "-cpu", "Nehalem"))
HASWELL = Toolchain(link=STATIC, runner=("qemu-x86_64-static", "-cpu", "Haswell"))


@functools.cache
def build_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="pybackprop-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def core_sources() -> tuple[str, ...]:
    """Every source of the core, relative to csrc."""
    return tuple(sorted(path.relative_to(CSRC).as_posix() for path in CSRC.glob("**/*.c")))


POOL = (
    "system/cgroup.c",
    "system/clock.c",
    "system/cpu.c",
    "system/job.c",
    "system/thread_posix.c",
    "system/thread_windows.c",
    "threads/park.c",
    "threads/place.c",
    "threads/pool.c",
)


def kernel_sources() -> tuple[str, ...]:
    """The kernels of every instruction set, with what chooses among them."""
    arch = sorted(path.relative_to(CSRC).as_posix() for path in CSRC.glob("kernels/arch/*.c"))
    return ("system/cgroup.c", "system/cpu.c", "system/job.c", "kernels/dispatch.c", *arch)


def clean_environment() -> dict[str, str]:
    """The environment without what was preloaded into this interpreter, such as a sanitizer."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def call(command: Sequence[str], timeout: float = 1200) -> None:
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@functools.cache
def build_object(source: Path, compiler: str, flags: tuple[str, ...]) -> Path:
    key = hashlib.sha256(f"{source} {compiler} {flags}".encode()).hexdigest()[:16]
    path = build_folder() / f"{source.stem}-{key}.o"
    call([compiler, *flags, "-I", str(CSRC), "-c", str(source), "-o", str(path)])
    return path


def build_objects(sources: Sequence[str | Path], toolchain: Toolchain = NATIVE) -> list[Path]:
    """Return the object files of sources, of which relative paths are in csrc."""
    toolchain.require()
    built = functools.partial(build_object, compiler=toolchain.compiler, flags=toolchain.flags)
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(workers.map(built, [CSRC / source for source in sources]))


@functools.cache
def build(
    program: str, sources: tuple[str, ...] | None = None, toolchain: Toolchain = NATIVE
) -> Path:
    """Return the path of the executable made from tests/c/`program` and files of csrc.

    Parameters
    ----------
    program : str
        File name in tests/c.
    sources : tuple of str, optional
        Paths relative to csrc; every source of the core if not given.
    toolchain : Toolchain
        What to compile with.
    """
    chosen = core_sources() if sources is None else sources
    objects = build_objects([PROGRAMS / program, *chosen], toolchain)
    key = hashlib.sha256(f"{program} {chosen} {toolchain}".encode()).hexdigest()[:16]
    path = build_folder() / f"{Path(program).stem}-{key}{toolchain.suffix}"
    command = [toolchain.compiler, *toolchain.flags, *map(str, objects)]
    call([*command, "-o", str(path), *toolchain.link])
    return path


def run(
    program: str,
    *arguments: str,
    sources: tuple[str, ...] | None = None,
    toolchain: Toolchain = NATIVE,
    environment: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> str:
    """Build and run a test program; fail with its output unless it ends with status 0.

    Parameters
    ----------
    program, sources, toolchain
        As for `build`.
    *arguments : str
        Command-line arguments of the program.
    environment : mapping, optional
        Variables to set besides this process's.
    timeout : float
        Seconds before the program counts as hanging.

    Returns
    -------
    str
        What the program wrote.
    """
    path = build(program, sources, toolchain)
    command = [*toolchain.runner, str(path), *arguments]
    done = subprocess.run(
        command,
        env={**clean_environment(), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout
