"""Sockets between guest and host, vsock(7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.machine import virtio
from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field
from ovtasks.machine.host import HostFeatures, lacking
from ovtasks.machine.kinds import YES_NO, number, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import ROOT, Faults, Tree

HINT = "as root: modprobe vhost_vsock; or remove libvirt.devices.vsock"

ROWS = Block(
    "vsock",
    "Sockets between guest and host.",
    {
        "model": Field(one_of(*virtio.MODELS), "@model", "The device.", default="virtio"),
        "cid": Block(
            "cid",
            "The guest's address; default: libvirt chooses.",
            {
                "auto": Field(YES_NO, "@auto", "libvirt chooses."),
                "address": Field(number(3, 0xFFFF_FFFF - 1), "@address", "Fixed, from 3."),
            },
        ),
        "driver": Block("driver", "Options of virtio.", virtio.options()),
    },
    bare=True,
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        cid = one.block("cid")
        if cid.switch("auto") and cid.has("address"):
            yield cid.fault("contradicts auto", "remove one of the two", "address")
        if cid.switch("auto") is False and not cid.has("address"):
            yield cid.fault("is missing: auto is off", "address: 42, or remove auto", "address")


def _complete(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    """The spec's address, else the VM's own, which we know; libvirt chooses only when there is neither."""
    if not found and draft.machine.cid is None:
        return ()
    one = found[0] if found else Tree({}, (*ROOT, "devices", "vsock"))
    cid = one.block("cid")
    if draft.machine.cid is not None and "address" not in cid:
        return [one.put(cid={"auto": "no", "address": str(draft.machine.cid)})]
    if not cid:
        draft.notes.append("vsock: cid.auto is yes")
    return [one.put(cid=cid.over(auto="no" if "address" in cid else "yes"))]


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    if found and (problem := host.problems.get("vsock")) is not None:
        yield lacking(found[0].place, f"cannot be had: {problem}", HINT)


def _words(found: Sequence[Tree], to: Command) -> None:
    """The device, with the spec's address or else the VM's own. A VM without an address gets no device."""
    block = found[0] if found else Tree()
    cid = block.block("cid")
    auto, address = cid.text("auto"), cid.number("address")
    suffix = block.one_of("model", virtio.SUFFIXES, "virtio")
    more = virtio.properties(block.block("driver"))
    if to.machine.cid is not None:
        number = address if address is not None and auto != "yes" else to.machine.cid
        values = {"id": "vsock0", "addr": "0x7", "guest-cid": number}
        to.words += to.one(f"vhost-vsock-pci{suffix}", **values, **more)
    elif found:
        raise block.error("this host's guests cannot have vsock now", HINT)


VSOCK = Device("vsock", ROWS, _rules, _complete, lacks=_lacks, qemu=_words)
