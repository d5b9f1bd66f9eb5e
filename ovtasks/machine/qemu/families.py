"""The whole ``libvirt:`` mapping, family by family, in the order in which QEMU must meet them."""

from __future__ import annotations

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu import (
    characters,
    disks,
    displays,
    folders,
    memory,
    network,
    others,
    people,
    processor,
    tuning,
)
from ovtasks.machine.qemu.block import LIBVIRT_HINT, Block
from ovtasks.machine.qemu.command import Command, QemuFeatures
from ovtasks.machine.qemu.names import SPICE_SOCKET
from ovtasks.machine.read import read_machine
from ovtasks.values.words import dotted
from ovtasks.values.yamlio import Key

_CGROUPS = ("memtune", "resource", "cputune")
_HINTS = {
    **{f"libvirt.{name}": "it is done by cgroups, which libvirt keeps: backend: libvirt" for name in _CGROUPS},
    "libvirt.seclabel": "labels are libvirt's: backend: libvirt",
    "libvirt.snippets": "they are libvirt's XML: backend: libvirt",
    "libvirt.xml_passthrough": "it is libvirt's XML: backend: libvirt",
}


def command(machine: Machine, host: QemuFeatures) -> Command:
    """What the mapping makes of the command line.

    :raises InputError: a field that plain QEMU does not have, or whose value cannot be had.
    """
    _refuse_xml(machine)
    root = Block(read_machine(machine))
    to = Command(machine, host)
    processor.cpu(cpu := root.block("cpu"), to)
    processor.features(root.block("features"), to)
    processor.clock(root.block("clock"), to)
    iothreads = root.number("iothreads")
    tuning.iothreads(iothreads, to)
    tuning.sysinfo(root.block("sysinfo"), to)
    tuning.launch_security(root.block("launch_security"), to)
    _devices(root.block("devices"), to)
    tuning.check_iothreads(iothreads, to)
    tuning.pinning(root.block("cputune"), to)
    for number in to.thread_pins:
        if number > (iothreads or 0):
            raise InputError(f"libvirt.cputune.iothreadpin: there is no I/O thread {number}", hint="iothreads: more")
    memory.memory(root.block("memory_backing"), root.block("numatune"), cpu.blocks("numa"), to)
    if to.orders:
        to.notes.append(f"boot order by devices: the VM's own disk is number {max(to.orders) + 1}")
    if errors := [_refused(place) for place in root.left()]:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    return to


def _refuse_xml(machine: Machine) -> None:
    for snippet in machine.snippets:
        message = f"{snippet.name}: the backend qemu has no use for libvirt's XML"
        raise InputError(message, hint=LIBVIRT_HINT, field=snippet.field, where=snippet.where)


def _devices(devices: Block, to: Command) -> None:
    """What others hang on comes first: controllers, displays, where sound goes."""
    others.iommu(devices.block("iommu"), to)
    others.vsock(devices.block("vsock"), to, declared="vsock" in devices)
    others.rng(devices.blocks("rng"), to)
    others.balloon(devices.block("memballoon"), to)
    people.usb(devices.blocks("usb"), to)
    people.hubs(devices.blocks("hub"), to)
    graphics = _graphics(devices, to)
    displays.video(devices.blocks("video"), to, wanted=bool(graphics))
    displays.graphics(graphics, to)
    outputs = people.audio(devices.blocks("audio"), to)
    people.sound(devices.blocks("sound"), outputs, to)
    people.inputs(devices.blocks("inputs"), to)
    disks.controllers(devices.blocks("controllers"), to)
    disks.disks(devices.blocks("disks"), to)
    network.interfaces(devices.blocks("interfaces"), to)
    characters.serials(devices.blocks("serial"), to)
    characters.consoles(devices.blocks("console"), to)
    characters.parallels(devices.blocks("parallel"), to)
    characters.channels(devices.blocks("channels"), to)
    characters.smartcards(devices.blocks("smartcard"), to)
    characters.redirections(devices.blocks("redirdev"), to)
    folders.hostdevs(devices.blocks("hostdevs"), to)
    folders.filesystems(devices.blocks("filesystems"), to)
    others.tpm(devices.blocks("tpm"), to)
    others.watchdogs(devices.blocks("watchdog"), to)
    others.shmem(devices.blocks("shmem"), to)
    others.panics(devices.blocks("panic"), to)
    others.crypto(devices.blocks("crypto"), to)


def _graphics(devices: Block, to: Command) -> list[Block]:
    """The display servers. What goes through SPICE needs one of its kind."""
    found = devices.blocks("graphics")
    users = [block.peek("type") for kind in ("channels", "smartcard", "audio") for block in devices.blocks(kind)]
    users += [block.peek("type") or "spicevmc" for block in devices.blocks("redirdev")]
    if {"spicevmc", "spiceport", "spice"} & {*users} and not any(block.peek("type") == "spice" for block in found):
        to.notes.append(f"spicevmc: SPICE graphics added, on the socket {to.machine.sockets / SPICE_SOCKET}")
        return [*found, Block({"type": "spice"})]
    return found


def _refused(place: tuple[Key, ...]) -> InputError:
    path = dotted(place)
    hint = next((hint for begin, hint in _HINTS.items() if path.startswith(begin)), LIBVIRT_HINT)
    return InputError(f"{path}: the backend qemu has no such setting", hint=hint, field=place)
