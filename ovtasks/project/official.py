"""The built-in list of official images: what ``source: debian:13`` stands for.

The list is a table in ``official_images.json``, described by ``schemas/images.schema.json``. Every row says on which
day it was checked.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ovtasks.project.model import CloudImageSource

LIST = Path(__file__).with_name("official_images.json")


@dataclass(frozen=True)
class OfficialImage:
    """One row. ``url`` has a ``{word}`` for each of the words that ``arches`` gives an architecture (``uname -m``)."""

    name: str
    also: tuple[str, ...]
    title: str
    url: str
    arches: Mapping[str, Mapping[str, str]]
    row: Mapping[str, Any]

    @property
    def signed(self) -> bool:
        """Whether the distribution signs the image or its checksum file."""
        return "keyring" in self.row

    def source(self, arch: str) -> dict[str, Any]:
        """The fields of a ``cloud_image`` source for this image.

        :raises KeyError: it does not come for ``arch``.
        """
        words = self.arches[arch]
        url = self.url.format(**words)
        checksum = dict(self.row["checksum"])
        if "url" in checksum:
            checksum["url"] = checksum["url"].format(**words, file=url.rpartition("/")[2])
        if keyring := self.row.get("keyring"):
            checksum |= {"keyring": keyring["url"], "fingerprints": keyring["fingerprints"]}
        return {"url": url, "checksum": checksum, "base_user": self.row["user"], "distro": self.row["distro"]}


@cache
def official_images(path: Path = LIST) -> tuple[OfficialImage, ...]:
    """All rows, in the order of the list."""
    import json

    rows = json.loads(path.read_text(encoding="utf-8"))["images"]
    return tuple(
        OfficialImage(row["name"], tuple(row.get("also", ())), row["title"], row["url"], row["arches"], row)
        for row in rows
    )


def official_image(name: str) -> OfficialImage | None:
    """The row with this name, or with this other name; None: there is none."""
    return next((one for one in official_images(LIST) if name == one.name or name in one.also), None)


def is_named(source: CloudImageSource) -> bool:
    """Whether the name says where the image is; an entry may have a ``url`` of its own."""
    row = official_image(source.official) if source.official else None
    arch = platform.machine()
    return row is not None and arch in row.arches and row.source(arch)["url"] == source.url


@cache
def _servers(path: Path) -> frozenset[str]:
    """The hosts that the list names: for images and for keys."""
    rows = official_images(path)
    urls = [one.url for one in rows] + [one.row["keyring"]["url"] for one in rows if one.signed]
    return frozenset(urlsplit(url).netloc for url in urls)


def at_mirror(url: str, mirror: str) -> str:
    """Where a mirror has ``url``, below the name of its host; a URL of another host than the list's stays."""
    host, slash, path = url.partition("://")[2].partition("/")
    return f"{mirror.rstrip('/')}/{host}{slash}{path}" if host in _servers(LIST) else url


def near_official(name: str) -> str:
    """A hint for a name that the list does not have."""
    from ovtasks.values.words import close_to, meant

    rows = official_images(LIST)
    names = [one.name for one in rows] + [known for one in rows for known in one.also]
    distro = [one.name for one in rows if one.name.partition(":")[0] == name.partition(":")[0]]
    guesses = distro or close_to(name.lower(), names)
    if not guesses:
        return "ov images lists them; for any other image write source: {kind: cloud_image, url: …}"
    return f"{meant(guesses[:3])} ov images lists all"


def written_out(vm: Any) -> Any:
    """A VM's mapping in which ``source: debian:13`` is written out as a mapping."""
    from ovtasks.project.schema import KINDS

    source = vm.get("source") if isinstance(vm, dict) else None
    if not isinstance(source, str) or source in KINDS:  # a kind alone says too little: the schema's error
        return vm
    return {**vm, "source": {"kind": "cloud_image", "official": source}}


def with_official(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """A ``cloud_image`` source's mapping with the fields of the row that it names; what it says itself wins.

    A name that the list does not have leaves it as it is: the rules have said so.
    """
    name = source.get("official")
    row = official_image(name) if isinstance(name, str) else None
    if row is None or platform.machine() not in row.arches:
        return source
    return {**row.source(platform.machine()), **source}
