"""Label smoothing: cross entropy of targets (1 - s) y + s / n, in every cost and derivative."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import output_delta

import pybackprop as bp
from pybackprop.doctor import Patient
from pybackprop.doctor._targets import check_targets
from pybackprop.inputs import as_inputs, as_targets

N, CLASSES = 70, 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 6))
LABELS = RNG.integers(0, CLASSES, N)
SOFT = RNG.dirichlet(np.ones(CLASSES), N)
WEIGHT = RNG.uniform(0.5, 2.0, N)


def network(smoothing: float, **settings: Any) -> bp.Network:
    given = {"activation": "tanh", "output": "softmax", "loss": "cross_entropy", "seed": 1}
    widths = settings.pop("widths", [6, 9, CLASSES])
    return bp.Network(widths, label_smoothing=smoothing, **{**given, **settings})


def targets_of(y: np.ndarray, smoothing: float, dtype: str) -> np.ndarray:
    """The targets that a network without smoothing needs, rounded as the core rounds."""
    rows = np.eye(CLASSES)[y] if y.ndim == 1 else y.astype(dtype).astype(float)
    return ((1.0 - smoothing) * rows + smoothing / CLASSES).astype(dtype)


SETTINGS = [
    {"dtype": "float32"},
    {"dtype": "float64"},
    {"dtype": "float32", "precision": "bf16"},
    {"dtype": "float32", "widths": [6, 300, CLASSES]},
    {"dtype": "float64", "dropout": 0.3, "l2": 0.01},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("y", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_a_smoothed_loss_is_that_of_smoothed_targets(
    settings: dict[str, Any], y: np.ndarray, smoothing: float
) -> None:
    """To the bit, in costs, derivatives and training."""
    settings = dict(settings)
    net, plain = network(smoothing, **dict(settings)), network(0.0, **dict(settings))
    targets = targets_of(y, smoothing, settings["dtype"])
    assert net.cost(X, y, WEIGHT) == plain.cost(X, targets, WEIGHT)
    assert net.cost(X, y) != network(0.0, **dict(settings)).cost(X, y)
    own, other = net.backprop(X, y, WEIGHT), plain.backprop(X, targets, WEIGHT)
    assert own.cost == other.cost
    np.testing.assert_array_equal(own.flat, other.flat)
    np.testing.assert_array_equal(own.inputs, other.inputs)
    deltas = net.trace(X, y).delta or [], plain.trace(X, targets).delta or []
    for one, two in zip(*deltas, strict=True):
        np.testing.assert_array_equal(one, two)
    both = ((net, y), (plain, targets))
    pairs = [(each.per_sample_gradients(X, t), each.hvp(X, t, own.flat)) for each, t in both]
    for one, two in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one, two)
    costs = [each.step(X[:9], t[:9], bp.Adam()) for each, t in both]
    assert costs[0] == costs[1]
    histories = [
        each.fit(X, t, epochs=3, batch_size=16, validation=(X, t), sample_weight=WEIGHT)
        for each, t in both
    ]
    assert histories[0].cost == histories[1].cost
    assert histories[0].val_cost == histories[1].val_cost
    for each, t in both:
        each.fit_stream([(X[:20], t[:20]), (X[20:], t[20:], WEIGHT[20:])])
    np.testing.assert_array_equal(net.parameters, plain.parameters)


@pytest.mark.parametrize("classes", [1, 2, 5, 40])
def test_the_oracle_agrees(classes: int) -> None:
    rng = np.random.default_rng(classes)
    x, y = rng.standard_normal((8, 3)), rng.integers(0, classes, 8)
    net = network(0.3, widths=[3, classes], dtype="float64")
    trace = net.trace(x, y)
    assert trace.delta is not None
    for row in range(8):
        target = np.full(classes, 0.3 / classes)
        target[y[row]] += 0.7
        z, a = trace.z[-1][row].tolist(), trace.a[-1][row].tolist()
        want = np.array(output_delta("cross_entropy", "softmax", z, a, target.tolist())) / 8
        np.testing.assert_allclose(trace.delta[-1][row], want, rtol=1e-12, atol=1e-15)
    losses = -np.log(trace.a[-1])
    cost = 0.7 * losses[np.arange(8), y].mean() + 0.3 * losses.mean()
    assert net.cost(x, y) == pytest.approx(cost, rel=1e-12)


@pytest.mark.parametrize("y", [LABELS, SOFT], ids=["labels", "soft"])
def test_torch_agrees(y: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    net = network(0.1, dtype="float64")
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, CLASSES))
    model = model.double()
    with torch.no_grad():
        for at, layer in enumerate((model[0], model[2])):
            layer.weight.copy_(torch.from_numpy(net.weights[at].copy()))
            layer.bias.copy_(torch.from_numpy(net.biases[at].copy()))
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    cost = loss(model(torch.from_numpy(X)), torch.from_numpy(y))
    cost.backward()
    own = net.backprop(X, y)
    assert own.cost == pytest.approx(cost.item(), rel=1e-12)
    for at, layer in enumerate((model[0], model[2])):
        np.testing.assert_allclose(own.weights[at], layer.weight.grad.numpy(), rtol=1e-10)
        np.testing.assert_allclose(own.biases[at], layer.bias.grad.numpy(), rtol=1e-10)


def test_derivatives_are_right() -> None:
    assert bp.check_gradients(network(0.2, dtype="float64", l2=0.01), X, LABELS).ok
    assert bp.check_gradients(network(0.2, dtype="float64"), X, SOFT).ok


def test_a_graph_and_a_page_have_it(capsys: Any) -> None:
    net = network(0.2, dtype="float64")
    graph = net.graph(X, LABELS)
    assert float(graph.cost.value) == pytest.approx(net.cost(X, LABELS), rel=1e-12)
    found = net.explain(X[:2], LABELS[:2], 1, 0, 0)
    assert found.gradient == pytest.approx(net.backprop(X[:2], LABELS[:2]).weights[1][0, 0])
    assert "sum(y[0]*log(a2[0]))" in capsys.readouterr().out
    from pybackprop.view._page import network_data

    shown = network_data(net, X, LABELS, examples=1)
    wanted = targets_of(LABELS[:1], 0.2, "float64")[0]
    np.testing.assert_allclose(shown["examples"][0]["y"], wanted, rtol=1e-3)
    assert shown["examples"][0]["label"] == LABELS[0]
    assert not shown["learning"]["labels"]
    plain = network_data(network(0.0), X, LABELS, examples=1)
    assert plain["learning"]["labels"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_keep_it(tmp_path: Path, suffix: str) -> None:
    net = network(0.125)
    net.save(tmp_path / f"net{suffix}")
    for other in (bp.Network.load(tmp_path / f"net{suffix}"), net.copy(), copy.deepcopy(net)):
        assert other.label_smoothing == 0.125
        assert other.cost(X, LABELS) == net.cost(X, LABELS)
    # Without smoothing, files are those of earlier versions.
    assert "label_smoothing" not in network(0.0)._settings()


def test_onnx_keeps_it(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    net = network(0.125)
    net.to_onnx(tmp_path / "net.onnx")
    assert bp.Network.from_onnx(tmp_path / "net.onnx").label_smoothing == 0.125
    assert bp.Network.from_onnx(tmp_path / "net.onnx", label_smoothing=0.0).label_smoothing == 0.0


def test_a_resumed_run_has_it(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    whole, halves = network(0.1), network(0.1)
    whole.fit(X, LABELS, epochs=4)
    halves.fit(X, LABELS, epochs=2, checkpoint=path)
    again = network(0.1)
    again.fit(X, LABELS, epochs=4, checkpoint=path, resume=True)
    np.testing.assert_array_equal(again.parameters, whole.parameters)
    with pytest.raises(ValueError, match="label_smoothing"):
        network(0.0).fit(X, LABELS, epochs=4, resume=path)


def test_many_networks_have_it() -> None:
    settings = {"activation": "tanh", "output": "softmax", "loss": "cross_entropy"}
    nets = bp.Networks([6, 9, CLASSES], n=3, label_smoothing=0.1, seed=1, **settings)
    history = nets.fit(X, LABELS, epochs=3, validation=(X, LABELS))
    for at, member in enumerate(nets):
        alone = network(0.1, seed=1 + at)
        own = alone.fit(X, LABELS, epochs=3, validation=(X, LABELS))
        np.testing.assert_array_equal(member.parameters, alone.parameters)
        np.testing.assert_array_equal(history.val_cost[at], own.val_cost)
    with pytest.raises(ValueError, match=r"must have label_smoothing 0\.1, got 0\.0"):
        nets[0] = network(0.0)
    # Greedy selection minimises the smoothed cost.
    with_labels, with_rows = (nets.select(X, y) for y in (LABELS, np.eye(CLASSES)[LABELS]))
    np.testing.assert_array_equal(with_labels, with_rows)


def test_advice_keeps_it() -> None:
    from pybackprop.doctor._lines import rebuild

    assert "label_smoothing=0.25" in rebuild(network(0.25), "why", l2=0.0)
    changed = rebuild(network(0.25), "why", loss="mse", output="identity")
    assert "label_smoothing" not in changed


HALVES = np.random.default_rng(0).standard_normal((600, 3)).astype("f4")
SIDES = (HALVES[:, 0] > 0).astype(int)


def learnt(smoothing: float, hidden: int = 1) -> bp.Network:
    """A network that tells the two sides apart; its cost is near the entropy of its targets."""
    widths = [3, *[32] * hidden, 2]
    net = network(smoothing, widths=widths, activation="relu")
    net.fit(HALVES, SIDES, epochs=100, optimizer=bp.Adam(1e-2))
    assert (net.predict(HALVES).argmax(axis=1) == SIDES).mean() > 0.99
    return net


def examined(net: bp.Network, y: np.ndarray) -> Patient:
    x = as_inputs(HALVES, 3, net.dtype)
    return Patient(net, x, as_targets(y, len(x), 2, net.loss, net.dtype), None)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_the_doctor_judges_the_cost_that_the_network_has(smoothing: float) -> None:
    net = learnt(smoothing)
    patient = examined(net, SIDES)
    rows = (1.0 - smoothing) * np.eye(2)[SIDES] + smoothing / 2
    assert patient.loss == pytest.approx(net.cost(HALVES, SIDES), rel=1e-5)
    share = rows.mean(axis=0)
    assert patient.constant == pytest.approx(-(share * np.log(share)).sum())
    assert patient.least == pytest.approx(-(rows * np.log(rows + 1e-300)).sum(axis=1).mean())
    assert patient.is_fitted
    assert not patient.is_unlearned
    assert examined(net, 1 - SIDES).is_unlearned
    np.testing.assert_array_equal(patient.targets, np.eye(2)[SIDES])


@pytest.mark.parametrize("hidden", [1, 5])
def test_the_doctor_finds_a_fitted_network_healthy(hidden: int) -> None:
    """Of plain targets, its loss is far from 0."""
    net = learnt(0.3, hidden)
    report = bp.gradient_flow(net, HALVES, SIDES, optimizer=bp.Adam(1e-3), verbose=False)
    assert [each.cause for each in report.findings] == []


def test_an_unbalanced_class_costs_what_the_network_pays() -> None:
    y = (np.arange(600) < 12).astype(int)
    (found,) = check_targets(examined(network(0.3, widths=[3, 4, 2]), y))
    share = np.array([0.7 * 0.98 + 0.15, 0.7 * 0.02 + 0.15])
    assert found.cause == "classes_unbalanced"
    assert found.evidence["share"] == pytest.approx(0.98)
    assert found.text.endswith(f"costs only {-(share * np.log(share)).sum():.3g}")


def test_a_trial_compares_smoothed_costs() -> None:
    """Outputs that are the best constant cost as much as it: the ratio is 1."""
    net = network(0.3, widths=[3, 4, 2])
    y = np.zeros(600, int)
    y[:150] = 1
    share = np.array([0.7 * 0.75 + 0.15, 0.7 * 0.25 + 0.15])
    net.set_layer(1, np.zeros((2, 4)), np.log(share))
    report = bp.gradient_flow(net, HALVES, y, verbose=False)
    without, *_ = report.try_advice(epochs=1, verbose=False)
    assert without.before == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "binary_cross_entropy"])
def test_other_losses_have_none(loss: str) -> None:
    output = "sigmoid" if loss == "binary_cross_entropy" else "identity"
    with pytest.raises(ValueError, match=f"label_smoothing must be 0 unless .* the loss '{loss}'"):
        bp.Network([2, 2], output=output, loss=loss, label_smoothing=0.1)
    assert bp.Network([2, 2], output=output, loss=loss, label_smoothing=0).label_smoothing == 0.0
    with pytest.raises(ValueError, match="the loss a function"):
        bp.Network([2, 2], loss=lambda a, y: (a, y), label_smoothing=0.1)


@pytest.mark.parametrize(
    ("value", "error"),
    [(-0.1, ValueError), (1.1, ValueError), (np.nan, ValueError), ("x", TypeError)],
)
def test_a_share_is_a_number_from_0_to_1(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="label_smoothing must be"):
        network(value)
