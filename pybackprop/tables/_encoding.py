"""The Encoding: how the columns of a table become numbers, and its JSON form."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._cells import MISSING
from ._columns import Array, Table, Texts
from ._faults import Faults, fault, listing, quote
from ._frames import FRAME_FILES, Frame, is_frame, read_frame
from ._header import is_value
from ._json import Parts, from_json, to_json
from ._layout import Layout
from ._notations import separators
from ._read import Progress, TextFile
from ._rows import check_different, check_width, header_names
from ._scaling import RobustScaling
from ._targets import target_classes, target_numbers
from ._treatments import (
    Category,
    Date,
    LeftOut,
    Notes,
    Number,
    Piece,
    Treatment,
    as_numbers,
    as_texts,
)

# The columns of a table to be encoded are fixed, so nothing else can be done.
_ROUND = "round it"
# The `alike` of a treatment, and the pieces that it made of a column.
Known = tuple[Hashable, list[Piece]]


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, what it becomes, and why."""

    name: str
    treatment: Treatment = Number()  # noqa: RUF009
    why: str = ""

    @property
    def width(self) -> int:
        """Number of inputs this column becomes."""
        return len(self.treatment.scaled())

    @property
    def feature_names(self) -> list[str]:
        """Names of the inputs."""
        return self.treatment.feature_names(self.name)


class Encoded(NamedTuple):
    """A table as inputs.

    Attributes
    ----------
    x : ndarray of shape (N, n), float64
        Inputs, in raw units or scaled by the encoding.
    y : ndarray of shape (N,) or None
        Class indices (int64) or numbers (float64); None if the table has no target column or leaves
        the target of any row empty.
    notes : list of str
        What became of cells and columns that the model does not know.
    kept : list of str or None
        The cells of the column to be kept, if one was asked for.
    """

    x: NDArray[np.float64]
    y: Array | None
    notes: list[str]
    kept: list[str] | None


@dataclass(frozen=True)
class Encoding:
    """How the rows of a table become inputs, so that a raw table can be read again later.

    Attributes
    ----------
    columns : tuple of Column
        All columns but the target, in their order, with what each becomes.
    target : str
        Name of the target column.
    classes : tuple of str or None
        Texts of the classes in the order of their indices; None if the target is a number.
    names : tuple of str
        Names of all columns of the table in order, the target's included.
    header : bool
        Whether a file begins with the names.
    missing : tuple of str
        What stands for a missing cell, in lower case.
    decimal : {".", ","}
        What comes before the fraction of the target's numbers.
    unit : str
        The unit, currency or percent sign that may stand beside the target's numbers; "" for none.
    scaling : RobustScaling or None
        What the inputs of all columns go through at the end; None to leave them in raw units.
    """

    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...] | None
    names: tuple[str, ...]
    header: bool
    missing: tuple[str, ...] = tuple(sorted(MISSING))
    decimal: str = "."
    unit: str = ""
    scaling: RobustScaling | None = None

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that become inputs."""
        return tuple(each for each in self.columns if not isinstance(each.treatment, LeftOut))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def one_hot_mask(self) -> NDArray[np.bool_]:
        """Return which inputs, of all n, stay as they are instead of being standardised.

        Those of categories and words, marks of missing values, and the waves of dates.
        """
        scaled = [each for column in self.columns for each in column.treatment.scaled()]
        return ~np.array(scaled, dtype=np.bool_)

    def report(self) -> list[tuple[str, str, int, str]]:
        """Return for every column but the target: its name, kind, number of inputs, and why."""
        return [
            (
                each.name,
                each.treatment.kind,
                each.width,
                _why(each),
            )
            for each in self.columns
        ]

    def encode(self, table: Any) -> tuple[NDArray[np.float64], Array | None]:
        """Return inputs and targets of a table of the same form as the one this was made from.

        See `read`, which also tells what became of what is not known.
        """
        found = self.read(table)
        return found.x, found.y

    def read(
        self,
        table: Any,
        keep: str | None = None,
        progress: Progress | None = None,
        check_targets: bool = True,
    ) -> Encoded:
        """Read a table of the same form as the one this encoding was made from.

        Columns may be in any order, and further ones are ignored; only those that become inputs
        must be there. A file without header has the columns of the first one, with or without the
        target. Levels that are not known, missing cells and cells of another kind are treated as
        the training rows suggest, and counted in the notes.

        Parameters
        ----------
        table : path, bytes or DataFrame
            A text table (plain or compressed), its content, a file of pandas', polars' or Arrow's
            kinds, or a table of these packages.
        keep : str, optional
            A column whose texts are returned, such as the rows' identifier.
        progress : callable, optional
            Called now and then with the number of rows read.
        check_targets : bool, optional
            Whether a target that is none of the classes, or no number, is an error. If not, a note
            tells of it, and there are no targets.

        Returns
        -------
        Encoded

        Raises
        ------
        ValueError
            If the table does not fit the encoding. The message names file, line and column.
        """
        missing = frozenset(self.missing)
        needed = [each.name for each in self.features]
        kept = [*needed, self.target, *([] if keep is None else [keep])]
        source = open_table(table, missing, progress, needed, kept)
        if isinstance(source, Frame):
            names, header = source.names, True
            self._check_names(source.name, 0, names, keep)
        else:
            names, header = self._names_of(source, keep)
        wanted = [*needed, self.target] if self.target in names else needed
        if keep is not None and keep not in names:
            what = f"there is no such column to keep; the columns are {listing(names)}"
            raise fault(source.name, 0, keep, what)
        if keep is not None and keep not in wanted:
            wanted.append(keep)
        as_text = self._as_text(of_floats=isinstance(source, Frame))
        found = source.table(names, header, wanted, [*as_text, *([] if keep is None else [keep])])
        if not found.n_rows:
            raise fault(
                source.name, found.first_line, None, "no rows after the names of the columns"
            )
        known = {*self.names, keep}
        extra = [name for name in names if name not in known]
        notes = Notes()
        notes.texts += found.notes
        if extra:
            notes.texts.append(
                f"columns that the model does not know are ignored: {listing(extra)}"
            )
        x = self.inputs(found, notes)
        cells = None
        if keep is not None:
            if found.columns[keep].missing.any():
                # An identifier may well be NA.
                again = open_table(table, frozenset({""}), None, needed, kept)
                as_they_are = again.table(names, header, [keep], [keep])
                cells = _cells(as_they_are, keep)
            else:
                cells = _cells(found, keep)
        return Encoded(x, self._checked_targets(found, check_targets, notes), notes.texts, cells)

    def _checked_targets(self, table: Table, check: bool, notes: Notes) -> Array | None:
        """Return the targets; unfit ones are an error, or become a note."""
        try:
            return self._targets(table, notes)
        except ValueError as error:
            if check:
                raise
            notes.texts.append(f"no score, because of the targets: {error}")
            return None

    def _as_text(self, of_floats: bool) -> list[str]:
        """Return the columns to be read as texts: categories, and numbers with a decimal comma.

        Of these, 1.234 is 1234 in a text file. The floats of a frame are what they are.
        """
        return [
            each.name
            for each in self.features
            if isinstance(each.treatment, Category)
            or (
                isinstance(each.treatment, Number)
                and each.treatment.decimal == ","
                and not of_floats
            )
        ] + ([self.target] if self.decimal == "," and not of_floats else [])

    def _names_of(self, file: TextFile, keep: str | None) -> tuple[tuple[str, ...], bool]:
        """Return the names of the columns of a text file, and whether it begins with them."""
        line, first = file.head[0]
        names = header_names(first) if self.header else tuple(first)
        if self._is_header(first, names):
            self._check_names(file.name, line, names, keep)
            return _told_apart(names), True
        without_target = tuple(name for name in self.names if name != self.target)
        names = without_target if len(first) == len(without_target) else self.names
        check_width(file.name, line, first, names)
        return names, False

    def _is_header(self, first: Sequence[str], names: Sequence[str]) -> bool:
        """Tell whether the first row of a file holds names, known or not."""
        present = set(first)
        if any(column.name in present for column in self.features):
            return True
        if set(names) <= set(self.names):
            return True
        numeric = any(isinstance(column.treatment, Number) for column in self.features)
        return numeric and not any(map(is_value, first))

    def _check_names(
        self, path: str, line: int, names: Sequence[str], keep: str | None = None
    ) -> None:
        """Check the header of a table to be encoded; one message tells all that is missing."""
        used = {*(each.name for each in self.features), self.target, keep}
        check_different(path, line, [name for name in names if name in used])
        present = set(names)
        faults = Faults(path)
        for column in self.features:
            if column.name not in present:
                faults.add(line, column.name, "the column is missing")
        faults.check()

    def inputs(self, table: Table, notes: Notes | None = None) -> NDArray[np.float64]:
        """Return the inputs, shape (N, n), of a table with these columns."""
        return self.fill_in(self.layout(table, Notes() if notes is None else notes, {}))

    @property
    def alike(self) -> Hashable:
        """What a layout depends on: encodings with equal `alike` have the same one of a table."""
        return tuple((column.name, column.treatment.alike) for column in self.features)

    def layout(self, table: Table, notes: Notes, known: dict[str, Known]) -> Layout:
        """Return the inputs of a table, without the numbers that this encoding has learnt.

        Parameters
        ----------
        table : Table
        notes : Notes
        known : dict
            By the name of a column of this table, the `alike` of its treatment, and its pieces.
            What is new is added, unless the table is refused.
        """
        faults = Faults(table.name)
        pieces: list[Piece] = []
        new: dict[str, Known] = {}
        start = 0
        for column in self.features:
            alike, found = known.get(column.name, (None, []))
            if alike != column.treatment.alike:
                found = _pieces_of(column, table, notes, faults)
                new[column.name] = column.treatment.alike, found
            pieces += [piece._replace(start=start + piece.start) for piece in found]
            start += column.width
        faults.check()
        # What was refused must be looked at again.
        known.update(new)
        return Layout(pieces, table.n_rows, start)

    def fill_in(self, layout: Layout) -> NDArray[np.float64]:
        """Return the inputs, shape (N, n), of a layout that was made by an encoding alike."""
        fills = [
            np.nan if column.treatment.fill is None else column.treatment.fill
            for column in self.features
            if isinstance(column.treatment, Number)
            or (isinstance(column.treatment, Date) and "day" in column.treatment.parts)
        ]
        return layout.inputs(fills, self.scaling)

    def _targets(self, table: Table, notes: Notes) -> Array | None:
        """Return the targets of a table, or None if it has none or not for every row."""
        column = table.columns.get(self.target)
        if column is None or column.missing.any():
            return None
        faults = Faults(table.name)
        y: Array
        if self.classes is None:
            decimal = _decimal_of(table, self.target, self.decimal, notes)
            y = target_numbers(table, self.target, decimal, self.unit, _ROUND, faults)
        else:
            y = target_classes(table, self.target, self.classes, faults)
        faults.check()
        return y

    def to_json(self) -> dict[str, Any]:
        """Return the encoding as a dict of plain JSON values; see `from_json`."""
        columns = tuple((each.name, each.treatment, _why(each)) for each in self.columns)
        return to_json(
            Parts(
                columns,
                self.target,
                self.classes,
                self.names,
                self.header,
                self.missing,
                self.decimal,
                self.unit,
                self.scaling,
            )
        )

    @classmethod
    def from_json(cls, data: Any) -> Encoding:
        """Rebuild an encoding from `to_json`'s dict, also from that of earlier versions.

        Raises
        ------
        ValueError
            If `data` is not such a dict.
        """
        parts = from_json(data)
        return cls(tuple(Column(*each) for each in parts.columns), *parts[1:])


def open_table(
    table: Any,
    missing: frozenset[str],
    progress: Progress | None = None,
    wanted: Iterable[str] = (),
    kept: Iterable[str] = (),
) -> TextFile | Frame:
    """Open a text table, its content, or a frame in memory or in a file.

    Of the sheets of a spreadsheet, it is the first that has the wanted columns. Of the index of a
    table of pandas, only the columns to be kept are read.
    """
    if is_frame(table):
        return Frame(table, "the table", missing, kept=kept)
    if isinstance(table, bytes):
        return TextFile(table, missing, progress)
    path = os.fspath(table)
    if os.path.splitext(path)[1].lower() in FRAME_FILES:
        found = read_frame(path, wanted)
        return Frame(found.frame, path, missing, found.notes, kept, found.told)
    return TextFile(path, missing, progress)


def _decimal_of(table: Table, name: str, learnt: str, notes: Notes) -> str:
    """Return the decimal separator that the cells of a column tell, else that of the training."""
    column = table.columns[name]
    if not isinstance(column, Texts):
        return learnt
    found = separators(column.levels)
    told = found.told()
    words = {",": "comma", ".": "point"}
    if told is not None and told != learnt:
        notes.texts.append(
            f"column {quote(name)}: read with a decimal {words[told]}, as its cells tell, not with "
            f"a decimal {words[learnt]} as in training"
        )
    group, cell = (",", found.open_comma) if learnt == "." else (".", found.open_point)
    if told is None and cell and table.decimal_comma == (group == ","):
        notes.texts.append(
            f"column {quote(name)}: the {words[group]} of {quote(cell)} is taken to separate "
            "thousands, as in training; by the separator of the cells it could be decimal"
        )
    return told or learnt


def _pieces_of(column: Column, table: Table, notes: Notes, faults: Faults) -> list[Piece]:
    """Return the inputs that a column of a table becomes, the first of them at 0."""
    values, treatment = table.columns[column.name], column.treatment
    lost = values.missing
    if isinstance(treatment, Number) and treatment.fill is None:
        _check_complete(table, column, faults)
    elif lost.all() and len(lost) > 1:
        notes.texts.append(f"column {quote(column.name)} is empty")
    if isinstance(treatment, Number):
        decimal = _decimal_of(table, column.name, treatment.decimal, notes)
        if decimal != treatment.decimal:
            treatment = replace(treatment, decimal=decimal)
    return treatment.pieces(column.name, values, notes)


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of which those that occurred before have their position added."""
    seen: set[str] = set()
    different = []
    for at, name in enumerate(names):
        different.append(f"{name} ({at})" if name in seen else name)
        seen.add(name)
    return tuple(different)


def _why(column: Column) -> str:
    """Return why a column becomes what it does."""
    return column.treatment.why if isinstance(column.treatment, LeftOut) else column.why


def _cells(table: Table, name: str) -> list[str]:
    """Return the texts of a column."""
    texts = as_texts(table.columns[name])
    levels = [*texts.levels, ""]
    return [levels[code] for code in texts.codes.tolist()]


def _check_complete(table: Table, column: Column, faults: Faults) -> None:
    """Refuse cells that the models of earlier versions could not take."""
    values, bad = as_numbers(table.columns[column.name], ".")
    lost = np.isnan(values)
    if lost.any():
        row = int(np.argmax(lost))
        count = int(lost.sum())
        what = "this is not a number" if bad[row] else "missing value"
        what += f"; the model was saved before such values were taken; {count:,} in this column"
        faults.add(table.lines[row], column.name, f"{what}; fill them in or delete the rows")
