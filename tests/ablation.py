"""What each mechanism of the core brings: training without it, timed beside training with it.

    python tests/ablation.py                 every mechanism of ablation_list.py
    python tests/ablation.py --list          what they are
    python tests/ablation.py --only NAME…    some of them
    python tests/ablation.py --rounds 15     more turns for each

Builds the core with the flags of a release, and again with a mechanism taken out of its sources.
The two train in turns, each in a process of its own. Prints the median of the ratios of their
times, with quartiles: above 1, the mechanism helps. Needs Linux, a C compiler with the options of
gcc, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from ablation_list import MECHANISMS, Mechanism, Workload
from mutation import NOT_COPIED, ROOT, Core, available_kernels, seed

WORKER = ROOT / "tests" / "ablation_worker.py"
GROUPS = Path("/sys/fs/cgroup/cpu")
SPIN = "while True: pass"
BURSTS = """
import time
while True:
    end = time.perf_counter() + 0.03
    while time.perf_counter() < end:
        pass
    time.sleep(0.2)
"""


def build(work: Path, mechanisms: Sequence[Mechanism]) -> tuple[dict[str, Path], set[str]]:
    """Return the trees and the instruction sets of this machine.

    The trees go by the name of the mechanism that each is without; that of "" has all.
    """
    base, objects = work / "base", work / "objects"
    objects.mkdir()
    shutil.copytree(ROOT, base, ignore=NOT_COPIED)
    available = available_kernels(base)
    core = Core(base, objects, "-O3")
    core.build_all(os.cpu_count() or 1)
    core.install(base, (), available)
    trees = {"": base}
    for mechanism in mechanisms:
        tree = trees[mechanism.name] = work / mechanism.name
        shutil.copytree(base, tree, ignore=NOT_COPIED)
        for edit in mechanism.edits:
            seed(tree, edit)
        core.install(tree, [edit.file for edit in mechanism.edits], available)
    return trees, available


class Worker:
    """A process that trains with the core of one tree."""

    def __init__(self, tree: Path, workload: Workload, group: Path | None) -> None:
        self.longest = workload.longest
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(workload.network)],
            env={**os.environ, **workload.environment, "PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.orders: IO[str] = self.process.stdin
        self.answers: IO[str] = self.process.stdout
        self.answers.readline()  # it waits before it imports the package, which counts CPUs
        if group is not None:
            (group / "cgroup.procs").write_text(str(self.process.pid))

    def begin(self, seconds: float) -> None:
        """Let it train for a time."""
        self.orders.write(f"{seconds}\n")
        self.orders.flush()

    def result(self) -> float:
        """Return the seconds of a step of the training that was begun, or of the longest call."""
        mean, longest = map(float, self.answers.readline().split())
        return longest if self.longest else mean

    def end(self) -> None:
        self.orders.close()
        self.process.wait()
        self.answers.close()


class Side:
    """The processes that train with or without a mechanism, one or several at once."""

    def __init__(self, tree: Path, workload: Workload, group: Path | None) -> None:
        self.workload, self.make = workload, lambda: Worker(tree, workload, group)
        self.workers: list[Worker] = []
        if not workload.fresh:
            self.workers = [self.make() for _ in range(workload.at_once)]
            self.train(0.2)

    def turn(self) -> float:
        """Train for a turn, and return the seconds of a step."""
        if not self.workload.fresh:
            return self.train(self.workload.seconds)
        self.workers = [self.make() for _ in range(self.workload.at_once)]
        try:
            return self.train(self.workload.seconds)
        finally:
            self.end()

    def train(self, seconds: float) -> float:
        for worker in self.workers:
            worker.begin(seconds)
        return statistics.fmean([worker.result() for worker in self.workers])

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
        self.workers = []


@contextlib.contextmanager
def others(workload: Workload) -> Iterator[None]:
    """Let other processes run beside a workload: on some CPUs, or in bursts on any."""
    allowed = sorted(os.sched_getaffinity(0))
    programs = [(SPIN, {cpu}) for cpu in allowed[::-1][: workload.busy]]
    if workload.bursts:
        programs.append((BURSTS, set(allowed)))
    processes = []
    for program, cpus in programs:
        processes.append(subprocess.Popen([sys.executable, "-c", program]))
        os.sched_setaffinity(processes[-1].pid, cpus)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def group_of(quota: float) -> Iterator[Path | None]:
    """A control group of version 1 that gives so many CPUs; None for a quota of 0."""
    if quota == 0:
        yield None
        return
    group = GROUPS / f"pybackprop-ablation-{os.getpid()}"
    group.mkdir()
    try:
        period = int((group / "cpu.cfs_period_us").read_text())
        (group / "cpu.cfs_quota_us").write_text(str(int(quota * period)))
        yield group
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def ratios(trees: dict[str, Path], name: str, workload: Workload, rounds: int) -> list[float]:
    """Return the time of a step without the mechanism, by the time with it, of each round."""
    found = []
    with group_of(workload.quota) as group, contextlib.ExitStack() as at_the_end:
        sides = []
        for tree in ("", name):
            sides.append(Side(trees[tree], workload, group))
            at_the_end.callback(sides[-1].end)
        at_the_end.enter_context(others(workload))
        for number in range(rounds):
            order = sides if number % 2 else sides[::-1]
            times = {side: side.turn() for side in order}
            found.append(times[sides[1]] / times[sides[0]])
    return found


def reason_to_leave_out(workload: Workload, available: set[str]) -> str:
    """Why this machine cannot show what the workload is for; "" if it can."""
    if workload.isa and workload.isa not in available:
        return f"needs {workload.isa}"
    if workload.quota and not os.access(GROUPS / "cpu.cfs_period_us", os.W_OK):
        return "needs control groups of version 1 that the caller may make"
    if workload.cpus > len(os.sched_getaffinity(0)):
        return f"needs {workload.cpus} CPUs"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some mechanisms by their names")
    parser.add_argument("--list", action="store_true", help="print the mechanisms and end")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of each side")
    args = parser.parse_args(arguments)
    chosen = [m for m in MECHANISMS if not args.only or m.name in args.only]
    if args.rounds < 2:
        parser.error(f"argument --rounds: expected an integer >= 2, got {args.rounds}")
    unknown = set(args.only or ()) - {m.name for m in chosen}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list prints the mechanisms")
    if args.list:
        for mechanism in chosen:
            print(f"{mechanism.name:<22}{mechanism.about}")
        return 0
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pybackprop-ablation-") as work:
        trees, available = build(Path(work), chosen)
        print("| mechanism | training | time without / with | quartiles |\n|---|---|--:|--:|")
        for mechanism in chosen:
            for workload in mechanism.workloads:
                line = f"| {mechanism.name} | {workload.name} | "
                why = reason_to_leave_out(workload, available)
                if why:
                    print(line + f"{why} | |")
                    continue
                found = ratios(trees, mechanism.name, workload, args.rounds)
                low, median, high = statistics.quantiles(found, n=4)
                print(line + f"{median:.2f} | {low:.2f} to {high:.2f} |", flush=True)
    print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
