"""docs/data_parallel.md: its blocks run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "data_parallel.md"

if not PAGE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)


def test_blocks_run() -> None:
    text = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    assert text.count(">>>") > 5
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/data_parallel.md", None, None)
    assert doctest.DocTestRunner().run(test).failed == 0
