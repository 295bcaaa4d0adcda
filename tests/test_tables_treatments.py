"""What the columns of a table become, and what becomes of cells that a model does not know."""

import json

import numpy as np
import pytest

from pybackprop.datasets import Encoding, load_csv


def told(data, name):
    """Return kind, number of inputs and reason of a column."""
    return {row[0]: row[1:] for row in data.encoding.report()}[name]


def again(encoding):
    """The encoding as a saved model has it."""
    return Encoding.from_json(json.loads(json.dumps(encoding.to_json())))


def test_missing_numbers_are_filled_with_the_median_and_marked(write_columns):
    data = load_csv(write_columns({"a": [1, "", 3, "NA", 10, 4, "?"]}))
    assert data.feature_names == ("a", "a=(missing)")
    assert data.x.tolist() == [[1, 0], [3.5, 1], [3, 0], [3.5, 1], [10, 0], [4, 0], [3.5, 1]]
    assert told(data, "a")[2] == "numbers; 3 missing, replaced by the median 3.5 and marked"
    shift, scale = data.scaling()
    assert (shift[1], scale[1]) == (0, 1)


def test_nothing_is_learnt_from_rows_that_are_held_out(write_columns):
    rng = np.random.default_rng(0)
    a = [f"{value:.3f}" if at % 5 else "" for at, value in enumerate(rng.uniform(size=100))]
    kind = [f"k{at % 4}" for at in range(100)]
    path = write_columns({"a": a, "kind": kind})
    data = load_csv(path, hold_out=0.2, seed=3)
    held = np.isin(np.arange(100) / 7, data.y_test)
    assert held.sum() == 20
    for at in np.flatnonzero(held):
        a[at], kind[at] = "1e6", "another"
    other = load_csv(write_columns({"a": a, "kind": kind}), hold_out=0.2, seed=3)
    assert other.encoding == data.encoding
    np.testing.assert_array_equal(other.x, data.x)
    assert (other.x_test[:, 0] == 1e6).all()
    assert (other.x_test[:, 2:6] == 0).all()


@pytest.mark.parametrize("scaling", [None, "robust"])
def test_held_out_values_and_targets_may_be_any_of_their_kind(write_columns, scaling):
    rng = np.random.default_rng(0)
    colors, animals = ["red", "green", "blue", "grey"], ["cat", "dog", "cow", "owl", "bee"]
    table = {
        "number": [f"{value:.3f}" for value in rng.normal(size=200)],
        "gap": ["" if at % 7 == 0 else at * at for at in range(200)],
        "money": [f"${1000 * (at % 31) + at}" for at in range(200)],
        "day": [f"2023-{1 + at % 12:02}-{1 + at % 28:02}" for at in range(200)],
        "color": [colors[at % 4] for at in rng.integers(99, size=200)],
        "words": [f"{animals[at % 5]} {animals[at % 3]} {at}" for at in range(200)],
        "y": [at / 7 for at in range(200)],
    }
    options = {"hold_out": 0.25, "seed": 3, "scaling": scaling}
    data = load_csv(write_columns(table), **options)
    assert [row[1] for row in data.encoding.report()] == [
        "number", "number", "number", "date", "category", "words",
    ]  # fmt: skip
    held = np.flatnonzero(np.isin(table["y"], data.y_test))
    assert len(held) == 50
    targets = [table["y"][at] for at in held]
    for at, target in zip(held, rng.permutation(targets).tolist(), strict=True):
        table["number"][at], table["gap"][at] = -1e9, at - 0.5
        table["money"][at], table["day"][at] = "$1e7", "1815-06-18 12:30"
        table["color"][at], table["words"][at] = "violet", f"unheard of {at}"
        table["y"][at] = target
    other = load_csv(write_columns(table), **options)
    assert other.encoding == data.encoding
    np.testing.assert_array_equal(other.x, data.x)
    np.testing.assert_array_equal(other.y, data.y)
    assert not np.array_equal(other.x_test, data.x_test)
    assert not np.array_equal(other.y_test, data.y_test)


def test_a_held_out_cell_can_tell_how_others_are_written(write_columns):
    table = {"day": [f"{1 + at % 12}/{1 + at % 5}/2023" for at in range(40)]}
    data = load_csv(write_columns(table), hold_out=0.25, seed=3)
    assert "the month is taken to come first" in told(data, "day")[2]
    table["day"][int(data.y_test[0] * 7 + 0.5)] = "25/3/2023"
    other = load_csv(write_columns(table), hold_out=0.25, seed=3)
    np.testing.assert_array_equal(other.y, data.y)
    assert "month is taken" not in told(other, "day")[2]
    assert not np.array_equal(other.x, data.x)


def test_what_stands_for_a_missing_cell_can_be_chosen(write_columns):
    path = write_columns({"a": [1, 2, -999, 4, 5], "b": ["x", "none", "x", "y", "NA"]})
    data = load_csv(path, missing=["-999", "None"])
    assert data.feature_names == ("a", "a=(missing)", "b=NA", "b=x", "b=y", "b=(missing)")
    assert data.x[2, :2].tolist() == [3, 1]
    x, _ = again(data.encoding).encode(path)
    np.testing.assert_array_equal(x, data.x)


def test_a_missing_level_is_a_level_of_its_own(write_columns):
    data = load_csv(write_columns({"a": ["u", "", "v", "u"]}))
    assert data.feature_names == ("a=u", "a=v", "a=(missing)")
    assert data.x.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["7"] * 30, "it is constant, 7"),
        (["u"] * 30, "it is constant, 'u'"),
        ([""] * 30, "it is empty"),
        (["2024-02-01"] * 30, "it is constant, one date"),
        ([f"q{at}z" for at in range(30)], "it identifies rows: 30 different texts in 30 rows"),
        (["inf"] * 30, "it has no finite number"),
    ],
)
def test_columns_that_tell_nothing_are_left_out_with_the_reason(write_columns, cells, why):
    path = write_columns({"a": cells, "b": range(30)})
    data = load_csv(path)
    assert data.feature_names == ("b",)
    assert told(data, "a") == ("left out", 0, why)
    # A table without the column is predicted, too.
    x, _ = again(data.encoding).encode(write_columns({"b": range(30)}, "new.csv"))
    np.testing.assert_array_equal(x, data.x)


@pytest.mark.parametrize("name", ["id", "user_id", "ID", "userId", "rownames", "idx", "case.id"])
def test_an_index_is_known_by_its_name_and_integers(write_columns, name):
    data = load_csv(write_columns({name: range(100, 130), "b": [at % 7 for at in range(30)]}))
    assert data.feature_names == ("b",)
    assert "numbers the rows" in told(data, name)[2]
    repeated = load_csv(write_columns({name: [at // 2 for at in range(30)], "b": range(30)}))
    assert repeated.feature_names == (name, "b")
    # Whatever rows are held out.
    for seed in range(20):
        path = write_columns({name: [*range(29), 0], "b": range(30)})
        assert load_csv(path, hold_out=0.2, seed=seed).feature_names == (name, "b")


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_column_without_a_name_that_starts_anew_far_down_is_no_index(write_columns, name):
    path = write_columns({name: [at % 300 for at in range(600)], "b": range(600)})
    assert load_csv(path).feature_names == (name or "x0", "b")
    path = write_columns({name: range(600), "b": range(600)})
    assert told(load_csv(path), name or "x0") == ("left out", 0, "it numbers the rows")


@pytest.mark.parametrize("cell", ["soon", "2023-02-30", "12"])
def test_cells_that_are_no_dates_are_told_or_refused(write_columns, cell):
    days = [f"2023-01-{at + 1:02d}" for at in range(28)]
    path = write_columns({"sold": [cell, *days], "b": range(29)})
    data = load_csv(path)
    why = f"dates; 1 missing (1 of them no date, such as '{cell}'), replaced by the median"
    assert told(data, "sold")[2].startswith(why)
    with pytest.raises(ValueError, match=f"line 2, column 'sold': '{cell}' is not a date$"):
        load_csv(path, refuse=["odd"])
    # Refused as a column of dates, a date is shown.
    with pytest.raises(ValueError, match="column 'sold': '2023-01-01' is a date or time"):
        load_csv(write_columns({"sold": ["soon", *days], "b": range(29)}), refuse=["date"])


@pytest.mark.parametrize("name", ["width", "fluid", "t", "paid"])
def test_a_column_that_counts_up_under_another_name_is_a_number(write_columns, name):
    assert load_csv(write_columns({name: range(30), "b": range(30)})).feature_names == (name, "b")


def test_texts_among_numbers_count_as_missing(write_columns):
    path = write_columns({"a": [*range(40), "rotary"], "b": range(41)})
    data = load_csv(path)
    assert data.feature_names == ("a", "a=(missing)", "b")
    assert data.x[40].tolist() == [19.5, 1, 40]
    assert "1 missing (1 of them no number, such as 'rotary')" in told(data, "a")[2]
    with pytest.raises(ValueError, match="line 42, column 'a': 'rotary' is not a number"):
        load_csv(path, refuse=["odd"])


def test_the_commonest_levels_of_many_are_kept(write_columns):
    cells = ["rome"] * 200 + ["oslo"] * 100 + [f"town{at}" for at in range(260)]
    data = load_csv(write_columns({"a": cells}))
    assert data.feature_names == ("a=oslo", "a=rome", "a=(other)")
    assert data.x.sum(axis=0).tolist() == [100, 200, 260]
    found = again(data.encoding).read(write_columns({"a": ["rome", "paris", ""]}, "new.csv"))
    assert found.x.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    told = "column 'a': no cell with any of the levels that are known; all count as others"
    assert told not in found.notes
    found = again(data.encoding).read(write_columns({"a": ["paris", "lyon", ""]}, "new.csv"))
    assert found.x.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert told in found.notes


def test_free_text_becomes_its_commonest_words(write_columns):
    cells = [f"{('Mr', 'Mrs', 'Miss')[at % 3]}. John{at} Smith{at}" for at in range(90)]
    data = load_csv(write_columns({"a": cells}))
    assert data.feature_names == ("a has 'miss'", "a has 'mr'", "a has 'mrs'")
    assert data.x[:3].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    found = again(data.encoding).read(
        write_columns({"a": ["MISS x", "the Mr and Mrs", ""]}, "n.csv")
    )
    assert found.x.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert not found.notes
    found = again(data.encoding).read(write_columns({"a": ["Dr. x", "the one", ""]}, "n.csv"))
    assert found.notes == ["column 'a': no cell has any of the words that are known"]


def test_dates_become_day_time_of_the_year_and_weekday(write_columns):
    path = write_columns({"a": ["2024-01-01", "2024-07-01", "", "2024-12-30", "2024-01-06"]})
    data = load_csv(path)
    weekdays = tuple(f"a={day}" for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
    waves = ("a (sine of month)", "a (cosine of month)")
    assert data.feature_names == ("a (day)", *waves, *weekdays, "a=(missing)")
    days = data.x[:, 0].tolist()
    assert days[0] == 19723
    assert days[2] == np.median([days[0], days[1], days[3], days[4]])
    np.testing.assert_allclose(data.x[0, 1:3], [0, 1], atol=1e-15)
    np.testing.assert_allclose(data.x[1, 1:3], [0, -1], atol=0.02)
    assert data.x[:, 3:].tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 0, 0],
    ]
    _, scale = data.scaling()
    assert scale[0] != 1
    assert (scale[1:] == 1).all()
    x, _ = again(data.encoding).encode(path)
    np.testing.assert_array_equal(x, data.x)


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["2024-01-01", "2024-02-01", "2023-05-01"], ["day", "sine of month", "cosine of month"]),
        (["2022-01-01", "2023-01-01", "2024-01-01"], ["day"]),
        (["07:30", "18:45", "12:00"], ["day", "sine of hour", "cosine of hour"]),
    ],
)
def test_parts_of_dates_that_do_not_vary_are_left_out(write_columns, cells, names):
    data = load_csv(write_columns({"a": cells * 10}))
    assert data.feature_names == tuple(f"a ({name})" for name in names)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["3/4/2023", "25/12/2023"], "2023-04-03"),
        (["3/4/2023", "12/25/2023"], "2023-03-04"),
        (["3/4/2023", "5/6/2023"], "2023-03-04"),
        (["3.4.2023", "5.6.2023"], "2023-04-03"),
    ],
)
def test_the_order_of_day_and_month_is_told_by_the_column(write_columns, cells, first):
    data = load_csv(write_columns({"a": cells * 10}))
    assert data.x[0, 0] == np.datetime64(first).astype("datetime64[D]").astype(int)


@pytest.mark.parametrize(
    ("cells", "separator", "values"),
    [
        (["1,234", "2,345"], ";", [1.234, 2.345]),
        (["1,234", "2,5"], ";", [1.234, 2.5]),
        (["1,234,567", "2,345"], "\t", [1234567, 2345]),
        (["1,234", "2,345.5"], "\t", [1234, 2345.5]),
        (["1,234", "2,345"], "\t", [1234, 2345]),
        (["1.234,5", "2.345"], "\t", [1234.5, 2345]),
        (["0,125", "2,345"], "\t", [0.125, 2.345]),
    ],
)
def test_what_a_comma_means_is_told_by_the_column(write_columns, cells, separator, values):
    path = write_columns({"a": cells * 15, "b": range(30)}, separator=separator)
    data = load_csv(path)
    assert data.x[:2, 0].tolist() == values
    x, _ = again(data.encoding).encode(path)
    np.testing.assert_array_equal(x, data.x)


def test_booleans_are_categories(write_columns):
    data = load_csv(write_columns({"a": ["true", "false"] * 10, "b": ["yes", "no"] * 10}))
    assert data.feature_names == ("a=false", "a=true", "b=no", "b=yes")


def test_all_faults_are_told_in_one_message(write_columns):
    path = write_columns(
        {
            "a": ["1", "", "3"] * 10,
            "day": ["2024-01-01", "2024-01-02", "2024-01-03"] * 10,
            "price": ["$1", "$2", "$3"] * 10,
        }
    )
    with pytest.raises(ValueError, match=r": 3 faults: \(1\) line 2, column 'day'.*date") as caught:
        load_csv(path, refuse=["missing", "date", "notation"])
    message = str(caught.value)
    assert "(2) line 2, column 'price': '$1' is an amount of money" in message
    assert "(3) line 3, column 'a': missing value; of 30 rows miss one: 10 in 'a'" in message
    with pytest.raises(ValueError, match=r"2 faults: .*'never'.*no such column.*'nope'"):
        load_csv(path, ignore=["nope"], categorical=["never"])
    ragged = path.with_name("ragged.csv")
    ragged.write_text("a,b\n" + "1,2\n" * 50 + "1\n1,2,3\n1\n")
    with pytest.raises(ValueError, match=r"line 52, column 'b': .* 1 of 2; 3 rows have another"):
        load_csv(ragged)


def test_refuse_takes_known_words(write_columns):
    with pytest.raises(ValueError, match="refuse must be of missing, date, notation, odd, many"):
        load_csv(write_columns({"a": [1, 2]}), refuse=["dates"])


def test_a_text_is_a_sequence_of_one(write_columns):
    path = write_columns({"abc": [1, 2, -999, 4, 9] * 4, "m": [0, 9] * 10, "b": [""] + ["x"] * 19})
    assert load_csv(path, missing="-999", ignore="m").x[2].tolist() == [3, 1, 1, 0]
    assert load_csv(path, ignore="abc").feature_names == ("m", "b=x", "b=(missing)")
    assert load_csv(path, categorical="m").feature_names[1:3] == ("m=0", "m=9")
    with pytest.raises(ValueError, match="missing value; of 20 rows"):
        load_csv(path, refuse="missing")
    # Anything that can be gone through is a sequence.
    with pytest.raises(ValueError, match="missing value; of 20 rows"):
        load_csv(path, refuse=(each for each in ["missing"]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"missing": -999}, TypeError, "missing must be a sequence of texts, got -999"),
        ({"missing": [-999]}, TypeError, "missing must be .* texts, but one of them is -999"),
        ({"ignore": [0]}, TypeError, "ignore must be .* texts, but one of them is 0"),
        ({"categorical": 0}, TypeError, "categorical must be a sequence of texts, got 0"),
        ({"refuse": "missin"}, ValueError, "refuse must be of missing, .* but is 'missin'"),
        ({"hold_out": 2}, ValueError, r"hold_out must be a number between .* got 2"),
        ({"hold_out": 0}, ValueError, "hold_out must be a number between .* got 0"),
        ({"hold_out": True}, TypeError, "hold_out must be a number between .* got True"),
        ({"hold_out": "0.2"}, TypeError, "hold_out must be a number between .* got '0.2'"),
        ({"hold_out": [0.5, 2]}, TypeError, r"hold_out must be .* got \[0.5, 2\]"),
        ({"hold_out": [2, 2]}, ValueError, r"hold_out must be .* got \[2, 2\]"),
        ({"hold_out": (1, 2, 3)}, TypeError, r"hold_out must be .* got \(1, 2, 3\)"),
        ({"target": True}, TypeError, "target must be the name or the position .* got True"),
        ({"target": 1.0}, TypeError, "target must be the name or the position .* got 1.0"),
        ({"target": ["a"]}, TypeError, r"target must be the name or the position .* got \['a'\]"),
    ],
)
def test_arguments_of_another_kind_are_named(write_columns, arguments, error, message):
    with pytest.raises(error, match=message):
        load_csv(write_columns({"a": range(20)}), **arguments)


def test_a_part_and_a_target_may_come_from_numpy(write_columns):
    path = write_columns({"a": range(20), "b": [at % 7 for at in range(20)]})
    assert load_csv(path, np.int64(0)).encoding.target == "a"
    assert load_csv(path, np.int64(-1)).encoding.target == "y"
    assert len(load_csv(path, hold_out=[0, 5]).x_test) == 4
    assert len(load_csv(path, hold_out=np.float32(0.25)).x_test) == 5
    assert len(load_csv(path).split([1, np.int64(4)]).x_test) == 5


def test_every_row_is_predicted_and_the_notes_say_how(write_columns):
    rows = 40
    data = load_csv(
        write_columns(
            {
                "size": [at + 0.5 for at in range(rows)],
                "kind": ["u", "v"] * (rows // 2),
                "day": [f"2024-01-{at % 28 + 1:02}" for at in range(rows)],
                "unused": ["x"] * rows,
            }
        )
    )
    new = write_columns(
        {
            "extra": ["?", "!"] * 2,
            "day": ["2024-01-05", "", "soon", "2024-01-07"],
            "kind": ["w", "u", "", "v"],
            "size": ["", "2.5", "huge", "inf"],
        },
        "new.csv",
    )
    found = again(data.encoding).read(new)
    assert np.isfinite(found.x).all()
    assert found.x[:, 0].tolist() == [20, 2.5, 20, 20]
    assert found.x[:, 1:3].tolist() == [[0, 0], [1, 0], [0, 0], [0, 1]]
    notes = "\n".join(found.notes)
    assert "columns that the model does not know are ignored: 'extra'" in notes
    assert "'size': 2 cells with no finite number, such as 'huge', were replaced by 20" in notes
    assert "'size': 1 missing cell was replaced by 20" in notes
    assert "'kind': 1 cell with a level that is not known, such as 'w', counts as none" in notes
    assert "'kind': 1 missing cell counts as none of the levels" in notes
    assert "'day': 1 cell with no date was replaced by the median day" in notes
    kept = again(data.encoding).read(new, keep="extra")
    assert kept.kept == ["?", "!", "?", "!"]
    with pytest.raises(ValueError, match="'nothing': there is no such column to keep"):
        again(data.encoding).read(new, keep="nothing")


OLD = {
    "features": [{"name": "age", "levels": None}, {"name": "colour", "levels": ["blue", "red"]}],
    "target": "sex",
    "classes": ["f", "m"],
    "names": ["age", "colour", "sex"],
    "header": True,
}


def test_encodings_of_earlier_versions_read_as_before(write_columns):
    encoding = Encoding.from_json(OLD)
    x, y = encoding.encode(
        write_columns({"age": [3, 4], "colour": ["red", "blue"], "sex": ["m", "f"]})
    )
    assert x.tolist() == [[3, 0, 1], [4, 1, 0]]
    assert y.tolist() == [1, 0]
    assert encoding.feature_names == ("age", "colour=blue", "colour=red")
    found = encoding.read(write_columns({"age": [3], "colour": ["green"], "sex": ["m"]}))
    assert found.x.tolist() == [[3, 0, 0]]
    # No median is known to take the place of a missing number.
    with pytest.raises(ValueError, match=r"line 3, column 'age': missing value; the model was sav"):
        encoding.encode(
            write_columns({"age": [3, "", ""], "colour": ["red"] * 3, "sex": ["m"] * 3})
        )
    assert again(encoding).to_json() == encoding.to_json()


def test_parts_held_out_in_turn_cover_all_rows_once(write_columns):
    kinds = [f"c{at % 3 if at < 90 else 3}" for at in range(97)]
    path = write_columns({"a": range(97), "y": kinds})
    parts = [load_csv(path, hold_out=(fold, 5)) for fold in range(5)]
    held = [set(data.x_test[:, 0].tolist()) for data in parts]
    assert sum(map(len, held)) == 97
    assert set.union(*held) == set(range(97))
    assert {len(each) for each in held} <= {19, 20}
    for data in parts:
        assert np.ptp(np.bincount(data.y_test)[:3]) <= 1
    with pytest.raises(ValueError, match=r"hold_out must be a number .*, or \(k, K\)"):
        load_csv(path, hold_out=(5, 5))


@pytest.mark.parametrize(
    ("levels", "cells", "codes"),
    [
        (["1", "2"], ["1.0", "02", "3"], [0, 1, None]),
        (["01234", "1234"], ["1234", "01234"], [1, 0]),
        (["False", "True"], ["true", "FALSE", "1"], [1, 0, None]),
        (["1", "x"], ["1.0", "X"], [None, None]),
    ],
)
def test_integers_and_truth_values_are_known_in_another_spelling(
    write_columns, levels, cells, codes
):
    data = load_csv(write_columns({"a": levels * 20}), categorical=["a"])
    assert data.feature_names == tuple(f"a={level}" for level in levels)
    x = data.encoding.encode(write_columns({"a": cells}))[0]
    assert x.tolist() == [[float(at == code) for at in range(2)] for code in codes]
