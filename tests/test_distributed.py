"""Members over executors: the bits of one process, shared data, threads, and what goes wrong."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workers as jobs
from training_runs import thread_limit

import pybackprop as bp
from pybackprop.distributed import Here, _shared, _workers, over

SPAWN = multiprocessing.get_context("spawn")
KINDS = ("threads", "pool", "processes", "joblib", "dask")


@cache
def expected(call: Any) -> Any:
    return call(None)


@pytest.fixture(scope="module")
def executors() -> Iterator[Any]:
    """A function that returns an executor of a kind and size, made once for all tests."""
    with ExitStack() as stack:

        @cache
        def make(kind: str, n: int) -> Any:
            if kind == "threads":
                return stack.enter_context(ThreadPoolExecutor(n))
            if kind == "pool":
                return stack.enter_context(ProcessPoolExecutor(n, mp_context=SPAWN))
            if kind == "dask":
                dask = pytest.importorskip("distributed")
                cluster = stack.enter_context(
                    dask.LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None)
                )
                return stack.enter_context(dask.Client(cluster))
            if kind == "joblib":
                pytest.importorskip("joblib")
            return stack.enter_context(over(kind, n_jobs=n))

        yield make
    if "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def run(executor: Any, function: Any, data: Any, count: int, **arguments: Any) -> list[Any]:
    """Do the parts 0, 1, … of some work, each for itself."""
    with over(executor, **arguments) as workers:
        pieces = [_workers.Piece([at], 0) for at in range(count)]
        with workers.share(data) as shared:
            return workers.map(_workers.Order(function, shared, pieces, range(count)))


# ---- bits ----


@pytest.mark.parametrize("call", jobs.CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_give_the_bits_of_one_process(executors: Any, kind: str, call: Any) -> None:
    assert call(executors(kind, 2)) == expected(call)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("call", jobs.CALLS, ids=lambda call: call.__name__)
def test_any_number_of_workers_gives_these_bits(executors: Any, n: int, call: Any) -> None:
    assert call(executors("processes", n)) == expected(call)


def test_methods_of_search(executors: Any) -> None:
    for arguments in ({"method": "random", "n": 5}, {"method": "halving", "n": 9}):
        executor = executors("processes", 2)
        assert jobs.search(executor, **arguments) == jobs.search(None, **arguments)


def test_float64_columns_and_strided_rows_are_shared(executors: Any) -> None:
    """An array in Fortran's order, one with gaps, and integers that have to be converted."""
    for x in (np.asfortranarray(jobs.X), np.repeat(jobs.X, 2, 0)[::2], jobs.X.astype(int)):
        nets, same = (bp.Networks([4, 3, 2], n=3, seed=0) for _ in range(2))
        nets.fit(x, jobs.Y, executor=executors("pool", 2))
        same.fit(x, jobs.Y)
        assert np.array_equal(nets.parameters, same.parameters)


# ---- who does what ----


def test_members_are_divided_by_cost_longest_first() -> None:
    workers = Here()
    assert workers.divide([3.0, 1.0]) == [([0, 1], 0)]
    spread = over(ThreadPoolExecutor(3))
    spread.n_threads = 1
    costs = [float(cost) for cost in np.random.default_rng(0).integers(1, 100, 50)]
    pieces = spread.divide(costs)
    assert sorted(at for piece in pieces for at in piece.members) == list(range(50))
    loads = [sum(costs[at] for at in piece.members) for piece in pieces]
    assert loads == sorted(loads, reverse=True)
    assert len(pieces) == 12
    for owner in range(3):
        own = sum(load for load, piece in zip(loads, pieces, strict=True) if piece.owner == owner)
        assert abs(own - sum(costs) / 3) < 100
    assert pieces == spread.divide(costs)
    assert spread.divide([5.0, 1.0, 1.0, 1.0, 1.0]) == [([0], 0), ([1, 3], 1), ([2, 4], 2)]
    assert len(spread.divide([1.0])) == 1


def test_pieces_keep_all_threads_of_a_worker_busy() -> None:
    spread = over(ThreadPoolExecutor(2))
    spread.n_threads = 4
    assert [len(piece.members) for piece in spread.divide([1.0] * 32)] == [8, 8, 8, 8]


def test_workers_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # which Dask sets
    cpus = bp.cpu_info()["cpus"]
    for n in (1, 2, 3):
        found = run("processes", jobs.where, None, 6, n_jobs=n)
        assert {threads for _, threads in found} == {max(1, cpus // n)}
        assert os.getpid() not in {pid for pid, _ in found}
    with thread_limit(1):
        assert run(ThreadPoolExecutor(1), jobs.where, None, 1) == [(os.getpid(), 1)]


def test_work_in_threads_has_one_limit_and_restores_it() -> None:
    with thread_limit(5), ThreadPoolExecutor(2) as executor:
        wanted = max(1, bp.cpu_info()["cpus"] // 2)
        assert run(executor, jobs.meet, None, 2) == [wanted, wanted]
        assert bp.get_threads() == 5


# ---- data ----


def test_data_are_mapped_from_one_file_that_goes_away(executors: Any, tmp_path: Path) -> None:
    data = {
        "x": np.arange(60_000.0).reshape(100, -1),
        "small": np.arange(3),
        "labels": np.arange(9000, dtype=np.uint8),
    }
    workers = over(executors("pool", 2), folder=tmp_path)
    with workers.share(data) as shared:
        assert list(tmp_path.iterdir()) == []  # until it is needed
        pieces = [_workers.Piece([at], 0) for at in range(3)]
        found = workers.map(_workers.Order(jobs.sum_of, shared, pieces, list(data)))
        assert [each[0] for each in found] == [float(array.sum()) for array in data.values()]
        assert [each[1] for each in found] == [False, True, False]
        (file,) = tmp_path.glob("*/*")
        assert file.name == shared.digest
        assert (file.parent.stat().st_mode & 0o777) == 0o700
        assert 489_000 <= file.stat().st_size < 490_000
        arrived = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(shared)))).open()
        assert np.array_equal(arrived["labels"], data["labels"])
        assert arrived["labels"].ctypes.data % 64 == 0
    assert list(tmp_path.iterdir()) == []
    assert arrived["x"].sum() == data["x"].sum()  # who has mapped it keeps it


def test_equal_data_have_equal_digests() -> None:
    x = np.arange(6.0).reshape(2, 3)

    def digest(*values: Any) -> str:
        return _shared.Shared(values).digest

    readonly = x.view()
    readonly.flags.writeable = False
    wanted = digest(x, x, None, [1])
    assert wanted == digest(np.asfortranarray(x), readonly, None, [1])
    for others in (
        (x + 1e-9, x, None, [1]),
        (x, x[::-1], None, [1]),
        (x.astype(np.float32), x, None, [1]),
        (x.ravel(), x, None, [1]),
        (x, x, None, [2]),
        (x, x, {}, [1]),
        (x, None, x, [1]),
    ):
        assert digest(*others) != wanted
    assert digest({"a": x, "b": readonly}) == digest({"a": readonly, "b": x})
    assert digest({"a": x, "b": x + 1}) != digest({"a": x + 1, "b": x})
    assert digest({"a": x}) != digest({"b": x})


def test_nothing_is_left_after_a_failure(executors: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    nets = [bp.Network([4, 2], loss=undefined, seed=0), bp.Network([4, 2], seed=1)]
    big = np.repeat(jobs.X, 100, 0)
    with pytest.raises(RuntimeError, match="ArithmeticError: no such loss"):
        bp.fit_many(nets, big, big[:, :2], executor=over(executors("pool", 2), folder=folder))
    assert list(folder.iterdir()) == []


def undefined(a: Any, y: Any) -> Any:
    raise ArithmeticError("no such loss")


def test_a_file_that_a_worker_does_not_see_is_named() -> None:
    shared = _shared.Shared(np.zeros(10_000))
    arrived = pickle.loads(pickle.dumps(shared))
    shared.close()
    with pytest.raises(FileNotFoundError, match=r"give over\(\) a folder that all workers see"):
        arrived.open()


# ---- what goes wrong ----


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_arrives_with_its_members_and_ends_the_rest(
    executors: Any, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError) as caught:
        run(executors(kind, 2), jobs.fail, str(tmp_path), 40)
    assert "ZeroDivisionError: one over nothing (members 1, process " in str(caught.value)
    assert "in fail" in str(caught.value.__cause__)
    assert len(list(tmp_path.iterdir())) < 40
    assert run(executors(kind, 2), jobs.double, None, 3) == [0, 2, 4]


def test_types_of_exceptions_that_users_catch(executors: Any) -> None:
    executor = executors("pool", 2)
    networks = [bp.Network([4, 3, 2], seed=at) for at in range(5)]
    before = [net.parameters.copy() for net in networks]
    optimizers = bp.SGD.each(lr=[1e-3, 1e-3, 1e-3, 1e30, 1e-3])
    with pytest.raises(FloatingPointError, match=r"^networks\[3\]: the cost.*members .*3"):
        bp.fit_many(
            networks,
            jobs.X,
            jobs.Y,
            optimizers=optimizers,
            on_divergence="raise",
            executor=executor,
        )
    for net, parameters in zip(networks, before, strict=True):
        assert np.array_equal(net.parameters, parameters)
    assert [each.steps for each in optimizers] == [0] * 5
    with pytest.raises(KeyboardInterrupt):
        run(executor, jobs.interrupt, None, 2)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("kind", ["processes", "joblib", "dask"])
def test_the_members_of_a_killed_worker_are_trained_anew(
    executors: Any, kind: str, tmp_path: Path
) -> None:
    assert run(executors(kind, 2), jobs.die_once, str(tmp_path), 6) == [0, 2, 4, 6, 8, 10]
    assert (tmp_path / "died").exists()
    assert run(executors(kind, 2), jobs.double, None, 3) == [0, 2, 4]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_error_ends_processes_in_the_middle_of_their_work(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ArithmeticError: the first one"):
        run("processes", jobs.fail_while_another_sleeps, str(tmp_path), 2, n_jobs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_workers_that_always_die_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"workers ended 3 times.* while training members 0"):
        run("processes", jobs.die, None, 1, n_jobs=1)
    with (
        ProcessPoolExecutor(1, mp_context=SPAWN) as executor,
        pytest.raises(RuntimeError, match=r'killed.*members 1; members 2.*over\("processes"\)'),
    ):
        run(executor, jobs.die_once, str(tmp_path), 3)


def test_a_network_that_changed_in_the_meantime_is_noticed() -> None:
    class Meddler(Executor):
        def submit(self, function: Any, /, *arguments: Any) -> Any:  # type: ignore[override]
            net.fit(jobs.X, jobs.Y)
            return ThreadPoolExecutor(1).submit(function, *arguments)

    net = bp.Network([4, 2], seed=0)
    with pytest.raises(RuntimeError, match=r"networks\[0\] has been trained elsewhere"):
        bp.fit_many([net], jobs.X, jobs.Y, executor=Meddler())


def test_arguments_that_need_every_epoch_are_refused() -> None:
    nets = bp.Networks([4, 2], n=2, seed=0)
    for name, value in (
        ("callbacks", print),
        ("progress", True),
        ("checkpoint", "a.npz"),
        ("checkpoint_every", "1 min"),
        ("resume", "a.npz"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must not be given with executor"):
            nets.fit(jobs.X, jobs.Y, executor=Here(), **{name: value})
    nets.fit(jobs.X, jobs.Y, executor=Here(), callbacks=[])
    with pytest.raises(ValueError, match="epochs must be >= 1"):
        nets.fit(jobs.X, jobs.Y, executor=Here(), epochs=0)


def test_wrong_arguments_of_over() -> None:
    for arguments, kind, text in (
        ({"workers": 3}, TypeError, "executor must be .*, got 3"),
        ({"workers": "ray"}, ValueError, "one of mpi, joblib, processes, got 'ray'"),
        ({"workers": "processes", "n_jobs": 0}, ValueError, "n_jobs must be >= 1"),
        ({"workers": "processes", "n_jobs": 1.5}, TypeError, "n_jobs must be an integer"),
        ({"workers": "processes", "folder": 3}, TypeError, "folder must be a path"),
        ({"workers": "mpi", "timeout": -1}, ValueError, "timeout must be a finite number >= 0"),
    ):
        with pytest.raises(kind, match=text):
            over(**arguments)
    assert over(None).n_workers == 1
    workers = over(ThreadPoolExecutor(3))
    assert over(workers) is workers
    assert over("processes", n_jobs=-1).n_workers == bp.cpu_info()["cpus"]


def test_without_the_packages() -> None:
    code = """
import sys
sys.modules["mpi4py"] = sys.modules["joblib"] = None
import pybackprop as bp
for name in ("mpi", "joblib"):
    try:
        bp.distributed.over(name)
    except ModuleNotFoundError as error:
        print(error)
try:
    bp.distributed.mpi_info()
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        'over("mpi") needs mpi4py: pip install mpi4py',
        'over("joblib") needs joblib: pip install joblib',
        'over("mpi") needs mpi4py: pip install mpi4py',
    ]
