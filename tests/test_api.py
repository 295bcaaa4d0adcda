"""The public interface: names, views, copies, states, evaluation and single steps."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

RNG = np.random.default_rng(5)
X = RNG.normal(size=(7, 4))
Y = RNG.normal(size=(7, 2))


def squared(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss squared_error as a user would write it."""
    return ((a - y) ** 2).sum(1), 2 * (a - y)


def network(**settings: Any) -> bp.Network:
    return bp.Network(**{"widths": [4, 5, 3, 2], "activation": "tanh", "seed": 2, **settings})


def test_public_names() -> None:
    for name in bp.__all__:
        assert getattr(bp, name) is not None
    assert {"Network", "Adam", "kernels", "schedules", "set_threads"} <= set(bp.__all__)


def test_properties_and_repr() -> None:
    net = network(activation=["tanh", "relu"], dropout=0.25, l1=0.1, l2=0.2, dtype="float64")
    assert net.widths == (4, 5, 3, 2)
    assert net.activations == ("tanh", "relu", "identity")
    assert net.n_parameters == 5 * 5 + 6 * 3 + 4 * 2 == net.parameters.size
    assert (net.dropout, net.l1, net.l2, net.seed) == ((0.25, 0.25), 0.1, 0.2, 2)
    assert (net.loss, net.precision, net.dtype) == ("mse", "float32", np.float64)
    assert repr(net) == (
        "Network(4 -> 5 tanh -> 3 relu -> 2 identity; loss=mse, dtype=float64, n_parameters=51)"
    )
    assert "loss=squared," in repr(network(loss=squared))
    with pytest.raises(AttributeError):
        net.seed = 4  # type: ignore[misc]


def test_parameters_are_read_only_views_in_the_documented_order() -> None:
    net = network()
    flat = np.concatenate(
        [part.ravel() for pair in zip(net.weights, net.biases, strict=True) for part in pair]
    )
    np.testing.assert_array_equal(net.parameters, flat)
    for view in (net.parameters, *net.weights, *net.biases):
        assert np.shares_memory(view, net.parameters)
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True


def test_views_keep_the_network_alive() -> None:
    net = network()
    expected, view = net.weights[1].copy(), net.weights[1]
    del net
    gc.collect()
    filler = [network(seed=seed) for seed in range(20)]
    np.testing.assert_array_equal(view, expected)
    assert len(filler) == 20


def test_assigned_parameters_take_effect() -> None:
    net = network(dtype="float64")
    values = RNG.normal(size=net.n_parameters)
    net.parameters = values
    np.testing.assert_array_equal(net.parameters, values)
    w, b = net.weights, net.biases
    hidden = np.tanh(np.tanh(X @ w[0].T + b[0]) @ w[1].T + b[1])
    np.testing.assert_allclose(net.predict(X), hidden @ w[2].T + b[2], rtol=1e-12)
    net.set_layer(2, np.zeros((2, 3)), [1.0, -1.0])
    np.testing.assert_array_equal(net.predict(X), np.tile([1.0, -1.0], (7, 1)))
    np.testing.assert_array_equal(net.parameters[:43], values[:43])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_has_the_same_bits_on_every_path(dtype: str) -> None:
    net = network(dtype=dtype)
    x = X.astype(dtype)
    out = net.predict(x)
    assert out.dtype == dtype
    given = np.full((7, 2), np.nan, dtype)
    assert net.predict(x, out=given) is given
    for other in (given, net(x), net.predict(x.tolist()), net.predict(x[::-1])[::-1]):
        np.testing.assert_array_equal(other, out)
    for i in range(7):
        np.testing.assert_array_equal(net.predict(x[i : i + 1])[0], out[i])
    net._net.call_rows = 3
    np.testing.assert_array_equal(net.predict(x), out)


def test_cost_in_pieces_is_the_weighted_mean() -> None:
    net = network(dtype="float64", l2=0.3, l1=0.1)
    weights = np.array([0.0, 0, 0, 1, 2, 3, 4])
    whole = net.cost(X, Y), net.cost(X, Y, weights)
    net._net.call_rows = 3
    assert net.cost(X, Y) == pytest.approx(whole[0], rel=1e-14)
    assert net.cost(X, Y, weights) == pytest.approx(whole[1], rel=1e-14)


def test_cost_by_the_formula() -> None:
    net = network(dtype="float64", l1=0.01, l2=0.1)
    error = ((net.predict(X) - Y) ** 2).mean(1)
    flat = np.concatenate([w.ravel() for w in net.weights])
    penalty = 0.05 * (flat**2).sum() + 0.01 * np.abs(flat).sum()
    weights = np.arange(7.0)
    assert net.cost(X, Y) == pytest.approx(error.mean() + penalty, rel=1e-13)
    expected = (weights * error).sum() / weights.sum() + penalty
    assert net.cost(X, Y, weights) == pytest.approx(expected, rel=1e-13)
    assert net.backprop(X, Y, weights).cost == pytest.approx(expected, rel=1e-13)


def test_backprop_views_and_differences() -> None:
    net = network(dtype="float64", l2=0.1)
    net.set_scaling(np.full(4, 0.5), np.array([1.0, 2.0, 0.5, 3.0]))
    gradients = net.backprop(X, Y)
    assert [w.shape for w in gradients.weights] == [w.shape for w in net.weights]
    assert all(np.shares_memory(w, gradients.flat) for w in gradients.weights + gradients.biases)
    step, start = 1e-6, net.parameters.copy()
    for i in range(0, net.n_parameters, 5):
        costs = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * step
            net.parameters = moved
            costs.append(net.cost(X, Y))
        assert gradients.flat[i] == pytest.approx((costs[0] - costs[1]) / (2 * step), abs=1e-8)
    net.parameters = start
    for i, j in [(0, 0), (3, 2), (6, 3)]:
        costs = []
        for sign in (1, -1):
            moved = X.copy()
            moved[i, j] += sign * step
            costs.append(net.cost(moved, Y))
        assert gradients.inputs[i, j] == pytest.approx((costs[0] - costs[1]) / (2 * step), abs=1e-8)


def test_trace() -> None:
    net = network(dtype="float64")
    trace = net.trace(X, Y)
    assert [a.shape for a in trace.a] == [(7, 4), (7, 5), (7, 3), (7, 2)]
    assert trace.delta is not None
    np.testing.assert_array_equal(trace.a[0], X)
    np.testing.assert_array_equal(trace.a[-1], net.predict(X))
    gradients = net.backprop(X, Y)
    for i in range(3):
        z = trace.a[i] @ net.weights[i].T + net.biases[i]
        np.testing.assert_allclose(trace.z[i], z, rtol=1e-12)
        np.testing.assert_allclose(trace.delta[i].T @ trace.a[i], gradients.weights[i], rtol=1e-10)
        np.testing.assert_allclose(trace.delta[i].sum(0), gradients.biases[i], rtol=1e-10)
    forward = net.trace(X)
    assert forward.delta is None
    np.testing.assert_array_equal(forward.z[1], trace.z[1])


def test_scaling_is_standardisation() -> None:
    net = network(dtype="float64")
    shift, scale = X.mean(0), 1 / X.std(0)
    expected = net.predict((X - shift) * scale)
    trace = net.trace((X - shift) * scale)
    net.set_scaling(shift, scale)
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-12)
    np.testing.assert_allclose(net.trace(X).a[0], trace.a[0], rtol=1e-12)
    np.testing.assert_array_equal(net.scaling, (shift, scale))
    net.set_scaling(None, None)
    assert net.scaling is None
    np.testing.assert_array_equal(net.predict((X - shift) * scale), expected)


def test_custom_loss_equals_the_built_in_one() -> None:
    mine, theirs = (network(loss=loss, dtype="float64") for loss in (squared, "squared_error"))
    for net in (mine, theirs):
        net.step(X, Y, bp.Adam())
    assert mine.cost(X, Y) == pytest.approx(theirs.cost(X, Y), rel=1e-13)
    np.testing.assert_allclose(mine.parameters, theirs.parameters, rtol=1e-10)
    one, two = (net.backprop(X, Y, np.arange(7)) for net in (mine, theirs))
    np.testing.assert_allclose(one.flat, two.flat, rtol=1e-10, atol=1e-13)
    one, two = (net.fit(X, Y, epochs=3, batch_size=2) for net in (mine, theirs))
    assert one.cost == pytest.approx(two.cost, rel=1e-10)


def test_errors_of_a_custom_loss_reach_the_caller() -> None:
    before = network().parameters
    for returned, error, message in [
        (1.0, TypeError, "must return a pair"),
        ((np.zeros(3), np.zeros((7, 2))), ValueError, r"per-example losses of shape \(7,\)"),
        ((np.zeros(7), np.zeros(7)), ValueError, r"derivatives of shape \(7, 2\)"),
        ((np.zeros(7), np.zeros((7, 2), complex)), TypeError, "real derivatives"),
    ]:
        net = network(loss=lambda a, y, value=returned: value)
        for call in (net.backprop, net.fit, lambda *data, n=net: n.step(*data, bp.SGD())):
            with pytest.raises(error, match=message):
                call(X, Y)
        np.testing.assert_array_equal(net.parameters, before)
    net = network(loss=lambda a, y: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net.cost(X, Y)
    net = network(loss=lambda a, y: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        net.cost(X, Y)


def test_custom_loss_sees_its_own_copies() -> None:
    kept: list[np.ndarray] = []

    def loss(a: np.ndarray, y: np.ndarray) -> Any:
        kept.append(a)
        y[...] = 0
        return squared(a, y)

    net = network(loss=loss)
    first = net.cost(X, Y)
    out = kept[0].copy()
    net.cost(X * 2, Y)
    np.testing.assert_array_equal(kept[0], out)
    assert first == net.cost(X, Y)


def test_dropout_masks_are_those_of_the_next_step() -> None:
    net = network(dropout=[0.5, 0.2], dtype="float64", loss="squared_error")
    masks = net.dropout_masks(7)
    assert [mask.dtype for mask in masks] == [bool, bool]
    a = X
    for i, rate in enumerate((0.5, 0.2)):
        a = np.tanh(a @ net.weights[i].T + net.biases[i]) * masks[i] / (1 - rate)
    out = a @ net.weights[2].T + net.biases[2]
    cost = net.step(X, Y, bp.SGD(lr=0.0))
    assert cost == pytest.approx(((out - Y) ** 2).sum(1).mean(), rel=1e-12)
    assert not np.array_equal(masks[0], net.dropout_masks(7)[0])
    rates = [1 - mask.mean() for mask in net.dropout_masks(4000)]
    assert rates == pytest.approx([0.5, 0.2], abs=0.02)


def test_step_returns_the_cost_before_it() -> None:
    for weights in (None, np.arange(7)):
        net = network(l2=0.1)
        cost = net.cost(X, Y, weights)
        assert net.step(X, Y, bp.SGD(lr=0.1), weights) == pytest.approx(cost, rel=1e-6)
        assert net.cost(X, Y, weights) < cost
    net = network()
    x = np.full((1, 4), np.nan)
    assert np.isnan(net.step(x, Y[:1], bp.SGD()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_have_the_same_bits_on_every_path(dtype: str) -> None:
    x, y = X.astype(dtype), Y.astype(dtype)
    plain, lists, weighted = (network(dtype=dtype) for _ in range(3))
    optimizers = [bp.Adam(lr=0.01) for _ in range(3)]
    for _ in range(3):
        costs = {
            plain.step(x, y, optimizers[0]),
            lists.step(np.asfortranarray(x), y.tolist(), optimizers[1]),
            weighted.step(x, y, optimizers[2], np.ones(7)),
        }
        assert len(costs) == 1
    np.testing.assert_array_equal(plain.parameters, lists.parameters)
    np.testing.assert_array_equal(plain.parameters, weighted.parameters)


@pytest.mark.parametrize("how", [bp.Network.copy, copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_equal_and_independent(how: Any) -> None:
    net = network(dropout=0.3, l2=0.1, loss=squared, init="orthogonal")
    net.set_scaling(np.ones(4), np.full(4, 0.5))
    net.metadata = {"classes": ["a", "b"]}
    net.fit(X, Y, epochs=3)
    other = how(net)
    other = pickle.loads(other) if isinstance(other, bytes) else other
    assert repr(other) == repr(net)
    assert (other.seed, other.metadata, other._init) == (2, net.metadata, "orthogonal")
    np.testing.assert_array_equal(other.scaling, net.scaling)
    net.fit(X, Y, epochs=2, batch_size=3)
    assert not np.array_equal(other.parameters, net.parameters)
    other.fit(X, Y, epochs=2, batch_size=3)
    np.testing.assert_array_equal(other.parameters, net.parameters)
    other.metadata["classes"].append("c")
    assert net.metadata == {"classes": ["a", "b"]}


def test_pickles_name_the_modules_that_they_always_did() -> None:
    """So that those of every version can be read, whatever module defines a class today."""
    ends: list[bp.EpochEnd] = []
    net = network()
    history = net.fit(X, Y, callbacks=ends.append)
    for kept in (history, ends[0], net.backprop(X, Y), net.trace(X, Y)):
        assert type(kept).__module__ == "pybackprop.results"
        assert b"\x8c\x12pybackprop.results\x94" in pickle.dumps(kept, protocol=4)
        assert type(pickle.loads(pickle.dumps(kept))) is type(kept)
    assert b"\x8c\x12pybackprop.network\x94" in pickle.dumps(net, protocol=4)
    for kept in (bp.graph.Variable(2.0), bp.graph.sin, bp.view.make_page):
        assert b"._" not in pickle.dumps(kept, protocol=4).replace(b"numpy._core", b"")


@pytest.mark.parametrize(
    "name", ["results History", "graph.variable Variable", "view.page make_page"]
)
def test_what_a_pickle_names_is_found_in_a_new_process(name: str) -> None:
    module, what = name.split()
    code = f"import pickle; print(pickle.loads(b'cpybackprop.{module}\\n{what}\\n.'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert what in done.stdout, done.stderr


def test_a_lambda_loss_cannot_be_pickled() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(network(loss=lambda a, y: squared(a, y)))


def test_seeds() -> None:
    one, two = bp.Network([4, 3]), bp.Network([4, 3])
    assert one.seed != two.seed
    assert not np.array_equal(one.parameters, two.parameters)
    again = bp.Network([4, 3], seed=one.seed)
    np.testing.assert_array_equal(again.parameters, one.parameters)


@pytest.mark.parametrize(
    ("init", "activation", "variance"),
    [
        ("he", "tanh", 2 / 60),
        ("glorot", "relu", 2 / (60 + 90)),
        ("lecun", "relu", 1 / 60),
        ("auto", "relu", 2 / 60),
        ("auto", "silu", 2 / 60),
        ("auto", "selu", 1 / 60),
        ("auto", "tanh", 2 / (60 + 90)),
    ],
)
def test_initial_variance(init: str, activation: str, variance: float) -> None:
    net = bp.Network([60, 90, 90, 1], init=init, activation=activation, seed=0, dtype="float64")
    w = net.weights[0]
    assert w.var() == pytest.approx(variance, rel=0.06)
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    assert np.abs(w).max() <= np.sqrt(3 * variance)
    assert not any(b.any() for b in net.biases)
    assert np.corrcoef(w.ravel(), net.weights[1].ravel()[: w.size])[0, 1] < 0.05
    single = bp.Network([60, 90, 90, 1], init=init, activation=activation, seed=0)
    np.testing.assert_array_equal(single.parameters, net.parameters.astype(np.float32))


def test_orthogonal_and_zeros() -> None:
    for widths in ([5, 8], [8, 5], [1, 1]):
        w = bp.Network(widths, init="orthogonal", dtype="float64", seed=1).weights[0]
        product = w.T @ w if len(w) >= w.shape[1] else w @ w.T
        np.testing.assert_allclose(product, np.eye(min(widths)), atol=1e-13)
    assert not bp.Network([5, 8, 2], init="zeros").parameters.any()


# ---- optimizers ----

OPTIMIZERS = [
    bp.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    bp.SGD(lr=0.1),
    bp.Adam(lr=bp.schedules.Cosine(0.1, 30), betas=(0.8, 0.99), clip_norm=1.0),
    bp.AdamW(),
    bp.RMSprop(momentum=0.5, centered=True),
    bp.Adagrad(lr_decay=0.1, initial_accumulator_value=0.2),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_optimizer_state_travels(optimizer: bp.Optimizer) -> None:
    optimizer = copy.deepcopy(optimizer)
    net = network()
    for _ in range(4):
        net.step(X, Y, optimizer)
    loaded = type(optimizer)()
    loaded.load_state_dict(optimizer.state_dict())
    others = [loaded, copy.copy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    nets = [net.copy() for _ in others]
    for _ in range(3):
        net.step(X, Y, optimizer)
    for other, twin in zip(others, nets, strict=True):
        assert repr(other) == repr(optimizer)
        assert other.steps == 4
        for _ in range(3):
            twin.step(X, Y, other)
        np.testing.assert_array_equal(twin.parameters, net.parameters)


def test_optimizers_have_the_defaults_of_pytorch() -> None:
    assert [repr(kind()) for kind in (bp.SGD, bp.Adam, bp.AdamW, bp.RMSprop, bp.Adagrad)] == [
        "SGD(lr=0.001, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=None)",
        "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, clip_norm=None)",
        "AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, clip_norm=None)",
        "RMSprop(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=0.0, momentum=0.0, centered=False,"
        " clip_norm=None)",
        "Adagrad(lr=0.01, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0,"
        " eps=1e-10, clip_norm=None)",
    ]


def test_malformed_optimizer_state_is_refused() -> None:
    optimizer = bp.Adam()
    network().step(X, Y, optimizer)
    good = optimizer.state_dict()
    m = good["state"]["exp_avg"]
    for bad, message in [
        ({}, "state must be a dict with name"),
        ({**good, "name": "newton"}, "must be that of 'adam', got that of 'newton'"),
        ({**good, "settings": {"lr": 1.0}}, "the settings of adam are lr"),
        ({**good, "step": -1}, r"state: step must be in \[0, "),
        ({**good, "state": {"mean": m}}, "adam has no vector 'mean'"),
        ({**good, "state": {"exp_avg": m.astype(int)}}, "exp_avg must be a vector of float32"),
        ({**good, "state": {"exp_avg": m, "exp_avg_sq": m[1:]}}, "must have one size"),
        (bp.SGD().state_dict(), "state must be that of 'adam', got that of 'sgd'"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(bad)
        np.testing.assert_array_equal(optimizer.state_dict()["state"]["exp_avg"], m)
    assert optimizer.steps == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_update_drives_a_flat_array_as_step_does(optimizer: bp.Optimizer, dtype: str) -> None:
    one, two = copy.copy(optimizer), copy.copy(optimizer)
    net = network(dtype=dtype)
    flat = net.parameters.copy()
    for _ in range(5):
        gradient = net.backprop(X, Y).flat
        net.step(X, Y, one)
        two.update(flat, gradient)
        np.testing.assert_allclose(flat, net.parameters, rtol=1e-4 if dtype == "float32" else 1e-11)
        net.parameters = flat
    assert two.steps == 5


def test_update_refuses_what_it_cannot_change_in_place() -> None:
    optimizer = bp.SGD()
    good = np.zeros(4)
    for parameters, gradient, error in [
        ([0.0], good, TypeError),
        (good, good.astype("f4"), TypeError),
        (good.astype(int), good.astype(int), TypeError),
        (good, good[:3], ValueError),
        (good.reshape(2, 2), good.reshape(2, 2), ValueError),
        (np.zeros(8)[::2], good, ValueError),
        (good, good, ValueError),
    ]:
        with pytest.raises(error, match=r"parameters|gradient"):
            optimizer.update(parameters, gradient)
    assert optimizer.steps == 0


def test_settings_may_change_between_steps() -> None:
    optimizer = bp.SGD(lr=0.1)
    net = network()
    net.step(X, Y, optimizer)
    optimizer.momentum = 0.9
    optimizer.nesterov = True
    net.step(X, Y, optimizer)
    assert list(optimizer.state_dict()["state"]) == ["momentum_buffer"]
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        optimizer.momentum = 0
    assert optimizer.momentum == 0.9
