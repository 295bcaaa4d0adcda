"""The argument parser of all commands, and the kinds of values that options take."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

ACTIVATIONS = (
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "softplus",
    "gelu",
    "silu",
    "mish",
)
LOSSES = ("mse", "squared_error", "mae", "huber", "cross_entropy", "binary_cross_entropy")


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong argument in one line and takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and leave with exit code 2."""
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    epilog: str,
) -> Parser:
    """Add one command, whose arguments the caller goes on to describe."""
    parser: Parser = commands.add_parser(name, help=summary, description=summary, epilog=epilog)
    parser.set_defaults(run=run)
    return parser


def add_json(parser: Parser) -> None:
    """Add the option that machines read the result by."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def print_json(result: Any) -> None:
    """Print a result as JSON, with null for numbers that are not finite."""
    print(json.dumps(_plain(result), ensure_ascii=False, allow_nan=False))


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


def count(low: int) -> Callable[[str], int]:
    """Return the type of an option that takes an integer of at least `low`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"expected an integer >= {low}, got {text!r}")
        return value

    return convert


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
