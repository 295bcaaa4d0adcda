"""Several networks of the same widths as one ONNX graph that gives the mean of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .onnx import Writer, import_onnx, names, write_graph

if TYPE_CHECKING:
    from ..model import Model


def save_mean(networks: Sequence[Model], shares: Array, path: Any) -> None:
    """Write the mean of networks, in which each has its share; see `Networks.to_onnx`."""
    import_onnx()
    used = np.flatnonzero(shares).tolist()
    writer = _MeanWriter([networks[at] for at in used], shares[used])
    write_graph(path, writer, names(networks[used[0]]))


class _MeanWriter(Writer):
    """Writes tensors with a leading axis for the networks, so that the nodes are those of one."""

    axis = 2

    def __init__(self, networks: Sequence[Model], shares: Array) -> None:
        super().__init__(networks[0])
        self._networks, self._shares = networks, shares

    def write(self) -> None:
        value = "x"
        if any(each.scaling is not None for each in self._networks):
            shifts, scales = zip(*map(_scaling_of, self._networks), strict=True)
            value = self._node("Sub", [value, self._stacked("shift", shifts)], "centred")
            value = self._node("Mul", [value, self._stacked("scale", scales)], "scaled")
        for layer in range(len(self.network.weights)):
            w = [each.weights[layer].T for each in self._networks]
            b = [each.biases[layer] for each in self._networks]
            weight = self._constant(f"layers.{layer}.weight", np.stack(w))
            product = self._node("MatMul", [value, weight], f"product{layer}")
            bias = self._stacked(f"layers.{layer}.bias", b)
            value = self._activation(layer, self._node("Add", [product, bias], f"z{layer}"))
        shares = self._constant("shares", self._shares[:, None, None])
        value = self._node("Mul", [value, shares], "shared")
        self._node("ReduceSum", [value, self._axes()], "y", keepdims=0)

    def _stacked(self, name: str, vectors: Sequence[Array]) -> str:
        """Add vectors as a constant, (n, 1, size)."""
        return self._constant(name, np.stack(vectors)[:, None])

    def _axes(self) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array([0]), "axes"))
        return "axes"


def _scaling_of(network: Model) -> tuple[Array, Array]:
    """Return shift and scale, those that change nothing if there are none."""
    n = network.widths[0]
    return (np.zeros(n), np.ones(n)) if network.scaling is None else network.scaling
