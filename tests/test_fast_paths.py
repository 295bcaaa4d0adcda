"""`predict` and `step` have a fast path for plain arrays; the slow one says what they must do.

Each call is made on two networks in the same state, one of which has no fast path: the same bits
come out, or the same exception with the same text, and the same is left behind.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import _core

RNG = np.random.default_rng(8)
N_IN, N_OUT, ROWS = 5, 3, 6
REALS = {dtype: RNG.normal(size=(ROWS, N_IN)).astype(dtype) for dtype in ("float32", "float64")}


class Subclass(np.ndarray):
    """An array that is not a plain one."""


class Overridden(np.ndarray):
    """An array whose reductions cannot be trusted."""

    def min(self, *args: Any, **options: Any) -> Any:
        return np.float32(0.5)

    max = min


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array: np.ndarray) -> np.ndarray:
    memory = np.zeros(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def wider(array: np.ndarray) -> np.ndarray:
    """The same values with a gap after each row."""
    return np.concatenate([array, array], axis=-1)[..., : array.shape[-1]]


def mapped(array: np.ndarray) -> np.ndarray:
    path = Path(f"mapped{len(os.listdir())}.bin")  # an open one cannot be replaced everywhere
    path.write_bytes(array.tobytes())
    return np.memmap(path, array.dtype, "r", shape=array.shape)


def with_value(array: np.ndarray, value: Any) -> np.ndarray:
    array = array.copy()
    array.flat[array.size // 2] = value
    return array


# What may be done to an array of the right type and shape.
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "plain": lambda a: a,
    "copied": lambda a: a.copy(),
    "read-only": read_only,
    "of Fortran's order": np.asfortranarray,
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[::-1],
    "backwards in a row": lambda a: a[..., ::-1],
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "with gaps": wider,
    "one row repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": unaligned,
    "of the other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "of an equal dtype": lambda a: a.view(np.dtype(a.dtype.str)),
    "of a dtype with metadata": lambda a: a.view(np.dtype(a.dtype, metadata={"a": 1})),
    "of the other precision": lambda a: a.astype("f4" if a.dtype == "f8" else "f8"),
    "of half precision": lambda a: a.astype("f2"),
    "of long doubles": lambda a: a.astype(np.longdouble),
    "of bytes": lambda a: np.abs(a).astype(np.uint8),
    "of integers": lambda a: a.astype(np.int64),
    "of truth values": lambda a: a > 0,
    "of complex numbers": lambda a: a.astype(complex),
    "of objects": lambda a: a.astype(object),
    "of texts": lambda a: a.astype(str),
    "of dates": lambda a: a.astype(np.int64).view("M8[s]"),
    "of a structure": lambda a: np.zeros(a.shape, [("a", "f4")]),
    "a subclass": lambda a: a.view(Subclass),
    "an overridden subclass": lambda a: a.view(Overridden),
    "a matrix": lambda a: a.view(np.matrix) if a.ndim == 2 else a,
    "masked": lambda a: np.ma.masked_array(a, mask=False),
    "masked in part": lambda a: np.ma.masked_array(a, mask=a > a.mean()),
    "mapped": mapped,
    "a list": lambda a: a.tolist(),
    "a tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "a memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    "bytes": lambda a: a.tobytes(),
    "a ragged list": lambda a: [a.tolist(), 1.0],
    "a number": lambda a: 1.0,
    "an array of one number": lambda a: np.array(1.0, a.dtype),
    "None": lambda a: None,
    "a text": lambda a: "array",
    "no rows": lambda a: a[:0],
    "one row": lambda a: a[:1],
    "a row less": lambda a: a[:-1],
    "a row more": lambda a: np.concatenate([a, a[:1]]),
    "a column less": lambda a: a[..., :-1],
    "a column more": lambda a: np.concatenate([a, a[..., :1]], axis=-1),
    "no columns": lambda a: a[..., :0],
    "flat": lambda a: a.ravel(),
    "flat, as one column": lambda a: a.reshape(-1, 1),
    "of three dimensions": lambda a: a[None],
    "with a dimension of one at the end": lambda a: a[..., None],
    "with NaN": lambda a: with_value(a, np.nan) if a.dtype.kind == "f" else a,
    "with infinity": lambda a: with_value(a, np.inf) if a.dtype.kind == "f" else a,
    "with a large value": lambda a: with_value(a, 2**31 - 1),
    "with a value below zero": lambda a: with_value(a, -1),
    "with a value above one": lambda a: with_value(a, 3),
}  # fmt: skip

LABELS = RNG.integers(0, N_OUT, ROWS)
PROBABILITIES = RNG.dirichlet(np.ones(N_OUT), ROWS)
# Networks that differ in what targets they take: settings, and targets of the network's type.
TASKS: dict[str, tuple[dict[str, Any], Callable[[str], np.ndarray]]] = {
    "mse": ({}, lambda dtype: RNG.normal(size=(ROWS, N_OUT)).astype(dtype)),
    "labels": (
        {"output": "softmax", "loss": "cross_entropy"},
        lambda dtype: LABELS,
    ),
    "probabilities": (
        {"output": "softmax", "loss": "cross_entropy"},
        lambda dtype: PROBABILITIES.astype(dtype),
    ),
    "binary": (
        {"output": "sigmoid", "loss": "binary_cross_entropy"},
        lambda dtype: (PROBABILITIES > 0.5).astype(dtype),
    ),
    "own loss": (
        {"loss": lambda a, y: (((a - y) ** 2).sum(1), 2 * (a - y))},
        lambda dtype: RNG.normal(size=(ROWS, N_OUT)).astype(dtype),
    ),
    "one output": ({"widths": [N_IN, 4, 1]}, lambda dtype: REALS[dtype][:, :1].copy()),
    "labels of one class": (
        {"widths": [N_IN, 4, 1], "output": "softmax", "loss": "cross_entropy"},
        lambda dtype: np.zeros(ROWS, np.int64),
    ),
}
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Slow(_core.Net):
    """A network of the core that does not take the fast paths."""

    def try_predict(self, x: Any, out: Any = None) -> None:
        return None

    def try_step(self, x: Any, y: Any, optimizer: Any) -> None:
        return None


class Pair:
    """A network and its optimizer, and the same ones without fast paths."""

    def __init__(self, task: str, dtype: str, optimizer: bp.Optimizer | None = None) -> None:
        settings = {"widths": [N_IN, 4, N_OUT], "seed": 1, "dtype": dtype, **TASKS[task][0]}
        self.x, self.y = REALS[dtype], TASKS[task][1](dtype)
        rule = bp.Adam(lr=0.01) if optimizer is None else optimizer
        self.nets = [bp.Network(**settings) for _ in range(2)]
        self.optimizers = [copy.deepcopy(rule) for _ in range(2)]
        for net, optimizer in zip(self.nets, self.optimizers, strict=True):
            net.step(self.x, self.y, optimizer)  # from then on, the fast path is taken
        self.nets[1]._net.__class__ = Slow
        self.taken = 0
        self._watch(self.nets[0]._net)

    def _watch(self, net: Any) -> None:
        """Count the calls that the fast path has taken."""
        for name in ("try_predict", "try_step"):
            original = getattr(net, name)

            def counted(*arguments: Any, original: Any = original) -> Any:
                result = original(*arguments)
                self.taken += result is not None
                return result

            setattr(net, name, counted)

    def state(self, which: int) -> list[Any]:
        """All that a call may change."""
        net, optimizer = self.nets[which], self.optimizers[which]
        state = optimizer.state_dict()
        vectors = {name: vector.tobytes() for name, vector in state["state"].items()}
        counters = net._net.get_counters()
        return [net.parameters.tobytes(), counters, state["step"], vectors]

    def compare(self, what: str, call: Callable[[bp.Network, bp.Optimizer], Any]) -> Any:
        """Make a call on both networks; return what came of it, which is the same."""
        before = self.state(0)
        results = []
        for net, optimizer in zip(self.nets, self.optimizers, strict=True):
            try:
                with np.errstate(all="ignore"):
                    result = call(net, optimizer)
                results.append(result if isinstance(result, float) else result.tobytes())
            except Exception as error:
                results.append((type(error), str(error)))
        fast, slow = results
        assert fast == slow or (fast != fast and slow != slow), f"{what}: {fast!r}, not {slow!r}"
        assert self.state(0) == self.state(1), f"{what}: leaves something else behind"
        if isinstance(fast, tuple):
            assert issubclass(fast[0], (TypeError, ValueError)), f"{what}: {fast}"
            assert self.state(0) == before, f"{what}: refused, but something has changed"
        return fast


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(form: str, array: np.ndarray) -> Any:
    """An argument of a form; None where an array cannot have it."""
    try:
        with np.errstate(all="ignore"):
            return FORMS[form](array)
    except (ValueError, TypeError):
        return Ellipsis


def content(value: Any) -> str | None:
    """The values of an array, to compare; None where it is none."""
    return repr(np.array(value).tolist()) if isinstance(value, np.ndarray) else None


@dtypes
def test_inputs_of_predict(dtype: str) -> None:
    pair = Pair("mse", dtype)
    refused = 0
    for form in FORMS:
        x = made(form, pair.x)
        refused += isinstance(pair.compare(form, lambda net, _, x=x: net.predict(x)), tuple)
    assert refused > 10
    assert 5 < pair.taken < len(FORMS) - refused


@dtypes
def test_out_of_predict(dtype: str) -> None:
    """Whatever out is: the same is written to it, or nothing."""
    pair = Pair("mse", dtype)
    refused = 0
    for form in FORMS:
        written = []

        def call(net: bp.Network, _: Any, form: str = form, written: Any = written) -> Any:
            out = made(form, np.full((ROWS, N_OUT), 7.0, dtype))
            try:
                result = net.predict(pair.x, out=out)
                assert out is None or result is out
                return result
            finally:
                written.append(content(out))

        came = pair.compare(f"out {form}", call)
        assert written[0] == written[1], f"out {form}: something else is written"
        if isinstance(came, tuple):
            refused += 1
            untouched = made(form, np.full((ROWS, N_OUT), 7.0, dtype))
            assert written[0] == content(untouched), f"out {form}: is written to"
    assert refused > 10
    assert pair.taken > 2


@dtypes
def test_out_that_shares_memory_with_the_inputs(dtype: str) -> None:
    """In whole, in part, and not at all, though in one block of memory."""
    pair = Pair("mse", dtype)
    size, block = ROWS * N_OUT, np.zeros(ROWS * N_IN + 2 * ROWS * N_OUT, dtype)
    refused = 0
    for begin in (0, 1, size - 1, size, size + 1, size + 20, size + ROWS * N_IN - 1):

        def call(net: bp.Network, _: Any, begin: int = begin) -> Any:
            x = block[size : size + ROWS * N_IN].reshape(ROWS, N_IN)
            x[...] = pair.x
            return net.predict(x, out=block[begin : begin + size].reshape(ROWS, N_OUT)).copy()

        refused += isinstance(pair.compare(f"out from {begin}", call), tuple)
    assert refused == 6
    # One block beside the other in memory.
    x = block[size : size + ROWS * N_IN].reshape(ROWS, N_IN)
    for out in (block[:size], block[size + ROWS * N_IN :]):
        taken = pair.taken
        pair.compare("beside", lambda net, _, o=out: net.predict(x, out=o.reshape(ROWS, N_OUT)))
        assert pair.taken == taken + 1


@dtypes
@pytest.mark.parametrize("task", TASKS)
def test_inputs_of_step(task: str, dtype: str) -> None:
    pair = Pair(task, dtype)
    for form in FORMS:
        x = made(form, pair.x)
        pair.compare(f"X {form}", lambda net, opt, x=x: net.step(x, pair.y, opt))


@dtypes
@pytest.mark.parametrize("task", TASKS)
def test_targets_of_step(task: str, dtype: str) -> None:
    pair = Pair(task, dtype)
    refused = 0
    for form in FORMS:
        y = made(form, pair.y)
        came = pair.compare(f"y {form}", lambda net, opt, y=y: net.step(pair.x, y, opt))
        refused += isinstance(came, tuple)
    assert refused > 10
    # Probabilities are looked at every time, so that their steps are never fast.
    assert (pair.taken > 2) == (task not in ("binary", "probabilities"))


def test_labels_of_step() -> None:
    """Labels out of range at every place, of any integer type and beyond all bounds."""
    pair = Pair("labels", "float32")
    for at in range(ROWS):
        for label in (-1, N_OUT, -(2**63), 2**63 - 1, 2**32, 2**32 + 1):
            y = with_value(LABELS, 0)
            y[at] = label
            came = pair.compare(f"{label}", lambda net, opt, y=y: net.step(pair.x, y, opt))
            assert isinstance(came, tuple)
    for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i8", "?"):
        y = LABELS.astype(dtype)
        pair.compare(dtype, lambda net, opt, y=y: net.step(pair.x, y, opt))
        y = y.reshape(-1, 1)
        pair.compare(dtype, lambda net, opt, y=y: net.step(pair.x, y, opt))


def test_rows_that_change_from_step_to_step() -> None:
    """What the fast path keeps from one call to the next does not outlive it."""
    pair = Pair("mse", "float32")
    x, y = (np.concatenate([each] * 50) for each in (pair.x, pair.y))
    plain = 0  # calls that are right, and so fast
    for rows in (1, 2, 300, 7, 7, 0, 3, 299):
        for other in (rows, rows + 1, max(rows - 1, 0), 1):
            plain += min(rows, 300) == min(other, 300) > 0
            pair.compare(
                f"{rows} and {other} rows",
                lambda net, opt, rows=rows, other=other: net.step(x[:rows], y[:other], opt),
            )
        plain += rows > 0
        pair.compare("predict", lambda net, _, rows=rows: net.predict(x[:rows]))
    assert pair.taken == plain


@dtypes
@pytest.mark.parametrize("task", ["mse", "labels"])
def test_unaligned_arrays_are_not_for_the_fast_path(task: str, dtype: str) -> None:
    """The core reads whole numbers, which some processors only find at multiples of their size."""
    pair = Pair(task, dtype)
    for x, y in ((unaligned(pair.x), pair.y), (pair.x, unaligned(pair.y))):
        pair.compare("step", lambda net, opt, x=x, y=y: net.step(x, y, opt))
    pair.compare("predict", lambda net, _: net.predict(unaligned(pair.x)))
    out = unaligned(np.zeros((ROWS, N_OUT), dtype))
    pair.compare("out", lambda net, _: net.predict(pair.x, out=out))
    assert pair.taken == 0


@pytest.mark.parametrize(
    "optimizer",
    [
        bp.SGD(lr=0.1),
        bp.SGD(lr=bp.schedules.Cosine(0.1, 9), momentum=0.9, clip_norm=0.1),
        bp.RMSprop(centered=True, momentum=0.5),
        bp.AdamW(lr=lambda step: 0.1 / (step + 1)),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_optimizers_of_step(optimizer: bp.Optimizer) -> None:
    """Rates by schedule and settings that change are those of the moment on both paths."""
    pair = Pair("labels", "float64", optimizer)
    for turn in range(6):
        pair.compare("step", lambda net, opt: net.step(pair.x, pair.y, opt))
        for each in pair.optimizers:
            each.weight_decay = 0.01 * turn
            if turn == 3:
                each.lr = 0.02
    assert pair.taken == 6
    other = bp.Network([N_IN, 7, N_OUT], output="softmax", loss="cross_entropy", dtype="float64")
    for wrong in (None, "adam", bp.Adam, optimizer._state):
        pair.compare("optimizer", lambda net, _, wrong=wrong: net.step(pair.x, pair.y, wrong))
    with pytest.raises(ValueError, match="state"):
        other.step(pair.x, pair.y, pair.optimizers[0])


def busy(pair: Pair, call: Callable[[bp.Network, bp.Optimizer], Any]) -> Iterator[Any]:
    """What a call comes to in a callback of a fit of the same network."""
    for net, optimizer in zip(pair.nets, pair.optimizers, strict=True):
        came: list[Any] = []

        def callback(
            end: Any, came: Any = came, net: Any = net, optimizer: Any = optimizer
        ) -> None:
            try:
                came.append(np.asarray(call(net, optimizer)).tobytes())
            except RuntimeError as error:
                came.append(str(error))

        net.fit(pair.x, pair.y, batch_size=3, optimizer=bp.SGD(), callbacks=callback)
        yield came


@pytest.mark.parametrize("path", ["predict", "step"])
def test_calls_during_a_fit(path: str) -> None:
    pair = Pair("mse", "float32")
    fast, slow = (
        busy(pair, lambda net, _: net.predict(pair.x))
        if path == "predict"
        else busy(pair, lambda net, optimizer: net.step(pair.x, pair.y, optimizer))
    )
    assert fast == slow
    assert isinstance(fast[0], bytes if path == "predict" else str)


@dtypes
def test_many_rows_go_in_pieces_on_both_paths(dtype: str) -> None:
    pair = Pair("mse", dtype)
    x = RNG.normal(size=(1000, N_IN)).astype(dtype)
    for net in pair.nets:
        net._net.call_rows = 256
    for rows in (255, 256, 257, 1000):
        pair.compare(f"{rows} rows", lambda net, _, rows=rows: net.predict(x[:rows]))
    assert pair.taken == 2
