"""Model files: the format is chosen by the suffix of the path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..settings import as_metadata
from ..untrusted import DAMAGE
from .npz import Model, malformed

if TYPE_CHECKING:
    from ..network import Network
    from ..optimizers import Optimizer


def _format(path: Any) -> Any:
    """Return the module for a file of this name; .npz is that of every unknown suffix."""
    if os.fspath(path).endswith(".safetensors"):
        from . import safetensors

        return safetensors
    from . import npz

    return npz


def load_model(path: Any) -> Model:
    """Read a model file; OSError if it cannot be read, ValueError if it is malformed."""
    model: Model = _format(path).load(path)
    return model


def load_optimizer(path: Any) -> Optimizer:
    """Return the optimizer in a file; see `Optimizer.load`."""
    from ..optimizers import from_state_dict

    model = load_model(path)
    state = model.optimizer
    if state is None:
        raise ValueError(f"{os.fspath(path)!r} holds no optimizer: it was saved without one")
    settings = state.get("settings")
    if model.training and isinstance(settings, dict) and settings.get("lr", 0.0) is None:
        raise ValueError(
            f"{os.fspath(path)!r} is a checkpoint of an optimizer whose lr is a function, which no "
            "file can hold; make the optimizer with its lr, and give fit the checkpoint to resume"
        )
    try:
        return from_state_dict(state)
    except DAMAGE as error:
        raise malformed(path, error) from error


def _metadata(path: Any, network: Network) -> dict[str, Any]:
    """Return a copy of a network's metadata, which may have changed since they were set."""
    try:
        return as_metadata(network.metadata)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def save_network(path: Any, network: Network, optimizer: Optimizer | None = None) -> None:
    """Write a network, and an optimizer with its state; see `Network.save`."""
    from ..optimizers import Optimizer

    state = None
    if not isinstance(network.loss, str):
        raise ValueError("a network whose loss is a function cannot be saved")
    if optimizer is not None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, got {optimizer!r}")
        state = optimizer.state_dict()
        if callable(state["settings"]["lr"]):
            raise ValueError("an optimizer whose lr is a function cannot be saved")
    parameters = np.empty_like(network.parameters)
    counters = network._net.get_counters(parameters)
    model = Model(
        settings=network._settings(),
        counters=counters,
        metadata=_metadata(path, network),
        parameters=parameters,
        scaling=network.scaling,
        optimizer=state,
    )
    _format(path).save(path, model)


def load_network(path: Any) -> Network:
    """Return the network in a file; see `Network.load`."""
    from ..network import Network

    model = load_model(path)
    if model.training is not None and model.settings.get("loss") is None:
        raise ValueError(
            f"{os.fspath(path)!r} is a checkpoint of a network whose loss is a function, which no "
            "file can hold; make the network with its loss, and give fit the checkpoint to resume"
        )
    try:
        return Network._restore(
            model.settings, model.parameters, model.counters, model.scaling, model.metadata
        )
    except DAMAGE as error:
        raise malformed(path, error) from error
