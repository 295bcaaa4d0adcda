"""Tasks of JAX: a jitted step for each batch, or an epoch of steps in one jitted `lax.scan`."""

from __future__ import annotations

import time
from itertools import cycle, islice
from typing import Any

import numpy as np

from ..agreement import Evidence, evidence_of_members, sample, training_evidence
from ..contenders import Task, load
from ..transforms import WAYS, Data, Tools, as_array, axes
from ..workloads import (
    ADAM_BETAS,
    ADAM_EPS,
    MOMENTUM,
    Array,
    Derivative,
    Layers,
    Members,
    Prediction,
    Training,
    Workload,
    derivative_data,
    initial_layers,
    prediction_inputs,
    scaled,
    split_vector,
    training_data,
)


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task; threads are set by the environment of the process."""
    if isinstance(workload, Prediction):
        return _Predict(workload)
    if isinstance(workload, Derivative):
        return _Derivative(workload, mode)
    if not isinstance(workload, Training):
        raise NotImplementedError("JAX is compared in training, prediction and derivatives only")
    if isinstance(workload, Members):
        return _Members(workload)
    if workload.folder is not None:
        return _Epoch(workload, scan=mode == "scan")
    return _Scan(workload) if mode == "scan" else _Step(workload)


def _parameters(workload: Training | Prediction | Derivative) -> Any:
    """Return W_l, transposed as JAX's users keep them, and b_l of every layer."""
    asarray = load("jax.numpy").asarray
    return [(asarray(w.T.copy()), asarray(b)) for w, b in initial_layers(workload)]


def _forward(layers: Any, x: Any, activation: str) -> Any:
    """Return Z_L."""
    jnp = load("jax.numpy")
    for index, (w, b) in enumerate(layers):
        x = x @ w + b
        if index < len(layers) - 1:
            x = jnp.tanh(x) if activation == "tanh" else jnp.maximum(x, 0.0)
    return x


def _cost(workload: Training, layers: Any, x: Any, y: Any) -> Any:
    jax, jnp = load("jax"), load("jax.numpy")
    z = _forward(layers, x, workload.activation)
    if workload.loss == "mse":
        return jnp.mean((z - y) ** 2)
    log_p = jax.nn.log_softmax(z)
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


def _updated(workload: Training, state: Any, x: Any, y: Any) -> Any:
    """Return parameters, momenta, squares and number of steps after a step."""
    jax, jnp = load("jax"), load("jax.numpy")
    each = jax.tree_util.tree_map
    parameters, momenta, squares, steps = state
    gradients = jax.grad(lambda layers: _cost(workload, layers, x, y))(parameters)
    steps = steps + 1
    lr = workload.lr
    if workload.optimizer == "sgd":
        momenta = each(lambda m, g: MOMENTUM * m + g, momenta, gradients)
        parameters = each(lambda p, m: p - lr * m, parameters, momenta)
        return parameters, momenta, squares, steps
    beta_1, beta_2 = ADAM_BETAS
    momenta = each(lambda m, g: beta_1 * m + (1 - beta_1) * g, momenta, gradients)
    squares = each(lambda v, g: beta_2 * v + (1 - beta_2) * g * g, squares, gradients)
    size = lr / (1 - beta_1**steps)
    root = 1 / jnp.sqrt(1 - beta_2**steps)
    parameters = each(
        lambda p, m, v: p - size * m / (jnp.sqrt(v) * root + ADAM_EPS), parameters, momenta, squares
    )
    return parameters, momenta, squares, steps


class _Training:
    """State, data and evidence of a training loop."""

    def __init__(self, workload: Training) -> None:
        self.workload, self.compile_seconds = workload, 0.0
        self.jax, jnp = load("jax"), load("jax.numpy")
        x, y = training_data(workload)
        self.x, self.y = jnp.asarray(scaled(x)), jnp.asarray(y)
        parameters = _parameters(workload)

        def zeros() -> Any:
            return [(jnp.zeros_like(w), jnp.zeros_like(b)) for w, b in parameters]

        squares = zeros() if workload.optimizer == "adam" else []
        self.state = parameters, zeros(), squares, jnp.zeros((), "float32")

    def _jit(self, function: Any) -> Any:
        """Return a compiled function that may reuse the memory of the state it is given."""
        return self.jax.jit(function, donate_argnums=0)

    def _batch(self, index: int) -> tuple[Any, Any]:
        rows = slice(index * self.workload.batch, (index + 1) * self.workload.batch)
        return self.x[rows], self.y[rows]

    def _evidence(self) -> Evidence:
        layers: Layers = [(np.asarray(w).T, np.asarray(b)) for w, b in self.state[0]]
        return training_evidence(self.workload, layers)

    def _timed(self, function: Any, *data: Any) -> float:
        """Advance the state, and return how long it took."""
        begin = time.perf_counter()
        self.state = function(self.state, *data)
        self.jax.block_until_ready(self.state)
        return time.perf_counter() - begin


class _Step(_Training):
    """A jitted step, called batch by batch."""

    unit = 1

    def __init__(self, workload: Training) -> None:
        super().__init__(workload)
        self.step = self._jit(lambda state, x, y: _updated(workload, state, x, y))
        self.batches = [self._batch(i) for i in range(len(self.x) // workload.batch)]

    def evidence(self) -> Evidence:
        self.compile_seconds = self._timed(self.step, *self.batches[0])
        for batch in self.batches[1 : self.workload.check_steps]:
            self.state = self.step(self.state, *batch)
        return self._evidence()

    def run(self, repeats: int) -> None:
        step, state = self.step, self.state
        for x, y in islice(cycle(self.batches), repeats):
            state = step(state, x, y)
        self.state = self.jax.block_until_ready(state)


class _Scan(_Training):
    """All batches in one jitted scan."""

    def __init__(self, workload: Training) -> None:
        super().__init__(workload)
        self.unit = len(self.x) // workload.batch
        shape = self.unit, workload.batch
        self.x = self.x.reshape(*shape, *self.x.shape[1:])
        self.y = self.y.reshape(*shape, *self.y.shape[1:])

        def epoch(state: Any, xs: Any, ys: Any) -> Any:
            def body(state: Any, batch: Any) -> Any:
                return _updated(workload, state, *batch), None

            return self.jax.lax.scan(body, state, (xs, ys))[0]

        self.several = epoch
        self.epoch = self._jit(epoch)

    def evidence(self) -> Evidence:
        steps = self.workload.check_steps
        self._timed(self.epoch, self.x[:steps], self.y[:steps])
        evidence = self._evidence()
        first = self._timed(self.epoch, self.x, self.y)
        again = self._timed(self.epoch, self.x, self.y)
        self.compile_seconds = first - again
        return evidence

    def run(self, repeats: int) -> None:
        epoch, state = self.epoch, self.state
        for _ in range(repeats):
            state = epoch(state, self.x, self.y)
        self.state = self.jax.block_until_ready(state)


class _Members:
    """All batches of all nets in one jitted scan, vectorized over the nets by `vmap`."""

    def __init__(self, workload: Members) -> None:
        self.workload = workload
        self.tasks = [_Scan(each) for each in workload.each(range(workload.n))]
        first = self.tasks[0]
        self.jax, self.x, self.y = first.jax, first.x, first.y
        jnp = load("jax.numpy")
        states = [each.state for each in self.tasks]
        self.state = self.jax.tree_util.tree_map(lambda *each: jnp.stack(each), *states)
        every = self.jax.vmap(first.several, in_axes=(0, None, None))
        self.epoch = self.jax.jit(every, donate_argnums=0)
        self.unit = first.unit * workload.n
        self.compile_seconds = 0.0

    def evidence(self) -> Evidence:
        steps = self.workload.check_steps
        self._run(self.x[:steps], self.y[:steps])
        evidence = evidence_of_members(self.workload, self._layers)
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            self._run(self.x, self.y)
            times.append(time.perf_counter() - begin)
        self.compile_seconds = times[0] - times[1]
        return evidence

    def _layers(self, member: int) -> Layers:
        return [(np.asarray(w[member]).T, np.asarray(b[member])) for w, b in self.state[0]]

    def _run(self, x: Any, y: Any) -> None:
        self.state = self.jax.block_until_ready(self.epoch(self.state, x, y))

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self._run(self.x, self.y)


class _Epoch(_Training):
    """An epoch of batches in random order, gathered inside the jitted step or scan."""

    def __init__(self, workload: Training, scan: bool) -> None:
        super().__init__(workload)
        self.unit = -(-len(self.x) // workload.batch)
        self.rng = np.random.default_rng(workload.seed)

        def step(state: Any, x: Any, y: Any, rows: Any) -> Any:
            return _updated(workload, state, x[rows], y[rows])

        def several(state: Any, x: Any, y: Any, order: Any) -> Any:
            def body(state: Any, rows: Any) -> Any:
                return step(state, x, y, rows), None

            return self.jax.lax.scan(body, state, order)[0]

        self.step = self._jit(step)
        self.several = self._jit(several) if scan else None

    def evidence(self) -> Evidence:
        self._run(np.arange(self.workload.check_steps * self.workload.batch))
        evidence = self._evidence()
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            self.run(1)
            times.append(time.perf_counter() - begin)
        self.compile_seconds = times[0] - times[1]
        return evidence

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self._run(self.rng.permutation(len(self.x)))
        self.jax.block_until_ready(self.state)

    def _run(self, order: Any) -> None:
        """Train on rows in this order; the last batch may have fewer."""
        batch, state = self.workload.batch, self.state
        whole = len(order) - len(order) % batch
        if self.several is not None:
            state = self.several(state, self.x, self.y, order[:whole].reshape(-1, batch))
        else:
            for start in range(0, whole, batch):
                state = self.step(state, self.x, self.y, order[start : start + batch])
        if whole < len(order):
            state = self.step(state, self.x, self.y, order[whole:])
        self.state = state


class _Predict:
    """A jitted forward pass."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Prediction) -> None:
        jax = load("jax")
        layers = _parameters(workload)

        def predict(x: Any) -> Any:
            z = _forward(layers, x, workload.activation)
            return jax.nn.softmax(z) if workload.output == "softmax" else z

        self.predict = jax.jit(predict)
        self.x = load("jax.numpy").asarray(prediction_inputs(workload))

    def evidence(self) -> Evidence:
        begin = time.perf_counter()
        outputs = np.asarray(self.predict(self.x))
        self.compile_seconds = time.perf_counter() - begin
        return {"outputs": sample(outputs)}

    def run(self, repeats: int) -> None:
        predict, x = self.predict, self.x
        for _ in range(repeats):
            predict(x).block_until_ready()


class _Derivative:
    """A jitted derivative, of all that it is given as arguments."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Derivative, mode: str) -> None:
        jax, jnp = load("jax"), load("jax.numpy")
        self.workload, self.jax = workload, jax
        self.parameters = _parameters(workload)
        tools = Tools(
            jax,
            jnp,
            lambda p, x: _forward(p, x, workload.activation),
            jax.tree_util.tree_leaves,
        )
        way = WAYS[workload.function][mode]
        self.call = jax.jit(lambda p, data: way(tools, p, data))
        x, y, v = derivative_data(workload)
        vector: Any = jnp.asarray(v)
        if workload.function in ("hvp", "gauss_newton_product"):
            parts = split_vector(v, workload.widths)
            vector = [(jnp.asarray(w.T.copy()), jnp.asarray(b)) for w, b in parts]
        directions = [jnp.asarray(each) for each in axes(workload)]
        self.data = Data(jnp.asarray(x), jnp.asarray(y), vector, directions)

    def evidence(self) -> Evidence:
        begin = time.perf_counter()
        found = self.jax.block_until_ready(self.call(self.parameters, self.data))
        self.compile_seconds = time.perf_counter() - begin
        return {"outputs": sample(as_array(self.workload, found, self._arrays))}

    @staticmethod
    def _arrays(found: Any) -> list[Array]:
        arrays: list[Array] = []
        for w, b in found:
            arrays += [np.asarray(w).swapaxes(-1, -2), np.asarray(b)]
        return arrays

    def run(self, repeats: int) -> None:
        call, parameters, data = self.call, self.parameters, self.data
        wait = self.jax.block_until_ready
        for _ in range(repeats):
            wait(call(parameters, data))
