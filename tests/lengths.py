"""Whether functions and files are short enough to be read: the limits of the sources.

    python tests/lengths.py

Counts lines of code: no blank lines, no comments, no docstrings. A function of Python, C or
JavaScript has at most 60 of them, a file at most 400. Prints what is longer and ends with status 1.
A file that grows beyond the limit has more than one subject: split it by subject, and do not
squeeze it.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_OF_A_FUNCTION, MOST_OF_A_FILE = 60, 400
FOLDERS = ("csrc", "examples", "pybackprop")
_SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)

Function = tuple[str, int]  # its name, and its lines of code


def measure_python(text: str) -> tuple[int, list[Function]]:
    """Return the lines of code of a file, and of each of its functions."""
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _SILENT and token.type != tokenize.ENDMARKER
        for line in range(token.start[0], token.end[0] + 1)
    }
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        if isinstance(node.value.value, str):  # a docstring
            code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    functions = [
        (node.name, len(code & set(range(node.lineno, (node.end_lineno or 0) + 1))))
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    return len(code), functions


def measure_c(text: str) -> tuple[int, list[Function]]:
    """Return the lines of code of a file, and of each of its functions.

    A function ends at a closing brace in the first column, as the formatter writes it.
    """
    text = re.sub(r"/\*.*?\*/|//[^\n]*", _blank, text, flags=re.DOTALL)
    count = sum(bool(line.strip()) for line in text.split("\n"))
    text = re.sub(r"^[ \t]*#(?:\\\n|.)*", _blank, text, flags=re.MULTILINE)
    text = re.sub(r"\b(?:BP_T|BPK|V)\((\w+)\)", r"\1", text)
    functions = []
    for piece in re.split(r"(?<=^\})", text, flags=re.MULTILINE):
        # A name and its arguments before the first brace; structures and tables have none.
        if found := re.search(r"(\w+)\s*\([^={};]*\)\s*\{", piece):
            head = piece[: found.start()].rpartition(";")[2]
            if "=" not in head and "{" not in head:
                body = head + piece[found.start() :]
                functions.append((found[1], sum(bool(line.strip()) for line in body.split("\n"))))
    return count, functions


def measure_javascript(text: str) -> tuple[int, list[Function]]:
    """Return the lines of code of a file, and of each of its functions and methods.

    A function ends at a closing brace in the first column, a method at one in the third.
    """
    lines = [line for line in text.split("\n") if line.strip() and line.lstrip()[:2] != "//"]
    functions = []
    for start, line in enumerate(lines):
        head = re.match(r"function\*? (\w+)\(|  (?:static |get )?(\w+)\([^()]*\) \{$", line)
        if head:
            end = "}" if head[1] else "  }"
            length = next(
                (n for n, each in enumerate(lines[start:], 1) if each[: len(end)] == end), 1
            )
            functions.append((head[1] or head[2], length))
    return len(lines), functions


MEASURES = {
    ".py": measure_python,
    ".c": measure_c,
    ".h": measure_c,
    ".js": measure_javascript,
}


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def too_long(root: Path) -> Iterator[str]:
    """Yield a line for every file and function beyond its limit."""
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("**/*")):
            if path.suffix not in MEASURES:
                continue
            lines, functions = MEASURES[path.suffix](path.read_text(encoding="utf-8"))
            where = path.relative_to(root)
            if lines > MOST_OF_A_FILE:
                yield f"{where}: {lines} lines of code, at most {MOST_OF_A_FILE}"
            for name, length in functions:
                if length > MOST_OF_A_FUNCTION:
                    yield f"{where}: {name}: {length} lines of code, at most {MOST_OF_A_FUNCTION}"


if __name__ == "__main__":
    found = list(too_long(ROOT))
    print("\n".join(found))
    sys.exit(bool(found))
