"""What a reader is told where the compiled core or an optional package cannot be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pybackprop
from pybackprop import _pybackprop_core as core
from pybackprop._optional import optional

PACKAGE = Path(pybackprop.__file__).parent


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, where it finds what lies there first."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that holds the package without its core."""
    ignored = shutil.ignore_patterns("_pybackprop_core.*", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "pybackprop", ignore=ignored)
    return tmp_path


@pytest.fixture
def tree(installed: Path) -> Path:
    """The same as a source tree."""
    (installed / "csrc").mkdir()
    (installed / "setup.py").touch()
    return installed


def message_of(done: subprocess.CompletedProcess[str]) -> str:
    """What the one ImportError of an output says."""
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert "During handling" not in done.stderr
    frames, mark, message = done.stderr.partition("\nImportError: ")
    assert mark, done.stderr
    assert frames.count('File "') <= 3
    return message


@pytest.mark.parametrize("name", ["pybackprop", "pybackprop.graph"])
def test_source_tree_without_core(tree: Path, name: str) -> None:
    message = message_of(run(tree, "-c", f"import {name}"))
    assert message.startswith(f"pybackprop was imported from its source tree, {tree.resolve()}")
    assert "install it (pip install .) and start Python in another folder" in message
    assert message.endswith("    python setup.py build_ext --inplace\n")


def test_running_a_source_tree_without_core(tree: Path) -> None:
    done = run(tree, "-m", "pybackprop", "info")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pybackprop: error: pybackprop was imported from its source tree")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 8


def test_other_modules_get_the_exception(tree: Path) -> None:
    """``python -m`` of something else must not be ended by importing pybackprop."""
    (tree / "other").mkdir()
    (tree / "other/__init__.py").write_text(
        "try:\n    import pybackprop\nexcept ImportError:\n    print('caught')\n"
    )
    (tree / "other/__main__.py").write_text("print('ran')\n")
    done = run(tree, "-m", "other", "-m", "pybackprop")
    assert done.stdout.split() == ["caught", "ran"], done.stderr


def test_tests_in_a_source_tree_without_core(tree: Path) -> None:
    (tree / "tests").mkdir()
    for name in ("conftest.py", "chromium.py"):
        shutil.copy(Path(__file__).parent / name, tree / "tests")
    done = run(tree, "-m", "pytest", "tests")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert output.count("was imported from its source tree") == 1
    assert "During handling" not in output


def test_installed_without_core(installed: Path) -> None:
    other = "_pybackprop_core.cpython-39-elsewhere.so"
    (installed / "pybackprop" / other).touch()
    message = message_of(run(installed, "-c", "import pybackprop"))
    assert message.startswith("the compiled core of pybackprop is missing")
    assert f"found: {other})" in message
    assert "pip install --force-reinstall ." in message
    assert "source tree" not in message


@pytest.mark.parametrize("where", ["installed", "tree"])
def test_core_that_cannot_be_loaded(where: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(where)
    name = Path(core.__file__).name
    (folder / "pybackprop" / name).write_bytes(b"not a library")
    message = message_of(run(folder, "-c", "import pybackprop"))
    assert message.startswith("the compiled core of pybackprop cannot be loaded")
    assert name in message
    remedy = {
        "installed": "install pybackprop again",
        "tree": "python setup.py build_ext --inplace --force",
    }[where]
    assert remedy in message
    assert "was imported from its source tree" not in message


def test_other_import_errors_are_their_own(installed: Path) -> None:
    """What is wrong with NumPy is not blamed on the core."""
    (installed / "numpy.py").write_text("raise ImportError('numpy is broken')\n")
    done = run(installed, "-c", "import pybackprop")
    assert done.stderr.endswith("\nImportError: numpy is broken\n")


# ---- optional packages ----

NEEDS = {
    "matplotlib": ("net.fit([[0, 0]], [0]).plot()", "plotting", "matplotlib"),
    "onnx": ("net.to_onnx('m.onnx')", "writing an ONNX file", "onnx"),
    "onnx ": ("bp.Network.from_onnx('m.onnx')", "reading an ONNX file", "onnx"),
    "safetensors": ("net.save('m.safetensors')", "writing a .safetensors file", "safetensors"),
    "torch": ("net.to_torch()", "to_torch", "torch"),
    "sklearn": ("import pybackprop.sklearn", "pybackprop.sklearn", "scikit-learn"),
    "scipy": ("import pybackprop.sklearn", "pybackprop.sklearn", "scikit-learn"),
}


@pytest.mark.parametrize("module", NEEDS)
def test_missing_packages_are_named(module: str, tmp_path: Path) -> None:
    statement, purpose, package = NEEDS[module]
    if module == "scipy":
        pytest.importorskip("sklearn")
    code = (
        f"import sys; sys.modules[{module.strip()!r}] = None\n"
        f"import pybackprop as bp; net = bp.Network([2, 1])\n{statement}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    last = done.stderr.splitlines()[-1]
    assert last == f"ModuleNotFoundError: {purpose} needs {package}: pip install {package}"


def test_missing_package_on_the_command_line(tmp_path: Path) -> None:
    pybackprop.Network([2, 1]).save(tmp_path / "m.npz")
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from pybackprop.cli import main; sys.exit(main(['export', 'm.npz', '--to', 'onnx']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    expected = "pybackprop export: error: writing an ONNX file needs onnx: pip install onnx\n"
    assert (done.returncode, done.stderr) == (2, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_packages_that_are_too_old_are_named() -> None:
    old = "cannot import name 'new' from 'lib.sub'"
    with (
        pytest.raises(ImportError, match=r"^it needs a newer lib .*pip install --upgrade lib$"),
        optional("lib", "it"),
    ):
        raise ImportError(old, name="lib.sub")


def test_errors_of_other_modules_pass_optional() -> None:
    """A package that is there, but misses something of its own, speaks for itself."""
    with pytest.raises(ImportError, match=r"^no other$"), optional("lib", "it"):
        raise ModuleNotFoundError("no other", name="other")


def test_no_message_names_extras_of_an_index() -> None:
    """No index has the package, so only its own folder can be installed with extras."""
    for path in PACKAGE.glob("**/*.py"):
        assert "pybackprop[" not in path.read_text(encoding="utf-8"), path
