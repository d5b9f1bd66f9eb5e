"""Network cards besides the first one as QEMU's words."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Sequence

from ovtasks.machine import virtio
from ovtasks.machine.qemu.command import Command, switched
from ovtasks.machine.tree import Tree

MOST_PORTS = 1000
"""The most ports of a range: each takes a word on the command line."""
# libvirt's driver attribute → property of a virtio-net-pci
_VIRTIO = {
    "rx_queue_size": "rx_queue_size",
    "tx_queue_size": "tx_queue_size",
    "ioeventfd": "ioeventfd",
    "event_idx": "event_idx",
    "rss": "rss",
    "rss_hash_report": "hash",
}
_HOST = {name: f"host_{name}" for name in ("tso4", "tso6", "ecn", "ufo")} | {
    name: name for name in ("csum", "gso", "mrg_rxbuf")
}
_GUEST = {name: f"guest_{name}" for name in ("csum", "tso4", "tso6", "ecn", "ufo")}


def words(blocks: Sequence[Tree], to: Command) -> None:
    """:raises InputError: QEMU alone has no such network."""
    for index, block in enumerate(blocks, 1):
        _netdev(block, f"net{index}", to)
        _card(block, index, to)


def _netdev(block: Tree, ident: str, to: Command) -> None:
    kind, source = block.text("type") or "user", block.block("source")
    if kind == "user":
        if not to.host.user_network:
            raise block.refuse("type", f"{to.host.binary} has no user networking of its own")
        if "backend" in block:
            raise block.refuse("backend", "the backend qemu speaks for itself (slirp)")
        forwards = [f"hostfwd={text}" for item in block.items("port_forwards") for text in _forwards(item)]
        to.words += ("-netdev", ",".join([f"user,id={ident}", *forwards]))
    elif kind == "bridge":
        to.add("netdev", "bridge", id=ident, br=source.text("bridge") or "br0")
    else:
        raise block.refuse("type", f"{kind} is a network of libvirt, which the backend qemu cannot join")


def _forwards(item: Tree) -> Iterator[str]:
    address, protocol = item.text("address") or "127.0.0.1", item.text("proto") or "tcp"
    try:
        fits = isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address)
    except ValueError:
        fits = False
    if not fits:
        raise item.refuse("address", f"QEMU's user networking cannot listen on {address}", hint="an IPv4 address")
    start = item.number("start") or 0
    end, to = item.number("end") or start, item.number("to") or start
    if end - start >= MOST_PORTS:
        raise item.refuse("end", f"QEMU alone forwards {MOST_PORTS} ports at most", hint="a smaller range, or libvirt")
    for port in range(start, end + 1):
        yield f"{protocol}:{address}:{port}-:{to + port - start}"


def _card(block: Tree, index: int, to: Command) -> None:
    driver, rom = block.block("driver"), block.block("rom")
    model = block.text("model") or "virtio"
    model = virtio.NET_MODELS.get(model, model)
    if driver.text("name") == "vhost":
        raise driver.refuse("name", "this card is served by QEMU", hint="name: qemu, or backend: libvirt")
    enabled, file = rom.text("enabled"), rom.text("file")
    values: dict[str, object] = {"id": f"nic{index}", "netdev": f"net{index}"}
    values["mac"] = block.text("mac") or _mac(to.machine.nic.mac, index)
    values["bootindex"] = to.order(block.number("boot"))
    # a BIOS needs the card's ROM to boot from the network; otherwise the ROM only costs time
    wanted = enabled == "yes" or (values["bootindex"] is not None and enabled is None)
    values["romfile"] = file if file is not None else None if wanted else ""
    values["rombar"] = {"on": "1", "off": "0"}.get(rom.text("bar") or "")
    if model.startswith("virtio-net"):
        values["host_mtu"] = block.text("mtu")
        values |= {**{ours: driver.text(theirs) for theirs, ours in _VIRTIO.items()}, **virtio.properties(driver)}
        values["tx"] = {"timer": "timer", "iothread": "bh"}.get(driver.text("txmode") or "")
        for side, names in (("host", _HOST), ("guest", _GUEST)):
            part = driver.block(side)
            values |= {ours: switched(part.text(theirs)) for theirs, ours in names.items() if theirs in part}
    to.device(model, **values)


def _mac(first: str, index: int) -> str:
    """A locally administered address, computed from the first card's."""
    digits = hashlib.sha256(f"{first}\0{index}".encode()).digest()[:5]
    return ":".join(f"{byte:02x}" for byte in (0x52, *digits))
