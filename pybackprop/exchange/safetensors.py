"""Models as .safetensors files, which PyTorch and others read.

Tensors are layers.<i>.weight, (n_out, n_in), and layers.<i>.bias, i from 0; where they exist,
scaling.shift and scaling.scale (float64) and optimizer.<vector>. The entry pybackprop of the
file's metadata holds the header of `npz`.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np

from .._core import FLOAT32, FLOAT64, Array
from ..inputs import as_count, as_dtype
from .atomic import write_atomically
from .npz import MALFORMED, Model, read_header, write_header

_ENTRY = "pybackprop"
_NAMES = {FLOAT32: "F32", FLOAT64: "F64"}
_HINT = (
    "it has no description of a network; Network.from_torch(safetensors.numpy.load_file(path), "
    "activation=...) reads plain weights"
)


def save(path: Any, model: Model) -> None:
    """Write a model to exactly this path, atomically; errors are those of `npz.save`."""
    from safetensors.numpy import save as pack

    tensors = {}
    offset = 0
    for layer, (n_in, n_out) in enumerate(pairwise(model.settings["widths"])):
        end = offset + n_out * n_in
        tensors[f"layers.{layer}.weight"] = model.parameters[offset:end].reshape(n_out, n_in)
        tensors[f"layers.{layer}.bias"] = model.parameters[end : end + n_out]
        offset = end + n_out
    if model.scaling is not None:
        tensors["scaling.shift"], tensors["scaling.scale"] = model.scaling
    if model.optimizer is not None:
        vectors = model.optimizer["state"]
        tensors.update({f"optimizer.{name}": vector for name, vector in vectors.items()})
    data = pack(tensors, {_ENTRY: write_header(model)})
    write_atomically(path, lambda file: file.write(data))


def load(path: Any) -> Model:
    """Read a model; errors are those of `npz.load`."""
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # so that what the system has to say comes as an OSError
        pass
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return _read_model(file)
    except (*MALFORMED, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{os.fspath(path)!r} is not a valid model file ({reason})") from error


def _read_model(file: Any) -> Model:
    text = (file.metadata() or {}).get(_ENTRY)
    if text is None:
        raise ValueError(_HINT)
    header = read_header(text)
    settings = header["settings"]
    widths = [as_count(width, "widths", low=1) for width in settings["widths"]]
    dtype = as_dtype(settings["dtype"])
    pieces = []
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        pieces.append(_read(file, f"layers.{layer}.weight", dtype, (n_out, n_in)).ravel())
        pieces.append(_read(file, f"layers.{layer}.bias", dtype, (n_out,)))
    parameters = np.concatenate(pieces)
    scaling = None
    if header["scaling"]:
        shift, scale = (
            _read(file, f"scaling.{name}", FLOAT64, (widths[0],)) for name in ("shift", "scale")
        )
        scaling = shift, scale
    optimizer = header["optimizer"]
    if optimizer is not None:
        vectors = {
            name: _read(file, f"optimizer.{name}", dtype, parameters.shape)
            for name in optimizer["state"]
        }
        optimizer = {**optimizer, "state": vectors}
    counters = as_count(header["steps"], "steps"), as_count(header["epochs"], "epochs")
    return Model(settings, counters, header["metadata"], parameters, scaling, optimizer)


def _read(file: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Read a tensor whose type and shape are known before any memory is taken for it."""
    found = file.get_slice(name)
    if found.get_dtype() != _NAMES[dtype] or tuple(found.get_shape()) != shape:
        raise ValueError(
            f"{name} must be {_NAMES[dtype]} of shape {shape}, "
            f"got {found.get_dtype()} of shape {tuple(found.get_shape())}"
        )
    tensor: Array = file.get_tensor(name)
    return tensor
