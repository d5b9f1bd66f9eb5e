"""Which distribution a source's disk holds, and what differs between the families."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from ovtasks.project.model import Source


@dataclass(frozen=True, slots=True)
class Distro:
    """A family of distributions. ``admin_group`` is the group of administrators; None: no group is sure to exist."""

    name: str
    family: str
    ssh_unit: str
    admin_group: str | None


_FAMILIES = {  # family → (sshd's unit, admin group, names)
    "debian": ("ssh", "sudo", ("debian", "ubuntu", "mint", "linuxmint", "kali", "raspbian", "devuan", "pop")),
    "fedora": (
        "sshd",
        "wheel",
        ("fedora", "centos", "rhel", "redhat", "rocky", "rockylinux", "alma", "almalinux", "oracle", "oraclelinux"),
    ),
    "arch": ("sshd", "wheel", ("arch", "archlinux", "manjaro", "endeavouros", "cachyos")),
    "suse": ("sshd", None, ("opensuse", "suse", "sles", "sle", "tumbleweed")),
}
_BY_NAME = MappingProxyType(
    {name: Distro(name, family, unit, group) for family, (unit, group, names) in _FAMILIES.items() for name in names}
)
# Accounts that vendors put into their cloud images. Names that several distributions use (ec2-user) are left out.
_BY_USER = {name: name for name in ("debian", "ubuntu", "fedora", "centos", "rocky", "almalinux", "arch", "opensuse")}
_AMBIGUOUS_IN_URL = {"arch", "pop", "mint", "alma", "sle", "oracle"}  # words with other meanings, and host names


def detect(source: Source) -> Distro | None:
    """The distribution, by ``source.distro``, else ``base_user``, else the words of the URL or container reference.

    None if nothing tells, or if ``distro`` is not in the table: then nothing may be assumed.
    """
    written = attribute(source, "distro")
    if written:
        return next((_BY_NAME[word] for word in _words(written) if word in _BY_NAME), None)
    user = attribute(source, "base_user")
    if user and user in _BY_USER:
        return _BY_NAME[_BY_USER[user]]
    for text in (attribute(source, "url"), attribute(source, "image")):
        # later words say more, the file's name most: …/fedora-mirror/ubuntu/…
        for word in reversed(_words(text or "")):
            if word in _BY_NAME and word not in _AMBIGUOUS_IN_URL:
                return _BY_NAME[word]
        if re.search(r"arch-linux", text or "", re.IGNORECASE):
            return _BY_NAME["arch"]
    return None


def attribute(source: Source, name: str) -> str | None:
    """A text field of a source of any kind. A plugin's source has nothing but ``fields``."""
    value = getattr(source, name, None)
    if value is None:
        value = source.fields.get(name)
    return value if isinstance(value, str) and value else None


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
