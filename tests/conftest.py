"""What holds for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pybackprop


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
