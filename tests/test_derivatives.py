"""The derivatives of a network against graphs, central differences and each other."""

import math
from itertools import pairwise

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import graph as G
from pybackprop.graph._formulas import ACTIVATIONS, LOSSES

HIDDEN = [name for name in ACTIVATIONS if name != "softmax"]
BY_ROW = ("jacobian", "vjp", "jvp", "hessian_diagonal", "laplacian")


def make_net(widths=(4, 6, 5, 3), scaled=True, seed=0, **settings):
    """A network whose parameters and scaling are drawn at random."""
    settings = {"dtype": "float64", "activation": "tanh", **settings}
    net = bp.Network(widths, **settings)
    rng = np.random.default_rng(seed)
    net.parameters = rng.normal(size=net.n_parameters) * 0.7
    if scaled:
        net.set_scaling(rng.normal(size=widths[0]), rng.uniform(0.5, 2, widths[0]))
    return net, rng


def targets_for(loss, n, n_out, rng):
    if loss in ("cross_entropy", "binary_cross_entropy"):
        return rng.uniform(0, 1, (n, n_out))
    return rng.normal(size=(n, n_out)) * 2


def run(net, x, p):
    """z_L and a_L as graphs, of inputs and of a flat vector of parameters."""
    shift, scale = net.scaling or (0.0, 1.0)
    a, at = (x - shift) * scale, 0
    for (n_in, n_out), name in zip(pairwise(net.widths), net.activations, strict=True):
        W = p[at : at + n_in * n_out].reshape((n_out, n_in))
        b = p[at + n_in * n_out : at + n_in * n_out + n_out]
        at += n_in * n_out + n_out
        z = a @ W.T + b
        a = ACTIVATIONS[name].value(z)
    return z, a


def cost(net, x, y, weight, p):
    """The cost as a graph, from its definition."""
    z, a = run(net, x, p)
    total = G.sum(LOSSES[net.loss].of_examples(a, z, y) * (weight / weight.sum()))
    at = 0
    for n_in, n_out in pairwise(net.widths):
        total = total + 0.5 * net.l2 * G.sum(p[at : at + n_in * n_out] ** 2)
        at += n_in * n_out + n_out
    return total


def along_inputs(net, X, step):
    """f(x + h e_j) and f(x - h e_j) for every input j."""
    for j in range(X.shape[1]):
        e = np.zeros(X.shape[1])
        e[j] = step
        yield net(X + e), net(X - e)


def assert_close(actual, wanted, tolerance):
    """Equal to a part of the largest entry, or of 1."""
    assert actual.shape == np.shape(wanted)
    np.testing.assert_allclose(
        actual, wanted, rtol=0, atol=tolerance * max(1.0, np.abs(wanted).max())
    )


# ---- in the inputs ----


@pytest.mark.parametrize("output", ["identity", "softmax", "same"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_derivatives_in_inputs_against_graph(activation, output):
    net, rng = make_net(
        activation=activation, output=activation if output == "same" else output, seed=1
    )
    X = rng.normal(size=(3, 4))
    p = np.array(net.parameters)

    def outputs(x):
        return run(net, x, p)[1]

    first = np.array([G.jacobian(outputs)(x) for x in X])
    second = np.array([G.jacobian(G.jacobian(outputs))(x) for x in X])
    diagonal = np.einsum("nkjj->nkj", second)
    v, d = rng.normal(size=(3, 3)), rng.normal(size=(3, 4))
    assert_close(net.jacobian(X), first, 1e-10)
    assert_close(net.vjp(X, v), np.einsum("nkj,nk->nj", first, v), 1e-10)
    a, da = net.jvp(X, d)
    assert_close(a, net.predict(X), 1e-14)
    assert_close(da, np.einsum("nkj,nj->nk", first, d), 1e-10)
    assert_close(net.hessian_diagonal(X), diagonal, 1e-10)
    assert_close(net.laplacian(X), diagonal.sum(axis=2), 1e-10)


# More outputs than inputs and the reverse; more of each than are carried at once; one layer.
SHAPES = [(2, 9, 5), (5, 9, 2), (70, 8, 67), (67, 8, 70), (130, 3), (3, 130), (1, 1)]


@pytest.mark.parametrize("output", ["identity", "softmax"])
@pytest.mark.parametrize("widths", SHAPES, ids=str)
def test_derivatives_in_inputs_against_central_differences(widths, output):
    net, rng = make_net(widths, activation="gelu", output=output)
    X = rng.normal(size=(11, widths[0])) / math.sqrt(widths[0])
    first = np.stack([(up - down) / 2e-5 for up, down in along_inputs(net, X, 1e-5)], axis=2)
    second = np.stack(
        [(up - 2 * net(X) + down) / 4e-8 for up, down in along_inputs(net, X, 2e-4)], axis=2
    )
    v, d = rng.normal(size=(11, widths[-1])), rng.normal(size=(11, widths[0]))
    assert_close(net.jacobian(X), first, 1e-5)
    assert_close(net.vjp(X, v), np.einsum("nkj,nk->nj", first, v), 1e-5)
    assert_close(net.jvp(X, d)[1], np.einsum("nkj,nj->nk", first, d), 1e-5)
    assert_close(net.hessian_diagonal(X), second, 1e-5)
    assert_close(net.laplacian(X), net.hessian_diagonal(X).sum(axis=2), 1e-12)


def second_derivatives(x):
    """act''(x) by formulas that lose no digits in extended precision."""
    x = x.astype(np.longdouble)
    e = np.exp(-np.abs(x))
    s, rest = np.where(x < 0, e, 1) / (1 + e), np.where(x < 0, 1, e) / (1 + e)
    t = np.tanh(x)
    slope = s * rest
    u = np.where(x < 0, e * (e + 2) / (e * (e + 2) + 2), (1 + 2 * e) / (1 + 2 * e + 2 * e * e))
    below = np.where(x < 0, 2 / (e * (e + 2) + 2), 2 * e * e / (1 + 2 * e + 2 * e * e))
    zero, exponential = np.zeros_like(x), np.where(x > 0, 0, e)
    selu = np.longdouble("1.0507009873554804934") * np.longdouble("1.6732632423543772848")
    return {
        "identity": zero,
        "relu": zero,
        "leaky_relu": zero,
        "sigmoid": -slope * np.tanh(x / 2),
        "tanh": -8 * t * e * e / (1 + e * e) ** 2,
        "elu": exponential,
        "selu": selu * exponential,
        "softplus": slope,
        "gelu": (2 - x * x) * np.exp(-x * x / 2) / np.sqrt(2 * np.longdouble(np.pi)),
        "silu": slope * (2 - x * np.tanh(x / 2)),
        "mish": below * (1 + u) * s * (2 + x * (rest - 2 * u * s)),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_second_derivatives_keep_their_digits(activation, dtype):
    net = bp.Network([1, 1], output=activation, init="zeros", dtype=dtype)
    net.set_layer(0, [[1.0]], [0.0])
    x = np.concatenate([np.linspace(-30, 30, 401), [-0.1, 1e-7, -1e-7, -80, 80, 1e4, -1e4]])
    x = x[x != 0].astype(dtype)
    wanted = second_derivatives(x)[activation]
    got = net.hessian_diagonal(x[:, None])[:, 0, 0]
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    # Those that cross zero do so as a sum of terms near 1, times a factor.
    room = {"gelu": np.exp(-x * x / 2.0) * x * x, "silu": np.exp(-abs(x)), "mish": np.exp(-abs(x))}
    size = np.maximum(np.abs(wanted), room.get(activation, 0.0))
    # A factor below the least normal number is flushed before it meets one of up to x^2.
    flushed = 4 * tiny * np.maximum(1, np.minimum(x * x, 1e4))
    assert (np.abs(got - wanted) <= 8 * eps * size + flushed).all()


def test_kinks():
    for name, first in (("relu", 0.0), ("leaky_relu", 0.01)):
        net = bp.Network([1, 1], output=name, init="zeros")
        assert net.jacobian([[1.0]]).item() == 0
        net.set_layer(0, [[1.0]], [0.0])
        assert net.jacobian([[0.0]]).item() == pytest.approx(first)
        assert net.hessian_diagonal([[0.0]]).item() == 0


# ---- in the parameters ----


CASES = [
    *((loss, output) for loss in ("mse", "squared_error", "mae", "huber") for output in HIDDEN),
    *((loss, "softmax") for loss in ("mse", "huber", "cross_entropy")),
    ("binary_cross_entropy", "sigmoid"),
]


@pytest.mark.parametrize(("loss", "output"), CASES)
def test_hvp_against_graph(loss, output):
    hidden = HIDDEN[(HIDDEN.index(output) + 3) % len(HIDDEN)] if output in HIDDEN else "silu"
    net, rng = make_net(
        (3, 4, 3, 2), activation=[hidden, "tanh"], output=output, loss=loss, l1=0.1, l2=0.3, seed=2
    )
    X, y = rng.normal(size=(5, 3)), targets_for(loss, 5, 2, rng)
    weight, v = rng.uniform(0.1, 2, 5), rng.normal(size=net.n_parameters)

    def along(p):
        return G.sum(G.grad(lambda q: cost(net, X, y, weight, q))(p) * v)

    assert_close(net.hvp(X, y, v, weight), G.grad(along)(np.array(net.parameters)), 1e-10)


@pytest.mark.parametrize(("loss", "output"), CASES)
def test_gauss_newton_product_against_graph(loss, output):
    net, rng = make_net((3, 4, 2), activation="mish", output=output, loss=loss, l2=0.3, seed=3)
    n, from_z = 5, loss in ("cross_entropy", "binary_cross_entropy")
    X, y = rng.normal(size=(n, 3)), targets_for(loss, n, 2, rng)
    weight, v = rng.uniform(0.1, 2, n), rng.normal(size=net.n_parameters)
    p = np.array(net.parameters)
    J = G.jacobian(lambda q: run(net, X, q)[0 if from_z else 1])(p)
    start = np.array(run(net, X, G.Variable(p))[0 if from_z else 1].value)
    total = 0.3 * v
    total[12:16] = total[-2:] = 0  # biases
    for i in range(n):

        def loss_of(r, i=i):
            return G.sum(LOSSES[loss].of_examples(r[None], r[None], y[i : i + 1]))

        bend = G.jacobian(G.grad(loss_of))(start[i])
        total += weight[i] / weight.sum() * (J[i].T @ (bend @ (J[i] @ v)))
    assert_close(net.gauss_newton_product(X, y, v, weight), total, 1e-10)


# The last has too many parameters for packed copies of its weights.
@pytest.mark.parametrize("widths", [(3, 5, 4), (3, 4), (40, 33, 20, 10), (2, 1500, 1500, 3)])
@pytest.mark.parametrize(
    ("loss", "output"),
    [("cross_entropy", "softmax"), ("mse", "identity"), ("squared_error", "softmax")],
)
def test_products_against_central_differences(widths, loss, output):
    net, rng = make_net(widths, activation="silu", output=output, loss=loss, l2=0.2, scaled=False)
    net.parameters = net.parameters / math.sqrt(max(widths))
    n = 301 if net.n_parameters < 10_000 else 3
    X, y = rng.normal(size=(n, widths[0])), targets_for(loss, n, widths[-1], rng)
    if loss == "cross_entropy":
        y = rng.integers(0, widths[-1], n)
    p, v = np.array(net.parameters), rng.normal(size=net.n_parameters)
    v /= np.linalg.norm(v)
    product = net.hvp(X, y, v)
    gradients = []
    for step in (1e-5, -1e-5):
        net.parameters = p + step * v
        gradients.append(net.backprop(X, y).flat)
    assert_close(product, (gradients[0] - gradients[1]) / 2e-5, 1e-5)
    net.parameters = p
    # The Gauss-Newton matrix is symmetric without negative eigenvalues.
    w = rng.normal(size=net.n_parameters)
    Gv, Gw = (net.gauss_newton_product(X, y, each) for each in (v, w))
    assert Gv @ w == pytest.approx(Gw @ v, rel=1e-9, abs=1e-12)
    assert Gv @ v > 0


def test_gauss_newton_is_the_hessian_of_a_linear_network():
    for loss, output in (("mse", "identity"), ("cross_entropy", "softmax")):
        net, rng = make_net((5, 3), output=output, loss=loss, l2=0.1)
        X, y, v = rng.normal(size=(50, 5)), rng.uniform(size=(50, 3)), rng.normal(size=18)
        assert_close(net.gauss_newton_product(X, y, v), net.hvp(X, y, v), 1e-13)


# ---- of each example ----


def squared(a, y):
    """A loss of one's own, equal to squared_error."""
    return ((a - y) ** 2).sum(axis=1), 2 * (a - y)


@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("mse", "same"),
        ("mae", "identity"),
        (squared, "same"),
        ("huber", "softmax"),
        ("cross_entropy", "softmax"),
        ("binary_cross_entropy", "sigmoid"),
    ],
)
def test_per_sample_gradients_are_those_of_each_example(activation, loss, output):
    net, rng = make_net(
        activation=activation, output=activation if output == "same" else output, loss=loss
    )
    X, y = rng.normal(size=(7, 4)), targets_for(loss, 7, 3, rng)
    got, norms = net.per_sample_gradients(X, y), net.per_sample_gradient_norms(X, y)
    wanted = np.array([net.backprop(X[i : i + 1], y[i : i + 1]).flat for i in range(7)])
    assert_close(got, wanted, 1e-12)
    assert_close(norms, np.linalg.norm(wanted, axis=1), 1e-12)


def test_per_sample_gradients_against_graph_and_central_differences():
    net, rng = make_net((3, 4, 2), output="softmax", loss="cross_entropy", l1=0.5, l2=0.5)
    X, y = rng.normal(size=(4, 3)), rng.integers(0, 2, 4)
    got = net.per_sample_gradients(X, y)
    p = np.array(net.parameters)
    for i in range(4):
        target = np.eye(2)[y[i : i + 1]]

        def loss(q, i=i, target=target):
            z, a = run(net, X[i : i + 1], q)
            return G.sum(LOSSES["cross_entropy"].of_examples(a, z, target))

        assert_close(got[i], G.grad(loss)(p), 1e-10)
        assert_close(
            got[i], G.numerical_gradient(lambda q, f=loss: f(G.Variable(q)).value, p), 1e-5
        )


# ---- what holds for all ----


def everything(net, X, y, rng):
    n, (n_in, n_out) = len(X), (net.widths[0], net.widths[-1])
    v = rng.normal(size=net.n_parameters)
    return {
        "jacobian": net.jacobian(X),
        "vjp": net.vjp(X, rng.normal(size=(n, n_out))),
        "jvp": net.jvp(X, rng.normal(size=(n, n_in)))[1],
        "hessian_diagonal": net.hessian_diagonal(X),
        "laplacian": net.laplacian(X),
        "hvp": net.hvp(X, y, v),
        "gauss_newton_product": net.gauss_newton_product(X, y, v),
        "per_sample_gradients": net.per_sample_gradients(X, y),
        "per_sample_gradient_norms": net.per_sample_gradient_norms(X, y),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(dtype):
    net, rng = make_net((9, 40, 33, 5), activation="gelu", dtype=dtype)
    X, y = rng.normal(size=(1500, 9)), rng.normal(size=(1500, 5))
    before = bp.get_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            bp.set_threads(threads)
            results.append(everything(net, X, y, np.random.default_rng(1)))
    finally:
        bp.set_threads(before)
    for name, wanted in results[0].items():
        for other in results[1:]:
            np.testing.assert_array_equal(other[name], wanted, err_msg=name)
    part = everything(net, X[700:703], y[700:703], np.random.default_rng(1))
    for name in ("jacobian", "hessian_diagonal", "laplacian", "per_sample_gradients"):
        np.testing.assert_array_equal(part[name], results[0][name][700:703], err_msg=name)


@pytest.mark.parametrize("n_in", [1, 31, 33, 150])
@pytest.mark.parametrize("output", ["identity", "softmax"])
def test_laplacian_of_many_inputs_is_the_sum_of_the_diagonal(n_in, output):
    """Also where the inputs are taken in several turns."""
    net, rng = make_net((n_in, 6, 3), output=output)
    net.parameters = net.parameters / n_in**0.5
    X = rng.normal(size=(5, n_in))
    diagonal = net.hessian_diagonal(X)
    np.testing.assert_allclose(
        net.laplacian(X), diagonal.sum(axis=2), rtol=1e-10, atol=1e-12 * np.abs(diagonal).sum()
    )


def test_calls_are_cut_without_a_trace(monkeypatch):
    net, rng = make_net((4, 8, 3))
    X, y = rng.normal(size=(1000, 4)), rng.normal(size=(1000, 3))
    whole = everything(net, X, y, np.random.default_rng(1))
    monkeypatch.setattr(net._net, "call_rows", 1)
    for name, wanted in everything(net, X, y, np.random.default_rng(1)).items():
        np.testing.assert_array_equal(wanted, whole[name], err_msg=name)


@pytest.mark.parametrize("activation", HIDDEN)
def test_float32_is_near_float64(activation):
    settings = {"activation": activation, "output": "softmax", "loss": "cross_entropy", "l2": 0.1}
    wide, rng = make_net((6, 20, 20, 4), **settings)
    narrow, _ = make_net((6, 20, 20, 4), dtype="float32", **settings)
    X, y = rng.normal(size=(100, 6)).astype(np.float32), rng.integers(0, 4, 100)
    wanted = everything(wide, X, y, np.random.default_rng(1))
    for name, got in everything(narrow, X, y, np.random.default_rng(1)).items():
        assert got.dtype == np.float32
        assert_close(got, wanted[name], 1e-4)


def test_any_accepted_input_gives_the_same():
    net, rng = make_net((4, 6, 3))
    X = rng.integers(0, 200, (60, 8)).astype(np.uint8)
    d, v = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    view = X[::-2, ::2]
    given = (view.astype(">f8"), view.tolist(), np.asfortranarray(view.astype(np.float64)))
    for name in BY_ROW:
        extra = {"vjp": (v,), "jvp": (np.asfortranarray(d),)}.get(name, ())
        wanted = getattr(net, name)(view, *extra)
        for other in given:
            np.testing.assert_array_equal(getattr(net, name)(other, *extra), wanted, err_msg=name)


def test_no_rows():
    net, _ = make_net((4, 6, 3))
    X = np.empty((0, 4))
    assert net.jacobian(X).shape == net.hessian_diagonal(X).shape == (0, 3, 4)
    assert net.vjp(X, np.empty((0, 3))).shape == (0, 4)
    assert [each.shape for each in net.jvp(X, X)] == [(0, 3), (0, 3)]
    assert net.laplacian(X).shape == (0, 3)


def test_dropout_does_not_act_and_nothing_is_changed():
    net, rng = make_net((4, 6, 3), dropout=0.5)
    plain, _ = make_net((4, 6, 3))
    X, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    before = np.array(net.parameters)
    wanted = everything(plain, X, y, np.random.default_rng(1))
    for name, got in everything(net, X, y, np.random.default_rng(1)).items():
        np.testing.assert_array_equal(got, wanted[name], err_msg=name)
    np.testing.assert_array_equal(net.parameters, before)


def test_derivatives_follow_the_parameters():
    net, rng = make_net((4, 6, 3))
    X = rng.normal(size=(5, 4))
    net.jacobian(X)
    net.parameters = net.parameters * 2
    fresh, _ = make_net((4, 6, 3))
    fresh.parameters = net.parameters
    np.testing.assert_array_equal(net.jacobian(X), fresh.jacobian(X))


# ---- bad input ----


X3, Y3, V = np.zeros((3, 4)), np.zeros((3, 2)), np.zeros(37)
REFUSED = [
    ("jacobian", (np.zeros((3, 5)),), ValueError, "X must"),
    ("jacobian", (np.zeros(4),), ValueError, "X must"),
    ("jacobian", (np.zeros((3, 4), complex),), TypeError, "X must"),
    ("laplacian", ([["a"] * 4],), TypeError, "X must"),
    ("hessian_diagonal", (None,), TypeError, "X must"),
    ("vjp", (X3, np.zeros((3, 4))), ValueError, r"v must have shape \(3, 2\)"),
    ("vjp", (X3, np.zeros(2)), ValueError, "v must have shape"),
    ("jvp", (X3, np.zeros((2, 4))), ValueError, r"dX must have shape \(3, 4\)"),
    ("jvp", (X3, np.zeros((3, 4), complex)), TypeError, "dX must hold real"),
    ("hvp", (X3, Y3, np.zeros(36)), ValueError, r"v must have shape \(37,\)"),
    ("hvp", (X3, Y3, [None] * 37), TypeError, "v must"),
    ("hvp", (X3, np.zeros((3, 3)), V), ValueError, "y must"),
    ("hvp", (X3[:0], Y3[:0], V), ValueError, "X must"),
    ("hvp", (X3, Y3, V, [1, -1, 1]), ValueError, "sample_weight must"),
    ("gauss_newton_product", (X3, Y3, np.zeros((6, 7))), ValueError, "v must have shape"),
    ("per_sample_gradients", (X3, np.zeros((4, 2))), ValueError, "y must"),
    ("per_sample_gradient_norms", (X3[:0], Y3[:0]), ValueError, "X must"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "text"), REFUSED)
def test_bad_input_is_refused(name, arguments, error, text):
    net, _ = make_net((4, 5, 2))
    assert net.n_parameters == len(V)
    with pytest.raises(error, match=text):
        getattr(net, name)(*arguments)


@pytest.mark.parametrize("name", ["hvp", "gauss_newton_product"])
def test_a_loss_function_has_no_second_derivative(name):
    net, _ = make_net((4, 5, 2), loss=squared)
    with pytest.raises(ValueError, match=f"{name} needs the second derivative of the loss"):
        getattr(net, name)(X3, Y3, np.zeros(net.n_parameters))


def test_what_a_loss_function_raises_arrives():
    def broken(a, y):
        raise ZeroDivisionError("mine")

    net, _ = make_net((4, 5, 2), loss=broken)
    for name in ("per_sample_gradients", "per_sample_gradient_norms"):
        with pytest.raises(ZeroDivisionError, match="mine"):
            getattr(net, name)(X3, Y3)
    assert net.jacobian(X3).shape == (3, 2, 4)


def test_a_network_in_use_is_refused():
    def nosy(a, y):
        net.jacobian(X3)
        return squared(a, y)

    net, _ = make_net((4, 5, 2), loss=nosy)
    with pytest.raises(RuntimeError, match="in use"):
        net.per_sample_gradients(X3, Y3)
