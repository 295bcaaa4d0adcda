"""The models: estimators with scikit-learn's interface, and how each is used.

Each is a row of data, which the process of the model gets as JSON. Peers are used as they come, and
again, where the name ends in -tuned, with the defaults that were tuned for such tables in
Holzmüller, Grinsztajn and Steinwart, Better by default (NeurIPS 2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True)
class Model:
    """An estimator and how it is used.

    Attributes
    ----------
    name : str
    install : str
        What pip calls the package.
    module : str
        Where the estimators are.
    estimator : str
        Their name without Classifier or Regressor at its end.
    inputs : str
        What the columns become: a key of `inputs.PREPARE`.
    stopping : {"", "X_val", "eval_set", "joined"}
        How `fit` gets the rows that say when to stop: not at all, by X_val and y_val, by eval_set,
        or as rows to learn from, of which it sets some aside itself.
    scales_target : bool
        Whether numbers are standardised before they are learnt.
    folds : int
        How many such estimators are averaged, each of which has a part of the rows as those that
        say when to stop; 1 for one, on the common division.
    threads : str
        The parameter that sets the number of threads; "" where the environment does it.
    by_name : bool
        Whether it takes part only if it is asked for.
    both, classes, numbers : dict
        Parameters of the estimator: of both kinds, of the classifier, of the regressor.
    """

    name: str
    install: str
    module: str
    estimator: str
    inputs: str
    stopping: str = ""
    scales_target: bool = False
    folds: int = 1
    threads: str = ""
    by_name: bool = False
    both: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def library(self) -> str:
        """The package whose process it runs in."""
        return self.module.partition(".")[0]

    @property
    def is_bagged(self) -> bool:
        """Whether it is a mean of estimators."""
        return self.folds > 1 or self.name.endswith("-bagged")

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return all(find_spec(name) is not None for name in (self.library, "sklearn"))


# The widths and dropout of `pybackprop train` for a table; these estimators have no schedule.
_OWN: dict[str, Any] = {
    "both": {
        "hidden_layer_sizes": (128, 128),
        "batch_size": 32,
        "early_stopping": True,
        "n_iter_no_change": 30,
        "tol": 0.0,
    },
    "classes": {"dropout": 0.3},
}
_FROM_DTYPE = {"categorical_features": "from_dtype"}
_PATIENCE = 300
_QUIET = {"verbose": False, "allow_writing_files": False}
_LIGHTGBM_TUNED: dict[str, Any] = {
    "both": {
        "n_estimators": 1000,
        "early_stopping_round": _PATIENCE,
        "subsample_freq": 1,
        "verbosity": -1,
    },
    "classes": {
        "learning_rate": 0.04,
        "num_leaves": 50,
        "subsample": 0.75,
        "min_child_samples": 40,
    },
    "numbers": {"learning_rate": 0.05, "num_leaves": 100, "subsample": 0.7, "min_child_samples": 3},
}
_XGBOOST_TUNED: dict[str, Any] = {
    "both": {
        "n_estimators": 1000,
        "early_stopping_rounds": _PATIENCE,
        "enable_categorical": True,
        "verbosity": 0,
    },
    "classes": {"learning_rate": 0.08, "max_depth": 6, "subsample": 0.65},
    "numbers": {"learning_rate": 0.05, "max_depth": 9, "subsample": 0.7},
}
_CATBOOST_TUNED: dict[str, Any] = {
    "both": {
        **_QUIET,
        "early_stopping_rounds": _PATIENCE,
        "bootstrap_type": "Bernoulli",
        "subsample": 0.9,
    },
    "classes": {"learning_rate": 0.08, "depth": 7},
    "numbers": {"learning_rate": 0.09, "depth": 9},
}
_ENSEMBLE = "scikit-learn", "sklearn.ensemble"
_LIGHTGBM = "lightgbm", "lightgbm", "LGBM", "native"
_XGBOOST = "xgboost", "xgboost", "XGB", "native"
_CATBOOST = "catboost", "catboost", "CatBoost", "texts", "eval_set"
_TABULAR = "scikit-learn", "pybackprop.tabular", "Tabular", "native", "joined"
_ACCURACY: dict[str, Any] = {"by_name": True, "classes": {"metric": "accuracy"}}
_OWN_MLP = "scikit-learn", "pybackprop.sklearn", "MLP", "own", "X_val", True

MODELS = (
    Model("pybackprop", *_OWN_MLP, **_OWN),
    Model("pybackprop-bagged", *_OWN_MLP, folds=5, **_OWN),
    Model("pybackprop-plain", *_TABULAR, both={"recipe": "plain", "n_folds": 1}),
    Model("pybackprop-plain-bagged", *_TABULAR, both={"recipe": "plain"}),
    Model("pybackprop-realmlp-s", *_TABULAR, both={"n_folds": 1}),
    Model("pybackprop-realmlp-s-bagged", *_TABULAR),
    # These two stop by accuracy, for which `realmlp-s` smooths labels by 0.1.
    Model("pybackprop-plain-accuracy-bagged", *_TABULAR, both={"recipe": "plain"}, **_ACCURACY),
    Model("pybackprop-realmlp-s-accuracy-bagged", *_TABULAR, **_ACCURACY),
    Model("sklearn-mlp", "scikit-learn", "sklearn.neural_network", "MLP", "scaled", "", True),
    Model("random-forest", *_ENSEMBLE, "RandomForest", "one-hot", threads="n_jobs"),
    Model("hist-boosting", *_ENSEMBLE, "HistGradientBoosting", "native-255", both=_FROM_DTYPE),
    Model("lightgbm", *_LIGHTGBM, threads="n_jobs", both={"verbosity": -1}),
    Model("lightgbm-tuned", *_LIGHTGBM, "eval_set", threads="n_jobs", **_LIGHTGBM_TUNED),
    Model("xgboost", *_XGBOOST, threads="n_jobs", both={"enable_categorical": True}),
    Model("xgboost-tuned", *_XGBOOST, "eval_set", threads="n_jobs", **_XGBOOST_TUNED),
    Model("catboost", *_CATBOOST, threads="thread_count", both=_QUIET),
    Model("catboost-tuned", *_CATBOOST, threads="thread_count", **_CATBOOST_TUNED),
    Model("realmlp", "pytabkit", "pytabkit", "RealMLP_TD_", "native", "X_val"),
)
