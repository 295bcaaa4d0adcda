"""The README's examples, run as a reader would run them.

A ``python`` block is executed, all of them in one namespace, and prints exactly the ``text`` block
that follows it. The lines of a ``sh`` block are commands; what ``python -m pybackprop`` prints is
the ``text`` block that follows, but for the figures. The gate itself runs the rest, word for word.
"""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
RUN_BY_THE_GATE = {"pip install .", 'pip install ".[test]"', "pytest"}


def blocks() -> list[tuple[str, str, str]]:
    """Language, content and expected output of each fenced block that is not output itself."""
    text = README.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    following = [*fences[1:], ("", "")]
    return [
        (language, content, after[1] if after[0] == "text" else "")
        for (language, content), after in zip(fences, following, strict=True)
        if language != "text"
    ]


def without_figures(text: str) -> list[str]:
    """Lines with every number as #, and blanks and rules of any length as one."""
    lines = (
        re.sub(r"\d+(?:[.,]\d+)*(?:e[+-]\d+)?", "#", line) for line in text.strip().splitlines()
    )
    return [re.sub(r"([\s=-])\1*", r"\1", line).strip() for line in lines]


def test_every_block_is_known():
    assert {language for language, _, _ in blocks()} == {"python", "sh"}


def test_python_blocks_print_what_they_say():
    namespace: dict[str, object] = {}
    for language, content, expected in blocks():
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(content, str(README), "exec"), namespace)
            assert output.getvalue() == expected


def test_commands_print_what_they_say():
    ran = 0
    for language, content, expected in blocks():
        for command in content.splitlines() if language == "sh" else ():
            program, *arguments = command.split()
            if program != "python":
                assert command in RUN_BY_THE_GATE
                continue
            done = subprocess.run(
                [sys.executable, *arguments],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            assert without_figures(done.stdout) == without_figures(expected)
            ran += 1
    assert ran > 0
