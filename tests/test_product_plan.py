"""How products are cut and packed on machines that are not here (csrc/engine/product_plan.h)."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from cbuild import run

import pybackprop as bp

pytestmark = pytest.mark.native

KB, MB = 1 << 10, 1 << 20


class Cache(NamedTuple):
    bytes: int
    ways: int
    sets: int


class Machine(NamedTuple):
    size: int
    mr: int
    nr: int
    l1: Cache
    l2: Cache


class Plan(NamedTuple):
    mc: int
    kc: int
    nc: int
    nb: int
    pack_a: int
    pack_b: int


def cache(kilobytes: int, ways: int) -> Cache:
    return Cache(kilobytes * KB, ways, kilobytes * KB // (64 * ways))


# float32, with the tiles of AVX-512, AVX2 and NEON.
GRANITE_RAPIDS = Machine(4, 14, 32, cache(48, 12), cache(2048, 16))
ZEN_5 = Machine(4, 14, 32, cache(48, 12), cache(1024, 16))
ZEN_4 = Machine(4, 14, 32, cache(32, 8), cache(1024, 8))
ZEN_3 = Machine(4, 6, 16, cache(32, 8), cache(512, 8))
APPLE = Machine(4, 8, 12, Cache(128 * KB, 0, 0), Cache(12 * MB, 0, 0))
UNKNOWN = Machine(4, 6, 16, Cache(0, 0, 0), Cache(0, 0, 0))
MACHINES = {
    "granite rapids": GRANITE_RAPIDS,
    "zen 5": ZEN_5,
    "zen 4": ZEN_4,
    "zen 3": ZEN_3,
    "apple": APPLE,
    "unknown": UNKNOWN,
}


def plan(
    machine: Machine, m: int, n: int, k: int, form: str = "nn", pad: int = 0, shifted: bool = False
) -> Plan:
    """Return the plan of c (m x n) = a (m x k) b (k x n).

    Parameters
    ----------
    machine : Machine
    m, n, k : int
    form : str
        "n" or "t" for a, then "n", "t" or "p" (packed) for b, as in the names of BLAS.
    pad : int
        Elements between the rows of an operand.
    shifted : bool
        Whether the first row of b begins within a cache line.
    """
    lda, ldb = (m if form[0] == "t" else k) + pad, (k if form[1] == "t" else n) + pad
    a = (1, lda) if form[0] == "t" else (lda, 1)
    b = (1, ldb) if form[1] == "t" else (ldb, 1)
    numbers = [*machine[:3], *machine.l1, *machine.l2, m, n, k, *a, *b]
    numbers += [int(form[1] == "p"), int(shifted)]
    out = run("show_product_plan.c", *map(str, numbers), sources=("engine/product_plan.c",))
    return Plan(*map(int, out.split()))


def ways_needed(level: Cache, lines: int, stride: int) -> float:
    """By counting in which set each line falls."""
    sets = [i * stride // 64 % level.sets for i in range(lines)]
    return max(sets.count(s) for s in set(sets))


@pytest.mark.parametrize(
    ("m", "n", "pack_b", "kc"),
    [
        (1024, 1024, 1, 512),  # rows of 4 KB: 512 of them need all 16 ways
        (128, 1024, 0, 256),  # too few rows to pay for a copy: 256 need half the ways
        (512, 512, 0, 512),  # rows of 2 KB: 512 need half the ways
        (1024, 528, 0, 512),  # rows of an odd number of lines spread over all sets
        (40, 1024, 0, 512),  # fewer than four tiles: each strip is read too seldom
        (200, 1040, 0, 512),  # rows in other pages are not fetched ahead, but too few to pay
        (256, 1040, 1, 512),  # enough
        (200, 777, 0, 512),  # vectors straddle lines, but too few rows to pay
        (333, 777, 1, 512),  # enough
    ],
)
def test_large_cache_keeps_b_in_half_its_ways(m: int, n: int, pack_b: int, kc: int) -> None:
    made = plan(GRANITE_RAPIDS, m, n, 1024)
    assert (made.pack_b, made.kc) == (pack_b, kc)


def test_rows_that_begin_within_a_line_are_packed_sooner() -> None:
    """Arrays of NumPy begin 16 bytes after the start of a line, for example."""
    assert not plan(GRANITE_RAPIDS, 256, 256, 256).pack_b
    assert plan(GRANITE_RAPIDS, 256, 256, 256, shifted=True).pack_b
    assert not plan(GRANITE_RAPIDS, 128, 256, 256, shifted=True).pack_b  # too few rows to pay


@pytest.mark.parametrize("machine", [ZEN_5, ZEN_4])
def test_smaller_cache_packs_rows_of_4_kb(machine: Machine) -> None:
    """256 rows at 4 KB would need all ways of 1 MB, and more of them do not fit at all."""
    for m in 128, 512, 1024:
        assert plan(machine, m, 1024, 1024).pack_b == 1


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
@pytest.mark.parametrize("pad", [0, 8, 16])
@pytest.mark.parametrize("form", ["nn", "tn"])
def test_b_in_place_leaves_half_the_ways(machine: Machine, pad: int, form: str) -> None:
    """The rule itself, by counting lines, on every machine whose geometry is known."""
    level = machine.l2 if machine.l2.ways else None
    for m, n, k in [(256, 256, 256), (512, 512, 512), (333, 777, 555), (128, 784, 512)]:
        made = plan(machine, m, n, k, form, pad)
        assert (
            made.pack_b
            or level is None
            or (ways_needed(level, made.kc, 4 * (n + pad)) <= level.ways // 2)
        )


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
def test_blocks_fit_and_cover(machine: Machine) -> None:
    for m, n, k in [(1, 1, 1), (17, 50, 50), (1000, 3000, 2000), (4096, 4096, 4096)]:
        for form in "nn", "nt", "tn", "np":
            made = plan(machine, m, n, k, form)
            assert min(made.mc, made.kc, made.nc, made.nb) >= 1
            if k > 1 and form in {"nt", "np"}:
                assert made.pack_b == (form == "nt")
            assert made.nb % machine.nr == 0 or made.nb == n
            if max(m, n, k) > 1000:
                second = machine.l2.bytes or 512 * KB
                assert 128 <= made.kc <= 512
                assert machine.size * made.kc * (made.mc + made.nb) <= second


def test_unreported_ways_count_as_eight() -> None:
    told = UNKNOWN._replace(l1=cache(32, 8), l2=cache(512, 8))
    for shape in [(512, 512, 512), (1024, 1024, 1024), (128, 784, 512)]:
        assert plan(UNKNOWN, *shape) == plan(told, *shape)


def test_a_is_packed_where_its_rows_share_sets() -> None:
    """14 rows at 4 KB need 14 of the 12 ways, of which a tile may have half."""
    assert plan(GRANITE_RAPIDS, 512, 1024, 1024).pack_a == 1
    assert plan(GRANITE_RAPIDS, 512, 1024, 1024, pad=16).pack_a == 0


def test_a_in_columns_is_packed_for_many_tiles() -> None:
    assert plan(GRANITE_RAPIDS, 512, 128, 256, "tn", pad=16).pack_a == 1
    assert plan(GRANITE_RAPIDS, 512, 127, 256, "tn", pad=16).pack_a == 0


def test_matmul_plan_is_that_of_this_machine() -> None:
    info = bp.cpu_info()
    geometry = [
        Cache(size, ways, size // (64 * ways) if ways else 0)
        for size, ways in ((info["caches"][level], info["ways"][level]) for level in ("L1", "L2"))
    ]
    for dtype, size in (("float32", 4), ("float64", 8)):
        tile = bp.kernels.matmul_plan(1, 1, 1, dtype)["tile"]
        machine = Machine(size, *tile, *geometry)
        for form, shape in itertools.product(
            ("nn", "nt", "tn", "tt"), [(1024, 1024, 512), (128, 784, 512), (9, 7, 3)]
        ):
            m, n, k = shape
            wanted = plan(machine, m, n, k, form)
            found = bp.kernels.matmul_plan(m, k, n, dtype, form[0] == "t", form[1] == "t")
            assert found["block"] == (wanted.mc, wanted.kc, wanted.nc)
            assert (found["packs_a"], found["packs_b"]) == (wanted.pack_a, wanted.pack_b)
            assert not found["narrow"]
        rows, is_shifted = 64 * tile[0], info["isa"] != "portable"  # which has vectors of one
        wanted = plan(machine, rows, 256, 256, shifted=is_shifted)
        found = bp.kernels.matmul_plan(rows, 256, 256, dtype, b_offset=size)
        assert found["packs_b"] == wanted.pack_b
        narrow = bp.kernels.matmul_plan(64, 9, 2, dtype)
        assert narrow["narrow"]
        assert (narrow["tile"], narrow["block"]) == (tile, (0, 0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1), "m must be in"),
        ((1, 2.0, 1), "k must be an integer"),
        ((1, 1, 1, "int8"), "dtype"),
        ((1, 1, 1, "float32", 2), "transpose_a"),
        ((1, 1, 1, "float32", False, False, 64), "b_offset must be in"),
    ],
)
def test_refused_plans(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        bp.kernels.matmul_plan(*arguments)  # type: ignore[arg-type]
