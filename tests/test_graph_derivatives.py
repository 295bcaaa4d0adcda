"""Derivatives of graphs against central differences, and the functions built on them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybackprop import graph as G
from pybackprop.graph import Variable
from pybackprop.graph._arrays import broadcast_to

# Every gate, at first and second order ------------------------------------------------------------

A = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
FUNCTIONS = {
    "add": lambda x: x + A,
    "add broadcast": lambda x: x[0] + x[:, :1] + x,
    "subtract": lambda x: A - x,
    "multiply broadcast": lambda x: x * x[0] * x[:, 1:2],
    "divide": lambda x: x[:, :1] / (x**2 + 1),
    "power": lambda x: (x**2 + 0.5) ** x,
    "negative": lambda x: -(+x),
    "maximum": lambda x: G.maximum(x, 0.1 - A),
    "minimum": lambda x: G.minimum(x, x[::-1]),
    "where": lambda x: G.where(A > 0, x**2, G.sin(x)),
    "abs": lambda x: abs(x) * x,
    "exp": lambda x: G.exp(x),
    "expm1": lambda x: G.expm1(x),
    "log": lambda x: G.log(x**2 + 0.1),
    "sqrt": lambda x: G.sqrt(x**2 + 0.1),
    "sin cos": lambda x: G.sin(x) * G.cos(x * x),
    "tanh": lambda x: G.tanh(x),
    "sigmoid": lambda x: G.sigmoid(x),
    "softplus": lambda x: G.softplus(x),
    "relu": lambda x: G.relu(x) ** 2,
    "erf": lambda x: G.erf(x),
    "sum": lambda x: G.sum(x**3),
    "sum axis": lambda x: x.sum(axis=0, keepdims=True) * x,
    "sum axes": lambda x: x.reshape(1, 2, 3).sum(axis=(0, -1)) ** 2,
    "mean": lambda x: x.mean() * x.mean(axis=1, keepdims=True) * x.mean(axis=-1)[0],
    "max": lambda x: G.max(x, axis=1) ** 2,
    "min": lambda x: G.min(x, axis=0, keepdims=True) * x,
    "logsumexp": lambda x: G.logsumexp(x),
    "logsumexp axis": lambda x: G.logsumexp(x, axis=1, keepdims=True) * G.logsumexp(x, axis=0),
    "softmax": lambda x: G.softmax(x) * G.softmax(x, axis=0),
    "reshape": lambda x: x.reshape((3, 2)) @ x,
    "transpose": lambda x: x.T * G.transpose(x, (1, 0)),
    "transpose axes": lambda x: G.transpose(x.reshape(1, 2, 3), (2, 0, 1)) ** 2,
    "index": lambda x: x[1, 0] * x[0] * x[..., None, :].sum(axis=0),
    "index array": lambda x: x[[0, 0, 1], [1, 1, 2]] ** 2,
    "index mask": lambda x: x[A > 0] ** 3,
    "concatenate": lambda x: G.concatenate([x, x**2, A], axis=-1).T,
    "stack": lambda x: G.stack([x[0, 0], x[0, 1] * x[1, 1]]),
    "broadcast": lambda x: broadcast_to(x[:, None], (2, 4, 3)) ** 2,
    "matmul": lambda x: x @ x.T @ A,
    "matmul vectors": lambda x: x[0] @ x[1],
    "matmul matrix vector": lambda x: (x @ x[0]) * (x[:, 0] @ x)[:2],
    "matmul stack": lambda x: x.reshape(2, 1, 3) @ x.T @ x[:, 0],
    "matmul vector stack": lambda x: x[0] @ (x.reshape(2, 3, 1) * x[:, None]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gate_derivatives(name):
    f = FUNCTIONS[name]
    x = np.random.default_rng(3).normal(size=(2, 3))
    first = G.jacobian(f)(x)
    np.testing.assert_allclose(first, G.numerical_gradient(f, x), rtol=1e-6, atol=1e-8)

    weights = np.random.default_rng(4).normal(size=f(Variable(x)).shape)
    gradient = G.grad(lambda x: G.sum(weights * f(x)))
    hessian = G.jacobian(gradient)(x)
    assert hessian.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(hessian, G.numerical_gradient(gradient, x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.transpose(2, 3, 0, 1), rtol=1e-10, atol=1e-12)


# Random expressions -------------------------------------------------------------------------------

UNARY = {
    "sin": G.sin,
    "cos": G.cos,
    "tanh": G.tanh,
    "sigmoid": G.sigmoid,
    "softplus": G.softplus,
    "erf": G.erf,
    "exp(sin)": lambda x: G.exp(G.sin(x)),
    "log(1+x²)": lambda x: G.log(1 + x * x),
    "sqrt(1+x²)": lambda x: G.sqrt(1 + x**2),
    "softmax": G.softmax,
    "x - logsumexp": lambda x: x - G.logsumexp(x, axis=0, keepdims=True),
    "x - mean": lambda x: x - G.mean(x, axis=1, keepdims=True),
    "reversed": lambda x: x[::-1],
    "rotated": lambda x: G.concatenate([x[:, 1:], x[:, :1]], axis=1),
    "reshaped": lambda x: G.reshape(G.transpose(x), (2, 3)),
}
BINARY = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: G.tanh(x) * y,
    "/": lambda x, y: x / (1 + y**2),
    "**": lambda x, y: (1 + G.tanh(x) ** 2) ** G.sin(y),
    "@": lambda x, y: G.tanh(x @ G.transpose(y)) @ x / 3,
    "row": lambda x, y: x + y[:1],
    "column": lambda x, y: x * G.cos(y[:, :1]),
}
expressions = st.recursive(
    st.sampled_from(["x", "y", "c"]),
    lambda inner: (
        st.tuples(st.sampled_from(sorted(UNARY)), inner)
        | st.tuples(st.sampled_from(sorted(BINARY)), inner, inner)
    ),
    max_leaves=6,
)


def evaluate(expression, leaves):
    if isinstance(expression, str):
        return leaves[expression]
    name, *operands = expression
    function = UNARY[name] if len(operands) == 1 else BINARY[name]
    return function(*(evaluate(operand, leaves) for operand in operands))


@settings(max_examples=1000, deadline=None)
@given(expressions, st.integers(0, 2**32 - 1))
def test_random_expressions_against_central_differences(expression, seed):
    rng = np.random.default_rng(seed)
    point, direction = rng.uniform(-1.5, 1.5, size=(2, 2, 2, 3))
    constant = rng.uniform(-1.5, 1.5, size=(2, 3))

    def f(p):
        return G.sum(evaluate(expression, {"x": p[0], "y": p[1], "c": constant}))

    def difference(h):
        return float(f(point + h * direction) - f(point - h * direction)) / (2 * h)

    exact = G.grad(f)(point)
    # Extrapolating two central differences along one direction leaves an error of O(h⁴) only.
    numeric = (4 * difference(5e-4) - difference(1e-3)) / 3
    scale = float(np.linalg.norm(exact) * np.linalg.norm(direction))
    assert float(np.sum(exact * direction)) == pytest.approx(
        numeric, rel=0, abs=1e-6 * scale + 1e-9
    )


# Functions of functions ---------------------------------------------------------------------------


def booth(p):
    return (p[0] + 2 * p[1] - 7) ** 2 + (2 * p[0] + p[1] - 5) ** 2


def test_grad_by_several_arguments():
    def f(x, y, z):
        return (x + y) * z

    assert G.grad(f)(-2.0, 5.0, -4.0) == -4
    assert G.grad(f, argnums=2)(-2.0, 5.0, -4.0) == 3
    assert G.grad(f, argnums=(0, 1, 2))(-2.0, 5.0, -4.0) == (-4, -4, 3)
    with pytest.raises(ValueError, match=r"f must return one number for grad, got shape \(2,\)"):
        G.grad(lambda x: x * 2)([1.0, 2.0])


def test_grad_of_grad():
    third = G.grad(G.grad(G.grad(lambda x: x**5)))
    assert third(2.0) == pytest.approx(60 * 4, rel=1e-14)
    assert G.grad(lambda x: 3.0)(1.0) == 0
    np.testing.assert_array_equal(G.jacobian(lambda x: np.ones(2))(np.ones(3)), np.zeros((2, 3)))


def test_nested_gradients_are_not_confused():
    # d/dx [x · d/dy (x y)] = d/dx [x · x] = 2x: the inner derivative holds the outer x fixed.
    assert G.grad(lambda x: x * G.grad(lambda y: x * y)(x))(3.0) == 6
    assert G.grad(lambda x: x * G.grad(lambda y: x * y)(1.0))(3.0) == 6


def test_jacobian_of_a_list():
    def polar(p):
        return [p[0] * G.cos(p[1]), p[0] * G.sin(p[1])]

    r, t = 2.0, 0.3
    expected = [[np.cos(t), -r * np.sin(t)], [np.sin(t), r * np.cos(t)]]
    np.testing.assert_allclose(G.jacobian(polar)([r, t]), expected, rtol=1e-15)
    np.testing.assert_allclose(G.numerical_gradient(polar, [r, t]), expected, rtol=1e-8)


def test_hessian_of_booth():
    np.testing.assert_allclose(G.jacobian(G.grad(booth))([0.3, 1.0]), [[10, 8], [8, 10]])


def test_jacobian_within_a_gradient():
    # The trace of the Jacobian of x³ is the sum of 3x², whose gradient is 6x.
    gradient = G.grad(lambda x: G.sum(G.jacobian(lambda y: y**3)(x)))
    np.testing.assert_allclose(gradient([1.0, -2.0]), [6, -12])


def test_numerical_gradient():
    x = np.array([[-0.5, 100.0]])
    gradient = G.numerical_gradient(lambda x: np.prod(x**3), x)
    np.testing.assert_allclose(gradient, 3 * np.prod(x**3) / x, rtol=1e-8)
    assert G.numerical_gradient(np.sin, 0.0) == pytest.approx(1, rel=1e-9)
    assert G.numerical_gradient(lambda x: x[:, 0], x).shape == (1, 1, 2)
    assert G.numerical_gradient(lambda x: np.ones(2), np.ones((0, 3))).shape == (2, 0, 3)
    with pytest.raises(ValueError, match="h must be a positive number, got -1"):
        G.numerical_gradient(np.sin, 0.0, h=-1)


# Descent ------------------------------------------------------------------------------------------


class Momentum:
    """An optimizer object: it updates a flat array in place."""

    def __init__(self):
        self.velocity = 0.0

    def update(self, parameters, gradient):
        assert parameters.shape == gradient.shape == (4,)
        assert parameters.dtype == gradient.dtype == np.float64
        self.velocity = 0.5 * self.velocity + gradient
        parameters -= 0.1 * self.velocity


def test_example_booth_by_gradient_descent():
    path = G.minimize(booth, [0, 0], lr=0.1, steps=100)
    assert path.shape == (101, 2)
    np.testing.assert_array_equal(path[0], [0, 0])
    np.testing.assert_allclose(path[1], 0.1 * np.array([34, 38]), rtol=1e-14)
    np.testing.assert_allclose(path[-1], [1, 3], atol=1e-6)


def test_minimize_with_an_update_function():
    path = G.minimize(booth, [0, 0], optimizer=lambda x, g: x - 0.1 * g, steps=30)
    np.testing.assert_array_equal(path, G.minimize(booth, [0, 0], lr=0.1, steps=30))


def test_minimize_with_an_optimizer_object():
    x0 = np.array([[1.0, 2.0], [3.0, 4.0]])
    path = G.minimize(lambda x: G.sum((x - 1) ** 2), x0, optimizer=Momentum(), steps=100)
    np.testing.assert_array_equal(path[0], x0)
    np.testing.assert_allclose(path[1], x0 - 0.2 * (x0 - 1))
    np.testing.assert_allclose(path[-1], 1, atol=1e-9)


def test_minimize_refuses_bad_arguments():
    with pytest.raises(ValueError, match="lr must be left out"):
        G.minimize(booth, [0, 0], lr=0.1, optimizer=Momentum())
    with pytest.raises(ValueError, match="lr must be a positive number, got -1"):
        G.minimize(booth, [0, 0], lr=-1)
    with pytest.raises(ValueError, match="steps must be 0 or more, got -1"):
        G.minimize(booth, [0, 0], steps=-1)
    with pytest.raises(TypeError, match="steps must be an integer, got float"):
        G.minimize(booth, [0, 0], steps=1.5)
    with pytest.raises(TypeError, match=r"optimizer must be callable .* got str"):
        G.minimize(booth, [0, 0], optimizer="adam")
    with pytest.raises(ValueError, match=r"optimizer must keep the shape \(2,\), got \(1,\)"):
        G.minimize(booth, [0, 0], optimizer=lambda x, g: x[:1])
    assert G.minimize(booth, [0, 0], steps=0).shape == (1, 2)
