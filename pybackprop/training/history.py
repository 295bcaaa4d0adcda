"""What a fit returns, and what it tells its callbacks: History and EpochEnd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..words import counted

if TYPE_CHECKING:
    from ..optimizers import Optimizer

__all__ = ["EpochEnd", "History"]

# Of a long fit a notebook shows the last epochs.
_SHOWN_EPOCHS = 5


class History:
    """The figures of a fit, one entry per epoch that was finished.

    Attributes
    ----------
    cost : list of float
        Mean cost of the epoch's batches, each computed before its update, with dropout and
        penalties as trained.
    val_cost : list of float
        Cost on the validation data after the epoch; empty without validation.
    seconds : list of float
        Time spent training in the epoch, in seconds, without validation and callbacks.
    stopped_early : bool
        Whether patience or a callback ended the fit before its last epoch.
    best_epoch : int or None
        Index of the lowest validation cost; None without validation.
    """

    __slots__ = ("best_epoch", "cost", "seconds", "stopped_early", "val_cost")

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.val_cost: list[float] = []
        self.seconds: list[float] = []
        self.stopped_early = False
        self.best_epoch: int | None = None

    def __len__(self) -> int:
        return len(self.cost)

    def __repr__(self) -> str:
        last = f", cost={self.cost[-1]:.6g}" if self.cost else ""
        if self.val_cost:
            last += f", val_cost={self.val_cost[-1]:.6g}"
        return f"History({counted(len(self), 'epoch')}{last}, {sum(self.seconds):.3g} s)"

    def _repr_html_(self) -> str:
        """Return the costs as lines and the last epochs as a table, for notebooks."""
        from ..markup import curves, figure, table

        named = {"cost": self.cost, "val_cost": self.val_cost}
        columns = {**named, "seconds": self.seconds}
        shown = {name: values for name, values in columns.items() if values}
        first = max(len(self) - _SHOWN_EPOCHS, 0)
        rows = [(at, *(values[at] for values in shown.values())) for at in range(first, len(self))]
        return figure(repr(self), curves(named), table(("epoch", *shown), rows) if rows else "")

    def plot(self, ax: Any = None) -> Any:
        """Draw the costs over the epochs; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plot import plot_history

        return plot_history(self.cost, self.val_cost, self.best_epoch, ax)


class EpochEnd(NamedTuple):
    """What a callback of `Network.fit` is given after each epoch.

    A callback that returns True ends the fit after this epoch. It may evaluate the network, assign
    parameters and change the optimizer's settings, but not train the network.

    Attributes
    ----------
    epoch : int
        Index of the epoch in this fit, from 0: figures are at this index of the History.
    cost : float
        Mean cost of the epoch's batches.
    val_cost : float or None
        Cost on the validation data; None without validation.
    seconds : float
        Time spent training in this epoch.
    lr : float
        Learning rate of the epoch's last step.
    network : Network
        The network in training.
    optimizer : Optimizer
        The optimizer that trains it, with its state after the epoch.
    """

    epoch: int
    cost: float
    val_cost: float | None
    seconds: float
    lr: float
    network: Any  # whose class stands above this one
    optimizer: Optimizer
