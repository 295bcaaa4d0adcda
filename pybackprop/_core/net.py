"""Networks and their training runs as Python objects around handles of the C core."""

from __future__ import annotations

import os
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from .._pybackprop_core import ffi, lib
from ..losses import Array, LossFunction, UserLoss, view_memory
from .data import Data
from .ffi import (
    ACTIVATIONS,
    ARGUMENT,
    BUSY,
    DTYPES,
    INT64,
    LOSSES,
    NOT_FINITE,
    NULL,
    OK,
    PRECISIONS,
    check,
    doubles,
    pointer,
)
from .optimizer import Holder, OptimizerState, state_key
from .reduction import Reduce, Reduction
from .user_loss import bp_python_loss

Result = TypeVar("Result")
Scaling = tuple[Array, Array]  # shift and scale
Factors = Sequence[Sequence[float]]  # of the weights and of the biases of each layer

# Names of the hot paths, looked up once.
from_buffer = ffi.from_buffer
bp_net_predict_rows, bp_net_step = lib.bp_net_predict_rows, lib.bp_net_step
ndarray, empty, may_share_memory = np.ndarray, np.empty, np.may_share_memory

# No signal can interrupt a call, so its rows are limited to about this much work.
_CALL_FLOPS = 2_000_000_000


class Net:
    """A network of the C core, and the guard that lets one thread at a time use it.

    Its parameters can lie in an array of the caller's, which begins at a multiple of 64 bytes.

    A fit holds the network from its first slice to its last: its own thread may evaluate the
    network between slices, all others are refused. Locks are only taken by `with`: a signal between
    the call of acquire() and a try block would leave a lock held for ever.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        activations: Sequence[str],
        loss: str | LossFunction,
        dtype: np.dtype[Any],
        precision: str,
        dropout: Sequence[float],
        l1: float,
        l2: float,
        label_smoothing: float,
        lr_factors: Factors | None,
        decay_factors: Factors | None,
        eps_factors: Factors | None,
        scale_factors: Sequence[float] | None,
        seed: int,
        parameters: Array | None = None,
    ) -> None:
        keep = (
            ffi.new("int64_t[]", list(widths)),
            ffi.new("int32_t[]", [ACTIVATIONS[name] for name in activations]),
            ffi.new("double[]", [*dropout, 0.0]),
        )
        config = ffi.new("bp_net_config *")
        config.n_layers = len(activations)
        config.widths, config.activations, config.dropout = keep
        config.loss = LOSSES[loss] if isinstance(loss, str) else lib.BP_LOSS_CALLBACK
        config.dtype = DTYPES[dtype]
        config.precision = PRECISIONS[precision]
        config.l1, config.l2, config.seed = l1, l2, seed
        config.label_smoothing = label_smoothing
        factors = [doubles(each) for each in (lr_factors, decay_factors, eps_factors)]
        config.lr_factors, config.decay_factors, config.eps_factors = factors
        if scale_factors is not None:
            config.has_scales, config.scale_factors = 1, list(scale_factors)
        config.parameters = NULL if parameters is None else ffi.cast("void *", pointer(parameters))
        self._memory = parameters
        out = ffi.new("bp_net **")
        check(lib.bp_net_create(config, out))
        self._handle = ffi.gc(out[0], lib.bp_net_destroy)
        self.dtype = dtype
        self.n_in, self.n_out = widths[0], widths[-1]
        self.n_parameters = int(lib.bp_net_parameter_count(self._handle))
        # What training changes: the parameters, where there are no scales.
        self.n_trained = int(lib.bp_net_trained_count(self._handle))
        self.key = state_key(self.n_trained, dtype)
        self.call_rows = max(256, _CALL_FLOPS // (2 * self.n_parameters))
        self.parameters = self._view(lib.bp_net_parameters(self._handle), self.n_parameters)
        scales = lib.bp_net_scales(self._handle)
        self.scales = None if scales == NULL else self._view(scales, self.n_in)
        self.scaling: Scaling | None = None
        self._lock = allocate_lock()
        self.fit: Holder | None = None  # the fit that holds the network
        self.dropout_factors: Any = None  # what gives the factor of a step, if it is not 1
        self._prepare_hot_path(loss)
        self._loss: UserLoss | None = None
        if not isinstance(loss, str):
            self._loss = UserLoss(loss, dtype)
            self._loss_handle = ffi.new_handle(self._loss)
            check(lib.bp_net_set_loss_callback(self._handle, bp_python_loss, self._loss_handle))

    def _view(self, address: Any, size: int) -> Array:
        """Return a read-only view of memory that lasts as long as the network."""
        keep_alive = self._handle, self._memory  # the handle does not own memory of the caller
        return view_memory(int(ffi.cast("uintptr_t", address)), (size,), self.dtype, keep_alive)

    def _prepare_hot_path(self, loss: str | LossFunction) -> None:
        """Make the structures that try_step uses again and again."""
        # The core checks labels itself; probabilities are checked before they come here.
        y_dtype, n_y = (INT64, 1) if loss == "cross_entropy" else (self.dtype, self.n_out)
        self._y_dtype = y_dtype if loss != "binary_cross_entropy" else None
        self._pair = ffi.new("bp_data *")
        self._x, self._y = self._pair.x, self._pair.y
        self._cost = ffi.new("double *")
        self._rows = 0
        for matrix, dtype, cols in ((self._x, self.dtype, self.n_in), (self._y, y_dtype, n_y)):
            matrix.dtype, matrix.cols = DTYPES[dtype], cols
            matrix.row_stride, matrix.col_stride = cols * dtype.itemsize, dtype.itemsize

    def admit(self) -> None:
        """Raise if another call, or a fit in another thread, is using the network."""
        if self._lock.locked():
            self._refuse()
        self._admit_beside_fit()

    def _admit_beside_fit(self) -> None:
        """Raise if a fit in another thread holds the network."""
        if self.fit is not None and self.fit.thread != get_ident():
            self._refuse()

    def _refuse(self) -> NoReturn:
        fit = self.fit
        forked = fit is not None and fit.process != os.getpid()
        check(lib.BP_ERR_FORKED if forked else lib.bp_net_status(self._handle))
        raise RuntimeError(BUSY)

    def admit_training(self) -> None:
        """Raise also if the call is made in a callback of a fit."""
        self.admit()
        if self.fit is not None:
            self._refuse_training()

    def _refuse_training(self) -> NoReturn:
        raise RuntimeError(
            "this network is in use in another call: a fit of it is in progress; call this after "
            "the fit, or on net.copy()"
        )

    def _check(self, status: int) -> None:
        """Raise the exception that the loss function left, or the status's own."""
        if status == OK:
            return
        if status == lib.BP_ERR_CALLBACK and self._loss is not None:
            error, self._loss.error = self._loss.error, None
            if error is not None:
                raise error
        check(status)

    def _alone(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function that uses this network, while no other call does."""
        self.admit()
        with self._lock:
            self._admit_beside_fit()  # a fit may have begun between the lines above
            return call(*arguments)

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Call a function of the C core on this network, under the guard."""
        self._check(self._alone(function, self._handle, *arguments))

    def try_predict(self, x: Any, out: Any = None) -> Array | None:
        """Return a_L for a plain array of this network's type, or None if x is anything else."""
        dtype = self.dtype
        if type(x) is not ndarray or x.dtype is not dtype:
            return None
        try:
            rows, cols = x.shape
            source = from_buffer(x)
        except (BufferError, ValueError):
            return None
        if cols != self.n_in or not 0 < rows <= self.call_rows:
            return None
        if out is None:
            out = empty((rows, self.n_out), dtype)
        elif (
            type(out) is not ndarray
            or out.dtype is not dtype
            or out.shape != (rows, self.n_out)
            or not out.flags.carray
            or may_share_memory(x, out)
        ):
            return None
        if self.fit is not None:
            self.admit()
        # No lock: the call shares nothing with others but the network, which has its own guard.
        status = bp_net_predict_rows(self._handle, source, rows, from_buffer(out))
        if status:
            if status == ARGUMENT:
                return None
            self._check(status)
        result: Array = out
        return result

    def try_step(self, x: Any, y: Any, optimizer: OptimizerState) -> float | None:
        """Do one update from plain arrays that need no check here; return None if they need one."""
        if type(x) is not ndarray or x.dtype is not self.dtype:
            return None
        if type(y) is not ndarray or y.dtype is not self._y_dtype:
            return None
        try:
            rows, cols = x.shape
            inputs, targets = from_buffer(x), from_buffer(y)
        except (BufferError, ValueError):
            return None
        if cols != self.n_in or not rows or not (x.flags.aligned and y.flags.aligned):
            return None
        if y.shape != ((rows,) if y.dtype is INT64 else (rows, self.n_out)):
            return None
        if optimizer.fit is not None or optimizer.lock.locked():
            optimizer.admit(updates=True)
        if self.fit is not None or self._lock.locked():
            self.admit_training()
        with optimizer.lock, self._lock:
            if optimizer.fit is not None or self.fit is not None:
                # A fit began between the lines above.
                optimizer.admit_beside_fit(updates=True)
                raise RuntimeError(BUSY)
            self._x.data, self._y.data = inputs, targets
            if rows != self._rows:
                self._rows = self._x.rows = self._y.rows = rows
            if optimizer.schedules:
                optimizer.next_rates()
            dropout = 1.0 if self.dropout_factors is None else self._next_dropout()
            status = bp_net_step(self._handle, self._pair, optimizer.struct, dropout, self._cost)
            cost: float = self._cost[0]
        if status:
            if status == ARGUMENT:  # an invalid label, or a state that has been replaced
                return None
            self._check(status)
        return cost

    def predict(self, x: Array, out: Array) -> None:
        """Write a_L of the rows of x to out, in calls short enough for signals to come between."""
        x, out = x.view(), out.view()
        if out.shape != (len(x), self.n_out):
            raise ValueError(f"out must have shape ({len(x)}, {self.n_out})")
        self._alone(self._predict, x, out)

    def _predict(self, x: Array, out: Array) -> None:
        for begin in range(0, len(x), self.call_rows):
            data = Data(x[begin : begin + self.call_rows])
            source, target = ffi.addressof(data.struct, "x"), pointer(out[begin:])
            self._check(lib.bp_net_predict(self._handle, source, target))

    def cost(self, data: Data) -> float:
        """Return the cost, as the weighted mean of the costs of calls of bounded length."""
        return self._alone(self._cost_of, data)

    def _cost_of(self, data: Data) -> float:
        out = ffi.new("double *")
        if data.rows <= self.call_rows:
            self._check(lib.bp_net_cost(self._handle, data.struct, out))
            return float(out[0])
        x, _, sample_weight = data.arrays
        total = weights = 0.0
        for begin in range(0, data.rows, self.call_rows):
            rows = slice(begin, begin + self.call_rows)
            part = None if sample_weight is None else sample_weight[rows]
            weight = float(len(x[rows]) if part is None else part.sum())
            if weight == 0:
                continue
            piece = data.select(rows)
            self._check(lib.bp_net_cost(self._handle, piece.struct, out))
            total += weight * out[0]
            weights += weight
        return total / weights

    def backprop(self, data: Data, gradient: Array, inputs: Array | None) -> float:
        """Write the gradients in the parameters and, where wanted, the inputs; return the cost."""
        out = ffi.new("double *")
        self._call(lib.bp_net_backprop, data.struct, out, pointer(gradient), pointer(inputs))
        return float(out[0])

    def by_rows(self, name: str, data: Data, arrays: Sequence[Array], passes: int) -> None:
        """Write a derivative of each row, in calls short enough for signals to come between.

        The arrays have a row for each row of the data, and follow the data in the call; `passes` is
        roughly how many times the work of predict a row takes.
        """
        views = [each.view() for each in arrays]
        if any(len(each) != data.rows for each in views):
            raise ValueError(f"the arrays must have {data.rows} rows")
        self._alone(self._by_rows, getattr(lib, "bp_net_" + name), data, views, passes)

    def _by_rows(
        self, function: Callable[..., int], data: Data, arrays: Sequence[Array], passes: int
    ) -> None:
        x, y, _ = data.arrays
        step = max(256, self.call_rows // passes)
        for begin in range(0, data.rows, step):
            rows = slice(begin, begin + step)
            part = Data(x[rows], None if y is None else y[rows]) if data.rows > step else data
            source = ffi.addressof(part.struct, "x") if y is None else part.struct
            pointers = [pointer(each[rows]) for each in arrays]
            self._check(function(self._handle, source, *pointers))

    def curvature(self, name: str, data: Data, vector: Array, product: Array) -> None:
        """Write the product of a matrix of second derivatives of the cost and a vector."""
        function = getattr(lib, "bp_net_" + name)
        self._call(function, data.struct, pointer(vector), pointer(product))

    def trace(self, data: Data, z: list[Array], a: list[Array], delta: list[Array] | None) -> None:
        """Write the pre-activations, activations and deltas of every layer."""
        lists = [
            NULL if arrays is None else ffi.new("void *[]", [pointer(each) for each in arrays])
            for arrays in (z, a, delta)
        ]
        self._call(lib.bp_net_trace, data.struct, *lists)

    def step(self, optimizer: OptimizerState, data: Data) -> float:
        """Do one update from all rows; return the cost before it.

        The optimizer's lock is held, and the network has admitted the call.
        """
        with self._lock:
            if self.fit is not None:
                self._refuse_training()
            optimizer.next_rates()
            dropout = self._next_dropout()
            status = bp_net_step(self._handle, data.struct, optimizer.struct, dropout, self._cost)
            cost = float(self._cost[0])
        self._check(status)
        return cost

    def set_parameters(self, offset: int, values: Array) -> None:
        """Copy a C-contiguous array of this network's type into the flat vector."""
        self._call(lib.bp_net_set_parameters, offset, values.size, pointer(values))

    def set_trained(self, values: Array) -> None:
        """Copy an array of this network's type, (n_trained,), into all that training changes."""
        if (values.size, values.dtype) != self.key:
            raise ValueError(
                f"what training changes is {self.key[0]} entries of {self.key[1]}, got "
                f"{values.size} of {values.dtype}"
            )
        values = np.require(values, requirements=("C", "A"))  # also from workers and files
        self._call(lib.bp_net_set_trained, values.size, pointer(values))

    def trained(self) -> Array:
        """Return a copy of all that training changes, (n_trained,)."""
        return self.snapshot()[0]

    def set_scaling(self, shift: Array | None, scale: Array | None) -> None:
        """Scale inputs to (x - shift) * scale before layer 1; keep the arrays."""
        shifts, scales = (ffi.cast("double *", pointer(each)) for each in (shift, scale))
        self._call(self._set_scaling, shifts, scales, (shift, scale))

    def _set_scaling(self, handle: Any, shifts: Any, scales: Any, pair: Any) -> int:
        # Within the guard, so that what is kept here is what the core has.
        status = int(lib.bp_net_set_scaling(handle, shifts, scales))
        if status == OK:
            self.scaling = None if pair[0] is None else pair
        return status

    def get_counters(self) -> tuple[int, int]:
        """Return the training steps and epochs done."""
        return self._alone(self._counters)

    def _counters(self) -> tuple[int, int]:
        steps, epochs = ffi.new("int64_t *"), ffi.new("int64_t *")
        self._check(lib.bp_net_get_state(self._handle, NULL, steps, epochs))
        return int(steps[0]), int(epochs[0])

    def snapshot(self) -> tuple[Array, tuple[int, int], Scaling | None]:
        """Return copies of what training changes, the counters and the scaling, of one moment."""
        trained = np.empty(self.n_trained, self.dtype)
        steps, epochs = ffi.new("int64_t *"), ffi.new("int64_t *")
        scaling = None

        def read(handle: Any) -> int:
            nonlocal scaling
            scaling = self.scaling  # whose arrays nobody writes to
            return int(lib.bp_net_get_state(handle, pointer(trained), steps, epochs))

        self._call(read)
        return trained, (int(steps[0]), int(epochs[0])), scaling

    def set_counters(self, steps: int, epochs: int) -> None:
        """Set the counters that key dropout and shuffling."""
        self._call(lib.bp_net_set_counters, steps, epochs)

    def _next_dropout(self) -> float:
        """Return the factor of the dropout rates in the next step; the lock is held."""
        factor = self.dropout_factors
        return 1.0 if factor is None else float(factor(self._counters()[0]))

    def dropout_mask(self, layer: int, rows: int, width: int) -> Array:
        """Return what the next step would keep after a hidden layer."""
        mask = np.empty((rows, width), np.uint8)
        target = ffi.cast("uint8_t *", pointer(mask))
        core = lib.bp_net_dropout_mask
        self._call(lambda net: core(net, layer, rows, self._next_dropout(), target))
        return mask.view(np.bool_)


class Fit:
    """A training run. It holds the network through Net.fit, which the caller sets and clears.

    epoch and batch are those of the next batch, from 0; partial_cost is the epoch's cost so far,
    and sums are its numerator and denominator.
    """

    def __init__(self, net: Net, data: Data, batch_size: int, shuffle: bool) -> None:
        self.thread, self.process, self.key = get_ident(), os.getpid(), net.key
        self._net, self._data = net, data
        self._state = ffi.new("bp_fit_state *")
        self._read_state()
        out = ffi.new("bp_fit **")
        net.admit_training()
        check(lib.bp_fit_create(net._handle, data.struct, batch_size, shuffle, out))
        self._handle = ffi.gc(out[0], lib.bp_fit_destroy)
        self._reduction: Reduction | None = None

    def set_shards(
        self, shards: int, first: int, count: int, reduce: Reduce | None, errors: Array | None
    ) -> None:
        """Form the gradient of each batch in shards, of which this process computes some.

        errors is (2 shards, n_parameters), uint16: sums are then rounded to bfloat16, and each row
        holds the bits of what that left out of one.
        """
        function, user = NULL, NULL
        self._errors = errors  # which the core writes to
        if reduce is not None:
            self._reduction = Reduction(reduce, self._net.n_parameters, self._net.dtype)
            self._reduction_handle = ffi.new_handle(self._reduction)
            function, user = lib.bp_python_reduce, self._reduction_handle
        rows = NULL if errors is None else ffi.cast("uint16_t *", pointer(errors))
        check(lib.bp_fit_set_shards(self._handle, shards, first, count, rows, function, user))

    def set_window(self, data: Data, first_batch: int, rows: int) -> None:
        """Replace the data by those of some batches, of all that `rows` rows have."""
        check(lib.bp_fit_set_window(self._handle, data.struct, first_batch, rows))
        self._data = data

    def hold(self) -> None:
        """Hold the network; raise if another fit does."""
        with self._net._lock:
            if self._net.fit is not None:
                raise RuntimeError(BUSY)
            self._net.fit = self

    def _read_state(self) -> None:
        state = self._state
        self.epoch, self.batch = int(state.epoch), int(state.batch)
        self.partial_cost = float(state.cost)
        self.sums = float(state.cost_sum), float(state.cost_weight)

    def start(self) -> Array:
        """Return a view of what is trained at the start of the epoch, of which a batch is done."""
        memory = int(ffi.cast("uintptr_t", self._state.start))
        return view_memory(memory, (self._net.n_trained,), self._net.dtype, self._handle)

    def resume(self, epoch: int, batch: int, sums: Sequence[float], start: Array | None) -> None:
        """Go on from where another run stood; the network is as it was then."""
        if start is not None and (start.size, start.dtype) != self.key:
            raise ValueError(f"start must hold {self.key[0]} entries of {self.key[1]}")
        state = self._state
        state.epoch, state.batch, state.start = epoch, batch, pointer(start)
        state.cost_sum, state.cost_weight = sums
        check(lib.bp_fit_resume(self._handle, state))
        self._read_state()

    def run(
        self, optimizer: OptimizerState, rates: Array | None, costs: Array, max_ns: int
    ) -> tuple[int, int]:
        """Train for at most len(costs) epochs, max_ns nanoseconds and len(rates) batches.

        Returns the status, BP_OK or BP_ERR_NOT_FINITE, and how many costs were written.
        """
        coming, out = ffi.cast("bp_rates *", pointer(rates)), ffi.cast("double *", pointer(costs))
        n_rates = 0 if rates is None else len(rates)
        arguments = optimizer.struct, coming, n_rates, costs.size, max_ns, out, self._state
        with optimizer.lock, self._net._lock:
            status = lib.bp_fit_run(self._handle, *arguments)
        if self._reduction is not None and self._reduction.error is not None:
            error, self._reduction.error = self._reduction.error, None
            raise error
        if status != NOT_FINITE:
            self._net._check(status)
        self._read_state()
        return status, int(self._state.completed)
