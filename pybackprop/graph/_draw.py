"""Pictures of a graph: values above the edges, gradients below, local derivatives at the gates."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ..pages.shell import fill, make
from ._explain import explained, product
from ._labels import Labels, local_derivative, short
from ._layout import Box, Edge, Layout, Point, arrange
from ._variable import Variable, propagate

# Of a larger graph only the nodes nearest to the root are drawn, and the picture says so.
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

# Files of a page with graphs.
STYLES, SCRIPTS = ("graph/graph.css",), ("graph/graph.js",)

# A page writes out paths from at most this many inputs to the result, and this many for each.
MOST_EXPLAINED = 64
MOST_PATHS = 8


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
        """The rectangle that all of it fits into, in a picture from left to right."""
        text = CHARACTER * max(len(text) for text, _ in self.rows)
        sign = self.symbol_width + PADDING if self.symbol else 0.0
        return Box(text + sign + 2 * PADDING, ROW * max(len(self.rows), 2), len(self.rows))

    def box_down(self, inputs: int) -> Box:
        """Return the rectangle in a picture from top to bottom, where `inputs` edges enter."""
        box = self.box
        if self.kind == "edge":
            # One number on either side of the line.
            return Box(2 * box.width - PADDING, 1.3 * ROW)
        return Box(box.width, box.height, max(inputs, 1))


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
        # The card of the numbers on each edge into a gate, by the gate and the input's position.
        self.parts: dict[tuple[Variable, int], int] = {}
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
                self.parts[node, position] = len(self.cards)
                part = self._numbers(x, self.reached(node, position), "along this edge, of")
                self._connect(places[x], part, places[node], row)
                row += 1

    def _connect(
        self, source: int, numbers: Card, target: int | None = None, row: int | None = None
    ) -> None:
        """Add the numbers on an edge as a separate box, so that nothing is put over them."""
        self.cards.append(numbers)
        self.edges.append(Edge(source, len(self.cards) - 1))
        if target is not None:
            self.edges.append(Edge(len(self.cards) - 1, target, row))

    def reached(self, node: Variable, position: int) -> Any | None:
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
                yield _cut(self.derivative(node, position)), ""

    def derivative(self, node: Variable, position: int) -> str:
        """Write the local derivative of a gate by one of its inputs, with its numbers."""
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

    def boxes(self, direction: str) -> list[Box]:
        """Return the rectangles of all cards."""
        if direction != "down":
            return [card.box for card in self.cards]
        inputs = Counter(edge.target for edge in self.edges if edge.row is not None)
        return [card.box_down(inputs[i]) for i, card in enumerate(self.cards)]

    def edges_in(self, direction: str) -> list[Edge]:
        """Return the edges, each at the part of a box's side that it enters at."""
        if direction != "down":
            return self.edges
        # In a drawing to the right, row 0 of a box holds its name; in one downwards, the side has
        # only the inputs.
        rows = (None if edge.row is None else edge.row - 1 for edge in self.edges)
        pairs = zip(self.edges, rows, strict=True)
        return [Edge(edge.source, edge.target, row) for edge, row in pairs]

    def caption(self, direction: str) -> str:
        """Say what is on either side of the edges, and what is left out."""
        sides = ("left", "right") if direction == "down" else ("above", "below")
        of = " of" if direction == "down" else ""
        name = self.labels[self.root]
        text = f"{sides[0]}{of} an edge: value; {sides[1]}: gradient of {name}"
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


def draw_svg(root: Variable, layout: str = "auto", direction: str = "right") -> str:
    """Return the picture of the graph of `root` as an SVG document; see `Variable.to_svg`."""
    return _svg(Picture(root), layout, direction)


def _svg(picture: Picture, layout: str, direction: str) -> str:
    boxes, edges = picture.boxes(direction), picture.edges_in(direction)
    placed = arrange(boxes, edges, layout, direction)
    left, top, right, bottom = _extent(boxes, placed)
    caption = picture.caption(direction)
    width = max(right - left, CHARACTER * len(caption)) + 2 * MARGIN
    height = bottom - top + 2 * MARGIN + 1.5 * ROW
    dx, dy = MARGIN - left, MARGIN - top + 1.5 * ROW
    title = f"computational graph of {picture.labels[picture.root]}"
    down = direction == "down"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="pg-page" width="{width:.1f}" height="{height:.1f}"/>',
        _caption_svg(caption),
        f'<g transform="translate({dx:.1f} {dy:.1f})">',
        *(
            _edge_svg(curve, arrow=edge.row is not None, down=down)
            for edge, curve in zip(edges, placed.curves, strict=True)
        ),
    ]
    followed = {edge.source for edge in edges}
    for i, (card, box, corner) in enumerate(zip(picture.cards, boxes, placed.corners, strict=True)):
        parts += _card_svg(card, box, corner, is_end=i not in followed, down=down)
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


def _card_svg(card: Card, box: Box, corner: Point, *, is_end: bool, down: bool) -> list[str]:
    parts = [f'<g class="pg-card"><title>{escape(card.tip)}</title>']
    if card.kind == "edge":
        numbers = _numbers_down_svg if down else _numbers_svg
        return [*parts, *numbers(card, box, corner, is_end=is_end), "</g>"]
    x, y = corner
    parts.append(
        f'<rect class="pg-{card.kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="5"/>'
    )
    parts += _rows_svg(card, box, corner)
    if card.symbol:
        parts += _symbol_svg(card, x + box.width - PADDING, y + box.height / 2)
    return [*parts, "</g>"]


def _rows_svg(card: Card, box: Box, corner: Point) -> Iterator[str]:
    x, y = corner
    pitch = box.height / len(card.rows)
    for row, (text, style) in enumerate(card.rows):
        yield _text_svg(x + PADDING, y + (row + 0.5) * pitch + 4, text, style)


def _numbers_svg(card: Card, box: Box, corner: Point, *, is_end: bool) -> Iterator[str]:
    """Draw a level piece of an edge, with the value above it and the gradient below."""
    (x, y), middle = corner, corner[1] + box.height / 2
    yield _edge_svg([(x, middle)] * 2 + [(x + box.width, middle)] * 2, arrow=is_end, down=False)
    yield from _rows_svg(card, box, (x, y))


def _numbers_down_svg(card: Card, box: Box, corner: Point, *, is_end: bool) -> Iterator[str]:
    """Draw an upright piece of an edge, with the value left of it and the gradient right."""
    middle, y = corner[0] + box.width / 2, corner[1]
    yield _edge_svg([(middle, y)] * 2 + [(middle, y + box.height)] * 2, arrow=is_end, down=True)
    (value, value_style), (gradient, gradient_style) = card.rows
    baseline = y + box.height / 2 + 4
    yield _text_svg(middle - PADDING / 2 - 1, baseline, value, value_style, anchor="end")
    yield _text_svg(middle + PADDING / 2 + 1, baseline, gradient, gradient_style)


def _symbol_svg(card: Card, right: float, middle: float) -> list[str]:
    width = card.symbol_width
    return [
        f'<rect class="pg-symbol" x="{right - width:.1f}" y="{middle - 13:.1f}" '
        f'width="{width:.1f}" height="26" rx="13"/>',
        f'<text x="{right - width / 2:.1f}" y="{middle + 4:.1f}" text-anchor="middle">'
        f"{escape(card.symbol)}</text>",
    ]


def _text_svg(x: float, y: float, text: str, style: str, anchor: str = "") -> str:
    marked = f' class="{style}"' if style else ""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{marked}{placed}>{escape(text)}</text>' if text else ""


def _edge_svg(points: Sequence[Point], *, arrow: bool, down: bool) -> str:
    start, *rest = ((f"{x:.1f} {y:.1f}") for x, y in points)
    path = f'<path class="pg-edge" d="M{start}C{" ".join(rest)}"/>'
    if not arrow:
        return path
    x, y = points[-1]
    corners = [(x, y), (x - ARROW, y - 3.5), (x - ARROW, y + 3.5)]
    if down:
        corners = [(x, y), (x - 3.5, y - ARROW), (x + 3.5, y - ARROW)]
    text = " ".join(f"{u:.1f},{v:.1f}" for u, v in corners)
    return f'{path}<polygon class="pg-arrow" points="{text}"/>'


# HTML ---------------------------------------------------------------------------------------------


def draw_html(root: Variable, layout: str = "auto", direction: str = "right") -> str:
    """Return the picture as a web page that steps through it; see `Variable.to_html`."""
    picture = Picture(root)
    rows = [_table_row(picture, node) for node in _in_order(picture)]
    title = f"Computational graph of {picture.labels[root]}"
    body = fill(
        "graph/page.html",
        title=escape(title),
        graph=_section(picture, layout, direction),
        rows="".join(rows),
    )
    scripts = (*SCRIPTS, "graph/page.js")
    return make(title, body, STYLES, scripts, _page_data(picture))


def draw_part(root: Variable, direction: str) -> tuple[str, dict[str, Any]]:
    """Return a part of a web page that steps through the picture, and what its script needs."""
    picture = Picture(root)
    return _section(picture, "layers", direction), _page_data(picture)


def _section(picture: Picture, layout: str, direction: str) -> str:
    title = escape(f"graph of {picture.labels[picture.root]}", quote=True)
    return fill("graph/graph.html", title=title, svg=_svg(picture, layout, direction))


def _in_order(picture: Picture) -> list[Variable]:
    """Return what is drawn, inputs before outputs."""
    drawn = set(picture.drawn)
    return [node for node in picture.labels.order if node in drawn]


def _page_data(picture: Picture) -> dict[str, Any]:
    """Return what the page needs to step through the picture, besides the picture itself."""
    order = _in_order(picture)
    numbers = {node: at for at, node in enumerate(order)}
    owner = {edge.target: edge.source for edge in picture.edges}
    leaves = [node for node in order if node.gate is None and not node.is_constant]
    whole = len(order) == sum(map(_is_drawn, picture.labels.order)) and picture.root.size == 1
    with_paths = set(leaves[:MOST_EXPLAINED]) if whole else set()
    return {
        "cards": [
            {
                "kind": card.kind,
                "node": numbers[picture.drawn[at if card.kind != "edge" else owner[at]]],
            }
            for at, card in enumerate(picture.cards)
        ],
        "edges": [[edge.source, edge.target] for edge in picture.edges],
        "nodes": [_node_data(picture, node, numbers, with_paths) for node in order],
        "gradients": bool(picture.gradients),
    }


def _node_data(
    picture: Picture, node: Variable, numbers: dict[Variable, int], with_paths: set[Variable]
) -> dict[str, Any]:
    """Return the names and numbers of a node, and of the edges into it."""
    total = picture.gradients.get(node)
    edges = []
    for position, x in enumerate(node.inputs):
        card = picture.parts.get((node, position))
        if card is not None:
            part = picture.reached(node, position)
            text = "" if part is None else picture.derivative(node, position)
            gradient = None if part is None else _brief(part)
            edges.append(
                {"card": card, "node": numbers[x], "derivative": text, "gradient": gradient}
            )
    return {
        "name": picture.labels[node],
        "expression": picture.labels.expression(node),
        "value": _brief(node.value),
        "gradient": None if total is None else _brief(total),
        "leaf": node.gate is None,
        "card": picture.drawn.index(node),
        "edges": edges,
        "paths": _path_data(picture, node) if node in with_paths else None,
    }


def _path_data(picture: Picture, node: Variable) -> dict[str, Any]:
    """Return the first paths from the result to an input, as the page writes them."""
    found = explained(picture.root, node, picture.labels, MOST_PATHS)
    return {
        "count": found.n_paths,
        "gradient": short(found.gradient),
        "paths": [{"nodes": path.nodes, "product": product(path)} for path in found.paths],
    }


def _table_row(picture: Picture, node: Variable) -> str:
    gradient = picture.gradients.get(node)
    cells = (
        picture.labels[node],
        "given" if node.gate is None else picture.labels.expression(node),
        short(node.value),
        "" if gradient is None else short(gradient),
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"
