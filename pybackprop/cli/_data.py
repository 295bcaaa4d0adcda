"""Where examples come from: the options that say how data are read, and what was read."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from ..words import counted
from ._output import say, tell
from ._parser import Parser

if TYPE_CHECKING:
    from ..datasets import Dataset

# Reading that takes longer is reported on standard error, this often.
_SECONDS = 1.0
# Of columns that stay as they are, a report of many names only the first.
_FULL_REPORT = 100
_SHOWN_ALIKE = 5
# What each option --on-... does by default, and what it is about.
ON = {
    "missing": ("fill", "missing cells among the inputs: filled in and marked"),
    "date": ("parts", "columns of dates: day number, time of the year, weekday, time of day"),
    "notation": ("read", "numbers such as 12%%, $1,234.50, 3,5 or 5 kg: read as numbers"),
    "odd": ("missing", "texts in a column of numbers or dates: taken as missing"),
    "many": ("group", "texts too many for a category: commonest levels or words, or left out"),
}
TABLE_OPTIONS = ("ignore", "categorical", "missing", "strict", *(f"on_{name}" for name in ON))


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
    parser.add_list(
        group,
        "--missing",
        str,
        default=None,
        adds_up=True,
        metavar="TEXTS",
        help="what stands for a missing cell, besides an empty one, in place of the default "
        "(? NA N/A NaN null and others)",
    )
    for name, (default, what) in ON.items():
        group.add_argument(f"--on-{name}", choices=(default, "refuse"), help=f"{what} ({default})")
    group.add_argument(
        "--strict", action="store_true", help="refuse all of these instead of treating them"
    )
    return group


def table_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options for tables, in the words of `pybackprop.datasets.load_csv`."""
    refuse = [name for name in ON if args.strict or getattr(args, f"on_{name}") == "refuse"]
    return {
        "categorical": args.categorical,
        "ignore": args.ignore,
        "missing": args.missing,
        "refuse": refuse,
        "scaling": _scaling(args),
    }


def _scaling(args: argparse.Namespace) -> str | None:
    """Return the scaling of the encoding; None if the network standardises its inputs."""
    given = getattr(args, "scaling", None)
    if given is None and getattr(args, "recipe", None) == "realmlp-s":
        given = "robust"
    return None if given == "standard" else given


def given_table_options(args: argparse.Namespace) -> list[str]:
    """Return the options for tables that were given."""
    names = (*TABLE_OPTIONS, "scaling")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name, None)]


def load_data(
    source: str,
    args: argparse.Namespace,
    hold_out: Any = None,
    seed: int = 0,
    option: str = "--validation",
) -> Dataset:
    """Load a data set by the options of `add_data_options`, and make sure that it varies.

    Of a table, a part is held out at once, so that nothing is learnt from it: see
    `pybackprop.datasets.load_csv`.
    """
    from ..datasets import BUILT_IN, is_table, load, load_csv

    if source not in BUILT_IN and is_table(source):
        try:
            data = load_csv(
                source,
                args.target,
                task=args.task,
                hold_out=hold_out,
                seed=seed,
                progress=ReadingProgress(source),
                **table_options(args),
            )
        except ValueError as error:
            if not str(error).startswith("fraction "):
                raise
            raise ValueError(f"{source}: {option}: {error}; give more examples") from None
        data.check_learnable()
        return data
    given = given_table_options(args)
    if given:
        raise ValueError(f"{source}: {' and '.join(given)} are for tables")
    data = load(source, args.target, task=args.task)
    data.check_learnable()
    return data


def split(data: Dataset, fraction: Any, seed: int, option: str) -> Dataset:
    """Hold out a part, or say for which option there are too few examples."""
    try:
        return data.split(fraction, seed)
    except ValueError as error:
        raise ValueError(f"{data.name}: {option}: {error}; give more examples") from None


def load_divided(args: argparse.Namespace) -> Dataset:
    """Load args.data and make sure that a part is held out, by args.validation."""
    fraction = 0.2 if args.validation is None else args.validation
    data = load_data(args.data, args, fraction, args.seed)
    if data.x_test is None:
        return split(data, fraction, args.seed, "--validation")
    if args.validation is not None and data.encoding is None:
        raise ValueError("--validation does not apply: the data come with a held-out part")
    return data


class ReadingProgress:
    """Tells on standard error how far the reading of a file is, if it takes over a second."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin = self._last = time.monotonic()
        self._shown = False

    def __call__(self, rows: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS:
            self._last = now
            self._shown = True
            tell(f"{self._name}: {rows:,} rows read after {now - self._begin:.0f} s")


def describe(data: Dataset) -> str:
    """Describe the training data in one line."""
    n_test = 0 if data.x_test is None else len(data.x_test)
    kind = f"{data.n_outputs} classes"
    if data.class_names is None:
        kind = f"regression of {', '.join(data.target_names)}"
    about = (
        f"{data.name}: {data.n_examples:,} training and {n_test:,} held-out examples, "
        f"{counted(data.n_features, 'feature')} ({data.x.dtype}), {kind}"
    )
    if data.encoding is not None:
        used = {column.name for column in data.encoding.features} | {data.encoding.target}
        unused = [name for name in data.encoding.names if name not in used]
        about += f"; left out: {', '.join(unused)}" if unused else ""
    return about


def say_columns(data: Dataset) -> None:
    """Print what each column of a table became, and why, in one table."""
    if data.encoding is None:
        return
    for note in data.notes:
        say(f"note: {note}")
    rows = data.encoding.report()
    if len(rows) > _FULL_REPORT:
        rows = _shortened(rows)
    width = min(max(map(len, ["column", *(row[0] for row in rows)])), 40)
    say(f"{'column':<{width}}  {'read as':<9}{'inputs':>7}  why")
    for name, kind, inputs, why in rows:
        say(f"{name:<{width}}  {kind:<9}{inputs:>7}  {why}".rstrip())
    say("")


def _shortened(rows: list[tuple[str, str, int, str]]) -> list[tuple[str, str, int, str]]:
    """Return the rows of a report with those that are told alike put together."""
    alike: dict[tuple[str, str], list[tuple[str, str, int, str]]] = {}
    for row in rows:
        alike.setdefault((row[1], row[3]), []).append(row)
    shown = []
    for (kind, why), group in alike.items():
        shown += group[:_SHOWN_ALIKE]
        more = group[_SHOWN_ALIKE:]
        if more:
            inputs = sum(row[2] for row in more)
            shown.append((f"and {len(more):,} more", kind, inputs, why))
    return shown


def metadata_of(data: Dataset) -> dict[str, Any]:
    """Return what `pybackprop predict` needs to know besides the network."""
    return {
        "task": data.task,
        "class_names": data.class_names and list(data.class_names),
        "feature_names": list(data.feature_names),
        "target_names": list(data.target_names),
        "encoding": data.encoding and data.encoding.to_json(),
    }


def checked_metadata(data: Dataset) -> dict[str, Any]:
    """Return the metadata of a model to be saved, or say before training that they are too many."""
    from ..settings import as_metadata

    try:
        return as_metadata(metadata_of(data))
    except ValueError as error:
        raise ValueError(f"{data.name}: --save: {error}") from error


def read_stdin() -> bytes:
    """Return what comes on standard input."""
    return sys.stdin.buffer.read()
