"""The page on backpropagation: its blocks print what it says, its picture and names are current.

Run as a program, this file draws the picture anew.
"""

from __future__ import annotations

import doctest
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from pybackprop import Network
from pybackprop.graph import Variable, relu

TOP = Path(__file__).parent.parent
PAGE = TOP / "docs" / "backprop.md"
PICTURE = TOP / "docs" / "backprop.svg"


def cost_as_graph() -> Variable:
    """The cost of the network of the page, layer by layer."""
    x = Variable([1, 2], "x")
    W1, b1 = Variable([[1, 1], [2, -3], [-1, 2]], "W1"), Variable([0, 1, -1], "b1")
    W2, b2 = Variable([1, 2, -1], "W2"), Variable(1, "b2")
    z1 = (W1 @ x + b1).named("z1")
    a1 = relu(z1).named("a1")
    a2 = (W2 @ a1 + b2).named("a2")
    C: Variable = ((a2 - 1) ** 2).named("C")
    C.backward()
    return C


def blocks() -> str:
    """The blocks of Python as a doctest, in which an empty line of output has its mark."""
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    return "\n\n".join(re.sub(r"^$", "<BLANKLINE>", block.rstrip(), flags=re.M) for block in found)


def test_blocks_print_what_the_page_says() -> None:
    test = doctest.DocTestParser().get_doctest(blocks(), {}, PAGE.name, str(PAGE), 0)
    log: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=log.append)
    assert runner.tries > 30
    assert runner.failures == 0, "".join(log)


def test_all_numbers_of_the_page_are_in_blocks_that_run() -> None:
    """Outside them, a number may only name a layer, a neuron, a power, a part or a size."""
    text = re.sub(r"```python\n.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)
    for number in re.findall(r"(?<![\w.^])\d+\.\d+|(?<!\w)\d{3,}(?!\w)", text):
        raise AssertionError(f"{number} stands outside the blocks")


def test_picture_is_of_the_network_of_the_page_and_current() -> None:
    cost = cost_as_graph()
    assert PICTURE.read_text("utf-8") == cost.to_svg(layout="layers", direction="down")
    net = Network([2, 3, 1], loss="squared_error", dtype="float64", seed=0)
    net.set_layer(0, [[1, 1], [2, -3], [-1, 2]], [0, 1, -1])
    net.set_layer(1, [[1, 2, -1]], [1])
    assert net.cost(np.array([[1.0, 2.0]]), np.array([[1.0]])) == float(cost.value)


def test_letters_of_the_picture_can_be_read_in_a_narrow_column() -> None:
    """A column of 800 px shows them 11 px high or more, and a screen shows most of the picture."""
    root = ET.fromstring(PICTURE.read_text("utf-8"))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    found = re.search(r"\.pg text \{ font: ([\d.]+)px", PICTURE.read_text("utf-8"))
    assert found is not None
    shown = min(1.0, 800.0 / width)
    assert shown * float(found[1]) >= 11.0
    assert shown * height < 1200.0


def test_functions_of_the_core_are_where_the_page_says() -> None:
    found = re.findall(r"`(\w+)`\s+in\s+`(csrc/[\w./]+)`", PAGE.read_text("utf-8"))
    text = PAGE.read_text("utf-8")
    assert set(re.findall(r"`(bp_\w+)`", text)) <= {name for name, _ in found}
    assert len(found) > 10
    for name, path in found:
        source = (TOP / path).read_text("utf-8")
        assert re.search(rf"\b{name}\b", source), f"{name} is not in {path}"


if __name__ == "__main__":
    cost_as_graph().to_svg(PICTURE, layout="layers", direction="down")
