"""Tabular classification: a Pipeline with a grid search on real data.

Tells malignant from benign breast tumours by 30 measurements of cell nuclei (the Wisconsin
diagnostic data, which come with scikit-learn). The search runs in two processes.

    pip install scikit-learn
    python tabular_classification.py
"""

from __future__ import annotations

from sklearn.datasets import load_breast_cancer
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from pybackprop.sklearn import MLPClassifier


def main() -> float:
    """Search, print what was found, and return the accuracy on held-out tumours."""
    data = load_breast_cancer()
    x, x_test, y, y_test = train_test_split(
        data.data, data.target, test_size=0.25, stratify=data.target, random_state=0
    )
    net = MLPClassifier(class_weight="balanced", learning_rate_init=0.01, tol=1e-3, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", net)])
    grid = {
        "net__hidden_layer_sizes": [(30,), (60, 30)],
        "net__activation": ["relu", "gelu"],
        "net__alpha": [0.01, 1.0],
    }
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3, n_jobs=2)
    search.fit(x, y)

    print("best of", len(search.cv_results_["params"]), "settings:")
    for name, value in search.best_params_.items():
        print(f"    {name.removeprefix('net__')} = {value}")
    print(f"area under the ROC curve, cross-validated: {search.best_score_:.3f}\n")
    predicted = search.predict(x_test)
    print(classification_report(y_test, predicted, target_names=data.target_names))
    return float((predicted == y_test).mean())


if __name__ == "__main__":
    main()
