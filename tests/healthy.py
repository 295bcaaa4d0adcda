"""Healthy networks: random shapes, activations, losses and data, fresh and trained.

What is drawn are choices that a careful user makes: inputs of about 1, initial weights that fit the
activation, no more layers of sigmoids than learn, the usual learning rates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop import datasets
from pybackprop._core import ACTIVATIONS as ACTIVATION_NAMES

Array = np.ndarray[Any, np.dtype[Any]]
ACTIVATIONS = [name for name in ACTIVATION_NAMES if name not in ("identity", "softmax")]
# Slopes below 1 let delta shrink with depth.
DEEPEST = {"sigmoid": 2, "softplus": 4}


def inputs(rng: np.random.Generator) -> Array:
    """Columns of normal, uniform or binary numbers, each with a scale and an offset of its own."""
    n, n_in = int(rng.integers(64, 800)), int(rng.integers(2, 40))
    kind = rng.integers(4)
    if kind == 0:
        return (rng.random((n, n_in)) < 0.3).astype(float)
    x = rng.random((n, n_in)) if kind == 1 else rng.standard_normal((n, n_in))
    return x * rng.uniform(0.3, 3.0, n_in) + rng.uniform(-1.0, 1.0, n_in)


def regression(rng: np.random.Generator) -> tuple[Array, Array, dict[str, Any]]:
    x, k = inputs(rng), int(rng.integers(1, 4))
    w = rng.standard_normal((x.shape[1], k)) / np.sqrt(x.shape[1])
    y = np.sin(2.0 * x @ w) + rng.uniform(0.0, 1.0) * rng.standard_normal((len(x), k))
    loss = str(rng.choice(["mse", "squared_error", "mae", "huber"]))
    return x, rng.uniform(0.3, 3.0) * y + rng.uniform(-1.0, 1.0), {"loss": loss}


def classification(rng: np.random.Generator) -> tuple[Array, Array, dict[str, Any]]:
    x, k = inputs(rng), int(rng.integers(2, 6))
    score = np.tanh(x @ rng.standard_normal((x.shape[1], k)))
    score -= score.mean(axis=0)  # or else a class may be rare
    y = (score + 0.5 * rng.standard_normal(score.shape)).argmax(axis=1)
    if k == 2:
        return x, y[:, None], {"output": "sigmoid", "loss": "binary_cross_entropy"}
    return x, y, {"output": "softmax", "loss": "cross_entropy"}


def built_in(rng: np.random.Generator) -> tuple[Array, Array, dict[str, Any]]:
    data = datasets.load(str(rng.choice(["digits", "iris", "moons", "spirals"])))
    shift, scale = data.scaling()
    return (data.x - shift) * scale, data.y, {"output": "softmax", "loss": "cross_entropy"}


def optimizer(rng: np.random.Generator) -> bp.Optimizer:
    return [
        bp.Adam(lr=float(rng.choice([3e-4, 1e-3, 3e-3]))),
        bp.AdamW(),
        bp.SGD(lr=float(rng.choice([3e-3, 1e-2]))),
        bp.SGD(lr=3e-3, momentum=0.9),
        bp.RMSprop(lr=1e-3),
        bp.Adagrad(),
    ][int(rng.integers(6))]


def healthy(seed: int, trained: bool) -> tuple[bp.Network, Array, Array, bp.Optimizer]:
    """Return a network, its data and its optimizer."""
    rng = np.random.default_rng(seed)
    make = [regression, regression, classification, built_in][int(rng.integers(4))]
    x, y, settings = make(rng)
    name = str(rng.choice(ACTIVATIONS))
    depth = int(rng.integers(1, 1 + DEEPEST.get(name, 8)))
    hidden = [int(rng.choice([8, 16, 32, 64, 128]))] * depth
    n_out = int(y.max()) + 1 if settings["loss"] == "cross_entropy" else y.shape[1]
    net = bp.Network(
        [x.shape[1], *hidden, n_out],
        activation=name,
        dtype=str(rng.choice(["float32", "float64"])),
        l2=float(rng.choice([0.0, 1e-4, 1e-3])),
        dropout=float(rng.choice([0.0, 0.1])),
        seed=seed,
        **settings,
    )
    rule = optimizer(rng)
    if trained:
        net.fit(x, y, epochs=int(rng.integers(5, 60)), batch_size=32, optimizer=rule)
    return net, x, y, rule
