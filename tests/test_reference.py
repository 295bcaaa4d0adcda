"""The oracle itself: by complex step, by central differences, by hand, and beside PyTorch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import reference as ref
from reference import Gradient, Matrix, Reference, Vector

SMOOTH = ["identity", "sigmoid", "tanh", "softplus", "gelu", "silu", "mish"]
KINKED = ["relu", "leaky_relu", "elu", "selu"]
SMOOTH_LOSSES = [
    ("identity", "mse"),
    ("identity", "squared_error"),
    ("tanh", "mse"),
    ("softmax", "mse"),
    ("softmax", "cross_entropy"),
    ("sigmoid", "binary_cross_entropy"),
]
KINKED_LOSSES = [("identity", "mae"), ("identity", "huber"), ("softmax", "mae")]


def test_lists_cover_every_activation_and_loss() -> None:
    assert sorted(SMOOTH + KINKED) == sorted(ref.ACTIVATIONS)
    losses = {loss for _, loss in SMOOTH_LOSSES + KINKED_LOSSES}
    assert losses == {*ref.DIFFERENCE_LOSSES, "cross_entropy", "binary_cross_entropy"}


class Problem:
    """A small random network with a batch, weights for its rows and dropout masks."""

    def __init__(self, hidden: str, output: str, loss: str, seed: int) -> None:
        rng = random.Random(seed)
        widths = [3, 4, 3, 2]

        def matrix(n: int, m: int) -> Matrix:
            return [[rng.gauss(0, 0.7) for _ in range(m)] for _ in range(n)]

        self.net = Reference(
            weights=[matrix(n, m) for m, n in pairwise(widths)],
            biases=[matrix(1, n)[0] for n in widths[1:]],
            activations=[hidden, hidden, output],
            loss=loss,
            l1=0.01,
            l2=0.1,
            dropout=0.25,
        )
        self.x = matrix(5, 3)
        self.y: Any = matrix(5, 2)
        if "entropy" in loss:
            self.y = [[p, 1 - p] for p in (rng.random() for _ in range(5))]
        self.sample_weight = [rng.uniform(0.5, 2) for _ in range(5)]
        self.masks = [
            [[float(rng.random() > 0.25) for _ in range(n)] for _ in range(5)] for n in (4, 3)
        ]

    def cost(self) -> Any:
        return self.net.cost(self.x, self.y, self.sample_weight, self.masks)

    def backprop(self) -> Gradient:
        return self.net.backprop(self.x, self.y, self.sample_weight, self.masks)


def complex_step(cost: Callable[[], Any], row: Vector, j: int) -> float:
    value, h = row[j], 1e-20
    row[j] = complex(value, h)
    slope: float = cost().imag / h
    row[j] = value
    return slope


def central_difference(cost: Callable[[], Any], row: Vector, j: int) -> float:
    value, h = row[j], 1e-5
    row[j] = value + h
    above = cost()
    row[j] = value - h
    below = cost()
    row[j] = value
    return float(above - below) / (2 * h)


def assert_gradient(problem: Problem, differentiate: Callable[..., float], bound: float) -> None:
    """Compare every entry of every gradient; `bound` is relative to the largest of its tensor."""
    net, got = problem.net, problem.backprop()
    assert got.cost == problem.cost()
    tensors = [*zip(net.weights, got.weights, strict=True), (problem.x, got.inputs)]
    tensors += [([b], [db]) for b, db in zip(net.biases, got.biases, strict=True)]
    for rows, gradient in tensors:
        largest = max(abs(v) for row in gradient for v in row)
        for row, grad in zip(rows, gradient, strict=True):
            for j, value in enumerate(grad):
                slope = differentiate(problem.cost, row, j)
                assert abs(value - slope) <= bound * largest


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize(("output", "loss"), SMOOTH_LOSSES)
def test_smooth_networks_by_complex_step(activation: str, output: str, loss: str) -> None:
    assert_gradient(Problem(activation, output, loss, seed=1), complex_step, 1e-13)


@pytest.mark.parametrize("activation", KINKED)
@pytest.mark.parametrize(("output", "loss"), SMOOTH_LOSSES)
def test_kinked_activations_by_central_difference(activation: str, output: str, loss: str) -> None:
    problem = Problem(activation, output, loss, seed=2)
    zs, _ = problem.net.forward(problem.x, problem.masks)
    assert min(abs(v) for z in zs for row in z for v in row) > 1e-3
    assert_gradient(problem, central_difference, 1e-8)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("output", "loss"), KINKED_LOSSES)
def test_kinked_losses_by_central_difference(activation: str, output: str, loss: str) -> None:
    problem = Problem(activation, output, loss, seed=4)
    _, activated = problem.net.forward(problem.x, problem.masks)
    errors = [
        abs(a - t)
        for r, s in zip(activated[-1], problem.y, strict=True)
        for a, t in zip(r, s, strict=True)
    ]
    assert min(min(e, abs(e - 1)) for e in errors) > 1e-3
    assert loss != "huber" or min(errors) < 1 < max(errors)
    assert_gradient(problem, central_difference, 1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_derivatives_point_by_point(name: str) -> None:
    value, derivative = ref.ACTIVATIONS[name]
    for i in range(-40, 41):
        x = i / 8
        slope = value(complex(x, 1e-20)).imag / 1e-20
        assert derivative(x) == pytest.approx(slope, rel=1e-12, abs=1e-14)
        assert value(complex(x, 0)).real == pytest.approx(value(x), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("name", KINKED)
def test_kinked_derivatives_point_by_point(name: str) -> None:
    value, derivative = ref.ACTIVATIONS[name]
    for i in range(-40, 41):
        x = (i + 0.5) / 8
        slope = (value(x + 1e-6) - value(x - 1e-6)) / 2e-6
        assert derivative(x) == pytest.approx(slope, rel=1e-8, abs=1e-9)


def test_known_values() -> None:
    """Values at 1 to 16 digits, from the closed forms of each activation."""
    e = math.e
    known = {
        "sigmoid": e / (1 + e),
        "tanh": (e * e - 1) / (e * e + 1),
        "softplus": math.log(1 + e),
        "gelu": 0.8413447460685429,
        "silu": e / (1 + e),
        "mish": ((1 + e) ** 2 - 1) / ((1 + e) ** 2 + 1),
        "selu": 1.0507009873554805,
    }
    for name, value in known.items():
        assert ref.ACTIVATIONS[name][0](1.0) == pytest.approx(value, rel=1e-15)
    assert ref.ACTIVATIONS["elu"][0](-1.0) == pytest.approx(1 / e - 1, rel=1e-15)
    assert ref.ACTIVATIONS["leaky_relu"][0](-3.0) == -0.03
    assert ref.ACTIVATIONS["selu"][0](-1.0) == pytest.approx(-1.1113307378125625, rel=1e-14)


def test_values_at_the_kinks() -> None:
    assert ref.ACTIVATIONS["relu"][1](0.0) == 0
    assert ref.sign(0.0) == 0
    assert ref.huber(1.0) == 0.5
    assert ref.huber(-3.0) == 2.5


def test_far_from_zero_nothing_overflows() -> None:
    assert ref.softplus(800.0) == 800
    assert ref.softplus(-800.0) == 0
    assert ref.sigmoid(-800.0) == 0
    assert ref.log_softmax([1000.0, 0.0]) == [0, -1000]


# A network worked by hand: x -> relu(W1 x + b1) -> W2 a + b2, two examples, mse:
#   z1 = (-1, 3.5), (2, 2.5); a1 = (0, 3.5), (2, 2.5); z2 = -3, 2; errors -4, -2; cost (16+4)/2
#   delta2 = errors * 2/2; delta1 = (0, 4), (-4, 2)
HAND_NET = {"weights": [[[1.0, -1.0], [0.5, 2.0]], [[2.0, -1.0]]], "biases": [[0.0, -1.0], [0.5]]}
HAND_X = [[1.0, 2.0], [3.0, 1.0]]
HAND_Y = [1.0, 4.0]


def hand_net(**options: Any) -> Reference:
    return Reference(**HAND_NET, activations=["relu", "identity"], **options)  # type: ignore[arg-type]


def test_hand_worked_network() -> None:
    got = hand_net().backprop(HAND_X, HAND_Y)
    assert got.cost == 10
    assert got.deltas == [[[0, 4], [-4, 2]], [[-4], [-2]]]
    assert got.weights == [[[-12, -4], [10, 10]], [[-4, -19]]]
    assert got.biases == [[-4, 6], [-6]]
    assert got.inputs == [[2, 8], [-3, 8]]
    assert got.flat == [-12, -4, 10, 10, -4, 6, -4, -19, -6]


def test_hand_worked_sample_weights() -> None:
    got = hand_net().backprop(HAND_X, HAND_Y, sample_weight=[3.0, 1.0])
    assert got.cost == (3 * 16 + 4) / 4
    assert got.deltas[1] == [[-6], [-1]]
    assert got.biases == [[-2, 7], [-7]]


def test_hand_worked_penalties() -> None:
    got = hand_net(l1=2.0, l2=4.0).backprop(HAND_X, HAND_Y)
    assert got.cost == 10 + 2 * 7.5 + 2 * 11.25
    assert got.weights == [[[-12 + 4 + 2, -4 - 4 - 2], [10 + 2 + 2, 10 + 8 + 2]], [[6, -25]]]
    assert got.biases == [[-4, 6], [-6]]


def test_hand_worked_dropout() -> None:
    """Half the units kept: a1 = (0, 7), (4, 0); z2 = -6.5, 8.5; errors -7.5, 4.5."""
    masks = [[[0.0, 1.0], [1.0, 0.0]]]
    got = hand_net(dropout=0.5).backprop(HAND_X, HAND_Y, masks=masks)
    assert got.cost == (7.5**2 + 4.5**2) / 2
    assert got.deltas == [[[0, 15], [18, 0]], [[-7.5], [4.5]]]
    assert got.weights[1] == [[4.5 * 4, -7.5 * 7]]


def test_hand_worked_classification() -> None:
    """One layer, z = (0, log 3): the probabilities are 1/4 and 3/4."""
    options: dict[str, Any] = {"weights": [[[0.0], [1.0]]], "biases": [[0.0, 0.0]]}
    net = Reference(**options, activations=["softmax"], loss="cross_entropy")
    got = net.backprop([[math.log(3)]], [1])
    assert got.cost == pytest.approx(math.log(4 / 3), rel=1e-15)
    assert got.deltas[0][0] == pytest.approx([0.25, -0.25], rel=1e-15)
    assert net.cost([[math.log(3)]], [[0.5, 0.5]]) == pytest.approx(
        math.log(4) - math.log(3) / 2, rel=1e-15
    )
    net = Reference(**options, activations=["sigmoid"], loss="binary_cross_entropy")
    got = net.backprop([[math.log(3)]], [[1, 0]])
    assert got.cost == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-15)
    assert got.deltas[0][0] == pytest.approx([-0.25, 0.375], rel=1e-15)


# Two steps of each rule from theta = 1 with lr = 0.5: (rule, the two gradients, theta after each).
HAND_STEPS = [
    (ref.SGD(), (0.5, 0.25), (0.75, 0.625)),
    (ref.SGD(weight_decay=0.5), (0.5, 0.25), (0.5, 0.25)),
    (ref.SGD(momentum=0.5), (0.5, 0.25), (0.75, 0.5)),
    (ref.SGD(momentum=0.5, nesterov=True), (0.5, 0.25), (0.625, 0.375)),
    (ref.Adam(eps=0.0), (0.5, -0.5), (0.5, 0.5 + 0.5 * (0.005 / 0.19) / 0.5)),
    (ref.Adam(eps=0.5, betas=(0.5, 0.75)), (0.5, 0.5), (0.75, 0.5)),
    (
        ref.Adam(eps=0.5, weight_decay=0.5),
        (0.0, -0.375),
        (0.75, 0.75 - 0.5 * 0.45 / 1.9 / (0.5 + math.sqrt(0.24975e-3 / 1.999e-3))),
    ),
    (ref.AdamW(eps=0.5, weight_decay=0.5), (0.5, 0.5), (0.5, 0.125)),
    (ref.RMSprop(alpha=0.75, eps=0.0), (2.0, 0.0), (0.0, 0.0)),
    (ref.RMSprop(alpha=0.75, eps=1.0), (2.0, 0.0), (0.5, 0.5)),
    (ref.RMSprop(alpha=0.75, eps=1.0, momentum=0.5), (2.0, 0.0), (0.5, 0.25)),
    (ref.RMSprop(alpha=0.5, eps=0.0, centered=True), (2.0, 2.0), (0.0, -1 / math.sqrt(0.75))),
    (ref.RMSprop(alpha=0.75, eps=1.0, weight_decay=1.0), (1.0, -0.5), (0.5, 0.5)),
    (ref.Adagrad(eps=0.0), (3.0, 4.0), (0.5, 0.5 - 0.5 * 0.8)),
    (ref.Adagrad(eps=0.0, lr_decay=1.0), (3.0, 4.0), (0.5, 0.5 - 0.25 * 0.8)),
    (ref.Adagrad(eps=1.0, weight_decay=3.0), (0.0, -1.875), (0.625, 0.625)),
    (ref.Adagrad(eps=1.0, initial_accumulator_value=16.0), (3.0, 0.0), (0.75, 0.75)),
]


@pytest.mark.parametrize(("rule", "gradients", "expected"), HAND_STEPS)
def test_two_steps_by_hand(
    rule: ref.Rule, gradients: tuple[float, float], expected: tuple[float, float]
) -> None:
    theta = 1.0
    for g, after in zip(gradients, expected, strict=True):
        theta = rule.update(theta, g, 0.5)
        assert theta == pytest.approx(after, rel=1e-14)


def test_clip_norm_by_hand() -> None:
    assert ref.clip([3.0, 4.0], None) == [3, 4]
    assert ref.clip([3.0, 4.0], 10.0) == [3, 4]
    assert ref.clip([3.0, 4.0], 1.0) == pytest.approx([3 / 5.000001, 4 / 5.000001], rel=1e-15)
    assert ref.clip([0.0, 0.0], 1.0) == [0, 0]


# What the rules here call by the same names as torch.optim.
TORCH_CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"weight_decay": 0.1}),
    ("AdamW", {"betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"alpha": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "eps": 1e-4}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
]


@pytest.mark.parametrize(("name", "options"), TORCH_CASES)
@pytest.mark.parametrize("clip_norm", [None, 0.7])
def test_rules_beside_torch(name: str, options: dict[str, Any], clip_norm: float | None) -> None:
    torch = pytest.importorskip("torch")
    rng = random.Random(7)
    theta = [rng.gauss(0, 1) for _ in range(4)]
    parameter = torch.nn.Parameter(torch.tensor(theta, dtype=torch.float64))
    peer = getattr(torch.optim, name)([parameter], lr=0.05, **options)
    ours = ref.Optimizer([getattr(ref, name)(**options) for _ in theta], clip_norm)
    for _ in range(30):
        g = [rng.gauss(0, 1) for _ in theta]
        parameter.grad = torch.tensor(g, dtype=torch.float64)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([parameter], clip_norm)
        peer.step()
        theta = ours.step(theta, g, 0.05)
        assert theta == pytest.approx(parameter.tolist(), rel=1e-12)
