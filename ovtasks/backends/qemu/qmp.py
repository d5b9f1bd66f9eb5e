"""QEMU's control protocol over a Unix socket: one JSON object per line (QEMU's "QMP Protocol Specification").

A socket serves one client at a time; a second client waits for the greeting. So every connection here is short and has
a deadline.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.values.jsonvalue import Json

DEADLINE = 20.0
"""Seconds for a whole connection. It is long because an emulated machine may keep QEMU's main loop busy."""


class QmpError(OvError):
    """QEMU refused a command."""


class NoQmpError(OvError):
    """QEMU does not listen at the socket, or has ended."""


class SilentError(OvError):
    """QEMU does not answer in time: it serves another client, or its process is stopped."""


class Qmp:
    """One connection. Commands may be sent before answers are read; answers come in the same order."""

    def __init__(self, path: Path, pid: int, deadline: float = DEADLINE) -> None:
        """Connect to the QEMU with the process id ``pid``; ``deadline`` is in seconds from now.

        :raises NoQmpError: that process does not listen at ``path``.
        :raises SilentError: too many clients wait there already.
        """
        self._path = path
        self._until = time.monotonic() + deadline
        self._lines = self._read_lines()
        self._next = 0
        self._socket = _connect(path, self._until)
        try:
            if (owner := _peer(self._socket)) != pid:
                raise NoQmpError(f"process {owner}, not QEMU's {pid}, listens at {path}")
            self.send("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection. QEMU goes on."""
        self._socket.close()

    def send(self, command: str, **arguments: Json) -> int:
        """Send a command. Returns the number to pass to :meth:`receive`."""
        self._next += 1
        message: dict[str, Json] = {"execute": command, "id": self._next}
        if arguments:
            message["arguments"] = arguments
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            raise self._silent() from None
        except OSError as e:
            raise self._ended() from e
        return self._next

    def receive(self, number: int) -> Json:
        """The answer to the command that was sent as ``number``. Skips events and earlier answers.

        :raises QmpError: QEMU refuses the command.
        :raises SilentError: there is no answer in time.
        :raises NoQmpError: QEMU ended.
        """
        for line in self._lines:
            message = json.loads(line)
            if message.get("id") != number:
                continue
            if (error := message.get("error")) is not None:
                raise QmpError(f"QEMU refuses: {error.get('desc')}")
            answer: Json = message.get("return")
            return answer
        raise self._ended()

    def execute(self, command: str, **arguments: Json) -> Json:
        """Send a command and wait for its answer."""
        return self.receive(self.send(command, **arguments))

    def events(self) -> Iterator[Mapping[str, Json]]:
        """QEMU's events as they come, until the connection's time is over or QEMU ends."""
        with contextlib.suppress(SilentError):
            for line in self._lines:
                message = json.loads(line)
                if "event" in message:
                    yield message

    def _read_lines(self) -> Iterator[bytes]:
        """The lines until QEMU ends the connection."""
        pending = b""
        while True:
            try:
                self._socket.settimeout(self._left())
                chunk = self._socket.recv(65536)
            except TimeoutError:
                raise self._silent() from None
            except OSError:
                return
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            yield from lines

    def _left(self) -> float:
        return max(self._until - time.monotonic(), 0.001)

    def _silent(self) -> SilentError:
        return _silent(self._path)

    def _ended(self) -> NoQmpError:
        return NoQmpError(f"QEMU ended the connection at {self._path}")


@contextlib.contextmanager
def connect(path: Path, pid: int, deadline: float = DEADLINE) -> Iterator[Qmp]:
    """A connection for a ``with`` block; see :class:`Qmp`."""
    qmp = Qmp(path, pid, deadline)
    try:
        yield qmp
    finally:
        qmp.close()


def mapping(answer: Json) -> Mapping[str, Json]:
    """``answer`` as an object. Empty if it is something else."""
    return answer if isinstance(answer, Mapping) else {}


def _connect(path: Path, until: float) -> socket.socket:
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(max(until - time.monotonic(), 0.001))
        try:
            connection.connect(str(path))
            return connection
        except BlockingIOError:  # the queue of waiting clients is full
            connection.close()
            if time.monotonic() > until:
                raise _silent(path) from None
            time.sleep(0.02)
        except OSError as e:
            connection.close()
            raise NoQmpError(f"nobody listens at {path}: {e.strerror}") from e
        except BaseException:
            connection.close()
            raise


def _silent(path: Path) -> SilentError:
    hint = f"another program may be connected to {path}, which serves one at a time; or QEMU's process is stopped"
    return SilentError("QEMU does not answer at its control socket", hint=hint)


def _peer(connection: socket.socket) -> int:
    """The id of the process that listens (unix(7): SO_PEERCRED gives a struct ucred)."""
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)
