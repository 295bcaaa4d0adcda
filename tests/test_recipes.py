"""The recipes for tables: their constants, and the parametrisation of their networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.recipes import constant_of, recipe_of


def test_the_constants_of_realmlp_s() -> None:
    """Of section A.3 of the paper."""
    classes = recipe_of("realmlp-s", 5_000, True, "accuracy")
    assert (classes.hidden, classes.activation, classes.lr) == ((256,) * 3, "selu", 0.04)
    assert (classes.label_smoothing, classes.dropout, classes.l2) == (0.1, 0.0, 0.0)
    assert (classes.epochs, classes.batch_size, classes.betas) == (256, 128, (0.9, 0.95))
    numbers = recipe_of("realmlp-s", 100_001, False, "rmse")
    assert (numbers.activation, numbers.lr, numbers.batch_size) == ("mish", 0.07, 1_024)
    assert recipe_of("realmlp-s", 1_024, True, "log_loss").label_smoothing == 0.01
    assert numbers.label_smoothing == 0.0
    assert recipe_of("realmlp-s", 1_024, True, "log_loss").batch_size == 64
    optimizer = classes.optimizer(400)
    assert isinstance(optimizer, bp.Adam)
    assert optimizer.lr == bp.schedules.CosLog4(0.04, 400)
    assert optimizer.betas == (0.9, 0.95)


@pytest.mark.parametrize("name", ["realmlp", "tabm-mini"])
def test_recipes_to_come_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not available yet; use 'plain' or"):
        recipe_of(name, 100, True, "accuracy")
    with pytest.raises(ValueError, match=r"must be 'plain' or 'realmlp-s', got 'best'"):
        recipe_of("best", 100, True, "accuracy")


def test_the_constant_to_begin_with_is_the_best_one() -> None:
    y = np.array([0, 1, 1, 1, 0, 1, 1, 1])
    p = np.exp(constant_of(y, 2))
    np.testing.assert_allclose(p, [0.25, 0.75])
    smoothed = np.exp(constant_of(y, 2, 0.2))
    np.testing.assert_allclose(smoothed, [0.8 * 0.25 + 0.1, 0.8 * 0.75 + 0.1])


def selu(z: Any) -> Any:
    return 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z))


def d_selu(z: Any) -> Any:
    slope = 1.6732632423543772 * np.exp(np.minimum(z, 0.0))
    return 1.0507009873554805 * np.where(z > 0, 1.0, slope)


def train_by_definition(
    scales: Any, layers: list[Any], x: Any, y: Any, rates: Any, betas: tuple[float, float]
) -> None:
    """Train z = W a / sqrt(n_in) + b by Adam on all rows at once, with a = s x at first.

    Biases learn at a tenth of the rate, and s at six times the rate.
    """
    trained = [[scales], *layers]
    factors = [[6.0], *([1.0, 0.1] for _ in layers)]
    means = [[np.zeros_like(each) for each in part] for part in trained]
    squares = [[np.zeros_like(each) for each in part] for part in trained]
    for step, rate in enumerate(rates, 1):
        a, kept, gradients = scales * x, [], []
        for at, (w, b) in enumerate(layers):
            z = a @ w.T / np.sqrt(w.shape[1]) + b
            kept.append((a, z))
            a = selu(z) if at + 1 < len(layers) else z
        p = np.exp(a - a.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        delta = (p - np.eye(p.shape[1])[y]) / len(x)
        for at in reversed(range(len(layers))):
            w, b = layers[at]
            a, z = kept[at]
            if at + 1 < len(layers):
                delta = delta * d_selu(z)
            gradients.insert(0, [delta.T @ a / np.sqrt(w.shape[1]), delta.sum(axis=0)])
            delta = delta @ w / np.sqrt(w.shape[1])
        gradients.insert(0, [(delta * x).sum(axis=0)])
        for at, part in enumerate(gradients):
            for i, gradient in enumerate(part):
                m, v = means[at][i], squares[at][i]
                m += (1 - betas[0]) * (gradient - m)
                v += (1 - betas[1]) * (gradient**2 - v)
                down = np.sqrt(v / (1 - betas[1] ** step)) + 1e-8
                trained[at][i] -= factors[at][i] * rate * m / (1 - betas[0] ** step) / down


def test_a_network_trains_as_the_parametrisation_says() -> None:
    """100 steps of the layers W x / sqrt(n_in) + b, after factors of x, in float64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    y = (x[:, 0] + x[:, 1] ** 2 > 1).astype(int) + (x[:, 2] > 1)
    recipe = replace(recipe_of("realmlp-s", 60, True, "log_loss"), hidden=(64, 32))
    widths = [5, *recipe.hidden, 3]
    net = bp.Network(
        widths,
        activation=recipe.activation,
        output="softmax",
        loss="cross_entropy",
        dtype="float64",
        seed=3,
        **recipe.factors(5),
    )
    recipe.begin(net, constant_of(y, 3))
    layers = [
        [w * np.sqrt(w.shape[1]), b.copy()] for w, b in zip(net.weights, net.biases, strict=True)
    ]
    for w, b in layers[:-1]:
        assert abs(w.std() - 1) < 0.15
        assert abs(b.std() - 1) < 0.3
    assert not layers[-1][0].any()
    untrained = net.cost(x, y)
    net.fit(x, y, epochs=100, batch_size=60, optimizer=recipe.optimizer(100), shuffle=False)
    scales = np.ones(5)
    train_by_definition(
        scales, layers, x, y, [recipe.optimizer(100).lr(at) for at in range(100)], (0.9, 0.95)
    )
    assert net.cost(x, y) < 0.2 * untrained
    np.testing.assert_allclose(net.input_scales, scales, rtol=0, atol=1e-8)
    layers[0][0] = layers[0][0] * scales
    for (w, b), own_w, own_b in zip(layers, net.weights, net.biases, strict=True):
        np.testing.assert_allclose(own_w * np.sqrt(w.shape[1]), w, rtol=0, atol=1e-8)
        np.testing.assert_allclose(own_b, b, rtol=0, atol=1e-8)
