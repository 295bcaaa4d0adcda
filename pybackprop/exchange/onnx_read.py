"""The graph of an ONNX file, followed from its input to its output.

It is read by what it computes: the nodes between two matrix products are evaluated at a few points
and compared with the activations, so it does not matter which nodes an exporter used. An operand is
accepted only if ONNX broadcasts it in the way that a network does.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._core import FLOAT32, FLOAT64, Array
from ..files.read import parse_json
from .layers import Layer, build
from .onnx_nodes import ELEMENTWISE, POINTS, recognise

if TYPE_CHECKING:
    from ..model import Kind

# In older ones, attributes control broadcasting, and Dropout acts unless an attribute says no.
_LEAST_OPSET = 7
# Any file may have this many parameters; a larger file may have as many as it has bytes.
_FREE_PARAMETERS = 1_000_000
_DEFAULT_DOMAIN = ("", "ai.onnx")
# Types of tensors (TensorProto.DataType) between which a cast rounds at most. NumPy has no
# bfloat16: its numbers are kept as float32.
_BFLOAT16 = 16
_REAL_TYPES = {1: np.float32, 10: np.float16, 11: np.float64, _BFLOAT16: np.float32}
# Operators that leave the numbers of a tensor as they are.
_PASSING = ("Cast", "Identity", "Dropout", "Flatten", "Reshape")


class _Inputs(NamedTuple):
    """The inputs on their way to the first layer: (x - shift) * scale.

    `dims` is the shape, with None for a length that is not stated; `real` tells whether the tensor
    is of a floating-point type.
    """

    shift: Array
    scale: Array
    dims: tuple[int | None, ...]
    real: bool


class _Node(NamedTuple):
    """A node, with its attributes as Python's values."""

    where: str
    kind: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


class Reader:
    """Follows the graph from its input to its output.

    `values` has the tensors of the part that is being read: `_Inputs` before the first layer, and
    after it the values of a unit at POINTS, or the word softmax.
    """

    def __init__(self, model: Any, size: int) -> None:
        graph = model.graph
        self.model = model
        _check_opset(model)
        # Layers may share a tensor, so a small file can have any number of parameters.
        self.room = max(_FREE_PARAMETERS, size)
        self.constants: dict[str, Array] = {
            tensor.name: _to_array(tensor) for tensor in graph.initializer
        }
        inputs = [each for each in graph.input if each.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ValueError(
                f"it has {len(inputs)} inputs and {len(graph.output)} outputs in place of one each"
            )
        self.layers: list[Layer] = []
        self.scaling: tuple[Array, Array] | None = None
        self.values: dict[str, Any] = {inputs[0].name: _first(inputs[0])}
        self.product: str | None = None  # what a MatMul gave, which lacks its bias
        self.path: list[str] = []  # the nodes since the last layer
        functions = {(each.domain, each.name) for each in model.functions}
        for node in graph.node:
            self._read(_as_node(node, functions))
        self._end_layer(graph.output[0].name)

    def _read(self, node: _Node) -> None:
        """Take one node."""
        if node.kind == "Constant":
            self.constants[node.output] = _constant(node)
            return
        names = [name for name in node.inputs if name]
        unknown = [name for name in names if name not in self.values and name not in self.constants]
        if unknown or not names:
            raise ValueError(f"{node.where} takes {unknown}, but layers must follow each other")
        if names[0] in self.constants and node.kind in ("Identity", "Cast", "Transpose"):
            self.constants[node.output] = self._fold(node, self.constants[names[0]])
        elif node.kind in ("Gemm", "MatMul"):
            self._begin_layer(node)
            self.values = {node.output: POINTS}
            self.product = node.output if node.kind == "MatMul" else None
            self.path = []
        elif self._is_bias(node):
            self._add_bias(node)
            self.values = {node.output: POINTS}
            self.product = None
        else:
            self.path.append(node.where)
            if node.kind in _PASSING and names[0] in self.values:
                value = self._pass(node, self.values[names[0]])
                if names[0] == self.product:
                    self.product = node.output
            elif self.layers:
                value = self._apply(node, names)
            else:
                value = self._scale(node, names)
            self.values[node.output] = value

    # ---- constants ----

    def _fold(self, node: _Node, constant: Array) -> Array:
        """Return what a node makes of a constant."""
        if node.kind == "Identity":
            return constant
        if node.kind == "Transpose":
            return np.transpose(constant, node.attributes.get("perm"))
        dtype = _REAL_TYPES.get(node.attributes.get("to", 0))
        if dtype is None or constant.dtype.kind not in "fiub":
            raise _wrong_cast(node)
        self._take_room(constant.size)
        with np.errstate(all="ignore"):
            cast = constant.astype(dtype, copy=False)
            return _rounded(cast) if node.attributes["to"] == _BFLOAT16 else cast

    def _take_room(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise ValueError("its layers share so many weights that they outgrow the file")

    # ---- what leaves numbers as they are ----

    def _pass(self, node: _Node, value: Any) -> Any:
        """Return the operand of a node that changes the shape or the type of a tensor at most."""
        if node.kind == "Cast":
            if node.attributes.get("to") not in _REAL_TYPES:
                raise _wrong_cast(node)
            return value._replace(real=True) if isinstance(value, _Inputs) else value
        if node.kind == "Dropout" and len(node.inputs) > 2 and node.inputs[2]:
            training = self.constants.get(node.inputs[2])
            if training is None or training.any():
                raise ValueError(f"{node.where} has training_mode, in which it drops units")
        if node.kind in ("Flatten", "Reshape"):
            return self._flatten(node, value)
        return value

    def _flatten(self, node: _Node, value: Any) -> Any:
        """Take a Flatten or Reshape that makes one row of each example, or leaves the rows."""
        dims = value.dims if isinstance(value, _Inputs) else (None, len(self.layers[-1].weight))
        known = [length for length in dims[1:] if length is not None]
        width = prod(known) if len(known) == len(dims) - 1 else None
        if node.kind == "Flatten":
            axis = node.attributes.get("axis", 1)
            fits = bool(dims) and axis in (1, 1 - len(dims))
        else:
            shape = self.constants.get(node.inputs[1], np.empty(0)).tolist()
            rows = [*dims[:1], 0, -1]
            fits = shape in [[rows[0], -1], [0, -1], *([each, width] for each in rows)]
            fits = fits and bool(dims) and not node.attributes.get("allowzero", 0)
        if not fits:
            raise ValueError(f"{node.where} does not make one row of each example")
        return value._replace(dims=(dims[0], width)) if isinstance(value, _Inputs) else value

    # ---- before the first layer ----

    def _scale(self, node: _Node, names: list[str]) -> _Inputs:
        """Return shift and scale after a node before the first layer."""
        kind = node.kind
        if kind in ("Add", "Mul") and names[0] in self.constants:
            names = names[::-1]
        value = self.values.get(names[0])
        if value is None or len(names) != 2 or names[1] not in self.constants:
            raise ValueError(f"{node.where} is no scaling of the inputs")
        if not value.real:
            raise ValueError(f"{node.where} computes with non-floating-point inputs")
        constant = _real(self.constants[names[1]], node.where).astype(np.float64)
        if not _is_one_row(constant.shape, value.dims):
            raise ValueError(
                f"{node.where} has a constant of shape {constant.shape}, which is not one number "
                "for each input"
            )
        constant, shift, scale = constant.ravel(), value.shift, value.scale
        with np.errstate(all="ignore"):
            if kind in ("Add", "Sub"):
                shift = shift + (constant if kind == "Sub" else -constant) / scale
            elif kind in ("Mul", "Div"):
                scale = scale * constant if kind == "Mul" else scale / constant
            else:
                raise ValueError(f"{node.where} is no scaling of the inputs")
        return _Inputs(shift, scale, value.dims, value.real)

    def _keep_scaling(self, node: _Node, value: _Inputs, width: int) -> None:
        """Take the inputs of the first layer."""
        if not value.real:
            raise ValueError(f"{node.where} computes with non-floating-point inputs")
        if value.dims and (len(value.dims) != 2 or value.dims[1] not in (None, width)):
            shape = [length or "?" for length in value.dims]
            raise ValueError(f"{node.where} takes (N, {width}), but its input has shape {shape}")
        shift, scale = (np.broadcast_to(each, width) for each in (value.shift, value.scale))
        if shift.any() or (scale != 1.0).any():
            self.scaling = shift, scale

    # ---- layers ----

    def _begin_layer(self, node: _Node) -> None:
        """Take a product; what its operand has become since the last one is an activation."""
        where, names, attributes = node.where, node.inputs, node.attributes
        weight = self.constants.get(names[1])
        if names[0] not in self.values or weight is None or weight.ndim != 2:
            raise ValueError(f"{where} is not a layer with constant weights")
        if attributes.get("transA", 0):
            raise ValueError(f"{where} transposes its input")
        weight = _real(weight if attributes.get("transB", 0) else weight.T, where)
        self._take_room(weight.size)
        with np.errstate(all="ignore"):
            weight = np.asarray(weight * attributes.get("alpha", 1.0), weight.dtype)
        bias = np.zeros(len(weight))
        if len(names) > 2 and names[2]:
            if names[2] not in self.constants:
                raise ValueError(f"{where} has a bias that is not constant")
            given = _as_bias(where, self.constants[names[2]], len(weight))
            with np.errstate(all="ignore"):
                bias = given * attributes.get("beta", 1.0)
        if self.layers:
            self._end_layer(names[0])
        else:
            self._keep_scaling(node, self.values[names[0]], weight.shape[1])
        self.layers.append(Layer(weight, bias))

    def _is_bias(self, node: _Node) -> bool:
        """Tell whether a node adds a constant to a product of MatMul."""
        if node.kind == "Sub":
            return node.inputs[0] == self.product and node.inputs[1] in self.constants
        constant = any(name in self.constants for name in node.inputs)
        return node.kind == "Add" and self.product in node.inputs and constant

    def _add_bias(self, node: _Node) -> None:
        """Take the Add or the Sub that follows a MatMul."""
        constant = next(self.constants[name] for name in node.inputs if name in self.constants)
        layer = self.layers[-1]
        bias = _as_bias(node.where, constant, len(layer.weight))
        self.layers[-1] = layer._replace(bias=-bias if node.kind == "Sub" else bias)

    def _apply(self, node: _Node, names: list[str]) -> Any:
        """Return what a node after a layer makes of its operands."""
        if node.kind == "Softmax" and self.values.get(names[0]) is POINTS:
            if node.attributes.get("axis", 1) in (1, -1):
                return "softmax"
        elif node.kind in ELEMENTWISE and all(self._is_scalar(name) for name in names):
            operands = [
                self.values[name] if name in self.values else self.constants[name].item()
                for name in names
            ]
            with np.errstate(all="ignore"):
                return ELEMENTWISE[node.kind](*operands, **node.attributes)
        raise ValueError(f"{node.where} has no counterpart in a network here")

    def _is_scalar(self, name: str) -> bool:
        """Tell whether an operand is the same function, or number, for every unit."""
        if name in self.values:
            return not isinstance(self.values[name], str)
        constant = self.constants[name]
        return constant.size == 1 and constant.ndim <= 2

    def _end_layer(self, name: str) -> None:
        """Find the activation that led from the last layer to a tensor."""
        if not self.layers:
            raise ValueError("it has no layer")
        value = self.values.get(name)
        if value is None:
            raise ValueError(f"{name!r} does not come from the last layer")
        found = value if isinstance(value, str) else recognise(value)
        if found is None:
            raise ValueError(
                f"{', '.join(self.path)}: together these nodes compute no supported activation"
            )
        self.layers[-1] = self.layers[-1]._replace(activation=found)

    # ---- the network ----

    def build(self, cls: type[Kind], settings: dict[str, Any]) -> Kind:
        """Return the network, with everything in the file's properties that fits it."""
        names = [layer.activation for layer in self.layers]
        read: dict[str, Any] = {"activation": names[:-1], "output": names[-1]}
        known, metadata = self._properties()
        widths = [self.layers[0].weight.shape[1], *(len(layer.weight) for layer in self.layers)]
        if known.get("widths") == widths and all(known.get(key) == read[key] for key in read):
            read = {**known, **settings}
            for key in ("widths", "dtype"):
                read.pop(key, None)
            if read.get("loss") != "cross_entropy" and "label_smoothing" not in settings:
                read.pop("label_smoothing", None)  # of the loss that the file had
        else:
            read = {**settings, **read}
        network = build(cls, self.layers, self.scaling, read)
        network.metadata = metadata
        return network

    def _properties(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings and the metadata that `save_onnx` left."""
        properties = {each.key: each.value for each in self.model.metadata_props}
        kept = parse_json(properties.get("pybackprop", "{}"))
        if not isinstance(kept, dict):
            raise ValueError("its property pybackprop is malformed")
        settings, metadata = kept.get("settings", {}), kept.get("metadata", {})
        if not isinstance(settings, dict) or not isinstance(metadata, dict):
            raise ValueError("its property pybackprop is malformed")
        return settings, metadata


def _check_opset(model: Any) -> None:
    """Refuse operators of other versions than those that the reader knows."""
    versions = {each.version for each in model.opset_import if each.domain in _DEFAULT_DOMAIN}
    if len(versions) != 1:
        raise ValueError(f"it must state one version of ONNX's operators, got {sorted(versions)}")
    version = versions.pop()
    if version < _LEAST_OPSET:
        raise ValueError(
            f"its operators are those of opset {version}, and only {_LEAST_OPSET} and later are "
            "read; onnx.version_converter converts it"
        )


def _as_node(node: Any, functions: set[tuple[str, str]]) -> _Node:
    """Return a node of the graph; one of another domain is called by the domain too."""
    from onnx import helper

    own = node.domain in _DEFAULT_DOMAIN
    kind = node.op_type if own else f"{node.domain}.{node.op_type}"
    where = f"node {node.name or node.output[0]!r} ({kind})"
    domains = _DEFAULT_DOMAIN if own else (node.domain,)
    if any((domain, node.op_type) in functions for domain in domains):
        raise ValueError(f"{where} is a function of the file's own, which is not read")
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return _Node(where, kind, list(node.input), node.output[0], attributes)


def _first(info: Any) -> _Inputs:
    """Return the inputs as they come in."""
    tensor = info.type.tensor_type
    dims = tuple(each.dim_value or None for each in tensor.shape.dim)
    if tensor.HasField("shape") and len(dims) < 2:
        raise ValueError(f"its input {info.name!r} has {len(dims)} dimensions, and no rows")
    return _Inputs(np.zeros(1), np.ones(1), dims, tensor.elem_type in _REAL_TYPES)


def _constant(node: _Node) -> Array:
    """Return the value of a node Constant."""
    attributes = node.attributes
    if "value" in attributes:
        return _to_array(attributes["value"])
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        for each in (name, f"{name}s"):
            if each in attributes:
                return np.asarray(attributes[each], dtype)
    raise ValueError(f"{node.where} holds no numbers")


def _row(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return a shape without the lengths of 1 at its front, which broadcasting puts there."""
    at = 0
    while at < len(shape) and shape[at] == 1:
        at += 1
    return shape[at:]


def _is_one_row(shape: tuple[int, ...], dims: tuple[int | None, ...]) -> bool:
    """Tell whether broadcasting a constant to inputs of `dims` gives every example the same row.

    Entries of the row then lie in the constant as inputs do in an example that is flattened.
    """
    if len(shape) > max(len(dims), 2):
        return False
    if prod(shape) == 1:
        return True
    if len(dims) <= 2:
        return len(_row(shape)) <= 1
    return _row(shape) == _row(dims[1:]) and (len(shape) < len(dims) or shape[0] == 1)


def _as_bias(where: str, constant: Array, length: int) -> Array:
    """Return a bias of a layer of so many units, if broadcasting gives every row the same."""
    bias = _real(constant, where)
    if bias.ndim > 2 or len(_row(bias.shape)) > 1 or bias.size not in (1, length):
        raise ValueError(
            f"{where} has a bias of shape {bias.shape}, which is not one number for each of "
            f"{length} units"
        )
    return np.broadcast_to(bias.ravel(), length)


def _wrong_cast(node: _Node) -> ValueError:
    return ValueError(
        f"{node.where} casts to type {node.attributes.get('to')} of TensorProto, which may change "
        "numbers; only casts to float16, bfloat16, float32 and float64 are read"
    )


def _to_array(tensor: Any) -> Array:
    """Return a tensor as an array; its dimensions are those that it states."""
    from onnx import numpy_helper

    if any(length < 0 for length in tensor.dims):
        raise ValueError(f"tensor {tensor.name!r} has the shape {list(tensor.dims)}")
    array: Array = numpy_helper.to_array(tensor)
    return array.astype(np.float32) if tensor.data_type == _BFLOAT16 else array


def _rounded(values: Array) -> Array:
    """Return float32 numbers rounded to bfloat16, the nearest with an even last bit at a tie."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)
    # A carry in the bits of a NaN could turn it into another number.
    return np.where(np.isnan(values), values, rounded.astype(np.uint32).view(np.float32))


def _real(values: Array, where: str) -> Array:
    """Return parameters in the type of the network that takes them."""
    if values.dtype.kind != "f":
        raise ValueError(f"{where} has weights of {values.dtype}")
    with np.errstate(all="ignore"):
        return values.astype(FLOAT64 if values.dtype == FLOAT64 else FLOAT32, copy=False)
