"""Fail every request for memory or a thread that the core makes, in turn, in every operation.

Run by test_faults.py in an interpreter of its own, with a build of the package that can be told to
fail (tests/c/faults.c). Prints a line per operation and, at the end, where requests have failed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import struct
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop import _core, _pybackprop_core
from pybackprop.results import Gradients, Trace

faults = ctypes.CDLL(_pybackprop_core.__file__)
faults.faults_forget.restype = faults.faults_hold.restype = None
for name in ("requests", "blocks", "bytes", "refuse_threads", "site"):
    getattr(faults, f"faults_{name}").restype = ctypes.c_longlong
faults.faults_arm.argtypes = [ctypes.c_longlong]

RNG = np.random.default_rng(11)
FOLDER = Path(tempfile.mkdtemp())
ROWS = 300
X, Y = RNG.normal(size=(ROWS, 12)), RNG.uniform(0.1, 0.9, size=(ROWS, 3))
LABELS = RNG.integers(0, 3, ROWS)
WIDE_X, WIDE_Y = RNG.normal(size=(96, 70)), RNG.normal(size=(96, 3))


def squared(a: Any, y: Any) -> Any:
    return ((a - y) ** 2).sum(1), 2 * (a - y)


def held() -> tuple[int, int]:
    """Return the blocks and the bytes that the core holds, without what it keeps between calls."""
    faults.faults_forget()
    return faults.faults_blocks(), faults.faults_bytes()


def signature(value: Any) -> str:
    """Return a digest of every bit of a result."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
        elif isinstance(part, float):
            digest.update(struct.pack("d", part))
        elif isinstance(part, (list, tuple)):
            for each in part:
                add(each)
        elif isinstance(part, bp.Network):
            add([part.parameters, part._net.get_counters(), part.scaling, part.input_scales])
        elif isinstance(part, bp.Networks):
            add([part.parameters])
        elif isinstance(part, bp.Optimizer):
            add([part.steps, [each for each in part._state.vectors if each is not None]])
        elif isinstance(part, Gradients):
            add([part.cost, part.flat, part.inputs])
        elif isinstance(part, Trace):
            add([part.z, part.a, part.delta])
        elif isinstance(part, bp.History):
            add([part.cost, part.val_cost])
        elif part is None or isinstance(part, (int, str)):
            digest.update(repr(part).encode())
        else:
            raise TypeError(type(part))

    add(value)
    return digest.hexdigest()


def exhaust(
    what: str,
    fresh: Callable[[], Any],
    run: Callable[[Any], Any],
    *,
    threads_may_fail: bool = False,
    stages: Callable[[], set[str]] | None = None,
) -> None:
    """Run an operation again and again, with every request of it failing once.

    Parameters
    ----------
    fresh : function
        Makes what the operation works on.
    run : function
        The operation, whose result has the same bits every time.
    threads_may_fail : bool
        Whether a failure may pass unnoticed, as fewer threads do the same.
    stages : function, optional
        The states in which the operation may leave its object, where it may get on before it
        fails; otherwise it must leave it as it was, and do all when it is tried again.
    """
    wanted = signature(run(fresh()))
    allowed = stages() if stages else set()
    start = held()
    for number in range(10_000):
        state = fresh()
        before, held_before = signature(state), held()
        failed = False
        faults.faults_arm(number)
        try:
            got = signature(run(state))
        except MemoryError:
            failed = True
        requests = faults.faults_requests()
        faults.faults_arm(-1)
        if failed:
            assert requests > number, (what, number, "failed by itself")
            if stages:
                assert signature(state) in allowed, (what, number, "is in no whole state")
                run(state)
            else:
                assert signature(state) == before, (what, number, "changed its object")
                now = held()
                assert now[0] <= held_before[0], (what, number, "keeps blocks", now, held_before)
                assert now[1] <= held_before[1], (what, number, "keeps bytes", now, held_before)
                assert signature(run(state)) == wanted, (what, number, "differs when run again")
        else:
            assert requests <= number or threads_may_fail, (what, number, "missed a failure")
            assert got == wanted, (what, number, "differs")
            if threads_may_fail:
                assert signature(run(state)) == wanted, (what, number, "differs when run again")
        del state
        assert held() == start, (what, number, "leaks", held(), start)
        if requests <= number:
            assert number > 0, (what, "asks for nothing")
            print(f"{what}: {number} requests")
            return
    raise AssertionError((what, "does not end"))


# ---- networks ----


def small(**settings: Any) -> bp.Network:
    return bp.Network([12, 16, 9, 3], seed=3, **{"activation": "tanh", **settings})


def classifier() -> bp.Network:
    return small(dtype="float64", output="softmax", loss="cross_entropy", l2=1e-3)


def wide(**settings: Any) -> bp.Network:
    """One whose update is fused with its backward pass."""
    return bp.Network([70, 260, 260, 3], seed=1, dropout=0.2, **settings)


def with_optimizer(net: bp.Network, optimizer: bp.Optimizer) -> tuple[bp.Network, bp.Optimizer]:
    optimizer._bind(net._net.key)
    return net, optimizer


def networks() -> dict[str, tuple[Callable[[], bp.Network], Any, Any]]:
    return {
        "float32": (lambda: small(dropout=0.3, l1=1e-3), X.astype("f4"), Y.astype("f4")),
        "float64": (classifier, X, LABELS),
        "custom loss": (lambda: small(loss=squared), X, Y),
        "wide": (wide, WIDE_X, WIDE_Y),
        "input scales": (lambda: small(input_scales=True), X, Y),
        "bf16": (lambda: small(precision="bf16"), X, Y),
        "wide bf16x3": (lambda: wide(precision="bf16x3"), WIDE_X, WIDE_Y),
    }


def copies(net: bp.Network) -> list[bp.Network]:
    return [net.copy(), pickle.loads(pickle.dumps(net))]


def rescale(net: bp.Network) -> Any:
    net.set_scaling(np.arange(net.widths[0]), np.full(net.widths[0], 0.5))
    return net


def check_network(kind: str, make: Callable[[], bp.Network], x: Any, y: Any) -> None:
    own_loss = kind == "custom loss"
    many = np.concatenate([x] * 8)
    exhaust(f"{kind}, create", lambda: None, lambda _: make())
    if not own_loss:
        exhaust(f"{kind}, copy and pickle", make, copies)
    exhaust(f"{kind}, set_scaling", make, rescale)
    exhaust(f"{kind}, set_scaling again", lambda: rescale(make()), rescale)
    exhaust(f"{kind}, predict", make, lambda net: net.predict(x))
    exhaust(f"{kind}, predict more", lambda: warm(make(), x[:2]), lambda net: net.predict(many))
    exhaust(f"{kind}, predict bytes", make, lambda net: net.predict(np.abs(x).astype(np.uint8)))
    exhaust(f"{kind}, cost", make, lambda net: net.cost(x, y))
    exhaust(f"{kind}, backprop", make, lambda net: net.backprop(x, y))
    exhaust(f"{kind}, trace", make, lambda net: [net.trace(x), net.trace(x, y)])
    for name in ("jacobian", "hessian_diagonal", "laplacian"):
        exhaust(f"{kind}, {name}", make, lambda net, name=name: getattr(net, name)(x[:40]))
    v = np.ones((40, 3))
    exhaust(f"{kind}, vjp", make, lambda net: net.vjp(x[:40], v))
    exhaust(f"{kind}, jvp", make, lambda net: net.jvp(x[:40], np.ones_like(x[:40])))
    for name in ("per_sample_gradients", "per_sample_gradient_norms"):
        exhaust(f"{kind}, {name}", make, lambda net, name=name: getattr(net, name)(x[:40], y[:40]))
    for name in () if own_loss else ("hvp", "gauss_newton_product"):
        exhaust(
            f"{kind}, {name}",
            make,
            lambda net, name=name: getattr(net, name)(x, y, np.ones(net.n_parameters)),
        )


def warm(net: bp.Network, x: Any) -> bp.Network:
    net.predict(x)
    return net


# ---- training ----


def optimizers() -> list[Callable[[], bp.Optimizer]]:
    return [
        lambda: bp.SGD(lr=0.01, momentum=0.9),
        lambda: bp.Adam(clip_norm=1.0),
        bp.AdamW,
        lambda: bp.RMSprop(momentum=0.5, centered=True),
        bp.Adagrad,
    ]


def check_training(kind: str, make: Callable[[], bp.Network], x: Any, y: Any) -> None:
    for optimizer in optimizers():
        exhaust(
            f"{kind}, step of {optimizer().name}",
            lambda optimizer=optimizer: with_optimizer(make(), optimizer()),
            lambda both: [both[0].step(x, y, both[1]), both],
        )
    for shuffle in (False, True):
        exhaust(
            f"{kind}, fit, shuffle={shuffle}",
            lambda: with_optimizer(make(), bp.Adam()),
            lambda both, shuffle=shuffle: [
                both[0].fit(x, y, epochs=2, batch_size=70, shuffle=shuffle, optimizer=both[1]),
                both,
            ],
        )

    exhaust(
        f"{kind}, fit with shards",
        lambda: with_optimizer(make(), bp.Adam()),
        lambda both: [both[0].fit(x, y, batch_size=70, shards=8, optimizer=both[1]), both],
    )

    def epochs() -> set[str]:
        """The network after each number of epochs."""
        net, optimizer = with_optimizer(make(), bp.Adam())
        found = {signature((net, optimizer))}
        net.fit(
            x[:200],
            y[:200],
            epochs=3,
            batch_size=70,
            optimizer=optimizer,
            callbacks=lambda _: found.add(signature((net, optimizer))),
        )
        return found

    exhaust(
        f"{kind}, fit with validation",
        lambda: with_optimizer(make(), bp.Adam()),
        lambda both: both[0].fit(
            x[:200],
            y[:200],
            epochs=3,
            batch_size=70,
            validation=(x[-30:], y[-30:]),
            optimizer=both[1],
        ),
        stages=epochs,
    )


def several() -> list[Any]:
    """Networks of two shapes, each with an optimizer."""
    nets = [small(), small(), classifier_like(), small(dtype="float64"), small()]
    return [with_optimizer(net, bp.Adam()) for net in nets]


def alike() -> bp.Networks:
    return bp.Networks([12, 9, 3], n=3, seed=0)


def classifier_like() -> bp.Network:
    return bp.Network([12, 9, 3], seed=5, dropout=0.2)


def fit_several(pairs: list[Any], epochs: int = 2, batch_size: int = 70, **arguments: Any) -> Any:
    history = bp.fit_many(
        [net for net, _ in pairs],
        X,
        Y,
        optimizers=[optimizer for _, optimizer in pairs],
        epochs=epochs,
        batch_size=batch_size,
        **arguments,
    )
    return [history.cost, history.val_cost, pairs]


def tiny(dtype: str) -> list[Any]:
    """Networks that are trained in the lanes of vectors."""
    nets = [bp.Network([12, 4, 3], dtype=dtype, seed=at) for at in range(20)]
    return [with_optimizer(net, bp.SGD(0.1, momentum=0.9)) for net in nets]


def check_many() -> None:
    exhaust("networks, create", lambda: None, lambda _: alike()[1])
    exhaust("networks, predict", alike, lambda nets: nets.predict(X))
    exhaust("fit_many", several, fit_several)
    for dtype in ("float32", "float64"):
        fresh = partial(tiny, dtype)
        exhaust(f"lanes, {dtype}", fresh, lambda pairs: fit_several(pairs, batch_size=12))

    def epochs() -> set[str]:
        """The networks after each number of epochs."""
        pairs = several()
        found = {signature(pairs)}
        fit_several(pairs, 3, validation=0.3, callbacks=lambda _: found.add(signature(pairs)))
        return found

    exhaust(
        "fit_many with validation",
        several,
        lambda pairs: fit_several(pairs, 3, validation=0.3),
        stages=epochs,
    )


def check_memory_of_many() -> None:
    """Networks that end one after the other do not leave a workspace each."""

    def retire(end: bp.EpochsEnd) -> Any:
        return np.arange(len(end.active)) <= end.epoch

    def kept(n: int) -> int:
        """Return how many blocks such networks have beyond those of new ones."""
        base = held()[0]
        nets = bp.Networks([12, 9, 3], n=n, seed=0)
        new = held()[0] - base
        nets.fit(X, Y, epochs=n, validation=0.2, callbacks=retire)
        assert nets.history is not None
        assert nets.history.epochs.tolist() == [at + 1 for at in range(n)]
        return held()[0] - base - new

    before = bp.get_threads()
    try:
        bp.set_threads(2)
        few, many = kept(3), kept(16)
        assert 0 < many <= few, (many, few)
        print(f"networks that end one by one: {many} requests")
    finally:
        bp.set_threads(before)


# ---- the rest ----


def check_files() -> None:
    for suffix in ("npz", "safetensors"):
        path = FOLDER / f"net.{suffix}"
        net, optimizer = small(), bp.Adam()
        net.step(X, Y, optimizer)
        try:
            net.save(path, optimizer)
        except ModuleNotFoundError:
            continue
        exhaust(
            f"load {suffix}",
            lambda: None,
            lambda _, path=path: [bp.Network.load(path), bp.Optimizer.load(path)],
        )


def check_kernels() -> None:
    for dtype in ("f4", "f8"):
        a, b = (RNG.normal(size=(40, 40)).astype(dtype) for _ in range(2))
        exhaust(f"matmul {dtype}", lambda: None, lambda _, a=a, b=b: bp.kernels.matmul(a, b))
        exhaust(
            f"dense_forward {dtype}",
            lambda: None,
            lambda _, a=a, b=b: bp.kernels.dense_forward(a, b, None, "tanh"),
        )
        exhaust(
            f"dense_backward {dtype}",
            lambda: None,
            lambda _, a=a, b=b: bp.kernels.dense_backward(a, b, a, b, "tanh"),
        )
    exhaust("bandwidth", lambda: None, lambda _: [bp.kernels.bandwidth(1 << 20, 1) > 0.0])
    faults.faults_hold(1)
    exhaust("matmul at the same time", lambda: None, lambda _: bp.kernels.matmul(a, b))
    faults.faults_hold(0)
    for precision in _core.PRECISIONS:
        a, b = (RNG.normal(size=(80, 80)).astype("f4") for _ in range(2))
        exhaust(
            f"matmul {precision}",
            lambda: None,
            lambda _, a=a, b=b, p=precision: bp.kernels.matmul(a, b, precision=p),
        )


def check_replicas() -> None:
    """Training by two threads, each with parameters of its own."""
    before = bp.get_threads()
    bp.set_threads(2)
    for dtype in ("float32", "float64"):
        exhaust(
            f"replicas, {dtype}, fit",
            lambda dtype=dtype: with_optimizer(
                bp.Network([12, 96, 64, 3], dtype=dtype, seed=1), bp.Adam()
            ),
            lambda both: [both[0].fit(X, Y, epochs=2, batch_size=150, optimizer=both[1]), both],
        )
    bp.set_threads(before)


def thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def cold() -> bp.Network:
    """A network, with no thread of the pool running: a fork ends them."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return bp.Network([70, 260, 260, 3], seed=1)


def check_pool() -> None:
    before = bp.get_threads()
    bp.set_threads(4)
    try:
        x, y = np.concatenate([WIDE_X] * 12), np.concatenate([WIDE_Y] * 12)
        calm = thread_count_of(cold)
        exhaust("start of threads", cold, lambda net: net.backprop(x, y), threads_may_fail=True)
        cold()
        wanted = signature(bp.Network([70, 260, 260, 3], seed=1).backprop(x, y))
        assert thread_count() == calm + 3
        refused = faults.faults_refuse_threads(1)
        net = cold()
        assert signature(net.backprop(x, y)) == wanted
        assert thread_count() == calm
        assert faults.faults_refuse_threads(0) > refused
        assert signature(net.backprop(x, y)) == wanted
        assert thread_count() == calm + 3
        print("no threads at all: 1 requests")
    finally:
        bp.set_threads(before)


def thread_count_of(make: Callable[[], Any]) -> int:
    make()
    return thread_count()


def main() -> None:
    for kind, (make, x, y) in networks().items():
        check_network(kind, make, x, y)
        check_training(kind, make, x, y)
    check_many()
    check_memory_of_many()
    check_files()
    check_kernels()
    check_replicas()
    check_pool()
    sites = set()
    while site := faults.faults_site(len(sites)):
        sites.add(site)
    print("\n".join(f"site {site:#x}" for site in sorted(sites)))


if __name__ == "__main__":
    sys.exit(main())
