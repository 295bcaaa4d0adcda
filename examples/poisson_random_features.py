"""The Poisson equation on an ellipse, without a mesh, by random features and least squares.

Finds u with Laplacian f inside and u = g on the edge. The hidden layer keeps random weights; the
Laplacian of the network is then linear in the weights of the output layer, which least squares give
(Dwivedi and Srinivasan, Physics Informed Extreme Learning Machine, 2020). Nothing is trained by
gradients: python poisson_random_features.py
"""

from __future__ import annotations

import numpy as np

import pybackprop as bp

N_HIDDEN = 300


def exact(p: np.ndarray) -> np.ndarray:
    """Return the solution, to compare with; g is its values on the edge."""
    return np.sin(2 * p[:, 0]) * np.exp(p[:, 1])


def f(p: np.ndarray) -> np.ndarray:
    """Return the given Laplacian of the solution: -4 u from x, + u from y."""
    return -3 * exact(p)


def points(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return n points within an ellipse, and n / 4 on its edge."""
    angle, radius = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.random(n))
    inside = np.stack([1.5 * radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    angle = np.linspace(0, 2 * np.pi, n // 4, endpoint=False)
    return inside, np.stack([1.5 * np.cos(angle), np.sin(angle)], axis=1)


def main() -> float:
    """Solve, and return the largest error at points not used before."""
    rng = np.random.default_rng(0)
    inside, edge = points(2000, rng)
    hidden = bp.Network([2, N_HIDDEN], output="tanh", dtype="float64")
    hidden.set_layer(0, rng.normal(size=(N_HIDDEN, 2)), rng.uniform(-2, 2, N_HIDDEN))
    # Rows of the edge weigh more: what is wrong there is wrong everywhere.
    a = np.vstack([hidden.laplacian(inside), 30 * hidden.predict(edge)])
    b = np.concatenate([f(inside), 30 * exact(edge)])
    output = np.linalg.lstsq(a, b, rcond=1e-13)[0]

    net = bp.Network([2, N_HIDDEN, 1], activation="tanh", dtype="float64")
    net.set_layer(0, hidden.weights[0], hidden.biases[0])
    net.set_layer(1, output[None, :], [0.0])

    new = points(1000, rng)[0]
    residual = np.abs(net.laplacian(new)[:, 0] - f(new)).max()
    error = np.abs(net.predict(new)[:, 0] - exact(new)).max()
    print(f"largest residual {residual:.1e}, largest error {error:.1e}")
    return float(error)


if __name__ == "__main__":
    main()
