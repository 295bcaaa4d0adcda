"""The C core on Windows: compiled by mingw-w64, and run by Wine.

The programs are those that check it elsewhere. What they train must be what they train here, to the
bit, for the same instruction set.
"""

from __future__ import annotations

import platform
import subprocess

import pytest
from cbuild import (
    MINGW,
    POOL,
    build,
    build_folder,
    build_objects,
    call,
    core_sources,
    kernel_sources,
    run,
)

pytestmark = [
    pytest.mark.native,
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 processor"),
]

STEP = "7"  # between the sizes that are checked


@pytest.fixture(scope="module", autouse=True)
def _wine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give Wine a home of its own, without messages, menus and browsers."""
    MINGW.require()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WINEPREFIX", str(tmp_path_factory.mktemp("wine")))
        patch.setenv("WINEDEBUG", "-all")
        patch.setenv("WINEDLLOVERRIDES", "winemenubuilder.exe,mscoree,mshtml=")
        yield


def test_the_pool() -> None:
    out = run("pool_stress.c", "0.5", sources=POOL, toolchain=MINGW)
    print(out)
    for part in ("counts", "shared", "awake", "limits", "callers", "nested", "mode", "places"):
        assert f"{part} ok\n" in out


def test_where_threads_run_and_how_many() -> None:
    sources = ("system/job.c", "threads/place.c", "threads/trial.c")
    out = run("check_threads.c", sources=sources, toolchain=MINGW)
    assert out.startswith("place ok\njobs ok\n")
    assert out.endswith("alone ok\n")


def test_networks_in_many_threads() -> None:
    out = run("core_stress.c", "0.5", toolchain=MINGW)
    print(out)
    for part in ("nets", "busy", "updates"):
        assert f"{part} ok\n" in out


def machine(*arguments: str) -> dict[str, str]:
    unset = {"PYBACKPROP_NUM_THREADS": "", "OMP_NUM_THREADS": "", "PYBACKPROP_ISA": ""}
    out = run("show_machine.c", *arguments, sources=POOL, toolchain=MINGW, environment=unset)
    return {key: value for key, _, value in (line.partition(" ") for line in out.splitlines())}


def test_cpu_count_follows_affinity() -> None:
    everything = machine()
    assert everything["threads"] == everything["cpus"]
    assert int(everything["cpus"]) >= 1
    assert machine("1")["cpus"] == "1"
    if int(everything["cpus"]) > 1:
        assert machine("3")["cpus"] == machine("3")["threads"] == "2"


def test_kernels() -> None:
    out = run("check_kernels.c", "1", STEP, sources=kernel_sources(), toolchain=MINGW)
    assert "portable: " in out


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_products(element: str) -> None:
    sources = ("engine/product_plan.c", "system/mem.c", *kernel_sources())
    out = run(f"check_gemm_{element}.c", STEP, sources=sources, toolchain=MINGW)
    assert "portable: checked\n" in out


def test_products_of_bfloat16() -> None:
    sources = ("engine/bf16.c", "engine/product_plan.c", "system/mem.c", *kernel_sources())
    out = run("check_bf16.c", STEP, sources=sources, toolchain=MINGW)
    assert "portable: checked\n" in out


def test_the_whole_interface() -> None:
    assert run("tour.c", "21", toolchain=MINGW).count("\n") > 500


# A cap takes the best set up to it; AMX is not used on Windows.
@pytest.mark.parametrize("isa", ["avx512", "portable"])
def test_the_same_bits_as_here_on_any_number_of_threads(isa: str) -> None:
    cap = {"PYBACKPROP_ISA": isa}
    here = run("train.c", "1", environment=cap).splitlines()
    there = run("train.c", "1", "2", "3", toolchain=MINGW, environment=cap).splitlines()
    assert there[0] == here[0]  # the instruction set
    wanted = [line.split() for line in here[1:]]
    found = [line.split() for line in there[1:]]
    assert len(wanted) == 7
    for threads in ("1", "2", "3"):
        assert [words for words in found if words[1] == threads] == [
            [name, threads, *result] for name, _, *result in wanted
        ]


def test_speed_of_two_threads() -> None:
    """Prints it; what it is depends on what else the machine does."""
    out = run("train.c", "speed", toolchain=MINGW)
    print(out)
    assert "speedup " in out


def test_a_library_that_is_let_go() -> None:
    """Its helpers run on, in code that stays."""
    library = build_folder() / "core.dll"
    objects = map(str, build_objects(core_sources(), MINGW))
    call([MINGW.compiler, "-shared", *objects, "-o", str(library), *MINGW.link])
    program = build("load_library.c", sources=(), toolchain=MINGW)
    command = [*MINGW.runner, str(program), f"Z:{library}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "library ok\n", done
    assert done.returncode == 0
