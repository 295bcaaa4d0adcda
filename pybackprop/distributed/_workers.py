"""What all kinds of workers have in common: how members are divided, and how work fails."""

from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, TypeVar

from ..runtime import cpu_info, get_threads, set_threads
from ._shared import Mapped, Shared

Result = TypeVar("Result")
Work = Callable[[Any, Any], Any]

# A worker is given its members in up to this many pieces, so that a failure is noticed between
# them, and little is lost with a worker.
_PIECES = 4
# What must be alike in all processes for the bits to be those of one.
ALIKE = ("version", "isa", "bf16")
# Exceptions that arrive as what they were; others become a RuntimeError.
_SAME = (FloatingPointError, KeyboardInterrupt, MemoryError, OSError, TypeError, ValueError)


class Piece(NamedTuple):
    """Some of the members, and the worker that they fall to if that is fixed."""

    members: list[int]
    owner: int


class Order(NamedTuple):
    """What workers are to do.

    Attributes
    ----------
    function : callable
        Called as function(data, part) for each part; of a module, so that it can be pickled.
    shared : Shared
        The data, as `Workers.share` returned them.
    pieces, parts : sequence
        What `Workers.divide` returned, and for each piece what the function needs to know.
    noun : str
        What the members are, for errors.
    check : object
        What must be the same on all MPI ranks, as text.
    """

    function: Work
    shared: Shared
    pieces: Sequence[Piece]
    parts: Sequence[Any]
    noun: str = "members"
    check: Any = None

    def labels(self) -> list[str]:
        """Return the texts that name the pieces in errors."""
        return [f"{self.noun} {', '.join(map(str, piece.members))}" for piece in self.pieces]


class Failure(NamedTuple):
    """An exception of a worker."""

    kind: type[BaseException]
    text: str
    trace: str

    @classmethod
    def of(cls, error: BaseException, label: str, where: str) -> Failure:
        """Describe an exception; the label says what was being done."""
        kind = next((each for each in _SAME if isinstance(error, each)), RuntimeError)
        text = str(error)
        if kind is RuntimeError and type(error) is not RuntimeError:
            text = f"{type(error).__name__}: {text}"
        said = f"{text} ({label}, {where} on {socket.gethostname()})".lstrip()
        return cls(kind, said, traceback.format_exc())

    def throw(self) -> NoReturn:
        """Raise it here."""
        raise self.kind(self.text) from _Remote(self.trace)


class _Remote(Exception):
    """The traceback of another process."""

    def __init__(self, text: str) -> None:
        super().__init__(f"\n{text}")


class Workers:
    """Where members are trained; made by `over`.

    Attributes
    ----------
    n_workers : int
        How many pieces of work are done at a time.
    n_threads : int
        How many threads a worker uses.
    rank : int
        Which of several equal processes this one is, from 0. Above 0 only with MPI.
    """

    n_workers = 1
    n_threads = 1
    rank = 0

    def divide(self, costs: Sequence[float]) -> list[Piece]:
        """Divide members among the workers.

        The longest goes first, to the worker with the least work so far. That depends on the costs
        alone.

        Parameters
        ----------
        costs : sequence of n floats
            How much work each member is, in any unit.

        Returns
        -------
        list of Piece
            Those with most work first. None is empty.
        """
        made = []
        for owner, own in enumerate(_spread(range(len(costs)), costs, self.n_workers)):
            count = max(1, min(_PIECES, len(own) // (2 * self.n_threads)))
            made += [Piece(piece, owner) for piece in _spread(own, costs, count)]
        return sorted(made, key=lambda piece: -sum(costs[at] for at in piece.members))

    def share(self, data: Any) -> Shared:
        """Return a context manager that holds data for `map`."""
        return Shared(data)

    def map(self, order: Order) -> list[Any]:
        """Return what the function returns for each part, in their order.

        Raises
        ------
        Exception
            That of a worker, with its text, the members and the worker. The rest is cancelled.
        """
        raise NotImplementedError

    def once(self, function: Callable[[], Result]) -> Result:
        """Return the result of a function that is called in one process of each machine.

        Without MPI it is called here. With MPI, the first rank of each machine calls it, and the
        others get what it returns, whose arrays are read-only and in memory once.
        """
        return function()

    def close(self) -> None:
        """End the workers that `over` started."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Here(Workers):
    """The calling process alone, with all members in one piece."""

    def divide(self, costs: Sequence[float]) -> list[Piece]:
        """Return one piece."""
        return [Piece(list(range(len(costs))), 0)]

    def map(self, order: Order) -> list[Any]:
        """Call the function for one part after the other."""
        return [order.function(order.shared.open(), part) for part in order.parts]


def _spread(members: Sequence[int], costs: Sequence[float], bins: int) -> list[list[int]]:
    """Divide members into at most so many lists of about the same cost, each in ascending order."""
    loads = [0.0] * bins
    lists: list[list[int]] = [[] for _ in range(bins)]
    for member in sorted(members, key=lambda at: (-costs[at], at)):
        least = min(range(bins), key=lambda at: (loads[at], len(lists[at])))
        loads[least] += costs[member]
        lists[least].append(member)
    return [sorted(each) for each in lists if each]


def attempt(function: Work, shared: Shared | Mapped, part: Any, label: str, where: str) -> Any:
    """Return what the function returns, or a Failure."""
    try:
        return function(shared.open(), part)
    except (Exception, KeyboardInterrupt) as error:
        return Failure.of(error, label, where)


def threads_of(slots: int) -> int:
    """Return how many threads each of so many workers of this machine uses."""
    return max(1, int(cpu_info()["cpus"]) // slots)


def work(function: Work, shared: Shared | Mapped, part: Any, label: str, slots: int) -> Any:
    """Do a part of the work in a process of a machine where so many are done at a time."""
    with limit_threads(threads_of(slots)):
        return attempt(function, shared, part, label, f"process {os.getpid()}")


_lock = threading.Lock()
_before: list[int] = []  # the limit in force before each piece of work that this process is doing


@contextmanager
def limit_threads(n: int) -> Iterator[None]:
    """Use at most n threads; several pieces of work in one process have one limit."""
    with _lock:
        _before.append(_before[0] if _before else get_threads())
        set_threads(min(n, _before[0]))
    try:
        yield
    finally:
        with _lock:
            before = _before.pop()
            if not _before:
                set_threads(before)
