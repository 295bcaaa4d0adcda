"""What the figures of a run depend on: CPU, compiler, versions and date."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..runtime import cpu_info
from .contenders import LIBRARIES

_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def describe() -> dict[str, Any]:
    """Return the machine and the versions of everything that may compete.

    Returns
    -------
    dict
        `date` (UTC, ISO 8601), `cpu`, `cpus`, `isa`, `available`, `caches`, `ways`, `compiler`,
        `system`, `python`, `versions` (by package, None where not installed) and `load` (the load
        average of the last minute, None where the system has none).
    """
    info = cpu_info()
    packages = [name for library in LIBRARIES.values() for name in library.packages]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": info["brand"],
        "cpus": info["cpus"],
        "isa": info["isa"],
        "available": list(info["available"]),
        "caches": info["caches"],
        "ways": info["ways"],
        "compiler": info["compiler"],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(packages),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each package, None where it is not installed."""
    return {name: _version(name) for name in packages}


def _version(package: str) -> str | None:
    if package == "pybackprop":
        return str(cpu_info()["version"])
    try:
        return version(_DISTRIBUTIONS.get(package, package))
    except PackageNotFoundError:
        return None
