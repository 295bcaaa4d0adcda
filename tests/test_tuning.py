"""Cross-validation and search: what is trained for how long, and what comes out."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest
from training_runs import thread_limit

import pybackprop as bp
from pybackprop.tuning import _distributions, _folds, _schedule, _search

RNG = np.random.default_rng(2)
X = RNG.normal(size=(150, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
Z = (X - [0.0, 5.0, 1.0]) / [1.0, 10.0, 0.1]
LABELS = (Z[:, 0] * Z[:, 1] > 0).astype(int)
Y = np.sin(2 * Z[:, :1]) + Z[:, 1:2]


# ---- folds ----


@pytest.mark.parametrize("stratify", [None, True, False])
def test_every_row_is_validated_on_once_in_each_repeat(stratify: Any) -> None:
    labels = np.repeat([0, 1, 2], [70, 25, 5])
    strata = _folds.labels_of(labels, stratify, "cross_entropy")
    parts = _folds.make_folds(100, strata, 5, 3, 7)
    assert len(parts) == 15
    for repeat in range(3):
        own = parts[5 * repeat : 5 * repeat + 5]
        assert sorted(np.concatenate([test for _, test in own]).tolist()) == list(range(100))
    for train, test in parts:
        assert sorted([*train, *test]) == list(range(100))
        if stratify is not False:
            assert np.bincount(labels[test]).tolist() == [14, 5, 1]
    assert len({test.tobytes() for _, test in parts}) == 15
    again = _folds.make_folds(100, strata, 5, 3, 7)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, again, strict=True))


def test_folds_that_cannot_be_are_refused() -> None:
    for count, text in ((6, "at most the number of rows, 5"), (1, "folds must be >= 2")):
        with pytest.raises(ValueError, match=text):
            _folds.make_folds(5, None, count, 1, 0)
    for targets in (np.zeros(5), np.zeros((5, 2), int)):
        with pytest.raises(ValueError, match=r"stratify needs integer labels.*(float64|int64)"):
            _folds.labels_of(targets, True, "mse")


BITS = np.repeat([0, 1], [140, 10])


@pytest.mark.parametrize("y", [BITS, BITS == 1, BITS.tolist(), BITS[:, None]])
@pytest.mark.parametrize("stratify", [None, True, False])
def test_two_classes_of_one_output_are_stratified(y: Any, stratify: bool | None) -> None:
    net = bp.Network([3, 4, 1], output="sigmoid", loss="binary_cross_entropy", seed=0)
    cv = bp.cross_validate(net, X, y, folds=5, stratify=stratify)
    given = {"X": X, "y": y, "folds": 5, "stratify": stratify, "network": {"loss": net.loss}}
    others = {"optimizer": "adam", "batch_size": 32, "standardize": True, "seed": 0, "space": {}}
    study = _search._Study({**given, **others})
    for folds in (cv.folds, [test for _, test in study.folds]):
        shares = {int(BITS[fold].sum()) for fold in folds}
        assert (shares == {2}) == (stratify is not False)


def test_numbers_that_are_integers_are_no_classes_unless_it_is_said() -> None:
    net = bp.Network([3, 4, 1], seed=0)
    counts = [
        {int(BITS[fold].sum()) for fold in bp.cross_validate(net, X, BITS, **more).folds}
        for more in ({}, {"stratify": True})
    ]
    assert [found == {2} for found in counts] == [False, True]


# ---- cross-validation ----


def test_cross_validation_is_training_on_the_other_folds() -> None:
    net = bp.Network([3, 8, 2], output="softmax", loss="cross_entropy", seed=5, l2=0.01)
    cv = bp.cross_validate(net, X, LABELS, folds=4, epochs=3, optimizer=bp.Adam(0.01), seed=1)
    for at, fold in enumerate(cv.folds):
        train = np.setdiff1d(np.arange(150), fold)
        one = bp.Network([3, 8, 2], output="softmax", loss="cross_entropy", seed=5 + at, l2=0.01)
        mean, std = X[train].mean(0), X[train].std(0)
        one.set_scaling(mean, 1 / std)
        one.fit(X[train], LABELS[train], epochs=3, optimizer=bp.Adam(0.01))
        np.testing.assert_allclose(cv.networks.parameters[at], one.parameters, rtol=1e-4, atol=1e-6)
        weights = sum(float((w.astype(float) ** 2).sum()) for w in cv.networks[at].weights)
        cost = cv.networks[at].cost(X[fold], LABELS[fold]) - 0.005 * weights
        assert cv.costs[at] == pytest.approx(cost, rel=1e-6)
        assert np.array_equal(cv.outputs[fold], cv.networks.predict(X[fold], member=at))
    assert cv.mean == pytest.approx(cv.costs.mean())
    assert repr(cv).startswith("CrossValidation(4 folds: cost 0.")


def test_targets_in_bytes_are_no_labels_where_there_are_several_outputs() -> None:
    rng = np.random.default_rng(0)
    x, bits = rng.normal(size=(40, 3)), rng.integers(0, 2, (40, 2))
    net = bp.Network([3, 4, 2], output="sigmoid", loss="binary_cross_entropy", seed=1)
    own = {"widths": 4, "loss": "binary_cross_entropy"}
    found = []
    for y in (bits.astype(np.uint8), bits.astype(np.float64)):
        costs = bp.tuning.cross_validate(net, x, y, folds=4, epochs=2).costs
        result = bp.tuning.search(x, y, {"lr": [0.1]}, max_epochs=2, folds=2, network=own, seed=1)
        found.append((costs.tolist(), result.best.score))
    assert found[0] == found[1]


def test_each_fold_has_its_own_scaling_or_that_of_the_pattern() -> None:
    net = bp.Network([3, 4, 1], seed=0)
    net.set_scaling([1, 2, 3], [1, 1, 1])
    own = bp.cross_validate(net, X, Y, folds=3)
    assert len({own.networks[at].scaling[0].tobytes() for at in range(3)}) == 3
    same = bp.cross_validate(net, X, Y, folds=3, standardize=False)
    assert same.networks[2].scaling[0].tolist() == [1, 2, 3]


def test_weights_count_in_the_costs_of_folds() -> None:
    weights = RNG.integers(0, 4, size=(3, 150)).astype(float)
    net = bp.Network([3, 4, 1], seed=0)
    for given in (weights[0], weights):
        cv = bp.cross_validate(net, X, Y, folds=3, epochs=2, sample_weight=given)
        for at, fold in enumerate(cv.folds):
            own = weights[at if given is weights else 0, fold]
            assert cv.costs[at] == cv.networks[at].cost(X[fold], Y[fold], own)


def test_folds_that_diverge_cost_infinitely_much() -> None:
    net = bp.Network([3, 4, 1], seed=0)
    optimizer = bp.SGD.each(lr=[1e-3, 1e30, 1e-3])
    cv = bp.cross_validate(net, X, Y, folds=3, epochs=2, optimizer=optimizer)
    assert np.isfinite(cv.costs).tolist() == [True, False, True]
    assert cv.mean == np.inf
    assert repr(cv) == "CrossValidation(3 folds, 1 diverged: cost inf ± nan)"
    assert np.isfinite(cv.outputs).all()


def line(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 1))
    return x, np.sin(2 * x) + rng.normal(scale=0.3, size=(n, 1))


def coverage(seed: int) -> float:
    """Return the share of new targets that lie in the intervals for one simulated set."""
    x, y = line(seed, 80)
    net = bp.Network([1, 16, 1], activation="tanh", seed=seed)
    cv = bp.cross_validate(
        net, x, y, folds=8, epochs=60, batch_size=16, optimizer=bp.Adam(0.02), seed=seed
    )
    new, target = line(seed + 10**6, 400)
    low, high = cv.interval(new, alpha=0.1)
    return float(((low <= target) & (target <= high)).mean())


def test_intervals_cover_what_they_promise() -> None:
    found = [coverage(seed) for seed in range(12)]
    assert 0.85 <= np.mean(found) <= 0.97
    assert min(found) >= 0.7


@pytest.mark.slow
def test_intervals_cover_what_they_promise_on_200_sets() -> None:
    found = [coverage(seed) for seed in range(200)]
    print(f"mean coverage {np.mean(found):.4f}, lowest {min(found):.4f}")
    assert 0.88 <= np.mean(found) <= 0.95


def test_ends_of_intervals_are_the_order_statistics_of_the_definition() -> None:
    x, y = line(0, 30)
    net = bp.Network([1, 4, 1], seed=0)
    cv = bp.cross_validate(net, x, y, folds=3, epochs=2)
    new = line(1, 7)[0]
    fold_of = np.empty(30, int)
    for at, fold in enumerate(cv.folds):
        fold_of[fold] = at
    centres = cv.networks.predict(new)[fold_of, :, 0].astype(float)  # (30, 7)
    residuals = np.abs(y - cv.outputs)
    low, high = cv.interval(new, alpha=0.2)
    assert np.array_equal(low[:, 0], np.sort(centres - residuals, axis=0)[5])  # floor(0.2 * 31) = 6
    assert np.array_equal(high[:, 0], np.sort(centres + residuals, axis=0)[24])  # ceil(0.8 * 31)
    low, high = cv.interval(new, alpha=0.01)
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


def test_intervals_that_cannot_be_are_refused() -> None:
    net = bp.Network([3, 4, 1], seed=0)
    cv = bp.cross_validate(net, X, Y, folds=2)
    for alpha in (0, 1, -1, 2):
        with pytest.raises(ValueError, match="alpha must be"):
            cv.interval(X, alpha)
    with pytest.raises(ValueError, match="repeats=1"):
        bp.cross_validate(net, X, Y, folds=2, repeats=2).interval(X)
    labels = bp.Network([3, 2], output="softmax", loss="cross_entropy", seed=0)
    with pytest.raises(ValueError, match="targets that are numbers"):
        bp.cross_validate(labels, X, LABELS, folds=2).interval(X)


def test_wrong_arguments_of_cross_validation() -> None:
    with pytest.raises(TypeError, match="network must be a Network"):
        bp.cross_validate([3, 4, 1], X, Y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rows is not an argument of cross_validate"):
        bp.cross_validate(bp.Network([3, 1], seed=0), X, Y, rows=None)


# ---- how long ----


def test_the_brackets_of_hyperband() -> None:
    brackets = _schedule.make_brackets("hyperband", None, 81, 3)
    assert [bracket[0] for bracket in brackets] == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81)]
    assert brackets[0] == [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    assert brackets[1] == [(34, 3), (11, 9), (3, 27), (1, 81)]
    assert [_schedule.epochs_of([each]) for each in brackets] == [297, 276, 279, 324, 405]
    assert sum(bracket[0][0] for bracket in brackets) * 81 == 11583


def test_the_rungs_of_successive_halving() -> None:
    make = _schedule.make_brackets
    assert make("halving", 27, 81, 3) == [[(27, 3), (9, 9), (3, 27), (1, 81)]]
    assert make("halving", 100, 10, 3) == [[(100, 1), (33, 3), (11, 10)]]
    assert make("random", 7, 10, 3) == [[(7, 10)]]
    assert make("hyperband", None, 1, 3) == [[(1, 1)]]
    assert make("random", None, 10, 3) == [[(27, 10)]]


@pytest.mark.parametrize("base", [2, 3, 10])
def test_logarithms_are_exact(base: int) -> None:
    for k in range(1, 12):
        assert _schedule.log_floor(base**k, base) == k
        assert _schedule.log_floor(base**k - 1, base) == k - 1


# ---- search ----

SPACE = {
    "lr": bp.tuning.log(1e-6, 1e-1),
    "l2": bp.tuning.log(1e-7, 1e-3),
    "dropout": bp.tuning.uniform(0, 0.2),
    "widths": [[2], [16], [16, 16]],
    "batch_size": bp.tuning.integers(8, 64),
}


def find(**arguments: Any) -> bp.tuning.SearchResult:
    return bp.search(X, LABELS, SPACE, **{"max_epochs": 27, "seed": 3, **arguments})


@pytest.mark.parametrize("method", bp.tuning._schedule.METHODS)
def test_a_search_finds_settings_that_learn(method: str) -> None:
    found = find(method=method)
    assert found.best_score < 0.6
    assert found.best.epochs == 27
    assert found.best_settings["lr"] > 1e-3
    assert found.network is not None
    assert (found.network.predict(X).argmax(1) == LABELS).mean() > 0.75
    assert found.epochs == 3 * sum(each.scores[-1][0] for each in found.candidates)
    assert "widths" in found.table(3)
    assert len(found.table(3).splitlines()) == 4
    assert repr(found).startswith(f"SearchResult({len(found.candidates)} candidates")


@pytest.mark.parametrize("method", bp.tuning._schedule.METHODS)
def test_a_search_finds_the_settings_that_are_known_to_be_best(method: str) -> None:
    space = {"lr": [1e-6, 1e-5, 1e-2], "l2": [0.0, 10.0]}
    found = bp.search(X, Y, space, method=method, max_epochs=27, refit=False)
    assert found.best_settings == {"lr": 1e-2, "l2": 0.0}


def test_the_result_does_not_depend_on_threads() -> None:
    outcomes = []
    for threads in (1, 2, 3):
        with thread_limit(threads):
            found = find(max_epochs=9)
        assert found.network is not None
        outcomes.append(
            [found.network.parameters.tobytes(), [each.score for each in found.candidates]]
        )
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_candidates_train_on_where_they_were() -> None:
    """The last score of a candidate is that of a network trained without a stop."""
    found = find(method="halving", n=9, max_epochs=9, refit=False)
    assert found.network is None
    own = found.best_settings
    whole = bp.search(
        X,
        LABELS,
        {name: [value] for name, value in own.items()},
        method="random",
        n=1,
        max_epochs=9,
        seed=3,
    )
    assert whole.best_score == found.best_score
    assert [epochs for epochs, _ in found.best.scores] == [1, 3, 9]


def test_diverged_candidates_lose() -> None:
    found = bp.search(
        X, Y, {"lr": [1e30, 1e-2]}, optimizer="sgd", method="random", n=8, max_epochs=3
    )
    assert found.best_settings == {"lr": 1e-2}
    assert {each.score == np.inf for each in found.candidates} == {True, False}
    assert found.epochs == 9 * sum(each.score < np.inf for each in found.candidates)
    with pytest.raises(FloatingPointError, match="every candidate diverged"):
        bp.search(X, Y, {"lr": [1e30]}, optimizer="sgd", method="random", n=2, max_epochs=3)


def test_a_finalist_that_diverges_loses() -> None:
    def late(step: int) -> float:
        return 1e-2 if step < 20 else 1e30

    found = bp.search(
        X, Y, {"lr": [late, 1e-5]}, optimizer="sgd", method="halving", n=9, max_epochs=9
    )
    assert found.best.epochs == 3
    assert found.best_score == min(each.score for each in found.candidates if each.epochs == 3)
    last = found.ranking[-1]
    assert (last.epochs, last.score) == (9, np.inf)


@pytest.mark.parametrize("method", bp.tuning._schedule.METHODS)
def test_no_bracket_tries_a_combination_of_choices_twice(method: str) -> None:
    space = {"lr": [1e-3, 1e-2], "widths": [[2], [3], [2, 3]]}
    found = bp.search(X, Y, space, method=method, max_epochs=9, refit=False)
    tried = [(each.bracket, str(each.settings)) for each in found.candidates]
    assert len(set(tried)) == len(tried)
    counts = np.bincount([bracket for bracket, _ in tried]).tolist()
    assert counts == ([6, 5, 3] if method == "hyperband" else [6])
    lines = found.table(20).splitlines()
    assert len(set(lines)) == len(lines)


def test_one_candidate_is_no_candidates() -> None:
    found = bp.search(X, Y, {"lr": [1e-3]}, max_epochs=1, folds=2, refit=False)
    assert repr(found).startswith("SearchResult(1 candidate, 2 epochs: cost ")


def test_combinations_of_choices_are_equally_likely() -> None:
    space = _distributions.Space({"a": [0, 1], "b": ["x", "y", "z"], "c": [[7]]})
    rng = np.random.default_rng(0)
    drawn = [str(each) for _ in range(600) for each in space.draw(2, rng)]
    assert space.size == len(set(drawn)) == 6
    assert all(150 < drawn.count(each) < 250 for each in set(drawn))


def test_the_number_of_candidates_of_hyperband_is_its_own() -> None:
    space = {"lr": [1e-3, 1e-2]}
    with pytest.raises(ValueError, match=r"n must be None with method='hyperband'.*got 3"):
        bp.search(X, Y, space, n=3)
    with pytest.raises(ValueError, match="n must be >= 1"):
        bp.search(X, Y, space, method="random", n=0)


def test_distributions_of_scipy_are_drawn_from() -> None:
    stats = pytest.importorskip("scipy.stats")
    space = {"lr": stats.loguniform(1e-4, 1e-2), "widths": [[4]]}
    found = bp.search(X, Y, space, method="random", n=5, max_epochs=1)
    rates = [each.settings["lr"] for each in found.candidates]
    assert len(set(rates)) == 5
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_the_progress_of_a_search_is_shown(
    has_tqdm: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if has_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    found = find(method="halving", n=9, max_epochs=9, refit=False, progress=True)
    lowest = min(score for each in found.candidates for _, score in each.scores)
    text = capsys.readouterr().err
    assert "epoch 21/21" in text  # 9 + 3 * 2 + 6
    assert f"cost {lowest:.4g}"[:9] in text.split("epoch 21/21")[-1]
    assert "nan" not in text
    assert "batch" not in text


def test_a_search_is_drawn() -> None:
    pytest.importorskip("matplotlib").use("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axis = find(max_epochs=3, refit=False).plot()
    assert len(axis.lines) > 3
    assert axis.get_xlabel() == "epochs"


@pytest.mark.parametrize(
    ("space", "error", "text"),
    [
        ({}, TypeError, "space must be a dict"),
        ([1], TypeError, "space must be a dict"),
        ({"depth": [1]}, ValueError, "space has no setting 'depth'"),
        ({"lr": 0.1}, TypeError, r"space\['lr'\] must be a list of choices"),
        ({"lr": []}, ValueError, "at least one choice"),
        ({"lr": [-1.0]}, ValueError, "lr must be"),
        (
            {"batch_size": bp.tuning.uniform(8, 16)},
            TypeError,
            r"space\['batch_size'\] must give integers.*use tuning\.integers",
        ),
        ({"batch_size": bp.tuning.integers(0, 4)}, ValueError, r"\['batch_size'\] must be >= 1"),
        ({"batch_size": [8, 8.5]}, TypeError, r"space\['batch_size'\]\[1\] must be an integer"),
        ({"widths": bp.tuning.uniform(8, 16)}, TypeError, "widths must be an integer"),
    ],
)
def test_wrong_spaces_are_named(space: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        bp.search(X, Y, space, method="random", n=2, max_epochs=1)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"X": X[:0], "y": LABELS[:0]},
            ValueError,
            r"X must have at least one row, got shape \(0, 3\)",
        ),
        ({"y": LABELS[:0]}, ValueError, r"y must have 150 rows to match X, got shape \(0,\)"),
        ({"y": 1.0}, ValueError, r"y must have 150 rows to match X, got shape \(\)"),
        ({"network": bp.Network([3, 1], seed=0)}, TypeError, "network must be a dict of arguments"),
        ({"network": {"activations": "relu"}}, ValueError, "network has no argument 'activations'"),
        ({"network": {"seed": 3}}, ValueError, "network must not hold seed"),
        ({"batch_size": 8.5}, TypeError, "batch_size must be an integer, got 8.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be >= 1"),
    ],
)
def test_wrong_arguments_of_a_search(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        bp.search(**{"X": X, "y": Y, "space": {"lr": [0.1]}, "max_epochs": 1, **arguments})


def test_inputs_that_are_not_finite_are_named_where_they_are_standardised() -> None:
    x = X.copy()
    x[7, 1] = np.nan
    net, space = bp.Network([3, 1], seed=0), {"lr": [0.1]}
    with pytest.raises(ValueError, match="X holds nan in row 7, column 1"):
        bp.cross_validate(net, x, Y)
    with pytest.raises(ValueError, match="X holds nan in row 7, column 1"):
        bp.search(x, Y, space, max_epochs=1)
    assert np.isinf(bp.cross_validate(net, x, Y, folds=2, standardize=False).costs).any()
    with pytest.raises(FloatingPointError, match="every candidate diverged"):
        bp.search(x, Y, space, max_epochs=1, standardize=False)


@pytest.mark.parametrize("x", [X[:, 0], X[None], X[:, :0]])
def test_wrong_shapes_of_inputs_are_named(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"X must have shape \(N, n_0\), got \("):
        bp.search(x, Y, {"lr": [0.1]})


def test_wrong_distributions_are_named() -> None:
    for make, ends, text in (
        (bp.tuning.uniform, (2, 1), "low must not be above high"),
        (bp.tuning.log, (0, 1), "low must be above 0"),
        (bp.tuning.integers, (3, 1), "low must not be above high"),
    ):
        with pytest.raises(ValueError, match=text):
            make(*ends)
    with pytest.raises(ValueError, match="method must be one of"):
        bp.search(X, Y, {"lr": [0.1]}, method="grid")
    with pytest.raises(ValueError, match="eta must be >= 2"):
        bp.search(X, Y, {"lr": [0.1]}, eta=1)


def test_candidates_share_label_smoothing() -> None:
    y = (X[:, 0] > 0).astype(int)
    found = bp.search(
        X, y, {"lr": [0.01]}, n=1, method="random", max_epochs=2, network={"label_smoothing": 0.1}
    )
    assert found.network.label_smoothing == 0.1
