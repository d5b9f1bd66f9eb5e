"""The Unix sockets that a VM's program listens on at paths of the spec's choice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.option import SUN_PATH
from ovtasks.machine.read import Path as Place
from ovtasks.machine.read import Read, read_machine
from ovtasks.machine.tree import items, mapping, value
from ovtasks.values.words import dotted

_CHARACTERS = ("serial", "console", "parallel", "smartcard", "redirdev")


def socket_folders(machine: Machine) -> tuple[Path, ...]:
    """The folders that must be there before it starts.

    :raises InputError: the ``libvirt:`` block is wrong.
    """
    return tuple(dict.fromkeys(Path(path).parent for _, path in _sockets(read_machine(machine))))


def check_sockets(wanted: Read) -> None:
    """:raises InputError: a path is too long for a socket."""
    for place, path in _sockets(wanted):
        if len(os.fsencode(path)) >= SUN_PATH:
            message = f"{dotted(place)}: {path} is too long for a socket"
            raise InputError(message, hint="${vm.sockets}/NAME is short", field=place)


def _sockets(wanted: Read) -> Iterator[tuple[Place, str]]:
    here: Place = ("libvirt", "devices")
    devices = mapping(wanted, "devices")
    for index, channel in enumerate(items(devices, "channels")):
        for key in ("path", "source"):
            if path := value(channel, key):
                yield (*here, "channels", index, key), path
    for index, server in enumerate(items(devices, "graphics")):
        for listener in items(server, "listen"):
            if path := value(listener, "socket"):
                yield (*here, "graphics", index, "listen"), path
    for kind in _CHARACTERS:
        for index, item in enumerate(items(devices, kind)):
            source = mapping(item, "source")
            if value(item, "type") == "unix" and value(source, "mode") == "bind" and (path := value(source, "path")):
                yield (*here, kind, index, "source", "path"), path
