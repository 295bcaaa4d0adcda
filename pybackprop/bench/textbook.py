"""Dense networks and their derivatives in float64, by the textbook's formulas."""

from __future__ import annotations

import numpy as np

from .workloads import Array, Derivative, Layers, split_vector


def forward(layers: Layers, x: Array, activation: str) -> list[Array]:
    """Return A_0 … A_(L-1) and Z_L in float64."""
    outputs = [x.astype(np.float64)]
    for index, (w, b) in enumerate(layers):
        z = outputs[-1] @ w.T.astype(np.float64) + b
        if index < len(layers) - 1:
            z = np.tanh(z) if activation == "tanh" else np.maximum(z, 0.0)
        outputs.append(z)
    return outputs


def softmax(z: Array) -> Array:
    """Return the softmax of every row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    result: Array = e / e.sum(axis=1, keepdims=True)
    return result


def derivative(workload: Derivative, layers: Layers, x: Array, y: Array, v: Array) -> Array:
    """Return a derivative of a net with hidden tanh and linear outputs.

    Parameters
    ----------
    workload : Derivative
        Which one.
    layers : list of pairs of arrays
        W_l (n_l, n_(l-1)) and b_l (n_l,).
    x, y, v : arrays
        As `derivative_data` returns them.

    Returns
    -------
    ndarray
        As the method of `Network` returns it; outputs and derivatives of jvp side by side.
    """
    function = workload.function
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers]
    outputs = forward(layers, x, "tanh")
    v = v.astype(np.float64)
    if function == "vjp":
        return _backward(layers, outputs, v)[0]
    if function == "jvp":
        return np.hstack([outputs[-1], _tangents(layers, outputs, v)[0]])
    if function in ("hvp", "gauss_newton_product"):
        return _curvature(layers, outputs, y, split_vector(v, workload.widths), function == "hvp")
    if function.startswith("per_sample"):
        deltas = _backward(layers, outputs, 2.0 * (outputs[-1] - y) / y.shape[1])[1:]
        parts: list[Array] = []
        for delta, a in zip(deltas, outputs, strict=False):
            parts += [np.einsum("ni,nj->nij", delta, a).reshape(len(x), -1), delta]
        rows = np.hstack(parts)
        return np.linalg.norm(rows, axis=1) if function.endswith("norms") else rows
    axes = np.eye(x.shape[1])
    pairs = [_tangents(layers, outputs, np.tile(axis, (len(x), 1))) for axis in axes]
    first, second = (np.stack(each, axis=2) for each in zip(*pairs, strict=True))
    if function == "laplacian":
        total: Array = second.sum(axis=2)
        return total
    return first if function == "jacobian" else second


def _tangents(layers: Layers, outputs: list[Array], direction: Array) -> tuple[Array, Array]:
    """Return the first and second derivatives of the outputs along a direction for each row."""
    first, second = direction, np.zeros_like(direction)
    for (w, _), a in zip(layers, [*outputs[1:-1], None], strict=True):
        first, second = first @ w.T, second @ w.T
        if a is not None:
            slope = 1.0 - a * a
            first, second = slope * first, slope * (second - 2.0 * a * first**2)
    return first, second


def _backward(layers: Layers, outputs: list[Array], delta: Array) -> list[Array]:
    """Return the derivatives in X, Z_1, …, Z_L of the sum of outputs weighted by delta."""
    deltas = [delta]
    for index in range(len(layers) - 1, -1, -1):
        delta = delta @ layers[index][0]
        if index > 0:
            delta = delta * (1.0 - outputs[index] ** 2)
        deltas.insert(0, delta)
    return deltas


def _curvature(layers: Layers, outputs: list[Array], y: Array, v: Layers, hessian: bool) -> Array:
    """Return the product of the Hessian or the Gauss-Newton matrix of the mean squared error."""
    moved = [np.zeros_like(outputs[0])]
    for index, ((w, _), (v_w, v_b)) in enumerate(zip(layers, v, strict=True)):
        z = moved[-1] @ w.T + outputs[index] @ v_w.T + v_b
        moved.append(z if index == len(layers) - 1 else z * (1.0 - outputs[index + 1] ** 2))
    # The Gauss-Newton matrix is what is left of the Hessian where the residuals are 0.
    delta = 2.0 * (outputs[-1] - y) / y.size * (1.0 if hessian else 0.0)
    change = 2.0 * moved[-1] / y.size
    parts: list[Array] = []
    for index in range(len(layers) - 1, -1, -1):
        a, moved_a = outputs[index], moved[index]
        product = change.T @ a + delta.T @ moved_a
        parts = [product.reshape(-1), change.sum(axis=0), *parts]
        w, v_w = layers[index][0], v[index][0]
        slope = 1.0 - a * a
        delta, change = delta @ w, change @ w + delta @ v_w
        delta, change = delta * slope, change * slope - 2.0 * a * moved_a * delta
    return np.concatenate(parts)
