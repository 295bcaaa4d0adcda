"""Counting lines of code: what tests/lengths.py takes for a function, and what for code."""

from __future__ import annotations

import pytest
from lengths import FOLDERS, ROOT, measure_c, measure_javascript, measure_python, too_long

PYTHON = '''"""A module."""

# A comment.
def outer():
    """A docstring.

    Of three lines.
    """
    text = """
    three lines
    """  # of code

    def inner():
        return text
    return inner
'''

C = """/* A file. */
#define MACRO(x) \\
    f(x) {       \\
    }

typedef struct {
    int a;
} thing;

static const thing table = {
    .a = 1,
};

/* A comment. */
static int *
first(int a, int b) {
    /* another */
    return 0; // the last
}

void BP_T(second)(void) {
}
"""

JAVASCRIPT = """// A file.
const short = (x) => x;

function first(a) {
  // why
  if (a) {
    return 1;
  }
  return 2;
}

class Thing {
  constructor(a, b) {
    this.a = a;
  }

  get size() {
    return 1;
  }
}
"""


def test_python() -> None:
    assert measure_python(PYTHON) == (7, [("outer", 7), ("inner", 2)])


def test_c() -> None:
    assert measure_c(C) == (15, [("first", 4), ("second", 2)])


def test_javascript() -> None:
    assert measure_javascript(JAVASCRIPT) == (
        15,
        [("first", 6), ("constructor", 3), ("size", 3)],
    )


def test_the_sources_keep_their_limits() -> None:
    if not all((ROOT / folder).is_dir() for folder in FOLDERS):
        pytest.skip("the sources are not beside the tests")
    assert list(too_long(ROOT)) == []
