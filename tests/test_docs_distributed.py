"""docs/distributed.md: its blocks run, and its launch lines are commands that there are."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from pybackprop.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "distributed.md"

if not PAGE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_blocks_run() -> None:
    text = "\n\n".join(block for block in BLOCKS if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/distributed.md", None, None)
    assert len(test.examples) > 7
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_script_for_ranks_runs_on_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mpi4py")
    import numpy as np

    (script,) = (block for block in BLOCKS if ">>>" not in block)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("table.npz", rows=rng.normal(size=(60, 3)))
    short = script.replace("executor=", "max_epochs=3, executor=")
    try:
        exec(compile(short, str(PAGE), "exec"), {})
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"needs an MPI library: {error}")
    assert capsys.readouterr().out.split()[:3] == ["cost", "std", "epochs"]
    assert (tmp_path / "best.npz").exists()


def test_launch_lines_name_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    started = r"`(?:(?:mpiexec|srun) [^`\n]*)?\bpybackprop ([a-z-]+[^`\n]*)`"
    lines = re.findall(started, PAGE.read_text("utf-8"))
    assert len(lines) > 4
    for line in lines:
        command, *words = line.split()
        assert main([command, "--help"]) == 0
        said = capsys.readouterr().out
        assert all(word in said for word in words if word.startswith("--"))
