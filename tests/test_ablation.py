"""The mechanisms of ablation.py can still be taken out, and its worker trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ablation_list import MECHANISMS, Mechanism

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda mechanism: mechanism.name)
def test_a_mechanism_is_where_the_list_says(mechanism: Mechanism) -> None:
    assert mechanism.workloads
    if not (ROOT / "csrc").is_dir():
        pytest.skip("the sources are not beside the tests")
    for edit in mechanism.edits:
        assert edit.old != edit.new
        assert (ROOT / edit.file).read_text(encoding="utf-8").count(edit.old) == 1
    header = mechanism.about.rpartition("(")[2].rstrip(")")
    assert list((ROOT / "csrc").rglob(header)), header


def test_the_worker_trains_when_it_is_told_to() -> None:
    for network in {json.dumps(w.network) for m in MECHANISMS for w in m.workloads}:
        worker = [sys.executable, str(ROOT / "tests" / "ablation_worker.py"), network]
        done = subprocess.run(
            worker, input="0.001\n" * 2, capture_output=True, text=True, check=True
        )
        ready, *times = done.stdout.split()
        assert ready == "ready"
        assert len(times) == 4
        assert all(0 < float(seconds) < float("inf") for seconds in times)
