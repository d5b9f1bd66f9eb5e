"""Rules between the fields of the ``libvirt:`` block's devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from ovtasks.machine.passwords import too_long
from ovtasks.machine.rule_tree import Faults, Tree

AGENT = "org.qemu.guest_agent.0"
VDAGENT = "com.redhat.spice.0"
PLACES = {"socket": "on a socket", "none": "nowhere"}
LISTENERS = ("address", "network", "socket")
ROOT_DISK, SEED_DISK = "vda", "vdb"
# Protocols whose images have no name, or need none.
NAMELESS = frozenset({"nbd"})


def disk_rules(tree: Tree) -> Faults:
    """A source that fits its type, a name of its own."""
    taken = {ROOT_DISK: "the VM's own disk"}
    for disk in tree.block("devices").items("disks"):
        yield from _disk_source(disk)
        name = disk.block("target").text("dev")
        if name is not None and name in taken:
            yield disk.fault(f": {name} is taken by {taken[name]}", "another name, or leave it out", "target", "dev")
        elif name is not None:
            taken[name] = f"disk {disk.path[-1]}"
        bus, device = disk.block("target").text("bus"), disk.text("device")
        if bus == "fdc" and device != "floppy":
            yield disk.fault("is fdc, which has floppies only", "device: floppy, or another bus", "target", "bus")
        driver = disk.block("driver")
        if driver.text("io") == "native" and driver.text("cache") not in {"none", "directsync"}:
            yield driver.fault("is native, which needs cache: none or directsync", "cache: none", "io")
        if bus == "virtio" and device in {"cdrom", "floppy", "lun"}:
            yield disk.fault(f"is virtio, which has no {device}", "leave it out, or bus: sata", "target", "bus")
        yield from _iotune(disk.block("iotune"))


def _disk_source(disk: Tree) -> Faults:
    source, kind = disk.block("source"), disk.text("type") or "file"
    device = disk.text("device")
    if device == "lun" and kind == "file":
        yield disk.fault("is lun, which needs a block device", "type: block, with source.dev", "device")
    needed = {"file": ("file",), "block": ("dev",), "volume": ("pool", "volume"), "network": ("protocol",)}
    if device in {"cdrom", "floppy"} and kind in {"file", "block"}:
        return  # a drive may be empty
    for key in needed.get(kind, ()):
        if not source.has(key):
            yield disk.fault(f"is missing: type {kind} needs it", f"source: {{{key}: …}}", "source", key)
    protocol = source.text("protocol")
    if kind != "network" or protocol is None:
        return
    hosts = source.items("hosts")
    if not hosts and protocol != "rbd":
        yield source.fault(f"is missing: {protocol} needs a server", "hosts: [{name: …}]", "hosts")
    if len(hosts) > 1 and protocol not in {"rbd", "gluster"}:
        yield source.fault(f"has several servers; {protocol} has one", "remove the others", "hosts")
    if not source.has("name") and protocol not in NAMELESS:
        yield source.fault(f"is missing: {protocol} needs it", "name: …", "name")
    if protocol in {"rbd", "gluster"} and "/" not in (source.text("name") or "/"):
        words = "POOL/IMAGE" if protocol == "rbd" else "VOLUME/IMAGE"
        yield source.fault(f"must be {words}", f"name: {words}", "name")
    secret = source.block("auth").text("type")
    if secret is not None and secret != {"rbd": "ceph"}.get(protocol, protocol):
        hint = f"type: {'ceph' if protocol == 'rbd' else 'iscsi'}"
        yield source.fault(f"is {secret}, which is not {protocol}'s", hint, "auth", "type")
    if protocol == "nfs" and not source.has("identity"):
        yield source.fault("is missing: nfs needs it", "identity: {user: …, group: …}", "identity")
    for host in hosts:
        key = "socket" if host.text("transport") == "unix" else "name"
        if not host.has(key):
            yield host.fault("is missing", f"{key}: …", key)


def _iotune(iotune: Tree) -> Faults:
    for what in ("bytes", "iops"):
        for suffix in ("", "_max", "_max_length"):
            total = f"total_{what}_sec{suffix}"
            for whose in ("read", "write"):
                name = f"{whose}_{what}_sec{suffix}"
                if iotune.has(total) and iotune.has(name):
                    yield iotune.fault(f"contradicts {total}", "remove one of the two", name)

    if iotune.has("group_name") and len(iotune.value) == 1:
        yield iotune.fault("names a group without limits", "add a limit such as total_iops_sec", "group_name")


def interface_rules(tree: Tree) -> Faults:
    """What a card hangs on."""
    needed = {"bridge": "bridge", "network": "network", "direct": "dev"}
    for card in tree.block("devices").items("interfaces"):
        kind = card.text("type") or "user"
        key = needed.get(kind)
        if key is not None and not card.block("source").has(key):
            yield card.fault(f"is missing: type {kind} needs it", f"source: {{{key}: …}}", "source", key)
        for forward in card.items("port_forwards"):
            start, end = forward.number("start"), forward.number("end")
            if start is not None and end is not None and end < start:
                yield forward.fault(f"is {end}, less than start", "end: a port from start on", "end")


def character_rules(tree: Tree) -> Faults:
    """The host's end of ports, consoles, channels …; numbers of ports; names of channels."""
    devices = tree.block("devices")
    for kind in ("serial", "console", "parallel", "smartcard", "redirdev"):
        for item in devices.items(kind):
            yield from _host_end(item)
    for kind in ("serial", "parallel"):
        taken = {} if kind == "parallel" else {0: "the VM's own console"}
        for item in devices.items(kind):
            number = item.block("target").number("port")
            if number is not None and number in taken:
                hint = "another number, or leave it out"
                yield item.fault(f": {number} is taken by {taken[number]}", hint, "target", "port")
            elif number is not None:
                taken[number] = f"{kind}[{item.path[-1]}]"
    for index, item in enumerate(devices.items("console")):
        number = item.block("target").number("port")
        if number is not None and number != index + 1:
            yield item.fault(
                f"is {number}, but consoles are counted: it is {index + 1}", "leave it out", "target", "port"
            )
    yield from _channels(devices)


def _host_end(item: Tree) -> Faults:
    needed = {"tcp": ("host", "service"), "udp": ("host", "service"), "file": ("path",), "dev": ("path",)}
    needed |= {"unix": ("path",), "pipe": ("path",)}
    for key in needed.get(item.text("type") or "", ()):
        if not item.block("source").has(key):
            hint = f"source: {{{key}: …}}"
            yield item.fault(f"is missing: type {item.text('type')} needs it", hint, "source", key)


def _channels(devices: Tree) -> Faults:
    names: set[str] = set()
    for channel in devices.items("channels"):
        kind, name = channel.text("type") or "unix", channel.text("name")
        if name is None and kind in {"spicevmc", "qemu-vdagent"}:
            name = VDAGENT
        elif name is None:
            yield channel.fault("is missing", f"for example name: {AGENT}", "name")
        if name is not None and name in names:
            yield channel.fault(f": the channel {name} is there twice", "remove one of the two", "name")
        names |= {name} if name is not None else set()
        if name == AGENT and (kind not in {"unix", "virtio"} or channel.has("path") or channel.has("source")):
            hint = "leave the channel out: every VM has it"
            yield channel.fault(f"is {AGENT}, which ov itself talks through", hint, "name")
        if kind == "spiceport" and not channel.has("channel"):
            yield channel.fault("is missing: type spiceport needs it", f"channel: {name or 'org.example.0'}", "channel")
        if channel.has("path") and channel.has("source") and channel.get("path") != channel.get("source"):
            yield channel.fault("contradicts path", "remove one of the two", "source")
        for key in ("path", "source"):
            yield from _portable(channel, key)


def _portable(block: Tree, key: str) -> Faults:
    """A socket in somebody's home exists on their machine only."""
    path = block.text(key) or ""
    if path.startswith("/home/") and "${" not in path and "{{" not in path:
        name = path.rpartition("/")[2] or "channel.sock"
        yield block.fault("is in a home folder of this machine", f"{key}: ${{vm.sockets}}/{name}", key)


def graphics_rules(tree: Tree) -> Faults:
    """One server of each kind, one listener each, ports where there is a network."""
    seen: set[str] = set()
    for item in tree.block("devices").items("graphics"):
        kind = item.text("type") or ""
        if kind and kind in seen:
            yield item.fault(f": QEMU has one {kind} server", "remove one of the two", "type")
        seen.add(kind)
        if found := too_long(kind, item.text("passwd") or ""):
            yield item.fault(*found, "passwd")
        listeners = _listeners(item)
        for listener in listeners:
            yield from _listener(listener)
        if len(listeners) > 1:
            yield item.fault("has several listeners; QEMU has one", "remove the others", "listen", 1)
        where = _kind(listeners[0]) if listeners else None
        if where in {"socket", "none"}:
            for key in ("port", "tls_port", "websocket"):  # autoport is harmless there: it chooses nothing
                if item.has(key):
                    yield item.fault(f"has no effect: it listens {PLACES[where]}", "remove it", key)
            continue
        if item.switch("autoport") is False and not item.has("port") and not item.has("tls_port"):
            yield item.fault("is missing: autoport is off", "port: 5901, or remove autoport", "port")
        if item.switch("autoport") and item.has("port"):
            yield item.fault("contradicts autoport", "remove one of the two", "port")
        networked = listeners or item.has("port") or item.has("tls_port")
        if kind == "spice" and networked and (item.switch("gl") or (item.has("rendernode") and not item.has("gl"))):
            hint = "listen: {type: socket} and no port; or without OpenGL"
            yield item.fault("needs OpenGL, which SPICE passes over no network", hint, "gl")


def _listeners(graphics: Tree) -> list[Tree]:
    """All of them as mappings, however they are written."""
    listen = graphics.get("listen")
    found = []
    for index, one in enumerate(listen if isinstance(listen, list) else [listen]):
        path = (*graphics.path, "listen", *([index] if isinstance(listen, list) else []))
        if isinstance(one, str):
            found.append(Tree({"address": one} if one else {"type": "none"}, path))
        elif isinstance(one, Mapping):
            found.append(Tree(one, path))
    return found


def _kind(listener: Tree) -> str | None:
    """Its type, as written or as the rest says."""
    return listener.text("type") or next((key for key in LISTENERS if listener.has(key)), None)


def _listener(listener: Tree) -> Faults:
    given = [key for key in LISTENERS if listener.has(key)]
    if _kind(listener) is None:
        yield listener.fault("has no type", "type: address, socket, network or none")
    if len(given) > 1:
        yield listener.fault(f"contradicts {given[0]}", "remove one of the two", given[1])
    address = listener.text("address")
    if address in {*LISTENERS, "none"}:  # a lone word is an address
        yield listener.fault(f"is {address}, which is a type and no address", f"listen: {{type: {address}}}", "address")
    if _kind(listener) == "network" and not listener.has("network"):
        yield listener.fault("is missing: type network needs it", "network: default", "network")
    yield from _portable(listener, "socket")


def video_rules(tree: Tree) -> Faults:
    """One primary card; none means none."""
    cards = tree.block("devices").items("video")
    primary = [card for card in cards if card.switch("primary")]
    for card in primary[1:]:
        yield card.fault("is yes a second time", "only one card can be the primary one", "primary")
    for card in cards:
        if card.text("model") == "none" and len(cards) > 1:
            yield card.fault("is none, but there are other cards", "remove it", "model")


def sound_rules(tree: Tree) -> Faults:
    """Sound cards play on audio backends that there are."""
    devices = tree.block("devices")
    backends = devices.items("audio")
    numbers = audio_numbers([item.number("id") for item in backends])
    seen: set[int] = set()
    for item, number in zip(backends, numbers, strict=True):
        if number in seen:
            yield item.fault(f": audio backend {number} is there twice", "another number", "id")
        seen.add(number)
        if item.text("type") == "file" and not item.has("path"):
            yield item.fault("is missing: type file needs it", "path: ${vm.dir}/sound.wav", "path")
    for item in [*devices.items("sound"), *devices.items("graphics")]:
        number_ = item.number("audio")
        if number_ is not None and number_ not in seen:
            yield item.fault(
                f"is {number_}, but there is no such audio backend", "audio: [{id: 1, type: none}]", "audio"
            )


def audio_numbers(written: list[int | None]) -> list[int]:
    """The numbers of audio backends: those written, the lowest free ones for the others."""
    free = (number for number in count(1) if number not in written)
    return [number if number is not None else next(free) for number in written]


def controller_rules(tree: Tree) -> Faults:
    """A controller's model is one of its type."""
    for item in tree.block("devices").items("controllers"):
        kind, model = item.text("type"), item.text("model")
        if kind == "pci" and model is None:
            yield item.fault("is missing: type pci needs it", "model: pcie-root-port", "model")
        elif kind in {"pci", "scsi"} and model is not None and model.startswith(("pci", "dmi")) != (kind == "pci"):
            yield item.fault(f"is {model}, which is no {kind} controller", "another model or type", "model")


def host_rules(tree: Tree) -> Faults:
    """A host's device is named completely."""
    for item in tree.block("devices").items("hostdevs"):
        source, kind = item.block("source"), item.text("type")
        needed: list[tuple[str, ...]] = []
        if kind == "pci":
            needed = [("bus", "slot")]
        elif kind == "usb":
            needed = [("vendor", "product"), ("bus", "device")]
        elif kind == "scsi":
            iscsi = source.has("protocol")
            needed = [("name", "hosts")] if iscsi else [("adapter", "bus", "target", "unit")]
            for key in ("adapter", "bus", "target", "unit"):
                if iscsi and source.has(key):
                    yield source.fault("contradicts protocol", "remove one of the two", key)
        elif kind == "mdev":
            needed = [("uuid",)]
        if needed and not any(all(source.has(key) for key in keys) for keys in needed):
            words = " or ".join(", ".join(keys) for keys in needed)
            yield item.fault(f"needs {words}: type {kind}", "source: {…}", "source")
        if item.switch("display") and not tree.block("devices").items("graphics"):
            yield item.fault("is on, but there are no graphics", "add graphics, or remove it", "display")
        if (source.text("device") or "1").lower().removeprefix("0x").strip("0") == "":
            yield source.fault("is 0: devices are counted from 1", "see lsusb", "device")
        if kind == "usb" and source.has("bus") and not source.has("device"):
            yield source.fault("is missing: bus needs it", "device: …", "device")


def folder_rules(tree: Tree) -> Faults:
    """Shared folders have tags of their own and absolute paths."""
    seen: set[str] = set()
    for item in tree.block("devices").items("filesystems"):
        tag, path = item.text("target"), item.text("source")
        if tag is not None and tag in seen:
            yield item.fault(f": tag {tag} is there twice", "another tag", "target")
        seen |= {tag} if tag is not None else set()
        begins = ("/", "${vm.dir}", "${vm.sockets}", "${vm.project}", "{{.VmStateDir}}")
        if path and not path.startswith(begins):
            yield item.fault("is no absolute path", "for example ${vm.project}/share", "source")
        if item.text("driver") == "virtiofs" and item.text("accessmode") not in {None, "passthrough"}:
            yield item.fault("must be passthrough with virtiofs", "remove it", "accessmode")


def other_rules(tree: Tree) -> Faults:
    """Random numbers, TPM, smart cards, vsock, shared memory, input."""
    devices = tree.block("devices")
    for item in devices.items("rng"):
        if item.text("backend") == "egd" and not item.has("type"):
            yield item.fault("is missing: backend egd needs it", "type: unix, source: {mode: connect, path: …}", "type")
        yield from _host_end(item)
    for item in devices.items("tpm")[1:]:
        yield item.fault("is one too many: a machine has one TPM", "remove it")
    for item in devices.items("tpm"):
        if item.text("model") == "tpm-crb" and item.block("backend").text("version") == "1.2":
            yield item.fault("is tpm-crb, which is a TPM 2.0", "model: tpm-tis, or version 2.0", "model")
        if item.block("backend").text("type") == "external" and not item.block("backend").has("source"):
            yield item.fault("is missing: type external needs it", "source: /path/of/socket", "backend", "source")
    for item in devices.items("smartcard"):
        for mode, key in (("passthrough", "type"), ("host-certificates", "certificates")):
            if item.text("mode") == mode and not item.has(key):
                yield item.fault(f"is missing: mode {mode} needs it", f"{key}: …", key)
        certificates = item.get("certificates")
        if isinstance(certificates, list) and len(certificates) > 3:
            yield item.fault("has more than three", "three certificates", "certificates")
    cid = devices.block("vsock").block("cid")
    if cid.switch("auto") and cid.has("address"):
        yield cid.fault("contradicts auto", "remove one of the two", "address")
    if cid.switch("auto") is False and not cid.has("address"):
        yield cid.fault("is missing: auto is off", "address: 42, or remove auto", "address")
    for item in devices.items("shmem"):
        if item.block("model").text("type") == "ivshmem-doorbell" and not item.has("server"):
            yield item.fault("is missing: a doorbell needs it", "server: {path: …}", "server")
    for item in devices.items("inputs"):
        for kind, key in (("passthrough", "evdev"), ("evdev", "dev")):
            if item.text("type") == kind and not item.block("source").has(key):
                yield item.fault(f"is missing: type {kind} needs it", f"source: {{{key}: /dev/input/…}}", "source", key)
        if item.text("type") == "tablet" and item.text("bus") == "ps2":
            yield item.fault("is ps2, which has no tablets", "bus: usb or virtio", "bus")
        if item.text("type") == "passthrough" and item.text("bus") not in {None, "virtio"}:
            yield item.fault("must be virtio with type passthrough", "bus: virtio", "bus")


def boot_rules(tree: Tree) -> Faults:
    """One place in the order, one device."""
    taken: dict[str, Any] = {}
    for kind in ("disks", "interfaces", "hostdevs", "redirdev"):
        for item in tree.block("devices").items(kind):
            place = item.text("boot")
            if place is not None and place in taken:
                yield item.fault(f": place {place} is taken by {taken[place]}", "another number", "boot")
            elif place is not None:
                taken[place] = f"{kind}[{item.path[-1]}]"


DEVICE_RULES: tuple[Callable[[Tree], Faults], ...] = (
    disk_rules,
    interface_rules,
    character_rules,
    graphics_rules,
    video_rules,
    sound_rules,
    controller_rules,
    host_rules,
    folder_rules,
    other_rules,
    boot_rules,
)
