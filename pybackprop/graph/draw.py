"""Pictures of a graph: values above the edges, gradients below, local derivatives at the gates."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from .labels import Labels, local_derivative, short
from .layout import Box, Edge, Layout, Point, arrange
from .variable import Variable, propagate

# Of a larger graph the nodes nearest to the root are drawn, and the picture says so.
MOST_NODES = 150

CHARACTER = 7.4  # width of a character of 12 px monospaced type, rounded up
ROW = 18.0
PADDING = 8.0
MARGIN = 16.0
ARROW = 7.0
LONGEST_TEXT = 44

STYLE = """
.pg-page { fill: #ffffff }
.pg text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
.pg .pg-name { font-weight: bold }
.pg .pg-value { fill: #116329 }
.pg .pg-grad { fill: #a40e26; font-style: italic }
.pg .pg-gate { fill: #f6f8fa; stroke: #57606a }
.pg .pg-leaf { fill: #ddf4ff; stroke: #0969da }
.pg .pg-symbol { fill: #ffffff; stroke: #57606a }
.pg .pg-edge { fill: none; stroke: #57606a; stroke-width: 1.3 }
.pg .pg-arrow { fill: #57606a }
@media (prefers-color-scheme: dark) {
.pg-page { fill: #0d1117 }
.pg text { fill: #e6edf3 }
.pg .pg-value { fill: #56d364 }
.pg .pg-grad { fill: #ff9492 }
.pg .pg-gate { fill: #161b22; stroke: #8b949e }
.pg .pg-leaf { fill: #0c2d6b; stroke: #58a6ff }
.pg .pg-symbol { fill: #0d1117; stroke: #8b949e }
.pg .pg-edge { stroke: #8b949e }
.pg .pg-arrow { fill: #8b949e }
}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 1.5rem; background: #fff; color: #1f2328 }}
.picture {{ overflow-x: auto }}
table {{ border-collapse: collapse; margin-top: 1.5rem }}
th, td {{ border: 1px solid #8b949e; padding: 0.25rem 0.7rem; text-align: left }}
td {{ font-family: ui-monospace, Menlo, Consolas, monospace }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0d1117; color: #e6edf3 }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<div class="picture">
{svg}</div>
<table>
<thead><tr><th>node</th><th>computed as</th><th>value</th><th>gradient</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
</body>
</html>
"""


@dataclass(frozen=True)
class Card:
    """A box of the picture: a leaf, a gate, or the numbers on an edge.

    Attributes
    ----------
    kind : {"leaf", "gate", "edge"}
        What it stands for.
    rows : tuple of (str, str)
        The text of each row and its style.
    tip : str
        What is shown on hover.
    symbol : str
        The sign of a gate.
    """

    kind: str
    rows: tuple[tuple[str, str], ...]
    tip: str
    symbol: str = ""

    @property
    def symbol_width(self) -> float:
        """The width of the pill around the sign, 0 without one."""
        return max(26.0, CHARACTER * len(self.symbol) + 12) if self.symbol else 0.0

    @property
    def box(self) -> Box:
        """The rectangle that all of it fits into."""
        text = CHARACTER * max(len(text) for text, _ in self.rows)
        sign = self.symbol_width + PADDING if self.symbol else 0.0
        return Box(text + sign + 2 * PADDING, ROW * max(len(self.rows), 2), len(self.rows))


class Picture:
    """The cards and edges of a graph, before they are placed.

    Parameters
    ----------
    root : Variable
        The node whose graph is drawn, and whose gradients.
    """

    def __init__(self, root: Variable) -> None:
        self.root = root
        self.labels = Labels(root)
        self.gradients = _gradients(root)
        self.drawn = _nearest(root, MOST_NODES)
        kept = set(self.drawn)
        self.opened = {node for node in self.drawn if kept.issuperset(_inputs(node))}
        uses = Counter(x for node in self.labels.order for x in node.inputs)
        self.cards = [self._card(node, uses[node]) for node in self.drawn]
        self.edges: list[Edge] = []
        places = {node: i for i, node in enumerate(self.drawn)}
        for node in self.drawn:
            if node in self.opened:
                self._connect_inputs(node, places)
        self._connect(places[root], self._numbers(root, self.gradients.get(root), "gradient"))

    def _connect_inputs(self, node: Variable, places: dict[Variable, int]) -> None:
        """Add the edges into a gate, each at the row of its local derivative."""
        row = 1
        for position, x in enumerate(node.inputs):
            if _is_drawn(x):
                part = self._numbers(x, self._reached(node, position), "along this edge, of")
                self._connect(places[x], part, places[node], row)
                row += 1

    def _connect(
        self, source: int, numbers: Card, target: int | None = None, row: int | None = None
    ) -> None:
        """Add the numbers on an edge as a box of its own, so that nothing is put over them."""
        self.cards.append(numbers)
        self.edges.append(Edge(source, len(self.cards) - 1))
        if target is not None:
            self.edges.append(Edge(len(self.cards) - 1, target, row))

    def _reached(self, node: Variable, position: int) -> Any | None:
        """Return the part of the gradient that flows back along one edge."""
        if node not in self.gradients or node.inputs[position].is_constant:
            return None
        return node.pull_back(position, self.gradients[node])

    def _card(self, node: Variable, uses: int) -> Card:
        name = self.labels[node]
        rows = [(name, "pg-name")]
        symbol = ""
        if node.gate is not None:
            text = f"{name} = {self.labels.expression(node)}"
            rows = [(_cut(text), "pg-name")]
            symbol = node.gate.symbol
            if node in self.opened:
                rows += self._derivative_rows(node)
            elif _inputs(node):
                rows.append(("inputs not drawn", ""))
        total = self.gradients.get(node)
        if uses > 1 and total is not None:
            what = f"d{self.labels[self.root]}/d{name}"
            rows.append((_cut(f"{what} = {_brief(total)}, sum of {uses}"), "pg-grad"))
        kind = "leaf" if node.gate is None else "gate"
        return Card(kind, tuple(rows), self._tip(node, total, "gradient"), symbol)

    def _derivative_rows(self, node: Variable) -> Iterator[tuple[str, str]]:
        """Write the local derivative by each input, in the row its edge enters at."""
        for position, x in enumerate(node.inputs):
            if x.is_constant and _is_drawn(x):
                yield f"{self.labels[x]} is constant", ""
            elif _is_drawn(x):
                yield _cut(self._derivative(node, position)), ""

    def _derivative(self, node: Variable, position: int) -> str:
        assert node.gate is not None
        name = f"d{self.labels[node]}/d{self.labels[node.inputs[position]]}"
        formula = self.labels.derivative(node, position)
        value = local_derivative(node, position)
        if value is None:
            return f"{name}: g -> {formula}"
        if formula in ("1", "-1"):
            return f"{name} = {formula}"
        number = _brief(value)
        text = f"{name} = {formula} = {number}"
        is_long = formula == number or not node.gate.elementwise or len(text) > LONGEST_TEXT
        return f"{name} = {number}" if is_long else text

    def _numbers(self, node: Variable, gradient: Any | None, what: str) -> Card:
        value = _brief(node.value)
        below = "" if gradient is None else _brief(gradient)
        rows = ((value, "pg-value"), (below, "pg-grad"))
        return Card("edge", rows, self._tip(node, gradient, what))

    def _tip(self, node: Variable, gradient: Any | None, what: str) -> str:
        name, root = self.labels[node], self.labels[self.root]
        lines = [f"value of {name}: {_long(node.value)}"]
        if gradient is not None:
            lines.append(f"{what} d{root}/d{name}: {_long(gradient)}")
        return "\n".join(lines)

    def caption(self) -> str:
        """Say what is above and below the edges, and what is left out."""
        text = f"above an edge: value; below: gradient of {self.labels[self.root]}"
        left_out = sum(map(_is_drawn, self.labels.order)) - len(self.drawn)
        return f"{text}; {left_out} nodes further back are not drawn" if left_out else text


def _gradients(root: Variable) -> dict[Variable, Any]:
    """Return the gradients to draw: of one number, or from the seed `backward` was given."""
    if root.grad is not None:
        return propagate(root, np.asarray(getattr(root.grad, "value", root.grad))[()])
    return propagate(root, np.ones(root.shape)[()]) if root.size == 1 else {}


def _is_drawn(node: Variable) -> bool:
    # A constant number can be read in the expression of its gate.
    return node.gate is not None or not node.is_constant or node.ndim > 0


def _inputs(node: Variable) -> list[Variable]:
    return [x for x in node.inputs if _is_drawn(x)]


def _nearest(root: Variable, most: int) -> list[Variable]:
    """Return up to `most` nodes, those fewest steps from the root, in the order of that walk."""
    found = {root: None}
    queue = deque([root])
    while queue:
        fresh = [x for x in dict.fromkeys(_inputs(queue.popleft())) if x not in found]
        if len(found) + len(fresh) > most:
            break
        found.update(dict.fromkeys(fresh))
        queue.extend(fresh)
    return list(found)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _brief(value: Any) -> str:
    return short(value, 4) if np.ndim(value) == 0 else short(value, 3, 3)


def _long(value: Any) -> str:
    return np.array2string(np.asarray(value), threshold=50, edgeitems=3)


# SVG ----------------------------------------------------------------------------------------------


def draw_svg(root: Variable, layout: str = "auto") -> str:
    """Return the picture of the graph of `root` as an SVG document; see `Variable.to_svg`."""
    return _svg(Picture(root), layout)


def _svg(picture: Picture, layout: str) -> str:
    boxes = [card.box for card in picture.cards]
    placed = arrange(boxes, picture.edges, layout)
    left, top, right, bottom = _extent(boxes, placed)
    caption = picture.caption()
    width = max(right - left, CHARACTER * len(caption)) + 2 * MARGIN
    height = bottom - top + 2 * MARGIN + 1.5 * ROW
    dx, dy = MARGIN - left, MARGIN - top + 1.5 * ROW
    title = f"computational graph of {picture.labels[picture.root]}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="pg-page" width="{width:.1f}" height="{height:.1f}"/>',
        _caption_svg(caption),
        f'<g transform="translate({dx:.1f} {dy:.1f})">',
        *(
            _edge_svg(curve, arrow=edge.row is not None)
            for edge, curve in zip(picture.edges, placed.curves, strict=True)
        ),
    ]
    followed = {edge.source for edge in picture.edges}
    for i, (card, box, corner) in enumerate(zip(picture.cards, boxes, placed.corners, strict=True)):
        parts += _card_svg(card, box, corner, is_end=i not in followed)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _extent(boxes: Sequence[Box], placed: Layout) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom of all boxes and curves."""
    points = [point for curve in placed.curves for point in curve]
    for box, (x, y) in zip(boxes, placed.corners, strict=True):
        points += [(x, y), (x + box.width, y + box.height)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def _caption_svg(caption: str) -> str:
    text = escape(caption)
    for word, style in (("value", "pg-value"), ("gradient", "pg-grad")):
        text = text.replace(word, f'<tspan class="{style}">{word}</tspan>', 1)
    return f'<text x="{MARGIN}" y="{MARGIN + 0.7 * ROW}">{text}</text>'


def _card_svg(card: Card, box: Box, corner: Point, *, is_end: bool) -> list[str]:
    x, y = corner
    parts = [f'<g class="pg-card"><title>{escape(card.tip)}</title>']
    if card.kind == "edge":
        middle = y + box.height / 2
        ends = [(x, middle), (x, middle), (x + box.width, middle), (x + box.width, middle)]
        parts.append(_edge_svg(ends, arrow=is_end))
    else:
        parts.append(
            f'<rect class="pg-{card.kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" '
            f'height="{box.height:.1f}" rx="5"/>'
        )
    pitch = box.height / len(card.rows)
    for row, (text, style) in enumerate(card.rows):
        baseline = y + (row + 0.5) * pitch + 4
        parts.append(_text_svg(x + PADDING, baseline, text, style))
    if card.symbol:
        parts += _symbol_svg(card, x + box.width - PADDING, y + box.height / 2)
    return [*parts, "</g>"]


def _symbol_svg(card: Card, right: float, middle: float) -> list[str]:
    width = card.symbol_width
    return [
        f'<rect class="pg-symbol" x="{right - width:.1f}" y="{middle - 13:.1f}" '
        f'width="{width:.1f}" height="26" rx="13"/>',
        f'<text x="{right - width / 2:.1f}" y="{middle + 4:.1f}" text-anchor="middle">'
        f"{escape(card.symbol)}</text>",
    ]


def _text_svg(x: float, y: float, text: str, style: str) -> str:
    marked = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{marked}>{escape(text)}</text>' if text else ""


def _edge_svg(points: Sequence[Point], *, arrow: bool) -> str:
    start, *rest = ((f"{x:.1f} {y:.1f}") for x, y in points)
    path = f'<path class="pg-edge" d="M{start}C{" ".join(rest)}"/>'
    if not arrow:
        return path
    x, y = points[-1]
    corners = f"{x:.1f},{y:.1f} {x - ARROW:.1f},{y - 3.5:.1f} {x - ARROW:.1f},{y + 3.5:.1f}"
    return f'{path}<polygon class="pg-arrow" points="{corners}"/>'


# HTML ---------------------------------------------------------------------------------------------


def draw_html(root: Variable, layout: str = "auto") -> str:
    """Return the picture and a table of its nodes as a web page; see `Variable.to_html`."""
    picture = Picture(root)
    labels = picture.labels
    drawn = set(picture.drawn)
    rows = [_table_row(picture, node) for node in labels.order if node in drawn]
    title = f"Computational graph of {escape(labels[root])}"
    return PAGE.format(title=title, svg=_svg(picture, layout), rows="".join(rows))


def _table_row(picture: Picture, node: Variable) -> str:
    gradient = picture.gradients.get(node)
    cells = (
        picture.labels[node],
        "given" if node.gate is None else picture.labels.expression(node),
        short(node.value),
        "" if gradient is None else short(gradient),
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"
