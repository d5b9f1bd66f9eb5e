"""Rules of images that are named instead of located, and of keyrings that are fetched."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.project.official import near_official, official_image
from ovtasks.values.urls import is_web


def official_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """The list of official images has the name, for this machine's architecture."""
    name = vm.text("source", "official")
    if vm.text("source", "kind") != "cloud_image" or name is None:
        return
    row = official_image(name)
    if row is None:
        message = f"'{name}' is not in the list of official images"
        yield vm.error(message, "source", "official", hint=near_official(name))
    elif platform.machine() not in row.arches:
        message = f"{row.title} has no image for {platform.machine()}, only for {', '.join(row.arches)}"
        yield vm.error(message, "source", "official", hint="name another image: ov images")


def keyring_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """A keyring from the web says nothing by itself: the entry says whose keys they must be."""
    at = ("source", "checksum")
    keyring, wanted = vm.text(*at, "keyring"), vm.list(*at, "fingerprints")
    if keyring and is_web(keyring) and not wanted:
        hint = "fingerprints: [the key's fingerprint, from the distribution's own page]"
        yield vm.error("checksum.keyring is a URL, and checksum.fingerprints is missing", *at, "keyring", hint=hint)
    if wanted and not keyring and vm.text(*at, "type") != "none":
        hint = "keyring: a file of keys, or the URL of one"
        yield vm.error("checksum.fingerprints needs checksum.keyring", *at, "fingerprints", key=True, hint=hint)
