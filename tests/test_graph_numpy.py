"""Variables among plain numbers: NumPy's functions, conversions and assignment."""

import math

import numpy as np
import pytest

from pybackprop import graph as G
from pybackprop.graph import Variable

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))

# NumPy called the shape newshape before 2.1.
SHAPE = "shape" if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else "newshape"

FUNCTIONS = {
    "sum": lambda x: np.sum(x) ** 2,
    "sum of an axis": lambda x: np.sum(np.sum(x, axis=0, keepdims=True) ** 2),
    "mean": lambda x: np.mean(x) ** 2,
    "mean of an axis": lambda x: np.sum(np.mean(x, 1) ** 2),
    "max": lambda x: np.max(x) * np.min(x),
    "max of an axis": lambda x: np.sum(np.max(x, axis=1) * np.amin(x, axis=1, keepdims=False)),
    "where": lambda x: np.sum(np.where(x > 0, x**2, 3 * x)),
    "where of numbers": lambda x: np.sum(np.where(x > 0, x, 0)),
    "clip": lambda x: np.sum(np.clip(x, -0.5, 0.7) * B),
    "clip from below": lambda x: np.sum(np.clip(x, -0.5, None) * B),
    "reshape": lambda x: np.sum(np.reshape(x, (4, 3)) @ B),
    "reshape by name": lambda x: np.sum(np.reshape(x, **{SHAPE: (4, 3)}) @ B),
    "transpose": lambda x: np.sum(np.transpose(x) @ B),
    "transpose by axes": lambda x: np.sum(np.transpose(x, (1, 0)) @ B),
    "broadcast_to": lambda x: np.sum(np.broadcast_to(x, (2, 3, 4)) ** 2),
    "concatenate": lambda x: np.sum(np.concatenate([x, B, 2 * x], axis=1) ** 2),
    "stack": lambda x: np.sum(np.stack([x[0], B[1], x[2]]) ** 2),
    "stack by name": lambda x: np.sum(np.stack(arrays=[x[0], x[2]], axis=0) ** 2),
    "sums by name": lambda x: np.sum(np.sum(a=x, axis=0) * np.max(a=x, axis=0) * np.mean(a=x)),
    "transpose and broadcast by name": lambda x: np.sum(
        np.broadcast_to(array=np.transpose(a=x, axes=(1, 0)), shape=(2, 4, 3)) ** 2
    ),
    "dot": lambda x: np.sum(np.dot(x, B.T)),
    "dot of a number": lambda x: np.sum(np.dot(3.0, x)),
    "ufuncs": lambda x: np.sum(np.exp(np.sin(x)) + np.maximum(x, 0.1) - np.tanh(x) / np.cos(B)),
    "an array on the left": lambda x: np.sum((B + x) * (B - x) / (B * x)),
    "shape": lambda x: np.sum(x) * np.size(x) / np.shape(x)[0] * np.ndim(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numpy_have_the_derivative_of_their_gate(name):
    f = FUNCTIONS[name]
    x = Variable(A)
    y = f(x)
    assert type(y) is Variable
    assert y.value == pytest.approx(f(A), rel=1e-14), "as NumPy itself on numbers"
    np.testing.assert_allclose(G.grad(f)(A), G.numerical_gradient(f, A), rtol=1e-6, atol=1e-8)


def test_questions_are_answered_by_values():
    x = Variable([-1.0, np.nan, np.inf])
    assert np.isnan(x).tolist() == [False, True, False]
    assert np.isfinite(x).tolist() == [True, False, False]
    assert (np.zeros(3) < x).tolist() == [False, False, True]
    assert np.greater(x, 0).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: np.arctan(x), ["np.arctan", "pybackprop.graph", ".value"]),
        (lambda x: np.linalg.norm(x), ["np.linalg.norm has", "pybackprop.graph", ".value"]),
        (lambda x: np.cumsum(x), ["np.cumsum", ".value"]),
        (lambda x: np.add.reduce(x), ["np.add.reduce", ".value"]),
        (lambda x: np.sum(x, dtype=np.float32), ["np.sum", "dtype"]),
        (lambda x: np.mean(x, out=np.zeros(())), ["np.mean", "out"]),
        (lambda x: np.max(x, initial=0.0), ["np.max", "initial"]),
        (lambda x: np.stack([x, x], axis=1), ["np.stack", "axis"]),
        (lambda x: np.stack([x, x], axis=-1), ["np.stack supports only axis=0", "axis=-1"]),
        (lambda x: np.concatenate([x, x], axis=None), ["np.concatenate", "axis=None"]),
        (lambda x: np.min(x, where=[True, False]), ["np.min", "where"]),
        (lambda x: np.broadcast_to(x, (3, 2), subok=True), ["np.broadcast_to", "subok"]),
        (lambda x: np.where(x), ["np.where(condition) needs plain numbers", ".value"]),
        (lambda x: np.where(x, x, 0), ["np.where needs a condition", "x > 0", ".value"]),
        (lambda x: np.exp(x, out=np.zeros(2)), ["np.exp", "out", "written to"]),
        (lambda x: np.equal(x, 1.0), ["np.equal", ".value"]),
        (lambda x: np.asarray(x), [".value", "stack()"]),
        (lambda x: np.array([x, x]), [".value", "stack()"]),
        (
            lambda x: np.add(x, 1, where=[True, False]),
            ["np.add does not support where for Variables; use"],
        ),
        (lambda x: np.add(x, 1, where=True), ["np.add does not support where for Variables; use"]),
        (lambda x: np.exp(x, dtype=np.float32), ["np.exp does not support dtype"]),
    ],
)
def test_what_would_lose_the_derivative_is_refused_by_name(call, words):
    with pytest.raises(TypeError) as caught:
        call(Variable([1.0, 2.0]))
    for word in words:
        assert word in str(caught.value)


def test_an_array_is_not_added_to_in_place():
    total = np.zeros(2)
    with pytest.raises(TypeError, match=r"x = x \+ y"):
        total += Variable([1.0, 2.0])
    np.testing.assert_array_equal(total, 0)


@pytest.mark.parametrize(
    "f", [math.sin, math.exp, math.sqrt, math.floor, float, int, complex, lambda x: [0, 1][x]]
)
def test_plain_functions_are_refused_and_have_no_silent_zero(f):
    with pytest.raises(TypeError):
        f(Variable(2.0))
    with pytest.raises(TypeError):
        G.grad(f)(1.0)


def test_the_refusal_of_math_names_what_to_use():
    with pytest.raises(TypeError, match=r"math\.sin\(x\) use graph\.sin\(x\).*x\.value"):
        math.sin(Variable(2.0))
    assert G.grad(G.sin)(1.0) == pytest.approx(math.cos(1.0), rel=1e-15)


def test_numbers_can_be_read_written_out_and_asked():
    x = Variable(2.5, "x")
    assert float(x.value) == 2.5
    assert f"{x:.3f}, {x}, {x!r}" == "2.500, Variable(2.5, 'x'), Variable(2.5, 'x')"
    assert x
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Variable([1.0, 2.0]))


def test_the_value_of_a_leaf_can_be_assigned():
    x = Variable([1, 2], "x")
    x.value = [3, 5]
    assert x.value.dtype == np.float64
    y = G.sum(x**2)
    y.backward()
    np.testing.assert_array_equal(x.grad, [6, 10])
    x.value = x.value - 0.5 * x.grad
    np.testing.assert_array_equal(x.value, [0, 0])
    n = Variable(1.0, "n")
    n.value = 3
    assert "3" in (n * 2).to_svg()


def test_a_wrong_value_is_refused_and_changes_nothing():
    x = Variable([1.0, 2.0], "x")
    y = x**2
    with pytest.raises(TypeError, match="value must be a real number"):
        x.value = "three"
    with pytest.raises(ValueError, match=r"value must keep the shape \(2,\), got \(\)"):
        x.value = 3.0
    with pytest.raises(AttributeError, match=r"result of power.*assign to a leaf"):
        y.value = [1.0, 2.0]
    np.testing.assert_array_equal(x.value, [1, 2])
    np.testing.assert_array_equal(y.value, [1, 4])


@pytest.mark.parametrize("lr", ["a", True, [0.1], 1j])
def test_minimize_names_a_learning_rate_that_is_no_number(lr):
    with pytest.raises(TypeError, match="lr must be a positive number, got"):
        G.minimize(lambda x: x**2, 1.0, lr=lr)
