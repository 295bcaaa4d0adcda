"""``pybackprop mpi-info``, and what commands do that are started by mpiexec or srun."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from ._output import say
from ._parser import Commands, add_json, command, count, number, print_json

if TYPE_CHECKING:
    from ..distributed import Workers

# Where MPI libraries tell a process how many it is one of, and which.
_PLACES = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_NTASKS", "PMIX_RANK"),
)
# Commands that MPI ranks do together; only rank 0 prints.
_TOGETHER = ("search", "mpi-info")

_EPILOG = """\
Without mpiexec there is one rank. As root, Open MPI wants --allow-run-as-root; for more ranks than
cores, --oversubscribe.

examples:
  mpiexec -n 4 pybackprop mpi-info
  srun -n 64 pybackprop mpi-info --json
  mpiexec -n 2 pybackprop mpi-info --plan 784,512,512,10 --batch 1024
  pybackprop mpi-info --plan 784,512,512,10 --batch 1024 --latency 15 --bandwidth 25
"""


def place() -> tuple[int, int]:
    """Return how many ranks mpiexec started, and which of them this process is."""
    for size, rank in _PLACES:
        if os.environ.get(size, "").isdecimal() and os.environ.get(rank, "").isdecimal():
            return int(os.environ[size]), int(os.environ[rank])
    return 1, 0


def is_other_rank(words: list[str]) -> bool:
    """Return whether rank 0 prints, and not this one, what the command says."""
    return bool(place()[1] and words and words[0] in _TOGETHER)


def hushed(call: Callable[[list[str]], int], words: list[str]) -> int:
    """Call a function that prints nothing, and return its exit code."""
    null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    with null, redirect_stdout(null), redirect_stderr(null):
        code = call(words)
    if code:
        time.sleep(1)  # mpiexec ends all ranks with the first, and rank 0 has something to say
    return code


@contextmanager
def workers_of(jobs: int | None) -> Iterator[Workers]:
    """Context manager for the workers of a command: MPI ranks, processes, or this one."""
    from ..distributed import over

    n_ranks, _ = place()
    if n_ranks > 1 and jobs is not None:
        raise ValueError("--jobs does not apply: mpiexec has started the processes")
    name = "mpi" if n_ranks > 1 else None if jobs is None else "processes"
    with over(name, n_jobs=jobs) as workers:
        yield workers


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Print the MPI library, the ranks, their CPUs, and how fast messages are."
    parser = command(commands, "mpi-info", run, summary, _EPILOG)
    add_json(parser)
    group = parser.add_argument_group("the gain of sharing batches, instead of the above")
    parser.add_list(
        group,
        "--plan",
        count(1),
        metavar="WIDTHS",
        help="widths of a network with its inputs and outputs; times its steps on one node, and "
        "computes those on several",
    )
    group.add_argument("--batch", type=count(2), metavar="B", help="rows of a batch of all nodes")
    parser.add_list(
        group,
        "--nodes",
        count(2),
        metavar="N",
        help="numbers of nodes (2 4 16 64 256 1000)",
    )
    group.add_argument(
        "--latency",
        type=number(0.0),
        metavar="US",
        help="of a message, in microseconds, without mpiexec",
    )
    group.add_argument(
        "--bandwidth",
        type=number(0.0, open_low=True),
        metavar="GBIT",
        help="of the network, in Gbit/s, without mpiexec",
    )


def run(args: argparse.Namespace) -> int:
    """Print the table, or the plan."""
    if args.plan is not None:
        return _plan(args)
    for option in ("batch", "nodes", "latency", "bandwidth"):
        if getattr(args, option) is not None:
            raise ValueError(f"--{option} needs --plan WIDTHS, the network to plan for")
    return _info(args)


def _plan(args: argparse.Namespace) -> int:
    """Print what a step takes on several nodes."""
    from .. import Network
    from ..distributed import estimate

    if args.batch is None:
        raise ValueError("--plan needs --batch, the rows of a batch that all nodes share")
    if (args.latency is None) != (args.bandwidth is None):
        raise ValueError("--latency and --bandwidth must be given together")
    if args.latency is None and place()[0] < 2:
        raise ValueError(
            "--plan needs --latency US and --bandwidth GBIT of the network, or two or more ranks "
            "that measure them: mpiexec -n 2 pybackprop mpi-info --plan ..."
        )
    given = args.latency is not None
    network = {"latency": args.latency / 1e6, "bandwidth": args.bandwidth * 1.25e8} if given else {}
    found = estimate(Network(args.plan, seed=0), args.batch, args.nodes, **network)
    if args.json:
        print_json({"widths": args.plan, **found})
        return 0
    widths = "-".join(map(str, args.plan))
    say(f"network   {widths}, {found['parameters']:,} parameters; batch of {args.batch:,} rows")
    same = f"of which {1e3 * found['fixed']:.3g} ms for any batch"
    say(f"one node  {1e3 * found['step']:.3g} ms a step, {same} (measured)")
    origin = "given" if given else "measured"
    latency, bandwidth = 1e6 * found["latency"], found["bandwidth"] / 1e9
    say(f"messages  {latency:.3g} us, {bandwidth:.3g} GB/s ({origin})")
    say("\nnodes  step in ms  messages in ms  times as fast  efficiency")
    for each in found["nodes"]:
        times = f"{1e3 * each['step']:>10.3g}  {1e3 * each['messages']:>14.3g}"
        say(f"{each['nodes']:>5}  {times}  {each['speedup']:>13.2f}  {each['efficiency']:>10.2f}")
    least = found["break_even"]
    pays = (
        "pays for no batch" if math.isinf(least) else f"pays from {least:,.0f} rows in a batch on"
    )
    say(f"\nA second node {pays}.")
    return 0


def _info(args: argparse.Namespace) -> int:
    """Print the table."""
    from ..distributed import mpi_info

    found = mpi_info()
    if args.json:
        print_json(found)
        return 0
    hosts = ", ".join(f"{count} on {host}" for host, count in found["hosts"].items())
    say(f"library  {found['library']}\nstandard MPI {found['standard']}")
    say(f"mpi4py   {found['mpi4py']}\nranks    {hosts}")
    for each in found["messages"]:
        first, second = each["ranks"]
        latency, bandwidth = 1e6 * each["latency"], each["bandwidth"] / 1e9
        say(f"ranks {first} and {second}: {latency:.3g} us for 8 bytes, {bandwidth:.3g} GB/s")
    say("\nrank  host              CPUs  threads  isa       bf16")
    for at, each in enumerate(found["ranks"]):
        say(
            f"{at:>4}  {each['host']:<16}  {each['cpus']:>4}  {each['threads']:>7}  "
            f"{each['isa']:<8}  {each['bf16']}"
        )
    return 0
