"""Median, spread and ratios of what was measured in rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The middle half of some figures."""

    median: float
    q25: float
    q75: float


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return a quantile, by linear interpolation between the sorted values.

    Raises
    ------
    ValueError
        There are no values, or the fraction is outside [0, 1].
    """
    if not values:
        raise ValueError("values must not be empty")
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    return Spread(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75))


def ratio(others: Sequence[float], own: Sequence[float]) -> Spread:
    """Return the spread of others / own, taken round by round.

    What slows a machine down for a while slows both in the same round, and so leaves their ratio
    alone.
    """
    return spread([a / b for a, b in zip(others, own, strict=True)])


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    if not values:
        raise ValueError("values must not be empty")
    return math.exp(sum(map(math.log, values)) / len(values))
