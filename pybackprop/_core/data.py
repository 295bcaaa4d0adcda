"""The caller's inputs, targets and weights, as the C core reads them."""

from __future__ import annotations

from typing import Any

from .._pybackprop_core import ffi
from ..losses import Array
from .ffi import describe, pointer


class Data:
    """A bp_data and the arrays that it points to.

    They are views, so that assigning to the shape of an array in use cannot change what was
    checked.
    """

    def __init__(
        self, x: Array, y: Array | None = None, sample_weight: Array | None = None
    ) -> None:
        x = x.view()
        y = None if y is None else y.view()
        sample_weight = None if sample_weight is None else sample_weight.view()
        self.rows = x.shape[0]
        if sample_weight is not None and sample_weight.shape != (self.rows,):
            raise ValueError(f"sample_weight must have shape ({self.rows},)")
        self.arrays = (x, y, sample_weight)
        self.struct = ffi.new("bp_data *")
        describe(self.struct.x, x)
        if y is not None:
            describe(self.struct.y, y)
        if sample_weight is not None:
            self.struct.sample_weight = ffi.cast("double *", pointer(sample_weight))

    def select(self, rows: Any) -> Data:
        """Return some of the rows, given as a slice or an index array."""
        x, y, sample_weight = self.arrays
        return Data(
            x[rows],
            None if y is None else y[rows],
            None if sample_weight is None else sample_weight[rows],
        )
