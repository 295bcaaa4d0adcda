"""What the core finds out about the machine: CPUs, quotas, instruction sets, thread limits."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from cbuild import AARCH64, HASWELL, NATIVE, NEHALEM, POOL, Toolchain, run

pytestmark = pytest.mark.native

ISAS = ["portable", "avx2", "avx512", "amx", "neon"]


def show(*arguments: object, toolchain: Toolchain = NATIVE, **environment: str) -> dict[str, str]:
    """Return the lines of the program by their first word."""
    variables = {"PYBACKPROP_ISA": "", "PYBACKPROP_NUM_THREADS": "", "OMP_NUM_THREADS": ""}
    out = run(
        "show_machine.c",
        *map(str, arguments),
        sources=POOL,
        toolchain=toolchain,
        environment={**variables, **environment},
    )
    return {key: value for key, _, value in (line.partition(" ") for line in out.splitlines())}


def test_cpu_count_follows_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= int(show()["cpus"]) <= len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert show()["cpus"] == "1"
    finally:
        os.sched_setaffinity(0, allowed)


# Files below the mount by path, then the membership file and the CPUs that they mean.
CGROUPS = {
    "v2": ({"app/cpu.max": "150000 100000\n"}, "0::/app\n", 2),
    "v2 exact": ({"app/cpu.max": "200000 100000\n"}, "0::/app\n", 2),
    "v2 small": ({"app/cpu.max": "1000 100000\n"}, "0::/app\n", 1),
    "v2 no limit": ({"app/cpu.max": "max 100000\n"}, "0::/app\n", 0),
    "v2 parent": (
        {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"},
        "0::/a/b/c\n",
        3,
    ),
    "v2 lowest": (
        {"a/b/cpu.max": "500000 100000\n", "a/cpu.max": "400000 100000\n"},
        "0::/a/b\n",
        4,
    ),
    "v2 mount": ({"cpu.max": "700000 100000\n"}, "0::/not/here\n", 7),
    "v2 root": ({"cpu.max": "600000 100000\n"}, "0::/\n", 6),
    "v2 empty file": ({"app/cpu.max": ""}, "0::/app\n", 0),
    "v2 not a number": ({"app/cpu.max": "many few\n"}, "0::/app\n", 0),
    "v1": (
        {
            "cpu,cpuacct/app/cpu.cfs_quota_us": "250000\n",
            "cpu,cpuacct/app/cpu.cfs_period_us": "100000\n",
        },
        "4:memory:/app\n3:cpu,cpuacct:/app\n",
        3,
    ),
    "v1 cpu": (
        {"cpu/app/cpu.cfs_quota_us": "50000\n", "cpu/app/cpu.cfs_period_us": "50000\n"},
        "3:cpu:/app\n",
        1,
    ),
    "v1 linked": (
        {"cpu/app/cpu.cfs_quota_us": "90000\n", "cpu/app/cpu.cfs_period_us": "50000\n"},
        "3:cpuacct,cpu:/app\n",
        2,
    ),
    "v1 no limit": (
        {"cpu/app/cpu.cfs_quota_us": "-1\n", "cpu/app/cpu.cfs_period_us": "100000\n"},
        "3:cpu:/app\n",
        0,
    ),
    "v1 no period": ({"cpu/app/cpu.cfs_quota_us": "100000\n"}, "3:cpu:/app\n", 0),
    "v1 other controller": ({"cpuset/app/cpu.cfs_quota_us": "1000\n"}, "3:cpuset:/app\n", 0),
    "hybrid": ({"unified/app/cpu.max": "200000 100000\n"}, "3:memory:/app\n0::/app\n", 2),
    "no membership": ({"cpu.max": "100000 100000\n"}, "", 0),
    "malformed": ({"cpu.max": "100000 100000\n"}, "nonsense\n1:half\n", 0),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_cgroup_quota(case: str, tmp_path: Path) -> None:
    files, membership, cpus = CGROUPS[case]
    mount = tmp_path / "mount"
    mount.mkdir()
    for name, text in files.items():
        path = mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "membership").write_text(membership)
    assert show(tmp_path / "membership", mount)["quota"] == str(cpus)


def test_cgroup_without_files(tmp_path: Path) -> None:
    assert show(tmp_path / "none", tmp_path / "nothing")["quota"] == "0"


@pytest.mark.parametrize(
    ("own", "openmp", "threads"),
    [
        ("3", "5", 3),
        ("", "5", 5),
        ("", "7,2", 7),
        ("none", "4", 4),
        ("0", "4", 4),
        ("-2", "", None),
        ("99999999999999999999", "", None),
        ("", "", None),
    ],
)
def test_default_threads(own: str, openmp: str, threads: int | None) -> None:
    found = show(PYBACKPROP_NUM_THREADS=own, OMP_NUM_THREADS=openmp)
    assert found["threads"] == (found["cpus"] if threads is None else str(threads))


@pytest.mark.parametrize(
    ("cap", "allowed"),
    [
        ("", ISAS),
        ("portable", ["portable"]),
        ("avx2", ["portable", "avx2"]),
        ("avx512", ["portable", "avx2", "avx512"]),
        ("amx", ["portable", "avx2", "avx512", "amx"]),
        ("neon", ["portable", "neon"]),
    ],
)
def test_isa_cap(cap: str, allowed: list[str]) -> None:
    found = show(PYBACKPROP_ISA=cap)
    assert found["cap"] == cap
    assert [isa for isa in ISAS if found[isa][1] == "1"] == allowed


def test_isa_cap_unknown() -> None:
    assert show(PYBACKPROP_ISA="sse9")["cap"] == "unknown"


@pytest.mark.parametrize(
    ("toolchain", "isas"),
    [
        (NEHALEM, ["portable"]),
        (HASWELL, ["portable", "avx2"]),
        (AARCH64, ["portable", "neon"]),
    ],
    ids=["nehalem", "haswell", "aarch64"],
)
def test_isa_detection_on_other_processors(toolchain: Toolchain, isas: list[str]) -> None:
    found = show(toolchain=toolchain)
    assert [isa for isa in ISAS if found[isa][0] == "1"] == isas


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="x86 Linux only"
)
def test_isa_detection_agrees_with_the_kernel() -> None:
    flags, brand = set[str](), ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            flags = set(value.split())
        if key.strip() == "model name":
            brand = value.strip()
    found = show()
    assert (found["avx2"][0] == "1") == ({"avx2", "fma"} <= flags)
    wanted = {"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq"}
    assert (found["avx512"][0] == "1") == (wanted <= flags)
    assert (found["amx"][0] == "1") == (wanted | {"amx_tile", "amx_bf16"} <= flags)
    assert found["brand"] == brand


def test_caches_are_plausible() -> None:
    numbers = list(map(int, show()["cache"].split()))
    sizes = numbers[::3]
    for size, ways, sets in zip(sizes, numbers[1::3], numbers[2::3], strict=True):
        assert size == 0 or 4096 <= size <= 1 << 32
        assert ways * sets == 0 or size % (ways * sets) == 0
    assert sizes[0] <= sizes[1] or sizes[1] == 0


def test_geometry_of_caches_is_what_linux_says() -> None:
    """On one CPU: the cores of a processor may differ."""
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed)
    folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/cache")
    if not (folder / "index0/ways_of_associativity").is_file():
        pytest.skip("caches are not described in /sys")
    try:
        os.sched_setaffinity(0, {cpu})
        numbers = list(map(int, show()["cache"].split()))
    finally:
        os.sched_setaffinity(0, allowed)
    for index in folder.glob("index*"):
        level = int((index / "level").read_text())
        if (index / "type").read_text().strip() == "Instruction" or level > 3:
            continue
        ways = int((index / "ways_of_associativity").read_text())
        sets = int((index / "number_of_sets").read_text())
        assert numbers[3 * level - 2 : 3 * level] == [ways, sets]
