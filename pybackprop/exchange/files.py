"""Model files: the suffix of the path determines the format."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from .._core import SCHEDULED
from ..files.read import DAMAGE
from ..inputs import as_path
from .formats import format_of, format_to_write
from .npz import Contents, malformed

Made = TypeVar("Made")


def module_of(format_name: str) -> Any:
    """Return the module that reads and writes a format."""
    if format_name == "safetensors":
        from . import safetensors

        return safetensors
    from . import npz

    return npz


def load_model(path: Any) -> Contents:
    """Read a model file; OSError if it cannot be read, ValueError if it is malformed."""
    name = as_path(path)
    model: Contents = module_of(format_of(name)).load(name)
    return model


def check_target(path: Any, name: str = "path") -> None:
    """Raise what `save_network` would raise for this path, before there is anything to save.

    Raises
    ------
    TypeError, ValueError
        `path` is not a path, or its suffix is that of another format.
    ModuleNotFoundError
        The format's package is not installed.
    """
    if format_to_write(as_path(path, name), name) == "safetensors":
        import_module("safetensors.numpy")


def load_optimizer(path: Any, make: Callable[[dict[str, Any]], Made]) -> Made:
    """Return what `make` makes from the state of the optimizer in a file; see `Optimizer.load`."""
    model = load_model(path)
    state = model.optimizer
    if state is None:
        raise ValueError(f"{os.fspath(path)!r} holds no optimizer: it was saved without one")
    settings = state.get("settings")
    if not model.training or not isinstance(settings, dict):
        settings = {}
    for name in SCHEDULED:
        if settings.get(name, 0.0) is not None:
            continue
        raise ValueError(
            f"{os.fspath(path)!r} is a checkpoint of an optimizer whose {name} is a function or a "
            f"schedule of your own, which no file can hold; make the optimizer with its {name}, "
            "and give fit the checkpoint to resume"
        )
    try:
        return make(state)
    except DAMAGE as error:
        raise malformed(path, error) from error
