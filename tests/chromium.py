"""A headless Chromium on a pipe: enough of the DevTools protocol to load a page and work it.

The fixture `chromium` is one browser for the tests of a module, and the functions at the end read a
page and press what is on it.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)

MINUS = "\N{MINUS SIGN}"
# Of a telephone, and of common screens.
WIDTHS = [375, 1280, 1440, 1920]

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--window-size=1440,1200",
    "--disable-background-networking",
    "--remote-debugging-pipe",
]


class Chromium:
    """One browser with one page; use it in a with statement."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]
        redirect = f'exec "$0" "$@" 3<&{ends[0]} 4>&{ends[1]}'
        command = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, *command],
            pass_fds=ends,
            # A sanitizer preloaded into the tests is not for the browser.
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_browser, from_browser, *ends):
            os.close(end)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        try:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def send(self, method: str, **params: Any) -> Any:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _receive(self, seconds: float = 60.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(end - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, url: str) -> None:
        """Load a page and wait until it has been drawn; events of earlier pages are dropped."""
        self.events.clear()
        self.send("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive()
        # Observers of sizes are called in the first frame, after what was asked for it.
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")

    def evaluate(self, code: str) -> Any:
        """Return the value of an expression of JavaScript; of a promise, what it comes to."""
        result = self.send(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def resize(self, width: int, height: int = 1000, *, touch: bool = False) -> None:
        """Show the page in a window of another size, or on a telephone with a touch screen."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=1)

    def use_colours(self, scheme: str) -> None:
        """Prefer the "light" or the "dark" colours from now on."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a picture of the page as it looks now."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a point of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        """Move the mouse to a point of the window and press its left button there."""
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap(self, x: float, y: float) -> None:
        """Touch a point of the window for a moment, as a fingertip does."""
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
        code |= {"Enter": 13, "Escape": 27}
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code.get(key, 0),
                modifiers=8 if shift else 0,
                **(text if kind == "keyDown" else {}),
            )

    def complaints(self) -> list[Any]:
        """Return what the console and the log have said, and the exceptions nobody caught."""
        kinds = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [event["params"] for event in self.events if event["method"] in kinds]

    def requests(self) -> list[str]:
        """Return the addresses that have been asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Return a browser for the tests of a module."""
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def open_page(browser: Chromium, url: str, width: int = 1280) -> None:
    """Load a page anew in a window so wide, of a telephone if it is narrow."""
    browser.resize(width, touch=width < 500)
    browser.move(1, 1)
    # A page that differs in what follows # alone would not be loaded.
    browser.open("about:blank")
    browser.open(url)


def opened(browser: Chromium, url: str, width: int) -> Iterator[Chromium]:
    """Load a page for a test; afterwards it must not scroll sideways, complain or ask for more."""
    open_page(browser, url, width)
    yield browser
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.complaints() == []
    assert [each for each in browser.requests() if each != "about:blank"] == [url.split("#")[0]]


def text_of(browser: Chromium, selector: str) -> str:
    """Return the text of the first element that a selector finds."""
    return str(browser.evaluate(f"document.querySelector({selector!r}).textContent"))


def texts_of(browser: Chromium, selector: str) -> list[str]:
    """Return the texts of all elements that a selector finds."""
    found = browser.evaluate(
        f"[...document.querySelectorAll({selector!r})].map(each => each.textContent)"
    )
    return list(found)


def address_of(browser: Chromium) -> str:
    """Return what follows # in the address, which is written when one has come to rest."""
    rest = "new Promise(done => setTimeout(done, REST_MS + 20))"
    return str(browser.evaluate(f"{rest}.then(() => location.hash)"))


def touches(browser: Chromium) -> bool:
    """Tell whether the page is on a telephone."""
    return bool(browser.evaluate("matchMedia('(pointer: coarse)').matches"))


def press_at(browser: Chromium, x: float, y: float) -> None:
    """Tap on a telephone, click elsewhere."""
    (browser.tap if touches(browser) else browser.click)(x, y)


def press(browser: Chromium, element: str, across: float = 0.5, up: float = 0.5) -> None:
    """Tap or click an element, given as JavaScript, at a part of its width and height."""
    x, y = browser.evaluate(
        f"(element => {{ element.scrollIntoView({{block: 'center', inline: 'center'}});"
        " const box = element.getBoundingClientRect();"
        f" return [box.x + {across} * box.width, box.y + {1 - up} * box.height]; }})({element})"
    )
    press_at(browser, x, y)
