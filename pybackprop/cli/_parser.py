"""The argument parser of all commands, and the kinds of values that options take."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from .. import _core
from ._lists import ListOption, join_lists, list_of
from ._output import can_print, tell

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

ACTIVATIONS = tuple(name for name in _core.ACTIVATIONS if name != "softmax")  # of hidden layers
LOSSES = tuple(_core.LOSSES)


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong argument in one line and takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )
        self._lists: dict[str, ListOption] = {}

    def add_list(
        self,
        group: Any,
        flag: str,
        convert: Callable[[str], Any],
        *,
        least: int = 1,
        adds_up: bool = False,
        **options: Any,
    ) -> None:
        """Add to a group an option that takes a list of values, apart or joined by commas.

        If the option is given again, the lists add up or, by default, the last one counts.
        """
        group.add_argument(flag, type=list_of(convert, least), **options)
        self._lists[flag] = ListOption(convert, adds_up)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, with options and their values joined where argparse would take too many."""
        words = list(sys.argv[1:] if args is None else args)
        n_names = len(self._get_positional_actions())
        words = join_lists(words, self._lists, self._option_string_actions, n_names)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and leave with exit code 2."""
        tell(f"{self.prog}: error: {message} (see {self.prog} --help)")
        sys.exit(2)


def command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    epilog: str,
) -> Parser:
    """Add one command; the caller describes its arguments."""
    parser: Parser = commands.add_parser(name, help=summary, description=summary, epilog=epilog)
    parser.set_defaults(run=run)
    return parser


def refuse_same_file(output: str | None, **inputs: str | None) -> None:
    """Refuse to write over a file that the command reads."""
    for name, path in inputs.items():
        if output is not None and path is not None and is_same_file(output, path):
            raise ValueError(f"--output must be another file than {name}, got {output}")


def is_same_file(one: str, other: str) -> bool:
    """Tell whether two paths, whose files need not exist, lead to the same file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return len({os.path.normcase(os.path.realpath(path)) for path in (one, other)}) == 1


def check_writable(path: str | None, option: str) -> None:
    """Refuse a path at which no file can be written, before there is anything to write."""
    if path is None:
        return
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise ValueError(f"{option}: no file can be written at {path}")


def add_json(parser: Parser) -> None:
    """Add the option for output that machines read."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def print_json(result: Any) -> None:
    """Print a result as JSON, with null for numbers that are not finite."""
    plain = _plain(result)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    # JSON has its own escapes for what the stream cannot encode.
    print(text if can_print(text) else json.dumps(plain, allow_nan=False))


def _plain(value: Any) -> Any:
    """Return a value as what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def count(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Return the type of an option that takes an integer from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"expected an integer >= {low}, got {text!r}")
        if value > high:
            raise argparse.ArgumentTypeError(f"expected an integer <= {high}, got {text!r}")
        return value

    return convert


seed = count(0, 2**64 - 1)


def number(low: float, high: float = float("inf"), *, open_low: bool = False) -> Any:
    """Return the type of an option that takes a number of a range whose upper end is open."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not (low <= value < high) or (open_low and value == low):
            above = f"{'>' if open_low else '>='} {low:g}"
            below = "" if high == float("inf") else f" and < {high:g}"
            raise argparse.ArgumentTypeError(f"expected a number {above}{below}, got {text!r}")
        return value

    return convert
