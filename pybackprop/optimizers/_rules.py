"""The update rules, with PyTorch's names and arguments."""

from __future__ import annotations

from typing import Any

from ..inputs import as_choice, as_real
from ._base import RULES, Flag, Optimizer, Rate, Setting

# What the package shows of this module; `as_optimizer` is for the package's own use.
__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

    g = gradient + weight_decay * w; with momentum, v = momentum * v + g (v = g at first) and
    g = g + momentum * v (Nesterov) or g = v; w = w - lr * g.

    Parameters
    ----------
    lr : float, Schedule or callable
        Learning rate.
    momentum : float
        In [0, inf).
    nesterov : bool
        Nesterov's momentum; needs momentum above 0.
    weight_decay : float, Schedule or callable
        Factor of the parameters that is added to the gradient; by step, if it is a schedule.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    name = "sgd"
    _settings = ("lr", "momentum", "nesterov", "weight_decay", "clip_norm")
    _vectors = ("momentum_buffer",)
    momentum = Setting("momentum")
    nesterov = Flag()

    def __init__(
        self,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: Rate = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm)
        self.momentum = momentum
        self.nesterov = nesterov

    def _check_setting(self, name: str, value: float) -> None:
        if (name == "nesterov" and value and not self.momentum) or (
            name == "momentum" and not value and self.nesterov
        ):
            raise ValueError("nesterov needs momentum above 0")

    def _needs(self, vector: str) -> bool:
        return self.momentum > 0


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015).

    g = gradient + weight_decay * w; m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g²;
    w = w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps), t = 1, 2, ….

    Parameters
    ----------
    lr : float, Schedule or callable
        Learning rate.
    betas : pair of float
        b1 and b2, each in [0, 1).
    eps : float
        Prevents division by zero.
    weight_decay : float, Schedule or callable
        Factor of the parameters that is added to the gradient; by step, if it is a schedule.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    name = "adam"
    _settings = ("lr", "betas", "eps", "weight_decay", "clip_norm")
    _vectors = ("exp_avg", "exp_avg_sq")
    eps = Setting("eps")

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Rate = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm)
        self.betas = betas
        self.eps = eps

    @property
    def betas(self) -> tuple[float, float]:
        """Decay rates of the mean and of the mean square of the gradient."""
        return float(self._state.get("beta1")), float(self._state.get("beta2"))

    @betas.setter
    def betas(self, values: tuple[float, float]) -> None:
        try:
            first, second = values
        except (TypeError, ValueError) as error:
            raise TypeError(f"betas must be a pair of numbers, got {values!r}") from error
        pair = [as_real(each, "betas", 0.0, 1.0, open_high=True) for each in (first, second)]
        self._state.alone(self._set_betas, *pair)

    def _set_betas(self, first: float, second: float) -> None:
        struct = self._state.struct
        struct.beta1, struct.beta2 = first, second


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Does w = w - lr * weight_decay * w, then the update of Adam without weight decay.

    Parameters
    ----------
    lr, betas, eps, clip_norm
        As for Adam.
    weight_decay : float, Schedule or callable
        Decay of the parameters in one step, relative to lr; by step, if it is a schedule.
    """

    name = "adamw"

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Rate = 1e-2,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, clip_norm)


class RMSprop(Optimizer):
    """RMSprop (Hinton, 2012; with centering and momentum as in PyTorch).

    g = gradient + weight_decay * w; s = alpha * s + (1 - alpha) * g²; when centered,
    m = alpha * m + (1 - alpha) * g and s is replaced by s - m² below;
    g = g / (sqrt(s) + eps); with momentum, v = momentum * v + g and g = v; w = w - lr * g.

    Parameters
    ----------
    lr : float, Schedule or callable
        Learning rate.
    alpha : float
        Decay rate of the mean square, in [0, 1].
    eps : float
        Prevents division by zero.
    weight_decay : float, Schedule or callable
        Factor of the parameters that is added to the gradient; by step, if it is a schedule.
    momentum : float
        In [0, inf).
    centered : bool
        Divide by the standard deviation instead of the root mean square.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    name = "rmsprop"
    _settings = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "clip_norm")
    _vectors = ("square_avg", "momentum_buffer", "grad_avg")
    alpha = Setting("alpha", 1.0)
    eps = Setting("eps")
    momentum = Setting("momentum")
    centered = Flag()

    def __init__(
        self,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: Rate = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm)
        self.alpha = alpha
        self.eps = eps
        self.momentum = momentum
        self.centered = centered

    def _needs(self, vector: str) -> bool:
        if vector == "momentum_buffer":
            return self.momentum > 0
        return vector == "square_avg" or self.centered


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011).

    g = gradient + weight_decay * w; s = s + g²;
    w = w - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps), t = 1, 2, ….

    Parameters
    ----------
    lr : float, Schedule or callable
        Learning rate.
    lr_decay : float
        Decay of the learning rate with the number of steps.
    weight_decay : float, Schedule or callable
        Factor of the parameters that is added to the gradient; by step, if it is a schedule.
    initial_accumulator_value : float
        Initial value of the sum of squares.
    eps : float
        Prevents division by zero.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    name = "adagrad"
    _settings = (
        "lr",
        "lr_decay",
        "weight_decay",
        "initial_accumulator_value",
        "eps",
        "clip_norm",
    )
    _vectors = ("sum",)
    lr_decay = Setting("lr_decay")
    eps = Setting("eps")

    def __init__(
        self,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: Rate = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm)
        self.lr_decay = lr_decay
        self.eps = eps
        self._initial = as_real(initial_accumulator_value, "initial_accumulator_value", low=0.0)

    @property
    def initial_accumulator_value(self) -> float:
        """Initial value of the sum of squares."""
        return self._initial

    def _first_value(self) -> float:
        return self._initial

    def _adopt(self, other: Optimizer) -> None:
        super()._adopt(other)
        self._initial = getattr(other, "_initial")  # noqa: B009 - of the same rule


RULES.update({rule.name: rule for rule in (SGD, Adam, AdamW, RMSprop, Adagrad)})


def as_optimizer(value: Any) -> Optimizer:
    """Return an optimizer object; a name stands for a new one with its defaults."""
    if isinstance(value, Optimizer):
        return value
    if not isinstance(value, str):
        raise TypeError(f"optimizer must be an Optimizer or a name, got {value!r}")
    optimizer: Optimizer = RULES[as_choice(value, "optimizer", RULES)]()
    return optimizer
