"""The built-in data sets: two real ones shipped with the package, two generated from a seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._dataset import Dataset
from ._tables import load_csv

_DATA = Path(__file__).with_name("data")


def digits() -> Dataset:
    """Return 1,797 handwritten digits, 8 x 8 pixels with values 0 to 16.

    Returns
    -------
    Dataset
        `x` (1797, 64) uint8, rows of an image one after the other; ten classes "0" to "9".

    Notes
    -----
    The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak
    (1998), UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, under CC BY 4.0.
    """
    with np.load(_DATA / "digits.npz", allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"].astype(np.int64)
    return Dataset(
        x=x,
        y=y,
        task="classification",
        feature_names=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        target_names=("digit",),
        class_names=tuple("0123456789"),
        name="digits",
    )


def iris() -> Dataset:
    """Return 150 iris plants of three species, with four lengths in cm.

    Returns
    -------
    Dataset
        `x` (150, 4) float64; classes "setosa", "versicolor" and "virginica".

    Notes
    -----
    R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7
    (1936), 179-188; UCI Machine Learning Repository, https://doi.org/10.24432/C56C76, under
    CC BY 4.0.
    """
    return replace(load_csv(_DATA / "iris.csv"), name="iris")


def spirals(
    n: int = 1000, *, classes: int = 2, turns: float = 1.5, noise: float = 0.03, seed: int = 0
) -> Dataset:
    """Return points on interleaved spiral arms, one arm per class.

    Parameters
    ----------
    n : int
        Number of points, at least one per class.
    classes : int
        Number of arms, at least 2.
    turns : float
        How often an arm winds around the centre.
    noise : float
        Standard deviation of the noise added to both coordinates; an arm ends at radius 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    Dataset
        `x` (n, 2) float64; classes "arm 0", "arm 1", ...

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    _check_counts(n, classes, noise)
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int64) % classes
    # The square root spreads the points evenly along the arm, whose length grows with the radius.
    radius = 0.1 + 0.9 * np.sqrt(rng.uniform(size=n))
    angle = 2.0 * np.pi * (turns * radius + y / classes)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return _plane(x, y, noise, rng, [f"arm {arm}" for arm in range(classes)], "spirals")


def moons(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Return points on two interleaved half circles of radius 1.

    Parameters
    ----------
    n : int
        Number of points, at least 2.
    noise : float
        Standard deviation of the noise added to both coordinates.
    seed : int
        Seed of the draw.

    Returns
    -------
    Dataset
        `x` (n, 2) float64; classes "upper" and "lower".

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    _check_counts(n, 2, noise)
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int64) % 2
    angle = rng.uniform(0.0, np.pi, size=n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, upper, lower)
    return _plane(x, y, noise, rng, ["upper", "lower"], "moons")


def _check_counts(n: int, classes: int, noise: float) -> None:
    """Check the arguments common to the generated sets."""
    if classes < 2:
        raise ValueError(f"classes must be at least 2, but is {classes!r}")
    if n < classes:
        raise ValueError(f"n must be at least the number of classes, {classes}, but is {n!r}")
    if not 0.0 <= noise < np.inf:
        raise ValueError(f"noise must be a finite number of at least 0, but is {noise!r}")


def _plane(
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    noise: float,
    rng: np.random.Generator,
    class_names: list[str],
    name: str,
) -> Dataset:
    """Return a data set of points in the plane, with noise added."""
    return Dataset(
        x=x + noise * rng.standard_normal(x.shape),
        y=y,
        task="classification",
        feature_names=("x", "y"),
        target_names=("class",),
        class_names=tuple(class_names),
        name=name,
    )
