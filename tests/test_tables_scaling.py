"""Robust scaling with smooth clipping: formula, what it is learnt from, and how models keep it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from pybackprop import Network
from pybackprop.cli import main
from pybackprop.datasets import Encoding, RobustScaling, from_frame, load_csv


def by_formula(train, x):
    """The transform as its authors write it, column by column."""
    columns = []
    for known, column in zip(train.T, x.T, strict=True):
        known = known[~np.isnan(known)]
        if known.size == 0:
            columns.append(np.where(np.isnan(column), np.nan, 0.0))
            continue
        width = np.quantile(known, 0.75) - np.quantile(known, 0.25)
        whole = known.max() - known.min()
        factor = 1 / width if width else 2 / whole if whole else 0.0
        u = factor * (column - np.median(known))
        columns.append(u / np.sqrt(1 + (u / 3) ** 2))
    return np.stack(columns, axis=1)


def table(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = np.stack(
        [
            rng.standard_normal(n),
            1e5 * rng.standard_cauchy(n),
            rng.integers(0, 2, n),
            rng.random(n) < 0.1,
            np.full(n, 7.0),
            np.full(n, np.nan),
        ],
        axis=1,
    )
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def test_it_is_the_formula():
    train, x = table(seed=0), table(seed=1)
    scaling = RobustScaling.fit(train)
    np.testing.assert_allclose(scaling(x), by_formula(train, x), rtol=1e-14, atol=1e-15)
    assert np.nanmax(np.abs(scaling(x))) <= 3.0
    # Columns without width become 0, and what is missing stays so.
    assert set(scaling(x)[~np.isnan(x[:, 4]), 4]) == {0.0}
    np.testing.assert_array_equal(np.isnan(scaling(x)), np.isnan(x))


def test_rows_are_scaled_alike_in_pieces_of_any_size():
    x = np.random.default_rng(0).standard_normal((50_000, 9))
    scaling = RobustScaling.fit(x)
    whole = scaling(x)
    for rows in (slice(0, 1), slice(3, 20), slice(40_000, 50_000)):
        np.testing.assert_array_equal(scaling(x[rows]), whole[rows])
    np.testing.assert_array_equal(scaling(np.asfortranarray(x)), whole)
    assert scaling(x[:0]).shape == (0, 9)


def test_numbers_at_the_ends_of_float64():
    scaling = RobustScaling.fit([[0.0], [1.0], [2.0], [3.0]])
    far = np.array([[np.inf], [-np.inf], [1e308], [-1e308], [np.nan]])
    np.testing.assert_array_equal(scaling(far).ravel(), [3, -3, 3, -3, np.nan])
    many = np.exp(np.random.default_rng(0).uniform(0, 700, (100_000, 1)))
    assert np.abs(scaling(many)).max() == 3.0
    tiny = RobustScaling.fit([[0.0], [5e-324], [1e-323], [1.5e-323]])
    assert tiny.factor == (0.0,)
    assert tiny([[1.0]]).tolist() == [[0.0]]
    huge = RobustScaling.fit([[-1.7e308], [-1.7e308], [1.7e308], [1.7e308]])
    assert np.isfinite(huge.center + huge.factor).all()
    scaled = huge([[-1.7e308], [0.0], [1.7e308]]).ravel()
    assert scaled[1] == 0.0
    assert scaled[2] == -scaled[0]
    assert 0.9 < scaled[2] < 1.1


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 2)), "x must have a row at least"),
        ([[1.0, np.inf]], "x must hold finite numbers or NaN, to make a scaling from, got inf"),
        ([1.0, 2.0], r"x must be of shape (N, n), got shape (2,)"),
    ],
)
def test_what_no_scaling_can_be_made_from(x, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RobustScaling.fit(x)


def test_other_columns_are_refused():
    scaling = RobustScaling.fit([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"the 2 columns .*, got shape \(1, 3\)"):
        scaling([[1.0, 2.0, 3.0]])


# ---- of tables ----


@pytest.fixture
def houses(tmp_path):
    """Write a table with an outlier, a gap, and a category."""

    def write(name="houses.csv", n=240, seed=0, lines=()):
        rng = np.random.default_rng(seed)
        area, kind = rng.lognormal(4, 1, n), rng.integers(0, 3, n)
        price = np.log(area) + kind
        cells = ["" if at % 13 == 0 else str(value) for at, value in enumerate(area)]
        rows = [f"{cells[at]},k{kind[at]},{price[at]}" for at in range(n)]
        rows = [*rows[: len(rows) - len(lines)], *lines]
        path = tmp_path / name
        path.write_text("\n".join(["area,kind,price", *rows]))
        return path

    return write


def test_all_inputs_of_a_table_are_scaled_by_the_rows_to_train_on(houses):
    path = houses()
    raw = load_csv(path, hold_out=0.25, seed=1)
    data = load_csv(path, hold_out=0.25, seed=1, scaling="robust")
    np.testing.assert_allclose(data.x, by_formula(raw.x, raw.x), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(data.x_test, by_formula(raw.x, raw.x_test), rtol=1e-13, atol=1e-15)
    shift, scale = data.scaling()
    assert (shift == 0).all()
    assert (scale == 1).all()
    assert raw.encoding.scaling is None
    # Nothing is learnt from held-out rows: other values there leave the encoding as it is.
    held = np.isin(np.arange(240), np.flatnonzero(np.isin(prices(path), raw.y_test)))
    text = path.read_text().split("\n")
    for at in np.flatnonzero(held):
        text[at + 1] = "1e9,k1," + text[at + 1].rsplit(",", 1)[1]
    path.write_text("\n".join(text))
    other = load_csv(path, hold_out=0.25, seed=1, scaling="robust")
    assert other.encoding == data.encoding
    np.testing.assert_array_equal(other.x, data.x)


def prices(path):
    return [float(line.rsplit(",", 1)[1]) for line in path.read_text().split("\n")[1:]]


def test_an_encoding_in_json_has_its_scaling(houses):
    path = houses()
    data = load_csv(path, scaling="robust")
    again = Encoding.from_json(json.loads(json.dumps(data.encoding.to_json())))
    assert again == data.encoding
    np.testing.assert_array_equal(again.encode(path)[0], data.x)
    # Without one, it is what earlier versions wrote.
    assert "scaling" not in load_csv(path).encoding.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, "the kind of a scaling must be one of robust"),
        ({"center": [1.0]}, "center must be a list of 5 numbers"),
        ({"factor": [np.inf] * 5}, "every factor must be a finite number"),
        ({"factor": [None] * 5}, "every factor must be a finite number"),
        ({"more": 1}, "scaling must be a dict of kind, center and factor"),
    ],
)
def test_a_scaling_in_json_is_checked(houses, change, message):
    form = load_csv(houses(), scaling="robust").encoding.to_json()
    form["scaling"] = {**form["scaling"], **change}
    with pytest.raises(ValueError, match=message):
        Encoding.from_json(form)
    with pytest.raises(ValueError, match="scaling must be a dict"):
        Encoding.from_json({**form, "scaling": [1]})


def test_a_frame_can_be_scaled(houses):
    pandas = pytest.importorskip("pandas")
    path = houses()
    # Before pandas 3, what it read could be off by a last bit.
    table = pandas.read_csv(path, converters={"area": lambda cell: float(cell or "nan")})
    frame = from_frame(table, scaling="robust")
    np.testing.assert_array_equal(frame.x, load_csv(path, scaling="robust").x)
    with pytest.raises(ValueError, match="scaling must be \"robust\" or None, but is 'standard'"):
        from_frame(table, scaling="standard")


# ---- on the command line ----


@pytest.fixture
def run(capsys):
    def run_command(*argv):
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def test_a_model_scales_what_it_predicts(run, houses, tmp_path):
    path, model = houses(), tmp_path / "net.npz"
    options = ("--epochs", 40, "--scaling", "robust", "--save", model)
    code, out, _ = run("train", path, *options)
    assert code == 0
    net = Network.load(model)
    assert net.scaling is None
    encoding = Encoding.from_json(net.metadata["encoding"])
    new = houses("new.csv", n=30, seed=5, lines=["1e12,k0,3", ",other,2"])
    expected = net.predict(encoding.read(new).x)
    code, out, _ = run("predict", model, new)
    assert code == 0
    np.testing.assert_allclose([float(line) for line in out.split("\n")[1:-1]], expected[:, 0])
    # An outlier does not take the prediction far.
    assert np.abs(expected).max() < 20
    code, out, _ = run("evaluate", model, path, "--json")
    assert code == 0
    assert json.loads(out)["r_squared"] > 0.8
    # Arrays are in raw units, as for other models.
    raw = load_csv(new).encoding
    assert raw.scaling is None
    np.save(tmp_path / "x.npy", replace(encoding, scaling=None).read(new).x)
    code, out, _ = run("predict", model, tmp_path / "x.npy")
    np.testing.assert_allclose([float(line) for line in out.split("\n")[1:-1]], expected[:, 0])
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    assert run("predict", model, tmp_path / "x.npy")[0] != 0
    code, _, err = run("export", model, "--to", "c")
    assert code == 0
    assert "takes inputs after the robust scaling of the table" in err


def test_folds_and_a_table_of_its_own_are_scaled(run, houses, tmp_path):
    for options in (("--folds", 3), ("--test", houses("test.csv", n=60, seed=3)), ("--refit",)):
        model = tmp_path / "net.npz"
        code, _, _ = run(
            "train", houses(), "--epochs", 20, "--scaling", "robust", "--save", model, *options
        )
        assert code == 0
        assert Network.load(model).metadata["encoding"]["scaling"]["kind"] == "robust"


def test_scaling_is_an_option_for_tables(run, houses, tmp_path):
    code, _, err = run("train", "digits", "--scaling", "robust")
    assert code != 0
    assert "--scaling" in err
    assert "for tables" in err
    models = [tmp_path / f"{at}.npz" for at in range(2)]
    for model, options in zip(models, ((), ("--scaling", "standard")), strict=True):
        assert run("train", houses(), "--epochs", 2, "--save", model, *options)[0] == 0
    one, two = map(Network.load, models)
    np.testing.assert_array_equal(one.parameters, two.parameters)
    np.testing.assert_array_equal(one.scaling, two.scaling)
