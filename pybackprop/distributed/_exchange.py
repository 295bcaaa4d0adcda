"""The sum of vectors of all ranks, with the bits of one tree for any number of ranks.

If the number of ranks is a power of two, each rank holds one block of shards. Then the vectors are
added by recursive halving: in step j a rank and the one whose number differs in bit j exchange
halves of what they have, and each adds up its half. Then the sums go back in the same way (R.
Thakur, R. Rabenseifner and W. Gropp, Optimization of Collective Communication Operations in MPICH,
2005). Each element sees the additions of the tree. For other numbers every rank adds up the blocks
of all ranks for a part of the vector.
"""

from __future__ import annotations

import numpy as np

from .. import _core
from .._core import Array
from ._channel import Channel
from ._scaling import SMALL
from ._tree import UNIT, add_blocks, blocks_between, cut, shards_of


def add_up(channel: Channel, sums: Array, shards: int) -> None:
    """Replace the first of this rank's vectors, one for each of its blocks, by the sum of all."""
    if channel.size & (channel.size - 1):
        _add_parts(channel, sums, shards)
    elif sums[0].nbytes <= SMALL:
        _add_whole(channel, sums[0])
    else:
        _add_halves(channel, sums[0])


def _add_ordered(rank: int, partner: int, own: Array, other: Array) -> None:
    """Add to own what another rank sent: that of the lower rank first."""
    _core.add(*((own, other) if rank < partner else (other, own)), own)


def _add_whole(channel: Channel, vector: Array) -> None:
    received = np.empty_like(vector)
    bit = 1
    while bit < channel.size:
        partner = channel.rank ^ bit
        channel.exchange([(vector, partner)], [(received, partner)])
        _add_ordered(channel.rank, partner, vector, received)
        bit *= 2


def _add_halves(channel: Channel, vector: Array) -> None:
    rank, bit = channel.rank, 1
    low, high = 0, vector.size
    steps: list[tuple[int, slice, slice]] = []  # partner, what is kept, what is given away
    room = np.empty(vector.size // 2 + UNIT, vector.dtype)
    while bit < channel.size:
        partner = rank ^ bit
        middle = low + (high - low) // 2 // UNIT * UNIT
        halves = [slice(low, middle), slice(middle, high)]
        kept, given = halves if rank < partner else reversed(halves)
        received = room[: kept.stop - kept.start]
        channel.exchange([(vector[given], partner)], [(received, partner)])
        _add_ordered(rank, partner, vector[kept], received)
        steps.append((partner, kept, given))
        low, high = kept.start, kept.stop
        bit *= 2
    for partner, kept, given in reversed(steps):
        channel.exchange([(vector[kept], partner)], [(vector[given], partner)])


def _add_parts(channel: Channel, sums: Array, shards: int) -> None:
    ranks, own = range(channel.size), channel.rank
    blocks = [blocks_between(*shards_of(rank, channel.size, shards), shards) for rank in ranks]
    parts = cut(sums.shape[1], channel.size)
    width = parts[own].stop - parts[own].start
    others = [rank for rank in ranks if rank != own]
    pieces = {rank: np.empty((len(blocks[rank]), width), sums.dtype) for rank in others}
    channel.exchange(
        [(np.ascontiguousarray(sums[:, parts[rank]]), rank) for rank in others],
        [(pieces[rank], rank) for rank in others],
    )
    pieces[own] = np.ascontiguousarray(sums[:, parts[own]])
    total = add_blocks(
        (size, piece)
        for rank in ranks
        for size, piece in zip(blocks[rank], pieces[rank], strict=True)
    )
    sums[0, parts[own]] = total
    channel.exchange(
        [(total, rank) for rank in others], [(sums[0, parts[rank]], rank) for rank in others]
    )
