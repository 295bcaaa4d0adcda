"""``bench predict``: the outputs for one batch, called from Python."""

from __future__ import annotations

from ..contenders import OWN
from ..report import Report, summary_table
from ..runner import compare_with_best
from ..session import Session, own_default
from ..workloads import PREDICTIONS

_QUICK_FLOPS = 1e9
_MODES = {"torch": "inference_mode", "jax": "jit", "numpy": "loop", "onnxruntime": "run"}


def run(session: Session) -> Report:
    """Time the calls."""
    modes = [(OWN, "predict"), (OWN, "out")]
    modes += [(library, _MODES[library]) for library in session.peers(_MODES)]
    report = session.report("predict")
    for workload in session.select(PREDICTIONS, _QUICK_FLOPS):
        result = session.measure(workload, session.contenders(modes))
        report.results.append(result)
        comparison = compare_with_best(result, own_default("predict", session.options))
        if comparison is not None:
            report.comparisons.append((workload.name, comparison))
    report.tables.append(summary_table("Prediction", report.results, report.comparisons))
    report.notes.append(
        "pybackprop predict returns a new array, as all peers do; pybackprop out writes into one "
        "that is given. Ratios are medians of ratios per round, with their quartiles."
    )
    return report
