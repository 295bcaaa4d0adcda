"""The inputs of a table in memory: what is learnt from some of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pybackprop.tables import Inputs, Request, learn


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
