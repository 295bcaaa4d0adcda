"""The loop of `Network.fit` around the slices that the C core trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import NOT_FINITE, Array
from ..inputs import as_count, as_flag, as_inputs, as_real, as_targets, as_weights
from ..nonfinite import TRAINING, advise
from ..optimizers import as_optimizer
from .history import EpochEnd, History
from .progress import make_progress
from .windows import Feed, Rows, check_windows

if TYPE_CHECKING:
    from ..model import Model
    from .checkpoints import Checkpoints, Position

Callback = Callable[[EpochEnd], Any]

# How long one call into the core may take, so that signals and progress are handled promptly.
_SLICE_NS = 50_000_000

# At most this many steps get their rates one by one, so that a slice ends where wanted.
_STEPS_OF_A_SLICE = 4096

# The key of the permutation that sets rows aside for validation, which no epoch reaches.
_SPLIT_KEY = 2**62 - 1

# Causes that can make a cost infinite; other findings may exist but are not to blame.
_DIVERGING = frozenset(
    {
        "inputs_scale",
        "inputs_offset",
        "targets_scale",
        "targets_offset",
        "step_too_large",
        "step_oscillates",
        "penalty_dominates",
        "exploding",
    }
)

# Parameters of a network beyond which an examination takes too much memory for a message.
_EXAMINED = 10_000_000


class Split:
    """Training data and, if asked for, validation data, ready for the core."""

    def __init__(self, network: Model, x: Any, y: Any, sample_weight: Any, validation: Any) -> None:
        net = network._net
        self.held_out: _core.Data | None = None
        self.train: Array | None = None  # row numbers used for training; None for all rows
        self.source: Rows | None = None  # where rows are read during the fit
        if isinstance(x, Rows):
            check_windows(x, y, sample_weight, validation, net.n_in)
            self.source, self.rows = x, x.n_rows
            if validation is not None:
                self.held_out = network._data(validation[0], validation[1], where="validation: ")
            return
        if y is None:
            raise TypeError("y must be given, unless X is a pybackprop.datasets.Windows")
        inputs = as_inputs(x, net.n_in, net.dtype)
        rows = len(inputs)
        targets = as_targets(y, rows, net.n_out, network.loss, net.dtype)
        weights = as_weights(sample_weight, rows)
        if validation is None:
            pass
        elif isinstance(validation, (tuple, list)):
            if len(validation) != 2:
                raise ValueError(
                    f"validation must be a fraction or a pair (X, y), got {len(validation)} items"
                )
            self.held_out = network._data(validation[0], validation[1], where="validation: ")
        else:
            train, test = divide(validation, rows, network.seed)
            self.train = train
            part = None if weights is None else weights[test]
            if weights is not None and not (weights[test].any() and weights[train].any()):
                raise ValueError("sample_weight must be above 0 in the training and held-out rows")
            self.held_out = _core.Data(inputs[test], targets[test], part)
            inputs, targets = inputs[train], targets[train]
            weights = None if weights is None else weights[train]
        self.training = _core.Data(inputs, targets, weights)
        self.rows = self.training.rows

    def describe(self) -> dict[str, Any]:
        """Return what distinguishes the data from others."""
        from .checkpoints import describe_data

        data = describe_data(self.training) if self.source is None else self.source.describe()
        return {"data": data, "validation": describe_data(self.held_out)}


def divide(fraction: Any, rows: int, seed: int) -> tuple[Array, Array]:
    """Return the row numbers to train on and, the last part of a permutation, to hold out."""
    part = as_real(fraction, "validation", 0.0, 1.0)
    count = round(part * rows)
    if not 0 < count < rows:
        raise ValueError(
            f"validation must leave rows to train on and to hold out, "
            f"got {fraction!r} of {rows} rows"
        )
    order = _core.random_permutation(seed, _SPLIT_KEY, rows)
    return order[: rows - count], order[rows - count :]


class _Clock:
    """Shares the time of a slice among the epochs that it worked on."""

    def __init__(self, n_batches: int) -> None:
        self.n_batches = n_batches
        self.position = 0  # batches done in all
        self.carried = 0.0  # seconds already spent in the current epoch

    def split(self, seconds: float, epoch: int, batch: int) -> list[float]:
        """Return the duration of every epoch that ended in a slice which ended here."""
        position = epoch * self.n_batches + batch
        each = seconds / max(position - self.position, 1)
        ended: list[float] = []
        while self.position // self.n_batches < epoch:
            left = self.n_batches - self.position % self.n_batches
            ended.append(self.carried + left * each)
            self.carried = 0.0
            self.position += left
        self.carried += (position - self.position) * each
        self.position = position
        return ended


class Trainer:
    """One call of `Network.fit`."""

    def __init__(self, network: Model, given: Mapping[str, Any]) -> None:
        self.checkpoints: Checkpoints | None = None
        self.position: Position | None = None  # where to go on from
        self.network = network
        self.explains = True  # whether a cost that is not finite is examined
        self.more_of_run: dict[str, Any] = {}  # that a checkpoint of it must have in common
        self.epochs = as_count(given["epochs"], "epochs", low=1)
        self.batch_size = as_count(given["batch_size"], "batch_size", low=1)
        self.patience = as_patience(given["patience"], given["validation"])
        self.callbacks = as_callbacks(given["callbacks"])
        self.progress = as_flag(given["progress"], "progress")
        self.shuffle = as_flag(given["shuffle"], "shuffle")
        self.optimizer = as_optimizer(given["optimizer"])
        data = (given[name] for name in ("X", "y", "sample_weight", "validation"))
        self.split = Split(network, *data)
        rows = self.split.rows
        if self.shuffle and rows >= 2**32 and self.split.source is None:
            raise ValueError(
                f"X must have fewer than 2^32 rows to be shuffled, got {rows}; pass shuffle=False"
            )
        self.batch_size = min(self.batch_size, rows)
        self.n_batches = -(-rows // self.batch_size)
        self.feed: Feed | None = None
        if self.split.source is not None:
            self.feed = Feed(network, self.split.source, self.batch_size, self.shuffle, self.epochs)
            self.split.training = self.feed.data
        self.history = History()
        self.best: Array | None = None
        self.clock = _Clock(self.n_batches)
        self._ended = 0  # epochs that the last slice ended
        self._stop = False  # whether patience or a callback asked to end the fit
        self._rates: Array | None = None
        self._rates_of: tuple[Any, int] = (None, 0)  # schedules, and the optimizer's first step
        self._rates_begin = 0
        self._last_rate = 0.0  # of the last step

    def keep(self, path: Any, every: Any, resume: Any) -> None:
        """Check the arguments that concern checkpoints, and read the one to go on from."""
        from .checkpoints import Checkpoints, check_epochs

        run = {
            "kind": "fit",
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "patience": self.patience,
            **self.split.describe(),
            **self.more_of_run,
        }
        checkpoints = Checkpoints(self.network, self.optimizer, path, every, resume, run)
        position = checkpoints.read()
        if position is not None:
            if position.batch >= self.n_batches or (position.batch and position.start is None):
                raise ValueError(
                    f"{checkpoints.source!r} is not a valid checkpoint: there is no such batch"
                )
            check_epochs(position, self.epochs)
        self.checkpoints, self.position = checkpoints, position

    def run(self, max_ns: int | None = None) -> History:
        """Train, and return the figures."""
        max_ns = _SLICE_NS if max_ns is None else max_ns
        net, state = self.network._net, self.optimizer._state
        fit = self._make_fit()
        try:
            fit.hold()
            state.hold(fit)
            self._check_dropout()
            self._go_on(fit)
            self._loop(fit, max_ns)
        finally:
            # In place, since a signal could end a call before it has done anything.
            if net.fit is fit:
                net.fit = None
            if state.fit is fit:
                state.fit = None
            if self.feed is not None:
                self.feed.close()
        return self.history

    def _check_dropout(self) -> None:
        """Refuse a schedule that leaves what is allowed at some step of this fit."""
        total, first, position = self.epochs * self.n_batches, None, self.position
        if position is not None and self.checkpoints is not None:
            total -= position.epoch * self.n_batches + position.batch
            if self._is_out_of_patience(position.history):
                total = 0  # it takes no more steps
            first = self.checkpoints.reached()
        _core.check_dropout(self.network._net, total, first)

    def _make_fit(self) -> _core.Fit:
        """Return the run of the core."""
        net, data = self.network._net, self.split.training
        if self.feed is None:
            return _core.Fit(net, data, self.batch_size, self.shuffle)
        fit = _core.Fit(net, data, self.batch_size, False)
        fit.set_window(data, 0, self.split.rows)
        return fit

    def _stops_each_epoch(self) -> bool:
        """Whether there is something to do after every epoch."""
        return bool(
            self.feed is not None
            or self.split.held_out is not None
            or self.callbacks
            or self.patience
            or self.progress
            or self.checkpoints is not None
        )

    def _loop(self, fit: _core.Fit, max_ns: int) -> None:
        """Train slice by slice."""
        history = self.history
        each = self._stops_each_epoch()
        with make_progress(self.progress, self.epochs, self.n_batches) as bar:
            while len(history) < self.epochs and not self._stop:
                count = 1 if each else self.epochs - len(history)
                self._run_slice(fit, np.empty(count), max_ns)
                bar.update(self._steps(fit), fit.partial_cost)
                if each and self._ended:
                    self._stop = self._end_epoch(bar)
                self._write_if_due(fit)
        history.stopped_early = self._stop and len(history) < self.epochs
        self._write_last(fit)
        if self.best is not None:
            self.network._net.set_trained(self.best)

    def _write_if_due(self, fit: _core.Fit) -> None:
        """Write a checkpoint after a slice, if it is time."""
        checkpoints = self.checkpoints
        if checkpoints is not None and checkpoints.is_due(fit.epoch, fit.batch, self._steps(fit)):
            checkpoints.write(self._position(fit))

    def _write_last(self, fit: _core.Fit) -> None:
        """Write the checkpoint of the end."""
        if self.checkpoints is not None:
            self.checkpoints.finish(self._position(fit))

    def _run_slice(self, fit: _core.Fit, costs: Array, max_ns: int) -> None:
        """Train for one slice; where a window ends, wait for the next one first."""
        begin = time.perf_counter()
        if self.feed is not None:
            self.feed.give(fit)
            self.split.training = self.feed.data
        self._run_core(fit, costs, max_ns, begin)

    def _run_core(self, fit: _core.Fit, costs: Array, max_ns: int, begin: float) -> None:
        """Call the core and note the figures of the epochs that it ended."""
        optimizer = self.optimizer
        # Do not use `alone`: it would refuse the fit while another thread is being refused.
        with optimizer._state.lock:
            rates = self._prepare_optimizer(fit)
            constant = optimizer._constant_rates(1)
        if self.checkpoints is not None:
            max_ns = int(min(max_ns, 1e9 * self.checkpoints.seconds_left()))
            rates = self._until_due(fit, rates, constant)
        done = self._steps(fit)
        status, completed = fit.run(optimizer._state, rates, costs, max_ns)
        seconds = time.perf_counter() - begin
        self._ended = completed
        self.history.cost += costs[:completed].tolist()
        self.history.seconds += self.clock.split(seconds, fit.epoch, fit.batch)
        if status == NOT_FINITE:
            self._fail(fit)
        # Noted now, since a loss or another thread may reset the optimizer from here on.
        used = constant if rates is None else rates[: self._steps(fit) - done]
        self._last_rate = float(used[-1, 0])

    def _fail(self, fit: _core.Fit) -> None:
        """Report a cost that is not finite; the core has restored the parameters."""
        with self.optimizer._state.lock:
            self.optimizer._reset()
        rows = self.split.train if self.feed is None else self.feed.numbers()
        why = advise(self.split.training, self.network._net.dtype, rows)
        if why == TRAINING and self.explains:
            why = self._explain() + why
        raise FloatingPointError(
            f"the cost is not finite in epoch {fit.epoch}, batch {fit.batch} (counted "
            f"from 0, of {self.epochs} epochs of {self.n_batches} batches); the parameters are "
            f"as after the last finite epoch, and the optimizer starts afresh. {why}"
        )

    def _explain(self) -> str:
        """Return what an examination finds, as the beginning of a message."""
        from ..doctor import first_cause

        found = None
        if self.network.n_parameters > _EXAMINED:
            return ""
        # If something goes wrong here, in a user's loss or for lack of memory, it must not hide
        # what has to be reported.
        with suppress(Exception):
            x, y = self.split.training.arrays[:2]
            assert y is not None
            found = first_cause(self.network, x, y, self.optimizer, _DIVERGING)
        if found is None:
            return ""
        advice = f"Try `{found.advice[0]}`. " if found.advice else ""
        return f"A likely cause ({found.cause}): {found.text}. {advice}"

    def _prepare_optimizer(self, fit: _core.Fit) -> Array | None:
        """Bind the optimizer, which a callback may have reset, and return the coming rates."""
        self.optimizer._bind(self.network._net.key)
        return self._coming_rates(self._steps(fit))

    def _coming_rates(self, done: int) -> Array | None:
        """Return the rates of the coming batches, after so many; None where they are constant."""
        optimizer, used = self.optimizer, done - self._rates_begin
        # A callback may have given it another schedule or number, or the state of another step.
        source = optimizer._state.schedules, optimizer.steps - done
        known = self._rates_of[0] is source[0] and self._rates_of[1] == source[1]
        if self._rates is None or not known or not 0 <= used < len(self._rates):
            left = self.epochs * self.n_batches - done
            self._rates = optimizer._coming_rates(self.network._net, left)
            self._rates_of, self._rates_begin, used = source, done, 0
        return None if self._rates is None else self._rates[used:]

    def _steps(self, fit: _core.Fit) -> int:
        """Return how many batches have been trained in all."""
        return int(fit.epoch * self.n_batches + fit.batch)

    def _until_due(self, fit: _core.Fit, rates: Array | None, constant: Array) -> Array | None:
        """Return the rates of no more batches than there are until a checkpoint is due."""
        assert self.checkpoints is not None
        steps = self.checkpoints.steps_left(self._steps(fit))
        return rates if steps is None else self._first_rates(steps, rates, constant)

    def _first_rates(self, steps: int, rates: Array | None, constant: Array) -> Array:
        """Return the rates of no more batches than that."""
        steps = min(steps, _STEPS_OF_A_SLICE)
        return constant.repeat(steps, axis=0) if rates is None else rates[:steps]

    def _position(self, fit: _core.Fit) -> Position:
        """Return where the run stands."""
        from .checkpoints import Position

        running = fit.batch > 0
        return Position(
            fit.epoch,
            fit.batch,
            (*fit.sums, self.clock.carried) if running else (0.0, 0.0, 0.0),
            self.history,
            fit.start() if running else None,
            self.best,
        )

    def _go_on(self, fit: _core.Fit) -> None:
        """Take over the position of an earlier run, if there is one."""
        position = self.position
        if position is None or self.checkpoints is None:
            return
        self.checkpoints.apply()
        cost_sum, cost_weight, seconds = position.running
        fit.resume(position.epoch, position.batch, (cost_sum, cost_weight), position.start)
        self.history, self.best = position.history, position.best
        self._stop = self._is_out_of_patience(self.history)
        self.clock.position, self.clock.carried = self._steps(fit), seconds

    def _is_out_of_patience(self, history: History) -> bool:
        """Return whether the validation cost was lowest long enough ago to stop."""
        best = -1 if history.best_epoch is None else history.best_epoch
        return self.patience is not None and len(history) - 1 - best >= self.patience

    def _end_epoch(self, bar: Any) -> bool:
        """Validate, keep the best parameters and call back; return whether to stop."""
        history = self.history
        epoch = len(history) - 1
        val_cost = None
        stop = False
        if self.split.held_out is not None:
            val_cost = self.network._net.cost(self.split.held_out)
            history.val_cost.append(val_cost)
            best = history.best_epoch
            if val_cost == val_cost and (best is None or val_cost < history.val_cost[best]):
                history.best_epoch = epoch
                if self.patience is not None:
                    self.best = self.network._net.trained()
            stop = self._is_out_of_patience(history)
        bar.end_epoch(epoch, history.cost[-1], val_cost)
        figures = EpochEnd(
            epoch,
            history.cost[-1],
            val_cost,
            history.seconds[-1],
            self._last_rate,
            self.network,
            self.optimizer,
        )
        for callback in self.callbacks:
            answer = callback(figures)
            stop = (isinstance(answer, (bool, np.bool_)) and bool(answer)) or stop
        return stop


def as_callbacks(value: Any) -> tuple[Callback, ...]:
    """Return callbacks as a tuple; a single function is one."""
    callbacks = (value,) if callable(value) else tuple(value) if isinstance(value, Iterable) else ()
    if not callable(value) and not isinstance(value, Iterable):
        raise TypeError(f"callbacks must be functions, got {value!r}")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be functions, got {callback!r}")
    return callbacks


def as_patience(value: Any, validation: Any) -> int | None:
    """Return the number of epochs to wait for a better validation cost, or None."""
    if value is None:
        return None
    if validation is None:
        raise ValueError("patience needs validation data: pass validation=(Xv, yv) or a fraction")
    return as_count(value, "patience", low=1)


def fit(network: Model, given: Mapping[str, Any]) -> History:
    """Check the arguments of `Network.fit`, given by name, and train."""
    return go(Trainer(network, given), given)


def go(trainer: Trainer, given: Mapping[str, Any]) -> History:
    """Train, with checkpoints if they are asked for."""
    path, every, resume = (given[name] for name in ("checkpoint", "checkpoint_every", "resume"))
    if path is not None or every != 1 or resume is not None:
        trainer.keep(path, every, resume)
    return trainer.run(given["_slice_ns"])
