"""The inputs of a table beside each other, but for the numbers that an encoding has learnt.

Encodings that were learnt from different rows of a table mostly agree on what a column becomes, and
differ in what stands for a missing number, and in the scale. What they agree on is done once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._columns import Array
from ._scaling import RobustScaling, bend
from ._treatments import Ones, Piece, Values

# Rows are written in pieces that stay in the processor's second cache.
_PIECE_BYTES = 1 << 18
# Of a table of no more pieces than these, what encodings share is kept.
_MOST_KEPT = 32


class _Rows(NamedTuple):
    """Some rows of a layout.

    Attributes
    ----------
    numbers : ndarray of shape (k, n), float64
        The single inputs; NaN where a number stands for the cell.
    gaps : pair of ndarray
        Where they are NaN: which input, and which row.
    ones : ndarray of int64
        Which entries of the inputs of these rows, one row after the other, are 1.
    inputs : ndarray of int64
        Which input each of them belongs to.
    """

    numbers: NDArray[np.float64]
    gaps: tuple[Array, ...]
    ones: Array
    inputs: Array


class _Learnt(NamedTuple):
    """What an encoding adds to a layout.

    Attributes
    ----------
    fills : ndarray of shape (k,)
        What stands for a missing cell of each single input.
    nothing, one : ndarray of shape (n,)
        What 0 and 1 become in each input.
    center, factor : ndarray of shape (n,), or None
        Of the scaling, if there is one.
    """

    fills: NDArray[np.float64]
    nothing: NDArray[np.float64]
    one: NDArray[np.float64]
    center: NDArray[np.float64] | None
    factor: NDArray[np.float64] | None

    def scaled(self, values: NDArray[Any], where: Any) -> NDArray[Any]:
        """Return values of the inputs at some place, scaled if there is a scaling."""
        if self.center is None or self.factor is None:
            return values
        return bend(values, self.center[where], self.factor[where])


def _learnt(fills: NDArray[np.float64], scaling: RobustScaling | None, width: int) -> _Learnt:
    nothing, one = np.zeros(width), np.ones(width)
    if scaling is None:
        return _Learnt(fills, nothing, one, None, None)
    center, factor = scaling.arrays()
    return _Learnt(fills, bend(nothing, center, factor), bend(one, center, factor), center, factor)


class Layout:
    """The inputs of a table, without the numbers that an encoding learns.

    Parameters
    ----------
    pieces : iterable of Piece
        Those of all columns; together they have every input once.
    n_rows, width : int
        The shape of the inputs.
    """

    def __init__(self, pieces: Iterable[Piece], n_rows: int, width: int) -> None:
        self._shape = n_rows, width
        pieces = list(pieces)
        self._ones = [each for each in pieces if isinstance(each, Ones)]
        values = [each for each in pieces if isinstance(each, Values)]
        self._numbers = [each for each in values if each.values.ndim == 1]
        self._others = [each for each in values if each.values.ndim == 2]
        self._places = np.array([each.start for each in self._numbers], dtype=np.int64)
        self._runs = list(_runs(self._places.tolist()))
        self._kept: dict[int, _Rows] = {}

    def inputs(self, fills: Sequence[float], scaling: RobustScaling | None) -> NDArray[np.float64]:
        """Return the inputs of all rows, (N, n).

        Parameters
        ----------
        fills : sequence of float
            What stands for a missing cell of each single input, in their order.
        scaling : RobustScaling or None
            What all inputs go through at the end.
        """
        n_rows, width = self._shape
        learnt = _learnt(np.asarray(fills, dtype=np.float64), scaling, width)
        x = np.empty(self._shape)
        step = max(1, _PIECE_BYTES // (8 * max(width, 1)))
        for begin in range(0, n_rows, step):
            rows = self._rows(begin, min(begin + step, n_rows), keeps=n_rows <= _MOST_KEPT * step)
            self._write(x[begin : begin + step], begin, rows, learnt)
        return x

    def _write(self, part: Array, begin: int, rows: _Rows, learnt: _Learnt) -> None:
        """Write the inputs of some rows."""
        part[:] = learnt.nothing
        part.reshape(-1)[rows.ones] = learnt.one[rows.inputs]
        numbers = rows.numbers
        if len(rows.gaps[0]):
            numbers = numbers.copy()
            numbers[rows.gaps] = learnt.fills[rows.gaps[0]]
        numbers = learnt.scaled(numbers, self._places[:, np.newaxis])
        for first, last, start in self._runs:
            part[:, start : start + last - first] = numbers[first:last].T
        for piece in self._others:
            where = slice(piece.start, piece.start + piece.values.shape[1])
            part[:, where] = learnt.scaled(piece.values[begin : begin + len(part)], where)

    def _rows(self, begin: int, end: int, keeps: bool) -> _Rows:
        """Return some rows, those of before if they were kept."""
        found = self._kept.get(begin)
        if found is None:
            found = self._made(slice(begin, end), end - begin)
            if keeps:
                self._kept[begin] = found
        return found

    def _made(self, rows: slice, count: int) -> _Rows:
        numbers = np.empty((len(self._numbers), count))
        for at, piece in enumerate(self._numbers):
            numbers[at] = piece.values[rows]
        gaps = np.nonzero(np.isnan(numbers))
        first = np.arange(count, dtype=np.int64) * self._shape[1]
        ones, inputs = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for each in self._ones:
            codes = each.codes[rows]
            hit = np.flatnonzero(codes >= 0)
            inputs.append(codes[hit].astype(np.int64) + each.start)
            ones.append(first[hit] + inputs[-1])
        return _Rows(numbers, gaps, np.concatenate(ones), np.concatenate(inputs))


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Return first, end and place of each run of places that follow each other."""
    first = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or places[at] != places[at - 1] + 1:
            yield first, at, places[first]
            first = at
