"""Trains one network whenever it is told to, and says how long a step takes; see ablation.py."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def gather() -> None:
    """Put all threads of this process on one CPU, and then allow them all CPUs again."""
    allowed = os.sched_getaffinity(0)
    threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    for cpus in ({min(allowed)}, allowed):
        for thread in threads:
            os.sched_setaffinity(thread, cpus)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())

    import numpy as np

    import pybackprop as bp

    sizes, batch = wanted["sizes"], wanted["batch"]
    rng = np.random.default_rng(0)
    net = bp.Network(
        sizes,
        activation=wanted["activation"],
        output=wanted["output"],
        loss=wanted["loss"],
        dtype=wanted["dtype"],
        seed=0,
    )
    rows = wanted["batches"] * batch
    X = rng.normal(size=(rows, sizes[0])).astype(wanted["dtype"])
    if wanted["loss"] == "cross_entropy":
        y = rng.integers(0, sizes[-1], rows)
    else:
        y = rng.normal(size=(rows, sizes[-1])).astype(wanted["dtype"])
    optimizer = bp.SGD(lr=1e-4)
    while True:
        if order["together"]:
            gather()
        steps, begin = 0, time.perf_counter()
        while (spent := time.perf_counter() - begin) < order["seconds"]:
            net.fit(X, y, epochs=wanted["epochs"], batch_size=batch, optimizer=optimizer)
            steps += wanted["epochs"] * wanted["batches"]
        print(spent / steps, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        order = json.loads(line)


if __name__ == "__main__":
    main()
