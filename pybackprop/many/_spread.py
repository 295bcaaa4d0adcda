"""`fit_many` over workers: what they are sent, what they do, and what comes back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..distributed import Order, Workers, in_one_block, using
from ..inputs import as_reals
from ..network import Network
from ..optimizers import Optimizer
from ._history import ManyHistory
from ._loop import ManyTrainer, fit_many
from ._members import Members, as_row_sets

# Arguments of `fit_many` that need this process after every epoch, and their defaults.
_NEED_EPOCHS = {
    "callbacks": (),
    "progress": False,
    "checkpoint": None,
    "checkpoint_every": 1,
    "resume": None,
}
_ALIKE = ("patience", "shuffle", "on_divergence", "_slice_ns")


class _Data(NamedTuple):
    """What the workers share; lists have an entry for each member."""

    x: Array
    y: Array
    weights: Array | None
    rows: list[Array | None]
    validation: Any
    validation_rows: list[Array | None] | None


class _Part(NamedTuple):
    """Some of the members, and how they are trained."""

    members: list[int]
    states: list[tuple[Any, ...]]
    optimizers: list[Optimizer]
    arguments: dict[str, Any]


class _Trained(NamedTuple):
    """What becomes of them."""

    history: ManyHistory
    parameters: list[Array]
    counters: list[tuple[int, int]]
    optimizers: list[Optimizer]


def fit_many_over(executor: Any, networks: Any, given: Mapping[str, Any]) -> ManyHistory:
    """Check the arguments of `pybackprop.fit_many`, and have workers train the members."""
    for name, default in _NEED_EPOCHS.items():
        if given[name] is not default and given[name] not in (default, []):
            raise ValueError(
                f"{name} must not be given with executor, whose workers train all epochs on their "
                f"own, got {given[name]!r}"
            )
    with using(executor) as workers:
        return _fit_over(workers, ManyTrainer(networks, given), given)


def _fit_over(workers: Workers, trainer: ManyTrainer, given: Mapping[str, Any]) -> ManyHistory:
    members = trainer.members
    for each in members:
        each.network._net.admit_training()
    before = [each.network._net.get_counters() for each in members]
    pieces = workers.divide(
        [each.network.n_parameters * each.rows.number * each.epochs for each in members]
    )
    parts = [_part(trainer, given, piece.members) for piece in pieces]
    with workers.share(_data(members, given)) as shared:
        results = workers.map(Order(_train, shared, pieces, parts, check=_digest(members)))
    for at, each in enumerate(members):
        if each.network._net.get_counters() != before[at]:
            raise RuntimeError(f"networks[{at}] has been trained elsewhere in the meantime")
    return _take_over(trainer, parts, results)


def _data(members: Members, given: Mapping[str, Any]) -> _Data:
    """Return the data as arrays in one piece of memory."""
    n, validation = members.n, given["validation"]
    # Inputs that had to be converted are converted once, unless members differ in their types.
    known = list(members._inputs.values())
    x = known[0] if len(known) == 1 else as_reals(given["X"], "X")
    weights, tested = given["sample_weight"], given["validation_rows"]
    if isinstance(validation, (tuple, list)):
        validation = tuple(in_one_block(as_reals(each, "validation")) for each in validation)
    return _Data(
        in_one_block(x),
        in_one_block(as_reals(given["y"], "y")),
        None if weights is None else in_one_block(np.asarray(weights)),
        as_row_sets(given["rows"], n, len(x), "rows"),
        validation,
        None if tested is None else as_row_sets(tested, n, len(x), "validation_rows"),
    )


def _part(trainer: ManyTrainer, given: Mapping[str, Any], chosen: list[int]) -> _Part:
    """Return what a worker needs to know to train some members."""
    members = [trainer.members.members[at] for at in chosen]
    arguments = {
        **_NEED_EPOCHS,
        **{name: given[name] for name in _ALIKE},
        "epochs": [each.epochs for each in members],
        "batch_size": [each.order.batch_size for each in members],
        "_first_seed": trainer.members.networks[0].seed,
        "_numbers": chosen,
        "_shown": None,
    }
    states = [each.network._state() for each in members]
    optimizers = [copy(each.optimizer) for each in members]  # which a thread may train as they are
    return _Part(chosen, states, optimizers, arguments)


def _digest(members: Members) -> str:
    """Return what tells whether two processes have the same networks."""
    digest = hashlib.sha256()
    for each in members:
        net = each.network
        digest.update(net._net.trained())
        digest.update(repr((net.seed, net._net.get_counters(), each.optimizer.steps)).encode())
    return digest.hexdigest()


def _train(data: _Data, part: _Part) -> _Trained:
    """Train some members; this runs in a worker."""
    networks = [Network._from_state(*state) for state in part.states]
    weights, tested = data.weights, data.validation_rows
    if weights is not None and weights.ndim == 2:
        weights = weights[part.members]
    given = {
        **part.arguments,
        "X": data.x,
        "y": data.y,
        "sample_weight": weights,
        "optimizers": part.optimizers,
        "rows": [data.rows[at] for at in part.members],
        "validation": data.validation,
        "validation_rows": None if tested is None else [tested[at] for at in part.members],
    }
    history = fit_many(networks, given)
    parameters = [net._net.trained() for net in networks]
    counters = [net._net.get_counters() for net in networks]
    return _Trained(history, parameters, counters, part.optimizers)


def _take_over(
    trainer: ManyTrainer, parts: Sequence[_Part], results: Sequence[_Trained]
) -> ManyHistory:
    """Bring networks, optimizers and the history to where the workers brought theirs."""
    history, members = trainer.history, trainer.members.members
    history._make_room(max(each.history._longest for each in results))
    for part, result in zip(parts, results, strict=True):
        own = result.history
        longest = own._longest
        for name in ("_cost", "_seconds", "_val_cost"):
            if getattr(own, name) is not None:
                getattr(history, name)[part.members, :longest] = getattr(own, name)[:, :longest]
        for name in ("epochs", "best_epoch", "status"):
            getattr(history, name)[part.members] = getattr(own, name)
        for at, vector, counters, optimizer in zip(part.members, *result[1:], strict=True):
            member = members[at]
            member.network._net.set_trained(vector)
            member.network._net.set_counters(*counters)
            member.optimizer._become(optimizer)
    return history
