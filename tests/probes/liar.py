"""Peers that do not keep to their protocol: they say what a test hands them, at a Unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HEADER = struct.Struct("<4sIII")
Work = Callable[[socket.SocketIO], None]


@contextlib.contextmanager
def peer(path: Path, work: Work) -> Iterator[Path]:
    """Does ``work`` with every connection to ``path``, in a thread of its own."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def one(connection: socket.socket) -> None:
            with (
                connection,
                connection.makefile("rwb", buffering=0) as stream,
                contextlib.suppress(OSError, ValueError),
            ):
                work(stream)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
                    threads[-1].start()

        threads = [threading.Thread(target=serve, daemon=True)]
        threads[0].start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(60)


def cut(*data: bytes) -> Work:
    """Says ``data``, and no more."""

    def work(stream: socket.SocketIO) -> None:
        stream.write(b"".join(data))
        with socket.socket(fileno=os.dup(stream.fileno())) as connection:
            connection.shutdown(socket.SHUT_WR)
        while stream.read(1 << 16):
            pass

    return work


def flood(stream: socket.SocketIO, data: bytes) -> None:
    """Say ``data`` again and again, until nobody listens."""
    with contextlib.suppress(OSError):
        while True:
            stream.write(data)


def spice_key() -> bytes:
    """A public key as a SPICE server has it."""
    public = rsa.generate_private_key(65537, 1024).public_key()
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spice(key: bytes, then: Work) -> Work:
    """A SPICE server's part of the handshake, then ``then``."""

    def work(stream: socket.SocketIO) -> None:
        size = HEADER.unpack(exactly(stream, HEADER.size))[3]
        exactly(stream, size)
        reply = struct.pack("<I", 0) + key + struct.pack("<III", 0, 0, 18 + len(key))
        stream.write(HEADER.pack(b"REDQ", 2, 2, len(reply)) + reply)
        exactly(stream, 4 + 128)
        stream.write(struct.pack("<I", 0))
        then(stream)

    return work


def exactly(stream: socket.SocketIO, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    data = b""
    while len(data) < size and (chunk := stream.read(size - len(data))):
        data += chunk
    return data


def message(kind: int, data: bytes = b"", size: int | None = None) -> bytes:
    """A message of SPICE; ``size`` is what it says about its length."""
    return struct.pack("<HI", kind, len(data) if size is None else size) + data


MAIN = message(103, struct.pack("<IIIIIIII", 7, 0, 3, 2, 0, 0, 0, 0))
"""The first message of the main channel."""
CHANNELS = message(104, struct.pack("<I8B", 4, 1, 0, 2, 0, 3, 0, 4, 0))
"""The channels that a QEMU with a display has."""
