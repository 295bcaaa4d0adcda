"""What ends a fit from outside or from within: signals, callbacks, losses. Whole batches only."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import absolute, helpers_started, thread_limit

import pybackprop as bp
from pybackprop import losses
from pybackprop.exchange import npz
from pybackprop.training import checkpoints

RNG = np.random.default_rng(17)
X = RNG.normal(size=(600, 12))
Y = RNG.normal(size=(600, 3))
BATCH = 64
N_BATCHES = 10

# Hidden layers: training takes one thread; or two of them, where two may run, one for each half of
# a batch; or two that share every layer, of parameters too many to keep a gradient for each half.
ALONE, IN_PARTS, SHARED = (32,), (200, 200), (260, 260)
ALL = [ALONE, IN_PARTS, SHARED]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Let two threads train also where there are more processors, or one."""
    with thread_limit(2):
        yield


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Keep the garbage collector still: what its callbacks raise, hypothesis has one, is lost."""
    gc.collect()
    gc.disable()
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks
    gc.enable()


def make(loss: Any = "mse", hidden: tuple[int, ...] = ALONE) -> tuple[bp.Network, bp.Optimizer]:
    net = bp.Network([12, *hidden, 3], seed=5, dropout=0.1, loss=loss)
    return net, bp.Adam(bp.schedules.Cosine(0.01, 3000))


def fit(net: bp.Network, optimizer: bp.Optimizer, **arguments: Any) -> bp.History:
    settings = {"epochs": 10**5, "batch_size": BATCH, "validation": (X[:9], Y[:9]), **arguments}
    return net.fit(X, Y, optimizer=optimizer, **settings)


def state(net: bp.Network, optimizer: bp.Optimizer) -> tuple[int, ...]:
    vectors = optimizer.state_dict()["state"].values()
    return (zlib.crc32(net.parameters), *net._net.get_counters(), *checksums(vectors))


def checksums(vectors: Iterable[np.ndarray]) -> list[int]:
    """Vectors of zeros stand for none: before the first step an optimizer may have either."""
    return [zlib.crc32(vector) for vector in vectors if vector.any()]


def note(seen: dict[int, tuple[int, ...]], steps: int, state: tuple[int, ...]) -> None:
    """Of two states after as many steps, neither may hide the other."""
    assert seen.setdefault(steps, state) == state, steps


class Reached(Exception):
    """The reference run has gone far enough."""


class Raised(Exception):
    """What a callback or a loss raises."""


def compare_with_steps(
    seen: dict[int, tuple[int, ...]], loss: Any = "mse", hidden: tuple[int, ...] = ALONE
) -> None:
    """Each state that was seen is that of a run that nobody stopped, after as many batches."""
    net, optimizer = make(loss, hidden)
    last = max(seen)
    assert seen.get(0) in (None, state(net, optimizer))

    def write(self: Any, position: Any) -> None:
        if optimizer.steps in seen:
            assert state(net, optimizer) == seen[optimizer.steps], optimizer.steps
        if optimizer.steps == last:
            raise Reached

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "write", write)
        if last:
            with pytest.raises(Reached):
                fit(net, optimizer, checkpoint="unused", checkpoint_every="1 step")


def interrupter(seconds: float) -> threading.Thread:
    """Return a thread that, once started, sends this process an interrupt after a while."""

    def interrupt() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    return threading.Thread(target=interrupt)


def longest_wait(hidden: tuple[int, ...], **arguments: Any) -> float:
    """Return seconds in which a fit makes its first steps, but not many more than that."""
    return 0.03 if hidden == ALONE and not arguments else 0.1


def interrupt_often(times: int, loss: Any, hidden: tuple[int, ...], **arguments: Any) -> None:
    """Interrupt a fit at random moments: KeyboardInterrupt, and a network that can go on."""
    rng = random.Random(times)
    trained = 0
    seen: dict[int, tuple[int, ...]] = {}
    for _ in range(times):
        net, optimizer = make(loss, hidden)
        thread = interrupter(rng.uniform(0.0, longest_wait(hidden, **arguments)))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come anywhere
            thread.start()
            fit(net, optimizer, **arguments)
        thread.join()
        steps = optimizer.steps
        trained += steps > 0
        note(seen, steps, state(net, optimizer))
        assert net._net.get_counters() == (steps, steps // N_BATCHES)
        path = arguments.get("checkpoint")
        if path is not None and path.exists():
            kept = npz.load(path)
            assert kept.optimizer is not None
            assert kept.optimizer["step"] in (steps, steps - 1)
            vectors = checksums(kept.optimizer["state"].values())
            signature = zlib.crc32(kept.parameters), *kept.counters, *vectors
            note(seen, kept.optimizer["step"], signature)
            assert os.listdir(path.parent) == [path.name]
            path.unlink()
        net.step(X, Y, optimizer)
    print(f"{times} interrupts, {trained} after the first step, at {len(seen)} steps")
    assert trained > times / 4
    compare_with_steps(seen, loss, hidden)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs the threads of /proc")
def test_two_threads_train_the_larger_networks() -> None:
    """So what comes from outside or from within finds a helper at work."""
    for loss, hidden, helpers in [
        ("mse", ALONE, 0), (absolute, ALONE, 0),
        ("mse", IN_PARTS, 1), ("mse", SHARED, 1), (absolute, SHARED, 1),
    ]:  # fmt: skip
        net, optimizer = make(loss, hidden)
        train = partial(fit, net, optimizer, epochs=1, validation=None)
        assert helpers_started(train) == helpers, (loss, hidden)


CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "loss of the core": ("mse", ALONE),
    "loss of the user": (absolute, ALONE),
    "loss of the core, two threads": ("mse", IN_PARTS),
    "loss of the user, two threads": (absolute, SHARED),
}


# A signal between open() and its with block leaves a file to the interpreter, which closes it.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io\\.:pytest.PytestWarning")
@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("keep", [False, True], ids=["", "checkpoints"])
@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_interrupted_at_random(tmp_path: Path, case: str, keep: bool, times: int) -> None:
    more = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": "1 step"} if keep else {}
    interrupt_often(times, *CASES[case], **more)


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("hidden", [ALONE, SHARED], ids=str)
@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_interrupted_stream(times: int, hidden: tuple[int, ...]) -> None:
    """The same for batches that come one by one."""
    rng = random.Random(times)
    rows = [slice(begin, begin + BATCH) for begin in range(0, 600, BATCH)]
    trained = 0
    seen: dict[int, tuple[int, ...]] = {}
    for _ in range(times):
        net, optimizer = make(hidden=hidden)
        thread = interrupter(rng.uniform(0.0, longest_wait(hidden)))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come anywhere
            thread.start()
            net.fit_stream([(X[each], Y[each]) for each in rows], epochs=10**5, optimizer=optimizer)
        thread.join()
        trained += optimizer.steps > 0
        note(seen, optimizer.steps, state(net, optimizer))
    print(f"{times} interrupts, {trained} after the first step, at {len(seen)} steps")
    assert trained > times / 4
    net, optimizer = make(hidden=hidden)
    for steps in range(max(seen) + 1):
        if steps in seen:
            assert state(net, optimizer) == seen[steps]
        each = rows[steps % len(rows)]
        net.step(X[each], Y[each], optimizer)


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_tests_can_be_interrupted_as_a_background_job(tmp_path: Path) -> None:
    """A shell starts one with SIGINT ignored; a test that interrupts must not wait for the end."""
    for name in ("conftest.py", "chromium.py"):
        shutil.copy(Path(__file__).parent / name, tmp_path)
    (tmp_path / "test_signal.py").write_text(
        "import os, signal, subprocess, sys, time\n"
        "import pytest\n"
        "def test_interrupt():\n"
        "    with pytest.raises(KeyboardInterrupt):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "    code = 'import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)'\n"
        "    assert subprocess.check_output([sys.executable, '-c', code]).strip() == b'False'\n"
    )
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    command = [*ignoring, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout


def raise_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, which raises when it is called for the time `call`, from 0."""
    calls = 0

    def wrapped(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call + 1:
            raise Raised(f"call {call}")
        return function(*arguments)

    return wrapped


@pytest.mark.parametrize("hidden", [ALONE, SHARED], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_losses_that_raise(threads: int, hidden: tuple[int, ...]) -> None:
    """At any call: the exception reaches the caller, and the network is as after whole batches."""
    seen: dict[int, tuple[int, ...]] = {}
    with thread_limit(threads):
        for call in [*range(30), 100, 333]:
            net, optimizer = make(raise_at(call, absolute), hidden)
            with pytest.raises(Raised, match=f"call {call}"):
                fit(net, optimizer)
            note(seen, optimizer.steps, state(net, optimizer))
            assert np.isfinite(net.step(X, Y, optimizer))
    assert len(seen) > 20
    compare_with_steps(seen, absolute, hidden)


@pytest.mark.parametrize("hidden", ALL, ids=str)
def test_callbacks_that_raise(tmp_path: Path, hidden: tuple[int, ...]) -> None:
    """The last checkpoint is that of the epoch before."""
    seen: dict[int, tuple[int, ...]] = {}
    for call in range(12):
        path = tmp_path / f"{call}.npz"
        net, optimizer = make(hidden=hidden)
        with pytest.raises(Raised, match=f"call {call}"):
            fit(net, optimizer, callbacks=[id, raise_at(call, id)], checkpoint=path)
        assert optimizer.steps == N_BATCHES * (call + 1)
        note(seen, optimizer.steps, state(net, optimizer))
        assert path.exists() == (call > 0)
        if call:
            assert bp.Optimizer.load(path).steps == N_BATCHES * call
            resumed, state_of = make(hidden=hidden)
            fit(resumed, state_of, resume=path, epochs=call + 1)
            assert state(resumed, state_of) == state(net, optimizer)
        net.step(X, Y, optimizer)
    compare_with_steps(seen, hidden=hidden)


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError])
def test_any_exception_passes(error: type[BaseException]) -> None:
    def loss(a: Any, y: Any) -> Any:
        raise error

    net, optimizer = make(loss)
    with pytest.raises(error):
        fit(net, optimizer)
    assert optimizer.steps == 0


def test_exceptions_around_the_loss_function_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may be seen to before the loss is called, or after it has returned."""

    def call(*arguments: Any) -> int:
        raise Raised("outside")

    net, optimizer = make(absolute)
    monkeypatch.setattr(losses.UserLoss, "call", call)
    with pytest.raises(Raised, match="outside"):
        fit(net, optimizer)
    monkeypatch.undo()
    assert optimizer.steps == 0
    net.step(X, Y, optimizer)
