"""Archives of layers: repacked on this machine into a plain tar that every guest can read, with checked names."""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from ovtasks.errors import OvError
from ovtasks.images.unpack import Unpacker

PACKED = {"gz": "gz", "xz": "xz", "zst": "zst"}
"""One file, compressed."""
TARS = {"tar": "", "tar.gz": "gz", "tgz": "gz", "tar.bz2": "bz2", "tar.xz": "xz", "tar.zst": "zst"}
_CHUNK = 1 << 20
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, ValueError, RuntimeError),  # the last one: a zip with a password, or packed in a way that nobody knows
)


@dataclass(frozen=True)
class Member:
    """A file (``sha256`` of its content) or a symbolic link (``target``) of an archive; ``path`` is relative."""

    path: str
    executable: bool = False
    sha256: str = ""
    target: str = ""


@dataclass(frozen=True)
class Selection:
    """Which members, and how many leading folders are cut off their paths. ``mode`` is every file's; None: 0755 for
    what is executable, else 0644."""

    include: Sequence[str] = ()
    strip: int = 0
    mode: int | None = None


def kind_of(name: str) -> str:
    """How a file of this name is packed: a word of ``extract``."""
    kinds = ("tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst", "tar", "zip", "gz", "xz", "zst")
    return next((kind for kind in kinds if name.lower().endswith(f".{kind}")), "none")


def unpack_one(source: Path, how: str, target: Path) -> None:
    """Decompress a single file.

    :raises OvError: it is damaged. :raises OSError: the disk refuses.
    """
    with source.open("rb") as file, target.open("wb") as out:

        def write(piece: bytes) -> None:
            out.write(piece)

        unpacker = Unpacker(PACKED[how], write)
        while data := file.read(_CHUNK):
            unpacker.feed(data)
        unpacker.finish()


def repack(source: Path, how: str, wanted: Selection, target: Path) -> list[Member]:
    """Write the wanted members to ``target``, a tar without folders; returns them by path, each once.

    :raises OvError: it is damaged, a name leads out of it, nothing is wanted. :raises OSError: the disk refuses.
    """
    import zstandard

    found: dict[str, Member] = {}
    seen: list[str] = []
    try:
        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as out:
            for info, content in _members(source, how):
                seen.append(info.name)
                path = _path(info.name, wanted)
                if path is not None:
                    found[path] = _add(out, path, info, content, wanted, found)
    except (*_DAMAGED, zstandard.ZstdError) as e:
        hint = "is it whole, and packed as extract says?"
        raise OvError(f"the archive is damaged, or cannot be read here: {e}", hint=hint) from e
    links = {path for path, member in found.items() if member.target}
    for path in found:
        parents = Path(path).parents
        if any(str(parent) in links for parent in parents):
            hint = "do not use this archive, or leave the link out by include"
            raise OvError(f"the archive has {path!r} below a link, which could lead anywhere", hint=hint)
    if not found:
        some = ", ".join(seen[:5])
        raise OvError("the archive has nothing of what is wanted", hint=f"it has {some}{' …' if seen[5:] else ''}")
    return [found[path] for path in sorted(found)]


def _path(name: str, wanted: Selection) -> str | None:
    """Where a member goes; None: it is not wanted.

    :raises OvError: it leads out of the archive.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or not name.isprintable():
        raise OvError(f"the archive has {name!r}, which leads out of its folder", hint="do not use this archive")
    whole, rest = "/".join(parts), "/".join(parts[wanted.strip :])
    if not rest:
        return None
    if not wanted.include:
        return rest
    for pattern in wanted.include:
        pattern = pattern.removeprefix("./").rstrip("/")
        for one in (whole, rest, parts[-1]):
            if fnmatchcase(one, pattern) or one.startswith(f"{pattern}/"):
                return rest
    return None


def _add(
    out: tarfile.TarFile,
    path: str,
    info: tarfile.TarInfo,
    content: IO[bytes] | None,
    wanted: Selection,
    found: dict[str, Member],
) -> Member:
    new = tarfile.TarInfo(path)
    new.mtime, new.type, new.size = info.mtime, info.type, info.size
    new.mode = wanted.mode if wanted.mode is not None else 0o755 if info.mode & 0o111 else 0o644
    executable = bool(new.mode & 0o111)
    if info.issym():
        new.linkname = info.linkname
        out.addfile(new)
        return Member(path, target=info.linkname)
    if info.islnk():
        first = _path(info.linkname, Selection(strip=wanted.strip)) or ""
        if first not in found:
            hint = f"add {info.linkname} to include"
            raise OvError(f"the archive's {path} is the same file as {info.linkname}, which is not wanted", hint=hint)
        new.linkname, new.size = first, 0
        out.addfile(new)
        return Member(path, found[first].executable, found[first].sha256)
    assert content is not None
    hashing = _Hashing(content)
    out.addfile(new, hashing)
    return Member(path, executable, hashing.sha256.hexdigest())


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.sha256.update(data)
        return data


def _members(source: Path, how: str) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Files and links of an archive, in order; each is read before the next one is asked for."""
    if how == "zip":
        yield from _zipped(source)
        return
    with contextlib.ExitStack() as opened:
        if TARS[how] == "zst":
            import zstandard

            raw = opened.enter_context(source.open("rb"))
            stream = opened.enter_context(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
            tar = opened.enter_context(tarfile.open(fileobj=stream, mode="r|"))
        else:
            file = opened.enter_context(source.open("rb"))
            tar = opened.enter_context(_open_tar(file, TARS[how]))
        for info in tar:
            if info.isfile():
                yield info, tar.extractfile(info)
            elif info.issym() or info.islnk():
                yield info, None


def _open_tar(file: IO[bytes], compression: str) -> tarfile.TarFile:
    match compression:
        case "gz":
            return tarfile.open(fileobj=file, mode="r|gz")
        case "bz2":
            return tarfile.open(fileobj=file, mode="r|bz2")
        case "xz":
            return tarfile.open(fileobj=file, mode="r|xz")
    return tarfile.open(fileobj=file, mode="r|")


def _zipped(source: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with zipfile.ZipFile(source) as archive:
        for one in archive.infolist():
            if one.is_dir():
                continue
            info = tarfile.TarInfo(one.filename)
            mode = one.external_attr >> 16
            info.mode, info.size = mode or 0o644, one.file_size
            if mode & 0o170000 == 0o120000:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, archive.read(one).decode(), 0
                yield info, None
                continue
            with archive.open(one) as content:
                yield info, content
