"""Threads beside those of others: threadpoolctl, joblib's workers, searches in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
import threadpoolctl
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import pybackprop as bp
from pybackprop.sklearn import MLPClassifier

VARIABLES = (
    "PYBACKPROP_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fresh worker processes, ended after the test, as if nothing limited threads."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    loky = joblib.externals.loky
    loky.get_reusable_executor(max_workers=2).shutdown(wait=True)
    yield
    loky.get_reusable_executor(max_workers=2).shutdown(wait=True)


def ours() -> list[dict[str, Any]]:
    infos = threadpoolctl.threadpool_info()
    return [info for info in infos if info["user_api"] == "pybackprop"]


def test_threadpoolctl_sees_and_limits_the_core() -> None:
    assert bp.register_threadpoolctl()  # importing pybackprop.sklearn has done it already
    (info,) = ours()
    before = bp.get_threads()
    assert info["num_threads"] == before
    assert info["version"] == bp.__version__
    assert info["isa"] == bp.cpu_info()["isa"]
    assert Path(info["filepath"]).name.startswith("_pybackprop_core")
    for limits in (before + 2, {"pybackprop": before + 2}):
        with threadpoolctl.threadpool_limits(limits):
            assert bp.get_threads() == before + 2
        assert bp.get_threads() == before
    with threadpoolctl.threadpool_limits(before + 2, user_api="blas"):
        assert bp.get_threads() == before


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import threadpoolctl, pybackprop", "1"),
        ("import pybackprop, threadpoolctl", "0"),
        ("import pybackprop, threadpoolctl; assert pybackprop.register_threadpoolctl()", "1"),
        ("import threadpoolctl, pybackprop; pybackprop.register_threadpoolctl()", "1"),
        ("import pybackprop; assert not pybackprop.register_threadpoolctl(); import threadpoolctl",
         "0"),
    ],
)  # fmt: skip
def test_registers_where_threadpoolctl_is_loaded(code: str, expected: str) -> None:
    count = "; print(sum(i['user_api'] == 'pybackprop' for i in threadpoolctl.threadpool_info()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + count],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == expected, done.stderr


def train_wide() -> tuple[int, int, int, float]:
    """Train a net that is worth several threads; return what the process then has."""
    x = np.random.default_rng(0).standard_normal((512, 256), dtype=np.float32)
    net = bp.Network([256, 512, 512, 1], seed=0)
    history = net.fit(x, x[:, 0], epochs=2, batch_size=256)
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.is_dir() else 0
    return os.getpid(), bp.get_threads(), threads, history.cost[-1]


def test_workers_of_joblib_share_the_processors(workers: None) -> None:
    results = joblib.Parallel(n_jobs=2, timeout=120)(joblib.delayed(train_wide)() for _ in range(4))
    share = max(joblib.cpu_count() // 2, 1)
    assert os.getpid() not in {pid for pid, *_ in results}
    assert {limit for _, limit, *_ in results} == {share}
    assert len({cost for *_, cost in results}) == 1


def test_threads_of_joblib_train_side_by_side() -> None:
    results = joblib.Parallel(n_jobs=3, backend="threading", timeout=120)(
        joblib.delayed(train_wide)() for _ in range(6)
    )
    assert {limit for _, limit, *_ in results} == {bp.get_threads()}
    assert len({cost for *_, cost in results}) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_threads_share_a_fitted_estimator() -> None:
    x, y = load_iris(return_X_y=True)
    net = MLPClassifier((300, 300), max_iter=2, random_state=0).fit(x, y)
    many = np.tile(x, (10, 1))
    expected = net.predict_proba(many)
    results = joblib.Parallel(n_jobs=4, backend="threading", timeout=120)(
        joblib.delayed(net.predict_proba)(many) for _ in range(12)
    )
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search_over_a_pipeline_in_two_processes(workers: None) -> None:
    x, y = load_iris(return_X_y=True)
    train_wide()  # threads of the parent, which its workers must not miss
    net = MLPClassifier(max_iter=150, learning_rate_init=0.02, tol=1e-3, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", net)])
    grid = {"net__alpha": [1e-4, 1e-1], "net__activation": ["tanh", "gelu"]}
    searches = [
        GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(x, y)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert searches[1].best_score_ > 0.9
