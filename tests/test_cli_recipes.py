"""`train --recipe`: the constants of a recipe on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pybackprop import Network
from pybackprop.cli import main
from pybackprop.datasets import load_csv

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*argv: Any) -> tuple[int, str, str]:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A table with a number, a text and gaps, whose price they tell, and whether it is dear."""
    rng = np.random.default_rng(0)
    lines = ["area,place,price,dear"]
    for at in range(240):
        area, place = rng.normal(100, 20), ["sea", "hill", ""][at % 3]
        price = 10 * area + 300 * (place == "sea") + 20 * rng.normal()
        dear = "yes" if price > 1_100 else "no"
        lines.append(f"{'' if at % 19 == 0 else f'{area:.2f}'},{place},{price:.1f},{dear}")
    path = tmp_path / "houses.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def train(run: Run, *argv: Any) -> dict[str, Any]:
    code, out, err = run("train", *argv, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_saved_model_of_the_recipe_predicts(run: Run, houses: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    found = train(
        run, houses, "--target", "price", "--ignore", "dear", "--recipe", "realmlp-s",
        "--epochs", 40, "--save", path,
    )  # fmt: skip
    assert found["network"].startswith("Network(5 -> 256 mish -> 256 mish -> 256 mish -> 1")
    assert found["epochs"] == 40
    assert found["held_out"]["rmse"] < 0.5 * found["baseline"]["rmse"]
    net = Network.load(path)
    assert net.scaling is None
    assert net.metadata["encoding"]["scaling"]
    code, out, err = run("predict", path, houses)
    assert code == 0, err
    rows = [float(line) for line in out.splitlines()[1:]]
    y = load_csv(houses, "price").y
    assert 1 - ((rows - y) ** 2).mean() / y.var() > 0.8


def test_classes_folds_metric_and_refit(run: Run, houses: Path, tmp_path: Path) -> None:
    common = (houses, "--ignore", "price", "--recipe", "realmlp-s", "--hidden", 16, 16)
    path = tmp_path / "m.npz"
    found = train(
        run, *common, "--epochs", 30, "--folds", 2, "--metric", "accuracy", "--save", path
    )
    assert found["network"].startswith("Network(5 -> 16 selu -> 16 selu -> 2 softmax")
    assert found["held_out"]["accuracy"] > 0.8
    assert Network.load(path).label_smoothing == 0.1
    found = train(run, *common, "--epochs", 30, "--refit", "--save", path)
    net = Network.load(path)
    assert net.label_smoothing == 0.01
    np.testing.assert_allclose(np.array(net.lr_factors)[:, 1], 0.1)
    np.testing.assert_allclose(np.array(net.lr_factors)[:, 0], 1 / np.sqrt([5, 16, 16]))
    assert run("predict", path, houses)[0] == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--ignore", "price"),
        ("--ignore", "price", "--metric", "accuracy"),
        ("--ignore", "price", "--patience", 0),
        ("--ignore", "price", "--refit"),
        ("--target", "price", "--ignore", "dear"),
        ("--target", "price", "--ignore", "dear", "--metric", "mae"),
        ("--target", "price", "--ignore", "dear", "--hidden"),
    ],
    ids=str,
)
def test_the_saved_model_keeps_the_factors_of_its_inputs(
    run: Run, houses: Path, tmp_path: Path, options: Any
) -> None:
    path = tmp_path / "m.npz"
    small = () if "--hidden" in options else ("--hidden", 16)
    train(run, houses, *options, *small, "--recipe", "realmlp-s", "--epochs", 12, "--save", path)
    net = Network.load(path)
    assert net.input_scales is not None
    assert np.abs(net.input_scales - 1.0).max() > 0.01
    assert net.input_scale_factors == (6.0, 1.0, 1.0)
    assert np.array(net.lr_factors)[0, 1] == pytest.approx(0.1)
    n_in = net.widths[0]
    w = net._net.trained()[n_in : n_in + net.weights[0].size].reshape(net.weights[0].shape)
    np.testing.assert_array_equal(net.weights[0], w * net.input_scales)


def test_options_take_the_place_of_constants(run: Run, houses: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    found = train(
        run, houses, "--ignore", "price", "--recipe", "realmlp-s", "--hidden", 8, "--activation",
        "tanh", "--scaling", "standard", "--epochs", 3, "--lr", 0.01, "--label-smoothing", 0.2,
        "--schedule", "constant", "--optimizer", "adam", "--save", path,
    )  # fmt: skip
    assert found["network"].startswith("Network(5 -> 8 tanh -> 2 softmax")
    assert found["epochs"] == 3
    net = Network.load(path)
    assert net.label_smoothing == 0.2
    assert net.scaling is not None
    assert "scaling" not in net.metadata["encoding"]


def test_plain_is_the_default(run: Run, houses: Path) -> None:
    common = (houses, "--ignore", "price", "--epochs", 4)
    one, other = train(run, *common), train(run, *common, "--recipe", "plain")
    assert one["network"].startswith("Network(5 -> 128 relu -> 128 relu -> 2 softmax")
    assert one["held_out"] == other["held_out"]
    assert train(run, *common, "--recipe", "realmlp-s")["held_out"] != one["held_out"]


def test_what_a_recipe_is_not_for_is_refused(run: Run, houses: Path) -> None:
    code, _, err = run("train", "digits", "--recipe", "realmlp-s")
    assert code != 0
    assert "--recipe realmlp-s is for tables, but digits is none" in err
    for other in ("sgd", "adamw"):
        code, _, err = run("train", houses, "--recipe", "realmlp-s", "--optimizer", other)
        assert code != 0
        assert f"--recipe realmlp-s needs --optimizer adam, got {other}" in err
    code, _, err = run("train", houses, "--recipe", "realmlp")
    assert code != 0
    assert "plain" in err
    assert "realmlp-s" in err
