"""Fills the page with a network, a few examples, and what their passes compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from ..doctor import evenly
from ..files.write import write_atomically
from ..inputs import as_count, as_inputs, as_targets
from ..kernels import activation_derivative
from ..losses import smoothed
from ..pages.shell import fill, make
from ._learning import learning, rows_to_learn
from ._screens import FIRST_SCRIPTS, LAST_SCRIPT, TABS_STYLE, screens

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["make_page", "write_page"]

_ENGINE = ("activations", "losses", "network", "optimizers", "random")
_WALK = ("steps", "live", "panel", "paths", "draw", "matrix", "tune", "controls", "input")

# Digits kept of every number: more than float32 has, fewer than would make the page heavy.
_DIGITS = 9

# Files of a page with a network; what begins the page comes last.
STYLES = tuple(f"view/{part}/{part}.css" for part in ("walk", "train", "descent"))
SCRIPTS = (
    *(f"view/engine/{name}.js" for name in _ENGINE),
    *(f"view/walk/{name}.js" for name in _WALK),
    *(f"view/train/{name}.js" for name in ("run", "charts", "map", "column", "train")),
    *(f"view/descent/{name}.js" for name in ("contours", "picture", "weights")),
    "view/walk/start.js",
)


def write_page(
    net: Model,
    X: Any,
    y: Any,
    path: Any,
    *,
    examples: int = 8,
    neurons: int = 12,
    image_shape: tuple[int, int] | None = None,
    title: str | None = None,
) -> None:
    """Write the page of `make_page` to a file; an existing one is replaced atomically."""
    page = make_page(
        net, X, y, examples=examples, neurons=neurons, image_shape=image_shape, title=title
    )
    write_atomically(path, lambda file: file.write(page.encode()))


def make_page(
    net: Model,
    X: Any,
    y: Any,
    *,
    examples: int = 8,
    neurons: int = 12,
    image_shape: tuple[int, int] | None = None,
    title: str | None = None,
) -> str:
    """Return one self-contained HTML page on which a network can be followed, changed and trained.

    Walk goes through the passes of single examples. The cost is that of a single example, so that
    dC/dW = delta a^T holds as it stands, without a mean over a batch. Names of inputs and outputs
    are those in ``net.metadata``, if there are any.

    Train trains in the page on up to 256 rows of X, with a float64 engine whose steps are those of
    the package; dropout and factors of the learning rate are left out. It is available for the
    built-in losses and up to 20,000 parameters. The same holds for changing weights and inputs by
    hand.

    Parameters
    ----------
    net : Network
        The network; it is not changed.
    X : array_like, (N, n_0)
        Inputs, N >= 1.
    y : array_like
        Targets, as for `Network.cost`.
    examples : int
        How many rows, starting with the first, the page offers.
    neurons : int
        How many neurons of a layer are drawn at most; of a wider layer, evenly spaced ones.
    image_shape : (int, int), optional
        Height and width for showing the inputs as a greyscale picture, to tell examples apart.
    title : str, optional
        What the page is about, such as the name of the data; shown before the layers.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    """
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a string, got {title!r}")
    data = network_data(net, X, y, examples=examples, neurons=neurons, image_shape=image_shape)
    head = repr(net) if title is None else f"{title}: {net!r}"
    body = fill("view/header.html") + screens({"walk": walk(), "train": "", "descent": ""})
    scripts = (*FIRST_SCRIPTS, *SCRIPTS, "view/header.js", LAST_SCRIPT)
    return make(head, body, (TABS_STYLE, *STYLES), scripts, {**data, "name": title, "opens": ""})


def walk() -> str:
    """Return what stands on Walk, before its script fills it."""
    return fill("view/walk/walk.html")


def network_data(
    net: Model,
    X: Any,
    y: Any,
    *,
    examples: int = 8,
    neurons: int = 12,
    image_shape: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return what a page draws of a network and computes with; see `make_page`."""
    count = as_count(examples, "examples", low=1)
    most = as_count(neurons, "neurons", low=2)
    x = as_inputs(X, net.widths[0], net.dtype)
    targets = as_targets(y, len(x), net.widths[-1], net.loss, net.dtype)
    shape = None if image_shape is None else _as_image_shape(image_shape, net.widths[0])
    shown = [evenly(width, most) for width in net.widths]
    walked = min(count, len(x))
    kept = rows_to_learn(net, x, targets, walked)
    learnt = learning(net, x[kept], _of_loss(net, targets[kept]))
    return {
        **_network(net, shown, with_weights="reason" in learnt),
        "examples": [
            _example(net, x[row : row + 1], targets[row : row + 1], shown, shape)
            for row in range(walked)
        ],
        "imageShape": shape,
        "learning": learnt,
    }


def _as_image_shape(value: Any, width: int) -> list[int]:
    """Return height and width of a picture of all inputs."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"image_shape must be a pair of integers, got {value!r}")
    shape = [as_count(side, "image_shape", low=1) for side in value]
    if shape[0] * shape[1] != width:
        raise ValueError(f"image_shape must hold {width} inputs, got {value!r}")
    return shape


def _numbers(values: Any) -> Any:
    """Return numbers as nested lists, rounded to what the page keeps."""
    array = np.asarray(values, np.float64)
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [float(f"{value:.{_DIGITS}g}") for value in array.tolist()]


def _network(net: Model, shown: list[Array], *, with_weights: bool) -> dict[str, Any]:
    """Return what does not depend on the example; with the weights, if nothing else has them."""
    layers = []
    for at, (width, indices) in enumerate(zip(net.widths, shown, strict=True)):
        name = net.activations[at - 1] if at else ""
        names = _names(net, at, indices)
        layers.append({"width": width, "shown": indices.tolist(), "act": name, "names": names})
    weights = [
        {
            "W": _numbers(w[np.ix_(shown[at + 1], shown[at])]) if with_weights else None,
            "b": _numbers(b[shown[at + 1]]),
            "largest": float(np.abs(w).max()),
        }
        for at, (w, b) in enumerate(zip(net.weights, net.biases, strict=True))
    ]
    return {
        "layers": layers,
        "weights": weights,
        "loss": net.loss if isinstance(net.loss, str) else "custom",
        "l1": net.l1,
        "l2": net.l2,
        "scaled": net.scaling is not None,
        "dropout": any(net.dropout),
        "rates": net._layers_have_factors,
        "scales": net.input_scales is not None,
        "parameters": net.n_parameters,
        "dtype": str(net.dtype),
    }


def _names(net: Model, layer: int, indices: Array) -> list[str] | None:
    """Return the names of inputs or outputs that the metadata hold, of the neurons shown."""
    keys = {0: ("feature_names",), len(net.widths) - 1: ("class_names", "target_names")}
    for key in keys.get(layer, ()):
        names = net.metadata.get(key)
        if isinstance(names, list) and len(names) == net.widths[layer]:
            return [str(names[index]) for index in indices]
    return None


def _example(
    net: Model, x: Array, y: Array, shown: list[Array], image: list[int] | None
) -> dict[str, Any]:
    """Return what the two passes of one example, (1, n_0), compute."""
    trace = net.trace(x, y)
    assert trace.delta is not None
    a, z, delta = ([each[0] for each in part] for part in (trace.a, trace.z, trace.delta))
    # W^T delta, with the derivative in the inputs, as layer 1 sees them, at its front.
    pulled = [w.T @ d for w, d in zip(net.weights, delta, strict=True)]
    target = _rows_of(net, y)[0]
    pulled.append(_output_derivative(net.loss, a[-1], target))
    result = {
        "a": [_numbers(part[at]) for part, at in zip(a, shown, strict=True)],
        "z": [[], *(_numbers(part[at]) for part, at in zip(z, shown[1:], strict=True))],
        "delta": [[], *(_numbers(part[at]) for part, at in zip(delta, shown[1:], strict=True))],
        "pulled": [
            None if part is None else _numbers(part[at])
            for part, at in zip(pulled, shown, strict=True)
        ],
        "slope": [[]],
        "y": _numbers(target[shown[-1]]),
        "label": int(y[0, 0]) if _is_label(net, y) else None,
        "best": int(a[-1].argmax()),
        "cost": net.cost(x, y),
        "whole": [_summary(part) for part in a],
        "wholeDelta": [_summary(part) for part in (pulled[0], *delta)],
    }
    for part, name, at in zip(z, net.activations, shown[1:], strict=True):
        fused = name == "softmax"
        result["slope"].append(None if fused else _numbers(activation_derivative(name, part)[at]))
    if image is not None:
        result["image"] = _grey(x[0])
    return result


def _of_loss(net: Model, y: Array) -> Array:
    """Return targets as the loss takes them: with label smoothing, rows in place of labels."""
    return _rows_of(net, y) if net.label_smoothing else y


def _rows_of(net: Model, y: Array) -> Array:
    """Return targets as rows of float64, smoothed."""
    rows = np.eye(net.widths[-1])[y[:, 0]] if _is_label(net, y) else y.astype(np.float64)
    return smoothed(rows, net.label_smoothing)


def _is_label(net: Model, y: Array) -> bool:
    """Tell whether targets are class indices, (N, 1), rather than what the outputs should be."""
    return net.loss == "cross_entropy" and y.dtype.kind == "i"


def _output_derivative(loss: Any, a: Array, y: Array) -> Array | None:
    """Return dC/da of the output layer, if it is one of the plain losses'."""
    error: Array = a - y
    scaled: dict[Any, Array] = {
        "squared_error": 2.0 * error,
        "mse": 2.0 * error / len(error),
        "mae": np.sign(error) / len(error),
        "huber": np.clip(error, -1.0, 1.0) / len(error),
    }
    return scaled.get(loss) if isinstance(loss, str) else None


def _summary(values: Array) -> dict[str, float]:
    """Return figures of a whole layer, of which only a part may be drawn."""
    numbers = values.astype(np.float64)
    return {
        "norm": float(np.linalg.norm(numbers)),
        "least": float(numbers.min()),
        "most": float(numbers.max()),
        "zeros": int((numbers == 0.0).sum()),
    }


def _grey(x: Array) -> list[int]:
    """Return inputs as levels of grey, 0 to 255."""
    low, high = float(x.min()), float(x.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    levels: list[int] = ((x.astype(np.float64) - low) * scale).round().astype(int).tolist()
    return levels
