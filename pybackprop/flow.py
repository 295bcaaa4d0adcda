"""The gradient-flow doctor: how derivatives grow or shrink from layer to layer, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .doctor import Finding, LayerFlow, LayerHistograms, Patient, examine, histograms, measure
from .inputs import as_choice, as_count, as_inputs, as_real, as_reals, as_targets
from .optimizers import SGD, Optimizer, as_optimizer
from .training.history import EpochEnd
from .words import counted

if TYPE_CHECKING:
    from .model import Model
    from .training.trials import Trials

__all__ = ["Finding", "FlowReport", "GradientFlow", "LayerFlow", "gradient_flow"]


@dataclass(frozen=True)
class FlowReport:
    """What `gradient_flow` found; printable.

    Attributes
    ----------
    layers : tuple of LayerFlow
        Layers 1 … L.
    product_norm : float
        Mean over the sample of the spectral norm of J_L … J_1 = da_L/da_0.
    norm_product : float
        Mean over the sample of the product of the layers' spectral norms, which bounds
        `product_norm`.
    findings : tuple of Finding
        What is wrong, root causes first; see `gradient_flow` for the names of causes.
    diagnosis : str
        The cause of the first finding; "healthy" without any.
    verdict : str
        The first finding in a sentence.
    advice : tuple of str
        The advice of all findings, lines of Python; see `Finding`.
    """

    layers: tuple[LayerFlow, ...]
    product_norm: float
    norm_product: float
    findings: tuple[Finding, ...]
    _patient: Patient = field(repr=False, compare=False)

    @property
    def diagnosis(self) -> str:
        """The cause of the first finding; "healthy" without any."""
        return self.findings[0].cause if self.findings else "healthy"

    @property
    def verdict(self) -> str:
        """The first finding in a sentence."""
        return self.findings[0].text if self.findings else _healthy(self.layers)

    @property
    def advice(self) -> tuple[str, ...]:
        """The advice of all findings, each line once."""
        return tuple(dict.fromkeys(line for each in self.findings for line in each.advice))

    def __repr__(self) -> str:
        return f"FlowReport({self.verdict}; {len(self.layers)} layers)"

    def _repr_html_(self) -> str:
        """Return the printed report, for notebooks."""
        from .markup import preformatted

        return preformatted(str(self))

    def __str__(self) -> str:
        """Return the table, one line per layer, and the findings with their advice."""
        heads = ("|delta|", "|dW|", "update/|W|", "saturated", "dead", "|J|", "median |J|")
        lines = [f"{'layer':<22}" + "".join(f"{head:>12}" for head in heads)]
        for each in self.layers:
            flat = "-" if math.isnan(each.saturated) else f"{each.saturated:.0%}"
            name = f"{each.layer}: {each.width} {each.activation}"
            lines.append(
                f"{name:<22}{each.delta_norm:>12.3g}{each.gradient_norm:>12.3g}"
                f"{each.update_ratio:>12.2g}{flat:>12}{each.dead:>12}"
                f"{each.jacobian_norm:>12.3g}{each.jacobian_norm_median:>12.3g}"
            )
        lines.append(
            f"norm of the product of Jacobians {self.product_norm:.3g} <= "
            f"product of their norms {self.norm_product:.3g}"
        )
        if self.findings:
            lines.append(f"verdict: {self.diagnosis}; what is wrong, root causes first:")
        else:
            lines.append(f"verdict: {self.verdict}")
        numbered = (f"{number}. {each}" for number, each in enumerate(self.findings, 1))
        return "\n".join([*lines, *numbered])

    def try_advice(self, *, epochs: int = 20, verbose: bool = True) -> Trials:
        """Try each advice on a copy of the network, train it briefly, and print the results.

        Parameters
        ----------
        epochs : int
            How long to train, in batches of 32, on at most 1,024 evenly spaced examples.
        verbose : bool
            Whether to print the table.

        Returns
        -------
        tuple of Trial
            The first trial trains without a change. Each has the `cause`, the `line` that was run,
            and the costs `before` and `after`, divided by that of the best constant outputs.
            `str()` gives the table.

        Raises
        ------
        TypeError, ValueError
            `epochs` is not a whole number of at least 1.

        Notes
        -----
        Trials start from the network as it is at the time of this call; the report keeps the
        network itself, not a copy.

        Examples
        --------
        >>> import numpy as np
        >>> import pybackprop as bp
        >>> X = np.random.default_rng(0).normal(1000.0, 1.0, (200, 3))
        >>> y = X[:, :1] - X[:, 1:2]
        >>> net = bp.Network([3, 32, 1], seed=0)
        >>> report = bp.gradient_flow(net, X, y, verbose=False)
        >>> report.diagnosis, report.advice[0]
        ('inputs_offset', 'net.set_scaling(X.mean(axis=0), 1 / X.std(axis=0))')
        >>> without, first = report.try_advice(epochs=60, verbose=False)[:2]
        >>> first.after < 0.1 < without.after
        True
        """
        from .training.trials import try_lines

        count = as_count(epochs, "epochs", low=1)
        patient = self._patient
        trials = try_lines(patient.net, *patient.given, patient.optimizer, self.findings, count)
        if verbose:
            print(trials)
        return trials

    def plot(self) -> Any:
        """Draw norms, shares and Jacobians by layer; needs matplotlib.

        Returns
        -------
        ndarray of matplotlib.axes.Axes, (3,)
        """
        from .plot import plot_flow

        return plot_flow(self.layers, self.verdict)


def _healthy(layers: tuple[LayerFlow, ...]) -> str:
    """Return the verdict if nothing is wrong."""
    top = layers[-1].delta_norm
    if top == 0.0:
        return "healthy, with nothing to learn: every delta is 0"
    ratios = [each.delta_norm / top for each in layers]
    dead = sum(each.dead for each in layers)
    note = f"; {counted(dead, 'dead unit')}, no more than chance makes" if dead else ""
    return (
        f"healthy: delta stays within {min(ratios):.2g} to {max(ratios):.2g} of the output's{note}"
    )


def gradient_flow(
    net: Model,
    X: Any,
    y: Any,
    *,
    optimizer: str | Optimizer | None = None,
    lr: float | None = None,
    sample: int = 8,
    verbose: bool = True,
) -> FlowReport:
    """Measure how gradients flow through a network, and find out why it does not learn.

    Parameters
    ----------
    net : Network
        The network; it is not changed.
    X : array_like, (N, n_0)
        Inputs. Pass as many as there are, up to a few thousand, since some causes lie in the data.
    y : array_like
        Targets, as for `Network.cost`.
    optimizer : str or Optimizer, optional
        The optimizer in use. Its next update is compared with the weights, and its coming steps are
        tried on a copy of the network. Its state is used but not changed.
    lr : float, optional
        Learning rate of plain gradient descent, if there is no `optimizer`. If neither is given,
        updates are those of the rate 0.01, and steps are not judged.
    sample : int
        How many evenly spaced examples to compute Jacobians for.
    verbose : bool
        Whether to print the report.

    Returns
    -------
    FlowReport
        Holds the figures of every layer, and `findings`, root causes first. `str()` gives the
        printed text, `plot()` draws a picture, and `try_advice()` tries the advice.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Notes
    -----
    These causes are looked for. A cause comes before those that it brings about, and a step comes
    after whatever makes it too large or too small at a usual learning rate.

    | cause | what is wrong |
    |---|---|
    | `inputs_not_finite`, `targets_not_finite` | a number that the network's type cannot hold |
    | `inputs_constant` | half of the inputs or more are the same in all examples |
    | `inputs_scale`, `inputs_offset` | columns too large, too small, too unlike, too far from 0 |
    | `inputs_duplicated` | most examples repeat others, perhaps with other targets |
    | `targets_constant`, `classes_unbalanced` | one value or class, or hardly anything besides |
    | `targets_out_of_range` | targets that the output activation cannot reach |
    | `targets_scale`, `targets_offset` | targets too large, too small, too far from 0 |
    | `symmetric_units` | units with equal weights, which stay equal |
    | `step_too_large`, `step_oscillates`, `step_too_small` | of the optimizer in use |
    | `saturated_units`, `saturated_outputs` | bounded activations where they are flat |
    | `penalty_dominates` | penalties pull harder than the data |
    | `linear_units` | no hidden unit bends |
    | `dead` | units whose slope is 0 for all examples |
    | `exploding`, `vanishing` | delta grows or shrinks from layer to layer |
    | `too_deep` | so many layers that examples become alike on the way |

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((200, 3)), rng.standard_normal((200, 1))
    >>> net = bp.Network([3, 16, 1], init="zeros", seed=0)
    >>> report = bp.gradient_flow(net, X, y, verbose=False)
    >>> print(report.findings[0])
    symmetric_units: 15 of 16 units of layer 1 have the same weights and bias as another (all zero)\
; units that are alike get the same gradient, and count as one
        net.parameters = bp.Network(net.widths, seed=net.seed).parameters
    """
    count = as_count(sample, "sample", low=1)
    rate = 0.01 if lr is None else as_real(lr, "lr", low=0.0)
    chosen = None if optimizer is None else as_optimizer(optimizer)
    given = as_reals(X, "X"), as_reals(y, "y")
    x = as_inputs(given[0], net.widths[0], net.dtype)
    targets = as_targets(given[1], len(x), net.widths[-1], net.loss, net.dtype)
    judged = SGD(rate) if chosen is None and lr is not None else chosen
    patient = Patient(net, x, targets, judged, given)
    # Overflow is one of the things looked for, and no reason to warn.
    with np.errstate(all="ignore"):
        layers, product, bound = measure(patient, chosen, rate, count)
    report = FlowReport(layers, product, bound, examine(patient, layers), patient)
    if verbose:
        print(report)
    return report


class GradientFlow:
    """A callback of `Network.fit` that makes a report at regular intervals of epochs.

    Parameters
    ----------
    X, y : array_like
        The examples to look at, as for `gradient_flow`.
    every : int
        Epochs from one report to the next; the first comes after the first epoch.
    optimizer : Optimizer, optional
        The optimizer whose next update is compared with the weights; by default the one that
        trains.
    sample : int
        As for `gradient_flow`.

    Attributes
    ----------
    epochs : list of int
        The epochs reported on, counted from 0 over all fits that used this object.
    reports : list of FlowReport
        Their reports.
    histograms : list of tuple of LayerHistograms
        Of each report, for layers 1 … L, the histograms of `weights`, `activations` and
        `gradients`, each with `counts` and `edges`.

    Examples
    --------
    >>> import numpy as np
    >>> import pybackprop as bp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> y = np.sin(X[:, :1])
    >>> flow = bp.GradientFlow(X, y, every=5)
    >>> net = bp.Network([3, 16, 1], activation="tanh", seed=0)
    >>> _ = net.fit(X, y, epochs=20, callbacks=flow)
    >>> flow.epochs, {report.diagnosis for report in flow.reports}
    ([0, 5, 10, 15], {'healthy'})
    >>> int(flow.histograms[0][0].weights.counts.sum())  # 3 * 16 weights
    48
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        every: int = 1,
        optimizer: Optimizer | None = None,
        sample: int = 8,
    ) -> None:
        self.X, self.y = X, y
        self.every = as_count(every, "every", low=1)
        self.sample = as_count(sample, "sample", low=1)
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer or None, got {optimizer!r}")
        self.optimizer = optimizer
        self.epochs: list[int] = []
        self.reports: list[FlowReport] = []
        self.histograms: list[tuple[LayerHistograms, ...]] = []
        self._seen = 0
        # Convert once: reports keep the data, and must not each keep a copy.
        self._arrays = as_reals(X, "X"), as_reals(y, "y")

    def __call__(self, figures: EpochEnd) -> None:
        """Make a report if it is time for one."""
        epoch = self._seen
        self._seen += 1
        if epoch % self.every == 0:
            report = gradient_flow(
                figures.network,
                *self._arrays,
                optimizer=self.optimizer or figures.optimizer,
                sample=self.sample,
                verbose=False,
            )
            self.epochs.append(epoch)
            self.reports.append(report)
            self.histograms.append(histograms(report._patient))
            report._patient.forget()

    def plot(self, kind: str = "norms") -> Any:
        """Draw how the layers change over the epochs; needs matplotlib.

        Parameters
        ----------
        kind : str
            norms: the norms of delta and the updates of every layer. histogram: the distributions
            of weights, activations and gradients of at most six layers (the first, the last and
            evenly spaced ones between), with one vertical strip per report; darker means more
            values.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
            (2,) for norms; (3, layers) for histogram.

        Raises
        ------
        ValueError
            `kind` is something else.
        """
        from .plot import plot_flow_histograms, plot_flow_history

        if as_choice(kind, "kind", ("norms", "histogram")) == "norms":
            return plot_flow_history(self.epochs, self.reports)
        return plot_flow_histograms(self.epochs, self.histograms)
