"""``bench many``: training steps of many small nets, side by side."""

from __future__ import annotations

from dataclasses import replace

from ..contenders import OWN, Contender
from ..report import Report, Table, ratio_text, summary_table, time_text
from ..runner import Result, compare_with_best
from ..session import Session, own_default
from ..statistics import ratio
from ..workloads import MANY, Members

_PEERS = {"jax": "vmap", "torch": "func", "sklearn": "joblib"}
_COUNTS, _QUICK_COUNTS = (1, 16, 128, 1024), (1, 16)


def run(session: Session) -> Report:
    """Time the steps of every shape, for every number of nets."""
    options = session.options
    counts = options.members or (_QUICK_COUNTS if options.quick else _COUNTS)
    modes = [(OWN, "fit"), (OWN, "one by one")]
    modes += [(library, _PEERS[library]) for library in session.peers(_PEERS)]
    report = session.report("many")
    for shape in session.select(MANY, float("inf")):
        for n in counts:
            workload = replace(shape, name=f"{shape.name}-{n}", n=n)
            result = session.measure(workload, session.contenders(modes))
            report.results.append(result)
            comparison = compare_with_best(result, own_default("fit", options))
            if comparison is not None:
                report.comparisons.append((workload.name, comparison))
    report.tables.append(summary_table("A step of a net", report.results, report.comparisons))
    report.tables += _thread_tables(report.results, options.threads)
    report.notes.append(
        "Times are for one step of one net: whole calls over steps and nets. All go through the "
        "same batches, in order, from different initial weights. One by one: `Network.fit` for "
        "each. JAX: a jitted vmap of a scan. PyTorch: vmap of grad over stack_module_state. "
        "scikit-learn: partial_fit in as many processes as threads, at most 128 models."
    )
    return report


def _thread_tables(results: list[Result], threads: tuple[int | None, ...]) -> list[Table]:
    """Return how many times as fast `fit` is with more threads than one, for each number."""
    tables = []
    for n in threads:
        if n == 1 or 1 not in threads:
            continue
        rows = []
        for result in results:
            one, more = (result.find(Contender(OWN, "fit", each)) for each in (1, n))
            if one is None or more is None:
                continue
            both = (time_text(each.spread.median) for each in (one, more))
            assert isinstance(result.workload, Members)
            gain = ratio_text(ratio(one.seconds, more.seconds))
            rows.append((f"{result.workload.name}: {result.workload.title}", *both, gain))
        words = "the default number of threads" if n is None else f"{n} threads"
        header = ("workload", "1 thread", words, "ratio")
        tables.append(Table(f"pybackprop fit with 1 thread and with {words}", header, rows))
    return tables
