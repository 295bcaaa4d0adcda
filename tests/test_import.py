"""What importing the package costs: no heavy module, and little time after numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = [
    "joblib",
    "matplotlib",
    "onnx",
    "pandas",
    "polars",
    "safetensors",
    "scipy",
    "sklearn",
    "threadpoolctl",
    "torch",
    "tqdm",
]


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_no_heavy_module() -> None:
    out = run("import sys, pybackprop; print(*{name.partition('.')[0] for name in sys.modules})")
    assert "pybackprop" in out.split()
    assert not set(HEAVY) & set(out.split())


@pytest.mark.timing
def test_import_stays_within_25_ms_of_numpy(tmp_path: Path) -> None:
    """Processor time, the best of five, so that a busy machine does not count.

    An installed package has its bytecode; a checkout may be told not to write it.
    """
    cache = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    code = (
        "import time, numpy; begin = time.process_time(); import pybackprop;"
        " print(time.process_time() - begin)"
    )
    assert min(float(run(code, **cache)) for _ in range(5)) < 0.025


def test_import_starts_no_thread() -> None:
    code = "import os, numpy; n = len(os.listdir('/proc/self/task')); import pybackprop;"
    if sys.platform == "linux":
        assert run(code + " print(len(os.listdir('/proc/self/task')) - n)").split() == ["0"]
