"""The doctor: why a network does not learn, and what to change.

`examine` looks for causes in an order in which earlier ones bring about later ones. Data come
first, since no advice on the network can cure them; what a layer's gradients look like comes last.

The causes are listed where users look, at `gradient_flow`.
"""

from ._depth import EXPLODING, VANISHING
from ._examine import CAUSES, examine, first_cause
from ._finding import Finding
from ._histograms import Histogram, LayerHistograms, histograms
from ._layers import LayerFlow, measure
from ._losses import as_matrix, constant_loss, mean_loss
from ._patient import Patient, evenly

__all__ = [
    "CAUSES",
    "EXPLODING",
    "VANISHING",
    "Finding",
    "Histogram",
    "LayerFlow",
    "LayerHistograms",
    "Patient",
    "as_matrix",
    "constant_loss",
    "evenly",
    "examine",
    "first_cause",
    "histograms",
    "mean_loss",
    "measure",
]
