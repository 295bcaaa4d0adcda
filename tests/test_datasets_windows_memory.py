"""Training on files that are read in windows takes no more memory than the windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BOUNDED = """
import sys
import numpy as np
import pybackprop as bp

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024

path, y = sys.argv[1:]
y = np.load(y, mmap_mode="r") if y.endswith(".npy") else y
bp.set_threads(1)
net = bp.Network([500, 8, 1], seed=0)
data = bp.datasets.Windows(path, y, rows=2048)
few = np.zeros((2048, 500), np.float32)
net.fit(bp.datasets.Windows(few, few[:, 0], rows=1024), batch_size=256)
data.read(0, 0, 100)  # starts the threads and memory pools of pyarrow
before = peak()
net.fit(data, batch_size=256)
print(peak() - before)
"""


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, Path]:
    """Files of 160 MB: 40 windows of 4 MB."""
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (81920, 500))
    array.flush()
    del array
    np.save(tmp_path / "y.npy", np.zeros((81920, 1), np.float32))
    return path, tmp_path / "y.npy"


def growth(*words: Any) -> float:
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_bounded_by_the_windows(large: tuple[Path, Path]) -> None:
    assert growth(*large) < 32


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_bounded_by_windows_and_row_groups(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    # 4 MB in a row group, of random numbers, which cannot be compressed.
    part = pyarrow.table({f"x{at}": rng.random(2048, np.float32) for at in range(501)})
    path = tmp_path / "x.parquet"
    with parquet.ParquetWriter(path, part.schema, use_dictionary=False) as writer:
        for _ in range(40):
            writer.write_table(part)
    assert path.stat().st_size > 150e6
    assert growth(path, "x500") < 80
