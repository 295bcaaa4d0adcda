"""What the outputs of several networks say together: means, uncertainty, selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._core import Array
from ..inputs import as_vector
from ..losses import smoothed
from ..model import Model

# Numbers of a member from which adding them takes longer than calling NumPy.
_FEW = 1024

Blocks = Callable[[], Iterator[Array]]


@dataclass(frozen=True)
class Uncertainty:
    """How far several networks agree; every array has N rows.

    Attributes
    ----------
    mean : ndarray, (N, n_L)
        Mean of the members' outputs.
    std : ndarray, (N, n_L)
        Standard deviation over the members, with n - 1 in the denominator; 0 for one member.
    entropy : ndarray, (N,) or (N, n_L), or None
        Entropy of the mean probabilities, in nats: the whole uncertainty about the class. One for
        each row for softmax; one for each output for sigmoid, whose outputs are binary; None for
        other outputs.
    data_entropy : ndarray or None
        Mean of the entropies of the members: what more members would not take away.
    mutual_information : ndarray or None
        Their difference, at least 0: how far the members disagree (Depeweg et al., Decomposition of
        uncertainty, 2018).
    """

    mean: Array
    std: Array
    entropy: Array | None = None
    data_entropy: Array | None = None
    mutual_information: Array | None = None


def mean(blocks: Blocks, n: int, weights: Any = None) -> Array:
    """Return the mean over members of outputs that come block by block, (n, rows, n_L)."""
    shares = as_shares(weights, n)
    return np.concatenate([_weighted(block, shares) for block in blocks()])


def as_shares(weights: Any, n: int) -> Array:
    """Return weights of members, equal ones for None, divided by their sum."""
    if weights is None:
        return np.full(n, 1.0 / n)
    shares = as_vector(weights, "weights", (n,), np.dtype(np.float64))
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError("weights must be finite and >= 0, with a sum above 0")
    scaled: Array = shares / shares.sum()
    return scaled


def _weighted(block: Array, shares: Array) -> Array:
    """Return the weighted sum of members; one without weight may have any outputs."""
    used = np.flatnonzero(shares)
    factors = shares[used, None, None]
    return _total(np.multiply(block[used], factors, dtype=np.float64))  # NumPy 1: else in float32


def _total(values: Array) -> Array:
    """Return the sum over members, added in their order, so that its bits are always the same."""
    if values[0].size < _FEW:
        found: Array = np.add.accumulate(values, axis=0)[-1]
        return found
    total = np.zeros(values.shape[1:])
    for each in values:
        total += each
    return total


def uncertainty(blocks: Blocks, n: int, output: str) -> Uncertainty:
    """Return how far members agree whose last layer has this activation."""
    parts = [_of_block(block.astype(np.float64), n, output) for block in blocks()]
    return Uncertainty(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _of_block(outputs: Array, n: int, output: str) -> tuple[Array, ...]:
    """Return the attributes of Uncertainty that these outputs have."""
    middle = _total(outputs) / n
    std = np.sqrt(_total((outputs - middle) ** 2) / (n - 1)) if n > 1 else np.zeros_like(middle)
    if output not in ("softmax", "sigmoid"):
        return middle, std
    entropy_of = _entropy if output == "softmax" else _binary_entropy
    whole, own = entropy_of(middle), _total(entropy_of(outputs)) / n
    # Jensen's inequality holds but for rounding.
    return middle, std, whole, np.minimum(own, whole), np.maximum(whole - own, 0.0)


def _entropy(p: Array) -> Array:
    """Return -sum p log p over the last axis, where 0 log 0 = 0."""
    found: Array = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)
    return found


def _binary_entropy(p: Array) -> Array:
    return _entropy(np.stack([p, 1.0 - p], axis=-1))


def select(outputs: Array, data: _core.Data, network: Model, steps: int) -> Array:
    """Return how often each member is added, over the steps, by greedy selection."""
    judge = _judge(data, network)
    total = np.zeros(outputs.shape[1:])
    counts = np.zeros(len(outputs))
    for step in range(1, steps + 1):
        costs = np.array([judge((total + each) / step) for each in outputs])
        best = int(np.nanargmin(costs))
        counts[best] += 1
        total += outputs[best]
    return counts / steps


def _judge(data: _core.Data, network: Model) -> Callable[[Array], float]:
    """Return a function that computes the mean loss of outputs, without penalties."""
    y = data.arrays[1]
    assert y is not None
    rows = np.arange(len(y))
    labels = y[:, 0] if y.dtype == _core.INT64 else None
    targets = y.astype(np.float64)
    if network.label_smoothing:
        rows_of = targets if labels is None else np.eye(network.widths[-1])[labels]
        labels, targets = None, smoothed(rows_of, network.label_smoothing)
    tiny = np.finfo(np.float64).tiny

    def cross_entropy(p: Array) -> float:
        if labels is not None:
            return float(-np.log(np.maximum(p[rows, labels], tiny)).mean())
        return float(-(targets * np.log(np.maximum(p, tiny))).sum(axis=1).mean())

    def binary(p: Array) -> float:
        losses = targets * np.log(np.maximum(p, tiny))
        losses += (1 - targets) * np.log(np.maximum(1 - p, tiny))
        return float(-losses.mean())

    def huber(a: Array) -> float:
        gap = np.abs(a - targets)
        return float(np.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean())

    known: dict[Any, Callable[[Array], float]] = {
        "cross_entropy": cross_entropy,
        "binary_cross_entropy": binary,
        "mse": lambda a: float(((a - targets) ** 2).mean()),
        "squared_error": lambda a: float(((a - targets) ** 2).sum(axis=1).mean()),
        "mae": lambda a: float(np.abs(a - targets).mean()),
        "huber": huber,
    }
    if not isinstance(network.loss, str):
        loss = network.loss
        return lambda a: float(np.mean(loss(a, targets)[0]))
    return known[network.loss]
