"""Listens to the messages of the guest's systemd during its boot: sd_notify(3) over vsock(7).

Each message has its own connection, which the sender closes (systemd(1), "READINESS PROTOCOL"; since systemd 254, and
with the states of units since 256). A guest is not trusted: messages that are too long are dropped.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterator

from ovtasks.host import vsock

LONGEST = 16 << 10
"""The most bytes of one message."""
SENDERS = 16
"""How many messages may arrive at the same time."""
READY = "READY=1"
EMERGENCY = frozenset({"X_SYSTEMD_UNIT_ACTIVE=emergency.target", "X_SYSTEMD_UNIT_ACTIVE=rescue.target"})
"""With these messages systemd has finished its start, but in emergency mode."""


class Listener:
    """Receives messages on ``server``, a listening stream socket that it takes over.

    ``believed`` gets a peer's address and tells whether it is our guest. ``booted``: the guest has reported its boot.
    """

    def __init__(self, server: socket.socket, believed: Callable[[object], bool]) -> None:
        self.booted = False
        self._emergency = False
        self._server = server
        self._believed = believed
        self._messages: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        server.setblocking(False)
        self._selector.register(server, selectors.EVENT_READ)

    def close(self) -> None:
        """Stop listening."""
        for connection in (*self._messages, self._server):
            connection.close()
        self._selector.close()

    def pause(self, seconds: float) -> None:
        """Sleep, but stop when the guest says something."""
        end = time.monotonic() + seconds
        heard = False
        while not heard:
            events = self._selector.select(max(0.0, end - time.monotonic()))
            if not events:
                return
            for key, _ in events:
                if key.fileobj is self._server:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    heard = self._receive(key.fileobj) or heard

    def _accept(self) -> None:
        try:
            connection, peer = self._server.accept()
        except OSError:  # the sender is gone already
            return
        if not self._believed(peer) or len(self._messages) >= SENDERS:
            connection.close()
            return
        connection.setblocking(False)
        self._messages[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, connection: socket.socket) -> bool:
        """Read from a connection; returns whether its message is complete."""
        try:
            chunk = connection.recv(LONGEST)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        self._messages[connection] += chunk
        if chunk and len(self._messages[connection]) <= LONGEST:
            return False
        self._selector.unregister(connection)
        connection.close()
        message = self._messages.pop(connection)
        if chunk or not message:
            return False
        self._understand(message.decode(errors="replace").splitlines())
        return True

    def _understand(self, lines: list[str]) -> None:
        self._emergency = self._emergency or not EMERGENCY.isdisjoint(lines)
        if READY in lines and not self._emergency:
            self.booted = True


@contextlib.contextmanager
def listening(cid: int | None) -> Iterator[Listener | None]:
    """A listener for the guest with that CID, on the port with the same number.

    The guest gets the number from ``notify_credential`` of :mod:`ovtasks.machine.smbios`. None if the guest has no
    CID, or another process listens there.
    """
    server = vsock.listen(cid) if cid is not None else None
    if server is None:
        yield None
        return
    listener = Listener(server, lambda peer: isinstance(peer, tuple) and peer[0] == cid)
    try:
        yield listener
    finally:
        listener.close()
