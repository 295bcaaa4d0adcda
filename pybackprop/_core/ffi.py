"""The C core as cffi shows it: codes, buffers, matrix descriptors, statuses as exceptions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._pybackprop_core import ffi, lib
from ..losses import Array

if not ffi.string(lib.bp_isa_name()):
    raise ImportError(
        "PYBACKPROP_ISA must be portable, avx2, avx512, amx or neon, "
        f"got {os.environ.get('PYBACKPROP_ISA')!r}"
    )

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
UINT8 = np.dtype(np.uint8)
UINT16 = np.dtype(np.uint16)
INT64 = np.dtype(np.int64)

DTYPES = {
    FLOAT32: int(lib.BP_FLOAT32),
    FLOAT64: int(lib.BP_FLOAT64),
    UINT8: int(lib.BP_UINT8),
    INT64: int(lib.BP_INT64),
}


def _codes(enumeration: str, *others: str) -> dict[str, int]:
    """Return the codes of an enumeration of the C core by name, without those of `others`."""
    names = {
        code: name.removeprefix(enumeration.upper() + "_").lower()
        for code, name in ffi.typeof(enumeration).elements.items()
    }
    return {names[code]: code for code in sorted(names) if names[code] not in others}


ACTIVATIONS = _codes("bp_act")
PRECISIONS = _codes("bp_precision")
LOSSES = _codes("bp_loss", "callback")
OPTIMIZERS = _codes("bp_opt", "count")
OK = int(lib.BP_OK)
NOT_FINITE, ARGUMENT = int(lib.BP_ERR_NOT_FINITE), int(lib.BP_ERR_ARGUMENT)

NULL = ffi.NULL
BUSY = (
    "this network is in use in another call (a thread, a fit in progress or a loss function); "
    "use one copy of the network per thread"
)


def check(status: int) -> None:
    """Raise the exception that a status of the C core stands for."""
    if status == OK:
        return
    text = ffi.string(lib.bp_status_text(status)).decode()
    if status == lib.BP_ERR_MEMORY:
        raise MemoryError(text)
    if status in (lib.BP_ERR_BUSY, lib.BP_ERR_FORKED):
        raise RuntimeError(BUSY if status == lib.BP_ERR_BUSY else text)
    if status == NOT_FINITE:
        raise FloatingPointError("the cost of the batch is not finite; nothing was changed")
    raise ValueError(text)


def pointer(array: Array | None) -> Any:
    """Return the address of an array's first entry; the caller keeps the array alive."""
    if array is None:
        return NULL
    if array.flags.c_contiguous:  # the usual case, and much the faster way
        return ffi.from_buffer(array)
    return ffi.cast("void *", array.__array_interface__["data"][0])


def describe(matrix: Any, array: Array) -> None:
    """Fill a bp_matrix from a 2-D array of any strides."""
    matrix.data = pointer(array)
    matrix.dtype = DTYPES[array.dtype]
    matrix.rows, matrix.cols = array.shape
    matrix.row_stride, matrix.col_stride = array.strides


def doubles(pairs: Sequence[Sequence[float]] | None) -> Any:
    """Return pairs of numbers as the core takes them, in memory that lasts as long as this does."""
    return NULL if pairs is None else ffi.new("double[]", [each for pair in pairs for each in pair])
