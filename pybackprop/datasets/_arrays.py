"""Data sets from NumPy's files: .npz archives and pairs of .npy files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.read import DAMAGE, Archive, explain, open_regular, size_of
from ..files.read import read_npy as read_stream
from ..tables import MAX_INTEGER_CLASSES, MIN_ROWS_PER_CLASS, listing
from ._dataset import MAX_COLUMNS, Array, Dataset, Task, number_names

_PAIRS = (("x_train", "y_train"), ("X_train", "y_train"), ("x", "y"), ("X", "y"), ("X", "Y"))
_TEST_PAIRS = (("x_test", "y_test"), ("X_test", "y_test"))
_KEPT = (np.uint8, np.float32, np.float64)


def load_npz(path: str | os.PathLike[str], *, task: Task | None = None) -> Dataset:
    """Load an .npz archive with arrays x and y, or x_train, y_train, x_test and y_test.

    X may stand for x. The other rules are those of `load_npy`.

    Parameters
    ----------
    path : path
        The archive. Object arrays (pickles) are refused. The compressed arrays may unpack to
        256 MB in all, or each to 100 times its stored size; more is taken for a decompression bomb.
    task : {"classification", "regression"}, optional
        Overrides the rule of `load_npy`.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the archive is malformed, lacks an array, or its arrays do not fit together; the
        message names file and array.
    """
    file = os.fspath(path)
    with open_regular(file) as stream, _open_archive(stream, file) as archive:
        names = archive.names
        train, test = _choose(names, _PAIRS), _choose(names, _TEST_PAIRS)
        arrays = {
            name: _read_member(archive, name, file) for pair in (train, test) for name in pair or ()
        }
    if train is None:
        found = listing(names) or "nothing"
        raise ValueError(f"{file}: needs arrays x and y, or x_train and y_train; found {found}")
    return _from_arrays(file, train, test, arrays, task)


def load_npy(
    x_path: str | os.PathLike[str],
    y_path: str | os.PathLike[str] | None = None,
    *,
    task: Task | None = None,
) -> Dataset:
    """Load inputs and targets from a pair of .npy files, or from a folder of them.

    Inputs of uint8, float32 and float64 are kept as they are, other numbers become float64;
    inputs of more than two dimensions are flattened to rows.

    Targets are classes in three cases: if they are strings or booleans; if they are rows of zeros
    with a single 1; or if they are integers with at most 20 different values, either just two or
    with at least five rows each on average. Otherwise they are numbers to be predicted, shape (N,)
    or (N, k).

    Parameters
    ----------
    x_path : path
        The inputs, or a folder with x.npy and y.npy (or X.npy), or with x_train.npy,
        y_train.npy and, held out, x_test.npy and y_test.npy.
    y_path : path, optional
        The targets; by default the file beside `x_path` whose name has y in place of x
        (``x_train.npy`` and ``y_train.npy``).
    task : {"classification", "regression"}, optional
        Overrides the rule above.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If a file is malformed or the arrays do not fit together; the message names the file.
    """
    place = Path(x_path)
    if place.is_dir():
        names = sorted(entry.stem for entry in place.glob("*.npy"))
        train, test = _choose(names, _PAIRS), _choose(names, _TEST_PAIRS)
        if train is None:
            raise ValueError(f"{place}: the folder holds neither x.npy and y.npy nor IDX files")
        arrays = {
            name: read_npy(place / f"{name}.npy") for pair in (train, test) for name in pair or ()
        }
        return _from_arrays(str(place), train, test, arrays, task)
    if y_path is None:
        y_path = _partner(place)
    arrays = {"x": read_npy(place), "y": read_npy(Path(y_path))}
    return _from_arrays(str(place), ("x", "y"), None, arrays, task)


def read_inputs(path: str) -> Array | None:
    """Read the inputs of an .npy file, or of an .npz archive without targets; else None."""
    if path.endswith(".npy"):
        return _inputs(read_npy(path), path)
    if not path.endswith(".npz"):
        return None
    with open_regular(path) as stream, _open_archive(stream, path) as archive:
        names = archive.names
        name = next((name for name in ("x", "X") if name in names), None)
        if name is None or _choose(names, _PAIRS) is not None:
            return None
        return _inputs(_read_member(archive, name, path), f"{path}: array {name}")


def read_npy(path: str | os.PathLike[str]) -> Array:
    """Read one .npy file whose header has been checked against the size of the file."""
    with open_regular(path) as file:
        try:
            return read_stream(file, size_of(file))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None


def _partner(path: Path) -> Path:
    """Return the file of the targets that belongs to a file of inputs."""
    for x, y in _PAIRS:
        if path.stem == x or path.stem.endswith(f"_{x}"):
            return path.with_name(f"{path.stem.removesuffix(x)}{y}{path.suffix}")
    raise ValueError(f"{path}: name the file of the targets, or call the two files x.npy and y.npy")


def _choose(names: list[str], pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """Return the first pair of which both arrays are present."""
    return next((pair for pair in pairs if set(pair) <= set(names)), None)


def _open_archive(stream: IO[bytes], file: str) -> Archive:
    """Open an .npz archive."""
    try:
        return Archive(stream)
    except DAMAGE as error:
        raise ValueError(f"{file}: not an .npz archive: {explain(error)}") from None


def _read_member(archive: Archive, name: str, file: str) -> Array:
    """Read one array of an .npz archive."""
    try:
        return archive.read_data(name, _size_in_use)
    except DAMAGE as error:
        raise ValueError(f"{file}: array {name}: {explain(error)}") from None


def _size_in_use(array: Array) -> int:
    """Return the bytes of an array as inputs; types that are not kept become float64."""
    if array.dtype.kind in "iuf" and array.dtype.newbyteorder("=") not in _KEPT:
        return 8 * array.size
    return 4 * array.nbytes if array.dtype.kind == "S" else array.nbytes


def _from_arrays(
    file: str,
    train: tuple[str, str],
    test: tuple[str, str] | None,
    arrays: Mapping[str, Array],
    task: Task | None,
) -> Dataset:
    """Make a Dataset of arrays read from a file."""
    if task not in (None, "classification", "regression"):
        raise ValueError(f'task must be "classification" or "regression", but is {task!r}')
    x = _inputs(arrays[train[0]], f"{file}: array {train[0]}")
    raw = _targets(arrays[train[1]], len(x), f"{file}: array {train[1]}")
    classes = None if task == "regression" else _classes(raw, task == "classification")
    y = _encode(raw, classes, f"{file}: array {train[1]}")
    x_test: Array | None = None
    y_test: Array | None = None
    if test is not None:
        where = f"{file}: array {test[1]}"
        x_test = _inputs(arrays[test[0]], f"{file}: array {test[0]}")
        y_test = _encode(_targets(arrays[test[1]], len(x_test), where), classes, where)
    n_targets = 1 if y.ndim == 1 else y.shape[1]
    try:
        return Dataset(
            x=x,
            y=y,
            task="regression" if classes is None else "classification",
            feature_names=number_names("x", x.shape[1]),
            target_names=number_names("y", n_targets) if n_targets > 1 else ("y",),
            class_names=None if classes is None else tuple(_name(value) for value in classes),
            x_test=x_test,
            y_test=y_test,
            name=file,
        )
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _inputs(x: Array, where: str) -> Array:
    """Return inputs as rows of uint8, float32 or float64, all finite."""
    if x.dtype.kind not in "buif":
        raise ValueError(f"{where}: must hold real numbers, but is {x.dtype}")
    if x.ndim == 0 or 0 in x.shape:
        raise ValueError(f"{where}: must hold examples, but is of shape {x.shape}")
    rows = x.reshape(len(x), -1)
    _check_columns(rows, where)
    kept = rows.dtype.newbyteorder("=")
    if kept == np.bool_:
        kept = np.dtype(np.uint8)
    elif kept not in _KEPT:
        kept = np.dtype(np.float64)
    rows = np.ascontiguousarray(rows, dtype=kept)
    _check_finite(rows, where)
    return rows


def _check_columns(values: Array, where: str) -> None:
    """Refuse more columns than can have names."""
    if values.shape[1] > MAX_COLUMNS:
        raise ValueError(f"{where}: has {values.shape[1]} columns, more than {MAX_COLUMNS}")


def _check_finite(values: Array, where: str) -> None:
    """Refuse values that are not finite, looking at a few rows at a time."""
    step = max(1, (1 << 20) // max(1, values[0].size))
    for start in range(0, len(values) if values.dtype.kind == "f" else 0, step):
        finite = np.isfinite(values[start : start + step])
        if not finite.all():
            at = np.argwhere(~finite)[0]
            place = ", ".join(str(i) for i in (start + at[0], *at[1:]))
            raise ValueError(f"{where}: the value at [{place}] is not finite")


def _targets(y: Array, n_rows: int, where: str) -> Array:
    """Return raw targets of shape (N,) or (N, k), k > 1, texts as str."""
    if y.dtype.kind not in "buifUS" or y.ndim not in (1, 2) or len(y) != n_rows or y.size == 0:
        raise ValueError(
            f"{where}: must hold numbers or texts for {n_rows} examples, but is "
            f"{y.dtype} of shape {y.shape}"
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        _check_columns(y, where)
    if y.dtype.kind in "US" and y.ndim == 2:
        raise ValueError(f"{where}: texts must be of shape ({n_rows},), but are {y.shape}")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "latin-1")
    if y.dtype.kind == "f":
        _check_finite(y, where)
    return y


def _classes(y: Array, forced: bool) -> Array | None:
    """Return the sorted values of the classes by `load_npy`'s rule, or None for regression."""
    if y.ndim == 2:
        one_hot = bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
        if forced and not one_hot:
            raise ValueError("targets of several columns are classes only as rows of 0 and one 1")
        return np.arange(y.shape[1]) if one_hot else None
    values = np.unique(y)
    if not forced and y.dtype.kind not in "bUS":
        enough = values.size == 2 or y.size >= MIN_ROWS_PER_CLASS * values.size
        few = enough and values.size <= MAX_INTEGER_CLASSES
        if not few or not (values == np.floor(values)).all():
            return None
    return values


def _encode(y: Array, classes: Array | None, where: str) -> Array:
    """Return targets as numbers, or as indices of the classes."""
    if classes is None:
        if y.dtype.kind in "US":
            raise ValueError(f"{where}: holds texts where numbers are needed")
        return np.ascontiguousarray(y, dtype=np.float64)
    if classes.size == 1:
        raise ValueError(f"{where}: all rows are of the one class {_name(classes[0])!r}")
    if y.ndim == 2:
        return np.asarray(np.argmax(y, axis=1), dtype=np.int64)
    codes = np.minimum(np.searchsorted(classes, y), classes.size - 1)
    unknown = classes[codes] != y
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise ValueError(
            f"{where}: the class {_name(y[row])!r} at [{row}] is not in the training part"
        )
    return np.asarray(codes, dtype=np.int64)


def _name(value: Any) -> str:
    """Return the name of a class from its value: 3 and 3.0 are both called 3."""
    if isinstance(value, np.floating):
        value = int(value) if float(value).is_integer() else float(value)
    return str(value)
