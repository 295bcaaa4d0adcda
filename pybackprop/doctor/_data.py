"""The inputs: whether they are finite, vary, and have the sizes that initial weights expect."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array
from ..nonfinite import find
from ._finding import Finding
from ._lines import standardise_inputs
from ._patient import Patient, rms

# Fewer examples say nothing about how the data are spread.
FEW = 8

# Columns that do not vary are common at the borders of pictures and among rare categories. They
# carry no information, and matter only if they are most of the inputs.
_CONSTANT = 0.5

# By how many units in the last place rounding may make a constant vary.
_ULPS = 4.0

# A variance of targets below this share of the whole is rounding: equal examples agree.
_AGREE = 1e-6

# Initial weights are made for inputs of about 1 (LeCun et al., Efficient BackProp, 1998, section
# 4.3). Pictures of 0 … 16 can still be learned, but 0 … 255 is too large.
_LARGE, _SMALL = 20.0, 0.02

# The curvature of the cost grows with the square of these.
_DISPARITY = 1000.0
_OFFSET = 10.0

# Inputs with fewer different values than this repeat naturally. They are then worth reporting only
# if next to nothing can be learned from them.
_DISCRETE = 16
_NOISE = 0.9


def check_finite(patient: Patient) -> list[Finding]:
    """Look for numbers that the network's type cannot hold."""
    dtype = patient.net.dtype
    found = []
    bad = [~np.isfinite(_converted(each, dtype)).all(axis=1) for each in (patient.x, patient.y)]
    rows = int((bad[0] | bad[1]).sum())
    for name, cause, array, wrong in (
        ("X", "inputs_not_finite", patient.x, bad[0]),
        ("y", "targets_not_finite", patient.y, bad[1]),
    ):
        place = find(array, dtype)
        if place is None:
            continue
        row, column = place
        found.append(
            Finding(
                cause,
                None,
                f"{name} holds {array[row, column]:g} in row {row}, column {column} (counted from "
                f"0), and in {int(wrong.sum())} of {len(array)} rows what {dtype} cannot hold; "
                "every gradient becomes NaN",
                {"rows": int(wrong.sum()), "row": row, "column": column},
                (_keep_finite(dtype),) if rows < len(array) else (),
            )
        )
    return found


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    return array.astype(dtype) if array.dtype.kind == "f" else array


def _keep_finite(dtype: np.dtype[Any]) -> str:
    x, y = (f"np.isfinite({name}.astype('{dtype}').reshape(len(X), -1))" for name in ("X", "y"))
    return f"keep = {x}.all(axis=1) & {y}.all(axis=1); X, y = X[keep], y[keep]"


def check_inputs(patient: Patient) -> list[Finding]:
    """Look for inputs that do not vary, or whose sizes initial weights are not made for."""
    x = patient.inputs
    if len(x) < FEW:
        return []
    middle, spread = x.mean(axis=0), np.abs(x - x.mean(axis=0)).max(axis=0)
    constant = _are_constant(patient)
    found = _constant_columns(constant, x)
    # A network that has learned with these inputs has adapted to their size.
    if not constant.all() and not patient.is_fitted:
        found += _sizes(patient, middle, spread, constant)
    if not constant.all():
        found += _copies(patient, x[:, ~constant])
    return found


def _are_constant(patient: Patient) -> Array:
    """Return which columns vary by no more than rounding makes a constant vary."""
    dtypes = [patient.net.dtype, *([patient.x.dtype] if patient.x.dtype.kind == "f" else [])]
    coarser = max(float(np.finfo(dtype).eps) for dtype in dtypes)
    raw = patient.x.astype(patient.net.dtype).astype(np.float64)
    spread = np.ptp(raw, axis=0)
    # The residue of sums that cancel, as in the last columns of a principal component analysis.
    left = _ULPS * float(np.finfo(np.float64).eps) * spread.max()
    constant = spread <= np.maximum(_ULPS * coarser * np.abs(raw).max(axis=0), left)
    # A scale of 0 makes any column constant.
    found: Array = constant | (np.ptp(patient.inputs, axis=0) == 0.0)
    return found


def _constant_columns(constant: Array, x: Array) -> list[Finding]:
    count, n = int(constant.sum()), len(constant)
    if count < _CONSTANT * n:
        return []
    level = rms(x[:, constant])
    rest = "no output can depend on them" if count == n else f"{n - count} are left to learn from"
    advice: tuple[str, ...] = ()
    if count < n and level > _LARGE:
        advice = (standardise_inputs(True),)
    return [
        Finding(
            "inputs_constant",
            None,
            f"{count} of {n} inputs are the same in all {len(x)} examples; {rest}",
            {"constant": count, "left": n - count, "level": level},
            advice,
        )
    ]


def _sizes(patient: Patient, middle: Array, spread: Array, constant: Array) -> list[Finding]:
    """Look at the scales and offsets of the columns that vary."""
    varies = ~constant
    deviation = rms(patient.inputs[:, varies] - middle[varies])
    offset, largest = rms(middle), float(spread[varies].max())
    smallest = float(spread[varies].min())
    seen = "as net.scaling leaves them" if patient.net.scaling is not None else "as given"
    numbers = {"deviation": deviation, "offset": offset, "largest": largest, "smallest": smallest}
    advice = (standardise_inputs(bool(constant.any())),)
    found = []
    if not _SMALL <= deviation <= _LARGE or largest > _DISPARITY * smallest:
        found.append(
            Finding(
                "inputs_scale",
                None,
                f"the inputs, {seen}, deviate by {deviation:.3g} from their means, the widest "
                f"column by up to {largest:.3g} and the narrowest by {smallest:.3g}; "
                "initial weights and learning rates are made for deviations of about 1",
                numbers,
                advice,
            )
        )
    if offset > _OFFSET * deviation:
        found.append(
            Finding(
                "inputs_offset",
                None,
                f"the inputs, {seen}, have means of about {offset:.3g}, beside which the "
                f"deviations of {deviation:.3g} hardly show",
                numbers,
                advice,
            )
        )
    return found


def _copies(patient: Patient, x: Array) -> list[Finding]:
    """Look for examples that occur several times in the data, perhaps with different targets."""
    _, first, group = np.unique(x, axis=0, return_index=True, return_inverse=True)
    n, distinct = len(x), len(first)
    if distinct > n // 2:
        return []
    group, y = group.reshape(-1), patient.targets
    sums = np.zeros((distinct, y.shape[1]))
    np.add.at(sums, group, y)
    within = y - sums[group] / np.bincount(group)[group, None]
    total = float(((y - y.mean(axis=0)) ** 2).sum())
    contradicted = float((within**2).sum()) / total if total > 0.0 else 0.0
    values = max(len(np.unique(column)) for column in x.T)
    if values < _DISCRETE and contradicted < _NOISE:
        return []
    advice: tuple[str, ...] = ()
    if contradicted < _AGREE:
        advice = ("X, keep = np.unique(X, axis=0, return_index=True); y = y[keep]",)
    return [
        Finding(
            "inputs_duplicated",
            None,
            f"only {distinct} of {n} examples differ in X; the targets of equal examples differ "
            f"by {contradicted:.0%} of the targets' variance, which cannot be learned",
            {"distinct": distinct, "examples": n, "contradicted": contradicted},
            advice,
        )
    ]
