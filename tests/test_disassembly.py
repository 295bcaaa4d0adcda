"""No instruction beyond the baseline outside the kernels of an instruction set."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest
from cbuild import NATIVE, build_objects, core_sources
from disassembly import ALL, allowed_in, beyond, instruction_set, instructions

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 code"),
    pytest.mark.skipif(not shutil.which("objdump"), reason="needs objdump"),
]


def objects() -> dict[str, Path]:
    """The object files of the core by the name of their source."""
    sources = core_sources()
    return {
        Path(source).stem: path
        for source, path in zip(sources, build_objects(sources, NATIVE), strict=True)
    }


def test_instruction_sets_stay_in_their_files() -> None:
    total = 0
    for source, path in objects().items():
        count, found = beyond(path, allowed_in(source))
        assert not found, found[:5]
        total += count
    assert total > 10_000
    print(f"{total} instructions")


def test_kernels_use_their_own_instruction_set() -> None:
    """Otherwise the test above would find nothing whatever there was."""
    used = {
        source: {instruction_set(code, text.split()[0]) for _, code, text in instructions(path)}
        for source, path in objects().items()
        if source in {"kern_portable", "kern_avx2", "kern_avx512"}
    }
    assert used["kern_portable"] == {""}
    assert "avx" in used["kern_avx2"]
    assert "avx512" in used["kern_avx512"]


@pytest.mark.parametrize(
    ("code", "text", "needed"),
    [
        ("0f 58 c1", "addps", ""),
        ("f3 0f 58 c1", "addss", ""),
        ("66 44 0f 6f c1", "movdqa", ""),
        ("f3 0f 1e fa", "endbr64", ""),
        ("f3 90", "pause", ""),
        ("c5 f4 58 c1", "vaddps", "avx"),
        ("c4 e2 70 f2 c2", "andn", "avx"),
        ("62 f1 74 48 58 c1", "vaddps", "avx512"),
        ("c4 e2 7b 49 c0", "tilezero", "amx"),
        ("66 0f 38 40 c1", "pmulld", "sse4"),
        ("66 41 0f 3a 0e c1 02", "pblendw", "sse4"),
        ("f3 48 0f b8 c1", "popcnt", "sse4"),
        ("f2 0f 7c c1", "haddps", "sse4"),
    ],
)
def test_instructions_are_told_apart(code: str, text: str, needed: str) -> None:
    assert instruction_set(code.split(), text) == needed
    assert needed in ALL or not needed
