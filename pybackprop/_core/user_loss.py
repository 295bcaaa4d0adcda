"""What calls a loss of the user's for the C core."""

from __future__ import annotations

from typing import Any

from .._pybackprop_core import ffi, lib
from ..losses import UserLoss


def _keep_error(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Keep what a signal raised in bp_python_loss before or after its call."""
    ffi.from_handle(traceback.tb_frame.f_locals["user"]).error = error


@ffi.def_extern("bp_python_loss", error=1, onerror=_keep_error)  # type: ignore[untyped-decorator]
def _call_loss(user: Any, rows: int, n_out: int, a: Any, y: Any, loss: Any, da: Any) -> int:
    """Call the user's loss for the C core; any exception is kept for the caller to raise."""
    function: UserLoss = ffi.from_handle(user)
    return function.call(rows, n_out, *(int(ffi.cast("uintptr_t", p)) for p in (a, y, loss, da)))


bp_python_loss = lib.bp_python_loss
