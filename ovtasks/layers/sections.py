"""Which part of a layer file stands for a system: its section of ``distros``, and its package manager.

The list ``packages`` at the top of a layer is for every distribution. Of the sections, one alone counts: the most
exact that suits. ``ubuntu:24.04`` replaces ``ubuntu``, and does not add to it: authors repeat there what is still
wanted and leave out what that release does not have, or what a repository of that section brings in another package.
"""

from __future__ import annotations

from ovtasks.errors import Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts
from ovtasks.project.layer_model import LayerPart, LayerSpec
from ovtasks.values.jsonvalue import Json

FORMATS = {"apt": "deb", "dnf": "rpm", "zypper": "rpm", "pacman": "pac", "apk": "apk"}
"""Package manager → the section for the format of its packages."""
_MANAGERS = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "amzn": "dnf",
    "opensuse": "zypper",
    "suse": "zypper",
    "sles": "zypper",
    "arch": "pacman",
    "alpine": "apk",
}


def manager_of(facts: SystemFacts) -> str | None:
    """``apt``, ``dnf``, ``pacman``, ``zypper`` or ``apk``, by ID and ID_LIKE; None: we know none for it."""
    return next((_MANAGERS[name] for name in (facts.distro, *facts.like) if name in _MANAGERS), None)


def section_of(layer: LayerSpec, facts: SystemFacts) -> LayerPart | None:
    """The most exact section that suits: the version, the distribution, those it is like, the format of packages."""
    tags = (*facts.tags, FORMATS.get(manager_of(facts) or "", ""))
    return next((layer.sections[tag] for tag in tags if tag and tag in layer.sections), None)


def others_of(layer: LayerSpec) -> tuple[str, ...]:
    """The tags of all sections, as the layer has them, but for the one of the Arch user repository: it is no format."""
    return tuple(tag for tag in layer.sections if tag not in {"", "aur"})


def missing_section(context: LayerContext) -> tuple[str, Where] | None:
    """Why the sections of a layer do not count, and where the first one stands; None if one does, or there are none."""
    tags = others_of(context.layer)
    if not tags or section_of(context.layer, context.facts) is not None:
        return None
    facts = context.facts
    system = f"{facts.distro} {facts.version}".strip()
    return f"the layer has sections for {', '.join(tags)}, and this is {system}", context.layer.sections[tags[0]].where


def words(value: Json) -> tuple[str, ...]:
    """The texts of a field that is a list, or one text with blanks between."""
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return tuple(str(value).split()) if value is not None else ()
