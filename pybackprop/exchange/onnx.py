"""Networks to and from ONNX, with the package onnx.

A file is read by what it computes: what lies between two matrix products is evaluated at a few
points and compared with the activations, so that it does not matter of which nodes an exporter has
made them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import ACTIVATIONS, FLOAT32, FLOAT64, Array
from ..kernels import activation as evaluate
from ..settings import as_metadata
from ..untrusted import DAMAGE, explain, open_regular, parse_json
from .atomic import write_atomically
from .onnx_wire import check_wire
from .torch import Layer, build

if TYPE_CHECKING:
    from ..network import Network

_ENTRY = "pybackprop"
_SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}

# Our name: the nodes that compute it, each with its attributes.
_NODES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "identity": [],
    "sigmoid": [("Sigmoid", {})],
    "tanh": [("Tanh", {})],
    "relu": [("Relu", {})],
    "leaky_relu": [("LeakyRelu", {"alpha": 0.01})],
    "elu": [("Elu", {"alpha": 1.0})],
    "selu": [("Selu", _SELU)],
    "softplus": [("Softplus", {})],
    "gelu": [("Gelu", {})],
    "silu": [("Sigmoid", {}), ("Mul", {})],
    "mish": [("Mish", {})],
    "softmax": [("Softmax", {"axis": 1})],
}
_OPSETS = {"gelu": 20, "mish": 18}
_LEAST_OPSET = 13
# So many parameters any file may have; a larger one, as many as it has bytes.
_FREE_PARAMETERS = 1_000_000

# Where activations are told apart, and how much of a difference counts.
_POINTS = np.concatenate([np.linspace(-6.0, 6.0, 49), [-30.0, -0.01, 0.01, 30.0]])
_TOLERANCE = 1e-6

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu(z: Array, approximate: bytes = b"none") -> Array:
    if approximate != b"none":
        return 0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))
    erf: Array = _erf(z / math.sqrt(2.0))
    return 0.5 * z * (1.0 + erf)


def _softplus(z: Array) -> Array:
    return np.logaddexp(0.0, z)


def _elu(z: Array, alpha: float = 1.0, gamma: float = 1.0) -> Array:
    return gamma * np.where(z > 0.0, z, alpha * np.expm1(np.minimum(z, 0.0)))


def _selu(z: Array, alpha: float = _SELU["alpha"], gamma: float = _SELU["gamma"]) -> Array:
    return _elu(z, alpha, gamma)


def _leaky_relu(z: Array, alpha: float = 0.01) -> Array:
    return np.where(z > 0.0, z, alpha * z)


# What a node between two products does to its operands; attributes are keyword arguments.
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Identity": lambda z: z,
    "Dropout": lambda z, *_, **__: z,
    "Sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "Tanh": np.tanh,
    "Relu": lambda z: np.maximum(z, 0.0),
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Selu": _selu,
    "Softplus": _softplus,
    "Gelu": _gelu,
    "Mish": lambda z: z * np.tanh(_softplus(z)),
    "Swish": lambda z, alpha=1.0: z / (1.0 + np.exp(-alpha * z)),
    "Erf": _erf,
    "Exp": np.exp,
    "Log": np.log,
    "Neg": np.negative,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


def save_onnx(network: Network, path: Any) -> None:
    """Write a network as ONNX; see `Network.to_onnx`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    real = TensorProto.DOUBLE if network.dtype == FLOAT64 else TensorProto.FLOAT
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: Array) -> str:
        constants.append(numpy_helper.from_array(np.array(values, network.dtype), name))
        return name

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    value = "x"
    if network.scaling is not None:
        shift, scale = network.scaling
        value = node("Sub", [value, constant("shift", shift)], "centred")
        value = node("Mul", [value, constant("scale", scale)], "scaled")
    for layer, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        names = [constant(f"layers.{layer}.weight", w), constant(f"layers.{layer}.bias", b)]
        z = value = node("Gemm", [value, *names], f"z{layer}", transB=1)
        for kind, attributes in _NODES[network.activations[layer]]:
            inputs = [z, value] if kind == "Mul" else [value]
            value = node(kind, inputs, f"{kind.lower()}{layer}", **attributes)
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", real, ["N", network.widths[0]])],
        [helper.make_tensor_value_info("y", real, ["N", network.widths[-1]])],
        constants,
    )
    opset = max(_OPSETS.get(name, _LEAST_OPSET) for name in network.activations)
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, producer_name=_ENTRY, opset_imports=imports)
    model.ir_version = helper.find_min_ir_version_for(imports)
    helper.set_model_props(model, _properties(network))
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    write_atomically(path, lambda file: file.write(data))


def _properties(network: Network) -> dict[str, str]:
    """Return what the graph does not tell, as metadata_props."""
    settings = network._settings()
    if not isinstance(settings["loss"], str):
        del settings["loss"]
    metadata = as_metadata(network.metadata)
    text = json.dumps({"settings": settings, "metadata": metadata}, allow_nan=False)
    found = {_ENTRY: text}
    for key in ("class_names", "feature_names", "target_names"):
        if network.metadata.get(key) is not None:
            found[key] = json.dumps(network.metadata[key], ensure_ascii=False)
    return found


def load_onnx(cls: type[Network], path: Any, settings: dict[str, Any]) -> Network:
    """Return the network in an ONNX file; see `Network.from_onnx`."""
    import onnx
    from google.protobuf.message import DecodeError, EncodeError

    for name in ("activation", "output", "dtype"):
        if name in settings:
            raise TypeError(f"{name} is that of the file and cannot be given")
    with open_regular(path) as file:
        data = file.read()
    try:
        check_wire(data)
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        return _Reader(model, len(data)).build(cls, settings)
    except (*DAMAGE, DecodeError, EncodeError, onnx.checker.ValidationError) as error:
        raise ValueError(f"{os.fspath(path)!r} holds no network: {explain(error)}") from error


class _Reader:
    """Follows the graph from its input to its output.

    `values` has the tensors of the part that is being read: before the first layer pairs of shift
    and scale, after it what a unit is at _POINTS, or the word softmax.
    """

    def __init__(self, model: Any, size: int) -> None:
        graph = model.graph
        self.model = model
        # Layers may share a tensor, so that a small file can have any number of parameters.
        self.room = max(_FREE_PARAMETERS, size)
        self.constants: dict[str, Array] = {
            tensor.name: _to_array(tensor) for tensor in graph.initializer
        }
        inputs = [each.name for each in graph.input if each.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ValueError(
                f"it has {len(inputs)} inputs and {len(graph.output)} outputs in place of one each"
            )
        self.layers: list[Layer] = []
        self.scaling: tuple[Array, Array] | None = None
        self.values: dict[str, Any] = {inputs[0]: (np.zeros(1), np.ones(1))}
        self.product: str | None = None  # what a MatMul gave, which lacks its bias
        self.path: list[str] = []  # the nodes since the last layer
        for node in graph.node:
            self._read(node)
        self._end_layer(graph.output[0].name)

    def _read(self, node: Any) -> None:
        """Take one node."""
        from onnx import helper

        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        where = f"node {node.name or node.output[0]!r} ({kind})"
        if kind == "Constant" and "value" in attributes:
            self.constants[node.output[0]] = _to_array(attributes["value"])
            return
        names = [name for name in node.input if name]
        unknown = [name for name in names if name not in self.values and name not in self.constants]
        if unknown or not names:
            raise ValueError(f"{where} takes {unknown}, but layers must follow each other")
        if names[0] in self.constants and kind in ("Identity", "Cast"):
            self.constants[node.output[0]] = self.constants[names[0]]
        elif kind in ("Gemm", "MatMul"):
            self._begin_layer(where, kind, names, attributes)
            self.values = {node.output[0]: _POINTS}
            self.product = node.output[0] if kind == "MatMul" else None
            self.path = []
        elif kind == "Add" and self.product in names and self._is_bias(names):
            self._add_bias(where, names)
            self.values = {node.output[0]: _POINTS}
            self.product = None
        else:
            self.path.append(where)
            self.values[node.output[0]] = self._apply(where, kind, names, attributes)

    def _apply(self, where: str, kind: str, names: list[str], attributes: dict[str, Any]) -> Any:
        """Return what a node makes of its operands."""
        if kind == "Cast" or (kind == "Flatten" and not self.layers and attributes == {"axis": 1}):
            return self.values[names[0]]
        if kind == "Softmax" and self.values[names[0]] is _POINTS:
            if attributes.get("axis", 1) in (1, -1):
                return "softmax"
        elif kind in _ELEMENTWISE:
            if not self.layers:
                return self._scale(where, kind, names)
            if kind == "Dropout":
                return self.values[names[0]]
            if all(self._is_scalar(name) for name in names):
                operands = [
                    self.values[name] if name in self.values else self.constants[name].item()
                    for name in names
                ]
                with np.errstate(all="ignore"):
                    return _ELEMENTWISE[kind](*operands, **attributes)
        raise ValueError(f"{where} is nothing that a network can have there")

    def _is_scalar(self, name: str) -> bool:
        """Tell whether an operand is the same function, or number, for every unit."""
        if name in self.values:
            return not isinstance(self.values[name], str)
        return self.constants[name].size == 1

    def _scale(self, where: str, kind: str, names: list[str]) -> Any:
        """Return shift and scale after a node before the first layer."""
        value = self.values.get(names[0])
        if kind in ("Identity", "Dropout"):
            return value
        if value is None or len(names) != 2 or names[1] not in self.constants:
            raise ValueError(f"{where} is no scaling of the inputs")
        constant = _real(self.constants[names[1]], where).astype(np.float64).ravel()
        shift, scale = value
        with np.errstate(all="ignore"):
            if kind in ("Add", "Sub"):
                return shift + (constant if kind == "Sub" else -constant) / scale, scale
            if kind in ("Mul", "Div"):
                return shift, scale * constant if kind == "Mul" else scale / constant
        raise ValueError(f"{where} is no scaling of the inputs")

    def _begin_layer(
        self, where: str, kind: str, names: list[str], attributes: dict[str, Any]
    ) -> None:
        """Take a product; what its operand has become since the last one is an activation."""
        weight = self.constants.get(names[1])
        if names[0] not in self.values or weight is None or weight.ndim != 2:
            raise ValueError(f"{where} is not a layer with constant weights")
        if attributes.get("transA", 0):
            raise ValueError(f"{where} transposes its input")
        weight = _real(weight if attributes.get("transB", 0) else weight.T, where)
        self.room -= weight.size
        if self.room < 0:
            raise ValueError("its layers share so many weights that they outgrow the file")
        with np.errstate(all="ignore"):
            weight = np.asarray(weight * attributes.get("alpha", 1.0), weight.dtype)
        bias = np.zeros(len(weight))
        if len(names) > 2:
            if names[2] not in self.constants:
                raise ValueError(f"{where} has a bias that is not constant")
            with np.errstate(all="ignore"):
                bias = _real(self.constants[names[2]], where) * attributes.get("beta", 1.0)
        if self.layers:
            self._end_layer(names[0])
        else:
            self._keep_scaling(self.values[names[0]], weight.shape[1])
        self.layers.append(Layer(weight, self._fit(where, bias)(len(weight))))

    @staticmethod
    def _fit(where: str, bias: Array) -> Callable[[int], Array]:
        """Return a function that gives a bias the length of a layer."""

        def fit(length: int) -> Array:
            if bias.size not in (1, length):
                raise ValueError(f"{where} has a bias of shape {bias.shape}")
            return np.broadcast_to(bias.ravel(), length)

        return fit

    def _is_bias(self, names: list[str]) -> bool:
        return any(name in self.constants for name in names)

    def _add_bias(self, where: str, names: list[str]) -> None:
        """Take the Add that follows a MatMul."""
        bias = next(self.constants[name] for name in names if name in self.constants)
        bias = _real(bias, where)
        layer = self.layers[-1]
        self.layers[-1] = layer._replace(bias=self._fit(where, bias)(len(layer.weight)))

    def _keep_scaling(self, value: Any, width: int) -> None:
        shift, scale = (np.broadcast_to(each, width) for each in value)
        if shift.any() or (scale != 1.0).any():
            self.scaling = shift, scale

    def _end_layer(self, name: str) -> None:
        """Find the activation that led from the last layer to a tensor."""
        if not self.layers:
            raise ValueError("it has no layer")
        value = self.values.get(name)
        if value is None:
            raise ValueError(f"{name!r} does not come from the last layer")
        found = value if isinstance(value, str) else _recognise(value)
        if found is None:
            raise ValueError(f"{', '.join(self.path)}: together no activation of a network")
        self.layers[-1] = self.layers[-1]._replace(activation=found)

    def build(self, cls: type[Network], settings: dict[str, Any]) -> Network:
        """Return the network, with all that the file's properties tell where they fit it."""
        names = [layer.activation for layer in self.layers]
        read: dict[str, Any] = {"activation": names[:-1], "output": names[-1]}
        known, metadata = self._properties()
        widths = [self.layers[0].weight.shape[1], *(len(layer.weight) for layer in self.layers)]
        if known.get("widths") == widths and all(known.get(key) == read[key] for key in read):
            read = {**known, **settings}
            del read["widths"]
        else:
            read = {**settings, **read}
        network = build(cls, self.layers, self.scaling, read)
        network.metadata = metadata
        return network

    def _properties(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings and the metadata that `save_onnx` left."""
        properties = {each.key: each.value for each in self.model.metadata_props}
        kept = parse_json(properties.get(_ENTRY, "{}"))
        if not isinstance(kept, dict):
            raise ValueError("its property pybackprop is malformed")
        settings, metadata = kept.get("settings", {}), kept.get("metadata", {})
        if not isinstance(settings, dict) or not isinstance(metadata, dict):
            raise ValueError("its property pybackprop is malformed")
        return settings, metadata


def _to_array(tensor: Any) -> Array:
    """Return a tensor as an array; its dimensions are those that it states."""
    from onnx import numpy_helper

    if any(length < 0 for length in tensor.dims):
        raise ValueError(f"tensor {tensor.name!r} has the shape {list(tensor.dims)}")
    array: Array = numpy_helper.to_array(tensor)
    return array


def _real(values: Array, where: str) -> Array:
    """Return parameters in the type of a network with such."""
    if values.dtype.kind != "f":
        raise ValueError(f"{where} has weights of {values.dtype}")
    with np.errstate(all="ignore"):
        return values.astype(FLOAT64 if values.dtype == FLOAT64 else FLOAT32, copy=False)


def _recognise(values: Array) -> str | None:
    """Return the activation that has these values at _POINTS, or None."""
    for name in ACTIVATIONS:
        if name != "softmax":
            expected = evaluate(name, _POINTS)
            if (np.abs(values - expected) <= _TOLERANCE * np.maximum(1.0, np.abs(expected))).all():
                return name
    return None
