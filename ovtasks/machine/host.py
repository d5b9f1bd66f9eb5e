"""What libvirt and its QEMU can do on this host, and the errors for a spec that asks for more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ovtasks.errors import InputError
from ovtasks.machine.field import Version
from ovtasks.machine.tree import Place
from ovtasks.values.words import dotted


@dataclass(frozen=True)
class HostFeatures:
    """``domcapabilities`` for one kind of machine.

    ``known`` maps the place of each enum, such as ``devices/tpm/model``, to its words; an enum that libvirt does not
    report is missing there, and not checked. ``emulator`` is QEMU's path (None: libvirt's choice). ``passt``: libvirt
    knows it and it works here. ``vendor`` is the host processor's. ``version`` is libvirt's. ``session``: the daemon is
    a user's own, which has no cgroups. ``problems`` maps a name (virtiofs, vsock) to why this host cannot have it.
    """

    emulator: str | None = None
    passt: bool = False
    version: Version | None = None
    vendor: str | None = None
    session: bool = False
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


EVERY_HOST = HostFeatures(
    passt=True,
    known={
        "devices/graphics/type": frozenset({"vnc", "spice", "sdl", "egl-headless", "dbus", "rdp"}),
        "devices/tpm/backendModel": frozenset({"emulator", "passthrough", "external"}),
    },
)
"""A host of which nothing is known but that it lacks nothing."""


def lacking(error_place: Place, problem: str, hint: str) -> InputError:
    """The error about a value that this host cannot have."""
    return InputError(f"{dotted(error_place)} {problem}", hint=hint, field=error_place)


def unknown_word(
    word: str | None, host: HostFeatures, enum: str, place: Place, what: str, hint: str = ""
) -> Iterator[InputError]:
    """An error when ``domcapabilities`` reports the enum, but not this word in it."""
    known = host.known.get(enum)
    if word is not None and known is not None and word not in known:
        others = f"one of {', '.join(sorted(known))}" if known else "remove it"
        yield lacking(place, f"{word}: QEMU here has no such {what}", hint or others)
