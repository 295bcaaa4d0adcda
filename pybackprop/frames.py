"""Tables of pandas, polars and Arrow whose columns are numbers, as arrays."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ._core import FLOAT64, Array

_REAL = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")


def columns_of(value: Any) -> list[tuple[Any, Any]]:
    """Return the names and dtypes of a table or of one of its columns; none of anything else."""
    if hasattr(value, "column_names") and hasattr(value, "schema"):
        return list(zip(value.column_names, value.schema.types, strict=True))
    if hasattr(value, "to_numpy") and hasattr(value, "dtypes"):
        if hasattr(value, "columns"):
            return list(zip(value.columns, value.dtypes, strict=True))
        return [(getattr(value, "name", None), value.dtypes)]
    if hasattr(value, "to_numpy") and type(value).__module__.startswith(("polars", "pyarrow")):
        kind = value.dtype if hasattr(value, "dtype") else value.type
        return [(getattr(value, "name", None), kind)]
    return []


def is_real(dtype: Any) -> bool:
    """Tell whether a column's dtype is one of numbers or booleans, categories of them included."""
    return _plain(dtype) is not None


def array_of(value: Any) -> Array | None:
    """Return a table, or a column of one, of real numbers as an array; None for all else.

    NumPy would give dtype object for bool columns beside float ones, for nullable columns and for
    categories; here missing entries become NaN.
    """
    dtypes = [dtype for _, dtype in columns_of(value)]
    plain = [_plain(dtype) for dtype in dtypes]
    known = [dtype for dtype in plain if dtype is not None]
    if not dtypes or len(known) < len(dtypes):
        return None
    common = np.result_type(*known)
    if not hasattr(value, "dtypes") or _package(value) == "polars":
        return _from_others(value, common)
    if not any(hasattr(dtype, "categories") for dtype in dtypes):
        return _from_pandas(value, common)
    if not hasattr(value, "columns"):
        return _uncoded(value)
    # By position, since names may be no strings, or the same.
    series = [value.iloc[:, at] for at in range(len(dtypes))]
    columns = [
        _uncoded(each) if hasattr(dtype, "categories") else _from_pandas(each, numbers)
        for each, dtype, numbers in zip(series, dtypes, known, strict=True)
    ]
    return np.stack(columns, axis=1)


def _from_pandas(value: Any, common: np.dtype[Any]) -> Array:
    """Return a table or column of numbers, of pandas or alike, as floats if an entry is missing."""
    try:
        found: Array = value.to_numpy(dtype=common)
    except (ValueError, TypeError):  # an entry is missing
        common = common if common.kind == "f" else FLOAT64
        found = value.to_numpy(dtype=common, na_value=np.nan)
    return found


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _plain(dtype: Any) -> np.dtype[Any] | None:
    """Return NumPy's dtype for a column's, None if it is not of real numbers."""
    package = type(dtype).__module__.partition(".")[0]
    if isinstance(dtype, type):  # polars has classes and objects for types
        package = dtype.__module__.partition(".")[0]
    if package in ("polars", "pyarrow"):
        name = str(dtype.value_type if _is_dictionary(dtype) else dtype).lower()
        # Arrow's names of types: float, double, halffloat, bool, int64, uint8, ...
        name = {"double": "float64", "float": "float32", "halffloat": "float16"}.get(name, name)
        name = "bool" if name == "boolean" else name
        return np.dtype(name) if _REAL.fullmatch(name) else None
    if hasattr(dtype, "categories"):
        dtype = dtype.categories.dtype
    if getattr(dtype, "kind", "O") not in "fiub":
        return None
    # Nullable types name the type of their numbers, sparse types that of their entries.
    plain: np.dtype[Any] = np.dtype(getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)))
    return plain


def _is_dictionary(dtype: Any) -> bool:
    """Tell whether a type of Arrow is that of values stored once each, as categories are."""
    return hasattr(dtype, "index_type") and hasattr(dtype, "value_type")


def _uncoded(series: Any) -> Array:
    """Return a column of categories as the numbers that they are."""
    numbers = FLOAT64 if series.isna().any() else _plain(series.dtype)
    return np.asarray(series.astype(numbers))


def _from_others(value: Any, common: np.dtype[Any]) -> Array:
    """Return a table or column of polars or Arrow as an array."""
    if hasattr(value, "column_names"):
        columns = value.columns
    elif hasattr(value, "get_columns"):
        columns = value.get_columns()
    else:
        return _column(value, common)
    arrays = [_column(column, common) for column in columns]
    if not arrays:
        return np.empty((len(value), 0), dtype=common)
    return np.stack(arrays, axis=1).astype(np.result_type(*arrays), copy=False)


def _column(column: Any, common: np.dtype[Any]) -> Array:
    """Return one column, as floats with NaN if an entry is missing."""
    if _package(column) == "pyarrow" and _is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count() if callable(column.null_count) else column.null_count:
        common = common if common.kind == "f" else FLOAT64
        if _package(column) == "pyarrow":
            values = [np.nan if each is None else each for each in column.to_pylist()]
        else:
            values = [np.nan if each is None else each for each in column.to_list()]
        return np.array(values, dtype=common)
    # Alone, an Array of Arrow copies nothing if it is not told so, and booleans have to be copied.
    copies = _package(column) == "pyarrow" and not hasattr(column, "chunks")
    values = column.to_numpy(**({"zero_copy_only": False} if copies else {}))
    found: Array = np.asarray(values).astype(common, copy=False)
    return found
