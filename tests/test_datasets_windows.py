"""Training on files that are read in windows: order, bits, and what is refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ranks import FakeComm, run_ranks

import pybackprop as bp
from pybackprop import _core
from pybackprop.datasets import Windows
from pybackprop.training.windows import Feed, Rows

ROWS, BATCH, WINDOW, EPOCHS, SEED = 230, 16, 70, 3, 3  # a window has 64 rows: whole batches
RNG = np.random.default_rng(8)
X = RNG.normal(size=(ROWS, 5)).astype(np.float32)
Y = RNG.normal(size=(ROWS, 2)).astype(np.float32)

Bits = tuple[bytes, list[float]]


def network(**settings: Any) -> bp.Network:
    given = {"activation": "tanh", "dropout": 0.2, "l2": 0.01, "seed": SEED, **settings}
    return bp.Network([5, 8, 2], **given)


def train(data: Any, y: Any = None, net: bp.Network | None = None, **given: Any) -> Bits:
    net = network() if net is None else net
    given = {"epochs": EPOCHS, "batch_size": BATCH, "optimizer": bp.Adam(0.01), **given}
    history = net.fit(data, y, **given)
    return net.parameters.tobytes(), history.cost


def block_sizes(window: int = WINDOW) -> list[int]:
    size = window // 16
    return [size] * (ROWS // size) + [ROWS % size] * (ROWS % size > 0)


def order_of(epoch: int, sizes: list[int], window: int) -> np.ndarray:
    """Return the rows of an epoch: blocks permuted, then the rows of each window."""
    ends = np.cumsum(sizes)
    blocks = _core.random_permutation(SEED, 2**63 + epoch, len(sizes))
    rows = np.concatenate([np.arange(ends[at] - sizes[at], ends[at]) for at in blocks])
    parts = []
    for at, begin in enumerate(range(0, len(rows), window)):
        part = rows[begin : begin + window]
        parts.append(part[_core.random_permutation(SEED, at * 2**40 + epoch, len(part))])
    return np.concatenate(parts)


def in_memory(x: np.ndarray, y: np.ndarray, sizes: list[int], epochs: int = EPOCHS) -> Bits:
    """Train on arrays that are put in order epoch by epoch."""
    net, optimizer = network(), bp.Adam(0.01)
    cost = []
    for epoch in range(epochs):
        rows = order_of(epoch, sizes, 64)
        given = {"batch_size": BATCH, "optimizer": optimizer, "shuffle": False}
        cost += net.fit(x[rows], y[rows], **given).cost
    return net.parameters.tobytes(), cost


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, str]:
    for name, array in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", array)
    return str(tmp_path / "x.npy"), str(tmp_path / "y.npy")


# ---- bits ----


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["float32", "uint8", ">f8"])
def test_a_window_of_all_rows_has_the_bits_of_the_arrays(
    kind: str, shuffle: bool, tmp_path: Path
) -> None:
    x = (X * 20 + 99).astype(kind)
    np.save(tmp_path / "x.npy", x)
    given = {"shuffle": shuffle, "validation": (X[:9], Y[:9]), "patience": 9}
    expected = train(x, Y, **given)
    assert train(Windows(tmp_path / "x.npy", Y, rows=ROWS), **given) == expected
    assert len(set(expected[1])) == EPOCHS


def test_windows_are_shuffled_as_arrays_would_be(paths: tuple[str, str], tmp_path: Path) -> None:
    expected = in_memory(X, Y, block_sizes())
    data = Windows(*paths, rows=WINDOW)
    assert train(data) == expected
    assert train(data) == expected  # it can be used again
    mapped = [np.load(path, mmap_mode="r") for path in paths]
    assert train(Windows(*mapped, rows=WINDOW)) == expected
    np.save(tmp_path / "f.npy", np.asfortranarray(X))
    assert train(Windows(tmp_path / "f.npy", Y, rows=WINDOW)) == expected
    assert expected != train(X, Y)


def test_without_shuffling_rows_come_in_the_order_of_the_file(paths: tuple[str, str]) -> None:
    assert train(Windows(*paths, rows=WINDOW), shuffle=False) == train(X, Y, shuffle=False)


def test_each_row_comes_once_an_epoch_and_epochs_differ() -> None:
    seen: list[int] = []

    def loss(a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.extend(y[:, 0].astype(int).tolist())
        return np.zeros(len(a)), np.zeros_like(a)

    numbers = np.arange(float(ROWS))[:, None]
    bp.Network([1, 1], loss=loss, seed=SEED).fit(
        Windows(numbers, numbers, rows=WINDOW), batch_size=BATCH, epochs=2
    )
    epochs = [seen[:ROWS], seen[ROWS:]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(ROWS))] * 2
    assert epochs == [order_of(epoch, block_sizes(), 64).tolist() for epoch in range(2)]
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_team_ends_where_a_window_does(threads: int) -> None:
    """Also where its members train replicas of the network, each on a part of a batch."""
    x, y = RNG.normal(size=(900, 64)), RNG.normal(size=(900, 10))
    before = bp.get_threads()
    bp.set_threads(threads)
    try:
        bits = [
            train(*data, net=bp.Network([64, 100, 10], seed=1), batch_size=200, shuffle=False)
            for data in ((x, y), (Windows(x, y, rows=400),))
        ]
    finally:
        bp.set_threads(before)
    assert bits[0] == bits[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_slices_change_no_bit(threads: int, paths: tuple[str, str]) -> None:
    before = bp.get_threads()
    bp.set_threads(threads)
    try:
        for slice_ns in (0, None):
            bits = train(Windows(*paths, rows=WINDOW), _slice_ns=slice_ns)
            assert bits == in_memory(X, Y, block_sizes())
    finally:
        bp.set_threads(before)


@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_change_no_bit(ranks: int, paths: tuple[str, str]) -> None:
    expected = train(Windows(*paths, rows=WINDOW), shards=4)
    found = run_ranks(
        ranks, lambda comm: train(Windows(*paths, rows=WINDOW), shards=4, comm=comm, timeout=30.0)
    )
    assert found == [expected] * ranks


def test_ranks_with_other_windows_are_refused(paths: tuple[str, str]) -> None:
    def work(comm: Any) -> Bits:
        return train(Windows(*paths, rows=64 + comm.Get_rank()), comm=comm, timeout=30.0)

    for error in run_ranks(2, work):
        assert isinstance(error, ValueError)
        assert "data window is 64 on rank 0, 65 on rank 1" in str(error)


# ---- checkpoints ----


class Failing(Windows):
    """Rows whose file cannot be read any more after some blocks."""

    left = 0

    def read(self, block: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.left -= 1
        if self.left == 0:
            raise OSError("the disk is gone")
        return super().read(block, start, stop)


@pytest.mark.parametrize("blocks", [40, 75, 100, 130])
def test_a_run_that_was_stopped_goes_on_with_the_same_bits(
    blocks: int, paths: tuple[str, str], tmp_path: Path
) -> None:
    """The blocks end the run in its first epoch, in a later one, or between two."""
    given = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": "3 steps", "resume": True}
    expected = train(Windows(*paths, rows=WINDOW))
    data = Failing(*paths, rows=WINDOW)
    data.left = blocks + 59  # which are read to compare runs
    with pytest.raises(OSError, match="the disk is gone"):
        train(data, **given)
    assert bp.Network.load(tmp_path / "run.npz").parameters.tobytes() != expected[0]
    assert train(Windows(*paths, rows=WINDOW), **given) == expected
    # And once more from its end.
    assert train(Windows(*paths, rows=WINDOW), **given) == expected


def test_a_checkpoint_of_other_windows_is_refused(paths: tuple[str, str], tmp_path: Path) -> None:
    given = {"checkpoint": tmp_path / "run.npz", "resume": True}
    train(Windows(*paths, rows=WINDOW), **given)
    other = X.copy()
    other[-1, -1] += 1
    for data, words in (
        (Windows(*paths, rows=90), "data window is 90 here, 70 in the checkpoint"),
        (Windows(other, Y, rows=WINDOW), "data X has other values"),
        (Windows(X, Y[:, :1].repeat(2, 1), rows=WINDOW), "data y has other values"),
    ):
        with pytest.raises(ValueError, match=words):
            train(data, **given)
    with pytest.raises(ValueError, match="is a checkpoint of another run"):
        train(X, Y, **given)


# ---- reading ahead ----


class Watched(Windows):
    """Rows that note which thread reads them."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.threads: list[bool] = []

    def read(self, block: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.threads.append(threading.current_thread() is threading.main_thread())
        return super().read(block, start, stop)


def test_another_thread_reads_ahead_and_ends() -> None:
    data = Watched(X, Y, rows=WINDOW)
    before = threading.active_count()
    train(data)
    assert threading.active_count() == before
    # The first window alone is read when it is wanted.
    first = 16 + 1  # blocks of 4 rows that 64 rows touch, and what else is read of the last
    assert data.threads[0] is True
    assert 0 < sum(data.threads) <= first
    # 3 epochs of 4 windows, and nothing beyond.
    assert len(data.threads) <= EPOCHS * (len(data.sizes) + 4)


def test_a_single_window_is_read_ahead_or_kept() -> None:
    data = Watched(X, Y, rows=ROWS)
    train(data)
    blocks = len(data.sizes)
    assert data.threads == [True] * blocks + [False] * blocks * (EPOCHS - 1)
    data.threads.clear()
    train(data, shuffle=False)
    assert data.threads == [True] * blocks


def test_a_window_is_given_and_blocks_are_permuted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"set_window": 0, "permute": 0}

    def count(name: str, function: Any) -> Any:
        def counted(*given: Any) -> Any:
            calls[name] += 1
            return function(*given)

        return counted

    permute = _core.random_permutation
    counted = count("permute", permute)
    monkeypatch.setattr(
        _core,
        "random_permutation",
        lambda seed, key, n: (counted if key >> 63 else permute)(seed, key, n),
    )
    monkeypatch.setattr(_core.Fit, "set_window", count("set_window", _core.Fit.set_window))
    train(Windows(X, Y, rows=WINDOW), _slice_ns=0)
    # 4 windows an epoch, and once more to begin.
    assert calls == {"set_window": 4 * EPOCHS + 1, "permute": EPOCHS}


class Interrupted(Windows):
    """Rows whose second window is being read when Ctrl-C comes, and is read for a while then."""

    def __init__(self) -> None:
        super().__init__(X, Y, rows=WINDOW)
        self.came = threading.Event()
        self.was_heard = self.is_read = False

    def read(self, block: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        if threading.current_thread() is not threading.main_thread() and not self.is_read:
            time.sleep(0.1)  # until the first window is used up
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            self.was_heard = self.came.wait(5.0)
            time.sleep(0.1)
            self.is_read = True
        return super().read(block, start, stop)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("ranks", [0, 1])
def test_an_interrupt_does_not_wait_for_a_window_but_for_the_thread(ranks: int) -> None:
    data = Interrupted()

    def on_signal(*_: Any) -> None:
        data.came.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(data, **({"comm": FakeComm(0, 1), "shards": 2} if ranks else {}))
    finally:
        signal.signal(signal.SIGINT, before)
    assert data.was_heard
    assert data.is_read


# ---- Parquet ----


@pytest.fixture
def table(tmp_path: Path) -> Any:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def write(groups: int, **columns: Any) -> Path:
        path = tmp_path / "table.parquet"
        parquet.write_table(pyarrow.table(columns), path, row_group_size=groups)
        return path

    return write


def columns_of(array: np.ndarray, prefix: str) -> dict[str, np.ndarray]:
    return {f"{prefix}{at}": np.ascontiguousarray(array[:, at]) for at in range(array.shape[1])}


@pytest.mark.parametrize("group", [30, 64, 100, ROWS])
def test_row_groups_are_blocks(group: int, table: Any) -> None:
    path = table(group, **columns_of(Y, "y"), **columns_of(X, "x"))
    data = Windows(path, ["y0", "y1"], rows=WINDOW)
    sizes = [min(group, ROWS - at) for at in range(0, ROWS, group)]
    assert data.sizes.tolist() == sizes
    assert train(data) == in_memory(X, Y, sizes)


@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [(("f4", "i1"), "f4"), (("f4", "i4"), "f8"), (("u1", "?"), "f4"), (("f2", "f8"), "f8")],
)
def test_types_of_columns(kinds: tuple[str, ...], dtype: str, table: Any) -> None:
    x = np.array([[1, 0], [0, 1], [1, 1]])
    columns = {f"x{at}": x[:, at].astype(kind) for at, kind in enumerate(kinds)}
    pyarrow = pytest.importorskip("pyarrow")
    try:
        path = table(2, label=np.array([2, 0, 1]), **columns)
    except pyarrow.ArrowNotImplementedError:
        pytest.skip("this pyarrow writes no float16")
    data = Windows(path, "label")
    inputs, labels = data.read(0, 0, 2)
    assert (inputs.dtype, inputs.tolist()) == (np.dtype(dtype), x[:2].tolist())
    assert (labels.dtype.kind, labels.tolist()) == ("i", [2, 0])
    net = bp.Network([2, 3], output="softmax", loss="cross_entropy", seed=0)
    assert len(net.fit(data, epochs=2)) == 2


@pytest.mark.parametrize("name", [None, "key"])
def test_an_index_of_pandas_is_no_input(name: str | None, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "y": [4.0, 5.0, 6.0]})
    frame = frame.loc[[2, 0, 1]].rename_axis(name)
    frame.to_parquet(tmp_path / "x.parquet")
    data = Windows(tmp_path / "x.parquet", "y")
    x, y = data.read(0, 0, 3)
    assert (data.n_in, x.tolist(), y.tolist()) == (1, [[3.0], [1.0], [2.0]], [6.0, 4.0, 5.0])
    with pytest.raises(ValueError, match=r"no column is left as input.*a, y"):
        Windows(tmp_path / "x.parquet", ["a", "y"])
    if name:  # who asks for it gets it
        assert Windows(tmp_path / "x.parquet", name).read(0, 0, 3)[1].tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    "kind",
    ["builtins.tuple", "numpy.array", "pandas.Index", "pandas.Series", "polars.Series"],
)
def test_names_of_targets_come_in_any_sequence(kind: str, table: Any) -> None:
    package, name = kind.split(".")
    make = getattr(pytest.importorskip(package), name)
    path = table(2, **columns_of(X[:, :3], "x"))
    found, wanted = (Windows(path, y).read(0, 0, 2) for y in (make(["x2", "x0"]), ["x2", "x0"]))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


class Targets:
    """Numbers of which no more than the first may be looked at."""

    shape = (100_000,)

    def __iter__(self) -> Iterator[float]:
        yield 0.5
        raise AssertionError("the second was asked for")


def test_names_of_targets_that_are_refused(table: Any, tmp_path: Path) -> None:
    path = table(2, **columns_of(np.zeros((2, 30)), "x"))
    for y, error, words in (
        (None, TypeError, "a str or a sequence of str, got NoneType"),
        (np.zeros(100_000), TypeError, "a str or a sequence of str, got ndarray of float64"),
        (np.array([["x1"]]), TypeError, "a str or a sequence of str, got ndarray"),
        ({"x1"}, TypeError, "a str or a sequence of str, got set"),
        ([0], TypeError, "a str or a sequence of str, got list of int"),
        (["x1", 0], TypeError, "a str or a sequence of str, got list of int"),
        (("x1", None), TypeError, "a str or a sequence of str, got tuple of NoneType"),
        (Targets(), TypeError, "a str or a sequence of str, got Targets of float"),
        ([], ValueError, "got none"),
        (["x1", "x1"], ValueError, "y must name columns once, twice there: 'x1'"),
        ([f"z{at}" for at in range(999)], ValueError, r"'x7', \.\.\.; got 'z0', .*, 'z7', \.\.\.$"),
    ):
        with pytest.raises(error, match=words):
            Windows(path, y)
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table([[1.0]] * 3, names=["a", "a", "y"]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: columns must have different .* there: 'a'"):
        Windows(tmp_path / "a.parquet", "y")


def test_columns_that_are_refused(table: Any) -> None:
    path = table(2, a=[1.0, None, 2.0], t=["x", "y", "z"], y=[1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="x must hold real numbers, got string in column 't'"):
        Windows(path, "y")
    with pytest.raises(
        ValueError, match=r"y must name columns of .*, which has 'a', 't', 'y'; got 'b'"
    ):
        Windows(path, "b")
    path = table(2, a=[1.0, 2.0, None], y=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="column 'a' has 1 missing values in row group 1"):
        bp.Network([1, 1], seed=0).fit(Windows(path, "y"))
    path.write_bytes(b"PAR1 no more PAR1")
    with pytest.raises(ValueError, match=r"x: .*table\.parquet: "):
        Windows(path, "y")


# ---- what is refused ----


def test_wrong_files_and_arrays(tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"no array")
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "header.npy", X)
    whole = (tmp_path / "header.npy").read_bytes()
    (tmp_path / "header.npy").write_bytes(whole.replace(b"}", b" ", 1))
    with open(tmp_path / "npz.npy", "wb") as file:
        np.savez(file, x=X)
    np.save(tmp_path / "objects.npy", np.array([{}]))
    for x, y, error, words in (
        (X[0], Y, ValueError, r"x must have shape \(N, n\), got \(5,\)"),
        (
            X,
            Y[1:],
            ValueError,
            r"y must have shape \(230,\) or \(N, k\) to match x, got \(229, 2\)",
        ),
        (X[:0], Y[:0], ValueError, "x must have at least one row"),
        (X.astype(complex), Y, TypeError, "x must hold real numbers"),
        (tmp_path / "none.npy", Y, FileNotFoundError, "none.npy"),
        (tmp_path / "bad.npy", Y, ValueError, r"x: .*bad\.npy: "),
        (tmp_path / "objects.npy", Y, ValueError, r"x: .*objects\.npy: "),
        (tmp_path / "empty.npy", Y, ValueError, r"x: .*empty\.npy: "),
        (tmp_path / "header.npy", Y, ValueError, r"x: .*header\.npy: "),
        (tmp_path / "npz.npy", Y, ValueError, r"x: .*npz\.npy: "),
        (tmp_path / "x.csv", Y, ValueError, "x must be an array or a path that ends in .npy"),
        (X, "y.csv", ValueError, "y must be an array or a path that ends in .npy"),
        (X, None, TypeError, "y must be an array or a path, got None"),
    ):
        with pytest.raises(error, match=words):
            Windows(x, y)
    with pytest.raises(ValueError, match=r"rows must be in \[1, 4294967295\], got 0"):
        Windows(X, Y, rows=0)


def test_npy_files_keep_their_place_and_must_not_change(
    paths: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = Windows("x.npy", "y.npy", rows=WINDOW)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert train(data) == train(Windows(*paths, rows=WINDOW))
    # Another file of the same size.
    np.save("new.npy", X.view(np.int32))
    os.replace("new.npy", paths[0])
    net = network()
    before = net.parameters.tobytes()
    with pytest.raises(OSError, match=r"x\.npy: the file has changed since Windows\(\) read"):
        train(data, net=net)
    assert net.parameters.tobytes() == before


class Many(Rows):
    """More windows than there are keys for."""

    window, sizes, n_in = 1, np.array([2**23 + 1]), 5

    def read(self, block: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return X[: stop - start], Y[: stop - start]

    def describe(self) -> dict[str, Any]:
        return {}


def test_too_many_windows_are_refused_where_they_are_shuffled() -> None:
    words = r"at most 8388608 windows to be shuffled, got 8388609 of 1 rows; make rows of Windows"
    with pytest.raises(ValueError, match=words):
        train(Many(), batch_size=1)
    Feed(network(), Many(), 1, False, 1)
    Feed(network(), Many(), 2, True, 1)


def test_wrong_arguments_change_nothing() -> None:
    data = Windows(X, Y, rows=WINDOW)
    net = network()
    before = net.parameters.tobytes()
    for given, error, words in (
        ({"y": Y}, ValueError, "y must be left out where X is read in windows"),
        ({"sample_weight": np.ones(ROWS)}, ValueError, "sample_weight must be left out"),
        ({"validation": 0.2}, ValueError, r"validation must be a pair \(X, y\) .* got 0\.2$"),
        ({"validation": (X,)}, ValueError, r"validation must be a pair \(X, y\) .* got 1 items$"),
        ({"validation": X}, ValueError, r"validation must be a pair \(X, y\) .* got ndarray$"),
        ({"data": Windows(X[:, 1:], Y)}, ValueError, r"X must have shape \(N, 5\), got \(230, 4\)"),
        ({"data": Windows(X, Y[:, 0])}, ValueError, "window 0 of an epoch: y must have shape"),
        ({"data": X}, TypeError, "y must be given, unless X is a pybackprop.datasets.Windows"),
    ):
        with pytest.raises(error, match=words):
            train(**{"data": data, "net": net, **given})
    assert net.parameters.tobytes() == before


def test_a_wrong_label_is_found_in_its_window() -> None:
    labels = np.zeros(ROWS, int)
    labels[100] = 7
    net = bp.Network([5, 3], output="softmax", loss="cross_entropy", seed=0)
    twin = net.copy()
    with pytest.raises(ValueError, match=r"window 1 of an epoch: y must hold labels in 0 "):
        net.fit(Windows(X, labels, rows=64), batch_size=16, shuffle=False)
    twin.fit(X[:64], labels[:64], batch_size=16, shuffle=False)
    assert net.parameters.tobytes() == twin.parameters.tobytes()


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_value_that_is_not_finite_is_named(shuffle: bool) -> None:
    """By its row in the file; the network is as before the epoch."""
    x = X.copy()
    x[100, 3] = np.nan
    net = network()
    before = net.parameters.tobytes()
    at = order_of(0, block_sizes(64), 64).tolist().index(100) if shuffle else 100
    with pytest.raises(FloatingPointError, match=rf"epoch 0, batch {at // 16} .*row 100\b"):
        net.fit(Windows(x, Y, rows=64), batch_size=16, shuffle=shuffle)
    assert net.parameters.tobytes() == before
