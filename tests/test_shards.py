"""Batches in shards: which rows they have, and that nothing but their number changes a bit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fake_ranks import run_ranks
from training_runs import thread_limit

import pybackprop as bp
from pybackprop import _core
from pybackprop.distributed import _channel, _exchange, _tree

RNG = np.random.default_rng(8)
ROWS = 230
X = RNG.normal(size=(ROWS, 12))
Y = np.tanh(X[:, :3]) + 0.1 * RNG.normal(size=(ROWS, 3))
WEIGHTS = RNG.uniform(0.0, 2.0, ROWS)

OPTIMIZERS: dict[str, Callable[[], bp.Optimizer]] = {
    "sgd": lambda: bp.SGD(lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda: bp.Adam(lr=bp.schedules.Cosine(0.01, 12), clip_norm=0.2),
    "adamw": lambda: bp.AdamW(lr=0.01, weight_decay=0.1),
    "rmsprop": lambda: bp.RMSprop(lr=0.001, momentum=0.5, centered=True, clip_norm=0.1),
}
WIDTHS = {"small": [12, 20, 15, 3], "large": [12, 300, 280, 3]}
Bits = tuple[bytes, tuple[float, ...], tuple[bytes, ...]]


def train(
    comm: Any = None, *, size: str = "small", dtype: str = "float32", optimizer: str = "adam",
    threads: int = 2, precision: str = "float32", loss: Any = "huber",
    clip_norm: float | None = None, **given: Any,
) -> Bits:  # fmt: skip
    """Train a network with everything on; return all bits of what becomes of it."""
    net = bp.Network(
        WIDTHS[size], activation=["tanh", "gelu"], dropout=[0.3, 0.1], l1=1e-4, l2=1e-3, loss=loss,
        dtype=dtype, precision=precision, seed=3,
    )  # fmt: skip
    opt = OPTIMIZERS[optimizer]()
    opt.clip_norm = clip_norm or opt.clip_norm
    given = {"epochs": 3, "batch_size": 64, "shards": 8, "sample_weight": WEIGHTS, **given}
    with thread_limit(threads):
        history = net.fit(X, Y, optimizer=opt, comm=comm, timeout=30.0, **given)
    states = tuple(each.tobytes() for each in opt._state.vectors if each is not None)
    return net.parameters.tobytes(), tuple(history.cost), states


def check_ranks(expected: Any, ranks: int, work: Callable[[Any], Any]) -> None:
    outcomes = run_ranks(ranks, work)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise RuntimeError(repr(outcomes)) from outcome
        assert outcome == expected


# ---- which rows, and in which order ----


@pytest.mark.parametrize(("rows", "shards"), [(10, 4), (64, 8), (5, 8), (1, 2), (97, 16), (66, 64)])
def test_a_row_belongs_to_the_shard_of_its_position(rows: int, shards: int) -> None:
    seen: list[list[float]] = []

    def loss(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(y[:, 0].tolist())
        return ((a - y) ** 2).sum(1), 2 * (a - y)

    net = bp.Network([1, 1], loss=loss, seed=0)
    numbers = np.arange(rows, dtype=float)[:, None]
    net.fit(numbers / rows, numbers, batch_size=rows, shuffle=False, shards=shards)
    wanted: dict[int, list[float]] = {}
    for row in range(rows):
        wanted.setdefault(row * shards // rows, []).append(float(row))
    assert seen == [wanted[shard] for shard in sorted(wanted)]


def tree(vectors: list[np.ndarray]) -> np.ndarray:
    """The definition: the halves, each added up in the same way, the left one first."""
    if len(vectors) == 1:
        return vectors[0]
    half = len(vectors) // 2
    return tree(vectors[:half]) + tree(vectors[half:])


@pytest.mark.parametrize("size", [1, 40, 9_001])
@pytest.mark.parametrize("shards", [2, 8, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_of_ranks_adds_as_the_tree(size: int, shards: int, dtype: str) -> None:
    scales = 10.0 ** RNG.uniform(-6, 6, (shards, 1))
    vectors = (scales * RNG.normal(size=(shards, size))).astype(dtype)
    expected = tree(list(vectors))
    if size > 1 and shards > 2:
        assert expected.tobytes() != vectors.sum(0, dtype=dtype).tobytes()

    def work(comm: Any) -> bytes:
        with _channel.Channel(comm, 30.0) as channel:
            first, end = _tree.shards_of(channel.rank, channel.size, shards)
            sizes = _tree.blocks_between(first, end, shards)
            cuts = np.cumsum([first, *sizes])
            sums = np.array([tree(list(vectors[begin:end])) for begin, end in pairwise(cuts)])
            _exchange.add_up(channel, sums, shards)
            return sums[0].tobytes()

    for ranks in range(1, shards + 1):
        check_ranks(expected.tobytes(), ranks, work)


def test_sums_below_the_normal_numbers_are_those_of_the_core() -> None:
    pair = np.array([[1.5e-38] * 20, [-1.4e-38] * 20], np.float32)
    expected = np.empty(20, np.float32)
    _core.add(pair[0], pair[1], expected)

    def work(comm: Any) -> bytes:
        with _channel.Channel(comm, 30.0) as channel:
            sums = pair[channel.rank :][:1].copy()
            _exchange.add_up(channel, sums, 2)
            return sums.tobytes()

    check_ranks(expected.tobytes(), 2, work)


@pytest.mark.parametrize("shards", [2, 4, 8, 16, 32, 64])
def test_blocks_cover_the_shards_of_every_rank(shards: int) -> None:
    for ranks in range(1, shards + 1):
        next_one = 0
        for rank in range(ranks):
            first, end = _tree.shards_of(rank, ranks, shards)
            assert first == next_one < end
            for size in _tree.blocks_between(first, end, shards):
                assert size & (size - 1) == 0
                assert next_one % size == 0
                next_one += size
            assert next_one == end
        assert next_one == shards


# ---- bits ----

CASES: list[dict[str, Any]] = [
    *({"optimizer": name, "size": size} for name in OPTIMIZERS for size in WIDTHS),
    *({"dtype": "float64", "size": size} for size in WIDTHS),
    *({"shards": shards, "size": size} for shards in (2, 4) for size in WIDTHS),
    {"batch_size": 6, "epochs": 1},
    {"batch_size": 1, "epochs": 1, "shards": 2},
    {"batch_size": ROWS, "shuffle": False, "sample_weight": None},
    {"precision": "bf16"},
    {"precision": "bf16x3", "size": "large"},
    {"validation": 0.2, "patience": 2},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_ranks_threads_and_slices_change_no_bit(case: dict[str, Any]) -> None:
    expected = train(**case)
    assert train(**case, threads=1) == expected
    assert train(**case, _slice_ns=1) == expected
    shards = case.get("shards", 8)
    for ranks in (1, 2, 3, 4, 5, 8):
        if ranks <= shards:
            check_ranks(expected, ranks, lambda comm: train(comm, **case))


def test_a_loss_of_the_user() -> None:
    def loss(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.abs(a - y).mean(1), np.sign(a - y) / a.shape[1]

    expected = train(loss=loss)
    for ranks in (2, 3):
        check_ranks(expected, ranks, lambda comm: train(comm, loss=loss))


def test_one_shard_is_training_without_any() -> None:
    assert train(shards=1) == train(shards=None)
    assert train(shards=1) != train(shards=2)
    check_ranks(train(shards=1), 1, lambda comm: train(comm, shards=1))
    check_ranks(train(shards=8), 3, lambda comm: train(comm, shards=None))


@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("shards", [2, 8, 64])
def test_the_gradient_is_that_of_the_batch(size: str, shards: int) -> None:
    """To rounding: dropout, weights and penalties are those of the whole batch."""

    def parameters(shards: int | None) -> np.ndarray:
        net = bp.Network(
            WIDTHS[size], dropout=0.4, l1=1e-3, l2=1e-2, dtype="float64", seed=5, activation="tanh"
        )
        net.fit(
            X, Y, sample_weight=WEIGHTS, batch_size=100, epochs=2, shards=shards,
            optimizer=bp.SGD(lr=0.1, clip_norm=0.3),
        )  # fmt: skip
        return net.parameters

    np.testing.assert_allclose(parameters(shards), parameters(None), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("shards", [2, 16])
def test_the_first_step_follows_the_gradient_of_backprop(shards: int) -> None:
    net = bp.Network(WIDTHS["small"], dtype="float64", l2=0.1, seed=5)
    before = net.parameters.copy()
    gradient = net.copy().backprop(X, Y, sample_weight=WEIGHTS)
    history = net.fit(
        X, Y, sample_weight=WEIGHTS, batch_size=ROWS, optimizer=bp.SGD(lr=1.0), shards=shards
    )
    np.testing.assert_allclose(before - net.parameters, gradient.flat, rtol=1e-9, atol=1e-13)
    assert history.cost[0] == pytest.approx(gradient.cost, rel=1e-12)


def test_a_cost_that_is_not_finite() -> None:
    net = bp.Network([12, 9, 3], seed=1)
    net.fit(X, Y, batch_size=50, shards=4)
    before = net.parameters.copy()
    targets = Y.copy()
    targets[120] = 1e38
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 0, batch 2"):
        net.fit(X, targets, batch_size=50, shuffle=False, shards=4)
    np.testing.assert_array_equal(net.parameters, before)


# ---- arguments ----


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"shards": 3}, ValueError, "shards must be a power of two, got 3"),
        ({"shards": 0}, ValueError, r"shards must be in \[1, 64\], got 0"),
        ({"shards": 128}, ValueError, r"shards must be in \[1, 64\], got 128"),
        ({"shards": 2.0}, TypeError, r"shards must be an integer, got 2\.0"),
        ({"comm": 7}, TypeError, "comm must be a communicator of mpi4py.*pip install mpi4py"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], error: type[Exception], words: str) -> None:
    net = bp.Network([12, 3], seed=1)
    before = net.parameters.copy()
    with pytest.raises(error, match=words):
        net.fit(X, Y, **given)
    np.testing.assert_array_equal(net.parameters, before)


def test_the_core_refuses_shards_that_are_none() -> None:
    net = bp.Network([12, 3], seed=1)
    data = _core.Data(X, Y)
    for shards, first, count in [
        (0, 0, 0), (1, 0, 1), (3, 0, 3), (128, 0, 128), (4, -1, 5), (4, 0, 5), (4, 4, 1), (4, 1, 0),
        (4, 0, 2), (4, 3, 2**31 - 1),
    ]:  # fmt: skip
        fit = _core.Fit(net._net, data, 10, True)
        with pytest.raises(ValueError, match="argument"):
            fit.set_shards(shards, first, count, None, None)
    fit = _core.Fit(net._net, data, 10, True)
    fit.set_shards(4, 0, 4, None, None)
    with pytest.raises(ValueError, match="argument"):
        fit.set_shards(4, 0, 4, None, None)
    fit = _core.Fit(bp.Network([12, 3], dtype="float64")._net, data, 10, True)
    with pytest.raises(ValueError, match="argument"):
        fit.set_shards(4, 0, 4, None, np.zeros((8, 39), np.uint16))
