"""What a notebook shows of networks, histories, data, checks and reports."""

from __future__ import annotations

import html
import math
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import PROGRAM, Chromium

import pybackprop as bp
from pybackprop import datasets, markup

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 1))
VOID = {"br", "meta", "link"}


class Balance(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shown(thing: Any) -> str:
    """The text of what a notebook shows, whose elements must balance."""
    text = str(thing._repr_html_())
    parser = Balance()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    assert "script" not in parser.seen
    assert re.findall(r"(?:src|href)\s*=", text) == []
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def network(**settings: Any) -> bp.Network:
    return bp.Network([3, 5, 1], activation="tanh", dtype="float64", seed=0, **settings)


def test_network_is_a_table_of_layers() -> None:
    net = network()
    text = shown(net)
    assert repr(net) in text
    assert re.search(r"1\s+5\s+tanh\s+20\s+2\s+1\s+identity\s+6", text)


def test_names_of_functions_are_escaped() -> None:
    def loss(a: Any, y: Any) -> Any:
        return ((a - y) ** 2).sum(1), 2 * (a - y)

    loss.__name__ = "<script>"
    assert "loss=<script>" in shown(network(loss=loss))


def test_history_is_lines_and_the_last_epochs() -> None:
    history = network().fit(X, Y, epochs=30, validation=0.3)
    text = shown(history)
    assert repr(history) in text
    assert history._repr_html_().count("<polyline") == 2
    rows = re.findall(r"<tr><td>(\d+)</td><td>([^<]+)<", history._repr_html_())
    assert [int(at) for at, _ in rows] == [25, 26, 27, 28, 29]
    assert [float(cost) for _, cost in rows] == pytest.approx(history.cost[25:], rel=1e-5)


def test_history_of_nothing_and_of_one_epoch() -> None:
    assert "0 epochs" in shown(bp.results.History())
    one = network().fit(X, Y)
    assert "svg" not in one._repr_html_()
    assert f"{one.cost[0]:.6g}" in shown(one)


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_data_are_shown_by_their_first_rows(name: str) -> None:
    data = getattr(datasets, name)().split()
    text = shown(data)
    assert f"{data.n_examples:,} examples, {len(data.x_test):,} held out" in text
    assert data.feature_names[0] in text
    assert data._repr_html_().count("<tr>") == 6
    assert data.class_names[data.y[0]] in text
    assert ("56 more" in text) == (name == "digits")


def test_data_of_several_targets() -> None:
    data = datasets.Dataset(X, Y.repeat(2, 1), "regression", ("a", "b", "c"), ("<s>", "t"))
    text = shown(data)
    assert "<s>" in text
    assert f"{X[0, 0]:.6g}" in text
    assert "20 examples, regression" in text


def test_check_is_short_in_text_and_a_table_in_a_notebook() -> None:
    check = bp.check_gradients(network(), X[:3], Y[:3])
    assert re.fullmatch(
        r"GradientCheck\(gradients agree: .*, tolerance 1e-06; 35 entries\)", repr(check)
    )
    text = shown(check)
    assert "gradients agree" in text
    assert re.search(r"W1\s+15\s+15\s+0\s+0", text)


def test_check_says_what_is_unresolved() -> None:
    deep = bp.Network([4, *12 * [5], 1], activation="sigmoid", dtype="float64", seed=0)
    check = bp.check_gradients(deep, RNG.normal(size=(3, 4)), np.ones((3, 1)), entries=4)
    assert any(array.unresolved for array in check.arrays)
    assert "unresolved entries of" in shown(check)
    assert "entries)" in repr(check)


def test_report_is_short_in_text_and_whole_in_a_notebook() -> None:
    report = bp.gradient_flow(network(), X, Y, verbose=False)
    assert repr(report) == f"FlowReport({report.verdict}; 2 layers)"
    assert str(report).splitlines()[0].strip() in shown(report)


def test_lines_leave_out_what_is_not_finite_and_are_thinned() -> None:
    drawn = markup.curves({"a": [1.0, math.nan, 3.0], "b": []})
    assert drawn.count("<polyline") == 1
    assert len(re.findall(r"[\d.]+,[\d.]+", drawn.split('points="')[1].split('"')[0])) == 2
    many = markup.curves({"a": np.arange(10_000.0).tolist()})
    assert len(many) < 20_000
    assert markup.curves({"a": [1.0]}) == markup.curves({"a": 2 * [math.inf]}) == ""
    assert "<polyline" in markup.curves({"a": [2.0, 2.0]})


# ---- the page ----


def test_show_without_a_path_returns_the_page(tmp_path: Path) -> None:
    net = network()
    page = net.show(X, Y, examples=2)
    assert page is not None
    assert repr(page).startswith(f"Page({net!r}; ")
    page.save(tmp_path / "saved.html")
    assert net.show(X, Y, tmp_path / "shown.html", examples=2) is None
    saved = (tmp_path / "saved.html").read_bytes()
    assert saved == (tmp_path / "shown.html").read_bytes() == page.html.encode()
    framed = page._repr_html_()
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" [^<]*></iframe>', framed, re.DOTALL)
    assert found is not None
    assert html.unescape(found[1]) == page.html


def test_show_refuses_as_before(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="examples must be"):
        network().show(X, Y, examples=0)
    with pytest.raises(TypeError, match="path must be a path"):
        network().show(X, Y, 3)


@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")
def test_page_works_within_another(tmp_path: Path) -> None:
    page = network().show(X, Y, examples=2)
    assert page is not None
    # A frame without an origin of its own can only send messages to the page around it.
    count = "<body><script>let faults = []; onerror = (text) => "
    count += "{ if (/^Uncaught/.test(text)) faults.push(text); };</script>"
    tell = "<script>setInterval(() => parent.postMessage([state.step, ...faults], '*'), 20); "
    tell += "document.getElementById('on').click();</script></body>"
    inner = page.html.replace("<body>", count).replace("</body>", tell)
    framed = markup.frame(inner, 600)
    listen = "<script>onmessage = (event) => { document.title = event.data.join(); };</script>"
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html>{listen}{framed}", "utf-8")
    with Chromium(tmp_path / "profile") as browser:
        browser.open((tmp_path / "notebook.html").as_uri())
        end = time.monotonic() + 30
        while not browser.evaluate("document.title").startswith("1") and time.monotonic() < end:
            time.sleep(0.05)
        assert browser.evaluate("document.title") == "1", "the step, and faults"
        assert browser.complaints() == []
