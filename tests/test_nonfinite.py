"""NaN and infinity reach exactly what they should, on every instruction set (nonfinite.py)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pybackprop as bp

# A run whose instruction set is capped is about that one; under a sanitizer one is slow enough.
INFO = bp.cpu_info()
ONE = "PYBACKPROP_ISA" in os.environ or "LD_PRELOAD" in os.environ
ISAS = [INFO["isa"]] if ONE else INFO["available"]
# The places in a network of widths 17, 33, 9: inputs and targets of 37 rows, weights and biases.
PLACES = 37 * (17 + 9) + 33 * (17 + 1) + 9 * (33 + 1)


def passes(isa: str, *arguments: str) -> int:
    """Return how many passes were checked; a difference fails the script."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("nonfinite.py")), *arguments],
        env={**os.environ, "PYBACKPROP_ISA": isa, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.fullmatch(rf"{isa}: (\d+) passes\n", done.stdout)
    assert found, done.stdout
    return int(found[1])


@pytest.mark.parametrize("isa", ISAS)
def test_nan_and_infinity_in_every_position(isa: str) -> None:
    assert passes(isa) > 900


def test_nan_and_infinity_in_each_place() -> None:
    """One place after the other, in float32, float64, bf16 and bf16x3."""
    assert passes(INFO["isa"], "positions") == 4 * PLACES


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("isa", ISAS)
def test_each_of_them_in_each_place(isa: str) -> None:
    assert passes(isa, "positions", "all") == 3 * 4 * PLACES


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
def test_nan_and_infinity_in_every_position_of_every_shape(isa: str) -> None:
    assert passes(isa, "all") > 2000
