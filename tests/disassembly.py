"""Which instruction sets the object files of the core use, by disassembling them.

    python tests/disassembly.py FOLDER      the object files in a folder

Everything runs on any x86-64 but csrc/kernels/arch/kern_<isa>.c, and each of those stays within its
own set.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What the first bytes of an instruction say. Prefixes come before the rest; in 64-bit mode c4 and
# c5 are always VEX, and 62 is always EVEX.
_PREFIXES = {"66", "f2", "f3", "2e", "36", "3e", "26", "64", "65", "67", "f0"}
# SSE3 by opcode after 0f, with the prefixes that make it so.
_SSE3 = {"7c": "66 f2", "7d": "66 f2", "d0": "66 f2", "f0": "f2", "12": "f2 f3", "16": "f3"}

# The instruction sets that the kernels of each may use; all others are to use none.
ALLOWED = {
    "kern_portable": set[str](),
    "kern_avx2": {"sse4", "avx"},
    "kern_avx512": {"sse4", "avx", "avx512"},
    "kern_avx512_bf16": {"sse4", "avx", "avx512"},
    "kern_amx": {"amx"},
}
ALL = {"sse4", "avx", "avx512", "amx"}


def instruction_set(code: list[str], mnemonic: str) -> str:
    """Return what an instruction needs beyond the baseline, "" for nothing.

    Parameters
    ----------
    code : list of str
        Its bytes in hexadecimal.
    mnemonic : str
        Its name; the tile instructions are told by it.
    """
    if re.match(r"(ld|st)tilecfg|tile|tdp", mnemonic):
        return "amx"
    prefixes = set()
    while code[0] in _PREFIXES:
        prefixes.add(code[0])
        code = code[1:]
        if not code:
            return ""  # objdump shows a prefix alone where it has no meaning
    if code[0] in {"c4", "c5"}:
        return "avx"
    if code[0] == "62":
        return "avx512"
    if re.fullmatch("4[0-9a-f]", code[0]):
        code = code[1:]
    if code[:1] != ["0f"]:
        return ""
    if code[1] in {"38", "3a"} or (code[1] == "b8" and "f3" in prefixes):
        return "sse4"  # SSSE3 and later, movbe, crc32, popcnt
    if code[1] in _SSE3 and prefixes & set(_SSE3[code[1]].split()):
        return "sse4"
    return ""


def instructions(path: Path) -> Iterator[tuple[str, list[str], str]]:
    """Yield the function, the bytes and the text of every instruction of an object file."""
    command = ["objdump", "-d", "--insn-width=16", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    function = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
            function = found[1]
            continue
        parts = line.split("\t")
        if len(parts) == 3:
            yield function, parts[1].split(), parts[2]


def beyond(path: Path, allowed: set[str]) -> tuple[int, list[str]]:
    """Return how many instructions an object file has, and those that are not allowed."""
    count, found = 0, []
    for function, code, text in instructions(path):
        count += 1
        needed = instruction_set(code, text.split()[0])
        if needed and needed not in allowed:
            found.append(f"{path.name}, {function}: {text} ({needed})")
    return count, found


def allowed_in(source: str) -> set[str]:
    """Return the instruction sets that a source of the core may use, by its name without .c."""
    if not source.startswith("kern_"):
        return set()
    return ALLOWED.get(source, ALL)


def main(folder: str) -> str:
    """Check every object file of a folder; return what is wrong."""
    counts, wrong = [], []
    for path in sorted(Path(folder).glob("*.o")):
        count, found = beyond(path, allowed_in(path.stem.rpartition("-")[2]))
        counts.append(count)
        wrong += found
    if not counts:
        return f"no object files in {folder}"
    print(f"-> {sum(counts)} instructions of {len(counts)} object files")
    return "\n".join(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) or None)
