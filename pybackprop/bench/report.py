"""Figures as text, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import machine
from .agreement import tolerance_text
from .runner import Comparison, Entry, Plan, Result
from .statistics import Spread
from .workloads import Elementwise, to_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Table:
    """A table; the first column is of text, the others of figures."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it in columns."""
        lines = [list(self.header), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [self.title]
        for line in lines:
            cells = [line[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            shown.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(shown)

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [f"**{self.title}**", "", _markdown_row(self.header)]
        lines.append("|---|" + "--:|" * (len(self.header) - 1))
        lines += [_markdown_row(row) for row in self.rows]
        return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@dataclass
class Report:
    """What a subcommand found.

    Attributes
    ----------
    results : list of Result
        By workload.
    comparisons : list of (str, Comparison)
        Name of the workload, and an own contender against its best peer.
    tables : list of Table
        The summary.
    figures : dict
        Further numbers by name, for JSON.
    notes : list of str
        What a reader of the tables must know.
    """

    command: str
    plan: Plan
    quick: bool = False
    machine: dict[str, Any] = field(default_factory=machine.describe)
    results: list[Result] = field(default_factory=list)
    comparisons: list[tuple[str, Comparison]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return everything, in columns."""
        details = [detail_table(result).text() for result in self.results]
        parts = ["\n".join(self._header()), *details, *(each.text() for each in self.tables)]
        return "\n\n".join([*parts, *self.notes])

    def markdown(self) -> str:
        """Return header, summary and notes as Markdown."""
        header = "\n".join(f"- {line}" for line in self._header())
        parts = [header, *(each.markdown() for each in self.tables)]
        return "\n\n".join([*parts, *self.notes])

    def json(self) -> str:
        """Return everything as JSON; times are in seconds per step or call."""
        content = {
            "schema": SCHEMA_VERSION,
            "command": self.command,
            "quick": self.quick,
            "plan": asdict(self.plan),
            "machine": self.machine,
            "workloads": [_result_json(result) for result in self.results],
            "comparisons": [
                {
                    "workload": name,
                    "own": _contender_json(each.own),
                    "peer": _contender_json(each.peer),
                    "ratio": asdict(each.ratio),
                }
                for name, each in self.comparisons
            ],
            "figures": self.figures,
            "notes": self.notes,
        }
        return json.dumps(content, indent=1)

    def _header(self) -> Iterator[str]:
        about = self.machine
        quick = " (quick: too short to be quoted)" if self.quick else ""
        yield f"pybackprop bench {self.command}{quick}, {about['date']}"
        load = "" if about["load"] is None else f", load average {about['load']:.2f} at the start"
        yield f"{about['cpu']}, {about['cpus']} CPUs, {about['system']}{load}"
        yield _caches_text(about["caches"], about["ways"])
        yield f"pybackprop's core: {about['isa']}, {about['compiler']}"
        versions = ", ".join(
            f"{name} {found or 'not installed'}" for name, found in about["versions"].items()
        )
        yield f"Python {about['python']}, {versions}"


def _caches_text(caches: dict[str, int], ways: dict[str, int]) -> str:
    """Return the geometry by which the core decides."""
    known = [
        f"{level} {size // 1024} KiB" + (f" {ways[level]}-way" if ways[level] else "")
        for level, size in caches.items()
        if size
    ]
    return f"caches: {', '.join(known) or 'unknown'}"


def _contender_json(contender: Any) -> dict[str, Any]:
    return {**asdict(contender), "threads": contender.threads_text}


def _result_json(result: Result) -> dict[str, Any]:
    return {
        **to_json(result.workload),
        "title": result.workload.title,
        "flops": result.workload.flops,
        "tolerance": tolerance_text(result.workload),
        "entries": [
            {
                **_contender_json(entry.contender),
                "status": entry.status,
                "detail": entry.detail,
                "compile_seconds": entry.compile_seconds,
                "repeats": entry.repeats,
                # A contender that is not ok has no time to be shown.
                "seconds": entry.seconds if entry.status == "ok" else [],
                "spread": asdict(entry.spread) if entry in result.timed else None,
                "peaks": entry.peaks,
            }
            for entry in result.entries
        ],
    }


def detail_table(result: Result) -> Table:
    """Return a table of all contenders of a workload."""
    workload = result.workload
    elements = isinstance(workload, Elementwise)
    header = ("contender", "threads", "median", "25 to 75 %", "Gelem/s" if elements else "GFLOP/s")
    rows = [_detail_row(entry, workload.flops) for entry in result.entries]
    title = f"{workload.name}: {workload.title}\n  equal results: {tolerance_text(workload)}"
    return Table(title, (*header, "compile"), rows)


def _detail_row(entry: Entry, flops: float) -> tuple[str, ...]:
    contender = entry.contender
    if entry.status != "ok" or not entry.seconds:
        return contender.label, contender.threads_text, entry.status, entry.detail, "", ""
    times = entry.spread
    return (
        contender.label,
        contender.threads_text,
        time_text(times.median),
        f"{time_text(times.q25)} to {time_text(times.q75)}",
        f"{flops / times.median * 1e-9:.3g}",
        f"{entry.compile_seconds:.1f} s" if entry.compile_seconds else "",
    )


def time_text(seconds: float) -> str:
    """Return a time with three digits and a unit."""
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def ratio_text(ratio: Spread) -> str:
    """Return a ratio with its spread."""
    return f"{ratio.median:.2f} ({ratio.q25:.2f} to {ratio.q75:.2f})"


def summary_table(
    title: str, results: Sequence[Result], comparisons: Sequence[tuple[str, Comparison]]
) -> Table:
    """Return a table of workloads by contenders, each at every number of threads.

    Cells are median times, for the numbers of threads in the header's order; the last columns
    say how many times as long the best peer takes.
    """
    contenders = [entry.contender for result in results for entry in result.entries]
    labels = list(dict.fromkeys(each.label for each in contenders))
    threads = list(dict.fromkeys(each.threads_text for each in contenders))
    owns = list(dict.fromkeys(each.own.label for _, each in comparisons))
    header = ["workload", *labels, *(f"best peer / {label}" for label in owns)]
    rows = []
    for result in results:
        row = [f"{result.workload.name}: {result.workload.title}"]
        row += [_cell(result, label, threads) for label in labels]
        found = {each.own.label: each for name, each in comparisons if name == result.workload.name}
        for label in owns:
            each = found.get(label)
            peer = f" {each.peer.label}, {each.peer.threads_text}" if each else ""
            row.append(f"{ratio_text(each.ratio)}{peer}" if each else "")
        rows.append(row)
    words = ", ".join("default" if each == "default" else each for each in threads)
    return Table(f"{title} (threads: {words})", header, rows)


def _cell(result: Result, label: str, threads: Sequence[str]) -> str:
    cells = []
    for each in threads:
        for entry in result.entries:
            if (entry.contender.label, entry.contender.threads_text) == (label, each):
                timed = entry in result.timed
                cells.append(time_text(entry.spread.median) if timed else entry.status)
    # One word is enough for what holds with any number of threads.
    return " / ".join(dict.fromkeys(cells) if len(set(cells)) == 1 else cells)
