"""The engine of the page in a real browser: it learns as the C core does, step by step."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from chromium import Chromium, needs_browser

import pybackprop as bp
from pybackprop._core import ACTIVATIONS, random_permutation
from pybackprop.kernels import activation, activation_derivative

pytestmark = needs_browser

FILES = ("activations", "losses", "network", "optimizers", "random")
HIDDEN = [name for name in ACTIVATIONS if name != "softmax"]
LOSSES = ["mse", "squared_error", "mae", "huber"]
OPTIMIZERS: list[tuple[type[bp.Optimizer], dict[str, Any]]] = [
    (bp.SGD, {"lr": 0.02}),
    (bp.SGD, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}),
    (bp.SGD, {"lr": 0.01, "momentum": 0.8, "nesterov": True}),
    (bp.Adam, {"lr": 0.003, "betas": (0.8, 0.99), "weight_decay": 0.01}),
    (bp.AdamW, {"lr": 0.003, "weight_decay": 0.02}),
    # With a tiny eps, gradients that nearly cancel take whole steps, in a direction that rounding
    # decides.
    (bp.RMSprop, {"lr": 0.003, "alpha": 0.9, "weight_decay": 0.02, "eps": 0.01}),
    (bp.Adagrad, {"lr": 0.02, "lr_decay": 0.01, "weight_decay": 0.02, "eps": 0.01}),
]
STEPS, BATCH = 400, 4
TOLERANCE = 1e-12
# Near the kink of a loss, or at a rate that is too high for it, rounding decides where a training
# goes. The core itself tells: where it ends up from starts that differ in the last bits.
NEAR_STARTS, MOST_MOVED, DATA_SETS = 4, TOLERANCE / 20, 8


@pytest.fixture(scope="module")
def browser(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    folder = files("pybackprop.view") / "engine"
    scripts = "\n".join((folder / f"{name}.js").read_text("utf-8") for name in FILES)
    page = tmp_path_factory.mktemp("page") / "engine.html"
    page.write_text(f'<meta charset="utf-8"><script>{scripts}{RUN}</script>', "utf-8")
    chromium.open(page.as_uri())
    yield chromium
    assert chromium.complaints() == []


# Each case is trained on batches of its rows, in order and round about.
RUN = """
function train({ net, optimizer, settings, start, x, y, steps, batch }) {
  const engine = new Engine(net), update = OPTIMIZERS[optimizer](settings, engine.size);
  const wide = net.widths[0], high = net.widths.at(-1);
  engine.parameters.set(start);
  for (let step = 0; step < steps; step++) {
    const row = step * batch % (x.length / wide);
    const part = (values, width) => values.slice(row * width, (row + batch) * width);
    const [rows, targets] = [part(x, wide), part(y, high)].map((each) => Float64Array.from(each));
    engine.backprop(rows, targets, batch);
    update(engine.parameters, engine.gradient);
  }
  const cost = engine.backprop(Float64Array.from(x), Float64Array.from(y), x.length / wide);
  return { parameters: [...engine.parameters], gradient: [...engine.gradient], cost };
}
"""


def pairs() -> Iterator[dict[str, Any]]:
    """Every activation with every loss that admits it, in the hidden layers and at the output."""
    for hidden, loss in itertools.product(HIDDEN, LOSSES):
        yield {"activation": hidden, "loss": loss}
    for output, loss in itertools.product([*HIDDEN, "softmax"], LOSSES):
        yield {"activation": "tanh", "output": output, "loss": loss}
    for hidden in HIDDEN:
        yield {"activation": hidden, "output": "softmax", "loss": "cross_entropy"}
        yield {"activation": hidden, "output": "sigmoid", "loss": "binary_cross_entropy"}


@dataclass(frozen=True)
class Case:
    """A combination with data on which rounding does not decide, and where the core ends up."""

    net: bp.Network
    about: dict[str, Any]
    data: int
    end: Any


def make_cases() -> Iterator[Case]:
    for settings, (kind, options) in itertools.product(pairs(), OPTIMIZERS):
        yield next(settled(settings, kind, options))


def settled(settings: dict[str, Any], kind: Any, options: dict[str, Any]) -> Iterator[Case]:
    """Yield the combination with each of the data sets that one can compare the engine on."""
    for data in range(DATA_SETS):
        net = bp.Network([3, 5, 4, 2], dtype="float64", l1=1e-3, l2=1e-2, seed=3, **settings)
        rng = np.random.default_rng(data)
        x, y = rng.standard_normal((12, 3)), rng.standard_normal((12, 2))
        if "entropy" in net.loss:
            share = 1 / (1 + np.exp(-y[:, :1]))
            y = np.hstack([share, 1 - share])
        start = net.parameters.copy()
        end = trained(net, kind(**options), start, x, y)
        last_bits = rng.choice([-1, 1], (NEAR_STARTS, len(start))) * 2.0**-52
        near = [trained(net, kind(**options), start * (1 + bits), x, y) for bits in last_bits]
        if all(distance(other, end) <= MOST_MOVED for other in near):
            net.parameters = start
            yield Case(net, describe(net, kind, options, x, y), data, end)


def trained(net: bp.Network, optimizer: bp.Optimizer, start: Any, x: Any, y: Any) -> Any:
    """Return the parameters after all steps of the core on batches in order and round about."""
    net.parameters = start
    for step in range(STEPS):
        rows = slice(step * BATCH % len(x), step * BATCH % len(x) + BATCH)
        net.step(x[rows], y[rows], optimizer)
    return net.parameters.copy()


def describe(net: bp.Network, kind: Any, options: Any, x: Any, y: Any) -> dict[str, Any]:
    about = {"widths": net.widths, "activations": net.activations, "loss": net.loss}
    return {
        "net": {**about, "l1": net.l1, "l2": net.l2},
        "optimizer": kind.name,
        "settings": options,
        "start": net.parameters.tolist(),
        "x": x.ravel().tolist(),
        "y": y.ravel().tolist(),
        "steps": STEPS,
        "batch": BATCH,
    }


def distance(got: Any, wanted: Any) -> float:
    """Return the largest difference, relative to the largest number."""
    return float(np.abs(np.subtract(got, wanted)).max() / np.abs(wanted).max())


def test_400_steps_are_those_of_the_core(browser: Chromium) -> None:
    cases = list(make_cases())
    assert len(cases) == (2 * 11 * 4 + 4 + 2 * 11) * len(OPTIMIZERS)
    first = sum(case.data == 0 for case in cases)
    assert first > 0.95 * len(cases), "rounding decides more often than it should"
    got = browser.evaluate(f"{json.dumps([case.about for case in cases])}.map(train)")
    for case, found in zip(cases, got, strict=True):
        net = case.net
        x, y = np.reshape(case.about["x"], (-1, 3)), np.reshape(case.about["y"], (-1, 2))
        assert distance(case.end, net.parameters) > 1e-2, "it has learnt nothing"
        name = f"{net}, {case.about['optimizer']} {case.about['settings']}"
        assert distance(found["parameters"], case.end) <= TOLERANCE, name
        # Cost and gradient of both, from the very same parameters.
        net.parameters = np.array(found["parameters"])
        wanted = net.backprop(x, y)
        assert found["cost"] == pytest.approx(wanted.cost, rel=1e-13)
        assert distance(found["gradient"], wanted.flat) <= TOLERANCE, name


def test_activations_are_those_of_the_core_far_out_too(browser: Chromium) -> None:
    z = np.concatenate([np.linspace(-8, 8, 801), [-700.0, -38.0, -30.0, -12.0, 30.0, 700.0]])
    for name in HIDDEN:
        code = f"{json.dumps(z.tolist())}.map(z => ACTIVATIONS.{name}.value(z))"
        slopes = (
            f"{json.dumps(z.tolist())}.map(z => "
            f"ACTIVATIONS.{name}.slope(z, ACTIVATIONS.{name}.value(z)))"
        )
        np.testing.assert_allclose(
            browser.evaluate(code), activation(name, z), rtol=5e-14, atol=1e-300
        )
        # What is left of tanh' beside 1 - a, where a rounds to 1, is below what a step can see.
        np.testing.assert_allclose(
            browser.evaluate(slopes), activation_derivative(name, z), rtol=5e-13, atol=2e-16
        )


def test_weights_and_order_of_a_seed_are_those_of_the_package(browser: Chromium) -> None:
    for seed, init in [(0, "auto"), (7, "he"), (2**40 + 3, "lecun"), (1, "glorot"), (1, "zeros")]:
        net = bp.Network([5, 7, 3], activation="gelu", init=init, dtype="float64", seed=seed)
        about = json.dumps({"widths": net.widths, "activations": net.activations, "loss": "mse"})
        code = (
            f"(() => {{ const engine = new Engine({about});"
            f" initialize(engine, {init!r}, {seed}); return [...engine.parameters]; }})()"
        )
        np.testing.assert_allclose(browser.evaluate(code), net.parameters, rtol=1e-15)
    for seed, epoch, count in [(0, 0, 256), (3, 5, 17), (2**33 + 1, 2, 100), (1, 1, 1)]:
        got = browser.evaluate(f"[...shuffled({seed}, {epoch}, {count})]")
        assert got == random_permutation(seed, epoch, count).tolist()
