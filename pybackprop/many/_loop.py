"""The loop of `fit_many` around the calls in which the C core trains the members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._core import NOT_FINITE, Array
from ..inputs import as_choice, as_flag
from ..nonfinite import advise
from ..training.loop import as_callbacks, as_patience
from ..training.progress import make_progress
from ._checkpoints import ManyCheckpoints
from ._history import EpochsEnd, ManyHistory
from ._members import Members
from ._standing import Standing

# How long one call into the core may take, so that signals and progress are handled promptly.
_CALL_NS = 50_000_000

# Steps whose rates are kept for all members together, and the fewest for one of them.
_STEPS_KEPT, _STEPS_OF_A_MEMBER = 2**18, 512

# Where nothing is decided after an epoch, members wait for each other after this many: the history
# of further ones needs memory.
_EPOCHS_OF_A_ROUND = 4096


class ManyTrainer(Standing):
    """One call of `fit_many`.

    If something has to be decided after an epoch, all members are brought to its end before the
    next one begins; otherwise each goes on by itself.
    """

    def __init__(self, networks: Any, given: Mapping[str, Any]) -> None:
        patience = as_patience(given["patience"], _some_validation(given))
        self.callbacks: tuple[Any, ...] = as_callbacks(given["callbacks"])
        self.progress = as_flag(given["progress"], "progress")
        self.on_divergence = as_choice(given["on_divergence"], "on_divergence", ("retire", "raise"))
        super().__init__(Members(networks, given), patience)
        self.shown = given["_shown"]  # what callbacks get for the networks
        self._numbers = given.get("_numbers")  # of the members, if they are some of many
        self.checkpoints: ManyCheckpoints | None = None
        self._rates = _Rates(self.members)

    def keep(self, path: Any, every: Any, resume: Any) -> None:
        """Check the arguments that concern checkpoints, and read the one to go on from."""
        self.checkpoints = ManyCheckpoints(self, path, every, resume)

    def run(self, max_ns: int | None = None) -> ManyHistory:
        """Train, and return the figures."""
        max_ns = _CALL_NS if max_ns is None else max_ns
        members = self.members.members
        run = _core.ManyFit(
            [each.network._net for each in members],
            [each.optimizer._state for each in members],
            [each.rows for each in members],
            [each.order for each in members],
        )
        try:
            run.hold()
            self._check_dropout()
            if self.checkpoints is not None:
                self.checkpoints.go_on(run)
                self._rates.forget()
            self._bind()
            self._loop(run, max_ns)
        finally:
            run.release()
        return self.history

    def _check_dropout(self) -> None:
        """Refuse schedules that leave what is allowed at some step of this fit."""
        resumed = None if self.checkpoints is None else self.checkpoints.ahead()
        first, left = (None, self.wanted * self.n_batches) if resumed is None else resumed
        for at, member in enumerate(self.members.members):
            step = None if first is None else int(first[at])
            try:
                _core.check_dropout(member.network._net, int(left[at]), step)
            except ValueError as error:
                raise ValueError(f"networks[{at}]: {error}") from error

    def _bind(self) -> None:
        """Make the state of optimizers in use, which a callback may have reset."""
        for at in np.flatnonzero(self.active).tolist():
            member = self.members.members[at]
            state = member.optimizer._state
            with state.lock:
                try:
                    member.optimizer._bind(member.network._net.key)
                except ValueError as error:
                    raise ValueError(f"optimizers[{at}]: {error}") from error

    @property
    def _decides(self) -> bool:
        """Whether anything is decided or kept after an epoch."""
        return bool(
            self.members.has_validation
            or self.callbacks
            or self.progress
            or self.checkpoints is not None
        )

    def _loop(self, run: _core.ManyFit, max_ns: int) -> None:
        """Train, epoch by epoch where anything is decided after one."""
        decides, checkpoints = self._decides, self.checkpoints
        longest = int(self.wanted.max())
        with make_progress(self.progress, longest, int(self.n_batches.sum())) as bar:
            while self.active.any():
                ahead = self.epoch + (1 if decides else _EPOCHS_OF_A_ROUND)
                goal = np.minimum(self.wanted, ahead)
                self.history._make_room(int(goal.max()))
                self._train(run, goal, max_ns, bar)
                if decides:
                    self._end_epoch(run, bar)
                self.epoch = ahead
                done = self.active & (self.wanted <= self.epoch)
                self._retire(done, "done")
                if checkpoints is not None and checkpoints.is_due(self.epoch):
                    checkpoints.write(run)
        if checkpoints is not None:
            checkpoints.finish(run)
        self._restore_best()

    def _train(self, run: _core.ManyFit, goal: Array, max_ns: int, bar: Any) -> None:
        """Train the active members until each has ended so many epochs."""
        table, checkpoints = run.table, self.checkpoints
        while True:
            left = np.where(self.active, np.maximum(goal - table["epoch"], 0), 0)
            if not left.any():
                return
            table["epochs"] = left
            self._point_to_costs(table)
            self._rates.prepare(table, left, self.n_batches)
            limit = max_ns
            if checkpoints is not None:
                limit = int(min(max_ns, 1e9 * checkpoints.seconds_left()))
            before = table["epoch"].copy(), table["batch"].copy()
            try:
                run.run(limit)
            finally:
                diverged = self._retire_diverged(run)
            self._note(table, left > 0, *before)
            if len(diverged) and self.on_divergence == "raise":
                self._fail(int(diverged[0]), table)
            steps = int((table["epoch"] * self.n_batches + table["batch"]).sum())
            bar.update(steps, _mean(table["cost"][self.active]))
            if checkpoints is not None and checkpoints.is_time():
                checkpoints.write(run)

    def _point_to_costs(self, table: Array) -> None:
        """Let the core write each member's costs where the history has them."""
        cost = self.history._cost
        at = np.arange(self.members.n) * cost.shape[1] + table["epoch"]
        table["costs"] = cost.__array_interface__["data"][0] + cost.itemsize * at

    def _note(self, table: Array, ran: Array, epoch: Array, batch: Array) -> None:
        """Note what a call has done: epochs that ended, and how long they took."""
        batches = table["batches"]
        each = np.where(ran, table["ns"] / 1e9 / np.maximum(batches, 1), 0.0)
        ended = table["epoch"] - epoch
        self.carried += np.where(ran & (ended == 0), batches * each, 0.0)
        first = np.flatnonzero(ran & (ended > 0))
        seconds = self.history._seconds
        left = self.n_batches[first] - batch[first]
        seconds[first, epoch[first]] = self.carried[first] + left * each[first]
        for at in first[ended[first] > 1]:
            seconds[at, epoch[at] + 1 : table["epoch"][at]] = self.n_batches[at] * each[at]
        self.carried[first] = table["batch"][first] * each[first]
        self.history.epochs[:] = table["epoch"]

    # ---- members that end ----

    def _retire(self, which: Array, status: str) -> None:
        self.active &= ~which
        self.history.status[which] = status

    def _retire_diverged(self, run: _core.ManyFit) -> Array:
        """End the fit of members whose cost is not finite, and return which these are.

        The core has restored their parameters.
        """
        table = run.table
        bad = np.flatnonzero(self.active & (table["status"] == NOT_FINITE) & (table["epochs"] > 0))
        for at in bad:
            optimizer = self.members.members[at].optimizer
            with optimizer._state.lock:
                optimizer._reset()
        diverged = np.zeros(self.members.n, np.bool_)
        diverged[bad] = True
        self._retire(diverged, "diverged")
        return bad

    def _fail(self, at: int, table: Array) -> None:
        member = self.members.members[at]
        data, index = member.rows.data, member.rows.index
        if index is not None:
            data = data.select(index)
        why = advise(data, member.network._net.dtype, index)
        number = at if self._numbers is None else self._numbers[at]
        raise FloatingPointError(
            f"networks[{number}]: the cost is not finite in epoch {table['epoch'][at]}, batch "
            f"{table['batch'][at]} (counted from 0); its parameters are as after its last finite "
            f"epoch, and its optimizer starts afresh. {why}"
        )

    def _restore_best(self) -> None:
        """Give members the parameters of their best epochs, if these are kept."""
        for at, best in enumerate(self.best):
            if best is not None and self.history.status[at] != "diverged":
                self.members.members[at].network._net.set_trained(best)

    # ---- the end of an epoch ----

    def _end_epoch(self, run: _core.ManyFit, bar: Any) -> None:
        """Validate, keep the best parameters and call back; retire members."""
        history, epoch = self.history, self.epoch
        ended = self.active & (run.table["epoch"] == epoch + 1)
        val_cost = self._validate(ended) if self.members.has_validation else None
        if val_cost is not None and self.patience is not None:
            waited = epoch - history.best_epoch
            out = ended & (waited >= self.patience)
            self._retire(out & (self.wanted > epoch + 1), "stopped")
        lowest = None if val_cost is None else _mean(val_cost[ended])
        bar.end_epoch(epoch, _mean(history._cost[ended, epoch]), lowest)
        if not self.callbacks:
            return
        figures = EpochsEnd(
            epoch,
            history._cost[:, epoch].copy(),
            val_cost,
            history._seconds[:, epoch].copy(),
            self.active & (self.wanted > epoch + 1),
            self.shown if self.shown is not None else tuple(self.members.networks),
            tuple(self.members.optimizers),
        )
        for callback in self.callbacks:
            self._obey(callback(figures))
        self._bind()
        self._rates.forget()

    def _obey(self, answer: Any) -> None:
        """Retire the members for which a callback asks to end."""
        later = self.active & (self.wanted > self.epoch + 1)
        if answer is None:
            return
        if isinstance(answer, (bool, np.bool_)):
            self._retire(later & answer, "stopped")
            return
        wanted = f"a callback must return None, a bool, or a boolean array, ({self.members.n},)"
        if not isinstance(answer, np.ndarray):
            raise TypeError(f"{wanted}, got {answer!r}")
        if answer.dtype != np.bool_ or answer.shape != (self.members.n,):
            raise ValueError(f"{wanted}, got {answer.dtype} of shape {answer.shape}")
        self._retire(later & answer, "stopped")

    def _validate(self, ended: Array) -> Array:
        """Return the validation costs of some members, and keep the best."""
        history, epoch = self.history, self.epoch
        found = np.full(self.members.n, np.nan)
        numbers = np.flatnonzero(ended).tolist()
        chosen = [self.members.members[at] for at in numbers]
        found[ended] = _core.costs(
            [each.network._net for each in chosen],
            [each.held_out for each in chosen if each.held_out is not None],
            numbers,
        )
        assert history._val_cost is not None
        history._val_cost[ended, epoch] = found[ended]
        better = found < self.best_cost
        self.best_cost[better] = found[better]
        history.best_epoch[better] = epoch
        if self.patience is not None:
            for at in np.flatnonzero(better):
                self.best[at] = self.members.networks[at]._net.trained()
        return found


class _Rates:
    """The rates of the coming batches of members whose rates are not constant."""

    def __init__(self, members: Members) -> None:
        self._nets = [each._net for each in members.networks]
        self._optimizers = members.optimizers
        self.forget()

    def forget(self) -> None:
        """Compute everything anew, since a callback may have changed schedules or steps."""
        both = enumerate(zip(self._nets, self._optimizers, strict=True))
        self._changing = [
            at for at, (net, o) in both if o._state.schedules or net.dropout_factors is not None
        ]
        self._known: dict[int, tuple[int, Array]] = {}
        self._limit = max(_STEPS_OF_A_MEMBER, _STEPS_KEPT // max(len(self._changing), 1))

    def prepare(self, table: Array, left: Array, n_batches: Array) -> None:
        """Point to the rates of the coming batches, at least one for each member with any left."""
        if not self._changing:
            table["rates"] = 0
            return
        table["rates"] = 0
        for at in self._changing:
            if not left[at]:
                continue
            optimizer = self._optimizers[at]
            step = optimizer.steps
            first, rates = self._known.get(at, (step, np.empty(0)))
            if step - first >= len(rates):
                steps_left = int(left[at] * n_batches[at] - table["batch"][at])
                count = min(steps_left, self._limit)
                coming = optimizer._coming_rates(self._nets[at], count)
                assert coming is not None  # since a schedule makes it one of these
                first, rates = self._known[at] = step, coming
            used = step - first
            table["rates"][at] = rates.__array_interface__["data"][0] + rates.strides[0] * used
            table["n_rates"][at] = len(rates) - used
            table["has_one_decay"][at] = "weight_decay" not in optimizer._state.schedules


def _mean(values: Array) -> float:
    """Return the mean of the finite values, or NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _some_validation(given: Mapping[str, Any]) -> Any:
    """Return the validation data, whichever argument gives them."""
    both = given["validation"], given["validation_rows"]
    return both[0] if both[1] is None else both[1]


def fit_many(networks: Any, given: Mapping[str, Any]) -> ManyHistory:
    """Check the arguments of `pybackprop.fit_many`, given by name, and train."""
    trainer = ManyTrainer(networks, given)
    path, every, resume = (given[name] for name in ("checkpoint", "checkpoint_every", "resume"))
    if path is not None or every != 1 or resume is not None:
        trainer.keep(path, every, resume)
    return trainer.run(given["_slice_ns"])
