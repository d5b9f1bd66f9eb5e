"""Notices that a guest no longer answers: asks it now and then, and hangs up when no answer comes.

What ServerAliveInterval and ServerAliveCountMax are for OpenSSH. TCP alone would not notice: QEMU's user network
acknowledges for a guest that stands still.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from ovtasks.guest.ssh import ALIVE_COUNT, ALIVE_SECONDS

if TYPE_CHECKING:
    from paramiko import Transport


class Heartbeat(threading.Thread):
    """Asks every ``seconds``, and closes the session when ``count`` times that pass without an answer."""

    def __init__(self, transport: Transport, seconds: float = ALIVE_SECONDS, count: int = ALIVE_COUNT) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._transport = transport
        self._seconds = seconds
        self._limit = seconds * count
        self._stopped = threading.Event()
        self.silent = False
        """Whether the session was closed because no answer came."""

    def run(self) -> None:
        """The thread's work, until :meth:`stop`."""
        asker: threading.Thread | None = None
        asked = 0.0
        while not self._stopped.wait(self._seconds) and self._transport.is_active():
            if asker is None or not asker.is_alive():
                asked = time.monotonic()
                asker = threading.Thread(target=self._ask, daemon=True)
                asker.start()
            elif time.monotonic() - asked >= self._limit:
                self.silent = True
                self._transport.close()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _ask(self) -> None:
        from paramiko import SSHException

        with contextlib.suppress(SSHException, OSError, EOFError):
            self._transport.global_request("keepalive@openssh.com", wait=True)  # any answer will do, a refusal too
