"""Tables: what a column is, what it becomes, and how another table becomes the same inputs.

`learn` reads a table and returns its examples with an `Encoding`; `Encoding.read` turns further
tables into the same inputs. A table is a text file, a file of pandas', polars' or Arrow's kinds, or
a frame of these packages.
"""

from __future__ import annotations

from ._cells import MISSING
from ._choose import REFUSABLE, Rules
from ._encoding import Column, Encoded, Encoding
from ._faults import listing
from ._frames import FRAME_FILES, is_frame
from ._inputs import Inputs
from ._learn import Learnt, Request, learn
from ._scaling import RobustScaling
from ._stored import stored_by_pandas
from ._targets import MAX_INTEGER_CLASSES, MIN_ROWS_PER_CLASS, class_fault
from ._treatments import Category, Date, LeftOut, Number, Words

__all__ = [
    "FRAME_FILES",
    "MAX_INTEGER_CLASSES",
    "MIN_ROWS_PER_CLASS",
    "MISSING",
    "REFUSABLE",
    "Category",
    "Column",
    "Date",
    "Encoded",
    "Encoding",
    "Inputs",
    "Learnt",
    "LeftOut",
    "Number",
    "Request",
    "RobustScaling",
    "Rules",
    "Words",
    "class_fault",
    "is_frame",
    "learn",
    "listing",
    "stored_by_pandas",
]
