"""The C core as Python objects: besides the build script, the only modules that touch cffi.

Callers check shapes, types and values before they come here; what reaches these modules can be
passed to C as it is.
"""

from ..losses import Array
from .data import Data
from .dropout import check_dropout, coming_dropout
from .ffi import (
    ACTIVATIONS,
    FLOAT32,
    FLOAT64,
    INT64,
    LOSSES,
    NOT_FINITE,
    PRECISIONS,
    UINT8,
    UINT16,
)
from .kernels import (
    activation,
    add,
    bandwidth,
    dense_backward,
    dense_forward,
    matmul,
    peak_flops,
    plan_matmul,
    round_bf16,
)
from .machine import get_threads, machine, random_permutation, random_uniform, set_threads
from .many import FitOrder, ManyFit, Rows, costs
from .net import Fit, Net
from .optimizer import RATES, SCHEDULED, Key, OptimizerState, state_key
from .stack import Stack

__all__ = [
    "ACTIVATIONS",
    "FLOAT32",
    "FLOAT64",
    "INT64",
    "LOSSES",
    "NOT_FINITE",
    "PRECISIONS",
    "RATES",
    "SCHEDULED",
    "UINT8",
    "UINT16",
    "Array",
    "Data",
    "Fit",
    "FitOrder",
    "Key",
    "ManyFit",
    "Net",
    "OptimizerState",
    "Rows",
    "Stack",
    "activation",
    "add",
    "bandwidth",
    "check_dropout",
    "coming_dropout",
    "costs",
    "dense_backward",
    "dense_forward",
    "get_threads",
    "machine",
    "matmul",
    "peak_flops",
    "plan_matmul",
    "random_permutation",
    "random_uniform",
    "round_bf16",
    "set_threads",
    "state_key",
]
