"""Computational graphs on numbers and arrays: values forward, gradients backward, and pictures.

>>> from pybackprop.graph import Variable
>>> x, y, z = Variable(-2, "x"), Variable(5, "y"), Variable(-4, "z")
>>> f = (x + y) * z
>>> f.backward()
>>> float(f.value), float(x.grad), float(y.grad), float(z.grad)
(-12.0, -4.0, -4.0, 3.0)
"""

from sys import modules as _modules

from ._arrays import (
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
from ._elementwise import (
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
from ._explain import Explanation, explain
from ._functional import grad, jacobian, minimize, numerical_gradient
from ._network import NetworkGraph, from_network
from ._part import Section, draw_section
from ._variable import Variable
from ._weight import explain_weight

__all__ = [
    "Explanation",
    "NetworkGraph",
    "Section",
    "Variable",
    "abs",
    "add",
    "concatenate",
    "cos",
    "divide",
    "draw_section",
    "erf",
    "exp",
    "explain",
    "explain_weight",
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

# Pickles keep naming the modules by their old names, without the underscore.
for _name in ("arrays", "elementwise", "explain", "functional", "network", "variable", "weight"):
    _modules[f"{__name__}.{_name}"] = _modules[f"{__name__}._{_name}"]
for _value in [globals()[_name] for _name in __all__]:
    _value.__module__ = _value.__module__.replace("._", ".")
