"""The function that trains many networks in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model import Model
from ..optimizers import Optimizer
from ._history import ManyHistory


def fit_many(
    networks: Sequence[Model],
    X: Any,
    y: Any,
    *,
    optimizers: str | Optimizer | Sequence[Optimizer] = "adam",
    epochs: int | Sequence[int] = 1,
    batch_size: int | Sequence[int] = 32,
    rows: Any = None,
    validation: Any = None,
    validation_rows: Any = None,
    patience: int | None = None,
    shuffle: bool | str = True,
    sample_weight: Any = None,
    callbacks: Any = (),
    progress: bool = False,
    on_divergence: str = "retire",
    checkpoint: Any = None,
    checkpoint_every: int | str = 1,
    resume: Any = None,
    executor: Any = None,
    _slice_ns: int | None = None,
    _shown: Any = None,
) -> ManyHistory:
    """Train many networks on the same data in one call, side by side on all cores.

    Each network gets the bits that `Network.fit` would give it with the same settings and rows, for
    any number of threads. The networks may differ in everything but their number of inputs.
    `Networks` is simpler for networks of the same widths.

    Parameters
    ----------
    networks : sequence of Network
        The members, n of them, which all differ.
    X, y
        As for `Network.fit`. The members share them in memory.
    optimizers : str, Optimizer, or sequence of n Optimizers
        A name makes a new optimizer with default settings for each member. An Optimizer is a
        pattern, which must be unused: each member gets a new one with its settings. Those of a
        sequence keep their state from one call to the next, as in `Network.fit`;
        ``bp.Adam.each(lr=rates)`` makes one.
    epochs, batch_size : int or sequence of n ints
        As for `Network.fit`.
    rows : sequence of n index arrays or boolean masks, optional
        The rows of X that each member is trained on; None, as a whole or for a member, for all of
        them. A row that is named twice counts twice. Nothing of X is copied.
    validation : float or pair of array_like, optional
        Either (Xv, yv), or the fraction of each member's rows to hold out, which its own seed
        chooses as in `Network.fit`. Nothing is copied here either.
    validation_rows : sequence of n index arrays or boolean masks, optional
        The rows of X that each member is validated on, in place of `validation`.
    patience : int, optional
        As for `Network.fit`, for each member by itself.
    shuffle : bool or str
        True, or "own", reorders the rows in every epoch, by each network's own seed; "shared" by
        the seed of the first one, so that networks differ in their settings alone; False not at
        all.
    sample_weight : array_like, (N,) or (n, N), optional
        Weights >= 0 of the rows of X, the same for all members or different ones.
    callbacks : callable or sequence of callables
        Each is called after every epoch with an `EpochsEnd`. If one returns True, the fit ends; if
        it returns a boolean array, (n,), the fit of those members ends.
    progress : bool
        As for `Network.fit`; the costs are means over the members that are being trained.
    on_divergence : str
        What happens if the cost of a member, or its parameters at the end of an epoch, stop being
        finite. With "retire", its fit ends with the parameters of its last finite epoch, its
        status is "diverged", and the others go on. "raise" raises an error, as `Network.fit` does.
    checkpoint, checkpoint_every, resume
        As for `Network.fit`, with one file for all members. A number of epochs or a time says how
        often it is written; steps are not counted here.
    executor : Workers, Executor, dask.distributed.Client, or str, optional
        Workers that train the members: what `pybackprop.distributed.over` takes or returns. The
        networks and optimizers change at the end, all together, and not at all if a worker fails.
        It does not go with callbacks, progress and checkpoints.

    Returns
    -------
    ManyHistory
        The figures of every member and epoch.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described; nothing has been changed.
    FloatingPointError
        The cost of a member stopped being finite, and `on_divergence` is "raise". The other members
        are left as after a complete batch.
    KeyboardInterrupt
        Ctrl-C; every network is left as after a complete batch.
    MemoryError
        There is not enough memory; every network is left as after a complete batch.
    OSError
        A checkpoint cannot be read or written.
    RuntimeError
        A network or an optimizer is in use in another call. Or workers were lost, or an exception
        of theirs is none of these; the text says which members they had.

    Notes
    -----
    While nothing has to be decided after an epoch (there is no validation, callback, progress or
    checkpoint), members do not wait for each other.

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> nets = [bp.Network([1, width, 1], activation="tanh", seed=0) for width in (2, 8, 32)]
    >>> history = bp.fit_many(nets, X, X**2, optimizers=bp.Adam(lr=0.01), epochs=200)
    >>> history.status.tolist()
    ['done', 'done', 'done']
    >>> bool(nets[2].cost(X, X**2) < nets[0].cost(X, X**2))
    True
    """
    given = locals()
    if given.pop("executor") is not None:
        from ._spread import fit_many_over

        return fit_many_over(executor, given.pop("networks"), given)
    from ._loop import fit_many as fit

    return fit(given.pop("networks"), given)
