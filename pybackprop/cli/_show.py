"""``pybackprop show``: a web page that shows the passes of a network step by step."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..initializers import NAMES as INITS
from ._data import TABLE_OPTIONS, add_data_options, load_data, metadata_of, split
from ._fitting import targets_of
from ._output import tell
from ._parser import ACTIVATIONS, Commands, Parser, command, count, seed

if TYPE_CHECKING:
    from .. import Network

_EPILOG = """\
The page holds the network with the values of the forward pass and the derivatives of the backward
pass of a few held-out examples, and can train networks like it on up to 256 of the held-out
examples. It is one file, which loads nothing and needs no server.

For a built-in name or a path of a data set, a small network is trained first, in a second or so;
--epochs 0 shows it as it starts. For a model that `train --save` wrote, --data says where its
examples come from.

examples:
  pybackprop show digits --save page.html
  pybackprop show spirals --hidden 8 8 8 --activation tanh --epochs 0 --save page.html
  pybackprop show houses.csv --target price --ignore id --save page.html
  pybackprop show houses.npz --data houses.csv --save page.html
"""

# Hidden layers that can be drawn whole, and how many updates train them well enough to look at.
_WIDTHS = (12, 12)
_UPDATES = 1000


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Write a web page that shows the passes of a network step by step."
    parser = command(commands, "show", run, summary, _EPILOG)
    parser.add_argument("source", metavar="MODEL|DATA", help="a saved model, or a data set")
    parser.add_argument("--save", metavar="PAGE.html", required=True, help="where to write")
    parser.add_argument("--data", metavar="DATA", help="examples for a saved model")
    parser.add_argument("--examples", type=count(1), default=10, help="on the page (%(default)s)")
    parser.add_argument(
        "--neurons", type=count(2), default=12, help="most neurons drawn per layer (%(default)s)"
    )
    _add_network_options(parser)
    add_data_options(parser)


def _add_network_options(parser: Parser) -> None:
    """Describe the network that is trained for a data set; None means the default."""
    group = parser.add_argument_group("network, for a data set")
    parser.add_list(
        group,
        "--hidden",
        count(1),
        least=0,
        metavar="N",
        help="widths of the hidden layers (12 12); none for a linear model",
    )
    group.add_argument("--activation", choices=ACTIVATIONS, help="of hidden layers (relu)")
    group.add_argument("--init", choices=INITS, help="of the weights (auto)")
    group.add_argument(
        "--epochs", type=count(0), help="to train; 0 for none (32,000 / examples, 1 to 200)"
    )
    group.add_argument("--seed", type=seed, help="of the weights and the training (0)")


def run(args: argparse.Namespace) -> int:
    """Load or train, and write the page."""
    if not args.save.lower().endswith((".html", ".htm")):
        raise ValueError(f"--save must end with .html, got {args.save}")
    if args.data is None:
        net, x, y = _train(args)
    else:
        for name in ("target", "task", *TABLE_OPTIONS):
            if getattr(args, name):
                option = name.replace("_", "-")
                raise ValueError(
                    f"--{option} does not apply with --data: the model says how to read it"
                )
        for name in ("hidden", "activation", "init", "epochs", "seed"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} does not apply with --data: the model is trained")
        net, x, y = _load(args.source, args.data)
    # The examples to walk through come first, one of each class; the page can learn from all.
    rows = _varied(y)
    net.show(
        x[rows],
        y[rows],
        args.save,
        examples=args.examples,
        neurons=args.neurons,
        image_shape=_image_shape(net),
        title=_title(args.source if args.data is None else args.data),
    )
    print(net)
    print(f"saved as {args.save}")
    return 0


def _load(model: str, source: str) -> tuple[Network, Any, Any]:
    """Load a saved model and examples for it."""
    import numpy as np

    from .. import Network
    from ._predict import _About, _read

    net = Network.load(model)
    about = _About(net, model)
    found = _read(source, about)
    x, y = found.x, found.y
    for note in found.notes:
        tell(f"note: {note}")
    if x.shape[1] != net.widths[0]:
        raise ValueError(
            f"{source}: has {x.shape[1]} inputs an example, but the model takes {net.widths[0]}"
        )
    if y is None:
        raise ValueError(f"{source}: holds no targets for this model, which the cost needs")
    if about.classes is not None and net.loss != "cross_entropy":
        y = np.eye(net.widths[-1])[y]
    return net, x, y


def _train(args: argparse.Namespace) -> tuple[Network, Any, Any]:
    """Train a small network; return it with the held-out part."""
    from .. import Adam, Network

    source, seed = args.source, args.seed or 0
    if source.endswith(".npz") and _is_model(source):
        raise ValueError(f"{source}: a saved model needs --data, the data set to take examples of")
    data = load_data(source, args, 0.2, seed, "held-out part")
    if data.x_test is None:
        data = split(data, 0.2, seed, "held-out part")
    for_classes = data.class_names is not None
    net = Network(
        [data.n_features, *(_WIDTHS if args.hidden is None else args.hidden), data.n_outputs],
        activation=args.activation or "relu",
        init=args.init or "auto",
        output="softmax" if for_classes else "identity",
        loss="cross_entropy" if for_classes else "mse",
        seed=seed,
    )
    net.set_scaling(*data.scaling())
    epochs = min(max(round(_UPDATES * 32 / data.n_examples), 1), 200)
    if args.epochs is not None:
        epochs = args.epochs
    if epochs:
        net.fit(data.x, targets_of(data, net, data.y), epochs=epochs, optimizer=Adam(3e-3))
    net.metadata = metadata_of(data)
    return net, data.x_test, targets_of(data, net, data.y_test)


def _title(source: str) -> str:
    """Return what a data set is called: a built-in name, or the name of a file or folder."""
    return Path(source).resolve().stem


def _is_model(path: str) -> bool:
    """Tell a saved model from an archive of examples."""
    from .. import Network

    try:
        Network.load(path)
    except ValueError:
        return False
    return True


def _varied(y: Any) -> Any:
    """Return an order of the rows: of labels, the first of each class come first."""
    import numpy as np

    if y.ndim > 1 or y.dtype.kind == "f":
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    rank = np.empty(len(y), np.intp)
    starts = np.searchsorted(y[order], y[order])
    rank[order] = np.arange(len(y)) - starts
    return np.lexsort((y, rank))


def _image_shape(net: Network) -> tuple[int, int] | None:
    """Return the sides of a picture whose pixels are the inputs, as far as their names tell."""
    names = net.metadata.get("feature_names")
    if not isinstance(names, list) or not names:
        return None
    found = re.fullmatch(r"pixel_(\d+)_(\d+)", str(names[-1]))
    if found is None:
        return None
    height, width = int(found[1]) + 1, int(found[2]) + 1
    return (height, width) if height * width == net.widths[0] else None
