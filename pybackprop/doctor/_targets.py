"""The targets: whether they vary, what their scale is, whether outputs can reach them."""

from __future__ import annotations

import numpy as np

from .._core import Array
from ._data import FEW
from ._finding import Finding
from ._lines import rebuild
from ._patient import Patient, rms

# Initial weights give outputs of about 1; learning rates are made for errors of that size.
_LARGE, _SMALL = 30.0, 0.01
_OFFSET = 10.0

# If the commonest class has at least this share, the others hardly count.
_UNBALANCED = 0.95

# Where the outputs of these activations lie.
_RANGES = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softmax": (0.0, 1.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
}
_CROSS_ENTROPIES = ("cross_entropy", "binary_cross_entropy")


def check_targets(patient: Patient) -> list[Finding]:
    """Look at the targets of all examples."""
    y = patient.targets
    if len(y) < FEW:
        return []
    if bool((y == y[0]).all()):
        return [_all_alike(patient, y)]
    if patient.net.loss in _CROSS_ENTROPIES:
        return [] if patient.is_fitted else _classes(patient, y)
    found = _reach(patient, y)
    return found if found or patient.is_fitted else _sizes(patient, y)


def _all_alike(patient: Patient, y: Array) -> Finding:
    what = "targets are the same"
    if patient.net.loss in _CROSS_ENTROPIES:
        what = "examples are of one class"
    return Finding(
        "targets_constant",
        None,
        f"all {len(y)} {what}; the network learns a constant",
        {"examples": len(y)},
    )


def _classes(patient: Patient, y: Array) -> list[Finding]:
    """Look at the shares of the classes, of labels or of 0 and 1 in a column."""
    shares = y.mean(axis=0)
    if y.shape[1] == 1:
        shares = np.array([1.0 - shares[0], shares[0]])
    elif patient.net.loss == "binary_cross_entropy":
        return []
    largest = float(shares.max())
    if largest < _UNBALANCED:
        return []
    commonest = int(shares.argmax())
    return [
        Finding(
            "classes_unbalanced",
            None,
            f"{largest:.1%} of the examples are of class {commonest}: to predict it always costs "
            f"only {patient.constant:.3g}",
            {"class": commonest, "share": largest},
            (_balance(patient, y),) if np.isin(y, (0.0, 1.0)).all() else (),
        )
    ]


def _balance(patient: Patient, y: Array) -> str:
    """Return the line that gives all classes the same weight."""
    label = "np.asarray(y).reshape(-1).astype(int)"
    if y.shape[1] > 1 and patient.y.shape[1] == y.shape[1]:
        label = "y.argmax(axis=1)"
    return f"k = {label}; sample_weight = 1 / np.bincount(k)[k]  # for fit"


def _reach(patient: Patient, y: Array) -> list[Finding]:
    """Look for targets outside the range of the output activation."""
    name = patient.net.activations[-1]
    low, high = _RANGES.get(name, (-np.inf, np.inf))
    beyond = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    share = float((beyond > 0.01 * y.std()).mean())
    if share < 0.1:
        return []
    return [
        Finding(
            "targets_out_of_range",
            len(patient.net.weights),
            f"{share:.0%} of the targets lie outside of {low:g} to {high:g}, where the outputs "
            f"of {name} are; they lie in {y.min():.3g} to {y.max():.3g}",
            {"share": share, "lowest": float(y.min()), "highest": float(y.max())},
            (rebuild(patient.net, f"in place of {name}", output="identity"),),
        )
    ]


def _sizes(patient: Patient, y: Array) -> list[Finding]:
    """Look at scale and offset."""
    middle = y.mean(axis=0)
    offset, deviation = rms(middle), rms(y - middle)
    numbers = {"deviation": deviation, "offset": offset}
    advice: tuple[str, ...] = ()
    if patient.net.activations[-1] == "identity":
        deviations = "y.std(axis=0)"
        if (np.ptp(y, axis=0) == 0).any():
            deviations = "np.where(np.ptp(y, axis=0) > 0, y.std(axis=0), 1.0)"
        advice = (f"y = (y - y.mean(axis=0)) / {deviations}  # and undo it on outputs",)
    found = []
    if not _SMALL <= deviation <= _LARGE:
        found.append(
            Finding(
                "targets_scale",
                None,
                f"the targets deviate by {deviation:.3g} from their means; initial weights and "
                "learning rates are made for deviations of about 1",
                numbers,
                advice,
            )
        )
    if offset > _OFFSET * deviation:
        found.append(
            Finding(
                "targets_offset",
                None,
                f"the targets have means of about {offset:.3g}, beside which the deviations of "
                f"{deviation:.3g} hardly show",
                numbers,
                advice,
            )
        )
    return found
