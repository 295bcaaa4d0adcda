"""Tasks of pybackprop itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

import numpy as np

from ... import SGD, Adam, Network, Networks, kernels
from ..agreement import Evidence, evidence_of_members, sample, training_evidence
from ..contenders import Task
from ..workloads import (
    ADAM_BETAS,
    ADAM_EPS,
    MOMENTUM,
    Array,
    Derivative,
    Elementwise,
    Layers,
    Members,
    Prediction,
    Product,
    Training,
    Workload,
    derivative_data,
    elementwise_inputs,
    initial_layers,
    prediction_inputs,
    product_factors,
    training_data,
)


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task; threads are set by the environment of the process."""
    if isinstance(workload, Members):
        return _Members(workload) if mode == "fit" else _OneByOne(workload)
    if isinstance(workload, Training):
        if mode == "float32":
            workload = replace(workload, precision="float32")
        return _Step(workload) if mode == "step" else _Fit(workload)
    if isinstance(workload, Prediction):
        return _Predict(workload, mode == "out")
    if isinstance(workload, Product):
        return _Product(workload if mode == "product" else replace(workload, precision="float32"))
    if isinstance(workload, Derivative):
        return _Derivative(workload)
    return _Elementwise(workload)


def _network(workload: Training | Prediction | Derivative) -> Network:
    """Return the network with the workload's initial weights."""
    precision = "float32"
    if isinstance(workload, Training):
        loss, precision = workload.loss, workload.precision
        output = "softmax" if loss == "cross_entropy" else "identity"
    elif isinstance(workload, Derivative):
        loss, output = "mse", "identity"
    else:
        loss, output = "squared_error", workload.output
        if output == "softmax":
            loss = "cross_entropy"
    net = Network(
        workload.widths,
        activation=workload.activation,
        output=output,
        loss=loss,
        init="zeros",
        precision=precision,
        seed=workload.seed,
    )
    for index, (w, b) in enumerate(initial_layers(workload)):
        net.set_layer(index, w, b)
    return net


class _Training:
    compile_seconds = 0.0

    def __init__(self, workload: Training) -> None:
        self.workload = workload
        self.net = _network(workload)
        self.x, self.y = training_data(workload)
        if self.x.dtype == np.uint8:
            width = workload.widths[0]
            self.net.set_scaling(np.zeros(width), np.full(width, 1.0 / 255.0))
        self.optimizer: SGD | Adam
        if workload.optimizer == "sgd":
            self.optimizer = SGD(workload.lr, momentum=MOMENTUM)
        else:
            self.optimizer = Adam(workload.lr, betas=ADAM_BETAS, eps=ADAM_EPS)

    @property
    def layers(self) -> Layers:
        return list(zip(self.net.weights, self.net.biases, strict=True))

    def _evidence(self) -> Evidence:
        return training_evidence(self.workload, self.layers)


class _Step(_Training):
    """Steps called one by one."""

    unit = 1

    def __init__(self, workload: Training) -> None:
        super().__init__(workload)
        batch, rows = workload.batch, len(self.x) - len(self.x) % workload.batch
        self.batches = [
            (self.x[start : start + batch], self.y[start : start + batch])
            for start in range(0, rows, batch)
        ]

    def evidence(self) -> Evidence:
        self.run(self.workload.check_steps)
        return self._evidence()

    def run(self, repeats: int) -> None:
        step, optimizer = self.net.step, self.optimizer
        for x, y in islice(cycle(self.batches), repeats):
            step(x, y, optimizer)


class _Fit(_Training):
    """Whole epochs in one call."""

    def __init__(self, workload: Training) -> None:
        super().__init__(workload)
        self.unit = -(-len(self.x) // workload.batch)

    def evidence(self) -> Evidence:
        self._fit(self.workload.check_steps * self.workload.batch, 1, shuffle=False)
        return self._evidence()

    def run(self, repeats: int) -> None:
        self._fit(len(self.x), repeats, shuffle=self.workload.folder is not None)

    def _fit(self, rows: int, epochs: int, shuffle: bool) -> None:
        self.net.fit(
            self.x[:rows],
            self.y[:rows],
            epochs=epochs,
            batch_size=self.workload.batch,
            optimizer=self.optimizer,
            shuffle=shuffle,
        )


class _Members:
    """Whole epochs of many nets in one call."""

    compile_seconds = 0.0

    def __init__(self, workload: Members) -> None:
        self.workload = workload
        self.nets = Networks(
            workload.widths,
            n=workload.n,
            activation=workload.activation,
            output="softmax" if workload.loss == "cross_entropy" else "identity",
            loss=workload.loss,
            init="zeros",
            seed=workload.seed,
        )
        for each in workload.each(range(workload.n)):
            self.nets[each.member] = _network(each)
        self.x, self.y = training_data(workload)
        self.optimizers = SGD.each(lr=[workload.lr] * workload.n, momentum=MOMENTUM)
        self.unit = workload.n_batches * workload.n

    def evidence(self) -> Evidence:
        self._fit(self.workload.check_steps * self.workload.batch, 1)
        return evidence_of_members(self.workload, self._layers)

    def _layers(self, member: int) -> Layers:
        net = self.nets[member]
        return list(zip(net.weights, net.biases, strict=True))

    def run(self, repeats: int) -> None:
        self._fit(len(self.x), repeats)

    def _fit(self, rows: int, epochs: int) -> None:
        self.nets.fit(
            self.x[:rows],
            self.y[:rows],
            epochs=epochs,
            batch_size=self.workload.batch,
            optimizer=self.optimizers,
            shuffle=False,
        )


class _OneByOne:
    """Whole epochs of one net after the other."""

    compile_seconds = 0.0

    def __init__(self, workload: Members) -> None:
        self.workload = workload
        self.tasks = [_Fit(each) for each in workload.each(range(workload.n))]
        self.unit = workload.n_batches * workload.n

    def evidence(self) -> Evidence:
        for each in self.tasks:
            each.evidence()
        return evidence_of_members(self.workload, lambda member: self.tasks[member].layers)

    def run(self, repeats: int) -> None:
        for each in self.tasks:
            each.run(repeats)


class _Predict:
    """Outputs in a new array, or in one and the same."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Prediction, reuse: bool) -> None:
        self.net = _network(workload)
        self.x = prediction_inputs(workload)
        self.out = np.empty((workload.batch, workload.widths[-1]), np.float32) if reuse else None

    def evidence(self) -> Evidence:
        return {"outputs": sample(self.net.predict(self.x, self.out))}

    def run(self, repeats: int) -> None:
        predict, x, out = self.net.predict, self.x, self.out
        if out is None:
            for _ in range(repeats):
                predict(x)
        else:
            for _ in range(repeats):
                predict(x, out)


class _Product:
    """A product into one and the same array."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Product) -> None:
        self.a, self.b = product_factors(workload)
        self.out = np.empty((workload.m, workload.n), self.a.dtype)
        self.precision = workload.precision

    def evidence(self) -> Evidence:
        self.run(1)
        return {"outputs": sample(self.out)}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            kernels.matmul(self.a, self.b, out=self.out, precision=self.precision)


class _Derivative:
    """A derivative in a new array."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Derivative) -> None:
        x, y, v = derivative_data(workload)
        self.method = getattr(_network(workload), workload.function)
        if workload.function in ("vjp", "jvp"):
            self.arguments: tuple[Array, ...] = (x, v)
        elif workload.function in ("hvp", "gauss_newton_product"):
            self.arguments = x, y, v
        elif workload.function.startswith("per_sample"):
            self.arguments = x, y
        else:
            self.arguments = (x,)

    def evidence(self) -> Evidence:
        found = self.method(*self.arguments)
        return {"outputs": sample(np.hstack(found) if isinstance(found, tuple) else found)}

    def run(self, repeats: int) -> None:
        method, arguments = self.method, self.arguments
        for _ in range(repeats):
            method(*arguments)


class _Elementwise:
    """A function of an array, into a new one."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Elementwise) -> None:
        self.name = workload.function
        self.z = elementwise_inputs(workload)

    def evidence(self) -> Evidence:
        return {"outputs": sample(kernels.activation(self.name, self.z))}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            kernels.activation(self.name, self.z)
