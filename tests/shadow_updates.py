"""One step of an optimizer in NumPy, float64, with a bound on rounding, as in shadow.py.

The rules are PyTorch's, as the docstrings of `pybackprop.optimizers` have them. A step starts from
the core's state and parameters before it, and from the gradient that the core used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shadow import Value

Array = NDArray[Any]

# Roundings of a state or a direction: constants in the network's type, products, sums.
ROUNDINGS = 12.0


def root(square: Value, eps: float, u: float) -> tuple[Array, Array, Array]:
    """Return sqrt(square) + eps, and the least and the greatest that it may be."""
    at = np.sqrt(np.maximum(square.at, 0)) + eps
    low = np.sqrt(np.maximum(square.at - square.error, 0)) + eps
    high = np.sqrt(np.maximum(square.at + square.error, 0)) + eps
    return at, low * (1 - ROUNDINGS * u), high * (1 + ROUNDINGS * u)


def quotient(top: Value, bottom: tuple[Array, Array, Array], u: float) -> Value:
    at, low, high = bottom
    value = top.at / at
    size = np.abs(top.at) + top.error
    error = top.error / low + size * np.maximum(1 / low - 1 / at, 1 / at - 1 / high)
    return Value(value, error + ROUNDINGS * u * np.abs(value))


class Rule:
    """What an optimizer does next.

    Parameters
    ----------
    before : dict
        `Optimizer.state_dict()` before the step.
    rate : float
        The learning rate of the step.
    dtype : dtype
        Of the parameters.
    """

    def __init__(self, before: dict[str, Any], rate: float, dtype: np.dtype[Any]) -> None:
        self.name, self.settings, self.rate = before["name"], before["settings"], rate
        self.t = before["step"] + 1
        self.state = {key: v.astype(np.float64) for key, v in before["state"].items()}
        info = np.finfo(dtype)
        self.u = float(info.eps) / 2 + float(np.finfo(np.float64).eps) / 2
        self.tiny = float(info.tiny)
        self.after: dict[str, Value] = {}

    def own(self, *sizes: Array) -> Array:
        """Return the error of a sum of terms of these sizes."""
        total = sum(np.abs(size) for size in sizes)
        return np.asarray(ROUNDINGS * (self.u * total + self.tiny))

    def step(self, theta: Array, gradient: Array) -> Value:
        """Return the parameters after the step; `after` has the state vectors."""
        theta, g = theta.astype(np.float64), gradient.astype(np.float64)
        clip = self.settings["clip_norm"]
        uncertain = 0.0
        if clip is not None:
            g = g * min(1.0, clip / (math.sqrt(float(g @ g)) + 1e-6))
            # The norm is a sum in float64, here and there, in orders of their own.
            uncertain = (g.size + 8) * float(np.finfo(np.float64).eps)
        decay = 0.0 if self.name == "adamw" else self.settings["weight_decay"]
        whole = g + decay * theta
        error = self.own(g, decay * theta) * (clip is not None or decay != 0)
        given = Value(whole, error + uncertain * np.abs(g))
        if self.name == "adamw":
            kept = theta * (1 - self.rate * self.settings["weight_decay"])
            start = Value(kept, self.own(theta))
        else:
            start = Value(theta, np.zeros_like(theta))
        scale, move = getattr(self, "_" + self.name.replace("adamw", "adam"))(given)
        size = np.abs(start.at) + scale * (np.abs(move.at) + move.error)
        error = start.error + scale * move.error + self.own(size)
        return Value(start.at - scale * move.at, error)

    def flushed(self, top: Value, rate: float) -> Value:
        """Return a numerator whose product with the rate is 0 where it would be subnormal."""
        return top.widened(np.full_like(top.at, self.tiny / max(rate, self.tiny)))

    def before(self, name: str, like: Array) -> Array:
        """Return a state vector, which exists from the first step on."""
        first = self.settings.get("initial_accumulator_value", 0.0)
        return self.state.get(name, np.full_like(like, first))

    def average(self, name: str, keep: float, new: Value) -> Value:
        """Return keep * state + (1 - keep) * new, and note it as the state."""
        old = self.before(name, new.at)
        at = keep * old + (1 - keep) * new.at
        self.after[name] = Value(at, (1 - keep) * new.error + self.own(old, new.at))
        return self.after[name]

    def square(self, g: Value) -> Value:
        error = 2 * np.abs(g.at) * g.error + g.error**2
        return Value(g.at**2, error)

    def mean_square(self, name: str, keep: float, g: Value) -> Value:
        """Return the average of squares, none of whose terms can cancel."""
        squares, old = self.square(g), self.before(name, g.at)
        at = keep * old + (1 - keep) * squares.at
        self.after[name] = Value(at, (1 - keep) * squares.error + self.own(at))
        return self.after[name]

    def heavy(self, g: Value, nesterov: bool) -> Value:
        """Return the direction with momentum."""
        momentum = self.settings["momentum"]
        if not momentum:
            return g
        old = self.before("momentum_buffer", g.at)
        at = momentum * old + g.at
        buffer = Value(at, g.error + self.own(momentum * old, g.at))
        self.after["momentum_buffer"] = buffer
        if not nesterov:
            return buffer
        error = g.error + momentum * buffer.error + self.own(g.at, momentum * at)
        return Value(g.at + momentum * at, error)

    def _sgd(self, g: Value) -> tuple[float, Value]:
        return self.rate, self.heavy(g, self.settings["nesterov"])

    def _adam(self, g: Value) -> tuple[float, Value]:
        beta1, beta2 = self.settings["betas"]
        m = self.average("exp_avg", beta1, g)
        v = self.mean_square("exp_avg_sq", beta2, g)
        scale = 1 / (1 - beta2**self.t)
        bottom = root(Value(v.at * scale, v.error * scale), self.settings["eps"], self.u)
        rate = self.rate / (1 - beta1**self.t)
        return rate, quotient(self.flushed(m, rate), bottom, self.u)

    def _rmsprop(self, g: Value) -> tuple[float, Value]:
        alpha = self.settings["alpha"]
        square = self.mean_square("square_avg", alpha, g)
        if self.settings["centered"]:
            mean = self.average("grad_avg", alpha, g)
            less = self.square(mean)
            error = square.error + less.error + self.own(square.at, less.at)
            square = Value(np.maximum(square.at - less.at, 0), error)
        move = quotient(g, root(square, self.settings["eps"], self.u), self.u)
        return self.rate, self.heavy(move, nesterov=False)

    def _adagrad(self, g: Value) -> tuple[float, Value]:
        squares, old = self.square(g), self.before("sum", g.at)
        at = old + squares.at
        self.after["sum"] = Value(at, squares.error + self.own(at))
        rate = self.rate / (1 + (self.t - 1) * self.settings["lr_decay"])
        bottom = root(self.after["sum"], self.settings["eps"], self.u)
        return rate, quotient(self.flushed(g, rate), bottom, self.u)
