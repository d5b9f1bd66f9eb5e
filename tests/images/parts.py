"""Parts that a :class:`.stage.Stage` plays: how servers answer, well and badly; and what a build makes of it."""

from __future__ import annotations

import hashlib
import re
import struct
import time

import pytest

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, OvError
from tests.images.chain import Chain
from tests.images.stage import Asked, Part, Stage

ENTRY = struct.pack("<BBBBBBBBII", 0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 100)
IMAGE = bytes(446) + ENTRY + bytes(48) + b"\x55\xaa" + bytes(i * 7 % 251 for i in range(100 * 512))
SHA256 = hashlib.sha256(IMAGE).hexdigest()
SHA512 = hashlib.sha512(IMAGE).hexdigest()
DISK = "/disk.raw"
SUMS = f"{DISK}.sha256"
HTML = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>"
RIGHT = None
N = len(IMAGE)


def meets(chain: Chain, said: str | None) -> None:
    """A build that meets the behaviour: right, or an error that matches ``said``."""
    if said is RIGHT:
        chain.build()
        chain.is_right(IMAGE)
        return
    with pytest.raises(OvError) as caught:
        chain.build()
    error = caught.value
    assert re.search(said, error.message), error.message
    assert error.hint and error.exit_code in {EXIT_FAILED, EXIT_INPUT}
    assert "\x1b" not in str(error) and len(str(error)) < 6000
    assert chain.store.entries() == [], "nothing unverified has a name"


def recovers(stage: Stage, chain: Chain) -> None:
    stage.part = None
    chain.build()
    chain.is_right(IMAGE)


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> str:
    return "\r\n".join([status, *lines, "", ""])


def body(*lines: str, data: bytes = IMAGE, status: str = "HTTP/1.1 200 OK") -> Part:
    """These header lines and no others, then the data."""
    return lambda asked: asked.say(head(*lines, status=status), data)


def answers(data: bytes = IMAGE, *headers: str, status: str = "200 OK", length: int | None = None) -> Part:
    return lambda asked: asked.answer(data, *headers, status=status, length=length)


def chunked(*chunks: bytes | str, more: str = "") -> Part:
    raw = [chunk.encode() if isinstance(chunk, str) else b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return lambda asked: asked.say(head("Transfer-Encoding: chunked", *([more] if more else [])), *raw)


def redirects(to: str | bytes, status: str = "302 Found") -> Part:
    line = to.encode() if isinstance(to, str) else to
    rest = "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"  # else the next hop may use the ending connection
    return lambda asked: asked.say(f"HTTP/1.1 {status}\r\nLocation: ", line, rest)


def to_itself(asked: Asked) -> None:
    asked.answer(b"", f"Location: {asked.path}", status="302 Found")


def onwards(asked: Asked) -> None:
    asked.answer(b"", f"Location: {asked.path}x", status="302 Found")


def breaks(asked: Asked) -> None:
    asked.say(head(f"Content-Length: {N}"), IMAGE[:9000])
    asked.reset()
    asked.conn.close()


def drips(asked: Asked) -> None:
    asked.say(head(f"Content-Length: {N}"))
    for byte in IMAGE[:30]:
        asked.say(bytes([byte]))
        time.sleep(0.1)


def drips_headers(asked: Asked) -> None:
    for byte in head(f"Content-Length: {N}", *(f"X-{n}: y" for n in range(9))).encode()[:30]:
        asked.say(bytes([byte]))
        time.sleep(0.1)


def is_silent(asked: Asked) -> None:
    time.sleep(1.1)


def stalls(asked: Asked) -> None:
    asked.say(head(f"Content-Length: {N}"), IMAGE[:9000])
    time.sleep(1.1)


BROKEN = r"connection (failed|broke)|is invalid|contradict|of \d+ bytes"
DIGEST = "wrong digest"
LINE = f"{SHA256}  disk.raw\n"
NONE = "no checksum found"
