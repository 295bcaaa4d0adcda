"""The gradient check: every derivative of backpropagation against a difference of two costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .inputs import as_count, as_real, as_reals
from .network import Network

__all__ = ["ArrayCheck", "EntryCheck", "GradientCheck", "check_gradients"]

Array = NDArray[Any]
Vector = NDArray[np.float64]

# Largest difference, relative to the largest derivative of an array, that rounding explains:
# of the differences themselves, and of a gradient computed in the network's own arithmetic.
TOLERANCES = {"float64": 1e-6, "float32": 1e-4, "bf16x3": 1e-4, "bf16x2": 1e-3, "bf16": 1e-1}

# Central differences err by h² C''' / 6 + eps |C| / h; the cube root of eps balances the two.
STEP = float(np.finfo(np.float64).eps ** (1.0 / 3.0))

# Where the derivative of an activation, or of a loss in a - y, jumps or has a corner.
_KINKED_ACTIVATIONS = frozenset({"relu", "leaky_relu", "elu", "selu"})
_LOSS_KINKS = {"mae": (0.0,), "huber": (-1.0, 1.0)}


@dataclass(frozen=True)
class EntryCheck:
    """One derivative, both ways.

    Attributes
    ----------
    index : tuple of int
        The entry of its array.
    gradient : float
        The derivative by backpropagation.
    difference : float or None
        The central difference of the cost; None where it spans a kink.
    error : float or None
        Their difference relative to the largest derivative of the array; None at a kink.
    """

    index: tuple[int, ...]
    gradient: float
    difference: float | None
    error: float | None


@dataclass(frozen=True)
class ArrayCheck:
    """What the check found for one array of derivatives.

    Attributes
    ----------
    name : str
        ``W1``, ``b1``, ..., or ``X`` for the derivatives in the inputs.
    size : int
        Entries of the array.
    checked : int
        Entries compared with a difference.
    kinks : int
        Entries tried whose difference spans a kink and so is no derivative; not compared.
    error : float
        Largest difference over the entries compared, relative to the largest derivative of the
        array (absolute if all are 0).
    index : tuple of int or None
        Where the largest difference is; None if nothing was compared.
    gradient, difference : float
        The derivative by backpropagation and by difference at `index`.
    entries : tuple of EntryCheck
        Every entry tried, in order.
    """

    name: str
    size: int
    checked: int
    kinks: int
    error: float
    index: tuple[int, ...] | None
    gradient: float
    difference: float
    entries: tuple[EntryCheck, ...] = ()


@dataclass(frozen=True)
class GradientCheck:
    """The result of `check_gradients`: printable, and true if all arrays are within tolerance.

    Attributes
    ----------
    arrays : tuple of ArrayCheck
        One entry an array of derivatives.
    tolerance : float
        The largest error that counts as agreement.
    """

    arrays: tuple[ArrayCheck, ...]
    tolerance: float

    @property
    def error(self) -> float:
        """The largest error of all arrays; NaN if any is."""
        return float(np.max([array.error for array in self.arrays]))

    @property
    def ok(self) -> bool:
        """Whether every error is within the tolerance and something was compared."""
        return any(array.checked for array in self.arrays) and self.error <= self.tolerance

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        """Return the table, one line an array, and the verdict."""
        lines = [
            f"{'array':<6}{'entries':>9}{'checked':>9}{'at kinks':>10}{'error':>11}"
            "  at, backpropagation, difference"
        ]
        for array in self.arrays:
            line = f"{array.name:<6}{array.size:>9}{array.checked:>9}{array.kinks:>10}"
            if array.index is not None:
                line += f"{array.error:>11.2e}  [{', '.join(map(str, array.index))}]"
                line += f" {array.gradient:.9g}, {array.difference:.9g}"
            lines.append(line)
        verdict = "gradients agree" if self.ok else "GRADIENTS DISAGREE"
        lines.append(
            f"{verdict}: largest relative error {self.error:.2e}, tolerance {self.tolerance:.0e}"
        )
        return "\n".join(lines)

    def table(self, name: str | None = None, rows: int | None = 10) -> str:
        """Return derivatives by backpropagation and by difference side by side.

        Parameters
        ----------
        name : str, optional
            The array, as ``"W1"``; by default all.
        rows : int or None
            Entries shown of each array, the first of those tried; None for all of them.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        """
        known = {array.name: array for array in self.arrays}
        if name is not None and name not in known:
            raise ValueError(f"name must be one of {', '.join(known)}; got {name!r}")
        if rows is not None:
            rows = as_count(rows, "rows", low=1)
        lines = [f"{'entry':<16}{'backpropagation':>18}{'difference':>18}{'error':>12}"]
        for array in self.arrays if name is None else [known[name]]:
            lines += [_entry_line(array.name, entry) for entry in array.entries[:rows]]
            left_out = len(array.entries) - len(array.entries[:rows])
            if left_out:
                lines.append(f"{array.name}: {left_out} more")
        return "\n".join(lines)


def _entry_line(name: str, entry: EntryCheck) -> str:
    """Return a line of the table: the entry, both derivatives, and how far they are apart."""
    line = f"{name}[{', '.join(map(str, entry.index))}]".ljust(16) + f"{entry.gradient:>18.9g}"
    if entry.difference is None:
        return f"{line}{'at a kink':>18}"
    return f"{line}{entry.difference:>18.9g}{entry.error:>12.2e}"


def check_gradients(
    net: Network,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    entries: int | None = 200,
    tolerance: float | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Compare `net.backprop` with central differences of the cost, computed in float64.

    For each parameter w, and each entry of X, ``(C(w + h) - C(w - h)) / 2h`` with
    ``h = eps^(1/3) max(|w|, 1)`` is taken on a float64 copy of the network, whatever the type
    of `net`. If between w - h and w + h a pre-activation passes the corner of relu, leaky_relu,
    elu or selu, or an output the corner of mae or huber, or the weight itself passes 0 under an
    l1 penalty, the difference is no derivative: the entry is counted apart. `net` is unchanged.

    Parameters
    ----------
    net : Network
        The network to check; dropout is off, as in `net.backprop`.
    X : array_like, shape (N, n_0)
        Inputs. Few examples, about ten, make a sharp check.
    y : array_like
        Targets, in the form of `net.cost`.
    sample_weight : array_like, shape (N,), optional
        Weights of the examples.
    entries : int or None
        Entries checked of each array, drawn at random if it has more; None for all.
    tolerance : float, optional
        Largest relative error that counts as agreement; by default 1e-6 for float64 nets, 1e-4
        for float32 and bf16x3, 1e-3 for bf16x2, 0.1 for bf16.
    seed : int
        Seed of the draw.

    Returns
    -------
    GradientCheck

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    if entries is not None:
        entries = as_count(entries, "entries", low=1)
    if tolerance is None:
        kind = net.precision if net.precision.startswith("bf16") else str(net.dtype)
        tolerance = TOLERANCES[kind]
    tolerance = as_real(tolerance, "tolerance", low=0.0)
    gradients = net.backprop(X, y, sample_weight)
    x = np.array(as_reals(X, "X"), dtype=np.float64)
    copy = _Float64Copy(net, y, sample_weight)
    rng = np.random.default_rng(as_count(seed, "seed"))
    results = []
    parameters = net.parameters.astype(np.float64)
    at = 0
    for name, gradient in _named(gradients.weights, gradients.biases):
        block = parameters[at : at + gradient.size]
        evaluate = _Evaluation(copy, x, parameters)
        penalised = copy.l1 > 0.0 and name.startswith("W")
        results.append(_check_array(name, gradient, block, evaluate, penalised, entries, rng))
        at += gradient.size
    evaluate = _Evaluation(copy, x, parameters)
    results.append(_check_array("X", gradients.inputs, x.ravel(), evaluate, False, entries, rng))
    return GradientCheck(tuple(results), tolerance)


def _named(weights: Any, biases: Any) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of derivatives with their names, in the order of the flat vector."""
    for layer, pair in enumerate(zip(weights, biases, strict=True), 1):
        yield f"W{layer}", pair[0]
        yield f"b{layer}", pair[1]


class _Float64Copy:
    """The network in float64, its targets, and what its kinks depend on."""

    def __init__(self, net: Network, y: Any, sample_weight: Any) -> None:
        self.net = Network(
            net.widths,
            activation=net.activations[:-1],
            output=net.activations[-1],
            loss=net.loss,
            init="zeros",
            l1=net.l1,
            l2=net.l2,
            dtype="float64",
        )
        if net.scaling is not None:
            self.net.set_scaling(*net.scaling)
        self.l1 = net.l1
        self.y = y
        self.sample_weight = sample_weight
        self.kinked = [
            layer for layer, name in enumerate(net.activations) if name in _KINKED_ACTIVATIONS
        ]
        self.loss_kinks = _LOSS_KINKS.get(net.loss, ()) if isinstance(net.loss, str) else ()


class _Evaluation:
    """The cost and the side of each kink, as functions of parameters and inputs."""

    def __init__(self, copy: _Float64Copy, x: Vector, parameters: Vector) -> None:
        self.copy, self.x, self.parameters = copy, x, parameters

    def __call__(self) -> tuple[float, list[NDArray[np.bool_]]]:
        """Return the cost, and for each kink on which side of it every value lies."""
        copy = self.copy
        copy.net.parameters = self.parameters
        cost = copy.net.cost(self.x, copy.y, copy.sample_weight)
        sides: list[NDArray[np.bool_]] = []
        if copy.kinked or copy.loss_kinks:
            trace = copy.net.trace(self.x)
            sides = [trace.z[layer] > 0.0 for layer in copy.kinked]
            if copy.loss_kinks:
                error = trace.a[-1] - np.reshape(copy.y, trace.a[-1].shape)
                sides += [error > kink for kink in copy.loss_kinks]
        return cost, sides


def _check_array(
    name: str,
    gradient: Array,
    values: Vector,
    evaluate: Callable[[], tuple[float, list[NDArray[np.bool_]]]],
    penalised: bool,
    entries: int | None,
    rng: np.random.Generator,
) -> ArrayCheck:
    """Check one array of derivatives by shifting the entries of `values` one at a time."""
    flat = gradient.ravel().astype(np.float64)
    chosen = np.arange(flat.size)
    if entries is not None and entries < flat.size:
        chosen = np.sort(rng.choice(flat.size, entries, replace=False))
    largest = float(np.abs(flat).max())
    entries_tried = []
    for entry in chosen.tolist():
        index = tuple(int(i) for i in np.unravel_index(entry, gradient.shape))
        difference = _difference(values, entry, evaluate, penalised)
        error = None
        if difference is not None:
            error = float(abs(flat[entry] - difference) / (largest or 1.0))
        entries_tried.append(EntryCheck(index, float(flat[entry]), difference, error))
    return _summary(name, flat.size, tuple(entries_tried))


def _summary(name: str, size: int, entries: tuple[EntryCheck, ...]) -> ArrayCheck:
    """Return the check of an array from those of its entries."""
    compared = [entry for entry in entries if entry.difference is not None]
    kinks = len(entries) - len(compared)
    if not compared:
        return ArrayCheck(name, size, 0, kinks, 0.0, None, 0.0, 0.0, entries)
    errors = np.array([entry.error for entry in compared], np.float64)
    # A NaN counts as the largest.
    worst = compared[int(np.argmax(errors))]
    assert worst.difference is not None
    return ArrayCheck(
        name,
        size,
        len(compared),
        kinks,
        float(np.max(errors)),
        worst.index,
        worst.gradient,
        worst.difference,
        entries,
    )


def _difference(
    values: Vector,
    entry: int,
    evaluate: Callable[[], tuple[float, list[NDArray[np.bool_]]]],
    penalised: bool,
) -> float | None:
    """Return the central difference in one entry, or None if it spans a kink."""
    kept = values[entry]
    step = STEP * max(abs(kept), 1.0)
    above, below = kept + step, kept - step
    values[entry] = above
    cost_above, sides_above = evaluate()
    values[entry] = below
    cost_below, sides_below = evaluate()
    values[entry] = kept
    crossed = penalised and below <= 0.0 <= above
    if crossed or any((a != b).any() for a, b in zip(sides_above, sides_below, strict=True)):
        return None
    return float((cost_above - cost_below) / (above - below))
