"""Which output a loss needs, and losses that a user gives as functions.

These read and write memory of the core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
LossFunction = Callable[[Array, Array], tuple[Any, Any]]

# The activation of the output that a loss needs, and the loss that goes best with an activation.
OUTPUT_OF = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
LOSS_OF = {output: loss for loss, output in OUTPUT_OF.items()}


def smoothed(targets: Array, label_smoothing: float) -> Array:
    """Return targets, (N, n_L), as cross entropy with label smoothing takes them."""
    if not label_smoothing:
        return targets
    mixed: Array = (1.0 - label_smoothing) * targets + label_smoothing / targets.shape[1]
    return mixed


class _Memory:
    """Memory of the core as NumPy's array interface describes it."""

    def __init__(self, interface: dict[str, Any], keep: object) -> None:
        self.__array_interface__ = interface
        self.keep = keep


def view_memory(
    address: int, shape: tuple[int, ...], dtype: np.dtype[Any], keep: object, write: bool = False
) -> Array:
    """Return an array over memory of the core; every view of it keeps `keep` alive."""
    interface = {
        "version": 3,
        "shape": shape,
        "typestr": dtype.str,
        "data": (address, not write),
    }
    return np.asarray(_Memory(interface, keep))


class UserLoss:
    """A user's loss function, and the exception that its last call raised."""

    def __init__(self, function: LossFunction, dtype: np.dtype[Any]) -> None:
        self.function = function
        self.dtype = dtype
        self.error: BaseException | None = None

    def call(self, rows: int, n_out: int, a: int, y: int, loss: int, da: int) -> int:
        """Run the function on one block of rows, given by addresses; return 0, or 1 if it fails.

        An exception is kept: it cannot pass through the core, whose caller raises it again.
        """
        try:
            self._run((rows, n_out), a, y, loss, da)
        except BaseException as error:
            self.error = error
            return 1
        return 0

    def _run(self, shape: tuple[int, int], a: int, y: int, loss: int, da: int) -> None:
        # Make copies: the user may keep the arrays, but the core's buffers do not outlive the call.
        outputs, targets = (view_memory(p, shape, self.dtype, None).copy() for p in (a, y))
        returned = self.function(outputs, targets)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(
                "the loss function must return a pair (per_example, derivative), "
                f"got {type(returned).__name__}"
            )
        self._copy_out(returned[0], "per-example losses", shape[:1], loss)
        if da:
            self._copy_out(returned[1], "derivatives", shape, da)

    def _copy_out(self, value: Any, what: str, shape: tuple[int, ...], address: int) -> None:
        """Check what the function returned, and copy it into a buffer of the core."""
        array = np.asarray(value)
        if array.shape != shape:
            raise ValueError(
                f"the loss function must return {what} of shape {shape}, got {array.shape}"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(f"the loss function must return real {what}, got dtype {array.dtype}")
        view_memory(address, shape, self.dtype, None, write=True)[...] = array
