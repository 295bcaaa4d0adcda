"""The course: its blocks print what they say, its pictures are current and can be read."""

from __future__ import annotations

import doctest
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

COURSE = Path(__file__).parent.parent / "docs" / "course"
sys.path.insert(0, str(COURSE))
import pictures  # noqa: E402

PAGES = sorted(COURSE.glob("*.md"))
LESSONS = sorted(COURSE.glob("[0-9]*.md"))


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def blocks(page: str) -> str:
    """The blocks of Python as a doctest, in which an empty line of output has its mark."""
    found = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    return "\n\n".join(re.sub(r"^$", "<BLANKLINE>", block.rstrip(), flags=re.M) for block in found)


@pytest.mark.parametrize("path", [*LESSONS, COURSE / "slips.md"], ids=lambda path: path.name)
def test_blocks_print_what_the_page_says(path: Path) -> None:
    text = path.read_text("utf-8")
    test = doctest.DocTestParser().get_doctest(blocks(text), {}, path.name, str(path), 0)
    log: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=log.append)
    assert runner.tries > 10
    assert runner.failures == 0, "".join(log)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_numbers_of_a_lesson_are_in_blocks_that_run(path: Path) -> None:
    """Those of a question are in its answer, which is a block."""
    text = path.read_text("utf-8").partition("## Questions")[0]
    text = re.sub(r"```python\n.*?```", "", text, flags=re.DOTALL)
    found = re.findall(r"(?<![\w.^])\d+\.\d+|(?<!\w)\d{3,}(?!\w)", text)
    assert [number for number in found if number != "2015"] == []


def test_there_are_twelve_lessons_and_all_are_linked() -> None:
    assert [name[:2] for name in names(LESSONS)] == [f"{n:02}" for n in range(1, 13)]
    index = (COURSE / "README.md").read_text("utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == set(names(PAGES)) - {"README.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).is_file(), target


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_each_lesson_ends_with_questions_and_answers(path: Path) -> None:
    text = path.read_text("utf-8")
    _, questions, rest = text.partition("\n## Questions\n")
    asked, answers, given = rest.partition("\n## Answers\n")
    assert questions
    assert answers
    assert 2 <= len(re.findall(r"^\d\. ", asked, flags=re.M)) <= 3
    assert given.count(">>> ") >= 2
    assert f"`pybackprop learn {int(path.name[:2])}`" in given
    assert text.startswith(f"# {int(path.name[:2])}. ")


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_are_current(name: str) -> None:
    assert (COURSE / name).read_text("utf-8") == pictures.PICTURES[name]()


def test_every_picture_is_shown_and_drawn() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((\S+)\)", "".join(path.read_text("utf-8") for path in PAGES))
    assert sorted(shown) == sorted(pictures.PICTURES) == sorted(names([*COURSE.glob("*.svg")]))


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_letters_can_be_read_in_a_column_of_800_px(name: str) -> None:
    text = (COURSE / name).read_text("utf-8")
    root = ET.fromstring(text)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    found = re.search(r"text \{ font: ([\d.]+)px", text)
    assert found is not None
    shown = min(1.0, 800.0 / width)
    assert shown * float(found[1]) >= 11.0
    assert shown * height < 1200.0
    assert "prefers-color-scheme: dark" in text
