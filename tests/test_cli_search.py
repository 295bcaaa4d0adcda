"""``pybackprop search``: what it prints and saves, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pybackprop import Network, datasets
from pybackprop.cli import main

Run = Callable[..., tuple[int, str, str]]
SHORT = ("--max-epochs", 3, "--hidden", 8, "16x8")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*argv: Any) -> tuple[int, str, str]:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def test_a_search_prints_a_table_and_saves_a_model(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "iris.npz"
    code, out, err = run("search", "iris", "--max-epochs", 27, "--save", path, "--rows", 4)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("iris: 49 candidates on 3 folds of 120 examples, ")
    assert lines[2].split() == ["cost", "std", "epochs", "widths", "lr", "l2", "dropout"]
    assert len(lines[3:7]) == 4
    assert "held out: cost 0." in out
    assert "epoch" in err
    data = datasets.load("iris")
    accuracy = (Network.load(path).predict(data.x).argmax(1) == data.y).mean()
    assert accuracy > 0.9


def test_numbers_are_predicted_in_raw_units(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = 5000 + 300 * x[:, 0] - 100 * x[:, 1] ** 2
    table, path = tmp_path / "table.csv", tmp_path / "model.npz"
    rows = "\n".join(",".join(map(str, [*a, b])) for a, b in zip(x, y, strict=True))
    table.write_text(f"a,b,c,price\n{rows}\n")
    code, out, _ = run(
        "search", table, "--max-epochs", 81, "--method", "halving", "--lr", "1e-3:1e-1",
        "--l2", 0, "--dropout", 0, "--hidden", 16, "--save", path, "--n", 9,
    )  # fmt: skip
    assert code == 0
    assert "R² 0.9" in out
    assert np.abs(Network.load(path).predict(x)[:, 0] - y).mean() < 60


def test_json_has_every_candidate(run: Run) -> None:
    code, out, err = run("search", "iris", *SHORT, "--method", "random", "--n", 5, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert len(found["candidates"]) == 5
    assert found["best"] == found["candidates"][0]
    assert found["epochs"] == 5 * 3 * 3
    assert {tuple(each["settings"]["widths"]) for each in found["candidates"]} <= {(8,), (16, 8)}
    again = run("search", "iris", *SHORT, "--method", "random", "--n", 5, "--json")[1]
    assert json.loads(again) == found


def test_a_picture_is_drawn(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "search.png"
    assert run("search", "iris", *SHORT, "--picture", path)[0] == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--lr", "1e-1:1e-3"), "expected LOW:HIGH in this order"),
        (("--lr", "0:1"), "--lr: the lower end must be above 0"),
        (("--dropout", "0:1"), "expected a number >= 0 and < 1"),
        (("--hidden", "8x0"), "expected an integer >= 1"),
        (("--folds", 1), "expected an integer >= 2"),
        (("--save", "a.onnx"), "--save"),
        (("--save", "/no/such/folder/a.npz"), "--save: no file can be written at"),
        (("--picture", "/"), "--picture: no file can be written at"),
        (("--n", 5), "--n does not apply to hyperband"),
        (("--folds", 500), "folds must be at most the number of rows"),
    ],
)
def test_wrong_options_are_named(run: Run, arguments: tuple[Any, ...], text: str) -> None:
    code, out, err = run("search", "iris", *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1


def test_jobs_are_processes_with_the_same_results(run: Run) -> None:
    arguments = ("search", "iris", *SHORT, "--method", "halving", "--n", 4, "--json")
    wanted = run(*arguments)
    assert run(*arguments, "--jobs", 2) == wanted
