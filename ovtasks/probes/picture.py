"""Pictures as the hypervisors give them (PPM, PNG) and as they are kept (PNG). Pure."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property

from ovtasks.errors import OvError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PPM = re.compile(rb"P6(?:\s+|#[^\n]*\n)+(\d+)\s+(\d+)\s+255\s")
_CHANNELS = {2: 3, 6: 4}
"""Bytes of a pixel by PNG's colour type: red, green and blue, and these with alpha."""


@dataclass(frozen=True)
class Picture:
    """A picture. ``pixels`` are its rows from the top, ``channels`` bytes a pixel."""

    width: int
    height: int
    pixels: bytes
    channels: int = 3

    @cached_property
    def uniform(self) -> bool:
        """Whether every pixel has the same colour."""
        return self.pixels == self.pixels[: self.channels] * (self.width * self.height)

    def png(self) -> bytes:
        """The picture as PNG (RFC 2083), 8 bits a channel, no interlace."""
        stride = self.width * self.channels
        rows = b"".join(b"\0" + self.pixels[at : at + stride] for at in range(0, len(self.pixels), stride))
        colour = next(kind for kind, channels in _CHANNELS.items() if channels == self.channels)
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, colour, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
        return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def read_picture(data: bytes) -> Picture:
    """A picture from a PPM (P6) or PNG file.

    :raises OvError: ``data`` is neither, or is cut off.
    """
    try:
        return _read_png(data) if data.startswith(_SIGNATURE) else _read_ppm(data)
    except (ValueError, KeyError, IndexError, struct.error, zlib.error) as e:
        hint = "PPM (P6) and PNG of 8 bits a channel can be read"
        raise OvError(f"this is not a picture that can be read: {e}", hint=hint) from e


def _read_ppm(data: bytes) -> Picture:
    if (head := _PPM.match(data)) is None:
        raise ValueError("it does not begin as one")
    width, height = int(head[1]), int(head[2])
    pixels = data[head.end() : head.end() + width * height * 3]
    if not width or not height or len(pixels) != width * height * 3:
        raise ValueError("it is cut off")
    return Picture(width, height, pixels)


def _read_png(data: bytes) -> Picture:
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or colour not in _CHANNELS or interlaced:
        raise ValueError(f"a PNG of {depth} bits, colour type {colour}")
    at, packed = len(_SIGNATURE), b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    channels = _CHANNELS[colour]
    stride = width * channels
    raw = zlib.decompress(packed)
    if len(raw) != (stride + 1) * height:
        raise ValueError("it is cut off")
    rows, above = [], bytes(stride)
    for start in range(0, len(raw), stride + 1):
        above = _unfiltered(raw[start], raw[start + 1 : start + 1 + stride], above, channels)
        rows.append(above)
    return Picture(width, height, b"".join(rows), channels)


def _unfiltered(kind: int, row: bytes, above: bytes, channels: int) -> bytes:
    """A row without the filter that PNG's encoder chose for it (RFC 2083, 6)."""
    if kind == 0:
        return row
    done = bytearray(row)
    for n, value in enumerate(row):
        left = done[n - channels] if n >= channels else 0
        corner = above[n - channels] if n >= channels else 0
        guess = (0, left, above[n], (left + above[n]) // 2, _paeth(left, above[n], corner))[kind]
        done[n] = (value + guess) & 0xFF
    return bytes(done)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
