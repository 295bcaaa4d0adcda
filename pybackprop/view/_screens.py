"""The screens of a page, one at a time: tabs choose, and the address says which and where."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FIRST_SCRIPTS", "LAST_SCRIPT", "TABS_STYLE", "screens"]

# What the parts of a page build on, and what opens the first of them.
FIRST_SCRIPTS = ("view/tabs.js", "view/address.js")
LAST_SCRIPT = "view/start.js"
TABS_STYLE = "view/tabs.css"

_LABELS = {"walk": "Walk", "graph": "Graph", "train": "Train", "descent": "Descent"}


def screens(contents: Mapping[str, str]) -> str:
    """Return tabs and the screens that they open, each with its content."""
    tabs = "\n".join(
        f'<button type="button" role="tab" id="tab-{name}" aria-controls="{name}" '
        f'aria-selected="false" tabindex="-1">{_LABELS[name]}</button>'
        for name in contents
    )
    panels = "\n".join(
        f'<div id="{name}" role="tabpanel" aria-labelledby="tab-{name}" hidden>{content}</div>'
        for name, content in contents.items()
    )
    return f'<div id="tabs" role="tablist" aria-label="screens">\n{tabs}\n</div>\n{panels}'
