"""Networks to and from PyTorch; only `to_torch` needs it to be installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._core import FLOAT32, FLOAT64, Array
from ..initializers import NAMES as INITIALIZERS
from ..inputs import as_choice

if TYPE_CHECKING:
    from ..network import Network


def _always(module: Any) -> bool:
    return True


# Class of a module: our name, and what its settings must be for the two to be the same function.
_ACTIVATIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "Identity": ("identity", _always),
    "Sigmoid": ("sigmoid", _always),
    "Tanh": ("tanh", _always),
    "ReLU": ("relu", _always),
    "LeakyReLU": ("leaky_relu", lambda module: bool(module.negative_slope == 0.01)),
    "ELU": ("elu", lambda module: bool(module.alpha == 1.0)),
    "SELU": ("selu", _always),
    "Softplus": ("softplus", lambda module: bool(module.beta == 1 and module.threshold >= 15)),
    "GELU": ("gelu", lambda module: bool(module.approximate == "none")),
    "SiLU": ("silu", _always),
    "Mish": ("mish", _always),
    "Softmax": ("softmax", lambda module: module.dim in (None, 1, -1)),
}


class Layer(NamedTuple):
    """One layer of a network read from elsewhere."""

    weight: Array
    bias: Array
    activation: str = "identity"
    dropout: float = 0.0


def from_torch(
    cls: type[Network], model: Any, activation: Any, output: Any, settings: dict[str, Any]
) -> Network:
    """Return a network with the layers of a model of PyTorch; see `Network.from_torch`."""
    if isinstance(model, Mapping):
        layers, scaling = _read_state(model)
        if activation is None and len(layers) > 1:
            raise ValueError("a state_dict does not tell activations: pass activation=")
    elif callable(getattr(model, "children", None)):
        if activation is not None:
            raise ValueError("activation is for a state_dict; this model has its own")
        layers, scaling = _read_modules(model)
        activation = [layer.activation for layer in layers[:-1]]
        settings = {"dropout": [layer.dropout for layer in layers[:-1]], **settings}
    else:
        raise TypeError(f"model must be an nn.Sequential or a state_dict, got {type(model)}")
    found = layers[-1].activation
    if output is None:
        output = found
    elif found not in ("identity", output):
        raise ValueError(f"output={output!r} does not fit: the model ends with {found}")
    if activation is None:
        activation = "identity"
    return build(cls, layers, scaling, {**settings, "activation": activation, "output": output})


def build(
    cls: type[Network],
    layers: list[Layer],
    scaling: tuple[Array, Array] | None,
    settings: dict[str, Any],
) -> Network:
    """Return a network of layers read from elsewhere, float64 if they are."""
    for at, (below, above) in enumerate(pairwise(layers)):
        if above.weight.shape[1] != len(below.weight):
            raise ValueError(
                f"layer {at + 1} takes {above.weight.shape[1]} inputs, but layer {at} has "
                f"{len(below.weight)} outputs"
            )
    double = any(layer.weight.dtype == FLOAT64 for layer in layers)
    widths = [layers[0].weight.shape[1], *(len(layer.weight) for layer in layers)]
    settings = {"dtype": FLOAT64 if double else FLOAT32, "init": "zeros", **settings}
    init = as_choice(settings["init"], "init", INITIALIZERS)
    # First weights are of no use here, and drawing orthogonal ones of a wide layer takes seconds.
    network = cls(widths, **{**settings, "init": "zeros"})
    network._init = init
    for at, layer in enumerate(layers):
        network.set_layer(at, layer.weight, layer.bias)
    if scaling is not None:
        network.set_scaling(*scaling)
    return network


def _as_array(tensor: Any) -> Array:
    """Return a tensor of PyTorch, or what NumPy can take, as float32 or float64."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        single = str(tensor.dtype) != "torch.float64"
        array = np.asarray(tensor.double().numpy())
        return array.astype(FLOAT32) if single else array
    array = np.asarray(tensor)
    if array.dtype.kind != "f":
        raise TypeError(f"weights must be tensors or arrays of floats, got {array.dtype}")
    return array if array.dtype == FLOAT64 else array.astype(FLOAT32)


def _flatten(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the modules of nested nn.Sequential in order, with their names."""
    for name, module in model.named_children():
        if type(module).__name__ == "Sequential":
            yield from _flatten(module, f"{prefix}{name}.")
        else:
            yield prefix + name, module


def _read_modules(model: Any) -> tuple[list[Layer], tuple[Array, Array] | None]:
    """Return the layers and the scaling of an nn.Sequential."""
    if type(model).__name__ != "Sequential":
        raise TypeError(
            f"model must be an nn.Sequential, whose modules run in their order, got {type(model)}; "
            "the state_dict of another model will do if its layers are dense and follow each other"
        )
    layers: list[Layer] = []
    scaling = None
    for name, module in _flatten(model):
        kind = type(module).__name__
        where = f"module {name} ({module})"
        if kind == "Linear":
            weight = _as_array(module.weight)
            bias = np.zeros(len(weight)) if module.bias is None else _as_array(module.bias)
            layers.append(Layer(weight, bias))
        elif kind == "Scaling" and not layers and scaling is None:
            scaling = _as_array(module.shift), _as_array(module.scale)
        elif kind == "Flatten" and not layers and module.start_dim == 1:
            continue
        elif kind in ("Dropout", "Identity") and not layers:
            raise ValueError(f"{where} is before the first layer, which a network cannot have")
        elif kind == "Dropout":
            layers[-1] = layers[-1]._replace(dropout=float(module.p))
        elif kind in _ACTIVATIONS and layers:
            ours, same = _ACTIVATIONS[kind]
            taken = "identity" not in (layers[-1].activation, ours)
            late = layers[-1].dropout and kind not in ("Identity", "ReLU", "LeakyReLU")
            if not same(module) or taken or late:
                raise ValueError(f"{where} is no activation that a network can have there")
            layers[-1] = layers[-1]._replace(
                activation=layers[-1].activation if ours == "identity" else ours
            )
        else:
            raise ValueError(f"{where} is nothing that a network can have there")
    if not layers:
        raise ValueError("model must have at least one nn.Linear")
    if layers[-1].dropout:
        raise ValueError("model ends with dropout, which a network cannot have there")
    return layers, scaling


def _read_state(state: Mapping[str, Any]) -> tuple[list[Layer], tuple[Array, Array] | None]:
    """Return the layers and the scaling in a state_dict."""
    weights: dict[str, Array] = {}
    others: dict[str, Array] = {}
    for name, tensor in state.items():
        array = _as_array(tensor)
        prefix, _, kind = name.rpartition(".")
        if kind == "weight" and array.ndim == 2:
            weights[prefix] = array
        elif kind in ("bias", "shift", "scale") and array.ndim == 1:
            others[name] = array
        else:
            raise ValueError(f"state_dict: {name} of shape {array.shape} is not of a dense layer")
    layers = []
    for prefix in _in_order(list(weights)):
        weight = weights[prefix]
        bias = others.pop(f"{prefix}.bias" if prefix else "bias", np.zeros(len(weight)))
        layers.append(Layer(weight, bias))
    scaling = None
    first = next((name.removesuffix("shift") for name in others if name.endswith("shift")), None)
    if first is not None and f"{first}scale" in others:
        scaling = others.pop(f"{first}shift"), others.pop(f"{first}scale")
    if others or not layers:
        what = f"{next(iter(others))} belongs to no layer" if others else "it has no layer"
        raise ValueError(f"state_dict: {what}")
    return layers, scaling


def _in_order(prefixes: list[str]) -> list[str]:
    """Return layers by number where they differ in one number only, else as they come."""
    parts = [re.split(r"(\d+)", prefix) for prefix in prefixes]
    numbers = [[int(part) for part in each[1::2]] for each in parts]
    if len({tuple(each[::2]) for each in parts}) == 1 and numbers[0]:
        return [prefix for _, prefix in sorted(zip(numbers, prefixes, strict=True))]
    return prefixes


def to_torch(network: Network) -> Any:
    """Return an nn.Sequential with the layers of a network; see `Network.to_torch`."""
    import torch
    from torch import nn

    from .torch_modules import Scaling

    made: dict[str, Callable[[], Any]] = {
        "softmax": lambda: nn.Softmax(dim=1),
        **{
            ours: getattr(nn, name)
            for name, (ours, _) in _ACTIVATIONS.items()
            if ours not in ("identity", "softmax")
        },
    }
    modules: list[Any] = []
    if network.scaling is not None:
        shift, scale = (torch.from_numpy(each.astype(network.dtype)) for each in network.scaling)
        modules.append(Scaling(shift, scale))
    rates = (*network.dropout, 0.0)
    for w, b, name, rate in zip(
        network.weights, network.biases, network.activations, rates, strict=True
    ):
        weight, bias = torch.from_numpy(w.copy()), torch.from_numpy(b.copy())
        linear = nn.Linear(w.shape[1], w.shape[0], dtype=weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        modules.append(linear)
        if name != "identity":
            modules.append(made[name]())
        if rate:
            modules.append(nn.Dropout(rate))
    return nn.Sequential(*modules).eval()
