"""The members of an estimator: one network for each fold, trained side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._core import Array
from ..many import EpochsEnd, fit_many
from ..network import Network
from ..recipes import Recipe
from ..tables import Encoding, Inputs
from ._folds import Fold

# Members are trained together as long as their inputs need no more than this.
_MOST_BYTES = 1 << 29

# Scores a member's outputs for its validation rows: how good they are, the larger the better.
Score = Callable[[int, Array], float]


@dataclass
class Member:
    """A network, what it is trained on, and what came of it.

    Attributes
    ----------
    fold : Fold
    seed : int
    recipe : Recipe
    encoding : Encoding
        Learnt from the rows of the fold.
    targets : ndarray, (N,)
        Of all rows, as the loss takes them.
    constant : ndarray, (n_outputs,)
        Biases of the last layer to begin with.
    epochs : int
        How many to train at most.
    network : Network or None
        The network of the best epoch.
    scores : list of float
        Of the constant to begin with, and after each epoch; none without validation rows.
    best : int
        The epochs after which the score was the best; 0 is the constant.
    status : str
        As of `ManyHistory`.
    """

    fold: Fold
    seed: int
    recipe: Recipe
    encoding: Encoding
    targets: Array
    constant: Array
    epochs: int
    network: Network | None = None
    scores: list[float] = field(default_factory=list)
    best: int = 0
    status: str = ""

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return len(self.encoding.feature_names)


class _Keeper:
    """A callback that scores every member after each epoch and keeps its best parameters."""

    def __init__(
        self, members: Sequence[Member], inputs: Sequence[Array], score: Score, first: int
    ) -> None:
        self._members, self._inputs, self._score, self._first = members, inputs, score, first
        self._kept: list[Array | None] = [None] * len(members)

    def note(self, at: int, network: Any) -> None:
        """Score a network, and keep it if it is as good as the best, or better."""
        member = self._members[at]
        score = self._score(self._first + at, network.predict(self._inputs[at]))
        scores = member.scores
        scores.append(score)
        best = scores[member.best]
        if len(scores) == 1 or score > best or (member.recipe.keeps_last and score == best):
            member.best = len(scores) - 1
            self._kept[at] = network.parameters.copy()

    def __call__(self, end: EpochsEnd) -> Array:
        ended = np.zeros(len(self._members), dtype=np.bool_)
        for at in np.flatnonzero(np.isfinite(end.cost)).tolist():
            self.note(at, end.networks[at])
            patience = self._members[at].recipe.patience
            ended[at] = patience is not None and end.epoch + 1 - self._members[at].best >= patience
        return ended

    def restore(self, networks: Sequence[Any]) -> None:
        """Give the networks the parameters of their best epochs."""
        for network, kept in zip(networks, self._kept, strict=True):
            network.parameters = kept


class _Deadline:
    """A callback that ends a fit when its time is over."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline

    def __call__(self, end: EpochsEnd) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline


def train(
    inputs: Inputs,
    members: Sequence[Member],
    n_outputs: int,
    score: Score | None,
    deadline: float | None = None,
) -> None:
    """Train all members; each ends with the network of its best epoch, or without score the last.

    Parameters
    ----------
    inputs : Inputs
        The table.
    members : sequence of Member
    n_outputs : int
        1 for numbers, else the number of classes.
    score : callable or None
        Of the member with some index, and its outputs for its validation rows.
    deadline : float or None
        The time, of `time.monotonic`, after which training ends with the epoch.
    """
    width = max(member.n_in for member in members)
    most = max(1, _MOST_BYTES // (8 * inputs.n_rows * width))
    for first in range(0, len(members), most):
        some = members[first : first + most]
        until = _share(deadline, len(some) / (len(members) - first))
        _train_some(inputs, some, n_outputs, score, until, first)


def best_together(members: Sequence[Member]) -> int:
    """Return the epochs that were the best for all members on average.

    After a member stopped, its last score counts. Members that diverged, whose scores end early,
    do not count, unless all did.
    """
    counted = [each for each in members if each.status != "diverged"] or members
    longest = max(len(each.scores) for each in counted)
    scores = [each.scores + each.scores[-1:] * (longest - len(each.scores)) for each in counted]
    mean = np.mean(scores, axis=0)
    best = np.flatnonzero(mean == np.nanmax(mean))
    return int(best[-1 if members[0].recipe.keeps_last else 0])


def _share(deadline: float | None, share: float) -> float | None:
    """Return when the next of several fits must end, which may take a share of the time left."""
    if deadline is None:
        return None
    now = time.monotonic()
    return now + share * (deadline - now)


def _train_some(
    inputs: Inputs,
    members: Sequence[Member],
    n_outputs: int,
    score: Score | None,
    deadline: float | None,
    first: int,
) -> None:
    """Train members that share an array of inputs, in which each has the rows of its encoding.

    Members whose encodings have fewer inputs than others have zeros in their place, whose weights
    are zero and stay so.
    """
    n_rows = inputs.n_rows
    width = max(member.n_in for member in members)
    x = np.zeros((len(members) * n_rows, width))
    for at, member in enumerate(members):
        x[at * n_rows : (at + 1) * n_rows, : member.n_in] = inputs.encode(member.encoding)
    networks = []
    for at, member in enumerate(members):
        rows = x[at * n_rows + member.fold.rows]
        networks.append(_network(member, width, n_outputs, _scaling_of(member, rows)))
    keeper = None
    if score is not None:
        held = [x[at * n_rows + member.fold.held] for at, member in enumerate(members)]
        keeper = _Keeper(members, held, score, first)
        for at, network in enumerate(networks):
            keeper.note(at, network)
    if not any(member.epochs for member in members):
        _finish(members, networks, ["done"] * len(members))
        return
    history = fit_many(
        networks,
        x,
        np.concatenate([member.targets for member in members]),
        optimizers=[member.recipe.optimizer(_steps(member)) for member in members],
        epochs=[member.epochs for member in members],
        batch_size=[member.recipe.batch_size for member in members],
        rows=[at * n_rows + member.fold.rows for at, member in enumerate(members)],
        callbacks=[_Deadline(deadline), *([] if keeper is None else [keeper])],
    )
    if keeper is not None:
        keeper.restore(networks)
    else:
        for at, member in enumerate(members):
            member.best = int(history.epochs[at])
    _finish(members, networks, history.status.tolist())


def _finish(members: Sequence[Member], networks: Sequence[Network], status: Sequence[str]) -> None:
    """Give the members their networks."""
    for member, network, said in zip(members, networks, status, strict=True):
        member.status = said
        member.network = _narrowed(network, member.n_in)


def _steps(member: Member) -> int:
    """Return the steps of the schedule, whose last epochs may not be reached."""
    return member.recipe.epochs * -(-len(member.fold.rows) // member.recipe.batch_size)


def _scaling_of(member: Member, rows: Array) -> tuple[Array, Array] | None:
    """Return shift and scale that standardise numbers, None if the encoding scales them."""
    if member.recipe.robust:
        return None
    shift, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    numbers = np.flatnonzero(~member.encoding.one_hot_mask())
    part = rows[:, numbers]
    varies = np.ptp(part, axis=0) > 0.0
    shift[numbers] = part.mean(axis=0)
    scale[numbers] = 1.0 / np.where(varies, part.std(axis=0), 1.0)
    return shift, scale


def _network(
    member: Member, n_in: int, n_outputs: int, scaling: tuple[Array, Array] | None
) -> Network:
    """Make an untrained network."""
    recipe, of_classes = member.recipe, n_outputs > 1
    net = Network(
        [n_in, *recipe.hidden, n_outputs],
        activation=recipe.activation,
        output="softmax" if of_classes else "identity",
        loss="cross_entropy" if of_classes else "mse",
        dropout=recipe.dropout,
        l2=recipe.l2,
        label_smoothing=recipe.label_smoothing,
        seed=member.seed,
        **recipe.factors(member.n_in),
    )
    recipe.begin(net, member.constant, member.n_in)
    if scaling is not None:
        net.set_scaling(*scaling)
    return net


def _narrowed(net: Network, n_in: int) -> Network:
    """Return a network without the inputs that are always zero."""
    narrow = Network(
        [n_in, *net.widths[1:]],
        activation=net.activations[:-1],
        output=net.activations[-1],
        loss=net.loss,
        label_smoothing=net.label_smoothing,
        init="zeros",
        seed=net.seed,
    )
    for layer, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        narrow.set_layer(layer, w[:, :n_in] if layer == 0 else w, b)
    if net.scaling is not None:
        narrow.set_scaling(*(each[:n_in] for each in net.scaling))
    return narrow
