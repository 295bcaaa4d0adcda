"""Growth from layer to layer: gradients that vanish or explode on their way down."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array
from ._finding import Finding
from ._layers import BOUNDED, LayerFlow
from ._lines import rebuild, redraw
from ._patient import Patient

# A layer's delta a hundred times smaller or larger than the output's is no accident of the first
# weights. With He's, ln of the norm of delta varies by about sqrt(5 d / n) / 2 over d layers of
# n ReLU units (Hanin, "Which neural net architectures give rise to exploding and vanishing
# gradients?", 2018, bounds its growth by exp(O(d / n))): 0.9 for 20 layers of 32, and ln 100 is
# 4.6. A sigmoid, whose slope is at most 1/4, loses as much in four layers.
VANISHING = 1e-2
EXPLODING = 1e2

# How many hidden layers train without further measures.
_DEEP = 10
_ENOUGH = 4

# Products of so many random matrices stretch a few directions and drop the others, and then
# neighbouring gradients have little in common (Balduzzi et al., "The shattered gradients problem",
# 2017). With 64 units, 30 layers still recover from it in a few epochs, and 50 do not.
_TOO_DEEP = 30
_DIRECTIONS = 3.0


def check_growth(patient: Patient, layers: tuple[LayerFlow, ...]) -> list[Finding]:
    """Compare the norm of every layer's delta with that of the output's."""
    for each in layers:
        numbers = each.activation_norm, each.delta_norm, each.gradient_norm
        if not np.isfinite(numbers).all():
            text = f"exploding from layer {each.layer}: numbers overflow"
            return [_exploding(patient, layers, each.layer, text)]
    top = layers[-1].delta_norm
    # If the network has learned, gradients have come through, whatever units the outputs have.
    if top == 0.0 or patient.is_fitted:
        return []
    ratios = [each.delta_norm / top for each in layers]
    shape = f"from {top:.3g} at the output to {layers[0].delta_norm:.3g} at layer 1"
    large = [at for at, ratio in enumerate(ratios, 1) if ratio > EXPLODING]
    if large:
        text = f"exploding from layer {large[-1]} down: delta grows {shape}"
        return [_exploding(patient, layers, large[-1], text)]
    small = [at for at, ratio in enumerate(ratios, 1) if ratio < VANISHING]
    # Output weights that start at 0 block gradients for only one step.
    starts = not patient.net.weights[-1].any() and patient.gradients.weights[-1].any()
    if not small or starts:
        return []
    return [
        Finding(
            "vanishing",
            small[-1],
            f"vanishing from layer {small[-1]} down: delta shrinks {shape}",
            {"output": top, "first": layers[0].delta_norm},
            _strengthen(patient),
        )
    ]


def check_depth(patient: Patient) -> list[Finding]:
    """Look for a network so deep that its examples come to lie on a line."""
    hidden = patient.trace.a[1:-1]
    if len(hidden) <= _TOO_DEEP or not patient.is_unlearned:
        return []
    first, last = _directions(hidden[0]), _directions(hidden[-1])
    if not last < min(_DIRECTIONS, 0.5 * first):
        return []
    return [
        Finding(
            "too_deep",
            len(hidden),
            f"after {len(hidden)} hidden layers the examples differ in about {last:.1f} "
            f"directions, after the first one in {first:.1f}; the layers between lose what tells "
            "examples apart",
            {"layers": len(hidden), "directions_first": first, "directions_last": last},
            _strengthen(patient),
        )
    ]


def _directions(activations: Array) -> float:
    """Return the participation ratio of the covariance: (sum of eigenvalues)² / sum of squares."""
    centred = activations.astype(np.float64) - activations.mean(axis=0, dtype=np.float64)
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    squares = float((gram**2).sum())
    return float(np.trace(gram)) ** 2 / squares if squares > 0.0 else 0.0


def _exploding(patient: Patient, layers: tuple[LayerFlow, ...], layer: int, text: str) -> Finding:
    steep = max(layers, key=lambda each: each.jacobian_norm)
    scale = patient.weight_scales[steep.layer - 1]
    evidence = {
        "output": layers[-1].delta_norm,
        "first": layers[0].delta_norm,
        "jacobian_norm": steep.jacobian_norm,
        "weight_scale": scale,
    }
    text += f"; layer {steep.layer} stretches most: weights of {scale:.2g} times their initial size"
    advice = () if patient.is_as_drawn else (redraw(patient.net),)
    return Finding("exploding", layer, text, evidence, advice)


def _strengthen(patient: Patient) -> tuple[str, ...]:
    net = patient.net
    hidden, widths = net.activations[:-1], net.widths
    bounded = sorted({*hidden} & BOUNDED)
    changes: dict[str, Any] = {}
    why = []
    if bounded:
        changes["activation"] = ["relu" if name in BOUNDED else name for name in hidden]
        why.append(f"in place of {' and '.join(bounded)}")
    if len(hidden) > _DEEP:
        kept = changes.get("activation", list(hidden))[:_ENOUGH]
        changes |= {
            "widths": [widths[0], *widths[1 : 1 + _ENOUGH], widths[-1]],
            "activation": kept,
            "dropout": list(net.dropout[:_ENOUGH]),
        }
        why.append(f"{_ENOUGH} hidden layers in place of {len(hidden)}")
    advice = [] if patient.is_as_drawn else [redraw(net)]
    if changes:
        advice.append(rebuild(net, ", ".join(why), **changes))
    return tuple(advice)
