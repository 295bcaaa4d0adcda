"""Cross-validation and search for settings, on many networks side by side.

`cross_validate` and `search` are also in `pybackprop` itself. Distributions for a search are
`uniform`, `log` and `integers`; a list is a choice.
"""

from ._distributions import Distribution, integers, log, uniform
from ._schedule import METHODS, make_brackets
from ._search import Candidate, SearchResult, search
from ._validation import CrossValidation, cross_validate

__all__ = [
    "METHODS",
    "Candidate",
    "CrossValidation",
    "Distribution",
    "SearchResult",
    "cross_validate",
    "integers",
    "log",
    "make_brackets",
    "search",
    "uniform",
]
