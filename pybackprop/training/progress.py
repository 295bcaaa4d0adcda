"""The progress of a fit on standard error: a tqdm bar where it is installed, else plain lines."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

# Plain lines come at most this often, however short the epochs are.
_LINE_SECONDS = 0.5


class Progress(Protocol):
    """What the training loop tells."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, *exception: object) -> None: ...

    def update(self, batches: int, cost: float) -> None:
        """Tell how many batches have been trained in all, and the running cost."""

    def end_epoch(self, epoch: int, cost: float, val_cost: float | None) -> None:
        """Tell the figures of an epoch."""


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self, batches: int, cost: float) -> None:
        pass

    def end_epoch(self, epoch: int, cost: float, val_cost: float | None) -> None:
        pass


class _Unfailing(_Silent):
    """A display that turns itself off when it cannot be written; training continues."""

    def __init__(self, display: Progress) -> None:
        self._display: Progress = display

    def _show(self, what: str, *figures: Any) -> None:
        try:
            getattr(self._display, what)(*figures)
        except (OSError, ValueError):  # the reader has gone, the disk is full, the stream is closed
            self._display = _Silent()

    def __exit__(self, *exception: object) -> None:
        self._show("__exit__", *exception)

    def update(self, batches: int, cost: float) -> None:
        self._show("update", batches, cost)

    def end_epoch(self, epoch: int, cost: float, val_cost: float | None) -> None:
        self._show("end_epoch", epoch, cost, val_cost)


class _Lines(_Silent):
    """One line per epoch, with gaps if epochs are short."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._printed = -float("inf")

    def end_epoch(self, epoch: int, cost: float, val_cost: float | None) -> None:
        now = time.monotonic()
        if now - self._printed < _LINE_SECONDS and epoch + 1 < self._epochs:
            return
        self._printed = now
        validation = "" if val_cost is None else f", val_cost {val_cost:.6g}"
        line = f"epoch {epoch + 1}/{self._epochs}: cost {cost:.6g}{validation}"
        print(line, file=sys.stderr, flush=True)


class _Bar(_Silent):
    """A tqdm bar that counts batches."""

    def __init__(self, tqdm: Any, epochs: int, n_batches: int, unit: str) -> None:
        self._epochs, self._n_batches = epochs, n_batches
        self._bar = tqdm(total=epochs * n_batches, unit=unit, file=sys.stderr)
        self._figures = ""

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def update(self, batches: int, cost: float) -> None:
        epoch = min(batches // self._n_batches + 1, self._epochs)
        self._bar.set_description(f"epoch {epoch}/{self._epochs}", refresh=False)
        if not self._figures and cost == cost:
            self._bar.set_postfix_str(f"cost {cost:.4g}", refresh=False)
        self._bar.update(batches - self._bar.n)

    def end_epoch(self, epoch: int, cost: float, val_cost: float | None) -> None:
        self._figures = f"cost {cost:.4g}"
        if val_cost is not None:
            self._figures += f", val_cost {val_cost:.4g}"
        self._bar.set_postfix_str(self._figures, refresh=False)


def make_progress(wanted: bool, epochs: int, n_batches: int, unit: str = "batch") -> Progress:
    """Return what shows the progress of a fit; `unit` says what is counted as batches."""
    if not wanted:
        return _Silent()
    try:
        from tqdm.auto import tqdm  # in a notebook a bar of its own
    except ImportError:
        return _Unfailing(_Lines(epochs))
    try:
        return _Unfailing(_Bar(tqdm, epochs, n_batches, unit))
    except (OSError, ValueError):  # the bar draws itself when created
        return _Silent()
