"""Twelve lessons on backpropagation, whose questions are checked by computing the answer.

`pybackprop learn` runs them in a terminal; ``docs/course`` has the same lessons as pages.

>>> from pybackprop.lessons import LESSONS
>>> lesson = LESSONS[1].build()
>>> lesson.questions[0].check("3 6 9").kind
'right'
>>> lesson.questions[0].check("1 2 3").text
'The 3 that comes down from the last gate is missing.'
"""

from . import _backward, _descent, _foundations
from ._question import Content, Lesson, Question, Reply, Slip

__all__ = ["LESSONS", "Content", "Lesson", "Question", "Reply", "Slip"]

LESSONS: tuple[Lesson, ...] = (*_foundations.LESSONS, *_backward.LESSONS, *_descent.LESSONS)
