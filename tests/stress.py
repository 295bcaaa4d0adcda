"""Stress of networks and optimizers in use: random calls from callbacks, losses and threads.

    python tests/stress.py --minutes 10 [--seed N]

Each round trains a network while its callbacks, its loss or its learning rate and several threads
call random public methods on the network, the optimizer and what is shared with others. A call may
succeed, or be refused with a RuntimeError or ValueError; a crash, a hang, any other exception or a
vague message ends the program with status 1. Prints how often each call was admitted
and refused. It is made to run under AddressSanitizer or ThreadSanitizer; CONTRIBUTING.md says how.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import pickle
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop.schedules import Cosine, Exponential

THREADS = 3
Call = Callable[[], Any]
KINDS: tuple[Callable[..., bp.Optimizer], ...] = (
    lambda: bp.SGD(lr=0.01),
    lambda: bp.SGD(lr=0.01, momentum=0.9, nesterov=True),
    lambda: bp.Adam(lr=1e-3, clip_norm=1.0),
    lambda: bp.AdamW(lr=Exponential(1e-3, 0.999)),
    lambda: bp.RMSprop(lr=Cosine(1e-3, 100), momentum=0.5, centered=True),
    lambda: bp.Adagrad(lr=1e-2),
)
# Messages too vague to help a user.
VAGUE = ("documented range",)


class Round:
    """A network, an optimizer and data that everybody uses at once."""

    def __init__(self, seed: int, folder: Path, counts: Counter[str]) -> None:
        self.random = random.Random(seed)
        self.folder, self.counts = folder, counts
        self.wrong: list[str] = []
        self.over = threading.Event()
        rng = np.random.default_rng(seed)
        choose = self.random.choice
        self.widths = [choose([1, 3, 20]), choose([1, 8, 40, 300]), choose([5, 33]), choose([1, 4])]
        self.dtype = choose(["float32", "float64"])
        rows = choose([7, 64, 500])
        kind = np.dtype(choose(["float32", "float64"]))
        self.x = rng.standard_normal((rows, self.widths[0])).astype(kind)
        self.y = rng.standard_normal((rows, self.widths[-1])).astype(kind)
        self.own_loss = self.random.random() < 0.3
        self.net = self.make_net()
        self.optimizer = choose(KINDS)()
        self.other = bp.Network(self.widths, seed=seed, dtype=self.dtype)
        self.states = [self.state_of(self.widths, dtype) for dtype in ("float32", "float64")]
        self.states += [self.state_of([1, 2, 1], "float32"), self.optimizer.state_dict()]
        self.calls = {**self.calls_of_net(), **self.calls_of_optimizer(), **self.calls_of_others()}

    def make_net(self) -> bp.Network:
        choose = self.random.choice
        precision = choose(["float32", "bf16", "bf16x3"]) if self.dtype == "float32" else "float32"
        return bp.Network(
            self.widths,
            activation=choose(["relu", "tanh", "gelu"]),
            loss=self.loss if self.own_loss else choose(["mse", "huber"]),
            dropout=choose([0.0, 0.3]),
            dtype=self.dtype,
            precision=precision,
            seed=self.random.randrange(100),
        )

    def state_of(self, widths: list[int], dtype: str) -> Any:
        """Return the state of an optimizer of the same kind for another network."""
        optimizer = type(self.optimizer)()
        net = bp.Network(widths, dtype=dtype, seed=0)
        net.step(np.ones((3, widths[0])), np.ones((3, widths[-1])), optimizer)
        return optimizer.state_dict()

    def loss(self, a: Any, y: Any) -> tuple[Any, Any]:
        if self.random.random() < 0.05:
            self.attempt("loss")
        return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]

    # ---- the calls ----

    def calls_of_net(self) -> dict[str, Call]:
        net, x, y = self.net, self.x, self.y
        v = np.ones(net.n_parameters)
        values = np.full(net.n_parameters, 0.01)
        w, b = np.array(net.weights[0]), np.array(net.biases[0])
        return {
            "predict": lambda: net.predict(x),
            "predict own type": lambda: net.predict(x.astype(net.dtype)),
            "predict one row": lambda: net.predict(x[:1].astype(net.dtype)),
            "cost": lambda: net.cost(x, y),
            "backprop": lambda: net.backprop(x, y),
            "trace": lambda: net.trace(x, y),
            "jacobian": lambda: net.jacobian(x[:5]),
            "laplacian": lambda: net.laplacian(x[:5]),
            "hvp": lambda: net.hvp(x, y, v),
            "per_sample_gradient_norms": lambda: net.per_sample_gradient_norms(x, y),
            "dropout_masks": lambda: net.dropout_masks(9),
            # Entries of these views may change while they are read, as documented: a race that
            # ThreadSanitizer would report.
            "parameters": lambda: (net.parameters, net.weights[0].T, net.biases, repr(net)),
            "parameters = ": lambda: setattr(net, "parameters", values),
            "set_layer": lambda: net.set_layer(0, w, b),
            "set_scaling": lambda: net.set_scaling(np.zeros(x.shape[1]), np.ones(x.shape[1])),
            "set_scaling None": lambda: net.set_scaling(None, None),
            "scaling": lambda: net.scaling,
            "metadata": lambda: setattr(net, "metadata", {"a": [1, 2]}),
            "copy": lambda: net.copy().predict(x),
            "pickle": lambda: pickle.loads(pickle.dumps(net)) if not self.own_loss else None,
            "save": lambda: net.save(self.file(), self.optimizer) if not self.own_loss else None,
            "step": lambda: net.step(x, y, self.optimizer),
            "step own type": lambda: net.step(
                x.astype(net.dtype), y.astype(net.dtype), self.optimizer
            ),
            "fit": lambda: net.fit(x, y, epochs=2, optimizer=self.optimizer, batch_size=16),
            "fit_stream": lambda: net.fit_stream([(x, y)], optimizer=self.optimizer),
        }

    def calls_of_optimizer(self) -> dict[str, Call]:
        o, choose = self.optimizer, self.random.choice
        w = np.zeros(self.net.n_parameters, self.net.dtype)

        def settings() -> None:
            for name in ("momentum", "centered", "eps", "weight_decay", "alpha"):
                if hasattr(o, name):
                    setattr(o, name, choose([0.0, 0.5, 0.9]) if name != "centered" else True)
            if isinstance(o, bp.Adam):
                o.betas = choose([(0.9, 0.999), (0.5, 0.9)])

        return {
            "lr = number": lambda: setattr(o, "lr", 1e-3),
            "lr = schedule": lambda: setattr(o, "lr", Exponential(1e-3, 0.99)),
            "lr = function": lambda: setattr(o, "lr", lambda step: self.rate(step)),
            "decay = schedule": lambda: setattr(o, "weight_decay", Exponential(0.1, 0.99)),
            "clip_norm": lambda: setattr(o, "clip_norm", choose([None, 0.1])),
            "settings": settings,
            "read": lambda: (o.lr, o.steps, repr(o), o.clip_norm),
            "state_dict": o.state_dict,
            "load_state_dict": lambda: o.load_state_dict(choose(self.states)),
            "copy optimizer": lambda: copy.deepcopy(o),
            "reset": o.reset,
            "update": lambda: o.update(w.copy(), np.ones_like(w)),
            "update others": lambda: o.update(np.zeros(3, np.float32), np.ones(3, np.float32)),
        }

    def calls_of_others(self) -> dict[str, Call]:
        other, x, y = self.other, self.x, self.y
        return {
            "other.step": lambda: other.step(x, y, self.optimizer),
            "other.fit": lambda: other.fit(x, y, optimizer=self.optimizer, batch_size=16),
            "other.predict": lambda: other.predict(x),
            "set_threads": lambda: bp.set_threads(self.random.choice([1, 2, 3])),
            "matmul": lambda: bp.kernels.matmul(x.T, x),
            "collect": lambda: [np.empty(1000) for _ in range(50)],
        }

    def file(self) -> Path:
        return self.folder / f"{threading.get_ident()}.npz"

    def rate(self, step: int) -> float:
        if self.random.random() < 0.02:
            self.attempt("rate")
        return 1e-3

    def attempt(self, where: str) -> None:
        """Make one call."""
        name = self.random.choice(list(self.calls))
        try:
            self.calls[name]()
            outcome = "ok"
        except FloatingPointError:
            outcome = "not finite"
        except (RuntimeError, ValueError, TypeError) as error:
            outcome = "refused"
            if any(text in str(error) for text in VAGUE) or isinstance(error, TypeError):
                self.wrong.append(f"{where}: {name}: {traceback.format_exc()}")
        except BaseException:
            outcome = "wrong"
            self.wrong.append(f"{where}: {name}: {traceback.format_exc()}")
        self.counts[f"{where}, {outcome}"] += 1
        self.counts[f"{name}: {outcome}"] += 1

    # ---- the round ----

    def beside(self) -> None:
        while not self.over.is_set():
            self.attempt("thread")
            time.sleep(1e-3 * self.random.random())  # so that trainings find a gap to begin in

    def train(self) -> None:
        """Use the objects in this thread, in one of the long calls."""
        callback = self.callback
        if self.random.random() < 0.25:
            pairs = [(self.x[i : i + 16], self.y[i : i + 16]) for i in range(0, len(self.x), 16)]

            def batches() -> Any:
                for pair in pairs:
                    self.attempt("generator")
                    yield pair

            self.net.fit_stream(batches, epochs=3, optimizer=self.optimizer, callbacks=callback)
            return
        self.net.fit(
            self.x,
            self.y,
            epochs=6,
            batch_size=self.random.choice([3, 32, 500]),
            optimizer=self.optimizer,
            callbacks=callback,
            validation=self.random.choice([None, (self.x, self.y)]),
        )

    def callback(self, event: Any) -> None:
        for _ in range(3):
            self.attempt("callback")

    def run(self) -> None:
        threads = [threading.Thread(target=self.beside) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                try:
                    self.train()
                    self.counts["trainings"] += 1
                except (RuntimeError, ValueError, FloatingPointError) as error:
                    self.counts["trainings refused or not finite"] += 1
                    if any(text in str(error) for text in VAGUE):
                        self.wrong.append(traceback.format_exc())
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description="Random calls on objects in use.")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first round")
    options = parser.parse_args()
    # The interleaving of threads is not repeatable; calls and sizes of a round are nearly so.
    seed = int(time.time()) if options.seed is None else options.seed
    stop = time.monotonic() + 60 * options.minutes
    np.seterr(all="ignore")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < stop:
            faulthandler.dump_traceback_later(300, exit=True)  # a round that hangs
            one = Round(seed, Path(folder), counts)
            one.run()
            if one.wrong:
                print(f"seed {seed}:", *one.wrong[:5], sep="\n")
                return 1
            seed += 1
            counts["rounds"] += 1
    faulthandler.cancel_dump_traceback_later()
    for name, count in sorted(counts.items()):
        print(f"{count:9,}  {name}")
    print(f"{counts['rounds']} rounds, no call was wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
