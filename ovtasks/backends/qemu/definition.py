"""A VM's definition: the command line for this host's QEMU, as text."""

from __future__ import annotations

from ovtasks.backends.qemu import program
from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.argv import argv_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.families import command
from ovtasks.values.jsonvalue import state_text


def command_of(machine: Machine) -> Command:
    """The command that runs ``machine`` on this host.

    :raises InputError: the spec asks for something that plain QEMU, or this version of it, lacks.
    """
    if machine.autostart:
        raise InputError("autostart: QEMU alone starts no VM with the host", hint="backend: libvirt, or no autostart")
    found = command(machine, program.features(machine.arch))
    if found.spice and not found.host.spice:
        hint = f"{package_hint('qemu-spice')}, or type: vnc"
        raise InputError("libvirt.devices.graphics: QEMU has no SPICE here", hint=hint)
    return found


def text_of(wanted: Command) -> str:
    """The command line as JSON text."""
    return state_text(argv_of(wanted), lines=True)
