"""Dense neural networks on the CPU, with a C core."""

from typing import TYPE_CHECKING, Any

from . import initializers, schedules
from ._version import __version__
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .results import EpochEnd, Gradients, History, Trace
from .runtime import cpu_info, get_threads, set_threads

if TYPE_CHECKING:
    from . import kernels

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "EpochEnd",
    "Gradients",
    "History",
    "Network",
    "Optimizer",
    "RMSprop",
    "Trace",
    "__version__",
    "cpu_info",
    "get_threads",
    "initializers",
    "kernels",
    "schedules",
    "set_threads",
]

# Modules that are imported when they are first used, to keep the import of the package short.
_LAZY = ("kernels",)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
