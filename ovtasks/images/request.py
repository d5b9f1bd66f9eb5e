"""A request for one image: its URL, and what is known about its content."""

from __future__ import annotations

import platform
import posixpath
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ovtasks.errors import InputError
from ovtasks.host.paths import image_store
from ovtasks.project.model import Checksum, CloudImageSource
from ovtasks.project.official import at_mirror, is_named
from ovtasks.values import urls
from ovtasks.values.hidden import Hidden, Input, slow_digest
from ovtasks.values.jsonvalue import digest
from ovtasks.values.urls import DIGEST_DIGITS, check_url, split_digest
from ovtasks.values.urls import public as public

KEY_LENGTH = 12
FROM_SPEC = "vms.yml"
FROM_LOCK = "ovtasks.lock"


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of ``ovtasks.lock``: where the URL led, and sha256 and size (bytes) of what came, as downloaded."""

    final_url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request. ``url`` is http(s)://, file:// or an absolute path; ``store`` is the root of the image store.

    ``mirror`` is asked instead of the distributions' own servers. What has to come is the same, and so is its name.
    """

    url: str
    checksum: Checksum
    store: Path
    pin: Pin | None = None
    mirror: str | None = None

    @property
    def key(self) -> str:
        """12 hexadecimal digits that identify the URL and what must be true of its content.

        They are part of file names, so secrets of the URL enter by a slow digest.
        """
        checksum = self.checksum
        identity: list[str | None] = [
            _named(self.url),
            checksum.type,
            checksum.keyring_url or (str(checksum.keyring) if checksum.keyring else None),
            checksum.value.lower() if checksum.value else None,
            self.pin.sha256 if self.pin else None,
            *([_named(checksum.url)] if checksum.url else []),
            *checksum.fingerprints,
        ]
        return digest(identity)[:KEY_LENGTH]

    def at(self, url: str) -> str:
        """Where ``url`` is asked for."""
        return at_mirror(url, self.mirror) if self.mirror else url

    @property
    def local(self) -> Path | None:
        """The file that a ``file://`` URL or a path names; None for the network.

        :raises InputError: it is neither a supported URL nor an absolute path.
        """
        return local_path(self.url)

    @property
    def usable_pin(self) -> Pin | None:
        """The pin, if it has another URL that may be asked: https never becomes http."""
        if self.pin is None or not is_whole(self.pin.final_url, self.url):
            return None
        return None if urls.is_https(self.url) and not urls.is_https(self.pin.final_url) else self.pin

    def known_digest(self) -> tuple[str, str] | None:
        """The digest (``"sha256:…"`` or ``"sha512:…"``) and who says so, if nobody need be asked; else None.

        :raises InputError: the value is not a digest of its type, or contradicts ``ovtasks.lock``.
        """
        pinned = f"sha256:{self.pin.sha256}" if self.pin else None
        if self.checksum.value is None:
            return (pinned, FROM_LOCK) if pinned else None
        value = parse_digest(self.checksum.type, self.checksum.value)
        if pinned and value.startswith("sha256:") and value != pinned:
            raise InputError(
                f"ovtasks.lock pins {public(self.url)} to {pinned}, vms.yml asks for {value}",
                hint="ov lock --update renews the lock file",
            )
        return value, FROM_SPEC


def _named(url: str) -> str:
    """``url`` as part of an identity: its secrets enter by a slow digest."""
    shown = public(url)
    return url if shown == url else f"{shown} {slow_digest(url, shown)}"


def parse_digest(type: str, value: str) -> str:
    """``type:hex`` in lower case. ``value`` may begin with its type.

    :raises InputError: length or characters do not fit the type.
    """
    said, digits = split_digest(value) or (None, "")
    if said not in {None, type} or len(digits) != DIGEST_DIGITS.get(type):
        raise InputError(
            f"checksum value {value!r} is not a {type} digest",
            hint="sha256 has 64 hexadecimal digits, sha512 has 128; the type is checksum.type",
        )
    return f"{type}:{digits}"


def is_hex(text: str) -> bool:
    """Whether ``text`` has hexadecimal digits only, and at least one."""
    return bool(text) and all(c in "0123456789abcdefABCDEF" for c in text)


def local_path(url: str) -> Path | None:
    """The path of a ``file://`` URL or of an absolute path; None for http(s).

    :raises InputError: another scheme, another host, a relative path, a malformed URL.
    """
    try:
        check_url(url)
    except InputError as e:
        raise InputError(f"{public(url)!r} {e.message}", hint=e.hint) from None
    return None if urls.is_web(url) else urls.local_path(url)


def base_name(url: str) -> str:
    """The file name at the end of a URL (query cut off, %-escapes resolved) or of a path."""
    if not urls.is_web(url):
        return urls.local_path(url).name
    return posixpath.basename(unquote(urlsplit(url).path))


def is_whole(final: str, url: str) -> bool:
    """Whether the recorded URL ``final`` differs from ``url`` and works without the secrets that records leave out."""
    return final not in {url, public(url)} and "=…" not in final


def lock_name(url: str, root: Path) -> str:
    """The name of ``url`` in the lock file of the project at ``root``, which is committed and cloned elsewhere.

    That is the URL without its secrets; a file of the project has its relative path.
    """
    if urls.is_web(url):
        return public(url)
    try:
        path = urls.local_path(url)
    except InputError:
        return url  # from a lock file: such a name, or one that somebody made up
    return f"./{path.relative_to(root)}" if path.is_relative_to(root) else url


def locked_as(source: CloudImageSource, root: Path) -> str:
    """The name of a source's image in the lock file of the project at ``root``.

    An image that is named has that name and this machine's architecture: its URL may differ in the next version of ov.
    """
    return f"{source.official} {platform.machine()}" if is_named(source) else lock_name(source.url, root)


def request_of(source: CloudImageSource, pin: Pin | None = None) -> ImageRequest:
    """What to fetch. The pin of a named image says where it was, too; if that has changed, the pin's digest counts.

    :raises InputError: the settings are wrong.
    """
    store = source.cache or image_store()
    if not is_named(source):
        return ImageRequest(source.url, source.checksum, store, pin)
    from ovtasks.host import settings

    mirror = settings.get("images.mirror").value
    if pin is not None and pin.final_url != source.url:
        found = ImageRequest(pin.final_url, Checksum("sha256", pin.sha256), store, pin)
    else:
        found = ImageRequest(source.url, source.checksum, store, pin)
    return found if mirror == "auto" else replace(found, mirror=mirror)


def shown_url(url: str) -> Input:
    """``url`` for a step's inputs: its secrets count, and are not shown."""
    shown = public(url)
    return url if shown == url else Hidden(url, shown)
