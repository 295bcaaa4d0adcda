"""``pybackprop train``: from a data set to a trained and saved network."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._output import say
from ._parser import (
    ACTIVATIONS,
    LOSSES,
    Commands,
    Parser,
    add_json,
    command,
    count,
    is_same_file,
    number,
    print_json,
    seed,
)
from ._scores import accuracy, judged, not_finite, r_squared

if TYPE_CHECKING:
    from .. import History, Network
    from ..datasets import Dataset

_EPILOG = """\
DATA is digits, iris, moons or spirals; or a path: a table (.csv, .tsv, .txt, .data, also .gz),
an .npz with arrays x and y (or x_train, y_train, x_test, y_test), an .npy file whose partner has y
in place of x in its name, or a folder of .npy or IDX (MNIST) files. A text column in a table is a
category, with one input for each of its values. Dates are refused, because only you know whether
the day of the week or the elapsed time matters: convert them to numbers, or leave them out.

Inputs are standardised, and so are the targets of a regression; the saved model takes and gives
raw units. A part of the examples is held out and never trained on, unless the data come with such a
part. With --patience, a tenth of the training examples decides when to stop; the held-out part is
used only for the report. Exit code 1 if the cost ends far above that of the untrained network.

WIDTHS and COLUMNS are lists: 64 32, or 64,32. A name that contains a comma must be in double
quotes within the list. If an option is given again, COLUMNS add up, but only the last WIDTHS count.
A column without a name that only numbers the rows of a table is left out.

examples:
  pybackprop train digits
  pybackprop train iris --hidden 16 --activation tanh --seed 7
  pybackprop train houses.csv --target price --save houses.npz
  pybackprop train houses.csv --ignore id sold_on --categorical zip_code
  pybackprop train mnist/ --hidden 256 128 --epochs 10
  pybackprop train mnist/ --checkpoint mnist.npz --checkpoint-every "5 min" --resume
  pybackprop train table.csv --task regression --epochs 500 --patience 20
"""

OPTIMIZERS = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3, "adagrad": 2e-2, "sgd": 5e-2}

_OUTPUTS = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
_STOPPING_PART = 0.1


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Train a network on a data set and report how good it is."
    parser = command(commands, "train", run, summary, _EPILOG)
    parser.add_argument("data", metavar="DATA", help="built-in name or path, see below")
    group = add_data_options(parser)
    group.add_argument(
        "--validation",
        type=number(0.0, 1.0, open_low=True),
        metavar="FRACTION",
        help="share of the examples to hold out (0.2)",
    )
    _add_network_options(parser)
    _add_training_options(parser)


def _add_network_options(parser: Parser) -> None:
    """Describe the options of the network."""
    group = parser.add_argument_group("network")
    parser.add_list(
        group,
        "--hidden",
        count(1),
        least=0,
        default=[128, 128],
        metavar="WIDTHS",
        help="widths of the hidden layers (128 128); none for a linear model",
    )
    group.add_argument(
        "--activation", choices=ACTIVATIONS, default="relu", help="of the hidden layers (relu)"
    )
    group.add_argument("--loss", choices=LOSSES, help="loss (cross_entropy for classes, else mse)")
    group.add_argument(
        "--l2", type=number(0.0), help="penalty on weights (10 / examples for regression, else 0)"
    )
    group.add_argument("--dropout", type=number(0.0, 1.0), help="dropout (0.1 for classes, else 0)")
    group.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    group.add_argument(
        "--precision",
        choices=("float32", "bf16", "bf16x2", "bf16x3"),
        default="float32",
        help="precision of matrix products, see help(pybackprop.Network) (float32)",
    )


def _add_training_options(parser: Parser) -> None:
    """Describe the options of training."""
    group = parser.add_argument_group("training")
    group.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="adam", help="(adam)")
    group.add_argument(
        "--lr", type=number(0.0, open_low=True), help="first learning rate (by optimizer)"
    )
    group.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default="cosine",
        help="cosine: the learning rate falls to 0 along a cosine (cosine)",
    )
    group.add_argument("--batch-size", type=count(1), help="(32; 128 for 10,000 examples or more)")
    group.add_argument("--epochs", type=count(1), help="(60,000 / examples, from 10 to 500)")
    group.add_argument(
        "--patience",
        type=count(1),
        metavar="EPOCHS",
        help="stop after this many epochs without improvement on a tenth of the training examples, "
        "set aside for this; the held-out part is not used",
    )
    group.add_argument("--seed", type=seed, default=0, help="seed of all random draws (0)")
    group.add_argument(
        "--checkpoint",
        metavar="FILE.npz",
        help="file written during training; --resume continues from it",
    )
    group.add_argument(
        "--checkpoint-every",
        default=1,
        metavar="N",
        help="epochs, or with a unit: '100 steps', '30 s', '5 min' (1)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="continue from --checkpoint, if that file exists, as if training had not stopped; "
        "to train for more --epochs than before, both runs need --schedule constant",
    )
    group.add_argument("--save", metavar="MODEL.npz", help="where to save the trained network")
    add_json(parser)


def add_data_options(parser: Parser) -> Any:
    """Add the options that say how data are read, and return their group."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--target", help="name or position (from 0) of the target column (last); file for .npy"
    )
    group.add_argument(
        "--task", choices=("classification", "regression"), help="what the targets are, if unclear"
    )
    parser.add_list(
        group,
        "--ignore",
        str,
        default=(),
        adds_up=True,
        metavar="COLUMNS",
        help="columns of a table to leave out",
    )
    parser.add_list(
        group,
        "--categorical",
        str,
        default=(),
        adds_up=True,
        metavar="COLUMNS",
        help="columns of a table whose numbers or dates stand for categories",
    )
    return group


def run(args: argparse.Namespace) -> int:
    """Load, train, save and report."""
    from ..exchange.files import check_target

    if args.resume and args.checkpoint is None:
        raise ValueError("--resume needs --checkpoint, the file to go on from")
    if args.save is not None:
        check_target(args.save, "--save")
        folder = os.path.dirname(os.path.abspath(args.save))
        if os.path.isdir(args.save) or not os.access(folder, os.W_OK):
            raise ValueError(f"--save: no file can be written at {args.save}")
        if args.checkpoint is not None and is_same_file(args.save, args.checkpoint):
            raise ValueError(f"--save and --checkpoint must be different files, got {args.save}")
    data = _load(args)
    metadata = {} if args.save is None else _checked_metadata(data)
    loss = _loss(args, data)
    net = _network(args, data, loss)
    about = {"data": _describe(data), "network": str(net)}
    if not args.json:
        say(about["data"])
        say(about["network"])
    untrained = net.cost(data.x, targets_of(data, net, data.y))
    try:
        history, rate = _fit(args, data, net)
    except FloatingPointError as error:
        warning = not_finite(error)
        if not args.json:
            raise FloatingPointError(warning) from None
        found = {"untrained": {"cost": untrained}, "diverged": True, "warning": warning}
        print_json({**about, "saved": None, **found})
        return 1
    if args.save is not None:  # before anything else can go wrong
        trained = _in_raw_units(net, data) if data.class_names is None else net
        trained.metadata = metadata
        trained.save(args.save)
    figures = _figures(data, net, history, rate)
    figures.update(judged(figures, untrained, _share_of_commonest(data)))
    if figures["warning"] is not None:
        figures["warning"] += _likely_cause(args, data, net)
    code = 1 if figures["diverged"] else 0
    if args.json:
        history_of = {"cost": history.cost, "val_cost": history.val_cost}
        print_json({**about, "saved": args.save, **figures, "history": history_of})
        return code
    say("")
    say(_report(figures))
    if args.save is not None:
        say(f"saved as {args.save}")
    return code


def load_data(source: str, args: argparse.Namespace) -> Dataset:
    """Load a data set by the options of `add_data_options`, and make sure that it varies."""
    from ..datasets import is_table, load, load_csv

    if args.ignore or args.categorical:
        if not is_table(source):
            raise ValueError(f"{source}: --ignore and --categorical are for tables")
        data = load_csv(
            source,
            args.target,
            task=args.task,
            categorical=args.categorical,
            ignore=args.ignore,
        )
    else:
        data = load(source, args.target, task=args.task)
    data.check_learnable()
    return data


def _load(args: argparse.Namespace) -> Dataset:
    """Load the data set and make sure that it has a held-out part."""
    data = load_data(args.data, args)
    if data.x_test is None:
        fraction = 0.2 if args.validation is None else args.validation
        return split(data, fraction, args.seed, "--validation")
    if args.validation is not None:
        raise ValueError("--validation does not apply: the data come with a held-out part")
    return data


def split(data: Dataset, fraction: float, seed: int, option: str) -> Dataset:
    """Hold out a part, or say for which option there are too few examples."""
    try:
        return data.split(fraction, seed)
    except ValueError as error:
        raise ValueError(f"{data.name}: {option}: {error}; give more examples") from None


def _loss(args: argparse.Namespace, data: Dataset) -> str:
    """Return the loss, which must fit the task."""
    if args.loss is None:
        return "mse" if data.class_names is None else "cross_entropy"
    if data.class_names is None and args.loss in _OUTPUTS:
        raise ValueError(f"--loss {args.loss} is for classes, but the targets are numbers")
    return str(args.loss)


def _network(args: argparse.Namespace, data: Dataset, loss: str) -> Network:
    """Make the untrained network, which standardises its inputs itself.

    Classes trained with another loss than cross-entropy get sigmoid outputs.
    """
    from .. import Network

    output = "identity" if data.class_names is None else _OUTPUTS.get(loss, "sigmoid")
    dropout, l2 = args.dropout, args.l2
    if dropout is None:
        dropout = 0.0 if data.class_names is None else 0.1
    if l2 is None:
        l2 = 10.0 / data.n_examples if data.class_names is None else 0.0
    net = Network(
        [data.n_features, *args.hidden, data.n_outputs],
        activation=args.activation,
        output=output,
        loss=loss,
        dropout=dropout if args.hidden else 0.0,
        l2=l2,
        dtype=args.dtype,
        precision=args.precision,
        seed=args.seed,
    )
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


def _in_raw_units(net: Network, data: Dataset) -> Network:
    """Return a network that predicts raw targets: its linear output takes in their scaling.

    The penalty of the training was on the weights for standardised targets, and is left out.
    """
    from .. import Network

    raw = Network(
        net.widths,
        activation=net.activations[:-1],
        output=net.activations[-1],
        loss=net.loss,
        dropout=net.dropout,
        dtype=net.dtype,
        precision=net.precision,
        seed=net.seed,
    )
    raw.parameters = net.parameters
    if net.scaling is not None:
        raw.set_scaling(*net.scaling)
    mean, std = _target_scaling(data)
    raw.set_layer(len(raw.weights) - 1, net.weights[-1] * std[:, None], net.biases[-1] * std + mean)
    return raw


def _fit(args: argparse.Namespace, data: Dataset, net: Network) -> tuple[History, float]:
    """Train with progress shown; return the history and the examples trained on per second."""
    part = data
    if args.patience is not None:
        # Early stopping on the held-out part would make its reported figures too good.
        part = split(
            replace(data, x_test=None, y_test=None), _STOPPING_PART, args.seed, "--patience"
        )
    n = part.n_examples
    batch_size = args.batch_size or (32 if n < 10_000 else 128)
    epochs = args.epochs or min(max(round(60_000 / n), 10), 500)
    history = net.fit(
        part.x,
        targets_of(data, net, part.y),
        epochs=epochs,
        batch_size=batch_size,
        optimizer=_optimizer(args, epochs * -(-n // batch_size)),
        validation=(part.x_test, targets_of(data, net, part.y_test)),
        patience=args.patience,
        progress=not args.json,
        checkpoint=args.checkpoint,
        checkpoint_every=args.checkpoint_every,
        resume=True if args.resume else None,
    )
    return history, len(history.cost) * n / max(sum(history.seconds), 1e-9)


def _optimizer(args: argparse.Namespace, steps: int) -> Any:
    """Make the optimizer with its learning-rate schedule."""
    from .. import SGD, Adagrad, Adam, AdamW, RMSprop, schedules

    lr: Any = OPTIMIZERS[args.optimizer] if args.lr is None else args.lr
    if args.schedule == "cosine":
        lr = schedules.Cosine(lr, steps)
    if args.optimizer == "sgd":
        return SGD(lr, momentum=0.9, nesterov=True)
    return {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad}[args.optimizer](
        lr
    )


def _likely_cause(args: argparse.Namespace, data: Dataset, net: Network) -> str:
    """Return the end of a warning: what an examination of the trained network finds."""
    from ..doctor import first_cause
    from ..inputs import as_inputs, as_targets

    # The last rates of a schedule say nothing about the steps that were made.
    optimizer = _optimizer(argparse.Namespace(**{**vars(args), "schedule": "constant"}), 1)
    x = as_inputs(data.x, net.widths[0], net.dtype)
    y = as_targets(targets_of(data, net, data.y), len(x), net.widths[-1], net.loss, net.dtype)
    found = first_cause(net, x, y, optimizer)
    return "" if found is None else f". A likely cause is {found.cause}: {found.text}"


def _describe(data: Dataset) -> str:
    """Describe the training data in one line."""
    n_test = 0 if data.x_test is None else len(data.x_test)
    kind = f"{data.n_outputs} classes"
    if data.class_names is None:
        kind = f"regression of {', '.join(data.target_names)}"
    about = (
        f"{data.name}: {data.n_examples:,} training and {n_test:,} held-out examples, "
        f"{data.n_features:,} features ({data.x.dtype}), {kind}"
    )
    if data.encoding is not None:
        used = {column.name for column in data.encoding.features} | {data.encoding.target}
        unused = [name for name in data.encoding.names if name not in used]
        about += f"; left out: {', '.join(unused)}" if unused else ""
    return about


def _share_of_commonest(data: Dataset) -> float:
    """Return the share of the training examples that are of the commonest class; 0 without any."""
    import numpy as np

    if data.class_names is None:
        return 0.0
    return float(np.bincount(data.y).max() / len(data.y))


def _figures(data: Dataset, net: Network, history: History, rate: float) -> dict[str, Any]:
    """Return cost and score on both parts of the data, and what the training took."""
    figures: dict[str, Any] = {}
    for part, x, y in (("train", data.x, data.y), ("held_out", data.x_test, data.y_test)):
        targets = targets_of(data, net, y)
        found = {"cost": net.cost(x, targets)}
        if data.class_names is not None:
            found["accuracy"] = accuracy(net.predict(x), y)
        else:
            found["r_squared"] = r_squared(net.predict(x), targets)
        figures[part] = found
    figures["epochs"] = len(history.cost)
    figures["seconds"] = sum(history.seconds)
    figures["examples_per_second"] = rate
    return figures


def _report(figures: dict[str, Any]) -> str:
    """Return the closing table."""
    train, test = figures["train"], figures["held_out"]
    lines = [f"{'':<22}{'train':>10}{'held out':>10}"]
    for name, key, form in (
        ("cost", "cost", ".4g"),
        ("accuracy", "accuracy", ".2%"),
        ("R²", "r_squared", ".4f"),
    ):
        if key in train:
            lines.append(f"{name:<22}{train[key]:>10{form}}{test[key]:>10{form}}")
    lines.append(f"{'epochs':<22}{figures['epochs']:>10}")
    lines.append(f"{'seconds':<22}{figures['seconds']:>10.2f}")
    lines.append(f"{'examples per second':<22}{figures['examples_per_second']:>10,.0f}")
    if figures["warning"] is not None:
        lines += ["", f"warning: {figures['warning']}"]
    return "\n".join(lines)


def _checked_metadata(data: Dataset) -> dict[str, Any]:
    """Return the metadata of a model to be saved, or say before training that they are too many."""
    from ..settings import as_metadata

    try:
        return as_metadata(metadata_of(data))
    except ValueError as error:
        raise ValueError(f"{data.name}: --save: {error}") from error


def metadata_of(data: Dataset) -> dict[str, Any]:
    """Return what `pybackprop predict` needs to know besides the network."""
    return {
        "task": data.task,
        "class_names": data.class_names and list(data.class_names),
        "feature_names": list(data.feature_names),
        "target_names": list(data.target_names),
        "encoding": data.encoding and data.encoding.to_json(),
    }
