"""Learning from a CSV file: header, kinds of columns, target, and the Encoding they make."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from ._cells import is_date, is_missing, is_number, oddity, unit
from ._dataset import Dataset, Task
from ._encoding import Column, Encoding
from ._table import (
    LEAVE_OUT,
    Cells,
    Row,
    check_different,
    check_width,
    fault,
    header_names,
    listing,
    quote,
    read_rows,
    strip,
)
from ._targets import learn_target

HEAD_ROWS = 200
# Fewer rows are looked at if they are so wide that they would fill the memory.
_HEAD_CELLS = 100_000
_HEAD_CHARACTERS = 1 << 22
# More levels than this count as those of a category only if they have two rows each on average.
_MAX_RARE_LEVELS = 20
# The name that pandas gives to a column read without a name.
_UNNAMED = "Unnamed: 0"
# What to do about an input with more digits than a float64 holds.
_LONG = "round it, or treat it as a category (--categorical) or leave it out (--ignore)"
_POSITION = re.compile(r"-?[0-9]{1,9}")


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

    *Header.* The first row holds the names of the columns in three cases: one of its cells is text
    above a numeric column, even if other names are numbers, such as years; or none of its cells is
    a number, while a column below it is numeric; or all columns are text, and its cells are all
    different and none occurs again below it. Columns without names are called ``x0``, ``x1``, ...
    If the first column has no name (or is called ``Unnamed: 0``) and holds integers that are all
    different, it only numbers the rows, as in a file written by pandas, and is left out unless it
    is the only input.

    *Columns.* A column is numeric if at least half of its cells in the first 200 rows are numbers
    (fewer rows if they are very wide). Any other column is a category and becomes one 0/1 column
    for each of its levels, in sorted order. The following are refused: missing values (an empty
    cell, ``?``, ``NA``, ``N/A``, ``NaN``, ``null``); text in a numeric column; an integer with more
    digits than a float64 holds; a column of dates or times; a column of numbers in an unsupported
    notation (``72,4``, ``1,234``, ``1_000``, ``12%``, ``$5``, ``5 kg``); and a column of more than
    20 texts, most of which occur in a single row.

    *Task.* The target is a class if it is not numeric, or if all its values are integers, with at
    most 20 different values, either just two or with at least five rows each on average; otherwise
    it is a number to be predicted (regression). Three or more classes of which most have only one
    row are refused.

    Parameters
    ----------
    path : path
        The file: UTF-8 text. Compressed, it may unpack to 256 MB, or to 100 times its size if that
        is more; anything larger is taken for a decompression bomb.
    target : str or int, optional
        Name or position of the target column, counted from 0, negative from the end; by
        default the last column. A position may also be given as a string, unless that is a name.
    task : {"classification", "regression"}, optional
        Overrides the rule above.
    categorical : sequence of str
        Names of columns whose numbers or dates are only category codes.
    ignore : sequence of str
        Names of columns to leave out.
    header : bool, optional
        Whether the first row holds names, for files that the rule above would get wrong.

    Returns
    -------
    Dataset
        `x` is float64 and unscaled; `encoding` says how to read another file like this.

    Raises
    ------
    ValueError
        If the file is malformed or holds something refused above; the message names file, line and
        column. Also if `target`, `categorical` or `ignore` names no column, or if one of the latter
        two names the target.
    """
    if task not in (None, "classification", "regression"):
        raise ValueError(f'task must be "classification" or "regression", but is {task!r}')
    file = os.fspath(path)
    rows = read_rows(file)
    head = _read_head(rows)
    has_header = _is_header(head) if header is None else header
    try:
        return _learn(file, head, rows, target, task, categorical, ignore, has_header)
    except ValueError as error:
        number = _number_among_texts(head[0][1]) if header is None and not has_header else None
        if number is None or not str(error).startswith(f"{file}: line {head[0][0]}, "):
            raise
        raise ValueError(
            f"{error}; the first row was read as data because {quote(number)} is a number; if it "
            "holds names, give the columns names that are not numbers (or, in Python, header=True)"
        ) from None


def _learn(
    file: str,
    head: list[Row],
    rows: Iterator[Row],
    target: str | int | None,
    task: Task | None,
    categorical: Sequence[str],
    ignore: Sequence[str],
    has_header: bool,
) -> Dataset:
    """Return the data set of a table, given whether its first row holds names."""
    line, first = head[0]
    names = _names(file, line, first) if has_header else [f"x{at}" for at in range(len(first))]
    head = head[has_header:]
    if not head:
        raise fault(file, line, None, "no rows after the names of the columns")
    for number, cells in head:
        check_width(file, number, cells, names)

    target_at = _find(file, line, names, -1 if target is None else target)
    coded = _find_features(file, line, names, categorical, target_at)
    left_out = _find_features(file, line, names, ignore, target_at) | {target_at}
    n_inputs = len(names) - len(left_out)
    # The only input is kept, as in the file of a pandas Series.
    if has_header and n_inputs > 1 and 0 not in coded | left_out:
        left_out |= {0} if _numbers_the_rows(first[0], head) else set()
    used = [at for at in range(len(names)) if at not in left_out]
    if not used:
        what = "a table needs a column besides the target; cells end at commas, semicolons or tabs"
        raise fault(file, line, None, what)
    numeric = [at for at in used if at not in coded and _is_numeric(head, at)]
    told = coded.union(numeric)
    texts = [at for at in used if at not in told]
    for at in texts:
        _refuse_lookalikes(file, head, names, at, target=False)
    if task != "classification" and not _is_numeric(head, target_at):
        _refuse_lookalikes(file, head, names, target_at, target=True)
    categories = dict.fromkeys([*texts, *coded])
    table = Cells(file, names, numeric, categories, target_at, _LONG)
    for number, cells in chain(head, rows):
        table.add(number, cells)
    table.check_complete(f"fill them in, delete the rows, or {LEAVE_OUT}")
    for at in texts:
        _refuse_names_of_rows(table, at)

    y, classes = learn_target(table, task, _is_numeric(head, target_at))
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


def _number_among_texts(first: Sequence[str]) -> str | None:
    """Return the first number of a row that also holds texts, None if there is none."""
    numbers = [cell for cell in first if is_number(cell)]
    return numbers[0] if numbers and any(map(_is_name, first)) else None


def _read_head(rows: Iterator[Row]) -> list[Row]:
    """Take the rows that decide the kinds of columns: a header, and the rows below it."""
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
    has_number = any(is_number(cell) for cell in first)
    if not below:
        return not has_number and not all(oddity(cell) for cell in first)
    columns = range(min(len(cells) for _, cells in head))
    numeric = {at for at in columns if _is_numeric(below, at)}
    # A column with only missing values has no numbers that a name could stand above.
    if any(
        _is_name(first[at]) and any(is_number(cells[at]) for _, cells in below) for at in numeric
    ):
        return True
    if has_number:
        return False
    # A name such as 50% stands above numbers, not above more of its kind.
    if any(oddity(first[at]) for at in columns if at not in numeric):
        return False
    if numeric:
        return True
    differ = len(set(first)) == len(first) and not any(is_missing(cell) for cell in first)
    return differ and not any(cells[at] == first[at] for _, cells in below for at in columns)


def _is_name(cell: str) -> bool:
    """Tell whether a text is something other than a number, in any notation, or a date."""
    return not (is_number(cell) or is_missing(cell) or is_date(cell) or oddity(cell))


def _is_numeric(rows: Sequence[Row], at: int) -> bool:
    """Tell whether at least half of the cells of a column that are not missing are numbers."""
    cells = [cells[at] for _, cells in rows if not is_missing(cells[at])]
    return 2 * sum(map(is_number, cells)) >= len(cells)


def _numbers_the_rows(name: str, head: Sequence[Row]) -> bool:
    """Tell whether the first column is an index: without a name, and integers all different."""
    cells = [cells[0] for _, cells in head]
    return (
        name in ("", _UNNAMED) and all(map(str.isdecimal, cells)) and len(set(cells)) == len(head)
    )


def _refuse_lookalikes(
    path: str, head: Sequence[Row], names: Sequence[str], at: int, *, target: bool
) -> None:
    """Refuse a column of dates, or of numbers in a notation that is not read, as a category."""
    known = [(line, cells[at]) for line, cells in head if not is_missing(cells[at])]
    if not known:
        return
    line, cell = known[0]
    keep = (
        f"if the texts are names, say so ({'--task classification' if target else '--categorical'})"
    )
    if all(is_date(cell) for _, cell in known):
        what = (
            f"{quote(cell)} is a date or time, which is no input by itself; make numbers of it, "
            f"such as year, weekday or days since, or {LEAVE_OUT}"
        )
        if target:
            what = f"{quote(cell)} is a date or time; choose another target (--target)"
        raise fault(path, line, names[at], f"{what}; {keep}")
    odd = [(line, cell) for line, cell in known if oddity(cell) is not None]
    plain = sum(is_number(cell) for _, cell in known)
    if odd and 2 * (len(odd) + plain) >= len(known):
        line, cell = odd[0]
        raise fault(path, line, names[at], f"{quote(cell)} {oddity(cell)}; {keep}")
    units = {unit(cell) for _, cell in known}
    if None not in units and len(units) > _MAX_RARE_LEVELS:
        found = {entry[1] for entry in units if entry is not None}
        if len(found) == 1:
            what = f"{quote(cell)} has a unit; write the number alone; {keep}"
            raise fault(path, line, names[at], what)


def _refuse_names_of_rows(table: Cells, at: int) -> None:
    """Refuse a category most of whose levels have only one row: it would be learnt by heart."""
    levels, rows = table.n_levels(at), len(table.lines)
    if levels > _MAX_RARE_LEVELS and 2 * levels > rows:
        what = (
            f"{levels:,} different texts in {rows:,} rows: the column identifies rows and is not "
            f"a category; {LEAVE_OUT}"
        )
        raise fault(table.path, table.lines[0], table.names[at], what)


def _names(path: str, line: int, first: Sequence[str]) -> Sequence[str]:
    """Return the names of the columns from the header, which must differ."""
    names = header_names(first)
    check_different(path, line, names)
    return names


def _find(path: str, line: int, names: Sequence[str], which: str | int) -> int:
    """Return the position of a column given by name or position."""
    if isinstance(which, str) and which in names:
        return names.index(which)
    at = int(which) if isinstance(which, str) and _POSITION.fullmatch(which) else which
    if isinstance(at, int) and -len(names) <= at < len(names):
        return at % len(names)
    what = f"there is no such column; the {len(names)} columns are {listing(names)}"
    raise fault(path, line, str(which), what)


def _find_features(
    path: str, line: int, names: Sequence[str], which: Sequence[str], target: int
) -> set[int]:
    """Return the positions of columns given by name, none of which is the target."""
    found = set()
    for name in which:
        if name not in names:
            what = f"there is no such column; the {len(names)} columns are {listing(names)}"
            raise fault(path, line, name, what)
        found.add(names.index(name))
    if target in found:
        what = (
            "the column is the target, which can be neither ignored nor an input; choose another "
            "target (--target); use --task classification to treat its numbers as classes"
        )
        raise fault(path, line, names[target], what)
    return found
