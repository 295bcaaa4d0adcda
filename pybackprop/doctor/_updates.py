"""The updates that an optimizer makes to a network whose layers have factors of its rates."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import SCHEDULED, Array
from ..optimizers import Optimizer, restore

if TYPE_CHECKING:
    from ..model import Model


class Updates:
    """Copies of an optimizer, which do to parameters what it would do to those of a network.

    There is one for each block of what is trained with factors of its own, the scales of the
    inputs, W_1, b_1, W_2, …; or one for all of them.
    """

    def __init__(self, net: Model, optimizer: Optimizer) -> None:
        self._clip_norm: float | None = None
        self._blocks = [slice(0, net._net.n_trained)]
        self._shape = net.weights[0].shape
        self._trained = None if net.input_scales is None else net._net.trained()
        if not net._has_factors:
            self._optimizers = [copy.deepcopy(optimizer)]
            return
        scales = [] if net.input_scales is None else [net.input_scales]
        layers = chain(*zip(net.weights, net.biases, strict=True))
        sizes = [block.size for block in (*scales, *layers)]
        ends = accumulate(sizes)
        self._blocks = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        rows = zip(net.lr_factors, net.decay_factors, net.eps_factors, strict=True)
        of_layers = chain(*(zip(*row, strict=True) for row in rows))
        factors = chain([net.input_scale_factors] * len(scales), of_layers)
        pairs = zip(self._blocks, factors, strict=True)
        state = optimizer.state_dict()  # once, since it copies all vectors
        self._optimizers = [_of_block(optimizer, state, block, own) for block, own in pairs]
        self._clip_norm = optimizer.clip_norm  # of all blocks together

    def __call__(self, parameters: Array, gradient: Array) -> None:
        """Do one update in place, of flat vectors: each begins where the last one ended."""
        if self._trained is None:
            self._update(parameters, gradient)
            return
        n_out, n_in = self._shape
        first = slice(n_in, n_in * (n_out + 1))
        # In the type of the caller's vectors, which may have more digits than the network's.
        self._trained = self._trained.astype(parameters.dtype, copy=False)
        scales, w = self._trained[:n_in], self._trained[first].reshape(self._shape)
        in_v = gradient[: w.size].reshape(self._shape)
        parts = (in_v * w).sum(axis=0), (in_v * scales).ravel(), gradient[w.size :]
        self._update(self._trained, np.concatenate(parts))
        parameters[:] = self._trained[n_in:]
        parameters[: w.size] = (w * scales).ravel()

    def _update(self, parameters: Array, gradient: Array) -> None:
        if self._clip_norm is not None:
            length = float(np.linalg.norm(gradient.astype(np.float64)))
            factor = min(1.0, self._clip_norm / (length + 1e-6))
            gradient = (factor * gradient).astype(gradient.dtype)
        for block, optimizer in zip(self._blocks, self._optimizers, strict=True):
            optimizer.update(parameters[block], gradient[block])


def _of_block(
    optimizer: Optimizer, state: dict[str, Any], block: slice, factors: tuple[float, float, float]
) -> Optimizer:
    """Return the optimizer, in this state, for a block of parameters, at rates times factors."""
    settings = {**state["settings"], "clip_norm": None}
    for name, factor in zip(SCHEDULED, factors[:2], strict=True):
        settings[name] = _scaled(getattr(optimizer, name), factor)
    if "eps" in settings:
        settings["eps"] *= factors[2]
    vectors = {name: vector[block] for name, vector in state["state"].items()}
    return restore(type(optimizer), {**state, "settings": settings, "state": vectors})


def _scaled(rate: float | Callable[[int], Any], factor: float) -> Any:
    return (lambda step: factor * rate(step)) if callable(rate) else factor * rate
