"""Learning from a CSV file: header, kinds of columns, target, and the Encoding they make."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain

from ._dataset import Array, Dataset, Task
from ._encoding import Column, Encoding, target_classes, target_numbers
from ._table import (
    Cells,
    Row,
    check_different,
    check_width,
    fault,
    header_names,
    is_date,
    is_integer,
    is_missing,
    is_number,
    listing,
    quote,
    read_rows,
    strip,
)

HEAD_ROWS = 200
# Fewer rows are looked at where they are so wide that they would fill the memory.
_HEAD_CELLS = 100_000
_HEAD_CHARACTERS = 1 << 22
MAX_INTEGER_CLASSES = 20
MIN_ROWS_PER_CLASS = 5


def load_csv(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    *,
    task: Task | None = None,
    categorical: Sequence[str] = (),
    ignore: Sequence[str] = (),
    header: bool | None = None,
) -> Dataset:
    """Load a comma-, semicolon- or tab-separated text file, plain or gzip-compressed.

    *Header.* The first row holds the names of the columns if none of its cells is a number while
    a column below it is numeric; if all columns are texts, if its cells differ from each other
    and none occurs again below it. Columns without names are called ``x0``, ``x1``, ...

    *Columns.* A column is numeric if at least half of its cells in the first 200 rows are
    numbers (of fewer rows where they are very wide). Any other is a category and becomes one 0/1
    column for each of its levels, in sorted order. Missing values (an empty cell, ``?``, ``NA``,
    ``N/A``, ``NaN``, ``null``) are refused everywhere, and so are a text in a numeric column and a
    column of dates or times.

    *Task.* The target gives classes if it is not numeric, or if all its values are integers, at
    most 20 of them different, and either just two or with at least five rows each on average;
    otherwise it is a number to be predicted (regression).

    Parameters
    ----------
    path : path
        The file: UTF-8 text. Compressed, it may unpack to 256 MB, or to 100 times its size if
        that is more; what goes beyond is taken for a bomb.
    target : str or int, optional
        Name or position of the target column, counted from 0, negative from the end; by
        default the last column.
    task : {"classification", "regression"}, optional
        Overrides the rule above.
    categorical : sequence of str
        Names of columns whose numbers, or dates, are only codes of a category.
    ignore : sequence of str
        Names of columns to leave out.
    header : bool, optional
        Whether the first row holds names, where the rule above would get it wrong.

    Returns
    -------
    Dataset
        `x` is float64 and unscaled; `encoding` says how to read another file like this.

    Raises
    ------
    ValueError
        If the file is malformed; the message names file, line and column. If `target`,
        `categorical` or `ignore` names no column.
    """
    file = os.fspath(path)
    rows = read_rows(file)
    head = _read_head(rows)
    has_header = _is_header(head) if header is None else header
    line, first = head[0]
    names = _names(file, line, first) if has_header else [f"x{at}" for at in range(len(first))]
    head = head[has_header:]
    if not head:
        raise fault(file, line, None, "no rows after the names of the columns")
    for number, cells in head:
        check_width(file, number, cells, names)

    places = {name: _find(file, line, names, name) for name in (*categorical, *ignore)}
    target_at = _find(file, line, names, -1 if target is None else target)
    left_out = {places[name] for name in ignore} | {target_at}
    used = [at for at in range(len(names)) if at not in left_out]
    if not used:
        raise fault(file, line, None, "a table needs a column besides the target")
    coded = {places[name] for name in categorical}
    numeric = [at for at in used if at not in coded and _is_numeric(head, at)]
    numbers = set(numeric)
    categories: dict[int, Sequence[str] | None]
    categories = {at: None for at in used if at not in numbers}
    for at in (*(at for at in categories if at not in coded), target_at):
        _refuse_dates(file, head, names, at)
    table = Cells(file, names, numeric, categories, target_at)
    for number, cells in chain(head, rows):
        table.add(number, cells)

    y, classes = _learn_target(table, task, _is_numeric(head, target_at))
    features = [
        Column(names[at], table.category(at)[0] if at in categories else None) for at in used
    ]
    encoding = Encoding(tuple(features), names[target_at], classes, tuple(names), has_header)
    return Dataset(
        x=encoding.inputs(table),
        y=y,
        task="regression" if classes is None else "classification",
        feature_names=encoding.feature_names,
        target_names=(encoding.target,),
        class_names=classes,
        encoding=encoding,
        name=file,
    )


def _read_head(rows: Iterator[Row]) -> list[Row]:
    """Take the rows from which the kinds of columns are told: a header, and those below."""
    head: list[Row] = []
    cells = characters = 0
    for row in rows:
        head.append(strip(row))
        cells += len(row[1])
        characters += sum(map(len, row[1]))
        if len(head) > HEAD_ROWS or cells > _HEAD_CELLS or characters > _HEAD_CHARACTERS:
            break
    return head


def _is_header(head: Sequence[Row]) -> bool:
    """Tell by `load_csv`'s rule whether the first row holds names."""
    first, below = head[0][1], head[1:]
    if not below or any(is_number(cell) for cell in first):
        return False
    columns = range(min(len(cells) for _, cells in head))
    if any(_is_numeric(below, at) for at in columns):
        return True
    differ = len(set(first)) == len(first) and not any(is_missing(cell) for cell in first)
    return differ and not any(cells[at] == first[at] for _, cells in below for at in columns)


def _is_numeric(rows: Sequence[Row], at: int) -> bool:
    """Tell whether at least half of the cells of a column that are not missing are numbers."""
    cells = [cells[at] for _, cells in rows if not is_missing(cells[at])]
    return 2 * sum(map(is_number, cells)) >= len(cells)


def _refuse_dates(path: str, head: Sequence[Row], names: Sequence[str], at: int) -> None:
    """Refuse a column whose texts are all dates or times, which as categories teach nothing."""
    known = [(line, cells[at]) for line, cells in head if not is_missing(cells[at])]
    if known and all(is_date(cell) for _, cell in known):
        line, cell = known[0]
        what = (
            f"{quote(cell)} is a date or time, which is no input by itself; make numbers of it, "
            "such as year, weekday or days since, or ignore the column"
        )
        raise fault(path, line, names[at], what)


def _names(path: str, line: int, first: Sequence[str]) -> Sequence[str]:
    """Return the names of the columns from the header, which must differ."""
    names = header_names(first)
    check_different(path, line, names)
    return names


def _find(path: str, line: int, names: Sequence[str], which: str | int) -> int:
    """Return the position of a column given by name or position."""
    if isinstance(which, str) and which in names:
        return names.index(which)
    if isinstance(which, int) and -len(names) <= which < len(names):
        return which % len(names)
    what = f"there is no such column; the {len(names)} columns are {listing(names)}"
    raise fault(path, line, str(which), what)


def _learn_target(
    table: Cells, task: Task | None, numeric: bool
) -> tuple[Array, tuple[str, ...] | None]:
    """Return the targets and the names of the classes, None for regression."""
    if task not in (None, "classification", "regression"):
        raise ValueError(f'task must be "classification" or "regression", but is {task!r}')
    if task == "regression" or (task is None and numeric):
        numbers = target_numbers(table)
        if task == "regression" or not _are_classes(table.targets):
            return numbers, None
    texts = {cell for cell in table.targets if not is_missing(cell)}
    if all(map(is_integer, texts)):
        classes = tuple(str(value) for value in sorted({int(float(cell)) for cell in texts}))
    else:
        classes = tuple(sorted(texts))
    y = target_classes(table, classes)
    if len(classes) == 1:
        name = table.names[table.target or 0]
        what = f"all rows are of the one class {quote(classes[0])}"
        raise fault(table.path, table.lines[0], name, what)
    return y, classes


def _are_classes(cells: Sequence[str]) -> bool:
    """Tell by `load_csv`'s rule whether numbers are codes of classes."""
    values = set()
    for cell in cells:
        values.add(float(cell))
        if len(values) > MAX_INTEGER_CLASSES:
            return False
    enough = len(values) == 2 or len(cells) >= MIN_ROWS_PER_CLASS * len(values)
    return enough and all(value.is_integer() for value in values)
