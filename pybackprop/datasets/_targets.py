"""The target of a table: numbers or classes, and whether classes can be learnt from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ._cells import EXACT_INTEGERS, integer, is_integer, is_missing, is_number, is_plain
from ._table import Cells, fault, listing, number_fault, quote

MAX_INTEGER_CLASSES = 20
MIN_ROWS_PER_CLASS = 5


def learn_target(
    cells: Cells, task: str | None, numeric: bool
) -> tuple[NDArray[np.float64] | NDArray[np.int64], tuple[str, ...] | None]:
    """Return the targets and the names of the classes, None for regression.

    Parameters
    ----------
    cells : Cells
        The table, read.
    task : {"classification", "regression"} or None
        What the targets are, None to tell by `load_csv`'s rule.
    numeric : bool
        Whether the target column holds numbers, as far as its first rows tell.
    """
    _check_present(cells)
    if task == "regression" or (task is None and numeric):
        numbers = target_numbers(cells, "round it, or use --task classification")
        if task == "regression" or not _are_classes(cells.targets):
            return numbers, None
    texts = set(cells.targets)
    if all(map(is_integer, texts)):
        classes = tuple(str(value) for value in sorted({integer(cell) for cell in texts}))
    else:
        classes = tuple(sorted(texts))
    y = target_classes(cells, classes)
    what = class_fault(classes, Counter(y.tolist()).values())
    if what is not None:
        what += "; choose another target (--target)"
        if len(classes) > 1 and all(map(is_number, classes)):
            what += ", or predict the number (--task regression)"
        raise fault(cells.path, cells.lines[0], _target_name(cells), what)
    return y, classes


def class_fault(classes: Sequence[str], counts: Iterable[int]) -> str | None:
    """Say why classes with so many rows each cannot be learnt, None if they can.

    With two classes one row each is enough; holding out a part reports if there are too few.
    """
    if len(classes) == 1:
        return f"all rows are of the one class {quote(classes[0])}"
    counts = list(counts)
    single = sum(count == 1 for count in counts)
    if len(classes) == 2 or 2 * single <= len(classes):
        return None
    return (
        f"{len(classes):,} different values in {sum(counts):,} rows, {single:,} of them in one "
        "row only, cannot be learnt as classes"
    )


def target_numbers(cells: Cells, advice: str) -> NDArray[np.float64]:
    """Return the target cells as finite numbers, shape (N,).

    The advice is what to do about an integer with more digits than a float64 holds.
    """
    y = np.empty(len(cells.targets))
    for row, cell in enumerate(cells.targets):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        # As in `Cells.add`, only what is unusual gets a closer look.
        if not (abs(value) < EXACT_INTEGERS and is_plain(cell)):
            what = number_fault(cell, advice)
            if what is None and math.isinf(value):
                what = f"{quote(cell)} is not a finite number"
            if what is not None:
                raise fault(cells.path, cells.lines[row], _target_name(cells), what)
        y[row] = value
    return y


def target_classes(cells: Cells, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the target cells as indices of classes, shape (N,).

    Classes that are integers are found by value, so that 3, 3.0 and 03 are one class.
    """
    index = {name: code for code, name in enumerate(classes)}
    by_value = all(is_integer(name) for name in classes)
    y = np.empty(len(cells.targets), dtype=np.int64)
    for row, cell in enumerate(cells.targets):
        code = index.get(str(integer(cell)) if by_value and is_integer(cell) else cell)
        if code is None:
            what = f"{quote(cell)} is none of the classes {listing(classes)}"
            raise fault(cells.path, cells.lines[row], _target_name(cells), what)
        y[row] = code
    return y


def _check_present(cells: Cells) -> None:
    """Refuse rows without a target, all of them in one message."""
    missing = [row for row, cell in enumerate(cells.targets) if is_missing(cell)]
    if not missing:
        return
    n_rows, n_missing = len(cells.targets), len(missing)
    if n_missing == n_rows:
        what = "the target column is empty; choose another target (--target)"
    else:
        what = f"missing value; {n_missing:,} of {n_rows:,} rows have no target; delete them"
    raise fault(cells.path, cells.lines[missing[0]], _target_name(cells), what)


def _are_classes(cells: Sequence[str]) -> bool:
    """Tell by `load_csv`'s rule whether numbers are codes of classes."""
    values = set()
    for cell in cells:
        values.add(float(cell))
        if len(values) > MAX_INTEGER_CLASSES:
            return False
    enough = len(values) == 2 or len(cells) >= MIN_ROWS_PER_CLASS * len(values)
    return enough and all(value.is_integer() for value in values)


def _target_name(cells: Cells) -> str:
    """Return the name of the target column of a table."""
    return "" if cells.target is None else cells.names[cells.target]
