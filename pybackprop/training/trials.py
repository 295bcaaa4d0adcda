"""Trials: advice followed on copies of a network, and what a short training makes of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from ..doctor import Finding, as_matrix, constant_loss, evenly, mean_loss
from ..inputs import as_inputs, as_targets
from ..losses import smoothed
from ..optimizers import RULES, Adam, Optimizer
from .loop import Trainer

if TYPE_CHECKING:
    from ..model import Model

# Examples that a trial trains on at most.
_ROWS = 1024


@dataclass(frozen=True)
class Trial:
    """A change, and what training makes of it.

    Attributes
    ----------
    cause : str or None
        Cause of the finding that proposes the change; None for training without one.
    line : str
        The change, a line of Python; empty without one.
    before, after : float
        Cost before any change, and after the change and the training. It is the cost of the data
        alone, divided by that of the best constant outputs. So 1 means that nothing is known about
        the inputs, and units do not matter. `after` is infinity if training fails; `before` is NaN
        if the data are not finite.
    """

    cause: str | None
    line: str
    before: float
    after: float

    def __str__(self) -> str:
        """Return the figures and the change."""
        what = f"{self.cause}: {self.line}" if self.line else "no change"
        return f"{self.before:>9.3g} {self.after:>9.3g}  {what}"


class Trials(tuple[Trial, ...]):
    """Trials, the first of them without a change; printable."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return a table, one line per trial."""
        return "\n".join(
            [f"{'before':>9} {'after':>9}  cost over that of a constant", *map(str, self)]
        )


def try_lines(
    net: Model,
    x: Array,
    y: Array,
    optimizer: Optimizer | None,
    findings: Sequence[Finding],
    epochs: int,
) -> Trials:
    """Train copies of a network, without a change and with each advice in turn.

    Parameters
    ----------
    net : Model
        The network; it is not changed.
    x, y : ndarray
        Inputs and targets as they were given; of more than 1,024 rows, evenly spaced ones.
    optimizer : Optimizer or None
        The optimizer to train with, from its first step; None for Adam.
    findings : sequence of Finding
        Whose advice is tried, each line once.
    epochs : int
        How long each training is, in batches of 32.
    """
    rows = evenly(len(x), _ROWS)
    case = _Case(net, x[rows], y[rows], optimizer, epochs)
    trials = [case.run(None, "")]
    lines: set[str] = set()
    for finding in findings:
        for line in finding.advice:
            if line not in lines:
                lines.add(line)
                trials.append(case.run(finding.cause, line))
    return Trials(trials)


class _Case:
    """What every trial begins with."""

    def __init__(
        self, net: Model, x: Array, y: Array, optimizer: Optimizer | None, epochs: int
    ) -> None:
        self.net, self.x, self.y, self.epochs = net, x, y, epochs
        self.optimizer = Adam() if optimizer is None else optimizer

    def run(self, cause: str | None, line: str) -> Trial:
        """Follow one advice and train."""
        net, optimizer = copy.deepcopy(self.net), copy.deepcopy(self.optimizer)
        optimizer.reset()
        names: dict[str, Any] = {
            "bp": SimpleNamespace(
                Network=type(net), **{each.__name__: each for each in RULES.values()}
            ),
            "np": np,
            "net": net,
            "X": self.x,
            "y": self.y,
            "optimizer": optimizer,
            "sample_weight": None,
        }
        with np.errstate(all="ignore"):
            # The line that is printed is what is tried; it is made of names and numbers here.
            try:
                exec(line, names)
            except ValueError:
                # The advice cannot be followed on these rows, if columns do not vary in them, for
                # example.
                return Trial(cause, line, self._cost_before(None), math.inf)
            weights = names["sample_weight"]
            before = self._cost_before(weights)
            after = math.inf
            if _train(names, self.epochs):
                after = _relative_cost(names["net"], names["X"], names["y"], weights)
        return Trial(cause, line, before, after)

    def _cost_before(self, weights: Array | None) -> float:
        return _relative_cost(self.net, self.x, self.y, weights)


def _train(names: dict[str, Any], epochs: int) -> bool:
    """Train the network that a line has left; return whether its cost stays finite."""
    given = {name: names[name] for name in ("X", "y", "sample_weight", "optimizer")}
    given |= {"epochs": epochs, "batch_size": 32, "validation": None, "patience": None}
    given |= {"callbacks": (), "progress": False, "shuffle": True}
    trainer = Trainer(names["net"], given)
    trainer.explains = False
    try:
        trainer.run()
    except FloatingPointError:
        return False
    return True


def _relative_cost(net: Model, x: Array, y: Array, weights: Array | None) -> float:
    """Return the cost of the data alone over that of the best constant outputs."""
    inputs = as_inputs(x, net.widths[0], net.dtype)
    targets = as_targets(y, len(inputs), net.widths[-1], net.loss, net.dtype)
    y = smoothed(as_matrix(targets, net.widths[-1]), net.label_smoothing)
    trace = net.trace(inputs)
    z, a = trace.z[-1].astype(np.float64), trace.a[-1].astype(np.float64)
    share = None if weights is None else weights / weights.sum()
    constant = constant_loss(net.loss, y, share)
    cost = mean_loss(net.loss, z, a, y, share)
    return cost / constant if constant > 0.0 else cost
