"""What MPI offers here: the library, the ranks, and how fast messages are."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..inputs import as_real
from ._ranks import Ranks, library

_SMALL, _LARGE = 8, 8 << 20
_ROUNDS = 5


def mpi_info(timeout: float = 300.0) -> dict[str, Any]:
    """Return what MPI offers here; every rank calls it, and gets the same.

    Parameters
    ----------
    timeout : float
        As for `over`.

    Returns
    -------
    dict
        `library`, `standard` (of MPI), `mpi4py` (its version); `hosts`, ranks by machine;
        `messages`, a list with `ranks` (two of one machine, or of two), `latency` (s, for 8 bytes
        one way) and `bandwidth` (bytes/s, for 8 MiB); `ranks`, a list with `host`, `cpus`,
        `threads`, `isa` and `bf16` of each.

    Raises
    ------
    ImportError
        There is no mpi4py, or no library for it.
    """
    workers = Ranks(as_real(timeout, "timeout", low=0.0))
    hosts: dict[str, int] = {}
    for each in workers.ranks:
        hosts[each["host"]] = hosts.get(each["host"], 0) + 1
    names = ("host", "cpus", "threads", "isa", "bf16")
    return {
        **library(),
        "hosts": hosts,
        "messages": [_measure(workers, other) for other in partners(workers.ranks)],
        "ranks": [{name: each[name] for name in names} for each in workers.ranks],
    }


def partners(ranks: list[dict[str, Any]]) -> list[int]:
    """Return the first rank on the machine of rank 0, and the first on another one."""
    near = [at for at in range(1, len(ranks)) if ranks[at]["host"] == ranks[0]["host"]]
    far = [at for at in range(1, len(ranks)) if ranks[at]["host"] != ranks[0]["host"]]
    return near[:1] + far[:1]


def _measure(workers: Ranks, other: int) -> dict[str, Any]:
    """Send messages from rank 0 to another and back, and return the best times of some rounds."""
    seconds = {_SMALL: 0.0, _LARGE: 0.0}
    for size, count in ((_SMALL, 100), (_LARGE, 2)):
        message = np.zeros(size, np.uint8)
        if workers.rank in (0, other):
            partner = other if workers.rank == 0 else 0
            rounds = [_exchange(workers, partner, message, count) for _ in range(_ROUNDS)]
            seconds[size] = min(rounds)
    found = workers.from_rank_0(seconds)
    return {
        "ranks": [0, other],
        "latency": found[_SMALL],
        "bandwidth": _LARGE / found[_LARGE],
    }


def _exchange(workers: Ranks, partner: int, message: Any, count: int) -> float:
    """Return the time of one message one way."""
    begin = time.perf_counter()
    for _ in range(count):
        if workers.rank == 0:
            workers.comm.Send(message, partner)
            workers.comm.Recv(message, partner)
        else:
            workers.comm.Recv(message, partner)
            workers.comm.Send(message, partner)
    return (time.perf_counter() - begin) / (2 * count)
