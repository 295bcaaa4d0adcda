"""What both estimators have in common: checking data, making the network, fitting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import runtime
from .._core import Array
from ..exchange.sklearn import set_names
from ..initializers import initial_weights
from ..inputs import as_weights
from ..network import Network
from ..optimizers import Optimizer
from . import _data, _solvers
from ._arguments import Arguments
from ._data import Rows
from ._objectives import Objective

# The activations whose initial weights are scikit-learn's.
_AS_SKLEARN = ("identity", "sigmoid", "tanh", "relu")


class _Layers(list[Array]):
    """Arrays of the layers, read-only; assigning one copies it into the network."""

    def __init__(self, estimator: BaseMLP, arrays: Sequence[Array], intercepts: bool) -> None:
        super().__init__(arrays)
        self._estimator, self._intercepts = estimator, intercepts

    def __setitem__(self, index: Any, value: Any) -> None:
        arrays = list(self)
        arrays[index] = value
        self._estimator._assign(arrays, self._intercepts)
        super().__setitem__(index, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, ([each.copy() for each in self],)


@contextlib.contextmanager
def _limited(threads: int | None) -> Iterator[None]:
    """Use at most this many threads within the context."""
    before = runtime.get_threads()
    if threads is None or threads == before:
        yield
        return
    runtime.set_threads(threads)
    try:
        yield
    finally:
        runtime.set_threads(before)


class BaseMLP(BaseEstimator):  # type: ignore[misc]
    """The common part of `MLPClassifier` and `MLPRegressor`; not for direct use."""

    activation: Any
    early_stopping: Any
    random_state: Any
    solver: Any
    threads: Any
    warm_start: Any

    n_features_in_: int
    n_iter_: int
    n_layers_: int
    n_outputs_: int
    t_: int
    loss_: float
    converged_: bool
    out_activation_: str
    loss_curve_: list[float]
    best_loss_: Any
    best_validation_score_: Any
    validation_scores_: Any
    validation_loss_curve_: Any
    _network: Network
    _optimizer: Optimizer
    _best_parameters: Array | None
    _no_improvement_count: int
    _split_seed: int
    _y_numeric: bool

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of a constructor as they are."""
        for name, value in arguments.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    # ---- what a subclass adds ----

    def _check_targets(self, y: Any, incremental: bool) -> Array:
        """Return targets for the network, and set what depends on them."""
        raise NotImplementedError

    def _encode(self, y: Any) -> Array:
        """Return targets for the network, encoded as in fit."""
        raise NotImplementedError

    def _count_outputs(self, targets: Array) -> int:
        raise NotImplementedError

    def _objective(self) -> Objective:
        raise NotImplementedError

    def _class_weights(self, y: Any, given: Array | None, incremental: bool) -> Array | None:
        """Return a weight for each example because of its class; `given` are the caller's."""
        return None

    def _score_outputs(self, outputs: Array, targets: Array, sample_weight: Array | None) -> float:
        """Return the score that early stopping goes by."""
        raise NotImplementedError

    def _stratify(self, targets: Array) -> Array | None:
        """Return what a held-out part should have in the same proportions."""
        return None

    # ---- what it is ----

    def __sklearn_is_fitted__(self) -> bool:
        return "_network" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def network_(self) -> Network:
        """The trained `pybackprop.Network`; for the poisson loss, its outputs are logarithms.

        Its metadata hold the class names and, if X was a DataFrame, the input names. For two
        classes its single output is the probability of the second class; a network from
        `Network.from_sklearn` has an output for each.
        """
        check_is_fitted(self)
        return self._network

    @property
    def coefs_(self) -> list[Array]:
        """Weights of the layers, (n_(l-1), n_l), read-only; assigning one sets it."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError("coefs_ is available after fit")
        return _Layers(self, [w.T for w in self._network.weights], intercepts=False)

    @coefs_.setter
    def coefs_(self, values: Sequence[Any]) -> None:
        self._assign(values, intercepts=False)

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of the layers, (n_l,), read-only; assigning one sets it."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError("intercepts_ is available after fit")
        return _Layers(self, self._network.biases, intercepts=True)

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Any]) -> None:
        self._assign(values, intercepts=True)

    def _assign(self, values: Sequence[Any], intercepts: bool) -> None:
        """Set the weights or the biases of all layers."""
        check_is_fitted(self)
        network = self._network
        name = "intercepts_" if intercepts else "coefs_"
        if len(values) != len(network.weights):
            raise ValueError(f"{name} must have {len(network.weights)} arrays, got {len(values)}")
        arrays = [np.array(each) for each in values]
        for layer, array in enumerate(arrays):
            w, b = network.weights[layer], network.biases[layer]
            wanted = b.shape if intercepts else w.shape[::-1]
            if array.shape != wanted:
                raise ValueError(f"{name}[{layer}] must have shape {wanted}, got {array.shape}")
        for layer, array in enumerate(arrays):
            w, b = network.weights[layer], network.biases[layer]
            network.set_layer(layer, *((w, array) if intercepts else (array.T, b)))

    # ---- fitting ----

    def _check_inputs(self, X: Any, reset: bool, **more: Any) -> Any:
        """Return X as an ndarray of a real dtype or a CSR matrix, and y where it is given."""
        return validate_data(self, X, accept_sparse="csr", dtype="numeric", reset=reset, **more)

    def _check_weights(
        self, y: Any, rows: int, sample_weight: Any, incremental: bool
    ) -> tuple[Array | None, Array | None]:
        """Return the weights of the loss, class weights included, and those of the score."""
        if isinstance(sample_weight, Real):
            sample_weight = np.full(rows, sample_weight)
        if sample_weight is not None and not np.any(np.asarray(sample_weight)):
            raise ValueError("sample_weight must have an entry above 0, but all are zero")
        given = as_weights(sample_weight, rows)
        by_class = self._class_weights(y, given, incremental)
        if by_class is None:
            return given, given
        return as_weights(by_class if given is None else by_class * given, rows), given

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, ...], incremental: bool
    ) -> None:
        """Fit, or train for one epoch where `incremental` is set."""
        fit = self._begin(X, y, sample_weight, validation, incremental)
        with _limited(self.threads):
            fit.run()

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, ...], incremental: bool
    ) -> _solvers.Stochastic | _solvers.Lbfgs:
        """Check the data and make the network; return the training that is to come."""
        arguments = Arguments.of(self)
        going_on = incremental or self.warm_start
        first = not (self.__sklearn_is_fitted__() and going_on)
        X, y = self._check_inputs(X, first, y=y, multi_output=True, y_numeric=self._y_numeric)
        targets = self._check_targets(y, incremental)
        weights = self._check_weights(y, X.shape[0], sample_weight, incremental)
        # Before some are held out: a validation part of rows without weight has no score.
        rows = Rows(X, targets, *weights, np.arange(X.shape[0])).drop_unweighted()
        held_out = self._check_validation(validation)
        self.n_outputs_ = self._count_outputs(targets)
        objective = self._objective()
        random_state = check_random_state(self.random_state)
        if first:
            layers = self._first_layers(arguments, random_state)
        if arguments.solver != "lbfgs" and arguments.early_stopping and held_out is None:
            rows, held_out = self._hold_out(rows, arguments, random_state, incremental, first)
        if first:
            self._initialize(arguments, objective, rows, layers, random_state, incremental)
        self._adapt(arguments, objective, rows)
        if arguments.solver == "lbfgs":
            return _solvers.Lbfgs(self, arguments, objective, rows)
        self._prepare(arguments, objective, held_out, incremental)
        return _solvers.Stochastic(self, arguments, objective, rows, held_out, incremental)

    def _check_validation(self, validation: tuple[Any, ...]) -> Rows | None:
        """Return the validation data that the caller gave."""
        X, y, sample_weight = validation
        if X is None and y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight_val needs X_val and y_val")
            return None
        if X is None or y is None:
            missing = "X_val" if X is None else "y_val"
            raise ValueError(f"X_val and y_val must be given together; {missing} is missing")
        X, y = self._check_inputs(X, False, y=y, multi_output=True, y_numeric=self._y_numeric)
        weights = self._check_weights(y, X.shape[0], sample_weight, incremental=False)
        return Rows(X, self._encode(y), *weights)

    def _hold_out(
        self, rows: Rows, arguments: Arguments, random_state: Any, incremental: bool, first: bool
    ) -> tuple[Rows, Rows]:
        """Return the rows to train on, and the rows to validate on.

        Calls of partial_fit share a seed, so the same data are always split in the same way.
        """
        if incremental and (first or "_split_seed" not in vars(self)):
            self._split_seed = int(random_state.randint(2**31))
        train, test = train_test_split(
            np.arange(rows.x.shape[0]),
            random_state=self._split_seed if incremental else random_state,
            test_size=arguments.validation_fraction,
            stratify=None if incremental else self._stratify(rows.y),
        )
        if len(test) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        return rows.take(train), rows.take(test)

    def _first_layers(self, arguments: Arguments, random_state: Any) -> list[tuple[Array, Array]]:
        """Return the first coefs_ and intercepts_, drawn in scikit-learn's order."""
        widths = (self.n_features_in_, *arguments.hidden, self.n_outputs_)
        last = arguments.activations[-1] if "sigmoid" in arguments.activations[-1:] else "identity"
        layers = []
        for layer, name in enumerate((*arguments.activations, last)):
            n_in, n_out = widths[layer : layer + 2]
            if name not in _AS_SKLEARN:
                seed = int(random_state.randint(2**31))
                w = initial_weights("auto", name, seed, layer, n_out, n_in).T
                layers.append((w, np.zeros(n_out)))
                continue
            bound = np.sqrt((2.0 if name == "sigmoid" else 6.0) / (n_in + n_out))
            w = random_state.uniform(-bound, bound, (n_in, n_out))
            layers.append((w, random_state.uniform(-bound, bound, n_out)))
        return layers

    def _settings(
        self, arguments: Arguments, objective: Objective, rows: Rows, dtype: str, seed: int
    ) -> dict[str, Any]:
        """Return the arguments of the network."""
        whole = arguments.solver == "lbfgs"
        n_rows = rows.x.shape[0]
        batch_size = n_rows if whole else arguments.rows_of_batch(n_rows)
        return {
            "widths": [self.n_features_in_, *arguments.hidden, self.n_outputs_],
            "activation": list(arguments.activations),
            "output": objective.output,
            "loss": objective.loss,
            "init": "zeros",
            "dropout": list(arguments.dropout),
            "l1": 0.0,
            "l2": _solvers.penalty(arguments, objective, rows, batch_size),
            "dtype": dtype,
            "precision": arguments.precision,
            "seed": seed,
        }

    def _initialize(
        self,
        arguments: Arguments,
        objective: Objective,
        rows: Rows,
        layers: list[tuple[Array, Array]],
        random_state: Any,
        incremental: bool,
    ) -> None:
        """Make the network, with its initial weights."""
        dtype = arguments.dtype_for(rows.x.shape[0], incremental)
        seed = int(random_state.randint(2**31))
        network = Network(**self._settings(arguments, objective, rows, dtype, seed))
        for layer, (coefs, intercepts) in enumerate(layers):
            network.set_layer(layer, coefs.T, intercepts)
        self._network = network
        self.n_layers_ = len(network.widths)
        self.n_iter_ = self.t_ = 0
        for name in (
            "_optimizer",
            "loss_curve_",
            "best_loss_",
            "best_validation_score_",
            "validation_scores_",
            "validation_loss_curve_",
        ):
            self.__dict__.pop(name, None)

    def _adapt(self, arguments: Arguments, objective: Objective, rows: Rows) -> None:
        """Make the network anew where a parameter, or the size of the batches, has changed."""
        network = self._network
        self.out_activation_ = objective.out_activation
        dtype = str(network.dtype) if arguments.dtype == "auto" else arguments.dtype
        wanted = self._settings(arguments, objective, rows, dtype, network.seed)
        if wanted["widths"] != list(network.widths):
            raise ValueError(
                f"training can only go on with the widths {list(network.widths)} that it began "
                f"with, got {wanted['widths']}"
            )
        if wanted != network._settings():
            counters = network._net.get_counters()
            parameters = network.parameters.astype(dtype)
            self._network = Network._from_state(
                wanted, parameters, counters, None, network.metadata
            )
        set_names(self._network, self, [])

    def _prepare(
        self, arguments: Arguments, objective: Objective, held_out: Rows | None, incremental: bool
    ) -> None:
        """Make the optimizer, and the attributes that the training adds to."""
        known = vars(self)
        optimizer = known.get("_optimizer")
        if not incremental or optimizer is None or optimizer._state.key != self._network._net.key:
            self._optimizer = _solvers.make_optimizer(arguments, objective)
        if "loss_curve_" not in known:
            self.loss_curve_ = []
            self._no_improvement_count = 0
            self._best_parameters = None
            self.best_loss_ = self.best_validation_score_ = None
            self.validation_scores_ = self.validation_loss_curve_ = None
        if held_out is not None and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
        if arguments.early_stopping and self.best_validation_score_ is None:
            self.best_validation_score_ = -np.inf
            self.best_loss_ = None
        if not arguments.early_stopping and self.best_loss_ is None:
            self.best_loss_ = np.inf

    # ---- predicting ----

    def _outputs(self, X: Any) -> Array:
        """Return the network's outputs."""
        check_is_fitted(self)
        X = self._check_inputs(X, reset=False)
        with _limited(self.threads):
            return _data.predict(self._network, X)

    def _check_solver(self) -> bool:
        """Refuse partial_fit, by AttributeError, for a solver that sees all rows at once."""
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
            )
        return True
