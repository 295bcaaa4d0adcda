"""Load files made to do harm, each in a process of its own whose memory and time are bounded.

Reads lines "kind<TAB>path" and writes for each a line of JSON: what came of it, the processor time
in seconds, and the growth of resident memory in bytes.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import loaders
from loaders import reset_peak, status

# Address space is taken in larger pieces than memory.
ROOM = 160 << 20
SECONDS = 20


def measure(kind: str, path: Path) -> dict[str, Any]:
    limit = status("VmSize") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    before = reset_peak()
    begin = time.process_time()
    try:
        refusal, fault = loaders.attempt(kind, path), None
    except BaseException as error:
        refusal, fault = None, f"{type(error).__name__}: {error}"[:500]
    return {
        "refusal": refusal,
        "fault": fault,
        "seconds": time.process_time() - begin,
        "bytes": status("VmHWM") - before,
    }


def in_child(kind: str, path: Path) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as file:
            json.dump(measure(kind, path), file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    _, code = os.waitpid(child, 0)
    return json.loads(text) if text else {"fault": f"ended with status {code}"}


def main() -> None:
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        for kind in loaders.available():  # so that all modules are there before the forks
            data = loaders.valid(kind)
            assert loaders.attempt_bytes(kind, data, Path(folder)) is None, kind
    for line in sys.stdin:
        kind, _, path = line.rstrip("\n").partition("\t")
        print(json.dumps(in_child(kind, Path(path))), flush=True)


if __name__ == "__main__":
    main()
