"""Seeded bugs: what a slip of the hand might leave in the sources, and the tests that notice.

Each is a text that occurs once in its file, another in its place, and the tests meant to fail then,
as names beside `tests/`. A file has its path in one place.
"""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """One seeded bug."""

    id: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def is_c(self) -> bool:
        """Whether the C core is compiled anew for it."""
        return self.file.endswith((".c", ".h"))


def of(file: str, *bugs: tuple[str, str, str, str]) -> list[Bug]:
    """Return the bugs of a file, each (id, old, new, tests)."""
    return [Bug(name, file, old, new, tuple(tests.split())) for name, old, new, tests in bugs]
