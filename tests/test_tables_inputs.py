"""The inputs of a table in memory: what is learnt from some of its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pybackprop.tables import Column, Date, Encoding, Inputs, Number, Request, _layout, learn
from pybackprop.tables._cells import MISSING
from pybackprop.tables._columns import Numbers, Texts
from pybackprop.tables._frames import of_objects
from pybackprop.tables._treatments import Ones


def table(rows: int = 90) -> Any:
    """Numbers, texts of few and of many levels, dates, each with gaps, and a constant."""
    rng = np.random.default_rng(0)
    day = np.datetime64("2023-01-01") + rng.integers(0, 700, rows)
    columns = [
        [f"{value:.3f}" for value in rng.normal(size=rows)],
        rng.choice(["sea", "hill", "town"], size=rows).tolist(),
        [f"flat {at % 40} in {rng.choice(['north', 'south'])}" for at in range(rows)],
        [str(each) for each in day],
        ["same"] * rows,
    ]
    x = np.array(columns, dtype=object).T
    x[rng.uniform(size=x.shape) < 0.1] = None
    x[:, 4] = "same"
    return x


def as_csv(x: Any) -> bytes:
    lines = [",".join("" if cell is None else cell for cell in row) + ",1.5" for row in x]
    return "\n".join(["x0,x1,x2,x3,x4,y", *lines]).encode()


@pytest.mark.parametrize("robust", [False, True])
def test_some_rows_teach_what_a_table_of_them_would(robust: bool) -> None:
    x = table()
    rows = np.random.default_rng(1).uniform(size=len(x)) < 0.6
    inputs = Inputs(x)
    found = inputs.learn(rows, robust=robust)
    scaling = "robust" if robust else None
    of_csv = learn(as_csv(x[rows]), Request("y", task="regression", scaling=scaling))
    assert found.columns == of_csv.encoding.columns
    kinds = [column.treatment.kind for column in found.columns]
    assert kinds == ["number", "category", "words", "date", "left out"]
    assert found.scaling == of_csv.encoding.scaling
    # All rows are encoded, those that were not learnt from too.
    np.testing.assert_array_equal(inputs.encode(found)[rows], of_csv.x)
    np.testing.assert_array_equal(inputs.encode(found), of_csv.encoding.read(as_csv(x)).x)


def test_levels_that_only_other_rows_have_are_not_known() -> None:
    x = np.array([["a"], ["b"], ["a"], ["c"], ["b"], [None]], dtype=object)
    inputs = Inputs(x)
    rows = np.array([True, True, True, False, True, False])
    found = inputs.learn(rows)
    assert found.columns[0].treatment.levels == ("a", "b")  # type: ignore[union-attr]
    np.testing.assert_array_equal(inputs.encode(found)[3:], [[0, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("piece_bytes", [1 << 18, 1 << 10])
@pytest.mark.parametrize("robust", [False, True])
def test_what_encodings_share_is_done_once(
    robust: bool, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gives the inputs that it gives alone, whichever were used before."""
    monkeypatch.setattr(_layout, "_PIECE_BYTES", piece_bytes)
    rng = np.random.default_rng(2)
    x = np.hstack([table(300), rng.normal(size=(300, 3)).astype(object)])
    x[rng.uniform(size=300) < 0.1, 5] = None
    inputs = Inputs(x)
    folds = [rng.uniform(size=300) < share for share in (0.5, 0.7, 0.9, 0.03)]
    found = [inputs.learn(rows, robust=robust) for rows in folds]
    assert len({each.alike for each in found}) > 1
    # The medians of folds differ, and so do the inputs of some rows.
    first, second = found[0], replace(found[0], columns=_with_other_fills(found[0].columns))
    assert first.alike == second.alike
    assert (inputs.encode(first) != inputs.encode(second)).any()
    for encoding in [*found, first, second, *found[::-1]]:
        alone = Inputs(x)
        np.testing.assert_array_equal(inputs.encode(encoding), alone.encode(encoding))
        # By the definition: every number alone, and the scaling of the whole at the end.
        raw = replace(encoding, scaling=None)
        whole = np.hstack([_column(alone, raw, at) for at in range(len(raw.features))])
        expected = whole if encoding.scaling is None else encoding.scaling(whole)
        np.testing.assert_array_equal(inputs.encode(encoding), expected)


def _with_other_fills(columns: Any) -> Any:
    return tuple(
        replace(each, treatment=replace(each.treatment, fill=each.treatment.fill + 1.0))
        if isinstance(each.treatment, (Number, Date))
        else each
        for each in columns
    )


def _column(inputs: Inputs, encoding: Any, at: int) -> Any:
    """Return the inputs of one column, made alone."""
    return inputs.encode(replace(encoding, columns=(encoding.features[at],)))


def test_what_is_kept_of_a_mark_is_four_bytes_a_row() -> None:
    inputs = Inputs(table())
    encoding = inputs.learn(np.ones(90, dtype=bool))
    inputs.encode(encoding)
    pieces = [piece for _, found in inputs._known.values() for piece in found]
    marks = [piece.codes.dtype for piece in pieces if isinstance(piece, Ones)]
    # Of a number, a category, and the weekday of a date, with their gaps.
    assert marks == [np.int32] * 4


def test_a_table_that_is_refused_is_refused_again() -> None:
    inputs = Inputs(np.array([[1.0, 1.0], [np.nan, 2.0]]))
    # As in old models, which know no number for a missing one.
    columns = Column("x0", Number()), Column("x1", Number())
    encoding = Encoding(columns, "", None, ("x0", "x1"), True)
    for _ in range(2):
        with pytest.raises(ValueError, match="column 'x0'"):
            inputs.encode(encoding)
    columns = Column("x0", Number(fill=3.0)), Column("x1", Number())
    found = inputs.encode(replace(encoding, columns=columns))
    np.testing.assert_array_equal(found, [[1.0, 1.0], [3.0, 2.0]])


def test_arrays_of_numbers_are_numbers() -> None:
    x = np.array([[1.0, 5], [np.nan, 5], [3, 5], [4, 5]])
    inputs = Inputs(x)
    assert (inputs.names, inputs.n_rows) == (("x0", "x1"), 4)
    found = inputs.learn(np.ones(4, dtype=np.bool_), categorical=["x0"])
    assert found.feature_names == ("x0=1", "x0=3", "x0=4", "x0=(missing)")
    number = inputs.learn(np.ones(4, dtype=np.bool_), ignore=["x1"])
    np.testing.assert_array_equal(inputs.encode(number), [[1, 0], [3, 1], [3, 0], [4, 0]])
    with pytest.raises(ValueError, match=r"must have shape \(N, n\), got \(4,\)"):
        Inputs(x[:, 0])
    with pytest.raises(ValueError, match="column 'x7'"):
        inputs.learn(np.ones(4, dtype=np.bool_), ignore=["x7"])
    np.testing.assert_array_equal(Inputs(x, ["x1", "x0"]).encode(number)[:, 0], [5, 5, 5, 5])
    with pytest.raises(ValueError, match="must have 1 columns, got 2"):
        Inputs(x, ["x0"])


def test_objects_are_what_their_texts_say() -> None:
    """Cells of types that are read without looking at each give the columns of their texts."""
    rng = np.random.default_rng(0)
    columns: list[list[Any]] = [
        [None, 1.5, -0.0, 0.0, float("nan"), 2],
        [2**53, 1, 2, 3, 4, 5],
        [10**400, 1, 2, 3, 4, 5],
        [float("inf"), 1.0, 2.0, 3.0, 4.0, 5.0],
        [True, 1, 1.0, "1", False, None],
        [" a", "a", None, "NA", "b ", ""],
        ["1", " 2", None, "3", "?", "1"],
        [None] * 6,
        [np.float64(0.1), np.float32(0.1), 3, None, 1.0, 2.0],
        rng.choice(["x", "y"], size=6).tolist(),
    ]
    for cells in columns:
        # An object of another type has every cell looked at.
        class Text:
            def __init__(self, cell: Any) -> None:
                self.cell = cell

            def __str__(self) -> str:
                return str(self.cell)

        others = [None if each is None or each != each else Text(each) for each in cells]
        found, expected = (of_objects(each, MISSING) for each in (cells, others))
        assert type(found) is type(expected)
        if isinstance(found, Texts):
            assert isinstance(expected, Texts)
            assert found.levels == expected.levels
            np.testing.assert_array_equal(found.codes, expected.codes)
        else:
            assert isinstance(expected, Numbers)
            np.testing.assert_array_equal(found.values, expected.values)
            np.testing.assert_array_equal(np.signbit(found.values), np.signbit(expected.values))
    # By its text, -999.0 is another cell than -999.
    of_rule = of_objects([-999, -999.0, 1.0], frozenset({"-999"}))
    np.testing.assert_array_equal(of_rule.missing, [True, False, False])
