"""The estimators for tables: what they learn from which rows, and scikit-learn's conventions."""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_diabetes, load_iris  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import pybackprop as bp  # noqa: E402
from pybackprop.tabular import TabularClassifier, TabularRegressor  # noqa: E402

SMALL: dict[str, Any] = {"hidden_layer_sizes": (16,), "epochs": 12, "random_state": 0}


def mixed(rows: int = 120) -> tuple[dict[str, list[Any]], Any, Any]:
    """Columns with numbers, texts, booleans, dates and missing cells; classes; and numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    place = rng.choice(["sea", "hill", "town"], size=rows)
    days = np.datetime64("2023-01-01") + rng.integers(0, 700, rows)
    columns: dict[str, list[Any]] = {
        "size": [None if at % 17 == 0 else float(value) for at, value in enumerate(x)],
        "place": [None if at % 13 == 0 else str(each) for at, each in enumerate(place)],
        "new": [bool(each) for each in rng.integers(0, 2, rows)],
        "sold": [str(each) for each in days],
    }
    good = x + (place == "sea") + 0.1 * rng.normal(size=rows)
    return columns, np.where(good > 0.3, "dear", "cheap"), 100 + 20 * good


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator",
    [
        TabularClassifier(hidden_layer_sizes=(32,), epochs=60, n_folds=2),
        TabularRegressor(hidden_layer_sizes=(32,), epochs=60, n_folds=2),
    ],
)
def test_estimator_checks(estimator: Any) -> None:
    results = check_estimator(estimator)
    assert sum(result["status"] == "passed" for result in results) > 40
    skipped = {"check_array_api_input"}
    if importlib.util.find_spec("pandas") is None:
        skipped |= {
            "check_classifier_data_not_an_array",
            "check_dataframe_column_names_consistency",
            "check_regressor_data_not_an_array",
        }
    assert {each["check_name"] for each in results if each["status"] == "skipped"} <= skipped


def frames() -> list[str]:
    return ["object array", "pandas", "polars", "pyarrow"]


def frame_of(kind: str, columns: dict[str, list[Any]]) -> Any:
    if kind == "object array":
        return np.array(list(columns.values()), dtype=object).T
    package = pytest.importorskip(kind)
    if kind == "pandas":
        frame = package.DataFrame(columns)
        return frame.astype({"place": "category", "sold": "datetime64[us]"})
    return package.table(columns) if kind == "pyarrow" else package.DataFrame(columns)


@pytest.mark.parametrize("kind", frames())
def test_every_kind_of_table_gives_the_same_predictions(kind: str) -> None:
    columns, labels, numbers = mixed()
    table, array = frame_of(kind, columns), frame_of("object array", columns)
    for maker, y in ((TabularClassifier, labels), (TabularRegressor, numbers)):
        one = maker(n_folds=2, **SMALL).fit(table, y)
        kinds = [each["kind"] for each in one.report_["columns"]]
        assert kinds == ["number", "category", "category", "date"]
        other = maker(n_folds=2, **SMALL).fit(array, y)
        np.testing.assert_array_equal(one._outputs(table), other._outputs(array))


@pytest.mark.parametrize("recipe", ["realmlp-s", "plain"])
@pytest.mark.parametrize("wild", [False, True])
def test_nothing_is_learnt_from_validation_rows(recipe: str, wild: bool) -> None:
    """The validation rows of a member choose its best epoch, and change nothing else."""
    columns, labels, _ = mixed()
    x = frame_of("object array", columns)
    settings = {**SMALL, "recipe": recipe, "epochs": 8, "n_folds": 3}
    before = TabularClassifier(**settings).fit(x, labels)
    for fold, (_, held) in enumerate(before.folds_):
        changed = x.copy()
        if wild:
            changed[held] = x[np.random.default_rng(1).permutation(held)]
            changed[held[:5]] = [1e9, "never seen", "maybe", "1950-07-31"]
        else:
            changed[held, 0] = [None if each is None else 1.01 * each for each in x[held, 0]]
        after = TabularClassifier(**settings).fit(changed, labels)
        np.testing.assert_array_equal(after.folds_[fold][1], held)
        assert after.encodings_[fold] == before.encodings_[fold]
        if wild:  # the others learn from these rows
            assert after.encodings_[fold - 1] != before.encodings_[fold - 1]
        else:
            epochs = [each.report_["members"][fold]["best_epoch"] for each in (before, after)]
            assert epochs[0] == epochs[1] > 0
            one, other = before.networks_[fold], after.networks_[fold]
            np.testing.assert_allclose(one.parameters, other.parameters, rtol=0, atol=1e-6)


@pytest.mark.parametrize("recipe", ["realmlp-s", "plain"])
def test_a_member_is_a_network_trained_alone(recipe: str) -> None:
    """By `Network.fit` on the rows of its fold, although members share an array of inputs."""
    from pybackprop.recipes import constant_of, recipe_of

    columns, labels, _ = mixed()
    x = frame_of("object array", columns)
    model = TabularClassifier(recipe, n_folds=3, epochs=5, random_state=0).fit(x, labels)
    rows, held = model.folds_[1]
    constants = recipe_of(recipe, len(rows), True, "log_loss")
    found = model.networks_[1]
    net = bp.Network(
        found.widths,
        activation=constants.activation,
        output="softmax",
        loss="cross_entropy",
        dropout=constants.dropout,
        label_smoothing=constants.label_smoothing,
        seed=found.seed,
        **constants.factors(found.widths[0]),
    )
    y = np.searchsorted(model.classes_, labels)
    constants.begin(net, constant_of(y[rows], 2, constants.label_smoothing))
    if found.scaling is not None:
        net.set_scaling(*found.scaling)
    table = frame_of_objects(x)
    inputs = model.encodings_[1].inputs(table)
    batches = -(-len(rows) // constants.batch_size)
    history = net.fit(
        inputs[rows],
        y[rows],
        epochs=model.report_["members"][1]["best_epoch"],
        batch_size=constants.batch_size,
        optimizer=constants.optimizer(5 * batches),
    )
    assert len(history.cost) > 1
    np.testing.assert_allclose(net.parameters, found.parameters, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        model.oof_proba_[held], found.predict(inputs[held]), rtol=0, atol=1e-6
    )


def test_members_are_trained_in_turn_where_memory_is_short(monkeypatch: Any) -> None:
    from pybackprop.tabular import _members

    columns, labels, _ = mixed()
    x = frame_of("object array", columns)
    together = TabularClassifier(n_folds=3, **SMALL).fit(x, labels)
    monkeypatch.setattr(_members, "_MOST_BYTES", 1)
    apart = TabularClassifier(n_folds=3, **SMALL).fit(x, labels)
    np.testing.assert_allclose(apart.oof_proba_, together.oof_proba_, rtol=0, atol=1e-5)
    assert [each["best_epoch"] for each in apart.report_["members"]] == [
        each["best_epoch"] for each in together.report_["members"]
    ]


def frame_of_objects(x: Any) -> Any:
    from pybackprop.tables import Inputs

    return Inputs(x)._table


def test_of_equally_good_epochs_the_last_is_kept() -> None:
    x, y = load_iris(return_X_y=True)
    model = TabularClassifier(metric="accuracy", n_folds=3, **SMALL).fit(x, y)
    ties = 0
    for member in model.report_["members"]:
        scores = np.array(member["scores"])
        assert len(scores) == 13
        best = np.flatnonzero(scores == scores.max())
        assert member["best_epoch"] == best[-1]
        assert member["score"] == scores.max()
        ties += len(best) > 1
    assert ties
    assert model.networks_[0].label_smoothing == 0.1
    assert TabularClassifier(**SMALL).fit(x, y).networks_[0].label_smoothing == 0.01


def test_out_of_fold_predictions_and_scores_are_of_rows_not_trained_on() -> None:
    x, y = load_diabetes(return_X_y=True)
    model = TabularRegressor(n_folds=4, **SMALL).fit(x, y)
    held = np.concatenate([fold[1] for fold in model.folds_])
    assert sorted(held) == list(range(len(y)))
    for (rows, out), member in zip(model.folds_, model.report_["members"], strict=True):
        assert not set(rows) & set(out)
        rmse = np.sqrt(((model.oof_prediction_[out] - y[out]) ** 2).mean())
        assert member["score"] == pytest.approx(rmse)
        assert member["scores"][0] == pytest.approx(
            np.sqrt(((y[out] - y[rows].mean()) ** 2).mean())
        )
    assert model.report_["score"] < 0.95 * y.std()


def test_folds_are_stratified() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 12])
    x = np.random.default_rng(0).normal(size=(len(y), 2))
    model = TabularClassifier(n_folds=3, **SMALL).fit(x, y)
    for _, held in model.folds_:
        assert np.bincount(y[held]).tolist() == [20, 10, 4]
    single = TabularClassifier(n_folds=1, **SMALL).fit(x, y)
    assert len(single.folds_) == 1
    assert len(single.folds_[0][1]) in (20, 21)
    known = ~np.isnan(single.oof_proba_[:, 0])
    np.testing.assert_array_equal(np.flatnonzero(known), single.folds_[0][1])


def test_groups_are_not_divided() -> None:
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c", "d", "e", "f", "g"], size=100)
    x, y = rng.normal(size=(100, 3)), rng.normal(size=100)
    model = TabularRegressor(n_folds=3, **SMALL).fit(x, y, groups=groups)
    for rows, held in model.folds_:
        assert not set(groups[rows]) & set(groups[held])
        assert 25 <= len(held) <= 45
    with pytest.raises(ValueError, match="needs at least 8 groups, got 7"):
        TabularRegressor(n_folds=8).fit(x, y, groups=groups)


@pytest.mark.parametrize("kind", ["array", "pandas", "pyarrow"])
def test_the_last_rows_by_time_validate(kind: str) -> None:
    columns, labels, _ = mixed()
    days = np.array(columns["sold"], dtype="datetime64[D]")
    # Rows of one day stay on one side.
    days[days > np.sort(days)[90]] = np.sort(days)[110]
    columns["sold"] = [str(day) for day in days]
    table = frame_of("object array" if kind == "array" else kind, columns)
    time: Any = days if kind == "array" else "sold"
    model = TabularClassifier(n_folds=2, **SMALL).fit(table, labels, time=time)
    first, second = model.folds_
    np.testing.assert_array_equal(first[1], second[1])
    assert days[first[0]].max() < days[first[1]].min()
    assert len(first[1]) == 29
    assert np.isnan(model.oof_proba_[first[0]]).all()
    assert np.isfinite(model.oof_proba_[first[1]]).all()
    one, other = model.networks_
    assert not np.array_equal(one.parameters, other.parameters)
    with pytest.raises(ValueError, match="time: there is no column 'when'"):
        TabularClassifier(**SMALL).fit(table, labels, time="when")


def test_refit_trains_on_all_rows_for_the_epochs_that_were_best_together() -> None:
    x, y = load_iris(return_X_y=True)
    # The best epochs of the folds differ at this rate.
    settings = {**SMALL, "n_folds": 3, "lr": 1.0, "random_state": 1}
    folds = TabularClassifier(**settings).fit(x, y)
    model = TabularClassifier(refit=True, **settings).fit(x, y)
    np.testing.assert_array_equal(model.oof_proba_, folds.oof_proba_)
    mean = np.mean([member["scores"] for member in model.report_["members"]], axis=0)
    assert model.report_["refit_epochs"] == np.flatnonzero(mean == mean.min())[-1]
    assert model.report_["refit_epochs"] != model.report_["members"][0]["best_epoch"]
    assert folds.report_["refit_epochs"] is None
    assert len(model.networks_) == 3
    every = model.encodings_[0]
    assert all(encoding == every for encoding in model.encodings_)
    assert every.scaling is not None
    assert every.scaling.center == tuple(np.median(x, axis=0))
    assert model.score(x, y) > 0.8


def test_predictions_stay_in_the_range_seen() -> None:
    x = np.linspace(-1, 1, 80)[:, None]
    y = 5 * x[:, 0]
    model = TabularRegressor("plain", n_folds=2, random_state=0, epochs=40).fit(x, y)
    far = model.predict([[-1e3], [1e3]])
    ends = [[y[rows].min(), y[rows].max()] for rows, _ in model.folds_]
    np.testing.assert_allclose(far, np.mean(ends, axis=0))


def test_the_metric_decides() -> None:
    x, y = load_iris(return_X_y=True)
    y = (y == 1).astype(int)
    for metric in ("log_loss", "auc", "brier", "balanced_accuracy", "f1"):
        model = TabularClassifier(metric=metric, n_folds=2, **SMALL).fit(x, y)
        member = model.report_["members"][0]
        best = min if metric in ("log_loss", "brier") else max
        assert member["score"] == best(member["scores"])
    assert TabularRegressor(metric="mae", n_folds=2, **SMALL).fit(x, y).report_["metric"] == "mae"
    with pytest.raises(ValueError, match="metric"):
        TabularClassifier(metric="rmse").fit(x, y)
    one_class = np.r_[np.zeros(140, int), 1, 1]
    with pytest.raises(ValueError, match=r"'auc' is not defined on fold .: its"):
        TabularClassifier(metric="auc", n_folds=5).fit(x[:142], one_class)


def test_time_limit_keeps_the_best_epoch_so_far() -> None:
    x, y = load_iris(return_X_y=True)
    model = TabularClassifier(time_limit=0.0, refit=True, **{**SMALL, "epochs": 200}).fit(x, y)
    assert {member["epochs"] for member in model.report_["members"]} == {1}
    # A refit that was cut short does not predict.
    assert model.report_["refit_epochs"] is None
    assert model.predict_proba(x).shape == (150, 3)


def test_bits_do_not_depend_on_threads_and_survive_pickling() -> None:
    columns, labels, _ = mixed()
    x = frame_of("object array", columns)
    before = bp.get_threads()
    found = []
    try:
        for threads in (1, 2):
            bp.set_threads(threads)
            found.append(TabularClassifier(n_folds=3, **SMALL).fit(x, labels))
    finally:
        bp.set_threads(before)
    p = [model.predict_proba(x) for model in (*found, pickle.loads(pickle.dumps(found[0])))]
    np.testing.assert_array_equal(p[0], p[1])
    np.testing.assert_array_equal(p[0], p[2])
    again = clone(found[0]).set_params(random_state=1).fit(x, labels)
    assert not np.array_equal(again.predict_proba(x), p[0])
    # The training rows are not kept.
    assert len(pickle.dumps(found[0])) < 100_000


def test_columns_are_told_by_their_place_where_they_have_no_names() -> None:
    pandas = pytest.importorskip("pandas")
    columns, labels, _ = mixed()
    frame, x = pandas.DataFrame(columns), frame_of("object array", columns)
    of_frame = TabularClassifier(n_folds=2, **SMALL).fit(frame, labels)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        p = of_frame.predict_proba(x)
    np.testing.assert_array_equal(p, of_frame.predict_proba(frame))
    of_array = TabularClassifier(n_folds=2, **SMALL).fit(x, labels)
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        np.testing.assert_array_equal(of_array.predict_proba(frame), of_array.predict_proba(x))
    with pytest.raises(ValueError, match="now missing"):
        of_frame.predict(frame.drop(columns="place"))


def test_columns_can_be_ignored_or_made_categories() -> None:
    x, y = load_iris(return_X_y=True)
    x = np.column_stack([x, np.arange(150) % 3])
    model = TabularClassifier(categorical=["x4"], ignore=["x0", "x1"], n_folds=2, **SMALL)
    report = model.fit(x, y).report_["columns"]
    assert [each["kind"] for each in report] == ["left out"] * 2 + ["number"] * 2 + ["category"]
    with pytest.raises(ValueError, match="column 'x9'"):
        TabularClassifier(ignore=["x9"]).fit(x, y)


def test_what_cannot_be_learnt_is_refused() -> None:
    x, y = load_iris(return_X_y=True)
    for recipe in ("realmlp", "tabm-mini"):
        with pytest.raises(ValueError, match=f"'{recipe}' is not available yet; use 'plain'"):
            TabularClassifier(recipe).fit(x, y)
    with pytest.raises(ValueError, match="y must hold a class for each row, but 1 of 150 are"):
        TabularClassifier().fit(x, np.array([None, *"ab" * 74, "a"], dtype=object))
    with pytest.raises(ValueError, match="groups must hold a value for each row, but some are"):
        TabularClassifier().fit(x, y, groups=np.r_[np.nan, y[1:]])
    with pytest.raises(ValueError, match="two classes at least"):
        TabularClassifier().fit(x, np.ones(150))
    with pytest.raises(ValueError, match="groups and time"):
        TabularClassifier().fit(x, y, groups=y, time=y)
    with pytest.raises(ValueError, match="time must differ"):
        TabularClassifier().fit(x, y, time=np.zeros(150))
    with pytest.raises(ValueError, match="groups must hold a value for each of 150 rows"):
        TabularClassifier().fit(x, y, groups=y[:9])
    with pytest.raises(ValueError, match="no column is left"):
        TabularClassifier().fit(np.ones((150, 1)), y)


def test_a_member_that_diverges_keeps_its_best_epoch() -> None:
    x, y = load_diabetes(return_X_y=True)
    with pytest.warns(RuntimeWarning, match="stopped being finite; they keep their best epoch"):
        model = TabularRegressor(n_folds=2, **{**SMALL, "lr": 1e25}).fit(x, y)
    assert {member["status"] for member in model.report_["members"]} == {"diverged"}
    assert np.isfinite(model.predict(x)).all()
