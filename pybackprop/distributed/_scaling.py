"""What a step should take on several nodes, from what it takes on one and what messages take.

The parts of a batch are done side by side; then sums of gradients travel by recursive halving and
doubling (R. Thakur, R. Rabenseifner and W. Gropp, Optimization of Collective Communication
Operations in MPICH, 2005, whose cost formula this is), with one more round of small messages for
the costs. Nothing overlaps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# Gradients up to this many bytes go whole: half as many messages.
SMALL = 16384


class Costs(NamedTuple):
    """What is measured, or known, of a network, a node and the messages between two nodes.

    Attributes
    ----------
    fixed, per_row : float
        A step of B rows on one node takes fixed + B per_row, in s. The former is the update, which
        every node does in full.
    gradient : float
        Bytes of all gradients.
    latency : float
        Of a message, s.
    bandwidth, adding : float
        How fast messages arrive, and gradients are added up, in bytes/s.
    """

    fixed: float
    per_row: float
    gradient: float
    latency: float
    bandwidth: float
    adding: float


def exchange_seconds(costs: Costs, nodes: int) -> float:
    """Return how long the messages of a step take, and the additions of what they bring."""
    rounds = (nodes - 1).bit_length()
    if costs.gradient <= SMALL:
        each = costs.gradient * (1 / costs.bandwidth + 1 / costs.adding)
        return rounds * (2 * costs.latency + each)
    part = (1 - 1 / nodes) * costs.gradient
    return 3 * rounds * costs.latency + part * (2 / costs.bandwidth + 1 / costs.adding)


def step_seconds(costs: Costs, batch: float, nodes: int) -> float:
    """Return how long a step takes if so many nodes share a batch of so many rows."""
    return costs.fixed + costs.per_row * batch / nodes + exchange_seconds(costs, nodes)


def speedup(costs: Costs, batch: float, nodes: int) -> float:
    """Return how many times as fast as one node so many are."""
    return step_seconds(costs, batch, 1) / step_seconds(costs, batch, nodes)


def break_even(costs: Costs) -> float:
    """Return the number of rows at which two nodes are as fast as one; may be infinite."""
    if costs.per_row <= 0:
        return math.inf
    return 2 * exchange_seconds(costs, 2) / costs.per_row
