"""Who competes: the libraries, the ways each is used, and what a way offers to be timed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from .agreement import Evidence
from .workloads import Workload


class Task(Protocol):
    """A workload made ready in a library."""

    unit: int
    """Steps or calls that one repeat of `run` does."""

    compile_seconds: float
    """Time of compilation, where there is one, that is left out of the others."""

    def evidence(self) -> Evidence:
        """Do the work once from the initial state, and return what shows that it is right."""

    def run(self, repeats: int) -> None:
        """Repeat the work, and return when all of it is done."""


@dataclass(frozen=True)
class Library:
    """A library and where its tasks are made.

    Attributes
    ----------
    module : str
        The module of `peers` whose `make(workload, mode, threads)` returns a `Task`.
    packages : tuple of str
        What must be importable; the first is the one whose version is reported.
    """

    module: str
    packages: tuple[str, ...]


LIBRARIES = {
    "pybackprop": Library("own", ("pybackprop",)),
    "torch": Library("torch", ("torch",)),
    "jax": Library("jax", ("jax",)),
    "numpy": Library("numpy", ("numpy",)),
    "sklearn": Library("sklearn", ("sklearn",)),
    "onnxruntime": Library("onnxruntime", ("onnxruntime", "onnx")),
}
OWN = "pybackprop"


@dataclass(frozen=True)
class Contender:
    """A library, used in one way, with a number of threads.

    Attributes
    ----------
    library : str
        A key of `LIBRARIES`.
    mode : str
        The way: step, fit, eager, compile, scan, epoch, predict, out, run, jit, product, call, …
    threads : int or None
        How many threads it may use; None for what the library takes by itself.
    isa : str or None
        The instruction set that PYBACKPROP_ISA caps the core to.
    """

    library: str
    mode: str
    threads: int | None = None
    isa: str | None = None

    @property
    def label(self) -> str:
        """Library, way and instruction set."""
        return " ".join(filter(None, (self.library, self.mode, self.isa)))

    @property
    def threads_text(self) -> str:
        """The number of threads in words."""
        return "default" if self.threads is None else str(self.threads)


def missing(library: str) -> list[str]:
    """Return the packages of a library that are not installed."""
    return [name for name in LIBRARIES[library].packages if find_spec(name) is None]


def make_task(workload: Workload, library: str, mode: str, threads: int | None) -> Task:
    """Return a workload made ready; imports the library."""
    module = import_module(f".peers.{LIBRARIES[library].module}", __package__)
    task: Task = module.make(workload, mode, threads)
    return task


def load(name: str) -> Any:
    """Return a module that may be missing, and has no types to be checked against."""
    return import_module(name)
