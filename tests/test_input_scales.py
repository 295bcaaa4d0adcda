"""Trained factors of the inputs, z = W (s x) + b: every optimizer, every way to train, files."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from fake_ranks import run_ranks
from numpy.typing import NDArray
from training_runs import thread_limit

import pybackprop as bp
from pybackprop import schedules
from pybackprop._core.ffi import lib, pointer
from pybackprop.doctor._lines import rebuild
from pybackprop.doctor._updates import Updates
from pybackprop.many._checkpoints import ManyCheckpoints

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 2))
WIDTHS = (5, 8, 7, 2)
FACTORS = (6.0, 0.5, 2.0)
# Of the layers' rates.
RATES = [[0.5, 2.0], [1.0, 1.0], [3.0, 0.25]]
RULES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.4},
    "Adam": {"betas": (0.8, 0.95), "eps": 0.01, "weight_decay": 0.4},
    "AdamW": {"betas": (0.9, 0.95), "eps": 0.01, "weight_decay": 0.4},
    "RMSprop": {"momentum": 0.5, "centered": True, "eps": 0.1, "weight_decay": 0.4},
    "Adagrad": {"lr_decay": 0.1, "eps": 0.01, "weight_decay": 0.4},
}


def make(rule: str, lr: Any = 0.02, **more: Any) -> Any:
    return getattr(bp, rule)(lr=lr, **RULES[rule], **more)


def network(widths: Any = WIDTHS, **settings: Any) -> bp.Network:
    given = {"input_scales": True, "input_scale_factors": FACTORS}
    return bp.Network(widths, **{"activation": "tanh", "seed": 1, **given, **settings})


def trained(net: Any) -> Array:
    """Return s, W_1, b_1, W_2, … of a network."""
    found: Array = net._net.trained()
    return found


def assert_same(one: Any, other: Any) -> None:
    np.testing.assert_array_equal(trained(one), trained(other))
    np.testing.assert_array_equal(one.parameters, other.parameters)


def assert_all_same(some: Any, others: Any) -> None:
    for one, other in zip(some, others, strict=True):
        assert_same(one, other)


# ---- the mathematics, in NumPy ----


def layers_of(theta: Array, widths: Any) -> list[tuple[Array, Array]]:
    """Return W and b of each layer in s, W_1, b_1, W_2, …."""
    found, at = [], widths[0]
    for n_in, n_out in pairwise(widths):
        w = theta[at : at + n_in * n_out].reshape(n_out, n_in)
        at += n_in * n_out
        found.append((w, theta[at : at + n_out]))
        at += n_out
    return found


def gradient_of(theta: Array, x: Array, y: Array, l1: float, l2: float) -> Array:
    """Return the derivatives of the mean square in s, W_1, b_1, W_2, …."""
    scales, layers = theta[: WIDTHS[0]], layers_of(theta, WIDTHS)
    a = [scales * x]
    for at, (w, b) in enumerate(layers):
        z = a[-1] @ w.T + b
        a.append(z if at == len(layers) - 1 else np.tanh(z))
    delta = 2.0 * (a[-1] - y) / y.size
    parts: list[Array] = []
    for at in reversed(range(len(layers))):
        w = layers[at][0]
        parts = [(delta.T @ a[at]).ravel(), delta.sum(axis=0), *parts]
        below = delta @ w
        if at > 0:
            parts[0] += l1 * np.sign(w).ravel() + l2 * w.ravel()
            delta = below * (1.0 - a[at] ** 2)
    ds = (below * x).sum(axis=0)
    w = layers[0][0]
    # Penalties are of V = W diag(s).
    pull = l1 * np.sign(w * scales) + l2 * w * scales
    parts[0] += (pull * scales).ravel()
    return np.concatenate([ds + (pull * w).sum(axis=0), *parts])


def twin_of(rule: str, lr_factors: Any, clip: float | None) -> tuple[list[Any], ref.Optimizer]:
    """Return the factors of the rate of every entry, and the rules with those of decay and eps."""
    sizes = [WIDTHS[0]]
    rates = [FACTORS[0]]
    for pair, n_in, n_out in zip(lr_factors, WIDTHS[:-1], WIDTHS[1:], strict=True):
        sizes += [n_in * n_out, n_out]
        rates += pair
    rules = []
    for at, size in enumerate(sizes):
        options = dict(RULES[rule])
        if at == 0:
            options["weight_decay"] *= FACTORS[1]
            if "eps" in options:
                options["eps"] *= FACTORS[2]
        rules += [getattr(ref, rule)(**options) for _ in range(size)]
    factors = [rate for rate, size in zip(rates, sizes, strict=True) for _ in range(size)]
    return factors, ref.Optimizer(rules, clip)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.01, 0.1)], ids=str)
def test_the_rules_in_pure_python(rule: str, clip: float | None, penalties: Any) -> None:
    """Twenty steps: the same s, W and b, and V = W diag(s), to 1e-12."""
    l1, l2 = penalties
    net = network(dtype="float64", lr_factors=RATES, l1=l1, l2=l2)
    factors, twin = twin_of(rule, RATES, clip)
    theta, optimizer = trained(net), make(rule, clip_norm=clip)
    for _ in range(20):
        given = ref.clip(gradient_of(theta, X, Y, l1, l2).tolist(), clip)
        moves = zip(twin.rules, theta.tolist(), given, factors, strict=True)
        theta = np.array([each.update(p, g, 0.02 * factor) for each, p, g, factor in moves])
        net.step(X, Y, optimizer)
    np.testing.assert_allclose(trained(net), theta, rtol=1e-12, atol=1e-12)
    scales, (w, _) = theta[:5], layers_of(theta, WIDTHS)[0]
    np.testing.assert_allclose(net.input_scales, scales, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(net.weights[0], w * scales, rtol=1e-12, atol=1e-12)
    assert float(np.abs(scales - 1.0).max()) > 0.01


def test_what_everything_else_sees() -> None:
    """V, which predicts, and whose derivatives and penalties are asked for."""
    net, plain = network(l2=0.1), network(l2=0.1, input_scales=False, input_scale_factors=None)
    net.fit(X, Y, epochs=3, optimizer=make("Adam"))
    plain.parameters = net.parameters
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))
    assert net.cost(X, Y) == plain.cost(X, Y)
    np.testing.assert_array_equal(net.backprop(X, Y).flat, plain.backprop(X, Y).flat)
    np.testing.assert_array_equal(net.jacobian(X), plain.jacobian(X))
    w = trained(net)[5:45].reshape(8, 5)
    np.testing.assert_array_equal(net.weights[0], w * net.input_scales)
    assert plain.input_scales is None
    assert net.n_parameters == plain.n_parameters
    with pytest.raises(ValueError, match="read-only"):
        net.input_scales[0] = 2.0


def test_assigning_weights() -> None:
    net = network()
    net.fit(X, Y, optimizer=make("Adam"))
    scales = net.input_scales.copy()
    net.set_layer(1, net.weights[1], net.biases[1])
    np.testing.assert_array_equal(net.input_scales, scales)
    for assign in (
        lambda: net.set_layer(0, 2 * net.weights[0], net.biases[0]),
        lambda: setattr(net, "parameters", 2 * net.parameters),
    ):
        expected = 2 * net.weights[0]
        assign()
        np.testing.assert_array_equal(net.input_scales, np.ones(5))
        np.testing.assert_array_equal(net.weights[0], expected)
        np.testing.assert_array_equal(trained(net)[5:], net.parameters)
        net.fit(X, Y, optimizer=make("Adam"))


# ---- the same bits ----


@pytest.mark.parametrize("widths", [WIDTHS, (64, 512, 600, 2), (64, 40, 40, 2)])
@pytest.mark.parametrize("batch", [1, 64, 300])
@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"dtype": "float64"}], ids=str)
def test_any_number_of_threads_and_slices(widths: Any, batch: int, settings: Any) -> None:
    rng = np.random.default_rng(1)
    rows = 3 if batch == 1 else 600
    x, y = rng.standard_normal((rows, widths[0])), rng.standard_normal((rows, 2))
    nets = []
    for threads, slice_ns in ((1, None), (2, None), (3, 0)):
        net = network(widths, dropout=0.2, **settings)
        with thread_limit(threads):
            optimizer = make("AdamW", clip_norm=0.5)
            net.fit(x, y, epochs=2, batch_size=batch, optimizer=optimizer, _slice_ns=slice_ns)
        nets.append(net)
    for other in nets[1:]:
        assert_same(nets[0], other)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "settings",
    [{}, {"l1": 0.01, "l2": 0.1}, {"dropout": 0.2, "dtype": "float64"}, {"precision": "bf16"}],
    ids=str,
)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_all_ways_to_train_agree(rule: str, settings: dict[str, Any], clip: float | None) -> None:
    nets = [network(**settings) for _ in range(4)]
    fitted, stepped, streamed, member = nets
    rate = schedules.Cosine(0.02, 6)
    one, two, three, four = (make(rule, lr=rate, clip_norm=clip) for _ in nets)
    fitted.fit(X, Y, epochs=2, batch_size=16, shuffle=False, optimizer=one)
    batches = [(X[at : at + 16], Y[at : at + 16]) for at in (0, 16, 32)]
    for x, y in batches * 2:
        stepped.step(x, y, two)
    streamed.fit_stream(batches, epochs=2, optimizer=three)
    bp.fit_many([member], X, Y, epochs=2, batch_size=16, shuffle=False, optimizers=[four])
    for other in nets[1:]:
        assert_same(other, fitted)


def test_members_are_trained_as_alone() -> None:
    """Small networks, which would go into lanes, some of them without scales."""
    given = {"epochs": 4, "batch_size": 16, "validation": 0.25, "patience": 2}
    alone, together = [], []
    for at in range(24):
        settings = {"seed": at, "input_scales": at % 3 > 0}
        settings["input_scale_factors"] = FACTORS if at % 3 == 2 else None
        alone.append(network((5, 8, 2), **settings))
        together.append(network((5, 8, 2), **settings))
        alone[-1].fit(X, Y, optimizer=make("Adam"), **given)
    optimizers = [make("Adam") for _ in together]
    bp.fit_many(together, X, Y, optimizers=optimizers, **given)
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def test_networks_as_one_object(tmp_path: Path) -> None:
    nets = bp.Networks((5, 8, 2), n=3, seed=0, input_scales=True, input_scale_factors=FACTORS)
    nets.fit(X, Y, epochs=2, optimizer=make("Adam").each(lr=[0.01, 0.02, 0.03]))
    alone = bp.Network((5, 8, 2), seed=1, input_scales=True, input_scale_factors=FACTORS)
    alone.fit(X, Y, epochs=2, optimizer=bp.Adam(0.02))
    assert_same(nets[1], alone)
    np.testing.assert_array_equal(nets.input_scales[1], alone.input_scales)
    assert bp.Networks((5, 8, 2), n=2, seed=0).input_scales is None
    path = tmp_path / "nets.npz"
    nets.save(path)
    for other in (bp.Networks.load(path), nets.take([0, 1, 2]), pickle.loads(pickle.dumps(nets))):
        for at in range(3):
            assert_same(other[at], nets[at])
    other = nets.copy()
    other[0] = alone
    assert_same(other[0], alone)
    with pytest.raises(ValueError, match="input_scales=True, got False"):
        other[0] = bp.Network((5, 8, 2))


def test_shards() -> None:
    """Gradients are added before the rule of the scales is applied."""
    nets = []
    for threads in (1, 2):
        net = network(l2=0.01)
        with thread_limit(threads):
            net.fit(X, Y, epochs=2, batch_size=16, optimizer=make("Adam"), shards=4)
        nets.append(net)
    assert_same(*nets)
    whole = network(l2=0.01)
    whole.fit(X, Y, epochs=2, batch_size=16, optimizer=make("Adam"))
    np.testing.assert_allclose(trained(nets[0]), trained(whole), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks(ranks: int) -> None:
    given = {"epochs": 2, "batch_size": 16, "shards": 4}
    alone, nets = network(l2=0.01), [network(l2=0.01) for _ in range(ranks)]
    alone.fit(X, Y, optimizer=make("Adam", clip_norm=0.5), **given)

    def work(comm: Any) -> Any:
        optimizer = make("Adam", clip_norm=0.5)
        return nets[comm.Get_rank()].fit(X, Y, optimizer=optimizer, comm=comm, **given)

    outcomes = run_ranks(ranks, work)
    assert [type(each) for each in outcomes] == [bp.History] * ranks
    for net in nets:
        assert_same(net, alone)


# ---- keeping them ----


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_and_copies(tmp_path: Path, suffix: str) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    net, optimizer = network(), make("Adam")
    net.fit(X, Y, epochs=2, optimizer=optimizer)
    path = tmp_path / f"net.{suffix}"
    net.save(path, optimizer)
    loaded = bp.Network.load(path)
    others = [loaded, net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    optimizers = [bp.Optimizer.load(path), *(copy.deepcopy(optimizer) for _ in others[1:])]
    for other in others:
        assert_same(other, net)
        assert other.input_scale_factors == FACTORS
    net.fit(X, Y, epochs=2, optimizer=optimizer)
    for other, own in zip(others, optimizers, strict=True):
        other.fit(X, Y, epochs=2, optimizer=own)
        assert_same(other, net)


def test_tensors_that_others_read(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    net = network()
    net.fit(X, Y, epochs=2, optimizer=make("Adam"))
    path = tmp_path / "net.safetensors"
    net.save(path)
    tensors = numpy.load_file(path)
    np.testing.assert_allclose(tensors["layers.0.weight"], net.weights[0], rtol=1e-6)
    np.testing.assert_array_equal(tensors["input_scales"], net.input_scales)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    kept = json.loads(header)["__metadata__"]
    for changed in (tensors["layers.0.weight"] * (1 + 1e-6), tensors["layers.0.weight"] * 2):
        numpy.save_file({**tensors, "layers.0.weight": changed}, path, kept)
        with pytest.raises(ValueError, match="is not raw_weight times input_scales"):
            bp.Network.load(path)
    # Others may multiply in another precision.
    near = (tensors["raw_weight"].astype("f8") * tensors["input_scales"]).astype("f4")
    numpy.save_file({**tensors, "layers.0.weight": near * np.float32(1 + 2e-7)}, path, kept)
    assert_same(bp.Network.load(path), net)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("size", "doubled"), [(1e30, False), (1e-15, True), (1e-25, False)])
def test_tensors_of_any_size(tmp_path: Path, size: float, doubled: bool) -> None:
    """Products that overflow, that are small, and that are 0 in the core."""
    numpy = pytest.importorskip("safetensors.numpy")
    net = network()
    theta = trained(net)
    theta[:5] = size
    theta[5:45] *= size
    net._set_trained(theta)
    path = tmp_path / "net.safetensors"
    net.save(path)
    assert_same(bp.Network.load(path), net)
    if doubled:
        with open(path, "rb") as file:
            kept = json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
        tensors = numpy.load_file(path)
        numpy.save_file({**tensors, "layers.0.weight": 2 * net.weights[0]}, path, kept)
        with pytest.raises(ValueError, match="is not raw_weight times input_scales"):
            bp.Network.load(path)


def test_a_network_without_scales_is_saved_as_before(tmp_path: Path) -> None:
    net = network(input_scales=False, input_scale_factors=None)
    assert not {"input_scales", "input_scale_factors"} & set(net._settings())
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as file:
        assert set(file.files) == {"parameters", "header"}
        assert file["parameters"].shape == (net.n_parameters,)


@pytest.mark.parametrize("every", ["1 steps", "5 steps", 1])
def test_resuming(tmp_path: Path, every: Any) -> None:
    path = tmp_path / "run.npz"
    given = {"batch_size": 9, "validation": 0.2, "patience": 3}

    def stop(end: Any) -> bool:
        return bool(end.epoch == 1)

    whole, cut, resumed = network(dropout=0.2), network(dropout=0.2), network(dropout=0.2)
    whole.fit(X, Y, epochs=5, optimizer=make("Adam", clip_norm=0.5), **given)
    cut.fit(
        X, Y, epochs=5, optimizer=make("Adam", clip_norm=0.5), callbacks=stop,
        checkpoint=path, checkpoint_every=every, **given,
    )  # fmt: skip
    optimizer = make("Adam", clip_norm=0.5)
    resumed.fit(X, Y, epochs=5, optimizer=optimizer, resume=path, **given)
    assert_same(resumed, whole)


def test_resuming_a_rounded_exchange(tmp_path: Path) -> None:
    """What rounding left out is kept of each parameter: there is none of the scales."""
    path = tmp_path / "run.npz"
    given = {"batch_size": 9, "shards": 4, "exchange": "bf16"}
    whole, cut, resumed = network(), network(), network()
    whole.fit(X, Y, epochs=4, optimizer=make("Adam"), **given)

    def stop(end: Any) -> bool:
        return bool(end.epoch == 1)

    cut.fit(X, Y, epochs=4, optimizer=make("Adam"), callbacks=stop, checkpoint=path, **given)
    assert_same(bp.Network.load(path), cut)
    resumed.fit(X, Y, epochs=4, optimizer=make("Adam"), resume=path, **given)
    assert_same(resumed, whole)


def fit_three(**arguments: Any) -> list[bp.Network]:
    """Return networks that are trained together, two of them with scales."""
    plain = {"input_scales": False, "input_scale_factors": None}
    nets = [network(), network((5, 6, 2)), network(seed=2, **plain)]
    given = {"epochs": 5, "batch_size": 9, "validation": 0.2, "patience": 3, **arguments}
    bp.fit_many(nets, X, Y, optimizers=[make("Adam") for _ in nets], **given)
    return nets


def test_resuming_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of an epoch, and in the middle of one."""
    path = tmp_path / "run.npz"
    whole = fit_three()
    fit_three(epochs=2, checkpoint=path)
    files = [path]
    write = ManyCheckpoints.write

    def write_and_keep(self: Any, run: Any) -> None:
        write(self, run)
        files.append(tmp_path / f"{len(files)}.npz")
        shutil.copy(self.path, files[-1])

    with monkeypatch.context() as patch:
        patch.setattr(ManyCheckpoints, "write", write_and_keep)
        often = {"checkpoint_every": "0.000001 s", "_slice_ns": 1}
        assert_all_same(fit_three(checkpoint=tmp_path / "often.npz", **often), whole)
    middle = []
    for at, file in enumerate(files):
        with np.load(file) as contents:
            if contents["batch"][:2].any():  # of the members with scales
                middle.append(at)
    assert len(middle) > 3
    for at in (0, *middle[:: len(middle) // 3]):
        assert_all_same(fit_three(resume=files[at]), whole)


def test_the_best_epoch_is_kept_and_the_last_finite_one_restored() -> None:
    net, seen = network(), []
    given = {"batch_size": 8, "optimizer": make("SGD", 0.3), "validation": 0.25}
    history = net.fit(
        X, Y, epochs=8, patience=7, callbacks=lambda end: seen.append(trained(end.network)), **given
    )
    np.testing.assert_array_equal(trained(net), seen[history.best_epoch])
    net = network(dtype="float64")
    net.fit(X, Y, optimizer=make("SGD"))
    before, optimizer = trained(net), make("SGD", 1e200)
    with pytest.raises(FloatingPointError):
        net.fit(X, Y, epochs=5, batch_size=8, optimizer=optimizer)
    np.testing.assert_array_equal(trained(net), before)
    w = before[5:45].reshape(8, 5)
    np.testing.assert_array_equal(net.weights[0], w * before[:5])


def test_vectors_from_elsewhere() -> None:
    """Of another size or type they are refused, and strides are no matter."""
    net, other = network(), network(seed=2)
    theta = trained(net)
    with pytest.raises(ValueError, match=f"{theta.size} entries of float32, got {theta.size - 1}"):
        other._net.set_trained(theta[:-1])
    with pytest.raises(ValueError, match=f"got {theta.size} of float64"):
        other._net.set_trained(theta.astype("f8"))
    assert_same(other, network(seed=2))
    with pytest.raises(ValueError, match="argument"):
        other._net._call(lib.bp_net_set_trained, theta.size - 1, pointer(theta))
    assert_same(other, network(seed=2))
    other._net.set_trained(np.repeat(theta, 2)[::2])
    assert_same(other, net)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_with_subnormal_weights(dtype: str, tmp_path: Path) -> None:
    net = network(dtype=dtype)
    values = net.parameters.copy()
    values[:40:3] = np.finfo(dtype).smallest_normal * np.linspace(-0.9, 0.9, 14)
    net.parameters = values
    net.save(tmp_path / "net.npz")
    for other in (net.copy(), bp.Network.load(tmp_path / "net.npz")):
        assert_same(other, net)
    layer = network(dtype=dtype)
    layer.set_layer(0, values[:40].reshape(8, 5), values[40:48])
    np.testing.assert_array_equal(layer.weights[0], net.weights[0])


# ---- beside them ----


@pytest.mark.parametrize("settings", [{}, {"lr_factors": RATES}, {"input_scale_factors": None}])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_the_doctor_does_the_same_steps(settings: Any, clip: float | None) -> None:
    net, optimizer = network(dtype="float64", **settings), make("AdamW", clip_norm=clip)
    net.step(X, Y, optimizer)
    update, parameters = Updates(net, optimizer), net.parameters.copy()
    for _ in range(3):
        gradient = net.backprop(X, Y).flat
        update(parameters, gradient)
        net.step(X, Y, optimizer)
        np.testing.assert_allclose(parameters, net.parameters, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_report_has_the_updates_of_plain_gradient_descent(dtype: str) -> None:
    net = network(dtype=dtype, lr_factors=RATES)
    net.fit(X, Y, epochs=2, optimizer=make("Adam"))
    by_rate, by_rule = (
        bp.gradient_flow(net, X, Y, **how, verbose=False)
        for how in ({"lr": 0.3}, {"optimizer": bp.SGD(0.3)})
    )
    wanted = [each.update_ratio for each in by_rule.layers]
    before = net.weights[0].copy()
    net.step(X, Y, bp.SGD(0.3))
    change = np.linalg.norm((net.weights[0] - before).astype(np.float64))
    wanted.append(change / np.linalg.norm(before))
    found = [each.update_ratio for each in by_rate.layers]
    assert [*found, found[0]] == pytest.approx(wanted, rel=1e-4 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("factors", [FACTORS, None])
def test_advice_keeps_them(factors: Any) -> None:
    net = network(input_scale_factors=factors)
    line = rebuild(net, "why", activation=["relu", "relu"])
    made: dict[str, Any] = {"bp": bp, "net": net}
    exec(line, made)
    np.testing.assert_array_equal(made["net"].input_scales, np.ones(5))
    assert made["net"].input_scale_factors == net.input_scale_factors
    without = network(input_scales=False, input_scale_factors=None)
    assert "input_scale" not in rebuild(without, "why", activation=["relu", "relu"])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"input_scales": 1}, TypeError, "input_scales must be True or False, got 1"),
        ({"input_scales": np.ones(5)}, TypeError, r"shape \(5,\); pass input_scales=True for"),
        ({"input_scales": False}, ValueError, "without input_scales=True"),
        ({"input_scale_factors": [6.0]}, ValueError, r"\(3,\), got shape \(1,\)"),
        ({"input_scale_factors": [1, -1, 1]}, ValueError, "a finite number >= 0, got -1"),
        ({"input_scale_factors": "six"}, TypeError, "input_scale_factors"),
    ],
)
def test_what_is_refused(settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        network(**settings)


def test_an_optimizer_of_another_size() -> None:
    """The state has entries for the scales."""
    optimizer = make("Adam")
    network(input_scales=False, input_scale_factors=None).step(X, Y, optimizer)
    with pytest.raises(ValueError, match="use another optimizer"):
        network().step(X, Y, optimizer)
