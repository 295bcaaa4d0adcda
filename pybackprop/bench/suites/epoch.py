"""``bench epoch``: an epoch of MNIST, shuffled, from memory."""

from __future__ import annotations

from dataclasses import replace

from ..contenders import OWN
from ..report import Report, Table, summary_table, time_text
from ..runner import compare_with_best
from ..session import Session, mnist_folder, own_default
from ..statistics import spread
from ..workloads import mnist_epoch, training_data

_PEERS = {"torch": ("eager",), "jax": ("step", "scan"), "numpy": ("loop",)}
_ROUNDS = 7
_QUICK_BATCHES = 32


def run(session: Session) -> Report:
    """Time the epoch."""
    options = session.options
    folder = mnist_folder(options)
    workload = mnist_epoch(folder, _QUICK_BATCHES) if options.quick else mnist_epoch(folder)
    modes = [(OWN, "fit")]
    for library in session.peers(_PEERS):
        modes += [(library, mode) for mode in _PEERS[library]]
        if library == "torch" and options.compiled:
            modes.append((library, "compile"))
    plan = replace(options.plan, rounds=min(options.plan.rounds, _ROUNDS), seconds=120.0)
    session = replace(session, options=replace(options, plan=plan))
    report = session.report("epoch")
    result = session.measure(workload, session.contenders(modes))
    report.results.append(result)
    comparison = compare_with_best(result, own_default("fit", options))
    if comparison is not None:
        report.comparisons.append((workload.name, comparison))
    report.tables.append(summary_table("A step", report.results, report.comparisons))
    steps = -(-len(training_data(workload)[0]) // workload.batch)
    rows = []
    for entry in result.timed:
        times = spread([seconds * steps for seconds in entry.seconds])
        name = f"{entry.contender.label}, threads: {entry.contender.threads_text}"
        rows.append((name, *map(time_text, (times.median, times.q25, times.q75))))
    header = ("contender", "median", "25 %", "75 %")
    report.tables.append(Table(f"An epoch of {steps} steps", header, rows))
    report.figures["steps_per_epoch"] = steps
    report.notes.append(
        "pybackprop reads the bytes of the images and scales them batch by batch; peers have them "
        "as float32 in memory. Everybody draws a new order and gathers the rows of its batches."
    )
    return report
