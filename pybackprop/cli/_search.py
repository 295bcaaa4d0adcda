"""``pybackprop search``: settings that suit a data set, found by training many networks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..scores import accuracy, r_squared
from ..words import counted
from ._data import add_data_options, load_divided, metadata_of
from ._fitting import in_raw_units, targets_of
from ._mpi import workers_of
from ._output import say
from ._parser import (
    ACTIVATIONS,
    Commands,
    add_json,
    check_writable,
    command,
    count,
    number,
    print_json,
    seed,
)
from ._plan import OPTIMIZERS

if TYPE_CHECKING:
    from .. import Network
    from ..datasets import Dataset
    from ..tuning import Candidate, SearchResult

_EPILOG = """\
DATA is as for `pybackprop train`. Settings are judged by cross-validation on the training part:
each candidate trains one network per fold, all of them side by side. The part that is held out is
used only for the report on the network that is trained at the end. Targets that are numbers are
scaled by the mean and standard deviation of the whole training part, for all folds alike; inputs
by those of the rows that each network is trained on.

RANGE is a number, or LOW:HIGH. Learning rates and penalties are drawn evenly over the logarithm,
everything else evenly. WIDTHS are choices of hidden layers: 64 128 128x128.

hyperband begins with many candidates for one epoch and few for all, and keeps the best third again
and again; networks train on from where they are. halving does this once, with --n candidates.
random trains --n candidates for all epochs.

With --jobs, or if mpiexec or srun starts the command several times, the networks are trained by
that many processes, with the same results. MPI needs mpi4py; only rank 0 prints and saves.

examples:
  pybackprop search digits
  pybackprop search houses.csv --target price --save houses.npz
  pybackprop search digits --method random --n 30 --max-epochs 20
  pybackprop search iris --lr 1e-3:1e-1 --l2 0 --dropout 0 --hidden 8 16 16x16
  pybackprop search houses.csv --target price --jobs 8
  mpiexec -n 16 pybackprop search houses.csv --target price
"""


def _range(low: float, high: float) -> Callable[[str], tuple[float, float]]:
    """Return the type of an option that takes a number or LOW:HIGH."""
    convert = number(low, high)

    def read(text: str) -> tuple[float, float]:
        first, colon, last = text.partition(":")
        ends = convert(first), convert(last if colon else first)
        if ends[0] > ends[1]:
            raise argparse.ArgumentTypeError(f"expected LOW:HIGH in this order, got {text!r}")
        return ends

    return read


def _hidden(text: str) -> list[int]:
    """Return the widths of the hidden layers of one choice, such as 128x64; 0 for none."""
    convert = count(0)
    widths = [convert(word) for word in text.split("x")]
    return [] if widths == [0] else [count(1)(str(width)) for width in widths]


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Search for settings by cross-validation, training many networks side by side."
    parser = command(commands, "search", run, summary, _EPILOG)
    parser.add_argument("data", metavar="DATA", help="built-in name or path, as for train")
    group = add_data_options(parser)
    group.add_argument(
        "--validation",
        type=number(0.0, 1.0, open_low=True),
        metavar="FRACTION",
        help="share of the examples to hold out for the report (0.2)",
    )
    group = parser.add_argument_group("settings to search")
    for flag, ends, text in (
        ("--lr", (0.0, float("inf")), "learning rates (1e-4:1e-1)"),
        ("--l2", (0.0, float("inf")), "penalties on weights (1e-7:1e-2)"),
        ("--dropout", (0.0, 1.0), "dropout rates (0:0.3)"),
    ):
        group.add_argument(flag, type=_range(*ends), metavar="RANGE", help=text)
    parser.add_list(
        group,
        "--hidden",
        _hidden,
        default=[[64], [128], [128, 128]],
        metavar="WIDTHS",
        help="choices of hidden layers (64 128 128x128)",
    )
    _add_search_options(parser)


def _add_search_options(parser: Any) -> None:
    """Describe how the search goes."""
    group = parser.add_argument_group("search")
    group.add_argument("--method", choices=("hyperband", "halving", "random"), default="hyperband")
    group.add_argument("--n", type=count(1), help="candidates, if not hyperband (27)")
    group.add_argument("--folds", type=count(2), default=3, help="(3)")
    group.add_argument("--max-epochs", type=count(1), default=27, help="epochs of the last (27)")
    group.add_argument("--eta", type=count(2), default=3, help="one in ETA is kept (3)")
    group.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="(relu)")
    group.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="adam", help="(adam)")
    group.add_argument("--batch-size", type=count(1), default=32, help="(32)")
    group.add_argument("--seed", type=seed, default=0, help="seed of all random draws (0)")
    group.add_argument("--jobs", type=count(1), metavar="N", help="processes that train (1)")
    group.add_argument("--rows", type=count(1), default=10, help="lines of the table (10)")
    group.add_argument("--save", metavar="MODEL.npz", help="where to save the trained network")
    group.add_argument("--picture", metavar="FILE.png", help="where to draw the search")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Search, train with the best settings, save and report."""
    from ..exchange.files import check_target
    from ..tuning import search

    if args.n is not None and args.method == "hyperband":
        raise ValueError("--n does not apply to hyperband; choose --method halving or random")
    check_writable(args.save, "--save")
    check_writable(args.picture, "--picture")
    if args.save is not None:
        check_target(args.save, "--save")
    with workers_of(args.jobs) as workers:
        data = workers.once(lambda: load_divided(args))
        found = search(
            data.x,
            _targets(data),
            _space(args),
            n=args.n,
            folds=args.folds,
            method=args.method,
            max_epochs=args.max_epochs,
            eta=args.eta,
            network={"activation": args.activation},
            optimizer=args.optimizer,
            batch_size=args.batch_size,
            seed=args.seed,
            progress=not args.json,
            executor=workers,
        )
    if workers.rank == 0:
        _report(args, data, found)
    return 0


def _report(args: argparse.Namespace, data: Dataset, found: SearchResult) -> None:
    """Save and draw what was found, and tell of it."""
    net = found.network
    assert net is not None
    if args.save is not None:
        trained = net if data.class_names is not None else in_raw_units(net, data)
        trained.metadata = metadata_of(data)
        trained.save(args.save)
    if args.picture is not None:
        _draw(found, args.picture)
    _tell(args, data, found, _held_out(data, net))


def _targets(data: Dataset) -> Any:
    """Return labels, or standardised numbers."""
    if data.class_names is not None:
        return data.y
    from .. import Network

    return targets_of(data, Network([1, 1], seed=0), data.y)


def _space(args: argparse.Namespace) -> dict[str, Any]:
    """Return what is drawn from what."""
    from ..tuning import log, uniform

    ranges = {
        "lr": args.lr or (1e-4, 1e-1),
        "l2": args.l2 or (1e-7, 1e-2),
        "dropout": args.dropout or (0.0, 0.3),
    }
    space: dict[str, Any] = {"widths": args.hidden}
    for name, (low, high) in ranges.items():
        if low == high:
            space[name] = [low]
        elif name == "dropout":
            space[name] = uniform(low, high)
        elif low == 0:
            raise ValueError(f"--{name}: the lower end must be above 0 for a logarithm")
        else:
            space[name] = log(low, high)
    return space


def _held_out(data: Dataset, net: Network) -> dict[str, float]:
    """Return cost and score on the held-out part."""
    targets = targets_of(data, net, data.y_test)
    outputs = net.predict(data.x_test)
    found = {"cost": net.cost(data.x_test, targets)}
    if data.class_names is not None:
        found["accuracy"] = accuracy(outputs, data.y_test)
    else:
        found["r_squared"] = r_squared(outputs, targets)
    return found


def _draw(found: SearchResult, path: str) -> None:
    """Write a picture of the search."""
    from .._optional import optional

    with optional("matplotlib", "--picture"):
        import matplotlib
    matplotlib.use("agg")
    found.plot().figure.savefig(path)


def _plain(candidate: Candidate) -> dict[str, Any]:
    return {
        "settings": candidate.settings,
        "epochs": candidate.epochs,
        "cost": candidate.score,
        "std": candidate.std,
        "bracket": candidate.bracket,
    }


def _tell(
    args: argparse.Namespace, data: Dataset, found: SearchResult, held_out: dict[str, float]
) -> None:
    """Print the report."""
    if args.json:
        print_json(
            {
                "data": data.name,
                "method": args.method,
                "folds": args.folds,
                "epochs": found.epochs,
                "best": _plain(found.best),
                "held_out": held_out,
                "saved": args.save,
                "candidates": [_plain(each) for each in found.ranking],
            }
        )
        return
    say(
        f"{data.name}: {counted(len(found.candidates), 'candidate')} on {args.folds} folds of "
        f"{data.n_examples:,} examples, {counted(found.epochs, 'epoch')} in all\n"
    )
    say(found.table(args.rows))
    score = ", ".join(
        f"{'R²' if name == 'r_squared' else name} {value:.4g}" for name, value in held_out.items()
    )
    say(f"\nbest settings, trained on all {data.n_examples:,} examples; held out: {score}")
    for option, path in (("saved as", args.save), ("picture in", args.picture)):
        if path is not None:
            say(f"{option} {path}")
