"""The kernels of the C core one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._pybackprop_core import ffi, lib
from ..losses import Array
from .ffi import ACTIVATIONS, DTYPES, PRECISIONS, check, pointer

# The types of what is rounded, and of what that leaves out.
_ROUNDED = ("float *", "uint16_t *")


def peak_flops(dtype: np.dtype[Any], precision: str, threads: int, seconds: float) -> float:
    """Measure the multiply-add rate of a register-only loop."""
    out = ffi.new("double *")
    check(lib.bp_peak_flops(DTYPES[dtype], PRECISIONS[precision], threads, seconds, out))
    return float(out[0])


def bandwidth(size: int, threads: int, seconds: float) -> float:
    """Measure the rate of bytes of updates of vectors that take `size` bytes."""
    out = ffi.new("double *")
    check(lib.bp_bandwidth(threads, size, seconds, out))
    return float(out[0])


def matmul(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, precision: str
) -> None:
    """Write op(a) op(b) to out; all are 2-D, of one type, with unit column stride."""
    m, n = out.shape
    k = a.shape[0] if transpose_a else a.shape[1]
    # Each with its row stride in elements, which is meaningless if there is only one row.
    sized = [
        (pointer(each), each.strides[0] // each.itemsize if len(each) > 1 else each.shape[1])
        for each in (a, b, out)
    ]
    dtype, code = DTYPES[out.dtype], PRECISIONS[precision]
    check(
        lib.bp_matmul(
            dtype, code, m, n, k, *sized[0], transpose_a, *sized[1], transpose_b, *sized[2]
        )
    )


def add(x: Array, y: Array, out: Array) -> None:
    """Write x + y to out, which may be one of them, as the core adds gradients of shards.

    All are contiguous, of one type and size.
    """
    check(lib.bp_add(DTYPES[out.dtype], out.size, pointer(x), pointer(y), pointer(out)))


def round_bf16(x: Array, errors: Array) -> None:
    """Add errors to x, and round it to bfloat16; leave in errors, rounded too, what that left out.

    x is float32, errors holds the bits of bfloat16 numbers as uint16; both are contiguous.
    """
    check(lib.bp_round_bf16(x.size, *map(ffi.cast, _ROUNDED, map(pointer, (x, errors)))))


def plan_matmul(
    dtype: np.dtype[Any],
    m: int,
    n: int,
    k: int,
    transpose_a: bool,
    transpose_b: bool,
    b_offset: int,
) -> dict[str, Any]:
    """Return how a product of contiguous rows is formed with one thread."""
    plan = ffi.new("bp_matmul_plan *")
    b = ffi.cast("void *", b_offset)
    check(lib.bp_plan_matmul(DTYPES[dtype], m, n, k, transpose_a, transpose_b, b, plan))
    return {
        "tile": (int(plan.tile_rows), int(plan.tile_cols)),
        "block": (int(plan.block_rows), int(plan.block_sums), int(plan.block_cols)),
        "packs_a": bool(plan.packs_a),
        "packs_b": bool(plan.packs_b),
        "narrow": bool(plan.is_narrow),
    }


def dense_forward(activation: str, x: Array, w: Array, b: Array | None, z: Array, y: Array) -> None:
    """Write z = x W^T + b and y = act(z); all are C-contiguous and of one type."""
    n_out, n_in = w.shape
    pointers = [pointer(each) for each in (x, w, b, z, y)]
    check(
        lib.bp_dense_forward(
            DTYPES[x.dtype], ACTIVATIONS[activation], len(x), n_in, n_out, *pointers
        )
    )


def dense_backward(
    activation: str, x: Array, w: Array, z: Array, dy: Array, dx: Array, dw: Array, db: Array
) -> None:
    """Write the gradients of a layer; all are C-contiguous and of one type."""
    n_out, n_in = w.shape
    pointers = [pointer(each) for each in (x, w, z, dy, dx, dw, db)]
    check(
        lib.bp_dense_backward(
            DTYPES[x.dtype], ACTIVATIONS[activation], len(x), n_in, n_out, *pointers
        )
    )


def activation(name: str, z: Array, out: Array, derivative: bool) -> None:
    """Write act(z) or act'(z); z is C-contiguous, and softmax runs over its last axis."""
    dtype, code = DTYPES[z.dtype], ACTIVATIONS[name]
    cols = z.shape[-1] if z.ndim else 1
    if derivative:
        check(lib.bp_activation_derivative(dtype, code, z.size, pointer(z), pointer(out)))
    else:
        check(lib.bp_activation(dtype, code, z.size // cols, cols, pointer(z), pointer(out)))
