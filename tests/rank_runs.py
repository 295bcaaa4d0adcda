"""One rank of a program that mpiexec starts: what test_mpi.py runs.

mpiexec -n 4 python rank_runs.py bits           trains as test_shards.py does, prints digests
mpiexec -n 4 python rank_runs.py train FILE     trains slowly, with a checkpoint at FILE
mpiexec -n 4 python rank_runs.py fail           trains until a callback of rank 1 fails
mpiexec -n 4 python rank_runs.py windows X Y    trains on files that are read in windows
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import Any

from test_shards import train

import pybackprop as bp

CASES: dict[str, dict[str, Any]] = {
    "small": {},
    "large": {"size": "large", "optimizer": "rmsprop"},
    "double": {"size": "large", "dtype": "float64", "shards": 16, "threads": 1},
    "rows": {"batch_size": 6, "optimizer": "adamw", "epochs": 2},
}
LONG: dict[str, Any] = {"epochs": 20}


def digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def train_on_windows(paths: tuple[str, ...], comm: Any = None) -> Any:
    """Train on .npy files; return all bits of what becomes of it."""
    net = bp.Network([6, 30, 2], activation="tanh", dropout=0.2, seed=3)
    data = bp.datasets.Windows(*paths, rows=300)
    history = net.fit(data, epochs=3, batch_size=64, shards=8, comm=comm)
    return net.parameters.tobytes(), history.cost


def main(task: str, *names: str) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if task == "bits":
        for name, case in CASES.items():
            print(name, digest(train(comm, **case)), flush=True)
    elif task == "train":
        print("pid", comm.rank, os.getpid(), flush=True)
        found = train(
            comm, checkpoint=names[0], checkpoint_every="1 steps", resume=True,
            callbacks=lambda _: time.sleep(0.05) if comm.rank == 0 else None, **LONG,
        )  # fmt: skip
        print("train", digest(found), flush=True)
    elif task == "windows":
        print(digest(train_on_windows(names, comm)), flush=True)
    elif task == "fail":

        def callback(end: Any) -> None:
            if comm.rank == 1 and end.epoch == 1:
                raise KeyError("of rank 1")

        try:
            train(comm, callbacks=callback)
        except (KeyError, RuntimeError) as error:
            print(f"rank {comm.rank}: {error!r}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
