"""Compare what `distributed.estimate` says of two ranks with what `fit` takes on them.

    mpiexec -n 2 python tests/plan_ranks.py 784,512,512,10 1024

Prints, for each round, the step in ms that was computed and the one that was measured. To be run by
hand, where nothing else runs: no test asserts a time.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import pybackprop as bp

ROUNDS, BATCHES, EPOCHS = 5, 4, 5


def measure(widths: list[int], batch: int, comm: Any) -> float:
    """Return the time of a step of `fit` on these ranks, in s."""
    net = bp.Network(widths, seed=0)
    x = np.random.default_rng(0).random((BATCHES * batch, widths[0]), np.float32)
    y = np.full((len(x), widths[-1]), 0.5, np.float32)
    history = net.fit(
        x, y, batch_size=batch, epochs=EPOCHS, optimizer=bp.Adam(lr=0.0), comm=comm, shards=2
    )
    return float(np.median(history.seconds[1:])) / BATCHES


def main(words: str, batch: str) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    widths, rows = [int(word) for word in words.split(",")], int(batch)
    bp.set_threads(1)
    for _ in range(ROUNDS):
        found = bp.distributed.estimate(bp.Network(widths, seed=0), rows, [2])
        (two,) = found["nodes"]
        measured = measure(widths, rows, comm)
        if comm.rank == 0:
            one, computed, messages = (
                1e3 * value for value in (found["step"], two["step"], two["messages"])
            )
            network = f"{1e6 * found['latency']:.0f} us, {found['bandwidth'] / 1e6:.0f} MB/s"
            print(
                f"one {one:.2f}, two computed {computed:.2f} (messages {messages:.2f}; {network}), "
                f"measured {1e3 * measured:.2f}: {computed / 1e3 / measured - 1:+.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
