"""Transports: how a container image is read, in bootc's words and in podman's.

Format: containers-transports(5). ``registry`` is a word of bootc only; podman knows ``docker://`` or the plain name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.project.expand import expand_path
from ovtasks.values.jsonvalue import Json

FILES = {"oci": "index.json", "oci-archive": "", "docker-archive": "", "dir": "manifest.json"}
"""Transports that are files; for a folder, the file in it that names all the others by digest."""
TRANSPORTS = ("registry", "containers-storage", *FILES)
TAGGED = frozenset({"oci", "oci-archive", "docker-archive"})


@dataclass(frozen=True)
class Archive:
    """An image in files. ``tag`` picks one of several in an archive."""

    transport: str
    path: Path
    tag: str | None = None

    @property
    def reference(self) -> str:
        """The reference that podman takes."""
        return self.at(str(self.path))

    def at(self, path: str) -> str:
        """The reference that podman takes, with the files at ``path``."""
        return f"{self.transport}:{path}" + (f":{self.tag}" if self.tag else "")

    @property
    def index_file(self) -> Path:
        """The file that changes when the image changes."""
        return self.path / FILES[self.transport] if FILES[self.transport] else self.path

    def signature(self) -> Json:
        """The content of the file that names all others; None if it is missing."""
        try:
            return "sha256:" + hashlib.sha256(self.index_file.read_bytes()).hexdigest()
        except OSError:
            return None


def archive(transport: str, image: str, base: Path, where: Where) -> Archive:
    """The files that ``image`` names; a relative path starts at ``base``.

    :raises InputError: the path does not exist, or is not the folder that the transport needs.
    """
    candidates: list[tuple[str, str | None]] = [(image, None)]
    if transport in TAGGED and ":" in image:
        path, _, tag = image.rpartition(":")
        candidates.append((path, tag))
    for text, name in candidates:
        found = Archive(transport, expand_path(text, base), name)
        if found.index_file.is_file():
            return found
    first = expand_path(image, base)
    kind = "folder" if FILES[transport] else "file"
    hint = f"transport {transport} takes a {kind}" + (f" with {FILES[transport]}" if FILES[transport] else "")
    problem = f"is not a valid {transport} image" if first.exists() else "is not there"
    raise InputError(f"source.image: {first} {problem}", hint=f"{hint}; podman save makes one", where=where)
