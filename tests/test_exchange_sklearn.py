"""Networks from estimators: their function and their names, whatever the settings."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp

pytest.importorskip("sklearn")
from sklearn import neural_network as theirs
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, PowerTransformer, StandardScaler

from pybackprop import sklearn as ours

RNG = np.random.default_rng(4)
X = RNG.normal(size=(90, 4)) * [1, 2, 3, 4] + [0, 5, 0, 5]
LABELS = {
    "two": np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)],
    "three": np.array(["c", "a", "b"])[np.arange(90) % 3],
    "numbers": np.array([10, -3, 7])[np.arange(90) % 3],
    "several": (X[:, :3] > 0).astype(int),
}
BOTH = pytest.mark.parametrize("package", [theirs, ours], ids=["theirs", "ours"])


def fitted(estimator: Any, x: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(x, y)


def classifier(package: Any, **settings: Any) -> Any:
    return package.MLPClassifier((6, 5), max_iter=3, random_state=0, **settings)


def regressor(package: Any, **settings: Any) -> Any:
    return package.MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0, **settings)


def frame(x: Any) -> Any:
    """A DataFrame, with a name for every column."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(x, columns=[f"feature {at}" for at in range(x.shape[1])])


@BOTH
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_classifiers(package: Any, kind: str, activation: str) -> None:
    steps = make_pipeline(StandardScaler(), classifier(package, activation=activation))
    pipe = fitted(steps, X, LABELS[kind])
    net = bp.Network.from_sklearn(pipe)
    np.testing.assert_allclose(net.predict(X), pipe.predict_proba(X), atol=1e-6)
    labels = [str(label) for label in pipe.classes_]
    if kind == "several":
        assert (net.loss, net.metadata) == ("binary_cross_entropy", {"target_names": labels})
    else:
        assert (net.loss, net.metadata) == ("cross_entropy", {"class_names": labels})
        best = np.array(labels)[net.predict(X).argmax(axis=1)]
        assert (best == pipe.predict(X).astype(str)).all()


@BOTH
@pytest.mark.parametrize("n_out", [1, 2])
def test_regressors(package: Any, n_out: int) -> None:
    estimator = fitted(regressor(package), X[:, :2], X[:, 2 : 2 + n_out].squeeze())
    net = bp.Network.from_sklearn(estimator)
    expected = estimator.predict(X[:, :2]).reshape(-1, n_out)
    np.testing.assert_allclose(net.predict(X[:, :2]), expected, atol=1e-5)
    assert (net.loss, net.metadata) == ("mse", {})


@BOTH
def test_an_output_that_no_network_has_is_named(package: Any) -> None:
    estimator = fitted(regressor(package, loss="poisson"), X[:, :3], abs(X[:, 3]))
    with pytest.raises(ValueError, match=r"output activation 'exp', that of loss='poisson'"):
        bp.Network.from_sklearn(estimator)


def test_a_parameter_set_after_the_fit_changes_nothing() -> None:
    estimator = fitted(classifier(ours, activation=["tanh", "relu"]), X, LABELS["three"])
    expected = estimator.predict_proba(X)
    estimator.set_params(activation="logistic")
    np.testing.assert_array_equal(estimator.predict_proba(X), expected)
    net = bp.Network.from_sklearn(estimator)
    assert net.activations == ("tanh", "relu", "softmax")
    np.testing.assert_allclose(net.predict(X), expected, atol=1e-6)


def test_a_scaling_of_the_estimators_network_is_kept() -> None:
    estimator = fitted(classifier(ours), X, LABELS["three"])
    estimator.network_.set_scaling([1, 2, 3, 4], [2, 2, 2, 2])
    net = bp.Network.from_sklearn(estimator)
    np.testing.assert_allclose(net.predict(X), estimator.predict_proba(X), atol=1e-6)


@BOTH
@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("with_std", [False, True])
def test_scalers_and_passthrough(package: Any, with_mean: bool, with_std: bool) -> None:
    scaler = StandardScaler(with_mean=with_mean, with_std=with_std)
    steps = [("a", "passthrough"), ("b", scaler), ("c", None), ("d", classifier(package))]
    pipe = fitted(Pipeline(steps), X, LABELS["three"])
    np.testing.assert_allclose(
        bp.Network.from_sklearn(pipe).predict(X), pipe.predict_proba(X), atol=1e-6
    )


class Doubled(StandardScaler):  # type: ignore[misc]
    """A StandardScaler of twice the size."""

    def transform(self, X: Any, copy: Any = None) -> Any:
        return 2 * super().transform(X, copy)


class Squared(theirs.MLPRegressor):  # type: ignore[misc]
    """An estimator that makes something of its outputs."""

    def predict(self, X: Any) -> Any:
        return super().predict(X) ** 2


class MLPClassifier:
    """Has the name of scikit-learn's, its attributes, and nothing else of it."""

    hidden_layer_sizes, activation, out_activation_ = (), "relu", "softmax"
    coefs_, intercepts_ = (np.eye(4),), (np.ones(4),)


def test_what_only_looks_like_an_estimator_is_refused() -> None:
    y = LABELS["three"]
    for step, match in (
        (Doubled(), "doubled"),
        (MinMaxScaler(), "minmaxscaler"),
        (PowerTransformer(), "powertransformer"),
        (ColumnTransformer([("a", StandardScaler(), [0])]), "columntransformer"),
        (make_pipeline(StandardScaler()), "pipeline"),
    ):
        pipe = fitted(make_pipeline(step, classifier(theirs)), X, y)
        with pytest.raises(ValueError, match=rf"step '{match}' .* is not one StandardScaler"):
            bp.Network.from_sklearn(pipe)
    twice = fitted(make_pipeline(StandardScaler(), StandardScaler(), classifier(theirs)), X, y)
    with pytest.raises(ValueError, match="standardscaler-2"):
        bp.Network.from_sklearn(twice)
    with pytest.raises(TypeError, match="Squared has methods of its own"):
        bp.Network.from_sklearn(fitted(Squared(max_iter=2), X[:, :3], X[:, 3]))
    for other in (MLPClassifier(), make_pipeline(StandardScaler()), "mlp", None):
        with pytest.raises(TypeError, match="estimator must be"):
            bp.Network.from_sklearn(other)
    with pytest.raises(ValueError, match="estimator is not fitted"):
        bp.Network.from_sklearn(make_pipeline(classifier(ours)))


@BOTH
def test_a_subclass_that_only_decides_otherwise_is_read(package: Any) -> None:
    class Cautious(package.MLPClassifier):  # type: ignore[misc, name-defined]
        def predict(self, X: Any) -> Any:
            return self.classes_[(self.predict_proba(X)[:, 1] > 0.9).astype(int)]

    estimator = fitted(Cautious(max_iter=2), X, LABELS["two"])
    np.testing.assert_allclose(
        bp.Network.from_sklearn(estimator).predict(X), estimator.predict_proba(X), atol=1e-6
    )


# ---- names ----


@BOTH
@pytest.mark.parametrize("scaled", [False, True])
def test_names_of_features_come_through_a_pipeline(package: Any, scaled: bool) -> None:
    x = frame(X)
    steps = [StandardScaler()] if scaled else []
    pipe = fitted(make_pipeline(*steps, classifier(package)), x, LABELS["two"])
    assert bp.Network.from_sklearn(pipe).metadata == {
        "class_names": ["no", "yes"],
        "feature_names": list(x.columns),
    }


@BOTH
def test_a_class_without_another_has_no_names_that_do_not_fit(package: Any) -> None:
    net = bp.Network.from_sklearn(fitted(classifier(package), X, np.zeros(len(X))))
    assert (net.widths[-1], net.metadata) == (2, {})


def test_the_network_of_an_estimator_has_its_names(tmp_path: Path) -> None:
    x = frame(X)
    names = {"class_names": ["a", "b", "c"], "feature_names": list(x.columns)}
    net = fitted(classifier(ours), x, LABELS["three"]).network_
    assert net.metadata == names
    net.save(tmp_path / "net.npz")
    assert bp.Network.load(tmp_path / "net.npz").metadata == names
    net.to_c(tmp_path / "net.c")
    text = re.sub(r"\s*\n \*\s*", " ", (tmp_path / "net.c").read_text(encoding="utf-8"))
    assert "x: feature 0, feature 1, feature 2, feature 3." in text
    assert "y: a, b, c." in text

    two = fitted(classifier(ours), X, LABELS["two"])
    assert two.network_.metadata == {"target_names": ["yes"]}
    several = fitted(classifier(ours), X, LABELS["several"])
    assert several.network_.metadata == {"target_names": ["0", "1", "2"]}
    numbers = fitted(regressor(ours), frame(X[:, :3]), X[:, 3])
    assert numbers.network_.metadata == {"feature_names": ["feature 0", "feature 1", "feature 2"]}


def test_the_network_of_an_estimator_takes_its_names_to_onnx(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    fitted(classifier(ours), X, LABELS["three"]).network_.to_onnx(path)
    properties = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert properties["class_names"] == '["a", "b", "c"]'
    assert bp.Network.from_onnx(path).metadata == {"class_names": ["a", "b", "c"]}


def test_names_follow_further_fits(tmp_path: Path) -> None:
    estimator = classifier(ours, warm_start=True)
    fitted(estimator, frame(X), LABELS["three"])
    estimator.network_.metadata = {**estimator.network_.metadata, "note": "mine"}
    kept = dict(estimator.network_.metadata)
    estimator.set_params(alpha=0.5)
    assert fitted(estimator, frame(X), LABELS["three"]).network_.metadata == kept
    estimator.set_params(alpha=0.7)
    estimator.partial_fit(frame(X), LABELS["three"])
    assert estimator.network_.metadata == kept
    estimator.set_params(warm_start=False)
    fitted(estimator, X, LABELS["numbers"])
    assert estimator.network_.metadata == {"class_names": ["-3", "7", "10"]}
