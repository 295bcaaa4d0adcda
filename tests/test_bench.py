"""`pybackprop bench`: that only right results are timed, and that every subject runs.

Nothing here asserts a time. NumPy is the only peer, as it is always installed.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import signal
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pybackprop.bench import agreement, contenders, runner, workloads
from pybackprop.bench.contenders import Contender
from pybackprop.bench.peers import numpy as numpy_peer
from pybackprop.bench.peers import own
from pybackprop.bench.processes import Process, ProcessError, Processes, environment
from pybackprop.bench.report import Table, time_text
from pybackprop.bench.runner import Entry, Result, compare_with_best
from pybackprop.bench.statistics import geometric_mean, quantile, ratio, spread
from pybackprop.bench.suites import model, scaling
from pybackprop.bench.transforms import WAYS
from pybackprop.bench.workloads import Derivative, Prediction, Product, Training
from pybackprop.cli import main

TANH = Training("tanh", (3, 5, 4, 2), 6, "tanh", "mse", lr=0.05, n_batches=9)
RELU = Training("relu", (4, 8, 3), 5, "relu", "cross_entropy", lr=0.05, n_batches=9)
ADAM = replace(RELU, name="adam", optimizer="adam", lr=1e-3)
TRAININGS = (TANH, RELU, ADAM)


def verdict(workload: workloads.Workload, task: contenders.Task) -> agreement.Verdict:
    return agreement.compare(workload, agreement.reference(workload), task.evidence())


# ---- statistics ----


def test_quantiles_interpolate() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert quantile(values, 0.0) == 1.0
    assert quantile(values, 1.0) == 4.0
    assert quantile(values, 0.5) == 2.5
    assert quantile([7.0], 0.25) == 7.0
    rng = np.random.default_rng(0)
    many = rng.normal(size=37).tolist()
    found = spread(many)
    expected = np.quantile(many, [0.5, 0.25, 0.75])
    np.testing.assert_allclose([found.median, found.q25, found.q75], expected, rtol=1e-12)


@pytest.mark.parametrize(("values", "fraction"), [([], 0.5), ([1.0], 1.5), ([1.0], math.nan)])
def test_quantile_refuses(values: list[float], fraction: float) -> None:
    with pytest.raises(ValueError, match="must"):
        quantile(values, fraction)


def test_ratio_goes_round_by_round() -> None:
    # The second round was ten times slower for both; the ratio of medians would be 3 too, but
    # that of the means would not.
    assert ratio([3.0, 40.0, 2.0], [1.0, 10.0, 1.0]).median == 3.0
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ratio([1.0, 2.0], [1.0])


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    with pytest.raises(ValueError, match="empty"):
        geometric_mean([])


# ---- workloads and agreement ----


def test_flops_are_those_of_the_products() -> None:
    net = Training("", (784, 512, 512, 10), 128, "relu", "cross_entropy", lr=0.1)
    forward = 2 * 128 * (784 * 512 + 512 * 512 + 512 * 10)
    inputs = 2 * 128 * (512 * 512 + 512 * 10)
    assert net.flops == 2 * forward + inputs
    assert Prediction("", (784, 512, 512, 10), 128, "relu").flops == forward


def test_workloads_survive_json() -> None:
    sweeps = [each for sweep in scaling.SWEEPS.values() for each in sweep]
    kernels = (*workloads.PRODUCTS, *workloads.ELEMENTWISE)
    derivatives = workloads.DERIVATIVES
    for subject in (workloads.STEPS, workloads.PREDICTIONS, kernels, sweeps, derivatives):
        assert len({each.name for each in subject}) == len(subject)
        for each in subject:
            assert workloads.from_json(json.loads(json.dumps(workloads.to_json(each)))) == each
            if isinstance(each, Training):
                assert each.check_steps <= each.n_batches


def test_widths_text() -> None:
    assert workloads.widths_text((2, 50, 50, 50, 50, 50, 1)) == "2-50x5-1"
    assert workloads.widths_text((784, 512, 512, 10)) == "784-512-512-10"
    assert workloads.widths_text((8, 8, 8)) == "8x3"


@pytest.mark.parametrize("workload", TRAININGS, ids=lambda each: each.name)
@pytest.mark.parametrize("mode", ["step", "fit", "numpy"])
def test_training_agrees(workload: Training, mode: str) -> None:
    make = numpy_peer.make if mode == "numpy" else own.make
    found = verdict(workload, make(workload, mode, None))
    assert found.ok, found.detail


@pytest.mark.parametrize("precision", ["bf16", "bf16x2", "bf16x3"])
@pytest.mark.parametrize("mode", ["step", "fit", "float32"])
def test_training_agrees_in_every_precision(precision: str, mode: str) -> None:
    workload = replace(RELU, widths=(64, 80, 10), batch=64, precision=precision)
    found = verdict(workload, own.make(workload, mode, None))
    assert found.ok, found.detail
    wrong = replace(workload, lr=workload.lr * 1.1)
    assert not verdict(workload, own.make(wrong, mode, None)).ok


def test_rounded_products_are_no_float32() -> None:
    workload = replace(RELU, widths=(64, 80, 10), batch=64)
    rounded = own.make(replace(workload, precision="bf16"), "step", None)
    assert not verdict(workload, rounded).ok


@pytest.mark.parametrize("workload", TRAININGS, ids=lambda each: each.name)
@pytest.mark.parametrize("mode", ["step", "fit"])
def test_another_learning_rate_is_rejected(workload: Training, mode: str) -> None:
    wrong = replace(workload, lr=workload.lr * 1.02)
    assert not verdict(workload, own.make(wrong, mode, None)).ok


def test_wrong_training_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(TANH, check_steps=7)
    loss = agreement.training_evidence(TANH, workloads.initial_layers(TANH))
    assert not verdict(TANH, own.make(few, "step", None)).ok
    assert not agreement.compare(TANH, agreement.reference(TANH), loss).ok
    with monkeypatch.context() as patch:
        patch.setattr(own, "MOMENTUM", 0.0)
        assert not verdict(TANH, own.make(TANH, "step", None)).ok
    monkeypatch.setattr(numpy_peer._Training, "_forward", lambda self, x, outputs: None)
    assert not verdict(RELU, numpy_peer.make(RELU, "loop", None)).ok


def test_not_finite_evidence_is_rejected() -> None:
    expected = agreement.reference(TANH)
    nan = {"cost": math.nan, "updates": [math.nan for _ in expected["updates"]]}
    assert agreement.compare(TANH, expected, expected).ok
    assert not agreement.compare(TANH, expected, nan).ok
    short = {**expected, "updates": expected["updates"][:-1]}
    assert not agreement.compare(TANH, expected, short).ok


@pytest.mark.parametrize("output", ["identity", "softmax"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_predictions_agree(activation: str, output: str) -> None:
    workload = Prediction("p", (3, 7, 4), 5, activation, output)
    for task in (
        own.make(workload, "predict", None),
        own.make(workload, "out", None),
        numpy_peer.make(workload, "loop", None),
    ):
        found = verdict(workload, task)
        assert found.ok, found.detail
    wrong = replace(workload, activation="tanh" if activation == "relu" else "relu")
    assert not verdict(workload, own.make(wrong, "predict", None)).ok


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_agree(dtype: str) -> None:
    workload = Product("p", 17, 19, 23, dtype)
    for make in (own.make, numpy_peer.make):
        found = verdict(workload, make(workload, "product", None))
        assert found.ok, found.detail
    assert not verdict(workload, own.make(replace(workload, seed=2), "product", None)).ok


@pytest.mark.parametrize("workload", workloads.ELEMENTWISE, ids=lambda each: each.name)
def test_functions_agree(workload: workloads.Elementwise) -> None:
    found = verdict(workload, own.make(workload, "elementwise", None))
    assert found.ok, found.detail
    if workload.function == "gelu":
        with pytest.raises(NotImplementedError, match="erf"):
            numpy_peer.make(workload, "elementwise", None)
    else:
        assert verdict(workload, numpy_peer.make(workload, "elementwise", None)).ok


@pytest.mark.parametrize("function", WAYS)
def test_derivatives_agree(function: str) -> None:
    workload = Derivative("d", function, (3, 7, 5, 2), 6)
    found = verdict(workload, own.make(workload, "call", None))
    assert found.ok, found.detail
    for wrong in (replace(workload, seed=2), replace(workload, batch=5)):
        assert not verdict(workload, own.make(wrong, "call", None)).ok
    with pytest.raises(NotImplementedError, match="derivatives"):
        numpy_peer.make(workload, "call", None)


def test_every_derivative_is_timed_once() -> None:
    assert [each.function for each in workloads.DERIVATIVES] == list(WAYS)


# ---- the run ----


def test_environment_fixes_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    one, default = (environment(Contender("jax", "step", n)) for n in (1, None))
    assert one["OMP_NUM_THREADS"] == one["OPENBLAS_NUM_THREADS"] == one["NPROC"] == "1"
    assert "OMP_NUM_THREADS" not in default
    assert environment(Contender("pybackprop", "fit", 1, "avx2"))["PYBACKPROP_ISA"] == "avx2"


def times(*entries: tuple[Contender, list[float]]) -> Result:
    return Result(TANH, [Entry(contender, seconds=seconds) for contender, seconds in entries])


def test_best_peer_is_that_of_the_lowest_median() -> None:
    mine, slow, fast = (
        Contender("pybackprop", "fit"),
        Contender("numpy", "loop", 1),
        Contender("numpy", "loop"),
    )
    result = times((mine, [1.0, 2.0, 1.0]), (slow, [9.0, 9.0, 1.0]), (fast, [3.0, 8.0, 4.0]))
    found = compare_with_best(result, mine)
    assert found is not None
    assert found.peer == fast
    assert found.ratio.median == 4.0
    assert compare_with_best(result, mine, lambda peer: False) is None
    assert compare_with_best(result, replace(mine, threads=1)) is None


def test_a_contender_that_disagrees_gets_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer trains with other weights than it says, so its evidence cannot agree."""
    monkeypatch.setattr(
        runner, "to_json", lambda workload: workloads.to_json(replace(workload, seed=5))
    )
    with Processes() as processes:
        result = runner.measure(
            TANH, [Contender("numpy", "loop", 1)], processes, runner.QUICK, lambda line: None
        )
    (entry,) = result.entries
    assert entry.status == "disagrees"
    assert "expected" in entry.detail
    assert not entry.seconds
    assert not result.timed


def test_failures_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with Processes() as processes:
        process = processes.of(Contender("numpy", "loop", 1))
        with pytest.raises(ProcessError, match="KeyError"):
            process.ask("turn", name="none such", repeats=1)
        if hasattr(signal, "SIGKILL"):
            os.kill(process._process.pid, signal.SIGKILL)
            with pytest.raises(ProcessError, match="exit code"):
                process.ask("drop", name="none such")
            processes.forget_ended()
            assert processes.of(Contender("numpy", "loop", 1)) is not process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_who_waits_is_stopped() -> None:
    process = Process(Contender("numpy", "loop", 1))
    try:
        for _ in range(3):
            process.ask("drop", name="none such")
            status = Path(f"/proc/{process._process.pid}/stat").read_text(encoding="ascii")
            assert status.rpartition(")")[2].split()[0] == "T"
    finally:
        process.close()


# ---- reports ----


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.5e-9, "2.50 ns"),
        (9.996e-7, "1.00 µs"),
        (9.999e-6, "10.0 µs"),
        (1.2345e-4, "123 µs"),
        (0.5, "500 ms"),
        (12.0, "12.0 s"),
    ],
)
def test_time_text(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_tables() -> None:
    table = Table("T", ("a", "b"), [("x|y", "1"), ("z", "20")])
    assert table.text().split("\n") == ["T", "  a     b", "  x|y   1", "  z    20"]
    assert table.markdown().split("\n")[2:] == [
        "| a | b |",
        "|---|--:|",
        "| x\\|y | 1 |",
        "| z | 20 |",
    ]


def write_mnist(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        labels = (np.arange(rows) % 10).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            with gzip.open(folder / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run a subject for a moment, and return its JSON."""
    code = main(["bench", *words, "--quick", "--rounds", "2", "--json", "-"])
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    assert found["schema"] == 1
    assert found["command"] == words[0]
    assert found["quick"] is True
    assert {"cpu", "isa", "compiler", "cpus", "versions", "date"} <= set(found["machine"])
    return found


def check_workloads(found: dict[str, Any], names: list[str]) -> None:
    assert [each["name"] for each in found["workloads"]] == names
    for each in found["workloads"]:
        assert each["tolerance"]
        for entry in each["entries"]:
            assert entry["status"] == "ok", entry
            assert len(entry["seconds"]) == 2
            assert min(entry["seconds"]) > 0.0
            assert entry["spread"]["q25"] <= entry["spread"]["median"] <= entry["spread"]["q75"]


def test_bench_steps(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "xor", "--only", "sk", "--peers", "numpy", "--threads", "1"]
    found = bench(capsys, "steps", *words)
    check_workloads(found, ["xor", "sk"])
    modes = [entry["mode"] for entry in found["workloads"][0]["entries"]]
    assert modes == ["step", "fit", "loop"]
    pairs = [(each["workload"], each["own"]["mode"]) for each in found["comparisons"]]
    assert pairs == [("xor", "step"), ("xor", "fit"), ("sk", "step"), ("sk", "fit")]


def test_bench_accuracy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_mnist(tmp_path, 200)
    found = bench(capsys, "accuracy", str(tmp_path))
    accuracies = found["figures"]["accuracies"]
    assert list(accuracies) == ["float32", "float32, one weight moved", "bf16", "bf16x3"]
    assert all(0.0 <= each <= 100.0 for found in accuracies.values() for each in found)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_bench_memory(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench(capsys, "memory", "--only", "mnist")["figures"]["memory"]
    assert [each["optimizer"] for each in found] == ["sgd", "adam"]
    for each in found:
        assert each["parameters"] == 4 * (785 * 512 + 513 * 512 + 513 * 10)
        assert each["activations"] == 4 * 128 * (784 + 512 + 512 + 10)
        assert each["taken"] > each["parameters"]


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_training_takes_little_memory(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench(capsys, "memory", "--only", "mnist", "--only", "wide-1024")["figures"]["memory"]
    for each in found:
        states = {"sgd": 1, "adam": 2}[each["optimizer"]]
        expected = (2 + states) * each["parameters"] + each["activations"]
        assert each["taken"] < expected + 20e6


def test_bench_epoch(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # The last batch has fewer rows than the others.
    write_mnist(tmp_path, 3 * 128 + 5)
    found = bench(capsys, "epoch", str(tmp_path), "--peers", "numpy", "--threads", "1")
    check_workloads(found, ["mnist-epoch"])
    assert found["figures"]["steps_per_epoch"] == 4


def test_bench_predict(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench(capsys, "predict", "--only", "rl-1", "--peers", "numpy", "--threads", "1")
    check_workloads(found, ["rl-1"])
    assert len(found["comparisons"]) == 1


def test_bench_derivatives(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["derivatives", "--peers", "none", "--threads", "1"]
    names = [each.name for each in workloads.DERIVATIVES]
    check_workloads(bench(capsys, *words), names)
    assert main(["bench", *words, "--quick", "--rounds", "2", "--only", "jvp", "--markdown"]) == 0
    table = capsys.readouterr().out
    assert "| jvp: 2-50x5-1, batch 1024, tanh |" in table
    assert "hvp" not in table


def test_bench_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "float64-128x784x512", "--only", "tanh", "--peers", "none"]
    found = bench(capsys, "kernels", *words, "--threads", "1")
    check_workloads(found, ["float64-128x784x512", "tanh"])
    product, function = found["workloads"]
    assert {entry["isa"] for entry in product["entries"]} == set(found["machine"]["available"])
    assert all(len(entry["peaks"]) == 2 for entry in product["entries"])
    assert not any(entry["peaks"] for entry in function["entries"])
    shares = found["figures"]["geometric_means"]
    assert len(shares) == len(product["entries"])
    assert all(0.0 < share < math.inf for share in shares.values())


def test_bench_of_bfloat16_products(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["bf16-128x784x512", "bf16x3-128x784x512"]
    words = [word for name in names for word in ("--only", name)]
    found = bench(capsys, "kernels", *words, "--peers", "numpy", "--threads", "1")
    check_workloads(found, names)
    for workload, peers in zip(found["workloads"], (0, 1), strict=True):
        others = [each for each in workload["entries"] if each["library"] != "pybackprop"]
        assert len(others) == peers
        assert {each["mode"] for each in workload["entries"]} == {"product", "float32"}
    means = found["figures"]["geometric_means"]
    assert sum(name.endswith("times own float32") for name in means) == 2


@pytest.mark.parametrize("subject", ["steps", "memory"])
def test_bench_in_a_checkout_runs_what_is_installed(
    subject: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, the current folder has a package of the same name, which cannot be imported."""
    if subject == "memory" and sys.platform != "linux":
        pytest.skip("memory is read from /proc")
    (tmp_path / "pybackprop").mkdir()
    (tmp_path / "pybackprop" / "__init__.py").write_text("raise ImportError('sources')\n")
    monkeypatch.chdir(tmp_path)
    only = {"steps": "xor", "memory": "mnist"}[subject]
    found = bench(capsys, subject, "--only", only, *(["--peers", "none"] * (subject == "steps")))
    if subject == "steps":
        check_workloads(found, ["xor"])
    else:
        assert len(found["figures"]["memory"]) == 2


def test_bench_model(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "rl-64", "--only", "predict-rl-1", "--threads", "1", "2"]
    found = bench(capsys, "model", *words)
    check_workloads(found, ["rl-64", "predict-rl-1"])
    figures = found["figures"]["model"]
    assert [each["workload"] for each in figures] == ["rl-64"] * 2 + ["predict-rl-1"] * 2
    for each in figures:
        modelled = each["operations_seconds"] + each["bytes_seconds"]
        assert each["measured_seconds"] / modelled == pytest.approx(each["ratio"], rel=0.9)
        assert 1e8 < each["bandwidth"] < 1e14


def test_bytes_of_steps_and_predictions() -> None:
    step = workloads.Training("a", (3, 5, 2), 7, "relu", "mse", lr=0.1, n_batches=1)
    parameters, activations = 4 * (3 * 5 + 5 + 5 * 2 + 2), 4 * 7 * (3 + 5 + 2)
    moved, held = model.bytes_of(step)
    assert (moved, held) == (6 * (parameters + activations), 2 * (parameters + activations))
    call = workloads.Prediction("b", (3, 5, 2), 7, "relu")
    assert model.bytes_of(call) == (parameters + 2 * activations, parameters + activations)


def test_bench_scaling(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scaling.SWEEPS, "depth", scaling.SWEEPS["depth"][:2])
    found = bench(capsys, "scaling", "--only", "depth")
    check_workloads(found, ["depth-1", "depth-2"])
    assert set(found["figures"]["default_over_one_thread"]) == {"depth-1", "depth-2"}


def test_bench_prints_text_markdown_and_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that is not installed is listed as such."""
    monkeypatch.setattr("pybackprop.bench.session.missing", lambda name: {"numpy": ["n"]}.get(name))
    words = ["bench", "predict", "--quick", "--rounds", "2", "--only", "rl-1", "--peers", "numpy"]
    words += ["--threads", "1"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "not installed" in text
    assert "equal results" in text
    file = tmp_path / "figures.json"
    assert main([*words, "--markdown", "--json", str(file)]) == 0
    assert "|---|--:|" in capsys.readouterr().out
    (workload,) = json.loads(file.read_text(encoding="utf-8"))["workloads"]
    assert [each["status"] for each in workload["entries"]] == ["ok", "ok", "not installed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["steps", "--only", "none-such"], "--only: expected one of xor"),
        (["scaling", "--only", "none-such"], "--only: expected one of batch"),
        (["predict", "--peers", "sklearn"], "--peers: expected some of torch"),
        (["derivatives", "--peers", "numpy"], "--peers: expected some of torch, jax"),
        (["epoch"], "PYBACKPROP_MNIST"),
        (["steps", "--threads", "0"], "--threads"),
        ([], "SUBJECT"),
    ],
)
def test_wrong_arguments(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYBACKPROP_MNIST", raising=False)
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err
