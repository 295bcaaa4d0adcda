"""Gathering the rows of a batch (tests/c/check_rows.c)."""

from __future__ import annotations

import pytest
from cbuild import run

pytestmark = pytest.mark.native


def test_the_index_is_read_no_farther_than_the_batch() -> None:
    assert run("check_rows.c", sources=()) == "70 batches\n"
