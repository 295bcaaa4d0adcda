"""Tables of pandas, polars and Arrow: the index of pandas in them, and categories of numbers."""

import datetime
import warnings

import numpy as np
import pytest

from pybackprop.datasets import from_frame, load_csv

pandas = pytest.importorskip("pandas")
arrow = pytest.importorskip("pyarrow")


def told(data, name):
    """Return kind, number of inputs and reason of a column."""
    return {row[0]: row[1:] for row in data.encoding.report()}[name]


@pytest.fixture(params=["pyarrow", "polars"])
def library(request, monkeypatch):
    """Parquet files are read by this package."""
    pytest.importorskip(request.param)
    monkeypatch.setattr(
        "pybackprop.tables._frames.find_spec", lambda name: name == request.param or None
    )
    return request.param


def shuffled(name=None):
    """Return a table whose index does not count up."""
    at = [7 * at % 30 for at in range(30)]
    index = pandas.Index(at, name=name)
    return pandas.DataFrame({"a": [k / 3 for k in at], "y": [k / 7 for k in at]}, index)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", [None, "when"])
def test_an_index_in_a_parquet_file_is_no_column(tmp_path, name):
    path = tmp_path / "t.parquet"
    frame = shuffled(name)
    frame.to_parquet(path)
    data = load_csv(path)
    assert data.encoding == from_frame(frame).encoding
    assert (data.encoding.names, data.encoding.target) == (("a", "y"), "y")
    stored = name or "__index_level_0__"
    assert data.notes == (f"the index of pandas is left out: '{stored}'",)
    # It is there for those who ask for it.
    found = data.encoding.read(path, keep=stored)
    assert found.kept[:3] == ["0", "7", "14"]
    assert load_csv(path, stored, task="regression").y[:3].tolist() == [0, 7, 14]
    assert load_csv(path, "y", ignore=[stored]).feature_names == ("a",)
    other = load_csv(path, "y", categorical=[stored]).encoding
    assert len(other.feature_names) == 31
    assert other.read(path).x[1, other.feature_names.index(f"{stored}=7")] == 1


@pytest.mark.parametrize("stored", [b"", b"[", b"[]", b'{"index_columns": 1}', b'"a"', b"{}"])
def test_an_index_in_a_table_in_memory_is_no_column(stored):
    table = arrow.Table.from_pandas(shuffled("when"))
    data = from_frame(table)
    assert (data.feature_names, data.encoding.target) == (("a",), "y")
    # What is stored of pandas may be anything.
    data = from_frame(table.replace_schema_metadata({"pandas": stored}))
    assert (data.feature_names, data.encoding.target) == (("a", "y"), "when")
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(arrow.Table.from_pandas(shuffled()))
    assert "__index_level_0__" in frame.columns
    assert from_frame(frame).encoding.names == ("a", "y")


def test_a_record_batch_is_a_table():
    columns = {
        "d": [datetime.datetime(2023, 1 + at % 9, 1 + at) if at % 4 else None for at in range(28)],
        "n": [at / 3 if at % 5 else None for at in range(28)],
        "b": [at % 2 == 0 if at % 7 else None for at in range(28)],
        "y": [at / 7 for at in range(28)],
    }
    of_table = from_frame(arrow.table(columns), "y")
    found = from_frame(arrow.RecordBatch.from_pydict(columns), "y")
    assert found.encoding == of_table.encoding
    assert told(found, "d")[0] == "date"
    np.testing.assert_array_equal(found.x, of_table.x)


def test_an_index_that_came_with_a_file_numbers_the_rows(tmp_path):
    path = tmp_path / "t.csv"
    pandas.DataFrame({"a": [k % 7 for k in range(30)], "y": range(30)}).to_csv(path)
    frame = pandas.read_csv(path)
    data = from_frame(frame)
    assert data.feature_names == ("a",)
    assert told(data, "Unnamed: 0") == ("left out", 0, "it numbers the rows")
    frame.to_csv(path, index=False)
    assert load_csv(path).encoding == data.encoding


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ([3, 1, 10], ["1", "10", "3"]),
        ([1.5, 2.0, 0.25], ["0.25", "1.5", "2"]),
        (["07", "08", "09"], ["07", "08", "09"]),
        (["2024-01-01", "2024-02-01", "2024-03-01"], ["2024-01-01", "2024-02-01", "2024-03-01"]),
    ],
)
def test_a_category_of_numbers_is_one_in_every_package(tmp_path, levels, names):
    cells = [levels[at % 3] if at % 5 else None for at in range(30)]
    y = [at / 7 for at in range(30)]
    frame = pandas.DataFrame({"a": pandas.Categorical(cells), "y": y})
    data = from_frame(frame)
    assert data.feature_names == (*(f"a={name}" for name in names), "a=(missing)")
    why = "a category by its type; 6 missing, as a level of their own"
    assert told(data, "a") == ("category", 4, why)
    coded = arrow.array(cells).dictionary_encode()
    chunks = arrow.chunked_array([coded[:9], arrow.array(cells[9:]).dictionary_encode()])
    # The type of the column is a plain one in the file, but what is told of pandas has it.
    frame.to_parquet(tmp_path / "t.parquet")
    others = [arrow.table({"a": coded, "y": y}), arrow.table({"a": chunks, "y": y})]
    others += [tmp_path / "t.parquet"]
    if isinstance(levels[0], str):
        polars = pytest.importorskip("polars")
        column = polars.Series("a", cells)
        others += [
            polars.DataFrame({"a": column.cast(kind), "y": y})
            for kind in (polars.Categorical, polars.Enum(levels))
        ]
    for other in others:
        found = from_frame(other) if not hasattr(other, "exists") else load_csv(other)
        assert found.encoding == data.encoding
        np.testing.assert_array_equal(found.x, data.x)
    # The same cells in a text file, or as plain numbers, are known.
    frame.to_csv(tmp_path / "t.csv", index=False)
    plain = pandas.DataFrame({"a": cells, "y": y})
    for other in (tmp_path / "t.csv", plain):
        found = data.encoding.read(other)
        np.testing.assert_array_equal(found.x, data.x)
        assert not found.notes


def test_a_category_is_a_target_of_classes(tmp_path):
    cells = [at % 30 for at in range(60)]
    frame = pandas.DataFrame({"a": range(60), "y": pandas.Categorical(cells)})
    data = from_frame(frame)
    assert data.class_names == tuple(map(str, range(30)))
    assert data.y.tolist() == cells
    assert from_frame(frame, task="regression").class_names is None
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert load_csv(tmp_path / "t.csv").class_names is None
    assert data.encoding.read(tmp_path / "t.csv").y.tolist() == cells


def test_a_lazy_frame_is_collected_without_a_warning():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": range(9), "y": range(9)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_frame(frame.lazy()).x.tolist() == from_frame(frame).x.tolist()
    with pytest.raises(TypeError, match="frame must be a table"):
        from_frame(frame["a"])


def test_columns_of_numbers_are_the_same_together_and_alone(monkeypatch):
    """Of a small table of pandas they are read together."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "f": rng.normal(size=40),
            "text": rng.choice(["a", "b"], size=40),
            "i": rng.integers(-9, 9, 40),
            "single": rng.normal(size=40).astype(np.float32),
            "large": 2**53 + np.arange(40) % 3,
            "u": rng.integers(0, 9, 40).astype(np.uint8),
            "gaps": pandas.array([None, 1] * 20, dtype="Int64"),
            "y": rng.normal(size=40),
        }
    )
    frame.loc[3, "f"] = np.nan
    together = from_frame(frame, "y", missing=["-3"])
    monkeypatch.setattr("pybackprop.tables._frames._MOST_TOGETHER", 0)
    alone = from_frame(frame, "y", missing=["-3"])
    assert together.encoding == alone.encoding
    np.testing.assert_array_equal(together.x, alone.x)
    assert told(together, "large")[0] == "category"
    assert together.encoding.feature_names[:2] == ("f", "f=(missing)")
