"""What files and Arrow tables tell of the tables of pandas they were written from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

# What pandas calls an index without a name.
_NAMELESS_INDEX = re.compile(r"__index_level_\d+__")


class Stored(NamedTuple):
    """Which columns were the index of a table of pandas, and which its categories."""

    indices: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()

    def index_among(self, names: Iterable[str]) -> set[str]:
        """Return which of the columns are an index of pandas, also if nothing else tells so."""
        return {name for name in names if name in self.indices or _NAMELESS_INDEX.fullmatch(name)}


def stored_by_pandas(told: Any) -> Stored:
    """Return what a text tells of a table of pandas.

    Parameters
    ----------
    told : bytes, str or None
        JSON, as pandas writes it; anything else tells nothing.
    """
    try:
        found = json.loads(told or "{}")
        # An index that only counts is a dict without a column.
        index = [name for name in found["index_columns"] if isinstance(name, str)]
        categories = [
            name
            for column in found["columns"]
            for name in [column["field_name"]]
            if column["pandas_type"] == "categorical" and isinstance(name, str)
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        return Stored()
    return Stored(frozenset(index), frozenset(categories))


def told_by_parquet(path: str) -> Any:
    """Return what a Parquet file that is read by polars tells of pandas, None if it is nothing."""
    import polars

    # Versions before 1.30 do not show it.
    read = getattr(polars, "read_parquet_metadata", None)
    return None if read is None else read(path).get("pandas")
