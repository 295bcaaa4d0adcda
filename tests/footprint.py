"""What a process holds, sampled, and whether it stays flat."""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

# Growth from the second quarter of the measurements to the last that is still no leak.
FLAT_BYTES = 6 * 1024 * 1024


@dataclass
class Sample:
    """What the process holds at a time."""

    resident: int
    files: int
    threads: int


def sample() -> Sample:
    """Measure after everything that can be given back has been."""
    gc.collect()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        files, threads = (len(os.listdir(f"/proc/self/{each}")) for each in ("fd", "task"))
        return Sample(resident, files, threads)
    return Sample(0, 0, 0)


def assert_flat(samples: list[Sample]) -> str:
    """Compare the second quarter of the samples with the last; return what they say."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    memory = [statistics.median(each.resident for each in part) for part in (early, late)]
    text = f"memory {memory[0] / 2**20:.1f} MB, then {memory[1] / 2**20:.1f} MB"
    assert memory[1] <= memory[0] + FLAT_BYTES, f"memory grows: {text}"
    for what in ("files", "threads"):
        counts = [max(getattr(each, what) for each in part) for part in (early, late)]
        assert counts[1] <= counts[0] + 1, f"open {what}: {counts[0]}, then {counts[1]}"
        text += f", {what} {counts[0]}, then {counts[1]}"
    return text
