"""The command line: ``pybackprop`` and ``python -m pybackprop``.

One module per command; each has `add_parser`, which describes its arguments, and `run`, which does
the work and returns the exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .._version import __version__
from . import (
    _bench,
    _check,
    _evaluate,
    _export,
    _info,
    _learn,
    _mpi,
    _predict,
    _search,
    _show,
    _train,
)
from ._output import any_character, flush, mute, tell
from ._parser import Parser

__all__ = ["main"]

_EPILOG = """\
examples:
  pybackprop train digits                      learn handwritten digits, in seconds
  pybackprop train houses.csv --target price --save houses.npz
  pybackprop search digits                     find settings, by training many networks
  pybackprop predict houses.npz new.csv --output prices.csv
  pybackprop evaluate houses.npz test.csv      cost and scores on data with targets
  pybackprop export houses.npz --to c          one C file; also onnx, safetensors, npz
  pybackprop show digits --save page.html      look into a network, pass by pass
  pybackprop learn                             backpropagation in twelve lessons
  pybackprop check 4-8-8-3                     compare gradients with differences
  pybackprop bench steps --quick               time training steps against peers
  pybackprop info                              version, CPU, instruction set, threads
  mpiexec -n 4 pybackprop mpi-info             library, ranks, speed of messages

`pybackprop COMMAND --help` explains one command.
"""

# What a shell reports for a command ended by Ctrl-C: 128 + SIGINT.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 for success, 1 if a check failed or the cost diverged, 2 for wrong arguments, a bad file
        or a missing package (one line on standard error says what is wrong), 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if _mpi.is_other_rank(words):
        return _mpi.hushed(_main, words)
    return _main(words)


def _main(words: list[str]) -> int:
    """Run the command line; a failure to write standard output is reported like any other."""
    code = 0
    with any_character():
        try:
            code = _run(words)
            flush()
        except BrokenPipeError:  # the reader, such as `head`, has gone
            mute(sys.stdout)
        except OSError as error:
            mute(sys.stdout)
            code = code or _report("", error, 2)
    return code


def _run(words: list[str]) -> int:
    """Run a command; only a failure to write standard output is left to the caller."""
    parser = Parser(
        prog="pybackprop",
        description="Train, run, see and check dense neural networks.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"pybackprop {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (
        _train,
        _search,
        _predict,
        _evaluate,
        _export,
        _show,
        _learn,
        _check,
        _bench,
        _info,
        _mpi,
    ):
        module.add_parser(commands)
    try:
        args = parser.parse_args(words)
    except SystemExit as leave:
        return int(leave.code or 0)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        tell("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        raise
    except FloatingPointError as error:
        return _report(args.command, error, 1)
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        return _report(args.command, error, 2)


def _report(command: str, error: Exception, code: int) -> int:
    """Say in one line what is wrong, and return the exit code."""
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    tell(f"{f'pybackprop {command}'.strip()}: error: {' '.join(message.split())}")
    return code
