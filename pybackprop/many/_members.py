"""What `fit_many` is given, checked and divided among the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._core import Array
from ..inputs import as_count, as_inputs, as_targets, as_weights, per_member
from ..model import Model
from ..optimizers import Optimizer
from ..training.loop import divide
from ._optimizers import as_optimizers


class Member(NamedTuple):
    """One of the networks that are trained, with what it is trained on."""

    network: Model
    optimizer: Optimizer
    rows: _core.Rows
    held_out: _core.Rows | None
    order: _core.FitOrder
    epochs: int

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return -(-self.rows.number // self.order.batch_size)


def as_networks(value: Any) -> list[Model]:
    """Return networks that all differ."""
    if isinstance(value, Model) or not hasattr(value, "__iter__"):
        raise TypeError(f"networks must be a sequence of networks, got {value!r}")
    if hasattr(value, "fit"):  # `Networks`, from which a list would be one of copies
        raise TypeError(f"networks must be a sequence of networks; use the method fit of {value!r}")
    networks = list(value)
    if not networks:
        raise ValueError("networks must hold at least one network")
    for at, network in enumerate(networks):
        if not isinstance(network, Model):
            raise TypeError(f"networks must hold networks, got {network!r} at index {at}")
    refuse_twins(networks, "networks")
    n_in = {network.widths[0] for network in networks}
    if len(n_in) > 1:
        raise ValueError(f"networks must have the same number of inputs, got {sorted(n_in)}")
    return networks


def refuse_twins(objects: Sequence[Any], name: str) -> None:
    """Refuse a sequence in which an object occurs twice."""
    first: dict[int, int] = {}
    for at, each in enumerate(objects):
        if id(each) in first:
            raise ValueError(
                f"{name} must all differ, but {name}[{first[id(each)]}] and {name}[{at}] are the "
                "same object; use copies"
            )
        first[id(each)] = at


def as_row_sets(value: Any, n: int, total: int, name: str) -> list[Array | None]:
    """Return the row numbers of each member, int64, or None for all rows.

    Members that are given the same array share one.
    """
    if value is None:
        return [None] * n
    if not hasattr(value, "__len__") or isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of index arrays or masks, got {value!r}")
    if len(value) != n:
        raise ValueError(
            f"{name} must hold one set of rows for each of {n} members, got {len(value)}"
        )
    value = list(value)  # the rows of an array too are objects from here on
    known: dict[int, Array] = {}
    sets: list[Array | None] = []
    for at, each in enumerate(value):
        if each is not None and id(each) not in known:
            known[id(each)] = _as_index(each, total, f"{name}[{at}]")
        sets.append(None if each is None else known[id(each)])
    return sets


def _as_index(value: Any, total: int, name: str) -> Array:
    """Return the row numbers that an index array or a mask stands for, in an array of their own."""
    array = np.asarray(value)
    if array.dtype == np.bool_:
        if array.shape != (total,):
            raise ValueError(f"{name} must have shape ({total},) as a mask, got {array.shape}")
        array = np.flatnonzero(array)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold row numbers or be a mask, got dtype {array.dtype}")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must name at least one row, in one dimension, got {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= total:
        raise ValueError(
            f"{name} must hold row numbers in 0 ... {total - 1}, got {low if low < 0 else high}"
        )
    return array.astype(np.int64)


def as_member_weights(value: Any, n: int, total: int) -> list[Array | None]:
    """Return the sample weights of each member: (N,) for all of them, or (n, N)."""
    if value is None or np.ndim(value) != 2:
        return [as_weights(value, total)] * n
    if len(value) != n:
        raise ValueError(
            f"sample_weight must have shape ({total},) or ({n}, {total}), got {np.shape(value)}"
        )
    try:
        return [as_weights(each, total) for each in value]
    except ValueError as error:
        raise ValueError(f"{error} (one row for each member)") from error


def _as_shuffle(value: Any) -> bool | str:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, str) and value in ("own", "shared"):
        return True if value == "own" else value
    raise ValueError(f"shuffle must be True, False, 'own' or 'shared', got {value!r}")


class Members:
    """All members of a call of `fit_many`."""

    def __init__(self, networks: Any, given: Mapping[str, Any]) -> None:
        self.networks = as_networks(networks)
        n = len(self.networks)
        self.n = n
        self._x, self._y = given["X"], given["y"]
        self._inputs: dict[Any, Array] = {}
        self._targets: dict[Any, Array] = {}
        self._data: dict[Any, _core.Data] = {}
        self._total = len(self._inputs_for(self.networks[0]))
        self._first_seed = given.get("_first_seed", self.networks[0].seed)
        self.optimizers = as_optimizers(given["optimizers"], self.networks)
        refuse_twins(self.optimizers, "optimizers")
        self._weights = as_member_weights(given["sample_weight"], n, self._total)
        rows = as_row_sets(given["rows"], n, self._total, "rows")
        self.shuffle = _as_shuffle(given["shuffle"])
        sizes = per_member(given["batch_size"], n, "batch_size", _at_least_one)
        epochs = per_member(given["epochs"], n, "epochs", _at_least_one)
        trained, held_out = self._divide(rows, given["validation"], given["validation_rows"])
        self.has_validation = held_out[0] is not None
        self.members = [
            self._member(*each)
            for each in zip(range(n), trained, held_out, sizes, epochs, strict=True)
        ]

    def __iter__(self) -> Any:
        return iter(self.members)

    def _member(
        self, at: int, rows: _core.Rows, held_out: _core.Rows | None, size: int, epochs: int
    ) -> Member:
        network = self.networks[at]
        seeds = {True: network.seed, False: None, "shared": self._first_seed}
        if self.shuffle and rows.number >= 2**32:
            raise ValueError(
                f"X must have fewer than 2^32 rows to be shuffled, got {rows.number}; pass "
                "shuffle=False"
            )
        order = _core.FitOrder(min(size, rows.number), seeds[self.shuffle])
        return Member(network, self.optimizers[at], rows, held_out, order, epochs)

    # ---- data, of which members share what they can ----

    def _inputs_for(self, network: Model) -> Array:
        key = network._net.dtype
        if key not in self._inputs:
            self._inputs[key] = as_inputs(self._x, network._net.n_in, network._net.dtype)
        return self._inputs[key]

    def _data_for(self, at: int) -> _core.Data:
        network, weights = self.networks[at], self._weights[at]
        net = network._net
        loss = network.loss if isinstance(network.loss, str) else None
        kind = net.dtype, net.n_out, loss
        if kind not in self._targets:
            self._targets[kind] = as_targets(self._y, self._total, net.n_out, loss, net.dtype)
        key = (*kind, id(weights))
        if key not in self._data:
            self._data[key] = _core.Data(self._inputs_for(network), self._targets[kind], weights)
        return self._data[key]

    def _divide(
        self, rows: list[Array | None], validation: Any, validation_rows: Any
    ) -> tuple[list[_core.Rows], list[_core.Rows | None]]:
        """Return what each member is trained on, and what is held out for it."""
        n = self.n
        for at, index in enumerate(rows):
            self._check_weights(at, index, "rows")
        if validation_rows is not None and validation is not None:
            raise ValueError("validation and validation_rows must not both be given")
        held_out: list[_core.Rows | None] = [None] * n
        if validation_rows is not None:
            sets = as_row_sets(validation_rows, n, self._total, "validation_rows")
            for at, index in enumerate(sets):
                self._check_weights(at, index, "validation_rows")
                held_out[at] = _core.Rows(self._data_for(at), index)
        elif isinstance(validation, (tuple, list)):
            held_out = self._held_out_pair(validation)
        elif validation is not None:
            for at, index in enumerate(rows):
                rows[at], test = self._divide_rows(at, index, validation)
                held_out[at] = _core.Rows(self._data_for(at), test)
        return [_core.Rows(self._data_for(at), index) for at, index in enumerate(rows)], held_out

    def _divide_rows(self, at: int, index: Array | None, part: Any) -> tuple[Array, Array]:
        """Hold out a part of a member's rows, as `Network.fit` would of a copy of them."""
        count = self._total if index is None else len(index)
        train, test = divide(part, count, self.networks[at].seed)
        if index is not None:
            train, test = index[train], index[test]
        weights = self._weights[at]
        if weights is not None and not (weights[test].any() and weights[train].any()):
            raise ValueError(
                f"sample_weight must be above 0 in the training and held-out rows of member {at}"
            )
        return train, test

    def _held_out_pair(self, validation: Sequence[Any]) -> list[_core.Rows | None]:
        """Return the validation data (Xv, yv), which members share where they can."""
        if len(validation) != 2:
            raise ValueError(
                f"validation must be a fraction or a pair (X, y), got {len(validation)} items"
            )
        made: dict[Any, _core.Rows] = {}
        held_out: list[_core.Rows | None] = []
        for network in self.networks:
            loss = network.loss if isinstance(network.loss, str) else None
            key = network.dtype, network.widths[-1], loss
            if key not in made:
                data = network._data(validation[0], validation[1], where="validation: ")
                made[key] = _core.Rows(data, None)
            held_out.append(made[key])
        return held_out

    def _check_weights(self, at: int, index: Array | None, name: str) -> None:
        weights = self._weights[at]
        if weights is not None and index is not None and not weights[index].any():
            raise ValueError(f"sample_weight must be above 0 in some of {name}[{at}]")


def _at_least_one(value: Any, name: str) -> int:
    return as_count(value, name, low=1)
