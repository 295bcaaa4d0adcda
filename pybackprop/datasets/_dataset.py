"""The Dataset: examples with their targets, names, held-out part and scaling."""

from __future__ import annotations

import numbers
import operator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..tables import Encoding, class_fault

Task = Literal["classification", "regression"]
Array = NDArray[Any]

# Every column has a name, so a small file with many columns would take a lot of memory.
MAX_COLUMNS = 1 << 20
_CHUNK_BYTES = 1 << 20
# How many names a repr shows in full, and at most how many characters of each.
_NAMES = 6
_NAME_CHARS = 40
# What a notebook shows of the examples.
_SHOWN_ROWS = 5
_SHOWN_COLUMNS = 8
_INPUT_TYPES = (np.uint8, np.float32, np.float64)


def number_names(prefix: str, count: int) -> tuple[str, ...]:
    """Return names for so many columns: prefix and position."""
    if count > MAX_COLUMNS:
        raise ValueError(f"has {count} columns, more than {MAX_COLUMNS}")
    return tuple(f"{prefix}{at}" for at in range(count))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples to learn from, and the names needed to talk about them.

    Attributes
    ----------
    x : ndarray of shape (N, n), uint8, float32 or float64
        Inputs in raw units, one example per row. Nothing is scaled in place; see `scaling`.
    y : ndarray
        Classification: class indices of shape (N,), int64. Regression: targets of shape (N,) or
        (N, k), float64, in raw units.
    task : {"classification", "regression"}
        What `y` holds.
    feature_names : tuple of str
        The n names of the columns of `x`.
    target_names : tuple of str
        The name of the target, or of each of the k targets.
    class_names : tuple of str or None
        Names of the classes in the order of their indices; None for regression.
    x_test, y_test : ndarray or None
        The held-out part, in the form of `x` and `y`: given by the files, or made by `split`.
    encoding : Encoding or None
        How the rows of a table became the columns of `x`; None for other sources.
    name : str
        Where the examples come from: the name of a built-in set or a path.
    notes : tuple of str
        What its reader did that the owner of the data may not expect.

    Raises
    ------
    ValueError
        If the shapes, types or lengths do not fit together, or if a value is not finite.
    """

    x: Array
    y: Array
    task: Task
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    class_names: tuple[str, ...] | None = None
    x_test: Array | None = None
    y_test: Array | None = None
    encoding: Encoding | None = None
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in ("classification", "regression"):
            raise ValueError(f'task must be "classification" or "regression", but is {self.task!r}')
        if (self.class_names is not None) != (self.task == "classification"):
            raise ValueError("class_names must be given for classification, and only for it")
        if (self.x_test is None) != (self.y_test is None):
            raise ValueError("x_test and y_test must be given together or not at all")
        self._check_part(self.x, self.y, "")
        if self.x_test is not None and self.y_test is not None:
            self._check_part(self.x_test, self.y_test, "_test")
            if self.x_test.dtype != self.x.dtype:
                raise ValueError(f"x_test must be {self.x.dtype} as x, but is {self.x_test.dtype}")

    def _check_part(self, x: Array, y: Array, suffix: str) -> None:
        """Check inputs and targets of one part against the names and against each other."""
        n_inputs, n_targets = len(self.feature_names), len(self.target_names)
        if x.dtype not in _INPUT_TYPES:
            raise ValueError(f"x{suffix} must be uint8, float32 or float64, but is {x.dtype}")
        if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0 or x.shape[1] != n_inputs:
            raise ValueError(f"x{suffix} must be of shape (N, {n_inputs}), but is {x.shape}")
        if self.class_names is not None:
            if y.dtype != np.int64 or y.shape != (len(x),):
                raise ValueError(
                    f"y{suffix} must be int64 of shape ({len(x)},), but is {y.dtype} {y.shape}"
                )
            if y.min() < 0 or y.max() >= len(self.class_names):
                raise ValueError(
                    f"y{suffix} must be indices of {len(self.class_names)} classes, but runs "
                    f"from {y.min()} to {y.max()}"
                )
        elif y.dtype != np.float64 or y.shape not in _target_shapes(len(x), n_targets):
            raise ValueError(
                f"y{suffix} must be float64 of shape ({len(x)}, {n_targets}), but is "
                f"{y.dtype} {y.shape}"
            )

    def __repr__(self) -> str:
        """Return shapes and the first names: the whole could be megabytes."""
        parts = [repr(self.name)] if self.name else []
        arrays = (("x", self.x), ("y", self.y), ("x_test", self.x_test), ("y_test", self.y_test))
        parts += [
            f"{name}={array.dtype} {array.shape}" for name, array in arrays if array is not None
        ]
        parts.append(f"task={self.task!r}")
        for field in ("feature_names", "target_names", "class_names"):
            names = getattr(self, field)
            if names is not None:
                parts.append(f"{field}={_shorten(names)}")
        return f"Dataset({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Return the shapes and the first examples, for notebooks."""
        from ..markup import figure, table

        columns = self.feature_names[:_SHOWN_COLUMNS]
        more = self.n_features - len(columns)
        targets = self.y[:_SHOWN_ROWS].reshape(-1, len(self.target_names)).tolist()
        if self.class_names is not None:
            targets = [[self.class_names[at] for at in row] for row in targets]
        heads = (*columns, *([f"{more} more"] if more else []), *self.target_names)
        rows = [
            (*x[: len(columns)], *(["…"] if more else []), *y)
            for x, y in zip(self.x[:_SHOWN_ROWS].tolist(), targets, strict=True)
        ]
        held = "" if self.x_test is None else f", {len(self.x_test):,} held out"
        what = f"{self.name or 'Dataset'}: {self.n_examples:,} examples{held}, {self.task}"
        return figure(what, table(heads, rows))

    @property
    def n_examples(self) -> int:
        """Number of rows of `x`."""
        return int(self.x.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns of `x`."""
        return int(self.x.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number of outputs a network needs: one per class, or one per target."""
        return len(self.target_names if self.class_names is None else self.class_names)

    def check_learnable(self) -> None:
        """Refuse targets from which a network can learn nothing.

        Raises
        ------
        ValueError
            If all targets of `y` are the same number, or if there are three or more classes and
            most have only one row.
        """
        if self.class_names is None:
            if len(self.y) == 1 or (self.y != self.y[0]).any():
                return
            what = f"every example has the same target, {self.y.reshape(-1)[0]:g}"
        else:
            present, counts = np.unique(self.y, return_counts=True)
            found = class_fault([self.class_names[at] for at in present], counts.tolist())
            if found is None:
                return
            what = found
        raise ValueError(f"{self.name}: {what}; choose another target")

    def split(self, fraction: float | tuple[int, int] = 0.2, seed: int = 0) -> Dataset:
        """Hold out a part of the examples, drawn at random.

        With classes the draw is stratified: every class gives its share, at least one example
        if it has two or more, and always keeps one. Both parts keep the order of the rows.

        Parameters
        ----------
        fraction : float or pair of int
            Share of the examples to hold out, between 0 and 1; or (k, K) for the k-th, from 0, of
            K parts of nearly equal size, for cross-validation.
        seed : int
            Seed of the draw. The same seed and data give the same parts.

        Returns
        -------
        Dataset
            A copy whose `x`, `y` are the kept part and whose `x_test`, `y_test` are the part
            held out.

        Raises
        ------
        TypeError
            If `fraction` is neither a number nor a pair of integers.
        ValueError
            If a held-out part exists already, if `fraction` is not strictly between 0 and 1, or
            if one of the parts would be empty.
        """
        if self.x_test is not None:
            raise ValueError("split needs a Dataset without a held-out part, but x_test is given")
        part = part_to_hold(fraction, "fraction")
        held = draw_held(self.y, self.class_names, part, seed)
        return replace(
            self, x=self.x[~held], y=self.y[~held], x_test=self.x[held], y_test=self.y[held]
        )

    def scaling(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the shift and scale that standardise the inputs.

        ``(x - shift) * scale`` has mean 0 and standard deviation 1 over the rows of `x`; the
        held-out part is not looked at. A column that never varies gets scale 1, so it becomes 0
        instead of infinity. Columns that one-hot encode a category stay 0 and 1. Inputs that the
        encoding has scaled stay as they are.

        Images (uint8) get one shift and one scale for all columns, from the mean and standard
        deviation of all pixels: a border pixel that is lit in three images of ten thousand
        would otherwise be blown up to a hundred standard deviations.

        The rows are read in pieces of about 1 MB; no scaled copy of `x` is made.

        Returns
        -------
        shift, scale : ndarray of shape (n,), float64
        """
        if self.x.dtype == np.uint8:
            return _image_scaling(self.x)
        if self.encoding is not None and self.encoding.scaling is not None:
            return np.zeros(self.n_features), np.ones(self.n_features)
        shift, scale = _column_scaling(self.x)
        if self.encoding is not None:
            one_hot = self.encoding.one_hot_mask()
            shift[one_hot] = 0.0
            scale[one_hot] = 1.0
        return shift, scale


def part_to_hold(value: Any, name: str) -> float | tuple[int, int]:
    """Check an argument that says which part to hold out: a fraction, or (k, K)."""
    wanted = "must be a number between 0 and 1, or (k, K) with 0 <= k < K"
    wrong = f"{name} {wanted}, got {value!r}"
    if isinstance(value, (tuple, list)) and len(value) == 2:
        try:
            fold, folds = map(operator.index, value)
        except TypeError:
            raise TypeError(wrong) from None
        if not 0 <= fold < folds or folds < 2:
            raise ValueError(wrong)
        return fold, folds
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(wrong)
    share = float(value)
    if not 0 < share < 1:
        raise ValueError(wrong)
    return share


def draw_held(
    y: Array, classes: tuple[str, ...] | None, fraction: float | tuple[int, int], seed: int
) -> NDArray[np.bool_]:
    """Return the mask of the rows that `Dataset.split` holds out."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), dtype=np.bool_)
    groups = [np.arange(len(y))]
    if classes is not None:
        groups = [np.flatnonzero(y == label) for label in range(len(classes))]
    begun = 0
    for group in groups:
        rows = rng.permutation(group)
        if isinstance(fraction, tuple):
            # The first rows of the classes go to different parts, which makes these equally large.
            held[rows[(fraction[0] - begun) % fraction[1] :: fraction[1]]] = True
            begun += rows.size
        elif classes is None:
            held[rows[: round(fraction * len(y))]] = True
        else:
            count = max(round(fraction * rows.size), 1)
            held[rows[: min(count, rows.size - 1)]] = True
    if not held.any() or held.all():
        raise ValueError(f"fraction {fraction!r} of {len(y)} examples leaves one part empty")
    return held


def _shorten(names: tuple[str, ...]) -> str:
    """Return the text of a tuple of names; of many, the first three and the last."""
    many = len(names) > _NAMES
    shown = [
        repr(name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}...")
        for name in ((*names[:3], names[-1]) if many else names)
    ]
    if many:
        return f"({', '.join(shown[:3])}, ..., {shown[3]})"
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _target_shapes(n_rows: int, n_targets: int) -> tuple[tuple[int, ...], ...]:
    """Return the shapes that regression targets may have."""
    return ((n_rows,), (n_rows, 1)) if n_targets == 1 else ((n_rows, n_targets),)


def _chunks(x: Array) -> list[Array]:
    """Cut the rows of x into views of about 1 MB."""
    step = max(1, _CHUNK_BYTES // max(1, x.shape[1] * x.itemsize))
    return [x[start : start + step] for start in range(0, x.shape[0], step)]


def _image_scaling(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scaling common to all columns, from the histogram of the 256 values."""
    counts = np.zeros(256, dtype=np.int64)
    for rows in _chunks(x):
        counts += np.bincount(rows.ravel(), minlength=256)
    values = np.arange(256.0)
    mean = float(counts @ values) / x.size
    std = float(np.sqrt(counts @ (values - mean) ** 2 / x.size))
    return np.full(x.shape[1], mean), np.full(x.shape[1], 1.0 / std if std > 0.0 else 1.0)


def _column_scaling(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scaling of each column, in two passes so that large offsets do no harm."""
    first = x[0].astype(np.float64)
    total = np.zeros(x.shape[1])
    varies = np.zeros(x.shape[1], dtype=np.bool_)
    for rows in _chunks(x):
        total += (rows - first).sum(axis=0, dtype=np.float64)
        varies |= (rows != x[0]).any(axis=0)
    shift = first + total / x.shape[0]
    square = np.zeros(x.shape[1])
    for rows in _chunks(x):
        square += ((rows - shift) ** 2).sum(axis=0)
    std = np.sqrt(square / x.shape[0])
    varies &= std > 0.0
    shift[~varies] = first[~varies]
    return shift, np.divide(1.0, std, out=np.ones_like(std), where=varies)
