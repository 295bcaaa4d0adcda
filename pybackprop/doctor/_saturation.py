"""Saturation: units and outputs where the activation is flat, so that little gradient passes."""

from __future__ import annotations

import numpy as np

from ..kernels import activation_derivative
from ..losses import LOSS_OF, OUTPUT_OF
from ._finding import Finding
from ._layers import BOUNDED, FLAT, LayerFlow, steepest
from ._lines import rebuild, redraw
from ._patient import Patient

# Shares from which saturation counts: of a hidden layer's example-unit pairs, and of the outputs.
_HIDDEN = 0.5
_OUTPUTS = 0.1

# The error from which an output of sigmoid or softmax is on the wrong side.
_WRONG = 0.5


def check_hidden(patient: Patient, layers: tuple[LayerFlow, ...]) -> list[Finding]:
    """Look for hidden layers of bounded units that are mostly flat."""
    flat = [each for each in layers[:-1] if each.activation in BOUNDED and each.saturated > _HIDDEN]
    # What has been learned may be held by saturated units.
    if not flat or patient.is_fitted:
        return []
    first = flat[0]
    scale = patient.weight_scales[first.layer - 1]
    places = ", ".join(f"{each.saturated:.0%} in layer {each.layer}" for each in flat)
    return [
        Finding(
            "saturated_units",
            first.layer,
            f"{first.activation} is flat for most pairs of example and unit: {places}; the weights "
            f"of layer {first.layer} are {scale:.2g} times the size of initial weights",
            {"saturated": first.saturated, "weight_scale": scale, "layers": len(flat)},
            () if patient.is_as_drawn else (redraw(patient.net),),
        )
    ]


def check_outputs(patient: Patient) -> list[Finding]:
    """Look for bounded outputs that are wrong where the activation is flat.

    With a cross-entropy the slope cancels out of delta; with other losses it does not, and the
    examples that are most wrong teach least.
    """
    net = patient.net
    name = net.activations[-1]
    if name not in BOUNDED or (isinstance(net.loss, str) and net.loss in OUTPUT_OF):
        return []
    wrong = np.abs(patient.outputs - patient.targets) > _WRONG
    if name == "softmax":
        flat = patient.outputs * (1.0 - patient.outputs) < FLAT * steepest("sigmoid")
    else:
        slope = np.abs(activation_derivative(name, patient.trace.z[-1]))
        flat = slope < FLAT * steepest(name)
    stuck = (wrong & flat).any(axis=1)
    share = float(stuck.mean())
    if share < _OUTPUTS:
        return []
    advice = []
    loss = LOSS_OF.get(name)
    if loss is not None and patient.targets.min() >= 0.0 and patient.targets.max() <= 1.0:
        why = f"whose delta does not vanish where {name} is flat"
        advice.append(rebuild(net, why, loss=loss))
    if not patient.is_as_drawn:
        advice.append(redraw(net))
    return [
        Finding(
            "saturated_outputs",
            len(net.weights),
            f"for {share:.0%} of the examples the output is off by more than {_WRONG} where "
            f"{name} is flat: with the loss {_name(net.loss)} what is most wrong teaches least",
            {"share": share},
            tuple(advice),
        )
    ]


def _name(loss: object) -> str:
    return loss if isinstance(loss, str) else str(getattr(loss, "__name__", "given"))
