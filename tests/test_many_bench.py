"""`pybackprop bench many`: that only right results of many networks are timed, and that it runs."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from pybackprop.bench import agreement, contenders, workloads
from pybackprop.bench.peers import own
from pybackprop.bench.workloads import Members
from pybackprop.cli import main

TANH = Members("tanh", (3, 5, 4, 2), 6, "tanh", "mse", lr=0.05, n_batches=9, n=5)
RELU = Members("relu", (4, 8, 3), 5, "relu", "cross_entropy", lr=0.05, n_batches=9, n=4)
WAYS = [
    ("pybackprop", "fit"),
    ("pybackprop", "one by one"),
    ("jax", "vmap"),
    ("torch", "func"),
    ("sklearn", "joblib"),
]


def verdict(workload: Members, task: contenders.Task) -> agreement.Verdict:
    return agreement.compare(workload, agreement.reference(workload), task.evidence())


def judge(workload: Members, library: str, mode: str) -> tuple[agreement.Verdict, int]:
    """Return the verdict on a library's networks, and how many steps a run of its task has."""
    task = contenders.make_task(workload, library, mode, 1)
    found = verdict(workload, task)
    task.run(1)
    return found, task.unit


def test_members_differ_in_their_weights_alone() -> None:
    one, other = TANH.each([0, 3])
    assert not np.array_equal(
        workloads.initial_layers(one)[0][0], workloads.initial_layers(other)[0][0]
    )
    for a, b in zip(workloads.training_data(one), workloads.training_data(other), strict=True):
        assert np.array_equal(a, b)
    assert [each.member for each in TANH.judged] == [0, 2, 4]
    assert [each.member for each in replace(TANH, n=1).judged] == [0]


def test_members_survive_json() -> None:
    for each in (TANH, *workloads.MANY):
        assert workloads.from_json(json.loads(json.dumps(workloads.to_json(each)))) == each
        assert each.check_steps <= each.n_batches
    assert TANH.title.startswith("5 x 3-5-4-2, batch 6")


@pytest.mark.parametrize("workload", [TANH, RELU], ids=lambda each: each.name)
@pytest.mark.parametrize(("library", "mode"), WAYS)
def test_many_networks_agree(workload: Members, library: str, mode: str) -> None:
    for package in contenders.LIBRARIES[library].packages:
        if find_spec(package) is None:
            pytest.skip(f"could not import {package!r}")
    # In a process of its own, since JAX warns of every fork after it was imported.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found, unit = pool.submit(judge, workload, library, mode).result()
    assert found.ok, found.detail
    assert unit % workload.n == 0


@pytest.mark.parametrize("mode", ["fit", "one by one"])
def test_another_member_is_rejected(mode: str) -> None:
    """Nets that are right, but not in this order, and one that has learned at another rate."""
    task = own.make(TANH, mode, None)
    evidence = task.evidence()
    expected = agreement.reference(TANH)
    assert agreement.compare(TANH, expected, evidence).ok
    size = len(evidence["updates"]) // 3
    turned = evidence["updates"][size:] + evidence["updates"][:size]
    assert not agreement.compare(TANH, expected, {**evidence, "updates": turned}).ok
    assert not verdict(TANH, own.make(replace(TANH, lr=0.06), mode, None)).ok


def test_too_many_models_for_scikit_learn_are_unsupported() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(NotImplementedError, match="more than 128 models"):
        contenders.make_task(replace(TANH, n=129), "sklearn", "joblib", 1)


def test_bench_many(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--k", "1", "3", "--only", "xor", "--peers", "none", "--threads", "1", "2"]
    options = ["--quick", "--rounds", "2", "--json", "-"]
    assert main(["bench", "many", *words, *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["workloads"]] == ["xor-1", "xor-3"]
    assert [each["n"] for each in found["workloads"]] == [1, 3]
    for each in found["workloads"]:
        modes = [(entry["mode"], entry["threads"]) for entry in each["entries"]]
        assert modes == [("fit", "1"), ("fit", "2"), ("one by one", "1"), ("one by one", "2")]
        assert all(entry["status"] == "ok" for entry in each["entries"])
    assert {"cpu", "versions", "load"} <= set(found["machine"])


def test_bench_many_prints_what_threads_bring(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--k", "2", "--only", "xor", "--peers", "none", "--threads", "1", "2"]
    assert main(["bench", "many", *words, "--quick", "--rounds", "2"]) == 0
    out = capsys.readouterr().out
    assert "pybackprop fit with 1 thread and with 2 threads" in out
    assert "xor-2: 2 x 2-8-1" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--k", "0"], "--k"),
        (["--only", "none-such"], "--only: expected one of xor, rl-64, sk"),
        (["--peers", "onnxruntime"], "--peers: expected some of jax, torch, sklearn"),
    ],
)
def test_wrong_arguments(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "many", *words]) == 2
    assert message in capsys.readouterr().err
