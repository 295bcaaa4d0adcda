"""What is accepted as input, and how the rest is refused: by name, and with nothing changed."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 3))
Y = RNG.normal(size=(6, 2))
LABELS = np.array([0, 1, 1, 0, 1, 0])


def regressor(**settings: Any) -> bp.Network:
    return bp.Network([3, 4, 2], seed=1, **settings)


def classifier() -> bp.Network:
    return bp.Network([3, 4, 2], output="softmax", loss="cross_entropy", seed=1)


# ---- inputs that are accepted ----

ARRANGEMENTS = {
    "as it is": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "read only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "byte swapped": lambda a: a.astype(a.dtype.newbyteorder("S")),
    "unaligned": lambda a: np.frombuffer(b"." + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "field of a record": lambda a: np.rec.fromarrays(  # type: ignore[call-overload]
        [np.zeros(a.shape, "i1"), a], names="skip,value"
    )["value"],
    "nested list": lambda a: a.tolist(),
}
DTYPES = ["f4", "f8", "u1", "i1", "i4", "i8", "u8", "?", "f2", "g"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES),
    arrangement=st.sampled_from(sorted(ARRANGEMENTS)),
    network_dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 1000),
)
def test_any_real_array_gives_the_same_bits(
    rows: int, cols: int, dtype: str, arrangement: str, network_dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2 if dtype == "?" else 100, size=(rows, cols)).astype(dtype)
    y = rng.integers(0, 2 if dtype == "?" else 100, size=(rows, 2)).astype(dtype)
    network = bp.Network([cols, 3, 2], activation="tanh", seed=3, dtype=network_dtype)
    arrange = ARRANGEMENTS[arrangement]
    plain_x, plain_y = x.astype(network_dtype), y.astype(network_dtype)
    before = np.array(x), np.array(y)
    arranged_x, arranged_y = arrange(x), arrange(y)
    np.testing.assert_array_equal(network.predict(arranged_x), network.predict(plain_x))
    one = network.backprop(arranged_x, arranged_y)
    two = network.backprop(plain_x, plain_y)
    assert one.cost == two.cost == network.cost(arranged_x, arranged_y)
    np.testing.assert_array_equal(one.flat, two.flat)
    np.testing.assert_array_equal(one.inputs, two.inputs)
    fitted, stepped = network.copy(), network.copy()
    fitted.fit(arranged_x, arranged_y, batch_size=rows, shuffle=False, optimizer=bp.SGD())
    stepped.step(plain_x, plain_y, bp.SGD())
    np.testing.assert_array_equal(fitted.parameters, stepped.parameters)
    np.testing.assert_array_equal(before[0], x)
    np.testing.assert_array_equal(before[1], y)


@pytest.mark.parametrize("arrangement", sorted(ARRANGEMENTS))
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_inputs_of_any_arrangement_are_scaled_alike(arrangement: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for network_dtype in ("float32", "float64"):
        network = bp.Network([9, 3, 2], activation="tanh", seed=3, dtype=network_dtype)
        network.set_scaling(np.linspace(-1, 1, 9), np.linspace(0.01, 0.02, 9))
        x = rng.integers(0, 100, size=(7, 9)).astype(dtype)
        got = network.predict(ARRANGEMENTS[arrangement](x))
        np.testing.assert_array_equal(got, network.predict(x.astype(network_dtype)))
        shift, scale = network.scaling or ()
        network.set_scaling(None, None)
        np.testing.assert_allclose(network.predict((x - shift) * scale), got, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "u8", ">i8", "?"])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_labels_of_any_integer_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    network = classifier()
    one_hot = np.eye(2)[LABELS]
    labels = LABELS.astype(dtype).reshape(shape)
    assert network.cost(X, labels) == pytest.approx(network.cost(X, one_hot), rel=1e-6)
    assert network.cost(X, labels.tolist()) == network.cost(X, labels)
    assert network.cost(X, one_hot.astype(dtype)) == network.cost(X, one_hot)


def test_no_rows() -> None:
    network = regressor()
    out = network.predict(np.empty((0, 3)))
    assert out.shape == (0, 2)
    assert out.dtype == np.float32
    for call in (network.cost, network.backprop, network.trace, network.fit):
        with pytest.raises(ValueError, match=r"X must have at least one row, got shape \(0, 3\)"):
            call(np.empty((0, 3)), np.empty((0, 2)))


def test_nan_and_infinity_in_the_inputs_propagate() -> None:
    network = regressor(activation="tanh")
    x = X.astype(np.float32)
    x[1, 0], x[4, 2] = np.nan, np.inf
    out = network.predict(x)
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[[0, 2, 3, 5]]).all()
    assert np.isnan(network.cost(x, Y))


# ---- inputs that are refused ----

REFUSED_X = [
    (X + 1j, TypeError, "X must hold real numbers, got dtype complex128"),
    (X.astype(object), TypeError, "X must hold real numbers, got dtype object"),
    (X.astype(str), TypeError, "X must hold real numbers, got dtype <U"),
    (X.astype("M8[s]"), TypeError, "X must hold real numbers, got dtype datetime64"),
    (None, TypeError, "X must hold real numbers, got dtype object"),
    ([[1.0, 2.0, 3.0], [4.0]], ValueError, "X must be an array of numbers"),
    (X[0], ValueError, r"X must have shape (N, 3), got (3,); a single example needs"),
    (X[:, :2], ValueError, "X must have shape (N, 3), got (6, 2)"),
    (X[None], ValueError, "X must have shape (N, 3), got (1, 6, 3)"),
    (1.0, ValueError, "X must have shape (N, 3), got ()"),
    (np.ma.masked_greater(X, 0), ValueError, "X must not have masked entries"),
]


@pytest.mark.parametrize(("x", "error", "message"), REFUSED_X)
def test_refused_inputs(x: Any, error: type[Exception], message: str) -> None:
    network = regressor()
    before, optimizer = network.parameters.copy(), bp.Adam()
    for call in (
        lambda: network.predict(x),
        lambda: network(x),
        lambda: network.cost(x, Y),
        lambda: network.backprop(x, Y),
        lambda: network.trace(x),
        lambda: network.step(x, Y, optimizer),
        lambda: network.fit(x, Y, optimizer=optimizer),
    ):
        with pytest.raises(error, match=re.escape(message)):
            call()
    with pytest.raises(error, match=re.escape("validation: " + message)):
        network.fit(X, Y, optimizer=optimizer, validation=(x, Y))
    np.testing.assert_array_equal(network.parameters, before)
    assert optimizer.steps == 0


SIGMOID = {"output": "sigmoid", "loss": "binary_cross_entropy"}
SOFTMAX = {"output": "softmax", "loss": "cross_entropy"}
REFUSED_Y = [
    ({}, Y[:5], ValueError, "y must have shape (6, 2) to match X, got (5, 2)"),
    ({}, Y[:, :1], ValueError, "y must have shape (6, 2) to match X, got (6, 1)"),
    ({}, LABELS, ValueError, "y must have shape (6, 2) to match X, got (6,)"),
    ({}, Y * 1j, TypeError, "y must hold real numbers, got dtype complex128"),
    ({}, "labels", TypeError, "y must hold real numbers, got dtype <U6"),
    (SOFTMAX, LABELS * 1.0, TypeError, "y must hold integer labels, got dtype float64"),
    (SOFTMAX, LABELS + 1, ValueError, "y must hold labels in 0 ... 1, got 2"),
    (SOFTMAX, LABELS - 1, ValueError, "y must hold labels in 0 ... 1, got -1"),
    (SOFTMAX, LABELS[:4], ValueError, "y must have shape (6,) for labels"),
    (SOFTMAX, np.full((6, 2), 1.5), ValueError, "y must hold values in [0, 1]"),
    (SOFTMAX, np.full((6, 2), np.nan), ValueError, "y must hold values in [0, 1]"),
    (
        SIGMOID,
        np.full((6, 2), -1),
        ValueError,
        "y must hold values in [0, 1] for this loss, got -1",
    ),
]


@pytest.mark.parametrize(("options", "y", "error", "message"), REFUSED_Y)
def test_refused_targets(
    options: dict[str, Any], y: Any, error: type[Exception], message: str
) -> None:
    network = regressor(**options)
    before, optimizer = network.parameters.copy(), bp.Adam()
    x = X.astype(np.float32)
    for call in (
        lambda: network.cost(x, y),
        lambda: network.backprop(x, y),
        lambda: network.trace(x, y),
        lambda: network.step(x, y, optimizer),
        lambda: network.fit(x, y, optimizer=optimizer),
    ):
        with pytest.raises(error, match=re.escape(message)):
            call()
    np.testing.assert_array_equal(network.parameters, before)
    assert optimizer.steps == 0


@pytest.mark.parametrize("options", [SIGMOID, SOFTMAX])
def test_probabilities_are_checked_after_a_first_step(options: dict[str, Any]) -> None:
    network, optimizer = regressor(**options), bp.SGD()
    x, y = X.astype(np.float32), np.full((6, 2), 0.5, np.float32)
    network.step(x, y, optimizer)
    before = network.parameters.copy()
    with pytest.raises(ValueError, match=r"y must hold values in \[0, 1\]"):
        network.step(x, 3 * y, optimizer)
    np.testing.assert_array_equal(network.parameters, before)


def test_labels_out_of_range_are_refused_after_a_first_step() -> None:
    network, optimizer = classifier(), bp.SGD()
    x = X.astype(np.float32)
    network.step(x, LABELS, optimizer)
    before = network.parameters.copy()
    for bad in (LABELS + 1, LABELS - 1, LABELS + 2**40, LABELS * 1.0):
        with pytest.raises((ValueError, TypeError), match="labels"):
            network.step(x, bad, optimizer)
    np.testing.assert_array_equal(network.parameters, before)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones(5), ValueError, "sample_weight must have shape (6,) to match X, got (5,)"),
        (np.ones((6, 1)), ValueError, "sample_weight must have shape (6,) to match X, got (6, 1)"),
        ([1, 1, 1, 1, 1, -2], ValueError, "sample_weight must hold finite numbers >= 0, got -2.0"),
        ([1, 1, 1, 1, 1, np.nan], ValueError, "finite numbers >= 0, got nan"),
        ([1, 1, 1, 1, 1, np.inf], ValueError, "finite numbers >= 0, got inf"),
        (np.zeros(6), ValueError, "sample_weight must have a sum above 0"),
        (["a"] * 6, TypeError, "sample_weight must hold real numbers"),
    ],
)
def test_refused_weights(weights: Any, error: type[Exception], message: str) -> None:
    network = regressor()
    for call in (
        lambda: network.cost(X, Y, weights),
        lambda: network.backprop(X, Y, weights),
        lambda: network.step(X, Y, bp.SGD(), weights),
        lambda: network.fit(X, Y, sample_weight=weights),
    ):
        with pytest.raises(error, match=re.escape(message)):
            call()


# ---- settings ----


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"widths": [3]}, ValueError, "widths must name the inputs and the outputs"),
        ({"widths": [3, 0, 2]}, ValueError, "widths must be in [1, 2147483647], got 0"),
        ({"widths": [3, 2.0]}, TypeError, "widths must be an integer, got 2.0"),
        ({"widths": 3}, TypeError, "widths must be a sequence of integers, got 3"),
        ({"activation": "rely"}, ValueError, "activation must be one of identity, sigmoid"),
        ({"activation": "softmax"}, ValueError, "activation must be one of"),
        ({"activation": ["relu", "tanh"]}, ValueError, "one per hidden layer (1), got 2"),
        ({"activation": 3}, TypeError, "activation must be a string, got 3"),
        ({"output": "max"}, ValueError, "output must be one of"),
        ({"loss": "cross_entropy"}, ValueError, "loss 'cross_entropy' needs output='softmax'"),
        ({"loss": "binary_cross_entropy"}, ValueError, "needs output='sigmoid'"),
        ({"loss": "rmse"}, ValueError, "loss must be one of mse, squared_error"),
        ({"init": "normal"}, ValueError, "init must be one of auto, he"),
        ({"dropout": 1.0}, ValueError, "dropout must be in [0, 1), got 1.0"),
        ({"dropout": -0.1}, ValueError, "dropout must be in [0, 1), got -0.1"),
        ({"dropout": [0.1, 0.2]}, ValueError, "one per hidden layer (1), got 2"),
        ({"dropout": "0.1"}, TypeError, "dropout must be a number"),
        ({"l1": -1}, ValueError, "l1 must be a finite number >= 0, got -1"),
        ({"l2": np.nan}, ValueError, "l2 must be a finite number >= 0, got nan"),
        ({"dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64', got 'float16'"),
        ({"dtype": "nothing"}, TypeError, "dtype must be 'float32' or 'float64', got 'nothing'"),
        ({"precision": "bf17"}, ValueError, "precision 'bf17' is not available; available:"),
        ({"seed": -1}, ValueError, "seed must be in [0, 18446744073709551615], got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
    ],
)
def test_refused_network(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        bp.Network(**{"widths": [3, 4, 2], **options})


def test_network_too_large_for_memory() -> None:
    with pytest.raises(MemoryError):
        bp.Network([2**30, 2**30], init="zeros")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be >= 1, got 0"),
        ({"epochs": True}, TypeError, "epochs must be an integer, got True"),
        ({"batch_size": 0}, ValueError, "batch_size must be >= 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer, got 2.0"),
        ({"optimizer": "newton"}, ValueError, "optimizer must be one of sgd, adam"),
        ({"optimizer": 1}, TypeError, "optimizer must be an Optimizer or a name, got 1"),
        ({"validation": 0.0}, ValueError, "validation must leave rows"),
        ({"validation": 1.5}, ValueError, "validation must be in [0, 1], got 1.5"),
        ({"validation": (X,)}, ValueError, "validation must be a fraction or a pair"),
        ({"validation": (X, Y[:3])}, ValueError, "validation: y must have shape (6, 2)"),
        ({"patience": 3}, ValueError, "patience needs validation"),
        ({"patience": 0, "validation": 0.5}, ValueError, "patience must be >= 1, got 0"),
        ({"callbacks": [1]}, TypeError, "callbacks must be functions, got 1"),
        ({"callbacks": 1}, TypeError, "callbacks must be functions, got 1"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        ({"progress": None}, TypeError, "progress must be True or False, got None"),
    ],
)
def test_refused_fit(options: dict[str, Any], error: type[Exception], message: str) -> None:
    network = regressor()
    before = network.parameters.copy()
    with pytest.raises(error, match=re.escape(message)):
        network.fit(X, Y, **options)
    np.testing.assert_array_equal(network.parameters, before)


def test_refused_parameters_and_layers() -> None:
    network = regressor()
    before = network.parameters.copy()
    with pytest.raises(ValueError, match=r"parameters must have shape \(26,\), got \(25,\)"):
        network.parameters = np.zeros(25)
    with pytest.raises(TypeError, match="parameters must hold real numbers"):
        network.parameters = np.zeros(26, complex)
    with pytest.raises(ValueError, match=r"W must have shape \(4, 3\), got \(3, 4\)"):
        network.set_layer(0, np.zeros((3, 4)), np.zeros(4))
    with pytest.raises(ValueError, match=r"b must have shape \(4,\), got \(3,\)"):
        network.set_layer(0, np.zeros((4, 3)), np.zeros(3))
    with pytest.raises(ValueError, match=r"i must be in \[0, 1\], got 2"):
        network.set_layer(2, np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ValueError, match="shift and scale must both"):
        network.set_scaling(np.zeros(3), None)
    with pytest.raises(ValueError, match="scale must hold finite"):
        network.set_scaling(np.zeros(3), np.full(3, np.inf))
    with pytest.raises(ValueError, match="metadata must hold what JSON can"):
        network.metadata = {"x": object()}
    with pytest.raises(ValueError, match="batch must be >= 1"):
        network.dropout_masks(0)
    np.testing.assert_array_equal(network.parameters, before)
    assert network.scaling is None
    assert network.metadata == {}


def test_refused_out() -> None:
    network = regressor()
    for out in (np.empty((6, 2)), [[0.0]]):
        with pytest.raises(TypeError, match="out must be an array of float32"):
            network.predict(X, out=out)
    frozen = np.empty((6, 2), np.float32)
    frozen.flags.writeable = False
    for out in (np.empty((5, 2), np.float32), np.empty((2, 6), np.float32).T, frozen):
        with pytest.raises(ValueError, match="out must be C-contiguous and writable"):
            network.predict(X, out=out)
    both = np.zeros((6, 3), np.float32)
    with pytest.raises(ValueError, match="out must not share memory"):
        network.predict(both, out=both.reshape(-1)[:12].reshape(6, 2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: bp.SGD(lr=-1), ValueError, "lr must be a finite number >= 0, got -1"),
        (lambda: bp.SGD(lr="fast"), TypeError, "lr must be a number, got 'fast'"),
        (lambda: bp.SGD(nesterov=True), ValueError, "nesterov needs momentum above 0"),
        (lambda: bp.SGD(clip_norm=0), ValueError, "clip_norm must be above 0, or None"),
        (lambda: bp.Adam(betas=(0.9, 1.0)), ValueError, "betas must be in [0, 1), got 1.0"),
        (lambda: bp.Adam(betas=0.9), TypeError, "betas must be a pair of numbers, got 0.9"),
        (lambda: bp.AdamW(eps=np.inf), ValueError, "eps must be a finite number >= 0, got inf"),
        (lambda: bp.RMSprop(alpha=2), ValueError, "alpha must be in [0, 1], got 2"),
        (lambda: bp.RMSprop(centered=1), TypeError, "centered must be True or False, got 1"),
        (lambda: bp.Adagrad(lr_decay=-1), ValueError, "lr_decay must be a finite number >= 0"),
    ],
)
def test_refused_optimizer(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_optimizer_belongs_to_one_size() -> None:
    optimizer = bp.Adam()
    regressor().step(X, Y, optimizer)
    for other in (bp.Network([3, 2]), regressor(dtype="float64")):
        for call in (other.step, lambda *a, n=other: n.fit(*a[:2], optimizer=a[2])):
            with pytest.raises(ValueError, match="optimizer holds the state of 26 parameters"):
                call(X, Y, optimizer)
    assert optimizer.steps == 1
    optimizer.reset()
    bp.Network([3, 2]).step(X, Y, optimizer)
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, whose state lasts"):
        regressor().step(X, Y, "adam")  # type: ignore[arg-type]


def test_refused_kernel_arguments() -> None:
    a, b = np.zeros((3, 4)), np.zeros((4, 2))
    with pytest.raises(ValueError, match="a and b must agree in their inner size, got 4 and 2"):
        bp.kernels.matmul(a, b, transpose_b=True)
    with pytest.raises(TypeError, match="a and b must have one dtype"):
        bp.kernels.matmul(a, b.astype("f4"))
    with pytest.raises(TypeError, match="a must be float32 or float64, got int64"):
        bp.kernels.matmul(a.astype(int), b)
    with pytest.raises(ValueError, match="a must have two dimensions"):
        bp.kernels.matmul(a[0], b)
    with pytest.raises(ValueError, match=r"out must be writable.* of shape \(3, 2\)"):
        bp.kernels.matmul(a, b, out=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="out must not share memory"):
        bp.kernels.matmul(np.zeros((4, 4)), b, out=b)
    with pytest.raises(ValueError, match="precision must be one of float32"):
        bp.kernels.matmul(a, b, precision="float8")
    with pytest.raises(ValueError, match=r"w must have shape \(n_out, 4\)"):
        bp.kernels.dense_forward(a, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="name must be one of"):
        bp.kernels.activation_derivative("softmax", a)


# ---- the guard ----


def test_second_thread_is_refused_while_a_fit_is_on() -> None:
    network = regressor()
    started, stop = threading.Event(), threading.Event()

    def wait(end: bp.EpochEnd) -> bool:
        started.set()
        stop.wait(10)
        return True

    thread = threading.Thread(target=network.fit, args=(X, Y), kwargs={"callbacks": wait})
    thread.start()
    try:
        assert started.wait(10)
        for call in (
            lambda: network.predict(X),
            lambda: network.predict(X.astype("f4")),
            lambda: network.cost(X, Y),
            lambda: network.step(X, Y, bp.SGD()),
            lambda: network.fit(X, Y),
            lambda: setattr(network, "parameters", network.parameters),
        ):
            with pytest.raises(RuntimeError, match="in use in another call"):
                call()
        regressor().fit(X, Y)
    finally:
        stop.set()
        thread.join()
    network.fit(X, Y)


def test_callback_may_evaluate_but_not_train() -> None:
    network = regressor()
    values: list[Any] = []

    def evaluate(end: bp.EpochEnd) -> None:
        assert end.network is network
        values.append((network.predict(X), network.cost(X, Y), network.backprop(X, Y)))
        for call in (lambda: network.step(X, Y, bp.SGD()), lambda: network.fit(X, Y)):
            with pytest.raises(RuntimeError, match="a fit of it is in progress"):
                call()

    network.fit(X, Y, epochs=3, callbacks=[evaluate])
    assert len(values) == 3


def test_loss_may_not_use_its_network() -> None:
    def loss(a: np.ndarray, y: np.ndarray) -> Any:
        return network.predict(X)

    network = bp.Network([3, 2], loss=loss)
    with pytest.raises(RuntimeError, match="in use in another call"):
        network.cost(X, Y)
    with pytest.raises(RuntimeError, match="in use in another call"):
        network.fit(X, Y)
