"""Recipes: how a network for a table is made and trained, constant by constant.

`plain` is what `pybackprop train` does with a table. `realmlp-s` is RealMLP-S, the small recipe of
Holzmüller, Grinsztajn and Steinwart (Better by default: strong pre-tuned MLPs and boosted trees on
tabular data, NeurIPS 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import schedules
from ._core import Array
from .initializers import initial_weights, normals
from .losses import smoothed
from .model import Model
from .optimizers import Adam, Optimizer

RECIPES = ("plain", "realmlp-s")
# Those that a network of dense layers cannot carry.
_NOT_YET = ("realmlp", "tabm-mini")
# The rows of a batch by those to train on: at most so many, and the batch.
_BATCHES = ((1_024, 64), (8_192, 128), (30_000, 256), (100_000, 512), (math.inf, 1_024))
_SCHEDULES: dict[str, Any] = {
    "cosine": schedules.Cosine,
    "flat_cos": schedules.FlatCos,
    "coslog4": schedules.CosLog4,
}
# A probability of the constant to begin with lies within these.
_LEAST_SHARE = 1e-6
# Layer numbers of the draws of biases are those of the weights plus this.
_BIASES = 2**31


@dataclass(frozen=True)
class Recipe:
    """The constants of a recipe for a table of some size.

    Attributes
    ----------
    name : str
    hidden : tuple of int
        Widths of the hidden layers.
    activation : str
        Of the hidden layers.
    dropout, l2, label_smoothing : float
        As for `Network`.
    robust : bool
        Whether all inputs are scaled by a `RobustScaling`; otherwise, numbers are standardised.
    lr : float
        The highest learning rate.
    betas : pair of float
        Of Adam.
    schedule : {"cosine", "flat_cos", "coslog4", "constant"}
        Of the learning rate.
    batch_size, epochs : int
    patience : int or None
        Epochs without improvement after which training stops.
    keeps_last : bool
        Whether of equally good epochs the last is the best one; otherwise the first.
    ntk : bool
        Whether a layer is W x / sqrt(n_in) + b with W and b from N(0, 1) (the neural tangent
        parametrisation), and biases have a tenth of the learning rate. A network has
        W' = W / sqrt(n_in), whose gradient is sqrt(n_in) times as large. Adam's step does not
        depend on the scale of the gradient if eps has the same scale, so that W' has the learning
        rate divided by sqrt(n_in), and eps times sqrt(n_in). Weight decay, of which there is none,
        would have to be multiplied by sqrt(n_in).
    scales_lr : float or None
        Factor of the learning rate of the trained factors of the inputs; None if there are none.
    """

    name: str
    hidden: tuple[int, ...]
    activation: str
    dropout: float
    l2: float
    label_smoothing: float
    robust: bool
    lr: float
    betas: tuple[float, float]
    schedule: str
    batch_size: int
    epochs: int
    patience: int | None
    keeps_last: bool
    ntk: bool
    scales_lr: float | None

    def factors(self, n_in: int) -> dict[str, Any]:
        """Return the arguments of `Network` about what is trained, and at which rates.

        Parameters
        ----------
        n_in : int
            Inputs of the network that are in use.
        """
        found: dict[str, Any] = {}
        if self.ntk:
            roots = [math.sqrt(width) for width in (n_in, *self.hidden)]
            found["lr_factors"] = [(1.0 / root, 0.1) for root in roots]
            found["eps_factors"] = [(root, 1.0) for root in roots]
        if self.scales_lr is not None:
            found["input_scales"] = True
            found["input_scale_factors"] = (self.scales_lr, 1.0, 1.0)
        return found

    def begin(self, net: Model, constant: Array, n_in: int | None = None) -> None:
        """Give a network its first parameters: the outputs are a constant for all inputs.

        Parameters
        ----------
        net : Network
        constant : ndarray, (n_outputs,)
            The biases of the last layer, whose weights are 0.
        n_in : int, optional
            The inputs in use, if the others are always 0; by default all.
        """
        last = len(net.weights) - 1
        if self.ntk:
            for layer in range(last):
                n_out, width = net.weights[layer].shape
                used = n_in if layer == 0 and n_in is not None else width
                w = np.zeros((n_out, width))
                drawn = normals(net.seed, layer, n_out * used).reshape(n_out, used)
                w[:, :used] = drawn / math.sqrt(used)
                net.set_layer(layer, w, normals(net.seed, layer + _BIASES, n_out))
        elif n_in is not None:
            n_out, width = net.weights[0].shape
            w = np.zeros((n_out, width))
            w[:, :n_in] = initial_weights("auto", self.activation, net.seed, 0, n_out, n_in)
            net.set_layer(0, w, net.biases[0])
        net.set_layer(last, np.zeros_like(net.weights[last]), constant)

    def optimizer(self, steps: int) -> Optimizer:
        """Return the optimizer, whose schedule takes so many steps."""
        kind = _SCHEDULES.get(self.schedule)
        return Adam(self.lr if kind is None else kind(self.lr, steps), betas=self.betas)


def recipe_of(name: Any, rows: int, of_classes: bool, metric: str) -> Recipe:
    """Return the constants of a recipe.

    Parameters
    ----------
    name : str
        Of `RECIPES`.
    rows : int
        Those to train on.
    of_classes : bool
        Whether the targets are classes; otherwise they are numbers, standardised.
    metric : str
        The score that decides which epoch is the best. For accuracy, `realmlp-s` smooths labels by
        0.1, which costs log loss and calibration; for other scores by 0.01.

    Raises
    ------
    ValueError
        If there is no such recipe.
    """
    check_recipe(name)
    if name == "plain":
        return Recipe(
            name=name,
            hidden=(128, 128),
            activation="relu",
            dropout=0.3 if of_classes else 0.0,
            l2=0.0 if of_classes else 10.0 / rows,
            label_smoothing=0.0,
            robust=False,
            lr=1e-3 if of_classes else 3e-3,
            betas=(0.9, 0.999),
            schedule="cosine",
            batch_size=32 if rows < 10_000 else 128,
            epochs=min(max(round(200_000 / rows), 10), 500),
            patience=30,
            keeps_last=False,
            ntk=False,
            scales_lr=None,
        )
    return Recipe(
        name=name,
        hidden=(256, 256, 256),
        activation="selu" if of_classes else "mish",
        dropout=0.0,
        l2=0.0,
        label_smoothing=_smoothing_of(metric) if of_classes else 0.0,
        robust=True,
        lr=0.04 if of_classes else 0.07,
        betas=(0.9, 0.95),
        schedule="coslog4",
        batch_size=next(batch for most, batch in _BATCHES if rows <= most),
        epochs=256,
        patience=None,
        keeps_last=True,
        ntk=True,
        scales_lr=6.0,
    )


def _smoothing_of(metric: str) -> float:
    """Return the label smoothing of `realmlp-s`, which the paper has for accuracy only.

    Without any, a network without dropout and weight decay becomes so sure where it separates all
    rows that a few wrong ones decide the log loss; 0.01 bounds that.
    """
    return 0.1 if metric == "accuracy" else 0.01


def check_recipe(name: Any) -> None:
    """Raise a ValueError if there is no recipe of this name."""
    if name in RECIPES:
        return
    known = " or ".join(repr(each) for each in RECIPES)
    if name in _NOT_YET:
        raise ValueError(f"recipe {name!r} is not available yet; use {known}")
    raise ValueError(f"recipe must be {known}, got {name!r}")


def constant_of(y: Array, n_classes: int | None, label_smoothing: float = 0.0) -> Array:
    """Return what the last biases are for the outputs to be the best constant.

    Parameters
    ----------
    y : ndarray, (N,)
        Indices of classes, or numbers with mean 0.
    n_classes : int or None
        How many classes there are; None for numbers.
    label_smoothing : float
        Of the loss.

    Returns
    -------
    ndarray, (n_classes,) or (1,)
        The logarithms of the shares of the classes; 0 for numbers.
    """
    if n_classes is None:
        return np.zeros(1)
    share = np.bincount(y, minlength=n_classes)[np.newaxis] / len(y)
    bounded = np.clip(smoothed(share, label_smoothing)[0], _LEAST_SHARE, 1.0 - _LEAST_SHARE)
    biases: Array = np.log(bounded)
    return biases
