"""Every kernel of every instruction set against the portable one (tests/c/check_kernels.c)."""

from __future__ import annotations

import os
import random
import re

import pytest
from cbuild import AARCH64, ASAN, CLANG, NATIVE, NEHALEM, Toolchain, kernel_sources, run

pytestmark = pytest.mark.native

SEED = os.environ.get("PYBACKPROP_TEST_SEED") or str(random.randrange(1, 2**32))


def check(toolchain: Toolchain, step: int = 1) -> list[str]:
    """Return the instruction sets that were checked; the failures are the program's."""
    sources = kernel_sources()
    print(f"PYBACKPROP_TEST_SEED={SEED}")
    out = run("check_kernels.c", SEED, str(step), sources=sources, toolchain=toolchain)
    print(out)
    return re.findall(r"^(\w+): [1-9]\d* checks, 0 failures$", out, flags=re.MULTILINE)


def test_kernels() -> None:
    assert "portable" in check(NATIVE)


def test_kernels_on_arm() -> None:
    assert check(AARCH64, step=7) == ["portable", "neon"]


def test_baseline_needs_no_avx() -> None:
    assert check(NEHALEM, step=7) == ["portable"]


# AVX2 is checked on real processors only: the emulator of Debian 12 reads the lanes of a masked
# load that are masked out.
@pytest.mark.slow
@pytest.mark.parametrize("toolchain", [CLANG, ASAN], ids=["clang", "asan"])
def test_kernels_elsewhere(toolchain: Toolchain) -> None:
    assert "avx2" in check(toolchain)
