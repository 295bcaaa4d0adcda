"""``pybackprop export``: a saved network for other tools."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ._output import tell
from ._parser import Commands, add_json, command, print_json, refuse_same_file

_EPILOG = """\
  c             one C99 file that needs nothing but <math.h>; with --weights int8 a quarter of the
                size, and with --data what that does to the outputs
  onnx          for ONNX Runtime and others (needs the package onnx)
  safetensors   weights that PyTorch reads (needs the package safetensors)
  npz           NumPy's own format, which `train --save` writes

MODEL is a file of one of the last three. The exported network takes inputs in raw units, numbers of
a table as they are and 0 or 1 for its categories, except after `train --scaling robust`: then it
takes what this scaling makes of them, as pybackprop.datasets.Encoding.read returns them.

examples:
  pybackprop export houses.npz --to onnx
  pybackprop export houses.npz --to c --output firmware/houses.c --name houses
  pybackprop export digits.npz --to c --weights int8 --data digits
  pybackprop export other.onnx --to npz
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    summary = "Write a saved model in a format that other tools read."
    parser = command(commands, "export", run, summary, _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="a saved model")
    parser.add_argument("--to", choices=("onnx", "c", "safetensors", "npz"), required=True)
    parser.add_argument("--output", metavar="FILE", help="where to write (beside MODEL)")
    parser.add_argument("--name", help="c: prefix of all names in the file (the file name)")
    parser.add_argument("--weights", choices=("float32", "float64", "int8"), help="c: their type")
    parser.add_argument("--data", metavar="DATA", help="c: examples to measure int8 weights on")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Load and write."""
    from .. import Network

    if args.to != "c" and (args.name or args.weights or args.data):
        raise ValueError("--name, --weights and --data are for --to c")
    suffix = f".{args.to}"
    output = args.output or os.path.splitext(args.model)[0] + suffix
    if args.to in ("npz", "safetensors") and not output.lower().endswith(suffix):
        raise ValueError(f"--output must end with {suffix}, got {output}")
    if args.output is None and os.path.exists(output):
        raise ValueError(f"{output} exists; name it with --output to replace it")
    refuse_same_file(output, MODEL=args.model, DATA=args.data)
    onnx = args.model.lower().endswith(".onnx")
    net = Network.from_onnx(args.model) if onnx else Network.load(args.model)
    loss = None
    if args.to == "c":
        data = None if args.data is None else _examples(args)
        loss = net.to_c(output, name=args.name, weights=args.weights, data=data)
    elif args.to == "onnx":
        net.to_onnx(output)
    else:
        net.save(output)
    encoding = net.metadata.get("encoding")
    if isinstance(encoding, dict) and encoding.get("scaling") is not None:
        tell("note: the exported network takes inputs after the robust scaling of the table")
    size = os.path.getsize(output)
    if args.json:
        measured = None if loss is None else loss._asdict()
        print_json({"saved": output, "bytes": size, "quantization": measured})
        return 0
    print(net)
    if loss is not None:
        print(loss)
    print(f"saved as {output} ({size:,} bytes)")
    return 0


def _examples(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return inputs and targets to measure on."""
    from ._show import _load

    _, x, y = _load(args.model, args.data)
    return x, y
