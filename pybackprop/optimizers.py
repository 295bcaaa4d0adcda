"""The optimizers, with PyTorch's argument names and update rules.

An optimizer object owns its state: vectors as long as the parameters it first updates, and the
number of updates done. It can drive a network (`Network.step`, `Network.fit`) or any flat array
(`Optimizer.update`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ._core import FLOAT32, FLOAT64, Array, OptimizerState, state_key
from .inputs import as_choice, as_count, as_flag, as_real
from .schedules import Schedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]

LearningRate = float | Schedule | Callable[[int], float]

# Steps of a schedule that are computed at once: always the same ones together, so that a rate has
# the same bits however training is cut into calls.
_BLOCK = 256


class _Rates:
    """The learning rates of a schedule or of a plain function, by step."""

    def __init__(self, source: Schedule | Callable[[int], float]) -> None:
        self.source = source
        self._number = -1
        self._block: list[float] = []

    def _checked(self, rates: Array, first: int) -> list[float]:
        bad = ~(np.isfinite(rates) & (rates >= 0))
        if bad.any():
            step = int(np.argmax(bad))
            raise ValueError(
                f"lr must give finite rates >= 0, got {rates[step]} at step {first + step}"
            )
        return list(rates.tolist())

    def _value(self, step: int) -> float:
        return as_real(self.source(step), f"lr at step {step}", low=0.0)

    def __call__(self, step: int) -> float:
        if not isinstance(self.source, Schedule):
            return self._value(step)
        number, position = divmod(step, _BLOCK)
        if number != self._number:
            first = number * _BLOCK
            steps = np.arange(first, first + _BLOCK)
            self._block = self._checked(np.asarray(self.source(steps), np.float64), first)
            self._number = number
        return self._block[position]

    def ahead(self, step: int, limit: int) -> Array:
        """Return the rates of the next steps, at least one and at most limit."""
        if not isinstance(self.source, Schedule):
            return np.array([self._value(step + i) for i in range(min(limit, _BLOCK))])
        rates: list[float] = []
        while len(rates) < limit and len(rates) < 16 * _BLOCK:
            self(step + len(rates))
            rates += self._block[(step + len(rates)) % _BLOCK :]
        return np.array(rates[:limit])


class _Setting:
    """A number kept in the C structure, checked whenever it is assigned."""

    def __init__(self, field: str, high: float = math.inf, *, below: bool = False) -> None:
        self.field, self.high, self.below = field, high, below

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Optimizer, owner: type) -> float:
        return float(instance._state.get(self.field))

    def __set__(self, instance: Optimizer, value: float) -> None:
        number = as_real(value, self.name, low=0.0, high=self.high, open_high=self.below)
        instance._change(self.name, self.field, number)


class _Flag:
    """A truth value kept in the C structure."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Optimizer, owner: type) -> bool:
        return bool(instance._state.get(self.name))

    def __set__(self, instance: Optimizer, value: bool) -> None:
        instance._change(self.name, self.name, as_flag(value, self.name))


class Optimizer:
    """What all optimizers have in common; make one of its subclasses.

    Attributes
    ----------
    lr : float, Schedule or callable
        Learning rate; a callable is given the number of updates done and returns the rate. During
        a fit it is called for some steps ahead.
    clip_norm : float or None
        Gradients whose 2-norm over all parameters is larger are scaled down to it.
    steps : int
        Updates done.
    """

    name: ClassVar[str]
    _settings: ClassVar[tuple[str, ...]]
    _vectors: ClassVar[tuple[str, ...]]
    weight_decay = _Setting("weight_decay")

    def __init__(self, lr: LearningRate, weight_decay: float, clip_norm: float | None) -> None:
        self._state = OptimizerState(self.name)
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm

    @property
    def lr(self) -> LearningRate:
        """Learning rate: a number, a schedule, or a callable of the step."""
        return self._lr

    @lr.setter
    def lr(self, value: LearningRate) -> None:
        if isinstance(value, Schedule) or callable(value):
            self._state.schedule = _Rates(value)
            self._lr: LearningRate = value
            return
        self._lr = as_real(value, "lr", low=0.0)
        self._state.schedule = None
        self._state.set("lr", self._lr)

    @property
    def clip_norm(self) -> float | None:
        """Largest 2-norm of the gradient that is used unscaled; None for any."""
        return float(self._state.get("clip_norm")) or None

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        number = 0.0 if value is None else as_real(value, "clip_norm", low=0.0)
        if value is not None and number == 0:
            raise ValueError("clip_norm must be above 0, or None for no clipping, got 0")
        self._state.set("clip_norm", number)

    @property
    def steps(self) -> int:
        """Updates done."""
        return int(self._state.get("step"))

    def _check_setting(self, name: str, value: float) -> None:
        """Refuse a value that does not go with the other settings."""

    def _needs(self, vector: str) -> bool:
        """Whether the present settings use a state vector."""
        return True

    def _first_value(self) -> float:
        """Return what state vectors are filled with before the first update."""
        return 0.0

    def _settle(self, key: tuple[int, np.dtype[Any]] | None) -> None:
        """Give the core the state vectors that the present settings use, once a size is known."""
        if key is None:
            return
        size, dtype = key
        for index, vector in enumerate(self._vectors):
            if self._needs(vector) and self._state.vectors[index] is None:
                self._state.point(index, np.full(size, self._first_value(), dtype))

    def _change(self, name: str, field: str, value: float) -> None:
        """Set a field of the core; change nothing if the vectors that it needs cannot be had."""
        self._check_setting(name, value)
        before = self._state.get(field)
        try:
            self._state.set(field, value)
            self._settle(self._state.key)
        except BaseException:
            self._state.set(field, before)
            raise

    def _bind(self, key: tuple[int, np.dtype[Any]]) -> OptimizerState:
        """Return the state for parameters of this size and type, made on first use."""
        state = self._state
        if state.key is not key:
            if state.key is not None:
                raise ValueError(
                    f"this optimizer holds the state of {state.key[0]} parameters of "
                    f"{state.key[1]}, but is used with {key[0]} of {key[1]}; "
                    "use another optimizer, or reset() this one"
                )
            # The key, by which calls know the state is whole, comes last: a signal may end this.
            self._forget()
            self._settle(key)
            state.key = key
        return state

    def _rate(self) -> float:
        """Return the rate of the next update."""
        schedule = self._state.schedule
        return float(self._state.get("lr")) if schedule is None else schedule(self.steps)

    def reset(self) -> None:
        """Forget the state: no updates done, ready for parameters of any size."""
        self._state.key = None
        self._state.set("step", 0)
        self._forget()

    def _forget(self) -> None:
        """Drop the state vectors."""
        for index in range(3):
            self._state.point(index, None)

    def update(self, parameters: Array, gradient: Array) -> None:
        """Apply one update in place.

        Parameters
        ----------
        parameters : ndarray, (P,)
            float32 or float64, C-contiguous and writable; changed in place.
        gradient : ndarray, (P,)
            Of the same type.

        Raises
        ------
        TypeError, ValueError
            The arrays are not as described, or not of the size that the state has.
        """
        for name, array in (("parameters", parameters), ("gradient", gradient)):
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
            if array.dtype not in (FLOAT32, FLOAT64) or array.dtype != parameters.dtype:
                raise TypeError(
                    f"{name} must be native float32 or float64, both alike, got {array.dtype}"
                )
            if array.ndim != 1 or array.shape != parameters.shape or not array.size:
                raise ValueError(
                    f"{name} must be one-dimensional, as long as the other and not empty, "
                    f"got shape {array.shape}"
                )
        if not parameters.flags.carray:
            raise ValueError("parameters must be C-contiguous, aligned and writable")
        dtype = FLOAT32 if parameters.dtype == FLOAT32 else FLOAT64
        gradient = np.require(gradient, dtype, ["C", "A"])
        if np.may_share_memory(parameters, gradient):
            raise ValueError("gradient must not share memory with parameters")
        self._bind(state_key(parameters.size, dtype)).update(parameters, gradient)

    def _get_settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._settings}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that makes this optimizer, in plain types and copied arrays.

        Returns
        -------
        dict
            `name`; `settings`, where a schedule is described by a dict; `step`; `state`, the
            vectors by PyTorch's names.
        """
        settings = self._get_settings()
        if isinstance(self.lr, Schedule):
            settings["lr"] = self.lr.to_dict()
        vectors = zip(self._vectors, self._state.vectors, strict=False)
        state = {name: vector.copy() for name, vector in vectors if vector is not None}
        return {"name": self.name, "settings": settings, "step": self.steps, "state": state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the optimizer that `state_dict` described; it must be of the same class.

        Raises
        ------
        TypeError, ValueError
            The description is not one of this class, or is malformed; nothing is changed.
        """
        fresh = from_state_dict(state)
        if type(fresh) is not type(self):
            kinds = type(self).__name__, type(fresh).__name__
            raise ValueError("state must be that of {}, got that of {}".format(*kinds))
        self.__dict__.update(fresh.__dict__)

    def _load_vectors(self, vectors: dict[str, Any], step: int) -> None:
        arrays = {name: np.asarray(vector) for name, vector in vectors.items()}
        for name, array in arrays.items():
            if name not in self._vectors:
                raise ValueError(f"state: {self.name} has no vector {name!r}")
            if array.ndim != 1 or array.dtype not in (FLOAT32, FLOAT64) or not array.size:
                raise ValueError(f"state: {name} must be a vector of float32 or float64")
        keys = {(array.size, array.dtype) for array in arrays.values()}
        if len(keys) > 1:
            raise ValueError("state: the vectors must have one size and one dtype")
        for size, dtype in keys:
            self._state.key = state_key(size, FLOAT32 if dtype == FLOAT32 else FLOAT64)
        for name, array in arrays.items():
            self._state.point(self._vectors.index(name), array.copy())
        self._settle(self._state.key)
        self._state.set("step", step)

    @staticmethod
    def load(path: Any) -> Optimizer:
        """Return the optimizer saved with a network by `Network.save(path, optimizer)`.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is malformed, or holds no optimizer.
        """
        from .exchange.files import load_optimizer

        return load_optimizer(path)

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.state_dict()
        state["settings"]["lr"] = self.lr
        return from_state_dict, (state,)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._get_settings().items())
        return f"{type(self).__name__}({settings})"


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
    weight_decay : float
        Factor of the parameters that is added to the gradient.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    name = "sgd"
    _settings = ("lr", "momentum", "nesterov", "weight_decay", "clip_norm")
    _vectors = ("momentum_buffer",)
    momentum = _Setting("momentum")
    nesterov = _Flag()

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
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
        Keeps the division from zero.
    weight_decay : float
        Factor of the parameters that is added to the gradient.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    name = "adam"
    _settings = ("lr", "betas", "eps", "weight_decay", "clip_norm")
    _vectors = ("exp_avg", "exp_avg_sq")
    eps = _Setting("eps")

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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
        self._state.set("beta1", pair[0])
        self._state.set("beta2", pair[1])


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    As Adam without weight decay in the gradient, after w = w - lr * weight_decay * w.

    Parameters
    ----------
    lr, betas, eps, clip_norm
        As for Adam.
    weight_decay : float
        Decay of the parameters in one step, relative to lr.
    """

    name = "adamw"

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
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
        Keeps the division from zero.
    weight_decay : float
        Factor of the parameters that is added to the gradient.
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
    alpha = _Setting("alpha", 1.0)
    eps = _Setting("eps")
    momentum = _Setting("momentum")
    centered = _Flag()

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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
        Slows the steps as they count.
    weight_decay : float
        Factor of the parameters that is added to the gradient.
    initial_accumulator_value : float
        What the sum of squares starts from.
    eps : float
        Keeps the division from zero.
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
    lr_decay = _Setting("lr_decay")
    eps = _Setting("eps")

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
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
        """What the sum of squares started from."""
        return self._initial

    def _first_value(self) -> float:
        return self._initial


_KINDS: dict[str, type[Any]] = {kind.name: kind for kind in (SGD, Adam, AdamW, RMSprop, Adagrad)}


def from_state_dict(state: dict[str, Any]) -> Optimizer:
    """Return the optimizer that `state_dict` described."""
    if not isinstance(state, dict) or not {"name", "settings", "step", "state"} <= set(state):
        raise ValueError("state must be a dict with name, settings, step and state")
    name = as_choice(state["name"], "state: name", _KINDS)
    settings, vectors = state["settings"], state["state"]
    if not isinstance(settings, dict) or not isinstance(vectors, dict):
        raise ValueError("state: settings and state must be dicts")
    kind = _KINDS[name]
    if set(settings) != set(kind._settings):
        raise ValueError(f"state: the settings of {name} are {', '.join(kind._settings)}")
    settings = dict(settings)
    if isinstance(settings["lr"], dict):
        settings["lr"] = Schedule.from_dict(settings["lr"])
    optimizer: Optimizer = kind(**settings)
    optimizer._load_vectors(vectors, as_count(state["step"], "state: step"))
    return optimizer


def as_optimizer(value: Any) -> Optimizer:
    """Return an optimizer object; a name stands for a new one with its defaults."""
    if isinstance(value, Optimizer):
        return value
    if not isinstance(value, str):
        raise TypeError(f"optimizer must be an Optimizer or a name, got {value!r}")
    optimizer: Optimizer = _KINDS[as_choice(value, "optimizer", _KINDS)]()
    return optimizer
