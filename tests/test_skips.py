"""The check that tests skipped in one run of the gate ran in another notices what ran nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import skips

TESTS = """
import pytest
def test_a():
    pytest.importorskip({package!r})
@pytest.mark.skipif(True, reason="needs fork")
def test_b():
    pass
"""
MODULE = """
import pytest
pytest.importorskip({package!r})
def test_c():
    pass
"""


def make_report(folder: Path, package: str) -> str:
    """Return the report of a run whose tests need a package."""
    folder.mkdir()
    for module, text in (("test_one", TESTS), ("test_two", MODULE)):
        (folder / f"{module}.py").write_text(text.format(package=package))
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    return str(report)


def test_what_ran_nowhere_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert skips.main([make_report(tmp_path / "without", "no_such_package")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines[:2]] == ["test_one::test_a", "test_two"]
    assert all("no_such_package" in line for line in lines[:2])
    assert lines[2] == "skipped for an allowed reason: 1 of 'needs fork'"


def test_one_run_with_the_package_is_enough(tmp_path: Path) -> None:
    without = make_report(tmp_path / "without", "no_such_package")
    assert skips.main([without, make_report(tmp_path / "with", "json")]) == 0


def test_a_report_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert skips.main([]) == 2
    assert "at least one report" in capsys.readouterr().err


def test_nothing_that_can_be_installed_is_allowed() -> None:
    for reason in (
        "could not import 'torch': No module named 'torch'",
        "needs Chromium",
        "no Graphviz",
        "clang-14 is not installed",
        "needs onnx",
    ):
        assert not skips.is_allowed(reason), reason
    for reason in ("needs fork", "no spawn here", "x86 only", "needs POSIX files"):
        assert skips.is_allowed(reason), reason
