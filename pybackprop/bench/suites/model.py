"""``bench model``: what steps and predictions would take if only operations and bytes counted.

The time of a model is operations / peak + bytes / bandwidth, with the peak and the bandwidth that
the same process measures on the same machine in the same run. What is measured beyond it is spent
on something else: tiles that are not full, functions, dispatch, waiting. (A roofline, after
Williams, Waterman, Patterson 2009, but with the sum of both times in place of the larger one:
a step's products and its update come one after the other.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from ...runtime import cpu_info
from ..contenders import OWN, Contender
from ..processes import ProcessError
from ..report import Report, Table, ratio_text, time_text
from ..runner import Result
from ..session import Session
from ..statistics import Spread, spread
from ..workloads import PREDICTIONS, STEPS, Prediction, Training

_QUICK_FLOPS = 1e9
_FLOAT = 4  # bytes
# Passes over every parameter in a step: W is read forward and backward, then W and the momentum
# are each read and written by the update. A gradient is used up where it was formed.
_STEP_PARAMETERS = 2 + 2 + 2
# Passes over the activations of a batch in a step: written, read by the layer above, read for the
# gradient; deltas likewise.
_STEP_ACTIVATIONS = 6
_CALL_ACTIVATIONS = 2


class Bytes(NamedTuple):
    """What a step or call reads and writes, and how much memory that is."""

    moved: float
    held: float


def bytes_of(workload: Training | Prediction) -> Bytes:
    """Return the bytes of a step of SGD with momentum, or of a prediction."""
    parameters = _FLOAT * sum((a + 1) * b for a, b in pairwise(workload.widths))
    activations = _FLOAT * workload.batch * sum(workload.widths)
    if isinstance(workload, Prediction):
        return Bytes(parameters + _CALL_ACTIVATIONS * activations, parameters + activations)
    moved = _STEP_PARAMETERS * parameters + _STEP_ACTIVATIONS * activations
    return Bytes(moved, 2 * parameters + 2 * activations)


def run(session: Session) -> Report:
    """Time steps and predictions, and what the machine could do."""
    report = session.report("model")
    emulated = cpu_info()["bf16"] == "emulation"
    workloads: list[Training | Prediction] = [
        each for each in STEPS if each.precision == "float32" or not emulated
    ]
    workloads += [replace(each, name=f"predict-{each.name}") for each in PREDICTIONS]
    rows, figures = [], []
    for workload in session.select(workloads, _QUICK_FLOPS):
        mode = "fit" if isinstance(workload, Training) else "predict"
        contenders = session.contenders([(OWN, mode)])
        result = session.measure(workload, contenders, with_peak=True)
        report.results.append(result)
        for contender in contenders:
            found = _compare(session, result, contender, bytes_of(workload))
            if found is None:
                continue
            rows.append(found.row(workload, contender))
            figures.append({"workload": workload.name, **found.figures(contender)})
    report.figures = {"model": figures}
    header = ("workload", "threads", "operations", "bytes", "model", "measured", "measured / model")
    report.tables.append(Table("Operations / peak + bytes / bandwidth", header, rows))
    report.notes.append(
        "Peak is peak_flops in the precision of the products, read after every turn. Bandwidth is "
        "kernels.bandwidth for as many bytes as the workload holds. Bytes of a step: every "
        "parameter six times, every activation six times; of a prediction: every parameter once, "
        "every activation twice. Below 1, the caches keep more than that."
    )
    return report


@dataclass(frozen=True)
class _Modelled:
    """The parts of a model, and how it compares with the time that was measured, in seconds."""

    operations: float
    memory: float
    bandwidth: float
    measured: float
    ratio: Spread

    def row(self, workload: Training | Prediction, contender: Contender) -> tuple[str, ...]:
        times = (self.operations, self.memory, self.operations + self.memory, self.measured)
        title = f"{workload.name}: {workload.title}"
        cells = map(time_text, times)
        return title, contender.threads_text, *cells, ratio_text(self.ratio)

    def figures(self, contender: Contender) -> dict[str, float | str]:
        return {
            "threads": contender.threads_text,
            "operations_seconds": self.operations,
            "bytes_seconds": self.memory,
            "bandwidth": self.bandwidth,
            "measured_seconds": self.measured,
            "ratio": self.ratio.median,
        }


def _compare(
    session: Session, result: Result, contender: Contender, size: Bytes
) -> _Modelled | None:
    """Return the model of an entry; None if it has no times."""
    entry = result.find(contender)
    if entry is None:
        return None
    try:
        answer = session.processes.of(contender).ask("bandwidth", size=size.held)
    except ProcessError:
        session.processes.forget_ended()
        return None
    memory = size.moved / answer["bytes"]
    operations = [result.workload.flops / peak for peak in entry.peaks]
    pairs = zip(entry.seconds, operations, strict=True)
    return _Modelled(
        operations=spread(operations).median,
        memory=memory,
        bandwidth=answer["bytes"],
        measured=entry.spread.median,
        ratio=spread([seconds / (each + memory) for seconds, each in pairs]),
    )
