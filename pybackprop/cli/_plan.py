"""How `train` trains: the constants of a recipe, with those of the options in their place."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..recipes import Recipe, recipe_of
from ..scores import OF_CLASSES, OF_NUMBERS

if TYPE_CHECKING:
    from ..datasets import Dataset

OPTIMIZERS = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3, "adagrad": 2e-2, "sgd": 5e-2}
SCHEDULES = ("cosine", "flat_cos", "coslog4", "constant")
# How many rows are learnt at most without early stopping, epochs counted.
_ROWS_TO_LEARN = 60_000
# With fewer examples, none is set aside.
_LEAST_TO_STOP = 20
_DROPOUT = 0.1


class Plan(NamedTuple):
    """How to train: see `plan_of`."""

    recipe: Recipe
    patience: int | None
    metric: str
    weights: Any

    @property
    def epochs(self) -> int:
        """How many to train at most."""
        return self.recipe.epochs

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self.recipe.batch_size

    def as_long_as(self, other: Plan) -> Plan:
        """Return the plan with the epochs and the batches of another one."""
        recipe = replace(self.recipe, epochs=other.epochs, batch_size=other.batch_size)
        return self._replace(recipe=recipe)


def is_table(args: argparse.Namespace, data: Dataset) -> bool:
    """Tell whether a data set is a user's table, for which other defaults are better."""
    from ..datasets import BUILT_IN

    return data.encoding is not None and args.data not in BUILT_IN


def class_weights(args: argparse.Namespace, data: Dataset) -> Any:
    """Return the weight of each class, or None for equal ones.

    Raises
    ------
    ValueError
        If the data have no classes, or a name is none of theirs.
    """
    import numpy as np

    if not args.class_weight:
        return None
    if data.class_names is None:
        raise ValueError("--class-weight is for classes, but the targets are numbers")
    if args.class_weight == ["balanced"]:
        counts = np.bincount(data.y, minlength=data.n_outputs)
        present = counts > 0
        return np.where(present, len(data.y) / (present.sum() * np.maximum(counts, 1)), 0.0)
    weights = np.ones(data.n_outputs)
    for text in args.class_weight:
        name, _, value = text.rpartition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if name not in data.class_names or not 0.0 <= weight < np.inf:
            known = ", ".join(data.class_names[:8])
            raise ValueError(
                f"--class-weight: expected balanced, or NAME=WEIGHT with a class ({known}) and a "
                f"number >= 0, got {text!r}"
            )
        weights[data.class_names.index(name)] = weight
    if not weights.any():
        raise ValueError("--class-weight: at least one class must have a weight above 0")
    return weights


def metric_of(args: argparse.Namespace, data: Dataset) -> str:
    """Return the score that decides when to stop, which must fit the task."""
    known = OF_NUMBERS if data.class_names is None else OF_CLASSES
    if args.metric is None:
        return known[0]
    if args.metric not in known:
        kind = "numbers" if data.class_names is None else "classes"
        raise ValueError(f"--metric {args.metric}: of {kind}, expected one of {', '.join(known)}")
    return str(args.metric)


def plan_of(args: argparse.Namespace, data: Dataset) -> Plan:
    """Return how to train on a data set, by the recipe, the options and its size."""
    recipe = constants(args, data)
    return Plan(
        recipe, patience_of(args, data, recipe), metric_of(args, data), class_weights(args, data)
    )


def patience_of(args: argparse.Namespace, data: Dataset, recipe: Recipe) -> int | None:
    """Return how many epochs early stopping waits; None for no early stopping.

    It is the default for tables, if there are enough examples to set some aside. A recipe that
    trains all epochs waits for as long, so that its best epoch is kept.
    """
    if args.patience is not None:
        return args.patience or None
    enough = is_table(args, data) and data.n_examples >= _LEAST_TO_STOP
    return (recipe.patience or recipe.epochs) if enough else None


def constants(args: argparse.Namespace, data: Dataset) -> Recipe:
    """Return the constants of the recipe, with those of the options in their place.

    Raises
    ------
    ValueError
        If the recipe is not for such data or options.
    """
    of_classes = data.class_names is not None
    found = recipe_of(args.recipe, data.n_examples, of_classes, metric_of(args, data))
    if found.name == "plain":
        found = _without_table(args, data, found)
    elif not is_table(args, data):
        raise ValueError(f"--recipe {found.name} is for tables, but {data.name} is none")
    elif args.optimizer not in (None, "adam"):
        raise ValueError(f"--recipe {found.name} needs --optimizer adam, got {args.optimizer}")
    if found.label_smoothing and args.loss not in (None, "cross_entropy"):
        found = replace(found, label_smoothing=0.0)
    given = {
        name: getattr(args, name)
        for name in ("activation", "l2", "dropout", "label_smoothing", "lr", "schedule")
        if getattr(args, name) is not None
    }
    if args.hidden is not None:
        given["hidden"] = tuple(args.hidden)
    for name in ("batch_size", "epochs"):
        given |= {name: getattr(args, name)} if getattr(args, name) else {}
    return replace(found, **given)


def _without_table(args: argparse.Namespace, data: Dataset, recipe: Recipe) -> Recipe:
    """Return the plain recipe for data that are no table, or for training without early stopping.

    Tables have few rows and much noise: slower steps and more dropout predict 2 % better (log
    loss).
    """
    table, rate = is_table(args, data), recipe.lr
    optimizer = args.optimizer or "adam"
    if not (table and data.class_names is not None and optimizer in ("adam", "adamw")):
        rate = OPTIMIZERS[optimizer]
    dropout = recipe.dropout if table else min(recipe.dropout, _DROPOUT)
    epochs = recipe.epochs
    if not table or patience_of(args, data, recipe) is None:
        epochs = min(max(round(_ROWS_TO_LEARN / data.n_examples), 10), 500)
    return replace(recipe, lr=rate, dropout=dropout, epochs=epochs)


def optimizer(args: argparse.Namespace, steps: int, recipe: Recipe) -> Any:
    """Make the optimizer with its learning-rate schedule."""
    from .. import SGD, Adagrad, AdamW, RMSprop

    adam = recipe.optimizer(steps)
    if args.optimizer == "sgd":
        return SGD(adam.lr, momentum=0.9, nesterov=True)
    if args.optimizer in ("rmsprop", "adagrad"):
        return {"rmsprop": RMSprop, "adagrad": Adagrad}[args.optimizer](adam.lr)
    return AdamW(adam.lr) if args.optimizer == "adamw" else adam
