"""Estimators with scikit-learn's interface: `MLPClassifier` and `MLPRegressor`.

They take the arguments and have the attributes of scikit-learn's estimators of the same names, go
into pipelines and searches, and train through the C core. They need scikit-learn 1.6 or
newer (`pip install scikit-learn`); `import pybackprop` does not import it.
"""

from .._optional import optional
from ..threadpools import register_threadpoolctl

with optional("scikit-learn", "pybackprop.sklearn", modules=("sklearn", "scipy")):
    from ._bagged import BaggedMLPClassifier, BaggedMLPRegressor
    from ._classifier import MLPClassifier
    from ._regressor import MLPRegressor
    from ._search import MLPSearchCV

__all__ = [
    "BaggedMLPClassifier",
    "BaggedMLPRegressor",
    "MLPClassifier",
    "MLPRegressor",
    "MLPSearchCV",
]

# scikit-learn has loaded threadpoolctl by now.
register_threadpoolctl()
