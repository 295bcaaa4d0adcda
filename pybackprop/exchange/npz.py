"""Models as .npz files, NumPy's own format.

A file holds `header` (uint8: a JSON object in UTF-8), `parameters` (the flat vector; of a network
with scales of its inputs, what training changes: these and W_1, b_1, W_2, …) and, where they exist,
`shift`, `scale` (float64) and `optimizer.<vector>`. A checkpoint is such a file with
`training.<name>` too, and its position in the header. Nothing in it is pickled.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from typing import IO, Any, NamedTuple

import numpy as np

from .._core import FLOAT64, UINT8, UINT16, Array
from .._version import __version__
from ..files.read import DAMAGE, MAX_JSON, Archive, explain, open_regular, parse_json
from ..files.write import write_atomically
from ..inputs import as_count, as_counter, as_dtype
from ..settings import count_parameters, count_trained

FORMAT = "pybackprop model"
VERSION = 1
# That of many.py.
MANY_FORMAT = "pybackprop networks"
_VECTORS = ("start", "best")
_FIGURES = ("running", "cost", "seconds", "val_cost")
_NPY_HEADER_LIMIT = 16 * 1024
# No optimizer has more vectors than this.
_MAX_VECTORS = 8
# Two for each shard, of which there are at most 64.
_MAX_ERRORS = 128


class Training(NamedTuple):
    """Where a training run stands, in a checkpoint.

    Attributes
    ----------
    header : dict
        What JSON can hold; with `epochs`, the number of those that have ended.
    vectors : dict of ndarray, (n_trained,)
        Of the network's type: `start`, the parameters at the start of the current epoch; `best`.
    figures : dict of ndarray, float64
        `running`, (3,), of the current epoch; `cost`, `seconds` and `val_cost`, (epochs,).
    errors : ndarray, (n, n_parameters), uint16, or None
        What rounding to bfloat16 has left out of sums of gradients, as bfloat16 numbers; None also
        where it was not read.
    """

    header: dict[str, Any]
    vectors: dict[str, Array]
    figures: dict[str, Array]
    errors: Array | None = None


class Contents(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    settings : dict
        The arguments of `Network`.
    counters : pair of int
        Training steps and epochs done.
    metadata : dict
        The user's own.
    parameters : ndarray, (n_trained,)
        What training changes: the flat vector, if there are no scales of the inputs.
    scaling : pair of ndarray, (n_0,), or None
        Shift and scale.
    optimizer : dict or None
        `Optimizer.state_dict()`.
    training : Training or None
        Where a run stands, in a checkpoint.
    """

    settings: dict[str, Any]
    counters: tuple[int, int]
    metadata: dict[str, Any]
    parameters: Array
    scaling: tuple[Array, Array] | None
    optimizer: dict[str, Any] | None
    training: Training | None = None


def save(path: Any, model: Contents) -> None:
    """Write a model to exactly this path, atomically.

    Raises
    ------
    TypeError, ValueError
        Something in the header cannot be written as JSON; no file is touched.
    OSError
        The file cannot be written; an existing one is as it was.
    """
    arrays = {"parameters": model.parameters}
    if model.scaling is not None:
        arrays["shift"], arrays["scale"] = model.scaling
    if model.optimizer is not None:
        vectors = model.optimizer["state"]
        arrays.update({f"optimizer.{name}": vector for name, vector in vectors.items()})
    if model.training is not None:
        own = {**model.training.vectors, **model.training.figures}
        if model.training.errors is not None:
            own["errors"] = model.training.errors
        arrays.update({f"training.{name}": vector for name, vector in own.items()})
    arrays["header"] = np.frombuffer(write_header(model).encode(), np.uint8)
    write_atomically(path, lambda file: write_arrays(file, arrays))


def write_arrays(file: IO[bytes], arrays: dict[str, Array]) -> None:
    """Write what np.savez would, but let every exception through, including one from a signal.

    A ZipFile that is closed in the middle of an entry would raise another one.
    """
    archive = zipfile.ZipFile(file, "w")
    try:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        archive.close()
    except BaseException:
        archive.fp = None  # so nothing is left to close
        raise


def write_header(model: Contents) -> str:
    """Return as JSON all of a model but its arrays."""
    header: dict[str, Any] = {
        "format": FORMAT,
        "format_version": VERSION,
        "pybackprop": __version__,
        "settings": model.settings,
        "steps": model.counters[0],
        "epochs": model.counters[1],
        "metadata": model.metadata,
        "scaling": model.scaling is not None,
        "optimizer": None,
    }
    if model.optimizer is not None:
        header["optimizer"] = {**model.optimizer, "state": list(model.optimizer["state"])}
    if model.training is not None:
        names = {"vectors": list(model.training.vectors), "figures": list(model.training.figures)}
        errors = model.training.errors
        rows = {} if errors is None else {"errors": len(errors)}
        header["training"] = {**model.training.header, **names, **rows}
    return write_json(header)


def write_json(header: dict[str, Any]) -> str:
    """Return a header as JSON that `parse_json` reads."""
    text = json.dumps(header, allow_nan=False)
    parse_json(text)  # so that nothing is written that could not be read
    return text


def load(path: Any, with_errors: bool = False) -> Contents:
    """Read a model.

    Parameters
    ----------
    path : path
        The file.
    with_errors : bool
        Whether to read the errors of a checkpoint, which only a run that goes on needs, and which
        may be much larger than everything else.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a model file, or is malformed.
    """
    with open_regular(path) as file:
        try:
            with Archive(file) as archive:
                return _read_model(archive, with_errors)
        except DAMAGE as error:
            raise malformed(path, error) from error


def malformed(path: Any, error: Exception) -> ValueError:
    """Return the error for a file that is not a model."""
    return ValueError(f"{os.fsdecode(path)!r} is not a valid model file: {explain(error)}")


def read_text(archive: Archive) -> str:
    """Return the JSON of a file's header."""
    text = archive.read("header", MAX_JSON + _NPY_HEADER_LIMIT)
    if text.dtype != UINT8 or text.ndim != 1:
        raise ValueError(f"the header is {text.dtype} of shape {text.shape}")
    return str(text.data, "utf-8")


def _read_model(archive: Archive, with_errors: bool) -> Contents:
    header = read_header(read_text(archive))
    settings = header["settings"]
    widths, size = count_trained(settings)
    dtype = as_dtype(settings["dtype"])
    parameters = read_array(archive, "parameters", dtype, (size,))
    scaling = None
    if header["scaling"]:
        shift, scale = (
            read_array(archive, name, FLOAT64, widths[:1]) for name in ("shift", "scale")
        )
        scaling = shift, scale
    optimizer = header["optimizer"]
    if optimizer is not None:
        vectors = {
            name: read_array(archive, f"optimizer.{name}", dtype, (size,))
            for name in optimizer["state"]
        }
        optimizer = {**optimizer, "state": vectors}
    training = _read_training(archive, header.get("training"), dtype, size)
    if training is not None and with_errors:
        training = training._replace(errors=_read_errors(archive, training.header, widths))
    counters = as_counter(header["steps"], "steps"), as_counter(header["epochs"], "epochs")
    metadata = header["metadata"]
    return Contents(settings, counters, metadata, parameters, scaling, optimizer, training)


def _read_training(
    archive: Archive, header: Any, dtype: np.dtype[Any], size: int
) -> Training | None:
    """Read the position of a training run, if the file holds one."""
    if header is None:
        return None
    if not isinstance(header, dict):
        raise ValueError("training is not an object")
    for key, known in (("vectors", _VECTORS), ("figures", _FIGURES)):
        names = header[key]
        if not isinstance(names, list) or len(names) > len(known) or not _are_among(names, known):
            raise ValueError(f"the {key} of a checkpoint are {', '.join(known)}")
    epochs = as_count(header["epochs"], "epochs of the run")
    vectors = {
        name: read_array(archive, f"training.{name}", dtype, (size,)) for name in header["vectors"]
    }
    figures = {
        name: read_array(
            archive, f"training.{name}", FLOAT64, (3 if name == "running" else epochs,)
        )
        for name in header["figures"]
    }
    return Training(header, vectors, figures)


def _read_errors(archive: Archive, header: dict[str, Any], widths: tuple[int, ...]) -> Array | None:
    """Read what rounding has left out of gradients; those of input scales follow from them."""
    if "errors" not in header:
        return None
    rows = as_count(header["errors"], "errors of the run", low=1, high=_MAX_ERRORS)
    return read_array(archive, "training.errors", UINT16, (rows, count_parameters(widths)))


def _are_among(names: list[Any], known: tuple[str, ...]) -> bool:
    """Tell whether all names, which may be of any type, are known."""
    return all(name in known for name in names)


def check_format(header: Any, name: str, version: int) -> dict[str, Any]:
    """Return a header, or raise if it is not that of a format in a version."""
    if not isinstance(header, dict) or header.get("format") != name:
        raise ValueError("it was not saved by pybackprop")
    if header["format_version"] != version:
        raise ValueError(
            f"it has format version {header['format_version']!r}; this version reads {version}"
        )
    return header


def read_header(text: str) -> dict[str, Any]:
    """Return what `write_header` wrote, or raise if it is anything else."""
    found = parse_json(text)
    if isinstance(found, dict) and found.get("format") == MANY_FORMAT:
        raise ValueError("it holds several networks, which Networks.load reads")
    header = check_format(found, FORMAT, VERSION)
    for name in ("settings", "metadata"):
        if not isinstance(header[name], dict):
            raise ValueError(f"{name} is not an object")
    optimizer = header["optimizer"]
    if not isinstance(optimizer, (dict, type(None))):
        raise ValueError("optimizer is not an object")
    if optimizer is not None:
        names = optimizer["state"]
        if (
            not isinstance(names, list)
            or len(names) > _MAX_VECTORS
            or not all(isinstance(name, str) for name in names)
            or len({*names}) < len(names)
        ):
            raise ValueError("the state of the optimizer is not a list of different names")
    return header


def read_array(archive: Archive, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Read an array whose type and shape are known before any memory is taken for it."""
    array = archive.read(name, math.prod(shape) * dtype.itemsize + _NPY_HEADER_LIMIT)
    if array.dtype.newbyteorder("=") != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {dtype} of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    return array.astype(dtype, copy=False)
