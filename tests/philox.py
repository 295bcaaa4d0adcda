"""Philox4x32-10 and what is made of its words, written out from the paper, and chi-square tests.

Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011. Shuffles draw as
in Lemire: Fast random integer generation in an interval; ACM TOMACS 29, 2019.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
USER, SHUFFLE, DROPOUT = range(3)
# How often a statistical test of a perfect generator would fail, if its seeds were drawn anew.
FALSE_ALARM = 1e-6


def philox(key: tuple[int, int], counter: Array) -> Array:
    """The words at counters of four words each, (n, 4) as the counters, as uint64 below 2^32."""
    c0, c1, c2, c3 = np.asarray(counter, np.uint64).T
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (second >> HALF) ^ c1 ^ np.uint64(k0),
            second & LOW,
            (first >> HALF) ^ c3 ^ np.uint64(k1),
            first & LOW,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1)


def words(seed: int, use: int, stream: int, count: int) -> Array:
    """The first words of a stream of the package: counter (index, 4 stream + use), key the seed."""
    blocks = -(-count // 4)
    high = 4 * stream + use
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 2:] = high % 2**32, high >> 32
    return philox((seed % 2**32, seed >> 32), counter).ravel()[:count]


def uniform(seed: int, stream: int, count: int) -> Array:
    """Numbers in [0, 1) of 53 bits, each from two words, the first of them the higher."""
    pairs = words(seed, USER, stream, 2 * count).reshape(-1, 2)
    bits = (pairs[:, 0] << HALF | pairs[:, 1]) >> np.uint64(11)
    return bits.astype(float) * 2.0**-53


def permutation(seed: int, epoch: int, count: int) -> tuple[list[int], int]:
    """A Fisher-Yates shuffle of 0 … count - 1, and how many words it has rejected."""
    drawn = iter(words(seed, SHUFFLE, epoch, count + 1000).tolist())
    order, rejected = list(range(count)), 0
    for last in range(count - 1, 0, -1):
        n = last + 1
        product = next(drawn) * n
        while product % 2**32 < 2**32 % n:
            rejected += 1
            product = next(drawn) * n
        other = product >> 32
        order[last], order[other] = order[other], order[last]
    return order, rejected


def kept(seed: int, step: int, layer: int, rate: float, count: int) -> Array:
    """The mask of the units of a layer in a training step: True for those that are kept."""
    return words(seed, DROPOUT, step << 16 | layer, count) >= np.uint64(int(rate * 2**32))


def chi_square_tail(x: float, freedom: int) -> float:
    """The probability that chi-square with so many degrees of freedom is above x."""
    tail = math.exp(-x / 2) if freedom % 2 == 0 else math.erfc(math.sqrt(x / 2))
    for below in range(2 - freedom % 2, freedom, 2):
        log = (
            below / 2 * math.log(x / 2) - x / 2 - math.lgamma(below / 2 + 1) if x > 0 else -math.inf
        )
        tail += math.exp(log)
    return tail


def assert_uniform(counts: Any, what: str) -> None:
    """Counts of equally likely results are as uneven as chance has it, and not less."""
    counts = np.asarray(counts, float)
    expected = counts.sum() / counts.size
    assert expected >= 50, "too few draws for the distribution of chi-square"
    x = float(((counts - expected) ** 2).sum() / expected)
    tail = chi_square_tail(x, counts.size - 1)
    assert FALSE_ALARM / 2 < tail < 1 - FALSE_ALARM / 2, f"{what}: chi-square {x:.1f}"
