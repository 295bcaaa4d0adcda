"""The process of a contender: it waits for requests on standard input, and answers in JSON.

Started as ``python -m pybackprop.bench.worker LIBRARY THREADS``, with the environment that makes
the library use that many threads.
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
        task, repeats = self.tasks[name], 1
        task.run(1)
        while True:
            begin = time.perf_counter()
            task.run(repeats)
            taken = time.perf_counter() - begin
            if taken > seconds / 4:
                return {"repeats": max(1, round(repeats * seconds / taken))}
            repeats *= 2

    def turn(self, name: str, repeats: int) -> dict[str, Any]:
        """Return the seconds of a step or call."""
        task = self.tasks[name]
        if repeats >= _WARM_UP:
            task.run(repeats // _WARM_UP)
        begin = time.perf_counter()
        task.run(repeats)
        return {"seconds": (time.perf_counter() - begin) / (repeats * task.unit)}

    def drop(self, name: str) -> dict[str, Any]:
        """Forget a task."""
        self.tasks.pop(name, None)
        gc.collect()
        return {}

    def peak(self, dtype: str) -> dict[str, Any]:
        """Return the rate of multiply-adds in registers, in operations per second."""
        from ..kernels import peak_flops

        return {"flops": peak_flops(dtype)}


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
