"""A network as a graph, against the reference and against the network itself."""

from dataclasses import dataclass

import numpy as np
import pytest
from reference import Reference

import pybackprop as bp
from pybackprop import graph as G

HIDDEN = [
    *("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu"),
    *("selu", "softplus", "gelu", "silu", "mish"),
]


@dataclass
class Net:
    """What a graph is built from: the attributes of a network, without its core."""

    widths: list
    activations: tuple
    weights: list
    biases: list
    loss: object = "mse"
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    scaling: object = None


def make_net(activations, loss="mse", n_out=3, seed=0, **penalties):
    rng = np.random.default_rng(seed)
    widths = [*(4, 6, 5)[: len(activations)], n_out]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [rng.normal(size=shape) for shape in shapes]
    biases = [rng.normal(size=n) for n in widths[1:]]
    return Net(widths, tuple(activations), weights, biases, loss, **penalties), rng


def reference(net):
    weights, biases = ([p.tolist() for p in parameters] for parameters in (net.weights, net.biases))
    return Reference(weights, biases, list(net.activations), net.loss, net.l1, net.l2)


def assert_same(built, expected):
    def close(actual, wanted):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-13)

    close(built.cost.value, expected.cost)
    close(built.flat_gradient(), expected.flat)
    close(built.inputs.grad, expected.inputs)
    for actual, wanted in zip(built.delta, expected.deltas, strict=True):
        close(actual, wanted)
    for W, b, dW, db in zip(
        built.weights, built.biases, expected.weights, expected.biases, strict=True
    ):
        close(W.grad, dW)
        close(b.grad, db)


@pytest.mark.parametrize("output", [*HIDDEN, "softmax"])
@pytest.mark.parametrize("loss", ["mse", "squared_error", "mae", "huber"])
def test_activations_and_losses_against_the_reference(output, loss):
    hidden = HIDDEN[(HIDDEN.index(output) + 1) % len(HIDDEN)] if output in HIDDEN else "gelu"
    net, rng = make_net([hidden, "tanh", output], loss, l1=0.01, l2=0.1)
    x, y = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    built = G.from_network(net, x, y)
    assert_same(built, reference(net).backprop(x.tolist(), y.tolist()))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", ["labels", "probabilities"])
def test_cross_entropy_against_the_reference(targets, weighted):
    net, rng = make_net(["relu", "softmax"], "cross_entropy", l2=0.3)
    x = rng.normal(size=(7, 4))
    y = rng.integers(0, 3, 7) if targets == "labels" else rng.dirichlet(np.ones(3), 7)
    weight = rng.uniform(0.1, 2, 7).tolist() if weighted else None
    built = G.from_network(net, x, y, weight)
    expected = reference(net).backprop(x.tolist(), y.tolist(), weight)
    assert_same(built, expected)
    np.testing.assert_allclose(built.a[-1].value.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("n_out", [1, 3])
def test_binary_cross_entropy_against_the_reference(n_out):
    net, rng = make_net(["silu", "sigmoid"], "binary_cross_entropy", n_out, l1=0.2)
    x, y = rng.normal(size=(7, 4)), rng.integers(0, 2, (7, n_out)).astype(float)
    expected = reference(net).backprop(x.tolist(), y.tolist())
    assert_same(G.from_network(net, x, y), expected)
    if n_out == 1:
        assert_same(G.from_network(net, x, y[:, 0]), expected)


def test_cross_entropies_are_stable():
    for output, loss, y in [
        ("softmax", "cross_entropy", [2]),
        ("sigmoid", "binary_cross_entropy", [[0, 1, 1]]),
    ]:
        net, _ = make_net([output], loss)
        net.weights = [np.zeros((3, 4))]
        net.biases = [np.array([1000.0, 0.0, -1000.0])]
        built = G.from_network(net, np.ones(4), y)
        assert np.isfinite(built.cost.value)
        assert built.cost.value > 600
        np.testing.assert_array_equal(np.isfinite(built.flat_gradient()), True)


def test_nodes_hold_the_forward_pass():
    net, rng = make_net(["tanh", "identity"])
    x, y = rng.normal(size=(2, 4)), rng.normal(size=(2, 3))
    built = G.from_network(net, x, y)
    z1 = x @ net.weights[0].T + net.biases[0]
    z2 = np.tanh(z1) @ net.weights[1].T + net.biases[1]
    np.testing.assert_allclose(built.z[0].value, z1, rtol=1e-14)
    np.testing.assert_allclose(built.a[1].value, np.tanh(z1), rtol=1e-14)
    np.testing.assert_allclose(built.a[2].value, z2, rtol=1e-14)
    assert built.a[0] is built.inputs
    assert [node.name for node in (*built.weights, *built.biases, *built.z, *built.a)] == [
        *("W1", "W2", "b1", "b2", "z1", "z2", "x", "a1", "a2")
    ]
    # delta_1 = tanh'(z1) * (delta_2 W2)
    expected = (1 - np.tanh(z1) ** 2) * (built.delta[1] @ net.weights[1])
    np.testing.assert_allclose(built.delta[0], expected, rtol=1e-12)


def test_inputs_are_scaled_as_the_network_does():
    net, rng = make_net(["tanh", "identity"])
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    shift, scale = rng.normal(size=4), rng.uniform(0.5, 2, 4)
    expected = G.from_network(net, (x - shift) * scale, y)
    net.scaling = shift, scale
    built = G.from_network(net, x, y)
    np.testing.assert_allclose(built.flat_gradient(), expected.flat_gradient(), rtol=1e-14)
    np.testing.assert_allclose(built.a[0].value, (x - shift) * scale, rtol=1e-15)
    np.testing.assert_allclose(built.inputs.grad, expected.inputs.grad * scale, rtol=1e-14)


def test_a_loss_of_the_user():
    def cubed(a, y):
        return np.sum(np.abs(a - y) ** 3, axis=1), 3 * (a - y) * np.abs(a - y)

    net, rng = make_net(["tanh", "identity"])
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    net.loss = cubed
    built = G.from_network(net, x, y)
    np.testing.assert_allclose(built.a[2].grad, cubed(built.a[2].value, y)[1] / 5, rtol=1e-12)
    assert built.cost.value == pytest.approx(np.mean(cubed(built.a[2].value, y)[0]), rel=1e-14)


def test_second_derivatives_of_a_network():
    net, rng = make_net(["gelu", "softmax"], "cross_entropy", l2=0.1)
    x, y = rng.normal(size=(5, 4)), rng.integers(0, 3, 5)
    built = G.from_network(net, x, y)
    built.cost.backward(create_graph=True)
    gradient = built.weights[0].grad
    v = rng.normal(size=gradient.shape)
    G.sum(gradient * v).backward()
    product = built.weights[0].grad

    def gradient_at(t):
        moved = Net(**{**vars(net), "weights": [net.weights[0] + t * v, net.weights[1]]})
        return G.from_network(moved, x, y).weights[0].grad

    np.testing.assert_allclose(product, G.numerical_gradient(gradient_at, 0.0), atol=1e-8)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), r"x must have shape \(N, 4\), got \(2, 3\)"),
        (np.ones((0, 4)), np.ones((0, 3)), r"x must have shape \(N, 4\), got \(0, 4\)"),
        (np.ones((2, 4)), np.ones((3, 3)), r"y must have one row per row of x, \(2, 3\)"),
        (np.ones((2, 4)), np.ones(2), r"y must have one row per row of x, \(2, 3\)"),
    ],
)
def test_shapes_are_checked(x, y, message):
    net, _ = make_net(["tanh", "identity"])
    with pytest.raises(ValueError, match=message):
        G.from_network(net, x, y)


def test_bad_networks_and_labels_are_refused():
    net, _ = make_net(["relu", "softmax"], "cross_entropy")
    for labels in ([0, 3], [0, -1], [0, 1, 2], [[0, 1]]):
        with pytest.raises(ValueError, match="y must hold 2 labels from 0 to 2"):
            G.from_network(net, np.ones((2, 4)), labels)
    with pytest.raises(ValueError, match=r"y must have one row per row of x, \(2, 3\)"):
        G.from_network(net, np.ones((2, 4)), [0.0, 1.0])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(2,\), got \(3,\)"):
        G.from_network(net, np.ones((2, 4)), [0, 1], np.ones(3))
    net.loss = "hinge"
    with pytest.raises(ValueError, match=r"net must use a known loss .* got 'hinge'"):
        G.from_network(net, np.ones((2, 4)), np.ones((2, 3)))
    net.activations = ("relu", "step")
    with pytest.raises(ValueError, match=r"net must use known activations .* got 'step'"):
        G.from_network(net, np.ones((2, 4)), np.ones((2, 3)))


# The network itself -------------------------------------------------------------------------------


def backprop_and_graph(net, rng, y, sample_weight=None):
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        net.set_layer(layer, W, rng.normal(size=b.shape))
    x = rng.normal(size=(len(y), net.widths[0]))
    built = G.from_network(net, x, y, sample_weight)
    return built, net.backprop(x, y, sample_weight), net.trace(x, y)


def assert_equals_backprop(built, gradients, trace=None):
    def close(actual, wanted):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-12 * scale)

    close(built.cost.value, gradients.cost)
    close(built.flat_gradient(), gradients.flat)
    close(built.inputs.grad, gradients.inputs)
    if trace is not None:
        for nodes, arrays in ((built.z, trace.z), (built.a, trace.a)):
            for node, array in zip(nodes, arrays, strict=True):
                close(node.value, array)
        for actual, wanted in zip(built.delta, trace.delta, strict=True):
            close(actual, wanted)


@pytest.mark.parametrize("output", HIDDEN)
@pytest.mark.parametrize("loss", ["mse", "squared_error", "mae", "huber"])
def test_the_graph_equals_backprop(output, loss):
    hidden = HIDDEN[(HIDDEN.index(output) + 1) % len(HIDDEN)]
    rng = np.random.default_rng(0)
    net = bp.Network(
        [4, 6, 5, 3], activation=[hidden, "tanh"], output=output, loss=loss,
        l1=0.01, l2=0.1, dtype="float64", seed=1,
    )  # fmt: skip
    assert_equals_backprop(*backprop_and_graph(net, rng, rng.normal(size=(7, 3))))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["labels", "probabilities", "binary"])
def test_the_graph_of_a_classifier_equals_backprop(kind, weighted):
    rng = np.random.default_rng(0)
    output, loss = ("softmax", "cross_entropy") if kind != "binary" else (
        "sigmoid", "binary_cross_entropy")  # fmt: skip
    y = {
        "labels": rng.integers(0, 3, 7),
        "probabilities": rng.dirichlet(np.ones(3), 7),
        "binary": rng.integers(0, 2, (7, 3)),
    }[kind]
    net = bp.Network([4, 6, 3], output=output, loss=loss, l2=0.1, dtype="float64", seed=1)
    weight = rng.uniform(0.1, 2, 7) if weighted else None
    built, gradients, trace = backprop_and_graph(net, rng, y, weight)
    assert_equals_backprop(built, gradients, None if weighted else trace)


def test_the_graph_of_a_scaled_network_and_a_loss_of_the_user():
    def cubed(a, y):
        return np.sum(np.abs(a - y) ** 3, axis=1), 3 * (a - y) * np.abs(a - y)

    rng = np.random.default_rng(0)
    net = bp.Network([4, 6, 1], loss=cubed, dtype="float64", seed=1)
    net.set_scaling(rng.normal(size=4), rng.uniform(0.5, 2, 4))
    assert_equals_backprop(*backprop_and_graph(net, rng, rng.normal(size=7)))


def test_minimize_with_an_optimizer_of_the_package():
    path = G.minimize(lambda p: G.sum((p - 3) ** 2), np.zeros((2, 2)), optimizer=bp.Adam(lr=0.1))
    assert path.shape == (101, 2, 2)
    np.testing.assert_allclose(path[1], 0.1, rtol=1e-6)
    np.testing.assert_allclose(path[-1], 3, atol=0.3)
