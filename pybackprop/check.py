"""The gradient check: every derivative of backpropagation against a difference of two costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .inputs import as_count, as_real, as_reals
from .network import Network

__all__ = ["ArrayCheck", "EntryCheck", "GradientCheck", "check_gradients"]

Array = NDArray[Any]
Vector = NDArray[np.float64]

# Largest error, relative to the largest derivative of an array, that rounding explains: rounding in
# the differences themselves, and in a gradient computed in the network's own arithmetic.
TOLERANCES = {"float64": 1e-6, "float32": 1e-4, "bf16x3": 1e-4, "bf16x2": 1e-3, "bf16": 1e-1}

# Central differences err by h² C''' / 6 + eps |C| / h; the cube root of eps balances the two.
STEP = float(np.finfo(np.float64).eps ** (1.0 / 3.0))

# The unit roundoff, and how many units each sum of a cost may be off by; see `check_gradients`.
UNIT = float(np.finfo(np.float64).eps) / 2.0
_ROUNDINGS = 4.0

# The widest step of an extrapolated difference, and how often it is halved.
_WIDEST = 0.1
_LEVELS = 8

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
        The central difference of the cost; None if it spans a kink.
    error : float or None
        Their difference relative to the largest derivative of the array; None if not compared.
    uncertainty : float or None
        How far the difference may be from the derivative; None at a kink.
    """

    index: tuple[int, ...]
    gradient: float
    difference: float | None
    error: float | None
    uncertainty: float | None


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
        Entries tried whose difference spans a kink and so does not estimate a derivative; not
        compared.
    unresolved : int
        Entries tried whose difference is too uncertain to tell whether the two derivatives are
        within the tolerance; not compared. This happens if all derivatives of the array are tiny
        compared with the cost, whose rounding hides them.
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
    unresolved: int
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
        One entry per array of derivatives.
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

    def __repr__(self) -> str:
        """Return only the verdict, since there could be thousands of entries."""
        verdict = next(self._verdict())
        return f"GradientCheck({verdict}; {sum(array.checked for array in self.arrays)} entries)"

    def _repr_html_(self) -> str:
        """Return one row per array and the verdict, for notebooks."""
        from .markup import figure, preformatted, table

        heads = ("array", "entries", "checked", "at kinks", "unresolved", "largest error")
        rows = [
            (each.name, each.size, each.checked, each.kinks, each.unresolved, each.error)
            for each in self.arrays
        ]
        first, *rest = self._verdict()
        return figure(first, table(heads, rows), preformatted("\n".join(rest)) if rest else "")

    def __str__(self) -> str:
        """Return the table, one line per array, and the verdict."""
        lines = [
            f"{'array':<6}{'entries':>9}{'checked':>9}{'at kinks':>10}{'unresolved':>12}"
            f"{'error':>11}  at, backpropagation, difference"
        ]
        for array in self.arrays:
            line = f"{array.name:<6}{array.size:>9}{array.checked:>9}{array.kinks:>10}"
            line += f"{array.unresolved:>12}"
            if array.index is not None:
                line += f"{array.error:>11.2e}  [{', '.join(map(str, array.index))}]"
                line += f" {array.gradient:.9g}, {array.difference:.9g}"
            lines.append(line)
        return "\n".join([*lines, *self._verdict()])

    def _verdict(self) -> Iterator[str]:
        """Say whether gradients agree, and what could not be compared."""
        if any(array.checked for array in self.arrays):
            verdict = "gradients agree" if self.ok else "GRADIENTS DISAGREE"
            yield (
                f"{verdict}: largest relative error {self.error:.2e}, "
                f"tolerance {self.tolerance:.0e}"
            )
        else:
            yield "NOTHING COMPARED: every entry tried is at a kink or unresolved"
        open_ = [array for array in self.arrays if array.unresolved]
        if open_:
            names = ", ".join(array.name for array in open_)
            yield (
                f"not checked: {sum(array.unresolved for array in open_)} unresolved entries of "
                f"{names}; the rounding of the cost hides whether they are within the tolerance"
            )

    def table(self, name: str | None = None, rows: int | None = 10) -> str:
        """Return derivatives by backpropagation and by difference side by side.

        Parameters
        ----------
        name : str, optional
            The name of an array, such as ``"W1"``; by default all arrays.
        rows : int or None
            How many entries of each array to show, the first ones tried; None for all of them.

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
    if entry.error is None:
        return f"{line}{entry.difference:>18.9g}{'unresolved':>12}"
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
    ``h = eps^(1/3) max(|w|, 1)`` is taken on a float64 copy of the network, whatever the type of
    `net`. If between w - h and w + h a pre-activation passes the corner of relu, leaky_relu, elu or
    selu, or an output the corner of mae or huber, or the weight itself passes 0 under an l1
    penalty, the difference does not estimate a derivative, and the entry is counted separately.
    `net` is unchanged.

    The costs are rounded, so a difference is uncertain by about ``eps |C| / h``. If it cannot show
    that the two derivatives agree, differences at up to eight wider steps are extrapolated to step
    0, which is far more exact. An entry that is still undecided is counted separately, as
    unresolved. Such entries are in layers whose gradients vanish. A gradient there that is off by
    more than the uncertainty is found, but no difference can confirm the last digits.

    Parameters
    ----------
    net : Network
        The network to check; dropout is off, as in `net.backprop`.
    X : array_like, shape (N, n_0)
        Inputs. Few examples, about ten, make a sharp check.
    y : array_like
        Targets, as for `net.cost`.
    sample_weight : array_like, shape (N,), optional
        Weights of the examples.
    entries : int or None
        How many entries of each array to check, drawn at random if it has more; None for all.
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

    Notes
    -----
    Rounding changes a difference by at most ``E / h``, where E bounds the error of a computed cost
    (Nocedal and Wright, "Numerical Optimization", 2006, section 8.1). Running error analysis
    (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.3) gives, with
    u = eps / 2, n terms of the cost and in each layer the sums ``s = |W| |a| + |b|``,

        E = u ((4 + sqrt(n)) |C| + 4 sum of |delta| s over layers and examples).

    The factor 4 stands for the roundings of one sum, which mostly cancel, and sqrt(n) for those of
    a sum of n terms (Higham and Mary, "A new approach to probabilistic rounding error analysis",
    2019). Extrapolation is that of Ridders ("Accurate computation of F'(x) and F'(x) F''(x)",
    1982): the uncertainty is the change by the last extrapolation, plus ``2 E / h``.

    With g the derivative by backpropagation, d the difference, U its uncertainty and m the largest
    derivative of the array, g and d agree if ``|g - d| + U <= tolerance m``, disagree if
    ``|g - d| - U > tolerance m``, and are unresolved between the two.
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
    parameters = net.parameters.astype(np.float64)
    check = _Check(_Evaluation(copy, x, parameters), tolerance, entries, as_count(seed, "seed"))
    results = []
    at = 0
    for name, gradient in _named(gradients.weights, gradients.biases):
        block = parameters[at : at + gradient.size]
        penalised = copy.l1 > 0.0 and name.startswith("W")
        results.append(check.array(name, gradient, block, penalised))
        at += gradient.size
    results.append(check.array("X", gradients.inputs, x.ravel(), False))
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
            label_smoothing=net.label_smoothing,
            dtype="float64",
        )
        if net.scaling is not None:
            self.net.set_scaling(*net.scaling)
        self.l1 = net.l1
        self.penalised = net.l1 > 0.0 or net.l2 > 0.0
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

    # Overflow makes a gradient that disagrees, and is no reason to warn.
    @np.errstate(all="ignore")
    def noise(self) -> float:
        """Return by how much a cost may be off by rounding: E of `check_gradients`."""
        copy = self.copy
        copy.net.parameters = self.parameters
        cost = abs(copy.net.cost(self.x, copy.y, copy.sample_weight))
        trace = copy.net.trace(self.x, copy.y)
        assert trace.delta is not None
        # A trace belongs to the unweighted mean.
        share = np.ones((len(self.x), 1))
        if copy.sample_weight is not None:
            share[:, 0] = copy.sample_weight
            share /= share.mean()
        layers = zip(trace.a[:-1], copy.net.weights, copy.net.biases, trace.delta, strict=True)
        summed = sum(
            float(np.sum(np.abs(delta * share) * (np.abs(a) @ np.abs(w).T + np.abs(b))))
            for a, w, b, delta in layers
        )
        terms = trace.a[-1].size + (copy.net.n_parameters if copy.penalised else 0)
        return UNIT * ((_ROUNDINGS + math.sqrt(terms)) * cost + _ROUNDINGS * summed)


class _Check:
    """Checks one array after another; holds what the checks have in common."""

    def __init__(
        self, evaluate: _Evaluation, tolerance: float, entries: int | None, seed: int
    ) -> None:
        self.evaluate = evaluate
        self.tolerance = tolerance
        self.entries = entries
        self.rng = np.random.default_rng(seed)
        self.noise = evaluate.noise()

    def array(self, name: str, gradient: Array, values: Vector, penalised: bool) -> ArrayCheck:
        """Check one array of derivatives by shifting the entries of `values` one at a time."""
        flat = gradient.ravel().astype(np.float64)
        chosen = np.arange(flat.size)
        if self.entries is not None and self.entries < flat.size:
            chosen = np.sort(self.rng.choice(flat.size, self.entries, replace=False))
        lines = [_Line(values, entry, self.evaluate, penalised) for entry in chosen.tolist()]
        found = [line.difference(self.noise) for line in lines]
        # Include the differences, so that a gradient that is wrongly 0 is not judged relative to 0.
        seen = [abs(difference.value) for difference in found if difference is not None]
        largest = float(np.max([*np.abs(flat), *seen]))
        tried = []
        for line, difference in zip(lines, found, strict=True):
            index = tuple(int(i) for i in np.unravel_index(line.entry, gradient.shape))
            entry = self._entry(index, float(flat[line.entry]), difference, line, largest)
            tried.append(entry)
        return _summary(name, flat.size, tuple(tried))

    def _entry(
        self,
        index: tuple[int, ...],
        gradient: float,
        difference: _Difference | None,
        line: _Line,
        largest: float,
    ) -> EntryCheck:
        """Return the verdict on one entry, using a finer difference if needed."""
        if difference is None:
            return EntryCheck(index, gradient, None, None, None)
        bound = self.tolerance * largest
        if not abs(gradient - difference.value) + difference.uncertainty <= bound:
            difference = line.extrapolated(self.noise)
        apart, uncertainty = abs(gradient - difference.value), difference.uncertainty
        # A NaN on either side does not leave the entry unresolved: the error is NaN.
        unresolved = apart - uncertainty <= bound < apart + uncertainty
        error = None if unresolved else apart / (largest or 1.0)
        return EntryCheck(index, gradient, difference.value, error, uncertainty)


def _summary(name: str, size: int, entries: tuple[EntryCheck, ...]) -> ArrayCheck:
    """Return the check of an array from those of its entries."""
    kinks = sum(entry.difference is None for entry in entries)
    compared = [entry for entry in entries if entry.error is not None]
    unresolved = len(entries) - kinks - len(compared)
    if not compared:
        return ArrayCheck(name, size, 0, kinks, unresolved, 0.0, None, 0.0, 0.0, entries)
    errors = np.array([entry.error for entry in compared], np.float64)
    # A NaN counts as the largest.
    worst = compared[int(np.argmax(errors))]
    assert worst.difference is not None
    return ArrayCheck(
        name,
        size,
        len(compared),
        kinks,
        unresolved,
        float(np.max(errors)),
        worst.index,
        worst.gradient,
        worst.difference,
        entries,
    )


@dataclass(frozen=True)
class _Difference:
    """An estimate of a derivative, and how far it may be off."""

    value: float
    uncertainty: float


class _Line:
    """The cost along one entry of `values`, all others fixed."""

    def __init__(
        self,
        values: Vector,
        entry: int,
        evaluate: _Evaluation,
        penalised: bool,
    ) -> None:
        self.values, self.entry, self.evaluate = values, entry, evaluate
        self.penalised = penalised

    def difference(self, noise: float) -> _Difference | None:
        """Return the central difference, or None if it spans a kink."""
        return self._central(STEP, noise)

    def extrapolated(self, noise: float) -> _Difference:
        """Return the estimate of least uncertainty extrapolated from wider steps.

        Each row of Neville's tableau removes the error term of one more power of h². If kinks leave
        fewer than two steps, the result is the simple difference, which must exist.
        """
        estimates: list[_Difference] = []
        above: list[float] = []
        width = _WIDEST
        while width > STEP and len(above) < _LEVELS:
            central = self._central(width, noise, displaced=True)
            width /= 2.0
            if central is None:
                # Narrower steps may fit between the kinks.
                above = []
                continue
            row = [central.value]
            for power, coarse in enumerate(above, 1):
                row.append(row[-1] + (row[-1] - coarse) / (4.0**power - 1.0))
                change = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse))
                if math.isfinite(change):
                    estimates.append(_Difference(row[-1], change + 2.0 * central.uncertainty))
            above = row
        if not estimates:
            simple = self._central(STEP, noise, displaced=True)
            assert simple is not None
            return simple
        return min(estimates, key=lambda each: each.uncertainty)

    def _central(self, width: float, noise: float, displaced: bool = False) -> _Difference | None:
        """Return the central difference at a step relative to the entry, with its rounding.

        If the cost is nearly 0, its rounding grows with the step; `displaced` allows for that.
        """
        kept = self.values[self.entry]
        step = width * max(abs(kept), 1.0)
        above, below = kept + step, kept - step
        self.values[self.entry] = above
        cost_above, sides_above = self.evaluate()
        if displaced:
            noise = max(noise, self.evaluate.noise())
        self.values[self.entry] = below
        cost_below, sides_below = self.evaluate()
        self.values[self.entry] = kept
        crossed = self.penalised and below <= 0.0 <= above
        if crossed or any((a != b).any() for a, b in zip(sides_above, sides_below, strict=True)):
            return None
        span = float(above - below)
        return _Difference(float(cost_above - cost_below) / span, 2.0 * noise / span)
