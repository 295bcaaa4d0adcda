"""What holds for every test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import chromium

import pybackprop

__all__ = ["chromium"]


@pytest.fixture(scope="session", autouse=True)
def started_interpreters_import_what_is_tested(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Run in an empty folder, with the package under test on the path.

    In a checkout ``python -c`` would import the package's sources, which lack the compiled module.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        patch.setenv("PYTHONPATH", str(Path(pybackprop.__file__).parents[1]), os.pathsep)
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Let SIGINT interrupt, here and in what is started from here.

    A shell starts background jobs with SIGINT ignored; an ignored signal stays so in children, and
    Python then installs no handler. Tests that interrupt a run would wait for its end.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, before)
