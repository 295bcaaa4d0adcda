"""docs/reliability.md names tests that pytest finds, commands that work, sections of the gate."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "reliability.md"
GATE = ROOT / ".ci" / "run"

if not PAGE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)


class Row(NamedTuple):
    promise: str
    test: str
    command: str
    cases: str


def rows() -> list[Row]:
    """Return the rows of every table of the page, less their headings."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and not set(cells[0]) <= set("-"):
            found.append(Row(*cells))
    return [row for row in found if row.promise != "promise"]


def test_every_row_is_whole() -> None:
    assert len(rows()) > 20
    for row in rows():
        assert all(row), row
        assert re.search(r"\d", row.cases), row
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        assert not line.startswith("|") or line.count("|") == 5, line


every_row = pytest.mark.parametrize("row", rows(), ids=lambda row: row.promise[:40])


def files_of(text: str) -> list[str]:
    """Return the files of tests/ that are named, relative to it."""
    return re.findall(r"\b(?:tests/)?((?:c/|fuzz/)?\w+\.(?:py|c))\b", text)


@pytest.fixture(scope="module")
def collected() -> dict[str, set[str]]:
    """Return the tests that pytest finds in the files named on the page, all and the slow ones."""
    named = {name for row in rows() for name in files_of(row.test + row.command)}
    files = sorted(str(TESTS / name) for name in named if re.fullmatch(r"test_\w+\.py", name))
    found = {}
    for kind, options in (("all", ["-o", "addopts="]), ("slow", ["-m", "slow"])):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options, *files]
        # Not in the checkout, whose sources would come before an installed package.
        environment = {name: os.environ[name] for name in os.environ if name != "PYTEST_ADDOPTS"}
        done = subprocess.run(
            command, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found[kind] = set(re.findall(r"(test_\w+\.py::test_\w+)", done.stdout))
    return found


@every_row
def test_named_tests_are_collected(row: Row, collected: dict[str, set[str]]) -> None:
    files = files_of(row.test + " " + row.command)
    assert files or gate_sections(row), row
    for name in files:
        assert (TESTS / name).exists(), name
    modules = {each.partition("::")[0] for each in collected["all"]}
    for name in re.findall(r"\btest_\w+\b(?!\.py)", row.test):
        assert any(f"{file}::{name}" in collected["all"] for file in files), f"{name} of {files}"
    for name in re.findall(r"\b(test_\w+) \(slow\)", row.test):
        assert any(f"{file}::{name}" in collected["slow"] for file in files), f"{name} is not slow"
    for name in files:
        # A module whose package is missing is skipped as a whole.
        if name.startswith("test_") and "importorskip" not in (TESTS / name).read_text("utf-8"):
            assert name in modules, f"no test is collected from {name}"


def gate_sections(row: Row) -> list[str]:
    """Return the sections of the gate that a row names."""
    text = row.test + " " + row.command
    named = re.findall(r"\(sections? ([\w, ]+)\)", text) + re.findall(r"sections ([\w, ]+)", text)
    named += re.findall(r"`bash \.ci/run ([\w ]+)`", text)
    return re.findall(r"\w+", " ".join(named).replace(" and ", " "))


@every_row
def test_named_sections_are_in_the_gate(row: Row) -> None:
    if not GATE.exists():
        pytest.skip("the gate is not beside the tests")
    listed = subprocess.run(["bash", str(GATE), "--list"], capture_output=True, text=True)
    assert set(gate_sections(row)) <= set(listed.stdout.split())


@every_row
def test_commands_run_the_named_files(row: Row, collected: dict[str, set[str]]) -> None:
    commands = [each for each in re.findall(r"`([^`]+)`", row.command) if each != ".ci/run"]
    assert commands, row
    for command in commands:
        assert re.match(
            r"(\w+=\S+ )*(pytest|python -m pytest|python|bash|pybackprop|python -m pybackprop) ",
            command,
        ), command
        paths = re.findall(r"[\w./]+\.(?:py|c|sh)", command)
        for path in paths:
            assert (ROOT / path).exists(), command
        if command.startswith("python tests/"):
            text = (ROOT / paths[0]).read_text(encoding="utf-8")
            for option in re.findall(r"--[\w-]+", command):
                assert f'"{option}"' in text, command
        if re.search(r" -m \"?slow", command):
            files = [Path(path).name for path in paths]
            assert any(each.partition("::")[0] in files for each in collected["slow"]), command
