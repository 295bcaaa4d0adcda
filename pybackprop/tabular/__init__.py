"""Estimators for tables as they come: `TabularClassifier` and `TabularRegressor`.

They take tables of pandas, polars and Arrow, and arrays, with numbers, texts, categories, dates
and missing cells, and train one network for each fold of the rows, all side by side. They follow
scikit-learn's conventions and need scikit-learn 1.6 or newer (`pip install scikit-learn`).
`pybackprop train --recipe` does without it.
"""

from .._optional import optional

with optional("scikit-learn", "pybackprop.tabular", modules=("sklearn", "scipy")):
    from ._classifier import TabularClassifier
    from ._regressor import TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
