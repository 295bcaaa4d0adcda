"""``pybackprop show``: a web page on which the passes of a network can be followed."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from ._parser import Commands, command, count

if TYPE_CHECKING:
    from .. import Network

_EPILOG = """\
The page holds the network with the values of the forward pass and the derivatives of the backward
pass of a few held-out examples. It is one file, which loads nothing and needs no server.

For a built-in name or a path of a data set, a small network is trained first, in a second or so.
For a model that `train --save` wrote, --data says where its examples come from.

examples:
  pybackprop show digits --save page.html
  pybackprop show houses.npz --data houses.csv --save page.html
"""

# Hidden layers that can be drawn whole, and how many updates train them well enough to look at.
_WIDTHS = (12, 12)
_UPDATES = 1000


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Write a web page on which the passes of a network can be followed."
    parser = command(commands, "show", run, summary, _EPILOG)
    parser.add_argument("source", metavar="MODEL|DATA", help="a saved model, or a data set")
    parser.add_argument("--save", metavar="PAGE.html", required=True, help="where to write")
    parser.add_argument("--data", metavar="DATA", help="examples for a saved model")
    parser.add_argument("--examples", type=count(1), default=10, help="on the page (%(default)s)")
    parser.add_argument(
        "--neurons", type=count(2), default=12, help="drawn of each layer, at most (%(default)s)"
    )
    parser.add_argument("--seed", type=count(0), default=0, help="of the training (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Load or train, and write the page."""
    if args.data is None:
        net, x, y = _train(args.source, args.seed)
    else:
        net, x, y = _load(args.source, args.data)
    rows = _varied(y, args.examples)
    net.show(
        x[rows],
        y[rows],
        args.save,
        examples=args.examples,
        neurons=args.neurons,
        image_shape=_image_shape(net),
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
    x, y = _read(source, about)
    if x.shape[1] != net.widths[0]:
        raise ValueError(
            f"{source}: has {x.shape[1]} inputs an example, but the model takes {net.widths[0]}"
        )
    if y is None:
        raise ValueError(f"{source}: holds no targets for this model, which the cost needs")
    if about.classes is not None and net.loss != "cross_entropy":
        y = np.eye(net.widths[-1])[y]
    return net, x, y


def _train(source: str, seed: int) -> tuple[Network, Any, Any]:
    """Train a small network; return it with the held-out part."""
    from .. import Adam, Network, datasets
    from ._train import _metadata, _targets

    if source.endswith(".npz") and _is_model(source):
        raise ValueError(f"{source}: a saved model needs --data, the data set to take examples of")
    data = datasets.load(source)
    if data.x_test is None:
        data = data.split(0.2, seed)
    for_classes = data.class_names is not None
    net = Network(
        [data.n_features, *_WIDTHS, data.n_outputs],
        output="softmax" if for_classes else "identity",
        loss="cross_entropy" if for_classes else "mse",
        seed=seed,
    )
    net.set_scaling(*data.scaling())
    epochs = min(max(round(_UPDATES * 32 / data.n_examples), 1), 200)
    net.fit(data.x, _targets(data, net, data.y), epochs=epochs, optimizer=Adam(3e-3))
    net.metadata = _metadata(data)
    return net, data.x_test, _targets(data, net, data.y_test)


def _is_model(path: str) -> bool:
    """Tell a saved model from an archive of examples."""
    from .. import Network

    try:
        Network.load(path)
    except ValueError:
        return False
    return True


def _varied(y: Any, most: int) -> Any:
    """Return indices of up to `most` rows: of labels, the first of each class come first."""
    import numpy as np

    if y.ndim > 1:
        return np.arange(min(most, len(y)))
    order = np.argsort(y, kind="stable")
    rank = np.empty(len(y), np.intp)
    starts = np.searchsorted(y[order], y[order])
    rank[order] = np.arange(len(y)) - starts
    return np.lexsort((y, rank))[:most]


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
