"""Histograms of what a network holds: weights, activations and gradients of every layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .._core import Array
from ._patient import Patient

_BINS = 40

# A few outliers would leave all others one bin, so each of the two ends holds this share.
_TAIL = 0.002


@dataclass(frozen=True, eq=False)
class Histogram:
    """How values are spread.

    Attributes
    ----------
    counts : ndarray of int, (bins,)
        Number of values in each bin; the first and the last also count those beyond.
    edges : ndarray, (bins + 1,)
        Where bins begin and end.
    """

    counts: Array = field(repr=False)
    edges: Array = field(repr=False)


@dataclass(frozen=True)
class LayerHistograms:
    """Histograms of one layer: of W_l, of a_l over the examples, and of dC/dW_l."""

    weights: Histogram
    activations: Histogram
    gradients: Histogram


def histograms(patient: Patient) -> tuple[LayerHistograms, ...]:
    """Return the histograms of layers 1 … L."""
    layers = zip(patient.net.weights, patient.trace.a[1:], patient.gradients.weights, strict=True)
    return tuple(LayerHistograms(*map(_histogram, layer)) for layer in layers)


def _histogram(values: Array) -> Histogram:
    """Count finite values."""
    flat = values[np.isfinite(values)].astype(np.float64)
    if not flat.size:
        return Histogram(np.zeros(_BINS, np.int64), np.linspace(-0.5, 0.5, _BINS + 1))
    low, high = np.quantile(flat, [_TAIL, 1.0 - _TAIL])
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        # Values that are all but equal get bins about them.
        width = max(float(np.ptp(flat)), 1e-3 * abs(float(low)), 1e-12)
        low, high = low - width, high + width
    counts, edges = np.histogram(np.clip(flat, low, high), _BINS, (low, high))
    return Histogram(counts, edges)
