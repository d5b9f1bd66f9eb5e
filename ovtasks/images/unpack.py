"""Unpacks xz, zstd, gzip and bzip2 while bytes arrive, with bounded memory. The first bytes tell the format."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from ovtasks.errors import OvError

MAGIC_LENGTH = 10  # bytes of the beginning that detect() wants to see
OUTPUT_PIECE = 1 << 20
LARGEST_CONTENT = 2 << 40  # a larger "disk" is a decompression bomb; zeros cost no space, being written as holes
_XZ_MEMORY = 1 << 30
_ZSTD_INPUT = 4 << 10  # 4 bytes of zstd may unpack to 128 KiB: small bites bound what one call returns
_SKIPPABLE = bytes(range(0x50, 0x60))
_BZIP2_BLOCK = b"1AY&SY"
_BZIP2_END = b"\x17rE8P\x90"


class UnpackError(OvError):
    """The compressed data is damaged, cut off or implausible."""


class _Stream(Protocol):
    """One compressed stream from its magic to its end."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def pieces(self, data: bytes) -> Iterator[bytes]: ...


def detect(head: bytes) -> str | None:
    """``xz``, ``zst``, ``gz`` or ``bz2``, by the magic number at a file's beginning; None if it is not compressed."""
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[0:1] in _SKIPPABLE and head[1:4] == b"\x2a\x4d\x18"):
        return "zst"  # RFC 8878 §3.1.1, §3.1.2: parallel and seekable zstd begin or end with a skippable frame
    if head.startswith(b"\x1f\x8b\x08"):  # RFC 1952 §2.3: deflate is the only method
        return "gz"
    if head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in {_BZIP2_BLOCK, _BZIP2_END}:
        return "bz2"
    return None


class Unpacker:
    """Feed compressed bytes with :meth:`feed`, and end with :meth:`finish`. ``write`` gets the content in bounded
    pieces.

    Concatenated streams are one content, as for xz, gzip and zstd themselves. Null padding may follow a stream.
    """

    def __init__(self, compression: str, write: Callable[[bytes], None]) -> None:
        self.compression = compression
        self.size = 0
        self._write = write
        self._stream: _Stream | None = None
        self._pending = b""

    def feed(self, chunk: bytes | memoryview) -> None:
        """Unpack a chunk.

        :raises UnpackError: the data is damaged, or garbage follows a stream.
        """
        data = self._pending + bytes(chunk)
        self._pending = b""
        while data:
            if self._stream is None:
                if self.size:  # between two streams
                    data = data.lstrip(b"\0")
                if len(data) < MAGIC_LENGTH:
                    self._pending = data
                    return
                if detect(data) != self.compression:
                    raise UnpackError(f"there is extra data after the end of the {self.compression} data")
                self._stream = _STREAMS[self.compression]()
            data = self._advance(self._stream, data)

    def finish(self) -> None:
        """Unpack the rest.

        :raises UnpackError: the data ended too early.
        """
        if self._stream is not None or self._pending.strip(b"\0"):
            raise UnpackError(
                f"the {self.compression} data is cut off after {self.size} unpacked bytes",
                hint="the file is incomplete on the server; try again later or use another mirror",
            )

    def _advance(self, stream: _Stream, data: bytes) -> bytes:
        try:
            for piece in stream.pieces(data):
                self.size += len(piece)
                if self.size > LARGEST_CONTENT:
                    raise UnpackError(f"unpacks to more than {LARGEST_CONTENT >> 40} TiB: this is not a disk image")
                self._write(piece)
        except _damage() as e:
            raise UnpackError(f"the {self.compression} data is damaged after {self.size} unpacked bytes: {e}") from e
        except OSError as e:
            if e.errno is not None:  # an error of writing; bz2 reports damage as an OSError without a number
                raise
            raise UnpackError(f"the bz2 data is damaged after {self.size} unpacked bytes: {e}") from e
        if not stream.eof:
            return b""
        self._stream = None
        return stream.unused_data


class _Bounded:
    """A stream of xz or bzip2. If its output is limited, the decompressor keeps the rest of the input."""

    def __init__(self, decompressor: lzma.LZMADecompressor | bz2.BZ2Decompressor) -> None:
        self._inner = decompressor

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        piece = self._inner.decompress(data, OUTPUT_PIECE)
        yield piece
        while not self._inner.eof and not self._inner.needs_input:
            yield self._inner.decompress(b"", OUTPUT_PIECE)


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data and not self._inner.eof:
            yield self._inner.decompress(data, OUTPUT_PIECE)
            data = self._inner.unconsumed_tail


class _Zstd:
    def __init__(self) -> None:
        import zstandard

        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._rest = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._rest

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_INPUT):
            yield self._inner.decompress(data[start : start + _ZSTD_INPUT])
            if self._inner.eof:
                self._rest = data[start + _ZSTD_INPUT :]
                return


def _damage() -> tuple[type[Exception], ...]:
    """What the libraries raise on bad data; bz2 raises a plain OSError."""
    import zstandard

    return (lzma.LZMAError, zlib.error, zstandard.ZstdError)


_STREAMS: dict[str, Callable[[], _Stream]] = {
    "xz": lambda: _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
    "bz2": lambda: _Bounded(bz2.BZ2Decompressor()),
    "gz": _Gzip,
    "zst": _Zstd,
}
