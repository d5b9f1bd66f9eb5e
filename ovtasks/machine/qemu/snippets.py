"""What of a user's XML plain QEMU can have: its own arguments, and devices that every VM has anyway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.devices.channel import AGENT
from ovtasks.machine.machine import Snippet
from ovtasks.machine.tree import LIBVIRT_HINT
from ovtasks.machine.xml.merge import distinct
from ovtasks.machine.xml.text import parse_fragment, parts

_RANDOM = ("/dev/urandom", "/dev/random")


def arguments(snippets: Sequence[Snippet]) -> tuple[list[str], list[str]]:
    """QEMU's arguments that ``snippets`` bring, and notes that name each element which plain QEMU does not get.

    :raises InputError: a snippet is not XML, or libvirt has no such element.
    """
    words: list[str] = []
    notes: list[str] = []
    for snippet, element in _elements(snippets):
        if (said := _taken(element)) is None:
            notes.append(f"{snippet.name}: <{element.tag}> is libvirt's; the backend qemu leaves it out")
        else:
            words += said
    return words, notes


def refuse(snippets: Sequence[Snippet]) -> None:
    """Check that plain QEMU gets all of it, for a VM whose entry says ``backend: qemu``.

    :raises InputError: an element is for libvirt only.
    """
    for snippet, element in _elements(snippets):
        if _taken(element) is None:
            message = f"{snippet.name}: the backend qemu cannot use libvirt's <{element.tag}>"
            raise InputError(message, hint=LIBVIRT_HINT, field=snippet.field, where=snippet.where)


def _elements(snippets: Sequence[Snippet]) -> Iterator[tuple[Snippet, ET.Element]]:
    for snippet in distinct(snippets):
        try:
            found = parts(parse_fragment(snippet.text))
        except InputError as e:
            message = f"{snippet.name}: {e.message}"
            raise InputError(message, hint=e.hint, field=snippet.field, where=snippet.where) from None
        for part in found:
            if not part.attributes:  # the type of <domain> is the accelerator, which the spec chooses
                yield snippet, part.element


def _taken(element: ET.Element) -> list[str] | None:
    """The arguments for ``element``: none if every VM has it; None: plain QEMU cannot have it."""
    if element.tag == "qemu:commandline":
        if any(child.tag != "qemu:arg" for child in element):
            return None
        return [child.get("value", "") for child in element]
    return [] if _ours(element) else None


def _ours(element: ET.Element) -> bool:
    """Whether every VM has such a device."""
    if element.tag == "channel":
        target = element.find("target")
        return element.get("type") == "unix" and target is not None and target.get("name") == AGENT
    if element.tag == "rng":
        below = {child.tag for child in element}
        source = (element.findtext("backend") or "/dev/urandom").strip()
        model = element.find("backend")
        plain = model is None or model.get("model", "random") == "random"
        return element.get("model") == "virtio" and below <= {"backend"} and plain and source in _RANDOM
    if element.tag in {"serial", "console"}:
        target = element.find("target")
        return element.get("type") == "pty" and (target is None or target.get("port", "0") == "0")
    return False
