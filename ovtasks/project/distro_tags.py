"""Names of distributions in the user's files, as os-release(5) gives them: ``debian``, ``debian:13``."""

from __future__ import annotations

import re

from ovtasks.values.words import close_to

KNOWN = frozenset(
    (
        *("almalinux", "alpine", "amzn", "arch", "artix", "bazzite", "cachyos", "centos", "chimera", "debian"),
        *("deepin", "devuan", "elementary", "endeavouros", "fedora", "garuda", "gentoo", "kali", "linuxmint"),
        *("mageia", "manjaro", "neon", "nixos", "nobara", "ol", "opensuse", "opensuse-leap", "opensuse-tumbleweed"),
        *("photon", "pop", "raspbian", "rhel", "rocky", "sles", "slackware", "solus", "steamos", "suse", "ubuntu"),
        *("ultramarine", "void", "wolfi", "zorin"),
    )
)
"""IDs of os-release(5). Others are allowed, too, unless they look like a misspelling of one of these."""
FORMATS = ("rpm", "deb", "pac", "apk", "aur")
"""Sections that stand for a format of packages."""

_OTHER_NAMES = {"archlinux": "arch", "alma": "almalinux", "redhat": "rhel", "tumbleweed": "opensuse-tumbleweed"}
_TAG = re.compile(r"([a-z][a-z0-9_.-]*?)(?:[-:]([0-9][a-z0-9_.]*))?", re.ASCII)


def normalized(text: str) -> str | None:
    """The tag that ``text`` means: ``debian:13`` for ``debian-13``, ``arch`` for ``archlinux``; None if it is none."""
    match = _TAG.fullmatch(text.strip())
    if match is None:
        return None
    name, version = _OTHER_NAMES.get(match[1], match[1]), match[2]
    return f"{name}:{version}" if version else name


def split(text: str) -> list[str]:
    """The names in a key that may stand for several distributions: ``debian,ubuntu``."""
    return [part.strip() for part in text.split(",")]


def is_tag(text: str) -> bool:
    """Whether a key of a layer names distributions, perhaps misspelled, rather than anything else."""
    tags = [normalized(part) for part in split(text)]
    return all(tag and (tag.partition(":")[0] in KNOWN or ":" in tag or misspelled(tag)) for tag in tags)


def misspelled(tag: str) -> str | None:
    """What a normalized ``tag`` probably should be; None if it is fine."""
    name, colon, version = tag.partition(":")
    if name in KNOWN or name in FORMATS:
        return None
    found = close_to(name, sorted(KNOWN), most=1, cutoff=0.8)
    return f"{found[0]}{colon}{version}" if found else None
