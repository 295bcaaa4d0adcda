"""Whatever bytes a file holds, a loader returns a sound Dataset or a ValueError with its name."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybackprop.datasets import load_csv, load_idx

FEW = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CELLS = st.sampled_from(
    [
        "1",
        "2.5",
        "-3e4",
        "red",
        "blue",
        "",
        "?",
        "nan",
        "inf",
        "1_0",
        '"a,b"',
        '"',
        " 7 ",
        "é",
        "\0",
    ]
)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=12)


def check(load, path, place):
    """Load, and check what comes."""
    try:
        data = load(path)
    except ValueError as error:
        assert str(error).startswith(str(place))  # noqa: PT017
        return
    assert np.isfinite(data.x).all()
    assert data.x.shape == (len(data.y), len(data.feature_names))
    shift, scale = data.scaling()
    assert np.isfinite((data.x - shift) * scale).all()


@FEW
@given(TABLES, st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
def test_any_table(tmp_path, table, separator, end):
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(separator.join(row) for row in table).encode())
    check(load_csv, path, path)


@FEW
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_a_table(tmp_path, content, compressed):
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(content) if compressed else content)
    check(load_csv, path, path)


@FEW
@given(TABLES)
def test_encoding_reads_what_it_was_made_from(tmp_path, table):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(",".join(row) for row in table), newline="", encoding="utf-8")
    try:
        made = load_csv(path)
    except ValueError:
        return
    x, y = made.encoding.encode(path)
    if made.notes:  # rows without a target are no examples, but are predicted
        assert y is None
        assert len(x) > len(made.x)
        return
    np.testing.assert_array_equal(x, made.x)
    np.testing.assert_array_equal(y, made.y)


IMAGES = struct.pack(">HBB3I", 0, 8, 3, 4, 2, 3) + bytes(range(24))
LABELS = struct.pack(">HBBI", 0, 8, 1, 4) + bytes([0, 1, 0, 1])


@pytest.mark.parametrize("compressed", [False, True])
@FEW
@given(st.integers(0, 200), st.binary(max_size=9), st.integers(0, 9), st.booleans())
def test_damaged_idx_files(tmp_path, compressed, at, patch, cut, in_labels):
    for name, whole in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
        content = gzip.compress(whole) if compressed else whole
        if in_labels == (name == "labels-idx1"):
            content = content[:at] + patch + content[at + cut :]
        suffix = ".gz" if compressed else ""
        (tmp_path / f"train-{name}-ubyte{suffix}").write_bytes(content)
    check(load_idx, tmp_path, tmp_path)
