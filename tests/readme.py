"""Run README.md as a newcomer would, and compare what it prints with what it shows.

    python tests/readme.py CHECKOUT VENV [--without-tests]

CHECKOUT holds README.md and becomes the current folder; what the commands leave there stays, so
give a copy. VENV is a virtual environment, whose programs are found first. It may be empty, since
the first command of README installs the package.

Every fenced block of a shell or of Python runs, word for word and in order: a shell block by
``bash -e``, and all Python blocks in one interpreter, where a later one knows the names of an
earlier one. As with a file of examples/, the first place where that interpreter looks for modules
is a folder of its own, not CHECKOUT. A fenced block of any other language is an error, so that no
block is left out unseen. ``--without-tests`` leaves out the shell blocks that run pytest.

A ``text`` block that comes next after a block is what that block has to print on its standard
output, line by line. In a line, blanks in a row count as one; words have to be the same. Whole
numbers have to be equal. Percentages, and numbers with a decimal point or an exponent, may differ
by 1 % of the number in README. A line that has the word "second" or "seconds", or a number with a
unit of time (ns, us, ms, s, min, h), tells a time or a speed: its numbers may be any. What pip
prints, up to its line "Successfully installed ...", is not shown in README and not compared.

The exit status is 0 if all is as shown. Otherwise it is 1, and the last lines say which block
failed, in which line of README.md it begins, and what differs.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

TOLERANCE = 0.01
SHELLS, PYTHONS = {"sh", "bash", "shell"}, {"python", "py"}

_FENCE = re.compile(r"^(```+)([^`\n]*)\n(.*?)^\1[ \t]*$", flags=re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?%?(?!\w)"
)
_TIME = re.compile(r"\bseconds?\b|\d ?(?:ns|us|µs|ms|s|min|h)\b")

# Runs the files that it is told of, in one namespace, and says when each has ended.
_SESSION = """\
import sys
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    path, end = line.rstrip("\\n").split("\\t")
    with open(path, encoding="utf-8") as file:
        source = file.read()
    exec(compile(source, path, "exec"), namespace)
    print(end, flush=True)
"""


class Failed(Exception):
    """A block that does not do what README says."""


class Block(NamedTuple):
    """A fenced block that runs."""

    line: int
    language: str
    source: str
    output: str | None  # of the text block that comes next, if one does

    @property
    def is_shell(self) -> bool:
        return self.language in SHELLS

    @property
    def is_test(self) -> bool:
        return self.is_shell and re.search(r"\bpytest\b", self.source) is not None


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page of Markdown that run."""
    if sum(line.lstrip().startswith("```") for line in text.splitlines()) % 2:
        raise ValueError("a fence ``` is not closed")
    found = list(_FENCE.finditer(text))
    if 2 * len(found) != len(re.findall(r"^[ \t]*```", text, flags=re.MULTILINE)):
        raise ValueError("a fence ``` is indented, or within another one")
    made = []
    for match, after in zip(found, [*found[1:], None], strict=True):
        line = text.count("\n", 0, match.start()) + 1
        language = match[2].strip()
        if language == "text":
            continue
        if language not in SHELLS | PYTHONS:
            raise ValueError(f"line {line}: a block of {language!r}, which nothing runs")
        shown = after is not None and after[2].strip() == "text"
        made.append(Block(line, language, match[3], after[3] if after and shown else None))
    return made


def differences(shown: str, printed: str) -> str:
    """Return what differs between a block of output and what was printed, "" if nothing does."""
    expected = shown.strip("\n").splitlines()
    rest, lines = expected[:], []
    for line in printed.strip("\n").splitlines():
        # Where a line is as shown but for its numbers, these are no difference.
        same = next((each for each in rest if _agree(each, line)), None)
        lines.append(line if same is None else same)
        if same is not None:
            del rest[: rest.index(same) + 1]
    return "\n".join(difflib.unified_diff(expected, lines, "README.md", "printed", lineterm=""))


def _agree(shown: str, printed: str) -> bool:
    """Tell whether a line is as shown."""
    if [" ".join(part.split()) for part in _NUMBER.split(shown)] != [
        " ".join(part.split()) for part in _NUMBER.split(printed)
    ]:
        return False
    numbers = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return bool(_TIME.search(shown)) or all(_close(*pair) for pair in numbers)


def _close(shown: str, printed: str) -> bool:
    """Tell whether a number is the one shown."""
    if not set(shown) & set(".eE%"):
        return shown == printed
    a, b = (float(each.rstrip("%").replace(",", "")) for each in (shown, printed))
    return shown.endswith("%") == printed.endswith("%") and abs(a - b) <= TOLERANCE * abs(a)


def without_pip(printed: str) -> str:
    """Return what was printed after pip had installed."""
    lines = printed.splitlines(keepends=True)
    ends = [i for i, line in enumerate(lines) if line.startswith("Successfully installed ")]
    return "".join(lines[ends[-1] + 1 :]) if ends else printed


class Reader:
    """Someone who follows README in a checkout."""

    def __init__(self, checkout: Path, venv: Path, folder: Path) -> None:
        self.checkout, self.folder = checkout, folder
        programs = venv.resolve() / ("Scripts" if os.name == "nt" else "bin")
        self.python = programs / "python"
        path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")},
            "PATH": path,
            "VIRTUAL_ENV": str(venv.resolve()),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.session: subprocess.Popen[str] | None = None

    def run(self, block: Block) -> str:
        """Run one block, show what it prints while it does, and return it."""
        source = self.folder / f"line_{block.line}"
        source.write_text(block.source, encoding="utf-8")
        return without_pip(self._shell(source)) if block.is_shell else self._python(source)

    def close(self) -> None:
        """End the interpreter of the Python blocks."""
        if self.session is not None and self.session.stdin is not None:
            self.session.stdin.close()
            self.session.wait()

    def _start(self, *command: str | Path, stdin: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.checkout,
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def _shell(self, source: Path) -> str:
        with self._start("bash", "-e", source, stdin=subprocess.DEVNULL) as process:
            printed, _ = _follow(process, None)
        if process.returncode:
            raise Failed(f"it ends with status {process.returncode}")
        return printed

    def _python(self, source: Path) -> str:
        if self.session is None:
            script = self.folder / "session.py"
            script.write_text(_SESSION, encoding="utf-8")
            self.session = self._start(self.python, script, stdin=subprocess.PIPE)
        assert self.session.stdin is not None
        end = f"-- end of {source.name} --"
        self.session.stdin.write(f"{source}\t{end}\n")
        self.session.stdin.flush()
        printed, ended = _follow(self.session, end)
        if not ended:
            raise Failed(f"Python ends with status {self.session.wait()}")
        return printed


def _follow(process: subprocess.Popen[str], end: str | None) -> tuple[str, bool]:
    """Show and return what a process prints, up to a line `end`; tell whether that came."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if end is not None and line.rstrip("\n").endswith(end):
            return "".join([*lines, line.rstrip("\n").removesuffix(end)]), True
        print(line, end="", flush=True)
        lines.append(line)
    return "".join(lines), False


def follow(checkout: Path, venv: Path, without_tests: bool) -> str:
    """Run the blocks of the README of a checkout, and return what has been done."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    ran = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(checkout, venv, Path(folder))
        try:
            for block in blocks(text):
                if without_tests and block.is_test:
                    continue
                print(f"---- README.md, line {block.line} ----\n{block.source}", flush=True)
                try:
                    printed = reader.run(block)
                    if block.output is not None:
                        difference = differences(block.output, printed)
                        if difference:
                            raise Failed(f"it does not print what README shows:\n{difference}")
                        compared += 1
                except Failed as failure:
                    raise Failed(f"README.md, line {block.line}: {failure}") from None
                ran += 1
        finally:
            reader.close()
    if not compared:
        raise Failed("README.md shows no output to compare with")
    return f"-> {ran} blocks of README.md ran, the output of {compared} is as shown"


def main() -> int:
    parser = argparse.ArgumentParser(description="Run README.md as a newcomer would.")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("venv", type=Path)
    parser.add_argument("--without-tests", action="store_true", help="leave out pytest")
    args = parser.parse_args()
    try:
        print(follow(args.checkout, args.venv, args.without_tests))
    except (Failed, ValueError) as failure:
        print(f"\n{failure}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
