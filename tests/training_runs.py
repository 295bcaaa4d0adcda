"""Training runs with everything on, for tests that stop them and go on in other processes.

As a program, ``python training_runs.py resume FILE…`` goes on from checkpoints named
OPTIMIZER-DTYPE-PRECISION….npz and prints what became of each; ``python training_runs.py train FILE
RUN`` trains on and on, from the checkpoint at FILE if there is one. A run whose name goes on with
"-team" is of a network that two threads train together.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop import _core

RNG = np.random.default_rng(21)
X = RNG.normal(size=(90, 4))
Y = np.sin(X[:, :2]) + 0.3 * RNG.normal(size=(90, 2))
WEIGHTS = RNG.uniform(0.0, 2.0, 90)
EPOCHS = 6
N_BATCHES = 8  # in an epoch: of the 90 rows, 68 are trained on, 9 at a time

OPTIMIZERS: dict[str, Callable[[], bp.Optimizer]] = {
    "sgd": lambda: bp.SGD(lr=0.05, clip_norm=0.5),
    "nesterov": lambda: bp.SGD(bp.schedules.OneCycle(0.1, 44), momentum=0.9, nesterov=True),
    "adam": lambda: bp.Adam(lr=0.02),
    "cosine": lambda: bp.Adam(bp.schedules.Cosine(0.02, 30, warmup=7), weight_decay=0.01),
    "adamw": lambda: bp.AdamW(lr=bp.schedules.Exponential(0.02, 0.97)),
    "rmsprop": lambda: bp.RMSprop(momentum=0.5, centered=True, clip_norm=1.0),
    "adagrad": lambda: bp.Adagrad(lr_decay=0.01, initial_accumulator_value=0.1),
    "function": lambda: bp.SGD(lr=lambda step: 0.05 / (1 + step), momentum=0.9),
}
KINDS = [("float64", "float32"), *(("float32", name) for name in _core.PRECISIONS)]
RUNS = [f"{name}-{dtype}-{precision}" for name in OPTIMIZERS for dtype, precision in KINDS]


def absolute(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A loss of the user's."""
    return np.abs(a - y).mean(axis=1), np.sign(a - y) / a.shape[1]


def make(run: str) -> tuple[bp.Network, bp.Optimizer]:
    """Return the network and the optimizer of a run as they are at its start."""
    name, dtype, precision = run.split("-")[:3]
    hidden = [260, 260] if is_of_a_team(run) else [24, 17]
    net = bp.Network(
        [4, *hidden, 2], activation=["gelu", "relu"], dtype=dtype, precision=precision, seed=6,
        dropout=[0.2, 0.4], l1=1e-4, l2=0.01, loss=absolute if name == "function" else "huber",
    )  # fmt: skip
    net.set_scaling(X.mean(0), 1 / X.std(0))
    net.metadata = {"run": run}
    return net, OPTIMIZERS[name]()


def is_of_a_team(run: str) -> bool:
    """Whether two threads train the network: a step of it is worth the wake of the second."""
    return run.endswith("-team")


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    before = bp.get_threads()
    bp.set_threads(threads)
    try:
        yield
    finally:
        bp.set_threads(before)


def helpers_started(work: Callable[[], Any]) -> int:
    """Return how many threads of the system come to help with some work where two may run.

    They are counted in a fork, which is without those that other work has started.
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            before = len(os.listdir("/proc/self/task"))
            with thread_limit(2):
                work()
            os.write(write, str(len(os.listdir("/proc/self/task")) - before).encode())
        except BaseException as error:
            os.write(write, repr(error).encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        count = pipe.read()
    os.waitpid(pid, 0)
    return int(count)


def slow_down(optimizer: bp.Optimizer) -> Callable[[bp.EpochEnd], None]:
    """Return a callback that lowers a constant rate as the validation cost goes up and down."""

    def callback(end: bp.EpochEnd) -> None:
        if isinstance(optimizer.lr, float):
            optimizer.lr = optimizer.lr * (0.9 if int(1e6 * end.cost) % 2 else 0.95)

    return callback


def train(run: str, **arguments: Any) -> dict[str, Any]:
    """Train, and return all that a run leaves behind but the time it took."""
    net, optimizer = make(run)
    batch_size = 34 if is_of_a_team(run) else 9
    settings = {"epochs": EPOCHS, "batch_size": batch_size, "patience": 2, "validation": 0.25}
    settings.update(arguments)
    history = net.fit(
        X, Y, optimizer=optimizer, sample_weight=WEIGHTS, callbacks=slow_down(optimizer), **settings
    )  # fmt: skip
    assert len(history.seconds) == len(history)
    return {**state(net, optimizer), **figures(history)}


def figures(history: bp.History) -> dict[str, Any]:
    best, stopped = history.best_epoch, history.stopped_early
    return {"cost": history.cost, "val_cost": history.val_cost, "best": best, "stopped": stopped}


def state(net: bp.Network, optimizer: bp.Optimizer) -> dict[str, Any]:
    """Return what tells states of training apart."""
    kept = optimizer.state_dict()
    lr = optimizer.lr
    return {
        "parameters": zlib.crc32(net.parameters),
        "counters": list(net._net.get_counters()),
        "step": kept["step"],
        "vectors": {name: zlib.crc32(vector) for name, vector in kept["state"].items()},
        "lr": lr if isinstance(lr, float) else None,
        "metadata": net.metadata,
    }


def main(command: str, *arguments: str) -> None:
    if command == "resume":
        print(json.dumps([train(Path(path).name, resume=path) for path in arguments]))
    else:
        path, run = arguments
        if is_of_a_team(run):
            bp.set_threads(2)
        print("ready", flush=True)
        train(run, epochs=10**6, patience=None, checkpoint=path, checkpoint_every="1 step",
              resume=True)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
