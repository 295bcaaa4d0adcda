"""The C core as Python objects: handles, buffers, matrix descriptors, statuses as exceptions.

With the build script, the only module that touches cffi. Callers check shapes, types and values
before they come here; what reaches this module can be passed to C as it is.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._pybackprop_core import ffi, lib
from .losses import Array as Array
from .losses import LossFunction, UserLoss, view_memory

if not ffi.string(lib.bp_isa_name()):
    raise ImportError(
        "PYBACKPROP_ISA must be portable, avx2, avx512, amx or neon, "
        f"got {os.environ.get('PYBACKPROP_ISA')!r}"
    )

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
UINT8 = np.dtype(np.uint8)
INT64 = np.dtype(np.int64)

DTYPES = {
    FLOAT32: int(lib.BP_FLOAT32),
    FLOAT64: int(lib.BP_FLOAT64),
    UINT8: int(lib.BP_UINT8),
    INT64: int(lib.BP_INT64),
}


def _codes(prefix: str, names: str) -> dict[str, int]:
    """Return the codes of an enumeration of the C core, by name."""
    return {name: int(getattr(lib, prefix + name.upper())) for name in names.split()}


ACTIVATIONS = _codes(
    "BP_ACT_",
    "identity sigmoid tanh relu leaky_relu elu selu softplus gelu silu mish softmax",
)
PRECISIONS = _codes("BP_PRECISION_", "float32 bf16 bf16x2 bf16x3")
LOSSES = _codes("BP_LOSS_", "mse squared_error mae huber cross_entropy binary_cross_entropy")
OPTIMIZERS = _codes("BP_OPT_", "sgd adam adamw rmsprop adagrad")
OK = int(lib.BP_OK)
NOT_FINITE, ARGUMENT = int(lib.BP_ERR_NOT_FINITE), int(lib.BP_ERR_ARGUMENT)

# Names of the hot paths, looked up once.
from_buffer = ffi.from_buffer
bp_net_predict_rows, bp_net_step = lib.bp_net_predict_rows, lib.bp_net_step
ndarray, empty, may_share_memory = np.ndarray, np.empty, np.may_share_memory
_NULL = ffi.NULL
_BUSY = (
    "this network is in use in another call (a thread, a fit in progress or a loss function); "
    "use one copy of the network per thread"
)

# Rows of a call that no signal can interrupt are bounded so that it does about this much work.
_CALL_FLOPS = 2_000_000_000

# One shared tuple per (parameters, dtype), so that the hot path compares by identity.
_keys: dict[tuple[int, np.dtype[Any]], tuple[int, np.dtype[Any]]] = {}


def state_key(size: int, dtype: np.dtype[Any]) -> tuple[int, np.dtype[Any]]:
    """Return the one tuple that stands for optimizer state of this size and type."""
    return _keys.setdefault((size, dtype), (size, dtype))


def check(status: int) -> None:
    """Raise the exception that a status of the C core stands for."""
    if status == OK:
        return
    text = ffi.string(lib.bp_status_text(status)).decode()
    if status == lib.BP_ERR_MEMORY:
        raise MemoryError(text)
    if status in (lib.BP_ERR_BUSY, lib.BP_ERR_FORKED):
        raise RuntimeError(_BUSY if status == lib.BP_ERR_BUSY else text)
    if status == NOT_FINITE:
        raise FloatingPointError("the cost of the batch is not finite; nothing was changed")
    raise ValueError(text)


def pointer(array: Array | None) -> Any:
    """Return the address of an array's first entry; the caller keeps the array alive."""
    if array is None:
        return _NULL
    if array.flags.c_contiguous:  # the usual case, and much the faster way
        return from_buffer(array)
    return ffi.cast("void *", array.__array_interface__["data"][0])


def _describe(matrix: Any, array: Array) -> None:
    """Fill a bp_matrix from a 2-D array of any strides."""
    matrix.data = pointer(array)
    matrix.dtype = DTYPES[array.dtype]
    matrix.rows, matrix.cols = array.shape
    matrix.row_stride, matrix.col_stride = array.strides


def _keep_error(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Keep what a signal raised in bp_python_loss before or after its call."""
    ffi.from_handle(traceback.tb_frame.f_locals["user"]).error = error


@ffi.def_extern(error=1, onerror=_keep_error)  # type: ignore[untyped-decorator]
def bp_python_loss(
    user: Any, rows: int, n_out: int, a: Any, y: Any, loss: Any, da: Any
) -> int:  # the name is the C declaration's
    """Call the user's loss for the C core; any exception is kept for the caller to raise."""
    function: UserLoss = ffi.from_handle(user)
    return function.call(rows, n_out, *(int(ffi.cast("uintptr_t", p)) for p in (a, y, loss, da)))


class Data:
    """A bp_data and the arrays that it points to."""

    def __init__(
        self, x: Array, y: Array | None = None, sample_weight: Array | None = None
    ) -> None:
        self.rows = x.shape[0]
        self.arrays = (x, y, sample_weight)
        self.struct = ffi.new("bp_data *")
        _describe(self.struct.x, x)
        if y is not None:
            _describe(self.struct.y, y)
        if sample_weight is not None:
            self.struct.sample_weight = ffi.cast("double *", pointer(sample_weight))


class OptimizerState:
    """A bp_optimizer and the state vectors that it points to."""

    def __init__(self, kind: str) -> None:
        self.struct = ffi.new("bp_optimizer *")
        self.struct.kind = OPTIMIZERS[kind]
        self.lock = allocate_lock()
        self.key: tuple[int, np.dtype[Any]] | None = None
        self.vectors: list[Array | None] = [None, None, None]
        self.schedule: Any = None  # what gives the rate of a step, where it is not constant

    def get(self, field: str) -> Any:
        """Return a field of the structure."""
        return getattr(self.struct, field)

    def set(self, field: str, value: float) -> None:
        """Set a field of the structure."""
        setattr(self.struct, field, value)

    def point(self, index: int, vector: Array | None) -> None:
        """Let the structure point to a state vector, or to none."""
        self.vectors[index] = vector
        self.struct.state[index] = pointer(vector)

    def admit(self) -> None:
        """Raise if another call is using the optimizer."""
        if self.lock.locked():
            raise RuntimeError(
                "this optimizer is in use in another call; use one optimizer per network"
            )

    def update(self, parameters: Array, gradient: Array) -> None:
        """Apply one update to a flat array in place."""
        self.admit()
        with self.lock:
            if self.schedule is not None:
                self.struct.lr = self.schedule(self.struct.step)
            status = lib.bp_optimizer_update(
                DTYPES[parameters.dtype],
                parameters.size,
                pointer(parameters),
                pointer(gradient),
                self.struct,
            )
        check(status)


class Net:
    """A network of the C core, and the guard that lets one thread at a time use it.

    A fit holds the network from its first slice to its last: its own thread may evaluate the
    network between slices, all others are refused. Locks are only taken by `with`: a signal that
    came between the call of acquire() and a try block would leave one locked for ever.
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
        seed: int,
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
        out = ffi.new("bp_net **")
        check(lib.bp_net_create(config, out))
        self._handle = ffi.gc(out[0], lib.bp_net_destroy)
        self.dtype = dtype
        self.n_in, self.n_out = widths[0], widths[-1]
        self.n_parameters = int(lib.bp_net_parameter_count(self._handle))
        self.key = state_key(self.n_parameters, dtype)
        self.call_rows = max(256, _CALL_FLOPS // (2 * self.n_parameters))
        memory = int(ffi.cast("uintptr_t", lib.bp_net_parameters(self._handle)))
        self.parameters = view_memory(memory, (self.n_parameters,), dtype, self._handle)
        self._lock = allocate_lock()
        self.fit: Fit | None = None  # the fit that holds the network
        self._prepare_hot_path(loss)
        self._loss: UserLoss | None = None
        if not isinstance(loss, str):
            self._loss = UserLoss(loss, dtype)
            self._loss_handle = ffi.new_handle(self._loss)
            check(lib.bp_net_set_loss_callback(self._handle, lib.bp_python_loss, self._loss_handle))

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

    def _admit(self) -> None:
        """Raise if another call, or a fit in another thread, is using the network."""
        fit = self.fit
        if self._lock.locked() or (fit is not None and fit.thread != get_ident()):
            forked = fit is not None and fit.process != os.getpid()
            check(lib.BP_ERR_FORKED if forked else lib.bp_net_status(self._handle))
            raise RuntimeError(_BUSY)

    def _admit_training(self) -> None:
        """Raise also if the call is made in a callback of a fit."""
        self._admit()
        if self.fit is not None:
            raise RuntimeError("a fit of this network is in progress; " + _BUSY)

    def _check(self, status: int) -> None:
        """Raise the exception that the loss function left, or the status's own."""
        if status == OK:
            return
        if status == lib.BP_ERR_CALLBACK and self._loss is not None:
            error, self._loss.error = self._loss.error, None
            if error is not None:
                raise error
        check(status)

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Call a function of the C core on this network, under the guard."""
        self._admit()
        with self._lock:
            status = function(self._handle, *arguments)
        self._check(status)

    def try_predict(self, x: Any, out: Any = None) -> Array | None:
        """Return a_L for a plain array of this network's type, None where x is anything else."""
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
            self._admit()
        # No lock: the call shares nothing with others but the network, which has its own guard.
        status = bp_net_predict_rows(self._handle, source, rows, from_buffer(out))
        if status:
            if status == ARGUMENT:
                return None
            self._check(status)
        result: Array = out
        return result

    def try_step(self, x: Any, y: Any, optimizer: OptimizerState) -> float | None:
        """Do one update from plain arrays that need no check here; None where they do."""
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
        optimizer.admit()
        if self.fit is not None or self._lock.locked():
            self._admit_training()
        with optimizer.lock, self._lock:
            self._x.data, self._y.data = inputs, targets
            if rows != self._rows:
                self._rows = self._x.rows = self._y.rows = rows
            if optimizer.schedule is not None:
                optimizer.struct.lr = optimizer.schedule(optimizer.struct.step)
            status = bp_net_step(self._handle, self._pair, optimizer.struct, self._cost)
            cost: float = self._cost[0]
        if status:
            if status == ARGUMENT:  # a label that is none
                return None
            self._check(status)
        return cost

    def predict(self, x: Array, out: Array) -> None:
        """Write a_L of the rows of x to out, in calls short enough for signals to come between."""
        for begin in range(0, len(x), self.call_rows):
            data = Data(x[begin : begin + self.call_rows])
            self._call(lib.bp_net_predict, ffi.addressof(data.struct, "x"), pointer(out[begin:]))

    def cost(self, data: Data) -> float:
        """Return the cost, as the weighted mean of the costs of calls of bounded length."""
        out = ffi.new("double *")
        if data.rows <= self.call_rows:
            self._call(lib.bp_net_cost, data.struct, out)
            return float(out[0])
        x, y, sample_weight = data.arrays
        total = weights = 0.0
        for begin in range(0, data.rows, self.call_rows):
            rows = slice(begin, begin + self.call_rows)
            part = None if sample_weight is None else sample_weight[rows]
            weight = float(len(x[rows]) if part is None else part.sum())
            if weight == 0:
                continue
            piece = Data(x[rows], None if y is None else y[rows], part)
            self._call(lib.bp_net_cost, piece.struct, out)
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

        The arrays, with a row for each of the data's, are what follows the data in the call;
        `passes` is about how much more work a row is than in predict.
        """
        function = getattr(lib, "bp_net_" + name)
        x, y, _ = data.arrays
        step = max(256, self.call_rows // passes)
        for begin in range(0, data.rows, step):
            rows = slice(begin, begin + step)
            part = Data(x[rows], None if y is None else y[rows]) if data.rows > step else data
            source = ffi.addressof(part.struct, "x") if y is None else part.struct
            self._call(function, source, *(pointer(each[rows]) for each in arrays))

    def curvature(self, name: str, data: Data, vector: Array, product: Array) -> None:
        """Write the product of a matrix of second derivatives of the cost and a vector."""
        function = getattr(lib, "bp_net_" + name)
        self._call(function, data.struct, pointer(vector), pointer(product))

    def trace(self, data: Data, z: list[Array], a: list[Array], delta: list[Array] | None) -> None:
        """Write the pre-activations, activations and deltas of every layer."""
        lists = [
            _NULL if arrays is None else ffi.new("void *[]", [pointer(each) for each in arrays])
            for arrays in (z, a, delta)
        ]
        self._call(lib.bp_net_trace, data.struct, *lists)

    def step(self, data: Data, optimizer: OptimizerState) -> float:
        """Do one update from all rows; return the cost before it."""
        optimizer.admit()
        self._admit_training()
        with optimizer.lock, self._lock:
            if optimizer.schedule is not None:
                optimizer.struct.lr = optimizer.schedule(optimizer.struct.step)
            status = bp_net_step(self._handle, data.struct, optimizer.struct, self._cost)
            cost = float(self._cost[0])
        self._check(status)
        return cost

    def set_parameters(self, offset: int, values: Array) -> None:
        """Copy a C-contiguous array of this network's type into the flat vector."""
        self._call(lib.bp_net_set_parameters, offset, values.size, pointer(values))

    def set_scaling(self, shift: Array | None, scale: Array | None) -> None:
        """Let inputs become (x - shift) * scale on their way in."""
        shifts, scales = (ffi.cast("double *", pointer(each)) for each in (shift, scale))
        self._call(lib.bp_net_set_scaling, shifts, scales)

    def get_counters(self, parameters: Array | None = None) -> tuple[int, int]:
        """Return the training steps and epochs done; copy out the parameters of that moment."""
        steps, epochs = ffi.new("int64_t *"), ffi.new("int64_t *")
        self._call(lib.bp_net_get_state, pointer(parameters), steps, epochs)
        return int(steps[0]), int(epochs[0])

    def set_counters(self, steps: int, epochs: int) -> None:
        """Set the counters that key dropout and shuffling."""
        self._call(lib.bp_net_set_counters, steps, epochs)

    def dropout_mask(self, layer: int, rows: int, width: int) -> Array:
        """Return what the next step would keep after a hidden layer."""
        mask = np.empty((rows, width), np.uint8)
        target = ffi.cast("uint8_t *", pointer(mask))
        self._call(lib.bp_net_dropout_mask, layer, rows, target)
        return mask.view(np.bool_)


class Fit:
    """A training run. Net.fit, which the caller sets and clears, is what holds the network.

    epoch and batch are those of the next batch, from 0; partial_cost is the epoch's cost so far, in
    sums its numerator and denominator.
    """

    def __init__(self, net: Net, data: Data, batch_size: int, shuffle: bool) -> None:
        self.thread, self.process = get_ident(), os.getpid()
        self._net, self._data = net, data
        self._state = ffi.new("bp_fit_state *")
        self._read_state()
        out = ffi.new("bp_fit **")
        net._admit_training()
        check(lib.bp_fit_create(net._handle, data.struct, batch_size, shuffle, out))
        self._handle = ffi.gc(out[0], lib.bp_fit_destroy)

    def hold(self) -> None:
        """Hold the network; raise if another fit does."""
        with self._net._lock:
            if self._net.fit is not None:
                raise RuntimeError(_BUSY)
            self._net.fit = self

    def _read_state(self) -> None:
        state = self._state
        self.epoch, self.batch = int(state.epoch), int(state.batch)
        self.partial_cost = float(state.cost)
        self.sums = float(state.cost_sum), float(state.cost_weight)

    def start(self) -> Array:
        """Return a view of the parameters at the start of the epoch, of which a batch is done."""
        memory = int(ffi.cast("uintptr_t", self._state.start))
        return view_memory(memory, (self._net.n_parameters,), self._net.dtype, self._handle)

    def resume(self, epoch: int, batch: int, sums: Sequence[float], start: Array | None) -> None:
        """Go on from where another run stood; the network is as it was then."""
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
        lr, out = (ffi.cast("double *", pointer(each)) for each in (rates, costs))
        n_lr = 0 if rates is None else rates.size
        arguments = optimizer.struct, lr, n_lr, costs.size, max_ns, out, self._state
        with self._net._lock:
            status = lib.bp_fit_run(self._handle, *arguments)
        if status != NOT_FINITE:
            self._net._check(status)
        self._read_state()
        return status, int(self._state.completed)


def random_uniform(seed: int, stream: int, count: int) -> Array:
    """Return numbers uniform in [0, 1), from Philox keyed by seed at counter (stream, i)."""
    out = np.empty(count)
    lib.bp_random_uniform(seed, stream, count, ffi.cast("double *", pointer(out)))
    return out


def random_permutation(seed: int, epoch: int, count: int) -> Array:
    """Return a permutation of 0 … count - 1 keyed by seed and epoch."""
    out = np.empty(count, np.int64)
    lib.bp_random_permutation(seed, epoch, count, ffi.cast("int64_t *", pointer(out)))
    return out


def machine() -> dict[str, Any]:
    """Return what the core knows about the CPU and about itself."""
    return {
        "brand": ffi.string(lib.bp_cpu_brand()).decode("utf-8", "replace").strip(),
        "isa": ffi.string(lib.bp_isa_name()).decode(),
        "bf16": ffi.string(lib.bp_bf16_name()).decode(),
        "available": ffi.string(lib.bp_isa_available()).decode().split(),
        "caches": {f"L{level}": int(lib.bp_cache_size(level)) for level in (1, 2, 3)},
        "cpus": int(lib.bp_cpu_count()),
        "threads": get_threads(),
        "compiler": ffi.string(lib.bp_compiler()).decode(),
    }


def set_threads(n: int) -> None:
    """Set the largest number of threads that a call may use."""
    check(lib.bp_set_threads(n))


def get_threads() -> int:
    """Return the largest number of threads that a call may use."""
    return int(lib.bp_get_threads())


def peak_flops(dtype: np.dtype[Any], precision: str, threads: int, seconds: float) -> float:
    """Measure the multiply-add rate of a register-only loop."""
    out = ffi.new("double *")
    check(lib.bp_peak_flops(DTYPES[dtype], PRECISIONS[precision], threads, seconds, out))
    return float(out[0])


def matmul(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, precision: str
) -> None:
    """Write op(a) op(b) to out; all are 2-D, of one type, with unit column stride."""
    m, n = out.shape
    k = a.shape[0] if transpose_a else a.shape[1]
    # Each with its row stride in elements, which says nothing where there is only one row.
    sized = [
        (pointer(each), each.strides[0] // each.itemsize if len(each) > 1 else each.shape[1])
        for each in (a, b, out)
    ]
    dtype, code = DTYPES[out.dtype], PRECISIONS[precision]
    check(
        lib.bp_matmul(
            dtype, code, m, n, k, *sized[0], transpose_a, *sized[1], transpose_b, *sized[2]
        )
    )


def dense_forward(activation: str, x: Array, w: Array, b: Array | None, z: Array, y: Array) -> None:
    """Write z = x W^T + b and y = act(z); all are C-contiguous and of one type."""
    n_out, n_in = w.shape
    pointers = [pointer(each) for each in (x, w, b, z, y)]
    check(
        lib.bp_dense_forward(
            DTYPES[x.dtype], ACTIVATIONS[activation], len(x), n_in, n_out, *pointers
        )
    )


def dense_backward(
    activation: str, x: Array, w: Array, z: Array, dy: Array, dx: Array, dw: Array, db: Array
) -> None:
    """Write the gradients of a layer; all are C-contiguous and of one type."""
    n_out, n_in = w.shape
    pointers = [pointer(each) for each in (x, w, z, dy, dx, dw, db)]
    check(
        lib.bp_dense_backward(
            DTYPES[x.dtype], ACTIVATIONS[activation], len(x), n_in, n_out, *pointers
        )
    )


def activation(name: str, z: Array, out: Array, derivative: bool) -> None:
    """Write act(z) or act'(z); z is C-contiguous, and softmax runs over its last axis."""
    dtype, code = DTYPES[z.dtype], ACTIVATIONS[name]
    cols = z.shape[-1] if z.ndim else 1
    if derivative:
        check(lib.bp_activation_derivative(dtype, code, z.size, pointer(z), pointer(out)))
    else:
        check(lib.bp_activation(dtype, code, z.size // cols, cols, pointer(z), pointer(out)))
