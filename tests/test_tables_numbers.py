"""Numbers as people write them in tables: units, currencies, and commas for points."""

import json

import pytest

from pybackprop.datasets import Encoding, load_csv
from pybackprop.tables._cells import is_date
from pybackprop.tables._notations import parse


def why(data, name):
    return {row[0]: row[3] for row in data.encoding.report()}[name]


def again(encoding):
    """The encoding as a saved model has it."""
    return Encoding.from_json(json.loads(json.dumps(encoding.to_json())))


def test_a_number_in_another_unit_is_none(write_columns):
    data = load_csv(write_columns({"a": [*range(900, 940), "1.2M", "850k"]}))
    assert data.x[-2:].tolist() == [[919.5, 1], [919.5, 1]]
    assert "(2 of them no number, such as '1.2M')" in why(data, "a")
    data = load_csv(write_columns({"a": [f"{at} kg" for at in range(30)]}))
    found = again(data.encoding).read(write_columns({"a": ["155 lb", "20kg", "7"]}))
    assert found.x[:, 0].tolist() == [14.5, 20, 7]
    assert "1 cell with no finite number, such as '155 lb'" in found.notes[0]


def test_a_target_in_another_unit_is_a_fault(write_columns):
    path = write_columns({"a": range(42), "y": [*range(900000, 900040), "1.2M", "850k"]})
    with pytest.raises(ValueError, match=r"line 42, column 'y': '1.2M' is not a number; 2 rows"):
        load_csv(path)
    data = load_csv(write_columns({"a": range(42), "y": [f"{at} kg" for at in range(42)]}))
    assert data.y.tolist() == list(range(42))
    path = write_columns({"a": range(3), "y": ["5 kg", "6", "7 kg"]})
    assert again(data.encoding).encode(path)[1].tolist() == [5, 6, 7]


def test_currencies_and_percentages_are_not_mixed(write_columns):
    data = load_csv(write_columns({"a": [f"${at}" for at in range(40)] + ["€5", "USD 7", "8"]}))
    assert data.x[-3:, 0].tolist() == [18.5, 7, 8]
    told = "amounts of money, 1 of them without '$'; 1 missing (1 of them no number, such as '€5')"
    assert why(data, "a").startswith(told)
    data = load_csv(write_columns({"a": [f"{at}%" for at in range(40)] + ["0.5"]}))
    assert why(data, "a") == "percentages, 1 of them without '%'"
    data = load_csv(write_columns({"a": [at / 40 for at in range(40)] + ["12%"]}))
    assert "1 missing (1 of them no number, such as '12%')" in why(data, "a")


def test_a_learnt_decimal_comma_holds_for_cells_that_could_be_either(write_columns):
    euros = [f"{at}.{at:03},5" for at in range(1, 41)]
    data = load_csv(write_columns({"a": euros, "y": euros}, separator=";"))
    path = write_columns(
        {"a": ["1.234", "2.500", "7"], "y": ["1.234", "2.500", "7"]}, separator=";"
    )
    x, y = again(data.encoding).encode(path)
    assert x[:, 0].tolist() == y.tolist() == [1234, 2500, 7]
    frame = pytest.importorskip("pandas").DataFrame({"a": [1.234], "y": [2.5]})
    x, y = again(data.encoding).encode(frame)
    assert (x.tolist(), y.tolist()) == ([[1.234]], [2.5])


@pytest.mark.parametrize(
    ("cell", "decimal", "number"),
    [
        ("3,5", ".", 3.5),
        ("0,25", ".", 0.25),
        ("0,125", ".", 0.125),
        ("1234,567", ".", 1234.567),
        ("1 234,567", ".", 1234.567),
        ("$3,5", ".", 3.5),
        ("1,234", ".", 1234),
        ("1,234", ",", 1.234),
        ("-1,234", ".", -1234),
        ("1.234", ",", 1234),
        ("-1.234", ",", -1234),
        ("0.125", ",", 0.125),
        ("2.5", ",", 2.5),
        ("1.234,5", ".", 1234.5),
        ("1,234.5", ",", 1234.5),
        ("1.234.567", ".", 1234567),
        ("1,234,567", ",", 1234567),
        ("1,23,456", ".", None),
        ("1.234,567.8", ".", None),
        ("12.34,5", ".", None),
    ],
)
def test_the_column_decides_only_what_a_cell_leaves_open(cell, decimal, number):
    assert parse(cell, decimal, "$") == number


def test_a_table_with_decimal_commas_is_read_by_a_model_of_points(write_columns):
    halves = [at + 0.5 for at in range(30)]
    encoding = again(load_csv(write_columns({"size": halves, "y": halves})).encoding)
    found = encoding.read(
        write_columns({"size": ["3,5", "1,250"], "y": ["7,0", "9,5"]}, separator=";")
    )
    assert (found.x.tolist(), found.y.tolist()) == ([[3.5], [1.25]], [7, 9.5])
    told = "read with a decimal comma, as its cells tell, not with a decimal point as in training"
    assert found.notes == [f"column '{name}': {told}" for name in ("size", "y")]
    found = encoding.read(write_columns({"size": ["1,250"], "y": ["9.5"]}, separator=";"))
    assert found.x.tolist() == [[1250]]
    assert found.notes[0].startswith("column 'size': the comma of '1,250' is taken to separate tho")


def test_a_table_with_points_is_read_by_a_model_of_decimal_commas(write_columns):
    commas = [f"{at},5" for at in range(30)]
    path = write_columns({"size": commas, "y": commas}, separator=";")
    encoding = again(load_csv(path).encoding)
    assert not encoding.read(path).notes
    found = encoding.read(write_columns({"size": ["3.125", "2.5"], "y": ["1.5", "1.125"]}))
    assert (found.x.tolist(), found.y.tolist()) == ([[3.125], [2.5]], [1.5, 1.125])
    assert "column 'size': read with a decimal point" in found.notes[0]
    found = encoding.read(write_columns({"size": ["3.125"], "y": ["1.5"]}))
    assert found.notes[0].startswith("column 'size': the point of '3.125' is taken to separate tho")


def test_decimal_commas_among_points_are_fractions(write_columns):
    cells = [f"{at}.5" for at in range(27)] + ["7,5", "8,25", "1,234"]
    data = load_csv(write_columns({"a": cells, "y": cells}, separator=";"))
    assert data.x[-3:, 0].tolist() == data.y[-3:].tolist() == [7.5, 8.25, 1234]
    assert why(data, "a") == "numbers with a decimal comma"
    # What is no number has no vote, such as a date between dots.
    cells = [*(f"1.{at}" for at in range(100, 129)), "24.12.2020"]
    assert load_csv(write_columns({"a": cells}, separator=";")).x[0, 0] == 1.1


def test_the_notes_tell_how_a_target_is_read(write_columns):
    y = [f"{at},{100 + at}" for at in range(1, 41)]
    data = load_csv(write_columns({"a": range(40), "y": y}, separator=";"))
    told = "the target is read as numbers, the comma is decimal (1,234 and 1.234 could be either)"
    assert (data.y[0], list(data.notes)) == (1.101, [told])
    data = load_csv(write_columns({"a": range(40), "y": [f"{at} kg" for at in range(40)]}))
    assert list(data.notes) == ["the target is read as numbers with the unit 'kg'"]
    assert not load_csv(write_columns({"a": range(40)})).notes


def test_points_that_may_separate_thousands_are_told(write_columns):
    a = [f"{at}.{100 + at}" for at in range(1, 41)]
    y = [f"{at},5" for at in range(40)]
    data = load_csv(write_columns({"a": a, "y": y}, separator=";"))
    assert why(data, "a") == "numbers (1,234 and 1.234 could be either)"
    assert data.x[0, 0] == 1.101
    assert why(load_csv(write_columns({"a": a})), "a") == "numbers"
    data = load_csv(write_columns({"a": range(40), "y": a}, separator=";"))
    assert "1.234 could be either" in data.notes[0]


def test_no_numbers_are_counted_in_the_rows_to_train_on(write_columns):
    path = write_columns({"a": [at if at % 12 else "none" for at in range(120)]})
    data = load_csv(path, hold_out=0.3, seed=1)
    marked = int(data.x[:, 1].sum())
    assert 0 < marked < 10
    told = f"numbers; {marked} missing ({marked} of them no number, such as 'none'), replaced"
    assert why(data, "a").startswith(told)


def test_an_index_of_something_is_a_measurement(write_columns):
    data = load_csv(
        write_columns({"heat_index": range(30), "row_index": range(30), "index": range(30)})
    )
    assert data.feature_names == ("heat_index",)


@pytest.mark.parametrize(("texts", "kind"), [(5, "number"), (30, "words")])
def test_a_column_of_numbers_has_nine_of_ten(write_columns, texts, kind):
    cells = [*(f"no {at}" for at in range(texts)), *range(100 - texts)]
    data = load_csv(write_columns({"a": cells, "b": range(100)}))
    assert data.encoding.report()[0][1] == kind


@pytest.mark.parametrize("odd", [["None"], ["unknown", "-", "<5"]])
@pytest.mark.parametrize(
    ("form", "kind"), [("{}", "number"), ("{} kg", "number"), ("{}-06-15", "date")]
)
def test_a_few_texts_among_numbers_or_dates_are_missing_however_often(
    write_columns, odd, form, kind
):
    cells = [form.format(1950 + at) if at % 3 else odd[at // 3 % len(odd)] for at in range(100)]
    path = write_columns({"a": cells})
    data = load_csv(path)
    assert data.encoding.report()[0][1] == kind
    what = "number" if kind == "number" else "date"
    told = f"; 34 missing (34 of them no {what}, such as '{odd[0]}'), replaced by the median"
    assert told in why(data, "a")
    assert data.x[:, -1].tolist() == [float(at % 3 == 0) for at in range(100)]
    with pytest.raises(ValueError, match=rf"line 2, column 'a': '{odd[0]}' is not a {what}"):
        load_csv(path, refuse=["odd"])


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        # Few levels are a category, such as the last of 0, 1, 2, 3+.
        ([*range(15), "many", "None", "?!"] * 6, "texts, 83 % of them numbers"),
        ([*range(60), *(f"no {at}" for at in range(40))], "100 different texts, 60 % of them numb"),
        ([f"k{at}" for at in range(25)] * 4, "texts"),
    ],
)
def test_other_columns_of_texts_tell_how_many_are_numbers(write_columns, cells, told):
    data = load_csv(write_columns({"a": cells}))
    assert data.encoding.report()[0][1] in ("category", "words")
    assert why(data, "a").startswith(told)
    assert ("numb" in why(data, "a")) == ("numb" in told)


@pytest.mark.parametrize("cell", ["99:99", "25:00", "24:00", "12:60", "2024-01-05 31:05"])
def test_a_time_of_day_has_at_most_23_hours(cell):
    assert not is_date(cell)
    assert is_date("23:59:60")


def test_durations_are_hours(write_columns):
    cells = [f"{at}:{at % 60:02}" for at in range(20, 120)]
    data = load_csv(write_columns({"a": cells, "b": [f"{cell}:30" for cell in cells], "y": cells}))
    hours = [at + at % 60 / 60 for at in range(20, 120)]
    assert data.feature_names == ("a", "b")
    assert data.x[:, 0].tolist() == data.y.tolist() == pytest.approx(hours)
    assert data.x[:, 1].tolist() == pytest.approx([hour + 30 / 3600 for hour in hours])
    assert why(data, "a") == "durations, in hours"
    found = again(data.encoding).read(write_columns({"a": ["7:30", "5 kg"], "b": ["1:00", "2"]}))
    assert found.x[:, 0].tolist() == [7.5, data.encoding.columns[0].treatment.fill]
    # In a column of numbers, a duration is none.
    data = load_csv(write_columns({"a": [*range(40), "7:30"]}))
    assert data.x[-1].tolist() == [19.5, 1]


def test_times_alone_have_no_weekday(write_columns):
    zones = ["-05:00", "+02:00"]
    data = load_csv(write_columns({"a": [f"{at % 24}:30{zones[at % 2]}" for at in range(50)]}))
    assert data.feature_names == ("a (day)", "a (sine of hour)", "a (cosine of hour)")
    assert data.x[:, 0].min() >= 0
    assert data.x[:, 0].max() < 1
