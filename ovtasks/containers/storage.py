"""Where podman keeps images, read from its own files: starting podman takes longer than a whole no-op.

Format: ``<graph root>/<driver>-images/images.json`` of containers/storage, a list of ``{id, digest, names, …}``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine, Mode
from ovtasks.containers.environment import VARIABLES
from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.run import CommandError
from ovtasks.host.state import try_load_state
from ovtasks.values.jsonvalue import parse, state_text

SECONDS = 120.0


@dataclass(frozen=True)
class Storage:
    """The images of one podman. ``graph_root`` is its folder, ``driver`` how layers are kept there."""

    engine: Engine
    graph_root: Path
    driver: str

    @property
    def index(self) -> Path:
        """The file whose change tells that an image came, went or got another name."""
        return self.graph_root / f"{self.driver}-images" / "images.json"

    def image_id(self, reference: str) -> str | None:
        """The ID (64 hexadecimal digits) of the image called ``reference``, None: it is not here.

        One that the files do not show may be in an additional store: podman is asked.
        """
        here = self.engine.mode is not Mode.MACHINE  # else a file of that name is another podman's
        if here and (found := find(_images(self.index), reference)) is not None:
            return found
        done = self.engine.run("image", "inspect", "--format", "{{.Id}}", reference, check=False, timeout=SECONDS)
        return done.stdout.strip().removeprefix("sha256:") or None if done.returncode == 0 else None

    def container_records(self) -> Iterator[Path]:
        """What builders note of the containers that they work in."""
        yield from self.graph_root.glob(f"{self.driver}-containers/*/userdata/buildah.json")


def storage(engine: Engine, state: Path) -> Storage:
    """The storage of ``engine``; where it is, is asked once and remembered in the folder ``state``.

    :raises OvError: podman cannot say.
    """
    memory = state / "containers.json"
    key = json.dumps([engine.words, os.geteuid(), [os.environ.get(name) for name in VARIABLES], _configured()])
    known = _remembered(memory)
    place = known.get(key)
    if place is None or not Path(place[0]).is_dir():
        place = _ask(engine)
        write_atomic(memory, state_text({**known, key: place}), mode=0o600)
    return Storage(engine, Path(place[0]), place[1])


def configuration() -> tuple[Path, ...]:
    """The files that may say where images are kept; they need not exist. containers-storage.conf(5)."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    named = os.environ.get("CONTAINERS_STORAGE_CONF")
    usual = (Path("/usr/share/containers/storage.conf"), Path("/etc/containers/storage.conf"))
    return (*([Path(named)] if named else []), *usual, home / "containers" / "storage.conf")


def _configured() -> list[tuple[str, int, int]]:
    found = []
    for path in configuration():
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return found


def _remembered(memory: Path) -> dict[str, list[str]]:
    known = try_load_state(memory, private=True) or {}
    return {key: list(map(str, place)) for key, place in known.items() if isinstance(place, list) and len(place) == 2}


def _ask(engine: Engine) -> list[str]:
    template = "{{.Store.GraphRoot}}\n{{.Store.GraphDriverName}}"
    try:
        done = engine.run("info", "--format", template, timeout=SECONDS)
    except CommandError as e:
        raise diagnose(e) from e
    words = done.stdout.split()
    if len(words) != 2:
        raise OvError(f"{engine.command} info does not say where its images are: {done.stdout.strip()!r}")
    return words


def _images(index: Path) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    try:
        stat = index.stat()
        return _parsed(index, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError:
        return ()


@cache
def _parsed(index: Path, mtime_ns: int, size: int, inode: int) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    try:
        entries = parse(index.read_bytes())
    except ValueError:
        return ()
    return tuple(
        (str(entry["id"]), str(entry.get("digest", "")), tuple(entry.get("names") or ()))
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and "id" in entry
    )


def find(images: tuple[tuple[str, str, tuple[str, ...]], ...], reference: str) -> str | None:
    """The ID of the image that ``reference`` names: an ID, ``name@digest``, or a name, ``:latest`` and the registry of
    local images added where they are left out."""
    plain = reference.removeprefix("sha256:")
    for known, _, _ in images:
        if len(plain) >= 12 and known.startswith(plain):
            return known
    name, at, digest = reference.partition("@")
    if at:
        stems = _candidates(name)
        for known, own, held in images:
            if any(
                re.split(r"@|:(?!.*/)", full)[0] in stems and (own == digest or full.endswith(at + digest))
                for full in held
            ):
                return known
        return None
    tagged = reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
    for candidate in _candidates(tagged):
        for known, _, held in images:
            if candidate in held:
                return known
    return None


def _candidates(name: str) -> tuple[str, ...]:
    """``name`` as the storage may have it: local images are ``localhost/…``; a first part without a dot is no host."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (name,)
    return (f"localhost/{name}", f"docker.io/{name}" if slash else f"docker.io/library/{name}")
