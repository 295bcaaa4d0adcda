#!/usr/bin/env python3
"""Fuzz one loader, guided by coverage; see README.md beside this file."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

CORPUS = Path(__file__).parent / "corpus"


def seeds(target: str) -> list[bytes]:
    """A valid input, and the attacks that are small."""
    import attacks_data
    import attacks_models
    import loaders

    kind = target.removesuffix("+header")
    if target != kind:
        return [header_of(kind)]
    attacks = {**attacks_models.ATTACKS, **attacks_data.ATTACKS}.get(kind, {})
    small = [make() for name, make in attacks.items() if "MB" not in name and "million" not in name]
    return [loaders.valid(kind), *(data for data in small if len(data) < 3000)]


def header_of(kind: str) -> bytes:
    import io

    import attacks_models
    import numpy as np

    return np.load(io.BytesIO(attacks_models.members(kind)["header.npy"])).tobytes()


def targets() -> dict[str, Callable[[bytes], tuple[str, bytes]]]:
    """What can be fuzzed: every loader, and the JSON within an archive that is valid otherwise."""
    import attacks_models
    import loaders

    found: dict[str, Callable[[bytes], tuple[str, bytes]]] = {
        kind: lambda data, kind=kind: (kind, data) for kind in loaders.available()
    }
    for kind in ("npz", "npz-optimizer", "checkpoint"):
        found[f"{kind}+header"] = lambda data, kind=kind: (
            kind,
            attacks_models.with_header(data, kind),
        )
    return found


def main() -> None:
    if len(sys.argv) < 2:
        print("usage: fuzz.py TARGET [option of libFuzzer]... [folder of inputs]...")
        print("targets:", *targets())
        return
    import atheris

    target = sys.argv.pop(1)
    parts = ["pybackprop.files", "pybackprop.exchange", "pybackprop.datasets"]
    parts += ["pybackprop.settings", "pybackprop.training", "pybackprop.optimizers", "zipfile"]
    sys.modules.pop("zipfile", None)
    with atheris.instrument_imports(include=parts):
        import loaders
    make = targets()[target]
    warnings.simplefilter("error")
    # One folder for all runs, as libFuzzer ends the process before anything could be removed.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    folder = Path(memory) / f"pybackprop-fuzz-{os.getuid()}-{target}"
    first = folder / "seeds"
    first.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, data in enumerate(seeds(target)):
        (first / f"{number:03d}").write_bytes(data)
    print(json.dumps({"target": target, "seeds": len(list(first.iterdir()))}), flush=True)

    def test_one(data: bytes) -> None:
        kind, whole = make(data)
        loaders.attempt_bytes(kind, whole, folder)

    atheris.Setup([*sys.argv, str(first)], test_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
