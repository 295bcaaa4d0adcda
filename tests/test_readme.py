"""What README shows, and the runner that follows it; the gate lets that run the whole page."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import readme
from readme import blocks, differences

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TIMED = (
    "train   1,438\ncost    9.949e-05    0.1174\nshare   97.49%\nseconds      0.64\nspeed 5 ms\n"
)

posix = pytest.mark.skipif(os.name != "posix", reason="needs bash")


# ---- the page ----


def test_two_commands_do_all_the_setting_up() -> None:
    setups = [
        block.source
        for block in blocks(README.read_text(encoding="utf-8"))
        if "pip install" in block.source
    ]
    assert setups == [
        "pip install . && pybackprop train digits\n",
        'pip install ".[test]" && pytest\n',
    ]


def test_python_blocks_are_files_and_print_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the checkout itself, Python's prompt finds the sources; so each is a file to run."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    ran = [block for block in blocks(README.read_text(encoding="utf-8")) if not block.is_shell]
    examples = {path.read_text(encoding="utf-8"): path for path in (ROOT / "examples").glob("*.py")}
    for block in ran:
        assert examples[block.source].name in README.read_text(encoding="utf-8")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(block.source, str(README), "exec"), namespace)
        assert block.output is not None
        assert differences(block.output, output.getvalue()) == ""
    assert len(ran) == 2


def test_commands_print_what_they_say() -> None:
    """Those of the package; the gate runs the others too."""
    ran = 0
    for block in blocks(README.read_text(encoding="utf-8")):
        for command in re.split(r"&&|\n", block.source) if block.is_shell else ():
            words = shlex.split(command)
            if words[:1] == ["pybackprop"]:
                words[:1] = ["-m", "pybackprop"]
            elif words[:1] == ["python"]:
                words = [str(ROOT / words[1]), *words[2:]]
            else:
                assert words[:1] in ([], ["pip"], ["pytest"])
                continue
            done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            if block.output is not None:
                assert differences(block.output, done.stdout) == ""
                ran += 1
    assert ran > 0


# ---- the runner: which blocks there are ----


def page(*parts: tuple[str, str]) -> str:
    return "".join(f"words\n\n```{language}\n{text}```\n\n" for language, text in parts)


def test_blocks_are_found_with_their_output() -> None:
    found = blocks(page(("sh", "a\n"), ("text", "1\n"), ("python", "b\nc\n"), ("bash", "d\n")))
    assert [(each.line, each.language, each.source, each.output) for each in found] == [
        (3, "sh", "a\n", "1\n"),
        (15, "python", "b\nc\n", None),
        (22, "bash", "d\n", None),
    ]


def test_only_shell_blocks_with_pytest_are_tests() -> None:
    found = blocks(page(("sh", "pip install . && pytest\n"), ("sh", "pip\n"), ("py", "pytest\n")))
    assert [each.is_test for each in found] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (page(("console", "$ a\n")), "line 3: a block of 'console'"),
        (page(("", "a\n")), "line 3: a block of ''"),
        ("```sh\na\n", "not closed"),
        ("- list\n\n  ```sh\n  a\n  ```\n", "indented"),
    ],
)
def test_blocks_that_would_be_missed_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blocks(text)


# ---- the runner: what is the same ----


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("9.949e-05", "9.95e-05"),
        ("0.1174", "0.1165"),
        ("97.49%", "96.8%"),
        ("0.64", "1234.5"),
        ("5 ms", "70 ms"),
        ("cost    ", "cost "),
        ("1,438\n", "1,438   \n"),
    ],
)
def test_the_same_output(old: str, new: str) -> None:
    assert differences(TIMED, TIMED.replace(old, new)) == ""


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("1,438", "1,439", "+train   1,439"),
        ("1,438", "1438", "+train   1438"),
        ("0.1174", "0.1190", "+cost    9.949e-05    0.1190"),
        ("0.1174", "-0.1174", "+cost    9.949e-05    -0.1174"),
        ("0.1174", "nan", "+cost    9.949e-05    nan"),
        ("97.49%", "96.4%", "+share   96.4%"),
        ("97.49%", "97.49", "+share   97.49"),
        ("share   97.49%\n", "", "-share   97.49%"),
        ("seconds      0.64\n", "", "-seconds      0.64"),
        ("seconds", "minutes", "+minutes      0.64"),
        ("5 ms", "5 ms 6", "+speed 5 ms 6"),
        ("train", "more\ntrain", "+more"),
        (TIMED, "", "-seconds      0.64"),
    ],
)
def test_differences_are_found(old: str, new: str, shown: str) -> None:
    found = differences(TIMED, TIMED.replace(old, new)).splitlines()
    assert shown in found
    # Only lines that differ are shown as such.
    changed = [line for line in found if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) <= (5 if new == "" and old == TIMED else 2)


def test_what_pip_prints_is_left_out() -> None:
    printed = (
        "Processing .\nSuccessfully installed a-1\nCollecting b\nSuccessfully installed b-2\nx\n"
    )
    assert readme.without_pip(printed) == "x\n"
    assert readme.without_pip("x\n") == "x\n"


# ---- the runner: what runs ----


def follow(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the runner on a page, with this interpreter as that of a virtual environment."""
    (folder / "venv/bin").mkdir(parents=True)
    program = folder / "venv/bin/python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    (folder / "checkout").mkdir()
    (folder / "checkout/README.md").write_text(text, encoding="utf-8")
    command = [sys.executable, readme.__file__, str(folder / "checkout"), str(folder / "venv")]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)


@posix
def test_blocks_run_in_order_in_the_checkout(tmp_path: Path) -> None:
    text = page(
        ("sh", "echo 1 > a\npwd\nwhich python\n"),
        ("text", f"{tmp_path.resolve()}/checkout\n{tmp_path.resolve()}/venv/bin/python\n"),
        ("python", "x = open('a').read()\nprint(x, end='')\n"),
        ("text", "1\n"),
        ("sh", "echo 2 > a\n"),
        ("python", "import sys\nprint(x + open('a').read(), sys.path[0] == '', end='')\n"),
        ("text", "1\n2\n False\n"),
        ("sh", "echo pytest > b\n"),
    )
    done = follow(tmp_path, text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("-> 5 blocks of README.md ran, the output of 3 is as shown\n")
    assert (tmp_path / "checkout/b").exists()


@posix
def test_tests_are_left_out_when_asked_for(tmp_path: Path) -> None:
    text = page(("sh", "echo 1\n"), ("text", "1\n"), ("sh", "touch b && pytest\n"))
    done = follow(tmp_path, text, "--without-tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "checkout/b").exists()


@posix
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("sh", "false\necho 1\n"), ("text", "1\n")], "line 3: it ends with status 1"),
        ([("sh", "no-such-command && echo 1\n"), ("text", "1\n")], "ends with status 127"),
        ([("python", "print(1)\n1 / 0\n"), ("text", "1\n")], "Python ends with status 1"),
        ([("python", "raise SystemExit(3)\n"), ("text", "1\n")], "Python ends with status 3"),
        ([("sh", "echo 1\n"), ("text", "2\n")], "-2\n+1"),
        ([("python", "print(0.5)\n"), ("text", "0.6\n")], "-0.6\n+0.5"),
        ([("sh", "echo 1\n"), ("text", "1\n2\n")], " 1\n-2"),
        ([("sh", "echo 1\n")], "no output to compare"),
        ([("zsh", "echo 1\n")], "a block of 'zsh'"),
    ],
)
def test_failures_end_with_status_1(
    parts: list[tuple[str, str]], message: str, tmp_path: Path
) -> None:
    done = follow(tmp_path, page(*parts, ("sh", "touch later\n")))
    assert done.returncode == 1
    assert message in done.stdout
    assert "no output to compare" in message or not (tmp_path / "checkout/later").exists()
