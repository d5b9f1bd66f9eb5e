"""The rules of ``libvirt.snippets`` and ``libvirt.xml_passthrough``: XML of elements that libvirt has."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.values.yamlio import Key


def xml_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Each text is XML whose elements have a place in a domain. Whether they fit this domain turns out on rendering.

    Plain QEMU, if the entry says ``backend: qemu``, takes few of them.
    """
    for path in xml_fields(vm.get("libvirt")):
        if (error := problem(vm.get("libvirt", *path))) is not None:
            message = f"{shown(path)}: {error.message}"
            where = vm.document.where(*vm.path, "libvirt", *path, at=error.at)
            yield InputError(message, hint=error.hint, where=where)
        elif vm.text("backend") == "qemu":
            from ovtasks.machine.machine import Snippet
            from ovtasks.machine.qemu.snippets import refuse

            where = vm.document.where(*vm.path, "libvirt", *path)
            try:
                refuse([Snippet(str(vm.get("libvirt", *path)), shown(path), where=where)])
            except InputError as e:
                yield e


def xml_fields(libvirt: object) -> Iterator[tuple[Key, ...]]:
    """The paths of all XML texts below ``libvirt``."""
    if not isinstance(libvirt, dict):
        return
    snippets = libvirt.get("snippets")
    for index, item in enumerate(snippets if isinstance(snippets, list) else ()):
        if isinstance(item, str) and item:  # the schema check reports empty ones
            yield "snippets", index
    if isinstance(libvirt.get("xml_passthrough"), str):
        yield ("xml_passthrough",)


def shown(path: tuple[Key, ...]) -> str:
    """A path as messages write it: ``libvirt.snippets[0]``."""
    from ovtasks.values.words import dotted

    return dotted(("libvirt", *path))


def problem(text: str) -> InputError | None:
    """What is wrong with a text; None if nothing."""
    from ovtasks.machine.devices.graphics.passwords import in_xml
    from ovtasks.machine.xml.text import parse_fragment, parts

    try:
        fragment = parse_fragment(text)
        parts(fragment)
    except InputError as e:
        return e
    if found := in_xml(fragment.elements):
        element, message, hint = found
        return InputError(f"<graphics passwd> {message}", hint=hint, at=fragment.places[id(element)])
    return None
