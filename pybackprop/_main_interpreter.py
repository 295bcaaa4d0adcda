"""Refuses subinterpreters.

Imported before NumPy, because some NumPy releases fail in subinterpreters.
"""

from importlib import import_module


def _is_main_interpreter() -> bool:
    """Return whether this is the first interpreter of the process."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True


if not _is_main_interpreter():
    # The core would call a loss in the main interpreter, where the function does not exist.
    raise ImportError("pybackprop does not support subinterpreters; use processes or threads")
