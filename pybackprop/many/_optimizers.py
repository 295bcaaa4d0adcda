"""The optimizers of many networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model import Model
from ..optimizers import Optimizer, as_optimizer, restore


def as_optimizers(value: Any, networks: Sequence[Model]) -> list[Optimizer]:
    """Return an optimizer for each network: new ones from a name or a pattern, or those given."""
    n = len(networks)
    if isinstance(value, str):
        return [as_optimizer(value) for _ in range(n)]
    if isinstance(value, Optimizer):
        return copies(value, n)
    if not hasattr(value, "__iter__"):
        raise TypeError(
            f"optimizers must be a name, an Optimizer or one for each network, got {value!r}"
        )
    found = list(value)
    if len(found) != n:
        raise ValueError(f"optimizers must hold one for each of {n} networks, got {len(found)}")
    for at, each in enumerate(found):
        if not isinstance(each, Optimizer):
            raise TypeError(f"optimizers must hold Optimizers, got {each!r} at index {at}")
    return found


def copies(optimizer: Optimizer, n: int) -> list[Optimizer]:
    """Return n new optimizers with the settings of one that has not been used."""
    state = optimizer.state_dict()
    if state["step"]:
        raise ValueError(
            f"an optimizer for several networks must be unused, but it has done {state['step']} "
            "updates of one; reset() it, or pass a list with one for each network"
        )
    settings = {**state["settings"], **optimizer._rates()}
    plain = {**state, "settings": settings, "state": {}}
    return [restore(type(optimizer), plain) for _ in range(n)]
