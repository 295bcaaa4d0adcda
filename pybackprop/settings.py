"""What a network is made from: the arguments of `Network`, checked and kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np

from ._core import ACTIVATIONS, LOSSES, PRECISIONS
from .initializers import NAMES as INITIALIZERS
from .inputs import as_choice, as_count, as_dtype, as_flag, as_real, as_reals
from .losses import OUTPUT_OF, LossFunction
from .schedules import BUILT_IN, Schedule

# Far more than can be trained; a bound on what a file can ask for.
MAX_LAYERS = 10_000

# By which layers differ in what the optimizer does to them.
FACTORS = ("lr_factors", "decay_factors", "eps_factors")
Factors = tuple[tuple[float, float], ...]  # of the weights and of the biases of each layer


def count_parameters(widths: Sequence[int]) -> int:
    """Return how many parameters the layers between these widths have."""
    return sum(n_out * (n_in + 1) for n_in, n_out in pairwise(widths))


def count_trained(settings: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """Return the widths in kept settings, and how many numbers training changes."""
    widths = as_widths(settings["widths"])
    has_scales = as_flag(settings.get("input_scales", False), "input_scales")
    return widths, count_parameters(widths) + (widths[0] if has_scales else 0)


def as_widths(value: Any) -> tuple[int, ...]:
    """Return n_0, …, n_L."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"widths must be a sequence of integers, got {value!r}")
    widths = tuple(
        as_count(width, "widths", low=1, high=2**31 - 1) for width in islice(value, MAX_LAYERS + 2)
    )
    if len(widths) > MAX_LAYERS + 1:
        raise ValueError(f"widths must name at most {MAX_LAYERS} layers, got more")
    if len(widths) < 2:
        raise ValueError(f"widths must name the inputs and the outputs at least, got {widths}")
    return widths


def as_activations(activation: Any, output: Any, n_hidden: int) -> tuple[str, ...]:
    """Return the activation of every layer."""
    hidden = [name for name in ACTIVATIONS if name != "softmax"]
    if isinstance(activation, str) or not hasattr(activation, "__iter__"):
        activation = [as_choice(activation, "activation", hidden)] * n_hidden
    names = [as_choice(name, "activation", hidden) for name in activation]
    if len(names) != n_hidden:
        raise ValueError(
            f"activation must be one name or one per hidden layer ({n_hidden}), got {len(names)}"
        )
    return (*names, as_choice(output, "output", ACTIVATIONS))


def as_dropout(value: Any, n_hidden: int) -> tuple[float, ...]:
    """Return the rate of every hidden layer."""
    rates = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else None
    if rates is None:
        rates = [value] * max(n_hidden, 1)
    elif len(rates) != n_hidden:
        raise ValueError(
            f"dropout must be one rate or one per hidden layer ({n_hidden}), got {len(rates)}"
        )
    return tuple(as_real(rate, "dropout", 0.0, 1.0, open_high=True) for rate in rates)[:n_hidden]


def as_loss(value: Any, output: str) -> str | LossFunction:
    """Return a loss that goes with the activation of the output layer."""
    if callable(value):
        function: LossFunction = value
        return function
    loss = as_choice(value, "loss", LOSSES)
    needed = OUTPUT_OF.get(loss)
    if needed is not None and output != needed:
        raise ValueError(f"loss {loss!r} needs output={needed!r}, got output={output!r}")
    return loss


def as_label_smoothing(value: Any, loss: str | LossFunction) -> float:
    """Return the share of a target that is spread over all classes, which goes with the loss."""
    share = as_real(value, "label_smoothing", 0.0, 1.0)
    if share and loss != "cross_entropy":
        name = repr(loss) if isinstance(loss, str) else "a function"
        raise ValueError(
            f"label_smoothing must be 0 unless the loss is 'cross_entropy', got {share:g} with the "
            f"loss {name}"
        )
    return share


def as_factors(value: Any, name: str, n_layers: int) -> Factors | None:
    """Return the factors of a rate of each layer's weights and biases; None for 1."""
    if value is None:
        return None
    rows = as_reals(value, name)
    if rows.shape != (n_layers, 2):
        raise ValueError(
            f"{name} must hold a factor for the weights and one for the biases of each layer, "
            f"({n_layers}, 2), got shape {rows.shape}"
        )
    low = [[as_real(each, name, low=0.0) for each in pair] for pair in rows.tolist()]
    pairs = tuple((of_weights, of_biases) for of_weights, of_biases in low)
    return None if set(pairs) == {(1.0, 1.0)} else pairs


def as_has_scales(value: Any) -> bool:
    """Return whether the inputs have factors that are trained."""
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"input_scales must be True or False, got an array of shape {value.shape}; pass "
            "input_scales=True for factors that begin as 1, or take net.copy() of a network with "
            "its own"
        )
    return as_flag(value, "input_scales")


def as_scale_factors(value: Any, has_scales: bool) -> tuple[float, float, float] | None:
    """Return the factors of rate, decay and eps of the scales; None for 1."""
    if value is None:
        return None
    if not has_scales:
        raise ValueError(
            "input_scale_factors must not be given without input_scales=True: there are no scales "
            "to train"
        )
    three = as_reals(value, "input_scale_factors")
    if three.shape != (3,):
        raise ValueError(
            "input_scale_factors must hold a factor of lr, one of weight_decay and one of eps, "
            f"(3,), got shape {three.shape}"
        )
    lr, decay, eps = (as_real(each, "input_scale_factors", low=0.0) for each in three.tolist())
    return None if (lr, decay, eps) == (1.0, 1.0, 1.0) else (lr, decay, eps)


def as_dropout_schedule(value: Any) -> Schedule | None:
    """Return a copy of the schedule of the dropout rates' factor, which files can describe."""
    if value is None:
        return None
    if type(value) not in BUILT_IN:
        kinds = ", ".join(kind.__name__ for kind in BUILT_IN)
        raise TypeError(
            f"dropout_schedule must be a Schedule or None, got {value!r}; of pybackprop.schedules, "
            f"since the network's files describe it: {kinds}"
        )
    return Schedule.from_dict(value.to_dict())


def from_kept(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network from those that `_settings` returned, or a file holds."""
    schedule = settings.get("dropout_schedule")
    if not isinstance(schedule, dict):
        return settings
    return {**settings, "dropout_schedule": Schedule.from_dict(schedule)}


def as_precision(value: Any) -> str:
    """Return the precision of matrix products."""
    if not isinstance(value, str):
        raise TypeError(f"precision must be a string, got {value!r}")
    if value not in PRECISIONS:
        available = ", ".join(repr(name) for name in PRECISIONS)
        raise ValueError(f"precision {value!r} is not available; available: {available}")
    return value


def as_metadata(value: Any) -> dict[str, Any]:
    """Return an independent copy of a dict of what JSON can hold and a file has room for."""
    if not isinstance(value, dict):
        raise TypeError(f"metadata must be a dict, got {type(value).__name__}")
    import json

    from .files.read import MAX_METADATA, MAX_METADATA_VALUES, parse_json

    try:
        # Inside an object, as in a file, because the depth is limited too.
        text = json.dumps({"metadata": value}, allow_nan=False)
        copied: dict[str, Any] = parse_json(text, MAX_METADATA, MAX_METADATA_VALUES)["metadata"]
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must hold what JSON can, within bounds: {error}") from error
    return copied


class Settings:
    """The part of a network that does not change."""

    def __init__(
        self,
        widths: Any,
        activation: Any,
        output: Any,
        loss: Any,
        init: Any,
        dropout: Any,
        l1: Any,
        l2: Any,
        dtype: Any,
        precision: Any,
        seed: Any,
        label_smoothing: Any = 0.0,  # this and the next: not in files of earlier versions
        lr_factors: Any = None,
        decay_factors: Any = None,
        eps_factors: Any = None,
        dropout_schedule: Any = None,
        input_scales: Any = False,
        input_scale_factors: Any = None,
    ) -> None:
        self._widths = as_widths(widths)
        n_hidden = len(self._widths) - 2
        self._activations = as_activations(activation, output, n_hidden)
        self._loss = as_loss(loss, self._activations[-1])
        self._label_smoothing = as_label_smoothing(label_smoothing, self._loss)
        n_layers = n_hidden + 1
        self._lr_factors = as_factors(lr_factors, "lr_factors", n_layers)
        self._decay_factors = as_factors(decay_factors, "decay_factors", n_layers)
        self._eps_factors = as_factors(eps_factors, "eps_factors", n_layers)
        self._has_scales = as_has_scales(input_scales)
        self._scale_factors = as_scale_factors(input_scale_factors, self._has_scales)
        self._init = as_choice(init, "init", INITIALIZERS)
        self._dropout = as_dropout(dropout, n_hidden)
        self._dropout_schedule = as_dropout_schedule(dropout_schedule)
        self._l1, self._l2 = as_real(l1, "l1", low=0.0), as_real(l2, "l2", low=0.0)
        self._dtype = as_dtype(dtype)
        self._precision = as_precision(precision)
        if self._dtype == np.float64 and self._precision != "float32":
            raise ValueError(
                f"precision {self._precision!r} is for float32 networks, got dtype='float64'"
            )
        self._seed = (
            int.from_bytes(os.urandom(8), "little")
            if seed is None
            else as_count(seed, "seed", high=2**64 - 1)
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """n_0, …, n_L."""
        return self._widths

    @property
    def activations(self) -> tuple[str, ...]:
        """Activation of every layer, the output included."""
        return self._activations

    @property
    def loss(self) -> str | LossFunction:
        """The loss, by name or as the user's function."""
        return self._loss

    @property
    def label_smoothing(self) -> float:
        """The share of each target that is spread evenly over all classes."""
        return self._label_smoothing

    @property
    def lr_factors(self) -> Factors:
        """Factors of the learning rate of each layer: of its weights, and of its biases."""
        return self._lr_factors or self._ones

    @property
    def decay_factors(self) -> Factors:
        """Factors of the weight decay of each layer: of its weights, and of its biases."""
        return self._decay_factors or self._ones

    @property
    def eps_factors(self) -> Factors:
        """Factors of the optimizer's eps of each layer: of its weights, and of its biases."""
        return self._eps_factors or self._ones

    @property
    def input_scale_factors(self) -> tuple[float, float, float]:
        """Factors of the learning rate, the weight decay and the eps of `input_scales`."""
        return self._scale_factors or (1.0, 1.0, 1.0)

    @property
    def _ones(self) -> Factors:
        return ((1.0, 1.0),) * (len(self._widths) - 1)

    @property
    def _has_factors(self) -> bool:
        """Whether parts of what is trained differ in what the optimizer does to them."""
        return self._layers_have_factors or self._scale_factors is not None

    @property
    def _layers_have_factors(self) -> bool:
        """Whether some of these parts are weights or biases."""
        own = (self._lr_factors, self._decay_factors, self._eps_factors)
        return any(each is not None for each in own)

    @property
    def dropout(self) -> tuple[float, ...]:
        """Dropout rate after every hidden layer."""
        return self._dropout

    @property
    def dropout_schedule(self) -> Schedule | None:
        """What gives the factor of all dropout rates for a training step, or None for 1."""
        return self._dropout_schedule

    @property
    def l1(self) -> float:
        """Factor of the sum of |W|."""
        return self._l1

    @property
    def l2(self) -> float:
        """Factor of half the sum of W²."""
        return self._l2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of parameters and arithmetic."""
        return self._dtype

    @property
    def precision(self) -> str:
        """How matrix products are formed."""
        return self._precision

    @property
    def seed(self) -> int:
        """The seed that was given, or drawn."""
        return self._seed

    def _settings(self) -> dict[str, Any]:
        """Return the arguments that make a network like this one.

        Those that earlier versions do not know are left out where they change nothing, so that
        these read the network's files.
        """
        newer: dict[str, Any] = {}
        if self._label_smoothing:
            newer["label_smoothing"] = self._label_smoothing
        for name in FACTORS:
            pairs = getattr(self, f"_{name}")
            if pairs is not None:
                newer[name] = [list(pair) for pair in pairs]
        if self._dropout_schedule is not None:
            newer["dropout_schedule"] = self._dropout_schedule.to_dict()
        if self._has_scales:
            newer["input_scales"] = True
        if self._scale_factors is not None:
            newer["input_scale_factors"] = list(self._scale_factors)
        return {
            "widths": list(self._widths),
            "activation": list(self._activations[:-1]),
            "output": self._activations[-1],
            "loss": self._loss,
            "init": self._init,
            "dropout": list(self._dropout),
            "l1": self._l1,
            "l2": self._l2,
            "dtype": str(self.dtype),
            "precision": self._precision,
            "seed": self._seed,
            **newer,
        }
