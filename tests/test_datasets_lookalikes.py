"""Tables that look like numbers or classes, and are none: read right, or refused by name."""

import datetime
import re

import numpy as np
import pytest

from pybackprop import datasets
from pybackprop.datasets import load_csv, load_npz

ROWS = 60


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="table.csv"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write_file


def table(cells, header="a;b;y"):
    """Return a table whose first column is given, with a second input and a number to predict."""
    rows = [f"{cell};{at};{at * 2.5}" for at, cell in enumerate(cells)]
    return "\n".join([header, *rows])


def several(form, count=30):
    return [form.format(10 + at % count) for at in range(ROWS)]


# The number that each form stands for, given what is put in.
VALUES = {
    "72,{}": lambda n: float(f"72.{n}"),
    ",{}": lambda n: float(f".{n}"),
    "-0,5{}": lambda n: -float(f"0.5{n}"),
    "1,2{}": lambda n: float(f"1.2{n}"),  # semicolons separate the cells
    "1.234,{}": lambda n: float(f"1234.{n}"),
    "1 234 5{}": lambda n: float(f"12345{n}"),
    "1'2{}": lambda n: float(f"12{n}"),
    "1_0{}": lambda n: float(f"10{n}"),
    "{}%": float,
    "{}.5 %": lambda n: n + 0.5,
    "$1,2{}": lambda n: float(f"1.2{n}"),
    "{},50 €": lambda n: n + 0.5,
    "EUR {}": float,
    "(1,2{})": lambda n: -float(f"1.2{n}"),
    "\u2212{}.5": lambda n: -(n + 0.5),
    "\uff11{}": lambda n: float(f"1{n}"),
    "{}.5 kg": lambda n: n + 0.5,
    "{} km/h": float,
}
NOTATIONS = [
    ("72,{}", "has a decimal comma"),
    (",{}", "has a decimal comma"),
    ("-0,5{}", "has a decimal comma"),
    ("1,2{}", "may be decimal or between thousands"),
    ("1.234,{}", "has its digits in groups"),
    ("1 234 5{}", "has its digits in groups"),
    ("1'2{}", "has its digits in groups"),
    ("1_0{}", "has its digits in groups"),
    ("{}%", "is a percentage"),
    ("{}.5 %", "is a percentage"),
    ("$1,2{}", "is an amount of money"),
    ("{},50 €", "is an amount of money"),
    ("EUR {}", "is an amount of money"),
    ("(1,2{})", "is an amount of money"),
    ("\u2212{}.5", "has a dash for a minus sign"),
    ("\uff11{}", "has other digits than 0 to 9"),
    ("{}.5 kg", "has a unit"),
    ("{} km/h", "has a unit"),
]


@pytest.mark.parametrize(("form", "what"), NOTATIONS)
def test_numbers_in_other_notations_are_read_or_refused(write, form, what):
    cells = several(form)
    path = write(table(cells))
    with pytest.raises(ValueError, match=what) as caught:
        load_csv(path, refuse=["notation"])
    assert str(caught.value).startswith(f"{path}: line 2, column 'a': {cells[0]!r} ")
    wanted = [VALUES[form](10 + at % 30) for at in range(ROWS)]
    data = load_csv(path)
    assert data.feature_names == ("a", "b")
    np.testing.assert_allclose(data.x[:, 0], wanted, rtol=1e-15)
    np.testing.assert_allclose(load_csv(path, "a").y, wanted, rtol=1e-15)
    assert load_csv(path, categorical=["a"]).n_features == 31
    assert load_csv(path, ignore=["a"]).feature_names == ("b",)
    assert load_csv(path, "a", task="classification").n_outputs == 30


@pytest.mark.parametrize(("form", "what"), [note for note in NOTATIONS if "unit" not in note[1]])
def test_one_such_number_far_down_is_found(write, form, what):
    path = write(table([*map(str, range(500)), form.format(34)]))
    lone_share = "%" in form  # which is no number among numbers without the sign
    assert load_csv(path).x.shape == (501, 3 if lone_share else 2)
    np.testing.assert_array_equal(load_csv(path).x[:500, 0], np.arange(500))
    with pytest.raises(
        ValueError, match="line 502, column 'a': " + ("" if lone_share else f".*{what}")
    ):
        load_csv(path, refuse=["odd" if lone_share else "notation"])


def test_decimal_commas_without_a_header_are_no_names_and_no_separators(write):
    rng = np.random.default_rng(0)
    rows = rng.uniform(10, 200, (300, 3)).round(1)
    text = "\n".join(";".join(str(value).replace(".", ",") for value in row) for row in rows)
    with pytest.raises(ValueError, match=r"line 1, column 'x0': '.*' has a decimal comma"):
        load_csv(write(text), refuse=["notation"])
    data = load_csv(write(text))
    np.testing.assert_array_equal(data.x, rows[:, :2])
    np.testing.assert_array_equal(data.y, rows[:, 2])
    x, y = data.encoding.encode(write(text))
    np.testing.assert_array_equal(x, data.x)
    np.testing.assert_array_equal(y, data.y)
    with pytest.raises(ValueError, match=r"6 values.* if its commas are decimal"):
        load_csv(write("a,b,y\n" + text.replace(";", ",")))


def test_quoted_commas_do_not_separate(write):
    data = load_csv(write('1;"x, y, z";2\n3;"u, v, w";4\n5;"x, y, z";6.5\n'))
    assert data.feature_names == ("x0", "x1=u, v, w", "x1=x, y, z")


@pytest.mark.parametrize(
    "texts",
    [
        [">50K", "<=50K"],
        ["5-10", "10-20", "20+"],
        ["2 doors", "4 doors"],
        ["v1.2.3", "v1.2.10"],
        ["10.0.0.1", "10.0.0.2"],
        ["1st", "2nd", "3rd"],
        ["12%", "none", "unknown", "low"],
        ["may 2", "june 3"],
        ["10-RED-22", "10-BLU-22"],
        ["12 Monkeys 1995", "101 Dalmatians 1996"],
        ["192.168.100.200", "192.168.100.201", "127.100.100.100"],
        ["+1 555 123 456", "+49 555 123 457"],
        ["1,234.567,890", "1 234,567 890"],
    ],
)
def test_texts_with_digits_are_categories(write, texts):
    path = write(table([texts[at % len(texts)] for at in range(ROWS)]))
    assert load_csv(path).n_features == len(texts) + 1
    assert load_csv(path, "a").class_names == tuple(sorted(texts))


def test_a_percentile_is_a_good_name_above_numbers(write):
    data = load_csv(write("25%,50%,y\n1,2,3.5\n2,3,4.5\n"))
    assert data.feature_names == ("25%", "50%")


DATES = {
    "04 Jan 2023": "2023-01-04",
    "4. Januar 2023": "2023-01-04",
    "04-Jan-23": "2023-01-04",
    "2023-Jan-04": "2023-01-04",
    "Jan 4, 2023": "2023-01-04",
    "January 4th, 2023": "2023-01-04",
    "Wed, 04 Jan 2023 12:00:00 GMT": "2023-01-04 12:00",
    "4 de enero de 2023": "2023-01-04",
    "04.01.23": "2023-01-04",
    "10-MAR-22": "2022-03-10",
    "4 März 2023": "2023-03-04",
    "4 févr. 2023": "2023-02-04",
    "4 мая 2023": "2023-05-04",
    "Jan 2000": "2000-01-01",
    "1999-12": "1999-12-01",
    "1/31/68": "2068-01-31",
    "31/1/1969 6:00 PM": "1969-01-31 18:00",
    "2024-02-29T06:00:00+06:00": "2024-02-29 00:00",
}


@pytest.mark.parametrize("date", DATES)
def test_dates_in_words_are_read_or_refused(write, date):
    path = write(table([date, "2023-01-05"] * (ROWS // 2)))
    with pytest.raises(
        ValueError, match=re.escape(f"line 2, column 'a': '{date}' is a date or time")
    ):
        load_csv(path, refuse=["date"])
    data = load_csv(path)
    assert data.feature_names[0] == "a (day)"
    seconds = datetime.datetime.fromisoformat(DATES[date]) - datetime.datetime(1970, 1, 1)
    assert data.x[0, 0] == seconds / datetime.timedelta(days=1)
    assert data.x[1, 0] == 19362
    with pytest.raises(ValueError, match="choose another target"):
        load_csv(path, "a")
    assert load_csv(path, ignore=["a"]).n_features == 1


@pytest.mark.parametrize("text", ["2023.1.2", "10.15.07", "16:10", "1 234 567", "5 kg"])
def test_texts_that_only_look_like_numbers_have_a_way_out(write, text):
    kinds = 25 if text == "5 kg" else 10  # two digits would make other texts no numbers
    path = write(table([text.replace("5", str(at % kinds)) for at in range(ROWS)]))
    with pytest.raises(ValueError, match=r"; if the texts are names, say so \(--categorical\)$"):
        load_csv(path, refuse=["date", "notation"])
    assert load_csv(path, categorical=["a"]).n_features > 1


@pytest.mark.parametrize("sign", ["", "-", "+"])
def test_integers_that_a_float_cannot_hold_are_names_or_refused(write, sign):
    exact, inexact = f"{sign}{2**53}", f"{sign}{2**53 + 1}"
    data = load_csv(write(table([exact, f"{sign}{2**60}", "1", "1e300", "0" * 30 + "7"])))
    assert data.x[0, 0] == float(exact)
    encoding = load_csv(write(table(["1", "2", "3"]), "learnt.csv")).encoding
    path = write(table(["1", "2", inexact]))
    with pytest.raises(ValueError, match=r"line 4, column 'a': .*more digits than a .* \(--ignore"):
        load_csv(path, refuse=["odd"])
    assert load_csv(path).feature_names[:-1] == tuple(f"a={n}" for n in sorted(["1", "2", inexact]))
    many = write(table([f"{sign}{2**53 + 2 * at + 1}" for at in range(ROWS)]), "many.csv")
    assert load_csv(many).feature_names == ("b",)
    assert encoding.encode(path)[0][2, 0] == float(inexact)
    long = write(f"a;b;y\n1;2;{inexact}\n", "long.csv")
    with pytest.raises(ValueError, match=r"column 'y': .*than a float64 holds; round it$"):
        encoding.encode(long)
    assert load_csv(path, categorical=["a"]).n_features == 4
    path = write("x,y\n" + "".join(f"{at},{(exact, inexact)[at % 2]}\n" for at in range(40)))
    with pytest.raises(ValueError, match=r"line 3, column 'y': .*--task classification"):
        load_csv(path)
    data = load_csv(path, task="classification")
    assert data.class_names == tuple(sorted({str(int(exact)), str(int(inexact))}, key=int))
    assert np.bincount(data.y).tolist() == [20, 20]


@pytest.mark.parametrize("name", ["", '""', "Unnamed: 0"])
@pytest.mark.parametrize("first", [0, 1, 500])
def test_an_index_is_left_out(write, name, first):
    rows = [f"{first + at},{at % 7},{at / 7}" for at in range(ROWS)]
    data = load_csv(write("\n".join([f"{name},a,y", *rows])))
    assert data.feature_names == ("a",)
    # The same columns without the index are the same table.
    x, y = data.encoding.encode(write("\n".join(["a,y", *(row.split(",", 1)[1] for row in rows)])))
    np.testing.assert_array_equal(x, data.x)
    np.testing.assert_array_equal(y, data.y)


@pytest.mark.parametrize(("header", "name"), [(",y", "x0"), ("Unnamed: 0,y", "Unnamed: 0")])
def test_an_index_that_is_the_only_input_is_kept(write, header, name):
    text = "\n".join([header, *(f"{at},{at / 7}" for at in range(ROWS))])
    assert load_csv(write(text)).feature_names == (name,)
    wider = "\n".join([f"{header},z", *(f"{at},{at % 3},{at / 7}" for at in range(ROWS))])
    assert load_csv(write(wider), ignore=["y"]).feature_names == (name,)


@pytest.mark.parametrize("text", ["id,a,y\n0,1,2\n1,3,4\n", ",a,y\n1,1,2\n1,3,4\n2,4,5\n"])
def test_a_first_column_that_is_no_index_is_kept(write, text):
    assert load_csv(write(text)).n_features == 2


def test_an_index_can_be_asked_for(write):
    path = write(",a,y\n" + "".join(f"{at},{at % 7},{at / 7}\n" for at in range(ROWS)))
    assert load_csv(path, "x0").target_names == ("x0",)
    assert load_csv(path, categorical=["x0"]).n_features == ROWS + 1


def test_a_class_per_row_is_refused(write):
    rows = "".join(f"{at},name{min(at, 144)}\n" for at in range(149))
    with pytest.raises(ValueError, match="145 different values in 149 rows, 144 of them") as caught:
        load_csv(write(f"x,y\n{rows}"))
    assert "column 'y'" in str(caught.value)
    assert "choose another target (--target)" in str(caught.value)
    numbers = write("x,y\n" + "".join(f"{at},{at / 7}\n" for at in range(50)))
    with pytest.raises(ValueError, match=r"50 different values .*--task regression"):
        load_csv(numbers, task="classification")
    few = "".join(f"{at},{'abcab'[at]}\n" for at in range(5))
    assert load_csv(write(few)).class_names == ("a", "b", "c")


@pytest.mark.parametrize("y", [np.arange(40).astype(str), np.eye(40)])
def test_a_class_per_row_of_arrays_is_refused(tmp_path, y):
    np.savez(tmp_path / "d.npz", x=np.ones((40, 2)), y=y)
    data = load_npz(tmp_path / "d.npz")
    with pytest.raises(ValueError, match="40 different values in 40 rows, 40 of") as caught:
        data.check_learnable()
    assert str(caught.value).startswith(f"{tmp_path / 'd.npz'}: ")


def test_what_can_be_learnt_passes():
    datasets.iris().check_learnable()
    datasets.Dataset(np.ones((1, 1)), np.ones(1), "regression", ("x",), ("y",)).check_learnable()
    data = datasets.Dataset(np.ones((2, 1)), np.ones(2), "regression", ("x",), ("y",))
    with pytest.raises(ValueError, match="every example has the same target, 1; choose another"):
        data.check_learnable()


def test_names_of_rows_are_left_out_or_refused(write):
    path = write(table(f"Mr {at}" for at in range(ROWS)))
    with pytest.raises(ValueError, match="'a': 60 different texts in 60 rows are no category"):
        load_csv(path, refuse=["many"])
    assert load_csv(path).feature_names == ("b",)
    assert load_csv(path, categorical=["a"]).n_features == ROWS + 1


@pytest.mark.parametrize("text", ["a,b,y\n", "a,b,y", '"a"\t"b"\n\n'])
def test_a_header_without_rows_is_called_that(write, text):
    with pytest.raises(ValueError, match="line 1: no rows after the names of the columns"):
        load_csv(write(text))


def test_missing_values_are_counted_in_one_message(write):
    rows = [f"{'' if at % 3 else at},{'NA' if at % 10 == 1 else 'k'},{at / 7}" for at in range(30)]
    path = write("\n".join(["a,b,y", *rows]))
    with pytest.raises(ValueError, match="line 3, column 'a': missing value") as caught:
        load_csv(path, refuse=["missing"])
    assert "of 30 rows miss one: 20 in 'a', 3 in 'b'; fill them in" in str(caught.value)
    targets = write("a,y\n" + "".join(f"{at},{'' if at % 3 == 2 else at}\n" for at in range(30)))
    data = load_csv(targets)
    assert data.notes == ("10 of 30 rows have no target and are left out",)
    assert data.y.tolist() == data.x[:, 0].tolist() == [at for at in range(30) if at % 3 != 2]
    empty = write("a,b,y,\n" + "".join(f"{at},1,{at},\n" for at in range(30)))
    with pytest.raises(ValueError, match="'x3': the target column is empty"):
        load_csv(empty)


def test_a_name_that_is_an_integer_goes_before_a_position(write):
    path = write("label,2,0\n7,1.5,2\n8,2.5,3\n7,3.5,4\n")
    assert load_csv(path, "0", header=True, task="regression").target_names == ("0",)
    assert load_csv(path, "1", header=True, task="regression").target_names == ("2",)
    assert load_csv(path, "-3", header=True).target_names == ("label",)
    with pytest.raises(ValueError, match="column '9': there is no such column"):
        load_csv(path, "9", header=True)


@pytest.mark.parametrize("option", ["ignore", "categorical"])
def test_the_target_is_no_input(write, option):
    path = write("a,b,y\n1,2,3.5\n2,3,4.5\n")
    with pytest.raises(ValueError, match="column 'y': the column is the target"):
        load_csv(path, **{option: ["y"]})
    with pytest.raises(ValueError, match="column 'a': the column is the target"):
        load_csv(path, "a", **{option: ["a"]})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"a,b\r1,2\r3,4\r", "CR alone"),
        (b"a,b\n1,2\n3,\0\n", "line 3: not a text table: it has a zero byte"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 4: .*row from line 3 on opens is never closed"),
        (b"a/b\n1/2\n", "cells end at commas, semicolons, tabs or bars"),
    ],
)
def test_files_saved_in_other_ways_are_told_how(tmp_path, content, what):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what) as caught:
        load_csv(path)
    assert str(caught.value).startswith(f"{path}: ")
