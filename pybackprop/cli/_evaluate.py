"""``pybackprop evaluate``: cost and scores of a saved network on data with targets."""

from __future__ import annotations

import argparse
from typing import Any

from ..scores import accuracy, r_squared
from ._parser import Commands, add_json, command, print_json

_EPILOG = """\
DATA is what `predict` takes, with targets. For classes: accuracy over all examples, and for each
class how many of its examples were recognised (recall). For numbers: R², the root mean square and
the mean absolute error, in raw units.

examples:
  pybackprop evaluate houses.npz test.csv
  pybackprop evaluate digits.npz digits
  pybackprop evaluate digits.npz digits --json
"""

_TITLES = {
    "examples": "examples",
    "cost": "cost",
    "accuracy": "accuracy",
    "r_squared": "R²",
    "rms_error": "root mean square error",
    "mean_error": "mean absolute error",
}


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Print cost and scores of a saved model on data with targets."
    parser = command(commands, "evaluate", run, summary, _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="file that `train --save` wrote")
    parser.add_argument("data", metavar="DATA", help="file with inputs and targets, see below")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    from ._show import _load

    net, x, y = _load(args.model, args.data)
    figures = {"examples": len(x), "cost": net.cost(x, y), **_scores(net, net.predict(x), y)}
    if args.json:
        print_json(figures)
        return 0
    recall = figures.pop("recall", {})
    for name, value in figures.items():
        text = f"{value:,}" if name == "examples" else f"{value:.6g}"
        print(f"{_TITLES[name]:<26}{f'{value:.2%}' if name == 'accuracy' else text:>12}")
    for name, share in recall.items():
        print(f"{f'recall of {name}':<26}{'none' if share is None else f'{share:.2%}':>12}")
    return 0


def _scores(net: Any, outputs: Any, y: Any) -> dict[str, Any]:
    """Return how good outputs are: y are labels, a row for each of 0 and 1, or numbers."""
    import numpy as np

    names = net.metadata.get("class_names")
    if names is None and net.loss != "cross_entropy":
        error = outputs.astype(np.float64) - np.reshape(y, outputs.shape)
        return {
            "r_squared": r_squared(outputs, y),
            "rms_error": float(np.sqrt((error**2).mean())),
            "mean_error": float(np.abs(error).mean()),
        }
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    names = range(outputs.shape[1]) if names is None else names
    hit = outputs.argmax(axis=1) == labels
    return {
        "accuracy": accuracy(outputs, labels),
        "recall": {
            str(name): float(hit[labels == at].mean()) if (labels == at).any() else None
            for at, name in enumerate(names)
        },
    }
