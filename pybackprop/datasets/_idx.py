"""Data sets from IDX files, the format of MNIST.

An IDX file is a big-endian header - two zero bytes, a type code, the number of dimensions, and
each dimension as a 32-bit integer - followed by the values (Y. LeCun, C. Cortes, C. Burges, "The
MNIST database of handwritten digits").
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..files.read import open_plain_or_gzip, unpacks_too_far
from ._dataset import Dataset, number_names

_UNSIGNED_BYTE = 0x08
_READ = 1 << 20
_MAX_DIMENSIONS = 32
_STYLES = ("-idx{}-ubyte", ".idx{}-ubyte", "-idx{}-ubyte.gz", ".idx{}-ubyte.gz")


def read_idx(path: str | os.PathLike[str], n_dims: int | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed.

    The header is checked against the size of the file before anything is allocated, and at most one
    byte more than it promises is decompressed.

    Parameters
    ----------
    path : path
        The file.
    n_dims : int, optional
        Number of dimensions it must have: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8
        Of the shape in the header.

    Raises
    ------
    ValueError
        If the magic number is wrong, a dimension is 0, or the file is shorter or longer than its
        header says.
    """
    name = os.fspath(path)
    file, compressed = open_plain_or_gzip(name)
    with file:
        stored = os.path.getsize(name)
        try:
            shape = _read_header(file, n_dims)
            size = math.prod(shape)
            if not size:
                raise ValueError(f"holds no values, its dimensions are {shape}")
            have = stored - 4 - 4 * len(shape)
            if compressed and unpacks_too_far(size, stored):
                have_not = f"the file cannot hold that in {stored} of gzip"
                raise ValueError(f"the header says {size} bytes of data, {have_not}")
            if not compressed and size != have:
                raise ValueError(f"the header says {size} bytes of data, the file has {have}")
            return _read_values(file, size).reshape(shape)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"{name}: damaged gzip data: {error}") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _read_header(file: IO[bytes], n_dims: int | None) -> tuple[int, ...]:
    """Read and check the magic number and the dimensions."""
    magic = file.read(4)
    if len(magic) < 4:
        raise ValueError("the file ends within the magic number of IDX")
    zero, kind, dims = struct.unpack(">HBB", magic)
    if zero != 0 or kind != _UNSIGNED_BYTE or dims == 0 or dims != (n_dims or dims):
        wanted = f"0x0000{_UNSIGNED_BYTE:02x}" + ("NN" if n_dims is None else f"{n_dims:02x}")
        raise ValueError(f"wrong magic number 0x{magic.hex()}, expected {wanted}")
    if dims > _MAX_DIMENSIONS:
        raise ValueError(f"the header says {dims} dimensions, more than {_MAX_DIMENSIONS}")
    lengths = file.read(4 * dims)
    if len(lengths) < 4 * dims:
        raise ValueError(f"the file ends within its {dims} dimensions")
    return struct.unpack(f">{dims}I", lengths)


def _read_values(file: IO[bytes], size: int) -> NDArray[np.uint8]:
    """Read exactly `size` bytes, which must be all that is left."""
    values = np.empty(size, dtype=np.uint8)
    view = values.data
    at = 0
    while at < size:
        count = file.readinto(view[at : at + _READ])  # type: ignore[attr-defined]
        if not count:
            raise ValueError(f"the header says {size} bytes of data, the file has {at}")
        at += count
    if file.read(1):
        raise ValueError(f"the file goes on after the {size} bytes its header says")
    return values


def is_idx(path: str | os.PathLike[str]) -> bool:
    """Tell from the name whether a file is an IDX file, plain or gzip-compressed."""
    return os.fspath(path).removesuffix(".gz").endswith("-ubyte")


def find_idx(folder: Path, part: str, what: str, n_dims: int) -> Path | None:
    """Return the file of a part ("train" or "t10k") of MNIST in a folder, or None."""
    candidates = (folder / f"{part}-{what}{style.format(n_dims)}" for style in _STYLES)
    return next((path for path in candidates if path.is_file()), None)


def load_idx(folder: str | os.PathLike[str]) -> Dataset:
    """Load a folder of IDX files named like those of MNIST, plain or gzip-compressed.

    Compressed, a file may unpack to 256 MB, or to 100 times its size if that is more.

    The files are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte`` and, held out,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    Dataset
        `x` is uint8, each image flattened to one row; classes are named by their label.

    Raises
    ------
    ValueError
        If a file is missing or malformed, or images and labels do not fit together.
    """
    place = Path(folder)
    x, y = _load_part(place, "train")
    classes = tuple(str(label) for label in range(int(y.max()) + 1))
    x_test, y_test = None, None
    if any(find_idx(place, "t10k", *kind) for kind in (("images", 3), ("labels", 1))):
        x_test, y_test = _load_part(place, "t10k")
    try:
        return Dataset(
            x=x,
            y=y,
            task="classification",
            feature_names=number_names("x", x.shape[1]),
            target_names=("label",),
            class_names=classes,
            x_test=x_test,
            y_test=y_test,
            name=os.fspath(folder),
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _load_part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read images, as rows, and labels of one part."""
    paths = [find_idx(folder, part, *kind) for kind in (("images", 3), ("labels", 1))]
    images_path, labels_path = paths
    if images_path is None or labels_path is None:
        what = "images-idx3" if images_path is None else "labels-idx1"
        raise ValueError(f"{folder}: the file {part}-{what}-ubyte is missing")
    labels = read_idx(labels_path, 1)
    images = read_idx(images_path, 3)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: {len(labels)} labels for {len(images)} images")
    return images.reshape(len(images), -1), labels.astype(np.int64)
