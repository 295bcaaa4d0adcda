"""The thread limit of the core, seen and set through threadpoolctl."""

from __future__ import annotations

import sys
from typing import Any

from ._version import __version__
from .runtime import cpu_info, get_threads, set_threads

__all__ = ["register_threadpoolctl"]

# The file name of the extension module, by which threadpoolctl finds it among loaded libraries.
_PREFIX = "_pybackprop_core"

# threadpoolctl itself, once it knows the core; registering twice would list the core twice.
_registered: list[Any] = []


def _controller(base: Any) -> Any:
    """Return the subclass of threadpoolctl's LibController for the core."""

    class PybackpropController(base):  # type: ignore[misc]
        """Goes through the Python interface: the module exports no symbol to look up."""

        user_api = "pybackprop"
        internal_api = "pybackprop"
        filename_prefixes = (_PREFIX,)

        def get_num_threads(self) -> int:
            return get_threads()

        def set_num_threads(self, num_threads: int) -> None:
            set_threads(num_threads)

        def get_version(self) -> str:
            return __version__

        def set_additional_attributes(self) -> None:
            self.isa = cpu_info()["isa"]

    return PybackpropController


def register_threadpoolctl() -> bool:
    """Let threadpoolctl see and set the thread limit, if it is loaded.

    `threadpoolctl.threadpool_info()` then lists the core, as user API "pybackprop", and
    `threadpoolctl.threadpool_limits` covers it. The limit is that of the whole process. Importing
    pybackprop or `pybackprop.sklearn` after threadpoolctl does this automatically; call this
    function if threadpoolctl was imported later.

    Returns
    -------
    bool
        Whether the core is registered: False if threadpoolctl is not loaded, or is older than 3.2
        and cannot register libraries.
    """
    module = sys.modules.get("threadpoolctl")
    if module is None or not hasattr(module, "register"):
        return False
    if module not in _registered:
        _registered.append(module)
        module.register(_controller(module.LibController))
    return True
