"""The constructor arguments of the estimators, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core import ACTIVATIONS
from ..inputs import as_choice, as_count, as_dtype, as_flag, as_real
from ..settings import as_dropout, as_precision
from ..training.loop import as_callbacks

SOLVERS = ("adam", "sgd", "lbfgs")
_SCHEDULES = ("constant", "invscaling", "adaptive")
_HIDDEN = tuple(name for name in ACTIVATIONS if name != "softmax")
_AUTO_BATCH = 200


def _positive(value: Any, name: str) -> float:
    """Return a finite float above 0."""
    number = as_real(value, name, low=0.0)
    if number == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return number


def _as_hidden(value: Any) -> tuple[int, ...]:
    """Return the widths of the hidden layers; one number is one layer."""
    sizes = value if np.ndim(value) else [value]
    return tuple(as_count(size, "hidden_layer_sizes", low=1, high=2**31 - 1) for size in sizes)


def _as_activations(value: Any, n_hidden: int) -> tuple[str, ...]:
    """Return the core's name of the activation of every hidden layer."""
    names = [value] * n_hidden if isinstance(value, str) or np.ndim(value) == 0 else list(value)
    if isinstance(value, str):
        _core_name(value)
    if len(names) != n_hidden:
        raise ValueError(
            f"activation must be one name or one per hidden layer ({n_hidden}), got {len(names)}"
        )
    return tuple(_core_name(name) for name in names)


def _core_name(name: Any) -> str:
    """Return the core's name of an activation."""
    if name == "logistic":
        return "sigmoid"
    return as_choice(name, "activation", ("logistic", *_HIDDEN))


def _as_patience(value: Any) -> float:
    """Return n_iter_no_change: an integer, or infinity."""
    if isinstance(value, float) and np.isposinf(value):
        return value
    return as_count(value, "n_iter_no_change", low=1)


def _as_dtype(value: Any) -> str:
    """Return float32, float64 or auto."""
    return "auto" if isinstance(value, str) and value == "auto" else str(as_dtype(value))


@dataclass(frozen=True)
class Arguments:
    """The arguments that both estimators have, each as the training needs it."""

    hidden: tuple[int, ...]
    activations: tuple[str, ...]
    solver: str
    alpha: float
    batch_size: int | None
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    verbose: bool
    momentum: float
    nesterov: bool
    early_stopping: bool
    validation_fraction: float
    betas: tuple[float, float]
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: tuple[float, ...]
    dtype: str
    precision: str
    callbacks: tuple[Callable[[Any], Any], ...]
    threads: int | None

    @classmethod
    def of(cls, estimator: Any) -> Arguments:
        """Check the parameters of an estimator.

        Raises
        ------
        TypeError, ValueError
            One of them is not as described.
        """
        e = estimator
        hidden = _as_hidden(e.hidden_layer_sizes)
        automatic = isinstance(e.batch_size, str) and e.batch_size == "auto"
        as_flag(e.warm_start, "warm_start")
        return cls(
            hidden=hidden,
            activations=_as_activations(e.activation, len(hidden)),
            solver=as_choice(e.solver, "solver", SOLVERS),
            alpha=as_real(e.alpha, "alpha", low=0.0),
            batch_size=None if automatic else as_count(e.batch_size, "batch_size", low=1),
            learning_rate=as_choice(e.learning_rate, "learning_rate", _SCHEDULES),
            learning_rate_init=_positive(e.learning_rate_init, "learning_rate_init"),
            power_t=as_real(e.power_t, "power_t", low=0.0),
            max_iter=as_count(e.max_iter, "max_iter", low=1),
            shuffle=as_flag(e.shuffle, "shuffle"),
            tol=as_real(e.tol, "tol", low=0.0),
            verbose=bool(e.verbose),
            momentum=as_real(e.momentum, "momentum", 0.0, 1.0),
            nesterov=as_flag(e.nesterovs_momentum, "nesterovs_momentum"),
            early_stopping=as_flag(e.early_stopping, "early_stopping"),
            validation_fraction=as_real(
                e.validation_fraction, "validation_fraction", 0.0, 1.0, open_high=True
            ),
            betas=(
                as_real(e.beta_1, "beta_1", 0.0, 1.0, open_high=True),
                as_real(e.beta_2, "beta_2", 0.0, 1.0, open_high=True),
            ),
            epsilon=_positive(e.epsilon, "epsilon"),
            n_iter_no_change=_as_patience(e.n_iter_no_change),
            max_fun=as_count(e.max_fun, "max_fun", low=1),
            dropout=as_dropout(e.dropout, len(hidden)),
            dtype=_as_dtype(e.dtype),
            precision=as_precision(e.precision),
            callbacks=as_callbacks(e.callbacks),
            threads=None if e.threads is None else as_count(e.threads, "threads", low=1),
        )

    def rows_of_batch(self, rows: int) -> int:
        """Return the rows of a minibatch, where there are `rows` in all."""
        return min(self.batch_size or _AUTO_BATCH, rows)

    def dtype_for(self, rows: int, incremental: bool) -> str:
        """Return the type of a new network."""
        if self.dtype != "auto":
            return self.dtype
        whole = self.solver == "lbfgs" or self.rows_of_batch(rows) == rows
        exact = whole and not incremental and self.precision == "float32"
        return "float64" if exact else "float32"
