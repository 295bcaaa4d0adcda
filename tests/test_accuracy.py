"""The elementary functions against libm in a wider type (tests/c/ulp_sweep.c)."""

from __future__ import annotations

import re

import pytest
from cbuild import AARCH64, CSRC, NATIVE, Toolchain, run

pytestmark = pytest.mark.native

FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "erf")


def sweep(*arguments: str, toolchain: Toolchain = NATIVE, timeout: float = 120) -> set[str]:
    """Return the instruction sets that were swept; a broken bound fails the program."""
    arch = sorted(path.relative_to(CSRC).as_posix() for path in CSRC.glob("arch/*.c"))
    out = run(
        "ulp_sweep.c",
        *arguments,
        sources=("cgroup.c", "cpu.c", "dispatch.c", *arch),
        toolchain=toolchain,
        timeout=timeout,
    )
    print(out)
    return set(re.findall(r"^(\w+) +exp ", out, flags=re.MULTILINE))


def test_errors_stay_within_their_bounds() -> None:
    assert "portable" in sweep("39983")


def test_errors_stay_within_their_bounds_on_arm() -> None:
    assert sweep("3999971", toolchain=AARCH64) == {"portable", "neon"}


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors_stay_within_their_bounds_at_every_float(function: str) -> None:
    sweep("1", function, timeout=3600)
