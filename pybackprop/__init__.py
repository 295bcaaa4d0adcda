"""Dense neural networks on the CPU, with a C core."""

import sys
from typing import TYPE_CHECKING, Any

from . import _main_interpreter as _main_interpreter

try:
    from . import _core as _core
except ImportError as error:
    from ._import_errors import explain_core

    if (explained := explain_core(error)) is not None:
        raise explained from None
    raise

from . import initializers, optimizers, schedules
from ._version import __version__
from .network import Network
from .optimizers import *  # noqa: F403 - what its __all__ names
from .results import EpochEnd, Gradients, History, Trace
from .runtime import cpu_info, get_threads, set_threads

if TYPE_CHECKING:
    from . import datasets as datasets
    from . import distributed as distributed
    from . import graph as graph
    from . import kernels
    from . import lessons as lessons
    from . import sklearn as sklearn
    from . import tabular as tabular
    from . import tuning as tuning
    from . import view as view
    from .check import check_gradients
    from .flow import GradientFlow, gradient_flow
    from .many import EpochsEnd, ManyHistory, Networks, Uncertainty, fit_many
    from .threadpools import register_threadpoolctl
    from .tuning import cross_validate, search

__all__ = [
    "EpochEnd",
    "EpochsEnd",
    "GradientFlow",
    "Gradients",
    "History",
    "ManyHistory",
    "Network",
    "Networks",
    "Trace",
    "Uncertainty",
    "__version__",
    "check_gradients",
    "cpu_info",
    "cross_validate",
    "fit_many",
    "get_threads",
    "gradient_flow",
    "initializers",
    "kernels",
    "register_threadpoolctl",
    "schedules",
    "search",
    "set_threads",
]
__all__ += optimizers.__all__

# For names in `__all__` that are imported on first use, the module that defines each.
_LAZY = {
    "EpochsEnd": "many",
    "GradientFlow": "flow",
    "ManyHistory": "many",
    "Networks": "many",
    "Uncertainty": "many",
    "check_gradients": "check",
    "cross_validate": "tuning",
    "fit_many": "many",
    "gradient_flow": "flow",
    "kernels": "kernels",
    "register_threadpoolctl": "threadpools",
    "search": "tuning",
}
# Public modules, imported on first use as well. ``from pybackprop import *`` leaves them out.
_MODULES = (
    "datasets",
    "distributed",
    "graph",
    "lessons",
    "sklearn",
    "tabular",
    "tuning",
    "view",
)


def __getattr__(name: str) -> Any:
    if name not in _LAZY and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_LAZY.get(name, name)}")
    except ModuleNotFoundError as error:
        # Tools that look up every name, such as help(), expect only AttributeError.
        raise AttributeError(str(error)) from error
    value = module if name in (*_MODULES, "kernels") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    dunder = (name for name in globals() if name.startswith("__"))
    return sorted({*__all__, *_MODULES, *dunder})


if "threadpoolctl" in sys.modules:
    __getattr__("register_threadpoolctl")()
