"""Caches the checked documents of a project in one marshal file, so that a second load needs neither YAML nor schemas.

Losing or damaging the file costs a fraction of a second. VMs are stored one by one: asking for one reads one.
"""

from __future__ import annotations

import binascii
import marshal
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ovtasks import __version__
from ovtasks.host.beneath import UnsafeError
from ovtasks.host.state import StateError, read_state

MAGIC = b"ovspec5\n"
MAX_BYTES = 1 << 30
SCHEMAS = ("vms", "libvirt", "image", "layer", "deploy")
RACY_NS = 50_000_000  # a file that changed less than this ago may change again with the same mtime

Kinds = Callable[[str], Mapping[str, Any] | None]
FileStat = tuple[int, int, int, int] | None


class CacheEntry(NamedTuple):
    """A VM, image, deployment or layer: its mapping as marshal bytes, its place, and what deployments say of a VM.

    ``layers`` is what layers bring to it, ``placed`` are its placements, ``bases`` the places of the entries that it
    inherits from.
    """

    packed: bytes
    file: str
    line: int
    column: int
    layers: tuple[Any, ...] = ()
    placed: tuple[Any, ...] = ()
    bases: tuple[Any, ...] = ()

    @classmethod
    def of(
        cls,
        data: Any,
        file: str,
        line: int,
        column: int,
        layers: Iterable[tuple[Any, ...]] = (),
        placed: Iterable[tuple[Any, ...]] = (),
        bases: Iterable[tuple[Any, ...]] = (),
    ) -> CacheEntry:
        """The entry of a checked mapping."""
        more = (tuple(map(tuple, part)) for part in (layers, placed, bases))
        return cls(marshal.dumps(data), file, line, column, *more)

    def data(self) -> Any:
        """A fresh copy of the mapping."""
        return marshal.loads(self.packed)


class CacheContent(NamedTuple):
    """What the cache holds about a project."""

    files: tuple[str, ...]
    entries: Mapping[str, CacheEntry]
    images: Mapping[str, CacheEntry]
    deployments: Mapping[str, CacheEntry]
    layers: Mapping[str, CacheEntry]
    variables: tuple[str, ...]


def file_stat(path: str | Path) -> FileStat:
    """What tells versions of a file apart: mtime (ns), size, inode, ctime (ns). None if there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 — Path objects cost more than the call itself
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def _program() -> tuple[Any, ...]:
    """What the result depends on besides the project: version, interpreter, machine, and the code of a checkout."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    with os.scandir(here) as entries:
        newest = max(
            (entry.stat().st_mtime_ns for entry in entries if entry.name.endswith((".py", ".json"))), default=0
        )
    folders = [os.path.join(here, *up, "schemas") for up in (("..",), ("..", ".."))]  # noqa: PTH118
    schemas = [f"{folder}/{name}.schema.json" for folder in folders for name in SCHEMAS]
    return (__version__, sys.hexversion, os.uname().machine, newest, *(file_stat(path) for path in schemas))


def _schema_digests(kinds: Kinds | None, names: Iterable[str]) -> dict[str, str | None]:
    from ovtasks.values.jsonvalue import digest

    found = {name: kinds(name) if kinds else None for name in names}
    return {name: digest(dict(schema)) if schema is not None else None for name, schema in found.items()}


def load(store: Path, root: Path, kinds: Kinds | None) -> CacheContent | None:
    """What was saved, if it still holds; None if anything changed or the file is damaged."""
    try:
        data = read_state(store, limit=MAX_BYTES, private=True) or b""
    except (StateError, UnsafeError):
        return None
    head = len(MAGIC) + 4
    if data[: len(MAGIC)] != MAGIC or binascii.crc32(data[head:]).to_bytes(4, "big") != data[len(MAGIC) : head]:
        return None
    try:
        program, saved_root, stamps, environment, schemas, *found = marshal.loads(memoryview(data)[head:])
    except (EOFError, ValueError, TypeError):
        return None
    if program != _program() or saved_root != str(root):
        return None
    if any(file_stat(path) != before for path, before in stamps):
        return None
    if any(os.environ.get(name) != value for name, value in environment):
        return None
    if schemas and _schema_digests(kinds, schemas) != schemas:
        return None
    vms, images, deployments, layers = ({name: CacheEntry(*entry) for name, entry in group.items()} for group in found)
    files, variables = (tuple(name for name, _ in pairs) for pairs in (stamps, environment))
    return CacheContent(files, vms, images, deployments, layers, variables)


class Guard:
    """Saves the cache. It is made before files are read, so it notices a file that changes during the read."""

    def __init__(self) -> None:
        self._began = time.time_ns()

    def save(
        self,
        store: Path,
        root: Path,
        files: Mapping[Path, FileStat],
        found: Iterable[Mapping[str, CacheEntry]],
        variables: Iterable[str],
        plugin_schemas: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Write the cache, unless a file is so young that a next version could look the same. Never fails.

        ``found`` are the VMs, the images, the deployments and the layers.
        """
        from ovtasks.host.files import write_atomic
        from ovtasks.values.jsonvalue import digest

        stamps = [(str(path), before) for path, before in files.items()]
        if any(before is not None and before[0] > self._began - RACY_NS for _, before in stamps):
            return
        environment = [(name, os.environ.get(name)) for name in variables]
        schemas = {name: digest(dict(schema)) for name, schema in plugin_schemas.items()}
        plain = [{name: tuple(entry) for name, entry in group.items()} for group in found]
        payload = marshal.dumps((_program(), str(root), stamps, environment, schemas, *plain))
        crc = binascii.crc32(payload).to_bytes(4, "big")
        try:
            write_atomic(store, MAGIC + crc + payload, mode=0o600)  # it holds passwords of displays
        except (OSError, UnsafeError):
            return  # a read-only project works without a cache
