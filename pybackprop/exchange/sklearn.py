"""Networks from scikit-learn estimators; scikit-learn need not be installed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .layers import Layer, build, native_class

if TYPE_CHECKING:
    from ..model import Kind, Model

_OUTPUTS = {"identity": "identity", "logistic": "sigmoid", "softmax": "softmax"}
# Where the estimators are, and what computes the outputs that a network is to give.
_PACKAGES = ("sklearn.neural_network", "pybackprop.sklearn")
_FORWARD = {"_forward_pass", "_forward_pass_fast", "_outputs"}
_PIPELINES = ("sklearn.pipeline", "imblearn.pipeline")
_PIPELINE = frozenset({"predict", "predict_proba", "_iter"})
_COMPUTED_BY = {
    "MLPClassifier": frozenset({"predict_proba", *_FORWARD}),
    "MLPRegressor": frozenset({"predict", "_predict", *_FORWARD}),
}


def from_sklearn(cls: type[Kind], estimator: Any, settings: dict[str, Any]) -> Kind:
    """Return a network with the layers of a fitted estimator; see `Network.from_sklearn`."""
    for name in ("activation", "output"):
        if name in settings:
            raise TypeError(f"{name} is that of the estimator and cannot be given")
    steps: list[Any] = []
    scaling = None
    if any(native_class(estimator, package, _PIPELINE) for package in _PIPELINES):
        steps = [step for _, step in estimator.steps[:-1]]
        scaling = _read_steps(estimator.steps[:-1])
        estimator = estimator.steps[-1][1]
    _check_kind(estimator)
    own = getattr(estimator, "network_", None)
    if own is not None and own.scaling is not None:
        if scaling is not None:
            raise ValueError("the network of the estimator has a scaling, besides the Pipeline's")
        scaling = own.scaling
    activations = _activations(estimator)
    layers = [
        Layer(np.ascontiguousarray(w.T), np.array(b))
        for w, b in zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ]
    output = activations[-1]
    if hasattr(estimator, "classes_") and output == "sigmoid" and len(layers[-1].bias) == 1:
        output, layers[-1] = "softmax", _two_classes(layers[-1])
    settings = {**settings, "activation": activations[:-1], "output": output}
    network = build(cls, layers, scaling, settings)
    set_names(network, estimator, steps)
    return network


def _check_kind(estimator: Any) -> None:
    """Refuse what is not an estimator of the two kinds, or not fitted."""
    kinds = [native_class(estimator, package, frozenset()) for package in _PACKAGES]
    kind = next((kind for kind in kinds if kind in _COMPUTED_BY), None)
    if kind is None:
        raise TypeError(
            f"estimator must be an MLPClassifier or MLPRegressor, or a Pipeline of a "
            f"StandardScaler and one, got {type(estimator).__name__}"
        )
    if not any(native_class(estimator, package, _COMPUTED_BY[kind]) for package in _PACKAGES):
        raise TypeError(
            f"estimator must compute what {kind} does, but {type(estimator).__name__} has methods "
            "of its own in its place"
        )
    if not hasattr(estimator, "coefs_"):
        raise ValueError("estimator is not fitted")


def _activations(estimator: Any) -> list[str]:
    """Return the activation of every layer, the last one included."""
    if estimator.out_activation_ not in _OUTPUTS:
        raise ValueError(
            f"estimator has the output activation {estimator.out_activation_!r}, that of "
            f"loss={getattr(estimator, 'loss', None)!r}, which no network has"
        )
    if hasattr(estimator, "network_"):
        # The parameter may have been set to something else since the fit.
        return list(estimator.network_.activations)
    hidden = ["sigmoid" if estimator.activation == "logistic" else estimator.activation]
    return [*hidden * (len(estimator.coefs_) - 1), _OUTPUTS[estimator.out_activation_]]


def _two_classes(layer: Layer) -> Layer:
    """Return a layer of two outputs whose softmax is 1 - p and p, for the single sigmoid p."""
    return Layer(
        np.concatenate([np.zeros_like(layer.weight), layer.weight]),
        np.concatenate([np.zeros_like(layer.bias), layer.bias]),
    )


def _read_steps(steps: list[tuple[str, Any]]) -> tuple[Array, Array] | None:
    """Return shift and scale of what a Pipeline has before its estimator."""
    scaling = None
    for name, step in steps:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            continue
        kind = native_class(step, "sklearn.preprocessing", frozenset({"transform"}))
        if kind != "StandardScaler" or scaling is not None:
            raise ValueError(f"step {name!r} ({step}) is not one StandardScaler")
        scaling = _read_scaler(name, step)
    return scaling


def _read_scaler(name: str, scaler: Any) -> tuple[Array, Array]:
    """Return shift and scale of a fitted StandardScaler."""
    if not hasattr(scaler, "n_features_in_"):
        raise ValueError(f"step {name!r} is not fitted")
    width = scaler.n_features_in_
    shift = np.zeros(width) if not scaler.with_mean else np.asarray(scaler.mean_)
    scale = np.ones(width) if not scaler.with_std else 1.0 / np.asarray(scaler.scale_)
    return shift, scale


def set_names(network: Model, estimator: Any, steps: list[Any]) -> None:
    """Put the names that a fitted estimator knows into a network's metadata.

    The names of inputs may be known only to a step before the estimator. A single output that
    stands for two classes is named after the second, whose probability it is. Names that are too
    much for the metadata are left out.
    """
    found = dict(network.metadata)
    n_in, n_out = network.widths[0], network.widths[-1]
    classes = [str(name) for name in getattr(estimator, "classes_", [])]
    if network.activations[-1] == "sigmoid" and (n_out, len(classes)) == (1, 2):
        del classes[0]
    if classes and len(classes) == n_out:
        softmax = network.activations[-1] == "softmax"
        found["class_names" if softmax else "target_names"] = classes
    known = (getattr(each, "feature_names_in_", None) for each in (*steps, estimator))
    names = next((each for each in known if each is not None), None)
    if names is not None and len(names) == n_in:
        found["feature_names"] = [str(name) for name in names]
    with contextlib.suppress(ValueError):
        network.metadata = found
