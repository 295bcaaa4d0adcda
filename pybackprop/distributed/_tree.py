"""The order in which shards are added: a balanced binary tree, whoever holds which of them.

A block is a run of shards whose number is a power of two, and which begins at a multiple of that
number: a node of the tree. The shards of a rank are covered by the fewest blocks.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import _core
from .._core import Array


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


def add_blocks(blocks: Iterable[tuple[int, Array]]) -> Array:
    """Add the sums of blocks that cover all shards, given with their sizes in ascending order.

    The arrays are written to; one of them is returned.
    """
    stack: list[tuple[int, Array]] = []
    for given, total in blocks:
        size = given
        # Neighbours of one size are the halves of a block: what comes first begins at an even one.
        while stack and stack[-1][0] == size:
            _, left = stack.pop()
            _core.add(left, total, left)
            total, size = left, 2 * size
        stack.append((size, total))
    ((_, result),) = stack
    return result
