"""The page about tables: its examples run, and it names the options that exist."""

import doctest
import re
from pathlib import Path

import pytest

from pybackprop.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "tables.md"
pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="the documentation is not beside the tests"
)


def test_examples_run() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 3
    assert found.failed == 0


def test_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["train"], ["predict"], ["bench", "tables"]):
        assert main([*command, "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert named
    assert named <= known
