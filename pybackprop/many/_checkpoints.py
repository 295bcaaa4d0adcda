"""Checkpoints of training many networks: one file for all members."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from typing import IO, Any

import numpy as np

from .._core import FLOAT64, UINT8, Array, ManyFit
from .._version import __version__
from ..exchange.npz import read_array, read_text, write_arrays, write_json
from ..files.read import DAMAGE, Archive, explain, open_regular, parse_json
from ..files.write import write_atomically
from ..inputs import as_count, as_counter
from ..optimizers import Optimizer, from_state_dict
from ..training.checkpoints import (
    as_every,
    as_source,
    as_target,
    checksum,
    describe_data,
    describe_scaling,
    find_difference,
    network_settings,
    new_functions,
    optimizer_settings,
    with_functions,
)
from ._history import STATUSES
from ._members import Member
from ._standing import Standing

FORMAT = "pybackprop training of many networks"
VERSION = 1
_INTEGERS = ("epoch", "batch", "steps", "epochs", "optimizer_step", "best_epoch")


class ManyCheckpoints:
    """What a fit of many networks writes, and what it continues from.

    A file holds arrays with a row or an entry for each member. Vectors of what training changes
    follow each other, member by member, in one array for each type of network: ``parameters``;
    ``start``, those at the start of the current epoch, of members in the middle of one; ``best``,
    of members with a best epoch; ``state``, the vectors of the optimizers.
    """

    def __init__(self, standing: Standing, path: Any, every: Any, resume: Any) -> None:
        self.standing = standing
        self.members: list[Member] = standing.members.members
        self.every = as_every(every)
        if self.every.unit == "steps":
            raise ValueError(
                "checkpoint_every must be a number of epochs or a time for several networks, got "
                f"{every!r}"
            )
        if path is None and every != 1:
            raise ValueError("checkpoint_every needs checkpoint, the path to write to")
        self.path = None if path is None else as_target(path)
        self.source = as_source(resume, self.path)
        self._first = [optimizer_settings(each.optimizer) for each in self.members]
        self._position: _Position | None = None if self.source is None else self._read()
        self._clock = time.monotonic()
        self._last: tuple[int, int] | None = None

    # ---- when ----

    def seconds_left(self) -> float:
        """Return in how much time a checkpoint is due; infinity if that does not depend on time."""
        if self.path is None or self.every.unit != "seconds":
            return math.inf
        return max(self._clock + self.every.number - time.monotonic(), 0.0)

    def is_time(self) -> bool:
        """Return whether so much time has passed that one is due."""
        return self.seconds_left() == 0.0

    def is_due(self, epoch: int) -> bool:
        """Return whether one is due after so many epochs."""
        if self.path is None or self.every.unit == "seconds":
            return self.path is not None and self.is_time()
        return epoch % int(self.every.number) == 0

    def finish(self, run: ManyFit) -> None:
        """Write where the fit ends."""
        if self.path is not None and self._last != self._place(run):
            self.write(run)

    def _place(self, run: ManyFit) -> tuple[int, int]:
        return self.standing.epoch, sum(each.optimizer.steps for each in self.members)

    # ---- writing ----

    def write(self, run: ManyFit) -> None:
        """Write the file of this position in place of the previous one.

        Raises
        ------
        OSError
            It cannot be written.
        ValueError
            A rate has become a function, and no fit could continue without it.
        """
        settings = [optimizer_settings(each.optimizer) for each in self.members]
        for at, (now, first) in enumerate(zip(settings, self._first, strict=True)):
            for name in new_functions(now, first):
                raise ValueError(
                    f"{name} of optimizers[{at}] has become a function during the fit, which no "
                    "checkpoint can hold; assign a Schedule instead"
                )
        header = {
            "format": FORMAT,
            "format_version": VERSION,
            "pybackprop": __version__,
            "run": self._describe(),
            "done": self.standing.epoch,
            "optimizers": [each.optimizer.name for each in self.members],
            "settings": settings,
            "first_settings": None if settings == self._first else self._first,
        }
        text = write_json(header)
        arrays = {**self._figures(run), **self._vectors(run)}
        arrays["header"] = np.frombuffer(text.encode(), np.uint8)

        def fill(file: IO[bytes]) -> None:
            write_arrays(file, arrays)

        write_atomically(self.path, fill)
        self._clock = time.monotonic()
        self._last = self._place(run)

    def _describe(self) -> dict[str, Any]:
        """Return what a fit must have in common with the one that it continues."""
        standing, first = self.standing, self.members[0]
        held_out = first.held_out
        return {
            "kind": "fit_many",
            "networks": len(self.members),
            "shuffle": standing.members.shuffle,
            "patience": standing.patience,
            "data": describe_data(first.rows.data),
            "validation": describe_data(None if held_out is None else held_out.data),
            "members": [_digest(member) for member in self.members],
        }

    def _figures(self, run: ManyFit) -> dict[str, Array]:
        """Return the arrays with an entry or a row for each member."""
        standing, history, table = self.standing, self.standing.history, run.table
        counters = np.array([each.network._net.get_counters() for each in self.members])
        longest = int(table["epoch"].max(initial=0))
        running = (table["batch"] > 0) & standing.active
        arrays = {
            "epoch": table["epoch"],
            "batch": np.where(running, table["batch"], 0),
            "steps": counters[:, 0],
            "epochs": counters[:, 1],
            "optimizer_step": np.array([each.optimizer.steps for each in self.members]),
            "best_epoch": history.best_epoch,
            "status": np.array([STATUSES.index(name) for name in history.status], np.uint8),
            "slots": np.array([_slots(each.optimizer) for each in self.members], np.uint8),
            "best_cost": standing.best_cost,
            "carried": standing.carried,
            "sums": np.stack([table["cost_sum"], table["cost_weight"]], 1) * running[:, None],
            "cost": history._cost[:, :longest],
            "seconds": history._seconds[:, :longest],
        }
        if history._val_cost is not None:
            arrays["val_cost"] = history._val_cost[:, :longest]
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def _vectors(self, run: ManyFit) -> dict[str, Array]:
        """Return the arrays of vectors of what training changes."""
        running = (run.table["batch"] > 0) & self.standing.active
        best = self.standing.best
        lists: dict[str, Callable[[int, Member], Iterable[Array]]] = {
            "parameters": lambda at, each: [each.network._net.trained()],
            "start": lambda at, each: [run.start(at)] if running[at] else [],
            "best": lambda at, each: [kept] if (kept := best[at]) is not None else [],
            "state": lambda at, each: _present(each.optimizer),
        }
        found: dict[str, list[Array]] = {}
        for name, pick in lists.items():
            for at, member in enumerate(self.members):
                key = f"{name}.{member.network.dtype}"
                found.setdefault(key, []).extend(pick(at, member))
        return {key: np.concatenate(parts) for key, parts in found.items() if parts}

    # ---- going on ----

    def _read(self) -> _Position:
        """Return where to go on from.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is malformed, or of another fit: what differs is named.
        """
        with open_regular(self.source) as file:
            try:
                with Archive(file) as archive:
                    header = _read_header(archive)
                    difference = find_difference("", header["run"], self._describe())
                    if difference is None:
                        difference = self._find_other_optimizer(header)
                    if difference is None:
                        return _Position(archive, header, self)
            except DAMAGE as error:
                raise ValueError(
                    f"{self.source!r} is not a valid checkpoint of many networks: {explain(error)}"
                ) from error
        if difference.startswith("members"):
            difference = "a network, its rows or its settings are others"
        raise ValueError(
            f"{self.source!r} is a checkpoint of another fit: {difference}. Resuming needs the "
            "same networks, data and settings"
        )

    def _find_other_optimizer(self, header: dict[str, Any]) -> str | None:
        """Return which optimizer is not that of the checkpoint, and in what, in words."""
        now = header["settings"]
        first = now if header["first_settings"] is None else header["first_settings"]
        for at, (member, own) in enumerate(zip(self.members, self._first, strict=True)):
            name, optimizer = f"optimizers[{at}]", member.optimizer
            found = find_difference(name, header["optimizers"][at], optimizer.name)
            if found is None and own != dict(now[at]):
                found = find_difference(name, dict(first[at]), own)
            if found is not None:
                return found
        return None

    def ahead(self) -> tuple[Array, Array] | None:
        """Return the next steps of the networks in the checkpoint, and how many each has to do."""
        if self._position is None:
            return None
        figures, standing = self._position.figures, self.standing
        done = figures["epoch"] * standing.n_batches + figures["batch"]
        left = standing.wanted * standing.n_batches - done
        return figures["steps"], np.where(self._position.status() == "running", left, 0)

    def go_on(self, run: ManyFit) -> None:
        """Bring the members to where the checkpoint left them, if there is one."""
        if self._position is not None:
            self._position.apply(run, self.standing)
            self._first = self._position.first_settings
            self._position = None


class _Position:
    """Where the fit in a file stood, read and checked as a whole before anything is changed."""

    def __init__(self, archive: Archive, header: dict[str, Any], owner: ManyCheckpoints) -> None:
        self._archive, self._members = archive, owner.members
        self._wanted = owner.standing.wanted
        n = len(owner.members)
        self.done = as_count(header["done"], "done")
        figures = {name: self._read(name, np.dtype(np.int64), (n,)) for name in _INTEGERS}
        figures["status"] = self._read("status", UINT8, (n,))
        figures["slots"] = self._read("slots", UINT8, (n,))
        for name in ("best_cost", "carried"):
            figures[name] = self._read(name, FLOAT64, (n,))
        figures["sums"] = self._read("sums", FLOAT64, (n, 2))
        self._check(figures, owner)
        longest = int(figures["epoch"].max())
        names = ["cost", "seconds"]
        names += ["val_cost"] if owner.standing.members.has_validation else []
        self.curves = {name: self._read(name, FLOAT64, (n, longest)) for name in names}
        self.figures = figures
        one = np.ones(n, np.int64)
        running = (figures["batch"] > 0).astype(np.int64)
        kept = figures["best_epoch"] >= 0 if owner.standing.patience is not None else 0 * one
        self.parameters = self._read_vectors("parameters", one)
        self.start = self._read_vectors("start", running)
        self.best = self._read_vectors("best", kept.astype(np.int64))
        counts = np.array([int(each).bit_count() for each in figures["slots"]])
        self.state = self._read_vectors("state", counts)
        settings = header["settings"]
        first = header["first_settings"]
        self.first_settings = settings if first is None else first
        self.optimizers = [self._optimizer(at, header, owner) for at in range(n)]
        del self._archive

    def _read(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        return read_array(self._archive, name, dtype, shape)

    def _check(self, figures: dict[str, Array], owner: ManyCheckpoints) -> None:
        """Refuse positions that no fit has."""
        wanted, n_batches = owner.standing.wanted, owner.standing.n_batches
        for name in ("epoch", "batch", "steps", "epochs", "optimizer_step"):
            for value in (figures[name].min(), figures[name].max()):
                as_counter(int(value), name)
        epoch, batch = figures["epoch"], figures["batch"]
        if (batch >= n_batches).any() or (figures["steps"] < batch).any():
            raise ValueError("there is no such batch")
        if ((epoch > wanted) | ((epoch == wanted) & (batch > 0))).any():
            raise ValueError("epochs must be at least what the checkpoint has done")
        if (figures["status"] >= len(STATUSES)).any() or (figures["slots"] > 7).any():
            raise ValueError("a member has no such status")
        if (figures["best_epoch"] < -1).any() or (figures["best_epoch"] >= epoch).any():
            raise ValueError("a member has no such best epoch")

    def _read_vectors(self, name: str, counts: Array) -> list[list[Array]]:
        """Return so many vectors of each member from the arrays that hold them all."""
        networks = [each.network for each in self._members]
        sizes: dict[Any, int] = {}
        for network, count in zip(networks, counts.tolist(), strict=True):
            sizes[network.dtype] = sizes.get(network.dtype, 0) + count * network._net.n_trained
        flat = {
            dtype: self._read(f"{name}.{dtype}", dtype, (size,))
            for dtype, size in sizes.items()
            if size
        }
        used = dict.fromkeys(flat, 0)
        found = []
        for network, count in zip(networks, counts.tolist(), strict=True):
            vectors = []
            for _ in range(count):
                first, size = used[network.dtype], network._net.n_trained
                vectors.append(flat[network.dtype][first : first + size])
                used[network.dtype] = first + size
            found.append(vectors)
        return found

    def _optimizer(self, at: int, header: dict[str, Any], owner: ManyCheckpoints) -> Optimizer:
        """Return a member's optimizer as it was."""
        own = self._members[at].optimizer
        settings = with_functions(header["settings"][at], owner._first[at], own)
        slots = int(self.figures["slots"][at])
        names = [name for slot, name in enumerate(own._vectors) if slots >> slot & 1]
        state = {
            "name": own.name,
            "settings": settings,
            "step": int(self.figures["optimizer_step"][at]),
            "state": dict(zip(names, self.state[at], strict=True)),
        }
        return from_state_dict(state)

    def status(self) -> Array:
        """Return the status of each member in the fit that goes on."""
        found = np.array(STATUSES)[self.figures["status"]]
        # More epochs may be wanted now than when these members were done.
        found[(found == "done") & (self.figures["epoch"] < self._wanted)] = "running"
        return found

    def apply(self, run: ManyFit, standing: Standing) -> None:
        """Bring the members, and the standing, to this position."""
        figures = self.figures
        for at, member in enumerate(self._members):
            net = member.network._net
            member.optimizer._become(self.optimizers[at])
            net.set_trained(self.parameters[at][0])
            net.set_counters(int(figures["steps"][at]), int(figures["epochs"][at]))
            place = int(figures["epoch"][at]), int(figures["batch"][at])
            start = self.start[at][0] if self.start[at] else None
            run.resume(at, place, figures["sums"][at].tolist(), start)
            standing.best[at] = self.best[at][0] if self.best[at] else None
        history = standing.history
        history._make_room(int(figures["epoch"].max()))
        for name, curve in self.curves.items():
            getattr(history, f"_{name}")[:, : curve.shape[1]] = curve
        history.epochs[:], history.best_epoch[:] = figures["epoch"], figures["best_epoch"]
        history.status[:] = self.status()
        standing.active[:] = history.status == "running"
        standing.best_cost[:], standing.carried[:] = figures["best_cost"], figures["carried"]
        standing.epoch = min([self.done, *history.epochs[standing.active].tolist()])


def _digest(member: Member) -> int:
    """Return a checksum of what distinguishes a member, except for its optimizer's settings."""
    held_out = member.held_out
    arrays = [member.rows.index, member.rows.data.arrays[2]]
    arrays += [None, None] if held_out is None else [held_out.index, held_out.data.arrays[2]]
    network = {**network_settings(member.network), "init": None}
    described = [
        network,
        describe_scaling(member.network.scaling),
        member.order.batch_size,
        member.order.seed,
        [None if each is None else checksum(each) for each in arrays],
    ]
    return checksum(np.frombuffer(json.dumps(described).encode(), np.uint8))


def _slots(optimizer: Optimizer) -> int:
    """Return which vectors an optimizer has, as bits."""
    return sum(1 << at for at, each in enumerate(optimizer._state.vectors) if each is not None)


def _present(optimizer: Optimizer) -> list[Array]:
    return [each for each in optimizer._state.vectors if each is not None]


def _read_header(archive: Archive) -> dict[str, Any]:
    header = parse_json(read_text(archive))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError("it was not written by pybackprop.fit_many")
    if header["format_version"] != VERSION:
        raise ValueError(
            f"it has format version {header['format_version']!r}; this version reads {VERSION}"
        )
    return header
