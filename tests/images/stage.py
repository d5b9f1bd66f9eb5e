"""A server that says exactly what a test writes, byte by byte, by HTTP or TLS; without a part to play it is right."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Asked:
    """One request and the connection to answer on; ``number`` counts those of this path and method, from 1."""

    method: str
    path: str
    headers: dict[str, str]
    conn: socket.socket
    number: int
    url: str

    @property
    def offset(self) -> int | None:
        """Where the range that was asked for begins."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match else None

    def say(self, *pieces: bytes | str) -> None:
        for piece in pieces:
            self.conn.sendall(piece.encode("latin-1") if isinstance(piece, str) else piece)

    def answer(self, body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> None:
        """A well-formed answer; ``length`` is what it claims to have."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
        self.say("\r\n".join([*lines, "Connection: close", "", ""]), b"" if self.method == "HEAD" else body)

    def reset(self) -> None:
        """End the connection as a broken network does."""
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Part = Callable[[Asked], None]


@dataclass
class Stage:
    """``files`` by path, served rightly where ``part`` is None or leaves a request alone (returns without a word)."""

    files: dict[str, bytes]
    part: Callable[[Asked], bool] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def play(self, paths: str, part: Part, *, methods: str = "GET|HEAD", times: int = 10**6) -> None:
        """Answer requests of these paths (a pattern) by ``part``, so many times of each."""

        def chosen(asked: Asked) -> bool:
            wanted = re.fullmatch(paths, asked.path) and re.fullmatch(methods, asked.method) and asked.number <= times
            if wanted:
                part(asked)
            return bool(wanted)

        self.asked.clear()
        self.part = chosen


def right(stage: Stage, asked: Asked) -> None:
    data = stage.files.get(asked.path)
    tag = ('ETag: "right"', "Accept-Ranges: bytes")
    if data is None:
        asked.answer(b"not here", status="404 Not Found")
    elif (start := asked.offset) is None:
        asked.answer(data, *tag)
    elif start >= len(data):
        asked.answer(b"", f"Content-Range: bytes */{len(data)}", status="416 Range Not Satisfiable")
    else:
        span = f"Content-Range: bytes {start}-{len(data) - 1}/{len(data)}"
        asked.answer(data[start:], span, *tag, status="206 Partial Content")


def _serve(stage: Stage, conn: socket.socket) -> None:
    with contextlib.suppress(OSError), conn:
        conn.settimeout(5)
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := conn.recv(65536)):
                return
            head += more
            if head[0] == 0x16:  # a TLS handshake, on a port that speaks plain HTTP
                conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = target.partition("?")[0]
        stage.asked.append((method, path))
        asked = Asked(method, path, headers, conn, stage.asked.count((method, path)), stage.url)
        if stage.part is None or not stage.part(asked):
            right(stage, asked)
        with contextlib.suppress(OSError):
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(65536):  # so that what was sent is read before the connection goes
                pass


@contextlib.contextmanager
def perform(stage: Stage, certificate: Path | None = None) -> Iterator[Stage]:
    """Serve on a loopback port; with a certificate (PEM with its key) by TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    stage.url = f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def one(conn: socket.socket) -> None:
        with contextlib.suppress(OSError):
            _serve(stage, context.wrap_socket(conn, server_side=True) if context else conn)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield stage
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
