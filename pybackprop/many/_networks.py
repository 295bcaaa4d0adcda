"""Many networks of the same widths as one object."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import _core
from .._core import Array
from ..files.read import DAMAGE
from ..inputs import as_count, as_dtype, as_inputs, as_real, as_vector, per_member
from ..losses import LossFunction
from ..model import Model
from ..network import Network
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..settings import as_widths, count_parameters, from_kept
from . import _ensemble
from ._ensemble import Uncertainty
from ._fit import fit_many
from ._history import ManyHistory

# Parameters of each member begin at a multiple of this many bytes.
_LINE = 64
# A block of rows whose outputs of all members are held at a time has about this many numbers.
_BLOCK = 1 << 20
# What may differ between members: a single value, or a sequence of n.
_PER_MEMBER = ("l1", "l2")


class _Member(Model):
    """One of the networks, whose parameters are a row of the array of all."""

    def __init__(self, row: Array, settings: dict[str, Any]) -> None:
        self._row = row
        super().__init__(**settings)

    def _memory(self) -> Array:
        return self._row


class Networks:
    """Networks of the same widths that are trained and evaluated together.

    Parameters
    ----------
    widths : sequence of int
        n_0, …, n_L, as for `Network`.
    n : int
        How many members there are.
    activation, output, loss, label_smoothing, init, dtype, precision
        As for `Network`, the same for all members.
    lr_factors, decay_factors, eps_factors, dropout_schedule, input_scales, input_scale_factors
        As for `Network`, the same for all members.
    dropout : float or array_like, (L - 1,), (n,) or (n, L - 1)
        Dropout rates: one for all, one for each hidden layer, one for each member, or both. A flat
        sequence whose length is n is about members unless n is also the number of hidden layers.
    l1, l2 : float or array_like, (n,)
        Penalties, for all members or for each.
    seed : int, sequence of n ints, or None
        A single seed gives member k seed + k. With None, every member draws its own.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    MemoryError
        The parameters do not fit into memory.

    Notes
    -----
    Member k computes exactly what ``Network`` with its settings and seed computes, for any number
    of threads. Only one thread at a time may use the networks.

    Examples
    --------
    Eight learning rates in one call. With one seed for all, the networks begin alike and hold out
    the same rows, so that they differ in their rates only:

    >>> import numpy as np
    >>> import pybackprop as bp
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> y = np.sin(3 * X)
    >>> nets = bp.Networks([1, 16, 1], n=8, activation="tanh", seed=[0] * 8)
    >>> rates = np.logspace(-4, 0, 8)
    >>> history = nets.fit(X, y, epochs=30, optimizer=bp.Adam.each(lr=rates), validation=0.25)
    >>> nets.predict(X).shape, history.val_cost.shape
    ((8, 200, 1), (8, 30))
    >>> bool(rates[nets.best] > rates[0])
    True
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        n: int,
        activation: str | Sequence[str] = "relu",
        output: str = "identity",
        loss: str | LossFunction = "mse",
        init: str = "auto",
        dropout: Any = 0.0,
        l1: Any = 0.0,
        l2: Any = 0.0,
        label_smoothing: float = 0.0,
        lr_factors: Any = None,
        decay_factors: Any = None,
        eps_factors: Any = None,
        dropout_schedule: Schedule | None = None,
        input_scales: bool = False,
        input_scale_factors: Any = None,
        dtype: Any = "float32",
        precision: str = "float32",
        seed: int | Sequence[int] | None = None,
    ) -> None:
        count = as_count(n, "n", low=1)
        common = {
            "widths": as_widths(widths),
            "activation": activation,
            "output": output,
            "loss": loss,
            "init": init,
            "dtype": dtype,
            "precision": precision,
            "label_smoothing": label_smoothing,
            "lr_factors": lr_factors,
            "decay_factors": decay_factors,
            "eps_factors": eps_factors,
            "dropout_schedule": dropout_schedule,
            "input_scales": input_scales,
            "input_scale_factors": input_scale_factors,
        }
        own = {
            "dropout": _rates_of_members(dropout, count, len(common["widths"]) - 2),
            "l1": per_member(l1, count, "l1", _penalty),
            "l2": per_member(l2, count, "l2", _penalty),
            "seed": _seeds(seed, count),
        }
        each = (dict(zip(own, values, strict=True)) for values in zip(*own.values(), strict=True))
        self._build([{**common, **values} for values in each])

    def _build(self, settings: Sequence[dict[str, Any]]) -> None:
        """Make the members, and the array that holds the parameters of all."""
        widths, dtype = as_widths(settings[0]["widths"]), as_dtype(settings[0]["dtype"])
        size = count_parameters(widths)
        memory = _aligned(len(settings), size, dtype)
        self._members = [_Member(memory[at], each) for at, each in enumerate(settings)]
        self._parameters: Array = memory.view()
        self._parameters.flags.writeable = False
        self._history: ManyHistory | None = None
        self._stack: _core.Stack | None = None  # of these members

    @classmethod
    def _of(cls, members: Sequence[Model]) -> Networks:
        """Return copies of networks as one object."""
        made = cls.__new__(cls)
        made._build([{**from_kept(each._settings()), "init": "zeros"} for each in members])
        for own, other in zip(made._members, members, strict=True):
            _copy_state(own, other)
        return made

    # ---- what they are ----

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, member: int) -> Network:
        """Return an independent copy of one member."""
        return Network._from_state(*self._members[self._index(member)]._state())

    def __setitem__(self, member: int, network: Model) -> None:
        """Replace one member by a copy of a network of the same widths, activations and type."""
        at = self._index(member)
        if not isinstance(network, Model):
            raise TypeError(f"a member must be a network, got {network!r}")
        own = self._members[at]
        for name in ("widths", "activations", "loss", "label_smoothing", "dtype", "precision"):
            if getattr(network, name) != getattr(own, name):
                raise ValueError(
                    f"a member must have {name} {getattr(own, name)!r}, got "
                    f"{getattr(network, name)!r}"
                )
        has_scales = own.input_scales is not None
        if (network.input_scales is not None) != has_scales:
            raise ValueError(f"a member must have input_scales={has_scales}, got {not has_scales}")
        state = network._state()
        own._net.admit_training()
        made = _Member(own._row, {**from_kept(state[0]), "init": "zeros"})
        self._members[at] = made
        self._stack = None
        _restore(made, state)

    def __iter__(self) -> Iterator[Network]:
        return (self[at] for at in range(len(self)))

    def _index(self, member: int) -> int:
        try:
            at = operator.index(member)
        except TypeError as error:
            raise TypeError(
                f"a member must be an integer, got {member!r}; take copies several members"
            ) from error
        return range(len(self))[at]

    @property
    def widths(self) -> tuple[int, ...]:
        """n_0, …, n_L."""
        return self._members[0].widths

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases of each member."""
        return self._members[0].n_parameters

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of parameters and arithmetic."""
        return self._members[0].dtype

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each member."""
        return tuple(each.seed for each in self._members)

    @property
    def parameters(self) -> Array:
        """The flat vectors of all members, (n, n_parameters); a read-only view."""
        return self._parameters

    @property
    def input_scales(self) -> Array | None:
        """The trained factors of the inputs of all members, (n, n_0), copied; or None."""
        scales = [each.input_scales for each in self._members]
        present = [each for each in scales if each is not None]
        return np.stack(present) if present else None

    @property
    def history(self) -> ManyHistory | None:
        """The figures of the last call of `fit`; None before the first."""
        return self._history

    @property
    def best(self) -> int:
        """Index of the member that ended the last fit with the lowest validation cost.

        That is the cost after its best epoch if the fit had `patience`, which keeps the parameters
        of that epoch, and after its last epoch otherwise. Without validation it is the mean cost of
        the batches of the last epoch. Members that diverged are left out.

        Costs can be compared if they are about the same rows: give validation data as a pair
        (Xv, yv), or all members one seed. With a fraction, every seed holds out rows of its own.
        """
        if self._history is None:
            raise ValueError("best needs a fit, of which there has been none")
        cost = self._history._end_cost
        if not np.isfinite(cost).any():
            diverged = int((self._history.status == "diverged").sum())
            raise ValueError(f"no member has a finite cost; {diverged} of {len(self)} diverged")
        return int(np.where(np.isfinite(cost), cost, np.inf).argmin())

    def __repr__(self) -> str:
        inner = repr(self._members[0]).removeprefix("Network(").removesuffix(")")
        return f"Networks({len(self)} x {inner})"

    # ---- changing them ----

    def set_scaling(self, shift: Any, scale: Any) -> None:
        """Scale inputs to (x - shift) * scale before layer 1; None, None for no scaling.

        Parameters
        ----------
        shift, scale : array_like, (n_0,) or (n, n_0), or both None
            Finite numbers, for all members or for each.
        """
        if (shift is None) != (scale is None):
            raise ValueError("shift and scale must both be given, or both be None")
        pairs: list[tuple[Any, Any]] = [(None, None)] * len(self)
        if shift is not None:
            shape = len(self), self.widths[0]
            both = []
            for name, values in (("shift", shift), ("scale", scale)):
                wanted = shape if np.ndim(values) == 2 else shape[1:]
                array = as_vector(values, name, wanted, np.dtype(np.float64))
                if not np.isfinite(array).all():
                    raise ValueError(f"{name} must hold finite numbers")
                both.append(np.broadcast_to(array, shape))
            pairs = list(zip(*both, strict=True))
        for member, pair in zip(self._members, pairs, strict=True):
            member.set_scaling(*pair)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        optimizer: str | Optimizer | Sequence[Optimizer] = "adam",
        epochs: int | Sequence[int] = 1,
        batch_size: int | Sequence[int] = 32,
        rows: Any = None,
        validation: Any = None,
        validation_rows: Any = None,
        patience: int | None = None,
        shuffle: bool | str = True,
        sample_weight: Any = None,
        callbacks: Any = (),
        progress: bool = False,
        on_divergence: str = "retire",
        checkpoint: Any = None,
        checkpoint_every: int | str = 1,
        resume: Any = None,
        executor: Any = None,
        _slice_ns: int | None = None,
    ) -> ManyHistory:
        """Train all members on minibatches, side by side on all cores.

        Parameters
        ----------
        optimizer : str, Optimizer, or sequence of n Optimizers
            As `optimizers` of `fit_many`.
        X, y, epochs, batch_size, rows, validation, validation_rows, patience, shuffle, \
sample_weight, callbacks, progress, on_divergence, checkpoint, checkpoint_every, resume, \
executor
            As for `fit_many`. Callbacks get this object as `networks`.

        Returns
        -------
        ManyHistory
            The figures of every member and epoch.

        Raises
        ------
        TypeError, ValueError, FloatingPointError, KeyboardInterrupt, OSError, RuntimeError
            As `fit_many` does.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        given["optimizers"] = given.pop("optimizer")
        self._history = fit_many(self._members, _shown=self, **given)
        return self._history

    # ---- evaluating them ----

    def predict(self, X: Any, out: Array | None = None, *, member: int | None = None) -> Array:
        """Return the outputs of all members, (n, N, n_L), or of one, (N, n_L).

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs; N may be 0.
        out : ndarray, optional
            Where to write, of the result's shape and the networks' type, C-contiguous.
        member : int, optional
            The only member to ask.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        RuntimeError
            The networks are in use in another thread.
        """
        if member is not None:
            return self._members[self._index(member)].predict(X, out)
        x = as_inputs(X, self.widths[0], self.dtype, empty=True)
        shape = len(self), len(x), self.widths[-1]
        if out is None:
            out = np.empty(shape, self.dtype)
        elif not isinstance(out, np.ndarray) or out.dtype != self.dtype:
            raise TypeError(f"out must be an array of {self.dtype}")
        elif out.shape != shape or not out.flags.carray:
            raise ValueError(f"out must be C-contiguous and writable, of shape {shape}")
        elif np.may_share_memory(x, out):
            raise ValueError("out must not share memory with X")
        if len(x):
            self._stacked().predict(x, out)
        return out

    __call__ = predict

    def _stacked(self) -> _core.Stack:
        """Return the networks as what computes the outputs of all in one call."""
        if self._stack is None:
            self._stack = _core.Stack([each._net for each in self._members])
        return self._stack

    def cost(self, X: Any, y: Any, sample_weight: Any = None) -> Array:
        """Return the cost of each member, (n,); see `Network.cost`."""
        nets = [each._net for each in self._members]
        for each in nets:
            each.admit()
        data = self._members[0]._data(X, y, sample_weight)
        return _core.costs(nets, [_core.Rows(data, None)] * len(nets))

    def mean(self, X: Any, weights: Any = None) -> Array:
        """Return the mean of the members' outputs, (N, n_L); for softmax, of their probabilities.

        Parameters
        ----------
        X : array_like, (N, n_0)
            Inputs.
        weights : array_like, (n,), optional
            Weights >= 0 of the members, such as those of `select`.

        Notes
        -----
        Sums are in float64, in the order of the members. The outputs of all members are never in
        memory at a time.
        """
        return _ensemble.mean(self._blocks(X), len(self), weights).astype(self.dtype)

    def uncertainty(self, X: Any) -> Uncertainty:
        """Return how far the members agree on each row.

        Returns
        -------
        Uncertainty
            Mean and standard deviation of the outputs; for an output of softmax or sigmoid, the
            entropy of the mean and its parts.
        """
        return _ensemble.uncertainty(self._blocks(X), len(self), self._members[0].activations[-1])

    def select(self, X: Any, y: Any, *, steps: int = 40) -> Array:
        """Return weights of the members whose mean has a low cost on validation data.

        Greedy selection with replacement (Caruana et al., Ensemble selection from libraries of
        models, 2004): in every step, the member whose addition makes the cost of the mean lowest is
        added once more.

        Parameters
        ----------
        X, y
            Validation data, as for `Network.cost`. All outputs for them are held in memory.
        steps : int
            How many times a member is added.

        Returns
        -------
        ndarray, (n,)
            How often each member was added over `steps`; for `mean`.
        """
        data = self._members[0]._data(X, y)
        outputs = self.predict(X).astype(np.float64)
        return _ensemble.select(outputs, data, self._members[0], as_count(steps, "steps", low=1))

    def _blocks(self, X: Any) -> Callable[[], Iterator[Array]]:
        """Return what gives the outputs of blocks of rows, (n, rows, n_L), one after the other."""
        x = as_inputs(X, self.widths[0], self.dtype)
        rows = max(1, _BLOCK // (len(self) * self.widths[-1]))
        return lambda: (self.predict(x[at : at + rows]) for at in range(0, len(x), rows))

    # ---- copies and files ----

    def save(self, path: Any) -> None:
        """Write all members to one file, which `Networks.load` reads.

        The formats are those of `Network.save`, by the suffix of the path. Arrays have a leading
        axis for the members. In a .safetensors file these are layers.0.weight, (n, n_1, n_0),
        layers.0.bias, (n, n_1), and so on: what torch.func.stack_module_state makes of modules that
        keep their layers in a list `layers`. An existing file is replaced atomically.

        Parameters
        ----------
        path : path-like
            The file, with exactly this name.

        Raises
        ------
        TypeError, ValueError, OSError, ModuleNotFoundError
            As `Network.save` does.

        Examples
        --------
        >>> import os, tempfile
        >>> import pybackprop as bp
        >>> path = os.path.join(tempfile.mkdtemp(), "nets.npz")
        >>> nets = bp.Networks([2, 8, 1], n=3, seed=0)
        >>> nets.save(path)
        >>> bool((bp.Networks.load(path).parameters == nets.parameters).all())
        True
        """
        from ..exchange.many import save_networks

        save_networks(path, self._members)

    @staticmethod
    def load(path: Any) -> Networks:
        """Return the networks that `save` wrote; the suffix determines the format.

        The file need not be trusted; see `Network.load`.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It holds no networks, or is malformed; the message says what is wrong.
        """
        from ..exchange.many import load_networks
        from ..exchange.npz import malformed

        states = load_networks(path)
        try:
            return Networks._from_states(states)
        except DAMAGE as error:
            raise malformed(path, error) from error

    def to_onnx(self, path: Any, weights: Any = None) -> None:
        """Write one ONNX model, which computes `mean` of all members.

        The graph maps x, (N, n_0), to y, (N, n_L), in the networks' type, and includes scalings.
        Inside, tensors have a leading axis for the members, so that it has as many nodes as that of
        one network. Sums are in the networks' type, in an order that the runtime chooses.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced atomically.
        weights : array_like, (n,), optional
            As for `mean`. Members of weight 0 are left out.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described.
        OSError
            The file cannot be written.
        ModuleNotFoundError
            The package onnx is not installed.
        """
        from ..exchange.onnx_many import save_mean

        save_mean(self.copy()._members, _ensemble.as_shares(weights, len(self)), path)

    def take(self, members: Any) -> Networks:
        """Return copies of some members, given by their indices or a mask, as one object."""
        array = np.asarray(members)
        chosen = array
        if array.dtype == np.bool_:
            if array.shape != (len(self),):
                raise ValueError(
                    f"members must have shape ({len(self)},) as a mask, got {array.shape}"
                )
            chosen = np.flatnonzero(array)
        if chosen.ndim != 1 or not chosen.size:
            raise ValueError("members must name at least one member, in one dimension")
        if chosen.dtype.kind not in "iu":
            raise TypeError(f"members must hold indices or be a mask, got dtype {chosen.dtype}")
        return Networks._of([self._members[self._index(int(at))] for at in chosen])

    def copy(self) -> Networks:
        """Return independent networks in the same state."""
        return Networks._of(self._members)

    def __copy__(self) -> Networks:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Networks:
        return self.copy()

    @staticmethod
    def _from_states(states: Sequence[tuple[Any, ...]]) -> Networks:
        """Return networks in states that were kept; pickles name this function."""
        made = Networks.__new__(Networks)
        made._build([{**from_kept(state[0]), "init": "zeros"} for state in states])
        for own, state in zip(made._members, states, strict=True):
            _restore(own, state)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Networks._from_states, ([each._state() for each in self._members],)


def _copy_state(own: Model, other: Model) -> None:
    _restore(own, other._state())


def _restore(own: Model, state: tuple[Any, ...]) -> None:
    """Bring a new member to the state of a network with the same settings."""
    settings, parameters, counters, scaling, metadata = state
    own._init = settings["init"]
    own._set_trained(parameters)
    own._net.set_counters(*counters)
    if scaling is not None:
        own.set_scaling(*scaling)
    own.metadata = metadata


def _aligned(n: int, size: int, dtype: np.dtype[Any]) -> Array:
    """Return n rows of memory that each begin at a multiple of _LINE bytes, (n, size)."""
    line = _LINE // dtype.itemsize
    stride = -(-size // line) * line
    flat = np.empty(n * stride + line, dtype)
    first = -flat.__array_interface__["data"][0] % _LINE // dtype.itemsize
    return flat[first : first + n * stride].reshape(n, stride)[:, :size]


def _penalty(value: Any, name: str) -> float:
    return as_real(value, name, low=0.0)


def _rates_of_members(value: Any, n: int, n_hidden: int) -> list[Any]:
    """Return the dropout rates of each member."""
    shape = np.shape(value)
    if shape == (n_hidden,) or not shape:
        return [value] * n
    if shape == (n,) or (len(shape) == 2 and len(value) == n):
        return list(value)
    raise ValueError(
        f"dropout must be a rate or have shape ({n_hidden},), ({n},) or ({n}, {n_hidden}), got "
        f"{shape}"
    )


def _seeds(value: Any, n: int) -> list[int | None]:
    """Return the seed of each member."""
    if value is None:
        return [None] * n
    if np.ndim(value) == 0:
        first = as_count(value, "seed", high=2**64 - n)
        return [first + at for at in range(n)]
    return per_member(value, n, "seed", lambda each, name: as_count(each, name, high=2**64 - 1))
