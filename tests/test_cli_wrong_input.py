"""The command line in the hands of a newcomer: lists before DATA, wrong input, failed training."""

import json
import re
import sys

import numpy as np
import pytest

from pybackprop import Network, datasets
from pybackprop.cli import main


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run_command(*argv):
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "data.csv"
    rows = [f"{at},{at % 7},{'pq'[at % 2]},{at * 0.5}" for at in range(60)]
    path.write_text("\n".join(["a,b,kind,y", *rows]))
    return path


def widths(out):
    return re.search(r"^(Network\(.*?); ", out, re.M)[1]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["--hidden", "8"], [], "4 -> 8 relu -> 1"),
        (["--hidden", "8", "6"], [], "4 -> 8 relu -> 6 relu -> 1"),
        (["--hidden", "8,6"], [], "4 -> 8 relu -> 6 relu -> 1"),
        (["--hidden", "8,", "6"], [], "4 -> 8 relu -> 6 relu -> 1"),
        (["--hidden=8,6"], [], "4 -> 8 relu -> 6 relu -> 1"),
        (["--hidden", "8", "--hidden", "6"], [], "4 -> 6 relu -> 1"),
        (["--hidden", "8"], ["--hidden", "6,5", "--epochs", "1"], "4 -> 6 relu -> 5 relu -> 1"),
        (["--hidden=8", "--hidden"], [], "4 -> 1"),
        (["--hidden", "8", "--"], [], "4 -> 8 relu -> 1"),
        (["--hidden"], [], "4 -> 1"),
        ([], ["--hidden"], "4 -> 1"),
        ([], ["--hidden", "8", "6"], "4 -> 8 relu -> 6 relu -> 1"),
        (["--hidden", "8", "--ignore", "a"], [], "3 -> 8 relu -> 1"),
        (["--ignore", "a", "kind"], ["--hidden", "8", "6"], "1 -> 8 relu -> 6 relu -> 1"),
        (["--ignore", "a"], ["--categorical", "b"], "9 -> 128"),
        (["--ignore", "a,kind"], ["--hidden", "8"], "1 -> 8 relu -> 1"),
        ([], ["--hidden", "8", "--ignore", "a", "kind"], "1 -> 8 relu -> 1"),
        (["--ignore", "a", "--ignore", "kind", "--hidden", "8"], [], "1 -> 8 relu -> 1"),
    ],
)
def test_lists_end_before_the_name_of_the_file(run, table, before, after, expected):
    code, out, err = run("train", "--epochs", 1, *before, table, *after)
    assert code == 0, err
    assert f"Network({expected}" in widths(out)


def test_a_name_with_a_comma_stands_in_quotes(run, tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"{at},{at % 7},{at * 0.5}" for at in range(40)]
    table.write_text("\n".join(['"size, m",b,y', *rows]))
    code, out, _ = run("train", "--epochs", 1, "--ignore", '"size, m"', table)
    assert (code, "left out: size, m" in out, ", 1 feature (" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["train", "--hidden", "64"], "required: DATA"),
        (["train", "--ignore", "a"], "required: DATA"),
        (["train", "{table}", "--ignore"], "--ignore: expected at least one value"),
        (["train", "{table}", "--ignore", "a,,b"], "--ignore: expected values between commas"),
        (["train", "{table}", "--hidden", "64,x"], "--hidden: expected an integer >= 1, got 'x'"),
        (["train", "{table}", "--hidden", "8", "more.csv"], "got 'more.csv'"),
        (["train", "{table}", "--ignore", "a", "other"], "column 'other': there is no such"),
        (["train", "{table}", "--ignore", "y"], "column 'y': the column is the target"),
        (["train", "{table}", "--epochs", "99999999999"], "--epochs: expected an integer <="),
        (["train", "{table}", "--patience", "9" * 30], "--patience: expected an integer <="),
        (["train", "{table}", "--seed", str(2**64)], "--seed: expected an integer <="),
        (["train", "{one}"], "one.csv: --validation: fraction 0.2 of 1 examples"),
        (["train", "{constant}"], "constant.csv: every example has the same target, 3.5"),
        (["train", "{rows}"], "rows.npz: 40 different values in 40 rows, 40 of them in one row"),
        (["show", "{constant}", "--save", "s.html"], "every example has the same target, 3.5"),
        (["show", "{one}", "--save", "s.html"], "one.csv: held-out part: fraction 0.2 of 1"),
        (["show", "{rows}", "--ignore", "a", "--save", "s.html"], "are for tables"),
        (
            ["show", "{model}", "--data", "{table}", "--target", "b", "--save", "s.html"],
            "--target does not apply with --data",
        ),
        (["train", "{table}", "--resume", "--epochs", "1"], "--resume needs --checkpoint"),
        (["check", "--table"], "required: MODEL|WIDTHS"),
        (["check", "2-3-1", "--table", "0"], "unrecognized arguments: 0"),
        (["check", "2-3-1", "--table=0"], "--table: expected an integer >= 1, got '0'"),
        (["show", "iris", "--save", "{model}"], "--save must end with .html"),
        (["predict", "{model}", "{table}", "--output", "{table}"], "another file than DATA"),
        (["predict", "{model}", "{table}", "--output", "{model}"], "another file than MODEL"),
        (["export", "{model}", "--to", "c", "--output", "{model}"], "another file than MODEL"),
        (
            ["export", "{model}", "--to", "c", "--data", "{table}", "--output", "{table}"],
            "another file than DATA",
        ),
    ],
)
def test_wrong_input_gets_one_line_and_changes_no_file(run, tmp_path, table, argv, word):
    places = {name: tmp_path / f"{name}.csv" for name in ("one", "constant")}
    places["one"].write_text("a,y\n1,2.5\n")
    places["constant"].write_text("a,y\n" + "".join(f"{at},3.5\n" for at in range(40)))
    places |= {"table": table, "model": tmp_path / "m.npz", "rows": tmp_path / "rows.npz"}
    np.savez(places["rows"], x=np.ones((40, 2)), y=np.arange(40).astype(str))
    Network([2, 1], seed=0).save(places["model"])
    before = {path: path.read_bytes() for path in places.values()}
    code, out, err = run(*(text.format(**places) for text in argv))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert word in err
    assert {path: path.read_bytes() for path in places.values()} == before


def test_too_few_examples_for_patience(run, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("a,y\n" + "".join(f"{at},{at / 7}\n" for at in range(3)))
    code, _, err = run("train", few, "--patience", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{few}: --patience: fraction 0.2 of 2 examples leaves one part empty" in err


def test_a_model_is_tried_on_examples_of_a_class_each(run, tmp_path):
    model, examples = tmp_path / "m.npz", tmp_path / "e.npz"
    run("train", "iris", "--epochs", 60, "--save", model)
    iris = datasets.iris()
    names = np.array(iris.class_names)
    np.savez(examples, x=iris.x[[0, 60, 120]], y=names[iris.y[[0, 60, 120]]])
    code, out, err = run("evaluate", model, examples)
    assert (code, err) == (0, "")
    assert "recall of setosa" in out


def test_divergence_is_said_in_the_report(run, tmp_path):
    model = tmp_path / "m.npz"
    arguments = ["train", "iris", "--lr", "1e9", "--epochs", 20, "--hidden", 16]
    code, out, _ = run(*arguments, "--save", model)
    assert code == 1
    assert "\nwarning: training diverged: the cost rose from " in out
    assert "try a lower --lr" in out
    assert model.exists()
    code, out, err = run(*arguments, "--json")
    found = json.loads(out)
    assert (code, err, found["diverged"]) == (1, "", True)
    assert found["warning"].startswith("training diverged")
    assert found["train"]["cost"] > 2 * found["untrained"]["cost"] > 0


def test_a_cost_that_is_not_finite_is_a_result_too(run, table, tmp_path):
    arguments = ["train", table, "--optimizer", "sgd", "--lr", "1e30", "--save", tmp_path / "m.npz"]
    code, _, err = run(*arguments)
    assert code == 1
    assert "the cost is not finite in epoch 0" in err
    assert err.rstrip().endswith("A lower --lr may help")
    code, out, err = run(*arguments, "--json")
    found = json.loads(out)
    assert (code, err, found["diverged"], found["saved"]) == (1, "", True, None)
    assert "the cost is not finite in epoch 0" in found["warning"]
    assert found["untrained"]["cost"] > 0
    assert not (tmp_path / "m.npz").exists()


def test_show_reads_tables_by_the_options_of_train(run, table, tmp_path):
    page = tmp_path / "page.html"
    arguments = ["show", "--save", page, "--examples", 1, "--ignore", "a", "--categorical", "b"]
    code, out, err = run(*arguments, table, "--target", "y")
    assert (code, err) == (0, "")
    assert out.startswith("Network(9 -> ")
    code, out, _ = run("show", table, "--target", "a", "--task", "regression", "--save", page)
    assert (code, out.startswith("Network(4 -> ")) == (0, True)


@pytest.mark.parametrize("rows", [["--table"], ["--table", "10"], ["--table=10"]])
def test_check_takes_the_widths_after_the_rows_of_a_table(run, rows):
    before, after = run("check", *rows, "2-3-1"), run("check", "2-3-1", "--table", "10")
    assert before == after
    assert (before[0], before[2]) == (0, "")
    assert len(before[1]) > len(run("check", "2-3-1")[1])


@pytest.mark.parametrize(
    ("data", "seed", "what"),
    [("iris", 0, "than the commonest class alone would be (33.33%)"), ("{table}", 2, "their mean")],
)
def test_training_worse_than_a_constant_is_said(run, table, data, seed, what):
    arguments = ["train", data.format(table=table), "--lr", "1e-30", "--epochs", 1]
    arguments += ["--hidden", 8, "--seed", seed, "--patience", 0]
    code, out, _ = run(*arguments)
    assert code == 0
    assert "warning: training did not work: " in out
    assert what in out
    found = json.loads(run(*arguments, "--json")[1])
    assert found["warning"].startswith("training did not work")
    assert found["diverged"] is False


def test_training_that_works_is_not_warned_of(run, table):
    for data in ("iris", table):
        found = json.loads(run("train", data, "--epochs", 100, "--json")[1])
        assert (found["diverged"], found["warning"]) == (False, None)
        assert found["train"]["cost"] < found["untrained"]["cost"]


@pytest.mark.parametrize("options", [[], ["--patience", 2]])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_held_out_rows_change_nothing_in_the_model(run, tmp_path, options, task):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5))
    y = x @ rng.standard_normal(5) + rng.standard_normal(300)
    other = rng.permutation(y[200:]) * 3
    if task == "classification":
        y, other = (y > 0).astype(int), (other > 0).astype(int)
    models = []
    for at, (x_test, y_test) in enumerate([(x[200:], y[200:]), (10 * x[200:], other)]):
        data, model = tmp_path / f"d{at}.npz", tmp_path / f"m{at}.npz"
        np.savez(data, x_train=x[:200], y_train=y[:200], x_test=x_test, y_test=y_test)
        arguments = ["--epochs", 200 if options else 5, "--hidden", 64, "--lr", "0.01"]
        code, out, err = run("train", data, *arguments, *options, "--save", model, "--json")
        assert code == 0, err
        models.append((Network.load(model).parameters.tobytes(), json.loads(out)))
    (one, found), (two, changed) = models
    assert one == two
    assert found["epochs"] == changed["epochs"]
    assert found["held_out"]["cost"] != changed["held_out"]["cost"]
    if options:
        # It stopped early, so the examples that decide did decide.
        assert found["epochs"] < 200
        assert found["history"]["val_cost"] == changed["history"]["val_cost"]


def test_processes_that_cannot_share(run, monkeypatch):
    code, _, err = run("train", "iris", "--shards", "3")
    assert code == 2
    assert "shards must be a power of two, got 3" in err
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    code, _, err = run("train", "iris", "--data-parallel")
    assert code == 2
    assert "--data-parallel needs mpi4py: pip install mpi4py" in err
