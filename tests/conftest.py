"""What holds for every test."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def write_columns(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a table of columns; `y` counts up if it is not given."""

    def write(columns: dict[str, Any], name: str = "table.csv", separator: str = ",") -> Path:
        rows = len(next(iter(columns.values())))
        columns = {**columns, **({} if "y" in columns else {"y": [at / 7 for at in range(rows)]})}
        lines = [separator.join(columns)]
        lines += [separator.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        path = tmp_path / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write
