"""Several networks of the same widths in one model file.

An .npz file holds `header` (JSON) and `parameters`, (n, n_trained). A .safetensors file has tensors
layers.<i>.weight, (n, n_out, n_in), and layers.<i>.bias, (n, n_out), as
torch.func.stack_module_state names and shapes them; of networks with scales of their inputs, also
those that `safetensors` adds. Where networks have a scaling there are `shift` and `scale` with a
row for each of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._core import FLOAT64, Array
from .._version import __version__
from ..files.read import DAMAGE, Archive, open_regular, parse_json
from ..files.write import write_atomically
from ..inputs import as_count, as_counter, as_dtype, as_path
from ..settings import FACTORS, Settings, count_trained, from_kept
from . import safetensors
from .formats import format_of, format_to_write
from .npz import (
    FORMAT,
    MANY_FORMAT,
    check_format,
    malformed,
    read_array,
    read_text,
    write_arrays,
    write_json,
)

if TYPE_CHECKING:
    from ..model import Model

VERSION = 1
# Settings that may differ between the networks.
_OWN = (
    "init",
    "dropout",
    "l1",
    "l2",
    "seed",
    *FACTORS,
    "dropout_schedule",
    "input_scale_factors",
)
_STATE = ("steps", "epochs", "metadata")


class State(NamedTuple):
    """What a network is made from again; see `Model._from_state`."""

    settings: dict[str, Any]
    parameters: Array
    counters: tuple[int, int]
    scaling: tuple[Array, Array] | None
    metadata: dict[str, Any]


class _Stacked(NamedTuple):
    """All networks as a file holds them: `scaling` is shift and scale of those that have one."""

    header: dict[str, Any]
    parameters: Array
    scaling: tuple[Array, Array] | None


def save_networks(path: Any, networks: Sequence[Model]) -> None:
    """Write networks of the same widths; see `Networks.save`."""
    path = as_path(path)
    kind = format_to_write(path)
    if not isinstance(networks[0].loss, str):
        raise ValueError("networks whose loss is a function cannot be saved")
    stacked = _stack([State(*each._state()) for each in networks])
    text = write_json(stacked.header)
    if kind == "safetensors":
        tensors = safetensors.split(networks[0]._settings(), stacked.parameters)
        if stacked.scaling is not None:
            tensors["scaling.shift"], tensors["scaling.scale"] = stacked.scaling
        safetensors.write_tensors(path, tensors, text)
        return
    arrays = {"parameters": stacked.parameters}
    if stacked.scaling is not None:
        arrays["shift"], arrays["scale"] = stacked.scaling
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    write_atomically(path, lambda file: write_arrays(file, arrays))


def _stack(states: Sequence[State]) -> _Stacked:
    first = states[0].settings
    own = [
        name for name in _OWN if any(each.settings.get(name) != first.get(name) for each in states)
    ]
    members = []
    for each in states:
        member = {name: each.settings[name] for name in own if name in each.settings}
        member["steps"], member["epochs"] = each.counters
        if each.metadata:
            member["metadata"] = each.metadata
        members.append(member)
    header = {
        "format": MANY_FORMAT,
        "format_version": VERSION,
        "pybackprop": __version__,
        "settings": {name: value for name, value in first.items() if name not in own},
        "members": members,
        "scaling": [at for at, each in enumerate(states) if each.scaling is not None],
    }
    parameters = np.stack([each.parameters for each in states])
    pairs = [each.scaling for each in states if each.scaling is not None]
    scaling = None
    if pairs:
        scaling = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    return _Stacked(header, parameters, scaling)


def load_networks(path: Any) -> list[State]:
    """Return the states of the networks in a file; errors are those of `npz.load`."""
    path = as_path(path)
    with open_regular(path) as file:
        try:
            if format_of(path) == "safetensors":
                return _unstack(_read_tensors(safetensors.Tensors(file)))
            with Archive(file) as archive:
                return _unstack(_read_archive(archive))
        except DAMAGE as error:
            raise malformed(path, error) from error


def _read_archive(archive: Archive) -> _Stacked:
    header = _read_header(read_text(archive))
    widths, dtype, n, scaled = _sizes(header)
    size = count_trained(header["settings"])[1]
    parameters = read_array(archive, "parameters", dtype, (n, size))
    if not scaled:
        return _Stacked(header, parameters, None)
    shape = scaled, widths[0]
    shift, scale = (read_array(archive, name, FLOAT64, shape) for name in ("shift", "scale"))
    return _Stacked(header, parameters, (shift, scale))


def _read_tensors(file: safetensors.Tensors) -> _Stacked:
    header = _read_header(file.header())
    widths, dtype, n, scaled = _sizes(header)
    parameters = file.read_trained(header["settings"], dtype, (n,))
    if not scaled:
        return _Stacked(header, parameters, None)
    shape = scaled, widths[0]
    shift, scale = (file.read(f"scaling.{name}", FLOAT64, shape) for name in ("shift", "scale"))
    return _Stacked(header, parameters, (shift, scale))


def _read_header(text: str) -> dict[str, Any]:
    """Return what `_stack` made, or raise if it is anything else."""
    found = parse_json(text)
    if isinstance(found, dict) and found.get("format") == FORMAT:
        raise ValueError("it holds one network, which Network.load reads")
    header = check_format(found, MANY_FORMAT, VERSION)
    members, scaled = header["members"], header["scaling"]
    if not isinstance(header["settings"], dict):
        raise ValueError("settings is not an object")
    if not isinstance(members, list) or not members:
        raise ValueError("members is not a list with at least one entry")
    for at, each in enumerate(members):
        if not isinstance(each, dict) or not each.keys() <= {*_OWN, *_STATE}:
            raise ValueError(f"members[{at}] is not an object with {', '.join((*_OWN, *_STATE))}")
    if not isinstance(scaled, list):
        raise ValueError("scaling is not a list")
    for at in scaled:
        as_count(at, "scaling", high=len(members) - 1)
    if any(one >= other for one, other in pairwise(scaled)):
        raise ValueError("scaling must name members in ascending order")
    return header


def _sizes(header: dict[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any], int, int]:
    """Return widths and type, and how many networks there are and how many have a scaling."""
    settings = header["settings"]
    widths, dtype = count_trained(settings)[0], as_dtype(settings["dtype"])
    return widths, dtype, len(header["members"]), len(header["scaling"])


def _unstack(stacked: _Stacked) -> list[State]:
    """Return the states one by one, with settings that networks can have."""
    header = stacked.header
    pairs: dict[int, tuple[Array, Array]] = {}
    if stacked.scaling is not None:
        pairs = dict(zip(header["scaling"], zip(*stacked.scaling, strict=True), strict=True))
    states = []
    for at, member in enumerate(header["members"]):
        own = {name: value for name, value in member.items() if name in _OWN}
        settings = {**header["settings"], **own}
        Settings(**from_kept(settings))  # before any network is made
        counters = as_counter(member["steps"], "steps"), as_counter(member["epochs"], "epochs")
        metadata = member.get("metadata", {})
        states.append(State(settings, stacked.parameters[at], counters, pairs.get(at), metadata))
    return states
