"""Inputs and targets that are tables of pandas, or anything with their interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp


class Nullable:
    """A dtype whose columns can lack entries, such as Int64 and boolean of pandas."""

    def __init__(self, name: str) -> None:
        self.numpy_dtype = np.dtype(name)
        self.kind = self.numpy_dtype.kind

    def __str__(self) -> str:
        return f"Nullable({self.numpy_dtype})"


class Frame:
    """What of a DataFrame counts here: NumPy alone makes objects of it, as of one of pandas."""

    def __init__(self, columns: dict[str, Any], dtypes: dict[str, Any] | None = None) -> None:
        self._lists = list(columns.values())
        self.columns = list(columns)
        given = dtypes or {}
        self.dtypes = [given.get(name, np.asarray(columns[name]).dtype) for name in columns]

    def __len__(self) -> int:
        return len(self._lists[0])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([list(row) for row in zip(*self._lists, strict=True)], object)

    def to_numpy(self, dtype: Any, na_value: Any = None) -> np.ndarray:
        rows = zip(*self._lists, strict=True)
        return np.array([[na_value if e is None else e for e in row] for row in rows], dtype)


A, B, C = [0.5, 1.5, -2.0, 3.0], [True, False, False, True], [3, 1, 2, 0]
WANTED = np.array([A, B, C], float).T


def make(name: str) -> tuple[Any, np.ndarray]:
    if name == "mixed":
        return Frame({"a": A, "b": B, "c": C}), WANTED
    if name == "nullable":
        dtypes = {"b": Nullable("bool"), "c": Nullable("int64")}
        return Frame({"a": A, "b": B, "c": C}, dtypes), WANTED
    if name == "missing":
        wanted = WANTED.copy()
        wanted[1, 1] = wanted[3, 2] = np.nan
        columns = {"a": A, "b": [True, None, False, True], "c": [3, 1, 2, None]}
        return Frame(columns, {"b": Nullable("bool"), "c": Nullable("int64")}), wanted
    pandas = pytest.importorskip("pandas")
    if name == "pandas":
        return pandas.DataFrame({"a": A, "b": B, "c": C}), WANTED
    if name == "pandas dummies":
        colours = pandas.DataFrame({"a": A, "c": list("rbrb")})
        return pandas.get_dummies(colours), np.array([A, [0, 1, 0, 1], [1, 0, 1, 0]], float).T
    if name == "pandas sparse":
        colours = pandas.DataFrame({"a": A, "c": list("rbrb")})
        wanted = np.array([A, [0, 1, 0, 1], [1, 0, 1, 0]], float).T
        return pandas.get_dummies(colours, sparse=True), wanted
    columns = {"a": A, "b": pandas.array(B, "boolean"), "c": pandas.array(C, "Int64")}
    return pandas.DataFrame(columns), WANTED


FRAMES = [
    "mixed",
    "nullable",
    "missing",
    "pandas",
    "pandas dummies",
    "pandas sparse",
    "pandas nullable",
]


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_of_different_types_are_numbers(name: str, dtype: str) -> None:
    frame, wanted = make(name)
    net = bp.Network([3, 5, 1], dtype=dtype, seed=0)
    np.testing.assert_array_equal(net.predict(frame), net.predict(wanted))
    if np.isfinite(wanted).all():
        other = net.copy()
        cost = net.fit(frame, A, sample_weight=np.ones(4), epochs=3).cost
        assert cost == other.fit(wanted, A, sample_weight=np.ones(4), epochs=3).cost


def test_targets_in_a_table() -> None:
    net = bp.Network([3, 2], seed=0)
    y = Frame({"p": A, "q": B})
    assert net.cost(WANTED, y) == net.cost(WANTED, np.array([A, B], float).T)


def test_a_column_of_nullable_labels_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    net = bp.Network([3, 4], output="softmax", loss="cross_entropy", seed=0)
    assert net.cost(WANTED, pandas.Series(C, dtype="Int64")) == net.cost(WANTED, np.array(C))


def test_a_column_of_something_else_is_named() -> None:
    net = bp.Network([2, 1], seed=0)
    for column, name in ((["x", "y"], "<U1"), ([1j, 2], "complex128"), ([[], {}], "object")):
        frame = Frame({"a": [1.0, 2.0], "kind": np.array(column, name)})
        message = f"X must hold real numbers, got dtype {name} in column 'kind'"
        with pytest.raises(TypeError, match=message):
            net.predict(frame)


def test_a_stream_of_tables_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Batches are compared by their numbers, not by objects that are made anew every time."""
    path = tmp_path / "run.npz"

    def batches() -> list[Any]:
        return [(make("mixed")[0], list(A)) for _ in range(2)]

    stopped, resumed, whole = (bp.Network([3, 1], seed=0) for _ in range(3))
    stopped.fit_stream(batches(), epochs=1, checkpoint=path)
    assert len(resumed.fit_stream(batches(), epochs=2, resume=path)) == 2
    whole.fit_stream([(WANTED, np.array(A))] * 2, epochs=2)
    np.testing.assert_array_equal(resumed.parameters, whole.parameters)
