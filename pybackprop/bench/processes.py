"""One process for each library and number of threads, of which only one runs at a time.

A process that waits for its turn is stopped (SIGSTOP), so that threads which spin after their work,
as those of OpenBLAS do for a tenth of a second, take nothing from the contender being timed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .contenders import Contender

_THREAD_VARIABLES = (
    "MKL_NUM_THREADS",
    "NPROC",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYBACKPROP_NUM_THREADS",
)


class ProcessError(Exception):
    """A contender's process failed."""


def environment(contender: Contender) -> dict[str, str]:
    """Return the environment of a contender's process.

    By default a library takes as many threads as it likes: variables that would limit them are
    left out.
    """
    env = {name: text for name, text in os.environ.items() if name not in _THREAD_VARIABLES}
    env["JAX_PLATFORMS"] = "cpu"
    # The compiler's own pool of processes would go on after a turn.
    env["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    if contender.threads is not None:
        env.update(dict.fromkeys(_THREAD_VARIABLES, str(contender.threads)))
        if contender.threads == 1:
            flags = f"{env.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
            env["XLA_FLAGS"] = flags.strip()
    if contender.isa is not None:
        env["PYBACKPROP_ISA"] = contender.isa
    return env


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in a process of its own.

    ``python -m`` would look into the current folder first. In a checkout, that has the sources of
    the package, but not its core.
    """
    folder = str(Path(__file__).parents[2])
    code = f"""
import runpy, sys
sys.path[:] = [path for path in sys.path if path]
if {folder!r} not in sys.path:
    sys.path.insert(0, {folder!r})
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
    return [sys.executable, "-c", code, *arguments]


class Process:
    """The process of some contenders."""

    def __init__(self, contender: Contender) -> None:
        threads = contender.threads_text
        log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._log = log
        self._process = subprocess.Popen(
            command("pybackprop.bench.worker", contender.library, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=environment(contender),
        )
        self._stopped = False

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Let the process work on a request alone, and return its answer.

        Raises
        ------
        ProcessError
            The request failed, or the process ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        if self._stopped:
            self._process.send_signal(signal.SIGCONT)
            self._stopped = False
        try:
            stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ProcessError(f"ended: {self._last_words()}")
        self._stop()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ProcessError(answer["error"])
        return answer

    def _stop(self) -> None:
        """Stop the process, where the system can do that, and wait until it has stopped."""
        if hasattr(signal, "SIGSTOP") and hasattr(os, "waitid"):
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            self._stopped = True

    @property
    def ended(self) -> bool:
        """Whether it is there no more."""
        return self._process.poll() is not None

    def _last_words(self) -> str:
        """Return the last line on standard error, or the exit code."""
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().split("\n")
        return next((line for line in reversed(lines) if line.strip()), f"exit code {code}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Processes:
    """The processes of a run, each started when it is first needed."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int | None, str | None], Process] = {}

    def of(self, contender: Contender) -> Process:
        """Return the process of a contender, which others of its library share."""
        key = contender.library, contender.threads, contender.isa
        if key not in self._running:
            self._running[key] = Process(contender)
        return self._running[key]

    def forget_ended(self) -> None:
        """Let processes that have ended be restarted when they are needed again."""
        for key in [key for key, process in self._running.items() if process.ended]:
            self._running.pop(key).close()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._running.values():
            process.close()
        self._running.clear()
