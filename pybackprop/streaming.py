"""The loop of `Network.fit_stream`: training on batches that come one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from .inputs import as_count
from .optimizers import Optimizer, as_optimizer
from .results import EpochEnd, History
from .training import Callback, as_callbacks

if TYPE_CHECKING:
    from .network import Network


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


def fit_stream(
    network: Network,
    batches: Any,
    optimizer: Any,
    epochs: Any,
    steps: Any,
    validation: Any,
    callbacks: Any,
) -> History:
    """Check the arguments of `Network.fit_stream`, and train."""
    epochs = as_count(epochs, "epochs", low=1)
    steps = None if steps is None else as_count(steps, "steps", low=1)
    calls = as_callbacks(callbacks)
    optimizer = as_optimizer(optimizer)
    held_out = None
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation must be a pair (X, y), got {type(validation).__name__}")
        held_out = network._data(validation[0], validation[1], where="validation: ")
    source = _Source(batches, epochs, steps)
    history = History()
    for epoch in range(epochs):
        if not _run_epoch(network, source, optimizer, epoch, history):
            if epoch == 0:
                raise ValueError("batches must hold at least one batch")
            break
        if _end_epoch(network, optimizer, history, held_out, calls):
            history.stopped_early = epoch + 1 < epochs
            break
    return history


def _run_epoch(
    network: Network, source: _Source, optimizer: Optimizer, epoch: int, history: History
) -> bool:
    """Do an update for each batch; return whether there was one."""
    begin = time.perf_counter()
    total, weight = 0.0, 0.0
    for number, batch in enumerate(source.epoch()):
        where = f"epoch {epoch}, batch {number}"
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise TypeError(
                f"{where}: batches must be pairs (X, y) or triples (X, y, sample_weight), "
                f"got {type(batch).__name__}"
            )
        try:
            cost = network.step(batch[0], batch[1], optimizer, *batch[2:])
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from error
        if not math.isfinite(cost):
            raise FloatingPointError(
                f"the cost is not finite in {where} (counted from 0); the network is as before "
                "that batch. A lower learning rate, clip_norm or scaled inputs may help"
            )
        # A batch counts by its sum of weights, as in `fit`.
        weighted = len(batch) == 3 and batch[2] is not None
        of_batch = float(np.sum(batch[2])) if weighted else float(len(batch[0]))
        total += of_batch * cost
        weight += of_batch
    if weight:
        history.cost.append(total / weight)
        history.seconds.append(time.perf_counter() - begin)
    return weight > 0


def _end_epoch(
    network: Network,
    optimizer: Optimizer,
    history: History,
    held_out: _core.Data | None,
    callbacks: tuple[Callback, ...],
) -> bool:
    """Validate and call back; return whether to stop."""
    epoch = len(history) - 1
    val_cost = None
    if held_out is not None:
        val_cost = network._net.cost(held_out)
        history.val_cost.append(val_cost)
        best = history.best_epoch
        if val_cost == val_cost and (best is None or val_cost < history.val_cost[best]):
            history.best_epoch = epoch
    rate = float(optimizer._state.get("lr"))
    figures = EpochEnd(epoch, history.cost[-1], val_cost, history.seconds[-1], rate, network)
    stop = False
    for callback in callbacks:
        stop = callback(figures) is True or stop
    return stop
