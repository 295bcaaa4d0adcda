"""Networks as C: compiled without a warning, and equal to what the network predicts."""

from __future__ import annotations

import ctypes
import itertools
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import datasets
from pybackprop.exchange.c import quantize

HIDDEN = [
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "softplus",
    "gelu",
    "silu",
    "mish",
]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wshadow"]
STRICT += ["-Wconversion", "-Wdouble-promotion", "-Wmissing-prototypes", "-Wundef"]
RNG = np.random.default_rng(1)

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler")


def networks() -> dict[str, bp.Network]:
    """Every activation inside and at the output, in both types, with scaling and without."""
    nets = {}
    for hidden, output in zip(HIDDEN, ["softmax", *HIDDEN], strict=False):
        for dtype in ("float32", "float64"):
            net = bp.Network([7, 19, 8, 3], activation=hidden, output=output, dtype=dtype, seed=3)
            if output != "tanh":
                net.set_scaling(RNG.normal(size=7), RNG.uniform(0.5, 2, 7))
            nets[f"{hidden}_{output}_{dtype}"] = net
    nets["mish_mish"] = bp.Network([7, 19, 3], activation="mish", output="mish", seed=3)
    nets["mixed"] = bp.Network([7, 5, 9, 4, 11, 3], activation=["elu", "relu", "silu", "tanh"])
    nets["one_layer"] = bp.Network([7, 3], output="sigmoid")
    nets["one_unit"] = bp.Network([7, 1, 1], output="softmax")
    for net in nets.values():
        for layer, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
            net.set_layer(layer, w, RNG.normal(size=len(b)))
    return nets


def library(folder: Path, compiler: str, *flags: str) -> ctypes.CDLL:
    """Compile every .c file of a folder into one shared library."""
    target = folder / f"{compiler}.so"
    sources = sorted(map(str, folder.glob("*.c")))
    command = [compiler, *STRICT, *flags, "-shared", "-fPIC", *sources, "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(target))


def call(lib: ctypes.CDLL, name: str, x: np.ndarray, n_out: int) -> np.ndarray:
    """Run NAME_predict on every row; what stands beside an output must stay as it is."""
    function = lib[f"{name}_predict"]
    function.restype, function.argtypes = None, [ctypes.c_void_p] * 2
    y = np.full((len(x), n_out + 1), 77, x.dtype)
    for row, out in zip(x, y, strict=True):
        function(row.ctypes.data, out.ctypes.data)
    assert (y[:, -1] == 77).all()
    return y[:, :-1]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_activation_equals_predict_on_1000_inputs(compiler: str, tmp_path: Path) -> None:
    nets = networks()
    for name, net in nets.items():
        assert net.to_c(tmp_path / f"{name}.c") is None
    lib = library(tmp_path, compiler)
    seen = set()
    for name, net in nets.items():
        shift, scale = net.scaling or (0.0, 1.0)
        x = (shift + RNG.normal(size=(1000, 7)) / scale).astype(net.dtype)
        y = net.predict(x)
        tolerance = 1e-6 if net.dtype == np.float32 else 1e-13
        # Relative to the largest output, since sums that cancel leave the rounding of their terms.
        error = np.abs(call(lib, name, x, net.widths[-1]) - y).max() / max(1, np.abs(y).max())
        assert error <= tolerance, name
        seen.update([(False, name) for name in net.activations[:-1]], [(True, net.activations[-1])])
    assert seen >= {*itertools.product((False, True), HIDDEN), (True, "softmax")}


def test_extreme_inputs(tmp_path: Path) -> None:
    """Saturation without NaN, and NaN where a NaN comes in."""
    for name in [*HIDDEN, "softmax"]:
        net = bp.Network([1, 1], output=name)
        net.set_layer(0, [[1.0]], [0.0])
        net.to_c(tmp_path / f"{name}.c")
    lib = library(tmp_path, COMPILERS[0])
    x = np.array([[-3e38], [-200], [-1e-30], [0], [1e-30], [200], [3e38], [np.nan]], np.float32)
    for name in [*HIDDEN, "softmax"]:
        net = bp.Network([1, 1], output=name)
        net.set_layer(0, [[1.0]], [0.0])
        y = net.predict(x)
        np.testing.assert_allclose(call(lib, name, x, 1), y, rtol=1e-6, atol=1e-37, err_msg=name)


def test_a_wide_layer_keeps_its_digits(tmp_path: Path) -> None:
    net = bp.Network([784, 300, 10], output="softmax", seed=1)
    net.to_c(tmp_path / "wide.c")
    x = RNG.uniform(size=(100, 784)).astype(np.float32)
    lib = library(tmp_path, COMPILERS[0])
    np.testing.assert_allclose(call(lib, "wide", x, 10), net.predict(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_int8_weights_and_what_they_cost(dtype: str, tmp_path: Path) -> None:
    data = datasets.load("digits").split(0.2, 0)
    net = bp.Network(
        [64, 32, 10], output="softmax", loss="cross_entropy", dtype=dtype, dropout=0.1, seed=0
    )
    net.set_scaling(*data.scaling())
    net.fit(data.x, data.y, epochs=10, optimizer=bp.Adam(3e-3))
    loss = net.to_c(tmp_path / "digits.c", weights="int8", data=(data.x_test, data.y_test))
    assert loss is not None
    assert loss.accuracy is not None
    assert loss.cost is not None
    assert loss.examples == len(data.x_test)
    assert loss.accuracy[0] - loss.accuracy[1] <= 0.01
    assert 0 < loss.rms_error <= loss.max_error < 0.1

    x = data.x_test.astype(np.float32)
    y = call(library(tmp_path, COMPILERS[0]), "digits", x, 10)
    difference = np.abs(y - net.predict(x))
    np.testing.assert_allclose(difference.max(), loss.max_error, atol=2e-6)
    assert np.mean(y.argmax(1) == data.y_test) == loss.accuracy[1]
    assert str(loss).replace("\n", " ").split(";")[-1].strip() in (tmp_path / "digits.c").read_text(
        encoding="utf-8"
    ).replace("\n *", "")
    assert f"accuracy {loss.accuracy[0]:.2%} -> {loss.accuracy[1]:.2%}" in str(loss)
    without_targets = net.to_c(tmp_path / "digits.c", weights="int8", data=data.x_test)
    assert without_targets is not None
    assert without_targets == (*loss[:3], None, None)


class OneInput(bp.Network):
    """A network that is made in another way."""

    def __init__(self, width: int) -> None:
        super().__init__([1, width, 1], seed=0)

    def __reduce__(self) -> tuple[Any, ...]:
        return OneInput, (self.widths[1],)


def test_a_subclass_made_in_another_way(tmp_path: Path) -> None:
    net = OneInput(5)
    assert type(pickle.loads(pickle.dumps(net))) is OneInput
    assert net.to_c(tmp_path / "net.c", weights="int8", data=np.ones((3, 1))) is not None


def test_quantization_rounds_to_the_nearest_of_each_row() -> None:
    w = np.vstack([RNG.normal(size=(5, 40)), np.zeros((1, 40)), np.full((1, 40), -1e-44)])
    for dtype in (np.float32, np.float64):
        values, factor = quantize(w.astype(dtype))
        assert values.dtype == np.int8
        assert (np.abs(values[:5]).max(axis=1) == 127).all()
        assert not values[5].any()
        error = np.abs(values * factor.astype(float)[:, None] - w)
        assert (error <= 0.5001 * factor[:, None] + 1.1e-44).all()


def test_text_is_the_same_every_time_and_tells_what_it_is(tmp_path: Path) -> None:
    net = bp.Network([3, 4, 2], output="softmax", loss="cross_entropy", seed=5)
    net.set_scaling([1, 2, 3], [0.5, 0.5, 0.1])
    names = ["a */ int x; /* b", "c??/", "d\\\n"]
    net.metadata = {"feature_names": names, "class_names": ["no", "größer"]}
    net.to_c(tmp_path / "1st-net.c")
    text = (tmp_path / "1st-net.c").read_text(encoding="utf-8")
    net.copy().to_c(tmp_path / "other.c", name="net_1st_net")
    assert (tmp_path / "other.c").read_text(encoding="utf-8") == text
    head = text[: text.index("*/")]
    assert "3 -> 4 relu -> 2 softmax; 26 parameters" in head
    assert f"pybackprop {bp.__version__}" in head
    assert "no, größer" in head
    assert "void net_1st_net_predict(const float *x, float *y) {" in text
    assert max(map(len, text.splitlines())) <= 100
    (tmp_path / "other.c").unlink()
    for compiler in COMPILERS:
        library(tmp_path, compiler)


@pytest.mark.parametrize("name", ["x*\\ int y; /", "*/", "/*/", "**//", "???/", "????/", "a*\\\\"])
def test_no_name_ends_the_comment_nor_begins_a_trigraph(name: str, tmp_path: Path) -> None:
    net = bp.Network([3, 2], seed=5)
    net.metadata = {"feature_names": [name, f"/{name}", f"{name}*"], "target_names": ["a", name]}
    net.to_c(tmp_path / "net.c")
    text = (tmp_path / "net.c").read_text(encoding="utf-8")
    head, code = text[: text.index("*/")], text[text.index("*/") :]
    assert head.rstrip().endswith("-lm.")
    assert code.startswith("*/\n#include <math.h>\n")
    assert "/*" not in head[2:]
    assert "??" not in text
    library(tmp_path, COMPILERS[0])


def test_refusals_touch_no_file(tmp_path: Path) -> None:
    net = bp.Network([2, 2])
    path = tmp_path / "net.c"
    for error, match, options in (
        (ValueError, "C identifier", {"name": "my net"}),
        (ValueError, "C identifier", {"name": "_x"}),
        (TypeError, "name must be a string", {"name": 3}),
        (ValueError, "weights must be one of", {"weights": "int4"}),
        (ValueError, "data is for", {"data": np.zeros((1, 2))}),
        (ValueError, r"X must have shape \(N, 2\)", {"weights": "int8", "data": np.zeros((1, 3))}),
    ):
        with pytest.raises(error, match=match):
            net.to_c(path, **options)  # type: ignore[arg-type]
    net.set_scaling([1e300, 0], [1, 1])
    with pytest.raises(ValueError, match="finite as float32"):
        net.to_c(path)
    net.set_scaling(None, None)
    net.set_layer(0, np.full((2, 2), np.inf), [0, 0])
    with pytest.raises(ValueError, match="finite as int8"):
        net.to_c(path, weights="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_optimization_level_finds_fault(compiler: str, tmp_path: Path) -> None:
    """Once inlined, loops have known lengths, and a rest of none or one gets looked at closely."""
    nets = {}
    for number, widths in enumerate(([4, 64, 2], [8, 8], [1, 1], [9, 16, 7])):
        for weights in ("float32", "float64", "int8"):
            name = f"n{number}_{weights}"
            nets[name] = bp.Network(widths, activation="tanh", seed=0)
            nets[name].to_c(tmp_path / f"{name}.c", weights=weights)
    lib = library(tmp_path, compiler, "-O3", "-funroll-loops")
    for name, net in nets.items():
        if name.endswith("float32"):
            x = RNG.normal(size=(50, net.widths[0])).astype(np.float32)
            y = net.predict(x)
            error = np.abs(call(lib, name, x, net.widths[-1]) - y).max() / max(1, np.abs(y).max())
            assert error <= 1e-6, name
