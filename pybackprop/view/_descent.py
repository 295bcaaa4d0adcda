"""The page of a descent: contours of a function of two numbers, and paths of rates and rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..files.write import write_atomically
from ..graph import Variable, grad, jacobian, minimize
from ..inputs import as_count, as_real
from ..optimizers import SGD, Adagrad, Adam, RMSprop
from ..pages.shell import make

__all__ = ["make_descent", "write_descent"]

# Points along each side of the grid that contours are drawn from.
_COUNT = 61
_DIGITS = 6
# Files of a page with a descent on a function.
STYLES = ("view/descent/descent.css",)
SCRIPTS = tuple(f"view/descent/{name}.js" for name in ("contours", "picture", "function"))

# What `rules` may name: the optimizer at a rate. The page has words for each name.
_RULES: dict[str, Callable[[float], Any]] = {
    "sgd": SGD,
    "momentum": lambda rate: SGD(rate, momentum=0.9),
    "nesterov": lambda rate: SGD(rate, momentum=0.9, nesterov=True),
    "adam": Adam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}


def write_descent(f: Callable[[Variable], Any], start: Any, path: Any, **options: Any) -> None:
    """Write the page of `make_descent` to a file; an existing one is replaced atomically."""
    page = make_descent(f, start, **options)
    write_atomically(path, lambda file: file.write(page.encode()))


def make_descent(
    f: Callable[[Variable], Any],
    start: Any,
    *,
    rules: Mapping[str, float | Sequence[float]] | None = None,
    steps: int = 60,
    bounds: Any = None,
    names: tuple[str, str] = ("x", "y"),
    title: str = "Descent",
) -> str:
    """Return one self-contained HTML page with contours of `f` and paths down it.

    Gradient descent on a quadratic function converges below the rate 2/λ, where λ is the largest
    eigenvalue of its Hessian, because each step multiplies the distance along an eigenvector by
    1 - rate λ. The page draws that limit beside the rates, from the Hessian where the lowest of
    the paths ends.

    Parameters
    ----------
    f : callable
        Takes one Variable of shape (2,) and returns one number, as for `graph.minimize`.
    start : array_like, (2,)
        Where all paths start.
    rules : mapping of str to float or sequence of float, optional
        Rates of ``"sgd"``, ``"momentum"`` (0.9), ``"nesterov"`` (0.9), ``"adam"``, ``"rmsprop"``
        and ``"adagrad"``. By default gradient descent with 0.25, 0.99 and 1.01 times 2/λ at
        `start`, and the next three.
    steps : int
        How many updates each path has.
    bounds : ((float, float), (float, float)), optional
        The range of x and of y that is drawn; by default around the paths that do not diverge.
    names : (str, str)
        What the two numbers are called.
    title : str
        The heading.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Examples
    --------
    Booth's function, whose Hessian has the eigenvalues 18 and 2: 2/18 = 0.1111.

    >>> def booth(p):
    ...     return (p[0] + 2 * p[1] - 7) ** 2 + (2 * p[0] + p[1] - 5) ** 2
    >>> page = make_descent(booth, [-6, 6], rules={"sgd": [0.11, 0.112]})
    >>> page.startswith("<!DOCTYPE html>")
    True
    """
    data = descent_data(f, start, rules=rules, steps=steps, bounds=bounds, names=names, title=title)
    body = '<h1 id="title"></h1>\n<div id="descent"></div>'
    return make(title, body, STYLES, (*SCRIPTS, "view/descent/page.js"), data)


def descent_data(
    f: Callable[[Variable], Any],
    start: Any,
    *,
    rules: Mapping[str, float | Sequence[float]] | None = None,
    steps: int = 60,
    bounds: Any = None,
    names: tuple[str, str] = ("x", "y"),
    title: str = "Descent",
) -> dict[str, Any]:
    """Return what the page of `make_descent` draws."""
    point = _as_point(start)
    count = as_count(steps, "steps", low=1)
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {title!r}")
    if not isinstance(names, (tuple, list)) or [type(name) for name in names] != [str, str]:
        raise TypeError(f"names must be a pair of strings, got {names!r}")
    wanted = _as_rules(_usual_rules(f, point) if rules is None else rules)
    runs = [_run(f, point, rule, rate, count) for rule, rate in wanted]
    window = _around(runs) if bounds is None else _as_bounds(bounds)
    end = _lowest(runs)
    hessian = _hessian(f, end)
    return {
        "title": title,
        "names": list(names),
        "count": _COUNT,
        "range": window.tolist(),
        "values": _grid(f, window),
        "runs": runs,
        "at": end.tolist(),
        "hessian": None if hessian is None else hessian.tolist(),
    }


def _as_point(value: Any) -> Array:
    """Return where to start."""
    point = np.asarray(value, np.float64) if np.shape(value) == (2,) else None
    if point is None or not np.isfinite(point).all():
        raise ValueError(f"start must be two finite numbers, got {value!r}")
    return point


def _as_rules(rules: Any) -> list[tuple[str, float]]:
    """Return each rule with each of its rates."""
    if not isinstance(rules, Mapping) or not rules:
        raise TypeError(f"rules must be a mapping of names to rates, got {rules!r}")
    found = []
    for name, rates in rules.items():
        if name not in _RULES:
            raise ValueError(f"rules must name some of {', '.join(_RULES)}, got {name!r}")
        for rate in rates if np.ndim(rates) else [rates]:
            number = as_real(rate, f"rules[{name!r}]", low=0.0)
            if not number:
                raise ValueError(f"rules[{name!r}] must be above 0, got {rate!r}")
            found.append((name, number))
    if not found:
        raise ValueError("rules must hold at least one rate, got none")
    return found


def _hessian(f: Callable[[Variable], Any], point: Array) -> Array | None:
    """Return the second derivatives, (2, 2); None where they are not finite."""
    with np.errstate(all="ignore"):
        hessian = np.asarray(jacobian(grad(f))(point))
    return hessian if np.isfinite(hessian).all() else None


def _usual_rules(f: Callable[[Variable], Any], point: Array) -> dict[str, Any]:
    """Return rates on both sides of 2/λ, and the other rules at a quarter of it."""
    hessian = _hessian(f, point)
    largest = 0.0 if hessian is None else float(np.linalg.eigvalsh(hessian).max())
    limit = 2 / largest if largest > 0 else 0.1
    rates = [float(f"{part * limit:.3g}") for part in (0.25, 0.99, 1.01)]
    return {"sgd": rates, "momentum": rates[0], "nesterov": rates[0], "adam": 0.3}


def _as_bounds(value: Any) -> Array:
    """Return the range of both numbers, (2, 2)."""
    window = np.asarray(value, np.float64) if np.shape(value) == (2, 2) else None
    if window is None or not np.isfinite(window).all() or (window[:, 0] >= window[:, 1]).any():
        raise ValueError(f"bounds must be ((low, high), (low, high)), got {value!r}")
    return window


def _value(f: Callable[[Variable], Any], point: Array) -> float:
    result = f(Variable(point))
    return float(result.value if isinstance(result, Variable) else result)


def _run(
    f: Callable[[Variable], Any], start: Array, rule: str, rate: float, steps: int
) -> dict[str, Any]:
    """Return the path of a rule, while its numbers are finite, and the values along it."""
    with np.errstate(all="ignore"):
        path = minimize(f, start, optimizer=_RULES[rule](rate), steps=steps)
        finite = np.isfinite(path).all(axis=1)
        path = path[: len(path) if finite.all() else int(finite.argmin())]
        values = [_value(f, point) for point in path]
    return {
        "rule": rule,
        "rate": rate,
        "path": [_short(point) for point in path],
        "values": _short(values),
    }


def _short(values: Any) -> list[float | None]:
    """Return numbers rounded to what the page keeps, None for those that are not finite."""
    numbers = (float(value) for value in values)
    return [float(f"{each:.{_DIGITS}g}") if np.isfinite(each) else None for each in numbers]


def _lowest(runs: list[dict[str, Any]]) -> Array:
    """Return the end of the run that has come lowest."""
    ends = [(run["values"][-1], run["path"][-1]) for run in runs if run["values"][-1] is not None]
    if not ends:
        return np.array(runs[0]["path"][0])
    return np.array(min(ends, key=lambda end: end[0])[1])


def _around(runs: list[dict[str, Any]]) -> Array:
    """Return the range of the paths that do not end higher than they began, with a margin."""
    kept = []
    for run in runs:
        first, last = run["values"][0], run["values"][-1]
        fell = last is not None and first is not None and last <= first
        kept += run["path"] if fell else run["path"][:3]
    points = np.array(kept)
    low, high = points.min(axis=0), points.max(axis=0)
    # The same width for both numbers, so that no direction is stretched.
    half = 0.6 * max(float((high - low).max()), 1e-6 + 1e-3 * float(np.abs(points).max()))
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half], axis=1)


def _grid(f: Callable[[Variable], Any], window: Array) -> list[float | None]:
    """Return f on a grid, row by row from the lowest y on."""
    xs, ys = (np.linspace(low, high, _COUNT) for low, high in window)
    with np.errstate(all="ignore"):
        return _short(_value(f, np.array([x, y])) for y in ys for x in xs)
