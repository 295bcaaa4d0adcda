"""The lessons, in their order."""

from . import _backward, _descent, _foundations
from ._question import Lesson

__all__ = ["LESSONS"]

LESSONS: tuple[Lesson, ...] = (*_foundations.LESSONS, *_backward.LESSONS, *_descent.LESSONS)
