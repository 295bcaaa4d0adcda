"""Networks of one shape, whose outputs are computed in one call of the C core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._pybackprop_core import ffi, lib
from ..losses import Array
from .data import Data
from .ffi import check, pointer
from .net import Net

# Rows of a call, at least: fewer would not be worth a call.
_CALL_ROWS = 256


class Stack:
    """Networks that all differ, of the same widths, activations, type and precision.

    A fit that holds any of them holds all, from the first to the last.
    """

    def __init__(self, nets: Sequence[Net]) -> None:
        self._nets = list(nets)
        self._handles = ffi.new("bp_net *[]", [net._handle for net in nets])
        self._blamed = ffi.new("int64_t *")

    def predict(self, x: Array, out: Array) -> None:
        """Write a_L of all networks, (n, N, n_out), in calls short enough for signals."""
        x, out = x.view(), out.view()
        first, n = self._nets[0], len(self._nets)
        if out.shape != (n, len(x), first.n_out):
            raise ValueError(f"out must have shape ({n}, {len(x)}, {first.n_out})")
        first.admit()
        rows = min(len(x), max(_CALL_ROWS, first.call_rows // n))
        members = min(n, max(1, first.call_rows // rows))
        for begin in range(0, len(x), rows):
            data = Data(x[begin : begin + rows])
            for at in range(0, n, members):
                self._predict(data, out, begin, range(at, min(n, at + members)))

    def _predict(self, data: Data, out: Array, begin: int, members: range) -> None:
        """Write the outputs of some networks for some rows."""
        first = members[0]
        source = ffi.addressof(data.struct, "x")
        place: Any = pointer(out[first, begin:])
        stride = out.shape[1] * out.shape[2]
        status = lib.bp_net_predict_many(
            self._handles + first, len(members), source, place, stride, self._blamed
        )
        if not status:
            return
        blamed = int(self._blamed[0])
        if blamed < 0:
            check(status)
        try:
            check(status)
        except RuntimeError as error:
            raise RuntimeError(f"networks[{first + blamed}]: {error}") from error
