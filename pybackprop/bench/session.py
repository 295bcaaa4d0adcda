"""What the subcommands share: options, who takes part, and a report to be filled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from . import runner
from .contenders import LIBRARIES, OWN, Contender, missing
from .processes import Processes
from .report import Report
from .runner import Entry, Plan, Result
from .workloads import Workload

W = TypeVar("W", bound=Workload)


@dataclass(frozen=True)
class Options:
    """How to run a subcommand.

    Attributes
    ----------
    plan : Plan
        How long to measure.
    threads : tuple of int or None
        Numbers of threads that every library runs with; None for its own default.
    peers : tuple of str or None
        Libraries to compare with; None for all of the subcommand's.
    only : tuple of str
        Names of workloads; empty for all.
    quick : bool
        Whether to leave out the workloads that take long.
    compiled : bool
        Whether torch.compile takes part.
    folder : str or None
        Where MNIST is.
    members : tuple of int
        Numbers of nets that are trained side by side; empty for those of the subcommand.
    models : tuple of str
        Names of models that learn tables; empty for all.
    splits, folds : int or None
        In how many ways each table is divided, and how many estimators of each model are averaged;
        None for the default.
    rows : int or None
        How many rows of each table are learnt, and how many predicted, at most; None for all.
    """

    plan: Plan = field(default_factory=Plan)
    threads: tuple[int | None, ...] = (1, None)
    peers: tuple[str, ...] | None = None
    only: tuple[str, ...] = ()
    quick: bool = False
    compiled: bool = False
    folder: str | None = None
    members: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    splits: int | None = None
    folds: int | None = None
    rows: int | None = None


@dataclass
class Session:
    """A subcommand at work."""

    options: Options
    processes: Processes
    say: Callable[[str], None]

    def peers(self, supported: Iterable[str]) -> list[str]:
        """Return the libraries of a subcommand that take part, installed or not.

        Raises
        ------
        ValueError
            A library was asked for that the subcommand does not compare with.
        """
        supported = list(supported)
        if self.options.peers is None:
            return supported
        for name in self.options.peers:
            if name not in supported:
                raise ValueError(f"--peers: expected some of {', '.join(supported)}, got {name}")
        return [name for name in supported if name in self.options.peers]

    def contenders(self, modes: Iterable[tuple[str, str]]) -> list[Contender]:
        """Return pairs of library and mode, each with every number of threads."""
        threads = self.options.threads
        return [Contender(library, mode, n) for library, mode in modes for n in threads]

    def select(self, workloads: Sequence[W], longest: float) -> list[W]:
        """Return the workloads that were asked for.

        Parameters
        ----------
        workloads : sequence of Workload
            All that there are.
        longest : float
            Operations of a step or call above which a quick run leaves a workload out, unless it
            was asked for by name.

        Raises
        ------
        ValueError
            There is none of a name that was asked for.
        """
        only = self.options.only
        names = [each.name for each in workloads]
        for name in only:
            if name not in names:
                raise ValueError(f"--only: expected one of {', '.join(names)}, got {name}")
        if only:
            return [each for each in workloads if each.name in only]
        return [each for each in workloads if not self.options.quick or each.flops <= longest]

    def measure(
        self, workload: Workload, contenders: Sequence[Contender], *, with_peak: bool = False
    ) -> Result:
        """Return the times of the contenders whose libraries are installed."""
        absent = {name: missing(name) for name in {each.library for each in contenders}}
        present = [each for each in contenders if not absent[each.library]]
        result = runner.measure(
            workload,
            present,
            self.processes,
            self.options.plan,
            self.say,
            with_peak=with_peak,
        )
        for each in contenders:
            if absent[each.library]:
                detail = f"no module {' or '.join(absent[each.library])}"
                result.entries.append(Entry(each, "not installed", detail))
        return result

    def report(self, command: str) -> Report:
        """Return an empty report."""
        return Report(command, plan=self.options.plan, quick=self.options.quick)


def own_default(mode: str, options: Options, isa: str | None = None) -> Contender:
    """Return the own contender that is compared with peers: by default threads, if it ran so."""
    threads = None if None in options.threads else max(n or 0 for n in options.threads)
    return Contender(OWN, mode, threads, isa)


def mnist_folder(options: Options) -> str:
    """Return the folder of MNIST.

    Raises
    ------
    ValueError
        None was given.
    """
    folder = options.folder or os.environ.get("PYBACKPROP_MNIST")
    if not folder:
        raise ValueError(
            "expected a folder with MNIST's IDX files, as an argument or in PYBACKPROP_MNIST"
        )
    return os.path.abspath(folder)


def all_libraries() -> list[str]:
    """Return the names of the peers."""
    return [name for name in LIBRARIES if name != OWN]
