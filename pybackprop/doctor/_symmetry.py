"""Symmetry: units that begin alike, and so stay alike."""

from __future__ import annotations

import numpy as np

from ._finding import Finding
from ._lines import redraw
from ._patient import Patient

# Share of a layer's units that repeat others; pruning leaves a few that are all zero.
_REPEATED = 0.25


def check_symmetry(patient: Patient) -> list[Finding]:
    """Look for hidden layers whose units have equal rows of W and b."""
    net = patient.net
    worst: tuple[int, int, int] | None = None
    layers = 0
    for at, (weights, biases) in enumerate(zip(net.weights[:-1], net.biases[:-1], strict=True)):
        rows = np.column_stack([weights, biases])
        repeated = len(rows) - len(np.unique(rows, axis=0))
        if repeated >= max(1.0, _REPEATED * len(rows)):
            layers += 1
            if worst is None:
                worst = at, repeated, len(rows)
    if worst is None:
        return []
    at, repeated, width = worst
    more = f", and so it is in {layers} layers in all" if layers > 1 else ""
    zero = " (all zero)" if not net.weights[at].any() else ""
    return [
        Finding(
            "symmetric_units",
            at + 1,
            f"{repeated} of {width} units of layer {at + 1} have the same weights and bias as "
            f"another{zero}{more}; units that are alike get the same gradient, and count as one",
            {"repeated": repeated, "width": width, "layers": layers},
            (redraw(net),),
        )
    ]
