"""Bagging and search around the estimators: results of single fits, attributes of scikit-learn."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn import datasets  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import FitFailedWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold  # noqa: E402
from sklearn.preprocessing import scale  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from pybackprop.many import fit_many  # noqa: E402
from pybackprop.sklearn import (  # noqa: E402
    BaggedMLPClassifier,
    BaggedMLPRegressor,
    MLPClassifier,
    MLPRegressor,
    MLPSearchCV,
    _search,
    _together,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# A bootstrap of the rows without those of weight 0 is another one.
RANDOM = {
    "check_sample_weight_equivalence_on_dense_data": "draws depend on the number of rows",
}


def iris() -> tuple[Any, Any]:
    x, y = datasets.load_iris(return_X_y=True)
    return scale(x), y


def diabetes() -> tuple[Any, Any]:
    x, y = datasets.load_diabetes(return_X_y=True)
    return scale(x), scale(y)


def counts_of(member: Any, rows: int) -> np.ndarray:
    random = np.random.RandomState(member.random_state)
    return random.multinomial(rows, np.full(rows, 1 / rows))


@pytest.mark.parametrize(
    "estimator",
    [
        BaggedMLPClassifier(MLPClassifier(max_iter=200), n_members=2),
        BaggedMLPRegressor(MLPRegressor(max_iter=200), n_members=2),
    ],
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_check_estimator(estimator: Any) -> None:
    results = check_estimator(estimator, expected_failed_checks=RANDOM)
    assert sum(result["status"] == "passed" for result in results) > 35


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2},
        {"early_stopping": True, "n_iter_no_change": 3},
        {"class_weight": "balanced", "batch_size": 40, "dropout": 0.2},
        {"solver": "lbfgs"},
    ],
)
def test_members_are_single_fits(arguments: dict[str, Any]) -> None:
    x, y = iris()
    pattern = MLPClassifier(hidden_layer_sizes=(8,), **{"max_iter": 25, **arguments})
    bagged = BaggedMLPClassifier(pattern, 4, random_state=0).fit(x, y)
    for member in bagged.estimators_:
        one = clone(member).fit(x, y, sample_weight=counts_of(member, len(x)).astype(float))
        assert all(np.array_equal(a, b) for a, b in zip(one.coefs_, member.coefs_, strict=True))
        assert one.n_iter_ == member.n_iter_
        assert one.loss_ == member.loss_
    wanted = np.mean(
        [member.predict_proba(x).astype(float) for member in bagged.estimators_], axis=0
    )
    np.testing.assert_allclose(bagged.predict_proba(x), wanted)
    assert bagged.score(x, y) == (wanted.argmax(1) == y).mean()


def test_out_of_bag_predictions_are_those_of_members_that_did_not_draw_a_row() -> None:
    x, y = diabetes()
    bagged = BaggedMLPRegressor(
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=10), 6, oob_score=True, random_state=1
    ).fit(x, y)
    drawn = [np.repeat(np.arange(len(x)), counts_of(each, len(x))) for each in bagged.estimators_]
    total, n = np.zeros(len(x)), np.zeros(len(x))
    for member, rows in zip(bagged.estimators_, drawn, strict=True):
        out = np.setdiff1d(np.arange(len(x)), rows)
        total[out] += member.predict(x[out])
        n[out] += 1
    some = n > 0
    wanted = total[some] / n[some]
    np.testing.assert_allclose(bagged.oob_prediction_[some], wanted, rtol=1e-6)
    assert np.isnan(bagged.oob_prediction_[~some]).all()
    assert bagged.oob_score_ == pytest.approx(sklearn.metrics.r2_score(y[some], wanted))


@pytest.mark.parametrize("kind", [BaggedMLPRegressor, BaggedMLPClassifier])
def test_out_of_bag_scores_are_weighted(kind: Any) -> None:
    x, y = diabetes() if kind is BaggedMLPRegressor else iris()
    weights = np.random.default_rng(0).integers(0, 4, len(x)).astype(float)
    bagged = kind(kind._kind(hidden_layer_sizes=(8,), max_iter=3), 5, oob_score=True)
    bagged.set_params(random_state=0).fit(x, y, sample_weight=weights)
    if kind is BaggedMLPRegressor:
        found, score = bagged.oob_prediction_, sklearn.metrics.r2_score
    else:
        found, score = bagged.oob_decision_function_.argmax(1), sklearn.metrics.accuracy_score
    share = (weights > 0) / (weights > 0).sum()
    counts = [
        np.random.RandomState(each.random_state).multinomial(len(x), share)
        for each in bagged.estimators_
    ]
    some = (np.min(counts, axis=0) == 0) & (weights > 0)
    wanted = score(y[some], found[some], sample_weight=weights[some])
    assert bagged.oob_score_ == pytest.approx(wanted)


def test_a_score_needs_rows_out_of_bag() -> None:
    bagged = BaggedMLPRegressor(MLPRegressor(max_iter=2), 1, oob_score=True, random_state=0)
    weights = [0.0, 1.0]
    with pytest.raises(ValueError, match="every row was drawn by every member; use more members"):
        bagged.fit([[0.0], [1.0]], [0.0, 1.0], sample_weight=weights)


def test_the_mean_comes_with_a_deviation() -> None:
    x, y = diabetes()
    bagged = BaggedMLPRegressor(MLPRegressor(max_iter=5), 5, bootstrap=False, random_state=0)
    mean, std = bagged.fit(x, y).predict(x, return_std=True)
    outputs = np.stack([member.predict(x) for member in bagged.estimators_])
    np.testing.assert_allclose(mean, outputs.mean(0))
    np.testing.assert_allclose(std, outputs.std(0, ddof=1))
    again = pickle.loads(pickle.dumps(bagged))
    assert np.array_equal(again.predict(x), mean)


@pytest.mark.parametrize("kind", [BaggedMLPRegressor, BaggedMLPClassifier])
def test_members_hold_out_rows_that_they_have_drawn(kind: Any) -> None:
    random = np.random.RandomState(0)
    x, y = random.normal(size=(24, 3)), np.arange(24) % 3
    pattern = kind._kind(hidden_layer_sizes=(4,), max_iter=2, early_stopping=True)
    for seed in range(15):
        bagged = kind(pattern, n_members=5, random_state=seed).fit(x, y)
        for member in bagged.estimators_:
            assert np.isfinite(member.validation_scores_).all()


def test_rows_of_weight_0_are_left_out_before_some_are_held_out() -> None:
    x, y = iris()
    weights = np.tile([0.0, 1.0, 2.0], 50)
    net = MLPClassifier(hidden_layer_sizes=(8,), max_iter=9, early_stopping=True, random_state=0)
    one = clone(net).fit(x, y, sample_weight=weights)
    some = weights > 0
    other = clone(net).fit(x[some], y[some], sample_weight=weights[some])
    assert one.validation_scores_ == other.validation_scores_
    assert np.array_equal(one.network_.parameters, other.network_.parameters)


def test_wrong_arguments_of_bagging() -> None:
    x, y = iris()
    with pytest.raises(TypeError, match="estimator must be an MLPClassifier"):
        BaggedMLPClassifier(MLPRegressor()).fit(x, y)
    with pytest.raises(ValueError, match="oob_score needs bootstrap=True"):
        BaggedMLPClassifier(bootstrap=False, oob_score=True).fit(x, y)
    with pytest.raises(ValueError, match="n_members must be >= 1"):
        BaggedMLPClassifier(n_members=0).fit(x, y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        BaggedMLPRegressor(MLPRegressor(solver="sgd", learning_rate_init=1e30), 2).fit(*diabetes())


GRID = {"learning_rate_init": [1e-5, 1e-2], "alpha": [1e-4, 1.0], "hidden_layer_sizes": [(8,)]}


def test_a_random_search_over_a_grid_is_grid_search() -> None:
    x, y = iris()
    net = MLPClassifier(max_iter=12, random_state=0)
    search = MLPSearchCV(net, GRID, n_candidates=4, cv=3, random_state=0).fit(x, y)
    peer = GridSearchCV(net, GRID, cv=3).fit(x, y)
    results = peer.cv_results_
    scores = dict(zip(map(str, results["params"]), results["mean_test_score"], strict=True))
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        assert score == scores[str(dict(sorted(params.items())))]
    assert search.best_params_ == peer.best_params_
    assert search.best_score_ == peer.best_score_
    assert set(results) <= set(search.cv_results_)
    assert search.n_splits_ == 3
    assert np.array_equal(search.predict(x), peer.predict(x))
    assert search.score(x, y) == peer.score(x, y)
    assert search.classes_.tolist() == [0, 1, 2]


def test_candidates_may_differ_in_whether_they_shuffle() -> None:
    x, y = iris()
    net = MLPClassifier(hidden_layer_sizes=(8,), max_iter=4, batch_size=10, random_state=0)
    space = {"shuffle": [True, False]}
    search = MLPSearchCV(net, space, n_candidates=2, cv=3, scoring="neg_log_loss").fit(x, y)
    peer = GridSearchCV(net, space, cv=3, scoring="neg_log_loss").fit(x, y)
    scores = dict(zip([True, False], peer.cv_results_["mean_test_score"], strict=True))
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        assert score == scores[params["shuffle"]]
    assert len(set(scores.values())) == 2


def test_max_iter_is_searched_by_random_search_only() -> None:
    x, y = iris()
    net = MLPClassifier(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    space = {"max_iter": [1, 12], "learning_rate_init": [1e-4, 1e-1]}
    search = MLPSearchCV(net, space, n_candidates=4, cv=3, scoring="neg_log_loss").fit(x, y)
    peer = GridSearchCV(net, space, cv=3, scoring="neg_log_loss").fit(x, y)
    results = search.cv_results_
    wanted = dict(
        zip(map(str, peer.cv_results_["params"]), peer.cv_results_["mean_test_score"], strict=True)
    )
    for params, score, epochs in zip(
        results["params"], results["mean_test_score"], results["n_iter"], strict=True
    ):
        assert score == wanted[str(dict(sorted(params.items())))]
        assert epochs == params["max_iter"]
    assert search.best_score_ == peer.best_score_
    assert search.best_params_ == peer.best_params_
    order = results["mean_test_score"][results["rank_test_score"].argsort()]
    assert (np.diff(order) <= 0).all()
    for given in (space, [space]):
        with pytest.raises(ValueError, match="must not hold max_iter with method='halving'"):
            MLPSearchCV(net, given, method="halving").fit(x, y)


@pytest.mark.parametrize("method", ["halving", "hyperband"])
def test_candidates_of_a_rung_are_trained_on(method: str) -> None:
    x, y = iris()
    net = MLPClassifier(hidden_layer_sizes=(8,), max_iter=9, batch_size=10, random_state=0)
    space = {"learning_rate_init": [1e-7, 1e-6, 3e-2], "alpha": np.logspace(-5, 0, 30).tolist()}
    n = None if method == "hyperband" else 9
    search = MLPSearchCV(net, space, n_candidates=n, cv=3, method=method, random_state=0)
    search.fit(x, y)
    results = search.cv_results_
    assert search.best_params_["learning_rate_init"] == 3e-2
    assert results["n_iter"][search.best_index_] == 9
    assert results["n_iter"].min() == 1
    whole = GridSearchCV(net, {k: [v] for k, v in search.best_params_.items()}, cv=3).fit(x, y)
    assert search.best_score_ == whole.best_score_


def test_an_estimator_that_converges_at_the_end_of_a_rung_stays_as_it_is() -> None:
    x, y = iris()
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=40, random_state=0)
    net.set_params(tol=1.0, n_iter_no_change=3)
    one = clone(net).fit(x, y)
    group = _together.Together([net], x, y, [None], [None])
    group.train(one.n_iter_)
    group.train(5)
    group.end()
    assert net.n_iter_ == one.n_iter_ < 40
    assert net.loss_curve_ == one.loss_curve_
    assert all(np.array_equal(a, b) for a, b in zip(net.coefs_, one.coefs_, strict=True))


def test_fits_that_fail_get_the_error_score() -> None:
    x, y = diabetes()
    net = MLPRegressor(hidden_layer_sizes=(8,), solver="sgd", max_iter=5, random_state=0)
    space = {"learning_rate_init": [1e-3, 1e30]}
    search = MLPSearchCV(net, space, n_candidates=2, cv=3, random_state=0)
    with (
        pytest.warns(FitFailedWarning, match="3 of 6 fits failed; their score is set to nan"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
    ):
        search.fit(x, y)
    assert search.best_params_ == {"learning_rate_init": 1e-3}
    assert np.isnan(search.cv_results_["mean_test_score"]).sum() == 1
    with pytest.raises(ValueError, match="non-finite"):
        clone(search).set_params(error_score="raise").fit(x, y)


@pytest.mark.parametrize(
    ("name", "bad", "error"),
    [("alpha", -1.0, ValueError), ("alpha", "x", TypeError), ("max_iter", "x", TypeError)],
)
def test_arguments_that_cannot_be_fail_their_fits_alone(
    name: str, bad: Any, error: type[Exception]
) -> None:
    x, y = iris()
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    search = MLPSearchCV(net, {name: [bad, 3]}, n_candidates=2, cv=3, error_score=-1.0)
    with pytest.warns(FitFailedWarning, match=f"3 of 6 fits failed.*-1.0.*\n3 .*{error.__name__}"):
        search.fit(x, y)
    assert search.best_params_ == {name: 3}
    assert sorted(search.cv_results_["mean_test_score"])[0] == -1.0
    with pytest.raises(error, match=name):
        clone(search).set_params(error_score="raise").fit(x, y)
    with pytest.raises(ValueError, match=f"All the 3 fits failed:\n3 failed with {error.__name__}"):
        MLPSearchCV(net, {name: [bad]}, n_candidates=1, cv=3, refit=False).fit(x, y)


def test_a_search_without_a_finite_score_is_an_error() -> None:
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    search = MLPSearchCV(net, {"alpha": [1.0]}, n_candidates=1, cv=3, refit=False)
    with pytest.raises(ValueError, match="no candidate has a finite score"):
        search.set_params(scoring=lambda net, x, y: np.nan).fit(*iris())
    assert not hasattr(search, "best_index_")


def test_ranks_go_by_epochs_among_finite_scores() -> None:
    scores = np.array([0.9, np.nan, 0.5, 0.7, 0.5, np.nan, -np.inf])
    epochs = np.array([1, 9, 3, 3, 3, 1, 9])
    assert _search._rank(scores, epochs).tolist() == [4, 5, 2, 1, 2, 7, 5]


def test_a_finalist_that_diverges_loses() -> None:
    x, y = diabetes()
    net = MLPRegressor(hidden_layer_sizes=(8,), max_iter=9, random_state=0)
    space = {"learning_rate_init": [1e-2, 1e-3, 1e-4]}

    def score(net: Any, x: Any, y: Any) -> float:
        return np.nan if net.n_iter_ == 9 else net.score(x, y)

    search = MLPSearchCV(net, space, n_candidates=3, cv=3, method="halving", scoring=score)
    with pytest.warns(UserWarning, match="test scores are non-finite"):
        results = search.fit(x, y).cv_results_
    assert np.isnan(results["mean_test_score"][results["n_iter"] == 9]).all()
    assert results["n_iter"][search.best_index_] == 3


def test_n_iter_is_another_name_of_n_candidates() -> None:
    search = MLPSearchCV(MLPClassifier(), GRID, n_candidates=4)
    assert search.n_iter == 4
    assert search.set_params(n_candidates=7).n_iter == clone(search).n_iter == 7
    assert "n_iter" not in search.get_params()
    space = {"alpha": np.logspace(-5, 0, 30).tolist()}
    net = MLPClassifier(hidden_layer_sizes=(2,), max_iter=1)
    assert len(MLPSearchCV(net, space, cv=2).fit(*iris()).cv_results_["params"]) == 10


def test_wrong_arguments_of_the_search() -> None:
    x, y = iris()
    with pytest.raises(TypeError, match="estimator must be an MLPClassifier or MLPRegressor"):
        MLPSearchCV(BaggedMLPClassifier(), GRID).fit(x, y)
    with pytest.raises(ValueError, match="method must be one of"):
        MLPSearchCV(MLPClassifier(), GRID, method="grid").fit(x, y)
    with pytest.raises(ValueError, match="n_candidates must be None with method='hyperband'"):
        MLPSearchCV(MLPClassifier(), GRID, method="hyperband", n_candidates=10).fit(x, y)
    with pytest.raises(ValueError, match="n_candidates must be >= 1"):
        MLPSearchCV(MLPClassifier(), GRID, n_candidates=0).fit(x, y)
    with pytest.raises(TypeError, match="fit takes X, y and groups only, got sample_weight"):
        MLPSearchCV(MLPClassifier(), GRID).fit(x, y, sample_weight=y)
    for scoring in (["accuracy", "f1_macro"], {"a": "accuracy"}, ("accuracy",)):
        with pytest.raises(TypeError, match="scoring must be one name or function, got"):
            MLPSearchCV(MLPClassifier(), GRID, scoring=scoring).fit(x, y)
    with pytest.raises(TypeError, match="refit must be True, False or a function"):
        MLPSearchCV(MLPClassifier(), GRID, refit="accuracy").fit(x, y)
    net = MLPClassifier(hidden_layer_sizes=(2,), max_iter=1)
    few = {"n_candidates": 2, "cv": 2}
    with pytest.raises(ValueError, match=r"scoring must return a number, got \{'a'"):
        MLPSearchCV(net, GRID, **few, scoring=lambda *data: {"a": 1.0}).fit(x, y)
    with pytest.raises(TypeError, match="refit must return the index of a candidate, got 'x'"):
        MLPSearchCV(net, GRID, **few, refit=lambda results: "x").fit(x, y)
    with pytest.raises(IndexError, match=r"refit must return an index in 0 \.\.\. 1, got 2"):
        MLPSearchCV(net, GRID, **few, refit=lambda results: 2).fit(x, y)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("weights", [None, [None, "balanced"]])
def test_candidates_share_the_rows_of_a_fold(
    early_stopping: bool, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row numbers and weights of each fit would take more memory than X."""
    x, y = iris()
    calls = []

    def record(networks: Any, X: Any, y: Any, **arguments: Any) -> Any:
        calls.append(arguments)
        return fit_many(networks, X, y, **arguments)

    monkeypatch.setattr(_together, "fit_many", record)
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    net.set_params(early_stopping=early_stopping)
    space = {"alpha": [1e-4, 1e-3, 1e-2], "class_weight": weights or [None]}
    n = 3 * len(space["class_weight"])
    MLPSearchCV(net, space, n_candidates=n, cv=3).fit(x, y)
    (given,) = calls
    assert len(given["rows"]) == 3 * n
    assert len({id(each) for each in given["rows"]}) == (3 * n if early_stopping else 3)
    if weights is None:
        assert given["sample_weight"] is None
    else:
        assert given["sample_weight"].shape == (3 * n, 150)


def test_folds_may_be_masks() -> None:
    x, y = iris()
    folds = [np.arange(150) % 3 == at for at in range(3)]
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=3, random_state=0)
    found = [
        MLPSearchCV(net, GRID, n_candidates=4, cv=cv, random_state=0).fit(x, y).cv_results_
        for cv in (
            [(~fold, fold) for fold in folds],
            [(np.flatnonzero(~fold), np.flatnonzero(fold)) for fold in folds],
        )
    ]
    assert np.array_equal(found[0]["mean_test_score"], found[1]["mean_test_score"])


def test_groups_stay_together() -> None:
    x, y = iris()
    groups = np.arange(150) % 10
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=3, random_state=0)
    arguments = {"cv": GroupKFold(3), "scoring": "neg_log_loss"}
    search = MLPSearchCV(net, GRID, n_candidates=4, **arguments).fit(x, y, groups=groups)
    peer = GridSearchCV(net, GRID, **arguments).fit(x, y, groups=groups)
    for name in ("mean_test_score", "split0_test_score"):
        assert sorted(search.cv_results_[name]) == sorted(peer.cv_results_[name])
    with pytest.raises(ValueError, match="groups"):
        clone(search).fit(x, y)


def test_refit_may_choose() -> None:
    x, y = iris()
    net = MLPClassifier(hidden_layer_sizes=(4,), max_iter=3, random_state=0)

    def worst(results: dict[str, Any]) -> int:
        return int(results["mean_test_score"].argmin())

    space = {"learning_rate_init": [1e-5, 1e-1]}
    search = MLPSearchCV(net, space, n_candidates=2, cv=3, refit=worst).fit(x, y)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ == scores.min() < scores.max()
    assert search.best_params_ == search.cv_results_["params"][int(scores.argmin())]
    assert search.best_estimator_.get_params().items() >= search.best_params_.items()
