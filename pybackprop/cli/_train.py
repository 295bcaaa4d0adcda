"""``pybackprop train``: from a data set to a trained and saved network."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..recipes import RECIPES
from ..scores import OF_CLASSES, OF_NUMBERS
from ..words import counted
from . import _fitting, _parallel
from ._data import (
    add_data_options,
    checked_metadata,
    describe,
    load_data,
    load_divided,
    say_columns,
    split,
)
from ._output import say
from ._parser import (
    ACTIVATIONS,
    LOSSES,
    Commands,
    Parser,
    add_json,
    check_writable,
    command,
    count,
    is_same_file,
    number,
    print_json,
    seed,
)
from ._plan import OPTIMIZERS, SCHEDULES, plan_of
from ._report import figures_of, summary_of, table_of
from ._scores import TITLES, compared_by, not_finite, shown

if TYPE_CHECKING:
    from .. import Network
    from ..datasets import Dataset

_EPILOG = """\
DATA is digits, iris, moons or spirals; or a path: a table (.csv, .tsv, .txt, .data, also .gz, .bz2
and .xz; .parquet, .feather and .xlsx if pandas, polars or pyarrow is installed), an .npz with
arrays x and y (or x_train, y_train, x_test, y_test), an .npy file whose partner has y in place of x
in its name, or a folder of .npy or IDX (MNIST) files.

A table is taken as it comes: texts are categories, dates become numbers, missing cells are filled
in and marked, and a table tells what each column became, and why. The saved model does the same
with the tables that it predicts from. Rows without a target are left out.

Inputs are standardised (but see --scaling), and so are the targets of a regression; the saved model
takes and gives raw units. A part of the examples is held out and never trained on, unless the data
come with such a part. Training on a table stops when a part of the training examples, set aside for
this, is predicted no better, and the best network is kept. The closing table shows what the best
constant would score, too. Exit code 1 if the cost ends far above that of the untrained network.

WIDTHS and COLUMNS are lists: 64 32, or 64,32. A name that contains a comma must be in double
quotes within the list. If an option is given again, COLUMNS add up, but only the last WIDTHS count.

examples:
  pybackprop train digits
  pybackprop train iris --hidden 16 --activation tanh --seed 7
  pybackprop train houses.csv --target price --save houses.npz
  pybackprop train houses.csv --ignore id sold_on --categorical zip_code --on-missing refuse
  pybackprop train customers.csv --target churn --class-weight balanced --metric auc
  pybackprop train houses.csv --target price --folds 5 --save houses.npz
  pybackprop train houses.csv --target price --recipe realmlp-s --save houses.npz
  pybackprop train mnist/ --hidden 256 128 --epochs 10
  pybackprop train mnist/ --checkpoint mnist.npz --checkpoint-every "5 min" --resume
  mpiexec -n 4 pybackprop train mnist/ --data-parallel --batch-size 4096 --save mnist.npz
"""


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
    group.add_argument("--test", metavar="FILE", help="table whose rows are held out instead")
    group.add_argument(
        "--folds",
        type=count(2, 100),
        metavar="K",
        help="cross-validate: hold out each of K parts in turn; the model to be saved then learns "
        "from all rows",
    )
    group.add_argument(
        "--scaling",
        choices=("standard", "robust"),
        help="of the inputs of a table: standard brings numbers to mean 0 and deviation 1; robust "
        "brings all inputs to median 0 and interquartile range 1, and bends outliers to within "
        "-3 and 3 (standard)",
    )
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        default="plain",
        help="the defaults of the options below: plain, those that are named; or realmlp-s, for "
        "tables, with three layers of 256, robust scaling and 256 epochs (plain)",
    )
    _add_network_options(parser)
    _add_training_options(parser)
    _parallel.add_options(parser)


def _add_network_options(parser: Parser) -> None:
    """Describe the options of the network."""
    group = parser.add_argument_group("network")
    parser.add_list(
        group,
        "--hidden",
        count(1),
        least=0,
        default=None,
        metavar="WIDTHS",
        help="widths of the hidden layers (128 128); none for a linear model",
    )
    group.add_argument("--activation", choices=ACTIVATIONS, help="of the hidden layers (relu)")
    group.add_argument("--loss", choices=LOSSES, help="loss (cross_entropy for classes, else mse)")
    group.add_argument(
        "--label-smoothing",
        type=number(0.0, 1.0),
        metavar="SHARE",
        help="share of each target that is spread over all classes; only for cross_entropy (0)",
    )
    group.add_argument(
        "--l2", type=number(0.0), help="penalty on weights (10 / examples for regression, else 0)"
    )
    group.add_argument(
        "--dropout",
        type=number(0.0, 1.0),
        help="dropout (0.3 for classes of tables, 0.1 for other classes, else 0)",
    )
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
    group.add_argument("--optimizer", choices=tuple(OPTIMIZERS), help="(adam)")
    group.add_argument(
        "--lr",
        type=number(0.0, open_low=True),
        help="first or highest learning rate (by optimizer; 0.001 for adam on classes of tables; "
        "0.04 for classes and 0.07 for numbers in realmlp-s)",
    )
    group.add_argument(
        "--schedule",
        choices=SCHEDULES,
        help="of the learning rate: cosine falls to 0 along a cosine, flat_cos does so from the "
        "middle on, coslog4 makes four waves, each twice as long (cosine, coslog4 for realmlp-s)",
    )
    group.add_argument("--batch-size", type=count(1), help="(32; 128 for 10,000 examples or more)")
    group.add_argument(
        "--epochs", type=count(1), help="(60,000 / examples, of tables 200,000; from 10 to 500)"
    )
    _add_stopping_options(parser, group)
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


def _add_stopping_options(parser: Parser, group: Any) -> None:
    """Describe the options that say when training stops, and on what the model is trained."""
    group.add_argument(
        "--patience",
        type=count(0),
        metavar="EPOCHS",
        help="stop after this many epochs without improvement on a part of the training examples, "
        "set aside for this, and keep the best; 0 trains all epochs (30 for tables, else 0)",
    )
    group.add_argument(
        "--metric",
        choices=(*OF_CLASSES, *OF_NUMBERS),
        help="score that decides which epoch is the best (log_loss for classes, else rmse)",
    )
    parser.add_list(
        group,
        "--class-weight",
        str,
        default=(),
        adds_up=True,
        metavar="WEIGHTS",
        help="balanced, or NAME=WEIGHT for classes: how much their rows count",
    )
    group.add_argument(
        "--refit",
        action="store_true",
        help="train the model to be saved anew on all rows, those held out included, for the "
        "number of epochs that was best",
    )


def run(args: argparse.Namespace) -> int:
    """Load, train, save and report; on every rank, if there are several."""
    return _parallel.on_ranks(_run, args)


def _run(args: argparse.Namespace) -> int:
    _parallel.agreed(_check, args)
    if args.folds is not None:
        return _cross_validate(args)
    data = load_divided(args) if args.test is None else _with_test(args)
    metadata = {} if args.save is None else checked_metadata(data)
    loss = _fitting.loss_of(args, data)
    plan = plan_of(args, data)
    net = _fitting.network(args, data, loss)
    about = _say_what(args, data, net)
    try:
        trained = _fitting.train(args, data, loss, plan)
    except FloatingPointError as error:
        untrained = _fitting.cost_of(net, data, plan.weights)
        return _say_not_finite(args, about, untrained, error)
    if args.save is not None and not args.refit:  # before anything else can go wrong
        _save(args, _fitting.in_raw_units(trained.net, data), metadata)
    figures = figures_of(data, trained, plan.weights)
    if figures["warning"] is not None and not figures["kept_constant"]:
        figures["warning"] += _fitting.likely_cause(args, data, trained.net)
    history = trained.history
    figures["history"] = {"cost": history.cost, "val_cost": history.val_cost}
    what = ""
    if args.refit:
        model = _fitting.refit(args, data, loss, plan, trained.epochs)
        what = _how_refitted(_rows(data), trained.epochs)
        if args.save is not None:
            _save(args, model, metadata)
    return _say_figures(args, about, figures, table_of(figures), what)


def _check(args: argparse.Namespace) -> None:
    """Check options that exclude each other, and that the model can be written."""
    from ..exchange.files import check_target

    if args.resume and args.checkpoint is None:
        raise ValueError("--resume needs --checkpoint, the file to go on from")
    for option, value in (("--validation", args.validation), ("--folds", args.folds)):
        if args.test is not None and value is not None:
            raise ValueError(f"{option} does not apply: --test names the held-out part")
    if args.folds is not None:
        for name in ("validation", "checkpoint", "resume"):
            if getattr(args, name):
                raise ValueError(f"--{name} does not apply with --folds")
    if args.save is None or not args.writes:
        return
    check_target(args.save, "--save")
    check_writable(args.save, "--save")
    if args.checkpoint is not None and is_same_file(args.save, args.checkpoint):
        raise ValueError(f"--save and --checkpoint must be different files, got {args.save}")


def _with_test(args: argparse.Namespace) -> Dataset:
    """Load the data set with another table as the held-out part."""
    data, path = load_data(args.data, args), args.test
    if data.encoding is None:
        raise ValueError(f"--test is for tables, but {data.name} is none")
    found = data.encoding.read(path)
    if found.y is None:
        raise ValueError(f"{path}: --test needs the target {data.encoding.target!r} in every row")
    notes = tuple(f"{path}: {note}" for note in found.notes)
    return replace(data, x_test=found.x, y_test=found.y, notes=data.notes + notes)


def _say_what(args: argparse.Namespace, data: Dataset, net: Network) -> dict[str, Any]:
    """Print what is trained on what; return it for JSON."""
    about: dict[str, Any] = {"data": describe(data), "network": str(net)}
    if not args.json:
        say(about["data"])
        say_columns(data)
        say(about["network"])
    if data.encoding is not None:
        keys = ("name", "kind", "inputs", "why")
        about["columns"] = [dict(zip(keys, row, strict=True)) for row in data.encoding.report()]
        about["notes"] = list(data.notes)
    return about


def _say_not_finite(
    args: argparse.Namespace, about: dict[str, Any], untrained: float, error: FloatingPointError
) -> int:
    """Report a cost that stopped being finite."""
    warning = not_finite(error)
    if not args.json:
        raise FloatingPointError(warning) from None
    found = {"untrained": {"cost": untrained}, "diverged": True, "warning": warning}
    print_json({**about, "saved": None, **found})
    return 1


def _save(args: argparse.Namespace, model: Network, metadata: dict[str, Any]) -> None:
    model.metadata = metadata
    if args.writes:
        model.save(args.save)


def _rows(data: Dataset) -> int:
    return data.n_examples + (0 if data.x_test is None else len(data.x_test))


def _how_refitted(rows: int, epochs: int) -> str:
    return f" after training on all {rows:,} rows for {counted(epochs, 'epoch')}"


def _say_figures(
    args: argparse.Namespace,
    about: dict[str, Any],
    figures: dict[str, Any],
    table: str,
    how_saved: str,
) -> int:
    """Print the closing table, or everything as JSON; return the exit code."""
    code = 1 if figures["diverged"] else 0
    if args.json:
        print_json({**about, "saved": args.save, **figures})
        return code
    say("")
    say(table)
    if args.save is not None:
        say(f"saved as {args.save}{how_saved}")
    return code


def _cross_validate(args: argparse.Namespace) -> int:
    """Hold out each part in turn, and train the model to be saved on all rows."""
    found = []
    about: dict[str, Any] = {}
    for fold in range(args.folds):
        hold_out = (fold, args.folds)
        data = load_data(args.data, args, hold_out, args.seed)
        if data.x_test is None:
            data = split(data, hold_out, args.seed, "--folds")
        elif data.encoding is None:
            raise ValueError("--folds does not apply: the data come with a held-out part")
        loss = _fitting.loss_of(args, data)
        plan = plan_of(args, data)
        if fold == 0:
            about = _say_what(args, data, _fitting.network(args, data, loss))
        trained = _fitting.train(args, data, loss, plan)
        found.append(figures_of(data, trained, plan.weights))
        if not args.json:
            say(_one_fold(fold, args.folds, found[-1]))
    figures = summary_of(found)
    what = ""
    if args.save is not None:
        whole = load_data(args.data, args)
        # Of the larger table, a plan has fewer epochs: the learning rate would reach 0 too early.
        plan = plan_of(args, whole).as_long_as(plan)
        model = _fitting.refit(args, whole, loss, plan, figures["best_epoch"])
        _save(args, model, checked_metadata(whole))
        what = _how_refitted(_rows(whole), figures["best_epoch"])
    parts = ("train", "held_out", "spread")
    return _say_figures(args, about, figures, table_of(figures, parts), what)


def _one_fold(fold: int, folds: int, figures: dict[str, Any]) -> str:
    """Describe the result of a part in one line."""
    name = compared_by(figures["held_out"])
    title = TITLES[name][0]
    score = shown(name, figures["held_out"][name])
    constant = shown(name, figures["baseline"][name])
    epochs = counted(figures["epochs"], "epoch")
    return (
        f"part {fold + 1} of {folds}: {title} {score} held out, {constant} of the "
        f"best constant; best after {figures['best_epoch']} of {epochs}"
    )
