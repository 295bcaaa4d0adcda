"""``pybackprop info``: versions, the machine, and what the core makes of it."""

from __future__ import annotations

import argparse
import platform
from typing import Any

from ._parser import Commands, add_json, command, print_json

_EPILOG = """\
environment:
  PYBACKPROP_ISA           best instruction set to use: portable, avx2, avx512, amx or neon
  PYBACKPROP_NUM_THREADS   most threads to use (else OMP_NUM_THREADS, else the usable CPUs)

examples:
  PYBACKPROP_ISA=portable pybackprop info
  pybackprop info --json
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Print versions, CPU features, instruction set in use and threads."
    add_json(command(commands, "info", run, summary, _EPILOG))


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from importlib.metadata import version

    import numpy as np

    from .. import cpu_info

    info = cpu_info()
    rows = [
        ("pybackprop", info["version"]),
        ("python", platform.python_version()),
        ("numpy", np.__version__),
        ("cffi", version("cffi")),
        ("system", f"{platform.system()} {platform.machine()}"),
    ]
    rows += [(name, info[name]) for name in info if name != "version"]
    if args.json:
        print_json(dict(rows))
        return 0
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {_text(value)}")
    return 0


def _text(value: Any) -> str:
    """Return a value of `cpu_info` as text."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)
