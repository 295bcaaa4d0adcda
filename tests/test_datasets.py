"""The Dataset itself, the built-in sets, and load's choice of a loader."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pybackprop import datasets
from pybackprop.datasets import Dataset

DATA = Path(datasets.__file__).with_name("data")


def regression(n=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return Dataset(x, x.sum(axis=1), "regression", ("a", "b", "c"), ("t",))


def test_digits_are_the_published_ones():
    data = datasets.digits()
    assert data.x.shape == (1797, 64)
    assert data.x.dtype == np.uint8
    assert data.x.max() == 16
    assert data.x[0, :16].tolist() == [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]
    published = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(data.y).tolist() == published
    assert int(data.x.sum(dtype=np.int64)) == 561718


def test_iris_is_the_published_one():
    data = datasets.iris()
    assert data.x.shape == (150, 4)
    assert data.class_names == ("setosa", "versicolor", "virginica")
    assert np.bincount(data.y).tolist() == [50, 50, 50]
    assert data.feature_names[2] == "petal length (cm)"
    np.testing.assert_allclose(data.x.mean(axis=0), [5.8433333, 3.0573333, 3.758, 1.1993333])
    # The two rows in which the repository's copy differs from Fisher's paper.
    assert data.x[34].tolist() == [4.9, 3.1, 1.5, 0.2]
    assert data.x[37].tolist() == [4.9, 3.6, 1.4, 0.1]


def test_shipped_files_are_small_and_name_their_source():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 100_000
    sources = (DATA / "SOURCES.txt").read_text()
    for path in DATA.iterdir():
        assert path.name == "SOURCES.txt" or path.name in sources
    assert sources.count("CC BY 4.0") == 2


@pytest.mark.parametrize("make", [datasets.spirals, datasets.moons])
def test_generated_sets_depend_on_nothing_but_the_seed(make):
    one, again, other = make(100, seed=3), make(100, seed=3), make(100, seed=4)
    assert one.x.tobytes() == again.x.tobytes()
    assert one.x.tobytes() != other.x.tobytes()
    assert np.bincount(one.y).tolist() == [50, 50]
    assert np.abs(one.x).max() < 3


def test_spirals_follow_their_equation_without_noise():
    data = datasets.spirals(90, classes=3, turns=2.0, noise=0.0)
    radius = np.hypot(*data.x.T)
    angle = np.arctan2(data.x[:, 1], data.x[:, 0]) / (2 * np.pi)
    turn = (angle - 2.0 * radius - data.y / 3) % 1.0
    assert np.minimum(turn, 1 - turn).max() < 1e-12
    assert radius.min() >= 0.1
    assert radius.max() <= 1.0
    assert len(data.class_names) == 3


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: datasets.spirals(10, classes=1), "classes"),
        (lambda: datasets.spirals(1), "n must"),
        (lambda: datasets.moons(0), "n must"),
        (lambda: datasets.moons(10, noise=-1.0), "noise"),
        (lambda: datasets.moons(10, noise=float("nan")), "noise"),
    ],
)
def test_generators_refuse_bad_arguments(call, word):
    with pytest.raises(ValueError, match=word):
        call()


def test_split_is_stratified_and_complete():
    data = datasets.digits()
    parts = data.split(0.2, seed=1)
    assert len(parts.x) + len(parts.x_test) == 1797
    held = np.bincount(parts.y_test)
    assert np.abs(held - 0.2 * np.bincount(data.y)).max() <= 0.5
    both = np.concatenate([parts.x, parts.x_test])
    assert np.array_equal(np.sort(both, axis=0), np.sort(data.x, axis=0))
    again = data.split(0.2, seed=1)
    assert again.x_test.tobytes() == parts.x_test.tobytes()
    assert data.split(0.2, seed=2).x_test.tobytes() != parts.x_test.tobytes()


def test_split_keeps_and_holds_out_one_of_every_small_class():
    x = np.arange(5.0)[:, None]
    data = Dataset(
        x, np.array([0, 1, 1, 2, 2]), "classification", ("a",), ("t",), ("one", "two", "three")
    )
    for fraction in (0.01, 0.99):
        parts = data.split(fraction)
        assert np.bincount(parts.y, minlength=3).tolist() == [1, 1, 1]
        assert np.bincount(parts.y_test, minlength=3).tolist() == [0, 1, 1]


def test_split_of_regression_rounds_the_fraction():
    parts = regression(20).split(0.25)
    assert (len(parts.x), len(parts.x_test)) == (15, 5)
    np.testing.assert_array_equal(parts.x_test.sum(axis=1), parts.y_test)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), 0.001])
def test_split_refuses_bad_fractions(fraction):
    with pytest.raises(ValueError, match="fraction"):
        regression().split(fraction)


def test_split_refuses_a_second_held_out_part():
    with pytest.raises(ValueError, match="held-out"):
        regression().split(0.2).split(0.2)


def test_scaling_standardises_the_training_part():
    rng = np.random.default_rng(0)
    x = rng.normal([1e6, -3.0, 0.0], [0.5, 100.0, 1e-9], size=(5000, 3))
    data = replace(regression(5000), x=x).split(0.3)
    shift, scale = data.scaling()
    scaled = (data.x - shift) * scale
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_leaves_constant_columns_finite(dtype):
    x = np.full((3000, 3), 0.1, dtype=dtype)
    x[:, 1] = np.arange(3000)
    shift, scale = replace(regression(3000), x=x).scaling()
    assert scale[[0, 2]].tolist() == [1.0, 1.0]
    assert ((x - shift) * scale)[:, [0, 2]].tolist() == [[0.0, 0.0]] * 3000


def test_scaling_of_images_is_common_to_all_pixels():
    x = np.random.default_rng(0).integers(0, 256, size=(50, 30, 40), dtype=np.uint8)
    data = replace(
        regression(50), x=x.reshape(50, -1), feature_names=tuple(str(i) for i in range(1200))
    )
    shift, scale = data.scaling()
    np.testing.assert_allclose(shift, np.full(1200, x.mean()))
    np.testing.assert_allclose(scale, np.full(1200, 1 / x.std()))
    black = replace(data, x=np.zeros((50, 1200), np.uint8)).scaling()
    assert (black[0] == 0).all()
    assert (black[1] == 1).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"x": np.zeros((20, 2))}, r"x must be of shape \(N, 3\)"),
        ({"x": np.zeros((0, 3))}, "x must be of shape"),
        ({"x": np.zeros((20, 3), int)}, "x must be uint8, float32 or float64"),
        ({"y": np.zeros(19)}, "y must be float64"),
        ({"y": np.zeros(20, int)}, "y must be float64"),
        ({"task": "guess"}, "task"),
        ({"task": "classification"}, "class_names"),
        ({"class_names": ("a",)}, "class_names"),
        ({"x_test": np.zeros((2, 3))}, "x_test and y_test"),
        ({"x_test": np.zeros((2, 3)), "y_test": np.zeros(3)}, "y_test"),
        ({"x_test": np.zeros((2, 3), np.float32), "y_test": np.zeros(2)}, "x_test must be float64"),
    ],
)
def test_dataset_refuses_parts_that_do_not_fit(change, word):
    with pytest.raises(ValueError, match=word):
        replace(regression(), **change)


def test_dataset_refuses_labels_outside_the_classes():
    with pytest.raises(ValueError, match="2 classes"):
        replace(datasets.moons(10), y=np.arange(10))


@pytest.mark.parametrize("name", ["digits", "iris", "moons", "spirals"])
def test_load_knows_the_built_in_names(name):
    data = datasets.load(name)
    assert data.name == name
    assert data.n_outputs == len(data.class_names)
    assert data.x.shape == (data.n_examples, data.n_features)


def test_load_chooses_by_suffix(tmp_path, monkeypatch):
    iris = datasets.iris()
    text = (DATA / "iris.csv").read_bytes()
    for name in ("a.csv", "a.data", "a.txt"):
        (tmp_path / name).write_bytes(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.tsv").write_bytes(text.replace(b",", b"\t"))
    np.savez(tmp_path / "a.npz", X=iris.x, y=iris.y)
    np.save(tmp_path / "x.npy", iris.x)
    np.save(tmp_path / "y.npy", iris.y)
    for name in ["a.csv", "a.data", "a.txt", "a.csv.gz", "a.tsv", "a.npz", "x.npy", "."]:
        data = datasets.load(tmp_path / name)
        np.testing.assert_array_equal(data.x, iris.x)
        np.testing.assert_array_equal(data.y, iris.y)
    data = datasets.load(str(tmp_path / "x.npy"), target=str(tmp_path / "y.npy"))
    np.testing.assert_array_equal(data.y, iris.y)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert datasets.load("digits").n_features == 64
    with pytest.raises(ValueError, match=r"neither x\.npy"):
        datasets.load("./digits")


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        (("digitz",), FileNotFoundError, "digitz.*digits, iris"),
        (("a.png",), ValueError, re.escape("unknown kind of file")),
        (("digits", "label"), ValueError, "target does not apply"),
        (("a.npz", "label"), ValueError, "target does not apply"),
        (("x.npy", 3), ValueError, "target must be the path"),
        (("other.npy",), ValueError, "name the file of the targets"),
    ],
)
def test_load_refuses_what_it_cannot_load(tmp_path, monkeypatch, arguments, error, word):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "a.npz", "x.npy", "other.npy"):
        (tmp_path / name).touch()
    with pytest.raises(error, match=word):
        datasets.load(*arguments)


def test_repr_is_short():
    data = regression()
    assert repr(data) == (
        "Dataset(x=float64 (20, 3), y=float64 (20,), task='regression', "
        "feature_names=('a', 'b', 'c'), target_names=('t',))"
    )
    iris = datasets.iris().split(0.2)
    assert repr(iris).startswith("Dataset('iris', x=float64 (120, 4), y=int64 (120,), x_test=")
    assert "class_names=('setosa', 'versicolor', 'virginica')" in repr(iris)
    names = tuple(f"{at}" * 200 for at in range(20_000))
    wide = Dataset(np.zeros((1, 20_000)), np.zeros(1), "regression", names, ("t",))
    assert len(repr(wide)) < 500
    assert f"feature_names=('{'0' * 40}...', '{'1' * 40}...', " in repr(wide)
