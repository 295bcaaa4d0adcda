"""The examples in docstrings: each runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import pybackprop as bp


def with_examples() -> list[str]:
    """The modules whose docstrings have examples."""
    found = []
    for module in pkgutil.walk_packages(bp.__path__, "pybackprop."):
        spec = module.module_finder.find_spec(module.name, None)  # type: ignore[call-arg]
        source = spec.loader.get_source(module.name) if spec and spec.loader else None  # type: ignore[attr-defined]
        if source and ">>> " in source:
            found.append(module.name)
    return found


# An example may warn, as a training that is cut short does.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", with_examples())
def test_examples_print_what_they_say(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0


def test_examples_are_found() -> None:
    assert {"pybackprop.graph", "pybackprop.network"} <= set(with_examples())
