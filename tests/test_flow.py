"""The gradient-flow doctor: its figures against plain NumPy, its diagnoses on known patients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.flow import FlowReport

SEEDS = range(8)


def examples(seed: int = 0, n_in: int = 20, n: int = 64) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n_in)), rng.standard_normal((n, 1))


def report_on(net: bp.Network, seed: int = 0, **options: Any) -> FlowReport:
    # Jacobians take no part in the diagnosis; one example keeps the tests short.
    options = {"sample": 1, "verbose": False, **options}
    return bp.gradient_flow(net, *examples(seed, net.widths[0]), **options)


# Patients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [8, 32, 64])
def test_deep_sigmoid_vanishes(width) -> None:
    for seed in SEEDS:
        report = report_on(bp.Network([20, *[width] * 10, 1], activation="sigmoid", seed=seed))
        assert report.diagnosis == "vanishing"
        match = re.fullmatch(r"vanishing from layer (\d+) down: .*", report.verdict)
        assert match is not None
        ratios = [each.delta_norm / report.layers[-1].delta_norm for each in report.layers]
        first = int(match[1])
        assert ratios[first - 1] < 0.01 <= ratios[first]
        assert any("sigmoid" in advice for advice in report.advice)


@pytest.mark.parametrize("scale", [2.0, 3.0, 10.0])
def test_overscaled_linear_explodes(scale) -> None:
    for seed in SEEDS:
        net = bp.Network([20, *[32] * 10, 1], activation="identity", seed=seed)
        net.parameters = scale * net.parameters
        report = report_on(net)
        assert report.diagnosis == "exploding"
        assert re.match(r"exploding from layer \d+ down", report.verdict)


def test_numbers_that_overflow_explode() -> None:
    net = bp.Network([4, 8, 8, 1], activation="identity", seed=0)
    net.parameters = 1e19 * net.parameters
    report = report_on(net)
    assert report.diagnosis == "exploding"
    assert "overflow" in report.verdict


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_relu_layer_with_large_negative_biases_is_dead(layer) -> None:
    for seed in SEEDS:
        net = bp.Network([20, *[32] * 4, 1], seed=seed)
        net.set_layer(layer, net.weights[layer], np.full(32, -50.0))
        report = report_on(net)
        assert report.diagnosis == "dead"
        assert f"32 of 32 in layer {layer + 1}" in report.verdict
        assert report.verdict.endswith(f"no gradient comes back through layer {layer + 1}")
        assert report.layers[layer].dead == 32


@pytest.mark.parametrize("activation", ["relu", "gelu", "sigmoid"])
def test_a_few_dead_units_are_counted(activation) -> None:
    for seed in SEEDS:
        net = bp.Network([20, 64, 64, 1], activation=activation, seed=seed)
        b = np.zeros(64)
        b[[3, 20, 40, 41, 60]] = -100.0
        net.set_layer(0, net.weights[0], b)
        report = report_on(net)
        assert (report.diagnosis, report.layers[0].dead) == ("dead", 5)
        assert report.verdict.startswith("5 dead units: 5 of 64 in layer 1")


@pytest.mark.parametrize("depth", [1, 3, 10, 20])
@pytest.mark.parametrize("width", [16, 64])
def test_he_initialised_relu_is_healthy(width, depth) -> None:
    for seed in SEEDS:
        net = bp.Network([20, *[width] * depth, 1], init="he", seed=seed)
        report = report_on(net, seed)
        assert report.diagnosis == "healthy", report.verdict
        assert report.advice == ()


@pytest.mark.parametrize("activation", ["tanh", "selu", "gelu", "silu", "leaky_relu"])
def test_other_first_weights_are_healthy(activation) -> None:
    for seed in SEEDS:
        report = report_on(bp.Network([20, *[64] * 6, 1], activation=activation, seed=seed))
        assert report.diagnosis == "healthy", report.verdict


def test_nothing_to_learn_is_healthy() -> None:
    x, _ = examples()
    net = bp.Network([20, 16, 1], activation="tanh", seed=0)
    report = bp.gradient_flow(net, x, net.predict(x), verbose=False)
    assert report.diagnosis == "healthy"
    assert "nothing to learn" in report.verdict


# Figures -----------------------------------------------------------------------------------------


def test_figures_are_those_of_numpy() -> None:
    x, y = examples(1, 6, 9)
    net = bp.Network([6, 7, 5, 1], activation=["tanh", "sigmoid"], dtype="float64", seed=3)
    net.parameters = 3.0 * net.parameters
    report = bp.gradient_flow(net, x, y, lr=0.5, sample=9, verbose=False)
    gradients = net.backprop(x, y)
    deltas = [net.trace(x[i : i + 1], y[i : i + 1]).delta for i in range(9)]
    norms = np.empty((3, 9))
    products = []
    z = net.trace(x).z
    slopes = [1 - np.tanh(z[0]) ** 2, 0.25 / np.cosh(z[1] / 2) ** 2, np.ones((9, 1))]
    for i in range(9):
        jacobians = [slope[i][:, None] * w for slope, w in zip(slopes, net.weights, strict=True)]
        norms[:, i] = [np.linalg.norm(each, 2) for each in jacobians]
        products.append(np.linalg.norm(jacobians[2] @ jacobians[1] @ jacobians[0], 2))
    for at, each in enumerate(report.layers):
        squares = [np.sum(delta[at] ** 2) for delta in deltas]
        assert each.delta_norm == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)
        assert each.gradient_norm == pytest.approx(np.linalg.norm(gradients.weights[at]))
        ratio = 0.5 * np.linalg.norm(gradients.weights[at]) / np.linalg.norm(net.weights[at])
        assert each.update_ratio == pytest.approx(ratio)
        assert each.jacobian_norm == pytest.approx(norms[at].mean(), rel=1e-12)
        assert each.jacobian_norm_median == pytest.approx(np.median(norms[at]), rel=1e-12)
        largest = (1.0, 0.25, 1.0)[at]
        assert each.saturated == np.mean(slopes[at] < 0.05 * largest)
    assert report.layers[0].saturated > 0.0
    assert report.product_norm == pytest.approx(np.mean(products), rel=1e-12)
    assert report.norm_product == pytest.approx(norms.prod(axis=0).mean(), rel=1e-12)


def test_product_of_jacobians_is_bounded_and_softmax_has_its_own() -> None:
    for seed in SEEDS:
        net = bp.Network(
            [5, 8, 4], output="softmax", loss="cross_entropy", dtype="float64", seed=seed
        )
        x, _ = examples(seed, 5, 1)
        report = bp.gradient_flow(net, x, [seed % 4], verbose=False)
        assert 0.0 < report.product_norm <= report.norm_product
        step = 1e-6
        columns = [
            (net.predict(x + step * unit) - net.predict(x - step * unit))[0] / (2 * step)
            for unit in np.eye(5)
        ]
        assert report.product_norm == pytest.approx(np.linalg.norm(columns, 2), rel=1e-7)
        assert np.isnan(report.layers[-1].saturated)


def test_update_is_that_of_the_optimizer_whose_state_stays() -> None:
    x, y = examples()
    net = bp.Network([20, 16, 1], activation="tanh", seed=0)
    optimizer = bp.Adam(lr=0.01)
    for _ in range(3):
        net.step(x, y, optimizer)
    before = net.weights[0].copy()
    report = bp.gradient_flow(net, x, y, optimizer=optimizer, verbose=False)
    assert optimizer.steps == 3
    np.testing.assert_array_equal(net.weights[0], before)
    net.step(x, y, optimizer)
    change = np.linalg.norm((net.weights[0] - before).astype(np.float64))
    assert report.layers[0].update_ratio == pytest.approx(change / np.linalg.norm(before), rel=1e-5)


def test_dead_units_by_chance_reach_a_half_where_examples_are_alike() -> None:
    net = bp.Network([20, 100, 1], seed=0)
    x = np.repeat(np.random.default_rng(0).standard_normal((1, 20)), 50, axis=0)
    report = bp.gradient_flow(net, x, np.arange(50.0), verbose=False)
    assert report.layers[0].dead_by_chance == pytest.approx(50.0, abs=15.0)
    assert [each.cause for each in report.findings] == ["inputs_constant"]


def test_table_is_printed(capsys) -> None:
    net = bp.Network([20, 16, 1], activation="tanh", seed=0)
    report = bp.gradient_flow(net, *examples())
    printed = capsys.readouterr().out
    assert printed == f"{report}\n"
    lines = printed.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["1:", "16", "tanh"],
        ["2:", "1", "identity"],
    ]
    assert float(lines[1].split()[3]) == pytest.approx(report.layers[0].delta_norm, rel=0.01)
    assert lines[-1].startswith("verdict: healthy")


def test_callback_follows_training() -> None:
    x, y = examples()
    optimizer = bp.SGD(lr=0.05)
    flow = bp.GradientFlow(x, y, every=2)
    net = bp.Network([20, 16, 1], activation="tanh", dtype="float64", seed=0)
    twin = net.copy()
    net.fit(x, y, epochs=5, optimizer=optimizer, callbacks=flow)
    assert flow.epochs == [0, 2, 4]
    twin.fit(x, y, epochs=5, optimizer=bp.SGD(lr=0.05))
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    assert flow.reports[-1] == bp.gradient_flow(net, x, y, optimizer=optimizer, verbose=False)
    assert flow.reports[0] != flow.reports[-1]
    net.fit(x, y, epochs=2, optimizer=optimizer, callbacks=flow)
    assert flow.epochs == [0, 2, 4, 6]


class Step:
    """A callback that measures the last update of an epoch of one step."""

    def __init__(self, net: bp.Network) -> None:
        self.weights = [w.astype(np.float64) for w in net.weights]
        self.ratios: list[list[float]] = []

    def __call__(self, figures: bp.EpochEnd) -> None:
        after = [w.astype(np.float64) for w in figures.network.weights]
        pairs = list(zip(self.weights, after, strict=True))
        self.ratios.append([np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in pairs])
        self.weights = after


@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        bp.Adam(lr=3e-3),
        bp.SGD(lr=0.05, momentum=0.9),
        bp.RMSprop(lr=bp.schedules.Exponential(0.01, 0.5)),
    ],
)
def test_callback_measures_the_updates_of_the_optimizer_that_trains(optimizer) -> None:
    """What it foretells after one epoch is what the next epoch, of a single step, does."""
    x, y = examples()
    net = bp.Network([20, 32, 32, 32, 1], activation="tanh", dtype="float64", seed=0)
    flow, step = bp.GradientFlow(x, y), Step(net)
    net.fit(x, y, epochs=6, batch_size=64, optimizer=optimizer, callbacks=(flow, step))
    for report, ratios in zip(flow.reports, step.ratios[1:], strict=False):
        assert [each.update_ratio for each in report.layers] == pytest.approx(ratios, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"sample": 0}, ValueError, "sample"),
        ({"lr": -1.0}, ValueError, "lr"),
        ({"lr": "fast"}, TypeError, "lr"),
        ({"optimizer": "fast"}, ValueError, "optimizer"),
        ({"optimizer": 0.1}, TypeError, "optimizer"),
    ],
)
def test_bad_arguments_are_named(options, error, word) -> None:
    net = bp.Network([20, 1], seed=0)
    with pytest.raises(error, match=word):
        report_on(net, **options)
    with pytest.raises(ValueError, match="X must have shape"):
        bp.gradient_flow(net, np.zeros((3, 4)), np.zeros(3))
    with pytest.raises(TypeError, match="optimizer"):
        bp.GradientFlow(*examples(), optimizer="adam")
    with pytest.raises(ValueError, match="every"):
        bp.GradientFlow(*examples(), every=0)


# Pictures ----------------------------------------------------------------------------------------


@pytest.fixture
def matplotlib() -> Any:
    module = pytest.importorskip("matplotlib")
    module.use("Agg")
    yield module
    from matplotlib import pyplot

    pyplot.close("all")


def test_pictures_show_the_figures(matplotlib) -> None:
    x, y = examples()
    net = bp.Network([20, 16, 16, 1], seed=0)
    flow = bp.GradientFlow(x, y)
    history = net.fit(x, y, epochs=4, validation=0.25, callbacks=flow)
    cost, val_cost, best = history.plot().get_lines()
    np.testing.assert_array_equal(cost.get_ydata(), history.cost)
    np.testing.assert_array_equal(val_cost.get_ydata(), history.val_cost)
    assert history.best_epoch is not None
    assert best.get_xdata() == [history.best_epoch + 1]
    report = flow.reports[-1]
    norms, jacobians, shares = report.plot()
    deltas = [each.delta_norm for each in report.layers]
    np.testing.assert_array_equal(norms.get_lines()[0].get_ydata(), deltas)
    assert len(jacobians.get_lines()) == 3
    assert len(shares.patches) == 6
    first = flow.plot()[0].get_lines()[0]
    assert list(first.get_ydata()) == [each.layers[0].delta_norm for each in flow.reports]
    for axes in (norms, flow.plot()[0]):
        axes.figure.canvas.draw()


def test_histograms_show_every_value(matplotlib) -> None:
    x, y = examples()
    net = bp.Network([20, *[8] * 9, 1], seed=0)
    flow = bp.GradientFlow(x, y, every=3)
    net.fit(x, y, epochs=7, callbacks=flow)
    assert flow.epochs == [0, 3, 6]
    assert len(flow.histograms) == 3
    last = flow.histograms[-1]
    for at, (w, a) in enumerate(zip(net.weights, net.trace(x).a[1:], strict=True)):
        assert (last[at].weights.counts.sum(), last[at].activations.counts.sum()) == (
            w.size,
            a.size,
        )
        inner = (w > last[at].weights.edges[3]) & (w < last[at].weights.edges[20])
        assert last[at].weights.counts[3:20].sum() == pytest.approx(inner.sum(), abs=1)
    axes = flow.plot(kind="histogram")
    assert axes.shape == (3, 6)
    assert [axis.get_title() for axis in axes[0]] == [f"layer {n}" for n in (1, 3, 5, 6, 8, 10)]
    strips = axes[0, 0].collections
    assert len(strips) == 3
    # Darkest where most values are.
    assert int(strips[0].get_array().argmax()) == flow.histograms[0][0].weights.counts.argmax()
    axes[0, 0].figure.canvas.draw()
    with pytest.raises(ValueError, match="kind"):
        flow.plot(kind="curves")


def test_histograms_of_equal_and_of_no_finite_values() -> None:
    net = bp.Network([2, 3, 1], init="zeros", seed=0)
    x = np.ones((10, 2))
    flow = bp.GradientFlow(x, np.ones(10))
    net.fit(x, np.ones(10), callbacks=flow)
    assert flow.histograms[0][0].weights.counts.sum() == 6
    net.set_layer(0, np.full((3, 2), np.nan), np.zeros(3))
    flow(bp.EpochEnd(1, 1.0, None, 0.0, 0.1, net, bp.SGD()))
    assert flow.histograms[1][0].weights.counts.sum() == 0


def test_curves_of_activations(matplotlib) -> None:
    from pybackprop.plot import plot_activations

    axes = plot_activations()
    assert [axis.get_title() for axis in axes][:3] == ["identity", "sigmoid", "tanh"]
    assert len(axes) == 11
    value, slope = axes[2].get_lines()[:2]
    np.testing.assert_allclose(value.get_ydata(), np.tanh(value.get_xdata()))
    np.testing.assert_allclose(slope.get_ydata(), 1 - np.tanh(value.get_xdata()) ** 2, atol=1e-12)
    axes[0].figure.canvas.draw()
    with pytest.raises(ValueError, match="softmax"):
        plot_activations("softmax")


def test_history_draws_into_given_axes_and_dead_nets_can_be_drawn(matplotlib) -> None:
    from matplotlib import pyplot

    x, y = examples()
    net = bp.Network([20, 8, 1], seed=0)
    _, axes = pyplot.subplots()
    assert net.fit(x, y, epochs=2).plot(axes) is axes
    net.set_layer(0, net.weights[0], np.full(8, -100.0))
    report_on(net).plot()[0].figure.canvas.draw()
