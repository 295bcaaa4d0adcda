"""Search for settings: random search, successive halving and Hyperband."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._core import Array
from ..distributed import Order, Workers, in_one_block, using
from ..inputs import as_choice, as_count, as_flag, as_inputs, as_reals, as_targets, flat_labels
from ..losses import OUTPUT_OF
from ..many import fit_many
from ..network import Network
from ..nonfinite import require_finite
from ..optimizers import RULES, Optimizer
from ..training.progress import make_progress
from ..words import counted
from ._arguments import as_batch_size, as_fixed, as_hidden, as_table, check_batch_sizes
from ._distributions import Space
from ._folds import labels_of, make_folds, scaling_of
from ._schedule import epochs_of, limit, make_brackets
from ._validation import penalties

# Settings that a network takes and that may be searched; all others are the optimizer's.
_OF_NETWORK = ("widths", "activation", "dropout", "l1", "l2", "precision", "init")
_OF_FIT = ("batch_size",)


@dataclass
class Candidate:
    """Settings that were tried.

    Attributes
    ----------
    settings : dict
        What was drawn.
    bracket : int
        The bracket it belongs to.
    epochs : int
        Epochs that it was trained for.
    score : float
        Mean over the folds of the validation cost, without penalties, after the last of them;
        infinite if a fold diverged. Lower is better.
    std : float
        Standard deviation over the folds.
    scores : list of (int, float)
        The epochs and the score at the end of each rung.
    """

    settings: dict[str, Any]
    bracket: int
    epochs: int = 0
    score: float = float("inf")
    std: float = float("nan")
    scores: list[tuple[int, float]] = field(default_factory=list)


class SearchResult:
    """What `search` returns.

    Attributes
    ----------
    candidates : list of Candidate
        All that were tried, in the order in which they were drawn.
    best : Candidate
        The first of `ranking`.
    ranking : list of Candidate
        Best first: by epochs, and among equals by score; those with an infinite score come last.
    network : Network or None
        Trained with the best settings on all rows, if `refit` is set.
    epochs : int
        Epochs of one network that were trained in all, without the last fit.
    """

    def __init__(self, candidates: list[Candidate], epochs: int, network: Network | None) -> None:
        self.candidates, self.epochs, self.network = candidates, epochs, network

    @property
    def ranking(self) -> list[Candidate]:
        """The candidates, best first."""
        return sorted(
            self.candidates,
            key=lambda each: (not np.isfinite(each.score), -each.epochs, each.score),
        )

    @property
    def best(self) -> Candidate:
        """The first of the ranking."""
        return self.ranking[0]

    @property
    def best_settings(self) -> dict[str, Any]:
        """The settings of the best candidate."""
        return self.best.settings

    @property
    def best_score(self) -> float:
        """The score of the best candidate."""
        return self.best.score

    def table(self, rows: int = 10) -> str:
        """Return the best candidates as text; those that several brackets tried alike, once."""
        names = list(self.candidates[0].settings)
        shown = dict.fromkeys(
            (
                f"{each.score:.4g}",
                f"{each.std:.2g}",
                str(each.epochs),
                *(_in_short(each.settings[name]) for name in names),
            )
            for each in self.ranking
        )
        lines = [("cost", "std", "epochs", *names), *list(shown)[:rows]]
        wide = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
        return "\n".join(
            "  ".join(word.rjust(width) for word, width in zip(line, wide, strict=True))
            for line in lines
        )

    def __repr__(self) -> str:
        best = ", ".join(f"{k}={_in_short(v)}" for k, v in self.best_settings.items())
        return (
            f"SearchResult({counted(len(self.candidates), 'candidate')}, "
            f"{counted(self.epochs, 'epoch')}: "
            f"cost {self.best_score:.4g} with {best})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the score of every candidate over the epochs; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plot import plot_search

        return plot_search([each.scores for each in self.candidates], self.best.scores, ax)


def _in_short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")


class _Study:
    """One call of `search`: data, folds, and the networks in training."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        fixed = as_fixed(given["network"])
        self.seed = as_count(given["seed"], "seed", high=2**63)
        self.batch_size = as_batch_size(given["batch_size"])
        check_batch_sizes(given["space"].get("batch_size"))
        self.optimizer = as_choice(given["optimizer"], "optimizer", RULES)
        targets = as_reals(given["y"], "y")
        is_labels = targets.dtype.kind in "iub" and targets.ndim == 1
        fixed.setdefault("loss", "cross_entropy" if is_labels else "mse")
        fixed.setdefault("output", OUTPUT_OF.get(str(fixed["loss"]), "identity"))
        fixed.setdefault("widths", [64])
        self.fixed = fixed
        x = as_table(given["X"], targets)
        self.n_out = _count_outputs(targets, fixed["loss"])
        first = self.network_of({}, 0, x.shape[1])
        self.x = as_inputs(x, first.widths[0], first.dtype)
        self.y = as_targets(targets, len(self.x), self.n_out, first.loss, first.dtype)
        labels = labels_of(targets, given["stratify"], first.loss)
        self.folds = make_folds(len(self.x), labels, given["folds"], 1, self.seed)
        self.standardize = as_flag(given["standardize"], "standardize")
        self.scalings: list[Any] = [None] * len(self.folds)
        if self.standardize:
            require_finite(self.x, "X", first.dtype)
            self.scalings = [scaling_of(self.x, train) for train, _ in self.folds]

    @property
    def targets(self) -> Array:
        """The targets as `fit_many` takes them."""
        return flat_labels(self.y)

    def network_of(self, settings: Mapping[str, Any], seed: int, n_in: int) -> Network:
        """Return the untrained network of some settings."""
        own = {**self.fixed, **{k: v for k, v in settings.items() if k in _OF_NETWORK}}
        hidden = as_hidden(own["widths"])
        own["widths"] = [n_in, *hidden, self.n_out]
        if not hidden:
            own["dropout"] = 0.0
        return Network(**{**own, "seed": self.seed + seed})

    def optimizer_of(self, settings: Mapping[str, Any]) -> Optimizer:
        """Return a new optimizer of some settings."""
        names = [name for name in settings if name not in (*_OF_NETWORK, *_OF_FIT)]
        rule = RULES[self.optimizer]
        unknown = [name for name in names if name not in rule._settings]
        if unknown:
            known = ", ".join((*_OF_NETWORK, *_OF_FIT, *rule._settings))
            raise ValueError(f"space has no setting {unknown[0]!r} to search; known: {known}")
        made: Optimizer = rule(**{name: settings[name] for name in names})
        return made

    def run_bracket(self, rungs: Any, chosen: list[Candidate], bar: Any, run: _Run) -> int:
        """Train candidates rung by rung; return how many epochs of one network that took."""
        teams = [_Team(self, candidate) for candidate in chosen]
        done = total = 0
        for n, epochs in rungs:
            teams = sorted(teams, key=lambda each: each.candidate.score)[:n] if done else teams
            total += run.train(teams, epochs - done, is_last=epochs == rungs[-1][1])
            for team in teams:
                team.judge(epochs)
            bar.advance(len(teams) * (epochs - done), min(each.candidate.score for each in teams))
            done = epochs
        return total


class _Team:
    """The networks of one candidate, one for each fold, which live or die together."""

    def __init__(self, study: _Study, candidate: Candidate) -> None:
        self.candidate, self.has_diverged = candidate, False
        settings = candidate.settings
        self.batch_size = as_batch_size(settings.get("batch_size", study.batch_size))
        n_in = study.x.shape[1]
        self.networks = [study.network_of(settings, at, n_in) for at in range(len(study.folds))]
        self.optimizers = [study.optimizer_of(settings) for _ in study.folds]
        for net, scaling in zip(self.networks, study.scalings, strict=True):
            if scaling is not None:
                net.set_scaling(*scaling)
        self.costs: Array = np.full(len(study.folds), np.inf)

    def judge(self, epochs: int) -> None:
        """Note the score after so many epochs."""
        candidate = self.candidate
        candidate.epochs = epochs
        candidate.score, candidate.std = float("inf"), float("nan")
        if not self.has_diverged:
            score = float(self.costs.mean())
            candidate.score = score if np.isfinite(score) else float("inf")
            candidate.std = float(self.costs.std(ddof=1))
        candidate.scores.append((epochs, candidate.score))


class _Data(NamedTuple):
    """What all networks are trained and judged on."""

    x: Array
    y: Array
    folds: list[tuple[Array, Array]]


class _Part(NamedTuple):
    """Candidates that are trained for some more epochs, and whether they go on after that."""

    teams: list[_Team]
    epochs: int
    goes_on: bool


class _Run:
    """Workers that train candidates, and the data that they share."""

    def __init__(self, workers: Workers, shared: Any) -> None:
        self._workers, self._shared = workers, shared

    def train(self, teams: list[_Team], epochs: int, is_last: bool) -> int:
        """Train candidates for some more epochs and find their costs; return the epochs in all."""
        alive = [team for team in teams if not team.has_diverged]
        if not alive or not epochs:
            return 0
        pieces = self._workers.divide([_work(team) for team in alive])
        parts = [
            _Part([alive[at] for at in piece.members], epochs, not is_last) for piece in pieces
        ]
        check = [(each.candidate.settings, each.candidate.scores) for each in alive]
        order = Order(_train, self._shared, pieces, parts, "candidates", check)
        results = self._workers.map(order)
        for part, (teams_after, _) in zip(parts, results, strict=True):
            for team, after in zip(part.teams, teams_after, strict=True):
                team.networks, team.optimizers = after.networks, after.optimizers
                team.has_diverged, team.costs = after.has_diverged, after.costs
        return sum(done for _, done in results)


def _work(team: _Team) -> int:
    return sum(net.n_parameters for net in team.networks)


def _train(data: _Data, part: _Part) -> tuple[list[_Team], int]:
    """Train some candidates, and find their costs on the folds; this runs in a worker."""
    teams, folds = part.teams, data.folds
    history = fit_many(
        [net for team in teams for net in team.networks],
        data.x,
        flat_labels(data.y),
        optimizers=[each for team in teams for each in team.optimizers],
        epochs=part.epochs,
        batch_size=[team.batch_size for team in teams for _ in team.networks],
        rows=[train for _ in teams for train, _ in folds],
    )
    diverged = (history.status == "diverged").reshape(len(teams), -1).any(axis=1)
    rows = [_core.Rows(_core.Data(data.x, data.y), test) for _, test in folds]
    for team, bad in zip(teams, diverged, strict=True):
        team.has_diverged = bool(bad)
        if not team.has_diverged:
            found = _core.costs([net._net for net in team.networks], rows)
            team.costs = found - [penalties(net) for net in team.networks]
        if not part.goes_on:
            team.networks, team.optimizers = [], []
    return teams, int(history.epochs.sum())


def _count_outputs(targets: Array, loss: Any) -> int:
    """Return how many outputs these targets need."""
    if loss == "cross_entropy" and targets.ndim == 1:
        return int(targets.max()) + 1
    return 1 if targets.ndim == 1 else targets.shape[1]


class _Bar:
    """Progress in epochs of one candidate, and the lowest cost so far."""

    def __init__(self, display: Any) -> None:
        self._display, self._done, self._lowest = display, 0, float("inf")

    def advance(self, epochs: int, lowest: float) -> None:
        """Count the epochs of a rung, in which no score is below `lowest`."""
        self._done += epochs
        self._lowest = min(self._lowest, lowest)
        self._display.end_epoch(self._done - 1, self._lowest, None)
        self._display.update(self._done, self._lowest)


def search(
    X: Any,
    y: Any,
    space: Mapping[str, Any],
    *,
    n: int | None = None,
    folds: int = 3,
    method: str = "hyperband",
    max_epochs: int = 81,
    eta: int = 3,
    network: Mapping[str, Any] | None = None,
    optimizer: str = "adam",
    batch_size: int = 32,
    stratify: bool | None = None,
    standardize: bool = True,
    seed: int = 0,
    progress: bool = False,
    refit: bool = True,
    executor: Any = None,
) -> SearchResult:
    """Search for settings with a low cost on data that networks have not been trained on.

    The networks of all candidates and folds are trained side by side on all cores. Candidates that
    stay in the search are trained on from where they are, never anew. The result does not depend on
    the number of threads.

    Parameters
    ----------
    X, y
        As for `Network.fit`. Integer targets in one dimension are labels.
    space : dict
        For each setting, a list of choices, or a distribution: `tuning.uniform`, `tuning.log`,
        `tuning.integers`, or one of SciPy. Settings are those of the optimizer (lr, weight_decay,
        …), batch_size, and of the network: widths (of the hidden layers), activation, dropout, l1,
        l2, init, precision.
    n : int, optional
        How many candidates "halving" and "random" try, by default 27; "hyperband" finds its own
        numbers. No bracket tries a combination of choices twice: if all settings are lists, it may
        have fewer candidates.
    folds : int
        How many networks each candidate trains, each on all rows but those of a fold.
    method : str
        "random" trains all candidates for max_epochs. "halving" keeps one in eta after each rung,
        which has eta times the epochs of the one before. "hyperband" does so from several
        beginnings, from many candidates for few epochs to few candidates for all.
    max_epochs : int
        Epochs of the candidates that are trained to the end.
    eta : int
        At least 2.
    network : dict, optional
        Arguments of `Network` that all candidates share, such as activation and loss, but no seed;
        `widths` are those of the hidden layers, without the inputs and outputs. By default a hidden
        layer of 64, and cross_entropy or mse.
    optimizer : str
        Name of the optimizer. Learning rates are constant: a schedule whose end depends on the
        number of epochs would mislead the first rungs.
    batch_size : int
        Rows per update, unless it is searched.
    stratify, standardize
        As for `cross_validate`.
    seed : int
        Keys the candidates, the folds and the networks.
    progress : bool
        Show progress on standard error.
    refit : bool
        Whether a network with the best settings is trained on all rows at the end.
    executor : Workers, Executor, dask.distributed.Client, or str, optional
        Workers that train the candidates: what `pybackprop.distributed.over` takes or returns.
        After each rung their costs come back, and what stays in the search is divided anew.

    Returns
    -------
    SearchResult
        Print its `table()`.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    FloatingPointError
        Every candidate diverged.
    RuntimeError
        Workers of `executor` were lost, or one of them failed in another way.

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> x = np.random.default_rng(0).normal(size=(120, 2))
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(int)
    >>> space = {"lr": bp.tuning.log(1e-5, 1e-1), "widths": [[2], [16]]}
    >>> found = bp.search(x, y, space, max_epochs=27)
    >>> len(found.candidates), found.best_settings["widths"], found.best.epochs
    (49, [16], 27)
    >>> found.network.predict(x).shape
    (120, 2)
    """
    sources = Space(space)
    brackets = limit(make_brackets(method, n, max_epochs, eta), sources.size)
    study = _Study(locals())
    rng = np.random.default_rng(study.seed)
    candidates: list[Candidate] = []
    total = 0
    wanted = as_flag(progress, "progress")
    data = _Data(in_one_block(study.x), in_one_block(study.y), study.folds)
    with (
        using(executor) as workers,
        workers.share(data) as shared,
        make_progress(wanted and workers.rank == 0, epochs_of(brackets), 1, "epoch") as display,
    ):
        bar, run = _Bar(display), _Run(workers, shared)
        for number, rungs in enumerate(brackets):
            chosen = [Candidate(each, number) for each in sources.draw(rungs[0][0], rng)]
            candidates += chosen
            total += study.run_bracket(rungs, chosen, bar, run)
        result = SearchResult(candidates, total, None)
        if not np.isfinite(result.best_score):
            raise FloatingPointError(
                "every candidate diverged: no cost is finite; search lower learning rates"
            )
        if as_flag(refit, "refit"):
            result.network = workers.once(lambda: _refit(study, result.best))
    return result


def _refit(study: _Study, best: Candidate) -> Network:
    """Return a network that is trained with the best settings on all rows."""
    net = study.network_of(best.settings, 0, study.x.shape[1])
    if study.standardize:
        net.set_scaling(*scaling_of(study.x, np.arange(len(study.x))))
    net.fit(
        study.x,
        study.targets,
        epochs=best.epochs,
        batch_size=best.settings.get("batch_size", study.batch_size),
        optimizer=study.optimizer_of(best.settings),
    )
    return net
