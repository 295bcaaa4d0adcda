"""Data that are read window by window during a fit, in an order that the seed determines.

The rows of a file lie in blocks. For each epoch the blocks are permuted; what follows one another
then is cut into windows of a fixed number of rows; and the rows of a window are permuted. A window
is read by a thread while the network trains on the one before.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._core import Array
from ..inputs import as_inputs, as_targets

if TYPE_CHECKING:
    from ..model import Model

# Keys of permutations: those of the first windows are the numbers of the epochs, as for data in
# memory, so that a single window has the same order; none of the others is the number of an epoch.
_BLOCKS_KEY = 1 << 63
_WINDOW_BITS = 40
_MOST_WINDOWS = 1 << (63 - _WINDOW_BITS)  # of an epoch that is shuffled


class Piece(NamedTuple):
    """Rows start <= row < stop of a block."""

    block: int
    start: int
    stop: int


class Rows(ABC):
    """Rows of inputs and targets that are somewhere else than in memory.

    Attributes
    ----------
    window : int
        How many rows are read together, at most.
    sizes : ndarray of int64, (n_blocks,)
        How many rows each block has, in the order of the file.
    n_in : int
        Columns of the inputs.
    """

    window: int
    sizes: Array
    n_in: int

    @abstractmethod
    def read(self, block: int, start: int, stop: int) -> tuple[Array, Array]:
        """Return inputs and targets of some rows of a block; one thread at a time calls it."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what distinguishes these rows from others, as JSON can hold it."""

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self.sizes.sum())


class Order:
    """Which rows make up the windows of an epoch.

    Parameters
    ----------
    rows : Rows
        Those to read.
    window : int
        Rows of a window; only the last of an epoch may have fewer.
    seed : int
        With the number of the epoch, the key of the permutations.
    shuffle : bool
        Whether to permute; otherwise rows come in the order of the file.
    """

    def __init__(self, rows: Rows, window: int, seed: int, shuffle: bool) -> None:
        self._sizes, self._window, self._seed, self._shuffle = rows.sizes, window, seed, shuffle
        self._n_rows = rows.n_rows
        self.n_windows = -(-self._n_rows // window)
        # Of the last epoch: its number, its blocks, and how many rows they have up to each.
        self._known: tuple[int, Array, Array] | None = None

    def _blocks(self, epoch: int) -> tuple[Array, Array]:
        """Return the blocks of an epoch in order, and where each ends; two threads may ask."""
        known = self._known
        if known is None or known[0] != epoch:
            n_blocks = len(self._sizes)
            blocks: Array = np.arange(n_blocks)
            if self._shuffle and self.n_windows > 1:
                blocks = _core.random_permutation(self._seed, _BLOCKS_KEY | epoch, n_blocks)
            known = self._known = epoch, blocks, np.cumsum(self._sizes[blocks])
        return known[1:]

    def pieces(self, epoch: int, window: int) -> Iterator[Piece]:
        """Yield the parts of blocks that a window consists of, in the order in which to read."""
        blocks, ends = self._blocks(epoch)
        begin = window * self._window
        end = min(begin + self._window, self._n_rows)
        at = int(np.searchsorted(ends, begin, "right"))
        while begin < end:
            block = int(blocks[at])
            first = int(ends[at] - self._sizes[block])
            stop = min(end, int(ends[at]))
            if stop > begin:  # not an empty block
                yield Piece(block, begin - first, stop - first)
            begin, at = stop, at + 1

    def places(self, epoch: int, window: int) -> Array | None:
        """Return where in the window each row goes that is read; None if they stay in order."""
        if not self._shuffle:
            return None
        count = min(self._window, self._n_rows - window * self._window)
        key = window << _WINDOW_BITS | epoch
        order = _core.random_permutation(self._seed, key, count)
        places = np.empty_like(order)
        places[order] = np.arange(count)
        return places

    def numbers(self, epoch: int, window: int) -> Array:
        """Return which rows, counted in the order of the file, make up a window."""
        begins = np.cumsum(self._sizes) - self._sizes
        read = [
            np.arange(begins[block] + start, begins[block] + stop)
            for block, start, stop in self.pieces(epoch, window)
        ]
        rows = np.concatenate(read)
        places = self.places(epoch, window)
        if places is not None:
            rows[places] = rows.copy()
        return rows


def read_window(rows: Rows, order: Order, epoch: int, window: int) -> tuple[Array, Array]:
    """Return inputs and targets of a window; besides it, a block at a time is in memory."""
    pieces = list(order.pieces(epoch, window))
    places = order.places(epoch, window)
    count = sum(piece.stop - piece.start for piece in pieces)
    arrays: list[Array] = []
    at = 0
    for piece in pieces:
        parts = rows.read(*piece)
        if not arrays:
            arrays = [np.empty((count, *part.shape[1:]), part.dtype) for part in parts]
        end = at + piece.stop - piece.start
        where: Any = slice(at, end) if places is None else places[at:end]
        for array, part in zip(arrays, parts, strict=True):
            array[where] = part
        at = end
    return arrays[0], arrays[1]


class _Reading:
    """A window that a thread is reading."""

    def __init__(self, rows: Rows, order: Order, epoch: int, window: int) -> None:
        self.which = epoch, window
        self._arguments = rows, order, epoch, window
        self._found: tuple[Array, Array] | None = None
        self._error: BaseException | None = None
        # A signal in `Thread.join` makes some versions of Python forget that the thread runs.
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._found = read_window(*self._arguments)
        except BaseException as error:
            self._error = error
        finally:
            self._is_over.set()

    def wait(self) -> None:
        self._is_over.wait()
        self._thread.join()

    def take(self) -> tuple[Array, Array]:
        self.wait()
        if self._found is None:
            assert self._error is not None
            raise self._error
        return self._found


class Feed:
    """What a fit is fed with: the window in use, and the next one, which a thread reads.

    Parameters
    ----------
    network : Network
        In training.
    rows : Rows
        Its data.
    batch_size : int
        Rows of a batch; a window holds whole batches, one at least.
    shuffle : bool
        As for `Order`.
    epochs : int
        How many epochs the fit has at most.
    """

    def __init__(
        self, network: Model, rows: Rows, batch_size: int, shuffle: bool, epochs: int
    ) -> None:
        self._network, self._rows, self._epochs = network, rows, epochs
        self._n_rows = rows.n_rows
        fits = rows.window >= self._n_rows  # then the last batch may be a short one
        self._batches = -(-self._n_rows // batch_size) if fits else rows.window // batch_size or 1
        self._order = Order(rows, self._batches * batch_size, network.seed, shuffle)
        n_windows = self._order.n_windows
        if shuffle and n_windows > _MOST_WINDOWS:
            raise ValueError(
                f"X must have at most {_MOST_WINDOWS} windows to be shuffled, got {n_windows} of "
                f"{self._batches * batch_size} rows; make rows of Windows larger"
            )
        self._is_same = n_windows == 1 and not shuffle  # whether all epochs have the same window
        self._next: _Reading | None = None
        self._in_use = -1, -1  # epoch and window
        self._given: tuple[_core.Fit, _core.Data] | None = None
        self.data = self._load(*self._which(0))

    def _which(self, batch: int) -> tuple[int, int]:
        """Return the epoch, counted from the first of the network, and the window of a batch."""
        if self._is_same:
            return 0, 0
        return self._network._net.get_counters()[1], batch // self._batches

    def _load(self, epoch: int, window: int) -> _core.Data:
        """Return a window."""
        found = None
        if self._next is not None:
            # If a signal ends the wait, `close` has to wait for the thread.
            self._next.wait()
            reading, self._next = self._next, None
            if reading.which == (epoch, window):
                found = reading.take()
        if found is None:
            found = read_window(self._rows, self._order, epoch, window)
        net = self._network._net
        try:
            x = as_inputs(found[0], net.n_in, net.dtype)
            y = as_targets(found[1], len(x), net.n_out, self._network.loss, net.dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(f"window {window} of an epoch: {error}") from error
        self._in_use = epoch, window
        return _core.Data(x, y)

    def give(self, fit: _core.Fit) -> None:
        """Give a fit the window of its next batch, and begin to read the one that follows."""
        epoch, window = self._which(fit.batch)
        if self._in_use != (epoch, window):
            self.data = self._load(epoch, window)
        if self._given != (fit, self.data):  # which is checked again: labels in all rows
            fit.set_window(self.data, window * self._batches, self._n_rows)
            self._given = fit, self.data
        if self._next is None and not self._is_same:
            following = epoch, window + 1
            left = self._epochs - fit.epoch
            if window + 1 == self._order.n_windows:
                following, left = (epoch + 1, 0), left - 1
            if left > 0:
                self._next = _Reading(self._rows, self._order, *following)

    def numbers(self) -> Array:
        """Return which rows of the file those of the window in use are."""
        return self._order.numbers(*self._in_use)

    def close(self) -> None:
        """Wait for the thread, which may be reading."""
        if self._next is not None:
            self._next.wait()


def check_windows(rows: Rows, y: Any, sample_weight: Any, validation: Any, n_in: int) -> None:
    """Check what `Network.fit` is given besides rows that are read in windows."""
    if rows.n_in != n_in:
        raise ValueError(f"X must have shape (N, {n_in}), got ({rows.n_rows}, {rows.n_in})")
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"{name} must be left out where X is read in windows")
    if validation is None or (isinstance(validation, (tuple, list)) and len(validation) == 2):
        return
    got = type(validation).__name__
    if isinstance(validation, (tuple, list)):
        got = f"{len(validation)} items"
    elif isinstance(validation, (int, float)):
        got = repr(validation)
    raise ValueError(f"validation must be a pair (X, y) where X is read in windows, got {got}")
