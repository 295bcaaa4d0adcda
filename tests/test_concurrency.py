"""Every call of docs/concurrency.md, in each of the places that the page names."""

from __future__ import annotations

import copy
import functools
import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.schedules import Exponential

PAGE = Path(__file__).parent.parent / "docs" / "concurrency.md"
PLACES = ("in a callback", "in a loss", "beside a fit", "beside a call")
WIDTHS = (5, 7, 3)
RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 3))


class Subjects:
    """A network and an optimizer in use, and what the calls of the page name beside them."""

    def __init__(self, folder: Path, loss: Any = "mse", *, adam: bool = False) -> None:
        self.net = bp.Network(WIDTHS, loss=loss, seed=1)
        self.opt: Any = bp.Adam(lr=0.01) if adam else bp.SGD(lr=0.01, momentum=0.9)
        self.names: dict[str, Any] = {
            "net": self.net,
            "opt": self.opt,
            "adam": self.opt,
            "other_net": bp.Network(WIDTHS, seed=2),
            "other_opt": bp.SGD(lr=0.01),
            "X": X,
            "y": Y,
            "v": RNG.standard_normal((40, 3)),
            "u": RNG.standard_normal((40, 5)),
            "w": np.zeros(self.net.n_parameters, np.float32),
            "g": np.ones(self.net.n_parameters, np.float32),
            "W": np.ones((7, 5)),
            "b": np.ones(7),
            "shift": np.zeros(5),
            "scale": np.ones(5),
            "schedule": Exponential(0.1, 0.9),
            "fitting": state(WIDTHS, "float32"),
            "smaller": state((1, 1), "float32"),
            "other_type": state(WIDTHS, "float64"),
            **{f"{kind}_path": str(folder / f"net.{kind}") for kind in ("c", "onnx")},
            "model_path": str(folder / "net.npz"),
            "bp": bp,
            "copy": copy,
            "pickle": pickle,
        }


@functools.cache
def state(widths: Any, dtype: str) -> dict[str, Any]:
    net, optimizer = bp.Network(list(widths), dtype=dtype, seed=0), bp.SGD(lr=0.01, momentum=0.9)
    net.step(np.ones((4, widths[0])), np.ones((4, widths[-1])), optimizer)
    return optimizer.state_dict()


def rows() -> list[tuple[str, dict[str, str]]]:
    """Each call of the page's table, with what the page says of it for every place."""
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        calls, *outcomes = (cell.strip() for cell in line.strip("|").split(" | "))
        assert len(outcomes) == len(PLACES), line
        said = dict(zip(PLACES, outcomes, strict=True))
        found += [(call, said) for call in re.findall("`([^`]+)`", calls)]
    return found


class Attempt:
    """One call made at the first chance, and what came of it."""

    def __init__(self, call: str, names: dict[str, Any]) -> None:
        self.call, self.names = call, names
        self.done = False
        self.error: BaseException | None = None

    def __call__(self) -> None:
        if self.done:
            return
        self.done = True
        try:
            exec(self.call, dict(self.names))
        except Exception as error:
            self.error = error

    def in_a_thread(self) -> None:
        thread = threading.Thread(target=self)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), f"{self.call} hangs"

    def check(self, outcome: str) -> None:
        assert self.done
        if isinstance(self.error, ModuleNotFoundError):
            pytest.skip(str(self.error))
        if outcome == "ok":
            assert self.error is None, repr(self.error)
        elif outcome == "refused":
            assert type(self.error) is RuntimeError, repr(self.error)
            assert "in use in another call" in str(self.error)
        else:
            assert type(self.error).__name__ == outcome, repr(self.error)
            assert "documented range" not in str(self.error)


def train(subjects: Subjects, callback: Callable[[Any], Any] = lambda event: None) -> None:
    subjects.net.fit(X, Y, epochs=3, batch_size=16, optimizer=subjects.opt, callbacks=callback)


def squares(a: Any, y: Any) -> tuple[Any, Any]:
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def in_a_callback(call: str, folder: Path) -> tuple[Attempt, Subjects]:
    subjects = Subjects(folder, adam="adam" in call)
    attempt = Attempt(call, subjects.names)
    train(subjects, lambda event: attempt())
    return attempt, subjects


def in_a_loss(call: str, folder: Path) -> tuple[Attempt, Subjects]:
    attempt: Attempt

    def loss(a: Any, y: Any) -> tuple[Any, Any]:
        attempt()
        return squares(a, y)

    subjects = Subjects(folder, loss, adam="adam" in call)
    attempt = Attempt(call, subjects.names)
    train(subjects)
    return attempt, subjects


def beside_a_fit(call: str, folder: Path) -> tuple[Attempt, Subjects]:
    subjects = Subjects(folder, adam="adam" in call)
    attempt = Attempt(call, subjects.names)
    train(subjects, lambda event: attempt.in_a_thread())
    return attempt, subjects


def beside_a_call(call: str, folder: Path) -> tuple[Attempt, Subjects]:
    """While a step waits in its loss, or in its learning rate where a loss must be built in.

    In the core, all calls have one guard.
    """
    attempt: Attempt
    built_in = call.startswith(("net.hvp", "net.gauss_newton_product", "net.save"))

    def loss(a: Any, y: Any) -> tuple[Any, Any]:
        attempt.in_a_thread()
        return squares(a, y)

    def rate(step: int) -> float:
        if built_in:
            attempt.in_a_thread()
        return 0.01

    subjects = Subjects(folder, "mse" if built_in else loss, adam="adam" in call)
    attempt = Attempt(call, subjects.names)
    subjects.opt.lr = rate
    subjects.net.step(X, Y, subjects.opt)
    train(subjects)
    return attempt, subjects


@functools.cache
def undisturbed(loss: Any, steps: int, adam: bool) -> bytes:
    """The parameters after the same training without a call."""
    subjects = Subjects(Path(), loss, adam=adam)
    for _ in range(steps):
        subjects.net.step(X, Y, subjects.opt)
    train(subjects)
    return subjects.net.parameters.tobytes()


MAKERS = dict(
    zip(PLACES, (in_a_callback, in_a_loss, beside_a_fit, beside_a_call), strict=True),
)


@pytest.fixture
def same_limit_of_threads() -> Any:
    before = bp.get_threads()
    yield
    bp.set_threads(before)


def test_the_page_has_a_table() -> None:
    if not PAGE.is_file():
        pytest.skip("docs are not beside the tests")
    assert len(rows()) > 40


@pytest.mark.usefixtures("same_limit_of_threads")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("call", "said"), rows() if PAGE.is_file() else [])
def test_every_call_does_what_the_page_says(
    call: str, said: dict[str, str], place: str, tmp_path: Path
) -> None:
    attempt, subjects = MAKERS[place](call, tmp_path)
    attempt.check(said[place])
    if attempt.error is not None:
        loss = subjects.net.loss if isinstance(subjects.net.loss, str) else squares
        wanted = undisturbed(loss, 1 if place == "beside a call" else 0, "adam" in call)
        assert subjects.net.parameters.tobytes() == wanted, "the call left a trace"


# ---- changes in callbacks, and what the core refuses ----


def test_a_state_of_a_smaller_network_is_refused_and_the_fit_goes_on(tmp_path: Path) -> None:
    net, optimizer = bp.Network([200, 300, 300, 1], seed=0), bp.Adam()
    small = bp.Adam()
    bp.Network([1, 1]).step(np.ones((4, 1)), np.ones((4, 1)), small)
    refused = []

    def callback(event: Any) -> None:
        with pytest.raises(ValueError, match=r"state holds vectors for 2 parameters of float32"):
            optimizer.load_state_dict(small.state_dict())
        refused.append(event.epoch)

    x = np.zeros((256, 200), np.float32)
    net.fit(x, np.zeros((256, 1), np.float32), epochs=3, optimizer=optimizer, callbacks=callback)
    assert refused == [0, 1, 2]
    assert optimizer.steps == 3 * 8


def test_an_update_of_others_is_refused_before_it_binds_the_optimizer(tmp_path: Path) -> None:
    subjects = Subjects(tmp_path)
    optimizer = subjects.opt

    def callback(event: Any) -> None:
        if event.epoch == 0:
            optimizer.reset()
        with pytest.raises(RuntimeError, match="a fit with this optimizer is in progress"):
            optimizer.update(np.zeros(3, np.float32), np.ones(3, np.float32))

    train(subjects, callback)
    assert optimizer.state_dict()["state"]["momentum_buffer"].size == subjects.net.n_parameters


@pytest.mark.parametrize("kind", [bp.SGD, bp.Adam, bp.RMSprop])
def test_reset_in_a_callback_is_reset_between_two_fits(kind: Any) -> None:
    nets = [bp.Network(list(WIDTHS), seed=1) for _ in range(2)]
    optimizers = [kind(lr=Exponential(0.01, 0.9)) for _ in range(2)]

    def callback(event: Any) -> None:
        if event.epoch == 0:
            optimizers[0].reset()

    for net, optimizer in zip(nets, optimizers, strict=True):
        net.fit(X, Y, batch_size=16, optimizer=optimizer)  # so that rates begin after step 0
    nets[0].fit(X, Y, epochs=3, batch_size=16, optimizer=optimizers[0], callbacks=callback)
    nets[1].fit(X, Y, epochs=1, batch_size=16, optimizer=optimizers[1])
    optimizers[1].reset()
    nets[1].fit(X, Y, epochs=2, batch_size=16, optimizer=optimizers[1])
    assert [each.steps for each in optimizers] == [6, 6]
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


@pytest.mark.parametrize("lr", [0.01, Exponential(0.01, 0.9)])
def test_a_reset_during_validation_leaves_the_rate_that_callbacks_see(lr: Any) -> None:
    optimizer = bp.SGD(lr)
    rates = []

    def loss(a: Any, y: Any) -> tuple[Any, Any]:
        if len(a) == 3:  # the held-out rows
            optimizer.reset()
            optimizer.lr = lr
        return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]

    net = bp.Network(list(WIDTHS), loss=loss, seed=1)
    net.fit(X, Y, epochs=9, batch_size=len(X), optimizer=optimizer)  # so that rates begin later
    net.fit(
        X,
        Y,
        epochs=2,
        batch_size=len(X),
        optimizer=optimizer,
        validation=(X[:3], Y[:3]),
        callbacks=lambda event: rates.append(event.lr),
    )
    first = lr(9) if callable(lr) else lr
    assert rates == [first, lr(0) if callable(lr) else lr]


def test_a_state_taken_back_in_a_callback_counts_its_steps_again(tmp_path: Path) -> None:
    subjects = Subjects(tmp_path)
    kept: list[Any] = []

    def callback(event: Any) -> None:
        kept.append(subjects.opt.state_dict())
        if event.epoch == 1:
            subjects.opt.load_state_dict(kept[0])

    train(subjects, callback)
    assert [each["step"] for each in kept] == [3, 6, 6]
    assert subjects.opt.steps == 6


@pytest.mark.parametrize("field", ["n", "dtype"])
def test_the_core_refuses_vectors_of_other_parameters(field: str, tmp_path: Path) -> None:
    """Whatever Python did wrong, the core would not read or write beyond them."""
    subjects = Subjects(tmp_path)
    net, optimizer = subjects.net, subjects.opt
    net.step(X, Y, optimizer)
    before = net.parameters.copy()
    setattr(optimizer._state.struct, field, getattr(optimizer._state.struct, field) + 1)
    for call in (
        lambda: net.step(X, Y, optimizer),
        lambda: net.fit(X, Y, optimizer=optimizer),
        lambda: optimizer.update(before.copy(), before),
    ):
        with pytest.raises(ValueError, match="documented range"):
            call()
    np.testing.assert_array_equal(net.parameters, before)


def test_fit_stream_holds_nothing_between_batches(tmp_path: Path) -> None:
    calls = [call for call, said in rows() if said["in a callback"] in ("ok", "refused")]
    subjects = Subjects(tmp_path)
    attempts = [Attempt(call, subjects.names) for call in calls]
    waiting = iter(attempts)

    def batches() -> Any:
        for _ in range(len(attempts) // 2):
            next(waiting).in_a_thread()
            yield X[:16], Y[:16]

    def callback(event: Any) -> None:
        for attempt in waiting:
            attempt()

    subjects.net.fit_stream(batches, optimizer=subjects.opt, callbacks=callback)
    for attempt in attempts:
        try:
            attempt.check("ok")
        except pytest.skip.Exception:
            continue


def test_no_row_changes_hands_within_a_call_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long predict or cost is many calls of the core, and one call for everybody else."""
    refused: list[str] = []
    net = bp.Network(list(WIDTHS), loss=lambda a, y: attempt(a, y), seed=1)
    net._net.call_rows = 16

    def attempt(a: Any, y: Any) -> Any:
        for call in (lambda: setattr(net, "parameters", np.zeros(net.n_parameters)), net.copy):
            thread = threading.Thread(target=try_once, args=(call,))
            thread.start()
            thread.join(60)
        return squares(a, y)

    def try_once(call: Callable[[], Any]) -> None:
        try:
            call()
        except RuntimeError as error:
            refused.append(str(error))

    before = net.parameters.copy()
    net.cost(X, Y)
    assert len(refused) == 2 * 3
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
def test_assigning_to_the_shape_of_weights_in_use_changes_nothing() -> None:
    """The core would read beyond their end."""
    weights = np.linspace(0.5, 1.5, 40)
    shapes = iter([(10, 4), (40,)] * 20)

    def loss(a: Any, y: Any) -> Any:
        weights.shape = next(shapes)
        return squares(a, y)

    net = bp.Network(list(WIDTHS), loss=loss, seed=1)
    net._net.call_rows = 10
    cost = net.cost(X, Y, weights)
    weights.shape = (40,)
    plain = bp.Network(list(WIDTHS), loss=squares, seed=1)
    assert cost == pytest.approx(plain.cost(X, Y, weights), rel=1e-6)


# ---- changes that end half way, and optimizers of a user's own ----


def test_a_setting_whose_vector_cannot_be_given_to_the_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a signal comes in between: the next try begins anew."""
    from pybackprop._core import optimizer as core

    net, optimizer = bp.Network(list(WIDTHS), seed=1), bp.SGD(lr=0.01)
    net.step(X, Y, optimizer)

    def interrupted(vector: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(core, "pointer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimizer.momentum = 0.9
    assert optimizer.momentum == 0.0
    optimizer.momentum = 0.9
    net.step(X, Y, optimizer)
    assert optimizer.steps == 2


def test_an_optimizer_that_came_to_no_update_may_serve_others() -> None:
    optimizer = bp.SGD(lr=lambda step: -1.0, momentum=0.9)
    with pytest.raises(ValueError, match="lr at step 0"):
        bp.Network(list(WIDTHS), seed=1).step(X, Y, optimizer)
    optimizer.lr = 0.1
    bp.Network([5, 3], seed=1).step(X, Y, optimizer)


class Noted(bp.Adam):
    """An optimizer with a constructor and an attribute of its own."""

    def __init__(self, rate: float = 1e-3) -> None:
        super().__init__(lr=rate)
        self.notes: list[str] = []


def test_subclasses_are_copied_pickled_and_loaded() -> None:
    optimizer = Noted(0.05)
    optimizer.notes.append("first")
    net = bp.Network(list(WIDTHS), seed=1)
    net.step(X, Y, optimizer)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert type(twin) is Noted
        assert (twin.lr, twin.steps, twin.notes) == (0.05, 1, ["first"])
    state = optimizer.state_dict()
    net.step(X, Y, optimizer)
    optimizer.notes.append("second")
    optimizer.load_state_dict(state)
    assert (optimizer.steps, optimizer.notes) == (1, ["first", "second"])


def test_pickles_name_the_package() -> None:
    text = pickle.dumps(bp.Adam(), protocol=0).decode("latin-1")
    assert "pybackprop.optimizers\n" in text
    assert "pybackprop.optimizers." not in text
