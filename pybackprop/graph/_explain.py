"""The chain rule in words: every path from a result to an input, and the sum over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._gate import Array
from ._labels import Labels, local_derivative, short
from ._variable import Variable, propagate

# Of a longer list of nodes or factors, only the first and last few are printed.
LONGEST = 16

# The number of paths can double with every gate; counting stops here.
MOST_PATHS = 10**15


@dataclass(frozen=True)
class Factor:
    """One local derivative on a path.

    Attributes
    ----------
    name : str
        As in ``"du/db"``.
    formula : str
        As in ``"c"``. If `value` is None, what becomes of the gradient g; "" if the numbers say it
        all.
    value : ndarray or None
        Its numbers; None if they would be a matrix.
    """

    name: str
    formula: str
    value: Any | None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: g -> {self.formula}"
        if self.formula in ("1", "-1"):
            return f"{self.name} = {self.formula}"
        number = short(self.value)
        formula = "" if self.formula in ("", number) else f"{self.formula} = "
        return f"{self.name} = {formula}{number}"


@dataclass(frozen=True)
class Path:
    """One path from a result back to an input.

    Attributes
    ----------
    nodes : tuple of str
        The names of the nodes, from the result to the input.
    factors : tuple of Factor
        The local derivative of each step.
    product : ndarray
        The product of the factors: what this path contributes, of the shape of the input.
    """

    nodes: tuple[str, ...]
    factors: tuple[Factor, ...]
    product: Array


@dataclass(frozen=True)
class Explanation:
    """The derivative of `result` by `variable`, path by path; `str` gives it in words.

    Attributes
    ----------
    result, variable : str
        Their names.
    definitions : tuple of str
        How each node on the paths is computed, as in ``"u = b * c = 6"``, from the result down.
    paths : tuple of Path
        The paths that were followed.
    n_paths : int
        How many there are; 10**15 stands for that many or more.
    gradient : ndarray
        The sum over all paths, those not followed included.
    """

    result: str
    variable: str
    definitions: tuple[str, ...]
    paths: tuple[Path, ...]
    n_paths: int
    gradient: Array

    def __str__(self) -> str:
        what = f"d{self.result}/d{self.variable}"
        noun = "path" if self.n_paths == 1 else "paths"
        lines = [*_shortened(self.definitions), ""]
        many = "or more " if self.n_paths == MOST_PATHS else ""
        lines.append(f"{self.n_paths} {many}{noun} from {self.result} to {self.variable}")
        for number, path in enumerate(self.paths, 1):
            lines += ["", f"path {number}: {' -> '.join(_shortened(path.nodes))}"]
            lines += (f"    {line}" for line in _shortened([*map(str, path.factors)]))
            lines.append(f"    product: {product(path)}")
        left_out = self.n_paths - len(self.paths)
        if left_out:
            lines += ["", f"{left_out} {many}more paths left out here; the sum includes them"]
        lines += ["", f"{what} = {self._sum(left_out)}{short(self.gradient)}"]
        return "\n".join(lines)

    def _sum(self, left_out: int) -> str:
        numbers = np.ndim(self.gradient) == 0
        named = enumerate(self.paths, 1)
        terms = [short(path.product) if numbers else f"path {i}" for i, path in named]
        if len(terms) < 2 and not left_out:
            return "sum over no paths = " if not terms else ""
        terms = _shortened([*terms, *(["…"] if left_out else [])])
        return "sum over paths = " + " + ".join(terms) + " = "


def explain(result: Variable, variable: Variable, *, max_paths: int = 8) -> Explanation:
    """Print the chain rule for ``d result / d variable``, path by path.

    Parameters
    ----------
    result : Variable
        A node that holds one number.
    variable : Variable
        A node it may depend on.
    max_paths : int
        How many paths to follow. The number of paths can grow exponentially with the graph; they
        are counted, and the sum over all of them is computed, without following each.

    Returns
    -------
    Explanation
        What was printed, as numbers and names.

    Raises
    ------
    TypeError
        If `result` or `variable` is not a Variable.
    ValueError
        If `result` holds several numbers or `max_paths` is negative.
    """
    for argument, node in (("result", result), ("variable", variable)):
        if not isinstance(node, Variable):
            raise TypeError(f"{argument} must be a Variable, got {type(node).__name__}")
    if result.size != 1:
        raise ValueError(f"result must hold one number, got shape {result.shape}")
    if max_paths < 0:
        raise ValueError(f"max_paths must be 0 or more, got {max_paths}")
    explanation = explained(result, variable, Labels(result), max_paths)
    print(explanation)
    return explanation


def explained(result: Variable, variable: Variable, labels: Labels, max_paths: int) -> Explanation:
    """Return what `explain` prints, with the names of a graph that is labelled already."""
    counts = _count_paths(labels.order, variable)
    seed = np.ones(result.shape)[()]
    gradients = propagate(result, seed)
    between = [node for node in labels.order if counts.get(node) and node is not variable]
    return Explanation(
        result=labels[result],
        variable=labels.names.get(variable) or variable.name or "x",
        definitions=tuple(_definition(labels, node) for node in reversed(between)),
        paths=tuple(_follow(result, variable, seed, counts, labels, max_paths)),
        n_paths=counts[result],
        gradient=gradients.get(variable, np.zeros(variable.shape)[()]),
    )


def _count_paths(order: list[Variable], variable: Variable) -> dict[Variable, int]:
    """Return how many paths lead from each node down to `variable`."""
    counts: dict[Variable, int] = {}
    for node in order:
        below = sum(counts[x] for x in node.inputs)
        counts[node] = 1 if node is variable else min(below, MOST_PATHS)
    return counts


def _follow(
    result: Variable,
    variable: Variable,
    seed: Array,
    counts: dict[Variable, int],
    labels: Labels,
    limit: int,
) -> Iterator[Path]:
    """Walk the first `limit` paths from `result` to `variable`, depth first."""
    # A step is a node, its gradient along the path so far, and the inputs still to be tried.
    steps = [(result, seed, iter(range(len(result.inputs))))] if counts[result] else []
    positions: list[int] = []
    found = 0
    while steps and found < limit:
        node, gradient, untried = steps[-1]
        position = None
        if node is variable:
            nodes = [step[0] for step in steps]
            yield _path(nodes, positions, gradient, labels)
            found += 1
        else:
            position = next((i for i in untried if counts[node.inputs[i]]), None)
        if position is None:
            steps.pop()
            if positions:
                positions.pop()
            continue
        child = node.inputs[position]
        positions.append(position)
        steps.append((child, node.pull_back(position, gradient), iter(range(len(child.inputs)))))


def _path(nodes: list[Variable], positions: list[int], product: Array, labels: Labels) -> Path:
    steps = zip(nodes[:-1], nodes[1:], positions, strict=True)
    factors = tuple(_factor(node, child, position, labels) for node, child, position in steps)
    return Path(tuple(labels[node] for node in nodes), factors, product)


def _factor(node: Variable, child: Variable, position: int, labels: Labels) -> Factor:
    assert node.gate is not None
    value = local_derivative(node, position)
    in_symbols = node.gate.elementwise or value is None
    formula = labels.derivative(node, position) if in_symbols else ""
    return Factor(f"d{labels[node]}/d{labels[child]}", formula, value)


def _definition(labels: Labels, node: Variable) -> str:
    return f"{labels[node]} = {labels.expression(node)} = {short(node.value)}"


def product(path: Path) -> str:
    """Write the product of a path's factors and what it comes to."""
    values = [factor.value for factor in path.factors]
    if len(values) < 2 or any(value is None or np.ndim(value) for value in values):
        return short(path.product)
    return " * ".join(_shortened([*map(short, values)])) + f" = {short(path.product)}"


def _shortened(items: list[str] | tuple[str, ...]) -> list[str]:
    """Return the first and last of many items, and how many are left out between."""
    if len(items) <= LONGEST:
        return list(items)
    half = LONGEST // 2
    return [*items[:half], f"… {len(items) - 2 * half} left out …", *items[-half:]]
