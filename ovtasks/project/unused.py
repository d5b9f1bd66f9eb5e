"""What stands in a project's files and changes nothing about a VM. It is accepted, and ``ov validate`` names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ovtasks.project.declared import DeclaredImage, DeclaredVm
from ovtasks.project.diagnosis import UNUSED
from ovtasks.project.placement import Named
from ovtasks.project.schema import image_schema, inlined
from ovtasks.values.yamlio import Document, Key


def unused_sections(data: Mapping[str, Any], document: Document, schema: str) -> Iterator[Named]:
    """The sections of a file, checked by ``schema``, that are about other things than VMs."""
    yield from _marked(data, inlined(schema)["properties"], document, ())


def unused_of_image(image: DeclaredImage) -> Iterator[Named]:
    """The keys of an image that only matter to a container, or to another program that builds it."""
    yield from _marked(image.mapping(), image_schema()["properties"], image.document, image.path)


def unused_of_vm(vm: DeclaredVm) -> Iterator[Named]:
    """The keys of a VM in whose place ov does something of its own."""
    if vm.text("source", "builder") in {"debootstrap", "pacstrap"} and "builder_image" in vm.mapping("source"):
        yield Named("builder_image", vm.where("source", "builder_image", key=True))
    for index, one in enumerate(vm.list("snapshots")):
        if isinstance(one, dict) and "from" in one:
            yield Named("from", vm.where("snapshots", index, "from", key=True))
    if not vm.mapping("libvirt"):
        return
    from ovtasks.machine.devices import DEVICES
    from ovtasks.machine.read import reading

    devices = reading(vm.mapping("libvirt")).tree.block("devices")
    for device in DEVICES:
        for one in device.found(devices):
            for path, words in device.unused(one):
                yield Named(words, vm.where(*path, key=True))


def _marked(
    data: Mapping[str, Any], known: Mapping[str, Any], document: Document, base: tuple[Key, ...]
) -> Iterator[Named]:
    for key in data:
        if known.get(key, {}).get("$comment") == UNUSED:
            yield Named(key, document.where(*base, key, key=True))
