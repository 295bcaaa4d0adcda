"""What adds up the shards of a batch that several processes compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._pybackprop_core import ffi
from ..losses import Array, view_memory

_FLOAT64 = np.dtype(np.float64)

# Gets the sums of blocks of shards, (n_blocks, n_parameters), and their costs, (n_blocks,); leaves
# the sums of all shards in the first row and the first cost.
Reduce = Callable[[Array, Array], None]


def _keep_error(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Keep what a signal raised in bp_python_reduce before or after its call."""
    ffi.from_handle(traceback.tb_frame.f_locals["user"]).error = error


@ffi.def_extern(error=1, onerror=_keep_error)  # type: ignore[untyped-decorator]
def bp_python_reduce(user: Any, n_blocks: int, stride: int, sums: Any, costs: Any) -> int:
    """Call the function for the C core; any exception is kept for the caller to raise."""
    reduction: Reduction = ffi.from_handle(user)
    addresses = (int(ffi.cast("uintptr_t", pointer)) for pointer in (sums, costs))
    return reduction.call(n_blocks, stride, *addresses)


class Reduction:
    """A function that the core calls after each backward pass, and the exception it raised."""

    def __init__(self, function: Reduce, size: int, dtype: np.dtype[Any]) -> None:
        self.function, self.size, self.dtype = function, size, dtype
        self.error: BaseException | None = None

    def call(self, n_blocks: int, stride: int, sums: int, costs: int) -> int:
        """Run the function on the core's memory, given by addresses; return 0, or 1 if it fails."""
        try:
            vectors = view_memory(sums, (n_blocks, stride), self.dtype, None, write=True)
            found = view_memory(costs, (n_blocks,), _FLOAT64, None, write=True)
            self.function(vectors[:, : self.size], found)
        except BaseException as error:
            self.error = error
            return 1
        return 0
