"""What a setting is drawn from in a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..inputs import as_count, as_real


class Distribution(NamedTuple):
    """Numbers from `low` to `high`.

    They are spread evenly ("uniform"), or their logarithms are ("log"), or they are integers
    ("integers").
    """

    kind: str
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float | int:
        """Return one value."""
        if self.kind == "integers":
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        if self.kind == "log":
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(rng.uniform(self.low, self.high))


def _ordered(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"low must not be above high, got {low:g} and {high:g}")


def uniform(low: float, high: float) -> Distribution:
    """Return the uniform distribution over [low, high]."""
    ends = as_real(low, "low"), as_real(high, "high")
    _ordered(*ends)
    return Distribution("uniform", *ends)


def log(low: float, high: float) -> Distribution:
    """Return the distribution over [low, high], both above 0, whose logarithm is uniform."""
    ends = as_real(low, "low", low=0.0), as_real(high, "high", low=0.0)
    _ordered(*ends)
    if ends[0] == 0:
        raise ValueError("low must be above 0 for a logarithm")
    return Distribution("log", *ends)


def integers(low: int, high: int) -> Distribution:
    """Return the uniform distribution over the integers low, …, high."""
    ends = as_count(low, "low"), as_count(high, "high")
    _ordered(*ends)
    return Distribution("integers", *ends)


def _check(source: Any, name: str) -> None:
    """Refuse what nothing can be drawn from."""
    if isinstance(source, Distribution) or hasattr(source, "rvs"):
        return
    if isinstance(source, (str, bytes)) or not isinstance(source, (Sequence, np.ndarray)):
        raise TypeError(
            f"space[{name!r}] must be a list of choices, tuning.uniform, tuning.log, "
            f"tuning.integers or a distribution of SciPy, got {source!r}"
        )
    if not len(source):
        raise ValueError(f"space[{name!r}] must have at least one choice")


def _is_list(source: Any) -> bool:
    return not (isinstance(source, Distribution) or hasattr(source, "rvs"))


class Space:
    """What settings are drawn from: for each a list of choices, or a distribution.

    Attributes
    ----------
    size : int or None
        How many combinations there are; None unless all sources are lists.
    """

    def __init__(self, sources: Any) -> None:
        if not isinstance(sources, Mapping) or not sources:
            raise TypeError(f"space must be a dict with at least one setting, got {sources!r}")
        for name, source in sources.items():
            _check(source, name)
        self._sources = dict(sources)
        self.size: int | None = None
        if all(map(_is_list, self._sources.values())):
            self.size = math.prod(map(len, self._sources.values()))

    def draw(self, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Return n settings, or all combinations of choices if there are fewer.

        No combination is drawn twice unless a distribution is among the sources.
        """
        wanted = n if self.size is None else min(n, self.size)
        found: list[dict[str, Any]] = []
        seen: set[tuple[int, ...]] = set()
        while len(found) < wanted:
            drawn = {name: _draw(source, rng) for name, source in self._sources.items()}
            if self.size is not None:
                places = tuple(place for place, _ in drawn.values())
                if places in seen:
                    continue
                seen.add(places)
            found.append({name: value for name, (_, value) in drawn.items()})
        return found


def _draw(source: Any, rng: np.random.Generator) -> tuple[int, Any]:
    """Return a value, and its place in a list of choices."""
    if isinstance(source, Distribution):
        return 0, source.draw(rng)
    if hasattr(source, "rvs"):  # of scipy.stats
        return 0, source.rvs(random_state=int(rng.integers(2**31))).item()
    place = int(rng.integers(len(source)))
    return place, source[place]
