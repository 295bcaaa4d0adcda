r"""Learning rates, and other numbers, as functions of the number of updates done.

A schedule is called with the step number t = 0, 1, 2, … (the number of updates the optimizer has
done so far) and returns the learning rate of the next update, or its weight decay: optimizers take
a schedule for both. Networks take one for a factor of their dropout rates. Called with an array of
step numbers it returns an array. Every schedule takes `warmup`, a number of steps W. During the
first W steps the rate rises linearly, as start * (t + 1) / W, where start is the rate at which the
schedule itself begins. The schedule's own step count is s = max(t - W, 0).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ._core import Array
from .inputs import as_count, as_real

__all__ = [
    "Constant",
    "CosLog4",
    "Cosine",
    "Exponential",
    "FlatCos",
    "OneCycle",
    "Schedule",
    "Step",
]


class Schedule:
    """A learning rate that depends on the step.

    Subclasses implement `_rate`, and name in `_settings` the attributes they are made from.
    """

    name: ClassVar[str]
    _settings: ClassVar[tuple[str, ...]]
    warmup: int

    def _rate(self, s: Array) -> Array:
        raise NotImplementedError

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at a step, or at each of an array of steps."""
        steps = np.asarray(step, dtype=np.float64)
        rates = self._rate(np.maximum(steps - self.warmup, 0.0))
        if self.warmup:
            rates = rates * np.minimum((steps + 1.0) / self.warmup, 1.0)
        return rates if steps.ndim else float(rates)

    def _settles(self) -> int:
        """Return from which step on the rate only rises, or only falls, or stays."""
        return self.warmup + int(getattr(self, "total_steps", 0))

    def to_dict(self) -> dict[str, Any]:
        """Return a description that JSON can hold; `Schedule.from_dict` is its inverse."""
        return {"name": self.name, **{key: getattr(self, key) for key in self._settings}}

    @staticmethod
    def from_dict(description: dict[str, Any]) -> Schedule:
        """Return the schedule that `to_dict` described.

        Raises
        ------
        ValueError
            The description names no schedule or does not fit the one it names.
        """
        settings = dict(description)
        kind = _KINDS.get(str(settings.pop("name", None)))
        if kind is None:
            raise ValueError(f"no schedule is described by {description!r}")
        try:
            schedule: Schedule = kind(**settings)
        except TypeError as error:
            raise ValueError(f"{description!r} does not describe a schedule: {error}") from error
        return schedule

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(tuple(self.to_dict().items()))

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={getattr(self, key)!r}" for key in self._settings)
        return f"schedules.{type(self).__name__}({settings})"


class Constant(Schedule):
    """The same rate at every step, after the warm-up.

    Parameters
    ----------
    lr : float
        The rate.
    warmup : int
        Steps of linear warm-up.
    """

    name = "constant"
    _settings = ("lr", "warmup")

    def __init__(self, lr: float, *, warmup: int = 0) -> None:
        self.lr = as_real(lr, "lr", low=0.0)
        self.warmup = as_count(warmup, "warmup")

    def _rate(self, s: Array) -> Array:
        return np.full_like(s, self.lr)


class Step(Schedule):
    """lr * gamma ** floor(s / step_size): the rate drops every `step_size` steps.

    Parameters
    ----------
    lr : float
        The first rate.
    step_size : int
        Steps between two drops.
    gamma : float
        Factor of a drop.
    warmup : int
        Steps of linear warm-up.
    """

    name = "step"
    _settings = ("lr", "step_size", "gamma", "warmup")

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1, *, warmup: int = 0) -> None:
        self.lr = as_real(lr, "lr", low=0.0)
        self.step_size = as_count(step_size, "step_size", low=1)
        self.gamma = as_real(gamma, "gamma", low=0.0)
        self.warmup = as_count(warmup, "warmup")

    def _rate(self, s: Array) -> Array:
        return self.lr * self.gamma ** np.floor(s / self.step_size)


class Exponential(Schedule):
    """lr * gamma ** s.

    Parameters
    ----------
    lr : float
        The first rate.
    gamma : float
        Factor from one step to the next.
    warmup : int
        Steps of linear warm-up.
    """

    name = "exponential"
    _settings = ("lr", "gamma", "warmup")

    def __init__(self, lr: float, gamma: float, *, warmup: int = 0) -> None:
        self.lr = as_real(lr, "lr", low=0.0)
        self.gamma = as_real(gamma, "gamma", low=0.0)
        self.warmup = as_count(warmup, "warmup")

    def _rate(self, s: Array) -> Array:
        return self.lr * self.gamma**s


class Cosine(Schedule):
    """end_lr + (lr - end_lr) * (1 + cos(pi * min(s / total_steps, 1))) / 2.

    Half a cosine wave from `lr` down to `end_lr`, where the rate then stays (Loshchilov and Hutter,
    SGDR: stochastic gradient descent with warm restarts, ICLR 2017; here without restarts).

    Parameters
    ----------
    lr, end_lr : float
        The first and the last rate.
    total_steps : int
        Steps from one to the other, not counting the warm-up.
    warmup : int
        Steps of linear warm-up.
    """

    name = "cosine"
    _settings = ("lr", "total_steps", "end_lr", "warmup")

    def __init__(
        self, lr: float, total_steps: int, end_lr: float = 0.0, *, warmup: int = 0
    ) -> None:
        self.lr = as_real(lr, "lr", low=0.0)
        self.total_steps = as_count(total_steps, "total_steps", low=1)
        self.end_lr = as_real(end_lr, "end_lr", low=0.0)
        self.warmup = as_count(warmup, "warmup")

    def _rate(self, s: Array) -> Array:
        return _anneal(self.lr, self.end_lr, np.minimum(s / self.total_steps, 1.0))


class CosLog4(Schedule):
    """lr * (1 - cos(2 pi log2(1 + 15 t))) / 2 with t = min(s / total_steps, 1).

    Four waves, each twice as long as the one before and each from 0 up to `lr` and back to 0. The
    tops are at t = 0.028, 0.12, 0.31 and 0.69. The rate of the first step is 0. The schedule of
    RealMLP (Holzmüller, Grinsztajn and Steinwart, Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data, NeurIPS 2024).

    Parameters
    ----------
    lr : float
        The highest rate.
    total_steps : int
        Steps of all four waves; then the rate stays 0. There is no warm-up: the first wave is one.

    Examples
    --------
    >>> from pybackprop import schedules
    >>> rate = schedules.CosLog4(0.04, 100)
    >>> [round(rate(step), 4) for step in (0, 3, 7, 12, 20, 31, 69, 100)]
    [0.0, 0.0395, 0.0005, 0.0399, 0.0, 0.04, 0.04, 0.0]
    """

    name = "coslog4"
    _settings = ("lr", "total_steps")
    warmup = 0

    def __init__(self, lr: float, total_steps: int) -> None:
        self.lr = as_real(lr, "lr", low=0.0)
        self.total_steps = as_count(total_steps, "total_steps", low=1)

    def _rate(self, s: Array) -> Array:
        waves = np.log2(1.0 + 15.0 * np.minimum(s / self.total_steps, 1.0))
        return self.lr * 0.5 * (1.0 - np.cos(2.0 * math.pi * waves))


class FlatCos(Schedule):
    """The rate `lr` for the first half of the steps, then half a cosine wave down to 0.

    With t = min(s / total_steps, 1), lr for t <= 1/2, else lr * (1 + cos(pi (2 t - 1))) / 2, which
    RealMLP uses for dropout and weight decay (see `CosLog4`).

    Parameters
    ----------
    lr : float
        The first rate.
    total_steps : int
        Steps of both halves, not counting the warm-up; then the rate stays 0.
    warmup : int
        Steps of linear warm-up.

    Examples
    --------
    >>> from pybackprop import schedules
    >>> rate = schedules.FlatCos(0.04, 100)
    >>> [round(rate(step), 4) for step in (0, 50, 75, 100)]
    [0.04, 0.04, 0.02, 0.0]

    An optimizer whose weight decay falls to 0, and a network whose dropout rates do:

    >>> import pybackprop as bp
    >>> optimizer = bp.AdamW(weight_decay=schedules.FlatCos(0.02, 100))
    >>> factor = schedules.FlatCos(1.0, 100)
    >>> net = bp.Network([4, 8, 1], dropout=0.15, dropout_schedule=factor, seed=0)
    """

    name = "flat_cos"
    _settings = ("lr", "total_steps", "warmup")

    def __init__(self, lr: float, total_steps: int, *, warmup: int = 0) -> None:
        self.lr = as_real(lr, "lr", low=0.0)
        self.total_steps = as_count(total_steps, "total_steps", low=1)
        self.warmup = as_count(warmup, "warmup")

    def _rate(self, s: Array) -> Array:
        t = np.minimum(s / self.total_steps, 1.0)
        return _anneal(self.lr, 0.0, np.maximum(2.0 * t - 1.0, 0.0))


class OneCycle(Schedule):
    """Up to `max_lr` and down again, each along half a cosine wave.

    With first = max_lr / div_factor and last = first / final_div_factor, the rate goes from first
    to max_lr over the steps 0 … pct_start * total_steps - 1, from there to last at step
    total_steps - 1, and then stays (Smith and Topin, Super-convergence, 2018; the same steps as
    PyTorch's OneCycleLR with its defaults).

    Parameters
    ----------
    max_lr : float
        The highest rate.
    total_steps : int
        Length of the cycle.
    pct_start : float
        Part of the cycle, in (0, 1), during which the rate rises.
    div_factor, final_div_factor : float
        max_lr / first rate, and first rate / last rate.
    warmup : int
        Steps of linear warm-up before the cycle.
    """

    name = "one_cycle"
    _settings = ("max_lr", "total_steps", "pct_start", "div_factor", "final_div_factor", "warmup")

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        *,
        warmup: int = 0,
    ) -> None:
        self.max_lr = as_real(max_lr, "max_lr", low=0.0)
        self.total_steps = as_count(total_steps, "total_steps", low=2)
        self.pct_start = as_real(pct_start, "pct_start", low=0.0, high=1.0)
        self.div_factor = as_real(div_factor, "div_factor", low=1.0)
        self.final_div_factor = as_real(final_div_factor, "final_div_factor", low=1.0)
        self.warmup = as_count(warmup, "warmup")
        if not 1.0 < self.pct_start * self.total_steps < self.total_steps:
            raise ValueError(
                "pct_start must be below 1 and leave more than one step for the rise, "
                f"got {pct_start!r} of {total_steps} steps"
            )

    def _rate(self, s: Array) -> Array:
        first = self.max_lr / self.div_factor
        top = self.pct_start * self.total_steps - 1.0
        rise = _anneal(first, self.max_lr, s / top)
        way = np.minimum((s - top) / (self.total_steps - 1.0 - top), 1.0)
        fall = _anneal(self.max_lr, first / self.final_div_factor, way)
        return np.where(s <= top, rise, fall)


def _anneal(start: float, end: float, way: Array) -> Array:
    """Half a cosine wave from start to end; way goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1.0 + np.cos(math.pi * way))


# Those that files can describe.
BUILT_IN: tuple[type[Any], ...] = (Constant, Step, Exponential, Cosine, CosLog4, FlatCos, OneCycle)
_KINDS = {kind.name: kind for kind in BUILT_IN}
