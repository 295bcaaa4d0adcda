"""The scores that the command line reports, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from pybackprop.cli._scores import accuracy, r_squared


def test_r_squared_is_about_the_mean_of_each_target() -> None:
    y = np.array([[10.0, -3], [12, -1], [17, -8], [11, 4]])
    outputs = y + np.array([[1.0, 0], [-1, 2], [0, 1], [2, -1]])
    # Squared errors 6 and 6; squares about the means 12.5 and -2: 29 and 74.
    assert r_squared(outputs, y) == pytest.approx(((1 - 6 / 29) + (1 - 6 / 74)) / 2)
    assert r_squared(outputs[:, :1], y[:, 0]) == pytest.approx(1 - 6 / 29)
    # The mean itself scores 0, wherever it lies.
    assert r_squared(np.broadcast_to(y.mean(axis=0), y.shape), y) == pytest.approx(0)


def test_r_squared_of_a_target_that_does_not_vary() -> None:
    y = np.full((3, 1), 5.0)
    assert r_squared(y, y) == 1
    assert r_squared(y + np.array([[0.0], [0], [1e-9]]), y) == 0


def test_accuracy_is_the_share_of_largest_outputs() -> None:
    outputs = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert accuracy(outputs, np.array([1, 1, 1, 0])) == 0.75
