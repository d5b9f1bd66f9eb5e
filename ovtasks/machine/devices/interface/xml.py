"""Network cards in the XML, and as QEMU arguments where libvirt has no element for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.device import Site
from ovtasks.machine.devices.interface.rows import ROWS
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.machine import Nic
from ovtasks.machine.qemu.option import device
from ovtasks.machine.tree import Place, Tree
from ovtasks.machine.xml.place import fill, sub
from ovtasks.values.ports import PortForward

FIRST_ADDRESS = 0x10
"""The PCI slot of the first card in QEMU's arguments. libvirt gives out slots from 1 on, and never gets that far."""


@dataclass(frozen=True)
class Arguments:
    """One card whose ports QEMU's own network stack (slirp) forwards."""

    model: str
    mac: str
    forwards: Sequence[PortForward]
    path: Place


def model(name: str) -> str:
    """libvirt's name of a card, which differs from QEMU's for virtio only."""
    return "virtio" if name in {"virtio", "virtio-net", "virtio-net-pci"} else name


def add_cards(devices: ET.Element, found: Sequence[Tree], site: Site) -> None:
    """Add the first card, then those of the ``libvirt:`` block.

    :raises InputError: passt is asked for, and libvirt here does not know it.
    """
    _first(devices, site.machine.nic, site.features)
    for one in found:
        if not _by_arguments(one, site.features):
            _further(devices, one, site.features)


def _first(devices: ET.Element, nic: Nic, host: HostFeatures) -> None:
    if nic.mode == "user" and nic.forwards and nic.stack != "passt":
        return  # slirp forwards: the card is made by arguments
    source: Mapping[str, tuple[str, Mapping[str, str | None] | None]] = {
        "bridge": ("bridge", {"bridge": nic.bridge}),
        "direct": ("direct", {"dev": nic.dev, "mode": "bridge"}),
        "user": ("user", None),
    }
    # a VM that an older version defined has the network's name in bridge
    kind, attributes = source.get(nic.mode, ("network", {"network": nic.network or nic.bridge or "default"}))
    interface = sub(devices, "interface", {"type": kind})
    sub(interface, "mac", {"address": nic.mac})
    if attributes is not None:
        sub(interface, "source", attributes)
    sub(interface, "model", {"type": model(nic.model)})
    sub(interface, "rom", {"enabled": "no"})  # no VM boots from the network: spare the time for trying
    if nic.mode == "user" and nic.stack == "passt":
        if not host.passt:
            raise InputError("this libvirt does not know passt", hint=package_hint("passt"))
        sub(interface, "backend", {"type": "passt"})
        for (protocol, address), forwards in _grouped(nic.forwards).items():
            group = sub(interface, "portForward", {"proto": protocol, "address": address})
            for forward in forwards:
                sub(group, "range", {"start": str(forward.host), "to": str(forward.guest)})


def _grouped(forwards: Sequence[PortForward]) -> dict[tuple[str, str], list[PortForward]]:
    groups: dict[tuple[str, str], list[PortForward]] = {}
    for forward in forwards:
        groups.setdefault((forward.protocol, forward.address), []).append(forward)
    return groups


def _by_arguments(item: Tree, host: HostFeatures) -> bool:
    """Whether libvirt has no element for the card: it forwards ports without passt."""
    user = item.text("type") in {None, "user"}
    return user and bool(item.items("port_forwards")) and not host.passt and item.text("backend") is None


def _further(devices: ET.Element, card: Tree, host: HostFeatures) -> None:
    if card.text("backend") == "passt" and not host.passt:
        raise card.refuse("backend", "this libvirt does not know passt", hint=package_hint("passt"))
    interface = sub(devices, "interface")
    if card.text("type") in {None, "user"} and card.items("port_forwards"):
        card = card.put(backend="passt")
    if not card.block("rom") and card.text("boot") is None:
        card = card.put(rom={"enabled": "no"})
    fill(interface, ROWS.block, card.put(model=model(card.text("model") or "virtio")))


def arguments(found: Sequence[Tree], site: Site) -> Iterator[str]:
    """QEMU's arguments for all cards that libvirt has no element for.

    :raises InputError: slirp cannot do such a forward.
    """
    nic, host, cards = site.machine.nic, site.features, []
    if nic.mode == "user" and nic.forwards and nic.stack != "passt":
        cards.append(Arguments(model(nic.model), nic.mac, nic.forwards, ("network", "port_forwards")))
    cards += [_slirp(one) for one in found if _by_arguments(one, host)]
    for number, card in enumerate(cards):
        yield from _words(card, number)


def _slirp(item: Tree) -> Arguments:
    for key in item.value:
        if key not in {"type", "model", "mac", "port_forwards"}:
            hint = "install a libvirt (11 or newer) that has passt, or remove it"
            message = f"{item.path}.{key} beside port_forwards needs passt"
            raise InputError(message, hint=hint, field=(*item.place, key))
    forwards = []
    for one in item.items("port_forwards"):
        start, end = int(one.text("start") or 0), int(one.text("end") or one.text("start") or 0)
        to, address = int(one.text("to") or start), one.text("address") or "127.0.0.1"
        protocol = one.text("proto") or "tcp"
        forwards += [PortForward(port, to + port - start, protocol, address) for port in range(start, end + 1)]
    return Arguments(model(item.text("model") or "virtio"), item.text("mac") or "", forwards, item.place)


def _words(card: Arguments, number: int) -> Iterator[str]:
    words = ["user", f"id=ovnet{number}"]
    for forward in card.forwards:
        if ":" in forward.address:
            text = f"[{forward.address}]:{forward.host}:{forward.guest}"
            hint = "listen on an IPv4 address, or install a libvirt (11 or newer) that has passt"
            where = "network.port_forwards" if card.path[0] == "network" else "libvirt.devices.interfaces"
            raise InputError(f"{where}: {text} needs passt, which is missing", hint=hint, field=card.path)
        words.append(f"hostfwd={forward.protocol}:{forward.address}:{forward.host}-:{forward.guest}")
    name = "virtio-net-pci" if card.model == "virtio" else card.model
    yield from ("-netdev", ",".join(words))
    address = hex(FIRST_ADDRESS + number)
    yield from device(name, netdev=f"ovnet{number}", mac=card.mac, addr=address, romfile="")
