"""Tables, lines and pages as notebooks show them: small pieces of HTML that load nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["curves", "figure", "frame", "preformatted", "table"]

_WIDTH, _HEIGHT, _MARGIN = 360, 90, 4
_STROKES = ("#1f77b4", "#d62728")
# A line of more points than the picture has pixels is thinned.
_MOST_POINTS = 720


def figure(caption: str, *parts: str) -> str:
    """Return parts under a caption."""
    return f"<div><p><strong>{escape(caption)}</strong></p>{''.join(parts)}</div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; numbers are written with six digits, and all text is escaped."""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(each)}</td>' for each in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


def preformatted(text: str) -> str:
    """Return text as it stands in a terminal."""
    return f"<pre>{escape(text)}</pre>"


def frame(page: str, height: int) -> str:
    """Return a whole page as a frame, `height` pixels high, within another."""
    return (
        f'<iframe srcdoc="{escape(page, quote=True)}" width="100%" height="{height}" '
        'style="border: 0" sandbox="allow-scripts"></iframe>'
    )


def curves(named: Mapping[str, Sequence[float]]) -> str:
    """Draw series of finite numbers over their index, and say which line is which; "" if none."""
    series = {name: _thinned(values) for name, values in named.items() if len(values) > 1}
    points = [pair for values in series.values() for pair in values]
    if not points:
        return ""
    last = max(at for at, _ in points) or 1
    low, high = min(value for _, value in points), max(value for _, value in points)
    lines = []
    for (name, values), stroke in zip(series.items(), _STROKES, strict=False):
        path = " ".join(
            f"{_MARGIN + at / last * (_WIDTH - 2 * _MARGIN):.1f},"
            f"{_HEIGHT - _MARGIN - _share(value, low, high) * (_HEIGHT - 2 * _MARGIN):.1f}"
            for at, value in values
        )
        title = f"<title>{escape(name)}</title>"
        lines.append(
            f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="1.5">{title}'
            "</polyline>"
        )
    words = ", ".join(
        f'<span style="color: {stroke}">{escape(name)}</span>'
        for name, stroke in zip(series, _STROKES, strict=False)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(", ".join(series), quote=True)} from {low:.4g} to {high:.4g}">'
        f"{''.join(lines)}</svg><p>{words}: {low:.4g} to {high:.4g}</p>"
    )


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    every = -(-len(values) // _MOST_POINTS)
    return [(at, float(v)) for at, v in enumerate(values) if at % every == 0 and math.isfinite(v)]
