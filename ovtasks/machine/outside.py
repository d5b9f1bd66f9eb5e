"""What a machine's block asks of the host besides files: sockets to listen on, and networks to join."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.host.paths import SUN_PATH
from ovtasks.machine.device import Attached
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.machine import Machine
from ovtasks.machine.read import block_of
from ovtasks.machine.tree import Place, Tree
from ovtasks.values.words import dotted


def socket_folders(machine: Machine) -> tuple[Path, ...]:
    """The folders that must exist before the machine starts: QEMU makes sockets in them.

    :raises InputError: the ``libvirt:`` block is wrong.
    """
    return tuple(dict.fromkeys(Path(path).parent for _, path in _sockets(block_of(machine))))


def check_sockets(block: Tree) -> None:
    """:raises InputError: a path is too long for a socket."""
    for place, path in _sockets(block):
        if len(os.fsencode(path)) >= SUN_PATH:
            message = f"{dotted(place)}: {path} is too long for a socket"
            raise InputError(message, hint="${vm.sockets}/NAME is short", field=place)


def attached(machine: Machine) -> Iterator[Attached]:
    """What each network card is connected to: the first one, then those of the ``libvirt:`` block.

    :raises InputError: the block is wrong.
    """
    nic = machine.nic
    names = {"bridge": nic.bridge, "direct": nic.dev, "user": ""}
    kind = nic.mode if nic.mode in names else "network"
    field = {"bridge": "bridge", "direct": "dev"}.get(kind, "mode")
    yield Attached(kind, names.get(kind, nic.network or nic.bridge or "default") or "", ("network", field))
    devices = block_of(machine).block("devices")
    for device in DEVICES:
        for one in device.found(devices):
            yield from device.attached(one)


def _sockets(block: Tree) -> Iterator[tuple[Place, str]]:
    devices = block.block("devices")
    for device in DEVICES:
        for one in device.found(devices):
            yield from device.sockets(one)
