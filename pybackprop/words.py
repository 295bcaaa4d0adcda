"""Words for numbers."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """Return so many of something, such as 1 epoch or 1,081 epochs."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
