"""The seeded bugs of mutation.py still apply, and the tests named for them are there."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import mutation
import pytest
from mutation import BROKEN, BUGS, KILLED, NOT_APPLICABLE, ROOT, SURVIVED, verdict
from mutation_bugs import Bug

TESTS = Path(__file__).parent
LEAST = 60


@functools.cache
def functions(name: str) -> set[str]:
    """The names of the functions of a file of tests."""
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_there_are_many_and_each_has_a_name() -> None:
    assert len(BUGS) >= LEAST
    assert len({bug.id for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_a_bug_applies_and_its_tests_exist(bug: Bug) -> None:
    assert bug.old != bug.new
    assert bug.tests
    for test in bug.tests:
        file, _, name = test.partition("::")
        assert (TESTS / file).exists(), test
        assert not name or name in functions(file), test
    if not (ROOT / bug.file.partition("/")[0]).is_dir():
        pytest.skip("the sources are not beside the tests")
    assert (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) == 1


def test_a_bug_whose_text_is_not_there_once_is_broken(tmp_path: Path) -> None:
    bug = Bug("a", "a.py", "1", "2", ("test_a.py",))
    for text in ("0", "1 + 1"):
        (tmp_path / "a.py").write_text(text)
        with pytest.raises(mutation.Broken, match="times in a"):
            mutation.seed(tmp_path, bug)
        assert (tmp_path / "a.py").read_text() == text
    (tmp_path / "a.py").write_text("0 + 1")
    mutation.seed(tmp_path, bug)
    assert (tmp_path / "a.py").read_text() == "0 + 2"


@pytest.mark.parametrize(
    ("status", "out", "what"),
    [
        (1, "FAILED tests/test_a.py::test_b - E\n1 failed", KILLED),
        (-11, "", KILLED),
        (139, "", KILLED),
        (None, "", KILLED),
        (0, "3 passed in 1 s", SURVIVED),
        (0, "3 skipped in 1 s", NOT_APPLICABLE),
        (1, "no test has failed", BROKEN),
        (2, "ERROR tests/test_a.py", BROKEN),
        (4, "no tests ran", BROKEN),
    ],
)
def test_verdicts(status: int | None, out: str, what: str) -> None:
    assert verdict(status, out)[0] == what


def test_what_a_command_leaves_running_is_not_waited_for() -> None:
    program = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('done')"
    )
    assert mutation.run([sys.executable, "-c", program], TESTS, 100) == (0, "done\n")


def test_a_command_without_end_is_ended() -> None:
    assert mutation.run([sys.executable, "-c", "while True: pass"], TESTS, 1)[0] is None


def test_a_test_that_fails_kills(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for text, what in (("assert False", KILLED), ("pass", SURVIVED), ("import none", KILLED)):
        (tmp_path / "tests" / "test_a.py").write_text(f"def test_b():\n    {text}\n")
        assert mutation.test(tmp_path, ["test_a.py"], 60)[0] == what
    (tmp_path / "tests" / "test_a.py").write_text("import none\n")
    assert mutation.test(tmp_path, ["test_a.py"], 60)[0] == BROKEN
