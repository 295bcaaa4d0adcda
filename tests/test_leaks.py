"""Memory, open files and threads stay flat however often a public function is called."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.timing,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallinfo2"),
        reason="needs glibc's mallinfo2",
    ),
]

DRIVER = Path(__file__).parent / "leaks.py"
# Blocks that a thread keeps for itself would be counted as in use.
EXACT = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(DRIVER.parent), os.environ["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **EXACT, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_no_public_function_leaks() -> None:
    done = run(str(DRIVER))
    print(done.stdout)
    assert done.returncode == 0, "\n".join(done.stdout.splitlines()[-30:]) + done.stderr


LEAKS = """
import leaks
kept = []
print(leaks.measure(lambda: kept.append(object()))[2])
print(leaks.measure(lambda: bytes(100))[2])
"""


def test_a_leak_of_one_small_block_is_noticed() -> None:
    done = run("-c", LEAKS)
    assert (done.stdout.split(), done.stderr) == (["True", "False"], "")
