"""Variables: the nodes of a computational graph, and the backward pass through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arrays as arrays
from . import _elementwise as el
from ._arrays import Axis
from ._gate import Array, Gate, Operand, plain, to_float64
from ._numpy_functions import apply_function, apply_ufunc


class Variable(Operand):
    """A number or array that remembers how it was computed.

    Arithmetic on Variables builds a graph; `backward` then walks it from the result to the
    inputs and multiplies local derivatives along the way.

    Parameters
    ----------
    value : array_like
        A real number or an array of any shape. It is copied and held as float64.
    name : str, optional
        What the node is called in explanations and pictures.

    Attributes
    ----------
    value : numpy.float64 or ndarray
        The forward value. The value of a leaf may be assigned, for example between two steps of a
        descent; nodes that were computed from it keep their values.
    grad : ndarray, Variable or None
        The derivative of the node that `backward` was last called on, in the shape of `value`; None
        before the first call. It is a Variable after ``backward(create_graph=True)``.
    name : str or None
        The name, which may be assigned.
    gate, inputs : Gate or None, tuple of Variable
        The operation that made this node and what it was applied to; None and () for a leaf.
    is_constant : bool
        True for plain numbers that were combined with a Variable; they get no gradient.

    Raises
    ------
    TypeError
        If `value` is not made of real numbers, or `name` is not a string.

    Examples
    --------
    >>> a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    >>> J = 3 * (a + b * c)
    >>> J.backward()
    >>> float(J.value), float(a.grad), float(b.grad), float(c.grad)
    (33.0, 3.0, 6.0, 9.0)
    """

    __slots__ = (
        "__weakref__",
        "_value",
        "gate",
        "grad",
        "inputs",
        "is_constant",
        "name",
        "parameters",
    )

    _value: Array
    grad: Any
    name: str | None
    gate: Gate | None
    inputs: tuple[Variable, ...]
    parameters: dict[str, Any]
    is_constant: bool

    def __init__(self, value: ArrayLike, name: str | None = None) -> None:
        if isinstance(value, Variable):
            raise TypeError("value must be a number or an array, got a Variable")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string or None, got {type(name).__name__}")
        self._set(to_float64(value), name=name)

    def _set(
        self,
        value: Array,
        *,
        name: str | None = None,
        gate: Gate | None = None,
        inputs: tuple[Variable, ...] = (),
        parameters: dict[str, Any] | None = None,
        is_constant: bool = False,
    ) -> Variable:
        self._value = value
        self.grad = None
        self.name = name
        self.gate = gate
        self.inputs = inputs
        self.parameters = parameters or {}
        self.is_constant = is_constant
        return self

    def record(self, gate: Gate, inputs: Sequence[Any], parameters: dict[str, Any]) -> Variable:
        """Return ``gate(*inputs)`` as a node; plain inputs become constants of the graph."""
        nodes = tuple(x if isinstance(x, Variable) else constant(x) for x in inputs)
        value = gate.value(*(node.value for node in nodes), **parameters)
        return Variable.__new__(Variable)._set(
            value,
            gate=gate,
            inputs=nodes,
            parameters=parameters,
            is_constant=all(node.is_constant for node in nodes),
        )

    def named(self, name: str) -> Variable:
        """Set the name and return the node, as in ``u = (b * c).named("u")``."""
        self.name = name
        return self

    @property
    def value(self) -> Array:
        """The forward value, as ``np.float64`` or as an array."""
        return self._value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        if self.gate is not None:
            raise AttributeError(
                f"value cannot be assigned to the result of {self.gate.name}, which is computed "
                "from its inputs: assign to a leaf and compute the graph anew"
            )
        number = to_float64(value)
        if number.shape != self.shape:
            raise ValueError(f"value must keep the shape {self.shape}, got {number.shape}")
        self._value = number

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The number of axes of the value."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """The number of elements of the value."""
        return self.value.size

    @property
    def T(self) -> Variable:
        """The value with its axes reversed."""
        return self.transpose()

    # The backward pass ----------------------------------------------------------------------------

    def backward(self, seed: ArrayLike | None = None, *, create_graph: bool = False) -> None:
        """Set `grad` of every node below to the derivative of this one.

        Each call sets the gradients afresh: they add up over the paths of one graph, not over
        calls.

        Parameters
        ----------
        seed : array_like, optional
            The gradient of this node itself, of its shape; 1 by default, for a single number.
        create_graph : bool
            Compute the gradients as Variables, which can be differentiated in turn.

        Raises
        ------
        ValueError
            If this node holds several numbers and no seed is given, or the seed's shape differs.
        """
        for node, gradient in propagate(self, self._seed(seed), create_graph=create_graph).items():
            # A copy, because gates may hand the same array to several inputs.
            node.grad = gradient if isinstance(gradient, Variable) else np.array(gradient)[()]

    def _seed(self, seed: ArrayLike | None) -> Array:
        if seed is None:
            if self.size != 1:
                raise ValueError(
                    "seed must be given where backward starts at several numbers, "
                    f"got None at shape {self.shape}"
                )
            return np.ones(self.shape)[()]
        gradient = to_float64(seed, "seed")
        if gradient.shape != self.shape:
            raise ValueError(f"seed must have shape {self.shape}, got {gradient.shape}")
        return gradient

    def pull_back(self, position: int, gradient: Any) -> Any:
        """Return what reaches input `position` from a gradient of this node: one chain rule step.

        Parameters
        ----------
        position : int
            Which of `inputs`.
        gradient : ndarray or Variable
            A gradient of this node, of its shape.

        Returns
        -------
        ndarray or Variable
            ``gradient`` times the local derivative, of the shape of the input; computed in
            Variables if `gradient` is one.
        """
        assert self.gate is not None
        vjp = self.gate.vjps[position]
        if isinstance(gradient, Variable):
            result = vjp(gradient, self, *self.inputs, **self.parameters)
        else:
            values = (node.value for node in self.inputs)
            result = vjp(gradient, self.value, *values, **self.parameters)
        if self.gate.elementwise:
            result = arrays.sum_to(result, self.inputs[position].shape)
        return result

    # Arithmetic -----------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply the gate of the same name, so that NumPy's functions and arrays work."""
        return apply_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Apply the function of `pybackprop.graph` of the same name."""
        return apply_function(function, args, options)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "a Variable does not turn into an array, which would have no derivative: use .value "
            "for its numbers, and stack() for several Variables"
        )

    def __add__(self, other: Any) -> Variable:
        return self.record(el.ADD, (self, other), {})

    def __radd__(self, other: Any) -> Variable:
        return self.record(el.ADD, (other, self), {})

    def __sub__(self, other: Any) -> Variable:
        return self.record(el.SUBTRACT, (self, other), {})

    def __rsub__(self, other: Any) -> Variable:
        return self.record(el.SUBTRACT, (other, self), {})

    def __mul__(self, other: Any) -> Variable:
        return self.record(el.MULTIPLY, (self, other), {})

    def __rmul__(self, other: Any) -> Variable:
        return self.record(el.MULTIPLY, (other, self), {})

    def __truediv__(self, other: Any) -> Variable:
        return self.record(el.DIVIDE, (self, other), {})

    def __rtruediv__(self, other: Any) -> Variable:
        return self.record(el.DIVIDE, (other, self), {})

    def __pow__(self, other: Any) -> Variable:
        return self.record(el.POWER, (self, other), {})

    def __rpow__(self, other: Any) -> Variable:
        return self.record(el.POWER, (other, self), {})

    def __matmul__(self, other: Any) -> Variable:
        return self.record(arrays.MATMUL, (self, other), {})

    def __rmatmul__(self, other: Any) -> Variable:
        return self.record(arrays.MATMUL, (other, self), {})

    def __neg__(self) -> Variable:
        return self.record(el.NEGATIVE, (self,), {})

    def __pos__(self) -> Variable:
        return self.record(el.POSITIVE, (self,), {})

    def __abs__(self) -> Variable:
        return self.record(el.ABS, (self,), {})

    def __getitem__(self, index: Any) -> Variable:
        return self.record(arrays.INDEX, (self,), {"index": index})

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Variable]:
        return (self[i] for i in range(len(self)))

    # Comparisons look at the values, for branches; == stays identity, so that nodes can be keys.

    def __lt__(self, other: Any) -> Any:
        return self.value < plain(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= plain(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > plain(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= plain(other)

    def __float__(self) -> float:
        raise TypeError(
            "a Variable does not turn into a float, which would have no derivative: in place of "
            "math.sin(x) use graph.sin(x), and so on; x.value is the plain number"
        )

    def __int__(self) -> int:
        raise TypeError(
            "a Variable does not turn into an int, which would have no derivative: use x.value for "
            "the plain number"
        )

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)

    def __bool__(self) -> bool:
        return bool(self.value)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Variable:
        """Return the sum over `axis`, or over all elements."""
        return self.record(arrays.SUM, (self,), {"axis": axis, "keepdims": keepdims})

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Variable:
        """Return the mean over `axis`, or over all elements."""
        return self.record(arrays.MEAN, (self,), {"axis": axis, "keepdims": keepdims})

    def max(self, axis: Axis = None, keepdims: bool = False) -> Variable:
        """Return the largest element over `axis`, or of all."""
        return self.record(arrays.MAX, (self,), {"axis": axis, "keepdims": keepdims})

    def reshape(self, *shape: Any) -> Variable:
        """Return the same elements in another shape, given as in NumPy."""
        wanted = shape[0] if len(shape) == 1 else shape
        return self.record(arrays.RESHAPE, (self,), {"shape": wanted})

    def transpose(self, *axes: Any) -> Variable:
        """Return the value with its axes reversed, or in the order given, as in NumPy."""
        wanted = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.record(arrays.TRANSPOSE, (self,), {"axes": wanted or None})

    # Seeing it ------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        name = "" if self.name is None else f", {self.name!r}"
        value = np.array2string(np.asarray(self.value), separator=", ", threshold=20)
        return f"Variable({value}{name})"

    def to_svg(
        self,
        path: str | Path | None = None,
        *,
        layout: Literal["auto", "dot", "layers"] = "auto",
        direction: Literal["right", "down"] = "right",
    ) -> str:
        """Draw the graph of this node: values on one side of the edges, gradients on the other.

        Parameters
        ----------
        path : path, optional
            Where to write the picture.
        layout : {"auto", "dot", "layers"}
            What places the nodes. dot is Graphviz's ``dot``, layers is the built-in layered layout,
            and auto is ``dot`` if it is installed.
        direction : {"right", "down"}
            The direction of the graph. To the right, values are above the edges, and the picture is
            as wide as the graph is deep. Downwards, values are left of the edges, and a deep graph
            fits a page column.

        Returns
        -------
        str
            The picture, an SVG document.
        """
        from ._draw import draw_svg

        return _written(draw_svg(self, layout, direction), path)

    def to_html(
        self,
        path: str | Path | None = None,
        *,
        layout: Literal["auto", "dot", "layers"] = "auto",
        direction: Literal["right", "down"] = "right",
    ) -> str:
        """Draw the graph as a web page that steps through it, with a table of its nodes.

        Values appear node by node, then gradients edge by edge. The picture can be fitted to the
        window and zoomed, and a click on an input shows its paths to this node.

        Parameters
        ----------
        path, layout, direction
            As for `to_svg`.

        Returns
        -------
        str
            The page, which refers to nothing outside itself.
        """
        from ._draw import draw_html

        return _written(draw_html(self, layout, direction), path)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x: auto">{self.to_svg()}</div>'


def constant(value: Any, name: str | None = None) -> Variable:
    """Return plain numbers as a node without a gradient."""
    number = to_float64(value, "operand")
    return Variable.__new__(Variable)._set(number, name=name, is_constant=True)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        from ..files.write import write_atomically

        write_atomically(path, lambda file: file.write(text.encode()))
    return text


def topological_order(root: Variable) -> list[Variable]:
    """Return the nodes that `root` is computed from, inputs before outputs, `root` last.

    The walk keeps its own stack, so a graph may be deeper than Python's recursion limit.
    """
    order: list[Variable] = []
    seen = {root}
    stack = [(root, iter(root.inputs))]
    while stack:
        node, rest = stack[-1]
        for child in rest:
            if child not in seen:
                seen.add(child)
                stack.append((child, iter(child.inputs)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def propagate(root: Variable, seed: Array, *, create_graph: bool = False) -> dict[Variable, Any]:
    """Return the gradient of every node below `root` that is not a constant.

    Parameters
    ----------
    root : Variable
        Where to start.
    seed : ndarray
        The gradient of `root`, of its shape.
    create_graph : bool
        Compute the gradients as Variables.

    Returns
    -------
    dict of Variable to ndarray or Variable
        ``dJ/dx = sum over the uses of x of dJ/dout · dout/dx``, for each node x.
    """
    gradients: dict[Variable, Any] = {root: constant(seed) if create_graph else seed}
    for node in reversed(topological_order(root)):
        if node.is_constant:
            continue
        for position, x in enumerate(node.inputs):
            if x.is_constant:
                continue
            contribution = node.pull_back(position, gradients[node])
            gradients[x] = gradients[x] + contribution if x in gradients else contribution
    return gradients
