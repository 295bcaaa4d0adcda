"""``pybackprop predict``: the outputs of a saved network for a file of inputs, as CSV."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from typing import IO, TYPE_CHECKING, Any

from ..scores import accuracy, r_squared
from ._data import ReadingProgress, read_stdin
from ._output import tell
from ._parser import Commands, add_json, command, print_json, refuse_same_file

if TYPE_CHECKING:
    from .. import Network
    from ..datasets import Encoded

_EPILOG = """\
DATA is what `train` takes, with or without targets: a table with the columns that the model uses
(in any order and beside others, if it has a header), an .npz with x, an .npy of inputs, an IDX
file of images, or a built-in name or folder, whose held-out part is used if it has one. With - a
table is read from standard input.

Every row of a table is predicted: levels that the model does not know and missing cells are treated
as the training rows suggest, and counted on standard error.

The output is CSV with a header: for classes, the name of the likeliest class and the output for
each class, which are probabilities unless --loss was given; otherwise the predicted numbers in raw
units. --id puts a column of DATA before them. If DATA holds the targets too, the score goes to
standard error.

examples:
  pybackprop predict houses.npz new.csv
  pybackprop predict houses.npz new.csv --output prices.csv
  pybackprop predict houses.npz new.csv --id house --json
  zcat new.csv.gz | pybackprop predict houses.npz - --id house
  pybackprop predict mnist.npz t10k-images-idx3-ubyte.gz | head
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Predict from a file with a saved model."
    parser = command(commands, "predict", run, summary, _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="file that `train --save` wrote")
    parser.add_argument("data", metavar="DATA", help="file of inputs, or -, see below")
    parser.add_argument("--id", metavar="COLUMN", help="column of DATA to put before the output")
    parser.add_argument("--output", metavar="FILE.csv", help="where to write (standard output)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    from .. import Network
    from ..files.write import write_atomically

    refuse_same_file(args.output, MODEL=args.model, DATA=args.data)
    net = Network.load(args.model)
    about = _About(net, args.model)
    found = _read(args.data, about, args.id, check_targets=False)
    x, y, ids = found.x, found.y, found.kept
    if x.shape[1] != net.widths[0]:
        raise ValueError(
            f"{args.data}: has {x.shape[1]} inputs an example, but the model takes {net.widths[0]}"
        )
    if not args.json:
        for note in found.notes:
            tell(f"note: {note}")
    outputs = net.predict(x)
    if args.json:
        if args.output is not None:
            raise ValueError("--json prints, so that --output does not apply")
        object_ = _as_object(about, outputs, y)
        if ids is not None:
            object_["id"] = {"name": args.id, "values": ids}
        print_json({**object_, "notes": found.notes} if found.notes else object_)
        return 0
    if args.output is None:
        _write(sys.stdout, about, outputs, args.id, ids)
    else:
        write_atomically(args.output, lambda file: _write_bytes(file, about, outputs, args.id, ids))
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


def _read(path: str, about: _About, keep: str | None = None, check_targets: bool = True) -> Encoded:
    """Read inputs and, if they are there and fit the model, targets."""
    from ..datasets import BUILT_IN, Encoded, Encoding, is_table

    if path == "-" or (path not in BUILT_IN and is_table(path)):
        if about.encoding is None:
            raise ValueError(f"{path}: the model was not trained on a table, so how is unknown")
        encoding = Encoding.from_json(about.encoding)
        if path == "-":
            return encoding.read(read_stdin(), keep, check_targets=check_targets)
        return encoding.read(path, keep, ReadingProgress(path), check_targets)
    if keep is not None:
        raise ValueError(f"{path}: --id is for tables")
    x, y = _read_arrays(path, about)
    scaling = None if about.encoding is None else Encoding.from_json(about.encoding).scaling
    # Inputs of another number are refused later, as those of any model.
    if scaling is not None and x.shape[1] == len(scaling.center):
        x = scaling(x)
    return Encoded(x, y, [], None)


def _read_arrays(path: str, about: _About) -> tuple[Any, Any | None]:
    """Read inputs and, if they are there and fit the model, targets, not of a table."""
    from ..datasets import BUILT_IN, load, load_inputs

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


def _write_bytes(
    file: IO[bytes], about: _About, outputs: Any, name: str | None, ids: list[str] | None
) -> None:
    """Write the predictions as UTF-8."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    _write(text, about, outputs, name, ids)
    text.detach()


def _write(file: Any, about: _About, outputs: Any, name: str | None, ids: list[str] | None) -> None:
    """Write the predictions as CSV, after the identifiers of the rows if there are any."""
    writer = csv.writer(file, lineterminator="\n")
    before = [()] * len(outputs) if ids is None else [(each,) for each in ids]
    head: list[Any] = [] if ids is None else [name]
    if about.classes is None:
        writer.writerow([*head, *about.targets])
        writer.writerows([*first, *row] for first, row in zip(before, outputs, strict=True))
        return
    writer.writerow([*head, about.targets[0], *(f"p({name})" for name in about.classes)])
    best = outputs.argmax(axis=1).tolist()
    for first, at, row in zip(before, best, outputs, strict=True):
        writer.writerow([*first, about.classes[at], *row])
