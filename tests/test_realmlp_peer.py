"""The recipe realmlp-s, step by step beside pytabkit's RealMLP, by its authors.

It runs where pytabkit 1.8 or later is installed, as by the extra `peers`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.datasets import RobustScaling
from pybackprop.recipes import recipe_of

torch = pytest.importorskip("torch")
realmlp = pytest.importorskip("pytabkit.models.realmlp")
training = pytest.importorskip("pytabkit.models.realmlp.train")

STEPS, BATCH, N_IN = 20, 64, 10
RNG = np.random.default_rng(0)
# Of different scales and tails, so that the factors of the inputs differ.
X = RNG.standard_t(3, size=(STEPS * BATCH, N_IN)) * np.logspace(-2, 2, N_IN) + 1.0
TRUTH = np.tanh(RobustScaling.fit(X)(X)[:, :4] @ RNG.standard_normal((4, 3)))
TARGETS = {
    "classes": TRUTH.argmax(axis=1),
    "numbers": (TRUTH[:, 0] - TRUTH[:, 0].mean()) / TRUTH[:, 0].std(),
}


def own_network(recipe: Any, n_out: int) -> bp.Network:
    of_classes = n_out > 1
    net = bp.Network(
        [N_IN, *recipe.hidden, n_out],
        activation=recipe.activation,
        output="softmax" if of_classes else "identity",
        loss="cross_entropy" if of_classes else "mse",
        label_smoothing=recipe.label_smoothing,
        dtype="float64",
        seed=3,
        **recipe.factors(N_IN),
    )
    recipe.begin(net, np.linspace(-0.1, 0.1, n_out))
    return net


def their_model(net: bp.Network, recipe: Any, scaling: RobustScaling) -> Any:
    """Return RealMLP-TD-S with the parameters of a network."""
    of_classes = net.widths[-1] > 1
    config = realmlp.RealMLPConfig(
        act=recipe.activation,
        use_parametric_act=False,
        num_emb_type="none",
        p_drop=0.0,
        wd=0.0,
        use_ls=recipe.label_smoothing > 0,
        ls_eps=recipe.label_smoothing,
        lr=recipe.lr,
    )
    model = realmlp.RealMLP(N_IN, [], net.widths[-1], 1, config, of_classes).double()
    weights, biases = iter(net.weights), iter(net.biases)
    with torch.no_grad():
        model.x_median.copy_(torch.tensor(scaling.center, dtype=torch.float64))
        model.x_scale.copy_(torch.tensor(scaling.factor, dtype=torch.float64))
        for layer in model.mlp:
            if hasattr(layer, "bias"):
                layer.bias.copy_(torch.tensor(next(biases)))
            elif hasattr(layer, "initialize"):
                w = next(weights)
                layer.weight.copy_(torch.tensor(w.T * np.sqrt(w.shape[1])))
    return model


def their_costs(model: Any, x: Any, y: Any) -> list[float]:
    """Train as pytabkit's `fit` does; return the cost of each batch before its step."""
    config, costs = model.config, []
    groups: dict[Any, list[Any]] = {}
    for each in model.parameters():
        if each.numel():
            groups.setdefault(each.lr_factor, []).append(each)
    optimizer = torch.optim.AdamW(
        [{"params": each, "lr_factor": factor} for factor, each in groups.items()],
        betas=(config.mom, config.sq_mom),
        weight_decay=0.0,
    )
    no_categories = torch.zeros((1, BATCH, 0), dtype=torch.long)
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        for group in optimizer.param_groups:
            group["lr"] = (
                config.lr * training.SCHEDULES[config.lr_sched](step / STEPS) * group["lr_factor"]
            )
        found = model(torch.from_numpy(x[None, rows]), no_categories)
        wanted = torch.from_numpy(y[None, rows, None])
        if model.is_classification:
            loss = training.cross_entropy(found, wanted, config.ls_eps if config.use_ls else 0.0)
        else:
            loss = training.mse(found, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        costs.append(loss.item())
    return costs


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_costs_of_twenty_steps(task: str, metric: str) -> None:
    """From the same parameters and batches, in float64: to 1e-9."""
    y, of_classes = TARGETS[task], task == "classes"
    recipe = recipe_of("realmlp-s", 1_000, of_classes, metric)
    net, scaling = own_network(recipe, 3 if of_classes else 1), RobustScaling.fit(X)
    expected = their_costs(their_model(net, recipe, scaling), X, y)
    optimizer, x, costs = recipe.optimizer(STEPS), scaling(X), []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        costs.append(net.step(x[rows], y[rows], optimizer))
    np.testing.assert_allclose(costs, expected, rtol=1e-9, atol=1e-9)
    assert abs(costs[-1] - costs[0]) > 1e-3
    assert float(np.abs(net.input_scales - 1.0).max()) > 0.05


def test_the_scaling_of_inputs() -> None:
    """Medians and scales are those of pytabkit, which keeps them in float32."""
    scaling = RobustScaling.fit(X)
    rows = torch.arange(len(X))[None]
    median, scale = training.compute_input_stats(torch.from_numpy(X), rows)
    np.testing.assert_allclose(scaling.center, median.numpy()[0, 0], rtol=1e-6)
    np.testing.assert_allclose(scaling.factor, scale.numpy()[0, 0], rtol=1e-6)
