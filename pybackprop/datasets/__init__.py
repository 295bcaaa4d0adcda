"""Built-in data sets, and loaders for tables, NumPy and IDX files.

`load` takes the name of a built-in set or a path and finds the right loader. Every loader returns
a `Dataset` of raw values; `Dataset.split` holds out a part and `Dataset.scaling` gives the shift
and scale that standardise the inputs. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..tables import FRAME_FILES, Encoded, Encoding, RobustScaling
from ._arrays import load_npy, load_npz, read_inputs
from ._builtin import digits, iris, moons, spirals
from ._dataset import Array, Dataset, Task
from ._idx import find_idx, is_idx, load_idx, read_idx
from ._tables import from_frame, load_csv
from ._windows import Windows

__all__ = [
    "BUILT_IN",
    "Dataset",
    "Encoded",
    "Encoding",
    "RobustScaling",
    "Windows",
    "digits",
    "from_frame",
    "iris",
    "is_table",
    "load",
    "load_csv",
    "load_idx",
    "load_inputs",
    "load_npy",
    "load_npz",
    "moons",
    "spirals",
]

BUILT_IN = {"digits": digits, "iris": iris, "moons": moons, "spirals": spirals}
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
PACKED_SUFFIXES = (".gz", ".bz2", ".xz")


def load(
    name_or_path: str | os.PathLike[str],
    target: str | int | None = None,
    *,
    task: Task | None = None,
) -> Dataset:
    """Load a built-in data set by its name, or a file or folder by its path.

    Parameters
    ----------
    name_or_path : str or path
        ``digits``, ``iris``, ``moons`` or ``spirals``; else a path: a text table (.csv, .tsv,
        .txt or .data, plain or .gz, .bz2, .xz), a file of another table (.parquet, .feather,
        .xlsx), an .npz archive, an .npy file with its partner, or a
        folder of .npy or IDX (MNIST) files. A file with the name of a built-in set is reached as
        ``./digits``. Compressed data may unpack to 256 MB, or to 100 times their size if that is
        more; anything larger is taken for a decompression bomb and refused.
    target : str or int, optional
        Text tables: name or position of the target column, by default the last. For an .npy
        file: path of the file of targets.
    task : {"classification", "regression"}, optional
        Overrides what the targets look like; see `load_csv` and `load_npy` for the rules.
        Built-in sets and IDX files are always for classification.

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError
        If there is no such built-in set, file or folder.
    ValueError
        If the file is malformed or of an unknown kind, or if `target` or `task` does not apply.
    """
    name = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and name in BUILT_IN:
        _refuse(name, target=target, task=None if task == "classification" else task)
        return BUILT_IN[name]()
    path = Path(name)
    if not path.exists():
        known = ", ".join(BUILT_IN)
        raise FileNotFoundError(f"{name}: no such file, and no built-in data set (these: {known})")
    if path.is_dir():
        _refuse(name, target=target)
        if find_idx(path, "train", "images", 3) or find_idx(path, "train", "labels", 1):
            _refuse(name, task=None if task == "classification" else task)
            return load_idx(path)
        return load_npy(path, task=task)
    if path.suffix == ".npz":
        _refuse(name, target=target)
        return load_npz(path, task=task)
    if path.suffix == ".npy":
        if isinstance(target, int):
            raise ValueError(f"{name}: target must be the path of a file, but is {target!r}")
        return load_npy(path, target, task=task)
    if is_table(path):
        return load_csv(path, target, task=task)
    raise ValueError(
        f"{name}: unknown kind of file; known are {', '.join(TEXT_SUFFIXES)} "
        f"(also .gz, .bz2, .xz), {', '.join(FRAME_FILES)}, .npz, .npy and a folder of .npy or IDX "
        "files"
    )


def is_table(path: str | os.PathLike[str]) -> bool:
    """Tell from the suffix whether a file is a table, which `load_csv` reads."""
    name = os.fspath(path).lower()
    for suffix in PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith((*TEXT_SUFFIXES, *FRAME_FILES))


def load_inputs(path: str | os.PathLike[str]) -> Array | None:
    """Load inputs without targets: an .npy file, an IDX file, or an .npz without targets.

    Parameters
    ----------
    path : path
        The file. In an .npz archive the inputs are called x or X.

    Returns
    -------
    ndarray of shape (N, n) or None
        uint8, float32 or float64. None if the path is of a kind that holds targets too, or an
        archive that does; use `load` for those.

    Raises
    ------
    ValueError
        If the file is malformed.
    """
    if is_idx(path):
        images = read_idx(path)
        if images.size == 0:
            raise ValueError(f"{os.fspath(path)}: holds no examples")
        return images.reshape(len(images), -1)
    return read_inputs(os.fspath(path))


def _refuse(name: str, **options: object) -> None:
    """Refuse options that do not apply to a source."""
    for option, value in options.items():
        if value is not None:
            raise ValueError(f"{name}: {option} does not apply to this source, but is {value!r}")
