"""Tasks of PyTorch."""

from __future__ import annotations

import time
from itertools import cycle, islice
from typing import Any

from ..agreement import Evidence, evidence_of_members, sample, training_evidence
from ..contenders import Task, load
from ..transforms import WAYS, Data, Tools, as_array, axes
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
    scaled,
    split_vector,
    training_data,
)


def make(workload: Workload, mode: str, threads: int | None) -> Task:
    """Return a task in PyTorch with this many threads."""
    if threads is not None:
        load("torch").set_num_threads(threads)
    if isinstance(workload, Members):
        return _Members(workload)
    if isinstance(workload, Training):
        return _Training(workload, mode)
    if isinstance(workload, Prediction):
        return _Predict(workload)
    if isinstance(workload, Product):
        return _Product(workload)
    if isinstance(workload, Derivative):
        return _Derivative(workload, mode)
    return _Elementwise(workload)


def _model(workload: Training | Prediction | Derivative, output: str) -> Any:
    """Return a Sequential with the workload's initial weights."""
    torch = load("torch")
    modules: list[Any] = []
    layers = initial_layers(workload)
    for index, (w, b) in enumerate(layers):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        modules.append(linear)
        if index < len(layers) - 1:
            modules.append(torch.nn.Tanh() if workload.activation == "tanh" else torch.nn.ReLU())
    if output == "softmax":
        modules.append(torch.nn.Softmax(dim=1))
    return torch.nn.Sequential(*modules)


class _Training:
    """The usual loop, eager or with the cost compiled; the optimizer is a fused one.

    Modes that begin with bf16 compute the cost under autocast to bfloat16.
    """

    def __init__(self, workload: Training, mode: str) -> None:
        torch, compiled = load("torch"), mode.endswith("compile")
        self.workload, self.compile_seconds = workload, 0.0
        self.model = _model(workload, "identity")
        x, y = training_data(workload)
        self.x, self.y = torch.from_numpy(scaled(x)), torch.from_numpy(y)
        batch, rows = workload.batch, len(x)
        self.unit = -(-rows // batch) if workload.folder else 1
        self.batches = [
            (self.x[start : start + batch], self.y[start : start + batch])
            for start in range(0, rows - batch + 1, batch)
        ]
        loss = torch.nn.MSELoss() if workload.loss == "mse" else torch.nn.CrossEntropyLoss()
        model, low = self.model, mode.startswith("bf16")

        def cost(x: Any, y: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                return loss(model(x), y)

        self.cost = torch.compile(cost) if compiled else cost
        self.optimizer = self._make_optimizer()
        self.permutation = torch.randperm
        if compiled:
            begin = time.perf_counter()
            self.cost(*self.batches[0]).backward()
            self.compile_seconds = time.perf_counter() - begin

    def _make_optimizer(self) -> Any:
        torch, parameters = load("torch"), self.model.parameters()
        lr = self.workload.lr
        if self.workload.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr, momentum=MOMENTUM, fused=True)
        return torch.optim.Adam(parameters, lr, betas=ADAM_BETAS, eps=ADAM_EPS, fused=True)

    def evidence(self) -> Evidence:
        self._run_batches(self.workload.check_steps)
        arrays = [each.detach().numpy() for each in self.model.parameters()]
        layers: Layers = list(zip(arrays[::2], arrays[1::2], strict=True))
        return training_evidence(self.workload, layers)

    def run(self, repeats: int) -> None:
        if self.workload.folder is None:
            self._run_batches(repeats)
            return
        for _ in range(repeats):
            for rows in self.permutation(len(self.x)).split(self.workload.batch):
                self._step(self.x[rows], self.y[rows])

    def _run_batches(self, count: int) -> None:
        for x, y in islice(cycle(self.batches), count):
            self._step(x, y)

    def _step(self, x: Any, y: Any) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.cost(x, y).backward()
        self.optimizer.step()


class _Members:
    """Steps of all nets at a time by torch.func, with one update for each stacked parameter."""

    compile_seconds = 0.0

    def __init__(self, workload: Members) -> None:
        torch = load("torch")
        self.workload, self.torch = workload, torch
        models = [_model(each, "identity") for each in workload.each(range(workload.n))]
        stacked, _ = torch.func.stack_module_state(models)
        self.parameters = {name: each.detach() for name, each in stacked.items()}
        self.momenta = [torch.zeros_like(each) for each in self.parameters.values()]
        x, y = training_data(workload)
        self.batches = list(
            zip(*(torch.from_numpy(each).split(workload.batch) for each in (x, y)), strict=True)
        )
        model = models[0].to("meta")
        loss = torch.nn.MSELoss() if workload.loss == "mse" else torch.nn.CrossEntropyLoss()

        def cost(parameters: Any, x: Any, y: Any) -> Any:
            return loss(torch.func.functional_call(model, parameters, (x,)), y)

        self.gradients = torch.func.vmap(torch.func.grad(cost), in_dims=(0, None, None))
        self.unit = workload.n

    def evidence(self) -> Evidence:
        self.run(self.workload.check_steps)
        return evidence_of_members(self.workload, self._layers)

    def _layers(self, member: int) -> Layers:
        arrays = [each[member].numpy() for each in self.parameters.values()]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def run(self, repeats: int) -> None:
        torch, lr = self.torch, self.workload.lr
        parameters = list(self.parameters.values())
        with torch.no_grad():
            for x, y in islice(cycle(self.batches), repeats):
                gradients = self.gradients(self.parameters, x, y)
                torch._foreach_mul_(self.momenta, MOMENTUM)
                torch._foreach_add_(self.momenta, list(gradients.values()))
                torch._foreach_add_(parameters, self.momenta, alpha=-lr)


class _Predict:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Prediction) -> None:
        torch = load("torch")
        self.model = _model(workload, workload.output).eval()
        self.x = torch.from_numpy(prediction_inputs(workload))
        self.inference_mode = torch.inference_mode

    def evidence(self) -> Evidence:
        with self.inference_mode():
            return {"outputs": sample(self.model(self.x).numpy())}

    def run(self, repeats: int) -> None:
        model, x = self.model, self.x
        with self.inference_mode():
            for _ in range(repeats):
                model(x)


class _Product:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Product) -> None:
        torch = load("torch")
        self.a, self.b = map(torch.from_numpy, product_factors(workload))
        if workload.precision == "bf16":
            self.a, self.b = self.a.bfloat16(), self.b.bfloat16()
        self.out = torch.empty((workload.m, workload.n), dtype=self.a.dtype)
        self.mm = torch.mm

    def evidence(self) -> Evidence:
        self.run(1)
        return {"outputs": sample(self.out.to(load("torch").float64).numpy())}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self.mm(self.a, self.b, out=self.out)


class _Derivative:
    """A derivative by torch.func, of a module whose parameters are given as arguments."""

    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Derivative, mode: str) -> None:
        torch, func = load("torch"), load("torch.func")
        self.workload, model = workload, _model(workload, "identity")
        self.parameters = {name: each.detach() for name, each in model.named_parameters()}
        self.way = WAYS[workload.function][mode]
        self.tools = Tools(
            func,
            torch,
            lambda p, x: func.functional_call(model, p, (x,)),
            lambda p: list(p.values()),
        )
        x, y, v = derivative_data(workload)
        vector: Any = torch.from_numpy(v)
        if workload.function in ("hvp", "gauss_newton_product"):
            parts = [part for pair in split_vector(v, workload.widths) for part in pair]
            vector = dict(zip(self.parameters, map(torch.from_numpy, parts), strict=True))
        directions = [torch.from_numpy(each) for each in axes(workload)]
        self.data = Data(torch.from_numpy(x), torch.from_numpy(y), vector, directions)

    def evidence(self) -> Evidence:
        found = self.way(self.tools, self.parameters, self.data)
        return {"outputs": sample(as_array(self.workload, found, self._arrays))}

    def _arrays(self, found: Any) -> list[Array]:
        return [found[name].numpy() for name in self.parameters]

    def run(self, repeats: int) -> None:
        way, tools, parameters, data = self.way, self.tools, self.parameters, self.data
        for _ in range(repeats):
            way(tools, parameters, data)


class _Elementwise:
    unit = 1
    compile_seconds = 0.0

    def __init__(self, workload: Elementwise) -> None:
        torch = load("torch")
        functional = torch.nn.functional
        found = workload.function in ("tanh", "sigmoid")
        self.function: Any = getattr(torch if found else functional, workload.function)
        self.x = torch.from_numpy(elementwise_inputs(workload))

    def evidence(self) -> Evidence:
        return {"outputs": sample(self.function(self.x).numpy())}

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self.function(self.x)
