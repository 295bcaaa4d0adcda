"""Training that processes share: the ranks that mpiexec has started."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from .._optional import optional
from ._output import flush, mute, tell
from ._parser import Parser, count, number

_FAILED = 1


def add_options(parser: Parser) -> None:
    """Describe the options."""
    parser.set_defaults(writes=True)
    group = parser.add_argument_group("several processes")
    group.add_argument(
        "--data-parallel",
        action="store_true",
        help="share each batch among the ranks that mpiexec has started; needs mpi4py",
    )
    group.add_argument(
        "--shards",
        type=count(1, 64),
        metavar="S",
        help="parts of each batch, a power of two (with --data-parallel 8, or more for more than 8 "
        "ranks; else 1); results depend on it to rounding, but not on the number of ranks",
    )
    group.add_argument(
        "--exchange",
        choices=["bf16"],
        help="round gradients of shards to bfloat16: ranks send half as many bytes, and what "
        "rounding leaves out is added to the next gradient",
    )
    group.add_argument(
        "--timeout",
        type=number(0.0),
        default=300.0,
        metavar="SECONDS",
        help="how long a rank waits for another one (300)",
    )


def arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options add to a call of `Network.fit`."""
    comm = _communicator() if args.data_parallel else None
    return {
        "shards": args.shards,
        "comm": comm,
        "exchange": args.exchange,
        "timeout": args.timeout,
    }


def agreed(check: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Run a check on every rank, before they share any work; an error on one ends all."""
    problem = None
    try:
        check(args)
    except Exception as error:
        problem = error
    if args.data_parallel:
        texts = _communicator().allgather(None if problem is None else str(problem))
        if problem is None:
            for rank, text in enumerate(texts):
                if text is not None:
                    raise RuntimeError(f"rank {rank}: {text}")
    if problem is not None:
        raise problem


def on_ranks(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command on every rank; only rank 0 prints, and writes files."""
    if not args.data_parallel:
        return run(args)
    comm = _communicator()
    if comm.Get_rank() > 0:
        args.writes = False
        flush()
        mute(sys.stdout)
    try:
        return run(args)
    except RuntimeError as error:  # of another rank, which has said more
        tell(f"pybackprop {args.command}: rank {comm.Get_rank()} ends: {error}")
        return _FAILED


def _communicator() -> Any:
    with optional("mpi4py", "--data-parallel"):
        from mpi4py import MPI
    return MPI.COMM_WORLD
