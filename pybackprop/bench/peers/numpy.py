"""Tasks of NumPy, by hand: every array is made once, and products and functions write into it."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np

from ..agreement import Evidence, sample, training_evidence
from ..contenders import Task
from ..textbook import softmax
from ..workloads import (
    ADAM_BETAS,
    ADAM_EPS,
    MOMENTUM,
    Array,
    Derivative,
    Elementwise,
    Prediction,
    Product,
    Training,
    Workload,
    elementwise_inputs,
    initial_layers,
    prediction_inputs,
    product_factors,
    scaled,
    training_data,
)


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task; threads are set by the environment of the process."""
    if isinstance(workload, Training):
        return _Training(workload)
    if isinstance(workload, Prediction):
        return _Predict(workload)
    if isinstance(workload, Product):
        return _Product(workload)
    if isinstance(workload, Derivative):
        raise NotImplementedError("NumPy has no derivatives")
    if workload.function == "gelu":
        raise NotImplementedError("NumPy has no erf")
    return _Elementwise(workload)


class _Training:
    """A loop of steps over batches."""

    compile_seconds = 0.0

    def __init__(self, workload: Training) -> None:
        self.workload = workload
        layers = initial_layers(workload)
        self.weights = [w for w, _ in layers]
        self.biases = [b for _, b in layers]
        x, y = training_data(workload)
        self.x, self.y = scaled(x), y
        batch, rows = workload.batch, len(x)
        self.unit = -(-rows // batch) if workload.folder else 1
        self.outputs = [np.empty((batch, width), np.float32) for width in workload.widths[1:]]
        self.deltas = [np.empty_like(each) for each in self.outputs]
        self.rows = np.arange(batch)
        self.parameters = [*self.weights, *self.biases]
        self.gradients = [np.empty_like(each) for each in self.parameters]
        self.momenta = [np.zeros_like(each) for each in self.parameters]
        self.squares = [np.zeros_like(each) for each in self.parameters]
        self.scratch = [np.empty_like(each) for each in self.parameters]
        self.steps = 0
        self.batches = [
            (self.x[start : start + batch], self.y[start : start + batch])
            for start in range(0, rows - batch + 1, batch)
        ]
        self.rng = np.random.default_rng(workload.seed)

    def evidence(self) -> Evidence:
        self._run_batches(self.workload.check_steps)
        layers = list(zip(self.weights, self.biases, strict=True))
        return training_evidence(self.workload, layers)

    def run(self, repeats: int) -> None:
        if self.workload.folder is None:
            self._run_batches(repeats)
            return
        batch = self.workload.batch
        for _ in range(repeats):
            order = self.rng.permutation(len(self.x))
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                self._step(self.x[rows], self.y[rows])

    def _run_batches(self, count: int) -> None:
        for x, y in islice(cycle(self.batches), count):
            self._step(x, y)

    def _step(self, x: Array, y: Array) -> None:
        rows = len(x)
        outputs = [each[:rows] for each in self.outputs]
        deltas = [each[:rows] for each in self.deltas]
        self._forward(x, outputs)
        self._cost_derivative(outputs[-1], y, deltas[-1])
        last = len(outputs) - 1
        count = len(self.weights)
        for index in range(last, -1, -1):
            a = outputs[index - 1] if index else x
            delta = deltas[index]
            np.matmul(delta.T, a, out=self.gradients[index])
            np.sum(delta, axis=0, out=self.gradients[count + index])
            if index:
                below = deltas[index - 1]
                np.matmul(delta, self.weights[index], out=below)
                if self.workload.activation == "tanh":
                    # The output is needed no more once its derivative 1 - a² has been formed.
                    np.multiply(a, a, out=a)
                    np.subtract(np.float32(1), a, out=a)
                    np.multiply(below, a, out=below)
                else:
                    np.multiply(below, a > 0, out=below)
        self._update()

    def _forward(self, x: Array, outputs: list[Array]) -> None:
        a = x
        for index, (w, b, z) in enumerate(zip(self.weights, self.biases, outputs, strict=True)):
            np.matmul(a, w.T, out=z)
            np.add(z, b, out=z)
            if index < len(outputs) - 1:
                if self.workload.activation == "tanh":
                    np.tanh(z, out=z)
                else:
                    np.maximum(z, np.float32(0), out=z)
            a = z

    def _cost_derivative(self, z: Array, y: Array, delta: Array) -> None:
        if self.workload.loss == "mse":
            np.subtract(z, y, out=delta)
            np.multiply(delta, np.float32(2.0 / z.size), out=delta)
            return
        np.subtract(z, z.max(axis=1, keepdims=True), out=delta)
        np.exp(delta, out=delta)
        np.divide(delta, delta.sum(axis=1, keepdims=True), out=delta)
        delta[self.rows[: len(y)], y] -= np.float32(1)
        np.multiply(delta, np.float32(1.0 / len(y)), out=delta)

    def _update(self) -> None:
        self.steps += 1
        lr = np.float32(self.workload.lr)
        state = zip(
            self.parameters, self.gradients, self.momenta, self.squares, self.scratch, strict=True
        )
        if self.workload.optimizer == "sgd":
            momentum = np.float32(MOMENTUM)
            for p, g, m, _, t in state:
                np.multiply(m, momentum, out=m)
                np.add(m, g, out=m)
                np.multiply(m, lr, out=t)
                np.subtract(p, t, out=p)
            return
        beta_1, beta_2 = map(np.float32, ADAM_BETAS)
        size = np.float32(self.workload.lr / (1.0 - ADAM_BETAS[0] ** self.steps))
        root = np.float32((1.0 - ADAM_BETAS[1] ** self.steps) ** -0.5)
        for p, g, m, v, t in state:
            np.multiply(m, beta_1, out=m)
            np.multiply(g, np.float32(1) - beta_1, out=t)
            np.add(m, t, out=m)
            np.multiply(v, beta_2, out=v)
            np.multiply(g, g, out=t)
            np.multiply(t, np.float32(1) - beta_2, out=t)
            np.add(v, t, out=v)
            np.sqrt(v, out=t)
            np.multiply(t, root, out=t)
            np.add(t, np.float32(ADAM_EPS), out=t)
            np.divide(m, t, out=t)
            np.multiply(t, size, out=t)
            np.subtract(p, t, out=p)


class _Predict:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Prediction) -> None:
        self.workload = workload
        self.layers = [(w.T, b) for w, b in initial_layers(workload)]
        self.x = prediction_inputs(workload)

    def _predict(self) -> Array:
        a = self.x
        last = len(self.layers) - 1
        for index, (w, b) in enumerate(self.layers):
            a = a @ w
            a += b
            if index < last:
                if self.workload.activation == "tanh":
                    np.tanh(a, out=a)
                else:
                    np.maximum(a, np.float32(0), out=a)
        return softmax(a) if self.workload.output == "softmax" else a

    def evidence(self) -> Evidence:
        return {"outputs": sample(self._predict())}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self._predict()


class _Product:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Product) -> None:
        self.a, self.b = product_factors(workload)
        self.out = np.empty((workload.m, workload.n), self.a.dtype)

    def evidence(self) -> Evidence:
        self.run(1)
        return {"outputs": sample(self.out)}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            np.matmul(self.a, self.b, out=self.out)


class _Elementwise:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Elementwise) -> None:
        self.name = workload.function
        self.x = elementwise_inputs(workload)

    def _apply(self) -> Any:
        x = self.x
        if self.name == "relu":
            return np.maximum(x, np.float32(0))
        if self.name == "tanh":
            return np.tanh(x)
        if self.name == "softplus":
            return np.logaddexp(x, np.float32(0))
        sigmoid = np.float32(1) / (np.float32(1) + np.exp(-x))
        return x * sigmoid if self.name == "silu" else sigmoid

    def evidence(self) -> Evidence:
        return {"outputs": sample(self._apply())}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self._apply()
