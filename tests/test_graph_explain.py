"""The chain rule in words."""

import numpy as np
import pytest

from pybackprop import graph as G
from pybackprop.graph import Variable
from pybackprop.graph._labels import Labels, short


def test_one_path_in_words(capsys):
    a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    u = (b * c).named("u")
    v = (a + u).named("v")
    J = (3 * v).named("J")
    explanation = G.explain(J, b)
    text = """\
J = 3 * v = 33
v = a + u = 11
u = b * c = 6

1 path from J to b

path 1: J -> v -> u -> b
    dJ/dv = 3
    dv/du = 1
    du/db = c = 2
    product: 3 * 1 * 2 = 6

dJ/db = 6
"""
    assert capsys.readouterr().out == text
    assert str(explanation) == text.rstrip()
    assert explanation.gradient == 6
    assert b.grad is None, "explaining leaves the gradients as they are"


def test_the_sum_over_two_paths(capsys):
    x = Variable(2.0, "x")
    g, h = (x**3).named("g"), (5 * x).named("h")
    explanation = G.explain((g * h).named("z"), x)
    assert [path.nodes for path in explanation.paths] == [("z", "g", "x"), ("z", "h", "x")]
    assert [[f.name for f in path.factors] for path in explanation.paths] == [
        ["dz/dg", "dg/dx"],
        ["dz/dh", "dh/dx"],
    ]
    assert [[float(f.value) for f in path.factors] for path in explanation.paths] == [
        [10, 12],
        [8, 5],
    ]
    assert [path.product for path in explanation.paths] == [120, 40]
    assert explanation.gradient == 160
    out = capsys.readouterr().out
    assert "2 paths from z to x" in out
    assert "dg/dx = 3*x**(3-1) = 12" in out
    assert "product: 10 * 12 = 120" in out
    assert "dz/dx = sum over paths = 120 + 40 = 160" in out


def test_a_node_used_twice_by_one_gate_is_two_paths(capsys):
    x = Variable(3.0, "x")
    explanation = G.explain(x * x, x)
    assert explanation.n_paths == len(explanation.paths) == 2
    assert [path.product for path in explanation.paths] == [3, 3]


def test_paths_beyond_the_limit_are_counted_and_summed(capsys):
    x = Variable(1.0, "x")
    y = x
    for _ in range(10):
        y = y + y
    explanation = G.explain(y, x, max_paths=3)
    assert explanation.n_paths == 1024
    assert len(explanation.paths) == 3
    assert explanation.gradient == 1024
    out = capsys.readouterr().out
    assert "1021 more paths left out here; the sum includes them" in out
    assert "dJ/dx = sum over paths = 1 + 1 + 1 + … = 1024" in out


def test_countless_paths_and_long_ones(capsys):
    x = Variable(1.0, "x")
    y = x
    for _ in range(3000):
        y = 0.5 * y + 0.5 * y
    explanation = G.explain(y, x, max_paths=1)
    assert explanation.n_paths == 10**15
    assert explanation.gradient == 1
    assert len(explanation.paths[0].nodes) == 6001
    out = capsys.readouterr().out
    assert "1000000000000000 or more paths" in out
    assert len(out.splitlines()) < 50


def test_arrays_are_shown_short_and_products_are_exact(capsys):
    rng = np.random.default_rng(0)
    W, x = Variable(rng.normal(size=(3, 4)), "W"), rng.normal(size=(5, 4))
    z = (x @ W.T).named("z")
    cost = G.mean(G.tanh(z) * G.relu(z)).named("C")
    explanation = G.explain(cost, W)
    assert explanation.n_paths == 2
    total = sum(path.product for path in explanation.paths)
    np.testing.assert_allclose(total, explanation.gradient, rtol=1e-12)
    cost.backward()
    np.testing.assert_allclose(explanation.gradient, W.grad, rtol=1e-14)
    out = capsys.readouterr().out
    assert "dz/dv1: g -> const1.T @ g" in out
    assert "dv1/dW: g -> g transposed" in out
    assert max(map(len, out.splitlines())) < 120


def test_a_node_that_is_not_below(capsys):
    explanation = G.explain(Variable(1.0, "a") * 2, Variable([1.0, 2.0], "b"))
    assert explanation.n_paths == 0
    np.testing.assert_array_equal(explanation.gradient, [0, 0])
    assert "0 paths from J to b" in capsys.readouterr().out


def test_a_node_explains_itself(capsys):
    x = Variable(2.0, "x")
    explanation = G.explain(x, x)
    assert explanation.gradient == 1
    assert "path 1: x\n    product: 1" in capsys.readouterr().out


def test_bad_arguments():
    x = Variable([1.0, 2.0])
    with pytest.raises(ValueError, match=r"result must hold one number, got shape \(2,\)"):
        G.explain(x, x)
    with pytest.raises(TypeError, match="variable must be a Variable, got float"):
        G.explain(G.sum(x), 1.0)
    with pytest.raises(TypeError, match="result must be a Variable, got int"):
        G.explain(1, x)
    with pytest.raises(ValueError, match="max_paths must be 0 or more, got -1"):
        G.explain(G.sum(x), x, max_paths=-1)


def test_labels_are_unique_and_readable():
    x, y = Variable(1.0, "x"), Variable(2.0, "x")
    v = Variable(3.0, "v1")
    root = G.sum(G.stack([x + y, y * v, 0.5 * x]), keepdims=True)
    labels = Labels(root)
    assert len(set(labels.names.values()) - {"0.5"}) == len(labels.order) - 1
    assert labels[root] == "J"
    assert labels.expression(root).endswith(", keepdims=True)")


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ((slice(1, None), slice(None, None, 2)), "A[1:, ::2]"),
        (0, "A[0]"),
        ((..., None, 1), "A[..., None, 1]"),
        ([0, 2], "A[[…]]"),
    ],
)
def test_indices_are_written_as_in_python(index, text):
    part = Variable(np.ones((3, 4)), "A")[index]
    assert Labels(part).expression(part) == text


def test_every_expression_can_be_written():
    x = Variable([[1.0, 2.0], [3.0, 4.0]], "x")
    nodes = {
        "sum(x, axis=0)": G.sum(x, axis=0),
        "max(x)": G.max(x),
        "reshape(x, shape=(1, 4))": x.reshape(1, 4),
        "transpose(x, axes=(1, 0))": x.transpose(1, 0),
        "softmax(x, axis=-1)": G.softmax(x),
        "concatenate(x, x)": G.concatenate([x, x]),
        "where(…, x, 0)": G.where(x.value > 2, x, 0),
        "x @ x": x @ x,
    }
    for text, node in nodes.items():
        assert Labels(node).expression(node) == text


def test_short_values():
    assert short(33.0) == "33"
    assert short(np.array([1.0, 2.0])) == "(2,) [1 2]"
    assert short(np.arange(12.0).reshape(3, 4), digits=2, items=2) == "(3, 4) [0 1 …]"
    assert short(np.zeros((0, 3))) == "(0, 3) []"
