"""The process of a contender: it waits for requests on standard input, and answers in JSON.

Its arguments are LIBRARY and THREADS, and its environment makes the library use that many threads.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .contenders import Task, make_task
from .workloads import from_json

_PR_SET_PDEATHSIG = 1
# Repeats that go before those that count, as a part of them: caches and threads must wake up.
_WARM_UP = 8


class Worker:
    """The tasks of one library."""

    def __init__(self, library: str, threads: int | None) -> None:
        self.library, self.threads = library, threads
        self.tasks: dict[str, Task] = {}

    def prepare(self, name: str, spec: dict[str, Any], mode: str) -> dict[str, Any]:
        """Make a task, and return its evidence."""
        try:
            task = make_task(from_json(spec), self.library, mode, self.threads)
        except NotImplementedError as error:
            return {"unsupported": str(error)}
        evidence = task.evidence()
        self.tasks[name] = task
        return {"evidence": evidence, "compile_seconds": task.compile_seconds}

    def calibrate(self, name: str, seconds: float) -> dict[str, Any]:
        """Return how many repeats fill this time, at least one."""
        repeats, taken = 1, self._run(name, 1)
        if taken > 2.0 * seconds:
            return {"repeats": 1}
        while (taken := self._run(name, repeats)) < seconds / 4.0:
            repeats *= 2
        return {"repeats": max(1, round(repeats * seconds / taken))}

    def turn(self, name: str, repeats: int) -> dict[str, Any]:
        """Return the seconds of a step or call."""
        if repeats >= _WARM_UP:
            self._run(name, repeats // _WARM_UP)
        return {"seconds": self._run(name, repeats) / (repeats * self.tasks[name].unit)}

    def _run(self, name: str, repeats: int) -> float:
        """Return how long so many repeats take."""
        task = self.tasks[name]
        begin = time.perf_counter()
        task.run(repeats)
        return time.perf_counter() - begin

    def learn(self, **trial: Any) -> dict[str, Any]:
        """Learn a table, and return how well its other rows are predicted."""
        from .tabular.trial import run

        return {"found": run(**trial, threads=self.threads)}

    def drop(self, name: str) -> dict[str, Any]:
        """Forget a task."""
        self.tasks.pop(name, None)
        gc.collect()
        return {}

    def peak(self, precision: str) -> dict[str, Any]:
        """Return the rate of multiply-adds in registers, in operations per second."""
        from ..kernels import peak_flops

        return {"flops": peak_flops(precision)}

    def bandwidth(self, size: float) -> dict[str, Any]:
        """Return the bytes per second of updates whose vectors take so many bytes."""
        from ..kernels import bandwidth

        return {"bytes": bandwidth(int(size), self.threads)}

    def plan(self, m: int, k: int, n: int, dtype: str) -> dict[str, Any]:
        """Return how the core forms a product whose factors lie where NumPy puts them."""
        from ..kernels import matmul_plan

        b = np.empty((k, n), dtype)
        return matmul_plan(m, k, n, dtype, b_offset=b.ctypes.data % 64)


def main(library: str, threads: str) -> None:
    """Answer requests until the input ends."""
    # Ctrl-C reaches every process of the terminal, but only the one in charge has to react.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(library, None if threads == "default" else int(threads))
    for line in sys.stdin:
        request = json.loads(line)
        method: Callable[..., dict[str, Any]] = getattr(worker, request.pop("do"))
        try:
            answer = method(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _die_with_parent() -> None:
    """Ask Linux to end this process, stopped or not, when its parent ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
