"""Computational graphs on numbers and arrays: values forward, gradients backward, and pictures.

>>> from pybackprop.graph import Variable
>>> x, y, z = Variable(-2, "x"), Variable(5, "y"), Variable(-4, "z")
>>> f = (x + y) * z
>>> f.backward()
>>> float(f.value), float(x.grad), float(y.grad), float(z.grad)
(-12.0, -4.0, -4.0, 3.0)
"""

from .arrays import (
    concatenate,
    logsumexp,
    matmul,
    max,
    mean,
    min,
    reshape,
    softmax,
    stack,
    sum,
    transpose,
)
from .elementwise import (
    abs,
    add,
    cos,
    divide,
    erf,
    exp,
    expm1,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sin,
    softplus,
    sqrt,
    subtract,
    tanh,
    where,
)
from .explain import Explanation, explain
from .functional import grad, jacobian, minimize, numerical_gradient
from .network import NetworkGraph, from_network
from .variable import Variable

__all__ = [
    "Explanation",
    "NetworkGraph",
    "Variable",
    "abs",
    "add",
    "concatenate",
    "cos",
    "divide",
    "erf",
    "exp",
    "explain",
    "expm1",
    "from_network",
    "grad",
    "jacobian",
    "log",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimize",
    "minimum",
    "multiply",
    "negative",
    "numerical_gradient",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "stack",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "where",
]
