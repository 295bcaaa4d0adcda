"""Random numbers: known answers, and whether shuffles and masks are as random as they should be.

The statistical tests use fixed seeds, so that they always give the same result. With seeds drawn
anew, each of their assertions would fail for a perfect generator once in a million times.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import philox
import pytest
from cbuild import run
from philox import FALSE_ALARM, assert_uniform, chi_square_tail, kept, permutation, uniform, words

import pybackprop as bp
from pybackprop import _core

# Random123's kat_vectors for philox4x32, 10 rounds: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers_of_the_reference(counter: str, key: str, result: str) -> None:
    k0, k1 = numbers(key)
    assert philox.philox((k0, k1), np.array([numbers(counter)])).tolist() == [numbers(result)]


@pytest.mark.native
def test_known_answers_of_the_core() -> None:
    """Every word of key and counter, of which no call from Python reaches all."""
    given = [f"{counter} {key} {result}" for counter, key, result in KNOWN]
    out = run("check_random.c", *itertools.chain(*map(str.split, given)), sources=("system/rng.c",))
    assert out == f"{len(KNOWN)} known answers\n"


SEEDS = [0, 1, 2**32 - 1, 2**32, 0x299F31D0A4093822, 2**64 - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_known_answers_of_uniform_numbers(seed: int) -> None:
    for stream in (0, 1, 2**30, 2**62 - 1):
        for count in (1, 2, 3, 1000):
            got = _core.random_uniform(seed, stream, count)
            np.testing.assert_array_equal(got, uniform(seed, stream, count))


@pytest.mark.parametrize("seed", SEEDS)
def test_known_answers_of_shuffles(seed: int) -> None:
    for epoch in (0, 1, 2**31, 2**62 - 1):
        for count in (1, 2, 3, 4, 5, 100, 1001):
            got = _core.random_permutation(seed, epoch, count)
            assert got.tolist() == permutation(seed, epoch, count)[0]


def test_words_that_would_favour_some_places_are_rejected() -> None:
    order, rejected = permutation(5, 0, 300_000)
    assert rejected > 0, "the test has nothing to tell"
    assert _core.random_permutation(5, 0, 300_000).tolist() == order


def network(*hidden: int, rate: Any, seed: int = 1, step: int = 0) -> bp.Network:
    """A network of these hidden layers whose next training step is that of this number."""
    net = bp.Network([1, *hidden, 1], dropout=rate, seed=seed)
    net._net.set_counters(step, 0)
    return net


@pytest.mark.parametrize("seed", SEEDS)
def test_known_answers_of_dropout_masks(seed: int) -> None:
    rates = (0.001, 0.3, 0.0, 1 - 2**-20)
    for step in (0, 1, 2**32, 2**44):
        net = network(7, 10, 3, 64, rate=rates, seed=seed, step=step)
        for layer, mask in enumerate(net.dropout_masks(50)):
            wanted = kept(seed, step, layer, rates[layer], mask.size)
            np.testing.assert_array_equal(mask.ravel(), wanted)


@pytest.mark.parametrize(("hidden", "rows"), [([33, 21], 700), ([300, 400], 4500)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_of_a_step_go_by_row_and_unit(hidden: list[int], rows: int, dtype: str) -> None:
    """However a batch is cut into parts and blocks.

    All activations are 1. Units count by weights, and rows by theirs, so that none stands for
    another.
    """
    net = bp.Network([1, *hidden, 1], dropout=0.5, seed=3, dtype=dtype, loss="squared_error")
    masks = net.dropout_masks(rows)
    first, second = (np.arange(width) % 7 + 1.0 for width in hidden)
    rows_count = np.arange(rows) % 11 + 1.0
    net.set_layer(0, np.zeros((hidden[0], 1)), np.ones(hidden[0]))
    nothing = np.zeros((hidden[1], hidden[0]))
    one_unit = np.vstack([first, nothing[1:]])
    for layer, w, b, last, out in (
        (0, one_unit, np.zeros(hidden[1]), np.eye(1, hidden[1]),
         2 * (masks[0] @ first) * 2 * masks[1][:, 0]),
        (1, nothing, np.ones(hidden[1]), second[None], 2 * (masks[1] @ second)),
    ):  # fmt: skip
        net._net.set_counters(0, 0)
        net.set_layer(1, w, b)
        net.set_layer(2, last, [0.0])
        cost = net.step(np.ones((rows, 1)), np.zeros((rows, 1)), bp.SGD(lr=0.0), rows_count)
        wanted = (rows_count * out**2).sum() / rows_count.sum()
        assert cost == pytest.approx(wanted, rel=1e-5), f"layer {layer}"


# ---- as random as they should be ----


def test_tail_of_chi_square() -> None:
    """Against tables (Abramowitz and Stegun 26.8), for an even and an odd number of degrees."""
    for freedom, x, tail in ((1, 3.84146, 0.05), (2, 13.8155, 0.001), (23, 44.1813, 0.005),
                             (30, 43.7729, 0.05), (100, 149.449, 0.001)):  # fmt: skip
        assert chi_square_tail(x, freedom) == pytest.approx(tail, rel=1e-3)


def test_uniform_numbers_are_uniform() -> None:
    drawn = _core.random_uniform(7, 0, 200_000)
    assert 0 <= drawn.min() < drawn.max() < 1
    assert_uniform(np.bincount((drawn * 100).astype(int), minlength=100), "values")
    cells = (drawn[:-1:2] * 20).astype(int) * 20 + (drawn[1::2] * 20).astype(int)
    assert_uniform(np.bincount(cells, minlength=400), "pairs")
    low = (drawn * 2.0**53).astype(np.uint64) & np.uint64(255)
    assert_uniform(np.bincount(low.astype(int), minlength=256), "lowest bits")


def shuffles(count: int, epochs: int) -> np.ndarray:
    return np.array([_core.random_permutation(11, epoch, count) for epoch in range(epochs)])


def test_every_order_is_equally_likely() -> None:
    """Also those of several cycles, and those that leave a row in its place."""
    for count in (2, 3, 4, 5):
        orders = dict.fromkeys(itertools.permutations(range(count)), 0)
        for order in shuffles(count, 100 * len(orders)).tolist():
            orders[tuple(order)] += 1
        assert_uniform(list(orders.values()), f"orders of {count} rows")


def test_every_row_comes_to_every_place() -> None:
    count = 13
    places = np.zeros((count, count))
    for order in shuffles(count, 1000):
        places[np.arange(count), order] += 1
    # Rows and columns have fixed sums, which leaves (count - 1)^2 degrees of freedom.
    expected = 1000 / count
    x = float(((places - expected) ** 2).sum() / expected) * (count - 1) / count
    tail = chi_square_tail(x, (count - 1) ** 2)
    assert FALSE_ALARM / 2 < tail < 1 - FALSE_ALARM / 2


def test_epochs_are_independent() -> None:
    """The order of an epoch says nothing about that of the next."""
    names = {order: at for at, order in enumerate(itertools.permutations(range(3)))}
    drawn = [names[tuple(order)] for order in shuffles(3, 8001).tolist()]
    pairs = [6 * one + two for one, two in itertools.pairwise(drawn)]
    assert_uniform(np.bincount(pairs, minlength=36), "orders of two epochs")


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.3, 0.5, 0.999])
def test_a_unit_is_dropped_as_often_as_the_rate_says(rate: float) -> None:
    dropped = total = 0
    for step in range(4):
        mask = network(4096, rate=rate, step=step).dropout_masks(256)[0]
        dropped += mask.size - int(mask.sum())
        total += mask.size
    # 4.9 standard deviations: once in a million.
    assert abs(dropped - rate * total) < 4.9 * (rate * (1 - rate) * total) ** 0.5


def assert_independent(one: np.ndarray, two: np.ndarray, what: str) -> None:
    """Masks of rate 0.5 agree and differ as often as chance has it, in all four ways."""
    assert_uniform(np.bincount((2 * one + two).ravel(), minlength=4), what)


def test_masks_are_independent() -> None:
    """Over layers, steps, rows, units and seeds."""
    first = network(512, 512, 512, rate=0.5)
    masks = first.dropout_masks(256)
    for one, two in itertools.combinations(range(3), 2):
        assert_independent(masks[one], masks[two], f"layers {one} and {two}")
    for name, other in (("step", {"step": 1}), ("seed", {"seed": 2})):
        following = network(512, 512, 512, rate=0.5, **other).dropout_masks(256)
        for layer in range(3):
            assert_independent(masks[layer], following[layer], f"{name}, layer {layer}")
            for below in range(layer):
                assert_independent(masks[layer], following[below], f"{name}, layers apart")
    for mask in masks:
        for apart in (1, 2, 3, 4, 8, 511):
            assert_independent(mask[:, apart:], mask[:, :-apart], f"{apart} units apart")
            assert_independent(mask.ravel()[apart:], mask.ravel()[:-apart], f"{apart} apart")
        assert_independent(mask[1:], mask[:-1], "rows")


def test_shuffles_masks_and_numbers_share_no_words() -> None:
    uses = [words(9, use, 0, 1000) for use in (philox.USER, philox.SHUFFLE, philox.DROPOUT)]
    assert len(np.unique(np.concatenate(uses))) > 2990
