"""Penalties: whether they pull at the weights harder than the data do."""

from __future__ import annotations

import numpy as np

from ._finding import Finding
from ._lines import another_optimizer, rebuild, rounded
from ._patient import Patient, norm

# How many times as large as the data's gradient a penalty's gradient may be.
_PULL = 10.0

# Weights that have shrunk to this share of their initial size pass nothing on.
_SHRUNK = 0.05


def check_penalties(patient: Patient) -> list[Finding]:
    """Compare the gradient of the penalties with that of the data, in all weights."""
    net, optimizer = patient.net, patient.optimizer
    # Plain weight decay is the gradient of an l2 penalty; AdamW's is applied apart from the
    # gradient.
    coupled = optimizer is not None and optimizer.name != "adamw"
    decay = optimizer._rate("weight_decay") if optimizer is not None and coupled else 0.0
    if net.l1 == net.l2 == decay == 0.0:
        return []
    weights = [each.astype(np.float64) for each in net.weights]
    own = [net.l2 * each + net.l1 * np.sign(each) for each in weights]
    decays = [decay * of_weights for of_weights, _ in net.decay_factors]
    terms = list(zip(own, decays, weights, strict=True))
    pull = norm(np.concatenate([(o + d * w).ravel() for o, d, w in terms]))
    data = norm(
        np.concatenate(
            [
                *((g - o).ravel() for g, o in zip(patient.gradients.weights, own, strict=True)),
                *patient.gradients.biases,
            ]
        )
    )
    size = sum((0.5 * (net.l2 + d) * w**2 + net.l1 * np.abs(w)).sum() for _, d, w in terms)
    pulls = pull > _PULL * data and size > patient.loss
    shrunk = patient.is_unlearned and all(scale < _SHRUNK for scale in patient.weight_scales)
    if not pulls and not (shrunk and pull > 0.0):
        return []
    # Once the penalties have shrunk the weights, the data's gradient only opposes theirs.
    factor = rounded(0.01 * min(1.0, data / max(pull, 1e-300)) if data > 0.0 else 1e-6)
    advice = []
    if net.l1 or net.l2:
        advice.append(rebuild(net, "lighter", l1=factor * net.l1, l2=factor * net.l2))
    if optimizer is not None and decay and isinstance(optimizer.weight_decay, float):
        advice.append(another_optimizer(optimizer, weight_decay=factor * decay))
    given = {"l1": net.l1, "l2": net.l2, "weight_decay": decay}
    named = ", ".join(f"{name}={value:.3g}" for name, value in given.items() if value)
    tail = "; the weights have shrunk to nothing" if shrunk else ""
    return [
        Finding(
            "penalty_dominates",
            None,
            f"the gradient of the penalties ({named}) is {pull:.3g}, that of the data "
            f"{data:.3g}{tail}",
            {"penalty_gradient": pull, "data_gradient": data, **given},
            tuple(advice),
        )
    ]
