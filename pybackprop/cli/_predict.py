"""``pybackprop predict``: the outputs of a saved network for a file of inputs, as CSV."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from typing import IO, TYPE_CHECKING, Any

from ._output import tell
from ._parser import Commands, add_json, command, print_json, refuse_same_file
from ._scores import accuracy, r_squared

if TYPE_CHECKING:
    from .. import Network

_EPILOG = """\
DATA is what `train` takes, with or without targets: a table in the form of the one the model was
trained on (columns in any order, if it has a header), an .npz with x, an .npy of inputs, an IDX
file of images, or a built-in name or folder, whose held-out part is used if it has one.

The output is CSV with a header: for classes, the name of the likeliest class and the output for
each class; otherwise the predicted numbers in raw units. If DATA holds the targets too, the score
goes to standard error.

examples:
  pybackprop predict houses.npz new.csv
  pybackprop predict houses.npz new.csv --output prices.csv
  pybackprop predict houses.npz new.csv --json
  pybackprop predict mnist.npz t10k-images-idx3-ubyte.gz | head
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Predict from a file with a saved model."
    parser = command(commands, "predict", run, summary, _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="file that `train --save` wrote")
    parser.add_argument("data", metavar="DATA", help="file of inputs, see below")
    parser.add_argument("--output", metavar="FILE.csv", help="where to write (standard output)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    from .. import Network
    from ..files.write import write_atomically

    refuse_same_file(args.output, MODEL=args.model, DATA=args.data)
    net = Network.load(args.model)
    about = _About(net, args.model)
    x, y = _read(args.data, about)
    if x.shape[1] != net.widths[0]:
        raise ValueError(
            f"{args.data}: has {x.shape[1]} inputs an example, but the model takes {net.widths[0]}"
        )
    outputs = net.predict(x)
    if args.json:
        if args.output is not None:
            raise ValueError("--json prints, so that --output does not apply")
        print_json(_as_object(about, outputs, y))
        return 0
    if args.output is None:
        _write(sys.stdout, about, outputs)
    else:
        write_atomically(args.output, lambda file: _write_bytes(file, about, outputs))
    if y is not None:
        name, score = "R²", f"{r_squared(outputs, y):.4f}" if about.classes is None else ""
        if about.classes is not None:
            name, score = "accuracy", f"{accuracy(outputs, y):.2%}"
        tell(f"{name} {score} on {len(y):,} examples")
    return 0


def _as_object(about: _About, outputs: Any, y: Any) -> dict[str, Any]:
    """Return predictions, and the score if there are targets, for JSON."""
    found: dict[str, Any] = {"examples": len(outputs), "outputs": outputs}
    if about.classes is None:
        found["targets"] = about.targets
    else:
        found["classes"] = about.classes
        found["predicted"] = [about.classes[best] for best in outputs.argmax(axis=1)]
    if y is not None and about.classes is None:
        found["r_squared"] = r_squared(outputs, y)
    elif y is not None:
        found["accuracy"] = accuracy(outputs, y)
    return found


class _About:
    """What the metadata of a model say, checked; a model without them gets plain names."""

    def __init__(self, net: Network, path: str) -> None:
        n_out = net.widths[-1]
        self.encoding: Any = net.metadata.get("encoding")
        self.classes: Any = net.metadata.get("class_names")
        self.targets: Any = net.metadata.get("target_names")
        if self.targets is None:
            self.targets = ["y"] if n_out == 1 else [f"y{at}" for at in range(n_out)]
        for name, length in (("classes", n_out), ("targets", 1 if self.classes else n_out)):
            value = getattr(self, name)
            right = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
            if value is not None and not (right and len(value) == length):
                raise ValueError(f"{path}: the model's names of {name} do not fit its outputs")

    @property
    def task(self) -> Any:
        """The task in the words of `pybackprop.datasets`."""
        return "regression" if self.classes is None else "classification"


def _read(path: str, about: _About) -> tuple[Any, Any | None]:
    """Read inputs and, if they are there and fit the model, targets."""
    from ..datasets import BUILT_IN, Encoding, is_table, load, load_inputs

    if path not in BUILT_IN and is_table(path):
        if about.encoding is None:
            raise ValueError(f"{path}: the model was not trained on a table, so how is unknown")
        return Encoding.from_json(about.encoding).encode(path)
    x = None if path in BUILT_IN else load_inputs(path)
    if x is not None:
        return x, None
    # Only in an archive can numbers be taken for classes, or the other way round.
    data = load(path, task=about.task if path.endswith(".npz") else None)
    held_out = data.x_test is not None
    x, y = (data.x_test, data.y_test) if held_out else (data.x, data.y)
    if about.task != data.task:
        return x, None
    if data.class_names is not None:
        return x, _as_classes_of(about.classes, data.class_names, y)
    return x, y if len(data.target_names) == len(about.targets) else None


def _as_classes_of(known: list[str], names: tuple[str, ...], y: Any) -> Any | None:
    """Return class indices of a data set as those of the model; None if some are unknown to it."""
    import numpy as np

    if not set(names) <= set(known):
        return None
    return np.array([known.index(name) for name in names])[y]


def _write_bytes(file: IO[bytes], about: _About, outputs: Any) -> None:
    """Write the predictions as UTF-8."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    _write(text, about, outputs)
    text.detach()


def _write(file: Any, about: _About, outputs: Any) -> None:
    """Write the predictions as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    if about.classes is None:
        writer.writerow(about.targets)
        writer.writerows(outputs)
        return
    writer.writerow([about.targets[0], *(f"p({name})" for name in about.classes)])
    for best, row in zip(outputs.argmax(axis=1).tolist(), outputs, strict=True):
        writer.writerow([about.classes[best], *row])
