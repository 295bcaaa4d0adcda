"""The machine, the limit on threads and the random numbers of the C core."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._pybackprop_core import ffi, lib
from ..losses import Array
from .ffi import check, pointer


def random_uniform(seed: int, stream: int, count: int) -> Array:
    """Return numbers uniform in [0, 1), from Philox keyed by seed at counter (stream, i)."""
    out = np.empty(count)
    lib.bp_random_uniform(seed, stream, count, ffi.cast("double *", pointer(out)))
    return out


def random_permutation(seed: int, epoch: int, count: int) -> Array:
    """Return a permutation of 0 … count - 1 keyed by seed and epoch."""
    out = np.empty(count, np.int64)
    lib.bp_random_permutation(seed, epoch, count, ffi.cast("int64_t *", pointer(out)))
    return out


def machine() -> dict[str, Any]:
    """Return what the core knows about the CPU and about itself."""
    return {
        "brand": ffi.string(lib.bp_cpu_brand()).decode("utf-8", "replace").strip(),
        "isa": ffi.string(lib.bp_isa_name()).decode(),
        "bf16": ffi.string(lib.bp_bf16_name()).decode(),
        "available": ffi.string(lib.bp_isa_available()).decode().split(),
        "caches": {f"L{level}": int(lib.bp_cache_size(level)) for level in (1, 2, 3)},
        "ways": {f"L{level}": int(lib.bp_cache_ways(level)) for level in (1, 2, 3)},
        "cpus": int(lib.bp_cpu_count()),
        "threads": get_threads(),
        "compiler": ffi.string(lib.bp_compiler()).decode(),
    }


def set_threads(n: int) -> None:
    """Set the largest number of threads that a call may use."""
    check(lib.bp_set_threads(n))


def get_threads() -> int:
    """Return the largest number of threads that a call may use."""
    return int(lib.bp_get_threads())
