"""Reads podman's own files to find its images: starting podman takes longer than a whole no-op.

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
    """The storage of one podman. ``graph_root`` is its folder; ``driver`` is how it keeps layers."""

    engine: Engine
    graph_root: Path
    driver: str

    @property
    def index(self) -> Path:
        """The file that changes when an image is added, removed or renamed."""
        return self.graph_root / f"{self.driver}-images" / "images.json"

    def image_id(self, reference: str) -> str | None:
        """The ID (64 hexadecimal digits) of the image called ``reference``; None if it is not here.

        If the files do not show it, podman is asked: the image may be in an additional store.
        """
        here = self.engine.mode is not Mode.MACHINE  # in a machine, a file of that name belongs to another podman
        if here and (found := find(_images(self.index), reference)) is not None:
            return found
        done = self.engine.run("image", "inspect", "--format", "{{.Id}}", reference, check=False, timeout=SECONDS)
        return done.stdout.strip().removeprefix("sha256:") or None if done.returncode == 0 else None

    def container_records(self) -> Iterator[Path]:
        """The records that builders keep about their working containers."""
        yield from self.graph_root.glob(f"{self.driver}-containers/*/userdata/buildah.json")


def storage(engine: Engine, state: Path) -> Storage:
    """The storage of ``engine``. podman is asked once where it is; the folder ``state`` remembers the answer.

    :raises OvError: podman cannot answer.
    """
    memo = state / "containers.json"
    key = json.dumps([engine.words, os.geteuid(), [os.environ.get(name) for name in VARIABLES], _configured()])
    known = _remembered(memo)
    place = known.get(key)
    if place is None or not Path(place[0]).is_dir():
        place = _ask(engine)
        write_atomic(memo, state_text({**known, key: place}), mode=0o600)
    return Storage(engine, Path(place[0]), place[1])


def configuration() -> tuple[Path, ...]:
    """The files that may say where images are kept, see containers-storage.conf(5). They need not exist."""
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


def _remembered(memo: Path) -> dict[str, list[str]]:
    known = try_load_state(memo, private=True) or {}
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
    """The ID of the image that ``reference`` names: an ID, ``name@digest``, or a name.

    A name without a tag means ``:latest``, one without a registry a local image.
    """
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
    """The forms of ``name`` in the storage: local images are ``localhost/…``; a host name contains a dot."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (name,)
    return (f"localhost/{name}", f"docker.io/{name}" if slash else f"docker.io/library/{name}")
