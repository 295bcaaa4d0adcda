"""Matrix products of every instruction set, to the bit (tests/c/check_gemm.inc.h)."""

from __future__ import annotations

import re

import pytest
from cbuild import AARCH64, ASAN, CLANG, NATIVE, NEHALEM, Toolchain, kernel_sources, run

pytestmark = pytest.mark.native

SOURCES = ("engine/product_plan.c", "system/mem.c", *kernel_sources())


def check(toolchain: Toolchain, step: int = 1) -> list[str]:
    """Return the instruction sets that were checked; the failures are the program's."""
    sets = []
    for element in ("f32", "f64"):
        program = f"check_gemm_{element}.c"
        out = run(program, str(step), sources=SOURCES, toolchain=toolchain, timeout=600)
        print(out)
        sets.append(re.findall(r"^(\w+): checked$", out, flags=re.MULTILINE))
    assert sets[0] == sets[1]
    return sets[0]


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
