"""Advice as lines of Python: the changes that findings propose, written out."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..optimizers import RULES, Optimizer
from ..settings import FACTORS

if TYPE_CHECKING:
    from ..model import Model

# What `Network` does without being told.
_DEFAULTS = {
    "output": "identity",
    "loss": "mse",
    "l1": 0.0,
    "l2": 0.0,
    "dtype": "float32",
    "precision": "float32",
}


def redraw(net: Model) -> str:
    """Return the line that draws all parameters anew, with init="auto", and zero biases."""
    hidden = "" if set(net.activations[:-1]) <= {"relu"} else ", activation=net.activations[:-1]"
    plain = ("identity", "sigmoid", "tanh", "softmax")  # which are drawn alike
    output = "" if net.activations[-1] in plain else ", output=net.activations[-1]"
    return f"net.parameters = bp.Network(net.widths{hidden}{output}, seed=net.seed).parameters"


def rebuild(net: Model, why: str, **changes: Any) -> str:
    """Return the line that makes a network with other arguments, drawn with init="auto"."""
    settings = {**net._settings(), **changes}
    hidden = settings["activation"]
    parts = [f"bp.Network({_widths(settings['widths'])}"]
    if len(set(hidden)) > 1:
        parts.append(f"activation={hidden!r}")
    elif hidden and hidden[0] != "relu":
        parts.append(f'activation="{hidden[0]}"')
    for name, default in _DEFAULTS.items():
        value = settings[name]
        if callable(value):
            parts.append(f"{name}=net.{name}")
        elif value != default:
            parts.append(f'{name}="{value}"' if isinstance(value, str) else f"{name}={value:.6g}")
    if any(settings["dropout"]):
        rates = settings["dropout"]
        parts.append(f"dropout={rates[0] if len(set(rates)) == 1 else rates!r}")
        if net.dropout_schedule is not None:
            parts.append("dropout_schedule=net.dropout_schedule")
    if settings["loss"] == "cross_entropy" and net.label_smoothing:
        parts.append(f"label_smoothing={net.label_smoothing:.6g}")
    if len(settings["widths"]) == len(net.widths):
        parts += [f"{name}=net.{name}" for name in FACTORS if name in settings]
    if net.input_scales is not None:
        parts.append("input_scales=True")
        if "input_scale_factors" in settings:
            parts.append("input_scale_factors=net.input_scale_factors")
    line = f"net = {', '.join(parts)}, seed=net.seed)"
    if net.scaling is not None:
        line = f"scaling = net.scaling; {line}; net.set_scaling(*scaling)"
    return f"{line}  # {why}"


def _widths(widths: list[int]) -> str:
    """Return the list, with repeated widths written short."""
    runs = [(width, len(list(run))) for width, run in groupby(widths)]
    parts = [f"*[{w}] * {n}" if n > 3 else ", ".join([str(w)] * n) for w, n in runs]
    return f"[{', '.join(parts)}]"


def standardise_inputs(constant: bool) -> str:
    """Return the line that standardises the inputs; constant columns keep their scale."""
    if not constant:
        return "net.set_scaling(X.mean(axis=0), 1 / X.std(axis=0))"
    return (
        "net.set_scaling(X.mean(axis=0), 1 / np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1.0))"
    )


def another_optimizer(optimizer: Optimizer, **changes: Any) -> str:
    """Return the line that makes an optimizer with other settings."""
    settings = {**optimizer._get_settings(), **changes}
    kind = RULES[optimizer.name]
    default = kind()._get_settings()
    given = [
        f"{name}=optimizer.{name}" if callable(value) else f"{name}={_number(value)}"
        for name, value in settings.items()
        if name == "lr" or value != default[name]
    ]
    return f"optimizer = bp.{kind.__name__}({', '.join(given)})"


def usual_rate(optimizer: Optimizer) -> float:
    """Return the learning rate that an optimizer of this kind has by default."""
    return float(RULES[optimizer.name]().lr)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def rounded(value: float) -> float:
    """Return a number above 0 rounded down to 1 or 3 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{3.0 * power if value >= 3.0 * power else power:.0e}")
