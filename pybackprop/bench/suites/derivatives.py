"""``bench derivatives``: derivatives of outputs and cost, for all rows of a batch at once."""

from __future__ import annotations

from ..contenders import OWN
from ..report import Report, Table, ratio_text, time_text
from ..runner import Comparison, Result, compare_with_best
from ..session import Session, own_default
from ..transforms import WAYS
from ..workloads import DERIVATIVES, Derivative

_QUICK_FLOPS = 1e9
_PEERS = ("torch", "jax")


def run(session: Session) -> Report:
    """Time the calls."""
    peers = session.peers(_PEERS)
    report = session.report("derivatives")
    own = own_default("call", session.options)
    rows = []
    for workload in session.select(DERIVATIVES, _QUICK_FLOPS):
        modes = [(OWN, "call")]
        modes += [(library, way) for library in peers for way in WAYS[workload.function]]
        result = session.measure(workload, session.contenders(modes))
        report.results.append(result)
        comparison = compare_with_best(result, own)
        if comparison is not None:
            report.comparisons.append((workload.name, comparison))
        rows.append(_row(workload, result, peers, comparison))
    header = ["derivative", *(f"{name}, best" for name in (OWN, *peers)), "best peer / pybackprop"]
    report.tables.append(Table("Derivatives", header, rows))
    report.notes.append(
        "Each library is shown in its best way at its best number of threads; pybackprop at its "
        "default is compared with the best of all. torch is torch.func, jax is jitted. Ratios are "
        "medians of ratios per round, with their quartiles. Neither peer is told how to find the "
        "norms of gradients without forming these."
    )
    return report


def _row(
    workload: Derivative, result: Result, peers: list[str], comparison: Comparison | None
) -> list[str]:
    row = [f"{workload.name}: {workload.title}"]
    row += [_best(result, library) for library in (OWN, *peers)]
    row.append(ratio_text(comparison.ratio) if comparison else "")
    return row


def _best(result: Result, library: str) -> str:
    """Return the lowest median of a library, and how it was reached."""
    timed = [entry for entry in result.timed if entry.contender.library == library]
    if not timed:
        found = [each.status for each in result.entries if each.contender.library == library]
        return ", ".join(dict.fromkeys(found))
    best = min(timed, key=lambda entry: entry.spread.median)
    way = "" if library == OWN else f"{best.contender.mode}, "
    return f"{time_text(best.spread.median)} ({way}threads: {best.contender.threads_text})"
