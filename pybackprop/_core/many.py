"""Training runs and costs of many networks side by side, around the queue of the C core."""

from __future__ import annotations

import os
from _thread import get_ident
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from .._pybackprop_core import ffi, lib
from ..losses import Array, view_memory
from .data import Data
from .ffi import BUSY, NOT_FINITE, OK, check, pointer
from .net import Net
from .optimizer import Key, OptimizerState

# How long one call into the core may take while it computes costs.
_CALL_NS = 50_000_000


def _table_type(struct: str, fields: dict[str, str], nested: dict[str, str]) -> np.dtype[Any]:
    """Return a NumPy type for fields of a C structure, and for those of its member `state`."""
    names = {name: (kind, ffi.offsetof(struct, name)) for name, kind in fields.items()}
    names.update(
        {name: (kind, ffi.offsetof(struct, "state", name)) for name, kind in nested.items()}
    )
    return np.dtype(
        {
            "names": list(names),
            "formats": [kind for kind, _ in names.values()],
            "offsets": [offset for _, offset in names.values()],
            "itemsize": ffi.sizeof(struct),
        }
    )


_TASK = _table_type(
    "bp_fit_task",
    {
        "rates": "u8",
        "n_rates": "i8",
        "epochs": "i8",
        "costs": "u8",
        "batches": "i8",
        "ns": "i8",
        "status": "i4",
        "lanes": "i4",
        "has_one_decay": "i4",
    },
    {
        "epoch": "i8",
        "batch": "i8",
        "cost": "f8",
        "cost_sum": "f8",
        "cost_weight": "f8",
        "start": "u8",
    },
)


class Rows:
    """Some rows of data, which networks may share; None for all of them."""

    __slots__ = ("data", "index")

    def __init__(self, data: Data, index: Array | None) -> None:
        self.data, self.index = data, index

    @property
    def number(self) -> int:
        """How many."""
        return self.data.rows if self.index is None else len(self.index)


class FitOrder(NamedTuple):
    """In which batches a run goes through its rows; seed None: in their order."""

    batch_size: int
    seed: int | None


class _Holder:
    """What holds one network and its optimizer while many are trained."""

    __slots__ = ("_run", "key")

    def __init__(self, run: ManyFit, key: Key) -> None:
        self._run, self.key = run, key

    @property
    def thread(self) -> int:
        return self._run.thread

    @property
    def process(self) -> int:
        return self._run.process


class ManyFit:
    """Training runs of different networks.

    `table` has a row for each run, with the fields of bp_fit_task and its state: the caller sets
    `rates`, `n_rates`, `has_one_decay`, `epochs` and `costs` before `run`, and reads the others
    after it. From `hold` to `release` the runs hold the networks and the optimizers. While the core
    is at work no thread may use them, not even this one, from a loss function.
    """

    def __init__(
        self,
        nets: Sequence[Net],
        states: Sequence[OptimizerState],
        rows: Sequence[Rows],
        orders: Sequence[FitOrder],
    ) -> None:
        self.thread, self.process = get_ident(), os.getpid()
        self._owner = self.thread
        self.nets, self.states = list(nets), list(states)
        self._rows = list(rows)  # whose arrays the core reads
        self._tasks = ffi.new("bp_fit_task[]", len(nets))
        self.table = np.frombuffer(ffi.buffer(self._tasks), _TASK)
        self._fits = []
        for at, (net, part, order) in enumerate(zip(nets, rows, orders, strict=True)):
            self._fits.append(_create(net, part, order))
            self._tasks[at].fit = self._fits[-1]
            self._tasks[at].optimizer = states[at].struct
        self._held: list[Any] = []
        self._resumed: dict[int, Array] = {}  # what `start` returns before the first call

    def hold(self) -> None:
        """Hold all networks and optimizers; raise if one of them is in use."""
        for at, (net, state) in enumerate(zip(self.nets, self.states, strict=True)):
            holder = _Holder(self, net.key)
            try:
                net.admit_training()
                with net._lock:
                    if net.fit is not None:
                        raise RuntimeError(BUSY)
                    self._held.append(net)
                    net.fit = holder
                state.alone(self._hold_state, state, holder, updates=True)
            except RuntimeError as error:
                raise RuntimeError(f"networks[{at}]: {error}") from error

    def _hold_state(self, state: OptimizerState, holder: _Holder) -> None:
        self._held.append(state)
        state.fit = holder

    def release(self) -> None:
        """Let go of all networks and optimizers that are held."""
        # One call, so that no signal comes before its end.
        deque(map(setattr, self._held, repeat("fit"), repeat(None)), 0)

    def resume(self, at: int, place: tuple[int, int], sums: Sequence[float], start: Any) -> None:
        """Go on from where a run stood, (epoch, batch); its network is as it was then."""
        state = ffi.new("bp_fit_state *")
        state.epoch, state.batch = place
        state.cost_sum, state.cost_weight = sums
        state.start = pointer(start)
        check(lib.bp_fit_resume(self._fits[at], state))
        if start is not None:
            self._resumed[at] = start
        row = self.table[at : at + 1]
        row["epoch"], row["batch"] = place
        row["cost_sum"], row["cost_weight"] = sums
        row["cost"] = sums[0] / sums[1] if sums[1] else 0.0

    def start(self, at: int) -> Array:
        """Return a view of what is trained at the start of an epoch of which a batch is done."""
        net = self.nets[at]
        if not self.table["start"][at]:
            return self._resumed[at]
        return view_memory(
            int(self.table["start"][at]), (net.n_trained,), net.dtype, self._fits[at]
        )

    def run(self, max_ns: int) -> None:
        """Train for at most max_ns nanoseconds; runs whose cost is not finite say so in `table`."""
        self.thread = 0
        try:
            status = lib.bp_fit_run_many(self._tasks, len(self.nets), max_ns)
        finally:
            self.thread = self._owner
        statuses = self.table["status"]
        if status == OK and not statuses.any():
            return
        self._raise(status, statuses)

    def _raise(self, status: int, statuses: Array) -> None:
        """Raise the exception of the call, or of the first run that has one."""
        bad = (statuses != OK) & (statuses != NOT_FINITE)
        at = int(bad.argmax())
        if bad[at]:
            _check(self.nets[at], int(statuses[at]), at)
        check(status)


def _create(net: Net, rows: Rows, order: FitOrder) -> Any:
    """Return a run of the core."""
    out = ffi.new("bp_fit **")
    shuffle, seed = order.seed is not None, order.seed or 0
    index = ffi.cast("int64_t *", pointer(rows.index))
    arguments = rows.data.struct, index, rows.number, order.batch_size, shuffle, seed, out
    check(lib.bp_fit_create_rows(net._handle, *arguments))
    return ffi.gc(out[0], lib.bp_fit_destroy)


def _check(net: Net, status: int, at: int) -> None:
    """Raise the exception of a network's status, and say whose it is if that may not be known."""
    try:
        net._check(status)
    except (RuntimeError, MemoryError) as error:
        if status == lib.BP_ERR_CALLBACK:
            raise
        raise type(error)(f"networks[{at}]: {error}") from error


def costs(nets: Sequence[Net], rows: Sequence[Rows], numbers: Sequence[int] | None = None) -> Array:
    """Return the cost of each network on its rows, with the bits of `Net.cost` on a copy of them.

    Like `Net.cost`, this is the weighted mean of the costs of pieces of bounded length. Errors name
    a network by its number, which is its place unless `numbers` are given.
    """
    numbers = range(len(nets)) if numbers is None else numbers
    total, weights = np.zeros(len(nets)), np.zeros(len(nets))
    pieces = np.array(
        [-(-part.number // net.call_rows) for net, part in zip(nets, rows, strict=True)], np.int64
    )
    for number in range(pieces.max(initial=0)):
        chosen = np.flatnonzero(pieces > number).tolist()
        parts = [_piece(rows[at], nets[at].call_rows, number) for at in chosen]
        heavy = np.array([_weight_of(part) for part in parts])
        found = np.zeros(len(chosen))
        only = pieces[chosen] == 1
        some = np.flatnonzero(only | (heavy > 0)).tolist()
        called = [numbers[chosen[at]] for at in some]
        tasks = [(nets[chosen[at]], parts[at]) for at in some]
        found[some] = _costs_of(tasks, called)
        total[chosen] += np.where(only, found, heavy * found)
        weights[chosen] += np.where(only, 1.0, heavy)
    return total / weights


def _piece(rows: Rows, length: int, number: int) -> Rows:
    """Return one piece of some rows."""
    if rows.number <= length:
        return rows
    part = slice(number * length, (number + 1) * length)
    if rows.index is not None:
        return Rows(rows.data, rows.index[part])
    return Rows(rows.data.select(part), None)


def _weight_of(rows: Rows) -> float:
    """Return the sum of the weights of some rows."""
    weights = rows.data.arrays[2]
    if weights is None:
        return float(rows.number)
    return float((weights if rows.index is None else weights[rows.index]).sum())


def _costs_of(pairs: Sequence[tuple[Net, Rows]], numbers: Sequence[int]) -> Array:
    """Return the costs of networks that all differ."""
    tasks = ffi.new("bp_cost_task[]", len(pairs))
    for at, (net, part) in enumerate(pairs):
        task = tasks[at]
        task.net, task.data, task.rows = net._handle, part.data.struct, part.number
        task.index = ffi.cast("int64_t *", pointer(part.index))
    while not all(task.is_done for task in tasks):
        status = lib.bp_net_cost_many(tasks, len(pairs), _CALL_NS)
        for (net, _), task, number in zip(pairs, tasks, numbers, strict=True):
            if task.status != OK:
                _check(net, task.status, number)
        check(status)
    return np.array([task.cost for task in tasks])
