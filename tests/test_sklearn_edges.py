"""The estimators where training goes wrong and where rows weigh nothing, beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import scipy.sparse
import sklearn.neural_network as peer
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_sample_weight

from pybackprop.sklearn import MLPClassifier, MLPRegressor

X, LABELS = datasets.load_iris(return_X_y=True)
SCALED = scale(X)


# ---- training that diverges ----

DIVERGING: dict[str, Any] = {
    "activation": "identity",
    "solver": "sgd",
    "learning_rate_init": 1.0,
    "max_iter": 20,
    "early_stopping": True,
    "random_state": 0,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("as_given", [np.asarray, scipy.sparse.csr_matrix], ids=["dense", "sparse"])
def test_the_best_weights_are_put_back_where_early_stopping_diverges(as_given: Any) -> None:
    """As scikit-learn's test_mlp_diverging_loss; there, every further epoch is nan too."""
    theirs, ours = peer.MLPRegressor(**DIVERGING), MLPRegressor(**DIVERGING)
    with pytest.warns(ConvergenceWarning):
        theirs.fit(as_given(X), LABELS)
    with pytest.warns(ConvergenceWarning, match="diverged in iteration 6: its loss is not finite"):
        ours.fit(as_given(X), LABELS)
    assert ours.n_iter_ == len(ours.loss_curve_) == len(ours.validation_loss_curve_) == 6
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_[:6], rtol=1e-9)
    assert np.isnan(ours.validation_scores_[-1])
    assert np.isnan(ours.loss_)
    assert not ours.converged_
    assert ours.best_validation_score_ == ours.validation_scores_[0]
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("as_given", [np.asarray, scipy.sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_without_early_stopping_divergence_is_an_error(as_given: Any, epochs: int) -> None:
    settings = {**DIVERGING, "early_stopping": False, "max_iter": epochs}
    x = as_given(X * 1e160)
    for estimator in (MLPRegressor(**settings), MLPRegressor(**settings, batch_size=40)):
        with pytest.raises(ValueError, match=r"non-finite parameter weights.* epoch 0"):
            estimator.fit(x, LABELS)


def test_early_stopping_without_a_best_epoch_is_an_error() -> None:
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(**DIVERGING).fit(X * 1e160, LABELS)


# ---- weights ----


def weighted_rows() -> tuple[np.ndarray, np.ndarray]:
    """Weights, some of them 0, and more often in one class; and the rows that count."""
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    weights[40:75] = weights[::9] = 0.0
    return weights, np.flatnonzero(weights)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.5, 2: 1.0}])
@pytest.mark.parametrize("classes", [2, 3])
def test_rows_of_weight_zero_are_as_rows_removed(class_weight: Any, classes: int) -> None:
    weights, kept = weighted_rows()
    labels = np.minimum(LABELS, classes - 1)
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1.0, "tol": 1e-10, "max_iter": 10_000,
        "class_weight": class_weight, "random_state": 0,
    }  # fmt: skip
    zero = MLPClassifier(**settings).fit(SCALED, labels, weights)
    removed = MLPClassifier(**settings).fit(SCALED[kept], labels[kept], weights[kept])
    np.testing.assert_allclose(zero.predict_proba(SCALED), removed.predict_proba(SCALED), atol=1e-6)
    if class_weight == "balanced":
        counts = np.bincount(labels, weights)
        by_hand = weights * (weights.sum() / (classes * counts))[labels]
        given = MLPClassifier(**{**settings, "class_weight": None}).fit(SCALED, labels, by_hand)
        np.testing.assert_allclose(
            zero.predict_proba(SCALED), given.predict_proba(SCALED), atol=1e-6
        )


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix])
def test_balanced_weights_are_those_of_the_rows_repeated(form: Any) -> None:
    """For one and for several labels; a class without weight counts as absent."""
    estimator = MLPClassifier(class_weight="balanced")
    times = np.array([1, 2, 0, 3, 1, 2, 0, 1])
    one = np.array(["a", "b", "c", "b", "a", "a", "c", "b"])
    several = np.array([[0, 1], [1, 1], [1, 0], [0, 0], [1, 1], [0, 1], [0, 0], [1, 0]])
    for y in (one, several) if form is np.asarray else (several,):
        found = estimator._class_weights(form(y), times.astype(float), False)
        assert found is not None
        repeated = compute_sample_weight("balanced", np.repeat(y, times, axis=0))
        np.testing.assert_allclose(np.repeat(found, times), repeated, rtol=1e-12)


def test_an_unknown_class_weight_is_refused() -> None:
    for weights in (None, np.ones(len(X))):
        with pytest.raises(ValueError, match="class_weight"):
            MLPClassifier(class_weight="even").fit(X, LABELS, weights)


# ---- messages ----


def test_a_class_too_small_to_stratify_is_named_as_in_scikit_learn() -> None:
    x, y = [[1, 2], [2, 3], [3, 4], [4, 5]], [0, 0, 0, 1]
    messages = []
    for kind in (peer.MLPClassifier, MLPClassifier):
        with pytest.raises(ValueError, match="least populated class") as caught:
            kind(early_stopping=True).fit(x, y)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_weights_can_be_assigned_only_after_fit(name: str) -> None:
    with pytest.raises(NotFittedError, match="MLPRegressor instance is not fitted yet"):
        setattr(MLPRegressor(), name, [np.zeros((4, 1))])


def test_poisson_refuses_negative_targets() -> None:
    with pytest.raises(ValueError, match=r"y must be >= 0 for loss='poisson', got -1"):
        MLPRegressor("poisson").fit(X, LABELS - 1.0)
    assert 'loss="poisson" refuses negative targets' in (MLPRegressor.__doc__ or "")
