"""Data sets from tables: text files, files of pandas', polars' and Arrow's kinds, and frames."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..inputs import as_texts
from ..tables import MISSING, REFUSABLE, Request, Rules, is_frame, learn
from ._dataset import Dataset, Task, draw_held, part_to_hold


def load_csv(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    *,
    task: Task | None = None,
    categorical: Sequence[str] = (),
    ignore: Sequence[str] = (),
    header: bool | None = None,
    missing: Sequence[str] | None = None,
    refuse: Sequence[str] = (),
    hold_out: float | tuple[int, int] | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    scaling: str | None = None,
) -> Dataset:
    """Load a table from a file: text, or one of pandas', polars' or Arrow's kinds.

    *Text.* The cells are separated by commas, semicolons, tabs, vertical bars or spaces, or by what
    a first line such as ``sep=;`` names, in UTF-8, UTF-16 or Windows-1252 (Latin-1). The file may
    be compressed by gzip, bzip2 or xz. A large file is read through polars, pyarrow or pandas if
    one of them is installed, with the same result.
    *Other files.* Parquet, Feather and Excel files are read through these packages.

    *Header.* The first row holds the names of the columns in four cases: one of its cells is text
    above a numeric column, even if other names are numbers, such as years; or none of its cells is
    a number, while a column below it is numeric; or a text stands above a column of dates, or of
    numbers in another notation; or all columns are text, and its cells are all different and none
    occurs again below it. Columns without names are called ``x0``, ``x1``, ...
    If the first column has no name (or is called ``Unnamed: 0``) and holds integers or texts that
    are all different, it only numbers or names the rows, as in a file written by pandas, and is
    left out unless it is the only input. It also has no name if the header is one cell short, as R
    writes it.

    *Columns.* What a column becomes is learnt from the rows that are not held out, and is kept in
    the data set's `encoding`, whose `report` tells it with the reason:

    - Numbers stay numbers. A missing one is replaced by the median, and a second input marks it.
      Percentages, amounts of money, decimal commas, groups of digits and a common unit are
      understood. In a column of which at least 90 % are numbers, other texts count as missing;
      also if at least half are numbers, the others are at most three different texts, and there
      are more than 20 different cells. The same holds for dates.
    - Texts are a category, with one 0/1 input for each level. Missing cells are a level of their
      own. At most 20 levels, or up to 256 that have two rows each on average, are all kept.
    - Of texts with more levels, the commonest levels or the commonest words become inputs.
    - Dates become the number of their day, the time of the year and of the day as sine and cosine,
      and the weekday, as far as these vary. Durations such as ``31:05`` become hours.
    - Left out are columns that are empty or constant or identify rows: an index by its name and
      its different integers, and texts of which hardly any two have a word in common.

    *Task.* The target is a class if it is not numeric, or if all its values are integers, with at
    most 20 different values, either just two or with at least five rows each on average; otherwise
    it is a number to be predicted (regression). Three or more classes of which most have only one
    row are refused. Rows without a target are left out and counted in `notes`.

    Parameters
    ----------
    path : path
        The file. Compressed, it may unpack to 256 MB, or to 100 times its size if that is more;
        anything larger is taken for a decompression bomb.
    target : str or int, optional
        Name or position of the target column, counted from 0, negative from the end; by
        default the last column. A position may also be given as a string, unless that is a name.
    task : {"classification", "regression"}, optional
        Overrides the rule above.
    categorical : sequence of str
        Names of columns whose numbers or dates are only category codes.
    ignore : sequence of str
        Names of columns to leave out. Here as elsewhere, a single text is a sequence of one.
    header : bool, optional
        Whether the first row holds names, for files that the rule above would get wrong.
    missing : sequence of str, optional
        What stands for a missing cell, whatever the case; by default an empty cell, ``?``, ``NA``,
        ``N/A``, ``NaN``, ``null``, ``<NA>``, ``NaT`` and ``#N/A``. An empty cell always does.
    refuse : sequence of str
        What is refused instead of treated as above: ``missing`` values among the inputs, a ``date``
        column, a ``notation`` of numbers other than Python's, an ``odd`` text in a column of
        numbers or dates, and a text with too ``many`` levels for a category.
    hold_out : float or pair of int, optional
        The rows to hold out, as by `Dataset.split`. Nothing is learnt from them.
    seed : int
        Seed of that draw.
    progress : callable, optional
        Called now and then with the number of rows read.
    scaling : {"robust"}, optional
        Scales all inputs by a `RobustScaling` of the rows that are not held out. It is part of the
        encoding, so that further tables are scaled alike.

    Returns
    -------
    Dataset
        `x` is float64, and unscaled unless `scaling` is given; `encoding` says how to read another
        table like this.

    Raises
    ------
    TypeError
        If an argument is of another kind than described.
    ValueError
        If the file is malformed or holds something refused; the message names file, line and
        column, of all such faults. Also if `target`, `categorical` or `ignore` names no column, or
        if one of the latter two names the target.
    ModuleNotFoundError
        If the file needs a package that is not installed.
    """
    return _load(
        os.fspath(path), target, task, categorical, ignore, header, missing, refuse, hold_out, seed,
        progress, scaling,
    )  # fmt: skip


def from_frame(
    frame: Any,
    target: str | int | None = None,
    *,
    task: Task | None = None,
    categorical: Sequence[str] = (),
    ignore: Sequence[str] = (),
    missing: Sequence[str] | None = None,
    refuse: Sequence[str] = (),
    hold_out: float | tuple[int, int] | None = None,
    seed: int = 0,
    scaling: str | None = None,
) -> Dataset:
    """Make a data set of a table of pandas, polars or Arrow.

    The columns are treated as those of the CSV file that would be written of it, see `load_csv`;
    booleans are the texts True and False. A category (in Arrow a dictionary) stays one even if its
    levels are numbers or dates, and as a target it holds classes unless `task` says otherwise. The
    index of a table of pandas is not looked at.

    Parameters
    ----------
    frame : DataFrame or Table
        Of pandas, polars or Arrow.
    target, task, categorical, ignore, missing, refuse, hold_out, seed, scaling
        As for `load_csv`.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError
        If `frame` is no such table, or an argument is of another kind than described.
    ValueError
        As for `load_csv`.
    """
    if not is_frame(frame):
        raise TypeError(f"frame must be a table of pandas, polars or Arrow, got {type(frame)}")
    return _load(
        frame, target, task, categorical, ignore, None, missing, refuse, hold_out, seed, None,
        scaling,
    )  # fmt: skip


def _target(value: Any) -> str | int | None:
    """Check a target, which is a name, a position or None."""
    if value is None or isinstance(value, str):
        return value
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"target must be the name or the position of a column, got {value!r}"
        ) from None


def _load(
    table: Any,
    target: str | int | None,
    task: Task | None,
    categorical: Sequence[str],
    ignore: Sequence[str],
    header: bool | None,
    missing: Sequence[str] | None,
    refuse: Sequence[str],
    hold_out: float | tuple[int, int] | None,
    seed: int,
    progress: Callable[[int], None] | None,
    scaling: str | None,
) -> Dataset:
    """Learn from a table and make a data set of it."""
    if task not in (None, "classification", "regression"):
        raise ValueError(f'task must be "classification" or "regression", but is {task!r}')
    if scaling not in (None, "robust"):
        raise ValueError(f'scaling must be "robust" or None, but is {scaling!r}')
    refused = as_texts(refuse, "refuse")
    for each in refused:
        if each not in REFUSABLE:
            raise ValueError(f"refuse must be of {', '.join(REFUSABLE)}, but is {each!r}")
    texts = MISSING
    if missing is not None:
        texts = frozenset({"", *(each.lower() for each in as_texts(missing, "missing"))})
    draw = None
    if hold_out is not None:
        draw = partial(draw_held, fraction=part_to_hold(hold_out, "hold_out"), seed=seed)
    request = Request(
        _target(target),
        task,
        as_texts(categorical, "categorical"),
        as_texts(ignore, "ignore"),
        header,
        Rules(texts, frozenset(refused)),
        draw,
        progress,
        scaling,
    )
    found = learn(table, request)
    encoding, held = found.encoding, found.held
    parts: dict[str, Any] = {"x": found.x, "y": found.y}
    if hold_out is not None:
        parts = {"x": found.x[~held], "y": found.y[~held]}
        parts |= {"x_test": found.x[held], "y_test": found.y[held]}
    return Dataset(
        **parts,
        task="regression" if encoding.classes is None else "classification",
        feature_names=encoding.feature_names,
        target_names=(encoding.target,),
        class_names=encoding.classes,
        encoding=encoding,
        name=found.name,
        notes=tuple(found.notes),
    )
