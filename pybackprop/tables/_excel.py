"""Sheets of spreadsheet files: which one holds the table, and in which row its names stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._faults import fault, listing, quote

# Names are looked for in so many rows that are not empty.
_ROWS_OF_TITLES = 20


class _Place(NamedTuple):
    """Where a table lies in a sheet: the row of its names, its columns, and whether all fit."""

    row: int
    columns: list[int]
    has_names: bool


def read_sheets(path: str) -> dict[str, Any]:
    """Return all sheets of a spreadsheet file by name, each a DataFrame of pandas of its cells."""
    import pandas

    # Only an empty cell is missing here: what else stands for one is the caller's choice.
    sheets: dict[str, Any] = pandas.read_excel(
        path, sheet_name=None, header=None, dtype=object, keep_default_na=False, na_values=[""]
    )
    return sheets


def table_of(path: str, sheets: dict[str, Any], wanted: Iterable[str]) -> tuple[Any, list[str]]:
    """Return the table among sheets, a DataFrame of pandas, and what is to be noted.

    It is the first sheet that has the wanted columns, else the first with two rows and columns at
    least. Titles above the names, names of groups of columns, and empty rows and columns are left
    out.

    Parameters
    ----------
    path : str
        The file, for messages.
    sheets : dict of str to DataFrame
    wanted : iterable of str
        Names of columns that the table should have, as far as they are known.

    Raises
    ------
    ValueError
        If no sheet holds a table.
    """
    names = set(wanted)
    found = {name: _find_table(sheet, names) for name, sheet in sheets.items()}
    places = {name: place for name, place in found.items() if place is not None}
    if not places:
        what = f"no sheet has a table of two rows and columns: {listing([*map(str, sheets)])}"
        raise fault(path, 0, None, what)
    chosen = next((name for name in places if places[name].has_names), next(iter(places)))
    others = [str(name) for name in sheets if name != chosen and not sheets[name].empty]
    place = places[chosen]
    notes = []
    if others:
        notes.append(f"read from the sheet {quote(str(chosen))}, not from {listing(others)}")
    if place.row:
        notes.append(f"the names of the columns are taken from row {place.row + 1} of the sheet")
    return _table(sheets[chosen], place), notes


def _find_table(sheet: Any, wanted: set[str]) -> _Place | None:
    """Return where a table lies in a sheet, None if there is none."""
    filled = sheet.notna().to_numpy()
    rows = np.flatnonzero(filled.any(axis=1))
    columns = np.flatnonzero(filled.any(axis=0)).tolist()
    if len(rows) < 2 or not columns:
        return None
    head = rows[:_ROWS_OF_TITLES].tolist()
    if wanted:
        for row in head:
            if wanted <= set(_names(sheet, row, columns)):
                return _Place(row, columns, True)
    if len(columns) < 2:
        return None
    # Titles, and names of groups of columns, fill half of the row or less.
    row = next((row for row in head if 2 * filled[row].sum() > len(columns)), head[0])
    return _Place(row, columns, False) if row < rows[-1] else None


def _names(sheet: Any, row: int, columns: Sequence[int]) -> list[str]:
    """Return the texts of a row; a cell without one is called as pandas does."""
    cells = [sheet.iat[row, at] for at in columns]
    texts = ["" if _is_empty(cell) else str(cell).strip() for cell in cells]
    return [text or f"Unnamed: {at}" for at, text in zip(columns, texts, strict=True)]


def _is_empty(cell: Any) -> bool:
    return cell is None or bool(cell != cell)


def _table(sheet: Any, place: _Place) -> Any:
    """Return the rows below the names that are not empty, each column with its own type."""
    frame = sheet.iloc[place.row + 1 :, place.columns]
    frame.columns = _names(sheet, place.row, place.columns)
    return frame.dropna(how="all").infer_objects().reset_index(drop=True)
