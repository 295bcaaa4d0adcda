"""Tables from files in any encoding, through other packages, and from frames in memory."""

import bz2
import functools
import gzip
import json
import lzma
import re
import sys

import numpy as np
import pytest

from pybackprop import datasets
from pybackprop.datasets import Encoding, from_frame, load, load_csv
from pybackprop.tables import _engines, _source

TEXT = "größe,ort,y\n1.5,Köln,2.5\n,Zürich,3.5\n2.5,Köln,4\n3,Bern,5.5\n"


def same(one, other):
    """Check that two data sets hold the same to the bit."""
    assert one.encoding == other.encoding
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"]
)
def test_text_in_other_encodings(tmp_path, encoding):
    path, other = tmp_path / "utf8.csv", tmp_path / "other.csv"
    path.write_text(TEXT, encoding="utf-8")
    other.write_text(TEXT, encoding=encoding)
    data = load_csv(other)
    same(load_csv(path), data)
    named = {"latin-1": "Windows-1252", "cp1252": "Windows-1252", "utf-8-sig": None}
    name = named.get(encoding, "UTF-16")
    assert bool(data.notes) == (name is not None)
    assert name is None or name in data.notes[0]


def test_a_character_that_is_not_utf8_far_down(tmp_path):
    path = tmp_path / "t.csv"
    rows = "".join(f"{at},{'uv'[at % 2]},{at / 7}\n" for at in range(20_000))
    path.write_bytes(f"a,b,y\n{rows}".encode() + b"1,\xfc,2.5\n")
    data = load_csv(path)
    assert data.feature_names == ("a", "b=u", "b=v", "b=ü")
    assert data.n_examples == 20_001


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(tmp_path, pack):
    path, packed = tmp_path / "t.csv", tmp_path / f"t.csv.{pack.__module__}"
    path.write_text(TEXT, encoding="utf-8")
    packed.write_bytes(pack(TEXT.encode()))
    same(load_csv(path), load_csv(packed))
    damaged = tmp_path / "damaged.csv.bz2"
    damaged.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"damaged\.csv\.bz2: damaged (compressed|gzip) data"):
        load_csv(damaged)


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_what_unpacks_too_far_is_refused(tmp_path, monkeypatch, pack):
    less = functools.partial(_source.unpacks_too_far, free=1 << 20)
    monkeypatch.setattr(_source, "unpacks_too_far", less)
    path = tmp_path / "bomb.csv.xz"
    path.write_bytes(pack(b"1,2\n" * (1 << 19)))
    with pytest.raises(ValueError, match="unpacks to more than 256000000 bytes and 100 times"):
        load_csv(path)


@pytest.mark.parametrize(
    "text",
    [
        "a|b|y\n1|u|2.5\n3|v|4\n5|u|6\n",
        "a b y\n1  u 2.5\n3 v   4\n 5 u 6\n",
        'a b y\n1 "u" 2.5\n3 "v" 4\n5 "u" 6\n',
    ],
)
def test_bars_and_blanks_separate(tmp_path, text):
    path = tmp_path / "t.txt"
    path.write_text(text)
    data = load_csv(path)
    assert data.feature_names == ("a", "b=u", "b=v")
    assert data.x.tolist() == [[1, 1, 0], [3, 0, 1], [5, 1, 0]]
    assert data.y.tolist() == [2.5, 4, 6]


def test_a_quote_in_a_later_piece_changes_nothing(tmp_path):
    path, quoted = tmp_path / "t.csv", tmp_path / "q.csv"
    rows = [f"{at},k{at % 5},{at / 7}" for at in range(5000)]
    path.write_text("\n".join(["a,b,y", *rows]))
    rows[4000] = f'4000,"k0",{4000 / 7}'
    quoted.write_text("\n".join(["a,b,y", *rows[:2000], "", *rows[2000:]]))
    same(load_csv(path), load_csv(quoted))
    with open(quoted, "a") as file:
        file.write('\n"x\ny",k1\n')
    with pytest.raises(ValueError, match=r"line 5004, column 'y': no value here, the row has 2 of"):
        load_csv(quoted)


def test_numbers_then_texts_far_down_are_read_as_texts(tmp_path):
    path = tmp_path / "t.csv"
    cells = [*(f"{at % 9:02}" for at in range(3000)), "none", *["x"] * 2000]
    path.write_text("a,y\n" + "".join(f"{cell},{at}\n" for at, cell in enumerate(cells)))
    names = load_csv(path).feature_names
    assert names == (*(f"a=0{digit}" for digit in range(9)), "a=none", "a=x")


def test_progress_tells_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1,2.5\n3,4\n" * 20_000)
    found = []
    load_csv(path, progress=found.append)
    assert found == sorted(found)
    assert found[-1] == 40_000
    assert len(found) > 3


def big_table(rows=3000):
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.standard_normal(rows - 3), [1e-310, 123456789012345678e3, 0.1]])
    cells = [repr(float(value)) for value in numbers]
    cells[5], cells[7] = "", "NA"
    return [
        f"{cells[at]},{at},{('u', ' v', 'w ', '?')[at % 4]},2024-01-{at % 28 + 1:02},{at / 7!r}"
        for at in range(rows)
    ]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("engine", ["polars", "pyarrow", "pandas"])
def test_large_files_are_read_alike_by_every_package(tmp_path, monkeypatch, engine, ends):
    pytest.importorskip(engine)
    path = tmp_path / "t.csv"
    path.write_text(ends.join(["a,b,c,d,y", *big_table()]) + ends, newline="")
    own = load_csv(path)
    monkeypatch.setattr(_engines, "LEAST_BYTES", 1)
    monkeypatch.setattr(_engines, "find_spec", lambda name: name == engine or None)
    calls = []
    read = _engines._ENGINES[engine]
    monkeypatch.setitem(_engines._ENGINES, engine, lambda r: calls.append(read(r)) or calls[-1])
    same(own, load_csv(path))
    assert len(calls) == 1
    assert own.encoding.feature_names[:3] == ("a", "a=(missing)", "b")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [*rows, '1,2,"u",2024-01-01,3'],
        lambda rows: [*rows[:9], "", *rows[9:]],
        lambda rows: [*rows, "1,2,u,2024-01-01"],
        lambda rows: [*rows, "1,2,u,2024-01-01,3,4", "1,2,u,2024-01-01"],
        lambda rows: [*rows, "x,2,u,2024-01-01,3"],
    ],
)
def test_files_that_readers_see_differently_are_read_by_the_own_one(tmp_path, monkeypatch, change):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,c,d,y", *change(big_table())]) + "\n")

    def outcome():
        try:
            data = load_csv(path)
        except ValueError as error:
            return str(error)
        return data.encoding, data.x.tolist(), data.y.tolist()

    own = outcome()
    monkeypatch.setattr(_engines, "LEAST_BYTES", 1)
    assert outcome() == own


COLUMNS = {
    "size": [1.5, None, 2.5, 4.0] * 6,
    "count": [1, 2, 3, None] * 6,
    "flag": [True, False, None, True] * 6,
    "kind": ["u", "v", None, "u"] * 6,
    "y": [at / 7 for at in range(24)],
}


def frame_of(library, columns):
    package = pytest.importorskip(library)
    if library == "pyarrow":
        return package.table(columns)
    if library == "polars":
        return package.DataFrame(columns)
    types = {"count": "Int64", "flag": "boolean", "kind": "category"}
    return package.DataFrame(columns).astype(types)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_frame_is_read_as_its_csv_file(tmp_path, library):
    frame = frame_of(library, COLUMNS)
    path = tmp_path / "t.csv"
    lines = [",".join(COLUMNS)]
    for row in zip(*COLUMNS.values(), strict=True):
        lines.append(",".join("" if cell is None else str(cell) for cell in row))
    path.write_text("\n".join(lines))
    data = from_frame(frame)
    same(load_csv(path), data)
    assert data.feature_names[:3] == ("size", "size=(missing)", "count")
    encoding = Encoding.from_json(json.loads(json.dumps(data.encoding.to_json())))
    x, y = encoding.encode(frame)
    np.testing.assert_array_equal(x, data.x)
    np.testing.assert_array_equal(y, data.y)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_dates_and_large_integers_of_frames(library):
    package = pytest.importorskip(library)
    stamps = np.datetime64("2024-01-01") + np.arange(30)
    days = [stamp.item() for stamp in stamps]
    days[3] = None
    columns = {"day": days, "key": [2**60 + 2 * at + 1 for at in range(30)], "y": range(30)}
    columns = {name: list(values) for name, values in columns.items()}
    make = package.table if library == "pyarrow" else package.DataFrame
    data = from_frame(make(columns))
    assert data.encoding.columns[0].treatment.kind == "date"
    assert data.x[1, 0] - data.x[0, 0] == 1
    assert data.x[0, 0] == 19723
    assert data.encoding.columns[1].treatment.kind == "left out"


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_files_of_other_packages(tmp_path, suffix):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(COLUMNS)
    path = tmp_path / f"t.{suffix}"
    getattr(frame, f"to_{suffix}")(path)
    data = load(path)
    same(from_frame(frame), data)
    x, _ = data.encoding.encode(path)
    np.testing.assert_array_equal(x, data.x)
    path.write_bytes(b"no such file")
    with pytest.raises(ValueError, match=re.escape(f"{path}: cannot be read by ")):
        load(path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("pybackprop.tables._frames.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"a file \.parquet needs pyarrow: pip install"):
        load(path)


def test_suffixes_of_tables():
    for name in ("a.csv", "a.CSV", "a.tsv.gz", "a.txt.bz2", "a.data.xz", "a.parquet", "a.xlsx"):
        assert datasets.is_table(name), name
    for name in ("a.npz", "a.npy", "a.gz", "iris"):
        assert not datasets.is_table(name), name
