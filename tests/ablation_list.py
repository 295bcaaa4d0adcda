"""The mechanisms that ablation.py takes out one by one, and the training that each is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """A text that occurs once in a file of the core, and what stands there without a mechanism."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Workload:
    """A training, and what else goes on meanwhile."""

    name: str
    network: dict[str, Any]
    seconds: float = 0.2  # of a turn
    busy: int = 0  # CPUs on which another process runs, at most
    bursts: bool = False  # whether another process runs for 30 ms of every 230
    at_once: int = 1  # processes that train so at the same time
    fresh: bool = False  # whether each turn is the first of a new process
    quota: float = 0  # CPUs that a control group gives; 0: all
    longest: bool = False  # whether the longest call is measured, instead of the mean
    cpus: int = 1  # that it needs
    isa: str = ""  # the instruction set it is for; "": the best there is
    one_thread: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that choose threads and instructions."""
        chosen = {
            "PYBACKPROP_NUM_THREADS": "1" if self.one_thread else "",
            "PYBACKPROP_ISA": self.isa,
        }
        return {name: value for name, value in chosen.items() if value}


@dataclass(frozen=True)
class Mechanism:
    """Something the core does to be faster, which could be left out."""

    name: str
    about: str
    edits: tuple[Edit, ...]
    workloads: tuple[Workload, ...]


def training(sizes: list[int], batch: int, epochs: int, **others: Any) -> dict[str, Any]:
    """A network and its data, for the worker; `epochs` in a call of fit, 0 for calls of step."""
    usual: dict[str, Any] = {
        "activation": "relu",
        "output": "identity",
        "loss": "mse",
        "dtype": "float32",
        "batches": 8,
    }
    return {**usual, "sizes": sizes, "batch": batch, "epochs": epochs, **others}


CLASSES = {"output": "softmax", "loss": "cross_entropy"}
TABLE = training([54, 256, 256, 256, 7], 64, 8, **CLASSES)
ONE_CALL = training([54, 256, 256, 256, 7], 64, 1, **CLASSES)
WIDE = training([512, 512, 512, 512], 128, 2)
CURVE = training([2, 50, 50, 50, 50, 50, 1], 256, 8, activation="tanh")
REGRESSION = training([784, 1], 256, 30)
DIGITS = training([64, 100, 10], 200, 12, **CLASSES)
CONTROL = training([17, 64, 64, 6], 64, 40, activation="tanh")

MECHANISMS = [
    Mechanism(
        "trial of threads",
        "training tries other numbers of threads, and keeps the fastest (threads/trial.h)",
        (
            Edit(
                "csrc/engine/fit.inc.h",
                "bp_trial_threads(&net->trial, s->fit->batch_size, most)",
                "most",
            ),
        ),
        (
            Workload("54-256x3-7, batch 64, two at once", TABLE, 1, at_once=2, cpus=2),
            Workload("512 wide, batch 128, two at once", WIDE, 1, at_once=2, cpus=2),
            Workload("54-256x3-7, batch 64, one CPU busy", TABLE, 1, busy=1, cpus=2),
            Workload("54-256x3-7, batch 64", TABLE, 1, cpus=2),
        ),
    ),
    Mechanism(
        "place of threads",
        "a helper that shares a CPU with its team moves to another (threads/place.h)",
        (
            Edit(
                "csrc/threads/pool.c",
                "if (!bp_place_avoid(team->cpu, team->members)) bp_place_avoid(team->cpu, member);",
                "",
            ),
        ),
        (
            Workload("54-256x3-7, batch 64, first 0.1 s", ONE_CALL, 0.1, fresh=True, cpus=2),
            Workload("54-256x3-7, batch 64, bursts", TABLE, 1, bursts=True, cpus=2),
            Workload("54-256x3-7, batch 64", TABLE, 1, cpus=2),
            Workload("54-256x3-7, batch 64, two at once", TABLE, 1, at_once=2, cpus=2),
        ),
    ),
    Mechanism(
        "narrow products",
        "vectors run along the rows of a result of few columns (engine/gemm.inc.h)",
        (
            Edit(
                "csrc/engine/gemm.inc.h",
                "n0 == 0 && n1 == p->n && is_narrow(kernels, p)",
                "0",
            ),
        ),
        (
            Workload("2-50x5-1, batch 256", CURVE, one_thread=True),
            Workload("784-1, batch 256", REGRESSION, one_thread=True),
            Workload("784-1, batch 256, AVX2", REGRESSION, isa="avx2", one_thread=True),
        ),
    ),
    Mechanism(
        "half vectors",
        "the last columns of a product take half a vector of AVX-512 (arch/gemm_tile.inc.h)",
        (Edit("csrc/kernels/arch/gemm_tile.inc.h", "#ifdef HALF_VEC", "#undef HALF_VEC\n#if 0"),),
        (
            Workload("17-64-64-6, batch 64", CONTROL, isa="avx512", one_thread=True),
            Workload("2-50x5-1, batch 256", CURVE, isa="avx512", one_thread=True),
        ),
    ),
    Mechanism(
        "short cross entropy",
        "the loss of a row of few classes is computed in registers (arch/losses.inc.h)",
        (
            Edit(
                "csrc/kernels/arch/losses.inc.h",
                "if (V(lanes) > 1 && n <= V(lanes))\n        return V(cross_entropy_short)",
                "if (0)\n        return V(cross_entropy_short)",
            ),
        ),
        (
            Workload("64-100-10, batch 200", DIGITS, one_thread=True),
            Workload(
                "2-16-3, batch 32",
                training([2, 16, 3], 32, 200, **CLASSES),
                one_thread=True,
            ),
        ),
    ),
    Mechanism(
        "control groups, version 1",
        "threads are as many as the quota of such a group gives CPUs (system/cgroup.h)",
        (
            Edit(
                "csrc/system/cgroup.c",
                "if (!has_cpu(controllers)) return 0;",
                "return 0;",
            ),
        ),
        (
            Workload("512 wide, batch 128, one CPU of two", WIDE, 1, quota=1, cpus=2),
            Workload(
                "the same, the longest of the calls of step",
                training([512, 512, 512, 512], 128, 0),
                1,
                quota=1,
                longest=True,
                cpus=2,
            ),
        ),
    ),
]
