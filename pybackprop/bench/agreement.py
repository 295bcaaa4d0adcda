"""Whether a contender computes what it claims: its evidence against a float64 reference.

No time is shown for a contender whose evidence differs. For training the evidence is the cost
after some steps from equal weights with equal batches, and a sample of what the steps did to the
parameters; for the rest it is a sample of the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .textbook import derivative, forward, softmax
from .workloads import (
    ADAM_BETAS,
    ADAM_EPS,
    MOMENTUM,
    Array,
    Derivative,
    Elementwise,
    Layers,
    Members,
    Prediction,
    Product,
    Training,
    Workload,
    derivative_data,
    elementwise_inputs,
    initial_layers,
    prediction_inputs,
    product_factors,
    scaled,
    training_data,
)

Evidence = dict[str, Any]

# How much contenders may differ from the reference. A float32 cost is good to some 1e-7, so the
# allowance for the cost applies mostly to what the steps changed in it; an optimizer without its
# momentum or a loss of another scale is off by far more than that in the updates; a unit at the
# kink of relu that falls to the other side costs some 1e-4.
COST_RTOL = 2e-6
CHANGE_RTOL = 1e-4
UPDATE_RTOL = 5e-3
# Rounding to bfloat16 changes an operand by up to 2^-9, which moves updates by some hundredths.
BF16_COST_RTOL = 5e-4
BF16_CHANGE_RTOL = 1e-2
BF16_UPDATE_RTOL = 3e-2
OUTPUT_RTOL = 1e-4
# Operands rounded to bfloat16 differ by 2^-9 or so, and a peer's result is rounded once more.
_PRODUCT_RTOL = {"float64": 1e-12, "bf16": 1e-2}
_SAMPLES = 256


@dataclass(frozen=True)
class Verdict:
    """Whether evidence agrees, and by how much it differs."""

    ok: bool
    detail: str


def tolerance_text(workload: Workload) -> str:
    """Return in words what contenders may differ by."""
    if isinstance(workload, Training):
        of_cost, of_change, of_updates = _training_rtol(workload)
        return (
            f"after {workload.check_steps} steps cost within {of_change:g} of its change + "
            f"{of_cost:g} of itself, updates within {of_updates:g} in norm"
        )
    return f"outputs within {_output_rtol(workload):g} in norm"


def _training_rtol(workload: Training) -> tuple[float, float, float]:
    """Return what cost, change of the cost and updates may differ by."""
    if workload.precision == "bf16":
        return BF16_COST_RTOL, BF16_CHANGE_RTOL, BF16_UPDATE_RTOL
    return COST_RTOL, CHANGE_RTOL, UPDATE_RTOL


def _output_rtol(workload: Prediction | Product | Elementwise | Derivative) -> float:
    if isinstance(workload, Product):
        return _PRODUCT_RTOL.get(workload.kind, OUTPUT_RTOL)
    return OUTPUT_RTOL


def sample(values: Array) -> list[float]:
    """Return at most 256 evenly spaced entries of an array."""
    flat = np.asarray(values).reshape(-1)
    places = np.unique(np.linspace(0, flat.size - 1, min(flat.size, _SAMPLES)).astype(np.int64))
    return [float(value) for value in flat[places]]


def cost(workload: Training, layers: Layers, x: Array, y: Array) -> float:
    """Return the cost of a batch in float64."""
    z = forward(layers, x, workload.activation)[-1]
    if workload.loss == "mse":
        return float(np.mean((z - y) ** 2))
    return float(-np.log(softmax(z)[np.arange(len(y)), y]).mean())


def training_evidence(workload: Training, layers: Layers) -> Evidence:
    """Return the evidence of a contender that trained for `check_steps` steps.

    Parameters
    ----------
    workload : Training
        What it trained on.
    layers : list of pairs of arrays
        Its W_l (n_l, n_(l-1)) and b_l (n_l,) after the steps.
    """
    x, y = training_data(workload)
    x, y = scaled(x[: workload.batch]), y[: workload.batch]
    updates: list[float] = []
    for (w, b), (w_0, b_0) in zip(layers, initial_layers(workload), strict=True):
        updates += sample(np.asarray(w, np.float64) - w_0) + sample(np.asarray(b, np.float64) - b_0)
    # The parameters of a contender that is wrong may have become anything.
    with np.errstate(all="ignore"):
        return {"cost": cost(workload, layers, x, y), "updates": updates}


def evidence_of_members(workload: Members, layers_of: Callable[[int], Layers]) -> Evidence:
    """Return the evidence of a contender that trained many nets; `layers_of` gives a net's."""
    return _joined([training_evidence(each, layers_of(each.member)) for each in workload.judged])


def _joined(parts: list[Evidence]) -> Evidence:
    """Return the evidence of several nets as one."""
    joined = {
        name: float(np.mean([part[name] for part in parts])) for name in parts[0] if "cost" in name
    }
    return {**joined, "updates": [each for part in parts for each in part["updates"]]}


def reference(workload: Workload) -> Evidence:
    """Return the evidence that float64 arithmetic gives, and for training the initial cost."""
    if isinstance(workload, Members):
        return _joined([_reference_of_training(each) for each in workload.judged])
    if isinstance(workload, Training):
        return _reference_of_training(workload)
    if isinstance(workload, Prediction):
        layers = initial_layers(workload)
        z = forward(layers, prediction_inputs(workload), workload.activation)[-1]
        return {"outputs": sample(softmax(z) if workload.output == "softmax" else z)}
    if isinstance(workload, Product):
        return {"outputs": _product_samples(workload)}
    if isinstance(workload, Derivative):
        data = derivative_data(workload)
        return {"outputs": sample(derivative(workload, initial_layers(workload), *data))}
    return {"outputs": sample(_function(workload.function, elementwise_inputs(workload)))}


def _reference_of_training(workload: Training) -> Evidence:
    x, y = training_data(workload)
    rows = workload.batch * workload.check_steps
    return _train(workload, scaled(x[:rows]), y[:rows])


def _train(workload: Training, x: Array, y: Array) -> Evidence:
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in initial_layers(workload)]
    batch = workload.batch
    before = cost(workload, layers, x[:batch], y[:batch])
    parameters = [each for pair in layers for each in pair]
    state = [(np.zeros_like(each), np.zeros_like(each)) for each in parameters]
    for step in range(workload.check_steps):
        part = slice(step * batch, (step + 1) * batch)
        gradients = _gradients(workload, layers, x[part], y[part])
        for p, g, (m, v) in zip(parameters, gradients, state, strict=True):
            _update(workload, p, g, m, v, step + 1)
    return {"initial_cost": before, **training_evidence(workload, layers)}


def _gradients(workload: Training, layers: Layers, x: Array, y: Array) -> list[Array]:
    """Return dW_1, db_1, dW_2, …; the textbook's formulas."""
    outputs = forward(layers, x, workload.activation)
    if workload.loss == "mse":
        delta = 2.0 * (outputs[-1] - y) / y.size
    else:
        delta = softmax(outputs[-1])
        delta[np.arange(len(y)), y] -= 1.0
        delta /= len(y)
    gradients: list[Array] = []
    for index in range(len(layers) - 1, -1, -1):
        a = outputs[index]
        gradients = [delta.T @ a, delta.sum(axis=0), *gradients]
        delta = delta @ layers[index][0]
        delta = delta * (1.0 - a * a if workload.activation == "tanh" else a > 0.0)
    return gradients


def _update(workload: Training, p: Array, g: Array, m: Array, v: Array, step: int) -> None:
    """Update a parameter and its state in place, by PyTorch's rules."""
    if workload.optimizer == "sgd":
        m[...] = MOMENTUM * m + g
        p -= workload.lr * m
        return
    beta_1, beta_2 = ADAM_BETAS
    m[...] = beta_1 * m + (1.0 - beta_1) * g
    v[...] = beta_2 * v + (1.0 - beta_2) * g * g
    m_hat, v_hat = m / (1.0 - beta_1**step), v / (1.0 - beta_2**step)
    p -= workload.lr * m_hat / (np.sqrt(v_hat) + ADAM_EPS)


def _product_samples(workload: Product) -> list[float]:
    """Return the entries that `sample` takes from the product, without forming the rest."""
    a, b = product_factors(workload)
    size = workload.m * workload.n
    places = np.unique(np.linspace(0, size - 1, min(size, _SAMPLES)).astype(np.int64))
    rows, columns = np.divmod(places, workload.n)
    left, right = a[rows].astype(np.float64), b[:, columns].astype(np.float64)
    return [float(value) for value in np.einsum("ik,ki->i", left, right)]


def _function(name: str, x: Array) -> Array:
    x = x.astype(np.float64)
    if name == "relu":
        return np.maximum(x, 0.0)
    if name == "tanh":
        return np.tanh(x)
    if name == "softplus":
        return np.logaddexp(x, 0.0)
    if name == "gelu":
        erf = np.array([math.erf(value / math.sqrt(2.0)) for value in x.tolist()])
        return x * (1.0 + erf) / 2.0
    sigmoid = 1.0 / (1.0 + np.exp(-x))
    return x * sigmoid if name == "silu" else sigmoid


def compare(workload: Workload, expected: Evidence, found: Evidence) -> Verdict:
    """Return whether the evidence of a contender agrees with the reference."""
    if not isinstance(workload, Training):
        error = _relative(expected["outputs"], found["outputs"])
        limit = _output_rtol(workload)
        return Verdict(error <= limit, f"outputs differ by {error:.2g} in norm, allowed {limit:g}")
    change = abs(expected["cost"] - expected["initial_cost"])
    of_cost, of_change, of_updates = _training_rtol(workload)
    allowed = of_change * change + of_cost * abs(expected["cost"])
    distance = abs(found["cost"] - expected["cost"])
    error = _relative(expected["updates"], found["updates"])
    return Verdict(
        distance <= allowed and error <= of_updates,
        f"cost {found['cost']:.8g}, expected {expected['cost']:.8g} within {allowed:.2g}; "
        f"updates differ by {error:.2g} in norm, allowed {of_updates:g}",
    )


def _relative(expected: list[float], found: list[float]) -> float:
    """Return the relative distance in norm; infinite where sizes or values make no sense."""
    if len(expected) != len(found):
        return math.inf
    a, b = np.array(expected), np.array(found)
    error = float(np.linalg.norm(b - a) / np.linalg.norm(a))
    return error if math.isfinite(error) else math.inf
