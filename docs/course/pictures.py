"""Draw the pictures of the course anew: ``python docs/course/pictures.py``.

Graphs are drawn by the package, curves by `chart` below, as plain SVG. The same package draws the
same text, which the tests compare with the files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np

import pybackprop as bp
from pybackprop import graph as G
from pybackprop.graph import Variable

FOLDER = Path(__file__).parent
Points = Sequence[tuple[float, float]]
# A name, its points, and whether they are marked by dots.
Line = tuple[str, Points, bool]

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 20, 50
_STYLE = """
.page { fill: #ffffff }
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.axis { stroke: #8b949e; fill: none }
.c0 { stroke: #0550ae } .c1 { stroke: #a40e26 } .c2 { stroke: #116329 } .c3 { stroke: #8250df }
.thin { stroke: #8b949e; stroke-width: 0.8 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 }
text { fill: #e6edf3 }
.c0 { stroke: #79c0ff } .c1 { stroke: #ff9492 } .c2 { stroke: #56d364 } .c3 { stroke: #d2a8ff }
}
"""


def chart(
    lines: Sequence[Line],
    x: tuple[float, float, Sequence[float]],
    y: tuple[float, float, Sequence[float]],
    names: tuple[str, str],
    *,
    thin: Iterable[Points] = (),
    tick: Callable[[float], str] = "{:g}".format,
) -> str:
    """Return a picture of lines over axes, each of which is (least, most, ticks)."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(px: float, py: float) -> tuple[float, float]:
        across = _LEFT + (px - x[0]) / (x[1] - x[0]) * (right - _LEFT)
        return across, bottom - (py - y[0]) / (y[1] - y[0]) * (bottom - _TOP)

    def path(points: Points) -> str:
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*point) for point in points))

    parts = [f'<rect class="page" width="{_WIDTH}" height="{_HEIGHT}"/>']
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
    for at in x[2]:
        px, _ = place(at, y[0])
        parts.append(f'<path class="axis" d="M{px:.1f} {bottom}v5"/>')
        parts.append(f'<text x="{px:.1f}" y="{bottom + 20}" text-anchor="middle">{tick(at)}</text>')
    for at in y[2]:
        _, py = place(x[0], at)
        parts.append(f'<path class="axis" d="M{_LEFT} {py:.1f}h-5"/>')
        parts.append(f'<text x="{_LEFT - 9}" y="{py + 5:.1f}" text-anchor="end">{tick(at)}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{names[0]}</text>')
    turned = f'transform="translate(16 {(_TOP + bottom) / 2}) rotate(-90)"'
    parts.append(f'<text {turned} text-anchor="middle">{names[1]}</text>')
    parts += [f'<polyline class="line thin" points="{path(points)}"/>' for points in thin]
    for number, (name, points, dotted) in enumerate(lines):
        parts.append(f'<polyline class="line c{number}" points="{path(points)}"/>')
        if dotted:
            parts += [
                f'<circle class="line c{number}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>'
                for px, py in (place(*point) for point in points)
            ]
        height = _TOP + 18 + 26 * number
        parts.append(f'<path class="line c{number}" d="M{right + 12} {height}h24"/>')
        parts.append(f'<text x="{right + 42}" y="{height + 5}">{escape(name)}</text>')
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    title = f"{names[1]} over {names[0]}: {', '.join(name for name, _, _ in lines)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def power(exponent: float) -> str:
    """Write a power of ten, of which charts hold the logarithm."""
    return f"1e{exponent:g}"


def difference() -> str:
    """Draw the error of two differences of x**3 at 1 against the step, both as logarithms."""

    def error(difference: float) -> float:
        return math.log10(max(abs(difference - 3), 1e-16))

    def f(x: float) -> float:
        return x * x * x

    one_sided, central = [], []
    for quarter in range(1, 60):
        h = 10 ** (-quarter / 4)
        one_sided.append((-quarter / 4, error((f(1 + h) - f(1)) / h)))
        central.append((-quarter / 4, error((f(1 + h) - f(1 - h)) / (2 * h))))
    lines = [("one-sided", one_sided, False), ("central", central, False)]
    ticks = range(-14, 1, 2)
    return chart(lines, (-15, 0, ticks), (-16, 2, range(-16, 3, 4)), ("h", "error"), tick=power)


def gates() -> str:
    """Draw J = 3 (a + b c)."""
    a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    u = (b * c).named("u")
    v = (a + u).named("v")
    J: Variable = (3 * v).named("J")
    return down(J)


def paths() -> str:
    """Draw z = g h with g = s**2 and h = 3 s."""
    s = Variable(2, "s")
    z: Variable = ((s**2).named("g") * (3 * s).named("h")).named("z")
    return down(z)


def neuron() -> str:
    """Draw a sigmoid neuron with two inputs."""
    w0, x0, w1, x1, w2 = (
        Variable(value, name)
        for value, name in ((2, "w0"), (-1, "x0"), (-3, "w1"), (-2, "x1"), (-3, "w2"))
    )
    z = (w0 * x0 + w1 * x1 + w2).named("z")
    a: Variable = G.sigmoid(z).named("a")
    return down(a)


def cost() -> str:
    """Draw the cost of a layer on two examples."""
    net = bp.Network([2, 1], loss="squared_error", dtype="float64", init="zeros")
    net.set_layer(0, [[1, 2]], [0])
    return down(net.graph([[1, 1], [2, 0]], [[1], [0]]).cost)


def down(root: Variable) -> str:
    """Draw a graph from the top down, with its gradients."""
    root.backward()
    return root.to_svg(layout="layers", direction="down")


def booth() -> str:
    """Draw level lines of Booth's function, and three descents."""

    def f(x: Variable) -> Variable:
        value: Variable = (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2
        return value

    # The axes of the ellipses are the eigenvectors of the Hessian, of the eigenvalues 18 and 2.
    levels = []
    for level in (1, 4, 16, 48, 110, 200, 330):
        long, short = math.sqrt(2 * level / 2), math.sqrt(2 * level / 18)
        turn = [2 * math.pi * at / 90 for at in range(91)]
        ring = [
            (
                1 + (short * math.cos(t) + long * math.sin(t)) / math.sqrt(2),
                3 + (short * math.cos(t) - long * math.sin(t)) / math.sqrt(2),
            )
            for t in turn
        ]
        levels += inside(ring, (-6, 8), (-4, 10))
    lines = [
        (f"lr = {lr:g}", [(float(a), float(b)) for a, b in G.minimize(f, [-5, 4], lr=lr, steps=n)])
        for lr, n in ((0.02, 40), (0.1, 40), (0.112, 14))
    ]
    return chart(
        [(name, points, True) for name, points in lines],
        (-6, 8, range(-6, 9, 2)),
        (-4, 10, range(-4, 11, 2)),
        ("x", "y"),
        thin=levels,
    )


def inside(ring: Points, x: tuple[float, float], y: tuple[float, float]) -> list[Points]:
    """Cut a line into the parts that lie within a rectangle."""
    parts: list[list[tuple[float, float]]] = [[]]
    for px, py in ring:
        if x[0] <= px <= x[1] and y[0] <= py <= y[1]:
            parts[-1].append((px, py))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if len(part) > 1]


def shrinking() -> str:
    """Draw the norm of the weights while a network learns, for three penalties."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 8))
    y = x[:, :1] + 0.5 * rng.normal(size=(40, 1))
    lines = []
    for l2 in (0.0, 0.1, 0.5):
        net = bp.Network([8, 1], loss="squared_error", dtype="float64", init="zeros", l2=l2)
        net.set_layer(0, np.ones((1, 8)), [0])
        points = [(0.0, float(np.linalg.norm(net.weights[0])))]
        for step in range(1, 61):
            net.step(x, y, bp.SGD(lr=0.05))
            points.append((float(step), float(np.linalg.norm(net.weights[0]))))
        lines.append((f"l2 = {l2:g}", points, False))
    steps, norms = (0, 60, range(0, 61, 10)), (0, 3, range(4))
    return chart(lines, steps, norms, ("step", "norm of the weights"))


def slopes() -> str:
    """Draw the derivatives of four activations."""
    z = np.linspace(-5, 5, 201)[:, None]
    lines = [
        (f"{name}'", curve(z, bp.kernels.activation_derivative(name, z)), False)
        for name in ("sigmoid", "tanh", "relu", "gelu")
    ]
    ticks = (0, 0.25, 0.5, 0.75, 1)
    return chart(lines, (-5, 5, range(-4, 5, 2)), (-0.2, 1.2, ticks), ("z", "slope"))


def tents() -> str:
    """Draw the tent map composed with itself once, twice and four times."""
    x = np.linspace(0, 1, 513)[:, None]
    lines = [(f"k = {k}", curve(x, tent(k).predict(x)), False) for k in (1, 2, 4)]
    return chart(lines, (0, 1, (0, 0.25, 0.5, 0.75, 1)), (0, 1, (0, 0.5, 1)), ("x", "output"))


def tent(k: int) -> bp.Network:
    """Return the network that composes the tent map k times, of two ReLU a layer."""
    net = bp.Network([1, *k * [2], 1], activation="relu", dtype="float64", init="zeros")
    net.set_layer(0, [[1], [1]], [0, -0.5])
    for layer in range(1, k):
        net.set_layer(layer, [[2, -4], [2, -4]], [0, -0.5])
    net.set_layer(k, [[2, -4]], [0])
    return net


def curve(x: np.ndarray, y: np.ndarray) -> Points:
    """Return a line without the points between neighbours on one straight line."""
    pairs = list(zip(x.ravel().tolist(), y.ravel().tolist(), strict=True))
    turns = [
        abs((b[1] - a[1]) * (c[0] - b[0]) - (c[1] - b[1]) * (b[0] - a[0])) > 1e-12
        for (a, b), (_, c) in pairwise(pairwise(pairs))
    ]
    return [pair for pair, kept in zip(pairs, [True, *turns, True], strict=True) if kept]


PICTURES = {
    "01-difference.svg": difference,
    "02-gates.svg": gates,
    "03-paths.svg": paths,
    "05-neuron.svg": neuron,
    "06-cost.svg": cost,
    "09-booth.svg": booth,
    "10-shrinking.svg": shrinking,
    "11-slopes.svg": slopes,
    "12-tents.svg": tents,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), "utf-8", newline="\n")
