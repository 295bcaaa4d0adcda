"""What a graph of ONNX computes is what the network read from it computes, or it is refused.

ONNX's reference evaluator and, where it is installed, ONNX Runtime say what a graph computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

onnx = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

RNG = np.random.default_rng(11)
FLOAT, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16
INT64, BOOL = TensorProto.INT64, TensorProto.BOOL


class Graph:
    """A graph put together node by node, of inputs `x` and the last value added."""

    def __init__(self, shape: Any = ("N", 4), kind: int = FLOAT, opset: int = 17) -> None:
        self.shape, self.kind, self.opset = shape, kind, opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.functions: list[Any] = []
        self.outputs: list[str] = []
        self.gives = FLOAT

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        node = helper.make_node(kind, inputs, [name], f"n_{kind}", domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def layer(self, x: str = "x", n_out: int = 3, n_in: int = 4, **attributes: Any) -> str:
        return self.add(
            "Gemm",
            x,
            self.constant(RNG.normal(size=(n_in, n_out))),
            self.constant(RNG.normal(size=n_out)),
            **attributes,
        )

    def model(self) -> Any:
        outputs = self.outputs or [self.nodes[-1].output[0]]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "g",
            [value("x", self.kind, self.shape)],
            [value(name, self.gives, ["rows", "columns"]) for name in outputs],
            self.constants,
        )
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("own", 1)]
        model = helper.make_model(graph, opset_imports=imports, functions=self.functions)
        model.ir_version = 8
        return model

    def save(self, path: Path) -> Path:
        onnx.save(self.model(), path)
        return path


def evaluated(path: Path, x: np.ndarray) -> np.ndarray:
    """What ONNX says that a model gives."""
    from onnx.reference import ReferenceEvaluator

    y: np.ndarray = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    return y


def assert_equal(g: Graph, tmp_path: Path, x: Any = None) -> bp.Network:
    """The network gives what ONNX says."""
    path = g.save(tmp_path / "g.onnx")
    net = bp.Network.from_onnx(path)
    if x is None:
        x = RNG.normal(size=(20, 4)).astype(np.float32)
    expected = evaluated(path, x)
    y = net.predict(x.reshape(len(x), -1))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    return net


def assert_refused(g: Graph, tmp_path: Path, match: str) -> None:
    path = g.save(tmp_path / "g.onnx")
    with pytest.raises(ValueError, match=match):
        bp.Network.from_onnx(path)


# ---- casts ----


@pytest.mark.parametrize("to", [INT64, BOOL, TensorProto.INT8, TensorProto.FLOAT8E4M3FN])
@pytest.mark.parametrize("where", ["inputs", "between", "outputs", "weights"])
def test_casts_that_change_numbers_are_refused(to: int, where: str, tmp_path: Path) -> None:
    g = Graph(opset=19)

    def there_and_back(name: str) -> str:
        return g.add("Cast", g.add("Cast", name, to=to), to=FLOAT)

    x = there_and_back("x") if where == "inputs" else "x"
    weight = g.constant(RNG.normal(size=(4, 3)))
    z = g.add("MatMul", x, there_and_back(weight) if where == "weights" else weight)
    if where == "between":
        z = g.layer(there_and_back(g.add("Relu", z)), 3, 3)
    if where == "outputs":
        there_and_back(z)
    assert_refused(g, tmp_path, rf"n_Cast.*casts to type {to}")


def test_casts_between_floats_are_read(tmp_path: Path) -> None:
    g = Graph(kind=DOUBLE)
    g.gives = DOUBLE
    x = g.add("Cast", "x", to=FLOAT)
    weight = g.add("Cast", g.constant([[1, 2, 3]] * 4, np.int64), to=FLOAT)
    product = g.add("Cast", g.add("MatMul", x, weight), to=FLOAT)
    bias = g.add("Cast", g.constant([0.1, 0.2, 0.3], np.float64), to=FLOAT)
    g.add("Cast", g.add("Softmax", g.add("Add", product, bias), axis=-1), to=DOUBLE)
    net = assert_equal(g, tmp_path, RNG.normal(size=(20, 4)))
    assert (net.activations, net.dtype, net.loss) == (("softmax",), np.float32, "cross_entropy")


def test_constants_are_cast_as_they_say(tmp_path: Path) -> None:
    g = Graph()
    weight = g.constant(RNG.normal(size=(4, 3)))
    g.add("MatMul", "x", g.add("Cast", g.add("Cast", weight, to=HALF), to=FLOAT))
    net = assert_equal(g, tmp_path)
    given = numpy_helper.to_array(g.constants[0]).astype(np.float16)
    np.testing.assert_array_equal(net.weights[0], given.T)


def test_constants_of_bfloat16_are_read(tmp_path: Path) -> None:
    values = np.concatenate([RNG.normal(size=9), [1 + 2**-8, 1 + 3 * 2**-8, 1e-40]])
    values = values.astype(np.float32).reshape(4, 3)
    bits = values.view(np.uint32)
    low, high = (bits & 0xFFFF0000).view(np.float32), ((bits & 0xFFFF0000) + 0x10000)
    high = high.astype(np.uint32).view(np.float32)
    half, is_odd = bits & 0xFFFF, (bits >> 16) & 1
    rounded = np.where((half > 0x8000) | ((half == 0x8000) & (is_odd == 1)), high, low)
    kind = TensorProto.BFLOAT16
    for at in range(2):
        g = Graph()
        weight = g.constant(values)
        if at == 0:
            weight = g.add("Cast", weight, to=kind)
        else:
            raw = (rounded.view(np.uint32) >> 16).astype("<u2").tobytes()
            g.constants[-1] = helper.make_tensor(weight, kind, (4, 3), raw, raw=True)
        g.add("MatMul", "x", g.add("Cast", weight, to=FLOAT))
        net = bp.Network.from_onnx(g.save(tmp_path / "g.onnx"))
        np.testing.assert_array_equal(net.weights[0], rounded.T)
    g = Graph()
    g.add("MatMul", "x", g.add("Cast", g.constant([[np.nan, np.inf, 1]] * 4), to=kind))
    net = bp.Network.from_onnx(g.save(tmp_path / "g.onnx"))
    np.testing.assert_array_equal(net.weights[0][:, 0], [np.nan, np.inf, 1])


def test_integer_inputs_are_read_if_they_become_floats_first(tmp_path: Path) -> None:
    x = RNG.integers(-9, 9, size=(20, 4))
    g = Graph(kind=INT64)
    g.layer(g.add("Div", g.add("Cast", "x", to=FLOAT), g.constant(2)))
    assert_equal(g, tmp_path, x)
    g = Graph(kind=INT64)
    g.layer(g.add("Cast", g.add("Div", "x", g.constant(2, np.int64)), to=FLOAT))
    assert_refused(g, tmp_path, "n_Div.*non-floating-point inputs")


# ---- broadcasting ----


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (1, 3)])
@pytest.mark.parametrize("kind", ["Gemm", "Add", "Sub"])
def test_biases_for_every_row_are_read(shape: Any, kind: str, tmp_path: Path) -> None:
    g = Graph()
    weight, bias = g.constant(RNG.normal(size=(4, 3))), g.constant(RNG.normal(size=shape))
    if kind == "Gemm":
        g.add("Gemm", "x", weight, bias, beta=-0.5)
    else:
        g.add(kind, g.add("Identity", g.add("MatMul", "x", weight)), bias)
    assert_equal(g, tmp_path)


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (1, 1, 1), (1, 1, 3), (2,), (0,)])
@pytest.mark.parametrize("kind", ["Gemm", "Add"])
def test_biases_that_differ_between_rows_are_refused(shape: Any, kind: str, tmp_path: Path) -> None:
    g = Graph(shape=(3, 4))
    weight, bias = g.constant(RNG.normal(size=(4, 3))), g.constant(RNG.normal(size=shape))
    if kind == "Gemm":
        g.add("Gemm", "x", weight, bias)
    else:
        g.add("Add", g.add("MatMul", "x", weight), bias)
    assert_refused(g, tmp_path, rf"n_{kind}.*bias of shape")


@pytest.mark.parametrize(
    ("dims", "shape", "fits"),
    [
        (("N", 4), (4,), True),
        (("N", 4), (1, 4), True),
        (("N", 4), (1, 1), True),
        ((4, 4), (4, 1), False),
        ((4, 4), (4, 4), False),
        (("N", 4), (1, 1, 4), False),
        (("N", 4), (1, 1, 1), False),
        (("N", 2, 2), (2, 2), True),
        (("N", 2, 2), (1, 2, 2), True),
        (("N", 1, 4), (4,), True),
        (("N", 2, 2), (2,), False),
        (("N", 4, 1), (4,), False),
        ((2, 2, 2), (2, 1, 1), False),
    ],
)
def test_scalings_by_shape(dims: Any, shape: Any, fits: bool, tmp_path: Path) -> None:
    g = Graph(shape=dims)
    x = g.add("Sub", "x", g.constant(RNG.normal(size=shape)))
    x = g.add("Mul", g.constant(RNG.uniform(1, 2, size=shape)), x)
    g.layer(g.add("Flatten", x) if len(dims) > 2 else x)
    if fits:
        x = RNG.normal(size=(dims[0] if isinstance(dims[0], int) else 5, *dims[1:]))
        net = assert_equal(g, tmp_path, x.astype(np.float32))
        assert net.scaling is not None
    else:
        assert_refused(g, tmp_path, r"n_(Sub|Gemm|Mul)")


def test_inputs_that_broadcasting_makes_wider_are_refused(tmp_path: Path) -> None:
    g = Graph(shape=("N", 1))
    g.layer(g.add("Sub", "x", g.constant([1, 2, 3, 4])))
    assert_refused(g, tmp_path, r"n_Gemm.*takes \(N, 4\), but its input has shape")


# ---- shapes ----


def test_rows_are_examples(tmp_path: Path) -> None:
    """Softmax over axis 1 of three dimensions is another than that of a network."""
    g = Graph(shape=("N", 2, 4))
    product = g.add("MatMul", "x", g.constant(RNG.normal(size=(4, 3))))
    g.add("Softmax", product, axis=1)
    assert_refused(g, tmp_path, r"n_MatMul.*its input has shape")
    for shape in ((), (4,)):
        g = Graph(shape=shape)
        g.add("MatMul", "x", g.constant(RNG.normal(size=(4, 3))))
        assert_refused(g, tmp_path, "no rows")
    g = Graph()
    g.add("MatMul", "x", g.constant(RNG.normal(size=4)))
    assert_refused(g, tmp_path, "n_MatMul.*not a layer")
    g = Graph(shape=(4, 4))
    g.add("MatMul", g.constant(RNG.normal(size=(3, 4))), "x")
    assert_refused(g, tmp_path, "n_MatMul.*not a layer")


@pytest.mark.parametrize("shape", [[0, -1], [-1, 4]])
def test_reshapes_to_rows_are_read(shape: list[int], tmp_path: Path) -> None:
    x = RNG.normal(size=(6, 2, 2)).astype(np.float32)
    g = Graph(shape=("N", 2, 2))
    z = g.layer(g.add("Reshape", "x", g.constant(shape, np.int64)), 1)
    g.add("Reshape", g.add("Tanh", z), g.constant([-1, 1], np.int64))
    assert_equal(g, tmp_path, x)
    g = Graph(shape=("N", 2, 2))
    g.add("Flatten", g.layer(g.add("Flatten", "x")), axis=1)
    assert_equal(g, tmp_path, x)


def test_reshapes_that_cut_rows_otherwise_are_refused(tmp_path: Path) -> None:
    for n_in, shape, more in (
        (4, [-1, 4], {}),
        (2, [-1, 2], {}),
        (8, [0, -1], {"allowzero": 1}),
        (8, [-1], {}),
    ):
        g = Graph(shape=("N", 2, 4) if n_in != 2 else ("N", 4))
        g.layer(g.add("Reshape", "x", g.constant(shape, np.int64), **more), 3, n_in)
        assert_refused(g, tmp_path, "n_Reshape.*one row")
    for axis in (0, 2, -2):
        g = Graph(shape=("N", 2, 2))
        g.layer(g.add("Flatten", "x", axis=axis))
        if axis == -2:
            assert_equal(g, tmp_path, RNG.normal(size=(6, 2, 2)).astype(np.float32))
        else:
            assert_refused(g, tmp_path, "n_Flatten.*one row")
    g = Graph()
    g.add("Reshape", g.layer(), g.constant([-1, 1], np.int64))
    assert_refused(g, tmp_path, "n_Reshape.*one row")


# ---- attributes, versions and domains ----


@pytest.mark.parametrize(
    ("opset", "axis"),
    [
        (7, None),
        (7, 1),
        (7, 0),
        *((opset, axis) for opset in (11, 12, 13, 17) for axis in (None, 1, -1, 0)),
    ],
)
def test_softmax_of_every_version(opset: int, axis: int | None, tmp_path: Path) -> None:
    g = Graph(opset=opset)
    g.add("Softmax", g.layer(), **({} if axis is None else {"axis": axis}))
    if axis == 0:
        assert_refused(g, tmp_path, "n_Softmax")
    else:
        assert assert_equal(g, tmp_path).activations == ("softmax",)


@pytest.mark.parametrize("opset", [11, 12, 17])
def test_dropout_is_left_out_only_if_it_does_nothing(opset: int, tmp_path: Path) -> None:
    g = Graph(opset=opset)
    g.layer(g.add("Dropout", g.layer()), 2, 3)
    assert_equal(g, tmp_path)
    if opset == 11:
        return
    for ratio in (g.constant(0.5), ""):
        for training in (False, True):
            g = Graph(opset=opset)
            ratio = g.constant(0.5) if ratio else ""
            flag = g.constant(training, bool)
            g.layer(g.add("Dropout", g.layer(), ratio, flag), 2, 3)
            if training:
                assert_refused(g, tmp_path, "n_Dropout.*training_mode")
            else:
                assert_equal(g, tmp_path)


@pytest.mark.parametrize("attributes", [{"alpha": 0.5}, {"beta": 2.0}, {"transB": 1}])
def test_attributes_of_gemm(attributes: dict[str, Any], tmp_path: Path) -> None:
    g = Graph()
    z = g.layer(n_out=4, **attributes)
    g.layer(g.add("Tanh", z), 4, **attributes)
    assert_equal(g, tmp_path)
    g = Graph(shape=(4, 4))
    g.layer(transA=1)
    assert_refused(g, tmp_path, "n_Gemm.*transposes its input")


def test_old_operators_are_refused(tmp_path: Path) -> None:
    """Before opset 7 attributes decided how a bias was broadcast, and along which axis."""
    g = Graph(shape=(3, 4), opset=6)
    product = g.add("MatMul", "x", g.constant(RNG.normal(size=(4, 3))))
    g.add("Add", product, g.constant(RNG.normal(size=3)), axis=0, broadcast=1)
    assert_refused(g, tmp_path, "opset 6")


def test_operators_of_other_domains_and_functions_are_named(tmp_path: Path) -> None:
    g = Graph()
    g.add("Relu", g.layer(), domain="own")
    assert_refused(g, tmp_path, r"n_Relu.*own\.Relu")
    for domain in ("", "own"):
        g = Graph()
        body = helper.make_node("Tanh", ["a"], ["b"])
        imports = [helper.make_opsetid("", 17)]
        g.functions.append(helper.make_function(domain, "Relu", ["a"], ["b"], [body], imports))
        g.add("Relu", g.layer(), domain=domain)
        assert_refused(g, tmp_path, "n_Relu.*function of the file's own")


def test_outputs_within_the_graph(tmp_path: Path) -> None:
    g = Graph()
    z = g.layer()
    g.add("Softmax", z)
    g.outputs = [z]
    assert assert_equal(g, tmp_path).activations == ("identity",)
    hidden = g.add("Tanh", z)
    g.layer(hidden, 2, 3)
    g.outputs = [hidden]
    assert_refused(g, tmp_path, "does not come from the last layer")
    g.outputs = [z, hidden]
    assert_refused(g, tmp_path, "2 outputs")


def test_what_differs_only_far_from_zero_is_no_activation(tmp_path: Path) -> None:
    g = Graph()
    z = g.layer()
    late = g.add("Relu", g.add("Sub", z, g.constant(45.0)))
    g.add("Add", g.add("Relu", z), late)
    assert_refused(g, tmp_path, "compute no supported activation")


def test_initialisers_that_are_inputs_too(tmp_path: Path) -> None:
    g = Graph()
    g.layer()
    model = g.model()
    for each in g.constants:
        model.graph.input.append(helper.make_tensor_value_info(each.name, FLOAT, each.dims))
    path = tmp_path / "g.onnx"
    onnx.save(model, path)
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        bp.Network.from_onnx(path).predict(x), evaluated(path, x), rtol=1e-5, atol=1e-6
    )


def test_constants_of_every_kind(tmp_path: Path) -> None:
    g = Graph()
    weight = g.add("Transpose", g.constant(RNG.normal(size=(3, 4))), perm=[1, 0])
    z = g.add("Add", g.add("MatMul", "x", weight), g.add("Constant", value_floats=[1.0, 2.0, 3.0]))
    g.add("Mul", z, g.add("Sigmoid", g.add("Mul", z, g.add("Constant", value_float=1.0))))
    assert assert_equal(g, tmp_path).activations == ("silu",)
    g = Graph()
    g.add("Mul", g.layer(), g.add("Constant", value_string="a"))
    assert_refused(g, tmp_path, "holds no numbers")


def test_a_small_file_cannot_cast_its_way_to_much_memory(tmp_path: Path) -> None:
    g = Graph()
    name = g.constant(np.zeros((200, 500)))
    for at in range(30):
        name = g.add("Cast", name, to=DOUBLE if at % 2 == 0 else FLOAT)
    g.add("MatMul", "x", name)
    assert_refused(g, tmp_path, "outgrow the file")


# ---- random graphs ----

KINDS = ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "Selu", "Softplus", "Identity", "Cast"]
KINDS += ["Dropout", "Neg", "Exp", "Flatten", "Add", "Sub", "Mul", "Div", "Softmax", "Reshape"]


def random_graph(rng: np.random.Generator) -> Graph:
    """A few nodes, with attributes and shapes some of which a network has."""
    g = Graph(shape=(4, 4))
    shapes = [(), (1,), (4,), (1, 4), (4, 1), (4, 4), (1, 1, 4)]

    def constant(shape: Any) -> str:
        return g.constant(rng.uniform(0.5, 2.0, size=shape) * rng.choice([-1, 1]))

    def between(x: str, count: int) -> str:
        for kind in rng.choice(KINDS, size=count):
            if kind in ("Add", "Sub", "Mul", "Div"):
                operands = [x, constant(shapes[rng.integers(len(shapes))])]
                x = g.add(kind, *(operands if rng.random() < 0.8 else operands[::-1]))
            elif kind == "Cast":
                x = g.add("Cast", x, to=int(rng.choice([FLOAT, FLOAT, INT64])))
                x = g.add("Cast", x, to=FLOAT)
            elif kind in ("Flatten", "Softmax"):
                x = g.add(kind, x, axis=int(rng.choice([0, 1, 1])))
            elif kind == "Reshape":
                to = [[-1, 4], [0, -1], [-1, 2]][rng.integers(3)]
                x = g.add("Reshape", x, g.constant(to, np.int64))
            elif kind in ("LeakyRelu", "Elu", "Selu") and rng.random() < 0.3:
                x = g.add(kind, x, alpha=0.3)
            else:
                x = g.add(kind, x)
        return x

    x = between("x", int(rng.integers(3)))
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            alpha, beta = rng.choice([0.5, 1.0, 2.0], size=2)
            more = {"alpha": float(alpha), "beta": float(beta), "transB": int(rng.integers(2))}
            bias = constant(shapes[rng.integers(len(shapes) - 1)])
            x = g.add("Gemm", x, constant((4, 4)), bias, **more)
        else:
            x = g.add("MatMul", x, constant((4, 4)))
            x = g.add("Add", x, constant(shapes[rng.integers(len(shapes))]))
        x = between(x, int(rng.choice([0, 0, 1, 1, 2])))
    return g


def test_random_graphs_are_read_right_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path, read = tmp_path / "g.onnx", 0
    x = rng.normal(size=(4, 4)).astype(np.float32)
    for number in range(1500):
        g = random_graph(rng)
        g.save(path)
        try:
            with np.errstate(all="ignore"):
                expected = evaluated(path, x)
        except Exception:
            continue  # The graph is not valid, as when a broadcast does not fit.
        try:
            net = bp.Network.from_onnx(path)
        except ValueError:
            continue
        read += 1
        y = net.predict(x)
        assert y.shape == expected.shape, number
        scale = np.maximum(1.0, np.abs(expected).max())
        np.testing.assert_allclose(y / scale, expected / scale, atol=1e-5, err_msg=str(number))
    assert read > 150
