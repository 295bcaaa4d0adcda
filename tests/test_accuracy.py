"""The elementary functions against libm in a wider type (tests/c/ulp_sweep.c)."""

from __future__ import annotations

import platform
import re
from dataclasses import replace

import pytest
from cbuild import AARCH64, NATIVE, Toolchain, kernel_sources, run

pytestmark = pytest.mark.native

FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "erf")
ACTIVATIONS = ("act tanh", "act sigmoid", "elu", "selu", "softplus", "gelu", "silu", "mish")
SLOPES = ("sigmoid'", "tanh'", "elu'", "softplus'")
BENDS = ("sigmoid''", "tanh''", "elu''", "softplus''")
# With glibc's vector functions to compare with.
VECTORS = replace(NATIVE.with_flags("-O3", "-DBP_VECTOR_LIBM"), link=("-lmvec", "-lm", "-lpthread"))


def sweep(*arguments: str, toolchain: Toolchain = NATIVE, timeout: float = 120) -> set[str]:
    """Return the instruction sets that were swept; a broken bound fails the program."""
    out = run(
        "ulp_sweep.c",
        *arguments,
        sources=kernel_sources(),
        toolchain=toolchain,
        timeout=timeout,
    )
    print(out)
    assert "float32" in out, f"no function is called {arguments[1:]}"
    return set(re.findall(r"^(\w+) +exp ", out, flags=re.MULTILINE))


def test_errors_stay_within_their_bounds() -> None:
    assert "portable" in sweep("39983")


def test_errors_stay_within_their_bounds_on_arm() -> None:
    assert sweep("3999971", toolchain=AARCH64) == {"portable", "neon"}


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs glibc's libmvec")
@pytest.mark.parametrize("function", [*FUNCTIONS, *ACTIVATIONS, *SLOPES, *BENDS])
def test_errors_stay_within_their_bounds_at_every_float(function: str) -> None:
    sweep("1", function, toolchain=VECTORS, timeout=3600)
