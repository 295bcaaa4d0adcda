"""Losses where their derivatives are small: no digits are lost near 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest

import pybackprop as bp

ULPS = 16


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [1, 19])
def test_binary_cross_entropy_has_its_digits_near_0_and_1(dtype: str, columns: int) -> None:
    """delta = p - y, at y = 0 the sigmoid of z, at y = 1 less the sigmoid of -z.

    Formed as the difference, it would be 0 where p is rounded to 1. The bound allows for a few
    roundings and for 4 ULP of exp, which the core promises.
    """
    far = 80 if dtype == "float32" else 600
    z = np.linspace(-far, far, 16 * columns).reshape(-1, columns).astype(dtype)
    eye = np.eye(columns)
    net = bp.Network([columns, columns], output="sigmoid", loss="binary_cross_entropy", dtype=dtype)
    net.set_layer(0, eye, np.zeros(columns))
    for label in (0.0, 1.0):
        (delta,) = net.trace(z, np.full(z.shape, label)).delta or []
        sign = 1 - 2 * label  # label 1 is label 0 of -z, with the other sign
        exact = sign / (1 + np.exp(-sign * z.astype(np.longdouble))) / z.size
        error = np.abs(delta - exact) / np.abs(exact)
        assert (delta != 0).all()
        assert error.max() <= ULPS * np.finfo(dtype).eps
    # Where the label is a probability, both terms count.
    y = np.full(z.shape, 0.25)
    (delta,) = net.trace(z, y).delta or []
    p = 1 / (1 + np.exp(-z.astype(np.longdouble)))
    np.testing.assert_allclose(delta * z.size, p - y, rtol=0, atol=ULPS * np.finfo(dtype).eps)
