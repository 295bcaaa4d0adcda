"""Checkpoints: training runs that continue, in another process, as if they had not stopped."""

from __future__ import annotations

import errno
import math
import os
import re
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._core import SCHEDULED, Array
from ..exchange import npz
from ..exchange.formats import OTHER_FORMATS
from ..files.read import DAMAGE, explain
from ..inputs import as_count, as_path
from ..optimizers import Optimizer, from_state_dict
from ..schedules import BUILT_IN, Schedule
from ..settings import as_metadata
from .history import History

if TYPE_CHECKING:
    from ..model import Model

# If the data are larger, evenly spaced rows of about this many bytes stand for all of them.
_SAMPLE_BYTES = 2**26

_UNITS = {
    **dict.fromkeys(("", "epoch", "epochs"), ("epochs", 1.0)),
    **dict.fromkeys(("step", "steps"), ("steps", 1.0)),
    **dict.fromkeys(("s", "second", "seconds"), ("seconds", 1.0)),
    **dict.fromkeys(("min", "minute", "minutes"), ("seconds", 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), ("seconds", 3600.0)),
}


class Every(NamedTuple):
    """How often checkpoints are written: a number of epochs, steps or seconds."""

    unit: str
    number: float


def as_every(value: Any) -> Every:
    """Return how often to write from a number of epochs or a text such as "100 steps"."""
    if not isinstance(value, str):
        try:
            return Every("epochs", as_count(value, "checkpoint_every", low=1))
        except TypeError as error:
            raise TypeError(
                "checkpoint_every must be a number of epochs or a text such as '100 steps' or "
                f"'30 s', got {value!r}"
            ) from error
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", value.lower())
    unit, factor = _UNITS.get(match[2], ("", 0.0)) if match else ("", 0.0)
    count = float(match[1]) * factor if match else 0.0
    if not 0 < count < math.inf or (unit != "seconds" and count != int(count)):
        raise ValueError(
            "checkpoint_every must be a number above 0 of epochs, steps, s, min or h, such as "
            f"'100 steps' or '30 s', got {value!r}"
        )
    return Every(unit, count)


class Position(NamedTuple):
    """Where a run stands.

    Attributes
    ----------
    epoch, batch : int
        Of the next batch, from 0.
    running : tuple of three floats
        For the current epoch so far: the sum of costs times weights, the sum of weights, seconds.
    history : History
        Of the epochs that have ended.
    start, best : ndarray, (n_trained,), or None
        What training changes, at the start of the current epoch, where one is running, and after
        the epoch with the lowest validation cost, where it is kept.
    more : dict
        Anything else to keep, as integers.
    errors : ndarray, (2 shards, n_parameters), uint16, or None
        What rounding to bfloat16 has left out, where gradients are rounded.
    """

    epoch: int
    batch: int
    running: tuple[float, float, float]
    history: History
    start: Array | None = None
    best: Array | None = None
    more: dict[str, int] = {}  # noqa: RUF012 - nobody writes to it
    errors: Array | None = None


class Checkpoints:
    """What a run writes, and what it continues from.

    Parameters
    ----------
    network, optimizer
        Those in training.
    path, every, resume
        The arguments checkpoint, checkpoint_every and resume of `Network.fit`.
    run : dict
        What a run must have in common with the one it continues: values that JSON can hold.
    """

    def __init__(
        self,
        network: Model,
        optimizer: Optimizer,
        path: Any,
        every: Any,
        resume: Any,
        run: dict[str, Any],
    ) -> None:
        self.network, self.optimizer, self.run = network, optimizer, run
        self.every = as_every(every)
        if path is None and self.every != Every("epochs", 1):
            raise ValueError("checkpoint_every needs checkpoint, the path to write to")
        self.path = None if path is None else as_target(path)
        self.source = as_source(resume, self.path)
        self._settings = optimizer_settings(optimizer)
        self._first_settings = self._settings
        as_metadata(network.metadata)  # which could not be written later either
        self._clock = time.monotonic()
        self._last: tuple[int, int] | None = None

    # ---- writing ----

    def steps_left(self, steps: int) -> int | None:
        """Return in how many steps a checkpoint is due; None if that does not depend on steps."""
        if self.path is None or self.every.unit != "steps":
            return None
        return int(self.every.number) - steps % int(self.every.number)

    def seconds_left(self) -> float:
        """Return in how much time a checkpoint is due; infinity if that does not depend on time."""
        if self.path is None or self.every.unit != "seconds":
            return math.inf
        return max(self._clock + self.every.number - time.monotonic(), 0.0)

    def is_due(self, epochs: int, batch: int, steps: int) -> bool:
        """Return whether to write, after so many epochs and batches and, in all, steps."""
        if self.path is None:
            return False
        if self.every.unit == "seconds":
            return self.seconds_left() == 0.0
        if self.every.unit == "steps":
            return steps % int(self.every.number) == 0
        return batch == 0 and epochs % int(self.every.number) == 0

    def is_behind(self, epoch: int, batch: int) -> bool:
        """Return whether there is a file to write, which is not yet that of this position."""
        return self.path is not None and self._last != (epoch, batch)

    def finish(self, position: Position) -> None:
        """Write the position that a run ends at."""
        if self.is_behind(position.epoch, position.batch):
            self.write(position)

    def write(self, position: Position) -> None:
        """Write the file of this position in place of the previous one.

        Raises
        ------
        OSError
            It cannot be written.
        ValueError
            A rate has become a function, and no run could continue like this one without it.
        """
        network, optimizer = self.network, self.optimizer
        vectors = zip(optimizer._vectors, optimizer._state.vectors, strict=False)
        settings = optimizer_settings(optimizer)
        for name in new_functions(settings, self._first_settings):
            raise ValueError(
                f"{name} has become a function during the fit, which no checkpoint can hold; "
                "assign a Schedule, or give the optimizer the function before the fit"
            )
        state = {
            "name": optimizer.name,
            "settings": settings,
            "step": optimizer.steps,
            "state": {name: vector for name, vector in vectors if vector is not None},
        }
        model = npz.Contents(
            settings=network_settings(network),
            counters=network._net.get_counters(),
            metadata=as_metadata(network.metadata),
            parameters=network._net.trained(),
            scaling=network.scaling,
            optimizer=state,
            training=self._describe(position),
        )
        npz.save(self.path, model)
        self._clock = time.monotonic()
        self._last = position.epoch, position.batch

    def _describe(self, position: Position) -> npz.Training:
        """Return a position as it is kept in a file."""
        history = position.history
        header = {
            "version": 1,
            "run": {**self.run, "optimizer": self._first_settings},
            "epochs": position.epoch,
            "batch": position.batch,
            "best_epoch": history.best_epoch,
            "more": position.more,
        }
        vectors = {"start": position.start, "best": position.best}
        figures: dict[str, Any] = {
            "running": position.running,
            "cost": history.cost,
            "seconds": history.seconds,
        }
        if history.val_cost:
            figures["val_cost"] = history.val_cost
        return npz.Training(
            header,
            {name: vector for name, vector in vectors.items() if vector is not None},
            {name: np.array(values, np.float64) for name, values in figures.items()},
            position.errors,
        )

    # ---- going on ----

    def read(self) -> Position | None:
        """Return where to go on from, with which `apply` agrees; None to begin.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is malformed, or of another run: what differs is named.
        """
        if self.source is None:
            return None
        model = npz.load(self.source, with_errors=True)
        if model.training is None or model.optimizer is None:
            raise ValueError(f"{self.source!r} is not a checkpoint: it holds no training run")
        try:
            position, first = _read_position(model.training)
            current = dict(model.optimizer["settings"])
            if model.counters[0] < position.batch:
                raise ValueError(
                    f"{position.batch} batches of an epoch, but {model.counters[0]} steps in all"
                )
            self._compare(model, first, current)
            current = with_functions(current, self._settings, self.optimizer)
            fresh = from_state_dict({**model.optimizer, "settings": current})
            if bool(position.history.val_cost) != (
                position.epoch > 0 and self.run["validation"]["X"] is not None
            ):
                raise ValueError("val_cost does not go with the validation data")
            n_errors = 2 * self.run["shards"] if self.run.get("exchange") else 0
            if n_errors != (0 if position.errors is None else len(position.errors)):
                raise ValueError("the errors do not go with the shards")
        except _Mismatch as error:
            raise ValueError(
                f"{self.source!r} is a checkpoint of another run: {explain(error)}. {error.hint}"
            ) from None
        except DAMAGE as error:
            reason = explain(error)
            raise ValueError(f"{self.source!r} is not a valid checkpoint: {reason}") from error
        self._model, self._fresh = model._replace(training=None), fresh
        self._first_settings = first["optimizer"]
        return position

    def _compare(self, model: npz.Contents, first: dict[str, Any], current: dict[str, Any]) -> None:
        """Refuse a checkpoint of another run."""
        assert model.optimizer is not None
        # What the data are depends on these: a seed says which rows are held out.
        own: dict[str, Any] = {
            "network": network_settings(self.network),
            "scaling": describe_scaling(self.network.scaling),
            "optimizer": {"name": self.optimizer.name, **self._settings},
        }
        # Callbacks may have changed settings: those of the start are as good as the present ones.
        wanted = current if current == self._settings else first["optimizer"]
        stored: dict[str, Any] = {
            "network": dict(model.settings),
            "scaling": describe_scaling(model.scaling),
            "optimizer": {"name": model.optimizer["name"], **wanted},
        }
        for settings in (own["network"], stored["network"]):
            settings.pop("init", None)  # no longer needed
        different = find_difference("", {**first, **stored}, {**own, **self.run})
        if different is not None:
            raise _Mismatch(different)

    def reached(self) -> int:
        """Return the training steps of the network in the checkpoint, before it is applied."""
        return self._model.counters[0]

    def apply(self) -> None:
        """Bring network and optimizer to where the checkpoint left them."""
        network = self.network
        network._net.admit()  # before the optimizer is changed
        self.optimizer._become(self._fresh)
        network._net.set_trained(self._model.parameters)
        network._net.set_counters(*self._model.counters)
        network.metadata = self._model.metadata
        del self._model, self._fresh


class _Mismatch(Exception):
    """A checkpoint is of another run."""

    @property
    def hint(self) -> str:
        """What to do about it."""
        if str(self).startswith("network seed "):
            return (
                "A network that is made without a seed draws one: begin with Network.load, which "
                "takes that of the checkpoint"
            )
        return (
            "Resuming needs the same data and settings; Network.load and Optimizer.load take its "
            "network and optimizer for other uses"
        )


def _read_position(training: npz.Training) -> tuple[Position, dict[str, Any]]:
    """Return the position that a file holds, and what its run must have in common with others."""
    header, figures = training.header, training.figures
    if header["version"] != 1:
        raise ValueError(f"version {header['version']!r}; this version reads 1")
    for name in ("run", "more"):
        if not isinstance(header[name], dict):
            raise ValueError(f"{name} is not an object")
    epochs, batch = as_count(header["epochs"], "epochs"), as_count(header["batch"], "batch")
    history = History()
    history.cost = figures["cost"].tolist()
    history.seconds = figures["seconds"].tolist()
    history.val_cost = figures["val_cost"].tolist() if "val_cost" in figures else []
    if header["best_epoch"] is not None:
        high = len(history.val_cost) - 1
        history.best_epoch = as_count(header["best_epoch"], "best_epoch", high=high)
    position = Position(
        epochs,
        batch,
        tuple(figures["running"].tolist()),
        history,
        training.vectors.get("start"),
        training.vectors.get("best"),
        {str(name): as_count(value, "more") for name, value in header["more"].items()},
        training.errors,
    )
    return position, {**header["run"], "optimizer": dict(header["run"]["optimizer"])}


def check_epochs(position: Position, epochs: int) -> None:
    """Refuse to end a run before the point at which it resumes."""
    if (position.epoch, position.batch) > (epochs, 0):
        more = f" and {position.batch} batches" if position.batch else ""
        raise ValueError(
            f"epochs must be at least what the checkpoint has done, {position.epoch} epochs{more}, "
            f"got {epochs}"
        )


def as_source(resume: Any, path: str | None) -> str | None:
    """Return the file to go on from, or None; `path` is the one to write."""
    if resume is None or resume is False:
        return None
    if resume is not True:
        return _as_path(resume, "resume")
    if path is None:
        raise ValueError("resume=True needs checkpoint, the path to go on from")
    return path if os.path.lexists(path) else None


def _as_path(value: Any, name: str) -> str:
    """Return an absolute path: callbacks may change the working directory."""
    return os.path.abspath(as_path(value, name))


def as_target(value: Any) -> str:
    """Return a path that can be written to, as far as that can be known beforehand."""
    path = _as_path(value, "checkpoint")
    if path.lower().endswith((".safetensors", *OTHER_FORMATS)):
        raise ValueError(f"checkpoint must be an .npz file, got {path!r}")
    folder = os.path.dirname(os.path.realpath(path))
    number = 0
    if os.path.isdir(path):
        number = errno.EISDIR
    elif not os.path.isdir(folder):
        number = errno.ENOENT
    elif not os.access(folder, os.W_OK | os.X_OK):
        number = errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), path)
    return path


# ---- what runs must have in common ----


def network_settings(network: Model) -> dict[str, Any]:
    """Return the arguments that make the network; null for a loss that is a function."""
    settings = network._settings()
    return settings if isinstance(network.loss, str) else {**settings, "loss": None}


def optimizer_settings(optimizer: Optimizer) -> dict[str, Any]:
    """Return the settings as they come back from JSON.

    A rate that no file can describe is null: a function, or a schedule of another kind than those
    of pybackprop.schedules.
    """
    settings = optimizer._get_settings()
    for name, rate in optimizer._rates().items():
        if isinstance(rate, Schedule) and type(rate) in BUILT_IN:
            settings[name] = rate.to_dict()
        elif not isinstance(rate, float):
            settings[name] = None
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


def new_functions(now: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """Return the rates that have become functions, by settings as they come back from JSON."""
    return [name for name in SCHEDULED if now[name] is None and first[name] is not None]


def with_functions(
    stored: dict[str, Any], first: dict[str, Any], optimizer: Optimizer
) -> dict[str, Any]:
    """Return settings of a file, with the present rates in place of functions, which it lacks."""
    rates = optimizer._rates().items()
    return {**stored, **{name: rate for name, rate in rates if stored[name] == first[name]}}


def describe_data(data: _core.Data | None) -> dict[str, Any]:
    """Return what distinguishes these data from others: shapes, types and checksums."""
    arrays = (None, None, None) if data is None else data.arrays
    return {
        name: None if array is None else _describe(array)
        for name, array in zip(("X", "y", "sample_weight"), arrays, strict=True)
    }


def _describe(array: Array) -> dict[str, Any]:
    step = max(1, -(-array.nbytes // _SAMPLE_BYTES))
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "checksum": checksum(array[::step]),
    }


def describe_scaling(scaling: tuple[Array, Array] | None) -> dict[str, Any] | None:
    """Return what distinguishes this scaling of the inputs from others."""
    if scaling is None:
        return None
    return {"shift": checksum(scaling[0]), "scale": checksum(scaling[1])}


def checksum(array: Array, before: int = 0) -> int:
    """Return the CRC-32 of the bytes of an array, continuing that of others."""
    return zlib.crc32(np.ascontiguousarray(array).data, before)


def find_difference(name: str, stored: Any, own: Any) -> str | None:
    """Return what differs first between two trees of values, in words; None where nothing does."""
    if isinstance(stored, dict) and isinstance(own, dict):
        for key in {**own, **stored}:
            inner = f"{name} {key}".strip()
            found = find_difference(inner, stored.get(key), own.get(key))
            if found is not None:
                return found
        return None
    if stored == own:
        return None
    if name.endswith(("checksum", "shift", "scale")) and None not in (stored, own):
        return f"{name.removesuffix(' checksum')} has other values"
    here, there = (_in_words(value, name) for value in (own, stored))
    return f"{name} is {here} here, {there} in the checkpoint"


def _in_words(value: Any, name: str) -> str:
    if value is None:
        functions = ("network loss", *(f" {each}" for each in SCHEDULED))
        return "a function" if name.endswith(functions) else "not given"
    return "given" if isinstance(value, dict) else repr(value)
