"""The Encoding: how the columns of a CSV file become numbers, and its JSON form."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._cells import is_missing, is_number, oddity
from ._table import (
    Cells,
    Row,
    check_different,
    check_width,
    fault,
    header_names,
    listing,
    read_rows,
    strip,
)
from ._targets import target_classes, target_numbers

Array = NDArray[Any]

# The columns of a table to be encoded are fixed, so nothing else can be done.
_ROUND = "round it"


@dataclass(frozen=True)
class Column:
    """One column of a table: its name and, if it holds a category, the category's levels."""

    name: str
    levels: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """Number of input columns this column becomes."""
        return 1 if self.levels is None else len(self.levels)

    @property
    def feature_names(self) -> list[str]:
        """Names of the input columns: the name itself, or ``name=level`` for each level."""
        if self.levels is None:
            return [self.name]
        return [f"{self.name}={level}" for level in self.levels]


@dataclass(frozen=True)
class Encoding:
    """How the rows of a CSV file become inputs, so that a raw file can be read again later.

    Attributes
    ----------
    features : tuple of Column
        The columns read as inputs, in order. A column with levels becomes one 0/1 column per level.
    target : str
        Name of the target column.
    classes : tuple of str or None
        Texts of the classes in the order of their indices; None if the target is a number.
    names : tuple of str
        Names of all columns of the file in order, those left out included.
    header : bool
        Whether the file began with the names.
    """

    features: tuple[Column, ...]
    target: str
    classes: tuple[str, ...] | None
    names: tuple[str, ...]
    header: bool

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded input columns."""
        return tuple(name for column in self.features for name in column.feature_names)

    def one_hot_mask(self) -> NDArray[np.bool_]:
        """Return which input columns, of all n, are the 0/1 columns of a category."""
        widths = [column.width for column in self.features]
        return np.repeat([column.levels is not None for column in self.features], widths)

    def encode(self, path: str | os.PathLike[str]) -> tuple[Array, Array | None]:
        """Read a CSV file of the same form as the one this encoding was made from.

        A file with a header may have its columns in any order. Without one, the columns are those
        of the first file, with or without the target.

        Parameters
        ----------
        path : path
            The file, plain or gzip-compressed.

        Returns
        -------
        x : ndarray of shape (N, n), float64
            Inputs in raw units.
        y : ndarray of shape (N,) or None
            Class indices (int64) or numbers (float64); None if the file has no target column or
            leaves the target of any row empty.

        Raises
        ------
        ValueError
            If the file does not fit the encoding. The message names file, line and column.
        """
        file = os.fspath(path)
        rows = read_rows(file)
        line, first = strip(next(rows))
        names = header_names(first) if self.header else tuple(first)
        if self._is_header(first, names):
            self._check_names(file, line, names)
        else:
            names = self._names_by_width(file, line, first)
            rows = chain([(line, first)], rows)
        cells = self._collect(file, names, rows)
        if not cells.lines:
            raise fault(file, line, None, "no rows after the names of the columns")
        cells.check_complete("fill them in or delete the rows")
        return self.inputs(cells), self._targets(cells)

    def _is_header(self, first: Sequence[str], names: Sequence[str]) -> bool:
        """Tell whether the first row of a file holds names, known or not."""
        present = set(first)
        if any(column.name in present for column in self.features):
            return True
        if set(names) <= set(self.names):
            return True
        numeric = any(column.levels is None for column in self.features)
        return numeric and not any(map(_is_value, first))

    def _check_names(self, path: str, line: int, names: tuple[str, ...]) -> None:
        """Check the header of a file to be encoded."""
        known, present = set(self.names), set(names)
        for name in names:
            if name not in known:
                raise fault(path, line, name, f"unknown column; known are {listing(self.names)}")
        check_different(path, line, names)
        for column in self.features:
            if column.name not in present:
                raise fault(path, line, column.name, "the column is missing")

    def _names_by_width(self, path: str, line: int, first: list[str]) -> tuple[str, ...]:
        """Return the names of the columns of a file without header, from their number."""
        without_target = tuple(name for name in self.names if name != self.target)
        names = without_target if len(first) == len(without_target) else self.names
        check_width(path, line, first, names)
        return names

    def _collect(self, path: str, names: tuple[str, ...], rows: Iterator[Row]) -> Cells:
        """Read the rows of a file whose columns are known."""
        places = {name: at for at, name in enumerate(names)}
        numeric = [places[c.name] for c in self.features if c.levels is None]
        categories = {places[c.name]: c.levels for c in self.features if c.levels is not None}
        target = places.get(self.target)
        cells = Cells(path, names, numeric, {**categories}, target, _ROUND)
        for line, row in rows:
            cells.add(line, row)
        return cells

    def inputs(self, cells: Cells) -> NDArray[np.float64]:
        """Return the inputs, shape (N, n), from the cells of a table with these features."""
        x = np.zeros((len(cells.lines), len(self.feature_names)))
        numbers = iter(cells.numbers().T)
        places = {name: at for at, name in enumerate(cells.names)}
        start = 0
        for column in self.features:
            if column.levels is None:
                x[:, start] = next(numbers)
            else:
                _, codes = cells.category(places[column.name])
                x[np.arange(len(x)), start + codes] = 1.0
            start += column.width
        return x

    def _targets(self, cells: Cells) -> Array | None:
        """Return the targets of a table, or None if it has none or not for every row."""
        if cells.target is None or any(is_missing(cell) for cell in cells.targets):
            return None
        if self.classes is None:
            return target_numbers(cells, _ROUND)
        return target_classes(cells, self.classes)

    def to_json(self) -> dict[str, Any]:
        """Return the encoding as a dict of plain JSON values; see `from_json`."""
        return {
            "features": [
                {"name": column.name, "levels": column.levels and list(column.levels)}
                for column in self.features
            ],
            "target": self.target,
            "classes": self.classes and list(self.classes),
            "names": list(self.names),
            "header": self.header,
        }

    @classmethod
    def from_json(cls, data: Any) -> Encoding:
        """Rebuild an encoding from `to_json`'s dict.

        Raises
        ------
        ValueError
            If `data` is not such a dict.
        """
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            fields = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"an encoding must be a dict of {fields}, but is {_short(data)}")
        if not isinstance(data["features"], list) or not data["features"]:
            raise ValueError(f"features must be a list, but is {_short(data['features'])}")
        if not isinstance(data["header"], bool) or not isinstance(data["target"], str):
            raise ValueError("header must be true or false, and target a name")
        names = _texts(data["names"], "names")
        features = tuple(_column(entry) for entry in data["features"])
        used = [column.name for column in features] + [data["target"]]
        if not set(used) <= set(names) or len(set(used)) < len(used):
            raise ValueError("features and target must be different columns of names")
        classes = None if data["classes"] is None else _texts(data["classes"], "classes")
        return cls(features, data["target"], classes, names, data["header"])


def _is_value(cell: str) -> bool:
    """Tell whether a cell cannot be in a header: a number, in any notation, or a missing value."""
    return is_number(cell) or is_missing(cell) or oddity(cell) is not None


def _column(entry: Any) -> Column:
    """Check and rebuild one column from its JSON form."""
    if not isinstance(entry, dict) or set(entry) != {"name", "levels"}:
        raise ValueError(f"a column must be a dict of name and levels, but is {_short(entry)}")
    if not isinstance(entry["name"], str):
        raise ValueError(f"the name of a column must be a text, but is {_short(entry['name'])}")
    levels = None if entry["levels"] is None else _texts(entry["levels"], "levels")
    return Column(entry["name"], levels)


def _texts(value: Any, what: str) -> tuple[str, ...]:
    """Check that a JSON value is a list of different texts."""
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{what} must be a list of texts, but is {_short(value)}")
    if len(set(value)) < len(value):
        raise ValueError(f"{what} must differ from each other")
    return tuple(value)


def _short(value: Any) -> str:
    """Return a value's repr, cut to a length fit for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
