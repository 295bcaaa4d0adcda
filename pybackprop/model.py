"""What a network is and computes: parameters, passes, derivatives, single updates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np

from . import _core
from ._core import Array
from .derivatives import Derivatives
from .initializers import NAMES as INITIALIZERS
from .initializers import initial_weights
from .inputs import as_choice, as_count, as_inputs, as_vector
from .losses import LossFunction
from .optimizers import Optimizer, Rates
from .schedules import Schedule
from .settings import as_dropout_schedule, as_metadata, from_kept

__all__ = ["Gradients", "Model", "Trace"]

Kind = TypeVar("Kind", bound="Model")


class Gradients:
    """The cost of a batch and its derivatives.

    Attributes
    ----------
    cost : float
        C, penalties included.
    flat : ndarray, (n_parameters,)
        dC/dW_1, dC/db_1, dC/dW_2, …, in the order of `Network.parameters`.
    weights : tuple of ndarray
        dC/dW_l, (n_l, n_(l-1)); views of `flat`.
    biases : tuple of ndarray
        dC/db_l, (n_l,); views of `flat`.
    inputs : ndarray, (N, n_0)
        dC/dX.
    """

    __slots__ = ("biases", "cost", "flat", "inputs", "weights")

    def __init__(
        self,
        cost: float,
        flat: Array,
        weights: tuple[Array, ...],
        biases: tuple[Array, ...],
        inputs: Array,
    ) -> None:
        self.cost = cost
        self.flat = flat
        self.weights = weights
        self.biases = biases
        self.inputs = inputs

    def __repr__(self) -> str:
        return f"Gradients(cost={self.cost:.6g}, n_parameters={self.flat.size})"


class Trace:
    """Every value of a forward pass and, where targets were given, of the backward pass.

    Attributes
    ----------
    z : list of ndarray
        Pre-activations Z_1 … Z_L, (N, n_l).
    a : list of ndarray
        a[0] is X as layer 1 sees it (of the network's type, scaled); a[l] is A_l, (N, n_l).
    delta : list of ndarray or None
        dC/dZ_1 … dC/dZ_L, (N, n_l); None without targets.
    """

    __slots__ = ("a", "delta", "z")

    def __init__(self, z: list[Array], a: list[Array], delta: list[Array] | None) -> None:
        self.z = z
        self.a = a
        self.delta = delta

    def __repr__(self) -> str:
        widths = "-".join(str(each.shape[1]) for each in self.a)
        backward = "" if self.delta is None else ", with delta"
        return f"Trace({widths}, {len(self.a[0])} examples{backward})"


class Model(Derivatives):
    """The parameters and the computations of a network.

    `Network` adds training on many batches, files, other tools and pages. Code that trains, saves,
    converts or draws networks is typed against this class. If it has to make a network, it is
    passed the class to use.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str | Sequence[str] = "relu",
        output: str = "identity",
        loss: str | LossFunction = "mse",
        init: str = "auto",
        dropout: float | Sequence[float] = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        label_smoothing: float = 0.0,
        lr_factors: Any = None,
        decay_factors: Any = None,
        eps_factors: Any = None,
        dropout_schedule: Schedule | None = None,
        input_scales: bool = False,
        input_scale_factors: Any = None,
        dtype: Any = "float32",
        precision: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__(
            widths,
            activation,
            output,
            loss,
            init,
            dropout,
            l1,
            l2,
            dtype,
            precision,
            seed,
            label_smoothing,
            lr_factors,
            decay_factors,
            eps_factors,
            dropout_schedule,
            input_scales,
            input_scale_factors,
        )
        self._metadata: dict[str, Any] = {}
        self._create()
        self._initialize()

    def _create(self) -> None:
        """Make the network of the C core, and the views of its parameters."""
        self._net = _core.Net(
            widths=self._widths,
            activations=self._activations,
            loss=self._loss,
            dtype=self._dtype,
            precision=self._precision,
            dropout=self._dropout,
            l1=self._l1,
            l2=self._l2,
            label_smoothing=self._label_smoothing,
            lr_factors=self._lr_factors,
            decay_factors=self._decay_factors,
            eps_factors=self._eps_factors,
            scale_factors=self.input_scale_factors if self._has_scales else None,
            seed=self._seed,
            parameters=self._memory(),
        )
        self._net.dropout_factors = _dropout_factors(self._dropout_schedule)
        self._weights, self._biases = self._split(self._net.parameters)
        sizes = (n_out * (n_in + 1) for n_in, n_out in pairwise(self._widths))
        self._offsets = tuple(accumulate(sizes, initial=0))

    def _memory(self) -> Array | None:
        """Return where the parameters are to lie; None for memory of the network's own."""
        return None

    def _initialize(self) -> None:
        """Draw the initial weights."""
        for layer, name in enumerate(self._activations):
            n_in, n_out = self._widths[layer : layer + 2]
            w = initial_weights(self._init, name, self._seed, layer, n_out, n_in)
            self.set_layer(layer, w, np.zeros(n_out))

    def _split(self, flat: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return views of a flat vector as the weights and the biases of the layers."""
        weights, biases = [], []
        offset = 0
        for n_in, n_out in pairwise(self._widths):
            weights.append(flat[offset : offset + n_out * n_in].reshape(n_out, n_in))
            offset += n_out * n_in
            biases.append(flat[offset : offset + n_out])
            offset += n_out
        return tuple(weights), tuple(biases)

    # ---- what it is ----

    @property
    def dropout_schedule(self) -> Schedule | None:
        """What gives the factor of all dropout rates for a training step, or None for 1.

        Assigning another schedule, or None, is allowed between fits.
        """
        return self._dropout_schedule

    @dropout_schedule.setter
    def dropout_schedule(self, value: Schedule | None) -> None:
        schedule = as_dropout_schedule(value)
        factors = _dropout_factors(schedule)
        self._net.admit_training()
        self._dropout_schedule, self._net.dropout_factors = schedule, factors

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return self._net.n_parameters

    @property
    def parameters(self) -> Array:
        """The flat vector W_1, b_1, W_2, b_2, …, (n_parameters,); assigning to it copies in.

        This is a read-only view; it follows training. In place of W_1, a network with
        `input_scales` has V = W_1 diag(s). Assigning makes V the new W_1, and all scales 1.
        """
        return self._net.parameters

    @parameters.setter
    def parameters(self, values: Any) -> None:
        self._net.set_parameters(
            0, as_vector(values, "parameters", (self.n_parameters,), self.dtype)
        )

    @property
    def weights(self) -> tuple[Array, ...]:
        """W_1 … W_L, each (n_l, n_(l-1)); read-only views. The first is V with `input_scales`."""
        return self._weights

    @property
    def biases(self) -> tuple[Array, ...]:
        """b_1 … b_L, each (n_l,); read-only views."""
        return self._biases

    @property
    def input_scales(self) -> Array | None:
        """The trained factors s of the inputs, (n_0,), a read-only view; None if there are none.

        They begin as 1, and are contained in ``weights[0]``: everything but training knows the
        product V = W diag(s) alone. After `set_scaling`, they act on (x - shift) * scale. Assigning
        `parameters`, or `set_layer` for layer 0, makes W the new V, and s 1 again.

        Examples
        --------
        >>> import numpy as np
        >>> import pybackprop as bp
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> net = bp.Network([3, 8, 1], input_scales=True, input_scale_factors=(6, 1, 1), seed=0)
        >>> print(net.input_scales)
        [1. 1. 1.]
        >>> history = net.fit(X, X[:, 0] ** 2, epochs=20, optimizer=bp.Adam(0.01))
        >>> print(np.abs(net.input_scales).argmax())  # the only one that tells the target
        0
        """
        return self._net.scales

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's own dict of what JSON can hold, saved with the network.

        As JSON it may have 8 MiB and 600,000 values, where keys, lists and objects count as values.
        """
        return self._metadata

    @metadata.setter
    def metadata(self, value: dict[str, Any]) -> None:
        self._metadata = as_metadata(value)

    @property
    def scaling(self) -> tuple[Array, Array] | None:
        """Shift and scale of the inputs, (n_0,) float64 each, or None; see `set_scaling`."""
        scaling = self._net.scaling
        return None if scaling is None else (scaling[0].copy(), scaling[1].copy())

    def __repr__(self) -> str:
        layers = "".join(
            f" -> {width} {name}"
            for width, name in zip(self._widths[1:], self._activations, strict=True)
        )
        loss = (
            self._loss
            if isinstance(self._loss, str)
            else getattr(self._loss, "__name__", type(self._loss).__name__)
        )
        precision = "" if self._precision == "float32" else f"precision={self._precision}, "
        return (
            f"Network({self._widths[0]}{layers}; loss={loss}, dtype={self.dtype}, {precision}"
            f"n_parameters={self.n_parameters})"
        )

    def _repr_html_(self) -> str:
        """Return the layers as a table, for notebooks."""
        from .markup import figure, table

        parameters = [w.size + b.size for w, b in zip(self._weights, self._biases, strict=True)]
        rows = zip(
            ["inputs", *range(1, len(self._widths))],
            self._widths,
            ["", *self._activations],
            ["", *(f"{n:,}" for n in parameters)],
            strict=True,
        )
        return figure(repr(self), table(("layer", "units", "activation", "parameters"), rows))

    # ---- changing it ----

    def set_layer(self, i: int, W: Any, b: Any) -> None:
        """Replace the weights and biases of one layer; of layer 0, also make `input_scales` 1.

        Parameters
        ----------
        i : int
            0 … L - 1.
        W : array_like, (n_(i+1), n_i)
            Weights.
        b : array_like, (n_(i+1),)
            Biases.
        """
        layer = as_count(i, "i", high=len(self._weights) - 1)
        shape = self._weights[layer].shape
        w = as_vector(W, "W", shape, self.dtype)
        values = np.concatenate([w.ravel(), as_vector(b, "b", shape[:1], self.dtype)])
        self._net.set_parameters(self._offsets[layer], values)

    def _set_trained(self, values: Any) -> None:
        """Replace all that training changes: the scales, if there are any, W_1, b_1, W_2, …."""
        net = self._net
        net.set_trained(as_vector(values, "parameters", (net.n_trained,), self.dtype))

    def set_scaling(self, shift: Any, scale: Any) -> None:
        """Scale inputs to (x - shift) * scale before layer 1; None, None for no scaling.

        Parameters
        ----------
        shift, scale : array_like, (n_0,), or both None
            Finite numbers. To standardise, pass the means and one over the standard deviations.
        """
        if (shift is None) != (scale is None):
            raise ValueError("shift and scale must both be given, or both be None")
        if shift is None:
            self._net.set_scaling(None, None)
            return
        pair = []
        for name, values in (("shift", shift), ("scale", scale)):
            vector = np.array(as_vector(values, name, self._widths[:1], np.dtype(np.float64)))
            if not np.isfinite(vector).all():
                raise ValueError(f"{name} must hold finite numbers")
            pair.append(vector)
        self._net.set_scaling(pair[0], pair[1])

    # ---- evaluating it ----

    def predict(self, X: Any, out: Array | None = None) -> Array:
        """Return the outputs A_L.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs of any real dtype; N may be 0.
        out : ndarray, (N, n_L), optional
            Where to write; must be of the network's type and C-contiguous.

        Returns
        -------
        ndarray, (N, n_L)
            The outputs; `out`, if it was given.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        RuntimeError
            The network is in use in another thread.
        """
        result = self._net.try_predict(X, out)
        return self._predict_any(X, out) if result is None else result

    __call__ = predict

    def _predict_any(self, X: Any, out: Array | None) -> Array:
        """Predict from inputs of any accepted kind."""
        net = self._net
        x = as_inputs(X, net.n_in, net.dtype, empty=True)
        shape = len(x), net.n_out
        if out is None:
            out = np.empty(shape, net.dtype)
        elif not isinstance(out, np.ndarray) or out.dtype != net.dtype:
            raise TypeError(f"out must be an array of {net.dtype}")
        elif out.shape != shape or not out.flags.carray:
            raise ValueError(f"out must be C-contiguous and writable, of shape {shape}")
        elif np.may_share_memory(x, out):
            raise ValueError("out must not share memory with X")
        if len(x):
            net.predict(x, out)
        return out

    def cost(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the cost: the mean loss over the examples plus the penalties, without dropout.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs, N >= 1.
        y : array_like
            Targets: (N, n_L), or (N,) if n_L = 1; for cross_entropy integer labels (N,) or
            probabilities (N, n_L).
        sample_weight : array_like, (N,), optional
            Weights >= 0 of the examples.
        """
        return self._net.cost(self._data(X, y, sample_weight))

    def backprop(self, X: Any, y: Any, sample_weight: Any = None) -> Gradients:
        """Return the cost and its derivatives with respect to the parameters and the inputs.

        Takes the arguments of `cost`. Nothing is updated, and there is no dropout.
        """
        net = self._net
        data = self._data(X, y, sample_weight)
        flat = np.empty(net.n_parameters, net.dtype)
        inputs = np.empty((data.rows, net.n_in), net.dtype)
        cost = net.backprop(data, flat, inputs)
        return Gradients(cost, flat, *self._split(flat), inputs)

    def trace(self, X: Any, y: Any = None) -> Trace:
        """Return every pre-activation and activation and, with targets, every delta.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs, N >= 1.
        y : array_like, optional
            Targets, as for `cost`.
        """
        net = self._net
        if y is None:
            data = _core.Data(as_inputs(X, net.n_in, net.dtype))
        else:
            data = self._data(X, y, None)
        z, a, delta = (
            [np.empty((data.rows, width), net.dtype) for width in self._widths[1:]]
            for _ in range(3)
        )
        scaling = net.scaling
        net.trace(data, z, a, None if y is None else delta)
        x = data.arrays[0].astype(net.dtype)
        if scaling is not None:
            shift, scale = (each.astype(net.dtype) for each in scaling)
            x = (x - shift) * scale
        return Trace(z, [x, *a], None if y is None else delta)

    def dropout_masks(self, batch: int) -> list[Array]:
        """Return the dropout masks that the next training step would use.

        Parameters
        ----------
        batch : int
            How many rows that step has.

        Returns
        -------
        list of ndarray of bool, (batch, n_l), l = 1 … L - 1
            True for a unit that is kept (and scaled by 1 / (1 - rate), with the rate of that step).
        """
        rows = as_count(batch, "batch", low=1)
        return [
            self._net.dropout_mask(layer, rows, width)
            for layer, width in enumerate(self._widths[1:-1])
        ]

    # ---- training it ----

    def step(self, X: Any, y: Any, optimizer: Optimizer, sample_weight: Any = None) -> float:
        """Do one update using all rows of X; return the cost before the update, with dropout.

        If the cost is not finite, nothing is updated.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`.
        optimizer : Optimizer
            Its state is made on first use and is kept in the object.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or the optimizer's state is of another size.
        RuntimeError
            The network or the optimizer is in use in another call.
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, whose state lasts, got {optimizer!r}")
        net = self._net
        if sample_weight is None:
            state = optimizer._state
            if state.key is net.key:
                cost = net.try_step(X, y, state)
                if cost is not None:
                    return cost
        data = self._data(X, y, sample_weight)
        net.admit_training()  # before the optimizer is bound to this network
        return optimizer._use(net.key, net.step, data)

    # ---- keeping it ----

    def _state(self) -> tuple[Any, ...]:
        """Return what `_from_state` takes."""
        return (self._settings(), *self._net.snapshot(), as_metadata(self._metadata))

    @classmethod
    def _from_state(
        cls: type[Kind],
        settings: dict[str, Any],
        parameters: Array,
        counters: tuple[int, int],
        scaling: tuple[Array, Array] | None,
        metadata: dict[str, Any],
    ) -> Kind:
        """Return a network in a state that was kept."""
        network = cls(**{**from_kept(settings), "init": "zeros"})
        network._init = as_choice(settings["init"], "init", INITIALIZERS)
        network._set_trained(parameters)
        network._net.set_counters(*counters)
        if scaling is not None:
            network.set_scaling(*scaling)
        network.metadata = metadata
        return network


def _dropout_factors(schedule: Schedule | None) -> Rates | None:
    """Return what gives the factors of a schedule, if the first one is a factor."""
    if schedule is None:
        return None
    factors = Rates(schedule, "dropout_schedule", high=1.0)
    factors(0)
    return factors
