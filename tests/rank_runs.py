"""One rank of a program that mpiexec starts: what test_mpi.py and test_mpi_kills.py run.

mpiexec -n 4 python rank_runs.py matrix NAME …     trains as test_shards.py does, prints digests
mpiexec -n 4 python rank_runs.py train NAME FILE   trains slowly, with a checkpoint at FILE
mpiexec -n 4 python rank_runs.py fail              trains until a callback of rank 1 fails
mpiexec -n 4 python rank_runs.py windows X Y       trains on files that are read in windows
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import Any

from test_shards import OPTIMIZERS, WIDTHS, train

import pybackprop as bp

# What is trained by 1, 2, 3, 4 and 8 ranks, on two MPI libraries, with one thread and with two: at
# least 50 steps each, with dropout, penalties and sample weights, and a short last batch.
THREADS = (1, 2)
MATRIX: dict[str, dict[str, Any]] = {
    **{
        f"{optimizer}-{size}": {
            "optimizer": optimizer,
            "size": size,
            "epochs": 13,
            "clip_norm": 0.1,
        }
        for optimizer in OPTIMIZERS
        for size in WIDTHS
    },
    "double": {"dtype": "float64", "size": "large", "shards": 16, "epochs": 13},
    "rounded": {"size": "large", "exchange": "bf16", "epochs": 13},
    "fewer-rows-than-shards": {"batch_size": 6, "optimizer": "adamw", "epochs": 2},
}

# What is killed and goes on.
KILLED: dict[str, dict[str, Any]] = {
    **{name: {"optimizer": name, "epochs": 20} for name in OPTIMIZERS},
    "best": {"validation": 0.2, "patience": 20, "epochs": 20},
    "large": {"size": "large", "optimizer": "rmsprop", "shards": 16, "epochs": 20},
    "rounded": {"exchange": "bf16", "epochs": 20},
}


def digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def train_on_windows(paths: tuple[str, ...], comm: Any = None) -> Any:
    """Train on .npy files; return all bits of what becomes of it."""
    net = bp.Network([6, 30, 2], activation="tanh", dropout=0.2, seed=3)
    data = bp.datasets.Windows(*paths, rows=300)
    history = net.fit(data, epochs=3, batch_size=64, shards=8, comm=comm)
    return net.parameters.tobytes(), history.cost


def say(comm: Any, line: str) -> None:
    """Let rank 0 print a line of each rank, which mpiexec might mix."""
    lines = comm.gather(line)
    if comm.rank == 0:
        print("\n".join(lines), flush=True)


def main(task: str, *names: str) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if task == "matrix":
        for name in names:
            for threads in THREADS:
                found = digest(train(comm, **MATRIX[name], threads=threads))
                say(comm, f"{name} {threads} {found}")
    elif task == "train":
        name, path = names
        say(comm, f"pid {comm.rank} {os.getpid()}")
        found = train(
            comm, checkpoint=path, checkpoint_every="1 steps", resume=True,
            callbacks=lambda _: time.sleep(0.05) if comm.rank == 0 else None, **KILLED[name],
        )  # fmt: skip
        say(comm, f"train {digest(found)}")
    elif task == "windows":
        say(comm, digest(train_on_windows(names, comm)))
    elif task == "fail":

        def callback(end: Any) -> None:
            if comm.rank == 1 and end.epoch == 1:
                raise KeyError("of rank 1")

        try:
            train(comm, callbacks=callback)
        except (KeyError, RuntimeError) as error:
            say(comm, f"rank {comm.rank}: {error!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
