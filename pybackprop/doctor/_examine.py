"""All checks, and the order of what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._core import Array
from ._data import check_finite, check_inputs
from ._dead import check_dead
from ._depth import check_depth, check_growth
from ._finding import Finding
from ._layers import LayerFlow, measure
from ._linear import check_linear
from ._patient import Patient, evenly
from ._penalties import check_penalties
from ._saturation import check_hidden, check_outputs
from ._step import check_step
from ._symmetry import check_symmetry
from ._targets import check_targets

if TYPE_CHECKING:
    from ..model import Model
    from ..optimizers import Optimizer

# The names of all causes, root causes first.
CAUSES = (
    "inputs_not_finite",
    "targets_not_finite",
    "inputs_constant",
    "inputs_scale",
    "inputs_offset",
    "inputs_duplicated",
    "targets_constant",
    "classes_unbalanced",
    "targets_out_of_range",
    "targets_scale",
    "targets_offset",
    "symmetric_units",
    "step_too_large",
    "step_oscillates",
    "step_too_small",
    "saturated_units",
    "saturated_outputs",
    "penalty_dominates",
    "linear_units",
    "dead",
    "exploding",
    "vanishing",
    "too_deep",
)

# What makes a step too large or too small even at a usual learning rate. A step comes after its
# cause.
_MAKES = {
    "step_too_large": {
        "saturated_units",
        "penalty_dominates",
        "linear_units",
        "exploding",
        "too_deep",
    },
    "step_oscillates": {"saturated_units", "penalty_dominates", "linear_units", "exploding"},
    "step_too_small": {"saturated_units", "saturated_outputs", "linear_units", "dead", "vanishing"},
}

# How many rows stand for all of them after training has failed.
_ROWS = 1024


def examine(patient: Patient, layers: tuple[LayerFlow, ...]) -> tuple[Finding, ...]:
    """Return what is wrong, root causes first.

    Parameters
    ----------
    patient : Patient
        The network and the examples.
    layers : tuple of LayerFlow
        What `measure` returns for them.
    """
    # Overflow is one of the things looked for, and no reason to warn.
    with np.errstate(all="ignore"):
        found = check_finite(patient)
        if found:
            return tuple(found)
        found += check_inputs(patient)
        if any(each.cause == "inputs_constant" and not each.evidence["left"] for each in found):
            return tuple(found)
        found += check_targets(patient)
        found += check_symmetry(patient)
        found += check_step(patient)
        found += check_hidden(patient, layers)
        found += check_outputs(patient)
        found += check_penalties(patient)
        found += check_linear(patient)
        found += check_dead(patient, layers)
        found += check_growth(patient, layers)
        found += check_depth(patient)
    causes = {each.cause for each in found}
    if "dead" in causes or "symmetric_units" in causes:
        found = [each for each in found if each.cause != "vanishing"]
    return tuple(sorted(found, key=lambda each: _rank(each, causes)))


def _rank(finding: Finding, causes: set[str]) -> float:
    """Return the place of a finding among all causes found."""
    place = CAUSES.index(finding.cause)
    # A step that is too large even from initial weights has caused everything else.
    if finding.evidence.get("anew"):
        return place
    makers = _MAKES.get(finding.cause, set()) & causes
    return max([place, *(CAUSES.index(maker) + 0.5 for maker in makers)])


def first_cause(
    net: Model,
    x: Array,
    y: Array,
    optimizer: Optimizer | None,
    causes: frozenset[str] | None = None,
) -> Finding | None:
    """Return the root cause found on a thousand of the examples, or None.

    Parameters
    ----------
    net : Model
        The network.
    x, y : ndarray
        Inputs and targets as `as_inputs` and `as_targets` return them, any number of rows.
    optimizer : Optimizer or None
        The optimizer in use.
    causes : frozenset of str, optional
        The causes to consider; all by default.
    """
    rows = evenly(len(x), _ROWS)
    patient = Patient(net, x[rows], y[rows], optimizer)
    with np.errstate(all="ignore"):
        layers, _, _ = measure(patient, optimizer, 0.0, 1)
        found = examine(patient, layers)
    return next((each for each in found if causes is None or each.cause in causes), None)
