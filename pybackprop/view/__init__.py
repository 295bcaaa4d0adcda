"""Pages to look at: a network at work, with all values of its passes, descents, and lessons."""

from sys import modules as _modules

from . import _page
from ._descent import make_descent, write_descent
from ._lesson import Screens, make_lesson
from ._page import make_page, write_page
from ._shown import Page

__all__ = [
    "Page",
    "Screens",
    "make_descent",
    "make_lesson",
    "make_page",
    "write_descent",
    "write_page",
]

# Pickles of the functions keep naming the module by its old name.
_modules[f"{__name__}.page"] = _page
Page.__module__ = __name__
make_page.__module__ = write_page.__module__ = f"{__name__}.page"
