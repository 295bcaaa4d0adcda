"""What programs write above the rows of a text table: separators, titles, and too few names."""

import numpy as np
import pytest

from pybackprop.datasets import Encoding, load_csv
from pybackprop.tables import _engines

ROWS = [f"{at / 2},{at % 7},{at / 7}" for at in range(30)]


def told(data, name):
    """Return kind, number of inputs and reason of a column."""
    return {row[0]: row[1:] for row in data.encoding.report()}[name]


@pytest.fixture
def write(tmp_path):
    def write_file(*lines, name="t.csv", end="\n"):
        path = tmp_path / name
        path.write_bytes("".join(line + end for line in lines).encode())
        return path

    return write_file


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    "above", ["sep=;", '"sep=;"', "SEP=;", "sep=\t", "sep=|", "sep=^", "sep= "]
)
def test_the_separator_that_a_file_names_is_taken(write, monkeypatch, above, quoted, end):
    separator = above.strip('"')[-1]
    names = '"a","b","y"' if quoted else "a,b,y"
    table = [row.replace(",", separator) for row in (names, *ROWS)]
    data = load_csv(write(above, *table, end=end))
    wanted = load_csv(write(names, *ROWS, name="plain.csv"))
    assert data.encoding == wanted.encoding
    np.testing.assert_array_equal(data.x, wanted.x)
    # No other package is asked: it would take the line for names.
    monkeypatch.setattr(_engines, "LEAST_BYTES", 1)
    path = write(above, "a" + separator + "y", *(f"{at}{separator}{at}" for at in range(9)))
    assert load_csv(path).x.tolist() == [[at] for at in range(9)]
    assert data.encoding.read(path.with_name("plain.csv")).x.shape == (30, 2)


def test_the_lines_below_a_separator_keep_their_numbers(write):
    path = write("", "sep=;", "a;y", "1;2", "3;4;5")
    with pytest.raises(ValueError, match=r"line 5, column 'y': the row has 3 values"):
        load_csv(path)
    path = write("sep=;", "a;y", *(f"{at},5;{at},25" for at in range(9)))
    assert load_csv(path).x[:2].tolist() == [[0.5], [1.5]]
    with pytest.raises(ValueError, match="the file is empty"):
        load_csv(write("sep=;"))


@pytest.mark.parametrize(
    ("above", "first", "cells"),
    [
        (["Sales of 2023"], 2, "1 cell"),
        (["Sales of 2023", "", "by region"], 4, "1 cell"),
        (["# made by hand, at night, in haste, twice"], 2, "4 cells"),
        (["# made by hand, at night, in haste, twice", "# by me"], 3, "4 cells"),
    ],
)
def test_titles_and_comments_are_named(write, above, first, cells):
    message = rf"line 1: {cells} here, but 3 in each line from line {first} on; delete the lines"
    with pytest.raises(ValueError, match=message):
        load_csv(write(*above, "a,b,y", *ROWS))
    encoding = load_csv(write("a,b,y", *ROWS)).encoding
    with pytest.raises(ValueError, match=message):
        encoding.read(write(*above, "a,b,y", *ROWS))


@pytest.mark.parametrize("names", ['"a\nlong",b,y', "#a,b,y", "a;y", "#a;y"])
def test_names_are_no_titles(write, names):
    rows = ROWS if "b" in names else [f"{at},125;{at},250" for at in range(1, 30)]
    data = load_csv(write(names, *rows))
    assert data.encoding.target == "y"
    assert len(data.x) == len(rows)


def test_one_column_with_decimal_commas_is_no_title(write):
    encoding = load_csv(write("x,y", *(f"{at},{at / 7}" for at in range(9)))).encoding
    with pytest.raises(ValueError, match="if its commas are decimal, write numbers with a decimal"):
        encoding.read(write("x", *(f"{at},5" for at in range(9))))


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
@pytest.mark.parametrize("verb", ["numbers", "names"])
def test_a_table_of_r_has_no_name_above_its_row_names(write, separator, verb):
    index = [f'"{at}"' if verb == "numbers" else f'"Mazda RX{at}"' for at in range(30)]
    rows = [separator.join([at, *row.split(",")]) for at, row in zip(index, ROWS, strict=True)]
    path = write(separator.join(['"a"', '"b"', '"y"']), *rows)
    data = load_csv(path)
    assert data.feature_names == ("a", "b")
    assert told(data, "x0") == ("left out", 0, f"it {verb} the rows")
    plain = load_csv(write("a,b,y", *ROWS, name="plain.csv"))
    np.testing.assert_array_equal(data.x, plain.x)
    encoding = Encoding.from_json(plain.encoding.to_json())
    found = encoding.read(path, keep="x0")
    np.testing.assert_array_equal(found.x, plain.x)
    assert found.kept[1] == index[1].strip('"')


@pytest.mark.parametrize(
    "lines",
    [
        # A separator at the end of each row, a cell too many in one row, the same first cells,
        # and numbers for names.
        ["a,b,y", *(f"{row}," for row in ROWS)],
        ["a,b,y", *(f"{at},{row}" for at, row in enumerate(ROWS)), "1,2,3"],
        ["a,b,y", *(f"7,{row}" for row in ROWS)],
        ["1,2,3", *(f"{at},{row}" for at, row in enumerate(ROWS))],
    ],
)
def test_other_rows_with_a_cell_too_many_are_refused(write, lines):
    with pytest.raises(ValueError, match=r"line \d+, column .*the row has "):
        load_csv(write(*lines))
