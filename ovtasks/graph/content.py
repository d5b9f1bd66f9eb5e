"""Digests of file content. Every copy of a file has the same digest, whatever copied it.

There are three forms, told apart by their prefix:

* ``sha256:<hex>``, as ``sha256sum`` prints it: for small files, and for what was hashed while it was downloaded.
* ``blocks-sha256:<hex>`` for large files such as disks: sha256 over a head (form, block size, file size) and, for each
  block that is not all zeros, its number and its sha256. Zeros count like a hole, so a sparse copy, a hole that ``tar``
  or ``rsync`` filled, and zeros that were punched out have the same digest. Holes cost nothing.
* ``secret:scrypt:<hex>:<salt>`` for files that hold secrets: sha256, made slow to guess (:mod:`ovtasks.values.hidden`).

Why sha256: with the processor's SHA instructions it is the fastest hash that Python has (on an EPYC, GB/s per core:
sha256 1.8, blake2b 0.9, sha512 0.9, sha3 0.5), and it lets other threads run. Blocks of 256 KiB from the page cache
cost little more (1.6 GB/s per core; 64 KiB to 4 MiB make no difference), and allow to use all cores.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ovtasks.host.files import extents
from ovtasks.host.patience import waiting_for
from ovtasks.host.progress import Progress, SilentProgress
from ovtasks.values.hidden import SEALED, is_sealed, slow_digest

SMALL = 64 << 20
"""Files up to this many bytes get a plain sha256."""
BLOCK = 256 << 10
"""Bytes of one block. The digest depends on it: never change it under the same prefix."""
BATCH = 128
"""How many blocks a thread hashes at a time."""
WORKERS = 4
BLOCKS, PLAIN = "blocks-sha256", "sha256"

_seen: dict[tuple[str | int, ...], str] = {}
"""What this process has found out, so that a run reads each file once."""


def digest_of(path: Path, progress: Progress | None = None) -> str:
    """The digest of ``path``, in the form for its size.

    :raises OSError: the file cannot be read, or becomes shorter meanwhile.
    """
    return _digest(path, PLAIN if path.stat().st_size <= SMALL else BLOCKS, progress)


def secret_digest_of(path: Path, salt: str) -> str:
    """The digest of a file that holds secrets; equal for equal content and salt.

    :raises OSError: the file cannot be read.
    """
    return f"{slow_digest(sha256_of(path), salt)}:{salt}"


def has_digest(path: Path, digest: str, progress: Progress | None = None) -> bool:
    """Whether the content of ``path`` has ``digest``, in any form.

    :raises OSError: the file cannot be read.
    """
    if is_sealed(digest):
        return secret_digest_of(path, digest.removeprefix(SEALED).partition(":")[2]) == digest
    form = digest.partition(":")[0]
    return form in {PLAIN, BLOCKS} and _digest(path, form, progress) == digest


def _digest(path: Path, form: str, progress: Progress | None) -> str:
    now = path.stat()
    key = (form, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    if key not in _seen:
        with waiting_for(f"{path} to be read"):
            _seen[key] = sha256_of(path) if form == PLAIN else blocks_digest(path, progress)
    return _seen[key]


def sha256_of(path: Path) -> str:
    """``sha256:<hex>`` of a file's content."""
    with path.open("rb") as file:
        return f"{PLAIN}:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def blocks_digest(path: Path, progress: Progress | None = None) -> str:
    """``blocks-sha256:<hex>`` of a file's content.

    :raises OSError: the file cannot be read, or becomes shorter meanwhile.
    """
    progress = progress or SilentProgress()
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        whole = hashlib.sha256(f"{BLOCKS} {BLOCK} {size}\n".encode())
        for last, digests in _in_order(file.fileno(), size):
            whole.update(digests)
            progress.update(min((last + 1) * BLOCK, size), size)
    return f"{BLOCKS}:{whole.hexdigest()}"


def _blocks(fd: int, size: int) -> Iterator[int]:
    """The numbers of the blocks that hold data, in order, each once."""
    after = 0
    for start, end in extents(fd, size):
        first, after = max(start // BLOCK, after), -(-end // BLOCK)
        yield from range(first, after)


def _in_order(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """For each batch of blocks its last number and the result of :func:`_hash`. Large files use several threads."""
    blocks = _blocks(fd, size)
    batches = list(iter(lambda: list(islice(blocks, BATCH)), []))
    if len(batches) < 2:
        yield from ((batch[-1], _hash(fd, size, batch)) for batch in batches)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(WORKERS, len(os.sched_getaffinity(0))))
    try:
        for batch, found in zip(batches, pool.map(lambda batch: _hash(fd, size, batch), batches), strict=True):
            yield batch[-1], found
    finally:
        pool.shutdown(cancel_futures=True)


def _hash(fd: int, size: int, blocks: list[int]) -> bytes:
    """Number (8 bytes) and sha256 of each of ``blocks`` that is not all zeros."""
    buffer, zeros = bytearray(BLOCK), bytes(BLOCK)
    found = []
    for number in blocks:
        wanted = min(BLOCK, size - number * BLOCK)
        if wanted < BLOCK:
            buffer, zeros = bytearray(wanted), bytes(wanted)
        read = 0
        while read < wanted:
            count = os.preadv(fd, [memoryview(buffer)[read:]], number * BLOCK + read)
            if count == 0:
                raise OSError(errno.EIO, "became shorter while it was read")
            read += count
        if buffer != zeros:
            found.append(number.to_bytes(8, "big") + hashlib.sha256(buffer).digest())
    return b"".join(found)
