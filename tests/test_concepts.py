"""Every concept of the usual lectures is two clicks from README."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What lectures on backpropagation teach, and the words that a page about it must have.
CONCEPTS = {
    "depth: a small deep network equals an exponentially wide one": "exponentially|tent map",
    "J = 3 (a + b c): 33; 3, 6, 9": r"J = 3 \(a \+ b c\)|33\.0|3\.0 6\.0 9\.0",
    "dJ/da through the nodes between": r"dJ/dv = 3|dv/du = 1|du/db = c = 2",
    "one node: the gradient above times the local derivative": "local derivative|gate",
    "the derivative in a weight as a Jacobian and a gradient": "Jacobian|Jᵀ",
    "the norm of a product and the product of norms": "norm of a product|product of the norms",
    "slopes of sigmoid and tanh, the diagonal Jacobian": r"a \(1 . a\)|1 . a²|diag\(act'\(z\)\)",
    "dead ReLU and its zero vector": "dead|zero vector",
    "the cost is a mean, and so is the gradient": "gradient of a mean|mean of gradients",
    "gradient descent": r"w ← w . lr ∂C/∂w",
    "chain rule, case 1 and case 2": "Case 1|Case 2",
    "the first term: dz/dw is the input": r"∂zᵢ/∂Wᵢⱼ = xⱼ",
    "delta of the output layer": r"δᴸ = ∂C/∂zᴸ = act'\(zᴸ\) ∘ ∂C/∂aᴸ",
    "delta of a hidden layer": r"δˡ = act'\(zˡ\) ∘ \(Wˡ⁺¹\)ᵀ δˡ⁺¹",
    "the backward network": "second network that runs the other way",
    "forward pass and backward pass": "Forward|Backward",
    "the derivative as a limit": "limit|quotient",
    "f = x y": "f = x y",
    "the maximum and its tie": "maximum|tie",
    "f = (x + y) z: -12; -4 -4 3": r"\(x \+ y\) z|-12\.0 -4\.0 -4\.0 3\.0",
    "gates are local": "needs to know nothing else",
    "the sigmoid neuron: 0.73": r"0\.73|sigmoid neuron",
    "loss for an example, and on average": "loss says how far|outputs of one example",
    "losses: low is good": "low is good",
    "arg min, and the loop of steps": "arg min",
    "Booth: surface and path": "Booth|contours|111111",
    "the 2-2-1 network of tanh, dL/dw11 term by term": "2-2-1|∂L/∂w₁₁",
    "all weights at once": "All weights at once",
    "L2 regularisation": r"regularisation|λ/2 Σ W²",
    "backpropagation is a part of learning": "part of learning",
    "chain rule from numbers to numbers": "dz/dx = dz/dy · dy/dx",
    "multivariate chain rule": "multivariate chain rule|∂z/∂sⱼ",
    "the Jacobian and its transpose": r"∇_x z = Jᵀ ∇_y z",
    "a network as a graph": "As a graph",
    "which function is it?": "Which function is it",
    "the graph with the cost": "cost as a graph",
    "green values, red gradients, node by node": "Green|Red",
    "gradients into descent": "stochastic gradient descent",
}


def links(page: Path) -> set[Path]:
    """The pages of text that one links to."""
    found = re.findall(r"\]\(([^)#\s]+\.md)[)#]", page.read_text("utf-8"))
    return {(page.parent / target).resolve() for target in found}


@cache
def two_clicks() -> str:
    """The text of README and of the pages up to two clicks away."""
    pages = {(ROOT / "README.md").resolve()}
    for _ in range(2):
        pages |= {target for page in pages for target in links(page) if target.is_file()}
    return "\n".join(page.read_text("utf-8") for page in sorted(pages))


def test_as_many_as_in_the_lectures() -> None:
    assert len(CONCEPTS) == 38


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_concept_is_two_clicks_from_the_readme(concept: str) -> None:
    """All of its words, which are parted by bars, stand in the pages."""
    missing = [word for word in split(CONCEPTS[concept]) if not re.search(word, two_clicks(), re.I)]
    assert missing == []


def split(words: str) -> list[str]:
    return words.split("|")


def test_students_find_the_course_on_the_first_screen() -> None:
    first = (ROOT / "README.md").read_text("utf-8").splitlines()[:20]
    assert any("docs/course/README.md" in line for line in first)
