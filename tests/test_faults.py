"""What happens when memory or threads run out: a build of the package whose requests can fail.

The core is compiled as it is shipped; what stands between it and the C library is the linker's
work and tests/c/faults.c.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from cbuild import (
    CSRC,
    NATIVE,
    PROGRAMS,
    ROOT,
    build_objects,
    call,
    clean_environment,
    core_sources,
)

import pybackprop
from pybackprop import _pybackprop_core as core

WRAPPED = ("bp_alloc", "bp_alloc_scratch", "bp_free", "aligned_alloc", "posix_memalign")
WRAPPED_OF_THREADS = ("pthread_create", "__sched_cpualloc")

native = pytest.mark.native
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs GNU ld and glibc")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package whose requests can fail."""
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        pytest.skip("Python.h is not installed")
    folder = tmp_path_factory.mktemp("faults")
    source = Path(pybackprop.__file__).parent
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    target = shutil.copytree(source, folder / "pybackprop", ignore=ignored)
    module = folder / "module.c"
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        runpy.run_path(str(source / "_build_ffi.py"))["ffibuilder"].emit_c_code(str(module))
    finally:
        os.chdir(before)
    objects = build_objects([*core_sources(), PROGRAMS / "faults.c"])
    wrap = [f"-Wl,--wrap={name}" for name in (*WRAPPED, *WRAPPED_OF_THREADS)]
    headers = [f"-I{include}", f"-I{CSRC}"]
    command = [NATIVE.compiler, "-shared", "-fPIC", "-O1", *headers, str(module)]
    output = target / Path(core.__file__).name
    call([*command, *map(str, objects), *wrap, "-o", str(output), *NATIVE.link])
    return folder


def call_sites(module: Path) -> dict[int, str]:
    """Return the functions that ask for memory, by the address to which each call returns."""
    command = ["objdump", "-d", "--no-show-raw-insn", str(module)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sites = {}
    function, called = "", False
    for line in text.splitlines():
        if found := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
            function, called = found[1], False
        elif found := re.match(r" *([0-9a-f]+):\t", line):
            if called:
                sites[int(found[1], 16)] = function
            called = bool(re.search(r"\tcall.*<__wrap_bp_alloc", line))
    return sites


@native
@linux
def test_every_request_may_fail(package: Path) -> None:
    """A clean MemoryError, no leak, nothing changed, and the same bits when tried again."""
    driver = Path(__file__).parent / "fault_driver.py"
    done = subprocess.run(
        [sys.executable, str(driver)],
        env={**clean_environment(), "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    failed = {int(found, 16) for found in re.findall(r"^site (\w+)$", done.stdout, re.MULTILINE)}
    sites = call_sites(package / "pybackprop" / Path(core.__file__).name)
    missed = sorted(function for site, function in sites.items() if site not in failed)
    assert len(sites) > 30
    assert not missed, f"no request failed in {missed}"
    requests = sum(map(int, re.findall(r": (\d+) requests$", done.stdout, re.MULTILINE)))
    print(f"{requests} requests failed, at {len(sites)} places")


@linux
def test_what_is_shipped_cannot_be_told_to_fail() -> None:
    module = Path(core.__file__).read_bytes()
    assert b"faults_" not in module
    assert b"__wrap_" not in module


@native
@linux
def test_the_test_build_can(package: Path) -> None:
    module = (package / "pybackprop" / Path(core.__file__).name).read_bytes()
    assert b"faults_arm" in module
