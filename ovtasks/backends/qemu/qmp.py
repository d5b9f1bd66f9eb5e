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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.patience import waiting_for
from ovtasks.values.jsonvalue import Json, parse

LONGEST_LINE = 32 << 20
"""Bytes of one message. The longest of QEMU's own, a description of all it can do, has a few hundred thousand."""
FLOOD = 5.0
"""Seconds after the connection's time in which messages that came before an answer are still passed over."""
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
        return self._send(command, arguments)

    def _send(self, command: str, arguments: Mapping[str, Json], files: Sequence[int] = ()) -> int:
        self._next += 1
        message: dict[str, Json] = {"execute": command, "id": self._next}
        if arguments:
            message["arguments"] = arguments
        try:
            self._socket.settimeout(self._left())
            line = json.dumps(message).encode() + b"\n"
            sent = socket.send_fds(self._socket, [line], files) if files else 0
            self._socket.sendall(line[sent:])
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
        for message in self._messages():
            if message.get("id") != number:
                self._still(FLOOD)
                continue
            if (error := message.get("error")) is not None:
                raise QmpError(f"QEMU refuses: {mapping(error).get('desc')}")
            return message.get("return")
        raise self._ended()

    def execute(self, command: str, **arguments: Json) -> Json:
        """Send a command and wait for its answer."""
        with waiting_for("QEMU to answer"):
            return self.receive(self.send(command, **arguments))

    def hand_over(self, name: str, file: int) -> None:
        """Give QEMU a copy of the open ``file``, which it then calls ``name`` (unix(7): SCM_RIGHTS)."""
        self.receive(self._send("getfd", {"fdname": name}, (file,)))

    def events(self) -> Iterator[Mapping[str, Json]]:
        """QEMU's events as they come, until the connection's time is over or QEMU ends."""
        with contextlib.suppress(SilentError):
            for message in self._messages():
                self._still()
                if "event" in message:
                    yield message

    def _messages(self) -> Iterator[Mapping[str, Json]]:
        """:raises NoQmpError: what comes is not QEMU's protocol."""
        for line in self._lines:
            try:
                yield mapping(parse(line))
            except ValueError as e:
                raise self._garbled(str(e)) from None

    def _read_lines(self) -> Iterator[bytes]:
        """The lines until QEMU ends the connection.

        :raises NoQmpError: one is cut off, or longer than any of QEMU's.
        """
        pending = bytearray()
        while True:
            try:
                self._socket.settimeout(self._left())
                chunk = self._socket.recv(65536)
            except TimeoutError:
                raise self._silent() from None
            except OSError:
                chunk = b""
            if not chunk:
                if pending:
                    raise self._garbled("a message is cut off")
                return
            pending += chunk
            if b"\n" in chunk:
                *lines, rest = bytes(pending).split(b"\n")
                pending = bytearray(rest)
                yield from lines
            elif len(pending) > LONGEST_LINE:
                raise self._garbled(f"a message is longer than {LONGEST_LINE >> 20} MiB")

    def _still(self, grace: float = 0.0) -> None:
        """What comes all the time leaves no pause in which a read could be too late.

        :raises SilentError: the connection's time is over.
        """
        if time.monotonic() > self._until + grace:
            raise self._silent()

    def _left(self) -> float:
        return max(self._until - time.monotonic(), 0.001)

    def _silent(self) -> SilentError:
        return _silent(self._path)

    def _garbled(self, why: str) -> NoQmpError:
        hint = "is another program behind it? ov vm status"
        return NoQmpError(f"what comes from {self._path} is not QEMU's protocol: {why}", hint=hint)

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
            raise NoQmpError(f"nothing listens at {path}: {e.strerror}") from e
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
