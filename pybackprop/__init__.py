"""Dense neural networks on the CPU, with a C core."""

import sys
from typing import TYPE_CHECKING, Any

from . import initializers, schedules
from ._version import __version__
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .results import EpochEnd, Gradients, History, Trace
from .runtime import cpu_info, get_threads, set_threads

if TYPE_CHECKING:
    from . import kernels
    from .check import check_gradients
    from .flow import GradientFlow, gradient_flow
    from .threadpools import register_threadpoolctl

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "EpochEnd",
    "GradientFlow",
    "Gradients",
    "History",
    "Network",
    "Optimizer",
    "RMSprop",
    "Trace",
    "__version__",
    "check_gradients",
    "cpu_info",
    "get_threads",
    "gradient_flow",
    "initializers",
    "kernels",
    "register_threadpoolctl",
    "schedules",
    "set_threads",
]

# Names of modules that are imported on first use, to keep the import of the package short.
_LAZY = {
    "GradientFlow": "flow",
    "check_gradients": "check",
    "gradient_flow": "flow",
    "kernels": "kernels",
    "register_threadpoolctl": "threadpools",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        module = import_module(f"{__name__}.{_LAZY[name]}")
        return module if name == _LAZY[name] else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if "threadpoolctl" in sys.modules:
    __getattr__("register_threadpoolctl")()
