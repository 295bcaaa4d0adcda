"""Forks, workers, the end of the interpreter, and interpreters within it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import pybackprop as bp

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SETUP = """
    import hashlib, os, sys, threading, time
    import numpy as np
    import pybackprop as bp

    bp.set_threads(2)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((256, 40)), rng.standard_normal((256, 3))

    def make():
        return bp.Network([40, 120, 120, 3], seed=0)

    def train(net, epochs=1):
        net.fit(x, y, epochs=epochs, batch_size=128)
        return hashlib.sha256(net.parameters.tobytes() + net.predict(x).tobytes()).hexdigest()

    def ended_well(child):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def run(code: str, timeout: float = 300) -> str:
    """Run a script in an interpreter of its own that must end well and without a word of it."""
    script = textwrap.dedent(SETUP) + textwrap.dedent(code)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


# ---- fork ----


@needs_fork
def test_a_hundred_forks_after_training() -> None:
    """The pool is warm in the parent every time; the child starts one of its own."""
    out = run("""
        net = make()
        wanted = train(net), train(net)
        for number in range(100):
            net = make()
            assert train(net) == wanted[0]
            child = os.fork()
            if child == 0:
                os._exit(0 if train(net) == wanted[1] else 1)
            assert ended_well(child), number
        print("done")
    """)
    assert out == "done\n"


@needs_fork
def test_fork_while_another_thread_trains() -> None:
    """The child has all networks but the one that was in use, and says so."""
    out = run("""
        wanted = train(make())
        busy, started, stop = make(), threading.Event(), threading.Event()

        def is_over(_):
            started.set()
            return stop.is_set()

        def child_does():
            if train(make()) != wanted:
                return 1
            for call in (
                lambda: busy.predict(x),
                lambda: busy.predict(x.astype("f4")),
                lambda: busy.fit(x, y),
                lambda: busy.copy(),
            ):
                try:
                    call()
                except RuntimeError as error:
                    if "when the process forked" not in str(error):
                        return 2
                else:
                    return 3
            return 0

        thread = threading.Thread(
            target=lambda: busy.fit(x, y, epochs=10**6, callbacks=is_over)
        )
        thread.start()
        try:
            assert started.wait(100)
            for number in range(20):
                time.sleep(0.002)
                child = os.fork()
                if child == 0:
                    code = 4
                    try:
                        code = child_does()
                    finally:
                        os._exit(code)
                assert ended_well(child), number
        finally:
            stop.set()
            thread.join()
        assert train(make()) == wanted
        print("done")
    """)
    assert out == "done\n"


def digest(seed: int) -> tuple[bytes, int]:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((128, 70)), rng.standard_normal((128, 3))
    net = bp.Network([70, 260, 260, 3], seed=seed)
    net.fit(x, y, batch_size=64)
    return net.parameters.tobytes(), os.getpid()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_train_the_same_bits(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    wanted = [digest(seed)[0] for seed in range(4)]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(digest, range(4), timeout=100))
    assert [bits for bits, _ in found] == wanted
    assert os.getpid() not in {process for _, process in found}


# ---- the end of the interpreter ----


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("loss", ["mse", "own"])
def test_exit_while_another_thread_trains(daemon: bool, loss: str) -> None:
    """A thread is waited for; a daemon is left, in the core or in a loss of the user's."""
    code = f"""
        own = lambda a, y: (((a - y) ** 2).mean(1), 2 * (a - y) / a.shape[1])
        net = bp.Network([40, 120, 120, 3], seed=0, loss=own if "{loss}" == "own" else "{loss}")
        started = threading.Event()
        end = time.monotonic() + 0.4

        def enough(_):
            started.set()
            return not {daemon} and time.monotonic() > end

        threading.Thread(
            target=lambda: net.fit(x, y, epochs=10**9, callbacks=enough), daemon={daemon}
        ).start()
        started.wait()
        time.sleep(0.01 * ({daemon} + os.getpid() % 7))
    """
    for _ in range(2):
        run(code)


def test_sys_exit_and_unhandled_errors_while_daemons_train() -> None:
    code = textwrap.dedent(SETUP) + textwrap.dedent("""
        for seed in range(3):
            threading.Thread(
                target=lambda: make().fit(x, y, epochs=10**9), daemon=True
            ).start()
        time.sleep(0.1)
        sys.exit(7)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (7, "")


# ---- interpreters within the interpreter ----

INNER = """
import warnings
warnings.simplefilter("ignore")
try:
    import pybackprop
except ImportError as error:
    print("refused:", *str(error).split(), flush=True)
"""


@pytest.mark.parametrize("loaded", ["", "import numpy", "import pybackprop"])
def test_subinterpreters_are_refused(loaded: str) -> None:
    """By the package, before NumPy is loaded; what the main interpreter has loaded goes on."""
    code = f"""
        {loaded}
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        for _ in range(2):
            inner = interpreters.create()
            interpreters.run_string(inner, {INNER!r})
            interpreters.destroy(inner)
        if "{loaded}":
            import pybackprop as bp
            print(bp.Network([2, 1], seed=0, init="zeros").predict([[1.0, 2.0]]).tolist())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "No module named '_xxsubinterpreters'" in done.stderr:
        pytest.skip("no subinterpreters here")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    reason = "pybackprop does not support subinterpreters; use processes or threads"
    assert lines[:2] == 2 * [f"refused: {reason}"]
    assert lines[2:] == (["[[0.0]]"] if loaded else [])
