"""Training on many batches: the methods of `Network` that run until told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .optimizers import Optimizer
from .results import History
from .settings import Settings

if TYPE_CHECKING:
    from .network import Network


class Fitting(Settings):
    """The part of a network that trains; `Network` is built on it."""

    @property
    def _trained(self) -> Network:
        """The network that this is a part of."""
        return cast("Network", self)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: str | Optimizer = "adam",
        validation: Any = None,
        patience: int | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        callbacks: Any = (),
        progress: bool = False,
        checkpoint: Any = None,
        checkpoint_every: int | str = 1,
        resume: Any = None,
        _slice_ns: int | None = None,
    ) -> History:
        """Train on minibatches.

        Parameters
        ----------
        X, y, sample_weight
            As for `cost`; float32, float64 and uint8 arrays of any strides are read batch by
            batch, without a copy of the whole, so that an np.memmap may be larger than memory. A
            batch's cost is the mean weighted by its weights.
        epochs : int
            Passes over the data, at least 1.
        batch_size : int
            Rows of an update; the last batch of an epoch may have fewer.
        optimizer : str or Optimizer
            sgd, adam, adamw, rmsprop or adagrad for a new one with its defaults. An object keeps
            its state from one call to the next.
        validation : float or pair of array_like, optional
            (Xv, yv), or a fraction of the rows: the last part of a permutation keyed by the
            network's seed, the same in every call. Rows to train on are copied then, in their own
            dtype.
        patience : int, optional
            Stop after this many epochs in a row without a lower validation cost; at the end, the
            parameters of the epoch with the lowest are put back. Needs validation.
        shuffle : bool
            Whether rows come in another order in every epoch.
        callbacks : callable or sequence of callables
            Each is called after every epoch with an `EpochEnd`; one that returns True ends the
            fit. What it raises ends the fit too, with the network as it is then.
        progress : bool
            Show progress on standard error: a tqdm bar where it is installed, else lines.
        checkpoint : path-like, optional
            A file to write now and then, and at the end, with all that it takes to go on: each
            replaces the one before in one move, so that there is always a whole one.
            `Network.load` and `Optimizer.load` read it too; with patience it holds the latest
            parameters, not the best.
        checkpoint_every : int or str
            How often: a number of epochs, or a text with a unit, such as "100 steps" (updates),
            "30 s", "5 min", "2 h", "3 epochs".
        resume : path-like or True, optional
            A checkpoint to go on from; True for that at `checkpoint` if there is one. Data,
            settings, `epochs` aside, and the network's arguments, its seed included, must be
            those of the run that wrote it. Then everything ends up with the same bits as in a run
            that was not stopped, on the same machine, and the history holds the epochs of both. The
            network's metadata become those of the file. A run that a callback ended goes on.
            Loss, lr and callbacks that are functions are those given now; callbacks are not told
            again of epochs that have ended, and what they remember is theirs to keep.

        Returns
        -------
        History
            The figures of every epoch.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described; nothing has been changed. Or a callback has replaced
            the optimizer's lr by a function, which the next checkpoint cannot hold.
        FloatingPointError
            The cost, or the parameters at the end of an epoch, stopped being finite; the message
            names epoch and batch. The parameters are as after the last finite epoch, and the
            optimizer starts afresh.
        KeyboardInterrupt
            Ctrl-C; the network is as after a whole batch.
        OSError
            A checkpoint cannot be read or written. The file is the one before, whole, and the
            network as after a whole batch.
        RuntimeError
            The network or the optimizer is in use in another call.
        """
        from .training import fit

        return fit(
            self._trained,
            X,
            y,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            validation=validation,
            patience=patience,
            shuffle=shuffle,
            sample_weight=sample_weight,
            callbacks=callbacks,
            progress=progress,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            slice_ns=_slice_ns,
        )

    def fit_stream(
        self,
        batches: Any,
        *,
        optimizer: str | Optimizer = "adam",
        epochs: int = 1,
        steps: int | None = None,
        validation: Any = None,
        callbacks: Any = (),
        checkpoint: Any = None,
        checkpoint_every: int | str = 1,
        resume: Any = None,
    ) -> History:
        """Train on batches that come one by one, of which only one is in memory at a time.

        Parameters
        ----------
        batches : iterable, or function that returns one
            Of (X, y) or (X, y, sample_weight), each an update as by `step`. An iterator, such as
            a generator, can be gone through once.
        optimizer
            As for `fit`.
        epochs : int
            How often to go through the batches.
        steps : int, optional
            Let an epoch be this many batches of a stream, which may be endless and goes on from
            one epoch to the next; the fit ends when the stream does.
        validation : pair of array_like, optional
            (Xv, yv).
        callbacks, checkpoint, checkpoint_every
            As for `fit`.
        resume
            As for `fit`. The batches trained already are drawn from the stream again, compared by
            a checksum and passed over, so that it goes on with those that would have come.

        Returns
        -------
        History
            The figures of every epoch; costs are means over the rows.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or a batch, which is named; the updates before it
            remain.
        FloatingPointError
            The cost of a batch, which is named, is not finite; the updates before it remain.
        OSError
            A checkpoint cannot be read or written; the updates before it remain.
        """
        from .streaming import fit_stream

        return fit_stream(
            self._trained,
            batches,
            optimizer=optimizer,
            epochs=epochs,
            steps=steps,
            validation=validation,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )
