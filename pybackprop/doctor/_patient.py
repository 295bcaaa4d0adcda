"""A network and examples under examination, with what several checks need computed once."""

from __future__ import annotations

import copy
import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .._core import Array
from ..initializers import initial_weights
from ..losses import smoothed
from ._losses import as_matrix, constant_loss, least_loss, mean_loss
from ._updates import Updates

if TYPE_CHECKING:
    from ..model import Gradients, Model, Trace
    from ..optimizers import Optimizer

# Rows on which steps are tried.
_ROWS = 1024


def evenly(n: int, most: int) -> Array:
    """Return the numbers of at most so many rows of n, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).round().astype(np.intp))


class Patient:
    """A network and examples; neither is changed.

    Parameters
    ----------
    net : Model
        The network.
    x, y : ndarray
        Inputs and targets as `as_inputs` and `as_targets` return them.
    optimizer : Optimizer or None
        The optimizer in use. Without one, steps are not judged.
    given : pair of ndarray, optional
        Inputs and targets as the user gave them, on which advice is tried.
    """

    def __init__(
        self,
        net: Model,
        x: Array,
        y: Array,
        optimizer: Optimizer | None,
        given: tuple[Array, Array] | None = None,
    ) -> None:
        self.net, self.x, self.y, self.optimizer = net, x, y, optimizer
        self.given = (x, y) if given is None else given

    def forget(self) -> None:
        """Drop what has been computed, which takes memory for every example."""
        for name in ("trace", "gradients", "inputs", "targets", "sample", "first_weights"):
            self.__dict__.pop(name, None)
        self.x, self.y = self.given  # which the user holds anyway

    # ---- what passes through ----

    @cached_property
    def trace(self) -> Trace:
        """The values of both passes."""
        return self.net.trace(self.x, self.y)

    @cached_property
    def gradients(self) -> Gradients:
        """The derivatives of the cost."""
        return self.net.backprop(self.x, self.y)

    @cached_property
    def inputs(self) -> Array:
        """X as layer 1 sees it, (N, n_0) float64."""
        return self.trace.a[0].astype(np.float64)

    @cached_property
    def targets(self) -> Array:
        """The targets, (N, n_L) float64, without label smoothing."""
        return as_matrix(self.y, self.net.widths[-1])

    @property
    def learnt(self) -> Array:
        """The targets as the loss takes them, (N, n_L) float64, with label smoothing."""
        return smoothed(self.targets, self.net.label_smoothing)

    @property
    def outputs(self) -> Array:
        """A_L, (N, n_L) float64."""
        return self.trace.a[-1].astype(np.float64)

    # ---- costs ----

    @cached_property
    def loss(self) -> float:
        """The cost without penalties."""
        z = self.trace.z[-1].astype(np.float64)
        return mean_loss(self.net.loss, z, self.outputs, self.learnt)

    @cached_property
    def constant(self) -> float:
        """The cost, without penalties, of the best outputs that do not depend on the inputs."""
        return constant_loss(self.net.loss, self.learnt)

    @cached_property
    def least(self) -> float:
        """The cost, without penalties, of outputs that are the targets."""
        return least_loss(self.net.loss, self.learnt)

    @property
    def is_fitted(self) -> bool:
        """Whether the network explains nine tenths of the error that constant outputs leave.

        Losses that grow with the error, and not with its square, are then still a third.
        """
        share = 0.3 if self.net.loss in ("mae", "huber") else 0.1
        return self.loss - self.least < share * (self.constant - self.least)

    @property
    def is_unlearned(self) -> bool:
        """Whether the network does hardly better than constant outputs, if at all."""
        return not self.loss - self.least < 0.9 * (self.constant - self.least)

    # ---- weights ----

    @cached_property
    def first_weights(self) -> list[Array]:
        """What init="auto" draws."""
        net = self.net
        layers = enumerate(zip(net.activations, net.weights, strict=True))
        return [initial_weights("auto", name, net.seed, at, *w.shape) for at, (name, w) in layers]

    @cached_property
    def weight_scales(self) -> list[float]:
        """Root mean squares of the layers' weights over those that init="auto" draws."""
        pairs = zip(self.net.weights, self.first_weights, strict=True)
        return [rms(weights) / rms(first) for weights, first in pairs]

    @property
    def is_as_drawn(self) -> bool:
        """Whether no layer's weights or biases are far from the size of initial weights."""
        weights = all(0.5 <= scale <= 2.0 for scale in self.weight_scales)
        return weights and all(rms(each) <= 1.0 for each in self.net.biases)

    # ---- steps ----

    @cached_property
    def sample(self) -> tuple[Array, Array]:
        """The examples on which steps are tried."""
        rows = evenly(len(self.x), _ROWS)
        return self.x[rows], self.y[rows]

    def walk(self, steps: int, factor: float = 1.0, *, anew: bool = False) -> Walk:
        """Let a copy of the optimizer do some steps on a copy of the network.

        Parameters
        ----------
        steps : int
            How many, each with all examples of the sample.
        factor : float
            Factor of the learning rate, if that is a number.
        anew : bool
            Whether to begin with initial weights, and with the first step of the optimizer.
        """
        assert self.optimizer is not None
        net, optimizer = copy.deepcopy(self.net), copy.deepcopy(self.optimizer)
        if isinstance(optimizer.lr, float):
            optimizer.lr = factor * optimizer.lr
        if anew:
            optimizer.reset()
            for at, first in enumerate(self.first_weights):
                net.set_layer(at, first, np.zeros(len(first)))
        walk, update = Walk(net.parameters.copy()), Updates(net, optimizer)
        for number in range(steps + 1):
            gradients = net.backprop(*self.sample)
            walk.costs.append(gradients.cost)
            if number == steps or not np.isfinite(gradients.flat).all():
                break
            before = net.parameters.copy()
            after = before.copy()
            update(after, gradients.flat)
            walk.moves.append(after.astype(np.float64) - before)
            if not np.isfinite(after).all():
                walk.costs.append(math.inf)
                break
            net.parameters = after
        return walk


class Walk:
    """Some steps of an optimizer.

    Attributes
    ----------
    start : ndarray, (n_parameters,)
        Where they begin.
    costs : list of float
        Before each step, and after the last one.
    moves : list of ndarray, (n_parameters,)
        The steps.
    """

    def __init__(self, start: Array) -> None:
        self.start = start
        self.costs: list[float] = []
        self.moves: list[Array] = []


def rms(array: Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(array.astype(np.float64)))))


def norm(array: Array) -> float:
    """Return the 2-norm of all entries."""
    return float(np.linalg.norm(array.astype(np.float64)))
