"""What commands print: every character in every encoding, and readers that go away."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

SIGMA, SNOW = "Σίγμα", "雪"  # beyond ASCII, and beyond Latin-1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tables, and the models that were trained on them."""
    folder = tmp_path_factory.mktemp("tables")
    x = np.linspace(0.0, 1.0, 60)
    numbers = [f"{a:.3f},{2 * a + 1:.3f}" for a in x]
    (folder / "numbers.csv").write_text("\n".join(["x,y", *numbers]), encoding="utf-8")
    classes = [f"{a:.3f},{SIGMA if a < 0.5 else SNOW}" for a in x]
    (folder / "classes.csv").write_text("\n".join(["x,kind", *classes]), encoding="utf-8")
    for name in ("numbers", "classes"):
        assert run(folder, *train(name)).returncode == 0
    return folder


def train(name: str, *options: str) -> list[str]:
    return ["train", f"{name}.csv", "--epochs", "2", "--save", f"{name}.npz", *options]


def run(folder: Path, *words: str, encoding: str = "utf-8", **options: Any) -> Any:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-m", "pybackprop", *words],
        cwd=folder,
        env=environment,
        capture_output=not options,
        **options,
    )


COMMANDS = {
    "train numbers": ["train", "numbers.csv", "--epochs", "2", "--save", "new.npz"],
    "train classes": ["train", "classes.csv", "--epochs", "2", "--save", "new.npz"],
    "evaluate numbers": ["evaluate", "numbers.npz", "numbers.csv"],
    "evaluate classes": ["evaluate", "classes.npz", "classes.csv"],
    "predict": ["predict", "classes.npz", "classes.csv"],
    "predict numbers": ["predict", "numbers.npz", "numbers.csv"],
    "show": ["show", "classes.npz", "--data", "classes.csv", "--save", "Σ.html"],
    "check": ["check", "classes.npz"],
    "export": ["export", "classes.npz", "--to", "c", "--output", "Σ.c"],
    "info": ["info"],
    "help": ["evaluate", "--help"],
    "a wrong argument": ["info", "--Σ"],
    "a missing file": ["evaluate", "Σ.npz", "numbers.csv"],
}


@pytest.fixture(scope="module", params=COMMANDS.values(), ids=COMMANDS)
def command(request: Any, folder: Path) -> tuple[list[str], Any]:
    """A command, and how it ends where everything can be printed."""
    return request.param, run(folder, *request.param)


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1"])
def test_every_command_prints_in_every_encoding(
    folder: Path, command: tuple[list[str], Any], encoding: str
) -> None:
    words, expected = command
    (folder / "new.npz").unlink(missing_ok=True)
    found = run(folder, *words, encoding=encoding)
    assert found.returncode == expected.returncode
    assert (folder / "new.npz").exists() == (words[0] == "train")
    codec = encoding.partition(":")[0]
    for ours, theirs in ((found.stdout, expected.stdout), (found.stderr, expected.stderr)):
        wanted = theirs.decode().encode(codec, "backslashreplace")
        assert without_times(ours) == without_times(wanted)


def without_times(text: bytes) -> bytes:
    """Leave out what no two runs of `train` have in common."""
    return re.sub(
        rb"(?m)^(seconds|examples per second) .*$|[\d.,]+(batch/s|s/batch)|\r.*", b"", text
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_json_in_every_encoding(folder: Path, encoding: str) -> None:
    found = run(folder, "evaluate", "classes.npz", "classes.csv", "--json", encoding=encoding)
    assert found.returncode == 0
    assert set(json.loads(found.stdout.decode(encoding))["recall"]) == {SIGMA, SNOW}


def closed_pipe() -> int:
    """Return the end to write to of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.skipif(sys.platform == "win32", reason="pipes fail otherwise there")
def test_nobody_reads_what_commands_print(folder: Path, command: tuple[list[str], Any]) -> None:
    """As in `pybackprop train ... 2>&1 | head -1`: the work is done all the same."""
    words, expected = command
    (folder / "new.npz").unlink(missing_ok=True)
    pipe = closed_pipe()
    try:
        assert run(folder, *words, stdout=pipe, stderr=pipe).returncode == expected.returncode
    finally:
        os.close(pipe)
    assert (folder / "new.npz").exists() == (words[0] == "train")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes fail otherwise there")
@pytest.mark.parametrize("name", ["info", "train classes"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nothing_is_said_of_a_reader_that_has_gone(
    folder: Path, name: str, unbuffered: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    (folder / "new.npz").unlink(missing_ok=True)
    pipe = closed_pipe()
    try:
        found = run(folder, *COMMANDS[name], stdout=pipe, stderr=subprocess.PIPE)
    finally:
        os.close(pipe)
    assert found.returncode == 0
    assert re.search(rb"[Ee]rror|[Ee]xception", found.stderr) is None
    assert (folder / "new.npz").exists() == name.startswith("train")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_reported_and_loses_nothing(
    folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "")
    (folder / "new.npz").unlink(missing_ok=True)
    with open("/dev/full", "wb") as full:
        found = run(folder, *COMMANDS["train numbers"], stdout=full, stderr=subprocess.PIPE)
    assert found.returncode == 2
    assert found.stderr.decode().splitlines()[-1].startswith("pybackprop: error: [Errno 28]")
    bp.Network.load(folder / "new.npz")


def test_a_closed_display_does_not_end_a_fit(monkeypatch: Any) -> None:
    class Closed:
        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    x = np.zeros((8, 2), np.float32)
    for tqdm in (None, sys.modules.get("tqdm", False)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", Closed())
            if tqdm is None:
                for name in ("tqdm", "tqdm.auto"):
                    patch.setitem(sys.modules, name, None)
            history = bp.Network([2, 1], seed=0).fit(x, x[:, 0], epochs=3, progress=True)
        assert len(history) == 3


def test_examples_with_numbers_as_targets_are_shown_in_their_order(tmp_path: Path) -> None:
    rows = [f"{x},{(7 * x) % 50}.5" for x in range(60)]
    (tmp_path / "numbers.csv").write_text("\n".join(["x,y", *rows]), encoding="utf-8")
    assert run(tmp_path, *train("numbers")).returncode == 0
    words = ["show", "numbers.npz", "--data", "numbers.csv", "--save", "page.html"]
    assert run(tmp_path, *words).returncode == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = [float(y) for y in re.findall(r'"y":\[([-.\d]+)\]', page)]
    assert shown[:3] == [0.5, 7.5, 14.5]
