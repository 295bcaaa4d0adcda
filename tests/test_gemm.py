"""Matrix products of every instruction set, to the bit (tests/c/check_gemm.c)."""

from __future__ import annotations

import re

import pytest
from cbuild import AARCH64, ASAN, CLANG, CSRC, NATIVE, NEHALEM, Toolchain, run

pytestmark = pytest.mark.native


def check(toolchain: Toolchain, step: int = 1) -> list[str]:
    """Return the instruction sets that were checked; the failures are the program's."""
    arch = sorted(path.relative_to(CSRC).as_posix() for path in CSRC.glob("arch/*.c"))
    sources = ("cgroup.c", "cpu.c", "dispatch.c", "gemm.c", "pack.c", *arch)
    out = run("check_gemm.c", str(step), sources=sources, toolchain=toolchain)
    print(out)
    return re.findall(r"^(\w+): checked$", out, flags=re.MULTILINE)


def test_products() -> None:
    assert "portable" in check(NATIVE)


def test_products_on_arm() -> None:
    assert check(AARCH64, step=7) == ["portable", "neon"]


def test_products_without_avx() -> None:
    assert check(NEHALEM, step=7) == ["portable"]


@pytest.mark.slow
@pytest.mark.parametrize("toolchain", [CLANG, ASAN], ids=["clang", "asan"])
def test_products_elsewhere(toolchain: Toolchain) -> None:
    assert "portable" in check(toolchain)
