"""Random networks, optimizers and data for the soak."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shadow import ACTIVATIONS, DIFFERENCE_LOSSES, Shadow

import pybackprop as bp

Array = NDArray[Any]


class Planned(Exception):
    """What callbacks and losses raise on purpose."""


class CustomLoss:
    """squared_error as a user would write it; raises when it is told to."""

    fails = False

    def __call__(self, a: Array, y: Array) -> tuple[Array, Array]:
        if self.fails:
            raise Planned
        return ((a - y) ** 2).sum(axis=1), 2 * (a - y)


@dataclass
class Subject:
    """A network with its optimizer, and a stream of random numbers for its data."""

    net: bp.Network
    optimizer: bp.Optimizer
    rng: np.random.Generator
    shadow_loss: str

    def shadow(self) -> Shadow:
        return Shadow.of(self.net, self.shadow_loss)

    def twin(self) -> tuple[bp.Network, bp.Optimizer]:
        return self.net.copy(), copy.deepcopy(self.optimizer)

    def rows(self) -> int:
        return int(self.rng.choice([1, 2, 3, 7, 16, 33, 64, 130, 300]))

    def inputs(self, rows: int) -> Array:
        """Return inputs of a random kind: types, strides, read-only."""
        rng, n = self.rng, self.net.widths[0]
        kind = rng.integers(7)
        if kind == 0:
            return rng.integers(0, 4, (rows, n)).astype(np.uint8)
        x = rng.normal(size=(rows, n)).astype(rng.choice(["float32", "float64"]))
        if kind == 1:
            return np.repeat(x, 2, axis=0)[::2]
        if kind == 2:
            return np.asfortranarray(x)
        if kind == 3:
            return x[::-1]
        if kind == 4:
            x.flags.writeable = False
        if kind == 5:
            return x.astype(x.dtype.newbyteorder())
        return x

    def targets(self, rows: int) -> Array:
        rng, n = self.rng, self.net.widths[-1]
        if self.net.loss == "cross_entropy":
            if rng.random() < 0.5:
                return np.asarray(rng.integers(0, n, rows))
            y = rng.uniform(0.05, 1, (rows, n))
            return (y / y.sum(axis=1, keepdims=True)).astype(self.net.dtype)
        if self.net.loss == "binary_cross_entropy":
            return rng.integers(0, 2, (rows, n)).astype(self.net.dtype)
        y = rng.normal(size=(rows, n)).astype(self.net.dtype)
        return y[:, 0] if n == 1 and rng.random() < 0.3 else y

    def weights(self, rows: int) -> Array | None:
        if self.rng.random() < 0.6:
            return None
        weight = self.rng.uniform(0.1, 3, rows)
        weight[self.rng.random(rows) < 0.2] = 0
        weight[0] = 1
        return weight

    def batch(self, rows: int | None = None) -> tuple[Array, Array, Array | None]:
        rows = rows or self.rows()
        return self.inputs(rows), self.targets(rows), self.weights(rows)


def random_network(rng: np.random.Generator) -> tuple[bp.Network, str]:
    """Return a network with random settings, and the name of its loss for the shadow."""
    widths = [int(n) for n in rng.choice([1, 2, 3, 5, 8, 17, 40], rng.integers(2, 6))]
    if rng.random() < 0.1:
        widths = [int(n) for n in rng.choice([30, 128, 200, 300], 4)]
    hidden = len(widths) - 2
    output, loss = "identity", str(rng.choice(list(DIFFERENCE_LOSSES)))
    kind = rng.integers(6)
    shadow_loss = loss
    given: Any = loss
    if kind == 0:
        output, given = "softmax", "cross_entropy"
        shadow_loss = given
    elif kind == 1:
        output, given = "sigmoid", "binary_cross_entropy"
        shadow_loss = given
    elif kind == 2:
        given, shadow_loss = CustomLoss(), "squared_error"
    elif kind == 3:
        output = str(rng.choice([*ACTIVATIONS, "softmax"]))
    penalties = rng.choice([0.0, 1e-3], 2)
    dtype, precision = str(rng.choice(["float32", "float64"])), "float32"
    if dtype == "float32" and rng.random() < 0.3:
        precision = str(rng.choice(["bf16", "bf16x2", "bf16x3"]))
    net = bp.Network(
        widths,
        activation=[str(name) for name in rng.choice(list(ACTIVATIONS), hidden)],
        output=output,
        loss=given,
        init=str(rng.choice(["auto", "he", "glorot", "lecun", "orthogonal"])),
        dropout=0.0 if rng.random() < 0.7 else float(rng.choice([0.1, 0.5])),
        l1=float(penalties[0]),
        l2=float(penalties[1]),
        dtype=dtype,
        precision=precision,
        seed=int(rng.integers(2**32)),
    )
    if rng.random() < 0.2:
        net.set_scaling(rng.normal(size=widths[0]), rng.uniform(0.5, 2, widths[0]))
    return net, shadow_loss


def random_optimizer(rng: np.random.Generator) -> bp.Optimizer:
    lr = float(rng.choice([3e-3, 3e-4]))
    common: dict[str, Any] = {
        "lr": bp.schedules.Cosine(lr, 50, warmup=3) if rng.random() < 0.2 else lr,
        "weight_decay": float(rng.choice([0.0, 0.01])),
        "clip_norm": None if rng.random() < 0.7 else 0.5,
    }
    momentum = float(rng.choice([0.0, 0.9]))
    kind = rng.integers(5)
    if kind == 0:
        nesterov = bool(momentum and rng.random() < 0.5)
        return bp.SGD(momentum=momentum, nesterov=nesterov, **common)
    if kind == 1:
        return bp.Adam(**common)
    if kind == 2:
        return bp.AdamW(**common)
    if kind == 3:
        # A large eps, so that centering, which cancels, leaves digits to compare.
        return bp.RMSprop(momentum=momentum, eps=1e-3, centered=rng.random() < 0.5, **common)
    return bp.Adagrad(lr_decay=0.01, initial_accumulator_value=0.1, **common)
