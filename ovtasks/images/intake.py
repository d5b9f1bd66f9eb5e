"""Writes, hashes and unpacks the bytes of an image while they arrive, in one pass."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ovtasks.host.files import open_own
from ovtasks.host.progress import Progress
from ovtasks.images.unpack import MAGIC_LENGTH, Unpacker, detect

CHUNK = 512 << 10  # bytes
_RING = 6  # chunks
_ALIGNMENT = 4096  # of memory, offset and length; enough for O_DIRECT on any disk
_BLOCK = 64 << 10
_ZEROS = bytes(_BLOCK)
_NOTHING = memoryview(bytes(8 * CHUNK))
_WRITE_BACK = 32 << 20

Bytes: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests and sizes of what an :class:`Intake` took; see :class:`ovtasks.images.provenance.Fetched`."""

    size: int
    sha256: str
    sha512: str | None
    compression: str | None
    content_sha256: str
    content_size: int
    content_sha512: str | None = None


class SparseWriter:
    """Writes a new file from its start. Blocks of zeros become holes."""

    def __init__(self, path: Path, *, keep: int = 0, direct: bool = False) -> None:
        """``keep``: the number of bytes at the start that are already right.

        ``direct``: bypass the page cache where offset and length allow it; the data must be page-aligned. This saves a
        copy and, for a large image and fragmented memory, most of the system time.
        """
        self._fd = open_own(path)
        self._direct = _open_direct(path) if direct else None
        self.offset = self._handed_over = keep
        os.ftruncate(self._fd, keep)

    def write(self, data: Bytes) -> None:
        """Append. A hole at the end appears with :meth:`finish` only, so the file never claims bytes not received."""
        start = 0
        for block in range(0, len(data), _BLOCK):
            if data[block] == 0 and (part := bytes(data[block : block + _BLOCK])) == _ZEROS[: len(part)]:
                self._put(data, start, block)
                start = block + len(part)
        self._put(data, start, len(data))
        self.offset += len(data)
        if self.offset - self._handed_over >= _WRITE_BACK:
            # Let the kernel write now, beside the download, so that little is left for the fsync at the end.
            os.posix_fadvise(self._fd, self._handed_over, self.offset - self._handed_over, os.POSIX_FADV_DONTNEED)
            self._handed_over = self.offset

    def skip(self, length: int) -> None:
        """Append zeros: a hole."""
        self.offset += length

    def _put(self, data: Bytes, start: int, end: int) -> None:
        view = memoryview(data)[start:end]
        at = self.offset + start
        while view:
            written = self._pwrite(view, at)
            at += written
            view = view[written:]

    def _pwrite(self, view: memoryview, at: int) -> int:
        if self._direct is not None and at % _ALIGNMENT == 0 and len(view) >= _ALIGNMENT:
            try:
                return os.pwrite(self._direct, view[: len(view) // _ALIGNMENT * _ALIGNMENT], at)
            except OSError as e:
                if e.errno != errno.EINVAL:
                    raise
                os.close(self._direct)
                self._direct = None
        return os.pwrite(self._fd, view, at)

    def finish(self) -> None:
        """Give the file its full length, durably."""
        os.ftruncate(self._fd, self.offset)
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file, whatever its state."""
        os.close(self._fd)
        if self._direct is not None:
            os.close(self._direct)


def _open_direct(path: Path) -> int | None:
    """Open the file for direct I/O; None if the file system cannot do that."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECT)
    except OSError:
        return None


class Intake:
    """Takes a download's bytes in order into ``part``, hashes them, and unpacks them into ``raw_part`` if compressed.

    Without ``unpack`` compressed bytes stay as they are.

    Writing, hashing and unpacking run in threads beside the network (all of them release the GIL).
    """

    def __init__(self, part: Path, raw_part: Path, *, sha512: bool, unpack: bool = True) -> None:
        self._unpack = unpack
        self.part = part
        self.raw_part = raw_part
        self.resumed = False  # whether some bytes come from an earlier answer
        self._with_sha512 = sha512
        self._ring = [mmap.mmap(-1, CHUNK) for _ in range(_RING)]  # page-aligned, and faulted in only once
        self._writer: SparseWriter | None = None
        self._start(keep=0, truncate=False)

    def _start(self, *, keep: int, truncate: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._sha512 = hashlib.sha512() if self._with_sha512 else None
        self._content = hashlib.sha256()
        self._content512 = hashlib.sha512() if self._with_sha512 else None
        self._workers: list[tuple[ThreadPoolExecutor, Callable[[Bytes], object]]] = []
        self._slot = 0
        self._busy: list[list[Future[object]]] = [[] for _ in range(_RING)]
        self._head = b""
        self._seen = 0
        self._compression: str | None = None
        self._unpacker: Unpacker | None = None
        self._raw: SparseWriter | None = None
        self._started = False
        self._writer = SparseWriter(self.part, keep=keep, direct=True) if truncate else None
        self._writing = ThreadPoolExecutor(1) if truncate else None

    @property
    def offset(self) -> int:
        """How many bytes have been taken."""
        return self._seen + len(self._head)

    def restart(self) -> None:
        """Forget everything; the next byte is the first one."""
        self.resumed = False
        self.close()
        self.raw_part.unlink(missing_ok=True)
        self._start(keep=0, truncate=True)

    def resume(self, progress: Progress, total: int | None) -> None:
        """Read what an earlier run left in ``part``; the next byte continues there."""
        size = self.part.stat().st_size
        self.resumed = True
        self._start(keep=size, truncate=True)
        with self.part.open("rb", buffering=0) as file:
            while count := file.readinto(buffer := self.buffer()):
                self._take(buffer[:count], write=False)
                progress.update(self.offset, total)

    def buffer(self) -> memoryview:
        """Memory for the next chunk. Waits until the threads are done with its old content.

        :raises OSError: the disk refused an earlier chunk. :raises UnpackError: an earlier chunk is damaged.
        """
        self._slot = (self._slot + 1) % _RING
        self._settle(self._busy[self._slot])
        return memoryview(self._ring[self._slot])

    def feed(self, chunk: memoryview) -> None:
        """Take the filled part of the last :meth:`buffer`.

        :raises OSError: the disk refuses. :raises UnpackError: the compressed data is damaged.
        """
        self._take(chunk, write=True)

    def feed_hole(self, length: int) -> None:
        """Take ``length`` bytes of zeros, without reading or writing them."""
        while length:
            self.buffer()  # keep no more than one ring in flight
            piece = _NOTHING[:length]
            assert self._writer is not None and self._writing is not None, "restart() first"
            self._busy[self._slot].append(self._writing.submit(self._writer.skip, len(piece)))
            self._take(piece, write=False)
            length -= len(piece)

    @staticmethod
    def _settle(futures: list[Future[object]]) -> None:
        while futures:
            futures.pop(0).result()

    def _hire(self, eat: Callable[[Bytes], object]) -> None:
        """Start a thread that eats all chunks in order."""
        self._workers.append((ThreadPoolExecutor(1), eat))

    def _hand_out(self, chunk: Bytes) -> None:
        self._seen += len(chunk)
        self._busy[self._slot] += [thread.submit(eat, chunk) for thread, eat in self._workers]

    def _take(self, chunk: memoryview, *, write: bool) -> None:
        if write:
            assert self._writer is not None and self._writing is not None, "restart() or resume() first"
            self._busy[self._slot].append(self._writing.submit(self._writer.write, chunk))
        if not self._started:
            self._head += bytes(chunk)
            if len(self._head) >= MAGIC_LENGTH:
                self._hand_out(self._begin())
            return
        self._hand_out(chunk)

    def _begin(self) -> bytes:
        """The first bytes have arrived: decide which threads work on them."""
        head, self._head, self._started = self._head, b"", True
        self._hire(self._sha256.update)
        if self._sha512 is not None:
            self._hire(self._sha512.update)
        self._compression = detect(head) if self._unpack else None
        if self._compression is not None:
            self._raw = SparseWriter(self.raw_part)
            self._unpacker = Unpacker(self._compression, self._unpacked)
            self._hire(self._unpacker.feed)
        return head

    def _unpacked(self, piece: bytes) -> None:
        assert self._raw is not None
        self._content.update(piece)
        if self._content512 is not None:
            self._content512.update(piece)
        self._raw.write(piece)

    def finish(self) -> Digests:
        """Everything has arrived: wait for the threads, and make the bytes durable.

        :raises OSError: the disk refuses. :raises UnpackError: the compressed data is damaged or cut off.
        """
        if not self._started:
            self._hand_out(self._begin())
        for futures in self._busy[self._slot + 1 :] + self._busy[: self._slot + 1]:
            self._settle(futures)
        if self._unpacker is not None:
            self._unpacker.finish()
        for writer in (self._writer, self._raw):
            if writer is not None:
                writer.finish()
        sha256 = self._sha256.hexdigest()
        packed = self._unpacker is not None
        return Digests(
            size=self._seen,
            sha256=sha256,
            sha512=self._sha512.hexdigest() if self._sha512 is not None else None,
            compression=self._compression,
            content_sha256=self._content.hexdigest() if packed else sha256,
            content_size=self._unpacker.size if self._unpacker is not None else self._seen,
            content_sha512=self._content512.hexdigest() if self._content512 is not None and packed else None,
        )

    def discard(self) -> None:
        """Stop, and leave nothing behind."""
        self.close()
        self.part.unlink(missing_ok=True)
        self.raw_part.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop. ``part`` keeps what has arrived, for a resume."""
        workers, self._workers = self._workers, []
        for thread, _ in workers:
            thread.shutdown(cancel_futures=True)
        if self._writing is not None:
            self._writing.shutdown()  # keep what has arrived
        for writer in (self._writer, self._raw):
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.close()
        self._writer = self._raw = None
