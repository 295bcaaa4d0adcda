"""Tables on the command line: what is told of them, when training stops, and predicting."""

import io
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pybackprop import Network
from pybackprop.cli import _fitting, main
from pybackprop.cli._report import figures_of
from pybackprop.datasets import Dataset
from pybackprop.recipes import recipe_of
from pybackprop.scores import log_loss

SHOPS = ("north", "south", "east")


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run_command(*argv):
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def write_sales(path, n=300, seed=0, noise=0.3):
    """Write a table with a number, a shop, a date, gaps, and whether a customer came again."""
    rng = np.random.default_rng(seed)
    spent, shop = rng.normal(50, 10, n), rng.integers(0, 3, n)
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, n)
    again = (spent - 50) / 10 + shop - 1 + noise * rng.standard_normal(n) > 0
    lines = ["customer,spent,shop,day,again"]
    for at in range(n):
        amount = "" if at % 11 == 0 else f"${spent[at]:.2f}"
        name = SHOPS[shop[at]]
        lines.append(f"c{at}x{seed},{amount},{name},{day[at]},{'yes' if again[at] else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def sales(tmp_path):
    return write_sales(tmp_path / "sales.csv")


def as_json(run, *argv):
    code, out, err = run(*argv, "--json")
    assert code == 0, err
    return json.loads(out)


def test_label_smoothing_is_saved_and_leaves_the_score_alone(run, sales, tmp_path):
    path = tmp_path / "net.npz"
    found = as_json(run, "train", sales, "--label-smoothing", "0.1", "--save", path)
    assert Network.load(path).label_smoothing == 0.1
    # The cost has the smoothing, the log loss of the report has not.
    assert found["held_out"]["cost"] > found["held_out"]["log_loss"]
    checkpoint = ("--checkpoint", tmp_path / "c.npz")
    assert as_json(run, "train", sales, "--label-smoothing", "0.1", *checkpoint) is not None
    for options, message in (
        (("--loss", "mse"), "--label-smoothing is for the loss cross_entropy, but the loss is mse"),
        (("--target", "spent"), "--label-smoothing is for the loss cross_entropy"),
    ):
        code, _, err = run("train", sales, "--label-smoothing", "0.1", *options)
        assert code != 0
        assert message in err
    code, _, err = run("train", sales, "--label-smoothing", "2")
    assert code == 2
    assert "expected a number >= 0 and < 1, got '2'" in err


def test_label_smoothing_keeps_a_model_of_a_rare_class(run, tmp_path):
    """By plain log loss, what smoothed targets teach is worse than the constant."""
    path = tmp_path / "rare.csv"
    x = np.random.default_rng(0).standard_normal((2000, 2))
    lines = [f"{a},{b},{'xy'[int(a > 2.2)]}" for a, b in x]
    path.write_text("\n".join(["a,b,kind", *lines]) + "\n")
    options = ("--target", "kind", "--label-smoothing", "0.3", "--epochs", "20")
    found = as_json(run, "train", path, *options)
    assert found["kept_constant"] is False
    assert found["held_out"]["auc"] > 0.95
    held, baseline = found["held_out"], found["baseline"]
    assert held["log_loss"] > baseline["log_loss"]
    assert held["smoothed_log_loss"] == pytest.approx(held["cost"], rel=1e-5)
    share = np.mean(x[:, 0] > 2.2)
    of_one = -np.log(0.7 * np.array([1 - share, share]) + 0.15)
    expected = 0.7 * np.dot([1 - share, share], of_one) + 0.3 * of_one.mean()
    assert baseline["smoothed_log_loss"] == pytest.approx(expected, rel=0.02)
    assert found["warning"] is None
    found = as_json(run, "train", path, *options, "--class-weight", "y=5")
    assert "weighted_log_loss" not in found["held_out"]
    assert found["baseline"]["smoothed_log_loss"] > baseline["smoothed_log_loss"] + 0.05


def test_the_constant_to_start_from_is_smoothed():
    net = Network([2, 3], output="softmax", loss="cross_entropy", label_smoothing=0.3, seed=0)
    data = Dataset(
        np.zeros((10, 2)),
        np.repeat([0, 1], [7, 3]),
        "classification",
        ("u", "v"),
        ("k",),
        ("a", "b", "c"),
    )
    _fitting._start_from_constant(net, data, recipe_of("plain", 10, True, "log_loss"), None)
    expected = 0.7 * np.array([0.7, 0.3, 0.0]) + 0.1
    np.testing.assert_allclose(net.predict(data.x)[0], expected, rtol=1e-6)


def test_the_smoothed_log_loss_is_the_cost_of_the_network():
    net = Network([2, 3], output="softmax", loss="cross_entropy", label_smoothing=0.3, seed=0)
    x, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 3
    found = log_loss(net.predict(x).astype(float), y, label_smoothing=0.3)
    assert found == pytest.approx(net.cost(x, y), rel=1e-5)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 1.0])])
def test_figures_take_each_row_once_for_the_outputs(weights):
    rows = []

    class Counted(Network):
        def predict(self, X):
            rows.append(("predict", len(X)))
            return super().predict(X)

        def cost(self, X, y, sample_weight=None):
            rows.append(("cost", len(X)))
            return super().cost(X, y, sample_weight)

    net = Counted([2, 3], output="softmax", loss="cross_entropy", label_smoothing=0.3, seed=0)
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(20, 2)), np.arange(20) % 3
    held = {"x_test": rng.normal(size=(9, 2)), "y_test": np.arange(9) % 3}
    data = Dataset(*parts, "classification", ("u", "v"), ("k",), ("a", "b", "c"), **held)
    history = SimpleNamespace(cost=[1.0], seconds=[1.0])
    found = figures_of(data, _fitting.Trained(net, history, 1.0, 2.0, 1, False), weights)
    expected = [("cost", 9), ("cost", 20), ("predict", 9), ("predict", 20)]
    # The cost with the weights of the classes is another one.
    assert sorted(rows) == sorted([*expected, *([] if weights is None else [("cost", 20)])])
    given = None if weights is None else weights[data.y]
    of_train = log_loss(net.predict(data.x).astype(float), data.y, given, label_smoothing=0.3)
    assert found["train"]["smoothed_log_loss"] == pytest.approx(of_train, rel=1e-6)


def test_the_report_tells_what_each_column_became_and_why(run, sales):
    code, out, _ = run("train", sales)
    assert code == 0
    lines = out.splitlines()
    assert re.fullmatch(r"column +read as +inputs +why", lines[1])
    told = {line.split()[0]: line for line in lines[2:6]}
    assert (
        "left out       0  it identifies rows: 240 different texts in 240 rows" in told["customer"]
    )
    assert re.search(r"number +2  amounts of money; \d+ missing, replaced by the", told["spent"])
    assert re.search(r"category +3  texts", told["shop"])
    assert re.search(r"date +10  dates; as day number, time of the year, weekday", told["day"])
    assert lines[6] == ""
    for title in ("log loss", "AUC", "balanced accuracy", r"F1 \(macro\)", "accuracy"):
        assert re.search(rf"^{title} +\S+ +\S+ +\S+$", out, re.M), title
    found = as_json(run, "train", sales)
    assert [each["name"] for each in found["columns"]] == ["customer", "spent", "shop", "day"]
    assert found["held_out"]["log_loss"] < 0.7 * found["baseline"]["log_loss"]
    assert found["held_out"]["auc"] > 0.85
    assert found["baseline"]["auc"] == 0.5


def test_many_columns_that_are_told_alike_are_put_together(run, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "wide.csv"
    header = ",".join([*(f"p{at}" for at in range(150)), "y"])
    np.savetxt(path, rng.standard_normal((40, 151)), delimiter=",", header=header, comments="")
    code, out, _ = run("train", path, "--epochs", 1)
    assert code == 0
    assert re.search(r"^and 145 more +number +145  numbers$", out, re.M)


def test_rows_without_a_target_are_counted(run, sales):
    with open(sales, "a") as file:
        file.write("x,$5,north,2024-01-01,\n" * 7)
    code, out, _ = run("train", sales, "--epochs", 2)
    assert code == 0
    assert "note: 7 of 307 rows have no target and are left out" in out


def test_early_stopping_keeps_the_best_network_and_can_be_turned_off(run, sales, tmp_path):
    model = tmp_path / "m.npz"
    found = as_json(run, "train", sales, "--save", model, "--epochs", 300)
    assert found["best_epoch"] < found["epochs"] < 300
    costs = found["history"]["val_cost"]
    assert costs.index(min(costs)) + 1 == found["best_epoch"]
    off = as_json(run, "train", sales, "--patience", 0, "--epochs", 60)
    assert off["epochs"] == off["best_epoch"] == 60
    assert off["train"]["cost"] < found["train"]["cost"]


def test_a_table_of_noise_is_not_predicted_worse_than_by_a_constant(run, tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "noise.csv"
    rows = rng.standard_normal((200, 6))
    lines = [",".join(f"{value:.3f}" for value in row) for row in rows]
    kinds = rng.choice(["u", "v"], 200, p=[0.8, 0.2])
    path.write_text("a,b,c,d,e,f,y\n" + "".join(map("{},{}\n".format, lines, kinds)))
    for target in ("y", "f"):
        found = as_json(run, "train", path, "--target", target)
        name = "log_loss" if target == "y" else "rmse"
        worse = found["held_out"][name] >= found["baseline"][name]
        assert (worse or found["kept_constant"]) == (found["warning"] is not None)
    kept = [as_json(run, "train", path, "--seed", seed) for seed in range(6)]
    constant = [each for each in kept if each["kept_constant"]]
    assert constant
    for each in constant:
        assert each["held_out"]["log_loss"] == pytest.approx(each["baseline"]["log_loss"], rel=1e-6)
        assert "the model predicts that constant" in each["warning"]


@pytest.mark.parametrize("metric", ["accuracy", "auc", "balanced_accuracy", "f1", "log_loss"])
def test_a_metric_decides_which_epoch_is_kept(run, sales, metric):
    found = as_json(run, "train", sales, "--metric", metric, "--epochs", 60)
    assert 0 <= found["best_epoch"] <= found["epochs"]
    assert found["held_out"]["accuracy"] > 0.75
    code, _, err = run("train", sales, "--metric", "rmse")
    assert (code, "--metric rmse: of classes, expected one of" in err) == (2, True)


def test_class_weights_move_the_predictions(run, tmp_path):
    path = tmp_path / "rare.csv"
    rng = np.random.default_rng(0)
    x = rng.standard_normal(600)
    y = (x + rng.standard_normal(600) > 2).astype(int)
    path.write_text("x,y\n" + "".join(f"{a:.3f},{b}\n" for a, b in zip(x, y, strict=True)))
    plain = as_json(run, "train", path)
    for weights in (["balanced"], ["1=9"], ["0=0.5", "1=5"]):
        found = as_json(run, "train", path, "--class-weight", *weights)
        assert found["held_out"]["balanced_accuracy"] > plain["held_out"]["balanced_accuracy"] + 0.1
        assert found["warning"] is None
        assert found["held_out"]["weighted_log_loss"] < found["baseline"]["weighted_log_loss"]
    assert "weighted_log_loss" not in plain["held_out"]
    found = as_json(run, "train", path, "--class-weight", "balanced", "--folds", 2)
    assert found["warning"] is None
    assert found["baseline"]["weighted_log_loss"] == pytest.approx(np.log(2), abs=0.01)
    for weights in ("2=3", "1=-1", "1=x", "heavy"):
        code, _, err = run("train", path, "--class-weight", weights)
        assert (code, "--class-weight: expected balanced, or NAME=WEIGHT" in err) == (2, True)
    code, _, err = run("train", path, "--target", "x", "--class-weight", "balanced")
    assert (code, "--class-weight is for classes" in err) == (2, True)


def test_a_cost_without_the_weights_may_rise(run, tmp_path):
    """The one with them has to fall."""
    path = tmp_path / "even.csv"
    rng = np.random.default_rng(0)
    x = rng.standard_normal(600)
    y = (x + rng.standard_normal(600) > 0).astype(int)
    path.write_text("x,y\n" + "".join(f"{a:.3f},{b}\n" for a, b in zip(x, y, strict=True)))
    options = ("--class-weight", "1=1000", "--patience", "0", "--epochs", "20")
    found = as_json(run, "train", path, *options)
    assert found["train"]["log_loss"] > 2.0 > found["untrained"]["cost"]
    assert found["train"]["weighted_log_loss"] < 0.1
    assert found["diverged"] is False
    assert "cost has not fallen" not in (found["warning"] or "")


def test_a_test_file_is_the_held_out_part(run, sales, tmp_path):
    other = write_sales(tmp_path / "other.csv", 90, seed=1)
    found = as_json(run, "train", sales, "--test", other, "--save", tmp_path / "m.npz")
    assert "300 training and 90 held-out examples" in found["data"]
    scored = as_json(run, "evaluate", tmp_path / "m.npz", other)
    assert scored["accuracy"] == found["held_out"]["accuracy"]
    other.write_text(re.sub(",(yes|no)$", "", other.read_text(), flags=re.M).replace(",again", ""))
    code, _, err = run("train", sales, "--test", other)
    assert (code, "--test needs the target 'again' in every row" in err) == (2, True)
    code, _, err = run("train", sales, "--test", other, "--validation", 0.3)
    assert (code, "--validation does not apply: --test names" in err) == (2, True)
    code, _, err = run("train", "digits", "--test", other)
    assert (code, "--test is for tables" in err) == (2, True)


def test_refit_trains_the_saved_model_on_all_rows(run, sales, tmp_path):
    model = tmp_path / "m.npz"
    code, out, _ = run("train", sales, "--refit", "--save", model)
    assert code == 0
    epochs = int(re.search(r"^best after +(\d+)$", out, re.M)[1])
    assert f"saved as {model} after training on all 300 rows for {epochs} epochs" in out
    plain = tmp_path / "plain.npz"
    run("train", sales, "--save", plain)
    one, other = Network.load(model), Network.load(plain)
    assert one.widths == other.widths
    assert (one.parameters != other.parameters).any()
    assert as_json(run, "evaluate", model, sales)["accuracy"] > 0.8


def test_folds_are_held_out_in_turn(run, sales, tmp_path):
    model = tmp_path / "m.npz"
    code, out, _ = run("train", sales, "--folds", 3, "--save", model)
    assert code == 0
    assert len(re.findall(r"^part \d of 3: log loss \d", out, re.M)) == 3
    assert re.search(r"^ +train +held out +\+- +constant$", out, re.M)
    assert "after training on all 300 rows for" in out
    assert Network.load(model).metadata["encoding"]["target"] == "again"
    found = as_json(run, "train", "moons", "--folds", 4, "--epochs", 20)
    scores = [each["held_out"]["accuracy"] for each in found["folds"]]
    assert found["held_out"]["accuracy"] == pytest.approx(np.mean(scores))
    assert found["spread"]["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    code, _, err = run("train", sales, "--folds", 3, "--validation", 0.2)
    assert (code, "--validation does not apply with --folds" in err) == (2, True)
    assert run("train", "iris", "--folds", 2, "--epochs", 2)[0] == 0  # it keeps its columns


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("--on-missing", "column 'spent': missing value"),
        ("--on-date", "column 'day': '"),
        ("--on-notation", "is an amount of money"),
        ("--on-many", "300 different texts in 300 rows are no category"),
    ],
)
def test_what_is_treated_can_be_refused(run, sales, option, what):
    code, out, err = run("train", sales, option, "refuse")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert what in err
    code, _, err = run("train", sales, "--strict")
    assert (code, what in err, " faults: (1) " in err) == (2, True, True)
    code, _, err = run("train", "digits", option, "refuse")
    assert (code, f"{option} are for tables" in err) == (2, True)


def test_predicting_takes_any_table_from_any_place(run, sales, tmp_path, monkeypatch):
    model = tmp_path / "m.npz"
    run("train", sales, "--save", model)
    new = tmp_path / "new.csv"
    text = "day,shop,note,spent,ref\n2024-05-01,north,hi,60,A1\n,west,,,A2\nsoon,,x,$1.2k,A3\n"
    new.write_text(text)
    code, out, err = run("predict", model, new, "--id", "ref")
    assert code == 0
    rows = [line.split(",") for line in out.splitlines()]
    assert rows[0] == ["ref", "again", "p(no)", "p(yes)"]
    assert [row[0] for row in rows[1:]] == ["A1", "A2", "A3"]
    for row in rows[1:]:
        assert sum(map(float, row[2:])) == pytest.approx(1)
    assert all(line.startswith("note: ") for line in err.splitlines())
    assert "the model does not know are ignored: 'note'" in err
    assert "with a level that is not known, such as 'west'" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("predict", model, "-", "--id", "ref") == (0, out, err)
    found = as_json(run, "predict", model, new, "--id", "ref")
    assert found["id"] == {"name": "ref", "values": ["A1", "A2", "A3"]}
    assert len(found["notes"]) == err.count("\n")
    code, _, err = run("predict", model, new, "--id", "nobody")
    assert (code, "'nobody': there is no such column to keep" in err) == (2, True)
    code, _, err = run("predict", model, "iris", "--id", "x")
    assert (code, "--id is for tables" in err) == (2, True)


def test_reading_that_takes_long_is_told(run, sales, monkeypatch):
    clock = iter(np.arange(0.0, 1e6, 2.0).tolist())
    monkeypatch.setattr("pybackprop.cli._data.time.monotonic", lambda: next(clock))
    code, _, err = run("train", sales, "--epochs", 1)
    assert code == 0
    assert re.search(r"sales\.csv: 300 rows read after \d+ s", err)


def test_auc_needs_both_classes_among_the_rows_that_decide(run, tmp_path):
    path = tmp_path / "rare.csv"
    rows = [f"{at % 13},{'rare' if at < 2 else 'usual'}\n" for at in range(60)]
    path.write_text("x,y\n" + "".join(rows))
    code, _, err = run("train", path, "--metric", "auc", "--validation", 0.1)
    assert code == 2
    assert "rows that decide when to stop are of class usual, so AUC is not defined" in err
    assert " of rare); use --metric log_loss or more rows" in err


def test_the_rate_falls_after_folds_as_it_did_in_them(run, tmp_path, monkeypatch):
    path, seen = tmp_path / "t.csv", []
    rng = np.random.default_rng(0)
    np.savetxt(path, rng.standard_normal((900, 2)), delimiter=",", header="x,y", comments="")
    refit = _fitting.refit

    def note(args, data, loss, plan, epochs):
        seen.append((plan.epochs, epochs))
        return refit(args, data, loss, plan, 1)

    monkeypatch.setattr(_fitting, "refit", note)
    run("train", path, "--folds", 2, "--save", tmp_path / "m.npz")
    # 200,000 rows are learnt of a part of 450.
    assert seen[0][0] == 444 >= seen[0][1]


def test_predicting_does_not_fail_by_what_it_does_not_need(run, sales, tmp_path):
    model, new = tmp_path / "m.npz", tmp_path / "new.csv"
    run("train", sales, "--save", model, "--epochs", 1)
    new.write_text("ref,spent,n,shop,day,n,again\nNA,5,1,north,2024-05-01,2,TBD\n,5,1,,,2,yes\n")
    code, out, err = run("predict", model, new, "--id", "ref")
    assert code == 0
    assert [line.split(",")[0] for line in out.splitlines()] == ["ref", "NA", ""]
    assert "note: no score, because of the targets: " in err
    assert "'TBD' is none of the classes 'no', 'yes'" in err
    code, _, err = run("evaluate", model, new)
    assert (code, "'TBD' is none of the classes" in err) == (2, True)
    code, _, err = run("train", sales, "--test", new)
    assert (code, "'TBD' is none of the classes" in err) == (2, True)
    new.write_text("spent,shop,day,shop\n5,north,2024-05-01,south\n")
    code, _, err = run("predict", model, new)
    assert (code, "column 'shop': the column occurs twice" in err) == (2, True)


def test_a_negative_number_may_stand_for_a_missing_cell(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{at if at % 5 else -999},{at / 7}\n" for at in range(60)))
    for words in (["--missing", "-999", path], [path, "--missing", "-999", "?"]):
        code, out, err = run("train", "--epochs", 1, *words)
        assert code == 0, err
        assert re.search(r"^x +number +2  numbers; \d+ missing", out, re.M)


def test_the_default_patience_is_that_number(run, sales):
    drop = ("seconds", "examples_per_second")
    one, other = (
        {
            key: value
            for key, value in as_json(run, "train", sales, *words).items()
            if key not in drop
        }
        for words in ((), ("--patience", 30))
    )
    assert one == other


def test_a_refit_without_early_stopping_starts_as_training_does(run, sales, monkeypatch):
    monkeypatch.setattr(_fitting, "_start_from_constant", None)
    assert run("train", sales, "--patience", 0, "--epochs", 2, "--refit")[0] == 0
