"""How many candidates are trained for how many epochs."""

from __future__ import annotations

from ..inputs import as_choice, as_count

METHODS = ("hyperband", "halving", "random")

# How many candidates "halving" and "random" try unless it is said.
_CANDIDATES = 27

# The rungs of a bracket: how many candidates are trained, and up to how many epochs.
Bracket = list[tuple[int, int]]


def log_floor(value: int, base: int) -> int:
    """Return the largest k with base^k <= value, without rounding."""
    power, k = base, 0
    while power <= value:
        power, k = power * base, k + 1
    return k


def _bracket(n: int, most: int, rungs: int, eta: int) -> Bracket:
    """Return a bracket of n candidates, of whom one in eta is kept after each rung."""
    made = []
    for rung in range(rungs + 1):
        epochs = max(1, most // eta ** (rungs - rung))
        made.append((max(1, n // eta**rung), epochs))
    return made


def make_brackets(method: str, n: int | None, max_epochs: int, eta: int) -> list[Bracket]:
    """Return the brackets of a search.

    n is the number of candidates, by default 27; hyperband finds its own numbers and refuses it.

    Hyperband (Li et al., Hyperband: a novel bandit-based approach to hyperparameter optimization,
    2018) with R = max_epochs: bracket s = s_max, …, 0, s_max = floor(log_eta R), begins with
    ceil((s_max + 1) eta^s / (s + 1)) candidates and R / eta^s epochs. Successive halving (Jamieson
    and Talwalkar, 2016) is a single bracket with n candidates.
    """
    as_choice(method, "method", METHODS)
    if method == "hyperband" and n is not None:
        raise ValueError(
            f"n must be None with method='hyperband', which finds its own numbers, got {n!r}"
        )
    count = _CANDIDATES if n is None else as_count(n, "n", low=1)
    most = as_count(max_epochs, "max_epochs", low=1)
    factor = as_count(eta, "eta", low=2)
    if method == "random":
        return [[(count, most)]]
    s_max = log_floor(most, factor)
    if method == "halving":
        return [_bracket(count, most, min(s_max, log_floor(count, factor)), factor)]
    sizes = [-(-(s_max + 1) * factor**s // (s + 1)) for s in range(s_max, -1, -1)]
    return [
        _bracket(size, most, s, factor) for size, s in zip(sizes, range(s_max, -1, -1), strict=True)
    ]


def limit(brackets: list[Bracket], most: int | None) -> list[Bracket]:
    """Return brackets with at most so many candidates each; None for any number."""
    if most is None:
        return brackets
    return [[(min(n, most), epochs) for n, epochs in bracket] for bracket in brackets]


def epochs_of(brackets: list[Bracket]) -> int:
    """Return how many epochs of one network brackets take, if training is continued."""
    total = 0
    for bracket in brackets:
        done = 0
        for n, epochs in bracket:
            total += n * (epochs - done)
            done = epochs
    return total
