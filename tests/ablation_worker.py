"""Trains one network whenever it is told to, and says how long a step takes; see ablation.py."""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    wanted = json.loads(sys.argv[1])
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())

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

    def train() -> int:
        if wanted["epochs"]:
            net.fit(X, y, epochs=wanted["epochs"], batch_size=batch, optimizer=optimizer)
            return int(wanted["epochs"] * wanted["batches"])
        net.step(X[:batch], y[:batch], optimizer)
        return 1

    while True:
        steps, longest = 0, 0.0
        begin = end = time.perf_counter()
        while end - begin < seconds:
            steps += train()
            longest, end = max(longest, time.perf_counter() - end), time.perf_counter()
        print((end - begin) / steps, longest, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        seconds = float(line)


if __name__ == "__main__":
    main()
