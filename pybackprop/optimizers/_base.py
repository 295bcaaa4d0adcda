"""What all optimizers have in common: settings, learning rates, state, and who may change it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, overload

import numpy as np

from .._core import (
    FLOAT32,
    FLOAT64,
    RATES,
    SCHEDULED,
    Array,
    Key,
    Net,
    OptimizerState,
    coming_dropout,
    state_key,
)
from ..inputs import as_choice, as_counter, as_flag, as_real
from ..schedules import BUILT_IN, Schedule

# The attributes that settings and state are made of.
_KEPT = frozenset({"_state", "_initial"})

Rate = float | Schedule | Callable[[int], float]
Result = TypeVar("Result")
Kind = TypeVar("Kind", bound="Optimizer")

# Steps of a schedule that are computed at once. They are always grouped in the same way, so a rate
# has the same bits however training is split into calls.
_BLOCK = 256

# The optimizers by name; _rules.py fills this table.
RULES: dict[str, type[Any]] = {}


class Rates:
    """The values of a schedule or of a plain function, by step; `name` is what they are for."""

    def __init__(
        self, source: Schedule | Callable[[int], float], name: str, high: float = math.inf
    ) -> None:
        self.source, self.name, self.high = source, name, high
        self._most = min(high, sys.float_info.max)
        self._number = -1
        self._block: list[float] = []

    def _check(self, rates: Array, first: int) -> None:
        bad = ~((rates >= 0) & (rates <= self._most))
        if bad.any():
            step = int(np.argmax(bad))
            wanted = "finite rates >= 0"
            if self.high < math.inf:
                wanted = f"factors from 0 to {self.high:g}"
            raise ValueError(
                f"{self.name} must give {wanted}, got {rates[step]} at step {first + step}"
            )

    def check(self, first: int, count: int) -> None:
        """Refuse a schedule whose rates at so many steps are not as wanted."""
        assert isinstance(self.source, Schedule)
        last = first + count - 1
        changing = range(first, min(last, max(first, self.source._settles())) + 1)
        parts = [changing[at : at + 16 * _BLOCK] for at in range(0, len(changing), 16 * _BLOCK)]
        for steps in (*parts, range(last, last + 1)):
            self._check(self._rates(self.source, steps), steps.start)

    @staticmethod
    def _rates(source: Schedule, steps: range) -> Array:
        # Rates that are infinite, or 0 times that, are refused at steps that are taken.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(source(np.arange(steps.start, steps.stop)), np.float64)

    def _value(self, step: int) -> float:
        return as_real(self.source(step), f"{self.name} at step {step}", low=0.0)

    def __call__(self, step: int) -> float:
        """Return the rate of a step."""
        if not isinstance(self.source, Schedule):
            return self._value(step)
        rate = self._block_of(self.source, step)[step % _BLOCK]
        if not 0.0 <= rate <= self._most:
            self._check(np.array([rate]), step)
        return rate

    def _block_of(self, source: Schedule, step: int) -> list[float]:
        """Return the rates of the block of a step, of which not all may be taken."""
        number = step // _BLOCK
        if number != self._number:
            first = number * _BLOCK
            self._block = self._rates(source, range(first, first + _BLOCK)).tolist()
            self._number = number
        return self._block

    def ahead(self, step: int, limit: int) -> Array:
        """Return the rates of the next steps, at least one and at most limit."""
        if not isinstance(self.source, Schedule):
            return np.array([self._value(step + i) for i in range(min(limit, _BLOCK))])
        rates: list[float] = []
        while len(rates) < limit and len(rates) < 16 * _BLOCK:
            at = step + len(rates)
            rates += self._block_of(self.source, at)[at % _BLOCK :]
        found = np.array(rates[:limit])
        self._check(found, step)
        return found


class Setting:
    """A number kept in the C structure, checked whenever it is assigned."""

    def __init__(self, field: str, high: float = math.inf, *, below: bool = False) -> None:
        self.field, self.high, self.below = field, high, below

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting: ...

    @overload
    def __get__(self, instance: Optimizer, owner: type) -> float: ...

    def __get__(self, instance: Optimizer | None, owner: type) -> Setting | float:
        if instance is None:
            return self
        return float(instance._state.get(self.field))

    def __set__(self, instance: Optimizer, value: float) -> None:
        number = as_real(value, self.name, low=0.0, high=self.high, open_high=self.below)
        instance._change(self.name, self.field, number)


class ScheduledSetting:
    """A number kept in the C structure that may change from step to step."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> ScheduledSetting: ...

    @overload
    def __get__(self, instance: Optimizer, owner: type) -> Rate: ...

    def __get__(self, instance: Optimizer | None, owner: type) -> ScheduledSetting | Rate:
        if instance is None:
            return self
        rates = instance._state.schedules.get(self.name)
        value: Rate = float(instance._state.get(self.name)) if rates is None else rates.source
        return value

    def __set__(self, instance: Optimizer, value: Rate) -> None:
        if not (isinstance(value, Schedule) or callable(value)):
            value = as_real(value, self.name, low=0.0)
        instance._state.alone(self._assign, instance._state, value)

    def _assign(self, state: OptimizerState, value: Rate) -> None:
        schedules = {name: each for name, each in state.schedules.items() if name != self.name}
        if isinstance(value, float):
            # The number counts once there is no schedule; a signal may come before that.
            state.set(self.name, value)
        else:
            schedules[self.name] = Rates(value, self.name)
        state.schedules = schedules  # always another dict, by which a fit knows of the change


class Flag:
    """A truth value kept in the C structure."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Flag: ...

    @overload
    def __get__(self, instance: Optimizer, owner: type) -> bool: ...

    def __get__(self, instance: Optimizer | None, owner: type) -> Flag | bool:
        if instance is None:
            return self
        return bool(instance._state.get(self.name))

    def __set__(self, instance: Optimizer, value: bool) -> None:
        instance._change(self.name, self.name, as_flag(value, self.name))


class Optimizer:
    """What all optimizers have in common; make one of its subclasses.

    Attributes
    ----------
    lr, weight_decay : float, Schedule or callable
        Learning rate, and decay of the parameters. A callable is given the number of updates done
        and returns the rate of the next one. During a fit it is called some steps in advance.
    clip_norm : float or None
        A gradient whose 2-norm over all parameters exceeds this is scaled down to it.
    steps : int
        Updates done.

    Notes
    -----
    Only one call at a time may use an optimizer. During a fit, callbacks in the thread of the fit
    may change settings and replace the state; every other change is refused with a RuntimeError.
    """

    name: ClassVar[str]
    _settings: ClassVar[tuple[str, ...]]
    _vectors: ClassVar[tuple[str, ...]]
    lr = ScheduledSetting()
    weight_decay = ScheduledSetting()

    def __init__(self, lr: Rate, weight_decay: Rate, clip_norm: float | None) -> None:
        self._state = OptimizerState(self.name)
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm

    @property
    def clip_norm(self) -> float | None:
        """Largest 2-norm of the gradient that is used unscaled; None for any."""
        return float(self._state.get("clip_norm")) or None

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        number = 0.0 if value is None else as_real(value, "clip_norm", low=0.0)
        if value is not None and number == 0:
            raise ValueError("clip_norm must be above 0, or None for no clipping, got 0")
        self._state.alone(self._state.set, "clip_norm", number)

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

    def _settle(self, key: Key | None) -> None:
        """Give the core the state vectors that the present settings use, once a size is known."""
        if key is None:
            return
        size, dtype = key
        for index, vector in enumerate(self._vectors):
            if self._needs(vector) and not self._state.points(index):
                self._state.point(index, np.full(size, self._first_value(), dtype))

    def _change(self, name: str, field: str, value: float) -> None:
        """Set a field of the core; change nothing if its vectors cannot be allocated."""
        self._state.alone(self._set_field, name, field, value)

    def _set_field(self, name: str, field: str, value: float) -> None:
        self._check_setting(name, value)
        before = self._state.get(field)
        try:
            self._state.set(field, value)
            self._settle(self._state.key)
        except BaseException:
            self._state.set(field, before)
            raise

    def _bind(self, key: Key) -> None:
        """Make the state for parameters of this size and type on first use; the lock is held."""
        state = self._state
        if state.key is key:
            return
        if state.key is not None:
            raise ValueError(
                f"this optimizer holds the state of {state.key[0]} parameters of {state.key[1]}, "
                f"but is used with {key[0]} of {key[1]}; "
                "use another optimizer, or reset() this one"
            )
        # The key tells calls that the state is complete; set it last, since a signal may end this.
        self._forget()
        self._settle(key)
        state.bind(key)

    def _use(self, key: Key, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function that updates parameters of this size and type with the state."""
        result: Result = self._state.alone(self._bound, key, call, *arguments, updates=True)
        return result

    def _bound(self, key: Key, call: Callable[..., Result], *arguments: Any) -> Result:
        first = self._state.key is None
        self._bind(key)
        try:
            return call(self._state, *arguments)
        except BaseException:
            if first and not self.steps:
                self._state.bind(None)  # no update was done, so it may serve others
            raise

    def _rates(self) -> dict[str, Rate]:
        """Return the settings that may be schedules or functions, as they are."""
        return {name: getattr(self, name) for name in SCHEDULED}

    def _rate(self, name: str = "lr") -> float:
        """Return the learning rate, or the weight decay, of the next update."""
        schedule = self._state.schedules.get(name)
        return float(self._state.get(name)) if schedule is None else schedule(self.steps)

    def _constant_rates(self, count: int) -> Array:
        """Return the numbers that are set, for so many steps, and factors of 1 of dropout."""
        # Not of a structured type: where a signal interrupts NumPy there, the exception is lost.
        rates = np.ones((count, len(RATES)))
        for column, name in enumerate(SCHEDULED):
            rates[:, column] = self._state.get(name)
        return rates

    def _coming_rates(self, net: Net, limit: int) -> Array | None:
        """Return the rates of the next steps, at least one and at most limit; None for constant."""
        ahead = {n: each.ahead(self.steps, limit) for n, each in self._state.schedules.items()}
        dropout = coming_dropout(net, limit)
        if dropout is not None:
            ahead["dropout"] = dropout
        if not ahead:
            return None
        rates = self._constant_rates(min(len(each) for each in ahead.values()))
        for name, each in ahead.items():
            rates[:, RATES.index(name)] = each[: len(rates)]
        return rates

    def reset(self) -> None:
        """Forget the state: no updates done, ready for parameters of any size.

        Raises
        ------
        RuntimeError
            The optimizer is in use in another call.
        """
        self._state.alone(self._reset)

    def _reset(self) -> None:
        self._state.bind(None)
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
            The arrays are not as described, or do not have the size of the state.
        RuntimeError
            The optimizer is in use in another call, or in a fit.
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
        self._use(state_key(parameters.size, dtype), OptimizerState.update, parameters, gradient)

    @classmethod
    def each(cls: type[Kind], **settings: Any) -> list[Kind]:
        """Return optimizers for several networks, one for each.

        Parameters
        ----------
        **settings
            The arguments of the class: for each a single value, or a sequence of n values, of which
            optimizer k gets the one at index k. A pair of numbers for `betas` is a single value.

        Returns
        -------
        list of Optimizer
            n of them.

        Raises
        ------
        TypeError, ValueError
            An argument is not as described, or no argument is a sequence, or their lengths differ.
        """
        depths = {name: 2 if name == "betas" else 1 for name in settings}
        listed = {
            name: list(value) for name, value in settings.items() if np.ndim(value) == depths[name]
        }
        lengths = {len(values) for values in listed.values()}
        if len(lengths) != 1:
            raise ValueError(
                "each needs at least one setting with a value for each network, all with the same "
                f"number of them, got {sorted(lengths)} values"
            )
        return [
            cls(**{**settings, **{name: values[at] for name, values in listed.items()}})
            for at in range(lengths.pop())
        ]

    def _get_settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._settings}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that makes this optimizer, in plain types and copied arrays.

        Returns
        -------
        dict
            `name`; `settings`, where a schedule is described by a dict; `step`; `state`, the
            vectors under PyTorch's names.

        Raises
        ------
        RuntimeError
            The optimizer is in use in another call.
        """
        return self._state.alone(self._describe)

    def _describe(self) -> dict[str, Any]:
        settings = self._get_settings()
        for name in SCHEDULED:
            if isinstance(settings[name], Schedule):
                settings[name] = settings[name].to_dict()
        vectors = zip(self._vectors, self._state.vectors, strict=False)
        state = {name: vector.copy() for name, vector in vectors if vector is not None}
        return {"name": self.name, "settings": settings, "step": self.steps, "state": state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the optimizer that `state_dict` described; it must be of the same class.

        Raises
        ------
        TypeError, ValueError
            The description is of another class or malformed. Or, in a callback of a fit, it does
            not match the network being trained. Nothing is changed.
        RuntimeError
            The optimizer is in use in another call.
        """
        self._become(restore(type(self), state))

    def _become(self, other: Optimizer) -> None:
        """Take over settings and state of another optimizer, which must not be used afterwards."""
        self._state.alone(self._adopt, other)

    def _adopt(self, other: Optimizer) -> None:
        fit, key = self._state.fit, other._state.key
        if fit is not None and key is not None and key is not fit.key:
            raise ValueError(
                f"state holds vectors for {key[0]} parameters of {key[1]}, but the fit in progress "
                f"trains {fit.key[0]} of {fit.key[1]}"
            )
        self._state.adopt(other._state)

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
            self._state.bind(state_key(size, FLOAT32 if dtype == FLOAT32 else FLOAT64))
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
        from ..exchange.files import load_optimizer

        return load_optimizer(path, from_state_dict)

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.state_dict()
        state["settings"].update(self._rates())
        # Attributes added by a subclass are pickled along with the state.
        own = {name: value for name, value in vars(self).items() if name not in _KEPT}
        return restore, (type(self), state), own or None

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._get_settings().items())
        return f"{type(self).__name__}({settings})"


def restore(kind: type[Optimizer], state: dict[str, Any]) -> Optimizer:
    """Return the optimizer of this class that `state_dict` described."""
    if not isinstance(state, dict) or not {"name", "settings", "step", "state"} <= set(state):
        raise ValueError("state must be a dict with name, settings, step and state")
    if state["name"] != kind.name:
        raise ValueError(f"state must be that of {kind.name!r}, got that of {state['name']!r}")
    settings, vectors = state["settings"], state["state"]
    if not isinstance(settings, dict) or not isinstance(vectors, dict):
        raise ValueError("state: settings and state must be dicts")
    if set(settings) != set(kind._settings):
        raise ValueError(f"state: the settings of {kind.name} are {', '.join(kind._settings)}")
    settings = dict(settings)
    for name in SCHEDULED:
        if isinstance(settings[name], dict):
            settings[name] = Schedule.from_dict(settings[name])
    # A subclass may have its own constructor, but the rule's constructor takes the settings.
    rule = next(each for each in kind.__mro__ if "name" in vars(each))
    optimizer = kind.__new__(kind)
    vars(rule)["__init__"](optimizer, **settings)
    optimizer._load_vectors(vectors, as_counter(state["step"], "state: step"))
    return optimizer


def from_state_dict(state: dict[str, Any]) -> Optimizer:
    """Return the optimizer that `state_dict` described."""
    if not isinstance(state, dict) or "name" not in state:
        raise ValueError("state must be a dict with name, settings, step and state")
    return restore(RULES[as_choice(state["name"], "state: name", RULES)], state)


def state_to_save(optimizer: Any) -> dict[str, Any]:
    """Return what a file stores of an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer, got {optimizer!r}")
    state, rates = optimizer.state_dict(), optimizer._rates()
    for name in SCHEDULED:
        if callable(state["settings"][name]):
            raise ValueError(f"an optimizer whose {name} is a function cannot be saved")
        if isinstance(rates[name], Schedule) and type(rates[name]) not in BUILT_IN:
            raise ValueError(
                f"an optimizer whose {name} is a Schedule of another kind than those of "
                f"pybackprop.schedules cannot be saved, got {rates[name]!r}"
            )
    return state
