"""The estimators against scikit-learn's: same curves, same attributes, same conventions."""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

import scipy.sparse  # noqa: E402
import sklearn.neural_network as peer  # noqa: E402
from sklearn import datasets  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.metrics import accuracy_score, mean_pinball_loss, r2_score  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler, scale  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import pybackprop as bp  # noqa: E402
from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def iris() -> tuple[Any, Any]:
    x, y = datasets.load_iris(return_X_y=True)
    return scale(x), y


def cancer() -> tuple[Any, Any]:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return scale(x), y


def diabetes() -> tuple[Any, Any]:
    x, y = datasets.load_diabetes(return_X_y=True)
    return scale(x), scale(y)


def both(name: str, **arguments: Any) -> tuple[Any, Any]:
    """The estimator of scikit-learn and ours, with the same arguments."""
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[name]
    return getattr(peer, name)(**arguments), ours(**arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor()])
def test_estimator_checks(estimator: Any) -> None:
    results = check_estimator(estimator)
    assert sum(result["status"] == "passed" for result in results) > 50
    skipped = {
        "check_array_api_input",
        "check_classifiers_multilabel_output_format_decision_function",
    }
    if importlib.util.find_spec("pandas") is None:
        skipped |= {
            "check_classifier_data_not_an_array",
            "check_regressor_data_not_an_array",
            "check_sample_weights_pandas_series",
        }
    assert {result["check_name"] for result in results if result["status"] == "skipped"} <= skipped


SOLVERS: dict[str, dict[str, Any]] = {
    "sgd": {"solver": "sgd"},
    "plain momentum": {"solver": "sgd", "activation": "tanh", "nesterovs_momentum": False},
    "invscaling": {"solver": "sgd", "activation": "logistic", "learning_rate": "invscaling"},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2},
    "no momentum": {"solver": "sgd", "activation": "identity", "momentum": 0.0},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
}


@unfinished
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("name", "data"),
    [("MLPClassifier", iris), ("MLPClassifier", cancer), ("MLPRegressor", diabetes)],
)
def test_loss_curve_is_scikit_learns(name: str, data: Any, solver: str, weighted: bool) -> None:
    """Equal initial weights, full batch, float64, 50 steps."""
    x, y = data()
    weight = np.random.default_rng(0).random(len(x)) + 0.1 if weighted else None
    arguments: dict[str, Any] = {
        "hidden_layer_sizes": (20, 10),
        "learning_rate_init": 0.05,
        "alpha": 0.1,
        "batch_size": len(x),
        "max_iter": 50,
        "random_state": 3,
    }
    theirs, ours = both(name, **{**arguments, **SOLVERS[solver]})
    for estimator in (theirs, ours):
        estimator.fit(x, y, sample_weight=weight)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) > 15
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-10)
    for mine, other in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-10)
    for attribute in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, abs=1e-10)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=0, atol=1e-10)


@unfinished
def test_multilabel_and_poisson_curves_are_scikit_learns() -> None:
    x, y = datasets.make_multilabel_classification(200, 10, n_classes=4, random_state=0)
    arguments = {"solver": "sgd", "batch_size": 200, "max_iter": 50, "random_state": 1}
    theirs, ours = both("MLPClassifier", **arguments)
    for estimator in (theirs, ours):
        estimator.fit(x / 10, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(ours.predict(x / 10), theirs.predict(x / 10))
    np.testing.assert_allclose(ours.predict_proba(x / 10), theirs.predict_proba(x / 10), atol=1e-10)

    x, y = datasets.make_regression(200, 10, n_targets=2, random_state=0)
    counts = np.abs(y / 100)
    theirs, ours = both("MLPRegressor", loss="poisson", **arguments)
    for estimator in (theirs, ours):
        estimator.fit(x, counts)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-9)
    with pytest.raises(ValueError, match="y must be >= 0"):
        ours.fit(x, -counts)

    theirs, ours = both("MLPRegressor", **arguments)
    for estimator in (theirs, ours):
        estimator.fit(x, y / 100)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-10)
    # What is minimised sums over outputs; scikit-learn reports the mean but for the penalty.
    assert ours.loss_ == pytest.approx(2 * theirs.loss_, rel=1e-3)


@unfinished
@pytest.mark.parametrize(("name", "data"), [("MLPClassifier", cancer), ("MLPRegressor", diabetes)])
def test_early_stopping_is_scikit_learns(name: str, data: Any) -> None:
    x, y = data()
    weight = np.random.default_rng(0).random(len(x))
    arguments = {
        "solver": "sgd",
        "learning_rate_init": 0.1,
        "batch_size": 300,
        "shuffle": False,
        "early_stopping": True,
        "max_iter": 60,
        "random_state": 5,
        "alpha": 0.0,
        "n_iter_no_change": 4,
        "validation_fraction": 0.3,
    }
    theirs, ours = both(name, **arguments)
    ours.set_params(dtype="float64")
    for estimator in (theirs, ours):
        estimator.fit(x, y, sample_weight=weight)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, atol=1e-10)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert ours.best_loss_ is None
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-10)
    assert len(ours.validation_loss_curve_) == ours.n_iter_
    assert ours.converged_ == (ours.n_iter_ < 60)


def test_lbfgs_reaches_scikit_learns_minimum() -> None:
    x, y = iris()
    arguments: dict[str, Any] = {
        "hidden_layer_sizes": (8,),
        "activation": "tanh",
        "solver": "lbfgs",
        "alpha": 1.0,
        "random_state": 2,
        "max_iter": 500,
    }
    theirs, ours = both("MLPClassifier", **arguments)
    assert ours.fit(x, y).loss_ == pytest.approx(theirs.fit(x, y).loss_, rel=1e-3)
    assert ours.converged_
    assert ours.network_.dtype == np.float64
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    single = clone(ours).set_params(dtype="float32").fit(x, y)
    assert single.network_.dtype == np.float32
    assert single.loss_ == pytest.approx(ours.loss_, rel=1e-4)
    sparse = clone(ours).fit(scipy.sparse.csr_matrix(x), y)
    assert sparse.loss_ == pytest.approx(ours.loss_)
    assert not hasattr(ours, "partial_fit")
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        clone(ours).set_params(max_iter=2).fit(x, y)


@unfinished
def test_minibatches_learn_as_well_as_scikit_learns() -> None:
    x, y = datasets.load_digits(return_X_y=True)
    theirs, ours = both("MLPClassifier", hidden_layer_sizes=(30,), max_iter=10, random_state=0)
    for estimator in (theirs, ours):
        estimator.fit(x[:1200], y[:1200])
    assert ours.network_.dtype == np.float32
    assert ours.score(x[1200:], y[1200:]) > theirs.score(x[1200:], y[1200:]) - 0.03
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=0.2)


@unfinished
def test_partial_fit_goes_on_and_keeps_the_state_of_the_optimizer() -> None:
    x, y = iris()
    arguments = {"batch_size": 32, "random_state": 0, "max_iter": 6, "dtype": "float64"}
    whole = MLPClassifier(**arguments).fit(x, y)
    parts = MLPClassifier(**arguments)
    for _ in range(6):
        parts.partial_fit(x, y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-6)
    assert parts.t_ == whole.t_ == 900
    copied = pickle.loads(pickle.dumps(parts))
    for estimator in (parts, copied):
        estimator.partial_fit(x, y)
    np.testing.assert_array_equal(parts.predict_proba(x), copied.predict_proba(x))
    with pytest.raises(ValueError, match="classes not in"):
        parts.partial_fit(x, y + 1)
    with pytest.raises(ValueError, match="not the same as on last call"):
        parts.partial_fit(x, y, classes=[0, 1])


def test_partial_fit_with_early_stopping() -> None:
    x, y = diabetes()
    for validation in ({}, {"X_val": x[300:], "y_val": y[300:]}):
        net = MLPRegressor(
            early_stopping=True, random_state=0, learning_rate_init=0.02, n_iter_no_change=5
        )
        calls = 0
        while calls == 0 or not net.converged_:
            net.partial_fit(x[:300], y[:300], **validation)
            calls += 1
            assert calls < 300
        assert calls == len(net.validation_scores_) == len(net.validation_loss_curve_) > 5
        assert net.best_validation_score_ == max(net.validation_scores_)
        if validation:  # the weights with the best score are back
            assert r2_score(y[300:], net.predict(x[300:])) == pytest.approx(
                net.best_validation_score_
            )


@unfinished
def test_warm_start_goes_on() -> None:
    x, y = iris()
    net = MLPClassifier(warm_start=True, max_iter=3, random_state=0)
    for calls in (1, 2, 3):
        net.fit(x, y)
        assert len(net.loss_curve_) == 3 * calls
    assert net.loss_curve_ == sorted(net.loss_curve_, reverse=True)
    with pytest.raises(ValueError, match="same classes"):
        net.fit(x[y < 2], y[y < 2])
    with pytest.raises(ValueError, match="widths"):
        net.set_params(hidden_layer_sizes=(7,)).fit(x, y)
    fresh = net.set_params(warm_start=False).fit(x, y)
    assert fresh.coefs_[0].shape == (4, 7)
    assert len(fresh.loss_curve_) == 3


@unfinished
def test_sparse_input_gives_what_dense_input_gives() -> None:
    x, y = datasets.load_digits(return_X_y=True)
    weight = np.random.default_rng(0).integers(0, 3, len(x))
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csc_array):
        nets = [
            MLPClassifier(
                max_iter=3, random_state=0, dropout=0.2, early_stopping=True, dtype="float64"
            ).fit(data, y, sample_weight=weight)
            for data in (x, kind(x))
        ]
        np.testing.assert_allclose(nets[1].loss_curve_, nets[0].loss_curve_, rtol=1e-10)
        np.testing.assert_allclose(nets[1].validation_loss_curve_, nets[0].validation_loss_curve_)
        np.testing.assert_allclose(nets[1].predict_proba(kind(x)), nets[0].predict_proba(x))


@unfinished
def test_losses_of_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 1))
    y = x[:, 0] + rng.exponential(1.0, 2000)
    settings = {
        "hidden_layer_sizes": (),
        "learning_rate_init": 0.02,
        "max_iter": 60,
        "random_state": 0,
    }
    for quantile in (0.2, 0.9):
        net = MLPRegressor("quantile", quantile=quantile, **settings).fit(x, y)
        assert (y < net.predict(x)).mean() == pytest.approx(quantile, abs=0.03)
        loss = mean_pinball_loss(y, net.predict(x), alpha=quantile)
        assert net.loss_ == pytest.approx(loss, rel=0.02)
    median = MLPRegressor("absolute_error", **settings).fit(x, y)
    assert (y < median.predict(x)).mean() == pytest.approx(0.5, abs=0.03)
    assert median.loss_ == pytest.approx(np.abs(y - median.predict(x)).mean(), rel=0.02)
    huber = MLPRegressor("huber", **settings).fit(x, y)
    mean = MLPRegressor(**settings).fit(x, y)
    bias = [net.intercepts_[0][0] for net in (median, huber, mean)]
    assert bias[0] < bias[1] < bias[2] == pytest.approx(1.0, abs=0.1)

    def user(a: Any, b: Any) -> tuple[Any, Any]:
        return 0.5 * ((a - b) ** 2).sum(axis=1), a - b

    own = MLPRegressor(user, **settings).fit(x, y)
    np.testing.assert_allclose(own.predict(x), mean.predict(x), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="loss must be one of"):
        MLPRegressor("cubic").fit(x, y)


@unfinished
def test_class_weight_is_a_sample_weight() -> None:
    x, y = iris()
    x, y = x[:120], y[:120]  # 50, 50 and 20 of the classes
    arguments = {"max_iter": 5, "random_state": 0}
    balanced = MLPClassifier(class_weight="balanced", **arguments).fit(x, y)
    weight = (120 / 3 / np.bincount(y))[y]
    given = MLPClassifier(**arguments).fit(x, y, sample_weight=weight)
    assert balanced.loss_curve_ == given.loss_curve_
    by_label = MLPClassifier(class_weight={2: 0.0}, **arguments).fit(x, y)
    left_out = MLPClassifier(**arguments).fit(x, y, sample_weight=(y < 2).astype(int))
    assert by_label.loss_curve_ == left_out.loss_curve_
    # Those of classes multiply those of rows.
    own = np.arange(120) % 5 + 0.5
    both = MLPClassifier(class_weight={0: 2.0, 1: 0.5}, **arguments).fit(x, y, sample_weight=own)
    product = MLPClassifier(**arguments).fit(x, y, sample_weight=own * np.array([2, 0.5, 1])[y])
    assert both.loss_curve_ == product.loss_curve_
    with pytest.raises(ValueError, match="class_weight must be a dict"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1, 2])


@unfinished
def test_validation_data_and_callbacks() -> None:
    x, y = cancer()
    seen: list[Any] = []

    def watch(end: Any) -> bool:
        seen.append(end)
        return len(seen) == 4

    net = MLPClassifier(random_state=0, callbacks=watch).fit(
        x[:400], y[:400], X_val=x[400:], y_val=y[400:]
    )
    assert [end.cost for end in seen] == net.loss_curve_
    assert [end.val_cost for end in seen] == net.validation_loss_curve_
    assert [end.lr for end in seen] == [0.001] * 4
    assert net.n_iter_ == 4
    assert net.validation_scores_[-1] == accuracy_score(y[400:], net.predict(x[400:]))
    assert net.validation_loss_curve_[-1] == pytest.approx(
        net.network_.cost(x[400:], y[400:]), rel=1e-5
    )
    with pytest.raises(ValueError, match="y_val is missing"):
        net.fit(x, y, X_val=x)
    with pytest.raises(ValueError, match="30 features"):
        net.fit(x, y, X_val=x[:, :3], y_val=y)


@unfinished
def test_an_interrupt_ends_the_fit_with_what_was_learnt() -> None:
    x, y = iris()

    def interrupt(end: Any) -> None:
        if end.epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        net = MLPClassifier(random_state=0, callbacks=interrupt).fit(x, y)
    assert net.n_iter_ == len(net.loss_curve_) == 3
    assert net.predict(x).shape == y.shape


@unfinished
def test_precision_of_products() -> None:
    x, y = iris()
    net = MLPClassifier(precision="bf16", max_iter=60, batch_size=30, random_state=0).fit(x, y)
    assert net.network_.precision == "bf16"
    assert net.score(x, y) > 0.9
    with pytest.raises(ValueError, match="precision 'bf16' is for float32 networks"):
        MLPClassifier(precision="bf16", dtype="float64").fit(x, y)


@unfinished
def test_activations_dropout_dtype_threads() -> None:
    x, y = iris()
    net = MLPClassifier(
        (8, 9, 10),
        ("gelu", "logistic", "selu"),
        dropout=(0.1, 0.0, 0.5),
        dtype="float32",
        threads=1,
        max_iter=3,
        random_state=0,
    )
    before = bp.get_threads()
    net.fit(x, y)
    assert bp.get_threads() == before
    assert net.network_.activations == ("gelu", "sigmoid", "selu", "softmax")
    assert net.network_.dropout == (0.1, 0.0, 0.5)
    assert {w.dtype for w in net.coefs_} == {np.dtype(np.float32)}
    # One batch of all rows is trained in float64 by default, several in float32.
    assert MLPClassifier(max_iter=1).fit(x, y).coefs_[0].dtype == np.float64
    assert MLPClassifier(max_iter=1, batch_size=50).fit(x, y).coefs_[0].dtype == np.float32


@unfinished
def test_weights_can_be_read_and_set() -> None:
    x, y = iris()
    theirs, ours = both("MLPClassifier", hidden_layer_sizes=(5,), max_iter=2, random_state=0)
    assert not hasattr(ours, "coefs_")
    with pytest.raises(NotFittedError):
        ours.predict(x)
    theirs.fit(x, y)
    ours.fit(x, y).set_params(dtype="float64")
    ours.coefs_, ours.intercepts_ = theirs.coefs_, theirs.intercepts_
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x))
    ours.coefs_[1] = theirs.coefs_[1] = 2 * theirs.coefs_[1]
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x))
    with pytest.raises(ValueError, match="read-only"):
        ours.coefs_[0][0, 0] = 1.0
    with pytest.raises(ValueError, match=r"coefs_\[0\] must have shape \(4, 5\)"):
        ours.coefs_[0] = np.zeros((5, 4))
    assert isinstance(pickle.loads(pickle.dumps(ours.coefs_)), list)


@unfinished
def test_pickle_and_clone() -> None:
    x, y = diabetes()
    for net in (
        MLPRegressor(max_iter=2, random_state=0),
        MLPRegressor("quantile", max_iter=2, random_state=0, quantile=0.3),
    ):
        net.fit(x, y)
        copied = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(copied.predict(x), net.predict(x))
        assert copied.loss_curve_ == net.loss_curve_
        again = clone(net)
        assert not hasattr(again, "coefs_")
        np.testing.assert_array_equal(again.fit(x, y).predict(x), net.predict(x))


@unfinished
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library: str) -> None:
    frames = pytest.importorskip(library)
    x, y = iris()
    labels = np.array(["setosa", "versicolor", "virginica"])[y]
    frame = frames.DataFrame({f"f{i}": x[:, i] for i in range(4)})
    net = MLPClassifier(max_iter=5, random_state=0).fit(frame, frames.Series(labels))
    assert net.feature_names_in_.tolist() == ["f0", "f1", "f2", "f3"]
    assert set(net.predict(frame)) <= set(labels)
    np.testing.assert_array_equal(
        net.predict_proba(frame),
        MLPClassifier(max_iter=5, random_state=0).fit(x, y).predict_proba(x),
    )
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[["f1", "f0", "f2", "f3"]])


@unfinished
def test_metadata_routing() -> None:
    x, y = iris()
    weight = np.random.default_rng(0).random(len(x))
    with sklearn.config_context(enable_metadata_routing=True):
        net = MLPClassifier(max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, net).fit(x, y, sample_weight=weight)
    plain = MLPClassifier(max_iter=3, random_state=0).fit(
        StandardScaler().fit_transform(x), y, sample_weight=weight
    )
    np.testing.assert_array_equal(routed[-1].coefs_[0], plain.coefs_[0])
    with sklearn.config_context(enable_metadata_routing=True):
        net = MLPClassifier(early_stopping=True, max_iter=3, random_state=0)
        steps = [("scale", StandardScaler()), ("net", net.set_fit_request(X_val=True, y_val=True))]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(x[::2], y[::2], X_val=x[1::2], y_val=y[1::2])
    assert pipeline.score(x[1::2], y[1::2]) == net.best_validation_score_


@unfinished
def test_bad_arguments() -> None:
    x, y = iris()
    for name, value in {
        "hidden_layer_sizes": (0,),
        "activation": "swish",
        "solver": "rprop",
        "alpha": -1.0,
        "batch_size": 0,
        "learning_rate": "cosine",
        "learning_rate_init": 0.0,
        "max_iter": 0,
        "momentum": 1.5,
        "validation_fraction": 1.0,
        "beta_1": 1.0,
        "epsilon": 0.0,
        "n_iter_no_change": 0,
        "dropout": 1.0,
        "dtype": "float16",
        "precision": "int8",
        "threads": 0,
    }.items():
        with pytest.raises(ValueError, match=name):
            MLPClassifier(**{name: value}).fit(x, y)
    with pytest.warns(UserWarning, match="clipped"):
        MLPClassifier(batch_size=1000, max_iter=1).fit(x, y)
    with pytest.raises(ValueError, match="non-finite"):
        MLPRegressor(solver="sgd", learning_rate_init=1e9).fit(*diabetes())
    with pytest.raises(ValueError, match="sample_weight must hold finite numbers >= 0"):
        MLPClassifier().fit(x, y, sample_weight=-np.ones(150))
