"""Threads, and what is known about the machine."""

from __future__ import annotations

from typing import Any

from . import _core
from ._version import __version__
from .inputs import as_count

__all__ = ["cpu_info", "get_threads", "set_threads"]


def set_threads(n: int) -> None:
    """Set the largest number of threads that a call may use.

    Results do not depend on it, bit for bit. The default is PYBACKPROP_NUM_THREADS, then
    OMP_NUM_THREADS, else the CPUs that this process may use.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        n is not an integer, or is below 1.
    """
    _core.set_threads(as_count(n, "n", low=1, high=2**31 - 1))


def get_threads() -> int:
    """Return the largest number of threads that a call may use."""
    return _core.get_threads()


def cpu_info() -> dict[str, Any]:
    """Return what is known about the machine and the core.

    Returns
    -------
    dict
        `brand` (text of the CPU), `isa` (instruction set in use), `bf16` (what products in the
        precisions bf16, bf16x2 and bf16x3 run on: `amx`, `avx512_bf16` or `emulation`),
        `available` (instruction sets this machine can run, worst first), `caches` (bytes of the
        data caches `L1`, `L2` and `L3`; 0 if unknown), `cpus` (that this process may use),
        `threads` (the limit in force), `compiler` (that built the core), `version` (of
        pybackprop).
    """
    return {**_core.machine(), "version": __version__}
