"""Units that are all linear: a network whose hidden units never bend computes a linear map."""

from __future__ import annotations

import numpy as np

from ..kernels import activation_derivative
from ._finding import Finding
from ._layers import DEAD_SLOPE, steepest
from ._lines import redraw
from ._patient import Patient

# With fewer examples units may be on one side by chance.
_FEW = 16

# Slopes that vary over the examples by less than this share of the steepest count as constant.
_VARIES = 1e-3


def check_linear(patient: Patient) -> list[Finding]:
    """Look at the slopes of all hidden units."""
    names, z = patient.net.activations[:-1], patient.trace.z
    if not names or set(names) == {"identity"} or len(patient.x) < _FEW:
        return []
    units = 0
    for name, values in zip(names, z[:-1], strict=True):
        slope = activation_derivative(name, values).astype(np.float64)
        dead = (np.abs(slope) < DEAD_SLOPE).all(axis=0)
        bends = np.ptp(slope, axis=0) > _VARIES * steepest(name)
        if dead.all() or bends.any():
            return []
        units += int((~dead).sum())
    return [
        Finding(
            "linear_units",
            None,
            f"all {units} hidden units that are not dead have one slope for all examples: the "
            "network computes a linear map",
            {"units": units},
            () if patient.is_as_drawn else (redraw(patient.net),),
        )
    ]
