"""A headless Chromium, driven over pipes by the DevTools protocol: it shows pages, and says what is wrong with them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ovtasks.host.packages import family, package_of
from tests.support.processes import alive, driven, settle

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
SECONDS = 180.0
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}
SWITCHES = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1400,1000",
)


@dataclass
class Browser:
    """One page. ``problems`` are what the console says; ``asked`` are the addresses that were loaded."""

    orders: int
    answers: int
    session: str = ""
    number: int = 0
    rest: bytes = b""
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> Any:
        """The result of a method of the protocol."""
        self.number += 1
        order: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            order["sessionId"] = self.session
        data = json.dumps(order).encode() + b"\0"
        while data:
            data = data[os.write(self.orders, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        """The next message; events are noted."""
        until = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            assert select.select([self.answers], [], [], max(until - time.monotonic(), 0))[0], "Chromium is silent"
            data = os.read(self.answers, 1 << 20)
            assert data, "Chromium has ended"
            self.rest += data
        text, _, self.rest = self.rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        name, params = message.get("method", ""), message.get("params", {})
        if name:
            self.events.append(name)
        if name in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}:
            self.problems.append(json.dumps(params))
        if name == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        return message

    def open(self, path: Path) -> None:
        """Show a page, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self.events:
            self._next()

    def eval(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, f"{expression}: {done}"
        return done["result"].get("value")

    def type(self, text: str) -> None:
        """Text for the field that has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """A key, by its name in the DOM."""
        code = KEYS.get(key, ord(key[0]))
        more = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def point(self, selector: str) -> None:
        """Move the pointer to the middle of an element, which is scrolled into view."""
        item = f"document.querySelector({json.dumps(selector)})"
        self.eval(f"{item}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        place = self.eval(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({item}.getBoundingClientRect())")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])

    def scheme(self, name: str) -> None:
        """``light`` or ``dark``, as the user's desktop would say."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path: Path) -> bytes:
        """What is seen, as a PNG file."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return data


def program() -> str:
    """The browser.

    ``./doitw test`` brings it where a package does. Ubuntu has a snap only, which containers cannot run: there another
    Chrome has to be installed.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and (name := family()) is not None and package_of("chromium", name) is None:
        pytest.fail(f"no package of this distribution brings Chromium: install one of {', '.join(NAMES)}")
    assert found is not None, "chromium is not installed; ./doitw test brings it"
    return found


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Chromium with an empty profile in ``home``. Its sandbox is on, but for root, for whom it has none."""
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    with (home / "chromium.log").open("wb") as log:
        process, orders, answers = driven(
            program(), *SWITCHES, *root, f"--user-data-dir={home / 'profile'}", "about:blank", log=log, env=env
        )
        try:
            page = Browser(orders, answers)
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            yield page
            page.session = ""
            page.call("Browser.close")
        finally:
            os.close(orders)
            os.close(answers)
            settle(process, 60 if alive(process.pid) else 0)


def artifacts(folder: Path) -> Path:
    """Where screenshots go that people want to see: ``$OV_TEST_ARTIFACTS``, else ``folder``."""
    place = Path(os.environ.get("OV_TEST_ARTIFACTS") or folder)
    place.mkdir(parents=True, exist_ok=True)
    return place
