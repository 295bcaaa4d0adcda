"""What is timed: workloads as plain data that every process can build for itself.

A workload travels between processes as JSON; inputs, targets and initial weights are drawn from
its seed, so that all contenders have the same ones without sending them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]

MOMENTUM = 0.9
ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8
MNIST_WIDTHS = (784, 512, 512, 10)


@dataclass(frozen=True)
class Training:
    """Training steps of a dense net with float32 parameters on minibatches.

    Attributes
    ----------
    name : str
        What it is called in reports and by ``--only``.
    widths : tuple of int
        n_0 … n_L.
    batch : int
        Rows of a step.
    activation : str
        Of the hidden layers, tanh or relu; the output is linear, with softmax for cross_entropy.
    loss : str
        mse or cross_entropy.
    lr : float
        Learning rate.
    n_batches : int
        Batches of random data that are gone through again and again, in order; of MNIST at most.
    optimizer : str
        sgd (momentum 0.9) or adam.
    folder : str or None
        The folder of MNIST, whose images take the place of random data, shuffled in every epoch.
    check_steps : int
        Steps after which contenders must agree.
    precision : str
        Of the matrix products, as of `Network`; peers form those of bf16 in bfloat16.
    seed : int
        Of data and weights.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    activation: str
    loss: str
    lr: float
    n_batches: int = 64
    optimizer: str = "sgd"
    folder: str | None = None
    check_steps: int = 8
    precision: str = "float32"
    seed: int = 1

    @property
    def flops(self) -> float:
        """Floating point operations of the matrix products of a step.

        Forward and weight gradients of all layers, and input gradients of all but the first, with
        two operations for a multiply-add.
        """
        products = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2.0 * self.batch * (3 * sum(products) - products[0])

    @property
    def title(self) -> str:
        """The shape in words."""
        optimizer = "SGD with momentum" if self.optimizer == "sgd" else "Adam"
        loss = "cross entropy" if self.loss == "cross_entropy" else "mse"
        order = ", MNIST, shuffled" if self.folder else ""
        precision = "" if self.precision == "float32" else f", {self.precision}"
        return (
            f"{widths_text(self.widths)}, batch {self.batch}, {self.activation}, {loss}, "
            f"{optimizer}{order}{precision}"
        )


@dataclass(frozen=True)
class Members(Training):
    """The same steps of many nets, which differ in their initial weights.

    Attributes
    ----------
    n : int
        How many nets.
    member : int
        The one that initial weights are asked for.
    """

    n: int = 1
    member: int = 0

    @property
    def title(self) -> str:
        """The number and the shape in words."""
        return f"{self.n} x {super().title}"

    def each(self, members: Iterable[int]) -> list[Members]:
        """Return the workloads of some members."""
        return [dataclasses.replace(self, member=member) for member in members]

    @property
    def judged(self) -> list[Members]:
        """Those whose results must agree with the reference."""
        return self.each(sorted({0, self.n // 2, self.n - 1}))


@dataclass(frozen=True)
class Prediction:
    """Outputs of a dense float32 net for one batch."""

    name: str
    widths: tuple[int, ...]
    batch: int
    activation: str
    output: str = "identity"
    seed: int = 1

    @property
    def flops(self) -> float:
        """Floating point operations of the matrix products of a call."""
        products = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2.0 * self.batch * sum(products)

    @property
    def title(self) -> str:
        """The shape in words."""
        return f"{widths_text(self.widths)}, batch {self.batch}, {self.activation}, {self.output}"


@dataclass(frozen=True)
class Product:
    """The matrix product of an (m, k) and a (k, n) array.

    The precision is that of `kernels.matmul`; peers form products of bf16 in bfloat16.
    """

    name: str
    m: int
    n: int
    k: int
    dtype: str = "float32"
    precision: str = "float32"
    seed: int = 1

    @property
    def kind(self) -> str:
        """The precision, or the type where that says all."""
        return self.dtype if self.precision == "float32" else self.precision

    @property
    def flops(self) -> float:
        """Floating point operations, two for a multiply-add."""
        return 2.0 * self.m * self.n * self.k

    @property
    def title(self) -> str:
        """The shape in words."""
        return f"({self.m}, {self.k}) times ({self.k}, {self.n}), {self.kind}"


@dataclass(frozen=True)
class Elementwise:
    """A function of every element of a float32 array that fits in the second-level cache."""

    name: str
    function: str
    size: int = 16384
    seed: int = 1

    @property
    def flops(self) -> float:
        """Elements, since an element's operations depend on the algorithm."""
        return float(self.size)

    @property
    def title(self) -> str:
        """The size in words."""
        return f"{self.function} of {self.size} elements, float32"


# Passes of a derivative, each as long as a forward one, without those that a net's widths decide.
_PASSES = {
    "per_sample_gradients": 3,
    "per_sample_gradient_norms": 2,
    "jacobian": 1,
    "hvp": 8,
    "gauss_newton_product": 5,
    "vjp": 2,
    "jvp": 2,
    "laplacian": 2,
    "hessian_diagonal": 1,
}


@dataclass(frozen=True)
class Derivative:
    """A derivative of a dense float32 net with linear outputs, of its mean squared error if any.

    Attributes
    ----------
    name : str
        What it is called in reports and by ``--only``.
    function : str
        The method of `Network` that returns it.
    widths : tuple of int
        n_0 … n_L.
    batch : int
        Rows of a call.
    activation : str
        Of the hidden layers: tanh.
    seed : int
        Of data and weights.
    """

    name: str
    function: str
    widths: tuple[int, ...]
    batch: int
    activation: str = "tanh"
    seed: int = 1

    @property
    def flops(self) -> float:
        """Floating point operations of the matrix products of the passes of pybackprop's way."""
        passes, n_in = _PASSES[self.function], self.widths[0]
        if self.function == "jacobian":
            passes += min(n_in, self.widths[-1])
        elif self.function in ("laplacian", "hessian_diagonal"):
            passes += n_in if self.function == "laplacian" else 2 * n_in
        products = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2.0 * self.batch * sum(products) * passes

    @property
    def title(self) -> str:
        """The shape in words."""
        return f"{widths_text(self.widths)}, batch {self.batch}, {self.activation}"


Workload = Training | Prediction | Product | Elementwise | Derivative
_KINDS = {
    each.__name__: each
    for each in (Training, Members, Prediction, Product, Elementwise, Derivative)
}

_FLOAT32_STEPS = (
    Training("xor", (2, 8, 1), 4, "tanh", "mse", lr=0.02, n_batches=1000),
    Training("rl-1", (17, 64, 64, 6), 1, "tanh", "mse", lr=0.002, n_batches=1000),
    Training("rl-64", (17, 64, 64, 6), 64, "tanh", "mse", lr=0.02, n_batches=200),
    Training("odd", (31, 97, 97, 5), 48, "tanh", "mse", lr=0.02, n_batches=200),
    Training("deep", (24, *(40,) * 10, 3), 100, "relu", "mse", lr=0.02, n_batches=100),
    Training("pinn", (2, 50, 50, 50, 50, 50, 1), 1024, "tanh", "mse", lr=0.01, n_batches=16),
    Training("sk", (64, 100, 10), 200, "relu", "cross_entropy", lr=0.02, n_batches=50),
    Training("tab", (54, 256, 256, 256, 7), 256, "relu", "cross_entropy", lr=0.01, n_batches=16),
    Training("mnist", MNIST_WIDTHS, 128, "relu", "cross_entropy", lr=0.01, n_batches=16),
    Training("wide-1024", (1024,) * 6, 512, "relu", "mse", lr=0.5, n_batches=2, check_steps=2),
    Training("wide-2048", (2048,) * 4, 1024, "relu", "mse", lr=0.5, n_batches=2, check_steps=2),
)
# The shapes whose products are long enough for bfloat16 to matter.
STEPS = _FLOAT32_STEPS + tuple(
    dataclasses.replace(each, name=f"{each.name}-{precision}", precision=precision)
    for precision in ("bf16", "bf16x3")
    for each in _FLOAT32_STEPS
    if each.name in ("tab", "mnist", "wide-1024", "wide-2048")
)

# Few batches: a repeat goes through them with all nets.
MANY = (
    Members("xor", (2, 8, 1), 4, "tanh", "mse", lr=0.02),
    Members("rl-64", (17, 64, 64, 6), 64, "tanh", "mse", lr=0.02, n_batches=16),
    Members("sk", (64, 100, 10), 200, "relu", "cross_entropy", lr=0.02, n_batches=8),
)

PREDICTIONS = (
    Prediction("rl-1", (17, 64, 64, 6), 1, "tanh"),
    Prediction("rl-256", (17, 64, 64, 6), 256, "tanh"),
    Prediction("mnist-1", MNIST_WIDTHS, 1, "relu", "softmax"),
    Prediction("mnist-1024", MNIST_WIDTHS, 1024, "relu", "softmax"),
    Prediction("embed-2048", (13, 512, 256, 64), 2048, "relu"),
)

_SHAPES = (
    ("256", 256, 256, 256),
    ("512", 512, 512, 512),
    ("1024", 1024, 1024, 1024),
    ("2048", 2048, 2048, 2048),
    ("4096", 4096, 4096, 4096),
    ("512x1024x1024", 512, 1024, 1024),
    ("128x784x512", 128, 512, 784),
)
PRODUCTS = tuple(
    Product(f"{kind}-{name}", m, n, k, dtype, precision)
    for kind, dtype, precision in (
        ("float32", "float32", "float32"),
        ("float64", "float64", "float32"),
        ("bf16", "float32", "bf16"),
        ("bf16x3", "float32", "bf16x3"),
    )
    for name, m, n, k in _SHAPES
)
ELEMENTWISE = tuple(
    Elementwise(name, name) for name in ("relu", "tanh", "sigmoid", "gelu", "silu", "softplus")
)

DERIVATIVES = tuple(
    Derivative(name, name, (17, 64, 64, 6), 64)
    if name.startswith("per_sample")
    else Derivative(name, name, (2, 50, 50, 50, 50, 50, 1), 1024)
    for name in _PASSES
)


def mnist_epoch(folder: str, n_batches: int = 1 << 20) -> Training:
    """Return an epoch of MNIST, whose images are in a folder of IDX files.

    Parameters
    ----------
    folder : str
        Where they are.
    n_batches : int
        Batches at most, of the first images.
    """
    return Training(
        "mnist-epoch",
        MNIST_WIDTHS,
        128,
        "relu",
        "cross_entropy",
        lr=1e-3,
        optimizer="adam",
        folder=folder,
        n_batches=n_batches,
        check_steps=3,
    )


def widths_text(widths: tuple[int, ...]) -> str:
    """Return widths as 784-512-512-10, with three or more equal ones as 2-50x5-1."""
    parts: list[str] = []
    start = 0
    while start < len(widths):
        end = start
        while end < len(widths) and widths[end] == widths[start]:
            end += 1
        same = end - start
        parts += [f"{widths[start]}x{same}"] if same > 2 else [str(widths[start])] * same
        start = end
    return "-".join(parts)


def to_json(workload: Workload) -> dict[str, Any]:
    """Return a workload as what JSON can hold."""
    return {"kind": type(workload).__name__, **dataclasses.asdict(workload)}


def from_json(spec: dict[str, Any]) -> Workload:
    """Return the workload that `to_json` described."""
    fields = {name: value for name, value in spec.items() if name != "kind"}
    if "widths" in fields:
        fields["widths"] = tuple(fields["widths"])
    return _KINDS[spec["kind"]](**fields)


def initial_layers(workload: Training | Prediction | Derivative) -> Layers:
    """Return W_l (n_l, n_(l-1)) and b_l (n_l,), float32, of every layer."""
    key = [workload.seed, 1]
    if isinstance(workload, Members):
        key.append(workload.member)
    rng = np.random.default_rng(key)
    gain = 2.0 if workload.activation == "relu" else 1.0
    return [
        (
            rng.standard_normal((n_out, n_in), np.float32) * np.float32((gain / n_in) ** 0.5),
            rng.standard_normal(n_out, np.float32) * np.float32(0.01),
        )
        for n_in, n_out in zip(workload.widths, workload.widths[1:], strict=False)
    ]


def training_data(workload: Training) -> tuple[Array, Array]:
    """Return inputs (N, n_0) and targets: int64 labels (N,), or float32 (N, n_L).

    Inputs are float32, but the bytes of MNIST are left as they are.
    """
    if workload.folder is not None:
        rows = workload.n_batches * workload.batch
        x, y = _mnist(workload.folder)
        return x[:rows], y[:rows]
    rng = np.random.default_rng([workload.seed, 2])
    rows = workload.n_batches * workload.batch
    x = rng.standard_normal((rows, workload.widths[0]), np.float32)
    if workload.loss == "cross_entropy":
        return x, rng.integers(0, workload.widths[-1], rows)
    return x, rng.standard_normal((rows, workload.widths[-1]), np.float32)


@cache
def _mnist(folder: str) -> tuple[Array, Array]:
    """Return the training images and labels, which take a second to read."""
    from ..datasets import load

    data = load(folder)
    return data.x, data.y


def scaled(x: Array) -> Array:
    """Return inputs as float32, bytes divided by 255."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x


def prediction_inputs(workload: Prediction) -> Array:
    """Return inputs (batch, n_0), float32."""
    rng = np.random.default_rng([workload.seed, 3])
    return rng.standard_normal((workload.batch, workload.widths[0]), np.float32)


def product_factors(workload: Product) -> tuple[Array, Array]:
    """Return the factors (m, k) and (k, n)."""
    rng = np.random.default_rng([workload.seed, 4])
    dtype = np.dtype(workload.dtype)
    shapes = (workload.m, workload.k), (workload.k, workload.n)
    left, right = (rng.uniform(-1.0, 1.0, shape).astype(dtype) for shape in shapes)
    return left, right


def elementwise_inputs(workload: Elementwise) -> Array:
    """Return the arguments (size,), float32, of normal distribution with deviation 2."""
    rng = np.random.default_rng([workload.seed, 5])
    result: Array = rng.standard_normal(workload.size, np.float32) * np.float32(2)
    return result


def derivative_data(workload: Derivative) -> tuple[Array, Array, Array]:
    """Return inputs (batch, n_0), targets (batch, n_L) and a vector, float32.

    The vector is what the Jacobian, the Hessian or the Gauss-Newton matrix is multiplied by:
    (batch, n_L) for vjp, (batch, n_0) for jvp, and (n_parameters,) otherwise.
    """
    rng = np.random.default_rng([workload.seed, 6])
    n_in, n_out = workload.widths[0], workload.widths[-1]
    x, y = (rng.standard_normal((workload.batch, n), np.float32) for n in (n_in, n_out))
    if workload.function in ("vjp", "jvp"):
        width = n_out if workload.function == "vjp" else n_in
        return x, y, rng.standard_normal((workload.batch, width), np.float32)
    pairs = itertools.pairwise(workload.widths)
    return x, y, rng.standard_normal(sum((a + 1) * b for a, b in pairs), np.float32)


def split_vector(vector: Array, widths: tuple[int, ...]) -> Layers:
    """Return the parts of a vector of parameters that belong to W_l and b_l of every layer."""
    layers, at = [], 0
    for n_in, n_out in itertools.pairwise(widths):
        end = at + n_in * n_out
        layers.append((vector[at:end].reshape(n_out, n_in), vector[end : end + n_out]))
        at = end + n_out
    return layers
