"""Making and training the network of `train`: targets, weights, when to stop, and on which rows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..losses import OUTPUT_OF
from ..recipes import Recipe
from ..scores import FALLING, log_loss, probabilities, scores_of_classes, scores_of_numbers
from . import _parallel
from ._data import split
from ._plan import Plan, constants, is_table, optimizer

if TYPE_CHECKING:
    from .. import History, Network
    from ..datasets import Dataset

# The shares of the training examples that decide when to stop: of few, and of many.
_STOPPING_PARTS = ((1_000, 0.2), (None, 0.1))


class Trained(NamedTuple):
    """A network in training units, and how it came about.

    Attributes
    ----------
    net : Network
    history : History
    rate : float
        Examples trained on per second.
    untrained : float
        Cost of the training examples before the first step.
    epochs : int
        Epochs after which the parameters were the best.
    kept_constant : bool
        Whether no epoch was better than the constant that the network started from.
    """

    net: Network
    history: History
    rate: float
    untrained: float
    epochs: int
    kept_constant: bool


def loss_of(args: argparse.Namespace, data: Dataset) -> str:
    """Return the loss, which must fit the task."""
    loss = args.loss
    if loss is None:
        loss = "mse" if data.class_names is None else "cross_entropy"
    elif data.class_names is None and loss in OUTPUT_OF:
        raise ValueError(f"--loss {loss} is for classes, but the targets are numbers")
    if args.label_smoothing and loss != "cross_entropy":
        raise ValueError(f"--label-smoothing is for the loss cross_entropy, but the loss is {loss}")
    return str(loss)


def network(args: argparse.Namespace, data: Dataset, loss: str) -> Network:
    """Make the untrained network, which standardises its inputs itself.

    Classes trained with another loss than cross-entropy get sigmoid outputs.
    """
    from .. import Network

    output = "identity" if data.class_names is None else OUTPUT_OF.get(loss, "sigmoid")
    recipe = constants(args, data)
    net = Network(
        [data.n_features, *recipe.hidden, data.n_outputs],
        activation=recipe.activation,
        output=output,
        loss=loss,
        dropout=recipe.dropout if recipe.hidden else 0.0,
        l2=recipe.l2,
        label_smoothing=recipe.label_smoothing,
        dtype=args.dtype,
        precision=args.precision,
        seed=args.seed,
        **recipe.factors(data.n_features),
    )
    if data.encoding is None or data.encoding.scaling is None:
        net.set_scaling(*data.scaling())
    return net


def targets_of(data: Dataset, net: Network, y: Any) -> Any:
    """Return targets as the loss takes them: labels, rows of 0 and 1, or standardised numbers."""
    import numpy as np

    if data.class_names is None:
        mean, std = _target_scaling(data)
        return (y.reshape(len(y), -1) - mean) / std
    if net.loss == "cross_entropy":
        return y
    return np.eye(data.n_outputs, dtype=net.dtype)[y]


def _target_scaling(data: Dataset) -> tuple[Any, Any]:
    """Return mean and standard deviation of the training targets, each of shape (k,)."""
    import numpy as np

    y = data.y.reshape(len(data.y), -1)
    std = y.std(axis=0)
    return y.mean(axis=0), np.where(np.ptp(y, axis=0) > 0.0, std, 1.0)


def in_raw_units(net: Network, data: Dataset) -> Network:
    """Return a network that predicts raw targets: its linear output takes in their scaling.

    It keeps the factors of its inputs and those of its rates. The penalty of the training was on
    the weights for standardised targets, and is left out.
    """
    from .. import Network
    from ..settings import FACTORS

    if data.class_names is not None:
        return net
    own = (*FACTORS, "input_scales", "input_scale_factors")
    raw = Network(
        net.widths,
        activation=net.activations[:-1],
        output=net.activations[-1],
        loss=net.loss,
        dropout=net.dropout,
        dtype=net.dtype,
        precision=net.precision,
        seed=net.seed,
        **{name: value for name, value in net._settings().items() if name in own},
    )
    if net.scaling is not None:
        raw.set_scaling(*net.scaling)
    mean, std = _target_scaling(data)
    trained = net._net.trained()
    n_out, n_in = net.weights[-1].shape
    w, b = trained[-n_out * (n_in + 1) : -n_out].reshape(n_out, n_in), trained[-n_out:]
    w[:], b[:] = w * std[:, None], b * std + mean
    raw._set_trained(trained)
    return raw


def train(args: argparse.Namespace, data: Dataset, loss: str, plan: Plan) -> Trained:
    """Train a network on the training part of a data set, with early stopping if planned."""
    net = network(args, data, loss)
    part = data
    if plan.patience is not None:
        # Early stopping on the held-out part would make its reported figures too good.
        share = _STOPPING_PARTS[-1][1]
        if is_table(args, data):
            share = next(
                share for most, share in _STOPPING_PARTS if most is None or data.n_examples < most
            )
        whole = replace(data, x_test=None, y_test=None)
        part = split(whole, share, args.seed, "--patience")
        _check_metric(plan.metric, data, part.y_test)
    from_constant = plan.patience is not None and is_table(args, data)
    if from_constant or plan.recipe.ntk:
        _start_from_constant(net, data, plan.recipe, plan.weights)
    untrained = cost_of(net, data, plan.weights)
    start = net._net.trained()
    history, best = _fit(args, data, part, net, plan)
    kept_constant = False
    if from_constant:
        score = _Scorer(data, net, part.x_test, part.y_test, plan)
        reached = score(net)
        trained = net._net.trained()
        net._set_trained(start)
        if score.is_better(reached, score(net)):
            net._set_trained(trained)
        else:
            kept_constant, best = True, 0
    rate = len(history.cost) * part.n_examples / max(sum(history.seconds), 1e-9)
    return Trained(net, history, rate, untrained, best, kept_constant)


def cost_of(net: Network, data: Dataset, weights: Any) -> float:
    """Return the cost of the training rows with the weights of the classes, if there are any."""
    of_rows = None if weights is None else weights[data.y]
    return net.cost(data.x, targets_of(data, net, data.y), of_rows)


def _check_metric(metric: str, data: Dataset, y: Any) -> None:
    """Refuse a score that the rows which decide when to stop do not have."""
    import numpy as np

    present = np.unique(y)
    if metric == "auc" and len(present) == 1 and data.class_names is not None:
        rare = ", ".join(
            f"{np.count_nonzero(data.y == at):,} of {name}"
            for at, name in enumerate(data.class_names[:8])
            if at not in present
        )
        raise ValueError(
            f"--metric auc: all {len(y):,} rows that decide when to stop are of class "
            f"{data.class_names[int(present[0])]}, so AUC is not defined (the training rows are "
            f"{data.n_examples:,}, {rare}); use --metric log_loss or more rows"
        )


def refit(args: argparse.Namespace, data: Dataset, loss: str, plan: Plan, epochs: int) -> Network:
    """Train a network on all rows of a data set, those held out included, for so many epochs.

    The learning rate falls as it did when the epochs were chosen.
    """
    import numpy as np

    whole = data
    if data.x_test is not None and data.y_test is not None:
        whole = replace(
            data,
            x=np.concatenate([data.x, data.x_test]),
            y=np.concatenate([data.y, data.y_test]),
            x_test=None,
            y_test=None,
        )
    net = network(args, whole, loss)
    if (plan.patience is not None and is_table(args, data)) or plan.recipe.ntk:
        _start_from_constant(net, whole, plan.recipe, plan.weights)
    if epochs:
        steps = plan.epochs * -(-whole.n_examples // plan.batch_size)
        net.fit(
            whole.x,
            targets_of(whole, net, whole.y),
            epochs=epochs,
            batch_size=plan.batch_size,
            optimizer=optimizer(args, steps, plan.recipe),
            sample_weight=None if plan.weights is None else plan.weights[whole.y],
            progress=not args.json,
            **_parallel.arguments(args),
        )
    return in_raw_units(net, whole)


def _start_from_constant(net: Network, data: Dataset, recipe: Recipe, weights: Any) -> None:
    """Let the network begin with the best constant as its outputs, whatever its inputs are."""
    import numpy as np

    from ..losses import smoothed

    bias = np.zeros(net.widths[-1])
    if data.class_names is not None:
        counts = np.bincount(data.y, weights=None if weights is None else weights[data.y])
        counts = np.append(counts, np.zeros(data.n_outputs - len(counts)))
        share = smoothed((counts / counts.sum())[np.newaxis], net.label_smoothing)[0]
        share = np.clip(share, 1e-6, 1.0 - 1e-6)
        bias = np.log(share)
        if net.loss != "cross_entropy":
            bias -= np.log1p(-share)
    recipe.begin(net, bias)


def _fit(
    args: argparse.Namespace, data: Dataset, part: Dataset, net: Network, plan: Plan
) -> tuple[History, int]:
    """Train with progress shown; return the history and the number of epochs to the best one."""
    n = part.n_examples
    default = "rmse" if data.class_names is None else "log_loss"
    # The validation cost of the network is another score than these.
    other = plan.metric != default or plan.weights is not None
    own = plan.patience is not None and other
    if own and (args.checkpoint is not None or args.resume):
        raise ValueError(
            "--checkpoint does not go with --metric or --class-weight: use --patience 0"
        )
    keeper = None
    if own:
        scorer = _Scorer(data, net, part.x_test, part.y_test, plan)
        keeper = _Keeper(scorer, plan.patience or 1, plan.recipe.keeps_last)
    history = net.fit(
        part.x,
        targets_of(data, net, part.y),
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        optimizer=optimizer(args, plan.epochs * -(-n // plan.batch_size), plan.recipe),
        validation=(part.x_test, targets_of(data, net, part.y_test)),
        patience=None if own else plan.patience,
        sample_weight=None if plan.weights is None else plan.weights[part.y],
        callbacks=() if keeper is None else (keeper,),
        progress=not args.json,
        checkpoint=args.checkpoint,
        checkpoint_every=args.checkpoint_every,
        resume=True if args.resume else None,
        **_parallel.arguments(args),
    )
    if keeper is not None:
        net._set_trained(keeper.parameters)
        return history, keeper.epoch + 1
    if plan.patience is None or history.best_epoch is None:
        return history, len(history.cost)
    return history, history.best_epoch + 1


class _Scorer:
    """Computes the score of a network that decides when to stop, on the rows set aside for it.

    With label smoothing, the log loss is that of the smoothed targets: of the plain ones, a network
    with the outputs that it is trained for may score worse than the constant.
    """

    def __init__(self, data: Dataset, net: Network, x: Any, y: Any, plan: Plan) -> None:
        self._x = x
        self._y = y
        self._data = data
        self._metric = plan.metric
        self._weights = None if plan.weights is None else plan.weights[y]

    def __call__(self, net: Network) -> float:
        outputs = net.predict(self._x)
        if self._data.class_names is None:
            mean, std = _target_scaling(self._data)
            return scores_of_numbers(outputs * std + mean, self._y)[self._metric]
        if self._metric == "log_loss":
            weighted = self._weights is not None and self._weights.any()
            return log_loss(
                probabilities(outputs),
                self._y,
                self._weights if weighted else None,
                label_smoothing=net.label_smoothing,
            )
        return scores_of_classes(outputs, self._y)[self._metric]

    def is_better(self, one: float, other: float) -> bool:
        """Tell whether a score is better than another one; NaN is worse than any number."""
        if other != other:
            return one == one
        return one < other if self._metric in FALLING else one > other


class _Keeper:
    """A callback that keeps what was trained of the best epoch, and stops when none is better."""

    def __init__(self, scorer: Callable[[Network], float], patience: int, keeps_last: bool) -> None:
        self._scorer = scorer
        self._keeps_last = keeps_last
        self._patience = patience
        self._best: float | None = None
        self.epoch = -1
        self.parameters: Any = None

    def __call__(self, end: Any) -> bool:
        score = self._scorer(end.network)
        scorer: Any = self._scorer
        best = self._best
        ties = self._keeps_last and score == best
        if best is None or ties or scorer.is_better(score, best):
            self._best, self.epoch = score, end.epoch
            self.parameters = end.network._net.trained()
        return bool(end.epoch - self.epoch >= self._patience)


def likely_cause(args: argparse.Namespace, data: Dataset, net: Network) -> str:
    """Return the end of a warning: what an examination of the trained network finds."""
    from ..doctor import first_cause
    from ..inputs import as_inputs, as_targets

    # The last rates of a schedule say nothing about the steps that were made.
    steady = optimizer(args, 1, replace(constants(args, data), schedule="constant"))
    x = as_inputs(data.x, net.widths[0], net.dtype)
    y = as_targets(targets_of(data, net, data.y), len(x), net.widths[-1], net.loss, net.dtype)
    found = first_cause(net, x, y, steady)
    return "" if found is None else f". A likely cause: {found.text}"
