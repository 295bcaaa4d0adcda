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
    if name.startswith("polars"):
        polars = pytest.importorskip("polars")
        frame = polars.DataFrame({"a": A, "b": B, "c": C})
        if name == "polars":
            return frame, WANTED
        wanted = WANTED.copy()
        wanted[1, 1] = wanted[3, 2] = np.nan
        return polars.DataFrame(
            {"a": A, "b": [True, None, False, True], "c": [3, 1, 2, None]}
        ), wanted
    if name.startswith("arrow"):
        arrow = pytest.importorskip("pyarrow")
        if name == "arrow":
            return arrow.table({"a": A, "b": B, "c": C}), WANTED
        wanted = WANTED.copy()
        wanted[1, 1] = wanted[3, 2] = np.nan
        return arrow.table({"a": A, "b": [True, None, False, True], "c": [3, 1, 2, None]}), wanted
    pandas = pytest.importorskip("pandas")
    if name == "pandas categories":
        columns = {"a": A, "b": B, "c": pandas.Categorical(C)}
        return pandas.DataFrame(columns), WANTED
    if name == "pandas missing category":
        wanted = WANTED.copy()
        wanted[3, 2] = np.nan
        columns = {"a": A, "b": B, "c": pandas.Categorical([3, 1, 2, None])}
        return pandas.DataFrame(columns), wanted
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
    "pandas categories",
    "pandas missing category",
    "polars",
    "polars missing",
    "arrow",
    "arrow missing",
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


@pytest.mark.parametrize("names", [[0, 1, 2], ["self", "b", "b"], [("a", 1), None, 2.5]])
@pytest.mark.parametrize("third", [[3, 1, 2, 0], [3, 1, 2, None]])
def test_categories_under_any_names(names: list[Any], third: list[Any]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": pandas.Categorical(A), "b": B, "c": pandas.Categorical(third)})
    frame.columns = pandas.Index(names, dtype=object)
    wanted = np.array([A, B, third], float).T
    for dtype in ("float32", "float64"):
        net = bp.Network([3, 2], dtype=dtype, seed=0)
        np.testing.assert_array_equal(net.predict(frame), net.predict(wanted))
        assert np.isnan(net.cost(WANTED, frame.iloc[:, [2, 0]])) == (None in third)
    column = frame.iloc[:, 2]
    assert np.isnan(bp.Network([3, 1], seed=0).cost(WANTED, column)) == (None in third)


def test_columns_of_arrow_of_any_form() -> None:
    arrow = pytest.importorskip("pyarrow")
    net = bp.Network([3, 1], output="sigmoid", loss="binary_cross_entropy", seed=0)
    wanted = net.cost(WANTED, np.array(B, float))
    coded = arrow.array(C).dictionary_encode()
    chunks = arrow.chunked_array([coded[:2], coded[2:]])
    for flags in (arrow.array(B), arrow.chunked_array([B[:1], B[1:]])):
        assert net.cost(WANTED, flags) == wanted
        for column in (arrow.array(C), coded, chunks):
            assert net.cost(arrow.table({"a": A, "b": flags, "c": column}), flags) == wanted
    labels = bp.Network([3, 4], output="softmax", loss="cross_entropy", seed=0)
    for column in (coded, chunks):
        assert labels.cost(WANTED, column) == labels.cost(WANTED, np.array(C))
    lost = arrow.table({"a": A, "b": B, "c": arrow.array([3, 1, None, 0]).dictionary_encode()})
    assert np.isnan(net.predict(lost)).ravel().tolist() == [False, False, True, False]
    for column in (
        [[1], [2], [3], [4]],
        [{"a": 1}] * 4,
        arrow.array(list("xyxy")).dictionary_encode(),
    ):
        with pytest.raises(TypeError, match=r"X must hold real numbers, .* in column 'c'"):
            net.predict(arrow.table({"a": A, "b": B, "c": column}))


def test_targets_in_a_table() -> None:
    net = bp.Network([3, 2], seed=0)
    y = Frame({"p": A, "q": B})
    assert net.cost(WANTED, y) == net.cost(WANTED, np.array([A, B], float).T)


def test_a_column_of_nullable_labels_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    net = bp.Network([3, 4], output="softmax", loss="cross_entropy", seed=0)
    assert net.cost(WANTED, pandas.Series(C, dtype="Int64")) == net.cost(WANTED, np.array(C))


def test_a_column_of_labels_of_polars_and_arrow() -> None:
    net = bp.Network([3, 4], output="softmax", loss="cross_entropy", seed=0)
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for labels in (polars.Series("y", C), arrow.chunked_array([C])):
        assert net.cost(WANTED, labels) == net.cost(WANTED, np.array(C))


def test_texts_and_dates_of_frames_are_named() -> None:
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    net = bp.Network([2, 1], seed=0)
    for frame in (
        polars.DataFrame({"a": [1.0, 2.0], "kind": ["x", "y"]}),
        pandas.DataFrame({"a": [1.0, 2.0], "kind": pandas.Categorical(["x", "y"])}),
        pandas.DataFrame({"a": [1.0, 2.0], "kind": pandas.to_datetime(["2024-01-01"] * 2)}),
    ):
        with pytest.raises(
            TypeError, match=r"X must hold real numbers, .* in column 'kind'; a net"
        ):
            net.predict(frame)


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


def test_stored_dates_are_dates_wherever_texts_are_asked_for() -> None:
    pandas = pytest.importorskip("pandas")
    when = np.array(["2023-01-31", "2023-04-01", "NaT", "2023-04-01 12:30:00"] * 5, "datetime64[s]")
    frame = pandas.DataFrame({"when": when, "a": range(20), "y": [at / 7 for at in range(20)]})
    with pytest.raises(ValueError, match="column 'when': '2023-01-31' is a date or time"):
        bp.datasets.from_frame(frame, refuse=("date",))
    data = bp.datasets.from_frame(frame, categorical=["when"])
    names = ["2023-01-31", "2023-04-01", "2023-04-01 12:30:00", "(missing)"]
    assert data.feature_names[:4] == tuple(f"when={name}" for name in names)
    kept = data.encoding.read(frame, keep="when").kept
    assert kept[:4] == ["2023-01-31", "2023-04-01", "", "2023-04-01 12:30:00"]
