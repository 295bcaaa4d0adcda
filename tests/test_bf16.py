"""Products through bfloat16 operands: rounding, error bounds, special values, the same bits."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from cbuild import (
    AARCH64,
    ASAN,
    CLANG,
    CSRC,
    NATIVE,
    NEHALEM,
    Toolchain,
    build_object,
    kernel_sources,
    run,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from pybackprop.kernels import matmul, peak_flops

U = 2.0**-24  # the unit roundoff of float32
PRECISIONS = ("bf16", "bf16x2", "bf16x3")
NAMES = ("amx", "avx512_bf16", "emulation")
RNG = np.random.default_rng(20)

native = pytest.mark.native


# ---- the kernels, from C -------------------------------------------------------------------------


def check(toolchain: Toolchain, step: int = 1) -> list[str]:
    """Return what was checked; the failures are the program's."""
    sources = ("engine/bf16.c", "engine/product_plan.c", "system/mem.c", *kernel_sources())
    out = run("check_bf16.c", str(step), sources=sources, toolchain=toolchain, timeout=600)
    print(out)
    return re.findall(r"^(.+): checked$", out, flags=re.MULTILINE)


@native
def test_kernels() -> None:
    checked = check(NATIVE, step=2)
    assert {"portable", "emulated tiles"} <= set(checked)
    assert bp.cpu_info()["bf16"] in (*checked, "emulation")


@native
def test_kernels_on_arm() -> None:
    assert check(AARCH64, step=7) == ["portable", "neon"]


@native
def test_kernels_without_avx() -> None:
    assert check(NEHALEM, step=7) == ["portable"]


@native
@pytest.mark.slow
@pytest.mark.parametrize(("toolchain", "step"), [(CLANG, 7), (ASAN, 21)], ids=["clang", "asan"])
def test_kernels_elsewhere(toolchain: Toolchain, step: int) -> None:
    assert "portable" in check(toolchain, step)


@native
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("toolchain", [NATIVE, CLANG, ASAN], ids=["gcc", "clang", "asan"])
def test_kernels_at_every_size(toolchain: Toolchain) -> None:
    assert "portable" in check(toolchain)


@native
@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 only")
@pytest.mark.parametrize("toolchain", [NATIVE, CLANG], ids=["gcc", "clang"])
@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("kern_amx.c", {"ldtilecfg", "tdpbf16ps", "tileloadd", "tilestored", "tilerelease"}),
        ("kern_avx512_bf16.c", {"vdpbf16ps"}),
    ],
)
def test_instructions(toolchain: Toolchain, source: str, wanted: set[str]) -> None:
    toolchain.require()
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed")
    path = build_object(CSRC / "kernels" / "arch" / source, toolchain.compiler, toolchain.flags)
    found = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    )
    assert wanted <= set(re.findall(r"[a-z]+\w+", found.stdout))


# ---- rounding ------------------------------------------------------------------------------------


def rounded(x: np.ndarray) -> np.ndarray:
    """Return float32 rounded to bfloat16, to nearest even; subnormal numbers become 0."""
    bits = x.view(np.uint32).astype(np.int64)
    sign, size = bits & 0x80000000, bits & 0x7FFFFFFF
    low, rest = size & 0x7FFF0000, size & 0xFFFF
    up = (rest > 0x8000) | ((rest == 0x8000) & ((low >> 16) % 2 == 1))
    result = np.where(size < 0x00800000, 0, low + np.where(up, 0x10000, 0))
    result = np.where(size > 0x7F800000, 0x7FC00000, result)
    return (result | sign).astype(np.uint32).view(np.float32)


def by_one(x: np.ndarray, precision: str) -> np.ndarray:
    """Return what an operand becomes, as its product with 1."""
    one = np.ones((1, 1), np.float32)
    return matmul(x.reshape(-1, 1), one, precision=precision).ravel()


def every_exponent() -> np.ndarray:
    """Every upper half of a float32, with lower halves at, beside and far from a tie."""
    lows = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    highs = np.arange(1 << 16, dtype=np.uint32) << 16
    return (highs[:, None] | lows).view(np.float32).ravel()


def test_rounding_of_every_exponent() -> None:
    x = every_exponent()
    np.testing.assert_array_equal(by_one(x, "bf16"), rounded(x))


def test_rounding_is_the_same_in_every_form() -> None:
    x = RNG.choice(every_exponent(), (70, 45))
    x = x[np.isfinite(rounded(x)).all(1)]
    for transpose in (False, True):
        given = np.ascontiguousarray(x.T) if transpose else x
        eye = np.eye(x.shape[1], dtype=np.float32)
        left = matmul(given, eye, transpose_a=transpose, precision="bf16")
        np.testing.assert_array_equal(left, rounded(x))
        eye = np.eye(len(x), dtype=np.float32)
        right = matmul(eye, given, transpose_b=transpose, precision="bf16")
        np.testing.assert_array_equal(right, rounded(x))


def test_three_parts_hold_a_float32() -> None:
    x = every_exponent()
    x = x[np.isfinite(x) & (np.abs(x) >= 2.0**-102)]
    np.testing.assert_array_equal(by_one(x, "bf16x3"), x)


def test_three_parts_of_small_numbers() -> None:
    """Parts below the least normal number are 0."""
    x = every_exponent()
    x = x[np.abs(x) < 2.0**-102]
    found = by_one(x, "bf16x3")
    assert np.all(np.abs(found.astype(float) - x) <= 2.0**-126)


def test_two_parts_hold_16_bits() -> None:
    x = every_exponent()
    most = 2.0**128 * (1 - 2.0**-16)  # what is larger rounds to infinity
    x = x[(np.abs(x) <= most) & (np.abs(x) >= 2.0**-110)]
    error = np.abs(by_one(x, "bf16x2").astype(float) - x)
    assert np.all(error <= 2.0**-17 * np.abs(x.astype(float)))


# ---- error bounds --------------------------------------------------------------------------------


def bound(precision: str, k: int) -> float:
    """Return the largest error over the sum of |a| |b|, as docs/numerics.md has it."""
    k = max(k, 1)
    return {
        "bf16": k * U / (1 - k * U),  # of the rounded operands
        "bf16x2": 1.01 * 2.0**-15 + 1.1 * k * U,
        "bf16x3": (1.1 * k + 1.1) * U,
    }[precision]


def assert_within_bound(c: np.ndarray, a: np.ndarray, b: np.ndarray, precision: str) -> None:
    if precision == "bf16":
        a, b = rounded(np.ascontiguousarray(a)), rounded(np.ascontiguousarray(b))
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    error = np.abs(c - a @ b)
    k = a.shape[1]
    assert np.all(error <= bound(precision, k) * (np.abs(a) @ np.abs(b)) + 8 * k * 2.0**-126)


def matrix(shape: tuple[int, int], kind: str) -> np.ndarray:
    x = RNG.standard_normal(shape)
    if kind == "scaled":
        x *= 10.0 ** RNG.uniform(-8, 8, shape)
    if kind == "positive":
        x = np.abs(x)
    return x.astype(np.float32)


def operands(
    m: int, n: int, k: int, transpose_a: bool, transpose_b: bool, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    a = matrix((k, m) if transpose_a else (m, k), kind)
    b = matrix((n, k) if transpose_b else (k, n), kind)
    return a, b


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(1, 1, 1), (1, 70, 33), (33, 1, 5), (31, 65, 97), (16, 16, 32), (300, 270, 64), (7, 40, 1300)],
)
def test_bound(
    m: int, n: int, k: int, transpose_a: bool, transpose_b: bool, precision: str
) -> None:
    for kind in ("normal", "positive", "scaled"):
        a, b = operands(m, n, k, transpose_a, transpose_b, kind)
        c = matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b, precision=precision)
        left, right = (a.T if transpose_a else a), (b.T if transpose_b else b)
        assert_within_bound(c, left, right, precision)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 75),
    st.integers(0, 75),
    st.integers(0, 75),
    st.booleans(),
    st.booleans(),
    st.sampled_from(PRECISIONS),
    st.sampled_from(["rows", "columns", "steps"]),
)
def test_shapes_and_strides(
    m: int, n: int, k: int, transpose_a: bool, transpose_b: bool, precision: str, layout: str
) -> None:
    a, b = operands(m, n, k, transpose_a, transpose_b, "normal")
    given = [a, b]
    if layout == "columns":
        given = [np.asfortranarray(each) for each in given]
    elif layout == "steps":
        given = [np.repeat(np.repeat(each, 2, 0), 3, 1)[::2, ::3] for each in given]
    out = np.full((m + 2, n + 3), 7, np.float32)
    view = out[1:-1, 1:-2]
    found = matmul(
        *given, out=view, transpose_a=transpose_a, transpose_b=transpose_b, precision=precision
    )
    assert found is view
    assert_within_bound(view, a.T if transpose_a else a, b.T if transpose_b else b, precision)
    view[:] = 7
    assert np.all(out == 7)


@pytest.mark.parametrize("kind", ["normal", "positive", "scaled", "cancelling"])
def test_split_products_are_as_good_as_float32(kind: str) -> None:
    for k in (32, 600):
        a, b = operands(40, 48, k, False, False, kind)
        if kind == "cancelling":
            half = k // 2
            a[:, half:] = -a[:, :half] * (1 + 1e-3 * matrix((40, half), "normal"))
            b[half:] = b[:half]
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        scale = np.abs(a.astype(float)) @ np.abs(b.astype(float))
        norms = {
            precision: float(
                np.sqrt(np.mean(((matmul(a, b, precision=precision) - exact) / scale) ** 2))
            )
            for precision in ("float32", "bf16x2", "bf16x3")
        }
        assert norms["bf16x3"] <= 1.25 * norms["float32"]
        assert norms["bf16x2"] <= 2.0**-17


# ---- special values ------------------------------------------------------------------------------

INF, NAN, MOST = np.inf, np.nan, float(np.finfo(np.float32).max)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (INF, 1, INF),
        (INF, -1.7, -INF),
        (-INF, INF, -INF),
        (INF, 0, NAN),
        (NAN, 0, NAN),
        (NAN, INF, NAN),
        (1e30, 1e30, INF),
        (1e38, -1e38, -INF),
        (1.99e30, 1.006e30, INF),  # split: the middle parts overflow towards -inf
        (2.0**-127, 2.0**127, 0),
        (1e-30, 1e-30, 0),
        (2.0**-100, 2.0**100, 1),
    ],
)
def test_specials(a: float, b: float, wanted: float, precision: str) -> None:
    """At every position of a row, beside ordinary numbers."""
    for k, at in ((1, 0), (40, 0), (40, 31), (40, 39)):
        left, right = np.ones((3, k), np.float32), np.zeros((k, 35), np.float32)
        left[1, at], right[at, 33] = a, b
        c = matmul(left, right, precision=precision)
        np.testing.assert_allclose(c[1, 33], wanted, rtol=1e-6)
        wanted_rows = np.isnan(c[1]) if not np.isfinite(a) else c[1] == 0
        assert np.all(np.delete(wanted_rows, 33))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_opposite_infinities(precision: str) -> None:
    a, b = np.array([[INF, 1, INF]], np.float32), np.array([[1], [2], [-1]], np.float32)
    assert np.isnan(matmul(a, b, precision=precision)[0, 0])
    a[0, 2] = 3
    assert matmul(a, b, precision=precision)[0, 0] == INF


def test_largest_float32() -> None:
    x = np.array([MOST, -MOST], np.float32)
    for precision in ("bf16", "bf16x2"):  # to 8 and 16 bits it rounds to infinity
        np.testing.assert_array_equal(by_one(x, precision), [INF, -INF])
    np.testing.assert_array_equal(by_one(x, "bf16x3"), x)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scales(precision: str) -> None:
    """A power of two on either side changes nothing but the scale."""
    a, b = operands(20, 30, 50, False, False, "normal")
    plain = matmul(a, b, precision=precision)
    for scale in (2.0**-60, 2.0**60):
        scaled = matmul(a * np.float32(scale), b, precision=precision)
        np.testing.assert_array_equal(scaled, plain * np.float32(scale))


# ---- the same bits, whatever runs ----------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads(precision: str) -> None:
    before = bp.get_threads()
    try:
        for m, n, k in ((130, 300, 70), (5, 700, 600), (600, 3, 900)):
            a, b = operands(m, n, k, False, True, "normal")
            results = []
            for threads in (1, 2, 3):
                bp.set_threads(threads)
                results.append(matmul(a, b, transpose_b=True, precision=precision))
            for other in results[1:]:
                np.testing.assert_array_equal(other.view(np.uint32), results[0].view(np.uint32))
    finally:
        bp.set_threads(before)


PROGRAM = """
import sys
import numpy as np
import pybackprop as bp
rng = np.random.default_rng(5)
a, b = (rng.standard_normal(shape, np.float32) for shape in ((70, 97), (97, 50)))
for precision in ("bf16", "bf16x2", "bf16x3"):
    sys.stdout.write(bp.kernels.matmul(a, b, precision=precision).tobytes().hex() + "\\n")
sys.stdout.write(bp.cpu_info()["bf16"])
"""


def products_of(isa: str) -> tuple[list[np.ndarray], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYBACKPROP_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    *products, name = done.stdout.split("\n")
    found = [np.frombuffer(bytes.fromhex(each), np.float32).reshape(70, 50) for each in products]
    return found, name


def test_every_instruction_set() -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((70, 97), (97, 50)))
    available = bp.cpu_info()["available"]
    by_isa = {isa: products_of(isa) for isa in available}
    for isa, (products, name) in by_isa.items():
        assert name in NAMES
        assert isa in ("avx512", "amx") or name == "emulation"
        for precision, c in zip(PRECISIONS, products, strict=True):
            assert_within_bound(c, a, b, precision)
    # One chain of additions, in one order: but for tiles, which sum pairs apart.
    chains = [products for products, name in by_isa.values() if name != "amx"]
    for products in chains[1:]:
        np.testing.assert_array_equal(np.array(products), np.array(chains[0]))


# ---- arguments -----------------------------------------------------------------------------------


def test_arguments() -> None:
    a = np.ones((2, 2))
    with pytest.raises(ValueError, match="precision must be float32 for arrays of float64"):
        matmul(a, a, precision="bf16")
    with pytest.raises(ValueError, match="precision must be one of float32, bf16, bf16x2, bf16x3"):
        matmul(a, a, precision="bfloat16")
    for precision in PRECISIONS:
        out = np.full((3, 2), np.nan, np.float32)
        none = np.ones((3, 0), np.float32), np.ones((0, 2), np.float32)
        assert matmul(*none, out=out, precision=precision).sum() == 0


def test_peak() -> None:
    rates = {precision: peak_flops(precision, 1) for precision in PRECISIONS}
    assert all(rate > 0 for rate in rates.values())
    assert bp.cpu_info()["bf16"] in NAMES
