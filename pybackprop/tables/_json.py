"""An Encoding in JSON, which may come from a file that is not to be trusted."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from ._scaling import RobustScaling
from ._treatments import PARTS, TREATMENTS, Category, LeftOut, Number, Treatment

VERSION = 2
# What stood for a missing value before it could be chosen.
_OLD_MISSING = ("", "?", "n/a", "na", "nan", "null")
# What is left out where a column has it, so that the widest table stays small.
_DEFAULTS: dict[str, Any] = {
    "kind": "number",
    "why": "numbers",
    "indicator": False,
    "decimal": ".",
    "unit": "",
    "missing": False,
    "other": False,
    "day_first": False,
}
_OLD_FIELDS = {"features", "target", "classes", "names", "header"}


class Parts(NamedTuple):
    """What an Encoding consists of: see there. A column is its name, treatment, and why."""

    columns: tuple[tuple[str, Treatment, str], ...]
    target: str
    classes: tuple[str, ...] | None
    names: tuple[str, ...]
    header: bool
    missing: tuple[str, ...]
    decimal: str
    unit: str = ""
    scaling: RobustScaling | None = None


def to_json(parts: Parts) -> dict[str, Any]:
    """Return the parts of an encoding as a dict of plain JSON values.

    A scaling is left out where there is none, so that earlier versions read the rest.
    """
    return {
        "version": VERSION,
        "columns": [
            _brief({"name": name, "why": why, "kind": treatment.kind, **_plain(treatment)})
            for name, treatment, why in parts.columns
        ],
        **{
            field: list(value) if isinstance(value, tuple) else value
            for field, value in parts._asdict().items()
            if field not in ("columns", "scaling")
        },
        **({} if parts.scaling is None else {"scaling": _lists(parts.scaling)}),
    }


def _lists(scaling: RobustScaling) -> dict[str, Any]:
    return {"kind": "robust", "center": list(scaling.center), "factor": list(scaling.factor)}


def _brief(column: dict[str, Any]) -> dict[str, Any]:
    """Return a column without the settings that are the default."""
    return {
        name: value
        for name, value in column.items()
        if name not in _DEFAULTS or value != _DEFAULTS[name]
    }


def _plain(treatment: Treatment) -> dict[str, Any]:
    """Return the settings of a treatment; what is called why there would hide the column's."""
    settings = {} if isinstance(treatment, LeftOut) else asdict(treatment)
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


def from_json(data: Any) -> Parts:
    """Return the parts of an encoding from `to_json`'s dict, also from that of earlier versions.

    Raises
    ------
    ValueError
        If `data` is not such a dict.
    """
    if isinstance(data, dict) and set(data) == _OLD_FIELDS:
        parts = _from_old(data)
    else:
        expected = {"version", *Parts._fields}
        data = {"unit": "", "scaling": None, **data} if isinstance(data, dict) else data
        if not isinstance(data, dict) or set(data) != expected:
            names = ", ".join(sorted(expected))
            raise ValueError(f"an encoding must be a dict of {names}, but is {_short(data)}")
        if data["version"] != VERSION:
            raise ValueError(
                f"the version of an encoding must be {VERSION}, but is {_short(data['version'])}: "
                "the model needs another version of pybackprop"
            )
        parts = _from_new(data)
    used = [name for name, _, _ in parts.columns] + [parts.target]
    if not set(used) <= set(parts.names) or len(set(used)) < len(used):
        raise ValueError("columns and target must be different columns of names")
    if all(isinstance(treatment, LeftOut) for _, treatment, _ in parts.columns):
        raise ValueError("a column must become an input, but all are left out")
    return parts


def _from_old(data: dict[str, Any]) -> Parts:
    """Rebuild what earlier versions wrote, who took numbers and categories without missing ones."""
    if not isinstance(data["features"], list) or not data["features"]:
        raise ValueError(f"features must be a list, but is {_short(data['features'])}")
    columns: list[tuple[str, Treatment, str]] = []
    for entry in data["features"]:
        if not isinstance(entry, dict) or set(entry) != {"name", "levels"}:
            raise ValueError(f"a column must be a dict of name and levels, but is {_short(entry)}")
        levels = entry["levels"]
        treatment = Number() if levels is None else Category(_texts(levels, "levels"))
        columns.append((_text(entry["name"], "the name of a column"), treatment, ""))
    return Parts(tuple(columns), *_common(data), _OLD_MISSING, ".")


def _from_new(data: dict[str, Any]) -> Parts:
    """Rebuild what this version writes."""
    if not isinstance(data["columns"], list):
        raise ValueError(f"columns must be a list, but is {_short(data['columns'])}")
    columns = tuple(_column(entry) for entry in data["columns"])
    inputs = sum(len(treatment.scaled()) for _, treatment, _ in columns)
    return Parts(
        columns,
        *_common(data),
        _texts(data["missing"], "missing", least=0),
        _one_of(data["decimal"], (".", ","), "decimal"),
        _text(data["unit"], "unit"),
        None if data["scaling"] is None else _scaling(data["scaling"], inputs),
    )


def _scaling(value: Any, inputs: int) -> RobustScaling:
    """Check and rebuild the scaling of so many inputs."""
    if not isinstance(value, dict) or set(value) != {"kind", "center", "factor"}:
        raise ValueError(
            f"scaling must be a dict of kind, center and factor, but is {_short(value)}"
        )
    _one_of(value["kind"], ("robust",), "the kind of a scaling")
    return RobustScaling(
        _numbers(value["center"], inputs, "center"), _numbers(value["factor"], inputs, "factor")
    )


def _numbers(value: Any, count: int, what: str) -> tuple[float, ...]:
    """Check that a JSON value is a list of so many finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"{what} must be a list of {count} numbers, but is {_short(value)}")
    return tuple(_number(each, f"every {what}") for each in value)


def _common(data: dict[str, Any]) -> tuple[str, tuple[str, ...] | None, tuple[str, ...], bool]:
    """Check what all versions have: target, classes, names and header."""
    if not isinstance(data["header"], bool) or not isinstance(data["target"], str):
        raise ValueError("header must be true or false, and target a name")
    classes = None if data["classes"] is None else _texts(data["classes"], "classes")
    return data["target"], classes, _texts(data["names"], "names"), data["header"]


def _column(entry: Any) -> tuple[str, Treatment, str]:
    """Check and rebuild one column."""
    if not isinstance(entry, dict):
        raise ValueError(f"a column must be a dict, but is {_short(entry)}")
    name = entry.get("kind", _DEFAULTS["kind"])
    kind = TREATMENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"the kind of a column must be known, but is {_short(name)}")
    settings = set() if kind is LeftOut else {field.name for field in fields(kind)}
    known = {"name", "why", "kind"} | settings
    entry = {**{key: value for key, value in _DEFAULTS.items() if key in known}, **entry}
    if set(entry) != known:
        raise ValueError(f"a column must be a dict of its settings, but is {_short(entry)}")
    name, why = _text(entry["name"], "the name of a column"), _text(entry["why"], "why")
    if kind is LeftOut:
        return name, LeftOut(why), ""
    values = {key: _CHECKS[key](entry[key], key) for key in settings}
    if kind is not Number and values.get("fill", 0.0) is None:
        raise ValueError("the fill of a date must be a number, but is None")
    return name, kind(**values), why


def _texts(value: Any, what: str, least: int = 1) -> tuple[str, ...]:
    """Check that a JSON value is a list of different texts."""
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{what} must be a list of texts, but is {_short(value)}")
    if len(value) < least:
        raise ValueError(f"{what} must be a list of texts, but is empty")
    if len(set(value)) < len(value):
        raise ValueError(f"{what} must differ from each other")
    return tuple(value)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text, but is {_short(value)}")
    return value


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{what} must be true or false, but is {_short(value)}")
    return value


def _fill(value: Any, what: str) -> float | None:
    return None if value is None else _number(value, what)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{what} must be a finite number, but is {_short(value)}")
    return float(value)


def _one_of(value: Any, choices: tuple[str, ...], what: str) -> str:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, but is {_short(value)}")
    return str(value)


def _parts(value: Any, what: str) -> tuple[str, ...]:
    return tuple(_one_of(part, PARTS, what) for part in _texts(value, what))


def _no_texts(value: Any, what: str) -> tuple[str, ...]:
    return _texts(value, what, least=0)


_CHECKS: dict[str, Any] = {
    "fill": _fill,
    "indicator": _flag,
    "decimal": lambda value, what: _one_of(value, (".", ","), what),
    "unit": _text,
    "levels": _no_texts,
    "missing": _flag,
    "other": _flag,
    "parts": _parts,
    "day_first": _flag,
    "words": _texts,
}


def _short(value: Any) -> str:
    """Return a value's repr, cut to a length fit for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
