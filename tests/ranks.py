"""What the tests with MPI run on every rank.

mpiexec -n N python tests/ranks.py WHAT
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from typing import Any

import numpy as np
import workers as jobs

import pybackprop as bp
from pybackprop.distributed import over


def bits(executor: Any) -> str:
    """Return what tells whether all calls give the same bits."""
    return hashlib.sha256(repr([call(executor) for call in jobs.CALLS]).encode()).hexdigest()


def say(ranks: Any, text: str) -> None:
    """Let rank 0 print what each rank has to say, whose lines mpiexec might mix."""
    lines = ranks._gather(f"{ranks.rank} {text}")
    if ranks.rank == 0:
        print("\n".join(lines), flush=True)


def fit(ranks: Any, x: Any = jobs.X, **arguments: Any) -> None:
    seed = arguments.pop("seed", 0)
    nets = bp.Networks([4, 3, 2], n=8, seed=seed)
    nets.fit(x, jobs.Y, executor=ranks, **arguments)


def raising(ranks: Any) -> Any:
    def loss(a: Any, y: Any) -> Any:
        if ranks.rank == 1:
            raise ZeroDivisionError("one over nothing")
        time.sleep(0.05)
        return jobs.absolute(a, y)

    return loss


def once(ranks: Any) -> None:
    """Arrays are made on one rank, and mapped by the others."""
    called = []
    array = ranks.once(lambda: called.append(1) or np.arange(10_000.0))
    assert len(called) == (ranks.rank == 0)
    assert array.sum() == 49_995_000
    assert array.flags.writeable == (ranks.rank == 0)
    try:
        ranks.once(lambda: [][1])
    except RuntimeError as error:
        say(ranks, f"caught {error}")


def main(what: str) -> None:
    ranks = over("mpi", timeout=2.0)
    if what == "bits":
        say(ranks, bits(ranks))
    elif what == "once":
        once(ranks)
    elif what == "raise":
        nets = [bp.Network([4, 2], loss=raising(ranks), seed=at) for at in range(40)]
        bp.fit_many(nets, jobs.X, jobs.Y, epochs=3, executor=ranks)
    elif what == "caught":
        try:
            fit(ranks, optimizers="none")
        except TypeError:
            fit(ranks)
        say(ranks, "trained")
    elif what == "data":
        fit(ranks, jobs.X + (ranks.rank == 1))
    elif what == "arguments":
        fit(ranks, epochs=0)
    elif what == "seeds":
        fit(ranks, seed=None)
    elif what == "outside" and ranks.rank == 1:
        raise OSError("no such disk")
    elif what == "killed" and ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "absent" and ranks.rank == 1:
        time.sleep(60)
    else:
        fit(ranks)


if __name__ == "__main__":
    main(sys.argv[1])
