"""The rules of ``network:``: what each mode needs, and what has no effect in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.values.ports import parse_forward

LIBVIRT_MODES = ("nat", "network", "direct")
# What else a mode may have. network was once spelled bridge.
_FIELDS = {
    "user": ("port_forwards",),
    "bridge": ("bridge",),
    "nat": ("network", "bridge"),
    "network": ("network", "bridge"),
    "direct": ("dev",),
}
_INSTEAD = {
    "bridge": "set mode: bridge, or remove bridge",
    "network": "set mode: network, or remove network",
    "dev": "set mode: direct, or remove dev",
    "port_forwards": "the VM is reachable by its own address; remove port_forwards, or set mode: user",
}
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)


def network_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """A mode has what it needs, and nothing that belongs to another mode."""
    network = vm.mapping("network")
    mode = vm.text("network", "mode") or "user"
    yield from _mode_rules(vm, mode)
    for field, hint in _INSTEAD.items():
        if field in network and mode in _FIELDS and field not in _FIELDS[mode]:
            yield vm.error(f"network.{field} has no effect in mode {mode}", "network", field, hint=hint, key=True)
    if "network" in network and "bridge" in network and mode in {"nat", "network"}:
        hint = "remove bridge: network is its newer name"
        yield vm.error("network.bridge and network.network are the same", "network", "bridge", hint=hint, key=True)
    yield from _mac_rules(vm)
    yield from _forward_rules(vm)


def _mode_rules(vm: DeclaredVm, mode: str) -> Iterator[InputError]:
    network = vm.mapping("network")
    if mode == "bridge" and "bridge" not in network:
        hint = "network: {mode: bridge, bridge: br0}"
        yield vm.error("network.bridge is missing: mode bridge needs the bridge's name", "network", hint=hint, key=True)
    if mode == "direct" and "dev" not in network:
        hint = "network: {mode: direct, dev: eth0}"
        yield vm.error("network.dev is missing: mode direct needs a card of the host", "network", hint=hint, key=True)
    if mode in LIBVIRT_MODES and vm.get("backend") == "qemu":
        hint = "backend: libvirt (or auto), or mode: user or bridge"
        yield vm.error(f"network.mode {mode} does not work with backend qemu", "network", "mode", hint=hint)
    port = vm.get("ssh", "port")
    if mode in _FIELDS and mode != "user" and type(port) is int and port > 0:
        hint = "the VM is reachable at its own address, port 22; remove ssh.port, or set network.mode: user"
        yield vm.error(f"ssh.port has no effect in network.mode {mode}", "ssh", "port", hint=hint, key=True)


def _forward_rules(vm: DeclaredVm) -> Iterator[InputError]:
    for index, item in enumerate(vm.list("network", "port_forwards")):
        if isinstance(item, str):
            try:
                parse_forward(item)
            except InputError as e:
                yield vm.error(f"network.port_forwards: {e.message}", "network", "port_forwards", index, hint=e.hint)


def _mac_rules(vm: DeclaredVm) -> Iterator[InputError]:
    mac = vm.text("network", "mac")
    if mac is None:
        return
    path = ("network", "mac")
    if not _MAC.fullmatch(mac):
        yield vm.error(f"'{mac}' is not a MAC address", *path, hint="six pairs of hex digits: 52:54:00:12:34:56")
    elif int(mac[:2], 16) & 1:
        yield vm.error(
            f"'{mac}' is a multicast address, not the address of a network interface",
            *path,
            hint="the first pair must be even: 52",
        )
    elif not int(mac.replace(":", ""), 16):
        yield vm.error(
            f"'{mac}' is not the address of a network interface", *path, hint="for example 52:54:00:12:34:56"
        )
