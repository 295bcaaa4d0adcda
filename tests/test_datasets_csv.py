"""CSV files: what is read, what is refused and where the message points, and the Encoding."""

import gzip
import json
import re

import numpy as np
import pytest

from pybackprop.datasets import Encoding, load_csv

STRICT = ("missing", "date", "notation", "odd", "many")
MIXED = """\
age, colour ,height,sex
31,red,1.5,f
42,"blue, dark",1.75,m
17, red,1.6,m
25,green,1.9,f
"""


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_numbers_and_categories_with_a_header(write):
    data = load_csv(write(MIXED))
    names = ("age", "colour=blue, dark", "colour=green", "colour=red", "height")
    assert data.feature_names == names
    assert data.x.tolist() == [
        [31, 0, 0, 1, 1.5],
        [42, 1, 0, 0, 1.75],
        [17, 0, 0, 1, 1.6],
        [25, 0, 1, 0, 1.9],
    ]
    assert data.class_names == ("f", "m")
    assert data.y.tolist() == [0, 1, 1, 0]
    assert data.target_names == ("sex",)
    assert data.encoding.names == ("age", "colour", "height", "sex")


def test_categories_are_not_scaled(write):
    shift, scale = load_csv(write(MIXED)).scaling()
    assert shift[1:4].tolist() == [0, 0, 0]
    assert scale[1:4].tolist() == [1, 1, 1]
    assert shift[0] == pytest.approx(28.75)
    assert scale[4] == pytest.approx(1 / np.std([1.5, 1.75, 1.6, 1.9]))


@pytest.mark.parametrize("target", ["height", 2, -2])
def test_target_by_name_and_position(write, target):
    data = load_csv(write(MIXED), target, task="regression")
    assert data.task == "regression"
    assert data.class_names is None
    assert data.y.tolist() == [1.5, 1.75, 1.6, 1.9]
    assert data.feature_names[-2:] == ("sex=f", "sex=m")


@pytest.mark.parametrize(
    "content",
    [
        "1;2;a\n3;4;b\n",
        "1\t2\ta\n3\t4\tb\n",
        "\n\n1,2,a\n\n3,4,b",
        b"\xef\xbb\xbf1,2,a\r\n3,4,b\r\n",
        gzip.compress(b"1,2,a\n3,4,b\n"),
    ],
)
def test_separators_blank_lines_endings_and_gzip(write, content):
    data = load_csv(write(content))
    assert data.x.tolist() == [[1, 2], [3, 4]]
    assert data.feature_names == ("x0", "x1")
    assert data.class_names == ("a", "b")
    assert not data.encoding.header


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("a,b\n1,2\n3,4\n", True),
        ("1,2\n3,4\n", False),
        ("u,w\nx,z\nx,z\nu,w\n", False),
        ("odour,class\nx,z\nw,y\n", True),
        ("5.1,setosa\n4.9,virginica\n", False),
        ("weight,species\n5.1,setosa\n4.9,virginica\n", True),
        ("city,2019,2020,y\nrome,1.5,2,0\noslo,2.5,3,1\n", True),
        ("2019,2020,size,y\n1.5,2,3,a\n2.5,3,4,b\n", True),
    ],
)
def test_header_is_recognised(write, content, header):
    assert load_csv(write(content), task="classification").encoding.header is header


@pytest.mark.parametrize("cell", ["?", "2019-01-02", "12%"])
def test_a_number_missing_or_in_another_notation_is_no_name(write, cell):
    with pytest.raises(ValueError, match=r"line 1, column 'x1'.*first row was read as data"):
        load_csv(
            write(f"1.5,{cell},a\n2.5,{'2019-01-03' if '-' in cell else 3},b\n"), refuse=STRICT
        )


def test_a_first_row_read_as_data_for_a_number_is_said(write):
    rows = "".join(f"name{at},{at},{at % 2}\n" for at in range(40))
    path = write(f"city,2019,7\n{rows}")
    with pytest.raises(ValueError, match=r"line 1, .*'2019' is a number; if it holds") as caught:
        load_csv(path, refuse=STRICT)
    assert "are no category" in str(caught.value)
    with pytest.raises(ValueError, match=r"'city': there is no such column.*'2019' is a number"):
        load_csv(path, "city")
    with pytest.raises(ValueError, match="are no category") as caught:
        load_csv(path, header=False, refuse=STRICT)
    assert "the first row was read" not in str(caught.value)
    with pytest.raises(ValueError, match="there is no such column") as caught:
        load_csv(write("1,2\n3,4\n"), "y")
    assert "the first row was read" not in str(caught.value)


def test_header_can_be_stated(write):
    data = load_csv(write("label,0,1\n7,1.5,2\n8,2.5,3\n"), "label", header=True)
    assert data.feature_names == ("0", "1")
    assert data.class_names == ("7", "8")


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (["01", "1", "0.0"] * 3, ("0", "1")),
        (["1", "2", "3"] * 5, ("1", "2", "3")),
        (["1", "2", "3"] * 4, None),
        (["10", "9.0", "2"] * 5, ("2", "9", "10")),
        (["0.5", "1", "2"] * 5, None),
        ([str(i) for i in range(20)] * 5, tuple(str(i) for i in range(20))),
        ([str(i) for i in range(21)] * 5, None),
    ],
)
def test_task_follows_the_stated_rule(write, targets, classes):
    rows = "".join(f"{i},{target}\n" for i, target in enumerate(targets))
    data = load_csv(write(rows))
    assert data.class_names == classes
    values = data.y if classes is None else [float(classes[index]) for index in data.y]
    assert list(values) == [float(target) for target in targets]
    assert data.task == ("regression" if classes is None else "classification")


def test_task_can_be_stated(write):
    path = write("1,0\n2,1\n3,0\n")
    assert load_csv(path, task="regression").y.tolist() == [0, 1, 0]
    assert load_csv(write("1,0.5\n2,1\n3,0.5\n"), task="classification").y.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="task"):
        load_csv(path, task="guess")


def test_columns_can_be_ignored_and_declared_categories(write):
    path = write("id,zip,y\nk1,100,1.5\nk2,200,2.5\nk3,100,3.5\n")
    data = load_csv(path, categorical=["zip"], ignore=["id"])
    assert data.feature_names == ("zip=100", "zip=200")
    assert data.x.tolist() == [[1, 0], [0, 1], [1, 0]]
    x, y = data.encoding.encode(path)
    assert x.tolist() == data.x.tolist()
    assert y.tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("content", "line", "column", "what"),
    [
        ("a,b,y\n1,2,3\n4,,6\n", 3, "b", "missing value"),
        ("a,b,y\n1,2,3\n4,NA,6\n", 3, "b", "missing value"),
        ("a,b,y\n1,2,3\n4,nan,6\n", 3, "b", "missing value"),
        ("a,b,y\n1,2,3\n4,?,6\n", 3, "b", "missing value"),
        ("a,b,y\n1,r,3\n4,?,6\n", 3, "b", "missing value"),
        ("a,b,y\n1,2,3\n4,5\n", 3, "y", "2 of 3"),
        ("a,b,y\n1,2,3\n4,5,6,7\n", 3, "y", "4 values"),
        ("1,2,3\n4,5,6\n\n" * 6 + "7,x8,9\n", 19, "x1", "'x8' is not a number"),
        ("a,b,y\n1,2,3\n4,1e999,6\n", 3, "b", "not finite"),
        ("a,b,y\n1,2,3.5\n4,5,inf\n", 3, "y", "not a finite number"),
        ("a,b,y\n1,2,3\n4,5,6\n4,5,z\n", 4, "y", "'z' is not a number"),
        ("a,b,a\n1,2,3\n", 1, "a", "twice"),
        ("a,b,y\n1,2,k\n3,4,k\n", 2, "y", "one class"),
        ('a,b,y\n"x\ny",2,3\n"x\nz",2,3\n"x\ny",,3\n', 7, "b", "missing value"),
    ],
)
def test_malformed_tables_name_file_line_and_column(write, content, line, column, what):
    path = write(content)
    with pytest.raises(ValueError, match=what) as caught:
        load_csv(path, refuse=STRICT)
    assert str(caught.value).startswith(f"{path}: line {line}, column {column!r}: ")


@pytest.mark.parametrize(
    ("bad", "column", "what"),
    [
        ("1,a,oops", "x2", "'oops'"),
        ("x,a,1", "x0", "'x'"),
        ("nan,a,1", "x0", "missing"),
        ("1,a", "x2", "2 of 3"),
    ],
)
def test_malformed_rows_far_down_are_found(write, bad, column, what):
    rows = [f"{at},{'ab'[at % 2]},3.5" for at in range(4999)] + ["1,a,3"]
    rows[4321] = bad
    with pytest.raises(ValueError, match=f"line 4322, column '{column}': .*{what}"):
        load_csv(write("\n".join(rows)), refuse=STRICT)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b'"\n"', "empty"),
        (b"1\n2\n", "besides the target"),
        (b"1,2\n3\0,4\n", "line 2: not a text table"),
        (b'1,2\n"3,4\n', "line 2: unexpected end"),
        (gzip.compress(b"1,2\n3,4\n" * 9999)[:-9], "damaged gzip data"),
        (gzip.compress(b"1,2\n3,4\n" * 9)[:10] + b"junk", "damaged gzip data"),
    ],
)
def test_files_that_are_no_tables_are_refused(write, content, what):
    path = write(content)
    with pytest.raises(ValueError, match=what) as caught:
        load_csv(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_header_without_rows_is_refused(write):
    with pytest.raises(ValueError, match="line 1: no rows"):
        load_csv(write("a,b\n"), header=True)


def test_one_endless_compressed_line_is_not_read_whole(write):
    path = write(gzip.compress(b"1" * (5 << 20)), "bomb.csv.gz")
    with pytest.raises(ValueError, match="not a text table"):
        load_csv(path)
    path = write(gzip.compress(b"1\n" * (1 << 19)) * 300, "bomb.csv.gz")
    with pytest.raises(ValueError, match="unpacks to more than 256000000 bytes and 100 times"):
        load_csv(path)


def test_columns_of_names_are_no_categories(write):
    path = write("".join(f"name{i},{i % 2}\n" for i in range(300)))
    with pytest.raises(ValueError, match="line 1, column 'x0': 300 different texts in 300 rows"):
        load_csv(path, refuse=["many"])
    with pytest.raises(ValueError, match=r"no column is left .*'x0': it identifies rows"):
        load_csv(path)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "nope"},
        {"target": 9},
        {"target": -5},
        {"ignore": ["nope"]},
        {"categorical": ["nope"]},
    ],
)
def test_unknown_columns_are_named(write, options):
    path = write(MIXED)
    with pytest.raises(ValueError, match=r"no such column.*'age', 'colour', 'height', 'sex'") as e:
        load_csv(path, **options)
    assert str(e.value).startswith(f"{path}: line 1, column ")


@pytest.fixture
def encoding(write):
    made = load_csv(write(MIXED)).encoding
    return Encoding.from_json(json.loads(json.dumps(made.to_json())))


def test_encoding_survives_json_and_reads_the_same(write, encoding):
    data = load_csv(write(MIXED))
    assert encoding == data.encoding
    x, y = encoding.encode(write(MIXED))
    np.testing.assert_array_equal(x, data.x)
    np.testing.assert_array_equal(y, data.y)
    assert y.dtype == np.int64


@pytest.mark.parametrize(
    ("content", "y"),
    [
        ("sex,height,colour,age\nm,1.5,red,31\n", [1]),
        ("height,colour,age\n1.5,red,31\n", None),
        ("31,red,1.5\n", None),
        ("31,red,1.5,f\n", [0]),
        ("31,red,1.5,\n", None),
        ("age,colour,height,sex\n31,red,1.5,?\n", None),
    ],
)
def test_encoding_reads_other_orders_and_files_without_target(write, encoding, content, y):
    x, found = encoding.encode(write(content, "new.csv"))
    assert x.tolist() == [[31, 0, 0, 1, 1.5]]
    assert (found if found is None else found.tolist()) == y


@pytest.mark.parametrize(
    ("content", "line", "column", "what"),
    [
        ("years,hue,size\n31,red,1.5\n", 1, "age", "missing.*'colour'.*missing.*'height'"),
        ("age,height\n31,1.5\n", 1, "colour", "missing"),
        ("age,age,colour,height\n31,31,red,1.5\n", 1, "age", "twice"),
        ("31,red\n", 1, "height", "2 of 4"),
        ("31,red,1.5,f,9\n", 1, "sex", "5 values"),
        ("31,red,1.5,f\n31,red,1.5,x\n", 2, "sex", "none of the classes 'f', 'm'"),
    ],
)
def test_encoding_refuses_other_tables(write, encoding, content, line, column, what):
    path = write(content, "new.csv")
    with pytest.raises(ValueError, match=what) as caught:
        encoding.encode(path)
    assert re.match(
        re.escape(str(path)) + rf": (3 faults: \(1\) )?line {line}, column '{column}': ",
        str(caught.value),
    )


def test_encoding_of_a_header_alone_is_refused(write, encoding):
    with pytest.raises(ValueError, match="no rows"):
        encoding.encode(write("age,colour,height\n", "new.csv"))


NUMBER = {
    "name": "age", "why": "", "kind": "number", "fill": 1.0, "indicator": False, "decimal": "."
}  # fmt: skip
CATEGORY = {
    "name": "age", "why": "", "kind": "category", "levels": ["a"], "missing": False, "other": False
}  # fmt: skip
DATE = {
    "name": "age", "why": "", "kind": "date", "parts": ["day"], "fill": 0.0, "indicator": False,
    "day_first": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"columns": []},
        {"columns": 3},
        {"columns": [{"name": "age"}]},
        {"columns": [{**NUMBER, "name": 1}]},
        {"columns": [{**NUMBER, "why": None}]},
        {"columns": [{**NUMBER, "kind": "colour"}]},
        {"columns": [{**NUMBER, "kind": ["number"]}]},
        {"columns": [{**NUMBER, "fill": "1"}]},
        {"columns": [{**NUMBER, "fill": 1e999}]},
        {"columns": [{**NUMBER, "indicator": 1}]},
        {"columns": [{**NUMBER, "decimal": ";"}]},
        {"columns": [{**NUMBER, "name": "new"}]},
        {"columns": [{**NUMBER, "name": "sex"}]},
        {"columns": [NUMBER, NUMBER]},
        {"columns": [{**CATEGORY, "levels": [1]}]},
        {"columns": [{**CATEGORY, "levels": ["a", "a"]}]},
        {"columns": [{**DATE, "parts": ["day", "year"]}]},
        {"columns": [{**DATE, "fill": None}]},
        {"columns": [{"name": "age", "kind": "words", "why": "", "words": []}]},
        {"columns": [{"name": "age", "kind": "left out", "why": ""}]},
        {"missing": "NA"},
        {"decimal": 1},
        {"version": 3},
        {"classes": []},
        {"classes": "fm"},
        {"names": None},
        {"header": 1},
        {"target": None},
        {"extra": 1},
    ],
)
def test_encoding_refuses_other_json(encoding, change):
    for kind in (NUMBER, CATEGORY, DATE):
        assert Encoding.from_json({**encoding.to_json(), "columns": [kind]}).features
    with pytest.raises(ValueError, match="must"):
        Encoding.from_json({**encoding.to_json(), **change})
    with pytest.raises(ValueError, match="must"):
        Encoding.from_json([1])


def test_one_hot_tables_may_be_compressed_far(write):
    row = ",".join("0" * 100)
    text = "".join(f"{row[: 2 * at]}1{row[2 * at + 1 :]}\n" for at in range(100)) * 450
    packed = gzip.compress(text.encode())
    assert len(text) > max(8 << 20, 100 * len(packed))
    data = load_csv(write(packed, "one-hot.csv.gz"))
    assert data.x.shape == (45_000, 99)
    np.testing.assert_array_equal(data.x[:99], np.eye(99))


def test_tables_may_be_appended_to_line_by_line(write):
    lines = [f"{at},{at % 2}\n".encode() for at in range(3000)]
    padding = b"\0" * 300
    members = [gzip.compress(line) + padding * (at % 500 == 0) for at, line in enumerate(lines)]
    data = load_csv(write(b"".join(members), "appended.csv.gz"))
    np.testing.assert_array_equal(data.x[:, 0], np.arange(3000))
