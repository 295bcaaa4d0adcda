"""docs/reliability.md names tests that exist, commands that run them, and no failures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "reliability.md"

if not PAGE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)


class Row(NamedTuple):
    promise: str
    test: str
    command: str
    cases: str
    failures: str


def rows() -> list[Row]:
    """Return the rows of every table of the page, less their headings."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and not set(cells[0]) <= set("-"):
            found.append(Row(*cells))
    return [row for row in found if row.promise != "promise"]


def test_every_row_is_whole() -> None:
    assert len(rows()) > 20
    for row in rows():
        assert all(row), row
        assert row.failures == "0", row
        assert re.search(r"\d", row.cases), row
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        assert not line.startswith("|") or line.count("|") == 6, line


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.promise[:40])
def test_named_tests_exist(row: Row) -> None:
    files = re.findall(r"\b(?:tests/)?((?:c/|fuzz/)?\w+\.(?:py|c))\b", row.test + " " + row.command)
    names = re.findall(r"\btest_\w+", re.sub(r"\w+\.py", "", row.test))
    gate = re.findall(r"\(sections? ([\w, ]+)\)", row.test + " " + row.command)
    assert files or gate, row
    text = ""
    for name in files:
        assert (TESTS / name).exists(), name
        text += (TESTS / name).read_text(encoding="utf-8")
    for name in names:
        assert re.search(rf"^ *def {name}\(", text, re.MULTILINE), f"no {name} in {files}"
    script = ROOT / ".ci" / "run"
    for name in ", ".join(gate).split(", ") if gate and script.exists() else []:
        assert f"\nsection_{name}() {{" in script.read_text(encoding="utf-8"), name


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.promise[:40])
def test_commands_run_the_named_files(row: Row) -> None:
    commands = [each for each in re.findall(r"`([^`]+)`", row.command) if each != ".ci/run"]
    assert commands, row
    for command in commands:
        assert re.match(
            r"(\w+=\S+ )*(pytest|python -m pytest|python|bash|pybackprop|python -m pybackprop) ",
            command,
        ), command
        for path in re.findall(r"[\w./]+\.(?:py|c|sh)|\.ci/run", command):
            if path != ".ci/run":
                assert (ROOT / path).exists(), command
        if " -m slow" in command:
            files = [ROOT / path for path in re.findall(r"tests/\w+\.py", command)]
            assert any("mark.slow" in file.read_text(encoding="utf-8") for file in files), command
