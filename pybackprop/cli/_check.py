"""``pybackprop check``: gradients by backpropagation against differences of the cost."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import asdict
from typing import Any

from ._parser import (
    ACTIVATIONS,
    LOSSES,
    Commands,
    add_json,
    command,
    count,
    number,
    print_json,
    seed,
)

_EPILOG = """\
The derivative in each parameter and input is compared with a central difference of the cost,
computed in float64, at random inputs and targets. Entries whose difference spans a kink of an
activation or loss are counted separately, and so are those too small compared with the rounding of
the cost. Exit code 1 if gradients disagree.

examples:
  pybackprop check model.npz
  pybackprop check 4-8-8-3
  pybackprop check 2-3-1 --table 5
  pybackprop check 64-128-10 --activation gelu --loss cross_entropy --entries 500
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Compare gradients by backpropagation with differences of the cost."
    parser = command(commands, "check", run, summary, _EPILOG)
    parser.add_argument(
        "network", metavar="MODEL|WIDTHS", help="a saved model, or widths such as 4-8-8-3"
    )
    parser.add_argument(
        "--activation", choices=ACTIVATIONS, help="of the hidden layers (WIDTHS only; tanh)"
    )
    parser.add_argument("--loss", choices=LOSSES, help="the loss (WIDTHS only; mse)")
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), help="of the network (WIDTHS only; float64)"
    )
    parser.add_argument("--batch", type=count(1), default=8, help="examples (%(default)s)")
    parser.add_argument(
        "--entries", type=count(1), default=200, help="entries to check of each array (%(default)s)"
    )
    parser.add_argument(
        "--tolerance", type=number(0.0), help="largest relative error (by type of the network)"
    )
    parser.add_argument(
        "--table",
        type=count(1),
        nargs="?",
        const=10,
        metavar="ROWS",
        help="list both derivatives for the first ROWS entries of each array (%(const)s)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the draws (%(default)s)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check, print the table, and return 1 if gradients disagree."""
    from ..check import check_gradients

    net = _network(args)
    x, y = _examples(net, args.batch, args.seed)
    result = check_gradients(
        net, x, y, entries=args.entries, tolerance=args.tolerance, seed=args.seed
    )
    if args.json:
        print_json({"network": str(net), "ok": result.ok, "error": result.error, **asdict(result)})
        return 0 if result.ok else 1
    print(net)
    if args.table is not None:
        print(result.table(rows=args.table))
        print()
    print(result)
    return 0 if result.ok else 1


def _network(args: argparse.Namespace) -> Any:
    """Load or make the network to be checked."""
    from .. import Network
    from ..losses import OUTPUT_OF

    given = {name: getattr(args, name) for name in ("activation", "loss", "dtype")}
    if re.fullmatch(r"\d+(-\d+)+", args.network) is None:
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"--{name} does not apply to a saved model, which has its own")
        if not os.path.exists(args.network):
            raise ValueError(
                f"{args.network}: no such file, and not a list of widths such as 4-8-8-3"
            )
        return Network.load(args.network)
    loss = given["loss"] or "mse"
    return Network(
        [int(width) for width in args.network.split("-")],
        activation=given["activation"] or "tanh",
        output=OUTPUT_OF.get(loss, "identity"),
        loss=loss,
        dtype=given["dtype"] or "float64",
        seed=args.seed,
    )


def _examples(net: Any, batch: int, seed: int) -> tuple[Any, Any]:
    """Draw inputs that look standard normal to the first layer, and targets for the loss."""
    import numpy as np

    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, net.widths[0]))
    if net.scaling is not None:
        shift, scale = net.scaling
        x = x / np.where(scale == 0.0, 1.0, scale) + shift
    if net.loss == "cross_entropy":
        return x, rng.integers(0, net.widths[-1], batch)
    outputs = (batch, net.widths[-1])
    if net.loss == "binary_cross_entropy":
        return x, rng.integers(0, 2, outputs).astype(np.float64)
    # If targets are off by as much as the outputs vary, the errors stay well above rounding.
    y = net.predict(x).astype(np.float64)
    spread = float(np.std(y)) or 1.0
    return x, y + spread * rng.standard_normal(outputs)
