"""`pybackprop bench tables`: equal rows for all, hand-computed figures, and what is left out.

The tables and models of most tests are made up, in a package of their own.
"""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pybackprop.bench.processes import Processes
from pybackprop.bench.session import Options, Session
from pybackprop.bench.suites import tables as suite
from pybackprop.bench.tabular import scores
from pybackprop.bench.tabular import table as reading
from pybackprop.bench.tabular.inputs import PREPARE
from pybackprop.bench.tabular.models import MODELS, Model
from pybackprop.bench.tabular.sources import Source
from pybackprop.bench.tabular.table import Table
from pybackprop.bench.tabular.trial import fit, run
from pybackprop.cli import main

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

# Estimators that know little: the shares of the classes, the mean, a target read from an input.
ESTIMATORS = """
import numpy as np

class _Constant:
    def __init__(self, random_state, at=None):
        self.random_state, self.at = random_state, at

    def fit(self, X, y, **more):
        self.y, self.more = y, more
        self.classes_ = np.unique(y)
        return self

class ConstantClassifier(_Constant):
    def predict_proba(self, X):
        shares = [np.mean(self.y == label) for label in self.classes_]
        return np.tile(shares, (len(X), 1))

class ConstantRegressor(_Constant):
    def predict(self, X):
        return np.full(len(X), np.mean(self.y))

class BrokenClassifier(_Constant):
    def fit(self, X, y):
        raise RuntimeError("no memory\\nleft")

class BrokenRegressor(BrokenClassifier):
    pass
"""


def made_up(name: str, task: str = "classification", **more: Any) -> Source:
    return Source(name, "made-up", "made_up", f"{name}.csv", "y", task, "nobody", **more)


CLASSES = made_up("flowers", quick=True)
NUMBERS = made_up("line", "regression", drop=("id", "tells_y"), categorical=("code",))
DAYS = made_up("days", "regression", time="day")
CONSTANT = Model("constant", "made-up", "made_up", "Constant", "native")
BROKEN = replace(CONSTANT, name="broken", estimator="Broken")


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of tables and estimators that this process and its children can import."""
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "__init__.py").write_text(ESTIMATORS)
    rng = np.random.default_rng(0)
    y = np.repeat([3, 1, 2], [240, 100, 60])
    flowers = pd.DataFrame({"size": y + rng.normal(size=400), "color": "red", "y": y})
    flowers.loc[::7, "size"] = np.nan
    flowers.loc[::2, "color"] = "blue"
    flowers.loc[4, "color"] = np.nan
    flowers.to_csv(folder / "flowers.csv", index=False)
    x = rng.normal(size=200)
    line = {"id": range(200), "x": x, "code": np.arange(200) % 3, "tells_y": x, "y": 2.0 * x}
    pd.DataFrame(line).to_csv(folder / "line.csv", index=False)
    day = rng.permutation(40)
    pd.DataFrame({"day": day, "x": 1.0 * day, "y": 1.0 * day}).to_csv(
        folder / "days.csv", index=False
    )
    monkeypatch.delitem(sys.modules, "made_up", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
    )
    monkeypatch.setattr(suite, "SOURCES", (CLASSES, NUMBERS, DAYS))
    monkeypatch.setattr(suite, "MODELS", (CONSTANT, BROKEN))


# ---- reading and dividing ----


def test_what_must_be_no_input_is_none() -> None:
    table = reading.read(NUMBERS)
    assert list(table.x.columns) == ["x", "code"]
    assert table.x["code"].tolist() == [str(at % 3) for at in range(200)]
    assert table.n_classes == 0
    np.testing.assert_allclose(table.y, 2.0 * table.x["x"])
    assert table.title == "200 x 2, numbers"


def test_classes_and_missing_cells() -> None:
    table = reading.read(CLASSES)
    assert table.n_classes == 3
    assert np.bincount(table.y).tolist() == [100, 60, 240]  # in the order of their names
    assert table.x["size"].isna().sum() == 58
    assert table.x["color"].isna().sum() == 1
    assert set(table.x["color"].dropna()) == {"red", "blue"}


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "made_up" / "flowers.csv"
    frame = pd.read_csv(file)
    frame.loc[[0, 99], "y"] = np.nan
    frame.to_csv(file, index=False)
    assert len(reading.read(CLASSES).y) == 398


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (replace(CLASSES, target="z"), "expected a column z, found size, color, y"),
        (replace(CLASSES, file="none.csv"), "made-up has no file none.csv; pip install --upgrade"),
    ],
)
def test_packages_that_have_changed(source: Source, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reading.read(source)


def test_divisions() -> None:
    table = reading.read(CLASSES)
    split = reading.divide(table, 0)
    assert [len(each) for each in split] == [240, 80, 80]
    assert sorted(np.concatenate(split)) == list(range(400))
    assert np.bincount(table.y[split.test]).tolist() == [20, 12, 48]
    assert np.bincount(table.y[split.valid]).tolist() == [20, 12, 48]
    for again, other in zip(reading.divide(table, 0), split, strict=True):
        assert np.array_equal(again, other)
    assert not np.array_equal(reading.divide(table, 1).test, split.test)


def test_of_tables_by_time_the_last_rows_are_predicted() -> None:
    table = reading.read(DAYS)
    assert "day" not in table.x
    assert table.y.tolist() == list(range(40))
    for number in range(3):
        train, valid, test = reading.divide(table, number)
        assert (train.max(), valid.min(), valid.max(), test.min()) == (23, 24, 31, 32)
    assert table.title.endswith("numbers, by time")


def test_rows_of_one_time_are_in_one_part(tmp_path: Path) -> None:
    file = tmp_path / "made_up" / "days.csv"
    frame = pd.read_csv(file)
    frame["day"] //= 7  # days 0 to 5, of seven rows each but for the last
    frame.to_csv(file, index=False)
    table = reading.read(DAYS)
    assert table.time is not None
    parts = [sorted(set(table.time[rows].tolist())) for rows in reading.divide(table, 0)]
    # Three fifths of 40 rows end within day 3, four fifths within day 4.
    assert parts == [[0, 1, 2, 3], [4], [5]]
    frame["day"] //= 4
    frame.to_csv(file, index=False)
    with pytest.raises(ValueError, match="too few times"):
        reading.divide(reading.read(DAYS), 0)


def test_the_digest_tells_rows_cells_and_targets_apart() -> None:
    table = reading.read(CLASSES)
    split = reading.divide(table, 0)
    other = reading.divide(table, 1)
    changed = table.x.copy()
    changed.loc[split.train[0], "color"] = "green"
    found = [
        reading.digest(each, [(rows.train, rows.valid)], rows.test)
        for each, rows in (
            (table, split),
            (table, other),
            (replace(table, x=changed), split),
            (replace(table, y=table.y + 1), split),
            (reading.read(CLASSES), split),
        )
    ]
    assert len(set(found)) == 4
    assert found[-1] == found[0]


def test_folds_have_every_row_but_those_to_be_predicted() -> None:
    table = reading.read(CLASSES)
    split = reading.divide(table, 3)
    parts = reading.folds(table, split, 4, 3)
    everything = set(split.train) | set(split.valid)
    assert sorted(np.concatenate([valid for _, valid in parts])) == sorted(everything)
    for train, valid in parts:
        assert set(train) == everything - set(valid)
        assert np.bincount(table.y[valid]).tolist() == [20, 12, 48]


def test_fewer_rows_are_drawn_from_each_part() -> None:
    table = reading.read(CLASSES)
    split = reading.divide(table, 0)
    some = reading.limit(table, split, 40, 0)
    assert [len(each) for each in some] == [30, 10, 40]
    for part, whole in zip(some, split, strict=True):
        assert (np.diff(part) > 0).all()
        assert set(part) < set(whole)
    # All classes keep their shares.
    assert np.bincount(table.y[some.test]).tolist() == [10, 6, 24]
    assert not np.array_equal(reading.limit(table, split, 40, 1).test, some.test)
    for part, whole in zip(reading.limit(table, split, 400, 0), split, strict=True):
        np.testing.assert_array_equal(part, whole)
    found = run(asdict(CLASSES), asdict(CONSTANT), 0, None, 1, 40)
    assert found["error"] == 0.4
    assert found["digest"] != run(asdict(CLASSES), asdict(CONSTANT), 0, None, 1)["digest"]


# ---- figures, by hand ----


def test_errors() -> None:
    p = np.array([[0.5, 0.5, 0.0], [0.2, 0.7, 0.1], [1.0, 0.0, 0.0]])
    y = np.array([0, 1, 2])
    assert scores.error_rate(p, y) == pytest.approx(1 / 3)
    # Errors of 3 and 4 beside targets that are 5 away from their mean.
    assert scores.relative_rmse(np.array([-2.0, 9.0]), np.array([-5.0, 5.0])) == pytest.approx(
        math.sqrt((9 + 16) / 2) / 5
    )
    assert scores.relative_rmse(np.ones(2), np.ones(2)) == 0.0


def test_standings() -> None:
    errors = {
        "a": {"one": 0.03, "two": 0.15, "three": 0.15},
        "b": {"one": 0.00, "two": 0.00, "three": 0.09},
        "c": {"one": 0.49, "two": 0.35, "three": 0.24},
    }
    found = scores.standings(errors, {"a": True, "b": True, "c": False})
    assert found["one"].classes == pytest.approx(math.sqrt(0.04 * 0.01))
    assert found["two"].classes == pytest.approx(math.sqrt(0.16 * 0.01))
    assert found["one"].numbers == pytest.approx(0.5)
    assert found["three"].all == pytest.approx((0.16 * 0.10 * 0.25) ** (1 / 3))
    assert [each.rank for each in found.values()] == pytest.approx([5.5 / 3, 2.0, 6.5 / 3])
    assert [each.wins for each in found.values()] == [2, 1, 1]
    assert math.isnan(scores.standings({"a": errors["a"]}, {"a": True})["one"].numbers)


# ---- inputs and models ----


@pytest.mark.parametrize("kind", PREPARE)
def test_inputs_are_learnt_from_the_given_rows_alone(kind: str) -> None:
    table = reading.read(CLASSES)
    train, _, test = reading.divide(table, 0)
    transform = PREPARE[kind](table.x.iloc[train], table.y[train], 3)
    whole = pd.DataFrame(transform(table.x.iloc[test]))
    # A row becomes the same whatever stands beside it, with texts and numbers never seen before.
    strange = table.x.copy()
    strange.loc[test[1:], "size"] = 1e6
    strange.loc[test[1:], "color"] = "green"
    found = pd.DataFrame(transform(strange.iloc[test]))
    pd.testing.assert_frame_equal(found.iloc[:1], whole.iloc[:1])
    if kind == "native":
        assert found["c1"].iloc[1:].isna().all()
    if kind in ("own", "scaled"):
        assert np.isfinite(found.to_numpy()).all()


def given_to(predict: Any) -> Any:
    """Return the constant within a fitted model, which has kept what it was given."""
    cells = [cell.cell_contents for cell in predict.__closure__]
    (estimator,) = (each for each in cells if type(each).__name__.startswith("Constant"))
    return estimator


def recorded(stopping: str, **more: Any) -> tuple[Any, Table, Any]:
    """Fit a constant, and return what it was given."""
    table = reading.read(NUMBERS)
    split = reading.divide(table, 0)
    model = replace(CONSTANT, stopping=stopping, **more)
    predict = fit(model, table, split.train, split.valid, 5)
    return given_to(predict), table, (split, predict)


@pytest.mark.parametrize("stopping", ["", "X_val", "eval_set", "joined"])
def test_who_stops_early_gets_the_rows_for_it(stopping: str) -> None:
    estimator, table, (split, _) = recorded(stopping)
    assert estimator.random_state == 5
    more, valid = estimator.more, table.y[split.valid]
    n = len(split.train) + (len(split.valid) if stopping == "joined" else 0)
    assert len(estimator.y) == n
    if stopping == "X_val":
        assert more["y_val"].tolist() == valid.tolist()
        assert more["X_val"]["c0"].tolist() == table.x["x"].iloc[split.valid].tolist()
    elif stopping == "eval_set":
        ((x, y),) = more["eval_set"]
        assert y.tolist() == valid.tolist()
        assert len(x) == len(valid)
    else:
        assert not more


def test_standardised_targets_come_back() -> None:
    estimator, table, (split, predict) = recorded("X_val", scales_target=True)
    y = table.y[split.train]
    assert estimator.y.mean() == pytest.approx(0.0, abs=1e-12)
    assert estimator.y.std() == pytest.approx(1.0)
    np.testing.assert_allclose(estimator.more["y_val"], (table.y[split.valid] - y.mean()) / y.std())
    np.testing.assert_allclose(predict(table.x), y.mean())


def test_a_class_that_was_not_learnt_has_no_probability() -> None:
    table = reading.read(CLASSES)
    train = np.flatnonzero(table.y != 1)
    predict = fit(replace(CONSTANT, stopping="X_val"), table, train, np.arange(400), 0)
    np.testing.assert_allclose(predict(table.x.iloc[:2]), [[25 / 85, 0.0, 60 / 85]] * 2)
    # Nor does it say when to stop.
    assert np.bincount(given_to(predict).more["y_val"]).tolist() == [100, 240]


def test_members_of_folds_are_averaged() -> None:
    table = reading.read(NUMBERS)
    split = reading.divide(table, 2)
    parts = reading.folds(table, split, 3, 2)
    mean = np.mean([table.y[train].mean() for train, _ in parts])
    expected = scores.relative_rmse(np.full(40, mean), table.y[split.test])
    arguments = json.loads(json.dumps([asdict(NUMBERS), asdict(CONSTANT)]))
    assert run(*arguments, 2, 3, None)["error"] == pytest.approx(expected)
    bagged = asdict(replace(CONSTANT, folds=3))
    assert run(arguments[0], bagged, 2, None, None)["error"] == pytest.approx(expected)
    assert run(*arguments, 2, None, None)["error"] != pytest.approx(expected)


def test_threads_reach_the_model() -> None:
    model = replace(CONSTANT, threads="at")
    for threads, expected in ((None, -1), (3, 3)):
        arguments = asdict(model)
        run(asdict(NUMBERS), arguments, 0, None, threads)
        assert arguments["both"]["at"] == expected


def test_boosting_takes_columns_of_many_levels(tmp_path: Path) -> None:
    file = tmp_path / "made_up" / "flowers.csv"
    frame = pd.read_csv(file)
    # Of 260 levels and more, those of the most rows are kept.
    frame["name"] = [f"n{at % 300 if at >= 60 else 0:03}" for at in range(400)]
    frame.to_csv(file, index=False)
    table = reading.read(CLASSES)
    x = PREPARE["native-255"](table.x, table.y, 3)(table.x)
    assert len(x["c2"].cat.categories) == 255
    assert (x["c2"] == "n000").sum() == (table.x["name"] == "n000").sum() > 60
    assert x["c2"].isna().sum() > 0
    boosting = next(each for each in MODELS if each.name == "hist-boosting")
    assert run(asdict(CLASSES), asdict(boosting), 0, None, 1)["error"] < 0.4


@pytest.mark.parametrize("source", [CLASSES, NUMBERS], ids=lambda each: each.name)
@pytest.mark.parametrize(
    "model",
    [each for each in MODELS if each.library in ("pybackprop", "sklearn", "lightgbm")],
    ids=lambda each: each.name,
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:The argument 'eval_set'")
def test_models_beat_the_constant(model: Model, source: Source) -> None:
    pytest.importorskip(model.library)
    constant = run(asdict(source), asdict(CONSTANT), 0, None, 1)
    found = run(asdict(source), asdict(model), 0, None, 1)
    assert found["digest"] == constant["digest"]
    assert found["error"] < constant["error"]


# ---- the command ----


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = main(["bench", "tables", *words, "--json", "-"])
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    assert found["command"] == "tables"
    return found


def test_all_models_get_the_same_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = next(each for each in MODELS if each.name == "pybackprop")
    monkeypatch.setattr(suite, "MODELS", (CONSTANT, own, replace(CONSTANT, name="2", folds=2)))
    found = bench(capsys, "--splits", "2", "--threads", "1", "--only", "flowers", "--only", "line")
    trials = found["figures"]["trials"]
    assert len(trials) == 2 * 2 * 3
    assert {trial["status"] for trial in trials} == {"ok"}
    rows: dict[tuple[str, int], set[str]] = {}
    for trial in trials:
        rows.setdefault((trial["table"], trial["split"]), set()).add(trial["found"]["digest"])
        assert ("log_loss" in trial["found"]) == (trial["table"] == "flowers")
        assert trial["found"]["train_seconds"] > 0.0
    assert [len(each) for each in rows.values()] == [1] * 4
    assert len(set.union(*rows.values())) == 4
    standings = found["figures"]["standings"]
    assert standings["pybackprop"]["wins"] == 2
    errors = [
        trial["found"]["error"]
        for trial in trials
        if (trial["table"], trial["model"]) == ("flowers", "pybackprop")
    ]
    expected = scores.shifted_geometric_mean([sum(errors) / 2])
    assert standings["pybackprop"]["classes"] == pytest.approx(expected)
    assert {"pybackprop", "numpy", "pandas", "scikit-learn"} <= set(found["machine"]["versions"])


def test_a_model_that_fails_does_not_end_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "tables", "--quick", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "broken failed on flowers: RuntimeError: no memory left" in out
    assert "| flowers: 400 x 2, 3 classes | 0.4000 | - |" in out
    assert "| constant | 0.4100 | - | 0.4100 |" in out  # no table of numbers was learnt
    assert "| broken | 0" not in out  # nor has it a rank
    assert "line:" not in out  # too slow for a quick run


def test_a_model_with_other_rows_has_no_figure() -> None:
    class Canned:
        """A process of each model, in one of which the rows differ."""

        def __init__(self) -> None:
            self.digests = iter("aab")

        def of(self, contender: Any) -> Any:
            return self

        def ask(self, what: str, **request: Any) -> dict[str, Any]:
            return {"found": {"digest": next(self.digests), "error": 0.5}}

    models = [replace(CONSTANT, name=name) for name in "xyz"]
    session = Session(Options(threads=(None,)), Canned(), lambda line: None)  # type: ignore[arg-type]
    found = suite.compare(CLASSES, models, 0, session)
    assert [each.status for each in found] == ["ok", "ok", "disagrees"]


def test_what_is_not_installed_is_named_with_what_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = replace(NUMBERS, name="far", package="islp", module="no_such_package")
    peer = replace(CONSTANT, name="trees", install="many-trees", module="no_such_trees.all")
    monkeypatch.setattr(suite, "SOURCES", (CLASSES, absent, replace(absent, name="away")))
    monkeypatch.setattr(suite, "MODELS", (CONSTANT, peer))
    notes = bench(capsys, "--splits", "1")["notes"]
    assert "tables left out: far, away (pip install --no-deps islp)" in notes
    assert "models left out: trees (pip install many-trees)" in notes
    assert main(["bench", "tables", "--only", "far"]) == 2
    assert "pip install --no-deps islp" in capsys.readouterr().err


def test_tables_that_not_all_have_learnt_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with Processes() as processes:
        report = Session(Options(), processes, lambda line: None).report("tables")

    def trial(table: str, model: str, error: float | None) -> suite.Trial:
        times = {"train_seconds": 1.0, "predict_seconds": 1.0, "title": "", "log_loss": 0.5}
        if error is None:
            return suite.Trial(table, model, 0, "failed", "why")
        return suite.Trial(table, model, 0, found={**times, "error": error})

    errors = {"a": (0.09, 0.19, None), "b": (0.29, None, None), "c": (0.0, 0.0, None)}
    trials = [
        trial(table, model, error)
        for table, found in errors.items()
        for model, error in zip(("one", "two", "never"), found, strict=True)
    ]
    suite.summarize(report, trials, dict.fromkeys("abc", True))
    standings = report.figures["standings"]
    assert set(standings) == {"one", "two"}
    assert standings["one"]["all"] == pytest.approx(math.sqrt(0.10 * 0.01))
    assert standings["two"]["all"] == pytest.approx(math.sqrt(0.20 * 0.01))
    # No table of numbers was learnt; JSON knows no NaN.
    assert standings["one"]["numbers"] is None
    json.loads(report.json(), parse_constant=pytest.fail)
    shown = [table.text() for table in report.tables]
    assert [line.split()[1:] for line in shown[0].splitlines()[2:]] == [
        ["0.0900", "0.1900", "-"],
        ["0.2900", "-", "-"],
        ["0.0000", "0.0000", "-"],
    ]
    assert "never" not in shown[-1]
    assert not any("nan" in text for text in shown)


def test_two_models_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    with Processes() as processes:
        report = Session(Options(), processes, lambda line: None).report("tables")
    errors = {"a": (0.09, 0.04), "b": (0.0, 0.0), "c": (0.39, 0.19), "d": (0.29, 0.59)}
    trials = [
        suite.Trial(
            table,
            model,
            0,
            found={
                "title": "",
                "train_seconds": 1.0,
                "predict_seconds": 1.0,
                "error": error,
                "log_loss": 0.19 + 0.2 * (model == "two"),
            },
        )
        for table, found in errors.items()
        for model, error in zip(("one", "two"), found, strict=True)
    ]
    suite.summarize(report, trials, {"a": True, "b": True, "c": True, "d": False})
    found = report.figures["comparison"]
    # Of 0.10, 0.01 and 0.40 and of 0.05, 0.01 and 0.20, one over the other.
    expected = pytest.approx(0.25 ** (1 / 3))
    assert found["error of classes"] == {"tables": 3, "lower": 2, "equal": 1, "ratio": expected}
    assert found["log loss"] == {"tables": 3, "lower": 0, "equal": 0, "ratio": pytest.approx(2.0)}
    assert found["error of numbers"]["ratio"] == pytest.approx(2.0)
    assert "**two against one**" in report.markdown()
    assert "| log loss | 3 | 0 | 0 | 2.000 |" in report.markdown()


def test_the_second_model_is_the_one_named_second() -> None:
    one, two = replace(CONSTANT, name="one"), replace(CONSTANT, name="two")
    for wanted, found in ((("two", "one", "two"), [two, one]), ((), [one, two])):
        assert suite.select("--models", (one, two), wanted) == found


def test_some_models_take_part_only_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "MODELS", (CONSTANT, replace(CONSTANT, name="2", by_name=True)))
    words = "--splits", "1", "--only", "flowers", "--rows", "100"
    for more, names in ((), {"constant"}), (("--models", "2"), {"2"}):
        found = bench(capsys, *words, *more)
        assert {trial["model"] for trial in found["figures"]["trials"]} == names
        assert any("100 rows at most" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows", "99"], "--rows"),
        (["--only", "none-such"], "--only: expected some of flowers, line, days, got none-such"),
        (["--models", "constant,x"], "--models: expected some of constant, broken, got x"),
        (["--splits", "0"], "--splits"),
        (["--folds", "1"], "--folds"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_wrong_arguments(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "tables", *words]) == 2
    assert message in capsys.readouterr().err
