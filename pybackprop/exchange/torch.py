"""Networks to and from PyTorch; only `to_torch` needs it to be installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import FLOAT32, FLOAT64, Array
from .._optional import optional
from .layers import Layer, build, native_class

if TYPE_CHECKING:
    from ..model import Kind, Model


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
# What a subclass of a PyTorch module must not override to compute what that module computes.
_COMPUTED_BY = frozenset(
    {
        "forward",
        "__call__",
        "_call_impl",
        "_wrapped_call_impl",
        "__iter__",
        "__getattr__",
        "__getattribute__",
    }
)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def from_torch(
    cls: type[Kind], model: Any, activation: Any, output: Any, settings: dict[str, Any]
) -> Kind:
    """Return a network with the layers of a model of PyTorch; see `Network.from_torch`."""
    if isinstance(model, Mapping):
        layers, scaling = _read_state(model)
        if activation is None and len(layers) > 1:
            raise ValueError("a state_dict does not tell activations: pass activation=")
    elif callable(getattr(model, "children", None)):
        if activation is not None:
            raise ValueError("activation is for a state_dict; this model has its own")
        layers, scaling = _Modules(model).read()
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


def _as_array(tensor: Any, name: str) -> Array:
    """Return a tensor of PyTorch, or what NumPy can take, as float32 or float64."""
    if not hasattr(tensor, "detach"):
        array = np.asarray(tensor)
        if array.dtype.kind != "f":
            raise TypeError(
                f"{name}: weights must be tensors or arrays of floats, got {array.dtype}"
            )
        return array.astype(FLOAT32 if array.dtype.itemsize < 8 else FLOAT64, copy=False)
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: weights must be tensors of floats, got {tensor.dtype}")
    single = str(tensor.dtype) != "torch.float64"
    try:
        array = np.asarray(tensor.detach().cpu().double().numpy())
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        # A tensor without a device or a shape, a sparse one, or one of a kind only PyTorch knows.
        raise ValueError(f"{name} has no values that NumPy can take: {error}") from error
    return array.astype(FLOAT32) if single else array


def _native(module: Any) -> str | None:
    return native_class(module, "torch.nn.modules", _COMPUTED_BY)


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Hold a module in evaluation mode, in which a parametrization leaves its own state alone."""
    modes = [(each, each.training) for each in module.modules()]
    for each, _ in modes:
        each.training = False
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


def _is_pruning(hook: Any) -> bool:
    return native_class(hook, "torch.nn.utils.prune", frozenset({"apply_mask"})) is not None


def _parameter(module: Any, where: str, name: str) -> Array | None:
    """Return a parameter as the module uses it, after pruning masks and parametrizations."""
    with _evaluating(module):
        tensor = getattr(module, name)
        for hook in module._forward_pre_hooks.values():
            if _is_pruning(hook) and hook._tensor_name == name:
                tensor = hook.apply_mask(module)
    return None if tensor is None else _as_array(tensor, f"{name} of {where}")


def _refuse_hooks(holder: Any, names: tuple[str, ...], where: str) -> None:
    """Refuse functions that run before or after a forward pass, as they may change its result."""
    for name in names:
        hooks = getattr(holder, name, None) or {}
        found = next((hook for hook in hooks.values() if not _is_pruning(hook)), None)
        if found is not None:
            raise ValueError(
                f"{where} has a forward hook, {found!r}, which may change what it computes; "
                "remove it first"
            )


class _Modules:
    """Reads the layers and the scaling of an nn.Sequential."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.layers: list[Layer] = []
        self.scaling: tuple[Array, Array] | None = None

    def read(self) -> tuple[list[Layer], tuple[Array, Array] | None]:
        """Take every module in the order in which they run."""
        if _native(self.model) != "Sequential":
            raise TypeError(
                "model must be an nn.Sequential, whose modules run in their order, and which has "
                f"PyTorch's own forward, got {type(self.model)}; the state_dict of another model "
                "will do if its layers are dense and follow each other"
            )
        shared = sys.modules.get("torch.nn.modules.module")
        _refuse_hooks(shared, tuple(f"_global{name}" for name in _HOOKS), "every module")
        for name, module in self._flatten(self.model, "model"):
            self._take(f"module {name} ({module})", module)
        if not self.layers:
            raise ValueError("model must have at least one nn.Linear")
        if self.layers[-1].dropout:
            raise ValueError("model ends with dropout, which a network cannot have there")
        return self.layers, self.scaling

    def _flatten(self, model: Any, where: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield the modules of nested nn.Sequential in order, with their names.

        A module that is used twice comes twice, which `named_children` would not give.
        """
        _refuse_hooks(model, _HOOKS, where)
        for name, module in model._modules.items():
            if _native(module) == "Sequential":
                yield from self._flatten(module, f"module {prefix}{name}", f"{prefix}{name}.")
            else:
                yield prefix + name, module

    def _take(self, where: str, module: Any) -> None:
        """Take one module."""
        kind = _native(module)
        ours = native_class(module, "pybackprop.exchange.torch_modules", _COMPUTED_BY)
        if kind == "LazyLinear":
            raise ValueError(f"{where} has no weights before it has seen a batch: run one through")
        _refuse_hooks(module, _HOOKS, where)
        if kind == "Linear":
            self._take_linear(where, module)
        elif ours == "Scaling" and not self.layers and self.scaling is None:
            shift = _as_array(module.shift, f"shift of {where}")
            self.scaling = shift, _as_array(module.scale, f"scale of {where}")
        elif kind == "Flatten" and not self.layers and _is_plain(module):
            return
        elif kind == "Dropout":
            self._take_dropout(where, module)
        elif kind in _ACTIVATIONS:
            self._take_activation(where, module, kind)
        else:
            raise ValueError(f"{where} is nothing that a network can have there")

    def _take_linear(self, where: str, module: Any) -> None:
        weight = _parameter(module, where, "weight")
        if weight is None or weight.ndim != 2:
            raise ValueError(f"{where} has no matrix of weights")
        bias = _parameter(module, where, "bias")
        self.layers.append(Layer(weight, np.zeros(len(weight)) if bias is None else bias))

    def _take_dropout(self, where: str, module: Any) -> None:
        if not self.layers:
            raise ValueError(f"{where} is before the first layer, which a network cannot have")
        if module.training != self.model.training:
            raise ValueError(
                f"{where} is not in the mode of the model: call model.train() or model.eval()"
            )
        rate, before = float(module.p), self.layers[-1].dropout
        if before:
            # Two in a row act like one whose rate of keeping is the product of theirs.
            rate = 1.0 - (1.0 - before) * (1.0 - rate)
        self.layers[-1] = self.layers[-1]._replace(dropout=rate)

    def _take_activation(self, where: str, module: Any, kind: str) -> None:
        ours, same = _ACTIVATIONS[kind]
        if ours == "identity":
            return
        if not self.layers:
            raise ValueError(f"{where} is before the first layer, which a network cannot have")
        taken = self.layers[-1].activation != "identity"
        late = self.layers[-1].dropout and kind not in ("ReLU", "LeakyReLU")
        if not same(module) or taken or late:
            raise ValueError(f"{where} is no activation that a network can have there")
        self.layers[-1] = self.layers[-1]._replace(activation=ours)


def _is_plain(flatten: Any) -> bool:
    """Tell whether an nn.Flatten makes rows of whatever comes in."""
    return bool(flatten.start_dim == 1 and flatten.end_dim == -1)


def _read_state(state: Mapping[str, Any]) -> tuple[list[Layer], tuple[Array, Array] | None]:
    """Return the layers and the scaling in a state_dict."""
    weights: dict[str, Array] = {}
    others: dict[str, Array] = {}
    for name, tensor in state.items():
        if not isinstance(name, str):
            raise TypeError(f"state_dict: names must be strings, got {name!r}")
        array = _as_array(tensor, f"state_dict: {name}")
        prefix, _, kind = name.rpartition(".")
        if kind == "weight" and array.ndim == 2:
            weights[prefix] = array
        elif kind in ("bias", "shift", "scale") and array.ndim == 1:
            others[name] = array
        else:
            raise ValueError(f"state_dict: {name} of shape {array.shape} is not of a dense layer")
    layers = []
    prefixes = _in_order(list(weights))
    for prefix in prefixes:
        weight = weights[prefix]
        bias = others.pop(f"{prefix}.bias" if prefix else "bias", np.zeros(len(weight)))
        layers.append(Layer(weight, bias))
    scaling = None
    first = next((name.removesuffix("shift") for name in others if name.endswith("shift")), None)
    if first is not None and f"{first}scale" in others:
        if prefixes and not _comes_first(first.removesuffix("."), prefixes[0], list(state)):
            raise ValueError(
                f"state_dict: {first}shift and {first}scale come after the first layer, but the "
                "scaling of a network is before it"
            )
        scaling = others.pop(f"{first}shift"), others.pop(f"{first}scale")
    if others or not layers:
        what = f"{next(iter(others))} belongs to no layer" if others else "it has no layer"
        raise ValueError(f"state_dict: {what}")
    return layers, scaling


def _parts(prefix: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the texts and the numbers that a name is made of."""
    parts = re.split(r"(\d+)", prefix)
    return tuple(parts[::2]), tuple(map(int, parts[1::2]))


def _in_order(prefixes: list[str]) -> list[str]:
    """Return layers by number where they differ in numbers only, else as they come."""
    parts = [_parts(prefix) for prefix in prefixes]
    if len({texts for texts, _ in parts}) == 1 and parts[0][1]:
        return sorted(prefixes, key=lambda prefix: _parts(prefix)[1])
    last: dict[tuple[str, ...], tuple[tuple[int, ...], str]] = {}
    for (texts, numbers), prefix in zip(parts, prefixes, strict=True):
        before = last.get(texts)
        if before is not None and numbers < before[0]:
            raise ValueError(
                f"state_dict: {before[1]} comes before {prefix}, and the names do not tell the "
                "order of all layers; give a dict that has them in the order in which they run"
            )
        last[texts] = numbers, prefix
    return prefixes


def _comes_first(scaling: str, layer: str, names: list[str]) -> bool:
    """Tell whether a scaling is before a layer: by name, by number, or by its place."""
    if scaling in ("", "scaling"):
        return True
    (texts, numbers), (others, later) = _parts(scaling), _parts(layer)
    if texts == others and numbers:
        return numbers < later
    place = min(names.index(f"{scaling}.shift"), names.index(f"{scaling}.scale"))
    return place < names.index(f"{layer}.weight" if layer else "weight")


def to_torch(network: Model) -> Any:
    """Return an nn.Sequential with the layers of a network; see `Network.to_torch`."""
    with optional("torch", "to_torch"):
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
