"""The derivative of a network's cost in one weight or bias, path by path."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ._explain import MOST_PATHS, Explanation, Factor, Path
from ._formulas import ACTIVATIONS, LOSSES
from ._gate import Array, to_float64
from ._labels import short
from ._network import NetworkGraph, from_network
from ._variable import Variable

if TYPE_CHECKING:
    from ..model import Model

_FUSED = ("cross_entropy", "binary_cross_entropy")

# A sum of more terms is written as a product of a row and a vector.
_MOST_TERMS = 4
# Each path is stored and printed, so there is a limit on how many may be asked for.
_MOST_FOLLOWED = 10_000


def explain_weight(
    net: Model,
    X: ArrayLike,
    y: ArrayLike,
    layer: int,
    i: int,
    j: int | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    max_paths: int = 8,
) -> Explanation:
    """Print the chain rule for the cost's derivative in one weight or bias, path by path.

    The nodes of a path are the quantities of backpropagation: the loss, the outputs a and inputs z
    of activations, and the weight. As in `graph.from_network`, everything is in float64.

    Parameters
    ----------
    net : pybackprop.Network
        The network.
    X : array_like, shape (N, n_0)
        The inputs.
    y : array_like
        The targets, as for `Network.cost`.
    layer : int
        0 … L - 1, as in ``net.weights[layer]``, which is called W1 if `layer` is 0.
    i : int
        The neuron, a row of ``net.weights[layer]``.
    j : int or None
        The neuron below, a column; None for the bias ``net.biases[layer][i]``.
    sample_weight : array_like, shape (N,), optional
        The weight of each example in the mean.
    max_paths : int
        How many paths to follow, at most 10,000. Their total number is the product of N and the
        widths above `layer`. They are counted, and their sum is computed, without following each
        one.

    Returns
    -------
    Explanation
        What was printed, as numbers and names.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import pybackprop as bp
    >>> net = bp.Network([2, 1, 1], activation="tanh", loss="squared_error", dtype="float64")
    >>> net.set_layer(0, [[0.5, 0.0]], [0.0])
    >>> net.set_layer(1, [[2.0]], [0.0])
    >>> found = explain_weight(net, [[1.0, 3.0]], [[0.0]], 0, 0, 1)
    C = (a2[0] - y[0])**2 = 0.854209
    a2[0] = z2[0] = 0.924234
    z2[0] = W2[0, 0]*a1[0] + b2[0] = 0.924234
    a1[0] = tanh(z1[0]) = 0.462117
    z1[0] = W1[0, 0]*x[0] + W1[0, 1]*x[1] + b1[0] = 0.5
    <BLANKLINE>
    1 path from C to W1[0, 1]
    <BLANKLINE>
    path 1: C -> a2[0] -> z2[0] -> a1[0] -> z1[0] -> W1[0, 1]
        dC/da2[0] = 2*(a2[0] - y[0]) = 1.84847
        da2[0]/dz2[0] = 1
        dz2[0]/da1[0] = W2[0, 0] = 2
        da1[0]/dz1[0] = 1 - a1[0]**2 = 0.786448
        dz1[0]/dW1[0, 1] = x[1] = 3
        product: 1.84847 * 1 * 2 * 0.786448 * 3 = 8.72234
    <BLANKLINE>
    dC/dW1[0, 1] = 8.72234
    """
    layer = _count(layer, "layer", len(net.weights) - 1)
    n_out, n_in = net.weights[layer].shape
    unit = _count(i, "i", n_out - 1)
    source = None if j is None else _count(j, "j", n_in - 1)
    limit = _count(max_paths, "max_paths", _MOST_FOLLOWED)
    built = from_network(net, X, y, sample_weight)
    cost = _Cost(net, np.atleast_2d(np.asarray(X)), np.asarray(y), built, sample_weight)
    explanation = _Parameter(cost, layer, unit, source).explanation(limit)
    print(explanation)
    return explanation


def _count(value: Any, name: str, high: int) -> int:
    """Return an integer within [0, high]; without the core, which graphs do not need."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {value!r}") from error
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not 0 <= number <= high:
        raise ValueError(f"{name} must be in [0, {high}], got {number}")
    return number


class _Cost:
    """The cost of a batch as a mean of losses, and the examples one by one."""

    def __init__(
        self,
        net: Model,
        X: Array,
        y: Array,
        built: NetworkGraph,
        sample_weight: ArrayLike | None,
    ) -> None:
        self.net, self.X, self.y, self.built = net, X, y, built
        self.rows = len(X)
        self.weighted = sample_weight is not None
        weight = np.ones(self.rows) if sample_weight is None else to_float64(sample_weight)
        self.shares = weight / np.sum(weight)
        # Without a mean or a penalty, the cost is the loss of the one example.
        self.is_loss = self.rows == 1 and not self.penalised
        self.definitions: dict[tuple[int, ...], str] = {}

    @property
    def penalised(self) -> bool:
        return bool(self.net.l1 or self.net.l2)

    def define(self) -> None:
        """Note how the cost and the penalty are computed."""
        if self.is_loss:
            return
        text = "loss" if self.rows == 1 else "mean(loss)"
        if self.weighted and self.rows > 1:
            text = "sum(sample_weight*loss)/sum(sample_weight)"
        if self.penalised:
            text += " + penalty"
            l1, l2 = self.net.l1, self.net.l2
            parts = [f"{l1:g}*sum of |W|"] if l1 else []
            parts += [f"{l2:g}/2*sum of W**2"] if l2 else []
            total = sum(
                l1 * np.abs(W.value).sum() + l2 / 2 * np.square(W.value).sum()
                for W in self.built.weights
            )
            self.definitions[1,] = f"penalty = {' + '.join(parts)} = {short(total)}"
        self.definitions[0,] = f"C = {text} = {short(self.built.cost.value)}"

    def example(self, row: int) -> _Example:
        """Return the passes of one example alone."""
        if self.rows == 1:
            return _Example(self, row, self.built)
        one = slice(row, row + 1)
        return _Example(self, row, from_network(self.net, self.X[one], self.y[one]))


class _Example:
    """One example: names and numbers of its nodes, and the local derivatives between them."""

    def __init__(self, cost: _Cost, row: int, built: NetworkGraph) -> None:
        self.cost, self.net, self.row, self.built = cost, cost.net, row, built
        self.at = "" if cost.rows == 1 else f"{row}, "
        self.last = len(self.net.weights)
        self.loss = f"loss[{row}]" if cost.rows > 1 else "C" if cost.is_loss else "loss"
        self.fused = self.net.loss in _FUSED
        self.below = "x" if self.net.scaling is None else "a0"
        self._slopes: dict[int, Array] = {}

    def a(self, layer: int, unit: int) -> str:
        """Return the name of an activation, of an input for layer 0."""
        return f"{f'a{layer}' if layer else self.below}[{self.at}{unit}]"

    def z(self, layer: int, unit: int) -> str:
        return f"z{layer}[{self.at}{unit}]"

    def from_cost(self) -> Iterator[Factor]:
        if self.cost.is_loss:
            return
        share = self.cost.shares[self.row]
        text = "1" if self.cost.rows == 1 else f"1/{self.cost.rows}"
        if self.cost.weighted and self.cost.rows > 1:
            text = f"sample_weight[{self.row}]/sum(sample_weight)"
        yield Factor(f"dC/d{self.loss}", text, share)

    def from_loss(self, output: int, unit: int) -> Iterator[Factor]:
        """Yield what leads from the loss to the input of an output's activation."""
        a, z = self.a(self.last, output), self.z(self.last, unit)
        if self.fused:
            yield Factor(
                f"d{self.loss}/d{z}", self._in_words("slope", output), self._grad("z")[unit]
            )
            return
        yield Factor(f"d{self.loss}/d{a}", self._in_words("slope", output), self._grad("a")[output])
        if self.net.activations[-1] != "softmax":
            yield self.slope(self.last, unit)
            return
        p = self.built.a[-1].value[0]
        same = "1" if output == unit else "0"
        text = f"{a}*({same} - {self.a(self.last, unit)})"
        yield Factor(f"d{a}/d{z}", text, p[output] * ((output == unit) - p[unit]))

    def _grad(self, of: str) -> Array:
        """Return the derivative of the loss in the outputs, or in their z."""
        gradient: Array = (self.built.a if of == "a" else self.built.z)[-1].grad[0]
        return gradient

    def slope(self, layer: int, unit: int) -> Factor:
        """Return the derivative of an activation in its input."""
        name = self.net.activations[layer - 1]
        if layer not in self._slopes:
            z = Variable(self.built.z[layer - 1].value[0])
            ACTIVATIONS[name].value(z).backward(np.ones(z.shape))
            self._slopes[layer] = z.grad
        a, z_name = self.a(layer, unit), self.z(layer, unit)
        text = ACTIVATIONS[name].slope.format(a=a, z=z_name)
        return Factor(f"d{a}/d{z_name}", text, self._slopes[layer][unit])

    def weight(self, layer: int, unit: int, source: int) -> Factor:
        """Return the derivative of a z in an activation below it."""
        value = self.built.weights[layer - 1].value[unit, source]
        name = f"d{self.z(layer, unit)}/d{self.a(layer - 1, source)}"
        return Factor(name, f"W{layer}[{unit}, {source}]", value)

    # ---- how nodes are computed ----

    def _in_words(self, form: str, output: int) -> str:
        """Write a form of the loss, which is a field of `Loss`."""
        if callable(self.net.loss):
            return "" if form == "slope" else "loss(a, y)"
        n = self.net.widths[-1]
        index = f"[{self.row}]" if self.at else ""
        a, y = self.a(self.last, output), f"y[{self.at}{output}]"
        text: str = getattr(LOSSES[self.net.loss], form)
        return text.format(
            a=a,
            y=y,
            A=f"a{self.last}{index}",
            Y=f"y{index}",
            over_n=f"/{n}" if n > 1 else "",
            difference=f"({a} - {y})" if n > 1 else f"{a} - {y}",
            total=self._total(),
        )

    def _total(self) -> str:
        """Write the sum of the targets as a factor, where it is not 1 as that of a label is."""
        y = np.asarray(self.cost.y)
        if y.shape != (self.cost.rows, self.net.widths[-1]):
            return ""
        index = f"[{self.row}]" if self.at else ""
        return "" if math.isclose(y[self.row].sum(), 1.0) else f"sum(y{index})*"

    def define_output(self, output: int) -> None:
        """Note how the loss and an output are computed."""
        form = "outputs" if self.net.widths[-1] > 1 else "one_output"
        text = self._in_words(form, output)
        value = self.built.losses.value[0]
        definitions = self.cost.definitions
        definitions[2, self.row] = f"{self.loss} = {text} = {short(value)}"
        if not self.fused:
            self.define_activation(self.last, output)

    def define_activation(self, layer: int, unit: int) -> None:
        name = self.net.activations[layer - 1]
        z = self.z(layer, unit)
        text = z if name == "identity" else f"{name}({z})"
        if name == "softmax":
            whole = f"z{layer}[{self.row}]" if self.at else f"z{layer}"
            text = f"softmax({whole})[{unit}]"
        self._define(3, layer, unit, self.a(layer, unit), text, self.built.a[layer])

    def define_sum(self, layer: int, unit: int) -> None:
        n_in = self.net.widths[layer - 1]
        if n_in <= _MOST_TERMS:
            terms = [f"W{layer}[{unit}, {k}]*{self.a(layer - 1, k)}" for k in range(n_in)]
        else:
            below = f"a{layer - 1}" if layer > 1 else self.below
            terms = [f"W{layer}[{unit}] @ {below}{f'[{self.row}]' if self.at else ''}"]
        text = " + ".join([*terms, f"b{layer}[{unit}]"])
        self._define(4, layer, unit, self.z(layer, unit), text, self.built.z[layer - 1])

    def _define(
        self, kind: int, layer: int, unit: int, name: str, text: str, node: Variable
    ) -> None:
        # Definitions are printed from the cost down, layer by layer.
        place = (3, self.last - layer, kind, self.row, unit)
        self.cost.definitions[place] = f"{name} = {text} = {short(node.value[0, unit])}"


class _Parameter:
    """A weight or a bias, and the paths from the cost to it."""

    def __init__(self, cost: _Cost, layer: int, unit: int, source: int | None) -> None:
        self.cost, self.unit, self.source = cost, unit, source
        self.number = layer + 1
        self.above = cost.net.widths[self.number + 1 :]
        bias, weight = f"b{self.number}[{unit}]", f"W{self.number}[{unit}, {source}]"
        self.name = bias if source is None else weight
        loss = cost.net.loss
        self.mixes = cost.net.activations[-1] == "softmax" and loss not in _FUSED
        self.penalised = cost.penalised and source is not None

    def explanation(self, limit: int) -> Explanation:
        """Return the derivative, with up to `limit` paths."""
        net, built = self.cost.net, self.cost.built
        n_paths = self.cost.rows * math.prod(self.above) + self.penalised
        if self.mixes:
            n_paths += self.cost.rows * math.prod(self.above) * (net.widths[-1] - 1)
        at = self.number - 1
        gradient = built.biases[at].grad[self.unit]
        if self.source is not None:
            gradient = built.weights[at].grad[self.unit, self.source]
        self.cost.define()
        paths = tuple(islice(self._paths(), limit))
        definitions = (text for _, text in sorted(self.cost.definitions.items()))
        return Explanation(
            result="C",
            variable=self.name,
            definitions=tuple(definitions),
            paths=paths,
            n_paths=min(n_paths, MOST_PATHS),
            gradient=gradient,
        )

    def _paths(self) -> Iterator[Path]:
        if self.penalised:
            yield self._through_penalty()
        for row in range(self.cost.rows):
            example = self.cost.example(row)
            n_out = self.cost.net.widths[-1]
            # The last layer's neuron comes first, as paths are walked from the cost down.
            for units in product(*map(range, reversed(self.above))):
                path = (*units, self.unit)
                for output in range(n_out) if self.mixes else path[:1]:
                    yield self._path(example, output, path)

    def _through_penalty(self) -> Path:
        net, weight = self.cost.net, self.name
        value = self.cost.net.weights[self.number - 1][self.unit, self.source]
        parts = [f"{net.l1:g}*sign({weight})"] if net.l1 else []
        parts += [f"{net.l2:g}*{weight}"] if net.l2 else []
        slope = net.l1 * np.sign(np.float64(value)) + net.l2 * np.float64(value)
        factors = (
            Factor("dC/dpenalty", "1", np.float64(1.0)),
            Factor(f"dpenalty/d{weight}", " + ".join(parts), slope),
        )
        return Path(("C", "penalty", weight), factors, slope)

    def _path(self, example: _Example, output: int, units: tuple[int, ...]) -> Path:
        """Return the path through these neurons, from the last layer's to this one's."""
        nodes = ["C"] if self.cost.is_loss else ["C", example.loss]
        factors = [*example.from_cost(), *example.from_loss(output, units[0])]
        example.define_output(output)
        layer = example.last
        nodes += [] if example.fused else [example.a(layer, output)]
        nodes.append(example.z(layer, units[0]))
        example.define_sum(layer, units[0])
        for unit, below in pairwise(units):
            factors += [example.weight(layer, unit, below), example.slope(layer - 1, below)]
            layer -= 1
            nodes += [example.a(layer, below), example.z(layer, below)]
            example.define_activation(layer, below)
            example.define_sum(layer, below)
        nodes.append(self.name)
        factors.append(self._last(example))
        values: list[Any] = [factor.value for factor in factors]
        total: Any = np.prod(values)
        return Path(tuple(nodes), tuple(factors), total)

    def _last(self, example: _Example) -> Factor:
        name = f"d{example.z(self.number, self.unit)}/d{self.name}"
        if self.source is None:
            return Factor(name, "1", np.float64(1.0))
        value = example.built.a[self.number - 1].value[0, self.source]
        return Factor(name, example.a(self.number - 1, self.source), value)
