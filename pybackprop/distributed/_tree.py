"""The order in which shards are added: a balanced binary tree, whoever holds which of them.

A block is a run of shards whose number is a power of two, and which begins at a multiple of that
number: a node of the tree. The shards of a rank are covered by the fewest blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .. import _core
from .._core import Array

# Entries between two cuts: a cache line of float32.
UNIT = 16


def shards_of(rank: int, ranks: int, shards: int) -> tuple[int, int]:
    """Return the first shard of a rank, and the first one that follows."""
    return rank * shards // ranks, (rank + 1) * shards // ranks


def blocks_between(first: int, end: int, shards: int) -> list[int]:
    """Return the sizes of the fewest blocks that cover the shards first <= s < end."""
    sizes = []
    while first < end:
        size = first & -first or shards
        while size > end - first:
            size //= 2
        sizes.append(size)
        first += size
    return sizes


def cut(size: int, parts: int) -> list[slice]:
    """Return as many parts of a vector, of about one length."""
    cuts = [size * part // parts // UNIT * UNIT for part in range(parts)]
    return [slice(*pair) for pair in zip(cuts, [*cuts[1:], size], strict=True)]


def add_blocks(
    blocks: Iterable[tuple[int, Array]], finish: Callable[[int, int, Array], None] | None = None
) -> Array:
    """Add the sums of blocks that cover all shards, given with their sizes in ascending order.

    The arrays are written to; one of them is returned. `finish` is called with the first shard of
    each sum that is formed, their number, and the sum.
    """
    stack: list[tuple[int, Array]] = []
    end = 0
    for given, total in blocks:
        size, end = given, end + given
        # Neighbours of one size are the halves of a block: what comes first begins at an even one.
        while stack and stack[-1][0] == size:
            _, left = stack.pop()
            _core.add(left, total, left)
            total, size = left, 2 * size
            if finish is not None:
                finish(end - size, size, total)
        stack.append((size, total))
    ((_, result),) = stack
    return result
