"""The loop of `Network.fit_stream`: training on batches that come one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..inputs import as_count, as_reals
from ..nonfinite import advise
from ..optimizers import Optimizer, as_optimizer
from .history import EpochEnd, History
from .loop import Callback, as_callbacks

if TYPE_CHECKING:
    from ..model import Model
    from .checkpoints import Checkpoints, Position


class _Source:
    """Gives the batches of one epoch after the other."""

    def __init__(self, batches: Any, epochs: int, steps: int | None) -> None:
        self.steps = steps
        self.make: Callable[[], Iterable[Any]] | None = None
        self.running: Iterator[Any] | None = None
        if callable(batches):
            self.make = batches
        elif not isinstance(batches, Iterable):
            raise TypeError(
                f"batches must be an iterable of (X, y), or a function that returns one, "
                f"got {type(batches).__name__}"
            )
        elif isinstance(batches, Iterator):
            if epochs > 1 and steps is None:
                raise ValueError(
                    f"batches must be iterable anew for each of {epochs} epochs, such as a list "
                    "or a generator function, not an iterator; or give steps"
                )
            self.running = batches
        else:
            self.make = batches.__iter__

    def epoch(self) -> Iterator[Any]:
        """Return the batches of the next epoch."""
        if self.running is None and self.make is not None:
            self.running = iter(self.make())
        running: Iterator[Any] = iter(()) if self.running is None else self.running
        if self.steps is None:
            self.running = None
            return running
        return islice(running, self.steps)


class _Run:
    """One call of `Network.fit_stream`."""

    def __init__(
        self,
        network: Model,
        optimizer: Optimizer,
        source: _Source,
        held_out: _core.Data | None,
        callbacks: tuple[Callback, ...],
    ) -> None:
        self.network, self.optimizer, self.source = network, optimizer, source
        self.held_out, self.callbacks = held_out, callbacks
        self.checkpoints: Checkpoints | None = None
        self.checksum: Callable[[Any, int], int] | None = None
        self.history = History()
        self.epoch = self.batch = self.steps = 0
        self.cost = self.weight = self.seconds = 0.0  # of the current epoch
        self.digest = 0  # of all batches so far
        self.drawn: Iterator[Any] | None = None  # the rest of an epoch to go on with
        self.stop = False

    def train(self, epochs: int) -> History:
        """Train, and return the figures."""
        while self.epoch < epochs and not self.stop and self._run_epoch():
            self.epoch += 1
            self.batch = 0
            self.cost = self.weight = self.seconds = 0.0
            self.stop = self._end_epoch()
            self._keep()
        if not self.epoch:
            raise ValueError("batches must hold at least one batch")
        self.history.stopped_early = self.stop and self.epoch < epochs
        if self.checkpoints is not None:
            self.checkpoints.finish(self._position())
        return self.history

    def _run_epoch(self) -> bool:
        """Do an update for each batch; return whether there was one."""
        before, begin = self.seconds, time.perf_counter()
        drawn = self.source.epoch() if self.drawn is None else self.drawn
        self.drawn = None
        in_the_middle = False
        for batch in drawn:
            # After the last batch, the end of the epoch is kept instead.
            if in_the_middle:
                self._keep()
            self._step(batch)
            self.seconds = before + time.perf_counter() - begin
            in_the_middle = True
        if self.weight:
            self.history.cost.append(self.cost / self.weight)
            self.history.seconds.append(before + time.perf_counter() - begin)
        return self.weight > 0

    def _step(self, batch: Any) -> None:
        """Do an update."""
        where = f"epoch {self.epoch}, batch {self.batch}"
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise TypeError(
                f"{where}: batches must be pairs (X, y) or triples (X, y, sample_weight), "
                f"got {type(batch).__name__}"
            )
        try:
            cost = self.network.step(batch[0], batch[1], self.optimizer, *batch[2:])
        except (TypeError, ValueError) as error:
            if type(error) not in (TypeError, ValueError):
                raise  # from a loss function, say: it may take more than a text to make
            raise type(error)(f"{where}: {error}") from error
        if not math.isfinite(cost):
            why = advise(self.network._data(*batch), self.network._net.dtype)
            raise FloatingPointError(
                f"the cost is not finite in {where} (counted from 0); the network is as before "
                f"that batch. {why}"
            )
        # A batch is weighted by its sum of weights, as in `fit`.
        weighted = len(batch) == 3 and batch[2] is not None
        of_batch = float(np.sum(batch[2])) if weighted else float(len(batch[0]))
        self.cost += of_batch * cost
        self.weight += of_batch
        self._count(batch)

    def _count(self, batch: Any) -> None:
        self.batch += 1
        self.steps += 1
        if self.checksum is not None:
            for array in (each for each in batch if each is not None):
                self.digest = self.checksum(as_reals(array, "batches"), self.digest)

    def _end_epoch(self) -> bool:
        """Validate and call back; return whether to stop."""
        history = self.history
        epoch = len(history) - 1
        val_cost = None
        if self.held_out is not None:
            val_cost = self.network._net.cost(self.held_out)
            history.val_cost.append(val_cost)
            best = history.best_epoch
            if val_cost == val_cost and (best is None or val_cost < history.val_cost[best]):
                history.best_epoch = epoch
        schedule = self.optimizer._state.schedules.get("lr")
        last = max(self.optimizer.steps - 1, 0)  # the source of batches may have reset it
        rate = schedule(last) if schedule else self.optimizer._rate()
        figures = EpochEnd(
            epoch,
            history.cost[-1],
            val_cost,
            history.seconds[-1],
            rate,
            self.network,
            self.optimizer,
        )
        stop = False
        for callback in self.callbacks:
            stop = callback(figures) is True or stop
        return stop

    # ---- checkpoints ----

    def _position(self) -> Position:
        """Return where the run stands."""
        from .checkpoints import Position

        running = self.cost, self.weight, self.seconds
        more = {"steps": self.steps, "digest": self.digest}
        return Position(self.epoch, self.batch, running, self.history, more=more)

    def _keep(self) -> None:
        """Write a checkpoint if one is due."""
        if self.checkpoints is None:
            return
        if self.checkpoints.is_due(self.epoch, self.batch, self.steps):
            self.checkpoints.write(self._position())

    def go_on(self, position: Position) -> None:
        """Take over the position of an earlier run, and skip the batches that it had."""
        for _ in range(position.epoch):
            for batch in self.source.epoch():
                self._count(batch)
        self.drawn = self.source.epoch()
        for batch in islice(self.drawn, position.batch):
            self._count(batch)
        if position.more != {"steps": self.steps, "digest": self.digest}:
            raise ValueError(
                f"batches: the first {position.more.get('steps')} are not those that the "
                "checkpoint has been trained on"
            )
        self.epoch, self.batch = position.epoch, position.batch
        self.cost, self.weight, self.seconds = position.running
        self.history = position.history


def fit_stream(network: Model, given: Mapping[str, Any]) -> History:
    """Check the arguments of `Network.fit_stream`, given by name, and train."""
    epochs = as_count(given["epochs"], "epochs", low=1)
    steps = None if given["steps"] is None else as_count(given["steps"], "steps", low=1)
    calls = as_callbacks(given["callbacks"])
    optimizer = as_optimizer(given["optimizer"])
    held_out = None
    validation = given["validation"]
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation must be a pair (X, y), got {type(validation).__name__}")
        held_out = network._data(validation[0], validation[1], where="validation: ")
    source = _Source(given["batches"], epochs, steps)
    run = _Run(network, optimizer, source, held_out, calls)
    path, every, resume = (given[name] for name in ("checkpoint", "checkpoint_every", "resume"))
    if path is not None or every != 1 or resume is not None:
        from .checkpoints import Checkpoints, check_epochs, checksum, describe_data

        about = {"kind": "fit_stream", "steps": steps, "validation": describe_data(held_out)}
        checkpoints = Checkpoints(network, optimizer, path, every, resume, about)
        run.checkpoints, run.checksum = checkpoints, checksum
        position = checkpoints.read()
        if position is not None:
            check_epochs(position, epochs)
            run.go_on(position)
            checkpoints.apply()
    return run.train(epochs)
