"""The function that says where members are trained."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from typing import Any

from ..inputs import as_count, as_path, as_real
from ._workers import Here, Workers

_NAMES = ("mpi", "joblib", "processes")


def over(
    workers: Any, *, n_jobs: int | None = None, folder: Any = None, timeout: float = 300.0
) -> Workers:
    """Return workers over which `fit_many`, `cross_validate` and `search` spread their members.

    Each member is trained by one worker, with the bits that it would have without workers.

    Parameters
    ----------
    workers : str, Executor, dask.distributed.Client, or Workers
        "processes" starts processes of Python. "joblib" uses joblib's. "mpi" is for a program that
        mpiexec or srun starts several times: every rank calls the same functions, trains its share,
        and gets all results. An executor of `concurrent.futures`, or of a library with the same
        interface, or the client of a Dask cluster has its own workers. None stands for this process
        alone.
    n_jobs : int, optional
        How many processes; -1, or by default, one for each CPU. For an executor, how many workers
        it has, if it does not say.
    folder : path, optional
        Where X, y and the like are written once, for all other processes to map; by default in
        memory (/dev/shm), or among the temporary files. Workers on several machines need a folder
        that all of them see.
    timeout : float
        Seconds that an MPI rank waits for the others to make the same call. Then all are ended.

    Returns
    -------
    Workers
        For the argument `executor` of these functions, which take an Executor or a Client as it is,
        too. As a context manager, it ends processes that it started.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    ModuleNotFoundError
        mpi4py or joblib is not installed.

    Notes
    -----
    A worker uses the CPUs that it may use, divided by the workers of its machine, and at least one
    thread. Functions of the user, such as a loss, must be known to the other processes.

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> nets, same = (bp.Networks([1, 8, 1], n=4, seed=0) for _ in range(2))
    >>> with ThreadPoolExecutor(2) as executor:
    ...     history = nets.fit(X, X**2, epochs=20, executor=bp.distributed.over(executor))
    >>> alone = same.fit(X, X**2, epochs=20)
    >>> np.array_equal(nets.parameters, same.parameters)
    True
    """
    count = None if n_jobs in (None, -1) else as_count(n_jobs, "n_jobs", low=1)
    place = None if folder is None else as_path(folder, "folder")
    limit = as_real(timeout, "timeout", low=0.0)
    if isinstance(workers, Workers):
        return workers
    if workers is None:
        return Here()
    from . import _pools

    if isinstance(workers, str):
        if workers == "mpi":
            from ._ranks import Ranks

            return Ranks(limit)
        if workers in _NAMES:
            make = _pools.joblib if workers == "joblib" else _pools.processes
            return make(count, place)
        raise ValueError(f"executor must be one of {', '.join(_NAMES)}, got {workers!r}")
    if isinstance(workers, Executor):
        return _pools.pool_of(workers, count, place)
    if hasattr(workers, "nthreads") and hasattr(workers, "get_executor"):
        return _pools.dask(workers, place)
    raise TypeError(
        "executor must be over(...), an Executor of concurrent.futures, or the client of a Dask "
        f"cluster, got {workers!r}"
    )


@contextmanager
def using(executor: Any) -> Iterator[Workers]:
    """Context manager for workers in any form; it ends those that it made itself."""
    workers = over(executor)
    with nullcontext() if workers is executor else workers:
        yield workers
