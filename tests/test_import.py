"""What importing the package costs: no heavy module, and little time after numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pybackprop as bp

HEAVY = [
    "concurrent",
    "dask",
    "distributed",
    "joblib",
    "matplotlib",
    "mpi4py",
    "multiprocessing",
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


def test_names_are_listed_and_found() -> None:
    """dir(), which Tab completes from, has every public name, and no other; none is imported."""
    out = run("import sys, pybackprop as bp; print(*dir(bp)); print(*sys.modules)")
    names, loaded = (line.split() for line in out.splitlines())
    public = {name for name in names if not (name.startswith("__") and name != "__version__")}
    modules = {"datasets", "distributed", "graph", "lessons", "sklearn", "tabular", "tuning"}
    modules |= {"view"}
    assert public == {*bp.__all__, *modules}
    for name in ("check", "datasets", "distributed", "flow", "graph", "kernels", "sklearn", "view"):
        assert f"pybackprop.{name}" not in loaded


@pytest.mark.parametrize("name", ["datasets", "distributed", "graph", "kernels", "view"])
def test_modules_are_found_on_first_use(name: str) -> None:
    out = run(f"import pybackprop as bp; help(bp.{name})")
    assert out.startswith(
        f"Help on {'package' if name != 'kernels' else 'module'} pybackprop.{name}"
    )
    assert run(f"import pybackprop as bp; print(bp.{name}.__name__)") == f"pybackprop.{name}\n"


def test_help_of_the_estimators() -> None:
    pytest.importorskip("sklearn")
    out = run("import pybackprop; help(pybackprop.sklearn)")
    assert "MLPClassifier" in out
    assert "MLPRegressor" in out


def test_estimators_without_scikit_learn() -> None:
    """To ask for them says what to install; help on the package does without."""
    begin = "import sys; sys.modules['sklearn'] = None; import pybackprop as bp; "
    assert "pip install scikit-learn" in run(
        f"{begin}\ntry:\n    help(bp.sklearn)\nexcept AttributeError as error:\n    print(error)"
    )
    assert "gradient_flow" in run(f"{begin}help(bp)")
    assert run(f"{begin}print(hasattr(bp, 'sklearn'), hasattr(bp, 'nothing'))") == "False False\n"


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
