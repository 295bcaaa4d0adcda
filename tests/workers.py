"""What tests have other processes do: functions of a module, which these can import."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import pybackprop as bp

RNG = np.random.default_rng(8)
N = 150
X = RNG.normal(size=(N, 4)) * [1.0, 10.0, 0.1, 1.0]
Y = np.tanh(X[:, :2])
LABELS = (X[:, 0] * X[:, 3] > 0).astype(int)


def absolute(a: Any, y: Any) -> Any:
    return np.abs(a - y).mean(1), np.sign(a - y) / a.shape[1]


# ---- whole calls, whose results have the same bits everywhere ----


def bits(networks: Any, optimizers: Any, history: bp.ManyHistory) -> list[Any]:
    """All that a fit leaves, but for the time it took."""
    found: list[Any] = [history.status.tolist(), history.epochs.tolist()]
    found += [history.best_epoch.tolist(), history.cost.tobytes()]
    found.append(None if history.val_cost is None else history.val_cost.tobytes())
    for net in networks:
        found += [net.parameters.tobytes(), net._net.get_counters()]
    for each in optimizers:
        vectors = each.state_dict()["state"].items()
        found.append([each.steps, [(name, vector.tobytes()) for name, vector in vectors]])
    return found


def fit_different(executor: Any) -> list[Any]:
    """Two fits of networks that differ in all they can; the second goes on from the first."""
    networks = [
        bp.Network([4, 6, 2], activation="tanh", loss=absolute, seed=1),
        bp.Network([4, 12, 5, 2], dtype="float64", dropout=0.2, seed=2),
        bp.Network([4, 2], l1=1e-3, seed=3),
        bp.Network([4, 30, 2], precision="bf16", seed=4),
        bp.Network([4, 6, 2], seed=5),
    ]
    networks[3].set_scaling(X.mean(0), 1 / X.std(0))
    optimizers = [
        bp.SGD(0.01, momentum=0.9),
        bp.Adam(bp.schedules.Cosine(0.01, 20)),
        bp.RMSprop(0.01),
        bp.AdamW(0.01),
        bp.SGD(1e30),
    ]
    rows = [None, np.arange(90), np.arange(N) % 3 > 0, None, np.arange(N - 1, 3, -1)]
    weights = np.random.default_rng(1).random((5, N))
    found = []
    for arguments in (
        {"rows": rows, "sample_weight": weights, "validation": 0.3, "patience": 2},
        {"validation_rows": rows, "shuffle": "shared", "sample_weight": weights[0]},
        {"validation": (X[:20], Y[:20]), "shuffle": False},
    ):
        history = bp.fit_many(
            networks,
            X,
            Y,
            optimizers=optimizers,
            epochs=[1, 2, 3, 4, 2],
            batch_size=[7, 9, 8, 20, 9],
            executor=executor,
            **arguments,
        )
        found.append(bits(networks, optimizers, history))
    return found


def fit_networks(executor: Any) -> list[Any]:
    nets = bp.Networks([4, 8, 2], n=7, output="softmax", loss="cross_entropy", seed=3)
    optimizers = bp.Adam.each(lr=np.logspace(-4, -1, 7))
    history = nets.fit(X, LABELS, optimizer=optimizers, epochs=4, executor=executor)
    return bits(nets._members, optimizers, history)


def cross_validate(executor: Any) -> list[Any]:
    net = bp.Network([4, 5, 2], output="softmax", loss="cross_entropy", seed=0, dropout=0.2)
    cv = bp.cross_validate(net, X, LABELS, folds=4, epochs=3, executor=executor)
    return [cv.costs.tobytes(), cv.outputs.tobytes(), cv.networks.parameters.tobytes()]


def search(executor: Any, **arguments: Any) -> list[Any]:
    space = {"lr": bp.tuning.log(1e-4, 1e33), "widths": [[4], [8, 8]], "batch_size": [16, 30]}
    given = {"max_epochs": 9, "optimizer": "sgd", "executor": executor, **arguments}
    found = bp.search(X, LABELS, space, **given)
    assert any(not np.isfinite(each.score) for each in found.candidates)
    assert found.network is not None
    candidates = [repr((each.settings, each.scores, each.std)) for each in found.candidates]
    return [candidates, found.epochs, found.network.parameters.tobytes()]


CALLS = (fit_different, fit_networks, cross_validate, search)


# ---- single pieces of work ----


def double(data: Any, part: Any) -> Any:
    return 2 * part


def where(data: Any, part: Any) -> tuple[int, int]:
    return os.getpid(), bp.get_threads()


def sum_of(data: Any, part: Any) -> tuple[float, bool]:
    """Return the sum of an array, and whether it can be written."""
    return float(data[part].sum()), bool(data[part].flags.writeable)


def fail(data: Any, part: int) -> None:
    """Fail in part 1, and note in a folder which parts have begun."""
    (Path(data) / str(part)).touch()
    time.sleep(0.05)
    if part == 1:
        raise ZeroDivisionError("one over nothing")


def fail_while_another_sleeps(data: Any, part: int) -> None:
    """Note in a folder when part 1 begins and ends; fail in part 0 between these."""
    begun = Path(data) / "begun"
    if part == 1:
        begun.touch()
        time.sleep(20)
        (Path(data) / "ended").touch()
    while not begun.exists():
        time.sleep(0.01)
    raise ArithmeticError("the first one")


def interrupt(data: Any, part: int) -> None:
    raise KeyboardInterrupt


def die_once(data: Any, part: int) -> int:
    """Kill the process in part 1, the first time."""
    note = Path(data) / "died"
    if part == 1 and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * part


def die(data: Any, part: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def meet(data: Any, part: int) -> int:
    """Return the number of threads once two pieces of work are being done in this process."""
    _barrier.wait(10)
    found = bp.get_threads()
    _barrier.wait(10)
    return found


_barrier = threading.Barrier(2)
