"""Small networks, whose batches are trained in parts with examples as columns.

The bits are the same for any number of threads, with any batch and any option of training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cbuild import NATIVE, run
from training_runs import thread_limit

import pybackprop as bp

ROWS = 1400
RNG = np.random.default_rng(41)
X, Y = RNG.standard_normal((ROWS, 17)), RNG.standard_normal((ROWS, 6))
LABELS = RNG.integers(0, 6, ROWS)
WEIGHTS = RNG.uniform(0.0, 2.0, ROWS)

OPTIMIZERS = {
    "sgd": lambda: bp.SGD(lr=0.01, momentum=0.9),
    "adam": lambda: bp.Adam(lr=0.01, clip_norm=0.1),
    "adamw": lambda: bp.AdamW(lr=0.01, weight_decay=0.1),
    "rmsprop": lambda: bp.RMSprop(lr=0.001, momentum=0.5, centered=True),
    "adagrad": bp.Adagrad,
}


@pytest.fixture(autouse=True)
def any_threads() -> Iterator[None]:
    with thread_limit(8):
        yield


def trained(
    threads: int,
    batch: int,
    *,
    optimizer: str = "sgd",
    labels: bool = False,
    rows: int = ROWS,
    hidden: tuple[int, ...] = (97, 50),
    epochs: int = 2,
    **settings: Any,
) -> tuple[bytes, list[float]]:
    """Train a network in two calls with so many threads; return its parameters and its costs."""
    if labels:
        settings |= {"output": "softmax", "loss": "cross_entropy"}
    net = bp.Network([17, *hidden, 6], seed=5, **{"activation": "tanh", **settings})
    rule = OPTIMIZERS[optimizer]()
    costs: list[float] = []
    for _ in range(2):
        with thread_limit(threads):
            history = net.fit(
                X[:rows],
                (LABELS if labels else Y)[:rows],
                epochs=epochs,
                batch_size=batch,
                optimizer=rule,
                sample_weight=WEIGHTS[:rows],
            )
        costs += history.cost
    states = b"".join(v.tobytes() for v in rule._state.vectors if v is not None)
    return net.parameters.tobytes() + states, costs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_any_number_of_threads(optimizer: str, dtype: str) -> None:
    settings = {
        "dtype": dtype,
        "dropout": 0.2,
        "l1": 1e-4,
        "l2": 1e-3,
        "labels": dtype == "float32",
    }
    for batch in (64, 300, 1400):
        wanted = trained(1, batch, optimizer=optimizer, **settings)
        for threads in (2, 3, 4, 8):
            assert trained(threads, batch, optimizer=optimizer, **settings) == wanted


@pytest.mark.parametrize("batch", [1, 7, 8, 15, 16, 17, 47, 48, 49, 100, 287, 288, 1000, 1344])
def test_any_batch(batch: int) -> None:
    rows = min(ROWS, 3 * batch + batch // 2 + 1)
    assert trained(2, batch, rows=rows) == trained(1, batch, rows=rows)


@pytest.mark.parametrize("hidden", [(1,), (6,), (17, 1), (50, 50, 50), (97,), (128, 97)])
def test_any_width(hidden: tuple[int, ...]) -> None:
    for activation in ("relu", "gelu"):
        settings = {"hidden": hidden, "activation": activation, "optimizer": "adam"}
        assert trained(3, 400, **settings) == trained(1, 400, **settings)


def test_a_schedule_reaches_every_replica() -> None:
    def run_with(threads: int) -> bytes:
        net = bp.Network([17, 97, 50, 6], seed=5)
        with thread_limit(threads):
            net.fit(
                X, Y, epochs=3, batch_size=100, optimizer=bp.Adam(lr=bp.schedules.Cosine(0.05, 42))
            )
        return net.parameters.tobytes()

    assert run_with(1) == run_with(2) == run_with(4)


def test_a_last_update_that_is_not_finite() -> None:
    """Two threads find it out, and both have the parameters of the last finite epoch."""
    found = []
    for threads in (1, 2):
        net = bp.Network([17, 97, 50, 6], seed=5, activation="relu")
        with thread_limit(threads), pytest.raises(FloatingPointError) as error:
            net.fit(X, Y, epochs=1, batch_size=ROWS, optimizer=bp.SGD(lr=1e300))
        assert np.isfinite(net.parameters).all()
        found.append((net.parameters.tobytes(), str(error.value)))
    assert found[0] == found[1]


@pytest.mark.parametrize("rows", [8, 9, 24, 31, 100, 289])
def test_gradients_of_any_batch(rows: int) -> None:
    """They equal the mean of the gradients of single examples, which go by rows."""
    net = bp.Network([17, 33, 9, 6], seed=2, dtype="float64", activation="silu", output="softmax")
    net.backprop(1 + X[: rows + 7], Y[: rows + 7])  # which leaves its values behind
    whole = net.backprop(X[:rows], Y[:rows])
    single = [net.backprop(X[i : i + 1], Y[i : i + 1]) for i in range(rows)]
    mean = np.mean([each.flat for each in single], axis=0)
    np.testing.assert_allclose(whole.flat, mean, rtol=1e-11, atol=1e-14)
    inputs = np.concatenate([each.inputs for each in single]) / rows
    np.testing.assert_allclose(whole.inputs, inputs, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("settings", [{}, {"l1": 1e-3, "l2": 1e-2}])
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "clipped"])
def test_one_example_at_a_time(optimizer: str, settings: dict[str, float]) -> None:
    """It is the update by the gradient of each example, though no gradient is stored."""
    makers = {**OPTIMIZERS, "adam": bp.Adam, "clipped": OPTIMIZERS["adam"]}
    net, twin = (
        bp.Network([17, 18, 16, 6], seed=2, dtype="float64", activation="gelu", **settings)
        for _ in range(2)
    )
    rule, of_twin = makers[optimizer](), makers[optimizer]()
    flat = twin.parameters.copy()
    for i in range(12):
        x, y = X[i : i + 1], Y[i : i + 1]
        twin.parameters = flat
        of_twin.update(flat, twin.backprop(x, y).flat)
        net.step(x, y, rule)
        np.testing.assert_allclose(net.parameters, flat, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", [2, 7, 8, 15, 16, 17, 33, 47, 48, 49, 113])
def test_a_step_learns_the_gradient_that_backprop_returns(rows: int) -> None:
    """To the bit for two rows and more, also where a single one is left for the last block."""
    net = bp.Network([17, 300, 30, 300, 6], activation="tanh", l2=0.001, seed=5)  # blocks of 32
    x, y = X[:rows].astype("float32"), Y[:rows].astype("float32")
    gradient = net.backprop(x, y).flat
    optimizer = bp.SGD(lr=0.1, momentum=0.5)
    net.step(x, y, optimizer)
    np.testing.assert_array_equal(optimizer.state_dict()["state"]["momentum_buffer"], gradient)


def test_training_starts_from_what_prediction_computes() -> None:
    """Both orders of examples give an element of z the same bits."""
    net = bp.Network([17, 97, 50, 6], seed=5, activation="tanh")
    x, y = X.astype(np.float32), Y.astype(np.float32)
    with thread_limit(1):
        assert net.backprop(x[:40], y[:40]).cost == net.cost(x[:40], y[:40])


@pytest.mark.parametrize(
    "widths", [(24, *10 * [40], 3), (17, 300, 30, 300, 6), (64, 100, 10)], ids=str
)
def test_blocks_of_a_part_are_nearly_equal(widths: tuple[int, ...]) -> None:
    """No block has a few rows left over, and none is cut short of a whole vector in between."""
    bytes_a_row = 4 * (widths[0] + 2 * sum(widths[1:]))
    fits = min(192 * 1024 // bytes_a_row // 8 * 8, 256)
    for line in run("show_plan.c", "2000", *map(str, widths)).splitlines():
        rows, columns, block, *parts = map(int, line.split())
        assert sum(parts) == rows
        if not columns:
            continue
        largest = max(parts)
        assert block <= fits + 8
        blocks = -(-largest // block)
        assert blocks <= -(-(largest + 7) // fits)  # as few as can be
        assert block % 16 == 0 or blocks == 1
        assert largest - (blocks - 1) * block > block - 16 * blocks  # what the last one has


def test_members_wait_for_each_other_once_a_step() -> None:
    counting = replace(NATIVE, link=(*NATIVE.link, "-Wl,--wrap=bp_team_barrier"))
    lines = run("count_barriers.c", toolchain=counting).splitlines()
    assert len(lines) == 2
    for line in lines:
        steps, barriers = map(int, line.split())
        assert steps <= barriers <= steps + 20
