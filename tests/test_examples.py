"""The examples run, and find what they say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> dict[str, Any]:
    path = EXAMPLES / name
    if not path.is_file():
        pytest.skip("the examples are not beside the tests")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    return runpy.run_path(str(path))


def test_tabular_classification(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    from joblib.externals.loky import get_reusable_executor

    try:
        assert load("tabular_classification.py")["main"]() > 0.93
    finally:
        get_reusable_executor(max_workers=2).shutdown(wait=True)
    assert "area under the ROC curve" in capsys.readouterr().out
