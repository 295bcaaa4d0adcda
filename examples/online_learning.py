"""Online learning: a network that learns from every example as it comes, through a change.

Predicts the load of a machine from the time of day and the temperature. After two thirds of the
stream the machine is replaced, and the relation is another. Each example is predicted before it is
learnt from, so that the error is an honest one.

    python online_learning.py
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import pybackprop as bp

LENGTH, CHANGE, PART = 9000, 6000, 1000


def stream(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (1, 3) inputs and (1, 1) targets."""
    for number in range(LENGTH):
        hour, temperature = rng.uniform(0, 24), rng.normal()
        day = 2 * np.pi * hour / 24
        load = np.sin(day) + 0.5 * max(temperature, 0.0)
        if number >= CHANGE:
            load = 0.5 * np.cos(2 * day) - 0.3 * temperature
        x = np.array([[np.sin(day), np.cos(day), temperature]], np.float32)
        yield x, np.array([[load + 0.05 * rng.normal()]], np.float32)


def main() -> list[float]:
    """Learn, and return the root mean square error of every part of the stream."""
    net = bp.Network([3, 32, 32, 1], activation="silu", seed=0)
    optimizer = bp.SGD(lr=0.02, momentum=0.5, clip_norm=1.0)
    frozen, errors, frozen_errors = net, [], []
    print("   examples   learning   frozen at the change")
    for number, (x, y) in enumerate(stream(np.random.default_rng(0)), 1):
        errors.append(net.predict(x)[0, 0] - y[0, 0])
        frozen_errors.append(frozen.predict(x)[0, 0] - y[0, 0])
        net.step(x, y, optimizer)
        if number == CHANGE:
            frozen = net.copy()
        if number % PART == 0:
            late = rms(frozen_errors[-PART:]) if number > CHANGE else float("nan")
            print(f"{number:11,}{rms(errors[-PART:]):11.3f}{late:11.3f}")
    return [rms(errors[begin : begin + PART]) for begin in range(0, LENGTH, PART)]


def rms(errors: list[float]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(errors))))


if __name__ == "__main__":
    main()
