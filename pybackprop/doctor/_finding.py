"""What an examination finds: a cause, its evidence in numbers, and what to change."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """A cause of trouble in training; printable.

    Attributes
    ----------
    cause : str
        Its name, one of `CAUSES`.
    layer : int or None
        The layer, 1 … L, that it concerns or starts from; None for the data and the step.
    text : str
        The finding in a sentence.
    evidence : dict of str to float
        The numbers that it rests on, by name.
    advice : tuple of str
        What to change, the most promising first: lines of Python for a program that has `bp` (this
        package), `np`, `net`, `X`, `y` and `optimizer`. Advice that the network already follows is
        left out.
    """

    cause: str
    layer: int | None
    text: str
    evidence: dict[str, float] = field(hash=False)
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the finding with its advice, one line each."""
        return "\n".join([f"{self.cause}: {self.text}", *(f"    {line}" for line in self.advice)])
