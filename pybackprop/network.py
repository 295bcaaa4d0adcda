"""Networks: dense layers, trained by backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from . import _core
from ._core import Array
from .derivatives import Derivatives
from .exchange.methods import Exchange
from .fitting import Fitting
from .initializers import NAMES as INITIALIZERS
from .initializers import initial_weights
from .inputs import as_choice, as_count, as_inputs, as_vector
from .losses import LossFunction
from .optimizers import Optimizer
from .results import Gradients, Trace
from .settings import as_metadata

__all__ = ["Network"]


class Network(Derivatives, Exchange, Fitting):
    """A multilayer perceptron.

    A_0 = X; Z_l = A_(l-1) W_l^T + b_l and A_l = act_l(Z_l) for l = 1 … L. The cost is the mean of
    the loss over the examples (weighted by sample_weight, where given) plus l2 / 2 * sum of W²
    plus l1 * sum of |W|, over weights but not biases.

    Parameters
    ----------
    widths : sequence of int
        n_0, …, n_L: inputs, hidden layers, outputs.
    activation : str or sequence of str
        Of the hidden layers, one for all or one each: identity, sigmoid, tanh, relu, leaky_relu,
        elu, selu, softplus, gelu, silu, mish.
    output : str
        Activation of the output layer; one of the above or softmax.
    loss : str or callable
        mse, squared_error, mae, huber, cross_entropy (needs output="softmax"),
        binary_cross_entropy (needs output="sigmoid"), or a function (a, y) -> (per_example,
        derivative): from outputs and targets, both (rows, n_L), the loss of each example, (rows,),
        and its derivative in a, (rows, n_L). It sees the rows of a batch in one block or several.
    init : str
        First weights: auto, he, glorot, lecun, orthogonal, zeros; see `pybackprop.initializers`.
    dropout : float or sequence of float
        Rate in [0, 1) after hidden layers, one for all or one each; acts in `fit` and `step`.
    l1, l2 : float
        Penalties.
    dtype : str or dtype
        float32 or float64, of parameters and arithmetic.
    precision : str
        How the matrix products of a float32 network are formed: float32; bf16, of operands rounded
        to bfloat16; bf16x2 and bf16x3, of operands that are sums of two or three bfloat16 numbers,
        with 16 bits and float32's 24. Products are summed in float32, and all the rest is float32
        whatever the precision: parameters, optimizer state, activations, cost. So are `jacobian`
        and the other derivatives but those of `backprop`.
    seed : int or None
        In 0 … 2^64 - 1; keys first weights, shuffling, dropout and held-out rows. None draws one
        from the operating system's entropy.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    MemoryError
        The parameters do not fit into memory.

    Notes
    -----
    One thread at a time may use a network; a second one gets a RuntimeError. Results have the same
    bits for any number of threads and however training is cut into calls.
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
        dtype: Any = "float32",
        precision: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__(
            widths, activation, output, loss, init, dropout, l1, l2, dtype, precision, seed
        )
        self._scaling: tuple[Array, Array] | None = None
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
            seed=self._seed,
        )
        self._weights, self._biases = self._split(self._net.parameters)
        sizes = (n_out * (n_in + 1) for n_in, n_out in pairwise(self._widths))
        self._offsets = tuple(accumulate(sizes, initial=0))

    def _initialize(self) -> None:
        """Draw the first weights."""
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
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return self._net.n_parameters

    @property
    def parameters(self) -> Array:
        """The flat vector W_1, b_1, W_2, b_2, …, (n_parameters,); assigning to it copies in.

        A read-only view, which follows training.
        """
        return self._net.parameters

    @parameters.setter
    def parameters(self, values: Any) -> None:
        self._net.set_parameters(
            0, as_vector(values, "parameters", (self.n_parameters,), self.dtype)
        )

    @property
    def weights(self) -> tuple[Array, ...]:
        """W_1 … W_L, each (n_l, n_(l-1)); read-only views."""
        return self._weights

    @property
    def biases(self) -> tuple[Array, ...]:
        """b_1 … b_L, each (n_l,); read-only views."""
        return self._biases

    @property
    def metadata(self) -> dict[str, Any]:
        """A dict of the user's, of what JSON can hold; saved with the network.

        As JSON it may have 8 MiB and 600,000 values, keys, lists and objects counted.
        """
        return self._metadata

    @metadata.setter
    def metadata(self, value: dict[str, Any]) -> None:
        self._metadata = as_metadata(value)

    @property
    def scaling(self) -> tuple[Array, Array] | None:
        """Shift and scale of the inputs, (n_0,) float64 each, or None; see `set_scaling`."""
        if self._scaling is None:
            return None
        return self._scaling[0].copy(), self._scaling[1].copy()

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

    # ---- changing it ----

    def set_layer(self, i: int, W: Any, b: Any) -> None:
        """Replace the weights and biases of one layer.

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

    def set_scaling(self, shift: Any, scale: Any) -> None:
        """Let inputs become (x - shift) * scale on their way in; None, None for no scaling.

        Parameters
        ----------
        shift, scale : array_like, (n_0,), or both None
            Finite numbers. To standardise: the means and one over the standard deviations.
        """
        if (shift is None) != (scale is None):
            raise ValueError("shift and scale must both be given, or both be None")
        if shift is None:
            self._net.set_scaling(None, None)
            self._scaling = None
            return
        pair = []
        for name, values in (("shift", shift), ("scale", scale)):
            vector = np.array(as_vector(values, name, self._widths[:1], np.dtype(np.float64)))
            if not np.isfinite(vector).all():
                raise ValueError(f"{name} must hold finite numbers")
            pair.append(vector)
        self._net.set_scaling(pair[0], pair[1])
        self._scaling = pair[0], pair[1]

    # ---- evaluating it ----

    def predict(self, X: Any, out: Array | None = None) -> Array:
        """Return the outputs A_L.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs of any real dtype; N may be 0.
        out : ndarray, (N, n_L), optional
            Where to write; of the network's type and C-contiguous.

        Returns
        -------
        ndarray, (N, n_L)
            The outputs; `out`, where it was given.

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
        """Return the cost and its derivatives in the parameters and in the inputs.

        Parameters are those of `cost`; nothing is updated and there is no dropout.
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
        net.trace(data, z, a, None if y is None else delta)
        x = data.arrays[0].astype(net.dtype)
        if self._scaling is not None:
            shift, scale = (each.astype(net.dtype) for each in self._scaling)
            x = (x - shift) * scale
        return Trace(z, [x, *a], None if y is None else delta)

    def show(
        self,
        X: Any,
        y: Any,
        path: Any,
        *,
        examples: int = 8,
        neurons: int = 12,
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        """Write a web page on which the passes of single examples can be followed layer by layer.

        One HTML file with the network drawn, every value forward and every derivative backward,
        and the formula of each step; it loads nothing else. See `pybackprop.view.make_page`.

        Parameters
        ----------
        X, y
            As for `cost`; the cost on the page is that of one example alone.
        path : path-like
            The file, which is replaced in one move.
        examples : int
            How many rows of X, from the first on, the page offers.
        neurons : int
            How many neurons of a layer are drawn; of a wider layer, evenly spaced ones.
        image_shape : (int, int), optional
            Height and width of the inputs as a grey picture, to tell examples apart.
        """
        from .view import write_page

        write_page(self, X, y, path, examples=examples, neurons=neurons, image_shape=image_shape)

    def dropout_masks(self, batch: int) -> list[Array]:
        """Return the dropout masks that the next training step would use.

        Parameters
        ----------
        batch : int
            Rows of that step.

        Returns
        -------
        list of ndarray of bool, (batch, n_l), l = 1 … L - 1
            True for a unit that is kept (and scaled by 1 / (1 - rate)).
        """
        rows = as_count(batch, "batch", low=1)
        return [
            self._net.dropout_mask(layer, rows, width)
            for layer, width in enumerate(self._widths[1:-1])
        ]

    # ---- training it ----

    def step(self, X: Any, y: Any, optimizer: Optimizer, sample_weight: Any = None) -> float:
        """Do one update from all rows of X; return the cost before it, with dropout.

        Where the cost is not finite, nothing is updated.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`.
        optimizer : Optimizer
            Its state is made on first use and belongs to it.

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
        return net.step(data, optimizer._bind(net.key))

    # ---- keeping it ----

    @staticmethod
    def _restore(
        settings: dict[str, Any],
        parameters: Array,
        counters: tuple[int, int],
        scaling: tuple[Array, Array] | None,
        metadata: dict[str, Any],
    ) -> Network:
        """Return a network in a state that was kept."""
        network = Network(**{**settings, "init": "zeros"})
        network._init = as_choice(settings["init"], "init", INITIALIZERS)
        network.parameters = parameters
        network._net.set_counters(*counters)
        if scaling is not None:
            network.set_scaling(*scaling)
        network.metadata = metadata
        return network

    def __reduce__(self) -> tuple[Any, ...]:
        parameters = np.empty_like(self.parameters)
        counters = self._net.get_counters(parameters)
        return Network._restore, (
            self._settings(),
            parameters,
            counters,
            self.scaling,
            as_metadata(self._metadata),
        )

    def copy(self) -> Network:
        """Return an independent network in the same state."""
        restore, state = self.__reduce__()
        network: Network = restore(*state)
        return network

    def __copy__(self) -> Network:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        return self.copy()
