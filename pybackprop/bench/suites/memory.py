"""``bench memory``: what training takes beside the program and the data."""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from ... import SGD, Adam, Network
from ..processes import command
from ..report import Report, Table
from ..session import Session
from ..workloads import STEPS, widths_text

_NAMES = ("rl-64", "tab", "mnist", "wide-1024", "wide-2048")
# Vectors as long as the parameters that the optimizer keeps.
_STATES = {"sgd": 1, "adam": 2}
# Operations of a step above which a quick run leaves a workload out.
_QUICK_FLOPS = 1e9
_MIB = 2.0**20
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def run(session: Session) -> Report:
    """Train each network in a separate process, and read the most memory that it held."""
    if not _STATUS.exists():
        raise ValueError(f"expected a system with {_STATUS} to read memory from")
    report = session.report("memory")
    rows, figures = [], []
    for workload in session.select([each for each in STEPS if each.name in _NAMES], _QUICK_FLOPS):
        for optimizer, states in _STATES.items():
            session.say(f"{workload.name}: {optimizer}")
            widths, batch = workload.widths, workload.batch
            rounds = range(session.options.plan.rounds)
            taken = max(_measure(widths, batch, optimizer) for _ in rounds)
            parameters = 4 * sum((a + 1) * b for a, b in pairwise(widths))
            activations = 4 * batch * sum(widths)
            allowed = (2 + states) * parameters + activations
            figures.append(
                {
                    "workload": workload.name,
                    "optimizer": optimizer,
                    "taken": taken,
                    "parameters": parameters,
                    "activations": activations,
                }
            )
            sizes = (taken, parameters, activations, taken - allowed)
            title = f"{widths_text(widths)}, batch {batch}, {optimizer}"
            rows.append((title, *(f"{size / _MIB:.1f}" for size in sizes)))
    report.figures = {"memory": figures}
    header = ("training", "taken", "parameters", "activations", "beyond what is expected")
    report.tables.append(Table("Memory of training in MiB", header, rows))
    report.notes.append(
        "Taken is the growth of a fresh process from before the network is made to the largest "
        "while it trains. Expected are parameters x (2 + states of the optimizer, one for sgd "
        "with momentum and two for adam) and the activations of one batch, input included."
    )
    return report


def _measure(widths: tuple[int, ...], batch: int, optimizer: str) -> int:
    """Return how far a process that trains grows, in bytes."""
    request = json.dumps({"widths": widths, "batch": batch, "optimizer": optimizer})
    done = subprocess.run(command(__name__, request), check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout)


def _resident(key: str) -> int:
    """Return bytes that this process holds (VmRSS), or the most it has held (VmHWM)."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{_STATUS} has no {key}")


def _train(widths: list[int], batch: int, optimizer: str) -> int:
    """Return how far this process grows in some epochs."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2 * batch, widths[0]), np.float32)
    y = rng.standard_normal((2 * batch, widths[-1]), np.float32)
    rule = Adam(1e-6) if optimizer == "adam" else SGD(1e-6, momentum=0.9)
    # What is loaded and started once is not of this network.
    Network([2, 2], seed=0).fit(np.zeros((4, 2)), np.zeros((4, 2)), epochs=1, optimizer=SGD(0.1))
    gc.collect()
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")  # the most so far was that of imports and data
    before = _resident("VmRSS")
    net = Network(widths, seed=0)
    net.fit(x, y, epochs=2, batch_size=batch, optimizer=rule)
    return _resident("VmHWM") - before


if __name__ == "__main__":
    print(_train(**json.loads(sys.argv[1])))
