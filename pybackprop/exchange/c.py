"""Networks as C: one C99 file that computes the outputs, for use without Python."""

from __future__ import annotations

import copy
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._core import FLOAT32, FLOAT64, Array
from .._version import __version__
from ..files.write import write_atomically
from ..inputs import as_choice, as_path

if TYPE_CHECKING:
    from ..model import Model

WEIGHTS = ("float32", "float64", "int8")
# Positions inside */, /* and ??, where a space makes them harmless.
_SPECIAL = re.compile(r"(?<=\*)(?=/)|(?<=/)(?=\*)|(?<=\?)(?=\?)")

# How z becomes a; {f} stands for the suffix of the functions and constants of the type.
_ACTIVATIONS = {
    "sigmoid": "{name}_logistic(z[i])",
    "tanh": "tanh{f}(z[i])",
    "relu": "z[i] < 0.0{f} ? 0.0{f} : z[i]",
    "leaky_relu": "z[i] > 0.0{f} ? z[i] : 0.01{f} * z[i]",
    "elu": "z[i] < 0.0{f} ? expm1{f}(z[i]) : z[i]",
    "selu": "z[i] < 0.0{f} ? 1.7580993408473766{f} * expm1{f}(z[i]) : 1.0507009873554805{f} * z[i]",
    "softplus": "{name}_log_sum(z[i])",
    "gelu": "0.5{f} * z[i] * erfc{f}(-0.7071067811865476{f} * z[i])",
    "silu": "z[i] * {name}_logistic(z[i])",
    "mish": "z[i] * tanh{f}({name}_log_sum(z[i]))",
}

_LOGISTIC = """\
/* 1 / (1 + e^-z), without overflow. */
static {real} {name}_logistic({real} z) {{
    {real} e = exp{f}(-fabs{f}(z));
    return (z < 0.0{f} ? e : 1.0{f}) / (1.0{f} + e);
}}
"""

_LOG_SUM = """\
/* log(1 + e^z), without overflow. */
static {real} {name}_log_sum({real} z) {{
    return (z > 0.0{f} ? z : 0.0{f}) + log1p{f}(exp{f}(-fabs{f}(z)));
}}
"""

_HELPERS = {
    "sigmoid": _LOGISTIC,
    "silu": _LOGISTIC,
    "softplus": _LOG_SUM,
    "mish": _LOG_SUM,
}

_ACTIVATION = """\
static void {name}_{activation}(long n, {real} *z) {{
    for (long i = 0; i < n; i++)
        z[i] = {formula};
}}
"""

_SOFTMAX = """\
static void {name}_softmax(long n, {real} *z) {{
    {real} top = z[0], sum = 0.0{f};
    for (long i = 1; i < n; i++)
        if (z[i] > top) top = z[i];
    for (long i = 0; i < n; i++) {{
        z[i] = exp{f}(z[i] - top);
        sum += z[i];
    }}
    for (long i = 0; i < n; i++)
        z[i] /= sum;
}}
"""

# Eight partial sums: more accurate than one, and a compiler can put them into one register.
_DENSE = """\
/* z = W x + b; W has a row for each output. */
static void {name}_dense(long n_in, long n_out,
        {parameters}, const {real} *x, {real} *z) {{
    const long whole = n_in / 8 * 8;
    for (long i = 0; i < n_out; i++, w += n_in) {{
        {real} part[8] = {{0}}, sum = 0.0{f};
        for (long j = 0; j < whole; j += 8)
            for (int k = 0; k < 8; k++)
                part[k] += {weight}w[j + k] * x[j + k];
        for (long j = whole; j < n_in; j++)
            sum += {weight}w[j] * x[j];
        for (int k = 0; k < 8; k++)
            sum += part[k];
        z[i] = {factor}sum + b[i];
    }}
}}
"""

_SCALE = """\
static void {name}_scale(const {real} *x, {real} *a) {{
    for (long i = 0; i < {n_in}; i++)
        a[i] = (x[i] - {name}_shift[i]) * {name}_factor[i];
}}
"""


class QuantizationLoss(NamedTuple):
    """What rounding the weights to eight bits does to the outputs on the given data.

    Attributes
    ----------
    examples : int
        How many were looked at.
    max_error, rms_error : float
        Largest and root mean square difference of an output.
    cost : pair of float or None
        The cost with the original and with the rounded weights; None without targets.
    accuracy : pair of float or None
        The same for the accuracy of the likeliest class; None without class labels.
    """

    examples: int
    max_error: float
    rms_error: float
    cost: tuple[float, float] | None = None
    accuracy: tuple[float, float] | None = None

    def __str__(self) -> str:
        lines = [
            f"int8 weights on {self.examples:,} examples: outputs off by at most "
            f"{self.max_error:.3g}, by {self.rms_error:.3g} in the root mean square"
        ]
        if self.cost is not None:
            lines.append("cost {:.6g} -> {:.6g}".format(*self.cost))
        if self.accuracy is not None:
            lines.append("accuracy {:.2%} -> {:.2%}".format(*self.accuracy))
        return "; ".join(lines)


def save_c(
    network: Model, path: Any, name: str | None, weights: str | None, data: Any
) -> QuantizationLoss | None:
    """Write a network as C; see `Network.to_c`."""
    name = _as_name(name, path)
    kind = str(network.dtype) if weights is None else as_choice(weights, "weights", WEIGHTS)
    if data is not None and kind != "int8":
        raise ValueError('data is for weights="int8", whose effect it measures')
    if not np.isfinite(network.parameters).all():
        raise ValueError(f"parameters and scaling must be finite as {kind}")
    loss = None
    if kind == "int8" and data is not None:
        loss = _measure(network, data)
    text = "".join(_Writer(network, name, kind, loss).lines()).encode()
    write_atomically(path, lambda file: file.write(text))
    return loss


def _as_name(name: Any, path: Any) -> str:
    """Return a prefix for everything the file defines, by default made from its name."""
    if name is None:
        stem = re.sub(r"\W", "_", Path(as_path(path)).stem, flags=re.ASCII).lstrip("_")
        return stem if stem[:1].isalpha() else f"net_{stem}"
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if re.fullmatch(r"[A-Za-z]\w*", name, flags=re.ASCII) is None:
        raise ValueError(f"name must be a C identifier that begins with a letter, got {name!r}")
    return name


def quantize(w: Array) -> tuple[Array, Array]:
    """Return weights as int8, (n_out, n_in), and the float32 factor of every row, (n_out,).

    The factor is the row's largest absolute weight over 127; weights are rounded to the nearest.
    """
    factor = (np.abs(w).max(axis=1) / 127.0).astype(FLOAT32)
    divisor = np.where(factor > 0.0, factor, np.float32(1.0)).astype(FLOAT64)
    return np.clip(np.rint(w / divisor[:, None]), -127, 127).astype(np.int8), factor


def _measure(network: Model, data: Any) -> QuantizationLoss:
    """Compare a network with its copy whose weights are rounded."""
    from ..inputs import as_inputs

    with_targets = isinstance(data, tuple) and len(data) == 2
    x, y = data if with_targets else (data, None)
    x = as_inputs(x, network.widths[0], network.dtype)
    rounded = copy.copy(network)
    for layer, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        values, factor = quantize(w)
        rounded.set_layer(layer, values * factor[:, None], b)
    outputs = [net.predict(x) for net in (network, rounded)]
    difference = np.abs(outputs[1].astype(FLOAT64) - outputs[0])
    cost = accuracy = None
    if y is not None:
        cost = network.cost(x, y), rounded.cost(x, y)
        labels = np.asarray(y)
        if labels.dtype.kind in "iu" and network.loss == "cross_entropy" and labels.size == len(x):
            hits = [float((out.argmax(axis=1) == labels.ravel()).mean()) for out in outputs]
            accuracy = hits[0], hits[1]
    rms = float(np.sqrt((difference**2).mean()))
    return QuantizationLoss(len(x), float(difference.max()), rms, cost, accuracy)


class _Writer:
    """Puts the text of the file together."""

    def __init__(self, network: Model, name: str, kind: str, loss: QuantizationLoss | None) -> None:
        self.network, self.name, self.kind, self.loss = network, name, kind, loss
        self.dtype = FLOAT64 if kind == "float64" else FLOAT32
        self.words = {
            "name": name,
            "real": "double" if self.dtype == FLOAT64 else "float",
            "f": "" if self.dtype == FLOAT64 else "f",
            "n_in": network.widths[0],
        }
        # Layers write to two buffers in turn; the scaled inputs, if any, take the first turn.
        inner = network.widths[1:-1]
        self.first = network.widths[:1] if network.scaling is not None else ()
        steps = (*self.first, *inner)
        self.sizes = [max(steps[turn::2], default=0) for turn in (0, 1)]

    def lines(self) -> Iterator[str]:
        """Yield the pieces of the file in order."""
        signature = "void {name}_predict(const {real} *x, {real} *y)".format(**self.words)
        yield self._head(signature)
        yield f"#include <math.h>\n\n{signature};\n\n"
        yield from self._constants()
        for text in self._functions():
            yield text + "\n"
        yield self._predict(signature)

    def _head(self, signature: str) -> str:
        """Return the comment that says what the file is."""
        network, metadata = self.network, self.network.metadata
        shape = "".join(
            f" -> {width} {name}"
            for width, name in zip(network.widths[1:], network.activations, strict=True)
        )
        stored = f"weights as {self.kind}"
        if self.kind == "int8":
            stored += ", with a factor for each row"
        paragraphs = [
            f"{self.name}: a dense network, written by pybackprop {__version__}.",
            f"{network.widths[0]}{shape}; {network.n_parameters:,} parameters, {stored}.",
        ]
        if network.scaling is not None:
            paragraphs.append("Inputs are raw: (x - shift) * factor is part of the network.")
        for title, key, width in (
            ("x: ", "feature_names", network.widths[0]),
            ("y: ", "class_names", network.widths[-1]),
            ("y: ", "target_names", network.widths[-1]),
        ):
            names = metadata.get(key)
            if isinstance(names, list) and len(names) == width and width <= 64:
                paragraphs.append(title + ", ".join(_plain(each) for each in names) + ".")
        if self.loss is not None:
            paragraphs.append(f"Measured: {self.loss}.")
        size = self.dtype.itemsize * sum(self.sizes)
        paragraphs.append(
            f"{signature} reads {network.widths[0]} numbers and writes {network.widths[-1]}; x and "
            f"y must not overlap. No state and no allocation, {size:,} bytes of buffers on the "
            "stack; C99, to be linked with -lm."
        )
        wrapped = [textwrap.wrap(each, 96, break_on_hyphens=False) for each in paragraphs]
        body = "\n *\n".join("\n".join(f" * {line}" for line in lines) for lines in wrapped)
        return f"/*{body[2:]}\n */\n"

    def _array(self, name: str, values: Array, dtype: np.dtype[Any] | None = None) -> str:
        """Return a constant array; every row of a matrix begins a line."""
        stored = self.dtype if dtype is None else dtype
        real = "signed char" if stored == np.int8 else self.words["real"]
        with np.errstate(over="ignore"):
            rows = values.astype(stored).reshape(-1, values.shape[-1])
        if not np.isfinite(rows).all():
            raise ValueError(f"parameters and scaling must be finite as {self.kind}")
        shape = "" if values.ndim == 1 else " /* {} rows of {} */".format(*values.shape)
        text = "\n".join(_wrapped(self._numbers(row)) for row in rows)
        return f"static const {real} {self.name}_{name}[{values.size}] = {{{shape}\n{text}\n}};\n\n"

    def _numbers(self, row: Array) -> Iterable[str]:
        """Return numbers as the shortest literals that reproduce them exactly."""
        suffix = "" if row.dtype == np.int8 else self.words["f"]
        return (f"{value}{suffix}" for value in row.astype(str).tolist())

    def _constants(self) -> Iterator[str]:
        """Yield the scaling and the parameters."""
        network = self.network
        if network.scaling is not None:
            shift, factor = network.scaling
            yield self._array("shift", shift)
            yield self._array("factor", factor)
        for layer, (w, b) in enumerate(zip(network.weights, network.biases, strict=True), 1):
            if self.kind == "int8":
                values, factor = quantize(w)
                yield self._array(f"w{layer}", values, values.dtype)
                yield self._array(f"s{layer}", factor)
            else:
                yield self._array(f"w{layer}", w)
            yield self._array(f"b{layer}", b)

    def _functions(self) -> Iterator[str]:
        """Yield the functions that the layers need, and no other."""
        words = self.words
        if self.network.scaling is not None:
            yield _SCALE.format(**words)
        int8 = self.kind == "int8"
        stored = "signed char" if int8 else words["real"]
        parameters = f"const {stored} *w, const {words['real']} *b"
        if int8:
            parameters = f"const {stored} *w, const float *s, const float *b"
        yield _DENSE.format(
            **words,
            parameters=parameters,
            weight="(float)" if int8 else "",
            factor="s[i] * " if int8 else "",
        )
        used = sorted(set(self.network.activations))
        for helper in dict.fromkeys(_HELPERS[name] for name in used if name in _HELPERS):
            yield helper.format(**words)
        for activation in used:
            if activation == "softmax":
                yield _SOFTMAX.format(**words)
            elif activation != "identity":
                formula = _ACTIVATIONS[activation].format(**words)
                yield _ACTIVATION.format(**words, activation=activation, formula=formula)

    def _predict(self, signature: str) -> str:
        """Return the function that is called from outside."""
        network, name = self.network, self.name
        buffers = ", ".join(
            f"{letter}[{size}]" for letter, size in zip("ab", self.sizes, strict=True) if size
        )
        lines = [f"{self.words['real']} {buffers};"] if buffers else []
        source, turn = "x", 0
        if self.first:
            lines.append(f"{name}_scale(x, a);")
            source, turn = "a", 1
        last = len(network.weights)
        for layer in range(1, last + 1):
            n_in, n_out = network.widths[layer - 1 : layer + 1]
            target = "y" if layer == last else "ab"[turn % 2]
            constants = [f"{name}_{kind}{layer}" for kind in ("w", "s", "b")]
            if self.kind != "int8":
                del constants[1]
            arguments = ", ".join([str(n_in), str(n_out), *constants, source, target])
            lines.append(f"{name}_dense({arguments});")
            activation = network.activations[layer - 1]
            if activation != "identity":
                lines.append(f"{name}_{activation}({n_out}, {target});")
            source, turn = target, turn + 1
        body = "\n".join(f"    {line}" for line in lines)
        return f"{signature} {{\n{body}\n}}\n"


def _plain(value: Any) -> str:
    """Return a text that cannot end a comment, nor mean anything to a compiler."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    # Replace backslashes first, because the slash put there can be half of the end of a comment.
    return _SPECIAL.sub(" ", text.replace("\\", "/"))


def _wrapped(numbers: Iterable[str]) -> str:
    """Return numbers with commas in indented lines of at most 100 columns."""
    lines, line = [], "   "
    for number in numbers:
        if len(line) + len(number) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {number},"
    return "\n".join([*lines, line])
