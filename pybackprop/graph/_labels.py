"""How the nodes of a graph and their numbers are written for a reader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from ._gate import plain
from ._variable import Variable, topological_order


def short(value: Any, digits: int = 6, items: int = 3) -> str:
    """Write a number, or the shape of an array and its first `items` elements."""
    # Adding 0 turns -0 into 0.
    array = np.asarray(plain(value)) + 0.0
    if array.ndim == 0:
        return f"{float(array):.{digits}g}"
    first = [f"{x:.{digits}g}" for x in array.ravel()[:items]]
    more = ["…"] if array.size > items else []
    return f"{array.shape} [{' '.join(first + more)}]"


def short_index(index: Any) -> str:
    """Write the index of an indexing gate."""
    if isinstance(index, tuple):
        return ", ".join(map(short_index, index))
    if isinstance(index, slice):
        start, stop = ("" if x is None else str(x) for x in (index.start, index.stop))
        return f"{start}:{stop}" + ("" if index.step is None else f":{index.step}")
    if index is Ellipsis:
        return "..."
    return str(index) if index is None or np.ndim(index) == 0 else "[…]"


class Labels:
    """Names for all nodes below a root: their own, or v1, v2, … in the order of computation.

    Constants that are single numbers are called by their value. A name that several nodes carry
    is followed by a number from the second on.

    Parameters
    ----------
    root : Variable
        The node the graph ends in; it is called J if it has no name and J is free.
    """

    def __init__(self, root: Variable) -> None:
        self.order = topological_order(root)
        self.names: dict[Variable, str] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = defaultdict(lambda: count(1))
        for node in self.order:
            if node.name:
                # A line break or control character would break the line the name is written in.
                name = "".join(c if c.isprintable() else " " for c in node.name)
                self.names[node] = self._free(name, name)
        for node in self.order:
            if node not in self.names:
                self.names[node] = self._own_name(node, root)

    def _own_name(self, node: Variable, root: Variable) -> str:
        if node.is_constant and node.gate is None:
            return short(node.value) if node.ndim == 0 else self._free("", "const")
        return self._free("J" if node is root else "", "v")

    def _free(self, wanted: str, stem: str) -> str:
        """Take and return the first free name of `wanted`, stem1, stem2, and so on."""
        name = wanted
        while not name or name in self._taken:
            name = f"{stem}{next(self._numbers[stem])}"
        self._taken.add(name)
        return name

    def __getitem__(self, node: Variable) -> str:
        return self.names[node]

    def expression(self, node: Variable) -> str:
        """Write how a node is computed from its inputs, as in ``b * c``; a leaf by its value."""
        if node.gate is None:
            return short(node.value)
        return self._fill(node.gate.text, node)

    def derivative(self, node: Variable, position: int) -> str:
        """Write the local derivative of a node by one of its inputs, as in ``c``."""
        assert node.gate is not None
        return self._fill(node.gate.derivatives[position], node)

    def _fill(self, template: str, node: Variable) -> str:
        options = (
            f", {k}={v}" for k, v in node.parameters.items() if v is not None and v is not False
        )
        return template.format(
            *(self.names[x] for x in node.inputs),
            out=self.names[node],
            options="".join(options) if "{options}" in template else "",
            index=short_index(node.parameters.get("index")),
        )


def local_derivative(node: Variable, position: int) -> Any | None:
    """Return the numbers of a local derivative, where they can be written as one array.

    Returns
    -------
    ndarray or None
        For an elementwise gate the derivative at each place, of the shape of the node; for a gate
        with a single output its gradient, of the shape of the input; None for any other, whose
        local derivative is a matrix.
    """
    assert node.gate is not None
    ones = np.ones(node.shape)[()]
    if node.gate.elementwise:
        values = (x.value for x in node.inputs)
        return node.gate.vjps[position](ones, node.value, *values, **node.parameters)
    return node.pull_back(position, ones) if node.size == 1 else None
