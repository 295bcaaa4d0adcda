"""A cost that is not finite because of the data: the message names the value and its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import _core, nonfinite

RNG = np.random.default_rng(3)
X = RNG.normal(size=(90, 4))
Y = RNG.normal(size=(90, 2))
SEED = 4
# What `fit` holds out is the end of this permutation: the first row is trained on.
ROW = int(_core.random_permutation(SEED, 2**62 - 1, len(X))[0])


def network() -> bp.Network:
    return bp.Network([4, 6, 2], activation="identity", seed=SEED)


FAULTS: dict[str, tuple[str, int, Any, str]] = {
    "nan in X": (
        "X",
        1,
        np.nan,
        f"X holds nan in row {ROW}, column 1 (counted from 0); replace or",
    ),
    "infinity in X": ("X", 0, -np.inf, f"X holds -inf in row {ROW}, column 0 "),
    "nan in y": ("y", 1, np.nan, f"y holds nan in row {ROW}, column 1 "),
    "a large X": ("X", 3, 1e300, f"X holds 1e+300 in row {ROW}, column 3 (counted from 0), which "),
    "a large y": ("y", 0, -1e39, f"y holds -1e+39 in row {ROW}, column 0 (counted from 0), which "),
    "nothing": ("y", 0, 1e30, "A lower learning rate, clip_norm or scaled inputs may help"),
}


@pytest.fixture(params=FAULTS)
def fault(request: Any, monkeypatch: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Data with one value changed, and what is said of it."""
    monkeypatch.setattr(nonfinite, "_PIECE_BYTES", 64)
    name, column, value, message = FAULTS[request.param]
    x, y = X.copy(), Y.copy()
    (x if name == "X" else y)[ROW, column] = value
    return x, y, message


@pytest.mark.parametrize(
    "options", [{}, {"shuffle": False, "sample_weight": np.ones(90)}, {"validation": 0.2}]
)
@pytest.mark.filterwarnings("error")
def test_fit(fault: tuple[np.ndarray, np.ndarray, str], options: dict[str, Any]) -> None:
    x, y, message = fault
    with pytest.raises(FloatingPointError) as caught:
        network().fit(x, y, batch_size=9, epochs=2, optimizer=bp.SGD(1e-3), **options)
    assert message in str(caught.value)
    assert ("learning rate" in str(caught.value)) == message.startswith("A lower")


@pytest.mark.parametrize("weights", [(), (None,), (np.ones(90),)])
def test_fit_stream(fault: tuple[np.ndarray, np.ndarray, str], weights: tuple[Any, ...]) -> None:
    x, y, message = fault
    with pytest.raises(FloatingPointError) as caught:
        network().fit_stream([(X, Y), (x, y, *weights)], optimizer=bp.SGD(1e-3))
    assert "epoch 0, batch 1" in str(caught.value)
    assert message in str(caught.value)


def test_sample_weights_are_refused_before() -> None:
    weights = np.ones(90)
    weights[3] = np.nan
    with pytest.raises(ValueError, match="sample_weight must hold finite numbers >= 0, got nan"):
        network().fit(X, Y, sample_weight=weights)
