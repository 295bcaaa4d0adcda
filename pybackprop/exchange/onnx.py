"""Networks to and from ONNX, with the package onnx."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import FLOAT64, Array
from .._optional import optional
from ..files.read import DAMAGE, explain, open_regular
from ..files.write import write_atomically
from ..settings import as_metadata
from .onnx_nodes import DOUBLE_NODES, LEAST_OPSET, NODES, OPSETS
from .onnx_read import Reader
from .onnx_wire import check_wire

if TYPE_CHECKING:
    from ..model import Kind, Model

_ENTRY = "pybackprop"


def save_onnx(network: Model, path: Any) -> None:
    """Write a network as ONNX; see `Network.to_onnx`."""
    import_onnx()
    write_graph(path, Writer(network), _properties(network))


def import_onnx() -> None:
    """Raise ModuleNotFoundError if there is no package to write ONNX with."""
    with optional("onnx", "writing an ONNX file"):
        import onnx  # noqa: F401


def write_graph(path: Any, writer: Writer, properties: dict[str, str]) -> None:
    """Write the graph of a network from x, (N, n_0), to y, (N, n_L), atomically."""
    import onnx
    from onnx import TensorProto, helper

    network = writer.network
    real = TensorProto.DOUBLE if network.dtype == FLOAT64 else TensorProto.FLOAT
    writer.write()
    graph = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info("x", real, ["N", network.widths[0]])],
        [helper.make_tensor_value_info("y", real, ["N", network.widths[-1]])],
        writer.constants,
    )
    opset = max(OPSETS.get(node.op_type, LEAST_OPSET) for node in writer.nodes)
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, producer_name=_ENTRY, opset_imports=imports)
    model.ir_version = helper.find_min_ir_version_for(imports)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    write_atomically(path, lambda file: file.write(data))


class Writer:
    """Puts the nodes and the constants of the graph together."""

    axis = 1  # of the outputs, for softmax

    def __init__(self, network: Model) -> None:
        self.network = network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def write(self) -> None:
        """Add the nodes, from the tensor x to the tensor y, and the constants."""
        network, value = self.network, "x"
        if network.scaling is not None:
            shift, scale = network.scaling
            value = self._node("Sub", [value, self._constant("shift", shift)], "centred")
            value = self._node("Mul", [value, self._constant("scale", scale)], "scaled")
        for layer, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
            names = [
                self._constant(f"layers.{layer}.weight", w),
                self._constant(f"layers.{layer}.bias", b),
            ]
            z = self._node("Gemm", [value, *names], f"z{layer}", transB=1)
            value = self._activation(layer, z)
        self.nodes[-1].output[0] = "y"

    def _activation(self, layer: int, z: str) -> str:
        """Add the nodes of an activation; return what they give."""
        table = DOUBLE_NODES if self.network.dtype == FLOAT64 else NODES
        results: list[str] = []
        for kind, inputs, attributes in table[self.network.activations[layer]]:
            name = f"{kind.lower()}{layer}"
            if name in results:
                name = f"{name}.{len(results)}"
            operands = [
                self._constant(f"{name}.constant", np.array(each))
                if isinstance(each, float)
                else results[each]
                if isinstance(each, int)
                else z
                for each in inputs
            ]
            if "axis" in attributes:
                attributes = {**attributes, "axis": self.axis}
            results.append(self._node(kind, operands, name, **attributes))
        return results[-1] if results else z

    def _constant(self, name: str, values: Array) -> str:
        from onnx import numpy_helper

        dtype = self.network.dtype
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def _node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def _properties(network: Model) -> dict[str, str]:
    """Return what the graph does not tell, as metadata_props."""
    settings = network._settings()
    if not isinstance(settings["loss"], str):
        del settings["loss"]
    metadata = as_metadata(network.metadata)
    text = json.dumps({"settings": settings, "metadata": metadata}, allow_nan=False)
    return {_ENTRY: text, **names(network)}


def names(network: Model) -> dict[str, str]:
    """Return the names of classes, inputs and targets as metadata_props."""
    found = {}
    for key in ("class_names", "feature_names", "target_names"):
        if network.metadata.get(key) is not None:
            found[key] = json.dumps(network.metadata[key], ensure_ascii=False)
    return found


def load_onnx(cls: type[Kind], path: Any, settings: dict[str, Any]) -> Kind:
    """Return the network in an ONNX file; see `Network.from_onnx`."""
    with optional("onnx", "reading an ONNX file"):
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
        return Reader(model, len(data)).build(cls, settings)
    except (*DAMAGE, DecodeError, EncodeError, onnx.checker.ValidationError) as error:
        raise ValueError(f"{os.fspath(path)!r} holds no network: {explain(error)}") from error
