"""Optimizers as Python objects around structures of the C core."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from .._pybackprop_core import ffi, lib
from ..losses import Array
from .ffi import DTYPES, NULL, OPTIMIZERS, check, pointer

Result = TypeVar("Result")
Key = tuple[int, np.dtype[Any]]

_BUSY = "this optimizer is in use in another call; use one optimizer per network"

# The settings of an optimizer that may change from step to step; and, in the order of bp_rates, the
# columns of an array that holds them for some steps, with the factor of the dropout rates.
SCHEDULED = ("lr", "weight_decay")
RATES = (*SCHEDULED, "dropout")

# One shared tuple per (parameters, dtype), so that the hot path compares by identity.
_keys: dict[Key, Key] = {}


def state_key(size: int, dtype: np.dtype[Any]) -> Key:
    """Return the one tuple that stands for optimizer state of this size and type."""
    return _keys.setdefault((size, dtype), (size, dtype))


class Holder(Protocol):
    """A fit that holds a network and an optimizer."""

    @property
    def thread(self) -> int: ...

    @property
    def process(self) -> int: ...

    @property
    def key(self) -> Key: ...


class OptimizerState:
    """A bp_optimizer, the state vectors that it points to, and the guard for both.

    The lock is held by each call that reads or changes the state; C reads it only within such a
    call. A fit holds the optimizer from its first slice to its last: its own thread may change the
    state between slices, all others are refused. As in Net, locks are only taken by `with`.
    """

    def __init__(self, kind: str) -> None:
        self.struct = ffi.new("bp_optimizer *")
        self.struct.kind = OPTIMIZERS[kind]
        self.lock = allocate_lock()
        self.fit: Holder | None = None  # the fit that holds the optimizer
        # Size and type of the parameters that the state is for; None while it is for none.
        self.key: Key | None = None
        self.vectors: list[Array | None] = [None, None, None]
        # What gives the value of a step, for settings that are not constant; replaced, not changed.
        self.schedules: dict[str, Any] = {}

    def bind(self, key: Key | None) -> None:
        """Let the state be for parameters of this size and type, or for none.

        A signal may end this anywhere. While the key is set, everything that it stands for exists.
        """
        self.key = None
        self.struct.n, self.struct.dtype = (0, 0) if key is None else (key[0], DTYPES[key[1]])
        self.key = key

    def get(self, field: str) -> Any:
        """Return a field of the structure."""
        return getattr(self.struct, field)

    def set(self, field: str, value: float) -> None:
        """Set a field of the structure."""
        setattr(self.struct, field, value)

    def point(self, index: int, vector: Array | None) -> None:
        """Let the structure point to a state vector, or to none."""
        address = pointer(vector)
        # The core never has the address of a vector that is not kept here.
        if vector is None:
            self.struct.state[index] = address
        self.vectors[index] = vector
        if vector is not None:
            self.struct.state[index] = address

    def points(self, index: int) -> bool:
        """Return whether the structure points to a state vector."""
        return bool(self.struct.state[index] != NULL)

    def adopt(self, other: OptimizerState) -> None:
        """Take over structure and vectors of another state, which must not be used afterwards."""
        self.bind(None)
        self.vectors, self.schedules = other.vectors, other.schedules
        self.struct[0] = other.struct[0]
        self.key = other.key

    def admit(self, updates: bool = False) -> None:
        """Raise if another call, or a fit in another thread, is using the optimizer.

        Updates are refused in callbacks of a fit too.
        """
        if self.lock.locked():
            raise RuntimeError(_BUSY)
        self.admit_beside_fit(updates)

    def admit_beside_fit(self, updates: bool) -> None:
        """Do what `admit` does for a caller that holds the lock."""
        fit = self.fit
        if fit is None:
            return
        if fit.thread != get_ident():
            raise RuntimeError(_BUSY)
        if updates:
            raise RuntimeError(
                "this optimizer is in use in another call: a fit with this optimizer is in "
                "progress; update it after the fit, or use another optimizer"
            )

    def alone(self, call: Callable[..., Result], *arguments: Any, updates: bool = False) -> Result:
        """Call a function that reads or changes the state, while no other call does."""
        self.admit(updates)
        with self.lock:
            # A fit may have begun between the two lines above.
            self.admit_beside_fit(updates)
            return call(*arguments)

    def hold(self, fit: Holder) -> None:
        """Let a fit hold the optimizer; raise if another call or fit uses it."""
        self.alone(setattr, self, "fit", fit, updates=True)

    def next_rates(self) -> None:
        """Store the rates of the next step in the structure; the lock is held."""
        for name, schedule in self.schedules.items():
            setattr(self.struct, name, schedule(self.struct.step))

    def update(self, parameters: Array, gradient: Array) -> None:
        """Apply one update to a flat array in place; the lock is held."""
        self.next_rates()
        status = lib.bp_optimizer_update(
            DTYPES[parameters.dtype],
            parameters.size,
            pointer(parameters),
            pointer(gradient),
            self.struct,
        )
        check(status)
