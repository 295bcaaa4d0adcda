"""``pybackprop bench``: how fast it is, against its peers on the same machine."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ._parser import Commands, Parser, command, count

_EPILOG = """\
Every contender runs in its own process. They take turns in many short rounds, and only one runs
at a time. A time is shown only if the contender's results agree with float64 arithmetic, within
a tolerance that the report states. Peers that are not installed are listed as such;
pip install torch jax scikit-learn onnxruntime onnx installs them all.

examples:
  pybackprop bench steps --quick --only xor
  pybackprop bench steps --markdown > steps.md
  pybackprop bench epoch mnist/ --peers torch
  pybackprop bench kernels --threads 1 --json kernels.json
  pybackprop bench tables --quick
"""

_SUBJECTS = {
    "steps": "a training step, called one by one and inside `fit`",
    "epoch": "an epoch of MNIST",
    "accuracy": "how well MNIST is learned in each precision of products",
    "many": "training steps of many small nets, side by side",
    "predict": "the outputs for one batch",
    "derivatives": "derivatives of outputs and cost, in inputs and parameters",
    "kernels": "matrix products and activations, as shares of the machine's peak",
    "model": "steps and predictions against what operations and bytes alone would take",
    "tables": "how well real tables are learnt, beside trees and other networks",
    "memory": "the memory that training takes besides program and data",
    "scaling": "a step as batch, width, depth and threads grow",
}

# With fewer, most classes of some tables would not be learnt.
_LEAST_ROWS = 100
# Subjects whose rounds are of another kind: how many, and what they are.
_ROUNDS = {
    "accuracy": (5, "seeds (5)"),
    "memory": (2, "processes for each; the largest counts (2)"),
}


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Measure speed against peers on the same machine."
    parser = command(commands, "bench", run, summary, _EPILOG)
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT", required=True)
    for subject, about in _SUBJECTS.items():
        _add_options(command(subjects, subject, run, f"Measure {about}.", ""), subject)


def _add_options(parser: Parser, subject: str) -> None:
    """Describe the options of one subject."""
    if subject in ("epoch", "accuracy"):
        parser.add_argument(
            "folder", nargs="?", help="with MNIST's IDX files (environment: PYBACKPROP_MNIST)"
        )
    else:
        what = {"scaling": "sweep", "tables": "table"}.get(subject, "workload")
        parser.add_argument(
            "--only", action="append", default=[], metavar="NAME", help=f"{what}; may be repeated"
        )
    if subject == "tables":
        _add_options_of_tables(parser)
    if subject == "many":
        parser.add_list(
            parser,
            "--k",
            count(1),
            default=[],
            metavar="K",
            help="numbers of nets (1 16 128 1024; with --quick 1 16)",
        )
    if subject in ("steps", "epoch"):
        parser.add_argument("--compile", action="store_true", help="include torch.compile")
    if subject not in ("accuracy", "memory", "model", "tables"):
        parser.add_argument(
            "--peers",
            metavar="A,B",
            help="libraries to compare with, or none "
            + ("(none)" if subject == "scaling" else "(all available)"),
        )
    if subject not in ("scaling", "accuracy", "memory", "tables"):
        parser.add_list(
            parser,
            "--threads",
            _threads,
            default=[1, None],
            metavar="N",
            help="numbers of threads, or default (1 default)",
        )
    if subject != "tables":
        default, rounds = _ROUNDS.get(subject, (None, "most rounds (21, or fewer if slow)"))
        parser.add_argument("--rounds", type=count(2), default=default, help=rounds)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--markdown", action="store_true", help="print the summary as Markdown")
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file; - to print")


def _add_options_of_tables(parser: Parser) -> None:
    """Describe who learns, and from how many divisions of the rows."""
    parser.add_argument(
        "--models",
        metavar="A,B",
        help="who learns (all that are installed); of two, the second is compared with the first",
    )
    parser.add_argument(
        "--splits",
        type=count(1),
        metavar="N",
        help="in how many ways the rows are divided (10; with --quick 1)",
    )
    parser.add_argument(
        "--folds",
        type=count(2),
        metavar="K",
        help="average K estimators of every model, each of which has another part of the rows to "
        "say when to stop",
    )
    parser.add_argument(
        "--rows",
        type=count(_LEAST_ROWS),
        metavar="N",
        help="learn from N rows at most, those that say when to stop included, and predict at most "
        "N others (all)",
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        nargs=1,
        default=[None],
        metavar="N",
        help="number of threads of every model (default: as many as each takes)",
    )


def _threads(text: str) -> int | None:
    return None if text == "default" else count(1)(text)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the report."""
    from importlib import import_module

    from ..bench.processes import Processes
    from ..bench.session import Session
    from ..files.write import write_atomically

    with Processes() as processes:
        session = Session(_options(args), processes, _say)
        report = import_module(f"..bench.suites.{args.subject}", __package__).run(session)
    if sys.stderr.isatty():
        _say("")
    if args.json == "-":
        print(report.json())
        return 0
    if args.json is not None:
        text = f"{report.json()}\n"
        write_atomically(args.json, lambda file: file.write(text.encode()))
    print(report.markdown() if args.markdown else report.text())
    return 0


def _options(args: argparse.Namespace) -> Any:
    """Return what the arguments ask for."""
    from dataclasses import replace

    from ..bench.runner import QUICK, Plan
    from ..bench.session import Options

    plan = QUICK if args.quick else Plan()
    if getattr(args, "rounds", None) is not None:
        plan = replace(plan, rounds=args.rounds, least=min(plan.least, args.rounds))
    peers = None
    if getattr(args, "peers", None) is not None:
        peers = () if args.peers == "none" else tuple(args.peers.split(","))
    return Options(
        plan=plan,
        threads=tuple(dict.fromkeys(getattr(args, "threads", (1, None)))),
        peers=peers,
        only=tuple(getattr(args, "only", ())),
        quick=args.quick,
        compiled=getattr(args, "compile", False),
        folder=getattr(args, "folder", None),
        members=tuple(dict.fromkeys(getattr(args, "k", ()))),
        models=tuple(filter(None, (getattr(args, "models", None) or "").split(","))),
        splits=getattr(args, "splits", None),
        folds=getattr(args, "folds", None),
        rows=getattr(args, "rows", None),
    )


def _say(line: str) -> None:
    """Show on a terminal what is going on, in one line that is overwritten."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)
