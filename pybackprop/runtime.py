"""Threads, and what is known about the machine."""

from __future__ import annotations

import os
import re
from typing import Any

from . import _core
from ._version import __version__
from .inputs import as_count

__all__ = ["cpu_info", "get_threads", "set_threads"]


_MOST_THREADS = 2**31 - 1


def _check_environment() -> None:
    """Refuse a number of threads that the core would ignore."""
    text = os.environ.get("PYBACKPROP_NUM_THREADS", "")
    # The first number of a list, as in OMP_NUM_THREADS.
    number = re.fullmatch(r"\s*\+?([0-9]+) *(,[0-9, ]*)?", text)
    if text and not (number and 1 <= int(number[1]) <= _MOST_THREADS):
        raise ImportError(f"PYBACKPROP_NUM_THREADS must be an integer of at least 1, got {text!r}")


_check_environment()


def set_threads(n: int) -> None:
    """Set the largest number of threads that a call may use.

    Results have the same bits for any number. The default is PYBACKPROP_NUM_THREADS, then
    OMP_NUM_THREADS, then the number of CPUs that this process may use. In a list such as 4,2 the
    first number counts. If PYBACKPROP_NUM_THREADS holds anything else, pybackprop cannot be
    imported; anything else in OMP_NUM_THREADS is ignored.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        n is not an integer, or is below 1.
    """
    _core.set_threads(as_count(n, "n", low=1, high=_MOST_THREADS))


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
        data caches `L1`, `L2` and `L3`; 0 if unknown), `ways` (their associativity; 0 if
        unknown), `cpus` (that this process may use), `threads` (the limit in force), `compiler`
        (that built the core), `version` (of pybackprop).
    """
    return {**_core.machine(), "version": __version__}
