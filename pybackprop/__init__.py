"""Dense neural networks on the CPU, with a C core."""

from ._version import __version__

__all__ = ["__version__"]
