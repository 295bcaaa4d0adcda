"""The losses of the estimators, as losses of the core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..losses import Array, LossFunction

# Losses of MLPRegressor; a callable is one too.
REGRESSION = ("squared_error", "poisson", "absolute_error", "mae", "huber", "quantile")


class Objective(NamedTuple):
    """A loss: what the core minimises, times `scale`, is what the estimator reports.

    The learning rate, Adam's epsilon and the penalty are scaled likewise, so that the updates are
    those of the reported loss.

    Attributes
    ----------
    loss : str or callable
        The loss of the network.
    output : str
        Its output activation.
    scale : float
        Reported loss over the network's cost.
    out_activation : str
        The output activation by scikit-learn's name; "exp" is applied after the network.
    """

    loss: str | LossFunction
    output: str
    scale: float
    out_activation: str


class Quantile:
    """The pinball loss max(q (y - a), (q - 1) (y - a)), summed over outputs.

    Its minimum is the q-quantile (Koenker and Bassett, Regression quantiles, 1978).
    """

    def __init__(self, quantile: float) -> None:
        self.quantile = quantile

    def __call__(self, a: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of each example and its derivative in a."""
        error = y - a
        slope = np.where(error > 0, self.quantile, self.quantile - 1.0)
        # At the kink the derivative is 0, one of its subgradients.
        derivative = np.where(error == 0, 0.0, -slope)
        return (slope * error).sum(axis=1), derivative

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantile) and other.quantile == self.quantile

    def __hash__(self) -> int:
        return hash(self.quantile)


def poisson(a: Array, y: Array) -> tuple[Array, Array]:
    """Half the Poisson deviance y log(y / p) - y + p at p = exp(a), summed over outputs."""
    p = np.exp(a)
    log_y = np.log(np.where(y > 0, y, 1.0))
    return (y * (log_y - a) - y + p).sum(axis=1), p - y


def regression(loss: str | LossFunction, quantile: float, n_out: int) -> Objective:
    """Return the objective of a regression."""
    if loss == "squared_error":
        return Objective("squared_error", "identity", 0.5, "identity")
    if loss == "poisson":
        return Objective(poisson, "identity", 1.0, "exp")
    if loss in ("absolute_error", "mae"):
        return Objective("mae", "identity", float(n_out), "identity")
    if loss == "huber":
        return Objective("huber", "identity", float(n_out), "identity")
    if loss == "quantile":
        return Objective(Quantile(quantile), "identity", 1.0, "identity")
    return Objective(loss, "identity", 1.0, "identity")


def classification(n_out: int, multiclass: bool) -> Objective:
    """Return the objective of a classification: log loss, summed over labels."""
    if multiclass:
        return Objective("cross_entropy", "softmax", 1.0, "softmax")
    return Objective("binary_cross_entropy", "sigmoid", float(n_out), "logistic")
