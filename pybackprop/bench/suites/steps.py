"""``bench steps``: a training step called by itself, and inside a loop of the library."""

from __future__ import annotations

from ..contenders import OWN, Contender
from ..report import Report, summary_table
from ..runner import compare_with_best
from ..session import Session, own_default
from ..workloads import STEPS, Training

# Above this a step takes a quarter of a second, too long for a quick run.
_QUICK_FLOPS = 1e9
_PEERS = {
    "torch": ("eager",),
    "jax": ("step", "scan"),
    "numpy": ("loop",),
    "sklearn": ("partial_fit",),
}
# Peers of networks whose products are of bfloat16 numbers: PyTorch's autocast has no way to give
# them float32's accuracy, which its own float32 products have.
_LOW_PEERS = {"bf16": ("bf16", "bf16 compile"), "bf16x3": ("eager", "compile")}
# Ways that take many steps in one call, and so have no part in the comparison of single steps.
_LOOPS = ("scan", "partial_fit")


def run(session: Session) -> Report:
    """Time the steps of every workload."""
    report = session.report("steps")
    for workload in session.select(STEPS, _QUICK_FLOPS):
        result = session.measure(workload, session.contenders(_modes(session, workload)))
        report.results.append(result)
        pairs = (
            ("step", _single),
            ("fit", _any),
        )
        for mode, peers in pairs:
            comparison = compare_with_best(result, own_default(mode, session.options), peers)
            if comparison is not None:
                report.comparisons.append((workload.name, comparison))
    report.tables.append(summary_table("Training step", report.results, report.comparisons))
    report.notes.append(
        "pybackprop step is compared with peers that are called step by step, pybackprop fit with "
        "all, at the peer's better number of threads; ratios are medians of ratios per round, with "
        "their quartiles."
    )
    return report


def _modes(session: Session, workload: Training) -> list[tuple[str, str]]:
    """Return who takes part, and how."""
    modes = [(OWN, "step"), (OWN, "fit")]
    if workload.precision != "float32":
        modes.append((OWN, "float32"))
        for mode in _LOW_PEERS[workload.precision] if "torch" in session.peers(_PEERS) else ():
            if session.options.compiled or not mode.endswith("compile"):
                modes.append(("torch", mode))
        return modes
    for library in session.peers(_PEERS):
        modes += [(library, mode) for mode in _PEERS[library]]
        if library == "torch" and session.options.compiled:
            modes.append((library, "compile"))
    return modes


def _single(peer: Contender) -> bool:
    return peer.mode not in _LOOPS


def _any(peer: Contender) -> bool:
    return True
