"""The examples run, and find what they say."""

from __future__ import annotations

import runpy
import shutil
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


def test_policy_net(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("policy_net.py")["main"]() > 150
    assert "steps an episode" in capsys.readouterr().out


def test_poisson_random_features() -> None:
    assert load("poisson_random_features.py")["main"]() < 1e-6


def test_online_learning() -> None:
    errors = load("online_learning.py")["main"]()
    before, after = errors[5], errors[-1]
    assert before < 0.12
    assert after < 0.12
    assert errors[6] > 2 * after


def test_torch_to_onnx_to_c() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    accuracy, difference = load("torch_to_onnx_to_c.py")["main"]()
    assert accuracy > 0.93
    assert difference < 1e-6


def test_many_networks(capsys: pytest.CaptureFixture[str]) -> None:
    alone, together = load("many_networks.py")["main"]()
    assert together >= alone > 0.93
    assert "five folds: cost 0." in capsys.readouterr().out
