"""What computations return: Gradients, Trace, History, and what a callback is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ._core import Array

if TYPE_CHECKING:
    from .network import Network

__all__ = ["EpochEnd", "Gradients", "History", "Trace"]


class Gradients:
    """The cost of a batch and its derivatives.

    Attributes
    ----------
    cost : float
        C, penalties included.
    flat : ndarray, (n_parameters,)
        dC/dW_1, dC/db_1, dC/dW_2, …, in the order of `Network.parameters`.
    weights : tuple of ndarray
        dC/dW_l, (n_l, n_(l-1)); views of `flat`.
    biases : tuple of ndarray
        dC/db_l, (n_l,); views of `flat`.
    inputs : ndarray, (N, n_0)
        dC/dX.
    """

    __slots__ = ("biases", "cost", "flat", "inputs", "weights")

    def __init__(
        self,
        cost: float,
        flat: Array,
        weights: tuple[Array, ...],
        biases: tuple[Array, ...],
        inputs: Array,
    ) -> None:
        self.cost = cost
        self.flat = flat
        self.weights = weights
        self.biases = biases
        self.inputs = inputs

    def __repr__(self) -> str:
        return f"Gradients(cost={self.cost:.6g}, n_parameters={self.flat.size})"


class Trace:
    """Every value of a forward pass and, where targets were given, of the backward pass.

    Attributes
    ----------
    z : list of ndarray
        Pre-activations Z_1 … Z_L, (N, n_l).
    a : list of ndarray
        a[0] is X as layer 1 sees it (of the network's type, scaled); a[l] is A_l, (N, n_l).
    delta : list of ndarray or None
        dC/dZ_1 … dC/dZ_L, (N, n_l); None without targets.
    """

    __slots__ = ("a", "delta", "z")

    def __init__(self, z: list[Array], a: list[Array], delta: list[Array] | None) -> None:
        self.z = z
        self.a = a
        self.delta = delta

    def __repr__(self) -> str:
        widths = "-".join(str(each.shape[1]) for each in self.a)
        backward = "" if self.delta is None else ", with delta"
        return f"Trace({widths}, {len(self.a[0])} examples{backward})"


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
        return f"History({len(self)} epochs{last}, {sum(self.seconds):.3g} s)"

    def plot(self, ax: Any = None) -> Any:
        """Draw the costs over the epochs; needs matplotlib (the extra `plot`).

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .plot import plot_history

        return plot_history(self, ax)


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
    """

    epoch: int
    cost: float
    val_cost: float | None
    seconds: float
    lr: float
    network: Network
