"""The scores that the command line reports, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from pybackprop import scores
from pybackprop.cli import _scores
from pybackprop.cli._report import summary_of, table_of
from pybackprop.scores import accuracy, r_squared


def test_r_squared_is_about_the_mean_of_each_target() -> None:
    y = np.array([[10.0, -3], [12, -1], [17, -8], [11, 4]])
    outputs = y + np.array([[1.0, 0], [-1, 2], [0, 1], [2, -1]])
    # Squared errors 6 and 6; squares about the means 12.5 and -2: 29 and 74.
    assert r_squared(outputs, y) == pytest.approx(((1 - 6 / 29) + (1 - 6 / 74)) / 2)
    assert r_squared(outputs[:, :1], y[:, 0]) == pytest.approx(1 - 6 / 29)
    # The mean itself scores 0, wherever it lies.
    assert r_squared(np.broadcast_to(y.mean(axis=0), y.shape), y) == pytest.approx(0)


def test_r_squared_of_a_target_that_does_not_vary() -> None:
    y = np.full((3, 1), 5.0)
    assert r_squared(y, y) == 1
    assert r_squared(y + np.array([[0.0], [0], [1e-9]]), y) == 0


def test_accuracy_is_the_share_of_largest_outputs() -> None:
    outputs = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert accuracy(outputs, np.array([1, 1, 1, 0])) == 0.75


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_of_classes_are_those_of_scikit_learn(classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(classes)
    p = rng.dirichlet(np.ones(classes), 400).round(2) + 1e-3
    p /= p.sum(axis=1, keepdims=True)
    y = np.array([rng.choice(classes, p=row) for row in p])
    weights = rng.uniform(size=400)
    found = p.argmax(axis=1)
    computed = scores.scores_of_classes(p, y)
    several = {} if classes == 2 else {"multi_class": "ovr"}
    expected = {
        "accuracy": metrics.accuracy_score(y, found),
        "log_loss": metrics.log_loss(y, p),
        "auc": metrics.roc_auc_score(y, p[:, 1] if classes == 2 else p, **several),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, found),
        "f1": metrics.f1_score(y, found, average="macro"),
    }
    assert computed == pytest.approx(expected, rel=1e-12)
    if classes == 2:
        of_sklearn = metrics.brier_score_loss(y, p[:, 1])
        assert scores.brier(p, y) == pytest.approx(of_sklearn, rel=1e-12)
    else:
        by_hand = np.mean(
            [((np.eye(classes)[label] - row) ** 2).sum() for row, label in zip(p, y, strict=True)]
        )
        assert scores.brier(p, y) == pytest.approx(by_hand, rel=1e-12)
    weighted = metrics.log_loss(y, p, sample_weight=weights)
    assert scores.log_loss(p, y, weights) == pytest.approx(weighted, rel=1e-12)


def test_scores_of_numbers_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y = rng.standard_normal((50, 2)) * 7
    outputs = y + rng.standard_normal((50, 2))
    assert scores.scores_of_numbers(outputs, y) == pytest.approx(
        {
            "r_squared": metrics.r2_score(y, outputs),
            "rmse": metrics.mean_squared_error(y, outputs) ** 0.5,
            "mae": metrics.mean_absolute_error(y, outputs),
        },
        rel=1e-12,
    )


def test_scores_where_a_class_is_missing_or_outputs_are_no_probabilities() -> None:
    outputs = np.array([[0.0, 0.0], [0.2, 0.6]])
    p = scores.probabilities(outputs)
    np.testing.assert_allclose(p, [[0.5, 0.5], [0.25, 0.75]])
    found = scores.scores_of_classes(p, np.array([1, 1]))
    assert np.isnan(found["auc"])
    assert found["balanced_accuracy"] == 0.5
    # Class 0 has no rows but takes one: its F1 is 0, that of class 1 is 2 / 3.
    assert found["f1"] == pytest.approx(1 / 3)


def test_the_best_constant_is_the_shares_or_the_mean() -> None:
    outputs = _scores.constant_outputs(np.array([0, 1, 1, 1]), 3, True, 2)
    np.testing.assert_array_equal(outputs, [[0.25, 0.75, 0]] * 2)
    outputs = _scores.constant_outputs(np.array([1.0, 2, 6]), 1, False, 2)
    np.testing.assert_array_equal(outputs, [[3.0]] * 2)


def test_a_model_that_keeps_the_constant_is_not_said_to_be_worse_than_it() -> None:
    scores = {"cost": 1.0, "r_squared": -2.7e-15, "rmse": 1.0}
    figures = {"train": scores, "held_out": scores, "baseline": scores, "kept_constant": True}
    assert "predicts that constant" in _scores.judged(figures, 1.0, 1.0, 0.0)["warning"]
    figures["kept_constant"] = False
    assert "cost has not fallen" in _scores.judged(figures, 1.0, 1.0, 0.0)["warning"]


def test_parts_without_auc_do_not_count_in_its_mean() -> None:
    parts = {"train": {"auc": 0.5}, "baseline": {"auc": 0.5, "log_loss": 9.0}}
    rest = {"epochs": 1, "best_epoch": 1, "kept_constant": False, "diverged": False}
    rest |= {"seconds": 1.0, "examples_per_second": 1.0, "warning": None}
    found = [
        {**parts, **rest, "held_out": {"auc": auc, "log_loss": 1.0}} for auc in (0.7, np.nan, 0.9)
    ]
    means = summary_of(found)
    assert means["held_out"]["auc"] == pytest.approx(0.8)
    assert means["spread"]["auc"] == pytest.approx(np.std([0.7, 0.9], ddof=1))


def test_columns_of_the_closing_table_stand_apart() -> None:
    scores = {"cost": 0.5, "r_squared": 0.25, "rmse": 115213.4, "mae": 9876543.2}
    figures = {"train": scores, "held_out": scores, "baseline": scores, "warning": None}
    figures |= {"epochs": 3, "best_epoch": 3, "seconds": 1.0, "examples_per_second": 5.0}
    lines = [line.split("  ") for line in table_of(figures).splitlines()]
    cells = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert cells["RMSE"] == ["115,213"] * 3
    assert cells["MAE"] == ["9,876,543"] * 3
    scores["mae"] = -1.2345e-300
    assert table_of(figures).count("  -1.2345e-300") == 3
