"""The real tables and models of `pybackprop bench tables`: the lists, and what packages bring."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from pybackprop.bench.tabular import table as reading
from pybackprop.bench.tabular.inputs import PREPARE
from pybackprop.bench.tabular.models import MODELS
from pybackprop.bench.tabular.sources import SOURCES

pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def test_the_lists_are_sound() -> None:
    assert len(SOURCES) >= 24
    assert len({each.name for each in SOURCES}) == len(SOURCES)
    assert {each.task for each in SOURCES} == {"classification", "regression"}
    assert sum(each.task == "regression" for each in SOURCES) >= 8
    assert all(each.origin for each in SOURCES)
    assert len({each.name for each in MODELS}) == len(MODELS)
    for model in MODELS:
        assert model.inputs in PREPARE
        assert model.stopping in ("", "X_val", "eval_set", "joined")


# Rows, inputs and classes of some, and what must be no input.
SIZES = {
    "letter": (20_000, 16, 26),
    "magic": (19_020, 10, 2),
    "splice": (3_190, 60, 3),
    "vowel": (990, 11, 11),
    "diamonds": (53_940, 9, 0),
    "ames": (2_930, 73, 0),
    "Chicago": (5_698, 48, 0),
    "nassCDS": (26_217, 11, 2),
    "Bikeshare": (8_645, 12, 0),
    "digits": (1_797, 64, 10),
}
LEAKS = {"rownames", "casual", "registered", "logwage", "injSeverity", "case", "date"}


@pytest.mark.parametrize("package", list(dict.fromkeys(each.module for each in SOURCES)))
def test_tables_of_packages_are_as_expected(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"could not import {package!r}")
    for source in SOURCES:
        if source.module != package:
            continue
        table = reading.read(source)
        assert len(table.y) == len(table.x) > 400
        assert not LEAKS & set(table.x.columns), source.name
        assert all(dtype.kind in "fO" for dtype in table.x.dtypes), source.name
        assert (table.n_classes > 0) == (source.task == "classification")
        if table.n_classes:
            assert np.bincount(table.y).min() >= 5, source.name
        else:
            assert np.isfinite(table.y).all(), source.name
        # No input is the target under another name.
        for name in table.x.columns:
            assert not np.array_equal(table.x[name].to_numpy(), table.y), name
        rows, inputs, classes = SIZES.get(source.name, (None, None, None))
        if rows is not None:
            assert (*table.x.shape, table.n_classes) == (rows, inputs, classes), source.name
