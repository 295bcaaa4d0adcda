"""The kernels one by one from Python, the machine, and the number of threads."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_by_their_formulas(dtype: str) -> None:
    rtol = 2e-5 if dtype == "float32" else 1e-12
    x, w, b, dy = (RNG.normal(size=shape).astype(dtype) for shape in ((6, 4), (3, 4), (3,), (6, 3)))
    np.testing.assert_allclose(bp.kernels.matmul(x, w, transpose_b=True), x @ w.T, rtol, 1e-6)
    np.testing.assert_allclose(bp.kernels.matmul(x, dy, transpose_a=True), x.T @ dy, rtol, 1e-6)
    wide = np.zeros((6, 9), dtype)
    assert bp.kernels.matmul(dy, w, out=wide[:, 2:6]).base is not None
    np.testing.assert_allclose(wide[:, 2:6], dy @ w, rtol, 1e-6)
    assert not wide[:, [0, 1, 6, 7, 8]].any()
    z, y = bp.kernels.dense_forward(x, w, b, "tanh")
    np.testing.assert_allclose(z, x @ w.T + b, rtol, 1e-6)
    np.testing.assert_allclose(y, np.tanh(z), rtol)
    np.testing.assert_array_equal(bp.kernels.activation("tanh", z), y)
    slope = bp.kernels.activation_derivative("tanh", z)
    np.testing.assert_allclose(slope, 1 - np.tanh(z) ** 2, rtol, 1e-6)
    dx, dw, db = bp.kernels.dense_backward(x, w, z, dy, "tanh")
    delta = dy * slope
    np.testing.assert_allclose(dx, delta @ w, rtol, 1e-5)
    np.testing.assert_allclose(dw, delta.T @ x, rtol, 1e-5)
    np.testing.assert_allclose(db, delta.sum(0), rtol, 1e-5)
    assert bp.kernels.matmul(np.zeros((2, 0)), np.zeros((0, 3))).tolist() == [[0.0] * 3] * 2
    assert bp.kernels.matmul(np.zeros((0, 2)), np.zeros((2, 3))).shape == (0, 3)


LAYOUTS: dict[str, Any] = {
    "contiguous": lambda z: z,
    "transposed": lambda z: z.T,
    "every other column": lambda z: z[:, ::2],
    "backwards": lambda z: z[::-1],
    "a row": lambda z: z[1],
    "a number": lambda z: z[1, 2, ...],
    "nothing": lambda z: z[:0],
    "repeated": lambda z: np.broadcast_to(z[0], z.shape),
    "misaligned": lambda z: np.frombuffer(b"." + z.tobytes(), np.uint8)[1:].view(z.dtype),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_read_any_layout_and_change_nothing(layout: Any, dtype: str) -> None:
    whole = RNG.normal(size=(5, 6)).astype(dtype)
    before = whole.copy()
    whole.flags.writeable = False
    z = layout(whole)
    for name in ("relu", "tanh", "softmax"):
        if name == "softmax" and z.ndim == 0:
            continue
        a = bp.kernels.activation(name, z)
        assert (a.shape, a.dtype, a.flags.writeable) == (z.shape, z.dtype, True)
        np.testing.assert_array_equal(a, bp.kernels.activation(name, z.copy()))
        if name != "softmax":
            slope = bp.kernels.activation_derivative(name, z)
            np.testing.assert_array_equal(slope, bp.kernels.activation_derivative(name, z.copy()))
    np.testing.assert_allclose(bp.kernels.activation("relu", z), np.maximum(z, 0))
    np.testing.assert_array_equal(whole, before)


def test_factors_stored_by_columns_are_not_copied() -> None:
    a, b = RNG.normal(size=(200, 900)), RNG.normal(size=(900, 10))
    out = np.empty((200, 10))
    wanted = a @ b
    by_columns = np.asfortranarray(a), np.asfortranarray(b)
    for left, right in itertools.product((a, by_columns[0]), (b, by_columns[1])):
        for flip_a, flip_b in itertools.product((False, True), repeat=2):
            x, y = (left.T if flip_a else left), (right.T if flip_b else right)
            tracemalloc.start()
            try:
                bp.kernels.matmul(x, y, out, transpose_a=flip_a, transpose_b=flip_b)
                assert tracemalloc.get_traced_memory()[1] < b.nbytes
            finally:
                tracemalloc.stop()
            np.testing.assert_allclose(out, wanted, 1e-12, 1e-12)


def test_bandwidth() -> None:
    for size in (0, 1 << 20):
        for threads in (None, 1, 2):
            assert 1e8 < bp.kernels.bandwidth(size, threads) < 1e14
    with pytest.raises(ValueError, match="size must be in"):
        bp.kernels.bandwidth(-1)
    with pytest.raises(ValueError, match="threads must be in"):
        bp.kernels.bandwidth(1, 0)


def test_softmax_kernel_runs_over_the_last_axis() -> None:
    z = RNG.normal(size=(2, 3, 5))
    expected = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    np.testing.assert_allclose(bp.kernels.activation("softmax", z), expected, rtol=1e-13)


def test_threads_and_machine() -> None:
    before = bp.get_threads()
    try:
        bp.set_threads(3)
        assert bp.get_threads() == bp.cpu_info()["threads"] == 3
        with pytest.raises(ValueError, match="n must be in"):
            bp.set_threads(0)
        with pytest.raises(TypeError, match="n must be an integer"):
            bp.set_threads(1.5)  # type: ignore[arg-type]
    finally:
        bp.set_threads(before)
    info = bp.cpu_info()
    assert {"brand", "isa", "available", "caches", "cpus", "threads", "compiler"} < set(info)
    assert info["version"] == bp.__version__
    assert info["isa"] in info["available"]
    assert info["cpus"] >= 1
    assert bp.kernels.peak_flops(threads=1) > 1e8


def test_unknown_instruction_set_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pybackprop"],
        env={**os.environ, "PYBACKPROP_ISA": "sse9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ImportError: PYBACKPROP_ISA must be portable, avx2" in done.stderr
    assert done.stderr.endswith("got 'sse9'\n")


@pytest.mark.parametrize(
    "text", ["abc", "0", "-2", "1.5", "2 cores", "99999999999", ",4", "٣", " "]
)
def test_a_number_of_threads_that_is_none_is_refused(text: str) -> None:
    done = get_threads(PYBACKPROP_NUM_THREADS=text)
    assert done.returncode == 1
    message = "ImportError: PYBACKPROP_NUM_THREADS must be an integer of at least 1, got "
    assert done.stderr.splitlines()[-1] == f"{message}{text!r}"


@pytest.mark.parametrize(
    ("own", "openmp", "threads"),
    [
        ("3", "5", 3),
        (" 3 ", "", 3),
        ("4,2", "7", 4),
        ("", "7,2", 7),
        ("", "7", 7),
        ("", "none of ours", None),
        ("", "0", None),
    ],
)
def test_numbers_of_threads_in_the_environment(own: str, openmp: str, threads: int | None) -> None:
    done = get_threads(PYBACKPROP_NUM_THREADS=own, OMP_NUM_THREADS=openmp)
    assert done.returncode == 0, done.stderr
    limit, cpus = map(int, done.stdout.split())
    assert limit == (cpus if threads is None else threads)


def get_threads(**environment: str) -> Any:
    """Import the package and print the limit and the CPUs there are."""
    program = "import pybackprop as bp; print(bp.get_threads(), bp.cpu_info()['cpus'])"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
    )
