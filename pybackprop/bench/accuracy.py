"""``bench accuracy``: what each precision learns of MNIST."""

from __future__ import annotations

import time
from statistics import mean

import numpy as np

from .. import Adam, Network
from .report import Report, Table, time_text
from .session import Session, mnist_folder
from .workloads import MNIST_WIDTHS

_PRECISIONS = ("float32", "bf16", "bf16x3")
_SEEDS = 5
_EPOCHS = 10
_BATCH = 128
_QUICK_ROWS = 2048


def run(session: Session) -> Report:
    """Train with every precision from equal weights, and count the test images recognised."""
    from ..datasets import load

    options = session.options
    folder = mnist_folder(options)
    data = load(folder)
    if data.x_test is None or data.y_test is None:
        raise ValueError(f"expected test images and labels in {folder}, found none")
    rows = _QUICK_ROWS if options.quick else len(data.x)
    x, y, epochs = data.x[:rows], data.y[:rows], 1 if options.quick else _EPOCHS
    seeds = range(1 if options.quick else min(_SEEDS, options.plan.rounds))
    accuracies: dict[str, list[float]] = {precision: [] for precision in _PRECISIONS}
    seconds: dict[str, list[float]] = {precision: [] for precision in _PRECISIONS}
    for seed in seeds:
        for precision in _PRECISIONS:
            session.say(f"seed {seed}: {precision}")
            net = _network(precision, seed)
            begin = time.perf_counter()
            net.fit(x, y, epochs=epochs, batch_size=_BATCH, optimizer=Adam(lr=1e-3))
            seconds[precision].append(time.perf_counter() - begin)
            right = net.predict(data.x_test).argmax(axis=1) == data.y_test
            accuracies[precision].append(100.0 * float(right.mean()))
    report = session.report("accuracy")
    report.figures = {"accuracies": accuracies, "seconds": seconds}
    report.tables.append(_table(accuracies, seconds))
    report.notes.append(
        f"784-512-512-10, relu, Adam with learning rate 0.001, batch {_BATCH}, {rows} images "
        f"shuffled, epochs: {epochs}, seeds: {len(seeds)}; accuracy on {len(data.y_test)} test "
        "images in percent. All precisions start from the same weights and draw the same orders."
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
    """Return means, differences from float32, and the range of the seeds."""
    base = mean(accuracies["float32"])
    rows = [
        (
            precision,
            f"{mean(found):.3f}",
            f"{mean(found) - base:+.3f}",
            f"{min(found):.2f} to {max(found):.2f}",
            time_text(mean(seconds[precision])),
        )
        for precision, found in accuracies.items()
    ]
    header = ("precision", "mean accuracy", "beside float32", "lowest to highest", "training time")
    return Table("Test accuracy on MNIST", header, rows)
