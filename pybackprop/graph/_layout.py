"""Where the boxes of a directed graph go: by Graphviz, or by layers without it.

The built-in layout is that of Sugiyama, Tagawa and Toda (1981): layers by longest path, an order
within each layer by the mean position of the neighbours, and coordinates that straighten edges.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]

GAP_X = 30.0
GAP_Y = 14.0
SWEEPS = 12

# Graphviz takes more than a second if the edges pass through more layers than this in total; it is
# then used only if asked for. It is abandoned after this many seconds.
MOST_PASSES = 2000
PATIENCE = 10.0


@dataclass(frozen=True)
class Box:
    """A rectangle to be placed.

    Attributes
    ----------
    width, height : float
        Its size, in pixels.
    rows : int
        How many rows of equal height it has; an edge may enter at the left of any row.
    """

    width: float
    height: float
    rows: int = 1

    def port(self, row: int | None) -> float:
        """Return how far below the top an edge enters: at a row, or in the middle."""
        return self.height * (0.5 if row is None else (row + 0.5) / self.rows)


@dataclass(frozen=True)
class Edge:
    """An arrow from the right side of a box to the left side of another, at one of its rows."""

    source: int
    target: int
    row: int | None = None


@dataclass(frozen=True)
class Layout:
    """Places of boxes and edges, in pixels, y downwards.

    Attributes
    ----------
    corners : list of (x, y)
        The top left corner of each box.
    curves : list of list of (x, y)
        For each edge a chain of cubic Bézier curves: a start and three points for each curve.
    """

    corners: list[Point]
    curves: list[list[Point]]


def arrange(
    boxes: Sequence[Box], edges: Sequence[Edge], engine: str = "auto", direction: str = "right"
) -> Layout:
    """Place boxes along the edges, so that none overlap.

    Parameters
    ----------
    boxes : sequence of Box
        What to place.
    edges : sequence of Edge
        An acyclic graph over the indices of `boxes`, with at most one edge for each pair.
    engine : {"auto", "dot", "layers"}
        Graphviz's ``dot``; the built-in layout; or ``dot`` if it is installed and the graph is not
        so large that it would take long.
    direction : {"right", "down"}
        The direction of the edges. Downwards they run from the lower side of a box to the upper
        side of another, whose rows then stand for parts of that side, from left to right.

    Returns
    -------
    Layout
        The places.

    Raises
    ------
    ValueError
        If `engine` or `direction` is none of these.
    RuntimeError
        If ``dot`` is asked for and is not installed or fails.
    """
    if engine not in ("auto", "dot", "layers"):
        raise ValueError(f"layout must be 'auto', 'dot' or 'layers', got {engine!r}")
    if direction not in ("right", "down"):
        raise ValueError(f"direction must be 'right' or 'down', got {direction!r}")
    if direction == "down":
        # A layout to the right, mirrored at the diagonal.
        turned = [Box(box.height, box.width, box.rows) for box in boxes]
        placed = arrange(turned, edges, engine)
        curves = [[(y, x) for x, y in curve] for curve in placed.curves]
        return Layout([(y, x) for x, y in placed.corners], curves)
    if engine == "dot":
        return arrange_by_dot(boxes, edges)
    layers = _assign_layers(len(boxes), edges)
    passes = sum(layers[edge.target] - layers[edge.source] for edge in edges)
    if engine == "auto" and passes <= MOST_PASSES and shutil.which("dot"):
        try:
            return arrange_by_dot(boxes, edges)
        except RuntimeError:
            pass
    return arrange_by_layers(boxes, edges)


# Graphviz -----------------------------------------------------------------------------------------


def arrange_by_dot(boxes: Sequence[Box], edges: Sequence[Edge]) -> Layout:
    """Place boxes by Graphviz; see `arrange`."""
    command = shutil.which("dot")
    if command is None:
        raise RuntimeError("layout='dot' needs Graphviz: its program dot was not found")
    try:
        result = subprocess.run(
            [command, "-Tplain"],
            input=_dot_source(boxes, edges),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"dot failed: {error}") from error
    return _read_plain(result.stdout, boxes, edges)


def _dot_source(boxes: Sequence[Box], edges: Sequence[Edge]) -> str:
    """Return the graph in the DOT language; a record's fields are the rows edges enter at."""
    lines = [
        "digraph {",
        f"rankdir=LR; nodesep={GAP_Y / 72}; ranksep={GAP_X / 72};",
        "node [shape=record, fixedsize=true];",
        "edge [arrowhead=none, tailport=e];",
    ]
    for i, box in enumerate(boxes):
        rows = "|".join(f"<r{row}>" for row in range(box.rows))
        lines.append(f'n{i} [width={box.width / 72}, height={box.height / 72}, label="{rows}"];')
    # An edge into a row is kept short and straight, so that its numbers stay beside the gate.
    for edge in edges:
        head = "" if edge.row is None else f":r{edge.row}"
        weight = 1 if edge.row is None else 10
        lines.append(f"n{edge.source} -> n{edge.target}{head}:w [weight={weight}];")
    return "\n".join([*lines, "}"])


def _read_plain(text: str, boxes: Sequence[Box], edges: Sequence[Edge]) -> Layout:
    """Read dot's plain format: inches, y upwards, the centre of each node."""
    corners: list[Point] = [(0.0, 0.0)] * len(boxes)
    paths: dict[tuple[int, int], list[Point]] = {}
    top = 0.0
    for line in text.splitlines():
        kind, *fields = line.split()
        if kind == "graph":
            top = float(fields[2])
        elif kind == "node":
            i = int(fields[0][1:])
            x, y = 72 * float(fields[1]), 72 * (top - float(fields[2]))
            corners[i] = (x - boxes[i].width / 2, y - boxes[i].height / 2)
        elif kind == "edge":
            ends = int(fields[0][1:]), int(fields[1][1:])
            numbers = [72 * float(v) for v in fields[3 : 3 + 2 * int(fields[2])]]
            points = zip(numbers[::2], numbers[1::2], strict=True)
            paths[ends] = [(x, 72 * top - y) for x, y in points]
    curves = []
    for edge in edges:
        # The ends are put onto the boxes, which dot rounds to whole points.
        _, *between, _ = paths[edge.source, edge.target]
        (x, y), (u, v) = corners[edge.source], corners[edge.target]
        start = (x + boxes[edge.source].width, y + boxes[edge.source].port(None))
        end = (u, v + boxes[edge.target].port(edge.row))
        curves.append([start, *between, end])
    return Layout(corners, curves)


# Layers -------------------------------------------------------------------------------------------


@dataclass
class _Slot:
    """A place in a layer: of a box, or of an edge that passes through."""

    height: float
    layer: int
    width: float = 0.0
    y: float = 0.0
    # Neighbours in the layer to the left and to the right, with the offsets of the two ends.
    left: list[tuple[int, float, float]] = field(default_factory=list)
    right: list[tuple[int, float, float]] = field(default_factory=list)


def arrange_by_layers(boxes: Sequence[Box], edges: Sequence[Edge]) -> Layout:
    """Place boxes by the built-in layered layout; see `arrange`."""
    layer_of = _assign_layers(len(boxes), edges)
    slots = [_Slot(b.height, n, b.width) for b, n in zip(boxes, layer_of, strict=True)]
    chains = [_thread(edge, boxes, slots) for edge in edges]
    layers: list[list[int]] = [[] for _ in range(max(layer_of, default=0) + 1)]
    for i, slot in enumerate(slots):
        layers[slot.layer].append(i)
    _stack(layers, slots)
    for sweep in range(SWEEPS):
        _order(layers, slots, to_left=sweep % 2 == 0)
    for sweep in range(SWEEPS):
        _straighten(layers, slots, to_left=sweep % 2 == 0, both=sweep >= SWEEPS - 4)
    return _coordinates(boxes, edges, slots, chains, layers)


def _assign_layers(n: int, edges: Sequence[Edge]) -> list[int]:
    """Return the layer of each box: as far right as the boxes it points to allow, then pulled."""
    sources = defaultdict(list)
    open_ends = [0] * n
    for edge in edges:
        sources[edge.target].append(edge.source)
        open_ends[edge.source] += 1
    distance = [0] * n
    ready = [i for i in range(n) if open_ends[i] == 0]
    while ready:
        i = ready.pop()
        for source in sources[i]:
            distance[source] = max(distance[source], distance[i] + 1)
            open_ends[source] -= 1
            if open_ends[source] == 0:
                ready.append(source)
    last = max(distance, default=0)
    layers = [last - d for d in distance]
    _pull_left(layers, edges)
    first = min(layers, default=0)  # a box may have been pulled beyond the leftmost
    return [layer - first for layer in layers]


def _pull_left(layers: list[int], edges: Sequence[Edge]) -> None:
    """Move boxes left where that shortens more edges than it lengthens.

    A box moves together with those that belong beside it: the sources of edges into its rows, and
    leaves that nothing else is computed from.
    """
    entered = {edge.target for edge in edges}
    leaving = Counter(edge.source for edge in edges)
    owner = list(range(len(layers)))
    # From right to left, so that the owner of a target is known before its sources join it.
    for edge in sorted(edges, key=lambda edge: -layers[edge.target]):
        is_own_leaf = edge.source not in entered and leaving[edge.source] == 1
        if edge.row is not None or is_own_leaf:
            owner[edge.source] = owner[edge.target]
    members = defaultdict(list)
    for i, own in enumerate(owner):
        members[own].append(i)
    into, out_of = defaultdict(list), defaultdict(list)
    for edge in edges:
        if owner[edge.source] != owner[edge.target]:
            into[owner[edge.target]].append(edge)
            out_of[owner[edge.source]].append(edge)
    for own in sorted(members, key=lambda own: layers[own]):
        if len(into[own]) > len(out_of[own]):
            step = min(layers[edge.target] - layers[edge.source] - 1 for edge in into[own])
            for i in members[own]:
                layers[i] -= step


def _thread(edge: Edge, boxes: Sequence[Box], slots: list[_Slot]) -> list[int]:
    """Give an edge a slot in every layer it passes, and return them with its two ends."""
    first, last = slots[edge.source], slots[edge.target]
    chain = [edge.source]
    for layer in range(first.layer + 1, last.layer):
        chain.append(len(slots))
        slots.append(_Slot(0.0, layer))
    chain.append(edge.target)
    for a, b in pairwise(chain):
        out = boxes[edge.source].port(None) if a == edge.source else 0.0
        into = boxes[edge.target].port(edge.row) if b == edge.target else 0.0
        slots[a].right.append((b, out, into))
        slots[b].left.append((a, into, out))
    return chain


def _stack(layers: list[list[int]], slots: list[_Slot]) -> None:
    """Put the slots of each layer below one another, in their order, around y = 0."""
    for layer in layers:
        y = -math.fsum(slots[i].height + GAP_Y for i in layer) / 2
        for i in layer:
            slots[i].y = y
            y += slots[i].height + GAP_Y


def _wanted(slot: _Slot, slots: list[_Slot], ends: list[tuple[int, float, float]]) -> float:
    """Return the y at which the edges to `ends` are level on average; as it is without any."""
    if not ends:
        return slot.y
    # sum() rounds differently from Python 3.12 on, but pictures must be the same everywhere.
    return math.fsum(slots[j].y + there - here for j, here, there in ends) / len(ends)


def _order(layers: list[list[int]], slots: list[_Slot], *, to_left: bool) -> None:
    """Sort each layer by where its neighbours on one side are."""
    for layer in layers if to_left else reversed(layers):
        centre = {
            i: _wanted(slots[i], slots, _side(slots[i], to_left)) + slots[i].height / 2
            for i in layer
        }
        layer.sort(key=centre.__getitem__)
        _stack([layer], slots)


def _side(slot: _Slot, to_left: bool) -> list[tuple[int, float, float]]:
    return slot.left if to_left else slot.right


def _straighten(layers: list[list[int]], slots: list[_Slot], *, to_left: bool, both: bool) -> None:
    """Move the slots of each layer towards their neighbours, keeping their order and the gaps."""
    for layer in layers if to_left else reversed(layers):
        wanted = []
        for i in layer:
            slot = slots[i]
            ends = slot.left + slot.right if both else _side(slot, to_left)
            wanted.append(_wanted(slot, slots, ends))
        for i, y in zip(layer, _separate(wanted, [slots[i].height for i in layer]), strict=True):
            slots[i].y = y


def _separate(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Return the places closest to `wanted`, in least squares, that leave the gaps.

    With the heights and gaps above subtracted this is isotonic regression, which pooling adjacent
    violators solves.
    """
    offsets = [0.0]
    for height in heights[:-1]:
        offsets.append(offsets[-1] + height + GAP_Y)
    pools: list[tuple[float, int]] = []
    for y, offset in zip(wanted, offsets, strict=False):
        mean, size = y - offset, 1
        while pools and pools[-1][0] > mean:
            other, n = pools.pop()
            mean, size = (mean * size + other * n) / (size + n), size + n
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    return [y + offset for y, offset in zip(level, offsets, strict=False)]


def _coordinates(
    boxes: Sequence[Box],
    edges: Sequence[Edge],
    slots: list[_Slot],
    chains: list[list[int]],
    layers: list[list[int]],
) -> Layout:
    """Give each layer a column, and let edges bend in the gaps between columns only."""
    columns: list[tuple[float, float]] = []
    x = 0.0
    for layer in layers:
        width = max(slots[i].width for i in layer)
        columns.append((x, x + width))
        x += width + GAP_X
    top = min((slot.y for slot in slots), default=0.0)
    corners = []
    for box, slot in zip(boxes, slots, strict=False):
        left, right = columns[slot.layer]
        corners.append(((left + right - box.width) / 2, slot.y - top))
    curves = []
    for edge, chain in zip(edges, chains, strict=True):
        x, y = corners[edge.source]
        points = [(x + boxes[edge.source].width, y + boxes[edge.source].port(None))]
        for i in chain[1:]:
            left, right = columns[slots[i].layer]
            _line_to(points, columns[slots[i].layer - 1][1])
            into = boxes[edge.target].port(edge.row) if i == edge.target else 0.0
            _bend_to(points, (left, slots[i].y - top + into))
            _line_to(points, corners[i][0] if i == edge.target else right)
        curves.append(points)
    return Layout(corners, curves)


def _line_to(points: list[Point], x: float) -> None:
    """Go on level to x, as a Bézier curve."""
    start, end = points[-1], (x, points[-1][1])
    points += [start, end, end]


def _bend_to(points: list[Point], end: Point) -> None:
    """Go on to a point by a curve that is level at both ends."""
    start = points[-1]
    middle = (start[0] + end[0]) / 2
    points += [(middle, start[1]), (middle, end[1]), end]
