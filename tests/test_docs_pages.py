"""docs/pages.md: its blocks run and write pages, and the folders that it names are there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import pybackprop

PAGE = Path(__file__).parent.parent / "docs" / "pages.md"

if not PAGE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)


def test_blocks_run_and_write_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    assert text.count(">>>") > 10
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/pages.md", None, None)
    assert doctest.DocTestRunner().run(test).failed == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"booth.html", "graph.html", "lesson.html", "page.html"}


def test_it_names_every_folder_of_scripts() -> None:
    named = re.findall(r"^\| `(\w+)/` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    view = Path(pybackprop.__file__).parent / "view"
    assert sorted(named) == sorted({path.parent.name for path in view.glob("*/*.js")})
