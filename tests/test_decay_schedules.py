"""Weight decay by schedule: every step has its own, in every way to train."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray
from training_runs import thread_limit

import pybackprop as bp
from pybackprop import schedules

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 2))
BATCH = 16
LR = 0.01

# Ends at a decay of 0 before the last step of most tests.
FLAT = schedules.FlatCos(0.5, 8)

RULES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"betas": (0.8, 0.95)},
    "AdamW": {"betas": (0.9, 0.95)},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adagrad": {"lr_decay": 0.1},
}


def make(rule: str, decay: Any = FLAT, **settings: Any) -> bp.Optimizer:
    kind: type[bp.Optimizer] = getattr(bp, rule)
    return kind(**{"lr": LR, **RULES[rule], "weight_decay": decay, **settings})


def batches(x: Array, y: Array, size: int = BATCH) -> list[tuple[Array, Array]]:
    return [(x[at : at + size], y[at : at + size]) for at in range(0, len(x), size)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_follows_the_rule(rule: str, dtype: str) -> None:
    theta = RNG.standard_normal(30).astype(dtype)
    twin = ref.Optimizer([getattr(ref, rule)(**RULES[rule]) for _ in theta])
    expected, optimizer = theta.tolist(), make(rule)
    for step in range(12):
        gradient = RNG.standard_normal(30).astype(dtype)
        for each in twin.rules:
            each.weight_decay = FLAT(step)  # type: ignore[attr-defined]
        expected = twin.step(expected, gradient.tolist(), LR)
        optimizer.update(theta, gradient)
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(theta, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("widths", "rows", "size", "settings"),
    [
        ((5, 8, 7, 2), 40, 16, {"l1": 0.01, "l2": 0.1}),
        ((5, 8, 7, 2), 12, 1, {"dtype": "float64"}),
        ((5, 70, 70, 2), 12, 1, {}),
        ((64, 40, 40, 2), 400, 160, {"dropout": 0.2}),
        ((64, 512, 600, 2), 100, 40, {}),
        ((5, 300, 280, 2), 40, 16, {"precision": "bf16"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 3])
def test_all_ways_to_train_agree(
    rule: str, widths: Any, rows: int, size: int, settings: dict[str, Any], threads: int
) -> None:
    """They have the bits of steps before which the decay is assigned as a number."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((rows, widths[0])), rng.standard_normal((rows, 2))
    nets = [bp.Network(widths, activation="tanh", seed=1, **settings) for _ in range(5)]
    expected, fitted, stepped, streamed, member = nets
    number, *others = make(rule, 0.0), *(make(rule) for _ in range(4))
    epochs = 3 if size > 1 else 1
    with thread_limit(threads):
        for at, (a, b) in enumerate(batches(x, y, size) * epochs):
            number.weight_decay = FLAT(at)
            expected.step(a, b, number)
            stepped.step(a, b, others[1])
        fitted.fit(x, y, epochs=epochs, batch_size=size, shuffle=False, optimizer=others[0])
        streamed.fit_stream(batches(x, y, size), epochs=epochs, optimizer=others[2])
        arguments: dict[str, Any] = {"epochs": epochs, "batch_size": size, "shuffle": False}
        bp.fit_many([member], x, y, optimizers=others[3:], **arguments)
    for other in nets[1:]:
        np.testing.assert_array_equal(other.parameters, expected.parameters)
    constant = bp.Network(widths, activation="tanh", seed=1, **settings)
    constant.fit(x, y, epochs=epochs, batch_size=size, shuffle=False, optimizer=make(rule, 0.5))
    assert (constant.parameters != expected.parameters).any()


@pytest.mark.parametrize("rule", ["Adam", "AdamW"])
@pytest.mark.parametrize("threads", [1, 3])
def test_shards_have_it(rule: str, threads: int) -> None:
    """With one row for each shard, their sum is that of any other order, but for rounding."""
    one, other = (bp.Network([5, 8, 2], dtype="float64", seed=1) for _ in range(2))
    arguments: dict[str, Any] = {"epochs": 4, "batch_size": BATCH}
    with thread_limit(threads):
        one.fit(X, Y, optimizer=make(rule), **arguments)
        other.fit(X, Y, optimizer=make(rule), shards=4, **arguments)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_small_networks_side_by_side(rule: str) -> None:
    """Some decays end, some never begin: what one network does is not done to its neighbours."""
    decays = [FLAT, 0.0, schedules.Constant(0.2, warmup=5), lambda step: 0.1 * (step % 2)]
    nets = [bp.Network([5, 4, 2], seed=at) for at in range(34)]
    alone = [net.copy() for net in nets]
    optimizers = [make(rule, decays[at % 4]) for at in range(34)]
    own = [make(rule, decays[at % 4]) for at in range(34)]
    bp.fit_many(nets, X, Y, epochs=5, batch_size=BATCH, optimizers=optimizers)
    for net, other, optimizer in zip(nets, alone, own, strict=True):
        other.fit(X, Y, epochs=5, batch_size=BATCH, optimizer=optimizer)
        np.testing.assert_array_equal(net.parameters, other.parameters)


def test_networks_that_all_decay_are_trained_in_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    from pybackprop import _core

    seen: list[int] = []
    run = _core.ManyFit.run

    def watch(self: _core.ManyFit, max_ns: int) -> None:
        run(self, max_ns)
        seen.append(int(self.table["lanes"].max()))

    monkeypatch.setattr(_core.ManyFit, "run", watch)
    nets = [bp.Network([5, 4, 2], seed=at) for at in range(32)]
    tenth, falling = schedules.Constant(0.1), schedules.Exponential(0.1, 0.5)
    cases = [("Adam", tenth, True), ("Adam", FLAT, False), ("AdamW", FLAT, True)]
    for rule, decay, together in [*cases, ("SGD", falling, True)]:
        seen.clear()
        optimizers = [make(rule, decay) for _ in nets]
        with thread_limit(1):
            bp.fit_many(nets, X, Y, epochs=5, batch_size=BATCH, optimizers=optimizers)
        assert (max(seen) > 1) == (together and bp.cpu_info()["isa"] != "portable")


def test_networks_with_and_without_decay_by_adamw_share_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its decay is no part of the gradient, so networks that have it do the work of others."""
    from pybackprop import _core

    seen: list[int] = []
    run = _core.ManyFit.run

    def watch(self: _core.ManyFit, max_ns: int) -> None:
        run(self, max_ns)
        seen.append(int(self.table["lanes"].min()))

    monkeypatch.setattr(_core.ManyFit, "run", watch)
    nets = [bp.Network([5, 4, 2], seed=at) for at in range(32)]
    alone = [net.copy() for net in nets]
    decays = [0.0, 0.3, FLAT, schedules.Constant(0.2)]
    with thread_limit(1):
        optimizers = [make("AdamW", decays[at % 4]) for at in range(32)]
        bp.fit_many(nets, X, Y, epochs=5, batch_size=BATCH, optimizers=optimizers)
    assert min(seen) > 1 or bp.cpu_info()["isa"] == "portable"
    for at, (net, other) in enumerate(zip(nets, alone, strict=True)):
        other.fit(X, Y, epochs=5, batch_size=BATCH, optimizer=make("AdamW", decays[at % 4]))
        np.testing.assert_array_equal(net.parameters, other.parameters)


def test_many_members_keep_few_rates_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the core looks through those alone whose decay changes."""
    from pybackprop import _core

    tables: list[Array] = []
    run = _core.ManyFit.run

    def watch(self: _core.ManyFit, max_ns: int) -> None:
        tables.append(self.table.copy())
        run(self, max_ns)

    monkeypatch.setattr(_core.ManyFit, "run", watch)
    monkeypatch.setattr("pybackprop.many._loop._STEPS_KEPT", 3000)
    changing, nets = schedules.Cosine(0.1, 900), [bp.Network([5, 2], seed=at) for at in range(4)]
    alone = [net.copy() for net in nets]

    def make_all() -> list[bp.Optimizer]:
        return [bp.SGD(changing), bp.SGD(0.1, weight_decay=changing), bp.SGD(changing), bp.SGD(0.1)]

    bp.fit_many(nets, X, Y, epochs=1100, batch_size=len(X), optimizers=make_all())
    first = tables[0]
    assert first["n_rates"].tolist() == [1000, 1000, 1000, 0]
    assert first["has_one_decay"][:3].tolist() == [1, 0, 1]
    for net, other, optimizer in zip(nets, alone, make_all(), strict=True):
        other.fit(X, Y, epochs=1100, batch_size=len(X), optimizer=optimizer)
        np.testing.assert_array_equal(net.parameters, other.parameters)


@pytest.mark.parametrize("setting", ["lr", "weight_decay"])
def test_a_kind_of_schedule_that_files_cannot_describe(tmp_path: Path, setting: str) -> None:
    """It works, and copies have it; a file would have held a schedule of another kind."""

    class Halved(schedules.Constant):
        def _rate(self, s: Array) -> Array:
            return super()._rate(s) / 2

    optimizer = bp.AdamW(**{setting: Halved(0.2)})
    assert copy.deepcopy(optimizer)._rate(setting) == 0.1
    with pytest.raises(ValueError, match=f"whose {setting} is a Schedule of another kind"):
        bp.Network([5, 2], seed=1).save(tmp_path / "net.npz", optimizer)
    assert not list(tmp_path.iterdir())

    path, net = tmp_path / "run.npz", bp.Network([5, 2], seed=1)
    net.fit(X, Y, epochs=2, optimizer=optimizer, checkpoint=path)
    with pytest.raises(ValueError, match=f"an optimizer whose {setting} is a function or a sched"):
        bp.Optimizer.load(path)
    again = bp.AdamW(**{setting: schedules.Constant(0.2)})
    with pytest.raises(ValueError, match=f"optimizer {setting}"):
        net.copy().fit(X, Y, epochs=3, optimizer=again, resume=path)
    net.fit(X, Y, epochs=3, optimizer=bp.AdamW(**{setting: Halved(0.2)}), resume=path)


@pytest.mark.parametrize("decay", [FLAT, lambda step: 0.1 / (1 + step)])
@pytest.mark.parametrize("every", ["2 steps", 1])
def test_a_resumed_run_goes_on_with_it(tmp_path: Path, decay: Any, every: Any) -> None:
    path = tmp_path / "run.npz"
    whole, halves, again = (bp.Network([5, 8, 2], seed=1) for _ in range(3))
    whole.fit(X, Y, epochs=4, batch_size=BATCH, optimizer=make("AdamW", decay))
    keep: dict[str, Any] = {"checkpoint": path, "checkpoint_every": every}

    def stop(end: bp.EpochEnd) -> bool:
        return end.epoch == 1

    arguments = {"epochs": 4, "batch_size": BATCH, **keep}
    halves.fit(X, Y, optimizer=make("AdamW", decay), callbacks=stop, **arguments)
    again.fit(X, Y, optimizer=make("AdamW", decay), resume=True, **arguments)
    np.testing.assert_array_equal(again.parameters, whole.parameters)
    for other in (0.5, schedules.FlatCos(0.5, 9), lambda step: 0.5):
        given = "a function" if callable(decay) and not isinstance(decay, type(FLAT)) else None
        if given and callable(other) and not isinstance(other, type(FLAT)):
            continue
        with pytest.raises(ValueError, match="optimizer weight_decay"):
            again.fit(X, Y, optimizer=make("AdamW", other), resume=path, **arguments)
    if isinstance(decay, schedules.Schedule):
        assert bp.Optimizer.load(path).weight_decay == decay
    else:
        with pytest.raises(ValueError, match="whose weight_decay is a function"):
            bp.Optimizer.load(path)


def test_many_networks_resume_with_it(tmp_path: Path) -> None:
    path = tmp_path / "many.npz"
    decays = [FLAT, lambda step: 0.1 / (1 + step), 0.3]

    def run(epochs: int, **more: Any) -> list[bp.Network]:
        nets = [bp.Network([5, 4, 2], seed=at) for at in range(3)]
        optimizers = [make("AdamW", each) for each in decays]
        bp.fit_many(nets, X, Y, epochs=epochs, batch_size=BATCH, optimizers=optimizers, **more)
        return nets

    whole = run(6)
    run(2, checkpoint=path)
    for net, other in zip(run(6, checkpoint=path, resume=True), whole, strict=True):
        np.testing.assert_array_equal(net.parameters, other.parameters)
    decays[0] = 0.5
    with pytest.raises(ValueError, match="weight_decay"):
        run(6, resume=path)


def test_a_callback_may_change_it_and_numbers_beside_it() -> None:
    """A rate that is a number beside a schedule is that of the moment, too."""
    net, other = (bp.Network([5, 4, 2], seed=1) for _ in range(2))
    optimizer, twin = make("AdamW"), make("AdamW")

    def change(end: bp.EpochEnd) -> None:
        optimizer.lr = end.lr / 2
        if end.epoch == 1:
            optimizer.weight_decay = 0.25

    net.fit(X, Y, epochs=4, batch_size=20, shuffle=False, optimizer=optimizer, callbacks=change)
    for epoch in range(4):
        twin.lr = LR / 2**epoch
        if epoch == 2:
            twin.weight_decay = 0.25
        for x, y in batches(X, Y, 20):
            other.step(x, y, twin)
    np.testing.assert_array_equal(net.parameters, other.parameters)
    assert optimizer.weight_decay == 0.25


def test_copies_and_files_keep_it(tmp_path: Path) -> None:
    net, optimizer = bp.Network([5, 4, 2], seed=1), make("AdamW")
    net.fit(X, Y, optimizer=optimizer)
    found = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    for suffix in (".npz", ".safetensors"):
        if suffix == ".safetensors":
            pytest.importorskip("safetensors")
        net.save(tmp_path / f"net{suffix}", optimizer)
        found.append(bp.Optimizer.load(tmp_path / f"net{suffix}"))
    for each in found:
        assert each.weight_decay == FLAT
        assert repr(each) == repr(optimizer)
        mine, own = net.copy(), copy.deepcopy(optimizer)
        theirs = net.copy()
        mine.fit(X, Y, epochs=2, optimizer=own)
        theirs.fit(X, Y, epochs=2, optimizer=each)
        np.testing.assert_array_equal(mine.parameters, theirs.parameters)
    assert "weight_decay=schedules.FlatCos(lr=0.5, total_steps=8, warmup=0)" in repr(optimizer)
    with pytest.raises(ValueError, match="an optimizer whose weight_decay is a function"):
        net.save(tmp_path / "net.npz", make("AdamW", lambda step: 0.1))


def test_a_decay_that_is_no_decay_is_refused() -> None:
    net = bp.Network([5, 4, 2], seed=1)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match="weight_decay at step 0 must be a finite number >= 0"):
        net.fit(X, Y, optimizer=make("Adam", lambda step: -1.0))
    growing = schedules.Exponential(1.0, 1e10)  # infinite from step 31 on
    with pytest.raises(ValueError, match=r"weight_decay must give finite .* got inf at step 31"):
        net.fit(X, Y, epochs=40, batch_size=len(X), optimizer=make("Adam", growing))
    np.testing.assert_array_equal(net.parameters, before)
    optimizer = make("Adam")
    with pytest.raises(TypeError, match="weight_decay"):
        optimizer.weight_decay = "much"  # type: ignore[assignment]
    assert optimizer.weight_decay == FLAT


def test_the_doctor_takes_the_decay_of_the_next_step() -> None:
    net = bp.Network([5, 8, 2], activation="tanh", seed=0)
    found = [
        bp.gradient_flow(net, X, Y, optimizer=make("Adam", decay), verbose=False).findings
        for decay in (1e4, schedules.Constant(1e4), schedules.FlatCos(1e4, 9))
    ]
    values = [
        each.evidence["weight_decay"] for all_ in found for each in all_ if "penalty" in each.cause
    ]
    assert values == [1e4, 1e4, 1e4]
    lines = [" ".join(line for each in all_ for line in each.advice) for all_ in found]
    assert "weight_decay=" in lines[0]
    assert "weight_decay=" not in lines[1]
