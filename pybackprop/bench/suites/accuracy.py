"""``bench accuracy``: what each precision learns of MNIST."""

from __future__ import annotations

import math
import time
from statistics import mean, stdev

import numpy as np

from ... import Adam, Network
from ..report import Report, Table, time_text
from ..session import Session, mnist_folder
from ..workloads import MNIST_WIDTHS

# The second run shows how much the smallest possible change affects the figure. A precision cannot
# be told from float32 by a smaller difference.
_MOVED = "float32, one weight moved"
_RUNS = {"float32": "float32", _MOVED: "float32", "bf16": "bf16", "bf16x3": "bf16x3"}
_EPOCHS = 10
_BATCH = 128
_QUICK_ROWS = 2048


def run(session: Session) -> Report:
    """Train with every precision from equal weights, and count the test images recognised."""
    from ...datasets import load

    options = session.options
    folder = mnist_folder(options)
    data = load(folder)
    if data.x_test is None or data.y_test is None:
        raise ValueError(f"expected test images and labels in {folder}, found none")
    rows = _QUICK_ROWS if options.quick else len(data.x)
    x, y, epochs = data.x[:rows], data.y[:rows], 1 if options.quick else _EPOCHS
    seeds = range(1 if options.quick else options.plan.rounds)
    accuracies: dict[str, list[float]] = {name: [] for name in _RUNS}
    seconds: dict[str, list[float]] = {name: [] for name in _RUNS}
    for seed in seeds:
        for name, precision in _RUNS.items():
            session.say(f"seed {seed}: {name}")
            net = _network(precision, seed)
            if name == _MOVED:
                w = net.weights[-1].copy()
                w[0, 0] = np.nextafter(w[0, 0], np.float32(1.0))
                net.set_layer(len(net.weights) - 1, w, net.biases[-1])
            begin = time.perf_counter()
            net.fit(x, y, epochs=epochs, batch_size=_BATCH, optimizer=Adam(lr=1e-3))
            seconds[name].append(time.perf_counter() - begin)
            right = net.predict(data.x_test).argmax(axis=1) == data.y_test
            accuracies[name].append(100.0 * float(right.mean()))
    report = session.report("accuracy")
    report.figures = {"accuracies": accuracies, "seconds": seconds}
    report.tables.append(_table(accuracies, seconds))
    report.notes.append(
        f"784-512-512-10, relu, Adam with learning rate 0.001, batch {_BATCH}, {rows} images "
        f"shuffled, epochs: {epochs}, seeds: {len(seeds)}; accuracy on {len(data.y_test)} test "
        "images in percent. All start from the same weights, but for the last bit of one of them "
        "in the second row, and draw the same orders."
    )
    return report


def _network(precision: str, seed: int) -> Network:
    """Return an untrained network that scales bytes itself."""
    net = Network(
        MNIST_WIDTHS, output="softmax", loss="cross_entropy", precision=precision, seed=seed
    )
    net.set_scaling(np.zeros(MNIST_WIDTHS[0]), np.full(MNIST_WIDTHS[0], 1.0 / 255.0))
    return net


def _table(accuracies: dict[str, list[float]], seconds: dict[str, list[float]]) -> Table:
    """Return means, differences from float32 with standard errors, and the range of the seeds."""
    base = accuracies["float32"]
    rows = [
        (
            name,
            f"{mean(found):.3f}",
            _beside(found, base),
            f"{min(found):.2f} to {max(found):.2f}",
            time_text(mean(seconds[name])),
        )
        for name, found in accuracies.items()
    ]
    header = ("products", "mean accuracy", "beside float32", "lowest to highest", "training time")
    return Table("Test accuracy on MNIST", header, rows)


def _beside(found: list[float], base: list[float]) -> str:
    """Return the mean of the seeds' differences; behind it how far chance takes it, one sigma."""
    differences = [a - b for a, b in zip(found, base, strict=True)]
    text = f"{mean(differences):+.3f}"
    if found is base or len(differences) < 2:
        return text
    return f"{text} (± {stdev(differences) / math.sqrt(len(differences)):.3f})"
