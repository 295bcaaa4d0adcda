"""Rows for the core: dense or sparse inputs, targets and weights."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse

from .._core import Array
from .._core import Data as CoreData
from ..network import Network

# Entries of the dense copy of a piece of a sparse matrix.
_PIECE_ENTRIES = 2**22

# A network refuses a second thread, but threads may share a fitted scikit-learn estimator.
_turns: WeakKeyDictionary[Network, Lock] = WeakKeyDictionary()


class Rows(NamedTuple):
    """Examples: `x` is an ndarray or a CSR matrix, `y` holds the network's targets.

    `weights` are those of the loss, class weights included; `sample_weight` those of the score.
    `numbers` are the caller's of these rows.
    """

    x: Any
    y: Array
    weights: Array | None = None
    sample_weight: Array | None = None
    numbers: Array | None = None

    def take(self, index: Array) -> Rows:
        """Return some of the rows."""
        parts = (None if each is None else each[index] for each in self[2:])
        return Rows(self.x[index], self.y[index], *parts)

    @property
    def total(self) -> float:
        """The sum of the weights of the loss."""
        return float(self.x.shape[0] if self.weights is None else self.weights.sum())

    def drop_unweighted(self) -> Rows:
        """Return the rows whose weight is above 0."""
        if self.weights is None or self.weights.all():
            return self
        return self.take(np.flatnonzero(self.weights))


def balanced_weights(y: Any, sample_weight: Array) -> Array:
    """Return row weights that give all classes the same total weight.

    Classes whose rows all have weight 0 count as absent. For several labels at once, the weights
    of all labels are multiplied, as in scikit-learn.
    """
    columns = (y.toarray() if is_sparse(y) else np.asarray(y)).reshape(y.shape[0], -1)
    weights = np.ones(len(columns))
    for column in columns.T:
        _, index = np.unique(column, return_inverse=True)
        sums = np.bincount(index, sample_weight)
        present = sums > 0
        weights *= (sums.sum() / (present.sum() * np.where(present, sums, 1.0)))[index]
    return weights


def is_sparse(x: Any) -> bool:
    """Whether inputs are a sparse matrix."""
    return bool(scipy.sparse.issparse(x))


def as_dense(x: Any, dtype: np.dtype[Any]) -> Array:
    """Return a piece of a sparse matrix as an array of the network's type."""
    return x.toarray().astype(dtype, copy=False)  # type: ignore[no-any-return]


def _pieces(x: Any) -> Iterator[slice]:
    """Cut a matrix so that the dense copy of a piece stays small; dense ones stay whole."""
    rows, cols = x.shape
    step = max(1, _PIECE_ENTRIES // cols) if is_sparse(x) else max(rows, 1)
    for begin in range(0, rows, step):
        yield slice(begin, begin + step)


def _dense_piece(network: Network, x: Any, piece: slice) -> Any:
    return as_dense(x[piece], network.dtype) if is_sparse(x) else x


def predict(network: Network, x: Any) -> Array:
    """Return the network's outputs for dense or sparse inputs; threads take turns."""
    with _turns.setdefault(network, Lock()):
        if not is_sparse(x):
            return network.predict(x)
        out = np.empty((x.shape[0], network.widths[-1]), network.dtype)
        for piece in _pieces(x):
            network.predict(_dense_piece(network, x, piece), out=out[piece])
        return out


def _weighted(rows: Rows, piece: slice) -> tuple[Array | None, float]:
    """Return the weights of a piece, and its part in the sum of all."""
    weights = None if rows.weights is None else rows.weights[piece]
    sum_of_piece = len(rows.y[piece]) if weights is None else weights.sum()
    return weights, float(sum_of_piece) / rows.total


def cost(network: Network, rows: Rows) -> float:
    """Return the network's cost on dense or sparse rows."""
    total = 0.0
    for piece in _pieces(rows.x):
        weights, part = _weighted(rows, piece)
        if part:
            x = _dense_piece(network, rows.x, piece)
            total += part * network.cost(x, rows.y[piece], weights)
    return total


def backprop(network: Network, rows: Rows) -> tuple[float, Array]:
    """Return the network's cost and its gradient on dense or sparse rows."""
    total, gradient = 0.0, np.zeros(network.n_parameters, network.dtype)
    flat = np.empty_like(gradient)
    for piece in _pieces(rows.x):
        weights, part = _weighted(rows, piece)
        if part:
            x = _dense_piece(network, rows.x, piece)
            data: CoreData = network._data(x, rows.y[piece], weights)
            # Without the derivatives in the inputs, which cost one more product.
            total += part * network._net.backprop(data, flat, None)
            gradient += part * flat
    return total, gradient
