"""Learning from a table: names, target, and the Encoding that its columns make."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._choose import Chooser, Rules
from ._columns import Array, Table
from ._encoding import Column, Encoding, open_table
from ._faults import Faults, fault, listing, quote
from ._frames import Frame
from ._header import is_header, number_among_texts, unnamed_index
from ._read import Progress, TextFile
from ._rows import check_different, header_names
from ._scaling import RobustScaling
from ._targets import Target, learn_target
from ._treatments import LeftOut, Notes

_POSITION = re.compile(r"-?[0-9]{1,9}")


class Learnt(NamedTuple):
    """A table as examples.

    Attributes
    ----------
    name : str
        Where the table comes from.
    x : ndarray of shape (N, n), float64
    y : ndarray of shape (N,)
    held : ndarray of bool, shape (N,)
        Which rows are held out; nothing is learnt from them.
    encoding : Encoding
    notes : list of str
        What was done to the rows.
    """

    name: str
    x: NDArray[np.float64]
    y: Array
    held: NDArray[np.bool_]
    encoding: Encoding
    notes: list[str]


# Draws the rows to hold out, given targets and classes.
Draw = Callable[[Array, "tuple[str, ...] | None"], NDArray[np.bool_]]


class Request(NamedTuple):
    """What to learn from a table; see `pybackprop.datasets.load_csv`."""

    target: str | int | None = None
    task: str | None = None
    categorical: Sequence[str] = ()
    ignore: Sequence[str] = ()
    header: bool | None = None
    rules: Rules = Rules()
    draw: Draw | None = None
    progress: Progress | None = None
    scaling: str | None = None


def learn(table: Any, request: Request) -> Learnt:
    """Read a table and learn how its columns become inputs.

    Parameters
    ----------
    table : path, bytes or DataFrame
        As for `Encoding.read`.
    request : Request

    Raises
    ------
    ValueError
        If the table cannot be learnt from; one message tells all that was found.
    """
    wanted = [*request.categorical, *request.ignore]
    wanted += [request.target] if isinstance(request.target, str) else []
    source = open_table(table, request.rules.missing, request.progress, wanted, wanted)
    if isinstance(source, Frame):
        return _learn(source, source.names, True, 0, unnamed_index(source.names), request)
    head, missing = source.head, request.rules.missing
    header = is_header(head, missing) if request.header is None else request.header
    try:
        return _learn_file(source, header, request)
    except ValueError as error:
        number = number_among_texts(head[0][1]) if request.header is None and not header else None
        if number is None or f"line {head[0][0]}, " not in str(error):
            raise
        raise ValueError(
            f"{error}; the first row was read as data because {quote(number)} is a number; if it "
            "holds names, give the columns names that are not numbers (or, in Python, header=True)"
        ) from None


def _learn_file(source: TextFile, header: bool, request: Request) -> Learnt:
    """Learn from a text file, given whether its first row holds names."""
    line, first = source.head[0]
    names = header_names(first) if header else tuple(f"x{at}" for at in range(len(first)))
    check_different(source.name, line, names)
    if len(source.head) == header:
        raise fault(source.name, line, None, "no rows after the names of the columns")
    unnamed = names[: len(unnamed_index(first))] if header else ()
    return _learn(source, names, header, line, unnamed, request)


def _learn(
    source: TextFile | Frame,
    names: Sequence[str],
    header: bool,
    line: int,
    unnamed: Sequence[str],
    request: Request,
) -> Learnt:
    """Learn from a table; `unnamed` is its first column if that has no name, as an index."""
    faults = Faults(source.name)
    last = -1 if request.target is None else request.target
    target = _find(names, last, line, faults)
    coded = find_inputs(names, request.categorical, target, line, faults)
    ignored = find_inputs(names, request.ignore, target, line, faults)
    faults.check()
    inputs = [name for name in names if name != target and name not in ignored]
    index = set(unnamed) - coded if len(inputs) > 1 else set()
    if not inputs:
        what = (
            "a table needs a column besides the target; cells end at commas, semicolons, tabs or "
            "bars"
        )
        raise fault(source.name, line, None, what)
    as_text = [*coded, *([target] if request.task == "classification" else [])]
    table = source.table(names, header, [*inputs, target], as_text)
    if not table.n_rows:
        raise fault(source.name, line, None, "no rows after the names of the columns")
    found = learn_target(table, target, request.task, faults)
    faults.check()
    held = _held(found, request.draw)
    rows = found.present & ~held
    others = [name for name in names if name != target]
    columns = choose_columns(table, others, ignored, coded, index, rows, request, faults)
    encoding = Encoding(
        columns,
        target,
        found.classes,
        tuple(names),
        header,
        tuple(sorted(request.rules.missing)),
        found.decimal,
        found.unit,
    )
    notes = list(table.notes)
    if found.why:
        notes.append(f"the target is read as {found.why}")
    kept = found.present
    if not kept.all():
        lost = int((~kept).sum())
        notes.append(f"{lost:,} of {table.n_rows:,} rows have no target and are left out")
    x = encoding.inputs(table, Notes())
    if request.scaling is not None:
        scaling = RobustScaling.fit(x[rows])
        x, encoding = scaling(x), replace(encoding, scaling=scaling)
    if kept.all():
        return Learnt(source.name, x, found.y, held, encoding, notes)
    return Learnt(source.name, x[kept], found.y[kept], held[kept], encoding, notes)


def _held(found: Target, draw: Draw | None) -> NDArray[np.bool_]:
    """Return which rows are held out, of those that have a target."""
    held = np.zeros(len(found.present), dtype=np.bool_)
    if draw is not None:
        held[found.present] = draw(found.y[found.present], found.classes)
    return held


def choose_columns(
    table: Table,
    names: Sequence[str],
    ignored: set[str],
    coded: set[str],
    index: set[str],
    rows: NDArray[np.bool_],
    request: Request,
    faults: Faults,
) -> tuple[Column, ...]:
    """Choose what every column but the target becomes."""
    chooser = Chooser(table, rows, request.rules, faults)
    columns = []
    for name in names:
        if name in ignored:
            columns.append(Column(name, LeftOut("as asked")))
        else:
            choice = chooser.choose(name, name in coded, name in index)
            columns.append(Column(name, choice.treatment, choice.why))
    chooser.refuse_missing()
    faults.check()
    if all(isinstance(each.treatment, LeftOut) for each in columns):
        which = [f"{quote(each.name)}: {each.treatment.why}" for each in columns[:8]]  # type: ignore[union-attr]
        more = f"; and {len(columns) - 8:,} more" if len(columns) > 8 else ""
        what = f"no column is left to learn from; {'; '.join(which)}{more}"
        raise fault(table.name, table.first_line, None, what)
    return tuple(columns)


def _find(names: Sequence[str], which: str | int, line: int, faults: Faults) -> str:
    """Return the name of a column given by name or position; the first if there is none."""
    if isinstance(which, str) and which in names:
        return which
    at = int(which) if isinstance(which, str) and _POSITION.fullmatch(which) else which
    if isinstance(at, int) and -len(names) <= at < len(names):
        return names[at]
    faults.add(line, str(which), _no_such_column(names))
    return names[0]


def _no_such_column(names: Sequence[str]) -> str:
    return f"there is no such column; the {len(names)} columns are {listing(names)}"


def find_inputs(
    names: Sequence[str], which: Sequence[str], target: str, line: int, faults: Faults
) -> set[str]:
    """Return the names of columns, none of which is the target."""
    found = set()
    for name in which:
        if name not in names:
            faults.add(line, name, _no_such_column(names))
        elif name == target:
            what = (
                "the column is the target, which can be neither ignored nor an input; choose "
                "another target (--target); use --task classification to treat its numbers as "
                "classes"
            )
            faults.add(line, name, what)
        else:
            found.add(name)
    return found
