"""Spreadsheets: sheets, titles above the names, dates and numbers as they are stored."""

import datetime
import re

import numpy as np
import pytest

from pybackprop.datasets import load, load_csv

ROWS = 30
DAYS = [datetime.datetime(2023, 1, 1) + datetime.timedelta(days=at) for at in range(ROWS)]
COLUMNS = {
    "sold": DAYS,
    "size": [at % 7 + 0.5 for at in range(ROWS)],
    "kind": [f"k{at % 3}" for at in range(ROWS)],
    "y": [at / 8 for at in range(ROWS)],
}
TABLE = [list(COLUMNS), *map(list, zip(*COLUMNS.values(), strict=True))]


@pytest.fixture
def book(tmp_path):
    """Write sheets, each a list of rows, to a file."""
    pytest.importorskip("pandas")
    openpyxl = pytest.importorskip("openpyxl")

    def write(name="book.xlsx", **sheets):
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title, rows in sheets.items():
            sheet = workbook.create_sheet(title)
            for row in rows:
                sheet.append(row)
        path = tmp_path / name
        workbook.save(path)
        return path

    return write


@pytest.fixture
def expected(tmp_path):
    """What the same table as a CSV file becomes."""
    path = tmp_path / "table.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in TABLE))
    return load_csv(path)


def same(one, other):
    assert one.feature_names == other.feature_names
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)


def test_a_sheet_is_read_as_its_csv_file(book, expected):
    data = load(book(Sheet=TABLE))
    same(data, expected)
    assert data.notes == ()
    assert data.encoding.columns[0].treatment.kind == "date"


@pytest.mark.parametrize(
    ("above", "row"),
    [
        ([["Houses of 2023"]], 2),
        ([["Houses of 2023"], [None], ["all figures are estimates"], []], 5),
        ([["Houses of 2023"], ["What is known", None, None, "Outcome"]], 3),
    ],
)
def test_titles_above_the_names_are_left_out(book, expected, above, row):
    data = load(book(Sheet=[*above, *TABLE]))
    same(data, expected)
    assert data.notes == (f"the names of the columns are taken from row {row} of the sheet",)


def test_the_names_are_those_that_are_asked_for(book):
    """A row of units above them can hold as many texts."""
    path = book(Sheet=[["day", "m2", "text", "EUR"], *TABLE])
    with pytest.raises(ValueError, match="column 'EUR': 'y' is not a number"):
        load(path)
    assert load(path, "y").feature_names[-3:] == ("kind=k0", "kind=k1", "kind=k2")


def test_empty_rows_and_columns_are_left_out(book, expected):
    rows = [[None, *row[:2], None, *row[2:]] for row in TABLE]
    rows[12:12] = [[None] * 6]
    same(load(book(Sheet=[[None], *rows, [None]])), expected)


def test_the_sheet_with_the_table_is_read(book, expected):
    about = [["made in 2023"], ["by the office"], ["of houses"]]
    path = book(About=about, Houses=TABLE, Empty=[], Prices=[["a", "b"], [1, 2]])
    data = load(path)
    same(data, expected)
    assert data.notes == ("read from the sheet 'Houses', not from 'About', 'Prices'",)
    other = load(book(First=[["a", "b"], [1, 2], [2, 3]], Second=TABLE), "y")
    same(other, expected)
    assert other.notes == ("read from the sheet 'Second', not from 'First'",)


def test_a_model_reads_the_sheet_that_has_its_columns(book, expected):
    data = load(book(Sheet=TABLE))
    path = book("new.xlsx", Notes=[["a", "b"], [1, 2]], New=[["New houses"], *TABLE])
    found = data.encoding.read(path, keep="kind")
    np.testing.assert_array_equal(found.x, expected.x)
    assert found.kept == COLUMNS["kind"]
    assert "read from the sheet 'New', not from 'Notes'" in found.notes


def test_cells_of_a_sheet(book):
    """Numbers and percentages as texts, times, truth values, texts among dates, large texts."""
    rows = [["number", "share", "time", "flag", "day", "code", "y"]]
    rows += [
        [
            str(at * 1.5),
            f"{at}%",
            datetime.time(at % 24, 30),
            at % 2 == 0,
            "soon" if at == 3 else DAYS[at],
            f"0{at % 4}x",
            at / 8,
        ]
        for at in range(ROWS)
    ]
    data = load(book(Sheet=rows), "y")
    kinds = [column.treatment.kind for column in data.encoding.columns]
    assert kinds == ["number", "number", "date", "category", "date", "category"]
    assert data.x[:3, :2].tolist() == [[0, 0], [1.5, 1], [3, 2]]
    assert "1 missing (1 of them no date, such as 'soon')" in data.encoding.columns[4].why
    with pytest.raises(ValueError, match="column 'day': 'soon' is not a date"):
        load_csv(book(Sheet=rows), "y", refuse=["odd"])


def test_what_stands_for_a_missing_cell_can_be_chosen(book):
    rows = [["a", "b", "y"], *[["NA" if at < 9 else "x", at % 5, at / 8] for at in range(ROWS)]]
    path = book(Sheet=rows)
    assert "a=(missing)" in load_csv(path).feature_names
    assert "a=NA" in load_csv(path, missing=["none"]).feature_names


def test_an_index_of_a_sheet_is_left_out(book, expected):
    rows = [[at - 1 if at else None, *row] for at, row in enumerate(TABLE)]
    same(load(book(Sheet=rows)), expected)


@pytest.mark.parametrize("sheets", [{"Sheet": []}, {"A": [["title"]], "B": [["a", "b"]]}])
def test_a_file_without_a_table_is_refused(book, sheets):
    path = book(**sheets)
    names = ", ".join(map(repr, sheets))
    message = f"{path}: no sheet has a table of two rows and columns: {names}"
    with pytest.raises(ValueError, match=re.escape(message)):
        load(path)


def test_a_column_that_no_sheet_has(book):
    with pytest.raises(ValueError, match="column 'z': there is no such column; the 4 columns are"):
        load(book(Sheet=TABLE), "z")


@pytest.mark.parametrize(
    ("lacking", "names"),
    [({"openpyxl"}, "openpyxl"), ({"pandas", "polars", "openpyxl"}, "pandas and openpyxl")],
)
def test_missing_packages_are_named(tmp_path, monkeypatch, lacking, names):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK")
    installed = {"pandas", "polars", "openpyxl"} - lacking
    monkeypatch.setattr(
        "pybackprop.tables._frames.find_spec", lambda name: name if name in installed else None
    )
    install = f"pip install {names.replace(' and', '')}"
    with pytest.raises(ModuleNotFoundError, match=f"^a file .xlsx needs {names}: {install}$"):
        load(path)


def test_a_frame_without_columns_is_refused():
    pandas = pytest.importorskip("pandas")
    from pybackprop.datasets import from_frame

    with pytest.raises(ValueError, match="the table has no columns"):
        from_frame(pandas.DataFrame(index=range(3)))
