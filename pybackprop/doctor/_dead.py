"""Dead units: those whose slope is 0 for every example."""

from __future__ import annotations

import math

from ..words import counted
from ._finding import Finding
from ._layers import LayerFlow
from ._lines import rebuild, redraw
from ._patient import Patient

# How many standard deviations above the number expected by chance is too many.
_DEVIATIONS = 4.0


def check_dead(patient: Patient, layers: tuple[LayerFlow, ...]) -> list[Finding]:
    """Look for layers with more dead units than random weights explain."""
    dying = [each for each in layers if _has_too_many(each)]
    # A network that has learned can do without some units.
    if not dying or patient.is_fitted:
        return []
    # No gradient passes a layer whose units are all dead. The first such layer and those below it
    # are counted.
    closed = next((each.layer for each in dying if each.dead == each.width), len(layers))
    below = [each for each in dying if each.layer <= closed]
    places = ", ".join(f"{each.dead} of {each.width} in layer {each.layer}" for each in below)
    dead = sum(each.dead for each in below)
    text = f"{counted(dead, 'dead unit')}: {places}, whose slope is 0 for every example"
    if layers[closed - 1].dead == layers[closed - 1].width:
        text += f"; no gradient comes back through layer {closed}"
    advice = [] if patient.is_as_drawn else [redraw(patient.net)]
    if any(each.activation == "relu" for each in below if each.layer < len(layers)):
        hidden = ["leaky_relu" if e.activation == "relu" else e.activation for e in layers[:-1]]
        advice.append(rebuild(patient.net, "whose slope below 0 is not 0", activation=hidden))
    evidence = {"dead": dead, "by_chance": sum(each.dead_by_chance for each in below)}
    return [Finding("dead", below[0].layer, text, evidence, tuple(advice))]


def _has_too_many(layer: LayerFlow) -> bool:
    expected = layer.dead_by_chance
    spread = math.sqrt(expected * (1.0 - expected / layer.width))
    return layer.dead == layer.width or layer.dead > expected + _DEVIATIONS * spread
