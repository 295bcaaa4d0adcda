"""Call every public function thousands of times, also with what it refuses: memory stays flat.

Run by test_leaks.py in an interpreter of its own. With ``PYTHONMALLOC=malloc`` every byte that
Python, NumPy and the core hold is one of the C library's, which counts them exactly; so a leak of a
few bytes per call is seen, not only one that moves the resident memory.

Prints a line per function: how often it was called, and the growth in bytes per call.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from fake_ranks import FakeComm
from footprint import sample

import pybackprop as bp
from pybackprop import datasets, graph
from pybackprop import schedules as rates
from pybackprop.distributed import over

Call = Callable[[], Any]

ROUNDS = 4
MOST_CALLS, FEWEST_CALLS, SECONDS = 400, 5, 0.01
# Less than the smallest block that the C library hands out, header included: 32 bytes.
GROWTH = 16.0
# What the C library keeps of blocks that were freed, and counts as in use, changes by some kB.
NOISE = 16_000.0

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(30, 6)), RNG.uniform(0.1, 0.9, size=(30, 3))
LABELS = RNG.integers(0, 3, 30)
NAN = np.full((30, 6), np.nan)


UNARY = ("abs", "cos", "erf", "exp", "expm1", "log", "logsumexp", "max", "mean", "min", "negative")
UNARY += ("relu", "sigmoid", "sin", "softmax", "softplus", "sqrt", "sum", "tanh", "transpose")
BINARY = ("add", "divide", "maximum", "minimum", "multiply", "power", "subtract")


class Mallinfo(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks")),
        ("keepcost", ctypes.c_size_t),
    ]


def bytes_in_use() -> int:
    """Return the bytes of all blocks that malloc has handed out and that were not freed."""
    function = ctypes.CDLL(None).mallinfo2
    function.restype = Mallinfo
    info = function()
    return int(info.uordblks + info.hblkhd)


def growth(call: Call, calls: int) -> float:
    """Return the bytes by which a call makes memory grow.

    Caches and tables that grow once make some rounds larger; a leak makes every round larger, so
    the smallest one counts.
    """
    held = []
    for _ in range(ROUNDS + 1):
        for _ in range(calls):
            call()
        gc.collect()
        held.append(bytes_in_use())
    return float(np.diff(held).min()) / calls


def measure(call: Call) -> tuple[int, float, bool]:
    """Return how often a function was called, what `growth` says at last, and whether it leaks."""
    call()
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    calls = int(min(MOST_CALLS, max(FEWEST_CALLS, SECONDS / max(seconds, 1e-9))))
    total = 2
    # What looks like a leak after few calls must look so after many.
    for times in (1, 4, 16):
        more = growth(call, calls * times)
        total += (ROUNDS + 1) * calls * times
        if more < GROWTH:
            return total, more, False
    return total, more, more * calls * times >= NOISE


def refused(call: Call) -> Call:
    """Return a function that makes a call and passes over its refusal, which must come."""

    def run() -> None:
        try:
            call()
        except (TypeError, ValueError, FloatingPointError, RuntimeError, OSError):
            return
        raise AssertionError("bad input was accepted")

    return run


def squared(a: Any, y: Any) -> Any:
    return ((a - y) ** 2).sum(1), 2 * (a - y)


def raising(*_: Any) -> Any:
    raise RuntimeError("planned")


def make(**settings: Any) -> bp.Network:
    return bp.Network([6, 9, 3], seed=1, **{"activation": "tanh", **settings})


# ---- what is called ----


def of_evaluating(net: bp.Network) -> Iterator[tuple[str, Call]]:
    out, v = np.empty((30, 3), net.dtype), np.ones(net.n_parameters)
    yield "Network", make
    yield "Network", refused(lambda: bp.Network([6, 0]))
    yield "Network", refused(lambda: bp.Network([6, 3], loss="no such loss"))
    yield "Network.predict", lambda: net.predict(X)
    yield "Network.predict", lambda: net.predict(X, out)
    yield "Network.predict", refused(lambda: net.predict(X[:, 1:]))
    yield "Network.predict", refused(lambda: net.predict(X, np.empty(3)))
    yield "Network.cost", lambda: net.cost(X, Y)
    yield "Network.cost", refused(lambda: net.cost(X, Y[1:]))
    yield "Network.backprop", lambda: net.backprop(X, Y, np.ones(30))
    yield "Network.backprop", refused(lambda: net.backprop(X, Y, -np.ones(30)))
    yield "Network.backprop", refused(lambda: make(loss=raising).backprop(X, Y))
    yield "Network.trace", lambda: net.trace(X, Y)
    yield "Network.trace", refused(lambda: net.trace("x"))
    for name in ("jacobian", "hessian_diagonal", "laplacian"):
        yield f"Network.{name}", lambda name=name: getattr(net, name)(X)
        yield f"Network.{name}", refused(lambda name=name: getattr(net, name)(X[0, :2]))
    for name in ("per_sample_gradients", "per_sample_gradient_norms"):
        yield f"Network.{name}", lambda name=name: getattr(net, name)(X, Y)
        yield f"Network.{name}", refused(lambda name=name: getattr(net, name)(X, Y[:2]))
    for name in ("hvp", "gauss_newton_product"):
        yield f"Network.{name}", lambda name=name: getattr(net, name)(X, Y, v)
        yield f"Network.{name}", refused(lambda name=name: getattr(net, name)(X, Y, v[1:]))
    yield "Network.layer_jacobians", lambda: net.layer_jacobians(X[:1])
    yield "Network.layer_jacobians", refused(lambda: net.layer_jacobians(X[:, 1:]))
    yield "Network.explain", lambda: str(net.explain(X[:1], Y[:1], 1, 0, 0))
    yield "Network.explain", refused(lambda: net.explain(X[:1], Y[:2], 1, 0, 0))
    yield "Network.graph", lambda: net.graph(X[:2], Y[:2])
    yield "Network.graph", refused(lambda: net.graph(X[:2], Y[:3]))
    yield "Network.vjp", lambda: net.vjp(X, Y)
    yield "Network.vjp", refused(lambda: net.vjp(X, X))
    yield "Network.jvp", lambda: net.jvp(X, X)
    yield "Network.jvp", refused(lambda: net.jvp(X, Y))


def of_attributes(net: bp.Network) -> Iterator[tuple[str, Call]]:
    readable = [
        name for name in dir(bp.Network) if not callable(getattr(net, name)) and name[0] != "_"
    ]
    for name in readable:
        yield f"Network.{name}", lambda name=name: getattr(net, name)
    values = np.ones(net.n_parameters)
    yield "Network.parameters", lambda: setattr(net, "parameters", values)
    yield "Network.parameters", refused(lambda: setattr(net, "parameters", values[1:]))
    yield "Network.metadata", lambda: setattr(net, "metadata", {"a": [1, 2]})
    yield "Network.metadata", refused(lambda: setattr(net, "metadata", 3))
    yield "Network.set_layer", lambda: net.set_layer(0, np.ones((9, 6)), np.ones(9))
    yield "Network.set_layer", refused(lambda: net.set_layer(0, np.ones((9, 5)), np.ones(9)))
    yield "Network.set_scaling", lambda: net.set_scaling(np.zeros(6), np.ones(6))
    yield "Network.set_scaling", refused(lambda: net.set_scaling(np.zeros(6), np.ones(5)))
    yield "Network.dropout_masks", lambda: make(dropout=0.5).dropout_masks(4)
    yield "Network.dropout_masks", refused(lambda: make(dropout=0.5).dropout_masks(-1))
    yield "Network.copy", net.copy
    yield "Network.copy", lambda: copy.deepcopy(net)
    yield "Network.copy", lambda: pickle.loads(pickle.dumps(net))


def of_training(net: bp.Network, folder: Path) -> Iterator[tuple[str, Call]]:
    path = folder / "run.npz"
    fit: dict[str, Any] = {"epochs": 2, "batch_size": 8}
    for kind in (bp.SGD, bp.Adagrad, bp.Adam, bp.AdamW, bp.RMSprop):
        optimizer = kind()
        yield kind.__name__, kind
        yield kind.__name__, refused(lambda kind=kind: kind(lr=-1.0))
        yield "Network.step", lambda optimizer=optimizer: net.step(X, Y, optimizer)
    adam, vector = bp.Adam(), np.ones(7)
    yield "Optimizer", lambda: adam.update(vector, vector.copy())
    yield "Optimizer", refused(lambda: adam.update(vector, vector[1:]))
    yield "Optimizer", lambda: adam.load_state_dict(adam.state_dict())
    yield "Optimizer", lambda: copy.deepcopy(adam)
    yield "Network.step", refused(lambda: net.step(X, Y[1:], adam))
    yield "Network.fit", lambda: net.fit(X, Y, **fit, validation=0.2, patience=1)
    yield "Network.fit", lambda: make(loss=squared, dropout=0.2).fit(X, Y, **fit)
    soft = {"output": "softmax", "loss": "cross_entropy", "label_smoothing": 0.1}
    yield "Network.fit", lambda: make(**soft).fit(X, np.arange(len(X)) % 3, **fit)
    yield "Network", refused(lambda: make(label_smoothing=0.1))
    yield "Network.fit", lambda: make(lr_factors=[[1, 2], [0, 3]]).fit(X, Y, **fit)
    yield "Network", refused(lambda: make(lr_factors=[1, 2]))
    both = {"decay_factors": [[1, 2], [0, 3]], "eps_factors": [[2, 1], [1, 1]]}
    yield "Network.fit", lambda: make(**both).fit(X, Y, **fit)
    yield "Network", refused(lambda: make(decay_factors=[[1, -2], [0, 3]]))
    scaled = {"input_scales": True, "input_scale_factors": [6, 1, 1]}
    yield "Network.fit", lambda: make(**scaled).fit(X, Y, **fit)
    yield "Network", lambda: make(**scaled).copy()
    yield "Network", refused(lambda: make(input_scale_factors=[6, 1, 1]))
    falling = {"dropout": 0.2, "dropout_schedule": rates.FlatCos(1.0, 9)}
    yield "Network.fit", lambda: make(**falling).fit(X, Y, **fit)
    yield "Network", refused(lambda: make(dropout_schedule=rates.Constant(2.0)))
    yield "Network.fit", lambda: make().fit(X, Y, **fit, checkpoint=path)
    yield "Network.fit", lambda: make().fit(X, Y, **fit, resume=path)
    yield "Network.fit", refused(lambda: make().fit(X, Y, **fit, resume=folder))
    yield "Network.fit", refused(lambda: make(seed=9).fit(X, Y[::-1], **fit, resume=path))
    yield "Network.fit", refused(lambda: net.fit(NAN, Y, **fit))
    yield "Network.fit", refused(lambda: net.fit(X, Y, **fit, callbacks=raising))
    yield "Network.fit", refused(lambda: make(loss=raising).fit(X, Y, **fit))
    yield "Network.fit", lambda: make(dropout=0.2).fit(X, Y, **fit, shards=4)
    yield "Network.fit", lambda: make().fit(X, Y, **fit, comm=FakeComm(0, 1))
    yield "Network.fit", refused(lambda: make(loss=raising).fit(X, Y, comm=FakeComm(0, 1)))
    yield "Network.fit", refused(lambda: make().fit(X, Y, comm=FakeComm(0, 2), timeout=0.0))
    nets = bp.Networks([6, 5, 3], n=3, seed=0)
    yield "Networks", lambda: bp.Networks([6, 5, 3], n=4, seed=0).take([1, 2]).copy()
    yield "Networks.fit", lambda: nets.fit(X, Y, **fit, validation=0.2, patience=1)
    tiny = bp.Networks([6, 4, 3], n=32, seed=0)  # trained in the lanes of vectors
    yield "Networks.fit", lambda: tiny.fit(X, Y, batch_size=4)
    yield "Networks.fit", refused(lambda: nets.fit(X, Y, **fit, callbacks=raising))
    yield "Networks.fit", refused(lambda: nets.fit(NAN, Y, **fit, on_divergence="raise"))
    yield "ManyHistory", lambda: (repr(nets.history), nets.fit(X, Y, **fit)[0])
    yield "EpochsEnd", lambda: nets.fit(X, Y, **fit, callbacks=[lambda end: print(end)])
    yield "Uncertainty", lambda: repr(nets.uncertainty(X))
    yield "cross_validate", lambda: bp.cross_validate(net, X, Y, folds=3, **fit).interval(X, 0.3)
    yield "cross_validate", refused(lambda: bp.cross_validate(net, X, Y, folds=99))
    tried = {"lr": bp.tuning.log(1e-4, 1e-1), "widths": [[3], [4]]}
    yield "search", lambda: bp.search(X, Y, tried, method="halving", n=4, max_epochs=3)
    yield "search", refused(lambda: bp.search(X, Y, {"depth": [1]}))
    yield "Networks.predict", lambda: (nets.predict(X), nets.mean(X), nets.uncertainty(X))
    yield "Networks.predict", lambda: nets.copy().predict(X)
    yield "Networks.predict", refused(lambda: nets.predict(X[:, 1:]))
    path = folder / "nets.npz"
    yield "Networks.save", lambda: (nets.save(path), bp.Networks.load(path))
    yield "Networks.save", refused(lambda: nets.save(folder / "nets.onnx"))
    yield "Networks.load", refused(lambda: bp.Networks.load(folder / "none.npz"))
    yield "Networks.to_onnx", lambda: nets.to_onnx(folder / "nets.onnx")
    yield "Networks.cost", lambda: (nets.cost(X, Y), nets.select(X, Y, steps=3))
    yield "fit_many", lambda: bp.fit_many([make(), make(loss=squared)], X, Y, **fit)
    yield "fit_many", lambda: bp.fit_many([make()], X, Y, **fit, checkpoint=folder / "many.npz")
    yield "fit_many", refused(lambda: bp.fit_many([make(), net, net], X, Y, **fit))
    yield "fit_many", refused(lambda: bp.fit_many([make(), make(loss=raising)], X, Y, **fit))
    pool = ThreadPoolExecutor(1)
    yield "over", lambda: nets.fit(X, Y, **fit, executor=over(pool))
    yield "over", refused(lambda: bp.fit_many([make(loss=raising)], X, Y, **fit, executor=pool))
    shared = over(pool).share([np.zeros(9000), X])
    yield "over", lambda: (pickle.loads(pickle.dumps(shared)).open(), shared.close())
    yield "Network.fit_stream", lambda: make().fit_stream([(X, Y)] * 3, epochs=2)
    yield "Network.fit_stream", refused(lambda: net.fit_stream([(X, Y), (X, Y[1:])]))
    yield "History", lambda: repr(net.fit(X, Y, **fit))
    yield "EpochEnd", lambda: net.fit(X, Y, **fit, callbacks=[repr])


def of_files(net: bp.Network, folder: Path) -> Iterator[tuple[str, Call]]:
    for suffix in ("npz", "safetensors"):
        path = folder / f"net.{suffix}"
        yield "Network.save", lambda path=path: net.save(path, bp.Adam())
        yield "Network.load", lambda path=path: bp.Network.load(path)
    broken = folder / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 and no more")
    yield "Network.load", refused(lambda: bp.Network.load(broken))
    yield "Network.load", refused(lambda: bp.Network.load(folder / "none.npz"))
    yield "Network.save", refused(lambda: net.save(folder / "none" / "net.npz"))
    yield "Network.to_c", lambda: net.to_c(folder / "net.c")
    yield "Network.to_onnx", lambda: net.to_onnx(folder / "net.onnx")
    yield "Network.from_onnx", lambda: bp.Network.from_onnx(folder / "net.onnx")
    yield "Network.from_onnx", refused(lambda: bp.Network.from_onnx(broken))
    yield "Network.show", lambda: net.show(X[:2], Y[:2], folder / "page.html")
    yield "Network.show", refused(lambda: net.show(X[:2], Y[:3], folder / "page.html"))


def of_data(folder: Path) -> Iterator[tuple[str, Call]]:
    table, archive, array = (folder / f"data.{suffix}" for suffix in ("csv", "npz", "npy"))
    table.write_text("a,b,kind\n" + "1.5,2,red\n2.5,3,blue\n" * 20)
    ragged = folder / "ragged.csv"
    ragged.write_text("a,b,kind\n1,2,red\n1,2\n")
    np.savez(archive, x=X, y=LABELS)
    np.save(array, X)
    np.save(folder / "y.npy", Y)
    idx = folder / "idx"
    idx.mkdir()
    for part in ("train", "t10k"):
        head = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]
        (idx / f"{part}-images-idx3-ubyte").write_bytes(bytes([*head, 1, 2, 3, 4]))
        (idx / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 0, 1]))
    for name in ("digits", "iris", "moons", "spirals"):
        yield f"datasets.{name}", getattr(datasets, name)
    net, windows = make(), datasets.Windows(array, folder / "y.npy", rows=12)
    yield "datasets.Windows", lambda: net.fit(windows, batch_size=4, epochs=2)
    yield "datasets.Windows", refused(lambda: datasets.Windows(X, Y[1:]))
    yield "datasets.moons", refused(lambda: datasets.moons(-1))
    yield "datasets.spirals", refused(lambda: datasets.spirals(0))
    yield "datasets.load", lambda: datasets.load("iris")
    yield "datasets.load", refused(lambda: datasets.load("no such data"))
    yield "datasets.load_csv", lambda: datasets.load_csv(table, "kind")
    yield "datasets.load_csv", lambda: datasets.load_csv(table, "kind", scaling="robust")
    yield "datasets.RobustScaling", lambda: datasets.RobustScaling.fit(X)(X)
    yield "datasets.RobustScaling", refused(lambda: datasets.RobustScaling.fit(X[:0]))
    yield "datasets.load_csv", refused(lambda: datasets.load_csv(ragged, "kind"))
    yield "datasets.load_csv", refused(lambda: datasets.load_csv(table, "none"))
    yield "datasets.load_csv", refused(lambda: datasets.load_csv(table, refuse=["nothing"]))
    yield "datasets.load_npz", lambda: datasets.load_npz(archive)
    yield "datasets.load_npz", refused(lambda: datasets.load_npz(array))
    yield "datasets.load_npy", lambda: datasets.load_npy(array, folder / "y.npy")
    yield "datasets.load_npy", refused(lambda: datasets.load_npy(archive, folder / "y.npy"))
    yield "datasets.load_idx", lambda: datasets.load_idx(idx)
    yield "datasets.load_idx", refused(lambda: datasets.load_idx(folder))
    yield "datasets.load_inputs", lambda: datasets.load_inputs(array)
    yield "datasets.is_table", lambda: datasets.is_table(table)
    yield "datasets.Encoding", lambda: datasets.load_csv(table, "kind").encoding.encode(table)
    learnt = datasets.load_csv(table, "kind").encoding
    yield "datasets.Encoded", lambda: learnt.read(b"b,more,a\n2,x,\n,y,3\n", keep="more")
    yield "datasets.Encoded", refused(lambda: learnt.read(b"b\n1\n"))
    yield "datasets.from_frame", refused(lambda: datasets.from_frame([[1, 2]]))
    with contextlib.suppress(ModuleNotFoundError):
        import pandas

        frame = pandas.DataFrame({"a": [1.5, 2, 3], "y": [2, 3, 4.5]})
        yield "datasets.from_frame", lambda: datasets.from_frame(frame)
        yield "datasets.from_frame", refused(lambda: datasets.from_frame(frame, "none"))
    yield "datasets.Dataset", lambda: datasets.iris().split(0.2, seed=0).scaling()
    yield "datasets.Dataset", refused(lambda: datasets.iris().split(2.0))


def of_kernels() -> Iterator[tuple[str, Call]]:
    a, b = np.ones((20, 20)), np.ones((20, 20))
    yield "kernels.matmul", lambda: bp.kernels.matmul(a, b)
    yield "kernels.matmul", refused(lambda: bp.kernels.matmul(a, b[1:]))
    yield "kernels.dense_forward", lambda: bp.kernels.dense_forward(a, b, None, "tanh")
    yield "kernels.dense_forward", refused(lambda: bp.kernels.dense_forward(a, b, a, "tanh"))
    yield "kernels.dense_backward", lambda: bp.kernels.dense_backward(a, b, a, b, "tanh")
    yield "kernels.dense_backward", refused(lambda: bp.kernels.dense_backward(a, b, a, b, "t"))
    for name in ("activation", "activation_derivative"):
        yield f"kernels.{name}", lambda name=name: getattr(bp.kernels, name)("gelu", a)
        yield f"kernels.{name}", refused(lambda name=name: getattr(bp.kernels, name)("none", a))
    yield "kernels.peak_flops", bp.kernels.peak_flops
    yield "kernels.peak_flops", refused(lambda: bp.kernels.peak_flops("int4"))
    yield "kernels.bandwidth", lambda: bp.kernels.bandwidth(1 << 20)
    yield "kernels.bandwidth", refused(lambda: bp.kernels.bandwidth(-1))
    yield "kernels.matmul_plan", lambda: bp.kernels.matmul_plan(300, 200, 100)
    yield "kernels.matmul_plan", refused(lambda: bp.kernels.matmul_plan(0, 1, 1))


def of_graphs(net: bp.Network) -> Iterator[tuple[str, Call]]:
    def unary(name: str) -> Call:
        function = getattr(graph, name)
        return lambda: graph.sum(function(graph.Variable([0.5, 0.7], "x"))).backward()

    def binary(name: str) -> Call:
        function = getattr(graph, name)
        return lambda: graph.sum(function(graph.Variable([0.5, 0.7]), 2.0)).backward()

    for name in UNARY:
        yield f"graph.{name}", unary(name)
        yield f"graph.{name}", refused(lambda name=name: getattr(graph, name)("x"))
    for name in BINARY:
        yield f"graph.{name}", binary(name)
        yield f"graph.{name}", refused(lambda name=name: getattr(graph, name)("x", "y"))
    x = graph.Variable([[1.0, 2.0], [3.0, 4.0]], "x")
    yield "graph.matmul", lambda: graph.matmul(x, x)
    yield "graph.concatenate", lambda: graph.concatenate([x, x])
    yield "graph.stack", lambda: graph.stack([x, x])
    yield "graph.reshape", lambda: graph.reshape(x, (4,))
    yield "graph.where", lambda: graph.where(np.array([True, False]), x, 0.0)
    yield "graph.grad", lambda: graph.grad(lambda v: v * v)(3.0)
    yield "graph.grad", refused(lambda: graph.grad(raising)(3.0))
    yield "graph.jacobian", lambda: graph.jacobian(lambda v: v * v)(np.ones(3))
    yield "graph.numerical_gradient", lambda: graph.numerical_gradient(np.sum, np.ones(3))
    yield "graph.minimize", lambda: graph.minimize(lambda v: (v * v).sum(), np.ones(3), steps=5)
    yield "graph.minimize", refused(lambda: graph.minimize(raising, np.ones(3)))
    result = graph.sum(x * x)
    yield "graph.explain", lambda: str(graph.explain(result, x))
    yield "graph.Explanation", lambda: str(graph.explain(result, x))
    yield "graph.explain_weight", lambda: str(graph.explain_weight(net, X[:1], Y[:1], 1, 0, 0))
    yield "graph.explain_weight", refused(lambda: graph.explain_weight(net, X[:1], Y[:2], 1, 0, 0))
    yield "graph.Variable", lambda: result.to_svg()
    yield "graph.draw_section", lambda: graph.draw_section(result, "down")
    yield "graph.draw_section", refused(lambda: graph.draw_section(result, "up"))
    yield "graph.Section", lambda: graph.Section("", {}, (), ())
    yield "graph.Variable", refused(lambda: graph.Variable("x"))
    yield "graph.from_network", lambda: graph.from_network(net, X[:3], Y[:3]).cost.backward()
    yield "graph.NetworkGraph", lambda: graph.from_network(net, X[:3], Y[:3])
    yield "graph.from_network", refused(lambda: graph.from_network(net, X[:3], Y[:2]))


def of_the_rest(net: bp.Network) -> Iterator[tuple[str, Call]]:
    yield "Gradients", lambda: repr(net.backprop(X, Y))
    yield "Trace", lambda: repr(net.trace(X, Y))
    yield "check_gradients", lambda: str(bp.check_gradients(net, X[:2], Y[:2]))
    yield "check_gradients", refused(lambda: bp.check_gradients(net, X[:2], Y[:3]))
    yield "gradient_flow", lambda: bp.gradient_flow(net, X, Y, verbose=False)
    yield "gradient_flow", refused(lambda: bp.gradient_flow(net, X, X, verbose=False))
    yield "GradientFlow", lambda: make().fit(X, Y, callbacks=bp.GradientFlow(X, Y))
    yield "cpu_info", bp.cpu_info
    yield "get_threads", bp.get_threads
    yield "set_threads", lambda: bp.set_threads(3 - bp.get_threads() % 3)
    yield "set_threads", refused(lambda: bp.set_threads(0))
    yield "register_threadpoolctl", bp.register_threadpoolctl
    made = (rates.Cosine(0.1, 9), rates.CosLog4(0.1, 9), rates.FlatCos(0.1, 9))
    for schedule in (*made, rates.Step(0.1, 3), rates.OneCycle(0.1, 9)):
        yield "schedules", lambda s=schedule: (s(4), rates.Schedule.from_dict(s.to_dict()))
    yield "schedules", refused(lambda: rates.Cosine(-0.1, 9))
    yield "initializers", lambda: make(init="orthogonal")
    yield "initializers", refused(lambda: make(init="none"))


def calls(folder: Path) -> Iterator[tuple[str, Call]]:
    """Name and call of everything, each network apart from the others."""
    yield from of_evaluating(make())
    yield from of_evaluating(make(dtype="float64", precision="float32"))
    yield from of_attributes(make())
    yield from of_training(make(), folder)
    yield from of_files(make(), folder)
    yield from of_data(folder)
    yield from of_kernels()
    yield from of_graphs(make())
    yield from of_the_rest(make())


def public_names() -> set[str]:
    """Return what `calls` has to name."""
    # Peers' own libraries keep what they like: tests/test_exchange_torch.py is about these.
    peers = {"from_torch", "to_torch", "from_sklearn"}
    modules = {"datasets": datasets, "graph": graph}
    named = {f"{key}.{name}" for key, module in modules.items() for name in module.__all__}
    methods = {
        f"Network.{name}" for name in dir(bp.Network) if name[0] != "_" and name not in peers
    }
    plain = {name for name in bp.__all__ if name[0] != "_" and name != "kernels"}
    return (named | methods | plain) - {"datasets.BUILT_IN"}


def measure_all(folder: Path) -> list[str]:
    """Measure every call, and say what leaks."""
    faults, seen = [], set()
    start = None
    for name, call in calls(folder):
        seen.add(name)
        try:
            # Some functions print what they find.
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                count, more, leaks = measure(call)
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error}")
            continue
        print(f"{count:6d} calls of {name}: {more:+.1f} bytes each", flush=True)
        if leaks:
            faults.append(f"{name} leaks {more:.1f} bytes per call")
        start = start or sample()
    end = sample()
    assert start is not None
    if end.files > start.files:
        faults.append(f"{end.files - start.files} files were left open")
    # The pool has as many threads as the highest limit that was set.
    if end.threads > start.threads + 3:
        faults.append(f"{end.threads - start.threads} threads were left running")
    missed = sorted(public_names() - seen)
    return faults + [f"{name} is public and was not called" for name in missed]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        faults = measure_all(Path(folder))
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
