"""The classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from .._core import Array
from ..inputs import as_choice
from ._base import BaseMLP
from ._data import balanced_weights
from ._objectives import Objective, classification


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multilayer perceptron that classifies, with scikit-learn's interface.

    Minimises the log loss: cross entropy of a softmax over the classes, or of one sigmoid per label
    where there are two classes or several labels at once. Takes the place of
    `sklearn.neural_network.MLPClassifier`, with these differences:

    - `dtype`: arithmetic is float32, unless a batch has all rows (see below); scikit-learn uses the
      type of X.
    - The order of rows in minibatches comes from another random number generator. Initial weights
      and the held-out rows of early stopping are scikit-learn's for the same `random_state`.
    - The bias correction of Adam's `epsilon` is updated after every epoch, not every step.
    - The penalty of every minibatch is alpha / 2 * sum of W² divided by the mean weight of a batch;
      scikit-learn divides by the weight of that batch.
    - Rows of weight 0 are treated as left out, and negative weights are refused.
    - `lbfgs` has no `loss_curve_`, as in scikit-learn, and works in float64 whatever the `dtype`.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Widths of the hidden layers.
    activation : str or sequence of str, default="relu"
        Activation of the hidden layers, one for all or one for each: identity, logistic (or
        sigmoid), tanh, relu, leaky_relu, elu, selu, softplus, gelu, silu, mish.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        How to minimise. lbfgs (from scipy) uses all rows in every step.
    alpha : float, default=1e-4
        Strength of the L2 penalty, alpha / 2 * sum of W² divided by the rows of a batch.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch; auto is min(200, rows).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        For sgd: learning_rate_init; or, after each epoch, learning_rate_init / (t_ + 1)^power_t;
        or divided by 5 whenever n_iter_no_change epochs in a row brought no improvement.
    learning_rate_init : float, default=1e-3
        For sgd and adam, the first learning rate.
    power_t : float, default=0.5
        For invscaling.
    max_iter : int, default=200
        Maximum number of epochs; for lbfgs, of iterations.
    shuffle : bool, default=True
        Whether the rows are reordered in every epoch.
    random_state : int, RandomState or None, default=None
        Keys initial weights, held-out rows, the order of rows, dropout.
    tol : float, default=1e-4
        An epoch counts as an improvement only if it is better than the best one by this much. lbfgs
        stops when the largest entry of the gradient is this small.
    verbose : bool, default=False
        Print the figures of every epoch.
    warm_start : bool, default=False
        Whether fit continues from the present weights.
    momentum : float, default=0.9
        For sgd, in [0, 1].
    nesterovs_momentum : bool, default=True
        For sgd.
    early_stopping : bool, default=False
        Use the score on held-out rows instead of the training loss, and restore the weights with
        the best score at the end. If such a fit diverges, it stops with score nan and a
        ConvergenceWarning and keeps the best weights; without early stopping it raises ValueError.
    validation_fraction : float, default=0.1
        Fraction of the rows that early stopping holds out if fit is given no validation data.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        For adam.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement after which to stop.
    max_fun : int, default=15000
        For lbfgs, maximum number of evaluations.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, {label: weight}; balanced is rows / (classes * rows of the class),
        where rows count by their sample_weight. For several labels at once, a list of dicts. These
        weights multiply sample_weight.
    dropout : float or sequence of float, default=0.0
        Rate after the hidden layers, one for all or one for each; for sgd and adam.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Type of weights and arithmetic. auto is float32, or float64 for a fit whose batches have all
        rows (lbfgs, or no more rows than batch_size), because no sampling noise hides rounding
        there.
    precision : str, default="float32"
        How matrix products of float32 are formed; see `pybackprop.Network`.
    callbacks : callable or sequence of callables, default=()
        For sgd and adam: each is called after every epoch with a `pybackprop.EpochEnd`, whose
        cost is loss_; one that returns True ends the fit.
    threads : int or None, default=None
        Maximum number of threads in fit and predict, set for the whole process during the call;
        None keeps the limit of `pybackprop.set_threads`. Results do not depend on it.

    Attributes
    ----------
    classes_ : ndarray or list of ndarray
        The class labels.
    coefs_, intercepts_ : list of ndarray, (n_(l-1), n_l) and (n_l,)
        Weights and biases. The arrays are read-only; assigning an entry or the list sets them.
    loss_, best_loss_ : float
        The last and the lowest training loss, the penalty included; best_loss_ is None with early
        stopping.
    loss_curve_ : list of float
        The training loss of every epoch.
    validation_scores_, validation_loss_curve_ : list of float or None
        Accuracy and loss on the validation data after every epoch, if there are any.
    best_validation_score_ : float or None
        The highest validation score, with early stopping.
    converged_ : bool
        Whether the fit ended because nothing improved. After partial_fit: whether to stop calling
        it.
    n_iter_, t_ : int
        Epochs of the last call, and rows seen in all.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn.
    network_ : pybackprop.Network
        The network.

    Notes
    -----
    Sparse X is made dense one batch at a time, in fit and predict.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from pybackprop.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(solver="lbfgs", alpha=0.1, random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    _y_numeric = False
    class_weight: Any

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        dropout: Any = 0.0,
        dtype: Any = "auto",
        precision: str = "float32",
        callbacks: Any = (),
        threads: int | None = None,
    ) -> None:
        self._keep(locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # ---- targets ----

    def _check_targets(self, y: Any, incremental: bool) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif self.warm_start and set(unique_labels(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {unique_labels(y)}"
            )
        return self._encode(y)

    def _encode(self, y: Any) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y)
        unknown = np.setdiff1d(unique_labels(y), self.classes_, assume_unique=True)
        if len(unknown):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {unknown}."
            )
        targets = self._label_binarizer.transform(y)
        if self._multiclass:
            return targets.argmax(axis=1)  # type: ignore[no-any-return]
        return targets.astype(np.uint8)  # type: ignore[no-any-return]

    @property
    def _multiclass(self) -> bool:
        return bool(self._label_binarizer.y_type_ == "multiclass")

    def _count_outputs(self, targets: Array) -> int:
        return len(self.classes_) if self._multiclass else targets.shape[1]

    def _objective(self) -> Objective:
        return classification(self.n_outputs_, self._multiclass)

    def _class_weights(self, y: Any, given: Array | None, incremental: bool) -> Array | None:
        if self.class_weight is None:
            return None
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight must be a dict for partial_fit, which does not see all classes, "
                f"got {self.class_weight!r}"
            )
        if isinstance(self.class_weight, str) and given is not None:
            as_choice(self.class_weight, "class_weight", ("balanced",))
            return balanced_weights(y, given)
        weights: Array = compute_sample_weight(self.class_weight, y)
        return weights

    def _stratify(self, targets: Array) -> Array | None:
        # As bool, because the error about too small a class shows these values.
        return targets.astype(np.bool_) if self.n_outputs_ == 1 else None

    def _score_outputs(self, outputs: Array, targets: Array, sample_weight: Array | None) -> float:
        if self._multiclass:
            right = outputs.argmax(axis=1) == targets
        else:
            right = ((outputs > 0.5) == targets).all(axis=1)
        return float(np.average(right, weights=sample_weight))

    # ---- the interface ----

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Train on minibatches, or by L-BFGS.

        Parameters
        ----------
        X : array_like or sparse matrix, (N, n_features)
            Inputs.
        y : array_like, (N,) or (N, n_labels)
            Class labels, or a 0/1 indicator for several labels at once.
        sample_weight : array_like, (N,), optional
            Weights >= 0 of the examples.
        X_val, y_val, sample_weight_val : array_like, optional
            Validation data for sgd and adam. With early stopping they replace the held-out part;
            without it, the score and the loss on them are recorded. In a Pipeline,
            `transform_input=["X_val"]` makes X_val arrive here transformed.

        Returns
        -------
        MLPClassifier
            This estimator.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=False)
        return self

    @available_if(lambda self: self._check_solver())  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Train for one epoch over the given rows, for solver sgd or adam.

        With early stopping, the score on X_val, or else on validation_fraction of the rows of each
        call, is recorded. `converged_` says when it has stopped improving; the best weights are
        restored at that point.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As for `fit`.
        classes : array_like, (n_classes,), optional
            All class labels; needed in the first call.

        Returns
        -------
        MLPClassifier
            This estimator.
        """
        self._admit_classes(y, classes)
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=True)
        return self

    def _admit_classes(self, y: Any, classes: Any) -> None:
        """Set the classes in the first call of partial_fit; check them in a later one."""
        if hasattr(self, "classes_"):
            if classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, "
                    f"was: {self.classes_!r}"
                )
            return
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        several = type_of_target(y).startswith("multilabel")
        self._label_binarizer = LabelBinarizer().fit(y if several else unique_labels(classes))
        self.classes_ = self._label_binarizer.classes_

    def predict(self, X: Any) -> Array:
        """Return the class labels.

        Parameters
        ----------
        X : array_like or sparse matrix, (N, n_features)
            Inputs.

        Returns
        -------
        ndarray, (N,) or (N, n_labels)
            The labels.
        """
        outputs = self._outputs(X)
        if self.n_outputs_ == 1:
            outputs = outputs.ravel()
        labels: Array = self._label_binarizer.inverse_transform(outputs)
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, in the order of classes_.

        Parameters
        ----------
        X : array_like or sparse matrix, (N, n_features)
            Inputs.

        Returns
        -------
        ndarray, (N, n_classes)
            The probabilities; for several labels at once, that of each label.
        """
        outputs = self._outputs(X)
        if self.n_outputs_ == 1:
            return np.hstack([1 - outputs, outputs])
        return outputs

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities that `predict_proba` returns.

        Parameters
        ----------
        X : array_like or sparse matrix, (N, n_features)
            Inputs.

        Returns
        -------
        ndarray, (N, n_classes)
            Natural logarithms.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)
