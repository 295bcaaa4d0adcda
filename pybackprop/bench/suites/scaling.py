"""``bench scaling``: what a step inside `fit` costs as batch, width, depth and threads grow."""

from __future__ import annotations

from dataclasses import replace

from ...runtime import cpu_info
from ..contenders import OWN, Contender
from ..report import Report, Table, ratio_text, time_text
from ..runner import Result
from ..session import Session
from ..statistics import ratio
from ..workloads import Training

_MODES = {"torch": "eager", "jax": "scan", "numpy": "loop"}
_ROUNDS, _SECONDS = 15, 5.0
_QUICK_FLOPS = 2e7
_WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16)


def _training(name: str, widths: tuple[int, ...], batch: int) -> Training:
    return Training(
        name,
        widths,
        batch,
        "relu",
        "cross_entropy",
        lr=1e-3,
        n_batches=max(8, min(1000, 8192 // batch)),
        optimizer="adam",
    )


SWEEPS = {
    "batch": [_training(f"batch-{n}", (10, 64, 64, 10), n) for n in _BATCHES],
    "width": [_training(f"width-{n}", (10, n, n, 10), 128) for n in _WIDTHS],
    "depth": [_training(f"depth-{n}", (10, *(64,) * n, 10), 128) for n in _DEPTHS],
    "threads": [
        _training("threads-64", (10, 64, 64, 10), 128),
        _training("threads-256", (10, 256, 256, 10), 128),
        _training("threads-1024", (10, 1024, 1024, 10), 128),
    ],
}


def run(session: Session) -> Report:
    """Time the sweeps; peers take part only if they are named."""
    options = session.options
    for name in options.only:
        if name not in SWEEPS:
            raise ValueError(f"--only: expected one of {', '.join(SWEEPS)}, got {name}")
    plan = options.plan
    plan = replace(plan, rounds=min(plan.rounds, _ROUNDS), seconds=min(plan.seconds, _SECONDS))
    session = replace(session, options=replace(options, plan=plan, only=()))
    peers = [] if options.peers is None else session.peers(_MODES)
    report = session.report("scaling")
    report.figures["default_over_one_thread"] = {}
    for sweep in options.only or SWEEPS:
        threads = _thread_counts() if sweep == "threads" else (1, None)
        contenders = [
            Contender(library, mode, n)
            for library, mode in [(OWN, "fit"), *((peer, _MODES[peer]) for peer in peers)]
            for n in threads
        ]
        workloads = session.select(SWEEPS[sweep], _QUICK_FLOPS)
        results = [session.measure(workload, contenders) for workload in workloads]
        report.results += results
        report.tables.append(_table(sweep, results, contenders, report))
    report.notes.append(
        "The ratio of default threads to one thread is the median of the ratios per round, with "
        "its quartiles: above 1, threads cost more than they bring."
    )
    return report


def _thread_counts() -> tuple[int | None, ...]:
    """Return 1, 2, 4, … up to the CPUs of this process, and the default."""
    cpus = int(cpu_info()["cpus"])
    counts = [1]
    while counts[-1] * 2 < cpus:
        counts.append(counts[-1] * 2)
    return (*counts, cpus, None) if cpus > 1 else (1, None)


def _table(sweep: str, results: list[Result], contenders: list[Contender], report: Report) -> Table:
    one, default = Contender(OWN, "fit", 1), Contender(OWN, "fit", None)
    header = [f"{each.label}, {each.threads_text}" for each in contenders]
    rows = []
    for result in results:
        row = [result.workload.title]
        for contender in contenders:
            entry = result.find(contender)
            row.append("" if entry is None else time_text(entry.spread.median))
        base, other = result.find(one), result.find(default)
        if base is not None and other is not None:
            found = ratio(other.seconds, base.seconds)
            report.figures["default_over_one_thread"][result.workload.name] = found.median
            row.append(ratio_text(found))
        else:
            row.append("")
        rows.append(row)
    return Table(f"A step by {sweep}", ["net", *header, "default / one thread"], rows)
