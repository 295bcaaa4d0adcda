"""Executors with futures: pools of processes or threads, joblib's, Dask's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor as Broken
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from typing import Any

from .._optional import optional
from ..runtime import cpu_info
from ._shared import Shared
from ._workers import Failure, Order, Workers, threads_of, work

# How often the members of workers that ended are trained anew.
_ATTEMPTS = 3


class Pool(Workers):
    """Workers behind an executor.

    Parameters
    ----------
    executor : Executor, or callable
        What makes one; it is called again if a worker ended.
    n_workers, slots : int
        Pieces of work done at a time, in all and on one machine.
    folder : str or None
        Where data are written that all workers read.
    """

    def __init__(
        self,
        executor: Executor | Callable[[], Executor],
        n_workers: int,
        slots: int,
        folder: str | None,
    ) -> None:
        self._make = None if isinstance(executor, Executor) else executor
        self._executor = executor if isinstance(executor, Executor) else None
        self.n_workers, self.n_threads = n_workers, threads_of(slots)
        self._slots, self._folder = slots, folder

    def share(self, data: Any) -> Shared:
        """Return a context manager that holds data for `map`."""
        return Shared(data, self._folder)

    def map(self, order: Order) -> list[Any]:
        """Return what the function returns for each part; see `Workers`."""
        labels = order.labels()
        tasks = [
            (order.function, order.shared, part, label, self._slots)
            for part, label in zip(order.parts, labels, strict=True)
        ]
        results: dict[int, Any] = {}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._collect(tasks, results)
                break
            except Broken as error:
                self._executor = self._executor if self._make is None else None
                if self._make is None or attempt == _ATTEMPTS:
                    lost = "; ".join(labels[at] for at in range(len(tasks)) if at not in results)
                    raise RuntimeError(_lost(lost, self._make is not None)) from error
        return [results[at] for at in range(len(tasks))]

    def _collect(self, tasks: Sequence[tuple[Any, ...]], results: dict[int, Any]) -> None:
        """Have the tasks done that have no result."""
        if self._executor is None:
            assert self._make is not None
            self._executor = self._make()
        futures: dict[Any, int] = {}
        try:
            for at, task in enumerate(tasks):
                if at not in results:
                    futures[self._executor.submit(work, *task)] = at
            for future in as_completed(futures):
                result = future.result()
                if isinstance(result, Failure):
                    result.throw()
                results[futures[future]] = result
        finally:
            for future in futures:
                future.cancel()

    def __exit__(self, *exception: object) -> None:
        """End the processes, after an error in the middle of what they do."""
        if exception[0] is not None and self._make is not None:
            self._kill()
        self.close()

    def _kill(self) -> None:
        for process in list((getattr(self._executor, "_processes", None) or {}).values()):
            process.terminate()

    def close(self) -> None:
        """End the processes, if `over` started them."""
        if self._make is not None and self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None


def _lost(labels: str, again: bool) -> str:
    if again:
        return f"workers ended {_ATTEMPTS} times, killed or out of memory, while training {labels}"
    return (
        f"a worker ended, killed or out of memory, while training {labels}, and the executor with "
        'it; over("processes") and over("joblib") would train these anew'
    )


def pool_of(executor: Executor, n_jobs: int | None, folder: str | None) -> Pool:
    """Return the workers of an executor of any kind."""
    known = getattr(executor, "_max_workers", None)
    count = n_jobs or (known if isinstance(known, int) else cpu_info()["cpus"])
    return Pool(executor, count, count, folder)


def processes(n_jobs: int | None, folder: str | None) -> Pool:
    """Return processes that are started anew, so that they inherit no threads or locks."""
    count = n_jobs or cpu_info()["cpus"]
    context = multiprocessing.get_context("spawn")
    return Pool(lambda: ProcessPoolExecutor(count, mp_context=context), count, count, folder)


def joblib(n_jobs: int | None, folder: str | None) -> Pool:
    """Return the processes of joblib, which its users share."""
    with optional("joblib", 'over("joblib")'):
        from joblib import effective_n_jobs
        from joblib.externals.loky import get_reusable_executor
    count = effective_n_jobs(-1 if n_jobs is None else n_jobs)

    def make() -> Executor:
        executor: Executor = get_reusable_executor(max_workers=count)
        return executor

    return Joblib(make, count, count, folder)


class Joblib(Pool):
    """Processes that joblib ends when they have been idle for a while."""

    def _kill(self) -> None:
        pass  # others may be using them

    def close(self) -> None:
        """Leave the processes to their other users."""
        self._executor = None


def dask(client: Any, folder: str | None) -> Pool:
    """Return the workers of a Dask cluster, whose scheduler gives lost work to others."""
    threads: dict[str, int] = {}
    for address, number in client.nthreads().items():
        host = address.rpartition(":")[0]
        threads[host] = threads.get(host, 0) + number
    if not threads:
        raise ValueError("the Dask cluster has no workers yet; client.wait_for_workers(n) waits")
    executor = client.get_executor(pure=False)
    return Pool(executor, sum(threads.values()), max(threads.values()), folder)
