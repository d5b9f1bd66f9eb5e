"""The client's part of SPICE: the handshake of a channel, and its messages.

Source: "The SPICE protocol" (spice-space.org) and the public headers of spice-protocol. Numbers are little-endian.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ovtasks.backends.contract import DisplayPlace
from ovtasks.errors import InputError, OvError

MAGIC = b"REDQ"
VERSION = (2, 2)
_HEADER = struct.Struct("<4sIII")
_KEY_BYTES = 162
"""A public RSA key of 1024 bits as DER (SubjectPublicKeyInfo)."""
LONGEST_PASSWORD = 60
"""Bytes of a ticket, SPICE_MAX_PASSWORD_LENGTH."""
_LONGEST_REPLY = 4096
_LONGEST_MESSAGE = 256 << 20
"""Bytes of a message that is passed over: a picture of a large display."""
_LONGEST_KEPT = 4 << 20
"""Bytes of a message that is looked at: the image of a pointer is the longest."""
_CHUNK = 1 << 16
_AUTH_SELECTION, _AUTH_SPICE, _MINI_HEADER = 1 << 0, 1 << 1, 1 << 3
_ERRORS: tuple[str, ...] = (
    "ok",
    "error",
    "invalid magic",
    "invalid data",
    "version mismatch",
    "needs TLS",
    "needs no TLS",
)
_ERRORS += ("permission denied: wrong password", "bad connection id", "channel not available")
_PING, _PONG, _SET_ACK, _ACK_SYNC, _ACK = 4, 3, 3, 1, 2


class SpiceChannel(IntEnum):
    """The kinds of channels that are used here."""

    MAIN = 1
    DISPLAY = 2
    INPUTS = 3
    CURSOR = 4


@dataclass(frozen=True)
class SpiceMessage:
    """A message of the server: its number in the channel, and its content."""

    kind: int
    data: bytes


class SpiceLink:
    """One channel, after its handshake."""

    def __init__(self, connection: socket.socket, until: float, title: str) -> None:
        self._socket = connection
        self._until = until
        self._title = title
        self._window = 0
        self._unanswered = 0

    def send(self, kind: int, data: bytes = b"") -> None:
        """Send a message.

        :raises OvError: the server ended the connection.
        """
        self._send(struct.pack("<HI", kind, len(data)) + data)

    def receive(self, wanted: int | None = None) -> SpiceMessage:
        """The next message, of the kind ``wanted`` if that is given; others are passed over, and not kept.

        Pings and acknowledgements are answered on the way.

        :raises OvError: none comes in time, the server ended the connection, or says what cannot be.
        """
        while True:
            kind, size = struct.unpack("<HI", self._read(6))
            kept = kind in (_SET_ACK, wanted) or (wanted is None and kind != _PING)
            if size > (_LONGEST_KEPT if kept else _LONGEST_MESSAGE):
                raise OvError(f"{self._title} sent a message of {size} bytes", hint="is it a SPICE server?")
            data = self._read(size) if kept or size <= _CHUNK else self._skip(size)
            self._acknowledge()
            if kind == _PING:
                self.send(_PONG, data[:12])
            elif kind == _SET_ACK:
                generation, self._window = self.fields("<II", data)
                self._unanswered = 0
                self.send(_ACK_SYNC, struct.pack("<I", generation))
            elif kept:
                return SpiceMessage(kind, data)

    def wait(self, kind: int) -> bytes:
        """The content of the next message of this kind; others are passed over."""
        return self.receive(kind).data

    def fields(self, layout: str, data: bytes, at: int = 0) -> tuple[int, ...]:
        """The numbers in a message, as struct(3) writes their layout.

        :raises OvError: the message is too short for them.
        """
        try:
            return struct.unpack_from(layout, data, at)
        except struct.error:
            raise OvError(f"{self._title} sent a message that is cut off", hint="is it a SPICE server?") from None

    def _acknowledge(self) -> None:
        if self._window:
            self._unanswered += 1
            if self._unanswered >= self._window:
                self._unanswered = 0
                self.send(_ACK)

    def handshake(self, channel: SpiceChannel, session: int, password: str) -> None:
        """The link message, the reply with the server's key, and the ticket: the password under that key.

        :raises OvError: the server is none, or refuses.
        """
        body = struct.pack("<IBBIIII", session, channel, 0, 1, 0, 18, _AUTH_SELECTION | _AUTH_SPICE | _MINI_HEADER)
        self._send(_HEADER.pack(MAGIC, *VERSION, len(body)) + body)
        magic, major, _, size = _HEADER.unpack(self._read(_HEADER.size))
        if magic != MAGIC or major != VERSION[0] or not _KEY_BYTES + 16 <= size <= _LONGEST_REPLY:
            raise OvError(
                f"{self._title} is not a SPICE server of version {VERSION[0]}", hint="is it another program's?"
            )
        reply = self._read(size)
        self._check(struct.unpack_from("<I", reply)[0])
        self._send(struct.pack("<I", 1) + self._ticket(reply[4 : 4 + _KEY_BYTES], password))
        self._check(struct.unpack("<I", self._read(4))[0])

    def _check(self, error: int) -> None:
        if error:
            words = _ERRORS[error] if error < len(_ERRORS) else f"error {error}"
            raise OvError(f"{self._title} refuses: {words}", hint="--password-file has the password of the display")

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(max(self._until - time.monotonic(), 0.001))
            self._socket.sendall(data)
        except OSError as e:
            raise self._lost(e) from e

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            data += self._chunk(size - len(data))
        return bytes(data)

    def _skip(self, size: int) -> bytes:
        """Read so many bytes, and keep the first ones."""
        first = self._chunk(size)
        size -= len(first)
        while size:
            size -= len(self._chunk(size))
        return first

    def _chunk(self, most: int) -> bytes:
        try:
            if (left := self._until - time.monotonic()) <= 0:  # what never stops talking is late, too
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(min(most, _CHUNK))
        except OSError as e:
            raise self._lost(e) from e
        if not data:
            raise OvError(f"{self._title} ended the connection", hint="ov vm logs")
        return data

    def _ticket(self, key: bytes, password: str) -> bytes:
        """The password and a zero, by RSA-OAEP with SHA-1, as the protocol fixes it."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        text = password.encode("utf-8", "surrogateescape") + b"\0"
        if len(text) > LONGEST_PASSWORD + 1:
            raise InputError(
                f"the password has {len(text) - 1} bytes", hint=f"SPICE takes {LONGEST_PASSWORD}; use a shorter one"
            )
        try:
            public = serialization.load_der_public_key(key)
            if not isinstance(public, rsa.RSAPublicKey):
                raise ValueError("it is not RSA")
            sha1 = hashes.SHA1()
            scheme = padding.OAEP(mgf=padding.MGF1(algorithm=sha1), algorithm=sha1, label=None)
            return public.encrypt(text, scheme)
        except (ValueError, UnsupportedAlgorithm) as e:
            raise OvError(f"{self._title} has no key that can be used: {e}", hint="is it a SPICE server?") from e

    def _lost(self, error: OSError) -> OvError:
        late = isinstance(error, TimeoutError)
        why = "does not answer in time" if late else f"cannot be reached: {error.strerror or error}"
        return OvError(f"{self._title} {why}", hint="--wait gives it more time" if late else "ov vm status")


@contextlib.contextmanager
def open_channel(place: DisplayPlace, channel: SpiceChannel, session: int, until: float) -> Iterator[SpiceLink]:
    """A channel of the session (0: a new one, by the main channel), until ``until`` of the monotonic clock.

    :raises OvError: nobody listens there, it is not a SPICE server, or it refuses.
    """
    title = f"the SPICE server at {place}"
    connection = socket.socket(socket.AF_UNIX) if place.socket else None
    try:
        seconds = max(until - time.monotonic(), 0.001)
        if connection is None:
            connection = socket.create_connection((place.host, place.port), timeout=seconds)
        else:
            connection.settimeout(seconds)
            connection.connect(str(place.socket))
    except (OSError, UnicodeError) as e:  # UnicodeError: no host can have this name
        if connection is not None:
            connection.close()
        why = e.strerror or str(e) if isinstance(e, OSError) else "no host can have this name"
        raise OvError(f"{title} cannot be reached: {why}", hint="ov vm status; is it running?") from e
    with connection:
        link = SpiceLink(connection, until, title)
        link.handshake(channel, session, place.password)
        yield link
