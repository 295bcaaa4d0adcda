"""Networks as ONNX: valid, equal in ONNX Runtime, and read back from several exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

HIDDEN = [
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "softplus",
    "gelu",
    "silu",
    "mish",
]
RNG = np.random.default_rng(8)
X = RNG.normal(size=(1000, 7)).astype(np.float32)


def network(hidden: str, output: str, **settings: Any) -> bp.Network:
    net = bp.Network([7, 16, 9, 3], activation=hidden, output=output, seed=1, **settings)
    for layer, w in enumerate(net.weights):
        net.set_layer(layer, w, 0.3 * RNG.normal(size=len(w)))
    return net


def by_reference(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(str(path)).run(None, inputs)[0]


def by_runtime(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.mark.parametrize("evaluate", [by_reference, by_runtime])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_others_give_what_predict_gives(hidden: str, evaluate: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for output in (["softmax", *HIDDEN][HIDDEN.index(hidden)], hidden):
        net = network(hidden, output)
        if output != hidden:
            net.set_scaling(RNG.normal(size=7), RNG.uniform(0.5, 1.5, 7))
        net.to_onnx(path)
        onnx.checker.check_model(str(path), full_check=True)
        given = evaluate(path, {"x": X})
        y = net.predict(X)
        assert given.dtype == np.float32
        # Relative to the largest output, as sums that cancel leave the rounding of their terms.
        assert np.abs(given - y).max() / max(1, np.abs(y).max()) <= 1e-6
        back = bp.Network.from_onnx(path)
        assert back.activations == net.activations
        np.testing.assert_array_equal(back.parameters, net.parameters)
        np.testing.assert_array_equal(back.predict(X), y)


@pytest.mark.parametrize("evaluate", [by_reference, by_runtime])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_others_read_float64(hidden: str, evaluate: Any, tmp_path: Path) -> None:
    """ONNX Runtime has operators for all activations but gelu, if they are put together."""
    path = tmp_path / "net.onnx"
    net = network(hidden, hidden, dtype="float64")
    net.to_onnx(path)
    onnx.checker.check_model(str(path), full_check=True)
    x = np.concatenate([X, 1000 * X[:9]]).astype(np.float64)
    back = bp.Network.from_onnx(path)
    assert (back.activations, back.dtype) == (net.activations, np.float64)
    np.testing.assert_array_equal(back.parameters, net.parameters)
    if (hidden, evaluate) == ("gelu", by_runtime):
        pytest.importorskip("onnxruntime")
        with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
            by_runtime(path, {"x": x})
        return
    with np.errstate(all="ignore"):
        y, given = net.predict(x), evaluate(path, {"x": x})
    assert given.dtype == np.float64
    # The reference evaluator's erf, and attributes of ONNX, are of float32.
    tolerance = 1e-13 if hidden != "gelu" else 1e-6
    assert np.abs(given - y).max() / max(1, np.abs(y).max()) <= tolerance


def test_all_else_travels_along(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for dtype in ("float32", "float64"):
        net = network(
            "tanh", "softmax", loss="cross_entropy", dropout=[0.5, 0.1], l2=0.25, dtype=dtype
        )
        net.set_scaling(RNG.normal(size=7), RNG.uniform(0.5, 1.5, 7))
        net.metadata = {"class_names": ["no", "yes", "größer"], "note": [1, None]}
        net.to_onnx(path)
        first = path.read_bytes()
        net.to_onnx(path)
        assert path.read_bytes() == first
        properties = {p.key: p.value for p in onnx.load(path).metadata_props}
        assert properties["class_names"] == '["no", "yes", "größer"]'
        back = bp.Network.from_onnx(path)
        assert back._settings() == net._settings()
        assert back.metadata == net.metadata
        x = X.astype(dtype)
        np.testing.assert_array_equal(back.predict(x), net.predict(x))
        assert bp.Network.from_onnx(path, l2=0.5, seed=9).l2 == 0.5
    bp.Network([2, 2], loss=lambda a, y: (a[:, 0], a)).to_onnx(path)
    assert bp.Network.from_onnx(path).loss == "mse"


class Graph:
    """A graph put together node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n_{kind}", **attributes))
        return name

    def save(self, path: Path, output: str, n_in: int, n_out: int) -> Path:
        real = onnx.TensorProto.FLOAT
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "g",
            [value("in", real, ["N", n_in])],
            [value(output, real, ["N", n_out])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def erf_gelu(g: Graph, z: str) -> str:
    """As PyTorch writes gelu for opsets without it."""
    e = g.add("Erf", g.add("Div", z, g.constant(2**0.5)))
    return g.add("Mul", g.add("Mul", z, g.add("Add", e, g.constant(1))), g.constant(0.5))


OTHERS = {
    "gelu": erf_gelu,
    "silu": lambda g, z: g.add("Mul", g.add("Sigmoid", z), z),
    "mish": lambda g, z: g.add("Mul", z, g.add("Tanh", g.add("Softplus", z))),
    "relu": lambda g, z: g.add("Relu", g.add("Identity", z)),
    "identity": lambda g, z: z,
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_exporters(name: str, tmp_path: Path) -> None:
    """MatMul and Add, activations of several nodes, a scaling by Add and Div."""
    g = Graph()
    h = g.add("Div", g.add("Add", "in", g.constant(RNG.normal(size=4))), g.constant([2, 3, 4, 5]))
    z = g.add(
        "Add",
        g.constant(RNG.normal(size=5)),
        g.add("MatMul", h, g.constant(RNG.normal(size=(4, 5)))),
    )
    z = g.add("MatMul", OTHERS[name](g, z), g.constant(RNG.normal(size=(5, 3))))
    z = g.add("Gemm", z, g.constant(RNG.normal(size=(3, 3))), alpha=0.5)
    out = g.add("Gemm", g.add("Tanh", z), g.constant(RNG.normal(size=(3, 2))), g.constant([1, 2]))
    path = g.save(tmp_path / "g.onnx", g.add("Softmax", out), 4, 2)
    net = bp.Network.from_onnx(path, loss="cross_entropy", seed=3)
    assert net.activations == (name, "identity", "tanh", "softmax")
    assert (net.loss, net.seed) == ("cross_entropy", 3)
    x = RNG.normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_allclose(net.predict(x), by_reference(path, {"in": x}), rtol=0, atol=2e-6)


def refused(tmp_path: Path, build: Any, match: str) -> None:
    g = Graph()
    z = g.add("Gemm", "in", g.constant(np.eye(3)), g.constant([1, 2, 3]))
    path = g.save(tmp_path / "g.onnx", build(g, z), 3, 3)
    with pytest.raises(ValueError, match=match):
        bp.Network.from_onnx(path)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda g, z: g.add("LayerNormalization", z, g.constant([1, 1, 1])), "n_LayerNorm"),
        (lambda g, z: g.add("LeakyRelu", z, alpha=0.3), "n_LeakyRelu.*no supported activation"),
        (lambda g, z: g.add("Gelu", z, approximate="tanh"), "n_Gelu.*no supported activation"),
        (lambda g, z: g.add("HardSwish", z), "n_HardSwish"),
        (lambda g, z: g.add("Mul", z, g.constant([1, 2, 3])), "n_Mul"),
        (lambda g, z: g.add("Softmax", g.add("Tanh", z)), "n_Softmax"),
        (lambda g, z: g.add("Tanh", g.add("Softmax", z)), "n_Tanh"),
        (lambda g, z: g.add("Add", z, "in"), "n_Add.*follow each other"),
        (lambda g, z: g.add("Gemm", z, "in", transB=0), "n_Gemm"),
        (lambda g, z: g.add("Gemm", z, g.constant(np.eye(3)), z), "n_Gemm"),
    ],
)
def test_nodes_that_no_network_has_are_named(build: Any, match: str, tmp_path: Path) -> None:
    refused(tmp_path, build, match)


def test_malformed_files(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    with pytest.raises(FileNotFoundError):
        bp.Network.from_onnx(path)
    network("tanh", "softmax").to_onnx(path)
    raw = path.read_bytes()
    for data in (b"", b"no model", raw[:100], raw[: len(raw) // 2]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="holds no network"):
            bp.Network.from_onnx(path)
    with pytest.raises(TypeError, match="output is that of the file"):
        bp.Network.from_onnx(path, output="tanh")


def test_damage_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    net = bp.Network([3, 4, 2], activation="gelu", output="softmax", seed=0)
    net.set_scaling([1, 2, 3], [1, 2, 3])
    net.to_onnx(path)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(raw)
        at = int(rng.integers(len(data)))
        if rng.random() < 0.5:
            data[at] ^= 1 << int(rng.integers(8))
        else:
            del data[at : at + int(rng.integers(1, 5))]
        path.write_bytes(data)
        try:
            bp.Network.from_onnx(path)
        except ValueError:
            refused += 1
    assert refused > 200
