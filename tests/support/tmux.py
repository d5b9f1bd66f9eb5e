"""A real terminal: tmux, with a server of its own for each test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import call

DEADLINE = 60.0


def wait_for(what: Callable[[], bool], *, seconds: float = DEADLINE) -> bool:
    """Poll until ``what`` is true; whether it became so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return what()


class Tmux:
    """One window with a shell in it."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def do(self, *words: str) -> str:
        """A command of tmux."""
        return call("tmux", "-S", self.socket, "-f", "/dev/null", *words, timeout=DEADLINE).stdout

    def type(self, *keys: str) -> None:
        """Send keys by tmux's names (``C-c``, ``Enter``), others as they are."""
        self.do("send-keys", *keys)

    def line(self, text: str) -> None:
        """Type a line into the shell or the guest."""
        self.do("send-keys", "-l", text)
        self.type("Enter")

    @property
    def screen(self) -> str:
        """What is to be seen, with what was scrolled out."""
        return self.do("capture-pane", "-p", "-J", "-S", "-")

    @property
    def cursor_shown(self) -> bool:
        """Whether the cursor is visible."""
        return self.do("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def expect(self, text: str, *, times: int = 1, seconds: float = DEADLINE) -> None:
        """Wait until the text is on the screen."""
        assert wait_for(lambda: self.screen.count(text) >= times, seconds=seconds), f"no {text!r} in:\n{self.screen}"


@contextmanager
def terminal(folder: Path) -> Iterator[Tmux]:
    """A terminal whose shell is in ``folder``."""
    tmux = Tmux(folder / "tmux")
    environment = {**os.environ, "ENV": "", "LC_ALL": "C.UTF-8"}
    for name in ("COLUMNS", "LINES"):  # of pytest's workers; the terminal has its own size
        environment.pop(name, None)
    argv = ["tmux", "-S", str(tmux.socket), "-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "sh"]
    call(*argv, cwd=folder, env=environment, timeout=DEADLINE)
    try:
        assert wait_for(lambda: tmux.screen.strip() != ""), "no prompt"
        yield tmux
    finally:
        tmux.do("kill-server")
