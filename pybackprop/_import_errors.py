"""What to say when the compiled core cannot be imported."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_CORE = "_pybackprop_core"
_HERE = Path(__file__).parent

_SOURCES = """\
pybackprop was imported from its source tree, {folder}, which has no compiled core.
Either install it (pip install .) and start Python in another folder, or build the core in place:

    python setup.py build_ext --inplace"""

_MISSING = """\
the compiled core of pybackprop is missing: {folder} contains no {name} file that
{python} can load (suffixes {suffixes}; found: {found}).
Reinstall pybackprop with this interpreter; from a checkout: pip install --force-reinstall ."""

_BROKEN = """\
the compiled core of pybackprop cannot be loaded by {python}: {reason}
If the file is damaged, or was built for another platform or interpreter, {remedy}."""


def explain_core(error: ImportError) -> ImportError | None:
    """Return an ImportError that says what to do, or None if the core is not what is missing.

    ``python -m pybackprop`` ends here, with the same words: its traceback would consist of the
    frames that look for modules.
    """
    # For a library that fails to load, error.name lacks the package's name.
    if (error.name or "").rpartition(".")[2] != _CORE:
        return None
    message = _describe(error)
    if _is_run_as_module():
        sys.exit(f"pybackprop: error: {message}")
    return ImportError(message, name=error.name, path=error.path)


def _describe(error: ImportError) -> str:
    """Return what is wrong with the core, and what to do."""
    is_source_tree = (_HERE.parent / "setup.py").is_file() and (_HERE.parent / "csrc").is_dir()
    python = f"Python {'.'.join(map(str, sys.version_info[:3]))} on {sys.platform}"
    if not isinstance(error, ModuleNotFoundError):
        remedy = "install pybackprop again with this interpreter"
        if is_source_tree:
            remedy = "build it again: python setup.py build_ext --inplace --force"
        return _BROKEN.format(python=python, reason=error, remedy=remedy)
    if is_source_tree:
        return _SOURCES.format(folder=_HERE.parent)
    found = sorted(path.name for path in _HERE.glob(f"{_CORE}.*") if path.suffix != ".pyi")
    return _MISSING.format(
        folder=_HERE,
        name=_CORE,
        python=python,
        suffixes=", ".join(EXTENSION_SUFFIXES),
        found=", ".join(found) or "none",
    )


def _is_run_as_module() -> bool:
    """Tell whether the interpreter is about to run ``python -m pybackprop``.

    While it looks for the module to run, sys.argv[0] is "-m".
    """
    if sys.argv[:1] != ["-m"] or "-m" not in sys.orig_argv:
        return False
    after = sys.orig_argv[sys.orig_argv.index("-m") + 1 :]
    return after[:1] == [__package__]
