"""Messages between the ranks of a run: in step, with bounded waits, and with news of failures."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import numpy as np

from .._core import Array

# What ranks meet for.
HELLO, STEP, EPOCH, KEEP, DONE = range(5)
_ERROR = -1

_NAMES = {
    HELLO: "the start",
    STEP: "a batch",
    EPOCH: "the end of an epoch",
    KEEP: "a checkpoint",
    DONE: "the end",
}

# The numbers of a meeting: what for, the length of the text, and up to so many others.
_HEADER, _MOST_NUMBERS = 2, 14

# The longest text, in bytes.
_MOST_TEXT = 1_000_000

# How long, in seconds, a wait polls before it begins to sleep; and the longest sleep.
_POLLS, _SLEEP = 100e-6, 1e-3

# What is used of mpi4py's communicators.
METHODS = ("Get_rank", "Get_size", "Idup", "Free", "Isend", "Irecv")


class Channel:
    """A communicator of its own for one run, as a context.

    Every rank comes to the same meetings in the same order. If an exception ends the context of a
    rank, the rank tells the others in place of its next meeting, where they raise a RuntimeError.
    """

    def __init__(self, comm: Any, timeout: float) -> None:
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._parent, self._timeout = comm, timeout
        self._comm: Any = None
        self._is_over = False  # whether nobody waits for a word of this rank any more
        self._is_broken = False  # whether messages may be under way that nobody waits for
        self._quiet = 0  # depth of contexts in which signals wait
        self._pending: tuple[int, FrameType | None] | None = None
        self._handler: Any = None

    def __enter__(self) -> Channel:
        self._listen()
        try:
            with self.quiet(), self.in_one_piece():
                self._comm, request = self._parent.Idup()
                self.wait([(request, None)])
        except BaseException as error:
            if self._comm is not None and not self._is_broken:  # the others are inside already
                self.__exit__(type(error), error, None)
            else:
                self._restore()
            raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        try:
            if error is not None and not self._is_over:
                self._tell(error)
        finally:
            if not self._is_broken:
                self._comm.Free()
            self._restore()

    # ---- signals ----

    def _listen(self) -> None:
        """Handle SIGINT between messages only: to leave one half sent would block others."""
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(previous):
            self._handler = previous
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal now, or after the messages; a second one does not wait."""
        if self._quiet and self._pending is None:
            self._pending = number, frame
        else:
            self._handler(number, frame)

    def _restore(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let signals wait for the end of the context."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1
            if not self._quiet and self._pending is not None:
                arguments, self._pending = self._pending, None
                self._handler(*arguments)

    # ---- messages ----

    def wait(self, requests: Sequence[tuple[Any, int | None]]) -> None:
        """Wait for requests, given with the ranks that they concern.

        Raises
        ------
        TimeoutError
            A rank did nothing for too long.
        """
        begin = time.monotonic()
        for request, peer in requests:
            while not request.Test():
                waited = time.monotonic() - begin
                time.sleep(0.0 if waited < _POLLS else min(waited / 16, _SLEEP))
                if waited > self._timeout:
                    who = "another rank" if peer is None else f"rank {peer} of {self.size}"
                    raise TimeoutError(
                        f"rank {self.rank} has waited {self._timeout:g} s for {who}, which may "
                        "have died; end the job, and go on from its checkpoint with resume=True"
                    )

    def exchange(
        self, sends: Sequence[tuple[Array, int]], receives: Sequence[tuple[Array, int]]
    ) -> None:
        """Send contiguous arrays, and receive others, given with the ranks at the other end."""
        requests = []
        with self.in_one_piece():
            for array, rank in receives:
                if array.size:
                    requests.append((self._comm.Irecv(array, source=rank), rank))
            for array, rank in sends:
                if array.size:
                    requests.append((self._comm.Isend(array, dest=rank), rank))
            self.wait(requests)

    @contextmanager
    def in_one_piece(self) -> Iterator[None]:
        """Mark the channel as broken if the context ends early: others wait for what is missing."""
        try:
            yield
        except BaseException:
            self._is_over = self._is_broken = True
            raise

    def gather(self, own: Array) -> Array:
        """Return what each rank has given: an array of one length and type from each."""
        everyone = np.empty((self.size, own.size), own.dtype)
        everyone[0] = own
        have = 1  # those of this rank and the next ones
        while have < self.size:
            count = min(have, self.size - have)
            self.exchange(
                [(everyone[:count], (self.rank - have) % self.size)],
                [(everyone[have : have + count], (self.rank + have) % self.size)],
            )
            have += count
        return np.roll(everyone, self.rank, axis=0)

    # ---- meetings ----

    def meet(
        self, purpose: int, numbers: Sequence[float] = (), text: str = ""
    ) -> tuple[Array, list[str]]:
        """Wait for all ranks; return the numbers of each, (ranks, 14), and their texts.

        Raises
        ------
        RuntimeError
            A rank has failed, or is elsewhere in its run.
        """
        with self.quiet():
            return self._meet(purpose, numbers, text.encode("utf-8", "replace")[:_MOST_TEXT])

    def finish(self) -> None:
        """Wait for all ranks for the last time."""
        with self.quiet():
            self.meet(DONE)
            self._is_over = True

    def _meet(self, purpose: int, numbers: Sequence[float], text: bytes) -> tuple[Array, list[str]]:
        own = np.zeros(_HEADER + _MOST_NUMBERS)
        own[:_HEADER] = purpose, len(text)
        own[_HEADER : _HEADER + len(numbers)] = numbers
        headers = self.gather(own)
        lengths = headers[:, 1].astype(int).tolist()
        texts = [""] * self.size
        if any(lengths):
            padded = np.frombuffer(text.ljust(max(lengths), b" "), np.uint8)
            texts = [
                bytes(row[:length]).decode("utf-8", "replace")
                for row, length in zip(self.gather(padded), lengths, strict=True)
            ]
        purposes = headers[:, 0].astype(int).tolist()
        if purpose != _ERROR:
            self._check(purposes, texts)
        return headers[:, _HEADER:], texts

    def _check(self, purposes: list[int], texts: list[str]) -> None:
        """Raise if a rank has failed, or if they have met for different purposes."""
        failed = [rank for rank, purpose in enumerate(purposes) if purpose == _ERROR]
        if failed:
            words = "; ".join(
                f"rank {rank} of {self.size} failed: {texts[rank]}" for rank in failed
            )
            raise self.refuse(RuntimeError(words))
        if len(set(purposes)) > 1:
            words = ", ".join(
                f"rank {rank} at {_NAMES[purpose]}" for rank, purpose in enumerate(purposes)
            )
            raise self.refuse(RuntimeError(f"the ranks are not in step: {words}"))

    def refuse(self, error: Exception) -> Exception:
        """Return an exception that every rank raises, so that none has to tell the others."""
        self._is_over = True
        return error

    def _tell(self, error: BaseException) -> None:
        """Tell the others, who wait for the next meeting, what ends this rank."""
        self._is_over = True
        with suppress(Exception):
            self.meet(_ERROR, text=f"{type(error).__name__}: {error}")
