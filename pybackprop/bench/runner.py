"""The run: check every contender, then let those that agree take turns, round after round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import agreement
from .agreement import Evidence
from .contenders import OWN, Contender
from .processes import ProcessError, Processes
from .statistics import Spread, ratio, spread
from .workloads import Product, Training, Workload, to_json

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes
    ----------
    turn : float
        Seconds that a turn of a contender should take; one repeat may take longer.
    rounds : int
        Rounds at most.
    least : int
        Rounds at least, whatever they take.
    seconds : float
        Seconds after which no more rounds than `least` are begun for a workload.
    """

    turn: float = 0.03
    rounds: int = 21
    least: int = 5
    seconds: float = 16.0


QUICK = Plan(turn=0.002, rounds=3, least=2, seconds=2.0)


@dataclass
class Entry:
    """What is known of a contender in a workload.

    Attributes
    ----------
    status : str
        ok, unsupported, not installed, failed or disagrees.
    detail : str
        Why it is not ok, or by how much its evidence differs.
    seconds : list of float
        Of a step or call, one entry per round.
    peaks : list of float
        Operations per second of multiply-adds in registers, read after each turn where asked for.
    """

    contender: Contender
    status: str = "ok"
    detail: str = ""
    compile_seconds: float = 0.0
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    @property
    def spread(self) -> Spread:
        """Median and quartiles of the seconds."""
        return spread(self.seconds)


@dataclass
class Result:
    """A workload and its entries."""

    workload: Workload
    entries: list[Entry]

    @property
    def timed(self) -> list[Entry]:
        """The entries that have times."""
        return [entry for entry in self.entries if entry.status == "ok" and entry.seconds]

    def find(self, contender: Contender) -> Entry | None:
        """Return the timed entry of a contender, if there is one."""
        return next((entry for entry in self.timed if entry.contender == contender), None)


@dataclass(frozen=True)
class Comparison:
    """An own contender and the peer with the lowest median."""

    own: Contender
    peer: Contender
    ratio: Spread


def measure(
    workload: Workload,
    contenders: Sequence[Contender],
    processes: Processes,
    plan: Plan,
    say: Say,
    *,
    with_peak: bool = False,
) -> Result:
    """Return the times of the contenders that agree with the reference.

    Parameters
    ----------
    workload : Workload
        What they do.
    contenders : sequence of Contender
        Who; their libraries must be installed.
    processes : Processes
        Where they run.
    plan : Plan
        How long.
    say : callable
        Is told, in a line, what is going on.
    with_peak : bool
        Whether own contenders also read `peak_flops`, in every round.
    """
    expected = agreement.reference(workload)
    result = Result(workload, [Entry(contender) for contender in contenders])
    for entry in result.entries:
        say(f"{workload.name}: preparing {entry.contender.label} ({entry.contender.threads_text})")
        _prepare(workload, entry, expected, processes, plan)
    ready = [entry for entry in result.entries if entry.status == "ok"]
    begin = time.perf_counter()
    for number in range(plan.rounds):
        if number >= plan.least and time.perf_counter() - begin > plan.seconds:
            break
        say(f"{workload.name}: round {number + 1} of at most {plan.rounds}")
        # Use a new order in every round, so that no contender always follows the same neighbour.
        for entry in random.Random(number).sample(ready, len(ready)):
            _take_turn(workload, entry, processes, with_peak)
    for entry in ready:
        if entry.status == "ok":
            processes.of(entry.contender).ask("drop", name=_task_name(workload, entry))
    return result


def _task_name(workload: Workload, entry: Entry) -> str:
    return f"{workload.name} {entry.contender.mode}"


def _prepare(
    workload: Workload, entry: Entry, expected: Evidence, processes: Processes, plan: Plan
) -> None:
    """Let a contender show its evidence, and find how often to repeat the work in a turn."""
    process, name = processes.of(entry.contender), _task_name(workload, entry)
    try:
        answer = process.ask(
            "prepare", name=name, spec=to_json(workload), mode=entry.contender.mode
        )
        if "unsupported" in answer:
            entry.status, entry.detail = "unsupported", answer["unsupported"]
            return
        judge(workload, entry, expected, answer["evidence"])
        if entry.status == "ok":
            entry.compile_seconds = answer["compile_seconds"]
            entry.repeats = process.ask("calibrate", name=name, seconds=plan.turn)["repeats"]
        else:
            process.ask("drop", name=name)
    except ProcessError as error:
        entry.status, entry.detail = "failed", str(error)
        processes.forget_ended()


def judge(workload: Workload, entry: Entry, expected: Evidence, found: Evidence) -> None:
    """Set the status of an entry by its evidence."""
    verdict = agreement.compare(workload, expected, found)
    entry.detail = verdict.detail
    if not verdict.ok:
        entry.status = "disagrees"


def _take_turn(workload: Workload, entry: Entry, processes: Processes, with_peak: bool) -> None:
    if entry.status != "ok":
        return
    process = processes.of(entry.contender)
    try:
        answer = process.ask("turn", name=_task_name(workload, entry), repeats=entry.repeats)
        entry.seconds.append(answer["seconds"])
        if with_peak and entry.contender.library == OWN:
            precision = _precision(workload, entry.contender.mode)
            entry.peaks.append(process.ask("peak", precision=precision)["flops"])
    except ProcessError as error:
        entry.status, entry.detail = "failed", str(error)
        processes.forget_ended()


def _precision(workload: Workload, mode: str) -> str:
    """Return the precision whose peak a contender is compared with."""
    if isinstance(workload, Product):
        return workload.kind if mode == "product" else workload.dtype
    return workload.precision if isinstance(workload, Training) else "float32"


def compare_with_best(
    result: Result, own: Contender, peers: Callable[[Contender], bool] = lambda peer: True
) -> Comparison | None:
    """Return how an own contender stands to the best of some peers; None if either is missing."""
    mine = result.find(own)
    others = [
        entry for entry in result.timed if entry.contender.library != OWN and peers(entry.contender)
    ]
    if mine is None or not others:
        return None
    best = min(others, key=lambda entry: entry.spread.median)
    return Comparison(own, best.contender, ratio(best.seconds, mine.seconds))
