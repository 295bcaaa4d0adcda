"""Trajectories of the optimizers against their rules as written out in reference.py."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray
from reference import Reference
from training_runs import thread_limit

import pybackprop as bp

Array = NDArray[Any]

WIDTHS = [3, 5, 2]
STEPS = 50
LR = 0.005  # small enough that no rule overshoots the minimum, where roundings would grow

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"alpha": 0.9, "eps": 0.01, "momentum": 0.5, "centered": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5}),
]


def problem(**options: Any) -> tuple[bp.Network, Array, Array]:
    """A small network in float64 and a batch it cannot fit exactly."""
    rng = np.random.default_rng(3)
    net = bp.Network(WIDTHS, activation="tanh", dtype="float64", seed=3, **options)
    return net, rng.normal(size=(24, 3)), rng.normal(size=(24, 2))


class Trajectory:
    """The same network and rule in pure Python, stepped side by side."""

    def __init__(self, net: bp.Network, rule: str, clip_norm: float | None, **options: Any) -> None:
        self.theta: list[float] = net.parameters.tolist()
        rules = [getattr(ref, rule)(**options) for _ in self.theta]
        self.optimizer = ref.Optimizer(rules, clip_norm)

    def network(self) -> Reference:
        weights, biases, at = [], [], 0
        for n_in, n_out in pairwise(WIDTHS):
            rows = [self.theta[at + i * n_in : at + (i + 1) * n_in] for i in range(n_out)]
            at += n_in * n_out
            weights.append(rows)
            biases.append(self.theta[at : at + n_out])
            at += n_out
        return Reference(weights, biases, ["tanh", "identity"])

    def step(self, x: Array, y: Array, lr: float) -> float:
        gradient = self.network().backprop(x.tolist(), y.tolist())
        self.theta = self.optimizer.step(self.theta, gradient.flat, lr)
        return gradient.cost

    def assert_equals(self, net: bp.Network, bound: float = 1e-12) -> None:
        error = np.abs(net.parameters - np.array(self.theta)).max()
        assert error <= bound * np.abs(self.theta).max()


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_fifty_steps(name: str, options: dict[str, Any], clip_norm: float | None) -> None:
    net, x, y = problem()
    optimizer = getattr(bp, name)(lr=LR, clip_norm=clip_norm, **options)
    twin = Trajectory(net, name, clip_norm, **options)
    for _ in range(STEPS):
        cost = net.step(x, y, optimizer)
        assert cost == pytest.approx(twin.step(x, y, LR), rel=1e-12, abs=0)
        twin.assert_equals(net)


DEFAULTS = {"Adam": 1e-3, "AdamW": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2, "SGD": 1e-3}


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_defaults_are_those_of_pytorch(name: str) -> None:
    net, x, y = problem()
    optimizer = getattr(bp, name)()
    twin = Trajectory(net, name, None)
    for _ in range(5):
        net.step(x, y, optimizer)
        twin.step(x, y, DEFAULTS[name])
        twin.assert_equals(net)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_float32_follows_the_same_rule(name: str, options: dict[str, Any]) -> None:
    """Ten steps from rounded parameters; the bound is what ten roundings of each may add up to."""
    exact, x, y = problem()
    net = bp.Network(WIDTHS, activation="tanh", dtype="float32", seed=3)
    exact.parameters = net.parameters.astype(np.float64)
    ours, theirs = (getattr(bp, name)(lr=LR, **options) for _ in range(2))
    for _ in range(10):
        net.step(x.astype(np.float32), y.astype(np.float32), ours)
        exact.step(x, y, theirs)
    error = np.abs(net.parameters - exact.parameters).max()
    assert error <= 1e-4 * np.abs(exact.parameters).max()


def test_a_gradient_shorter_than_clip_norm_is_left_alone() -> None:
    clipped, x, y = problem()
    plain, _, _ = problem()
    clipped.step(x, y, bp.SGD(lr=0.1, clip_norm=1e6))
    plain.step(x, y, bp.SGD(lr=0.1))
    np.testing.assert_array_equal(clipped.parameters, plain.parameters)


def test_clip_norm_bounds_the_whole_gradient_with_its_penalties() -> None:
    net, x, y = problem(l2=3.0)
    before = np.array(net.parameters)
    gradient = net.backprop(x, y).flat
    net.step(x, y, bp.SGD(lr=1.0, clip_norm=0.5))
    moved = before - net.parameters
    assert np.linalg.norm(moved) == pytest.approx(0.5, rel=1e-5)
    expected = gradient * (0.5 / (np.linalg.norm(gradient) + 1e-6))
    np.testing.assert_allclose(moved, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("kind", [bp.SGD, bp.Adam, bp.AdamW, bp.RMSprop, bp.Adagrad])
def test_settings_of_a_class_are_described(kind: type[bp.Optimizer]) -> None:
    """Tools that document a class or copy its signature read its attributes."""
    for name in kind._settings:
        assert inspect.getdoc(getattr(kind, name)), name


def test_state_belongs_to_the_optimizer() -> None:
    """A fresh optimizer starts its moments anew; the same one goes on with them."""
    kept, x, y = problem()
    renewed, _, _ = problem()
    optimizer = bp.SGD(lr=0.1, momentum=0.9)
    for _ in range(2):
        kept.step(x, y, optimizer)
        renewed.step(x, y, bp.SGD(lr=0.1, momentum=0.9))
    assert not np.array_equal(kept.parameters, renewed.parameters)


@pytest.mark.parametrize("batch_size", [24, 10, 1])
@pytest.mark.parametrize(("name", "options"), [CASES[3], CASES[8]])
def test_fit_takes_the_same_steps(name: str, options: dict[str, Any], batch_size: int) -> None:
    """Two epochs in given order, with a last batch that may be short."""
    net, x, y = problem()
    twin = Trajectory(net, name, None, **options)
    optimizer = getattr(bp, name)(lr=LR, **options)
    net.fit(x, y, epochs=2, batch_size=batch_size, optimizer=optimizer, shuffle=False)
    for _ in range(2):
        for begin in range(0, len(x), batch_size):
            twin.step(x[begin : begin + batch_size], y[begin : begin + batch_size], LR)
    twin.assert_equals(net)


def halving(step: int) -> float:
    return 2.0 ** -(step % 5)


@pytest.mark.parametrize(
    "schedule",
    [
        bp.schedules.Step(0.8, 4, 0.5, warmup=3),
        bp.schedules.Cosine(0.4, 10, end_lr=0.1),
        bp.schedules.OneCycle(1.0, 12),
        halving,
    ],
)
def test_every_step_takes_the_rate_of_its_number(schedule: Callable[[int], float]) -> None:
    net, x, y = problem()
    twin = Trajectory(net, "Adam", None)
    optimizer = bp.Adam(lr=schedule)
    for t in range(15):
        net.step(x, y, optimizer)
        twin.step(x, y, schedule(t))
        twin.assert_equals(net)


def test_one_cycle_beside_torch() -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=40)
    ours = bp.schedules.OneCycle(0.7, 40)
    for t in range(40):
        assert ours(t) == pytest.approx(peer.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        if t < 39:
            peer.step()


@pytest.mark.parametrize("name", ["_settle", "point", "reset"])
def test_interrupted_before_the_state_is_whole(name: str) -> None:
    """A signal may end a first update in the middle of making the state, or end a reset."""
    optimizer, tracing = bp.SGD(lr=0.1, momentum=0.9), sys.gettrace()
    calls = 0

    def interrupt(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        if frame.f_code.co_name == name:
            calls += 1
            if calls == (4 if name == "point" else 1):
                raise KeyboardInterrupt

    small, large = np.ones(3), np.ones(5)
    if name == "reset":
        optimizer.update(small.copy(), small)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - tracing must end where the call does
        sys.settrace(interrupt)
        try:
            if name == "reset":
                optimizer.reset()
            optimizer.update(small.copy(), small)
        finally:
            sys.settrace(tracing)
    if name == "reset":
        optimizer.reset()
    parameters = large.copy()
    optimizer.update(parameters, large)
    np.testing.assert_allclose(parameters, 0.9)
    np.testing.assert_array_equal(optimizer.state_dict()["state"]["momentum_buffer"], large)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_setting_whose_state_cannot_be_had(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer, parameters, gradient = bp.SGD(lr=0.5), np.ones(3), np.ones(3)
    optimizer.update(parameters, gradient)

    def fail(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "full", fail)
        with pytest.raises(error):
            optimizer.momentum = 0.9
    assert optimizer.momentum == 0
    optimizer.update(parameters, gradient)
    np.testing.assert_array_equal(parameters, np.zeros(3))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_clip_norm_of_many_parameters(threads: int) -> None:
    """The norm is summed in pieces, which the threads share."""
    rng = np.random.default_rng(2)
    net = bp.Network([60, 301, 97], activation="tanh", dtype="float64", seed=1)
    x, y = rng.normal(size=(400, 60)), rng.normal(size=(400, 97))
    before, gradient = net.parameters.copy(), net.backprop(x, y).flat
    norm = float(np.linalg.norm(gradient))
    with thread_limit(threads):
        net.step(x, y, bp.SGD(lr=1.0, clip_norm=norm / 3))
    wanted = gradient * (norm / 3) / (norm + 1e-6)
    np.testing.assert_allclose(before - net.parameters, wanted, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", range(1, 40))
def test_norms_and_penalties_of_any_number_of_weights(count: int, dtype: str) -> None:
    gradient = np.random.default_rng(count).uniform(1, 2, count).astype(dtype)
    theta = np.zeros(count, dtype)
    bp.SGD(lr=1.0, clip_norm=0.5).update(theta, gradient)
    norm = np.linalg.norm(gradient.astype(float))
    np.testing.assert_allclose(-theta, gradient * 0.5 / (norm + 1e-6), rtol=4e-7)
    for l1, l2 in ((0.7, 0.0), (0.0, 0.6)):
        net = bp.Network([count, 1], l1=l1, l2=l2, dtype=dtype)
        net.set_layer(0, gradient[None] - 1.5, [0.0])
        w = net.weights[0].astype(float)
        cost = net.cost(np.zeros((1, count)), [[0.0]])
        assert cost == pytest.approx(l1 * np.abs(w).sum() + l2 / 2 * (w**2).sum(), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "options"), CASES)
def test_any_number_of_parameters(rule: str, options: dict[str, Any], dtype: str) -> None:
    """A parameter is updated alike however many there are beside it, also by the last vector."""
    rng, most = np.random.default_rng(5), 70
    start, gradients = rng.normal(size=most).astype(dtype), rng.normal(size=(3, most)).astype(dtype)

    def after(count: int) -> Array:
        theta, optimizer = start[:count].copy(), getattr(bp, rule)(**{"lr": 0.01, **options})
        for gradient in gradients:
            optimizer.update(theta, gradient[:count])
        return theta

    whole = after(most)
    assert (whole != start).all()
    for count in range(1, most):
        np.testing.assert_array_equal(after(count), whole[:count])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_centred_rmsprop_of_constant_gradients_stays_finite(dtype: str, momentum: float) -> None:
    """Mean and mean square come so near each other that rounding makes a variance below 0.

    A variance of 0, or near it, makes the step g / eps; a square root of less makes NaN.
    """
    gradient = np.random.default_rng(1).uniform(0.5, 2, 4000).astype(dtype)
    below = np.zeros(gradient.size, bool)
    optimizer = bp.RMSprop(lr=1e-3, alpha=0.5, eps=1e-3, centered=True, momentum=momentum)
    theta = np.zeros_like(gradient)
    for _ in range(100):
        optimizer.update(theta, gradient)
        state = optimizer.state_dict()["state"]
        below |= state["square_avg"] < state["grad_avg"] ** 2
    assert below.any(), "the test has nothing to tell"
    assert np.isfinite(theta).all()
    limit = 100 * 1e-3 * gradient / 1e-3 / (1 - momentum)
    assert (theta < 0).all()
    assert (np.abs(theta) <= limit * 1.001).all()
