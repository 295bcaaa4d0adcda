"""The package as installed: its metadata, its files, and what its compiled module shows."""

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata, resources

import pytest

import pybackprop
from pybackprop import _pybackprop_core as core

IS_LINUX = sys.platform.startswith("linux")


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
