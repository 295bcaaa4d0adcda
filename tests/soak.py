"""Random operations on random networks, each checked against a model in NumPy.

    python tests/soak.py --minutes 60
    python tests/soak.py --seed 17 --operations 500

Several networks are alive at a time. An operation is drawn with arguments of its own, and what it
does is checked

- against `shadow.py` and `shadow_updates.py`, float64, within the bounds derived there;
- bit for bit against the same on a copy, in another process, or step by step, where the project
  promises the same bits: copies, files, forks, threads, interrupted and resumed training.

At the end, memory, open files and threads must be no more than after the first quarter of the run.
On a difference it prints the seed and the operations that led to it, and ends with status 1. The
operations follow from the seed alone, but for when the time is up and where a signal interrupts.
"""

from __future__ import annotations

import argparse
import collections
import copy
import hashlib
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from footprint import Sample, assert_flat, sample
from numpy.typing import NDArray
from shadow import assert_within
from shadow_updates import Rule
from soak_subjects import CustomLoss, Planned, Subject, random_network, random_optimizer

import pybackprop as bp
from pybackprop import _core

Array = NDArray[Any]

MAX_NETWORKS = 4
# After so many operations all networks are dropped, and what the process holds is measured.
GENERATION = 40


def same(one: Any, two: Any, what: str) -> None:
    one, two = np.asarray(one), np.asarray(two)
    assert one.dtype == two.dtype, f"{what}: {one.dtype} and {two.dtype}"
    assert one.shape == two.shape, f"{what}: {one.shape} and {two.shape}"
    assert one.tobytes() == two.tobytes(), f"{what} has other bits"


def state_of(optimizer: bp.Optimizer) -> dict[str, Any]:
    state = optimizer.state_dict()
    return {"step": state["step"], **state["state"]}


def same_state(one: bp.Optimizer, two: bp.Optimizer, what: str) -> None:
    first, second = state_of(one), state_of(two)
    assert first.keys() == second.keys(), what
    for key in first:
        same(first[key], second[key], f"{what}: {key}")


# ---------------------------------------------------------------- operations


@dataclass
class World:
    """Everything that is alive, and what has been done to it."""

    seed: int
    folder: Path
    subjects: list[Subject] = field(default_factory=list)
    log: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=60))
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    steps: int = 0  # single training steps checked against the shadow

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def run_one(self, number: int) -> None:
        """Draw an operation and do it."""
        if not self.subjects:
            name, index = "build", 0
        else:
            names, weights = zip(*OPERATIONS.items(), strict=True)
            name = str(self.rng.choice(names, p=np.array(weights) / sum(weights)))
            index = int(self.rng.integers(len(self.subjects)))
        what = f"{number} {name} {index}"
        if self.subjects and name != "build":
            subject = self.subjects[index]
            what += f": {subject.net!r} {subject.optimizer!r}"
        self.log.append(what)
        if name == "build":
            self.build()
        elif name == "drop":
            del self.subjects[index]
        else:
            self.tame(subject)
            try:
                getattr(self, name)(subject)
            except FloatingPointError:
                # Twins that diverge apart from each other would differ before one is not finite.
                self.counts["diverged"] += 1
                assert self.counts["diverged"] <= 3 + number / 100, "too many fits diverge"
                subject.net = subject.net.copy()
                subject.net.parameters = np.zeros(subject.net.n_parameters)
                subject.optimizer.reset()
        self.counts[name] += 1

    def tame(self, s: Subject) -> None:
        """Make parameters that training has let grow small again."""
        largest = float(np.abs(s.net.parameters).max())
        if largest > 20:
            s.net.parameters = s.net.parameters / largest

    def build(self) -> None:
        rng = np.random.default_rng(self.rng.integers(2**63))
        net, loss = random_network(rng)
        if len(self.subjects) == MAX_NETWORKS:
            del self.subjects[int(rng.integers(MAX_NETWORKS))]
        self.subjects.append(Subject(net, random_optimizer(rng), rng, loss))
        self.log.append(f"  built {net!r}")

    # ---- setting ----

    def set_parameters(self, s: Subject) -> None:
        values = s.rng.normal(size=s.net.n_parameters) * s.rng.choice([0.1, 0.5])
        if s.rng.random() < 0.5:
            s.net.parameters = values
            same(s.net.parameters, values.astype(s.net.dtype), "parameters")
            return
        i = int(s.rng.integers(len(s.net.weights)))
        w, b = s.rng.normal(size=s.net.weights[i].shape) * 0.3, np.zeros(s.net.biases[i].shape)
        s.net.set_layer(i, w, b)
        same(s.net.weights[i], w.astype(s.net.dtype), "weights")

    def threads(self, s: Subject) -> None:
        bp.set_threads(3 - bp.get_threads())

    def bad_input(self, s: Subject) -> None:
        """Whatever is refused changes nothing."""
        x, y, _ = s.batch()
        before, state = s.net.parameters.copy(), copy.deepcopy(s.optimizer)
        calls: list[Callable[[], Any]] = [
            lambda: s.net.predict(x[:, :-1] if x.shape[1] > 1 else x.T[:, :0]),
            lambda: s.net.step(x, y[:-1], s.optimizer),
            lambda: s.net.fit(x, y, epochs=0, optimizer=s.optimizer),
            lambda: s.net.fit(x, y, sample_weight=np.full(len(x), -1.0), optimizer=s.optimizer),
            lambda: s.net.backprop(np.zeros((0, s.net.widths[0])), y),
            lambda: s.net.set_layer(0, [[1.0]], [1.0, 2.0, 3.0]),
        ]
        try:
            calls[int(s.rng.integers(len(calls)))]()
        except ValueError:
            pass
        else:
            raise AssertionError("bad input was accepted")
        same(s.net.parameters, before, "parameters")
        same_state(s.optimizer, state, "optimizer")

    # ---- evaluating ----

    def predict(self, s: Subject) -> None:
        x = s.inputs(s.rows())
        got = s.net.predict(x)
        assert_within(got, s.shadow().predict(x), "predict")
        same(s.net.copy().predict(x), got, "predict of a copy")
        picked = s.rng.permutation(len(x))
        same(s.net.predict(x[picked]), got[picked], "predict of permuted rows")

    def backprop(self, s: Subject) -> None:
        x, y, weight = s.batch()
        got = s.net.backprop(x, y, weight)
        want = s.shadow().backprop(x, y, weight)
        assert_within(got.flat, want.flat, "gradient")
        assert_within(got.inputs, want.inputs, "gradient in the inputs")
        assert_within(got.cost, want.cost, "cost")
        assert_within(s.net.cost(x, y, weight), want.cost, "cost")
        trace = s.net.trace(x, y)
        want = s.shadow().backprop(x, y)
        for i in range(len(trace.z)):
            assert_within(trace.z[i], want.z[i], f"trace.z[{i}]")
            assert_within(trace.a[i + 1], want.a[i + 1], f"trace.a[{i + 1}]")
            assert_within((trace.delta or [])[i], want.delta[i], f"trace.delta[{i}]")

    def derivatives(self, s: Subject) -> None:
        """Which memory of the network a call finds, and how many threads, changes no bit."""
        x, y, weight = s.batch(int(s.rng.choice([1, 5, 40])))
        v = s.rng.normal(size=s.net.n_parameters)
        outputs, inputs = (s.rng.normal(size=(len(x), s.net.widths[i])) for i in (-1, 0))
        calls: dict[str, Callable[[bp.Network], Any]] = {
            "vjp": lambda net: net.vjp(x, outputs),
            "jvp": lambda net: net.jvp(x, inputs)[1],
            "laplacian": lambda net: net.laplacian(x),
            "per_sample_gradient_norms": lambda net: net.per_sample_gradient_norms(x, y),
        }
        if s.net.n_parameters < 5000:
            calls["jacobian"] = lambda net: net.jacobian(x)
            calls["hessian_diagonal"] = lambda net: net.hessian_diagonal(x)
            calls["per_sample_gradients"] = lambda net: net.per_sample_gradients(x, y)
        if isinstance(s.net.loss, str):
            calls["hvp"] = lambda net: net.hvp(x, y, v, weight)
            calls["gauss_newton"] = lambda net: net.gauss_newton_product(x, y, v, weight)
        name = str(s.rng.choice(list(calls)))
        got = calls[name](s.net)
        assert np.isfinite(got).all(), name
        before = bp.get_threads()
        bp.set_threads(3 - before)
        same(calls[name](s.net.copy()), got, f"{name} of a copy")
        bp.set_threads(before)
        if name == "vjp":
            assert_within(got, s.shadow().vjp(x, outputs), "vjp")

    # ---- training ----

    def checked_step(self, s: Subject, x: Array, y: Array, weight: Array | None) -> float:
        """One step of the subject, checked against the shadow."""
        net, optimizer = s.net, s.optimizer
        before, theta = optimizer.state_dict(), net.parameters.copy()
        before["state"] = {key: value.copy() for key, value in before["state"].items()}
        masks = net.dropout_masks(len(x)) if any(net.dropout) else []
        want = s.shadow().backprop(x, y, weight, masks)
        rate = optimizer._rate()
        gradient = self.gradient_of(s, x, y, weight, masks)
        assert_within(gradient, want.flat, "gradient of a step")
        cost = net.step(x, y, optimizer, weight)
        assert_within(cost, want.cost, "cost of a step")
        assert optimizer.steps == before["step"] + 1
        rule = Rule(before, rate, net.dtype)
        assert_within(net.parameters, rule.step(theta, gradient), "parameters after a step")
        for key, value in rule.after.items():
            assert_within(optimizer.state_dict()["state"][key], value, key)
        self.steps += 1
        return cost

    def gradient_of(
        self, s: Subject, x: Array, y: Array, weight: Array | None, masks: list[Array]
    ) -> Array:
        """Return the gradient that the next step uses.

        With dropout, and for a single row, whose products an update sums in an order of its own,
        it is what a first step leaves as its momentum.
        """
        if not masks and len(x) > 1:
            return s.net.backprop(x, y, weight).flat
        probe = bp.SGD(lr=1e-3, momentum=0.5)
        s.net.copy().step(x, y, probe, weight)
        return np.asarray(probe.state_dict()["state"]["momentum_buffer"])

    def step(self, s: Subject) -> None:
        for _ in range(int(s.rng.integers(1, 6))):
            self.tame(s)  # what diverges grows beyond all floats within a few steps
            x, y, weight = s.batch()
            net, optimizer = s.twin()
            cost = self.checked_step(s, x, y, weight)
            same(net.step(x, y, optimizer, weight), cost, "cost of a copy's step")
            same(net.parameters, s.net.parameters, "parameters of a copy after a step")
            same_state(optimizer, s.optimizer, "optimizer of a copy after a step")

    def fit(self, s: Subject) -> None:
        """A fit is the steps over its batches, each of them checked."""
        x, y, weight = s.batch()
        if weight is not None:  # a batch without any weight is no step
            weight = np.maximum(weight, 0.05)
        epochs, size = int(s.rng.integers(1, 3)), int(s.rng.choice([1, 5, 32, 1000]))
        if len(x) / size > 40:
            size = 32
        shuffle = bool(s.rng.random() < 0.7)
        net, optimizer = s.twin()
        history = net.fit(
            x,
            y,
            epochs=epochs,
            batch_size=size,
            optimizer=optimizer,
            shuffle=shuffle,
            sample_weight=weight,
            _slice_ns=int(s.rng.choice([0, 10**5, 10**9])),
        )
        first = s.net._net.get_counters()[1]
        for epoch in range(epochs):
            order = np.arange(len(x))
            if shuffle:
                order = _core.random_permutation(s.net.seed, first + epoch, len(x))
            costs, counts = [], []
            for begin in range(0, len(x), size):
                rows = order[begin : begin + size]
                part = None if weight is None else weight[rows]
                costs.append(self.checked_step(s, x[rows], y[rows], part))
                counts.append(len(rows) if part is None else part.sum())
            mean = np.average(costs, weights=counts)
            assert abs(history.cost[epoch] - mean) <= 1e-12 * (1 + abs(mean)), "cost of an epoch"
        steps = s.net._net.get_counters()[0]
        s.net._net.set_counters(steps, first + epochs)
        same(net.parameters, s.net.parameters, "parameters after a fit")
        same_state(optimizer, s.optimizer, "optimizer after a fit")

    def replay(
        self, net: bp.Network, optimizer: bp.Optimizer, steps: int, x: Array, y: Array, size: int
    ) -> None:
        """Train for exactly so many batches more."""
        each = -(-len(x) // size)
        epochs, batches = divmod(steps, each)
        if epochs:
            net.fit(x, y, epochs=epochs, batch_size=size, optimizer=optimizer)
        order = _core.random_permutation(net.seed, net._net.get_counters()[1], len(x))
        for batch in range(batches):
            rows = order[batch * size : (batch + 1) * size]
            net.step(x[rows], y[rows], optimizer)

    def interrupted_fit(self, s: Subject) -> None:
        """A signal in the middle of a fit: a whole number of batches has been trained."""
        rows = 60
        x, y, _ = s.batch(rows)
        net, optimizer = s.twin()
        begin, size = optimizer.steps, int(s.rng.choice([7, 60]))

        armed = True

        def interrupt(number: int, frame: Any) -> None:
            if armed:
                raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, float(s.rng.uniform(2e-4, 1e-2)))
            s.net.fit(x, y, epochs=10**6, batch_size=size, optimizer=s.optimizer, _slice_ns=10**6)
        except KeyboardInterrupt:
            pass
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        self.replay(net, optimizer, s.optimizer.steps - begin, x, y, size)
        same(net.parameters, s.net.parameters, "parameters after an interrupted fit")
        if s.optimizer.steps:
            same_state(optimizer, s.optimizer, "optimizer after an interrupted fit")
        s.net._net.set_counters(*net._net.get_counters())

    def raising_callback(self, s: Subject) -> None:
        x, y, _ = s.batch(40)
        net, optimizer = s.twin()
        last = int(s.rng.integers(3))

        def callback(end: bp.EpochEnd) -> None:
            if end.epoch == last:
                raise Planned

        try:
            s.net.fit(x, y, epochs=9, batch_size=16, optimizer=s.optimizer, callbacks=callback)
        except Planned:
            pass
        else:
            raise AssertionError("the callback's exception is lost")
        net.fit(x, y, epochs=last + 1, batch_size=16, optimizer=optimizer)
        same(net.parameters, s.net.parameters, "parameters after a callback raised")
        same_state(optimizer, s.optimizer, "optimizer after a callback raised")

    def resumed(self, s: Subject) -> None:
        """A run that a callback ends, and one that goes on from its checkpoint: as one run."""
        x, y, weight = s.batch(60)
        last, path = int(s.rng.integers(1, 4)), self.folder / f"run {s.rng.integers(2**32)}.npz"
        options: dict[str, Any] = {
            "epochs": 4,
            "batch_size": int(s.rng.choice([13, 60])),
            "sample_weight": weight,
        }

        def callback(end: bp.EpochEnd) -> None:
            if end.epoch == last:
                raise Planned

        (net, optimizer), (other, its) = s.twin(), s.twin()
        try:
            every = str(s.rng.choice(["1 epochs", "1 steps"]))
            keep: dict[str, Any] = {"checkpoint": path, "checkpoint_every": every}
            net.fit(x, y, **options, **keep, optimizer=optimizer, callbacks=callback)
        except Planned:
            pass
        history = other.fit(x, y, **options, optimizer=its, resume=path)
        path.unlink()
        alone = s.net.fit(x, y, **options, optimizer=s.optimizer)
        same(other.parameters, s.net.parameters, "parameters of a resumed run")
        same_state(its, s.optimizer, "optimizer of a resumed run")
        assert history.cost == alone.cost, "costs of a resumed run"

    def raising_loss(self, s: Subject) -> None:
        if not isinstance(s.net.loss, CustomLoss):
            return
        x, y, weight = s.batch()
        before, state = s.net.parameters.copy(), copy.deepcopy(s.optimizer)
        s.net.loss.fails = True
        try:
            s.net.step(x, y, s.optimizer, weight)
        except Planned:
            pass
        else:
            raise AssertionError("the loss's exception is lost")
        finally:
            s.net.loss.fails = False
        same(s.net.parameters, before, "parameters after a loss raised")
        assert s.optimizer.steps == state.steps

    def poisoned_fit(self, s: Subject) -> None:
        """A cost that is not finite: the network of the last finite epoch, a fresh optimizer."""
        x, y, _ = s.batch(20)
        if x.dtype.kind != "f":
            return
        before = s.net.parameters.copy()
        x = x.astype("float64")
        x[int(s.rng.integers(20)), 0] = np.nan
        try:
            s.net.fit(x, y, batch_size=6, epochs=2, optimizer=s.optimizer)
        except FloatingPointError:
            pass
        else:
            raise AssertionError("a NaN was trained on")
        same(s.net.parameters, before, "parameters after a NaN")
        assert s.optimizer.steps == 0

    # ---- keeping ----

    def compare(self, s: Subject, net: bp.Network, optimizer: bp.Optimizer, what: str) -> None:
        """Both train on alike; the other takes the subject's place."""
        same(net.parameters, s.net.parameters, what)
        x, y, weight = s.batch(50)
        for each, state in ((net, optimizer), (s.net, s.optimizer)):
            each.fit(x, y, batch_size=16, optimizer=state, sample_weight=weight)
        same(net.parameters, s.net.parameters, f"{what}, trained on")
        same_state(optimizer, s.optimizer, f"{what}, trained on")
        s.net, s.optimizer = net, optimizer

    def copied(self, s: Subject) -> None:
        make = (lambda net: net.copy(), copy.copy, copy.deepcopy)[int(s.rng.integers(3))]
        self.compare(s, make(s.net), copy.deepcopy(s.optimizer), "a copy")

    def pickled(self, s: Subject) -> None:
        net, optimizer = pickle.loads(pickle.dumps((s.net, s.optimizer)))
        self.compare(s, net, optimizer, "what was pickled")

    def saved(self, s: Subject) -> None:
        path = self.folder / str(s.rng.choice(["model.npz", "model.safetensors"]))
        try:
            s.net.save(path, s.optimizer)
        except ValueError:
            assert not isinstance(s.net.loss, str), "a network could not be saved"
            return
        except ModuleNotFoundError:
            return
        self.compare(s, bp.Network.load(path), bp.Optimizer.load(path), "what was saved")

    def forked(self, s: Subject) -> None:
        """A child trains as its parent does."""
        x, y, _ = s.batch(100)
        net, optimizer = s.twin()

        def train() -> bytes:
            net.fit(x, y, batch_size=25, optimizer=optimizer)
            return hashlib.sha256(net.parameters.tobytes()).digest()

        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(send, train())
            finally:
                os._exit(0)
        os.close(send)
        digest = train()
        told = os.read(receive, 32)
        os.close(receive)
        assert os.waitpid(child, 0)[1] == 0, "the child did not end well"
        assert told == digest, "a forked child trains otherwise"
        s.net, s.optimizer = net, optimizer


# Names of operations, and how often each is drawn.
OPERATIONS = {
    "build": 3,
    "drop": 1,
    "set_parameters": 2,
    "threads": 2,
    "bad_input": 2,
    "predict": 5,
    "backprop": 5,
    "derivatives": 5,
    "step": 4,
    "fit": 4,
    "interrupted_fit": 2,
    "raising_callback": 2,
    "raising_loss": 2,
    "resumed": 2,
    "poisoned_fit": 1,
    "copied": 2,
    "pickled": 2,
    "saved": 2,
    "forked": 1,
}


# ---------------------------------------------------------------- the run


def soak(seed: int, seconds: float, operations: int | None) -> World:
    """Run operations until the time is up, or so many of them; raise at the first difference."""
    begin = time.perf_counter()
    samples: list[Sample] = []
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder))
        try:
            while operations is None or number < operations:
                if operations is None and time.perf_counter() - begin > seconds:
                    break
                if number % GENERATION == 0:
                    world.subjects.clear()
                    samples.append(sample())
                world.run_one(number)
                number += 1
        except BaseException:
            report_failure(world)
            raise
    steps = f"{number} operations, {world.steps} steps against the shadow, 0 differences"
    flat = f"; {assert_flat(samples)}" if len(samples) >= 12 else ""
    print(f"-> seed {seed}: {steps}{flat}")
    return world


def report_failure(world: World) -> None:
    print(f"seed {world.seed}; the last operations, each with the number of its network:")
    print("\n".join(world.log))
    traceback.print_exc(file=sys.stdout)
    operations = sum(world.counts.values()) + 1
    print(f"again: python tests/soak.py --seed {world.seed} --operations {operations}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Random operations against a model in NumPy.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--seed", type=int, help="of all that is random (default: any)")
    parser.add_argument("--operations", type=int, help="stop after so many instead")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}, {bp.cpu_info()['isa']}", flush=True)
    try:
        world = soak(seed, arguments.minutes * 60, arguments.operations)
    except AssertionError as error:
        print(f"FAILED: {error}")
        return 1
    for name, count in sorted(world.counts.items()):
        print(f"{count:8d} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
