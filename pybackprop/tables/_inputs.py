"""The inputs of a table in memory, from whose rows several encodings are learnt."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._choose import Rules
from ._columns import Array, Column, Days, Numbers, Table
from ._encoding import Encoding, Known
from ._faults import Faults
from ._frames import Frame, days_of, is_frame, no_lines, of_objects
from ._header import unnamed_index
from ._layout import Layout
from ._learn import Request, choose_columns, find_inputs
from ._scaling import RobustScaling
from ._treatments import Notes

# What an encoding of inputs alone calls its target, which no column is called.
_NO_TARGET = ""


class Inputs:
    """A table in memory all of whose columns may become inputs.

    Each of several encodings is learnt from some of the rows, such as those of a fold.

    Parameters
    ----------
    table : DataFrame, Table or ndarray, (N, n)
        Of pandas, polars, Arrow or NumPy. The columns of an array are called ``x0``, ``x1``, ...;
        those of an array of objects hold what those of a table of pandas may hold. Of an array of
        dates they are dates, and of durations, numbers of days.
    names : sequence of str, optional
        What its columns are called instead, such as in the table that an encoding was learnt from.
    rules : Rules

    Attributes
    ----------
    names : tuple of str
        Names of the columns.
    n_rows : int
    """

    def __init__(
        self, table: Any, names: Sequence[str] | None = None, rules: Rules | None = None
    ) -> None:
        self._rules = Rules() if rules is None else rules
        self._table = self._read(table) if is_frame(table) else self._of_array(np.asarray(table))
        if names is not None:
            self._rename(names)
        self._known: dict[str, Known] = {}
        self._layout: tuple[Hashable, Layout] | None = None
        self.names = self._table.names
        self.n_rows = self._table.n_rows

    def _read(self, frame: Any) -> Table:
        source = Frame(frame, "the table", self._rules.missing)
        return source.table(source.names, True)

    def _of_array(self, x: Array) -> Table:
        if x.ndim != 2:
            raise ValueError(f"a table must have shape (N, n), got {x.shape}")
        names = tuple(f"x{at}" for at in range(x.shape[1]))
        values: list[Column]
        if x.dtype.kind in "fiub":
            values = [Numbers(column.astype(np.float64)) for column in x.T]
        elif x.dtype.kind in "mM":
            # As objects, those in nanoseconds would be integers.
            stored = Days if x.dtype.kind == "M" else Numbers
            values = [stored(days_of(column)) for column in x.T]
        else:
            values = [of_objects(column.tolist(), self._rules.missing) for column in x.T]
        columns = dict(zip(names, values, strict=True))
        return Table("the array", names, columns, len(x), True, 0, no_lines())

    def _rename(self, names: Sequence[str]) -> None:
        """Call the columns something else."""
        table = self._table
        if len(names) != len(table.names):
            raise ValueError(f"{table.name} must have {len(names)} columns, got {len(table.names)}")
        columns = dict(zip(names, table.columns.values(), strict=True))
        self._table = replace(table, names=tuple(names), columns=columns, texts=None)

    def learn(
        self,
        rows: NDArray[np.bool_],
        categorical: Sequence[str] = (),
        ignore: Sequence[str] = (),
        robust: bool = False,
    ) -> Encoding:
        """Learn what every column becomes from some rows; the others are not looked at.

        Parameters
        ----------
        rows : ndarray of bool, (N,)
            Which rows to learn from.
        categorical, ignore : sequence of str
            As for `pybackprop.datasets.load_csv`.
        robust : bool
            Whether all inputs are scaled by a `RobustScaling`.

        Raises
        ------
        ValueError
            If no column is left to learn from, or a name is that of no column.
        """
        table = self._table
        faults = Faults(table.name)
        coded = find_inputs(table.names, categorical, _NO_TARGET, 0, faults)
        ignored = find_inputs(table.names, ignore, _NO_TARGET, 0, faults)
        faults.check()
        index = set(unnamed_index(table.names)) - coded if len(table.names) > 1 else set()
        request = Request(rules=self._rules)
        # What a column is must not depend on the rows that are not learnt from.
        known = self._only(rows)
        every = np.ones(known.n_rows, dtype=np.bool_)
        columns = choose_columns(known, table.names, ignored, coded, index, every, request, faults)
        missing = tuple(sorted(self._rules.missing))
        encoding = Encoding(columns, _NO_TARGET, None, table.names, True, missing)
        if not robust:
            return encoding
        scaling = RobustScaling.fit(encoding.inputs(known))
        return Encoding(columns, _NO_TARGET, None, table.names, True, missing, scaling=scaling)

    def _only(self, rows: NDArray[np.bool_]) -> Table:
        """Return the table of some rows."""
        table = self._table
        columns = {name: column.take(rows) for name, column in table.columns.items()}
        count = int(rows.sum())
        return Table(table.name, table.names, columns, count, True, 0, no_lines())

    def encode(self, encoding: Encoding) -> NDArray[np.float64]:
        """Return the inputs of all rows, (N, n), by an encoding that was learnt from a table.

        What this encoding has in common with the one before is not done again.
        """
        alike = encoding.alike
        if self._layout is None or self._layout[0] != alike:
            self._layout = alike, encoding.layout(self._table, Notes(), self._known)
        return encoding.fill_in(self._layout[1])
