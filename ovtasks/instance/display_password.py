"""The password of a VM's display, changed in its definition: it stays when the VM is stopped and started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ovtasks.backends.contract import backend
from ovtasks.errors import InputError
from ovtasks.host.oserrors import explaining
from ovtasks.instance.power import reread
from ovtasks.instance.record import Record
from ovtasks.instance.saved_machine import load_machine, save_machine
from ovtasks.machine.devices.graphics.passwords import too_long
from ovtasks.values.jsonvalue import Json


def check_password(kind: str, password: str) -> None:
    """:raises InputError: a display of this kind cannot have the password; the message does not show it."""
    if (wrong := too_long(kind, password)) is not None:
        what, hint = wrong
        raise InputError(f"the password {what}", hint=hint)


def keep_password(record: Record, kind: str, password: str) -> None:
    """Let the display ``kind`` (spice, vnc) have the password from the VM's next start on.

    ``ov vm create`` puts the one of vms.yml back.

    :raises InputError: the VM has no such display, is not defined, or the password is too long.
    """
    check_password(kind, password)
    with explaining(f"cannot change {record.words}", record.folder.path), record.folder.lock():
        record = reread(record)
        machine = load_machine(record.folder.machine)
        if machine is None:
            raise InputError(f"{record.words} is not defined", hint=f"ov vm create {record.words}")
        changed = replace(machine, libvirt=_changed(record, machine.libvirt, kind, password))
        backend(record.backend).define(record.handle, changed)
        save_machine(record.folder.machine, changed)


def _changed(record: Record, libvirt: Mapping[str, Json], kind: str, password: str) -> dict[str, Json]:
    devices = libvirt.get("devices")
    servers = devices.get("graphics") if isinstance(devices, Mapping) else None
    found = [one for one in servers if isinstance(one, Mapping)] if isinstance(servers, list | tuple) else []
    if not any(one.get("type") == kind for one in found):
        hint = f"libvirt.devices.graphics: [{{type: {kind}}}] in vms.yml gives it one"
        raise InputError(f"{record.words} has no {kind} display of its own", hint=hint)
    new: list[Json] = [{**one, "passwd": password} if one.get("type") == kind else one for one in found]
    assert isinstance(devices, Mapping)
    return {**libvirt, "devices": {**devices, "graphics": new}}
