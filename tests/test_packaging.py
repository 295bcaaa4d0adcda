"""The package as installed: its metadata, its files, and what its compiled module shows."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata, resources
from pathlib import Path

import pytest

import pybackprop
from pybackprop import _pybackprop_core as core

IS_LINUX = sys.platform.startswith("linux")
SETUP = Path(__file__).parent.parent / "setup.py"


@pytest.fixture(scope="module")
def distribution() -> metadata.Distribution:
    try:
        return metadata.distribution("pybackprop")
    except metadata.PackageNotFoundError:
        pytest.skip("built in place, not installed")


def tool(name: str, *arguments: str) -> str:
    """Return what a tool of binutils prints about the compiled module."""
    path = shutil.which(name)
    if path is None or not IS_LINUX:
        pytest.skip(f"needs {name} and ELF")
    command = [path, *arguments, core.__file__]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_version_is_the_installed_one(distribution):
    assert pybackprop.__version__ == distribution.version
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+|\.dev\d+)?", pybackprop.__version__)


def test_only_numpy_and_cffi_are_needed_at_run_time(distribution):
    required = [r for r in distribution.requires or [] if "extra ==" not in r]
    assert sorted(re.split(r"[<>=!~; ]", r)[0] for r in required) == ["cffi", "numpy"]


def test_licence_is_named_and_shipped(distribution):
    assert distribution.metadata["License-Expression"] == "BSD-3-Clause"
    assert any(f.name == "LICENSE" for f in distribution.files or [])


def test_command_is_callable(distribution):
    (entry,) = (e for e in distribution.entry_points if e.group == "console_scripts")
    assert entry.name == "pybackprop"
    assert callable(entry.load())


def test_types_are_shipped():
    assert resources.files("pybackprop").joinpath("py.typed").is_file()


def test_data_is_shipped_small_and_with_its_source():
    data = resources.files("pybackprop.datasets").joinpath("data")
    files = {f.name: len(f.read_bytes()) for f in data.iterdir()}
    assert {"digits.npz", "iris.csv", "SOURCES.txt"} <= files.keys()
    assert sum(files.values()) < 100_000
    assert "CC BY 4.0" in data.joinpath("SOURCES.txt").read_text(encoding="utf-8")


def test_module_is_for_the_stable_abi():
    stable = not sysconfig.get_config_var("Py_GIL_DISABLED")
    assert (".abi3." in core.__file__) == (stable and sys.platform != "win32")


def test_module_exports_its_entry_point_only():
    symbols = tool("nm", "-D", "--defined-only").split("\n")
    assert [s.split()[-1] for s in symbols if s] == ["PyInit__pybackprop_core"]


def test_module_has_no_runpath():
    assert "PATH)" not in tool("readelf", "-d")


def test_module_needs_libc_and_libm_only():
    needed = re.findall(r"NEEDED.*\[(.+?)\.so", tool("readelf", "-d"))
    sanitizers = {"libasan", "libubsan"}
    assert set(needed) - sanitizers <= {"libc", "libm", "libpthread", "ld-linux-x86-64"}


def test_windows_is_asked_for_its_waits_on_addresses(monkeypatch):
    if not SETUP.is_file():
        pytest.skip("the sources are not beside the tests")
    monkeypatch.chdir(SETUP.parent)
    monkeypatch.setattr(sys, "platform", "win32")
    build = runpy.run_path(str(Path(pybackprop.__file__).parent / "_build_ffi.py"))
    assert build["libraries"] == ["synchronization"]


@pytest.mark.native
@pytest.mark.skipif(sys.platform == "win32", reason="setuptools finds Microsoft's compiler itself")
@pytest.mark.parametrize("compiler", ["/nonexistent", "ccache-that-is-not-here cc"])
def test_build_without_compiler_says_so_in_its_last_line(compiler, tmp_path):
    if not SETUP.is_file():
        pytest.skip("the sources are not beside the tests")
    pytest.importorskip("setuptools", minversion="77")
    folders = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    done = subprocess.run(
        [sys.executable, str(SETUP), "build_ext", *folders],
        cwd=SETUP.parent,
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    found = compiler.split()[0]
    assert last.startswith(f"error: pybackprop needs a C compiler, and '{found}' was not found. ")
    for remedy in ("apt install gcc", "dnf install gcc", "xcode-select --install", "Visual Studio"):
        assert remedy in last
    assert not list(tmp_path.glob("lib/**/*.so"))
