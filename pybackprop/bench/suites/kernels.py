"""``bench kernels``: products and activations by themselves, for every instruction set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...runtime import cpu_info
from ..contenders import OWN, Contender
from ..processes import ProcessError
from ..report import Report, Table, ratio_text
from ..runner import Comparison, Entry, Result, compare_with_best
from ..session import Session
from ..statistics import Spread, geometric_mean, ratio, spread
from ..workloads import ELEMENTWISE, PRODUCTS, Elementwise, Product, Workload

_PEERS = ("torch", "numpy")
_ROUNDS, _SECONDS = 11, 8.0
_QUICK_FLOPS = 3e8
# Left out unless asked for by name: seconds a call.
_LONG_FLOAT64_FLOPS = 1e11
# Shapes above this say no more about the slow portable kernels.
_PORTABLE_FLOPS = 3e9


def run(session: Session) -> Report:
    """Time the kernels."""
    options = session.options
    plan = options.plan
    plan = replace(plan, rounds=min(plan.rounds, _ROUNDS), seconds=min(plan.seconds, _SECONDS))
    session = replace(session, options=replace(options, plan=plan))
    isas = list(reversed(cpu_info()["available"]))
    report = session.report("kernels")
    peers = session.peers(_PEERS)
    every: tuple[Product | Elementwise, ...] = (*PRODUCTS, *ELEMENTWISE)
    for workload in session.select(every, _QUICK_FLOPS):
        product = isinstance(workload, Product)
        if _is_long(workload.flops, getattr(workload, "dtype", "")) and not options.only:
            continue
        mode = "product" if product else "elementwise"
        contenders = [
            Contender(OWN, mode, threads, isa)
            for isa in isas
            if not _is_slow(workload, isa, isas[0])
            for threads in options.threads
        ]
        if isinstance(workload, Product) and workload.precision != "float32":
            contenders += [
                Contender(OWN, "float32", threads, isas[0]) for threads in options.threads
            ]
        contenders += session.contenders((peer, mode) for peer in _able(workload, peers))
        result = session.measure(workload, contenders, with_peak=product)
        report.results.append(result)
        for threads in options.threads:
            comparison = compare_with_best(result, Contender(OWN, mode, threads, isas[0]))
            if comparison is not None:
                report.comparisons.append((workload.name, comparison))
    _summarize(report, isas, session)
    return report


def _is_slow(workload: Product | Elementwise, isa: str, best: str) -> bool:
    """Return whether an instruction set takes long for a shape that says nothing more about it."""
    precision = getattr(workload, "precision", "float32")
    # Emulation multiplies no faster than float32, and for bf16x3 forms six products for each one.
    cost = workload.flops * (6 if precision == "bf16x3" else 1)
    return cost > _PORTABLE_FLOPS and (
        isa == "portable" or (precision != "float32" and isa != best)
    )


def _able(workload: Product | Elementwise, peers: Sequence[str]) -> list[str]:
    """Return the peers that have the type; NumPy has no bfloat16."""
    bf16 = getattr(workload, "precision", "") == "bf16"
    return [peer for peer in peers if peer == "torch" or not bf16]


def _is_long(flops: float, dtype: str) -> bool:
    return dtype == "float64" and flops > _LONG_FLOAT64_FLOPS


def _summarize(report: Report, isas: Sequence[str], session: Session) -> None:
    """Add the tables, and the geometric means of shares and ratios."""
    means: dict[str, float] = {}
    for kind in ("float32", "float64", "bf16", "bf16x3"):
        results = [each for each in report.results if _is_product(each, kind)]
        for threads in session.options.threads if results else ():
            name = "default" if threads is None else str(threads)
            own = [Contender(OWN, "product", threads, isa) for isa in isas]
            if kind.startswith("bf16"):
                own.append(Contender(OWN, "float32", threads, isas[0]))
            ratios = [found.median for each in results if (found := _against_torch(each, own[0]))]
            if ratios:
                means[f"{kind} {isas[0]} threads {name} times torch.mm"] = geometric_mean(ratios)
            ratios = [found.median for each in results if (found := _against_float32(each, own))]
            if ratios:
                means[f"{kind} {isas[0]} threads {name} times own float32"] = geometric_mean(ratios)
            title = f"Products in {kind}, threads: {name}; GFLOP/s and share of peak"
            report.tables.append(_product_table(title, results, own, report, session))
            for contender in own:
                shares = [share for each in results if (share := _share(each, contender))]
                if shares:
                    key = f"{kind} {_label(contender)} threads {name} share of peak"
                    means[key] = geometric_mean(shares)
    elementwise = [each for each in report.results if not isinstance(each.workload, Product)]
    if elementwise:
        report.tables.append(_elementwise_table(elementwise))
    report.figures["geometric_means"] = means
    rows = [(name, f"{value:.3f}") for name, value in means.items()]
    if rows:
        report.tables.append(Table("Geometric means over shapes", ("of", "mean"), rows))
    report.notes.append(
        "Peak is peak_flops, a loop of multiply-adds in registers, read in the same process after "
        "every turn; a share is the median of the shares per round. Blocks are rows x sums x "
        "columns, with one thread."
    )


def _is_product(result: Result, kind: str) -> bool:
    return isinstance(result.workload, Product) and result.workload.kind == kind


def _label(own: Contender) -> str:
    return own.isa or "" if own.mode == "product" else f"{own.isa} in {own.mode}"


def _share(result: Result, contender: Contender) -> float | None:
    """Return the share of peak that a contender reaches, the median over the rounds."""
    entry = result.find(contender)
    if entry is None:
        return None
    pairs = zip(entry.seconds, entry.peaks, strict=True)
    return spread([result.workload.flops / seconds / peak for seconds, peak in pairs]).median


def _product_table(
    title: str,
    results: Sequence[Result],
    own: Sequence[Contender],
    report: Report,
    session: Session,
) -> Table:
    threads = own[0].threads
    peers = list(
        dict.fromkeys(
            entry.contender
            for result in results
            for entry in result.entries
            if entry.contender.library != OWN and entry.contender.threads == threads
        )
    )
    header = ["shape", *(_label(each) for each in own), *(each.library for each in peers)]
    rows = []
    for result in results:
        row = [result.workload.title]
        row += [_rate(result, each) for each in (*own, *peers)]
        found = _against_torch(result, own[0])
        row.append(ratio_text(found) if found else "")
        row.append(_against_best(report.comparisons, result, own[0]))
        row.append(_plan_text(session, result.workload, own[0]))
        rows.append(row)
    header += [f"{own[0].isa} / torch.mm", f"{own[0].isa} / best peer of any threads"]
    header.append(f"how {own[0].isa} forms it")
    return Table(title, header, rows)


def _plan_text(session: Session, workload: Workload, own: Contender) -> str:
    """Return what the core decides; nothing for bfloat16, which has a driver of its own."""
    if not isinstance(workload, Product) or workload.precision != "float32":
        return ""
    try:
        plan = session.processes.of(own).ask(
            "plan", m=workload.m, k=workload.k, n=workload.n, dtype=workload.dtype
        )
    except ProcessError:
        session.processes.forget_ended()
        return ""
    packed = " and ".join(name for name in "ab" if plan[f"packs_{name}"])
    sizes = "x".join(map(str, plan["tile"])), "x".join(map(str, plan["block"]))
    return f"tiles {sizes[0]}, blocks {sizes[1]}" + (f", {packed} packed" if packed else "")


def _against_torch(result: Result, own: Contender) -> Spread | None:
    """Return how often an own contender does the product while torch.mm does it once."""
    mine, other = result.find(own), result.find(Contender("torch", "product", own.threads))
    return ratio(other.seconds, mine.seconds) if mine and other else None


def _against_float32(result: Result, own: Sequence[Contender]) -> Spread | None:
    """Return how often the first does the product while the last does it once in float32."""
    first, last = result.find(own[0]), result.find(own[-1])
    return (
        ratio(last.seconds, first.seconds) if own[-1].mode == "float32" and first and last else None
    )


def _rate(result: Result, contender: Contender) -> str:
    """Return GFLOP/s, with the share of peak of an own contender."""
    entry = result.find(contender)
    if entry is None:
        found = [each.status for each in result.entries if each.contender == contender]
        return found[0] if found else ""
    share = _share(result, contender) if entry.peaks else None
    rate = f"{result.workload.flops / entry.spread.median * 1e-9:.1f}"
    return rate if share is None else f"{rate} ({share:.0%})"


def _against_best(
    comparisons: Sequence[tuple[str, Comparison]], result: Result, own: Contender
) -> str:
    for name, each in comparisons:
        if name == result.workload.name and each.own == own:
            return ratio_text(each.ratio)
    return ""


def _elementwise_table(results: Sequence[Result]) -> Table:
    """Return nanoseconds an element, and bytes read and written a second."""
    contenders = list(
        dict.fromkeys(
            entry.contender
            for result in results
            for entry in result.entries
            if entry.status != "not installed"
        )
    )
    rows = []
    for contender in contenders:
        row = [f"{contender.label}, threads: {contender.threads_text}"]
        row += [_element_cell(result, result.find(contender)) for result in results]
        rows.append(row)
    header = ["contender", *(result.workload.name for result in results)]
    title = f"Functions of {results[0].workload.flops:.0f} float32; ns an element (GB/s)"
    return Table(title, header, rows)


def _element_cell(result: Result, entry: Entry | None) -> str:
    if entry is None:
        return ""
    nanoseconds = entry.spread.median / result.workload.flops * 1e9
    return f"{nanoseconds:.3f} ({8.0 / nanoseconds:.1f})"
