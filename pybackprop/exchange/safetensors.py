"""Models as .safetensors files, which PyTorch and others read.

Tensors are layers.<i>.weight, (n_out, n_in), and layers.<i>.bias, i from 0. A network with scales
of its inputs also has input_scales, (n_0,), and raw_weight, (n_1, n_0); layers.0.weight is their
product. Where they exist, there are scaling.shift and scaling.scale (float64) and
optimizer.<vector>. The entry pybackprop of the file's metadata holds the header of `npz`.

Files are written by the package safetensors and read without it: the package maps a file into
memory, and a file that is cut short while it is read would then end the process.
"""

from __future__ import annotations

import math
import os
from itertools import pairwise
from typing import IO, Any, NamedTuple

import numpy as np

from .._core import FLOAT32, FLOAT64, Array
from .._optional import optional
from ..files.read import DAMAGE, MAX_JSON, open_regular, parse_json, shorten, size_of
from ..files.write import write_atomically
from ..inputs import as_count, as_counter, as_dtype
from ..settings import count_parameters, count_trained
from .npz import Contents, malformed, read_header, write_header

_ENTRY = "pybackprop"
_NAMES = {FLOAT32: "F32", FLOAT64: "F64"}
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_MAX_SIZE = 2**63 - 1
_MAX_DIMENSIONS = 32
# The header of a model is within that of the file, where its quotes take two characters.
_MAX_HEADER = MAX_JSON + (3 << 20)
# Two tensors of 10,000 layers have eleven each.
_MAX_VALUES = 250_000
_HINT = (
    "it has no description of a network; Network.from_torch(safetensors.numpy.load_file(path), "
    "activation=...) reads plain weights"
)


def save(path: Any, model: Contents) -> None:
    """Write a model to exactly this path, atomically; errors are those of `npz.save`."""
    tensors = split(model.settings, model.parameters)
    if model.scaling is not None:
        tensors["scaling.shift"], tensors["scaling.scale"] = model.scaling
    if model.optimizer is not None:
        vectors = model.optimizer["state"]
        tensors.update({f"optimizer.{name}": vector for name, vector in vectors.items()})
    write_tensors(path, tensors, write_header(model))


def split(settings: dict[str, Any], trained: Array) -> dict[str, Array]:
    """Return the weights and biases of flat vectors, (…, n_trained), by their names."""
    widths, n_trained = count_trained(settings)
    tensors = {}
    n_scales = n_trained - count_parameters(widths)
    scales, parameters = trained[..., :n_scales], trained[..., n_scales:]
    lead, offset = parameters.shape[:-1], 0
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        end = offset + n_out * n_in
        weight = parameters[..., offset:end].reshape(*lead, n_out, n_in)
        tensors[f"layers.{layer}.weight"] = weight
        tensors[f"layers.{layer}.bias"] = parameters[..., end : end + n_out]
        offset = end + n_out
    if n_scales:
        raw = tensors["layers.0.weight"]
        tensors.update(input_scales=scales, raw_weight=raw)
        tensors["layers.0.weight"] = _product(raw, scales)
    return tensors


def _product(raw: Array, scales: Array) -> Array:
    """Return the weights of the first layer, (…, n_out, n_in), which may overflow."""
    with np.errstate(all="ignore"):
        found: Array = raw * scales[..., np.newaxis, :]
    return found


def write_tensors(path: Any, tensors: dict[str, Array], header: str) -> None:
    """Write tensors, with a header in the metadata, to exactly this path, atomically."""
    with optional("safetensors", "writing a .safetensors file"):
        from safetensors.numpy import save as pack

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    data = pack(contiguous, {_ENTRY: header})
    if int.from_bytes(data[:8], "little") > _MAX_HEADER:
        raise ValueError(
            f"{os.fspath(path)}: header and metadata would be longer than {_MAX_HEADER} bytes"
        )
    write_atomically(path, lambda file: file.write(data))


def load(path: Any) -> Contents:
    """Read a model; errors are those of `npz.load`."""
    with open_regular(path) as file:
        try:
            return _read_model(Tensors(file))
        except DAMAGE as error:
            raise malformed(path, error) from error


class _Tensor(NamedTuple):
    """Where a tensor is in the file, from `begin` on, and what it is."""

    dtype: str
    shape: list[int]
    begin: int
    end: int


class Tensors:
    """The tensors of a file, whose header is checked in whole before any of them is read.

    The form is that of https://github.com/huggingface/safetensors: the length of the header as
    eight bytes, the header as JSON, and the tensors, which fill the rest without hole or overlap.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        size = size_of(file)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise ValueError(f"its {size} bytes do not begin with the length of a header")
        self._start = 8 + length
        header = parse_json(file.read(length).decode(), _MAX_HEADER, _MAX_VALUES)
        if not isinstance(header, dict):
            raise ValueError("its header is not an object")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are not an object")
        self.metadata = metadata
        self._tensors = {name: _describe(name, found) for name, found in header.items()}
        at = 0
        for tensor in sorted(self._tensors.values(), key=lambda tensor: tensor[2:]):
            if tensor.begin != at:
                raise ValueError(f"its tensors overlap or leave a hole at {at}")
            at = tensor.end
        if self._start + at != size:
            raise ValueError(f"its tensors end at {self._start + at}, but the file at {size}")

    def header(self) -> str:
        """Return what `write_tensors` was given."""
        text = self.metadata.get(_ENTRY)
        if not isinstance(text, str):
            raise ValueError(_HINT)
        return text

    def read_trained(
        self, settings: dict[str, Any], dtype: np.dtype[Any], lead: tuple[int, ...] = ()
    ) -> Array:
        """Read scales, weights and biases as flat vectors, (*lead, n_trained)."""
        widths, n_trained = count_trained(settings)
        pieces = []
        for layer, (n_in, n_out) in enumerate(pairwise(widths)):
            weight = self.read(f"layers.{layer}.weight", dtype, (*lead, n_out, n_in))
            if layer == 0 and n_trained > count_parameters(widths):
                pieces.append(self.read("input_scales", dtype, (*lead, n_in)))
                weight = self._read_raw(weight, pieces[0])
            pieces.append(weight.reshape(*lead, n_out * n_in))
            pieces.append(self.read(f"layers.{layer}.bias", dtype, (*lead, n_out)))
        return np.concatenate(pieces, axis=-1)

    def _read_raw(self, weight: Array, scales: Array) -> Array:
        """Read the weights that have this product with the scales."""
        raw = self.read("raw_weight", weight.dtype, weight.shape)
        limits = np.finfo(weight.dtype)
        # The core makes 0 of subnormal products.
        near = {"rtol": 4.0 * float(limits.eps), "atol": float(limits.tiny)}
        if not np.allclose(_product(raw, scales), weight, **near, equal_nan=True):
            raise ValueError(
                "layers.0.weight is not raw_weight times input_scales; to use other weights, load "
                "the network and call set_layer"
            )
        return raw

    def read(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Read a tensor, of a type and a shape that are known."""
        found = self._tensors.get(name)
        if found is None:
            raise ValueError(f"there is no tensor {name}")
        if found.dtype != _NAMES[dtype] or found.shape != list(shape):
            raise ValueError(
                f"{name} must be {_NAMES[dtype]} of shape {shape}, "
                f"got {found.dtype} of shape {found.shape}"
            )
        self._file.seek(self._start + found.begin)
        data = self._file.read(found.end - found.begin)
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def _describe(name: str, found: Any) -> _Tensor:
    """Check what the header says of one tensor."""
    where = f"tensor {shorten(repr(name), 60)}"
    if not isinstance(found, dict) or set(found) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = found["dtype"], found["shape"], found["data_offsets"]
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
    if bits is None or not lists or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"{where} is of unknown dtype, or its shape or offsets are no short lists")
    for number in (*shape, *offsets):
        as_count(number, where, high=_MAX_SIZE)
    begin, end = offsets
    if 8 * (end - begin) != math.prod(shape) * bits:
        raise ValueError(f"{where} of shape {shape} and {dtype} has {end - begin} bytes")
    return _Tensor(dtype, shape, begin, end)


def _read_model(file: Tensors) -> Contents:
    header = read_header(file.header())
    settings = header["settings"]
    widths = count_trained(settings)[0]
    dtype = as_dtype(settings["dtype"])
    parameters = file.read_trained(settings, dtype)
    scaling = None
    if header["scaling"]:
        shift, scale = (
            file.read(f"scaling.{name}", FLOAT64, (widths[0],)) for name in ("shift", "scale")
        )
        scaling = shift, scale
    optimizer = header["optimizer"]
    if optimizer is not None:
        vectors = {
            name: file.read(f"optimizer.{name}", dtype, parameters.shape)
            for name in optimizer["state"]
        }
        optimizer = {**optimizer, "state": vectors}
    counters = as_counter(header["steps"], "steps"), as_counter(header["epochs"], "epochs")
    return Contents(settings, counters, header["metadata"], parameters, scaling, optimizer)
