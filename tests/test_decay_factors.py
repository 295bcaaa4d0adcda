"""Factors of weight decay and eps of each layer's weights and biases, in every way to train."""

from __future__ import annotations

import copy
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray
from training_runs import thread_limit

import pybackprop as bp
from pybackprop import schedules
from pybackprop.doctor._updates import Updates

Array = NDArray[Any]

RATES = [[0.5, 2.0], [1.0, 1.0], [3.0, 0.25]]
DECAYS = [[2.0, 0.0], [0.0, 1.0], [0.5, 3.0]]
EPS = [[4.0, 1.0], [1.0, 0.0], [0.5, 9.0]]
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 2))
WIDTHS = (5, 8, 7, 2)

# Decay and eps are so large that every factor shows.
RULES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"betas": (0.8, 0.95), "eps": 0.01},
    "AdamW": {"betas": (0.9, 0.95), "eps": 0.01},
    "RMSprop": {"momentum": 0.5, "centered": True, "eps": 0.1},
    "Adagrad": {"lr_decay": 0.1, "eps": 0.01},
}


def make(rule: str, lr: Any = 0.02, decay: Any = 0.4, eps: float = 1.0, **more: Any) -> Any:
    settings = {**RULES[rule], **more}
    if "eps" in settings:
        settings["eps"] *= eps
    return getattr(bp, rule)(lr=lr, weight_decay=decay, **settings)


def network(widths: Any = WIDTHS, **settings: Any) -> bp.Network:
    given = {"lr_factors": RATES, "decay_factors": DECAYS, "eps_factors": EPS}
    return bp.Network(widths, **{"activation": "tanh", "seed": 1, **given, **settings})


def blocks(arrays: Any) -> list[Array]:
    """Return W_1, b_1, W_2, … as flat copies."""
    pairs = zip(arrays.weights, arrays.biases, strict=True)
    return [block.copy().ravel() for block in chain(*pairs)]


def own_optimizers(rule: str, lr: Any = 0.02, decay: float = 0.4) -> list[Any]:
    """Return an optimizer for each block, which is what parameter groups are in PyTorch."""
    factors = zip(np.ravel(RATES), np.ravel(DECAYS), np.ravel(EPS), strict=True)
    return [make(rule, lr * f, decay * d, e) for f, d, e in factors]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 40])
def test_own_factors(rule: str, dtype: str, rows: int) -> None:
    net, optimizer, own = network(dtype=dtype), make(rule), own_optimizers(rule)
    for step in range(5):
        at = slice(step, step + 1) if rows == 1 else slice(None)
        expected = blocks(net)
        for block, part, each in zip(
            expected, blocks(net.backprop(X[at], Y[at])), own, strict=True
        ):
            each.update(block, part)
        net.step(X[at], Y[at], optimizer)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(
            net.parameters, np.concatenate(expected), rtol=tolerance, atol=tolerance
        )
        net.parameters = np.concatenate(expected)


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_in_pure_python(rule: str) -> None:
    """Twenty steps, with the factors of decay and eps in each parameter's rule."""
    net, theta = network(lr_factors=None, dtype="float64"), []
    rules = []
    for block, d, e in zip(blocks(net), np.ravel(DECAYS), np.ravel(EPS), strict=True):
        options = {**RULES[rule], "weight_decay": 0.4 * float(d)}
        if "eps" in options:
            options["eps"] *= float(e)
        rules += [getattr(ref, rule)(**options) for _ in block]
        theta += block.tolist()
    twin, optimizer = ref.Optimizer(rules), make(rule)
    for _ in range(20):
        weights, biases, at = [], [], 0
        for n_in, n_out in pairwise(WIDTHS):
            weights.append([theta[at + i * n_in : at + (i + 1) * n_in] for i in range(n_out)])
            at += n_in * n_out
            biases.append(theta[at : at + n_out])
            at += n_out
        names = ["tanh", "tanh", "identity"]
        gradient = ref.Reference(weights, biases, names).backprop(X.tolist(), Y.tolist())
        theta = twin.step(theta, gradient.flat, 0.02)
        net.step(X, Y, optimizer)
        np.testing.assert_allclose(net.parameters, theta, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rule", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("widths", [WIDTHS, (64, 512, 600, 2), (64, 40, 40, 2)])
@pytest.mark.parametrize("batch", [1, 64, 512])
@pytest.mark.parametrize("threads", [1, 3])
def test_however_the_update_is_cut(rule: str, widths: Any, batch: int, threads: int) -> None:
    """Into tiles, replicas and pieces, or with a single example."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((batch, widths[0])), rng.standard_normal((batch, 2))
    net = network(widths, dtype="float64")
    expected = blocks(net)
    parts = blocks(net.backprop(x, y))
    for block, part, each in zip(expected, parts, own_optimizers(rule), strict=True):
        each.update(block, part)
    with thread_limit(threads):
        net.fit(x, y, batch_size=batch, optimizer=make(rule), shuffle=False)
    np.testing.assert_allclose(net.parameters, np.concatenate(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "settings",
    [{}, {"l1": 0.01, "l2": 0.1}, {"dropout": 0.2, "dtype": "float64"}, {"precision": "bf16"}],
    ids=str,
)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_all_ways_to_train_agree(rule: str, settings: dict[str, Any], clip: float | None) -> None:
    decay = schedules.FlatCos(0.4, 5)
    nets = [network(**settings) for _ in range(4)]
    fitted, stepped, streamed, member = nets
    one, two, three, four = (make(rule, decay=decay, clip_norm=clip) for _ in nets)
    fitted.fit(X, Y, epochs=2, batch_size=16, shuffle=False, optimizer=one)
    batches = [(X[at : at + 16], Y[at : at + 16]) for at in (0, 16, 32)]
    for x, y in batches * 2:
        stepped.step(x, y, two)
    streamed.fit_stream(batches, epochs=2, optimizer=three)
    bp.fit_many([member], X, Y, epochs=2, batch_size=16, shuffle=False, optimizers=[four])
    for other in nets[1:]:
        np.testing.assert_array_equal(other.parameters, fitted.parameters)
    # Factors of 1 are none, to the bit; and a factor of 0 is no decay.
    ones = {name: np.ones((3, 2)) for name in ("lr_factors", "decay_factors", "eps_factors")}
    none = {**dict.fromkeys(ones), "decay_factors": np.zeros((3, 2))}
    pairs = [(ones, 0.4, dict.fromkeys(ones), 0.4), (none, 0.4, dict.fromkeys(ones), 0.0)]
    for these, this_decay, those, that_decay in pairs:
        this, that = network(**settings, **these), network(**settings, **those)
        this.fit(X, Y, batch_size=16, optimizer=make(rule, decay=this_decay, clip_norm=clip))
        that.fit(X, Y, batch_size=16, optimizer=make(rule, decay=that_decay, clip_norm=clip))
        np.testing.assert_array_equal(this.parameters, that.parameters)
    assert "decay_factors" not in network(**ones)._settings()


def test_neural_tangent_parametrisation() -> None:
    """z = W a / sqrt(n) + b, by NumPy with AdamW, is the network with factors: after 100 steps."""
    roots = [float(np.sqrt(n)) for n in WIDTHS[:-1]]
    net = bp.Network(
        WIDTHS,
        activation="tanh",
        dtype="float64",
        seed=1,
        lr_factors=[[1 / root, 0.1] for root in roots],
        decay_factors=[[root, 0.0] for root in roots],
        eps_factors=[[root, 1.0] for root in roots],
    )
    lr, decay, eps, betas = 0.04, 0.02, 1e-3, (0.9, 0.95)
    weights = [w * root for w, root in zip(net.weights, roots, strict=True)]
    theta = [*weights, *(b.copy() for b in net.biases)]
    m, v = ([np.zeros_like(each) for each in theta] for _ in range(2))
    optimizer = bp.AdamW(lr, betas=betas, eps=eps, weight_decay=decay)
    for t in range(1, 101):
        a = [X]
        for layer, root in enumerate(roots):
            z = a[-1] @ theta[layer].T / root + theta[3 + layer]
            a.append(np.tanh(z) if layer < 2 else z)
        delta = 2 * (a[3] - Y) / Y.size
        gradient: list[Any] = [None] * 6
        for layer in (2, 1, 0):
            gradient[layer] = delta.T @ a[layer] / roots[layer]
            gradient[3 + layer] = delta.sum(axis=0)
            delta = (delta @ theta[layer] / roots[layer]) * (1 - a[layer] ** 2)
        for i, g in enumerate(gradient):
            m[i] = betas[0] * m[i] + (1 - betas[0]) * g
            v[i] = betas[1] * v[i] + (1 - betas[1]) * g * g
            rate = lr if i < 3 else 0.1 * lr
            kept = theta[i] * (1 - lr * decay) if i < 3 else theta[i]
            root = np.sqrt(v[i] / (1 - betas[1] ** t)) + eps
            theta[i] = kept - rate * m[i] / (1 - betas[0] ** t) / root
        net.step(X, Y, optimizer)
    for layer, root in enumerate(roots):
        np.testing.assert_allclose(net.weights[layer] * root, theta[layer], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(net.biases[layer], theta[3 + layer], rtol=1e-8, atol=1e-9)


def test_any_number_of_threads_and_shards() -> None:
    found = []
    for count in (1, 3):
        with thread_limit(count):
            net, sharded = network((5, 300, 300, 2)), network((5, 30, 2), lr_factors=None,
                decay_factors=DECAYS[:2], eps_factors=EPS[:2])  # fmt: skip
            net.fit(X, Y, epochs=4, batch_size=8, optimizer=make("AdamW"))
            sharded.fit(X, Y, epochs=4, batch_size=8, optimizer=make("Adam"), shards=4)
            found.append((net.parameters.copy(), sharded.parameters.copy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_members_of_networks_have_them(tmp_path: Path) -> None:
    factors = {"decay_factors": DECAYS, "eps_factors": EPS}
    nets = bp.Networks(WIDTHS, n=3, activation="tanh", **factors, seed=1)
    nets.fit(X, Y, epochs=3, optimizer=make("AdamW"))
    nets.save(tmp_path / "nets.npz")
    loaded = bp.Networks.load(tmp_path / "nets.npz")
    for at, (member, other) in enumerate(zip(nets, loaded, strict=True)):
        alone = network(seed=1 + at, lr_factors=None)
        alone.fit(X, Y, epochs=3, optimizer=make("AdamW"))
        np.testing.assert_array_equal(member.parameters, alone.parameters)
        for each in (member, other):
            assert each.decay_factors == alone.decay_factors == tuple(map(tuple, DECAYS))
            assert each.eps_factors == alone.eps_factors == tuple(map(tuple, EPS))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_and_copies_keep_them(tmp_path: Path, suffix: str) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    net = network()
    net.save(tmp_path / f"net{suffix}")
    for other in (bp.Network.load(tmp_path / f"net{suffix}"), net.copy(), copy.deepcopy(net)):
        assert other.decay_factors == tuple(map(tuple, DECAYS))
        assert other.eps_factors == tuple(map(tuple, EPS))
        mine = net.copy()
        for each in (mine, other):
            each.fit(X, Y, epochs=2, optimizer=make("AdamW"))
        np.testing.assert_array_equal(other.parameters, mine.parameters)


@pytest.mark.parametrize("name", ["decay_factors", "eps_factors"])
def test_a_resumed_run_has_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.npz"
    whole, halves, again = network(), network(), network()
    whole.fit(X, Y, epochs=4, optimizer=make("AdamW"))
    halves.fit(X, Y, epochs=2, optimizer=make("AdamW"), checkpoint=path)
    again.fit(X, Y, epochs=4, optimizer=make("AdamW"), checkpoint=path, resume=True)
    np.testing.assert_array_equal(again.parameters, whole.parameters)
    with pytest.raises(ValueError, match=name):
        network(**{name: None}).fit(X, Y, epochs=4, optimizer=make("AdamW"), resume=path)


def test_a_report_copies_the_state_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not once for each block of parameters with factors of its own."""
    calls: list[bp.Optimizer] = []
    describe = bp.Optimizer.state_dict

    def count(self: bp.Optimizer) -> dict[str, Any]:
        calls.append(self)
        return describe(self)

    monkeypatch.setattr(bp.Optimizer, "state_dict", count)
    Updates(network(), make("Adam"))
    assert len(calls) == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_report_measures_the_updates_that_are_made(rule: str, clip: float | None) -> None:
    """The updates that the doctor tries are those of the core, also of an optimizer in use."""
    lr, decay = schedules.Cosine(0.02, 9), schedules.FlatCos(0.4, 6)
    net, optimizer = network(dtype="float64"), make(rule, lr, decay, clip_norm=clip)
    net.step(X, Y, optimizer)
    before, mine = net.parameters.copy(), net.parameters.copy()
    report = bp.gradient_flow(net, X, Y, optimizer=optimizer, verbose=False)
    update = Updates(net, optimizer)
    for step in range(3):
        update(mine, net.backprop(X, Y).flat)
        net.step(X, Y, optimizer)
        np.testing.assert_allclose(mine, net.parameters, rtol=1e-9, atol=1e-12)
        if step == 0:
            old, new = (net._split(each)[0] for each in (before, net.parameters))
            ratios = [
                np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(old, new, strict=True)
            ]
            assert [each.update_ratio for each in report.layers] == pytest.approx(ratios, rel=1e-6)


@pytest.mark.parametrize("name", ["decay_factors", "eps_factors"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"\(3, 2\), got shape \(2,\)"),
        ([[1, 1], [1, -1], [1, 1]], ValueError, "_factors must be a finite number >= 0, got -1"),
        ([[1, 1], [1, np.inf], [1, 1]], ValueError, "_factors must be a finite number >= 0"),
        ("fast", TypeError, "_factors must hold real numbers"),
    ],
)
def test_wrong_factors_are_refused(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        network(**{name: value})
    assert name in str(raised.value)


@pytest.mark.parametrize("rule", ["Adam", "AdamW", "RMSprop", "Adagrad"])
def test_a_factor_of_eps_of_zero_leaves_no_step_without_a_gradient(rule: str) -> None:
    """As the documentation of `Network` says: 0 / 0 is not a number."""
    net = bp.Network([2, 1], seed=1, eps_factors=[[0, 1]], lr_factors=[[0, 1]])
    assert np.isfinite(net.step([[1.0, 0.0]], [[3.0]], getattr(bp, rule)()))
    assert np.isfinite(net.weights[0][0, 0])
    assert np.isnan(net.weights[0][0, 1])
