"""The command line: what commands print and save, and how they refuse."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pybackprop import Network, datasets
from pybackprop.cli import main

IRIS = Path(datasets.__file__).with_name("data") / "iris.csv"


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run_command(*argv):
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def figures(report):
    """Return the closing table of `train` as a dict of lists of numbers."""
    rows = re.findall(r"^(\w[\w²() ]*?)  +([\d.,%-]+(?: +[\d.,%-]+)*)$", report, re.M)
    return {
        name: [float(word.strip("%").replace(",", "")) for word in values.split()]
        for name, values in rows
    }


def held_out(report):
    """Return the held-out accuracy in percent, or R²."""
    found = figures(report)
    return found["accuracy" if "accuracy" in found else "R²"][1]


@pytest.mark.timing
def test_digits_are_learnt_by_default_for_several_seeds(run):
    seconds = []
    for seed in range(3):
        code, out, err = run("train", "digits", "--seed", seed)
        assert code == 0
        assert held_out(out) >= 97.0
        seconds += figures(out)["seconds"]
    assert min(seconds) < 3.0
    assert "64 -> 128 relu -> 128 relu -> 10 softmax" in out
    assert "1,438 training and 359 held-out examples" in out
    assert "epoch" in err


@pytest.mark.parametrize(("name", "least"), [("spirals", 98), ("moons", 98), ("iris", 90)])
def test_small_sets_are_learnt_by_default(run, name, least):
    code, out, _ = run("train", name, "--seed", 1)
    assert code == 0
    assert held_out(out) >= least


def write_houses(path, n=600, seed=0):
    """Write a table with numbers, a category and a price of which 2 % is noise."""
    rng = np.random.default_rng(seed)
    area, age = rng.uniform(40, 200, n), rng.uniform(0, 80, n)
    place = rng.choice(["city", "sea", "village"], n)
    bonus = np.select([place == "city", place == "sea"], [1.5, 2.0], 1.0)
    price = 2000 * area * bonus * (1 - 0.005 * age) * rng.normal(1, 0.02, n)
    rows = zip(area.round(1), place, age.round(1), price.round(), strict=True)
    path.write_text(
        "area,place,age,price\n" + "".join(f"{a},{p},{g},{c:.0f}\n" for a, p, g, c in rows)
    )
    return path


@pytest.mark.parametrize("precision", ["bf16", "bf16x3"])
def test_precision_of_training_is_saved(run, tmp_path, precision):
    table, model = write_houses(tmp_path / "houses.csv"), tmp_path / "houses.npz"
    options = ["--target", "price", "--epochs", 30, "--precision", precision]
    code, out, _ = run("train", table, *options, "--save", model)
    assert code == 0
    assert f"precision={precision}" in out
    assert held_out(out) > 0.9
    assert Network.load(model).precision == precision
    code, _, err = run("train", "iris", "--dtype", "float64", "--precision", precision)
    assert code == 2
    assert f"precision '{precision}' is for float32 networks" in err


def test_regression_from_table_to_predictions_in_raw_units(run, tmp_path):
    table, model = write_houses(tmp_path / "houses.csv"), tmp_path / "houses.npz"
    code, out, _ = run("train", table, "--target", "price", "--save", model)
    assert code == 0
    assert held_out(out) > 0.97
    assert "regression of price" in out
    assert f"saved as {model}" in out

    new = write_houses(tmp_path / "new.csv", 50, seed=9)
    code, out, err = run("predict", model, new)
    assert code == 0
    assert float(re.fullmatch(r"R² (\S+) on 50 examples\n", err)[1]) > 0.97
    predicted = [float(line) for line in out.splitlines()[1:]]
    assert out.splitlines()[0] == "price"
    prices = [float(row["price"]) for row in csv.DictReader(new.read_text().splitlines())]
    assert np.median(np.abs(np.subtract(predicted, prices)) / prices) < 0.05

    shuffled = tmp_path / "shuffled.csv"
    rows = list(csv.DictReader(new.read_text().splitlines()))
    shuffled.write_text(
        "place,age,area\n" + "".join(f"{r['place']},{r['age']},{r['area']}\n" for r in rows)
    )
    target = tmp_path / "prices.csv"
    code, out_file, err = run("predict", model, shuffled, "--output", target)
    assert (code, out_file, err) == (0, "", "")
    assert target.read_text() == out


def test_classes_from_table_to_predictions_by_name(run, tmp_path):
    model = tmp_path / "iris.npz"
    assert run("train", IRIS, "--save", model, "--hidden", 16, "--seed", 2)[0] == 0
    net = Network.load(model)
    assert net.widths == (4, 16, 3)
    assert net.metadata["class_names"] == ["setosa", "versicolor", "virginica"]
    code, out, err = run("predict", model, IRIS)
    assert code == 0
    rows = list(csv.reader(out.splitlines()))
    assert rows[0] == ["species", "p(setosa)", "p(versicolor)", "p(virginica)"]
    assert len(rows) == 151
    iris = datasets.iris()
    names = [iris.class_names[label] for label in iris.y]
    right = np.mean([row[0] == name for row, name in zip(rows[1:], names, strict=True)])
    assert err == f"accuracy {right:.2%} on 150 examples\n"
    assert right > 0.9
    np.testing.assert_allclose(np.array(rows[1:])[:, 1:].astype(float), net.predict(iris.x), 1e-6)
    # The built-in set gives the same rows.
    assert run("predict", model, "iris")[1] == out


def test_arrays_and_idx_files(run, tmp_path):
    digits = datasets.digits().split(0.3)
    model = tmp_path / "m.npz"
    parts = {"x_train": digits.x, "y_train": digits.y, "x_test": digits.x_test}
    np.savez(tmp_path / "d.npz", **parts, y_test=digits.y_test)
    np.savez(tmp_path / "inputs.npz", x=digits.x_test)
    np.save(tmp_path / "inputs.npy", digits.x_test)
    shape = (len(digits.x_test), 8, 8)
    header = b"\0\0\x08\x03" + np.array(shape, ">u4").tobytes()
    (tmp_path / "images-idx3-ubyte").write_bytes(header + digits.x_test.tobytes())
    code, out, _ = run("train", tmp_path / "d.npz", "--save", model, "--epochs", 10)
    assert code == 0
    assert f"{len(digits.x):,} training and {len(digits.x_test):,} held-out" in out
    accuracy = held_out(out)
    code, predictions, err = run("predict", model, tmp_path / "d.npz")
    assert err == f"accuracy {accuracy:.2f}% on {len(digits.x_test)} examples\n"
    for name in ("inputs.npz", "inputs.npy", "images-idx3-ubyte"):
        assert run("predict", model, tmp_path / name) == (0, predictions, "")


@pytest.mark.parametrize(
    ("options", "least"),
    [
        (["--hidden"], 80),
        (["--hidden", "32", "32", "--activation", "tanh", "--dtype", "float64"], 95),
        (["--loss", "mse", "--optimizer", "sgd"], 95),
        (["--loss", "binary_cross_entropy", "--optimizer", "rmsprop"], 95),
        (["--optimizer", "adagrad", "--lr", "0.05", "--batch-size", "10", "--l2", "0.001"], 95),
        (["--optimizer", "adamw", "--schedule", "constant", "--dropout", "0.5"], 95),
        (["--schedule", "coslog4"], 95),
        (["--schedule", "flat_cos"], 95),
    ],
)
def test_options_train_good_models(run, options, least):
    code, out, _ = run("train", "moons", "--epochs", 40, "--validation", "0.4", *options)
    assert code == 0
    assert held_out(out) >= least
    assert figures(out)["epochs"] == [40]
    assert "600 training and 400 held-out examples" in out


def test_patience_stops_before_the_last_epoch(run):
    code, out, _ = run("train", "moons", "--patience", 3, "--epochs", 400)
    assert code == 0
    assert figures(out)["epochs"][0] < 400
    assert held_out(out) >= 97


def test_same_seed_same_model(run, tmp_path):
    models = [tmp_path / f"{at}.npz" for at in range(3)]
    for model, seed in zip(models, (5, 5, 6), strict=True):
        run("train", "moons", "--epochs", 2, "--seed", seed, "--save", model)
    one, again, other = (Network.load(model).parameters.tobytes() for model in models)
    assert one == again
    assert one != other


def test_check_prints_a_table_and_returns_its_verdict(run, tmp_path):
    code, out, _ = run("check", "4-8-3")
    assert code == 0
    assert "gradients agree" in out
    code, out, _ = run("check", "4-8-3", "--table", 2)
    assert code == 0
    assert re.search(r"^W1\[0, 1\] .*\nW1: 30 more\n", out, re.M)
    options = ["--activation", "gelu", "--loss", "cross_entropy", "--dtype", "float32"]
    assert run("check", "4-8-3", *options)[0] == 0
    code, out, _ = run("check", "4-8-3", "--dtype", "float32", "--tolerance", "1e-12")
    assert code == 1
    assert "GRADIENTS DISAGREE" in out
    code, out, _ = run("check", "4-8-3", "--tolerance", "1e-30")
    assert code == 1
    assert "NOTHING COMPARED" in out
    model = tmp_path / "houses.npz"
    run("train", write_houses(tmp_path / "houses.csv"), "--epochs", 3, "--save", model)
    code, out, _ = run("check", model, "--entries", 20)
    assert code == 0, out


def test_info_names_versions_and_machine(run):
    code, out, _ = run("info")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert {"pybackprop", "python", "numpy", "cffi", "isa", "threads"} <= set(names)


@pytest.mark.parametrize("command", [[], ["train"], ["predict"], ["show"], ["check"], ["info"]])
def test_help_teaches_by_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert re.search(r"examples?:\n  .*pybackprop", out)


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ([], "COMMAND"),
        (["dance"], "dance"),
        (["train"], "DATA"),
        (["train", "digitz"], "digitz"),
        (["train", "digits", "--lr", "fast"], "--lr: expected a number > 0, got 'fast'"),
        (["train", "digits", "--lr", "0"], "--lr"),
        (["train", "digits", "--epochs", "0"], "--epochs: expected an integer >= 1, got '0'"),
        (["train", "digits", "--hidden", "12", "x"], "--hidden"),
        (["train", "digits", "--activation", "step"], "--activation"),
        (["train", "digits", "--dropout", "1"], "--dropout: expected a number >= 0 and < 1"),
        (["train", "digits", "--validation", "0"], "--validation"),
        (["train", "{numbers}", "--validation", "0.0001"], "fraction"),
        (["train", "digits", "--target", "label"], "target does not apply"),
        (["train", "digits", "--task", "regression"], "task does not apply"),
        (["train", "digits", "--epoch", "3"], "--epoch"),
        (["train", "{ragged}"], "line 3, column 'y'"),
        (["train", "{numbers}", "--target", "z"], "column 'z'"),
        (["train", "{numbers}", "--loss", "cross_entropy"], "--loss cross_entropy is for classes"),
        (["train", "digits", "--save", "/no/such/folder/m.npz"], "--save: no file can be written"),
        (["train", "digits", "--save", "."], "--save: no file can be written"),
        (["predict", "{ragged}", "iris"], "not a valid model file"),
        (["predict", "/no/such/model", "iris"], "/no/such/model: No such file"),
        (["predict", "{model}", "iris"], "4 inputs"),
        (["predict", "{model}", "{numbers}"], "not trained on a table"),
        (["check", "four"], "no such file"),
        (["check", "{model}", "--loss", "mse"], "--loss does not apply"),
        (["check", "4-0-1"], "widths"),
        (["info", "more"], "more"),
    ],
)
def test_mistakes_get_one_line_and_code_2(run, tmp_path, argv, word):
    places = {"ragged": tmp_path / "r.csv", "numbers": tmp_path / "n.csv"}
    places["ragged"].write_text("x,y\n1,2\n3\n")
    places["numbers"].write_text("x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(40)))
    places["model"] = tmp_path / "m.npz"
    Network([2, 1], seed=0).save(places["model"])
    code, out, err = run(*(text.format(**places) for text in argv))
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "error: " in err
    assert word in err


def test_names_too_long_to_be_saved_are_found_before_training(run, tmp_path):
    table = tmp_path / "long.csv"
    names = ",".join(f"{at:0125}_" for at in range(31_000))
    table.write_text(f"{names}\n" + f"{'1,' * 30_999}0\n{'2,' * 30_999}1\n" * 3)
    code, out, err = run("train", table, "--save", tmp_path / "m.npz", "--checkpoint", "c.npz")
    assert (code, out) == (2, "")
    *progress, error = err.splitlines()  # progress, if reading takes over a second
    assert f"{table}: --save: metadata must hold what JSON can, within bounds: it has" in error
    assert all("rows read after" in line for line in progress)
    assert not (tmp_path / "m.npz").exists()


def test_divergence_is_reported_in_one_line(run, tmp_path):
    table = tmp_path / "n.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(40)))
    options = ["--optimizer", "sgd", "--lr", "1e30", "--activation", "identity"]
    code, _, err = run("train", table, *options)
    assert code == 1
    assert "the cost is not finite in epoch" in err.splitlines()[-1]


def command_line(*argv):
    return [sys.executable, "-m", "pybackprop", *map(str, argv)]


def test_module_runs_as_a_command(tmp_path):
    done = subprocess.run(command_line("--version"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pybackprop ")
    done = subprocess.run(command_line("train", "nothing"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.timing
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_training_with_130():
    argv = command_line("train", "spirals", "--epochs", 10_000_000)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr.readline()
        child.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert time.monotonic() - begin < 2.0
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error(tmp_path):
    inputs, model = tmp_path / "x.npy", tmp_path / "m.npz"
    np.save(inputs, np.zeros((100_000, 2)))
    Network([2, 1], seed=0).save(model)
    argv = command_line("predict", model, inputs)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "y\n"
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 0


@pytest.mark.timing
@pytest.mark.skipif("PYBACKPROP_MNIST" not in os.environ, reason="needs PYBACKPROP_MNIST=folder")
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_mnist_is_learnt_in_little_memory():
    # Not ru_maxrss: that begins with the most that this process has held.
    code = (
        "import sys; from pybackprop.cli import main; code = main(sys.argv[1:]);"
        "print(open('/proc/self/status').read()); sys.exit(code)"
    )
    folder = os.environ["PYBACKPROP_MNIST"]
    argv = ["train", folder, "--hidden", "256", "128", "--epochs", "10"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True
    )
    assert "784 features (uint8)" in done.stdout
    assert held_out(done.stdout) >= 97.8
    assert int(re.search(r"VmHWM:\s+(\d+) kB", done.stdout)[1]) < 400_000


def as_json(run, *argv, code=0):
    """Run a command with --json; return what it printed."""
    returned, out, err = run(*argv, "--json")
    assert (returned, err) == (code, "")
    assert out.count("\n") == 1
    return json.loads(out)


def test_json_of_every_command(run, tmp_path):
    model = tmp_path / "iris.npz"
    trained = as_json(run, "train", "iris", "--seed", 1, "--epochs", 60, "--save", model)
    assert trained["held_out"]["accuracy"] >= 0.9
    assert trained["epochs"] == len(trained["history"]["cost"]) == 60
    assert trained["saved"] == str(model)
    assert Network.load(model).widths == (4, 128, 128, 3)
    found = as_json(run, "evaluate", model, IRIS)
    predicted = as_json(run, "predict", model, IRIS)
    assert found["examples"] == predicted["examples"] == len(predicted["outputs"]) == 150
    assert found["accuracy"] == predicted["accuracy"]
    assert set(predicted["predicted"]) == set(predicted["classes"]) == set(found["recall"])
    checked = as_json(run, "check", "3-4-2")
    assert checked["ok"]
    assert checked["error"] <= checked["tolerance"]
    assert as_json(run, "check", "3-4-2", "--tolerance", "0", code=1)["ok"] is False
    assert as_json(run, "info")["threads"] >= 1
    code, _, err = run("predict", model, IRIS, "--json", "--output", tmp_path / "x")
    assert (code, "--output does not apply" in err) == (2, True)


def test_evaluate_of_classes_and_of_numbers(run, tmp_path):
    model = tmp_path / "m.npz"
    run("train", "iris", "--loss", "mse", "--epochs", "60", "--save", model)
    code, out, _ = run("evaluate", model, IRIS)
    assert code == 0
    assert float(re.search(r"accuracy +([\d.]+)%", out)[1]) > 85
    assert len(re.findall(r"^recall of \S+ +[\d.]+%$", out, re.M)) == 3
    table = write_houses(tmp_path / "houses.csv")
    run("train", table, "--save", model, "--epochs", "40")
    found = as_json(run, "evaluate", model, table)
    assert 0 < found["mean_error"] < found["rms_error"]
    assert found["r_squared"] > 0.9
    code, _, err = run("evaluate", model, IRIS)
    assert (code, err.count("\n")) == (2, 1)


def test_export(run, tmp_path):
    model = tmp_path / "iris.npz"
    run("train", "iris", "--epochs", "60", "--save", model)
    code, out, _ = run("export", model, "--to", "c", "--weights", "int8", "--data", IRIS)
    assert code == 0
    assert "int8 weights on 150 examples" in out
    assert f"saved as {tmp_path / 'iris.c'}" in out
    assert "void iris_predict(" in (tmp_path / "iris.c").read_text(encoding="utf-8")
    code, _, err = run("export", model, "--to", "c")
    assert (code, "exists; name it with --output" in err) == (2, True)
    output = tmp_path / "other.c"
    assert as_json(run, "export", model, "--to", "c", "--output", output, "--name", "net") == {
        "saved": str(output),
        "bytes": output.stat().st_size,
        "quantization": None,
    }
    code, _, err = run("export", model, "--to", "npz", "--output", tmp_path / "x.c")
    assert (code, "must end with .npz" in err) == (2, True)
    code, _, err = run("export", model, "--to", "onnx", "--weights", "int8")
    assert (code, "are for --to c" in err) == (2, True)


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_export_there_and_back(run, tmp_path, kind):
    pytest.importorskip(kind)
    model = tmp_path / "iris.npz"
    run("train", "iris", "--epochs", "5", "--save", model)
    assert run("export", model, "--to", kind)[0] == 0
    back = tmp_path / "back.npz"
    assert run("export", tmp_path / f"iris.{kind}", "--to", "npz", "--output", back)[0] == 0
    one, other = Network.load(model), Network.load(back)
    np.testing.assert_array_equal(one.parameters, other.parameters)
    assert one.metadata == other.metadata
    assert as_json(run, "evaluate", back, IRIS) == as_json(run, "evaluate", model, IRIS)


def test_a_missing_package_is_named(run, tmp_path, monkeypatch):
    model = tmp_path / "iris.npz"
    Network([2, 2]).save(model)
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = run("export", model, "--to", "onnx")
    assert (code, "onnx" in err, err.count("\n")) == (2, True, 1)


DATES = ["2024-01-31", "2024/1/3 12:30", "31.12.2023", "1/2/24", "07:45:10", "2024-01-31T00:00:00Z"]


@pytest.mark.parametrize("date", DATES)
def test_a_column_of_dates_is_read_refused_or_left_out(run, tmp_path, date):
    table = tmp_path / "sales.csv"
    rows = [f"{at},{date},{'ab'[at % 2]},{at * 2.5}" for at in range(40)]
    table.write_text("\n".join(["size,day,kind,price", *rows]))
    code, out, _ = run("train", table, "--epochs", 1)
    assert code == 0
    assert re.search(r"^day +left out +0  it is constant, one date$", out, re.M)
    code, _, err = run("train", table, "--on-date", "refuse")
    assert code == 2
    assert f"line 2, column 'day': '{date}' is a date or time" in err
    assert run("train", table, "--epochs", "1", "--ignore", "day")[0] == 0
    assert run("train", table, "--epochs", "1", "--categorical", "day")[0] == 0
    code, _, err = run("train", table, "--target", "day")
    assert (code, "is a date or time" in err) == (2, True)
    code, _, err = run("train", "digits", "--ignore", "day")
    assert (code, "are for tables" in err) == (2, True)


def test_texts_that_only_look_a_little_like_dates_are_categories(run, tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"{at},{['2024-01-31', 'never', '1.2.3'][at % 3]},{at}" for at in range(60)]
    table.write_text("\n".join(["size,day,price", *rows]))
    assert run("train", table, "--epochs", "1")[0] == 0


def test_training_goes_on_from_a_checkpoint(run, tmp_path):
    arguments = ["train", "iris", "--hidden", 8, "--json", "--schedule", "constant"]
    whole = json.loads(run(*arguments, "--epochs", 6)[1])
    keep = ["--checkpoint", tmp_path / "run.npz", "--checkpoint-every", "7 steps", "--resume"]
    first = json.loads(run(*arguments, *keep, "--epochs", 4)[1])
    assert first["history"]["cost"] == whole["history"]["cost"][:4]
    second = json.loads(run(*arguments, *keep, "--epochs", 6)[1])
    assert second["history"] == whole["history"]
    assert second["held_out"] == whole["held_out"]
    code, _, err = run(*arguments, *keep, "--dropout", 0.5)
    assert code != 0
    assert "network dropout is [0.5] here, [0.1] in the checkpoint" in err
    assert "checkpoint_every must be" in run(*arguments, *keep, "--checkpoint-every", "x")[2]
    assert run(*arguments, *keep, "--checkpoint-every", "3", "--epochs", 7)[0] == 0


def test_the_checkpoint_is_not_where_the_model_is_saved(run, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"a checkpoint")
    (tmp_path / "link.npz").symlink_to(path)
    for other in (path, tmp_path / "." / "link.npz"):
        code, _, err = run("train", "iris", "--epochs", 1, "--save", other, "--checkpoint", path)
        assert (code, "must be different files" in err) == (2, True)
    assert path.read_bytes() == b"a checkpoint"
