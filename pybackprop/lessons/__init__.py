"""Twelve lessons on backpropagation, whose questions are checked by computing the answer.

`pybackprop learn` runs them in a terminal or writes them as web pages; ``docs/course`` has them to
read.

>>> from pybackprop.lessons import LESSONS
>>> lesson = LESSONS[1].build()
>>> lesson.questions[0].check("3 6 9").kind
'right'
>>> lesson.questions[0].check("1 2 3").text
'The 3 that comes down from the last gate is missing.'
"""

from ._list import LESSONS
from ._page import make_lesson_page, write_course, write_lesson_page
from ._question import Content, Lesson, Question, Reply, Slip

__all__ = [
    "LESSONS",
    "Content",
    "Lesson",
    "Question",
    "Reply",
    "Slip",
    "make_lesson_page",
    "write_course",
    "write_lesson_page",
]
