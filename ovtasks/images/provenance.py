"""Where an image came from, and what it was found to be: kept beside the store and in steps' targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from ovtasks.values.jsonvalue import Json, fields_of, restore

T = TypeVar("T", "Fetched", "Verified")
LARGEST = (1 << 63) - 1
"""Bytes; no file system has larger files."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came from one URL.

    ``size`` (bytes), ``sha256`` and ``sha512`` describe what was downloaded; ``content_sha256`` and ``content_size``
    what came out of it when ``compression`` (``xz``, ``zst``, ``gz``, ``bz2``) is not None. ``expected`` is
    ``"sha256:…"``, ``"sha512:…"`` or None; ``expected_from`` is ``vms.yml``, ``ovtasks.lock``, the URL of a checksum
    file, or ``none asked``. ``signed_url`` is the signed file and ``signature_url`` its detached signature (None:
    clear-signed), when a keyring was given. For a local file ``etag`` is made of its stat. ``fetched_at`` is ISO UTC.
    """

    url: str
    final_url: str
    size: int
    sha256: str
    content_sha256: str
    content_size: int
    fetched_at: str
    expected_from: str
    expected: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    sha512: str | None = None
    compression: str | None = None
    signed_url: str | None = None
    signature_url: str | None = None

    def matches(self, digest: str) -> bool | None:
        """Whether the downloaded bytes have this digest (``type:hex``); None if that type was not computed."""
        kind, _, value = digest.partition(":")
        own = {"sha256": self.sha256, "sha512": self.sha512}.get(kind)
        return None if own is None else own == value

    def to_json(self) -> dict[str, Json]:
        """This as JSON, for :meth:`from_json`."""
        return fields_of(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Fetched:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it was not written by this version.
        """
        return _from_json(cls, value)


@dataclass(frozen=True, slots=True)
class Verified:
    """An image in the store. ``sha256`` is that of the content as stored, ``virtual_size`` the disk's size in bytes.

    ``signer`` is the fingerprint and name of the key that signed. ``source_sha256`` is the digest of the bytes as
    downloaded, ``keyring_sha256`` that of the keyring used.
    """

    sha256: str
    path: Path
    format: str
    virtual_size: int
    expected_from: str
    source_sha256: str
    signer: str | None = None
    keyring_sha256: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """This as JSON, for :meth:`from_json`."""
        return fields_of(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Verified:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it was not written by this version.
        """
        return _from_json(cls, value)


def _from_json(cls: type[T], value: Mapping[str, Json]) -> T:
    try:
        made = restore(cls, value)
    except TypeError as e:
        raise ValueError(f"not a {cls.__name__} record: {e}") from e
    for field in fields(made):
        number = getattr(made, field.name)
        if isinstance(number, int) and not 0 <= number <= LARGEST:
            raise ValueError(f"not a {cls.__name__} record: {field.name} is not a size")
    return made
