"""Whether more nodes would make the steps of a network faster: measured here, then computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..inputs import as_count, as_real
from ._channel import Channel
from ._measure import partners
from ._ranks import Ranks
from ._scaling import Costs, break_even, exchange_seconds, speedup, step_seconds
from ._workers import limit_threads

if TYPE_CHECKING:
    from ..model import Model

_NODES = (2, 4, 16, 64, 256, 1000)

# Each figure comes from so many rounds; steps are timed for about so many seconds.
_LEAST_ROUNDS, _MOST_ROUNDS, _EXCHANGES = 3, 1000, 41
_SECONDS = 0.4

# A round of steps has at most so many batches, and bytes of data; or one batch.
_BATCHES, _DATA = 16, 1 << 24

# The first step also sets up threads and memory: if it is so short, in s, a few more are timed.
_SHORT = 0.01

# What a fit that is timed is given besides data.
_ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("patience", "validation", "sample_weight")),
    **{"callbacks": (), "progress": False, "shuffle": True},
}

# The bytes of a small message, as long as those that carry costs, and of a large one at least.
_SMALL, _LARGE = 128, 1 << 20


def estimate(
    network: Model,
    batch_size: int,
    nodes: Sequence[int] | None = None,
    *,
    latency: float | None = None,
    bandwidth: float | None = None,
    timeout: float = 300.0,
) -> dict[str, Any]:
    """Estimate how much faster several nodes train a network, in a few seconds.

    The steps of `fit` with Adam are timed here, on random data. Messages are timed between rank 0
    and the first rank of another machine, or of this one if there is none, unless latency and
    bandwidth are given. The rest is a formula: see docs/data_parallel.md.

    Parameters
    ----------
    network : Network
        It stays as it is.
    batch_size : int
        Rows of a batch that the nodes share.
    nodes : sequence of int, optional
        Numbers of nodes, each from 2 to `batch_size`; by default some up to 1,000.
    latency, bandwidth : float, optional
        Of messages, in s and bytes/s. With both, no ranks are needed. Without, every rank of an
        MPI program makes this call, and gets the same.
    timeout : float
        How many seconds a rank waits for another one.

    Returns
    -------
    dict
        `parameters`, `batch_size`; `step` (s, on one node), `fixed` (s, of them, which do not
        depend on the batch), `latency`, `bandwidth` and `adding` (bytes/s, of gradients);
        `break_even`, the rows of a batch from which a second node pays, or infinity; `nodes`, a
        list with `nodes`, `step` (s), `messages` (s, of it), `speedup` and `efficiency`.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described, or there is one rank only, and no latency and bandwidth;
        or the network's loss is a function that takes no targets of 0.5, such as one of labels.
    ImportError
        Ranks are needed, but there is no mpi4py, or no library for it.

    Examples
    --------
    >>> import pybackprop as bp
    >>> net = bp.Network([64, 100, 10], seed=0)
    >>> found = bp.distributed.estimate(net, 200, [2], latency=15e-6, bandwidth=3e9)
    >>> found["parameters"], found["nodes"][0]["nodes"], found["step"] > found["fixed"]
    (7510, 2, True)
    """
    rows = as_count(batch_size, "batch_size", low=2)
    chosen = [each for each in _NODES if each <= rows] if nodes is None else nodes
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise TypeError(f"nodes must be a sequence of int, such as [2, 4], got {nodes!r}")
    counts = [as_count(each, "nodes", low=2, high=rows) for each in chosen]
    limit = as_real(timeout, "timeout", low=0.0)
    if (latency is None) != (bandwidth is None):
        raise ValueError("latency and bandwidth must be given together, or measured by ranks")
    gradient = network.n_parameters * network._net.dtype.itemsize
    adding = _time_additions(network)
    if latency is not None and bandwidth is not None:
        messages = as_real(latency, "latency", low=0.0), as_real(bandwidth, "bandwidth", low=1.0)
        whole, half = (_time_steps(network, part) for part in (rows, rows // 2))
    else:
        ranks = Ranks(limit)
        if ranks.n_workers < 2:
            raise ValueError(
                "there is one rank only, which has nobody to send messages to: start two or more "
                "by mpiexec -n 2, or give latency and bandwidth of the network"
            )
        messages = _time_messages(ranks, gradient // 2, limit)
        with limit_threads(ranks.n_threads):
            own = [adding, *(-_time_steps(network, part) for part in (rows, rows // 2))]
        # All wait for the slowest.
        adding, whole, half = (abs(min(each)) for each in zip(*ranks.gather(own), strict=True))
    per_row = max(whole - half, 0.0) / (rows - rows // 2)
    costs = Costs(max(whole - rows * per_row, 0.0), per_row, gradient, *messages, adding)
    return _describe(network, rows, counts, costs)


def _describe(network: Model, rows: int, counts: list[int], costs: Costs) -> dict[str, Any]:
    """Return the result."""
    return {
        "parameters": network.n_parameters,
        "batch_size": rows,
        "step": step_seconds(costs, rows, 1),
        "fixed": costs.fixed,
        "latency": costs.latency,
        "bandwidth": costs.bandwidth,
        "adding": costs.adding,
        "break_even": break_even(costs),
        "nodes": [
            {
                "nodes": count,
                "step": step_seconds(costs, rows, count),
                "messages": exchange_seconds(costs, count),
                "speedup": speedup(costs, rows, count),
                "efficiency": speedup(costs, rows, count) / count,
            }
            for count in counts
        ],
    }


def _time_steps(network: Model, rows: int) -> float:
    """Return the time of a step of `fit`, in s: the median of some epochs."""
    model = type(network)._from_state(*network._state())
    try:
        (first,) = _time_epochs(model, rows, 1, 1)
    except Exception as error:
        if not callable(network.loss):
            raise
        raise ValueError(
            f"network must have a loss that takes targets of 0.5, of shape ({rows}, "
            f"{network._net.n_out}), to be timed; its own raised {type(error).__name__}: {error}; "
            "pass a network of the same widths with loss='mse'"
        ) from error
    if first < _SHORT:
        first = min(_time_epochs(model, rows, 1, _LEAST_ROUNDS))
    batches, epochs = _rounds(network, rows, first)
    return float(np.median(_time_epochs(model, rows, batches, epochs))) / batches


def _rounds(network: Model, rows: int, step: float) -> tuple[int, int]:
    """Return how many batches and epochs to time, if a step takes about so many seconds."""
    net = network._net
    size = rows * (net.n_in + net.n_out) * net.dtype.itemsize
    most = min(_BATCHES, _DATA // size, int(_SECONDS / _LEAST_ROUNDS / step))
    batches = max(1, most)
    return batches, max(_LEAST_ROUNDS, min(int(_SECONDS / step / batches), _MOST_ROUNDS))


def _time_epochs(model: Model, rows: int, batches: int, epochs: int) -> list[float]:
    """Return the times of epochs of so many batches, in s."""
    from ..optimizers import Adam
    from ..training.loop import Trainer

    x = np.random.default_rng(0).random((batches * rows, model._net.n_in), np.float32)
    y: Any = np.full((batches * rows, model._net.n_out), 0.5, model._net.dtype)
    # A rate of 0 keeps the parameters, and so the time, the same.
    given = {"X": x, "y": y, "batch_size": rows, "epochs": epochs, "optimizer": Adam(lr=0.0)}
    return Trainer(model, {**_ARGUMENTS, **given}).run().seconds


def _time_additions(network: Model) -> float:
    """Return how many bytes of gradients are added up in a second."""
    vector: Any = np.zeros(network.n_parameters, network._net.dtype)
    other = np.zeros_like(vector)
    return float(vector.nbytes) / _repeat(lambda: _core.add(vector, other, vector))


def _time_messages(ranks: Ranks, size: int, timeout: float) -> tuple[float, float]:
    """Return latency and bandwidth between two ranks that send at the same time, as in training."""
    other = partners(ranks.ranks)[-1]
    size = max(size, _LARGE)
    found = 0.0, 1.0
    with Channel(ranks.comm, timeout) as channel:
        if channel.rank in (0, other):
            partner = other if channel.rank == 0 else 0
            small, large = (_time_exchange(channel, partner, each) for each in (_SMALL, size))
            found = small, _bandwidth(size, small, large)
        channel.finish()
    of_rank_0: tuple[float, float] = ranks.from_rank_0(found)
    return of_rank_0


def _bandwidth(size: int, small: float, large: float) -> float:
    """Return bytes/s, from the times of a small message and of a large one of so many bytes."""
    difference = large - small
    # A difference that noise can make says nothing: then latency counts, too.
    return size / (difference if difference > large / 10 else large)


def _time_exchange(channel: Channel, partner: int, size: int) -> float:
    """Return the lower quartile of the times of some exchanges: others only make them longer."""
    message, room = np.zeros(size, np.uint8), np.empty(size, np.uint8)
    seconds = []
    for _ in range(_EXCHANGES):
        begin = time.perf_counter()
        channel.exchange([(message, partner)], [(room, partner)])
        seconds.append(time.perf_counter() - begin)
    return float(np.percentile(seconds, 25))


def _repeat(work: Callable[[], Any]) -> float:
    """Return the median time of a piece of work, in s."""
    seconds: list[float] = []
    while len(seconds) < _LEAST_ROUNDS or (sum(seconds) < 0.05 and len(seconds) < _MOST_ROUNDS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))
