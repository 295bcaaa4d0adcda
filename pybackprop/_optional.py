"""Optional packages, and what to say when one is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def optional(package: str, purpose: str, modules: tuple[str, ...] = ()) -> Iterator[None]:
    """Context manager for importing an optional package.

    If the import fails, the error names the package and how to install it.

    Parameters
    ----------
    package : str
        What pip calls it.
    purpose : str
        What needs it, as the subject of a sentence.
    modules : tuple of str, optional
        The modules that it and its dependencies provide; by default one of the same name.

    Raises
    ------
    ModuleNotFoundError
        One of these modules is not installed.
    ImportError
        One of them is installed but lacks the imported name, so that it is too old or damaged.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in (modules or (package,)):
            raise
        if isinstance(error, ModuleNotFoundError):
            message = f"{purpose} needs {package}: pip install {package}"
            raise ModuleNotFoundError(message, name=error.name) from error
        raise ImportError(
            f"{purpose} needs a newer {package} ({error}): pip install --upgrade {package}",
            name=error.name,
        ) from error
