"""The step: whether the optimizer in use moves the weights too far, hardly at all, or to and fro.

The steps are actually made, on a copy of the network, not estimated from a rule.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np

from .._core import Array
from ._finding import Finding
from ._lines import another_optimizer, redraw, rounded, usual_rate
from ._patient import Patient, Walk, norm

# How many steps are made.
_STEPS = 8

# A step is too short if it could be this many times as long in its own direction.
_FAR = 1e4

# The share of the cost that is worth a longer step.
_WORTH = 0.01

# A step that changes weights by this share of their norm destroys them.
_JUMP = 0.3

# The mean cosine between one step and the next, and what a quarter of the rate must gain.
_BACK = -0.5
_GAIN = 0.8


def check_step(patient: Patient) -> list[Finding]:
    """Make some steps and look at the cost."""
    if patient.optimizer is None:
        return []
    walk = patient.walk(_STEPS)
    if not walk.moves or not np.isfinite(walk.costs[0]):
        return []
    return (
        _too_large(patient, walk)
        or _oscillates(patient, walk.costs, walk.moves)
        or _too_small(patient, walk)
    )


def _ratio(patient: Patient, move: Array, *, drawn: bool = False) -> float:
    """Return the largest change of a layer's weights over their norm.

    With `drawn`, the norm is that of the weights that init="auto" draws, if that is larger: a layer
    may well start from zeros.
    """
    moves, _ = patient.net._split(move)
    first = patient.first_weights if drawn else patient.net.weights
    layers = zip(moves, patient.net.weights, first, strict=True)
    return max(norm(change) / max(norm(w), norm(f), 1e-30) for change, w, f in layers)


def _too_large(patient: Patient, walk: Walk) -> list[Finding]:
    ratio = _ratio(patient, walk.moves[0], drawn=True)
    text = f"the next step changes weights by {ratio:.2g} of their norm"
    wild, anew = patient.loss > patient.constant, False
    if wild and not patient.is_as_drawn:
        # Large steps may have made weights large and units dead, so try from initial weights.
        start = patient.walk(_STEPS, anew=True)
        if start.moves and _rises(patient, start):
            walk, anew = start, True
            text = "the weights are far from their initial size; from fresh initial weights"
    if not anew and not _rises(patient, walk) and not (wild and ratio > _JUMP):
        return []
    before, after = walk.costs[0], walk.costs[-1]
    text += f", {len(walk.moves)} steps take the cost from {before:.3g} to {after:.3g}"
    evidence = {"update_ratio": ratio, "before": before, "after": after, "anew": anew}
    if not np.isfinite(after):
        evidence["after"] = np.inf
    return [Finding("step_too_large", None, text, evidence, _slower(patient, walk))]


def _rises(patient: Patient, walk: Walk) -> bool:
    """Whether the cost rises by half of what constant outputs cost, or is no longer finite."""
    return not walk.costs[-1] < walk.costs[0] + 0.5 * patient.constant


def _slower(patient: Patient, walk: Walk) -> tuple[str, ...]:
    """Return the advice to take steps that lower the cost in their own direction."""
    assert patient.optimizer is not None
    if not isinstance(patient.optimizer.lr, float):
        return ()
    best, _ = _best_factor(patient, walk, np.logspace(-1, -6, 11))
    lines = []
    if patient.optimizer.lr > 0.0:
        rate = rounded(patient.optimizer.lr * 0.3 * best)
        lines.append(another_optimizer(patient.optimizer, lr=rate))
        if not patient.is_as_drawn:
            # Small steps take long to undo what too large ones have done to the weights.
            lines.insert(0, f"{lines[0]}; {redraw(patient.net)}")
    return tuple(lines)


def _best_factor(patient: Patient, walk: Walk, factors: Array) -> tuple[float, float]:
    """Return the factor of the first step with which it lowers the cost most, and that cost."""
    net = copy.deepcopy(patient.net)
    costs = []
    for factor in factors:
        net.parameters = walk.start + factor * walk.moves[0]
        costs.append(net.cost(*patient.sample))
    best = int(np.argmin(np.nan_to_num(costs, nan=np.inf)))
    return float(factors[best]), costs[best]


def _oscillates(patient: Patient, costs: list[float], moves: list[Array]) -> list[Finding]:
    assert patient.optimizer is not None
    lr = patient.optimizer.lr
    if patient.is_fitted or len(moves) < _STEPS or not isinstance(lr, float):
        return []
    cosines = [_cosine(one, other) for one, other in pairwise(moves)]
    if np.mean(cosines) > _BACK:
        return []
    slow = patient.walk(_STEPS, 0.25).costs
    if not slow[-1] < _GAIN * costs[-1]:
        return []
    return [
        Finding(
            "step_oscillates",
            None,
            f"each step undoes most of the last one (mean cosine {np.mean(cosines):.2f}): "
            f"{_STEPS} steps take the cost from {costs[0]:.3g} to {costs[-1]:.3g}, and with a "
            f"quarter of the learning rate to {slow[-1]:.3g}",
            {
                "cosine": float(np.mean(cosines)),
                "before": costs[0],
                "after": costs[-1],
                "after_quarter": slow[-1],
            },
            (another_optimizer(patient.optimizer, lr=rounded(0.25 * lr)),),
        )
    ]


def _cosine(one: Array, other: Array) -> float:
    size = norm(one) * norm(other)
    return float(one @ other) / size if size > 0.0 else 0.0


def _too_small(patient: Patient, walk: Walk) -> list[Finding]:
    optimizer = patient.optimizer
    # A schedule may begin or end with a rate of 0.
    if optimizer is None or not isinstance(optimizer.lr, float) or patient.is_fitted:
        return []
    if optimizer.lr == 0.0:
        advice = (another_optimizer(optimizer, lr=usual_rate(optimizer)),)
        return [Finding("step_too_small", None, "the learning rate is 0", {"lr": 0.0}, advice)]
    before, ratio = walk.costs[0], _ratio(patient, walk.moves[0])
    if ratio == 0.0:
        if not patient.gradients.flat.any():
            return []
        text = f"with a learning rate of {optimizer.lr:.2g} the next step is lost in rounding"
        advice = (another_optimizer(optimizer, lr=usual_rate(optimizer)),)
        return [Finding("step_too_small", None, text, {"lr": optimizer.lr}, advice)]
    # Up to a step that changes all weights.
    factors = np.logspace(0.0, max(1.0, 1.0 - np.log10(ratio)), 25)
    best, after = _best_factor(patient, walk, factors)
    if best < _FAR or not after < (1.0 - _WORTH) * before:
        return []
    return [
        Finding(
            "step_too_small",
            None,
            f"the next step changes weights by {ratio:.2g} of their norm at most; one {best:.0e} "
            f"times longer would take the cost from {before:.3g} to {after:.3g}",
            {"update_ratio": ratio, "could_be_longer": best, "before": before, "after": after},
            (another_optimizer(optimizer, lr=rounded(optimizer.lr * 0.3 * best)),),
        )
    ]
