"""Factors of the learning rate of each layer's weights and biases, in every way to train."""

from __future__ import annotations

import copy
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

FACTORS = [[0.5, 2.0], [0.0, 1.0], [3.0, 0.25]]
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 2))

OPTIMIZERS = {
    "sgd": lambda lr: bp.SGD(lr),
    "momentum": lambda lr: bp.SGD(lr, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda lr: bp.Adam(lr, weight_decay=0.1),
    "adamw": lambda lr: bp.AdamW(lr, weight_decay=0.3),
    "rmsprop": lambda lr: bp.RMSprop(lr, momentum=0.5, centered=True),
    "adagrad": lambda lr: bp.Adagrad(lr, lr_decay=0.1),
}


def network(factors: Any = FACTORS, widths: Any = (5, 8, 7, 2), **settings: Any) -> bp.Network:
    return bp.Network(widths, lr_factors=factors, **{"activation": "tanh", "seed": 1, **settings})


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 40])
def test_own_rates(name: str, dtype: str, rows: int) -> None:
    """As if each had an optimizer of its own, which is what parameter groups are in PyTorch."""
    net = network(dtype=dtype)
    blocks = [block.copy().ravel() for block in chain(*zip(net.weights, net.biases, strict=True))]
    own = [OPTIMIZERS[name](0.05 * factor) for factor in np.ravel(FACTORS)]
    optimizer = OPTIMIZERS[name](0.05)
    for step in range(5):
        at = slice(step, step + 1) if rows == 1 else slice(None)
        gradients = net.backprop(X[at], Y[at])
        parts = chain(*zip(gradients.weights, gradients.biases, strict=True))
        for block, part, each in zip(blocks, parts, own, strict=True):
            each.update(block, part.ravel())
        net.step(X[at], Y[at], optimizer)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(
            net.parameters, np.concatenate(blocks), rtol=tolerance, atol=tolerance
        )
        net.parameters = np.concatenate(blocks)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"l1": 0.01, "l2": 0.1},
        {"dtype": "float64", "dropout": 0.2},
        {"precision": "bf16"},
        {"widths": (5, 300, 280, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_all_ways_to_train_agree(name: str, settings: dict[str, Any], clip: float | None) -> None:
    def make() -> tuple[bp.Network, bp.Optimizer]:
        optimizer = OPTIMIZERS[name](0.01)
        optimizer.clip_norm = clip
        return network(**settings), optimizer

    (fitted, one), (stepped, two), (streamed, three), (member, four) = (make() for _ in range(4))
    fitted.fit(X, Y, epochs=2, batch_size=16, shuffle=False, optimizer=one)
    batches = [(X[at : at + 16], Y[at : at + 16]) for at in (0, 16, 32)]
    for x, y in batches * 2:
        stepped.step(x, y, two)
    streamed.fit_stream(batches, epochs=2, optimizer=three)
    bp.fit_many([member], X, Y, epochs=2, batch_size=16, shuffle=False, optimizers=[four])
    for other in (stepped, streamed, member):
        np.testing.assert_array_equal(other.parameters, fitted.parameters)
    # A factor of 0 leaves the weights of layer 2 as they were, whatever the rule.
    start = network(**settings)
    np.testing.assert_array_equal(fitted.weights[1], start.weights[1])
    assert (fitted.biases[1] != start.biases[1]).any()
    # Factors of 1 are none, to the bit.
    plain, ones = (network(each, **settings) for each in (None, np.ones((3, 2))))
    for each in (plain, ones):
        each.fit(X, Y, epochs=2, batch_size=16, optimizer=OPTIMIZERS[name](0.01))
    np.testing.assert_array_equal(ones.parameters, plain.parameters)
    assert "lr_factors" not in ones._settings()


@pytest.mark.parametrize("widths", [(5, 8, 7, 2), (64, 512, 600, 2), (64, 40, 40, 2)])
@pytest.mark.parametrize("batch", [1, 64, 512])
def test_a_step_of_sgd_is_scaled_whatever_the_size(widths: Any, batch: int) -> None:
    """However the update is cut into tiles, replicas and pieces."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((batch, widths[0])), rng.standard_normal((batch, 2))
    own, plain = network(widths=widths, dtype="float64"), network(None, widths, dtype="float64")
    start = plain.parameters.copy()
    for each in (own, plain):
        each.fit(x, y, batch_size=batch, optimizer=bp.SGD(0.1), shuffle=False)
    change = own._split(plain.parameters - start)
    expected = [
        block * factor
        for layer, pair in zip(zip(*change, strict=True), FACTORS, strict=True)
        for block, factor in zip(layer, pair, strict=True)
    ]
    flat = np.concatenate([block.ravel() for block in expected])
    np.testing.assert_allclose(own.parameters - start, flat, rtol=1e-9, atol=1e-14)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    threads = bp.get_threads()
    found = []
    try:
        for count in (1, 2):
            bp.set_threads(count)
            net = network(widths=(5, 300, 300, 2))
            net.fit(X, Y, epochs=4, batch_size=8, optimizer=bp.AdamW(0.01))
            found.append(net.parameters.copy())
    finally:
        bp.set_threads(threads)
    np.testing.assert_array_equal(*found)


def test_parameter_groups_of_torch_agree() -> None:
    torch = pytest.importorskip("torch")
    net = network(dtype="float64")
    layers = [torch.nn.Linear(n, m).double() for n, m in ((5, 8), (8, 7), (7, 2))]
    groups = []
    for at, layer in enumerate(layers):
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(net.weights[at].copy()))
            layer.bias.copy_(torch.from_numpy(net.biases[at].copy()))
        for parameter, factor in zip((layer.weight, layer.bias), FACTORS[at], strict=True):
            groups.append({"params": [parameter], "lr": 0.01 * factor})
    tanh = torch.nn.Tanh()
    model = torch.nn.Sequential(layers[0], tanh, layers[1], tanh, layers[2])
    peer, own = torch.optim.AdamW(groups, weight_decay=0.3), bp.AdamW(0.01, weight_decay=0.3)
    for _ in range(10):
        peer.zero_grad()
        torch.nn.functional.mse_loss(model(torch.from_numpy(X)), torch.from_numpy(Y)).backward()
        peer.step()
        net.step(X, Y, own)
    for at, layer in enumerate(layers):
        np.testing.assert_allclose(net.weights[at], layer.weight.detach().numpy(), rtol=1e-9)
        np.testing.assert_allclose(net.biases[at], layer.bias.detach().numpy(), rtol=1e-9)


def test_members_of_networks_have_them() -> None:
    nets = bp.Networks([5, 8, 7, 2], n=3, activation="tanh", lr_factors=FACTORS, seed=1)
    nets.fit(X, Y, epochs=3, optimizer=bp.Adam(0.01))
    for at, member in enumerate(nets):
        alone = network(seed=1 + at)
        alone.fit(X, Y, epochs=3, optimizer=bp.Adam(0.01))
        np.testing.assert_array_equal(member.parameters, alone.parameters)
        assert member.lr_factors == alone.lr_factors


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_and_copies_keep_them(tmp_path: Path, suffix: str) -> None:
    net = network()
    net.save(tmp_path / f"net{suffix}")
    for other in (bp.Network.load(tmp_path / f"net{suffix}"), net.copy(), copy.deepcopy(net)):
        assert other.lr_factors == tuple(map(tuple, FACTORS))
        mine = net.copy()
        for each in (mine, other):
            each.fit(X, Y, epochs=2)
        np.testing.assert_array_equal(other.parameters, mine.parameters)


def test_a_resumed_run_has_them(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    whole, halves, again = network(), network(), network()
    whole.fit(X, Y, epochs=4)
    halves.fit(X, Y, epochs=2, checkpoint=path)
    again.fit(X, Y, epochs=4, checkpoint=path, resume=True)
    np.testing.assert_array_equal(again.parameters, whole.parameters)
    with pytest.raises(ValueError, match="lr_factors"):
        network(None).fit(X, Y, epochs=4, resume=path)


def test_a_report_measures_the_updates_that_are_made() -> None:
    own, plain = (
        bp.gradient_flow(network(each), X, Y, optimizer=bp.Adam(0.01), verbose=False)
        for each in (FACTORS, None)
    )
    ratios = [
        one.update_ratio / other.update_ratio
        for one, other in zip(own.layers, plain.layers, strict=True)
    ]
    assert ratios == pytest.approx([0.5, 0.0, 3.0], rel=1e-5)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"\(3, 2\), got shape \(2,\)"),
        (np.ones((2, 3)), ValueError, r"\(3, 2\), got shape \(2, 3\)"),
        ([[1, 1], [1, -1], [1, 1]], ValueError, "lr_factors must be a finite number >= 0, got -1"),
        ([[1, 1], [1, np.nan], [1, 1]], ValueError, "lr_factors must be a finite number >= 0"),
        ("fast", TypeError, "lr_factors must hold real numbers"),
    ],
)
def test_wrong_factors_are_refused(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        network(value)
