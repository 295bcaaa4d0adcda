"""Computational graphs: the lecture examples, the backward pass and its rules."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from pybackprop import graph as G
from pybackprop.graph import Variable

# The examples of the lectures ---------------------------------------------------------------------


def test_example_3_times_a_plus_bc():
    a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    u = b * c
    v = a + u
    J = 3 * v
    J.backward()
    assert (u.value, v.value, J.value) == (6, 11, 33)
    assert (J.grad, v.grad, a.grad, u.grad, b.grad, c.grad) == (1, 3, 3, 3, 6, 9)


def test_example_x_plus_y_times_z():
    x, y, z = Variable(-2), Variable(5), Variable(-4)
    q = x + y
    f = q * z
    f.backward()
    assert (q.value, f.value) == (3, -12)
    assert (x.grad, y.grad, z.grad) == (-4, -4, 3)


@pytest.mark.parametrize(
    ("x", "y", "expected"), [(4, 2, (1, 0)), (2, 4, (0, 1)), (3, 3, (0.5, 0.5))]
)
def test_example_maximum_routes_the_gradient(x, y, expected):
    x, y = Variable(x), Variable(y)
    G.maximum(x, y).backward()
    assert (x.grad, y.grad) == expected
    G.minimum(-x, -y).backward()
    assert (x.grad, y.grad) == tuple(-e for e in expected)


def test_example_sum_over_two_paths():
    s = Variable(0.7, "s")
    g, h = G.sin(s), G.exp(s)
    z = g * h + h**2
    z.backward()
    # dz/ds = dk/dg g' + dk/dh h' with k = g h + h².
    expected = h.value * math.cos(0.7) + (g.value + 2 * h.value) * math.exp(0.7)
    assert z.value == pytest.approx(math.sin(0.7) * math.exp(0.7) + math.exp(1.4), rel=1e-14)
    assert s.grad == pytest.approx(expected, rel=1e-14)


def test_example_jacobian_product():
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(4, 3)), rng.normal(size=3)

    def g(x):
        return G.tanh(A @ x)

    def f(y):
        return G.sum(y**3) + y[0] * y[2]

    outer = G.grad(f)(np.tanh(A @ x))
    inner = G.jacobian(g)(x)
    assert inner.shape == (4, 3)
    np.testing.assert_allclose(inner, (1 - np.tanh(A @ x) ** 2)[:, None] * A, rtol=1e-12)
    np.testing.assert_allclose(G.grad(lambda x: f(g(x)))(x), outer @ inner, rtol=1e-12)


def test_example_two_layer_network_by_its_local_derivatives():
    w11, w21, v11, v21 = (Variable(value) for value in (0.3, -0.2, 0.5, 0.7))
    w12, w22 = Variable(0.9), Variable(-0.4)
    x1, x2, y = 1.5, -0.5, 0.25
    z11 = G.tanh(w11 * x1 + w21 * x2)
    z12 = G.tanh(v11 * x1 + v21 * x2)
    z2 = G.tanh(w12 * z11 + w22 * z12)
    L = (y - z2) ** 2
    L.backward()

    hidden1, hidden2 = math.tanh(0.45 + 0.1), math.tanh(0.75 - 0.35)
    out = math.tanh(0.9 * hidden1 - 0.4 * hidden2)
    dL_dz2 = -2 * (y - out)
    dL_ds2 = dL_dz2 * (1 - out**2)
    assert z2.grad == pytest.approx(dL_dz2, rel=1e-12)
    assert w12.grad == pytest.approx(dL_ds2 * hidden1, rel=1e-12)
    assert w22.grad == pytest.approx(dL_ds2 * hidden2, rel=1e-12)
    assert w11.grad == pytest.approx(dL_ds2 * 0.9 * (1 - hidden1**2) * x1, rel=1e-12)
    assert w21.grad == pytest.approx(dL_ds2 * 0.9 * (1 - hidden1**2) * x2, rel=1e-12)
    assert v11.grad == pytest.approx(dL_ds2 * -0.4 * (1 - hidden2**2) * x1, rel=1e-12)
    assert v21.grad == pytest.approx(dL_ds2 * -0.4 * (1 - hidden2**2) * x2, rel=1e-12)


# The backward pass --------------------------------------------------------------------------------


def test_a_node_used_twice_adds_up_its_gradients():
    x = Variable(3.0)
    y = x * x + x
    y.backward()
    assert x.grad == 7
    y.backward()
    assert x.grad == 7, "each call sets the gradients afresh"


def test_backward_from_an_array_needs_a_seed_of_its_shape():
    x = Variable([1.0, 2.0])
    y = x**2
    with pytest.raises(ValueError, match=r"seed must be given .* \(2,\)"):
        y.backward()
    with pytest.raises(ValueError, match=r"seed must have shape \(2,\), got \(3,\)"):
        y.backward(np.ones(3))
    assert x.grad is None
    y.backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad, [2, 40])


def test_gradients_of_two_nodes_do_not_share_memory():
    x, y = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    G.sum(x + y).backward()
    x.grad[0] = 5
    np.testing.assert_array_equal(y.grad, [1, 1])


def test_a_chain_of_100_000_nodes():
    x = Variable(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    y.backward()
    assert x.grad == pytest.approx(math.exp(100_000 * math.log(1.00001)), rel=1e-9)


def test_a_value_is_copied():
    values = np.array([1.0, 2.0])
    x = Variable(values)
    y = G.sum(x * values)
    values[:] = 0
    y.backward()
    np.testing.assert_array_equal(x.grad, [1, 2])


def test_constants_get_no_gradient():
    y = Variable(2.0) * 3
    y.backward()
    assert y.inputs[1].is_constant
    assert y.inputs[1].grad is None


def test_backward_with_create_graph_gives_second_derivatives():
    x = Variable(2.0)
    (x**4).backward(create_graph=True)
    first = x.grad
    assert first.value == 32
    first.backward()
    assert x.grad == 48


# Values and NumPy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["five", 1j, [1, None], {"a": 1}, object()])
def test_values_must_be_real_numbers(value):
    with pytest.raises(TypeError, match="value must be a real number"):
        Variable(value)
    with pytest.raises(TypeError, match="operand must be a real number"):
        Variable(1.0) + value


def test_value_and_name_are_checked():
    with pytest.raises(TypeError, match="name must be a string or None, got int"):
        Variable(1.0, 3)
    with pytest.raises(TypeError, match="value must be a number or an array, got a Variable"):
        Variable(Variable(1.0))


@pytest.mark.parametrize("left", [np.array([1.0, 2.0]), np.float64(2), np.float32(2), 2, [1, 2]])
def test_plain_operands_on_the_left_give_a_variable(left):
    x = Variable([3.0, 5.0])
    for y in (left + x, left - x, left * x, left / x, left**x):
        assert type(y) is Variable
        assert y.shape == (2,)
    np.testing.assert_array_equal((left - x).value, np.asarray(left) - x.value)
    y = np.array([[1.0, 2.0]]) @ x
    assert type(y) is Variable
    assert y.value == [13]


def test_numpy_functions_apply_to_variables():
    x = Variable(0.3)
    y = np.exp(np.sin(x)) + np.maximum(x, 0.1)
    y.backward()
    assert x.grad == pytest.approx(math.exp(math.sin(0.3)) * math.cos(0.3) + 1, rel=1e-14)


def test_plain_arrays_stay_plain():
    assert not isinstance(G.exp(np.ones(3)), Variable)
    np.testing.assert_allclose(G.softmax([1.0, 2.0]).sum(), 1, rtol=1e-15)


def test_a_list_of_variables_is_not_taken_for_numbers():
    x, y = Variable(1.0), Variable(2.0)
    for function in (G.sum, G.exp, Variable):
        with pytest.raises(TypeError, match=r"a list of Variables, which stack\(\) makes into one"):
            function([x, y])
    G.sum(G.stack([x, y]) ** 2).backward()
    assert (x.grad, y.grad) == (2, 4)


def test_comparison_iteration_and_conversion():
    x = Variable([1.0, 3.0])
    first, second = x
    assert second.value == 3
    assert (x > 2).tolist() == [False, True]
    assert first < second
    assert first <= 1
    assert second >= first
    assert first
    assert not Variable(0)
    with pytest.raises(TypeError):
        list(Variable(1.0))


def test_repr_shows_value_and_name():
    assert repr(Variable(2, "b")) == "Variable(2., 'b')"
    assert len(repr(Variable(np.arange(1e6)))) < 100


# Gates at their special places --------------------------------------------------------------------


def test_relu_and_abs_at_zero():
    x = Variable([-1.0, 0.0, 2.0])
    G.sum(G.relu(x)).backward()
    np.testing.assert_array_equal(x.grad, [0, 0, 1])
    G.sum(G.abs(x)).backward()
    np.testing.assert_array_equal(x.grad, [-1, 0, 1])


def test_equal_largest_elements_share_the_gradient():
    x = Variable([[1.0, 4.0, 4.0], [4.0, 0.0, 1.0]])
    G.max(x).backward()
    np.testing.assert_allclose(x.grad, np.array([[0, 1, 1], [1, 0, 0]]) / 3)
    G.sum(x.max(axis=1)).backward()
    np.testing.assert_allclose(x.grad, [[0, 0.5, 0.5], [1, 0, 0]])
    G.sum(G.min(x, axis=0)).backward()
    np.testing.assert_allclose(x.grad, [[1, 0, 0], [0, 1, 1]])


def test_power_at_zero():
    x = Variable([0.0, 2.0])
    for exponent, expected in [(0, [0, 0]), (1, [1, 1]), (2, [0, 4])]:
        G.sum(x**exponent).backward()
        np.testing.assert_array_equal(x.grad, expected)
    n = Variable(2.0)
    G.sum(x**n).backward()
    assert n.grad == pytest.approx(4 * math.log(2), rel=1e-15)


def test_functions_do_not_overflow():
    x = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    np.testing.assert_allclose(G.sigmoid(x), [0, math.exp(-40), 0.5, 1, 1], rtol=1e-15)
    np.testing.assert_allclose(G.softplus(x), [0, math.exp(-40), math.log(2), 40, 800], rtol=1e-15)
    v = Variable(x)
    G.sum(G.sigmoid(v)).backward()
    # The derivative is even; s (1 - s) would lose every digit at 40.
    np.testing.assert_allclose(v.grad[[1, 3]], math.exp(-40), rtol=1e-14)
    G.logsumexp(v).backward()
    np.testing.assert_array_equal(v.grad, [0, 0, 0, 0, 1])
    assert G.logsumexp(np.full(3, -np.inf)) == -np.inf
    assert G.logsumexp(np.array([1.0, np.inf])) == np.inf


def test_concatenate_needs_arrays_with_axes():
    with pytest.raises(ValueError, match="arrays must be a sequence of arrays"):
        G.concatenate([])
    with pytest.raises(ValueError, match="arrays must be a sequence of arrays"):
        G.concatenate([Variable(1.0), Variable(2.0)])


def test_the_graph_does_not_load_the_core():
    # The package itself loads the core, so that an empty one takes its place.
    code = (
        "import sys, types; package = types.ModuleType('pybackprop');"
        " package.__path__ = [sys.argv[1]]; sys.modules['pybackprop'] = package;"
        " import pybackprop.graph; print([m for m in sys.modules if 'cffi' in m])"
    )
    folder = os.path.dirname(os.path.dirname(G.__file__))
    result = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
