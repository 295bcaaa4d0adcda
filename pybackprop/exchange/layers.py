"""Networks put together from layers that were read from elsewhere."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import FLOAT32, FLOAT64, Array
from ..initializers import NAMES as INITIALIZERS
from ..inputs import as_choice
from ..losses import LOSS_OF

if TYPE_CHECKING:
    from ..model import Kind


class Layer(NamedTuple):
    """One layer of a network read from elsewhere."""

    weight: Array
    bias: Array
    activation: str = "identity"
    dropout: float = 0.0


def build(
    cls: type[Kind],
    layers: list[Layer],
    scaling: tuple[Array, Array] | None,
    settings: dict[str, Any],
) -> Kind:
    """Return a network of layers read from elsewhere, float64 if they are.

    `settings` are arguments of `Network`, output among them; the loss is by default the one that
    goes with it.
    """
    for at, (below, above) in enumerate(pairwise(layers)):
        if above.weight.shape[1] != len(below.weight):
            raise ValueError(
                f"layer {at + 1} takes {above.weight.shape[1]} inputs, but layer {at} has "
                f"{len(below.weight)} outputs"
            )
    double = any(layer.weight.dtype == FLOAT64 for layer in layers)
    widths = [layers[0].weight.shape[1], *(len(layer.weight) for layer in layers)]
    settings = {
        "dtype": FLOAT64 if double else FLOAT32,
        "init": "zeros",
        "loss": LOSS_OF.get(settings["output"], "mse"),  # if the source names none
        **settings,
    }
    init = as_choice(settings["init"], "init", INITIALIZERS)
    # Initial weights are of no use here, and orthogonal ones of a wide layer take seconds to draw.
    network = cls(widths, **{**settings, "init": "zeros"})
    network._init = init
    for at, layer in enumerate(layers):
        network.set_layer(at, layer.weight, layer.bias)
    if scaling is not None:
        network.set_scaling(*scaling)
    return network


def native_class(thing: Any, package: str, computed_by: frozenset[str]) -> str | None:
    """Return the name of the package's class that computes what an object computes.

    It is the first such class in the method resolution order. None if there is no such class, or if
    a subclass of it, or the object itself, overrides one of the methods in `computed_by`. So a
    class is never recognised by its name alone.
    """
    if computed_by & getattr(thing, "__dict__", {}).keys():
        return None
    for kind in type(thing).__mro__:
        if kind.__module__ == package or kind.__module__.startswith(f"{package}."):
            return kind.__name__
        if computed_by & vars(kind).keys():
            return None
    return None
