"""Robust scaling of inputs with smooth clipping: outliers keep their order, and stay near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Where smooth clipping bends: no value is beyond.
_LIMIT = 3.0
# Numbers beyond count as this, so that differences are finite.
_LARGEST = 8e307
# Rows are scaled in pieces that stay in the processor's cache.
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class RobustScaling:
    """u = factor (x - center), then v = u / sqrt(1 + (u / 3)^2), column by column.

    The center is the median of the rows that it was made from, and the factor one over their
    interquartile range. If that is 0, the factor is 2 over the range of all of them; if that is 0
    too, the column becomes 0. All v lie within -3 and 3, and v is close to u near 0. The transform
    of RealMLP (Holzmüller, Grinsztajn and Steinwart, Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data, NeurIPS 2024).

    Attributes
    ----------
    center, factor : tuple of float
        One for each column.

    Examples
    --------
    >>> import numpy as np
    >>> from pybackprop.datasets import RobustScaling
    >>> x = np.array([[1.0], [2.0], [3.0], [4.0], [1000.0]])
    >>> scaling = RobustScaling.fit(x)
    >>> scaling
    RobustScaling(center=(3.0,), factor=(0.5,))
    >>> scaling(x).round(2).ravel().tolist()
    [-0.95, -0.49, 0.0, 0.49, 3.0]
    """

    center: tuple[float, ...]
    factor: tuple[float, ...]

    @classmethod
    def fit(cls, x: Any) -> RobustScaling:
        """Make the scaling of the columns of some rows, those to train on.

        Parameters
        ----------
        x : array_like of shape (N, n)
            Numbers; NaN stands for a missing one, and is not looked at.

        Raises
        ------
        ValueError
            If `x` has no rows, is no matrix, or has an infinite entry.
        """
        rows = _as_matrix(x)
        if not len(rows):
            raise ValueError("x must have a row at least, to make a scaling from, but has none")
        if np.isinf(rows).any():
            raise ValueError("x must hold finite numbers or NaN, to make a scaling from, got inf")
        pairs = [_center_and_factor(column[~np.isnan(column)]) for column in rows.T]
        return cls(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))

    def __call__(self, x: Any) -> NDArray[np.float64]:
        """Return scaled rows, (N, n) float64; NaN stays NaN.

        Parameters
        ----------
        x : array_like of shape (N, n)
            Numbers.

        Raises
        ------
        ValueError
            If `x` does not have n columns.
        """
        rows = _as_matrix(x)
        if rows.shape[1] != len(self.center):
            raise ValueError(
                f"x must have the {len(self.center)} columns that the scaling was made from, got "
                f"shape {rows.shape}"
            )
        center, factor = self.arrays()
        scaled = np.empty(rows.shape)
        step = max(1, _PIECE_BYTES // (8 * max(rows.shape[1], 1)))
        for begin in range(0, len(rows), step):
            scaled[begin : begin + step] = bend(rows[begin : begin + step], center, factor)
        return scaled

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return center and factor as arrays, for `bend`."""
        return np.array(self.center), np.array(self.factor)


def bend(
    x: NDArray[Any], center: NDArray[np.float64], factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return scaled numbers; see `RobustScaling`. The arrays are broadcast against each other."""
    with np.errstate(over="ignore", invalid="ignore"):
        u: NDArray[np.float64] = x - center
        u *= factor / _LIMIT
        # Faster than np.hypot, and by the operations of IEEE 754 alone, which are the same in all
        # C libraries. Where the square overflows, so that the root is infinite, v is the limit.
        root = u * u
        root += 1.0
        np.sqrt(root, out=root)
        far = np.isinf(root)
        ends = np.copysign(_LIMIT, u[far]) if far.any() else None
        # The root of u * u is not below u, so that nothing is beyond the limit.
        u /= root
        u *= _LIMIT
        if ends is not None:
            u[far] = ends
    return u


def _as_matrix(x: Any) -> NDArray[np.float64]:
    """Return numbers as a matrix of float64."""
    rows: NDArray[np.float64] = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"x must be of shape (N, n), got shape {rows.shape}")
    return rows


def _center_and_factor(known: NDArray[np.float64]) -> tuple[float, float]:
    """Return median and factor of the numbers of a column."""
    if not known.size:
        return 0.0, 0.0
    within = np.clip(known, -_LARGEST, _LARGEST)
    low, first, median, third, high = np.quantile(within, (0.0, 0.25, 0.5, 0.75, 1.0)).tolist()
    for width, share in ((third - first, 1.0), (high - low, 2.0)):
        # One over the range of the tiniest numbers is infinite.
        if width > 0.0 and share / width < np.inf:
            return median, share / width
    return median, 0.0
