"""Sums in bfloat16: half the bytes on the wire, and what rounding leaves out is added next time.

The gradient of each shard and each sum of the tree is rounded, as if every shard had a rank of its
own. What a rounding leaves out stays where it was done, and is added to the same sum of the next
batch (F. Seide, H. Fu, J. Droppo, G. Li and D. Yu, 1-Bit Stochastic Gradient Descent and its
Application to Data-Parallel Distributed Training of Speech DNNs, 2014). So the bits depend on the
shards, but not on the ranks.

Sums and shards are the nodes of a binary heap: 1 is the sum of all, 2 k and 2 k + 1 are the halves
of k, and shard s of S is S + s.
"""

from __future__ import annotations

import numpy as np

from .. import _core
from .._core import Array
from ._channel import Channel
from ._tree import add_blocks, blocks_between, cut, shards_of


class Rounding:
    """What the roundings of a run have left out, and the exchange that rounds.

    Attributes
    ----------
    errors : ndarray, (2 shards, n_parameters), uint16
        Of each node, as the bits of bfloat16 numbers. A rank uses those of its shards and of the
        sums that it forms; the others take no memory as long as nobody writes to them.
    """

    def __init__(self, shards: int, n_parameters: int) -> None:
        self.shards = shards
        self.errors: Array = np.zeros((2 * shards, n_parameters), np.uint16)

    def add_up(self, channel: Channel, sums: Array) -> None:
        """Replace the first of this rank's vectors, one for each of its blocks, by the sum of all.

        Every rank adds up the blocks of all for a part of the vector, and sends the sum to all.
        """
        own, others = channel.rank, [r for r in range(channel.size) if r != channel.rank]
        blocks = [
            blocks_between(*shards_of(rank, channel.size, self.shards), self.shards)
            for rank in range(channel.size)
        ]
        parts = cut(sums.shape[1], channel.size)
        part = parts[own]
        pieces = {
            rank: np.empty((len(blocks[rank]), part.stop - part.start), np.uint16)
            for rank in others
        }
        channel.exchange(
            [(_narrow(sums[:, parts[rank]]), rank) for rank in others],
            [(pieces[rank], rank) for rank in others],
        )
        widened = {rank: _widen(piece) for rank, piece in pieces.items()}
        widened[own] = np.ascontiguousarray(sums[:, part])

        def round_sum(first: int, size: int, total: Array) -> None:
            _core.round_bf16(total, self.errors[(self.shards + first) // size, part])

        total = add_blocks(
            (
                (size, piece)
                for rank in range(channel.size)
                for size, piece in zip(blocks[rank], widened[rank], strict=True)
            ),
            round_sum,
        )
        sums[0, part] = total
        narrow = _narrow(total)
        room = {rank: np.empty(parts[rank].stop - parts[rank].start, np.uint16) for rank in others}
        channel.exchange(
            [(narrow, rank) for rank in others], [(room[rank], rank) for rank in others]
        )
        for rank in others:
            sums[0, parts[rank]] = _widen(room[rank])

    # ---- checkpoints ----

    def _owners(self, ranks: int) -> list[tuple[int, int, slice]]:
        """Return which rank has which part of the errors of each node."""
        size = self.errors.shape[1]
        found = []
        for node in range(1, 2 * self.shards):
            count = self.shards >> (node.bit_length() - 1)
            first = node * count - self.shards
            owner = next(r for r in range(ranks) if first < shards_of(r, ranks, self.shards)[1])
            if first + count <= shards_of(owner, ranks, self.shards)[1]:
                found.append((owner, node, slice(0, size)))
            else:
                found += [(rank, node, part) for rank, part in enumerate(cut(size, ranks))]
        return found

    def gather(self, channel: Channel) -> None:
        """Let rank 0 have the errors of all nodes."""
        away = [each for each in self._owners(channel.size) if each[0] > 0]
        if channel.rank == 0:
            channel.exchange([], [(self.errors[node, part], rank) for rank, node, part in away])
        else:
            own = (each for each in away if each[0] == channel.rank)
            channel.exchange([(self.errors[node, part], 0) for _, node, part in own], [])

    def restore(self, errors: Array, rank: int, ranks: int) -> None:
        """Take over those of a checkpoint that this rank needs, before the core is given any."""
        if ranks == 1:
            self.errors = np.ascontiguousarray(errors)
            return
        for owner, node, part in self._owners(ranks):
            if owner == rank:
                self.errors[node, part] = errors[node, part]


def _narrow(values: Array) -> Array:
    """Return the bits of bfloat16 numbers that float32 holds."""
    bits: Array = np.ascontiguousarray(values).view(np.uint32) >> np.uint32(16)
    return bits.astype(np.uint16)


def _widen(bits: Array) -> Array:
    wide: Array = bits.astype(np.uint32) << np.uint32(16)
    return wide.view(np.float32)
