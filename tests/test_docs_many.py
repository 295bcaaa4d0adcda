"""docs/many.md: its blocks run, and its figures are those of the code."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from pybackprop.tuning import _schedule

PAGE = Path(__file__).parent.parent / "docs" / "many.md"

if not PAGE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)


def test_blocks_run() -> None:
    text = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    assert text.count(">>>") > 25
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/many.md", None, None)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_table_is_that_of_hyperband() -> None:
    found = re.findall(r"^\| (\d) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE.read_text("utf-8"), re.M)
    brackets = _schedule.make_brackets("hyperband", None, 81, 3)
    assert [tuple(map(int, row)) for row in found] == [
        (len(each) - 1, *each[0], _schedule.epochs_of([each])) for each in brackets
    ]
