"""Products whose shares, blocks and tails are cut in every way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from training_runs import thread_limit

import pybackprop as bp

RNG = np.random.default_rng(4)
# Few rows, few columns, and both in numbers that no tile divides; each is work for several threads.
SHAPES = [
    *((4001, n, 1100) for n in (1, 2, 3, 4, 5, 15, 17, 33)),
    *((m, 4001, 1100) for m in (1, 2, 5, 7, 13)),
    *((5003, n, 13) for n in (1, 2, 3, 4, 100, 211)),
    (257, 263, 1031),
    (97, 1009, 600),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_any_number_of_threads_gives_the_product(m: int, n: int, k: int, dtype: str) -> None:
    """Of one thread within a bound of rounding, of any number with the same bits."""
    a, b = RNG.normal(size=(m, k)), RNG.normal(size=(k, n))
    a, b = a.astype(dtype), b.astype(dtype)
    exact = a.astype(float) @ b.astype(float)
    # Higham, Accuracy and Stability of Numerical Algorithms, 3.5: k roundings of each sum.
    bound = (k + 1) * np.finfo(dtype).eps * (np.abs(a).astype(float) @ np.abs(b).astype(float))
    for transpose_a, transpose_b in itertools.product([False, True], repeat=2):
        x, y = (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b)

        def product(threads: int, x: Any = x, y: Any = y, ta: bool = transpose_a,
                    tb: bool = transpose_b) -> np.ndarray:  # fmt: skip
            with thread_limit(threads):
                return bp.kernels.matmul(x, y, transpose_a=ta, transpose_b=tb)

        one = product(1)
        assert (np.abs(one - exact) <= bound).all()
        for threads in (2, 3, 5, 8):
            np.testing.assert_array_equal(product(threads), one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_out", [1, 2, 3, 5, 20, 37])
@pytest.mark.parametrize("n_in", [7, 700, 3001])
def test_layers_of_long_and_of_narrow_products(n_in: int, n_out: int, dtype: str) -> None:
    """Bias and activation come after the last block of a sum, in every column."""
    net = bp.Network([n_in, n_out], output="tanh", dtype=dtype, seed=2)
    net.set_layer(0, RNG.normal(size=(n_out, n_in)) / n_in**0.5, RNG.normal(size=n_out))
    w, b = net.weights[0].astype(float), net.biases[0].astype(float)
    for rows in (1, 31, 33, 500):
        x = RNG.normal(size=(rows, n_in)).astype(dtype)
        wanted = np.tanh(x.astype(float) @ w.T + b)
        bound = (n_in + 8) * np.finfo(dtype).eps * (np.abs(x).astype(float) @ np.abs(w).T + 2)
        assert (np.abs(net.predict(x) - wanted) <= bound).all()
        y = RNG.normal(size=(rows, n_out)).astype(dtype)
        gradients, delta = net.backprop(x, y), (net.trace(x, y).delta or [])[0].astype(float)
        assert_near(gradients.weights[0], delta.T @ x, np.abs(delta).T @ np.abs(x), rows, dtype)
        assert_near(gradients.inputs, delta @ w, np.abs(delta) @ np.abs(w), n_out, dtype)


def assert_near(got: Any, exact: Any, sizes: Any, terms: int, dtype: str) -> None:
    """A product is within a bound of rounding; its factors have a few roundings of their own."""
    bound = (terms + 16) * np.finfo(dtype).eps * sizes + np.finfo(dtype).tiny
    assert (np.abs(got - exact) <= bound).all()
