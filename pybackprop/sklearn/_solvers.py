"""The solvers of the estimators: minibatches by the core, and L-BFGS around its gradient."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from .._core import Array, random_permutation
from ..network import Network
from ..optimizers import SGD, Adam, Optimizer
from ..training.history import EpochEnd
from . import _data
from ._arguments import Arguments
from ._data import Rows
from ._objectives import Objective

# The learning rate at which `adaptive` gives up.
_LOWEST_RATE = 1e-6


class Estimator(Protocol):
    """What a solver finds in an estimator, and where it puts its figures."""

    n_iter_: int
    t_: int
    loss_: float
    converged_: bool
    loss_curve_: list[float]
    best_loss_: Any
    best_validation_score_: Any
    validation_scores_: Any
    validation_loss_curve_: Any
    _network: Network
    _optimizer: Optimizer
    _best_parameters: Array | None
    _no_improvement_count: int

    def _score_outputs(self, outputs: Array, targets: Array, sample_weight: Array | None) -> float:
        """Return the score that early stopping goes by."""


def make_optimizer(arguments: Arguments, objective: Objective) -> Optimizer:
    """Return a new optimizer whose updates are those of the reported loss."""
    rate = arguments.learning_rate_init
    if arguments.solver == "adam":
        optimizer = Adam(lr=rate, betas=arguments.betas)
        set_epsilon(optimizer, arguments, objective)
        return optimizer
    nesterov = arguments.nesterov and arguments.momentum > 0
    return SGD(lr=rate * objective.scale, momentum=arguments.momentum, nesterov=nesterov)


def set_epsilon(optimizer: Adam, arguments: Arguments, objective: Objective) -> None:
    """Set Adam's eps for the coming steps.

    scikit-learn adds epsilon to sqrt(v), our core to sqrt(v / (1 - beta_2^t)).
    """
    correction = math.sqrt(1.0 - arguments.betas[1] ** (optimizer.steps + 1))
    optimizer.eps = arguments.epsilon / (objective.scale * correction)


def penalty(arguments: Arguments, objective: Objective, rows: Rows, batch_size: int) -> float:
    """Return the network's l2, which is alpha over the weight of a batch, on average."""
    n_batches = -(-rows.x.shape[0] // batch_size)
    return float(arguments.alpha * n_batches / (rows.total * objective.scale))


class Stochastic:
    """One call of fit or partial_fit with solver sgd or adam."""

    def __init__(
        self,
        estimator: Estimator,
        arguments: Arguments,
        objective: Objective,
        training: Rows,
        held_out: Rows | None,
        incremental: bool,
    ) -> None:
        self.estimator, self.arguments, self.objective = estimator, arguments, objective
        self.training, self.held_out, self.incremental = training, held_out, incremental
        self.network: Network = estimator._network
        self.optimizer: Optimizer = estimator._optimizer
        self.rows = training.x.shape[0]
        self.batch_size = arguments.rows_of_batch(self.rows)
        if arguments.batch_size is not None and arguments.batch_size > self.rows:
            warnings.warn(
                f"batch_size={arguments.batch_size} is larger than the number of rows to train on, "
                f"{self.rows}. It is going to be clipped",
                stacklevel=5,
            )

    def run(self) -> None:
        """Train until the loss or the score stops improving, or max_iter."""
        epochs = self.begin()
        fit = self._fit_sparse if _data.is_sparse(self.training.x) else self._fit_dense
        try:
            fit(epochs)
        except FloatingPointError as error:
            self.diverge(error)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        else:
            if self.is_unfinished(epochs):
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the "
                    "optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
        self.end()

    def begin(self) -> int:
        """Begin to count; return for how many epochs to train at most."""
        self.estimator.n_iter_ = 0
        self.estimator.converged_ = False
        return 1 if self.incremental else self.arguments.max_iter

    def is_unfinished(self, epochs: int) -> bool:
        """Return whether it has been trained for so many epochs without converging."""
        estimator = self.estimator
        return estimator.n_iter_ == epochs and not (estimator.converged_ or self.incremental)

    def diverge(self, error: FloatingPointError) -> None:
        """End with the best weights so far if there are any, else with an error."""
        best = self.estimator._best_parameters if self.arguments.early_stopping else None
        if best is None or self.incremental:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain "
                f"large values and need to be preprocessed: {error}"
            ) from error
        self._note_divergence()

    def end(self) -> None:
        """Put the best weights back, if they are kept."""
        estimator = self.estimator
        put_back = estimator.converged_ or not self.incremental
        if self.arguments.early_stopping and put_back and estimator._best_parameters is not None:
            self.network.parameters = estimator._best_parameters

    def _note_divergence(self) -> None:
        """Note an epoch without a finite loss, as scikit-learn does; the best weights remain."""
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.rows
        estimator.loss_ = math.nan
        estimator.loss_curve_.append(math.nan)
        estimator.validation_scores_.append(math.nan)
        estimator.validation_loss_curve_.append(math.nan)
        warnings.warn(
            f"Stochastic Optimizer: The training diverged in iteration {estimator.n_iter_}: its "
            "loss is not finite. The weights with the best validation score have been put back. A "
            "smaller learning_rate_init may help.",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _fit_dense(self, epochs: int) -> None:
        """Train in the core, which converts rows as it reads them."""
        self.network.fit(
            self.training.x,
            self.training.y,
            epochs=epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            shuffle=self.arguments.shuffle,
            sample_weight=self.training.weights,
            callbacks=self.end_epoch,
        )

    def _fit_sparse(self, epochs: int) -> None:
        """Train step by step, so that only a batch is dense at a time."""
        network, net = self.network, self.network._net
        for epoch in range(epochs):
            begin, total, weight = time.perf_counter(), 0.0, 0.0
            order = np.arange(self.rows)
            if self.arguments.shuffle:
                order = random_permutation(network.seed, net.get_counters()[1], self.rows)
            for first in range(0, self.rows, self.batch_size):
                batch = self.training.take(order[first : first + self.batch_size])
                x = _data.as_dense(batch.x, network.dtype)
                # A batch is weighted by its sum of weights, as in `fit`.
                of_batch = float(len(x) if batch.weights is None else batch.weights.sum())
                total += of_batch * network.step(x, batch.y, self.optimizer, batch.weights)
                weight += of_batch
            # As in `fit`: neither the cost nor the parameters after the last update may be
            # infinite.
            if not (math.isfinite(total) and np.isfinite(network.parameters).all()):
                raise FloatingPointError(f"the cost is not finite in epoch {epoch}")
            steps, done = net.get_counters()
            net.set_counters(steps, done + 1)
            cost, rate = total / weight, self.optimizer._rate()
            seconds = time.perf_counter() - begin
            end = EpochEnd(epoch, cost, None, seconds, rate, network, self.optimizer)
            if self.end_epoch(end):
                break

    def end_epoch(self, end: EpochEnd) -> bool:
        """Note the figures of an epoch, adapt the learning rate; return whether to stop."""
        estimator, arguments, scale = self.estimator, self.arguments, self.objective.scale
        estimator.n_iter_ += 1
        estimator.t_ += self.rows
        estimator.loss_ = end.cost * scale
        estimator.loss_curve_.append(estimator.loss_)
        if arguments.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        val_loss = None if self.held_out is None else self._validate(self.held_out)
        self._count_improvement()
        if isinstance(self.optimizer, Adam):
            set_epsilon(self.optimizer, arguments, self.objective)
        elif arguments.learning_rate == "invscaling":
            self._set_rate(arguments.learning_rate_init / (estimator.t_ + 1) ** arguments.power_t)
        stop = False
        if estimator._no_improvement_count > arguments.n_iter_no_change:
            stop = estimator.converged_ = self._give_up()
            if not stop:
                estimator._no_improvement_count = 0
        figures = end._replace(
            cost=estimator.loss_, val_cost=val_loss, lr=end.lr / self._rate_scale()
        )
        for callback in arguments.callbacks:
            stop = callback(figures) is True or stop
        return stop

    def _validate(self, rows: Rows) -> float:
        """Note the score and the loss on the held-out rows; return the loss."""
        estimator = self.estimator
        outputs = _data.predict(self.network, rows.x)
        score = np.nan
        if np.isfinite(outputs).all():
            score = estimator._score_outputs(outputs, rows.y, rows.sample_weight)
        estimator.validation_scores_.append(score)
        loss = _data.cost(self.network, rows) * self.objective.scale
        estimator.validation_loss_curve_.append(loss)
        if self.arguments.verbose:
            print(f"Validation score: {score:f}")
        return loss

    def _count_improvement(self) -> None:
        """Count the epochs without an improvement by tol, and keep the best parameters."""
        estimator, tol = self.estimator, self.arguments.tol
        if self.arguments.early_stopping:
            score, best = estimator.validation_scores_[-1], estimator.best_validation_score_
            improved = not score < best + tol
            if score > best:
                estimator.best_validation_score_ = score
                estimator._best_parameters = self.network.parameters.copy()
        else:
            improved = not estimator.loss_ > estimator.best_loss_ - tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1

    def _give_up(self) -> bool:
        """Return whether to stop if nothing improves; `adaptive` lowers the rate first."""
        arguments, end = self.arguments, " Stopping."
        rate = self._rate()
        lower = arguments.solver == "sgd" and arguments.learning_rate == "adaptive"
        if lower and rate > _LOWEST_RATE:
            self._set_rate(rate / 5.0)
            end = f" Setting learning rate to {rate / 5.0:f}"
        elif lower:
            end, lower = " Learning rate too small. Stopping.", False
        if arguments.verbose:
            what = "Validation score" if arguments.early_stopping else "Training loss"
            print(
                f"{what} did not improve more than tol={arguments.tol:f} for "
                f"{arguments.n_iter_no_change} consecutive epochs.{end}"
            )
        return not lower

    def _rate_scale(self) -> float:
        """Return the optimizer's learning rate over that of the reported loss."""
        return self.objective.scale if self.arguments.solver == "sgd" else 1.0

    def _rate(self) -> float:
        return self.optimizer._rate() / self._rate_scale()

    def _set_rate(self, rate: float) -> None:
        """Set the learning rate, and keep the velocity as scikit-learn does.

        In scikit-learn, velocity is -lr times our buffer: a new rate affects only what is added
        later.
        """
        buffer = self.optimizer._state.vectors[0]
        if buffer is not None:
            buffer *= self._rate() / rate
        self.optimizer.lr = rate * self._rate_scale()


class Lbfgs(NamedTuple):
    """One call of fit with solver lbfgs."""

    estimator: Estimator
    arguments: Arguments
    objective: Objective
    rows: Rows

    def run(self) -> None:
        """Minimise."""
        fit_lbfgs(*self)


def fit_lbfgs(estimator: Estimator, arguments: Arguments, objective: Objective, rows: Rows) -> None:
    """Minimise over all rows with scipy's L-BFGS-B, in float64."""
    network: Network = estimator._network
    settings = {**network._settings(), "dtype": "float64", "precision": "float32"}
    exact = Network._from_state(
        settings, network.parameters.astype(np.float64), network._net.get_counters(), None, {}
    )

    def evaluate(parameters: Array) -> tuple[float, Array]:
        exact.parameters = parameters
        cost, gradient = _data.backprop(exact, rows)
        return cost * objective.scale, gradient * objective.scale

    def report(intermediate_result: Any) -> None:
        print(f"loss = {intermediate_result.fun:.8f}")

    result = scipy.optimize.minimize(
        evaluate,
        exact.parameters.copy(),
        method="L-BFGS-B",
        jac=True,
        callback=report if arguments.verbose else None,
        options={
            "maxfun": arguments.max_fun,
            "maxiter": arguments.max_iter,
            "gtol": arguments.tol,
        },
    )
    if not (np.isfinite(result.x).all() and np.isfinite(result.fun)):
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large "
            "values and need to be preprocessed."
        )
    network.parameters = result.x
    estimator.n_iter_ = min(int(result.nit), arguments.max_iter)
    estimator.loss_ = float(result.fun)
    estimator.converged_ = bool(result.success)
    if not result.success:
        warnings.warn(
            f"lbfgs failed to converge after {result.nit} iteration(s) "
            f"(status={result.status}):\n{result.message}",
            ConvergenceWarning,
            stacklevel=4,
        )
