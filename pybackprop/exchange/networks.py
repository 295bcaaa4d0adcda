"""Networks in model files. Optimizers, which networks depend on, need only files.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..files.read import DAMAGE
from ..inputs import as_path
from ..settings import as_metadata
from .files import load_model, module_of
from .formats import format_to_write
from .npz import Contents, malformed

if TYPE_CHECKING:
    from ..model import Kind, Model


def _metadata(path: Any, network: Model) -> dict[str, Any]:
    """Return a copy of a network's metadata, which may have changed since they were set."""
    try:
        return as_metadata(network.metadata)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def save_network(path: Any, network: Model, optimizer: Callable[[], dict[str, Any]] | None) -> None:
    """Write a network, and the state that `optimizer` returns; see `Network.save`."""
    path = as_path(path)
    writer = module_of(format_to_write(path))
    if not isinstance(network.loss, str):
        raise ValueError("a network whose loss is a function cannot be saved")
    state = None if optimizer is None else optimizer()
    parameters, counters, scaling = network._net.snapshot()
    model = Contents(
        settings=network._settings(),
        counters=counters,
        metadata=_metadata(path, network),
        parameters=parameters,
        scaling=scaling,
        optimizer=state,
    )
    writer.save(path, model)


def load_network(cls: type[Kind], path: Any) -> Kind:
    """Return the network in a file; see `Network.load`."""
    model = load_model(path)
    if model.training is not None and model.settings.get("loss") is None:
        raise ValueError(
            f"{os.fspath(path)!r} is a checkpoint of a network whose loss is a function, which no "
            "file can hold; make the network with its loss, and give fit the checkpoint to resume"
        )
    try:
        return cls._from_state(
            model.settings, model.parameters, model.counters, model.scaling, model.metadata
        )
    except DAMAGE as error:
        raise malformed(path, error) from error
