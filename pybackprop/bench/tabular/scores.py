"""How good predictions are, and what many tables say together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What an error is raised by before its logarithm is taken, so that no perfect table decides alone.
SHIFT = 0.01


def error_rate(p: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """Return the share of rows whose most probable class is not theirs.

    Parameters
    ----------
    p : ndarray of shape (N, k)
        Probabilities.
    y : ndarray of shape (N,)
        Indices of the classes.
    """
    return float((p.argmax(axis=1) != y).mean())


def relative_rmse(predicted: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the root of the mean squared error over the standard deviation of the targets.

    Parameters
    ----------
    predicted, y : ndarray of shape (N,)
    """
    return float(np.sqrt(np.mean((predicted - y) ** 2)) / (y.std() or 1.0))


def shifted_geometric_mean(errors: Sequence[float]) -> float:
    """Return exp(mean(log(error + 0.01))), in which every table counts by ratios.

    Parameters
    ----------
    errors : sequence of float
        At least one, none below 0.

    Raises
    ------
    ValueError
        There are none.

    Examples
    --------
    >>> from pybackprop.bench.tabular.scores import shifted_geometric_mean
    >>> round(shifted_geometric_mean([0.0, 0.15]), 6)
    0.04
    """
    if not errors:
        raise ValueError("errors must not be empty")
    return math.exp(sum(math.log(error + SHIFT) for error in errors) / len(errors))


def ranks(errors: Sequence[float]) -> list[float]:
    """Return the place of each error among all, 1 for the lowest; equal ones share their places.

    Parameters
    ----------
    errors : sequence of float

    Examples
    --------
    >>> from pybackprop.bench.tabular.scores import ranks
    >>> ranks([0.3, 0.1, 0.3, 0.2])
    [3.5, 1.0, 3.5, 2.0]
    """
    return [
        sum(other < error for other in errors) + (sum(other == error for other in errors) + 1) / 2
        for error in errors
    ]


class Standing(NamedTuple):
    """How a model stands in the tables that all models have learnt.

    Attributes
    ----------
    classes, numbers, all : float
        The shifted geometric mean of the errors: of tables of classes, of tables of numbers, of
        both. NaN if there are none.
    rank : float
        The mean of its ranks.
    wins : int
        In how many tables no other model has a lower error.
    """

    classes: float
    numbers: float
    all: float
    rank: float
    wins: int


def standings(
    errors: Mapping[str, Mapping[str, float]], is_classes: Mapping[str, bool]
) -> dict[str, Standing]:
    """Return how each model stands.

    Parameters
    ----------
    errors : mapping
        By table and model, the mean error over the divisions. Every table has every model.
    is_classes : mapping
        By table, whether its targets are classes.
    """
    models = list(next(iter(errors.values()), {}))
    places = {name: ranks([found[model] for model in models]) for name, found in errors.items()}

    def mean(model: str, kinds: tuple[bool, ...]) -> float:
        chosen = [found[model] for name, found in errors.items() if is_classes[name] in kinds]
        return shifted_geometric_mean(chosen) if chosen else math.nan

    return {
        model: Standing(
            mean(model, (True,)),
            mean(model, (False,)),
            mean(model, (True, False)),
            sum(place[at] for place in places.values()) / len(places),
            sum(found[model] == min(found.values()) for found in errors.values()),
        )
        for at, model in enumerate(models)
    }
