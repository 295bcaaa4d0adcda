"""Networks from estimators of scikit-learn, which need not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .torch import Layer, build

if TYPE_CHECKING:
    from ..network import Network

_OUTPUTS = {"identity": "identity", "logistic": "sigmoid", "softmax": "softmax"}
_LOSSES = {"identity": "mse", "sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}


def from_sklearn(cls: type[Network], estimator: Any, settings: dict[str, Any]) -> Network:
    """Return a network with the layers of a fitted estimator; see `Network.from_sklearn`."""
    for name in ("activation", "output"):
        if name in settings:
            raise TypeError(f"{name} is that of the estimator and cannot be given")
    scaling = None
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        for name, step in steps[:-1]:
            if type(step).__name__ != "StandardScaler" or scaling is not None:
                raise ValueError(f"step {name!r} ({step}) is not one StandardScaler")
            scaling = _read_scaler(name, step)
        estimator = steps[-1][1]
    if not hasattr(estimator, "hidden_layer_sizes"):
        raise TypeError(
            f"estimator must be an MLPClassifier or MLPRegressor, or a Pipeline of a "
            f"StandardScaler and one, got {type(estimator).__name__}"
        )
    if not hasattr(estimator, "coefs_"):
        raise ValueError("estimator is not fitted")
    hidden = estimator.activation
    if isinstance(hidden, str):
        hidden = [hidden] * (len(estimator.coefs_) - 1)
    activation = ["sigmoid" if name == "logistic" else name for name in hidden]
    output = _OUTPUTS.get(estimator.out_activation_, estimator.out_activation_)
    layers = [
        Layer(np.ascontiguousarray(w.T), np.array(b))
        for w, b in zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ]
    classes = getattr(estimator, "classes_", None)
    if classes is not None and output == "sigmoid" and len(layers[-1].bias) == 1:
        output, layers[-1] = "softmax", _two_classes(layers[-1])
    network = build(
        cls,
        layers,
        scaling,
        {
            "loss": _LOSSES.get(output, "mse"),
            **settings,
            "activation": activation,
            "output": output,
        },
    )
    network.metadata = _describe(estimator, classes, output)
    return network


def _two_classes(layer: Layer) -> Layer:
    """Return a layer of two outputs, whose softmax is 1 - p and p of the one sigmoid p."""
    return Layer(
        np.concatenate([np.zeros_like(layer.weight), layer.weight]),
        np.concatenate([np.zeros_like(layer.bias), layer.bias]),
    )


def _read_scaler(name: str, scaler: Any) -> tuple[Array, Array]:
    """Return shift and scale of a fitted StandardScaler."""
    if not hasattr(scaler, "n_features_in_"):
        raise ValueError(f"step {name!r} is not fitted")
    width = scaler.n_features_in_
    shift = np.zeros(width) if not scaler.with_mean else np.asarray(scaler.mean_)
    scale = np.ones(width) if not scaler.with_std else 1.0 / np.asarray(scaler.scale_)
    return shift, scale


def _describe(estimator: Any, classes: Any, output: str) -> dict[str, Any]:
    """Return names of inputs and classes as metadata."""
    found: dict[str, Any] = {}
    if classes is not None:
        key = "class_names" if output == "softmax" else "target_names"
        found[key] = [str(name) for name in classes]
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        found["feature_names"] = [str(name) for name in names]
    return found
