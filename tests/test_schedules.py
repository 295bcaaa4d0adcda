"""Learning-rate schedules against their formulas, and what optimizers do with them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.optimizers._base import Rates

ALL = [
    bp.schedules.Constant(0.1, warmup=4),
    bp.schedules.Step(0.1, 7, gamma=0.5, warmup=3),
    bp.schedules.Exponential(0.1, 0.99),
    bp.schedules.Cosine(0.1, 50, end_lr=0.01, warmup=10),
    bp.schedules.OneCycle(0.1, 60),
    bp.schedules.CosLog4(0.1, 70),
    bp.schedules.FlatCos(0.1, 70, warmup=2),
]


def test_constant_after_linear_warmup() -> None:
    rate = bp.schedules.Constant(0.2, warmup=4)
    assert [rate(t) for t in range(6)] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2], rel=1e-15)


def test_step() -> None:
    rate = bp.schedules.Step(1.0, 3, gamma=0.5)
    assert [rate(t) for t in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_exponential() -> None:
    rate = bp.schedules.Exponential(2.0, 0.9)
    assert [rate(t) for t in range(4)] == pytest.approx([2.0, 1.8, 1.62, 1.458], rel=1e-14)


def test_cosine_with_warmup() -> None:
    rate = bp.schedules.Cosine(1.0, 10, end_lr=0.2, warmup=5)
    for t in range(25):
        s = max(t - 5, 0)
        expected = 0.2 + 0.8 * (1 + math.cos(math.pi * min(s / 10, 1))) / 2
        assert rate(t) == pytest.approx(expected * min((t + 1) / 5, 1), rel=1e-13)


def test_four_waves_each_twice_as_long_as_the_one_before() -> None:
    rate = bp.schedules.CosLog4(0.4, 60)
    for t in range(70):
        expected = 0.4 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * min(t / 60, 1)))) / 2
        assert rate(t) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    plain = bp.schedules.CosLog4(0.4, 15)
    assert [plain(t) for t in (0, 1, 3, 7, 15, 99)] == pytest.approx([0] * 6, abs=1e-15)
    top = bp.schedules.CosLog4(0.4, 2)
    assert top(1) == pytest.approx(0.2 * (1 - math.cos(2 * math.pi * math.log2(8.5))), rel=1e-12)


def test_flat_then_cosine() -> None:
    rate = bp.schedules.FlatCos(0.4, 60, warmup=3)
    for t in range(70):
        way = min(max(t - 3, 0) / 60, 1)
        expected = 0.4 if way <= 0.5 else 0.2 * (1 + math.cos(math.pi * (2 * way - 1)))
        assert rate(t) == pytest.approx(expected * min((t + 1) / 3, 1), rel=1e-12, abs=1e-15)
    assert rate(63) == rate(1000) == 0.0


def test_one_cycle() -> None:
    """The phases of PyTorch's OneCycleLR: up to 0.3 * total - 1, down to total - 1."""
    total, top = 40, 0.3 * 40 - 1
    first, last = 1 / 25, 1 / 25 / 1e4
    rate = bp.schedules.OneCycle(1.0, total)
    for t in range(total + 5):
        if t <= top:
            expected = 1 + (first - 1) / 2 * (1 + math.cos(math.pi * t / top))
        else:
            way = min((t - top) / (total - 1 - top), 1)
            expected = last + (1 - last) / 2 * (1 + math.cos(math.pi * way))
        assert rate(t) == pytest.approx(expected, rel=1e-9)
    assert rate(0) == pytest.approx(first)
    assert rate(11) == pytest.approx(1.0)
    assert rate(total - 1) == pytest.approx(last)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_array_of_steps_and_description(schedule: bp.schedules.Schedule) -> None:
    steps = np.arange(80)
    np.testing.assert_allclose(schedule(steps), [schedule(t) for t in steps], rtol=1e-14)
    again = bp.schedules.Schedule.from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert again == schedule
    assert type(again) is type(schedule)
    assert repr(again) == repr(schedule)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@pytest.mark.parametrize("start", [0, 1, 200, 255, 256, 5000])
def test_rates_ahead_have_the_bits_of_single_rates(
    schedule: bp.schedules.Schedule, start: int
) -> None:
    ahead = Rates(schedule, "lr").ahead(start, 600)
    assert len(ahead) == 600
    single = Rates(schedule, "lr")
    assert ahead.tolist() == [single(start + i) for i in range(600)]


def test_a_rate_is_refused_at_the_step_that_takes_it() -> None:
    schedule = bp.schedules.Exponential(1e308, 1.5)  # infinite from step 2 on
    rates = Rates(schedule, "lr")
    assert rates.ahead(0, 2).tolist() == [rates(0), rates(1)] == [1e308, 1e308 * 1.5]
    for take in (lambda: rates(2), lambda: rates.ahead(1, 2), lambda: rates.check(0, 3)):
        with pytest.raises(ValueError, match="lr must give finite rates >= 0, got inf at step 2"):
            take()
    rates.check(0, 2)
    nothing = Rates(bp.schedules.Exponential(0.0, 1.5), "lr")  # 0 times infinity from 1751 on
    assert nothing(1700) == 0.0
    with pytest.raises(ValueError, match="lr must give finite rates >= 0, got nan at step 1751"):
        nothing.ahead(1700, 60)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="lr must be a finite number >= 0, got -1"):
        bp.schedules.Constant(-1)
    with pytest.raises(TypeError, match="warmup must be an integer"):
        bp.schedules.Constant(0.1, warmup=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="step_size must be >= 1"):
        bp.schedules.Step(0.1, 0)
    with pytest.raises(ValueError, match="pct_start"):
        bp.schedules.OneCycle(0.1, 10, pct_start=1.0)
    with pytest.raises(ValueError, match="no schedule"):
        bp.schedules.Schedule.from_dict({"name": "nothing"})
    with pytest.raises(ValueError, match="does not describe"):
        bp.schedules.Schedule.from_dict({"name": "cosine", "period": 3})


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(size=(40, 2))


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_fit_and_steps_follow_the_schedule_alike(schedule: bp.schedules.Schedule) -> None:
    x, y = data()
    fitted, stepped, plain = (bp.Network([3, 4, 2], seed=1, dtype="float64") for _ in range(3))
    fitted.fit(x, y, epochs=7, batch_size=8, shuffle=False, optimizer=bp.SGD(lr=schedule))
    one, two = bp.SGD(lr=schedule), bp.SGD(lr=lambda step: schedule(np.array([step]))[0])
    for epoch in range(7):
        for batch in range(5):
            rows = slice(8 * batch, 8 * batch + 8)
            stepped.step(x[rows], y[rows], one)
            assert one.steps == 5 * epoch + batch + 1
            plain.step(x[rows], y[rows], two)
    np.testing.assert_array_equal(fitted.parameters, stepped.parameters)
    np.testing.assert_allclose(plain.parameters, stepped.parameters, rtol=1e-12)


def test_plain_function_is_called_once_a_step_in_order() -> None:
    x, y = data()
    seen: list[int] = []

    def rate(step: int) -> float:
        seen.append(step)
        return 0.01

    network = bp.Network([3, 2], seed=0)
    network.fit(x, y, epochs=80, batch_size=10, optimizer=bp.SGD(lr=rate))
    assert seen == list(range(320))


def test_bad_rate_of_a_function_changes_nothing() -> None:
    x, y = data()
    network = bp.Network([3, 2], seed=0)
    before = network.parameters.copy()
    with pytest.raises(ValueError, match="lr at step 0"):
        network.fit(x, y, optimizer=bp.SGD(lr=lambda step: math.nan))
    np.testing.assert_array_equal(network.parameters, before)


def test_callback_may_change_the_rate() -> None:
    x, y = data()
    rates: list[float] = []
    optimizer = bp.SGD(lr=bp.schedules.Constant(0.1))

    def halve(end: bp.EpochEnd) -> None:
        rates.append(end.lr)
        optimizer.lr = end.lr / 2 if end.epoch < 2 else bp.schedules.Constant(1.0)

    bp.Network([3, 2], seed=0).fit(x, y, epochs=4, optimizer=optimizer, callbacks=halve)
    assert rates == [0.1, 0.05, 0.025, 1.0]
