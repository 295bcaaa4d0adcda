"""The estimators for tables at their limits: what is missing, too large, too late, or fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn.datasets import load_diabetes, load_iris  # noqa: E402

from pybackprop.tabular import TabularClassifier, TabularRegressor, _base, _members  # noqa: E402
from pybackprop.tabular._members import Member  # noqa: E402

SMALL: dict[str, Any] = {"hidden_layer_sizes": (8,), "epochs": 6, "n_folds": 2, "random_state": 0}


def table_of(kind: str, columns: dict[str, list[Any]]) -> Any:
    if kind == "array":
        return np.array(list(columns.values()), dtype=object).T
    if kind == "record batch":
        return pytest.importorskip("pyarrow").RecordBatch.from_pydict(columns)
    package = pytest.importorskip(kind)
    return package.table(columns) if kind == "pyarrow" else package.DataFrame(columns)


# ---- what tables hold ----


@pytest.mark.parametrize("kind", ["array", "pandas", "polars", "pyarrow"])
@pytest.mark.filterwarnings("ignore:X has feature names", "ignore:X does not have valid")
def test_a_single_row_may_miss_any_cell(kind: str) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {
        "size": rng.normal(size=60).tolist(),
        "place": rng.choice(["sea", "hill"], size=60).tolist(),
        "sold": [f"2023-0{1 + at % 9}-1{at % 7}" for at in range(60)],
        "text": [f"flat {at} in {rng.choice(['north', 'south'])}" for at in range(60)],
    }
    y = np.asarray(columns["size"]) + (np.asarray(columns["place"]) == "sea")
    model = TabularRegressor(**SMALL).fit(table_of(kind, columns), y)
    kinds = [each["kind"] for each in model.report_["columns"]]
    assert kinds == ["number", "category", "date", "words"]
    full = {name: column[:1] for name, column in columns.items()}
    told = float(model.predict(table_of(kind, full))[0])
    for name in columns:
        row = table_of(kind, {**full, name: [None]})
        # What stands for a missing cell is not what the cell held.
        assert np.isfinite(model.predict(row)).all()
        assert float(model.predict(row)[0]) != told
    # A missing number is the median of the training.
    row = table_of(kind, {**full, "size": [None]})
    for encoding, (rows, _) in zip(model.encodings_, model.folds_, strict=True):
        at = 0 if kind == "array" else encoding.feature_names.index("size")
        inputs = model._inputs(row, reset=False).encode(encoding)
        median = np.median(np.asarray(columns["size"])[rows])
        known = model._inputs(table_of(kind, {**full, "size": [median]}), reset=False)
        assert inputs[0, at] == known.encode(encoding)[0, at]


@pytest.mark.parametrize("unit", ["ns", "us", "s", "D"])
def test_arrays_of_dates_are_dates(unit: str) -> None:
    rng = np.random.default_rng(0)
    days = np.datetime64("2023-01-01") + rng.integers(0, 700, (80, 2)).astype("timedelta64[D]")
    y = (days[:, 0] > np.datetime64("2023-11-01")).astype(int)
    days[3, 0] = np.datetime64("NaT", "D")
    objects = np.array(
        [[None if np.isnat(each) else str(each) for each in row] for row in days], dtype=object
    )
    found = TabularClassifier(**SMALL).fit(days.astype(f"M8[{unit}]"), y)
    assert [each["kind"] for each in found.report_["columns"]] == ["date", "date"]
    expected = TabularClassifier(**SMALL).fit(objects, y)
    np.testing.assert_array_equal(
        found.predict_proba(days.astype(f"M8[{unit}]")), expected.predict_proba(objects)
    )


def test_what_is_not_in_memory_is_refused() -> None:
    polars = pytest.importorskip("polars")
    x, y = load_iris(return_X_y=True)
    frame = polars.DataFrame(x)
    with pytest.raises(TypeError, match=r"X must be a table in memory, got a LazyFrame; pass X.co"):
        TabularClassifier(**SMALL).fit(frame.lazy(), y)
    model = TabularClassifier(**SMALL).fit(frame, y)
    with pytest.raises(TypeError, match="LazyFrame"):
        model.predict(frame.lazy())


def test_columns_of_pandas_may_be_called_by_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    x, y = load_diabetes(return_X_y=True)
    x[:, 1] = np.random.default_rng(0).permutation(len(y))
    by_name = TabularRegressor(**SMALL).fit(pandas.DataFrame(x), y, time=x[:, 1])
    found = TabularRegressor(**SMALL).fit(pandas.DataFrame(x), y, time="1")
    np.testing.assert_array_equal(found.folds_[0][1], by_name.folds_[0][1])


def test_a_single_name_is_the_name_of_a_column() -> None:
    x, y = load_iris(return_X_y=True)
    x = np.column_stack([x, np.arange(150) % 3])
    report = TabularClassifier(categorical="x4", ignore="x1", **SMALL).fit(x, y).report_
    kinds = [each["kind"] for each in report["columns"]]
    assert kinds == ["number", "left out", "number", "number", "category"]
    for name in ("categorical", "ignore"):
        with pytest.raises(TypeError, match=f"{name} must be a sequence of texts, but one of them"):
            TabularClassifier(**{name: [4]}).fit(x, y)


def test_a_fold_without_anything_to_learn_from_is_named() -> None:
    x = np.ones((40, 1))
    x[30:] = 2.0
    y = np.random.default_rng(0).normal(size=40)
    with pytest.raises(ValueError, match="the 30 rows that fold 0 is trained on do not suffice"):
        TabularRegressor(**SMALL).fit(x, y, time=np.r_[np.zeros(30), np.ones(10)])
    with pytest.raises(ValueError, match=r"^the array: no column is left"):
        TabularRegressor(**SMALL).fit(np.ones((40, 1)), y)


@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_targets_whose_squares_leave_float64_are_refused(factor: float) -> None:
    x, y = load_diabetes(return_X_y=True)
    with pytest.raises(ValueError, match=r"y must hold numbers within 1e\+140 of 0 that differ"):
        TabularRegressor(**SMALL).fit(x, factor * y)
    # Those of a fold may hardly differ, too.
    almost = np.zeros(len(y))
    almost[::3], almost[0] = 1e-200, 1.0
    assert np.isfinite(TabularRegressor(**SMALL).fit(x, almost).predict(x)).all()


# ---- what fails ----


@pytest.mark.parametrize("how", ["y", "fold", "metric"])
def test_a_fit_that_fails_changes_nothing(how: str) -> None:
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    model = TabularClassifier(**SMALL).fit(x, names[y])
    before = model.predict(x)
    wrong: dict[str, Any] = {
        "y": (x[:, :2], ["only"] * 150, {}),
        "fold": (x[:, :2], ["ab"[at % 2] for at in range(150)], {"groups": np.zeros(150)}),
        "metric": (x[:, :2], ["cab"[at] for at in y], {}),
    }
    if how == "metric":
        model.set_params(metric="none")
    other_x, other_y, more = wrong[how]
    with pytest.raises(ValueError, match=r"y must have two|needs at least 2 groups|metric must be"):
        model.fit(other_x, other_y, **more)
    np.testing.assert_array_equal(model.predict(x), before)
    never = TabularClassifier(**SMALL)
    with pytest.raises(ValueError, match="two classes"):
        never.fit(x, np.zeros(150))
    assert not hasattr(never, "classes_")


def member(scores: list[float], status: str = "done", keeps_last: bool = True) -> Member:
    class Stub:
        pass

    recipe: Any = Stub()
    recipe.keeps_last = keeps_last
    nothing: Any = None
    return Member(nothing, 0, recipe, nothing, nothing, nothing, 5, scores=scores, status=status)


def test_the_best_epochs_together() -> None:
    """By hand: means over members, the last score of those that stopped, without diverged ones."""
    assert _members.best_together([member([0, 1, 5, 2]), member([0, 4, 1, 2])]) == 2
    # (0, 1, 2, 9) and (0, 3, 2, 2): a member that stopped early limits nothing.
    assert _members.best_together([member([0, 1, 2, 9]), member([0, 3, 2], "stopped")]) == 3
    # With a diverged member, the means would be 0, 6, 1.5 and 2.5.
    assert _members.best_together([member([0, 3, 2, 4]), member([0, 9, 1], "diverged")]) == 3
    assert _members.best_together([member([0, 9], "diverged")]) == 1
    ties = [0.0, 7.0, 7.0, 1.0]
    assert _members.best_together([member(ties)]) == 2
    assert _members.best_together([member(ties, keeps_last=False)]) == 1


def test_a_refit_that_diverges_does_not_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = load_iris(return_X_y=True)
    folds = TabularClassifier(**SMALL).fit(x, y)

    def train(inputs: Any, members: Any, n: int, score: Any, deadline: Any = None) -> None:
        _members.train(inputs, members, n, score, deadline)
        if score is None:
            members[1].status = "diverged"
            members[1].network = None

    monkeypatch.setattr(_base, "train", train)
    with pytest.warns(RuntimeWarning, match="trained anew on all rows; those of the folds predict"):
        model = TabularClassifier(refit=True, **SMALL).fit(x, y)
    assert model.report_["refit_epochs"] is None
    np.testing.assert_array_equal(model.predict_proba(x), folds.predict_proba(x))


def test_a_time_limit_is_shared_by_members_that_are_trained_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that each epoch moves by a second, three members have four seconds each."""
    x, y = load_iris(return_X_y=True)
    now = [0.0]

    class Deadline(_members._Deadline):
        def __call__(self, end: Any) -> bool:
            now[0] += 1.0
            return super().__call__(end)

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(_members, "time", Clock)
    monkeypatch.setattr(_base, "clock", Clock)
    monkeypatch.setattr(_members, "_Deadline", Deadline)
    monkeypatch.setattr(_members, "_MOST_BYTES", 1)
    settings = {**SMALL, "n_folds": 3, "epochs": 50, "time_limit": 12.0}
    model = TabularClassifier(**settings).fit(x, y)
    assert [each["epochs"] for each in model.report_["members"]] == [4, 4, 4]


# ---- what is given in place of a table or a column ----


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("flats.csv", "X must be a table in memory, got 'flats.csv'; read the file first"),
        (Path("flats.csv"), "X must be a table in memory"),
        ({"size": [1.0, 2.0]}, r"got a dict; pandas.DataFrame\(X\) makes one"),
        ([{"size": 1.0}, {"size": 2.0}], r"got a list of dict; pandas.DataFrame\(X\) makes one"),
    ],
)
def test_what_holds_a_table_but_is_none_is_refused(table: Any, message: str) -> None:
    for estimator in (TabularClassifier(**SMALL), TabularRegressor(**SMALL)):
        with pytest.raises(TypeError, match=message):
            estimator.fit(table, [0, 1])


def test_the_name_of_a_column_is_no_target() -> None:
    x, y = load_iris(return_X_y=True)
    for estimator in (TabularClassifier(**SMALL), TabularRegressor(**SMALL)):
        with pytest.raises(
            TypeError, match="y must hold a value for each row, got the text 'kind'"
        ):
            estimator.fit(x, "kind")
    with pytest.raises(ValueError, match="got one class: 'a'"):
        TabularClassifier(**SMALL).fit(x, ["a"] * len(y))


def test_a_class_that_some_networks_never_see_is_told() -> None:
    x, y = load_iris(return_X_y=True)
    message = "networks of some folds are trained on no row of class '1', of which there are 1$"
    with pytest.warns(UserWarning, match=message):
        model = TabularClassifier(**SMALL).fit(x[:51], y[:51])
    assert model.oof_proba_[50, 1] < 0.1
    # Of several such classes, the rarest is named.
    groups = [*"a" * 10, *"b" * 10, *"c" * 3, *"d" * 2]
    y = np.array([0, 1] * 10 + [2] * 3 + [3] * 2)
    with pytest.warns(UserWarning, match="class '3', of which there are 2"):
        TabularClassifier(**SMALL).fit(x[:25], y, groups=groups)


def test_numbers_to_be_predicted_are_numbers() -> None:
    x = np.arange(8.0)[:, None]
    for y, message in (
        (["1", "2.5", "$3", "4"] * 2, r"y must hold numbers, but holds '\$3'; classes are for"),
        (np.array([1.5, "good"] * 4, dtype=object), "y must hold numbers, but holds 'good'"),
        (np.arange(8).astype("M8[D]"), r"y must hold numbers, got datetime64\[D\]"),
        (np.arange(8).astype("m8[s]"), r"y must hold numbers, got timedelta64\[s\]"),
        (np.array([np.timedelta64(1, "s")] * 8, dtype=object), "but holds n.*timedelta64"),
        ([1.0, None] * 4, "y must hold a number for each row, but 4 of 8 are missing"),
        (np.array([1.0, None] * 4, dtype=object), "but 4 of 8 are missing; leave these rows out"),
        (["1", "nan"] * 4, "y must hold a number for each row, but 4 of 8 are missing"),
        ([1, 10**400] * 4, r"y must hold numbers within 1e\+140 of 0 .*, got 1 to inf; multiply"),
        ([1, -(10**400)] * 4, "got -inf to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            TabularRegressor(**SMALL).fit(x, y)
    texts = TabularRegressor(**SMALL).fit(x, ["1", "2.5", "3", "4"] * 2)
    assert texts.oof_prediction_.shape == (8,)


def test_targets_may_not_be_the_na_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    x = np.arange(8.0)[:, None]
    y = pandas.Series([1.0, pandas.NA] * 4, dtype=object)
    with pytest.raises(ValueError, match="but 4 of 8 are missing"):
        TabularRegressor(**SMALL).fit(x, y)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "record batch"])
def test_groups_may_be_the_name_of_a_column(kind: str) -> None:
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c", "d"], size=60)
    columns: dict[str, list[Any]] = {"x": rng.normal(size=60).tolist(), "who": groups.tolist()}
    table = table_of(kind, columns)
    found = TabularRegressor(**SMALL).fit(table, columns["x"], groups="who")
    expected = TabularRegressor(**SMALL).fit(table, columns["x"], groups=groups)
    for one, other in zip(found.folds_, expected.folds_, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    with pytest.raises(ValueError, match="groups: there is no column 'whose'; the columns are x"):
        TabularRegressor(**SMALL).fit(table, columns["x"], groups="whose")
