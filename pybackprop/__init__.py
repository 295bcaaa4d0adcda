"""Dense neural networks on the CPU, with a C core."""

from . import initializers, kernels, schedules
from ._version import __version__
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .results import EpochEnd, Gradients, History, Trace
from .runtime import cpu_info, get_threads, set_threads

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
