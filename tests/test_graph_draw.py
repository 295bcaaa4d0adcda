"""Pictures of graphs: what they show, and that nothing lies over anything else."""

import itertools
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pybackprop import graph as G
from pybackprop.graph import Variable
from pybackprop.graph._draw import MOST_NODES, Picture
from pybackprop.graph._layout import Box, Edge, Layout, arrange

ENGINES = [
    "layers",
    pytest.param("dot", marks=pytest.mark.skipif(not shutil.which("dot"), reason="no Graphviz")),
]
SVG = "{http://www.w3.org/2000/svg}"


def lecture_example():
    a, b, c = Variable(5, "a"), Variable(3, "b"), Variable(2, "c")
    u = (b * c).named("u")
    v = (a + u).named("v")
    return (3 * v).named("J")


def reused_example():
    x, y, z = Variable(-2, "x"), Variable(5, "y"), Variable(-4, "z")
    q = (x + y).named("q")
    return q * z * x + G.sigmoid(q) / z + G.maximum(x, y) ** 2


def random_graph(seed, n=14):
    rng = np.random.default_rng(seed)
    nodes = [Variable(rng.normal(), f"x{i}") for i in range(4)]
    for _ in range(n):
        i, j = rng.integers(len(nodes), size=2)
        nodes.append(nodes[i] * nodes[j] if rng.random() < 0.7 else G.tanh(nodes[i]))
    return G.sum(G.stack(nodes[4:]))


# Layout -------------------------------------------------------------------------------------------


def rectangles(boxes, placed):
    return [
        (x, y, x + box.width, y + box.height)
        for box, (x, y) in zip(boxes, placed.corners, strict=True)
    ]


def assert_no_overlap(boxes, placed):
    gap = 1.0
    for a, b in itertools.combinations(rectangles(boxes, placed), 2):
        apart = a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]
        assert apart, f"{a} lies over {b}"


def points_on(curve):
    """Return points (P, 2) along a chain of cubic Bézier curves."""
    control = np.array(curve)
    pieces = np.stack([control[i : i + 4] for i in range(0, len(control) - 1, 3)])
    t = np.linspace(0, 1, 25)[:, None, None, None]
    weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
    return np.sum(np.concatenate(weights, axis=2) * pieces, axis=2).reshape(-1, 2)


def assert_edges_join_their_boxes_and_cross_no_other(boxes, edges, placed):
    corners = rectangles(boxes, placed)
    for edge, curve in zip(edges, placed.curves, strict=True):
        assert len(curve) % 3 == 1
        source, target = corners[edge.source], corners[edge.target]
        assert curve[0] == pytest.approx((source[2], (source[1] + source[3]) / 2), abs=0.01)
        into = target[1] + boxes[edge.target].port(edge.row)
        assert curve[-1] == pytest.approx((target[0], into), abs=0.01)
        points = points_on(curve)[:, None]
        others = np.delete(corners, [edge.source, edge.target], axis=0).reshape(-1, 4)
        inside = (points > others[:, :2]) & (points < others[:, 2:])
        assert not inside.all(axis=2).any(), f"{edge} crosses a box"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "make", [lecture_example, reused_example, lambda: random_graph(1), lambda: random_graph(2, 25)]
)
def test_no_overlaps(engine, make):
    picture = Picture(make())
    boxes = [card.box for card in picture.cards]
    placed = arrange(boxes, picture.edges, engine)
    assert_no_overlap(boxes, placed)
    assert_edges_join_their_boxes_and_cross_no_other(boxes, picture.edges, placed)
    for edge in picture.edges:
        (x, _), (u, _) = placed.corners[edge.source], placed.corners[edge.target]
        assert x + boxes[edge.source].width < u, "edges go from left to right"


@st.composite
def box_graphs(draw):
    n = draw(st.integers(1, 12))
    sizes = st.floats(1, 200)
    boxes = [Box(draw(sizes), draw(sizes), draw(st.integers(1, 4))) for _ in range(n)]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    rows = [draw(st.none() | st.integers(0, boxes[j].rows - 1)) for _, j in chosen]
    return boxes, [Edge(i, j, row) for (i, j), row in zip(chosen, rows, strict=True)]


# The box that goes with the rows of another is pulled left of all others.
PULLED = [(3, 4), (3, 11), (4, 5), (6, 11), (7, 8), (6, 7), (0, 1), (0, 3), (0, 4), (0, 5), (2, 3)]


@settings(max_examples=100, deadline=None)
@given(box_graphs())
@example(([Box(1.0, 1.0)] * 12, [Edge(2, 11, 0), *(Edge(*pair) for pair in PULLED)]))
def test_no_overlaps_of_any_boxes(graph):
    boxes, edges = graph
    placed = arrange(boxes, edges, "layers")
    assert_no_overlap(boxes, placed)
    assert_edges_join_their_boxes_and_cross_no_other(boxes, edges, placed)
    for edge in edges:
        (x, _), (u, _) = placed.corners[edge.source], placed.corners[edge.target]
        assert x + boxes[edge.source].width < u, "edges go from left to right"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "make", [lecture_example, reused_example, lambda: random_graph(1), lambda: random_graph(2, 25)]
)
def test_no_overlaps_downwards(engine, make):
    picture = Picture(make())
    boxes, edges = picture.boxes("down"), picture.edges_in("down")
    placed = arrange(boxes, edges, engine, "down")
    assert_no_overlap(boxes, placed)
    # Mirrored at the diagonal, it is a layout to the right.
    turned = [Box(box.height, box.width, box.rows) for box in boxes]
    curves = [[(y, x) for x, y in curve] for curve in placed.curves]
    mirrored = Layout([(y, x) for x, y in placed.corners], curves)
    assert_edges_join_their_boxes_and_cross_no_other(turned, edges, mirrored)
    for edge in edges:
        (_, y), (_, v) = placed.corners[edge.source], placed.corners[edge.target]
        assert y + boxes[edge.source].height < v, "edges go down"


def test_a_single_box_and_disconnected_ones():
    assert arrange([Box(10, 10)], [], "layers").corners == [(0, 0)]
    boxes = [Box(10, 20), Box(30, 5), Box(10, 10, 2)]
    edges = [Edge(0, 2, 1)]
    placed = arrange(boxes, edges, "layers")
    assert_no_overlap(boxes, placed)
    assert_edges_join_their_boxes_and_cross_no_other(boxes, edges, placed)


def test_a_chain_is_drawn_straight():
    x = Variable(0.5, "x")
    picture = Picture(G.tanh(G.sin(G.exp(x))))
    boxes = [card.box for card in picture.cards]
    placed = arrange(boxes, picture.edges, "layers")
    # Every edge ends level with where it starts, or at the row of its gate.
    for curve in placed.curves:
        assert abs(curve[0][1] - curve[-1][1]) <= 9.01


def test_engines_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="layout must be 'auto', 'dot' or 'layers', got 'neato'"):
        lecture_example().to_svg(layout="neato")
    expected = lecture_example().to_svg(layout="layers")
    monkeypatch.setenv("PATH", "")
    assert lecture_example().to_svg() == expected, "without dot the built-in layout is used"
    with pytest.raises(RuntimeError, match="its program dot was not found"):
        lecture_example().to_svg(layout="dot")


def test_a_failing_dot_is_replaced(monkeypatch, tmp_path):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = lecture_example().to_svg(layout="layers")
    assert lecture_example().to_svg() == expected
    with pytest.raises(RuntimeError, match="dot failed"):
        lecture_example().to_svg(layout="dot")


# What is shown ------------------------------------------------------------------------------------


def texts(svg, style=None):
    root = ET.fromstring(svg)
    return [
        text.text
        for group in root.iter(f"{SVG}g")
        for text in group.findall(f"{SVG}text")
        if style is None or text.get("class") == style
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_values_gradients_and_local_derivatives_are_shown(engine):
    svg = lecture_example().to_svg(layout=engine)
    assert sorted(texts(svg, "pg-value")) == sorted(["5", "3", "2", "6", "11", "33"])
    assert sorted(texts(svg, "pg-grad")) == sorted(["3", "6", "9", "3", "3", "1"])
    assert {"u = b * c", "v = a + u", "J = 3 * v", "a", "b", "c"} <= set(texts(svg, "pg-name"))
    assert {"du/db = c = 2", "du/dc = b = 3", "dv/da = 1", "dv/du = 1", "dJ/dv = 3"} <= set(
        texts(svg)
    )
    caption = "".join(ET.fromstring(svg).find(f"{SVG}text").itertext())
    assert caption == "above an edge: value; below: gradient of J"


def positions(svg):
    """Return value -> (y of the value, y of the edge, y of the gradient) for numbers on edges."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        value = [t for t in group.findall(f"{SVG}text") if t.get("class") == "pg-value"]
        if value:
            gradient = next(t for t in group.findall(f"{SVG}text") if t.get("class") == "pg-grad")
            path = group.find(f"{SVG}path").get("d")
            line = float(path[1:].split("C")[0].split()[1])
            found[value[0].text] = (float(value[0].get("y")), line, float(gradient.get("y")))
    return found


def test_values_are_above_the_edges_and_gradients_below():
    found = positions(lecture_example().to_svg(layout="layers"))
    assert len(found) == 6
    for value, line, gradient in found.values():
        assert value < line < gradient
        assert gradient - 12 > line - 2, "the letters of the gradient begin below the line"


def test_downwards_values_are_left_of_the_edges_and_gradients_right():
    svg = lecture_example().to_svg(layout="layers", direction="down")
    assert sorted(texts(svg)) == sorted(texts(lecture_example().to_svg(layout="layers")))
    found = 0
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        numbers = {t.get("class"): t for t in group.findall(f"{SVG}text")}
        if "pg-value" not in numbers:
            continue
        line = float(group.find(f"{SVG}path").get("d")[1:].split()[0])
        value, gradient = numbers["pg-value"], numbers["pg-grad"]
        assert value.get("text-anchor") == "end"
        assert float(value.get("x")) < line < float(gradient.get("x"))
        found += 1
    assert found == 6
    caption = "".join(ET.fromstring(svg).find(f"{SVG}text").itertext())
    assert caption == "left of an edge: value; right: gradient of J"


def test_downwards_a_deep_graph_is_narrow():
    x = Variable(0.5, "x")
    y = x
    for _ in range(12):
        y = G.tanh(y * 1.1)
    right, down = (
        float(ET.fromstring(y.to_svg(layout="layers", direction=way)).get("width"))
        for way in ("right", "down")
    )
    assert right > 3000
    assert down < 500
    assert y.to_html(direction="down").count("<svg") == 1
    with pytest.raises(ValueError, match="direction must be 'right' or 'down', got 'up'"):
        y.to_svg(direction="up")


def test_edges_carry_their_part_of_the_gradient_of_a_reused_node():
    x = Variable(3.0, "x")
    svg = (x * x + x).named("y").to_svg()
    assert sorted(texts(svg, "pg-grad")) == sorted(["3", "3", "1", "1", "1", "dy/dx = 7, sum of 3"])
    assert x.grad is None, "drawing leaves the gradients as they are"


def test_both_colour_schemes_and_nothing_from_outside():
    svg = lecture_example().to_svg()
    assert "prefers-color-scheme: dark" in svg
    page = lecture_example().to_html()
    for text in (svg, page):
        outside = text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in outside
        assert "https" not in outside
        assert "<script src" not in outside
        assert "url(" not in outside
    assert "<script" not in svg
    assert "default-src 'none'" in page


def test_arrays_are_shown_short():
    W = Variable(np.arange(12.0).reshape(3, 4) / 7, "W")
    svg = G.sum(G.tanh(np.ones((5, 3)) @ W)).to_svg()
    assert "(3, 4) [0 0.143 0.286 …]" in texts(svg, "pg-value")
    assert "dv1/dW: g -> const1.T @ g" in texts(svg)
    assert "const1 is constant" in texts(svg)
    assert max(len(text or "") for text in texts(svg)) < 50


def test_an_array_result_shows_gradients_only_from_a_seed():
    x = Variable([1.0, 2.0], "x")
    y = x**2
    assert not any(texts(y.to_svg(), "pg-grad"))
    y.backward([1.0, 10.0])
    assert "(2,) [2 40]" in texts(y.to_svg(), "pg-grad")


def test_names_are_escaped():
    x = Variable(1.0, 'a<b & "c"\n\x00')
    assert 'a<b & "c"  ' in texts((x * 2).to_svg(), "pg-name")
    assert "a&lt;b &amp;" in (x * 2).to_html()


def test_a_large_graph_is_drawn_in_part_and_says_so():
    x = Variable(1.0, "x")
    y = x
    for i in range(4_000):
        y = y * 0.9999 + (0.1 if i % 2 else x)
    svg = y.to_svg()
    root = ET.fromstring(svg)
    caption = "".join(root.find(f"{SVG}text").itertext())
    assert caption.endswith(f"{8_001 - MOST_NODES} nodes further back are not drawn")
    assert sum(1 for text in texts(svg) if text == "inputs not drawn") > 0
    assert sum(1 for text in texts(svg) if text.endswith("sum of 2001")) == 1


def test_files_and_notebooks(tmp_path):
    J = lecture_example()
    svg = J.to_svg(tmp_path / "J.svg")
    assert (tmp_path / "J.svg").read_text(encoding="utf-8") == svg == J._repr_svg_()
    assert svg in J._repr_html_()
    page = J.to_html(str(tmp_path / "J.html"))
    assert (tmp_path / "J.html").read_text(encoding="utf-8") == page
    assert svg in page
    assert "<td>u</td><td>b * c</td><td>6</td><td>3</td>" in page
    assert ET.fromstring(Variable(2.0, "x").to_svg()) is not None


def test_drawing_is_loaded_only_when_used():
    code = "import sys, pybackprop.graph; print('pybackprop.graph._draw' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
